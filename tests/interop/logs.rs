//! What daemons and servers write into their logs, and how messages of a daemon name files: the same with both programs.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::Path,
    time::Duration,
};

use crate::{
    daemon::Daemon,
    needs::needs_root,
    peers::{Outcome, Program, command, fake_shell, run},
};

const BOTH: [Program; 2] = [Program::Stock, Program::Arsync];

fn client(program: Program, dir: &Path, words: &[&str]) -> Outcome {
    let out = run(command(program.path(), dir).args(words));
    assert!(!out.panicked(), "{words:?}: {out:?}");
    out
}

/// A tree with a file, a symlink and a directory.
fn source(dir: &Path) {
    fs::create_dir_all(dir.join("src/d")).unwrap();
    fs::write(dir.join("src/f"), "12").unwrap();
    fs::write(dir.join("src/d/g"), "123").unwrap();
    symlink("f", dir.join("src/l")).unwrap();
    let mode = fs::Permissions::from_mode(0o640);
    fs::set_permissions(dir.join("src/f"), mode).unwrap();
}

/// Lines of a log without the time and the number of the process.
fn lines(path: &Path) -> Vec<String> {
    let text = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().map(|line| line.split_once("] ").unwrap().1.to_owned()).collect()
}

/// The lines of items that a daemon with this log format writes for a session.
fn logged(program: Program, format: &str, words: impl Fn(&Daemon) -> Vec<String>) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    source(dir.path());
    fs::create_dir_all(dir.path().join("m/have")).unwrap();
    fs::write(dir.path().join("m/have/x"), "").unwrap();
    fs::set_permissions(dir.path().join("m/have/x"), fs::Permissions::from_mode(0o604)).unwrap();
    let ids = if rustix::process::geteuid().is_root() { "uid = root\ngid = root\n" } else { "" };
    let shown = dir.path().display();
    let text = format!(
        "use chroot = no\nreverse lookup = no\n{ids}log file = {shown}/log\nread only = no\n\
         transfer logging = yes\nlog format = item {format}\n[m]\npath = {shown}/m\n[s]\npath = {shown}/src\n"
    );
    let daemon = Daemon::with(program, dir.path(), &text);
    let words = words(&daemon);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let out = client(Program::Stock, dir.path(), &words);
    assert_eq!((out.code, &*out.stderr), (Some(0), ""), "{program:?} {words:?}");
    // The last line is written when the client has left already.
    for _ in 0..200 {
        if lines(&dir.path().join("log")).iter().any(|line| line.starts_with("sent ")) {
            break;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    let all = lines(&dir.path().join("log"));
    all.iter().filter_map(|line| line.strip_prefix("item ")).map(str::to_owned).collect()
}

#[test]
fn a_daemon_logs_transfers_alone_unless_items_are_itemized() {
    for program in BOTH {
        let pull = |d: &Daemon| vec!["-a".into(), d.url("s/"), "out/".into()];
        assert_eq!(logged(program, "%o %n %l", pull), ["send f 2", "send d/g 3"], "{program:?}");
        assert_eq!(
            logged(program, "%i %n", pull),
            ["cd+++++++++ ./", "<f+++++++++ f", "cL+++++++++ l", "cd+++++++++ d/", "<f+++++++++ d/g"],
            "{program:?}"
        );
    }
}

#[test]
fn a_daemon_logs_paths_below_its_module() {
    for program in BOTH {
        let into = |path: &'static str| move |d: &Daemon| vec!["-a".into(), "src/".into(), d.url(path)];
        assert_eq!(logged(program, "%o %f", into("m/")), ["recv f", "recv d/g"], "{program:?}");
        assert_eq!(
            logged(program, "%o %f", into("m/have/")),
            ["recv have/f", "recv have/d/g"],
            "{program:?}"
        );
        assert_eq!(logged(program, "%f %n", into("m/new")), ["new/f f", "new/d/g d/g"], "{program:?}");
        let one = |d: &Daemon| vec!["-a".into(), d.url("s/d/"), "out/".into()];
        assert_eq!(logged(program, "%f %n", one), ["d/g g"], "{program:?}");
    }
}

#[test]
fn a_daemon_logs_sums_and_permissions() {
    for program in BOTH {
        // The head of the sums of a file that is new: 16 bytes.
        let pull = |d: &Daemon| vec!["-a".into(), d.url("s/f"), "out/".into()];
        assert_eq!(logged(program, "%c", pull), ["16"], "{program:?}");
        let delete = |d: &Daemon| vec!["-a".into(), "--delete".into(), "src/d/".into(), d.url("m/have/")];
        assert_eq!(
            logged(program, "%B %o %n", delete),
            ["rw----r-- del. x", "rw-r--r-- recv g"],
            "{program:?}"
        );
    }
}

/// What a server says is in its log too; that it ended well is there only if it did.
#[test]
fn a_server_logs_what_it_says_and_its_end() {
    let dir = tempfile::tempdir().unwrap();
    source(dir.path());
    let shell = fake_shell(dir.path()).to_str().unwrap().to_owned();
    let (to, log) = (dir.path().join("new/"), dir.path().join("log"));
    let log_file = format!("-M--log-file={}", log.display());
    let session = |program: Program, words: &[&str]| {
        let path = format!("--rsync-path={}", program.path());
        let to = format!("h:{}", to.display());
        let words = [words, &["-e", &shell, &path, &log_file, "src/", &to]].concat();
        client(Program::Stock, dir.path(), &words)
    };
    for program in BOTH {
        assert_eq!(session(program, &["-ai"]).code, Some(0), "{program:?}");
        let said = lines(&log);
        assert_eq!(
            said[..said.len() - 1],
            [
                "receiving file list".to_owned(),
                format!("created directory {}", to.display().to_string().trim_end_matches('/')),
                "cd+++++++++ ./".into(),
                ">f+++++++++ f".into(),
                "cL+++++++++ l -> f".into(),
                "cd+++++++++ d/".into(),
                ">f+++++++++ d/g".into(),
            ],
            "{program:?}"
        );
        assert!(said.last().unwrap().starts_with("sent "), "{program:?} {said:?}");
        fs::remove_file(&log).unwrap();
        // A directory that is not empty stands in the way.
        fs::remove_file(to.join("f")).unwrap();
        fs::create_dir_all(to.join("f/x")).unwrap();
        assert_eq!(session(program, &["-a"]).code, Some(23), "{program:?}");
        let said = lines(&log);
        assert!(!said.iter().any(|line| line.starts_with("sent ")), "{program:?} {said:?}");
        fs::remove_dir_all(&to).unwrap();
        fs::remove_file(&log).unwrap();
    }
}

/// The first error of a push into a module that its user may not write to.
fn refused(program: Program, body: &str, words: &[&str]) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    source(dir.path());
    fs::create_dir_all(dir.path().join("m/sub")).unwrap();
    fs::write(dir.path().join("m/secret"), "").unwrap();
    fs::set_permissions(dir.path().join("m/secret"), fs::Permissions::from_mode(0o600)).unwrap();
    chown(dir.path().join("m/sub"), Some(0), Some(0)).unwrap();
    let shown = dir.path().display().to_string();
    let body = body.replace("DIR", &shown);
    let text = format!("uid = 65534\ngid = 65534\nread only = no\nlog file = {shown}/log\n[m]\n{body}");
    let daemon = Daemon::with(program, dir.path(), &text);
    let words: Vec<String> = words.iter().map(|word| word.replace("URL/", &daemon.url("m/"))).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let out = client(Program::Stock, dir.path(), &words);
    let line = out.stderr.lines().find(|line| line.contains("failed")).unwrap_or_default().to_owned();
    // The name of the temporary file ends in six letters that nobody knows before.
    let Some((head, tail)) = line.split_once("\" (in m)").filter(|_| line.contains("mkstemp")) else {
        return (out.code, line);
    };
    (out.code, format!("{}??????\" (in m){tail}", head.get(..head.len() - 6).unwrap_or_default()))
}

#[test]
fn messages_of_a_daemon_name_what_is_below_the_module() {
    if !needs_root("another user serves") {
        return;
    }
    let denied = "failed: Permission denied (13)";
    for program in BOTH {
        for (body, root) in [
            ("use chroot = no\npath = DIR/m\n", ""),
            ("use chroot = yes\npath = DIR/m\n", "/"),
            ("use chroot = yes\npath = DIR/./m\n", ""),
        ] {
            let of = |words: &[&str]| refused(program, body, words);
            let got = of(&["src/f", "URL/"]);
            assert_eq!(
                got,
                (Some(23), format!("rsync: [receiver] mkstemp \"{root}.f.??????\" (in m) {denied}"))
            );
            let got = of(&["src/f", "URL/sub/"]);
            assert_eq!(
                got,
                (Some(23), format!("rsync: [receiver] mkstemp \"/sub/.f.??????\" (in m) {denied}"))
            );
            let got = of(&["-r", "src/d", "URL/"]);
            let text = format!("rsync: [generator] recv_generator: mkdir \"{root}d\" (in m) {denied}");
            assert_eq!(got, (Some(23), text));
            let got = of(&["--mkpath", "src/f", "URL/x/y/z"]);
            assert_eq!(got, (Some(11), format!("rsync: [Receiver] mkdir \"{root}x/y/z\" (in m) {denied}")));
            let got = of(&["URL/nope", "out"]);
            let text = format!(
                "rsync: [sender] link_stat \"{root}nope\" (in m) failed: No such file or directory (2)"
            );
            assert_eq!(got, (Some(23), text));
            let got = of(&["URL/secret", "out"]);
            let text = format!(
                "rsync: [sender] send_files failed to open \"{root}secret\" (in m): Permission denied (13)"
            );
            assert_eq!(got, (Some(23), text));
            let (_, text) = of(&["--files-from=:/none", "URL/", "out"]);
            let list = match root {
                "/" => "/none".to_owned(),
                _ => text.rsplit_once("/none").map_or(String::new(), |(dir, _)| {
                    format!("{}/none", dir.rsplit_once(' ').map_or("", |(_, dir)| dir))
                }),
            };
            assert_eq!(
                text,
                format!("rsync: failed to open files-from file {list}: No such file or directory")
            );
        }
    }
}

/// Runs a client with a log in a directory; its lines, those of errors without the place in the program.
fn client_log(program: Program, dir: &Path, words: &[&str]) -> (Outcome, Vec<String>) {
    fs::remove_file(dir.join("log")).unwrap_or_default();
    let out = client(program, dir, words);
    let mut said = lines(&dir.join("log"));
    for line in &mut said {
        if let Some(at) = line.find(" at main.") {
            line.truncate(at);
        }
    }
    (out, said)
}

/// Whatever is in a name, it makes no lines of its own, whatever the terminal could show.
#[test]
fn a_client_logs_control_characters_escaped() {
    for program in BOTH {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("src")).unwrap();
        for name in ["a\\#123", "new\nline", "ü☃", "x\u{7f}\t"] {
            fs::write(dir.path().join("src").join(name), "").unwrap();
        }
        let (out, said) =
            client_log(program, dir.path(), &["-r", "--log-file=log", "--log-file-format=%n", "src/", "dst"]);
        assert_eq!(out.code, Some(0), "{program:?} {out:?}");
        // What is no control character is not asked whether it is text.
        let lines = [
            "building file list",
            "./",
            "a\\#134#123",
            "new\\#012line",
            "x\u{7f}\t",
            "ü\u{fffd}\\#230\\#203",
        ];
        assert_eq!(said[..said.len() - 1], lines, "{program:?}");
    }
}

#[test]
fn a_client_logs_a_listing() {
    for program in BOTH {
        let dir = tempfile::tempdir().unwrap();
        source(dir.path());
        let (out, said) = client_log(program, dir.path(), &["-a", "--log-file=log", "--list-only", "src/"]);
        let listed: Vec<&str> = out.stdout.lines().collect();
        assert_eq!((out.code, listed.len()), (Some(0), 5), "{program:?} {out:?}");
        assert_eq!(said[1..said.len() - 1], listed, "{program:?}");
    }
}

/// A log that was named before hears of options that are refused.
#[test]
fn a_client_logs_refused_options() {
    let syntax = "rsync error: syntax or usage error (code 1)";
    let nothing_sent = "sent 0 bytes  received 0 bytes  total size 0";
    for program in BOTH {
        let dir = tempfile::tempdir().unwrap();
        source(dir.path());
        for (words, said) in [
            (&["--log-file=log", "--bogus"][..], &["rsync: --bogus: unknown option", syntax][..]),
            (&["--bogus", "--log-file=log"], &[]),
            (&["--log-file=log", "-@x"], &["rsync: -@x: invalid numeric value", syntax]),
            (
                &["--log-file=log", "-B999999"],
                &["rsync: --block-size=999999 is too large (max: 128.00K)", syntax],
            ),
            (
                &["--contimeout=5", "--log-file=log"],
                &[
                    "The --contimeout option may only be used when connecting to an rsync daemon.",
                    nothing_sent,
                    syntax,
                ],
            ),
        ] {
            let words = [words, &["src/", "dst"]].concat();
            let (out, logged) = client_log(program, dir.path(), &words);
            assert_eq!(out.code, Some(1), "{program:?} {words:?}");
            assert_eq!(logged, said, "{program:?} {words:?}");
        }
    }
}

/// A sender that left something out has the essence besides what the user sees; that a list is complete is told, if
/// that is shown.
#[test]
fn a_client_logs_how_it_ended() {
    let lost = "rsync error: some files/attrs were not transferred (see previous errors) (code 23)";
    for program in BOTH {
        let dir = tempfile::tempdir().unwrap();
        source(dir.path());
        let shell = fake_shell(dir.path()).to_str().unwrap().to_owned();
        let path = format!("--rsync-path={}", program.path());
        let far = format!("h:{}/src", dir.path().display());
        let none = format!("{far}/none");
        for (words, ends) in [
            (&["-v", "src/none", "src/d"][..], &["sent", "total", "sent", lost][..]),
            (&["-q", "src/d"], &["sent"]),
            (&["src/none", "src/d"], &["sent", lost]),
            (&["-v", &none, &far], &["sent", "total", lost]),
            (&[&none, &far], &[lost]),
            (&["--no-i-r", "--progress", &far], &["5 files to consider", "sent"]),
            (&["--no-i-r", "--info=flist", "src"], &["done", "sent"]),
        ] {
            let words = [&["-r", "--log-file=log", "-e", &shell, &path], words, &["dst/"]].concat();
            let (out, logged) = client_log(program, dir.path(), &words);
            assert_eq!(out.code, Some(if ends.contains(&lost) { 23 } else { 0 }), "{program:?} {words:?}");
            let shown = |line: &&String| {
                ["sent ", "total ", "rsync error", "done"].iter().any(|start| line.starts_with(start))
                    || line.ends_with("consider")
            };
            let logged: Vec<&str> = logged
                .iter()
                .filter(shown)
                .map(|line| match line.split_once(' ') {
                    Some((word @ ("sent" | "total"), _)) => word,
                    _ => line,
                })
                .collect();
            assert_eq!(logged, ends, "{program:?} {words:?}");
        }
    }
}
