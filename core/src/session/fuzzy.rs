//! `--fuzzy`: how alike two names are (spec: alternate basis, fuzzy).

#![allow(clippy::cast_possible_truncation, reason = "names are shorter than 64 KiB")]

/// One unit of distance.
const UNIT: u32 = 1 << 16;
/// Names further apart than this are not alike.
pub(super) const LIMIT: u32 = 25 * UNIT;
/// The distance of names that need not be compared to the end.
pub(super) const HOPELESS: u32 = 0xffff_0001;

/// Levenshtein distance with a small part that depends on the bytes. Given up, as hopeless, when the difference
/// of the lengths alone exceeds `limit`.
pub(super) fn distance(a: &[u8], b: &[u8], limit: u32) -> u32 {
    let long = u32::try_from(a.len().abs_diff(b.len())).unwrap_or(u32::MAX);
    if long.saturating_mul(UNIT) > limit {
        return HOPELESS;
    }
    if a.is_empty() || b.is_empty() {
        let rest = if a.is_empty() { b } else { a };
        // The bytes count as signed here.
        let sum: i32 = rest.iter().map(|&c| i32::from(c.cast_signed())).sum();
        return (rest.len() as u32).wrapping_mul(UNIT).wrapping_add_signed(sum);
    }
    // What is put in front costs nothing by its bytes (stock binary).
    let mut row: alloc::vec::Vec<u32> = (0..=b.len()).map(|i| i as u32 * UNIT).collect();
    let mut first = 0;
    for &x in a {
        let mut diagonal = first;
        first += UNIT;
        let mut left = first;
        if let Some(slot) = row.first_mut() {
            *slot = first;
        }
        for (slot, &y) in row.iter_mut().skip(1).zip(b) {
            let above = *slot;
            // The cheaper neighbour is chosen before its own cost is added.
            let edit = if above < left { above + UNIT + u32::from(x) } else { left + UNIT + u32::from(y) };
            let change = diagonal + if x == y { 0 } else { UNIT + u32::from(x.abs_diff(y)) };
            diagonal = above;
            left = edit.min(change);
            *slot = left;
        }
    }
    row.last().copied().unwrap_or(HOPELESS)
}

/// The last `.xxx` that says what a file is, without leading dots, a trailing `~` and the endings of backups.
pub(super) fn suffix(name: &[u8]) -> &[u8] {
    let mut name = name;
    while let Some(rest) = name.strip_prefix(b".") {
        name = rest;
    }
    name = name.strip_suffix(b"~").unwrap_or(name);
    let mut best: &[u8] = b"";
    let mut end = name.len();
    while let Some(dot) = name.get(..end).and_then(|n| memchr::memrchr(b'.', n)) {
        if dot == 0 {
            break;
        }
        let part = name.get(dot..end).unwrap_or_default();
        end = dot;
        let counted = part.len() > 2 && part.get(1) == Some(&b'~') && part.ends_with(b"~");
        if matches!(part, b".bak" | b".old" | b".orig") || counted {
            continue;
        }
        if part.len() > 1 && part.iter().skip(1).all(u8::is_ascii_digit) {
            if best.is_empty() {
                best = part;
            }
            continue;
        }
        return part;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance(b"file-1.0.tar", b"file-1.1.tar", LIMIT), UNIT + 1);
        assert_eq!(distance(b"abc", b"abc", LIMIT), 0);
        assert_eq!(distance(b"", b"ab", LIMIT), 2 * UNIT + 195);
        assert_eq!(distance(b"a", &[b'a'; 40], LIMIT), HOPELESS);
        assert_eq!(distance(b"Z", b"$HOME", LIMIT), 5 * UNIT + 21);
        assert_eq!(distance(b"back\\slash", b"$HOME", LIMIT), 10 * UNIT + 206);
        assert_eq!(distance(b"colon:x", b"\\#012", LIMIT), 7 * UNIT + 233);
    }

    #[test]
    fn suffixes() {
        assert_eq!(suffix(b"a.tar"), b".tar");
        assert_eq!(suffix(b"..a.c~"), b".c");
        assert_eq!(suffix(b"a.c.bak"), b".c");
        assert_eq!(suffix(b"lib.so.1"), b".so");
        assert_eq!(suffix(b"log.1"), b".1");
        assert_eq!(suffix(b"plain"), b"");
    }
}
