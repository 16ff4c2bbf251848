//! What a device has to provide: its files.

/// What is known of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Meta {
    /// Length, bytes; of a directory anything.
    pub size: u64,
    /// Modification time, seconds since 1970. 0 where the peer was not asked to preserve it.
    pub mtime: i64,
    /// File type and permissions, as in `st_mode`.
    pub mode: u32,
}

impl Meta {
    /// A regular file with mode 0644.
    pub const fn file(size: u64, mtime: i64) -> Self {
        Self { size, mtime, mode: 0o100_644 }
    }

    /// A directory with mode 0755.
    pub const fn dir(mtime: i64) -> Self {
        Self { size: 0, mtime, mode: 0o040_755 }
    }
}

/// A file or directory of a [`Store`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StoreEntry<'a> {
    /// Full path: no leading slash, components joined with `/`, none of them empty, `.` or `..`.
    pub path: &'a [u8],
    /// Type, length, time.
    pub meta: Meta,
}

/// Why a store refused, as a text for the user of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StoreError(pub &'static str);

impl core::fmt::Display for StoreError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.0)
    }
}

/// The files of a device.
///
/// One file is written at a time: [`Store::begin`], [`Store::write_at`] with ascending offsets and without gaps,
/// then [`Store::commit`] or [`Store::discard`]. Until the commit the old file of that path, if there is one, must
/// stay readable: a delta is made of its blocks. A store that overwrites in place therefore says so, see
/// [`Store::KEEPS_OLD`].
#[allow(async_fn_in_trait, reason = "nothing has to be `Send`")]
pub trait Store {
    /// The old content stays readable while the new one is written. If not, files come whole.
    const KEEPS_OLD: bool = true;

    /// Entry number `id`, from 0 without gaps; `None` behind the last one. Every directory but the root is an entry.
    /// The order does not matter; numbers must stay the same between two commits.
    async fn entry(&mut self, id: u32) -> Result<Option<StoreEntry<'_>>, StoreError>;

    /// Reads from the file with number `id` into `buf`; returns how much, 0 only at the end of the file.
    async fn read_at(&mut self, id: u32, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError>;

    /// The content of `path` is about to come, probably `size` bytes of it. The path was checked to stay inside of
    /// the root; its directory may be missing, if the peer did not send one.
    async fn begin(&mut self, path: &[u8], size: u64) -> Result<(), StoreError>;

    /// Content of the file that was begun.
    async fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<(), StoreError>;

    /// The content is complete and its checksum right. `meta.size` is the number of bytes written.
    async fn commit(&mut self, path: &[u8], meta: &Meta) -> Result<(), StoreError>;

    /// The content that was begun is given up.
    async fn discard(&mut self);

    /// Makes a directory, or gives an existing one these attributes. The default knows no directories of its own.
    async fn make_dir(&mut self, path: &[u8], meta: &Meta) -> Result<(), StoreError> {
        let _ = (path, meta);
        Ok(())
    }

    /// Gives a file whose content is right already another time and other permissions.
    async fn set_meta(&mut self, id: u32, meta: &Meta) -> Result<(), StoreError> {
        let _ = (id, meta);
        Ok(())
    }
}
