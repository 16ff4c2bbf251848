//! Every behaviour, on the ring and on the polling driver.

use core::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll, Waker},
};
use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{Seek, Write as _},
    os::fd::OwnedFd,
};

use bytes::Bytes;
use embedded_io_async::{BufRead, Error as _, ErrorKind, Read, Write};
use rustix::fs::{OFlags, fcntl_getfl};

use super::*;
use crate::ring::runtime::{Driver, build_with};

/// Runs a test once per driver; a ring that the machine does not offer is left out.
fn on_each_driver<F: Future>(test: impl Fn() -> F) {
    for driver in [Driver::DeferredRing, Driver::PlainRing, Driver::Polling] {
        match build_with(driver) {
            Ok(runtime) => drop(runtime.block_on(test())),
            Err(error) => assert_ne!(driver, Driver::Polling, "{error}"),
        }
    }
}

async fn both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut from_a, mut from_b) = (None, None);
    poll_fn(|cx| {
        if from_a.is_none()
            && let Poll::Ready(out) = a.as_mut().poll(cx)
        {
            from_a = Some(out);
        }
        if from_b.is_none()
            && let Poll::Ready(out) = b.as_mut().poll(cx)
        {
            from_b = Some(out);
        }
        if from_a.is_some() && from_b.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (from_a.unwrap(), from_b.unwrap())
}

/// Bytes in which no part looks like another.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// Writes in odd pieces, copied and owned in turn.
async fn send(writer: &mut WriteQueue, data: &Bytes) {
    let (mut at, mut step) = (0, 1);
    while at < data.len() {
        let n = step.min(data.len() - at);
        if step % 3 == 0 {
            writer.write_all(&data[at..at + n]).await.unwrap();
        } else {
            writer.write_chunk(data.slice(at..at + n)).await.unwrap();
        }
        at += n;
        step = step * 7 % 100_003 + 1;
    }
    writer.flush().await.unwrap();
    assert_eq!(writer.queued(), 0);
}

/// Reads to the end, dropping every future that is not ready at once, and consuming odd amounts.
async fn receive(reader: &mut ReadAhead) -> Vec<u8> {
    let mut got = Vec::new();
    let mut step = 1;
    loop {
        let early = {
            let mut noop = Context::from_waker(Waker::noop());
            matches!(pin!(reader.fill_buf()).poll(&mut noop), Poll::Ready(Ok([])))
        };
        let bytes = reader.fill_buf().await.unwrap();
        if bytes.is_empty() {
            return got;
        }
        assert!(!early, "bytes after the end");
        let n = bytes.len().min(step);
        got.extend_from_slice(&bytes[..n]);
        reader.consume(n);
        step = step * 5 % 70_001 + 1;
    }
}

#[test]
fn five_megabytes_pass_a_pipe_in_both_directions_at_once() {
    let data = Bytes::from(pattern(5_000_001));
    on_each_driver(async || {
        let (left, right) = PipeTransport::create_pipe().unwrap();
        let ((mut left_in, mut left_out), (mut right_in, mut right_out)) =
            (left.into_split(), right.into_split());
        let left = async {
            send(&mut left_out, &data).await;
            left_out.close().await.unwrap();
        };
        let right = async {
            send(&mut right_out, &data).await;
            right_out.close().await.unwrap();
        };
        let (got, _) = both(both(receive(&mut left_in), receive(&mut right_in)), both(left, right)).await;
        assert!(got.0 == data && got.1 == data);
    });
}

#[test]
fn the_end_stays_the_end() {
    on_each_driver(async || {
        let (mut left, right) = PipeTransport::create_pipe().unwrap();
        let (_reader, mut writer) = right.into_split();
        writer.write_all(b"last").await.unwrap();
        writer.close().await.unwrap();
        let mut buf = [0; 9];
        assert_eq!(left.read(&mut buf).await.unwrap(), 4);
        for _ in 0..3 {
            assert_eq!(left.read(&mut buf).await.unwrap(), 0);
            assert!(left.fill_buf().await.unwrap().is_empty());
        }
    });
}

#[test]
fn a_broken_pipe_fails_now_and_ever_after() {
    on_each_driver(async || {
        let (mut left, right) = PipeTransport::create_pipe().unwrap();
        drop(right);
        left.write_all(b"nobody reads this").await.unwrap();
        for _ in 0..2 {
            assert_eq!(left.flush().await.unwrap_err().kind(), ErrorKind::BrokenPipe);
            assert_eq!(left.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        }
    });
}

#[test]
fn a_writer_waits_when_a_megabyte_is_queued() {
    on_each_driver(async || {
        let (left, mut right) = PipeTransport::create_pipe().unwrap();
        let (_reader, mut writer) = left.into_split();
        let chunk = Bytes::from(vec![7; 256 << 10]);
        let mut accepted = 0;
        // The pipe takes up to a megabyte, the queue another and one chunk.
        while accepted < 20 {
            let mut noop = Context::from_waker(Waker::noop());
            if pin!(writer.write_chunk(chunk.clone())).poll(&mut noop).is_pending() {
                break;
            }
            accepted += 1;
        }
        assert!((5..=10).contains(&accepted), "{accepted}");
        let mut left_over = vec![0; accepted * (256 << 10)];
        let (sent, got) = both(writer.flush(), right.read_exact(&mut left_over)).await;
        sent.unwrap();
        got.unwrap();
        assert!(left_over.iter().all(|&b| b == 7));
    });
}

#[test]
fn a_kicked_queue_reaches_the_peer_without_a_flush() {
    on_each_driver(async || {
        let (left, mut right) = PipeTransport::create_pipe().unwrap();
        let (_reader, mut writer) = left.into_split();
        writer.write_all(b"early").await.unwrap();
        writer.kick();
        let mut buf = [0; 5];
        right.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"early");
    });
}

#[test]
fn a_child_echoes_and_tells_its_status() {
    let data = Bytes::from(pattern(5_000_001));
    on_each_driver(async || {
        let script = "cat; exit $CODE";
        let command = ["sh", "-c", script].map(OsString::from);
        let env = [(OsStr::new("CODE"), OsStr::new("7"))];
        let child = SshConnection::spawn(&command, &env).unwrap();
        assert_ne!(child.id(), 0);
        let (mut reader, mut writer, shell) = child.into_split();
        let sending = async {
            send(&mut writer, &data).await;
            writer.close().await.unwrap();
        };
        let (got, ()) = both(receive(&mut reader), sending).await;
        assert!(got == data);
        assert_eq!(shell.wait().await.unwrap().code(), Some(7));
    });
}

#[test]
fn a_child_that_ends_early_is_an_end_and_a_broken_pipe() {
    on_each_driver(async || {
        let mut child = SshConnection::spawn(&[OsString::from("true")], &[]).unwrap();
        assert!(child.fill_buf().await.unwrap().is_empty());
        // A process that another test is just starting may still hold a copy of the child's end.
        let error = loop {
            child.write_all(b"too late").await.unwrap();
            match child.flush().await {
                Ok(()) => std::thread::sleep(core::time::Duration::from_millis(1)),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert!(child.wait().await.unwrap().success());
        let none = SshConnection::spawn(&[OsString::from("/no such program")], &[]);
        assert_eq!(none.unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_killed_child_is_waited_for() {
    on_each_driver(async || {
        let command = ["sleep", "1000"].map(OsString::from);
        let (_reader, _writer, mut shell) = SshConnection::spawn(&command, &[]).unwrap().into_split();
        shell.kill().unwrap();
        assert_eq!(shell.wait().await.unwrap().code(), None);
    });
}

#[test]
fn inherited_descriptors_keep_their_flags() {
    let data = Bytes::from(pattern(3_000_001));
    on_each_driver(async || {
        for nonblocking in [false, true] {
            let (read, write) = rustix::pipe::pipe().unwrap();
            let flags = if nonblocking { OFlags::NONBLOCK } else { OFlags::empty() };
            for fd in [&read, &write] {
                rustix::fs::fcntl_setfl(fd, fcntl_getfl(fd).unwrap() | flags).unwrap();
            }
            let (read_too, write_too) = (read.try_clone().unwrap(), write.try_clone().unwrap());
            let (mut reader, mut writer) = PipeTransport::from_fds(read, write).unwrap().into_split();
            let sending = async {
                send(&mut writer, &data).await;
                writer.close().await.unwrap();
                drop(write_too);
            };
            let (got, ()) = both(receive(&mut reader), sending).await;
            assert!(got == data);
            assert_eq!(fcntl_getfl(&read_too).unwrap().contains(OFlags::NONBLOCK), nonblocking);
        }
    });
}

#[test]
fn regular_files_are_read_and_written_at_their_position() {
    let data = Bytes::from(pattern(1_000_001));
    on_each_driver(async || {
        let tmp = tempfile::tempdir().unwrap();
        let (from, to) = (tmp.path().join("from"), tmp.path().join("to"));
        std::fs::write(&from, &data).unwrap();
        std::fs::write(&to, "before").unwrap();
        let mut read = File::open(&from).unwrap();
        read.seek(io::SeekFrom::Start(5)).unwrap();
        let mut write = File::options().append(true).open(&to).unwrap();
        write.write_all(b" and ").unwrap();
        let (mut reader, mut writer) =
            PipeTransport::from_fds(read.into(), write.into()).unwrap().into_split();
        let got = receive(&mut reader).await;
        assert!(got == data[5..]);
        send(&mut writer, &Bytes::from(got)).await;
        writer.close().await.unwrap();
        let written = std::fs::read(&to).unwrap();
        assert!(written.starts_with(b"before and ") && written[11..] == data[5..]);
        let null: OwnedFd = File::options().read(true).write(true).open("/dev/null").unwrap().into();
        let mut null = PipeTransport::from_fds(null.try_clone().unwrap(), null).unwrap();
        null.write_all(b"gone").await.unwrap();
        null.flush().await.unwrap();
        assert!(null.fill_buf().await.unwrap().is_empty());
    });
}

#[test]
fn tcp_connects_sends_and_ends() {
    let data = Bytes::from(pattern(5_000_001));
    on_each_driver(async || {
        let listener = compio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let address =
            TcpAddress { host: "localhost", port, family: Some(4), bind: Some([127, 0, 0, 1].into()) };
        let (client, server) = both(TcpTransport::connect(address), listener.accept()).await;
        let (_client_in, mut client_out) = client.unwrap().into_split();
        let (mut server_in, _server_out) =
            TcpTransport::from_stream(&server.unwrap().0).unwrap().into_split();
        let sending = async {
            send(&mut client_out, &data).await;
            client_out.close().await.unwrap();
        };
        let (got, ()) = both(receive(&mut server_in), sending).await;
        assert!(got == data);
        drop(listener);
        assert_eq!(TcpTransport::connect(address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let none = TcpAddress { family: Some(6), host: "127.0.0.1", ..address };
        assert_eq!(TcpTransport::connect(none).await.unwrap_err().kind(), ErrorKind::AddrNotAvailable);
    });
}

#[test]
fn without_a_runtime_there_is_no_transport() {
    assert_eq!(PipeTransport::create_pipe().unwrap_err().kind(), ErrorKind::Unsupported);
}
