//! The system calls that take an attribute of a name in an open directory, as kernels from 6.13 on have them. Before,
//! only a path through `/proc` leads there, which costs more than the attribute.

use core::ffi::CStr;
use std::{
    os::fd::{AsRawFd, OwnedFd},
    sync::OnceLock,
};

use rustix::io::{self, Errno};

// One number on all architectures but alpha and mips, whose kernels answer with an error that means "not there".
const SETXATTRAT: libc::c_long = 463;
const GETXATTRAT: libc::c_long = 464;
const LISTXATTRAT: libc::c_long = 465;
const REMOVEXATTRAT: libc::c_long = 466;

/// `struct xattr_args` of the kernel.
#[repr(C, align(8))]
struct Args {
    value: u64,
    size: u32,
    flags: u32,
}

impl Args {
    fn of(value: *const u8, len: usize) -> io::Result<Self> {
        Ok(Self { value: value as u64, size: u32::try_from(len).map_err(|_| Errno::TOOBIG)?, flags: 0 })
    }
}

/// The kernel has these calls.
pub fn are_there() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    *THERE.get_or_init(|| {
        let none: *mut u8 = core::ptr::null_mut();
        // SAFETY: the name is a constant that ends with NUL; with a length of 0 nothing is written.
        let result = unsafe { libc::syscall(LISTXATTRAT, libc::AT_FDCWD, c".".as_ptr(), 0, none, 0usize) };
        // A filter of system calls that does not know it may say EPERM, which a list of names never does.
        !matches!(length(result), Err(Errno::NOSYS | Errno::PERM | Errno::INVAL))
    })
}

fn flags(follow: bool) -> libc::c_int {
    if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW }
}

fn length(result: libc::c_long) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| {
        let error = std::io::Error::last_os_error().raw_os_error();
        Errno::from_raw_os_error(error.unwrap_or(libc::EIO))
    })
}

/// The names of all attributes, of a symlink its own, each with a NUL behind it. Returns how long they are; `RANGE`: longer than `buf`.
pub fn list(dir: &OwnedFd, name: &CStr, buf: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `dir`, `name` and `buf` are borrowed until the call is over; at most `buf.len()` bytes are written.
    length(unsafe {
        libc::syscall(LISTXATTRAT, dir.as_raw_fd(), name.as_ptr(), flags(false), buf.as_mut_ptr(), buf.len())
    })
}

/// The value of an attribute. Returns how long it is; `RANGE`: longer than `buf`.
pub fn get(dir: &OwnedFd, name: &CStr, follow: bool, attribute: &CStr, buf: &mut [u8]) -> io::Result<usize> {
    let mut args = Args::of(buf.as_mut_ptr(), buf.len())?;
    // SAFETY: everything is borrowed until the call is over; at most `args.size` bytes are written, to `buf`, to which
    // the pointer in `args` has the right to write.
    length(unsafe {
        libc::syscall(
            GETXATTRAT,
            dir.as_raw_fd(),
            name.as_ptr(),
            flags(follow),
            attribute.as_ptr(),
            &raw mut args,
            size_of::<Args>(),
        )
    })
}

/// Writes an attribute; a symlink is not followed.
pub fn set(dir: &OwnedFd, name: &CStr, attribute: &CStr, value: &[u8]) -> io::Result<()> {
    let mut args = Args::of(value.as_ptr(), value.len())?;
    // SAFETY: everything is borrowed until the call is over, and nothing is written.
    let result = unsafe {
        libc::syscall(
            SETXATTRAT,
            dir.as_raw_fd(),
            name.as_ptr(),
            flags(false),
            attribute.as_ptr(),
            &raw mut args,
            size_of::<Args>(),
        )
    };
    length(result).map(drop)
}

/// Removes an attribute; a symlink is not followed.
pub fn remove(dir: &OwnedFd, name: &CStr, attribute: &CStr) -> io::Result<()> {
    // SAFETY: everything is borrowed until the call is over, and nothing is written.
    let result = unsafe {
        libc::syscall(REMOVEXATTRAT, dir.as_raw_fd(), name.as_ptr(), flags(false), attribute.as_ptr())
    };
    length(result).map(drop)
}
