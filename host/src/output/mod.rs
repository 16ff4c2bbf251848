//! What the user sees: texts, numbers, times, and on which stream.

pub(crate) mod clib;
pub(crate) mod console;
pub(crate) mod escape;
pub(crate) mod exit_line;
pub(crate) mod format;
pub(crate) mod list;
pub(crate) mod log_file;
pub(crate) mod message;
pub(crate) mod number;
pub(crate) mod progress;
pub(crate) mod stdout;
pub(crate) mod steps;
pub(crate) mod strerror;
pub(crate) mod summary;
pub(crate) mod time;
pub(crate) mod visitor;
