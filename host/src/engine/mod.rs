//! The file system: core's ports `Source` and `Target` on Linux.
//!
//! Plain directory-relative system calls; nothing here knows the wire or a runtime. Every access below a
//! transfer root goes through [`beneath::Tree`]. What a file needs to be put in place is in [`write::Shared`],
//! whose methods are plain functions on descriptors and owned data and may run on any thread.
//! Entry points: [`FileSource`] and [`TreeTarget`].

mod acl;
mod ahead;
mod aside;
mod backlog;
mod backup;
mod behind;
mod beneath;
mod block_sums;
mod charset;
mod completions;
mod confine;
mod converter;
mod copy;
mod digest;
mod draft;
mod extended;
mod fake;
mod fds;
mod forward;
mod glob;
mod ids;
mod listing;
mod meta;
mod named;
mod pool;
mod reading;
mod removal;
mod sifting;
mod source;
mod special;
mod target;
pub mod temp;
mod visit;
mod waiting;
mod workers;
mod write;
mod xattr;
#[allow(unsafe_code)]
mod xattr_at;

use arsync_core::ports::{PortError, Stat};
use rustix::io::Errno;

pub(crate) use self::{
    beneath::{Links, Tree},
    charset::Iconv,
    glob::{Expander, TooMany, expand_anywhere},
};
#[allow(unused_imports, reason = "used by the sessions")]
pub use self::{
    confine::Confinement,
    converter::convert_by,
    copy::copy_contents,
    fds::enter_jail,
    ids::{Identity, Names as IdNames, NoIdentity, groups_of},
    source::{FileSource, SourceFile},
    target::{SetupError, TreeTarget},
    workers::Workers,
};

/// The port error of a system call's error.
pub(crate) fn port(error: Errno) -> PortError {
    PortError(error.raw_os_error())
}

/// A path that stays below where it begins. Components `.` stay: they mean something with `-R`.
pub(crate) fn inside(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&b| b == b'/') {
        match part {
            b"" => {}
            b".." => while parts.pop().is_some_and(|gone| gone == b".") {},
            part => parts.push(part),
        }
    }
    let mut out = parts.join(&b'/');
    if out.is_empty() {
        return b".".to_vec();
    }
    if path.ends_with(b"/") {
        out.push(b'/');
    }
    out
}

/// The absolute form of a path of this process: a relative one is below the current directory; without `.` components and
/// doubled slashes.
pub(crate) fn absolute(path: &[u8]) -> Vec<u8> {
    let mut full = if path.starts_with(b"/") {
        b"/".to_vec()
    } else {
        rustix::process::getcwd(Vec::new()).map(alloc::ffi::CString::into_bytes).unwrap_or_default()
    };
    for part in path.split(|&b| b == b'/').filter(|p| !p.is_empty() && *p != b".") {
        if !full.ends_with(b"/") {
            full.push(b'/');
        }
        full.extend_from_slice(part);
    }
    full
}

/// Processors that this process may use. Asked for once: the answer is in files of the control group.
pub(crate) fn processors() -> usize {
    static COUNT: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *COUNT.get_or_init(|| std::thread::available_parallelism().map_or(1, core::num::NonZero::get))
}

/// The file creation mask of this process.
pub(crate) fn umask() -> u32 {
    static MASK: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *MASK.get_or_init(|| {
        let mask = rustix::process::umask(rustix::fs::Mode::empty());
        rustix::process::umask(mask);
        mask.as_raw_mode()
    })
}

/// The port's form of a `stat`.
fn to_stat(st: &rustix::fs::Stat) -> Stat {
    Stat {
        mode: st.st_mode,
        size: u64::try_from(st.st_size).unwrap_or(0),
        mtime: st.st_mtime,
        nsec: u32::try_from(st.st_mtime_nsec).unwrap_or(0),
        atime: st.st_atime,
        atime_nsec: u32::try_from(st.st_atime_nsec).unwrap_or(0),
        uid: st.st_uid,
        gid: st.st_gid,
        rdev: (rustix::fs::major(st.st_rdev), rustix::fs::minor(st.st_rdev)),
        dev: st.st_dev,
        ino: st.st_ino,
        nlink: u32::try_from(st.st_nlink).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! The executor of the engine's tests: its futures never wait.
    use core::{
        future::Future,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(out) => out,
            Poll::Pending => panic!("a file system call waited"),
        }
    }
}
