//! Names of users and groups, by the C library (which knows the name services), remembered.

use alloc::ffi::CString;
use core::{cell::RefCell, hash::Hash, mem::MaybeUninit, ptr};
use std::collections::HashMap;

/// The four lookups, each remembered for the life of the value.
#[derive(Debug, Default)]
pub struct Names {
    users: Memo<u32, Vec<u8>>,
    groups: Memo<u32, Vec<u8>>,
    uids: Memo<Vec<u8>, u32>,
    gids: Memo<Vec<u8>, u32>,
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
    /// Name of a user.
    pub fn user(&self, uid: u32) -> Option<Vec<u8>> {
        self.users.get(uid, |&uid| {
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
        self.groups.get(gid, |&gid| {
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
        self.uids.get(name.to_vec(), |name| {
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
        self.gids.get(name.to_vec(), |name| {
            let name = CString::new(name.as_slice()).ok()?;
            record(
                // SAFETY: `name` is a C string that outlives the call; the rest as above.
                |record, buf, len, out| unsafe { libc::getgrnam_r(name.as_ptr(), record, buf, len, out) },
                |r| r.gr_gid,
            )
        })
    }
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
