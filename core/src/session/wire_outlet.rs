//! What the generator asks for, put on the wire for a remote sender.

use alloc::{rc::Rc, vec::Vec};

use super::{
    Shared,
    basis::basis_place,
    dest_side::DestSide,
    extended,
    generator::{Outlet, Request},
    goodbye::{ItemHeader, write_del_stats},
    item_lines::{is_worth_a_line, name_line},
    lists::Segment,
    outlet::TURN,
    receiver::sibling_name,
    sender::send_messages,
};
use crate::{
    delta::SumHead,
    error::{Error, Role},
    flist::entry::EntryRef,
    io::{ChunkWrite, WireWriter},
    item::{BasisType, ItemFlags},
    mux::MsgTag,
    options::Append,
    ports::{ItemEvent, Notice, Observer, Op, Place, Step, Target},
    rt::yield_now,
    stats::Counts,
    wire::ndx::{NDX_DEL_STATS, NDX_DONE, NdxState},
};

/// Requests to a remote sender.
pub(super) struct WireOutlet<'a, 'w, W, T, O> {
    side: &'a DestSide<'a, T, O>,
    w: &'w mut WireWriter<W, Vec<u8>>,
    ndx: NdxState,
    items: u32,
    sums: Vec<u8>,
    /// Of bases, bytes, since what was written was pushed out.
    summed: u64,
}

/// So much of basis files is summed up before the sender gets what there is: it has something to search meanwhile. The
/// reference waits until its buffer is full, which is the case after some 12 MiB of small files; until then messages overtake
/// the items.
const KICK: u64 = 8 << 20;

impl<'a, 'w, W: ChunkWrite, T: Target, O: Observer> WireOutlet<'a, 'w, W, T, O> {
    pub(super) fn new(side: &'a DestSide<'a, T, O>, w: &'w mut WireWriter<W, Vec<u8>>) -> Self {
        let ndx = NdxState::new(side.shared.agreed.protocol);
        Self { side, w, ndx, items: 0, sums: Vec::new(), summed: 0 }
    }

    fn shared(&self) -> &'a Shared<'a, O> {
        self.side.shared
    }

    async fn messages(&mut self) -> Result<(), Error<W::Error>> {
        send_messages(self.shared(), self.w).await
    }

    /// Sends the sums of a basis file.
    async fn block_sums(
        &mut self,
        ndx: i32,
        place: Place<'_>,
        request: &Request,
    ) -> Result<(), Error<W::Error>> {
        let shared = self.shared();
        let agreed = &shared.agreed;
        let options = shared.options;
        let whole = options.transfer.whole_file == Some(true)
            || agreed.transfer_sum == crate::checksum::ChecksumKind::None;
        let digest_len = agreed.transfer_sum.digest_len();
        let wants_sums = request.append == Append::Off;
        let basis = match request.basis_len {
            Some(len) if len > 0 && (!whole || !wants_sums) => Some(len),
            _ => None,
        };
        let Some(expected) = basis else { return self.w.bytes(&SumHead::EMPTY.encode()).await };
        let head_for = |len| {
            SumHead::for_basis(len, options.transfer.block_size, agreed.protocol, request.redo, digest_len)
        };
        if !wants_sums {
            let head = head_for(expected).unwrap_or(SumHead::EMPTY);
            return self.w.bytes(&head.encode()).await;
        }
        let name = place.name();
        let (file, len) = match self.side.target.open_basis(place).await {
            Ok(opened) => opened,
            Err(error) => {
                let path = self.side.basis_path(place);
                let notice = Notice::Failed { op: Op::OpenBasis, name: &path, base: None, other: &[], error };
                shared.report(Role::Generator, &notice);
                return self.w.bytes(&SumHead::EMPTY.encode()).await;
            }
        };
        let Some(head) = head_for(len) else {
            shared.report(Role::Generator, &Notice::TooLargeForSums(name.bytes()));
            return self.w.bytes(&SumHead::EMPTY.encode()).await;
        };
        shared.step(Role::Generator, &Step::Mapped { name: name.bytes(), base: 0, size: len });
        shared.step(Role::Generator, &Step::SendingSums(ndx));
        shared.step(Role::Generator, &Step::Sums(head));
        self.w.bytes(&head.encode()).await?;
        if head.count == 0 {
            return Ok(());
        }
        let sums = agreed.sums();
        let mut next = 0;
        while next < head.count {
            self.sums.clear();
            next = self.side.target.sum_blocks_aside(&file, &head, &sums, next, &mut self.sums).await;
            self.w.bytes(&self.sums).await?;
            if head.count > 64 {
                yield_now().await;
            }
        }
        self.summed += len;
        if self.summed >= KICK {
            self.summed = 0;
            self.w.kick().await?;
        }
        Ok(())
    }
}

impl<W: ChunkWrite, T: Target, O: Observer> Outlet for WireOutlet<'_, '_, W, T, O> {
    type Error = W::Error;

    async fn item(
        &mut self,
        ndx: i32,
        entry: EntryRef<'_>,
        flags: ItemFlags,
        xname: Option<&[u8]>,
    ) -> Result<(), Error<W::Error>> {
        let protocol = self.shared().agreed.protocol;
        if !protocol.has_item_flags() {
            // Such items do not travel. A pulling client itemizes its own, or shows names like a server.
            let (shared, options) = (self.shared(), self.shared().options);
            let itemizes = shared.is_client() && options.report.itemize;
            if !itemizes && is_worth_a_line(entry, flags, options) {
                let line = name_line(self.side.local_name(entry), entry, xname);
                // As it travels, here as well: who shows it takes it for a text of the peer.
                let line = shared.text_to_wire(line);
                if shared.is_client() {
                    shared.observer.peer_text(MsgTag::Info, &line);
                } else {
                    shared.outbox.push(MsgTag::Info, line);
                }
            }
            if itemizes && !options.read_batch {
                shared.observer.item(&ItemEvent { link: xname, ..ItemEvent::of(entry, flags) });
            }
            return Ok(());
        }
        self.w.ndx(&mut self.ndx, ndx).await?;
        let header = ItemHeader { flags, basis: BasisType::Name, xname: xname.map(<[u8]>::to_vec) };
        header.write(self.w, protocol).await?;
        extended::write_request(self.w, self.shared(), entry, flags).await
    }

    async fn request(
        &mut self,
        ndx: i32,
        segment: &Rc<Segment>,
        request: Request,
    ) -> Result<(), Error<W::Error>> {
        let Some(entry) = segment.get(ndx) else { return Ok(()) };
        if self.shared().options.read_batch {
            self.shared().replay.request(ndx);
            return Ok(());
        }
        self.w.ndx(&mut self.ndx, ndx).await?;
        let header = ItemHeader { flags: request.flags, basis: request.basis, xname: request.xname.clone() };
        header.write(self.w, self.shared().agreed.protocol).await?;
        extended::write_request(self.w, self.shared(), entry, request.flags).await?;
        if self.shared().options.asks_for_nothing() {
            return Ok(());
        }
        let name = self.side.local_name(entry);
        let sibling = sibling_name(name, request.xname.as_deref().unwrap_or_default());
        let place = match basis_place(&request, name, &sibling) {
            // What it is a copy of still stands, and is read so that the copy keeps its time of access.
            Place::Backup(name) => Place::Dest(name),
            place => place,
        };
        self.block_sums(ndx, place, &request).await
    }

    async fn done(&mut self) -> Result<(), Error<W::Error>> {
        self.messages().await?;
        self.w.ndx(&mut self.ndx, NDX_DONE).await
    }

    async fn del_stats(&mut self, counts: &Counts) -> Result<(), Error<W::Error>> {
        self.messages().await?;
        self.w.ndx(&mut self.ndx, NDX_DEL_STATS).await?;
        write_del_stats(self.w, counts).await
    }

    async fn success(&mut self, ndx: i32, _entry: EntryRef<'_>) -> Result<(), Error<W::Error>> {
        if self.w.is_framed() && !self.shared().options.dry_run {
            self.w.message(MsgTag::Success, &ndx.to_le_bytes()).await?;
        }
        Ok(())
    }

    async fn pump(&mut self) -> Result<(), Error<W::Error>> {
        self.messages().await?;
        self.items += 1;
        if self.items.is_multiple_of(TURN) {
            self.w.kick().await?;
            yield_now().await;
        }
        Ok(())
    }

    async fn flush_all(&mut self) -> Result<(), Error<W::Error>> {
        self.messages().await?;
        self.w.flush().await
    }

    async fn settle(&mut self) -> Result<(), Error<W::Error>> {
        self.flush_all().await
    }

    async fn wait(&mut self) -> Result<(), Error<W::Error>> {
        self.flush_all().await?;
        let replay = &self.shared().replay;
        replay.set_idle(true);
        self.shared().wake_generator.wait().await;
        replay.set_idle(false);
        Ok(())
    }
}
