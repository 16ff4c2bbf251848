//! `max connections`: slots in a lock file, which the kernel frees when the process that holds one ends (spec:
//! connection limits).

use std::fs::File;

use rustix::fs::OFlags;

use super::privileges::lock_range;
use crate::vouched::{self, Trust};

/// Bytes of the file that stand for one slot.
const SLOT: i64 = 4;

/// Why there is no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoSlot {
    /// All are taken.
    Full,
    /// The file cannot be used.
    BadFile,
}

/// Takes one of `max` slots. It is held as long as the file that is returned is open; 0: none is needed.
pub(super) fn take(path: &[u8], max: i32) -> Result<Option<File>, NoSlot> {
    if max == 0 {
        return Ok(None);
    }
    if max < 0 {
        return Err(NoSlot::Full);
    }
    let file = vouched::file(path, OFlags::RDWR | OFlags::CREATE, 0o600, Trust::Own);
    let file = file.map_err(|_| NoSlot::BadFile)?;
    if (0..i64::from(max)).any(|slot| lock_range(&file, slot * SLOT, SLOT)) {
        return Ok(Some(file));
    }
    Err(NoSlot::Full)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::ffi::OsStrExt, path::Path};

    use super::*;

    #[test]
    fn the_file_is_touched_only_where_there_is_a_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let of = |path: &Path, max| take(path.as_os_str().as_bytes(), max);
        assert!(of(&path, 0).unwrap().is_none());
        assert_eq!(of(&path, -1).unwrap_err(), NoSlot::Full);
        assert!(!path.exists());
        assert!(of(&path, 1).unwrap().is_some());
        assert!(path.exists());
        assert_eq!(of(&dir.path().join("no/lock"), 1).unwrap_err(), NoSlot::BadFile);
    }
}
