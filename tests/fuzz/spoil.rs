//! What every runner of fuzz targets does: it takes the committed inputs of a target, spoils copies of them, and lets
//! the target bear both.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n.max(1)
    }
}

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// A few bytes are changed, inserted, removed, or taken from another input.
fn spoil(random: &mut Random, seed: &[u8], other: &[u8]) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(data.len() + 1);
        let odd = [0, 1, 0x7f, 0x80, 0xff, b'/', b'.', random.below(256) as u8][random.below(8)];
        match random.below(6) {
            0 | 1 if at < data.len() => data[at] = odd,
            2 if at < data.len() => data[at] ^= 1 << random.below(8),
            3 => data.insert(at, odd),
            4 if at < data.len() => {
                let end = (at + 1 + random.below(8)).min(data.len());
                data.drain(at..end);
            }
            _ => {
                let from = random.below(other.len() + 1);
                let part = &other[from..(from + random.below(32)).min(other.len())];
                data.splice(at..at, part.iter().copied());
            }
        }
    }
    data.truncate(1 << 16);
    data
}

/// Runs a target over its corpus and then over so many spoiled inputs, or for `ARSYNC_FUZZ_SECONDS`.
pub(crate) fn run(name: &str, limit: u32, target: fn(&[u8])) {
    let seconds = std::env::var("ARSYNC_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    let end = seconds.map(|s| Instant::now() + Duration::from_secs(s));
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "{name} has no corpus");
    for (_, data) in &corpus {
        target(data);
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut inputs = 0;
    while end.map_or(inputs < u64::from(limit), |end| Instant::now() < end) {
        let data = spoil(
            &mut random,
            &corpus[inputs as usize % corpus.len()].1,
            &corpus[random_index(inputs, corpus.len())].1,
        );
        let caught = std::panic::catch_unwind(|| target(&data));
        assert!(caught.is_ok(), "{name}: {}", data.escape_ascii());
        inputs += 1;
    }
    println!("{name}: {inputs} inputs");
}

fn random_index(n: u64, len: usize) -> usize {
    (n.wrapping_mul(2_654_435_761) >> 7) as usize % len
}
