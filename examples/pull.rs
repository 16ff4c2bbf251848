//! Pulls a tree from stock rsync into memory: the whole of a client, without a runtime and without arsync's host.
//!
//! ```text
//! cargo run -p arsync-core --example pull -- docs/
//! ```
//!
//! The peer is `rsync --server --sender` as a child process; in place of its pipes there could be a serial line.
//! A thread reads from it; everything else, generator and receiver included, is one future on this thread.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    future::{Future, poll_fn},
    io::{Read, Write},
    pin::pin,
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake},
};

use arsync_core::{
    error::{Error, Role},
    exit,
    filter::{FilterConfig, FilterList},
    flist::kind::mode,
    io::{BufRead, ChunkWrite, ErrorKind, ErrorType, WireReader, WireWriter},
    mux::MsgTag,
    names::RelName,
    options::SessionOptions,
    ports::{
        AttrStep, Attrs, CommitStep, Create, Destination, Notice, Observer, Place, PortError, Stat, Target,
    },
    session::{Entered, Entrance, FirstList, Inbox, Outbox, Rules, Shared, run_receiver},
    setup::{Capabilities, Side, exchange},
};

// --- the transport: a child process -------------------------------------------------------------------------------

/// What has arrived and was not taken yet.
#[derive(Default)]
struct Arrived {
    chunks: RefCell<VecDeque<Vec<u8>>>,
    ended: Cell<bool>,
}

struct FromPeer {
    arrived: Rc<Arrived>,
    current: Vec<u8>,
    at: usize,
}

impl ErrorType for FromPeer {
    type Error = ErrorKind;
}

impl arsync_core::io::Read for FromPeer {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        let n = self.fill_buf().await?.len().min(buf.len());
        buf[..n].copy_from_slice(&self.current[self.at..self.at + n]);
        self.consume(n);
        Ok(n)
    }
}

impl BufRead for FromPeer {
    async fn fill_buf(&mut self) -> Result<&[u8], Self::Error> {
        if self.at == self.current.len() {
            let arrived = &self.arrived;
            let next = poll_fn(|_| match arrived.chunks.borrow_mut().pop_front() {
                Some(chunk) => Poll::Ready(chunk),
                None if arrived.ended.get() => Poll::Ready(Vec::new()),
                // Whoever runs the future polls it again when something has arrived.
                None => Poll::Pending,
            });
            (self.current, self.at) = (next.await, 0);
        }
        Ok(&self.current[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

struct ToPeer(ChildStdin);

impl ErrorType for ToPeer {
    type Error = ErrorKind;
}

impl arsync_core::io::Write for ToPeer {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        self.0.write(buf).map_err(|_| ErrorKind::BrokenPipe)
    }
    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.0.flush().map_err(|_| ErrorKind::BrokenPipe)
    }
}

impl ChunkWrite for ToPeer {}

/// Starts the server and a thread that reads from it, always: writes may block then, since the server does not have to wait
/// until what it has written is taken.
fn start(path: &str) -> std::io::Result<(Child, ToPeer, mpsc::Receiver<Vec<u8>>)> {
    let mut child = Command::new("rsync")
        .args(["--server", "--sender", "-ltpre.iLsfxCIvu", ".", path])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (Some(stdin), Some(mut stdout)) = (stdin, stdout) else {
        return Err(std::io::ErrorKind::BrokenPipe.into());
    };
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buf = vec![0; 64 << 10];
        while let Ok(n @ 1..) = stdout.read(&mut buf) {
            if send.send(buf[..n].to_vec()).is_err() {
                break;
            }
        }
    });
    Ok((child, ToPeer(stdin), receive))
}

// --- the executor -------------------------------------------------------------------------------------------------

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Polls while the future wakes itself, then waits for bytes.
fn run<F: Future>(future: F, arrived: &Arrived, bytes: &mpsc::Receiver<Vec<u8>>) -> F::Output {
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = flag.clone().into();
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(out) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return out;
        }
        if !flag.0.swap(false, Ordering::Relaxed) {
            match bytes.recv() {
                Ok(chunk) => arrived.chunks.borrow_mut().push_back(chunk),
                Err(_) => arrived.ended.set(true),
            }
        }
    }
}

// --- the tree -----------------------------------------------------------------------------------------------------

#[derive(Default)]
struct Node {
    stat: Stat,
    content: Vec<u8>,
}

type Nodes = Rc<RefCell<BTreeMap<Vec<u8>, Node>>>;

/// A destination in memory. It is empty at first, so nothing is ever replaced, linked or removed.
struct Memory(Nodes);

impl Memory {
    fn add(&self, name: RelName<'_>, mode: u32, content: Vec<u8>) {
        let stat = Stat { mode, size: content.len() as u64, nlink: 1, ..Stat::default() };
        self.0.borrow_mut().insert(name.bytes().to_vec(), Node { stat, content });
    }

    fn set(&self, name: &[u8], attrs: &Attrs) {
        if let Some(node) = self.0.borrow_mut().get_mut(name) {
            node.stat.mode = attrs.mode.unwrap_or(node.stat.mode);
            if let Some((seconds, nanoseconds)) = attrs.mtime {
                (node.stat.mtime, node.stat.nsec) = (seconds, nanoseconds);
            }
        }
    }
}

const fn name_of(place: Place<'_>) -> Option<&[u8]> {
    match place {
        Place::Dest(name) => Some(name.bytes()),
        _ => None,
    }
}

impl Target for Memory {
    type Basis = ();
    type Output = (Vec<u8>, u32, Vec<u8>);

    async fn stat(&self, at: Place<'_>, _follow: bool) -> Result<Option<Stat>, PortError> {
        Ok(name_of(at).and_then(|name| self.0.borrow().get(name).map(|node| node.stat)))
    }
    async fn read_link(&self, at: Place<'_>) -> Result<Vec<u8>, PortError> {
        let nodes = self.0.borrow();
        name_of(at)
            .and_then(|name| nodes.get(name))
            .map(|node| node.content.clone())
            .ok_or(PortError::NOT_FOUND)
    }
    async fn make_dir(&self, name: RelName<'_>, mode: u32) -> Result<(), PortError> {
        self.add(name, mode::DIR | mode & mode::PERMS, Vec::new());
        Ok(())
    }
    async fn make_symlink(&self, name: RelName<'_>, target: &[u8], _replace: bool) -> Result<(), PortError> {
        self.add(name, mode::SYMLINK | 0o777, target.to_vec());
        Ok(())
    }
    async fn set_attrs(
        &self,
        at: Place<'_>,
        _standing: &Stat,
        attrs: &Attrs,
    ) -> Result<bool, (AttrStep, PortError)> {
        name_of(at).inspect(|name| self.set(name, attrs));
        Ok(true)
    }
    async fn create(&self, create: &Create<'_>) -> Result<Self::Output, PortError> {
        Ok((create.name.bytes().to_vec(), create.file_mode, Vec::new()))
    }
    async fn write(&self, out: &mut Self::Output, data: &[u8]) -> Result<(), PortError> {
        out.2.extend_from_slice(data);
        Ok(())
    }
    async fn commit(
        &self,
        (name, mode, content): Self::Output,
        attrs: &Attrs,
        _to: Destination,
    ) -> Result<(), (CommitStep, PortError)> {
        let stat = Stat { mode, size: content.len() as u64, nlink: 1, ..Stat::default() };
        self.0.borrow_mut().insert(name.clone(), Node { stat, content });
        self.set(&name, attrs);
        Ok(())
    }
    async fn discard(&self, _out: Self::Output) {}
}

struct Door(Nodes);

impl Entrance for Door {
    type Target = Memory;
    async fn enter(&self, _list: &FirstList) -> Result<Entered<Memory>, exit::ExitCode> {
        Ok(Entered {
            target: Memory(self.0.clone()),
            single_name: None,
            missing_root: false,
            created_root: false,
        })
    }
}

/// Shows what goes wrong and nothing else.
struct Errors;

impl Observer for Errors {
    fn notice(&self, from: Role, notice: &Notice<'_>) {
        if notice.severity() != arsync_core::ports::Severity::Info {
            eprintln!("{from:?}: {notice:?}");
        }
    }
    fn peer_text(&self, _tag: MsgTag, text: &[u8]) {
        eprint!("peer: {}", String::from_utf8_lossy(text));
    }
}

// --- the session --------------------------------------------------------------------------------------------------

async fn pull(from: FromPeer, to: ToPeer, nodes: Nodes) -> Result<exit::ExitCode, Error<ErrorKind>> {
    // These options and the letters of the server's command line say the same.
    let mut options = SessionOptions::default();
    options.preserve.links = true;
    options.preserve.times = true;
    options.preserve.perms = true;
    options.select.recursive = true;
    options.select.dirs = true;
    options.transfer.whole_file = Some(true);

    let mut reader = WireReader::new(from, Inbox::unattached());
    let mut writer = WireWriter::new(to, vec![0; 64 << 10]);
    let handshake = options.handshake(Side::Client, Capabilities::parse(b".iLsfxCIvu"), true);
    let agreed = exchange(&mut reader, &mut writer, &handshake).await?;
    eprintln!("protocol {}, checksum {}", agreed.protocol.number(), agreed.transfer_sum.name());

    let shared = Shared::new(&options, agreed, &Errors, Side::Client, Rc::new(Outbox::new()));
    let rules = Rules::Own(FilterList::new(FilterConfig::default()));
    run_receiver(&shared, &Door(nodes), rules, None, reader, writer).await?;
    Ok(shared.partial_code())
}

fn main() -> ExitCode {
    let path = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let (mut child, to, bytes) = match start(&path) {
        Ok(started) => started,
        Err(error) => {
            eprintln!("cannot start rsync: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (nodes, arrived) = (Nodes::default(), Rc::new(Arrived::default()));
    let from = FromPeer { arrived: arrived.clone(), current: Vec::new(), at: 0 };
    let result = run(pull(from, to, nodes.clone()), &arrived, &bytes);
    let status = child.wait();

    let (mut files, mut total) = (0, 0);
    for (name, node) in nodes.borrow().iter() {
        println!("{:06o} {:>12} {}", node.stat.mode, node.stat.size, name.escape_ascii());
        if node.stat.is_regular() {
            files += 1;
            total += node.content.len();
        }
    }
    println!("{files} files, {total} bytes in memory");
    match result {
        Ok(code) if status.is_ok_and(|s| s.success()) => ExitCode::from(code.0),
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
