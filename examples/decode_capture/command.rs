//! What a server's command line says about the wire.

use arsync_core::{
    checksum::ChecksumKind,
    options::{Append, DeleteWhen, FilesFrom, RemoveSource, SessionOptions},
    setup::{Capabilities, Compress},
    token::CompressKind,
};

/// The options that decide what travels.
pub struct Command {
    pub options: SessionOptions,
    pub capabilities: Capabilities,
    pub compress: Compress,
    pub only_write_batch: bool,
    pub pull: bool,
    /// Names are converted: indexes count places in the order of transmission.
    pub iconv: bool,
}

impl Command {
    pub fn of(words: &[String]) -> Self {
        let mut c = Self {
            options: SessionOptions::default(),
            capabilities: Capabilities::empty(),
            compress: Compress::Off,
            only_write_batch: false,
            pull: words.iter().any(|w| w == "--sender"),
            iconv: false,
        };
        let mut words = words.iter().skip(1).take_while(|w| *w != ".");
        while let Some(word) = words.next() {
            match word.strip_prefix("--") {
                Some(long) => {
                    let (name, value) = long.split_once('=').unwrap_or((long, ""));
                    c.long(name, value, &mut words);
                }
                None => c.letters(word.trim_start_matches('-')),
            }
        }
        c
    }

    pub fn letters(&mut self, word: &str) {
        let o = &mut self.options;
        for (i, letter) in word.char_indices() {
            match letter {
                'e' => {
                    self.capabilities = Capabilities::parse(&word.as_bytes()[i + 1..]);
                    return;
                }
                'B' => return,
                'n' => o.dry_run = true,
                'l' => o.preserve.links = true,
                'm' => o.select.prune_empty_dirs = true,
                'H' => o.preserve.hard_links += 1,
                'o' => o.preserve.owner = true,
                'g' => o.preserve.group = true,
                'D' => (o.preserve.devices, o.preserve.specials) = (true, true),
                'U' => o.preserve.atimes += 1,
                'A' => o.preserve.acls = true,
                'X' => o.preserve.xattrs += 1,
                'r' => o.select.recursive = true,
                'c' => o.select.checksum = true,
                'R' => o.select.relative = true,
                'z' if self.compress == Compress::Off => self.compress = Compress::Negotiate,
                _ => {}
            }
        }
    }

    pub fn long<'a>(&mut self, name: &str, value: &str, more: &mut impl Iterator<Item = &'a String>) {
        let o = &mut self.options;
        let explicit = |kind| Compress::Explicit(kind);
        match name {
            "specials" => o.preserve.specials = true,
            "no-specials" => o.preserve.specials = false,
            "numeric-ids" => o.preserve.numeric_ids = true,
            "iconv" => self.iconv = true,
            "list-only" => o.list_only = true,
            "append" => o.transfer.append = Append::Trust,
            "remove-source-files" => o.transfer.remove_source = Some(RemoveSource::All),
            "remove-sent-files" => o.transfer.remove_source = Some(RemoveSource::Sent),
            "delete-excluded" => (o.delete.when, o.delete.excluded) = (Some(DeleteWhen::Default), true),
            "delete-missing-args" => o.delete.missing_args = true,
            "only-write-batch" => self.only_write_batch = true,
            "new-compress" => self.compress = explicit(CompressKind::Zlibx),
            "old-compress" => self.compress = explicit(CompressKind::Zlib),
            "compress-choice" => {
                self.compress = CompressKind::from_name(value.as_bytes()).map_or(Compress::Off, explicit);
            }
            "checksum-choice" => {
                let (transfer, list) = value.split_once(',').unwrap_or((value, value));
                let kind = |name: &str| ChecksumKind::from_name(name.as_bytes());
                o.transfer.checksum_choice = Some((kind(transfer), kind(list)));
            }
            "files-from" => {
                let file = if value.is_empty() { more.next().map_or("", String::as_str) } else { value };
                o.select.relative = true;
                o.select.files_from = match (self.pull, file) {
                    (true, "-") => FilesFrom::Wire,
                    (true, _) => FilesFrom::Local,
                    (false, _) => FilesFrom::Send,
                };
            }
            "partial-dir" | "backup-dir" | "temp-dir" | "compare-dest" | "copy-dest" | "link-dest"
                if value.is_empty() =>
            {
                more.next();
            }
            _ if name == "delete" || name.starts_with("delete-") => {
                o.delete.when = Some(DeleteWhen::Default);
            }
            _ => {}
        }
    }
}

/// Words that end in NUL each, up to an empty one (`--secluded-args`), and where they end.
pub fn secluded_words(c2s: &[u8]) -> Option<(usize, Vec<String>)> {
    let (mut words, mut at) = (Vec::new(), 0);
    loop {
        let rest = c2s.get(at..)?;
        let len = rest.iter().position(|&b| b == 0)?;
        at += len + 1;
        if len == 0 {
            return Some((at, words));
        }
        words.push(String::from_utf8_lossy(&rest[..len]).into_owned());
    }
}
