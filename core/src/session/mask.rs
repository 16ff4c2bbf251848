//! The creation mask, which a default ACL can replace.

use alloc::vec::Vec;

use super::dest_side::DestSide;
use crate::{
    error::Role,
    names::RelName,
    ports::{Notice, Observer, PortError, Target},
};

/// The creation mask inside the directory that a role asked for last.
#[derive(Debug)]
pub(super) struct KnownMask {
    role: Role,
    dir: Vec<u8>,
    mask: u32,
}

impl<T: Target, O: Observer> DestSide<'_, T, O> {
    /// The creation mask inside the directory of a name: its default ACL takes the place of the process's
    /// mask (spec: permissions). With `-p` no mask is used. When the receiver asks, the generator may have changed that ACL:
    /// each role asks for itself, as in the reference.
    pub(super) async fn mask(&self, role: Role, name: RelName<'_>) -> u32 {
        let umask = self.rights.umask;
        if self.shared.options.preserve.perms || self.missing_root {
            return umask;
        }
        let dir = if name == RelName::ROOT { name } else { name.parent() };
        let masks = &self.shared.extended.masks;
        let known = masks
            .borrow()
            .iter()
            .find(|known| known.role == role && known.dir == dir.bytes())
            .map(|k| k.mask);
        if let Some(mask) = known {
            return mask;
        }
        let mask = match self.target.inherited_acl(dir).await {
            Ok(Some(acl)) => !acl.permissions() & 0o777,
            Err(error) if error.is_not_found() && !self.shared.options.dry_run => {
                self.shared.report(role, &Notice::NoDefaultAcl { dir: dir.bytes(), error });
                umask
            }
            // What is no directory stays where it is.
            Err(PortError::NOT_DIR) if self.shared.options.select.ignore_existing => {
                let error = PortError::ACCESS;
                self.shared.report(role, &Notice::NoDefaultAcl { dir: dir.bytes(), error });
                umask
            }
            _ => umask,
        };
        let mut masks = masks.borrow_mut();
        masks.retain(|known| known.role != role);
        masks.push(KnownMask { role, dir: dir.bytes().to_vec(), mask });
        mask
    }
}
