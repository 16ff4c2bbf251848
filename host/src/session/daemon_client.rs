//! What a client says to a daemon before the session (spec: daemon protocol, order on a connection).

use std::io::Read;

use arsync_core::{
    error::{Error, ProtocolError, Role},
    exit::ExitCode,
    mux::MsgTag,
    setup::{
        Side,
        daemon::{Answer, AuthDigest, BadGreeting, Greeting, MAX_LINE, greeting},
    },
    version::ProtocolVersion,
};

use super::{
    Handshaken, Speak,
    password::Password,
    wire::{Fault, Reader, Writer},
};
use crate::{
    output::strerror,
    vouched::{self, Trust},
};

/// Longest `--early-input`, bytes.
const MAX_EARLY: usize = 5120;

/// An argument vector, and with `-s` its second part.
pub(crate) type Args = (Vec<Vec<u8>>, Option<Vec<Vec<u8>>>);

/// What a daemon is told.
pub(crate) struct DaemonCall<'a> {
    /// Highest version offered.
    pub(crate) protocol: ProtocolVersion,
    /// The module; empty: a list of the modules is asked for.
    pub(crate) module: Vec<u8>,
    /// Who asks.
    pub(crate) user: Vec<u8>,
    /// How that is proved.
    pub(crate) password: Password,
    /// Text of the daemon is shown.
    pub(crate) motd: bool,
    /// File of `--early-input`.
    pub(crate) early_input: Option<(Vec<u8>, Trust)>,
    /// The arguments for a version.
    pub(crate) args: &'a dyn Fn(ProtocolVersion) -> Args,
}

/// What the daemon did with the request.
pub(crate) enum Admission {
    /// The session begins with this version.
    Admitted(ProtocolVersion),
    /// The modules were listed.
    Listed,
}

/// A failure with its text.
fn fail<O: Speak>(observer: &O, role: Role, code: ExitCode, text: &[u8]) -> Fault {
    observer.say(MsgTag::Error, role, text);
    Error::Exit(code)
}

/// Everything from the greeting to the arguments.
pub(crate) async fn call<O: Speak>(
    call: &DaemonCall<'_>,
    r: &mut Reader<'_, O>,
    w: &mut Writer,
    observer: &O,
    role: Role,
) -> Result<Admission, Fault> {
    let fail = |text: &[u8]| fail(observer, role, ExitCode::START_CLIENT, text);
    // A peer that is gone already may have said why.
    let sent = send(w, &[greeting(call.protocol).as_bytes()]).await;
    let first = match line(r, observer, role).await {
        Err(Error::Eof) => return Err(fail(b"rsync: did not see server greeting")),
        other => other?,
    };
    let theirs = Greeting::parse(&first).map_err(|fault| {
        let (head, tail) = match fault {
            BadGreeting::NotOne => ("server sent \"", "\" rather than greeting"),
            BadGreeting::NoSubprotocol => ("the server omitted the subprotocol value: ", ""),
            BadGreeting::NoDigests => ("the server omitted the digest name list: ", ""),
        };
        fail(&[b"rsync: ", head.as_bytes(), &first, tail.as_bytes()].concat())
    })?;
    sent?;
    let agreed = theirs.agree(call.protocol);
    // What the version is decides how the arguments travel; where it is none, no session begins.
    let in_range = u8::try_from(agreed).ok().and_then(ProtocolVersion::new);
    let protocol = in_range.filter(|_| theirs.protocol <= 40);
    let args = protocol.map(call.args);
    if let Some((name, trust)) = &call.early_input {
        let early = early_input(name, *trust, role).map_err(|text| fail(&text))?;
        if !early.is_empty() {
            send(w, &[format!("#early_input={}\n", early.len()).as_bytes(), &early]).await?;
        }
    }
    send(w, &[&call.module, b"\n"]).await?;
    loop {
        let answer = match line(r, observer, role).await {
            Err(Error::Eof) => return Err(fail(b"rsync: didn't get server startup line")),
            other => other?,
        };
        match Answer::parse(&answer) {
            Answer::AuthRequired(challenge) => {
                let Some(digest) = theirs.digest(agreed) else {
                    return Err(no_digest(observer, role, theirs.digests.unwrap_or_default()));
                };
                authenticate(call, w, observer, role, digest, challenge).await?;
            }
            Answer::Ok => break,
            Answer::Exit => return Ok(Admission::Listed),
            Answer::Error(text) => return Err(fail(text)),
            Answer::Text(text) => {
                if call.motd {
                    observer.say(MsgTag::Info, role, text);
                }
            }
        }
    }
    let (Some(protocol), Some(args)) = (protocol, args) else {
        return Err(ProtocolError::VersionMismatch { got: theirs.protocol }.into());
    };
    send_args(args, w, protocol).await?;
    let versions = Handshaken::Versions { remote: theirs.protocol, negotiated: protocol };
    observer.handshake(Side::Client, &versions);
    Ok(Admission::Admitted(protocol))
}

/// The arguments: strings ended with NUL or, before protocol 30, with a newline; an empty one is the last.
async fn send_args((argv, stream): Args, w: &mut Writer, protocol: ProtocolVersion) -> Result<(), Fault> {
    let end = if protocol.has_varints() { 0 } else { b'\n' };
    for word in argv.iter().map(Vec::as_slice).chain([&b""[..]]) {
        w.bytes(word).await?;
        w.u8(end).await?;
    }
    for word in stream.iter().flatten() {
        w.bytes(word).await?;
        w.u8(0).await?;
    }
    w.flush().await
}

async fn authenticate<O: Speak>(
    call: &DaemonCall<'_>,
    w: &mut Writer,
    observer: &O,
    role: Role,
    digest: AuthDigest,
    challenge: &[u8],
) -> Result<(), Fault> {
    let password = call.password.read(role.name());
    let password = password.map_err(|text| fail(observer, role, ExitCode::SYNTAX, text.as_bytes()))?;
    let answer = digest.answer(&password, challenge);
    send(w, &[&call.user, b" ", answer.as_bytes(), b"\n"]).await
}

async fn send(w: &mut Writer, parts: &[&[u8]]) -> Result<(), Fault> {
    for part in parts {
        w.bytes(part).await?;
    }
    w.flush().await
}

fn no_digest<O: Speak>(observer: &O, role: Role, theirs: &[u8]) -> Fault {
    let own = AuthDigest::CANONICAL.map(AuthDigest::name).join(" ");
    for text in [
        b"Failed to negotiate a daemon auth checksum choice.".to_vec(),
        [b"Server list: ", theirs].concat(),
        [b"Client list: ", own.as_bytes()].concat(),
    ] {
        observer.say(MsgTag::Error, role, &text);
    }
    Error::Exit(ExitCode::UNSUPPORTED)
}

fn early_input(name: &[u8], trust: Trust, role: Role) -> Result<Vec<u8>, Vec<u8>> {
    let mut text = Vec::new();
    // One byte more than is allowed tells that there is more.
    let read =
        vouched::read(name, trust).and_then(|file| file.take(MAX_EARLY as u64 + 1).read_to_end(&mut text));
    read.map_err(|e| {
        let why = strerror::suffix(e.raw_os_error().unwrap_or(0));
        let head = format!("rsync: [{}] failed to open ", role.name());
        [head.as_bytes(), name, why.as_bytes()].concat()
    })?;
    if text.len() > MAX_EARLY {
        return Err([name, format!(" is > {MAX_EARLY} bytes.").as_bytes()].concat());
    }
    Ok(text)
}

/// One line without its end. A NUL in it, or more than any daemon says, is the end of the conversation. A connection
/// that breaks here is one that said too little.
async fn line<O: Speak>(r: &mut Reader<'_, O>, observer: &O, role: Role) -> Result<Vec<u8>, Fault> {
    let mut line = Vec::new();
    loop {
        let byte = r.u8().await.map_err(|error| match error {
            Error::Io(e) if e.0.raw_os_error().is_some() && !crate::transport::is_interrupted() => {
                let why = strerror::suffix(e.0.raw_os_error().unwrap_or_default());
                let text = format!("rsync: [{}] safe_read failed to read 1 bytes{why}", role.name());
                fail(observer, role, ExitCode::STREAM_IO, text.as_bytes())
            }
            other => other,
        })?;
        match byte {
            b'\n' => return Ok(line),
            b'\r' => {}
            0 => return Err(Error::Eof),
            _ if line.len() == MAX_LINE => return Err(Error::Eof),
            byte => line.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use arsync_core::{
        io::{WireReader, WireWriter},
        ports::{Notice, Observer},
        session::Inbox,
    };
    use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, shutdown, socketpair};

    use super::*;
    use crate::{
        fuzz,
        ring::runtime::{Driver, build_with},
        session::FRAME_BUFFER,
        transport::PipeTransport,
    };

    /// What a user is shown.
    #[derive(Default)]
    struct Shown(RefCell<Vec<Vec<u8>>>);

    impl Observer for Shown {
        fn notice(&self, _from: Role, _notice: &Notice<'_>) {}
        fn peer_text(&self, _tag: MsgTag, _text: &[u8]) {}
    }

    impl Speak for Shown {
        fn say(&self, _tag: MsgTag, _role: Role, text: &[u8]) {
            self.0.borrow_mut().push(text.to_vec());
        }
    }

    /// What the user is shown, how it ends and what the daemon gets, when it says this and leaves.
    fn talk(said: &[u8]) -> (Vec<Vec<u8>>, Result<Admission, Fault>, Vec<u8>) {
        let (here, there) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        rustix::io::write(&there, said).unwrap();
        shutdown(&there, Shutdown::Write).unwrap();
        let shown = Shown::default();
        let request = DaemonCall {
            protocol: ProtocolVersion::MAX,
            module: b"mod".to_vec(),
            user: b"joe".to_vec(),
            password: Password::Given(b"secret".to_vec()),
            motd: true,
            early_input: None,
            args: &|_| (vec![b"--server".to_vec(), b".".to_vec()], None),
        };
        let runtime = build_with(Driver::Polling).unwrap();
        let ended = runtime.block_on(async {
            let transport = PipeTransport::from_fds(here.try_clone().unwrap(), here).unwrap();
            let (reader, writer) = transport.into_split();
            let mut r = WireReader::new(reader, Inbox::unattached());
            let mut w = WireWriter::new(writer, vec![0; FRAME_BUFFER]);
            call(&request, &mut r, &mut w, &shown, Role::Receiver).await
        });
        drop(runtime);
        let mut sent = Vec::new();
        std::fs::File::from(there).read_to_end(&mut sent).unwrap();
        (shown.0.into_inner(), ended, sent)
    }

    #[test]
    fn a_daemon_admits_or_says_why_not() {
        let (shown, ended, sent) =
            talk(b"@RSYNCD: 31.0 md5\nwelcome\n@RSYNCD: AUTHREQD MU5afzWriUqIYTCJcA0cJQ\n@RSYNCD: OK\n");
        assert_eq!(shown, [b"welcome"]);
        assert!(matches!(ended, Ok(Admission::Admitted(version)) if version.number() == 31));
        let tail = b"\nmod\njoe xmcmnjAX/gvHC5CCqHj+sQ\n--server\0.\0\0";
        assert!(sent.ends_with(tail), "{}", sent.escape_ascii());
        let (shown, ended, _) = talk(b"@RSYNCD: 31.0 md5\n@ERROR: Unknown module 'mod'\n");
        assert_eq!(shown, [b"@ERROR: Unknown module 'mod'"]);
        assert!(matches!(ended, Err(Error::Exit(ExitCode::START_CLIENT))));
    }

    #[test]
    fn spoiled_greetings_never_make_a_client_send_its_password() {
        fuzz::run("daemon_greeting", 2_000, |said| {
            let (_, ended, sent) = talk(said);
            assert_eq!(memchr::memmem::find(&sent, b"secret"), None);
            // A CR counts nowhere in a line.
            let lines: Vec<u8> = said.iter().copied().filter(|&b| b != b'\r').collect();
            let admitted = memchr::memmem::find(&lines, b"@RSYNCD: OK").is_some();
            assert!(admitted || !matches!(ended, Ok(Admission::Admitted(_))));
        });
    }
}
