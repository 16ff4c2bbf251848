//! arsync: a drop-in replacement for rsync 3.5.0 on Linux.
//!
//! The program is [`run`]. For programs that embed it: [`transport`] has the connections, and
//! [`rsync_send_via_pipe`] and [`rsync_receive_via_pipe`] run a whole sender or receiver over any of them.
//! What is protocol and not Linux is the crate `arsync-core`.

extern crate alloc;

mod cli;
mod daemon;
mod engine;
#[cfg(test)]
#[path = "../../tests/fuzz/spoil.rs"]
mod fuzz;
#[cfg(test)]
#[path = "../../tests/needs.rs"]
mod needs;
mod output;
mod pipe_session;
mod ring;
mod run;
mod session;
pub mod transport;
mod vouched;

pub use pipe_session::{
    MultiplexReader, MultiplexWriter, Summary, handshake, handshake_receiver, handshake_sender,
    rsync_receive_via_pipe, rsync_send_via_pipe,
};
pub use run::run;
