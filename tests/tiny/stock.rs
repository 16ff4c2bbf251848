//! Stock rsync at the other end of a pipe.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::noise;

/// An example of this crate, which is not built with the tests where these are named one by one.
pub fn example(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(
        path.exists(),
        "{} is not built: run `cargo build -p arsync-core --features test-util --example {name}` first",
        path.display()
    );
    path
}

fn rsync(root: &Path, args: &[&str]) -> Output {
    let out = Command::new("rsync")
        .arg("-e")
        .arg(example("tiny_device"))
        .args(args)
        .env("DEVICE_ROOT", root)
        .env("DEVICE_SUMMARY", "1")
        .output()
        .unwrap();
    if out.status.code() == Some(12) {
        eprintln!("{}", String::from_utf8_lossy(&out.stderr));
    }
    out
}

pub fn text(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout)
}

/// Names, types, times and contents below a directory.
fn tree(root: &Path) -> Vec<(PathBuf, u32, i64, Vec<u8>)> {
    fn walk(root: &Path, below: &Path, out: &mut Vec<(PathBuf, u32, i64, Vec<u8>)>) {
        for entry in fs::read_dir(root.join(below)).unwrap() {
            let path = below.join(entry.unwrap().file_name());
            let stat = fs::symlink_metadata(root.join(&path)).unwrap();
            let data = if stat.is_file() { fs::read(root.join(&path)).unwrap() } else { Vec::new() };
            out.push((path.clone(), stat.mode(), stat.mtime(), data));
            if stat.is_dir() {
                walk(root, &path, out);
            }
        }
    }
    let mut out = Vec::new();
    walk(root, Path::new(""), &mut out);
    out.sort();
    out
}

/// 20 files of 0 bytes to 200 KB in a small tree.
fn make(root: &Path) {
    for dir in ["", "log", "log/old", "log-2", "image"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    let sizes = [0, 1, 2, 100, 255, 256, 699, 700, 701, 1400, 4096, 5000, 16_384, 32_768, 65_536, 200_000];
    for (i, size) in sizes.into_iter().enumerate() {
        let dir = ["log", "log/old", "log-2"][i % 3];
        fs::write(root.join(dir).join(format!("file-{i:02}.txt")), noise(i as u32 + 1, size)).unwrap();
    }
    fs::write(root.join("log.txt"), b"a file beside a directory of its name").unwrap();
    fs::write(root.join("log/old/").join("x".repeat(120)), b"a long name").unwrap();
}

#[test]
fn stock_pulls_a_tree_at_every_protocol() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("device");
    make(&root);
    for protocol in 27..=32 {
        for options in ["-a", "-aH", "-ac", "-rt", "-aU"] {
            let to = temp.path().join(format!("{protocol}{options}"));
            let arg = format!("--protocol={protocol}");
            let out = rsync(&root, &[&arg, options, "device:/", to.to_str().unwrap()]);
            assert_eq!(out.status.code(), Some(0), "{protocol} {options}: {}", text(&out));
            let strip = |t: Vec<(PathBuf, u32, i64, Vec<u8>)>| {
                t.into_iter().map(|(p, _, m, d)| (p, m, d)).collect::<Vec<_>>()
            };
            assert_eq!(strip(tree(&to)), strip(tree(&root)), "{protocol} {options}");
        }
    }
}

#[test]
fn stock_pushes_a_tree_at_every_protocol() {
    let temp = tempfile::tempdir().unwrap();
    let from = temp.path().join("from/");
    make(&from);
    std::os::unix::fs::symlink("log", from.join("link")).unwrap();
    fs::hard_link(from.join("log.txt"), from.join("log/hard")).unwrap();
    let wanted = || tree(&from).into_iter().filter(|(p, ..)| p != Path::new("link")).collect::<Vec<_>>();
    for protocol in 27..=32 {
        for options in ["-a", "-aH", "-ac", "-aU"] {
            if (protocol, options) == (27, "-aU") {
                // Stock leaves equal access times out there, without room for the flag that says so.
                continue;
            }
            let root = temp.path().join(format!("{protocol}{options}"));
            fs::create_dir(&root).unwrap();
            let arg = format!("--protocol={protocol}");
            let run = || rsync(&root, &[&arg, options, from.to_str().unwrap(), "device:/"]);
            let out = run();
            assert_eq!(out.status.code(), Some(0), "{protocol} {options}: {}", text(&out));
            assert_eq!(tree(&root), wanted(), "{protocol} {options}");
            let again = text(&run());
            if options != "-ac" {
                assert!(again.contains("files: 0,"), "{protocol} {options}: {again}");
            }
        }
    }
}

#[test]
fn deltas_go_both_ways() {
    let temp = tempfile::tempdir().unwrap();
    let (root, here) = (temp.path().join("device"), temp.path().join("here"));
    fs::create_dir_all(&root).unwrap();
    fs::create_dir_all(&here).unwrap();
    let old = noise(7, 60_000);
    let mut new = old[..20_000].to_vec();
    new.extend_from_slice(b"something in between");
    new.extend_from_slice(&old[21_000..]);
    for (push, options) in [(true, "-at"), (false, "-at"), (false, "-at --inplace"), (true, "-at --inplace")]
    {
        let (source, target) = if push { (&here, &root) } else { (&root, &here) };
        fs::write(source.join("f"), &new).unwrap();
        fs::write(target.join("f"), &old).unwrap();
        let past = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        fs::File::open(target.join("f")).unwrap().set_modified(past).unwrap();
        let mut args: Vec<&str> = options.split(' ').collect();
        let local = here.join("f");
        let local = local.to_str().unwrap();
        args.extend(if push { [local, "device:/"] } else { ["device:/f", local] });
        let out = rsync(&root, &args);
        assert_eq!(out.status.code(), Some(0), "{}", text(&out));
        assert_eq!(fs::read(target.join("f")).unwrap(), new, "{push} {options}");
        let all = text(&out);
        let matched: u64 =
            all.split("matched: ").nth(1).and_then(|m| m.split(',').next()?.parse().ok()).unwrap();
        // All blocks of 700 bytes but those around the change; in place only those that do not move down.
        let least = if options.ends_with("place") && !push { 19_000 } else { 57_000 };
        assert!(matched >= least, "{push} {options}: {all}");
    }
}

#[test]
fn one_file_may_get_another_name() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("device");
    fs::create_dir_all(root.join("image")).unwrap();
    let new = temp.path().join("new.bin");
    fs::write(&new, noise(3, 131_072)).unwrap();
    for (to, path) in [
        ("device:/image/", "image/new.bin"),
        ("device:image/other", "image/other"),
        ("device:/fresh/", "fresh/new.bin"),
    ] {
        let out = rsync(&root, &["-a", new.to_str().unwrap(), to]);
        assert_eq!(out.status.code(), Some(0), "{to}: {}", text(&out));
        assert_eq!(fs::read(root.join(path)).unwrap(), noise(3, 131_072), "{to}");
    }
    let back = temp.path().join("back");
    let out = rsync(&root, &["-a", "device:/image/other", "device:/image/missing", back.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(23), "{}", text(&out));
    assert!(text(&out).contains("no such file or directory"), "{}", text(&out));
}

#[test]
fn what_is_not_supported_is_named_and_nothing_is_done() {
    let temp = tempfile::tempdir().unwrap();
    let (root, here) = (temp.path().join("device"), temp.path().join("here/"));
    make(&root);
    fs::create_dir_all(&here).unwrap();
    let before = tree(&root);
    for (option, push, word) in [
        ("--delete", true, "--delete"),
        ("--append", true, "--append"),
        ("-X", true, "-X"),
        ("-R", false, "-R"),
        ("--exclude=x", false, "filter rules"),
        ("-z", false, "Failed to negotiate"),
        ("-z", true, "Failed to negotiate"),
        ("--compress-choice=zlib", true, "--old-compress"),
        ("--compress-choice=lz4", true, "--compress-choice=lz4"),
        ("--backup", true, "-b"),
    ] {
        let here = here.to_str().unwrap();
        let ends = if push { [here, "device:/"] } else { ["device:/", here] };
        let out = rsync(&root, &["-a", option, ends[0], ends[1]]);
        assert_eq!(out.status.code(), Some(4), "{option}: {}", text(&out));
        assert!(text(&out).contains(word), "{option}: {}", text(&out));
        assert_eq!(tree(&root), before, "{option}");
    }
}

#[test]
fn dry_runs_lists_and_secluded_arguments() {
    let temp = tempfile::tempdir().unwrap();
    let (root, from) = (temp.path().join("device"), temp.path().join("from/"));
    make(&root);
    make(&from);
    fs::write(from.join("new"), b"new").unwrap();
    let before = tree(&root);
    let out = rsync(&root, &["-ain", from.to_str().unwrap(), "device:/"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    assert!(text(&out).contains("<f+++++++++ new"), "{}", text(&out));
    assert_eq!(tree(&root), before);
    let out = rsync(&root, &["-s", "device:/log/"]);
    assert!(text(&out).contains("file-00.txt") && !text(&out).contains("old/file"), "{}", text(&out));
    let to = temp.path().join("to");
    let out = rsync(&root, &["-as", "device:/log", to.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    assert_eq!(fs::read(to.join("log/file-00.txt")).unwrap(), b"");
}
