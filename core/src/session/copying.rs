//! Copies of whole files within one machine, started ahead and finished in order.

use alloc::{collections::BTreeMap, vec, vec::Vec};
use core::cell::{Cell, RefCell};

use crate::{
    names::RelName,
    ports::{Attrs, CommitStep, Create, Destination, PortError, Source, SourcePath, Target, WriteMode},
};

/// A whole file to be copied from the sender's tree to the destination's.
#[derive(Debug, Clone, Copy)]
pub struct CopyJob<'a> {
    /// What to copy.
    pub source: SourcePath<'a>,
    /// Name at the destination.
    pub name: RelName<'a>,
    /// Type and permissions that the file will have.
    pub file_mode: u32,
    /// Attributes to set.
    pub attrs: Attrs,
    /// What is there is backed up first.
    pub backup: bool,
    /// Size that the list says, bytes.
    pub size: u64,
    /// The directory was made by this run: nothing can be there, and nobody uses it yet.
    pub fresh: bool,
}

/// How a copy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyEnd {
    /// In place, with this many bytes.
    Done(u64),
    /// In place with this many bytes, but a step of its completion failed (attributes), or not in place.
    Commit(CommitStep, PortError),
    /// The source could not be opened.
    Open(PortError),
    /// The source could not be read to its end.
    Read(PortError),
}

/// Copies files. A copy may begin when it is started; its end is asked for later, in any order.
#[allow(async_fn_in_trait)]
pub trait LocalCopy<S: Source, T: Target> {
    /// Takes a job; the returned number is used once with [`LocalCopy::finish`].
    fn start(&self, source: &S, target: &T, job: &CopyJob<'_>) -> u64;
    /// Waits for the end of a job.
    async fn finish(&self, source: &S, target: &T, ticket: u64) -> CopyEnd;
}

/// Copies when the end is asked for, through the ports: for trees that have nothing faster.
#[derive(Debug, Default)]
pub struct InTurn {
    next: Cell<u64>,
    jobs: RefCell<BTreeMap<u64, OwnedJob>>,
}

#[derive(Debug)]
struct OwnedJob {
    base: u32,
    source: Vec<u8>,
    name: Vec<u8>,
    file_mode: u32,
    attrs: Attrs,
    backup: bool,
    size: u64,
}

const PIECE: usize = 64 << 10;

impl<S: Source, T: Target> LocalCopy<S, T> for InTurn {
    fn start(&self, _source: &S, _target: &T, job: &CopyJob<'_>) -> u64 {
        let ticket = self.next.get();
        self.next.set(ticket + 1);
        let owned = OwnedJob {
            base: job.source.base,
            source: job.source.name.to_vec(),
            name: job.name.bytes().to_vec(),
            file_mode: job.file_mode,
            attrs: job.attrs,
            backup: job.backup,
            size: job.size,
        };
        self.jobs.borrow_mut().insert(ticket, owned);
        ticket
    }

    async fn finish(&self, source: &S, target: &T, ticket: u64) -> CopyEnd {
        let job = self.jobs.borrow_mut().remove(&ticket);
        let Some(job) = job else { return CopyEnd::Open(PortError::NOT_FOUND) };
        let name = RelName::new(&job.name).unwrap_or(RelName::ROOT);
        let (file, stat) = match source.open(SourcePath { base: job.base, name: &job.source }).await {
            Ok(opened) => opened,
            Err(error) => return CopyEnd::Open(error),
        };
        let create = Create {
            name,
            mode: WriteMode::Temporary,
            file_mode: job.file_mode,
            size: job.size,
            append_from: 0,
        };
        let mut output = match target.create(&create).await {
            Ok(output) => output,
            Err(error) => return CopyEnd::Commit(CommitStep::Create, error),
        };
        let mut buf = vec![0; PIECE];
        let mut offset = 0;
        while offset < stat.size {
            let n = usize::try_from(stat.size - offset).unwrap_or(PIECE).min(PIECE);
            let piece = buf.get_mut(..n).unwrap_or_default();
            match source.read_at(&file, offset, piece).await {
                Ok(got) if got == n => {}
                other => {
                    target.discard(output).await;
                    return CopyEnd::Read(other.err().unwrap_or(PortError::NO_DATA));
                }
            }
            if let Err(error) = target.write(&mut output, piece).await {
                target.discard(output).await;
                return CopyEnd::Commit(CommitStep::Write, error);
            }
            offset += n as u64;
        }
        match target.commit(output, &job.attrs, Destination::Final { backup: job.backup }).await {
            Ok(()) => CopyEnd::Done(stat.size),
            Err((step, error)) => CopyEnd::Commit(step, error),
        }
    }
}
