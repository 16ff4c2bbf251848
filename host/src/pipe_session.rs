//! Whole roles over any transport, for programs that embed arsync: a handshake, a sender, a receiver, and the
//! framing on its own.

use std::{cell::RefCell, rc::Rc};

use arsync_core::{
    error::{Error, Role},
    exit::ExitCode,
    filter::{FilterConfig, FilterList},
    io::{BufRead, ChunkWrite, MessageFault, MessageSink, WireReader, WireWriter},
    mux::{Header, MsgTag},
    options::SessionOptions,
    ports::{Notice, Observer},
    session::{self, Inbox, Outbox, Rules, SourceArgs},
    setup::{self, Agreed, Capabilities, Side},
    stats::Stats,
};

use crate::{
    output::message::Roots,
    session::{
        DestEntrance, FRAME_BUFFER, OtherEnd, Speak, check_protocol, client_capabilities, file_source, wire,
    },
};

/// How a session over a transport ended.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The exit code that a program would end with; 0, or 23 to 25 when something was left out.
    pub code: ExitCode,
    /// The counters.
    pub stats: Stats,
    /// What both ends agreed on.
    pub agreed: Agreed,
    /// Facts about files that could not be handled, and texts of the peer.
    pub messages: Vec<String>,
}

/// Collects what a session says.
#[derive(Debug, Default)]
struct Collector(RefCell<Vec<String>>);

impl Observer for Collector {
    fn notice(&self, from: Role, notice: &Notice<'_>) {
        use arsync_core::ports::Severity;
        if matches!(notice.severity(), Severity::Error | Severity::TransferError | Severity::Warning) {
            self.0.borrow_mut().push(format!("[{from}] {notice:?}"));
        }
    }
    fn peer_text(&self, _tag: MsgTag, text: &[u8]) {
        self.0.borrow_mut().push(String::from_utf8_lossy(text).trim_end().to_owned());
    }
}

impl Speak for Collector {
    fn say(&self, _tag: MsgTag, role: Role, text: &[u8]) {
        self.0.borrow_mut().push(format!("[{role}] {}", String::from_utf8_lossy(text)));
    }
}

/// The handshake of one end: version words, compatibility flags, algorithm names, seed.
///
/// `receiving`: this end will be the receiving side. A server says in `client_letters` what the client sent with
/// `-e`, e.g. `.iLsfxCIvu`; a client ignores it. Not cancel-safe.
pub async fn handshake<R, W>(
    reader: &mut R,
    writer: &mut W,
    side: Side,
    options: &SessionOptions,
    receiving: bool,
    client_letters: &[u8],
) -> Result<Agreed, Error<R::Error>>
where
    R: BufRead,
    W: ChunkWrite<Error = R::Error>,
{
    let capabilities = match side {
        Side::Client => client_capabilities(options, receiving),
        Side::Server => Capabilities::parse(client_letters),
    };
    let plan = wire::handshake(side, options, capabilities, receiving);
    let mut r = WireReader::new(reader, Inbox::<Collector>::unattached());
    let mut w = WireWriter::new(writer, vec![0; FRAME_BUFFER]);
    setup::exchange(&mut r, &mut w, &plan).await
}

/// [`handshake`] of a client that will send.
pub async fn handshake_sender<R, W>(
    reader: &mut R,
    writer: &mut W,
    options: &SessionOptions,
) -> Result<Agreed, Error<R::Error>>
where
    R: BufRead,
    W: ChunkWrite<Error = R::Error>,
{
    handshake(reader, writer, Side::Client, options, false, b"").await
}

/// [`handshake`] of a client that will receive.
pub async fn handshake_receiver<R, W>(
    reader: &mut R,
    writer: &mut W,
    options: &SessionOptions,
) -> Result<Agreed, Error<R::Error>>
where
    R: BufRead,
    W: ChunkWrite<Error = R::Error>,
{
    handshake(reader, writer, Side::Client, options, true, b"").await
}

/// Runs a whole sender over a transport: handshake, file lists, data, goodbye.
///
/// `sources` are paths as on a command line (`dir/` means the contents of `dir`). The peer must be a receiving
/// side with equal options: for a client the server it started, e.g. with `rsync --server … . DEST`.
/// Not cancel-safe.
pub async fn rsync_send_via_pipe<R, W>(
    mut reader: R,
    mut writer: W,
    side: Side,
    options: &SessionOptions,
    client_letters: &[u8],
    sources: &[Vec<u8>],
) -> Result<Summary, Error<R::Error>>
where
    R: BufRead,
    W: ChunkWrite<Error = R::Error>,
{
    let agreed = handshake(&mut reader, &mut writer, side, options, false, client_letters).await?;
    check_protocol(options, agreed.protocol, OtherEnd::Stranger)?;
    let collector = Collector::default();
    let roots = RefCell::new(Roots::here());
    let shared = wire::shared(options, agreed, &collector, side, Rc::new(Outbox::new()));
    let source = file_source(options, &roots);
    let args = SourceArgs { names: sources.to_vec(), base: None };
    let r = WireReader::new(reader, Inbox::unattached());
    let w = WireWriter::new(writer, vec![0; FRAME_BUFFER]);
    session::run_sender(&shared, &source, rules(side), &args, r, w).await?;
    let (code, stats) = (shared.partial_code(), *shared.stats.borrow());
    Ok(Summary { code, stats, agreed, messages: collector.0.take() })
}

/// Runs a whole receiving side (generator and receiver) over a transport; see [`rsync_send_via_pipe`].
pub async fn rsync_receive_via_pipe<R, W>(
    mut reader: R,
    mut writer: W,
    side: Side,
    options: &SessionOptions,
    client_letters: &[u8],
    dest: &[u8],
) -> Result<Summary, Error<R::Error>>
where
    R: BufRead,
    W: ChunkWrite<Error = R::Error>,
{
    let agreed = handshake(&mut reader, &mut writer, side, options, true, client_letters).await?;
    check_protocol(options, agreed.protocol, OtherEnd::Stranger)?;
    let collector = Collector::default();
    let roots = RefCell::new(Roots::here());
    let shared = wire::shared(options, agreed, &collector, side, Rc::new(Outbox::new()));
    let entrance = DestEntrance {
        dest: Some(dest.to_vec()),
        options,
        observer: &collector,
        roots: &roots,
        shows: false,
    };
    let r = WireReader::new(reader, Inbox::unattached());
    let w = WireWriter::new(writer, vec![0; FRAME_BUFFER]);
    session::run_receiver(&shared, &entrance, rules(side), None, r, w).await?;
    let (code, stats) = (shared.partial_code(), *shared.stats.borrow());
    Ok(Summary { code, stats, agreed, messages: collector.0.take() })
}

fn rules(side: Side) -> Rules {
    match side {
        Side::Client => Rules::Own(FilterList::new(FilterConfig::default())),
        Side::Server => Rules::FromPeer(FilterList::new(FilterConfig::default())),
    }
}

/// Keeps messages until somebody asks for them.
#[derive(Debug, Default)]
struct Messages {
    current: Vec<u8>,
    tag: Option<MsgTag>,
    done: Vec<(MsgTag, Vec<u8>)>,
}

impl MessageSink for Messages {
    fn begin(&mut self, header: Header) -> Result<(), MessageFault> {
        self.tag = Some(header.tag);
        self.current.clear();
        Ok(())
    }
    fn part(&mut self, bytes: &[u8]) {
        self.current.extend_from_slice(bytes);
    }
    fn end(&mut self) -> Result<(), MessageFault> {
        if let Some(tag) = self.tag.take() {
            self.done.push((tag, core::mem::take(&mut self.current)));
        }
        Ok(())
    }
}

/// Takes a multiplexed stream apart: data on one side, messages on the other.
#[derive(Debug)]
pub struct MultiplexReader<R>(WireReader<R, Messages>);

impl<R: BufRead> MultiplexReader<R> {
    /// A reader of frames.
    pub fn new(reader: R) -> Self {
        let mut inner = WireReader::new(reader, Messages::default());
        inner.start_framing();
        Self(inner)
    }

    /// At least one byte of stream data; messages in front of it are kept. Follow with
    /// [`MultiplexReader::consume`]. Not cancel-safe.
    pub async fn fill(&mut self) -> Result<&[u8], Error<R::Error>> {
        self.0.fill().await
    }

    /// Takes `n` bytes of the last [`MultiplexReader::fill`].
    pub fn consume(&mut self, n: usize) {
        self.0.consume(n);
    }

    /// Fills the whole of `buf` with stream data.
    pub async fn read_exact(&mut self, buf: &mut [u8]) -> Result<(), Error<R::Error>> {
        self.0.exact(buf).await
    }

    /// The messages that came since the last call, with their payloads.
    pub fn messages(&mut self) -> Vec<(MsgTag, Vec<u8>)> {
        core::mem::take(&mut self.0.sink().done)
    }
}

/// Makes a multiplexed stream: data is collected into frames, messages go between them.
#[derive(Debug)]
pub struct MultiplexWriter<W>(WireWriter<W, Vec<u8>>);

impl<W: ChunkWrite> MultiplexWriter<W> {
    /// A writer of frames.
    pub fn new(writer: W) -> Self {
        let mut inner = WireWriter::new(writer, vec![0; FRAME_BUFFER]);
        inner.start_framing();
        Self(inner)
    }

    /// Stream data. It reaches the peer with [`MultiplexWriter::flush`] at the latest. Not cancel-safe.
    pub async fn write(&mut self, data: &[u8]) -> Result<(), Error<W::Error>> {
        self.0.bytes(data).await
    }

    /// A message, which overtakes data that was not flushed; its payload must be shorter than 16 MiB.
    pub async fn message(&mut self, tag: MsgTag, payload: &[u8]) -> Result<(), Error<W::Error>> {
        self.0.message(tag, payload).await
    }

    /// Everything written reaches the transport.
    pub async fn flush(&mut self) -> Result<(), Error<W::Error>> {
        self.0.flush().await
    }
}

#[cfg(test)]
mod tests {
    use arsync_core::rt::join2;

    use super::*;
    use crate::{ring::runtime, transport::PipeTransport};

    fn archive() -> SessionOptions {
        let mut o = SessionOptions::default();
        (o.select.recursive, o.select.dirs, o.select.implied_dirs) = (true, true, true);
        (o.preserve.links, o.preserve.perms, o.preserve.times) = (true, true, true);
        o
    }

    #[test]
    fn a_tree_goes_through_a_pipe_within_one_process() {
        let tmp = tempfile::tempdir().unwrap();
        let (src, dst) = (tmp.path().join("src/"), tmp.path().join("dst"));
        std::fs::create_dir_all(src.join("d")).unwrap();
        std::fs::write(src.join("d/file"), vec![7u8; 300_000]).unwrap();
        std::os::unix::fs::symlink("d/file", src.join("link")).unwrap();
        let options = archive();
        let (runtime, _) = runtime::build().unwrap();
        let (sent, received) = runtime.block_on(async {
            let (here, there) = PipeTransport::create_pipe().unwrap();
            let ((r1, w1), (r2, w2)) = (here.into_split(), there.into_split());
            let source = format!("{}/", src.display()).into_bytes();
            let sources = [source];
            let send = rsync_send_via_pipe(r1, w1, Side::Client, &options, b"", &sources);
            let dest = dst.display().to_string().into_bytes();
            let receive = rsync_receive_via_pipe(r2, w2, Side::Server, &options, b".iLsfxCIvu", &dest);
            join2(send, receive).await.unwrap()
        });
        assert_eq!((sent.code, received.code), (ExitCode::OK, ExitCode::OK), "{sent:?} {received:?}");
        assert_eq!(sent.stats.transferred, 1);
        assert_eq!(std::fs::read(dst.join("d/file")).unwrap(), vec![7u8; 300_000]);
        assert_eq!(std::fs::read_link(dst.join("link")).unwrap().to_str(), Some("d/file"));
    }

    #[test]
    fn frames_carry_data_and_messages() {
        let (runtime, _) = runtime::build().unwrap();
        runtime.block_on(async {
            let (here, there) = PipeTransport::create_pipe().unwrap();
            let ((_r1, w1), (r2, _w2)) = (here.into_split(), there.into_split());
            let mut writer = MultiplexWriter::new(w1);
            let mut reader = MultiplexReader::new(r2);
            writer.message(MsgTag::Info, b"hello\n").await.unwrap();
            writer.write(b"data").await.unwrap();
            writer.flush().await.unwrap();
            let mut data = [0u8; 4];
            reader.read_exact(&mut data).await.unwrap();
            assert_eq!(&data, b"data");
            assert_eq!(reader.messages(), [(MsgTag::Info, b"hello\n".to_vec())]);
        });
    }
}
