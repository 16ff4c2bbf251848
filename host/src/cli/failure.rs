//! Ends of the program that the command line decides.

use arsync_core::{error::Role, exit::ExitCode};

use super::asked::{Cli, FilterArg};

/// A message and the exit code that goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What is to be printed on stderr before the exit line; each line ends in a newline.
    pub(crate) text: Vec<u8>,
    /// How the program ends.
    pub(crate) code: ExitCode,
    /// What the process was when it failed.
    pub(crate) role: Role,
}

impl Failure {
    /// A message with the prefix `rsync: `, as the parser of options gives them.
    pub(crate) fn option(text: impl AsRef<[u8]>, server: bool) -> Self {
        let mut line = b"rsync: ".to_vec();
        line.extend(text.as_ref());
        Self::plain(line, ExitCode::SYNTAX, if server { Role::Server } else { Role::Client })
    }

    /// A message as it stands.
    pub(crate) fn plain(text: impl Into<Vec<u8>>, code: ExitCode, role: Role) -> Self {
        let mut text = text.into();
        text.push(b'\n');
        Self { text, code, role }
    }
}

/// Why parsing does not lead to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A text was asked for: it goes to stdout, exit code 0.
    Print(Vec<u8>),
    /// The summary of options goes to stderr, followed by the exit line of code 1.
    Usage(Role),
    /// An error.
    Fail(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Fail(failure)
    }
}

impl Stop {
    /// Exit code of the process.
    pub(crate) const fn exit_code(&self) -> ExitCode {
        match self {
            Self::Print(_) => ExitCode::OK,
            Self::Usage(_) => ExitCode::SYNTAX,
            Self::Fail(failure) => failure.code,
        }
    }
}

/// What a command line had said when it was given up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    /// The log, which gets the message too.
    pub(crate) log: Option<Vec<u8>>,
    /// All words were understood: that the log cannot be opened is told.
    pub(crate) all: bool,
    /// `-q`
    pub(crate) quiet: bool,
    /// A client's rules, the faults of which come first.
    pub(crate) rules: Vec<FilterArg>,
    /// This is a server, whose stdout belongs to the session.
    pub(crate) server: bool,
    /// `--insecure-links`: how the files of these rules are opened.
    pub(crate) insecure_links: bool,
}

impl Heard {
    /// What was typed so far.
    pub(crate) fn of(cli: &Cli) -> Self {
        Self {
            log: cli.log_file.clone().filter(|path| !path.is_empty()),
            all: false,
            quiet: cli.quiet > 0,
            rules: if cli.server { Vec::new() } else { cli.filters.clone() },
            server: cli.server,
            insecure_links: cli.insecure_links,
        }
    }
}

/// A command line that leads to no session.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) stop: Stop,
    pub(crate) heard: Heard,
}

impl From<Stop> for Refused {
    fn from(stop: Stop) -> Self {
        Self { stop, heard: Heard::default() }
    }
}
