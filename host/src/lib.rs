//! arsync.

extern crate alloc;

#[allow(dead_code, reason = "used by the sessions")]
mod cli;
#[allow(dead_code, reason = "used by the sessions")]
mod engine;
#[allow(dead_code, reason = "used by the sessions")]
mod output;
#[allow(dead_code, reason = "used by the sessions")]
mod ring;
pub mod transport;
