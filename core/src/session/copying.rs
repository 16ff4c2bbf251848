//! Copies of whole files within one machine, through the ports.

use alloc::{collections::BTreeMap, vec, vec::Vec};
use core::cell::{Cell, RefCell};

use crate::{
    copying::{CopyEnd, CopyJob, LocalCopy},
    names::RelName,
    ports::{
        Attrs, CommitStep, Create, Destination, Extended, PortError, Source, SourcePath, Target, WriteMode,
    },
};

/// Copies when the end is asked for, through the ports: for trees that have nothing faster. Made with `default()`.
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
    extended: Option<Extended>,
    backup: bool,
    size: u64,
    in_place: bool,
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
            extended: job.extended.cloned(),
            backup: job.backup,
            size: job.size,
            in_place: job.in_place,
        };
        self.jobs.borrow_mut().insert(ticket, owned);
        ticket
    }

    async fn finish(&self, source: &S, target: &T, ticket: u64) -> CopyEnd {
        let job = self.jobs.borrow_mut().remove(&ticket);
        let Some(job) = job else { return CopyEnd::Open(PortError::NOT_FOUND) };
        if job.in_place {
            return CopyEnd::Refused;
        }
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
                _ => {
                    target.discard(output).await;
                    return CopyEnd::Refused;
                }
            }
            if let Err(error) = target.write(&mut output, piece).await {
                target.discard(output).await;
                return CopyEnd::Commit(CommitStep::Write, error);
            }
            offset += n as u64;
        }
        if let Some(extended) = job.extended {
            target.attach(&mut output, extended);
        }
        match target.commit(output, &job.attrs, Destination::Final { backup: job.backup }).await {
            Ok(()) => CopyEnd::Done(stat.size),
            Err((step, error)) => CopyEnd::Commit(step, error),
        }
    }
}
