//! Signs of life of a connection, for time limits.

use alloc::rc::Rc;
use core::cell::Cell;

/// Counters that the two directions of a connection share with whoever watches them.
#[derive(Debug, Default, Clone)]
pub struct Activity(Rc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    moves: Cell<u64>,
    writes: Cell<u64>,
}

impl Activity {
    /// Completed reads and writes.
    pub fn moves(&self) -> u64 {
        self.0.moves.get()
    }

    /// Completed writes.
    pub fn writes(&self) -> u64 {
        self.0.writes.get()
    }

    /// A read or a write was completed.
    pub(super) fn moved(&self, write: bool) {
        self.0.moves.set(self.0.moves.get() + 1);
        self.0.writes.set(self.0.writes.get() + u64::from(write));
    }
}
