//! Directories of which everything is removed, emptied ahead of whoever reports it.
//!
//! What is removed, and what it means for the directory, is decided elsewhere; directories in it stay.

use alloc::sync::Arc;

use arsync_core::{
    names::RelName,
    ports::{Child, Doomed, MayGo, Rights, Stat},
};
use bytes::Bytes;
use rustix::{
    fs::{AtFlags, FileType, OFlags, RawDir, statat, unlinkat},
    io,
};

use super::{
    ahead::{Ahead, Read, Turn},
    port, to_stat,
    write::Shared,
};

/// Bytes of directory entries read at a time.
const BUFFER: usize = 64 << 10;

/// The directories of one tree that are being removed.
#[derive(Debug)]
pub struct Removals {
    ahead: Ahead<Box<[u8]>, Vec<Doomed>>,
    /// Every file may be removed, whatever its owner may do with it.
    super_user: bool,
    euid: u32,
}

impl Removals {
    /// Nothing is removed yet. `plain`: files are what they look like.
    pub fn new(rights: &Rights, plain: bool) -> Self {
        let cores = super::processors();
        let threads = if cores == 1 || !plain { 0 } else { cores.min(4) };
        let ahead = Ahead::with_threads(threads).keeping_all();
        Self { ahead, super_user: rights.super_user, euid: rights.euid }
    }

    /// Directories that will be removed.
    pub fn announce<'n>(
        &self,
        shared: &Arc<Shared>,
        dirs: &mut dyn Iterator<Item = RelName<'n>>,
        may_go: MayGo,
    ) {
        if !self.ahead.is_useful() {
            return;
        }
        // Others lose their right to write first, which is not done here.
        let owner = (!self.super_user).then_some(self.euid);
        let may_go = Arc::new(may_go);
        self.ahead.announce(
            Turn::Next,
            dirs.map(|dir| {
                let (shared, dir, may_go) = (shared.clone(), Box::<[u8]>::from(dir.bytes()), may_go.clone());
                let key = dir.clone();
                let read = Read::new(move || empty(&shared, &dir, &**may_go, owner).ok());
                (key, read)
            }),
        );
    }

    /// What was in an announced directory.
    pub fn take(&self, dir: RelName<'_>) -> Option<Vec<Doomed>> {
        if !self.ahead.is_useful() {
            return None;
        }
        self.ahead.take(&dir.bytes().into())
    }
}

/// Removes what may go. An error comes before anything was removed.
fn empty(
    shared: &Shared,
    path: &[u8],
    may_go: &dyn Fn(&[u8]) -> bool,
    owner: Option<u32>,
) -> io::Result<Vec<Doomed>> {
    let tree = shared.tree();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let dir = tree.open_with(path, flags, tree.links())?;
    let mut buf = Vec::with_capacity(BUFFER);
    let mut found = Vec::new();
    let mut entries = RawDir::new(&dir, buf.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let kind = entry.file_type();
        let stat = if owner.is_some() || matches!(kind, FileType::Directory | FileType::Unknown) {
            statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).map(|st| to_stat(&st)).map_err(port)
        } else {
            Ok(Stat { mode: kind.as_raw_mode(), ..Stat::default() })
        };
        found.push(Doomed {
            child: Child { name: Bytes::copy_from_slice(name.to_bytes()), stat },
            removed: None,
        });
    }
    let prefix = if path == b"." { Vec::new() } else { [path, b"/"].concat() };
    let mut full = prefix.clone();
    for doomed in &mut found {
        let Ok(stat) = doomed.child.stat else { continue };
        let writable = owner.is_none_or(|euid| stat.uid != euid || stat.mode & 0o200 != 0);
        full.truncate(prefix.len());
        full.extend_from_slice(&doomed.child.name);
        if !stat.is_dir() && writable && may_go(&full) {
            doomed.removed = Some(unlinkat(&dir, &*doomed.child.name, AtFlags::empty()).map_err(port));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use arsync_core::options::SessionOptions;

    use super::*;
    use crate::engine::beneath::{Links, Tree};

    #[test]
    fn what_may_go_is_removed_and_the_rest_is_reported_as_it_is() {
        let tmp = tempfile::tempdir().unwrap();
        fs::create_dir_all(tmp.path().join("d/sub")).unwrap();
        fs::write(tmp.path().join("d/f"), "x").unwrap();
        fs::write(tmp.path().join("d/kept"), "x").unwrap();
        symlink("f", tmp.path().join("d/l")).unwrap();
        let tree = Tree::new(fs::File::open(tmp.path()).unwrap().into(), Links::Never);
        let shared = Shared::new(tree, &SessionOptions::default(), true).unwrap();
        let may_go = |name: &[u8]| name != b"d/kept";
        let mut found = empty(&shared, b"d", &may_go, None).unwrap();
        found.sort_by(|a, b| a.child.name.cmp(&b.child.name));
        let seen: Vec<_> = found.iter().map(|d| (&*d.child.name, d.removed)).collect();
        let gone = Some(Ok(()));
        assert_eq!(seen, [(&b"f"[..], gone), (b"kept", None), (b"l", gone), (b"sub", None)]);
        assert!(found[3].child.stat.unwrap().is_dir());
        let mut left: Vec<_> =
            fs::read_dir(tmp.path().join("d")).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["kept", "sub"]);
        assert!(empty(&shared, b"d/kept", &may_go, None).is_err());
    }
}
