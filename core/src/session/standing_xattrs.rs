//! Extended attributes of what stands at the destination, compared with those that are wanted.

use alloc::vec::Vec;

use super::{dest_side::DestSide, extended::value_sums};
use crate::ports::{Observer, Op, Place, PortError, Target};

impl<T: Target, O: Observer> DestSide<'_, T, O> {
    /// The attributes that count here, sorted. `None`: they cannot be read, which was reported.
    pub(super) async fn attributes_at(&self, at: Place<'_>) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut found = Vec::new();
        for name in self.names_at(at).await {
            match self.target.xattr(at, &name).await {
                Ok(value) => found.push((name, value)),
                Err(error) if error == PortError::NO_DATA || error.is_not_found() => {}
                Err(error) => {
                    self.failed(Op::GetXattr, at, &name, error);
                    return None;
                }
            }
        }
        found.sort_unstable();
        Some(found)
    }

    /// Whether attributes differ, and which values are not known on this side.
    pub(super) fn compare_xattrs(&self, number: u32, here: &[(Vec<u8>, Vec<u8>)]) -> (bool, Vec<u32>) {
        let Some(set) = self.shared.extended.set(number) else { return (false, Vec::new()) };
        let mut differs = here.len() != set.len();
        let mut wanted = Vec::new();
        for xattr in set.iter() {
            let found = here.binary_search_by(|(name, _)| name.cmp(&xattr.name));
            let same = found.is_ok_and(|at| {
                here.get(at).is_some_and(|(_, value)| xattr.is(value, value_sums(self.shared)))
            });
            if !same {
                differs = true;
                if xattr.is_short() {
                    wanted.push(xattr.item);
                }
            }
        }
        (differs, wanted)
    }

    /// Whether the attributes at a place are others than those of a set.
    pub(super) async fn differs_from(&self, number: u32, at: Place<'_>) -> bool {
        let here = self.attributes_at(at).await.unwrap_or_default();
        self.compare_xattrs(number, &here).0
    }
}
