//! File lists.

pub mod entry;
