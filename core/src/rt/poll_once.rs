//! An executor for futures that never wait.

use core::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

/// Runs a future whose transport is always ready (memory, blocking files).
///
/// # Panics
/// If the future waits for something.
pub fn block_on_ready<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(out) => out,
        Poll::Pending => panic!("the future waits, but nothing can wake it"),
    }
}
