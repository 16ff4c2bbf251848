//! The children of a directory with their attributes.

use core::cell::RefCell;
use std::os::fd::OwnedFd;

use arsync_core::ports::Child;
use bytes::Bytes;
use rustix::{
    fs::{AtFlags, RawDir, statat},
    io::Errno,
};

use super::{fake, meta::Handle, port, to_stat};

/// Bytes of directory entries read at a time.
const BUFFER: usize = 256 << 10;

thread_local! {
    static ENTRIES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reads a directory from its start, in the order of the file system. An error in the middle is returned
/// beside what was read. `fakes`: attributes of fake-super are applied.
pub fn children(dir: &OwnedFd, fakes: bool) -> (Vec<Child>, Option<Errno>) {
    ENTRIES.with_borrow_mut(|buf| {
        buf.reserve(BUFFER);
        let (mut found, mut names, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        let mut entries = RawDir::new(dir, buf.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return (named(found, names, &lengths), Some(error)),
            };
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).and_then(|st| {
                let mut stat = to_stat(&st);
                if fakes {
                    fake::overlay(Handle::Name(dir, name.to_bytes()), false, &mut stat)?;
                }
                Ok(stat)
            });
            let stat = stat.map_err(port);
            names.extend_from_slice(name.to_bytes());
            lengths.push(name.count_bytes());
            found.push(Child { name: Bytes::new(), stat });
        }
        (named(found, names, &lengths), None)
    })
}

/// Gives the children their names, which stay in one buffer: one taken for each, here, and given back by whoever used
/// them, on another thread, costs as much as all else.
fn named(mut children: Vec<Child>, names: Vec<u8>, lengths: &[usize]) -> Vec<Child> {
    let mut names = Bytes::from(names);
    for (child, &length) in children.iter_mut().zip(lengths) {
        child.name = names.split_to(length);
    }
    children
}
