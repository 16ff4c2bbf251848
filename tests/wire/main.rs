//! Decodes recorded sessions of the stock program to their last byte and compares each value with what is known
//! of the run. `ARSYNC_VECTORS=DIR` reads another corpus of the same layout after the one in the repository.

mod check;
mod command;
mod corpus;
mod decode;
mod greeting;
mod hostile;
mod negative;
mod properties;

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

use check::{Outcome, check};
use corpus::Case;

fn corpora() -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors");
    let other = env::var_os("ARSYNC_VECTORS").map(PathBuf::from);
    [own].into_iter().chain(other).collect()
}

#[test]
fn recorded_sessions_decode_to_the_last_byte() {
    for corpus in corpora() {
        run(&corpus);
    }
}

#[test]
fn the_size_of_pieces_does_not_matter() {
    for piece in [1, 5] {
        for case in Case::all(&corpora()[0]) {
            let fault = check(&case, piece).err();
            assert!(fault.is_none(), "{} in pieces of {piece}: {fault:?}", case.name);
        }
    }
}

fn run(corpus: &Path) {
    let cases = Case::all(corpus);
    let (mut decoded, mut failed, mut skipped) = (0, 0, 0);
    let mut reasons: BTreeMap<&str, BTreeMap<String, usize>> = BTreeMap::new();
    let mut sum = check::Summary::default();
    for case in &cases {
        match check(case, usize::MAX) {
            Ok(Outcome::Decoded(s)) => {
                decoded += 1;
                sum.lists += s.lists;
                sum.entries += s.entries;
                sum.known += s.known;
                sum.transfers += s.transfers;
                sum.contents += s.contents;
                sum.cut += s.cut;
            }
            Ok(Outcome::NotCovered(why)) => {
                skipped += 1;
                *reasons.entry(why).or_default().entry(case.kind.clone()).or_default() += 1;
            }
            Err(fault) => {
                failed += 1;
                println!("FAILED {}: {fault:?}", case.name);
            }
        }
    }
    println!("vectors: {} cases, {decoded} decoded, {failed} failed, {skipped} not covered", cases.len());
    println!(
        "lists {} (all encoded again), entries {} ({} compared with a tree), transfers {} ({} compared with a file), \
         failed runs that end early {}",
        sum.lists, sum.entries, sum.known, sum.transfers, sum.contents, sum.cut
    );
    for (why, kinds) in reasons {
        let kinds: Vec<String> = kinds.iter().map(|(kind, n)| format!("{kind} {n}")).collect();
        println!("not covered ({why}): {}", kinds.join(", "));
    }
    assert_eq!(failed, 0, "in {}", corpus.display());
    assert!(decoded > 0, "{} is empty", corpus.display());
}
