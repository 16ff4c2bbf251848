//! Work on a thread of its own that a task awaits, so that the other tasks of its thread go on meanwhile.

use alloc::sync::Arc;
use core::{
    cell::OnceCell,
    future::poll_fn,
    task::{Poll, Waker},
};
use std::sync::{
    Mutex, MutexGuard, PoisonError,
    mpsc::{SendError, Sender, channel},
};

type Work = Box<dyn FnOnce() + Send>;

/// The thread, started with the first work. It ends with this value, behind what it was given.
#[derive(Default)]
pub struct Aside {
    /// None where there is no second processor, or no thread.
    thread: OnceCell<Option<Sender<Work>>>,
}

impl core::fmt::Debug for Aside {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Aside").finish_non_exhaustive()
    }
}

/// What becomes of a piece of work.
struct State<T> {
    result: Option<T>,
    /// It is over, with a result or without.
    ended: bool,
    waker: Option<Waker>,
}

/// Where work and whoever awaits it meet.
struct Slot<T>(Mutex<State<T>>);

impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that work is over, however it ends.
struct AtEnd<T>(Arc<Slot<T>>);

impl<T> Drop for AtEnd<T> {
    fn drop(&mut self) {
        let waker = {
            let mut state = self.0.lock();
            state.ended = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Aside {
    /// Does the work on the thread; here, where there is none. None: it came to no end.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let slot = Arc::new(Slot(Mutex::new(State { result: None, ended: false, waker: None })));
        let at_end = AtEnd(slot.clone());
        let work: Work = Box::new(move || {
            let result = work();
            at_end.0.lock().result = Some(result);
        });
        let refused = match self.thread.get_or_init(start) {
            Some(thread) => thread.send(work).err().map(|SendError(work)| work),
            None => Some(work),
        };
        if let Some(work) = refused {
            work();
        }
        poll_fn(|cx| {
            let mut state = slot.lock();
            if state.ended {
                return Poll::Ready(state.result.take());
            }
            state.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

fn start() -> Option<Sender<Work>> {
    if super::processors() < 2 {
        return None;
    }
    let (orders, ordered) = channel::<Work>();
    let serve = move || ordered.into_iter().for_each(|work| work());
    std::thread::Builder::new().name("aside".into()).spawn(serve).ok()?;
    Some(orders)
}

#[cfg(test)]
mod tests {
    use core::{future::Future, pin::pin, task::Context};
    use std::{task::Wake, thread::Thread};

    use super::*;

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    fn wait_for<F: Future>(future: F) -> F::Output {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut future = pin!(future);
        loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(out) => return out,
                Poll::Pending => std::thread::park(),
            }
        }
    }

    #[test]
    fn whoever_waits_gets_the_result() {
        let aside = Aside::default();
        for n in 0..100 {
            assert_eq!(wait_for(aside.run(move || n * 2)), Some(n * 2));
        }
        let nobody = Aside { thread: OnceCell::from(None) };
        assert_eq!(wait_for(nobody.run(|| 7)), Some(7));
    }

    #[test]
    fn work_that_fails_is_over() {
        if crate::engine::processors() < 2 {
            // It would fail here.
            return;
        }
        let aside = Aside::default();
        assert_eq!(wait_for(aside.run(|| -> u8 { std::panic::resume_unwind(Box::new(())) })), None::<u8>);
        // The thread is gone: what follows is done here.
        while aside
            .thread
            .get_or_init(start)
            .as_ref()
            .is_some_and(|thread| thread.send(Box::new(|| ())).is_ok())
        {
            std::thread::yield_now();
        }
        assert_eq!(wait_for(aside.run(|| 7)), Some(7));
    }
}
