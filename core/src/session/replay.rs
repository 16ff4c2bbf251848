//! Reading a batch file: the recorded stream stands in for a sender, so the receiver itself looks whether the
//! generator wants what comes (spec: batch files, reading).

use alloc::{collections::BTreeSet, rc::Rc, vec::Vec};
use core::cell::{Cell, RefCell};

use embedded_io_async::BufRead;

use super::{
    Event, Shared,
    lists::Segment,
    receiver::Receiver,
    transfer::{FileContext, Sink},
};
use crate::{
    error::{Error, Role},
    flist::entry::EntryRef,
    options::Append,
    ports::{Notice, Observer, Target},
    rt::Notify,
};

/// What the generator has asked for, and how far it is.
#[derive(Debug)]
pub(crate) struct Replay {
    wanted: RefCell<BTreeSet<i32>>,
    /// Every entry up to this turn was looked at.
    position: Cell<i32>,
    /// The generator waits for the receiver.
    idle: Cell<bool>,
    /// It waits only for lists that might come first.
    looks_ahead: Cell<bool>,
    /// The receiver waits for the generator.
    receiver_waits: Cell<bool>,
    /// The generator does not begin yet.
    held_back: Cell<bool>,
    wake_receiver: Notify,
}

impl Default for Replay {
    fn default() -> Self {
        Self {
            wanted: RefCell::default(),
            position: Cell::new(i32::MIN),
            idle: Cell::new(false),
            looks_ahead: Cell::new(false),
            receiver_waits: Cell::new(false),
            held_back: Cell::new(false),
            wake_receiver: Notify::new(),
        }
    }
}

impl Replay {
    /// The generator asks for a file.
    pub(super) fn request(&self, ndx: i32) {
        self.wanted.borrow_mut().insert(ndx);
        self.wake_receiver.notify();
    }

    /// The generator has looked at the entry whose turn this is.
    pub(super) fn passed(&self, turn: i32) {
        self.position.set(self.position.get().max(turn));
        if self.receiver_waits.get() {
            self.wake_receiver.notify();
        }
    }

    /// The generator begins or ends to wait.
    pub(super) fn set_idle(&self, idle: bool) {
        self.idle.set(idle);
        if idle {
            self.wake_receiver.notify();
        }
    }

    /// The generator waits, or does not wait any more, for more lists than it needs.
    pub(super) fn look_ahead(&self, on: bool) {
        self.looks_ahead.set(on);
    }

    /// The receiver cannot go on before the generator does.
    pub(super) const fn receiver_waits(&self) -> bool {
        self.receiver_waits.get()
    }

    /// A generator that needs more lists gets them when the receiver first waits for it: as in the reference, what is
    /// recorded in front of that is carried out before it has begun.
    pub(super) fn hold_back(&self) {
        self.held_back.set(true);
    }

    /// The generator has to wait for the receiver to wait.
    pub(super) const fn is_held_back(&self) -> bool {
        self.held_back.get()
    }

    /// So much of the recording was read.
    pub(super) fn has_read(&self, bytes: u64) {
        if bytes > PIECE {
            self.held_back.set(false);
        }
    }
}

/// What the reference reads of a batch at once. Its generator hears of lists when its receiver waits for it, or for more
/// of the batch.
const PIECE: u64 = 32 * 1024;

impl<O: Observer> Shared<'_, O> {
    /// The generator has taken note of everything and waits.
    fn generator_is_idle(&self) -> bool {
        self.replay.idle.get() && !self.replay.looks_ahead.get() && self.events.borrow().is_empty()
    }

    /// Lets the generator go on until this holds, or until it has nothing more to do.
    async fn until(&self, ready: impl Fn() -> bool) {
        // What it does not know yet may give it work.
        self.replay.idle.set(false);
        self.replay.held_back.set(false);
        while !ready() && !self.generator_is_idle() {
            self.replay.receiver_waits.set(true);
            self.wake_generator.notify();
            self.replay.wake_receiver.wait().await;
        }
        self.replay.receiver_waits.set(false);
    }

    /// Whether the generator wants a file whose data comes next. `turn`: that of the entry; `again`: the first attempt
    /// failed.
    pub(super) async fn wants(&self, ndx: i32, turn: i32, again: bool) -> bool {
        let replay = &self.replay;
        let wanted = || replay.wanted.borrow().contains(&ndx);
        // What became of files before may still give it work: a member of a link group takes the place of one that failed.
        let knows_all = || self.events.borrow().is_empty();
        let passed = || !again && replay.position.get() >= turn && knows_all();
        self.until(|| wanted() || passed()).await;
        replay.wanted.borrow_mut().remove(&ndx)
    }

    /// What a recorded answer is about may be made by the generator first.
    pub(super) async fn standing_for_answer(&self, turn: i32) {
        if self.options.read_batch && !self.replay.is_held_back() {
            self.until(|| self.replay.position.get() >= turn).await;
        }
    }

    /// The end of a list or of a phase: what the generator still wants up to there will not come.
    pub(super) async fn give_up_missing(&self, segments: &[Rc<Segment>]) {
        let replay = &self.replay;
        loop {
            self.until(|| false).await;
            let missing: Vec<(i32, &Rc<Segment>)> = replay
                .wanted
                .borrow()
                .iter()
                .filter_map(|ndx| {
                    segments.iter().find(|s| (s.start..s.end()).contains(ndx)).map(|s| (*ndx, s))
                })
                .collect();
            if missing.is_empty() {
                return;
            }
            for (ndx, segment) in missing {
                replay.wanted.borrow_mut().remove(&ndx);
                if let Some(entry) = segment.get(ndx) {
                    let resend = segment.marks(ndx).contains(crate::flist::entry::EntryFlags::REDO);
                    let name = crate::names::below(entry.name());
                    self.report(Role::Receiver, &Notice::NotInBatch { name, resend });
                }
                self.event(Event::Failed(ndx));
            }
        }
    }
}

impl<'a, R: BufRead, T: Target, O: Observer> Receiver<'a, '_, '_, R, T, O> {
    /// A recorded mark: the files that the generator still wants from here will not come.
    pub(super) async fn end_of_recording(&self) {
        let segments: Vec<Rc<Segment>> = {
            let lists = self.side.lists.borrow();
            // With several lists each mark ends the oldest one.
            let ended = if self.shared().agreed.inc_recurse() { self.held + 1 } else { lists.len() };
            (0..ended).filter_map(|i| lists.get(i)).collect()
        };
        self.shared().give_up_missing(&segments).await;
    }

    /// Takes the data of a file that is not written.
    pub(super) async fn discard(
        &mut self,
        ndx: i32,
        segment: &Segment,
        entry: EntryRef<'_>,
    ) -> Result<(), Error<R::Error>> {
        let head = self.incoming.head(self.r).await?;
        let target = self.side.target;
        let append = Append::Off;
        let mut sink = Sink {
            target,
            output: None,
            basis: None,
            lost: false,
            in_place: false,
            append,
            literal: 0,
            torn: None,
        };
        let context = FileContext::new(self.shared(), entry, ndx, segment, &self.side.lists.borrow());
        let received = self.incoming.receive(self.r, head, &mut sink, &context).await?;
        context.progress(received.size, 0, true);
        Ok(())
    }
}
