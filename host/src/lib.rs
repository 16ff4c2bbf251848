//! arsync: a drop-in replacement for rsync 3.5.0 on Linux.

extern crate alloc;

mod cli;
mod engine;
mod output;
mod ring;
mod run;
mod session;
pub mod transport;

pub use run::run;
