//! Threads for small pieces of work on the file system: plain functions on descriptors and owned data.
//!
//! Tasks change hands in batches, in both directions: waking a thread costs as much as one small file. Threads keep to
//! different directories where they can (`backlog`); they start with the first full batch and end with the value,
//! when everything is done. More are started while those that there are wait, for a disk or another machine.
//! Whoever waits for the end of a task does what nobody has taken yet meanwhile. Nothing here decides: a task says what is
//! done, and its end says how far it came.

use alloc::sync::Arc;
use core::cell::{Cell, RefCell};
use std::{
    collections::HashMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use super::{
    backlog::{BATCH, BATCH_BYTES, Backlog, Piece},
    waiting::Waiting,
};

/// Tasks that may wait for a thread before whoever brings more has to wait.
const BACKLOG: usize = 4096;
/// Most threads.
const THREADS: usize = 32;

/// A piece of work.
pub trait Task: Piece + Send + 'static {
    /// How it ended.
    type End: Send;
    /// What a thread keeps from one task to the next.
    type Kit: Default;
    /// Does it.
    fn run(self, kit: &mut Self::Kit) -> Self::End;
}

/// A task and its number.
struct Numbered<T>(u64, T);

impl<T: Piece> Piece for Numbered<T> {
    fn dir(&self) -> &[u8] {
        self.1.dir()
    }

    fn size(&self) -> u64 {
        self.1.size()
    }
}

struct State<T: Task> {
    backlog: Backlog<Numbered<T>>,
    ends: Vec<(u64, T::End)>,
    /// The task whose end is waited for.
    wanted: Option<u64>,
    /// Whoever brings tasks waits for room.
    crowded: bool,
    /// A thread waited long, and there is more to do.
    slow: bool,
    closed: bool,
}

struct Desk<T: Task> {
    state: Mutex<State<T>>,
    /// There is a task, or the desk is closed.
    work: Condvar,
    /// The wanted task ended, or there is room.
    ended: Condvar,
}

impl<T: Task> Desk<T> {
    fn new() -> Self {
        let state = State {
            backlog: Backlog::default(),
            ends: Vec::new(),
            wanted: None,
            crowded: false,
            slow: false,
            closed: false,
        };
        Self { state: Mutex::new(state), work: Condvar::new(), ended: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does the next tasks, if there are any.
    fn work_on<'s>(
        &'s self,
        mut state: MutexGuard<'s, State<T>>,
        hands: &mut Hands<T>,
    ) -> Result<MutexGuard<'s, State<T>>, MutexGuard<'s, State<T>>> {
        let Some(group) = state.backlog.take_batch(&mut hands.tasks) else { return Err(state) };
        drop(state);
        let kit = &mut hands.kit;
        let count = hands.tasks.len();
        hands.waiting.begin();
        hands.ends.extend(hands.tasks.drain(..).map(|Numbered(ticket, task)| (ticket, task.run(kit))));
        let waited = hands.waiting.was_long(count);
        let mut state = self.lock();
        state.slow |= waited && state.backlog.len() > 0;
        state.backlog.leave(group);
        let mut awaited = core::mem::take(&mut state.crowded);
        for end in hands.ends.drain(..) {
            awaited |= state.wanted == Some(end.0);
            state.ends.push(end);
        }
        if awaited {
            self.ended.notify_one();
        }
        Ok(state)
    }

    /// The life of a thread.
    fn serve(&self) {
        let mut hands = Hands::default();
        let mut state = self.lock();
        loop {
            state = match self.work_on(state, &mut hands) {
                Ok(state) => state,
                Err(state) if state.closed => return,
                Err(state) => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

/// What one thread works with.
struct Hands<T: Task> {
    tasks: Vec<Numbered<T>>,
    ends: Vec<(u64, T::End)>,
    kit: T::Kit,
    waiting: Waiting,
}

impl<T: Task> Default for Hands<T> {
    fn default() -> Self {
        Self {
            tasks: Vec::with_capacity(BATCH),
            ends: Vec::with_capacity(BATCH),
            kit: T::Kit::default(),
            waiting: Waiting::new(),
        }
    }
}

/// Tasks that wait for company.
struct Batch<T> {
    tasks: Vec<Numbered<T>>,
    bytes: u64,
}

/// Threads and what they have to do.
pub struct Pool<T: Task> {
    name: &'static str,
    /// With which it begins.
    first: usize,
    desk: Arc<Desk<T>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    next: Cell<u64>,
    batch: RefCell<Batch<T>>,
    /// Ends that nobody has asked for yet.
    ends: RefCell<HashMap<u64, T::End>>,
    /// Of whoever waits.
    hands: RefCell<Option<Hands<T>>>,
}

impl<T: Task> core::fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Pool").field("name", &self.name).field("begun", &self.next).finish_non_exhaustive()
    }
}

impl<T: Task> Pool<T> {
    /// `name`: of its threads; `threads`: with how many it begins. With none, everything is done by whoever waits for it.
    pub fn new(name: &'static str, threads: usize) -> Self {
        Self {
            name,
            first: threads.min(THREADS),
            desk: Arc::new(Desk::new()),
            threads: Mutex::default(),
            next: Cell::new(0),
            batch: RefCell::new(Batch { tasks: Vec::new(), bytes: 0 }),
            ends: RefCell::default(),
            hands: RefCell::default(),
        }
    }

    fn start_threads(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if threads.is_empty() {
            threads.extend((0..self.first).filter_map(|_| self.thread()));
        }
    }

    /// One more thread, if those that there are wait.
    fn speed_up(&self, state: &mut State<T>) {
        if !core::mem::take(&mut state.slow) {
            return;
        }
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if !threads.is_empty() && threads.len() < THREADS {
            threads.extend(self.thread());
        }
    }

    fn thread(&self) -> Option<JoinHandle<()>> {
        let desk = self.desk.clone();
        std::thread::Builder::new().name(self.name.into()).spawn(move || desk.serve()).ok()
    }

    fn ticket(&self) -> u64 {
        let ticket = self.next.get();
        self.next.set(ticket + 1);
        ticket
    }

    /// Takes a task on. The number that is returned is used once, with [`Self::end`].
    pub fn begin(&self, task: T) -> u64 {
        let ticket = self.ticket();
        let mut batch = self.batch.borrow_mut();
        batch.bytes = batch.bytes.saturating_add(task.size());
        batch.tasks.push(Numbered(ticket, task));
        if batch.tasks.len() >= BATCH || batch.bytes >= BATCH_BYTES {
            self.start_threads();
            self.hand_over(&mut batch);
        }
        ticket
    }

    /// The number of a task that ended before it began.
    pub fn ended(&self, end: T::End) -> u64 {
        let ticket = self.ticket();
        self.ends.borrow_mut().insert(ticket, end);
        ticket
    }

    fn hand_over(&self, batch: &mut Batch<T>) {
        if batch.tasks.is_empty() {
            return;
        }
        batch.bytes = 0;
        let mut state = self.desk.lock();
        batch.tasks.drain(..).for_each(|task| state.backlog.push(task));
        self.desk.work.notify_one();
        self.speed_up(&mut state);
        while state.backlog.len() > BACKLOG {
            state.crowded = true;
            state = self.wait(state);
            self.speed_up(&mut state);
        }
    }

    /// Does some of what is to be done, or waits where there is nothing.
    fn wait<'s>(&'s self, state: MutexGuard<'s, State<T>>) -> MutexGuard<'s, State<T>> {
        match self.desk.work_on(state, self.hands.borrow_mut().get_or_insert_default()) {
            Ok(state) => state,
            Err(state) => self.desk.ended.wait(state).unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Waits for the end of a task, and works meanwhile.
    pub fn end(&self, ticket: u64) -> T::End {
        if let Some(end) = self.ends.borrow_mut().remove(&ticket) {
            return end;
        }
        self.hand_over(&mut self.batch.borrow_mut());
        let mut ends = self.ends.borrow_mut();
        let mut state = self.desk.lock();
        loop {
            ends.extend(state.ends.drain(..));
            if let Some(end) = ends.remove(&ticket) {
                state.wanted = None;
                return end;
            }
            state.wanted = Some(ticket);
            state = self.wait(state);
            self.speed_up(&mut state);
        }
    }
}

impl<T: Task> Drop for Pool<T> {
    fn drop(&mut self) {
        self.hand_over(&mut self.batch.borrow_mut());
        let mut state = self.desk.lock();
        state.closed = true;
        self.desk.work.notify_all();
        while let Ok(more) = self.desk.work_on(state, self.hands.borrow_mut().get_or_insert_default()) {
            state = more;
        }
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    struct Double(u64, Arc<AtomicU64>);

    impl Piece for Double {
        fn dir(&self) -> &[u8] {
            if self.0.is_multiple_of(2) { b"even" } else { b"odd" }
        }

        fn size(&self) -> u64 {
            1
        }
    }

    impl Task for Double {
        type End = u64;
        type Kit = ();

        fn run(self, (): &mut ()) -> u64 {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0 * 2
        }
    }

    fn begun(threads: usize, tasks: u64) -> (Pool<Double>, Vec<u64>, Arc<AtomicU64>) {
        let done = Arc::default();
        let pool = Pool::new("double", threads);
        let tickets = (0..tasks).map(|n| pool.begin(Double(n, Arc::clone(&done)))).collect();
        (pool, tickets, done)
    }

    /// Also where no thread could be started.
    #[test]
    fn each_task_has_its_own_end() {
        for threads in [0, 1, 3] {
            let (pool, tickets, _) = begun(threads, 1000);
            for ticket in tickets.into_iter().rev() {
                assert_eq!(pool.end(ticket), ticket * 2);
            }
            let early = pool.ended(7);
            assert_eq!(pool.end(early), 7);
        }
    }

    struct Sleep;

    impl Piece for Sleep {
        fn dir(&self) -> &[u8] {
            b"d"
        }

        fn size(&self) -> u64 {
            1
        }
    }

    impl Task for Sleep {
        type End = ();
        type Kit = ();

        fn run(self, (): &mut ()) {
            std::thread::sleep(core::time::Duration::from_micros(500));
        }
    }

    #[test]
    fn threads_that_wait_get_company() {
        let pool = Pool::new("sleep", 1);
        let tickets: Vec<_> = (0..2000).map(|_| pool.begin(Sleep)).collect();
        for ticket in tickets {
            pool.end(ticket);
        }
        let threads = pool.threads.lock().unwrap().len();
        assert!((4..=THREADS).contains(&threads), "{threads}");
    }

    #[test]
    fn nobody_waits_for_room_in_vain() {
        let tasks = BACKLOG as u64 * 3;
        let (pool, tickets, done) = begun(0, tasks);
        assert!(done.load(Ordering::Relaxed) >= tasks - BACKLOG as u64 - BATCH as u64);
        assert_eq!(pool.end(tickets[0]), 0);
    }

    #[test]
    fn what_was_begun_is_done_when_the_pool_goes() {
        for threads in [0, 2] {
            let (pool, _, done) = begun(threads, 50);
            drop(pool);
            assert_eq!(done.load(Ordering::Relaxed), 50);
        }
    }
}
