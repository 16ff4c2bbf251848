//! arsync against stock rsync: the same input must give the same tree, output and exit code, whichever end is which.
//!
//! `ARSYNC_CASE=TEXT` restricts the matrix to option sets that contain the text.

mod alike;
mod backups;
mod bad_input;
mod batch;
mod cases;
mod charset;
mod daemon;
mod details;
mod evil_client;
mod extras;
mod forbidden;
mod forged;
mod further;
mod large;
mod links;
mod logs;
mod matrix;
mod mixed;
#[path = "../needs.rs"]
mod needs;
mod paths;
mod peers;
mod proxy;
mod reports;
mod ring;
mod rules;
mod serving;
mod snapshot;
mod sshd;
mod surroundings;
mod told;
mod tree;
mod unprivileged;
mod wide;
mod wrappers;

use cases::{Case, Scope};
use matrix::{Bench, Link, check};

/// The newest and the oldest version see every case, those between the ones that touch what changed over time.
fn remote_cases(protocol: u8) -> Vec<Case> {
    let full = protocol == 32 || protocol == 27;
    cases::all().into_iter().filter(|case| full || case.every).collect()
}

macro_rules! remote {
    ($($push:ident $pull:ident $protocol:literal),*) => {$(
        #[test]
        fn $push() {
            let bench = Bench::new();
            check(&bench, &Link::Push(bench.fake()), $protocol, &remote_cases($protocol));
        }
        #[test]
        fn $pull() {
            let bench = Bench::new();
            check(&bench, &Link::Pull(bench.fake()), $protocol, &remote_cases($protocol));
        }
    )*};
}

remote! {
    push_27 pull_27 27,
    push_28 pull_28 28,
    push_29 pull_29 29,
    push_30 pull_30 30,
    push_31 pull_31 31,
    push_32 pull_32 32
}

#[test]
fn local() {
    let cases: Vec<_> = cases::all().into_iter().filter(|case| case.scope == Scope::Everywhere).collect();
    check(&Bench::new(), &Link::Local, 32, &cases);
}

/// A local copy loses what the wire of an old version cannot carry, though there is none. Below version 29 the warnings of
/// `--append` come from a server, on stdout.
#[test]
fn local_with_old_protocols() {
    let bench = Bench::new();
    for protocol in 27..32 {
        let cases: Vec<_> = cases::all()
            .into_iter()
            .filter(|case| case.every && case.scope == Scope::Everywhere)
            .filter(|case| protocol >= 29 || !case.options.contains(&"--append"))
            .collect();
        check(&bench, &Link::Local, protocol, &cases);
    }
}
