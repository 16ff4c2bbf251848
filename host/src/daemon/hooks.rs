//! Programs that the operator has run around a transfer: `early exec`, `pre-xfer exec`, `post-xfer exec` (spec: exec
//! hooks).
//!
//! They run outside of the module's root and as the user of the daemon. What does that when the transfer's process has
//! given both up is the process that it was divided from, the [`Keeper`]: it takes one request through a socket, and
//! waits for the end.

use core::cell::RefCell;
use std::{
    ffi::{OsStr, OsString},
    io::{Read, Write},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        net::UnixStream,
        process::ExitStatusExt,
    },
    process::{Command, Stdio},
};

use super::privileges::{Death, Half, Stream, await_end, divide, silence};
use crate::engine::convert_by;

/// Most output of a hook that a client gets, bytes.
const MAX_OUTPUT: u64 = 5 << 10;
/// Most of a request that a hook is told, bytes.
const MAX_REQUEST: usize = 1 << 10;
/// Largest message between the two processes, bytes.
const MAX_MESSAGE: u32 = 128 << 20;
/// Bytes that mean something to a shell; a value with one of them is never put into a command.
const SHELL: &[u8] = b"'\"`$\\;&|<>()*?[]#!~{} ";

/// Variables that may stand in the text of a command: what is known before the request is.
const IN_COMMANDS: [&str; 5] =
    ["RSYNC_MODULE_NAME", "RSYNC_MODULE_PATH", "RSYNC_USER_NAME", "RSYNC_HOST_NAME", "RSYNC_HOST_ADDR"];
/// The status of a program that has not ended by itself, as `exit 1` would be.
const KILLED: i32 = 1 << 8;

/// Variables that hooks see.
pub(super) type Variables = Vec<(String, Vec<u8>)>;

/// Why a command was not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotRun {
    /// A variable in it holds what a shell would take for its own.
    Unsafe(String),
    /// It could not be started.
    Failed,
}

/// How a command ended, and what it printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The status as the kernel gives it.
    pub(super) status: i32,
    /// The first part of its standard output.
    pub(super) output: Vec<u8>,
}

/// Puts variables of the connection into a command, each as one word. Their values come from outside.
fn command_text(text: &[u8], variables: &Variables) -> Result<Vec<u8>, NotRun> {
    let bad = RefCell::new(None);
    let found = super::config::expand(text, &|name| {
        if !name.starts_with("RSYNC_") {
            return std::env::var_os(name).map(OsString::into_vec);
        }
        let known = variables.iter().filter(|(known, _)| IN_COMMANDS.contains(&known.as_str()));
        let value = known.into_iter().find(|(known, _)| known == name).map(|(_, value)| value)?;
        if value.iter().any(|b| SHELL.contains(b) || b.is_ascii_control()) {
            bad.borrow_mut().get_or_insert_with(|| name.to_owned());
        }
        Some([b"'", value.as_slice(), b"'"].concat())
    });
    bad.into_inner().map_or(Ok(found), |name| Err(NotRun::Unsafe(name)))
}

/// A command for a shell that sees the variables, and whose input and output are ours.
fn shell(text: &[u8], variables: &Variables) -> Result<Command, NotRun> {
    let text = command_text(text, variables)?;
    let mut shell = Command::new(std::env::var_os("RSYNC_SHELL").unwrap_or_else(|| "/bin/sh".into()));
    shell
        .arg("-c")
        .arg(OsStr::from_bytes(&text))
        .envs(variables.iter().map(|(name, value)| (name, OsStr::from_bytes(value))))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    Ok(shell)
}

/// Runs a command by a shell.
pub(super) fn run(text: &[u8], variables: &Variables, input: &[u8]) -> Result<Outcome, NotRun> {
    let mut child = shell(text, variables)?.spawn().map_err(|_| NotRun::Failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that reads nothing is none of our business.
        let _ = stdin.write_all(input);
    }
    let mut output = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        let _ = stdout.by_ref().take(MAX_OUTPUT).read_to_end(&mut output);
        let _ = std::io::copy(&mut stdout, &mut std::io::sink());
    }
    let status = child.wait().map_err(|_| NotRun::Failed)?;
    Ok(Outcome { status: status.code().map_or(KILLED, |_| status.into_raw()), output })
}

/// Starts the command of `name converter`, which answers questions until it has no more input.
pub(super) fn start_converter(text: &[u8], variables: &Variables) -> Result<(), NotRun> {
    let child = shell(text, variables)?.spawn();
    let mut child = child.map_err(|_| NotRun::Failed)?;
    let (questions, answers) = (child.stdin.take(), child.stdout.take());
    convert_by(questions.ok_or(NotRun::Failed)?, answers.ok_or(NotRun::Failed)?);
    Ok(())
}

/// What a hook is told about the request: its paths.
pub(super) fn request_variable(paths: &[Vec<u8>]) -> (String, Vec<u8>) {
    let mut text = paths.join(&b' ');
    text.truncate(MAX_REQUEST);
    ("RSYNC_REQUEST".into(), if text.is_empty() { b"(NONE)".to_vec() } else { text })
}

/// The commands of a module that outlive the change of root and user.
#[derive(Debug, Clone, Default)]
pub(super) struct Hooks {
    /// Run when the arguments are known.
    pub(super) pre: Option<Vec<u8>>,
    /// Run when all is over.
    pub(super) post: Option<Vec<u8>>,
}

/// The way to the process that has kept its rights.
#[derive(Debug)]
pub(super) struct Keeper(UnixStream);

impl Keeper {
    /// Divides the process: the new one goes on with the way to the old one, which never returns from here. `told`
    /// gets what the old one has to say.
    pub(super) fn stay_behind(
        hooks: &Hooks,
        variables: &Variables,
        told: &dyn Fn(&str),
    ) -> std::io::Result<Self> {
        let (here, there) = UnixStream::pair()?;
        match divide()? {
            Half::Child => Ok(Self(here)),
            Half::Parent(child) => {
                drop(here);
                // What a hook prints has a pipe of its own.
                let _ = silence(&[Stream::Input, Stream::Output]);
                let death = keep(hooks, variables, there, told, &|| await_end(child));
                std::process::exit(death.code.unwrap_or(i32::from(arsync_core::exit::ExitCode::SIGNAL.0)));
            }
        }
    }

    /// Has the command of `pre-xfer exec` run; `None`: it could not be.
    pub(super) fn run_pre(&mut self, variables: &Variables) -> Option<Outcome> {
        let mut message = Vec::new();
        for (name, value) in variables {
            put(&mut message, name.as_bytes());
            put(&mut message, value);
        }
        let mut whole = Vec::new();
        put(&mut whole, &message);
        self.0.write_all(&whole).ok()?;
        let answer = take(&mut self.0)?;
        let (status, output) = answer.split_first_chunk::<4>()?;
        Some(Outcome { status: i32::from_le_bytes(*status), output: output.to_vec() })
    }
}

/// What the old process does until the new one has ended.
fn keep(
    hooks: &Hooks,
    variables: &Variables,
    mut peer: UnixStream,
    told: &dyn Fn(&str),
    end: &dyn Fn() -> Death,
) -> Death {
    // The socket closes with the process at the other end.
    if let (Some(pre), Some(message)) = (&hooks.pre, take(&mut peer)) {
        let mut all = variables.clone();
        let mut rest = message.as_slice();
        while let (Some(name), Some(value)) = (take(&mut rest), take(&mut rest)) {
            // Whoever speaks for a client must not set what a shell of the operator obeys.
            let name = String::from_utf8_lossy(&name).into_owned();
            if name.starts_with("RSYNC_") && name != "RSYNC_SHELL" {
                all.push((name, value));
            }
        }
        let outcome = run(pre, &all, b"").unwrap_or_else(|why| {
            told(&text_of(&why));
            Outcome { status: -1, output: Vec::new() }
        });
        let mut answer = Vec::new();
        put(&mut answer, &[&outcome.status.to_le_bytes()[..], &outcome.output].concat());
        let _ = peer.write_all(&answer);
    }
    let death = end();
    if let Some(post) = &hooks.post {
        let mut all = variables.clone();
        all.push(("RSYNC_EXIT_STATUS".into(), death.code.unwrap_or(-1).to_string().into_bytes()));
        all.push(("RSYNC_RAW_STATUS".into(), death.raw.to_string().into_bytes()));
        if let Err(why) = run(post, &all, b"") {
            told(&text_of(&why));
        }
    }
    death
}

/// What the log says about a command that was not run.
pub(super) fn text_of(why: &NotRun) -> String {
    match why {
        NotRun::Unsafe(name) => {
            format!("refusing to run shell hook: %{name}% holds a shell metacharacter")
        }
        NotRun::Failed => "a command could not be started".to_owned(),
    }
}

fn put(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(u32::try_from(text.len()).unwrap_or(0).to_le_bytes());
    out.extend(text);
}

/// One piece with its length in front.
fn take(from: &mut impl Read) -> Option<Vec<u8>> {
    let mut len = [0; 4];
    from.read_exact(&mut len).ok()?;
    let len = Some(u32::from_le_bytes(len)).filter(|len| *len <= MAX_MESSAGE)?;
    let mut text = Vec::new();
    let read = from.by_ref().take(len.into()).read_to_end(&mut text).ok()?;
    (read == len as usize).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn commands_see_variables_and_input() {
        let vars = variables(&[("RSYNC_MODULE_NAME", "m"), ("RSYNC_REQUEST", "m/a b")]);
        let ran = run(b"cat; echo %RSYNC_MODULE_NAME% $RSYNC_REQUEST; exit 3", &vars, b"in:").unwrap();
        assert_eq!((ran.status, &*ran.output), (3 << 8, &b"in:m m/a b\n"[..]));
    }

    #[test]
    fn what_stands_in_a_command_is_one_word() {
        let vars =
            variables(&[("RSYNC_USER_NAME", ""), ("RSYNC_MODULE_NAME", "m"), ("RSYNC_REQUEST", "(NONE)")]);
        let of = |text: &str| String::from_utf8(command_text(text.as_bytes(), &vars).unwrap()).unwrap();
        assert_eq!(of("test %RSYNC_USER_NAME% = joe"), "test '' = joe");
        assert_eq!(of("x%RSYNC_MODULE_NAME%y"), "x'm'y");
        // Not known yet when the text is read.
        assert_eq!(of("%RSYNC_REQUEST% %RSYNC_PID%"), "%RSYNC_REQUEST% %RSYNC_PID%");
    }

    #[test]
    fn a_command_that_is_killed_has_failed() {
        assert_eq!(run(b"kill -9 $$", &Vec::new(), b"").unwrap().status, 256);
    }

    #[test]
    fn values_that_a_shell_would_obey_are_not_put_into_commands() {
        for value in ["a;b", "$(x)", "a b", "a\nb", "'", "~"] {
            let vars = variables(&[("RSYNC_USER_NAME", value)]);
            let refused = run(b"echo %RSYNC_USER_NAME%", &vars, b"");
            assert_eq!(refused, Err(NotRun::Unsafe("RSYNC_USER_NAME".into())), "{value:?}");
        }
    }

    #[test]
    fn requests_are_cut() {
        assert_eq!(request_variable(&[]).1, b"(NONE)");
        assert_eq!(request_variable(&[b"m/a".to_vec(), b"m/b".to_vec()]).1, b"m/a m/b");
        assert_eq!(request_variable(&[vec![b'x'; 5000]]).1.len(), 1024);
    }

    #[test]
    fn the_keeper_runs_both_hooks() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log").display().to_string();
        let hooks = Hooks {
            pre: Some(format!("echo pre $RSYNC_ARG0 >> {log}; echo text; exit 2").into_bytes()),
            post: Some(format!("echo post $RSYNC_EXIT_STATUS $RSYNC_RAW_STATUS >> {log}").into_bytes()),
        };
        let (here, there) = UnixStream::pair().unwrap();
        let keeper = std::thread::spawn(move || {
            keep(&hooks, &Vec::new(), there, &|_| (), &|| Death { code: Some(23), raw: 23 << 8 })
        });
        let outcome = Keeper(here).run_pre(&variables(&[("RSYNC_ARG0", "rsyncd")])).unwrap();
        assert_eq!((outcome.status, &*outcome.output), (2 << 8, &b"text\n"[..]));
        assert_eq!(keeper.join().unwrap().code, Some(23));
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "pre rsyncd\npost 23 5888\n");
    }
}
