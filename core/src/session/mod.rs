//! The conversations: sender, generator, receiver, and what they share.
//!
//! Roles know the wire through [`crate::io`] and the world through [`crate::ports`]. A session runs on one
//! task; on the receiving side generator and receiver are two futures joined.
//!
//! # The order of calls
//!
//! 1. A [`WireReader`](crate::io::WireReader) over what comes from the peer, with an unattached [`Inbox`] as its sink, and a
//!    [`WireWriter`](crate::io::WireWriter) over what goes there.
//! 2. [`exchange`](crate::setup::exchange) with [`SessionOptions::handshake`]: both ends agree on version, flags, checksums and seed.
//! 3. [`Shared::new`] with the options, which are those that the peer was told, and with what was agreed. Its public fields are set
//!    now: `requested` for a client that pulls, `umask`, `conversion`.
//! 4. [`run_sender`] on the side that has the files, [`run_receiver`] on the other: framing, filter rules, lists, data, statistics, the
//!    end.
//! 5. [`Shared::partial_code`] is the exit code of a session that ended well.
//!
//! # What travels
//!
//! Behind the handshake, in this order (spec: order of everything on the wire; end of session). Both directions run at once: requests are
//! written ahead of the answers.
//!
//! | from | what | there if |
//! |---|---|---|
//! | client | rules ([`crate::filter`]) | a pull; a push where the receiver deletes or prunes |
//! | receiving side | names of `--files-from`, each ended by NUL, and an empty one | the sender lacks the list; not framed below protocol 31 |
//! | sender | the first file list ([`crate::flist`]) | always |
//! | sender | [`NDX_FLIST_OFFSET`](crate::wire::ndx::NDX_FLIST_OFFSET) - *k* and the list of directory *k*; at the end [`NDX_FLIST_EOF`](crate::wire::ndx::NDX_FLIST_EOF) | incremental recursion, wherever an index could stand |
//! | generator | requests ([`crate::item`]) | |
//! | sender | their echo, with data, in the same order; what it cannot open is missing, and told by `MSG_NO_SEND` from protocol 30 on | |
//! | both | DONE, see below | |
//! | sender | statistics ([`goodbye::read_stats`]) | it is the server |
//!
//! An index is the place of an entry in its sorted list: from 0 on with one list; with incremental recursion the first list begins with 1
//! and each further one two behind the last index of the one before, so that the index in front of a list stands for its directory.
//! Directories are numbered from 0 on, list by list, as they are sorted.
//!
//! | DONE of the generator | versions | the sender answers |
//! |---|---|---|
//! | a list is done; of the last one: all was requested | all, once for each list | DONE |
//! | what failed was requested again | all | DONE |
//! | what was delayed is in place | 29 | DONE |
//! | what is deleted late is deleted; [`NDX_DEL_STATS`](crate::wire::ndx::NDX_DEL_STATS) before it, if anything may be deleted | 31 | DONE |
//! | goodbye: all is finished | all | nothing |
//!
//! With one list: 3 of the generator and 2 of the sender (27, 28), 4 and 3 (29, 30), 5 and 4 (31, 32). The statistics stand behind the answer
//! to the last phase: the sender's third DONE from 29 on, the second before, and from 31 on in front of its last.
//!
//! A side that fails tells the reason as a text and then its exit code ([`MsgTag::ErrorExit`], protocol ≥ 31), or just closes the
//! stream.
//!
//! # An example
//!
//! Which side is client does not depend on the direction. Here a client pulls one file, and both ends are in one thread:
//!
//! ```
//! # #[cfg(feature = "test-util")] {
//! use std::{cell::RefCell, convert::Infallible, rc::Rc};
//!
//! use arsync_core::{
//!     error::{Error, Role},
//!     exit::ExitCode,
//!     filter::{FilterConfig, FilterList},
//!     io::{WireReader, WireWriter, duplex::{self, pipe}},
//!     mux::MsgTag,
//!     names::RelName,
//!     options::SessionOptions,
//!     ports::*,
//!     rt::join2,
//!     session::*,
//!     setup::{Capabilities, Side, exchange},
//! };
//!
//! /// What the sender reads: a directory with one file.
//! struct Files;
//! const CONTENT: &[u8] = b"hello, peer";
//! const STAT: Stat = Stat {
//!     mode: 0o100_644, size: CONTENT.len() as u64, mtime: 1_000_000_000, nlink: 1,
//!     nsec: 0, atime: 0, atime_nsec: 0, uid: 0, gid: 0, rdev: (0, 0), dev: 0, ino: 1,
//! };
//! impl Source for Files {
//!     type File = ();
//!     async fn enter(&self, _dir: &[u8]) -> Result<u32, PortError> { Ok(0) }
//!     async fn stat(&self, path: SourcePath<'_>, _follow: bool) -> Result<Stat, PortError> {
//!         if path.name == b"hello" { Ok(STAT) } else { Err(PortError::NOT_FOUND) }
//!     }
//!     async fn open(&self, _path: SourcePath<'_>) -> Result<((), Stat), PortError> { Ok(((), STAT)) }
//!     async fn read_at(&self, _file: &(), offset: u64, buf: &mut [u8]) -> Result<usize, PortError> {
//!         let rest = &CONTENT[CONTENT.len().min(offset as usize)..];
//!         let n = rest.len().min(buf.len());
//!         buf[..n].copy_from_slice(&rest[..n]);
//!         Ok(n)
//!     }
//!     // Without -r no directory is listed.
//!     async fn read_dir(&self, _: SourcePath<'_>) -> Result<(Vec<Child>, Option<PortError>), PortError> {
//!         Err(PortError::UNSUPPORTED)
//!     }
//! }
//!
//! /// What the receiver has written: names and contents.
//! #[derive(Clone, Default)]
//! struct Received(Rc<RefCell<Vec<(Vec<u8>, Vec<u8>)>>>);
//! impl Target for Received {
//!     type Basis = ();
//!     type Output = (Vec<u8>, Vec<u8>);
//!     async fn stat(&self, _: Place<'_>, _: bool) -> Result<Option<Stat>, PortError> { Ok(None) }
//!     async fn create(&self, file: &Create<'_>) -> Result<Self::Output, PortError> {
//!         Ok((file.name.bytes().to_vec(), Vec::new()))
//!     }
//!     async fn write(&self, file: &mut Self::Output, data: &[u8]) -> Result<(), PortError> {
//!         file.1.extend_from_slice(data);
//!         Ok(())
//!     }
//!     async fn commit(&self, file: Self::Output, attrs: &Attrs, to: Destination) -> Result<(), (CommitStep, PortError)> {
//!         assert_eq!((attrs.mtime, to), (Some((1_000_000_000, 0)), Destination::Final { backup: false }));
//!         self.0.borrow_mut().push(file);
//!         Ok(())
//!     }
//!     async fn discard(&self, _: Self::Output) {}
//!     async fn set_attrs(&self, _: Place<'_>, _: &Stat, _: &Attrs) -> Result<bool, (AttrStep, PortError)> { Ok(true) }
//!     async fn read_link(&self, _: Place<'_>) -> Result<Vec<u8>, PortError> { Err(PortError::UNSUPPORTED) }
//!     async fn make_dir(&self, _: RelName<'_>, _: u32) -> Result<(), PortError> { Ok(()) }
//!     async fn make_symlink(&self, _: RelName<'_>, _: &[u8], _: bool) -> Result<(), PortError> { Ok(()) }
//! }
//! impl Entrance for Received {
//!     type Target = Self;
//!     async fn enter(&self, list: &FirstList) -> Result<Entered<Self>, ExitCode> {
//!         assert_eq!(list.count, 1);
//!         // As `rsync host:hello copy`: the one file takes this name.
//!         let single_name = Some(b"copy".to_vec());
//!         Ok(Entered { target: self.clone(), single_name, missing_root: false, created_root: false })
//!     }
//! }
//!
//! /// Who watches: nobody.
//! struct Quiet;
//! impl Observer for Quiet {
//!     fn notice(&self, _: Role, _: &Notice<'_>) {}
//!     fn peer_text(&self, _: MsgTag, _: &[u8]) {}
//! }
//!
//! // The server was called with `--server --sender -te.LsfxCIvu . hello`; the client holds the same options.
//! let capabilities = Capabilities::parse(b".LsfxCIvu");
//! let mut options = SessionOptions::default();
//! options.preserve.times = true;
//!
//! let (from_server, to_client) = pipe(4096, 4096);
//! let (from_client, to_server) = pipe(4096, 4096);
//! let received = Received::default();
//!
//! let server = async {
//!     let mut reader = WireReader::new(from_client, Inbox::unattached());
//!     let mut writer = WireWriter::new(to_client, vec![0; 4096]);
//!     let mut handshake = options.handshake(Side::Server, capabilities, false);
//!     handshake.seed = 7; // a random number
//!     let agreed = exchange(&mut reader, &mut writer, &handshake).await?;
//!     let shared = Shared::new(&options, agreed, &Quiet, Side::Server, Rc::new(Outbox::new()));
//!     let rules = Rules::FromPeer(FilterList::new(FilterConfig::default()));
//!     let args = SourceArgs { names: vec![b"hello".to_vec()], base: None };
//!     run_sender(&shared, &Files, rules, &args, reader, writer).await?;
//!     Ok::<_, Error<Infallible>>(shared.partial_code())
//! };
//! let client = async {
//!     let mut reader = WireReader::new(from_server, Inbox::unattached());
//!     let mut writer = WireWriter::new(to_server, vec![0; 4096]);
//!     let handshake = options.handshake(Side::Client, capabilities, true);
//!     let agreed = exchange(&mut reader, &mut writer, &handshake).await?;
//!     let mut shared = Shared::new(&options, agreed, &Quiet, Side::Client, Rc::new(Outbox::new()));
//!     shared.requested = vec![b"hello".to_vec()];
//!     let rules = Rules::Own(FilterList::new(FilterConfig::default()));
//!     run_receiver(&shared, &received, rules, None, reader, writer).await?;
//!     Ok(shared.partial_code())
//! };
//! let codes = duplex::run(join2(client, server)).expect("somebody can move").expect("both end well");
//! assert_eq!(codes, (ExitCode::OK, ExitCode::OK));
//! assert_eq!(*received.0.borrow(), [(b"copy".to_vec(), CONTENT.to_vec())]);
//! # }
//! ```

mod alike;
mod argument;
mod basis;
mod completion;
mod copying;
pub mod decide;
mod delayed;
mod deletion;
mod dest_side;
mod directories;
mod extended;
mod fuzzy;
mod generator;
pub mod goodbye;
mod guard;
mod inbox;
mod incoming_list;
mod item_lines;
mod links;
pub mod lists;
mod local;
mod lookout;
mod mask;
mod names;
mod outlet;
mod prune;
mod receiver;
mod regular;
mod replay;
mod rules;
mod run;
mod scan;
mod search;
mod sender;
mod special;
mod standing;
mod standing_xattrs;
mod transfer;
mod wire_outlet;

use alloc::{collections::VecDeque, rc::Rc, vec::Vec};
use core::cell::{Cell, RefCell};

pub use copying::InTurn;
pub use inbox::Inbox;
use lists::Numbering;
pub use local::run_local;
pub use rules::Rules;
pub use run::{Entered, Entrance, FirstList, run_receiver, run_sender};
pub use scan::SourceArgs;

use crate::{
    charset::{Conversion, Toward},
    error::{ProtocolError, Role},
    flist::entry::{EntryRef, FileKind, mode},
    io::Tape,
    item::ItemFlags,
    limits::unseen_answers,
    mux::MsgTag,
    options::SessionOptions,
    ports::{ItemEvent, Notice, Observer, Severity, Step},
    rt::Notify,
    setup::{Agreed, Side},
    stats::Stats,
};

/// Bits of the error word that travels with file lists (varint, below protocol 30 i32 LE) and in `MSG_IO_ERROR` (i32 LE). Others are
/// ignored (spec: end marker).
pub mod io_error {
    /// Something could not be read. The session ends with code 23, and nothing is deleted any more.
    pub const GENERAL: u32 = 1;
    /// A file vanished between its listing and its transfer: code 24.
    pub const VANISHED: u32 = 2;
    /// The deletion limit was reached: code 25.
    pub const DEL_LIMIT: u32 = 4;
}

/// Messages that wait to be framed by whoever writes to the peer.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: RefCell<VecDeque<(MsgTag, Vec<u8>)>>,
    notify: Rc<Notify>,
}

impl Outbox {
    /// An empty one; `notify` wakes the writer.
    pub fn new() -> Self {
        Self::default()
    }
    /// Queues a message; the payload must be shorter than 5120 bytes for texts.
    pub fn push(&self, tag: MsgTag, payload: Vec<u8>) {
        self.queue.borrow_mut().push_back((tag, payload));
        self.notify.notify();
    }
    /// The oldest message.
    pub fn pop(&self) -> Option<(MsgTag, Vec<u8>)> {
        self.queue.borrow_mut().pop_front()
    }
    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }
}

/// What the receiver tells the generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The file is in place.
    Success(i32),
    /// It failed for good, or will not come.
    Failed(i32),
    /// It must be requested again.
    Redo(i32),
    /// It takes over the lead of its link group.
    Leads(i32),
    /// The sender's mark of the end of this phase was seen.
    PhaseEnd(u8),
    /// The sender's last mark was seen: nothing more is in transfer.
    Finished,
}

/// State and surroundings that all roles of a session share. Single-threaded by design.
#[derive(Debug)]
pub struct Shared<'a, O> {
    /// The options.
    pub options: &'a SessionOptions,
    /// The outcome of the handshake.
    pub agreed: Agreed,
    /// Who watches.
    pub observer: &'a O,
    /// Which end this is.
    pub side: Side,
    /// Messages to the peer.
    pub outbox: Rc<Outbox>,
    /// Error bits so far.
    pub io_error: Cell<u32>,
    /// Something was reported that makes the run end with code 23.
    pub transfer_error: Cell<bool>,
    /// The same by a role of the receiving side of this process.
    receiving_error: Cell<bool>,
    /// Counters.
    pub stats: RefCell<Stats>,
    pub(crate) events: RefCell<VecDeque<Event>>,
    pub(crate) wake_generator: Rc<Notify>,
    /// Indexes in `MSG_SUCCESS`, for the sender.
    pub(crate) successes: RefCell<VecDeque<i32>>,
    /// Both ends are this process.
    pub local: bool,
    /// A pulling client: the paths that it asked for, or the names of its own `--files-from` list; names of lists
    /// are checked against them. Empty: they are not known, and nothing is checked.
    ///
    /// Paths have the form of the server's arguments: as the peer was given them, without `host:`, still with their
    /// patterns (`*`, `?`, `[`), a backslash protecting the character behind it, and with a slash at the end where the contents
    /// of a directory were meant. `src/` or `.` with `recursive` admits every name; `dir/file` admits `file`, with `relative`
    /// `dir/file` and the directories on the way. A name that nobody asked for ends the session with code 4.
    pub requested: Vec<Vec<u8>>,
    /// The peer asked for the end with this code.
    pub peer_exit: Cell<Option<u8>>,
    /// File creation mask of this process, 0o022 at first. For the letters of `--chmod` only; what is created goes by
    /// [`Rights::umask`](crate::ports::Rights::umask).
    pub umask: Cell<u32>,
    pub(crate) extended: extended::State,
    /// A batch is written: takes the stream from the sender to the receiving side.
    pub tape: Option<Rc<dyn Tape>>,
    /// A batch is read: what the generator asked for.
    pub(crate) replay: replay::Replay,
    /// Names are converted (`--iconv`).
    pub conversion: Option<Conversion>,
}

impl<'a, O: Observer> Shared<'a, O> {
    /// The start of a session.
    pub fn new(
        options: &'a SessionOptions,
        agreed: Agreed,
        observer: &'a O,
        side: Side,
        outbox: Rc<Outbox>,
    ) -> Self {
        let wake_generator = outbox.notify.clone();
        Self {
            options,
            agreed,
            observer,
            side,
            outbox,
            io_error: Cell::new(0),
            transfer_error: Cell::new(false),
            receiving_error: Cell::new(false),
            stats: RefCell::default(),
            events: RefCell::default(),
            wake_generator,
            successes: RefCell::default(),
            local: false,
            requested: Vec::new(),
            peer_exit: Cell::new(None),
            umask: Cell::new(0o022),
            extended: extended::State::default(),
            tape: None,
            replay: replay::Replay::default(),
            conversion: None,
        }
    }

    /// Tells the user, and remembers whether that makes the run end with code 23.
    pub fn report(&self, role: Role, notice: &Notice<'_>) {
        if notice.severity() == Severity::TransferError {
            self.transfer_error.set(true);
            if role != Role::Sender {
                self.receiving_error.set(true);
            }
        }
        self.observer.notice(role, notice);
    }

    /// Tells which name a fault that ends the session is about.
    pub(crate) fn refuse(&self, role: Role, fault: ProtocolError, name: &[u8]) -> ProtocolError {
        self.report(role, &Notice::RefusedName { fault, name });
        fault
    }

    /// Tells of a step of the work.
    pub(crate) fn step(&self, role: Role, step: &Step<'_>) {
        self.observer.step(role, step);
    }

    /// Shows an item to who is meant to see it: the user of a client, or the log of a server.
    pub(crate) fn show_item(&self, event: &ItemEvent<'_>) {
        if self.is_client() || self.options.report.logs {
            self.observer.item(event);
        }
    }

    /// Counts an item that is new at the destination.
    pub(crate) fn count_created(&self, entry: EntryRef<'_>, flags: ItemFlags) {
        if flags.contains(ItemFlags::IS_NEW) {
            self.stats.borrow_mut().created.add(entry.entry.kind());
        }
    }

    /// Adds error bits.
    pub fn add_io_error(&self, bits: u32) {
        self.io_error.set(self.io_error.get() | bits);
    }

    /// Error bits came with a list. They count when the generator comes to it; below protocol 31 they overtake it.
    pub(crate) fn add_list_errors(&self, list: &lists::Segment, bits: u32) {
        if self.agreed.protocol.has_safe_flist() {
            list.errors.set(bits);
        } else {
            self.add_io_error(bits);
        }
    }

    /// What indexes count.
    pub(crate) const fn numbering(&self) -> Numbering {
        if self.conversion.is_some() { Numbering::Transmitted } else { Numbering::Sorted }
    }

    /// A text of this side as it travels.
    pub(crate) fn text_to_wire(&self, text: Vec<u8>) -> Vec<u8> {
        match &self.conversion {
            Some(conversion) => conversion.text(Toward::Wire, &text),
            None => text,
        }
    }

    /// One refusal more may wait for the generator, which hears of nothing while its own peer does not read.
    fn takes_refusals(&self) -> bool {
        let waiting = self.events.borrow().len() as u64;
        waiting < unseen_answers(self.stats.borrow().listed.total())
    }

    pub(crate) fn event(&self, event: Event) {
        self.events.borrow_mut().push_back(event);
        self.wake_generator.notify();
    }

    /// A modification time for a sender's list. In a local run that is the receiver's list too, and has what would
    /// have arrived there.
    pub(crate) fn listed_time(&self, stat: &crate::ports::Stat) -> (i64, u32) {
        let time = (stat.mtime, stat.nsec);
        if self.local { self.agreed.protocol.carried_time(time) } else { time }
    }

    /// A mode as `--chmod` of this side changes it.
    pub(crate) fn chmodded(&self, mode: u32) -> u32 {
        match (&self.options.preserve.chmod, FileKind::from_mode(mode)) {
            (None, _) | (_, None | Some(FileKind::Missing | FileKind::Symlink)) => mode,
            (Some(chmod), Some(kind)) => {
                let perms = chmod.apply(mode & mode::PERMS, kind == FileKind::Dir, self.umask.get());
                (mode & mode::TYPE) | perms
            }
        }
    }

    /// This side is what the user sees.
    pub fn is_client(&self) -> bool {
        self.side == Side::Client
    }

    /// The exit code of a session that ended well.
    ///
    /// Of each side by the error bits and what it reported: 23 over 24 over 25. A process that is both ends has the larger
    /// one: the receiving side does not hear of a source that is missing, and its 25 hides the sender's 23.
    pub fn partial_code(&self) -> crate::exit::ExitCode {
        let code = self.code_by(self.transfer_error.get());
        if self.local { code.max(self.code_by(self.receiving_error.get())) } else { code }
    }

    fn code_by(&self, transfer_error: bool) -> crate::exit::ExitCode {
        use crate::exit::ExitCode;
        let bits = self.io_error.get();
        if transfer_error || bits & io_error::GENERAL != 0 {
            ExitCode::PARTIAL
        } else if bits & io_error::VANISHED != 0 {
            ExitCode::VANISHED
        } else if bits & io_error::DEL_LIMIT != 0 {
            ExitCode::DEL_LIMIT
        } else {
            ExitCode::OK
        }
    }
}
