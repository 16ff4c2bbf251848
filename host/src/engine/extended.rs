//! All attributes of a file in their order: owner, the attribute of fake-super, extended attributes, times,
//! ACLs, permissions (spec: attributes, order and conditions). What of the extended ones fails is noted, and
//! the rest goes on.

use core::cell::RefCell;
use std::sync::{Mutex, PoisonError};

use arsync_core::{
    flist::acl::{Acl, Kind},
    flist::entry::{FileKind, mode},
    ports::{AttrStep, Attrs, Extended, ExtendedFailure, Op, PortError, Stat},
};
use rustix::io::{self, Errno};

use super::{
    acl, fake,
    meta::{self, Handle},
    port, xattr,
};

/// How attributes are set in a session, and what failed.
#[derive(Debug, Default)]
pub struct Setter {
    fake: bool,
    failures: Mutex<Vec<ExtendedFailure>>,
}

impl Setter {
    pub fn new(fake: bool) -> Self {
        Self { fake, failures: Mutex::default() }
    }

    /// `--fake-super`
    pub fn is_fake(&self) -> bool {
        self.fake
    }

    /// What failed since the last call.
    pub fn take_failures(&self) -> Vec<ExtendedFailure> {
        core::mem::take(&mut self.failures.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes what failed.
    pub fn fail(&self, op: Op, path: &[u8], xattr: &[u8], error: PortError) {
        let failure = ExtendedFailure { op, path: path.to_vec(), xattr: xattr.to_vec(), error };
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
    }

    /// Sets what differs from `standing`. `path`: the name for messages.
    pub fn apply(
        &self,
        on: Handle<'_>,
        path: &[u8],
        standing: &Stat,
        attrs: &Attrs,
        extended: Option<&Extended>,
    ) -> Result<bool, (AttrStep, Errno)> {
        // What `--fake-super` noted down stays as it is with another time.
        if extended.is_none() && (!self.fake || attrs.are_times()) {
            return meta::apply(on, standing, attrs);
        }
        let nothing = Extended::default();
        let extended = extended.unwrap_or(&nothing);
        let xattrs = || self.set_xattrs(on, path, extended);
        if self.fake {
            let acls = || {
                let access = self.keep_acl(on, path, Kind::Access, extended.acl.as_ref());
                self.keep_acl(on, path, Kind::Default, extended.default_acl.as_ref()) | access
            };
            let failed = |error| self.fail(Op::WriteStat, path, fake::ATTRIBUTE, port(error));
            return fake::apply(on, attrs, xattrs, acls, failed);
        }
        let before_mode = |perms, wanted| {
            // As in the reference, the default ACL is not tried where this one could not be set.
            let access =
                self.set_access(on, path, standing.kind(), perms, wanted, extended.acl.as_ref()).ok()?;
            let default = self.set_default(on, path, extended.default_acl.as_ref());
            access.or(default.then_some(perms))
        };
        meta::apply_around(on, standing, attrs, xattrs, before_mode)
    }

    fn set_xattrs(&self, on: Handle<'_>, path: &[u8], extended: &Extended) -> bool {
        if extended.xattrs.is_empty() {
            return false;
        }
        let opened = RefCell::new(None);
        for change in &extended.xattrs {
            let attempt = || match &change.value {
                Some(value) => xattr::set(on, &change.name, value),
                None => xattr::remove(on, &change.name),
            };
            let mut done = attempt();
            if matches!(done, Err(Errno::ACCESS | Errno::PERM)) && opened.borrow().is_none() {
                // Who owns a file that forbids writing may write its attributes after a change of mode.
                if let Some(closed) = open_up(on) {
                    *opened.borrow_mut() = Some(closed);
                    done = attempt();
                }
            }
            if let Err(error) = done {
                let op = if change.value.is_some() { Op::SetXattr } else { Op::RemoveXattr };
                self.fail(op, path, &change.name, port(error));
            }
        }
        if let Some((perms, kind)) = opened.into_inner() {
            let _ = meta::set_mode(on, perms, kind);
        }
        true
    }

    /// Gives a file the access ACL. Returns the permissions that it has afterwards, if they were touched; an error was noted.
    fn set_access(
        &self,
        on: Handle<'_>,
        path: &[u8],
        kind: FileKind,
        perms: u32,
        wanted: Option<u32>,
        acl: Option<&Acl>,
    ) -> Result<Option<u32>, ()> {
        let Some(acl) = acl else { return Ok(None) };
        let final_perms = wanted.unwrap_or(perms);
        let here = match acl::read(on, false, Kind::Access, false) {
            Ok(here) => here.unwrap_or_default(),
            Err(error) => {
                self.fail(Op::GetTargetAcl(Kind::Access), path, &[], port(error));
                return Ok(None);
            }
        };
        if acl.same_access(&here, final_perms) {
            return Ok(None);
        }
        let mut full = acl.clone().for_mode(final_perms);
        // Between this call and the change of mode nobody may get more than before and after.
        let sticky_comes = kind == FileKind::Dir && final_perms & !perms & 0o1000 != 0;
        let set_id_goes = kind != FileKind::Dir && perms & !final_perms & 0o6000 != 0;
        if sticky_comes || set_id_goes {
            full.other_obj = Some(0);
            match full.mask_obj.as_mut() {
                Some(mask) => {
                    // The change of mode brings the mask back, but not the group beside it: an ACL in which both are
                    // equal has the mask alone, so the group gets nothing until the next run (stock binary).
                    if full.group_obj == Some(*mask) {
                        full.group_obj = Some(0);
                    }
                    *mask = 0;
                }
                None => full.group_obj = Some(0),
            }
        }
        acl::write_access(on, &full)
            .map_err(|error| self.fail(Op::SetAcl(Kind::Access), path, &[], port(error)))?;
        Ok(meta::stat_of(on).ok().map(|now| now.mode & mode::PERMS))
    }

    fn set_default(&self, on: Handle<'_>, path: &[u8], acl: Option<&Acl>) -> bool {
        let Some(acl) = acl else { return false };
        let here = match acl::read(on, false, Kind::Default, false) {
            Ok(here) => here.unwrap_or_default(),
            Err(error) => {
                self.fail(Op::GetTargetAcl(Kind::Default), path, &[], port(error));
                return false;
            }
        };
        if here == *acl {
            return false;
        }
        let (op, done) = if acl.is_absent() {
            (Op::RemoveDefaultAcl, acl::remove_default(on))
        } else {
            (Op::SetAcl(Kind::Default), acl::write_default(on, acl))
        };
        done.map_err(|error| self.fail(op, path, &[], port(error))).is_ok()
    }

    /// Fake-super: an ACL goes to an attribute.
    fn keep_acl(&self, on: Handle<'_>, path: &[u8], kind: Kind, acl: Option<&Acl>) -> bool {
        let Some(acl) = acl else { return false };
        let name = acl::fake_attribute(kind);
        let wanted = match kind {
            Kind::Access => !acl.is_trivial(),
            Kind::Default => !acl.is_absent(),
        };
        let here = xattr::find(on, false, name).ok().flatten();
        let value = wanted.then(|| acl::encode_fake(acl));
        if here == value {
            return false;
        }
        let done: io::Result<()> = match &value {
            Some(value) => xattr::set(on, name, value),
            None => xattr::remove(on, name),
        };
        if let Err(error) = done {
            self.fail(Op::SetAcl(kind), path, &[], port(error));
        }
        true
    }
}

/// Lets the owner write. Returns the permissions from before and the type; `None`: that is not the reason.
fn open_up(on: Handle<'_>) -> Option<(u32, FileKind)> {
    let now = meta::stat_of(on).ok()?;
    let perms = now.mode & mode::PERMS;
    if perms & 0o200 != 0 || now.kind() == FileKind::Symlink {
        return None;
    }
    meta::set_mode(on, perms | 0o200, now.kind()).ok()?;
    Some((perms, now.kind()))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::{
            fd::OwnedFd,
            unix::fs::{MetadataExt, PermissionsExt},
        },
    };

    use arsync_core::{flist::acl::Named, ports::XattrChange};

    use super::*;
    use crate::needs::needs;

    fn sample() -> Acl {
        Acl { mask_obj: Some(6), named: vec![Named { id: 1000, user: true, perms: 6 }], ..Acl::default() }
    }

    /// A file with mode 0644, and whether its file system can do what is tested.
    fn file(tmp: &tempfile::TempDir) -> (OwnedFd, bool) {
        let path = tmp.path().join("f");
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let file: OwnedFd = fs::File::open(&path).unwrap().into();
        let able = xattr::set(Handle::File(&file), b"user.t", b"").is_ok()
            && acl::write_access(Handle::File(&file), &sample().for_mode(0o644)).is_ok();
        let _ = xattr::remove(Handle::File(&file), b"user.t");
        let _ = acl::write_access(Handle::File(&file), &Acl::default().for_mode(0o644));
        (file, able)
    }

    #[test]
    fn acl_and_attributes_are_set_once() {
        let tmp = tempfile::tempdir().unwrap();
        let (file, able) = file(&tmp);
        if !needs("extended attributes and ACLs", able) {
            return;
        }
        let on = Handle::File(&file);
        let setter = Setter::new(false);
        let attrs = Attrs { mode: Some(0o100_664), ..Attrs::default() };
        let extended = Extended {
            xattrs: vec![XattrChange { name: b"user.a".to_vec(), value: Some(b"1".to_vec()) }],
            acl: Some(sample()),
            default_acl: None,
        };
        let apply =
            |extended: &Extended| setter.apply(on, b"f", &meta::stat_of(on).unwrap(), &attrs, Some(extended));
        assert_eq!(apply(&extended), Ok(true));
        assert_eq!(fs::metadata(tmp.path().join("f")).unwrap().mode(), 0o100_664);
        let now = acl::read(on, false, Kind::Access, false).unwrap().unwrap();
        assert_eq!((now.group_obj, now.mask_obj, now.named), (Some(6), Some(6), sample().named));
        assert_eq!(xattr::get(on, false, b"user.a").unwrap(), b"1");
        let again = Extended { xattrs: Vec::new(), ..extended.clone() };
        assert_eq!(apply(&again), Ok(false));
        let plain = Extended { acl: Some(Acl::default()), ..Extended::default() };
        assert_eq!(apply(&plain), Ok(true));
        assert_eq!(acl::read(on, false, Kind::Access, false), Ok(None));
        assert_eq!(setter.take_failures(), []);
    }

    #[test]
    fn failures_do_not_stop_the_rest() {
        let tmp = tempfile::tempdir().unwrap();
        let (file, _) = file(&tmp);
        let on = Handle::File(&file);
        let setter = Setter::new(false);
        let attrs = Attrs { mode: Some(0o100_600), ..Attrs::default() };
        let extended = Extended {
            xattrs: vec![XattrChange { name: b"nospace".to_vec(), value: Some(Vec::new()) }],
            ..Extended::default()
        };
        setter.apply(on, b"f", &meta::stat_of(on).unwrap(), &attrs, Some(&extended)).unwrap();
        let failed = setter.take_failures();
        assert_eq!((failed.len(), failed[0].op, &*failed[0].xattr), (1, Op::SetXattr, &b"nospace"[..]));
        assert_eq!(fs::metadata(tmp.path().join("f")).unwrap().mode(), 0o100_600);
    }

    #[test]
    fn fake_super_keeps_what_the_inode_cannot_show() {
        let tmp = tempfile::tempdir().unwrap();
        let (file, able) = file(&tmp);
        if !needs("extended attributes and ACLs", able) {
            return;
        }
        let dir = OwnedFd::from(fs::File::open(tmp.path()).unwrap());
        let on = Handle::Name(&dir, b"f");
        let setter = Setter::new(true);
        let apply = |attrs: &Attrs| setter.apply(on, b"f", &meta::stat_of(on).unwrap(), attrs, None);
        let owner = meta::stat_of(on).unwrap();
        let attrs = Attrs { mode: Some(0o104_455), uid: Some(12), gid: Some(34), ..Attrs::default() };
        assert_eq!(apply(&attrs), Ok(true));
        assert_eq!(xattr::get(on, false, fake::ATTRIBUTE).unwrap(), b"104455 0,0 12:34");
        let real = meta::stat_of(on).unwrap();
        assert_eq!((real.mode, real.uid), (0o100_655, owner.uid));
        assert_eq!(apply(&attrs), Ok(false));
        // What was received is what its inode is.
        let received = setter.apply(Handle::File(&file), b"f", &real, &attrs, None);
        assert_eq!(received, Ok(true));
        let mut shown = real;
        fake::overlay(on, false, &mut shown).unwrap();
        assert_eq!((shown.mode, shown.uid, shown.gid), (0o104_455, 12, 34));
        let own =
            Attrs { mode: Some(0o100_644), uid: Some(owner.uid), gid: Some(owner.gid), ..Attrs::default() };
        assert_eq!(apply(&own), Ok(true));
        assert_eq!(xattr::find(on, false, fake::ATTRIBUTE), Ok(None));
        let device = Attrs { mode: Some(0o020_644), rdev: Some((1, 3)), ..own };
        assert_eq!(apply(&device), Ok(true));
        assert_eq!(
            xattr::get(on, false, fake::ATTRIBUTE).unwrap(),
            format!("20644 1,3 {}:{}", owner.uid, owner.gid).as_bytes()
        );
    }
}
