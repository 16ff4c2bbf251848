//! Files are sifted for blocks of a basis on every processor.

use std::thread;

use arsync_core::delta::{Candidate, Sifting};

/// Windows that a thread is started for: about a millisecond of work, some twenty times what its start costs.
const SHARE: usize = 1 << 19;
/// Threads at most; more would only wait for memory.
const THREADS: usize = 8;

/// As [`Sifting::sift`] of all windows.
pub fn sift(sifting: &Sifting<'_>) -> Vec<Candidate> {
    sift_with(sifting, super::processors().min(THREADS).min(sifting.windows() / SHARE))
}

/// On so many threads, the caller's included.
fn sift_with(sifting: &Sifting<'_>, threads: usize) -> Vec<Candidate> {
    let windows = sifting.windows();
    let share = windows.div_ceil(threads.max(1)).max(1);
    thread::scope(|scope| {
        let (mut others, mut begun) = (Vec::new(), share);
        while begun < windows {
            let range = begun..begun + share;
            let sift = move || sifting.sift(range);
            let Ok(other) = thread::Builder::new().name("sift".into()).spawn_scoped(scope, sift) else {
                break;
            };
            others.push(other);
            begun += share;
        }
        let mut found = sifting.sift(0..share);
        // What no thread could be had for.
        let rest = sifting.sift(begun..windows);
        for (at, other) in (share..).step_by(share).zip(others) {
            found.extend(other.join().unwrap_or_else(|_| sifting.sift(at..at + share)));
        }
        found.extend(rest);
        found
    })
}

#[cfg(test)]
mod tests {
    use arsync_core::{
        checksum::{ChecksumKind, TransferSums, weak},
        delta::{Matcher, SumHead},
    };

    use super::*;

    #[test]
    fn every_number_of_threads_finds_the_same() {
        let data: Vec<u8> =
            (0..3u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 ^ (i >> 9) as u8).collect();
        let sums: Vec<u32> = (0..50).map(|i| weak(&data[i * 60_000..][..5000])).collect();
        let head = SumHead { count: 50, block_len: 5000, s2length: 8, remainder: 0 };
        let kind = TransferSums::new(ChecksumKind::Xxh64, 0, false, false);
        let mut matcher = Matcher::new(head, sums, vec![0; 400], kind, false);
        assert!(matcher.sifting(&data).is_none(), "nothing was searched in vain yet");
        // No strong sum is equal, so that all of it is literal.
        assert_eq!(matcher.next(&data, 0, false).block, None);
        let sifting = matcher.sifting(&data).unwrap();
        let whole = sift_with(&sifting, 1);
        assert!(whole.len() >= 50, "{}", whole.len());
        for threads in [2, 3, 8] {
            assert_eq!(sift_with(&sifting, threads), whole, "{threads}");
        }
        assert_eq!(sift(&sifting), whole);
    }
}
