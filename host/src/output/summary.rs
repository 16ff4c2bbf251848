//! The statistics at the end (spec: verbosity).

use arsync_core::{
    stats::{Counts, Stats},
    version::ProtocolVersion,
};

use super::number::{human, human_decimal, human_u64};

/// What the closing lines depend on beside the counters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SummaryView {
    /// Level of numbers.
    pub(crate) human: u8,
    /// Level of the statistics: 1 closing lines, 2 all.
    pub(crate) level: u8,
    /// The version spoken.
    pub(crate) protocol: ProtocolVersion,
    /// Whole seconds that the run took.
    pub(crate) seconds: u64,
    /// What stands behind the last line: ` (DRY RUN)`, ` (BATCH ONLY)` or nothing.
    pub(crate) mark: &'static str,
    /// A batch file took the place of the sender.
    pub(crate) from_batch: bool,
    /// Milliseconds that the list took where it was made here, or 0.
    pub(crate) list_ms: u64,
}

/// `7 (reg: 3, dir: 2)`; counts are grouped but never scaled.
fn counts(c: &Counts, level: u8) -> String {
    let level = level.min(1);
    let total = human_u64(c.total(), level);
    let parts: Vec<String> = [
        ("reg", c.files),
        ("dir", c.dirs),
        ("link", c.symlinks),
        ("dev", c.devices),
        ("special", c.specials),
    ]
    .into_iter()
    .filter(|(_, n)| *n > 0)
    .map(|(label, n)| format!("{label}: {}", human_u64(n, level)))
    .collect();
    if parts.is_empty() { total } else { format!("{total} ({})", parts.join(", ")) }
}

fn seconds(ms: u64) -> String {
    format!("{:.3} seconds", ms as f64 / 1000.0)
}

/// The lines, an empty one before each block, the last one with its newline.
pub(crate) fn summary(stats: &Stats, view: &SummaryView) -> String {
    let n = |n: u64| human_u64(n, view.human);
    let mut out = String::new();
    if view.level >= 2 {
        out += &format!("\nNumber of files: {}\n", counts(&stats.listed, view.human));
        if view.protocol.has_item_flags() {
            out += &format!("Number of created files: {}\n", counts(&stats.created, view.human));
        }
        if view.protocol.has_extended_goodbye() {
            out += &format!("Number of deleted files: {}\n", counts(&stats.deleted, view.human));
        }
        let transferred = human(i64::try_from(stats.transferred).unwrap_or(i64::MAX), view.human.min(1));
        out += &format!("Number of regular files transferred: {transferred}\n");
        out += &format!("Total file size: {} bytes\n", n(stats.total_size));
        out += &format!("Total transferred file size: {} bytes\n", n(stats.transferred_size));
        out += &format!("Literal data: {} bytes\n", n(stats.literal));
        out += &format!("Matched data: {} bytes\n", n(stats.matched));
        out += &format!("File list size: {}\n", n(stats.flist_bytes));
        let build_ms = stats.flist_build_ms.max(view.list_ms);
        if build_ms > 0 {
            out += &format!("File list generation time: {}\n", seconds(build_ms));
            out += &format!("File list transfer time: {}\n", seconds(stats.flist_transfer_ms));
        }
        out += &format!("Total bytes sent: {}\n", n(stats.written));
        out += &format!("Total bytes received: {}\n", n(stats.read));
    }
    if view.level >= 1 {
        let moved = (stats.written + stats.read) as f64;
        let rate = moved / (0.5 + view.seconds as f64);
        out += &format!(
            "\nsent {} bytes  received {} bytes  {} bytes/sec\n",
            n(stats.written),
            n(stats.read),
            human_decimal(rate, view.human)
        );
        out += &format!(
            "total size is {}  speedup is {}{}\n",
            n(stats.total_size),
            speedup(stats.total_size as f64, moved, view),
            view.mark
        );
    }
    out
}

/// The total size as a multiple of what was moved. A batch file that holds nothing moves nothing: there stands what
/// the reference prints (stock binary).
fn speedup(total: f64, moved: f64, view: &SummaryView) -> String {
    match view.human.min(1) {
        level if moved > 0.0 => human_decimal(total / moved, level),
        _ if !view.from_batch => "0.00".to_owned(),
        0 => "-nan".to_owned(),
        _ => "-9,223,372,036,854,775,808nan".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_as_observed() {
        let stats = Stats {
            listed: Counts { files: 3, dirs: 2, symlinks: 1, specials: 1, devices: 0 },
            created: Counts { files: 3, dirs: 1, symlinks: 1, specials: 1, devices: 0 },
            transferred: 3,
            total_size: 1_234_573,
            transferred_size: 1_234_572,
            literal: 1_234_572,
            written: 1_235_166,
            read: 114,
            flist_build_ms: 1,
            ..Stats::default()
        };
        let mut view = SummaryView {
            human: 1,
            level: 2,
            protocol: ProtocolVersion::MAX,
            seconds: 0,
            mark: "",
            from_batch: false,
            list_ms: 0,
        };
        assert_eq!(
            summary(&stats, &view),
            "\nNumber of files: 7 (reg: 3, dir: 2, link: 1, special: 1)\n\
             Number of created files: 6 (reg: 3, dir: 1, link: 1, special: 1)\n\
             Number of deleted files: 0\n\
             Number of regular files transferred: 3\n\
             Total file size: 1,234,573 bytes\n\
             Total transferred file size: 1,234,572 bytes\n\
             Literal data: 1,234,572 bytes\n\
             Matched data: 0 bytes\n\
             File list size: 0\n\
             File list generation time: 0.001 seconds\n\
             File list transfer time: 0.000 seconds\n\
             Total bytes sent: 1,235,166\n\
             Total bytes received: 114\n\
             \nsent 1,235,166 bytes  received 114 bytes  2,470,560.00 bytes/sec\n\
             total size is 1,234,573  speedup is 1.00\n"
        );
        view.level = 1;
        view.mark = " (DRY RUN)";
        assert!(summary(&stats, &view).starts_with("\nsent "));
        assert!(summary(&stats, &view).ends_with("speedup is 1.00 (DRY RUN)\n"));
        view.from_batch = true;
        let text = summary(&Stats::default(), &view);
        assert!(text.ends_with("total size is 0  speedup is -9,223,372,036,854,775,808nan (DRY RUN)\n"));
    }

    #[test]
    fn old_protocols_have_fewer_lines() {
        let view = SummaryView {
            human: 1,
            level: 2,
            protocol: ProtocolVersion::new(28).unwrap(),
            seconds: 0,
            mark: "",
            from_batch: false,
            list_ms: 0,
        };
        let text = summary(&Stats::default(), &view);
        assert!(!text.contains("created") && !text.contains("deleted"));
    }
}
