//! Bytes that a terminal must not get as they are (spec: streams).

/// How bytes are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    /// Bytes above 127 are escaped.
    Ascii,
    /// Bytes above 127 are escaped where they are no UTF-8.
    Utf8,
    /// Bytes above 127 are shown (`-8`).
    Bytes,
    /// Bytes from 160 on are shown: what a log escapes is control characters.
    Log,
}

/// Appends a text with control characters (but not tabs) and foreign bytes as `\#ooo`. So that this can be undone, the
/// backslash of a literal `\#` before three digits is escaped too.
pub(crate) fn escape(text: &[u8], charset: Charset, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((&b, after)) = rest.split_first() {
        let shown = match b {
            b'\t' | 0x7f => 1,
            b'\\' if matches!(after, [b'#', digits @ ..] if starts_with_digits(digits)) => 0,
            b' '..=b'~' => 1,
            0x80.. => match charset {
                Charset::Ascii => 0,
                Charset::Utf8 => sequence(rest),
                Charset::Bytes => 1,
                Charset::Log => usize::from(b >= 0xa0),
            },
            _ => 0,
        };
        if shown == 0 {
            out.extend(format!("\\#{b:03o}").bytes());
            rest = after;
        } else {
            let (plain, after) = rest.split_at(shown);
            out.extend(plain);
            rest = after;
        }
    }
}

fn starts_with_digits(text: &[u8]) -> bool {
    text.get(..3).is_some_and(|d| d.iter().all(u8::is_ascii_digit))
}

/// Length of the UTF-8 sequence at the start of a text; 0: there is none.
fn sequence(text: &[u8]) -> usize {
    (2..=4)
        .find(|&n| {
            text.get(..n).is_some_and(|s| core::str::from_utf8(s).is_ok_and(|s| s.chars().count() == 1))
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz;

    fn shown(text: &[u8], charset: Charset) -> Vec<u8> {
        let mut out = Vec::new();
        escape(text, charset, &mut out);
        out
    }

    #[test]
    fn escapes_as_observed() {
        for (text, escaped) in [
            (&b"\x01"[..], &b"\\#001"[..]),
            (b"a\nb", b"a\\#012b"),
            (b"back\\slash", b"back\\slash"),
            (b"bad\xffz", b"bad\\#377z"),
            (b"lit\\#012x", b"lit\\#134#012x"),
            (b"lit\\#01x", b"lit\\#01x"),
            (b"t\tb\x7f", b"t\tb\x7f"),
        ] {
            assert_eq!(shown(text, Charset::Utf8), escaped);
            assert_eq!(shown(text, Charset::Ascii), escaped);
        }
        assert_eq!(shown("ä中".as_bytes(), Charset::Utf8), "ä中".as_bytes());
        assert_eq!(shown("ä".as_bytes(), Charset::Ascii), b"\\#303\\#244");
        assert_eq!(shown(b"\xff\n", Charset::Bytes), b"\xff\\#012");
        assert_eq!(shown(b"\x9f\xa0", Charset::Log), b"\\#237\xa0");
    }

    /// What `escape` has done is undone: `\#ooo` is one byte, everything else stays.
    fn unescaped(shown: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = shown;
        while let Some((&b, after)) = rest.split_first() {
            let escaped = rest.strip_prefix(b"\\#").and_then(|digits| digits.get(..3));
            let code = escaped.filter(|d| d.iter().all(u8::is_ascii_digit));
            let byte = code.map(|d| d.iter().fold(0u32, |n, d| n * 8 + u32::from(d - b'0')));
            out.push(byte.map_or(b, |n| n as u8));
            rest = if byte.is_some() { &rest[5..] } else { after };
        }
        out
    }

    #[test]
    fn spoiled_texts_are_shown_so_that_it_can_be_undone() {
        fuzz::run("escapes", 20_000, |data| {
            for charset in [Charset::Ascii, Charset::Utf8, Charset::Bytes, Charset::Log] {
                let text = shown(data, charset);
                assert!(text.iter().all(|&b| b == b'\t' || b >= b' '), "{}", text.escape_ascii());
                assert!(charset != Charset::Ascii || text.is_ascii());
                assert!(charset != Charset::Utf8 || core::str::from_utf8(&text).is_ok());
                assert_eq!(unescaped(&text), data);
            }
        });
    }
}
