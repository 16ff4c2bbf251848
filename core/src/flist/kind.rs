//! The type of a file, and the bits of its mode.

use crate::item::ItemKind;

/// File type bits of a mode, and its 12 permission bits: i32 LE on every wire, in the numbers of Linux (spec: mode).
pub mod mode {
    /// Mask of the type.
    pub const TYPE: u32 = 0o170_000;
    /// Socket.
    pub const SOCKET: u32 = 0o140_000;
    /// Symbolic link.
    pub const SYMLINK: u32 = 0o120_000;
    /// Regular file.
    pub const REGULAR: u32 = 0o100_000;
    /// Block device.
    pub const BLOCK: u32 = 0o060_000;
    /// Directory.
    pub const DIR: u32 = 0o040_000;
    /// Character device.
    pub const CHAR: u32 = 0o020_000;
    /// Fifo.
    pub const FIFO: u32 = 0o010_000;
    /// Permission bits, set-id and sticky bits included.
    pub const PERMS: u32 = 0o7777;
}

/// The type of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FileKind {
    /// Regular file.
    Regular,
    /// Directory.
    Dir,
    /// Symbolic link.
    Symlink,
    /// Block device.
    Block,
    /// Character device.
    Char,
    /// Fifo.
    Fifo,
    /// Socket.
    Socket,
    /// Mode 0: an argument that is missing at the sender (`--delete-missing-args`).
    Missing,
}

impl FileKind {
    /// The type in a mode; `None` if the bits are no type.
    pub const fn from_mode(m: u32) -> Option<Self> {
        Some(match m & mode::TYPE {
            mode::REGULAR => Self::Regular,
            mode::DIR => Self::Dir,
            mode::SYMLINK => Self::Symlink,
            mode::BLOCK => Self::Block,
            mode::CHAR => Self::Char,
            mode::FIFO => Self::Fifo,
            mode::SOCKET => Self::Socket,
            0 if m == 0 => Self::Missing,
            _ => return None,
        })
    }
    /// Block or character device.
    pub const fn is_device(self) -> bool {
        matches!(self, Self::Block | Self::Char)
    }
    /// Fifo or socket.
    pub const fn is_special(self) -> bool {
        matches!(self, Self::Fifo | Self::Socket)
    }
    /// For the itemize string.
    pub const fn item(self) -> ItemKind {
        match self {
            Self::Regular | Self::Missing => ItemKind::File,
            Self::Dir => ItemKind::Dir,
            Self::Symlink => ItemKind::Symlink,
            Self::Block | Self::Char => ItemKind::Device,
            Self::Fifo | Self::Socket => ItemKind::Special,
        }
    }
}
