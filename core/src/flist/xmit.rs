//! The flag word in front of each entry (spec: XMIT flags). Some bits change their meaning with the version.

pub(crate) const TOP_DIR: u32 = 1;
pub(crate) const SAME_MODE: u32 = 1 << 1;
/// Protocol 27: device number equals the last one.
pub(crate) const SAME_RDEV_PRE28: u32 = 1 << 2;
/// Protocol ≥ 28 without varint flags: a second byte follows. In varint mode: filler.
pub(crate) const EXTENDED: u32 = 1 << 2;
pub(crate) const SAME_UID: u32 = 1 << 3;
pub(crate) const SAME_GID: u32 = 1 << 4;
pub(crate) const SAME_NAME: u32 = 1 << 5;
pub(crate) const LONG_NAME: u32 = 1 << 6;
pub(crate) const SAME_TIME: u32 = 1 << 7;
/// Devices, protocol ≥ 28.
pub(crate) const SAME_RDEV_MAJOR: u32 = 1 << 8;
/// Directories, protocol ≥ 30.
pub(crate) const NO_CONTENT_DIR: u32 = 1 << 8;
pub(crate) const HLINKED: u32 = 1 << 9;
/// Protocol 28, 29.
pub(crate) const SAME_DEV_PRE30: u32 = 1 << 10;
/// Protocol ≥ 30.
pub(crate) const USER_NAME: u32 = 1 << 10;
/// Protocol 28, 29.
pub(crate) const RDEV_MINOR_8_PRE30: u32 = 1 << 11;
/// Protocol ≥ 30.
pub(crate) const GROUP_NAME: u32 = 1 << 11;
/// With [`HLINKED`], protocol ≥ 30.
pub(crate) const HLINK_FIRST: u32 = 1 << 12;
/// End marker with an error word, where safe lists are allowed and flags are not varints.
pub(crate) const IO_ERROR_END: u32 = EXTENDED | 1 << 12;
pub(crate) const MOD_NSEC: u32 = 1 << 13;
pub(crate) const SAME_ATIME: u32 = 1 << 14;
#[cfg(feature = "alloc")]
pub(crate) const CRTIME_EQ_MTIME: u32 = 1 << 17;
