//! What programs that call rsync rely on: snapshots of absolute paths, and a server kept in a directory.

use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use crate::{
    details::{old, touch},
    peers::{self, Outcome, Program},
    snapshot::{difference, snapshot},
};

const BOTH: [Program; 2] = [Program::Stock, Program::Arsync];

fn run(program: Program, dir: &Path, words: &[&str]) -> Outcome {
    let out = peers::run(peers::command(program.path(), dir).args(words));
    assert!(!out.panicked(), "{words:?}: {out:?}");
    out
}

/// Lines of stdout below the temporary directory, which is shown as `T`.
fn lines(out: &Outcome, dir: &str) -> Vec<String> {
    let text = out.stdout.replace(dir, "T");
    text.lines().filter(|line| line.contains(" T") || line.contains(" /T")).map(str::to_owned).collect()
}

#[test]
fn snapshots_of_absolute_paths_are_updated_in_place() {
    for program in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().canonicalize().unwrap();
        let shown = here.to_str().unwrap();
        let source = format!("{shown}/src/");
        let inside = dir.path().join(format!("snap{shown}/src"));
        fs::create_dir_all(dir.path().join("src/d")).unwrap();
        fs::write(dir.path().join("src/d/kept"), "1").unwrap();
        let first = run(program, &here, &["-aRi", "--delete", &source, "snap/"]);
        assert_eq!(first.code, Some(0), "{first:?}");
        let without_slash = shown.trim_start_matches('/');
        assert_eq!(
            lines(&first, without_slash),
            ["cd+++++++++ /T/", "cd+++++++++ /T/src/", "cd+++++++++ /T/src/d/", ">f+++++++++ /T/src/d/kept"],
            "{program:?}"
        );
        fs::write(inside.join("d/extra"), "2").unwrap();
        fs::write(dir.path().join("src/new"), "3").unwrap();
        for words in [&["-aRi", "--delete"][..], &["-aRi", "--delete-after", "--no-inc-recursive"]] {
            let words = [words, &["-n", &source, "snap/"]].concat();
            let shown = lines(&run(program, &here, &words), without_slash);
            assert!(shown.contains(&"*deleting   T/src/d/extra".to_owned()), "{program:?} {shown:?}");
            assert!(!shown.iter().any(|line| line.contains("kept")), "{program:?} {shown:?}");
        }
        let inode = fs::metadata(inside.join("d/kept")).map(|m| m.ino()).unwrap();
        assert_eq!(run(program, &here, &["-aR", "--delete", &source, "snap/"]).code, Some(0));
        let after = fs::metadata(inside.join("d/kept")).map(|m| m.ino()).unwrap();
        assert_eq!(inode, after, "{program:?}: the file was not copied again");
        assert!(!inside.join("d/extra").exists());
    }
}

/// Base names of everything below a directory.
fn walk(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().map(Result::unwrap) {
        names.push(entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            names.extend(walk(&entry.path()));
        }
    }
    names
}

/// A directory to be kept in, and one beside it with a rule file, a file, and links that lead there.
fn jail() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("jail/src")).unwrap();
    fs::create_dir_all(at("out/d")).unwrap();
    fs::write(at("out/rules"), "- secret\n").unwrap();
    fs::write(at("out/d/z"), "z").unwrap();
    for name in ["a", "secret"] {
        fs::write(at("jail/src").join(name), name).unwrap();
    }
    fs::create_dir(at("jail/in")).unwrap();
    fs::write(at("jail/in/a"), "a").unwrap();
    symlink("../../out", at("jail/in/dl")).unwrap();
    symlink("../../out/rules", at("jail/src/.rules")).unwrap();
    symlink("../out", at("jail/esc")).unwrap();
    dir
}

#[test]
fn a_server_stays_in_the_directory_it_is_confined_to() {
    for program in BOTH {
        let dir = jail();
        let here = dir.path().canonicalize().unwrap();
        let at = |name: &str| here.join(name).to_str().unwrap().to_owned();
        let shell = peers::fake_shell(dir.path()).to_str().unwrap().to_owned();
        let path = format!("--rsync-path={}", program.path());
        let confined = format!("-M--confine-root={}", at("jail"));
        let session = |words: &[&str]| {
            let words = [&["-a", "-e", &shell, &path, &confined], words].concat();
            run(Program::Arsync, &here, &words)
        };
        // Rules that a client names are not read from outside.
        let source = format!("h:{}/", at("jail/src"));
        assert_eq!(session(&["--filter=dir-merge .rules", &source, "new/"]).code, Some(0));
        assert!(here.join("new/secret").exists(), "{program:?}");
        // Names of a list do not lead out.
        fs::write(at("list"), "esc/d/z\n").unwrap();
        let source = format!("h:{}/", at("jail"));
        let out = session(&["--files-from=list", &source, "listed/"]);
        assert_eq!(out.code, Some(23), "{program:?} {out:?}");
        assert!(
            out.stderr.contains("esc/d/z\" failed: Too many levels of symbolic links (40)"),
            "{program:?} {out:?}"
        );
        for (name, found) in [("esc/", false), ("in/dl/", false), ("in/", true)] {
            fs::write(at("list"), name).unwrap();
            let out = session(&["-r", "--files-from=list", &source, "listed/"]);
            assert_eq!(out.code, Some(if found { 0 } else { 23 }), "{program:?} {name} {out:?}");
            assert_eq!(out.stderr.contains("link_stat"), !found, "{program:?} {name} {out:?}");
            let names: Vec<_> = walk(&here.join("listed"));
            assert_eq!(names.iter().any(|n| n == "a"), found, "{program:?} {name} {names:?}");
            assert!(!names.iter().any(|n| n == "z" || n == "d"), "{program:?} {name} {names:?}");
            let _ = fs::remove_dir_all(here.join("listed"));
        }
        let list = format!("--files-from=:{}", at("out/rules"));
        let out = session(&[&list, &source, "listed/"]);
        assert_eq!(out.code, Some(12), "{program:?} {out:?}");
        assert!(out.stderr.contains("rules: Too many levels of symbolic links"), "{program:?} {out:?}");
        // Backups and alternate files neither.
        let dest = format!("h:{}/", at("jail/dst"));
        fs::create_dir(at("jail/dst")).unwrap();
        fs::write(at("jail/dst/a"), "old").unwrap();
        let out = session(&["-b", "--backup-dir=../esc/bk", "jail/src/", &dest]);
        assert_eq!(out.code, Some(11), "{program:?} {out:?}");
        assert!(!here.join("out/bk/a").exists(), "{program:?}");
        fs::write(at("out/d/secret"), "secret").unwrap();
        let linked = format!("--link-dest={}", at("out/d"));
        fs::remove_dir_all(at("jail/dst")).unwrap();
        // The reference fails here, too, before it falls back to a transfer.
        session(&["--size-only", &linked, "jail/src/", &dest]);
        assert_eq!(fs::metadata(at("out/d/secret")).unwrap().nlink(), 1, "{program:?}");
        // The roots of a transfer are the operator's choice.
        let source = format!("h:{}/", at("out"));
        let out = session(&[&source, "all/"]);
        assert_eq!(out.code, Some(0), "{program:?} {out:?}");
        assert!(here.join("all/d/z").exists());
    }
}

/// What the directory of an option gives and takes if it lies outside of the root: nothing.
#[test]
fn directories_of_options_stay_in_the_confined_root() {
    // The option, the code, what is said, what is at the destination then.
    let cases = [
        ("--compare-dest", 0, "--compare-dest arg is not to be used: ", "sent"),
        ("--copy-dest", 0, "--copy-dest arg is not to be used: ", "sent"),
        ("--link-dest", 0, "--link-dest arg is not to be used: ", "sent"),
        ("--partial-dir", 0, "", "sent"),
        ("--temp-dir", 11, "cannot use the temp-dir: ", "older"),
        ("--backup-dir", 11, "make_backup(a) failed: Too many levels of symbolic links (40)", "older"),
    ];
    for (option, code, said, content) in cases {
        for (way, server) in ["/out/alt", "../../out/alt", "../esc/alt"]
            .into_iter()
            .flat_map(|way| [None, Some(Program::Stock), Some(Program::Arsync)].map(|server| (way, server)))
        {
            let dir = jail();
            let here = dir.path().canonicalize().unwrap();
            let at = |name: &str| here.join(name).to_str().unwrap().to_owned();
            fs::create_dir_all(at("out/alt")).unwrap();
            fs::create_dir_all(at("jail/dst")).unwrap();
            fs::create_dir_all(at("src")).unwrap();
            // Not told from the source by size and time.
            for (name, text) in [("src/a", "sent"), ("out/alt/a", "evil")] {
                fs::write(at(name), text).unwrap();
                fs::File::open(at(name)).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
            }
            // An alternate directory is asked for what is new only.
            let is_alternate = matches!(option, "--compare-dest" | "--copy-dest" | "--link-dest");
            if !is_alternate {
                fs::write(at("jail/dst/a"), "older").unwrap();
            }
            let way = way.strip_prefix('/').map_or_else(|| way.to_owned(), &at);
            let (root, dest) = (format!("--confine-root={}", at("jail")), at("jail/dst/"));
            let directory = format!("{option}={way}");
            let mut words = vec!["-ab", &directory, "src/"];
            if is_alternate || option == "--partial-dir" {
                words[0] = "-a";
            }
            let shell = peers::fake_shell(&here).to_str().unwrap().to_owned();
            let (remote, remote_root) = (format!("h:{dest}"), format!("-M{root}"));
            let path = format!("--rsync-path={}", server.unwrap_or(Program::Arsync).path());
            match server {
                None => words.extend([&*root, &*dest]),
                Some(_) => words.extend(["-e", &*shell, &*path, &*remote_root, &*remote]),
            }
            let out = run(Program::Arsync, &here, &words);
            let mut outside = walk(&here.join("out"));
            outside.sort();
            assert_eq!(outside, ["a", "alt", "d", "rules", "z"], "{words:?} {out:?}");
            assert_eq!(fs::read(at("out/alt/a")).unwrap(), b"evil", "{words:?} {out:?}");
            assert_eq!(fs::metadata(at("out/alt/a")).unwrap().nlink(), 1, "{words:?} {out:?}");
            if server != Some(Program::Stock) {
                assert_eq!(out.code, Some(code), "{words:?} {out:?}");
                assert!(out.stderr.contains(said), "{words:?} {out:?}");
                assert_eq!(
                    fs::read_to_string(at("jail/dst/a")).ok().as_deref(),
                    Some(content),
                    "{words:?} {out:?}"
                );
            }
        }
    }
}

#[test]
fn rules_from_stdin_hold_at_both_ends_of_a_local_copy() {
    for program in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("src")).unwrap();
        fs::create_dir_all(at("dst/gone/deep")).unwrap();
        fs::write(at("src/b"), "1").unwrap();
        fs::write(at("dst/kept"), "1").unwrap();
        fs::write(at("rules"), "/b\0/\0/gone/\0/gone/***").unwrap();
        let words =
            ["-r", "--delete", "--force", "--from0", "--include-from=-", "--exclude=*", "src/", "dst/"];
        let mut command = peers::command(program.path(), dir.path());
        let out = peers::run(command.args(words).stdin(fs::File::open(at("rules")).unwrap()));
        assert_eq!((out.code, out.stderr.as_str()), (Some(0), ""), "{program:?}");
        assert_eq!(
            [at("dst/b").exists(), at("dst/kept").exists(), at("dst/gone").exists()],
            [true, true, false]
        );
    }
}

/// Another client may name a directory where rsync sends a dot, and nothing behind it.
#[test]
fn a_server_starts_from_its_first_word() {
    for program in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("src/sub")).unwrap();
        fs::write(at("src/sub/a"), "a").unwrap();
        fs::write(at("src/b"), "b").unwrap();
        let session = |server: &str, operands: &[&str]| {
            let server = format!("exec {} --server {server}", program.path());
            let shell = peers::script(&at("shell"), &server).to_str().unwrap().to_owned();
            run(Program::Arsync, dir.path(), &[&["-r", "--trust-sender", "-e", &shell], operands].concat())
        };
        for (words, code, found) in [
            ("src", 0, &["a", "b", "sub"][..]),
            ("src sub b", 0, &["a", "b", "sub"]),
            ("src sub/", 0, &["a"]),
            ("-R missing b", 23, &[]),
            ("src/b", 3, &[]),
            ("missing b", 3, &[]),
        ] {
            let out = session(&format!("--sender -re.LsfxCIvu {words}"), &["h:", "got/"]);
            let mut names = walk(&at("got"));
            names.sort();
            assert_eq!(names, found, "{program:?} {words} {out:?}");
            // The reference closes the connection before its client hears of it.
            let closed = program == Program::Stock && code == 3;
            assert_eq!(out.code, Some(if closed { 12 } else { code }), "{program:?} {words} {out:?}");
            let _ = fs::remove_dir_all(at("got"));
        }
        fs::create_dir(at("got")).unwrap();
        for (words, code, found) in
            [("got", 0, "got/b"), ("got new other", 0, "got/new/b"), ("missing new", 3, "missing")]
        {
            let out = session(&format!("-re.LsfxCIvu {words}"), &["src/", "h:"]);
            assert_eq!(out.code, Some(code), "{program:?} {words} {out:?}");
            assert_eq!(at(found).exists(), code == 0, "{program:?} {words} {out:?}");
            let reason = "change_dir#4 \"";
            assert_eq!(out.stderr.contains(reason), code == 3, "{program:?} {words} {out:?}");
        }
    }
}

/// Waits until both directories hold the same, at most 20 seconds.
fn follows(source: &Path, target: &Path) -> bool {
    let start = Instant::now();
    let state = |dir: &Path| {
        let mut found = Vec::new();
        let mut left = vec![dir.to_owned()];
        while let Some(at) = left.pop() {
            for entry in fs::read_dir(&at).into_iter().flatten().flatten() {
                let path = entry.path();
                let name = path.strip_prefix(dir).unwrap().to_owned();
                // What is just being made may be gone already.
                if path.is_dir() {
                    found.push((name, None));
                    left.push(path);
                } else {
                    found.push((name, fs::read(&path).ok()));
                }
            }
        }
        found.sort();
        found
    };
    while start.elapsed() < Duration::from_secs(20) {
        if state(source) == state(target) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

/// The directory watcher hands names over stdin, as rules and with `--from0`, and relies on `--delete` with them.
#[test]
fn lsyncd_keeps_a_directory_in_step() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let (source, target) = (at("src"), at("dst"));
    fs::create_dir_all(source.join("dir one")).unwrap();
    fs::create_dir(&target).unwrap();
    fs::write(source.join("dir one/file one"), "1").unwrap();
    let config = format!(
        "settings {{ nodaemon = true, logfile = {:?}, insist = true }}\n\
         sync {{ default.rsync, source = {source:?}, target = {target:?}, delay = 0, delete = true,\n\
         rsync = {{ binary = {:?}, archive = true }} }}\n",
        at("log"),
        Program::Arsync.path()
    );
    fs::write(at("conf.lua"), config).unwrap();
    let watcher = peers::command("lsyncd", dir.path()).arg("conf.lua").stdout(Stdio::null()).spawn().unwrap();
    let watcher = Watcher(watcher);
    let log = || fs::read_to_string(at("log")).unwrap_or_default();
    let step = |what: &str| assert!(follows(&source, &target), "{what}: {}", log());
    step("what was there before");
    fs::write(source.join("new file"), "new").unwrap();
    step("a new file");
    fs::write(source.join("new file"), "changed").unwrap();
    step("a changed file");
    fs::rename(source.join("new file"), source.join("renamed file")).unwrap();
    step("a renamed file");
    fs::remove_file(source.join("renamed file")).unwrap();
    step("a deleted file");
    fs::create_dir_all(source.join("a b/c d")).unwrap();
    fs::write(source.join("a b/c d/e f"), "x").unwrap();
    step("new directories");
    fs::rename(source.join("a b"), source.join("z y")).unwrap();
    step("a renamed directory");
    fs::remove_dir_all(source.join("z y")).unwrap();
    step("a deleted directory");
    drop(watcher);
    assert!(!log().to_lowercase().contains("error"), "{}", log());
}

/// Command lines of programs, twice each with a change in between: snapshots of Timeshift and rsync-time-backup, a synced
/// folder of Vagrant, containers of vzdump, releases of Deployer, a remote of git-annex. `S`: the remote shell.
const WRAPPED: &[(&str, &str)] = &[
    (
        "-aii --recursive --verbose --delete --force --stats --sparse --delete-excluded --exclude=cache/** src/ dst/",
        "dst",
    ),
    (
        "-D --numeric-ids --links --hard-links --one-file-system --itemize-changes --times --recursive --perms --owner \
         --group --stats --human-readable --compress --link-dest=../old -- src/ dst/",
        "dst",
    ),
    (
        "--verbose --archive --delete -z --copy-links --no-owner --no-group --rsync-path=P -e S --exclude .vagrant/ src/ \
         h:HERE/dst",
        "dst",
    ),
    (
        "--stats -h --numeric-ids -aH --delete --no-whole-file --sparse --one-file-system --relative src//./ \
         src//./docs dst",
        "dst",
    ),
    ("-rzcE --delete --rsync-path=P -e S src/ h:HERE/dst/", "dst"),
    (
        "-s --perms -p -t --delete --recursive --partial-dir=.rsync-partial --rsync-path=P -e S src/docs/ h:HERE/dst/",
        "dst",
    ),
];

#[test]
fn command_lines_of_programs_make_the_same_trees() {
    for (line, made) in WRAPPED {
        let results = BOTH.map(|program| {
            let start = std::time::SystemTime::now();
            let dir = tempfile::tempdir().unwrap();
            let here = dir.path().canonicalize().unwrap();
            for name in ["src/docs/deep", "src/cache", "src/empty", "old/docs", "dst"] {
                fs::create_dir_all(here.join(name)).unwrap();
            }
            for (name, text) in
                [("src/docs/a", "a"), ("src/docs/b~", "b"), ("src/cache/x", "x"), ("old/docs/a", "a")]
            {
                fs::write(here.join(name), text.repeat(3000)).unwrap();
                old(&here.join(name));
            }
            fs::hard_link(here.join("src/docs/a"), here.join("src/docs/deep/hard")).unwrap();
            symlink("docs/a", here.join("src/link")).unwrap();
            for name in ["src/link", "src/docs/deep", "src/docs", "src/cache", "src/empty", "src"] {
                old(&here.join(name));
            }
            touch(&here.join("dst"), &["-d", "2019-01-01"]);
            let shell = peers::fake_shell(&here);
            let at = here.to_str().unwrap();
            let words: Vec<String> = line
                .split_whitespace()
                .map(|word| match word {
                    "S" => shell.to_str().unwrap().to_owned(),
                    "--rsync-path=P" => format!("--rsync-path={}", program.path()),
                    _ => word.replace("HERE", at),
                })
                .collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let first = run(program, &here, &words);
            fs::write(here.join("src/docs/a"), "changed").unwrap();
            fs::remove_file(here.join("src/docs/b~")).unwrap();
            touch(&here.join("src/docs/a"), &["-d", "2021-01-01"]);
            let second = run(program, &here, &words);
            let items = |out: &Outcome| {
                let told = out
                    .stdout
                    .lines()
                    .filter(|line| !line.contains(" bytes") && !line.starts_with("File list"));
                (
                    out.code,
                    told.filter(|line| !line.contains("speedup")).map(str::to_owned).collect::<Vec<_>>(),
                )
            };
            (snapshot(&here.join(made), start), [items(&first), items(&second)])
        });
        let [(stock, told), (own, own_told)] = results;
        assert_eq!(told[0].0, Some(0), "{line}: {told:?}");
        assert_eq!(own_told, told, "{line}");
        assert_eq!(difference(&stock, &own), None, "{line}");
    }
}

/// A process that ends with its test.
struct Watcher(Child);

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
