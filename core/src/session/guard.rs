//! What a receiving side does not take from a sender: names that nobody asked for, and symlinks that lead somewhere.

use alloc::vec::Vec;

use super::{Shared, argument::clamp_name, rules};
use crate::{
    error::{NameFault, ProtocolError, Role},
    filter::{FilterList, FilterSide, Perishable, Request, Requested, Scope},
    flist::entry::{EntryFlags, FileList},
    names::below,
    options::FilesFrom,
    ports::Observer,
};

/// What stands in front of the target of a munged symlink (spec: symlinks).
pub(super) const MUNGE_PREFIX: &[u8] = b"/rsyncd-munged/";

/// What a pulling client knows about the names that it may get.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// The client's own rules, in the role of the sender.
    rules: Option<Scope>,
    requested: Option<Requested>,
    /// Targets of symlinks get a prefix with which they lead nowhere.
    munge: bool,
    /// They are kept below the transfer.
    sanitize: bool,
}

impl Guard {
    /// The sender is trusted: nothing is checked unless this is a client that does not.
    pub(super) fn new<O: Observer>(shared: &Shared<'_, O>, filters: &FilterList) -> Self {
        let options = shared.options;
        let munge = options.select.munge_links && !shared.local;
        let sanitize = options.select.sanitize_links && !munge;
        if options.trust_sender || !shared.is_client() || shared.local {
            return Self { munge, sanitize, ..Self::default() };
        }
        // Rules with absolute paths mean the sender's machine, whose directories are not known here.
        let scope = filters.scope(FilterSide::Sender, b"\xff\xff");
        let args = &shared.requested;
        let select = &options.select;
        let names =
            args.iter().map(|a| if select.files_from == FilesFrom::None { a.clone() } else { clamp_name(a) });
        let names: Vec<Vec<u8>> = names.collect();
        let requested = (!names.is_empty()).then(|| Requested::new(names.iter().map(Vec::as_slice), select));
        // What the sender's directories say is not known here. As in the reference, that also counts where a `!` has dropped
        // those rules.
        let known = !filters.has_named_dir_merges();
        Self { rules: (known && !filters.is_empty()).then_some(scope), requested, munge, sanitize }
    }

    /// Only names that were asked for are taken.
    pub(super) const fn is_strict(&self) -> bool {
        self.requested.is_some()
    }

    /// Rewrites targets of symlinks, and refuses names that the user excluded or did not ask for. Directories that are only on the way to something
    /// are marked so, whatever the sender says.
    /// `later`: the list is not the first one; the rules that decide about its names are told (stock binary).
    pub(super) fn check<O: Observer>(
        &self,
        shared: &Shared<'_, O>,
        list: &mut FileList,
        later: bool,
    ) -> Result<(), ProtocolError> {
        for i in (0..list.len()).filter(|_| self.munge || self.sanitize) {
            if let Some(entry) = list.get(i).filter(|e| e.entry.is_symlink()) {
                let target = if self.munge {
                    [MUNGE_PREFIX, entry.link_target()].concat()
                } else {
                    let depth = memchr::memchr_iter(b'/', entry.name()).count();
                    below_transfer(entry.link_target(), depth)
                };
                let span = list.store(&target);
                list.extra_mut(i).link = span;
            }
        }
        if self.rules.is_none() && self.requested.is_none() {
            return Ok(());
        }
        let role = if later { Role::Receiver } else { Role::ReceiverSide };
        for i in 0..list.len() {
            let Some(entry) = list.get(i) else { continue };
            let (name, is_dir) = (entry.name(), entry.entry.is_dir());
            let root = matches!(name, b"." | b"/.");
            let excluded = self.rules.as_ref().filter(|_| !root).is_some_and(|rules| match later {
                true => rules::is_excluded(
                    shared,
                    Role::Generator,
                    rules,
                    below(name),
                    is_dir,
                    Perishable::Counts,
                ),
                false => rules.check(below(name), is_dir, Perishable::Counts).is_excluded(),
            });
            if excluded {
                return Err(shared.refuse(role, ProtocolError::Name(NameFault::Excluded), name));
            }
            // Nobody asks for an empty name: one that could not be converted.
            let check = |r: &Requested| if name.is_empty() { Request::No } else { r.check(name, is_dir) };
            let request = self.requested.as_ref().map_or(Request::Yes, check);
            match request {
                Request::Yes => {}
                Request::Parent => {
                    if let Some(e) = list.entries.get_mut(i) {
                        e.flags.remove(EntryFlags::TOP_DIR | EntryFlags::CONTENT_DIR);
                        e.flags.insert(EntryFlags::IMPLIED_DIR);
                    }
                }
                Request::No => {
                    return Err(shared.refuse(role, ProtocolError::Name(NameFault::Unrequested), name));
                }
            }
        }
        Ok(())
    }
}

/// The target of a symlink `depth` directories below the root of the transfer, without what would lead above that
/// root: a slash in front goes, and so does each `..` too many.
fn below_transfer(target: &[u8], depth: usize) -> Vec<u8> {
    let mut left = depth;
    let mut ups = 0;
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in target.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.len() > ups => {
                parts.pop();
            }
            b".." if left > 0 => {
                left -= 1;
                ups += 1;
                parts.push(part);
            }
            b".." => {}
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        return b".".to_vec();
    }
    let mut out = parts.join(&b'/');
    if target.ends_with(b"/") {
        out.push(b'/');
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn targets_stay_below_the_transfer() {
        let of = |target: &str, depth| {
            alloc::string::String::from_utf8(super::below_transfer(target.as_bytes(), depth)).unwrap()
        };
        assert_eq!(of("/etc/passwd", 0), "etc/passwd");
        assert_eq!(of("../x", 0), "x");
        assert_eq!(of("../../x", 1), "../x");
        assert_eq!(of("a/../../x", 1), "../x");
        assert_eq!(of("a/./b//c/", 0), "a/b/c/");
        assert_eq!(of("..", 0), ".");
    }
}
