//! Where a client has the password for a daemon from.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    os::{fd::AsFd, unix::fs::MetadataExt},
};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::{
    output::strerror,
    vouched::{self, Trust},
};

/// Longest password that is read, bytes.
const MAX: u64 = 1024;

/// Where the password comes from.
#[derive(Debug, Clone)]
pub(crate) enum Password {
    /// `--password-file`; `-` is the standard input.
    File(Vec<u8>, Trust),
    /// `RSYNC_PASSWORD`.
    Given(Vec<u8>),
    /// Nobody named one: the user is asked.
    Ask,
}

impl Password {
    /// The password, or the text of a failure. `role`: what this process is, for that text.
    pub(crate) fn read(&self, role: &str) -> Result<Vec<u8>, String> {
        match self {
            Self::Given(password) => Ok(password.clone()),
            Self::File(name, trust) => from_file(name, *trust, role),
            Self::Ask => Ok(ask()),
        }
    }
}

fn from_file(name: &[u8], trust: Trust, role: &str) -> Result<Vec<u8>, String> {
    let shown = String::from_utf8_lossy(name);
    let mut text = Vec::new();
    let read = if name == b"-" {
        std::io::stdin().take(MAX).read_to_end(&mut text)
    } else {
        let file = vouched::read(name, trust).map_err(|e| {
            let why = strerror::suffix(e.raw_os_error().unwrap_or(0));
            format!("rsync: [{role}] could not open password file {shown}{why}")
        })?;
        let meta = file.metadata().map_err(|e| {
            let why = strerror::suffix(e.raw_os_error().unwrap_or(0));
            format!("rsync: [{role}] stat({shown}){why}")
        })?;
        if meta.mode() & 0o006 != 0 {
            return Err("ERROR: password file must not be other-accessible".into());
        }
        if rustix::process::geteuid().is_root() && meta.uid() != 0 {
            return Err("ERROR: password file must be owned by root when running as root".into());
        }
        file.take(MAX).read_to_end(&mut text)
    };
    let lines = text.split(|b| matches!(b, b'\n' | b'\r'));
    match (read, lines.into_iter().find(|line| !line.is_empty())) {
        (Ok(_), Some(password)) => Ok(password.to_vec()),
        _ => Err(format!("ERROR: failed to read a password from {shown}")),
    }
}

/// Asks on the terminal, without showing what is typed; without a terminal, through the standard streams.
fn ask() -> Vec<u8> {
    const PROMPT: &[u8] = b"Password: ";
    let mut line = Vec::new();
    let Ok(terminal) = File::options().read(true).write(true).open("/dev/tty") else {
        let _ = std::io::stderr().write_all(PROMPT);
        let _ = std::io::stdin().lock().take(MAX).read_until(b'\n', &mut line);
        return without_newline(line);
    };
    let before = tcgetattr(terminal.as_fd());
    if let Ok(modes) = &before {
        let mut silent = modes.clone();
        silent.local_modes -= LocalModes::ECHO;
        let _ = tcsetattr(terminal.as_fd(), OptionalActions::Flush, &silent);
    }
    let _ = (&terminal).write_all(PROMPT);
    let _ = BufReader::new(&terminal).take(MAX).read_until(b'\n', &mut line);
    if let Ok(modes) = &before {
        let _ = tcsetattr(terminal.as_fd(), OptionalActions::Flush, modes);
        let _ = (&terminal).write_all(b"\n");
    }
    without_newline(line)
}

fn without_newline(mut line: Vec<u8>) -> Vec<u8> {
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::ffi::OsStrExt, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::fuzz;

    #[test]
    fn the_first_line_with_text_is_the_password() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pass");
        let name = path.as_os_str().as_bytes().to_vec();
        let read = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            Password::File(name.clone(), Trust::Own).read("Receiver")
        };
        assert_eq!(read("\n\r\nsecret word\r\nnext\n", 0o600), Ok(b"secret word".to_vec()));
        assert_eq!(
            read("\n\n", 0o640),
            Err(format!("ERROR: failed to read a password from {}", path.display()))
        );
        assert_eq!(read("x", 0o604), Err("ERROR: password file must not be other-accessible".into()));
        fs::remove_file(&path).unwrap();
        assert_eq!(
            Password::File(name.clone(), Trust::Own).read("Receiver"),
            Err(format!(
                "rsync: [Receiver] could not open password file {}: No such file or directory (2)",
                path.display()
            ))
        );
    }

    #[test]
    fn spoiled_password_files_have_one_line_or_none() {
        fuzz::run("password_file", 4_000, |data| {
            let file = tempfile::NamedTempFile::new().unwrap();
            let name = file.path().as_os_str().as_bytes().to_vec();
            let read = |text: &[u8]| {
                fs::write(file.path(), text).unwrap();
                Password::File(name.clone(), Trust::Own).read("Receiver")
            };
            match read(data) {
                Ok(password) => {
                    assert!((1..=1024).contains(&password.len()));
                    assert!(!password.contains(&b'\n') && !password.contains(&b'\r'));
                    let ends = |b: &u8| matches!(b, b'\n' | b'\r');
                    assert!(data.split(ends).any(|line| line.starts_with(&password)));
                }
                Err(text) => assert!(text.starts_with("ERROR: failed to read a password from /"), "{text}"),
            }
            assert_eq!(read(&[b"\r\nsecret\n", data].concat()), Ok(b"secret".to_vec()));
        });
    }
}
