//! tmp
#![allow(dead_code)]
pub(crate) mod console;
pub(crate) mod exit_line;
pub(crate) mod format;
pub(crate) mod message;
pub(crate) mod number;
pub(crate) mod strerror;
pub(crate) mod time;
