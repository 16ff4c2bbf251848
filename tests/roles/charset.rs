//! Names that are converted on their way.

use std::collections::BTreeSet;

use arsync_core::{charset::TestCharset, exit::ExitCode, options::DeleteWhen};

use crate::{
    fake::{Fs, Node},
    matrix::{archive, dir, door, file},
    session::{Outcome, Setup, all_capabilities, run},
};

const UTF8_TO_LATIN1: [TestCharset; 2] = [TestCharset::Utf8, TestCharset::Latin1];

fn source() -> Fs {
    let fs = Fs::new();
    // Not in the order in which they are handled.
    for name in ["z\u{e9}", "caf\u{e9}", "a", "\u{e0}"] {
        fs.put(name, file(name.as_bytes().to_vec()));
    }
    fs.put("link", Node { mode: 0o120_777, target: "lien\u{e9}".into(), ..Node::default() });
    for name in ["\u{e9}t\u{e9}", "b", "\u{e9}t\u{e9}/d\u{e9}j\u{e0}"] {
        fs.put(name, dir(0o755));
        fs.put(format!("{name}/f\u{e9}"), file(name.as_bytes().to_vec()));
    }
    fs.link("b/li\u{e9}", "caf\u{e9}");
    fs
}

fn setup(protocol: u8, push: bool, charsets: [TestCharset; 2]) -> Setup {
    let mut options = archive();
    options.preserve.hard_links = 1;
    let [sender, receiver] = charsets;
    Setup {
        protocol,
        push,
        options,
        capabilities: all_capabilities(),
        args: vec![b"./".to_vec()],
        names: None,
        capacity: 4096,
        rules: Vec::new(),
        charsets: Some(if push { [sender, receiver] } else { [receiver, sender] }),
    }
}

fn go(setup: &Setup, source: &Fs, dest: &Fs) -> Outcome {
    run(setup, source, &door(dest)).expect("no deadlock")
}

fn names(fs: &Fs) -> BTreeSet<Vec<u8>> {
    fs.all().into_keys().collect()
}

fn each(mut f: impl FnMut(u8, bool)) {
    for protocol in 27..=32 {
        for push in [true, false] {
            f(protocol, push);
        }
    }
}

#[test]
fn a_tree_arrives_in_the_charset_of_its_new_side() {
    each(|protocol, push| {
        let dest = Fs::new();
        let outcome = go(&setup(protocol, push, UTF8_TO_LATIN1), &source(), &dest);
        assert_eq!(
            (outcome.client, outcome.server),
            (Ok(ExitCode::OK), Ok(ExitCode::OK)),
            "{protocol} {push}"
        );
        let all = dest.all();
        for (name, data) in [
            (&b"caf\xe9"[..], "caf\u{e9}"),
            (b"b/li\xe9", "caf\u{e9}"),
            (b"z\xe9", "z\u{e9}"),
            (b"\xe9t\xe9/d\xe9j\xe0/f\xe9", "\u{e9}t\u{e9}/d\u{e9}j\u{e0}"),
        ] {
            assert_eq!(all[name].0.data, data.as_bytes(), "{protocol} {push}: {}", name.escape_ascii());
        }
        // Before protocol 30 targets of symlinks are not converted.
        let target: &[u8] = if protocol >= 30 { b"lien\xe9" } else { b"lien\xc3\xa9" };
        assert_eq!(all[&b"link"[..]].0.target, target);
        assert_eq!(all.len(), source().all().len());
    });
}

#[test]
fn deletion_compares_names_of_one_charset() {
    each(|protocol, push| {
        let mut setup = setup(protocol, push, UTF8_TO_LATIN1);
        setup.options.delete.when = Some(DeleteWhen::Default);
        let dest = Fs::new();
        go(&setup, &source(), &dest);
        let complete = names(&dest);
        dest.put("extra", file(Vec::new()));
        dest.put("b/\u{e9}", file(Vec::new()));
        let outcome = go(&setup, &source(), &dest);
        assert_eq!(outcome.client, Ok(ExitCode::OK));
        assert_eq!(names(&dest), complete, "{protocol} {push}");
    });
}

#[test]
fn what_has_no_counterpart_at_the_receiver_is_left_out() {
    let with = |protocol, push, name: &str| {
        let fs = source();
        fs.put(name, file(b"x".to_vec()));
        let dest = Fs::new();
        let mut setup = setup(protocol, push, UTF8_TO_LATIN1);
        setup.options.trust_sender = true;
        (go(&setup, &fs, &dest), dest)
    };
    each(|protocol, push| {
        let (outcome, dest) = with(protocol, push, "\u{2603}");
        let ends = [outcome.client, outcome.server];
        assert!(ends.contains(&Ok(ExitCode::PARTIAL)), "{protocol} {push}: {ends:?}");
        assert_eq!(dest.all().len(), source().all().len());
        let watch = if push { outcome.server_watch } else { outcome.client_watch };
        let said = watch.notices.borrow().iter().filter(|n| n.contains("CannotConvertName")).count();
        assert_eq!(said, 1);
    });
    // As the reference: in a list of its own such a name ends the session.
    let (outcome, _) = with(32, true, "b/\u{2603}");
    assert_eq!(outcome.server.map_err(|e| e.exit_code()), Err(ExitCode::UNSUPPORTED));
}

#[test]
fn what_has_no_counterpart_at_the_sender_does_not_travel() {
    each(|protocol, push| {
        let fs = source();
        fs.put(b"bad\xff", dir(0o755));
        fs.put(b"bad\xff/inside", file(Vec::new()));
        let link = Node { mode: 0o120_777, target: b"l\xff".to_vec(), ..Node::default() };
        fs.put("b/link", link);
        let dest = Fs::new();
        let outcome = go(&setup(protocol, push, UTF8_TO_LATIN1), &fs, &dest);
        let ends = [outcome.client, outcome.server];
        assert!(ends.contains(&Ok(ExitCode::PARTIAL)), "{protocol} {push}: {ends:?}");
        let mut wanted = names(&source());
        wanted.extend((protocol < 30).then(|| b"b/link".to_vec()));
        assert_eq!(dest.all().len(), wanted.len());
        let watch = if push { outcome.client_watch } else { outcome.server_watch };
        let notices = watch.notices.borrow();
        let said =
            |what: &str| notices.iter().filter(|n| n.starts_with("sender: ") && n.contains(what)).count();
        // Nothing is said of what is in a directory that does not travel.
        assert_eq!((said("CannotConvertName"), said("CannotConvertLink")), (1, usize::from(protocol >= 30)));
    });
}

#[test]
fn names_of_a_list_are_converted_with_protected_arguments() {
    for protocol in 30..=32 {
        let mut setup = setup(protocol, false, UTF8_TO_LATIN1);
        setup.options.select.relative = true;
        setup.options.select.dirs = true;
        // The list is the receiver's.
        setup.names = Some(vec![b"caf\xe9".to_vec(), b"\xe9t\xe9/f\xe9".to_vec()]);
        let dest = Fs::new();
        let outcome = go(&setup, &source(), &dest);
        assert_eq!(outcome.client, Ok(ExitCode::OK), "{:?}", outcome.server_watch.notices.borrow());
        assert!(names(&dest).contains(&b"caf\xe9"[..]) && names(&dest).contains(&b"\xe9t\xe9/f\xe9"[..]));
    }
}
