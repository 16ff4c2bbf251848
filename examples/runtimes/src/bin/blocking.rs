//! No runtime at all: blocking reads and writes are always ready, so the session is polled once.

use arsync_core::{
    io::{BufRead, ErrorKind, ErrorType, Read, Write},
    rt::block_on_ready,
};

struct Blocking<T>(T);

impl<T> ErrorType for Blocking<T> {
    type Error = ErrorKind;
}

impl<T: std::io::BufRead> Read for Blocking<T> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        self.0.read(buf).map_err(|_| ErrorKind::Other)
    }
}

impl<T: std::io::BufRead> BufRead for Blocking<T> {
    async fn fill_buf(&mut self) -> Result<&[u8], ErrorKind> {
        self.0.fill_buf().map_err(|_| ErrorKind::Other)
    }
    fn consume(&mut self, n: usize) {
        self.0.consume(n);
    }
}

impl<T: std::io::Write> Write for Blocking<T> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        self.0.write(buf).map_err(|_| ErrorKind::Other)
    }
    async fn flush(&mut self) -> Result<(), ErrorKind> {
        self.0.flush().map_err(|_| ErrorKind::Other)
    }
}

fn main() {
    let mut child = runtimes::server(&runtimes::path()).spawn().expect("rsync is installed");
    let from = std::io::BufReader::with_capacity(64 << 10, child.stdout.take().expect("it is piped"));
    let to = child.stdin.take().expect("it is piped");
    block_on_ready(runtimes::pull(Blocking(from), Blocking(to)));
    assert!(child.wait().expect("it ends").success());
}
