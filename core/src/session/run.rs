//! Whole sessions over a transport: a sender, or a receiving side. Both in one process: [`super::local`].

use alloc::vec::Vec;

use embedded_io_async::BufRead;

use super::{
    Inbox, Shared,
    dest_side::DestSide,
    generator::Generator,
    guard::Guard,
    incoming_list::{ListReader, Mapping, prepare_first},
    lists::Lists,
    receiver::Receiver,
    rules::Rules,
    scan::SourceArgs,
    sender::Sender,
    wire_outlet::WireOutlet,
};
use crate::{
    batch::opening_bytes,
    charset::Toward,
    error::{Error, Limit, ProtocolError, Role},
    exit::ExitCode,
    filter::{FilterError, FilterList, FilterSide},
    flist::entry::{Entry, EntryFlags, EntryRef, FileKind, FileList},
    io::{ChunkWrite, WireReader, WireWriter},
    limits::MAX_TEXT,
    mux::MsgTag,
    options::FilesFrom,
    ports::{Notice, Observer, Source, Step, Target},
    rt::join2,
    setup::Side,
    trace,
};

/// What the destination argument means can only be said when the first list is there.
#[allow(async_fn_in_trait, reason = "nothing has to be `Send`")]
pub trait Entrance {
    /// The tree behind it.
    type Target: Target;
    /// Opens (or makes) the destination. `Err`: the reason was reported.
    async fn enter(&self, list: &FirstList) -> Result<Entered<Self::Target>, ExitCode>;

    /// Id of a user, for `--usermap`, which is read before there is a destination.
    fn user_id(&self, _name: &[u8]) -> Option<u32> {
        None
    }
    /// Id of a group.
    fn group_id(&self, _name: &[u8]) -> Option<u32> {
        None
    }
}

/// Facts about the first list.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FirstList {
    /// Number of entries; with incremental recursion and one entry, those of the second list are counted too.
    pub count: usize,
    /// Type of the first entry, unless that is a directory which `-m` leaves out.
    pub first: Option<FileKind>,
}

impl FirstList {
    pub(super) fn of<O>(list: &FileList, shared: &Shared<'_, O>, filters: &FilterList) -> Self {
        let first = list.entries.first().map(Entry::kind);
        let alone = list.len() == 1 && shared.options.select.prune_empty_dirs;
        let pruned = alone && {
            let mut list = list.clone();
            super::prune::prune_empty_dirs(&mut list, &filters.scope(FilterSide::Receiver, b""));
            !list.entries.iter().any(Entry::is_active)
        };
        Self { count: list.len(), first: first.filter(|_| !pruned) }
    }
}

/// An opened destination.
#[derive(Debug)]
pub struct Entered<T> {
    /// The tree.
    pub target: T,
    /// The one entry of the list takes this name, below `target`, in place of its own: `rsync host:a b` makes `b`.
    ///
    /// To be set where [`FirstList::count`] is 1 and the destination argument has no slash at its end and is no directory. If
    /// it does not exist, whatever the entry is; if it is something else, unless the entry is a directory, which is an
    /// error. The target is then the directory in front of the last component, and this the component: one name,
    /// without slashes. In all other cases `None`: the target is the directory that the argument names, which is made if it
    /// is missing. Nothing is deleted in a session with a name here.
    pub single_name: Option<Vec<u8>>,
    /// The directory does not exist and was not made (dry run).
    pub missing_root: bool,
    /// The directory was made just now: [`Target::stat`] finds it, and nothing in it. A target that has made nothing, and
    /// does not find its root yet, is asked to make it and says `false`.
    pub created_root: bool,
}

/// Whether the direction client to server consists of frames.
fn client_frames<O>(shared: &Shared<'_, O>, server_is_sender: bool) -> bool {
    shared.agreed.protocol.has_varints()
        || (server_is_sender && shared.options.transfer.remove_source.is_some())
}

/// Turns framing on where it is in use behind the seed.
fn start_framing<R: BufRead, W: ChunkWrite, O: Observer>(
    shared: &Shared<'_, O>,
    is_sender: bool,
    r: &mut WireReader<R, Inbox<'_, O>>,
    w: &mut WireWriter<W, Vec<u8>>,
) {
    if shared.options.read_batch {
        // A recorded stream has none, and nobody listens.
        return;
    }
    let server_is_sender = is_sender == (shared.side == Side::Server);
    let to_server = client_frames(shared, server_is_sender);
    match shared.side {
        Side::Client => {
            r.start_framing();
            if to_server {
                w.start_framing();
            }
        }
        Side::Server => {
            w.start_framing();
            if to_server {
                r.start_framing();
            }
        }
    }
}

async fn send_rules<W: ChunkWrite>(
    w: &mut WireWriter<W, Vec<u8>>,
    rules: &[Vec<u8>],
) -> Result<(), Error<W::Error>> {
    for rule in rules {
        w.i32(i32::try_from(rule.len()).unwrap_or(i32::MAX)).await?;
        w.bytes(rule).await?;
    }
    w.i32(0).await
}

async fn receive_rules<R: BufRead, O: Observer>(
    r: &mut WireReader<R, Inbox<'_, O>>,
) -> Result<Vec<Vec<u8>>, Error<R::Error>> {
    let mut rules = Vec::new();
    loop {
        let len = r.i32().await?;
        if len == 0 {
            return Ok(rules);
        }
        let len = usize::try_from(len).ok().filter(|n| *n < MAX_TEXT).ok_or(ProtocolError::OutOfRange {
            what: Limit::FilterRule,
            got: i64::from(len),
            max: MAX_TEXT as i64 - 1,
        })?;
        let mut rule = Vec::new();
        r.append(len, &mut rule).await?;
        rules.push(rule);
    }
}

fn filter_fault<O: Observer, E>(shared: &Shared<'_, O>, fault: &FilterError) -> Error<E> {
    shared.report(Role::Server, &Notice::FilterFault(fault));
    Error::Exit(fault.exit_code())
}

/// Tells the peer why and with which code this side ends, where the protocol has a word for it, and that it need not
/// answer to a word of its own; where it has none, a server says what it can. True: the peer was told and leaves.
async fn say_exit<W: ChunkWrite, O: Observer, E>(
    shared: &Shared<'_, O>,
    w: &mut WireWriter<W, Vec<u8>>,
    error: &Error<E>,
) -> bool {
    let has_word = shared.agreed.protocol.has_extended_goodbye();
    if !w.is_framed() || !has_word && shared.side == Side::Client {
        return false;
    }
    let code = error.exit_code();
    if !matches!(error, Error::PeerExit(_) | Error::Io(_) | Error::Eof) {
        let fault = if let Error::Protocol(fault) = error { Some(fault) } else { None };
        shared.observer.ending(code, fault);
    }
    while let Some((tag, payload)) = shared.outbox.pop() {
        if w.message(tag, &payload).await.is_err() {
            return false;
        }
    }
    let payload = match error {
        Error::PeerExit(_) => Vec::new(),
        Error::Io(_) | Error::Eof => return false,
        _ if !has_word || matches!(code.0, 10 | 12 | 19 | 30) => {
            let _ = w.flush().await;
            return false;
        }
        _ => i32::from(code.0).to_le_bytes().to_vec(),
    };
    // What was said before the fault is still acted upon; messages overtake what waits to be written.
    if w.flush().await.is_err() {
        return false;
    }
    w.message(MsgTag::ErrorExit, &payload).await.is_ok() && w.flush().await.is_ok()
}

/// Runs the sender behind the handshake. `rules`: [`Rules::Own`] for a client, [`Rules::FromPeer`] for a server; `args`: what
/// is sent. Framing, the exit code and what is asked of the transport: as for [`run_receiver`].
///
/// Not cancel-safe.
pub async fn run_sender<'a, R, W, S, O>(
    shared: &'a Shared<'a, O>,
    source: &'a S,
    rules: Rules,
    args: &SourceArgs,
    mut r: WireReader<R, Inbox<'a, O>>,
    mut w: WireWriter<W, Vec<u8>>,
) -> Result<(), Error<R::Error>>
where
    R: BufRead,
    W: ChunkWrite<Error = R::Error>,
    S: Source,
    O: Observer,
{
    start_framing(shared, true, &mut r, &mut w);
    r.sink().attach(shared, true);
    let options = shared.options;
    let protocol = shared.agreed.protocol;
    let cvs = options.select.cvs_exclude;
    let filters = if shared.side == Side::Server {
        let texts = receive_rules(&mut r).await?;
        let list = rules.for_server(&texts, protocol, FilterSide::Sender, cvs);
        list.map_err(|fault| filter_fault(shared, &fault))?
    } else {
        let (list, texts) = rules.for_client(protocol, FilterSide::Sender, cvs)?;
        if options.push_sends_filters(protocol) {
            send_rules(&mut w, &texts).await?;
        }
        list
    };
    if let Some(tape) = &shared.tape {
        tape.record(&opening_bytes(&shared.agreed));
        w.set_tape(tape.clone());
    }
    let mut sender = Sender::new(shared, source, &filters, r, w)?;
    let result = sender.run(args).await;
    trace::ended(Role::Sender, &result);
    let (written, read) = sender.counts();
    {
        let mut stats = shared.stats.borrow_mut();
        stats.written = written;
        stats.read = read;
    }
    if let Err(error) = &result {
        say_exit(shared, sender.writer(), error).await;
    }
    result
}

/// Runs the receiving side, generator and receiver, behind the handshake. `rules`: as for [`run_sender`]; `names`: the
/// `--files-from` list that the sender waits for ([`FilesFrom::Send`]), otherwise `None`.
///
/// Framing is started here. The reader's sink, made with [`Inbox::unattached`], is attached to `shared` before. A session that ends well
/// can still have had faults: its exit code is that of `Shared::partial_code`; that of an error is `Error::exit_code`. Reads
/// must be pending while nothing has come, and so should writes that cannot go on be: see [what a transport is](crate#what-a-transport-is).
///
/// Not cancel-safe.
pub async fn run_receiver<'a, R, W, N, O>(
    shared: &'a Shared<'a, O>,
    entrance: &N,
    rules: Rules,
    names: Option<&[Vec<u8>]>,
    mut r: WireReader<R, Inbox<'a, O>>,
    mut w: WireWriter<W, Vec<u8>>,
) -> Result<(), Error<R::Error>>
where
    R: BufRead,
    W: ChunkWrite<Error = R::Error>,
    N: Entrance,
    O: Observer,
{
    start_framing(shared, false, &mut r, &mut w);
    r.sink().attach(shared, false);
    let result = receive_with(shared, entrance, rules, names, &mut r, &mut w).await;
    trace::ended(Role::ReceiverSide, &result);
    if shared.side == Side::Server || result.is_err() {
        let mut stats = shared.stats.borrow_mut();
        stats.written = w.count();
        stats.read = r.count();
    }
    if let Err(error) = &result
        && say_exit(shared, &mut w, error).await
        && shared.side == Side::Server
    {
        // A client that still writes would fail before it reads what it was told.
        let _ = r.drain().await;
    }
    result
}

async fn receive_with<'a, R, W, N, O>(
    shared: &'a Shared<'a, O>,
    entrance: &N,
    rules: Rules,
    names: Option<&[Vec<u8>]>,
    r: &mut WireReader<R, Inbox<'a, O>>,
    w: &mut WireWriter<W, Vec<u8>>,
) -> Result<(), Error<R::Error>>
where
    R: BufRead,
    W: ChunkWrite<Error = R::Error>,
    N: Entrance,
    O: Observer,
{
    let options = shared.options;
    let filters = exchange_rules(shared, rules, r, w).await?;
    w.flush().await?;
    if let Some(tape) = &shared.tape {
        tape.record(&opening_bytes(&shared.agreed));
        r.set_tape(tape.clone());
    }

    let incremental = shared.agreed.inc_recurse();
    let start = i32::from(incremental);
    let mut reader = ListReader::new(shared, Guard::new(shared, &filters));
    shared.report(Role::ReceiverSide, &Notice::ListStart);
    reader.mapping = Mapping::new(shared, entrance).map_err(Error::Exit)?;
    let mut list = read_first_list(shared, &mut reader, names.unwrap_or_default(), r, w).await?;
    let first = FirstList::of(&list, shared, &filters);
    if list.is_empty() && shared.side == Side::Client {
        // The sender has nothing and leaves.
        if !options.read_batch {
            let mut stats = shared.stats.borrow_mut();
            stats.written = w.count();
            stats.read = r.count();
        }
        return r.drain().await;
    }
    let mut facts = first;
    // A list of one entry: the next one says whether there is more.
    let second = if incremental && list.len() == 1 {
        let ndx = r.ndx(&mut reader.read_ndx).await?;
        let is_dir = first.first == Some(FileKind::Dir);
        let list = if is_dir { reader.second(r, shared, ndx, start + 2).await? } else { None };
        facts.count += list.as_ref().map_or(0, |(list, _)| list.len());
        Some((ndx, list))
    } else {
        None
    };
    shared.step(Role::ReceiverSide, &Step::Destination { count: facts.count });
    let entered = entrance.enter(&facts).await.map_err(Error::Exit)?;
    let scope = filters.scope(FilterSide::Receiver, &entered.target.root_path());
    shared.extended.receive(shared, &scope, entered.target.rights().super_user);
    prepare_first(shared, Some(&entered.target), &mut reader, &mut list, start)?;
    if options.select.prune_empty_dirs {
        super::prune::prune_empty_dirs(&mut list, &scope);
    }
    if options.list_only {
        super::generator::report_method(shared);
        show_list(shared, &list, None);
    }
    let mut lists = Lists::new(incremental, shared.numbering());
    lists.push(list, None);
    lists.complete = !incremental;
    if !incremental {
        shared.step(Role::ReceiverSide, &Step::ListsEnd);
    }
    talk(&DestSide::new(shared, &entered, scope, lists), reader, second, r, w).await
}

/// The rules of a receiving side: a client has its own and tells the server those that concern it, a server gets them.
async fn exchange_rules<R, W, O>(
    shared: &Shared<'_, O>,
    rules: Rules,
    r: &mut WireReader<R, Inbox<'_, O>>,
    w: &mut WireWriter<W, Vec<u8>>,
) -> Result<FilterList, Error<R::Error>>
where
    R: BufRead,
    W: ChunkWrite<Error = R::Error>,
    O: Observer,
{
    let options = shared.options;
    let protocol = shared.agreed.protocol;
    let cvs = options.select.cvs_exclude;
    if shared.side == Side::Server {
        let texts = if options.push_sends_filters(protocol) { receive_rules(r).await? } else { Vec::new() };
        let list = rules.for_server(&texts, protocol, FilterSide::Receiver, cvs);
        return list.map_err(|fault| filter_fault(shared, &fault));
    }
    let (list, texts) = rules.for_client(protocol, FilterSide::Receiver, cvs)?;
    if !options.read_batch {
        send_rules(w, &texts).await?;
    }
    Ok(list)
}

/// The first list of a session. Where the sender waits for `names`, they are sent meanwhile.
async fn read_first_list<R, W, O>(
    shared: &Shared<'_, O>,
    reader: &mut ListReader,
    names: &[Vec<u8>],
    r: &mut WireReader<R, Inbox<'_, O>>,
    w: &mut WireWriter<W, Vec<u8>>,
) -> Result<FileList, Error<R::Error>>
where
    R: BufRead,
    W: ChunkWrite<Error = R::Error>,
    O: Observer,
{
    let options = shared.options;
    let incremental = shared.agreed.inc_recurse();
    let start = i32::from(incremental);
    let before = r.count_of_frames();
    let list = if options.select.files_from == FilesFrom::Send {
        join2(reader.first(r, shared, start), send_names(w, names, shared)).await?.0
    } else {
        reader.first(r, shared, start).await?
    };
    shared.stats.borrow_mut().flist_bytes = if options.read_batch { 0 } else { r.count_of_frames() - before };
    if !list.is_empty() || (!incremental && shared.is_client()) {
        shared.report(Role::ReceiverSide, &Notice::ListDone(list.len()));
    }
    Ok(list)
}

/// Generator and receiver side by side.
async fn talk<'a, 's, R, W, T, O>(
    side: &'s DestSide<'s, T, O>,
    reader: ListReader,
    second: Option<(i32, Option<(FileList, u32)>)>,
    r: &mut WireReader<R, Inbox<'a, O>>,
    w: &mut WireWriter<W, Vec<u8>>,
) -> Result<(), Error<R::Error>>
where
    R: BufRead,
    W: ChunkWrite<Error = R::Error>,
    T: Target,
    O: Observer,
{
    let outlet = WireOutlet::new(side, w);
    let mut generator = Generator::new(side, outlet);
    let mut receiver = Receiver::new(side, r, reader)?;
    match second {
        Some((ndx, Some((list, errors)))) => receiver.second_list(ndx, list, errors)?,
        Some((ndx, None)) => receiver.list_item(ndx).await?,
        None => {}
    }
    if side.shared.options.read_batch && generator.begins_with_waiting() {
        side.shared.replay.hold_back();
    }
    let receive = async {
        receiver.run().await?;
        receiver.goodbye().await
    };
    join2(generator.run(), receive).await.map(drop)
}

/// Sends the names of `--files-from`, outside of frames below protocol 31.
async fn send_names<W: ChunkWrite, O>(
    w: &mut WireWriter<W, Vec<u8>>,
    names: &[Vec<u8>],
    shared: &Shared<'_, O>,
) -> Result<(), Error<W::Error>> {
    let pause = w.is_framed() && !shared.agreed.protocol.has_framed_files_from();
    let conversion = shared.conversion.as_ref().filter(|c| c.name_lists);
    if pause {
        w.stop_framing();
    }
    for name in names.iter().filter(|n| !n.is_empty()) {
        match conversion {
            Some(conversion) => w.bytes(&conversion.text(Toward::Wire, name)).await?,
            None => w.bytes(name).await?,
        }
        w.u8(0).await?;
    }
    w.u8(0).await?;
    w.flush().await?;
    if pause {
        w.start_framing();
    }
    Ok(())
}

/// Hands each entry to the observer. Of several lists each is shown behind the directory whose contents it holds, so
/// that what lies in a directory follows it; `dir`: that directory, where it stands in another list.
pub(super) fn show_list<O: Observer>(shared: &Shared<'_, O>, list: &FileList, dir: Option<EntryRef<'_>>) {
    let several = shared.agreed.inc_recurse();
    let implied = shared.options.select.implied_dirs;
    for entry in dir.into_iter().chain((0..list.len()).filter_map(|i| list.get(i))) {
        let own = dir.is_some_and(|dir| dir.name() == entry.name()) || entry.is_root();
        let shown = implied || !entry.entry.flags.contains(EntryFlags::IMPLIED_DIR);
        if shown && entry.entry.is_active() && (own || !several || !entry.entry.is_dir()) {
            shared.observer.listed(&entry);
        }
    }
}
