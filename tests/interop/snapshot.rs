//! What a tree is, in a form that can be compared.

use core::fmt::Write as _;
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::Path,
    time::{Duration, SystemTime},
};

/// Name below the root → all that rsync can preserve, as text.
pub(crate) type Snapshot = BTreeMap<Vec<u8>, String>;

/// How long a run may last: times within this span behind `start` count as "now".
const SPAN: Duration = Duration::from_secs(600);

/// Reads a tree. Times that lie behind `start` are those of the run itself and appear as `now`.
pub(crate) fn snapshot(root: &Path, start: SystemTime) -> Snapshot {
    let mut out = Snapshot::new();
    let mut inodes = HashMap::new();
    if fs::symlink_metadata(root).is_ok() {
        add(root, Vec::new(), start, &mut out, &mut inodes);
    }
    out
}

fn add(
    path: &Path,
    name: Vec<u8>,
    start: SystemTime,
    out: &mut Snapshot,
    inodes: &mut HashMap<(u64, u64), Vec<u8>>,
) {
    let meta = fs::symlink_metadata(path).unwrap();
    let kind = meta.file_type();
    let mut text = String::new();
    let letter = match () {
        () if kind.is_dir() => 'd',
        () if kind.is_symlink() => 'l',
        () if kind.is_fifo() => 'p',
        () if kind.is_socket() => 's',
        () if kind.is_char_device() => 'c',
        () if kind.is_block_device() => 'b',
        () => '-',
    };
    let _ = write!(text, "{letter}{:04o} {}:{}", meta.mode() & 0o7777, meta.uid(), meta.gid());
    let (sec, nsec) = (meta.mtime(), meta.mtime_nsec());
    let now = start.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().cast_signed();
    if (now - 2..now + SPAN.as_secs().cast_signed()).contains(&sec) {
        text.push_str(" now");
    } else {
        let _ = write!(text, " {sec}.{nsec:09}");
    }
    if letter == 'l' {
        let _ = write!(text, " -> {}", fs::read_link(path).unwrap().as_os_str().as_bytes().escape_ascii());
    }
    if letter == '-' {
        let content = fs::read(path).unwrap();
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        let _ = write!(text, " {} bytes {:016x}", content.len(), hasher.finish());
    }
    if letter == 'c' || letter == 'b' {
        let _ = write!(text, " {}:{}", rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
    }
    if letter != 'd' && meta.nlink() > 1 {
        let first = inodes.entry((meta.dev(), meta.ino())).or_insert_with(|| name.clone());
        let _ = write!(text, " {} links, first {}", meta.nlink(), first.escape_ascii());
    }
    out.insert(name.clone(), text);
    if letter == 'd' {
        let mut children: Vec<_> = fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name()).collect();
        children.sort();
        for child in children {
            let mut below = name.clone();
            if !below.is_empty() {
                below.push(b'/');
            }
            below.extend_from_slice(child.as_bytes());
            add(&path.join(&child), below, start, out, inodes);
        }
    }
}

/// The first differences, one a line; `None` if there are none.
pub(crate) fn difference(expected: &Snapshot, got: &Snapshot) -> Option<String> {
    let mut lines = Vec::new();
    for name in expected.keys().chain(got.keys().filter(|name| !expected.contains_key(*name))) {
        let (a, b) = (expected.get(name), got.get(name));
        if a != b {
            let absent = String::from("absent");
            lines.push(format!(
                "      {}\n        expected {}\n        got      {}",
                name.escape_ascii(),
                a.unwrap_or(&absent),
                b.unwrap_or(&absent)
            ));
        }
    }
    if lines.is_empty() {
        return None;
    }
    let more = lines.len().saturating_sub(6);
    lines.truncate(6);
    if more > 0 {
        lines.push(format!("      and {more} more"));
    }
    Some(lines.join("\n"))
}
