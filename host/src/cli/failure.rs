//! Ends of the program that the command line decides.

use arsync_core::{error::Role, exit::ExitCode};

/// A message and the exit code that goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What is to be printed on stderr before the exit line; each line ends in a newline.
    pub(crate) text: Vec<u8>,
    /// How the program ends.
    pub(crate) code: ExitCode,
    /// What the process was when it failed.
    pub(crate) role: Role,
    /// The log that was named by then, which gets it too.
    pub(crate) log: Option<Vec<u8>>,
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
        Self { text, code, role, log: None }
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
    /// The same, also for a log.
    pub(crate) fn logged(mut self, log: Option<&Vec<u8>>) -> Self {
        if let Self::Fail(failure) = &mut self {
            failure.log = log.cloned();
        }
        self
    }

    /// Exit code of the process.
    pub(crate) const fn exit_code(&self) -> ExitCode {
        match self {
            Self::Print(_) => ExitCode::OK,
            Self::Usage(_) => ExitCode::SYNTAX,
            Self::Fail(failure) => failure.code,
        }
    }
}
