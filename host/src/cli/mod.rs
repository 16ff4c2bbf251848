//! The command line: from an argument vector to what a session is asked to do, and to the argument vector of a
//! server.
//!
//! `argv` splits and lets clap parse, `parse` evaluates from left to right, `resolve` makes the cross checks and
//! decides what is meant. Nothing here reads or writes files, except that the list of `--files-from` is opened.

pub(crate) mod aliases;
pub(crate) mod argv;
pub(crate) mod asked;
pub(crate) mod batch_script;
pub(crate) mod date;
pub(crate) mod failure;
pub(crate) mod help;
pub(crate) mod number;
pub(crate) mod operands;
pub(crate) mod options;
pub(crate) mod parse;
pub(crate) mod remote_shell;
pub(crate) mod resolve;
pub(crate) mod server_args;
pub(crate) mod words;

use std::{ffi::OsString, os::unix::ffi::OsStringExt};

use arsync_core::{error::Role, exit::ExitCode};

use asked::{Cli, DaemonCli};
use failure::{Failure, Heard, Refused, Stop};
use parse::World;
use resolve::Resolved;

/// What a command line asks for.
#[derive(Debug)]
pub(crate) enum Command {
    /// A transfer or a listing, as client or as server.
    Session(Box<Resolved>),
    /// A server whose further arguments come through its stdin (`-s`): read strings up to an empty one and call
    /// [`secluded`]. With the text of `--iconv`, which holds for these strings already.
    Secluded(Option<Vec<u8>>),
    /// `--daemon`, or with its `server` field set a daemon for one connection on stdin and stdout.
    Daemon(Box<DaemonCli>),
}

/// Parses and resolves a command line (without the program's name) and refuses what this build cannot do.
pub(crate) fn command(argv: &[OsString], world: &World<'_>) -> Result<Command, Refused> {
    if argv.is_empty() {
        return Err(Stop::Usage(Role::Client).into());
    }
    let mut cli = Cli::default();
    match parse::parse_into(&mut cli, argv, world) {
        Ok(Some(daemon)) => Ok(Command::Daemon(Box::new(daemon))),
        Ok(None) if needs_secluded(&cli) => Ok(Command::Secluded(cli.iconv)),
        Ok(None) => session(cli, world),
        Err(stop) => Err(Refused { stop, heard: Heard::of(&cli) }),
    }
}

/// Parses again with the strings that a client sent: its program name, options, `.`, and paths.
pub(crate) fn secluded(
    first: &[OsString],
    strings: Vec<Vec<u8>>,
    world: &World<'_>,
) -> Result<Command, Refused> {
    let mut argv = first.to_vec();
    argv.extend(strings.into_iter().skip(1).map(OsString::from_vec));
    let mut cli = Cli::default();
    match parse::parse_into(&mut cli, &argv, world) {
        Ok(None) => session(cli, world),
        Ok(Some(_)) => Err(hack().into()),
        Err(stop) => Err(Refused { stop, heard: Heard::of(&cli) }),
    }
}

/// A server with `-s` whose command line ends before the `.`.
fn needs_secluded(cli: &Cli) -> bool {
    cli.server && cli.secluded_args == Some(true) && cli.version == 0
}

/// A client must not turn a server into a daemon.
fn hack() -> Stop {
    Failure::plain("Attempt to hack rsync thwarted!", ExitCode::SYNTAX, Role::Server).into()
}

fn session(cli: Cli, world: &World<'_>) -> Result<Command, Refused> {
    let heard = Heard::of(&cli);
    match resolve::resolve(cli, world) {
        Ok(resolved) => Ok(Command::Session(Box::new(resolved))),
        Err(stop) => {
            let all = matches!(stop, Stop::Usage(_));
            Err(Refused { stop, heard: Heard { all, ..heard } })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use asked::Line;
    use remote_shell::ShellCommand;

    /// Text on stderr, exit code and role of a line that is refused.
    fn refusal(args: &[&str]) -> (String, u8, String) {
        let argv: Vec<OsString> = args.iter().map(OsString::from).collect();
        let world = World { program: "rsync", env: &|_| None, now: 1_795_000_000 };
        let line = match parse::parse(&argv, &world) {
            Ok(Line::Run(cli)) => resolve::resolve(*cli, &world).and_then(|r| {
                // The shell is the last thing that can be wrong.
                if let Some(machine) = r.route.machine() {
                    let command = ShellCommand { rsh: &r.rsh, rsync_path: &r.rsync_path, ip_version: None };
                    remote_shell::argv(&command, machine, Vec::new(), r.route.role())?;
                }
                Ok(())
            }),
            Ok(Line::Daemon) => Ok(()),
            Err(stop) => Err(stop),
        };
        match line {
            Err(Stop::Fail(f)) => (
                String::from_utf8(f.text).unwrap().trim_end_matches('\n').into(),
                f.code.0,
                f.role.name().into(),
            ),
            other => (format!("{other:?}"), 0, String::new()),
        }
    }

    /// Command lines (items separated by `|`), and text, exit code and role of the reference.
    #[rustfmt::skip]
    const REFUSED: &[(&str, &str, u8, &str)] = &[
        ("--timeout=9x|s|d", "rsync: --timeout=9x: invalid numeric value", 1, "client"),
        ("--timeout|9x|s|d", "rsync: 9x: invalid numeric value", 1, "client"),
        ("-vQ", "rsync: -vQ: unknown option", 1, "client"),
        ("--verb", "rsync: --verb: unknown option", 1, "client"),
        ("--exclude", "rsync: --exclude: missing argument", 1, "client"),
        ("-avf", "rsync: -avf: missing argument", 1, "client"),
        ("--verbose=1", "rsync: --verbose=1: option does not take an argument", 1, "client"),
        ("-v=1", "rsync: -v=1: option does not take an argument", 1, "client"),
        ("--timeout=99999999999", "rsync: --timeout=99999999999: number too large or too small", 1, "client"),
        ("--info=bogus|-Q", "Unknown --info item: \"bogus\"", 1, "client"),
        ("-Q|--info=bogus", "rsync: -Q: unknown option", 1, "client"),
        ("-NQ|s|d", "rsync: This rsync does not support --crtimes (-N)", 1, "client"),
        ("--server|-Q|.|d", "rsync: on remote machine: -Q: unknown option", 1, "server"),
        ("--server|--timeout=x|.|d", "rsync: on remote machine: --timeout=x: invalid numeric value", 1, "server"),
        ("--server|-N|.|d", "rsync: The server does not support --crtimes (-N)", 1, "server"),
        ("--server|-B9999999|.|d", "rsync: --block-size=9999999 is too large (max: 128.00K)", 1, "server"),
        ("--server|--cc=foo|.|d", "unknown checksum name: foo", 4, "server"),
        ("--server|-r|--delete-before|--delete-after|.|d", "rsync: You may not combine multiple --delete-WHEN options.", 1, "server"),
        ("--stderr=x|s|d", "rsync: --stderr mode \"x\" is not one of errors, all, or client", 1, "client"),
        ("--stderr=|s|d", "rsync: --stderr mode \"\" is not one of errors, all, or client", 1, "client"),
        ("--stderr=ALL|s|d", "rsync: --stderr mode \"ALL\" is not one of errors, all, or client", 1, "client"),
        ("--debug=foo|s|d", "Unknown --debug item: \"foo\"", 1, "client"),
        ("--info=name-1|s|d", "Unknown --info item: \"name-\"", 1, "client"),
        ("--chmod=x|s|d", "rsync: Invalid argument passed to --chmod (x)", 1, "client"),
        ("--usermap=a:b|--usermap=c:d|s|d", "rsync: You can only specify --usermap once.", 1, "client"),
        ("--usermap=a:b|--chown=x|s|d", "rsync: --chown conflicts with prior --usermap.", 1, "client"),
        ("--chown=x|--usermap=a:b|s|d", "rsync: --usermap conflicts with prior --chown.", 1, "client"),
        ("--chown=:x|--groupmap=a:b|s|d", "rsync: --groupmap conflicts with prior --chown.", 1, "client"),
        ("--chown=:x|--chown=:y|s|d", "rsync: You can only specify a group-affecting --chown once.", 1, "client"),
        ("--chown=x|--chown=y|s|d", "rsync: You can only specify a user-affecting --chown once.", 1, "client"),
        ("--groupmap=x:1|--chown=:y|s|d", "rsync: --chown conflicts with prior --groupmap.", 1, "client"),
        ("--max-alloc=1k|s|d", "rsync: --max-alloc=1k is too small (min: 1.00M or 0 for unlimited)", 1, "client"),
        ("--max-alloc=x|s|d", "rsync: --max-alloc=x is invalid", 1, "client"),
        ("--bwlimit=511b|s|d", "rsync: --bwlimit=511b is too small (min: 512 or 0 for unlimited)", 1, "client"),
        ("--bwlimit=-1|s|d", "rsync: --bwlimit=-1 is too large", 1, "client"),
        ("--min-size=-5k|s|d", "rsync: --min-size=-5k is too large", 1, "client"),
        ("--max-size=-.5x|s|d", "rsync: --max-size=-.5x is too large", 1, "client"),
        ("--max-alloc=-0|s|d", "rsync: --max-alloc=-0 is invalid", 1, "client"),
        ("--block-size=-5|s|d", "rsync: --block-size=-5 is too large (max: 128.00K)", 1, "client"),
        ("--block-size=-1|s|d", "rsync: --block-size=-1 is too large (max: 128.00K)", 1, "client"),
        ("--block-size=131073|s|d", "rsync: --block-size=131073 is too large (max: 128.00K)", 1, "client"),
        ("-rB=700x|s|d", "rsync: --block-size=700x is invalid", 1, "client"),
        ("--max-size=9999999999999P|s|d", "rsync: --max-size=9999999999999P is too large", 1, "client"),
        ("--max-size=+1|s|d", "rsync: --max-size=+1 is invalid", 1, "client"),
        ("--max-size=9223372036854775807|s|d", "rsync: --max-size=9223372036854775807 is too large", 1, "client"),
        ("--max-size=8388607.9P|s|d", "rsync: --max-size=8388607.9P is too large", 1, "client"),
        ("--max-size=5iB|s|d", "rsync: --max-size=5iB is invalid", 1, "client"),
        ("--max-size=1KI|s|d", "rsync: --max-size=1KI is invalid", 1, "client"),
        ("--stop-after=x|s|d", "rsync: invalid --stop-after value: x", 1, "client"),
        ("--stop-at=T12|s|d", "rsync: invalid --stop-at format: T12", 1, "client"),
        ("--stop-at=2020-01-01|s|d", "rsync: --stop-at time is not in the future: 2020-01-01", 1, "client"),
        ("--time-limit=x|s|d", "rsync: invalid --stop-after value: x", 1, "client"),
        ("-M|foo|s|d", "rsync: Remote option must start with a dash: foo", 1, "client"),
        ("--remote-option=|s|d", "rsync: Remote option must start with a dash: ", 1, "client"),
        ("--outbuf=x|s|d", "rsync: Invalid --outbuf setting -- specify N, L, or B.", 1, "client"),
        ("--outbuf=|s|d", "rsync: Invalid --outbuf setting -- specify N, L, or B.", 1, "client"),
        ("-s|--old-args|s|d", "rsync: --secluded-args conflicts with --old-args.", 1, "client"),
        ("--cc=foo|s|d", "unknown checksum name: foo", 4, "client"),
        ("--cc=md5,foo|s|d", "unknown checksum name: foo", 4, "client"),
        ("--cc=foo,md5|s|d", "unknown checksum name: foo,md5", 4, "client"),
        ("--cc=md5,md4,md5|s|d", "unknown checksum name: md4,md5", 4, "client"),
        ("--cc=|s|d", "unknown checksum name: ", 4, "client"),
        ("--cc=,md5|s|d", "unknown checksum name: ,md5", 4, "client"),
        ("--zc=foo|s|d", "unknown compress name: foo", 4, "client"),
        ("--zc=|s|d", "unknown compress name: ", 4, "client"),
        ("-XX|--fake-super|s|d", "rsync: --fake-super conflicts with -XX", 1, "client"),
        ("--write-batch=a|--read-batch=b|s|d", "rsync: --write-batch and --read-batch can not be used together", 1, "client"),
        ("--read-batch=b|--files-from=x|s|d", "rsync: --read-batch cannot be used with --files-from", 1, "client"),
        ("--read-batch=b|--remove-source-files|s|d", "rsync: --read-batch cannot be used with --remove-source-files", 1, "client"),
        ("--read-batch=b|--remove-sent-files|s|d", "rsync: --read-batch cannot be used with --remove-sent-files", 1, "client"),
        ("--delete-before|--delete-after|s|d", "rsync: You may not combine multiple --delete-WHEN options.", 1, "client"),
        ("--delete", "Err(Usage(ReceiverSide))", 0, ""),
        ("--files-from=nofile|s", "Err(Usage(Client))", 0, ""),
        ("--files-from=nofile|s|d|e", "Err(Usage(Client))", 0, ""),
        ("--delete|s|d", "rsync: --delete does not work without --recursive (-r) or --dirs (-d).", 1, "client"),
        ("--delete|--no-d|s|h:d", "rsync: --delete does not work without --recursive (-r) or --dirs (-d).", 1, "client"),
        ("--confine-root=x|s|d", "rsync: --confine-root must be an absolute path", 1, "client"),
        ("--confine-root=|s|d", "rsync: --confine-root must be an absolute path", 1, "client"),
        ("--confine-root=/x|--insecure-links|s|d", "rsync: --insecure-links cannot be combined with --confine-root", 1, "client"),
        ("--suffix=a/b|s|d", "rsync: --suffix cannot contain slashes: a/b", 1, "client"),
        ("--suffix=|s|d", "rsync: --suffix cannot be empty without a --backup-dir", 1, "client"),
        ("-b|--suffix=|s|d", "rsync: --suffix cannot be empty without a --backup-dir", 1, "client"),
        ("-b|--backup-dir=.|s|d", "rsync: --suffix cannot be empty when --backup-dir is the same as the dest dir", 1, "client"),
        ("-b|--backup-dir=|s|d", "rsync: --suffix cannot be empty when --backup-dir is the same as the dest dir", 1, "client"),
        ("--append|-W|s|d", "rsync: --append cannot be used with --whole-file", 1, "client"),
        ("--append|--cc=none|s|d", "rsync: --append cannot be used with --whole-file", 1, "client"),
        ("--inplace|--delay-updates|s|d", "rsync: --inplace cannot be used with --delay-updates", 1, "client"),
        ("--append-verify|--delay-updates|s|d", "rsync: --append cannot be used with --delay-updates", 1, "client"),
        ("--write-devices|--delay-updates|s|d", "rsync: --inplace cannot be used with --delay-updates", 1, "client"),
        ("--inplace|--partial-dir=x|s|d", "rsync: --inplace cannot be used with --partial-dir", 1, "client"),
        ("--append-verify|--partial-dir=|s|d", "rsync: --append cannot be used with --partial-dir", 1, "client"),
        ("--files-from=nofile|s|d", "rsync: failed to open files-from file nofile: No such file or directory", 1, "client"),
        ("--files-from=h:x|s|d", "--files-from cannot be remote when the transfer is local", 1, "sender"),
        ("--files-from=h:x|h2:s|d", "--files-from hostname is not the same as the transfer hostname", 1, "Receiver"),
        ("--files-from=h:x|u@h:s|d", "--files-from hostname is not the same as the transfer hostname", 1, "Receiver"),
        ("h:a|h:b", "The source and destination cannot both be remote.", 1, "Receiver"),
        ("a|h:b|c", "Unexpected remote arg: h:b", 1, "sender"),
        ("h:a|b|c", "Unexpected local arg: b\nIf arg is a remote file/dir, prefix it with a colon (:).", 1, "Receiver"),
        ("h:a|i:b|c", "All source args must come from the same machine.", 1, "Receiver"),
        ("h:a|h::b|c", "All source args must use the same hostspec format.", 1, "Receiver"),
        ("h::a|rsync://h:874/b|c", "All source args must use the same port number.", 1, "Receiver"),
        ("a|", "Empty destination arg specified (use \".\" or see --old-args).", 1, "sender"),
        ("|d", "Empty source arg specified.", 1, "sender"),
        ("--|-a:|b", "Invalid remote host: hostnames may not start with '-'.", 1, "Receiver"),
        ("--|x@-a:|b", "Invalid remote host: hostnames may not start with '-'.", 1, "Receiver"),
        ("--password-file=x|a|b", "The --password-file option may only be used when accessing an rsync daemon.", 1, "sender"),
        ("--contimeout=4|a|b", "The --contimeout option may only be used when connecting to an rsync daemon.", 1, "sender"),
        ("-e|./rsh|--contimeout=4|h::a|b", "The --contimeout option may only be used when connecting to an rsync daemon.", 1, "Receiver"),
        ("--compare-dest=a|--copy-dest=b|s|d", "rsync: ERROR: the --copy-dest option conflicts with the --compare-dest option", 1, "client"),
        ("--link-dest=a|--copy-dest=b|s|d", "rsync: ERROR: the --copy-dest option conflicts with the --link-dest option", 1, "client"),
        ("--daemon|--foo", "rsync: --foo: unknown option (in daemon mode)\n(Type \"rsync --daemon --help\" for assistance with daemon mode.)", 1, "client"),
        ("--config=x", "Daemon option(s) used without --daemon.\n(Type \"rsync --daemon --help\" for assistance with daemon mode.)", 1, "client"),
        ("--daemon|-M", "rsync: -M: missing argument (in daemon mode)\n(Type \"rsync --daemon --help\" for assistance with daemon mode.)", 1, "client"),
        ("--daemon|--dparam=x", "--dparam value is missing an '=': x\n(Type \"rsync --daemon --help\" for assistance with daemon mode.)", 1, "client"),
        ("-e|x|--daemon", "rsync: -e: unknown option (in daemon mode)\n(Type \"rsync --daemon --help\" for assistance with daemon mode.)", 1, "client"),
        ("--daemon|--bwlimit=5k", "rsync: --bwlimit=5k: invalid numeric value (in daemon mode)\n(Type \"rsync --daemon --help\" for assistance with daemon mode.)", 1, "client"),
        ("--no-detach|s|d", "Daemon option(s) used without --daemon.\n(Type \"rsync --daemon --help\" for assistance with daemon mode.)", 1, "client"),
        ("-e|./rsh \"a|h:a|b", "Missing trailing-\" in remote-shell command.", 1, "Receiver"),
        ("--delete-before|--delete-after|--suffix=a/b|--append|-W|s|d", "rsync: You may not combine multiple --delete-WHEN options.", 1, "client"),
        ("--suffix=a/b|--append|-W|s|d", "rsync: --suffix cannot contain slashes: a/b", 1, "client"),
        ("--append|-W|--files-from=nofile|s|d", "rsync: --append cannot be used with --whole-file", 1, "client"),
        ("--cc=foo|--zc=foo|--outbuf=x|s|d", "unknown checksum name: foo", 4, "client"),
        ("-s|--old-args|--cc=foo|s|d", "rsync: --secluded-args conflicts with --old-args.", 1, "client"),
        ("--max-alloc=1k|-s|--old-args|s|d", "rsync: --max-alloc=1k is too small (min: 1.00M or 0 for unlimited)", 1, "client"),
        ("--outbuf=x|-XX|--fake-super|s|d", "rsync: Invalid --outbuf setting -- specify N, L, or B.", 1, "client"),
        ("--delete|--confine-root=x|s|d", "rsync: --delete does not work without --recursive (-r) or --dirs (-d).", 1, "client"),
        ("--files-from=nofile|h:a|h:b", "rsync: failed to open files-from file nofile: No such file or directory", 1, "client"),
        ("h:a|h:b|--password-file=x", "The source and destination cannot both be remote.", 1, "Receiver"),
        ("-a:x|b|--contimeout=4", "rsync: -a:x: unknown option", 1, "client"),
        ("--password-file=x|--contimeout=4|a|b", "The --password-file option may only be used when accessing an rsync daemon.", 1, "sender"),
    ];

    #[test]
    fn refusals_as_observed() {
        let mut wrong = Vec::new();
        for (line, text, code, role) in REFUSED {
            let args: Vec<&str> = line.split('|').collect();
            let got = refusal(&args);
            if got != ((*text).to_owned(), *code, (*role).to_owned()) {
                wrong.push(format!("{line}\n  expected {text:?} {code} {role}\n  got      {got:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
