//! The remote shell: splitting of its command text, and its argument vector (spec: remote shell command).

use arsync_core::{error::Role, exit::ExitCode};

use super::{
    failure::Failure,
    operands::{Machine, Reach},
};

/// Splits a command text at blanks. Quotes of both kinds quote; inside, a doubled quote is one quote.
pub(crate) fn split(command: &[u8], role: Role) -> Result<Vec<Vec<u8>>, Failure> {
    let mut words: Vec<Vec<u8>> = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote: Option<u8> = None;
    let mut rest = command.iter().copied().peekable();
    while let Some(c) = rest.next() {
        match quote {
            Some(q) if c == q => {
                if rest.next_if_eq(&q).is_some() {
                    word.get_or_insert_default().push(q);
                } else {
                    quote = None;
                }
            }
            None if c == b' ' => words.extend(word.take()),
            None if matches!(c, b'\'' | b'"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            _ => word.get_or_insert_default().push(c),
        }
    }
    if let Some(q) = quote {
        let text = format!("Missing trailing-{} in remote-shell command.", char::from(q));
        return Err(Failure::plain(text, ExitCode::SYNTAX, role));
    }
    words.extend(word);
    Ok(words)
}

/// How the remote shell is called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShellCommand<'a> {
    /// The text of `-e`, or its default.
    pub(crate) rsh: &'a [u8],
    /// `--rsync-path`, or its default.
    pub(crate) rsync_path: &'a [u8],
    /// 4 or 6.
    pub(crate) ip_version: Option<u8>,
}

/// Argument vector of the remote shell. `server_args`: what follows the program on the other side; not used for
/// a daemon, which is told everything through the connection.
pub(crate) fn argv(
    command: &ShellCommand<'_>,
    machine: &Machine,
    server_args: Vec<Vec<u8>>,
    role: Role,
) -> Result<Vec<Vec<u8>>, Failure> {
    let mut argv = split(command.rsh, role)?;
    let daemon = machine.reach.is_daemon();
    // With a daemon the user is the daemon's unless the shell already has one of its own.
    let names_user = argv.iter().skip(1).any(|word| word == b"-l");
    if let Some(user) = &machine.user
        && !(daemon && names_user)
    {
        argv.push(b"-l".to_vec());
        argv.push(user.clone());
    }
    let is_ssh = argv.first().is_some_and(|p| p.rsplit(|&b| b == b'/').next() == Some(b"ssh"));
    if let Some(version) = command.ip_version
        && is_ssh
    {
        argv.push(format!("-{version}").into_bytes());
    }
    argv.push(machine.host.clone());
    argv.push(command.rsync_path.to_vec());
    match machine.reach {
        Reach::DaemonOverShell(_) => argv.extend([&b"--server"[..], b"--daemon", b"."].map(<[u8]>::to_vec)),
        Reach::Shell | Reach::Daemon(_) => argv.extend(server_args),
    }
    Ok(argv)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(words: &[Vec<u8>]) -> String {
        words.iter().map(|w| format!("[{}]", String::from_utf8_lossy(w))).collect()
    }

    #[test]
    fn splitting() {
        for (text, words) in [
            ("./rsh a  \"b c\" d\"e\"\"f\"g 'x''y'", "[./rsh][a][b c][de\"fg][x'y]"),
            (" ./rsh  ", "[./rsh]"),
            ("./rsh \"\"", "[./rsh][]"),
            ("ssh -p 22 'a\\b'", "[ssh][-p][22][a\\b]"),
            ("", ""),
        ] {
            assert_eq!(shown(&split(text.as_bytes(), Role::Sender).unwrap()), words, "{text}");
        }
        let open = split(b"./rsh \"a", Role::ReceiverSide).unwrap_err();
        assert_eq!(open.text, b"Missing trailing-\" in remote-shell command.\n");
    }

    fn line(rsh: &str, user: Option<&str>, reach: Reach, ip_version: Option<u8>) -> String {
        let machine = Machine { user: user.map(|u| u.as_bytes().to_vec()), host: b"h".to_vec(), reach };
        let command = ShellCommand { rsh: rsh.as_bytes(), rsync_path: b"rsync", ip_version };
        shown(&argv(&command, &machine, vec![b"--server".to_vec()], Role::Sender).unwrap())
    }

    #[test]
    fn vectors_as_observed() {
        assert_eq!(
            line("bin/ssh", Some("u"), Reach::Shell, Some(6)),
            "[bin/ssh][-l][u][-6][h][rsync][--server]"
        );
        assert_eq!(line("./rsh", None, Reach::Shell, Some(4)), "[./rsh][h][rsync][--server]");
        let daemon = Reach::DaemonOverShell(None);
        assert_eq!(
            line("./rsh", Some("joe"), daemon, None),
            "[./rsh][-l][joe][h][rsync][--server][--daemon][.]"
        );
        assert_eq!(
            line("./rsh -l x", Some("joe"), daemon, None),
            "[./rsh][-l][x][h][rsync][--server][--daemon][.]"
        );
        assert_eq!(
            line("./rsh -lx", Some("joe"), daemon, None),
            "[./rsh][-lx][-l][joe][h][rsync][--server][--daemon][.]"
        );
        assert_eq!(
            line("./rsh -l x", Some("joe"), Reach::Shell, None),
            "[./rsh][-l][x][-l][joe][h][rsync][--server]"
        );
    }
}
