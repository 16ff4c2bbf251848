//! An end that another thread asks for: whoever waits for a peer is told that no more will come.

use core::{
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Waker},
};
use std::sync::{Mutex, PoisonError};

static ASKED: AtomicBool = AtomicBool::new(false);
/// Of the task that reads from a peer.
static READER: Mutex<Option<Waker>> = Mutex::new(None);

/// Every read of the process that is not satisfied by what is there already fails from here on.
pub(crate) fn interrupt() {
    ASKED.store(true, Ordering::SeqCst);
    let reader = READER.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(reader) = reader {
        reader.wake();
    }
}

/// The end was asked for.
pub(crate) fn is_interrupted() -> bool {
    ASKED.load(Ordering::SeqCst)
}

/// Has a task woken by [`interrupt`]; true if that was called already.
pub(super) fn watch(cx: &Context<'_>) -> bool {
    let mut reader = READER.lock().unwrap_or_else(PoisonError::into_inner);
    if !reader.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
        *reader = Some(cx.waker().clone());
    }
    drop(reader);
    is_interrupted()
}
