//! How received files get into their places: what is reported of it, and completions that go on elsewhere while
//! the next files are received.

use alloc::{collections::VecDeque, vec::Vec};

use super::{Event, dest_side::DestSide};
use crate::{
    error::Role,
    exit::ExitCode,
    flist::entry::EntryRef,
    names::RelName,
    ports::{
        Attrs, CommitStep, Create, Destination, Notice, Observer, Op, Place, PortError, Target, WriteMode,
    },
};

/// Completions that may be under way at a time, and the bytes of their files.
const FILES: usize = 256;
const BYTES: u64 = 4 << 20;

/// How a file got into its place.
pub(super) type Committed = Result<(), (CommitStep, PortError)>;

/// A file whose data is complete and verified.
#[derive(Clone, Copy)]
pub(super) struct Complete<'n> {
    /// Its name at the destination.
    pub name: RelName<'n>,
    /// Its attributes.
    pub attrs: Attrs,
    /// What it was made from.
    pub basis: Place<'n>,
    /// Something stood there before.
    pub replaces: bool,
}

impl Complete<'_> {
    /// Where the file goes: to its name, or to where it waits for it (`--delay-updates`).
    pub(super) fn destination<T: Target, O: Observer>(&self, side: &DestSide<'_, T, O>) -> Destination {
        let transfer = &side.shared.options.transfer;
        if side.delays(self.name) {
            Destination::Partial
        } else {
            Destination::Final { backup: transfer.backup && !transfer.inplace }
        }
    }

    /// Puts the file there and removes what is left of its partial file; false: it is not there, which was reported.
    pub(super) async fn put<T: Target, O: Observer>(
        &self,
        side: &DestSide<'_, T, O>,
        output: T::Output,
        to: Destination,
    ) -> Result<bool, ExitCode> {
        let target = side.target;
        let committed = target.commit(output, &self.attrs, to).await;
        let backed_up = self.replaces
            && matches!(to, Destination::Final { backup: true })
            && !matches!(committed, Err((CommitStep::Backup, _)));
        if backed_up {
            side.shared.report(Role::Receiver, &Notice::BackedUp(self.name.bytes()));
        }
        if !report_commit(side, self.name, committed)? {
            return Ok(false);
        }
        if side.shared.options.transfer.partial_dir.is_some() && to != Destination::Partial {
            if matches!(self.basis, Place::Partial(_)) {
                let _ = target.remove_file(self.basis).await;
            }
            target.tidy_partial_dir(self.name).await;
        }
        Ok(true)
    }
}

impl<T: Target, O: Observer> DestSide<'_, T, O> {
    /// Starts a file; `None`: it cannot be written, which was reported.
    pub(super) async fn create(&self, create: &Create<'_>) -> Option<T::Output> {
        let (name, other) = (create.name.bytes(), &[][..]);
        let op = if create.mode == WriteMode::Temporary { Op::Mkstemp } else { Op::OpenInPlace };
        match self.target.create(create).await {
            Ok(output) => Some(output),
            Err(error) => {
                let notice = Notice::Failed { op, name, base: None, other, error };
                self.shared.report(Role::Receiver, &notice);
                None
            }
        }
    }
}

/// A file does not have the data that it should have: what came of it is kept as far as that is wanted. `redo`: it was asked
/// for again already.
pub(super) async fn unverified<T: Target, O: Observer>(
    side: &DestSide<'_, T, O>,
    entry: EntryRef<'_>,
    name: RelName<'_>,
    wanted_mode: u32,
    mode: WriteMode,
    mut output: T::Output,
    redo: bool,
) -> Result<(), ExitCode> {
    let (options, target) = (side.shared.options, side.target);
    let transfer = &options.transfer;
    let kept = if transfer.inplace {
        "retained"
    } else if mode == WriteMode::PartialInPlace && !transfer.delay_updates {
        "put into partial-dir"
    } else {
        "discarded"
    };
    let notice = Notice::FailedVerification { name: entry.rel_name().bytes(), kept, again: !redo };
    side.shared.report(Role::Receiver, &notice);
    let attrs = side.attrs_without_times(entry, wanted_mode);
    side.attach(&mut output, entry, false).await;
    let to = if transfer.inplace {
        Destination::Final { backup: false }
    } else if side.is_taken(name) {
        target.discard(output).await;
        return Ok(());
    } else if transfer.partial_dir.is_some() {
        Destination::Partial
    } else if transfer.partial {
        Destination::KeptPartial { backup: transfer.backup && !redo }
    } else {
        target.discard(output).await;
        return Ok(());
    };
    let result = target.commit(output, &attrs, to).await;
    report_commit(side, name, result)?;
    Ok(())
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
