//! Wildcards in the paths that a client asks for: a daemon expands them below its module.

use arsync_core::filter::wildmatch;
use rustix::fs::{Dir, OFlags};

use crate::engine::{Links, Tree};

/// Paths that one pattern may stand for.
const MAX_PATHS: usize = 100_000;

/// The paths below `root` that a pattern stands for, in order; itself if there are none. Links that lead outside
/// are not followed.
pub(super) fn expand(root: &Tree, pattern: &[u8]) -> Vec<Vec<u8>> {
    if !is_wild(pattern) {
        return vec![pattern.to_vec()];
    }
    let mut found: Vec<Vec<u8>> = vec![Vec::new()];
    for (number, part) in pattern.split(|&b| b == b'/').enumerate() {
        let mut next = Vec::new();
        for dir in &found {
            let join =
                |name: &[u8]| if number == 0 { name.to_vec() } else { [&dir[..], b"/", name].concat() };
            if is_wild(part) {
                next.extend(matches(root, dir, part).iter().map(|name| join(name)));
            } else {
                next.push(join(part));
            }
        }
        found = next;
        found.truncate(MAX_PATHS);
    }
    found.retain(|path| root.open_with(path, OFlags::PATH | OFlags::NOFOLLOW, Links::Inside).is_ok());
    if found.is_empty() { vec![pattern.to_vec()] } else { found }
}

/// The names in a directory that match, sorted.
fn matches(root: &Tree, dir: &[u8], pattern: &[u8]) -> Vec<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let Ok(entries) = root.open_with(dir, flags, Links::Inside).and_then(|fd| Dir::read_from(&fd)) else {
        return Vec::new();
    };
    let names = entries.filter_map(Result::ok).map(|entry| entry.file_name().to_bytes().to_vec());
    let shown = |name: &Vec<u8>| !name.starts_with(b".") || pattern.starts_with(b".");
    let real = |name: &Vec<u8>| name != b"." && name != b"..";
    let mut names: Vec<_> =
        names.filter(|name| real(name) && shown(name) && wildmatch(pattern, name)).collect();
    names.sort_unstable();
    names
}

fn is_wild(text: &[u8]) -> bool {
    text.iter().any(|b| b"*?[".contains(b))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn patterns_are_expanded_below_the_root_only() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a1/x", "a2/x", "a2/y", "b/x", ".h", "[x]"] {
            let path = dir.path().join("m").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        fs::create_dir(dir.path().join("secret")).unwrap();
        fs::write(dir.path().join("secret/x"), "").unwrap();
        symlink("../secret", dir.path().join("m/out")).unwrap();
        let root = Tree::new(fs::File::open(dir.path().join("m")).unwrap().into(), Links::Inside);
        let of = |pattern: &str| {
            let found = expand(&root, pattern.as_bytes());
            found.into_iter().map(|p| String::from_utf8(p).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(of("a*/x"), ["a1/x", "a2/x"]);
        assert_eq!(of("*/[xy]"), ["a1/x", "a2/x", "a2/y", "b/x"]);
        assert_eq!(of("out/*"), ["out/*"]);
        assert_eq!(of("[x]"), ["[x]"]);
        assert_eq!(of("\\[x\\]"), ["[x]"]);
        assert_eq!(of(".*"), [".h"]);
        assert_eq!(of("none*"), ["none*"]);
        assert_eq!(of("a2/"), ["a2/"]);
        assert_eq!(of("../s*"), ["../s*"]);
    }
}
