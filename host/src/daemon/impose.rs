//! What a module makes of the options of a client (spec: arguments, what the server forces).

use arsync_core::{chmod::Chmod, options::SessionOptions};

use super::config::{Param, Values};
use crate::{
    cli::{
        asked::{Cli, StderrMode, Super},
        resolve::Resolved,
    },
    engine::inside,
    output::format,
};

/// Facts about the process that serves.
#[derive(Debug, Clone)]
pub(super) struct Terms<'a> {
    /// The module's values.
    pub(super) values: &'a Values,
    /// The connection is a socket: there is no stderr that a client could see.
    pub(super) socket: bool,
    /// Where the module is, as this process sees it.
    pub(super) root: &'a [u8],
    /// Paths can lead out of the module, and must not.
    pub(super) confined: bool,
    /// Symlinks are kept with a prefix.
    pub(super) munge: bool,
    /// Ids have no names.
    pub(super) numeric: bool,
    /// Directory of temporaries, with the variables in it expanded.
    pub(super) temp_dir: Option<&'a [u8]>,
    /// Most that is written, KiB per second; 0: no limit.
    pub(super) bwlimit: u64,
    /// Format of the lines of items in the log; none: there are none.
    pub(super) log_format: Option<Vec<u8>>,
}

/// Changes what was typed before anything is made of it.
pub(super) fn on_words(cli: &mut Cli, terms: &Terms<'_>) {
    let values = terms.values;
    cli.quiet = 0;
    if terms.socket {
        cli.stderr = Some(StderrMode::Client);
    }
    cli.munge_links = terms.munge;
    cli.ignore_errors |= values.is(Param::IgnoreErrors);
    cli.log_file = None;
    if values.is(Param::FakeSuper) {
        cli.super_user = Super::Fake;
    } else if cli.super_user == Super::Fake {
        cli.super_user = Super::On;
    }
    if let Some(quiet) = values.tri(Param::OpenNoatime) {
        cli.open_noatime = quiet;
    }
    let limit = u32::try_from(values.int(Param::MaxVerbosity)).unwrap_or(0);
    cli.verbose = cli.verbose.min(limit);
    cli.words.cap(limit);
    cli.timeout = smaller(cli.timeout, values.int(Param::Timeout));
    if terms.bwlimit > 0 {
        let wanted = cli.bwlimit.filter(|limit| *limit > 0).unwrap_or(terms.bwlimit);
        cli.bwlimit = Some(wanted.min(terms.bwlimit));
    }
    if cli.temp_dir.is_none() {
        cli.temp_dir = terms.temp_dir.map(<[u8]>::to_vec);
    } else {
        below(&mut cli.temp_dir, terms.root);
        level(&mut cli.temp_dir, terms.confined);
    }
    for path in [&mut cli.backup_dir, &mut cli.partial_dir] {
        below(path, terms.root);
    }
    level(&mut cli.backup_dir, terms.confined);
    if let Some((_, dirs)) = &mut cli.alt_dest {
        for dir in dirs {
            rooted(dir, terms.root);
        }
    }
    if let Some(list) = cli.files_from.as_mut().filter(|list| *list != b"-") {
        *list = [terms.root.strip_suffix(b"/").unwrap_or(terms.root), b"/", &inside(list)].concat();
    }
    cli.confine_root = None;
    // Whose symlinks are followed is not the client's to say.
    cli.insecure_links = values.is(Param::InsecureLinks);
}

/// The smaller limit; 0 is none.
fn smaller(a: i32, b: i32) -> i32 {
    match (a, b) {
        (0, other) | (other, 0) => other,
        (a, b) => a.min(b),
    }
}

fn below(path: &mut Option<Vec<u8>>, root: &[u8]) {
    if let Some(path) = path {
        rooted(path, root);
    }
}

/// A directory of temporaries or backups does not lead up from the destination, where only this program holds it back.
/// Alternate directories may: what is beside a destination is what one compares it with.
fn level(path: &mut Option<Vec<u8>>, confined: bool) {
    if let Some(path) = path.as_mut().filter(|path| confined && !path.starts_with(b"/")) {
        *path = inside(path);
    }
}

/// An absolute path of a client begins at the module. What a relative one climbs to is found out when it is opened.
fn rooted(path: &mut Vec<u8>, root: &[u8]) {
    if path.starts_with(b"/") && root != b"/" {
        let inside = inside(path);
        *path = if inside == b"." { root.to_vec() } else { [root, b"/", &inside].concat() };
    }
}

/// Changes what was made of the words.
pub(super) fn on_options(resolved: &mut Resolved, terms: &Terms<'_>) {
    let sends = resolved.cli.sender;
    let options: &mut SessionOptions = &mut resolved.opts;
    if terms.confined {
        options.select.confine_root = Some(terms.root.to_vec());
        options.select.confine_all = true;
        options.select.sanitize_links = !terms.munge;
    }
    options.preserve.nameless_ids = terms.numeric;
    options.select.ignore_nonreadable = terms.values.is(Param::IgnoreNonreadable);
    let rules = terms.values.text(if sends { Param::OutgoingChmod } else { Param::IncomingChmod });
    if let Some(rules) = rules {
        // Behind those of the client (`-M--chmod`).
        let all = resolved.cli.chmod.iter().map(Vec::as_slice).chain([rules]).collect::<Vec<_>>().join(&b',');
        options.preserve.chmod = Chmod::parse(&all).or_else(|_| Chmod::parse(rules)).ok();
    }
    if let Some(format) = &terms.log_format {
        options.report.logs = true;
        options.report.permissions |= format::uses(format, b"B");
        options.report.after_transfer |= format::uses(format, b"bcC");
        options.report.checksums |= format::uses(format, b"C");
    }
    let words = terms.values.text(Param::DontCompress).unwrap_or_default();
    // No compressor changes its level from file to file, so that other patterns say nothing.
    options.transfer.stored = sends && words.split(u8::is_ascii_whitespace).any(|word| word == b"*");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths_of_clients_begin_at_the_module() {
        for (path, root, found) in [
            ("/b", "/srv/m", "/srv/m/b"),
            ("/../../etc", "/srv/m", "/srv/m/etc"),
            ("/", "/srv/m", "/srv/m"),
            ("../x", "/srv/m", "../x"),
            ("/b", "/", "/b"),
        ] {
            let mut path = path.as_bytes().to_vec();
            rooted(&mut path, root.as_bytes());
            assert_eq!(path, found.as_bytes());
        }
    }

    #[test]
    fn directories_for_writing_do_not_lead_up() {
        for (path, confined, found) in [
            ("../bak", true, "bak"),
            ("a/../../bak/", true, "bak/"),
            ("..", true, "."),
            ("/srv/m/bak", true, "/srv/m/bak"),
            ("../bak", false, "../bak"),
        ] {
            let mut path = Some(path.as_bytes().to_vec());
            level(&mut path, confined);
            assert_eq!(path.as_deref(), Some(found.as_bytes()));
        }
    }

    #[test]
    fn of_two_limits_the_smaller_counts() {
        assert_eq!((smaller(0, 3), smaller(5, 0), smaller(5, 3), smaller(0, 0)), (3, 5, 3, 0));
    }
}
