//! `--out-format` and relatives (spec: output format escapes).

use arsync_core::{
    flist::entry::{Entry, EntryFlags, FileKind, Original},
    item::{ItemFlags, ItemizeView, itemize},
    ports::ItemEvent,
};

use super::{number, time::Local};

/// One `%` sequence of a format.
struct Escape {
    /// Number of apostrophes: each raises the level of numbers.
    apostrophes: u8,
    /// `-`: pad on the right.
    left: bool,
    /// The width begins with 0.
    zero: bool,
    /// Width; 0: none.
    width: usize,
    /// The letter.
    letter: u8,
    /// Length of the sequence, bytes.
    len: usize,
}

/// Longest width taken seriously.
const MAX_WIDTH: usize = 999;

/// Reads the sequence that begins with the `%` at the start of `text`; `None` at the end of the format.
fn escape(text: &[u8]) -> Option<Escape> {
    let mut at = 1;
    let mut apostrophes = 0u8;
    let mut skip_apostrophes = |at: &mut usize| {
        while text.get(*at) == Some(&b'\'') {
            apostrophes = apostrophes.saturating_add(1);
            *at += 1;
        }
    };
    skip_apostrophes(&mut at);
    let left = text.get(at) == Some(&b'-');
    at += usize::from(left);
    let zero = text.get(at) == Some(&b'0');
    let mut width = 0usize;
    while let Some(digit) = text.get(at).filter(|c| c.is_ascii_digit()) {
        width = (width * 10 + usize::from(digit - b'0')).min(MAX_WIDTH);
        at += 1;
    }
    skip_apostrophes(&mut at);
    let letter = *text.get(at)?;
    Some(Escape { apostrophes, left, zero, width, letter, len: at + 1 })
}

/// The letters of a format, in order; `%%` is none.
fn letters(format: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = format;
    core::iter::from_fn(move || {
        while let Some(at) = memchr::memchr(b'%', rest) {
            let sequence = rest.get(at..).unwrap_or_default();
            let found = escape(sequence)?;
            rest = sequence.get(found.len..).unwrap_or_default();
            if found.letter != b'%' {
                return Some(found.letter);
            }
        }
        None
    })
}

/// True if the format holds one of these letters.
pub(crate) fn uses(format: &[u8], wanted: &[u8]) -> bool {
    letters(format).any(|letter| wanted.contains(&letter))
}

/// What the expansion needs beside the item.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    /// This process sends.
    pub(crate) sender: bool,
    /// The data goes to another machine.
    pub(crate) remote: bool,
    /// `-t`
    pub(crate) times: bool,
    /// The receiver can set the times of symlinks.
    pub(crate) symlink_times: bool,
    /// `-o`: the owner is known.
    pub(crate) owner: bool,
    /// `-g`: the group is known.
    pub(crate) group: bool,
    /// `-l`: targets are shown.
    pub(crate) links: bool,
    /// Length of the checksums in use, bytes.
    pub(crate) digest_len: usize,
    /// The checksum of a file can be shown.
    pub(crate) shows_sum: bool,
    /// The checksums are integers, which are shown with the most significant byte first.
    pub(crate) xxh: bool,
    /// Number of this process.
    pub(crate) pid: u32,
    /// Seconds since 1970, now.
    pub(crate) now: i64,
    /// Directory of the item, for `%f`: of a sender as typed by the user, of a daemon that receives below its module.
    pub(crate) base: &'a [u8],
    /// Names from an absolute argument of `-R` are shown with its slash: at the sender.
    pub(crate) rooted: bool,
    /// What only a daemon knows: address, host, module, path of the module, user.
    pub(crate) daemon: Option<&'a DaemonView<'a>>,
}

/// What a daemon knows about a connection.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "named after what is typed or shown")]
pub(crate) struct DaemonView<'a> {
    pub(crate) address: &'a [u8],
    pub(crate) host: &'a [u8],
    pub(crate) module: &'a [u8],
    pub(crate) path: &'a [u8],
    pub(crate) user: &'a [u8],
}

/// The name of an item as shown: a directory ends in a slash, and what an absolute argument of `-R` gave begins with
/// one at the sender.
fn shown_name(event: &ItemEvent<'_>, view: &View<'_>) -> Vec<u8> {
    let rooted = view.rooted && event.entry.is_some_and(|e| e.name().starts_with(b"/"));
    let mut name = if rooted { [b"/", event.name].concat() } else { event.name.to_vec() };
    if event.kind == FileKind::Dir && name.last() != Some(&b'/') {
        name.push(b'/');
    }
    name
}

/// `%f`: the path at the sender, or the name at the receiver; without leading slashes.
fn long_name(event: &ItemEvent<'_>, view: &View<'_>) -> Vec<u8> {
    let mut path = Vec::new();
    if !event.flags.contains(ItemFlags::DELETED) && !view.base.is_empty() {
        path.extend(view.base);
        if path.last() != Some(&b'/') {
            path.push(b'/');
        }
    }
    path.extend(event.name);
    let start = path.iter().position(|b| *b != b'/').unwrap_or(path.len());
    path.split_off(start)
}

/// The nine letters of permissions, with set-id and sticky bits.
pub(crate) fn permissions(bits: u32) -> [u8; 9] {
    let mut out = *b"rwxrwxrwx";
    for (i, c) in out.iter_mut().enumerate() {
        if bits & (0o400 >> i) == 0 {
            *c = b'-';
        }
    }
    for (bit, at, set, unset) in [(0o4000, 2, b's', b'S'), (0o2000, 5, b's', b'S'), (0o1000, 8, b't', b'T')] {
        if bits & bit != 0 {
            out[at] = if out[at] == b'x' { set } else { unset };
        }
    }
    out
}

/// Hex digits of the item's checksum, or blanks.
fn checksum(event: &ItemEvent<'_>, view: &View<'_>) -> Vec<u8> {
    if !view.shows_sum {
        return vec![b' '; view.digest_len * 2];
    }
    let transferred = event.transfer.map(|t| t.sum);
    // That of the list is another kind where the two were chosen apart.
    let listed = event.entry.filter(|_| event.kind == FileKind::Regular).map(|e| e.checksum());
    let sum: &[u8] = match (listed, &transferred) {
        (Some(sum), _) if !sum.is_empty() => sum,
        (_, Some(digest)) => digest.as_bytes(),
        _ => &[],
    };
    if sum.is_empty() {
        // A dry run knows that there would be data, but not which.
        let unknown = event.flags.contains(ItemFlags::TRANSFER) && event.kind == FileKind::Regular;
        return vec![if unknown { b'0' } else { b' ' }; view.digest_len * 2];
    }
    let hex = |b: &u8| format!("{b:02x}").into_bytes();
    if view.xxh { sum.iter().rev().flat_map(hex).collect() } else { sum.iter().flat_map(hex).collect() }
}

/// The line of an item, without a newline.
pub(crate) fn expand(format: &[u8], event: &ItemEvent<'_>, view: &View<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(format.len() + event.name.len() + 16);
    let mut rest = format;
    while let Some(at) = memchr::memchr(b'%', rest) {
        out.extend(&rest[..at]);
        let sequence = &rest[at..];
        let Some(escape) = escape(sequence) else {
            rest = sequence;
            break;
        };
        let typed = &sequence[..escape.len];
        rest = &sequence[escape.len..];
        match value(&escape, event, view) {
            Some(text) => pad(&mut out, &escape, &text),
            None => out.extend(typed),
        }
    }
    out.extend(rest);
    out
}

fn pad(out: &mut Vec<u8>, escape: &Escape, text: &[u8]) {
    // The arrow of a link stands before the padded target.
    let (head, text): (&[u8], &[u8]) = match escape.letter {
        b'L' if escape.left || escape.width > 0 => match text.split_at_checked(4) {
            Some(parts) => parts,
            None => (b"    ", text),
        },
        _ => (b"", text),
    };
    out.extend(head);
    let fill = escape.width.saturating_sub(text.len());
    let numeric = matches!(escape.letter, b'U' | b'G' | b'p') && text.iter().all(u8::is_ascii_digit);
    if escape.left {
        out.extend(text);
        out.resize(out.len() + fill, b' ');
    } else {
        out.resize(out.len() + fill, if escape.zero && numeric { b'0' } else { b' ' });
        out.extend(text);
    }
}

/// The value of a sequence; `None`: it has none and stays as typed.
fn value(escape: &Escape, event: &ItemEvent<'_>, view: &View<'_>) -> Option<Vec<u8>> {
    // Format letters count from digits: each apostrophe is a level of its own.
    let numeric = |n: u64| number::human_u64(n, escape.apostrophes.min(3)).into_bytes();
    let entry = event.entry.map(|e| *e.entry);
    // A local copy has in its list what the destination gets.
    let listed = entry.map(|Entry { mtime, uid, gid, .. }| Original { mtime, uid, gid });
    let source = event.entry.and_then(|e| e.extra().original).or(listed).unwrap_or_default();
    let deleted = event.flags.contains(ItemFlags::DELETED);
    Some(match escape.letter {
        b'n' => shown_name(event, view),
        b'f' => long_name(event, view),
        b'L' => match (event.link, event.entry) {
            (Some(link), _) if !link.is_empty() => [b" => ", link].concat(),
            (_, Some(e)) if e.entry.is_symlink() && view.links => [b" -> ", e.link_target()].concat(),
            _ => Vec::new(),
        },
        b'i' => itemize(ItemizeView {
            flags: event.flags,
            kind: event.kind.item(),
            sending: view.sender && view.remote,
            times: view.times,
            symlink_times: view.symlink_times,
        })
        .to_vec(),
        b'o' if deleted => b"del.".to_vec(),
        b'o' => if view.sender { b"send" } else { b"recv" }.to_vec(),
        b'l' => numeric(entry.map_or(0, |e| e.size)),
        b'M' => Local::at(source.mtime).show('-').into_bytes(),
        b'B' => permissions(event.perms).to_vec(),
        b'U' => (if view.owner { source.uid } else { 0 }).to_string().into_bytes(),
        b'G' if !view.group || entry.is_some_and(|e| e.flags.contains(EntryFlags::SKIP_GROUP)) => {
            b"DEFAULT".to_vec()
        }
        b'G' => source.gid.to_string().into_bytes(),
        b'C' => checksum(event, view),
        b'b' => numeric(event.transfer.map_or(0, |t| if view.sender { t.sent } else { t.received })),
        b'c' => numeric(event.transfer.map_or(0, |t| if view.sender { t.received } else { t.sent })),
        b'p' => view.pid.to_string().into_bytes(),
        b't' => Local::at(view.now).show(' ').into_bytes(),
        b'm' => view.daemon.map_or(&[][..], |d| d.module).to_vec(),
        b'a' => view.daemon?.address.to_vec(),
        b'h' => view.daemon?.host.to_vec(),
        b'P' => view.daemon?.path.to_vec(),
        b'u' => view.daemon?.user.to_vec(),
        b'%' => b"%".to_vec(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz;
    use arsync_core::{
        flist::entry::{FileList, NewEntry},
        item::BasisType,
        ports::FileTransfer,
    };

    const VIEW: View<'_> = View {
        sender: true,
        remote: false,
        times: true,
        symlink_times: true,
        owner: true,
        group: true,
        links: true,
        digest_len: 16,
        shows_sum: true,
        xxh: true,
        pid: 22196,
        now: 0,
        base: b"ff",
        rooted: false,
        daemon: None,
    };

    fn line(format: &str, list: &FileList, flags: u32, link: Option<&[u8]>) -> String {
        let entry = list.get(0).unwrap();
        let event = ItemEvent {
            entry: Some(entry),
            name: entry.name(),
            flags: ItemFlags::from_bits_retain(flags),
            link,
            basis: BasisType::Name,
            transfer: (flags & 0x8000 != 0).then_some(FileTransfer {
                sent: 49,
                received: 16,
                ..Default::default()
            }),
            kind: entry.entry.kind(),
            perms: entry.entry.mode & 0o7777,
        };
        String::from_utf8(expand(format.as_bytes(), &event, &VIEW)).unwrap()
    }

    fn list(name: &[u8], mode: u32, size: u64, target: &[u8]) -> FileList {
        let mut list = FileList::new();
        let at = list.push(&NewEntry { name, mode, size, ..NewEntry::default() });
        if !target.is_empty() {
            let span = list.store(target);
            list.extra_mut(at).link = span;
        }
        list
    }

    #[test]
    fn lines_as_observed() {
        let file = list(b"b", 0o104_755, 6, b"");
        assert_eq!(
            line("%n|%f|%L|%i|%o|%l|%B|%U|%G|%b|%c|%p|%a|%h|%m|%P|%u|%%|%z", &file, 0xa000, None),
            "b|ff/b||>f+++++++++|send|6|rwsr-xr-x|0|0|49|16|22196|%a|%h||%P|%u|%|%z"
        );
        assert_eq!(
            line("%5%|%-5n|%8n|%08n|%8L|%-8L|%8i|%3o|%05U|%-5U|%08p|%8p|%11B|%5z|%", &file, 0xa000, None),
            "    %|b    |       b|       b|            |            |>f+++++++++|send|00000|0    |00022196|   22196|  rwsr-xr-x|%5z|%"
        );
        assert_eq!(line("%L|%8L|%-8L", &file, 0x5000, Some(b"x")), " => x| =>        x| => x       ");
        let link = list(b"sl", 0o120_777, 1, b"a");
        assert_eq!(line("%i %n%L", &link, 0x6000, None), "cL+++++++++ sl -> a");
        assert_eq!(line("%8L|%-8L|", &link, 0x6000, None), " ->        a| -> a       |");
        let dir = list(b".", 0o040_755, 0, b"");
        assert_eq!(line("%n|%f", &dir, 0x6000, None), "./|ff/.");
    }

    #[test]
    fn apostrophes_raise_the_level_of_numbers() {
        let file = list(b"x", 0o100_644, 1_073_741_824, b"");
        assert_eq!(
            line("%l|%'l|%''l|%'''l|%''''l|%12l|%-12l|%'12l|%12'l|%012l", &file, 0xa000, None),
            "1073741824|1,073,741,824|1.07G|1.00G|1.00G|  1073741824|1073741824  |1,073,741,824|1,073,741,824|  1073741824"
        );
    }

    #[test]
    fn deletions_have_no_data() {
        let event = ItemEvent {
            entry: None,
            name: b"x",
            flags: ItemFlags::DELETED,
            link: None,
            basis: BasisType::Name,
            transfer: None,
            kind: FileKind::Regular,
            perms: 0o640,
        };
        let line = expand(b"%n|%f|%L|%i|%o|%l|%B|%U|%b|%5o", &event, &VIEW);
        assert_eq!(line, b"x|x||*deleting  |del.|0|rw-r-----|0|0| del.");
    }

    #[test]
    fn a_doubled_percent_is_no_letter() {
        assert!(uses(b"a %n%L", b"L"));
        assert!(uses(b"%'12i", b"i"));
        assert!(!uses(b"%%i", b"i"));
        assert!(!uses(b"%", b"i"));
    }

    /// A format, and with a zero in front of it the name of the item.
    #[test]
    fn spoiled_formats_make_lines_of_bounded_length() {
        fuzz::run("out_format", 20_000, |data| {
            let (format, name) = match data.iter().position(|&b| b == 0) {
                Some(at) => (&data[..at], &data[at + 1..]),
                None => (data, &b"b"[..]),
            };
            let name = if name.is_empty() { b"b" } else { name };
            let list = list(name, 0o104_755, 6, b"");
            let entry = list.get(0).unwrap();
            let event = ItemEvent {
                entry: Some(entry),
                name: entry.name(),
                flags: ItemFlags::from_bits_retain(0xa000),
                link: None,
                basis: BasisType::Name,
                transfer: None,
                kind: FileKind::Regular,
                perms: 0o755,
            };
            let line = expand(format, &event, &VIEW);
            let sequences = format.iter().filter(|&&b| b == b'%').count();
            assert!(line.len() <= format.len() + sequences * (name.len() + MAX_WIDTH + 64));
            if sequences == 0 {
                assert_eq!(line, format);
            }
            assert!(expand(&[b"%-6o|%'5l%%", format].concat(), &event, &VIEW).starts_with(b"send  |    6%"));
            assert!(uses(&[b"%%%'-7q", format].concat(), b"q"));
        });
    }
}
