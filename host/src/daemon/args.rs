//! The arguments of a client, from its strings to options and paths (spec: arguments).

use super::dialogue::{Dialogue, Gone};
use crate::{
    cli::options::{OPTIONS, Value, by_name},
    engine::inside,
};

/// Most arguments.
const MAX_ARGS: usize = 16_000;
/// Longest argument that is kept whole, bytes.
const MAX_ARG: usize = 5119;

/// What was sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Args {
    /// The options, without quoting.
    pub(super) options: Vec<Vec<u8>>,
    /// The paths, with the module in front.
    pub(super) paths: Vec<Vec<u8>>,
    /// They came as `-s` sends them: not quoted.
    pub(super) secluded: bool,
}

/// Why there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoArgs {
    /// The peer has left.
    Gone(Gone),
    /// There are too many.
    TooMany,
}

impl From<Gone> for NoArgs {
    fn from(gone: Gone) -> Self {
        Self::Gone(gone)
    }
}

/// Reads them. `end` ends each string of the first list.
pub(super) fn read(dialogue: &mut Dialogue, end: u8) -> Result<Args, NoArgs> {
    let first = list(dialogue, end)?;
    if !is_secluded(&first) {
        return Ok(split(first.into_iter(), false));
    }
    let second = list(dialogue, 0)?;
    // The reference repeats itself below protocol 30; what counts is the second list.
    let options = first.into_iter().take_while(|word| word != b"." && word != b"(null)");
    Ok(split(options.chain(second.into_iter().skip(1)), true))
}

fn list(dialogue: &mut Dialogue, end: u8) -> Result<Vec<Vec<u8>>, NoArgs> {
    let mut words = Vec::new();
    loop {
        let word = dialogue.string(end, MAX_ARG)?;
        if word.is_empty() {
            return Ok(words);
        }
        if words.len() == MAX_ARGS {
            return Err(NoArgs::TooMany);
        }
        words.push(word);
    }
}

/// The packed letters hold an `s` in front of those of the client's abilities.
fn is_secluded(words: &[Vec<u8>]) -> bool {
    let options = words.iter().take_while(|word| *word != b".");
    options.into_iter().any(|word| {
        let letters = word.strip_prefix(b"-").filter(|rest| !rest.starts_with(b"-"));
        letters.is_some_and(|letters| letters.iter().take_while(|&&b| b != b'e').any(|&b| b == b's'))
            || matches!(&**word, b"--secluded-args" | b"--protect-args")
    })
}

fn split(words: impl Iterator<Item = Vec<u8>>, secluded: bool) -> Args {
    let mut args = Args { secluded, ..Args::default() };
    let (mut dot, mut lacks_value) = (false, false);
    for word in words {
        match (dot, &*word) {
            // As a value, as in `--temp-dir .`, it ends nothing.
            (false, b".") if !lacks_value => dot = true,
            (false, _) => {
                let word = if secluded { word } else { unquoted(&word) };
                lacks_value = !lacks_value && takes_next(&word);
                args.options.push(word);
            }
            (true, _) => args.paths.push(word),
        }
    }
    args
}

/// An option whose value is the next word.
fn takes_next(word: &[u8]) -> bool {
    let spec = word.strip_prefix(b"--").and_then(|name| by_name(OPTIONS, name));
    spec.is_some_and(|spec| spec.value != Value::None)
}

/// One level of backslashes taken off.
fn unquoted(word: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(word.len());
    let mut rest = word.iter();
    while let Some(&byte) = rest.next() {
        match (byte, rest.as_slice().first()) {
            (b'\\', Some(&next)) => {
                rest.next();
                out.push(next);
            }
            _ => out.push(byte),
        }
    }
    out
}

impl Args {
    /// The paths without the module, each below it: an argument with several is taken apart, leading slashes go and
    /// `..` does not lead above the module.
    pub(super) fn below_module(&self, module: &[u8]) -> Vec<Vec<u8>> {
        let again = [b" ", module, b"/"].concat();
        let mut out = Vec::new();
        for path in &self.paths {
            let mut rest = path.strip_prefix(module).unwrap_or(path);
            if !self.secluded {
                while let Some(at) = memchr::memmem::find(rest, &again) {
                    out.push(inside(&rest[..at]));
                    rest = &rest[at + again.len() - 1..];
                }
            }
            out.push(inside(rest));
        }
        out
    }

    /// What the log calls the request.
    pub(super) fn shown(&self) -> Vec<u8> {
        self.paths.join(&b' ')
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt};

    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;
    use crate::{
        cli::{
            asked::Line,
            parse::{self, World},
            resolve,
        },
        fuzz,
    };

    fn args(sent: &[u8], end: u8) -> Args {
        let (here, there) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        rustix::io::write(&there, sent).unwrap();
        read(&mut Dialogue::new(here.try_clone().unwrap(), here), end).unwrap()
    }

    fn words(words: &[Vec<u8>]) -> Vec<String> {
        words.iter().map(|w| String::from_utf8(w.clone()).unwrap()).collect()
    }

    #[test]
    fn vectors_as_observed() {
        let new = args(b"--server\0--sender\0-logDtpre.iLsfxCIvu\0--suffix=a\\ b\0.\0m1/a\0\0", 0);
        assert_eq!(words(&new.options), ["--server", "--sender", "-logDtpre.iLsfxCIvu", "--suffix=a b"]);
        assert_eq!((words(&new.paths), new.secluded), (vec!["m1/a".to_owned()], false));
        let old = args(b"--server\n--sender\n-logDtpr\n.\nm1/a\n\n", b'\n');
        assert_eq!(words(&old.options), ["--server", "--sender", "-logDtpr"]);
    }

    #[test]
    fn secluded_vectors_as_observed() {
        let new = args(b"--server\0--sender\0-sre.iLsfxCIvu\0\0rsync\0--suffix=a\\b\0.\0m1/a\0\0", 0);
        assert_eq!(words(&new.options), ["--server", "--sender", "-sre.iLsfxCIvu", "--suffix=a\\b"]);
        assert_eq!((words(&new.paths), new.secluded), (vec!["m1/a".to_owned()], true));
        let old = args(
            b"--server\n-slogDtpr\n(null)\n--checksum-seed=7\n.\nmod/\n\nrsync\0--checksum-seed=7\0.\0mod/\0\0",
            b'\n',
        );
        assert_eq!(words(&old.options), ["--server", "-slogDtpr", "--checksum-seed=7"]);
        assert_eq!(words(&old.paths), ["mod/"]);
    }

    #[test]
    fn paths_stay_below_the_module() {
        let of = |module: &str, paths: &[&str]| {
            let paths = paths.iter().map(|p| p.as_bytes().to_vec()).collect();
            words(&Args { paths, ..Args::default() }.below_module(module.as_bytes()))
        };
        assert_eq!(of("m", &["m", "m/", "m/a", "m//etc/x/"]), [".", ".", "a", "etc/x/"]);
        assert_eq!(
            of("m", &["m/../../etc", "m/a/../../..", "m/a/./b", "m/./a"]),
            ["etc", ".", "a/./b", "./a"]
        );
        assert_eq!(of("m", &["m/a m/b m/c d", "m/a[ ]m/b"]), ["a", "b", "c d", "a[ ]m/b"]);
        assert_eq!(of("-x", &["-x/-y"]), ["-y"]);
    }

    #[test]
    fn the_vector_has_limits() {
        let (here, there) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        let writer = std::thread::spawn(move || {
            let mut rest = &b"x\0".repeat(16_001)[..];
            while let Ok(n @ 1..) = rustix::io::write(&there, rest) {
                rest = &rest[n..];
            }
        });
        let mut dialogue = Dialogue::new(here.try_clone().unwrap(), here);
        assert_eq!(read(&mut dialogue, 0).unwrap_err(), NoArgs::TooMany);
        drop(dialogue);
        writer.join().unwrap();
        assert_eq!(args(&[&[b'a'; 6000][..], b"\0\0"].concat(), 0).options[0].len(), 5119);
    }

    /// What a client asks for, up to what its options mean. The first byte says how its strings end.
    #[test]
    fn spoiled_arguments_lead_nowhere() {
        fuzz::run("daemon_args", 4_000, |data| {
            let Some((&first, sent)) = data.split_first() else { return };
            let (here, there) =
                socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
            rustix::io::write(&there, sent).unwrap();
            drop(there);
            let end = if first & 1 == 0 { 0 } else { b'\n' };
            let Ok(args) = read(&mut Dialogue::new(here.try_clone().unwrap(), here), end) else { return };
            for path in args.below_module(b"mod") {
                assert!(!path.starts_with(b"/"), "{}", path.escape_ascii());
                assert!(path.split(|&b| b == b'/').all(|part| part != b".."), "{}", path.escape_ascii());
            }
            let options: Vec<OsString> = args.options.into_iter().map(OsString::from_vec).collect();
            let world = World { program: "rsyncd", env: &|_| None, now: 1_795_000_000 };
            if let Ok(Line::Run(cli)) = parse::parse(&options, &world)
                && cli.server
                && cli.files_from.is_none()
            {
                let _ = resolve::resolve(*cli, &world);
            }
        });
    }
}
