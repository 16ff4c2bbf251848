//! Paths as they are given: with doubled slashes, `.` and `..`, a slash at the end, and the root of the file system.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use crate::{
    details::{BOTH, run, tree},
    peers::{Program, fake_shell},
};

/// The first line of stderr, with `@` for the directory, and the code.
fn first_fault(program: Program, dir: &Path, words: &[&str]) -> (Option<i32>, String) {
    let out = run(program, dir, words);
    let line = out.stderr.lines().next().unwrap_or_default();
    (out.code, line.replace(dir.to_str().unwrap(), "@"))
}

/// A directory that cannot be entered is told of as it was given.
#[test]
fn sources_that_are_not_there() {
    for program in BOTH {
        let dir = tree(&["src", "dst"], &["src/f"]);
        let told = |words: &[&str]| {
            let (code, line) = first_fault(program, dir.path(), words);
            assert!(matches!(code, Some(3 | 23)), "{program:?} {words:?}: {code:?}");
            let shown = line.strip_prefix("rsync: [sender] change_dir \"").and_then(|l| l.split('"').next());
            shown.map(str::to_owned).ok_or(line)
        };
        for (source, shown) in [
            ("./none/", "@/./none"),
            ("none//x", "@/none/"),
            (".//none//x", "@/.//none/"),
            ("src/none/..", "@/src/none/.."),
            ("src/none/../f", "@/src/none/.."),
        ] {
            assert_eq!(told(&["-r", source, "dst/"]).as_deref(), Ok(shown), "{program:?} {source}");
        }
        assert_eq!(told(&["-rR", ".//none/./x", "dst/"]).as_deref(), Ok("@/none"), "{program:?}");
        // Beside a list the directory that was given, and what it is with a name of the list.
        fs::write(dir.path().join("list"), "n//q/./b\n").unwrap();
        for (source, shown) in [(".//none//", "@/.//none//"), ("src//", "@/src/n/q")] {
            let words = ["-r", "--files-from=list", source, "dst/"];
            assert_eq!(told(&words).as_deref(), Ok(shown), "{program:?} {source}");
        }
        let words = ["-rR", "src/./none/../f", "dst/"];
        let fault = "found \"..\" dir in relative path: none/../f";
        assert_eq!(first_fault(program, dir.path(), &words), (Some(1), fault.into()), "{program:?}");
    }
}

/// One slash at the end of a directory that an option names is no part of it.
#[test]
fn a_slash_at_the_end_of_an_option() {
    for program in BOTH {
        let dir = tree(&["src", "dst", "loop"], &["src/f", "file"]);
        fs::remove_dir(dir.path().join("loop")).unwrap();
        symlink("loop", dir.path().join("loop")).unwrap();
        for (option, code, told) in [
            ("--link-dest=../none/", 0, "--link-dest arg does not exist: @/dst/../none"),
            ("--link-dest=../none//", 0, "--link-dest arg does not exist: @/dst/../none/"),
            ("--link-dest=../loop", 0, "--link-dest arg does not exist: @/dst/../loop"),
            ("--link-dest=../file/x", 0, "--link-dest arg does not exist: @/dst/../file/x"),
            ("--link-dest=../file/", 0, "--link-dest arg is not a dir: @/dst/../file"),
            ("--backup-dir=../file/", 1, "The backup-dir is not a directory: ../file"),
            ("--temp-dir=", 1, "The temp-dir does not exist: "),
            ("--temp-dir=../file", 1, "The temp-dir is not a directory: ../file"),
            ("--temp-dir=../file/", 11, "Failed to stat temp-dir ../file/: Not a directory"),
            ("--temp-dir=../loop", 11, "Failed to stat temp-dir ../loop: Too many levels of symbolic links"),
            (
                "--read-batch=.//none//",
                11,
                "rsync: [Receiver] Batch file \"@/.//none//\" open error: No such file or directory (2)",
            ),
        ] {
            let words = ["-rb", option, "src/", "dst/"];
            let words = if code == 11 && option.contains("batch") { &words[..2] } else { &words[..] };
            let words: Vec<_> = words.iter().copied().chain((words.len() == 2).then_some("dst/")).collect();
            assert_eq!(
                first_fault(program, dir.path(), &words),
                (Some(code), told.into()),
                "{program:?} {option}"
            );
        }
    }
}

/// The other end gets the option as it was given.
#[test]
fn a_slash_at_the_end_of_an_option_for_the_other_end() {
    let dir = tree(&["src", "dst", "alt"], &["src/f=new", "dst/f=old text"]);
    let shell = fake_shell(dir.path()).display().to_string();
    for program in BOTH {
        let path = format!("--rsync-path={}", program.path());
        let words =
            ["-rvvn", "-e", &shell, &path, "--backup-dir=../bk/", "--link-dest=../alt/", "src/", "h:dst/"];
        let out = run(program, dir.path(), &words);
        assert_eq!(out.code, Some(0), "{program:?}: {out:?}");
        let sent = out.stdout.lines().next().unwrap_or_default();
        assert!(sent.contains("--backup-dir ../bk/ --link-dest ../alt/ . dst/"), "{program:?}: {out:?}");
        assert!(out.stdout.contains("(new) backup_dir is ../bk\n"), "{program:?}: {out:?}");
    }
}

/// Rules count from the root, and its directories go into those of the destination.
#[test]
fn the_root_of_the_file_system_under_relative() {
    for program in BOTH {
        let dir = tree(&["it", "dst"], &["it/f=text"]);
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = dir.path().join("it");
        let mut rules = vec![format!("--include={}/**", path.display())];
        let ways: Vec<_> = path.ancestors().filter(|way| way.parent().is_some()).collect();
        rules.extend(ways.iter().map(|way| format!("--include={}", way.display())));
        for options in [&["-rRi"][..], &["-rRi", "--no-i-r"], &["-rRi", "--protocol=29"]] {
            let mut words = options.to_vec();
            words.extend(rules.iter().map(String::as_str));
            words.extend(["--exclude=*", "/", "dst/"]);
            let out = run(program, dir.path(), &words);
            let mut told: String =
                ways.iter().rev().map(|way| format!("cd+++++++++ {}/\n", way.display())).collect();
            told.push_str(&format!(">f+++++++++ {}/f\n", path.display()));
            assert_eq!((out.code, &*out.stdout), (Some(0), &*told), "{program:?} {options:?}: {out:?}");
            let copy = dir.path().join("dst").join(path.strip_prefix("/").unwrap());
            assert_eq!(fs::read(copy.join("f")).unwrap(), b"text", "{program:?} {options:?}");
            fs::remove_dir_all(dir.path().join("dst")).unwrap();
            fs::create_dir(dir.path().join("dst")).unwrap();
        }
        // A listing has no slash in front.
        let mut words = vec!["-rR", "--list-only"];
        words.extend(rules.iter().map(String::as_str));
        words.extend(["--exclude=*", "/"]);
        let out = run(program, dir.path(), &words);
        let names: Vec<_> = out.stdout.lines().filter_map(|line| line.rsplit(' ').next()).collect();
        let below = |way: &Path| way.strip_prefix("/").unwrap().to_str().unwrap().to_owned();
        let mut want = vec![".".to_owned()];
        want.extend(ways.iter().rev().map(|way| below(way)));
        want.push(below(&path.join("f")));
        assert_eq!(names, want, "{program:?}: {out:?}");
    }
}

/// What rules say of a name from an absolute argument has its slash; other names of the root have none.
#[test]
fn names_of_absolute_arguments() {
    for program in BOTH {
        let dir = tree(&["it", "dst"], &["it/f", "it/g"]);
        let path = dir.path().join("it").display().to_string();
        let out = run(program, dir.path(), &["-rRvv", "--exclude=g", &path, "dst/"]);
        let told = format!("[sender] hiding file {path}/g because of pattern g\n");
        assert!(out.stdout.contains(&told), "{program:?}: {out:?}");
        assert!(out.stdout.contains(&format!("\n{path}/f\n")), "{program:?}: {out:?}");
        fs::remove_dir_all(dir.path().join("dst")).unwrap();
        let out = run(program, dir.path(), &["-rRvv", "--exclude=g", &format!("/.{path}"), "dst/"]);
        let path = &path[1..];
        let told = format!("[sender] hiding file {path}/g because of pattern g\n");
        assert!(out.stdout.contains(&told), "{program:?}: {out:?}");
        assert!(out.stdout.contains(&format!("\n{path}/f\n")), "{program:?}: {out:?}");
    }
}

/// A path in a transfer has at most 4,095 bytes.
#[test]
fn names_that_are_too_long() {
    for program in BOTH {
        let dir = tree(&["src", "dst"], &["src/f"]);
        let name = "l".repeat(250);
        symlink(".", dir.path().join("src").join(&name)).unwrap();
        let out = run(program, dir.path(), &["-rLn", "src/", "dst/"]);
        let long = vec![&*name; 17].join("/");
        let told = format!("filename overflows max-path len by 171: {long}\n");
        assert_eq!(out.code, Some(23), "{program:?}: {out:?}");
        assert!(out.stderr.starts_with(&told), "{program:?}: {out:?}");
    }
}
