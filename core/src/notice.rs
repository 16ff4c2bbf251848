//! What a session has to tell beside its items: facts, which the host puts into words.

use crate::{
    error::ProtocolError,
    flist::acl,
    ports::{AttrStep, PortError, WriteMode},
    stats::Stats,
};

/// How a notice is to be treated by whoever shows it (spec: message codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Severity {
    /// stdout
    Info,
    /// stderr
    Warning,
    /// stderr
    Error,
    /// stderr, and the run ends with exit code 23
    TransferError,
}

/// An operation that failed on a path, for [`Notice::Failed`]. The text that the reference uses stands behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Op {
    /// `link_stat FULL failed`
    LinkStat,
    /// `readlink_stat(FULL) failed`
    ReadlinkStat,
    /// `opendir FULL failed`
    OpenDir,
    /// `readdir(FULL)`
    ReadDir,
    /// `change_dir FULL failed`
    ChangeDir,
    /// `send_files failed to open FULL`
    SendOpen,
    /// `read errors mapping FULL`
    ReadErrors,
    /// `recv_generator: failed to stat FULL`
    GeneratorStat,
    /// `stat FULL failed`
    Stat,
    /// `recv_generator: mkdir FULL failed`
    GeneratorMkdir,
    /// `gen_entry_copy_xattrs: openat(FULL) failed`
    CopyXattrs,
    /// `gen_entry_copy_xattrs: secure open of FULL failed`: there is no way to it.
    ReachForXattrs,
    /// `failed to open FULL, continuing`
    OpenBasis,
    /// `symlink FULL -> "TARGET" failed`
    Symlink,
    /// `mknod FULL failed`
    Mknod,
    /// `link FULL => X failed`
    HardLink,
    /// `link FULL => X failed`, where X is an alternate file that is copied then
    LinkAlternate,
    /// `rename FULL -> "NAME"`, where FULL is the temporary file
    Rename,
    /// `rename failed for FULL (from OTHER)`, where OTHER is the partial file
    RenamePartial,
    /// `mkstemp FULL failed`
    Mkstemp,
    /// `open FULL failed` of an in-place target
    OpenInPlace,
    /// `write failed on FULL`
    Write,
    /// `fsync failed on FULL`
    Fsync,
    /// `chown FULL failed`
    Chown,
    /// `chgrp FULL failed`
    Chgrp,
    /// `failed to set times on FULL`
    SetTimes,
    /// `failed to set permissions on FULL`
    SetPermissions,
    /// `failed to modify permissions on FULL`: a directory that is to be filled cannot be opened to its user
    ModifyPermissions,
    /// Setting an attribute, under the temporary name that the file had
    OnTemporary(AttrStep),
    /// `delete_file: unlink(NAME) failed`
    Unlink,
    /// `delete_file: rmdir(NAME) failed`
    Rmdir,
    /// backing up failed
    Backup,
    /// `copy_file FULL => X`
    CopyFile(WriteMode),
    /// `open FULL`: what is to be copied on this side, or the copy where that is made in place
    OpenCopied,
    /// `write FULL`: a copy on this side
    WriteCopy(WriteMode),
    /// `sender failed to remove NAME`
    SenderRemove,
    /// The directory of such a file is not below the source.
    SenderRemoveParent,
    /// `get_acl: sys_acl_get_file(NAME, KIND)`
    GetAcl(acl::Kind),
    /// `get_acl: xacl_get(NAME, KIND)`
    GetTargetAcl(acl::Kind),
    /// `set_acl: xacl_set(NAME, KIND)`
    SetAcl(acl::Kind),
    /// `set_acl: sys_acl_delete_def_file(NAME)`
    RemoveDefaultAcl,
    /// `get_xattr_names: llistxattr(FULL,1024) failed`
    ListXattrs,
    /// `get_xattr_data: lgetxattr(FULL,"OTHER",0) failed`
    GetXattr,
    /// `rsync_xal_set: fsetxattr(FULL,"OTHER") failed`
    SetXattr,
    /// `rsync_xal_set: fremovexattr(FULL,"OTHER") failed`
    RemoveXattr,
    /// `failed to write xattr OTHER for FULL`
    WriteStat,
    /// `do_fallocate FULL`: space could not be reserved; the file is written nevertheless.
    Fallocate,
}

/// Something to tell the user. The wording, the level at which it is shown and the place (which stream, or
/// the peer) are the observer's.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Notice<'a> {
    /// A system call failed. `other`: second name of the operation, where it has one.
    Failed {
        /// What.
        op: Op,
        /// On which name below the root of this side (sender: see `base`).
        name: &'a [u8],
        /// Number of the source directory that the name is relative to, at the sender.
        base: Option<u32>,
        /// Target of a symlink, other end of a link.
        other: &'a [u8],
        /// Why.
        error: PortError,
    },
    /// `file has vanished: FULL` (24), or `directory has vanished`.
    Vanished {
        /// Name at the sender.
        name: &'a [u8],
        /// See `Failed`.
        base: u32,
        /// It was a directory.
        dir: bool,
    },
    /// `WARNING: parent dir is absent in the file list: NAME`
    ParentAbsent(&'a [u8]),
    /// `skipping directory NAME`
    SkippingDirectory(&'a [u8]),
    /// `symlink has no referent: FULL`
    NoReferent {
        /// Name at the sender.
        name: &'a [u8],
        /// See `Failed`.
        base: u32,
    },
    /// `skipping symlink with 0-length value: FULL`
    EmptyLink {
        /// Name at the sender.
        name: &'a [u8],
        /// See `Failed`.
        base: u32,
    },
    /// `copying unsafe symlink "X" -> "Y"`
    CopyingUnsafe {
        /// The link.
        name: &'a [u8],
        /// Its target.
        target: &'a [u8],
    },
    /// `[sender] skipping mount-point dir NAME`
    SkippingMountPoint(&'a [u8]),
    /// `skipped diminished file: FULL`
    Diminished {
        /// Name at the sender.
        name: &'a [u8],
        /// See `Failed`.
        base: u32,
    },
    /// `skipping non-regular file "NAME"`
    NonRegular(&'a [u8]),
    /// `ignoring unsafe symlink "NAME" -> "TARGET"`
    IgnoringUnsafe {
        /// The link.
        name: &'a [u8],
        /// Its target.
        target: &'a [u8],
    },
    /// `not backing up unsafe symlink "NAME" -> "TARGET"`
    NoUnsafeBackup {
        /// The link.
        name: &'a [u8],
        /// Its target.
        target: &'a [u8],
    },
    /// `not creating new file|directory "NAME"`
    NotCreating {
        /// The item.
        name: &'a [u8],
        /// It is a directory.
        dir: bool,
    },
    /// `NAME exists`, with SKIP2 and a reason
    Exists {
        /// The item.
        name: &'a [u8],
        /// ` (type change)`, ` (sum change)`, ` (file change)`, ` (attr change)`, ` (uptodate)`
        why: &'static str,
    },
    /// `NAME is newer`
    Newer(&'a [u8]),
    /// `NAME is over max-size`
    OverMaxSize(&'a [u8]),
    /// `NAME is under min-size`
    UnderMinSize(&'a [u8]),
    /// `NAME is uptodate`
    UpToDate(&'a [u8]),
    /// `NAME => LEADER`: a link to a file that was copied as it is from an alternate directory.
    LinkedToCopy {
        /// What is a link now.
        name: &'a [u8],
        /// What it is a link to.
        leader: &'a [u8],
    },
    /// `NAME`: only its attributes were changed.
    AttrsChanged(&'a [u8]),
    /// `*** Skipping any contents from this failed directory ***`
    SkippingContents,
    /// `default_perms_for_dir: sys_acl_get_file(DIR, ACL_TYPE_DEFAULT): REASON, falling back on umask`
    NoDefaultAcl {
        /// The directory.
        dir: &'a [u8],
        /// Why.
        error: PortError,
    },
    /// `could not make way for new KIND: NAME`
    NoWay {
        /// `regular file`, `directory`, `symlink`, `device file`, `special file`
        kind: &'static str,
        /// The item.
        name: &'a [u8],
    },
    /// `cannot delete non-empty directory: NAME`
    NotEmpty(&'a [u8]),
    /// `cannot delete mount point: NAME`
    MountPoint(&'a [u8]),
    /// `backup_dir is DIR`, or `(new) …`: it does not exist yet
    BackupDir {
        /// As given.
        dir: &'a [u8],
        /// It does not exist yet.
        new: bool,
    },
    /// `deleting in DIR`: one of the directories of a pass of its own
    DeletingIn(&'a [u8]),
    /// `IO error encountered -- skipping file deletion`
    DeletionSkipped,
    /// `Deletions stopped due to --max-delete limit (K skipped)`
    MaxDelete {
        /// How many were skipped.
        skipped: u64,
    },
    /// `created directory DEST`
    CreatedDirectory(&'a [u8]),
    /// `created K directories for PATH`
    CreatedPath {
        /// How many.
        count: u32,
        /// For what.
        path: &'a [u8],
    },
    /// `backed up NAME to BACKUP`
    BackedUp(&'a [u8]),
    /// `WARNING: NAME failed verification -- update WHERE (will try again).` or `ERROR: …`
    FailedVerification {
        /// The file.
        name: &'a [u8],
        /// `discarded`, `retained`, `put into partial-dir`
        kept: &'static str,
        /// It will be requested again.
        again: bool,
    },
    /// `recv_files: FULL is a directory`
    ReceiveIsDir(&'a [u8]),
    /// `sender removed NAME`
    SenderRemoved(&'a [u8]),
    /// `sender file already removed: NAME`: it was in the transfer under another name too.
    SenderRemovedBefore(&'a [u8]),
    /// `ERROR: Skipping sender remove for changed file: NAME`
    SenderChanged(&'a [u8]),
    /// `failed to re-read xattr X for NAME`: the sender has no value for what it is asked.
    XattrGone {
        /// The file.
        name: &'a [u8],
        /// The attribute.
        xattr: &'a [u8],
    },
    /// `Missing abbreviated xattr value, X, for FULL`: nobody has sent it.
    XattrMissing {
        /// The file.
        name: &'a [u8],
        /// The attribute.
        xattr: &'a [u8],
    },
    /// `removing duplicate name NAME from file list (N)`
    Duplicate {
        /// The name.
        name: &'a [u8],
        /// Its index.
        ndx: u32,
    },
    /// `uid 4294967295 (-1) is impossible to set on FULL`
    ImpossibleId {
        /// The file.
        name: &'a [u8],
        /// A group id.
        group: bool,
    },
    /// `WARNING: file is too large for checksum sending: NAME`
    TooLargeForSums(&'a [u8]),
    /// `[ROLE] cannot convert filename: NAME`: it has no counterpart in the other charset.
    CannotConvertName {
        /// The name; of a received entry as it travelled.
        name: &'a [u8],
        /// Why.
        error: PortError,
    },
    /// `[ROLE] cannot convert symlink data for: FULL`
    CannotConvertLink {
        /// The symlink.
        name: &'a [u8],
        /// See `Failed`.
        base: Option<u32>,
        /// Why.
        error: PortError,
    },
    /// A name that cannot be sent: `filename overflows max-path len by N: NAME`
    TooLong(&'a [u8]),
    /// The file list begins: `sending incremental file list` and relatives
    ListStart,
    /// ` N files...`: another entry joins a list (not incremental) that has so many hundreds of them
    ListCount(usize),
    /// The file list is complete (not incremental), with so many entries: `done`, `N files to consider`
    ListDone(usize),
    /// ` N files...`: what a pass over all directories that looks for what to delete finds in the next of them.
    DeletionScan {
        /// Names of all directories before.
        before: u64,
        /// Names of this one.
        here: u64,
    },
    /// Such a pass is over.
    DeletionScanned,
    /// `total: matches=M  hash_hits=H  false_alarms=F data=D`
    DeltaTotals(&'a Stats),
    /// `delta-transmission disabled for local transfer or --whole-file` / `enabled`
    DeltaTransmission(bool),
    /// `Unable to create partial-dir for NAME -- discarding …`
    PartialDirFailed(&'a [u8]),
    /// `Unknown --usermap name on receiver: X`
    UnknownMapName {
        /// The name.
        name: &'a [u8],
        /// `--groupmap`
        group: bool,
    },
    /// `No colon found in --usermap: X` and relatives; fatal.
    BadMap {
        /// The text in front of the option.
        what: &'static str,
        /// The item of the list.
        text: &'a [u8],
        /// `--groupmap`
        group: bool,
    },
    /// `Invalid ID number: X` in a map; fatal.
    IdTooLarge(&'a [u8]),
    /// `ERROR: daemon refused to receive file "NAME"`: a rule of the daemon hides it.
    RefusedByDaemon {
        /// The name.
        name: &'a [u8],
        /// It is a directory.
        dir: bool,
    },
    /// `ERROR: rejecting unrequested file-list name: NAME` and relatives: what a sender says of a name ends the session with
    /// this fault.
    RefusedName {
        /// What is wrong with it, or with what it stands for.
        fault: ProtocolError,
        /// As it came; nothing has been checked.
        name: &'a [u8],
    },
    /// `found ".." dir in relative path: X`
    DotDotInRelative(&'a [u8]),
    /// `Invalid checksum-choice for --checksum: none (0)`: there is a file to sum up.
    NoDigests,
    /// `[sender] hiding file NAME because of pattern X` and relatives
    Filtered {
        /// The name.
        name: &'a [u8],
        /// It is a directory.
        dir: bool,
        /// The rule that decided.
        decision: crate::filter::Decision<'a>,
    },
    /// A rule of a per-directory filter file that cannot be used.
    FilterFault(&'a crate::filter::FilterError),
    /// A rule that is left out because it is too long.
    FilterWarning(&'a crate::filter::FilterWarning),
    /// `(Skipping batched update for "NAME")`: the batch has data that is not needed.
    SkippingBatched {
        /// The file.
        name: &'a [u8],
        /// `resend of`: the data was recorded again, after a file that failed verification.
        resend: bool,
    },
    /// `(No batched update for "NAME")`: the batch lacks data that is needed.
    NotInBatch {
        /// The file.
        name: &'a [u8],
        /// Its first data was there, but did not fit.
        resend: bool,
    },
    /// So many files were asked for, and the sender has neither sent them nor said that it would not.
    Unanswered(u32),
    /// `hard link target of NAME is missing` and other facts without a text of the reference
    Internal(&'static str),
}

impl Notice<'_> {
    /// How it is to be treated.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Failed { op, .. } => match op {
                Op::OpenBasis => Severity::Error,
                Op::CopyFile(_) | Op::LinkAlternate => Severity::Info,
                Op::Fallocate => Severity::Warning,
                _ => Severity::TransferError,
            },
            Self::NoReferent { .. }
            | Self::EmptyLink { .. }
            | Self::DotDotInRelative(_)
            | Self::RefusedByDaemon { .. }
            | Self::RefusedName { .. }
            | Self::FilterFault(_)
            | Self::NoWay { .. }
            | Self::SkippingContents
            | Self::SenderChanged(_)
            | Self::XattrGone { .. }
            | Self::XattrMissing { .. }
            | Self::ReceiveIsDir(_)
            | Self::ImpossibleId { .. }
            | Self::PartialDirFailed(_)
            | Self::TooLong(_)
            | Self::CannotConvertLink { .. }
            | Self::NotInBatch { .. }
            | Self::Unanswered(_)
            | Self::FailedVerification { again: false, .. } => Severity::TransferError,
            Self::FailedVerification { again: true, .. }
            | Self::Vanished { .. }
            | Self::ParentAbsent(_)
            | Self::NoDefaultAcl { .. }
            | Self::Diminished { .. }
            | Self::TooLargeForSums(_)
            | Self::MaxDelete { .. } => Severity::Warning,
            Self::Internal(_)
            | Self::NoDigests
            | Self::BadMap { .. }
            | Self::IdTooLarge(_)
            | Self::FilterWarning(_)
            | Self::CannotConvertName { .. }
            | Self::UnknownMapName { .. } => Severity::Error,
            _ => Severity::Info,
        }
    }
}
