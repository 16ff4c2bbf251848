//! Digests of whole files: one by one, or several at once where the algorithm gains by that.

use core::{
    cell::{Cell, RefCell},
    hash::Hash,
};
use std::os::fd::OwnedFd;

use arsync_core::{
    checksum::{ChecksumKind, Digest, Hasher, LANES, Md5Lanes},
    limits::FILE_PIECE,
};
use rustix::io;

use super::{
    ahead::{Ahead, Read},
    copy::read_full,
};

/// Bytes read at a time.
const PIECE: usize = 64 << 10;
/// Bytes read at a time in each lane.
const LANE_PIECE: usize = FILE_PIECE / LANES;
/// Bytes that are hashed at a time in a lane.
const CHUNK: usize = 64;
/// Streams that make all lanes worth their time.
const WORTH_LANES: usize = 3;
/// Digests that may wait to be asked for.
pub const KEPT: usize = 1024;

// Kept from file to file: for small files, memory that is new each time costs more than what is read into it.
thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static LANE_BUFFERS: Cell<[Vec<u8>; LANES]> = const { Cell::new([const { Vec::new() }; LANES]) };
}

/// Hashes a file from its start to its end, unseeded. `size`: what it is expected to hold; there the end is not
/// looked for.
pub fn digest_file(file: &OwnedFd, size: u64, kind: ChecksumKind) -> io::Result<Digest> {
    BUFFER.with_borrow_mut(|buf| {
        buf.resize(PIECE, 0);
        let mut hash = Hasher::new(kind);
        let mut offset = 0;
        loop {
            let n = read_next(file, size, offset, buf)?;
            hash.update(&buf[..n.len]);
            offset += n.len as u64;
            if n.last {
                return Ok(hash.finish());
            }
        }
    })
}

/// What was read of a file.
struct Piece {
    len: usize,
    /// It is the end of the file.
    last: bool,
}

/// The next piece of a file that is expected to hold `size` bytes.
fn read_next(file: &OwnedFd, size: u64, offset: u64, buf: &mut [u8]) -> io::Result<Piece> {
    let wanted = usize::try_from(size.saturating_sub(offset)).unwrap_or(buf.len()).min(buf.len());
    // An empty file is not read: that would set its access time.
    let len = if wanted == 0 { 0 } else { read_full(file, offset, &mut buf[..wanted])? };
    Ok(Piece { len, last: len < wanted || offset + len as u64 == size })
}

/// To open and close a file costs as much as so many bytes.
const OPENING: u64 = 32 << 10;

/// A file that is to be digested once somebody has time for it.
pub struct Job {
    kind: ChecksumKind,
    /// Opens it, and says what it is expected to hold.
    open: Box<dyn FnOnce() -> Option<(OwnedFd, u64)> + Send>,
}

/// Digests made ahead.
pub type Digests<K> = Ahead<K, Digest, Job>;

/// A digest to be made ahead of a file of about that size.
pub fn job(
    kind: ChecksumKind,
    size: u64,
    open: impl FnOnce() -> Option<(OwnedFd, u64)> + Send + 'static,
) -> Read<Job> {
    // Where it gains, large files are taken together too.
    let most = if kind == ChecksumKind::Md5 { Read::<Job>::cost_of(LANES as u64) } else { u64::MAX };
    Read::costing(OPENING.saturating_add(size).min(most), Job { kind, open: Box::new(open) })
}

/// What makes digests on every processor; who asks for them would only wait otherwise, and takes part.
pub fn digests_ahead<K: Hash + Eq + Clone + Send + 'static>() -> Digests<K> {
    let cores = super::processors();
    Ahead::running(cores.min(16) - 1, digest_all).helping().at_least(WORTH_LANES).keeping(KEPT)
}

/// The digests of files, none where a file cannot be opened or read.
fn digest_all(jobs: Vec<Job>) -> Vec<Option<Digest>> {
    if jobs.len() >= WORTH_LANES && jobs.iter().all(|job| job.kind == ChecksumKind::Md5) {
        return Group::new(jobs).digests();
    }
    let one = |job: Job| {
        let (file, size) = (job.open)()?;
        digest_file(&file, size, job.kind).ok()
    };
    jobs.into_iter().map(one).collect()
}

/// A file in a lane.
struct Stream {
    /// Which of the files it is.
    index: usize,
    file: OwnedFd,
    size: u64,
    offset: u64,
    last: bool,
}

/// A lane: its file, and what was read of it and is not hashed yet.
#[derive(Default)]
struct Lane {
    stream: Option<Stream>,
    buf: Vec<u8>,
    from: usize,
    to: usize,
}

impl Lane {
    fn unread(&self) -> &[u8] {
        &self.buf[self.from..self.to]
    }

    /// Reads on until a chunk is there, or the last of the file. `Ok(false)`: there is no chunk any more.
    fn fill(&mut self) -> io::Result<bool> {
        let Some(stream) = &mut self.stream else { return Ok(false) };
        // Pieces are chunks, so that nothing is left over unless it was the last.
        while self.to - self.from < CHUNK && !stream.last {
            self.buf.resize(LANE_PIECE, 0);
            let piece = read_next(&stream.file, stream.size, stream.offset, &mut self.buf)?;
            (self.from, self.to) = (0, piece.len);
            stream.offset += piece.len as u64;
            stream.last = piece.last;
        }
        Ok(self.to - self.from >= CHUNK)
    }
}

/// Files whose md5 sums are made at once; a lane that has come to the end of its file takes the next one.
struct Group {
    jobs: std::iter::Enumerate<std::vec::IntoIter<Job>>,
    lanes: [Lane; LANES],
    sums: Md5Lanes,
    digests: Vec<Option<Digest>>,
}

impl Group {
    fn new(jobs: Vec<Job>) -> Self {
        let digests = jobs.iter().map(|_| None).collect();
        let lanes = LANE_BUFFERS.take().map(|buf| Lane { buf, ..Lane::default() });
        Self { jobs: jobs.into_iter().enumerate(), lanes, sums: Md5Lanes::new(), digests }
    }

    fn digests(mut self) -> Vec<Option<Digest>> {
        loop {
            let active = (0..LANES).filter(|&lane| self.supply(lane)).count();
            if active == 0 {
                LANE_BUFFERS.set(self.lanes.map(|lane| lane.buf));
                return self.digests;
            }
            self.hash(active);
        }
    }

    /// Sees to it that a lane has a chunk; false: there is nothing left for it.
    fn supply(&mut self, number: usize) -> bool {
        loop {
            let lane = &mut self.lanes[number];
            let filled = lane.fill();
            if let Ok(true) = filled {
                return true;
            }
            if let Some(stream) = lane.stream.take() {
                // The lane begins anew, also where the file could not be read.
                let digest = self.sums.finish(number, if filled.is_ok() { lane.unread() } else { &[] });
                self.digests[stream.index] = filled.is_ok().then_some(digest);
            }
            let Some((index, job)) = self.jobs.next() else { return false };
            (lane.from, lane.to) = (0, 0);
            let opened = (job.open)();
            lane.stream = opened.map(|(file, size)| Stream { index, file, size, offset: 0, last: false });
        }
    }

    /// Hashes as much as all lanes have that have anything.
    fn hash(&mut self, active: usize) {
        let in_use = self.lanes.iter().filter(|lane| lane.stream.is_some());
        let chunks = in_use.map(|lane| lane.unread().len() / CHUNK).min().unwrap_or(0);
        let len = chunks * CHUNK;
        if active >= WORTH_LANES {
            let any = self.lanes.iter().find(|lane| lane.stream.is_some());
            let idle = any.map_or(&[][..], |lane| &lane.unread()[..len]);
            self.sums.update(self.lanes.each_ref().map(|lane| match lane.stream {
                Some(_) => &lane.unread()[..len],
                None => idle,
            }));
        }
        for (number, lane) in self.lanes.iter_mut().enumerate().filter(|(_, lane)| lane.stream.is_some()) {
            if active < WORTH_LANES {
                self.sums.update_lane(number, &lane.buf[lane.from..lane.from + len]);
            }
            lane.from += len;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file(data: &[u8]) -> OwnedFd {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(data).unwrap();
        file.into()
    }

    fn opened(data: Vec<u8>, size: Option<u64>) -> Job {
        let size = size.unwrap_or(data.len() as u64);
        Job { kind: ChecksumKind::Md5, open: Box::new(move || Some((file(&data), size))) }
    }

    fn hex(digest: Option<&Digest>) -> Option<String> {
        digest.map(|d| d.as_bytes().iter().map(|b| format!("{b:02x}")).collect())
    }

    #[test]
    fn files_together_have_the_digests_of_single_files() {
        let lens = [0, 1, 63, 64, 65, 500_000, 65_536, 0, 7, 200_000, 131_073, 64, 3_000_001];
        let data = |len: usize| -> Vec<u8> { (0..len).map(|i| ((i * i) >> 3) as u8).collect() };
        let together = digest_all(lens.iter().map(|&len| opened(data(len), None)).collect());
        for (len, digest) in lens.into_iter().zip(together) {
            let expected = digest_file(&file(&data(len)), len as u64, ChecksumKind::Md5).unwrap();
            assert_eq!(digest, Some(expected), "{len}");
        }
    }

    #[test]
    fn what_cannot_be_opened_or_read_has_none() {
        let unreadable = || Job {
            kind: ChecksumKind::Md5,
            open: Box::new(|| Some((std::fs::File::create("/dev/null").unwrap().into(), 5))),
        };
        let missing = Job { kind: ChecksumKind::Md5, open: Box::new(|| None) };
        let jobs = vec![
            unreadable(),
            missing,
            opened(b"abc".to_vec(), None),
            opened(b"message digest!".to_vec(), Some(14)),
        ];
        let digests = digest_all(jobs);
        assert_eq!(digests[..2], [None, None]);
        assert_eq!(hex(digests[2].as_ref()).as_deref(), Some("900150983cd24fb0d6963f7d28e17f72"));
        assert_eq!(hex(digests[3].as_ref()).as_deref(), Some("f96b697d7cb7938d525a2f31aaf161d0"));
    }

    #[test]
    fn large_files_are_taken_together_for_md5() {
        let cost = |kind| job(kind, 1 << 30, || None).cost();
        assert_eq!(cost(ChecksumKind::Md5), 64 << 10);
        assert_eq!(cost(ChecksumKind::Xxh128), 512 << 10);
    }
}
