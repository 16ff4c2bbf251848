//! Aliases of options: lines `rsync alias NAME WORDS` in `/etc/popt` and `~/.popt` (spec: popt aliases).

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
};

use super::options::{self, OptSpec, Value};

/// One alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alias {
    /// `--name` or `-x`.
    name: Vec<u8>,
    /// What stands for it.
    words: Vec<Vec<u8>>,
}

/// The aliases in the text of a file. Lines that are none, or for other programs, are left out.
pub(crate) fn parse(text: &[u8]) -> Vec<Alias> {
    let joined = replace(text, b"\\\n", b" ");
    joined.split(|&b| b == b'\n').filter_map(line).collect()
}

fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

fn line(line: &[u8]) -> Option<Alias> {
    let mut words = split(line.trim_ascii())?.into_iter();
    if words.next()? != b"rsync" || words.next()? != b"alias" {
        return None;
    }
    let name = words.next()?;
    let possible = matches!(&name[..], [b'-', b'-', _, ..] | [b'-', _]);
    // These two make the process another program.
    let reserved = matches!(&name[..], b"--server" | b"--daemon");
    (possible && !reserved).then(|| Alias { name, words: words.collect() })
}

/// The words of a line, with the quotes of a shell; `None` for a comment or an open quote.
fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    if line.first() == Some(&b'#') {
        return None;
    }
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = line.iter().copied();
    while let Some(b) = bytes.next() {
        match quote {
            Some(q) if b == q => quote = None,
            _ if b == b'\\' => word.get_or_insert_default().push(bytes.next()?),
            Some(_) => word.get_or_insert_default().push(b),
            None if matches!(b, b'\'' | b'"') => {
                quote = Some(b);
                word.get_or_insert_default();
            }
            None if b.is_ascii_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(b),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// A word on its way, with the aliases that it came from: none of them is replaced in it again.
struct Word {
    text: OsString,
    from: Vec<usize>,
}

/// What becomes of a word.
enum Step {
    /// It stays; `takes_next`: and the next word is its value, whatever it looks like.
    Keep { takes_next: bool },
    /// An alias takes its place, or that of one of its letters: `before` and `behind` are the letters around that one.
    Replace { alias: usize, before: Option<OsString>, behind: Option<Vec<u8>> },
}

fn step(table: &'static [OptSpec], aliases: &[Alias], word: &Word) -> Step {
    let find = |name: &[u8]| {
        let at = aliases.iter().rposition(|alias| alias.name == name)?;
        (!word.from.contains(&at)).then_some(at)
    };
    let takes_value = |spec: Option<&OptSpec>| spec.is_some_and(|spec| spec.value != Value::None);
    let bytes = word.text.as_bytes();
    match bytes {
        [b'-', b'-', name @ ..] => match find(bytes) {
            Some(alias) => Step::Replace { alias, before: None, behind: None },
            None => Step::Keep { takes_next: takes_value(options::by_name(table, name)) },
        },
        [b'-', letters @ ..] => {
            for (i, letter) in letters.iter().enumerate() {
                let rest = &letters[i + 1..];
                if let Some(alias) = find(&[b'-', *letter]) {
                    let before = (i > 0).then(|| OsStr::from_bytes(&bytes[..=i]).to_owned());
                    let behind = (!rest.is_empty()).then(|| [b"-", rest].concat());
                    return Step::Replace { alias, before, behind };
                }
                if takes_value(options::by_letter(table, *letter)) {
                    return Step::Keep { takes_next: rest.is_empty() };
                }
            }
            Step::Keep { takes_next: false }
        }
        _ => Step::Keep { takes_next: false },
    }
}

/// Replaces the aliases in an argument vector (without the program's name). The last alias of a name counts.
pub(crate) fn expand(table: &'static [OptSpec], aliases: &[Alias], argv: &[OsString]) -> Vec<OsString> {
    let mut queue: VecDeque<Word> =
        argv.iter().map(|text| Word { text: text.clone(), from: Vec::new() }).collect();
    let mut out = Vec::with_capacity(argv.len());
    while let Some(word) = queue.pop_front() {
        if word.text == "--" {
            out.push(word.text);
            out.extend(queue.drain(..).map(|word| word.text));
            break;
        }
        match step(table, aliases, &word) {
            Step::Keep { takes_next } => {
                out.push(word.text);
                if takes_next {
                    out.extend(queue.pop_front().map(|word| word.text));
                }
            }
            Step::Replace { alias, before, behind } => {
                out.extend(before);
                insert(&mut queue, aliases, alias, &word.from, behind);
            }
        }
    }
    out
}

/// Puts the words of an alias, and what was left of the word that named it, in front.
fn insert(queue: &mut VecDeque<Word>, aliases: &[Alias], at: usize, used: &[usize], rest: Option<Vec<u8>>) {
    if let Some(rest) = rest {
        queue.push_front(Word { text: OsString::from_vec(rest), from: used.to_vec() });
    }
    let from = [used, &[at]].concat();
    for text in aliases[at].words.iter().rev() {
        queue.push_front(Word { text: OsString::from_vec(text.clone()), from: from.clone() });
    }
}

/// True if the vector is that of a client: others know no aliases.
pub(crate) fn apply_to(argv: &[OsString]) -> bool {
    argv.iter().take_while(|word| *word != "--").all(|word| word != "--server" && word != "--daemon")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::options::OPTIONS;

    const FILE: &[u8] = b"# comment\nrsync alias --foo -av \\\n --stats\nrsync alias -Y --delete --exclude='a b'\n\
        other alias --bar -r\nrsync alias --server -r\nrsync alias --verbose --verbose -h\nrsync exec --x y\n";

    fn expanded(line: &str) -> String {
        let argv: Vec<OsString> = line.split('|').map(OsString::from).collect();
        let words = expand(OPTIONS, &parse(FILE), &argv);
        words.iter().map(|w| w.to_str().unwrap()).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn names_are_replaced_where_they_are_options() {
        assert_eq!(expanded("--foo|src|dst"), "-av|--stats|src|dst");
        assert_eq!(expanded("-rYn|src"), "-r|--delete|--exclude=a b|-n|src");
        assert_eq!(expanded("-e|--foo|src"), "-e|--foo|src");
        assert_eq!(expanded("-re|-Y"), "-re|-Y");
        assert_eq!(expanded("-eY|src"), "-eY|src");
        assert_eq!(expanded("--exclude|--foo|--|--foo"), "--exclude|--foo|--|--foo");
        assert_eq!(expanded("--bar|--server"), "--bar|--server");
        // An alias may hold the option whose name it has.
        assert_eq!(expanded("--verbose"), "--verbose|-h");
    }

    #[test]
    fn servers_and_daemons_know_none() {
        let argv = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert!(!apply_to(&argv("--server -r . d")));
        assert!(!apply_to(&argv("-v --daemon")));
        assert!(apply_to(&argv("-a src -- --server")));
    }
}
