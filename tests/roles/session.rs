//! Both ends of a connection in one thread.

use core::convert::Infallible;
use std::{cell::RefCell, rc::Rc};

use arsync_core::{
    charset::{Conversion, TestCharset},
    error::{Error, Role},
    exit::ExitCode,
    filter::{FilterConfig, FilterList},
    flist::entry::EntryRef,
    io::{
        WireReader, WireWriter,
        duplex::{self, Deadlock, PipeReader, PipeWriter},
    },
    mux::MsgTag,
    options::{FilesFrom, SessionOptions},
    ports::{FileProgress, ItemEvent, Notice, Observer, Target},
    rt::join2,
    session::{
        Entered, Entrance, FirstList, InTurn, Inbox, Outbox, Rules, Shared, SourceArgs, run_local,
        run_receiver, run_sender,
    },
    setup::{Agreed, Capabilities, Handshake, Side, exchange},
    stats::Stats,
    version::ProtocolVersion,
};

use crate::fake::{Dest, Fs};

/// Notes what is reported.
#[derive(Debug, Default)]
pub struct Watch {
    pub notices: RefCell<Vec<String>>,
    /// Name and flags of each item.
    pub items: RefCell<Vec<(Vec<u8>, u32)>>,
    pub listed: RefCell<Vec<Vec<u8>>>,
}

impl Observer for Watch {
    fn notice(&self, from: Role, notice: &Notice<'_>) {
        self.notices.borrow_mut().push(format!("{from}: {notice:?}"));
    }
    fn peer_text(&self, tag: MsgTag, text: &[u8]) {
        self.notices.borrow_mut().push(format!("{tag:?}: {}", text.escape_ascii()));
    }
    fn item(&self, event: &ItemEvent<'_>) {
        self.items.borrow_mut().push((event.name.to_vec(), event.flags.bits()));
    }
    fn listed(&self, entry: &EntryRef<'_>) {
        self.listed.borrow_mut().push(entry.name().to_vec());
    }
    fn progress(&self, _: &FileProgress<'_>) {}
}

/// The destination is there.
pub struct Door {
    pub dest: Dest,
    pub single_name: Option<Vec<u8>>,
}

impl Entrance for Door {
    type Target = Dest;
    fn user_id(&self, name: &[u8]) -> Option<u32> {
        Target::user_id(&self.dest, name)
    }
    fn group_id(&self, name: &[u8]) -> Option<u32> {
        Target::group_id(&self.dest, name)
    }
    async fn enter(&self, _: &FirstList) -> Result<Entered<Dest>, ExitCode> {
        Ok(Entered {
            target: self.dest.clone(),
            single_name: self.single_name.clone(),
            missing_root: false,
            created_root: false,
        })
    }
}

/// A run to be made.
#[derive(Clone)]
pub struct Setup {
    pub protocol: u8,
    /// The client sends.
    pub push: bool,
    pub options: SessionOptions,
    pub capabilities: Capabilities,
    /// Source arguments.
    pub args: Vec<Vec<u8>>,
    /// A list of names that the receiving side holds.
    pub names: Option<Vec<Vec<u8>>>,
    /// Bytes that each direction holds.
    pub capacity: usize,
    /// Filter rules of the client.
    pub rules: Vec<Vec<u8>>,
    /// Charsets of the client and of the server, where names are converted.
    pub charsets: Option<[TestCharset; 2]>,
}

/// How both ends came out.
#[derive(Debug)]
pub struct Outcome {
    pub client: Result<ExitCode, Error<Infallible>>,
    pub server: Result<ExitCode, Error<Infallible>>,
    pub client_watch: Watch,
    pub server_watch: Watch,
    pub client_stats: Stats,
    pub server_stats: Stats,
}

pub fn all_capabilities() -> Capabilities {
    Capabilities::all() - Capabilities::BYTE_FLAGS
}

pub fn handshake(setup: &Setup, side: Side) -> Handshake {
    let o = &setup.options;
    let version = ProtocolVersion::new(setup.protocol).expect("a version");
    let receiving = setup.push == (side == Side::Server);
    let inc = !o.forbids_inc_recursion(receiving) && !o.select.relative;
    let mut capabilities = setup.capabilities;
    if side == Side::Client && !inc {
        capabilities -= Capabilities::INC_RECURSE;
    }
    let client_inc = !o.forbids_inc_recursion(!setup.push);
    if side == Side::Server && !client_inc {
        capabilities -= Capabilities::INC_RECURSE;
    }
    let mut h = o.handshake(side, capabilities, receiving);
    h.max_protocol = version;
    h.allow_inc_recurse = inc;
    h.seed = 12_345;
    h
}

pub fn rules(setup: &Setup, side: Side) -> Rules {
    if side == Side::Server {
        return Rules::FromPeer(FilterList::new(FilterConfig::default()));
    }
    let mut list = FilterList::new(FilterConfig::default());
    for rule in &setup.rules {
        list.add_filter(rule, &mut |_| Err(arsync_core::ports::PortError::NOT_FOUND)).expect("a rule");
    }
    Rules::Own(list)
}

/// Options of one end: the name list is where it is.
pub fn options_of(setup: &Setup, sender: bool) -> SessionOptions {
    let mut options = setup.options.clone();
    if setup.names.is_some() {
        options.select.files_from = if sender { FilesFrom::Wire } else { FilesFrom::Send };
    }
    options
}

pub type End = (Result<ExitCode, Error<Infallible>>, Stats);

pub async fn one_end(
    setup: &Setup,
    side: Side,
    agreed: Agreed,
    source: &Fs,
    door: &Door,
    watch: &Watch,
    (reader, writer): (PipeReader, PipeWriter),
) -> End {
    let sender = setup.push == (side == Side::Client);
    let options = options_of(setup, sender);
    let mut shared = Shared::new(&options, agreed, watch, side, Rc::new(Outbox::new()));
    shared.conversion = setup.charsets.map(|[client, server]| {
        let charset = if side == Side::Client { client } else { server };
        Conversion::new(Rc::new(charset), setup.protocol >= 30, setup.names.is_some())
    });
    let r = WireReader::new(reader, Inbox::unattached());
    let w = WireWriter::new(writer, vec![0; 1024]);
    let rules = rules(setup, side);
    let result = if sender {
        let args = match &setup.names {
            Some(_) => SourceArgs { names: Vec::new(), base: setup.args.first().cloned() },
            None => SourceArgs { names: setup.args.clone(), base: None },
        };
        run_sender(&shared, source, rules, &args, r, w).await
    } else {
        run_receiver(&shared, door, rules, setup.names.as_deref(), r, w).await
    };
    let stats = *shared.stats.borrow();
    (result.map(|()| shared.partial_code()), stats)
}

/// Two directions: the ends of the client, and those of the server.
pub fn pipes(capacity: usize) -> ((PipeReader, PipeWriter), (PipeReader, PipeWriter)) {
    let (to_server, from_client) = duplex::pipe(capacity, capacity);
    let (to_client, from_server) = duplex::pipe(capacity, capacity);
    ((to_client, from_client), (to_server, from_server))
}

/// Both ends of the handshake. Each writes before it reads, so the pipes must hold what is written.
pub fn agree(setup: &Setup) -> (Agreed, Agreed) {
    let (client, server) = pipes(usize::MAX);
    let end = async |side, (reader, writer)| {
        let mut r = WireReader::new(reader, Inbox::<Watch>::unattached());
        let mut w = WireWriter::new(writer, vec![0; 1024]);
        exchange(&mut r, &mut w, &handshake(setup, side)).await
    };
    let both = duplex::run(join2(end(Side::Client, client), end(Side::Server, server)));
    both.expect("no deadlock").expect("an agreement")
}

/// Runs both ends.
pub fn run(setup: &Setup, source: &Fs, door: &Door) -> Result<Outcome, Deadlock> {
    let (for_client, for_server) = agree(setup);
    let (client_ends, server_ends) = pipes(setup.capacity);
    let (client_watch, server_watch) = (Watch::default(), Watch::default());
    let ends = {
        let client = one_end(setup, Side::Client, for_client, source, door, &client_watch, client_ends);
        let server = one_end(setup, Side::Server, for_server, source, door, &server_watch, server_ends);
        duplex::run(join2(async { Ok::<_, Infallible>(client.await) }, async {
            Ok::<_, Infallible>(server.await)
        }))?
    };
    let ((client, client_stats), (server, server_stats)) = match ends {
        Ok(ends) => ends,
        Err(never) => match never {},
    };
    Ok(Outcome { client, server, client_watch, server_watch, client_stats, server_stats })
}

/// Both roles in one process, without a wire.
pub fn run_alone(setup: &Setup, source: &Fs, door: &Door) -> Result<ExitCode, Error<Infallible>> {
    run_counted(setup, source, door).map(|(code, _)| code)
}

/// The same, with what was counted.
pub fn run_counted(setup: &Setup, source: &Fs, door: &Door) -> Result<(ExitCode, Stats), Error<Infallible>> {
    let (agreed, _) = agree(setup);
    let watch = Watch::default();
    let mut shared = Shared::new(&setup.options, agreed, &watch, Side::Client, Rc::new(Outbox::new()));
    shared.local = true;
    let filters = FilterList::new(FilterConfig::default());
    let args = SourceArgs { names: setup.args.clone(), base: None };
    let copied = duplex::run(run_local(&shared, source, door, &filters, &filters, &args, &InTurn::default()));
    copied.expect("no deadlock").map(|()| (shared.partial_code(), *shared.stats.borrow()))
}
