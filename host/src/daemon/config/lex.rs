//! Lines of a configuration file: sections, parameters, inclusions (spec: config file grammar).
//!
//! Text in, items out; what the names mean is not known here.

/// What a logical line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// `[name]`, with single blanks inside.
    Section(Vec<u8>),
    /// `name = value`; the name in lower case and without blanks.
    Parameter(String, Vec<u8>),
    /// `&include PATH`: a file, or the `*.conf` of a directory, on its own.
    Include(Vec<u8>),
    /// `&merge PATH`: a file, or the `*.inc` of a directory, as if its text stood here.
    Merge(Vec<u8>),
    /// A line that is none of these; it is told and left out.
    Junk(Vec<u8>),
}

/// A line with which the whole file cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A name without text.
    EmptyName,
    /// `[` without `]`.
    OpenSection,
    /// A section with a slash in its name.
    SlashInSection,
    /// `&` with another word.
    UnknownDirective,
}

impl Fault {
    /// What is told.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::EmptyName => "a name is missing",
            Self::OpenSection => "a section name is not closed",
            Self::SlashInSection => "a section name holds a slash",
            Self::UnknownDirective => "an unknown directive",
        }
    }
}

/// The items of a text, with the number of the line each begins on.
pub(super) fn items(text: &[u8]) -> impl Iterator<Item = (usize, Result<Item, Fault>)> {
    let text: Vec<u8> = text.iter().copied().filter(|&b| b != b'\r').collect();
    let mut lines = Lines { text, at: 0, number: 0 };
    core::iter::from_fn(move || {
        loop {
            let number = lines.number + 1;
            let pieces = lines.logical()?;
            if let Some(item) = item(&pieces).transpose() {
                return Some((number, item));
            }
        }
    })
}

/// Physical lines, joined where one ends in a backslash.
struct Lines {
    text: Vec<u8>,
    at: usize,
    number: usize,
}

impl Lines {
    /// The next physical line, and whether a newline ends it.
    fn physical(&mut self) -> Option<(Vec<u8>, bool)> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let end = memchr::memchr(b'\n', rest);
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default().to_vec();
        self.at += line.len() + 1;
        self.number += 1;
        Some((line, end.is_some()))
    }

    /// The pieces of the next logical line: one, or more where backslashes joined them.
    fn logical(&mut self) -> Option<Vec<Vec<u8>>> {
        let (line, mut ended) = self.physical()?;
        let mut pieces = vec![line];
        let comment = matches!(first_visible(&pieces[0]), Some(b'#' | b';'));
        while !comment
            && ended
            && let Some(last) = pieces.last_mut()
            && let Some(cut) = continued(last)
        {
            last.truncate(cut);
            let Some((next, more)) = self.physical() else {
                pieces.push(Vec::new());
                break;
            };
            pieces.push(next);
            ended = more;
        }
        Some(pieces)
    }
}

/// Where the backslash is that continues a line.
fn continued(line: &[u8]) -> Option<usize> {
    let end = line.iter().rposition(|b| !b.is_ascii_whitespace())?;
    (line[end] == b'\\').then_some(end)
}

fn first_visible(line: &[u8]) -> Option<u8> {
    line.iter().copied().find(|b| !b.is_ascii_whitespace())
}

/// What a logical line says; `None`: nothing.
fn item(pieces: &[Vec<u8>]) -> Result<Option<Item>, Fault> {
    let whole = pieces.concat();
    match first_visible(&whole) {
        None | Some(b'#' | b';') => Ok(None),
        Some(b'[') => section(&whole).map(Some),
        Some(b'&') => directive(whole.trim_ascii()).map(Some),
        Some(_) => parameter(pieces, &whole).map(Some),
    }
}

fn section(line: &[u8]) -> Result<Item, Fault> {
    let open = memchr::memchr(b'[', line).unwrap_or(0);
    let rest = line.get(open + 1..).unwrap_or_default();
    let end = memchr::memchr(b']', rest).ok_or(Fault::OpenSection)?;
    let words = rest[..end].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let name = words.collect::<Vec<_>>().join(&b' ');
    if name.is_empty() {
        return Err(Fault::EmptyName);
    }
    if name.contains(&b'/') {
        return Err(Fault::SlashInSection);
    }
    Ok(Item::Section(name))
}

fn directive(line: &[u8]) -> Result<Item, Fault> {
    let rest = line.strip_prefix(b"&").unwrap_or(line);
    let word = rest.iter().position(|b| b.is_ascii_whitespace() || *b == b'=').unwrap_or(rest.len());
    let (word, path) = rest.split_at(word);
    let path = path.trim_ascii_start();
    let path = path.strip_prefix(b"=").unwrap_or(path).trim_ascii().to_vec();
    match &*word.to_ascii_lowercase() {
        _ if path.is_empty() => Err(Fault::EmptyName),
        b"include" => Ok(Item::Include(path)),
        b"merge" => Ok(Item::Merge(path)),
        _ => Err(Fault::UnknownDirective),
    }
}

/// Only the outer ends of a value are trimmed, and only within the first and the last piece: blanks that a
/// continuation left stay.
fn parameter(pieces: &[Vec<u8>], whole: &[u8]) -> Result<Item, Fault> {
    let Some(equals) = memchr::memchr(b'=', whole) else {
        return Ok(Item::Junk(whole.trim_ascii().to_vec()));
    };
    let name = key(&whole[..equals]);
    if name.is_empty() {
        return Err(Fault::EmptyName);
    }
    let mut before = equals + 1;
    let mut value: Vec<u8> = Vec::new();
    let mut begun = false;
    for (i, piece) in pieces.iter().enumerate() {
        if before > piece.len() {
            before -= piece.len();
            continue;
        }
        let mut part = piece.get(core::mem::take(&mut before)..).unwrap_or_default();
        if !begun {
            part = part.trim_ascii_start();
        }
        if i + 1 == pieces.len() {
            part = part.trim_ascii_end();
        }
        value.extend_from_slice(part);
        begun = true;
    }
    Ok(Item::Parameter(name, value))
}

/// The name of a parameter as it is compared: case and blanks do not count.
pub(super) fn key(name: &[u8]) -> String {
    let letters = name.iter().filter(|b| !b.is_ascii_whitespace()).map(u8::to_ascii_lowercase);
    String::from_utf8_lossy(&letters.collect::<Vec<_>>()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz;

    fn all(text: &str) -> Vec<Result<Item, Fault>> {
        items(text.as_bytes()).map(|(_, item)| item).collect()
    }

    fn set(name: &str, value: &str) -> Result<Item, Fault> {
        Ok(Item::Parameter(name.into(), value.into()))
    }

    #[test]
    fn sections_and_parameters() {
        let text = "# c\n ; c\n\n [ M   One ] rest\n Use Chroot = no \r\npath=/a b/ # not a comment\n\
                    pre-xfer exec = x = y\njunk\n&include /etc/d\n&merge=/etc/m\n";
        assert_eq!(
            all(text),
            [
                Ok(Item::Section(b"M One".to_vec())),
                set("usechroot", "no"),
                set("path", "/a b/ # not a comment"),
                set("pre-xferexec", "x = y"),
                Ok(Item::Junk(b"junk".to_vec())),
                Ok(Item::Include(b"/etc/d".to_vec())),
                Ok(Item::Merge(b"/etc/m".to_vec())),
            ]
        );
    }

    #[test]
    fn continuations_keep_blanks_at_joins() {
        assert_eq!(all("a = def \\  \n   cont\n"), [set("a", "def    cont")]);
        assert_eq!(all("a = \\\n  x\n"), [set("a", "  x")]);
        assert_eq!(all("a = x  \\\n\nb = 1"), [set("a", "x  "), set("b", "1")]);
        assert_eq!(all("a = x \\"), [set("a", "x \\")]);
        assert_eq!(all("# c \\\na = 1\n"), [set("a", "1")]);
        assert_eq!(all("a \\\nb = 1\n"), [set("ab", "1")]);
    }

    #[test]
    fn lines_that_spoil_a_file() {
        assert_eq!(all("[x\n"), [Err(Fault::OpenSection)]);
        assert_eq!(all("[ ]\n"), [Err(Fault::EmptyName)]);
        assert_eq!(all("[a/b]\n"), [Err(Fault::SlashInSection)]);
        assert_eq!(all(" = 1\n"), [Err(Fault::EmptyName)]);
        assert_eq!(all("&bogus x\n"), [Err(Fault::UnknownDirective)]);
    }

    #[test]
    fn lines_are_numbered_where_they_begin() {
        let numbers: Vec<usize> = items(b"\na = \\\n1\n\nb = 2\n").map(|(number, _)| number).collect();
        assert_eq!(numbers, [2, 5]);
    }

    #[test]
    fn spoiled_lines_have_numbers_in_order() {
        fuzz::run("rsyncd_conf", 20_000, |data| {
            let mut last = 0;
            for (number, item) in items(data) {
                assert!(number > last && number <= data.len() + 1);
                last = number;
                if let Ok(Item::Parameter(name, _)) = item {
                    assert!(!name.is_empty());
                }
            }
        });
    }
}
