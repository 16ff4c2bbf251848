//! Wildcards in the paths that a client asks for: a daemon expands them below its module, another server anywhere where no
//! shell has done it (`-s`).

use arsync_core::filter::wildmatch;
use rustix::fs::{CWD, Dir, Mode, OFlags, openat};

use super::beneath::{Links, Tree};

/// What the paths may come to for which the patterns of one request stand, those of directories on the way included, bytes.
/// A few million of usual length: more than their file list has room for. Symlinks can make one file stand for
/// any number.
const BUDGET: usize = 256 << 20;
/// What a path takes beside its bytes.
const EACH: usize = 48;

/// The patterns of a request stand for more paths than are kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

/// Expands the patterns of one request, which share a budget.
pub(crate) struct Expander<'a> {
    root: &'a Tree,
    left: usize,
}

impl<'a> Expander<'a> {
    /// For patterns below `root`, with its policy for symlinks.
    pub(crate) const fn new(root: &'a Tree) -> Self {
        Self { root, left: BUDGET }
    }

    /// The paths that a pattern stands for, in order; itself if there are none.
    pub(crate) fn expand(&mut self, pattern: &[u8]) -> Result<Vec<Vec<u8>>, TooMany> {
        if !is_wild(pattern) {
            return Ok(vec![pattern.to_vec()]);
        }
        let mut found: Vec<Vec<u8>> = vec![Vec::new()];
        for (number, part) in pattern.split(|&b| b == b'/').enumerate() {
            let mut next = Vec::new();
            for dir in &found {
                let names = if is_wild(part) { matches(self.root, dir, part) } else { vec![part.to_vec()] };
                for name in names {
                    let path = if number == 0 { name } else { [&dir[..], b"/", &name].concat() };
                    self.left = self.left.checked_sub(path.len() + EACH).ok_or(TooMany)?;
                    next.push(path);
                }
            }
            found = next;
        }
        // A last component without wildcards need not be there (stock binary).
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        found.retain(|path| {
            let dir = path.iter().rposition(|&b| b == b'/').map_or(&b"."[..], |slash| &path[..slash]);
            self.root.open_with(dir, flags, self.root.links()).is_ok()
        });
        Ok(if found.is_empty() { vec![pattern.to_vec()] } else { found })
    }
}

/// The paths that these stand for, relative ones from the working directory.
pub(crate) fn expand_anywhere(patterns: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, TooMany> {
    let open =
        |path: &str| openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let (Ok(top), Ok(here)) = (open("/"), open(".")) else { return Ok(patterns) };
    let (top, here) = (Tree::new(top, Links::Any), Tree::new(here, Links::Any));
    let (mut from_top, mut from_here) = (Expander::new(&top), Expander::new(&here));
    let mut paths = Vec::new();
    for pattern in patterns {
        match pattern.strip_prefix(b"/") {
            Some(below) => {
                paths.extend(from_top.expand(below)?.iter().map(|path| [b"/", &path[..]].concat()));
            }
            None => paths.append(&mut from_here.expand(&pattern)?),
        }
    }
    Ok(paths)
}

/// The names in a directory that match, sorted. Those with a dot in front are as good as others (stock binary).
fn matches(root: &Tree, dir: &[u8], pattern: &[u8]) -> Vec<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let Ok(entries) = root.open_with(dir, flags, root.links()).and_then(|fd| Dir::read_from(&fd)) else {
        return Vec::new();
    };
    let names = entries.filter_map(Result::ok).map(|entry| entry.file_name().to_bytes().to_vec());
    let real = |name: &Vec<u8>| name != b"." && name != b"..";
    let mut names: Vec<_> = names.filter(|name| real(name) && wildmatch(pattern, name)).collect();
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
            let found = Expander::new(&root).expand(pattern.as_bytes()).unwrap();
            found.into_iter().map(|p| String::from_utf8(p).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(of("a*/x"), ["a1/x", "a2/x"]);
        assert_eq!(of("*/[xy]"), ["a1/x", "a2/x", "a2/y", "b/x"]);
        assert_eq!(of("out/*"), ["out/*"]);
        assert_eq!(of("[x]"), ["[x]"]);
        assert_eq!(of("\\[x\\]"), ["[x]"]);
        assert_eq!(of(".*"), [".h"]);
        assert_eq!(of("*"), [".h", "[x]", "a1", "a2", "b", "out"]);
        assert_eq!(of("none*"), ["none*"]);
        assert_eq!(of("a2/"), ["a2/"]);
        assert_eq!(of("../s*"), ["../s*"]);
    }
    #[test]
    fn the_patterns_of_a_request_share_a_budget() {
        let dir = tempfile::tempdir().unwrap();
        for link in ["a", "b"] {
            symlink(".", dir.path().join(link)).unwrap();
        }
        let root = Tree::new(fs::File::open(dir.path()).unwrap().into(), Links::Inside);
        // 2 + 4 + … + 2¹⁰ paths of 49, 51, … 67 bytes.
        let ten = ["?"; 10].join("/");
        let spent = (1..=10).map(|n| (1 << n) * (48 + 2 * n - 1)).sum::<usize>();
        let mut expander = Expander { root: &root, left: spent + 49 };
        assert_eq!(expander.expand(ten.as_bytes()).unwrap().len(), 1024);
        assert_eq!(expander.left, 49);
        assert_eq!(expander.expand(b"a"), Ok(vec![b"a".to_vec()]));
        assert_eq!(expander.expand(b"?"), Err(TooMany));
    }
}
