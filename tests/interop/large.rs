//! Many files, and large ones.

use std::{fs, path::Path, process::Command, time::SystemTime};

use crate::{
    peers::{ARSYNC, Program, command, fake_shell, run},
    snapshot::{difference, snapshot},
    tree::{self, DATE, Tree, noise},
};

const PAIRS: [(Program, Program); 3] = [
    (Program::Arsync, Program::Arsync),
    (Program::Arsync, Program::Stock),
    (Program::Stock, Program::Arsync),
];

/// Runs a client in `dir` and expects success.
fn transfer(dir: &Path, client: Program, server: Program, words: &[&str]) {
    let mut line = command(client.path(), dir);
    line.arg("-e").arg(fake_shell(dir)).arg(format!("--rsync-path={}", server.path())).args(words);
    let outcome = run(&mut line);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{client:?} {server:?} {words:?}");
}

fn assert_equal(dir: &Path, copy: &str, what: &str) {
    let start = SystemTime::now();
    let (expected, got) = (snapshot(&dir.join("src"), start), snapshot(&dir.join(copy), start));
    if let Some(difference) = difference(&expected, &got) {
        panic!("{what}: {difference}");
    }
}

/// 20,000 files in 400 directories of two levels.
fn many(root: &Path) {
    let t = Tree::new(root);
    for dir in 0..400 {
        for file in 0..50 {
            let n = dir * 50 + file;
            let size = (n * 7919) % 6000;
            t.file_at(
                format!("d{}/e{dir}/f{file}", dir % 20),
                &noise(n as u64, size),
                DATE + n as i64,
                n as i64,
            );
        }
    }
    t.close();
}

#[test]
fn twenty_thousand_files() {
    let dir = tempfile::tempdir().unwrap();
    many(&dir.path().join("src"));
    for (n, (client, server)) in PAIRS.into_iter().enumerate() {
        let (push, pull) = (format!("push{n}"), format!("pull{n}"));
        transfer(dir.path(), client, server, &["-a", "src/", &format!("fake:{push}/")]);
        assert_equal(dir.path(), &push, "push");
        transfer(dir.path(), client, server, &["-a", "fake:src/", &format!("{pull}/")]);
        assert_equal(dir.path(), &pull, "pull");
        for copy in [push, pull] {
            fs::remove_dir_all(dir.path().join(copy)).unwrap();
        }
    }
    transfer(dir.path(), Program::Arsync, Program::Arsync, &["-a", "src/", "local/"]);
    assert_equal(dir.path(), "local", "local copy");
    // Nothing is left to do, and everything that is too much goes.
    let t = Tree::new(&dir.path().join("local"));
    for n in 0..500 {
        t.file(format!("d{}/extra{n}", n % 20), b"extra");
    }
    let mut line = command(ARSYNC, dir.path());
    let outcome = run(line.args(["-ai", "--delete", "src/", "local/"]));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(outcome.stdout.lines().filter(|l| l.starts_with("*deleting ")).count(), 500);
    assert_eq!(outcome.stdout.lines().filter(|l| l.starts_with('>')).count(), 0);
    assert_equal(dir.path(), "local", "deletion");
}

/// 96 MiB of which little changed: the delta is found, whatever the pair, and costs little on the wire.
#[test]
fn delta_of_a_large_file() {
    const SIZE: usize = 96 << 20;
    let dir = tempfile::tempdir().unwrap();
    let old = noise(7, SIZE);
    let mut new = old.clone();
    for at in (0..SIZE).step_by(SIZE / 40) {
        new[at] ^= 0xFF;
    }
    new.splice(SIZE / 2..SIZE / 2, tree::prose(8, 777));
    let src = Tree::new(&dir.path().join("src"));
    src.file("large", &new);
    src.close();
    for (n, (client, server)) in PAIRS.into_iter().enumerate() {
        for pull in [false, true] {
            let copy = format!("copy{n}{pull}");
            let t = Tree::new(&dir.path().join(&copy));
            t.file_at("large", &old, DATE - 10, 0);
            t.close();
            let mut line = command(client.path(), dir.path());
            line.arg("-e").arg(fake_shell(dir.path())).arg(format!("--rsync-path={}", server.path()));
            line.args(["-a", "--stats"]);
            match pull {
                true => line.arg("fake:src/").arg(&copy),
                false => line.arg("src/").arg(format!("fake:{copy}")),
            };
            let outcome = run(&mut line);
            assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
            assert_equal(dir.path(), &copy, "delta");
            let figure = outcome.stdout.lines().find_map(|l| l.strip_prefix("Literal data: ")).unwrap();
            let literal: u64 = figure.replace(" bytes", "").replace(',', "").parse().unwrap();
            assert!(
                (777..2_000_000).contains(&literal),
                "{client:?} {server:?}: {literal} bytes of literal data"
            );
            fs::remove_dir_all(dir.path().join(copy)).unwrap();
        }
    }
}

/// The same locally, with the delta asked for, and in place.
#[test]
fn local_delta_of_a_large_file() {
    let dir = tempfile::tempdir().unwrap();
    let old = noise(9, 64 << 20);
    let src = Tree::new(&dir.path().join("src"));
    src.file("large", &tree::edited(&old));
    src.close();
    for options in [&["-a", "--no-whole-file"][..], &["-a", "--no-whole-file", "--inplace"], &["-a"]] {
        let t = Tree::new(&dir.path().join("copy"));
        t.file_at("large", &old, DATE - 10, 0);
        t.close();
        transfer(dir.path(), Program::Arsync, Program::Arsync, &[options, &["src/", "copy/"]].concat());
        assert_equal(dir.path(), "copy", "local delta");
    }
}

/// Many files at once, of which it is counted how much was there, or not.
#[test]
fn local_deltas_of_many_files() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (Tree::new(&dir.path().join("old")), Tree::new(&dir.path().join("src")));
    for n in 0..200u64 {
        let data = noise(n, 20_000 + 1000 * n as usize);
        old.file_at(format!("d{}/f{n}", n % 7), &data, DATE - 10, 0);
        new.file(format!("d{}/f{n}", n % 7), &tree::edited(&data));
    }
    old.close();
    new.close();
    let mut figures = Vec::new();
    for (program, options) in [
        (Program::Stock, &["-a", "--stats"][..]),
        (Program::Arsync, &["-a", "--stats"]),
        (Program::Arsync, &["-av"]),
        (Program::Arsync, &["-a"]),
        (Program::Arsync, &["-a", "--log-file=log"]),
    ] {
        let copy = dir.path().join("copy");
        assert!(
            Command::new("cp")
                .args(["-a", "old", "copy"])
                .current_dir(dir.path())
                .status()
                .unwrap()
                .success()
        );
        let words = [options, &["--no-whole-file", "src/", "copy/"]].concat();
        let out = run(command(program.path(), dir.path()).args(&words));
        assert_eq!((out.code, out.stderr.as_str()), (Some(0), ""), "{program:?} {words:?}");
        assert_equal(dir.path(), "copy", "local deltas");
        fs::remove_dir_all(copy).unwrap();
        let counted = |line: &&str| line.starts_with("Literal data: ") || line.starts_with("Matched data: ");
        figures.push(out.stdout.lines().filter(counted).map(str::to_owned).collect::<Vec<_>>());
    }
    assert_eq!(figures[0].len(), 2, "{figures:?}");
    assert_eq!(figures[0], figures[1]);
    assert_ne!(figures[0][1], "Matched data: 0 bytes");
}

/// Holes stay holes with `-S`.
#[test]
fn sparse_files_stay_sparse() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("src")).unwrap();
    let file = fs::File::create(dir.path().join("src/holes")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &noise(1, 5000), 8 << 20).unwrap();
    file.set_len(32 << 20).unwrap();
    drop(file);
    transfer(dir.path(), Program::Arsync, Program::Arsync, &["-aS", "src/", "local/"]);
    transfer(dir.path(), Program::Arsync, Program::Arsync, &["-aS", "src/", "fake:push/"]);
    transfer(dir.path(), Program::Arsync, Program::Stock, &["-aS", "fake:src/", "pull/"]);
    for copy in ["local", "push", "pull"] {
        assert_equal(dir.path(), copy, "sparse");
        let blocks = fs::metadata(dir.path().join(copy).join("holes")).unwrap().blocks();
        assert!(blocks * 512 < 1 << 20, "{copy}: {blocks} blocks");
    }
}
