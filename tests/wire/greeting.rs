//! The lines in front of a recorded session with a daemon.

use arsync_core::{
    setup::daemon::{Answer, Greeting, Request, greeting},
    version::ProtocolVersion,
};

use crate::{
    corpus::{Case, strings, text},
    decode::{Fault, ensure},
};

/// What was said before a session.
#[derive(Debug, Clone, Copy)]
pub struct Prelude {
    /// Length of the client's part, bytes.
    pub c2s: usize,
    /// Length of the server's part, bytes.
    pub s2c: usize,
    /// The version agreed on.
    pub protocol: ProtocolVersion,
}

/// A direction, line by line.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    fn until(&mut self, end: u8) -> Option<&'a [u8]> {
        let rest = self.bytes.get(self.at..)?;
        let len = rest.iter().position(|&b| b == end)?;
        self.at += len + 1;
        rest.get(..len)
    }

    fn line(&mut self) -> Option<&'a [u8]> {
        self.until(b'\n')
    }

    /// Strings up to an empty one.
    fn list(&mut self, end: u8) -> Option<Vec<String>> {
        let mut words = Vec::new();
        loop {
            match self.until(end)? {
                b"" => return Some(words),
                word => words.push(String::from_utf8_lossy(word).into_owned()),
            }
        }
    }
}

/// Reads it and compares each line with what is known of the run. `None`: there was no session behind it.
pub fn prelude(case: &Case) -> Result<Option<Prelude>, Fault> {
    let is = |line: Option<&[u8]>, key: &str| {
        line.is_some_and(|line| line == text(case.handshake(key)).as_bytes())
    };
    let (mut c2s, mut s2c) = (Lines { bytes: &case.c2s, at: 0 }, Lines { bytes: &case.s2c, at: 0 });
    let (client, server) = (c2s.line().unwrap_or_default(), s2c.line().unwrap_or_default());
    ensure!(is(Some(client), "client_greeting") && is(Some(server), "server_greeting"), "greetings");
    let (Ok(theirs), Ok(ours)) = (Greeting::parse(client), Greeting::parse(server)) else { return Ok(None) };
    let own = u8::try_from(ours.protocol).ok().and_then(ProtocolVersion::new);
    let Some(own) = own else { return Ok(None) };
    // A peer other than stock rsync offered fewer digests.
    if ours.digests == Some(b"sha512 sha256 sha1 md5 md4") {
        ensure!(greeting(own).as_bytes() == [server, b"\n"].concat(), "the server's greeting is not ours");
    }
    let agreed = theirs.agree(own);
    let Some(line) = c2s.line() else { return Ok(None) };
    let request = match Request::parse(line) {
        Request::EarlyInput(len) => {
            c2s.at += len;
            c2s.line().unwrap_or_default()
        }
        _ => line,
    };
    ensure!(is(Some(request), "module"), "request {}", String::from_utf8_lossy(request));
    loop {
        let Some(line) = s2c.line() else { return Ok(None) };
        match Answer::parse(line) {
            Answer::Ok => break,
            Answer::AuthRequired(challenge) => {
                ensure!(is(Some(challenge), "auth_challenge"), "challenge");
                let reply = c2s.line();
                ensure!(is(reply, "auth_reply"), "reply");
                let Some(digest) = theirs.digest(agreed) else { return Ok(None) };
                let (user, password) =
                    (text(&case.json["auth"]["user"]), text(&case.json["auth"]["password"]));
                let wanted = format!("{user} {}", digest.answer(password.as_bytes(), challenge));
                let good = reply == Some(wanted.as_bytes());
                ensure!(good || case.json["auth"]["good"] != true, "the answer is not {wanted}");
            }
            Answer::Exit | Answer::Error(_) => return Ok(None),
            Answer::Text(_) => {}
        }
    }
    let version = u8::try_from(agreed).ok().and_then(ProtocolVersion::new);
    let Some(protocol) = version else { return Ok(None) };
    let words = c2s.list(if protocol.has_varints() { 0 } else { b'\n' });
    ensure!(words == Some(strings(case.handshake("daemon_args"))), "arguments {words:?}");
    let more = case.handshake("daemon_args_secluded");
    if !more.is_null() {
        let words = c2s.list(0);
        ensure!(words == Some(strings(more)), "secluded arguments {words:?}");
    }
    Ok(Some(Prelude { c2s: c2s.at, s2c: s2c.at, protocol }))
}
