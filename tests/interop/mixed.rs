//! Details of both programs at either end of a connection, and of what alternates and links have to do with it.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, symlink},
        process::CommandExt,
    },
    path::Path,
};

use crate::{
    daemon::Daemon,
    details::{BOTH, old, run, set_xattr, tree, xattr},
    peers::{self, Outcome, Program, fake_shell},
};

/// Runs a client with a server of the other program, or of the same, at the other end of a shell.
fn run_between(client: Program, server: Program, dir: &Path, words: &[&str]) -> Outcome {
    let shell = fake_shell(dir);
    let path = format!("--rsync-path={}", server.path());
    run(client, dir, &[&["-e", shell.to_str().unwrap(), &path][..], words].concat())
}

/// With attributes that differ times are set to the nanosecond, though the quick check looks at seconds only.
#[test]
fn times_are_exact_where_attributes_differ() {
    for program in BOTH {
        for (options, nanoseconds) in [("-aX", 123), ("-aX@9", 123), ("-a", 456)] {
            let dir = tree(&["s", "d"], &["s/f=x", "d/f=x"]);
            let at = |name: &str| dir.path().join(name);
            set_xattr(&at("s/f"), &[b'v'; 64]);
            for (name, time) in
                [("s/f", "2020-01-01 00:00:00.000000123"), ("d/f", "2020-01-01 00:00:00.000000456")]
            {
                let mut touch = std::process::Command::new("touch");
                assert!(touch.args(["-d", time]).arg(at(name)).status().unwrap().success());
            }
            let out = run(program, dir.path(), &[options, "s/", "d/"]);
            assert_eq!(out.code, Some(0), "{program:?} {options}: {out:?}");
            let got = fs::metadata(at("d/f")).unwrap().mtime_nsec();
            assert_eq!(got, nanoseconds, "{program:?} {options}");
        }
    }
}

/// The sender has no value any more for what it is asked about the second name of a link; the file has it.
#[test]
fn attributes_of_a_link_whose_source_is_gone() {
    for receiver in BOTH {
        let dir = tree(&["s", "d", "alt"], &["s/a=x"]);
        let at = |name: &str| dir.path().join(name);
        set_xattr(&at("s/a"), &[b'v'; 64]);
        fs::hard_link(at("s/a"), at("s/b")).unwrap();
        let copied = run(Program::Stock, dir.path(), &["-aX", "s/a", "alt/"]);
        assert_eq!(copied.code, Some(0), "{copied:?}");
        let to = format!("h:{}/", at("d").display());
        let words = ["-aHX", "--remove-source-files", "--copy-dest=../alt", "s/", &to];
        let out = run_between(Program::Stock, receiver, dir.path(), &words);
        assert_eq!(out.code, Some(23), "{receiver:?}: {out:?}");
        assert!(out.stderr.contains("failed to re-read xattr user.a for b"), "{receiver:?}: {out:?}");
        for name in ["d/a", "d/b"] {
            assert_eq!(xattr(&at(name)).as_deref(), Some(&[b'v'; 64][..]), "{receiver:?} {name}");
        }
    }
}

/// A line that needs the sum comes when the file is complete; who watches is told the name before.
#[test]
fn progress_names_files_of_late_lines() {
    for program in BOTH {
        let dir = tree(&["src"], &["src/f=x"]);
        let out = run(program, dir.path(), &["-r", "--progress", "--out-format=%n %c", "src/", "new/"]);
        let lines = out.stdout.lines().filter(|line| !line.contains('%'));
        let names: Vec<&str> =
            lines.map(|line| line.trim_end_matches(|c: char| c == ' ' || c.is_ascii_digit())).collect();
        assert_eq!(names[1..], ["created directory new", "./", "f", "f"], "{program:?}: {out:?}");
    }
}

/// What is compared with at the destination is read as quietly as the source.
#[test]
fn alternates_are_read_without_a_trace() {
    for program in BOTH {
        let dir = tree(&["src", "alt", "dst"], &["src/f=new text", "alt/f=an older text"]);
        let at = |name: &str| dir.path().join(name);
        let mut touch = std::process::Command::new("touch");
        assert!(touch.args(["-a", "-d", "2001-01-01"]).arg(at("alt/f")).status().unwrap().success());
        let words = ["-rUU", "--no-whole-file", "--copy-dest=../alt", "src/", "dst/"];
        let out = run(program, dir.path(), &words);
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        assert_eq!(fs::metadata(at("alt/f")).unwrap().atime(), 978_307_200, "{program:?}");
    }
}

/// A copy of an alternate file has the permissions of whatever it replaces, if that is no directory.
#[test]
fn copies_of_alternates_take_permissions_of_what_they_replace() {
    for program in BOTH {
        for (options, replaces, wanted) in
            [("-rlt", true, 0o777), ("-rltE", true, 0o777), ("-rlt", false, 0o750)]
        {
            let dir = tree(&["src", "alt", "dst"], &["src/f=x", "alt/f=x"]);
            let at = |name: &str| dir.path().join(name);
            fs::set_permissions(at("src/f"), fs::Permissions::from_mode(0o750)).unwrap();
            if replaces {
                symlink("elsewhere", at("dst/f")).unwrap();
            }
            let out = run(program, dir.path(), &[options, "--copy-dest=../alt", "src/", "dst/"]);
            assert_eq!(out.code, Some(0), "{program:?} {options}: {out:?}");
            let mode = fs::metadata(at("dst/f")).unwrap().mode() & 0o7777;
            assert_eq!(mode, wanted, "{program:?} {options}");
        }
    }
}

/// `./` in front of a name stands for a directory of its own, whatever becomes of the name.
#[test]
fn the_directory_in_front_of_names_that_cannot_be_sent() {
    for program in BOTH {
        let dir = tree(&["src"], &["src/f", "list=./none\n"]);
        let shown = |words: &[&str]| {
            fs::create_dir_all(dir.path().join("dst")).unwrap();
            old(&dir.path().join("dst"));
            let out = run(program, dir.path(), &[words, &["src", "dst/"]].concat());
            (out.code, out.stdout)
        };
        let items = (Some(23), ".d          ./\n".to_owned());
        assert_eq!(shown(&["-rtii", "--files-from=list"]), items, "{program:?}");
        let nothing = (Some(23), String::new());
        assert_eq!(shown(&["-rtii", "--files-from=list", "--no-implied-dirs"]), nothing, "{program:?}");
        // Only where directories are sent at all.
        let out = run(program, &dir.path().join("src"), &["-tRi", "./f", "../new/"]);
        assert_eq!(out.stdout.lines().next(), Some("skipping directory ."), "{program:?}: {out:?}");
    }
}

/// What the other side ends with counts before what was left out here.
#[test]
fn codes_of_the_other_side() {
    for program in BOTH {
        let dir = tree(&["src", "dst"], &["src/f"]);
        let shell = peers::script(&dir.path().join("rsh"), "shift\n/bin/sh -c \"$*\"\nexit 23");
        let to = format!("h:{}/", dir.path().join("dst").display());
        fs::write(dir.path().join("dst/gone"), "").unwrap();
        let path = format!("--rsync-path={}", program.path());
        let words = ["-r", "--delete", "--max-delete=0", "-e", shell.to_str().unwrap(), &path];
        let pushed = run(program, dir.path(), &[&words[..], &["src/", &to]].concat());
        assert_eq!(pushed.code, Some(23), "{program:?}: {pushed:?}");
        let from = format!("h:{}/", dir.path().join("src").display());
        let pulled = run(program, dir.path(), &[&words[..], &[&from, "dst/"]].concat());
        assert_eq!(pulled.code, Some(23), "{program:?}: {pulled:?}");
    }
}

/// Directories for backups belong to whom the real ones do only where owners are preserved.
#[test]
fn owners_of_backup_directories() {
    for program in BOTH {
        for (options, wanted) in [("-rlt", (0, 0)), ("-rlto", (5, 0)), ("-rltg", (0, 6))] {
            let dir = tree(&["src/d", "dst/d"], &["src/d/f=new", "dst/d/f=old one"]);
            let at = |name: &str| dir.path().join(name);
            for name in ["src/d", "dst/d"] {
                std::os::unix::fs::chown(at(name), Some(5), Some(6)).unwrap();
            }
            let out = run(program, dir.path(), &[options, "-b", "--backup-dir=../bak", "src/", "dst/"]);
            assert_eq!(out.code, Some(0), "{program:?} {options}: {out:?}");
            let made = fs::metadata(at("bak/d")).unwrap();
            assert_eq!((made.uid(), made.gid()), wanted, "{program:?} {options}");
        }
    }
}

/// Old versions carry 32 bits of a time; a sender tells the one that it has read.
#[test]
fn old_times_in_lines_of_a_sender() {
    for client in BOTH {
        let dir = tree(&["src"], &["src/f=x"]);
        let mut touch = std::process::Command::new("touch");
        assert!(
            touch
                .args(["-d", "1961-09-16T04:00:59Z"])
                .arg(dir.path().join("src/f"))
                .status()
                .unwrap()
                .success()
        );
        let to = format!("h:{}/", dir.path().join("dst").display());
        let words = ["-rt", "--protocol=28", "--out-format=%M %n", "src/f", &to];
        let out = run_between(client, Program::Stock, dir.path(), &words);
        assert_eq!(out.stdout, "1961/09/16-04:00:59 f\n", "{client:?}: {out:?}");
    }
}

/// Below protocol 29 items do not travel: a client that receives itemizes its own, existing links included.
#[test]
fn existing_links_of_old_protocols() {
    for client in BOTH {
        let dir = tree(&["src", "dst"], &["src/a=x"]);
        fs::hard_link(dir.path().join("src/a"), dir.path().join("src/b")).unwrap();
        let from = format!("h:{}/", dir.path().join("src").display());
        let pull = |words: &[&str]| {
            run_between(
                client,
                Program::Stock,
                dir.path(),
                &[words, &["--protocol=28", &from, "dst/"]].concat(),
            )
        };
        assert_eq!(pull(&["-aH"]).code, Some(0));
        let wanted = ".d          ./\n.f          a\nhf          b\n";
        assert_eq!(pull(&["-aHii"]).stdout, wanted, "{client:?}");
    }
}

/// What a name of a list has beyond 4095 bytes is not looked at.
#[test]
fn names_of_a_list_are_cut_at_the_longest_path() {
    for sender in BOTH {
        let dir = tree(&["src"], &["src/a=x", "src/b=x"]);
        let from = format!("h:{}/src/", dir.path().display());
        for (before, missing) in [(4094_usize, "z\" failed"), (4095, "d\" failed"), (8000, "d\" failed")] {
            let long = "d/".repeat(before.div_ceil(2));
            fs::write(dir.path().join("list"), format!("{}z\na\n", &long[..before])).unwrap();
            let words = ["-t", "--files-from=list"];
            let local = run(sender, dir.path(), &[&words[..], &["src/", "one/"]].concat());
            let remote =
                run_between(Program::Stock, sender, dir.path(), &[&words[..], &[&from, "two/"]].concat());
            for (out, to) in [(local, "one"), (remote, "two")] {
                assert_eq!(out.code, Some(23), "{sender:?} {before}: {out:?}");
                assert!(out.stderr.contains(missing), "{sender:?} {before}: {out:?}");
                assert!(dir.path().join(to).join("a").exists(), "{sender:?} {before}");
            }
        }
    }
}

/// Links of other users lead nowhere in paths that options name, unless the operator wants that.
#[test]
fn links_of_other_users_in_named_paths() {
    for program in BOTH {
        let dir = tree(
            &["src", "alt", "real"],
            &["src/f=x", "alt/f=x", "real/f=x", "list=theirs/f\n", "dir=theirs/\n"],
        );
        let at = |name: &str| dir.path().join(name);
        for (name, owner) in [("theirs", 1), ("own", 0)] {
            symlink("real", at(name)).unwrap();
            std::os::unix::fs::lchown(at(name), Some(owner), Some(owner)).unwrap();
        }
        let codes = |words: &[&str]| {
            let code = |more: &[&str]| {
                fs::remove_dir_all(at("dst")).unwrap_or_default();
                fs::create_dir(at("dst")).unwrap();
                run(program, dir.path(), &[words, more].concat()).code
            };
            (code(&[]), code(&["--insecure-links"]))
        };
        assert_eq!(codes(&["-r", "src/", "theirs/"]), (Some(3), Some(0)), "{program:?}");
        assert_eq!(codes(&["-r", "src/", "own/"]), (Some(0), Some(0)), "{program:?}");
        assert_eq!(codes(&["-r", "--files-from=list", ".", "dst/"]), (Some(23), Some(0)), "{program:?}");
        assert_eq!(codes(&["-r", "--files-from=dir", ".", "dst/"]), (Some(23), Some(0)), "{program:?}");
        let linked = |link: &str| {
            fs::remove_dir_all(at("dst")).unwrap();
            let alternate = format!("--link-dest=../{link}");
            let out = run(program, dir.path(), &["-rt", &alternate, "src/", "dst/"]);
            assert!(out.stderr.contains("refusing to follow") == (link == "theirs"), "{program:?}: {out:?}");
            fs::metadata(at("dst/f")).unwrap().nlink()
        };
        assert_eq!((linked("own"), linked("theirs")), (2, 1), "{program:?}");
    }
}

/// A link takes the place of a symlink, which has no ACL: that is shown.
#[test]
fn acls_of_links_in_place_of_symlinks() {
    for program in BOTH {
        let dir = tree(&["src", "dst"], &["src/a=x"]);
        let at = |name: &str| dir.path().join(name);
        let mut acl = std::process::Command::new("setfacl");
        assert!(acl.args(["-m", "u:1234:r"]).arg(at("src/a")).status().unwrap().success());
        fs::hard_link(at("src/a"), at("src/b")).unwrap();
        let copied = run(Program::Stock, dir.path(), &["-aA", "src/a", "dst/"]);
        assert_eq!(copied.code, Some(0), "{copied:?}");
        symlink("elsewhere", at("dst/b")).unwrap();
        old(&at("dst/b"));
        let out = run(program, dir.path(), &["-aHAi", "src/", "dst/"]);
        let items: Vec<&str> = out.stdout.lines().filter(|line| line.ends_with(" b => a")).collect();
        assert_eq!(items, ["hf.s.p...a. b => a"], "{program:?}: {out:?}");
    }
}

/// An alternate file that cannot be copied is told where that interests.
#[test]
fn copies_of_alternates_that_fail() {
    for program in BOTH {
        for (shown, wanted) in [("--info=copy", true), ("--info=copy0", false)] {
            let dir = tree(&["src", "alt", "dst"], &["src/f=x", "alt/f=x"]);
            let at = |name: &str| dir.path().join(name);
            for name in [".", "dst"] {
                std::os::unix::fs::chown(at(name), Some(65534), Some(65534)).unwrap();
                fs::set_permissions(at(name), fs::Permissions::from_mode(0o755)).unwrap();
            }
            fs::set_permissions(at("alt/f"), fs::Permissions::from_mode(0o600)).unwrap();
            let mut command = peers::command(program.path(), dir.path());
            command.uid(65534).gid(65534).args(["-rti", "--copy-dest=../alt", shown, "src/", "dst/"]);
            let out = peers::run(&mut command);
            assert!(out.stdout.ends_with(">f+++++++++ f\n"), "{program:?} {shown}: {out:?}");
            let start =
                format!("rsync: [generator] copy_file \"{}/dst/../alt/f\" => .f.", dir.path().display());
            assert_eq!(out.stdout.starts_with(&start), wanted, "{program:?} {shown}: {out:?}");
            let told = format!(
                "rsync: [generator] open \"{}/dst/../alt/f\": Permission denied (13)\n",
                dir.path().display()
            );
            assert!(out.stderr.starts_with(&told), "{program:?} {shown}: {out:?}");
            assert_eq!((out.code, fs::read(at("dst/f")).unwrap()), (Some(23), b"x".to_vec()), "{program:?}");
        }
    }
}

/// Below protocol 30 a name without its directory ends the run, though it was asked for: what comes before it stands, with its time.
#[test]
fn names_without_their_directories_below_protocol_30() {
    for receiver in BOTH {
        for (version, code) in [("--protocol=29", 2), ("--protocol=30", 0)] {
            let dir = tree(&["src/a", "src/d/e", "dst"], &["src/d/e/f=x"]);
            let at = |name: &str| dir.path().join(name);
            old(&at("src/a"));
            let [a, d] = ["a", "d/e"].map(|name| format!("h:{}/src/./{name}", dir.path().display()));
            let words = ["-rtR", "--no-implied-dirs", version, &a, &d, "dst/"];
            let out = run_between(receiver, Program::Stock, dir.path(), &words);
            assert_eq!((out.code, at("dst/d").exists()), (Some(code), code == 0), "{receiver:?}: {out:?}");
            assert_eq!(out.stderr.contains("invalid path from sender"), code == 2, "{receiver:?}: {out:?}");
            let times = ["src/a", "dst/a"].map(|name| fs::metadata(at(name)).unwrap().mtime());
            assert_eq!(times[0], times[1], "{receiver:?} {version}");
            // Where a dry run has no destination, it is not looked for.
            let words = ["-rnR", "--no-implied-dirs", version, &a, &d, "missing/"];
            let out = run_between(receiver, Program::Stock, dir.path(), &words);
            assert_eq!((out.code, &*out.stderr), (Some(0), ""), "{receiver:?} {version}: {out:?}");
        }
    }
}

/// What was found for deletion is deleted at the end without a look at rule files that came in the meantime.
#[test]
fn late_deletions_of_files_read_no_rules() {
    for receiver in BOTH {
        let dir = tree(&["src", "dst"], &["src/.rules=P x", "dst/extra=x"]);
        let from = format!("h:{}/src/", dir.path().display());
        let words = ["-r", "--delete-delay", "--filter=dir-merge,r .rules", &from, "dst/"];
        let out = run_between(receiver, Program::Stock, dir.path(), &words);
        assert_eq!((out.code, &*out.stderr), (Some(0), ""), "{receiver:?}");
        assert!(!dir.path().join("dst/extra").exists(), "{receiver:?}");
    }
}

/// Rules of a server's own command line come in front of those of its client. Standard input is no file of rules there.
#[test]
fn a_server_may_have_rules_of_its_own() {
    for server in BOTH {
        for (words, code, left) in [
            (&["-M--filter=P extra"][..], 0, &["a", "b", "extra"][..]),
            (&["-M--exclude-from=RULES"], 0, &["a", "b", "other"]),
            (&["-M--include=extra", "--exclude=extra"], 0, &["a", "b"]),
            (&["-M--exclude=extra", "--include=extra"], 0, &["a", "b", "extra"]),
            (&["-M--exclude-from=-"], 12, &["extra", "other"]),
        ] {
            let dir = tree(&["s", "d"], &["s/a", "s/b", "d/extra", "d/other", "rules=other\n"]);
            let rules = dir.path().join("rules");
            let words: Vec<_> = words.iter().map(|w| w.replace("RULES", rules.to_str().unwrap())).collect();
            let to = format!("h:{}/", dir.path().join("d").display());
            let words: Vec<_> =
                ["-r", "--delete"].into_iter().chain(words.iter().map(|w| &**w)).chain(["s/", &to]).collect();
            let out = run_between(Program::Stock, server, dir.path(), &words);
            assert_eq!(
                (out.code, names(&dir.path().join("d"))),
                (Some(code), owned(left)),
                "{server:?}: {out:?}"
            );
        }
        let dir = tree(&["s", "d"], &["s/a", "s/b"]);
        let from = format!("h:{}/", dir.path().join("s").display());
        let out = run_between(Program::Stock, server, dir.path(), &["-r", "-M--exclude=a", &from, "d/"]);
        assert_eq!((out.code, names(&dir.path().join("d"))), (Some(0), owned(&["b"])), "{server:?}: {out:?}");
    }
}

/// The files of such rules are in the module of a daemon, wherever a client would have them, and none that it hides.
#[test]
fn rules_of_a_daemon_s_client_are_read_in_the_module() {
    for server in BOTH {
        let dir = tree(
            &["s", "m", "m/d"],
            &["s/a", "m/d/extra", "m/d/other", "m/rules=other\n", "rules=extra\n", "m/secret=other\n"],
        );
        let ids = if rustix::process::geteuid().is_root() { "uid = root\ngid = root\n" } else { "" };
        let at = dir.path().join("m");
        let config = format!(
            "use chroot = no\n{ids}[m]\npath = {}\nread only = no\nexclude = /secret\n",
            at.display()
        );
        let daemon = Daemon::with(server, dir.path(), &config);
        let url = format!("rsync://127.0.0.1:{}/m/d/", daemon.port);
        for (file, code, left) in [
            ("/secret", 4, &["extra", "other"][..]),
            ("/none", 12, &["extra", "other"]),
            ("/../rules", 0, &["a", "other"]),
        ] {
            let word = format!("-M--exclude-from={file}");
            let out = run(Program::Stock, dir.path(), &["-r", "--delete", &word, "s/", &url]);
            assert_eq!(
                (out.code, names(&at.join("d"))),
                (Some(code), owned(left)),
                "{server:?} {file}: {out:?}"
            );
        }
    }
}

/// What an old version cannot carry, as either side says it.
#[test]
fn options_that_an_old_version_cannot_carry_are_named() {
    for client in BOTH {
        for (words, text) in [
            (&["--link-dest=/a", "--link-dest=/b"][..], "Using more than one --link-dest option"),
            (&["--copy-dest=/a", "--inplace"], "--copy-dest with --inplace"),
            (&["--compare-dest=/a", "--append"], "--compare-dest with --inplace"),
            (&["--fuzzy"], "--fuzzy"),
            (&["--prune-empty-dirs"], "--prune-empty-dirs"),
            (&["--acls"], "--acls"),
        ] {
            let dir = tree(&["s", "d"], &["s/a"]);
            let from = format!("h:{}/", dir.path().join("s").display());
            let words: Vec<_> =
                ["-r", "--protocol=28"].iter().chain(words).copied().chain([&*from, "d/"]).collect();
            let out = run_between(client, Program::Stock, dir.path(), &words);
            let version = if text == "--acls" { 30 } else { 29 };
            let line = format!("{text} requires protocol {version} or higher (negotiated 28).");
            assert_eq!(out.code, Some(2), "{client:?} {words:?}: {out:?}");
            assert!(out.stderr.lines().any(|told| told == line), "{client:?} {words:?}: {out:?}");
        }
    }
}

/// What is in a directory, in order.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}
