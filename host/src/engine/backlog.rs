//! Jobs that wait for a worker. Workers keep to different directories where they can: two that create names in one
//! directory wait for one another in the kernel.

use alloc::collections::VecDeque;

/// Jobs that change hands together, and the bytes to copy at which a batch is complete.
pub const BATCH: usize = 16;
pub const BATCH_BYTES: u64 = 512 << 10;

/// A job, as far as its place among others goes.
pub trait Piece {
    /// The directory in which something is made.
    fn dir(&self) -> &[u8];
    /// Bytes to copy.
    fn size(&self) -> u64;
}

/// The directory of a name below the root.
pub fn parent(name: &[u8]) -> &[u8] {
    memchr::memrchr(b'/', name).map_or(&[], |slash| &name[..slash])
}

/// Jobs of one directory, or of several small ones, that came one after the other, and how many workers are there.
#[derive(Debug)]
struct Group<J> {
    number: u64,
    /// The directory of the last job.
    dir: Box<[u8]>,
    jobs: VecDeque<J>,
    workers: usize,
}

/// Jobs in the order in which they came.
#[derive(Debug)]
pub struct Backlog<J> {
    groups: VecDeque<Group<J>>,
    jobs: usize,
    next: u64,
}

impl<J> Default for Backlog<J> {
    fn default() -> Self {
        Self { groups: VecDeque::new(), jobs: 0, next: 0 }
    }
}

impl<J: Piece> Backlog<J> {
    /// Jobs that nobody has taken.
    pub const fn len(&self) -> usize {
        self.jobs
    }

    /// One more, behind the others.
    pub fn push(&mut self, job: J) {
        self.jobs += 1;
        let dir = job.dir();
        if let Some(last) = self.groups.back_mut()
            && (*last.dir == *dir || last.jobs.len() < BATCH)
        {
            if *last.dir != *dir {
                last.dir = dir.into();
            }
            last.jobs.push_back(job);
            return;
        }
        let group = Group { number: self.next, dir: dir.into(), jobs: VecDeque::from([job]), workers: 0 };
        self.groups.push_back(group);
        self.next += 1;
    }

    /// What a worker does next, where nobody else is if there is such a place, and the number of that place. Small jobs
    /// come together; a large one comes alone, or is the last.
    pub fn take_batch(&mut self, to: &mut Vec<J>) -> Option<u64> {
        let waiting = |alone: bool| {
            let fits = move |group: &Group<J>| !group.jobs.is_empty() && (!alone || group.workers == 0);
            self.groups.iter().position(fits)
        };
        let at = waiting(true).or_else(|| waiting(false))?;
        let group = self.groups.get_mut(at)?;
        let (before, mut bytes) = (group.jobs.len(), 0u64);
        while to.len() < BATCH
            && bytes < BATCH_BYTES
            && let Some(job) = group.jobs.pop_front()
        {
            bytes = bytes.saturating_add(job.size());
            to.push(job);
        }
        self.jobs -= before - group.jobs.len();
        group.workers += 1;
        Some(group.number)
    }

    /// A worker has done what it took there.
    pub fn leave(&mut self, number: u64) {
        let Some(at) = self.groups.iter().position(|group| group.number == number) else { return };
        let group = &mut self.groups[at];
        group.workers -= 1;
        if group.workers == 0 && group.jobs.is_empty() {
            self.groups.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Piece for (&'static str, u64) {
        fn dir(&self) -> &[u8] {
            self.0.as_bytes()
        }

        fn size(&self) -> u64 {
            self.1
        }
    }

    type Jobs = Backlog<(&'static str, u64)>;

    fn backlog(jobs: &[(&'static str, usize)]) -> Jobs {
        let mut backlog = Jobs::default();
        for &(dir, count) in jobs {
            (0..count).for_each(|_| backlog.push((dir, 1)));
        }
        backlog
    }

    /// The number of the place, the directory of the first job, and how many jobs.
    fn take(backlog: &mut Jobs) -> Option<(u64, &'static str, usize)> {
        let mut jobs = Vec::new();
        let number = backlog.take_batch(&mut jobs)?;
        Some((number, jobs[0].0, jobs.len()))
    }

    #[test]
    fn workers_keep_to_different_directories() {
        let mut jobs = backlog(&[("a", 40), ("b", 20)]);
        assert_eq!(take(&mut jobs), Some((0, "a", 16)));
        assert_eq!(take(&mut jobs), Some((1, "b", 16)));
        assert_eq!(jobs.len(), 28);
        jobs.leave(0);
        assert_eq!(take(&mut jobs), Some((0, "a", 16)));
        // Everywhere is somebody: that is better than nothing to do.
        assert_eq!(take(&mut jobs), Some((0, "a", 8)));
        jobs.leave(1);
        assert_eq!(take(&mut jobs), Some((1, "b", 4)));
        assert_eq!(take(&mut jobs), None);
        for number in [0, 0, 1] {
            jobs.leave(number);
        }
        assert_eq!((jobs.len(), jobs.groups.len()), (0, 0));
    }

    #[test]
    fn a_directory_in_which_somebody_is_stays_one_place() {
        let mut jobs = backlog(&[("a", 16)]);
        assert_eq!(take(&mut jobs), Some((0, "a", 16)));
        jobs.push(("a", 1));
        (0..16).for_each(|_| jobs.push(("b", 1)));
        (0..16).for_each(|_| jobs.push(("c", 1)));
        assert_eq!(take(&mut jobs), Some((1, "c", 16)));
        assert_eq!(take(&mut jobs), Some((0, "a", 16)));
    }

    #[test]
    fn small_directories_come_together_and_large_jobs_alone() {
        let mut jobs = Jobs::default();
        for dir in ["a", "b", "c", "d", "e"] {
            (0..5).for_each(|_| jobs.push((dir, 1)));
        }
        assert_eq!(take(&mut jobs), Some((0, "a", 16)));
        assert_eq!(take(&mut jobs), Some((1, "e", 5)));
        let mut jobs = Jobs::default();
        for size in [1, BATCH_BYTES, BATCH_BYTES, 1] {
            jobs.push(("a", size));
        }
        assert_eq!(
            [(); 4].map(|()| take(&mut jobs)),
            [Some((0, "a", 2)), Some((0, "a", 1)), Some((0, "a", 1)), None]
        );
    }
}
