//! Whole-file copies on worker threads: plain functions on descriptors and owned data, one file a job.
//!
//! Small jobs change hands in batches, in both directions: waking a thread costs as much as copying a small file.
//! Workers keep to different directories where they can: two that create names in one directory wait for one another
//! in the kernel. Threads start with the first job, one per core, and end with the value. Nothing here decides: a job
//! says what is copied where, and its end says how far it came.

use alloc::sync::Arc;
use core::cell::{Cell, RefCell};
use std::{
    collections::HashMap,
    os::fd::OwnedFd,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use arsync_core::{
    copying::{CopyEnd, CopyJob, LocalCopy},
    names::RelName,
    ports::{Attrs, CommitStep, Create, Destination, WriteMode},
};
use rustix::{fs::fstat, io::Errno};

use super::{
    FileSource, TreeTarget,
    backlog::{BATCH, BATCH_BYTES, Backlog, Piece},
    port,
    source::Reader,
    write::{SMALL, Shared},
};

/// Jobs that may wait for a worker before whoever brings more has to wait.
const BACKLOG: usize = 4096;

/// One file to copy.
struct Job {
    ticket: u64,
    reader: Reader,
    source: Box<[u8]>,
    target: Arc<Shared>,
    name: Box<[u8]>,
    file_mode: u32,
    attrs: Attrs,
    backup: bool,
    size: u64,
    fresh: bool,
}

impl Piece for Job {
    fn dir(&self) -> &[u8] {
        memchr::memrchr(b'/', &self.name).map_or(&[], |slash| &self.name[..slash])
    }

    fn size(&self) -> u64 {
        self.size
    }
}

#[derive(Default)]
struct State {
    backlog: Backlog<Job>,
    ends: Vec<(u64, CopyEnd)>,
    /// The job whose end is waited for.
    wanted: Option<u64>,
    /// Whoever brings jobs waits for room.
    crowded: bool,
    closed: bool,
}

#[derive(Default)]
struct Desk {
    state: Mutex<State>,
    /// There is a job, or the desk is closed.
    work: Condvar,
    /// The wanted job ended, or there is room.
    ended: Condvar,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The workers of a local run.
#[derive(Default)]
pub struct Workers {
    desk: Arc<Desk>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    next: Cell<u64>,
    batch: RefCell<Batch>,
    /// Ends that nobody has asked for yet.
    ends: RefCell<HashMap<u64, CopyEnd>>,
}

/// Jobs that wait for company.
#[derive(Default)]
struct Batch {
    jobs: Vec<Job>,
    bytes: u64,
}

impl Workers {
    fn start_threads(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if !threads.is_empty() {
            return;
        }
        let count = std::thread::available_parallelism().map_or(1, core::num::NonZero::get).min(32);
        for _ in 0..count {
            let desk = self.desk.clone();
            if let Ok(thread) = std::thread::Builder::new().name("copy".into()).spawn(move || work(&desk)) {
                threads.push(thread);
            }
        }
    }
}

impl Workers {
    fn hand_over(&self, batch: &mut Batch) {
        if batch.jobs.is_empty() {
            return;
        }
        batch.bytes = 0;
        let mut state = self.desk.lock();
        batch.jobs.drain(..).for_each(|job| state.backlog.push(job));
        while state.backlog.len() > BACKLOG {
            state.crowded = true;
            state = self.desk.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        self.desk.work.notify_one();
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.desk.lock().closed = true;
        self.desk.work.notify_all();
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = thread.join();
        }
    }
}

impl LocalCopy<FileSource, TreeTarget> for Workers {
    fn start(&self, source: &FileSource, target: &TreeTarget, job: &CopyJob<'_>) -> u64 {
        let ticket = self.next.get();
        self.next.set(ticket + 1);
        if ticket == 0 {
            self.start_threads();
        }
        let reader = match source.reader(job.source.base) {
            Ok(reader) => reader,
            Err(error) => {
                self.ends.borrow_mut().insert(ticket, CopyEnd::Open(port(error)));
                return ticket;
            }
        };
        let mut batch = self.batch.borrow_mut();
        batch.bytes = batch.bytes.saturating_add(job.size);
        batch.jobs.push(Job {
            ticket,
            reader,
            source: job.source.name.into(),
            target: target.shared().clone(),
            name: job.name.bytes().into(),
            file_mode: job.file_mode,
            attrs: job.attrs,
            backup: job.backup,
            size: job.size,
            fresh: job.fresh,
        });
        if batch.jobs.len() >= BATCH || batch.bytes >= BATCH_BYTES {
            self.hand_over(&mut batch);
        }
        ticket
    }

    async fn finish(&self, _source: &FileSource, _target: &TreeTarget, ticket: u64) -> CopyEnd {
        if let Some(end) = self.ends.borrow_mut().remove(&ticket) {
            return end;
        }
        self.hand_over(&mut self.batch.borrow_mut());
        let mut ends = self.ends.borrow_mut();
        let mut state = self.desk.lock();
        loop {
            ends.extend(state.ends.drain(..));
            if let Some(end) = ends.remove(&ticket) {
                state.wanted = None;
                return end;
            }
            state.wanted = Some(ticket);
            state = self.desk.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The life of a worker.
fn work(desk: &Desk) {
    let mut buf = vec![0u8; SMALL + 1];
    let mut jobs = Vec::with_capacity(BATCH);
    let mut ends = Vec::with_capacity(BATCH);
    let mut state = desk.lock();
    loop {
        let Some(group) = state.backlog.take_batch(&mut jobs) else {
            if state.closed {
                return;
            }
            state = desk.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(state);
        ends.extend(jobs.drain(..).map(|job| (job.ticket, run(&job, &mut buf))));
        state = desk.lock();
        state.backlog.leave(group);
        let mut awaited = core::mem::take(&mut state.crowded);
        for end in ends.drain(..) {
            awaited |= state.wanted == Some(end.0);
            state.ends.push(end);
        }
        if awaited {
            desk.ended.notify_one();
        }
    }
}

/// Copies one file.
fn run(job: &Job, buf: &mut [u8]) -> CopyEnd {
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
    // One byte more than the largest small file: the end is seen without a second read.
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
        if job.fresh && !job.target.has_temp_dir() {
            match job.target.put_fresh(&create, data, &job.attrs) {
                Ok(()) => return CopyEnd::Done(n as u64),
                Err((CommitStep::Create, _)) => {}
                Err((step, error)) => return CopyEnd::Commit(step, port(error)),
            }
        }
        return match job.target.put(&create, data, &job.attrs, to) {
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
        Ok(out) => match job.target.commit(out, &job.attrs, to) {
            Ok(()) => CopyEnd::Done(size),
            Err((step, error)) => CopyEnd::Commit(step, port(error)),
        },
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
