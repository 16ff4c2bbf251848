//! What a destination of another user does not let a user do, and how the run goes on, side by side with literal
//! expectations.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::UNIX_EPOCH,
};

use crate::{
    needs::needs_root,
    peers::{self, Outcome, Program, fake_shell, script},
    unprivileged::{bench, give_away, run, run_as_nobody},
};

const BOTH: [Program; 2] = [Program::Stock, Program::Arsync];

/// A source of nobody's: files of these names, and directories that lead to them.
fn source(dir: &Path, files: &[&str], links: &[(&str, &str)]) {
    for name in files {
        let path = dir.join("src").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }
    for (name, other) in links {
        fs::hard_link(dir.join("src").join(other), dir.join("src").join(name)).unwrap();
    }
    give_away(&dir.join("src"));
}

/// Nobody pushes to a directory of root's.
fn push(program: Program, dir: &Path, words: &[&str]) -> Outcome {
    let shell = fake_shell(dir);
    let path = match program {
        Program::Stock => "--rsync-path=rsync".to_owned(),
        Program::Arsync => format!("--rsync-path={}", dir.join("program").display()),
    };
    let to = format!("host:{}", dir.join("dst").display());
    let words: Vec<_> =
        words.iter().copied().chain(["-e", shell.to_str().unwrap(), &path, "src/", &to]).collect();
    run_as_nobody(program, dir, &words)
}

/// The lines about items, or errors, in the order of the alphabet, without the letters of temporary names.
fn lines(text: &str, dir: &Path) -> Vec<String> {
    let here = format!("{}/dst/", dir.display());
    let frame = |line: &&str| {
        !["sent ", "total size", "building file", "sending incremental", "rsync error:", "***"]
            .iter()
            .any(|start| line.starts_with(start))
            && !line.is_empty()
    };
    let mut lines: Vec<_> = text
        .lines()
        .filter(frame)
        .map(|line| {
            let line = line.replace(&here, "");
            match (line.contains(" mkstemp "), line.split_once("\" failed")) {
                (true, Some((name, why))) => format!("{}\" failed{why}", &name[..name.len() - 7]),
                _ => line,
            }
        })
        .collect();
    lines.sort();
    lines
}

/// A directory that cannot be made takes what is in it along, as long as nothing else is looked at in between.
#[test]
fn what_is_in_a_directory_that_cannot_be_made() {
    if !needs_root("files of another user") {
        return;
    }
    let no_acl = |dir: &str| {
        format!(
            "default_perms_for_dir: sys_acl_get_file({dir}, ACL_TYPE_DEFAULT): No such file or directory, falling \
             back on umask"
        )
    };
    let mkdir =
        |dir: &str, why: &str| format!("rsync: [generator] recv_generator: mkdir \"{dir}\" failed: {why}");
    let mkstemp = |name: &str, why: &str| format!("rsync: [receiver] mkstemp \"{name}\" failed: {why}");
    let (denied, none) = ("Permission denied (13)", "No such file or directory (2)");
    let at_root = vec![mkdir("d", denied), mkstemp(".a", denied), mkstemp(".z", denied)];
    let with = |lines: &[String], more: &[String]| {
        let mut all = [lines, more].concat();
        all.sort();
        all
    };
    let below = [mkdir("d/s", none), mkstemp("d/s/.q", none)];
    for program in BOTH {
        for (words, linked, told, errors) in [
            (vec!["-rv"], false, vec!["a".to_owned(), "d/".into(), "z".into()], at_root.clone()),
            // A further name of a link group is looked at.
            (
                vec!["-rvH"],
                true,
                ["a", "d/", "d/s/", "d/s/q", "z"].map(str::to_owned).to_vec(),
                with(&at_root, &[&below[..], &[no_acl("d"), no_acl("d/s"), no_acl("d/s")]].concat()),
            ),
            // Another name is listed in between: `d`, `d+x`, `d/s`. There are no warnings in this protocol.
            (
                vec!["-rv", "--protocol=28"],
                false,
                with(&["a".into(), "d+x".into(), "d/c".into(), "z".into()], &[no_acl("d"), no_acl("d")]),
                with(&at_root, &[mkdir("d/s", none), mkstemp(".d+x", denied), mkstemp("d/.c", none)]),
            ),
        ] {
            let bench = bench(program);
            let dir = bench.path();
            fs::create_dir(dir.join("dst")).unwrap();
            if linked {
                let links = [("d/b", "a"), ("d/s/p", "a"), ("d/c", "z")];
                source(dir, &["a", "d/a", "d/s/q", "z"], &links);
            } else if words.len() > 1 {
                source(dir, &["a", "d+x", "d/c", "d/s/q", "z"], &[]);
            } else {
                source(dir, &["a", "d/c", "d/s/q", "z"], &[]);
            }
            let out = push(program, dir, &words);
            assert_eq!(out.code, Some(23), "{program:?} {words:?}: {out:?}");
            assert_eq!(lines(&out.stdout, dir), told, "{program:?} {words:?}");
            assert_eq!(lines(&out.stderr, dir), errors, "{program:?} {words:?}");
        }
    }
}

/// Below protocol 30 nobody says that a file does not come: no other member of its link group takes its place.
#[test]
fn a_leader_that_cannot_be_written() {
    if !needs_root("files of another user") {
        return;
    }
    for program in BOTH {
        for (protocol, told) in
            [("--protocol=28", &["c"][..]), ("--protocol=29", &["c"]), ("--protocol=30", &["a", "b", "c"])]
        {
            let bench = bench(program);
            let dir = bench.path();
            fs::create_dir(dir.join("dst")).unwrap();
            source(dir, &["a"], &[("b", "a"), ("c", "a")]);
            let out = push(program, dir, &["-rvH", protocol]);
            assert_eq!(out.code, Some(23), "{program:?} {protocol}: {out:?}");
            assert_eq!(lines(&out.stdout, dir), told, "{program:?} {protocol}");
        }
    }
}

/// The time of a directory is tried first, and once; what comes behind it is not tried then.
#[test]
fn the_time_of_a_directory_of_another_user() {
    if !needs_root("files of another user") {
        return;
    }
    let times = [
        "rsync: [generator] failed to set times on \".\": Operation not permitted (1)",
        "rsync: [generator] failed to set times on \"d\": Operation not permitted (1)",
    ];
    let modes = [
        "rsync: [generator] failed to set permissions on \".\": Operation not permitted (1)",
        "rsync: [generator] failed to set permissions on \"d\": Operation not permitted (1)",
    ];
    for program in BOTH {
        for protocol in ["--protocol=28", "--protocol=32"] {
            for (words, told, errors) in [
                ("-rptv", &["./", "d/"][..], times),
                ("-rpv", if protocol == "--protocol=28" { &[][..] } else { &["./", "d/"] }, modes),
            ] {
                let bench = bench(program);
                let dir = bench.path();
                for name in ["src/d", "dst/d"] {
                    fs::create_dir_all(dir.join(name)).unwrap();
                }
                for name in ["src", "src/d"] {
                    fs::set_permissions(dir.join(name), Permissions::from_mode(0o711)).unwrap();
                    fs::File::open(dir.join(name)).unwrap().set_modified(UNIX_EPOCH).unwrap();
                }
                source(dir, &[], &[]);
                let out = push(program, dir, &[words, protocol]);
                assert_eq!(out.code, Some(23), "{program:?} {words} {protocol}: {out:?}");
                assert_eq!(lines(&out.stdout, dir), told, "{program:?} {words} {protocol}");
                assert_eq!(lines(&out.stderr, dir), errors, "{program:?} {words} {protocol}");
            }
        }
    }
}

/// What stands may not be read by its owner, but may with the permissions that it gets: its attributes are compared then.
#[test]
fn attributes_of_what_becomes_readable() {
    for program in BOTH {
        let bench = bench(program);
        let dir = bench.path();
        for name in ["src", "dst"] {
            fs::create_dir(dir.join(name)).unwrap();
            let path = dir.join(name).join("f");
            fs::write(&path, "text").unwrap();
            rustix::fs::setxattr(&path, "user.a", b"value", rustix::fs::XattrFlags::empty()).unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_modified(UNIX_EPOCH).unwrap();
        }
        fs::set_permissions(dir.join("dst/f"), Permissions::from_mode(0o222)).unwrap();
        let out = run(program, dir, &["-rptXi", "src/f", "dst/"]);
        let told = (out.code, &*out.stdout, &*out.stderr);
        assert_eq!(told, (Some(0), ".f...p..... f\n", ""), "{program:?}");
    }
}

/// A directory that its user may not write, and that belongs to another one, gets its permissions first, and is then opened
/// for what comes into it. Neither is possible.
#[test]
fn directories_of_another_user_that_are_to_be_filled() {
    if !needs_root("files of another user") {
        return;
    }
    let failed = |what: &str| {
        format!("rsync: [generator] failed to {what} permissions on \"d\": Operation not permitted (1)")
    };
    let (set, modify) = (failed("set"), failed("modify"));
    let mkstemp = "rsync: [receiver] mkstemp \"d/.f\" failed: Permission denied (13)".to_owned();
    for program in BOTH {
        for (words, standing, told) in [
            ("-rp", 0o755, vec![modify.clone(), set.clone(), mkstemp.clone()]),
            ("-rp", 0o555, vec![modify.clone(), mkstemp.clone()]),
            ("-r", 0o555, vec![modify.clone(), mkstemp.clone()]),
            ("-r", 0o755, vec![mkstemp.clone()]),
        ] {
            let bench = bench(program);
            let dir = bench.path();
            fs::create_dir_all(dir.join("dst/d")).unwrap();
            source(dir, &["d/f"], &[]);
            for (name, mode) in [("src/d", 0o555), ("dst/d", standing), ("src", 0o755), ("dst", 0o755)] {
                fs::set_permissions(dir.join(name), Permissions::from_mode(mode)).unwrap();
            }
            let out = push(program, dir, &[words]);
            assert_eq!(out.code, Some(23), "{program:?} {words} {standing:o}: {out:?}");
            assert_eq!(lines(&out.stderr, dir), told, "{program:?} {words} {standing:o}");
        }
    }
}

/// What cannot be set on a file that was received is told of with its temporary name.
#[test]
fn owners_of_files_that_were_received() {
    if !needs_root("files of another user") {
        return;
    }
    for program in BOTH {
        for (words, name) in [(&["-ro"][..], ".f.XXXXXX"), (&["-ro", "--inplace"], "f")] {
            let bench = bench(program);
            let dir = bench.path();
            for name in ["src", "dst"] {
                fs::create_dir(dir.join(name)).unwrap();
            }
            source(dir, &["f"], &[]);
            give_away(&dir.join("dst"));
            std::os::unix::fs::chown(dir.join("src/f"), Some(5), None).unwrap();
            let out = push(program, dir, &[words, &["--super"]].concat());
            let mut err = out.stderr.replace(&format!("{}/dst/", dir.display()), "");
            if let Some(at) = err.find(".f.") {
                err.replace_range(at + 3..at + 9, "XXXXXX");
            }
            let told = format!("rsync: [receiver] chown \"{name}\" failed: Operation not permitted (1)\n");
            assert!(out.code == Some(23) && err.starts_with(&told), "{program:?} {words:?}: {out:?}");
        }
    }
}

/// Attributes that cannot be read are told of, and count as none; those that are not wanted stay then.
#[test]
fn attributes_of_what_may_not_be_read() {
    if !needs_root("what nobody may read can be read by root") {
        return;
    }
    for program in BOTH {
        for (words, wanted, told) in [("-rptXi", true, ".f........x f\n"), ("-rptXi", false, "")] {
            let bench = bench(program);
            let dir = bench.path();
            for name in ["src", "dst"] {
                fs::create_dir(dir.join(name)).unwrap();
                let path = dir.join(name).join("f");
                fs::write(&path, "text").unwrap();
                if wanted || name == "dst" {
                    rustix::fs::setxattr(&path, "user.a", b"value", rustix::fs::XattrFlags::empty()).unwrap();
                }
                fs::File::options().write(true).open(&path).unwrap().set_modified(UNIX_EPOCH).unwrap();
                fs::set_permissions(&path, Permissions::from_mode(0o222)).unwrap();
            }
            give_away(&dir.join("dst"));
            let shell = dir.join("shell");
            let uid = "setpriv --reuid 65534 --regid 65534 --clear-groups";
            script(&shell, &format!("shift\nexec {uid} /bin/sh -c \"$*\""));
            let path = match program {
                Program::Stock => "--rsync-path=rsync".to_owned(),
                Program::Arsync => format!("--rsync-path={}", dir.join("program").display()),
            };
            let to = format!("host:{}/dst/", dir.display());
            let out = peers::run(peers::command(program.path(), dir).args([
                words,
                "-e",
                shell.to_str().unwrap(),
                &path,
                "src/f",
                &to,
            ]));
            let error = format!(
                "rsync: [generator] get_xattr_data: lgetxattr(\"{}/dst/f\",\"user.a\",0) failed: Permission denied (13)\n",
                dir.display()
            );
            let starts = out.stderr.starts_with(&error);
            assert!(out.code == Some(23) && out.stdout == told && starts, "{program:?} {wanted}: {out:?}");
            let kept = rustix::fs::getxattr(dir.join("dst/f"), "user.a", &mut [0; 9][..]);
            assert_eq!(kept, Ok(5), "{program:?} {wanted}");
        }
    }
}

/// An ACL that cannot be set changes nothing, and no default ACL is tried behind it.
#[test]
fn acls_of_what_belongs_to_somebody_else() {
    if !needs_root("files of another user") {
        return;
    }
    for program in BOTH {
        let dir = bench(program);
        source(dir.path(), &["f", "d/x"], &[]);
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("dst/d")).unwrap();
        for (name, acl) in [("f", "u:1000:r"), ("d", "u:1000:rx,d:u:1000:rx")] {
            let set = Command::new("setfacl").args(["-m", acl]).arg(at("src").join(name)).status().unwrap();
            assert!(set.success());
        }
        for name in ["f", "d/x"] {
            let copied =
                Command::new("cp").arg("-p").args([at("src").join(name), at("dst").join(name)]).status();
            assert!(copied.unwrap().success());
        }
        let set = Command::new("setfacl").arg("-b").arg(at("dst/f")).status().unwrap();
        assert!(set.success());
        for name in ["dst/f", "dst/d/x"] {
            std::os::unix::fs::chown(at(name), Some(0), Some(0)).unwrap();
        }
        let out = run_as_nobody(program, dir.path(), &["-rtOAvv", "src/", "dst/"]);
        let told = lines(&out.stdout, dir.path());
        for line in ["f is uptodate", "d/x is uptodate"] {
            assert!(told.iter().any(|l| l == line), "{program:?}: {told:?}");
        }
        let expected = [
            "rsync: [generator] set_acl: xacl_set(d, ACL_TYPE_ACCESS): Operation not permitted (1)",
            "rsync: [generator] set_acl: xacl_set(f, ACL_TYPE_ACCESS): Operation not permitted (1)",
        ];
        assert_eq!(lines(&out.stderr, dir.path()), expected, "{program:?}");
    }
}
