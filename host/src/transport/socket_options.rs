//! `--sockopts`: options of a socket by their C names.

use std::os::fd::BorrowedFd;

use rustix::{
    io::Errno,
    net::sockopt::{
        set_ip_tos, set_socket_broadcast, set_socket_keepalive, set_socket_recv_buffer_size,
        set_socket_reuseaddr, set_socket_reuseport, set_socket_send_buffer_size, set_tcp_nodelay,
    },
};

/// An option that was not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketComplaint {
    /// There is no such option.
    Unknown(String),
    /// It takes no value.
    NoValue(String),
    /// The system refuses it.
    Refused(String, Errno),
}

/// Sets every option of a list like `SO_KEEPALIVE,SO_SNDBUF=65536`, and tells which were not.
pub fn set_socket_options(socket: BorrowedFd<'_>, list: &str) -> Vec<SocketComplaint> {
    let words = list.split([',', ' ', '\t']).filter(|word| !word.is_empty());
    words.filter_map(|word| set_one(socket, word).err()).collect()
}

fn set_one(socket: BorrowedFd<'_>, word: &str) -> Result<(), SocketComplaint> {
    const LOW_DELAY: u8 = 0x10;
    const THROUGHPUT: u8 = 0x08;
    let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    // As C reads a number: leading digits, else 0.
    let number: i32 = value.map_or(1, leading_number);
    let on = number != 0;
    let size = usize::try_from(number).unwrap_or(0);
    let done = match name {
        "SO_KEEPALIVE" => set_socket_keepalive(socket, on),
        "SO_REUSEADDR" => set_socket_reuseaddr(socket, on),
        "SO_REUSEPORT" => set_socket_reuseport(socket, on),
        "SO_BROADCAST" => set_socket_broadcast(socket, on),
        "TCP_NODELAY" => set_tcp_nodelay(socket, on),
        "SO_SNDBUF" => set_socket_send_buffer_size(socket, size),
        "SO_RCVBUF" => set_socket_recv_buffer_size(socket, size),
        "IPTOS_LOWDELAY" | "IPTOS_THROUGHPUT" if value.is_some() => {
            return Err(SocketComplaint::NoValue(name.to_owned()));
        }
        "IPTOS_LOWDELAY" => set_ip_tos(socket, LOW_DELAY),
        "IPTOS_THROUGHPUT" => set_ip_tos(socket, THROUGHPUT),
        // Linux has no such options, or takes no plain number for them.
        "SO_SNDLOWAT" | "SO_RCVLOWAT" => Err(Errno::NOPROTOOPT),
        "SO_SNDTIMEO" | "SO_RCVTIMEO" => Err(Errno::INVAL),
        _ => return Err(SocketComplaint::Unknown(name.to_owned())),
    };
    done.map_err(|errno| SocketComplaint::Refused(name.to_owned(), errno))
}

fn leading_number(text: &str) -> i32 {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::net::{
        AddressFamily, SocketType, socket,
        sockopt::{ip_tos, socket_keepalive, tcp_nodelay},
    };

    use super::*;

    #[test]
    fn options_are_set_and_others_named() {
        let tcp = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        let list = "SO_KEEPALIVE,TCP_NODELAY=0 SO_FOO,IPTOS_THROUGHPUT,SO_SNDLOWAT=3,IPTOS_LOWDELAY=1";
        assert_eq!(
            set_socket_options(tcp.as_fd(), list),
            [
                SocketComplaint::Unknown("SO_FOO".into()),
                SocketComplaint::Refused("SO_SNDLOWAT".into(), Errno::NOPROTOOPT),
                SocketComplaint::NoValue("IPTOS_LOWDELAY".into()),
            ]
        );
        assert_eq!(socket_keepalive(&tcp), Ok(true));
        assert_eq!(tcp_nodelay(&tcp), Ok(false));
        assert_eq!(ip_tos(&tcp), Ok(8));
    }
}
