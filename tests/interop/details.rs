//! Details of both programs, side by side with literal expectations: what random comparisons have found.

use std::{
    ffi::CString,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::Path,
};

use crate::{
    needs::needs_root,
    peers::{self, Outcome, Program, fake_shell},
};

pub(crate) const BOTH: [Program; 2] = [Program::Stock, Program::Arsync];

pub(crate) fn run(program: Program, dir: &Path, words: &[&str]) -> Outcome {
    let out = peers::run(peers::command(program.path(), dir).args(words));
    assert!(!out.panicked(), "{words:?}: {out:?}");
    out
}

/// A directory with these directories and files (`name` or `name=text`), all of 2020.
pub(crate) fn tree(dirs: &[&str], files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in dirs {
        fs::create_dir_all(at(name)).unwrap();
    }
    for file in files {
        let (name, text) = file.split_once('=').unwrap_or((file, ""));
        fs::write(at(name), text).unwrap();
        old(&at(name));
    }
    for name in dirs.iter().rev() {
        old(&at(name));
    }
    dir
}

pub(crate) fn old(path: &Path) {
    touch(path, &["-h", "-d", "2020-01-01"]);
}

pub(crate) fn touch(path: &Path, words: &[&str]) {
    let status = std::process::Command::new("touch").args(words).arg(path).status();
    assert!(status.unwrap().success());
}

/// The names in a directory, sorted.
pub(crate) fn children(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

pub(crate) fn set_xattr(path: &Path, value: &[u8]) {
    let name = CString::new(path.as_os_str().as_bytes()).unwrap();
    rustix::fs::setxattr(&name, "user.a", value, rustix::fs::XattrFlags::empty())
        .unwrap_or_else(|e| panic!("extended attributes are needed at {}: {e}", path.display()));
}

pub(crate) fn xattr(path: &Path) -> Option<Vec<u8>> {
    let name = CString::new(path.as_os_str().as_bytes()).unwrap();
    let mut value = vec![0; 100];
    let len = rustix::fs::getxattr(&name, "user.a", &mut value[..]).ok()?;
    value.truncate(len);
    Some(value)
}

#[test]
fn a_replay_sets_attributes_of_directories_that_it_has_made() {
    for value in [&b"short"[..], &[b'v'; 50]] {
        let dir = tree(&["s/d"], &["s/d/f=x"]);
        set_xattr(&dir.path().join("s/d"), value);
        let written = run(Program::Stock, dir.path(), &["-aX", "--write-batch=batch", "s/", "one/"]);
        assert_eq!(written.code, Some(0), "{written:?}");
        let read = run(Program::Arsync, dir.path(), &["-aX", "--read-batch=batch", "two/"]);
        assert_eq!((read.code, read.stderr.as_str()), (Some(0), ""));
        assert_eq!(xattr(&dir.path().join("two/d")).as_deref(), Some(value));
    }
}

/// A link has its leader's attributes, so their values need not come again: a reader of the batch does not expect them.
#[test]
fn attributes_of_links_are_those_of_the_leader() {
    let value = [b'v'; 64];
    for program in BOTH {
        let dir = tree(&["s/t", "one/t", "two"], &["s/a=x", "one/a=y", "one/t/b=z", "two/a=y"]);
        let at = |name: &str| dir.path().join(name);
        for name in ["s/a", "one/a", "two/a"] {
            set_xattr(&at(name), &value);
        }
        for name in ["s/t/b", "s/t/c"] {
            fs::hard_link(at("s/a"), at(name)).unwrap();
        }
        let words = ["-aHXIi", "--write-batch=batch", "s/", "one/"];
        let written = run(program, dir.path(), &words);
        let mut items: Vec<&str> = written.stdout.lines().filter(|line| line.contains(" => ")).collect();
        items.sort_unstable();
        assert_eq!(items, ["hf          t/b => a", "hf+++++++++ t/c => a"], "{program:?}: {written:?}");
        for reader in BOTH {
            fs::remove_dir_all(at("two/t")).unwrap_or_default();
            let read = run(reader, dir.path(), &["-aHX", "--read-batch=batch", "two/"]);
            assert_eq!((read.code, read.stderr.as_str()), (Some(0), ""), "{program:?} {reader:?}");
            assert_eq!(xattr(&at("two/t/b")).as_deref(), Some(&value[..]), "{program:?} {reader:?}");
        }
    }
}

/// The value that the replaced `a` has is not recorded for the new `b`, which has the same attributes.
/// What a symlink is followed to comes without attributes: the symlink itself is asked for them.
#[test]
fn attributes_of_what_symlinks_lead_to_stay_behind() {
    for program in BOTH {
        for words in ["-rXL", "-rlXk"] {
            let dir = tree(&["src/e"], &["src/f=text"]);
            for (target, link) in [("f", "src/file"), ("e", "src/dir")] {
                symlink(target, dir.path().join(link)).unwrap();
                set_xattr(&dir.path().join("src").join(target), b"1");
            }
            let out = run(program, dir.path(), &[words, "src/", "dst/"]);
            assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
            let found = ["f", "e", "file", "dir"].map(|name| xattr(&dir.path().join("dst").join(name)));
            let value = || Some(b"1".to_vec());
            let through_link = if words == "-rlXk" { value() } else { None };
            assert_eq!(found, [value(), value(), through_link, None], "{program:?} {words}");
        }
    }
}

#[test]
fn values_that_a_replaced_file_has_are_not_recorded() {
    let value = [b'v'; 64];
    for writer in BOTH {
        for reader in BOTH {
            let dir = tree(&["s", "one", "two"], &["s/a=x", "s/b=x", "one/a=y", "two/a=y"]);
            let at = |name: &str| dir.path().join(name);
            for name in ["s/a", "s/b", "one/a", "two/a"] {
                set_xattr(&at(name), &value);
            }
            let written = run(writer, dir.path(), &["-aIX", "--write-batch=batch", "s/", "one/"]);
            assert_eq!(written.code, Some(0), "{writer:?}: {written:?}");
            let batch = fs::read(at("batch")).unwrap();
            assert!(!batch.windows(64).any(|bytes| bytes == value), "{writer:?}");
            let read = run(reader, dir.path(), &["-aIX", "--read-batch=batch", "two/"]);
            assert_eq!((read.code, read.stderr.as_str()), (Some(0), ""), "{writer:?} {reader:?}");
            assert_eq!(xattr(&at("two/b")).as_deref(), Some(&value[..]), "{writer:?} {reader:?}");
        }
    }
}

#[test]
fn a_client_that_still_sends_its_list_learns_why_the_server_left() {
    let dir = tree(&["s"], &["file"]);
    for n in 0..4000 {
        fs::write(dir.path().join(format!("s/{n:0200}")), "").unwrap();
    }
    let shell = fake_shell(dir.path());
    let to = format!("h:{}", dir.path().join("file").display());
    for server in BOTH {
        let path = format!("--rsync-path={}", server.path());
        let words = ["-a", "-e", shell.to_str().unwrap(), &path, "s", "s/", &to];
        let out = run(Program::Stock, dir.path(), &words);
        assert_eq!(out.code, Some(3), "{server:?}: {out:?}");
    }
}

/// What `--ignore-existing` protects is written through where it leads to a place inside the destination.
#[test]
fn protected_symlinks_in_place_of_directories() {
    for program in BOTH {
        for (target, made, codes) in [("inside", "dst/inside/f", Some(0)), ("../out", "out/f", Some(23))] {
            let dir = tree(&["src/d/e", "dst/inside", "out"], &["src/d/f=x", "dst/inside/z"]);
            symlink(target, dir.path().join("dst/d")).unwrap();
            let out = run(program, dir.path(), &["-r", "--ignore-existing", "src/", "dst/"]);
            assert_eq!(out.code, codes, "{program:?} {target}: {out:?}");
            assert_eq!(dir.path().join(made).exists(), codes == Some(0), "{program:?} {target}");
            assert!(dir.path().join("dst/d").is_symlink(), "{program:?} {target}");
        }
    }
    let dir = tree(&["src/d", "dst/inside"], &["src/d/f=x", "src/z", "dst/inside/z"]);
    fs::create_dir(dir.path().join("src/inside")).unwrap();
    fs::write(dir.path().join("src/inside/z"), "").unwrap();
    symlink("inside", dir.path().join("dst/d")).unwrap();
    let words = ["-r", "--ignore-existing", "--delete", "src/", "dst/"];
    assert_eq!(run(Program::Arsync, dir.path(), &words).code, Some(0));
    assert!(dir.path().join("dst/inside/z").exists(), "deleted through a symlink");
}

#[test]
fn a_directory_that_cannot_be_looked_at_is_taken_for_missing() {
    for program in BOTH {
        let dir = tree(&["src/d/e", "dst"], &["dst/d=a file"]);
        let out = run(program, dir.path(), &["-ri", "--ignore-existing", "src/", "dst/"]);
        assert_eq!((out.code, out.stdout.as_str()), (Some(23), "cd+++++++++ d/e/\n"), "{program:?}");
        let place = format!("{}/dst/d/e", dir.path().display());
        let text =
            format!("rsync: [generator] recv_generator: mkdir \"{place}\" failed: Not a directory (20)\n");
        assert!(out.stderr.contains(&text), "{program:?}: {}", out.stderr);
    }
}

#[test]
fn new_directories_with_an_alternate() {
    for program in BOTH {
        let dir = tree(&["src/d", "alt/d", "dst"], &[]);
        let shown = |words: &[&str]| {
            let words = [words, &["--copy-dest=../alt", "src/", "dst/"]].concat();
            let out = run(program, dir.path(), &words);
            (out.code, out.stdout.replace(".d..t...... ./\n", ""), out.stderr)
        };
        assert_eq!(shown(&["-ain"]), (Some(0), String::new(), String::new()), "{program:?}");
        // A dry run with attributes fails where it would copy those of the alternate.
        let (code, _, err) = shown(&["-ainX"]);
        let text = "rsync: [generator] gen_entry_copy_xattrs: openat(\"";
        assert!(code == Some(23) && err.starts_with(text), "{program:?}: {code:?} {err}");
        let status = std::process::Command::new("touch").arg(dir.path().join("alt/d")).status();
        assert!(status.unwrap().success());
        // Times that are not to be set count nevertheless.
        assert_eq!(shown(&["-ainO"]).1, "cd..t...... d/\n", "{program:?}");
    }
}

/// A dry run with attributes and an alternate directory says what it cannot reach.
#[test]
fn ways_that_a_dry_run_has_not_made() {
    const MISSING: &str = "No such file or directory (2)";
    const LINK: &str = "Too many levels of symbolic links (40)";
    for program in BOTH {
        for (in_the_way, d, e) in
            [(None, Some(MISSING), MISSING), (Some(false), None, LINK), (Some(true), Some(LINK), LINK)]
        {
            let dir = tree(&["src/d/e", "alt/d/e", "dst"], &[]);
            let at = |name: &str| dir.path().join(name);
            match in_the_way {
                Some(true) => symlink("/", at("dst/d")).unwrap(),
                Some(false) => fs::write(at("dst/d"), "").unwrap(),
                None => {}
            }
            let out = run(program, dir.path(), &["-nrtX", "--copy-dest=../alt", "src/", "dst/"]);
            let head = "rsync: [generator] gen_entry_copy_xattrs:";
            let mut told = d.map_or_else(String::new, |why| {
                format!("{head} openat(\"{}\") failed: {why}\n", at("dst/d").display())
            });
            told += &format!("{head} secure open of \"{}\" failed: {e}\n", at("dst/d/e").display());
            assert_eq!(out.code, Some(23), "{program:?} {in_the_way:?}: {out:?}");
            assert!(out.stderr.starts_with(&told), "{program:?} {in_the_way:?}: {out:?}");
        }
    }
}

#[test]
fn deletions_afterwards_are_announced_for_new_directories_too() {
    for program in BOTH {
        let dir = tree(&["src/d"], &["src/f"]);
        let announced = |words: &[&str]| {
            let out = run(program, dir.path(), words);
            let lines = out.stdout.lines().filter(|line| line.starts_with("deleting in "));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(announced(&["-rvv", "--delete-after", "src", "new/"]), ["deleting in src"], "{program:?}");
        assert!(announced(&["-rvvn", "--delete-after", "src", "newer/"]).is_empty(), "{program:?}");
        assert_eq!(
            announced(&["-rvv", "--delete-before", "src/", "newest/"]),
            ["deleting in ."],
            "{program:?}"
        );
        // Also where nothing is deleted.
        symlink("nowhere", dir.path().join("src/l")).unwrap();
        let out = run(program, dir.path(), &["-rLvv", "--delete-after", "src/", "made/"]);
        let lines = "deleting in .\nIO error encountered -- skipping file deletion\n";
        assert!(out.stdout.contains(lines), "{program:?}: {out:?}");
    }
}

#[test]
fn symlinks_in_place_of_implied_directories_stay() {
    for program in BOTH {
        for (target, made, code) in [("inside", "dst/inside/f", 0), ("../out", "out/f", 23)] {
            let dir = tree(&["src/d", "dst/inside", "out"], &["src/d/f=x"]);
            symlink(target, dir.path().join("dst/d")).unwrap();
            let out = run(program, dir.path(), &["-aR", "--no-implied-dirs", "src/./d/f", "dst/"]);
            assert_eq!(out.code, Some(code), "{program:?} {target}: {out:?}");
            assert_eq!(dir.path().join(made).exists(), code == 0, "{program:?} {target}");
            assert!(dir.path().join("dst/d").is_symlink(), "{program:?} {target}");
        }
    }
}

#[test]
fn a_slash_behind_a_relative_name_follows_symlinks_to_directories_only() {
    for program in BOTH {
        let dir = tree(&["src/d"], &["src/d/g", "src/f"]);
        let targets = [("to_d", "d"), ("to_f", "f"), ("to_none", "none"), ("to_itself", "to_itself")];
        for (name, target) in targets {
            symlink(target, dir.path().join("src").join(name)).unwrap();
        }
        let sources = targets.map(|(name, _)| format!("src/./{name}/"));
        let words: Vec<&str> = ["-rlRi"].into_iter().chain(sources.iter().map(String::as_str)).collect();
        let out = run(program, dir.path(), &[&words[..], &["dst/"]].concat());
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        let mut items: Vec<&str> = out.stdout.lines().filter(|line| line.contains("to_")).collect();
        items.sort_unstable();
        let wanted = [
            ">f+++++++++ to_d/g",
            "cL+++++++++ to_f -> f",
            "cL+++++++++ to_itself -> to_itself",
            "cL+++++++++ to_none -> none",
            "cd+++++++++ to_d/",
        ];
        assert_eq!(items, wanted, "{program:?}");
    }
}

#[test]
fn a_listing_names_the_method_too() {
    for program in BOTH {
        let dir = tree(&["src"], &[]);
        let out = run(program, dir.path(), &["-rvv", "src/"]);
        let line = "delta-transmission disabled for local transfer or --whole-file\n";
        assert!(out.stdout.contains(line), "{program:?}: {out:?}");
    }
}

#[test]
fn rules_of_dash_capital_c_are_named_as_such() {
    for program in BOTH {
        let dir = tree(&["src"], &["src/x.o", "src/y~"]);
        let out = run(program, dir.path(), &["-rvvC", "--exclude=*~", "src/", "dst/"]);
        let mut hidden: Vec<&str> = out.stdout.lines().filter(|line| line.contains(" hiding ")).collect();
        hidden.sort_unstable();
        let wanted = [
            "[sender] hiding file x.o because of pattern *.o [global CVS]",
            "[sender] hiding file y~ because of pattern *~",
        ];
        assert_eq!(hidden, wanted, "{program:?}");
    }
}

#[test]
fn paths_of_a_list_are_shown_as_they_stand_in_it() {
    for program in BOTH {
        let lists = ["list=f\na/b/g\n", "dots=./f\na/./b/g\n"];
        let dir = tree(&["src/a/b"], &["src/f", "src/a/b/g", lists[0], lists[1]]);
        let whole = dir.path().join("src").display().to_string();
        let slashes = format!("{}//src/.", dir.path().display());
        for source in ["src/", &whole, &slashes] {
            for names in [
                &["--files-from=list"][..],
                &["--files-from=list", "--no-R"],
                &["--files-from=dots", "--no-R"],
            ] {
                let words = [&["-rn", "--out-format=%f"], names, &[source, "dst/"]].concat();
                let out = run(program, dir.path(), &words);
                let files: Vec<&str> = out.stdout.lines().filter(|line| line.ends_with(['f', 'g'])).collect();
                assert_eq!(files, ["f", "a/b/g"], "{program:?} {words:?}");
            }
        }
    }
}

/// Below protocol 30 `--append` verifies, without a wire too.
#[test]
fn append_of_old_protocols() {
    for program in BOTH {
        for (protocol, wanted) in [("--protocol=29", "right text"), ("--protocol=30", "wrong text")] {
            let dir = tree(&["src", "dst"], &["src/f=right text", "dst/f=wrong"]);
            let out = run(program, dir.path(), &["-rt", "--append", protocol, "src/", "dst/"]);
            assert_eq!(out.code, Some(0), "{program:?} {protocol}: {out:?}");
            let got = fs::read_to_string(dir.path().join("dst/f")).unwrap();
            assert_eq!(got, wanted, "{program:?} {protocol}");
        }
    }
}

#[test]
fn a_listing_deletes_nothing() {
    for program in BOTH {
        let dir = tree(&["src", "here"], &["src/f", "here/keep"]);
        let (here, source) = (dir.path().join("here"), format!("{}/", dir.path().join("src").display()));
        let shell = fake_shell(dir.path());
        let (path, remote) = (format!("--rsync-path={}", program.path()), format!("h:{source}"));
        for when in ["--delete", "--delete-before", "--delete-during", "--delete-delay", "--delete-after"] {
            let pull = ["-r", when, "-e", shell.to_str().unwrap(), &path, &remote];
            for words in [&["-r", when, &source][..], &pull] {
                let out = run(program, &here, words);
                assert_eq!(out.code, Some(0), "{program:?} {words:?}: {out:?}");
                assert!(here.join("keep").exists(), "{program:?} {words:?}");
            }
        }
    }
}

/// Without several lists each argument of `-R` brings its parents, but for those that the one before it has brought.
#[test]
fn parents_of_relative_names_come_once_in_a_row() {
    for program in BOTH {
        let dir = tree(&["src/a/b", "src/c", "dst"], &["src/a/b/f", "src/a/g", "src/h", "src/c/i"]);
        for (names, twice, count) in [
            (&["src/a/b/f", "src/a/g", "src/c/i"][..], "", "7 (reg: 3, dir: 4)"),
            (&["src/h", "src/a/g"], "src from file list (1)", "5 (reg: 2, dir: 3)"),
            (&["src/a/g", "src/h"], "", "4 (reg: 2, dir: 2)"),
        ] {
            let words = [&["-aRn", "--protocol=29", "--debug=dup", "--stats"], names, &["dst/"]].concat();
            let out = run(program, dir.path(), &words);
            let told: Vec<&str> =
                out.stdout.lines().filter_map(|line| line.strip_prefix("removing duplicate name ")).collect();
            assert_eq!(told.join(";"), twice, "{program:?} {names:?}");
            assert!(
                out.stdout.contains(&format!("Number of files: {count}\n")),
                "{program:?} {names:?}: {out:?}"
            );
        }
    }
}

/// The root that such a name stands for travels even if the name is missing, unless a rule hides it.
#[test]
fn a_root_that_a_relative_name_begins_with() {
    for program in BOTH {
        for (rules, count) in [(&[][..], "1 (dir: 1)"), (&["--exclude=*/"], "0")] {
            let dir = tree(&["src", "dst"], &["list=./none\n"]);
            let words = [&["-a", "--stats", "--files-from=list"], rules, &["src", "dst/"]].concat();
            let out = run(program, dir.path(), &words);
            assert_eq!(out.code, Some(23), "{program:?}: {out:?}");
            assert!(out.stdout.contains(&format!("Number of files: {count}\n")), "{program:?}: {out:?}");
        }
    }
}

#[test]
fn implied_directories_without_attributes_are_made_when_they_are_needed() {
    for program in BOTH {
        let dir = tree(&["src/a/b/c", "dst"], &["src/a/b/c/f", "src/a/b/c/.rsync-filter=- f\n"]);
        let words = ["-aRF", "--no-implied-dirs", "src/./a/b/c/f", "dst/"];
        let out = run(program, dir.path(), &words);
        assert_eq!((out.code, out.stdout.as_str()), (Some(0), ""), "{program:?}: {out:?}");
        assert!(dir.path().join("dst/a/b").is_dir(), "{program:?}");
        assert!(!dir.path().join("dst/a/b/c").exists(), "{program:?}");
        // Nothing makes way for one.
        let dir = tree(&["src/a/b", "dst"], &["src/a/b/f", "dst/a"]);
        let out = run(program, dir.path(), &["-aR", "--no-implied-dirs", "src/./a/b/f", "dst/"]);
        assert_eq!(out.code, Some(23), "{program:?}: {out:?}");
        assert!(dir.path().join("dst/a").is_file(), "{program:?}");
    }
}

/// Only what is written in place is copied to its backup.
#[test]
fn what_is_replaced_is_its_own_backup() {
    for program in BOTH {
        let dir = tree(&["src", "dst"], &["src/f=new text", "dst/f=old", "dst/l=a file"]);
        symlink("to", dir.path().join("src/l")).unwrap();
        let ino = |name: &str| fs::symlink_metadata(dir.path().join(name)).unwrap().ino();
        let (file, link) = (ino("dst/f"), ino("dst/l"));
        let out = run(program, dir.path(), &["-a", "--inplace", "-b", "src/", "dst/"]);
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        assert_eq!((ino("dst/f"), ino("dst/l~")), (file, link), "{program:?}");
        assert_ne!(ino("dst/f~"), file, "{program:?}");
    }
}

#[test]
fn directories_of_backups_have_the_owners_that_are_preserved() {
    if !needs_root("nobody else can give files away") {
        return;
    }
    for program in BOTH {
        for (words, owners) in [("-rg", (0, 8)), ("-ro", (7, 0)), ("-rog", (7, 8)), ("-r", (0, 0))] {
            let dir = tree(&["src/d", "dst/d"], &["src/d/f=new text", "dst/d/f=old"]);
            for name in ["src/d", "dst/d"] {
                std::os::unix::fs::chown(dir.path().join(name), Some(7), Some(8)).unwrap();
            }
            let out = run(program, dir.path(), &[words, "--backup-dir=../bak", "src/", "dst/"]);
            assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
            let made = fs::metadata(dir.path().join("bak/d")).unwrap();
            assert_eq!((made.uid(), made.gid()), owners, "{program:?} {words}");
        }
    }
}

/// Where backups stand in the destination itself, a pass of deletions moves older ones, and removes their directory.
#[test]
fn a_directory_of_backups_that_was_deleted_is_made_again() {
    for program in BOTH {
        let dir = tree(&["src/g", "dst/g"], &["src/g/y=new text", "dst/g/y=old", "dst/g/x=extraneous"]);
        let out = run(program, dir.path(), &["-r", "--delete-after", "--backup-dir=old/er", "src/", "dst/"]);
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        assert!(!dir.path().join("dst/g/x").exists(), "{program:?}");
        let backup = fs::read_to_string(dir.path().join("dst/old/er/g/x")).unwrap();
        assert_eq!(backup, "extraneous", "{program:?}");
    }
}

#[test]
fn a_dry_run_names_the_backups_of_deletions() {
    for program in BOTH {
        let dir = tree(&["src", "dst"], &["src/f", "dst/f", "dst/g", "dst/h~"]);
        let words =
            ["-rnb", "--size-only", "--delete-excluded", "--delete", "--info=backup,del", "src/", "dst/"];
        let out = run(program, dir.path(), &words);
        let told = "deleting h~\nbacked up g to g~\ndeleting g\n";
        assert_eq!((out.code, out.stdout.as_str()), (Some(0), told), "{program:?}: {out:?}");
    }
}

#[test]
fn a_source_that_was_removed_under_another_name_is_told() {
    for program in BOTH {
        let dir = tree(&["src/a", "dst"], &["src/a/f"]);
        symlink("a", dir.path().join("src/b")).unwrap();
        let out = run(program, dir.path(), &["-rk", "--remove-source-files", "src/", "dst/"]);
        let told = "sender file already removed: b/f\n";
        assert_eq!((out.code, out.stdout.as_str()), (Some(0), told), "{program:?}: {out:?}");
    }
}

/// What symlinks lead to from outside of the source is copied, and stays where it is.
#[test]
fn nothing_outside_of_the_source_is_removed() {
    for program in BOTH {
        for follow in ["-rL", "-rk", "-rlR", "-r --copy-unsafe-links"] {
            let dir = tree(&["src/real", "other", "dst"], &["src/real/f", "other/g"]);
            symlink("../other", dir.path().join("src/out")).unwrap();
            symlink("real", dir.path().join("src/in")).unwrap();
            let source = if follow == "-rlR" { "src/./out/g" } else { "src/" };
            let words: Vec<_> = follow.split(' ').chain(["--remove-source-files", source, "dst/"]).collect();
            let out = run(program, dir.path(), &words);
            assert_eq!(out.code, Some(23), "{program:?} {follow}: {out:?}");
            let told = "rsync: [sender] sender failed to secure-open-parent out/g: \
                        Too many levels of symbolic links (40)\n";
            assert!(out.stderr.starts_with(told), "{program:?} {follow}: {out:?}");
            let left = children(&dir.path().join("src/real"));
            assert_eq!(left.is_empty(), follow != "-rlR", "{program:?} {follow}: {left:?}");
            assert_eq!(children(&dir.path().join("other")), ["g"], "{program:?} {follow}");
            assert_eq!(fs::read_dir(dir.path().join("dst/out")).unwrap().count(), 1, "{program:?} {follow}");
        }
    }
}

/// A rule file that this very run brought is in force, though its directory was asked for rules before it came.
#[test]
fn late_deletions_ask_the_rules_that_have_come() {
    for program in BOTH {
        let dir =
            tree(&["src", "dst/way"], &["src/.rules=- kept\n", "src/way", "dst/way/f", "dst/kept", "dst/x"]);
        let out = run(program, dir.path(), &["-ri", "--filter=: .rules", "--delete-after", "src/", "dst/"]);
        let told = "*deleting   way/f\n>f+++++++++ .rules\n>f+++++++++ way\n*deleting   x\n";
        assert_eq!((out.code, out.stdout.as_str()), (Some(0), told), "{program:?}: {out:?}");
    }
}

/// A file that failed verification stands where it was received, also in a directory of this run.
#[test]
fn what_was_retained_in_a_new_directory_is_looked_at() {
    for program in BOTH {
        let dir = tree(&["src", "alt"], &["src/f=a newer text", "alt/f=older"]);
        touch(&dir.path().join("alt/f"), &["-d", "2019-01-01"]);
        let words = ["-ti", "-r", "--append-verify", "--copy-dest=../alt", "src/", "dst/"];
        let out = run(program, dir.path(), &words);
        let told = "created directory dst\n>f.st...... f\n>f..t...... f\n";
        assert_eq!((out.code, &*out.stdout), (Some(0), told), "{program:?}: {out:?}");
        assert_eq!(fs::read(dir.path().join("dst/f")).unwrap(), b"a newer text", "{program:?}");
    }
}

/// What is wrong with a relative path is told of the path without what means nothing.
#[test]
fn a_way_up_in_a_relative_path() {
    for program in BOTH {
        let dir = tree(&["src"], &["src/f"]);
        for (path, told) in [("src/..//src//", "src/../src"), ("./src/..", "src/..")] {
            let out = run(program, dir.path(), &["-rR", path, "dst/"]);
            let told = format!("found \"..\" dir in relative path: {told}\n");
            assert_eq!(out.code, Some(1), "{program:?} {path}: {out:?}");
            assert!(out.stderr.starts_with(&told), "{program:?} {path}: {out:?}");
        }
    }
}

/// `-J` is about both times of a symlink.
#[test]
fn the_time_of_access_of_a_symlink_goes_with_its_other_time() {
    for program in BOTH {
        for (words, kept) in [(["-rltU", "-v"], true), (["-rltU", "-J"], false), (["-rlU", "-v"], true)] {
            let dir = tree(&["src"], &[]);
            symlink("x", dir.path().join("src/l")).unwrap();
            touch(&dir.path().join("src/l"), &["-h", "-d", "2020-01-01T00:00:00Z"]);
            let out = run(program, dir.path(), &[words[0], words[1], "src/", "dst/"]);
            assert_eq!(out.code, Some(0), "{program:?} {words:?}: {out:?}");
            let atime = fs::symlink_metadata(dir.path().join("dst/l")).unwrap().atime();
            assert_eq!(atime == 1_577_836_800, kept, "{program:?} {words:?}: {atime}");
        }
    }
}

/// `--progress` has names shown where no format does; what else is told with names is told then only.
#[test]
fn a_format_of_ones_own_is_all_that_progress_shows_of_names() {
    for program in BOTH {
        for (format, told) in [
            ("--out-format=%n", "sending incremental file list\n./\n"),
            ("-i", "sending incremental file list\ncreated directory dst\ncd+++++++++ ./\n"),
            (
                "-h",
                "sending incremental file list\ncreated directory dst\n\
                 ignoring unsafe symlink \"l\" -> \"/etc\"\n./\n",
            ),
        ] {
            let dir = tree(&["src"], &[]);
            symlink("/etc", dir.path().join("src/l")).unwrap();
            let out =
                run(program, dir.path(), &["-rl", "--safe-links", "--progress", format, "src/", "dst/"]);
            assert_eq!((out.code, &*out.stdout), (Some(0), told), "{program:?} {format}: {out:?}");
        }
    }
}

/// How files are transferred is said behind a pass for deletions, and in front of a listing.
#[test]
fn the_place_of_the_method() {
    for program in BOTH {
        let dir = tree(&["src", "src/k", "dst"], &["src/f", "dst/x"]);
        let shell = fake_shell(dir.path());
        let (path, from) =
            (format!("--rsync-path={}", program.path()), format!("h:{}/src/", dir.path().display()));
        let remote = ["-e", shell.to_str().unwrap(), &path, &from];
        let levels = ["-r", "--no-i-r", "-n", "--info=del,name0", "--debug=flist,del0"];
        let out = run(program, dir.path(), &[&levels[..], &["--delete-before"], &remote, &["dst/"]].concat());
        assert_eq!(out.stdout, "deleting x\ndelta-transmission enabled\n", "{program:?}: {out:?}");
        for how in ["--i-r", "--no-i-r"] {
            let out = run(program, dir.path(), &[&["-r", how, "--debug=flist"], &remote[..]].concat());
            let lines: Vec<_> = out.stdout.lines().collect();
            let (first, names) = lines.split_at(lines.len() - 3);
            assert!(first.ends_with(&["delta-transmission enabled"]), "{program:?} {how}: {out:?}");
            assert!(names.iter().all(|l| l.contains("2020/01/01 00:00:00 ")), "{program:?} {how}: {out:?}");
        }
    }
}

/// Below protocol 29 a server makes the lines of deletions, with what its client says of the format.
#[test]
fn lines_of_deletions_in_old_protocols() {
    for program in BOTH {
        for (words, lines) in [
            (&["-ri"][..], "*deleting  \n"),
            (&["-rv", "--info=stats0,flist0,misc0"], "deleting x\n"),
            (&["-r", "--out-format=%o:%n"], "del.\n"),
            (&["-r", "--out-format=%n"], "deleting x\n"),
            (&["-r"], ""),
            (&["-ri", "--write-batch=batch"], "*deleting   x\n"),
        ] {
            let dir = tree(&["src", "dst"], &["dst/x"]);
            let shell = fake_shell(dir.path());
            let (path, to) =
                (format!("--rsync-path={}", program.path()), format!("h:{}/dst/", dir.path().display()));
            let local = words.len() > 1 && words[1].starts_with("--write-batch");
            let ends = if local { ["src/", "dst/"] } else { ["src/", &to] };
            let remote = ["--delete", "--protocol=28", "-e", shell.to_str().unwrap(), &path];
            let out = run(program, dir.path(), &[words, &remote, &ends].concat());
            assert_eq!((out.code, out.stdout.as_str()), (Some(0), lines), "{program:?} {words:?}: {out:?}");
        }
    }
}

/// What a client looks through for deletions is counted like a list, for each directory.
#[test]
fn a_pass_for_deletions_is_counted() {
    for program in BOTH {
        let dir = tree(&["src/d", "dst/d", "dst/z"], &["dst/x", "dst/d/y", "dst/z/a"]);
        let shell = fake_shell(dir.path());
        let (path, from) =
            (format!("--rsync-path={}", program.path()), format!("h:{}/src/", dir.path().display()));
        let words = [
            "-r",
            "--info=flist2,del",
            "--delete-before",
            "-e",
            shell.to_str().unwrap(),
            &path,
            &from,
            "dst/",
        ];
        let out = run(program, dir.path(), &words);
        let lines = "receiving file list ... 2 files to consider\n 0 files...\r 0 files...\r\ndeleting z/a\n\
             deleting z/\ndeleting x\n 0 files...\r\ndeleting d/y\n                    \r";
        assert_eq!((out.code, out.stdout.as_str()), (Some(0), lines), "{program:?}: {out:?}");
        // Where progress is shown they are all counted together.
        for name in 0..100 {
            fs::write(dir.path().join(format!("dst/d/{name:02}")), b"").unwrap();
        }
        let together = [&["-n", "--info=progress"], &words[..]].concat();
        let out = run(program, dir.path(), &together);
        let lines =
            "receiving file list ... 2 files to consider\n 0 files...\r 100 files...\r\ndeleting d/99\n";
        assert!(out.stdout.starts_with(lines), "{program:?}: {out:?}");
        // Nothing is looked through where a dry run would make the destination.
        let dry = [&["-n"], &words[..words.len() - 1], &["new/"]].concat();
        let out = run(program, dir.path(), &dry);
        let lines = "receiving file list ... 2 files to consider\n";
        assert_eq!((out.code, out.stdout.as_str()), (Some(0), lines), "{program:?}: {out:?}");
    }
}

/// Who sends counts in front of each hundred: nothing where nothing is found.
#[test]
fn a_list_that_is_made_is_counted() {
    for program in BOTH {
        let dir = tree(&["src", "dst"], &["list="]);
        let shell = fake_shell(dir.path());
        let (path, to) =
            (format!("--rsync-path={}", program.path()), format!("h:{}/dst/", dir.path().display()));
        let list = |source: &[&str]| {
            let words = ["-rn", "--no-i-r", "--info=flist2,name0", "-e", shell.to_str().unwrap(), &path];
            let out = run(program, dir.path(), &[&words, source, &[to.as_str()]].concat());
            assert_eq!(out.code, Some(0), "{program:?} {source:?}: {out:?}");
            out.stdout
        };
        let nothing = "building file list ... 0 files to consider\n";
        assert_eq!(list(&["--files-from=list", "src"]), nothing, "{program:?}");
        let one = "building file list ... \n 0 files...\r1 file to consider\n";
        assert_eq!(list(&["src"]), one, "{program:?}");
        for name in 0..100 {
            fs::write(dir.path().join(format!("src/{name:02}")), b"").unwrap();
        }
        let more = "building file list ... \n 0 files...\r 100 files...\r101 files to consider\n";
        assert_eq!(list(&["src"]), more, "{program:?}");
        fs::remove_file(dir.path().join("src/99")).unwrap();
        let hundred = "building file list ... \n 0 files...\r100 files to consider\n";
        assert_eq!(list(&["src"]), hundred, "{program:?}");
        // An error in between ends the line of the count where it goes, and the count goes on.
        let words = ["-rn", "--no-i-r", "--info=flist2,name0", "src/00", "none", "src", "to"];
        let out = run(program, dir.path(), &words);
        let shown = "building file list ... \n 0 files...\r 100 files...\r101 files to consider\n";
        assert_eq!((out.code, out.stdout.as_str()), (Some(23), shown), "{program:?}");
        let first = format!("\nrsync: [sender] link_stat \"{}/none\"", dir.path().display());
        assert!(out.stderr.starts_with(&first), "{program:?} {out:?}");
    }
}

#[test]
fn rules_about_names_of_later_lists_are_told() {
    for program in BOTH {
        let dir = tree(&["src/d/e", "dst"], &["src/d/f"]);
        let shell = fake_shell(dir.path());
        let (path, from) =
            (format!("--rsync-path={}", program.path()), format!("h:{}/src/", dir.path().display()));
        let words = ["-rvv", "--include=*/", "-e", shell.to_str().unwrap(), &path, &from, "dst/"];
        let out = run(program, dir.path(), &words);
        let told: Vec<&str> = out.stdout.lines().filter(|line| line.starts_with("[generator]")).collect();
        assert_eq!(told, ["[generator] risking directory d/e because of pattern */"], "{program:?}: {out:?}");
    }
}

/// New directories are named below protocol 29 if they need more than `mkdir` gives them.
#[test]
fn new_directories_of_old_protocols() {
    for program in BOTH {
        for (umask, lines) in [("022", ""), ("077", "d/\n")] {
            let dir = tree(&["src/d", "dst"], &[]);
            let line = format!(
                "umask {umask}; exec {} -rpv --info=stats0,flist0 --protocol=28 src/ dst/",
                program.path()
            );
            let out = peers::run(peers::command("sh", dir.path()).args(["-c", &line]));
            assert_eq!((out.code, out.stdout.as_str()), (Some(0), lines), "{program:?} {umask}: {out:?}");
        }
    }
}

/// Times of access travel in whole seconds; those that are equal keep the rest, unless the data was compared.
#[test]
fn equal_times_of_access_keep_their_fractions() {
    for program in BOTH {
        for (words, nsec) in [(&["-tU", "--size-only"][..], 7), (&["-tUc"], 0)] {
            let dir = tree(&["src", "dst"], &["src/f=x", "dst/f=x"]);
            for (name, access, change) in [("src/f", "5.000000003", "9"), ("dst/f", "5.000000007", "8")] {
                for (which, at) in [("-a", access), ("-m", change)] {
                    let mut touch = std::process::Command::new("touch");
                    touch.args([which, "-d", &format!("@{at}")]).arg(dir.path().join(name));
                    assert!(touch.status().unwrap().success());
                }
            }
            let words = [words, &["-r", "src/", "dst/"]].concat();
            let out = run(program, dir.path(), &words);
            assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
            let made = fs::metadata(dir.path().join("dst/f")).unwrap();
            assert_eq!((made.atime(), made.atime_nsec()), (5, nsec), "{program:?} {words:?}");
        }
    }
}

#[test]
fn a_member_that_waited_for_its_leader_is_a_new_link() {
    for program in BOTH {
        let dir = tree(&["src", "alt", "dst"], &["src/a=new", "alt/a=other", "alt/b=new"]);
        fs::hard_link(dir.path().join("src/a"), dir.path().join("src/b")).unwrap();
        let out = run(program, dir.path(), &["-rtHi", "--copy-dest=../alt", "src/", "dst/"]);
        let links: Vec<&str> = out.stdout.lines().filter(|line| line.starts_with('h')).collect();
        assert_eq!(links, ["hf+++++++++ b => a"], "{program:?}: {out:?}");
    }
}

/// What is written in place keeps its permissions, and so does its backup.
#[test]
fn permissions_in_place_with_a_backup() {
    for program in BOTH {
        let dir = tree(&["src", "dst"], &["src/f=new text", "dst/f=old"]);
        let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().mode() & 0o7777;
        let open = fs::Permissions::from_mode(0o1666);
        fs::set_permissions(dir.path().join("dst/f"), open).unwrap();
        let out = run(program, dir.path(), &["-r", "--inplace", "-b", "src/", "dst/"]);
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        assert_eq!((mode("dst/f"), mode("dst/f~")), (0o1666, 0o1666), "{program:?}");
    }
}
