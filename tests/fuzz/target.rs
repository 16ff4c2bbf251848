//! One program per target, for cargo-fuzz; the target has the name of the program.
#![no_main]

// Made for the tests of the roles, which use all of them.
#[allow(dead_code)]
#[path = "../roles/fake.rs"]
mod fake;
mod roles;
#[allow(dead_code)]
#[path = "../roles/session.rs"]
mod session;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let name = env!("CARGO_BIN_NAME");
    let targets = arsync_core::fuzz::TARGETS.into_iter().chain(roles::TARGETS);
    let (_, target) = targets.into_iter().find(|(n, _)| *n == name).expect("a target");
    target(data);
});
