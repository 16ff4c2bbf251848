//! What a run leaves beside its result: batch files, backups, partial files.

use arsync_core::options::{Append, RemoveSource};

use super::refused;
use crate::cli::{asked::Cli, failure::Stop, parse::World};

/// Longest name of a batch file, bytes.
const MAX_BATCH_NAME: usize = 256;
/// Directory of `--delay-updates` where none is given.
const DELAY_DIR: &[u8] = b".~tmp~";

/// Names of batch files.
pub(super) struct BatchFiles {
    pub(super) write: Option<Vec<u8>>,
    pub(super) only_write: Option<Vec<u8>>,
    pub(super) read: Option<Vec<u8>>,
}

/// The batch files of a run, and what a server says about those that it ignores.
pub(super) fn batch_files(cli: &Cli) -> Result<(BatchFiles, Vec<&'static str>), Stop> {
    let mut warnings = Vec::new();
    let mut files = BatchFiles {
        write: cli.write_batch.clone(),
        only_write: cli.only_write_batch.clone(),
        read: cli.read_batch.clone(),
    };
    if cli.server {
        if files.write.take().is_some() {
            warnings.push("ignoring --write-batch option sent to server");
        }
        if files.read.take().is_some() {
            warnings.push("ignoring --read-batch option sent to server");
        }
    }
    if files.read.is_some() {
        let conflict = if files.write.is_some() || files.only_write.is_some() {
            Some("--write-batch and --read-batch can not be used together")
        } else if cli.files_from.is_some() {
            Some("--read-batch cannot be used with --files-from")
        } else {
            match cli.remove_source {
                Some(RemoveSource::All) => Some("--read-batch cannot be used with --remove-source-files"),
                Some(RemoveSource::Sent) => Some("--read-batch cannot be used with --remove-sent-files"),
                None => None,
            }
        };
        if let Some(text) = conflict {
            return Err(refused(cli, text));
        }
    }
    let name = files.write.as_ref().or(files.only_write.as_ref()).or(files.read.as_ref());
    if name.is_some_and(|name| name.len() > MAX_BATCH_NAME) {
        return Err(refused(cli, "the batch-file name must be 256 characters or less."));
    }
    if cli.dry_run {
        (files.write, files.only_write) = (None, None);
    }
    Ok((files, warnings))
}

/// A directory without one slash at its end.
pub(super) fn without_slash(dir: &[u8]) -> &[u8] {
    dir.strip_suffix(b"/").filter(|rest| !rest.is_empty()).unwrap_or(dir)
}

/// Backups of what is replaced or deleted.
pub(super) struct Backups {
    pub(super) on: bool,
    /// Where they go; `None`: beside what they stand for.
    pub(super) dir: Option<Vec<u8>>,
    pub(super) suffix: Vec<u8>,
}

pub(super) fn backups(cli: &Cli) -> Result<Backups, Stop> {
    let dir = cli.backup_dir.as_deref().map(|dir| without_dot_slashes(without_slash(dir)));
    let dir = dir.filter(|dir| !is_here(dir));
    let suffix = match &cli.suffix {
        Some(suffix) => suffix.clone(),
        None if cli.backup_dir.is_some() => Vec::new(),
        None => b"~".to_vec(),
    };
    if suffix.contains(&b'/') {
        return Err(refused(cli, [b"--suffix cannot contain slashes: ", &suffix[..]].concat()));
    }
    if suffix.is_empty() && dir.is_none() {
        return Err(refused(
            cli,
            match cli.backup_dir {
                Some(_) => "--suffix cannot be empty when --backup-dir is the same as the dest dir",
                None => "--suffix cannot be empty without a --backup-dir",
            },
        ));
    }
    Ok(Backups { on: cli.backup || cli.backup_dir.is_some(), dir, suffix })
}

/// What becomes of files that did not come as a whole.
pub(super) struct Partials {
    pub(super) kept: bool,
    /// Where they wait; `None`: under their names.
    pub(super) dir: Option<Vec<u8>>,
}

pub(super) fn partials(cli: &Cli, world: &World<'_>) -> Result<Partials, Stop> {
    let mut dir = cli.partial_dir.as_deref().map(clean).filter(|dir| !is_here(dir));
    if cli.writes_in_place() {
        if cli.append != Append::Off && cli.whole_file == Some(true) {
            return Err(refused(cli, "--append cannot be used with --whole-file"));
        }
        let name = if cli.append == Append::Off { "--inplace" } else { "--append" };
        for (given, other) in
            [(cli.delay_updates, "--delay-updates"), (cli.partial_dir.is_some(), "--partial-dir")]
        {
            if given {
                return Err(refused(cli, format!("{name} cannot be used with {other}")));
            }
        }
        return Ok(Partials { kept: false, dir });
    }
    if cli.partial && cli.partial_dir.is_none() && !cli.delay_updates && !cli.server {
        dir = world.var("RSYNC_PARTIAL_DIR").as_deref().map(clean).filter(|dir| !is_here(dir));
    }
    if cli.delay_updates && dir.is_none() {
        dir = Some(DELAY_DIR.to_vec());
    }
    Ok(Partials { kept: cli.partial || cli.partial_dir.is_some() || dir.is_some(), dir })
}

fn is_here(dir: &[u8]) -> bool {
    dir.is_empty() || dir == b"."
}

/// Drops leading `./` pairs.
pub(in crate::cli) fn without_dot_slashes(dir: &[u8]) -> Vec<u8> {
    let mut dir = dir;
    while let Some(rest) = dir.strip_prefix(b"./") {
        dir = rest;
    }
    dir.to_vec()
}

/// A path without doubled slashes and `.`, with `..` taken off where that can be known from the text.
fn clean(path: &[u8]) -> Vec<u8> {
    let absolute = path.first() == Some(&b'/');
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => match parts.last() {
                Some(&last) if last != b".." => {
                    parts.pop();
                }
                None if absolute => {}
                _ => parts.push(part),
            },
            _ => parts.push(part),
        }
    }
    let mut out = if absolute { b"/".to_vec() } else { Vec::new() };
    out.extend(parts.join(&b'/'));
    out
}
