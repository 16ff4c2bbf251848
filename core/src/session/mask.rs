//! The creation mask, which a default ACL can replace.

use alloc::vec::Vec;

use super::generator::DestSide;
use crate::{
    error::Role,
    names::RelName,
    ports::{Notice, Observer, PortError, Target},
};

/// The creation mask inside the directory that was asked for last.
#[derive(Debug)]
pub(super) struct KnownMask {
    dir: Vec<u8>,
    mask: u32,
    /// There is no such directory. Each role says so.
    missing: Option<(PortError, Vec<Role>)>,
}

impl<T: Target, O: Observer> DestSide<'_, T, O> {
    /// The creation mask inside the directory of a name: its default ACL takes the place of the process's
    /// mask (spec: permissions). With `-p` no mask is used.
    pub(super) async fn mask(&self, role: Role, name: RelName<'_>) -> u32 {
        let umask = self.rights.umask;
        if self.shared.options.preserve.perms || self.missing_root {
            return umask;
        }
        let dir = if name == RelName::ROOT { name } else { name.parent() };
        let mut known = self.shared.extended.mask.borrow_mut().take();
        if known.as_ref().is_none_or(|known| known.dir != dir.bytes()) {
            let (mask, missing) = match self.target.inherited_acl(dir).await {
                Ok(Some(acl)) => (!acl.permissions() & 0o777, None),
                Err(error) if error.is_not_found() => (umask, Some((error, Vec::new()))),
                _ => (umask, None),
            };
            known = Some(KnownMask { dir: dir.bytes().to_vec(), mask, missing });
        }
        let Some(mut known) = known else { return umask };
        if let Some((error, told)) = &mut known.missing
            && !told.contains(&role)
            && !self.shared.options.dry_run
        {
            told.push(role);
            self.shared.report(role, &Notice::NoDefaultAcl { dir: dir.bytes(), error: *error });
        }
        let mask = known.mask;
        *self.shared.extended.mask.borrow_mut() = Some(known);
        mask
    }
}
