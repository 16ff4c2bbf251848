//! Where a module is, and as whom its files are handled: path, root, user and groups (spec: paths, chroot).

use crate::engine::{IdNames, Identity, enter_jail, groups_of};

use super::{
    config::{Param, Values},
    privileges::change_root,
};

/// The user whose rights a daemon of root takes by default.
const NOBODY: &[u8] = b"nobody";

/// How a module's directory becomes the place of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The directory that becomes the root of the process; none: the root stays.
    pub(super) jail: Option<Vec<u8>>,
    /// The module, as the process sees it then.
    pub(super) root: Vec<u8>,
    /// Paths can lead out of the module.
    pub(super) confined: bool,
    /// Symlinks are kept with a prefix unless the module says otherwise.
    pub(super) munges: bool,
}

/// The place of a path. `jailed`: the process may change its root, and does where the module leaves it open.
pub(super) fn place(path: &[u8], use_chroot: bool) -> Place {
    let inner = memchr::memmem::find(path, b"/./");
    let whole = || cleaned(path);
    match (use_chroot, inner) {
        (true, Some(at)) => {
            let (outer, inner) = (cleaned(&path[..at]), cleaned(&path[at + 2..]));
            let confined = inner != b"/";
            Place { jail: Some(outer), root: inner, confined, munges: confined }
        }
        (true, None) => Place { jail: Some(whole()), root: b"/".to_vec(), confined: false, munges: false },
        (false, _) => {
            let root = whole();
            Place { jail: None, confined: root != b"/", munges: root != b"/", root }
        }
    }
}

/// An absolute path without doubled slashes and `.`.
fn cleaned(path: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = path.split(|&b| b == b'/').filter(|part| !matches!(part, [] | [b'.'])).collect();
    [b"/", parts.join(&b'/').as_slice()].concat()
}

/// Whether the root is changed for a module that leaves it open.
pub(super) fn chroot_by_default(path: &[u8]) -> bool {
    memchr::memmem::find(path, b"/./").is_some() || rustix::process::geteuid().is_root()
}

impl Place {
    /// Takes it: the error says which step failed.
    pub(super) fn take(&self) -> Result<(), (&'static str, rustix::io::Errno)> {
        if let Some(jail) = &self.jail {
            enter_jail(|| change_root(jail)).map_err(|errno| ("chroot", errno))?;
        }
        rustix::process::chdir(self.root.as_slice()).map_err(|errno| ("chdir", errno))
    }
}

/// Why there is no identity: the text for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoIdentity {
    /// No such user.
    User(Vec<u8>),
    /// No such group.
    Group(Vec<u8>),
    /// The groups of the user are not known.
    Groups,
}

impl NoIdentity {
    /// What is sent behind `@ERROR: `.
    pub(super) fn text(&self) -> Vec<u8> {
        match self {
            Self::User(name) => [b"invalid uid ", &name[..]].concat(),
            Self::Group(name) => [b"invalid gid ", &name[..]].concat(),
            Self::Groups => b"invalid gid setting.".to_vec(),
        }
    }
}

/// As whom a module is served; `None`: as the one that the process is anyway.
pub(super) fn identity(values: &Values) -> Result<Option<Identity>, NoIdentity> {
    let names = IdNames::default();
    let root = rustix::process::geteuid().is_root();
    let (user, groups) = (values.text(Param::Uid), values.text(Param::Gid));
    if !root && user.is_none() && groups.is_none() {
        return Ok(None);
    }
    let user = user.or(root.then_some(NOBODY));
    let uid = match user {
        Some(name) => id(name, |n| names.uid(n)).ok_or_else(|| NoIdentity::User(name.to_vec()))?,
        None => rustix::process::geteuid().as_raw(),
    };
    let of_user = || groups_of(uid).ok_or(NoIdentity::Groups);
    let Some(groups) = groups else {
        // The group that goes with `nobody`.
        let gid = match names.gid(NOBODY).or_else(|| names.gid(b"nogroup")) {
            Some(gid) if root => gid,
            _ => rustix::process::getegid().as_raw(),
        };
        return Ok(Some(Identity::new(uid, gid, vec![gid])));
    };
    let mut all = Vec::new();
    let words = groups.split(|b| *b == b',' || b.is_ascii_whitespace()).filter(|word| !word.is_empty());
    for (number, word) in words.enumerate() {
        if word == b"*" {
            if number > 0 {
                return Err(NoIdentity::Group(word.to_vec()));
            }
            let (first, others) = of_user()?;
            all.push(first);
            all.extend(others.into_iter().filter(|gid| *gid != first));
        } else {
            all.push(id(word, |n| names.gid(n)).ok_or_else(|| NoIdentity::Group(word.to_vec()))?);
        }
    }
    let first = *all.first().ok_or(NoIdentity::Groups)?;
    Ok(Some(Identity::new(uid, first, all)))
}

/// A number, or the number of a name.
fn id(text: &[u8], look_up: impl FnOnce(&[u8]) -> Option<u32>) -> Option<u32> {
    let number = core::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.or_else(|| look_up(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_by_path_and_choice() {
        let jailed = place(b"/srv//m/", true);
        assert_eq!((jailed.jail.as_deref(), &*jailed.root), (Some(&b"/srv/m"[..]), &b"/"[..]));
        assert!(!jailed.confined && !jailed.munges);
        let inner = place(b"/srv/./m", true);
        assert_eq!((inner.jail.as_deref(), &*inner.root), (Some(&b"/srv"[..]), &b"/m"[..]));
        assert!(inner.confined && inner.munges);
        let free = place(b"/srv/./m", false);
        assert_eq!((free.jail, &*free.root), (None, &b"/srv/m"[..]));
        assert!(free.confined && free.munges);
        let all = place(b"/", false);
        assert!(!all.confined && !all.munges);
    }

    #[test]
    fn ids_are_numbers_or_names() {
        assert_eq!(id(b"17", |_| None), Some(17));
        assert_eq!(id(b"x", |_| Some(3)), Some(3));
        assert_eq!(id(b"x", |_| None), None);
    }
}
