//! Directories in which much is made, and what stood there before.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, SystemTime},
};

use crate::{
    details::{BOTH, old, run, tree},
    peers::{Program, fake_shell},
};

/// The words for a transfer to `to`, with this program at both ends.
fn pushed(program: Program, dir: &Path, to: &str) -> Vec<String> {
    let shell = fake_shell(dir);
    let path = format!("--rsync-path={}", program.path());
    vec![
        "-e".into(),
        shell.to_str().unwrap().into(),
        path,
        "src/".into(),
        format!("h:{}/{to}", dir.display()),
    ]
}

/// How many files are left, of how many that are known by then: which lists there are when a file comes does not depend on
/// who is faster.
#[test]
fn progress_counts_the_lists_that_a_sender_has_made() {
    let dir = tree(&["src"], &[]);
    for n in 0..40 {
        let list = dir.path().join(format!("src/d{n:02}"));
        fs::create_dir_all(list.join("below")).unwrap();
        let files = if n == 20 { 900 } else { 20 };
        for f in 0..files {
            File::create(list.join(format!("f{f}"))).unwrap();
        }
    }
    let counts = |program: Program, remote: bool| -> Vec<String> {
        let to = format!("dst-{program:?}-{remote}");
        let words = if remote { pushed(program, dir.path(), &to) } else { vec!["src/".into(), to] };
        let words: Vec<&str> = ["-aP"].into_iter().chain(words.iter().map(String::as_str)).collect();
        let out = run(program, dir.path(), &words);
        assert_eq!(out.code, Some(0), "{program:?} {out:?}");
        out.stdout.lines().filter_map(|line| Some(line.split_once("(xfr#")?.1.to_owned())).collect()
    };
    let expected = counts(Program::Stock, false);
    assert_eq!(expected.len(), 39 * 20 + 900);
    assert_eq!((&*expected[0], &*expected[1679]), ("1, ir-chk=1320/1362)", "1680, to-chk=1/1761)"));
    for remote in [false, true] {
        assert!(counts(Program::Arsync, remote) == expected, "{remote}");
    }
}

/// Of three hundred names three are there, each as something else.
#[test]
fn what_stands_among_many_new_names_is_seen() {
    for options in
        [&["-ai"][..], &["-ai", "--delete"], &["-aiH"], &["-ai", "--inplace"], &["-aiu"], &["-aic"]]
    {
        for remote in [false, true] {
            let mut seen = Vec::new();
            for program in BOTH {
                let dir = tree(&["src", "dst"], &["dst/extra"]);
                let at = |name: &str| dir.path().join(name);
                for n in 0..300 {
                    let mut file = File::create(at(&format!("src/n{n:03}"))).unwrap();
                    file.write_all(n.to_string().as_bytes()).unwrap();
                    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_836_800)).unwrap();
                }
                fs::remove_file(at("src/n250")).unwrap();
                fs::hard_link(at("src/n200"), at("src/n250")).unwrap();
                fs::write(at("dst/n050"), "longer than a number").unwrap();
                old(&at("dst/n050"));
                fs::create_dir(at("dst/n100")).unwrap();
                symlink("n050", at("dst/n150")).unwrap();
                old(&at("src"));
                old(&at("dst"));
                let mut words: Vec<String> = options.iter().map(|&word| word.into()).collect();
                if remote {
                    words.extend(pushed(program, dir.path(), "dst/"));
                } else {
                    words.extend(["src/".into(), "dst/".into()]);
                }
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let out = run(program, dir.path(), &words);
                assert_eq!(out.code, Some(0), "{program:?} {words:?}: {out:?}");
                for n in (0..300).filter(|&n| n != 250) {
                    let text = fs::read_to_string(at(&format!("dst/n{n:03}"))).unwrap();
                    assert_eq!(text, n.to_string(), "{program:?} {words:?}");
                }
                assert_eq!(at("dst/extra").exists(), !options.contains(&"--delete"), "{program:?} {words:?}");
                let mut lines: Vec<String> = out.stdout.lines().map(str::to_owned).collect();
                lines.sort_unstable();
                seen.push(lines);
            }
            assert_eq!(seen[0], seen[1], "{options:?} {remote}");
            let told = |text: &str| seen[0].iter().filter(|line| line.contains(text)).count();
            let deletes = usize::from(options.contains(&"--delete"));
            let changed = if options.contains(&"-aic") { "fcs....... n050" } else { "f.s....... n050" };
            assert_eq!(
                [told("f+++++++++ n"), told(changed), told("*deleting")],
                [299, 1, deletes],
                "{options:?}"
            );
            assert_eq!(seen[0].len(), 300 + deletes, "{options:?}");
        }
    }
}

/// A directory takes the place of the file that another one resembles, before that is received. Stock rsync ends with code 2.
#[test]
fn a_basis_that_is_gone_has_the_file_sent_again() {
    for options in [&["-ayi"][..], &["-ayiz"], &["-ayi", "--inplace"]] {
        let dir = tree(&["src/n4.dat", "dst"], &[]);
        let at = |name: &str| dir.path().join(name);
        let text: Vec<u8> = (0..3000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        fs::write(at("dst/n4.dat"), &text).unwrap();
        fs::write(at("src/n1.dat"), [&text[..], b"more"].concat()).unwrap();
        let words = pushed(Program::Arsync, dir.path(), "dst/");
        let words: Vec<&str> = options.iter().copied().chain(words.iter().map(String::as_str)).collect();
        let out = run(Program::Arsync, dir.path(), &words);
        assert_eq!(out.code, Some(0), "{out:?}");
        let kept = if options.contains(&"--inplace") { "retained" } else { "discarded" };
        let warning = format!("WARNING: n1.dat failed verification -- update {kept} (will try again).\n");
        assert_eq!(out.stderr, warning, "{options:?}");
        assert_eq!(fs::read(at("dst/n1.dat")).unwrap(), fs::read(at("src/n1.dat")).unwrap());
        assert!(at("dst/n4.dat").is_dir());
    }
}

/// Files of one base name would wait in one place of a partial directory that is not one for each directory. Stock rsync puts the data of
/// the last one into the first, and loses the others.
#[test]
fn files_of_one_base_name_do_not_meet_in_a_partial_directory() {
    let names = ["a/f", "b/f", "c/f"];
    for (partial, left_over) in [("../pd", false), ("abs", false), ("abs", true)] {
        for (remote, replaces) in [(false, false), (false, true), (true, false), (true, true)] {
            let dir = tree(&["src/a", "src/b", "src/c", "dst/a", "dst/b", "dst/c", "abs"], &[]);
            let at = |name: &str| dir.path().join(name);
            let text = |name: &str| format!("{name} ").repeat(4000);
            for name in names {
                fs::write(at(&format!("src/{name}")), text(name)).unwrap();
                if replaces {
                    fs::write(at(&format!("dst/{name}")), text("old")).unwrap();
                    old(&at(&format!("dst/{name}")));
                }
            }
            if left_over {
                fs::write(at("abs/f"), &text("b/f")[..9000]).unwrap();
            }
            let option = match partial {
                "abs" => format!("--partial-dir={}", at(partial).display()),
                relative => format!("--partial-dir={relative}"),
            };
            let mut words = vec!["-a".to_owned(), "--no-whole-file".into(), "--delay-updates".into(), option];
            if remote {
                words.extend(pushed(Program::Arsync, dir.path(), "dst/"));
            } else {
                words.extend(["src/".into(), "dst/".into()]);
            }
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let out = run(Program::Arsync, dir.path(), &words);
            for name in names {
                let made = fs::read_to_string(at(&format!("dst/{name}"))).unwrap();
                assert!(made == text(name), "{words:?} {name}: {out:?}");
            }
            assert_eq!(out.code, Some(0), "{words:?}: {out:?}");
        }
    }
}

/// Hundredths of a second that ended children have used processors for.
fn children_time() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // Behind the name, which may have spaces.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').skip(13).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
}

/// What is updated is nothing to make similar files from, once a new file was looked for; that many names are, makes the
/// search no longer.
#[test]
fn similar_files_are_found_as_fast_where_many_names_are_updated() {
    let dir = tree(&["src", "dst"], &[]);
    let at = |name: String| dir.path().join(name);
    for n in 0..1500 {
        fs::write(at(format!("dst/m{n:04}")), "standing").unwrap();
        fs::write(at(format!("src/m{n:04}")), "different").unwrap();
    }
    for n in 0..400 {
        fs::write(at(format!("src/n{n:04}")), "new").unwrap();
    }
    let needed = [(); 2].map(|()| {
        let before = children_time();
        let out = run(Program::Arsync, dir.path(), &["-rtyn", "--no-W", "src/", "dst/"]);
        assert_eq!((out.code, out.stderr.as_str()), (Some(0), ""));
        // The next time a new file comes first.
        fs::write(at("src/a".to_owned()), "new").unwrap();
        children_time() - before
    });
    assert!(needed[1] < needed[0] + 60, "{needed:?}");
}
