//! What the user sees: texts, numbers, times, and on which stream.

pub(crate) mod format;
pub(crate) mod number;
pub(crate) mod strerror;
pub(crate) mod time;
