//! What a pulling client asked for, as patterns: a sender may not add names of its own (spec: checks on an untrusted
//! sender, requested names only).

use alloc::vec::Vec;

use hashbrown::HashSet;

use super::rule::{Name, Pattern};
use crate::options::Select;

/// How a name relates to what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Request {
    /// It was not asked for.
    No,
    /// Only as a directory on the way to something.
    Parent,
    /// It was.
    Yes,
}

/// The patterns of all arguments.
#[derive(Debug, Default)]
pub struct Requested {
    /// Names that are no patterns, and the directories on the way to them: there may be a million of them.
    literal: HashSet<Vec<u8>>,
    literal_parents: HashSet<Vec<u8>>,
    /// What is directly in one of these was asked for too.
    contents: bool,
    wanted: Vec<Pattern>,
    parents: Vec<Pattern>,
    /// The whole tree was asked for.
    all: bool,
    /// The contents of the root were asked for, at least.
    root: bool,
}

impl Requested {
    /// `args`: paths on the sender's machine, or names of a list below one directory. Of `select` counts which of `-R`, `-r`
    /// and `-d` are in force.
    pub fn new<'a>(args: impl IntoIterator<Item = &'a [u8]>, select: &Select) -> Self {
        let Select { relative, recursive, dirs, .. } = *select;
        let mut out = Self::default();
        for arg in args {
            let name = clean(active_part(arg, relative));
            if name.is_empty() {
                out.all |= recursive;
                out.root |= recursive || dirs;
                if dirs && !recursive {
                    out.add(b"/*");
                }
                continue;
            }
            let literal = !name.iter().any(|&b| is_wild(b) || b == b'\\');
            if literal && !recursive {
                out.contents = dirs;
                out.add_literal(name, relative);
                continue;
            }
            let protected = protect(&name);
            if recursive || dirs {
                out.add(&[&protected[..], if recursive { b"/**" } else { b"/*" }].concat());
            }
            // Without wildcards it is no pattern.
            let text = if name.iter().any(|&b| is_wild(b)) { protected } else { name };
            out.add(&text);
            if relative {
                for at in memchr::memchr_iter(b'/', &text).filter(|&at| at > 0) {
                    let parent = [&text[..at], b"/"].concat();
                    out.parents.push(Pattern::new(&parent, false, None));
                    if parent.contains(&b'[') {
                        out.parents.push(Pattern::new(&literal_brackets(&parent), false, None));
                    }
                }
            }
        }
        out
    }

    /// `name` begins with a slash.
    fn add_literal(&mut self, mut name: Vec<u8>, relative: bool) {
        name.remove(0);
        if relative {
            for parent in memchr::memchr_iter(b'/', &name).filter_map(|at| name.get(..at)).rev() {
                // Whoever is known has brought its own parents.
                if self.literal_parents.contains(parent) {
                    break;
                }
                self.literal_parents.insert(parent.to_vec());
            }
        }
        self.literal.insert(name);
    }

    fn add(&mut self, pattern: &[u8]) {
        self.wanted.push(Pattern::new(pattern, false, None));
        // A shell passes a pattern that matches nothing as it is.
        if pattern.contains(&b'[') {
            self.wanted.push(Pattern::new(&literal_brackets(pattern), false, None));
        }
    }

    /// What a name of the list is.
    pub fn check(&self, name: &[u8], is_dir: bool) -> Request {
        if self.all {
            return Request::Yes;
        }
        if name == b"." || name == b"/." {
            return if self.root { Request::Yes } else { Request::Parent };
        }
        let below = name.strip_prefix(b"/").unwrap_or(name);
        let parent = memchr::memrchr(b'/', below).and_then(|at| below.get(..at)).filter(|_| self.contents);
        if self.literal.contains(below) || parent.is_some_and(|parent| self.literal.contains(parent)) {
            return Request::Yes;
        }
        let Some(name) = Name::new(name, is_dir, false, b"") else { return Request::No };
        if self.wanted.iter().any(|p| p.matches(&name)) {
            Request::Yes
        } else if (is_dir && self.literal_parents.contains(below))
            || self.parents.iter().any(|p| p.matches(&name))
        {
            Request::Parent
        } else {
            Request::No
        }
    }
}

/// The part of an argument that appears in names.
fn active_part(arg: &[u8], relative: bool) -> &[u8] {
    if relative {
        return memchr::memmem::find(arg, b"/./").map_or(arg, |at| &arg[at + 3..]);
    }
    let last = memchr::memrchr(b'/', arg).map_or(arg, |at| &arg[at + 1..]);
    // The contents of the directory above.
    if last == b".." { b"" } else { last }
}

/// Without `.` components and needless slashes; with a slash in front unless nothing is left.
fn clean(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 1);
    for part in text.split(|&b| b == b'/').filter(|part| !matches!(*part, b"" | b".")) {
        out.push(b'/');
        out.extend_from_slice(part);
    }
    out
}

fn is_wild(b: u8) -> bool {
    matches!(b, b'*' | b'?' | b'[')
}

/// In a pattern with wildcards, a backslash that protects none of them stands for itself.
fn protect(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for (i, &b) in name.iter().enumerate() {
        if b == b'\\' && !name.get(i + 1).is_some_and(|&next| is_wild(next)) {
            out.push(b'\\');
        }
        out.push(b);
    }
    out
}

fn literal_brackets(pattern: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(pattern.len() + 2);
    for &b in pattern {
        if b == b'[' {
            out.push(b'\\');
        }
        out.push(b);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(args: &[&str], letters: &str) -> Requested {
        let has = |c| letters.contains(c);
        let select = Select { relative: has('R'), recursive: has('r'), dirs: has('d'), ..Select::default() };
        Requested::new(args.iter().map(|a| a.as_bytes()), &select)
    }

    #[test]
    fn names_of_arguments() {
        let all = asked(&["src/"], "r");
        assert_eq!(all.check(b"any/thing", false), Request::Yes);
        assert_eq!(all.check(b".", true), Request::Yes);
        let file = asked(&["dir/file"], "");
        assert_eq!(file.check(b"file", false), Request::Yes);
        assert_eq!(file.check(b"other", false), Request::No);
        assert_eq!(file.check(b"file/x", false), Request::No);
        assert_eq!(file.check(b".", true), Request::Parent);
        let stars = asked(&["src/a*"], "r");
        assert_eq!(stars.check(b"ab/c/d", false), Request::Yes);
        assert_eq!(stars.check(b"b", false), Request::No);
        let one_level = asked(&["src/"], "d");
        assert_eq!(one_level.check(b"x", false), Request::Yes);
        assert_eq!(one_level.check(b"x/y", false), Request::No);
    }

    #[test]
    fn parents_of_relative_arguments_are_on_the_way_only() {
        let r = asked(&["src/./a/b"], "Rr");
        assert_eq!(r.check(b"a", true), Request::Parent);
        assert_eq!(r.check(b"a", false), Request::No);
        assert_eq!(r.check(b"a/b/c", false), Request::Yes);
        assert_eq!(r.check(b"a/c", false), Request::No);
        let absolute = asked(&["/x/y"], "R");
        assert_eq!(absolute.check(b"/x/y", false), Request::Yes);
        assert_eq!(absolute.check(b"/x", true), Request::Parent);
    }

    #[test]
    fn brackets_and_backslashes_may_be_literal() {
        let r = asked(&["d/a[1]", "d/b\\c*"], "");
        for name in [&b"a1"[..], b"a[1]", b"b\\cd"] {
            assert_eq!(r.check(name, false), Request::Yes, "{}", name.escape_ascii());
        }
        assert_eq!(r.check(b"a2", false), Request::No);
        let r = asked(&["b\\c"], "r");
        assert_eq!(r.check(b"b\\c", true), Request::Yes);
        assert_eq!(r.check(b"b\\c/d/e", false), Request::Yes);
        assert_eq!(r.check(b"bc/d", false), Request::No);
        let r = asked(&["b\\c/d"], "Rr");
        assert_eq!(r.check(b"b\\c", true), Request::Parent);
        assert_eq!(r.check(b"b\\c/d/e", false), Request::Yes);
    }

    #[test]
    fn names_without_wildcards_are_looked_up() {
        let r = asked(&["a/b/c", "x", "w*"], "R");
        assert_eq!(r.check(b"a/b/c", false), Request::Yes);
        assert_eq!(r.check(b"/a/b/c", false), Request::Yes);
        assert_eq!(r.check(b"x", true), Request::Yes);
        assert_eq!((r.check(b"a", true), r.check(b"a/b", true)), (Request::Parent, Request::Parent));
        assert_eq!((r.check(b"a/b", false), r.check(b"a/b/d", false)), (Request::No, Request::No));
        let d = asked(&["a/b"], "Rd");
        assert_eq!((d.check(b"a/b/x", false), d.check(b"a/b/x/y", false)), (Request::Yes, Request::No));
        assert_eq!((r.check(b"wx", false), r.literal.len(), r.literal_parents.len()), (Request::Yes, 2, 2));
    }
}
