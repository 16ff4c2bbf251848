//! Details of both programs, side by side with literal expectations: what further random comparisons have found.

use std::{
    ffi::CString,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::Path,
    process::Command,
};

use crate::{
    details::{BOTH, children, run, touch, tree},
    links::PRIVATE,
    needs::needs_root,
    peers::{self, Program, fake_shell},
};

/// Below version 30 a time of modification travels as an unsigned number of 32 bits, below 31 in whole seconds; a local copy
/// that is told to speak so loses the same. What is removed from the source is compared with what was listed.
#[test]
fn times_of_old_protocols_in_local_copies() {
    for program in BOTH {
        for (protocol, times) in [
            ("--protocol=29", [(3_990_752_896, 0), (2_963_151_104, 0)]),
            ("--protocol=30", [(-304_214_400, 0), (7_258_118_400, 0)]),
            ("--protocol=31", [(-304_214_400, 250_000_000), (7_258_118_400, 500_000_000)]),
        ] {
            let dir = tree(&["src"], &["src/early", "src/late"]);
            for (name, at) in [("early", "1960-05-12 00:00:00.25Z"), ("late", "2200-01-01 00:00:00.5Z")] {
                touch(&dir.path().join("src").join(name), &["-m", "-d", at]);
            }
            let out = run(program, dir.path(), &["-rt", "--remove-source-files", protocol, "src/", "dst/"]);
            assert_eq!((out.code, &*out.stderr), (Some(0), ""), "{program:?} {protocol}");
            let got = ["dst/early", "dst/late"].map(|name| {
                let made = fs::metadata(dir.path().join(name)).unwrap();
                (made.mtime(), made.mtime_nsec())
            });
            assert_eq!(got, times, "{program:?} {protocol}");
            assert_eq!(fs::read_dir(dir.path().join("src")).unwrap().count(), 0, "{program:?} {protocol}");
        }
    }
}

/// A server that was to receive lists what it would get.
#[test]
fn listings_of_what_would_be_pushed() {
    let dir = tree(&["src/d"], &["src/f=12345"]);
    for name in ["src/f", "src/d", "src"] {
        touch(&dir.path().join(name), &["-d", "2020-01-01 00:00:00Z"]);
    }
    let shell = fake_shell(dir.path());
    let to = format!("h:{}/dst", dir.path().display());
    for program in BOTH {
        for server in BOTH {
            let path = format!("--rsync-path={}", server.path());
            let mut command = Command::new(program.path());
            command.args(["-rt", "--list-only", "-e", shell.to_str().unwrap(), &path, "src/", &to]);
            let out = command.current_dir(dir.path()).env("TZ", "UTC").output().unwrap();
            let lines = String::from_utf8(out.stdout).unwrap();
            let lines: Vec<_> = lines.lines().map(|line| line.get(12..).unwrap_or(line)).collect();
            assert_eq!(lines.len(), 3, "{program:?} {server:?}: {lines:?}");
            assert!(lines[0].ends_with(" 2020/01/01 00:00:00 ."), "{program:?} {server:?}: {lines:?}");
            assert_eq!(lines[1], "            5 2020/01/01 00:00:00 f", "{program:?} {server:?}");
            assert!(lines[2].ends_with(" 2020/01/01 00:00:00 d"), "{program:?} {server:?}: {lines:?}");
            assert_eq!((out.status.code(), out.stderr), (Some(0), Vec::new()), "{program:?} {server:?}");
            assert!(!dir.path().join("dst").exists(), "{program:?} {server:?}");
        }
    }
}

/// A list of rules without a name is none; maps of owners are read for a listing as well.
#[test]
fn empty_names_of_rule_files_and_maps_of_listings() {
    for program in BOTH {
        let dir = tree(&["src"], &["src/f"]);
        let out = run(program, dir.path(), &["-r", "--exclude-from=", "--include-from", "", "src/", "dst/"]);
        assert_eq!((out.code, &*out.stdout, &*out.stderr), (Some(0), "", ""), "{program:?}");
        assert_eq!(children(&dir.path().join("dst")), ["f"], "{program:?}");
        for (map, code, line) in [
            ("--usermap=1:2,x", 1, "No colon found in --usermap: x"),
            ("--usermap=5-:1", 1, "Invalid number in --usermap: 5-"),
            ("--groupmap=4294967296:1", 1, "Invalid ID number: 4294967296"),
            ("--chown=nobodyhere", 0, "Unknown --usermap name on receiver: nobodyhere"),
        ] {
            for words in [&["-r", map, "src/"][..], &["-r", map, "src/", "dst/"]] {
                let out = run(program, dir.path(), words);
                let told = (out.code, out.stderr.lines().next());
                assert_eq!(told, (Some(code), Some(line)), "{program:?} {words:?}");
            }
        }
    }
}

/// The older of both options leaves what stands at the destination already, what is linked or only made there, and removes
/// what was sent, and symlinks.
#[test]
fn sent_files_are_removed_and_others_stay() {
    for program in BOTH {
        for (option, left) in [
            ("--remove-sent-files", &["alike", "hard", "linked", "pipe", "same"][..]),
            ("--remove-source-files", &["alike"]),
        ] {
            for remote in [None, Some(Program::Stock), Some(Program::Arsync)] {
                let dir = tree(
                    &["src/alike", "dst", "alt"],
                    &[
                        "src/same=x",
                        "dst/same=x",
                        "src/new=new",
                        "src/changed=y",
                        "dst/changed=old",
                        "alt/linked=z",
                    ],
                );
                let at = |name: &str| dir.path().join(name);
                fs::write(at("src/linked"), "z").unwrap();
                symlink("same", at("src/link")).unwrap();
                fs::hard_link(at("src/new"), at("src/hard")).unwrap();
                let made = Command::new("mkfifo").arg(at("src/pipe")).status().unwrap();
                assert!(made.success());
                for name in ["src/same", "dst/same", "src/linked", "alt/linked"] {
                    touch(&at(name), &["-d", "2020-01-01 00:00:00Z"]);
                }
                let shell = fake_shell(dir.path());
                let server = remote.map(|server| format!("--rsync-path={}", server.path()));
                let to =
                    if remote.is_some() { format!("h:{}/dst/", dir.path().display()) } else { "dst/".into() };
                let mut words =
                    vec!["-aH", "--link-dest=../alt", option, "-e", shell.to_str().unwrap(), "src/", &to];
                words.extend(server.as_deref());
                let out = run(program, dir.path(), &words);
                assert_eq!((out.code, &*out.stderr), (Some(0), ""), "{program:?} {remote:?} {option}");
                assert_eq!(children(&at("src")), left, "{program:?} {remote:?} {option}");
            }
        }
    }
}

/// What no data is read of keeps its time of access; what was read for a digest gets the one of the source; a backup
/// that is copied keeps the one of the original.
#[test]
fn times_of_access_after_reading() {
    const ACCESS: i64 = 1_000_000_000;
    for program in BOTH {
        let dir = tree(
            &["src", "dst"],
            &[
                "src/empty",
                "src/same=x",
                "dst/same=x",
                "src/left=new text",
                "dst/left=old text",
                "dst/changed=old",
            ],
        );
        fs::write(dir.path().join("src/changed"), "new text").unwrap();
        let seconds = |name: &str| fs::metadata(dir.path().join(name)).unwrap().atime();
        for name in ["src/empty", "src/same", "dst/same", "dst/left", "dst/changed"] {
            touch(&dir.path().join(name), &["-a", "-d", "@1000000000.5"]);
        }
        let words = ["-rtU", "-c", "--ignore-existing", "src/", "dst/"];
        assert_eq!(run(program, dir.path(), &words).code, Some(0), "{program:?}");
        assert_eq!(["src/empty", "dst/empty", "dst/left"].map(seconds), [ACCESS; 3], "{program:?}");
        let shell = fake_shell(dir.path()).display().to_string();
        let there = format!("h:{}/dst/", dir.path().display());
        let path = format!("--rsync-path={}", program.path());
        let ends = ["-e", &shell, &path, "src/", &there];
        let words = [&["-rtU", "--inplace", "-b", "--exclude=same", "--exclude=left"], &ends[..]].concat();
        assert_eq!(run(program, dir.path(), &words).code, Some(0), "{program:?}");
        assert_eq!(seconds("dst/changed~"), ACCESS, "{program:?}");
        let words = ["-rtUc", "--exclude=changed~", "src/", "dst/"];
        touch(&dir.path().join("src/same"), &["-a", "-d", "@1000000000.5"]);
        assert_eq!(run(program, dir.path(), &words).code, Some(0), "{program:?}");
        let made = fs::metadata(dir.path().join("dst/same")).unwrap();
        assert_eq!((made.atime(), made.atime_nsec()), (ACCESS, 0), "{program:?}");
    }
}

/// Whether reading a symlink changes its time of access, as far as this file system keeps one.
fn reading_is_noted(link: &Path) -> bool {
    let before = fs::symlink_metadata(link).unwrap().atime();
    fs::read_link(link).unwrap();
    fs::symlink_metadata(link).unwrap().atime() != before
}

/// Old versions have no warnings: those of a destination are what it tells, in a local copy too.
#[test]
fn warnings_of_old_protocols() {
    const WARNING: &str = "Deletions stopped due to --max-delete limit (1 skipped)\n";
    for program in BOTH {
        for (protocol, stdout, stderr) in [("28", WARNING, false), ("29", "", true)] {
            let dir = tree(&["src", "dst"], &["src/f", "dst/f", "dst/extra"]);
            let protocol = format!("--protocol={protocol}");
            let words = ["-rt", "--delete", "--max-delete=0", &protocol, "src/", "dst/"];
            let out = run(program, dir.path(), &words);
            assert_eq!((out.code, &*out.stdout), (Some(25), stdout), "{program:?} {protocol}: {out:?}");
            assert_eq!(out.stderr.starts_with(WARNING), stderr, "{program:?} {protocol}: {out:?}");
            let out = run(program, dir.path(), &["-r", "--link-dest=/none", &protocol, "src/f"]);
            let shown = if stderr { out.stderr } else { out.stdout };
            assert!(shown.starts_with("--link-dest arg does not exist: /none\n"), "{program:?} {protocol}");
        }
    }
}

/// The larger code of both sides counts in a local copy too: a receiver does not hear of a missing source.
#[test]
fn codes_of_both_sides() {
    for program in BOTH {
        for (sources, code) in [(&["src/", "none"][..], 25), (&["src/f", "none"], 23), (&["src/"], 25)] {
            let dir = tree(&["src", "dst"], &["src/f", "dst/extra"]);
            let words = [&["-r", "--delete", "--max-delete=0"], sources, &["dst/"]].concat();
            let out = run(program, dir.path(), &words);
            assert_eq!(out.code, Some(code), "{program:?} {sources:?}: {out:?}");
        }
    }
}

/// A rule file has been read by the time that it is listed.
#[test]
fn times_of_access_of_rule_files() {
    for program in BOTH {
        let dir = tree(&["src/d"], &["src/.rules=- x\n", "src/d/.rules=- y\n", "src/d/f"]);
        let at = |name: &str| dir.path().join(name);
        for name in ["src/.rules", "src/d/.rules", "src/d/f"] {
            touch(&at(name), &["-a", "-d", "@1000000000"]);
        }
        let out = run(program, dir.path(), &["-rtUU", "--filter=: .rules", "src/", "dst/"]);
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        for name in [".rules", "d/.rules", "d/f"] {
            let time = |root: &str| fs::metadata(at(root).join(name)).unwrap().atime();
            assert_eq!(time("dst"), time("src"), "{program:?} {name}");
        }
    }
}

/// Files are listed before they are digested, also those that are digested while others are listed.
#[test]
fn times_of_access_beside_rule_files() {
    const ACCESS: i64 = 1_000_000_000;
    let files: Vec<_> = (0..40).map(|n| format!("src/{n}=text {n}")).collect();
    let files: Vec<_> = ["src/.rules=- x\n"].into_iter().chain(files.iter().map(String::as_str)).collect();
    for program in BOTH {
        let dir = tree(&["src"], &files);
        for n in 0..40 {
            touch(&dir.path().join(format!("src/{n}")), &["-a", "-d", "@1000000000"]);
        }
        let out = run(program, dir.path(), &["-rtUc", "--filter=: .rules", "src/", "dst/"]);
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        let times = (0..40).map(|n| fs::metadata(dir.path().join(format!("dst/{n}"))).unwrap().atime());
        assert_eq!(times.collect::<Vec<_>>(), [ACCESS; 40], "{program:?}");
    }
}

/// A file with set-id bits that gets another group is looked at once more, when it has been read for its digest.
#[test]
fn the_time_at_which_a_set_id_file_was_read() {
    if !needs_root("only root gives groups that it is not in") {
        return;
    }
    for program in BOTH {
        for (mode, options, item) in [
            (0o2755, &["-c"][..], ".f...p..u.. f"),
            (0o2755, &["-c", "-n"], ".f.....gu.. f"),
            (0o2755, &[], ".f...p..... f"),
            (0o755, &["-c"], ".f.....g... f"),
        ] {
            let dir = tree(&["src", "dst"], &["src/f=text", "dst/f=text"]);
            for name in ["src/f", "dst/f"] {
                let path = dir.path().join(name);
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                touch(&path, &["-a", "-d", "@1000000000"]);
            }
            let words = [&["-rptgUi", "--groupmap=*:12345"], options, &["src/", "dst/"]].concat();
            let out = run(program, dir.path(), &words);
            let told = out.stdout.lines().find(|line| line.ends_with(" f"));
            assert_eq!((out.code, told), (Some(0), Some(item)), "{program:?} {mode:o} {options:?}: {out:?}");
        }
    }
}

/// All names of a file are listed before it is read under one of them. What is listed for deletions has its symlinks read.
#[test]
fn times_of_access_before_reading() {
    const ACCESS: i64 = 1_000_000_000;
    for program in BOTH {
        let dir = tree(&["src/d", "dst"], &["src/a=text"]);
        let at = |name: &str| dir.path().join(name);
        fs::hard_link(at("src/a"), at("src/d/b")).unwrap();
        touch(&at("src/a"), &["-a", "-d", "@1000000000"]);
        let out = run(program, dir.path(), &["-rtU", "src/", "dst/"]);
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        let times = ["dst/a", "dst/d/b"].map(|name| fs::metadata(at(name)).unwrap().atime());
        assert_eq!(times, [ACCESS; 2], "{program:?}");

        for link in ["src/l", "dst/l", "probe"] {
            symlink("a", at(link)).unwrap();
            touch(&at(link), &["-h", "-d", "@1000000000"]);
        }
        let is_noted = reading_is_noted(&at("probe"));
        for (words, line) in
            [(&["--delete"][..], if is_noted { "l" } else { "l is uptodate" }), (&[], "l is uptodate")]
        {
            for link in ["src/l", "dst/l"] {
                touch(&at(link), &["-h", "-d", "@1000000000"]);
            }
            let words = [&["-rltUnvv", "--exclude=/a", "--exclude=/d"], words, &["src/", "dst/"]].concat();
            let out = run(program, dir.path(), &words);
            assert!(out.stdout.lines().any(|shown| shown == line), "{program:?} {words:?}: {out:?}");
        }
    }
}

/// With `-k` a name of a list with a slash is the symlink itself, whatever is wrong with where it leads; without, only
/// where it leads nowhere.
#[test]
fn names_with_a_slash_that_lead_nowhere() {
    let long = "x".repeat(300);
    for program in BOTH {
        let dir = tree(&["src"], &["src/f"]);
        let targets = [("round", "round"), ("long", &long), ("through_file", "f/x"), ("none", "nowhere")];
        for (name, target) in targets {
            symlink(target, dir.path().join("src").join(name)).unwrap();
        }
        let list: String = targets.iter().map(|(name, _)| format!("{name}/\n")).collect();
        fs::write(dir.path().join("list"), list).unwrap();
        for (words, code, names) in [
            ("-rlk", 0, &["long", "none", "round", "through_file"][..]),
            ("-rl", 23, &["none", "through_file"]),
        ] {
            let _ = fs::remove_dir_all(dir.path().join("dst"));
            let out = run(program, dir.path(), &[words, "--files-from=list", "src/", "dst/"]);
            assert_eq!(out.code, Some(code), "{program:?} {words}: {out:?}");
            assert_eq!(children(&dir.path().join("dst")), names, "{program:?} {words}");
        }
    }
}

/// A name of a list is no symlink of another user that leads to a directory, unless such links are followed anyway.
#[test]
fn a_name_of_a_list_is_no_link_of_another_user() {
    if !needs_root("nobody else can give links away") {
        return;
    }
    for program in BOTH {
        let dir = tree(&["src/d"], &[]);
        symlink("d", dir.path().join("src/theirs")).unwrap();
        std::os::unix::fs::lchown(dir.path().join("src/theirs"), Some(4_000_001), None).unwrap();
        fs::write(dir.path().join("list"), "theirs/\n").unwrap();
        for (words, code) in [("-rl", 23), ("-rlk", 0), ("-rlL", 0), ("-rl --insecure-links", 0)] {
            let words: Vec<_> = words.split(' ').chain(["--files-from=list", "src/", "dst/"]).collect();
            let out = run(program, dir.path(), &words);
            assert_eq!(out.code, Some(code), "{program:?} {words:?}: {out:?}");
            assert_eq!(out.stderr.contains("link_stat"), code != 0, "{program:?} {words:?}");
        }
    }
}

/// A server maps owners only if it is told to preserve them.
#[test]
fn maps_of_owners_that_are_not_preserved() {
    if !needs_root("nobody else can give files away") {
        return;
    }
    for program in BOTH {
        for (map, off) in [("--groupmap=0:1234", "--no-g"), ("--usermap=0:1234", "--no-o")] {
            let dir = tree(&["src"], &["src/f"]);
            let shell = fake_shell(dir.path()).display().to_string();
            let there = format!("h:{}/dst/", dir.path().display());
            let path = format!("--rsync-path={}", program.path());
            let out = run(program, dir.path(), &["-rog", map, off, "-e", &shell, &path, "src/", &there]);
            assert_eq!(out.code, Some(0), "{program:?} {map}: {out:?}");
            let made = fs::metadata(dir.path().join("dst/f")).unwrap();
            assert_eq!((made.uid(), made.gid()), (0, 0), "{program:?} {map}");
        }
    }
}

/// Rules for owners are for names in ACLs too, unless ids are not looked at.
#[test]
fn maps_of_owners_in_acls() {
    if !needs_root("nobody else can give files away") {
        return;
    }
    for program in BOTH {
        for (words, named) in [
            (&["--usermap=1234:7", "--groupmap=1235:8"][..], [7, 8]),
            (&["--usermap=1234:7", "--groupmap=1235:8", "--numeric-ids"], [1234, 1235]),
        ] {
            let dir = tree(&["src"], &["src/f"]);
            let mut acl = Command::new("setfacl");
            acl.args(["-m", "u:1234:r,g:1235:r"]).arg(dir.path().join("src/f"));
            assert!(acl.status().unwrap().success());
            let out = run(program, dir.path(), &[&["-aA"], words, &["src/", "dst/"]].concat());
            assert_eq!(out.code, Some(0), "{program:?} {words:?}: {out:?}");
            assert_eq!(acl_ids(&dir.path().join("dst/f")), named, "{program:?} {words:?}");
        }
    }
}

/// Names, patterns and the lack of a name count in a copy on one machine as between two.
#[test]
fn maps_of_owners_by_name() {
    if !needs_root("nobody else can give files away") {
        return;
    }
    for program in BOTH {
        for (words, file, named) in [
            (["--usermap=bin:7", "--groupmap=bin:8"], [7, 8], [7, 8]),
            (["--usermap=b?n:7", "--groupmap=[!a]*:8"], [7, 8], [7, 8]),
            (["--usermap=:7", "--groupmap=:8"], [2, 2], [2, 2]),
            (["--usermap=root:7", "--numeric-ids"], [2, 2], [2, 2]),
        ] {
            let dir = tree(&["src"], &["src/f", "src/nameless"]);
            let path = |name: &str| dir.path().join(name);
            std::os::unix::fs::chown(path("src/f"), Some(2), Some(2)).unwrap();
            std::os::unix::fs::chown(path("src/nameless"), Some(123_456), Some(123_456)).unwrap();
            let mut acl = Command::new("setfacl");
            acl.args(["-m", "u:2:r,g:2:r"]).arg(path("src/f"));
            assert!(acl.status().unwrap().success());
            let out = run(program, dir.path(), &[&["-aA"], &words[..], &["src/", "dst/"]].concat());
            assert_eq!(out.code, Some(0), "{program:?} {words:?}: {out:?}");
            let owners = |name: &str| fs::metadata(path(name)).map(|f| [f.uid(), f.gid()]).unwrap();
            assert_eq!(owners("dst/f"), file, "{program:?} {words:?}");
            let nameless = if words[0] == "--usermap=:7" { [7, 8] } else { [123_456; 2] };
            assert_eq!(owners("dst/nameless"), nameless, "{program:?} {words:?}");
            assert_eq!(acl_ids(&path("dst/f")), named, "{program:?} {words:?}");
        }
    }
}

/// Whom the ACL of a file names.
fn acl_ids(path: &Path) -> Vec<u32> {
    let mut acl = [0; 200];
    let len = rustix::fs::getxattr(path, "system.posix_acl_access", &mut acl[..]).unwrap();
    // Entries of eight bytes behind a version: tag, permissions, id.
    let ids = acl[4..len].chunks(8).map(|e| u32::from_le_bytes(e[4..8].try_into().unwrap()));
    ids.filter(|&id| id != u32::MAX).collect()
}

/// An ACL that brings other permissions is shown alone, also where a new owner has taken set-id bits away.
#[test]
fn acls_of_files_with_set_id_bits() {
    if !needs_root("nobody else can give files away") {
        return;
    }
    for program in BOTH {
        let dir = tree(&["src", "dst"], &["src/f=x", "dst/f=x"]);
        let at = |name: &str| dir.path().join(name);
        let mut acl = Command::new("setfacl");
        assert!(acl.args(["-m", "u:1:rwx"]).arg(at("dst/f")).status().unwrap().success());
        std::os::unix::fs::chown(at("src/f"), Some(1000), Some(0)).unwrap();
        fs::set_permissions(at("src/f"), fs::Permissions::from_mode(0o222)).unwrap();
        fs::set_permissions(at("dst/f"), fs::Permissions::from_mode(0o2770)).unwrap();
        let out = run(program, dir.path(), &["-aAi", "--size-only", "--no-t", "src/f", "dst/"]);
        assert_eq!(out.stdout, ".f.......a. f\n", "{program:?}: {out:?}");
    }
}

/// Parents of a name that the one before it has brought do not count as the way to the next one.
#[test]
fn parents_of_names_in_a_row() {
    for program in BOTH {
        let dir = tree(&["s/a/b/c/d", "s/a/b/e"], &["s/a/b/c/d/f", "s/a/b/c/d/g", "s/a/b/x", "s/a/y"]);
        for (names, count) in [
            ("a/b/c/d/f a/b/x a/b/c/d/g", "7 (reg: 3, dir: 4)"),
            ("a/b/c/d/f a/y a/b/c/d/g", "7 (reg: 3, dir: 4)"),
            ("a/b/c/d/ a/b a/b/c/d/g", "10 (reg: 3, dir: 7)"),
            ("a/b/c/d a a/b a/b/c a/b/c/d/g", "10 (reg: 1, dir: 9)"),
        ] {
            fs::write(dir.path().join("list"), names.replace(' ', "\n")).unwrap();
            let words = ["-an", "--no-i-r", "--stats", "--files-from=list", "s/", "d/"];
            let out = run(program, dir.path(), &words);
            assert!(
                out.stdout.contains(&format!("Number of files: {count}\n")),
                "{program:?} {names}: {out:?}"
            );
        }
    }
}

/// Below protocol 29 the root is somewhere among the other entries; behind some of them it is not new any more.
#[test]
fn a_new_destination_behind_what_is_in_it() {
    for program in BOTH {
        for (first, shown) in [("#", ".d...p..... ./\n"), ("a", "cd+++++++++ ./\n")] {
            let dir = tree(&[&format!("src/{first}")], &[]);
            fs::set_permissions(dir.path().join("src"), fs::Permissions::from_mode(0o2755)).unwrap();
            let shell = fake_shell(dir.path()).display().to_string();
            let from = format!("h:{}/src/", dir.path().display());
            let path = format!("--rsync-path={}", program.path());
            let words = ["-rpi", "--protocol=28", "-e", &shell, &path, &from, "new/"];
            let out = run(program, dir.path(), &words);
            assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
            assert!(out.stdout.contains(shown), "{program:?} {first}: {out:?}");
        }
    }
}

/// With several lists a directory that an argument names is listed again as the way to what a later one names.
#[test]
fn arguments_inside_of_other_arguments() {
    for program in BOTH {
        let dir = tree(&["s/m/b/c", "s/n"], &["s/m/b/f", "s/m/b/g", "s/m/x", "s/n/x"]);
        for (names, twice, count) in [
            ("m/b m/b/f", "m/b (4);m/b/f (7);m/b/f (7)", "7 (reg: 3, dir: 4)"),
            ("m/b m/b", "m/b (4)", "6 (reg: 2, dir: 4)"),
            ("m m/b", "m (2);m/b (6);m/b (6)", "8 (reg: 3, dir: 5)"),
            ("m/b/c m/b", "m/b (4);m/b/c (9);m/b/c (9)", "7 (reg: 2, dir: 5)"),
            ("m m/x", "m (2);m/x (5);m/x (5)", "8 (reg: 4, dir: 4)"),
            ("m/b/c n/x m/b/f", "m (2)", "7 (reg: 2, dir: 5)"),
            ("m/b/c m/x m/b/f", "", "5 (reg: 2, dir: 3)"),
            // What is named twice and stands in a row is read once, else each time; of three in a row, two are read.
            ("m m", "m (2)", "7 (reg: 3, dir: 4)"),
            ("m m m", "m (2);m (3);m/b (8);m/b (8);m/x (6);m/x (6)", "10 (reg: 4, dir: 6)"),
            ("m m/x m", "m (2);m (3);m/b (9);m/b (9);m/x (6);m/x (6);m/x (7);m/x (7)", "11 (reg: 5, dir: 6)"),
        ] {
            let names: Vec<_> = names.split(' ').map(|name| format!("s/./{name}")).collect();
            let words = ["-rRn", "--debug=dup", "--stats"].into_iter();
            let words: Vec<_> = words.chain(names.iter().map(String::as_str)).chain(["dst/"]).collect();
            let out = run(program, dir.path(), &words);
            let mut told: Vec<_> = out
                .stdout
                .lines()
                .filter_map(|line| line.strip_prefix("removing duplicate name "))
                .map(|line| line.replace("from file list ", ""))
                .collect();
            told.sort_unstable();
            assert_eq!(told.join(";"), twice, "{program:?} {names:?}");
            assert!(
                out.stdout.contains(&format!("Number of files: {count}\n")),
                "{program:?} {names:?}: {out:?}"
            );
        }
    }
}

/// The rules of a directory hold for its contents, also where it is on the way to another name as well.
#[test]
fn rules_of_what_is_named_and_on_the_way() {
    for program in BOTH {
        let dir = tree(&["s/m/b/c", "dst"], &["s/.rules=- be*\n", "s/m/b/beta", "s/m/b/c/beta", "s/m/b/c/x"]);
        let shell = fake_shell(dir.path());
        let path = format!("--rsync-path={}", program.path());
        let to = format!("h:{}/dst/", dir.path().display());
        let words =
            ["-rRni", "--filter=: .rules", "./s/m", "./s/m/b/c", "-e", shell.to_str().unwrap(), &path];
        let out = run(program, dir.path(), &[&words, &[to.as_str()][..]].concat());
        let names: Vec<_> = out.stdout.lines().filter_map(|line| line.get(12..)).collect();
        assert_eq!(names.join(" "), "s/ s/m/ s/m/b/ s/m/b/c/ s/m/b/c/x", "{program:?}: {out:?}");
    }
}

/// Of directories of one name in several roots, each brings what was asked for in its own root.
#[test]
fn arguments_inside_of_what_another_root_brings() {
    for program in BOTH {
        let dir = tree(&["s/m", "t/m", "dst"], &["s/m/x", "s/m/unasked", "t/m/y"]);
        let shell = fake_shell(dir.path());
        let path = format!("--rsync-path={}", program.path());
        let to = format!("h:{}/dst/", dir.path().display());
        for words in [&["dst/"][..], &["-e", shell.to_str().unwrap(), &path, &to]] {
            let words = [&["-rRni", "s/./m/x", "t/./m"], words].concat();
            let out = run(program, dir.path(), &words);
            let mut names: Vec<_> =
                out.stdout.lines().filter_map(|line| line.get(2..)?.strip_prefix("+++++++++ ")).collect();
            names.sort_unstable();
            assert_eq!(names.join(" "), "m/ m/x m/y", "{program:?} {words:?}: {out:?}");
        }
    }
}

/// A single file that gets another name is told of by that name where it is left alone, by its own where it is too large.
#[test]
fn names_of_a_single_file() {
    for program in BOTH {
        let dir = tree(&[], &["a=text", "b=text"]);
        for (words, line) in [
            ("-rt --ignore-existing a b", "b exists"),
            ("-rt --existing a c", "not creating new file \"c\""),
            ("-rt a b", "b is uptodate"),
            ("-rp --chmod=600 --size-only a b", "b"),
            ("-ru --size-only a b", "b is newer"),
            ("-r --max-size=1 a b", "a is over max-size"),
            ("-r --min-size=9 a b", "a is under min-size"),
        ] {
            if line == "b is newer" {
                touch(&dir.path().join("b"), &["-d", "2021-01-01"]);
            }
            let words: Vec<_> = ["--info=name2,skip"].into_iter().chain(words.split(' ')).collect();
            let out = run(program, dir.path(), &words);
            assert_eq!((out.code, out.stdout.trim_end()), (Some(0), line), "{program:?} {words:?}");
        }
    }
}

/// Without a checksum nobody refuses `-c` but the sender, once there is something to sum up. Nothing has been made then.
#[test]
fn digests_of_nothing_are_refused_by_the_sender() {
    for program in BOTH {
        for (files, code) in [(&["src/f"][..], 4), (&[], 0)] {
            let dir = tree(&["src/d"], files);
            let shell = fake_shell(dir.path()).display().to_string();
            let there = format!("h:{}/dst/", dir.path().display());
            let here = format!("h:{}/src/", dir.path().display());
            let path = format!("--rsync-path={}", program.path());
            for (client, ends) in [
                (program, &["src/", "dst/"][..]),
                (program, &["-e", &shell, &path, "src/", &there]),
                (Program::Stock, &["-e", &shell, &path, "src/", &there]),
                (program, &["-e", &shell, "--rsync-path=rsync", &here, "dst/"]),
            ] {
                let out = run(client, dir.path(), &[&["-rc", "--cc=none"], ends].concat());
                // A sender that is a server leaves before its client hears why.
                let code = if code == 4 && ends.contains(&"dst/") && ends.len() > 2 { 12 } else { code };
                assert_eq!(out.code, Some(code), "{program:?} {ends:?}: {out:?}");
                let refusal = "Invalid checksum-choice for --checksum: none (0)\n";
                assert_eq!(out.stderr.starts_with(refusal), code != 0, "{program:?} {ends:?}: {out:?}");
                assert_eq!(dir.path().join("dst").exists(), code == 0, "{program:?} {ends:?}");
                let _ = fs::remove_dir_all(dir.path().join("dst"));
            }
        }
    }
}

/// The oldest version knows links of regular files only, also in a local copy.
#[test]
fn links_of_the_oldest_version() {
    for program in BOTH {
        let dir = tree(&["src"], &["src/f"]);
        let at = |name: &str| dir.path().join(name);
        symlink("f", at("src/l")).unwrap();
        for name in ["f", "l"] {
            fs::hard_link(at("src").join(name), at("src").join(name.repeat(2))).unwrap();
        }
        for (protocol, links) in [("--protocol=27", [2, 1]), ("--protocol=28", [2, 2])] {
            let _ = fs::remove_dir_all(at("dst"));
            assert_eq!(
                run(program, dir.path(), &["-rlH", protocol, "src/", "dst/"]).code,
                Some(0),
                "{program:?}"
            );
            let got = ["dst/f", "dst/l"].map(|name| fs::symlink_metadata(at(name)).unwrap().nlink());
            assert_eq!(got, links, "{program:?} {protocol}");
        }
    }
}

/// `user::rw- user:1000:rw- group::r-- group:1000:r-- mask::rw- other::---` as `system.posix_acl_access`.
const NAMED: &[u8] = b"\x02\0\0\0\
    \x01\0\x06\0\xff\xff\xff\xff\x02\0\x06\0\xe8\x03\0\0\x04\0\x04\0\xff\xff\xff\xff\
    \x08\0\x04\0\xe8\x03\0\0\x10\0\x06\0\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff";

/// With `--numeric-ids` those who are named by an ACL stay who they are, whatever becomes of owners; but not in a list
/// that comes alone.
#[test]
fn named_groups_of_acls_without_names() {
    if !needs_root("a group is set") {
        return;
    }
    for program in BOTH {
        for (words, named) in
            [(&[][..], 1u32), (&["--numeric-ids"], 1000), (&["--numeric-ids", "--no-i-r"], 1)]
        {
            let dir = tree(&["src"], &["src/f"]);
            let path = |name: &str| CString::new(dir.path().join(name).as_os_str().as_bytes()).unwrap();
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(path("src/f"), "system.posix_acl_access", NAMED, flags)
                .unwrap_or_else(|e| panic!("ACLs are needed in {}: {e}", dir.path().display()));
            let map = ["-aA", "--groupmap=*:1", "src/", "dst/"];
            let out = run(program, dir.path(), &[words, &map].concat());
            assert_eq!((out.code, out.stderr.as_str()), (Some(0), ""), "{program:?} {words:?}");
            let mut wanted = NAMED.to_vec();
            wanted[32..36].copy_from_slice(&named.to_le_bytes());
            let mut value = [0; 100];
            let len = rustix::fs::getxattr(path("dst/f"), "system.posix_acl_access", &mut value[..]).unwrap();
            assert_eq!(value[..len], wanted, "{program:?} {words:?}");
            assert_eq!(fs::metadata(dir.path().join("dst/f")).unwrap().gid(), 1, "{program:?} {words:?}");
        }
    }
}

/// A listing looks at the directories that options name, as a copy does.
#[test]
fn directories_of_options_in_a_listing() {
    for program in BOTH {
        for (words, code, text) in [
            (&["-r", "--temp-dir=none"][..], 1, "The temp-dir does not exist: none\n"),
            (&["-r", "--backup-dir=src/f"], 1, "The backup-dir is not a directory: src/f\n"),
            (&["-rvv", "--backup-dir=none"], 0, "(new) backup_dir is none\n"),
            (&["-rvv", "--backup-dir=src"], 0, "backup_dir is src\n"),
            (&["-r", "--link-dest=none"], 0, "--link-dest arg does not exist: "),
        ] {
            let dir = tree(&["src"], &["src/f"]);
            let out = run(program, dir.path(), &[words, &["src/"]].concat());
            assert_eq!(out.code, Some(code), "{program:?} {words:?}: {out:?}");
            assert!([out.stdout, out.stderr].concat().contains(text), "{program:?} {words:?}");
        }
    }
}

/// What is linked to its alternate already is no news.
#[test]
fn files_that_are_linked_to_their_alternates() {
    for program in BOTH {
        let dir = tree(&["src", "alt"], &["src/f=x", "alt/f=x"]);
        for item in ["hf          f\n", ".f          f\n"] {
            let out = run(program, dir.path(), &["-tii", "--link-dest=../alt", "src/f", "dst/"]);
            assert!(out.stdout.ends_with(item), "{program:?}: {out:?}");
        }
    }
}

/// A file that is linked to its alternate already gets the exact time with `-c`, and with it the alternate.
#[test]
fn files_that_were_linked_to_their_alternates() {
    for program in BOTH {
        let dir = tree(&["src", "alt", "dst"], &["src/f=same", "alt/f=same"]);
        touch(&dir.path().join("src/f"), &["-d", "2020-01-01 00:00:00.5Z"]);
        touch(&dir.path().join("alt/f"), &["-d", "2020-01-01 00:00:00.25Z"]);
        for (words, nanoseconds) in [("-tc", 250_000_000), ("-t", 250_000_000), ("-tc", 500_000_000)] {
            let out = run(program, dir.path(), &["-r", words, "--link-dest=../alt", "src/", "dst/"]);
            assert_eq!((out.code, &*out.stdout, &*out.stderr), (Some(0), "", ""), "{program:?} {words}");
            let made = fs::metadata(dir.path().join("dst/f")).unwrap();
            assert_eq!((made.nlink(), made.mtime_nsec()), (2, nanoseconds), "{program:?} {words}");
        }
    }
}

/// A file that `--ignore-existing` leaves where the source has a directory cannot be looked through, after which
/// nothing is deleted any more; without incremental recursion nobody tries.
#[test]
fn files_in_the_place_of_directories_and_deletions() {
    for program in BOTH {
        for (recursion, told, left) in [("--inc-recursive", true, true), ("--no-inc-recursive", false, false)]
        {
            let dir = tree(&["src/d", "src/e", "dst/e"], &["src/d/f", "dst/d", "dst/e/extra"]);
            let words = ["-r", "--ignore-existing", "--delete-during", recursion, "src/", "dst/"];
            let out = run(program, dir.path(), &words);
            assert_eq!(out.code, Some(23), "{program:?} {recursion}: {out:?}");
            let error =
                format!("opendir \"{}\" failed: Not a directory (20)", dir.path().join("dst/d").display());
            assert_eq!(out.stderr.contains(&error), told, "{program:?} {recursion}: {out:?}");
            assert_eq!(dir.path().join("dst/e/extra").exists(), left, "{program:?} {recursion}");
        }
    }
}

/// Below protocol 29 a server does not name what an alternate directory gives as it is, and names new directories
/// with an attribute that they did not have at once.
#[test]
fn names_of_old_protocols() {
    for program in BOTH {
        let dir = tree(&["src", "src/d", "alt"], &["src/f=x", "alt/f=x"]);
        let at = |name: &str| dir.path().join(name);
        for name in ["src/l", "alt/l"] {
            symlink("f", at(name)).unwrap();
            touch(&at(name), &["-h", "-d", "2020-01-01"]);
        }
        fs::create_dir_all(at("group/src/d")).unwrap();
        fs::set_permissions(at("group/src"), fs::Permissions::from_mode(0o2755)).unwrap();
        fs::set_permissions(at("group/src/d"), fs::Permissions::from_mode(0o755)).unwrap();
        let shell = fake_shell(dir.path());
        let words = [&format!("--rsync-path={}", program.path()), "-e", shell.to_str().unwrap()];
        for (how, from, wanted) in [
            (&["-rltvv", "--copy-dest=../alt"][..], "src/", "f is uptodate\nl is uptodate\nd/\n"),
            (&["-rltvv", "--link-dest=../alt"], "src/", "f is uptodate\nl is uptodate\nd/\n"),
            (&["-rlpv"], "group/src", "src/\nsrc/d/\n"),
        ] {
            let _ = fs::remove_dir_all(at("dst"));
            fs::create_dir(at("dst")).unwrap();
            let to = format!("h:{}/", at("dst").display());
            let out = run(program, dir.path(), &[how, &words, &["--protocol=28", from, &to]].concat());
            assert_eq!((out.code, out.stderr.as_str()), (Some(0), ""), "{program:?} {how:?}");
            let mut named: Vec<_> = out.stdout.lines().filter(|l| wanted.contains(l)).collect();
            let mut wanted: Vec<_> = wanted.lines().collect();
            named.retain(|line| !line.is_empty());
            named.sort_unstable();
            wanted.sort_unstable();
            assert_eq!(named, wanted, "{program:?} {how:?}: {}", out.stdout);
        }
    }
}

/// `-c` marks a file as changed, and not a second time where it has to be asked for again.
#[test]
fn a_file_that_is_asked_for_again() {
    for program in BOTH {
        let dir = tree(&["src", "dst"], &["src/f=new and longer", "dst/f=old"]);
        let shell = fake_shell(dir.path());
        let to = format!("h:{}/", dir.path().join("dst").display());
        let path = format!("--rsync-path={}", program.path());
        let words = ["-ci", "--append-verify", &path, "-e", shell.to_str().unwrap(), "src/f", &to];
        let out = run(program, dir.path(), &words);
        assert_eq!(out.stdout, "<fcsT...... f\n<f..T...... f\n", "{program:?}: {out:?}");
    }
}

/// The time of access does not make a file another one: what is linked gets it.
#[test]
fn alternates_with_another_time_of_access() {
    for program in BOTH {
        for (kind, item, times) in [
            ("--link-dest=../alt", "hf......u.. f\n", [1_577_836_800; 2]),
            ("--compare-dest=../alt", ".f......u.. f\n", [0, 946_684_800]),
            ("--copy-dest=../alt", "cf......u.. f\n", [1_577_836_800, 0]),
        ] {
            let dir = tree(&["src", "alt", "dst"], &["src/f=x", "alt/f=x"]);
            let at = |name: &str| dir.path().join(name);
            touch(&at("src/f"), &["-a", "-d", "2020-01-01Z"]);
            touch(&at("alt/f"), &["-a", "-d", "2000-01-01Z"]);
            let out = run(program, dir.path(), &["-rtUii", kind, "src/", "dst/"]);
            assert!(out.stdout.ends_with(item), "{program:?} {kind}: {out:?}");
            let now = ["dst/f", "alt/f"].map(|name| fs::metadata(at(name)).map_or(0, |found| found.atime()));
            // A file that is copied has been read.
            let wanted = if times[1] == 0 { [times[0], now[1]] } else { times };
            assert_eq!(now, wanted, "{program:?} {kind}");
        }
    }
}

/// With `-c` an alternate that is not as it should be shows that it was read.
#[test]
fn alternates_that_were_read() {
    for program in BOTH {
        let dir = tree(&["src", "alt"], &["src/f=x", "alt/f=x"]);
        let at = |name: &str| dir.path().join(name);
        touch(&at("alt/f"), &["-m", "-d", "2021-01-01Z"]);
        for name in ["src/f", "alt/f"] {
            touch(&at(name), &["-a", "-d", "2000-01-01Z"]);
        }
        let out = run(program, dir.path(), &["-rtUci", "--link-dest=../alt", "src/", "dst/"]);
        let is_noted = fs::metadata(at("alt/f")).unwrap().atime() != 946_684_800;
        let item = if is_noted { "cf..t...u.. f\n" } else { "cf..t...... f\n" };
        assert!(out.stdout.ends_with(item), "{program:?}: {out:?}");
    }
}

/// Rules are asked about what is in a directory that is in the way, though it stays.
#[test]
fn rules_about_what_is_in_the_way() {
    for program in BOTH {
        let dir = tree(&["src", "dst/b"], &["src/b=x", "dst/b/i1", "dst/b/x1"]);
        let words = ["-rvv", "--include=i*", "--exclude=x*", "src/", "dst/"];
        let out = run(program, dir.path(), &words);
        assert_eq!(out.code, Some(23), "{program:?}: {out:?}");
        for line in [
            "[generator] protecting file b/x1 because of pattern x*\n",
            "[generator] risking file b/i1 because of pattern i*\n",
        ] {
            assert!(out.stdout.contains(line), "{program:?}: {out:?}");
        }
    }
}

/// What fails verification is copied again, from what is there by then, and listed again.
#[test]
fn appended_files_that_fail_verification() {
    for program in BOTH {
        let dir = tree(&["src", "dst"], &["src/f=new and longer", "dst/f=old"]);
        let out = run(program, dir.path(), &["-rti", "--append-verify", "-b", "--suffix=~", "src/f", "dst/"]);
        assert_eq!(
            (out.code, out.stdout.as_str()),
            (Some(0), ">f.s....... f\n>f..t...... f\n"),
            "{program:?}"
        );
        let got = ["dst/f", "dst/f~"].map(|name| fs::read_to_string(dir.path().join(name)).unwrap());
        assert_eq!(got, ["new and longer", "old"], "{program:?}");
        assert_eq!(fs::metadata(dir.path().join("dst/f")).unwrap().mtime(), 1_577_836_800, "{program:?}");
    }
}

/// Below protocol 29 a new directory is named if the system has not given it all of its permissions.
#[test]
fn permissions_of_new_directories_in_old_protocols() {
    if !needs_root("others give a directory the right to write first") {
        return;
    }
    for program in BOTH {
        for (inherits, mode, wanted) in [(false, 0o755, ""), (false, 0o555, ""), (true, 0o755, "d/\n")] {
            let dir = tree(&["src/d", "dst"], &[]);
            let at = |name: &str| dir.path().join(name);
            fs::set_permissions(at("src/d"), fs::Permissions::from_mode(mode)).unwrap();
            if inherits {
                let path = CString::new(at("dst").as_os_str().as_bytes()).unwrap();
                let flags = rustix::fs::XattrFlags::empty();
                rustix::fs::setxattr(path, "system.posix_acl_default", PRIVATE, flags)
                    .unwrap_or_else(|e| panic!("ACLs are needed in {}: {e}", dir.path().display()));
            }
            let words = ["-rpv", "--info=stats0,flist0", "--protocol=28", "src/", "dst/"];
            let out = run(program, dir.path(), &words);
            assert_eq!((out.code, out.stdout.as_str()), (Some(0), wanted), "{program:?} {mode:o}: {out:?}");
        }
    }
}

/// A dry run does not make the destination, and tells with `--existing` what would be missing there.
#[test]
fn names_that_an_absent_destination_lacks() {
    for program in BOTH {
        let dir = tree(&["src/d"], &["src/f", "src/d/g"]);
        let out = run(program, dir.path(), &["-rvvn", "--existing", "src/", "dst/"]);
        let mut missing: Vec<_> =
            out.stdout.lines().filter(|line| line.starts_with("not creating")).collect();
        missing.sort_unstable();
        let wanted = [
            "not creating new directory \".\"",
            "not creating new directory \"d\"",
            "not creating new file \"f\"",
        ];
        assert_eq!(missing, wanted, "{program:?}");
    }
}

/// A name that several sources have keeps the directory that has it, but for the last name of all.
#[test]
fn duplicates_keep_empty_directories() {
    for program in BOTH {
        let dir = tree(&["src/a/b", "src/a/c", "src/z/y", "other/a", "dst"], &["src/a/b/f"]);
        let made = |words: &[&str]| {
            let words = [&["-rmn", "--out-format=%n", "--exclude=f"], words, &["dst/"]].concat();
            let out = run(program, dir.path(), &words);
            assert_eq!(out.code, Some(0), "{program:?} {words:?}: {out:?}");
            out.stdout.replace('\n', " ")
        };
        assert_eq!(made(&["src/"]), "", "{program:?}");
        assert_eq!(made(&["src/", "src/"]), "a/ a/b/ a/c/ z/ ", "{program:?}");
        assert_eq!(made(&["src/", "other/"]), "a/ ", "{program:?}");
        assert_eq!(made(&["-R", "src/./z", "src/./z/y"]), "z/ ", "{program:?}");
    }
}

/// Without permissions to preserve, the ACL of an alternate file is compared with that of a new file, which the mask of the
/// process is part of: what would give more is not linked.
#[test]
fn an_alternate_acl_that_the_mask_forbids() {
    const ACCESS: &str = "system.posix_acl_access";
    /// `user::rw- user:1000:rw- group::r-- mask::r-- other::r--`
    const OPEN: &[u8] = b"\x02\0\0\0\
        \x01\0\x06\0\xff\xff\xff\xff\x02\0\x06\0\xe8\x03\0\0\x04\0\x04\0\xff\xff\xff\xff\
        \x10\0\x04\0\xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff";
    for program in BOTH {
        for (umask, item, mode) in [("022", "hf          f", 0o644), ("077", "cf..T....a. f", 0o600)] {
            let dir = tempfile::tempdir().unwrap();
            for name in ["src", "alt"] {
                let file = dir.path().join(name).join("f");
                fs::create_dir(dir.path().join(name)).unwrap();
                fs::write(&file, "text").unwrap();
                fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
                rustix::fs::setxattr(&file, ACCESS, OPEN, rustix::fs::XattrFlags::empty())
                    .unwrap_or_else(|e| panic!("ACLs are needed in {}: {e}", dir.path().display()));
            }
            let words = ["-rA", "--no-perms", "--size-only", "-ii", "--link-dest=../alt", "src/", "dst/"];
            let masked = ["-c", "umask $0; exec \"$@\"", umask, program.path()];
            let out = peers::run(peers::command("/bin/sh", dir.path()).args(masked).args(words));
            let told = out.stdout.lines().find(|line| line.ends_with(" f"));
            assert_eq!((out.code, told), (Some(0), Some(item)), "{program:?} {umask}: {out:?}");
            let made = fs::metadata(dir.path().join("dst/f")).unwrap().mode();
            assert_eq!(made & 0o7777, mode, "{program:?} {umask}");
        }
    }
}
