//! Shell-like patterns (spec: wildmatch). Bytes, no locale, case sensitive.

/// True if `pattern` matches the whole of `text`.
///
/// `?` is one byte and `*` any number of bytes other than `/`; two or more stars also match `/`; `[set]` is one
/// byte, never `/`; `\` takes the next byte literally. The time is bounded: at most the last `*` and the last `**`
/// are ever tried again.
pub fn wildmatch(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on after a mismatch: pattern behind the stars, and the text that they have not taken yet.
    let mut star: Option<(usize, usize)> = None;
    let mut double: Option<(usize, usize)> = None;
    loop {
        let matched = match pattern.get(p) {
            None if t == text.len() => return true,
            None => false,
            Some(b'*') => {
                let start = p;
                while pattern.get(p) == Some(&b'*') {
                    p += 1;
                }
                if p - start == 1 {
                    if p == pattern.len() && !text[t..].contains(&b'/') {
                        return true;
                    }
                    star = Some((p, t));
                } else {
                    if p == pattern.len() {
                        return true;
                    }
                    // What is behind here can reach everything that an earlier star could.
                    (double, star) = (Some((p, t)), None);
                }
                continue;
            }
            // Stars only leave less text, so nothing else can be tried.
            Some(_) if t == text.len() => return false,
            Some(&c) => match one(c, pattern, p, text[t]) {
                One::Yes(next) => {
                    p = next;
                    t += 1;
                    true
                }
                One::No => false,
                One::Never => return false,
            },
        };
        if matched {
            continue;
        }
        if let Some((after, from)) = star.filter(|&(_, from)| text.get(from).is_some_and(|&b| b != b'/')) {
            (star, p, t) = (Some((after, from + 1)), after, from + 1);
        } else if let Some((after, from)) = double.filter(|&(_, from)| from < text.len()) {
            (double, star, p, t) = (Some((after, from + 1)), None, after, from + 1);
        } else {
            return false;
        }
    }
}

enum One {
    /// The byte matches; the pattern goes on here.
    Yes(usize),
    No,
    /// The pattern is broken: nothing matches.
    Never,
}

fn one(c: u8, pattern: &[u8], p: usize, byte: u8) -> One {
    let hit = |yes: bool, next: usize| if yes { One::Yes(next) } else { One::No };
    match c {
        b'?' => hit(byte != b'/', p + 1),
        b'\\' => match pattern.get(p + 1) {
            Some(&literal) => hit(literal == byte, p + 2),
            None => One::Never,
        },
        b'[' => match class(pattern, p + 1, byte) {
            Some((yes, next)) => hit(yes && byte != b'/', next),
            None => One::Never,
        },
        literal => hit(literal == byte, p + 1),
    }
}

/// Evaluates the set that starts behind its `[`. None: it has no end, or names a class that does not exist.
fn class(pattern: &[u8], mut p: usize, byte: u8) -> Option<(bool, usize)> {
    let negated = matches!(pattern.get(p)?, b'!' | b'^');
    p += usize::from(negated);
    let mut found = false;
    let mut previous: Option<u8> = None;
    let start = p;
    loop {
        let c = *pattern.get(p)?;
        p += 1;
        match c {
            b']' if p - 1 > start => return Some((found != negated, p)),
            b'\\' => {
                let literal = *pattern.get(p)?;
                p += 1;
                found |= literal == byte;
                previous = Some(literal);
            }
            b'-' if previous.is_some() && pattern.get(p).is_some_and(|&c| c != b']') => {
                let mut end = pattern[p];
                p += 1;
                if end == b'\\' {
                    end = *pattern.get(p)?;
                    p += 1;
                }
                found |= previous.is_some_and(|from| (from..=end).contains(&byte));
                previous = None;
            }
            b'[' if pattern.get(p) == Some(&b':') => {
                let name = &pattern[p + 1..];
                let close = name.iter().position(|&c| c == b']')?;
                if let Some(name) = name[..close].strip_suffix(b":") {
                    found |= named_class(name, byte)?;
                    p += 1 + close + 1;
                    previous = None;
                } else {
                    found |= byte == b'[';
                    previous = Some(b'[');
                }
            }
            literal => {
                found |= literal == byte;
                previous = Some(literal);
            }
        }
    }
}

fn named_class(name: &[u8], byte: u8) -> Option<bool> {
    Some(match name {
        b"alnum" => byte.is_ascii_alphanumeric(),
        b"alpha" => byte.is_ascii_alphabetic(),
        b"blank" => matches!(byte, b' ' | b'\t'),
        b"cntrl" => byte.is_ascii_control(),
        b"digit" => byte.is_ascii_digit(),
        b"graph" => byte.is_ascii_graphic(),
        b"lower" => byte.is_ascii_lowercase(),
        b"print" => byte.is_ascii_graphic() || byte == b' ',
        b"punct" => byte.is_ascii_punctuation(),
        b"space" => matches!(byte, b' ' | 0x09..=0x0d),
        b"upper" => byte.is_ascii_uppercase(),
        b"xdigit" => byte.is_ascii_hexdigit(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_stop_at_slashes_and_double_stars_do_not() {
        for (pattern, text, expected) in [
            ("*.o", "x.o", true),
            ("*.o", "d/x.o", false),
            ("**.o", "d/x.o", true),
            ("a/*/c", "a/b/c", true),
            ("a/*/c", "a/b/d/c", false),
            ("a/**/c", "a/b/d/c", true),
            ("a/**/c", "a/c", false),
            ("*", "", true),
            ("*", "a/", false),
            ("**", "", true),
            ("a**", "a/b/", true),
            ("**a*b", "x/ay/axb", true),
            ("**a*b", "x/ay/b", false),
            ("*a*/b", "xax/b", true),
            ("?", "/", false),
            ("", "", true),
            ("", "a", false),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("x*\\", "xy\\", false),
            ("[a/]", "/", false),
            ("[!a]", "/", false),
            ("[[:alpha:]-z]", "-", true),
            ("[a-c-e]", "-", true),
            ("[a-c-e]", "d", false),
            ("[[:digit:]", "[", false),
            ("[]-a]", "]", true),
            ("[\\]-a]", "^", true),
        ] {
            assert_eq!(wildmatch(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_end_soon() {
        let pattern: Vec<u8> = b"*a".repeat(200).into_iter().chain(*b"b").collect();
        assert!(!wildmatch(&pattern, &b"a".repeat(4000)));
        let pattern: Vec<u8> = b"**a".repeat(200).into_iter().chain(*b"b").collect();
        assert!(!wildmatch(&pattern, &b"a".repeat(4000)));
    }

    /// Straight from the definition, without sets.
    fn naive(p: &[u8], t: &[u8]) -> bool {
        match p {
            [] => t.is_empty(),
            [b'*', b'*', rest @ ..] => {
                let rest = &rest[rest.iter().take_while(|&&c| c == b'*').count()..];
                (0..=t.len()).any(|n| naive(rest, &t[n..]))
            }
            [b'*', rest @ ..] => (0..=t.len()).any(|n| !t[..n].contains(&b'/') && naive(rest, &t[n..])),
            [b'?', rest @ ..] => t.first().is_some_and(|&b| b != b'/') && naive(rest, &t[1..]),
            [c, rest @ ..] => t.first() == Some(c) && naive(rest, &t[1..]),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]
        #[test]
        fn agrees_with_the_definition(p in "[ab/*?]{0,8}", t in "[ab/]{0,10}") {
            prop_assert_eq!(wildmatch(p.as_bytes(), t.as_bytes()), naive(p.as_bytes(), t.as_bytes()));
        }
    }
}
