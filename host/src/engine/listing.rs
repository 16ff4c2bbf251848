//! The children of a directory with their attributes.

use core::cell::RefCell;
use std::os::fd::OwnedFd;

use arsync_core::ports::Child;
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
        let mut found = Vec::new();
        let mut entries = RawDir::new(dir, buf.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return (found, Some(error)),
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
            found.push(Child { name: name.to_bytes().to_vec(), stat });
        }
        (found, None)
    })
}
