//! Details of both programs, side by side with literal expectations: what random comparisons have found.

use std::{ffi::CString, fs, os::unix::ffi::OsStrExt, os::unix::fs::symlink, path::Path};

use crate::peers::{self, Outcome, Program, fake_shell};

const BOTH: [Program; 2] = [Program::Stock, Program::Arsync];

fn run(program: Program, dir: &Path, words: &[&str]) -> Outcome {
    let out = peers::run(peers::command(program.path(), dir).args(words));
    assert!(!out.panicked(), "{words:?}: {out:?}");
    out
}

/// A directory with these directories and files (`name` or `name=text`), all of 2020.
fn tree(dirs: &[&str], files: &[&str]) -> tempfile::TempDir {
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

fn old(path: &Path) {
    let status = std::process::Command::new("touch").args(["-h", "-d", "2020-01-01"]).arg(path).status();
    assert!(status.unwrap().success());
}

fn set_xattr(path: &Path, value: &[u8]) {
    let name = CString::new(path.as_os_str().as_bytes()).unwrap();
    rustix::fs::setxattr(&name, "user.a", value, rustix::fs::XattrFlags::empty())
        .unwrap_or_else(|e| panic!("extended attributes are needed at {}: {e}", path.display()));
}

fn xattr(path: &Path) -> Option<Vec<u8>> {
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
        for (name, target) in [("to_d", "d"), ("to_f", "f"), ("to_none", "none")] {
            symlink(target, dir.path().join("src").join(name)).unwrap();
        }
        let out =
            run(program, dir.path(), &["-rlRi", "src/./to_d/", "src/./to_f/", "src/./to_none/", "dst/"]);
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        let mut items: Vec<&str> = out.stdout.lines().filter(|line| line.contains("to_")).collect();
        items.sort_unstable();
        let wanted = [
            ">f+++++++++ to_d/g",
            "cL+++++++++ to_f -> f",
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
        let dir = tree(&["src/a/b"], &["src/f", "src/a/b/g", "list=f\na/b/g\n"]);
        let whole = dir.path().join("src").display().to_string();
        for source in ["src/", &whole] {
            for names in [&[][..], &["--no-R"]] {
                let words =
                    [&["-rn", "--out-format=%f", "--files-from=list"], names, &[source, "dst/"]].concat();
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
