//! The little of an executor that a session needs: two futures joined, and a wake-up between them.
//!
//! No spawning, no allocation for the futures, no thread.

mod join;
mod notify;
mod poll_once;
mod yield_now;

pub use join::{Either, join2, select2};
pub use notify::Notify;
pub use poll_once::{block_on_ready, poll_once};
pub use yield_now::yield_now;
