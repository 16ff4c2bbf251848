//! Bytes in and out: the traits of a transport, typed reading and writing with framing, and (for tests) an
//! in-memory pipe.
//!
//! A transport implements embedded-io-async's [`BufRead`] for what comes from the peer and [`Write`] for what
//! goes there; with `alloc` also [`ChunkWrite`].

mod reader;
#[cfg(feature = "alloc")]
mod tape;
mod writer;

#[cfg(any(test, feature = "test-util"))]
pub mod duplex;

pub use embedded_io_async::{BufRead, Error, ErrorKind, ErrorType, Read, Write};
pub use reader::{MessageFault, MessageSink, NoMessages, WireReader};
#[cfg(feature = "alloc")]
pub use tape::Tape;
pub use writer::WireWriter;

/// A writer that can take a buffer over instead of copying it.
#[cfg(feature = "alloc")]
#[allow(async_fn_in_trait, reason = "nothing has to be `Send`")]
pub trait ChunkWrite: Write {
    /// Appends `chunk` to the stream. A completion-based transport keeps the buffer until the kernel has taken
    /// it; the default copies. Not cancel-safe: if the future is dropped the session must be given up.
    async fn write_chunk(&mut self, chunk: bytes::Bytes) -> Result<(), Self::Error> {
        self.write_all(&chunk).await
    }
    /// Starts to write what is queued, without waiting for it.
    fn kick(&mut self) {}
}

/// Collects what is written.
#[cfg(feature = "alloc")]
impl ChunkWrite for alloc::vec::Vec<u8> {}

#[cfg(feature = "alloc")]
impl<T: ChunkWrite> ChunkWrite for &mut T {
    async fn write_chunk(&mut self, chunk: bytes::Bytes) -> Result<(), Self::Error> {
        (**self).write_chunk(chunk).await
    }
    fn kick(&mut self) {
        (**self).kick();
    }
}
