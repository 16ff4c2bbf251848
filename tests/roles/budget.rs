//! What the future of each role takes, in bytes: it is what a task on a small stack has to hold.

use core::mem::size_of_val;
use std::rc::Rc;

use arsync_core::{
    filter::{FilterConfig, FilterList},
    io::{WireReader, WireWriter},
    session::{InTurn, Inbox, Outbox, Shared, SourceArgs, run_local, run_receiver, run_sender},
    setup::Side,
    tiny::{Command, Config, Memory, Module, ram::RamStore, run, serve, serve_daemon},
};

use crate::{
    fake::Fs,
    matrix::{archive, door},
    session::{Setup, Watch, agree, all_capabilities, pipes, rules},
};

#[test]
fn the_futures_of_the_roles_stay_within_their_budget() {
    let setup = Setup {
        protocol: 32,
        push: true,
        options: archive(),
        capabilities: all_capabilities(),
        args: Vec::new(),
        names: None,
        capacity: 100,
        rules: Vec::new(),
        charsets: None,
    };
    let (agreed, _) = agree(&setup);
    let (watch, fs) = (Watch::default(), Fs::new());
    let shared = Shared::new(&setup.options, agreed, &watch, Side::Client, Rc::new(Outbox::new()));
    let args = SourceArgs { names: Vec::new(), base: None };
    let door = door(&fs);
    let filters = FilterList::new(FilterConfig::default());
    let ((r1, w1), (r2, w2)) = pipes(100);
    let reader = |r| WireReader::new(r, Inbox::unattached());
    let writer = |w| WireWriter::new(w, vec![0; 64]);
    let sender = run_sender(&shared, &fs, rules(&setup, Side::Client), &args, reader(r1), writer(w1));
    let receiver = run_receiver(&shared, &door, rules(&setup, Side::Server), None, reader(r2), writer(w2));
    let turns = InTurn::default();
    let local = run_local(&shared, &fs, &door, &filters, &filters, &args, &turns);

    let (mut store, mut memory) = (RamStore::new(), Memory::<8, 256, 8, 128>::new());
    let (command, config) = (Command::new(), Config::default());
    let ((r3, w3), (r4, w4)) = pipes(100);
    let tiny = size_of_val(&run((r3, w3), Side::Client, &command, &mut store, &mut memory, &config));
    let served = size_of_val(&serve(r4, w4, &mut store, &mut memory, &config));
    let ((r5, w5), _) = pipes(100);
    let module = Module { name: "mem", comment: "", writable: false };
    let daemon = size_of_val(&serve_daemon((r5, w5), &module, &mut store, &mut memory, &config));

    for (role, size, budget) in [
        ("sender", size_of_val(&sender), SENDER),
        ("receiver", size_of_val(&receiver), RECEIVER),
        ("both in one process", size_of_val(&local), LOCAL),
        ("tiny, either role", tiny, TINY),
        ("tiny, with its arguments", served, TINY_SERVED),
        ("tiny, as a daemon", daemon, TINY_DAEMON),
    ] {
        println!("{role}: {size} bytes, budget {budget}");
        assert!(size <= budget, "{role}: {size} bytes, {budget} allowed");
        assert!(size * 5 > budget * 4, "{role}: {size} bytes: the budget of {budget} is too generous");
    }
}

const SENDER: usize = 4608;
const RECEIVER: usize = 18 << 10;
const LOCAL: usize = 8 << 10;
const TINY: usize = 4224;
const TINY_SERVED: usize = 4736;
const TINY_DAEMON: usize = 5 << 10;
