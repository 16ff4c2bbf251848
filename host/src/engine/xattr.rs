//! Extended attributes by system calls: listed, read, written, removed. Knows no rules about names.

use std::{
    ffi::{CStr, CString},
    os::fd::OwnedFd,
};

use rustix::{
    fs::{
        XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr, getxattr, lgetxattr, llistxattr,
        lremovexattr, lsetxattr,
    },
    io::{self, Errno},
};

use super::{fds, meta::Handle, xattr_at};

/// Room for the first try of a list or a value, bytes.
const FIRST: usize = 256;

/// A name in a directory, in the way in which it can be given to the kernel.
enum Named<'a> {
    At(&'a OwnedFd, CString),
    Path(CString),
}

impl<'a> Named<'a> {
    fn new(dir: &'a OwnedFd, name: &[u8]) -> io::Result<Self> {
        if xattr_at::are_there() {
            return Ok(Self::At(dir, c_name(name)?));
        }
        Ok(Self::Path(c_name(&fds::path_in(dir, name)?)?))
    }

    fn list(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::At(dir, name) => xattr_at::list(dir, name, buf),
            Self::Path(path) => llistxattr(path, buf),
        }
    }

    fn get(&self, follow: bool, attribute: &CStr, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::At(dir, name) => xattr_at::get(dir, name, follow, attribute, buf),
            Self::Path(path) if follow => getxattr(path, attribute, buf),
            Self::Path(path) => lgetxattr(path, attribute, buf),
        }
    }

    fn set(&self, attribute: &CStr, value: &[u8]) -> io::Result<()> {
        match self {
            Self::At(dir, name) => xattr_at::set(dir, name, attribute, value),
            Self::Path(path) => lsetxattr(path, attribute, value, XattrFlags::empty()),
        }
    }

    fn remove(&self, attribute: &CStr) -> io::Result<()> {
        match self {
            Self::At(dir, name) => xattr_at::remove(dir, name, attribute),
            Self::Path(path) => lremovexattr(path, attribute),
        }
    }
}

fn c_name(name: &[u8]) -> io::Result<CString> {
    CString::new(name).map_err(|_| Errno::INVAL)
}

/// Calls with a buffer that grows until the answer fits.
fn growing(mut call: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut first = [0; FIRST];
    match call(&mut first) {
        Ok(len) => return Ok(first[..len].to_vec()),
        Err(Errno::RANGE) => {}
        Err(error) => return Err(error),
    }
    let mut buf = vec![0; 4 * FIRST];
    loop {
        match call(&mut buf) {
            Ok(len) => {
                buf.truncate(len);
                return Ok(buf);
            }
            Err(Errno::RANGE) if buf.len() < 1 << 24 => buf.resize(buf.len() * 4, 0),
            Err(error) => return Err(error),
        }
    }
}

/// The names of all attributes; none where the file system knows none. A symlink is not followed.
pub fn names(on: Handle<'_>) -> io::Result<Vec<Vec<u8>>> {
    let list = match on {
        Handle::File(file) => growing(|buf| flistxattr(file, buf)),
        Handle::Name(dir, name) => {
            let named = Named::new(dir, name)?;
            growing(|buf| named.list(buf))
        }
    };
    match list {
        Ok(list) => Ok(list.split(|&b| b == 0).filter(|n| !n.is_empty()).map(<[u8]>::to_vec).collect()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The value of an attribute. `follow`: through a symlink.
pub fn get(on: Handle<'_>, follow: bool, name: &[u8]) -> io::Result<Vec<u8>> {
    let name = c_name(name)?;
    match on {
        Handle::File(file) => growing(|buf| fgetxattr(file, &name, buf)),
        Handle::Name(dir, file) => {
            let named = Named::new(dir, file)?;
            growing(|buf| named.get(follow, &name, buf))
        }
    }
}

/// As [`get`]; `None` where there is no such attribute, or the file system knows none.
pub fn find(on: Handle<'_>, follow: bool, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    match get(on, follow, name) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes an attribute.
pub fn set(on: Handle<'_>, name: &[u8], value: &[u8]) -> io::Result<()> {
    let name = c_name(name)?;
    match on {
        Handle::File(file) => fsetxattr(file, &name, value, XattrFlags::empty()),
        Handle::Name(dir, file) => Named::new(dir, file)?.set(&name, value),
    }
}

/// Removes an attribute; it is no error if there is none.
pub fn remove(on: Handle<'_>, name: &[u8]) -> io::Result<()> {
    let name = c_name(name)?;
    let removed = match on {
        Handle::File(file) => fremovexattr(file, &name),
        Handle::Name(dir, file) => Named::new(dir, file)?.remove(&name),
    };
    match removed {
        Err(Errno::NODATA) => Ok(()),
        other => other,
    }
}

/// Copies attributes, as far as they can be copied.
pub fn copy(from: Handle<'_>, to: Handle<'_>, wanted: impl Fn(&[u8]) -> bool) {
    for name in names(from).unwrap_or_default().iter().filter(|name| wanted(name)) {
        if let Ok(value) = get(from, false, name) {
            let _ = set(to, name, &value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;
    use crate::needs::needs;

    #[test]
    fn attributes_are_set_listed_and_removed_by_name_and_descriptor() {
        let tmp = tempfile::tempdir().unwrap();
        fs::write(tmp.path().join("f"), "x").unwrap();
        symlink("f", tmp.path().join("l")).unwrap();
        let dir: OwnedFd = fs::File::open(tmp.path()).unwrap().into();
        let file: OwnedFd = fs::File::open(tmp.path().join("f")).unwrap().into();
        let (by_name, by_file) = (Handle::Name(&dir, b"f"), Handle::File(&file));
        let able = set(by_name, b"user.a", &[7; 300]) != Err(Errno::OPNOTSUPP);
        if !needs("extended attributes", able) {
            return;
        }
        set(by_file, b"user.b", b"").unwrap();
        let mut found = names(by_name).unwrap();
        found.retain(|n| n.starts_with(b"user."));
        found.sort();
        assert_eq!(found, [b"user.a", b"user.b"]);
        assert_eq!(get(by_file, false, b"user.a").unwrap(), [7; 300]);
        assert_eq!(find(by_name, false, b"user.c"), Ok(None));
        remove(by_name, b"user.a").unwrap();
        remove(by_name, b"user.a").unwrap();
        assert_eq!(find(by_file, false, b"user.a"), Ok(None));
        let link = Handle::Name(&dir, b"l");
        assert_eq!(find(link, false, b"user.b").ok().flatten(), None);
        assert_eq!(find(link, true, b"user.b"), Ok(Some(Vec::new())));
    }
}
