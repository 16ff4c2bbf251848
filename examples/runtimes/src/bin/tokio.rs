//! On tokio's current-thread runtime. A session is not `Send`: `block_on` or a `LocalSet` runs it.

use arsync_core::io::{BufRead, ErrorKind, ErrorType, Read, Write};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};

struct Stream<T>(T);

impl<T> ErrorType for Stream<T> {
    type Error = ErrorKind;
}

impl<T: tokio::io::AsyncBufRead + Unpin> Read for Stream<T> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        self.0.read(buf).await.map_err(|_| ErrorKind::Other)
    }
}

impl<T: tokio::io::AsyncBufRead + Unpin> BufRead for Stream<T> {
    async fn fill_buf(&mut self) -> Result<&[u8], ErrorKind> {
        self.0.fill_buf().await.map_err(|_| ErrorKind::Other)
    }
    fn consume(&mut self, n: usize) {
        self.0.consume(n);
    }
}

impl<T: tokio::io::AsyncWrite + Unpin> Write for Stream<T> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        self.0.write(buf).await.map_err(|_| ErrorKind::Other)
    }
    async fn flush(&mut self) -> Result<(), ErrorKind> {
        self.0.flush().await.map_err(|_| ErrorKind::Other)
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut child = tokio::process::Command::from(runtimes::server(&runtimes::path()))
            .spawn()
            .expect("rsync is installed");
        let from = tokio::io::BufReader::with_capacity(64 << 10, child.stdout.take().expect("it is piped"));
        let to = child.stdin.take().expect("it is piped");
        runtimes::pull(Stream(from), Stream(to)).await;
        assert!(child.wait().await.expect("it ends").success());
    });
}
