//! arsync.

extern crate alloc;

#[allow(dead_code, reason = "used by the sessions")]
mod engine;
#[allow(dead_code, reason = "used by the sessions")]
mod ring;
pub mod transport;
