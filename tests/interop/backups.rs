//! Backups: what is told of them, where they go, and what their directories look like.

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

use rustix::process::geteuid;

use crate::{
    details::{BOTH, children, run, touch, tree},
    links::PRIVATE,
    needs::{needs, needs_root},
    peers::{Program, fake_shell},
};

/// A dry run tells of the backups that its generator would make, not of those of transferred files.
#[test]
fn dry_runs_tell_of_backups() {
    let wanted = ["dir/x", "extra", "link", "member", "now_file", "now_link"];
    for program in BOTH {
        let dir = tree(
            &["src", "dst/dir"],
            &["src/file=new", "src/leader=l", "src/now_file=f", "src/dir=f", "dst/file=old", "dst/leader=m"],
        );
        let at = |name: &str| dir.path().join(name);
        fs::hard_link(at("src/leader"), at("src/member")).unwrap();
        for name in ["dst/member", "dst/now_link", "dst/extra", "dst/dir/x"] {
            fs::write(at(name), "other").unwrap();
        }
        for (target, name) in
            [("a", "src/link"), ("b", "dst/link"), ("a", "src/now_link"), ("b", "dst/now_file")]
        {
            symlink(target, at(name)).unwrap();
        }
        for (words, suffix) in [("-b", ""), ("--backup-dir=../old", "../old/")] {
            let words = ["-rltHn", "--delete", "--info=backup", words, "src/", "dst/"];
            let out = run(program, dir.path(), &words);
            let mut told: Vec<_> =
                out.stdout.lines().filter_map(|line| line.strip_prefix("backed up ")).collect();
            told.sort_unstable();
            let wanted = wanted.map(|name| match suffix {
                "" => format!("{name} to {name}~"),
                dir => format!("{name} to {dir}{name}"),
            });
            assert_eq!(told, wanted, "{program:?} {words:?}");
        }
    }
}

/// A backup that fails ends the run, and nobody says that it was made.
#[test]
fn failed_backups_are_not_told() {
    let long = "L".repeat(255);
    for program in BOTH {
        let dir = tree(&["src", "dst"], &[&format!("src/{long}=new text"), &format!("dst/{long}=old")]);
        let shell = fake_shell(dir.path()).display().to_string();
        let there = format!("h:{}/dst/", dir.path().display());
        let path = format!("--rsync-path={}", program.path());
        for ends in [&["src/", "dst/"][..], &["-e", &shell, &path, "src/", &there]] {
            let out = run(program, dir.path(), &[&["-rtb", "--info=backup"], ends].concat());
            assert_eq!((out.code, &*out.stdout), (Some(11), ""), "{program:?}: {out:?}");
        }
    }
}

/// With `--safe-links` a symlink that leads out of the tree is replaced and deleted without a backup.
#[test]
fn backups_of_links_that_lead_out() {
    for program in BOTH {
        let dir = tree(&["src", "dst"], &["src/f=x"]);
        let at = |name: &str| dir.path().join(name);
        for name in ["dst/f", "dst/g", "dst/h"] {
            symlink(if name == "dst/h" { "f" } else { "../../out" }, at(name)).unwrap();
        }
        let words =
            ["-a", "--delete", "--safe-links", "--backup-dir=../bak", "--info=symsafe", "src/", "dst/"];
        let out = run(program, dir.path(), &words);
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        for name in ["f", "g"] {
            let line = format!("not backing up unsafe symlink \"{name}\" -> \"../../out\"\n");
            assert!(out.stdout.contains(&line), "{program:?} {name}: {out:?}");
        }
        assert_eq!(children(&at("dst")), ["f"], "{program:?}");
        assert_eq!(children(&at("bak")), ["h"], "{program:?}");
    }
}

/// No rule protects the backup directory here: it is deleted, itself with a backup, and then needed again.
#[test]
fn a_backup_directory_that_is_deleted_comes_back() {
    for program in BOTH {
        let dir = tree(&["src/d", "dst/d"], &["src/d/f=new text", "dst/d/f=old", "dst/d/extra"]);
        let words = ["-ri", "--delete-after", "--backup-dir=.old", "-f!", "src/", "dst/"];
        let out = run(program, dir.path(), &words);
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        assert!(out.stdout.contains("*deleting   d/extra\n"), "{program:?}: {out:?}");
        for name in ["dst/.old/d/extra", "dst/.old/.old/d/f"] {
            assert!(dir.path().join(name).exists(), "{program:?} {name}: {out:?}");
        }
        assert_eq!(children(&dir.path().join("dst/d")), ["f"], "{program:?}");
    }
}

/// With `--fake-super` directories of backups stand for what the real ones stand for.
#[test]
fn directories_of_backups_with_fake_super() {
    if !needs_root("nobody else can give files away") {
        return;
    }
    for program in BOTH {
        let dir = tree(&["src/d", "dst/d"], &["src/d/f=new text", "dst/d/f=old"]);
        std::os::unix::fs::chown(dir.path().join("src/d"), Some(7), Some(8)).unwrap();
        fs::set_permissions(dir.path().join("src/d"), fs::Permissions::from_mode(0o3555)).unwrap();
        let out = run(program, dir.path(), &["-a", "--fake-super", "--backup-dir=../bak", "src/", "dst/"]);
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        let path = CString::new(dir.path().join("bak/d").as_os_str().as_bytes()).unwrap();
        let mut value = [0; 100];
        let len = rustix::fs::getxattr(&path, "user.rsync.%stat", &mut value[..]).unwrap_or(0);
        assert_eq!(str::from_utf8(&value[..len]), Ok("43555 0,0 7:8"), "{program:?}");
        let made = fs::metadata(dir.path().join("bak/d")).unwrap();
        assert_eq!((made.uid(), made.gid(), made.mode() & 0o7777), (0, 0, 0o755), "{program:?}");
    }
}

/// Directories of backups have the ACLs of the real ones, which may be none.
#[test]
fn directories_of_backups_do_not_inherit() {
    for program in BOTH {
        let dir = tree(&["src/d/e", "dst/d/e"], &["src/d/e/f=new text", "dst/d/e/f=old"]);
        let path = |name: &str| CString::new(dir.path().join(name).as_os_str().as_bytes()).unwrap();
        for name in ["src/d", "dst/d"] {
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(path(name), "system.posix_acl_default", PRIVATE, flags)
                .unwrap_or_else(|e| panic!("ACLs are needed in {}: {e}", dir.path().display()));
        }
        let out = run(program, dir.path(), &["-rpA", "--backup-dir=../bak", "src/", "dst/"]);
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        let inherited =
            |name| rustix::fs::getxattr(path(name), "system.posix_acl_default", &mut [0u8; 100][..]).is_ok();
        assert_eq!(["bak/d", "bak/d/e"].map(inherited), [true, false], "{program:?}");
        assert_eq!(fs::metadata(dir.path().join("bak/d/e")).unwrap().mode() & 0o7777, 0o755, "{program:?}");
    }
}

/// Without `-p` they keep the group bit that new directories get from the one above.
#[test]
fn directories_of_backups_keep_an_inherited_group_bit() {
    for program in BOTH {
        for (words, modes) in [("-r", [0o2755, 0o3777]), ("-rp", [0o755; 2])] {
            let dir = tree(&["src/d/e", "dst/d/e"], &["src/d/e/f=new text", "dst/d/e/f=old"]);
            for (name, bits) in [("dst/d", 0o2755), ("dst/d/e", 0o1777)] {
                fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(bits)).unwrap();
            }
            let out = run(program, dir.path(), &[words, "--backup-dir=../bak", "src/", "dst/"]);
            assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
            let mode = |name| fs::metadata(dir.path().join(name)).unwrap().mode() & 0o7777;
            assert_eq!(["bak/d", "bak/d/e"].map(mode), modes, "{program:?} {words}");
        }
    }
}

/// Above the destination, a copy for `--inplace` is not found again by the reference: its attributes are not set. Here they are.
#[test]
fn copies_above_the_destination_have_their_attributes() {
    for program in BOTH {
        for (option, bits, private) in
            [("-W", 0o640, 0o600), ("-W", 0o755, 0o700), ("--no-W", 0o755, 0o600), ("--no-W", 0o700, 0o600)]
        {
            let dir = tree(&["src", "dst"], &["src/f=new text", "dst/f=old"]);
            let at = |name: &str| dir.path().join(name);
            fs::set_permissions(at("dst/f"), fs::Permissions::from_mode(bits)).unwrap();
            let words = ["-r", "--inplace", option, "--backup-dir=../bak", "src/", "dst/"];
            let out = run(program, dir.path(), &words);
            let line = format!(
                "rsync: [generator] stat \"{}/dst/../bak/f\" failed: Invalid argument (22)\n",
                dir.path().display()
            );
            let stock = program == Program::Stock;
            assert_eq!(out.code, Some(if stock { 23 } else { 0 }), "{program:?}: {out:?}");
            assert_eq!(out.stderr.contains(&line), stock, "{program:?}: {out:?}");
            let kept = if stock { private } else { bits };
            assert_eq!(fs::read(at("bak/f")).unwrap(), b"old", "{program:?}");
            let mode = |name: &str| fs::metadata(at(name)).unwrap().mode() & 0o7777;
            assert_eq!([mode("dst/f"), mode("bak/f")], [bits, kept], "{program:?} {option}");
        }
    }
}

/// What can neither be linked nor renamed is copied; that it cannot be replaced either is an error of its own.
#[test]
fn files_that_may_not_change_get_backups() {
    let names = ["f", "d/f"];
    let fixed = |dir: &Path, what: &str| {
        let files = names.map(|name| dir.join(name));
        Command::new("chattr").arg(what).args(files).status().is_ok_and(|status| status.success())
    };
    let probe = tree(&["d"], &names);
    let can = geteuid().is_root() && fixed(probe.path(), "+i") && fixed(probe.path(), "-i");
    if !needs("files that may not change (chattr +i)", can) {
        return;
    }
    let temporaries = ["rename \"TO/.f.XXXXXX\" -> \"f\"", "rename \"TO/d/.f.XXXXXX\" -> \"d/f\""];
    let partials =
        ["rename failed for \"TO/f\" (from .~tmp~/f)", "rename failed for \"TO/d/f\" (from d/.~tmp~/f)"];
    for program in BOTH {
        for (words, told, has_backup) in [
            (&["-a"][..], temporaries, false),
            (&["-ab"], temporaries, true),
            (&["-ab", "--delay-updates"], partials, true),
        ] {
            let dir = tree(
                &["src/d", "dst/d"],
                &["src/f=new text", "src/d/f=new text", "dst/f=old", "dst/d/f=old"],
            );
            let to = dir.path().join("dst");
            assert!(fixed(&to, "+i"));
            let out = run(program, dir.path(), &[words, &["src/", "dst/"]].concat());
            assert!(fixed(&to, "-i"));
            let what = format!("{program:?} {words:?}: {out:?}");
            assert_eq!(out.code, Some(23), "{what}");
            let mut lines: Vec<String> = out.stderr.lines().map(without_random_letters).collect();
            lines.pop();
            let told = told.map(|text| text.replace("TO", to.to_str().unwrap()));
            let told = told.map(|text| format!("rsync: [receiver] {text}: Operation not permitted (1)"));
            assert_eq!(lines, told, "{what}");
            for name in names {
                assert_eq!(fs::read(to.join(name)).unwrap(), b"old", "{what}");
                let backup = fs::read(to.join(format!("{name}~"))).ok();
                assert_eq!(backup.as_deref(), has_backup.then_some(&b"old"[..]), "{what}");
            }
        }
    }
}

fn without_random_letters(line: &str) -> String {
    match line.find(".f.") {
        Some(at) => format!("{}XXXXXX{}", &line[..at + 3], &line[at + 9..]),
        None => line.to_owned(),
    }
}

/// Below protocol 29 a receiver is not told whether what it writes in place has a backup: it makes way for one.
#[test]
fn directories_for_backups_of_files_that_are_written_in_place() {
    for program in BOTH {
        for (protocol, made) in [("--protocol=28", true), ("--protocol=29", false)] {
            for remote in [false, true] {
                let dir = tree(&["src/d", "dst"], &["src/d/f=new", "src/g=text", "dst/g=old"]);
                let shell = fake_shell(dir.path()).display().to_string();
                let path = format!("--rsync-path={}", program.path());
                let there = format!("h:{}/dst/", dir.path().display());
                let words = ["-r", "--inplace", "--backup-dir=old", protocol];
                let ends = match remote {
                    true => vec!["-e", &shell, &path, "src/", &there],
                    false => vec!["src/", "dst/"],
                };
                let out = run(program, dir.path(), &[&words[..], &ends].concat());
                assert_eq!(out.code, Some(0), "{program:?} {protocol}: {out:?}");
                let found = ["d", "g"].map(|name| dir.path().join("dst/old").join(name).exists());
                assert_eq!(found, [made, true], "{program:?} {protocol} {remote}");
            }
        }
    }
}

/// None is made behind a `..`.
#[test]
fn no_directories_above_the_destination_for_files_that_are_written_in_place() {
    for program in BOTH {
        let dir = tree(&["src/d", "dst"], &["src/d/f=new"]);
        let out = run(
            program,
            dir.path(),
            &["-r", "--inplace", "--backup-dir=../old", "--protocol=28", "src/", "dst/"],
        );
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        assert!(!dir.path().join("old").exists(), "{program:?}");
    }
}

/// A directory for backups has the time of the directory that it is like, until something comes into it.
#[test]
fn times_of_new_directories_for_backups() {
    for program in BOTH {
        for (words, expected) in [("-rt", true), ("-r", false), ("-rtO", false)] {
            let dir = tree(&["src/d", "dst/d"], &["src/d/f=new"]);
            for name in ["src/d", "dst/d"] {
                touch(&dir.path().join(name), &["-d", "2010-01-01T00:00:00Z"]);
            }
            let out = run(
                program,
                dir.path(),
                &[words, "--inplace", "--backup-dir=old", "--protocol=28", "src/", "dst/"],
            );
            assert_eq!(out.code, Some(0), "{program:?} {words}: {out:?}");
            let kept = fs::metadata(dir.path().join("dst/old/d")).unwrap().mtime() == 1_262_304_000;
            assert_eq!(kept, expected, "{program:?} {words}");
        }
    }
}
