//! How received files get into their places: what is reported of it, and completions that go on elsewhere while
//! the next files are received.

use alloc::{collections::VecDeque, vec::Vec};

use super::{Event, generator::DestSide};
use crate::{
    error::Role,
    exit::ExitCode,
    names::RelName,
    ports::{Attrs, CommitStep, Notice, Observer, Op, PortError, Target},
};

/// Completions that may be under way at a time, and the bytes of their files.
const FILES: usize = 256;
const BYTES: u64 = 4 << 20;

/// How a file got into its place.
pub(super) type Committed = Result<(), (CommitStep, PortError)>;

/// Reports the backup of what a file has replaced, unless that is what failed.
pub(super) fn report_backup<T: Target, O: Observer>(
    side: &DestSide<'_, T, O>,
    name: RelName<'_>,
    committed: &Committed,
) {
    if !matches!(committed, Err((CommitStep::Backup, _))) {
        side.shared.report(Role::Receiver, &Notice::BackedUp(name.bytes()));
    }
}

/// Reports what failed; false: the file is not in place. An error ends the session.
pub(super) fn report_commit<T: Target, O: Observer>(
    side: &DestSide<'_, T, O>,
    name: RelName<'_>,
    committed: Committed,
) -> Result<bool, ExitCode> {
    side.report_failures(Role::Receiver);
    let Err((step, error)) = committed else { return Ok(true) };
    let name = name.bytes();
    let failed = |op, other| {
        let notice = Notice::Failed { op, name, base: None, other, error };
        side.shared.report(Role::Receiver, &notice);
    };
    match step {
        CommitStep::Attrs(step) => {
            failed(if side.shared.options.transfer.inplace { step.op() } else { Op::OnTemporary(step) }, &[]);
            return Ok(true);
        }
        CommitStep::Rename => failed(Op::Rename, name),
        CommitStep::PartialDir => side.shared.report(Role::Receiver, &Notice::PartialDirFailed(name)),
        CommitStep::Create => failed(Op::Mkstemp, &[]),
        CommitStep::Backup | CommitStep::Sync | CommitStep::Write => {
            let op = match step {
                CommitStep::Backup => Op::Backup,
                CommitStep::Sync => Op::Fsync,
                _ => Op::Write,
            };
            failed(op, &[]);
            return Err(ExitCode::FILE_IO);
        }
    }
    Ok(false)
}

/// A file whose completion is under way.
struct Underway {
    ticket: u64,
    ndx: i32,
    name: Vec<u8>,
    size: u64,
}

/// Files whose completion is under way, in the order in which they came.
pub(super) struct Completions<'a, T, O> {
    side: &'a DestSide<'a, T, O>,
    files: VecDeque<Underway>,
    bytes: u64,
}

impl<'a, T: Target, O: Observer> Completions<'a, T, O> {
    pub(super) const fn new(side: &'a DestSide<'a, T, O>) -> Self {
        Self { side, files: VecDeque::new(), bytes: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Begins to complete a file, unless that has to be waited for.
    pub(super) fn begin(
        &mut self,
        ndx: i32,
        name: RelName<'_>,
        output: T::Output,
        attrs: &Attrs,
        size: u64,
    ) -> Result<(), T::Output> {
        let ticket = self.side.target.begin_commit(output, attrs)?;
        self.bytes += size;
        self.files.push_back(Underway { ticket, ndx, name: name.bytes().to_vec(), size });
        Ok(())
    }

    /// Waits for the oldest ones while there are too many.
    pub(super) async fn make_room(&mut self) -> Result<(), ExitCode> {
        while self.files.len() > FILES || self.bytes > BYTES {
            self.end_oldest().await?;
        }
        Ok(())
    }

    /// Waits for all of them.
    pub(super) async fn end_all(&mut self) -> Result<(), ExitCode> {
        while !self.files.is_empty() {
            self.end_oldest().await?;
        }
        Ok(())
    }

    async fn end_oldest(&mut self) -> Result<(), ExitCode> {
        let Some(file) = self.files.pop_front() else { return Ok(()) };
        self.bytes -= file.size;
        let committed = self.side.target.end_commit(file.ticket).await;
        let name = RelName::new(&file.name).unwrap_or(RelName::ROOT);
        let fine = report_commit(self.side, name, committed)?;
        self.side.shared.event(if fine { Event::Success(file.ndx) } else { Event::Failed(file.ndx) });
        Ok(())
    }
}
