//! Hard links that meet something at the destination, or in an alternate directory.

use std::{
    ffi::CString,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, chown, symlink},
    },
    path::Path,
};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::{
    details::{set_xattr, tree, xattr},
    needs::{needs, needs_root},
    peers::{self, Outcome, Program, fake_shell},
    unprivileged,
};

const BOTH: [Program; 2] = [Program::Stock, Program::Arsync];

fn run(program: Program, dir: &Path, words: &[&str]) -> Outcome {
    let out = peers::run(peers::command(program.path(), dir).args(words));
    assert!(!out.panicked(), "{words:?}: {out:?}");
    assert_eq!((out.code, out.stderr.as_str()), (Some(0), ""), "{program:?} {words:?}");
    out
}

/// Lines that begin with `f` at the second place: items of files.
fn files(out: &Outcome) -> Vec<&str> {
    out.stdout.lines().filter(|line| line.get(1..2) == Some("f")).collect()
}

/// `s/a`, `s/b` and `s/c`, one file of 2020.
fn source() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["s", "d", "alt"] {
        fs::create_dir(at(name)).unwrap();
    }
    fs::write(at("s/a"), "hello\n").unwrap();
    old(&at("s/a"));
    fs::hard_link(at("s/a"), at("s/b")).unwrap();
    fs::hard_link(at("s/a"), at("s/c")).unwrap();
    dir
}

/// The same of a symlink.
fn links() -> tempfile::TempDir {
    let dir = source();
    let at = |name: &str| dir.path().join(name);
    for name in ["s/a", "s/b", "s/c"] {
        fs::remove_file(at(name)).unwrap();
    }
    symlink("there", at("s/a")).unwrap();
    old(&at("s/a"));
    fs::hard_link(at("s/a"), at("s/b")).unwrap();
    fs::hard_link(at("s/a"), at("s/c")).unwrap();
    dir
}

fn old(path: &Path) {
    let status = std::process::Command::new("touch").args(["-h", "-d", "2020-01-01"]).arg(path).status();
    assert!(status.unwrap().success());
}

#[test]
fn what_stood_in_place_of_a_link_is_shown_as_changed() {
    for program in BOTH {
        let dir = source();
        let at = |name: &str| dir.path().join(name);
        run(program, dir.path(), &["-a", "s/a", "d/"]);
        symlink("elsewhere", at("d/b")).unwrap();
        fs::create_dir(at("d/c")).unwrap();
        let out = run(program, dir.path(), &["-aHi", "s/", "d/"]);
        assert_eq!(files(&out), ["hf.stp..... b => a", "hf.stp..... c => a"], "{program:?}");
        assert_eq!(fs::metadata(at("d/a")).unwrap().nlink(), 3);
    }
}

#[test]
fn a_copied_leader_shows_what_the_alternate_file_was() {
    for program in BOTH {
        let dir = source();
        let at = |name: &str| dir.path().join(name);
        run(program, dir.path(), &["-a", "s/a", "s/b", "alt/"]);
        fs::set_permissions(at("alt/b"), fs::Permissions::from_mode(0o600)).unwrap();
        let out = run(program, dir.path(), &["-aHi", "--copy-dest=../alt", "s/", "d/"]);
        let mut shown = files(&out);
        shown.sort_unstable();
        assert_eq!(shown, ["hf+++++++++ c => a", "hf...p..... b => a"], "{program:?}");
    }
}

/// The attributes of a file that stands come behind its item: its other names are looked at before.
/// Names that were missing in front of a leader that is copied as it is are told of twice, if items are not shown.
#[test]
fn names_in_front_of_a_copied_leader_are_told_of_twice() {
    for program in BOTH {
        for (options, lines) in [
            (
                &["--info=name2"][..],
                ["z => s/f", "a => s/f", "z => s/f", "a => s/f", "s/g => s/f"].as_slice(),
            ),
            (&["-n", "--info=name2"], &["z => s/f", "a => s/f", "z => s/f", "a => s/f", "s/g => s/f"]),
            (&["--info=name1"], &["z => s/f", "a => s/f", "s/g => s/f"]),
            (
                &["-i", "--info=name2"],
                &["hf+++++++++ z => s/f", "hf+++++++++ a => s/f", "hf+++++++++ s/g => s/f"],
            ),
        ] {
            let dir = tree(&["src/s", "alt/s"], &["src/s/f=text", "alt/s/f=text"]);
            for name in ["a", "z", "s/g"] {
                fs::hard_link(dir.path().join("src/s/f"), dir.path().join("src").join(name)).unwrap();
            }
            let words = [&["-rtH", "--copy-dest=../alt"], options, &["src/", "dst/"]].concat();
            let out = run(program, dir.path(), &words);
            assert_eq!(out.code, Some(0), "{program:?} {options:?}: {out:?}");
            let told: Vec<_> = out.stdout.lines().filter(|line| line.contains(" => ")).collect();
            assert_eq!(told, lines, "{program:?} {options:?}");
        }
        // A copied file that has no other names is in no group.
        let dir = tree(&["src", "alt"], &["src/a=text", "alt/a=text", "src/m=more"]);
        fs::hard_link(dir.path().join("src/m"), dir.path().join("src/n")).unwrap();
        let out = run(program, dir.path(), &["-rtH", "--copy-dest=../alt", "--info=name2", "src/", "dst/"]);
        let told = out.stdout.lines().filter(|line| line.contains(" => ")).count();
        assert_eq!((out.code, told), (Some(0), 1), "{program:?}: {out:?}");
    }
}

#[test]
fn names_of_a_file_that_gets_attributes_are_shown_with_them() {
    for program in BOTH {
        let dir = source();
        let at = |name: &str| dir.path().join(name);
        run(program, dir.path(), &["-aH", "s/", "d/"]);
        set_xattr(&at("d/a"), b"old");
        let out = run(program, dir.path(), &["-aHXi", "s/", "d/"]);
        assert_eq!(files(&out), [".f........x a", "hf........x b", "hf........x c"], "{program:?}");
        assert_eq!(xattr(&at("d/c")), None, "{program:?}");
        // Long values are asked for.
        set_xattr(&at("s/b"), &[b'v'; 50]);
        let shell = fake_shell(dir.path());
        let (shell, remote) = (shell.to_str().unwrap(), format!("--rsync-path={}", program.path()));
        let to = format!("host:{}/d/", dir.path().display());
        let out = run(program, dir.path(), &["-aHXi", "-e", shell, &remote, "s/", &to]);
        assert_eq!(files(&out), [".f........x a", "hf........x b", "hf........x c"], "{program:?}");
        assert_eq!(xattr(&at("d/c")).as_deref(), Some(&[b'v'; 50][..]), "{program:?}");
        assert!(files(&run(program, dir.path(), &["-aHXi", "s/", "d/"])).is_empty(), "{program:?}");
    }
}

/// What a directory to compare with has is not needed in the source any more, with all of its names.
#[test]
fn sources_of_superfluous_links_are_removed() {
    for program in BOTH {
        let dir = source();
        let at = |name: &str| dir.path().join(name);
        run(program, dir.path(), &["-aH", "s/", "alt/"]);
        let words = ["-aH", "--remove-source-files", "--compare-dest=../alt", "s/", "d/"];
        run(program, dir.path(), &words);
        for name in ["a", "b", "c"] {
            assert!(!at("s").join(name).exists() && !at("d").join(name).exists(), "{program:?} {name}");
        }
    }
    // Where one has to come after all, rsync waits for ever.
    let dir = source();
    let at = |name: &str| dir.path().join(name);
    run(Program::Arsync, dir.path(), &["-aH", "s/", "alt/"]);
    fs::remove_file(at("alt/b")).unwrap();
    run(Program::Arsync, dir.path(), &["-aH", "--remove-source-files", "--compare-dest=../alt", "s/", "d/"]);
    let inode = |name: &str| fs::metadata(at("d").join(name)).unwrap().ino();
    assert_eq!([inode("a"), inode("b")], [inode("c"), inode("c")]);
    assert!(fs::read_dir(at("s")).unwrap().next().is_none());
}

/// So are names in directories behind it that become links to it.
#[test]
fn names_that_are_linked_to_a_file_that_gets_attributes_are_shown_with_them() {
    for program in BOTH {
        let dir = source();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("s/sub")).unwrap();
        fs::hard_link(at("s/a"), at("s/sub/c")).unwrap();
        run(program, dir.path(), &["-a", "s/", "d/"]);
        set_xattr(&at("s/a"), b"new");
        let out = run(program, dir.path(), &["-aHXi", "s/", "d/"]);
        let shown = [".f........x a", "hf........x b => a", "hf........x c => a", "hf........x sub/c => a"];
        assert_eq!(files(&out), shown, "{program:?}");
    }
}

/// Where the last name of a group is skipped, the last one that had no place is tried once more; where it has none itself, nothing is.
#[test]
fn a_name_without_a_place_is_tried_again() {
    for program in BOTH {
        for (blocked, told) in [("a", "aa"), ("ab", "abb"), ("b", "bb"), ("bc", "bc"), ("c", "c")] {
            let dir = source();
            for name in blocked.chars() {
                fs::create_dir_all(dir.path().join(format!("d/{name}/in"))).unwrap();
            }
            let words = ["-rlH", "--existing", "--protocol=28", "s/", "d/"];
            let out = peers::run(peers::command(program.path(), dir.path()).args(words));
            let lines =
                out.stdout.lines().filter_map(|l| l.strip_prefix("cannot delete non-empty directory: "));
            assert_eq!(
                (out.code, &*lines.collect::<String>()),
                (Some(23), told),
                "{program:?} {blocked}: {out:?}"
            );
        }
    }
}

/// A member is compared with its own alternate file only where the leader did not have to be transferred.
#[test]
fn members_of_later_lists_wait_for_a_transferred_leader() {
    for program in [Program::Stock, Program::Arsync] {
        for (alternate, item) in [("other", "hf+++++++++ d/b => a"), ("text", "hf          d/b => a")] {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name);
            for (name, text) in [("src/a", "text"), ("alt/a", alternate), ("alt/d/b", "text")] {
                fs::create_dir_all(at(name).parent().unwrap()).unwrap();
                fs::write(at(name), text).unwrap();
                old(&at(name));
            }
            fs::create_dir_all(at("src/d")).unwrap();
            fs::write(at("src/d/a"), "").unwrap();
            fs::hard_link(at("src/a"), at("src/d/b")).unwrap();
            let out = run(program, dir.path(), &["-rtHi", "--copy-dest=../alt", "src/", "dst/"]);
            let links: Vec<&str> = out.stdout.lines().filter(|line| line.starts_with('h')).collect();
            assert_eq!(links, [item], "{program:?}: {out:?}");
        }
    }
}

/// Of a group that goes through many directories, the last member leads that is known when the first is looked at: lists of
/// five hundred entries are waited for, and no more than these.
#[test]
fn groups_through_many_lists_are_led_by_what_is_known() {
    for (files, dirs, leads) in
        [(100, 4, "3"), (100, 6, "4"), (250, 5, "1"), (300, 9, "1"), (498, 3, "0"), (700, 4, "0")]
    {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..dirs {
            fs::create_dir_all(dir.path().join(format!("src/{number}"))).unwrap();
            for file in 0..files {
                let name = dir.path().join(format!("src/{number}/{file}"));
                match number {
                    0 => fs::write(name, "x").unwrap(),
                    _ => fs::hard_link(dir.path().join(format!("src/0/{file}")), name).unwrap(),
                }
            }
        }
        let shell = fake_shell(dir.path());
        let [stock, arsync] = BOTH;
        for (client, server) in [(stock, stock), (arsync, arsync), (stock, arsync), (arsync, stock)] {
            let path = format!("--rsync-path={}", server.path());
            let remote = |name: &str| format!("h:{}/{name}/", dir.path().display());
            let words = ["-aHi", "-e", shell.to_str().unwrap(), &path];
            let (push, pull) = (["src/", &remote("to")], [&remote("src"), "to/"]);
            for ends in [push, pull, ["src/", "to/"]] {
                let out = run(client, dir.path(), &[&words[..], &ends].concat());
                let transferred = out.stdout.lines().filter(|line| line.starts_with(['<', '>']));
                let told: Vec<_> = transferred.filter_map(|line| line.get(12..)?.split_once('/')).collect();
                let place = format!("{client:?} {server:?} {files} {dirs} {ends:?}");
                assert!(told.iter().all(|(dir, _)| *dir == leads), "{place}: {told:?}");
                assert_eq!(told.len(), files, "{place}");
                let linked = fs::metadata(dir.path().join("to/1/7")).unwrap().nlink();
                assert_eq!(linked, dirs, "{place}");
                fs::remove_dir_all(dir.path().join("to")).unwrap();
            }
        }
    }
}

/// The reference hangs here.
#[test]
fn a_link_group_comes_as_a_whole_or_stays_away_as_a_whole() {
    for (known, shown, names) in [
        (&["a"][..], &[">f+++++++++ c", "hf+++++++++ b => c", "hf+++++++++ a => c"][..], 3),
        (&["c"], &[">f+++++++++ b", "hf+++++++++ c => b", "hf+++++++++ a => b"], 3),
        (&["a", "b"], &[">f+++++++++ c", "hf+++++++++ b => c", "hf+++++++++ a => c"], 3),
        (&["a", "b", "c"], &[], 0),
    ] {
        let dir = source();
        for name in known {
            run(Program::Arsync, dir.path(), &["-a", &format!("s/{name}"), "alt/"]);
        }
        let out = run(Program::Arsync, dir.path(), &["-aHi", "--compare-dest=../alt", "s/", "d/"]);
        assert_eq!(files(&out), shown, "{known:?}");
        let made = fs::read_dir(dir.path().join("d")).unwrap().map(|e| e.unwrap().metadata().unwrap());
        let links: Vec<_> = made.map(|m| m.nlink()).collect();
        assert_eq!(links, vec![names; names as usize], "{known:?}");
    }
}

/// What stands there makes no difference: files that the directory to compare with has are removed, and made anew as
/// links when another member stays. Recursion in steps makes the reference hang.
#[test]
fn standing_members_of_a_link_group_that_an_alternate_directory_has() {
    for (standing, known, shown, names) in [
        (&["a", "b", "c"][..], "a", &["hf          c => b", "hf+++++++++ a => b"][..], 3),
        (&["a", "b"], "a", &["hf+++++++++ a => b", "hf+++++++++ c => b"], 3),
        (&["a"], "b", &["hf          b => a", "hf+++++++++ c => a"], 3),
    ] {
        for program in BOTH {
            let dir = source();
            for name in standing {
                run(program, dir.path(), &["-a", &format!("s/{name}"), "d/"]);
            }
            run(program, dir.path(), &["-a", &format!("s/{known}"), "alt/"]);
            let words = ["-aHi", "--no-i-r", "--compare-dest=../alt", "s/", "d/"];
            let out = run(program, dir.path(), &words);
            let mut items = files(&out);
            items.sort_unstable();
            assert_eq!(items, shown, "{program:?} {standing:?} {known}");
            assert_eq!(
                fs::metadata(dir.path().join("d/a")).unwrap().nlink(),
                names,
                "{program:?} {standing:?}"
            );
        }
    }
}

/// A directory with something in it stays; its place is asked for again when there is something to link to. Files that
/// the last name would have led stay away with it.
/// Recursion in steps makes the reference hang.
#[test]
fn a_name_that_cannot_be_had_does_not_keep_its_link_group_away() {
    let no_way = |kind: &str, name: &str| format!("could not make way for new {kind}: {name}");
    let (file, link) = ("regular file", "symlink");
    for (kind, taken, shown, refused) in [
        (file, &["a"][..], &[">f+++++++++ c", "hf+++++++++ b => c"][..], &[(file, "a"), (file, "a")][..]),
        (file, &["a", "b"], &[">f+++++++++ c"], &[(file, "a"), (file, "b"), (file, "b"), (file, "a")]),
        (file, &["c"], &[], &[(file, "c")]),
        (file, &["a", "c"], &[], &[(file, "a"), (file, "c")]),
        (link, &["a"], &["cL+++++++++ b -> there", "hL+++++++++ c => b"], &[(link, "a"), (file, "a")]),
        (link, &["c"], &["cL+++++++++ a -> there", "hL+++++++++ b => a"], &[(file, "c")]),
    ] {
        for program in BOTH {
            let dir = if kind == file { source() } else { links() };
            for name in taken {
                fs::create_dir(dir.path().join("d").join(name)).unwrap();
                fs::write(dir.path().join("d").join(name).join("x"), "").unwrap();
            }
            let words = ["-aHO", "--no-i-r", "--out-format=%i %n%L", "s/", "d/"];
            let out = peers::run(peers::command(program.path(), dir.path()).args(words));
            let items = out.stdout.lines().filter(|line| line.as_bytes().get(2) == Some(&b'+'));
            assert_eq!(items.collect::<Vec<_>>(), shown, "{program:?} {taken:?}");
            let told = out.stderr.lines().filter(|line| line.starts_with("could not"));
            let refused: Vec<_> = refused.iter().map(|(kind, name)| no_way(kind, name)).collect();
            assert_eq!(told.collect::<Vec<_>>(), refused, "{program:?} {taken:?}");
            assert_eq!(out.code, Some(23), "{program:?} {taken:?}");
        }
    }
}

/// Recursion in steps makes the reference hang.
#[test]
fn linked_symlinks_that_an_alternate_directory_has() {
    for (option, known, shown) in [
        ("--compare-dest=../alt", &["a", "b", "c"][..], &[][..]),
        (
            "--compare-dest=../alt",
            &["a"],
            &["cL+++++++++ b -> there", "hL+++++++++ a => b", "hL+++++++++ c => b"],
        ),
        (
            "--compare-dest=../alt",
            &["c"],
            &["cL+++++++++ a -> there", "hL+++++++++ b => a", "hL+++++++++ c => a"],
        ),
        ("--copy-dest=../alt", &["a", "b"], &["hL+++++++++ b => a", "hL+++++++++ c => a"]),
    ] {
        for program in BOTH {
            let dir = links();
            for name in known {
                run(program, dir.path(), &["-a", &format!("s/{name}"), "alt/"]);
            }
            let words = ["-aHO", "--no-i-r", "--out-format=%i %n%L", option, "s/", "d/"];
            let out = run(program, dir.path(), &words);
            assert_eq!(out.stdout.lines().collect::<Vec<_>>(), shown, "{program:?} {option} {known:?}");
        }
    }
}

/// A dry run tells of the other names of a file that would be replaced, as they are linked to it still.
#[test]
fn dry_runs_tell_of_names_that_are_linked_already() {
    let cases: [(&[&str], &str, &[&str]); 5] = [
        (&["-rpt"], "perms", &[".f...p..... a", "hf...p..... b"]),
        (&["-rpt"], "time", &[">f..t...... a", "hf..t...... b"]),
        (&["-rpt"], "", &[]),
        (&["-r", "--size-only"], "time", &[]),
        (&["-rpt", "--link-dest=../alt"], "time", &["hf..t...... b => a"]),
    ];
    for program in BOTH {
        for (words, other, lines) in &cases {
            let dir = source();
            let at = |name: &str| dir.path().join(name);
            fs::remove_file(at("s/c")).unwrap();
            for to in ["d/", "alt/"] {
                run(program, dir.path(), &["-aH", "s/", to]);
            }
            match *other {
                "perms" => fs::set_permissions(at("d/a"), fs::Permissions::from_mode(0o600)).unwrap(),
                "time" => fs::File::open(at("d/a")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap(),
                _ => {}
            }
            let out = run(program, dir.path(), &[words, &["-nHi", "s/", "d/"][..]].concat());
            assert_eq!(files(&out), *lines, "{program:?} {words:?} {other}");
        }
        // Both names are links of the alternates, too.
        let dir = source();
        run(program, dir.path(), &["-aH", "s/", "alt/"]);
        let out = run(program, dir.path(), &["-anHi", "--link-dest=../alt", "s/", "d/"]);
        assert_eq!(files(&out), Vec::<&str>::new(), "{program:?}");
    }
}

/// A directory on another file system than the tests' own.
fn elsewhere(than: &Path) -> Option<tempfile::TempDir> {
    let device = |path: &Path| fs::metadata(path).ok().map(|found| found.dev());
    let places = ["/tmp", "/var/tmp", "/dev/shm"].map(Path::new);
    let other =
        places.into_iter().find(|place| device(place).is_some_and(|dev| Some(dev) != device(than)))?;
    tempfile::tempdir_in(other).ok()
}

/// What no link leads to is copied, also where another file stood.
#[test]
fn alternates_on_another_file_system_are_copied() {
    for program in BOTH {
        for (standing, word) in
            [(None, "-v"), (Some("hello\n"), "-v"), (Some("other text"), "-v"), (None, "-q")]
        {
            let dir = source();
            let at = |name: &str| dir.path().join(name);
            let alternate = elsewhere(dir.path());
            if !needs("a second file system", alternate.is_some()) {
                return;
            }
            let alternate = alternate.unwrap();
            let path = alternate.path().to_str().unwrap();
            run(program, dir.path(), &["-a", "s/a", path]);
            if let Some(text) = standing {
                fs::write(at("d/a"), text).unwrap();
            }
            let out = run(program, dir.path(), &["-at", word, &format!("--link-dest={path}"), "s/a", "d/"]);
            let line = format!(
                "rsync: [generator] link \"{}/d/a\" => {path}/a failed: Invalid cross-device link (18)\n",
                dir.path().display(),
            );
            assert_eq!(out.stdout.matches(&line).count(), usize::from(word == "-v"), "{program:?}: {out:?}");
            assert_eq!(fs::read_to_string(at("d/a")).unwrap(), "hello\n", "{program:?} {standing:?}");
            assert_eq!(fs::metadata(at("d/a")).unwrap().mtime(), fs::metadata(at("s/a")).unwrap().mtime());
        }
    }
}

/// `user::rwx group::rwx other::---` as `system.posix_acl_default`.
pub(crate) const PRIVATE: &[u8] = b"\x02\0\0\0\
    \x01\0\x07\0\xff\xff\xff\xff\x04\0\x07\0\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff";

#[test]
fn directories_that_nobody_describes_are_no_more_open_than_their_default_acl_says() {
    for program in BOTH {
        let dir = source();
        let dest = dir.path().join("d");
        let path = CString::new(dest.as_os_str().as_bytes()).unwrap();
        rustix::fs::setxattr(&path, "system.posix_acl_default", PRIVATE, rustix::fs::XattrFlags::empty())
            .unwrap_or_else(|e| panic!("ACLs are needed in {}: {e}", dest.display()));
        run(program, dir.path(), &["-aR", "--no-implied-dirs", "s/a", "d/"]);
        assert_eq!(fs::metadata(dest.join("s")).unwrap().mode() & 0o7777, 0o770, "{program:?}");
        // What is made in one of them goes by the ACL that it has been handed down.
        fs::remove_dir_all(dest.join("s")).unwrap();
        fs::create_dir(dir.path().join("s/sub")).unwrap();
        fs::set_permissions(dir.path().join("s/sub"), fs::Permissions::from_mode(0o775)).unwrap();
        run(program, dir.path(), &["-rR", "--no-implied-dirs", "s/sub", "d/"]);
        let mode = fs::metadata(dest.join("s/sub")).unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o770, "{program:?}");
    }
}

/// `-A` takes the default ACL of a directory away before files come into it: they have the permissions that the process's mask
/// leaves them.
#[test]
fn files_in_a_directory_that_loses_its_default_acl() {
    for program in BOTH {
        let dir = source();
        let dest = dir.path().join("d");
        fs::set_permissions(dir.path().join("s/a"), fs::Permissions::from_mode(0o774)).unwrap();
        let path = CString::new(dest.as_os_str().as_bytes()).unwrap();
        rustix::fs::setxattr(&path, "system.posix_acl_default", PRIVATE, rustix::fs::XattrFlags::empty())
            .unwrap_or_else(|e| panic!("ACLs are needed in {}: {e}", dest.display()));
        run(program, dir.path(), &["-rA", "--no-p", "s/", "d/"]);
        let mode = fs::metadata(dest.join("a")).unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o754, "{program:?}");
    }
}

/// What could not be set on a file of somebody else is told of each of its names.
#[test]
fn further_names_say_what_could_not_be_set() {
    if !needs_root("files of another user") {
        return;
    }
    for program in BOTH {
        let bench = unprivileged::bench(program);
        let dir = bench.path();
        let at = |name: &str| dir.join(name);
        for tree in ["src", "dst"] {
            fs::create_dir(at(tree)).unwrap();
            fs::write(at(&format!("{tree}/a")), "hello\n").unwrap();
            fs::hard_link(at(&format!("{tree}/a")), at(&format!("{tree}/b"))).unwrap();
            unprivileged::give_away(&at(tree));
        }
        old(&at("src/a"));
        chown(at("dst/a"), Some(1), Some(1)).unwrap();
        for (words, flags) in [
            (&["-aHi"][..], "f..t..g...".to_owned()),
            (&["-rHgi", "--chmod=F600"], "f.....g...".to_owned()),
            (&["-rHpi", "--chmod=F600"], "f...p.....".to_owned()),
        ] {
            let words = [words, &["--size-only", "src/", "dst/"]].concat();
            let out = unprivileged::run_as_nobody(program, dir, &words);
            let lines = [format!(".{flags} a"), format!("h{flags} b")];
            assert_eq!(
                (out.code, files(&out)),
                (Some(23), lines.iter().map(|l| &**l).collect()),
                "{program:?}: {out:?}"
            );
        }
    }
}

/// A file that is there and cannot be read is missing as a basis: a later name of its group may do.
#[test]
fn names_that_cannot_be_read_do_not_lead() {
    if !needs_root("files of another user") {
        return;
    }
    for program in BOTH {
        for (readable, first, second) in
            [(false, ">f+++++++++ b", "hf.sTp..... a => b"), (true, ">f.sT...... b", "hf.sTp..... a => b")]
        {
            let bench = unprivileged::bench(program);
            let dir = bench.path();
            let at = |name: &str| dir.join(name);
            for tree in ["src", "dst"] {
                fs::create_dir(at(tree)).unwrap();
                fs::write(at(tree).join("a"), tree.repeat(tree.len() * usize::from(tree == "dst") + 1))
                    .unwrap();
            }
            fs::hard_link(at("src/a"), at("src/b")).unwrap();
            fs::write(at("dst/b"), "other").unwrap();
            for (name, closed) in [("dst/a", true), ("dst/b", !readable)] {
                let mode = if closed { 0 } else { 0o644 };
                fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
            }
            for tree in ["src", "dst"] {
                unprivileged::give_away(&at(tree));
            }
            let out =
                unprivileged::run_as_nobody(program, dir, &["-rlpHi", "--no-whole-file", "src/", "dst/"]);
            assert_eq!(files(&out), [first, second], "{program:?}: {out:?}");
        }
    }
}

/// Permissions of symlinks are compared, too: what is in the way has others. An alternate file that cannot be read is named.
#[test]
fn what_is_in_the_way_of_a_link_or_cannot_be_read_is_told() {
    if !needs_root("files of another user") {
        return;
    }
    for program in BOTH {
        let bench = unprivileged::bench(program);
        let dir = bench.path();
        let at = |name: &str| dir.join(name);
        for name in ["src", "dst", "alt"] {
            fs::create_dir(at(name)).unwrap();
        }
        symlink("f", at("src/a")).unwrap();
        fs::hard_link(at("src/a"), at("src/b")).unwrap();
        fs::write(at("dst/b"), "in the way").unwrap();
        fs::write(at("src/f"), "data").unwrap();
        fs::write(at("alt/f"), "old").unwrap();
        fs::set_permissions(at("alt/f"), fs::Permissions::from_mode(0o000)).unwrap();
        for name in ["src", "dst", "alt"] {
            unprivileged::give_away(&at(name));
        }
        let words = ["-rlpHi", "--no-whole-file", "--link-dest=../alt", "src/", "dst/"];
        let out = unprivileged::run_as_nobody(program, dir, &words);
        assert_eq!(
            out.stdout, "cL+++++++++ a -> f\nhL..Tp..... b => a\n>f+++++++++ f\n",
            "{program:?}: {out:?}"
        );
        let told = format!(
            "rsync: [generator] failed to open \"{}/dst/../alt/f\", continuing: Permission denied (13)\n",
            dir.display()
        );
        assert_eq!(out.stderr, told, "{program:?}");
    }
}

/// With one list, too, each name of a group that cannot be sent is followed by the next one, and what else there is comes.
/// Stock rsync as the receiver asks for the third behind the end, and the session ends with code 2 or 12.
#[test]
fn groups_that_cannot_be_read_do_not_end_the_session() {
    if !needs_root("files of another user") {
        return;
    }
    for server in [Program::Arsync, Program::Stock] {
        let bench = unprivileged::bench(Program::Arsync);
        let dir = bench.path();
        fs::create_dir(dir.join("src")).unwrap();
        fs::write(dir.join("src/a"), "closed").unwrap();
        for name in ["b", "c", "d"] {
            fs::hard_link(dir.join("src/a"), dir.join("src").join(name)).unwrap();
        }
        fs::write(dir.join("src/open"), "open").unwrap();
        fs::set_permissions(dir.join("src/a"), fs::Permissions::from_mode(0o0)).unwrap();
        unprivileged::give_away(&dir.join("src"));
        let shell = fake_shell(dir);
        let from = format!("h:{}/src/", dir.display());
        let remote = ["-e", shell.to_str().unwrap(), "--rsync-path", server.path()];
        let words = [&["-aH", "--no-inc-recursive"][..], &remote, &[&from, "dst/"]].concat();
        let out = unprivileged::run_as_nobody(Program::Arsync, dir, &words);
        assert_eq!(out.code, Some(23), "{server:?}: {out:?}");
        assert_eq!(out.stderr.matches("send_files failed to open").count(), 4, "{server:?}: {out:?}");
        assert_eq!(fs::read_to_string(dir.join("dst/open")).unwrap(), "open", "{server:?}");
    }
}

/// The names that waited for a file are compared with what has them in the working directory.
#[test]
fn a_dry_run_without_a_destination_looks_where_it_works() {
    for program in BOTH {
        let dir = source();
        let at = |name: &str| dir.path().join(name);
        fs::copy(at("s/a"), at("a")).unwrap();
        fs::create_dir(at("b")).unwrap();
        let out = run(program, dir.path(), &["-aHni", "s/", "new/"]);
        assert_eq!(files(&out), [">f+++++++++ c", "hf.stp..... b => c", "hf..t...... a => c"], "{program:?}");
        old(&at("a"));
        let out = run(program, dir.path(), &["-aHni", "--exclude=b", "s/", "new/"]);
        assert_eq!(files(&out), [">f+++++++++ c", "hf          a => c"], "{program:?}");
    }
}

/// Of the names of a file that a dry run would link to an alternate one, those in the leader's list and the first in the next
/// one are told the leader, all behind them the alternate's path.
#[test]
fn a_dry_run_names_the_alternate_of_a_leader() {
    for program in BOTH {
        let dir = source();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("s/t")).unwrap();
        for name in ["s/t/d", "s/t/e", "s/t/f"] {
            fs::hard_link(at("s/a"), at(name)).unwrap();
        }
        run(program, dir.path(), &["-aH", "s/", "alt/"]);
        for (dest, alternate) in [("d", "d/../alt"), ("new", "alt")] {
            let (dest, root) = (format!("{dest}/"), dir.path().display());
            let path = format!("{root}/{alternate}/a");
            let last = [format!("hf          t/e => {path}"), format!("hf          t/f => {path}")];
            let lines = ["hf          a", "hf          b => a", "hf          c => a", "hf          t/d => a"];
            let lines: Vec<&str> = lines.into_iter().chain(last.iter().map(|line| &**line)).collect();
            let out = run(program, dir.path(), &["-aHnii", "--link-dest=../alt", "s/", &dest]);
            assert_eq!(files(&out), lines, "{program:?} {dest}");
            let out = run(program, dir.path(), &["-aHnii", "--no-i-r", "--link-dest=../alt", "s/", &dest]);
            assert!(!out.stdout.contains("alt/a"), "{program:?} {dest}: {out:?}");
        }
    }
}

/// A dry run begins with the attributes of an alternate directory, where the directory would be.
#[test]
fn a_dry_run_looks_for_the_place_of_attributes() {
    for program in BOTH {
        for (way, code, why) in [
            ("nothing", 23, "No such file or directory (2)"),
            ("link", 23, "Too many levels of symbolic links (40)"),
            ("file", 0, ""),
        ] {
            let dir = source();
            let at = |name: &str| dir.path().join(name);
            fs::create_dir(at("s/t")).unwrap();
            set_xattr(&at("s/t"), b"value");
            run(Program::Stock, dir.path(), &["-aX", "s/", "alt/"]);
            match way {
                "link" => symlink("nowhere", at("d/t")).unwrap(),
                "file" => fs::write(at("d/t"), "x").unwrap(),
                _ => {}
            }
            let words = ["-anX", "--link-dest=../alt", "s/", "d/"];
            let out = peers::run(peers::command(program.path(), dir.path()).args(words));
            let told = format!("gen_entry_copy_xattrs: openat(\"{}\") failed: {why}\n", at("d/t").display());
            assert_eq!(out.code, Some(code), "{program:?} {way}: {out:?}");
            assert_eq!(out.stderr.contains(&told), code > 0, "{program:?} {way}: {out:?}");
        }
    }
}

/// What an alternate directory has is the same only if its attributes are.
#[test]
fn an_alternate_file_with_other_attributes_is_not_the_same() {
    for program in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("s")).unwrap();
        for (name, value) in [("equal", "one"), ("other", "one"), ("long", &"v".repeat(50))] {
            fs::write(at("s").join(name), name).unwrap();
            set_xattr(&at("s").join(name), value.as_bytes());
        }
        run(program, dir.path(), &["-aX", "s/", "alt/"]);
        set_xattr(&at("alt/other"), b"two");
        for (option, links) in
            [("--link-dest=../alt", 2), ("--compare-dest=../alt", 0), ("--copy-dest=../alt", 1)]
        {
            let out = run(program, dir.path(), &["-aXi", option, "s/", "d/"]);
            let nlink = |name: &str| fs::metadata(at("d").join(name)).map_or(0, |meta| meta.nlink());
            assert_eq!(
                ["equal", "long", "other"].map(nlink),
                [links, links, 1],
                "{program:?} {option}: {out:?}"
            );
            assert_eq!(xattr(&at("d/other")).as_deref(), Some(&b"one"[..]), "{program:?} {option}");
            fs::remove_dir_all(at("d")).unwrap();
        }
    }
}

/// With `--link-dest`, names of a group that are linked in the alternate directory too are nothing new, whatever they name.
#[test]
fn groups_of_an_alternate_directory_that_are_no_files() {
    if !needs_root("to make a device") {
        return;
    }
    for program in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("s")).unwrap();
        symlink("there", at("s/l1")).unwrap();
        for (name, kind, device) in
            [("s/p1", FileType::Fifo, 0), ("s/c1", FileType::CharacterDevice, makedev(1, 7))]
        {
            mknodat(CWD, at(name), kind, Mode::from_raw_mode(0o644), device).unwrap();
        }
        for (name, more) in [("s/l1", "s/l2"), ("s/p1", "s/p2"), ("s/c1", "s/c2")] {
            fs::hard_link(at(name), at(more)).unwrap();
        }
        run(Program::Stock, dir.path(), &["-aH", "s/", "alt"]);
        fs::hard_link(at("s/p1"), at("s/p3")).unwrap();
        let out = run(program, dir.path(), &["-aiiH", "--link-dest=../alt", "s/", "d"]);
        let lines: Vec<_> = out.stdout.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "hD          c1",
                "hD          c2 => c1",
                "hL          l1 -> there",
                "hL          l2 => l1",
                "hS          p1",
                "hS          p2 => p1",
                "hS+++++++++ p3 => p1",
            ],
            "{program:?}"
        );
    }
}

/// Of several directories to link to, the one counts that has a name as a link to what its leader was linked to.
#[test]
fn a_link_that_a_later_alternate_directory_has() {
    for program in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("s")).unwrap();
        fs::write(at("s/alpha"), "x").unwrap();
        fs::hard_link(at("s/alpha"), at("s/log")).unwrap();
        run(Program::Stock, dir.path(), &["-aH", "s/", "second"]);
        run(Program::Stock, dir.path(), &["-a", "s/log", "first/"]);
        let words = ["-aiiH", "--link-dest=../first", "--link-dest=../second", "s/", "d"];
        let out = run(program, dir.path(), &words);
        let lines: Vec<_> = out.stdout.lines().filter(|line| line.starts_with('h')).collect();
        assert_eq!(lines, ["hf          alpha", "hf          log => alpha"], "{program:?}");
    }
}

/// A dry run links nothing: a name is shown with the attributes that it has itself.
#[test]
fn a_dry_run_compares_the_attributes_of_each_name() {
    for program in BOTH {
        for (leader, name, told) in [
            (&b"1"[..], &b"1"[..], &["hf          b => a"][..]),
            (b"2", b"1", &[".f........x a", "hf          b => a"]),
            (b"1", b"2", &["hf........x b => a"]),
            (b"2", b"2", &[".f........x a", "hf........x b => a"]),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name);
            for side in ["s", "d"] {
                fs::create_dir(at(side)).unwrap();
                fs::write(dir.path().join(side).join("a"), "text").unwrap();
            }
            fs::hard_link(at("s/a"), at("s/b")).unwrap();
            fs::write(at("d/b"), "text").unwrap();
            for (path, value) in [("s/a", &b"1"[..]), ("d/a", leader), ("d/b", name)] {
                set_xattr(&at(path), value);
                old(&at(path));
            }
            let out = run(program, dir.path(), &["-rtHXin", "s/", "d/"]);
            let shown: Vec<_> = files(&out).into_iter().filter(|line| !line.contains(" ./")).collect();
            assert_eq!(shown, told, "{program:?}");
        }
    }
}
