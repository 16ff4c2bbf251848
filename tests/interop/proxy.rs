//! A daemon behind an HTTP proxy (`RSYNC_PROXY`).

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::Command,
    thread,
};

use crate::peers::ARSYNC;

/// What the proxy was asked, and how the list of modules behind it came out.
fn list_through(user: &str, answer: &'static str) -> (String, Option<i32>, String, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
        let asked: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        stream.write_all(answer.as_bytes()).unwrap();
        // The client ends the connection.
        lines.for_each(drop);
        asked.join("|")
    });
    let output = Command::new(ARSYNC)
        .arg("rsync://files.example:8730/")
        .env("RSYNC_PROXY", format!("{user}{address}"))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (proxy.join().unwrap(), output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_daemon_is_reached_through_a_proxy() {
    let answer =
        "HTTP/1.1 200 OK\r\nVia: somebody\r\n\r\n@RSYNCD: 31.0 md5\npub            \tall\n@RSYNCD: EXIT\n";
    let (asked, code, listed, complaints) = list_through("", answer);
    assert_eq!(asked, "CONNECT files.example:8730 HTTP/1.0");
    assert_eq!((code, &*listed, &*complaints), (Some(0), "pub            \tall\n", ""));

    let (asked, code, ..) = list_through("joe:s3:cret@", answer);
    assert_eq!(asked, "CONNECT files.example:8730 HTTP/1.0|Proxy-Authorization: Basic am9lOnMzOmNyZXQ=");
    assert_eq!(code, Some(0));
}

#[test]
fn a_proxy_that_refuses_ends_the_run() {
    let (_, code, listed, complaints) = list_through("", "HTTP/1.1 403 Forbidden\r\n\r\n");
    assert_eq!((code, &*listed), (Some(10), ""));
    assert!(complaints.starts_with("bad response from proxy -- HTTP/1.1 403 Forbidden\n"), "{complaints}");

    let (_, code, _, complaints) =
        list_through("", "HTTP/1.1 200 OK\r\n\r\n@RSYNCD: 31.0 md5\n@ERROR: closed\n");
    assert_eq!(code, Some(5), "{complaints}");

    let output = Command::new(ARSYNC).arg("rsync://h/").env("RSYNC_PROXY", "nowhere").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(10));
    assert!(said.starts_with("invalid proxy specification: should be HOST:PORT\n"), "{said}");
}
