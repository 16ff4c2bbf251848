//! The text of rules: the full syntax, the old one, and bare patterns (spec: rule syntax).

use alloc::vec::Vec;
use core::fmt;

use super::rule::Sides;
use crate::ports::PortError;

/// How rules are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Syntax {
    /// `--filter`, merge files, the wire at protocol ≥ 29.
    Full,
    /// `--exclude` and the like, the wire at protocol < 29: patterns, with `- ` or `+ ` in front for the other kind.
    Old {
        /// Patterns include if nothing is in front.
        include: bool,
    },
}

/// Where a rule comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RuleSource {
    /// This is the rule.
    Text(Vec<u8>),
    /// A file; its rules are not shown.
    File {
        /// Its name, or words that describe it.
        name: Vec<u8>,
        /// Line, from 1; none for files that are split into words.
        line: Option<u32>,
    },
}

impl RuleSource {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => out.extend_from_slice(text),
            Self::File { name, line } => {
                out.extend_from_slice(b"<rule from ");
                out.extend_from_slice(name);
                if let Some(line) = line {
                    out.extend_from_slice(alloc::format!(" line {line}").as_bytes());
                }
                out.push(b'>');
            }
        }
    }
}

/// Why rules are refused. The text is that of the reference.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FilterError {
    /// Neither a short nor a long prefix.
    Unknown(RuleSource),
    /// A modifier that the kind of rule does not take.
    Modifier {
        /// The byte and its position in the rule; none for rules of files.
        bad: Option<(u8, usize)>,
        /// The rule.
        rule: RuleSource,
    },
    /// Something behind `!` or `clear`.
    Trailing(RuleSource),
    /// A rule without a pattern.
    End(RuleSource),
    /// A rule names a side although its merge file is for one.
    SpecifiedSide(RuleSource),
    /// A file that must be readable is not. For a rule text the caller shows the name with the system's message, for
    /// a rule of a file only this text is shown.
    Open {
        /// The file holds includes.
        include: bool,
        /// The file as named by the rule, or the rule that names it.
        file: RuleSource,
        /// Why.
        error: PortError,
    },
    /// Merge files named by merge files, more than 32 deep.
    Depth(RuleSource),
    /// The peer sent a rule that names a file to be read, which must not happen.
    MergeFromPeer(RuleSource),
}

impl FilterError {
    /// Exit code 11 for files, 1 for the syntax.
    pub fn exit_code(&self) -> crate::exit::ExitCode {
        match self {
            Self::Open { .. } | Self::Depth(_) => crate::exit::ExitCode::FILE_IO,
            _ => crate::exit::ExitCode::SYNTAX,
        }
    }

    /// The message without a line end, rules byte for byte. [`Self::Open`] and [`Self::Depth`] stand behind the
    /// program's `[role] ` where they are shown with one.
    pub fn message(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let (text, rule): (&[u8], _) = match self {
            Self::Unknown(rule) => (b"Unknown filter rule: ", rule),
            Self::Modifier { bad: None, rule } => (b"invalid modifier in filter rule: ", rule),
            Self::Modifier { bad: Some((byte, at)), rule } => {
                out.extend_from_slice(b"invalid modifier '");
                out.push(*byte);
                out.extend_from_slice(alloc::format!("' at position {at} in filter rule: ").as_bytes());
                (b"", rule)
            }
            Self::Trailing(rule) => (b"'!' rule has trailing characters: ", rule),
            Self::End(rule) => (b"unexpected end of filter rule: ", rule),
            Self::SpecifiedSide(rule) => {
                (b"specified-side merge file contains specified-side filter: ", rule)
            }
            Self::Open { include: true, file, .. } => (b"failed to open include file ", file),
            Self::Open { include: false, file, .. } => (b"failed to open exclude file ", file),
            Self::Depth(rule) => (b"merge-file include depth limit (32) exceeded at ", rule),
            Self::MergeFromPeer(rule) => (b"merge rule from peer: ", rule),
        };
        out.extend_from_slice(text);
        rule.write(&mut out);
        out
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&alloc::string::String::from_utf8_lossy(&self.message()))
    }
}

impl core::error::Error for FilterError {}

/// A rule that was left out because it is too long.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FilterWarning(pub RuleSource);

impl FilterWarning {
    /// The message without a line end.
    pub fn message(&self) -> Vec<u8> {
        let mut out = b"discarding over-long filter: ".to_vec();
        self.0.write(&mut out);
        out
    }
}

/// What the rules of a text or file get from where it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Template {
    pub form: Form,
    /// Split at white space.
    pub words: bool,
    pub absolute: bool,
    pub perishable: bool,
    pub sides: Sides,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Rules(Syntax),
    /// Patterns with nothing in front; in a CVS file `!` clears.
    Bare {
        include: bool,
        cvs: bool,
    },
}

impl Template {
    pub(super) const fn new(form: Form) -> Self {
        Self { form, words: false, absolute: false, perishable: false, sides: Sides::Unsaid }
    }
}

/// What a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Exclude,
    Include,
    Merge,
    DirMerge,
    Clear,
}

/// A rule taken apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parsed<'a> {
    pub kind: Kind,
    pub pattern: &'a [u8],
    pub absolute: bool,
    pub negate: bool,
    pub cvs: bool,
    pub perishable: bool,
    pub xattr: bool,
    pub sides: Sides,
    /// Merge rules: the file holds bare patterns that include (true) or exclude.
    pub bare: Option<bool>,
    /// Merge rules: the file excludes itself.
    pub exclude_self: bool,
    pub no_inherit: bool,
    pub words: bool,
}

impl<'a> Parsed<'a> {
    fn new(kind: Kind, pattern: &'a [u8], template: &Template) -> Self {
        Self {
            kind,
            pattern,
            absolute: template.absolute,
            negate: false,
            cvs: false,
            perishable: template.perishable,
            xattr: false,
            sides: template.sides,
            bare: None,
            exclude_self: false,
            no_inherit: false,
            words: false,
        }
    }

    fn is_merge(&self) -> bool {
        matches!(self.kind, Kind::Merge | Kind::DirMerge)
    }
}

const LONG: [(&[u8], u8); 9] = [
    (b"exclude", b'-'),
    (b"include", b'+'),
    (b"hide", b'H'),
    (b"show", b'S'),
    (b"protect", b'P'),
    (b"risk", b'R'),
    (b"merge", b'.'),
    (b"dir-merge", b':'),
    (b"clear", b'!'),
];

pub(super) fn is_space(b: &u8) -> bool {
    matches!(b, b' ' | 0x09..=0x0d)
}

fn word_end(text: &[u8], from: usize, word: bool) -> usize {
    if !word {
        return text.len();
    }
    text[from..].iter().position(is_space).map_or(text.len(), |n| from + n)
}

/// Takes a rule apart that is not empty. `word`: the rule ends at white space, and the second value tells where.
pub(super) fn parse<'a>(
    text: &'a [u8],
    template: &Template,
    word: bool,
    source: &dyn Fn() -> RuleSource,
) -> Result<(Parsed<'a>, usize), FilterError> {
    match template.form {
        Form::Bare { include, cvs } => {
            let end = word_end(text, 0, word);
            let kind = match (cvs && &text[..end] == b"!", include) {
                (true, _) => Kind::Clear,
                (false, true) => Kind::Include,
                (false, false) => Kind::Exclude,
            };
            Ok((Parsed::new(kind, &text[..end], template), end))
        }
        Form::Rules(Syntax::Old { include }) => {
            let (kind, start) = match text {
                [b'-', b' ', ..] => (Kind::Exclude, 2),
                [b'+', b' ', ..] => (Kind::Include, 2),
                _ if &text[..word_end(text, 0, word)] == b"!" => (Kind::Clear, 0),
                _ => (if include { Kind::Include } else { Kind::Exclude }, 0),
            };
            let end = word_end(text, start, word);
            if start == end {
                return Err(FilterError::End(source()));
            }
            Ok((Parsed::new(kind, &text[start..end], template), end))
        }
        Form::Rules(Syntax::Full) => parse_full(text, template, word, source),
    }
}

fn parse_full<'a>(
    text: &'a [u8],
    template: &Template,
    word: bool,
    source: &dyn Fn() -> RuleSource,
) -> Result<(Parsed<'a>, usize), FilterError> {
    let unknown = || FilterError::Unknown(source());
    let (prefix, mut at) = match text.first() {
        Some(b'c' | b'd' | b'e' | b'h' | b'i' | b'm' | b'p' | b'r' | b's') => LONG
            .iter()
            .find(|(name, _)| {
                text.strip_prefix(*name)
                    .is_some_and(|rest| matches!(rest.first(), None | Some(b' ' | b'_' | b',' | b'\t')))
            })
            .map(|(name, short)| (*short, name.len()))
            .ok_or_else(unknown)?,
        Some(&c) => (c, 1),
        None => return Err(unknown()),
    };
    let (kind, side) = match prefix {
        b'-' => (Kind::Exclude, None),
        b'+' => (Kind::Include, None),
        b'H' => (Kind::Exclude, Some(Sides::Sender)),
        b'S' => (Kind::Include, Some(Sides::Sender)),
        b'P' => (Kind::Exclude, Some(Sides::Receiver)),
        b'R' => (Kind::Include, Some(Sides::Receiver)),
        b'.' => (Kind::Merge, None),
        b':' => (Kind::DirMerge, None),
        b'!' => (Kind::Clear, None),
        _ => return Err(unknown()),
    };
    at += usize::from(text.get(at) == Some(&b','));
    let mut parsed = Parsed::new(kind, b"", template);
    if kind == Kind::Clear {
        if at != word_end(text, at, word) {
            return Err(FilterError::Trailing(source()));
        }
        return Ok((parsed, at));
    }
    let mut said = side.unwrap_or_default();
    while let Some(&c) = text.get(at) {
        let merge = parsed.is_merge();
        match c {
            b' ' | b'_' => break,
            b'/' => parsed.absolute = true,
            b'!' if !merge => parsed.negate = true,
            b'C' if side.is_none() && !parsed.cvs && parsed.bare.is_none() => parsed.cvs = true,
            b's' if side.is_none() => said = said.with(Sides::Sender),
            b'r' if side.is_none() => said = said.with(Sides::Receiver),
            b'p' => parsed.perishable = true,
            b'x' => parsed.xattr = true,
            b'-' | b'+' if merge && !parsed.cvs && parsed.bare.is_none() => parsed.bare = Some(c == b'+'),
            b'e' if merge => parsed.exclude_self = true,
            b'n' if merge => parsed.no_inherit = true,
            b'w' if merge => parsed.words = true,
            _ => {
                let rule = source();
                let bad = matches!(rule, RuleSource::Text(_)).then_some((c, at));
                return Err(FilterError::Modifier { bad, rule });
            }
        }
        at += 1;
    }
    at = (at + 1).min(text.len());
    if said != Sides::Unsaid {
        if template.sides != Sides::Unsaid {
            return Err(FilterError::SpecifiedSide(source()));
        }
        parsed.sides = said;
    }
    if parsed.cvs && parsed.is_merge() {
        (parsed.bare, parsed.words, parsed.no_inherit) = (Some(false), true, true);
    }
    let end = word_end(text, at, word);
    parsed.pattern = &text[at..end];
    if parsed.pattern.is_empty() {
        match (parsed.cvs, parsed.is_merge()) {
            (false, _) => return Err(FilterError::End(source())),
            (true, true) => parsed.pattern = b".cvsignore",
            (true, false) => {}
        }
    }
    Ok((parsed, end))
}
