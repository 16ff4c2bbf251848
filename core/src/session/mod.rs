//! The conversations: sender, generator, receiver, and what they share.
//!
//! Roles know the wire through [`crate::io`] and the world through [`crate::ports`]. A session runs on one
//! task; on the receiving side generator and receiver are two futures joined.

mod basis;
mod copying;
pub mod decide;
mod deletion;
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
mod names;
mod outlet;
mod prune;
mod receiver;
mod regular;
mod replay;
mod rules;
mod run;
mod scan;
mod sender;
mod special;
mod standing;
mod transfer;
mod wire_outlet;

use alloc::{collections::VecDeque, rc::Rc, vec::Vec};
use core::cell::{Cell, RefCell};

pub use copying::InTurn;
pub use inbox::Inbox;
use lists::Numbering;
pub use rules::Rules;
pub use run::{Entered, Entrance, FirstList, run_local, run_receiver, run_sender};
pub use scan::SourceArgs;

use crate::{
    charset::{Conversion, Toward},
    error::Role,
    io::Tape,
    mux::MsgTag,
    options::SessionOptions,
    ports::{Notice, Observer, Severity, Step},
    rt::Notify,
    setup::{Agreed, Side},
    stats::Stats,
};

/// Bits of the error word that travels with file lists and in `MSG_IO_ERROR`.
pub mod io_error {
    /// Something could not be read.
    pub const GENERAL: u32 = 1;
    /// A file vanished.
    pub const VANISHED: u32 = 2;
    /// The deletion limit was reached.
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
    /// Counters.
    pub stats: RefCell<Stats>,
    pub(crate) events: RefCell<VecDeque<Event>>,
    pub(crate) wake_generator: Rc<Notify>,
    /// Indexes in `MSG_SUCCESS`, for the sender.
    pub(crate) successes: RefCell<VecDeque<i32>>,
    /// Both ends are this process.
    pub local: bool,
    /// A pulling client: the paths that it asked for, or the names of its own `--files-from` list; names of lists
    /// are checked against them. Empty: they are not known.
    pub requested: Vec<Vec<u8>>,
    /// The peer asked for the end with this code.
    pub peer_exit: Cell<Option<u8>>,
    /// File creation mask of this process, for `--chmod`.
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
        }
        self.observer.notice(role, notice);
    }

    /// Tells of a step of the work.
    pub(crate) fn step(&self, role: Role, step: &Step<'_>) {
        self.observer.step(role, step);
    }

    /// Adds error bits.
    pub fn add_io_error(&self, bits: u32) {
        self.io_error.set(self.io_error.get() | bits);
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

    /// The change of permissions that this side makes to entries.
    pub(crate) fn chmod(&self) -> Option<&crate::chmod::Chmod> {
        let preserve = &self.options.preserve;
        preserve.chmod.as_ref().filter(|_| self.is_client() || preserve.chmod_by_server)
    }

    /// This side is what the user sees.
    pub fn is_client(&self) -> bool {
        self.side == Side::Client
    }

    /// The exit code by the error bits and reports: 23 over 24 over 25.
    pub fn partial_code(&self) -> crate::exit::ExitCode {
        use crate::exit::ExitCode;
        let bits = self.io_error.get();
        if self.transfer_error.get() || bits & io_error::GENERAL != 0 {
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
