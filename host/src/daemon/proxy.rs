//! The line or record in which a proxy names the client (`proxy protocol`).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::dialogue::{Dialogue, Gone};

/// First bytes of the second version.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Longest line of the first version, bytes.
const MAX_LINE: usize = 107;
/// Longest record of the second version behind its header, bytes.
const MAX_RECORD: usize = 216;

/// Reads the header; `None`: the proxy speaks for itself.
pub(super) fn read(dialogue: &mut Dialogue) -> Result<Option<String>, Gone> {
    let start = dialogue.bytes(SIGNATURE.len())?;
    if start == SIGNATURE { second(dialogue) } else { first(dialogue, start) }
}

fn first(dialogue: &mut Dialogue, start: Vec<u8>) -> Result<Option<String>, Gone> {
    let mut line = start;
    while !line.ends_with(b"\r\n") {
        // The end may have come with the first bytes only if there is nothing behind it.
        if line.len() == MAX_LINE || line.contains(&b'\n') {
            return Err(Gone::Closed);
        }
        line.push(dialogue.byte()?);
    }
    line.truncate(line.len() - 2);
    parse_line(&line).ok_or(Gone::Closed)
}

/// `PROXY TCP4 SOURCE DESTINATION PORT PORT`
fn parse_line(line: &[u8]) -> Option<Option<String>> {
    let rest = core::str::from_utf8(line).ok()?.strip_prefix("PROXY ")?;
    if rest.starts_with("UNKNOWN") {
        return Some(None);
    }
    let parts: Vec<&str> = rest.split(' ').collect();
    let [family, source, destination, from, to] = parts[..] else { return None };
    let is_port = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && text.bytes().any(|b| b != b'0')
    };
    let fine = matches!(family, "TCP4" | "TCP6")
        && source.parse::<IpAddr>().is_ok()
        && destination.parse::<IpAddr>().is_ok()
        && is_port(from)
        && is_port(to);
    fine.then(|| Some(source.to_owned()))
}

fn second(dialogue: &mut Dialogue) -> Result<Option<String>, Gone> {
    let header = dialogue.bytes(4)?;
    let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if len > MAX_RECORD {
        return Err(Gone::Closed);
    }
    let record = dialogue.bytes(len)?;
    match (header[0], header[1], record.len()) {
        (0x20, _, _) => Ok(None),
        (0x21, 0x11, 12) => {
            let octets: [u8; 4] = record[..4].try_into().map_err(|_| Gone::Closed)?;
            Ok(Some(Ipv4Addr::from(octets).to_string()))
        }
        (0x21, 0x21, 36) => {
            let octets: [u8; 16] = record[..16].try_into().map_err(|_| Gone::Closed)?;
            Ok(Some(Ipv6Addr::from(octets).to_string()))
        }
        (0x21, 0x11 | 0x21, _) => Err(Gone::Closed),
        (0x21, _, _) => Ok(None),
        _ => Err(Gone::Closed),
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    fn named(sent: &[u8]) -> Result<Option<String>, Gone> {
        let (here, there) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        rustix::io::write(&there, sent).unwrap();
        drop(there);
        read(&mut Dialogue::new(here.try_clone().unwrap(), here))
    }

    #[test]
    fn lines_as_observed() {
        assert_eq!(named(b"PROXY TCP4 10.0.0.1 10.0.0.2 99999 873\r\n@"), Ok(Some("10.0.0.1".into())));
        assert_eq!(named(b"PROXY TCP4 2001:db8::1 10.0.0.2 1 1\r\n"), Ok(Some("2001:db8::1".into())));
        assert_eq!(named(b"PROXY TCP6 ::ffff:1.2.3.4 ::1 1 1\r\n"), Ok(Some("::ffff:1.2.3.4".into())));
        assert_eq!(named(b"PROXY UNKNOWN\r\n"), Ok(None));
        for bad in [
            &b"PROXY TCP4 10.0.0.1 10.0.0.2 1 873\n@RSYNCD: 31.0\n"[..],
            b"PROXY TCP4 10.0.0.1 10.0.0.2 0 873\r\n",
            b"PROXY TCP4 10.0.0.1  10.0.0.2 1 873\r\n",
            b"PROXY TCP5 10.0.0.1 10.0.0.2 1 873\r\n",
            b"PROXY TCP4 host 10.0.0.2 1 873\r\n",
            b"@RSYNCD: 31.0\n",
            &[b'P'; 200],
            b"PROXY",
        ] {
            assert_eq!(named(bad), Err(Gone::Closed), "{bad:?}");
        }
    }

    #[test]
    fn records_as_observed() {
        let record = |command: u8, family: u8, data: &[u8]| {
            let len = u16::try_from(data.len()).unwrap().to_be_bytes();
            [&SIGNATURE[..], &[command, family], &len, data].concat()
        };
        let v4 = [10, 0, 0, 1, 10, 0, 0, 2, 0, 0, 3, 105];
        assert_eq!(named(&record(0x21, 0x11, &v4)), Ok(Some("10.0.0.1".into())));
        let mut v6 = [0; 36];
        v6[15] = 1;
        assert_eq!(named(&record(0x21, 0x21, &v6)), Ok(Some("::1".into())));
        assert_eq!(named(&record(0x20, 0x11, &v4)), Ok(None));
        assert_eq!(named(&record(0x21, 0x00, &[1, 2])), Ok(None));
        assert_eq!(named(&record(0x21, 0x31, &[0; 216])), Ok(None));
        assert_eq!(named(&record(0x21, 0x11, &[&v4[..], &[4, 0, 1, 0]].concat())), Err(Gone::Closed));
        assert_eq!(named(&record(0x31, 0x11, &v4)), Err(Gone::Closed));
        assert_eq!(named(&record(0x21, 0x31, &[0; 217])), Err(Gone::Closed));
    }
}
