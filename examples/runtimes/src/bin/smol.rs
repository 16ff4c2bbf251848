//! On smol, or on anything that polls: the reactor of `async-io` runs on a thread of its own.

fn main() {
    let (mut child, from, to) = runtimes::start(&runtimes::path()).expect("rsync is installed");
    smol::block_on(runtimes::pull(from, to));
    assert!(child.wait().expect("it ends").success());
}
