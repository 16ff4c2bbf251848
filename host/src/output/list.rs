//! Lines of `--list-only` (spec: list-only).

use arsync_core::flist::entry::{EntryRef, FileKind, mode};

use super::{format::permissions, number, time::Local};

/// What a listing shows beside the names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListView {
    /// Level of numbers.
    pub(crate) human: u8,
    /// Targets of symlinks (`-l`).
    pub(crate) links: bool,
    /// Access times (`-U`).
    pub(crate) atimes: bool,
}

/// Width of the size.
const SIZE_WIDTH: usize = 14;
/// Width of the size as plain digits.
const PLAIN_SIZE_WIDTH: usize = 11;
/// Width of a time.
const TIME_WIDTH: usize = 19;

/// The line of an entry, without a newline.
pub(crate) fn line(entry: &EntryRef<'_>, name: &[u8], view: ListView) -> Vec<u8> {
    let e = entry.entry;
    let size_width = if view.human == 0 { PLAIN_SIZE_WIDTH } else { SIZE_WIDTH };
    let kind = e.kind();
    if kind == FileKind::Missing {
        let width = 10 + 1 + size_width + 1 + TIME_WIDTH;
        return [format!("{:<width$} ", "*missing").as_bytes(), name].concat();
    }
    let letter = match kind {
        FileKind::Dir => 'd',
        FileKind::Symlink => 'l',
        FileKind::Block => 'b',
        FileKind::Char => 'c',
        FileKind::Fifo => 'p',
        FileKind::Socket => 's',
        FileKind::Regular | FileKind::Missing => '-',
    };
    let permissions = permissions(e.mode & mode::PERMS);
    let permissions = String::from_utf8_lossy(&permissions);
    let size = number::human_u64(e.size, view.human);
    let time = Local::at(e.mtime).show(' ');
    let atime = match (view.atimes, kind) {
        (false, _) => String::new(),
        (true, FileKind::Dir) => " ".repeat(TIME_WIDTH + 1),
        (true, _) => format!(" {}", Local::at(entry.extra().atime).show(' ')),
    };
    let mut out = format!("{letter}{permissions} {size:>size_width$} {time}{atime} ").into_bytes();
    out.extend(name);
    if view.links && kind == FileKind::Symlink {
        out.extend(b" -> ");
        out.extend(entry.link_target());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use arsync_core::flist::entry::{FileList, NewEntry};

    fn shown(mode: u32, size: u64, target: &[u8], view: ListView) -> String {
        let mut list = FileList::new();
        let mtime =
            Local { year: 2026, month: 11, day: 4, hour: 2, minute: 45, second: 42 }.seconds().unwrap();
        let at = list.push(&NewEntry { name: b"rsync", mode, size, mtime, ..NewEntry::default() });
        let span = list.store(target);
        let extra = list.extra_mut(at);
        extra.link = span;
        extra.atime = mtime;
        String::from_utf8(line(&list.get(at).unwrap(), b"rsync", view)).unwrap()
    }

    #[test]
    fn lines_as_observed() {
        let view = ListView { human: 1, links: false, atimes: false };
        assert_eq!(
            shown(0o100_755, 586_928, b"", view),
            "-rwxr-xr-x        586,928 2026/11/04 02:45:42 rsync"
        );
        assert_eq!(shown(0o120_777, 1, b"a", view), "lrwxrwxrwx              1 2026/11/04 02:45:42 rsync");
        assert_eq!(shown(0o106_644, 3, b"", view), "-rwSr-Sr--              3 2026/11/04 02:45:42 rsync");
        assert_eq!(shown(0, 0, b"", view), "*missing                                      rsync");
        let plain = ListView { human: 0, links: true, atimes: false };
        assert_eq!(shown(0o120_777, 1, b"a", plain), "lrwxrwxrwx           1 2026/11/04 02:45:42 rsync -> a");
        let times = ListView { human: 1, links: false, atimes: true };
        assert_eq!(
            shown(0o047_777, 4096, b"", times),
            "drwsrwsrwt          4,096 2026/11/04 02:45:42                     rsync"
        );
        assert_eq!(
            shown(0o100_644, 0, b"", times),
            "-rw-r--r--              0 2026/11/04 02:45:42 2026/11/04 02:45:42 rsync"
        );
    }
}
