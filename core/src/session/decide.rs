//! What is decided about one item: pure functions of the entry, what stands there, and the options.
//! The same in a remote and in a local run, in earnest and in a dry run.

use crate::{
    flist::entry::{Entry, Extra, FileKind, mode},
    item::ItemFlags,
    options::SessionOptions,
    ports::{Attrs, Rights, Stat},
};

/// An owner or a group that differs.
const OWNED: ItemFlags = ItemFlags::REPORT_OWNER.union(ItemFlags::REPORT_GROUP);

/// Modification times are the same under `--modify-window` (spec: quick check). Window 0 looks at whole
/// seconds; a negative one at nanoseconds too.
pub fn same_time(window: i32, a: (i64, u32), b: (i64, u32)) -> bool {
    match window {
        0 => a.0 == b.0,
        w if w < 0 => a == b,
        w => a.0.abs_diff(b.0) <= u64::from(w.unsigned_abs()),
    }
}

/// Outcome of the quick check of a regular file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Quick {
    /// Nothing to transfer.
    Same,
    /// Must be transferred.
    Different,
    /// Depends on the digests (`-c`, equal sizes).
    Digest,
}

/// The quick check; precedence: size, `--checksum`, `--size-only`, `--ignore-times`, times.
pub fn quick_check(entry: &Entry, stat: &Stat, options: &SessionOptions) -> Quick {
    let select = &options.select;
    if entry.size != stat.size {
        Quick::Different
    } else if select.checksum {
        Quick::Digest
    } else if select.size_only {
        Quick::Same
    } else if select.ignore_times
        || !same_time(select.modify_window, (entry.mtime, entry.nsec), (stat.mtime, stat.nsec))
    {
        Quick::Different
    } else {
        Quick::Same
    }
}

/// `--update`: the target is newer, or with a window not clearly older (seconds only).
pub const fn is_newer(entry: &Entry, stat: &Stat, window: i32) -> bool {
    entry.mtime.saturating_sub(stat.mtime) < window as i64
}

/// Data can go there: into a regular file, or into a device where that is wanted (`--write-devices`).
pub fn holds_data(standing: &Stat, options: &SessionOptions) -> bool {
    standing.is_regular() || (options.select.write_devices && standing.kind().is_device())
}

/// The mode that the item will have, without `-p` made from what stands there (spec: permissions).
pub fn dest_mode(entry_mode: u32, standing: Option<&Stat>, options: &SessionOptions, umask: u32) -> u32 {
    let p = &options.preserve;
    // The permissions of a symlink mean something only where a regular file stands for it.
    if p.perms || (entry_mode & mode::TYPE == mode::SYMLINK && !p.fake_super) {
        return entry_mode;
    }
    let kind = entry_mode & mode::TYPE;
    let keeps = standing.filter(|s| {
        let dirs_agree = s.is_dir() == (kind == mode::DIR);
        dirs_agree && (kind != mode::REGULAR || holds_data(s, options))
    });
    match keeps {
        Some(s) => {
            let mut bits = s.mode & mode::PERMS;
            if p.executability && kind == mode::REGULAR {
                if entry_mode & 0o111 == 0 {
                    bits &= !0o111;
                } else if s.mode & 0o111 == 0 {
                    bits |= (bits & 0o444) >> 2;
                }
            }
            kind | bits
        }
        None => kind | (entry_mode & 0o777 & !umask),
    }
}

/// The mode of an item that stands and gets the extended attributes that the sender was asked for: even without `-p` it takes
/// the source's permissions (stock binary). The set-id bits of what can be run are rights that nobody asked for: it keeps its own.
pub(super) const fn mode_with_attributes(entry_mode: u32, standing: &Stat) -> u32 {
    if entry_mode & mode::TYPE == mode::DIR {
        return entry_mode;
    }
    (entry_mode & !0o6000) | (standing.mode & 0o6000)
}

/// mtime is preserved for this kind.
pub fn keeps_time(kind: FileKind, options: &SessionOptions) -> bool {
    let p = &options.preserve;
    p.times
        && match kind {
            FileKind::Dir => !p.omit_dir_times,
            FileKind::Symlink => !p.omit_link_times,
            _ => true,
        }
}

/// The time of access is preserved for this kind; a symlink's goes with its mtime.
fn keeps_atime(kind: FileKind, options: &SessionOptions) -> bool {
    kind != FileKind::Dir && !(kind == FileKind::Symlink && options.preserve.omit_link_times)
}

/// What is shown of a file with set-id bits whose owner or group is set: the reference looks at it again after that,
/// when the kernel has taken the bits away (stock binary). An owner that is only noted down takes nothing away.
pub(super) const fn is_seen_again(flags: ItemFlags, stat: &Stat, options: &SessionOptions) -> bool {
    !options.preserve.fake_super && stat.mode & 0o6000 != 0 && flags.intersects(OWNED)
}

/// The letters of what is seen again, and its mode.
pub fn seen_after_chown(
    flags: &mut ItemFlags,
    wanted_mode: u32,
    stat: &Stat,
    options: &SessionOptions,
) -> u32 {
    if !is_seen_again(*flags, stat, options) {
        return stat.mode;
    }
    flags.remove(OWNED);
    let lost = if stat.mode & 0o010 == 0 { 0o4000 } else { 0o6000 };
    let seen = stat.mode & !lost;
    if options.preserve.perms {
        flags.set(ItemFlags::REPORT_PERMS, (wanted_mode ^ seen) & mode::PERMS != 0);
    }
    seen
}

/// The group may be set by this process.
pub(super) fn group_allowed(gid: u32, rights: &Rights) -> bool {
    rights.super_user || rights.groups.contains(&gid)
}

/// Letters for an item that exists: which attributes differ. `wanted_mode`: as made by [`dest_mode`];
/// `doing`: flags of what is done with it (transfer, local change), which decide about the time without `-t`.
pub fn changes(
    entry: &Entry,
    extra: &Extra,
    wanted_mode: u32,
    stat: &Stat,
    doing: ItemFlags,
    options: &SessionOptions,
    rights: &Rights,
) -> ItemFlags {
    let p = &options.preserve;
    let kind = entry.kind();
    let mut flags = doing;
    if kind == FileKind::Regular && entry.size != stat.size {
        flags |= ItemFlags::REPORT_SIZE;
    }
    if keeps_time(kind, options) {
        if !same_time(options.select.modify_window, (entry.mtime, entry.nsec), (stat.mtime, stat.nsec)) {
            flags |= ItemFlags::REPORT_TIME;
        }
    } else if doing.intersects(ItemFlags::TRANSFER | ItemFlags::LOCAL_CHANGE)
        && !doing.contains(ItemFlags::MATCHED)
    {
        flags |= ItemFlags::REPORT_TIME;
    }
    if p.atimes > 0 && kind != FileKind::Dir && kind != FileKind::Symlink && extra.atime != stat.atime {
        flags |= ItemFlags::REPORT_ATIME;
    }
    // Of a symlink, too, though nobody can set them (stock binary).
    if p.perms {
        if (wanted_mode ^ stat.mode) & mode::PERMS != 0 {
            flags |= ItemFlags::REPORT_PERMS;
        }
    } else if p.executability
        && kind == FileKind::Regular
        && (wanted_mode & 0o111 == 0) != (stat.mode & 0o111 == 0)
    {
        flags |= ItemFlags::REPORT_PERMS;
    }
    if p.owner && rights.super_user && entry.uid != stat.uid {
        flags |= ItemFlags::REPORT_OWNER;
    }
    if p.group && entry.gid != stat.gid && group_allowed(entry.gid, rights) {
        flags |= ItemFlags::REPORT_GROUP;
    }
    flags
}

/// Nothing but the content could differ. The time of access does not count: it can be set, or does not matter.
pub fn unchanged_attrs(
    entry: &Entry,
    extra: &Extra,
    wanted_mode: u32,
    stat: &Stat,
    options: &SessionOptions,
    rights: &Rights,
) -> bool {
    let flags = changes(entry, extra, wanted_mode, stat, ItemFlags::empty(), options, rights);
    !flags.intersects(
        ItemFlags::REPORT_TIME | ItemFlags::REPORT_PERMS | ItemFlags::REPORT_OWNER | ItemFlags::REPORT_GROUP,
    )
}

/// The attributes to set. `wanted_mode`: as made by [`dest_mode`]. `times`: the time of modification and, with `-U`, that of
/// access are set; not of what is incomplete, which a later run would take for up to date.
pub fn wanted(
    entry: &Entry,
    extra: &Extra,
    wanted_mode: u32,
    options: &SessionOptions,
    rights: &Rights,
    times: bool,
) -> Attrs {
    let p = &options.preserve;
    let kind = entry.kind();
    // A new file that stands for a symlink has times of its own.
    let own_times = kind == FileKind::Symlink && p.fake_super;
    Attrs {
        mode: (kind != FileKind::Symlink || p.fake_super).then_some(wanted_mode),
        uid: (p.owner && rights.super_user).then_some(entry.uid),
        gid: (p.group && group_allowed(entry.gid, rights)).then_some(entry.gid),
        mtime: (times && (keeps_time(kind, options) || own_times && p.times))
            .then_some((entry.mtime, entry.nsec)),
        atime: (p.atimes > 0 && times && (keeps_atime(kind, options) || own_times)).then_some(extra.atime),
        rdev: kind.is_device().then_some(extra.rdev),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(m: u32) -> Stat {
        Stat { mode: m, ..Stat::default() }
    }

    #[test]
    fn windows_as_observed() {
        assert!(same_time(0, (5, 1), (5, 2)));
        assert!(!same_time(-1, (5, 1), (5, 2)));
        assert!(same_time(1, (5, 0), (6, 0)));
        assert!(!same_time(1, (5, 0), (7, 0)));
    }

    #[test]
    fn new_items_lose_special_bits_and_the_umask() {
        let o = SessionOptions::default();
        assert_eq!(dest_mode(0o104_755, None, &o, 0o027), 0o100_750);
        assert_eq!(dest_mode(0o042_770, None, &o, 0o027), 0o040_750);
        assert_eq!(dest_mode(0o100_644, None, &o, 0o027), 0o100_640);
        assert_eq!(dest_mode(0o100_644, Some(&stat(0o100_600)), &o, 0o022), 0o100_600);
        assert_eq!(dest_mode(0o100_644, Some(&stat(0o120_777)), &o, 0o022), 0o100_644);
        assert_eq!(dest_mode(0o010_644, Some(&stat(0o120_777)), &o, 0o022), 0o010_777);
    }

    #[test]
    fn attributes_bring_permissions_but_files_no_set_id_bits() {
        assert_eq!(mode_with_attributes(0o106_751, &stat(0o100_600)), 0o100_751);
        assert_eq!(mode_with_attributes(0o043_777, &stat(0o040_700)), 0o043_777);
        assert_eq!(mode_with_attributes(0o100_640, &stat(0o106_755)), 0o106_640);
    }

    #[test]
    fn executability_adds_and_removes() {
        let mut o = SessionOptions::default();
        o.preserve.executability = true;
        assert_eq!(dest_mode(0o100_755, Some(&stat(0o100_640)), &o, 0), 0o100_750);
        assert_eq!(dest_mode(0o100_644, Some(&stat(0o100_755)), &o, 0), 0o100_644);
    }

    #[test]
    fn an_owner_that_was_set_hides_behind_set_id_bits_that_were_lost() {
        let mut options = SessionOptions::default();
        options.preserve.perms = true;
        let owner = ItemFlags::REPORT_OWNER;
        // (what stands, what is wanted, what is shown), as observed
        for (standing, wanted, shown) in [
            (0o106_711, 0o100_644, ItemFlags::REPORT_PERMS),
            (0o106_711, 0o106_711, ItemFlags::REPORT_PERMS),
            (0o104_755, 0o100_755, ItemFlags::empty()),
            (0o102_745, 0o102_745, ItemFlags::empty()),
            (0o100_644, 0o100_644, owner),
        ] {
            let mut flags = owner;
            seen_after_chown(&mut flags, wanted, &stat(standing), &options);
            assert_eq!(flags, shown, "{standing:o} {wanted:o}");
        }
        // Without permissions that are wanted what `-E` says stands.
        options.preserve.perms = false;
        let mut flags = owner | ItemFlags::REPORT_PERMS;
        seen_after_chown(&mut flags, 0o102_755, &stat(0o102_644), &options);
        assert_eq!(flags, ItemFlags::REPORT_PERMS);
        options.preserve.fake_super = true;
        let mut flags = owner;
        seen_after_chown(&mut flags, 0o104_755, &stat(0o104_755), &options);
        assert_eq!(flags, owner);
    }
}
