//! Access control lists of file-list entries: the values, the tables of a session, and their wire form
//! (spec: ACLs).
//!
//! A table belongs to one direction of one connection, and there is one for access ACLs and one for default
//! ACLs. What lies in it is what travels: values that the mode of the file gives anyway are left out.
//!
//! Wire, protocol ≥ 30, for every entry but symlinks: the access ACL, and behind it for directories the default ACL.
//! Each is a varint *n*: number *n* - 1 of the table, or with *n* = 0 a new value for the table:
//!
//! | field | there if | form |
//! |---|---|---|
//! | flags | always | byte: 1 owner, 2 group, 4 mask, 8 others, 16 named entries |
//! | permissions of owner, group, mask, others | their flag | varint each, 0 to 7 |
//! | count | flag 16 | varint, 0 to 65536 |
//! | each: id; permissions | | varint; varint, shifted left by 2, plus 2 for a user, plus 1 if a name follows |
//! | each: name | that bit | byte length and bytes |
//!
//! A number outside of the table and a value outside of its range are
//! [`OutOfRange`](crate::error::ProtocolError::OutOfRange). Names stand behind ids in a session with several lists only.
//! Example, a file of mode 0664 with `u:1000:rw-`, `g:33:r--`, `g::r--`: `00 12 04 02 83 e8 1a 21 10`; the next file
//! with the same ACL: `02`.

use alloc::vec::Vec;

use embedded_io_async::BufRead;
use hashbrown::HashMap;

use super::{
    decode::Decoder,
    encode::{Account, Encoder},
};
use crate::{
    error::{Error, Limit, ProtocolError},
    io::{MessageSink, WireReader},
    limits::MAX_ACL_ENTRIES,
    wire::varint,
};

const USER_OBJ: u8 = 1;
const GROUP_OBJ: u8 = 2;
const MASK_OBJ: u8 = 4;
const OTHER_OBJ: u8 = 8;
const NAME_LIST: u8 = 0x10;

/// Permissions of one user or group by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Named {
    /// The id.
    pub id: u32,
    /// A user; else a group.
    pub user: bool,
    /// `rwx` bits, 0..=7.
    pub perms: u8,
}

/// An access control list. Permissions are 0..=7; `None`: not present, or given by the mode.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Acl {
    /// The owner.
    pub user_obj: Option<u8>,
    /// The owning group.
    pub group_obj: Option<u8>,
    /// The most that named entries and the group get.
    pub mask_obj: Option<u8>,
    /// Everybody else.
    pub other_obj: Option<u8>,
    /// Users and groups by id, in the order of the system that they come from.
    pub named: Vec<Named>,
}

/// Which of the two lists of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Kind {
    /// The one that is checked on access.
    Access,
    /// The one that a directory gives to what is made in it.
    Default,
}

/// Three permission bits of a mode.
#[allow(
    clippy::cast_possible_truncation,
    reason = "tables and lists of names end below 2^31, permissions are three bits"
)]
const fn bits(mode: u32, shift: u32) -> u8 {
    (mode >> shift & 7) as u8
}

impl Acl {
    /// The access ACL as it is sent: without what the receiver takes from `mode`.
    #[must_use]
    pub fn stripped(mut self, mode: u32) -> Self {
        let group = Some(bits(mode, 3));
        self.user_obj = None;
        self.other_obj = None;
        if self.mask_obj.is_none() || self.group_obj == group {
            self.group_obj = None;
        }
        if !self.named.is_empty() && self.mask_obj == group {
            self.mask_obj = None;
        }
        self
    }

    /// A received ACL with the mask that was left out.
    #[must_use]
    pub fn completed(mut self, kind: Kind, mode: u32) -> Self {
        if !self.named.is_empty() && self.mask_obj.is_none() {
            self.mask_obj = Some(match kind {
                Kind::Access => bits(mode, 3),
                Kind::Default => {
                    let group = self.group_obj.unwrap_or(0);
                    self.named.iter().fold(group, |all, entry| all | entry.perms)
                }
            });
        }
        self
    }

    /// The access ACL of a file that has this mode in the end.
    #[must_use]
    pub fn for_mode(mut self, mode: u32) -> Self {
        self.user_obj = Some(bits(mode, 6));
        self.other_obj = Some(bits(mode, 0));
        self.group_obj = self.group_obj.or(Some(bits(mode, 3)));
        self.mask_obj = self.mask_obj.map(|_| bits(mode, 3));
        self
    }

    /// Both are the same access ACL on a file with this mode, so that only the mode needs setting.
    pub fn same_access(&self, other: &Self, mode: u32) -> bool {
        if self.mask_obj.is_some() != other.mask_obj.is_some() || self.named != other.named {
            return false;
        }
        let group = |acl: &Self| acl.group_obj.unwrap_or(bits(mode, 3));
        self.mask_obj.is_none() || group(self) == group(other)
    }

    /// Nothing but what a mode says.
    pub fn is_trivial(&self) -> bool {
        self.mask_obj.is_none() && self.named.is_empty()
    }

    /// No ACL at all: a default ACL that is to be removed.
    pub fn is_absent(&self) -> bool {
        self.user_obj.is_none()
    }

    /// The nine permission bits that a default ACL gives to new files at most.
    pub fn permissions(&self) -> u32 {
        let part = |perms: Option<u8>, shift: u32| u32::from(perms.unwrap_or(0)) << shift;
        part(self.user_obj, 6) | part(self.mask_obj.or(self.group_obj), 3) | part(self.other_obj, 0)
    }
}

/// The ACLs of one kind that a session knows, by number.
#[derive(Debug, Default)]
pub struct Table {
    items: Vec<Acl>,
    numbers: HashMap<Acl, u32>,
    /// Sender: number on the wire plus one of each item; 0: not sent yet.
    sent: Vec<u32>,
    sent_count: u32,
    mapped: usize,
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "tables and lists of names end below 2^31, permissions are three bits"
)]
impl Table {
    /// The number plus one of an ACL, which is added if it is new.
    pub fn intern(&mut self, acl: &Acl) -> u32 {
        if let Some(&number) = self.numbers.get(acl) {
            return number;
        }
        let number = self.push(acl.clone());
        self.numbers.insert(acl.clone(), number);
        number
    }

    /// Adds a received ACL; returns its number plus one.
    fn push(&mut self, acl: Acl) -> u32 {
        self.items.push(acl);
        self.items.len() as u32
    }

    /// The ACL with this number plus one.
    pub fn get(&self, number: u32) -> Option<&Acl> {
        self.items.get((number as usize).checked_sub(1)?)
    }

    /// Maps the ids of what was added since the last call.
    pub fn map_ids(&mut self, mut map: impl FnMut(u32, bool) -> u32) {
        for entry in self.items.iter_mut().skip(self.mapped).flat_map(|acl| &mut acl.named) {
            entry.id = map(entry.id, entry.user);
        }
        self.mapped = self.items.len();
    }

    /// Whether the ACL must be sent, and the number plus one by which the peer knows it otherwise.
    fn first_use(&mut self, number: u32) -> Option<u32> {
        let at = (number as usize).saturating_sub(1);
        if self.sent.len() <= at {
            self.sent.resize(at + 1, 0);
        }
        match self.sent.get_mut(at) {
            Some(0) => {}
            known => return known.copied(),
        }
        self.sent_count += 1;
        if let Some(slot) = self.sent.get_mut(at) {
            *slot = self.sent_count;
        }
        None
    }
}

/// Appends a literal. `name`: the name that follows an id.
#[allow(
    clippy::cast_possible_truncation,
    reason = "tables and lists of names end below 2^31, permissions are three bits"
)]
fn encode_literal(acl: &Acl, mut name: impl FnMut(Named) -> Option<Vec<u8>>, out: &mut Vec<u8>) {
    let put = |out: &mut Vec<u8>, v: u32| out.extend_from_slice(varint::encode_varint(v as i32).as_slice());
    let objects = [
        (USER_OBJ, acl.user_obj),
        (GROUP_OBJ, acl.group_obj),
        (MASK_OBJ, acl.mask_obj),
        (OTHER_OBJ, acl.other_obj),
    ];
    let names = if acl.named.is_empty() { 0 } else { NAME_LIST };
    out.push(objects.iter().filter(|(_, perms)| perms.is_some()).fold(names, |flags, (bit, _)| flags | bit));
    for perms in objects.iter().filter_map(|(_, perms)| *perms) {
        put(out, u32::from(perms));
    }
    if names == 0 {
        return;
    }
    put(out, acl.named.len() as u32);
    for entry in &acl.named {
        let name = name(*entry);
        put(out, entry.id);
        let bits = u32::from(entry.perms) << 2 | u32::from(entry.user) << 1;
        put(out, bits | u32::from(name.is_some()));
        if let Some(name) = name {
            super::encode::put_name(out, &name);
        }
    }
}

impl Encoder {
    /// Appends one record. `number`: number plus one in the table; 0: the trivial ACL.
    pub(super) fn acl(
        &mut self,
        kind: Kind,
        number: u32,
        names: &dyn super::encode::IdNames,
        out: &mut Vec<u8>,
    ) {
        let tables = self.tables.clone();
        let mut table = tables.acls(kind).borrow_mut();
        let number = if number == 0 { table.intern(&Acl::default()) } else { number };
        match table.first_use(number) {
            Some(known) => out.extend_from_slice(varint::encode_varint(known as i32).as_slice()),
            None => {
                out.push(0);
                if let Some(acl) = table.get(number) {
                    let account = |user| if user { Account::User } else { Account::Group };
                    encode_literal(acl, |entry| self.id_name(entry.id, account(entry.user), names), out);
                }
            }
        }
    }
}

fn out_of_range(what: Limit, got: i32, max: u32) -> ProtocolError {
    ProtocolError::OutOfRange { what, got: i64::from(got), max: i64::from(max) }
}

impl Decoder {
    /// Reads one record; returns the number plus one in the table.
    pub(super) async fn acl<R: BufRead, S: MessageSink>(
        &mut self,
        r: &mut WireReader<R, S>,
        kind: Kind,
    ) -> Result<u32, Error<R::Error>> {
        let n = r.varint().await?;
        if n != 0 {
            #[allow(clippy::cast_possible_truncation, reason = "tables end below 2^31")]
            let count = self.tables.acls(kind).borrow().items.len() as u32;
            let what = if kind == Kind::Access { Limit::AclIndex } else { Limit::DefaultAclIndex };
            return Ok(u32::try_from(n).ok().filter(|n| *n <= count).ok_or(out_of_range(what, n, count))?);
        }
        let acl = self.acl_literal(r).await?;
        Ok(self.tables.acls(kind).borrow_mut().push(acl))
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "tables and lists of names end below 2^31, permissions are three bits"
    )]
    async fn acl_literal<R: BufRead, S: MessageSink>(
        &mut self,
        r: &mut WireReader<R, S>,
    ) -> Result<Acl, Error<R::Error>> {
        let flags = r.u8().await?;
        let mut acl = Acl::default();
        for (bit, slot) in [
            (USER_OBJ, &mut acl.user_obj),
            (GROUP_OBJ, &mut acl.group_obj),
            (MASK_OBJ, &mut acl.mask_obj),
            (OTHER_OBJ, &mut acl.other_obj),
        ] {
            if flags & bit != 0 {
                let perms = r.varint().await?;
                *slot = Some(u8::try_from(perms).ok().filter(|p| *p <= 7).ok_or(out_of_range(
                    Limit::AclAccess,
                    perms,
                    7,
                ))?);
            }
        }
        if flags & NAME_LIST == 0 {
            return Ok(acl);
        }
        let count = r.varint().await?;
        let count = u32::try_from(count).ok().filter(|n| *n <= MAX_ACL_ENTRIES).ok_or(out_of_range(
            Limit::AclCount,
            count,
            MAX_ACL_ENTRIES,
        ))?;
        for _ in 0..count {
            let id = r.varint().await? as u32;
            let xbits = r.varint().await?;
            let bits = u32::try_from(xbits).ok().filter(|b| *b <= 31);
            let bits = bits.ok_or(out_of_range(Limit::AclAccess, xbits >> 2, 7))?;
            let entry = Named { id, user: bits & 2 != 0, perms: (bits >> 2) as u8 };
            if bits & 1 != 0 {
                let account = if entry.user { Account::User } else { Account::Group };
                self.inline_name(r, id, account).await?;
            }
            acl.named.push(entry);
        }
        Ok(acl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: u32, perms: u8) -> Named {
        Named { id, user: true, perms }
    }

    /// The file `f` of the observed example: mode 0664, group entry r--.
    fn sample() -> Acl {
        Acl {
            user_obj: Some(6),
            group_obj: Some(4),
            mask_obj: Some(6),
            other_obj: Some(4),
            named: Vec::from([user(1000, 6), Named { id: 33, user: false, perms: 4 }]),
        }
    }

    fn literal(acl: &Acl, name: impl FnMut(Named) -> Option<Vec<u8>>) -> Vec<u8> {
        let mut out = Vec::new();
        encode_literal(acl, name, &mut out);
        out
    }

    #[test]
    fn literals_as_observed() {
        let sent = sample().stripped(0o100_664);
        assert_eq!(literal(&sent, |_| None), [0x12, 0x04, 0x02, 0x83, 0xe8, 0x1a, 0x21, 0x10]);
        let named =
            literal(&sent, |e| Some(if e.user { b"cloudsdk".to_vec() } else { b"www-data".to_vec() }));
        assert_eq!(named, b"\x12\x04\x02\x83\xe8\x1b\x08cloudsdk\x21\x11\x08www-data");
        let default = Acl {
            user_obj: Some(7),
            group_obj: Some(5),
            mask_obj: Some(7),
            other_obj: Some(5),
            named: Vec::from([user(1, 7)]),
        };
        assert_eq!(literal(&default, |_| None), [0x1f, 7, 5, 7, 5, 1, 1, 0x1e]);
        assert_eq!(literal(&Acl::default(), |_| None), [0]);
    }

    #[test]
    fn what_the_mode_gives_is_stripped_and_comes_back() {
        let sent = sample().stripped(0o664);
        assert_eq!(
            (sent.user_obj, sent.group_obj, sent.mask_obj, sent.other_obj),
            (None, Some(4), None, None)
        );
        let back = sent.completed(Kind::Access, 0o664);
        assert_eq!(back.mask_obj, Some(6));
        assert_eq!(back.for_mode(0o664), sample());
        // A mask that is not the group's bits (the mode was changed on the way) travels.
        assert_eq!(sample().stripped(0o644).mask_obj, Some(6));
        let plain = Acl { mask_obj: None, named: Vec::new(), ..sample() };
        assert_eq!(plain.stripped(0o644), Acl::default());
    }

    #[test]
    fn a_missing_mask_of_a_default_acl_covers_all_entries() {
        let acl = Acl { group_obj: Some(1), named: Vec::from([user(1, 4)]), ..Acl::default() };
        assert_eq!(acl.completed(Kind::Default, 0).mask_obj, Some(5));
    }

    #[test]
    fn comparison_ignores_what_the_mode_says() {
        let here = sample();
        let sent = sample().stripped(0o664).completed(Kind::Access, 0o664);
        assert!(here.same_access(&sent, 0o600));
        assert!(Acl::default().same_access(&Acl { group_obj: Some(5), ..Acl::default() }, 0o644));
        assert!(!here.same_access(&Acl::default(), 0o664));
        assert!(!here.same_access(&Acl { group_obj: Some(6), ..sample() }, 0o664));
        // Absent stands for the group's bits of the mode.
        assert!(Acl { group_obj: None, ..sample() }.same_access(&here, 0o640));
        assert!(!Acl { group_obj: None, ..sample() }.same_access(&here, 0o660));
    }

    #[test]
    fn default_permissions_use_the_mask() {
        let acl = Acl { user_obj: Some(7), group_obj: Some(5), other_obj: Some(0), ..Acl::default() };
        assert_eq!(acl.permissions(), 0o750);
        assert_eq!(Acl { mask_obj: Some(7), ..acl }.permissions(), 0o770);
    }

    #[test]
    fn items_are_numbered_by_their_transmission() {
        let mut table = Table::default();
        let a = table.intern(&Acl::default());
        let b = table.intern(&sample());
        assert_eq!((a, b, table.intern(&Acl::default())), (1, 2, 1));
        assert_eq!(table.first_use(b), None);
        assert_eq!(table.first_use(a), None);
        assert_eq!((table.first_use(b), table.first_use(a)), (Some(1), Some(2)));
    }
}
