//! Counters of a session (spec: statistics block). What of them travels at the end, and how, stands with
//! [`read_stats`](crate::session::goodbye::read_stats) and [`read_del_stats`](crate::session::goodbye::read_del_stats).

/// Numbers of items by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counts {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub dirs: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Devices.
    pub devices: u64,
    /// Fifos and sockets.
    pub specials: u64,
}

impl Counts {
    /// All kinds together.
    pub const fn total(&self) -> u64 {
        self.files + self.dirs + self.symlinks + self.devices + self.specials
    }
    /// Counts one item more.
    pub fn add(&mut self, kind: crate::flist::entry::FileKind) {
        use crate::flist::entry::FileKind as K;
        match kind {
            K::Regular | K::Missing => self.files += 1,
            K::Dir => self.dirs += 1,
            K::Symlink => self.symlinks += 1,
            K::Block | K::Char => self.devices += 1,
            K::Fifo | K::Socket => self.specials += 1,
        }
    }
}

/// What `--stats` shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Stats {
    /// Entries of the file lists.
    pub listed: Counts,
    /// Items created.
    pub created: Counts,
    /// Items deleted.
    pub deleted: Counts,
    /// Regular files whose data was transferred.
    pub transferred: u64,
    /// Total size of all files and symlinks, bytes.
    pub total_size: u64,
    /// Total size of the transferred files, bytes.
    pub transferred_size: u64,
    /// Bytes sent as literal data.
    pub literal: u64,
    /// Bytes taken from basis files.
    pub matched: u64,
    /// Bytes of the file list on the wire.
    pub flist_bytes: u64,
    /// Time to make the list, ms.
    pub flist_build_ms: u64,
    /// Time to send the list, ms.
    pub flist_transfer_ms: u64,
    /// Bytes written to the peer (as the client counts it).
    pub written: u64,
    /// Bytes read from the peer.
    pub read: u64,
    /// Matching: hits of the hash table.
    pub hash_hits: u64,
    /// Matching: weak sums that matched by chance.
    pub false_alarms: u64,
    /// Matching: blocks found.
    pub matches: u64,
}

impl Stats {
    /// Counts an entry of a file list. What has no data of its own has no part in the total size.
    pub(crate) fn add_listed(&mut self, entry: &crate::flist::entry::Entry) {
        use crate::flist::entry::FileKind;
        let kind = entry.kind();
        self.listed.add(kind);
        if matches!(kind, FileKind::Regular | FileKind::Symlink) {
            self.total_size += entry.size;
        }
    }

    /// The same for a list that was received: a missing source counts among special files there (stock binary).
    pub(crate) fn add_received(&mut self, entry: &crate::flist::entry::Entry) {
        match entry.kind() {
            crate::flist::entry::FileKind::Missing => self.listed.specials += 1,
            _ => self.add_listed(entry),
        }
    }

    /// Counts a file whose data is sent. A repetition counts like the first attempt.
    pub(crate) const fn add_transferred(&mut self, entry: &crate::flist::entry::Entry) {
        self.transferred += 1;
        self.transferred_size += entry.size;
    }
}
