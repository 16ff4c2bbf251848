//! The command line from outside: texts, exit codes, and what is refused.

mod compat;
mod options;
mod trees;

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output, Stdio},
};

const ARSYNC: &str = env!("CARGO_BIN_EXE_arsync");

fn run_as(program: impl AsRef<Path>, dir: &Path, words: &[&str]) -> Output {
    output_of(program.as_ref(), dir, words, None)
}

fn output_of(program: &Path, dir: &Path, words: &[&str], variable: Option<(&str, &str)>) -> Output {
    Command::new(program)
        .args(words)
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C.UTF-8")
        .env("HOME", dir)
        .envs(std::env::var_os("LLVM_PROFILE_FILE").map(|path| ("LLVM_PROFILE_FILE", path)))
        .envs(variable)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn run(dir: &Path, words: &[&str]) -> (i32, String, String) {
    run_with(dir, words, None)
}

/// The same, with a variable in the environment.
fn run_with(dir: &Path, words: &[&str], variable: Option<(&str, &str)>) -> (i32, String, String) {
    let output = output_of(ARSYNC.as_ref(), dir, words, variable);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// A directory with `src/file`.
fn bench() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("src")).unwrap();
    fs::write(dir.path().join("src/file"), "content").unwrap();
    fs::write(dir.path().join("list"), "file\n").unwrap();
    dir
}

#[test]
fn version_names_the_program_and_its_protocol() {
    let dir = bench();
    let (code, out, err) = run(dir.path(), &["--version"]);
    let first = format!("arsync  version {}  protocol version 32", env!("CARGO_PKG_VERSION"));
    assert_eq!((code, out.lines().next(), err.as_str()), (0, Some(first.as_str()), ""));
    assert_eq!(run(dir.path(), &["-V"]).1, out);
    assert!(out.contains("MIT licence"));
}

/// Scripts look at the first line of `rsync --version` to learn what they have.
#[test]
fn under_the_name_rsync_the_first_line_is_that_of_rsync() {
    let dir = bench();
    symlink(ARSYNC, dir.path().join("rsync")).unwrap();
    let output = run_as(dir.path().join("rsync"), dir.path(), &["--version"]);
    let out = String::from_utf8(output.stdout).unwrap();
    let mut lines = out.lines();
    assert_eq!(lines.next(), Some("rsync  version 3.5.0  protocol version 32"));
    assert!(out.contains("arsync"), "{out}");
}

#[test]
fn usage_goes_to_stderr_with_code_1() {
    let dir = bench();
    for words in [&[][..], &["-a"]] {
        let (code, out, err) = run(dir.path(), words);
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(err.contains("Usage: arsync [OPTION]... SRC [SRC]... DEST"), "{err}");
        assert!(err.contains("syntax or usage error (code 1)"), "{err}");
    }
    let (code, out, err) = run(dir.path(), &["--help"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("--delete-after") && out.contains("--compress-choice"), "{out}");
}

/// Without the place in the program, which is not the same, and without what comes after the first line.
fn first_line(stderr: &str) -> &str {
    stderr.lines().next().unwrap_or_default()
}

/// Exit code and first line of the message are those of rsync 3.5.0 (recorded).
#[test]
fn mistakes_are_answered_as_by_rsync() {
    let dir = bench();
    let here = dir.path().canonicalize().unwrap();
    let here = here.display();
    let table: &[(&[&str], i32, String)] = &[
        (&["--nosuch", "src", "dst"], 1, "rsync: --nosuch: unknown option".into()),
        (&["-a", "-\u{e9}", "src", "dst"], 1, "rsync: -\\#303\\#251: unknown option".into()),
        (
            &["-a", "--files-from=", "src", "dst"],
            1,
            "rsync: failed to open files-from file : Invalid argument".into(),
        ),
        (
            &["-a", "--files-from=src", "src", "dst"],
            12,
            "rsync: [sender] safe_read failed to read 1 bytes: Is a directory (21)".into(),
        ),
        (
            &["-a", "--read-batch=src", "dst"],
            11,
            format!("Batch file \"{here}/src\" is neither a regular file nor a FIFO"),
        ),
        (
            &["-a", "--read-batch=", "dst"],
            11,
            format!("rsync: [Receiver] Batch file \"{here}/\" open error: Invalid argument (22)"),
        ),
        (&["-a", "--iconv=nosuch", "--filter=x y", "src", "dst"], 1, "Unknown filter rule: x y".into()),
        (&["a:b", "c:d"], 1, "The source and destination cannot both be remote.".into()),
        (&["src", "h:x", "dst"], 1, "Unexpected remote arg: h:x".into()),
        (&["src", ""], 1, "Empty destination arg specified (use \".\" or see --old-args).".into()),
        (&["-a", "--checksum-choice=foo", "src", "dst"], 4, "unknown checksum name: foo".into()),
        (&["--info=foo", "src", "dst"], 1, "Unknown --info item: \"foo\"".into()),
        (
            &["--delete", "src/file", "dst"],
            1,
            "rsync: --delete does not work without --recursive (-r) or --dirs (-d).".into(),
        ),
        (
            &["-a", "missing", "dst"],
            23,
            format!("rsync: [sender] link_stat \"{here}/missing\" failed: No such file or directory (2)"),
        ),
        (
            &["-a", "missing/", "dst"],
            23,
            format!("rsync: [sender] change_dir \"{here}/missing\" failed: No such file or directory (2)"),
        ),
        (
            &["-a", "src/", "no/such/dst/"],
            11,
            format!("rsync: [Receiver] mkdir \"{here}/no/such/dst\" failed: No such file or directory (2)"),
        ),
        (
            &["-a", "src/file", "no/such/dst"],
            3,
            format!(
                "rsync: [Receiver] change_dir#3 \"{here}/no/such\" failed: No such file or directory (2)"
            ),
        ),
        (
            &["-a", "-e", "/no/such/program", "h:x", "dst"],
            14,
            "rsync: [Receiver] Failed to exec /no/such/program: No such file or directory (2)".into(),
        ),
    ];
    let mut faults = Vec::new();
    for (words, code, message) in table {
        let (got, _, err) = run(dir.path(), words);
        if got != *code || !err.lines().any(|line| line == message) {
            faults
                .push(format!("{words:?}: code {got} {:?}\n  expected {code} {message:?}", first_line(&err)));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The same, against the rsync that is installed: whatever it says, the code is the same.
#[test]
fn exit_codes_are_those_of_the_installed_rsync() {
    let table: &[&[&str]] = &[
        &["-a", "missing", "dst"],
        &["-a", "src", "missing", "dst"],
        &["-a", "src/", "no/such/"],
        &["-a", "src/file", "no/such/dst"],
        &["--delete", "src/file", "dst"],
        &["-a", "--max-size=x", "src", "dst"],
        &["-a", "--chmod=z", "src", "dst"],
        &["-a", "--block-size=999999999999", "src", "dst"],
        &["-a", "--filter=bad rule", "src", "dst"],
        &["-a", "--exclude-from=missing", "src", "dst"],
        &["-a", "--compress-choice=foo", "src", "dst"],
        &["-a", "--debug=foo", "src", "dst"],
        &["-a", "--timeout=x", "src", "dst"],
        &["-a", "--inplace", "--partial-dir=x", "src", "dst"],
        &["-a", "--append", "--whole-file", "src", "dst"],
        &["-a", "--usermap=x", "src", "dst"],
        &["-a", "--chown=nobody-knows-this:", "src", "dst"],
        &["-a", "--protocol=26", "src/", "dst"],
        &["-a", "--temp-dir=missing", "src/", "dst"],
        &["src/", "dst"],
        &["-a", "-e", "false", "h:x", "dst"],
        &["-a", "-e", "'unbalanced", "h:x", "dst"],
        &["h:x", "dst", "i:y"],
        &["src", "src/file/", "dst"],
    ];
    let mut faults = Vec::new();
    for words in table {
        let codes: Vec<_> = [ARSYNC, "rsync"]
            .iter()
            .map(|program| {
                let dir = bench();
                let output = run_as(program, dir.path(), words);
                (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
            })
            .collect();
        if codes[0].0 != codes[1].0 {
            faults.push(format!("{words:?}\n  arsync {:?}\n  rsync  {:?}", codes[0], codes[1]));
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

/// The front page says what is missing, and names no option that is there.
#[test]
fn the_readme_names_what_is_missing() {
    let readme = include_str!("../../README.md");
    let missing = readme.split("## What is not there yet").nth(1).unwrap().split("\n## ").next().unwrap();
    for name in missing.split("`--").skip(1).map(|rest| rest.split('`').next().unwrap()) {
        assert_eq!(name, "crtimes", "README.md says that --{name} is missing");
    }
}

/// `arsync SRC` lists, as rsync does.
#[test]
fn one_argument_lists() {
    let dir = bench();
    fs::write(dir.path().join("src/large"), vec![0; 1_234_567]).unwrap();
    let ours = run_as(ARSYNC, dir.path(), &["-r", "src/"]);
    let stock = run_as("rsync", dir.path(), &["-r", "src/"]);
    assert_eq!(String::from_utf8_lossy(&ours.stdout), String::from_utf8_lossy(&stock.stdout));
    assert_eq!(ours.status.code(), Some(0));
}

/// Completions and wrappers are made from the list of options: it is that of rsync, name by name and in its order.
#[test]
fn help_lists_the_options_that_rsync_lists() {
    let dir = bench();
    let options = |program: &str, words: &[&str]| {
        let out = String::from_utf8(run_as(program, dir.path(), words).stdout).unwrap();
        let named = out.lines().filter(|line| line.trim_start().starts_with('-'));
        named.map(|line| line.chars().take(25).collect::<String>().trim().to_owned()).collect::<Vec<_>>()
    };
    let (ours, stock) = (options(ARSYNC, &["--help"]), options("rsync", &["--help"]));
    assert!(stock.len() > 100, "{} options", stock.len());
    assert_eq!(ours, stock);
    for list in ["--info=help", "--debug=help"] {
        let words = |program: &str| {
            let out = String::from_utf8(run_as(program, dir.path(), &[list]).stdout).unwrap();
            let word = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
            let is_word = |w: &String| w.len() > 1 && w.bytes().all(|b| b.is_ascii_uppercase());
            let words = out.lines().map(word).filter(is_word).collect::<Vec<_>>();
            (
                words,
                out.lines()
                    .filter(|l| l.as_bytes().get(1) == Some(&b')'))
                    .map(str::to_owned)
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(words(ARSYNC).0[1..], words("rsync").0[..], "{list}");
        assert_eq!(words(ARSYNC).1, words("rsync").1, "{list}");
    }
}

/// The keys of `-VV`, and whether each value is a text, a number, a list or a truth value.
#[test]
fn the_capabilities_in_json_have_the_keys_of_rsync() {
    let dir = bench();
    let shape = |program: &str| {
        let out = String::from_utf8(run_as(program, dir.path(), &["-VV"]).stdout).unwrap();
        let key = |line: &str| {
            let (key, value) = line.trim().split_once("\": ")?;
            let kind = match value.as_bytes().first()? {
                b't' | b'f' => 'b',
                b'0'..=b'9' => '9',
                other => char::from(*other),
            };
            Some(format!("{}:{kind}", key.trim_start_matches('"')))
        };
        out.lines().filter_map(key).collect::<Vec<_>>()
    };
    let (ours, stock) = (shape(ARSYNC), shape("rsync"));
    assert!(stock.len() > 20, "{stock:?}");
    assert_eq!(ours, stock);
}
