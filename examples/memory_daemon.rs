//! A module in memory, served over TCP to stock rsync: no file of it is on any disk.
//!
//! ```sh
//! cargo run -p arsync-core --example memory_daemon --features test-util -- 127.0.0.1:8873
//! rsync rsync://127.0.0.1:8873/                  # what there is
//! rsync -a rsync://127.0.0.1:8873/mem/ out/      # what is in it
//! rsync -a new.txt rsync://127.0.0.1:8873/mem/   # with a second argument: rw
//! ```
//!
//! One connection after the other, each with blocking reads and writes: every future is ready when it is polled.

#[path = "transport/blocking.rs"]
mod blocking;

use std::{
    io::{BufReader, Read},
    net::{Shutdown, TcpListener, TcpStream},
    process::ExitCode,
    time::{Duration, Instant},
};

use arsync_core::{
    rt::block_on_ready,
    tiny::{Config, Memory, Module, Summary, ram::RamStore, serve_daemon},
};
use blocking::Blocking;

/// Bounds of a session: entries, bytes of their names, block sums, window.
type Bounds = Memory<256, 8192, 256, 4096>;

/// How long a client may go on sending after the session.
const PATIENCE: Duration = Duration::from_secs(2);

fn contents() -> RamStore {
    let mut store = RamStore::new();
    store.file("hello.txt", b"hello from memory\n", 1_600_000_000);
    store.dir("log");
    for day in 1..=9 {
        let lines: String = (0..day * 500).map(|n| format!("day {day}, line {n}\n")).collect();
        store.file(&format!("log/day-{day}"), lines.as_bytes(), 1_600_000_000 + day * 86_400);
    }
    store
}

/// `None`: the client went away with a list of modules, or with a refusal.
fn serve(
    stream: &TcpStream,
    module: &Module<'_>,
    store: &mut RamStore,
    memory: &mut Bounds,
) -> Result<Option<Summary>, String> {
    let transport = (Blocking(BufReader::new(stream)), Blocking(stream));
    // The seed should differ from one session to the next.
    let seed = std::process::id().cast_signed() ^ i32::from(stream.peer_addr().map_or(1, |peer| peer.port()));
    let config = Config { seed: seed.max(1), ..Config::default() };
    let session = serve_daemon(transport, module, store, memory, &config);
    let ended = block_on_ready(session).map_err(|fault| fault.to_string());
    hang_up(stream);
    ended
}

/// Closes a connection so that the last words arrive: what the client still sends would be answered by a reset
/// otherwise, and a reset takes away what it has not read yet.
fn hang_up(mut stream: &TcpStream) {
    let mut rest = [0; 4096];
    if stream.shutdown(Shutdown::Write).is_err() || stream.set_read_timeout(Some(PATIENCE)).is_err() {
        return;
    }
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end && stream.read(&mut rest).is_ok_and(|n| n > 0) {}
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:8873".into());
    let writable = args.next().is_some_and(|mode| mode == "rw");
    let module = Module { name: "mem", comment: "files that are in memory", writable };
    let listener = match TcpListener::bind(&address) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("{address}: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("{}", listener.local_addr().expect("a bound socket has an address"));
    let (mut store, mut memory) = (contents(), Box::new(Bounds::new()));
    for stream in listener.incoming().filter_map(Result::ok) {
        match serve(&stream, &module, &mut store, &mut memory) {
            Ok(summary) => println!("{summary:?}"),
            Err(fault) => eprintln!("{fault}"),
        }
    }
    ExitCode::SUCCESS
}
