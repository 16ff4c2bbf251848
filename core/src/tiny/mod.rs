//! A complete peer in fixed memory: no allocator, no file system, no clock.
//!
//! A device that implements [`Store`] for its files and has a byte stream (a UART, a USB endpoint, a socket) speaks with
//! stock rsync: it is pulled from and pushed to as if it were a host. [`serve`] is one session; it plays the part of
//! `rsync --server` and first reads the argument vector from the stream, in rsync's own form for it (each argument
//! ended by a NUL, an empty one at the end). `examples/firmware` is a microcontroller that does this, with the few
//! lines of shell that stand for the remote shell. [`serve_daemon`] is a connection to an `rsync://` server of one module;
//! `examples/memory_daemon.rs` is such a server for files that are in memory only. [`run`] is a session whose arguments are
//! known otherwise, for either end of the connection.
//!
//! # What it does
//! - Protocols 27 to 32, every checksum; no compression (the peer is told so in the negotiation).
//! - As sender: the files below any number of paths, with `-r` or `-d`; it searches the peer's block sums in its
//!   files, if they fit ([`Memory`]), and sends the rest.
//! - As receiver: files and directories. Files that are there and equal in size and time are skipped (`-I`, `-c`,
//!   `--size-only`, `-u`, `--existing` and `--ignore-existing` are honoured); of others it sends block sums, unless the
//!   store cannot keep the old content, and repeats a file whose checksum fails once.
//! - What it cannot do (`--delete`, filters, ACLs, `-R`, ...) is refused by name, and the peer ends with code 4.
//!
//! # Memory
//! Everything lies in one [`Memory`], whose four parameters bound what a session can hold:
//!
//! | parameter | bounds | bytes each |
//! |---|---|---|
//! | `FILES` | entries of the file list, at most 65535 | 32 |
//! | `NAMES` | sum of the lengths of their names, at most 65535 | 1 |
//! | `BLOCKS` | block sums that a sender compares with; a basis of more blocks is answered with the whole file | 16 |
//! | `WINDOW` | piece of a file at hand; the largest block that is searched is half of it. At least 128 | 2 (a second buffer of this size collects output) |
//!
//! A list that is larger than its bounds ends the session with a message and code 22. `Memory<64, 2048, 128, 2048>`
//! takes 10 KiB and handles the block sums of files up to 90 KB. The future of a session adds about 3 KiB on the stack
//! of whoever polls it, most of it for the checksums.

mod command;
mod daemon;
mod inbox;
mod list;
mod receiver;
mod search;
mod sender;
mod session;
mod store;

#[cfg(feature = "test-util")]
pub mod ram;

use heapless::VecView;

pub use command::{Command, CommandFault};
pub use daemon::{Module, serve_daemon};
pub use list::Listed;
pub use search::BlockSum;
pub use session::{Config, Summary, run, serve};
pub use store::{Meta, Store, StoreEntry, StoreError};

use crate::{
    error::{Error, ProtocolError},
    exit::ExitCode,
};

/// Longest path in a store, and sum of the paths of a command, bytes.
pub const PATH_MAX: usize = 256;

/// What ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Bound {
    /// More entries than `FILES`.
    Files,
    /// Longer names than `NAMES`.
    Names,
    /// A path or an argument longer than [`PATH_MAX`].
    Path,
    /// Something that had to be kept in the window is longer than `WINDOW`.
    Window,
}

impl Bound {
    const fn text(self) -> &'static str {
        match self {
            Self::Files => "too many files for this device",
            Self::Names => "file names too long for this device",
            Self::Path => "path too long for this device",
            Self::Window => "record too long for this device",
        }
    }
}

/// Why a tiny session ended early. `E` is the error of the transport.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Fault<E> {
    /// The transport failed, or the peer broke the protocol.
    #[error("{0}")]
    Session(#[from] Error<E>),
    /// A bound of [`Memory`] was reached; the peer was told.
    #[error("{}", .0.text())]
    Full(Bound),
    /// The peer wants something that is not there; it was told.
    #[error("not supported")]
    Unsupported,
    /// What came first is no `rsync --server` command.
    #[error("no rsync command")]
    NoCommand,
}

impl<E> Fault<E> {
    /// The exit code of a session that ended with this fault.
    pub const fn exit_code(&self) -> ExitCode {
        match self {
            Self::Session(error) => error.exit_code(),
            Self::Full(_) => ExitCode::MALLOC,
            Self::Unsupported => ExitCode::UNSUPPORTED,
            Self::NoCommand => ExitCode::SYNTAX,
        }
    }
}

impl<E> From<ProtocolError> for Fault<E> {
    fn from(e: ProtocolError) -> Self {
        Self::Session(e.into())
    }
}

/// All memory of a session but its future. May be a `static`, and used again for the next session.
#[derive(Debug)]
pub struct Memory<const FILES: usize, const NAMES: usize, const BLOCKS: usize, const WINDOW: usize> {
    entries: heapless::Vec<Listed, FILES>,
    names: heapless::Vec<u8, NAMES>,
    sums: heapless::Vec<BlockSum, BLOCKS>,
    window: [u8; WINDOW],
    output: [u8; WINDOW],
}

impl<const FILES: usize, const NAMES: usize, const BLOCKS: usize, const WINDOW: usize>
    Memory<FILES, NAMES, BLOCKS, WINDOW>
{
    /// Empty memory.
    pub const fn new() -> Self {
        const {
            assert!(WINDOW >= 128, "the window is too small");
            assert!(FILES <= 0xffff && NAMES <= 0xffff, "positions have 16 bits");
        }
        Self {
            entries: heapless::Vec::new(),
            names: heapless::Vec::new(),
            sums: heapless::Vec::new(),
            window: [0; WINDOW],
            output: [0; WINDOW],
        }
    }

    /// What a session works with, and the buffer of its writer.
    fn parts(&mut self) -> (Parts<'_>, &mut [u8]) {
        let parts = Parts {
            entries: &mut self.entries,
            names: &mut self.names,
            sums: &mut self.sums,
            window: &mut self.window,
        };
        (parts, &mut self.output)
    }
}

impl<const FILES: usize, const NAMES: usize, const BLOCKS: usize, const WINDOW: usize> Default
    for Memory<FILES, NAMES, BLOCKS, WINDOW>
{
    fn default() -> Self {
        Self::new()
    }
}

/// The memory without its parameters, so that the code exists once.
struct Parts<'m> {
    entries: &'m mut VecView<Listed>,
    names: &'m mut VecView<u8>,
    sums: &'m mut VecView<BlockSum>,
    window: &'m mut [u8],
}

/// Sorts without the code size of the standard library's sorts. `less` must be a strict order without ties.
fn shell_sort<T: Copy>(items: &mut [T], less: impl Fn(&T, &T) -> bool) {
    // Ciura's gaps, as far as a list of 65535 entries needs them.
    for gap in [28_331, 12_592, 5596, 2487, 1105, 701, 301, 132, 57, 23, 10, 4, 1] {
        for start in gap..items.len() {
            let Some(item) = items.get(start).copied() else { break };
            let mut at = start;
            while let Some(before) = at.checked_sub(gap).and_then(|i| items.get(i)).copied()
                && less(&item, &before)
            {
                if let Some(slot) = items.get_mut(at) {
                    *slot = before;
                }
                at -= gap;
            }
            if let Some(slot) = items.get_mut(at) {
                *slot = item;
            }
        }
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::shell_sort;

    #[test]
    fn shell_sort_sorts() {
        let mut state = 1u32;
        for len in [0usize, 1, 2, 3, 10, 57, 700, 5000] {
            let mut items: alloc::vec::Vec<u32> = (0..len)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    state
                })
                .collect();
            let mut want = items.clone();
            want.sort_unstable();
            shell_sort(&mut items, |a, b| a < b);
            assert_eq!(items, want);
        }
    }
}
