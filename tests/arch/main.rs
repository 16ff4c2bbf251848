//! The rules between layers, read from the sources: who may name whom, and how large a file may grow.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A source file: its path from the root of the repository, and its text.
struct File {
    path: String,
    text: String,
}

impl File {
    /// Lines of code: neither comments nor strings of documentation.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(n, line)| (n + 1, line.split_once("//").map_or(line, |(code, _)| code)))
            .filter(|(_, code)| !code.trim().is_empty())
    }

    /// The part before the tests at the bottom.
    fn without_tests(&self) -> Vec<(usize, &str)> {
        self.code().take_while(|(_, code)| !opens_tests(code)).collect()
    }
}

/// The attribute of a module of tests at the bottom of a file.
fn opens_tests(code: &str) -> bool {
    code.starts_with("#[cfg(test)]") || code.starts_with("#[cfg(all(test")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn sources(folder: &str) -> Vec<File> {
    fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                out.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    walk(&root().join(folder), &mut paths);
    paths.sort();
    assert!(!paths.is_empty(), "{folder} has no sources");
    let file = |path: PathBuf| File {
        path: path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(),
        text: fs::read_to_string(&path).unwrap(),
    };
    paths.into_iter().map(file).collect()
}

/// The word stands alone: not as a part of another name.
fn names(code: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(part) && (word.ends_with([':', '{']) || !after.is_some_and(part))
    })
}

/// Lines that use one of the words in files that may not.
fn breaches(folder: &str, words: &[&str], allowed: impl Fn(&str) -> bool, with_tests: bool) -> Vec<String> {
    let mut out = Vec::new();
    for file in sources(folder).iter().filter(|file| !allowed(&file.path)) {
        let lines = if with_tests { file.code().collect() } else { file.without_tests() };
        for (number, code) in lines {
            for word in words.iter().filter(|word| names(code, word)) {
                out.push(format!("{}:{number}: {word}: {}", file.path, code.trim()));
            }
        }
    }
    out
}

fn assert_none(rule: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{rule}\n{}", breaches.join("\n"));
}

fn is_below(path: &str, folders: &[&str]) -> bool {
    folders
        .iter()
        .any(|folder| path == *folder || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
}

/// Core knows no operating system, no runtime, no clock, no thread.
#[test]
fn core_knows_no_system() {
    let words =
        ["std::", "libc::", "rustix::", "compio::", "io_uring::", "tokio::", "println!", "eprintln!", "dbg!"];
    assert_none("core is no_std and names no system", &breaches("core/src", &words, |_| false, false));
    let lib = fs::read_to_string(root().join("core/src/lib.rs")).unwrap();
    assert!(lib.contains("#![no_std]") && lib.contains("#![forbid(unsafe_code)]"));
}

/// Whoever logs through defmt can log every error and every message.
#[test]
fn public_enums_of_core_can_be_logged() {
    let mut found = Vec::new();
    for file in sources("core/src") {
        let mut attributes = String::new();
        for (number, code) in file.without_tests() {
            if code.starts_with('#') {
                attributes += code;
            } else if let Some(name) = code.strip_prefix("pub enum ") {
                // Those that are no values (owners of a state) cannot be compared either.
                if attributes.contains("PartialEq") && !attributes.contains("derive(defmt::Format)") {
                    found.push(format!("{}:{number}: {name}", file.path));
                }
                attributes.clear();
            } else {
                attributes.clear();
            }
        }
    }
    assert_none("derive defmt::Format behind the feature", &found);
}

/// The dependency arrow points from host to core only.
#[test]
fn core_depends_on_no_system_crate() {
    let manifest = fs::read_to_string(root().join("core/Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    for name in ["libc", "rustix", "compio", "io-uring", "tokio", "arsync ", "clap", "nix"] {
        assert!(!dependencies.lines().any(|line| line.starts_with(name)), "core depends on {name}");
    }
}

/// The engine implements ports. It sees plain data, never a wire format.
#[test]
fn the_engine_knows_no_protocol() {
    let mut found = Vec::new();
    for file in sources("host/src/engine") {
        let code: String = file.without_tests().iter().map(|(_, code)| format!("{code}\n")).collect();
        for module in ["wire", "mux", "io", "setup", "session", "token", "version"] {
            let direct = names(&code, &format!("arsync_core::{module}"));
            // In a braced list the module starts an item.
            let listed = code.split("use arsync_core::{").skip(1).any(|rest| {
                let list = rest.split(';').next().unwrap_or_default();
                list.split(['{', ',', '\n', ' '])
                    .any(|item| item == module || item.starts_with(&format!("{module}::")))
            });
            if direct || listed {
                found.push(format!("{}: arsync_core::{module}", file.path));
            }
        }
        for coder in ["flist::encode", "flist::decode"] {
            if code.contains(coder) {
                found.push(format!("{}: {coder}", file.path));
            }
        }
    }
    assert_none("the engine never sees a varint, a tag, an index or a protocol version", &found);
}

/// An upgrade of compio touches these files.
#[test]
fn compio_is_confined() {
    let allowed = |path: &str| {
        is_below(
            path,
            &["host/src/ring", "host/src/transport", "host/src/session/watchdog.rs", "host/src/daemon"],
        )
    };
    assert_none(
        "compio only in ring, transport and the timers",
        &breaches("host/src", &["compio::", "io_uring::"], allowed, true),
    );
}

/// What a command line means can be found out without asking the system.
#[test]
fn the_command_line_makes_no_system_calls() {
    let allowed = |path: &str| !is_below(path, &["host/src/cli"]);
    // Filter and password files are read through std, where they are named.
    let found = breaches("host/src", &["rustix::", "libc::"], allowed, false);
    assert_none("cli is text in, plan out", &found);
}

/// Where libc is needed: charsets, name lookups, local time, signals, the division of a process, system calls that are
/// younger than rustix.
const WITH_LIBC: [&str; 8] = [
    "host/src/engine/charset.rs",
    "host/src/engine/ids.rs",
    "host/src/engine/xattr_at.rs",
    "host/src/output/clib.rs",
    "host/src/output/time.rs",
    "host/src/session/interrupt.rs",
    "host/src/daemon/lookup.rs",
    "host/src/daemon/privileges.rs",
];

#[test]
fn libc_is_confined() {
    let found = breaches("host/src", &["libc::"], |path| WITH_LIBC.contains(&path), false);
    assert_none("libc only where rustix has no answer", &found);
}

/// Unsafe code stands where libc does, and is explained (clippy sees to that).
#[test]
fn unsafe_is_confined() {
    let allowed = |path: &str| WITH_LIBC.contains(&path) || is_below(path, &["host/src/ring/op"]);
    assert_none(
        "no unsafe elsewhere",
        &breaches("host/src", &["unsafe {", "unsafe fn", "unsafe impl"], allowed, true),
    );
}

/// Wire constants are defined once.
#[test]
fn the_protocol_is_written_down_once() {
    for definition in [
        "const SAME_MODE",
        "const NDX_DONE",
        "const MPLEX_BASE",
        "const INC_RECURSE: Self = Self(0b",
        "fn varint_len",
    ] {
        let found: Vec<_> = sources("core/src")
            .iter()
            .chain(&sources("host/src"))
            .filter(|file| file.without_tests().iter().any(|(_, code)| code.contains(definition)))
            .map(|file| file.path.clone())
            .collect();
        assert!(found.len() <= 1, "{definition} in {found:?}");
    }
}

/// A file that outgrows this has more than one reason to change.
const LINES: usize = 800;

#[test]
fn files_stay_small() {
    let mut found = Vec::new();
    for file in sources("core/src").iter().chain(&sources("host/src")) {
        let lines = file.text.lines().count();
        // A table.
        if lines > LINES && file.path != "host/src/cli/options.rs" {
            found.push(format!("{}: {lines} lines, {LINES} allowed", file.path));
        }
    }
    assert_none("divide it", &found);
}

/// No file is named after nothing.
#[test]
fn modules_have_a_subject() {
    const EMPTY: [&str; 6] = ["utils", "util", "common", "helpers", "misc", "types"];
    for file in sources("core/src").iter().chain(&sources("host/src")) {
        let stem = Path::new(&file.path).file_stem().unwrap().to_str().unwrap();
        assert!(!EMPTY.contains(&stem), "{}", file.path);
    }
}
