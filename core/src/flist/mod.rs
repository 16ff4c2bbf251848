//! File lists: entries, their wire form, their order, and the numbering of several lists.

#[cfg(feature = "alloc")]
pub mod acl;
pub mod compare;
#[cfg(feature = "alloc")]
pub mod decode;
#[cfg(feature = "alloc")]
pub mod encode;
#[cfg(feature = "alloc")]
pub mod entry;
#[cfg(feature = "alloc")]
mod format;
#[cfg(feature = "alloc")]
pub mod ids;
pub mod kind;
#[cfg(feature = "alloc")]
pub mod order;
#[cfg(feature = "alloc")]
pub mod xattr;
pub(crate) mod xmit;

#[cfg(feature = "alloc")]
pub use format::{Format, Tables};
