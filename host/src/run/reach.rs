//! How the machine of an operand is reached: the link, and what a daemon is told first.

use std::{env, ffi::OsString, io::Write, os::unix::ffi::OsStringExt};

use arsync_core::{error::Role, exit::ExitCode, mux::MsgTag, version::ProtocolVersion};

use crate::{
    cli::{
        operands::{Machine, Reach, Route},
        remote_shell::{self, ShellCommand},
        resolve::Resolved,
        server_args::module_of,
    },
    output::console::Console,
    session::{Args, DaemonCall, Link, Password, Speak, TcpCall},
    transport::Proxy,
    vouched::Trust,
};

/// Port of daemons.
const PORT: u32 = 873;

/// The arguments of a daemon, for a version.
type ArgsOf<'a> = dyn Fn(ProtocolVersion) -> Args + 'a;

/// The link to a machine. `args`: the server's argument vector, for a remote shell.
pub(super) fn reach<'a>(
    resolved: &Resolved,
    to: &Machine,
    args: Vec<Vec<u8>>,
    daemon_args: &'a ArgsOf<'a>,
    console: &Console,
) -> Result<(Link, Option<DaemonCall<'a>>), ExitCode> {
    let role = resolved.route.role();
    if let Reach::Daemon(port) = to.reach {
        let link = socket(resolved, to, port, role, console)?;
        return Ok((link, Some(daemon_call(resolved, to, daemon_args))));
    }
    let command = ShellCommand {
        rsh: &resolved.rsh,
        rsync_path: &resolved.rsync_path,
        ip_version: resolved.cli.ip_version,
    };
    let command = remote_shell::argv(&command, to, args, role).map_err(|failure| {
        let _ = std::io::stderr().lock().write_all(&failure.text);
        failure.code
    })?;
    Ok(match to.reach {
        Reach::DaemonOverShell(port) => {
            let port = port.unwrap_or(u32::try_from(resolved.cli.port).unwrap_or(0));
            (Link::DaemonShell(command, port), Some(daemon_call(resolved, to, daemon_args)))
        }
        Reach::Shell | Reach::Daemon(_) => (Link::Program(command), None),
    })
}

/// The first path at the other machine.
pub(super) fn first_path(resolved: &Resolved) -> &[u8] {
    match &resolved.route {
        Route::Push { dest, .. } => dest,
        Route::Pull { paths, .. } => paths.first().map_or(b"", Vec::as_slice),
        _ => b"",
    }
}

fn variable(name: &str) -> Option<Vec<u8>> {
    env::var_os(name).map(OsString::into_vec)
}

/// What stands in for a socket, or the socket.
fn socket(
    resolved: &Resolved,
    to: &Machine,
    port: Option<u32>,
    role: Role,
    console: &Console,
) -> Result<Link, ExitCode> {
    let cli = &resolved.cli;
    let refuse = |text: &str| {
        console.say(MsgTag::Error, role, text.as_bytes());
        ExitCode::UNSUPPORTED
    };
    if let Some(program) = variable("RSYNC_CONNECT_PROG") {
        let command = connector(&program, &to.host)
            .ok_or_else(|| refuse("unsafe host characters for RSYNC_CONNECT_PROG"))?;
        return Ok(Link::Connector(command));
    }
    let proxy = variable("RSYNC_PROXY").filter(|text| !text.is_empty());
    let proxy =
        proxy.map(|text| Proxy::parse(&String::from_utf8_lossy(&text))).transpose().map_err(|fault| {
            console.say(MsgTag::Error, role, fault.to_string().as_bytes());
            ExitCode::SOCKET_IO
        })?;
    let typed = u32::try_from(cli.port).ok().filter(|port| *port > 0);
    let port = port.filter(|port| *port > 0).or(typed).unwrap_or(PORT);
    console.dialing(&to.host, port);
    Ok(Link::Tcp(TcpCall {
        host: to.host.clone(),
        port,
        family: cli.ip_version,
        address: cli.address.clone(),
        options: cli.sockopts.clone(),
        limit: u32::try_from(cli.contimeout).unwrap_or(0),
        proxy,
    }))
}

/// The command of `RSYNC_CONNECT_PROG`: `%H` is the host, quoted, and `%%` a percent sign.
fn connector(program: &[u8], host: &[u8]) -> Option<Vec<u8>> {
    if !program.contains(&b'%') {
        return Some(program.to_vec());
    }
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"._:%+~-".contains(b);
    let first = host.first()?;
    if b"-+~%".contains(first) || !host.iter().all(plain) {
        return None;
    }
    let mut command = Vec::new();
    let mut rest = program.iter();
    while let Some(&b) = rest.next() {
        match (b, rest.as_slice().first()) {
            (b'%', Some(b'H')) => {
                rest.next();
                command.extend([b"'", host, b"'"].concat());
            }
            (b'%', Some(b'%')) => {
                rest.next();
                command.push(b'%');
            }
            _ => command.push(b),
        }
    }
    Some(command)
}

fn daemon_call<'a>(resolved: &Resolved, to: &Machine, args: &'a ArgsOf<'a>) -> DaemonCall<'a> {
    let cli = &resolved.cli;
    let trust = Trust::of(cli.insecure_links);
    let path = match &resolved.route {
        Route::Push { dest, .. } => dest,
        Route::Pull { paths, .. } => paths.first().map_or(&[][..], |path| path),
        _ => &[][..],
    };
    // A variable that is there but empty hides the next.
    let user = to.user.clone().or_else(|| variable("USER").or_else(|| variable("LOGNAME")));
    DaemonCall {
        protocol: resolved.opts.max_protocol(),
        module: module_of(path).to_vec(),
        user: user.filter(|user| !user.is_empty()).unwrap_or_else(|| b"nobody".to_vec()),
        password: match (&cli.password_file, variable("RSYNC_PASSWORD")) {
            (Some(file), _) => Password::File(file.clone(), trust),
            (None, Some(password)) => Password::Given(password),
            (None, None) => Password::Ask,
        },
        motd: !cli.no_motd,
        early_input: cli.early_input.clone().map(|file| (file, trust)),
        args,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_connector_is_quoted_and_checked() {
        let command = |program: &str, host: &str| {
            connector(program.as_bytes(), host.as_bytes()).map(|c| String::from_utf8(c).unwrap())
        };
        assert_eq!(command("nc %H 873", "h.example"), Some("nc 'h.example' 873".into()));
        assert_eq!(command("echo 100%% %x %H", "h"), Some("echo 100% %x 'h'".into()));
        assert_eq!(command("nc fixed", "a'b"), Some("nc fixed".into()));
        for host in ["", "-h", "~h", "a'b", "a b", "$(x)"] {
            assert_eq!(command("nc %H", host), None, "{host}");
        }
    }
}
