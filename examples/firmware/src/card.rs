//! Files on a card: a table of records, and one region of fixed length for the content of each.
//!
//! A new version of a file is written into a free region; its record makes it valid and is written last. The old
//! version stays until then, so a cut line or a lost supply never leaves half a file.

use arsync_core::tiny::{Meta, Store, StoreEntry, StoreError};

use crate::host::File;

const SLOTS: usize = 48;
const RECORD: usize = 128;
const PATH: usize = 96;
const DATA: u32 = 8192;
const REGION: u32 = 256 << 10;

const FREE: u8 = 0;
const USED: u8 = 1;

const NO_ROOM: StoreError = StoreError("no space left on the card");
const BROKEN: StoreError = StoreError("the card does not answer");
const TOO_LONG: StoreError = StoreError("name too long for the card");

pub struct Card {
    file: File,
    used: [bool; SLOTS],
    record: [u8; RECORD],
    /// Region of the file that is being written, and how much of it is.
    open: Option<(usize, u32)>,
}

fn region(slot: usize) -> u32 {
    DATA + slot as u32 * REGION
}

impl Card {
    pub fn open() -> Result<Self, StoreError> {
        let name = b"card.img\0";
        let file = match File::open(name, 3) {
            Some(file) => file,
            None => {
                let file = File::open(name, 7).ok_or(BROKEN)?;
                for slot in 0..SLOTS {
                    if !file.write_at((slot * RECORD) as u32, &[FREE; RECORD]) {
                        return Err(BROKEN);
                    }
                }
                file
            }
        };
        let mut card = Self { file, used: [false; SLOTS], record: [0; RECORD], open: None };
        for slot in 0..SLOTS {
            card.load(slot)?;
            card.used[slot] = card.record[0] == USED;
        }
        Ok(card)
    }

    pub fn is_empty(&self) -> bool {
        !self.used.contains(&true)
    }

    fn load(&mut self, slot: usize) -> Result<(), StoreError> {
        match self.file.read_at((slot * RECORD) as u32, &mut self.record) {
            Some(RECORD) => Ok(()),
            _ => Err(BROKEN),
        }
    }

    fn slot(&self, id: u32) -> Option<usize> {
        (0..SLOTS).filter(|&slot| self.used[slot]).nth(id as usize)
    }

    /// Record: state, length of the path, two bytes of nothing, mode, time, size, path.
    fn meta(&self) -> Meta {
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| self.record[at + i]));
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        Meta { mode: word(4), mtime: long(8) as i64, size: long(16) }
    }

    fn path(&self) -> &[u8] {
        let len = usize::from(self.record[1]).min(PATH);
        &self.record[24..24 + len]
    }

    fn write_record(&mut self, slot: usize, path: &[u8], meta: &Meta) -> Result<(), StoreError> {
        if path.len() > PATH {
            return Err(TOO_LONG);
        }
        let mut record = [0; RECORD];
        record[0] = USED;
        record[1] = path.len() as u8;
        record[4..8].copy_from_slice(&meta.mode.to_le_bytes());
        record[8..16].copy_from_slice(&meta.mtime.to_le_bytes());
        record[16..24].copy_from_slice(&meta.size.to_le_bytes());
        record[24..24 + path.len()].copy_from_slice(path);
        if !self.file.write_at((slot * RECORD) as u32, &record) {
            return Err(BROKEN);
        }
        self.used[slot] = true;
        Ok(())
    }

    fn find(&mut self, path: &[u8]) -> Result<Option<usize>, StoreError> {
        for slot in 0..SLOTS {
            if self.used[slot] {
                self.load(slot)?;
                if self.path() == path {
                    return Ok(Some(slot));
                }
            }
        }
        Ok(None)
    }
}

impl Store for Card {
    async fn entry(&mut self, id: u32) -> Result<Option<StoreEntry<'_>>, StoreError> {
        let Some(slot) = self.slot(id) else { return Ok(None) };
        self.load(slot)?;
        let meta = self.meta();
        Ok(Some(StoreEntry { path: self.path(), meta }))
    }

    async fn read_at(&mut self, id: u32, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let slot = self.slot(id).ok_or(BROKEN)?;
        self.load(slot)?;
        let left = self.meta().size.min(REGION.into()).saturating_sub(offset);
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        if n == 0 {
            return Ok(0);
        }
        match self.file.read_at(region(slot) + offset as u32, &mut buf[..n]) {
            Some(n) if n > 0 => Ok(n),
            _ => Err(BROKEN),
        }
    }

    async fn begin(&mut self, path: &[u8], size: u64) -> Result<(), StoreError> {
        if path.len() > PATH {
            return Err(TOO_LONG);
        }
        if size > REGION.into() {
            return Err(NO_ROOM);
        }
        let slot = self.used.iter().position(|used| !used).ok_or(NO_ROOM)?;
        self.open = Some((slot, 0));
        Ok(())
    }

    async fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<(), StoreError> {
        let (slot, len) = self.open.ok_or(BROKEN)?;
        if offset + data.len() as u64 > REGION.into() {
            return Err(NO_ROOM);
        }
        if !self.file.write_at(region(slot) + offset as u32, data) {
            return Err(BROKEN);
        }
        self.open = Some((slot, len.max(offset as u32 + data.len() as u32)));
        Ok(())
    }

    async fn commit(&mut self, path: &[u8], meta: &Meta) -> Result<(), StoreError> {
        let (slot, _) = self.open.take().ok_or(BROKEN)?;
        let old = self.find(path)?;
        self.write_record(slot, path, meta)?;
        if let Some(old) = old {
            if !self.file.write_at((old * RECORD) as u32, &[FREE]) {
                return Err(BROKEN);
            }
            self.used[old] = false;
        }
        Ok(())
    }

    async fn discard(&mut self) {
        self.open = None;
    }

    async fn make_dir(&mut self, path: &[u8], meta: &Meta) -> Result<(), StoreError> {
        let slot = match self.find(path)? {
            Some(slot) => slot,
            None => self.used.iter().position(|used| !used).ok_or(NO_ROOM)?,
        };
        self.write_record(slot, path, meta)
    }

    async fn set_meta(&mut self, id: u32, meta: &Meta) -> Result<(), StoreError> {
        let slot = self.slot(id).ok_or(BROKEN)?;
        self.load(slot)?;
        let mut path = [0; PATH];
        let len = self.path().len();
        path[..len].copy_from_slice(self.path());
        self.write_record(slot, &path[..len], meta)
    }
}
