//! What the operands mean: paths here, paths on another machine, modules of a daemon (spec: source and
//! destination arguments).

use arsync_core::{error::Role, exit::ExitCode};

use super::failure::{Failure, Stop};

/// One operand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operand {
    /// A path on this machine.
    Local(Vec<u8>),
    /// A path on another one.
    Remote(HostSpec),
}

/// `[USER@]HOST:PATH`, `[USER@]HOST::MODULE/PATH` or `rsync://[USER@]HOST[:PORT]/MODULE/PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostSpec {
    /// What stands before the host's `@`.
    pub(crate) user: Option<Vec<u8>>,
    /// The host, without brackets; may be empty.
    pub(crate) host: Vec<u8>,
    /// A module of a daemon, not a path behind a remote shell.
    pub(crate) daemon: bool,
    /// The port, where one is named.
    pub(crate) port: Option<u32>,
    /// What stands behind the host.
    pub(crate) path: Vec<u8>,
}

impl HostSpec {
    /// User and host as compared among source arguments.
    fn machine(&self) -> (Option<&[u8]>, &[u8]) {
        (self.user.as_deref(), &self.host)
    }

    /// The path, which is the directory that the shell starts in if none is named.
    fn path_or_here(&self) -> Vec<u8> {
        if self.path.is_empty() && !self.daemon { b".".to_vec() } else { self.path.clone() }
    }

    fn names_no_machine(&self) -> bool {
        self.host.is_empty() && self.user.is_none()
    }
}

impl Operand {
    /// Tells what an operand is.
    pub(crate) fn parse(text: &[u8]) -> Self {
        if let Some(spec) = url(text).or_else(|| colon(text)) {
            Self::Remote(spec)
        } else {
            Self::Local(text.to_vec())
        }
    }
}

/// `rsync://…`
fn url(text: &[u8]) -> Option<HostSpec> {
    const SCHEME: &[u8] = b"rsync://";
    let (scheme, rest) = text.split_at_checked(SCHEME.len())?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    let authority_len = memchr::memchr(b'/', rest).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_len);
    let (user, host) = split_user(authority);
    let (host, after) = match bracketed(host) {
        Some(parts) => parts,
        None => host.split_at(memchr::memchr(b':', host).unwrap_or(host.len())),
    };
    let port = match after {
        [] => None,
        [b':', digits @ ..] if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
            Some(core::str::from_utf8(digits).ok()?.parse().ok()?)
        }
        _ => return None,
    };
    let path = path.strip_prefix(b"/").unwrap_or(path).to_vec();
    Some(HostSpec { user, host: host.to_vec(), daemon: true, port, path })
}

/// `HOST:PATH` and `HOST::MODULE`.
fn colon(text: &[u8]) -> Option<HostSpec> {
    // A bracket quotes the colons of an address, so the user part must be known before the colon is.
    let plain = text.iter().position(|c| matches!(c, b':' | b'/'));
    let open = memchr::memchr(b'[', text)
        .filter(|&i| (i == 0 || text.get(i - 1) == Some(&b'@')) && plain.is_none_or(|p| i < p));
    let (user, host, after) = match open {
        Some(i) => {
            let (host, after) = bracketed(text.get(i..)?)?;
            let user = (i > 0).then(|| text[..i - 1].to_vec());
            (user, host, after)
        }
        None => {
            let (head, after) = text.split_at(plain?);
            let (user, host) = split_user(head);
            (user, host, after)
        }
    };
    let path = after.strip_prefix(b":")?;
    let (daemon, path) = match path {
        [b':', module @ ..] => (true, module),
        path => (false, path),
    };
    Some(HostSpec { user, host: host.to_vec(), daemon, port: None, path: path.to_vec() })
}

/// User and the rest, at the last `@`.
fn split_user(text: &[u8]) -> (Option<Vec<u8>>, &[u8]) {
    match memchr::memrchr(b'@', text) {
        Some(i) => (Some(text[..i].to_vec()), &text[i + 1..]),
        None => (None, text),
    }
}

/// `[ADDRESS]` and what follows it, which must be `:`, `/` or nothing.
fn bracketed(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = text.strip_prefix(b"[")?;
    let close = memchr::memchr(b']', inner)?;
    let after = &inner[close + 1..];
    matches!(after.first(), None | Some(b':' | b'/')).then(|| (&inner[..close], after))
}

/// How the other side is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Machine {
    /// User, for the remote shell or for the daemon.
    pub(crate) user: Option<Vec<u8>>,
    /// Host.
    pub(crate) host: Vec<u8>,
    /// By what.
    pub(crate) reach: Reach,
}

/// By what the other side is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// A remote shell that runs a server.
    Shell,
    /// A TCP connection to a daemon; the port, where the operand names one.
    Daemon(Option<u32>),
    /// A remote shell that runs a daemon for this connection.
    DaemonOverShell(Option<u32>),
}

impl Reach {
    /// A daemon of either kind.
    pub(crate) const fn is_daemon(self) -> bool {
        !matches!(self, Self::Shell)
    }
}

/// From where to where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// Both ends are here. Without a destination the sources are listed.
    Local {
        /// What to copy.
        sources: Vec<Vec<u8>>,
        /// Where to.
        dest: Option<Vec<u8>>,
    },
    /// This side sends.
    Push {
        /// What to copy.
        sources: Vec<Vec<u8>>,
        /// Where to.
        to: Machine,
        /// Path or module there.
        dest: Vec<u8>,
    },
    /// This side receives.
    Pull {
        /// Where from.
        from: Machine,
        /// Paths or modules there.
        paths: Vec<Vec<u8>>,
        /// Where to; without it the sources are listed.
        dest: Option<Vec<u8>>,
    },
    /// `--read-batch`: no source.
    Batch {
        /// Where to; or what is wrong with the operands, which is told when the file is open.
        dest: Result<Vec<u8>, Stop>,
    },
    /// This process was started by the other side.
    Server {
        /// It owns the source files.
        sender: bool,
        /// The first word: the directory that the other words are relative to, with clients of the reference `.`.
        start: Vec<u8>,
        /// The other words.
        args: Vec<Vec<u8>>,
    },
}

impl Route {
    /// The machine at the other end.
    pub(crate) const fn machine(&self) -> Option<&Machine> {
        match self {
            Self::Push { to, .. } => Some(to),
            Self::Pull { from, .. } => Some(from),
            _ => None,
        }
    }

    /// What this process is after the options were read, as messages name it.
    pub(crate) const fn role(&self) -> Role {
        match self {
            Self::Local { .. } | Self::Push { .. } | Self::Server { sender: true, .. } => Role::Sender,
            _ => Role::ReceiverSide,
        }
    }
}

/// What the choice of a route depends on beside the operands.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RouteOptions<'a> {
    /// A batch file is read.
    pub(crate) read_batch: bool,
    /// `-e` was given.
    pub(crate) shell_given: bool,
    /// Empty destinations pass (`--old-args`).
    pub(crate) old_args: bool,
    /// The value of `--files-from`.
    pub(crate) files_from: Option<&'a [u8]>,
}

fn fail(text: impl Into<Vec<u8>>, role: Role) -> Stop {
    Failure::plain(text, ExitCode::SYNTAX, role).into()
}

/// Decides from where to where, for a client. The checks are made in the order of the reference.
pub(crate) fn route(operands: &[Vec<u8>], options: &RouteOptions<'_>) -> Result<Route, Stop> {
    if options.read_batch {
        return Ok(Route::Batch { dest: batch_dest(operands.last()) });
    }
    let Some((first, rest)) = operands.split_first() else {
        return Err(Stop::Usage(Role::ReceiverSide));
    };
    let files_from_host = options.files_from.and_then(|text| match Operand::parse(text) {
        Operand::Remote(spec) => Some(spec),
        Operand::Local(_) => None,
    });
    let reach = |spec: &HostSpec| match (spec.daemon, options.shell_given) {
        (false, _) => Reach::Shell,
        (true, true) => Reach::DaemonOverShell(spec.port),
        (true, false) => Reach::Daemon(spec.port),
    };
    let machine =
        |spec: &HostSpec| Machine { user: spec.user.clone(), host: spec.host.clone(), reach: reach(spec) };
    let last = rest.split_last();
    let route = match (Operand::parse(first), last) {
        (Operand::Remote(spec), last) => {
            let role = Role::ReceiverSide;
            let dest = match last.map(|(dest, _)| Operand::parse(dest)) {
                None => None,
                Some(Operand::Local(path)) => Some(path),
                // One more source, and the place here for all of them: the reference takes it for both.
                Some(Operand::Remote(spec))
                    if spec.names_no_machine() && !spec.daemon && !spec.path.is_empty() =>
                {
                    Some(spec.path)
                }
                Some(Operand::Remote(_)) => {
                    return Err(fail("The source and destination cannot both be remote.", role));
                }
            };
            let further = match last {
                Some((last, further)) if dest.as_ref() == Some(last) => further,
                _ => rest,
            };
            if files_from_host.is_some_and(|f| !f.names_no_machine() && f.machine() != spec.machine()) {
                let text = "--files-from hostname is not the same as the transfer hostname";
                return Err(fail(text, role));
            }
            let mut paths = vec![spec.path_or_here()];
            for text in further {
                paths.push(further_source(text, &spec, role)?);
            }
            Route::Pull { from: machine(&spec), paths, dest }
        }
        (Operand::Local(_), last) => {
            let role = Role::Sender;
            let (sources, dest) = match last {
                Some((dest, _)) => (&operands[..operands.len() - 1], Some(dest)),
                None => (operands, None),
            };
            let to = dest.map(|d| Operand::parse(d));
            if let Some(Operand::Local(path)) = &to
                && path.is_empty()
                && !options.old_args
            {
                let text = "Empty destination arg specified (use \".\" or see --old-args).";
                return Err(fail(text, role));
            }
            match (&to, &files_from_host) {
                (Some(Operand::Remote(spec)), Some(list))
                    if !list.names_no_machine() && list.machine() != spec.machine() =>
                {
                    let text = "--files-from hostname is not the same as the transfer hostname";
                    return Err(fail(text, role));
                }
                (Some(Operand::Local(_)) | None, Some(_)) => {
                    return Err(fail("--files-from cannot be remote when the transfer is local", role));
                }
                _ => {}
            }
            for source in sources {
                if source.is_empty() {
                    return Err(fail("Empty source arg specified.", role));
                }
                if matches!(Operand::parse(source), Operand::Remote(_)) {
                    return Err(fail([b"Unexpected remote arg: ", &source[..]].concat(), role));
                }
            }
            let sources = sources.to_vec();
            match to {
                Some(Operand::Remote(spec)) => {
                    Route::Push { sources, to: machine(&spec), dest: spec.path_or_here() }
                }
                Some(Operand::Local(dest)) => Route::Local { sources, dest: Some(dest) },
                None => Route::Local { sources, dest: None },
            }
        }
    };
    Ok(route)
}

/// The place for what a batch file says.
fn batch_dest(last: Option<&Vec<u8>>) -> Result<Vec<u8>, Stop> {
    match last.map(|text| Operand::parse(text)) {
        Some(Operand::Local(dest)) => Ok(dest),
        Some(Operand::Remote(_)) => {
            Err(fail("remote destination is not allowed with --read-batch", Role::ReceiverSide))
        }
        None => Err(Stop::Usage(Role::ReceiverSide)),
    }
}

/// The path of a further source of a pull, which must be on the machine of the first.
fn further_source(text: &[u8], first: &HostSpec, role: Role) -> Result<Vec<u8>, Stop> {
    let spec = match Operand::parse(text) {
        Operand::Remote(spec) => spec,
        Operand::Local(_) => {
            let hint = b"\nIf arg is a remote file/dir, prefix it with a colon (:).";
            return Err(fail([b"Unexpected local arg: ", text, hint].concat(), role));
        }
    };
    if !spec.names_no_machine() && spec.machine() != first.machine() {
        return Err(fail("All source args must come from the same machine.", role));
    }
    if spec.daemon != first.daemon {
        return Err(fail("All source args must use the same hostspec format.", role));
    }
    if spec.port.is_some() && spec.port != first.port {
        return Err(fail("All source args must use the same port number.", role));
    }
    Ok(spec.path_or_here())
}

/// The checks of the host itself, which come after those of the options of daemon connections.
pub(crate) fn check_host(machine: &Machine, role: Role) -> Result<(), Stop> {
    if machine.host.first() == Some(&b'-') {
        return Err(fail("Invalid remote host: hostnames may not start with '-'.", role));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match Operand::parse(text.as_bytes()) {
            Operand::Local(_) => "local".into(),
            Operand::Remote(s) => {
                let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
                let user = s.user.as_deref().map(|u| text(u) + "@").unwrap_or_default();
                let port = s.port.map(|p| format!(" port {p}")).unwrap_or_default();
                let kind = if s.daemon { "daemon" } else { "shell" };
                format!("{kind} {user}{} {}{port}", text(&s.host), text(&s.path))
            }
        }
    }

    #[test]
    fn operands_as_observed() {
        for (text, meaning) in [
            ("h:a", "shell h a"),
            ("h:", "shell h "),
            (":a", "shell  a"),
            ("u@h:a", "shell u@h a"),
            ("u@v@h:a", "shell u@v@h a"),
            ("@h:a", "shell @h a"),
            ("u@:a", "shell u@ a"),
            ("[::1]:a", "shell ::1 a"),
            ("u@[::1]:a", "shell u@::1 a"),
            ("[::1]x:a", "local"),
            ("[::1]/a:b", "local"),
            ("h::m/a", "daemon h m/a"),
            ("h::", "daemon h "),
            ("./a:b", "local"),
            ("a/b:c", "local"),
            ("a", "local"),
            ("rsync://h/m/a", "daemon h m/a"),
            ("RSYNC://u@h:99/m", "daemon u@h m port 99"),
            ("rsync://h", "daemon h "),
            ("rsync://[::1]:8/m", "daemon ::1 m port 8"),
            ("rsync://h:x/y", "shell rsync //h:x/y"),
            ("rsync:x", "shell rsync x"),
        ] {
            assert_eq!(shown(text), meaning, "{text}");
        }
    }

    fn refusal(operands: &[&str], options: &RouteOptions<'_>) -> String {
        let operands: Vec<Vec<u8>> = operands.iter().map(|o| o.as_bytes().to_vec()).collect();
        match route(&operands, options) {
            Err(Stop::Fail(f)) => format!("{} [{}]", String::from_utf8(f.text).unwrap().trim_end(), f.role),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_last_source_that_names_no_machine_is_the_destination_too() {
        let operands = [&b"h:a"[..], b":b", b":c"].map(<[u8]>::to_vec);
        let Ok(Route::Pull { paths, dest, .. }) = route(&operands, &RouteOptions::default()) else {
            panic!("no pull");
        };
        assert_eq!(paths, [b"a", b"b", b"c"]);
        assert_eq!(dest.as_deref(), Some(&b"c"[..]));
    }

    #[test]
    fn refused_combinations() {
        for (operands, text) in [
            (&["h:a", "h:b"][..], "The source and destination cannot both be remote. [Receiver]"),
            (&["a", "h:b", "c"], "Unexpected remote arg: h:b [sender]"),
            (
                &["h:a", "b", "c"],
                "Unexpected local arg: b\nIf arg is a remote file/dir, prefix it with a colon (:). [Receiver]",
            ),
            (&["h:a", "i:b", "c"], "All source args must come from the same machine. [Receiver]"),
            (&["h:a", "h::b", "c"], "All source args must use the same hostspec format. [Receiver]"),
            (&["h::a", "rsync://h:874/b", "c"], "All source args must use the same port number. [Receiver]"),
            (&["", "d"], "Empty source arg specified. [sender]"),
            (&["a", ""], "Empty destination arg specified (use \".\" or see --old-args). [sender]"),
        ] {
            assert_eq!(refusal(operands, &RouteOptions::default()), text, "{operands:?}");
        }
        let list = RouteOptions { files_from: Some(b"h:x"), ..RouteOptions::default() };
        assert_eq!(
            refusal(&["h2:s", "d"], &list),
            "--files-from hostname is not the same as the transfer hostname [Receiver]"
        );
        assert_eq!(
            refusal(&["s", "d"], &list),
            "--files-from cannot be remote when the transfer is local [sender]"
        );
    }

    #[test]
    fn routes() {
        let route = |operands: &[&str]| {
            let operands: Vec<Vec<u8>> = operands.iter().map(|o| o.as_bytes().to_vec()).collect();
            route(&operands, &RouteOptions::default()).unwrap()
        };
        let shell = |user: Option<&str>| Machine {
            user: user.map(|u| u.into()),
            host: b"h".to_vec(),
            reach: Reach::Shell,
        };
        assert_eq!(
            route(&["u@h:a", ":b", "u@h:c", "d"]),
            Route::Pull {
                from: shell(Some("u")),
                paths: vec![b"a".to_vec(), b"b".to_vec(), b"c".to_vec()],
                dest: Some(b"d".to_vec()),
            }
        );
        assert_eq!(
            route(&["h:a"]),
            Route::Pull { from: shell(None), paths: vec![b"a".to_vec()], dest: None }
        );
        assert_eq!(
            route(&["a", "b", "h:"]),
            Route::Push { sources: vec![b"a".to_vec(), b"b".to_vec()], to: shell(None), dest: b".".to_vec() }
        );
        assert_eq!(route(&["a"]), Route::Local { sources: vec![b"a".to_vec()], dest: None });
    }
}
