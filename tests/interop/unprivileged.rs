//! Runs of a user without rights over files that forbid something, side by side with literal expectations.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown, symlink},
        process::CommandExt,
    },
    path::Path,
};

use crate::{
    needs::needs_root,
    peers::{self, Outcome, Program, fake_shell},
};

const BOTH: [Program; 2] = [Program::Stock, Program::Arsync];
/// Who is nobody, where these tests run as root.
const NOBODY: u32 = 65534;

/// A directory in which everybody may do everything, with a copy of the program that everybody may start.
pub(crate) fn bench(program: Program) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::copy(program.path(), dir.path().join("program")).unwrap_or_default();
    dir
}

/// Makes a file with a text of its own, and the directories that lead to it.
fn file(dir: &Path, name: &str) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, name).unwrap();
}

fn mode(dir: &Path, name: &str, bits: u32) {
    fs::set_permissions(dir.join(name), fs::Permissions::from_mode(bits)).unwrap();
}

pub(crate) fn give_away(path: &Path) {
    if fs::symlink_metadata(path).unwrap().is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give_away(&entry.unwrap().path()));
    }
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
}

/// Runs the program as a user who is not root, over files of that user.
pub(crate) fn run(program: Program, dir: &Path, words: &[&str]) -> Outcome {
    if rustix::process::geteuid().is_root() {
        for name in ["src", "dst"] {
            give_away(&dir.join(name));
        }
    }
    run_as_nobody(program, dir, words)
}

pub(crate) fn run_as_nobody(program: Program, dir: &Path, words: &[&str]) -> Outcome {
    let stock = matches!(program, Program::Stock);
    let path = if stock { program.path().into() } else { dir.join("program").into_os_string() };
    let mut command = peers::command(path, dir);
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let out = peers::run(command.args(words));
    assert!(!out.panicked(), "{words:?}: {out:?}");
    out
}

/// Its owner may write to what is removed, or becomes a backup, to make room: also where it stays in the end.
#[test]
fn what_is_in_the_way_is_opened_to_writing() {
    if !needs_root("files of another user") {
        return;
    }
    let mode_of = |dir: &Path, name: &str| fs::metadata(dir.join(name)).unwrap().mode() & 0o777;
    for program in BOTH {
        let bench = bench(program);
        let dir = bench.path();
        fs::create_dir_all(dir.join("src/sub")).unwrap();
        file(dir, "src/sub/x");
        file(dir, "dst/sub");
        mode(dir, "dst/sub", 0o444);
        let out = run(program, dir, &["-rtb", "src/", "dst/"]);
        assert_eq!((out.code, &*out.stderr), (Some(0), ""), "{program:?}: {out:?}");
        assert_eq!(mode_of(dir, "dst/sub~"), 0o644, "{program:?}");

        file(dir, "src/in/sub/x");
        file(dir, "dst/in/sub");
        mode(dir, "dst/in/sub", 0o444);
        give_away(&dir.join("dst"));
        chown(dir.join("dst/in"), Some(NOBODY - 1), None).unwrap();
        let out = run_as_nobody(program, dir, &["-r", "--no-i-r", "src/", "dst/"]);
        let told = "rsync: [generator] delete_file: unlink(in/sub) failed: Permission denied (13)\n\
                    could not make way for new directory: in/sub\n\
                    *** Skipping any contents from this failed directory ***\n";
        assert!(out.stderr.starts_with(told), "{program:?}: {out:?}");
        assert_eq!((out.code, mode_of(dir, "dst/in/sub")), (Some(23), 0o644), "{program:?}: {out:?}");
    }
}

/// A group that the receiver may not set has no number in its lines; a sender knows nothing of that.
#[test]
fn groups_of_which_one_is_no_member() {
    if !needs_root("files of another group") {
        return;
    }
    for program in BOTH {
        let bench = bench(program);
        let dir = bench.path();
        file(dir, "src/mine");
        file(dir, "src/root");
        give_away(&dir.join("src/mine"));
        let batch = ["-rg", "--out-format=%G %n", "--no-super", "--numeric-ids"];
        for (more, told) in [
            (["--write-batch=batch", "src/", "dst/"], "0 ./\n65534 mine\n0 root\n"),
            (["--read-batch=batch", "dst2/", "--"], "0 ./\nDEFAULT mine\n0 root\n"),
        ] {
            let words: Vec<_> = batch.into_iter().chain(more).collect();
            let out = peers::run(peers::command(program.path(), dir).args(words));
            assert_eq!((out.code, &*out.stdout), (Some(0), told), "{program:?}: {out:?}");
        }
    }
}

#[test]
fn what_cannot_be_looked_at_stops_deletions() {
    for program in BOTH {
        for (when, stays) in [("--delete-during", true), ("--delete-delay", false)] {
            let bench = bench(program);
            let dir = bench.path();
            for name in ["src/a/f", "dst/a/f", "dst/a/x", "dst/e/x"] {
                file(dir, name);
            }
            mode(dir, "dst/e", 0o444);
            let out = run(program, dir, &["-rt", when, "src/", "dst/"]);
            assert_eq!(out.code, Some(23), "{program:?} {when}: {out:?}");
            let place = dir.join("dst/e/x").display().to_string();
            let text =
                format!("rsync: [generator] readlink_stat(\"{place}\") failed: Permission denied (13)\n");
            assert!(out.stderr.contains(&text), "{program:?} {when}: {}", out.stderr);
            assert_eq!(dir.join("dst/a/x").exists(), stays, "{program:?} {when}");
        }
    }
}

/// What is read ahead of it does not count where it could not be entered then.
#[test]
fn a_directory_is_opened_before_it_is_looked_through() {
    for program in BOTH {
        let bench = bench(program);
        let dir = bench.path();
        for name in ["src/a/f", "dst/a/f", "dst/a/x"] {
            file(dir, name);
        }
        mode(dir, "dst/a", 0o644);
        let out = run(program, dir, &["-rp", "--delete", "src/", "dst/"]);
        assert_eq!((out.code, out.stderr.as_str()), (Some(0), ""), "{program:?}");
        assert!(!dir.join("dst/a/x").exists(), "{program:?}");
    }
}

#[test]
fn a_dry_run_tells_nothing_of_deletions_in_what_it_does_not_make() {
    for program in BOTH {
        for (words, told) in [(&["-rn", "--delete"][..], false), (&["-r", "--delete"], true)] {
            let bench = bench(program);
            let dir = bench.path();
            for name in ["src/a/f", "src/b/f", "dst/f"] {
                file(dir, name);
            }
            mode(dir, "src/a", 0);
            let out = run(program, dir, &[words, &["src/", "dst/"]].concat());
            let text = "IO error encountered -- skipping file deletion\n";
            assert_eq!(out.stdout.contains(text), told, "{program:?} {words:?}: {out:?}");
            mode(dir, "src/a", 0o755);
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_counts_as_new() {
    for program in BOTH {
        for (words, item) in
            [(&["-ci", "--no-W"][..], ">f+++++++++ f\n"), (&["-ci", "-W"], ">fcsT...... f\n")]
        {
            let bench = bench(program);
            let dir = bench.path();
            for name in ["src/f", "dst/f"] {
                file(dir, name);
            }
            fs::write(dir.join("src/f"), "longer than that").unwrap();
            mode(dir, "dst/f", 0o200);
            let out = run(program, dir, &[words, &["src/f", "dst/"]].concat());
            assert_eq!((out.code, out.stdout.as_str()), (Some(0), item), "{program:?} {words:?}: {out:?}");
        }
    }
}

/// What has to go may be written to before anybody looks whether it may go.
#[test]
fn what_the_limit_spares_was_opened_to_writing() {
    for program in BOTH {
        let bench = bench(program);
        let dir = bench.path();
        for name in ["src/f", "dst/f", "dst/x"] {
            file(dir, name);
        }
        mode(dir, "dst/x", 0o400);
        let out = run(program, dir, &["-r", "--delete", "--max-delete=0", "src/", "dst/"]);
        assert_eq!(out.code, Some(25), "{program:?}: {out:?}");
        assert_eq!(fs::metadata(dir.join("dst/x")).unwrap().mode() & 0o7777, 0o600, "{program:?}");
    }
}

/// Deletions that an error of the sender stops: told where there is a directory to delete from.
#[test]
fn deletions_before_there_is_a_directory() {
    for program in BOTH {
        for (when, made, told) in [
            ("--delete-before", false, ""),
            ("--delete-before", true, "IO error encountered -- skipping file deletion\n"),
            ("--delete-after", false, "IO error encountered -- skipping file deletion\n"),
        ] {
            let dir = bench(program);
            file(dir.path(), "src/shut/f");
            file(dir.path(), "dst/src/f");
            if !made {
                fs::remove_dir_all(dir.path().join("dst/src")).unwrap();
            }
            mode(dir.path(), "src/shut", 0);
            let out = run(program, dir.path(), &["-r", when, "src", "dst/"]);
            mode(dir.path(), "src/shut", 0o700);
            assert_eq!(
                (out.code, out.stdout.as_str()),
                (Some(23), told),
                "{program:?} {when} {made}: {out:?}"
            );
        }
    }
}

/// In a directory that cannot be made nothing is deleted, and nothing is said about that.
#[test]
fn a_directory_that_cannot_be_made_is_not_looked_through() {
    if !needs_root("whoever owns the destination could open it") {
        return;
    }
    for program in BOTH {
        let dir = bench(program);
        for name in ["src/closed/f", "dst/x", "theirs/x"] {
            file(dir.path(), name);
        }
        mode(dir.path(), "src/closed", 0o111);
        mode(dir.path(), "theirs", 0o755);
        let out = run(program, dir.path(), &["-rv", "--delete", "src/", "theirs/"]);
        assert_eq!(out.code, Some(23), "{program:?}: {out:?}");
        assert!(out.stderr.contains("*** Skipping any contents from this failed directory ***"), "{out:?}");
        assert!(!out.stdout.contains("skipping file deletion"), "{program:?}: {out:?}");
    }
}

/// What cannot be looked at goes if it is empty.
#[test]
fn directories_that_cannot_be_looked_through_are_deleted_if_they_are_empty() {
    for program in BOTH {
        for (words, told) in [
            (
                &["-ain", "--delete"][..],
                "*deleting   shut/\n*deleting   full/\n*deleting   a/shut/\n*deleting   a/\n",
            ),
            (
                &["-ai", "--delete"],
                "*deleting   shut/\ncannot delete non-empty directory: full\n*deleting   a/shut/\n*deleting   a/\n",
            ),
        ] {
            let bench = bench(program);
            let dir = bench.path();
            for name in ["src/", "dst/shut/", "dst/a/shut/"] {
                fs::create_dir_all(dir.join(name)).unwrap();
            }
            file(dir, "dst/full/f");
            for name in ["dst/shut", "dst/a/shut", "dst/full"] {
                mode(dir, name, 0o200);
            }
            let out = run(program, dir, &[words, &["--omit-dir-times", "src/", "dst/"]].concat());
            assert_eq!((out.code, out.stdout.as_str()), (Some(23), told), "{program:?} {words:?}: {out:?}");
            assert!(dir.join("dst/full").exists(), "{program:?} {words:?}");
        }
    }
}

/// A directory that comes alone and takes the name of the destination has nothing to be opened for.
#[test]
fn a_lone_directory_under_a_new_name_is_as_closed_as_its_source() {
    for program in BOTH {
        let bench = bench(program);
        let dir = bench.path();
        file(dir, "src/one/f");
        fs::create_dir(dir.join("dst")).unwrap();
        mode(dir, "src/one", 0o200);
        let out = run(program, dir, &["-rp", "--delete", "src/one", "dst/other"]);
        let told = "IO error encountered -- skipping file deletion\n";
        assert_eq!((out.code, out.stdout.as_str()), (Some(23), told), "{program:?}: {out:?}");
        let made = fs::metadata(dir.join("dst/other")).unwrap();
        assert_eq!(made.mode() & 0o7777, 0o200, "{program:?}");
    }
}

/// A lone directory that takes the name of the destination is new: there is nothing to delete from, but for the
/// reference while it goes on.
#[test]
fn a_closed_source_stops_the_deletions_of_a_new_destination() {
    for program in BOTH {
        for (words, told) in
            [(&["--delete"][..], true), (&["--delete-before"], false), (&["-n", "--delete"], false)]
        {
            let bench = bench(program);
            file(bench.path(), "src/f");
            file(bench.path(), "dst/f");
            mode(bench.path(), "src", 0o300);
            let out = run(program, bench.path(), &[&["-r"], words, &["src/", "new"]].concat());
            assert_eq!(out.code, Some(23), "{program:?} {words:?}: {out:?}");
            let text = "IO error encountered -- skipping file deletion\n";
            assert_eq!(out.stdout.contains(text), told, "{program:?} {words:?}: {out:?}");
            mode(bench.path(), "src", 0o700);
        }
    }
}

/// `-K` looks behind symlinks, not into directories that their owner has closed.
#[test]
fn a_closed_directory_gets_its_time_where_links_to_directories_are_kept() {
    for program in BOTH {
        let bench = bench(program);
        let dir = bench.path();
        for name in ["src/d/f", "dst/d/f"] {
            file(dir, name);
        }
        let year = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        fs::File::open(dir.join("src/d")).unwrap().set_modified(year).unwrap();
        for name in ["src/d", "dst/d"] {
            mode(dir, name, 0o400);
        }
        let out = run(program, dir, &["-rltK", "src/", "dst/"]);
        assert_eq!(fs::metadata(dir.join("dst/d")).unwrap().mtime(), 1_000_000_000, "{program:?}: {out:?}");
        assert!(!out.stderr.contains("failed to set"), "{program:?}: {out:?}");
        for name in ["src/d", "dst/d"] {
            mode(dir, name, 0o700);
        }
    }
}

#[test]
fn an_alternate_directory_that_cannot_be_listed() {
    for program in BOTH {
        let bench = bench(program);
        let dir = bench.path();
        for name in ["src/f", "dst/alt/g"] {
            file(dir, name);
        }
        mode(dir, "dst/alt", 0o300);
        let out = run(program, dir, &["-ryy", "--compare-dest=alt", "src/", "dst/"]);
        let text = format!("rsync: [generator] opendir \"{}", dir.join("dst/alt").display());
        assert!(out.stderr.starts_with(&text), "{program:?}: {out:?}");
        assert_eq!(out.code, Some(23), "{program:?}: {out:?}");
        mode(dir, "dst/alt", 0o700);
    }
}

/// What `--fake-super` keeps of a file that is closed to its owner.
#[test]
fn a_closed_file_is_opened_for_what_it_stands_for() {
    for program in BOTH {
        let bench = bench(program);
        let dir = bench.path();
        for name in ["src/f", "dst/f"] {
            file(dir, name);
            fs::write(dir.join(name), "same").unwrap();
            mode(dir, name, 0o100);
        }
        let out = run(program, dir, &["-a", "--size-only", "--fake-super", "--usermap=*:7", "src/", "dst/"]);
        let mut value = [0; 100];
        let len = rustix::fs::getxattr(dir.join("dst/f"), "user.rsync.%stat", &mut value[..]).unwrap_or(0);
        let text = String::from_utf8_lossy(&value[..len]);
        assert!(text.starts_with("100100 0,0 7:"), "{program:?}: {text} {out:?}");
    }
}

/// A sender counts what it sends, also where that cannot be put. Only root has a directory of another user.
#[test]
fn data_that_has_no_place_is_counted() {
    if !needs_root("a directory of another user") {
        return;
    }
    for program in BOTH {
        let dir = bench(program);
        file(dir.path(), "src/a");
        file(dir.path(), "src/b");
        fs::create_dir(dir.path().join("dst")).unwrap();
        fs::write(dir.path().join("dst/b"), "other text").unwrap();
        let out = run_as_nobody(program, dir.path(), &["-r", "--stats", "src/", "dst/"]);
        assert_eq!(out.code, Some(23), "{program:?}: {out:?}");
        assert!(out.stdout.contains("\nLiteral data: 10 bytes\n"), "{program:?}: {out:?}");
    }
}

/// Nothing is said to be up to date whose attributes could not be set. Only root has files of two users.
#[test]
fn what_could_not_be_set_is_not_up_to_date() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for program in BOTH {
        let bench = bench(program);
        let dir = bench.path();
        for name in ["f", "g"] {
            for side in ["src", "dst"] {
                let path = dir.join(side).join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, "same").unwrap();
                mode(dir, &format!("{side}/{name}"), 0o644);
            }
        }
        mode(dir, "dst/f", 0o600);
        let out = run_as_nobody(program, dir, &["-rp", "--size-only", "--info=name2", "src/", "dst/"]);
        assert_eq!((&*out.stdout, out.code), ("g is uptodate\n", Some(23)), "{program:?}: {out:?}");
        let text = format!("[generator] failed to set permissions on \"{}\"", dir.join("dst/f").display());
        assert!(out.stderr.contains(&text), "{program:?}: {out:?}");
    }
}

/// A directory that cannot be read stops deletions from its own place on: its list brings the error. Where links are looked
/// for ahead, it is heard of before.
#[test]
fn an_unreadable_directory_stops_what_comes_behind_it() {
    for program in BOTH {
        for (option, kept) in
            [("-r", &["b/x", "c/d/x", "c/x"][..]), ("-rH", &["a/x", "b/x", "c/d/x", "c/x", "x"])]
        {
            for local in [true, false] {
                let bench = bench(program);
                let dir = bench.path();
                for name in ["f", "a/f", "b/f", "c/f", "c/d/f"] {
                    file(dir, &format!("src/{name}"));
                    file(dir, &format!("dst/{name}").replace('f', "x"));
                }
                mode(dir, "src/b", 0);
                let shell = fake_shell(dir).display().to_string();
                let stock = matches!(program, Program::Stock);
                let path = if stock { program.path().into() } else { dir.join("program") };
                let path = format!("--rsync-path={}", path.display());
                let from = format!("h:{}/src/", dir.display());
                let words = match local {
                    true => vec![option, "--delete", "src/", "dst/"],
                    false => vec![option, "--delete", "-e", &shell, &path, &from, "dst/"],
                };
                let out = run(program, dir, &words);
                assert_eq!(out.code, Some(23), "{program:?} {words:?}: {out:?}");
                let found = ["a/x", "b/x", "c/d/x", "c/x", "x"];
                let found: Vec<_> = found.into_iter().filter(|x| dir.join("dst").join(x).exists()).collect();
                assert_eq!(found, kept, "{program:?} {words:?}: {out:?}");
            }
        }
    }
}

/// `--mkpath` makes what leads to a destination, or says why not; without it the destination cannot be looked at.
#[test]
fn a_path_to_the_destination_that_cannot_be_made() {
    if !needs_root("files of another user") {
        return;
    }
    for program in BOTH {
        let bench = bench(program);
        let dir = bench.path();
        file(dir, "src/f");
        file(dir, "shut/f");
        mode(dir, "shut", 0o700);
        let place = |name: &str| dir.join(name).display().to_string();
        for (words, code, told) in [
            (["-r", "--mkpath", "src/", "shut/x/y"], 11, format!("mkdir \"{}\" failed", place("shut/x/y"))),
            (
                ["-r", "--mkpath", "src/", "src/f/y"],
                11,
                format!("mkdir \"{}\" failed: Not a dir", place("src/f/y")),
            ),
            (
                ["-r", "--mkpath", "src/f", "shut/x"],
                3,
                format!("ERROR: cannot stat destination \"{}\"", place("shut/x")),
            ),
            (
                ["-r", "--no-mkpath", "src/", "./shut/x/"],
                3,
                format!("ERROR: cannot stat destination \"{}\"", place("./shut/x/")),
            ),
        ] {
            let out = run_as_nobody(program, dir, &words);
            assert_eq!(out.code, Some(code), "{program:?} {words:?}: {out:?}");
            assert!(out.stderr.contains(&told), "{program:?} {words:?}: {out:?}");
        }
    }
}

/// Below protocol 29 a directory is named when its attributes were set: not where they could not be.
#[test]
fn directories_that_cannot_be_changed_are_not_named() {
    if !needs_root("files of another user") {
        return;
    }
    for program in BOTH {
        let bench = bench(program);
        let dir = bench.path();
        file(dir, "src/s/f");
        fs::create_dir_all(dir.join("dst/s")).unwrap();
        give_away(&dir.join("src"));
        for name in ["dst", "dst/s"] {
            mode(dir, name, 0o777);
        }
        let out = run_as_nobody(program, dir, &["-rtgv", "--protocol=28", "src/", "dst/"]);
        assert_eq!(out.code, Some(23), "{program:?}: {out:?}");
        let named: Vec<_> =
            out.stdout.lines().filter(|line| line.contains('/') && !line.contains(' ')).collect();
        assert_eq!(named, ["s/f"], "{program:?}: {out:?}");
    }
}

/// A new directory has the set-group-ID bit of the one around it, unless it must be closed to its owner again at the end.
#[test]
fn closed_directories_lose_what_was_handed_down() {
    for program in BOTH {
        let bench = bench(program);
        let dir = bench.path();
        for name in ["src/closed", "src/open", "dst"] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        mode(dir, "src/closed", 0o500);
        mode(dir, "dst", 0o2755);
        let out = run(program, dir, &["-r", "src/", "dst/"]);
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        let modes =
            ["closed", "open"].map(|name| fs::metadata(dir.join("dst").join(name)).unwrap().mode() & 0o7777);
        assert_eq!(modes, [0o500, 0o2755], "{program:?}");
    }
}

/// What the transfer itself has done to the time of somebody else's directory is no failure; another time is.
#[test]
fn times_of_directories_of_others() {
    if !needs_root("files of another user") {
        return;
    }
    for program in BOTH {
        for (day, code, told) in [("2020-01-01", 0, 0), ("2020-01-02", 23, 1)] {
            let bench = bench(program);
            let dir = bench.path();
            file(dir, "src/d/f");
            fs::create_dir_all(dir.join("dst/d")).unwrap();
            mode(dir, "dst/d", 0o777);
            for (name, day) in [("src/d", "2020-01-01"), ("dst/d", day)] {
                mode(dir, name, 0o777);
                let status =
                    std::process::Command::new("touch").args(["-d", day]).arg(dir.join(name)).status();
                assert!(status.unwrap().success());
            }
            let out = run_as_nobody(program, dir, &["-rt", "src/d", "dst/"]);
            let failures = out.stderr.matches("failed to set times on").count();
            assert_eq!((out.code, failures), (Some(code), told), "{program:?}: {out:?}");
            assert!(dir.join("dst/d/f").exists(), "{program:?}");
        }
    }
}

/// A file of another user that is written in place is as new as that, though no byte of it has changed.
#[test]
fn files_of_others_are_as_new_as_the_transfer() {
    if !needs_root("files of another user") {
        return;
    }
    for program in BOTH {
        let bench = bench(program);
        let dir = bench.path();
        for name in ["src/f", "dst/f"] {
            file(dir, name);
            fs::write(dir.join(name), "equal").unwrap();
        }
        mode(dir, "dst/f", 0o666);
        let touch = |name: &str, day: &str| {
            let status = std::process::Command::new("touch").args(["-d", day]).arg(dir.join(name)).status();
            assert!(status.unwrap().success());
        };
        touch("src/f", "2020-01-01");
        touch("dst/f", "2020-01-02");
        let shell = fake_shell(dir);
        let remote = if matches!(program, Program::Stock) { program.path() } else { "./program" };
        let from = format!("host:{}/src/f", dir.display());
        let words =
            ["-rt", "--inplace", "--no-whole-file", "-e", shell.to_str().unwrap(), "--rsync-path", remote];
        let words = [&words[..], &[&from, "dst/f"]].concat();
        let out = run_as_nobody(program, dir, &words);
        let text = "rsync: [receiver] failed to set times on \"";
        assert!(out.code == Some(23) && out.stderr.contains(text), "{program:?}: {out:?}");
        let set = fs::metadata(dir.join("dst/f")).unwrap().modified().unwrap();
        let age = set.elapsed().unwrap_or_default();
        assert!(age.as_secs() < 3600, "{program:?}: {age:?}");
        // Where it can be set, it has the source's: also where it had that before.
        touch("dst/f", "2020-01-01");
        let again = [&["-I"], &words[..]].concat();
        let out = peers::run(peers::command(program.path(), dir).args(again));
        let times = ["src/f", "dst/f"].map(|name| fs::metadata(dir.join(name)).unwrap().mtime());
        assert_eq!((out.code, times[0]), (Some(0), times[1]), "{program:?}: {out:?}");
    }
}

/// Without `-p` a file has the permissions of the one whose place it takes, or of which it is made, as far as that can be read.
#[test]
fn files_that_cannot_be_read_lend_no_permissions() {
    if !needs_root("files of another user") {
        return;
    }
    for program in BOTH {
        for (others, expected) in [(0o711, 0o644), (0o715, 0o715)] {
            let bench = bench(program);
            let dir = bench.path();
            for name in ["src/same", "src/like.c", "dst/same", "dst/like1.c"] {
                file(dir, name);
                mode(dir, name, if name.starts_with("dst") { others } else { 0o644 });
            }
            mode(dir, "dst", 0o777);
            let out = run_as_nobody(program, dir, &["-rIy", "--whole-file", "src/", "dst/"]);
            assert_eq!((out.code, out.stderr.as_str()), (Some(0), ""), "{program:?}");
            for name in ["dst/same", "dst/like.c"] {
                let got = fs::metadata(dir.join(name)).unwrap().mode() & 0o7777;
                assert_eq!(got, expected, "{program:?} {name} {others:o}");
            }
        }
    }
}

/// A copy that becomes the backup, of a file whose group may not be set, is for its owner alone; so is what is made from it.
#[test]
fn copies_of_a_foreign_group_are_private() {
    if !needs_root("files of another group") {
        return;
    }
    for program in BOTH {
        for (option, bits) in [("--no-whole-file", 0o600), ("--whole-file", 0o640)] {
            let bench = bench(program);
            let dir = bench.path();
            file(dir, "src/f");
            fs::create_dir(dir.join("dst")).unwrap();
            fs::write(dir.join("dst/f"), "old").unwrap();
            for name in ["src", "dst"] {
                give_away(&dir.join(name));
            }
            chown(dir.join("dst/f"), None, Some(3)).unwrap();
            mode(dir, "dst/f", 0o640);
            let out = run_as_nobody(program, dir, &["-rg", "--inplace", "-b", option, "src/", "dst/"]);
            assert_eq!(out.code, Some(23), "{program:?}: {out:?}");
            let line = format!(
                "rsync: [generator] chgrp \"{}/dst/f~\" failed: Operation not permitted (1)\n",
                dir.display()
            );
            assert!(out.stderr.contains(&line), "{program:?}: {out:?}");
            let modes =
                ["f", "f~"].map(|name| fs::metadata(dir.join("dst").join(name)).unwrap().mode() & 0o7777);
            assert_eq!(modes, [bits, 0o600], "{program:?} {option}");
        }
    }
}

/// What an alternate directory makes superfluous and cannot be removed is transferred; its source stays.
#[test]
fn what_cannot_make_way_for_an_alternate_is_transferred() {
    if !needs_root("a directory of another user") {
        return;
    }
    for program in BOTH {
        for option in ["--link-dest=../alt", "--compare-dest=../alt"] {
            let bench = bench(program);
            let dir = bench.path();
            file(dir, "src/f");
            fs::create_dir_all(dir.join("alt")).unwrap();
            fs::create_dir_all(dir.join("dst")).unwrap();
            fs::write(dir.join("dst/f"), "another text").unwrap();
            fs::write(dir.join("alt/f"), "src/f").unwrap();
            let time = fs::metadata(dir.join("src/f")).unwrap().modified().unwrap();
            fs::File::options().write(true).open(dir.join("alt/f")).unwrap().set_modified(time).unwrap();
            give_away(&dir.join("src"));
            let words = ["-rti", "--remove-source-files", option, "src/", "dst/"];
            let out = run_as_nobody(program, dir, &words);
            assert_eq!(out.code, Some(23), "{program:?}: {out:?}");
            assert!(out.stdout.contains(">f.s") && out.stdout.contains(" f\n"), "{program:?}: {out:?}");
            let told: Vec<_> = out.stderr.lines().filter(|line| line.contains("denied")).collect();
            assert!(matches!(told[..], [line] if line.contains("mkstemp")), "{program:?}: {out:?}");
            assert!(dir.join("src/f").exists(), "{program:?} {option}");
        }
    }
}

/// What a line of an error says of which name, without what is chance.
fn fault(line: &str) -> Option<String> {
    let (words, path) = line.strip_prefix("rsync: [")?.split_once("] ")?.1.split_once(" \"")?;
    let name = path.split('"').next()?.rsplit('/').next()?;
    let name = if words == "mkstemp" { name.trim_start_matches('.').split('.').next()? } else { name };
    Some(format!("{} {name}", words.trim_start_matches("recv_generator: ")))
}

/// A name that cannot be looked at may be in an alternate directory, or not be wanted; for `--existing` it is not missing.
#[test]
fn a_name_that_cannot_be_looked_at_is_looked_for_elsewhere() {
    if !needs_root("a directory of another user") {
        return;
    }
    let alone =
        ["symlink link", "failed to stat equal", "failed to stat none", "failed to stat other", "mkdir sub"];
    let compared = ["symlink link", "failed to stat none", "mkdir sub", "mkstemp other"];
    let copied = [
        "mkstemp equal",
        "symlink link",
        "failed to stat equal",
        "failed to stat none",
        "mkdir sub",
        "mkstemp other",
    ];
    let (sub, both) = (["cd+++++++++ t/sub/"], [">f..t...... t/other", "cd+++++++++ t/sub/"]);
    for program in BOTH {
        for (option, faults, items) in [
            ("--no-W", &alone[..], &sub[..]),
            ("--existing", &alone, &sub),
            ("--max-size=1", &["symlink link", "mkdir sub"], &sub),
            ("--compare-dest=../alt", &compared, &both),
            ("--copy-dest=../alt", &copied, &both),
        ] {
            let bench = bench(program);
            let dir = bench.path();
            for name in ["src/t/equal", "src/t/none", "src/t/other", "alt/t/equal", "alt/t/other"] {
                file(dir, name);
                fs::write(dir.join(name), "text").unwrap();
                let age = if name == "alt/t/other" { 2000 } else { 1000 };
                let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(age);
                fs::File::options().write(true).open(dir.join(name)).unwrap().set_modified(time).unwrap();
            }
            fs::create_dir(dir.join("src/t/sub")).unwrap();
            ["src", "alt"].iter().for_each(|name| give_away(&dir.join(name)));
            symlink("nowhere", dir.join("src/t/link")).unwrap();
            fs::create_dir_all(dir.join("dst/t")).unwrap();
            mode(dir, "dst/t", 0o700);
            let out = run_as_nobody(program, dir, &["-rltiO", option, "src/", "dst/"]);
            let sorted = |mut lines: Vec<String>| {
                lines.sort();
                lines
            };
            let told = sorted(out.stderr.lines().filter_map(fault).collect());
            let expected = sorted(faults.iter().map(ToString::to_string).collect());
            assert_eq!(told, expected, "{program:?} {option}: {out:?}");
            let shown = sorted(out.stdout.lines().map(ToOwned::to_owned).collect());
            assert_eq!(
                (out.code, shown),
                (Some(23), items.iter().map(ToString::to_string).collect()),
                "{program:?} {option}"
            );
        }
    }
}

/// A group that cannot be set takes no set-id bits away, and is shown as what differs.
#[test]
fn a_group_of_a_set_id_file_that_cannot_be_set_is_told() {
    if !needs_root("files of another user") {
        return;
    }
    for program in BOTH {
        let dir = bench(program);
        for root in ["src", "dst"] {
            file(dir.path(), &format!("{root}/f"));
            fs::write(dir.path().join(root).join("f"), "x").unwrap();
            fs::File::open(dir.path().join(root).join("f"))
                .unwrap()
                .set_modified(std::time::UNIX_EPOCH)
                .unwrap();
        }
        give_away(&dir.path().join("src"));
        give_away(&dir.path().join("dst"));
        chown(dir.path().join("dst/f"), Some(4_000_001), Some(4_000_001)).unwrap();
        for root in ["src", "dst"] {
            mode(dir.path(), &format!("{root}/f"), 0o4755);
        }
        let out = run_as_nobody(program, dir.path(), &["-ai", "src/f", "dst/"]);
        assert_eq!((out.code, &*out.stdout), (Some(23), ".f.....g... f\n"), "{program:?}: {out:?}");
    }
}

/// What belongs to somebody else and to another group: nothing is set behind the group, the ACL neither, and so the
/// permissions stay what is told.
#[test]
fn permissions_are_told_where_no_acl_brought_them() {
    if !needs_root("files of another group") {
        return;
    }
    /// As `setfacl` writes `u::7,u:1:7,g::4,m::4,o::4`.
    const ACL: &[u8] =
        b"\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x02\0\x07\0\x01\0\0\0\x04\0\x04\0\xff\xff\xff\xff\
                         \x10\0\x04\0\xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff";
    for program in BOTH {
        for (group, told) in [(0, ".f...p.g.a. f"), (NOBODY, ".f...p...a. f")] {
            let (bench, dir) = foreign(program, 0o664, group);
            let file = dir.join("dst/f");
            rustix::fs::setxattr(&file, "system.posix_acl_access", ACL, rustix::fs::XattrFlags::empty())
                .unwrap();
            let out = run_as_nobody(program, &dir, &["-aAi", "src/f", "dst/"]);
            assert_eq!((out.code, &*out.stdout), (Some(23), &*format!("{told}\n")), "{program:?}: {out:?}");
            drop(bench);
        }
    }
}

/// `--fake-super` does not try the permissions of what it cannot describe. That nothing is to be described is tried too.
#[test]
fn fake_super_leaves_files_of_others_alone() {
    if !needs_root("files of another user") {
        return;
    }
    const WRITE: &str = "failed to write xattr user.rsync.%stat for";
    for program in BOTH {
        for (words, bits, told) in
            [("-ai", 0o640, ".f...pog... f"), ("-rtpi", 0o640, ".f...p..... f"), ("-rti", 0o644, "")]
        {
            let (bench, dir) = foreign(program, bits, 0);
            let out = run_as_nobody(program, &dir, &[words, "--fake-super", "src/f", "dst/"]);
            let lines: Vec<_> = out.stdout.lines().collect();
            let shown: Vec<_> = Some(told).filter(|told| !told.is_empty()).into_iter().collect();
            assert_eq!((out.code, lines), (Some(23), shown), "{program:?} {words}: {out:?}");
            let line =
                format!("rsync: [generator] {WRITE} \"{}/dst/f\": Permission denied (13)", dir.display());
            assert!(out.stderr.contains(&line), "{program:?} {words}: {out:?}");
            assert!(!out.stderr.contains("set permissions"), "{program:?} {words}: {out:?}");
            drop(bench);
        }
    }
}

/// `src/f` of nobody with these permissions, and the same with 0644 at the destination, of somebody else.
fn foreign(program: Program, bits: u32, group: u32) -> (tempfile::TempDir, std::path::PathBuf) {
    let bench = bench(program);
    let dir = bench.path().to_owned();
    for name in ["src/f", "dst/f"] {
        fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
        fs::write(dir.join(name), "text").unwrap();
        mode(&dir, name, 0o644);
    }
    let time = fs::metadata(dir.join("dst/f")).unwrap().modified().unwrap();
    fs::File::options().write(true).open(dir.join("src/f")).unwrap().set_modified(time).unwrap();
    mode(&dir, "src/f", bits);
    give_away(&dir.join("src"));
    chown(dir.join("dst"), Some(NOBODY), Some(NOBODY)).unwrap();
    chown(dir.join("dst/f"), Some(NOBODY - 1), Some(group)).unwrap();
    (bench, dir)
}

/// Below protocol 29 a directory is named whose permissions change, also to such as are taken away at the end.
#[test]
fn directories_that_are_closed_at_the_end_are_named_by_old_protocols() {
    for program in BOTH {
        for (before, named) in [(0o755, true), (0o555, false)] {
            let bench = bench(program);
            let dir = bench.path();
            file(dir, "src/f");
            file(dir, "dst/f");
            mode(dir, "src", 0o555);
            mode(dir, "dst", before);
            let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
            for name in ["src", "dst"] {
                fs::File::open(dir.join(name)).unwrap().set_modified(time).unwrap();
            }
            let words = ["-rptIv", "--protocol=28", "--inplace", "src/", "dst/"];
            let out = run(program, dir, &words);
            let is_named = out.stdout.lines().any(|line| line == "./");
            assert_eq!((out.code, is_named), (Some(0), named), "{program:?} {before:o}: {out:?}");
            assert_eq!(fs::metadata(dir.join("dst")).unwrap().mode() & 0o777, 0o555, "{program:?}");
            mode(dir, "src", 0o755);
            mode(dir, "dst", 0o755);
        }
    }
}
