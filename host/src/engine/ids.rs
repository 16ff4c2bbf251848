//! Names of users and groups, by the C library (which knows the name services) or a program in its place, remembered.

use alloc::ffi::CString;
use core::{cell::RefCell, hash::Hash, mem::MaybeUninit, ptr};
use std::collections::HashMap;

use rustix::io::Errno;

use super::converter;

/// The four lookups, each remembered for the life of the value.
#[derive(Debug, Default)]
pub struct Names {
    users: Memo<u32, Vec<u8>>,
    groups: Memo<u32, Vec<u8>>,
    uids: Memo<Vec<u8>, u32>,
    gids: Memo<Vec<u8>, u32>,
    /// Nothing is looked up.
    silent: bool,
}

#[derive(Debug)]
struct Memo<K, V>(RefCell<HashMap<K, Option<V>>>);

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<K: Eq + Hash, V: Clone> Memo<K, V> {
    fn get(&self, key: K, look_up: impl FnOnce(&K) -> Option<V>) -> Option<V> {
        if let Some(known) = self.0.borrow().get(&key) {
            return known.clone();
        }
        let found = look_up(&key);
        self.0.borrow_mut().insert(key, found.clone());
        found
    }
}

impl Names {
    /// `silent`: ids have no names, and names no ids.
    pub fn new(silent: bool) -> Self {
        Self { silent, ..Self::default() }
    }

    /// Name of a user.
    pub fn user(&self, uid: u32) -> Option<Vec<u8>> {
        if self.silent {
            return None;
        }
        self.users.get(uid, |&uid| {
            if let Some(answer) = converter::ask("uid", uid.to_string().as_bytes()) {
                return answer;
            }
            // SAFETY: `getpwuid_r` fills `record` with pointers into `buf` only.
            record(
                |record, buf, len, out| unsafe { libc::getpwuid_r(uid, record, buf, len, out) },
                |r| {
                    // SAFETY: on success `pw_name` is a NUL-terminated string in the buffer, which outlives this call.
                    unsafe { c_bytes(r.pw_name) }
                },
            )
        })
    }

    /// Name of a group.
    pub fn group(&self, gid: u32) -> Option<Vec<u8>> {
        if self.silent {
            return None;
        }
        self.groups.get(gid, |&gid| {
            if let Some(answer) = converter::ask("gid", gid.to_string().as_bytes()) {
                return answer;
            }
            // SAFETY: `getgrgid_r` fills `record` with pointers into `buf` only.
            record(
                |record, buf, len, out| unsafe { libc::getgrgid_r(gid, record, buf, len, out) },
                |r| {
                    // SAFETY: on success `gr_name` is a NUL-terminated string in the buffer, which outlives this call.
                    unsafe { c_bytes(r.gr_name) }
                },
            )
        })
    }

    /// Id of a user.
    pub fn uid(&self, name: &[u8]) -> Option<u32> {
        if self.silent {
            return None;
        }
        self.uids.get(name.to_vec(), |name| {
            if let Some(answer) = converter::ask_number("usr", name) {
                return answer;
            }
            let name = CString::new(name.as_slice()).ok()?;
            record(
                // SAFETY: `name` is a C string that outlives the call; the rest as above.
                |record, buf, len, out| unsafe { libc::getpwnam_r(name.as_ptr(), record, buf, len, out) },
                |r| r.pw_uid,
            )
        })
    }

    /// Id of a group.
    pub fn gid(&self, name: &[u8]) -> Option<u32> {
        if self.silent {
            return None;
        }
        self.gids.get(name.to_vec(), |name| {
            if let Some(answer) = converter::ask_number("grp", name) {
                return answer;
            }
            let name = CString::new(name.as_slice()).ok()?;
            record(
                // SAFETY: `name` is a C string that outlives the call; the rest as above.
                |record, buf, len, out| unsafe { libc::getgrnam_r(name.as_ptr(), record, buf, len, out) },
                |r| r.gr_gid,
            )
        })
    }
}

/// Another user whose rights a process takes (`--copy-as`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

/// Why there is no such identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoIdentity<'a> {
    /// No such user.
    User(&'a [u8]),
    /// No such group.
    Group(&'a [u8]),
    /// The user has no entry that would say which groups it has.
    Entry,
}

impl Identity {
    /// From `USER` or `USER:GROUP`, each a name or a number; without a group the user has all of its own.
    pub fn parse(text: &[u8]) -> Result<Self, NoIdentity<'_>> {
        let names = Names::default();
        let (user, group) = match memchr::memchr(b':', text) {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let number = |name: &[u8]| core::str::from_utf8(name).ok().and_then(|t| t.parse().ok());
        let uid = names.uid(user).or_else(|| number(user)).ok_or(NoIdentity::User(user))?;
        if let Some(group) = group {
            let gid = names.gid(group).or_else(|| number(group)).ok_or(NoIdentity::Group(group))?;
            return Ok(Self { uid, gid, groups: vec![gid] });
        }
        let (gid, groups) = groups_of(uid).ok_or(NoIdentity::Entry)?;
        Ok(Self { uid, gid, groups })
    }

    /// Of these ids.
    pub fn new(uid: u32, gid: u32, groups: Vec<u32>) -> Self {
        Self { uid, gid, groups }
    }

    /// Takes the identity for the whole process, for good. The error says which call failed.
    pub fn assume(&self) -> Result<(), (&'static str, Errno)> {
        let done = |name, result: libc::c_int| {
            let error = std::io::Error::last_os_error().raw_os_error().unwrap_or(1);
            if result == 0 { Ok(()) } else { Err((name, Errno::from_raw_os_error(error))) }
        };
        // SAFETY: plain calls; the pointer is to as many live values as are announced.
        unsafe {
            done("setgid", libc::setgid(self.gid))?;
            done("setgroups", libc::setgroups(self.groups.len(), self.groups.as_ptr()))?;
            done("setuid", libc::setuid(self.uid))
        }
    }
}

/// The main group of a user, and all of its groups.
pub fn groups_of(uid: u32) -> Option<(u32, Vec<u32>)> {
    // SAFETY: `getpwuid_r` fills `record` with pointers into `buf` only.
    let call = |record, buf, len, out| unsafe { libc::getpwuid_r(uid, record, buf, len, out) };
    record(call, |r: &libc::passwd| {
        let mut groups = vec![0; 64];
        loop {
            let mut count = libc::c_int::try_from(groups.len()).unwrap_or(libc::c_int::MAX);
            // SAFETY: the name is a C string in the record's buffer, and `groups` holds `count` values.
            let found =
                unsafe { libc::getgrouplist(r.pw_name, r.pw_gid, groups.as_mut_ptr(), &raw mut count) };
            let needed = usize::try_from(count).unwrap_or(0);
            if found >= 0 || needed <= groups.len() {
                groups.truncate(needed);
                return (r.pw_gid, groups);
            }
            groups.resize(needed, 0);
        }
    })
}

/// Runs one of the `get*_r` calls with a buffer that grows as it asks for.
fn record<R, T>(
    call: impl Fn(*mut R, *mut libc::c_char, usize, *mut *mut R) -> libc::c_int,
    take: impl FnOnce(&R) -> T,
) -> Option<T> {
    let mut buf: Vec<libc::c_char> = vec![0; 1024];
    loop {
        let mut record = MaybeUninit::<R>::uninit();
        let mut out = ptr::null_mut();
        match call(record.as_mut_ptr(), buf.as_mut_ptr(), buf.len(), &mut out) {
            libc::EINTR => {}
            libc::ERANGE if buf.len() < 1 << 22 => buf.resize(buf.len() * 4, 0),
            0 if !out.is_null() => {
                // SAFETY: the call succeeded and set `out`, so it initialised the record; `buf` is alive.
                return Some(take(unsafe { record.assume_init_ref() }));
            }
            _ => return None,
        }
    }
}

/// # Safety
/// `text` points to a NUL-terminated string.
unsafe fn c_bytes(text: *const libc::c_char) -> Vec<u8> {
    // SAFETY: by the caller's promise.
    unsafe { core::ffi::CStr::from_ptr(text) }.to_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_by_name_and_number() {
        let names = Names::default();
        assert_eq!(names.user(0).unwrap(), b"root");
        assert_eq!(names.group(0).unwrap(), b"root");
        assert_eq!(names.uid(b"root"), Some(0));
        assert_eq!(names.gid(b"root"), Some(0));
    }

    #[test]
    fn unknown_ids_have_no_name() {
        let names = Names::default();
        for _ in 0..2 {
            assert_eq!(names.user(3_999_999_999), None);
            assert_eq!(names.gid(b"no such group"), None);
            assert_eq!(names.uid(b"with\0nul"), None);
        }
    }
}
