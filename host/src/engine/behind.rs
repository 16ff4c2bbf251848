//! Writes of a large file on a thread of its own, so that what makes the data and what stores it go on side by
//! side. Pieces are written in order; the first error ends the writing and is kept.

use alloc::sync::Arc;
use std::{
    os::fd::OwnedFd,
    sync::{
        OnceLock,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use arsync_core::limits::FILE_PIECE;
use rustix::io::{self, Errno};

use super::copy::{Holes, write_at};

/// Buffers in circulation, the one being filled included.
const BUFFERS: usize = 4;

/// What is written where.
type Piece = (u64, Vec<u8>);

/// The writer of one file.
#[derive(Debug)]
pub struct Behind {
    pieces: SyncSender<Piece>,
    empty: Receiver<Vec<u8>>,
    error: Arc<OnceLock<Errno>>,
    thread: JoinHandle<()>,
}

impl Behind {
    /// Writes to an open file. None where there is no second processor, or no thread.
    pub fn start(file: Arc<OwnedFd>, holes: Holes) -> Option<Self> {
        if super::processors() < 2 {
            return None;
        }
        let (pieces, queued) = sync_channel::<Piece>(BUFFERS);
        let (give_back, empty) = sync_channel(BUFFERS);
        for _ in 1..BUFFERS {
            let _ = give_back.send(Vec::with_capacity(FILE_PIECE));
        }
        let error = Arc::new(OnceLock::new());
        let kept = error.clone();
        let write = move || {
            for (offset, mut data) in queued {
                if kept.get().is_none()
                    && let Err(error) = write_at(&file, offset, &data, holes)
                {
                    let _ = kept.set(error);
                }
                data.clear();
                // Nobody takes it back once all pieces were handed over.
                let _ = give_back.send(data);
            }
        };
        let thread = std::thread::Builder::new().name("write-behind".into()).spawn(write).ok()?;
        Some(Self { pieces, empty, error, thread })
    }

    /// Hands a piece over and gets an empty buffer for the next one; waits while all of them are under way.
    pub fn write(&self, offset: u64, data: Vec<u8>) -> io::Result<Vec<u8>> {
        self.fault()?;
        self.pieces.send((offset, data)).map_err(|_| Errno::IO)?;
        self.empty.recv().map_err(|_| Errno::IO)
    }

    /// Waits until everything is written.
    pub fn finish(self) -> io::Result<()> {
        drop(self.pieces);
        drop(self.empty);
        self.thread.join().map_err(|_| Errno::IO)?;
        self.error.get().map_or(Ok(()), |&error| Err(error))
    }

    fn fault(&self) -> io::Result<()> {
        self.error.get().map_or(Ok(()), |&error| Err(error))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read as _};

    use super::*;

    #[test]
    fn pieces_arrive_at_their_offsets() {
        let mut file = tempfile::tempfile().unwrap();
        let fd: Arc<OwnedFd> = Arc::new(file.try_clone().unwrap().into());
        let Some(behind) = Behind::start(fd, Holes::Written) else { return };
        let mut expected = Vec::new();
        let mut buf = Vec::new();
        for n in 0..20u8 {
            buf.extend_from_slice(&[n; 1000]);
            expected.extend_from_slice(&[n; 1000]);
            buf = behind.write(u64::from(n) * 1000, buf).unwrap();
            assert!(buf.is_empty());
        }
        behind.finish().unwrap();
        let mut found = Vec::new();
        file.read_to_end(&mut found).unwrap();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_first_error_is_reported() {
        // Writing to a file that is open for reading fails with EBADF.
        let fd: Arc<OwnedFd> = Arc::new(fs::File::open("/dev/null").unwrap().into());
        let Some(behind) = Behind::start(fd, Holes::Written) else { return };
        let mut failed = None;
        for n in 0..10 {
            if let Err(error) = behind.write(n, vec![1]) {
                failed = Some(error);
                break;
            }
        }
        assert_eq!(failed.or(behind.finish().err()), Some(Errno::BADF));
    }
}
