//! A wake-up from one future of a task to another.

use core::{
    cell::{Cell, RefCell},
    future::poll_fn,
    task::{Poll, Waker},
};

/// A flag that one future raises and another waits for. A raised flag is not lost: the next wait returns at
/// once. For futures of one task; not `Sync`.
#[derive(Debug, Default)]
pub struct Notify {
    raised: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Notify {
    /// A lowered flag.
    pub const fn new() -> Self {
        Self { raised: Cell::new(false), waker: RefCell::new(None) }
    }

    /// Raises the flag and wakes who waits.
    pub fn notify(&self) {
        self.raised.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Waits until the flag is raised and lowers it. Cancel-safe.
    pub async fn wait(&self) {
        poll_fn(|cx| {
            if self.raised.replace(false) {
                Poll::Ready(())
            } else {
                *self.waker.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        })
        .await;
    }
}
