//! Completions of received files on threads of their own.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use arsync_core::ports::{Attrs, CommitStep, Destination};
use rustix::io::Errno;

use super::{
    backlog::{Piece, parent},
    draft::Draft,
    fds::affordable,
    pool::{Pool, Task},
    processors,
    write::Shared,
};

/// Open files that may wait for their completion.
const OPEN: usize = 32;

/// Completions on threads of their own.
#[derive(Debug)]
pub struct Completions {
    pool: Pool<Completion>,
    /// Files that are open meanwhile.
    open: Arc<AtomicUsize>,
}

impl Completions {
    /// None where there is no second processor.
    pub fn new() -> Option<Self> {
        let threads = processors() - 1;
        (threads > 0).then(|| Self { pool: Pool::new("commit", threads), open: Arc::default() })
    }

    /// Takes a file on and returns the number of its completion; gives back what has to be completed at once.
    pub fn begin(&self, shared: &Arc<Shared>, draft: Draft, attrs: &Attrs) -> Result<u64, Draft> {
        let open = match draft.output() {
            Some(output) if output.is_temporary() && self.open.load(Ordering::Relaxed) < affordable(OPEN) => {
                self.open.fetch_add(1, Ordering::Relaxed);
                Some(self.open.clone())
            }
            Some(_) => return Err(draft),
            None => None,
        };
        Ok(self.pool.begin(Completion { draft, shared: shared.clone(), attrs: *attrs, open }))
    }

    /// Waits for the end of a completion.
    pub fn end(&self, begun: u64) -> Result<(), (CommitStep, Errno)> {
        self.pool.end(begun)
    }
}

/// The completion of one file.
#[derive(Debug)]
struct Completion {
    draft: Draft,
    shared: Arc<Shared>,
    attrs: Attrs,
    /// Counts the file.
    open: Option<Arc<AtomicUsize>>,
}

impl Piece for Completion {
    fn dir(&self) -> &[u8] {
        parent(match &self.draft {
            Draft::Small { name, .. } => name,
            Draft::File(output) => output.name(),
        })
    }

    fn size(&self) -> u64 {
        match &self.draft {
            Draft::Small { data, .. } => data.len() as u64,
            Draft::File(output) => output.unwritten() as u64,
        }
    }
}

impl Task for Completion {
    type End = Result<(), (CommitStep, Errno)>;
    type Kit = ();

    fn run(self, (): &mut ()) -> Self::End {
        let end = self.draft.commit(&self.shared, &self.attrs, Destination::Final { backup: false });
        if let Some(open) = self.open {
            open.fetch_sub(1, Ordering::Relaxed);
        }
        end
    }
}
