//! File data from descriptor to descriptor: reflink, `copy_file_range`, or read and write; and writing with
//! holes (spec: sparse). Knows no names.

use std::{
    os::fd::OwnedFd,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use arsync_core::limits::FILE_PIECE;
use rustix::{
    buffer::spare_capacity,
    fs::{FallocateFlags, copy_file_range, fallocate, ftruncate, ioctl_ficlone},
    io::{self, Errno, pread, pwrite},
};

/// Bytes per `copy_file_range`, so that the call can be interrupted.
const RANGE: usize = 64 << 20;
/// Files below this size are read and written: cloning tiny extents costs more than copying them.
const CLONE_FROM: u64 = 64 << 10;
/// Shortest run of zeros inside a write that becomes a hole, bytes.
const MIN_HOLE: usize = 1024;

/// How zeros are treated when a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holes {
    /// They are written like everything else.
    Written,
    /// They are left out: nothing is allocated there.
    Skipped,
    /// They are punched: something may be allocated there.
    Punched,
}

/// A limit of the bytes per second (`--bwlimit`), shared by all who copy.
#[derive(Debug)]
pub struct Pace {
    /// Bytes per second.
    rate: u64,
    /// When what was copied so far should have been.
    due: Mutex<Instant>,
}

impl Pace {
    /// So many KiB per second; 0: no limit.
    pub fn new(kib_per_second: u64) -> Option<Self> {
        let rate = kib_per_second.saturating_mul(1024);
        (rate > 0).then(|| Self { rate, due: Mutex::new(Instant::now()) })
    }

    /// What is copied at a time, bytes.
    fn piece(&self) -> usize {
        usize::try_from(self.rate / 8).unwrap_or(FILE_PIECE).clamp(512, FILE_PIECE)
    }

    /// Waits until it is time for what follows these bytes.
    pub fn copied(&self, bytes: u64) {
        let micros = bytes.saturating_mul(1_000_000) / self.rate;
        let now = Instant::now();
        let due = {
            let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            *due = (*due).max(now) + Duration::from_micros(micros);
            *due
        };
        std::thread::sleep(due.saturating_duration_since(now));
    }
}

/// Copies `from` up to `size` to the start of the empty file `to`; returns the number of bytes, which are fewer where the file
/// ends earlier. What is appended meanwhile is left out: that might never end. The length of `to` is right afterwards, also
/// with holes.
pub fn copy_contents(from: &OwnedFd, to: &OwnedFd, size: u64, holes: Holes) -> io::Result<u64> {
    copy_paced(from, to, size, holes, None)
}

/// As [`copy_contents`], no faster than `pace`.
pub fn copy_paced(
    from: &OwnedFd,
    to: &OwnedFd,
    size: u64,
    holes: Holes,
    pace: Option<&Pace>,
) -> io::Result<u64> {
    if size == 0 {
        // A read would change the time of the last access.
        return Ok(0);
    }
    let mut done = 0;
    if holes == Holes::Written && size >= CLONE_FROM && pace.is_none() {
        if ioctl_ficlone(to, from).is_ok() {
            return Ok(rustix::fs::fstat(to)?.st_size.cast_unsigned());
        }
        while done < size {
            let (mut source, mut target) = (done, done);
            let range = usize::try_from(size - done).unwrap_or(RANGE).min(RANGE);
            match copy_file_range(from, Some(&mut source), to, Some(&mut target), range) {
                Ok(0) => break,
                Ok(n) => done += n as u64,
                Err(Errno::INTR) => {}
                Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG | Errno::IO)) => return Err(error),
                // Across file systems, or not supported there.
                Err(_) => break,
            }
        }
    }
    // Also what `copy_file_range` has left.
    let piece = pace.map_or(FILE_PIECE, Pace::piece);
    let mut buf = vec![0; piece.min(usize::try_from(size - done).unwrap_or(FILE_PIECE))];
    while done < size {
        let len = usize::try_from(size - done).unwrap_or(piece).min(buf.len());
        let n = read_full(from, done, &mut buf[..len])?;
        write_at(to, done, &buf[..n], holes)?;
        done += n as u64;
        if let Some(pace) = pace {
            pace.copied(n as u64);
        }
        if n < len {
            break;
        }
    }
    if holes != Holes::Written {
        ftruncate(to, done)?;
    }
    Ok(done)
}

/// Reads at an offset until the buffer is full or the file ends.
pub fn read_full(file: &OwnedFd, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match pread(file, &mut buf[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Appends `len` bytes of a file to a buffer, and returns them; what cannot be read is zeros.
pub fn append_from<'b>(file: &OwnedFd, offset: u64, len: usize, buf: &'b mut Vec<u8>) -> &'b [u8] {
    let start = buf.len();
    if buf.capacity() - start == len {
        // What becomes full need not be zeroed before it is read into.
        while buf.len() < start + len {
            let at = offset + (buf.len() - start) as u64;
            match pread(file, spare_capacity(buf), at) {
                Ok(1..) | Err(Errno::INTR) => {}
                Ok(0) | Err(_) => break,
            }
        }
        buf.resize(start + len, 0);
    } else {
        buf.resize(start + len, 0);
        let got = read_full(file, offset, &mut buf[start..]).unwrap_or(0);
        buf[start + got..].fill(0);
    }
    &buf[start..]
}

/// Writes all of `data` at an offset. With holes the length of the file may be wrong afterwards.
pub fn write_at(file: &OwnedFd, offset: u64, data: &[u8], holes: Holes) -> io::Result<()> {
    if holes == Holes::Written {
        return write_all(file, offset, data);
    }
    let mut done = 0;
    for (start, end) in (ZeroRuns { data, from: 0 }) {
        write_all(file, offset + done as u64, &data[done..start])?;
        if holes == Holes::Punched {
            punch(file, offset + start as u64, &data[start..end])?;
        }
        done = end;
    }
    write_all(file, offset + done as u64, &data[done..])
}

fn write_all(file: &OwnedFd, mut offset: u64, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        match pwrite(file, data, offset) {
            // A device that takes nothing would be asked for ever.
            Ok(0) => return Err(Errno::IO),
            Ok(n) => {
                data = &data[n..];
                offset += n as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes a hole where `zeros` would be written.
fn punch(file: &OwnedFd, offset: u64, zeros: &[u8]) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match fallocate(file, flags, offset, zeros.len() as u64) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::NODEV) => write_all(file, offset, zeros),
        other => other,
    }
}

/// The runs of zeros that become holes: every run at the start or the end, inside only long ones.
struct ZeroRuns<'a> {
    data: &'a [u8],
    from: usize,
}

impl Iterator for ZeroRuns<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        let len = self.data.len();
        if self.from == 0 && len > 0 {
            let end = zeros(self.data);
            if end > 0 {
                self.from = end;
                return Some((0, end));
            }
        }
        // A run of this length covers a multiple of it.
        let mut probe = self.from.next_multiple_of(MIN_HOLE);
        while probe < len {
            if self.data[probe] == 0 {
                let start = probe - zeros_back(&self.data[self.from..probe]);
                let end = probe + zeros(&self.data[probe..]);
                if end - start >= MIN_HOLE || end == len {
                    self.from = end;
                    return Some((start, end));
                }
            }
            probe += MIN_HOLE;
        }
        let start = len - zeros_back(&self.data[self.from..]);
        self.from = len;
        (start < len).then_some((start, len))
    }
}

/// Number of zeros at the start.
fn zeros(data: &[u8]) -> usize {
    let chunks = data.chunks_exact(64).take_while(|c| c.iter().fold(0, |a, b| a | b) == 0).count() * 64;
    chunks + data[chunks..].iter().take_while(|&&b| b == 0).count()
}

/// Number of zeros at the end.
fn zeros_back(data: &[u8]) -> usize {
    let chunks = data.rchunks_exact(64).take_while(|c| c.iter().fold(0, |a, b| a | b) == 0).count() * 64;
    chunks + data[..data.len() - chunks].iter().rev().take_while(|&&b| b == 0).count()
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        os::unix::fs::MetadataExt,
    };

    use super::*;

    fn runs(data: &[u8]) -> Vec<(usize, usize)> {
        ZeroRuns { data, from: 0 }.collect()
    }

    #[test]
    fn what_is_appended_is_followed_by_zeros_where_the_file_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("f"), b"abcdef").unwrap();
        let file = OwnedFd::from(File::open(dir.path().join("f")).unwrap());
        for capacity in [9, 64] {
            let mut buf = Vec::with_capacity(capacity);
            buf.extend_from_slice(b"xy");
            assert_eq!(append_from(&file, 2, 7, &mut buf), b"cdef\0\0\0");
            assert_eq!(buf, b"xycdef\0\0\0");
        }
    }

    #[test]
    fn edge_runs_of_any_length_and_inner_runs_from_1024_become_holes() {
        assert_eq!(runs(&[]), []);
        assert_eq!(runs(&[0; 10]), [(0, 10)]);
        assert_eq!(runs(&[1; 5000]), []);
        let mut data = vec![1; 10_000];
        data[..3].fill(0);
        data[9_999] = 0;
        data[100..100 + 1023].fill(0);
        data[3_001..3_001 + 1024].fill(0);
        assert_eq!(runs(&data), [(0, 3), (3_001, 4_025), (9_999, 10_000)]);
        data[4_025..].fill(0);
        assert_eq!(runs(&data), [(0, 3), (3_001, 10_000)]);
    }

    #[test]
    fn a_copy_has_the_same_bytes_whatever_is_done_with_zeros() {
        let tmp = tempfile::tempdir().unwrap();
        let mut data: Vec<u8> = (0..700_001u32).map(|n| (n % 251) as u8).collect();
        data[100_000..400_000].fill(0);
        data[650_000..].fill(0);
        fs::write(tmp.path().join("a"), &data).unwrap();
        let from: OwnedFd = File::open(tmp.path().join("a")).unwrap().into();
        // What is behind the size came later.
        for (holes, size) in [
            (Holes::Written, 700_001),
            (Holes::Written, 5),
            (Holes::Written, 300_001),
            (Holes::Skipped, 700_001),
            (Holes::Skipped, 5),
            (Holes::Punched, 700_001),
        ] {
            let to: OwnedFd = File::create(tmp.path().join("b")).unwrap().into();
            assert_eq!(copy_contents(&from, &to, size, holes), Ok(size));
            assert!(fs::read(tmp.path().join("b")).unwrap() == data[..size as usize], "{holes:?}");
            if holes != Holes::Written {
                assert!(fs::metadata(tmp.path().join("b")).unwrap().blocks() * 512 < 500_000, "{holes:?}");
            }
        }
        // Who says that there is nothing gets nothing.
        let to: OwnedFd = File::create(tmp.path().join("b")).unwrap().into();
        assert_eq!(copy_contents(&from, &to, 0, Holes::Written), Ok(0));
    }

    #[test]
    fn punching_removes_what_was_there() {
        let tmp = tempfile::tempdir().unwrap();
        fs::write(tmp.path().join("f"), [7; 5000]).unwrap();
        let file: OwnedFd = File::options().write(true).open(tmp.path().join("f")).unwrap().into();
        write_at(&file, 10, &[0; 3000], Holes::Punched).unwrap();
        let got = fs::read(tmp.path().join("f")).unwrap();
        assert_eq!(got.len(), 5000);
        assert!(got[..10].iter().all(|&b| b == 7) && got[10..3010].iter().all(|&b| b == 0) && got[3010] == 7);
    }
}
