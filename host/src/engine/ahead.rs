//! What is read ahead of who needs it, directories and digests of files: announced reads run on a few threads, and
//! their results are taken by key. Nothing here knows what is read.
//!
//! Results are kept up to a bound, so that readers do not run away; what was wanted before a result that is asked
//! for, and was not asked for itself, is dropped.

use alloc::{collections::BTreeMap, sync::Arc};
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use super::fds::affordable;

/// Results that may wait to be taken; they may hold open files.
const KEPT: usize = 64;

/// Cheap reads are begun together, up to this cost and number, and a reader is woken for so much: a wake-up costs as much
/// as the smallest of them.
const BATCH_COST: u64 = 512 << 10;
const BATCH: usize = 16;

/// What is to be done for a result; without one there is nothing to take.
pub type Task<R> = Box<dyn FnOnce() -> Option<R> + Send>;

/// A read: what is to be done, and what that costs (of nothing but the work on data, bytes).
pub struct Read<J> {
    cost: u64,
    job: J,
}

impl<R> Read<Task<R>> {
    /// A read that is begun by itself.
    pub fn new(run: impl FnOnce() -> Option<R> + Send + 'static) -> Self {
        Self::costing(BATCH_COST, Box::new(run))
    }
}

impl<J> Read<J> {
    /// The longest read of which several are begun together, that many.
    pub const fn cost_of(together: u64) -> u64 {
        BATCH_COST / together
    }

    /// What it costs.
    #[cfg(test)]
    pub const fn cost(&self) -> u64 {
        self.cost
    }

    /// A read of so many bytes.
    pub fn costing(cost: u64, job: J) -> Self {
        Self { cost: cost.min(BATCH_COST), job }
    }
}

/// The place of an announcement among those made before.
#[derive(Debug, Clone, Copy)]
pub enum Turn {
    /// In front of them.
    Next,
    /// Behind them.
    Last,
}

/// Where a result comes in the order in which results are wanted.
type Place = i64;

/// How far a read is.
enum Stage<R, J> {
    Waiting(Read<J>),
    Running,
    Done(R),
}

struct State<K, R, J> {
    /// All that was announced and not taken.
    reads: HashMap<K, (Place, Stage<R, J>)>,
    /// Of them, those that wait and those that are done, in the order in which they are wanted.
    queue: BTreeMap<Place, K>,
    /// The cost of those that wait.
    cost: u64,
    done: BTreeMap<Place, K>,
    /// Places not given yet, in front of all others (below this) and behind them.
    front: Place,
    back: Place,
    kept: usize,
    /// Every result counts, also one that was passed over.
    keeps_all: bool,
    /// Fewer reads than these are begun one by one.
    least: usize,
    /// Of more reads that wait, the first are given up.
    most: usize,
    /// Threads wait for something to do and were not woken yet; the result that is waited for. Nobody else is woken.
    idle: bool,
    /// Readers found no room for results.
    full: bool,
    wanted: Option<K>,
    closed: bool,
}

struct Desk<K, R, J> {
    state: Mutex<State<K, R, J>>,
    /// Does what is begun together.
    run: fn(Vec<J>) -> Vec<Option<R>>,
    threads: usize,
    /// There is work, or room for results, or the desk is closed.
    work: Condvar,
    /// A read ended.
    ended: Condvar,
}

impl<K, R, J> Desk<K, R, J> {
    fn lock(&self) -> MutexGuard<'_, State<K, R, J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads announced, under way and complete.
pub struct Ahead<K, R, J = Task<R>> {
    desk: Arc<Desk<K, R, J>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Whoever takes results reads too instead of waiting.
    helps: bool,
}

impl<K, R, J> core::fmt::Debug for Ahead<K, R, J> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Ahead").field("threads", &self.desk.threads).finish_non_exhaustive()
    }
}

impl<K: Hash + Eq + Clone + Send + 'static, R: Send + 'static> Ahead<K, R> {
    /// With a thread for each two processors, four at most, and whoever waits for a result; on a machine with one
    /// processor, nothing is read ahead.
    pub fn new() -> Self {
        let cores = super::processors();
        Self::with_threads((cores / 2).min(4)).helping()
    }

    /// With so many threads, which start when the first read is announced.
    pub fn with_threads(threads: usize) -> Self {
        Self::running(threads, |tasks| tasks.into_iter().map(|task| task()).collect())
    }
}

impl<K: Hash + Eq + Clone + Send + 'static, R: Send + 'static, J: Send + 'static> Ahead<K, R, J> {
    /// With so many threads and what they do with reads that are begun together: a result for each, in order.
    pub fn running(threads: usize, run: fn(Vec<J>) -> Vec<Option<R>>) -> Self {
        let state = State {
            reads: HashMap::new(),
            queue: BTreeMap::new(),
            cost: 0,
            done: BTreeMap::new(),
            front: 0,
            back: 0,
            kept: affordable(KEPT),
            keeps_all: false,
            least: 1,
            most: usize::MAX,
            idle: false,
            full: false,
            wanted: None,
            closed: false,
        };
        let (work, ended) = (Condvar::new(), Condvar::new());
        let desk = Desk { state: Mutex::new(state), run, threads, work, ended };
        Self { desk: Arc::new(desk), threads: Mutex::default(), helps: false }
    }

    /// No result is dropped: all will be taken.
    pub fn keeping_all(self) -> Self {
        self.desk.lock().keeps_all = true;
        self
    }

    /// Whoever waits for a result reads what is next meanwhile.
    pub fn helping(mut self) -> Self {
        self.helps = true;
        self
    }

    /// Fewer reads than these gain nothing by being begun together.
    pub fn at_least(self, together: usize) -> Self {
        self.desk.lock().least = together;
        self
    }

    /// So many reads may wait; more of them were passed over.
    pub fn at_most(self, waiting: usize) -> Self {
        self.desk.lock().most = waiting;
        self
    }

    /// So many results may wait to be taken.
    pub fn keeping(self, results: usize) -> Self {
        self.desk.lock().kept = results;
        self
    }

    /// Whatever was announced is of no interest any more.
    pub fn forget(&self) {
        let mut state = self.desk.lock();
        state.reads.clear();
        state.queue.clear();
        state.cost = 0;
        state.done.clear();
    }

    /// What was announced up to this will not be asked for.
    pub fn drop_until(&self, key: &K) {
        let mut state = self.desk.lock();
        state.pass_over(key);
        state.remove(key);
        if state.has_room_again() {
            self.desk.work.notify_all();
        }
    }

    /// Something is read ahead at all.
    pub fn is_useful(&self) -> bool {
        self.desk.threads > 0
    }

    /// Announces reads in the order in which their results will be wanted; those that were announced before move to
    /// their new place.
    pub fn announce(&self, turn: Turn, reads: impl Iterator<Item = (K, Read<J>)>) {
        let reads: Vec<_> = reads.collect();
        let mut state = self.desk.lock();
        let first = state.places(turn, reads.len());
        let mut fresh = false;
        for (place, (key, read)) in (first..).zip(reads) {
            fresh |= state.announce(place, key, read);
        }
        if !fresh {
            return;
        }
        // For less, whoever takes the results comes first.
        let wakes = state.idle && state.cost >= BATCH_COST;
        state.idle &= !wakes;
        drop(state);
        self.start();
        if wakes {
            self.desk.work.notify_all();
        }
    }

    fn start(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        while threads.len() < self.desk.threads {
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
        state.pass_over(key);
        loop {
            match state.reads.get(key) {
                None => return None,
                Some((_, Stage::Done(_))) => {
                    let result = state.remove(key);
                    if state.has_room_again() {
                        self.desk.work.notify_all();
                    }
                    return result;
                }
                Some((_, Stage::Waiting(_))) if !self.helps => return state.remove(key),
                Some((_, Stage::Waiting(_) | Stage::Running)) => {}
            }
            if let Some(batch) = self.helps.then(|| state.next_batch()).flatten() {
                drop(state);
                let ended = self.desk.read(batch);
                state = self.desk.lock();
                state.keep(ended);
            } else if matches!(state.reads.get(key), Some((_, Stage::Running))) {
                state.wanted = Some(key.clone());
                state = self.desk.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else {
                // There is no room for results.
                return state.remove(key);
            }
        }
    }
}

impl<K, R, J> Drop for Ahead<K, R, J> {
    fn drop(&mut self) {
        self.desk.lock().closed = true;
        self.desk.work.notify_all();
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = thread.join();
        }
    }
}

/// Reads that are begun together.
type Batch<K, J> = (Vec<K>, Vec<J>);
/// What became of them, in the same order.
type Ended<K, R> = (Vec<K>, Vec<Option<R>>);

impl<K: Hash + Eq + Clone, R, J> State<K, R, J> {
    /// The first of so many places, in front of all others or behind them.
    fn places(&mut self, turn: Turn, count: usize) -> Place {
        let count = i64::try_from(count).unwrap_or(0);
        match turn {
            Turn::Next => {
                self.front -= count;
                self.front
            }
            Turn::Last => {
                self.back += count;
                self.back - count
            }
        }
    }

    /// Gives a read its place; true: it was not announced before.
    fn announce(&mut self, place: Place, key: K, read: Read<J>) -> bool {
        let Some((old, stage)) = self.reads.get_mut(&key) else {
            self.queue.insert(place, key.clone());
            self.cost += read.cost;
            self.reads.insert(key, (place, Stage::Waiting(read)));
            if self.queue.len() > self.most
                && let Some((_, first)) = self.queue.pop_first()
                && let Some((_, Stage::Waiting(read))) = self.reads.remove(&first)
            {
                self.cost -= read.cost;
            }
            return true;
        };
        let old = core::mem::replace(old, place);
        let order = match stage {
            Stage::Waiting(_) => &mut self.queue,
            Stage::Done(_) => &mut self.done,
            Stage::Running => return false,
        };
        order.remove(&old);
        order.insert(place, key);
        false
    }

    /// What was wanted before this and never asked for will not be.
    fn pass_over(&mut self, key: &K) {
        let Some(&(place, _)) = self.reads.get(key).filter(|_| !self.keeps_all) else { return };
        for order in [&mut self.queue, &mut self.done] {
            while let Some(first) = order.first_entry().filter(|first| *first.key() < place) {
                if let Some((_, Stage::Waiting(read))) = self.reads.remove(&first.remove()) {
                    self.cost -= read.cost;
                }
            }
        }
    }

    /// Of a read that is not under way, nothing remains but its result.
    fn remove(&mut self, key: &K) -> Option<R> {
        let (place, stage) = self.reads.remove(key)?;
        self.queue.remove(&place);
        self.done.remove(&place);
        match stage {
            Stage::Done(result) => Some(result),
            Stage::Waiting(read) => {
                self.cost -= read.cost;
                None
            }
            Stage::Running => None,
        }
    }

    /// What one reader does next; none if there is nothing, or no room for results.
    fn next_batch(&mut self) -> Option<Batch<K, J>> {
        let (mut keys, mut jobs) = (Vec::new(), Vec::new());
        let mut cost = 0u64;
        let most = if self.queue.len() < self.least { 1 } else { BATCH };
        while cost < BATCH_COST
            && keys.len() < most
            && self.has_room(keys.len())
            && let Some((_, key)) = self.queue.pop_first()
        {
            let Some((_, stage)) = self.reads.get_mut(&key) else { continue };
            let Stage::Waiting(read) = core::mem::replace(stage, Stage::Running) else { continue };
            self.cost -= read.cost;
            cost = cost.saturating_add(read.cost);
            keys.push(key);
            jobs.push(read.job);
        }
        (!keys.is_empty()).then_some((keys, jobs))
    }

    /// There is room for one more result beside so many; one that is wanted later makes way.
    fn has_room(&mut self, more: usize) -> bool {
        if self.done.len() + more < self.kept {
            return true;
        }
        let next = self.queue.first_key_value().map(|(&place, _)| place);
        let last = self.done.last_key_value().map(|(&place, _)| place);
        if self.keeps_all || next.is_none() || last <= next {
            self.full = true;
            return false;
        }
        if let Some((_, key)) = self.done.pop_last() {
            self.reads.remove(&key);
        }
        true
    }

    /// Readers that stopped for want of room go on once half of the results are taken: woken for each place that
    /// becomes free, they would sleep again after one read.
    fn has_room_again(&mut self) -> bool {
        let again = self.full && self.idle && self.done.len() <= self.kept / 2;
        self.full &= !again;
        self.idle &= !again;
        again
    }

    /// Keeps results; true: one of them is waited for.
    fn keep(&mut self, (keys, results): Ended<K, R>) -> bool {
        let mut awaited = false;
        for (key, result) in keys.into_iter().zip(results) {
            awaited |= self.wanted.as_ref() == Some(&key);
            let Some((place, stage @ Stage::Running)) = self.reads.get_mut(&key) else { continue };
            match result {
                Some(result) => {
                    *stage = Stage::Done(result);
                    self.done.insert(*place, key);
                }
                None => drop(self.reads.remove(&key)),
            }
        }
        awaited
    }
}

impl<K, R, J> Desk<K, R, J> {
    fn read(&self, (keys, jobs): Batch<K, J>) -> Ended<K, R> {
        (keys, (self.run)(jobs))
    }
}

/// The life of a reader.
fn work<K: Hash + Eq + Clone, R, J>(desk: &Desk<K, R, J>) {
    let mut state = desk.lock();
    while !state.closed {
        let Some(batch) = state.next_batch() else {
            state.idle = true;
            state = desk.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(state);
        let ended = desk.read(batch);
        state = desk.lock();
        if state.keep(ended) {
            state.wanted = None;
            desk.ended.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(n: u32) -> (u32, Read<Task<u32>>) {
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
    fn of_too_many_reads_the_first_are_given_up() {
        let ahead = Ahead::with_threads(0).helping().at_most(3);
        ahead.announce(Turn::Last, (1..=5).map(read));
        assert_eq!([2, 4, 3, 5].map(|key| ahead.take(&key)), [None, Some(40), None, Some(50)]);
        assert_eq!(ahead.desk.lock().cost, 0);
    }

    #[test]
    fn what_is_announced_again_moves_to_its_new_place() {
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let ahead = Ahead::with_threads(1);
        let first = Read::new(move || gate.recv().ok().map(|()| 0));
        ahead.announce(Turn::Next, [(0, first)].into_iter());
        while !matches!(ahead.desk.lock().reads.get(&0), Some((_, Stage::Running))) {
            std::thread::yield_now();
        }
        ahead.announce(Turn::Next, [read(1), read(2), read(8)].into_iter());
        ahead.announce(Turn::Next, [read(1), read(2), read(3)].into_iter());
        ahead.announce(Turn::Last, [read(8), read(9)].into_iter());
        go.send(()).unwrap();
        while ahead.desk.lock().done.len() < 6 {
            std::thread::yield_now();
        }
        let order: Vec<_> = ahead.desk.lock().done.values().copied().collect();
        assert_eq!(order, [1, 2, 3, 0, 8, 9]);
    }

    #[test]
    fn cheap_reads_are_begun_together_where_there_are_enough() {
        // Each result is the size of its batch; -1 comes to nothing.
        let run = |jobs: Vec<i32>| jobs.iter().map(|&n| (n >= 0).then_some(jobs.len())).collect();
        let results = |jobs: &[i32]| {
            let ahead = Ahead::running(1, run).keeping_all().at_least(3);
            let reads = (0..).zip(jobs).map(|(key, &job)| (key, Read::costing(1, job)));
            ahead.announce(Turn::Last, reads);
            let awaited = jobs.iter().filter(|&&n| n >= 0).count();
            while ahead.desk.lock().done.len() < awaited {
                std::thread::yield_now();
            }
            (0..jobs.len()).map(|key| ahead.take(&key)).collect::<Vec<_>>()
        };
        assert_eq!(results(&[1, -1, 3, 4]), [Some(4), None, Some(4), Some(4)]);
        assert_eq!(results(&[1, 2]), [Some(1), Some(1)]);
    }

    #[test]
    fn whoever_waits_reads_what_is_next() {
        // The only thread never gets to the end of the first read before the second one was made.
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let ahead = Ahead::with_threads(1).helping();
        let slow = Read::new(move || gate.recv().ok().map(|()| 1));
        ahead.announce(Turn::Next, [(1, slow)].into_iter());
        while !matches!(ahead.desk.lock().reads.get(&1), Some((_, Stage::Running))) {
            std::thread::yield_now();
        }
        let second = Read::new(move || go.send(()).ok().map(|()| 2));
        ahead.announce(Turn::Last, [(2, second)].into_iter());
        assert_eq!([1, 2].map(|key| ahead.take(&key)), [Some(1), Some(2)]);
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
        while !matches!(ahead.desk.lock().reads.get(&1), Some((_, Stage::Running))) {
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
