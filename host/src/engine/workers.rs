//! Whole-file copies within one machine on threads, one file a task.

use alloc::sync::Arc;
use std::os::fd::OwnedFd;

use arsync_core::{
    copying::{CopyEnd, CopyJob, LocalCopy},
    names::RelName,
    ports::{Attrs, CommitStep, Create, Destination, Extended, WriteMode},
};
use rustix::{fs::fstat, io::Errno};

use super::{
    FileSource, TreeTarget,
    backlog::{Piece, parent},
    pool::{Pool, Task},
    port, processors,
    source::Reader,
    write::{SMALL, Shared},
};

/// One file to copy.
struct Job {
    reader: Reader,
    source: Box<[u8]>,
    target: Arc<Shared>,
    name: Box<[u8]>,
    file_mode: u32,
    attrs: Attrs,
    extended: Option<Extended>,
    backup: bool,
    size: u64,
    fresh: bool,
}

impl Piece for Job {
    fn dir(&self) -> &[u8] {
        parent(&self.name)
    }

    fn size(&self) -> u64 {
        self.size
    }
}

/// Room for a small file. One byte more than the largest: the end is seen without a second read.
struct Room(Vec<u8>);

impl Default for Room {
    fn default() -> Self {
        Self(vec![0; SMALL + 1])
    }
}

/// The workers of a local run.
pub struct Workers(Pool<Job>);

impl Default for Workers {
    fn default() -> Self {
        Self(Pool::new("copy", processors()))
    }
}

impl LocalCopy<FileSource, TreeTarget> for Workers {
    fn start(&self, source: &FileSource, target: &TreeTarget, job: &CopyJob<'_>) -> u64 {
        let reader = match source.reader(job.source.base) {
            Ok(reader) => reader,
            Err(error) => return self.0.ended(CopyEnd::Open(port(error))),
        };
        self.0.begin(Job {
            reader,
            source: job.source.name.into(),
            target: target.shared().clone(),
            name: job.name.bytes().into(),
            file_mode: job.file_mode,
            attrs: job.attrs,
            extended: job.extended.cloned(),
            backup: job.backup,
            size: job.size,
            fresh: job.fresh,
        })
    }

    async fn finish(&self, _source: &FileSource, _target: &TreeTarget, ticket: u64) -> CopyEnd {
        self.0.end(ticket)
    }
}

impl Task for Job {
    type End = CopyEnd;
    type Kit = Room;

    fn run(self, Room(buf): &mut Room) -> CopyEnd {
        copy(&self, buf)
    }
}

/// Copies one file.
fn copy(job: &Job, buf: &mut [u8]) -> CopyEnd {
    let file = match job.reader.open(&job.source) {
        Ok(file) => file,
        Err(error) => return CopyEnd::Open(port(error)),
    };
    let Some(name) = RelName::new(&job.name) else {
        return CopyEnd::Commit(CommitStep::Create, port(Errno::INVAL));
    };
    let to = Destination::Final { backup: job.backup };
    let create =
        Create { name, mode: WriteMode::Temporary, file_mode: job.file_mode, size: job.size, append_from: 0 };
    let n = match read_start(&file, job.size, buf) {
        Ok(n) => n,
        Err(error) => return CopyEnd::Read(port(error)),
    };
    if n <= SMALL
        && let Some(pace) = job.reader.pace()
    {
        pace.copied(n as u64);
    }
    if n <= SMALL && job.target.takes_small_files() {
        let data = &buf[..n];
        if job.fresh && job.extended.is_none() && !job.target.has_temp_dir() {
            match job.target.put_fresh(&create, data, &job.attrs) {
                Ok(()) => return CopyEnd::Done(n as u64),
                Err((CommitStep::Create, _)) => {}
                Err((step, error)) => return CopyEnd::Commit(step, port(error)),
            }
        }
        return match job.target.put(&create, data, &job.attrs, job.extended.as_ref(), to) {
            Ok(()) => CopyEnd::Done(n as u64),
            Err((step, error)) => CopyEnd::Commit(step, port(error)),
        };
    }
    large(job, &file, &create, to)
}

fn large(job: &Job, file: &OwnedFd, create: &Create<'_>, to: Destination) -> CopyEnd {
    let size = match fstat(file) {
        Ok(st) => st.st_size.cast_unsigned(),
        Err(error) => return CopyEnd::Read(port(error)),
    };
    match job.target.copy(file, create, job.reader.pace()) {
        Ok(mut out) => {
            if let Some(extended) = &job.extended {
                out.attach(extended.clone());
            }
            match job.target.commit(out, &job.attrs, to) {
                Ok(()) => CopyEnd::Done(size),
                Err((step, error)) => CopyEnd::Commit(step, port(error)),
            }
        }
        Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => {
            CopyEnd::Commit(CommitStep::Write, port(error))
        }
        Err(error) => CopyEnd::Commit(CommitStep::Create, port(error)),
    }
}

/// Fills the buffer, or reads to the end of the file; one call for a file that fits. `size`: as it was listed.
fn read_start(file: &OwnedFd, size: u64, buf: &mut [u8]) -> rustix::io::Result<usize> {
    if size == 0 && fstat(file)?.st_size == 0 {
        // A read would change the time of the last access, or find what is no content, as below `/proc`.
        return Ok(0);
    }
    // A regular file is read short at its end only.
    rustix::io::retry_on_intr(|| rustix::io::pread(file, &mut *buf, 0))
}
