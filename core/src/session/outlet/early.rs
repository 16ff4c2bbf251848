//! Copies that others make while this side goes on: started as soon as a file is asked for, or for the time in which it is
//! compared with what it replaces.

use alloc::boxed::Box;
use core::convert::Infallible;

use super::{LocalOutlet, OpenBasis, report_commit};
use crate::{
    checksum::ChecksumKind,
    copying::{CopyEnd, CopyJob, LocalCopy},
    error::{Error, Role},
    flist::entry::EntryRef,
    item::{BasisType, ItemFlags},
    limits::FILE_PIECE,
    names::below,
    options::Append,
    ports::{Observer, Place, Source, SourcePath, Step, Target},
    session::{generator::Request, lists::Segment, transfer::FileContext},
};

/// Bases that may be open for copies under way.
pub(super) const OPEN: usize = 64;

/// A copy that others make meanwhile.
pub(super) struct Started<B> {
    ticket: u64,
    /// What the file replaces. How much of it was there is counted meanwhile; that changes nothing but the numbers.
    basis: Option<OpenBasis<B>>,
}

impl<S: Source, T: Target, O: Observer, C: LocalCopy<S, T>> LocalOutlet<'_, S, T, O, C> {
    /// The data of a file is copied without a look at what is there.
    pub(super) fn copies_whole(&self, request: &Request) -> bool {
        let shared = self.side.shared;
        let transfer = &shared.options.transfer;
        transfer.whole_file.unwrap_or(true)
            || shared.agreed.transfer_sum == ChecksumKind::None
            || (request.basis == BasisType::Name
                && !transfer.inplace
                && !transfer.backup
                && !shared.options.report.tells_of_deltas())
    }

    /// A file that is there takes the data of another without more: nothing is compared, kept or set beside.
    fn is_overwritten_at_once(&self, request: &Request) -> bool {
        let options = self.side.shared.options;
        self.copies_whole(request)
            && !request.redo
            && !options.transfer.backup
            && !options.preserve.acls
            && options.preserve.xattrs == 0
            // Two names of a directory lead to one file, which is written in the order of its names.
            && !options.select.keep_dirlinks
            && !options.select.write_devices
    }

    /// A file needs nothing but its data and its attributes.
    fn is_plain(&self, entry: EntryRef<'_>, request: &Request) -> bool {
        let shared = self.side.shared;
        let options = shared.options;
        let transfer = &options.transfer;
        let new = request.flags.contains(ItemFlags::IS_NEW);
        request.append == Append::Off
            && request.basis == BasisType::Name
            && (new || !transfer.inplace || self.is_overwritten_at_once(request))
            && !transfer.delay_updates
            && !options.dry_run
            && !options.select.copy_devices
            && (new || !transfer.backup)
            && shared.agreed.protocol.has_item_flags()
            // A longer file is shown while it comes, and seen by others.
            && (entry.entry.size <= FILE_PIECE as u64 || !(options.report.progress || transfer.inplace))
    }

    /// Starts the copy of a file that needs nothing but its data; others are copied when their turn comes.
    pub(super) async fn start_early(
        &mut self,
        ndx: i32,
        segment: &Segment,
        request: &Request,
    ) -> Option<Started<T::Basis>> {
        let entry = segment.get(ndx).filter(|&entry| self.is_plain(entry, request))?;
        let options = self.side.shared.options;
        let name = self.side.local_name(entry);
        let basis = if request.basis_len.is_some_and(|len| len > 0) && !self.copies_whole(request) {
            // What is shown on the way has its order, and what others resemble stays until they come.
            if options.report.progress || options.report.deltas || options.transfer.fuzzy > 0 {
                return None;
            }
            // It is open before its name is another's.
            let (file, len) = self.side.target.open_basis(Place::Dest(name)).await.ok()?;
            self.open += 1;
            Some(OpenBasis { file, len, in_place: false, overwritten: false })
        } else {
            None
        };
        let replaced = if options.preserve.perms || request.flags.contains(ItemFlags::IS_NEW) {
            None
        } else {
            self.side.target.stat(Place::Dest(name), false).await.ok().flatten()
        };
        let wanted_mode = self.side.received_mode(entry, name, None, replaced).await;
        let attrs = self.side.attrs(entry, wanted_mode);
        let extended = self.side.extended(entry, name, None, true).await;
        let job = CopyJob {
            source: SourcePath { base: entry.entry.base, name: below(entry.name()) },
            name,
            file_mode: wanted_mode,
            attrs,
            extended: extended.as_ref(),
            backup: false,
            size: entry.entry.size,
            fresh: request.fresh,
            in_place: options.transfer.inplace,
        };
        Some(Started { ticket: self.copier.start(self.source, self.side.target, &job), basis })
    }

    /// Waits for the end of a copy; true: it was counted how much of the file was there.
    pub(super) async fn finish(
        &mut self,
        context: &FileContext<'_, '_, O>,
        started: Started<T::Basis>,
    ) -> (CopyEnd, bool) {
        let mut counted = false;
        if let Some(basis) = started.basis {
            self.open -= 1;
            // On the heap: few files are searched, and every local run would hold it.
            counted = Box::pin(self.count(context, &basis)).await;
        }
        (self.copier.finish(self.source, self.side.target, started.ticket).await, counted)
    }

    /// Counts what of a file is in a basis; false: one of them could not be read, which the copy meets too.
    async fn count(&mut self, context: &FileContext<'_, '_, O>, basis: &OpenBasis<T::Basis>) -> bool {
        let entry = context.entry;
        let path = SourcePath { base: entry.entry.base, name: below(entry.name()) };
        match self.source.open(path).await {
            Ok((file, stat)) => matches!(self.delta(&file, stat.size, basis, None, context).await, Ok(None)),
            Err(_) => false,
        }
    }

    /// Reports the end of a copy that was started early; `counted`: what was in a basis is known. The result says whether the
    /// file is there.
    pub(super) async fn finish_early(
        &self,
        context: &FileContext<'_, '_, O>,
        request: &Request,
        end: CopyEnd,
        counted: bool,
    ) -> Result<bool, Error<Infallible>> {
        let entry = context.entry;
        let shared = self.side.shared;
        self.side.report_failures(Role::Receiver);
        let name = self.side.local_name(entry);
        if let CopyEnd::Open(error) = end {
            self.not_opened(entry, error);
            return Ok(false);
        }
        let after = shared.options.report.after_transfer;
        self.mapped(entry, entry.entry.size);
        let figures = if after { Some(self.figures(entry, entry.entry.size).await) } else { None };
        self.show(entry, request.flags, request.basis, None, figures);
        shared.step(Role::Sender, &Step::SendingSum { false_alarms: 0, hash_hits: 0, matches: 0 });
        match end {
            CopyEnd::Done(size) => {
                context.all_progress(size);
                if !counted {
                    shared.stats.borrow_mut().literal += size;
                }
                Ok(true)
            }
            CopyEnd::Commit(step, error) => {
                // A sender sends what cannot be put into its place, too.
                context.all_progress(entry.entry.size);
                if !counted {
                    shared.stats.borrow_mut().literal += entry.entry.size;
                }
                Ok(report_commit(self.side, name, Err((step, error)))?)
            }
            CopyEnd::Refused | CopyEnd::Open(_) => Ok(false),
        }
    }
}
