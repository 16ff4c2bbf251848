//! What a session knows of files and wants of them, as the trees on both sides see it.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::{
    flist::{acl::Acl, entry::FileKind},
    names::RelName,
    ports::Op,
};

/// A failed operation: the number of the operating system's error (`errno`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PortError(pub i32);

impl PortError {
    /// No such file or directory.
    pub const NOT_FOUND: Self = Self(2);
    /// Permission denied.
    pub const ACCESS: Self = Self(13);
    /// Not a directory.
    pub const NOT_DIR: Self = Self(20);
    /// A symlink where none is followed.
    pub const LOOP: Self = Self(40);
    /// Directory not empty.
    pub const NOT_EMPTY: Self = Self(39);
    /// No data available: a file ended before its size.
    pub const NO_DATA: Self = Self(61);
    /// EOPNOTSUPP: this target cannot do that.
    pub const UNSUPPORTED: Self = Self(95);
    /// True for ENOENT.
    pub fn is_not_found(self) -> bool {
        self == Self::NOT_FOUND
    }

    /// There is nothing at the end of a path.
    pub fn leads_nowhere(self) -> bool {
        self == Self::NOT_FOUND || self == Self::NOT_DIR
    }
}

/// What `lstat` tells about a file (with the fake-super attribute already applied, where it is in use).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Stat {
    /// Type and permissions.
    pub mode: u32,
    /// Size, bytes.
    pub size: u64,
    /// Modification time, seconds.
    pub mtime: i64,
    /// Its nanoseconds.
    pub nsec: u32,
    /// Access time, seconds.
    pub atime: i64,
    /// Its nanoseconds.
    pub atime_nsec: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Major and minor, for devices.
    pub rdev: (u32, u32),
    /// Device that holds the file.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Number of hard links.
    pub nlink: u32,
}

impl Stat {
    /// The type; types unknown to the protocol count as missing.
    pub fn kind(&self) -> FileKind {
        FileKind::from_mode(self.mode).unwrap_or(FileKind::Missing)
    }
    /// Directory?
    pub fn is_dir(&self) -> bool {
        self.kind() == FileKind::Dir
    }
    /// Regular file?
    pub fn is_regular(&self) -> bool {
        self.kind() == FileKind::Regular
    }
}

/// One name found in a directory.
#[derive(Debug, Clone)]
pub struct Child {
    /// The name, one component; those of a directory can share a buffer.
    pub name: Bytes,
    /// Its `lstat`, or why that failed.
    pub stat: Result<Stat, PortError>,
}

/// One name found in a directory that is being removed.
#[derive(Debug, Clone)]
pub struct Doomed {
    /// The name, and its `lstat`; of anything but a directory only the type counts.
    pub child: Child,
    /// It was removed already, or that failed.
    pub removed: Option<Result<(), PortError>>,
}

/// Attributes to set. `None`: leave alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Attrs {
    /// Type and the 12 permission bits wanted.
    pub mode: Option<u32>,
    /// Owner wanted.
    pub uid: Option<u32>,
    /// Group wanted.
    pub gid: Option<u32>,
    /// Modification time wanted, seconds and nanoseconds.
    pub mtime: Option<(i64, u32)>,
    /// Access time wanted, seconds.
    pub atime: Option<i64>,
    /// What the file is (for fake-super and symlinks).
    pub rdev: Option<(u32, u32)>,
}

impl Attrs {
    /// Nothing but times is to be set.
    pub fn are_times(&self) -> bool {
        *self == Self { mtime: self.mtime, atime: self.atime, ..Self::default() }
    }
}

/// A change of one extended attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct XattrChange {
    /// Its name.
    pub name: Vec<u8>,
    /// The new value; `None`: it is removed.
    pub value: Option<Vec<u8>>,
}

/// What is set beside [`Attrs`]: extended attributes behind the owner, ACLs behind the times and in front of
/// the permissions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Extended {
    /// Changes of extended attributes.
    pub xattrs: Vec<XattrChange>,
    /// The access ACL wanted, without what the mode says. `None`: leave alone.
    pub acl: Option<Acl>,
    /// The default ACL wanted; [`Acl::is_absent`]: it is removed. `None`: leave alone.
    pub default_acl: Option<Acl>,
}

/// A part of [`Extended`] that could not be set; everything else was.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ExtendedFailure {
    /// What was tried.
    pub op: Op,
    /// The file, below the root of this side; a temporary by its own name.
    pub path: Vec<u8>,
    /// Name of the extended attribute.
    pub xattr: Vec<u8>,
    /// Why.
    pub error: PortError,
}

/// The step at which setting attributes failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum AttrStep {
    /// Owner or group; the steps after it were skipped. True if the owner was to change.
    Owner {
        /// The owner was to change (not only the group).
        owner: bool,
    },
    /// Times.
    Times,
    /// Permissions.
    Mode,
}

impl AttrStep {
    /// What failed, for a message.
    pub const fn op(self) -> Op {
        match self {
            Self::Owner { owner: true } => Op::Chown,
            Self::Owner { owner: false } => Op::Chgrp,
            Self::Times => Op::SetTimes,
            Self::Mode => Op::SetPermissions,
        }
    }
}

/// How received data is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WriteMode {
    /// Into a temporary beside the target (or in `--temp-dir`), renamed when complete.
    Temporary,
    /// Into the target itself.
    InPlace,
    /// Into the partial file, in place (the partial file is the basis).
    PartialInPlace,
}

/// A file about to be received.
#[derive(Debug, Clone, Copy)]
pub struct Create<'a> {
    /// Its name.
    pub name: RelName<'a>,
    /// How.
    pub mode: WriteMode,
    /// Type and permissions it will have.
    pub file_mode: u32,
    /// Size that the list announced, bytes (a hint for preallocation).
    pub size: u64,
    /// In-place: the part that is kept and appended to.
    pub append_from: u64,
}

/// How something comes to its backup name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum BackupBy {
    /// It moves: its name is free afterwards.
    Rename,
    /// It keeps its name too, if possible: the next step renames over it.
    Link,
    /// A copy, because it will be written in place.
    Copy {
        /// Its time has whole seconds, like times that travel in old protocols.
        whole_seconds: bool,
        /// Its blocks are summed up for a sender, too.
        summed: bool,
    },
}

/// Where a completed file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Destination {
    /// Onto the target name.
    Final {
        /// Back up what is there first.
        backup: bool,
    },
    /// To the partial place, because it is incomplete, failed verification or is delayed.
    Partial,
    /// Onto the target name although incomplete (`--partial` without a directory).
    KeptPartial {
        /// Back up what is there first.
        backup: bool,
    },
}

/// What failed when a file was put in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CommitStep {
    /// The backup of the old file. Fatal for the session.
    Backup,
    /// Truncating or flushing (`--fsync`). Fatal.
    Sync,
    /// Writing buffered data. Fatal.
    Write,
    /// Making the temporary, where that was put off; the data was dropped.
    Create,
    /// Setting attributes; the file is in place.
    Attrs(AttrStep),
    /// Renaming; the temporary was removed.
    Rename,
    /// The partial directory could not be made; the data was removed.
    PartialDir,
}

/// What the process on the destination side may do. Default: no change of owners, user 0, no groups, a mask of 0.
#[derive(Debug, Clone, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Rights {
    /// Owner changes are attempted (root, `--super`; not with `--no-super`).
    pub super_user: bool,
    /// Effective user id.
    pub euid: u32,
    /// Groups that the process is a member of.
    pub groups: Vec<u32>,
    /// File creation mask: what new files and directories lack where permissions are not preserved. The letters of `--chmod`
    /// without a class go by [`Shared::umask`](crate::session::Shared::umask), which a sender has too; a process gives both
    /// the same value.
    pub umask: u32,
}
