//! One rule and how it is matched with a name (spec: matching).

use alloc::{boxed::Box, vec::Vec};
use core::cell::OnceCell;

use super::wild::wildmatch;

/// Who evaluates a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FilterSide {
    /// Decides what goes into the file list.
    Sender,
    /// Decides what may be deleted.
    Receiver,
}

/// Whether rules with the modifier `p` have a say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Perishable {
    /// They count as any other.
    Counts,
    /// They protect nothing: the name is in a directory that is being deleted.
    Ignored,
}

/// The sides that a rule was limited to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Sides {
    /// Nothing was said: both, or the sender with `--delete-excluded`.
    #[default]
    Unsaid,
    Sender,
    Receiver,
    /// Both were named.
    Both,
}

impl Sides {
    pub(super) fn with(self, side: Self) -> Self {
        if self == Self::Unsaid || self == side { side } else { Self::Both }
    }

    /// True if the rule does not count on this side.
    pub(super) fn elided(self, side: FilterSide) -> bool {
        matches!((self, side), (Self::Sender, FilterSide::Receiver) | (Self::Receiver, FilterSide::Sender))
    }
}

/// An include or exclude rule.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub include: bool,
    pub negate: bool,
    pub perishable: bool,
    pub xattr: bool,
    pub sides: Sides,
    /// The side is there because of `--delete-excluded`, and the wire form does not name it.
    pub quiet_side: bool,
    /// Part of the CVS list, which may travel as one rule.
    pub cvs: bool,
    /// Modifier `/` in the wire form.
    pub abs_modifier: bool,
    /// It was read from a file: messages do not show it.
    pub from_file: bool,
    pub pattern: Pattern,
}

/// A pattern with what is known about it beforehand.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    /// As written, without the slash at the end; for the wire.
    pub text: Box<[u8]>,
    /// What is compared, without the slash in front; empty: `text` without it.
    rewritten: Box<[u8]>,
    /// It ended in a slash: only directories.
    pub directory: bool,
    /// Compared with the absolute path.
    absolute: bool,
    anchored: bool,
    wild: bool,
    /// Starts with `**`.
    wild2_prefix: bool,
    /// Ends with `***`.
    wild3_suffix: bool,
    place: Place,
}

/// The part of a name that a pattern is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The last component.
    Base,
    /// The last component, which must end with the pattern behind its `*`.
    Suffix,
    /// So many components at the end.
    Tail(usize),
    /// The start, and behind each slash.
    Anywhere,
    Whole,
}

impl Pattern {
    /// `absolute`: compare with the absolute path. `dir`: an anchored pattern is below this directory (absolute,
    /// without the slash in front), and then is absolute.
    pub(super) fn new(text: &[u8], absolute: bool, dir: Option<&[u8]>) -> Self {
        let directory = text.len() > 1 && text.ends_with(b"/");
        let text = &text[..text.len() - usize::from(directory)];
        let slashes = text.iter().filter(|&&b| b == b'/').count();
        let wild = text.iter().any(|b| matches!(b, b'*' | b'?' | b'['));
        let wild2 = wild && text.windows(2).any(|w| w == b"**");
        let wild2_prefix = text.starts_with(b"**");
        let anchored = text.starts_with(b"/");
        let place = if slashes == 0 && !wild2 {
            let literal = |b: &u8| !matches!(b, b'*' | b'?' | b'[' | b'\\');
            if text.first() == Some(&b'*') && text[1..].iter().all(literal) {
                Place::Suffix
            } else {
                Place::Base
            }
        } else if anchored {
            Place::Whole
        } else if !wild2 {
            Place::Tail(slashes + 1)
        } else if !wild2_prefix {
            Place::Anywhere
        } else {
            Place::Whole
        };
        let rewritten = match dir.filter(|_| anchored) {
            None => Vec::new(),
            Some(dir) => below(dir, text, wild),
        };
        Self {
            absolute: absolute || !rewritten.is_empty(),
            rewritten: rewritten.into(),
            directory,
            anchored,
            wild,
            wild2_prefix,
            wild3_suffix: wild2 && text.ends_with(b"***"),
            place,
            text: text.into(),
        }
    }

    pub(super) fn matches(&self, name: &Name<'_>) -> bool {
        if self.directory && !name.is_dir {
            return false;
        }
        let pattern: &[u8] = match &*self.rewritten {
            [] => &self.text[usize::from(self.anchored)..],
            rewritten => rewritten,
        };
        let slash = self.wild3_suffix && name.is_dir;
        let text = match self.place {
            Place::Base | Place::Suffix => name.base(),
            _ if self.absolute => name.absolute(slash),
            _ if self.wild2_prefix => name.with_slash_in_front(slash),
            _ => name.plain(slash),
        };
        match self.place {
            Place::Suffix => text.ends_with(&pattern[1..]),
            Place::Base | Place::Whole => {
                if self.wild {
                    wildmatch(pattern, text)
                } else {
                    pattern == text
                }
            }
            Place::Tail(count) if self.wild => tail(text, count).is_some_and(|text| wildmatch(pattern, text)),
            Place::Tail(_) => {
                text.strip_suffix(pattern).is_some_and(|rest| rest.is_empty() || rest.ends_with(b"/"))
            }
            Place::Anywhere => {
                wildmatch(pattern, text)
                    || memchr::memchr_iter(b'/', text).any(|i| wildmatch(pattern, &text[i + 1..]))
            }
        }
    }
}

/// An anchored pattern below a directory, whose own name is literal even if the pattern is not.
fn below(dir: &[u8], pattern: &[u8], wild: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(dir.len() + pattern.len());
    for &b in dir {
        if wild && matches!(b, b'*' | b'?' | b'[' | b'\\') {
            out.push(b'\\');
        }
        out.push(b);
    }
    out.extend_from_slice(if dir.is_empty() { &pattern[1..] } else { pattern });
    out
}

/// The last `count` components.
fn tail(text: &[u8], count: usize) -> Option<&[u8]> {
    let mut slashes = memchr::memrchr_iter(b'/', text);
    match slashes.nth(count - 1) {
        Some(at) => Some(&text[at + 1..]),
        None => (memchr::memchr_iter(b'/', text).count() + 1 == count).then_some(text),
    }
}

impl Rule {
    /// True if the rule decides about the name.
    pub(super) fn matches(&self, name: &Name<'_>, perishable: Perishable) -> bool {
        let counts = !self.perishable || perishable == Perishable::Counts;
        if self.xattr != name.is_xattr || !counts {
            return false;
        }
        self.pattern.matches(name) != self.negate
    }
}

/// A name with its other forms, made when the first rule needs them.
pub(super) struct Name<'a> {
    /// Not empty, without a slash in front.
    name: &'a [u8],
    base: &'a [u8],
    is_dir: bool,
    is_xattr: bool,
    /// The directory that the name is relative to, without a slash in front; empty: the root.
    cwd: &'a [u8],
    /// `/` cwd `/` name `/`
    full: OnceCell<Vec<u8>>,
}

impl<'a> Name<'a> {
    /// None if the name is empty, which no rule matches. A name with a slash in front is absolute.
    pub(super) fn new(name: &'a [u8], is_dir: bool, is_xattr: bool, cwd: &'a [u8]) -> Option<Self> {
        let (name, cwd) = match name.strip_prefix(b"/") {
            Some(rest) => (rest, &b""[..]),
            None => (name, cwd),
        };
        if name.is_empty() {
            return None;
        }
        let base = memchr::memrchr(b'/', name).map_or(name, |at| &name[at + 1..]);
        Some(Self { name, base, is_dir, is_xattr, cwd, full: OnceCell::new() })
    }

    fn base(&self) -> &[u8] {
        self.base
    }

    fn full(&self) -> &[u8] {
        self.full.get_or_init(|| {
            let cwd: &[u8] = self.cwd;
            let parts: [&[u8]; 5] = [b"/", cwd, if cwd.is_empty() { b"" } else { b"/" }, self.name, b"/"];
            parts.concat()
        })
    }

    fn plain(&self, slash: bool) -> &[u8] {
        if slash { &self.full()[self.full().len() - self.name.len() - 1..] } else { self.name }
    }

    fn with_slash_in_front(&self, slash: bool) -> &[u8] {
        let full = self.full();
        &full[full.len() - self.name.len() - 2..full.len() - usize::from(!slash)]
    }

    fn absolute(&self, slash: bool) -> &[u8] {
        let full = self.full();
        &full[1..full.len() - usize::from(!slash)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(pattern: &str, name: &str, is_dir: bool) -> bool {
        let name = Name::new(name.as_bytes(), is_dir, false, b"top/dir").unwrap();
        Pattern::new(pattern.as_bytes(), false, None).matches(&name)
    }

    #[test]
    fn names_with_a_slash_in_front_are_absolute() {
        let name = Name::new(b"/a/b", false, false, b"top").unwrap();
        assert!(Pattern::new(b"/a/b", true, None).matches(&name));
        assert!(!Pattern::new(b"/top/a/b", true, None).matches(&name));
        assert!(Name::new(b"/", true, false, b"top").is_none());
    }

    #[test]
    fn anchored_rules_of_a_directory_hold_below_it() {
        let pattern = Pattern::new(b"/*.c", false, Some(b"top/dir/[x]"));
        let name = |n: &'static [u8]| Name::new(n, false, false, b"top/dir").unwrap();
        assert!(pattern.matches(&name(b"[x]/a.c")));
        assert!(!pattern.matches(&name(b"x/a.c")));
        assert!(!pattern.matches(&name(b"a.c")));
        assert!(Pattern::new(b"/foo", false, Some(b"")).absolute);
    }

    #[test]
    fn tails_need_all_their_components() {
        assert!(hit("a/*", "z/a/q", false) && hit("a/*", "a/q", false));
        assert!(!hit("a/*", "q", false) && !hit("a/*", "a/q/r", false));
        assert!(hit("a/b/", "z/a/b", true) && !hit("a/b/", "a/b", false));
    }
}
