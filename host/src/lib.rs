//! arsync.
