//! The texts of notices (spec: source-side texts, receiver semantics). Nothing here knows where they go.

use std::{cell::RefCell, rc::Rc};

use arsync_core::{
    error::{ProtocolError, Role},
    flist::acl::Kind,
    limits::MAX_PATH,
    ports::{Notice, Op, WriteMode},
    stats::Stats,
};

use super::strerror;
use crate::{
    cli::words::{Debug, Info, Levels},
    engine::temp::stem,
};

/// The directories that names in messages are relative to.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    /// Absolute path of the directory that the process works in.
    pub(crate) start: Vec<u8>,
    /// Absolute path of the destination directory.
    pub(crate) dest: Vec<u8>,
    /// Absolute paths of the sender's directories, by number; whoever registers them lets it grow.
    pub(crate) bases: Rc<RefCell<Vec<Vec<u8>>>>,
    /// Absolute path and name of the module that a daemon serves.
    pub(crate) module: Option<(Vec<u8>, Vec<u8>)>,
}

impl Roots {
    /// Below the directory that the process works in; nothing else is known yet.
    pub(crate) fn here() -> Self {
        Self { start: crate::engine::absolute(b"."), ..Self::default() }
    }

    /// A name as messages have it: its absolute path; of a module, the path below it and the module's name.
    pub(crate) fn quoted(&self, base: Option<u32>, name: &[u8]) -> Vec<u8> {
        let dir = match base {
            Some(number) => self.bases.borrow().get(number as usize).cloned().unwrap_or_default(),
            None if self.dest.is_empty() => self.start.clone(),
            None => self.dest.clone(),
        };
        self.quoted_below(&dir, name)
    }

    /// The same for a name in this directory.
    pub(crate) fn quoted_below(&self, dir: &[u8], name: &[u8]) -> Vec<u8> {
        let Some((root, module)) = &self.module else {
            return [b"\"", &join(dir, name)[..], b"\""].concat();
        };
        let root = root.strip_suffix(b"/").unwrap_or(root);
        let dir = dir.strip_suffix(b"/").or_else(|| dir.strip_suffix(b"/.")).unwrap_or(dir);
        // Where the module is the root of the file system, its paths are absolute.
        let shown = if dir == root && !root.is_empty() && !name.starts_with(b"/") {
            name.to_vec()
        } else {
            let whole = join(dir, name);
            whole.strip_prefix(root).map(<[u8]>::to_vec).unwrap_or(whole)
        };
        [b"\"", &shown[..], b"\" (in ", module, b")"].concat()
    }

    /// A directory that cannot be entered, or a destination, as it was given.
    pub(crate) fn quoted_as_given(&self, dir: &[u8]) -> Vec<u8> {
        match &self.module {
            None => [b"\"", &as_given(&self.start, dir)[..], b"\""].concat(),
            Some((root, module)) if root == b"/" => {
                [b"\"", &as_given(&self.start, dir)[..], b"\" (in ", module, b")"].concat()
            }
            // The paths of a client are those below the module, cleaned.
            Some(_) => {
                let parts = dir.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".");
                let (root, end): (&[u8], &[u8]) = (
                    if dir.starts_with(b"/") { b"/" } else { b"" },
                    if dir.ends_with(b"/") { b"/" } else { b"" },
                );
                let cleaned = parts.collect::<Vec<_>>().join(&b'/');
                self.quoted_below(&self.start, &[root, &cleaned, end].concat())
            }
        }
    }

    /// The destination below the module that a daemon serves.
    pub(crate) fn dest_in_module(&self) -> Option<Vec<u8>> {
        let (root, _) = self.module.as_ref()?;
        let below = join(&self.dest, b"").strip_prefix(&join(root, b"")[..])?.to_vec();
        Some(below)
    }

    /// The absolute path of a name below a directory of the sender, or below the destination.
    pub(crate) fn path(&self, base: Option<u32>, name: &[u8]) -> Vec<u8> {
        match base {
            Some(number) => {
                let bases = self.bases.borrow();
                join(bases.get(number as usize).map_or(&[][..], Vec::as_slice), name)
            }
            // Before there is a destination: where the process works.
            None if self.dest.is_empty() => join(&self.start, name),
            None => join(&self.dest, name),
        }
    }
}

/// A path as it was given, below `dir` if it is relative.
pub(crate) fn as_given(dir: &[u8], path: &[u8]) -> Vec<u8> {
    if path.starts_with(b"/") {
        return path.to_vec();
    }
    [dir.strip_suffix(b"/").unwrap_or(dir), b"/", path].concat()
}

/// An absolute path, cleaned of `.` and `..` components and doubled slashes.
pub(crate) fn collapsed(path: &[u8]) -> Vec<u8> {
    join(path, b"")
}

/// `DIR/NAME`, cleaned of `.` components and doubled slashes; an absolute name stands for itself.
fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let whole = if name.first() == Some(&b'/') { name.to_vec() } else { [dir, b"/", name].concat() };
    let mut out: Vec<u8> = Vec::with_capacity(whole.len());
    for part in whole.split(|&b| b == b'/').filter(|p| !p.is_empty()) {
        match part {
            b"." => {}
            b".." => out.truncate(memchr::memrchr(b'/', &out).unwrap_or(0)),
            _ => {
                out.push(b'/');
                out.extend(part);
            }
        }
    }
    // The directory itself is shown as such.
    if name == b"." || out.is_empty() {
        out.extend(if name == b"." { &b"/."[..] } else { b"/" });
    }
    out
}

/// Why something that an option names could not be opened, though it is there.
pub(crate) const REFUSED_LINK: &[u8] =
    b"refusing to follow a symlink owned by an untrusted user; use --insecure-links locally or \"insecure links = yes\" in a daemon module ONLY if every path component is trusted\n";

/// What the wording depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wording<'a> {
    /// The directories.
    pub(crate) roots: &'a Roots,
    /// Levels of `--info` and `--debug`.
    pub(crate) levels: &'a Levels,
    /// The format of item lines holds `%i`.
    pub(crate) itemizes: bool,
    /// Names or item changes are shown.
    pub(crate) shows_items: bool,
    /// `--backup-dir`
    pub(crate) backup_dir: Option<&'a [u8]>,
    /// `--suffix`
    pub(crate) suffix: &'a [u8],
    /// `--temp-dir`
    pub(crate) temp_dir: Option<&'a [u8]>,
    /// The data comes from a batch file.
    pub(crate) from_batch: bool,
}

/// The text of a notice, without a newline. `None`: it is not wanted at the levels in effect.
///
/// The start and the end of the file list, and what is counted, have no text here: theirs is one line in steps.
pub(crate) fn text(from: Role, notice: &Notice<'_>, w: &Wording<'_>) -> Option<Vec<u8>> {
    let full = |base: Option<u32>, name: &[u8]| w.roots.quoted(base, name);
    let info = |word, level| w.levels.info(word) >= level;
    let plain = |parts: &[&[u8]]| Some(parts.concat());
    let at_level = |word, parts: &[&[u8]]| if info(word, 1) { plain(parts) } else { None };
    match *notice {
        Notice::Failed { op: Op::CopyFile(_), .. } if !info(Info::Copy, 1) => None,
        Notice::Failed { op: Op::LinkAlternate, .. } if !info(Info::Name, 1) => None,
        Notice::Failed { op, name, base, other, error } => {
            let full = match op {
                Op::ChangeDir if base.is_none() => w.roots.quoted_as_given(name),
                _ => full(base, name),
            };
            let mut out = format!("rsync: [{from}] ").into_bytes();
            out.extend(failed(op, name, other, &full, w));
            out.extend(strerror::suffix(error.0).bytes());
            Some(out)
        }
        Notice::Vanished { name, base, dir } => {
            let what: &[u8] = if dir { b"directory" } else { b"file" };
            plain(&[what, b" has vanished: ", &full(Some(base), name)])
        }
        Notice::ParentAbsent(name) => plain(&[b"WARNING: parent dir is absent in the file list: ", name]),
        Notice::SkippingDirectory(name) => plain(&[b"skipping directory ", name]),
        Notice::NoReferent { name, base } => plain(&[b"symlink has no referent: ", &full(Some(base), name)]),
        Notice::EmptyLink { name, base } => {
            plain(&[b"skipping symlink with 0-length value: ", &full(Some(base), name)])
        }
        Notice::CopyingUnsafe { name, target } => {
            at_level(Info::Symsafe, &[b"copying unsafe symlink \"", name, b"\" -> \"", target, b"\""])
        }
        Notice::Filtered { name, dir, decision } => {
            if w.levels.debug(Debug::Filter) == 0 {
                return None;
            }
            let verb: &[u8] = match (from == Role::Sender, decision.include) {
                (true, true) => b"showing ",
                (true, false) => b"hiding ",
                (false, true) => b"risking ",
                (false, false) => b"protecting ",
            };
            let kind: &[u8] = if dir { b"directory " } else { b"file " };
            let mut out =
                [format!("[{from}] ").as_bytes(), verb, kind, name, b" because of pattern "].concat();
            match decision.pattern {
                Some(pattern) => {
                    out.extend_from_slice(pattern);
                    out.extend_from_slice(if decision.directory { b"/" } else { b"" });
                }
                None => out.extend_from_slice(b"<rule from a file read earlier>"),
            }
            if let Some(file) = decision.file {
                out.extend_from_slice(&[b" [per-dir ", file, b"]"].concat());
            }
            if decision.cvs {
                out.extend_from_slice(b" [global CVS]");
            }
            Some(out)
        }
        Notice::BackupDir { dir, new } => {
            at_level(Info::Backup, &[if new { b"(new) " } else { b"" }, b"backup_dir is ", dir])
        }
        Notice::DeletingIn(name) => {
            if w.levels.debug(Debug::Del) > 0 {
                plain(&[b"deleting in ", name])
            } else {
                None
            }
        }
        Notice::SkippingMountPoint(name) => {
            at_level(Info::Mount, &[b"[sender] skipping mount-point dir ", name])
        }
        Notice::Diminished { name, base } => plain(&[b"skipped diminished file: ", &full(Some(base), name)]),
        Notice::NonRegular(name) => at_level(Info::Nonreg, &[b"skipping non-regular file \"", name, b"\""]),
        Notice::IgnoringUnsafe { name, target } => {
            // Only what the sender does with such a link has a word of its own.
            at_level(Info::Name, &[b"ignoring unsafe symlink \"", name, b"\" -> \"", target, b"\""])
        }
        Notice::NoUnsafeBackup { name, target } => {
            at_level(Info::Symsafe, &[b"not backing up unsafe symlink \"", name, b"\" -> \"", target, b"\""])
        }
        Notice::NotCreating { name, dir } => {
            let what: &[u8] = if dir { b"directory" } else { b"file" };
            at_level(Info::Skip, &[b"not creating new ", what, b" \"", name, b"\""])
        }
        Notice::Exists { name, why } => {
            let why = if info(Info::Skip, 2) { why.as_bytes() } else { b"" };
            at_level(Info::Skip, &[name, b" exists", why])
        }
        Notice::Newer(name) => at_level(Info::Skip, &[name, b" is newer"]),
        Notice::OverMaxSize(name) => at_level(Info::Skip, &[name, b" is over max-size"]),
        Notice::UnderMinSize(name) => at_level(Info::Skip, &[name, b" is under min-size"]),
        Notice::UpToDate(name) if info(Info::Name, 2) && !w.itemizes => plain(&[name, b" is uptodate"]),
        Notice::LinkedToCopy { name, leader } if info(Info::Name, 2) && !w.itemizes => {
            plain(&[name, b" => ", leader])
        }
        Notice::AttrsChanged(name) if info(Info::Name, 2) && !w.itemizes => plain(&[name]),
        Notice::UpToDate(_) | Notice::LinkedToCopy { .. } | Notice::AttrsChanged(_) => None,
        Notice::SkippingContents => plain(&[b"*** Skipping any contents from this failed directory ***"]),
        Notice::NoDefaultAcl { dir, error } => plain(&[
            b"default_perms_for_dir: sys_acl_get_file(",
            dir,
            b", ACL_TYPE_DEFAULT): ",
            strerror::text(error.0).as_bytes(),
            b", falling back on umask",
        ]),
        Notice::NoWay { kind, name } => {
            plain(&[b"could not make way for new ", kind.as_bytes(), b": ", name])
        }
        Notice::NotEmpty(name) => plain(&[b"cannot delete non-empty directory: ", name]),
        Notice::MountPoint(name) => at_level(Info::Mount, &[b"cannot delete mount point: ", name]),
        Notice::DeletionSkipped => plain(&[b"IO error encountered -- skipping file deletion"]),
        Notice::MaxDelete { skipped } => {
            let text = format!("Deletions stopped due to --max-delete limit ({skipped} skipped)");
            Some(text.into_bytes())
        }
        Notice::SkippingBatched { name, resend } => {
            let what: &[u8] = if resend { b"resend of " } else { b"" };
            plain(&[b"(Skipping batched update for ", what, b"\"", name, b"\")"])
        }
        Notice::NotInBatch { name, resend } => {
            let of: &[u8] = if resend { b"resend of " } else { b"" };
            plain(&[b"(No batched update for ", of, b"\"", name, b"\")"])
        }
        Notice::CreatedDirectory(dir) if w.shows_items => plain(&[b"created directory ", dir]),
        Notice::CreatedPath { count, path } if w.shows_items => {
            let noun = if count == 1 { "directory" } else { "directories" };
            plain(&[format!("created {count} {noun} for ").as_bytes(), path])
        }
        Notice::CreatedDirectory(_) | Notice::CreatedPath { .. } => None,
        Notice::BackedUp(name) => {
            let (dir, slash): (&[u8], &[u8]) = match w.backup_dir {
                Some(dir) if dir.last() == Some(&b'/') => (dir, b""),
                Some(dir) => (dir, b"/"),
                None => (b"", b""),
            };
            at_level(Info::Backup, &[b"backed up ", name, b" to ", dir, slash, name, w.suffix])
        }
        Notice::FailedVerification { again: true, .. } if !w.shows_items => None,
        Notice::FailedVerification { name, kept, again } => {
            let (kind, tail): (&[u8], &[u8]) = match again {
                // What a batch holds is all there is.
                true if w.from_batch => (b"WARNING: ", b" (may try again)."),
                true => (b"WARNING: ", b" (will try again)."),
                false => (b"ERROR: ", b"."),
            };
            plain(&[kind, name, b" failed verification -- update ", kept.as_bytes(), tail])
        }
        Notice::Unanswered(count) => {
            let what = if count == 1 { "requested file was" } else { "requested files were" };
            plain(&[format!("ERROR: {count} {what} not sent").as_bytes()])
        }
        Notice::ReceiveIsDir(name) => plain(&[b"recv_files: ", &full(None, name), b" is a directory"]),
        Notice::SenderRemoved(name) => at_level(Info::Remove, &[b"sender removed ", name]),
        Notice::SenderRemovedBefore(name) => plain(&[b"sender file already removed: ", name]),
        Notice::SenderChanged(name) => plain(&[b"ERROR: Skipping sender remove for changed file: ", name]),
        Notice::XattrGone { name, xattr } => plain(&[b"failed to re-read xattr ", xattr, b" for ", name]),
        Notice::XattrMissing { name, xattr } => {
            plain(&[b"Missing abbreviated xattr value, ", xattr, b", for ", &full(None, name)])
        }
        Notice::Duplicate { name, ndx } if w.levels.debug(Debug::Dup) >= 1 => {
            plain(&[b"removing duplicate name ", name, format!(" from file list ({ndx})").as_bytes()])
        }
        Notice::Duplicate { .. } => None,
        Notice::ImpossibleId { name, group } => {
            let id: &[u8] = if group { b"gid" } else { b"uid" };
            plain(&[id, b" 4294967295 (-1) is impossible to set on ", &full(None, name)])
        }
        Notice::TooLargeForSums(name) => plain(&[b"WARNING: file is too large for checksum sending: ", name]),
        Notice::TooLong(name) => {
            let over = name.len() + 1 - MAX_PATH;
            plain(&[format!("filename overflows max-path len by {over}: ").as_bytes(), name])
        }
        Notice::CannotConvertName { name, error } => {
            let head = format!("[{from}] cannot convert filename: ");
            let reason = format!(" ({})", strerror::text(error.0));
            plain(&[head.as_bytes(), name, reason.as_bytes()])
        }
        Notice::CannotConvertLink { name, base, error } => {
            let head = format!("[{from}] cannot convert symlink data for: ");
            let reason = format!(" ({})", strerror::text(error.0));
            plain(&[head.as_bytes(), &full(base, name), reason.as_bytes()])
        }
        Notice::ListStart | Notice::ListCount(_) | Notice::ListDone(_) => None,
        Notice::DeletionScan { .. } | Notice::DeletionScanned => None,
        Notice::DeltaTotals(stats) if w.levels.debug(Debug::Deltasum) >= 1 => Some(delta_totals(stats)),
        Notice::DeltaTotals(_) => None,
        Notice::DeltaTransmission(on) if w.levels.debug(Debug::Flist) >= 1 => plain(&[if on {
            b"delta-transmission enabled"
        } else {
            b"delta-transmission disabled for local transfer or --whole-file"
        }]),
        Notice::DeltaTransmission(_) => None,
        Notice::PartialDirFailed(name) => {
            plain(&[b"Unable to create partial-dir for ", name, b" -- discarding completed file."])
        }
        Notice::UnknownMapName { name, group } => {
            let option: &[u8] = if group { b"--groupmap" } else { b"--usermap" };
            plain(&[b"Unknown ", option, b" name on receiver: ", name])
        }
        Notice::BadMap { what, text, group } => {
            let option: &[u8] = if group { b"--groupmap" } else { b"--usermap" };
            plain(&[what.as_bytes(), b" ", option, b": ", text])
        }
        Notice::IdTooLarge(number) => plain(&[b"Invalid ID number: ", number]),
        Notice::RefusedByDaemon { name, dir } => {
            let what: &[u8] = if dir { b"directory" } else { b"file" };
            plain(&[b"ERROR: daemon refused to receive ", what, b" \"", name, b"\""])
        }
        Notice::RefusedName { fault, name } => {
            let link: &[u8] = if matches!(fault, ProtocolError::Name(_)) { b": " } else { b" for " };
            let role = if fault.names_role() { format!(" [{from}]") } else { String::new() };
            plain(&[fault.to_string().as_bytes(), link, name, role.as_bytes()])
        }
        Notice::DotDotInRelative(path) => plain(&[b"found \"..\" dir in relative path: ", path]),
        Notice::NoDigests => plain(&[b"Invalid checksum-choice for --checksum: none (0)"]),
        Notice::FilterFault(fault) => Some(fault.message()),
        Notice::Internal(text) => plain(&[text.as_bytes()]),
        // A notice of a newer core: better said badly than not at all.
        _ => Some(format!("{notice:?}").into_bytes()),
    }
}

/// The middle of `rsync: [ROLE] … : ERR`.
fn failed(op: Op, name: &[u8], other: &[u8], full: &[u8], w: &Wording<'_>) -> Vec<u8> {
    let around = |before: &str, after: &str| [before.as_bytes(), full, after.as_bytes()].concat();
    match op {
        Op::LinkStat => around("link_stat ", " failed"),
        Op::ReadlinkStat => around("readlink_stat(", ") failed"),
        Op::OpenDir => around("opendir ", " failed"),
        Op::ReadDir => around("readdir(", ")"),
        Op::ChangeDir => around("change_dir ", " failed"),
        Op::SendOpen => around("send_files failed to open ", ""),
        Op::ReadErrors => around("read errors mapping ", ""),
        Op::Stat => around("stat ", " failed"),
        Op::GeneratorStat => around("recv_generator: failed to stat ", ""),
        Op::GeneratorMkdir => around("recv_generator: mkdir ", " failed"),
        Op::ReachForXattrs => around("gen_entry_copy_xattrs: secure open of ", " failed"),
        Op::CopyXattrs => around("gen_entry_copy_xattrs: openat(", ") failed"),
        // In an alternate directory.
        Op::OpenBasis if name.starts_with(b"../") => {
            [b"failed to open ", &quoted_uncleaned(name, w)[..], b", continuing"].concat()
        }
        Op::OpenBasis => around("failed to open ", ", continuing"),
        Op::Symlink => [b"symlink ", full, b" -> \"", other, b"\" failed"].concat(),
        Op::Mknod => around("mknod ", " failed"),
        Op::HardLink => [b"link ", full, b" => ", other, b" failed"].concat(),
        Op::LinkAlternate => [b"link ", full, b" => ", &uncleaned(other, w)[..], b" failed"].concat(),
        Op::Rename => [b"rename ", &temporary(name, w)[..], b" -> \"", other, b"\""].concat(),
        Op::RenamePartial => [b"rename failed for ", full, b" (from ", other, b")"].concat(),
        Op::Mkstemp => [b"mkstemp ", &temporary(name, w)[..], b" failed"].concat(),
        Op::OpenInPlace => around("open ", " failed"),
        Op::Write => around("write failed on ", ""),
        Op::Fsync => around("fsync failed on ", ""),
        Op::Fallocate => around("do_fallocate ", ""),
        Op::Chown => around("chown ", " failed"),
        Op::Chgrp => around("chgrp ", " failed"),
        Op::SetTimes => around("failed to set times on ", ""),
        Op::SetPermissions => around("failed to set permissions on ", ""),
        Op::ModifyPermissions => around("failed to modify permissions on ", ""),
        Op::OnTemporary(step) => failed(step.op(), name, other, &temporary(name, w), w),
        Op::Unlink => [b"delete_file: unlink(", name, b") failed"].concat(),
        Op::Rmdir => [b"delete_file: rmdir(", name, b") failed"].concat(),
        Op::Backup => [b"delete_file: make_backup(", name, b") failed"].concat(),
        Op::CopyFile(mode) => {
            let to = if mode == WriteMode::Temporary { temporary_name(other, w) } else { other.to_vec() };
            [b"copy_file ", &quoted_uncleaned(name, w)[..], b" => ", &to[..]].concat()
        }
        Op::OpenCopied => [b"open ", &quoted_uncleaned(name, w)[..]].concat(),
        Op::WriteCopy(WriteMode::Temporary) => [b"write ", &temporary(name, w)[..]].concat(),
        Op::WriteCopy(_) => around("write ", ""),
        Op::SenderRemoveParent => [b"sender failed to secure-open-parent ", name].concat(),
        Op::SenderRemove => [b"sender failed to remove ", name].concat(),
        Op::GetAcl(kind) => [b"get_acl: sys_acl_get_file(", name, b", ", acl_type(kind), b")"].concat(),
        Op::GetTargetAcl(kind) => [b"get_acl: xacl_get(", name, b", ", acl_type(kind), b")"].concat(),
        Op::SetAcl(kind) => [b"set_acl: xacl_set(", name, b", ", acl_type(kind), b")"].concat(),
        Op::RemoveDefaultAcl => [b"set_acl: sys_acl_delete_def_file(", name, b")"].concat(),
        Op::ListXattrs => around("get_xattr_names: llistxattr(", ",1024) failed"),
        Op::GetXattr => [b"get_xattr_data: lgetxattr(", full, b",\"", other, b"\",0) failed"].concat(),
        Op::SetXattr => [b"rsync_xal_set: fsetxattr(", full, b",\"", other, b"\") failed"].concat(),
        Op::RemoveXattr => [b"rsync_xal_set: fremovexattr(", full, b",\"", other, b"\") failed"].concat(),
        Op::WriteStat => [b"failed to write xattr ", other, b" for ", full].concat(),
    }
}

fn acl_type(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Access => b"ACL_TYPE_ACCESS",
        Kind::Default => b"ACL_TYPE_DEFAULT",
    }
}

/// A path at the destination as it is put together, `..` included; in a module, from there.
fn uncleaned(name: &[u8], w: &Wording<'_>) -> Vec<u8> {
    let dest = w.roots.dest.strip_suffix(b"/").unwrap_or(&w.roots.dest);
    let path = if name.starts_with(b"/") { name.to_vec() } else { [dest, b"/", name].concat() };
    let Some((root, _)) = &w.roots.module else { return path };
    let root = root.strip_suffix(b"/").unwrap_or(root);
    path.strip_prefix(root).map(<[u8]>::to_vec).unwrap_or(path)
}

/// The same in quotes, with the module.
fn quoted_uncleaned(name: &[u8], w: &Wording<'_>) -> Vec<u8> {
    let path = uncleaned(name, w);
    match &w.roots.module {
        Some((_, module)) => [b"\"", &path[..], b"\" (in ", module, b")"].concat(),
        None => [b"\"", &path[..], b"\""].concat(),
    }
}

/// Path of a temporary file, whose random part nobody knows any more.
fn temporary(name: &[u8], w: &Wording<'_>) -> Vec<u8> {
    w.roots.quoted(None, &temporary_name(name, w))
}

/// The same as the engine calls it.
fn temporary_name(name: &[u8], w: &Wording<'_>) -> Vec<u8> {
    let (dir, base) = match memchr::memrchr(b'/', name) {
        Some(i) => (&name[..i + 1], &name[i + 1..]),
        None => (&[][..], name),
    };
    let stem = stem(base, w.temp_dir.is_none());
    let dir = w.temp_dir.map_or_else(|| dir.to_vec(), |temp| [temp, b"/"].concat());
    [&dir[..], &stem, b"XXXXXX"].concat()
}

fn delta_totals(stats: &Stats) -> Vec<u8> {
    format!(
        "total: matches={}  hash_hits={}  false_alarms={} data={}",
        stats.matches, stats.hash_hits, stats.false_alarms, stats.literal
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::words::Choices;
    use arsync_core::ports::PortError;

    fn shown(from: Role, notice: &Notice<'_>, verbosity: u32) -> String {
        let roots = Roots {
            start: b"/tmp/ex".to_vec(),
            dest: b"/tmp/d".to_vec(),
            bases: Rc::new(RefCell::new(vec![b"/tmp/ex".to_vec(), b"/tmp/ex/lk".to_vec()])),
            module: None,
        };
        let levels = Levels::new(verbosity, &[], &Choices::default());
        let wording = Wording {
            roots: &roots,
            levels: &levels,
            itemizes: false,
            shows_items: true,
            backup_dir: None,
            suffix: b"~",
            temp_dir: None,
            from_batch: false,
        };
        text(from, notice, &wording).map(|t| String::from_utf8(t).unwrap()).unwrap_or_default()
    }

    fn failure(
        op: Op,
        name: &'static [u8],
        base: Option<u32>,
        other: &'static [u8],
        errno: i32,
    ) -> Notice<'static> {
        Notice::Failed { op, name, base, other, error: PortError(errno) }
    }

    #[test]
    fn failures_as_observed() {
        for (role, notice, text) in [
            (
                Role::Sender,
                failure(Op::LinkStat, b"s/nof", Some(0), b"", 2),
                "rsync: [sender] link_stat \"/tmp/ex/s/nof\" failed: No such file or directory (2)",
            ),
            (
                Role::Sender,
                failure(Op::LinkStat, b"/nope3", Some(0), b"", 2),
                "rsync: [sender] link_stat \"/nope3\" failed: No such file or directory (2)",
            ),
            (
                Role::Generator,
                failure(Op::GeneratorMkdir, b"s", None, b"", 1),
                "rsync: [generator] recv_generator: mkdir \"/tmp/d/s\" failed: Operation not permitted (1)",
            ),
            (
                Role::Generator,
                failure(Op::CopyXattrs, b"s", None, b"", 2),
                "rsync: [generator] gen_entry_copy_xattrs: openat(\"/tmp/d/s\") failed: No such file or directory (2)",
            ),
            (
                Role::Receiver,
                failure(Op::Mkstemp, b"f", None, b"", 2),
                "rsync: [receiver] mkstemp \"/tmp/d/.f.XXXXXX\" failed: No such file or directory (2)",
            ),
            (
                Role::Generator,
                failure(Op::Symlink, b"l", None, b"t", 17),
                "rsync: [generator] symlink \"/tmp/d/l\" -> \"t\" failed: File exists (17)",
            ),
            (
                Role::Generator,
                failure(Op::SetTimes, b".", None, b"", 1),
                "rsync: [generator] failed to set times on \"/tmp/d/.\": Operation not permitted (1)",
            ),
        ] {
            assert_eq!(shown(role, &notice, 0), text);
        }
    }

    #[test]
    fn levels_decide() {
        let exists = Notice::Exists { name: b"f", why: " (uptodate)" };
        assert_eq!(shown(Role::Generator, &exists, 1), "");
        assert_eq!(shown(Role::Generator, &exists, 2), "f exists");
        let uptodate = Notice::UpToDate(b"f1");
        assert_eq!(shown(Role::Generator, &uptodate, 1), "");
        assert_eq!(shown(Role::Generator, &uptodate, 2), "f1 is uptodate");
        let odd = Notice::NonRegular(b"fifo");
        assert_eq!(shown(Role::Generator, &odd, 0), "skipping non-regular file \"fifo\"");
        assert_eq!(shown(Role::Generator, &Notice::BackedUp(b"f"), 2), "backed up f to f~");
        assert_eq!(
            shown(Role::Generator, &Notice::MaxDelete { skipped: 1 }, 0),
            "Deletions stopped due to --max-delete limit (1 skipped)"
        );
        let referent = Notice::NoReferent { name: b"x", base: 1 };
        assert_eq!(shown(Role::Sender, &referent, 0), "symlink has no referent: \"/tmp/ex/lk/x\"");
        let empty = Notice::EmptyLink { name: b"x", base: 1 };
        assert_eq!(shown(Role::Sender, &empty, 0), "skipping symlink with 0-length value: \"/tmp/ex/lk/x\"");
    }
}
