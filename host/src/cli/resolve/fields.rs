//! The options of core, field by field, from what was typed.

use arsync_core::{
    chmod::Chmod,
    options::{Delete, DeleteWhen, FilesFrom, Preserve, Report, Select, Transfer},
};

use super::{
    Algorithms, Walk,
    kept::{Backups, Partials, without_slash},
};
use crate::{
    cli::{
        asked::{Cli, During, Super},
        words::{Debug, Info, Levels},
    },
    output::format,
};

/// An option that may be repeated, as core counts it.
fn level(times: u32) -> u8 {
    u8::try_from(times.min(2)).unwrap_or(2)
}

pub(super) fn preserve(cli: &Cli, backup: &Backups) -> Preserve {
    Preserve {
        links: cli.links,
        perms: cli.perms,
        executability: cli.executability,
        acls: cli.acls,
        xattrs: level(cli.xattrs),
        times: cli.times,
        atimes: level(cli.atimes),
        crtimes: false,
        omit_dir_times: cli.omit_dir_times || (backup.on && backup.dir.is_none()),
        omit_link_times: cli.omit_link_times,
        owner: cli.owner,
        group: cli.group,
        devices: cli.devices,
        specials: cli.specials,
        hard_links: level(cli.hard_links),
        numeric_ids: cli.numeric_ids,
        nameless_ids: false,
        super_user: match cli.super_user {
            Super::On => Some(true),
            Super::Off => Some(false),
            Super::Auto | Super::Fake => None,
        },
        fake_super: cli.super_user == Super::Fake,
        chmod: cli.chmod.as_deref().and_then(|list| Chmod::parse(list).ok()),
        usermap: cli.usermap.as_ref().map(|(list, _)| list.clone()),
        groupmap: cli.groupmap.as_ref().map(|(list, _)| list.clone()),
        open_noatime: cli.open_noatime || cli.atimes > 1,
    }
}

pub(super) fn select(cli: &Cli, walk: &Walk, files_from: FilesFrom) -> Select {
    let relative = cli.relative.unwrap_or(cli.files_from.is_some());
    Select {
        confine_root: cli.confine_root.clone(),
        confine_all: false,
        insecure_links: cli.insecure_links,
        ignore_nonreadable: false,
        recursive: walk.recursive,
        dirs: walk.dirs,
        relative,
        implied_dirs: relative && !cli.no_implied_dirs,
        one_file_system: level(cli.one_file_system),
        copy_links: cli.copy_links,
        copy_unsafe_links: cli.copy_unsafe_links,
        copy_dirlinks: cli.copy_dirlinks,
        safe_links: cli.safe_links,
        munge_links: cli.munge_links,
        sanitize_links: false,
        keep_dirlinks: cli.keep_dirlinks,
        prune_empty_dirs: cli.prune_empty_dirs,
        existing: cli.existing,
        ignore_existing: cli.ignore_existing,
        update: cli.update,
        size_only: cli.size_only,
        ignore_times: cli.ignore_times,
        checksum: cli.checksum,
        modify_window: cli.modify_window.unwrap_or(0),
        max_size: cli.max_size,
        min_size: cli.min_size,
        ignore_missing_args: cli.ignore_missing_args && !cli.delete_missing_args,
        cvs_exclude: cli.cvs_exclude,
        files_from,
        copy_devices: cli.copy_devices,
        write_devices: cli.write_devices,
        mkpath: cli.mkpath,
        drop_devices: cli.drop_devices,
    }
}

pub(super) fn delete(cli: &Cli, walk: &Walk) -> Delete {
    Delete {
        when: match (cli.delete_before, cli.delete_during, cli.delete_after) {
            (true, ..) => Some(DeleteWhen::Before),
            (_, Some(During::During), _) => Some(DeleteWhen::During),
            (_, Some(During::Delay), _) => Some(DeleteWhen::Delay),
            (.., true) => Some(DeleteWhen::After),
            _ => walk.deleting.then_some(DeleteWhen::Default),
        },
        excluded: cli.delete_excluded,
        missing_args: cli.delete_missing_args,
        force: cli.force,
        ignore_errors: cli.ignore_errors,
        max_delete: cli.max_delete.map(|n| u32::try_from(n).unwrap_or(0)),
    }
}

pub(super) fn transfer(cli: &Cli, backup: Backups, partial: Partials, algorithms: Algorithms) -> Transfer {
    let (alt_dest_kind, alt_dests) = match &cli.alt_dest {
        Some((kind, dirs)) => (Some(*kind), dirs.iter().map(|dir| without_slash(dir).to_vec()).collect()),
        None => (None, Vec::new()),
    };
    Transfer {
        whole_file: cli.whole_file,
        inplace: cli.writes_in_place(),
        append: cli.append,
        sparse: cli.sparse,
        preallocate: cli.preallocate,
        fsync: cli.fsync,
        block_size: cli.block_size,
        partial: partial.kept,
        partial_dir: partial.dir,
        temp_dir: cli.temp_dir.clone(),
        delay_updates: cli.delay_updates,
        backup: backup.on,
        backup_dir: backup.dir,
        suffix: backup.suffix,
        fuzzy: level(cli.fuzzy),
        alt_dest_kind,
        alt_dests,
        remove_source: cli.remove_source,
        compress: algorithms.compress,
        compress_level: cli.compress_level,
        stored: false,
        checksum_choice: algorithms.checksum,
        checksum_list: algorithms.checksum_list,
        compress_list: algorithms.compress_list,
    }
}

/// What is told of items, by the formats of lines and of the log.
pub(super) fn report(cli: &Cli, levels: &Levels, format: Option<&[u8]>, log_format: Option<&[u8]>) -> Report {
    let names = levels.info(Info::Name);
    let has = |letters: &[u8]| format.is_some_and(|format| format::uses(format, letters));
    let logged =
        |letters: &[u8]| has(letters) || log_format.is_some_and(|format| format::uses(format, letters));
    let itemize = has(b"i");
    Report {
        items: format.is_some(),
        itemize,
        unchanged: names >= 2 || (itemize && (cli.itemize > 1 || (cli.server && has(b"I")))),
        operation: has(b"o"),
        permissions: logged(b"B"),
        after_transfer: logged(b"bcC"),
        checksums: logged(b"C"),
        logs: log_format.is_some(),
        names: names > 0,
        progress: !cli.server && levels.info(Info::Progress) > 0,
        stats: levels.info(Info::Stats) > 0,
        deltas: levels.debug(Debug::Deltasum) > 0,
    }
}
