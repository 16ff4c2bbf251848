//! A blocking stream of std as a transport of core.

use std::time::Duration;

use arsync_core::io::{BufRead, ErrorKind, ErrorType, Read, Write};

/// A blocking stream as an asynchronous one: it never waits, it blocks.
pub struct Blocking<T>(pub T);

impl<T> ErrorType for Blocking<T> {
    type Error = ErrorKind;
}

fn kind(error: std::io::Error) -> ErrorKind {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => ErrorKind::BrokenPipe,
        _ => ErrorKind::Other,
    }
}

impl<T: std::io::BufRead> BufRead for Blocking<T> {
    async fn fill_buf(&mut self) -> Result<&[u8], ErrorKind> {
        self.0.fill_buf().map_err(kind)
    }
    fn consume(&mut self, n: usize) {
        self.0.consume(n);
    }
}

impl<T: std::io::BufRead> Read for Blocking<T> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        self.0.read(buf).map_err(kind)
    }
}

/// Until it is done: the client leaves the pipe that is our output in non-blocking mode.
fn patiently<T>(mut step: impl FnMut() -> std::io::Result<T>) -> Result<T, ErrorKind> {
    loop {
        match step() {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_micros(100));
            }
            result => return result.map_err(kind),
        }
    }
}

impl<T: std::io::Write> Write for Blocking<T> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        patiently(|| self.0.write(buf))
    }
    async fn flush(&mut self) -> Result<(), ErrorKind> {
        patiently(|| self.0.flush())
    }
}
