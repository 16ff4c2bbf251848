//! POSIX ACLs as the attributes `system.posix_acl_access` and `system.posix_acl_default` hold them
//! (version 2: a LE u32 version, then per entry LE u16 tag, u16 permissions, u32 id), and in the form that
//! `--fake-super` stores (spec: storage of fake-super).

use arsync_core::flist::acl::{Acl, Kind, Named};
use rustix::io::{self, Errno};

use super::{meta::Handle, xattr};

const VERSION: u32 = 2;
const NO_ID: u32 = u32::MAX;
const USER_OBJ: u16 = 1;
const USER: u16 = 2;
const GROUP_OBJ: u16 = 4;
const GROUP: u16 = 8;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
/// Fake-super: an object that is not there.
const ABSENT: u32 = 0x80;
/// Fake-super: the entry is a user's.
const IS_USER: u32 = 1 << 31;

/// Name of the attribute that holds an ACL.
pub fn attribute(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Access => b"system.posix_acl_access",
        Kind::Default => b"system.posix_acl_default",
    }
}

/// Name of the attribute in which `--fake-super` keeps an ACL.
pub fn fake_attribute(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Access => b"user.rsync.%aacl",
        Kind::Default => b"user.rsync.%dacl",
    }
}

/// From the system's form; `None`: it is none.
pub fn decode(value: &[u8]) -> Option<Acl> {
    let (version, entries) = value.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != VERSION {
        return None;
    }
    let mut acl = Acl::default();
    let (entries, rest) = entries.as_chunks::<8>();
    if !rest.is_empty() {
        return None;
    }
    for &[t0, t1, p0, p1, i0, i1, i2, i3] in entries {
        let perms = u8::try_from(u16::from_le_bytes([p0, p1]) & 7).unwrap_or(0);
        let id = u32::from_le_bytes([i0, i1, i2, i3]);
        match u16::from_le_bytes([t0, t1]) {
            USER_OBJ => acl.user_obj = Some(perms),
            GROUP_OBJ => acl.group_obj = Some(perms),
            MASK => acl.mask_obj = Some(perms),
            OTHER => acl.other_obj = Some(perms),
            USER => acl.named.push(Named { id, user: true, perms }),
            GROUP => acl.named.push(Named { id, user: false, perms }),
            _ => return None,
        }
    }
    sort(&mut acl.named);
    Some(acl)
}

/// Users before groups, by id.
fn sort(named: &mut [Named]) {
    named.sort_by_key(|e| (!e.user, e.id));
}

/// To the system's form. All objects but the mask must be there.
pub fn encode(acl: &Acl) -> Vec<u8> {
    let mut out = VERSION.to_le_bytes().to_vec();
    let mut put = |tag: u16, perms: u8, id: u32| {
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&u16::from(perms).to_le_bytes());
        out.extend_from_slice(&id.to_le_bytes());
    };
    let mut named = acl.named.clone();
    sort(&mut named);
    let (users, groups): (Vec<Named>, Vec<Named>) = named.iter().partition(|e| e.user);
    put(USER_OBJ, acl.user_obj.unwrap_or(0), NO_ID);
    users.iter().for_each(|e| put(USER, e.perms, e.id));
    put(GROUP_OBJ, acl.group_obj.unwrap_or(0), NO_ID);
    groups.iter().for_each(|e| put(GROUP, e.perms, e.id));
    if let Some(mask) = acl.mask_obj {
        put(MASK, mask, NO_ID);
    }
    put(OTHER, acl.other_obj.unwrap_or(0), NO_ID);
    out
}

/// From the form of fake-super.
pub fn decode_fake(value: &[u8]) -> Option<Acl> {
    let (words, rest) = value.as_chunks::<4>();
    let (objects, named) = words.split_first_chunk::<4>()?;
    let (named, odd) = named.as_chunks::<2>();
    if !rest.is_empty() || !odd.is_empty() {
        return None;
    }
    let object = |bytes: &[u8; 4]| {
        let word = u32::from_le_bytes(*bytes);
        (word != ABSENT).then(|| u8::try_from(word & 7).unwrap_or(0))
    };
    let [user, group, mask, other] = objects;
    Some(Acl {
        user_obj: object(user),
        group_obj: object(group),
        mask_obj: object(mask),
        other_obj: object(other),
        named: named
            .iter()
            .map(|[id, access]| {
                let access = u32::from_le_bytes(*access);
                let perms = u8::try_from(access & 7).unwrap_or(0);
                Named { id: u32::from_le_bytes(*id), user: access & IS_USER != 0, perms }
            })
            .collect(),
    })
}

/// To the form of fake-super.
pub fn encode_fake(acl: &Acl) -> Vec<u8> {
    let mut out = Vec::new();
    for object in [acl.user_obj, acl.group_obj, acl.mask_obj, acl.other_obj] {
        out.extend_from_slice(&object.map_or(ABSENT, u32::from).to_le_bytes());
    }
    for entry in &acl.named {
        out.extend_from_slice(&entry.id.to_le_bytes());
        let user = if entry.user { IS_USER } else { 0 };
        out.extend_from_slice(&(u32::from(entry.perms) | user).to_le_bytes());
    }
    out
}

/// The ACL of a file; `None`: none beside its mode.
pub fn read(on: Handle<'_>, follow: bool, kind: Kind, fake: bool) -> io::Result<Option<Acl>> {
    if fake {
        return Ok(xattr::find(on, follow, fake_attribute(kind))?.as_deref().and_then(decode_fake));
    }
    Ok(xattr::find(on, follow, attribute(kind))?.as_deref().and_then(decode))
}

/// Gives a file an access ACL in which everything is filled in.
pub fn write_access(on: Handle<'_>, acl: &Acl) -> io::Result<()> {
    match xattr::set(on, attribute(Kind::Access), &encode(acl)) {
        // A file system without ACLs has what a mode says.
        Err(Errno::OPNOTSUPP) if acl.is_trivial() => Ok(()),
        other => other,
    }
}

/// Gives a directory a default ACL.
pub fn write_default(on: Handle<'_>, acl: &Acl) -> io::Result<()> {
    xattr::set(on, attribute(Kind::Default), &encode(acl))
}

/// Takes the default ACL away.
pub fn remove_default(on: Handle<'_>) -> io::Result<()> {
    match xattr::remove(on, attribute(Kind::Default)) {
        Err(Errno::OPNOTSUPP) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Acl {
        Acl {
            user_obj: Some(6),
            group_obj: Some(4),
            mask_obj: Some(6),
            other_obj: Some(4),
            named: vec![Named { id: 1000, user: true, perms: 6 }, Named { id: 33, user: false, perms: 4 }],
        }
    }

    #[test]
    fn the_system_form_is_in_tag_order() {
        let bytes = [
            &[2, 0, 0, 0][..],
            &[1, 0, 6, 0, 255, 255, 255, 255],
            &[2, 0, 6, 0, 0xe8, 3, 0, 0],
            &[4, 0, 4, 0, 255, 255, 255, 255],
            &[8, 0, 4, 0, 33, 0, 0, 0],
            &[16, 0, 6, 0, 255, 255, 255, 255],
            &[32, 0, 4, 0, 255, 255, 255, 255],
        ]
        .concat();
        let mut mixed = sample();
        mixed.named.reverse();
        assert_eq!(encode(&mixed), bytes);
        assert_eq!(decode(&bytes), Some(sample()));
        assert_eq!(decode(&bytes[..7]), None);
        assert_eq!(decode(&[3, 0, 0, 0]), None);
    }

    #[test]
    fn the_stored_form_marks_users_and_absent_objects() {
        let acl = Acl { mask_obj: None, ..sample() };
        let bytes = [
            &[6, 0, 0, 0][..],
            &[4, 0, 0, 0],
            &[0x80, 0, 0, 0],
            &[4, 0, 0, 0],
            &[0xe8, 3, 0, 0, 6, 0, 0, 0x80],
            &[33, 0, 0, 0, 4, 0, 0, 0],
        ]
        .concat();
        assert_eq!(encode_fake(&acl), bytes);
        assert_eq!(decode_fake(&bytes), Some(acl));
        assert_eq!(decode_fake(&bytes[..20]), None);
    }
}
