//! The line about a file list that is made or received, and the counts in it.

use core::ops::Range;

use arsync_core::{error::Role, mux::MsgTag, ports::Notice};

use super::Console;
use crate::{cli::words::Info, output::number};

impl Console {
    pub(super) fn list_line(&self, from: Role, notice: &Notice<'_>) {
        match notice {
            Notice::ListStart => self.list_since.set(self.elapsed()),
            Notice::ListDone(_) if from == Role::Sender => {
                self.list_ms.set((self.elapsed() - self.list_since.get()).max(1));
            }
            _ => {}
        }
        let level = self.levels.info(Info::Flist);
        if self.server || level == 0 {
            return;
        }
        let (verb, wait) =
            if from == Role::Sender { ("sending", "building") } else { ("receiving", "receiving") };
        let done = matches!(notice, Notice::ListDone(_));
        let open = done && self.open_list.replace(false);
        // A list without directories is none that a user waits for.
        if !self.options.select.dirs && !self.options.select.recursive {
            return;
        }
        let incremental = self.incremental.get() && self.options.select.recursive;
        let end = match notice {
            Notice::ListDone(count) if !incremental && level > 1 => {
                let noun = if *count == 1 { "file" } else { "files" };
                format!("{} {noun} to consider", number::human_u64(*count as u64, self.output.human))
            }
            Notice::ListDone(_) if !incremental => "done".to_owned(),
            _ => String::new(),
        };
        self.log(end.as_bytes());
        if self.output.quiet {
            return;
        }
        match (notice, incremental) {
            (Notice::ListStart, true) => {
                self.show(MsgTag::Info, format!("{verb} incremental file list").as_bytes());
            }
            (Notice::ListStart, false) => {
                self.raw(MsgTag::Info, format!("{wait} file list ... ").as_bytes());
                self.open_list.set(true);
            }
            (Notice::ListCount(count), false) if level > 1 => {
                // Counts are written over each other; only what comes in between needs a line of its own.
                if *count > 0 {
                    self.open_list.set(false);
                }
                self.raw(MsgTag::Info, format!(" {count} files...\r").as_bytes());
                self.open_list.set(true);
            }
            (Notice::ListDone(count), false) if level > 1 => {
                // Who receives counts behind each hundred.
                if from != Role::Sender && *count >= 100 {
                    if open {
                        self.raw(MsgTag::Info, b"\n");
                    }
                    for hundred in 1..count / 100 + 1 {
                        self.raw(MsgTag::Info, format!(" {} files...\r", hundred * 100).as_bytes());
                    }
                }
                self.raw(MsgTag::Info, format!("{end}\n").as_bytes());
            }
            (Notice::ListDone(_), false) => self.raw(MsgTag::Info, b"done\n"),
            _ => {}
        }
    }

    /// The count of what is looked at is a line that is written over.
    pub(super) fn scan_line(&self, names: Option<Range<u64>>) {
        if self.server || self.levels.info(Info::Flist) < 2 || self.output.quiet {
            return;
        }
        match names {
            Some(names) => {
                for count in (names.start.next_multiple_of(100)..names.end).step_by(100) {
                    self.write_info(format!(" {count} files...\r").as_bytes());
                    self.open_line.set(true);
                }
            }
            None => self.raw(MsgTag::Info, format!("{:20}\r", "").as_bytes()),
        }
    }
}
