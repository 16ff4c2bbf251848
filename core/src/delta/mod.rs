//! Delta transfer: what describes a basis file, and the search for its blocks in a new file.
//!
//! [`SumHead`] is the header of the block sums; [`append_block_sums`] makes the sums (generator), [`Matcher`]
//! searches with them (sender), the part that looks at every position as a [`Sifting`] that several may share. Where the basis
//! is at hand, `anchors` finds its blocks without sums. Nothing here reads or writes by itself.

#[cfg(feature = "alloc")]
pub(crate) mod anchors;
#[cfg(feature = "alloc")]
mod index;
#[cfg(feature = "alloc")]
mod matcher;
#[cfg(feature = "alloc")]
mod sift;
#[cfg(feature = "alloc")]
mod signature;
mod sum_head;
#[cfg(feature = "alloc")]
mod windows;

#[cfg(feature = "alloc")]
pub(crate) use matcher::{InPlace, window_len};
#[cfg(feature = "alloc")]
pub use matcher::{MatchStats, Matcher, Step};
#[cfg(feature = "alloc")]
pub use sift::{Candidate, Sifting};
#[cfg(feature = "alloc")]
pub use signature::{append_block_sums, blocks_at_a_time};
pub use sum_head::SumHead;
