//! What a file can be made from when it is not there: alternate directories, files of a similar name
//! (spec: alternate basis).

use alloc::vec::Vec;

use bytes::Bytes;

use super::{
    decide,
    dest_side::DestSide,
    fuzzy::{HOPELESS, LIMIT, distance, suffix},
    generator::{Generator, Outlet, Request},
};
use crate::{
    copying::CopyStep,
    error::Error,
    flist::entry::{EntryRef, FileKind},
    item::{BasisType, ItemFlags},
    names::RelName,
    options::AltDestKind,
    ports::{
        Child, CommitStep, Create, Destination, Notice, Observer, Op, Place, PortError, Stat, Step, Target,
        WriteMode,
    },
};

/// An item of an alternate directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Alternate {
    /// Number of the directory.
    pub number: u8,
    /// What it is.
    pub stat: Stat,
    /// How far it is what is wanted.
    pub likeness: Likeness,
}

/// How far an item of an alternate directory is what is wanted: each step has all of those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Likeness {
    /// It has the same type.
    Type,
    /// The same content, or target, or device number.
    Content,
    /// The same attributes: nothing is left to do to it.
    Complete,
}

impl Alternate {
    /// It is what is wanted.
    pub(super) fn is_complete(&self) -> bool {
        self.likeness == Likeness::Complete
    }

    /// It has the content that is wanted, if not its attributes.
    pub(super) fn has_content(&self) -> bool {
        self.likeness >= Likeness::Content
    }
}

/// Candidates for `--fuzzy` in the directories of one name.
#[derive(Debug, Default)]
pub(super) struct FuzzyDirs {
    dir: Option<Vec<u8>>,
    /// What is in the destination directory, then in each alternate one.
    files: Vec<(BasisType, Vec<Candidate>)>,
}

/// A file that others may be made from.
#[derive(Debug)]
struct Candidate {
    name: Bytes,
    stat: Stat,
    /// This run updates it.
    taken: bool,
}

impl<T, O> DestSide<'_, T, O> {
    /// The receiver is not told whether there is a backup of a file that it writes in place: it makes way for one, and looks
    /// for it.
    pub(super) fn keeps_backup_blindly(&self) -> bool {
        let transfer = &self.shared.options.transfer;
        transfer.inplace && transfer.backup && !self.shared.agreed.protocol.has_item_flags()
    }

    /// Where a file is that could be a basis, as messages name it: below the destination, or as the option says.
    pub(super) fn basis_path(&self, place: Place<'_>) -> Vec<u8> {
        match place {
            Place::Alt(number, name) => {
                let directory = self.shared.options.transfer.alt_dests.get(usize::from(number));
                [directory.map_or(&b""[..], Vec::as_slice), b"/", name.bytes()].concat()
            }
            other => other.name().bytes().to_vec(),
        }
    }
}

/// Where the file that a request names as its basis is. `sibling`: the name that goes with a similar file.
pub(super) fn basis_place<'n>(request: &Request, name: RelName<'n>, sibling: &'n [u8]) -> Place<'n> {
    let similar = || RelName::new(sibling).unwrap_or(name);
    match request.basis {
        BasisType::PartialDir => Place::Partial(name),
        BasisType::Backup => Place::Backup(name),
        BasisType::AltDest(n) => Place::Alt(n, name),
        BasisType::Name => Place::Dest(name),
        BasisType::Fuzzy => Place::Dest(similar()),
        BasisType::FuzzyAlt(n) => Place::Alt(n, similar()),
    }
}

fn is_same_file(standing: &Stat, alt: &Alternate) -> bool {
    (standing.dev, standing.ino) == (alt.stat.dev, alt.stat.ino)
}

impl<T, O, L> Generator<'_, T, O, L>
where
    T: Target,
    O: Observer,
    L: Outlet,
{
    /// The best item of that name in the alternate directories. `wanted`: the mode that the item is to have, also
    /// without `-p`.
    pub(super) async fn alternate(
        &self,
        entry: EntryRef<'_>,
        name: RelName<'_>,
        wanted: u32,
    ) -> Option<Alternate> {
        let options = self.options();
        let target = self.side.target;
        let kind = entry.entry.kind();
        let mut best: Option<Alternate> = None;
        for number in 0..options.transfer.alt_dests.len() {
            let number = u8::try_from(number).ok()?;
            let at = Place::Alt(number, name);
            let Ok(Some(stat)) = target.stat(at, false).await else { continue };
            if stat.kind() != kind {
                continue;
            }
            let same = match kind {
                FileKind::Regular => self.is_same(entry, at, &stat).await,
                _ => self.side.is_same_thing(entry, at, &stat).await,
            };
            let mut likeness = if same { Likeness::Content } else { Likeness::Type };
            if same {
                let unchanged = decide::unchanged_attrs(
                    entry.entry,
                    &entry.extra(),
                    wanted,
                    &stat,
                    options,
                    &self.side.rights,
                );
                // What is not to be set counts here nevertheless (stock binary).
                let same_dir_time = kind != FileKind::Dir
                    || !options.preserve.times
                    || decide::same_time(
                        options.select.modify_window,
                        (entry.entry.mtime, entry.entry.nsec),
                        (stat.mtime, stat.nsec),
                    );
                let unchanged = unchanged && same_dir_time;
                if unchanged && self.side.same_extended(entry, wanted, at).await {
                    likeness = Likeness::Complete;
                }
            }
            if best.is_none_or(|b| likeness > b.likeness) {
                best = Some(Alternate { number, stat, likeness });
            }
            if likeness == Likeness::Complete {
                break;
            }
        }
        // One that is not as it should be is looked at again, as in the reference: a digest that was made of it shows in
        // its time of access.
        let was_read = options.select.checksum && options.preserve.atimes > 0 && kind == FileKind::Regular;
        if let Some(best) = best.as_mut().filter(|best| was_read && !best.is_complete())
            && let Ok(Some(stat)) = target.stat(Place::Alt(best.number, name), false).await
        {
            best.stat = stat;
        }
        best
    }

    /// A file that an alternate directory makes superfluous, or gives. True: nothing is left to do. `new_mode`: that of
    /// a file which is not there yet.
    pub(super) async fn use_alternate(
        &mut self,
        ndx: i32,
        entry: EntryRef<'_>,
        name: RelName<'_>,
        alt: &Alternate,
        standing: Option<&Stat>,
        new_mode: u32,
    ) -> Result<bool, Error<L::Error>> {
        let options = self.options();
        let Some(kind) = options.transfer.alt_dest_kind else { return Ok(false) };
        let at = Place::Alt(alt.number, name);
        if let Some(standing) = standing {
            if !alt.is_complete() || kind == AltDestKind::Copy {
                return Ok(false);
            }
            let linked = kind == AltDestKind::Link && !is_same_file(standing, alt);
            if !linked || self.link_alternate(name, alt).await {
                self.matched(ndx, entry, name, alt, linked).await?;
                self.report_unchanged(entry, false);
                return Ok(true);
            }
        }
        if !alt.has_content() {
            return Ok(false);
        }
        if alt.is_complete() {
            self.report_unchanged(entry, false);
        }
        if alt.is_complete() && kind == AltDestKind::Compare {
            self.matched(ndx, entry, name, alt, false).await?;
            return Ok(true);
        }
        if standing.is_none()
            && alt.is_complete()
            && kind == AltDestKind::Link
            && self.link_alternate(name, alt).await
        {
            self.matched(ndx, entry, name, alt, true).await?;
            return Ok(true);
        }
        let mut flags = self.flags_of(entry, new_mode, Some(&alt.stat), ItemFlags::LOCAL_CHANGE);
        flags |= self.side.extended_flags(entry, new_mode, Some(at)).await;
        if !options.dry_run && !self.copy_alternate(entry, name, new_mode, alt.number).await {
            return Ok(false);
        }
        if alt.is_complete() {
            self.leader_copied(entry);
            self.mention_given(ndx, entry, flags, None).await?;
        } else {
            self.mention(ndx, entry, flags, None).await?;
        }
        Ok(true)
    }

    /// Tells of a file that an alternate directory has as it should be. The time of access, which does not make it another
    /// file, is set where it is linked to, and only told where it stays. `linked`: just now.
    async fn matched(
        &mut self,
        ndx: i32,
        entry: EntryRef<'_>,
        name: RelName<'_>,
        alt: &Alternate,
        linked: bool,
    ) -> Result<(), Error<L::Error>> {
        let options = self.options();
        let (mode, stat) = (alt.stat.mode, &alt.stat);
        if linked {
            self.leader_linked(ndx, entry, alt).await?;
        }
        let doing = if linked { ItemFlags::LOCAL_CHANGE } else { ItemFlags::empty() };
        let flags = doing | self.flags_of(entry, mode, Some(stat), doing) & ItemFlags::REPORT_ATIME;
        if options.transfer.alt_dest_kind == Some(AltDestKind::Compare) {
            return self.mention_given(ndx, entry, flags, None).await;
        }
        if options.report.unchanged && options.report.itemize {
            self.mention_given(ndx, entry, flags, linked.then_some(&b""[..])).await?;
        }
        // What was linked before may still lack what `-c` sets: the exact time.
        if (flags.contains(ItemFlags::REPORT_ATIME) || !linked) && !options.dry_run {
            self.set_attrs(entry, name, mode, stat, true, true).await;
        }
        Ok(())
    }

    /// Tells of an item that an alternate directory gave as it is. Where items do not travel, only a client that
    /// itemizes its own does so.
    pub(super) async fn mention_given(
        &mut self,
        ndx: i32,
        entry: EntryRef<'_>,
        flags: ItemFlags,
        xname: Option<&[u8]>,
    ) -> Result<(), Error<L::Error>> {
        if self.shared().agreed.protocol.has_item_flags() || self.itemizes_here() {
            self.mention(ndx, entry, flags, xname).await?;
        }
        Ok(())
    }

    /// Whether an item without data that an alternate directory gave as it is, or made superfluous, is told of: to whom
    /// items are shown.
    pub(super) fn tells_given(&self, flags: ItemFlags) -> bool {
        self.options().report.itemize || flags.is_significant()
    }

    /// Items are shown by this side, whether they travel or not: a client that receives.
    pub(super) fn itemizes_here(&self) -> bool {
        let shared = self.shared();
        shared.is_client() && !shared.local && shared.options.report.itemize
    }

    /// Links the alternate file to the name. Where that cannot be, as across file systems, it is to be copied.
    async fn link_alternate(&self, name: RelName<'_>, alt: &Alternate) -> bool {
        if self.options().dry_run {
            return true;
        }
        match self.side.target.hard_link(Place::Alt(alt.number, name), name, false).await {
            Ok(()) => true,
            Err(error) => {
                let other = &self.alternate_path(alt.number, name);
                let op = Op::LinkAlternate;
                self.report(&Notice::Failed { op, name: name.bytes(), base: None, other, error });
                false
            }
        }
    }

    /// Removes the file that an equal alternate one makes superfluous. False: it cannot be removed. Nothing is said of that: the file is
    /// transferred as if there were no alternate one, which fails by itself (stock binary).
    pub(super) async fn remove_superseded(
        &self,
        name: RelName<'_>,
        standing: &Stat,
        alt: &Alternate,
    ) -> bool {
        let stays = !alt.is_complete() || self.options().transfer.alt_dest_kind == Some(AltDestKind::Copy);
        stays
            || is_same_file(standing, alt)
            || self.options().dry_run
            || self.side.target.remove_file(Place::Dest(name)).await.is_ok()
    }

    async fn copy_alternate(
        &self,
        entry: EntryRef<'_>,
        name: RelName<'_>,
        wanted_mode: u32,
        number: u8,
    ) -> bool {
        let options = self.options();
        let target = self.side.target;
        let at = Place::Alt(number, name);
        let mode = if options.transfer.inplace { WriteMode::InPlace } else { WriteMode::Temporary };
        let create = Create { name, mode, file_mode: wanted_mode, size: entry.entry.size, append_from: 0 };
        let copied = target.copy_local(at, &create).await;
        let mut output = match copied {
            Ok(output) => output,
            Err((step, error)) => {
                let path = self.alternate_path(number, name);
                match (step, mode) {
                    (CopyStep::Open, _) => self.failed(Op::OpenCopied, &path, error),
                    (CopyStep::Create, WriteMode::Temporary) => {
                        self.failed(Op::Mkstemp, name.bytes(), error);
                    }
                    (CopyStep::Create, _) => self.failed(Op::OpenCopied, name.bytes(), error),
                    (CopyStep::Write, _) => self.failed(Op::WriteCopy(mode), name.bytes(), error),
                }
                if (step, mode) != (CopyStep::Create, WriteMode::Temporary) {
                    let (op, other) = (Op::CopyFile(mode), name.bytes());
                    self.report(&Notice::Failed { op, name: &path, base: None, other, error });
                }
                return false;
            }
        };
        let attrs = self.side.attrs(entry, wanted_mode);
        self.side.attach(&mut output, entry, true).await;
        let committed = target.commit(output, &attrs, Destination::Final { backup: false }).await;
        self.side.report_failures(crate::error::Role::Generator);
        match committed {
            Ok(()) => true,
            Err((CommitStep::Attrs(step), error)) => {
                super::standing::report_attrs(
                    self.shared(),
                    crate::error::Role::Generator,
                    name.bytes(),
                    step,
                    error,
                );
                true
            }
            Err((_, error)) => {
                self.failed(Op::Rename, name.bytes(), error);
                false
            }
        }
    }

    /// The path of a candidate, as it is told.
    fn candidate(&self, basis: BasisType, dir: RelName<'_>, name: &[u8]) -> Vec<u8> {
        let mut path = match basis {
            BasisType::FuzzyAlt(n) => {
                let alternate = self.options().transfer.alt_dests.get(usize::from(n));
                alternate.map_or_else(Vec::new, |alternate| [alternate, &b"/"[..]].concat())
            }
            _ => Vec::new(),
        };
        if dir != RelName::ROOT {
            path.extend_from_slice(&[dir.bytes(), b"/"].concat());
        }
        path.extend_from_slice(name);
        path
    }

    /// What is in a directory, if there is such a directory.
    async fn list_for_fuzzy(&self, at: Place<'_>) -> Vec<Child> {
        match self.side.target.list_at(at).await {
            Ok(children) => children,
            // A symlink in place of the directory is not followed (ELOOP).
            Err(PortError::NOT_FOUND | PortError::NOT_DIR | PortError::LOOP) => Vec::new(),
            Err(error) => {
                let path = match at {
                    Place::Alt(number, dir) => self.alternate_path(number, dir),
                    _ => at.name().bytes().to_vec(),
                };
                self.unseen(Op::OpenDir, &path, error);
                Vec::new()
            }
        }
    }

    /// The files among `children`, which are in the directory of `name` or in one in its place.
    fn fuzzy_candidates(&self, name: RelName<'_>, children: Vec<Child>) -> Vec<Candidate> {
        let candidate = |child: Child| {
            let stat = child.stat.ok().filter(|s| s.is_regular() && s.size > 0)?;
            let hidden = self.side.scope.is_veiled(&super::receiver::sibling_name(name, &child.name), false);
            (!hidden).then_some(Candidate { name: child.name, stat, taken: false })
        };
        let mut files: Vec<Candidate> = children.into_iter().filter_map(candidate).collect();
        // Of equally similar names the last one is taken: the order of the file system must not decide.
        files.sort_by(|a, b| a.name.cmp(&b.name));
        files
    }

    /// A name in an alternate directory, as that was given.
    fn alternate_path(&self, number: u8, name: RelName<'_>) -> Vec<u8> {
        self.side.basis_path(Place::Alt(number, name))
    }

    /// The same as a full path. Where there is no destination yet, `..` has been resolved by name.
    pub(super) fn full_alternate_path(&self, number: u8, name: RelName<'_>) -> Vec<u8> {
        let path = self.alternate_path(number, name);
        if path.starts_with(b"/") {
            return path;
        }
        let path = [&self.side.target.root_path()[..], b"/", &path].concat();
        if !self.side.missing_root {
            return path;
        }
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in path.split(|&b| b == b'/').filter(|part| !part.is_empty()) {
            if part == b".." {
                parts.pop();
            } else {
                parts.push(part);
            }
        }
        [b"/", parts.join(&b'/').as_slice()].concat()
    }

    /// A file of a similar name: the kind of basis, its name, its size.
    pub(super) async fn fuzzy_basis(
        &mut self,
        entry: EntryRef<'_>,
        name: RelName<'_>,
    ) -> Option<(BasisType, Vec<u8>, u64)> {
        let options = self.options();
        let (dir, base) = (name.parent(), name.base());
        if self.fuzzy.dir.as_deref() != Some(dir.bytes()) {
            self.fuzzy.dir = Some(dir.bytes().to_vec());
            self.fuzzy.files.clear();
            let here = self.list_for_fuzzy(Place::Dest(dir)).await;
            let here = self.fuzzy_candidates(name, here);
            self.fuzzy.files.push((BasisType::Fuzzy, here));
            if options.transfer.fuzzy > 1 {
                for number in 0..options.transfer.alt_dests.len() {
                    let number = u8::try_from(number).ok()?;
                    let there = self.list_for_fuzzy(Place::Alt(number, dir)).await;
                    let there = self.fuzzy_candidates(name, there);
                    self.fuzzy.files.push((BasisType::FuzzyAlt(number), there));
                }
            }
        }
        let candidates = || {
            self.fuzzy.files.iter().flat_map(|(basis, files)| {
                files.iter().filter(|c| !c.taken).map(|c| (*basis, &c.name, c.stat))
            })
        };
        let window = options.select.modify_window.max(0);
        let alike = candidates().find(|(_, _, s)| {
            s.size == entry.entry.size && decide::same_time(window, (s.mtime, 0), (entry.entry.mtime, 0))
        });
        if let Some((basis, alike, _)) = alike {
            self.step(&Step::FuzzyAlike(&self.candidate(basis, dir, alike)));
        }
        let found = alike.map(|(b, n, s)| (b, n.to_vec(), s.size)).or_else(|| {
            let wanted_suffix = suffix(base);
            let mut lowest = LIMIT;
            let mut best = None;
            for (basis, candidate, stat) in candidates() {
                let mut score = distance(candidate, base, lowest);
                let own = suffix(candidate);
                if score != HOPELESS && (!own.is_empty() || !wanted_suffix.is_empty()) {
                    score =
                        score.saturating_add(distance(own, wanted_suffix, u32::MAX / 16).saturating_mul(10));
                }
                if self.shared().observer.follows_steps() {
                    let name = &self.candidate(basis, dir, candidate);
                    self.step(&Step::FuzzyDistance { name, distance: score });
                }
                if score <= lowest {
                    lowest = score;
                    best = Some((basis, candidate.to_vec(), stat.size));
                }
            }
            best
        });
        if let Some((basis, candidate, _)) = &found {
            let basis = &self.candidate(*basis, dir, candidate);
            self.step(&Step::FuzzyBasis { name: name.bytes(), basis });
        }
        found
    }

    /// A file that stands is updated by a delta: from now on it is nothing to make similar files from. One that was updated before
    /// its directory was looked through counts nevertheless (stock binary).
    pub(super) fn takes_fuzzy(&mut self, name: RelName<'_>) {
        if self.fuzzy.dir.as_deref() != Some(name.parent().bytes()) {
            return;
        }
        let Some((BasisType::Fuzzy, files)) = self.fuzzy.files.first_mut() else { return };
        let found = files.binary_search_by(|c| c.name[..].cmp(name.base()));
        if let Some(candidate) = found.ok().and_then(|at| files.get_mut(at)) {
            candidate.taken = true;
        }
    }
}
