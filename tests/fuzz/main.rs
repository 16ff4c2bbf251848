//! The fuzz targets over their corpus and over spoiled copies of it. `ARSYNC_FUZZ_SECONDS` lets each target run for
//! that long instead of for a fixed number of inputs.

// Made for the tests of the roles, which use all of them.
#[allow(dead_code)]
#[path = "../roles/fake.rs"]
mod fake;
mod roles;
#[allow(dead_code)]
#[path = "../roles/session.rs"]
mod session;
mod spoil;

use arsync_core::fuzz::TARGETS;

/// Inputs of each target without `ARSYNC_FUZZ_SECONDS`.
const INPUTS: u32 = 20_000;
/// The same for targets that are whole sessions.
const SESSIONS: u32 = 2_000;

#[test]
fn every_target_bears_its_corpus_and_spoiled_copies_of_it() {
    std::thread::scope(|scope| {
        let codecs = TARGETS.into_iter().map(|target| (target, INPUTS));
        for ((name, target), limit) in codecs.chain(roles::TARGETS.map(|target| (target, SESSIONS))) {
            scope.spawn(move || spoil::run(name, limit, target));
        }
    });
}
