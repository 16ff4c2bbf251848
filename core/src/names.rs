//! What a received name may look like. A [`RelName`] is the proof that it was checked.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

#[cfg(feature = "alloc")]
use crate::error::{NameFault, ProtocolError};
use crate::limits::MAX_PATH;

/// A path below the transfer root: no leading slash, no empty, `.` or `..` component, no NUL.
/// The root itself is `.`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RelName<'a>(&'a [u8]);

impl<'a> RelName<'a> {
    /// The transfer root.
    pub const ROOT: RelName<'static> = RelName(b".");

    /// Wraps a name that is already clean.
    pub fn new(name: &'a [u8]) -> Option<Self> {
        let clean = name == b"." || is_clean(name);
        clean.then_some(Self(name))
    }

    /// Wraps a name that [`RelName::new`] has accepted before.
    #[cfg(feature = "alloc")]
    pub(crate) fn checked(name: &'a [u8]) -> Self {
        debug_assert!(Self::new(name).is_some());
        Self(name)
    }

    /// The bytes.
    pub const fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Directory part (without slash) and last component; the directory part of a top-level name is `None`.
    pub fn split(self) -> (Option<&'a [u8]>, &'a [u8]) {
        match memchr::memrchr(b'/', self.0) {
            Some(i) => (self.0.get(..i), self.0.get(i + 1..).unwrap_or_default()),
            None => (None, self.0),
        }
    }

    /// The last component.
    pub fn base(self) -> &'a [u8] {
        self.split().1
    }

    /// The directory that holds the name; the root for a top-level name.
    pub fn parent(self) -> Self {
        self.split().0.map_or(RelName::ROOT, RelName)
    }
}

/// A name as it counts from the root of the transfer: those of absolute arguments of `-R` begin with a slash.
#[cfg(feature = "alloc")]
pub(crate) fn below(name: &[u8]) -> &[u8] {
    name.strip_prefix(b"/").unwrap_or(name)
}

/// Cleans a name from the wire in place of copying it when it is clean already (spec: checks per entry).
///
/// Slashes are collapsed, `.` components and a trailing slash dropped. `..` anywhere, a NUL, and an
/// absolute name without `absolute_allowed` (`-R`) are faults; with it one leading slash is kept, since lists
/// are sorted with it.
#[cfg(feature = "alloc")]
pub fn clean(name: &[u8], absolute_allowed: bool, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
    out.clear();
    if is_clean(name) {
        out.extend_from_slice(name);
        return Ok(());
    }
    if name.contains(&0) {
        return Err(ProtocolError::Name(NameFault::Nul));
    }
    if name.first() == Some(&b'/') && !absolute_allowed {
        return Err(ProtocolError::Name(NameFault::Unsafe));
    }
    let absolute = name.first() == Some(&b'/');
    if absolute {
        out.push(b'/');
    }
    for component in name.split(|&b| b == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return Err(ProtocolError::Name(NameFault::Unsafe)),
            c => {
                if out.len() > usize::from(absolute) {
                    out.push(b'/');
                }
                out.extend_from_slice(c);
            }
        }
    }
    if name.is_empty() {
        return Err(ProtocolError::Name(NameFault::Unrequested));
    }
    if out.len() == usize::from(absolute) {
        out.push(b'.');
    }
    if out.len() >= MAX_PATH {
        return Err(ProtocolError::Name(NameFault::Overflow));
    }
    Ok(())
}

/// A relative name that needs no cleaning, in one pass; most are.
fn is_clean(name: &[u8]) -> bool {
    // Length of the component so far, and whether it consists of dots.
    let (mut len, mut dots) = (0usize, true);
    for &byte in name {
        match byte {
            0 => return false,
            b'/' if dots && len <= 2 => return false,
            b'/' => (len, dots) = (0, true),
            byte => {
                len += 1;
                dots &= byte == b'.';
            }
        }
    }
    // An empty component is dots too.
    !(dots && len <= 2) && name.len() < MAX_PATH
}

/// Makes of `out` the name of a child of a directory.
#[cfg(feature = "alloc")]
pub(crate) fn inside(out: &mut Vec<u8>, dir: &[u8], child: &[u8]) {
    out.clear();
    // Below `/.`, the root of the file system, names begin with the slash.
    out.extend_from_slice(if matches!(dir, b"." | b"/.") { &dir[..dir.len() - 1] } else { dir });
    if !out.is_empty() && !out.ends_with(b"/") {
        out.push(b'/');
    }
    out.extend_from_slice(child);
}

/// True if following a symlink leaves the transfer tree (spec: unsafe symlinks).
///
/// `path` is the name of the link below the transfer root.
pub fn is_unsafe_link(target: &[u8], path: &[u8]) -> bool {
    if target.is_empty() || target.starts_with(b"/") {
        return true;
    }
    let mut rest = target;
    while let Some(after) = rest.strip_prefix(b"../") {
        let skip = after.iter().take_while(|&&b| b == b'/').count();
        rest = after.get(skip..).unwrap_or_default();
    }
    if memchr::memmem::find(rest, b"/../").is_some() || (target.len() > 3 && target.ends_with(b"/..")) {
        return true;
    }
    let mut depth = 0i32;
    let mut components = path.split(|&b| b == b'/').filter(|c| !c.is_empty()).peekable();
    while let Some(component) = components.next() {
        if components.peek().is_none() {
            break;
        }
        match component {
            b"." => {}
            b".." => depth = 0,
            _ => depth += 1,
        }
    }
    let mut parts = target.split(|&b| b == b'/').peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match part {
            b".." => {
                depth -= 1;
                if depth < 0 {
                    return true;
                }
            }
            b"" | b"." => {}
            _ if !last => depth += 1,
            _ => {}
        }
    }
    depth < 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning_follows_the_reference() {
        let mut out = Vec::new();
        clean(b"a//b/./c/", false, &mut out).unwrap();
        assert_eq!(out, b"a/b/c");
        clean(b"/etc//x", true, &mut out).unwrap();
        assert_eq!(out, b"/etc/x");
        clean(b"./", false, &mut out).unwrap();
        assert_eq!(out, b".");
        for bad in [&b"../x"[..], b"a/../x", b"/x", b"a/..", b"a\0b"] {
            assert!(clean(bad, false, &mut out).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn unsafe_links_as_observed() {
        for safe in [
            "x",
            "../x",
            "../../x",
            "..",
            ".",
            "./x",
            "..//..//x",
            "../..//",
            "../.",
            "../b/x",
            "x/..y",
            "...",
        ] {
            assert!(!is_unsafe_link(safe.as_bytes(), b"a/b/L"), "{safe}");
        }
        for bad in [
            "../../../x",
            "/etc/x",
            "b/../x",
            "../..",
            "../../..",
            "x/..",
            "x/../y",
            "../a/../x",
            "./../x",
            "./..",
            "../../../",
        ] {
            assert!(is_unsafe_link(bad.as_bytes(), b"a/b/L"), "{bad}");
        }
        assert!(!is_unsafe_link(b"sub/x", b"L"));
        assert!(is_unsafe_link(b"../x", b"L"));
        assert!(is_unsafe_link(b"..", b"L"));
    }
}
