//! The children of a directory with their attributes.

use core::{cell::RefCell, ffi::CStr};
use std::os::fd::OwnedFd;

use arsync_core::ports::Child;
use bytes::Bytes;
use rustix::{
    fs::{AtFlags, RawDir, statat},
    io::Errno,
};

use super::{ahead::Read, fake, meta::Handle, port, to_stat};

/// Bytes of directory entries read at a time.
const BUFFER: usize = 256 << 10;
/// A directory of so many names is looked at by several threads, by so many at most.
const SHARED: usize = 4096;
const MOST: usize = 8;
/// Directories, or parts of them, with together so many names are begun together.
pub const TOGETHER: u64 = 128;

/// What it costs to look at so many names.
pub fn cost_of_names(names: u64) -> u64 {
    Read::<()>::cost_of(TOGETHER).saturating_mul(names)
}

/// What a thread works with. It stays there: what is taken by one thread and given back by another has both wait for
/// one another in the allocator.
#[derive(Default)]
struct Scratch {
    entries: Vec<u8>,
    /// Names, each with the NUL that ends it, and their lengths without it.
    names: Vec<u8>,
    lengths: Vec<usize>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Reads a directory from its start, in the order of the file system. An error in the middle is returned
/// beside what was read. `fakes`: attributes of fake-super are applied.
pub fn children(dir: &OwnedFd, fakes: bool) -> (Vec<Child>, Option<Errno>) {
    SCRATCH.with_borrow_mut(|scratch| {
        let error = scratch.read(dir).err();
        (scratch.children(dir, fakes), error)
    })
}

/// The names in a directory, unless there are more than so many.
pub fn names(dir: &OwnedFd, most: usize) -> Result<Option<Vec<Box<[u8]>>>, Errno> {
    let mut buffer = Vec::with_capacity(BUFFER.min(most.saturating_mul(16)));
    let mut entries = RawDir::new(dir, buffer.spare_capacity_mut());
    let mut found = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            if found.len() == most {
                return Ok(None);
            }
            found.push(name.to_bytes().into());
        }
    }
    Ok(Some(found))
}

impl Scratch {
    /// Reads the names in a directory.
    fn read(&mut self, dir: &OwnedFd) -> Result<(), Errno> {
        self.names.clear();
        self.lengths.clear();
        self.entries.reserve(BUFFER);
        let mut entries = RawDir::new(dir, self.entries.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                self.names.extend_from_slice(name.to_bytes_with_nul());
                self.lengths.push(name.count_bytes());
            }
        }
        Ok(())
    }

    /// What was read, with attributes.
    fn children(&self, dir: &OwnedFd, fakes: bool) -> Vec<Child> {
        let Self { names, lengths, .. } = self;
        let mut found = Vec::with_capacity(lengths.len());
        let threads = if lengths.len() < SHARED { 1 } else { super::processors().min(MOST) };
        if threads == 1 {
            found.extend(stats(dir, names, lengths, fakes));
        } else {
            let mut rest = &**names;
            let parts: Vec<_> = lengths
                .chunks(lengths.len().div_ceil(threads))
                .map(|lengths| {
                    let (text, behind) = rest.split_at(lengths.iter().map(|length| length + 1).sum());
                    rest = behind;
                    move || stats(dir, text, lengths, fakes).collect::<Vec<_>>()
                })
                .collect();
            std::thread::scope(|scope| {
                let threads: Vec<_> = parts.into_iter().map(|part| scope.spawn(part)).collect();
                for thread in threads {
                    found.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
                }
            });
        }
        named(found, names, lengths)
    }
}

/// The attributes of names, which are not set yet.
fn stats(dir: &OwnedFd, mut names: &[u8], lengths: &[usize], fakes: bool) -> impl Iterator<Item = Child> {
    lengths.iter().map(move |&length| {
        let (name, behind) = names.split_at(length + 1);
        names = behind;
        let name = CStr::from_bytes_with_nul(name).map_err(|_| Errno::INVAL);
        let stat = name.and_then(|name| {
            let mut stat = to_stat(&statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?);
            if fakes {
                fake::overlay(Handle::Name(dir, name.to_bytes()), false, &mut stat)?;
            }
            Ok(stat)
        });
        Child { name: Bytes::new(), stat: stat.map_err(port) }
    })
}

/// Gives the children their names, which share one buffer: a buffer for each costs as much as all else.
fn named(mut children: Vec<Child>, names: &[u8], lengths: &[usize]) -> Vec<Child> {
    let mut names = Bytes::copy_from_slice(names);
    for (child, &length) in children.iter_mut().zip(lengths) {
        let mut name = names.split_to(length + 1);
        name.truncate(length);
        child.name = name;
    }
    children
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use super::*;

    /// Whether one thread looks or several, each name has its own attributes.
    #[test]
    fn names_and_attributes_belong_together() {
        let tmp = tempfile::tempdir().unwrap();
        let name = |n: usize| "x".repeat(1 + n % 50) + &n.to_string();
        let mut made = 0;
        for count in [3, SHARED + 1] {
            while made < count {
                fs::File::create(tmp.path().join(name(made))).unwrap().set_len(made as u64).unwrap();
                made += 1;
            }
            let (found, error) = children(&fs::File::open(tmp.path()).unwrap().into(), false);
            assert_eq!(error, None);
            let found: BTreeMap<_, _> =
                found.iter().map(|c| (c.name.to_vec(), c.stat.unwrap().size)).collect();
            let wanted: BTreeMap<_, _> = (0..count).map(|n| (name(n).into_bytes(), n as u64)).collect();
            assert_eq!(found, wanted);
        }
    }
}
