//! A way through an HTTP proxy: the `CONNECT` of RFC 9110, as much of it as a daemon's client needs.

use std::io;

use arsync_core::setup::daemon::base64;
use embedded_io_async::{BufRead, Write};

use super::{Error, ReadAhead, WriteQueue};

/// Most bytes of an answer that are of interest, a line; the rest of a longer one is passed over.
const MAX_LINE: usize = 1024;
/// Most lines of an answer.
const MAX_LINES: usize = 1000;

/// A proxy: `[USER:PASSWORD@]HOST:PORT`, an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Name or address.
    pub host: String,
    /// Port, as it was given.
    pub port: String,
    /// `USER:PASSWORD` in base64.
    authorization: Option<String>,
}

/// Why a text names no proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadProxy {
    /// There is no port.
    #[error("invalid proxy specification: should be HOST:PORT")]
    Address,
    /// There is a user, and no password or no port.
    #[error("invalid proxy specification: should be USER:PASS@HOST:PORT")]
    User,
}

/// Why there is no way through a proxy.
#[derive(Debug)]
pub enum ProxyFault {
    /// It could not be asked.
    Write(io::Error),
    /// It did not answer, or not to the end.
    Read(io::Error),
    /// It answered this, and not that the way is open.
    Refused(String),
}

impl Proxy {
    /// Takes a text apart. The last `@` ends the password; user and password are given to the proxy as they are.
    pub fn parse(text: &str) -> Result<Self, BadProxy> {
        let (user, address) = match text.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, text),
        };
        let fault = if user.is_some() { BadProxy::User } else { BadProxy::Address };
        if user.is_some_and(|user| !user.contains(':')) {
            return Err(fault);
        }
        let (host, port) = address.rsplit_once(':').ok_or(fault)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Ok(Self { host: host.into(), port: port.into(), authorization: user.map(encoded) })
    }

    /// Asks for a way to a host. What the host says first may be read already.
    pub async fn open(
        &self,
        reader: &mut ReadAhead,
        writer: &mut WriteQueue,
        host: &str,
        port: u16,
    ) -> Result<(), ProxyFault> {
        let request = self.request(host, port);
        let asked = async {
            writer.write_all(request.as_bytes()).await?;
            writer.flush().await
        };
        asked.await.map_err(|error: Error| ProxyFault::Write(error.0))?;
        let status = line(reader).await?;
        if !is_open(&status) {
            return Err(ProxyFault::Refused(status));
        }
        for _ in 0..MAX_LINES {
            if line(reader).await?.is_empty() {
                return Ok(());
            }
        }
        Err(ProxyFault::Refused(status))
    }

    fn request(&self, host: &str, port: u16) -> String {
        let authorization =
            self.authorization.as_deref().map(|a| format!("Proxy-Authorization: Basic {a}\r\n"));
        // The host of the target is an authority: an IPv6 address wants brackets.
        let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
        format!("CONNECT {open}{host}{close}:{port} HTTP/1.0\r\n{}\r\n", authorization.unwrap_or_default())
    }
}

/// Base64 with padding.
fn encoded(text: &str) -> String {
    let mut letters: String = base64(text.as_bytes()).collect();
    letters.extend(core::iter::repeat_n('=', letters.len().next_multiple_of(4) - letters.len()));
    letters
}

/// `HTTP/VERSION 2..`: a code of success.
fn is_open(status: &str) -> bool {
    let code = status.strip_prefix("HTTP/").and_then(|rest| rest.split_once(' '));
    code.is_some_and(|(_, code)| code.trim_start_matches(' ').starts_with('2'))
}

/// A line without its end.
async fn line(reader: &mut ReadAhead) -> Result<String, ProxyFault> {
    let mut line = Vec::new();
    loop {
        let ready = reader.fill_buf().await.map_err(|error| ProxyFault::Read(error.0))?;
        if ready.is_empty() {
            return Err(ProxyFault::Read(io::ErrorKind::UnexpectedEof.into()));
        }
        let end = memchr::memchr(b'\n', ready);
        let part = &ready[..end.unwrap_or(ready.len())];
        line.extend_from_slice(&part[..part.len().min(MAX_LINE - line.len())]);
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            break;
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, shutdown, socketpair};

    use super::{super::PipeTransport, *};
    use crate::{
        fuzz,
        ring::runtime::{Driver, build_with},
    };

    #[test]
    fn a_proxy_is_host_and_port_with_an_optional_user() {
        let plain = Proxy::parse("cache:3128").unwrap();
        assert_eq!(plain.request("h.example", 874), "CONNECT h.example:874 HTTP/1.0\r\n\r\n");
        assert_eq!((&*plain.host, &*plain.port), ("cache", "3128"));
        let named = Proxy::parse("u:p:q@r@127.0.0.1:9871").unwrap();
        assert_eq!(
            named.request("::1", 873),
            "CONNECT [::1]:873 HTTP/1.0\r\nProxy-Authorization: Basic dTpwOnFAcg==\r\n\r\n"
        );
        assert_eq!(Proxy::parse("[::1]:80").unwrap().host, "::1");
        assert_eq!(Proxy::parse("cache"), Err(BadProxy::Address));
        assert_eq!(Proxy::parse("u@cache:80"), Err(BadProxy::User));
        assert_eq!(Proxy::parse("u:p@cache"), Err(BadProxy::User));
    }

    #[test]
    fn only_a_code_of_success_opens_the_way() {
        for status in ["HTTP/1.0 200 OK", "HTTP/1.1 299 Connected", "HTTP/2 200", "HTTP/1.1 2"] {
            assert!(is_open(status), "{status}");
        }
        for status in
            ["HTTP/1.1 403 Forbidden", "HELLO", "HTTP/1.1", "HTTP/1.1 ", "http/1.1 200 OK", "200 OK"]
        {
            assert!(!is_open(status), "{status}");
        }
    }

    /// What a proxy answers.
    #[test]
    fn spoiled_answers_open_a_way_or_end() {
        fuzz::run("http_proxy", 4_000, |data| {
            let (here, there) =
                socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
            rustix::io::write(&there, data).unwrap();
            shutdown(&there, Shutdown::Write).unwrap();
            let runtime = build_with(Driver::Polling).unwrap();
            let opened = runtime.block_on(async {
                let transport = PipeTransport::from_fds(here.try_clone().unwrap(), here).unwrap();
                let (mut reader, mut writer) = transport.into_split();
                Proxy::parse("cache:80").unwrap().open(&mut reader, &mut writer, "host", 873).await
            });
            assert!(opened.is_err() || data.starts_with(b"HTTP/"));
        });
    }
}
