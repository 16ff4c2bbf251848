//! What is read ahead of who needs it, directories and digests of files: announced reads run on a few threads, and
//! their results are taken by key. Nothing here knows what is read.
//!
//! Results are kept up to a bound, so that readers do not run away; what was expected before a result that is
//! taken, and never asked for, is dropped.

use alloc::{collections::VecDeque, sync::Arc};
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use arsync_core::ports::Turn;

/// Results that may wait to be taken.
const KEPT: usize = 64;

/// Cheap reads are begun together, up to this cost and number: a wake-up costs as much as the smallest of them.
const BATCH_COST: u64 = 512 << 10;
const BATCH: usize = 16;

/// A read and its cost (of nothing but the work on data, bytes); without a result there is nothing to take.
pub struct Read<R> {
    cost: u64,
    run: Box<dyn FnOnce() -> Option<R> + Send>,
}

impl<R> Read<R> {
    /// A read that is begun by itself.
    pub fn new(run: impl FnOnce() -> Option<R> + Send + 'static) -> Self {
        Self::costing(BATCH_COST, run)
    }

    /// A read of so many bytes.
    pub fn costing(cost: u64, run: impl FnOnce() -> Option<R> + Send + 'static) -> Self {
        Self { cost, run: Box::new(run) }
    }
}

enum Slot<R> {
    Waiting(Read<R>),
    Running,
}

struct State<K, R> {
    queue: VecDeque<K>,
    slots: HashMap<K, Slot<R>>,
    /// In the order in which they were complete.
    done: VecDeque<(K, R)>,
    kept: usize,
    /// Threads that wait for something to do, and whether a result is waited for: nobody else is woken.
    idle: usize,
    wanted: bool,
    closed: bool,
}

struct Desk<K, R> {
    state: Mutex<State<K, R>>,
    /// There is work, or room for results, or the desk is closed.
    work: Condvar,
    /// A read ended.
    ended: Condvar,
}

impl<K, R> Desk<K, R> {
    fn lock(&self) -> MutexGuard<'_, State<K, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads announced, under way and complete.
pub struct Ahead<K, R> {
    desk: Arc<Desk<K, R>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    count: usize,
    /// Every result counts, also one that was passed over.
    keeps_all: bool,
}

impl<K, R> core::fmt::Debug for Ahead<K, R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Ahead").field("count", &self.count).finish_non_exhaustive()
    }
}

impl<K: Hash + Eq + Clone + Send + 'static, R: Send + 'static> Ahead<K, R> {
    /// With a thread for each two processors, four at most; on a machine with one, nothing is read ahead.
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, core::num::NonZero::get);
        Self::with_threads((cores / 2).min(4))
    }

    /// With so many threads, which start when the first read is announced.
    pub fn with_threads(count: usize) -> Self {
        let state = State {
            queue: VecDeque::new(),
            slots: HashMap::new(),
            done: VecDeque::new(),
            kept: KEPT,
            idle: 0,
            wanted: false,
            closed: false,
        };
        let desk = Desk { state: Mutex::new(state), work: Condvar::new(), ended: Condvar::new() };
        Self { desk: Arc::new(desk), threads: Mutex::default(), count, keeps_all: false }
    }

    /// No result is dropped: all will be taken.
    pub fn keeping_all(mut self) -> Self {
        self.keeps_all = true;
        self
    }

    /// So many results may wait to be taken.
    pub fn keeping(self, results: usize) -> Self {
        self.desk.lock().kept = results;
        self
    }

    /// Whatever was announced and has not begun, and all results, are of no interest any more.
    pub fn forget(&self) {
        let mut state = self.desk.lock();
        state.queue.clear();
        state.done.clear();
        state.slots.retain(|_, slot| matches!(slot, Slot::Running));
    }

    /// Something is read ahead at all.
    pub fn is_useful(&self) -> bool {
        self.count > 0
    }

    /// Announces reads in the order in which their results will be wanted.
    pub fn announce(&self, turn: Turn, reads: impl Iterator<Item = (K, Read<R>)>) {
        let mut fresh = VecDeque::new();
        let mut state = self.desk.lock();
        for (key, read) in reads {
            if !state.slots.contains_key(&key) && !state.done.iter().any(|(k, _)| *k == key) {
                state.slots.insert(key.clone(), Slot::Waiting(read));
                fresh.push_back(key);
            }
        }
        if fresh.is_empty() {
            return;
        }
        match turn {
            Turn::Next => {
                fresh.append(&mut state.queue);
                state.queue = fresh;
            }
            Turn::Last => state.queue.append(&mut fresh),
        }
        let sleeping = state.idle > 0;
        drop(state);
        self.start();
        if sleeping {
            self.desk.work.notify_all();
        }
    }

    fn start(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        while threads.len() < self.count {
            let desk = self.desk.clone();
            match std::thread::Builder::new().name("read-ahead".into()).spawn(move || work(&desk)) {
                Ok(thread) => threads.push(thread),
                // Whoever needs a result that nobody has begun reads by itself.
                Err(_) => return,
            }
        }
    }

    /// The result of an announced read; waits for it if it has begun. `None`: it has not, and will not.
    pub fn take(&self, key: &K) -> Option<R> {
        let mut state = self.desk.lock();
        loop {
            if let Some(at) = state.done.iter().position(|(k, _)| k == key) {
                let was_full = state.done.len() >= state.kept && state.idle > 0;
                let (_, result) = state.done.remove(at)?;
                if !self.keeps_all {
                    state.done.drain(..at.saturating_sub(2 * self.count));
                }
                if was_full {
                    self.desk.work.notify_all();
                }
                return Some(result);
            }
            match state.slots.get(key) {
                Some(Slot::Running) => {
                    state.wanted = true;
                    state = self.desk.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                Some(Slot::Waiting(_)) => {
                    state.slots.remove(key);
                    return None;
                }
                None => return None,
            }
        }
    }
}

impl<K, R> Drop for Ahead<K, R> {
    fn drop(&mut self) {
        self.desk.lock().closed = true;
        self.desk.work.notify_all();
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = thread.join();
        }
    }
}

/// The life of a reader.
fn work<K: Hash + Eq + Clone, R>(desk: &Desk<K, R>) {
    let mut batch = Vec::new();
    let mut state = desk.lock();
    loop {
        if state.closed {
            return;
        }
        let mut cost = 0u64;
        while cost < BATCH_COST
            && batch.len() < BATCH
            && state.done.len() + batch.len() < state.kept
            && let Some(key) = state.queue.pop_front()
        {
            // Whoever needed it in the meantime has read by itself.
            let Some(slot) = state.slots.get_mut(&key) else { continue };
            let Slot::Waiting(read) = core::mem::replace(slot, Slot::Running) else { continue };
            cost = cost.saturating_add(read.cost);
            batch.push((key, read));
        }
        if batch.is_empty() {
            state.idle += 1;
            state = desk.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
            continue;
        }
        drop(state);
        let ended: Vec<_> = batch.drain(..).map(|(key, read)| (key, (read.run)())).collect();
        state = desk.lock();
        for (key, result) in ended {
            state.slots.remove(&key);
            if let Some(result) = result {
                state.done.push_back((key, result));
            }
        }
        if core::mem::take(&mut state.wanted) {
            desk.ended.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(n: u32) -> (u32, Read<u32>) {
        (n, Read::new(move || (n != 99).then_some(n * 10)))
    }

    #[test]
    fn results_are_taken_once_and_what_nobody_began_is_not_waited_for() {
        let ahead = Ahead::with_threads(1);
        ahead.announce(Turn::Next, [read(1), read(2)].into_iter());
        while ahead.desk.lock().done.len() < 2 {
            std::thread::yield_now();
        }
        assert_eq!(ahead.take(&1), Some(10));
        assert_eq!(ahead.take(&1), None);
        assert_eq!(ahead.take(&2), Some(20));
        assert_eq!(ahead.take(&3), None);
        ahead.announce(Turn::Next, [read(99), read(5)].into_iter());
        while ahead.desk.lock().done.is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(ahead.take(&99), None);
        ahead.forget();
        assert_eq!(ahead.take(&5), None);
        let idle = Ahead::with_threads(0);
        idle.announce(Turn::Next, [read(1)].into_iter());
        assert_eq!(idle.take(&1), None);
    }

    #[test]
    fn a_read_under_way_is_waited_for() {
        let ahead = Ahead::with_threads(1);
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let slow = Read::new(move || {
            let _ = gate.recv();
            Some(7)
        });
        ahead.announce(Turn::Next, [(1, slow)].into_iter());
        while !matches!(ahead.desk.lock().slots.get(&1), Some(Slot::Running)) {
            std::thread::yield_now();
        }
        drop(go);
        assert_eq!(ahead.take(&1), Some(7));
    }

    #[test]
    fn readers_stop_at_the_bound_and_what_was_passed_over_is_dropped() {
        let ahead = Ahead::with_threads(1);
        ahead.announce(Turn::Last, (0..1000).map(read));
        while ahead.desk.lock().done.len() < KEPT {
            std::thread::yield_now();
        }
        assert_eq!(ahead.take(&(KEPT as u32 - 1)), Some((KEPT as u32 - 1) * 10));
        assert_eq!(ahead.take(&0), None);
        let mut n = KEPT as u32;
        while n < 1000 {
            // Nothing is lost: a result, or the caller's own turn.
            if let Some(result) = ahead.take(&n) {
                assert_eq!(result, n * 10);
            }
            n += 1;
        }
    }
}
