//! The main list: built from options, files or the peer's rules, and then frozen into scopes.

use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicBool, Ordering};

use super::{
    chain::{Scope, Slot, trim},
    load::{Context, Item, Loader},
    parse::{FilterError, FilterWarning, Form, RuleSource, Syntax, Template},
    rule::FilterSide,
};
use crate::{ports::PortError, version::ProtocolVersion};

/// What holds for all rules of a list; by default nothing of it.
#[derive(Debug, Clone, Default)]
pub struct FilterConfig {
    /// `--delete-excluded`: rules without a side are for the sender.
    pub delete_excluded: bool,
    /// `-0`: files of rules have NUL instead of line ends. What is read for an option of the command line depends on
    /// whether `-0` stands in front of it: [`FilterList::set_from0`].
    pub from0: bool,
    /// The default CVS rules are perishable (protocol ≥ 30).
    pub cvs_perishable: bool,
    /// Contents of `$HOME/.cvsignore`.
    pub cvs_home: Option<Vec<u8>>,
    /// `$CVSIGNORE`
    pub cvs_env: Option<Vec<u8>>,
    /// Names that a daemon hides, whatever other rules say.
    pub veil: Option<Veil>,
}

/// What of the option `-C` is added to a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CvsRules {
    /// The rules `:C` and `-C`.
    All,
    /// The same, for both sides even with `--delete-excluded`, as a pulling client has them.
    AllForBothSides,
    /// `:C`: the file `.cvsignore` of each directory.
    DirMerge,
    /// `-C`: the built-in patterns, and those of the user.
    Patterns,
}

/// The list of a daemon module, in front of all others.
#[derive(Debug, Clone)]
pub struct Veil {
    scope: Arc<Scope>,
    /// Path of the module, without a slash in front or behind.
    root: Arc<[u8]>,
}

impl Veil {
    /// `list`: made by [`FilterList::daemon`]. `root`: absolute path of the module.
    pub fn new(list: &FilterList, root: &[u8]) -> Self {
        Self { scope: Arc::new(list.scope(FilterSide::Sender, b"")), root: trim(root).into() }
    }

    /// Whether a path of the module, or a directory on the way to it, is hidden.
    pub fn hides(&self, path: &[u8], is_dir: bool) -> bool {
        let path = trim(path);
        !path.is_empty() && path != b"." && self.scope.check_path(path, is_dir).is_excluded()
    }

    /// The same for a name in a directory: an absolute path, without the slash in front.
    pub(super) fn hides_in(&self, dir: &[u8], name: &[u8], is_dir: bool) -> bool {
        let below = match (dir.strip_prefix(&*self.root), name.first()) {
            // An absolute name begins at the root of the file system.
            (_, Some(b'/')) => &b""[..],
            (Some(rest), _) if self.root.is_empty() || rest.first().is_none_or(|&b| b == b'/') => rest,
            _ => return false,
        };
        let name = if below.is_empty() {
            name.strip_prefix(&[b"/", &*self.root].concat()[..]).unwrap_or(name)
        } else {
            name
        };
        let parts = below.split(|&b| b == b'/').chain(name.split(|&b| b == b'/'));
        let parts: Vec<&[u8]> = parts.filter(|part| !matches!(part, [] | [b'.'])).collect();
        self.hides(&parts.join(&b'/'), is_dir)
    }
}

/// Reads a file of rules. A path without a slash in front is relative to the current directory of the program, `-` is
/// standard input.
pub type ReadRules<'a> = &'a mut dyn FnMut(&[u8]) -> Result<Vec<u8>, PortError>;

/// What a list and its scopes have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub config: FilterConfig,
    pub daemon: bool,
    /// A rule with modifier `x` was read.
    pub xattr_rules: AtomicBool,
    /// A per-directory file was named, be it in force or not.
    pub dir_merges: AtomicBool,
}

/// An ordered list of rules with per-directory files.
#[derive(Debug, Clone)]
pub struct FilterList {
    pub(super) shared: Arc<Shared>,
    pub(super) items: Vec<Item>,
    slots: Vec<Slot>,
    /// The files of the rules to come have NUL instead of line ends.
    from0: bool,
    warnings: Vec<FilterWarning>,
}

impl FilterList {
    /// An empty list.
    pub fn new(config: FilterConfig) -> Self {
        Self::with(config, false)
    }

    /// The empty list of a daemon module: patterns with a slash mean paths of the module, an excluded `dir/` hides its
    /// contents too, rules for the sender alone are left out and all others hold in both directions.
    pub fn daemon(config: FilterConfig) -> Self {
        Self::with(config, true)
    }

    fn with(config: FilterConfig, daemon: bool) -> Self {
        let from0 = config.from0;
        let shared = Shared {
            config,
            daemon,
            xattr_rules: AtomicBool::new(false),
            dir_merges: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared), items: Vec::new(), slots: Vec::new(), from0, warnings: Vec::new() }
    }

    /// `-0` and `--no-0`, in the order of the options: how the files of the rules to come are read. Files of
    /// directories, which are read later, follow the configuration.
    pub fn set_from0(&mut self, from0: bool) {
        self.from0 = from0;
    }

    /// The list of a server, from the texts of the rules that came on the wire, without their lengths: from protocol 29 on in the
    /// full syntax, before in the old one, as exclusions. Rules that name a file to be merged are refused.
    pub fn from_wire<'r>(
        rules: impl IntoIterator<Item = &'r [u8]>,
        protocol: ProtocolVersion,
        config: FilterConfig,
    ) -> Result<Self, FilterError> {
        let mut list = Self::new(config);
        list.add_from_wire(rules, protocol)?;
        Ok(list)
    }

    /// Adds such rules behind those that a server has of its own.
    pub fn add_from_wire<'r>(
        &mut self,
        rules: impl IntoIterator<Item = &'r [u8]>,
        protocol: ProtocolVersion,
    ) -> Result<(), FilterError> {
        for rule in rules {
            if protocol.has_filter_modifiers() {
                self.add(None, |loader, cx| {
                    loader.text(cx, rule, Form::Rules(Syntax::Full))?;
                    match loader.wanted() {
                        Some(_) => Err(FilterError::MergeFromPeer(RuleSource::Text(rule.to_vec()))),
                        None => Ok(()),
                    }
                })?;
            } else {
                self.add_old(rule, false)?;
            }
        }
        Ok(())
    }

    /// `--filter`: one rule in the full syntax. The files of merge rules are read at once.
    pub fn add_filter(&mut self, rule: &[u8], read: ReadRules<'_>) -> Result<(), FilterError> {
        self.add(Some(read), |loader, cx| loader.text(cx, rule, Form::Rules(Syntax::Full)))
    }

    /// `--exclude`, `--include`: one rule in the old syntax.
    pub fn add_old(&mut self, rule: &[u8], include: bool) -> Result<(), FilterError> {
        self.add(None, |loader, cx| loader.text(cx, rule, Form::Rules(Syntax::Old { include })))
    }

    /// `--exclude-from`, `--include-from`: a file of rules in the old syntax. For a daemon's parameter too.
    pub fn add_from(&mut self, path: &[u8], include: bool, read: ReadRules<'_>) -> Result<(), FilterError> {
        let template = Template::new(Form::Rules(Syntax::Old { include }));
        self.add(Some(read), |loader, _| {
            loader.file(path.to_vec(), path.to_vec(), template, RuleSource::Text(path.to_vec()));
            Ok(())
        })
    }

    /// A text of rules that end at white space: the daemon's parameters `filter`, `include` and `exclude`.
    pub fn add_words(&mut self, text: &[u8], syntax: Syntax, read: ReadRules<'_>) -> Result<(), FilterError> {
        let mut rest = text;
        while !rest.is_empty() {
            self.add(Some(&mut *read), |loader, cx| {
                rest = loader.word(cx, rest, Form::Rules(syntax))?;
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The option `-C`, or a part of it.
    pub fn add_cvs(&mut self, part: CvsRules) -> Result<(), FilterError> {
        let keep_sides = part == CvsRules::AllForBothSides;
        let rules: &[&[u8]] = match part {
            CvsRules::All | CvsRules::AllForBothSides => &[b":C", b"-C"],
            CvsRules::DirMerge => &[b":C"],
            CvsRules::Patterns => &[b"-C"],
        };
        for rule in rules {
            let full = Form::Rules(Syntax::Full);
            self.add_with(keep_sides, None, |loader, cx| loader.text(cx, rule, full))?;
        }
        Ok(())
    }

    /// Rules that were left out because they are too long.
    pub fn take_warnings(&mut self) -> Vec<FilterWarning> {
        core::mem::take(&mut self.warnings)
    }

    /// True if there are no rules.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// True if a rule for names of extended attributes was read, in this list or a file of its scopes.
    pub fn has_xattr_rules(&self) -> bool {
        self.shared.xattr_rules.load(Ordering::Relaxed)
    }

    /// True if a per-directory file was ever named, even where a `!` has dropped it.
    pub fn has_named_dir_merges(&self) -> bool {
        self.shared.dir_merges.load(Ordering::Relaxed)
    }

    /// Freezes the list as it is now, for one side. `cwd` is what names are relative to: an absolute path (in a daemon:
    /// below the module), the slash in front may be missing.
    pub fn scope(&self, side: FilterSide, cwd: &[u8]) -> Scope {
        Scope::new(self.shared.clone(), self.items.clone(), self.slots.clone(), side, cwd)
    }

    fn add(
        &mut self,
        read: Option<ReadRules<'_>>,
        start: impl FnOnce(&mut Loader, &mut Context<'_>) -> Result<(), FilterError>,
    ) -> Result<(), FilterError> {
        self.add_with(false, read, start)
    }

    fn add_with(
        &mut self,
        keep_sides: bool,
        read: Option<ReadRules<'_>>,
        start: impl FnOnce(&mut Loader, &mut Context<'_>) -> Result<(), FilterError>,
    ) -> Result<(), FilterError> {
        let mut loader = Loader::default();
        core::mem::swap(&mut loader.items, &mut self.items);
        let mut cx = Context {
            shared: &self.shared,
            slots: &mut self.slots,
            dir: None,
            side: None,
            keep_sides,
            from0: self.from0,
        };
        let mut result = start(&mut loader, &mut cx);
        if let Some(read) = read {
            while let (Ok(()), Some(wanted)) = (&result, loader.wanted()) {
                let contents = read(&wanted.path);
                result = loader.supply(&mut cx, contents);
            }
        }
        self.items = loader.items;
        self.warnings.append(&mut loader.warnings);
        result
    }
}
