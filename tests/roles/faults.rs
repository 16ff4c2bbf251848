//! Calls that fail on either side: the rest is done, and the exit code tells.

use arsync_core::{
    exit::ExitCode,
    ports::{Notice, PortError},
};

use crate::{
    fake::{Call, EACCES, ENOSPC, Fs, Node},
    matrix::{archive, door, expect_codes, source},
    session::{Setup, all_capabilities, run},
};

fn setup(protocol: u8, push: bool) -> Setup {
    Setup {
        protocol,
        push,
        options: archive(),
        capabilities: all_capabilities(),
        args: vec![b"./".to_vec()],
        names: None,
        capacity: 4096,
        rules: Vec::new(),
        charsets: None,
    }
}

fn each(mut f: impl FnMut(u8, bool)) {
    for protocol in 27..=32 {
        for push in [true, false] {
            f(protocol, push);
        }
    }
}

/// Names of regular files of the source that the destination does not have in full.
fn missing(source: &Fs, dest: &Fs) -> Vec<String> {
    let there = dest.all();
    let lost = source.all().into_iter().filter(|(path, (node, _))| {
        node.mode >> 12 == 0o10 && there.get(path).is_none_or(|(n, _)| n.data != node.data)
    });
    lost.map(|(path, _)| String::from_utf8_lossy(&path).into_owned()).collect()
}

#[test]
fn a_file_that_cannot_be_opened_is_skipped() {
    each(|protocol, push| {
        let (source, dest) = (source(), Fs::new());
        source.fail(Call::Open, 2, EACCES);
        let outcome = run(&setup(protocol, push), &source, &door(&dest)).expect("no deadlock");
        assert_eq!(expect_codes(&outcome, ExitCode::PARTIAL), None, "p{protocol} push {push}");
        assert_eq!(missing(&source, &dest).len(), 1, "p{protocol} push {push}");
    });
}

#[test]
fn a_file_that_vanishes_gives_its_own_code() {
    each(|protocol, push| {
        let (source, dest) = (source(), Fs::new());
        source.fail(Call::Open, 3, PortError::NOT_FOUND);
        let outcome = run(&setup(protocol, push), &source, &door(&dest)).expect("no deadlock");
        assert_eq!(expect_codes(&outcome, ExitCode::VANISHED), None, "p{protocol} push {push}");
        assert_eq!(missing(&source, &dest).len(), 1, "p{protocol} push {push}");
    });
}

#[test]
fn a_read_error_spoils_the_checksum_and_is_tried_again() {
    each(|protocol, push| {
        let (source, dest) = (source(), Fs::new());
        source.fail(Call::Read, 2, PortError(5));
        let outcome = run(&setup(protocol, push), &source, &door(&dest)).expect("no deadlock");
        assert_eq!(expect_codes(&outcome, ExitCode::PARTIAL), None, "p{protocol} push {push}");
        assert_eq!(missing(&source, &dest), [""; 0], "p{protocol} push {push}");
    });
}

#[test]
fn a_file_that_cannot_be_made_is_skipped() {
    each(|protocol, push| {
        let (source, dest) = (source(), Fs::new());
        dest.fail(Call::Create, 2, EACCES);
        let outcome = run(&setup(protocol, push), &source, &door(&dest)).expect("no deadlock");
        assert_eq!(expect_codes(&outcome, ExitCode::PARTIAL), None, "p{protocol} push {push}");
        assert_eq!(missing(&source, &dest).len(), 1, "p{protocol} push {push}");
    });
}

/// The blocks of what is thrown away are those of the generator's sums: nobody reads them again.
#[test]
fn nothing_is_read_for_a_file_that_cannot_be_made() {
    each(|protocol, push| {
        let text = || b"All good people. ".repeat(300);
        for (fails, reads) in [(false, 2), (true, 1)] {
            let (source, dest) = (Fs::new(), Fs::new());
            source.put("f", Node { mode: 0o100_644, mtime: 1_300_000_000, data: text(), ..Node::default() });
            dest.put("f", Node { mode: 0o100_644, mtime: 1_200_000_000, data: text(), ..Node::default() });
            if fails {
                dest.fail(Call::Create, 1, EACCES);
            }
            let outcome = run(&setup(protocol, push), &source, &door(&dest)).expect("no deadlock");
            let code = if fails { ExitCode::PARTIAL } else { ExitCode::OK };
            assert_eq!(expect_codes(&outcome, code), None, "p{protocol} push {push}");
            assert_eq!(dest.count(Call::ReadBasis), reads, "p{protocol} push {push} fails {fails}");
        }
    });
}

#[test]
fn a_file_that_cannot_be_renamed_is_given_up() {
    each(|protocol, push| {
        let (source, dest) = (source(), Fs::new());
        dest.fail(Call::Commit, 2, EACCES);
        let outcome = run(&setup(protocol, push), &source, &door(&dest)).expect("no deadlock");
        assert_eq!(expect_codes(&outcome, ExitCode::PARTIAL), None, "p{protocol} push {push}");
        assert_eq!(missing(&source, &dest).len(), 1, "p{protocol} push {push}");
    });
}

#[test]
fn the_contents_of_a_directory_that_cannot_be_made_are_skipped() {
    each(|protocol, push| {
        let (source, dest) = (source(), Fs::new());
        dest.fail(Call::MakeDir, 1, EACCES);
        let outcome = run(&setup(protocol, push), &source, &door(&dest)).expect("no deadlock");
        assert_eq!(expect_codes(&outcome, ExitCode::PARTIAL), None, "p{protocol} push {push}");
        let missing = missing(&source, &dest);
        assert!(
            missing.iter().all(|m| m.starts_with("d/")) && missing.len() == 4,
            "p{protocol}: {missing:?}"
        );
    });
}

#[test]
fn a_full_disk_ends_the_run() {
    each(|protocol, push| {
        let (source, dest) = (source(), Fs::new());
        dest.fail(Call::Write, 3, ENOSPC);
        let mut setup = setup(protocol, push);
        setup.capacity = usize::MAX;
        let outcome = run(&setup, &source, &door(&dest)).expect("no deadlock");
        let receiver = if push { &outcome.server } else { &outcome.client };
        let code = match receiver {
            Ok(code) => *code,
            Err(error) => error.exit_code(),
        };
        assert_eq!(code, ExitCode::FILE_IO, "p{protocol} push {push}: {receiver:?}");
        let sender = if push { &outcome.client } else { &outcome.server };
        assert!(sender.is_err(), "p{protocol} push {push}: {sender:?}");
    });
}

/// A value longer than 32 bytes is listed as a digest, and read again when the receiver asks for it.
#[test]
fn an_attribute_that_is_gone_when_it_is_asked_for_is_told() {
    for (protocol, push) in [30, 31, 32].into_iter().flat_map(|p| [true, false].map(|push| (p, push))) {
        let (source, dest) = (source(), Fs::new());
        source.note(vec![b'v'; 64]);
        source.fail(Call::Xattr, 2, PortError::NO_DATA);
        let mut setup = setup(protocol, push);
        setup.options.preserve.xattrs = 1;
        setup.args = vec![b"one".to_vec()];
        let outcome = run(&setup, &source, &door(&dest)).expect("no deadlock");
        assert_eq!(expect_codes(&outcome, ExitCode::PARTIAL), None, "p{protocol} push {push}");
        let sender = if push { &outcome.client_watch } else { &outcome.server_watch };
        let notices = sender.notices.borrow();
        let told: Vec<&str> =
            notices.iter().map(String::as_str).filter(|n| n.contains("XattrGone")).collect();
        let want = format!("sender: {:?}", Notice::XattrGone { name: b"one", xattr: b"user.a" });
        assert_eq!(told, [want], "p{protocol} push {push}: {notices:?}");
        assert_eq!(dest.all()[&b"one"[..]].0.data, b"1", "p{protocol} push {push}");
    }
}
