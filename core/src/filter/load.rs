//! Turns texts and files into items of a list. Files that rules name are asked for, not read.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::sync::atomic::Ordering;

use super::{
    chain::Slot,
    list::Shared,
    parse::{self, FilterError, FilterWarning, Form, Kind, Parsed, RuleSource, Syntax, Template},
    rule::{FilterSide, Pattern, Rule, Sides},
};
use crate::{limits::MAX_PATH, ports::PortError};

/// Merge files within merge files.
const MAX_DEPTH: usize = 32;

/// The default CVS list.
const CVS_PATTERNS: &[u8] = b"RCS SCCS CVS CVS.adm RCSLOG cvslog.* tags TAGS .make.state .nse_depinfo *~ #* .#* ,* \
_$* *$ *.old *.bak *.BAK *.orig *.rej .del-* *.a *.olb *.o *.obj *.so *.exe *.Z *.elc *.ln core .svn/ .git/ .hg/ \
.bzr/";

/// An element of a list.
#[derive(Debug, Clone)]
pub(super) enum Item {
    Rule(Rule),
    /// A per-directory file; the slot holds its rules.
    DirMerge(usize, Arc<DirMerge>),
    /// `-C`: what it stands for follows, marked as such; the pattern is empty.
    Cvs(Rule),
}

/// A per-directory file.
#[derive(Debug)]
pub(super) struct DirMerge {
    /// As written: a file name, perhaps with a path to start at.
    pub name: Box<[u8]>,
    pub sides: Sides,
    /// The side is there because of `--delete-excluded`.
    pub quiet_side: bool,
    pub bare: Option<bool>,
    pub cvs: bool,
    pub words: bool,
    pub no_inherit: bool,
    pub absolute: bool,
    pub perishable: bool,
    pub xattr: bool,
    /// The rule itself is in a file: messages do not name the directory's file then.
    pub from_file: bool,
}

impl DirMerge {
    /// The name that is looked for in each directory.
    pub(super) fn base(&self) -> &[u8] {
        self.name.rsplit(|&b| b == b'/').next().unwrap_or_default()
    }

    pub(super) fn template(&self) -> Template {
        Template {
            form: match self.bare {
                Some(include) => Form::Bare { include, cvs: self.cvs },
                None => Form::Rules(Syntax::Full),
            },
            words: self.words,
            absolute: self.absolute,
            perishable: self.perishable,
            sides: self.sides,
        }
    }
}

/// A file that is needed to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where it is: below the root of the file system (or module) with a slash in front, else below the transfer root
    /// (when the list is built: below the current directory). `-` is standard input when the list is built.
    pub path: Vec<u8>,
    /// Failing to read it is an error.
    pub required: bool,
}

/// The directory whose file is being read.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    /// From the root, without a slash in front.
    pub absolute: Vec<u8>,
    /// In front of names with a slash, ends in one unless empty.
    pub relative_base: Vec<u8>,
    /// In front of names without a slash.
    pub plain_base: Vec<u8>,
}

/// What the rules are for.
pub(super) struct Context<'a> {
    pub shared: &'a Shared,
    /// Per-directory files known so far.
    pub slots: &'a mut Vec<Slot>,
    pub dir: Option<&'a Directory>,
    /// Rules for the other side are of no use.
    pub side: Option<FilterSide>,
    /// The rules of the option `-C` in a pulling client are not touched by `--delete-excluded`.
    pub keep_sides: bool,
    /// Files have NUL instead of line ends.
    pub from0: bool,
}

/// A list in the making.
#[derive(Debug, Default)]
pub(super) struct Loader {
    pub items: Vec<Item>,
    /// A `!` came: what was inherited is gone too.
    pub cleared: bool,
    pub warnings: Vec<FilterWarning>,
    files: Vec<OpenFile>,
    wanted: Option<(Wanted, OpenFile)>,
}

#[derive(Debug)]
struct OpenFile {
    data: Vec<u8>,
    at: usize,
    line: u32,
    template: Template,
    /// Name or description for messages, and whether lines are told.
    name: Vec<u8>,
    lines: bool,
    /// The rule that names the file, if it must be readable.
    source: Option<RuleSource>,
}

impl OpenFile {
    fn new(name: Vec<u8>, template: Template, source: Option<RuleSource>) -> Self {
        Self { data: Vec::new(), at: 0, line: 0, template, name, lines: !template.words, source }
    }

    fn source(&self) -> RuleSource {
        let line = self.lines.then_some(self.line);
        RuleSource::File { name: self.name.clone(), line }
    }

    /// The next rule as a range of the data. Rules end at a NUL, even where they have lines: the rest of the line is lost.
    fn next(&mut self, nul: bool) -> Option<core::ops::Range<usize>> {
        let up_to_nul = |rule: &[u8]| memchr::memchr(0, rule).unwrap_or(rule.len());
        if self.template.words {
            let space = |b: &u8| parse::is_space(b) || nul && *b == 0;
            let start = self.at + self.data[self.at..].iter().position(|b| !space(b) && *b != 0)?;
            let end = self.data[start..].iter().position(space).map_or(self.data.len(), |n| start + n);
            self.at = end;
            return Some(start..start + up_to_nul(&self.data[start..end]));
        }
        while self.at < self.data.len() {
            let rest = &self.data[self.at..];
            let end = if nul { memchr::memchr(0, rest) } else { memchr::memchr2(b'\n', b'\r', rest) };
            let len = end.unwrap_or(rest.len());
            let start = self.at;
            let crlf = rest[len..].starts_with(b"\r\n");
            self.at = (start + len + 1 + usize::from(crlf)).min(self.data.len());
            self.line += 1;
            let rule = &rest[..up_to_nul(&rest[..len])];
            if !matches!(rule.first(), None | Some(b'#' | b';')) {
                return Some(start..start + rule.len());
            }
        }
        None
    }
}

/// The name of a merge file as its text says where it is: without doubled slashes, slashes at the end, `.`, and `..`
/// behind a name. A `.` at the end stays: it asks for a directory.
fn plain(name: &[u8]) -> Vec<u8> {
    let absolute = name.starts_with(b"/");
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => {
                parts.pop();
            }
            b".." if absolute => {}
            _ => parts.push(part),
        }
    }
    if parts.is_empty() && !absolute || !parts.is_empty() && name.ends_with(b"/.") {
        parts.push(b".");
    }
    let path = parts.join(&b'/');
    if absolute { [b"/", &*path].concat() } else { path }
}

impl Loader {
    /// Adds one rule. A merge rule leaves a file wanted.
    pub(super) fn text(&mut self, cx: &mut Context<'_>, text: &[u8], form: Form) -> Result<(), FilterError> {
        if text.is_empty() {
            return Ok(());
        }
        let source = || RuleSource::Text(text.to_vec());
        let (parsed, _) = parse::parse(text, &Template::new(form), false, &source)?;
        self.add(cx, &parsed, &source, None)
    }

    /// Adds the first rule of a text that is split at white space; the rest is returned.
    pub(super) fn word<'a>(
        &mut self,
        cx: &mut Context<'_>,
        text: &'a [u8],
        form: Form,
    ) -> Result<&'a [u8], FilterError> {
        let start = text.iter().position(|b| !parse::is_space(b)).unwrap_or(text.len());
        let text = &text[start..];
        if text.is_empty() {
            return Ok(text);
        }
        let source = || RuleSource::Text(text.to_vec());
        let (parsed, used) = parse::parse(text, &Template::new(form), true, &source)?;
        self.add(cx, &parsed, &source, None)?;
        Ok(&text[used..])
    }

    /// Asks for a file of rules, which must be readable. `name` is for messages.
    pub(super) fn file(&mut self, path: Vec<u8>, name: Vec<u8>, template: Template, source: RuleSource) {
        self.wanted = Some((Wanted { path, required: true }, OpenFile::new(name, template, Some(source))));
    }

    /// Asks for the per-directory file at `path`, which may be missing. `full` is its path for messages.
    pub(super) fn directory_file(&mut self, path: Vec<u8>, full: Vec<u8>, merge: &DirMerge) {
        let name = if merge.from_file { b"a file read earlier".to_vec() } else { full };
        let mut file = OpenFile::new(name, merge.template(), None);
        file.lines &= !merge.from_file;
        self.wanted = Some((Wanted { path, required: false }, file));
    }

    pub(super) fn wanted(&self) -> Option<&Wanted> {
        self.wanted.as_ref().map(|(wanted, _)| wanted)
    }

    /// The wanted file, and then as much as can be done with it.
    pub(super) fn supply(
        &mut self,
        cx: &mut Context<'_>,
        contents: Result<Vec<u8>, PortError>,
    ) -> Result<(), FilterError> {
        let Some((_, mut file)) = self.wanted.take() else { return Ok(()) };
        match (contents, file.source.take()) {
            (Ok(data), _) => {
                file.data = data;
                self.files.push(file);
            }
            (Err(_), None) => {}
            (Err(error), Some(rule)) => {
                let include = match file.template.form {
                    Form::Rules(Syntax::Old { include }) | Form::Bare { include, .. } => include,
                    Form::Rules(Syntax::Full) => false,
                };
                let file = match rule {
                    RuleSource::Text(_) => RuleSource::Text(file.name),
                    of_file => of_file,
                };
                return Err(FilterError::Open { include, file, error });
            }
        }
        self.run(cx)
    }

    fn run(&mut self, cx: &mut Context<'_>) -> Result<(), FilterError> {
        while self.wanted.is_none() {
            let Some(mut file) = self.files.pop() else { return Ok(()) };
            let Some(range) = file.next(cx.from0) else { continue };
            let template = file.template;
            let text = &file.data[range];
            let source = || file.source();
            let (parsed, _) = parse::parse(text, &template, false, &source)?;
            let result = self.add(cx, &parsed, &source, Some(&file.name));
            self.files.push(file);
            result?;
        }
        Ok(())
    }

    /// `file`: the rule is in the file of this name.
    fn add(
        &mut self,
        cx: &mut Context<'_>,
        parsed: &Parsed<'_>,
        source: &dyn Fn() -> RuleSource,
        file: Option<&[u8]>,
    ) -> Result<(), FilterError> {
        if parsed.kind == Kind::Clear {
            self.clear(cx);
            return Ok(());
        }
        if parsed.pattern.len() >= MAX_PATH {
            let rule = match source() {
                RuleSource::Text(_) => RuleSource::Text(parsed.pattern.to_vec()),
                of_file => of_file,
            };
            self.warnings.push(FilterWarning(rule));
            return Ok(());
        }
        if parsed.xattr {
            cx.shared.xattr_rules.store(true, Ordering::Relaxed);
        }
        if cx.side.is_some_and(|side| parsed.sides.elided(side)) {
            return Ok(());
        }
        match parsed.kind {
            Kind::Merge => {
                let name = plain(parsed.pattern);
                self.exclude_self(cx, &Parsed { pattern: &name, ..*parsed });
                self.merge(cx, parsed, source(), file)
            }
            Kind::DirMerge => {
                self.exclude_self(cx, parsed);
                self.dir_merge(cx, parsed, file.is_some());
                Ok(())
            }
            _ if parsed.cvs => self.cvs(cx, parsed),
            _ => {
                let rule = rule(cx, parsed).map(|rule| Rule { from_file: file.is_some(), ..rule });
                self.items.extend(rule.map(Item::Rule));
                Ok(())
            }
        }
    }

    /// Drops the list, and with it the per-directory files that it named.
    fn clear(&mut self, cx: &mut Context<'_>) {
        self.cleared = true;
        let first = self.items.iter().find_map(|item| match item {
            Item::DirMerge(slot, _) => Some(*slot),
            _ => None,
        });
        if let Some(first) = first {
            cx.slots.truncate(first);
        }
        self.items.clear();
    }

    fn exclude_self(&mut self, cx: &Context<'_>, parsed: &Parsed<'_>) {
        if parsed.exclude_self {
            let base = parsed.pattern.rsplit(|&b| b == b'/').next().unwrap_or_default();
            let delete_excluded = cx.shared.config.delete_excluded && !cx.keep_sides;
            if !base.is_empty() {
                self.items.push(Item::Rule(Rule {
                    include: false,
                    negate: false,
                    perishable: false,
                    xattr: false,
                    sides: if delete_excluded { Sides::Sender } else { Sides::Unsaid },
                    quiet_side: delete_excluded,
                    cvs: false,
                    abs_modifier: false,
                    from_file: false,
                    pattern: Pattern::new(base, false, None),
                }));
            }
        }
    }

    fn merge(
        &mut self,
        cx: &Context<'_>,
        parsed: &Parsed<'_>,
        source: RuleSource,
        file: Option<&[u8]>,
    ) -> Result<(), FilterError> {
        // The file that names the other one was taken off the stack.
        if self.files.len() + usize::from(file.is_some()) >= MAX_DEPTH {
            return Err(FilterError::Depth(source));
        }
        let path = match cx.dir {
            Some(_) if parsed.pattern.starts_with(b"/") => parsed.pattern.to_vec(),
            Some(dir) if parsed.pattern.contains(&b'/') => [&dir.relative_base, parsed.pattern].concat(),
            Some(dir) => [&dir.plain_base, parsed.pattern].concat(),
            None => parsed.pattern.to_vec(),
        };
        let path = plain(&path);
        let name = match file {
            Some(outer) => [b"a file named at ", outer].concat(),
            None => plain(parsed.pattern),
        };
        let template = Template {
            form: match parsed.bare {
                Some(include) => Form::Bare { include, cvs: parsed.cvs },
                None => Form::Rules(Syntax::Full),
            },
            words: parsed.words,
            absolute: parsed.absolute,
            perishable: parsed.perishable,
            sides: parsed.sides,
        };
        self.file(path, name, template, source);
        Ok(())
    }

    fn dir_merge(&mut self, cx: &mut Context<'_>, parsed: &Parsed<'_>, from_file: bool) {
        cx.shared.dir_merges.store(true, Ordering::Relaxed);
        let limited = parsed.bare.is_some()
            && parsed.sides == Sides::Unsaid
            && cx.shared.config.delete_excluded
            && !cx.keep_sides;
        let merge = DirMerge {
            name: parsed.pattern.into(),
            sides: if limited { Sides::Sender } else { parsed.sides },
            quiet_side: limited,
            bare: parsed.bare,
            cvs: parsed.cvs,
            words: parsed.words,
            no_inherit: parsed.no_inherit,
            absolute: parsed.absolute,
            perishable: parsed.perishable,
            xattr: parsed.xattr,
            from_file,
        };
        if cx.slots.iter().any(|slot| slot.merge.base() == merge.base()) {
            return;
        }
        let merge = Arc::new(merge);
        self.items.push(Item::DirMerge(cx.slots.len(), merge.clone()));
        cx.slots.push(Slot::new(merge));
    }

    /// Puts the CVS list here.
    fn cvs(&mut self, cx: &Context<'_>, parsed: &Parsed<'_>) -> Result<(), FilterError> {
        let mut whole = Parsed { pattern: b"", xattr: false, ..*parsed };
        if let Some(mut marker) = rule(cx, &whole) {
            marker.quiet_side = marker.sides != parsed.sides;
            self.items.push(Item::Cvs(marker));
        }
        let mut list = Vec::new();
        let config = &cx.shared.config;
        let form = Form::Bare { include: parsed.kind == Kind::Include, cvs: true };
        let texts = [
            (CVS_PATTERNS, parsed.perishable || config.cvs_perishable),
            (config.cvs_home.as_deref().unwrap_or_default(), parsed.perishable),
            (config.cvs_env.as_deref().unwrap_or_default(), parsed.perishable),
        ];
        for (text, perishable) in texts {
            whole.perishable = perishable;
            for word in text.split(parse::is_space).filter(|word| !word.is_empty()) {
                let (found, _) =
                    parse::parse(word, &Template::new(form), true, &|| RuleSource::Text(word.to_vec()))?;
                if found.kind == Kind::Clear {
                    list.clear();
                } else if found.pattern.len() < MAX_PATH {
                    list.extend(rule(cx, &Parsed { pattern: found.pattern, cvs: true, ..whole }));
                }
            }
        }
        self.items.extend(list.into_iter().map(Item::Rule));
        Ok(())
    }
}

/// The rule as this list needs it, if it does.
fn rule(cx: &Context<'_>, parsed: &Parsed<'_>) -> Option<Rule> {
    let config = &cx.shared.config;
    let mut sides = parsed.sides;
    let mut absolute = parsed.absolute;
    let mut text = parsed.pattern;
    let mut hidden = Vec::new();
    if cx.shared.daemon {
        if sides == Sides::Sender {
            return None;
        }
        sides = Sides::Unsaid;
        absolute |= text.contains(&b'/');
        if parsed.kind == Kind::Exclude && text.len() > 1 && text.ends_with(b"/") {
            hidden.extend_from_slice(text);
            hidden.extend_from_slice(b"***");
            text = &hidden;
        }
    } else if sides == Sides::Unsaid && config.delete_excluded && !cx.keep_sides {
        sides = Sides::Sender;
    }
    let dir = cx.dir.filter(|_| !parsed.absolute && !parsed.xattr).map(|dir| &dir.absolute[..]);
    Some(Rule {
        include: parsed.kind == Kind::Include,
        negate: parsed.negate,
        perishable: parsed.perishable,
        xattr: parsed.xattr,
        sides,
        quiet_side: false,
        cvs: parsed.cvs,
        abs_modifier: parsed.absolute,
        from_file: false,
        pattern: Pattern::new(text, absolute, dir),
    })
}
