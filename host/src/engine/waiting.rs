//! Whether a thread waits: for a disk, say, where others could ask for more meanwhile.

use core::time::Duration;
use std::{fs, time::Instant};

use rustix::time::{ClockId, clock_gettime};

/// A wait that is worth a thread, for each task.
const LONG: Duration = Duration::from_micros(100);

/// Where the time of one thread goes.
#[derive(Debug)]
pub struct Waiting {
    begun: Instant,
    /// Processor time at that moment.
    used: Duration,
    /// What the thread has ever waited for a processor, when that was last looked at.
    queued: Duration,
}

impl Waiting {
    /// Of the calling thread.
    pub fn new() -> Self {
        Self { begun: Instant::now(), used: used(), queued: queued().unwrap_or_default() }
    }

    /// Something begins.
    pub fn begin(&mut self) {
        (self.begun, self.used) = (Instant::now(), used());
    }

    /// So many tasks are done since then. True if the thread waited long, and not for a processor.
    pub fn was_long(&mut self, tasks: usize) -> bool {
        let long = LONG.saturating_mul(u32::try_from(tasks).unwrap_or(u32::MAX));
        let waited = self.begun.elapsed().saturating_sub(used().saturating_sub(self.used));
        if waited < long {
            return false;
        }
        let Some(queued) = queued() else { return false };
        let waited = waited.saturating_sub(queued.saturating_sub(self.queued));
        self.queued = queued;
        waited >= long
    }
}

fn used() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// What the thread has waited for a processor; none where the kernel does not count it.
fn queued() -> Option<Duration> {
    let line = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    line.split_ascii_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_sleeps_waits_and_one_that_works_does_not() {
        let mut waiting = Waiting::new();
        std::thread::sleep(Duration::from_millis(20));
        assert!(waiting.was_long(16));
        waiting.begin();
        std::thread::sleep(Duration::from_millis(20));
        assert!(!waiting.was_long(1000));
        // A virtual machine can lose its processor without a trace in what the kernel counts, but not each time.
        let mut works = || {
            waiting.begin();
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(20) {
                core::hint::spin_loop();
            }
            !waiting.was_long(16)
        };
        assert!((0..20).any(|_| works()));
    }
}
