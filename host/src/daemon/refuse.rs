//! `refuse options`: what a client of a module must not ask for (spec: refuse options).

use arsync_core::{filter::wildmatch, options::SessionOptions};

use crate::cli::{
    argv::Given,
    asked::Cli,
    options::{OPTIONS, OptId, OptSpec},
};

/// The options that a module refuses.
#[derive(Debug, Clone)]
pub(super) struct Refusals {
    /// By row of the table.
    refused: Vec<bool>,
}

/// Refused unless a module accepts them by their whole name.
const BY_DEFAULT: [OptId; 2] = [OptId::CopyDevices, OptId::WriteDevices];
/// Refused whatever a module says.
const ALWAYS: [OptId; 3] = [OptId::LogFile, OptId::LogFileFormat, OptId::InsecureLinks];

impl Refusals {
    /// From the words of a module. `iconv`: the module names a charset.
    pub(super) fn new(words: &[u8], iconv: bool) -> Self {
        let mut list = Self { refused: OPTIONS.iter().map(|spec| BY_DEFAULT.contains(&spec.id)).collect() };
        for word in words.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
            let (word, refused) = word.strip_prefix(b"!").map_or((word, true), |word| (word, false));
            list.apply(word, refused);
        }
        list.each(true, |spec| ALWAYS.contains(&spec.id) || (!iconv && spec.id == OptId::Iconv));
        list
    }

    fn apply(&mut self, word: &[u8], refused: bool) {
        let word = if matches!(word, b"a" | b"archive") { &b"[ardlptgoD]"[..] } else { word };
        if word.iter().any(|b| b"*?[".contains(b)) {
            self.each(refused, |spec| {
                let letter = spec.short.map(|c| [c as u8]);
                !spec.exact_only
                    && (letter.is_some_and(|letter| wildmatch(word, &letter))
                        || (!spec.long.is_empty() && wildmatch(word, spec.long.as_bytes())))
            });
            return;
        }
        let is_named = |spec: &&OptSpec| {
            spec.long.as_bytes() == word || matches!((word, spec.short), ([b], Some(c)) if *b == c as u8)
        };
        if let Some(named) = OPTIONS.iter().find(is_named) {
            self.each(refused, |spec| spec.id == named.id);
        }
    }

    fn each(&mut self, refused: bool, wanted: impl Fn(&OptSpec) -> bool) {
        for (slot, spec) in self.refused.iter_mut().zip(OPTIONS) {
            if wanted(spec) {
                *slot = refused;
            }
        }
    }

    /// An option with a spelling that wildcards do not touch is the one of that spelling: clients use no other.
    fn refuses(&self, id: OptId) -> bool {
        let rows = || OPTIONS.iter().zip(&self.refused).filter(move |(spec, _)| spec.id == id);
        match rows().find(|(spec, _)| spec.exact_only) {
            Some((_, refused)) => *refused,
            None => rows().any(|(_, refused)| *refused),
        }
    }

    /// The first option of a vector that is refused, as the message names it.
    pub(super) fn find(&self, given: &[Given]) -> Option<String> {
        given.iter().find(|given| self.refuses(given.id)).map(|given| {
            let deletes = [
                OptId::DeleteBefore,
                OptId::DeleteDuring,
                OptId::DeleteDelay,
                OptId::DeleteAfter,
                OptId::DeleteExcluded,
            ];
            let whole = self.refuses(OptId::Delete) && deletes.contains(&given.id);
            shown(if whole { OptId::Delete } else { given.id })
        })
    }

    /// A plain `--delete` takes the time of deletion that is not refused.
    pub(super) fn choose_deletion(&self, cli: &mut Cli) {
        use crate::cli::asked::During;
        let named = cli.delete_before || cli.delete_during.is_some() || cli.delete_after;
        if !cli.delete || named {
            return;
        }
        match (self.refuses(OptId::DeleteBefore), self.refuses(OptId::DeleteDuring)) {
            (true, false) => cli.delete_during = Some(During::During),
            (false, true) => cli.delete_before = true,
            _ => {}
        }
    }

    /// What is refused because of what something else amounts to.
    pub(super) fn implied(&self, cli: &Cli, options: &SessionOptions) -> Option<String> {
        let transfer = &options.transfer;
        let deletes = options.deleting()
            || options.delete.missing_args
            || (cli.sender && transfer.remove_source.is_some());
        let both = self.refuses(OptId::DeleteBefore) && self.refuses(OptId::DeleteDuring);
        let in_place = transfer.inplace;
        // What asks for no conversion need not be said.
        let converts = cli.iconv.as_deref().is_some_and(|spec| spec != b"-");
        let found = [
            (!converts, OptId::NoIconv, OptId::NoIconv),
            (deletes, OptId::Delete, OptId::Delete),
            (cli.delete && both, OptId::DeleteBefore, OptId::DeleteBefore),
            (transfer.compress != arsync_core::options::Compress::Off, OptId::Compress, OptId::Compress),
            (in_place, OptId::Inplace, OptId::Inplace),
            (in_place || transfer.partial_dir.is_some(), OptId::Partial, OptId::Partial),
        ];
        let is_refused = |(asked, by, _): &&(bool, OptId, OptId)| *asked && self.refuses(*by);
        found.iter().find(is_refused).map(|(.., named)| shown(*named))
    }
}

/// `--NAME`, and ` (-x)` where there is a letter.
fn shown(id: OptId) -> String {
    let spec = OPTIONS.iter().find(|spec| spec.id == id && !spec.long.is_empty());
    let letter = OPTIONS.iter().find(|spec| spec.id == id).and_then(|spec| spec.short);
    let name = spec.map_or_else(String::new, |spec| format!("--{}", spec.long));
    match letter {
        Some(letter) if name.is_empty() => format!("-{letter}"),
        Some(letter) => format!("{name} (-{letter})"),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::cli::argv;

    fn refused(words: &str, line: &str) -> Option<String> {
        let argv: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        Refusals::new(words.as_bytes(), false).find(&argv::parse(OPTIONS, &argv, false).options)
    }

    #[test]
    fn words_letters_and_wildcards() {
        assert_eq!(refused("delete", "-r --delete-during").as_deref(), None);
        assert_eq!(refused("c delete", "-rc --delete").as_deref(), Some("--checksum (-c)"));
        assert_eq!(refused("delete", "--delete").as_deref(), Some("--delete"));
        assert_eq!(refused("checksum", "-rc").as_deref(), Some("--checksum (-c)"));
        assert_eq!(refused("del", "--delete-during").as_deref(), Some("--del"));
        assert_eq!(refused("delete-*", "--delete-after").as_deref(), Some("--delete-after"));
        assert_eq!(refused("archive", "-t").as_deref(), Some("--times (-t)"));
        assert_eq!(refused("* !a !v", "-logDtprv"), None);
        assert_eq!(refused("* !a !v", "-z").as_deref(), Some("--compress (-z)"));
        assert_eq!(refused("*", "-n --server --sender --from0 --checksum-seed=1 --log-format=%i"), None);
    }

    #[test]
    fn some_are_refused_without_a_word() {
        assert_eq!(refused("", "--write-devices").as_deref(), Some("--write-devices"));
        assert_eq!(refused("!write-devices", "--write-devices"), None);
        assert_eq!(refused("!write*", "--write-devices").as_deref(), Some("--write-devices"));
        assert_eq!(refused("!log-file", "--log-file=x").as_deref(), Some("--log-file"));
        assert_eq!(refused("!iconv", "--iconv=utf8").as_deref(), Some("--iconv"));
        let with_charset = Refusals::new(b"", true);
        let argv = [OsString::from("--iconv=utf8")];
        assert_eq!(with_charset.find(&argv::parse(OPTIONS, &argv, false).options), None);
    }
}
