//! What a session needs from the world: files to read ([`Source`]), a tree to change ([`Target`]), somebody
//! who watches ([`Observer`]). Plain data only: no implementation of these traits sees a wire format.
//!
//! All methods take `&self`, since generator and receiver run as two futures of one task; implementations
//! use interior mutability. None of the futures needs to be `Send`. Unless a method says otherwise its future
//! may be dropped at any await; the session must then be given up.

use alloc::{boxed::Box, vec, vec::Vec};

use crate::{
    checksum::{ChecksumKind, Digest, TransferSums},
    copying::{Copied, CopyStep},
    delta::{Candidate, Sifting, SumHead, append_block_sums, blocks_at_a_time},
    error::{ProtocolError, Role},
    exit::ExitCode,
    flist::{
        acl::{self, Acl},
        entry::{EntryRef, FileKind},
    },
    item::{BasisType, ItemFlags},
    mux::MsgTag,
    names::RelName,
};

pub use crate::{
    files::{
        AttrStep, Attrs, BackupBy, Child, CommitStep, Create, Destination, Doomed, Extended, ExtendedFailure,
        PortError, Rights, Stat, WriteMode, XattrChange,
    },
    notice::{Notice, Op, Severity},
    step::{DeleteWhy, Step},
};

/// Whether something that is no directory may be removed, by its name below the destination.
pub type MayGo = Box<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// A path at the sender: a name below one of the directories registered with [`Source::enter`].
#[derive(Debug, Clone, Copy)]
pub struct SourcePath<'a> {
    /// Number returned by [`Source::enter`].
    pub base: u32,
    /// Name below it; `.` is the directory itself. May contain `..` and symlinks: the user typed it.
    pub name: &'a [u8],
}

/// The sender's file tree.
///
/// Without a default is what every tree needs: to list directories and to read files. The rest has defaults that refuse or
/// know nothing. [`Source::read_link`] is called for symlinks, with `links` and its relatives; [`Source::read_small`]
/// for filter files; [`Source::digest`] with `checksum`; [`Source::remove`] with `remove_source`; names of users and groups
/// are asked for with `owner` and `group`, and without a name the number alone travels.
///
/// # What is called for an argument
///
/// | argument ([`SourceArgs::names`](crate::session::SourceArgs::names)) | calls |
/// |---|---|
/// | `a/b` | `enter("a")`, `stat("b")`; a directory is in the transfer as `b` |
/// | `b` | `enter("")`, `stat("b")` |
/// | `a/b/`, `a/b/.` | `enter("a/b")`, `stat(".")`; its contents are in the transfer, and itself as `.` |
/// | `.`, `./` | `enter("")` or `enter(".")`, `stat(".")`: the same of the current directory |
/// | `a/b` with `relative` | `enter("")`, `stat("a/b")`, and with `implied_dirs` `stat("a")` |
///
/// Then [`Source::read_dir`] is called for each directory (`.`, `d`, `d/e`), and files are opened by such names.
#[allow(async_fn_in_trait, reason = "nothing has to be `Send`")]
pub trait Source {
    /// An open file.
    type File;

    /// Registers a directory that names are relative to. `""` or `.` is the current directory.
    /// Equal directories may get equal numbers. Fails if it cannot be entered.
    async fn enter(&self, dir: &[u8]) -> Result<u32, PortError>;
    /// `lstat`, or with `follow` `stat`.
    async fn stat(&self, path: SourcePath<'_>, follow: bool) -> Result<Stat, PortError>;
    /// Target of a symlink.
    async fn read_link(&self, _path: SourcePath<'_>) -> Result<Vec<u8>, PortError> {
        Err(PortError::UNSUPPORTED)
    }
    /// The children of a directory in the order of the file system, without `.` and `..`, each with `lstat`.
    /// An error in the middle is returned as second value beside what was read.
    async fn read_dir(&self, path: SourcePath<'_>) -> Result<(Vec<Child>, Option<PortError>), PortError>;
    /// Says that [`Source::read_dir`] will be called for these directories next, in this order, before those of earlier
    /// calls. What was announced before may be among them, for its new place.
    fn will_read(&self, _base: u32, _dirs: &mut dyn Iterator<Item = &[u8]>) {}
    /// The whole contents of a small file (filter files); at most `limit` bytes.
    async fn read_small(&self, _path: SourcePath<'_>, _limit: usize) -> Result<Vec<u8>, PortError> {
        Err(PortError::UNSUPPORTED)
    }
    /// Opens a file for reading and returns its size now.
    async fn open(&self, path: SourcePath<'_>) -> Result<(Self::File, Stat), PortError>;
    /// Reads at `offset` into the whole of `buf`; fewer bytes only at the end of the file.
    async fn read_at(&self, file: &Self::File, offset: u64, buf: &mut [u8]) -> Result<usize, PortError>;
    /// What [`Sifting::sift`] finds in all windows. An implementation with several processors has them share the work.
    fn sift(&self, sifting: &Sifting<'_>) -> Vec<Candidate> {
        sifting.sift(0..sifting.windows())
    }
    /// Says that [`Source::digest`] will be called for these files (names and sizes) next, in this order, and for no
    /// others announced before.
    fn will_digest(&self, _base: u32, _files: &mut dyn Iterator<Item = (&[u8], u64)>, _kind: ChecksumKind) {}
    /// Digest of a whole file (`-c`), unseeded: as [`Hasher`](crate::checksum::Hasher) makes it.
    async fn digest(&self, _path: SourcePath<'_>, _kind: ChecksumKind) -> Result<Digest, PortError> {
        Err(PortError::UNSUPPORTED)
    }
    /// Whether the way to a file that is to be removed stays below its base, whatever symlinks are on it.
    async fn may_remove(&self, _path: SourcePath<'_>) -> Result<(), PortError> {
        Ok(())
    }
    /// Removes a file (`--remove-source-files`), if [`Source::may_remove`] has nothing against it.
    async fn remove(&self, _path: SourcePath<'_>) -> Result<(), PortError> {
        Err(PortError::UNSUPPORTED)
    }
    /// Absolute path of a registered directory, for rules that are matched against absolute paths.
    fn base_path(&self, _base: u32) -> Vec<u8> {
        Vec::new()
    }
    /// An ACL of a file; `follow`: through a symlink. `None`: it has none beside its mode, or the file system
    /// knows none.
    async fn acl(
        &self,
        _path: SourcePath<'_>,
        _follow: bool,
        _kind: acl::Kind,
    ) -> Result<Option<Acl>, PortError> {
        Ok(None)
    }
    /// Names of all extended attributes of a name, of a symlink those of its own: the reference asks for no others,
    /// whatever it follows. None where the file system knows none.
    async fn xattr_names(&self, _path: SourcePath<'_>) -> Result<Vec<Vec<u8>>, PortError> {
        Ok(Vec::new())
    }
    /// Value of an extended attribute, of the same.
    async fn xattr(&self, _path: SourcePath<'_>, _name: &[u8]) -> Result<Vec<u8>, PortError> {
        Err(PortError::NO_DATA)
    }
    /// Name of a user, if it has one.
    fn user_name(&self, _uid: u32) -> Option<Vec<u8>> {
        None
    }
    /// Name of a group, if it has one.
    fn group_name(&self, _gid: u32) -> Option<Vec<u8>> {
        None
    }
}

/// Where a file of the destination side is.
///
/// A name is always that of the entry, below the destination directory, whatever the place: where the other places are is the
/// target's business, by the options of [`crate::options::Transfer`]. Of a symlink the link is meant, never what it leads to,
/// unless a method has a `follow`. A session without alternate directories, backups or partial files names
/// [`Place::Dest`] only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Place<'a> {
    /// The name below the destination directory.
    Dest(RelName<'a>),
    /// The same name below alternate directory number n, from 0 (`alt_dests`).
    Alt(u8, RelName<'a>),
    /// The partial file of that name: in `partial_dir`, which is in the directory of the name if it is relative.
    Partial(RelName<'a>),
    /// The backup of that name: with `suffix`, or below `backup_dir`.
    Backup(RelName<'a>),
    /// The same name below the working directory: a dry run without a destination looks there for the further names of a
    /// link group, as the reference does.
    WorkingDir(RelName<'a>),
}

impl<'a> Place<'a> {
    /// The name, wherever it is.
    pub fn name(self) -> RelName<'a> {
        match self {
            Self::Dest(name)
            | Self::Alt(_, name)
            | Self::Partial(name)
            | Self::Backup(name)
            | Self::WorkingDir(name) => name,
        }
    }
}

/// So many entries are announced at most ([`Target::will_list`], [`Target::will_ask`]) before the generator comes to them.
pub const ANNOUNCED: u64 = 512;

/// The tree that is changed.
///
/// Without a default is what every destination needs: to look up names, and to take directories, symlinks and new files.
/// The rest has defaults that refuse, or do with what is there, and is asked for where the options do:
///
/// | field of the options | methods |
/// |---|---|
/// | none, `whole_file` not `Some(true)` | [`open_basis`](Target::open_basis), [`read_basis`](Target::read_basis): where an older file stands, only what differs from it is sent |
/// | none, something of another type is in the way | [`remove_file`](Target::remove_file), [`remove_dir`](Target::remove_dir), and what `force` or `delete` need |
/// | `delete`, `force` | [`list`](Target::list), [`remove_file`](Target::remove_file), [`remove_dir`](Target::remove_dir); with filter files [`read_small`](Target::read_small) |
/// | `checksum` | [`digest`](Target::digest) |
/// | `devices`, `specials` | [`make_node`](Target::make_node) |
/// | `hard_links` | [`hard_link`](Target::hard_link) |
/// | `owner`, `group` | [`rights`](Target::rights), [`user_id`](Target::user_id), [`group_id`](Target::group_id) |
/// | `acls`, `xattrs` | [`acl`](Target::acl), [`inherited_acl`](Target::inherited_acl), [`xattr_names`](Target::xattr_names), [`xattr`](Target::xattr), [`set_extended`](Target::set_extended), [`attach`](Target::attach), [`take_failures`](Target::take_failures) |
/// | `inplace`, `append` | [`keep`](Target::keep); [`create`](Target::create) has [`WriteMode::InPlace`] |
/// | `backup` | [`back_up`](Target::back_up), and [`Place::Backup`] |
/// | `alt_dests` | [`Place::Alt`]; [`copy_local`](Target::copy_local) or [`hard_link`](Target::hard_link) by their kind |
/// | `fuzzy` | [`list`](Target::list), [`list_at`](Target::list_at) |
/// | `partial`, `partial_dir`, `delay_updates` | [`Place::Partial`], [`Destination`]; [`promote_partial`](Target::promote_partial), [`tidy_partial_dir`](Target::tidy_partial_dir) |
///
/// Names are those of the list below the destination directory, which itself is [`RelName::ROOT`], `.`: it is looked up, made and
/// given attributes like the directories in it. A directory that [`Target::stat`] does not find is made, and nothing below it is
/// looked up any more, in it nothing can stand. A target that begins with files therefore has to have the root too, and the
/// directories on the way.
#[allow(async_fn_in_trait, reason = "nothing has to be `Send`")]
pub trait Target {
    /// A basis file, open for reading at any position.
    type Basis;
    /// A file being received.
    type Output;

    /// `lstat`; `Ok(None)` if there is nothing (ENOENT), with `follow` `stat`. For the root too, which must be there if
    /// anything is.
    async fn stat(&self, at: Place<'_>, follow: bool) -> Result<Option<Stat>, PortError>;
    /// The mode of the inode itself, where [`Target::stat`] tells what `--fake-super` keeps instead.
    async fn inode_mode(&self, _at: Place<'_>) -> Result<u32, PortError> {
        Err(PortError::UNSUPPORTED)
    }
    /// `lstat` of many names of one directory, in order; the results are appended to `out`.
    async fn stat_many(
        &self,
        names: &mut dyn Iterator<Item = RelName<'_>>,
        out: &mut Vec<Result<Option<Stat>, PortError>>,
    ) {
        for name in names {
            out.push(self.stat(Place::Dest(name), false).await);
        }
    }
    /// Target of a symlink.
    async fn read_link(&self, at: Place<'_>) -> Result<Vec<u8>, PortError>;
    /// Announcements are of use: lists are made a little ahead of the generator for their sake.
    fn reads_ahead(&self) -> bool {
        false
    }
    /// Says that this directory will be gone through soon, behind what was announced before.
    fn will_list(&self, _dir: RelName<'_>) {}
    /// Says that [`Self::stat`] will be asked soon for these names of a directory (last components, at least one), in this
    /// order, behind what was announced before. Not all of them need be asked for.
    fn will_ask(&self, _dir: RelName<'_>, _names: &[&[u8]]) {}
    /// The children of a directory, without `.` and `..`.
    async fn list(&self, _dir: RelName<'_>) -> Result<Vec<Child>, PortError> {
        Err(PortError::UNSUPPORTED)
    }
    /// The children of a directory in another place (`-yy`).
    async fn list_at(&self, _at: Place<'_>) -> Result<Vec<Child>, PortError> {
        Err(PortError::UNSUPPORTED)
    }
    /// The whole contents of a small file (filter files); at most `limit` bytes.
    /// `path`: below the destination directory, or absolute.
    async fn read_small(&self, _path: &[u8], _limit: usize) -> Result<Vec<u8>, PortError> {
        Err(PortError::UNSUPPORTED)
    }
    /// Says that digests of these files below the destination may be asked for soon, in this order, of those that
    /// have this size, behind what was announced before. Not all of them need be asked for.
    fn will_digest(&self, _files: &mut dyn Iterator<Item = (RelName<'_>, u64)>, _kind: ChecksumKind) {}
    /// Digest of a whole file, unseeded (`-c`): as [`Hasher`](crate::checksum::Hasher) makes it.
    async fn digest(&self, _at: Place<'_>, _kind: ChecksumKind) -> Result<Digest, PortError> {
        Err(PortError::UNSUPPORTED)
    }

    /// Makes a directory with this mode exactly (no umask).
    async fn make_dir(&self, name: RelName<'_>, mode: u32) -> Result<(), PortError>;
    /// Makes a symlink; with `replace` atomically over a non-directory.
    async fn make_symlink(&self, name: RelName<'_>, target: &[u8], replace: bool) -> Result<(), PortError>;
    /// Makes a device, fifo or socket; with `replace` atomically over a non-directory.
    async fn make_node(
        &self,
        _name: RelName<'_>,
        _mode: u32,
        _rdev: (u32, u32),
        _replace: bool,
    ) -> Result<(), PortError> {
        Err(PortError::UNSUPPORTED)
    }
    /// Makes `name` a hard link to `existing`; with `replace` atomically over a non-directory.
    async fn hard_link(
        &self,
        _existing: Place<'_>,
        _name: RelName<'_>,
        _replace: bool,
    ) -> Result<(), PortError> {
        Err(PortError::UNSUPPORTED)
    }
    /// Copies a file on this side (`--copy-dest`), data only, through a temporary; returns what [`Self::commit`] takes.
    async fn copy_local(&self, _from: Place<'_>, _create: &Create<'_>) -> Copied<Self::Output> {
        Err((CopyStep::Open, PortError::UNSUPPORTED))
    }
    /// Removes a non-directory.
    async fn remove_file(&self, _at: Place<'_>) -> Result<(), PortError> {
        Err(PortError::UNSUPPORTED)
    }
    /// Says that these directories will be removed, in this order. What is in them and no directory may be removed
    /// from now on if `may_go` says so; [`Target::removed_in`] is asked about each of them.
    fn will_remove(&self, _dirs: &mut dyn Iterator<Item = RelName<'_>>, _may_go: MayGo) {}
    /// What is or was in a directory that [`Target::will_remove`] named; `None`: nothing was done in it.
    fn removed_in(&self, _dir: RelName<'_>) -> Option<Vec<Doomed>> {
        None
    }
    /// Removes an empty directory.
    async fn remove_dir(&self, _at: Place<'_>) -> Result<(), PortError> {
        Err(PortError::UNSUPPORTED)
    }
    /// Gives what stands at `name` its backup name.
    async fn back_up(&self, _name: RelName<'_>, _by: BackupBy) -> Result<(), PortError> {
        Err(PortError::UNSUPPORTED)
    }
    /// Makes the directories in which the backup of `name` would be, if it can.
    async fn make_backup_dirs(&self, _name: RelName<'_>) {}
    /// Moves the partial file to its final name (`--delay-updates`).
    async fn promote_partial(&self, _name: RelName<'_>) -> Result<(), PortError> {
        Err(PortError::UNSUPPORTED)
    }
    /// Removes the partial directory of this name's directory if it is relative and empty.
    async fn tidy_partial_dir(&self, _name: RelName<'_>) {}
    /// Sets attributes of something that stands there already, which may be a directory or a symlink. `standing`: what it
    /// has now. Returns whether anything changed.
    ///
    /// What `attrs` gives as `None` stays as it is, and so does what `standing` has already: only differences count as a
    /// change. The order is owner and group together, then times, then permissions, since a change of owner
    /// takes set-id bits away. Permissions of symlinks are passed over where the system has none. The first
    /// step that fails ends it: the error names it, is reported, and the session goes on and ends with code 23. Directories
    /// come twice, when they are made and when nothing below them changes any more, with their time.
    async fn set_attrs(
        &self,
        at: Place<'_>,
        standing: &Stat,
        attrs: &Attrs,
    ) -> Result<bool, (AttrStep, PortError)>;

    /// An ACL of a file; `None`: it has none beside its mode, or the file system knows none.
    async fn acl(&self, _at: Place<'_>, _kind: acl::Kind) -> Result<Option<Acl>, PortError> {
        Ok(None)
    }
    /// The default ACL that the system itself applies to what is made in a directory.
    async fn inherited_acl(&self, _dir: RelName<'_>) -> Result<Option<Acl>, PortError> {
        Ok(None)
    }
    /// Names of all extended attributes of a file.
    async fn xattr_names(&self, _at: Place<'_>) -> Result<Vec<Vec<u8>>, PortError> {
        Ok(Vec::new())
    }
    /// Value of an extended attribute.
    async fn xattr(&self, _at: Place<'_>, _name: &[u8]) -> Result<Vec<u8>, PortError> {
        Err(PortError::NO_DATA)
    }
    /// As [`Target::set_attrs`], and what `extended` says, in the order given there. Parts of it that fail are
    /// kept for [`Target::take_failures`].
    async fn set_extended(
        &self,
        at: Place<'_>,
        standing: &Stat,
        attrs: &Attrs,
        _extended: &Extended,
    ) -> Result<bool, (AttrStep, PortError)> {
        self.set_attrs(at, standing, attrs).await
    }
    /// Has [`Target::commit`] set this too, in the order given with [`Extended`].
    fn attach(&self, _out: &mut Self::Output, _extended: Extended) {}
    /// What could not be set since the last call.
    fn take_failures(&self) -> Vec<ExtendedFailure> {
        Vec::new()
    }

    /// Opens a basis for reading; returns its size.
    async fn open_basis(&self, _at: Place<'_>) -> Result<(Self::Basis, u64), PortError> {
        Err(PortError::UNSUPPORTED)
    }
    /// Reads at `offset` into the whole of `buf`; fewer bytes only at the end of the file.
    async fn read_basis(
        &self,
        _basis: &Self::Basis,
        _offset: u64,
        _buf: &mut [u8],
    ) -> Result<usize, PortError> {
        Err(PortError::UNSUPPORTED)
    }
    /// As [`Target::read_basis`], for reads that mostly begin where the one before ended: an implementation with several
    /// processors may read on meanwhile, so that what was written since may be missing. The buffer has the length that
    /// is wanted, and may be exchanged for another one of that length.
    async fn read_on(&self, basis: &Self::Basis, offset: u64, buf: &mut Vec<u8>) -> Result<usize, PortError> {
        self.read_basis(basis, offset, buf).await
    }
    /// Appends the sums of blocks of a basis from block `first` on, in wire form, and returns the block behind the
    /// last of them. How many they are is up to the implementation, at least one; an implementation with several
    /// processors has them share the work. What cannot be read counts as zeros: the checksum will tell.
    async fn sum_blocks(
        &self,
        basis: &Self::Basis,
        head: &SumHead,
        sums: &TransferSums,
        first: u32,
        out: &mut Vec<u8>,
    ) -> u32 {
        let end = first.saturating_add(blocks_at_a_time(head, sums)).min(head.count);
        let (offset, len) = head.span(first, end);
        let mut data = vec![0; len];
        let got = self.read_basis(basis, offset, &mut data).await.unwrap_or(0);
        data.get_mut(got..).unwrap_or_default().fill(0);
        append_block_sums(head, sums, first, &data, out);
        end
    }
    /// As [`Target::sum_blocks`], in a session with a wire, whose executor can wait: an implementation with several
    /// processors may let the receiver, which is another task of the same thread, go on meanwhile.
    async fn sum_blocks_aside(
        &self,
        basis: &Self::Basis,
        head: &SumHead,
        sums: &TransferSums,
        first: u32,
        out: &mut Vec<u8>,
    ) -> u32 {
        self.sum_blocks(basis, head, sums, first, out).await
    }

    /// Starts a file.
    async fn create(&self, create: &Create<'_>) -> Result<Self::Output, PortError>;
    /// Appends data at the output's position.
    async fn write(&self, out: &mut Self::Output, data: &[u8]) -> Result<(), PortError>;
    /// Appends `len` bytes of a basis, at `offset` there, and shows them to `seen`, once each and in order. What
    /// cannot be read counts as zeros: the checksum will tell.
    async fn copy_basis(
        &self,
        out: &mut Self::Output,
        basis: &Self::Basis,
        offset: u64,
        len: usize,
        seen: &mut dyn FnMut(&[u8]),
    ) -> Result<(), PortError> {
        let mut data = vec![0; len];
        let got = self.read_basis(basis, offset, &mut data).await.unwrap_or(0);
        data.get_mut(got..).unwrap_or_default().fill(0);
        seen(&data);
        self.write(out, &data).await
    }
    /// In place: the next `len` bytes are already there.
    async fn keep(&self, _out: &mut Self::Output, _len: u64) -> Result<(), PortError> {
        Err(PortError::UNSUPPORTED)
    }
    /// Completes a file: truncate, flush, back up, attributes, rename, in this order.
    ///
    /// Until the rename the old file of the name is to stay as it is. `attrs` are set as [`Target::set_attrs`] does it, on the
    /// new file, which has what [`Target::create`] gave it. An error of theirs comes back as [`CommitStep::Attrs`] when everything
    /// else is done: the file counts as in place and the session ends with code 23. With [`CommitStep::Create`],
    /// [`CommitStep::Rename`] and [`CommitStep::PartialDir`] the file counts as failed, and the session goes on; the
    /// others end it with code 11. A file written in place has its name already, and only its length and attributes are set.
    ///
    /// With [`Destination::KeptPartial`] the modification time is not that of `attrs` but one that no later run takes for
    /// a complete file's. Without backups, partial files and delayed updates `to` is `Final { backup: false }` always.
    async fn commit(
        &self,
        out: Self::Output,
        attrs: &Attrs,
        to: Destination,
    ) -> Result<(), (CommitStep, PortError)>;
    /// Begins what [`Target::commit`] does with `Final { backup: false }`, and goes on with it while the session receives more.
    /// The number that is returned is used once, with [`Target::end_commit`]. Gives the file back where it has to be
    /// completed at once; the default always does.
    fn begin_commit(&self, out: Self::Output, _attrs: &Attrs) -> Result<u64, Self::Output> {
        Err(out)
    }
    /// Waits for the end of a completion that was begun, and says what [`Target::commit`] would have said. Asked for in
    /// the order of the beginnings, with up to 256 of them, or files of 4 MiB, under way.
    async fn end_commit(&self, _begun: u64) -> Result<(), (CommitStep, PortError)> {
        Ok(())
    }
    /// Gives a file up: the temporary is removed.
    async fn discard(&self, out: Self::Output);

    /// Id of a user name on this machine.
    fn user_id(&self, _name: &[u8]) -> Option<u32> {
        None
    }
    /// Id of a group name on this machine.
    fn group_id(&self, _name: &[u8]) -> Option<u32> {
        None
    }
    /// Absolute path of the destination directory, for rules that are matched against absolute paths.
    fn root_path(&self) -> Vec<u8> {
        Vec::new()
    }
    /// Files for which space could not be reserved (`--preallocate`) since the last call.
    fn take_not_reserved(&self) -> Vec<(Vec<u8>, PortError)> {
        Vec::new()
    }
    /// What this process may do.
    fn rights(&self) -> Rights {
        Rights::default()
    }
}

/// One item as it is reported to the user.
#[derive(Debug, Clone, Copy)]
pub struct ItemEvent<'a> {
    /// The entry; `None` for a deletion reported by the peer.
    pub entry: Option<EntryRef<'a>>,
    /// Its name (a directory without a trailing slash).
    pub name: &'a [u8],
    /// Flags, the local ones included.
    pub flags: ItemFlags,
    /// Name of the file that it is a hard link to.
    pub link: Option<&'a [u8]>,
    /// The basis.
    pub basis: BasisType,
    /// Data of the transfer, when it is over.
    pub transfer: Option<FileTransfer>,
    /// Kind of the item.
    pub kind: FileKind,
    /// Its permissions; 0 if the peer reported a deletion.
    pub perms: u32,
}

/// Figures of one transferred file.
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FileTransfer {
    /// Bytes written to the peer for it.
    pub sent: u64,
    /// Bytes read from the peer for it.
    pub received: u64,
    /// Its whole-file checksum.
    pub sum: Digest,
}

/// How far one file is.
#[derive(Debug, Clone, Copy)]
pub struct FileProgress<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Size, bytes.
    pub size: u64,
    /// Bytes done.
    pub done: u64,
    /// Bytes that were there from the start (append).
    pub start: u64,
    /// The file is complete.
    pub finished: bool,
    /// Number of files transferred, this one included.
    pub transfers: u64,
    /// Index of the file, counted over all lists.
    pub index: u64,
    /// Number of entries known so far.
    pub known: u64,
    /// No further lists will come.
    pub complete: bool,
    /// Size of everything known so far, bytes.
    pub total_size: u64,
}

/// Who watches a session. Never decides anything.
///
/// Without a default is what nobody should miss: what goes wrong on this side, and what the peer says.
pub trait Observer {
    /// Something happened.
    fn notice(&self, from: Role, notice: &Notice<'_>);
    /// Steps are looked at: those that cost something are worth it.
    fn follows_steps(&self) -> bool {
        false
    }
    /// Why an item that exists is left alone is shown: to find out can cost the reading of a file.
    fn explains_existing(&self) -> bool {
        false
    }
    /// A step of the work inside was done, which only those want to know who look for a fault.
    fn step(&self, _from: Role, _step: &Step<'_>) {}
    /// A text message of the peer.
    fn peer_text(&self, tag: MsgTag, text: &[u8]);
    /// An item is being handled; on the side that the user sees.
    fn item(&self, _event: &ItemEvent<'_>) {}
    /// An entry of a listing (`--list-only`).
    fn listed(&self, _entry: &EntryRef<'_>) {}
    /// A file in transfer has come this far.
    fn progress(&self, _progress: &FileProgress<'_>) {}
    /// The peer asks to be reported dead after this many seconds (`MSG_IO_TIMEOUT`).
    fn lower_timeout(&self, _seconds: u32) {}
    /// The session is about to end with this code, and what is said now still reaches the peer. `fault`: what was wrong with
    /// what it sent.
    fn ending(&self, _code: ExitCode, _fault: Option<&ProtocolError>) {}
    /// The session is about to end with this code because the peer said so.
    fn peer_exit(&self, _code: ExitCode) {}
}
