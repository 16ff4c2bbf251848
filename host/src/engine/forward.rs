//! Reads of a file that follow one another: while one piece is worked on, a thread reads the next one.

use alloc::sync::Arc;
use core::cell::RefCell;
use std::{
    os::fd::OwnedFd,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::JoinHandle,
};

use rustix::io;

use super::copy::read_full;

/// From here on a thread is worth its start, bytes.
const FROM: u64 = 1 << 20;

/// A file that is read forward for the most part.
#[derive(Debug)]
pub struct Forward {
    file: Arc<OwnedFd>,
    /// Where reads ahead begin.
    from: u64,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Where the last read ended.
    end: u64,
    reader: Option<Reader>,
}

/// A thread, and what it is asked for.
#[derive(Debug)]
struct Reader {
    orders: SyncSender<(u64, Vec<u8>)>,
    pieces: Receiver<Piece>,
    /// A piece was asked for and not taken.
    busy: bool,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
struct Piece {
    offset: u64,
    data: Vec<u8>,
    read: io::Result<usize>,
}

impl Forward {
    /// Nothing is read before it is asked for.
    pub fn new(file: OwnedFd) -> Self {
        Self { file: Arc::new(file), from: FROM, state: RefCell::default() }
    }

    /// The file itself.
    pub fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// The same, for another thread.
    pub fn shared_file(&self) -> &Arc<OwnedFd> {
        &self.file
    }

    /// Fills the buffer, which may be exchanged for another one of the same length; returns how many bytes there are. Behind
    /// a read that began where the one before ended, as much again is read meanwhile, except near the start of the file.
    pub fn read(&self, offset: u64, buf: &mut Vec<u8>) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        let (mut spare, mut read) = (Vec::new(), None);
        if let Some(piece) = state.reader.as_mut().and_then(Reader::take) {
            spare = piece.data;
            if piece.offset == offset && spare.len() == buf.len() {
                core::mem::swap(buf, &mut spare);
                read = Some(piece.read);
            }
        }
        let n = read.unwrap_or_else(|| read_full(&self.file, offset, buf))?;
        let follows = offset == state.end && n == buf.len() && n > 0;
        state.end = offset + n as u64;
        if follows && state.end >= self.from {
            if state.reader.is_none() {
                state.reader = Reader::start(&self.file);
            }
            spare.resize(n, 0);
            let end = state.end;
            if let Some(reader) = &mut state.reader {
                reader.busy = reader.orders.send((end, spare)).is_ok();
            }
        }
        Ok(n)
    }
}

impl Reader {
    /// None where there is no second processor, or no thread.
    fn start(file: &Arc<OwnedFd>) -> Option<Self> {
        if super::processors() < 2 {
            return None;
        }
        let (orders, ordered) = sync_channel::<(u64, Vec<u8>)>(1);
        let (done, pieces) = sync_channel(1);
        let file = file.clone();
        let read = move || {
            for (offset, mut data) in ordered {
                let read = read_full(&file, offset, &mut data);
                if done.send(Piece { offset, data, read }).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name("read-forward".into()).spawn(read).ok()?;
        Some(Self { orders, pieces, busy: false, thread })
    }

    /// What was asked for; waits for it.
    fn take(&mut self) -> Option<Piece> {
        core::mem::take(&mut self.busy).then(|| self.pieces.recv().ok()).flatten()
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        if let Some(reader) = self.state.get_mut().reader.take() {
            drop((reader.orders, reader.pieces));
            let _ = reader.thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use rustix::io::Errno;

    use super::*;

    #[test]
    fn every_order_of_reads_gives_the_file() {
        let data: Vec<u8> = (0..100_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&data).unwrap();
        let mut forward = Forward::new(file.into());
        forward.from = 5000;
        let mut buf = Vec::new();
        let mut read = |offset: usize, len: usize| {
            buf.resize(len, 0);
            let n = forward.read(offset as u64, &mut buf).unwrap();
            assert_eq!((buf.len(), &buf[..n]), (len, &data[offset..(offset + len).min(data.len())]));
            n
        };
        for offset in (0..90_000).step_by(1000) {
            assert_eq!(read(offset, 1000), 1000);
        }
        // Somewhere else, on from there, other lengths, and beyond the end.
        assert_eq!([read(500, 1000), read(1500, 1000), read(2500, 700)], [1000, 1000, 700]);
        assert_eq!([read(3200, 60_000), read(63_200, 60_000)], [60_000, 36_800]);
        assert_eq!(read(100_000, 1000), 0);
    }

    #[test]
    fn an_error_is_told() {
        let file = std::fs::File::open("/").unwrap();
        let forward = Forward::new(file.into());
        assert_eq!(forward.read(0, &mut vec![0; 10]), Err(Errno::ISDIR));
    }
}
