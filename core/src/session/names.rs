//! Which extended attributes travel, are taken over, and are seen at the destination (spec: extended
//! attributes, names).

use alloc::vec::Vec;

use crate::{filter::Scope, options::SessionOptions};

/// Where `--fake-super` keeps what is not in the name space of users.
const PREFIX: &[u8] = b"user.rsync.";
/// What `--fake-super` keeps itself.
const KEPT: [&[u8]; 3] = [b"user.rsync.%stat", b"user.rsync.%aacl", b"user.rsync.%dacl"];

/// The rules of one side.
#[derive(Debug)]
pub(super) struct NameRules {
    /// Filter rules for names of attributes; they take the place of the name-space rules.
    filters: Option<Scope>,
    /// This side may use every name space (root, `--super`).
    root: bool,
    fake: bool,
    /// `-XX`
    all: bool,
}

impl NameRules {
    pub(super) fn new(options: &SessionOptions, scope: &Scope, root: bool) -> Self {
        let fake = options.preserve.fake_super;
        Self {
            filters: scope.has_xattr_rules().then(|| scope.clone()),
            root: root && !fake,
            fake,
            all: options.preserve.xattrs > 1,
        }
    }

    /// The filters' say, where there are filters.
    fn filtered(&self, name: &[u8]) -> Option<bool> {
        self.filters.as_ref().map(|scope| !scope.check_xattr(name).is_excluded())
    }

    fn internal(&self, name: &[u8]) -> bool {
        !self.all && name.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with(b"%"))
    }

    /// Sender: the name under which an attribute travels.
    pub(super) fn sent<'n>(&self, name: &'n [u8]) -> Option<&'n [u8]> {
        if !self.filtered(name).unwrap_or(!name.starts_with(b"system.")) || self.internal(name) {
            return None;
        }
        if !self.fake {
            return Some(name);
        }
        (!KEPT.contains(&name)).then(|| name.strip_prefix(PREFIX).unwrap_or(name))
    }

    /// Receiver: the name under which a received attribute is stored.
    pub(super) fn accepted(&self, name: &[u8]) -> Option<Vec<u8>> {
        if self.filtered(name) == Some(false) {
            return None;
        }
        let name = if name.starts_with(b"user.") || self.root {
            name.to_vec()
        } else if self.fake || self.filters.is_some() {
            [PREFIX, name].concat()
        } else {
            return None;
        };
        (!self.internal(&name)).then_some(name)
    }

    /// Receiver: an attribute of a file here is compared, and removed where the sender's has none. Only `--fake-super`
    /// keeps what it has noted down (stock binary: without it, that goes as any other attribute).
    pub(super) fn visible(&self, name: &[u8]) -> bool {
        let space = if self.root { !name.starts_with(b"system.") } else { name.starts_with(b"user.") };
        self.filtered(name).unwrap_or(space) && !(self.fake && KEPT.contains(&name))
    }
}

/// Names under which an attribute that travels as `name` may stand at a sender.
pub(super) fn stored_names(name: &[u8], fake: bool) -> impl Iterator<Item = Vec<u8>> {
    let stored = fake.then(|| [PREFIX, name].concat());
    stored.into_iter().chain([name.to_vec()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{FilterConfig, FilterList, FilterSide};

    fn rules(root: bool, fake: bool, level: u8, filters: &[&str]) -> NameRules {
        let mut list = FilterList::new(FilterConfig::default());
        for rule in filters {
            list.add_filter(rule.as_bytes(), &mut |_| Ok(Vec::new())).unwrap();
        }
        let mut options = SessionOptions::default();
        options.preserve.fake_super = fake;
        options.preserve.xattrs = level;
        NameRules::new(&options, &list.scope(FilterSide::Sender, b""), root)
    }

    #[test]
    fn a_sender_offers_all_but_system_and_internal_names() {
        let plain = rules(false, false, 1, &[]);
        assert_eq!(plain.sent(b"trusted.t"), Some(&b"trusted.t"[..]));
        assert_eq!(plain.sent(b"security.capability"), Some(&b"security.capability"[..]));
        assert_eq!(plain.sent(b"system.posix_acl_access"), None);
        assert_eq!(plain.sent(b"user.rsync.%stat"), None);
        assert_eq!(plain.sent(b"user.rsync.x"), Some(&b"user.rsync.x"[..]));
        assert_eq!(rules(false, false, 2, &[]).sent(b"user.rsync.%stat"), Some(&b"user.rsync.%stat"[..]));
        let fake = rules(true, true, 1, &[]);
        assert_eq!(fake.sent(b"user.rsync.trusted.t"), Some(&b"trusted.t"[..]));
        assert_eq!(fake.sent(b"user.rsync.%aacl"), None);
    }

    #[test]
    fn a_receiver_takes_what_it_may_set() {
        assert_eq!(rules(true, false, 1, &[]).accepted(b"trusted.t"), Some(b"trusted.t".to_vec()));
        assert_eq!(rules(false, false, 1, &[]).accepted(b"trusted.t"), None);
        let fake = rules(true, true, 1, &[]);
        assert_eq!(fake.accepted(b"trusted.t"), Some(b"user.rsync.trusted.t".to_vec()));
        assert_eq!(fake.accepted(b"user.a"), Some(b"user.a".to_vec()));
        assert_eq!(fake.accepted(b"user.rsync.%stat"), None);
        let filtered = rules(false, false, 1, &["-x user.l*"]);
        assert_eq!(filtered.accepted(b"user.long"), None);
        assert_eq!(filtered.accepted(b"trusted.t"), Some(b"user.rsync.trusted.t".to_vec()));
    }

    #[test]
    fn only_what_can_be_handled_is_seen() {
        assert!(rules(true, false, 1, &[]).visible(b"security.x"));
        assert!(!rules(true, false, 1, &[]).visible(b"system.posix_acl_access"));
        assert!(!rules(false, false, 1, &[]).visible(b"security.x"));
        assert!(!rules(true, true, 1, &[]).visible(b"user.rsync.%stat"));
        assert!(rules(true, true, 1, &[]).visible(b"user.rsync.trusted.t"));
        assert!(rules(true, true, 1, &[]).visible(b"user.rsync.%other"));
        assert!(rules(false, false, 1, &[]).visible(b"user.rsync.%stat"));
        let only = rules(true, false, 1, &["+x user.*", "-x *"]);
        assert!(only.visible(b"user.a") && !only.visible(b"trusted.t"));
    }
}
