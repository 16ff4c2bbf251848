//! What a local run leaves behind, against what the stock binary leaves (lines and trees noted from it).

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, SystemTime},
};

use super::run;

/// Everything below a directory, sorted.
fn names(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for item in fs::read_dir(dir).unwrap() {
        let path = item.unwrap().path();
        found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        if path.is_dir() {
            let base = found.last().unwrap().clone();
            found.extend(names(&path).iter().map(|name| format!("{base}/{name}")));
        }
    }
    found.sort();
    found
}

/// An empty directory is an item alone: it is made under the destination's name, beside what stands there already.
#[test]
fn a_lone_directory_takes_the_name_of_the_destination() {
    for options in ["-r", "-a", "-d", "-a --no-i-r", "-a --exclude=*"] {
        for delete in
            ["", "--delete", "--delete-before", "--delete-after", "--delete-delay", "--delete --protocol=29"]
        {
            for source in ["empty", "empty/"] {
                let dir = tempfile::tempdir().unwrap();
                fs::create_dir_all(dir.path().join("empty")).unwrap();
                fs::create_dir_all(dir.path().join("parent/beside/x")).unwrap();
                let line = format!("{options} {delete} -i {source} parent/dst");
                let excluded = options.contains("exclude") && source == "empty";
                let words: Vec<_> = line.split_whitespace().collect();
                let (code, out, err) = run(dir.path(), &words);
                let shown = match (excluded, source) {
                    (true, _) => "",
                    (false, "empty/") => "cd+++++++++ ./\n",
                    (false, _) => "cd+++++++++ empty/\n",
                };
                assert_eq!((code, out.as_str(), err.as_str()), (0, shown, ""), "{line}");
                let expected: &[_] =
                    if excluded { &["beside", "beside/x"] } else { &["beside", "beside/x", "dst"] };
                assert_eq!(names(&dir.path().join("parent")), expected, "{line}");
            }
        }
    }
}

/// A member of a link group that a rule skips does not take the group with it.
#[test]
fn a_skipped_leader_hands_its_link_group_over() {
    let cases = [
        ("-aHiu", &["d/e/k"][..], ">f+++++++++ d/h\nhf+++++++++ a1 => d/h\n"),
        ("-aHiu", &["d/h"], ">f+++++++++ d/e/k\nhf+++++++++ a1 => d/e/k\n"),
        ("-aHiu", &["d/h", "d/e/k"], ">f+++++++++ a1\n"),
        ("-aHi --ignore-existing", &["d/e/k"], ">f+++++++++ d/h\nhf+++++++++ a1 => d/h\n"),
        ("-aHiu --no-i-r", &["a1", "d/e/k"], ">f+++++++++ d/h\n"),
        ("-aHi --append", &["d/e/k"], ">f+++++++++ d/h\nhf+++++++++ a1 => d/h\n"),
    ];
    for (options, standing, shown) in cases {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("src/d/e")).unwrap();
        fs::create_dir_all(dir.path().join("dst/d/e")).unwrap();
        fs::write(dir.path().join("src/a1"), "one\n").unwrap();
        for other in ["d/h", "d/e/k"] {
            fs::hard_link(dir.path().join("src/a1"), dir.path().join("src").join(other)).unwrap();
        }
        let later = SystemTime::now() + Duration::from_secs(1 << 20);
        for name in standing {
            let path = dir.path().join("dst").join(name);
            fs::write(&path, "longer than the source\n").unwrap();
            fs::File::open(&path).unwrap().set_modified(later).unwrap();
        }
        let line = format!("{options} --omit-dir-times src/ dst/");
        let (code, out, err) = run(dir.path(), &line.split(' ').collect::<Vec<_>>());
        assert_eq!((code, out.as_str(), err.as_str()), (0, shown, ""), "{line} {standing:?}");
        let made: Vec<_> = ["a1", "d/h", "d/e/k"].into_iter().filter(|n| !standing.contains(n)).collect();
        for name in &made {
            let path = dir.path().join("dst").join(name);
            assert_eq!(fs::read(&path).unwrap(), b"one\n", "{line} {name}");
            assert_eq!(fs::metadata(&path).unwrap().nlink(), made.len() as u64, "{line} {name}");
        }
    }
}
