//! The rsync protocol without an operating system: versions 27 to 32, any transport, any runtime.
//!
//! # Where to begin
//!
//! | you want | take |
//! |---|---|
//! | a device that stock rsync pulls from and pushes to, without an allocator | [`tiny::serve`]; on a network [`tiny::serve_daemon`]. Implement [`tiny::Store`] |
//! | a client without an allocator | [`tiny::run`] |
//! | all of rsync's rules: incremental recursion, filters, deletion, deltas, attributes | `session::run_sender`, `session::run_receiver` behind [`setup::exchange`]. Implement `ports::Source` or `ports::Target`, and `ports::Observer` |
//! | single values: a recorder, a proxy, a decoder | [`wire`], [`mux`], [`setup`], `flist`, [`token`], [`delta`]: bytes in, values out |
//!
//! The repository's `examples/` has a program for each of these; `pull.rs` is a whole client without a runtime.
//!
//! | feature | what it adds |
//! |---|---|
//! | `alloc` (default) | everything but [`tiny`] and single values: lists, filters, options, ports, `session`. Whole sessions need nothing else |
//! | `std` | CPU features found out at run time in dependencies |
//! | `zlib`, `zstd`, `lz4` | the compressors of [`token`] |
//! | `defmt`, `tracing` | log lines of a session's events |
//! | `test-util` | a pipe in memory (`io::duplex`), a store in memory (`tiny::ram`), and what fuzzers call |
//!
//! What is said of the protocol names its source: *(spec: TOPIC)* is a topic of the description of rsync's protocol that this
//! crate was written from, *(stock binary)* what rsync 3.5.0 was seen to do.
//!
//! # What a transport is
//!
//! Two values: [`io::BufRead`] for what comes from the peer and [`io::Write`] (with an allocator `io::ChunkWrite`) for what goes
//! there. For the handshake, single values and [`tiny`], whose sessions do one thing at a time, reads and writes may block:
//! [`rt::block_on_ready`] then polls each future once. `session::run_sender` and `session::run_receiver` have several things under
//! way: a read that has nothing yet must be pending, under any executor, or the rest of the session stands still and the
//! peer waits for it. A write that cannot go on should be pending too: a receiving side goes on reading meanwhile, without which
//! two full pipes wait for each other. Writes may block where something else takes what comes, however much it is, as the
//! thread of `examples/pull.rs` does. Nothing has to be `Send`. A session flushes before it waits for the peer, so a writer may collect. Dropping the future of a
//! session gives the session up.
//!
//! # What a server is called with
//!
//! A client starts `rsync --server OPTIONS . PATH` to push and `rsync --server --sender OPTIONS . PATH` to pull. For `-a` OPTIONS
//! are `-logDtpre.LsfxCIvu`: the letters of the options, then `e.` and the capabilities that the client has
//! ([`setup::Capabilities::parse`] reads them; the handshake must be given just these, or the two sides understand different
//! things). With `i` among them lists come in pieces, which `session` takes and [`tiny`] does not. Long options
//! (`--delete`, `--numeric-ids`) stand behind the letters, each by itself. Which field of the options each letter is stands in the module
//! `options`. Nothing checks that the server was told what the options of this side say: where they differ, one side takes
//! for a mode what the other has sent as an owner, and the session ends with a fault of the protocol somewhere behind
//! (`BadDirNdx`, `UnknownTag`).
//!
//! # In which order things travel
//!
//! [`setup`] (versions, flags, algorithms, seed), then frames ([`mux`]) from the sender and, from protocol 30 on, to it as well;
//! in them filter rules, file lists (`flist`), and for each file that is wanted an index ([`wire::ndx`]), what is to be done with
//! it (`item`), block sums ([`delta`]) one way and tokens ([`token`]) the other. Each module has the form of its values in a
//! table: widths, byte order, versions, limits, and bytes of a recorded session. [`version`] names what changed when.
//!
//! ```
//! use arsync_core::{
//!     io::{NoMessages, WireReader, WireWriter},
//!     rt::block_on_ready,
//!     setup::{Capabilities, Handshake, Side, exchange},
//!     version::ProtocolVersion,
//! };
//!
//! // A server of protocol 29 sends its version and a seed.
//! let server: &[u8] = &[29, 0, 0, 0, 7, 0, 0, 0];
//! let mut sent = Vec::new();
//! let mut reader = WireReader::new(server, NoMessages);
//! let mut writer = WireWriter::new(&mut sent, [0; 64]);
//! let client = Handshake::new(Side::Client, ProtocolVersion::MAX, Capabilities::all());
//! let agreed = block_on_ready(exchange(&mut reader, &mut writer, &client)).expect("a handshake");
//! assert_eq!((agreed.protocol.number(), agreed.seed), (29, 7));
//! assert_eq!(sent, [32, 0, 0, 0]);
//!
//! // What such a server was recorded to send of the directory that it starts from, and the end of its list.
//! # #[cfg(feature = "alloc")] {
//! use arsync_core::{flist::{Format, decode::Decoder}, options::SessionOptions};
//! let mut options = SessionOptions::default();
//! (options.preserve.owner, options.preserve.group) = (true, true);
//! let recorded: &[u8] = b"\x01\x01.\x00\x10\x00\x00\x1e\x71\x5d\x54\xed\x41\x00\x00\
//!     \x00\x00\x00\x00\x00\x00\x00\x00\x00";
//! let mut reader = WireReader::new(recorded, NoMessages);
//! let mut decoder = Decoder::new(Format::new(&options, &agreed), true);
//! let (list, io_error) = block_on_ready(decoder.list(&mut reader, 0)).expect("a list");
//! let top = &list.entries[0];
//! assert_eq!((list.name(top), top.size, top.mode, top.mtime), (&b"."[..], 4096, 0o40755, 1_415_409_950));
//! assert_eq!((list.len(), io_error), (1, 0));
//! # }
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(
        clippy::std_instead_of_core,
        clippy::std_instead_of_alloc,
        clippy::alloc_instead_of_core,
        clippy::cast_possible_truncation
    )
)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

/// The shared buffers of this interface ([`ports::Child`], [`io::ChunkWrite`]), in the version that is used here.
#[cfg(feature = "alloc")]
pub use bytes;
/// The containers of fixed capacity of this interface ([`tiny::Command`], [`setup::negotiate`], [`setup::daemon`]), in the
/// version that is used here.
pub use heapless;

#[cfg(feature = "alloc")]
pub mod batch;
#[cfg(feature = "alloc")]
pub mod charset;
pub mod checksum;
#[cfg(feature = "alloc")]
pub mod chmod;
#[cfg(feature = "alloc")]
pub mod copying;
#[cfg(feature = "defmt")]
mod defmt_flags;
pub mod delta;
pub mod error;
pub mod exit;
#[cfg(feature = "alloc")]
mod files;
#[cfg(feature = "alloc")]
pub mod filter;
pub mod flist;
#[cfg(feature = "test-util")]
pub mod fuzz;
pub mod io;
pub mod item;
pub mod limits;
pub mod mux;
pub mod names;
#[cfg(feature = "alloc")]
mod notice;
#[cfg(feature = "alloc")]
pub mod options;
#[cfg(feature = "alloc")]
pub mod ports;
pub mod rt;
#[cfg(feature = "alloc")]
pub mod session;
pub mod setup;
#[cfg(feature = "alloc")]
pub mod stats;
#[cfg(feature = "alloc")]
mod step;
pub mod tiny;
pub mod token;
mod trace;
pub mod version;
pub mod wire;
