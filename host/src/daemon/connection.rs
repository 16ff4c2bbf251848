//! One connection, from the greeting to the session (spec: order on a connection).

use std::{
    ffi::OsString,
    io::Read,
    os::{fd::OwnedFd, unix::ffi::OsStringExt},
};

use arsync_core::{
    exit::ExitCode,
    setup::daemon::{BadGreeting, EXIT, Greeting, MAX_REQUEST, OK, Request, greeting},
    version::ProtocolVersion,
};

use super::{
    access::{self, Peer, UNKNOWN},
    auth,
    config::{Config, Module, Param, expand},
    dialogue::{Dialogue, Gone, linger},
    journal::Journal,
    lookup::name_of,
    module::{self, Guest, Knock},
    proxy,
};
use crate::cli::asked::DaemonCli;

/// Seconds that a client has for what comes before a session, at most.
const PATIENCE: u32 = 60;
/// Seconds that a client has to read what it was told last.
const FAREWELL: u32 = 10;
/// Largest message of the day, bytes.
const MAX_MOTD: u64 = 1 << 20;

/// Who is at the other end of the descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plug {
    /// A client on a socket.
    Socket,
    /// A client behind a remote shell.
    Shell,
}

/// What serves.
pub(super) struct Server<'a> {
    /// The command line.
    pub(super) cli: &'a DaemonCli,
    /// The configuration.
    pub(super) config: &'a Config,
    /// The log.
    pub(super) journal: Journal,
    /// The way to the client.
    pub(super) plug: Plug,
}

/// How the conversation ends before there is a session.
#[derive(Debug)]
pub(super) enum End {
    /// The peer has left or is too slow.
    Gone(Gone),
    /// The client is told this, behind `@ERROR`.
    Refused(Vec<u8>),
    /// All was said.
    Done,
    /// The process has ended itself, with this code.
    Exit(ExitCode),
}

impl From<Gone> for End {
    fn from(gone: Gone) -> Self {
        Self::Gone(gone)
    }
}

/// A refusal with this text.
pub(super) fn refused(parts: &[&[u8]]) -> End {
    End::Refused(parts.concat())
}

/// Serves one connection.
pub(super) fn serve(mut server: Server<'_>, input: OwnedFd, output: OwnedFd) -> ExitCode {
    let socket = (server.plug == Plug::Socket).then(|| output.try_clone().ok()).flatten();
    let mut dialogue = Dialogue::new(input, output);
    let code = match converse(&mut server, &mut dialogue) {
        Ok(guest) => return module::receive(server, dialogue, guest, socket),
        Err(End::Done) => ExitCode::OK,
        Err(End::Exit(code)) => code,
        Err(End::Gone(Gone::Closed)) => ExitCode::START_CLIENT,
        Err(End::Gone(Gone::Late)) => {
            server.journal.warn("daemon handshake timeout -- exiting");
            return ExitCode::TIMEOUT;
        }
        Err(End::Refused(text)) => {
            let _ = dialogue.send(&[b"@ERROR: ", &text[..], b"\n"].concat());
            ExitCode::START_CLIENT
        }
    };
    if let Some(socket) = &socket {
        linger(socket, FAREWELL);
    }
    code
}

/// Seconds for the next part of the conversation; a client behind a shell has all the time it wants.
pub(super) fn patience(plug: Plug, timeout: i32) -> Option<u32> {
    let limit = u32::try_from(timeout).ok().filter(|limit| *limit > 0).unwrap_or(PATIENCE);
    (plug == Plug::Socket).then_some(limit.min(PATIENCE))
}

fn converse<'s>(server: &mut Server<'s>, dialogue: &mut Dialogue) -> Result<Guest<'s>, End> {
    let config = server.config;
    let globals = &config.globals;
    super::step_down(globals).map_err(|text| {
        server.journal.warn(&text);
        End::Exit(ExitCode::START_CLIENT)
    })?;
    dialogue.allow(patience(server.plug, globals.int(Param::Timeout)));
    let peer = meet(server, dialogue)?;
    let own = server.cli.protocol.and_then(|p| u8::try_from(p).ok()).and_then(ProtocolVersion::new);
    let own = own.unwrap_or(ProtocolVersion::MAX);
    dialogue.send(greeting(own).as_bytes())?;
    if let Some(text) = motd(config) {
        dialogue.send(&text)?;
    }
    let line = dialogue.line(MAX_REQUEST)?;
    let theirs = Greeting::parse(&line).map_err(|fault| match fault {
        BadGreeting::NotOne => refused(&[b"protocol startup error"]),
        BadGreeting::NoSubprotocol => refused(&[b"your client omitted the subprotocol value: ", &line]),
        BadGreeting::NoDigests => refused(&[b"your client omitted the digest name list: ", &line]),
    })?;
    let mut early_input = Vec::new();
    let module = loop {
        let line = dialogue.line(MAX_REQUEST)?;
        match Request::parse(&line) {
            Request::EarlyInput(len) => early_input = dialogue.bytes(len)?,
            Request::BadEarlyInput => return Err(refused(&[b"invalid early_input length"])),
            Request::Unknown(command) => return Err(refused(&[b"Unknown command '", command, b"'"])),
            Request::List => {
                server.journal.say(format!("module-list request from {}", peer.shown()));
                dialogue.send(&module_list(config))?;
                return Err(End::Done);
            }
            Request::Module(name) => break find(server, &peer, name)?,
        }
    };
    let agreed = theirs.agree(own);
    module::admit(server, dialogue, module, Knock { peer, theirs, agreed, early_input })
}

/// Finds out who connects.
fn meet(server: &Server<'_>, dialogue: &mut Dialogue) -> Result<Peer, End> {
    let globals = &server.config.globals;
    let mut peer = match server.plug {
        Plug::Socket => Peer::new(super::peer_address(dialogue.input())),
        Plug::Shell => Peer::new(super::shell_address(dialogue.input())),
    };
    if server.plug == Plug::Socket && globals.is(Param::ProxyProtocol) {
        let hosts = globals.text(Param::ProxyProtocolHosts).unwrap_or_default();
        if !access::is_proxy(hosts, &peer) {
            server.journal.warn(format!("rejecting connection from {}: not a proxy", peer.address));
            return Err(Gone::Closed.into());
        }
        if let Some(address) = proxy::read(dialogue)? {
            peer = Peer::new(address);
        }
    }
    if globals.is(Param::ReverseLookup) {
        name(&server.journal, &mut peer);
    }
    server.journal.say(format!("connect from {}", peer.shown()));
    Ok(peer)
}

/// Looks the name of a peer up.
pub(super) fn name(journal: &Journal, peer: &mut Peer) {
    peer.name = match peer.ip.filter(|ip| !ip.is_unspecified()).map(name_of) {
        Some(Ok(name)) => name,
        Some(Err(why)) => {
            journal.say(format!("name lookup failed for {}: {why}", peer.address));
            UNKNOWN.to_owned()
        }
        None => UNKNOWN.to_owned(),
    };
}

/// The message of the day, and the empty line behind it; that alone if there is no such file.
fn motd(config: &Config) -> Option<Vec<u8>> {
    let path = config.globals.text(Param::MotdFile)?;
    let path = expand(path, &environment);
    let mut text = Vec::new();
    if let Ok(file) = auth::open_trusted(&path) {
        let _ = file.take(MAX_MOTD).read_to_end(&mut text);
    }
    text.push(b'\n');
    Some(text)
}

/// A variable of the environment.
pub(super) fn environment(name: &str) -> Option<Vec<u8>> {
    std::env::var_os(name).map(OsString::into_vec)
}

fn module_list(config: &Config) -> Vec<u8> {
    let mut out = Vec::new();
    for module in config.modules.iter().filter(|module| module.values.is(Param::List)) {
        out.extend_from_slice(&module.name);
        out.resize(out.len() + 15usize.saturating_sub(module.name.len()), b' ');
        out.push(b'\t');
        out.extend(
            module.values.text(Param::Comment).map(|text| expand(text, &environment)).unwrap_or_default(),
        );
        out.push(b'\n');
    }
    out.extend_from_slice(EXIT);
    out
}

fn find<'s>(server: &Server<'s>, peer: &Peer, name: &[u8]) -> Result<&'s Module, End> {
    server.config.module(name).ok_or_else(|| {
        let from = format!("' tried from {}", peer.shown());
        server.journal.warn([b"unknown module '", name, from.as_bytes()].concat());
        refused(&[b"Unknown module '", name, b"'"])
    })
}

/// The line that ends the conversation well.
pub(super) const ADMITTED: &[u8] = OK;

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, shutdown, socketpair};

    use super::*;
    use crate::fuzz;

    /// What a client is answered that says this and leaves.
    fn answers(sent: &[u8], config: &Config) -> Vec<u8> {
        let (here, there) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        rustix::io::write(&there, sent).unwrap();
        shutdown(&there, Shutdown::Write).unwrap();
        let cli = DaemonCli::default();
        let journal = Journal::open(Some(b"/dev/null"), &config.globals);
        let server = Server { cli: &cli, config, journal, plug: Plug::Socket };
        serve(server, here.try_clone().unwrap(), here);
        let mut said = Vec::new();
        fs::File::from(there).read_to_end(&mut said).unwrap();
        said
    }

    /// Modules that nobody can enter: one wants a password, one lets no host in.
    fn locked(dir: &Path, head: &str) -> Config {
        let secrets = dir.join("secrets");
        fs::write(&secrets, "joe:a-long-secret\n").unwrap();
        fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(dir.join("motd"), "welcome\n").unwrap();
        let shown = dir.display();
        let text = format!(
            "{head}reverse lookup = no\nmotd file = {shown}/motd\nsecrets file = {shown}/secrets\n\
             path = {shown}\n[locked]\ncomment = c\nauth users = joe:ro *:deny\n[hidden]\nlist = no\n\
             hosts deny = *\n"
        );
        let path = dir.join("conf");
        fs::write(&path, text).unwrap();
        Config::load(&path, &[]).unwrap()
    }

    #[test]
    fn a_client_that_may_not_enter_is_told_so() {
        let dir = tempfile::tempdir().unwrap();
        let config = locked(dir.path(), "");
        let said = |sent: &str| String::from_utf8(answers(sent.as_bytes(), &config)).unwrap();
        let hello = "@RSYNCD: 32.0 sha512 sha256 sha1 md5 md4\nwelcome\n\n";
        assert_eq!(said("@RSYNCD: 31.0\n#list\n"), format!("{hello}locked         \tc\n@RSYNCD: EXIT\n"));
        assert_eq!(said("@RSYNCD: 31.0\n#x\n"), format!("{hello}@ERROR: Unknown command '#x'\n"));
        assert_eq!(said("@RSYNCD: 31.0\nhidden\n"), format!("{hello}@ERROR: Unknown module 'hidden'\n"));
        assert_eq!(said("hello\n"), format!("{hello}@ERROR: protocol startup error\n"));
        let asked = said("@RSYNCD: 31.0\nlocked\njoe guess\n");
        let asked =
            asked.strip_prefix(hello).and_then(|rest| rest.strip_prefix("@RSYNCD: AUTHREQD ")).unwrap();
        assert_eq!(asked.split_once('\n').unwrap().1, "@ERROR: auth failed on module locked\n");
    }

    /// The first byte says whether a proxy speaks first.
    #[test]
    fn spoiled_conversations_let_nobody_in() {
        fuzz::run("daemon_conversation", 4_000, |data| {
            thread_local! {
                static CONFIGS: [Config; 2] = {
                    let dir = tempfile::tempdir().unwrap().keep();
                    let proxied = "proxy protocol = yes\nproxy protocol hosts = *\n";
                    ["", proxied].map(|head| locked(&dir, head))
                };
            }
            let Some((&first, sent)) = data.split_first() else { return };
            CONFIGS.with(|configs| {
                let said = answers(sent, &configs[usize::from(first & 1)]);
                assert!(said.is_empty() || said.starts_with(b"@RSYNCD: 32.0 "));
                for secret in [OK, b"a-long-secret"] {
                    assert_eq!(memchr::memmem::find(&said, secret), None);
                }
            });
        });
    }
}
