//! One program per target, for cargo-fuzz; the target has the name of the program.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let name = env!("CARGO_BIN_NAME");
    let (_, target) = arsync_core::fuzz::TARGETS.into_iter().find(|(n, _)| *n == name).expect("a target");
    target(data);
});
