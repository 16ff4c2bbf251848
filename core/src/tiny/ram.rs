//! A store in memory, for tests.

use alloc::vec::Vec;

use super::{Meta, Store, StoreEntry, StoreError};

/// A file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RamFile {
    /// Full path.
    pub path: Vec<u8>,
    /// Its attributes.
    pub meta: Meta,
    /// Its content.
    pub data: Vec<u8>,
}

/// Files in memory; can be made to fail.
#[derive(Debug, Clone, Default)]
pub struct RamStore {
    /// All files and directories.
    pub files: Vec<RamFile>,
    open: Option<Vec<u8>>,
    /// Files cannot grow beyond this, bytes; 0: no limit.
    pub capacity: usize,
    /// Reads of this path fail.
    pub broken: Option<Vec<u8>>,
    /// The next file that is begun gets its old version spoiled, as if somebody wrote to it.
    pub decay: bool,
}

impl RamStore {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory.
    pub fn dir(&mut self, path: &str) {
        self.files.push(RamFile { path: path.into(), meta: Meta::dir(1_600_000_000), data: Vec::new() });
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, data: &[u8], mtime: i64) {
        let meta = Meta::file(data.len() as u64, mtime);
        self.files.push(RamFile { path: path.into(), meta, data: data.into() });
    }

    /// The file at a path.
    pub fn get(&self, path: &str) -> Option<&RamFile> {
        self.files.iter().find(|f| f.path == path.as_bytes())
    }

    fn replace(&mut self, file: RamFile) {
        match self.files.iter_mut().find(|f| f.path == file.path) {
            Some(old) => *old = file,
            None => self.files.push(file),
        }
    }
}

impl Store for RamStore {
    async fn entry(&mut self, id: u32) -> Result<Option<StoreEntry<'_>>, StoreError> {
        Ok(self.files.get(id as usize).map(|f| StoreEntry { path: &f.path, meta: f.meta }))
    }

    async fn read_at(&mut self, id: u32, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let file = self.files.get(id as usize).ok_or(StoreError("no such file"))?;
        if self.broken.as_ref() == Some(&file.path) {
            return Err(StoreError("broken"));
        }
        let rest = usize::try_from(offset).ok().and_then(|at| file.data.get(at..)).unwrap_or_default();
        let n = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        Ok(n)
    }

    async fn begin(&mut self, path: &[u8], _size: u64) -> Result<(), StoreError> {
        if self.open.replace(Vec::new()).is_some() {
            return Err(StoreError("a file is open already"));
        }
        if core::mem::take(&mut self.decay)
            && let Some(old) = self.files.iter_mut().find(|f| f.path == path)
            && let Some(byte) = old.data.first_mut()
        {
            *byte = !*byte;
        }
        Ok(())
    }

    async fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<(), StoreError> {
        let file = self.open.as_mut().ok_or(StoreError("no file is open"))?;
        if offset != file.len() as u64 {
            return Err(StoreError("a gap"));
        }
        if self.capacity > 0 && file.len() + data.len() > self.capacity {
            return Err(StoreError("no room"));
        }
        file.extend_from_slice(data);
        Ok(())
    }

    async fn commit(&mut self, path: &[u8], meta: &Meta) -> Result<(), StoreError> {
        let data = self.open.take().ok_or(StoreError("no file is open"))?;
        if meta.size != data.len() as u64 {
            return Err(StoreError("wrong size"));
        }
        self.replace(RamFile { path: path.into(), meta: *meta, data });
        Ok(())
    }

    async fn discard(&mut self) {
        self.open = None;
    }

    async fn make_dir(&mut self, path: &[u8], meta: &Meta) -> Result<(), StoreError> {
        self.replace(RamFile { path: path.into(), meta: *meta, data: Vec::new() });
        Ok(())
    }

    async fn set_meta(&mut self, id: u32, meta: &Meta) -> Result<(), StoreError> {
        let file = self.files.get_mut(id as usize).ok_or(StoreError("no such file"))?;
        file.meta = *meta;
        Ok(())
    }
}
