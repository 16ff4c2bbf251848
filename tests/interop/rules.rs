//! Rule files of directories and the order of sources, both programs side by side.

use std::{fs, os::unix::fs::symlink, path::Path, thread, time::Duration};

use crate::{
    details::{BOTH, run, tree},
    peers::{self, Outcome, Program, fake_shell},
};

/// Two sources, rule files above and in them, and names that each of those files hides.
fn sources() -> tempfile::TempDir {
    tree(
        &["s/a/c", "s/b/d", "t/e"],
        &[
            ".rsync-filter=- 1\n",
            "s/.rsync-filter=- 2\n",
            "s/a/.rsync-filter=- 3\n",
            "s/a/c/1",
            "s/a/c/2",
            "s/a/c/3",
            "s/a/c/4",
            "s/b/1",
            "s/b/2",
            "s/b/d/1",
            "s/b/d/2",
            "s/b/d/3",
            "t/e/1",
            "t/e/2",
        ],
    )
}

/// The files that arrived, sorted, without the rule files.
fn arrived(dst: &Path) -> String {
    fn collect(dir: &Path, root: &Path, names: &mut Vec<String>) {
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, root, names);
            } else if !path.ends_with(".rsync-filter") {
                names.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut names = Vec::new();
    collect(dst, dst, &mut names);
    names.sort_unstable();
    names.join(" ")
}

/// Rule files above the directory that is entered first hold for that one alone: with incremental recursion that is the
/// first in the list.
#[test]
fn rule_files_above_several_sources() {
    for program in BOTH {
        for (words, names) in [
            (&["--no-i-r", "s/b", "s/a"][..], "a/c/1 a/c/2 a/c/4 b/d/3"),
            (&["s/b", "s/a"], "a/c/4 b/1 b/2 b/d/1 b/d/2 b/d/3"),
            (&["--no-i-r", "s/a", "t/e"], "a/c/4 e/1 e/2"),
            (&["s/a", "t/e"], "a/c/4 e/1 e/2"),
            (&["--no-i-r", "s/a/", "t/e/"], "1 2 c/4"),
            (&["-R", "s/./a", "t/./e"], "a/c/4 e/1 e/2"),
        ] {
            let dir = sources();
            let out = run(program, dir.path(), &[&["-rF"], words, &["dst/"]].concat());
            assert_eq!(out.code, Some(0), "{program:?} {words:?}: {out:?}");
            assert_eq!(arrived(&dir.path().join("dst")), names, "{program:?} {words:?}");
        }
    }
}

/// With `-R` the rule files of all directories on the way to a source are read, and those that it shares with the source
/// before it stay in force.
#[test]
fn rule_files_on_the_way() {
    for program in BOTH {
        for (words, names) in [
            (&["-F", "s/a/c", "s/b/d", "t/e"][..], "s/a/c/4 s/b/d/3 t/e/1 t/e/2"),
            (&["-F", "s/./a/c", "s/./b/d"], "a/c/4 b/d/1 b/d/2 b/d/3"),
            (&["--filter=: .rsync-filter", "s/a/c", "s/b/d"], "s/a/c/1 s/a/c/4 s/b/d/1 s/b/d/3"),
            // What is named is asked about by the rules around the source before.
            (&["--filter=: .rsync-filter", "s/a/c/2", "s/b/2", "s/a/c/3"], "s/a/c/2"),
        ] {
            let dir = sources();
            let out = run(program, dir.path(), &[&["-rR", "--no-i-r"], words, &["dst/"]].concat());
            assert_eq!(out.code, Some(0), "{program:?} {words:?}: {out:?}");
            assert_eq!(arrived(&dir.path().join("dst")), names, "{program:?} {words:?}");
        }
        let dir = sources();
        fs::write(dir.path().join("list"), "s/a/c/2\ns/b/2\ns/b/1\nt/e/1\n").unwrap();
        let words = ["-F", "--files-from=list", "--debug=filter2", ".", "dst/"];
        let out = run(program, dir.path(), &words);
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        assert_eq!(arrived(&dir.path().join("dst")), "s/a/c/2", "{program:?}");
        let at = format!("[sender] pushing local filters for {}/", dir.path().display());
        let pushed: Vec<_> = out.stdout.lines().filter_map(|line| line.strip_prefix(&at)).collect();
        assert_eq!(pushed, ["s/", "s/a/", "s/a/c/"], "{program:?}: {out:?}");
    }
}

/// A directory makes way for a file unless rule files around it protect something in it. Stock rsync asks the rules that
/// happen to be in force then, those of the root here.
#[test]
fn what_rule_files_protect_is_not_deleted_to_make_way() {
    for program in BOTH {
        for (when, lost) in [
            ("--delete-before", true),
            ("--delete-after", true),
            ("--force", true),
            ("--delete-during", false),
        ] {
            let dir = tree(
                &["src/a/b", "dst/a/b/f"],
                &[
                    "src/a/.rsync-filter=- kept\n",
                    "dst/a/.rsync-filter=- kept\n",
                    "src/a/b/f=new",
                    "dst/a/b/f/kept",
                ],
            );
            let out = run(program, dir.path(), &["-a", "--filter=: .rsync-filter", when, "src/", "dst/"]);
            let gone = lost && program == Program::Stock;
            assert_eq!(out.code, Some(if gone { 0 } else { 23 }), "{program:?} {when}: {out:?}");
            assert_eq!(dir.path().join("dst/a/b/f/kept").exists(), !gone, "{program:?} {when}");
            let told = out.stderr.starts_with("could not make way for new regular file: a/b/f\n");
            assert_eq!(told, !gone, "{program:?} {when}: {out:?}");
        }
    }
}

/// What was listed before a rule file that ends the run has reached the destination by then.
#[test]
fn a_faulty_rule_file_ends_the_run_behind_what_was_sent() {
    let dir = tree(&["s/d"], &["s/d/.rules=bogus\n", "s/f"]);
    let shell = fake_shell(dir.path());
    for (program, new) in BOTH.into_iter().zip(["new", "other"]) {
        let place = format!("h:{new}/");
        let shell = shell.to_str().unwrap();
        let out = run(
            program,
            dir.path(),
            &["-a", "-f", ": .rules", "-e", shell, "--rsync-path=rsync", "s/", &place],
        );
        assert_eq!(out.code, Some(1), "{program:?} {out:?}");
        // The server is not waited for.
        let is_there = (0..100).any(|_| {
            thread::sleep(Duration::from_millis(20));
            dir.path().join(new).is_dir()
        });
        assert!(is_there, "{program:?} {out:?}");
    }
}

/// The name of a merge file is where its text leads, whatever is on the way.
#[test]
fn merge_files_are_where_their_text_says() {
    for program in BOTH {
        let dir = tree(&["src", "d"], &["rules=q x\n", "src/f"]);
        let read = "Unknown filter rule: <rule from rules line 1>";
        for (rule, code, text) in [
            (". rules/", 1, read),
            (". ./rules", 1, read),
            (". d/../rules", 1, read),
            (". nosuch//..//./rules", 1, read),
            (".e d/../rules//", 1, read),
            (". rules/.", 11, "rsync: [client] failed to open exclude file rules/.: Not a directory (20)"),
            (
                ". nosuch/",
                11,
                "rsync: [client] failed to open exclude file nosuch: No such file or directory (2)",
            ),
            (". //", 11, "rsync: [client] failed to open exclude file /: Is a directory (21)"),
            (". d/", 0, ""),
        ] {
            let out = run(program, dir.path(), &["-a", "-f", rule, "src/", "dst/"]);
            let first = out.stderr.lines().next().unwrap_or_default();
            assert_eq!((out.code, first), (Some(code), text), "{program:?} {rule}");
        }
        // In a directory's file a name with a slash is one in that directory.
        fs::write(dir.path().join("src/.f"), ". nosuch/../g/\n").unwrap();
        fs::write(dir.path().join("src/g"), "- f\n").unwrap();
        let out = run(program, dir.path(), &["-ai", "-f", ": .f", "src/", "dst/"]);
        assert!(!out.stdout.contains(" f\n") && out.stdout.contains(" g\n"), "{program:?}: {out:?}");
    }
}

/// A path that ends in a slash, or a symlink whose target does, is not the name of a file.
#[test]
fn lists_of_rules_and_names_are_no_directories() {
    for program in BOTH {
        let dir = tree(&["src", "d"], &["src/f"]);
        symlink("d/", dir.path().join("link")).unwrap();
        for name in ["d/", "link", "/"] {
            let out = run(program, dir.path(), &["-a", &format!("--exclude-from={name}"), "src/", "dst/"]);
            let text = format!("rsync: [client] failed to open exclude file {name}: Is a directory (21)");
            assert_eq!((out.code, out.stderr.lines().next()), (Some(11), Some(&*text)), "{program:?}");
            let out = run(program, dir.path(), &["-a", &format!("--files-from={name}"), "src/", "dst/"]);
            let text = format!("rsync: failed to open files-from file {name}: Is a directory");
            assert_eq!((out.code, out.stderr.lines().next()), (Some(1), Some(&*text)), "{program:?}");
        }
        let out = run(program, dir.path(), &["-a", "--exclude-from=d", "src/", "dst/"]);
        assert_eq!((out.code, &*out.stderr), (Some(0), ""), "{program:?}");
    }
}

/// Rules are read as they come: in front of what is wrong behind them, of the log and of what the words mean together.
#[test]
fn what_is_wrong_first_is_told_first() {
    let batch = "rsync: [Receiver] Batch file \"DIR/none\" open error: No such file or directory (2)";
    let rules = "rsync: [client] failed to open exclude file none: No such file or directory (2)";
    for (words, code, first, last) in [
        (&["-f", "q x", "--bogus", "src", "dst"][..], 1, "Unknown filter rule: q x", "client"),
        (&["--bogus", "-f", "q x", "src", "dst"], 1, "rsync: --bogus: unknown option", "client"),
        (&["--exclude-from=none", "--max-size=q", "src", "dst"], 11, rules, "client"),
        (&["--exclude-from=none", "--version"], 11, rules, "client"),
        (&["-f", "q x", "--delete", "src", "dst"], 1, "Unknown filter rule: q x", "client"),
        (&["-f", "q x", "--log-file=none/log"], 1, "Unknown filter rule: q x", "client"),
        (&["-f", "q x", "--read-batch=none"], 1, "Unknown filter rule: q x", "client"),
        (&["--read-batch=none"], 11, batch, "Receiver"),
        (&["--read-batch=none", "h:d"], 11, batch, "Receiver"),
        (&["--read-batch=none", "--iconv=bogus", "dst"], 11, batch, "Receiver"),
        (
            &["-a", "--log-file=none/log"],
            1,
            "rsync: [client] failed to open log-file none/log: No such file or directory (2)",
            "Receiver",
        ),
        (&["-a"], 1, "rsync  version 3.5.0  protocol version 32", "Receiver"),
        (&[], 1, "rsync  version 3.5.0  protocol version 32", "client"),
    ] {
        for program in BOTH {
            let dir = tree(&["src"], &["src/f"]);
            let out = named_rsync(program, dir.path(), words);
            let here = dir.path().canonicalize().unwrap().display().to_string();
            let text = out.stderr.replace(&here, "DIR");
            assert_eq!((out.code, text.lines().next()), (Some(code), Some(first)), "{program:?} {words:?}");
            let role = format!(" [{last}=3.5.0]");
            assert!(text.trim_end().ends_with(&role), "{program:?} {words:?}: {text}");
        }
    }
}

/// The usage goes to the log, too.
#[test]
fn a_log_gets_what_the_user_gets() {
    for program in BOTH {
        let dir = tree(&["src"], &["src/f"]);
        let out = named_rsync(program, dir.path(), &["-a", "--log-file=log"]);
        let log = fs::read_to_string(dir.path().join("log")).unwrap();
        let logged: Vec<_> =
            log.lines().map(|line| line.split_once("] ").map_or("", |(_, text)| text)).collect();
        assert_eq!(logged, out.stderr.lines().collect::<Vec<_>>(), "{program:?}");
    }
}

/// The program under the name of the reference, which its usage says.
fn named_rsync(program: Program, dir: &Path, words: &[&str]) -> Outcome {
    if program == Program::Stock {
        return run(program, dir, words);
    }
    let link = dir.join("rsync");
    if !link.exists() {
        symlink(program.path(), &link).unwrap();
    }
    peers::run(peers::command(&link, dir).args(words))
}
