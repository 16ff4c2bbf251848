//! What a recorded server argument vector says about the wire.

use std::rc::Rc;

use arsync_core::{
    charset::{Conversion, TestCharset},
    checksum::ChecksumKind,
    options::{Append, DeleteWhen, FilesFrom, RemoveSource, SessionOptions},
    setup::{Capabilities, Compress},
    token::CompressKind,
};

use crate::corpus::{Case, strings};

/// Options of both ends, as far as they decide what travels.
pub struct Command {
    pub options: SessionOptions,
    pub capabilities: Capabilities,
    pub compress: Compress,
    pub secluded: bool,
    /// Charsets of the sending and of the receiving side, where names are converted.
    pub names: Option<[Conversion; 2]>,
    /// The receiving side changes nothing although the sender sends all.
    pub only_write_batch: bool,
}

/// The charsets of `--iconv=LOCAL,REMOTE`: that of the sending side, then that of the receiving one.
fn charsets(case: &Case) -> Option<[TestCharset; 2]> {
    let words = case.words("client_argv");
    let spec = words.iter().find_map(|word| word.strip_prefix("--iconv="))?;
    let (local, remote) = spec.split_once(',').unwrap_or((spec, spec));
    let [client, server] = [local, remote].map(|name| match name {
        "UTF-8" => TestCharset::Utf8,
        "ISO-8859-1" => TestCharset::Latin1,
        other => panic!("charset {other}"),
    });
    Some(if case.is_pull() { [server, client] } else { [client, server] })
}

impl Command {
    pub fn of(case: &Case) -> Self {
        let mut words: Vec<String> = case.words("server_argv");
        if case.is_daemon() {
            // Daemons are sent no name of a program. Below protocol 30 the first list goes on where it should end.
            words = vec![String::new()];
            let args = strings(case.handshake("daemon_args"));
            words.extend(args.into_iter().take_while(|word| word != "." && word != "(null)"));
            words.extend(strings(case.handshake("daemon_args_secluded")).into_iter().skip(1));
        }
        words.extend(strings(case.handshake("stdin_args")).into_iter().skip(1));
        // Below protocol 30 nobody says that it can convert the targets of symlinks.
        let links = case.json["protocol"].as_u64() >= Some(30);
        let mut c = Self {
            options: SessionOptions::default(),
            capabilities: Capabilities::empty(),
            compress: Compress::Off,
            secluded: false,
            names: charsets(case).map(|names| names.map(|c| Conversion::new(Rc::new(c), links, false))),
            only_write_batch: false,
        };
        c.options.select.implied_dirs = true;
        let mut words = words.iter().skip(1).take_while(|w| *w != ".");
        while let Some(word) = words.next() {
            match word.strip_prefix("--") {
                Some(long) => c.long(long, &mut words, case),
                None => c.letters(word.trim_start_matches('-')),
            }
        }
        c.secluded &= !case.is_daemon();
        // Below protocol 30 the old part is always verified.
        if c.options.transfer.append != Append::Off && case.json["protocol"].as_u64() < Some(30) {
            c.options.transfer.append = Append::Verify;
        }
        c
    }

    fn letters(&mut self, word: &str) {
        let o = &mut self.options;
        for (i, letter) in word.char_indices() {
            match letter {
                'B' => o.transfer.block_size = word[i + 1..].parse().expect("block size"),
                'e' => self.capabilities = Capabilities::parse(&word.as_bytes()[i + 1..]),
                's' => self.secluded = true,
                'n' => o.dry_run = true,
                'l' => o.preserve.links = true,
                'd' => o.select.dirs = true,
                'm' => o.select.prune_empty_dirs = true,
                'y' => o.transfer.fuzzy += 1,
                'L' => o.select.copy_links = true,
                'W' => o.transfer.whole_file = Some(true),
                'H' => o.preserve.hard_links += 1,
                'o' => o.preserve.owner = true,
                'g' => o.preserve.group = true,
                'D' => (o.preserve.devices, o.preserve.specials) = (true, true),
                't' => o.preserve.times = true,
                'U' => o.preserve.atimes += 1,
                'p' => o.preserve.perms = true,
                'A' => o.preserve.acls = true,
                'X' => o.preserve.xattrs += 1,
                'r' => o.select.recursive = true,
                'c' => o.select.checksum = true,
                'R' => o.select.relative = true,
                'z' if self.compress == Compress::Off => self.compress = Compress::Negotiate,
                'b' => o.transfer.backup = true,
                'z' | 'v' | 'u' | 'O' | 'J' | 'K' | 'k' | 'C' | 'I' | 'S' | 'x' | 'E' | 'q' => {}
                other => panic!("letter {other} in {word}"),
            }
            if matches!(letter, 'B' | 'e') {
                return;
            }
        }
    }

    fn long<'a>(&mut self, word: &str, more: &mut impl Iterator<Item = &'a String>, case: &Case) {
        let o = &mut self.options;
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "server" | "sender" | "checksum-seed" | "protocol" | "log-format" | "stats" | "suffix"
            | "no-implied-dirs" | "iconv" | "max-delete" | "skip-compress" | "force" | "safe-links"
            | "size-only" | "existing" | "min-size" | "max-size" | "usermap" | "groupmap"
            | "open-noatime" | "from0" | "fake-super" | "no-r" | "ignore-existing" | "copy-unsafe-links"
            | "munge-links" => {}
            "specials" => o.preserve.specials = true,
            "no-specials" => o.preserve.specials = false,
            "numeric-ids" => o.preserve.numeric_ids = true,
            "list-only" => o.list_only = true,
            "inplace" => o.transfer.inplace = true,
            "append" => {
                o.transfer.append =
                    if o.transfer.append == Append::Off { Append::Trust } else { Append::Verify };
            }
            "partial-dir" => o.transfer.partial_dir = more.next().map(|s| s.clone().into_bytes()),
            "backup-dir" | "temp-dir" => drop(more.next()),
            "compare-dest" | "copy-dest" | "link-dest" => {
                o.transfer.alt_dests.extend(more.next().map(|s| s.clone().into_bytes()));
            }
            "delay-updates" => o.transfer.delay_updates = true,
            "remove-source-files" => o.transfer.remove_source = Some(RemoveSource::All),
            "remove-sent-files" => o.transfer.remove_source = Some(RemoveSource::Sent),
            "delete" | "delete-before" | "delete-during" | "delete-delay" | "delete-after" => {
                o.delete.when = Some(DeleteWhen::Default);
            }
            "delete-excluded" => (o.delete.when, o.delete.excluded) = (Some(DeleteWhen::Default), true),
            "delete-missing-args" => o.delete.missing_args = true,
            "only-write-batch" => self.only_write_batch = true,
            "compress-level" => o.transfer.compress_level = value.parse().ok(),
            "new-compress" => self.compress = Compress::Explicit(CompressKind::Zlibx),
            "old-compress" => self.compress = Compress::Explicit(CompressKind::Zlib),
            "compress-choice" => {
                let kind = CompressKind::from_name(value.as_bytes()).expect("compress choice");
                self.compress = Compress::Explicit(kind);
            }
            "checksum-choice" => {
                let (transfer, list) = value.split_once(',').unwrap_or((value, value));
                let kind = |name: &str| ChecksumKind::from_name(name.as_bytes());
                o.transfer.checksum_choice = Some((kind(transfer), kind(list)));
            }
            "files-from" => {
                let file = if value.is_empty() { more.next().map_or("", String::as_str) } else { value };
                o.select.relative = true;
                o.select.files_from = match (case.is_pull(), file) {
                    (true, "-") => FilesFrom::Wire,
                    (true, _) => FilesFrom::Local,
                    (false, _) => FilesFrom::Send,
                };
            }
            other => panic!("option --{other} in {}", case.name),
        }
    }
}
