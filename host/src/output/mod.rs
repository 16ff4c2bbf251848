//! What the user sees: texts, numbers, times, and on which stream.

// The sessions that use all of this are not part of the crate yet.
#![allow(dead_code)]

pub(crate) mod format;
pub(crate) mod number;
pub(crate) mod strerror;
pub(crate) mod time;
