//! The command line: from an argument vector to what a session is asked to do, and to the argument vector of a
//! server.
//!
//! `argv` splits and lets clap parse, `parse` evaluates from left to right, `resolve` makes the cross checks and
//! decides what is meant. Nothing here reads or writes files, except that the list of `--files-from` is opened.

// The sessions that use all of this are not part of the crate yet.
#![allow(dead_code)]

pub(crate) mod argv;
pub(crate) mod chmod;
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
pub(crate) mod unbuilt;
pub(crate) mod words;

use std::{ffi::OsString, os::unix::ffi::OsStringExt};

use arsync_core::error::Role;

use failure::Stop;
use parse::{DaemonCli, Line, World};
use resolve::Resolved;

/// What a command line asks for.
#[derive(Debug)]
pub(crate) enum Command {
    /// A transfer or a listing, as client or as server.
    Session(Box<Resolved>),
    /// A server whose further arguments come through its stdin (`-s`): read strings up to an empty one and call
    /// [`secluded`].
    Secluded,
    /// `--daemon`, or with its `server` field set a daemon for one connection on stdin and stdout.
    Daemon(Box<DaemonCli>),
}

/// Parses and resolves a command line (without the program's name) and refuses what this build cannot do.
pub(crate) fn command(argv: &[OsString], world: &World<'_>) -> Result<Command, Stop> {
    match parse::parse(argv, world)? {
        Line::Daemon(_) if unbuilt::UNBUILT.contains(&unbuilt::Unbuilt::Daemon) => {
            Err(unbuilt::refusal("--daemon", Role::Client).into())
        }
        Line::Daemon(cli) => Ok(Command::Daemon(cli)),
        Line::Run(cli) if needs_secluded(&cli) => Ok(Command::Secluded),
        Line::Run(cli) => session(*cli, world),
    }
}

/// Parses again with the strings that a client sent: its program name, options, `.`, and paths.
pub(crate) fn secluded(
    first: &[OsString],
    strings: Vec<Vec<u8>>,
    world: &World<'_>,
) -> Result<Command, Stop> {
    let mut argv = first.to_vec();
    argv.extend(strings.into_iter().skip(1).map(OsString::from_vec));
    match parse::parse(&argv, world)? {
        Line::Run(cli) => session(*cli, world),
        Line::Daemon(_) => Err(unbuilt::refusal("--daemon", Role::Server).into()),
    }
}

/// A server with `-s` whose command line ends before the `.`.
fn needs_secluded(cli: &parse::Cli) -> bool {
    cli.server && cli.secluded_args == Some(true) && cli.version == 0
}

fn session(cli: parse::Cli, world: &World<'_>) -> Result<Command, Stop> {
    let resolved = resolve::resolve(cli, world)?;
    unbuilt::check(&resolved)?;
    Ok(Command::Session(Box::new(resolved)))
}
