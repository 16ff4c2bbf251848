//! What a session is asked to do: the options that change the wire, the decisions or the result.
//!
//! Texts, colours, log files and transports are the host's business and not found here. Both ends of a
//! connection must hold equal values for every field that says so; the client tells the server by the
//! server argument vector (spec: server argument list).
//!
//! # Defaults
//!
//! `Default` is a run without options: every `bool` is false, every count, time and size is 0, every `Option` is `None`,
//! every list is empty, every choice is the variant that is named as its default. The option that sets a field to anything else
//! is named with the field. The program `arsync` starts from other values in these alone, since its command line does:
//!
//! | field | default here | default of the program |
//! |---|---|---|
//! | [`SessionOptions::max_alloc`] | 0 | 1 GiB |
//! | [`Transfer::suffix`] | empty | `~`; with `--backup-dir` empty |
//!
//! What options imply is for whoever fills these fields: `-a` is `recursive`, `links`, `perms`, `times`, `group`,
//! `owner`, `devices` and `specials`; `-r` means `dirs` too, and `-R` means `implied_dirs`.
//!
//! # Letters
//!
//! What a server is told with one letter each (spec: server argument list), in front of the `e` and the capabilities; all other
//! options of a session are long. A letter marked + may be repeated.
//!
//! | letters | fields |
//! |---|---|
//! | `l` `p` `t` `g` `o` | [`links`](Preserve::links), [`perms`](Preserve::perms), [`times`](Preserve::times), [`group`](Preserve::group), [`owner`](Preserve::owner) |
//! | `D` | [`devices`](Preserve::devices) and [`specials`](Preserve::specials) |
//! | `H`+ `A` `X`+ `U`+ `N` `E` `O` `J` | [`hard_links`](Preserve::hard_links), [`acls`](Preserve::acls), [`xattrs`](Preserve::xattrs), [`atimes`](Preserve::atimes), [`crtimes`](Preserve::crtimes), [`executability`](Preserve::executability), [`omit_dir_times`](Preserve::omit_dir_times), [`omit_link_times`](Preserve::omit_link_times) |
//! | `r` `d` `R` | [`recursive`](Select::recursive) and [`dirs`](Select::dirs), `dirs`, [`relative`](Select::relative) and [`implied_dirs`](Select::implied_dirs) |
//! | `L` `k` `K` `x`+ `m` `C` | [`copy_links`](Select::copy_links), [`copy_dirlinks`](Select::copy_dirlinks), [`keep_dirlinks`](Select::keep_dirlinks), [`one_file_system`](Select::one_file_system), [`prune_empty_dirs`](Select::prune_empty_dirs), [`cvs_exclude`](Select::cvs_exclude) |
//! | `u` `c` `I` | [`update`](Select::update), [`checksum`](Select::checksum), [`ignore_times`](Select::ignore_times) |
//! | `W` `S` `b` `y`+ `z` | [`whole_file`](Transfer::whole_file), [`sparse`](Transfer::sparse), [`backup`](Transfer::backup), [`fuzzy`](Transfer::fuzzy), [`compress`](Transfer::compress) as [`Compress::Negotiate`] |
//! | `n` | [`dry_run`](SessionOptions::dry_run) |

use alloc::{boxed::Box, string::String, vec::Vec};

pub use crate::setup::Compress;
use crate::{
    checksum::ChecksumKind,
    setup::{Capabilities, Handshake, Side, negotiate},
    token::CompressKind,
    version::ProtocolVersion,
};

/// All options of one session, grouped by who consumes them. Nothing is on by default: see [defaults](self#defaults).
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// Highest protocol version this side offers (`--protocol`), `None`: the newest. See [`SessionOptions::max_protocol`].
    pub protocol: Option<u8>,
    /// Seed of the block and transfer checksums (`--checksum-seed`); 0: the server chooses.
    pub checksum_seed: i32,
    /// Which attributes travel and are set.
    pub preserve: Preserve,
    /// Which files take part.
    pub select: Select,
    /// What is deleted.
    pub delete: Delete,
    /// How data gets to its place.
    pub transfer: Transfer,
    /// How much is reported over the wire.
    pub report: Report,
    /// `--no-inc-recursive` or `--qsort` given.
    pub no_inc_recursive: bool,
    /// `-n`: decide and report, change nothing.
    pub dry_run: bool,
    /// `--list-only` or a missing destination.
    pub list_only: bool,
    /// Seconds without traffic after which the session fails; 0: none. (`--timeout`)
    pub timeout: u32,
    /// Largest single allocation made on behalf of the peer, bytes; 0: no limit. (`--max-alloc`)
    pub max_alloc: u64,
    /// Received names are not compared with what was asked for (`--trust-sender`, `--old-args`).
    pub trust_sender: bool,
    /// The receiving side reads a batch file (`--read-batch`): statistics and some checks differ.
    pub read_batch: bool,
    /// `--only-write-batch`: data is made and recorded, nothing is changed (with `dry_run`).
    pub batch_only: bool,
}

/// Attributes. Both ends hold equal values of all but the `omit_*`, `super_user` and `fake_super` fields. By default
/// none travels, none is set, and `super_user` goes by the user: see [defaults](self#defaults).
#[derive(Debug, Clone, Default)]
pub struct Preserve {
    /// `-l`
    pub links: bool,
    /// `-p`
    pub perms: bool,
    /// `-E` (no effect with `perms`)
    pub executability: bool,
    /// `-A`
    pub acls: bool,
    /// `-X`, counted
    pub xattrs: u8,
    /// `-t`
    pub times: bool,
    /// `-U`, counted
    pub atimes: u8,
    /// `-N`
    pub crtimes: bool,
    /// `-O`
    pub omit_dir_times: bool,
    /// `-J`
    pub omit_link_times: bool,
    /// `-o`
    pub owner: bool,
    /// `-g`
    pub group: bool,
    /// `--devices`
    pub devices: bool,
    /// `--specials`
    pub specials: bool,
    /// `-H`, counted
    pub hard_links: u8,
    /// `--numeric-ids`
    pub numeric_ids: bool,
    /// Ids have no names on this side, and names no ids (a daemon's `numeric ids`). The wire stays as it is.
    pub nameless_ids: bool,
    /// `--super` (`Some(true)`), `--no-super` (`Some(false)`), or by uid.
    pub super_user: Option<bool>,
    /// `--fake-super`
    pub fake_super: bool,
    /// `--chmod` of this side; see [`crate::chmod`]. A server has one by `-M` or of its own, as a daemon's `incoming
    /// chmod` and `outgoing chmod`.
    pub chmod: Option<crate::chmod::Chmod>,
    /// `--usermap`, `--chown`: text of the list, parsed on the receiving side.
    pub usermap: Option<Vec<u8>>,
    /// `--groupmap`, `--chown`; see `usermap`.
    pub groupmap: Option<Vec<u8>>,
    /// `--open-noatime` or `-UU`
    pub open_noatime: bool,
}

/// File selection and comparison. By default all files named as arguments take part and no directory is entered; files are
/// compared by size and time: see [defaults](self#defaults).
#[derive(Debug, Clone, Default)]
pub struct Select {
    /// `--confine-root`: absolute path; what options name must not lead out of it.
    pub confine_root: Option<Vec<u8>>,
    /// The roots of the transfer and everything reached below them are inside of it too (a daemon's module).
    pub confine_all: bool,
    /// `--insecure-links`: in paths that options name, symlinks of everybody are followed.
    pub insecure_links: bool,
    /// What this side cannot read does not exist for it (a daemon's `ignore nonreadable`).
    pub ignore_nonreadable: bool,
    /// `-r`
    pub recursive: bool,
    /// `-d` or implied by `-r`, listing, `--files-from`
    pub dirs: bool,
    /// `-R`
    pub relative: bool,
    /// `-R` without `--no-implied-dirs`
    pub implied_dirs: bool,
    /// `-x`, counted
    pub one_file_system: u8,
    /// `-L`
    pub copy_links: bool,
    /// `--copy-unsafe-links`
    pub copy_unsafe_links: bool,
    /// `-k`
    pub copy_dirlinks: bool,
    /// `--safe-links`
    pub safe_links: bool,
    /// `--munge-links`
    pub munge_links: bool,
    /// Targets of received symlinks are kept below the transfer (a daemon's module without munging).
    pub sanitize_links: bool,
    /// `-K`
    pub keep_dirlinks: bool,
    /// `-m`
    pub prune_empty_dirs: bool,
    /// `--existing`
    pub existing: bool,
    /// `--ignore-existing`
    pub ignore_existing: bool,
    /// `-u`
    pub update: bool,
    /// `--size-only`
    pub size_only: bool,
    /// `-I`
    pub ignore_times: bool,
    /// `-c`
    pub checksum: bool,
    /// `--modify-window`, seconds; negative: compare nanoseconds
    pub modify_window: i32,
    /// `--max-size`, bytes
    pub max_size: Option<u64>,
    /// `--min-size`, bytes
    pub min_size: Option<u64>,
    /// `--ignore-missing-args`
    pub ignore_missing_args: bool,
    /// `-C`
    pub cvs_exclude: bool,
    /// `--files-from` of any kind is in use
    pub files_from: FilesFrom,
    /// `--copy-devices`
    pub copy_devices: bool,
    /// `--write-devices`
    pub write_devices: bool,
    /// `--mkpath`
    pub mkpath: bool,
    /// `--drop-D`
    pub drop_devices: bool,
}

/// Where the list of names of `--files-from` is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FilesFrom {
    /// Not used.
    #[default]
    None,
    /// The sender has it (a file on its own machine).
    Local,
    /// The names come over the wire from the receiving side.
    Wire,
    /// The list is on this receiving side and must be sent to the sender.
    Send,
}

/// Time at which extraneous files are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum DeleteWhen {
    /// `--delete` alone: before for protocol < 30, during otherwise.
    Default,
    /// `--delete-before`
    Before,
    /// `--delete-during`, `--del`
    During,
    /// `--delete-delay`
    Delay,
    /// `--delete-after`
    After,
}

/// Deletion. By default there is none: see [defaults](self#defaults).
#[derive(Debug, Clone, Default)]
pub struct Delete {
    /// `--delete*`; `None`: nothing is deleted.
    pub when: Option<DeleteWhen>,
    /// `--delete-excluded`
    pub excluded: bool,
    /// `--delete-missing-args`
    pub missing_args: bool,
    /// `--force`
    pub force: bool,
    /// `--ignore-errors`
    pub ignore_errors: bool,
    /// `--max-delete`; negative values are stored as 0.
    pub max_delete: Option<u32>,
}

/// Files that are removed at the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RemoveSource {
    /// `--remove-sent-files`: those that were sent, and symlinks that were made.
    Sent,
    /// `--remove-source-files`: all that are at the destination.
    All,
}

/// Alternate basis directories (`--compare-dest` and relatives), all of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum AltDestKind {
    /// `--compare-dest`
    Compare,
    /// `--copy-dest`
    Copy,
    /// `--link-dest`
    Link,
}

/// `--append` and relatives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Append {
    /// Off.
    #[default]
    Off,
    /// `--append`: the old part is trusted.
    Trust,
    /// `--append-verify`: the old part is part of the file checksum.
    Verify,
}

impl Append {
    /// What it means in this version: below 30 there is no `--append` without verification.
    pub const fn under(self, protocol: ProtocolVersion) -> Self {
        match self {
            Self::Trust if !protocol.has_varints() => Self::Verify,
            mode => mode,
        }
    }
}

/// Data transfer. By default uncompressed, with deltas where they save a remote transfer something, into a temporary file: see
/// [defaults](self#defaults).
#[derive(Debug, Clone, Default)]
pub struct Transfer {
    /// `-W` (`Some(true)`), `--no-whole-file` (`Some(false)`), or by the kind of transfer.
    pub whole_file: Option<bool>,
    /// `--inplace`
    pub inplace: bool,
    /// `--append`, `--append-verify`
    pub append: Append,
    /// `-S`
    pub sparse: bool,
    /// `--preallocate`
    pub preallocate: bool,
    /// `--fsync`
    pub fsync: bool,
    /// `-B`; 0: automatic
    pub block_size: u32,
    /// `--partial`
    pub partial: bool,
    /// `--partial-dir`, as given (normalised)
    pub partial_dir: Option<Vec<u8>>,
    /// `--temp-dir`
    pub temp_dir: Option<Vec<u8>>,
    /// `--delay-updates`
    pub delay_updates: bool,
    /// `-b`
    pub backup: bool,
    /// `--backup-dir`
    pub backup_dir: Option<Vec<u8>>,
    /// `--suffix`, resolved (`~`, or empty with a backup dir)
    pub suffix: Vec<u8>,
    /// `-y`, counted
    pub fuzzy: u8,
    /// Kind of the alternate directories: `--compare-dest`, `--copy-dest`, `--link-dest`.
    pub alt_dest_kind: Option<AltDestKind>,
    /// The alternate directories, in order.
    pub alt_dests: Vec<Vec<u8>>,
    /// `--remove-source-files` or `--remove-sent-files`
    pub remove_source: Option<RemoveSource>,
    /// `-z` and relatives
    pub compress: Compress,
    /// `--compress-level`
    pub compress_level: Option<i32>,
    /// Compressors that can store do: a daemon's `dont compress = *`. The peer decodes as usual.
    pub stored: bool,
    /// `--checksum-choice`: transfer and file-list algorithm; `None` in a half: automatic.
    pub checksum_choice: Option<(Option<ChecksumKind>, Option<ChecksumKind>)>,
    /// `RSYNC_CHECKSUM_LIST`, this side's part: replaces the offered list.
    pub checksum_list: Option<Box<[String]>>,
    /// `RSYNC_COMPRESS_LIST`, this side's part.
    pub compress_list: Option<Box<[String]>>,
}

/// Reporting that is visible on the wire. By default nothing is reported: see [defaults](self#defaults).
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// An itemized or named output is wanted (a `--log-format` was sent or an output format is in use).
    pub items: bool,
    /// The format holds `%i`.
    pub itemize: bool,
    /// Unchanged items are wanted too (`-ii`, `%I`, or `--info=name2`).
    pub unchanged: bool,
    /// The format holds `%o` (deletions are shown through it).
    pub operation: bool,
    /// A format holds `%B`: permissions are shown, those of what is deleted too.
    pub permissions: bool,
    /// A format holds `%b`, `%c` or `%C`: items are reported after their transfer.
    pub after_transfer: bool,
    /// A format holds `%C`: the checksum is wanted even where nothing is sent.
    pub checksums: bool,
    /// Names are shown: `--info=name1`.
    pub names: bool,
    /// This side keeps a log of its items, also as a server (`--log-file`).
    pub logs: bool,
    /// Progress of single files is wanted.
    pub progress: bool,
    /// `--stats` or `-v`: statistics wanted at the end.
    pub stats: bool,
    /// The search for what is the same is shown: `--debug=deltasum`.
    pub deltas: bool,
}

impl Report {
    /// Somebody hears how much of a file was found in its basis. Where nobody does, a file that is made anew on the same machine
    /// is copied as it is: to compare it with its predecessor would change nothing but the numbers.
    pub const fn tells_of_deltas(&self) -> bool {
        self.stats || self.deltas || self.logs || self.after_transfer
    }
}

impl Select {
    /// A symlink at the destination may stay where the source has a directory, and stand for it: kept, protected as
    /// something that exists, or of no interest as a directory that was only implied.
    pub const fn keeps_links_in_paths(&self) -> bool {
        self.keep_dirlinks || self.ignore_existing || (self.relative && !self.implied_dirs)
    }
}

impl SessionOptions {
    /// True if any deletion pass over the destination is on.
    pub fn deleting(&self) -> bool {
        self.delete.when.is_some()
    }

    /// A directory is deleted with what is in it, where something else is to have its place or its source is missing.
    pub fn may_empty_dirs(&self) -> bool {
        self.delete.force || self.deleting()
    }

    /// True if the other side hears how much was deleted, and a user of it. Missing arguments alone
    /// (`--delete-missing-args`) are not counted.
    pub fn counts_deletions(&self) -> bool {
        self.deleting() || self.delete.force || self.read_batch
    }

    /// True if this side must not offer incremental recursion (spec: capability letter `i`).
    pub fn forbids_inc_recursion(&self, receiving_side: bool) -> bool {
        !self.select.recursive
            || self.no_inc_recursive
            || (receiving_side
                && (matches!(self.delete.when, Some(DeleteWhen::Before | DeleteWhen::After))
                    || self.transfer.delay_updates
                    || self.select.prune_empty_dirs))
    }

    /// The highest version offered: that of `--protocol`, or of those that are spoken the nearest to it.
    pub fn max_protocol(&self) -> ProtocolVersion {
        self.protocol.map_or(ProtocolVersion::MAX, ProtocolVersion::nearest)
    }

    /// What this side brings to the handshake of a session with these options. `capabilities` are those that the
    /// client has named ([`Handshake::capabilities`]); `receiving_side`: this side will receive.
    ///
    /// Without [`checksum_seed`](Self::checksum_seed) a server announces 1: who has random numbers sets
    /// [`Handshake::seed`] to one.
    pub fn handshake(&self, side: Side, capabilities: Capabilities, receiving_side: bool) -> Handshake {
        let transfer = &self.transfer;
        let mut handshake = Handshake::new(side, self.max_protocol(), capabilities);
        handshake.allow_inc_recurse = !self.forbids_inc_recursion(receiving_side);
        if self.checksum_seed != 0 {
            handshake.seed = self.checksum_seed;
        }
        handshake.checksum = transfer.checksum_choice;
        handshake.compress = transfer.compress;
        if let Some(names) = &transfer.checksum_list {
            let known = names.iter().filter_map(|name| ChecksumKind::from_name(name.as_bytes()));
            handshake.checksum_names = negotiate::join(known.map(ChecksumKind::name));
            handshake.own_order = true;
        }
        if let Some(names) = &transfer.compress_list {
            let known = names.iter().filter_map(|name| CompressKind::from_name(name.as_bytes()));
            handshake.compress_names = negotiate::join(known.map(CompressKind::name));
            handshake.own_order = true;
        }
        handshake
    }

    /// True if nothing is asked of the sender but what it would send: a dry run that records nothing.
    pub const fn asks_for_nothing(&self) -> bool {
        self.dry_run && !self.batch_only
    }

    /// True if a pushing client sends its filter list: the receiver deletes or prunes with it.
    pub fn push_sends_filters(&self, protocol: ProtocolVersion) -> bool {
        self.select.prune_empty_dirs
            || (self.deleting() && (!self.delete.excluded || protocol.has_filter_modifiers()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handshake_says_what_the_options_say() {
        let facts = |o: &SessionOptions, receiving| {
            let h = o.handshake(Side::Server, Capabilities::all(), receiving);
            (h.max_protocol.number(), h.seed, h.compress, h.allow_inc_recurse)
        };
        let mut o = SessionOptions::default();
        assert_eq!(facts(&o, false), (32, 1, Compress::Off, false));
        (o.protocol, o.checksum_seed, o.transfer.compress) = (Some(29), 7, Compress::Negotiate);
        (o.select.recursive, o.delete.when) = (true, Some(DeleteWhen::After));
        assert_eq!(facts(&o, false), (29, 7, Compress::Negotiate, true));
        assert_eq!(facts(&o, true), (29, 7, Compress::Negotiate, false));
        o.protocol = Some(26);
        assert_eq!(facts(&o, true), (27, 7, Compress::Negotiate, false));

        o.transfer.checksum_choice = Some((None, Some(ChecksumKind::Md4)));
        o.transfer.checksum_list = Some(["md5".into(), "other".into(), "XXHASH".into()].into());
        let h = o.handshake(Side::Client, Capabilities::empty(), true);
        assert_eq!((&*h.checksum_names, h.own_order), (&b"md5 xxh64"[..], true));
        assert_eq!(h.checksum, Some((None, Some(ChecksumKind::Md4))));
    }

    /// Every field by name: one that is added has to say its default here too.
    #[test]
    fn nothing_is_on_by_default() {
        let Preserve {
            links: false,
            perms: false,
            executability: false,
            acls: false,
            xattrs: 0,
            times: false,
            atimes: 0,
            crtimes: false,
            omit_dir_times: false,
            omit_link_times: false,
            owner: false,
            group: false,
            devices: false,
            specials: false,
            hard_links: 0,
            numeric_ids: false,
            nameless_ids: false,
            super_user: None,
            fake_super: false,
            chmod: None,
            usermap: None,
            groupmap: None,
            open_noatime: false,
        } = Preserve::default()
        else {
            panic!("Preserve")
        };
        let Select {
            confine_root: None,
            confine_all: false,
            insecure_links: false,
            ignore_nonreadable: false,
            recursive: false,
            dirs: false,
            relative: false,
            implied_dirs: false,
            one_file_system: 0,
            copy_links: false,
            copy_unsafe_links: false,
            copy_dirlinks: false,
            safe_links: false,
            munge_links: false,
            sanitize_links: false,
            keep_dirlinks: false,
            prune_empty_dirs: false,
            existing: false,
            ignore_existing: false,
            update: false,
            size_only: false,
            ignore_times: false,
            checksum: false,
            modify_window: 0,
            max_size: None,
            min_size: None,
            ignore_missing_args: false,
            cvs_exclude: false,
            files_from: FilesFrom::None,
            copy_devices: false,
            write_devices: false,
            mkpath: false,
            drop_devices: false,
        } = Select::default()
        else {
            panic!("Select")
        };
        let Delete {
            when: None,
            excluded: false,
            missing_args: false,
            force: false,
            ignore_errors: false,
            max_delete: None,
        } = Delete::default()
        else {
            panic!("Delete")
        };
        let Transfer {
            whole_file: None,
            inplace: false,
            append: Append::Off,
            sparse: false,
            preallocate: false,
            fsync: false,
            block_size: 0,
            partial: false,
            partial_dir: None,
            temp_dir: None,
            delay_updates: false,
            backup: false,
            backup_dir: None,
            suffix,
            fuzzy: 0,
            alt_dest_kind: None,
            alt_dests,
            remove_source: None,
            compress: Compress::Off,
            compress_level: None,
            stored: false,
            checksum_choice: None,
            checksum_list: None,
            compress_list: None,
        } = Transfer::default()
        else {
            panic!("Transfer")
        };
        assert!(suffix.is_empty());
        assert!(alt_dests.is_empty());
        let Report {
            items: false,
            itemize: false,
            unchanged: false,
            operation: false,
            permissions: false,
            after_transfer: false,
            checksums: false,
            names: false,
            logs: false,
            progress: false,
            stats: false,
            deltas: false,
        } = Report::default()
        else {
            panic!("Report")
        };
        let SessionOptions {
            protocol: None,
            checksum_seed: 0,
            preserve: _,
            select: _,
            delete: _,
            transfer: _,
            report: _,
            no_inc_recursive: false,
            dry_run: false,
            list_only: false,
            timeout: 0,
            max_alloc: 0,
            trust_sender: false,
            read_batch: false,
            batch_only: false,
        } = SessionOptions::default()
        else {
            panic!("SessionOptions")
        };
    }
}
