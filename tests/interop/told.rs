//! Lines of both programs about names: which rules decided, what was deleted, what was made.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    time::{Duration, SystemTime},
};

use crate::{
    details::{BOTH, run, touch, tree},
    needs::needs_root,
    peers::{self, fake_shell},
    unprivileged,
};

/// What cannot be looked at is asked about as a file, then as a directory, and that is told.
#[test]
fn rules_that_leave_out_dangling_links_are_told() {
    for program in BOTH {
        let dir = tree(&["src", "dst"], &[]);
        for name in ["one", "two"] {
            symlink("nowhere", dir.path().join("src").join(name)).unwrap();
        }
        let words =
            ["-rL", "--debug=filter", "--exclude=one", "--include=two", "--exclude=two/", "src/", "dst/"];
        let out = run(program, dir.path(), &words);
        let mut told: Vec<&str> =
            out.stdout.lines().filter_map(|line| line.strip_prefix("[sender] ")).collect();
        told.sort_unstable();
        let lines = [
            "hiding file one because of pattern one",
            "showing directory two because of pattern two",
            "showing file two because of pattern two",
        ];
        assert_eq!(told, lines, "{program:?}: {out:?}");
    }
}

/// Names that come twice are told of though there is no place for them.
#[test]
fn duplicates_are_told_of_without_a_destination() {
    for program in BOTH {
        for (words, told) in [
            (&["-avv"][..], "src from file list (2)"),
            (&["-avv", "--no-i-r"], "src from file list (1), src/f from file list (3)"),
        ] {
            let dir = tree(&["src"], &["src/f"]);
            let out = run(program, dir.path(), &[words, &["src", "src", "none/dst/"]].concat());
            let lines = out.stdout.lines().filter_map(|line| line.strip_prefix("removing duplicate name "));
            assert_eq!(lines.collect::<Vec<_>>().join(", "), told, "{program:?} {words:?}: {out:?}");
            assert_eq!(out.code, Some(11), "{program:?} {words:?}");
        }
    }
}

/// Lines of deletions have the permissions that `--chmod` would make of those that went.
#[test]
fn deletions_in_a_pull_show_changed_permissions() {
    for program in BOTH {
        let dir = tree(&["src", "dst/d"], &["dst/f"]);
        for (name, mode) in [("dst/d", 0o2750), ("dst/f", 0o600)] {
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        symlink("x", dir.path().join("dst/l")).unwrap();
        let shell = fake_shell(dir.path());
        let (path, from) =
            (format!("--rsync-path={}", program.path()), format!("h:{}/src/", dir.path().display()));
        let words =
            ["-r", "--delete", "--chmod=g=u", "--out-format=%o %B %n", "-e", shell.to_str().unwrap(), &path];
        let out = run(program, dir.path(), &[&words[..], &[&from, "dst/"]].concat());
        let lines = "del. rwxrwx--- d/\ndel. rwxrwxrwx l\ndel. rw-rw---- f\n";
        assert_eq!((out.code, out.stdout.as_str()), (Some(0), lines), "{program:?}: {out:?}");
    }
}

/// Names of what was made are those at the destination, below protocol 29.
#[test]
fn a_new_name_of_old_protocols_is_told() {
    for program in BOTH {
        for (protocol, line) in [("--protocol=28", "new -> x\n"), ("--protocol=29", "link -> x\n")] {
            let dir = tree(&["src"], &[]);
            symlink("x", dir.path().join("src/link")).unwrap();
            let shell = fake_shell(dir.path());
            let remote = format!("h:{}/src/link", dir.path().display());
            let path = format!("--rsync-path={}", program.path());
            for from in ["src/link", &remote] {
                let words = [
                    "-lv",
                    "--info=stats0,flist0",
                    protocol,
                    "-e",
                    shell.to_str().unwrap(),
                    &path,
                    from,
                    "new",
                ];
                let out = run(program, dir.path(), &words);
                assert_eq!((out.code, out.stdout.as_str()), (Some(0), line), "{program:?} {protocol} {from}");
                fs::remove_file(dir.path().join("new")).unwrap();
            }
        }
    }
}

/// A symlink that leads out is told of before rules are asked: those see what it leads to.
#[test]
fn unsafe_links_that_rules_leave_out_are_told() {
    for program in BOTH {
        let dir = tree(&["src", "dst", "out"], &["out/file"]);
        for (name, target) in [("dir", "../out"), ("file", "../out/file"), ("none", "../out/none")] {
            symlink(target, dir.path().join("src").join(name)).unwrap();
        }
        let (to_dir, to_file) = ("\"dir\" -> \"../out\"", "\"file\" -> \"../out/file\"");
        let to_none = "\"none\" -> \"../out/none\"";
        for (words, links) in [
            (["-rlv", "--exclude=*"], &[to_dir, to_file, to_none][..]),
            (["-rlvk", "--exclude=*"], &[to_file, to_none]),
            (["-rlv", "--exclude=none"], &[to_dir, to_file, to_none]),
        ] {
            let words = [&words[..], &["-n", "--copy-unsafe-links", "src/", "dst/"]].concat();
            let out = run(program, dir.path(), &words);
            let mut told: Vec<&str> =
                out.stdout.lines().filter_map(|line| line.strip_prefix("copying unsafe symlink ")).collect();
            told.sort_unstable();
            assert_eq!((out.code, &told[..]), (Some(0), links), "{program:?} {words:?}: {out:?}");
        }
    }
}

/// With `--ignore-errors` the receiver hears of no error of the sender's lists, and says what it left for itself.
#[test]
fn ignored_errors_do_not_hide_the_limit_of_deletions() {
    for program in BOTH {
        let dir = tree(&["src", "dst/d", "dst/e"], &["dst/d/x", "dst/e/x"]);
        symlink("nowhere", dir.path().join("src/link")).unwrap();
        let shell = fake_shell(dir.path());
        let (path, to) =
            (format!("--rsync-path={}", program.path()), format!("h:{}/dst/", dir.path().display()));
        let words = ["-rL", "--delete", "--max-delete=1", "--ignore-errors", "-e", shell.to_str().unwrap()];
        let out = run(program, dir.path(), &[&words[..], &[&path, "src/", &to]].concat());
        assert_eq!(out.code, Some(25), "{program:?}: {out:?}");
    }
}

/// A source that is missing and to be deleted counts among the regular files of a sender, and the special ones of a receiver.
#[test]
fn missing_sources_are_counted() {
    for program in BOTH {
        let dir = tree(&["src", "dst"], &["src/f"]);
        let shell = fake_shell(dir.path());
        let path = format!("--rsync-path={}", program.path());
        let words = ["-r", "--stats", "--delete-missing-args", "-e", shell.to_str().unwrap(), &path];
        let remote = |name: &str| format!("h:{}/{name}", dir.path().display());
        let (f, none, to) = (remote("src/f"), remote("src/none"), remote("dst/"));
        for (operands, counts) in
            [([&f, &none, "dst/"], "2 (reg: 1, special: 1)"), (["src/f", "src/none", &to], "2 (reg: 2)")]
        {
            let out = run(program, dir.path(), &[&words[..], &operands].concat());
            let line = format!("Number of files: {counts}");
            assert!(out.stdout.lines().any(|l| l == line), "{program:?} {operands:?}: {out:?}");
        }
    }
}

/// What a missing source takes along counts as deleted only where something else may be.
#[test]
fn deletions_of_missing_sources_are_counted_with_others() {
    for program in BOTH {
        for (option, count) in [("--times", "0"), ("--force", "1 (reg: 1)"), ("--delete", "1 (reg: 1)")] {
            let dir = tree(&["src", "dst"], &["src/f", "dst/none"]);
            let words = ["-r", "--stats", "--delete-missing-args", option, "src/f", "src/none", "dst/"];
            let out = run(program, dir.path(), &words);
            assert!(!dir.path().join("dst/none").exists(), "{program:?} {option}");
            let line = format!("Number of deleted files: {count}");
            assert!(out.stdout.lines().any(|l| l == line), "{program:?} {option}: {out:?}");
        }
    }
}

/// `-c` reads a file under its first name; under the others it was accessed just now.
#[test]
fn names_behind_the_one_that_was_read_show_it() {
    let shown = BOTH.map(|program| {
        let dir = tree(&["src"], &["src/a=text"]);
        let long_ago =
            fs::FileTimes::new().set_accessed(SystemTime::UNIX_EPOCH + Duration::from_secs(1_400_000_000));
        fs::File::options().write(true).open(dir.path().join("src/a")).unwrap().set_times(long_ago).unwrap();
        for name in ["src/b", "src/c"] {
            fs::hard_link(dir.path().join("src/a"), dir.path().join(name)).unwrap();
        }
        let out = run(program, dir.path(), &["-rcU", "--list-only", "src/"]);
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        out.stdout.lines().filter(|line| line.contains(" 2014/05/13 ")).count()
    });
    // All of them where reading leaves no trace.
    assert!(shown == [1, 1] || shown == [3, 3], "{shown:?}");
}

/// A dry run that has read a file to sum it up would have to set its time of access, too.
#[test]
fn files_that_a_dry_run_has_read_are_not_up_to_date() {
    for program in BOTH {
        let dir = tree(&["src", "dst"], &["src/a=text", "dst/a=text"]);
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_400_000_000);
        for name in ["src/a", "dst/a"] {
            let times = fs::FileTimes::new().set_accessed(long_ago).set_modified(long_ago);
            fs::File::options().write(true).open(dir.path().join(name)).unwrap().set_times(times).unwrap();
        }
        for (words, line) in [("-rtUnvv", "a is uptodate"), ("-rtcUnvv", "a")] {
            let out = run(program, dir.path(), &[words, "src/", "dst/"]);
            assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
            assert!(out.stdout.lines().any(|l| l == line), "{program:?} {words}: {out:?}");
        }
    }
}

/// A local copy shows what the source has: owners that are mapped, and times that an old version cannot carry.
#[test]
fn owners_and_times_of_the_source_are_told() {
    if !needs_root("owners are set") {
        return;
    }
    for program in BOTH {
        for protocol in ["--protocol=29", "--protocol=32"] {
            let dir = tree(&["src"], &["src/f"]);
            for name in ["src", "src/f"] {
                std::os::unix::fs::chown(dir.path().join(name), Some(12), Some(34)).unwrap();
                touch(&dir.path().join(name), &["-d", "1960-05-12 12:00Z"]);
            }
            let words = ["-a", "--chown=56:78", "--out-format=%U %G %M %n", protocol, "src/", "dst/"];
            let out = run(program, dir.path(), &words);
            let told = out.stdout.lines().filter(|line| line.starts_with("12 34 1960/05/12-")).count();
            assert_eq!(told, 2, "{program:?} {protocol}: {out:?}");
            let made = fs::metadata(dir.path().join("dst/f")).unwrap();
            assert_eq!((made.uid(), made.gid()), (56, 78), "{program:?}");
        }
    }
}

/// A directory that may be read and not entered: what is in it is named where the reference does not enter it.
#[test]
fn names_in_a_directory_that_may_not_be_searched_are_told() {
    for program in BOTH {
        for (words, each) in [
            (&["-r"][..], false),
            (&["-rk"], true),
            (&["-rL"], true),
            (&["-r", "--copy-unsafe-links"], true),
            (&["-r", "--files-from=list"], true),
        ] {
            let bench = unprivileged::bench(program);
            let dir = bench.path();
            fs::create_dir_all(dir.join("src/d/sub")).unwrap();
            fs::create_dir(dir.join("dst")).unwrap();
            fs::write(dir.join("src/d/f"), "x").unwrap();
            fs::write(dir.join("list"), "d\n").unwrap();
            fs::set_permissions(dir.join("src/d"), fs::Permissions::from_mode(0o444)).unwrap();
            let out = unprivileged::run(program, dir, &[words, &["src/", "dst/"]].concat());
            let path = dir.join("src/d").display().to_string();
            let names = [format!("{path}/f"), format!("{path}/sub")];
            let mut told: Vec<_> = out.stderr.lines().filter(|line| line.starts_with("rsync: ")).collect();
            told.sort_unstable();
            let lines = match each {
                true => names
                    .map(|n| format!("rsync: [sender] readlink_stat(\"{n}\") failed: Permission denied (13)"))
                    .to_vec(),
                false => vec![format!("rsync: [sender] opendir \"{path}\" failed: Permission denied (13)")],
            };
            assert_eq!(
                (out.code, told),
                (Some(23), lines.iter().map(|l| &**l).collect()),
                "{program:?} {words:?}: {out:?}"
            );
            fs::set_permissions(dir.join("src/d"), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
}

/// A directory that `-m` leaves out does not take the place of a file, and so is no fault.
#[test]
fn an_empty_directory_onto_a_file() {
    for program in BOTH {
        let dir = tree(&["src/empty"], &["f"]);
        for (words, code) in [(&["-am"][..], 0), (&["-am", "-f+ empty/"], 0), (&["-a"], 3)] {
            let out = run(program, dir.path(), &[words, &["src/empty", "f"]].concat());
            assert_eq!(out.code, Some(code), "{program:?} {words:?}: {out:?}");
            assert!(dir.path().join("f").is_file(), "{program:?} {words:?}");
        }
    }
}

/// The first message while a list is made ends the line of the list, in its own stream.
#[test]
fn the_line_of_a_list_ends_where_the_first_message_goes() {
    for program in BOTH {
        let dir = tree(&["src"], &["src/f"]);
        for (sources, stdout, stderr) in [
            (
                &["missing", "src/"][..],
                "building file list ... [sender] hiding file f",
                "\nrsync: [sender] link_stat ",
            ),
            (&["src/"], "building file list ... \n[sender] hiding file f", ""),
        ] {
            let words = [&["-rvv", "--no-i-r", "--exclude=f"], sources, &["dst/"]].concat();
            let out = run(program, dir.path(), &words);
            assert!(out.stdout.starts_with(stdout), "{program:?}: {out:?}");
            assert!(out.stderr.starts_with(stderr), "{program:?}: {out:?}");
        }
    }
}

/// What `--delete-missing-args` deletes may lack its directories, too: they have vanished, and are missed once in a row.
#[test]
fn names_that_are_missing_with_their_directories() {
    let vanished = |name: &str| format!("file has vanished: \"SRC/{name}\"\n");
    let absent = |name: &str| format!("WARNING: parent dir is absent in the file list: {name}\n");
    let one_list = [
        vanished("not"),
        vanished("not"),
        vanished("not/b"),
        vanished("d/nix"),
        absent("d/nix"),
        absent("not"),
        absent("not/b"),
    ]
    .concat();
    let several = [vanished("not"), vanished("not"), vanished("not"), vanished("d/nix")].concat();
    for program in BOTH {
        for (options, deleted, told) in [
            (&["-i"][..], "d/gone d/nix/x not/a not/c not/b/x", &one_list),
            (&["-n", "-i"], "d/gone d/nix/x not/a not/c not/b/x", &one_list),
            (&["-i", "--protocol=29"], "d/gone d/nix/x not/a not/c not/b/x", &one_list),
            // With several lists there is no place for a name whose directory is missing.
            (&["-i", "-r"], "d/gone", &several),
        ] {
            let dir = tree(
                &["src/d", "dst/d/nix", "dst/not/b"],
                &["src/d/f", "dst/d/f", "dst/d/gone", "dst/d/nix/x", "dst/not/a", "dst/not/c", "dst/not/b/x"],
            );
            fs::write(dir.path().join("names"), "not/a\nnot/c\nd/f\nnot/b/x\nd/nix/x\nd/gone\n").unwrap();
            let words = [&["-t", "--delete-missing-args", "--files-from=names"], options, &["src", "dst"]];
            let out = run(program, dir.path(), &words.concat());
            let gone: Vec<_> =
                out.stdout.lines().filter_map(|line| line.strip_prefix("*deleting   ")).collect();
            assert_eq!(gone.join(" "), deleted, "{program:?} {options:?}: {out:?}");
            let src = dir.path().join("src").canonicalize().unwrap();
            let (mut lines, mut wanted): (Vec<_>, Vec<_>) = (
                out.stderr.lines().map(|line| line.replace(src.to_str().unwrap(), "SRC")).collect(),
                told.lines().collect(),
            );
            assert!(lines.pop().unwrap().contains("some files vanished"), "{program:?} {options:?}: {out:?}");
            lines.sort_unstable();
            wanted.sort_unstable();
            assert_eq!(
                (out.code, lines.join("\n")),
                (Some(24), wanted.join("\n")),
                "{program:?} {options:?}"
            );
            let stays = options.iter().any(|&word| word == "-n" || word == "-r");
            assert_eq!(dir.path().join("dst/not/a").exists(), stays, "{program:?} {options:?}");
        }
    }
}

/// A name whose directory is not in the list keeps the directory that is listed before it.
#[test]
fn names_without_a_directory_keep_others() {
    for program in BOTH {
        let dir = tree(&["src/e/d", "src/g", "dst/not"], &["dst/not/x"]);
        let made = |names: &str| {
            fs::write(dir.path().join("names"), names).unwrap();
            let words =
                ["-mn", "--out-format=%n", "--delete-missing-args", "--files-from=names", "src", "new"];
            let out = run(program, dir.path(), &words);
            out.stdout.lines().filter(|line| line.ends_with('/')).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(made("e/d\ng\n"), "", "{program:?}");
        assert_eq!(made("e/d\ng\nf/x\n"), "e/ e/d/", "{program:?}");
        assert_eq!(made("e/d\ng\nnot/x\n"), "g/", "{program:?}");
        assert_eq!(made("e/d\ng\na/x\n"), "", "{program:?}");
    }
}

/// A leader that is linked to its alternate is told of behind those that waited for it; one that is copied, in front of them.
#[test]
fn a_leader_that_is_linked_to_its_alternate_comes_last() {
    for program in BOTH {
        for (options, first) in [
            (&["--link-dest=../alt"][..], "hf+++++++++ a => b\nhf          b\nhf+++++++++ c => b\n"),
            (&["--link-dest=../alt", "-n"], "hf+++++++++ a => b\nhf          b\nhf+++++++++ c => b\n"),
            (&["--copy-dest=../alt"], "cf          b\nhf+++++++++ a => b\nhf+++++++++ c => b\n"),
        ] {
            let dir = tree(&["src", "alt", "dst"], &["src/a=text", "alt/b=text"]);
            for name in ["src/b", "src/c"] {
                fs::hard_link(dir.path().join("src/a"), dir.path().join(name)).unwrap();
            }
            touch(&dir.path().join("src"), &["-d", "2020-01-01"]);
            let out = run(program, dir.path(), &[&["-aHii"], options, &["src/", "dst/"]].concat());
            assert!(out.stdout.ends_with(first), "{program:?} {options:?}: {out:?}");
        }
    }
}

/// `-I` asks for the exact time of what is transferred only: with `--size-only` that is not what stands.
#[test]
fn fractions_of_what_is_not_transferred() {
    for program in BOTH {
        for (options, nanoseconds) in
            [(&["-I", "--size-only"][..], 250_000_000), (&["-I"], 500_000_000), (&["-c"], 500_000_000)]
        {
            let dir = tree(&["src", "dst"], &["src/f=same", "dst/f=same"]);
            touch(&dir.path().join("src/f"), &["-d", "2020-01-01 00:00:00.5Z"]);
            touch(&dir.path().join("dst/f"), &["-d", "2020-01-01 00:00:00.25Z"]);
            let out = run(program, dir.path(), &[&["-rt"], options, &["src/", "dst/"]].concat());
            assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
            let made = fs::metadata(dir.path().join("dst/f")).unwrap();
            assert_eq!(made.mtime_nsec(), nanoseconds, "{program:?} {options:?}");
        }
    }
}

/// A file that another one was made from has been read when its turn comes, which its time of access says.
#[test]
fn what_a_similar_file_is_made_from_has_been_read() {
    for program in BOTH {
        let dir = tree(&["src", "dst"], &["src/a=new", "src/b", "dst/b"]);
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_400_000_000);
        for name in ["src/b", "dst/b"] {
            let times = fs::FileTimes::new().set_accessed(long_ago).set_modified(long_ago);
            let file = fs::File::options().write(true).open(dir.path().join(name)).unwrap();
            file.set_len(100_000).unwrap();
            file.set_times(times).unwrap();
        }
        let shell = fake_shell(dir.path());
        let (path, from) =
            (format!("--rsync-path={}", program.path()), format!("h:{}/src/", dir.path().display()));
        let words = ["-rtyUi", "-e", shell.to_str().unwrap(), &path, &from, "dst/"];
        let out = run(program, dir.path(), &words);
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        assert!(out.stdout.contains(".f......u.. b\n"), "{program:?}: {out:?}");
    }
}

/// Bytes of a session begin behind the handshake and end in front of the goodbye; those of a file have no headers of frames.
#[test]
fn byte_counts_are_those_of_the_reference() {
    for (client, server) in BOTH.into_iter().flat_map(|client| BOTH.map(|server| (client, server))) {
        let dir = tree(&["src/d"], &[]);
        fs::write(dir.path().join("src/d/f"), [b'x'; 300_000]).unwrap();
        for name in ["src/d/f", "src/d", "src"] {
            touch(&dir.path().join(name), &["-d", "2020-02-02T02:02:02Z"]);
        }
        let shell = fake_shell(dir.path());
        let (shell, path) = (shell.to_str().unwrap(), format!("--rsync-path={}", server.path()));
        let remote = dir.path().to_str().unwrap();
        let session = |way: [&str; 2]| {
            let own = ["-rt", "--stats", "--out-format=%n %b", "-e", shell, &path];
            let out = run(client, dir.path(), &[&own[..], &way].concat());
            let figure = |start: &str| {
                let line = out.stdout.lines().find_map(|line| line.strip_prefix(start));
                line.unwrap_or_else(|| panic!("{out:?}")).to_owned()
            };
            (figure("d/f "), ["File list size: ", "Total bytes sent: ", "Total bytes received: "].map(figure))
        };
        let (file, [_, _, received]) = session(["src/", &format!("h:{remote}/new/")]);
        assert_eq!((&*file, &*received), ("300079", "46"), "{client:?} {server:?}");
        let (file, [list, sent, _]) = session([&format!("h:{remote}/src/"), "got/"]);
        assert_eq!((&*file, &*list, &*sent), ("300076", "50", "54"), "{client:?} {server:?}");
    }
}

/// Maps of owners are read before anything is made.
#[test]
fn owner_maps_come_before_the_destination() {
    for program in BOTH {
        let dir = tree(&["src"], &["src/f"]);
        let shell = fake_shell(dir.path());
        let (path, there) =
            (format!("--rsync-path={}", program.path()), format!("h:{}/", dir.path().display()));
        let rsh = ["-rov", "--info=stats0,flist0", "-e", shell.to_str().unwrap(), &path];
        let (from, to) = (format!("{there}src/"), format!("{there}dst"));
        for places in [["src/", "dst"], [&from, "dst"], ["src/", &to]] {
            let out = run(program, dir.path(), &[&rsh[..], &["--usermap=x"], &places].concat());
            assert_eq!(out.code, Some(1), "{program:?} {places:?}: {out:?}");
            assert!(!dir.path().join("dst").exists(), "{program:?} {places:?}");
        }
    }
}

/// `--debug=chdir`: a destination that is the current directory, or is not made, is not gone to.
#[test]
fn directories_that_are_gone_to_are_told() {
    for program in BOTH {
        let dir = tree(&["src", "dst"], &["src/f"]);
        let here = dir.path().canonicalize().unwrap();
        let here = here.display();
        let into_src = format!("[sender] change_dir({here}/src)\n");
        for (words, dest) in [
            (&["-r", "src/", "dst"][..], Some(format!("{here}/dst"))),
            (&["-r", "src/", "./"], Some(here.to_string())),
            (&["-r", "src/", "."], None),
            (&["src/f", "new"], None),
            (&["src/f", "dst/new"], Some(format!("{here}/dst"))),
            (&["-rn", "src/", "none"], None),
            (&["-n", "--mkpath", "src/f", "none/f"], None),
        ] {
            let words = [&["--debug=chdir"], words].concat();
            let out = run(program, dir.path(), &words);
            let dest = dest.map(|path| format!("[Receiver] change_dir({path})\n")).unwrap_or_default();
            assert_eq!(out.stdout, format!("{into_src}{dest}"), "{program:?} {words:?}: {out:?}");
        }
    }
}

#[test]
fn a_listing_tells_its_matches() {
    for program in BOTH {
        let dir = tree(&["src"], &["src/f"]);
        let out = run(program, dir.path(), &["-r", "--list-only", "--debug=deltasum", "src/"]);
        let last = out.stdout.lines().last();
        let totals = "total: matches=0  hash_hits=0  false_alarms=0 data=0";
        assert_eq!((out.code, last), (Some(0), Some(totals)), "{program:?}: {out:?}");
    }
}

/// `--stderr=all`: also what is no message.
#[test]
fn progress_goes_where_all_goes() {
    for program in BOTH {
        let dir = tree(&["src"], &["src/f"]);
        let out = run(program, dir.path(), &["-r", "--stderr=all", "--info=progress", "src/", "dst"]);
        assert_eq!((out.code, out.stdout.as_str()), (Some(0), ""), "{program:?}: {out:?}");
        assert!(out.stderr.contains("(xfr#1, to-chk=0/2)\n"), "{program:?}: {out:?}");
    }
}

/// A directory that cannot be read is known before the first list, at protocol 30.
#[test]
fn deletions_hear_of_errors_in_the_first_directory() {
    if !needs_root("files of another user") {
        return;
    }
    for server in BOTH {
        for client in BOTH {
            let bench = unprivileged::bench(client);
            let dir = bench.path();
            for name in ["src/d/locked", "dst/extra"] {
                fs::create_dir_all(dir.join(name)).unwrap();
            }
            let mode = fs::Permissions::from_mode(0o0);
            fs::set_permissions(dir.join("src/d/locked"), mode).unwrap();
            let shell = fake_shell(dir);
            let path = match server {
                peers::Program::Stock => server.path().to_owned(),
                peers::Program::Arsync => {
                    fs::copy(server.path(), dir.join("server")).unwrap();
                    dir.join("server").display().to_string()
                }
            };
            let (path, from) = (format!("--rsync-path={path}"), format!("h:{}/src/", dir.display()));
            let words =
                ["-r", "--protocol=30", "--delete", "-e", shell.to_str().unwrap(), &path, &from, "dst/"];
            let out = unprivileged::run(client, dir, &words);
            assert_eq!(out.code, Some(23), "{client:?} {server:?}: {out:?}");
            assert_eq!(
                out.stdout, "IO error encountered -- skipping file deletion\n",
                "{client:?} {server:?}"
            );
            assert!(dir.join("dst/extra").exists(), "{client:?} {server:?}");
        }
    }
}

/// Below protocol 29 a server says everything in the stream, and nothing where that has ended.
#[test]
fn a_server_of_old_protocols_is_silent_when_its_client_is_gone() {
    for server in BOTH {
        for (protocol, lines) in [("--protocol=28", 2), ("--protocol=29", 4)] {
            let dir = tree(&["src/d"], &["src/f", "src/d/g"]);
            let shell = fake_shell(dir.path());
            let (path, from) =
                (format!("--rsync-path={}", server.path()), format!("h:{}/src/", dir.path().display()));
            let words = ["-r", protocol, "-e", shell.to_str().unwrap(), &path, &from, "no/where/"];
            // The pipe ends when both have said everything; a client does not wait for its server.
            let all = r#"{ rsync "$@"; echo "code $?"; } 2>&1 | cat"#;
            let out = peers::run(peers::command("sh", dir.path()).args(["-c", all, "sh"]).args(words));
            let (codes, told): (Vec<_>, Vec<_>) = out.stdout.lines().partition(|l| l.starts_with("code"));
            assert_eq!((&codes[..], told.len()), (&["code 11"][..], lines), "{server:?}: {out:?}");
        }
    }
}

/// What a server says overtakes the items that it still holds: also behind a few MiB that were summed up.
#[test]
fn messages_overtake_items_with_sums() {
    for server in BOTH {
        let dir = tree(&["src", "dst"], &[]);
        for (name, len) in [("src/a", 2_000_001), ("dst/a", 2_000_000)] {
            fs::write(dir.path().join(name), vec![b'x'; len]).unwrap();
        }
        symlink("a", dir.path().join("src/l")).unwrap();
        let shell = fake_shell(dir.path());
        let (path, to) =
            (format!("--rsync-path={}", server.path()), format!("h:{}/dst/", dir.path().display()));
        let words = ["-dI", "--out-format=%n", "-e", shell.to_str().unwrap(), &path, "src/", &to];
        let out = run(server, dir.path(), &words);
        assert_eq!(out.code, Some(0), "{server:?}: {out:?}");
        assert_eq!(out.stdout, "skipping non-regular file \"l\"\na\n", "{server:?}");
    }
}

/// `-E` shows permissions where they change: who may not read may not execute either.
#[test]
fn executability_that_nobody_can_have_is_no_change() {
    for program in BOTH {
        let dir = tree(&["src", "dst"], &["src/a", "src/b", "src/c", "dst/a", "dst/b", "dst/c"]);
        for (name, mode) in [
            ("src/a", 0o711),
            ("dst/a", 0o222),
            ("src/b", 0o711),
            ("dst/b", 0o422),
            ("src/c", 0o666),
            ("dst/c", 0o111),
        ] {
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
            touch(&dir.path().join(name), &["-d", "2010-01-01T00:00:00Z"]);
        }
        let out = run(program, dir.path(), &["-dtOEi", "src/", "dst/"]);
        assert_eq!(out.stdout, ".f...p..... b\n.f...p..... c\n", "{program:?}: {out:?}");
        let modes = ["a", "b", "c"]
            .map(|name| fs::metadata(dir.path().join("dst").join(name)).unwrap().mode() & 0o777);
        assert_eq!(modes, [0o222, 0o522, 0], "{program:?}");
    }
}

/// `%C` is the checksum of the list where there is one, of the kind that both ends settled on: chosen, or the first of a list.
#[test]
fn sums_are_shown_of_the_kind_in_use() {
    const MD5: &str = "764efa883dda1e11db47671c4a3bbd9e";
    const MD4: &str = "7291db6af45a90d1f945751cb095f193";
    const XXH64: &str = "d50463dd92503d34";
    for (list, words, sum) in [
        ("", &["--checksum-choice=xxh64,md4"][..], XXH64),
        ("", &["-c", "--checksum-choice=xxh64,md4"], MD4),
        ("", &["-nc", "--checksum-choice=md4,xxh64"], XXH64),
        ("", &["-c", "--checksum-choice=none,md5"], MD5),
        ("", &["--checksum-choice=auto,xxh64"], MD5),
        ("", &["--checksum-choice=md5,xxh64", "-n"], "00000000000000000000000000000000"),
        ("md5", &[], MD5),
        ("other md4 md5", &["-c"], MD4),
        ("XXH64", &[], XXH64),
        ("none md5", &[], "  "),
    ] {
        for program in BOTH {
            let dir = tree(&["src", "dst"], &[]);
            fs::write(dir.path().join("src/f"), "hi\n").unwrap();
            let shell = fake_shell(dir.path());
            let path = format!("--rsync-path={}", program.path());
            let (from, to) =
                (format!("h:{}/src/f", dir.path().display()), format!("h:{}/dst/", dir.path().display()));
            for ends in [["src/f", "dst/"], ["src/f", &to], [&from, "dst/"]] {
                let mut command = peers::command(program.path(), dir.path());
                command
                    .args(["--out-format=%C", "-e", shell.to_str().unwrap(), &path])
                    .args(words)
                    .args(ends);
                if !list.is_empty() {
                    command.env("RSYNC_CHECKSUM_LIST", list);
                }
                let out = peers::run(&mut command);
                assert_eq!(
                    (out.code, &*out.stdout),
                    (Some(0), &*format!("{sum}\n")),
                    "{program:?} {list} {words:?} {ends:?}"
                );
                let _ = fs::remove_file(dir.path().join("dst/f"));
            }
        }
    }
}

/// A list without a known name leaves nothing to use, on one machine too.
#[test]
fn a_list_of_unknown_checksums_ends_a_local_copy() {
    for program in BOTH {
        let dir = tree(&["src", "dst"], &["src/f"]);
        let mut command = peers::command(program.path(), dir.path());
        command.args(["-a", "src/", "dst/"]).env("RSYNC_CHECKSUM_LIST", "other");
        let out = peers::run(&mut command);
        assert_eq!(out.code, Some(4), "{program:?}: {out:?}");
        assert!(out.stderr.contains("Failed to negotiate a checksum choice."), "{program:?}: {out:?}");
        assert!(!dir.path().join("dst/f").exists(), "{program:?}");
    }
}

/// Without a destination `--existing` names what would be in it where lists follow one another, and else the directory alone.
#[test]
fn what_a_missing_destination_would_have_is_named_of_several_lists() {
    for program in BOTH {
        for (words, names) in [
            (&["-avvn", "--existing"][..], &["directory \".\"", "file \"f\"", "directory \"d\""][..]),
            (&["-avvn", "--existing", "--no-i-r"], &["directory \".\""]),
            (&["-avvn", "--existing", "--protocol=29"], &["directory \".\""]),
        ] {
            let dir = tree(&["src/d"], &["src/f", "src/d/g"]);
            let out = run(program, dir.path(), &[words, &["src/", "dst/"]].concat());
            let told: Vec<_> =
                out.stdout.lines().filter_map(|line| line.strip_prefix("not creating new ")).collect();
            assert_eq!(told, names, "{program:?} {words:?}: {out:?}");
        }
    }
}

/// A directory of a missing argument goes with what is in it only where something was said about that.
#[test]
fn directories_of_missing_arguments_are_emptied_on_demand() {
    for program in BOTH {
        for (words, told, kept) in [
            (
                &["-di"][..],
                &["cannot delete non-empty directory: full", "*deleting   empty/", "*deleting   f"][..],
                true,
            ),
            (
                &["-dib"],
                &["cannot delete non-empty directory: full", "*deleting   empty/", "*deleting   f"],
                true,
            ),
            (
                &["-di", "--max-delete=1"],
                &["cannot delete non-empty directory: full", "*deleting   empty/"],
                true,
            ),
            (
                &["-di", "--force"],
                &["*deleting   full/d/", "*deleting   full/", "*deleting   empty/", "*deleting   f"],
                false,
            ),
            (
                &["-ri", "--delete"],
                &["*deleting   full/d/", "*deleting   full/", "*deleting   empty/", "*deleting   f"],
                false,
            ),
        ] {
            let dir = tree(&["src", "dst/full/d", "dst/empty"], &["dst/f"]);
            fs::write(dir.path().join("list"), "full\nempty\nf\n").unwrap();
            let shell = fake_shell(dir.path());
            let path = format!("--rsync-path={}", program.path());
            let (from, to) =
                (format!("h:{}/src/", dir.path().display()), format!("h:{}/dst/", dir.path().display()));
            for ends in [["src/", "dst/"], ["src/", &to], [&from, "dst/"]] {
                let _ = fs::create_dir_all(dir.path().join("dst/full/d"));
                let _ = fs::create_dir_all(dir.path().join("dst/empty"));
                fs::write(dir.path().join("dst/f"), "f").unwrap();
                let more =
                    ["--files-from=list", "--delete-missing-args", "-e", shell.to_str().unwrap(), &path];
                let out = run(program, dir.path(), &[words, &more, &ends].concat());
                // Those of the top come from another process than what is printed of it.
                let mut shown: Vec<_> = out.stdout.lines().filter(|line| line.contains("delet")).collect();
                let mut told = told.to_vec();
                shown.sort_unstable();
                told.sort_unstable();
                shown.retain(|line| !line.starts_with("Deletions stopped"));
                assert_eq!(shown, told, "{program:?} {words:?} {ends:?}: {out:?}");
                assert_eq!(dir.path().join("dst/full/d").exists(), kept, "{program:?} {words:?} {ends:?}");
                let code = if words.contains(&"--max-delete=1") { 25 } else { 0 };
                assert_eq!(out.code, Some(code), "{program:?} {words:?} {ends:?}");
            }
        }
    }
}
