//! Copies of whole files within one machine, started ahead and finished in order: the port for them.

use crate::{
    names::RelName,
    ports::{Attrs, CommitStep, Extended, PortError, Source, SourcePath, Target},
};

/// What failed when a file was copied on this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CopyStep {
    /// Opening what is to be copied.
    Open,
    /// Making the copy.
    Create,
    /// Its data.
    Write,
}

/// A copy on this side, or what failed.
pub type Copied<T> = Result<T, (CopyStep, PortError)>;

/// A whole file to be copied from the sender's tree to the destination's.
#[derive(Debug, Clone, Copy)]
pub struct CopyJob<'a> {
    /// What to copy.
    pub source: SourcePath<'a>,
    /// Name at the destination.
    pub name: RelName<'a>,
    /// Type and permissions that the file will have.
    pub file_mode: u32,
    /// Attributes to set.
    pub attrs: Attrs,
    /// ACL and extended attributes to set. What cannot be set is known to the target when the copy has ended
    /// ([`Target::take_failures`]).
    pub extended: Option<&'a Extended>,
    /// What is there is backed up first.
    pub backup: bool,
    /// Size that the list says, bytes.
    pub size: u64,
    /// The directory was made by this run: nothing can be there, and nobody uses it yet.
    pub fresh: bool,
    /// The file is written under its name (`--inplace`), whether it was there or not.
    pub in_place: bool,
}

/// How a copy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CopyEnd {
    /// In place, with this many bytes.
    Done(u64),
    /// In place with this many bytes, but a step of its completion failed (attributes), or not in place.
    Commit(CommitStep, PortError),
    /// The source could not be opened.
    Open(PortError),
    /// Nothing is there: it is to be copied when its turn comes. So is what cannot be read to its end.
    Refused,
}

/// Copies files. A copy may begin when it is started; its end is asked for later, in any order.
#[allow(async_fn_in_trait, reason = "nothing has to be `Send`")]
pub trait LocalCopy<S: Source, T: Target> {
    /// Takes a job; the returned number is used once with [`LocalCopy::finish`].
    fn start(&self, source: &S, target: &T, job: &CopyJob<'_>) -> u64;
    /// Waits for the end of a job.
    async fn finish(&self, source: &S, target: &T, ticket: u64) -> CopyEnd;
}
