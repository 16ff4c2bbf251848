//! `--progress` and `--info=progress2` (spec: progress).

use arsync_core::{ports::FileProgress, stats::Stats};

use super::number;

/// A line is repeated at most once in this time, ms.
const INTERVAL: u64 = 1000;
/// The rate is that of the last this many intervals.
const SAMPLES: usize = 5;
/// More hours than this are shown as unknown.
const MAX_HOURS: u64 = 9999;

#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    /// Milliseconds since the start of the run.
    at: u64,
    bytes: u64,
}

/// The state of the progress line.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// One line for the whole transfer.
    total: bool,
    /// Level of numbers.
    human: u8,
    samples: Vec<Sample>,
    start: Sample,
    /// A line for what is in transfer was shown.
    shown: bool,
    /// Bytes of the files that are complete (total only).
    completed: u64,
    /// Length of the last line, so that a shorter one covers it.
    width: usize,
    /// The last file's position, for the end of the run.
    last: Tail,
}

/// Position in the list, as shown behind a complete file.
#[derive(Debug, Clone, Copy, Default)]
struct Tail {
    transfers: u64,
    left: u64,
    known: u64,
    complete: bool,
}

impl Progress {
    /// For `--progress` (`total` false) or `--info=progress2`.
    pub(crate) const fn new(total: bool, human: u8) -> Self {
        Self {
            total,
            human,
            samples: Vec::new(),
            start: Sample { at: 0, bytes: 0 },
            shown: false,
            completed: 0,
            width: 0,
            last: Tail { transfers: 0, left: 0, known: 0, complete: true },
        }
    }

    /// A file of its own line comes next, or the first part of it.
    pub(crate) const fn begins_file(&self) -> bool {
        !self.total && self.samples.is_empty()
    }

    /// What is to be written now, if anything. `now`: milliseconds since the start of the run.
    pub(crate) fn update(&mut self, p: &FileProgress<'_>, now: u64) -> Option<String> {
        let (done, size) = self.measure(p);
        if self.samples.is_empty() {
            let bytes = if self.total { 0 } else { p.start };
            self.start = Sample { at: now, bytes };
            self.samples.push(self.start);
        }
        self.last = Tail {
            transfers: p.transfers,
            left: p.known.saturating_sub(p.index + 1),
            known: p.known,
            complete: p.complete,
        };
        if p.finished {
            if self.total {
                self.completed += p.size;
            }
            let mut text = self.line(done, size, self.start, now, true);
            if !self.total {
                text.push('\n');
                self.samples.clear();
                self.shown = false;
                self.width = 0;
            }
            return Some(text);
        }
        let newest = self.samples.last().copied().unwrap_or_default();
        if self.shown && now < newest.at + INTERVAL {
            return None;
        }
        let oldest = self.samples.first().copied().unwrap_or_default();
        if self.shown {
            self.samples.push(Sample { at: now, bytes: done });
            if self.samples.len() > SAMPLES {
                self.samples.remove(0);
            }
        }
        self.shown = true;
        Some(self.line(done, size, oldest, now, false))
    }

    /// Bytes done, and of how many.
    fn measure(&self, p: &FileProgress<'_>) -> (u64, u64) {
        if !self.total {
            return (p.done, p.size);
        }
        let done = self.completed + p.done;
        (done, p.total_size)
    }

    /// The end of the whole run: the last line once more, and a newline.
    pub(crate) fn finish(&mut self, stats: &Stats, now: u64) -> Option<String> {
        if !self.total {
            return None;
        }
        self.last =
            Tail { transfers: stats.transferred, left: 0, known: stats.listed.total(), complete: true };
        let mut text = self.line(stats.transferred_size, stats.total_size, self.start, now, true);
        text.push('\n');
        Some(text)
    }

    fn tail(&self) -> String {
        let Tail { transfers, left, known, complete } = self.last;
        let known = known.max(1);
        format!(" (xfr#{transfers}, {}-chk={left}/{known})", if complete { "to" } else { "ir" })
    }

    fn line(&mut self, done: u64, size: u64, since: Sample, now: u64, last: bool) -> String {
        let percent = match size {
            0 => 100,
            _ if done >= size => 100,
            _ => u128::from(done) * 100 / u128::from(size),
        };
        let elapsed = now.saturating_sub(since.at);
        let rate = match elapsed {
            0 => 0.0,
            ms => done.saturating_sub(since.bytes) as f64 * 1000.0 / ms as f64 / 1024.0,
        };
        let seconds = if last {
            Some(elapsed / 1000)
        } else if rate > 0.0 {
            Some((size.saturating_sub(done) as f64 / rate / 1024.0) as u64)
        } else {
            Some(0)
        };
        let time = match seconds.filter(|s| s / 3600 <= MAX_HOURS) {
            Some(s) => format!("{:4}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60),
            None => "  ??:??:??".into(),
        };
        let (rate, unit) = match rate {
            r if r > 1024.0 * 1024.0 => (r / 1024.0 / 1024.0, "GB/s"),
            r if r > 1024.0 => (r / 1024.0, "MB/s"),
            r => (r, "kB/s"),
        };
        let bytes = number::human_u64(done, self.human);
        let tail = if last { self.tail() } else { "  ".into() };
        let mut text = format!("\r{bytes:>15} {percent:>3}% {rate:>7.2}{unit} {time}{tail}");
        let width = text.len();
        if width < self.width {
            text += &" ".repeat(self.width - width);
        }
        self.width = width;
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(done: u64, finished: bool) -> FileProgress<'static> {
        FileProgress {
            name: b"f",
            size: 3_000_000,
            done,
            start: 0,
            finished,
            transfers: 1,
            index: 1,
            known: 2,
            complete: true,
            total_size: 3_000_000,
        }
    }

    #[test]
    fn lines_of_one_file() {
        let mut p = Progress::new(false, 1);
        assert_eq!(
            p.update(&at(32_768, false), 100).unwrap(),
            "\r         32,768   1%    0.00kB/s    0:00:00  "
        );
        assert_eq!(p.update(&at(900_000, false), 800), None);
        assert_eq!(
            p.update(&at(1_081_344, false), 1162).unwrap(),
            "\r      1,081,344  36%  994.35kB/s    0:00:01  "
        );
        assert_eq!(
            p.update(&at(3_000_000, true), 2950).unwrap(),
            "\r      3,000,000 100%    1.00MB/s    0:00:02 (xfr#1, to-chk=0/2)\n"
        );
    }

    #[test]
    fn the_whole_transfer_has_one_line() {
        let mut p = Progress::new(true, 1);
        let file = |index, transfers, finished| FileProgress {
            size: 2,
            done: 2,
            index,
            transfers,
            known: 7,
            total_size: 40,
            ..at(2, finished)
        };
        p.update(&file(1, 1, false), 0);
        assert!(
            p.update(&file(1, 1, true), 0)
                .unwrap()
                .ends_with("  5%    0.00kB/s    0:00:00 (xfr#1, to-chk=5/7)")
        );
        let last = p.update(&file(6, 2, true), 0).unwrap();
        assert_eq!(last, "\r              4  10%    0.00kB/s    0:00:00 (xfr#2, to-chk=0/7)");
        let mut stats = Stats { transferred: 2, transferred_size: 4, total_size: 40, ..Stats::default() };
        stats.listed.files = 7;
        assert_eq!(p.finish(&stats, 0).unwrap(), format!("{last}\n"));
    }

    #[test]
    fn nothing_transferred() {
        let mut p = Progress::new(true, 1);
        let mut stats = Stats { total_size: 40, ..Stats::default() };
        stats.listed.files = 3;
        assert_eq!(
            p.finish(&stats, 0).unwrap(),
            "\r              0   0%    0.00kB/s    0:00:00 (xfr#0, to-chk=0/3)\n"
        );
    }
}
