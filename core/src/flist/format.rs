//! What decides which fields an entry has, and what entries refer to by number.

use core::cell::RefCell;

use super::{acl, xattr};
use crate::{options::SessionOptions, setup::Agreed, version::ProtocolVersion};

/// The ACLs and attribute sets that the entries of a session refer to by number.
#[derive(Debug, Default)]
pub struct Tables {
    access: RefCell<acl::Table>,
    default: RefCell<acl::Table>,
    /// Sets of extended attributes.
    pub xattrs: RefCell<xattr::Table>,
}

impl Tables {
    /// The ACLs of one kind.
    pub const fn acls(&self, kind: acl::Kind) -> &RefCell<acl::Table> {
        match kind {
            acl::Kind::Access => &self.access,
            acl::Kind::Default => &self.default,
        }
    }
}

/// Everything that decides which fields an entry has on the wire. Equal on both ends.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// Version spoken.
    pub protocol: ProtocolVersion,
    /// Flag words are varints.
    pub varint_flags: bool,
    /// Several lists; names of ids are inline.
    pub inc_recurse: bool,
    /// A list may end with an error word.
    pub safe_end: bool,
    /// Id lists carry names for id 0.
    pub id0_names: bool,
    /// `-l`
    pub links: bool,
    /// `--devices`
    pub devices: bool,
    /// `--specials`
    pub specials: bool,
    /// `-o`
    pub owner: bool,
    /// `-g`
    pub group: bool,
    /// `-U`
    pub atimes: bool,
    /// `-N`
    pub crtimes: bool,
    /// `-H`
    pub hard_links: bool,
    /// `--numeric-ids`
    pub numeric_ids: bool,
    /// `-c`: length of the digest of regular files, bytes.
    pub checksum_len: Option<usize>,
    /// `-R`: names may start with a slash.
    pub relative: bool,
    /// `--delete-missing-args`: entries with mode 0 are legal.
    pub missing_args: bool,
    /// `-A`
    pub acls: bool,
    /// `-X`
    pub xattrs: bool,
}

impl Format {
    /// The format of a session.
    pub fn new(options: &SessionOptions, agreed: &Agreed) -> Self {
        let p = &options.preserve;
        Self {
            protocol: agreed.protocol,
            varint_flags: agreed.varint_flags(),
            inc_recurse: agreed.inc_recurse(),
            safe_end: agreed.safe_flist(),
            id0_names: agreed.flags.contains(crate::setup::CompatFlags::ID0_NAMES),
            links: p.links,
            devices: p.devices,
            specials: p.specials,
            owner: p.owner,
            group: p.group,
            atimes: p.atimes > 0,
            crtimes: p.crtimes,
            hard_links: p.hard_links > 0,
            numeric_ids: p.numeric_ids,
            checksum_len: options.select.checksum.then(|| agreed.list_sum.digest_len()),
            relative: options.select.relative,
            missing_args: options.delete.missing_args,
            acls: p.acls,
            xattrs: p.xattrs > 0,
        }
    }
}
