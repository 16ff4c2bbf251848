//! MD5 of several streams at once.
//!
//! A step of MD5 needs the result of the step before it, so that one stream leaves most of a processor idle. Here
//! [`LANES`] streams go side by side, a vector of them in each variable: on x86-64 without anything beyond SSE2, eight
//! lanes take little more time than one does.

use super::Digest;

/// Streams at once.
pub const LANES: usize = 8;
/// Bytes that are hashed at a time.
const CHUNK: usize = 64;
/// Lanes of a vector; the others are a second vector, which fills the time that the first one waits.
const HALF: usize = LANES / 2;

const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// Left rotation of each of four steps of a round.
const ROTATE: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// `floor(2^32 · |sin(i + 1)|)`
#[rustfmt::skip]
const SINES: [u32; 64] = [
    0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee, 0xf57c_0faf, 0x4787_c62a, 0xa830_4613, 0xfd46_9501,
    0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be, 0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821,
    0xf61e_2562, 0xc040_b340, 0x265e_5a51, 0xe9b6_c7aa, 0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8,
    0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed, 0xa9e3_e905, 0xfcef_a3f8, 0x676f_02d9, 0x8d2a_4c8a,
    0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c, 0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70,
    0x289b_7ec6, 0xeaa1_27fa, 0xd4ef_3085, 0x0488_1d05, 0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665,
    0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039, 0x655b_59c3, 0x8f0c_cc92, 0xffef_f47d, 0x8584_5dd1,
    0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1, 0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391,
];

/// A variable of the algorithm in every lane.
type Lanes = [u32; LANES];

/// The streams of one group.
#[derive(Debug, Clone)]
pub struct Md5Lanes {
    state: [Lanes; 4],
    /// Bytes hashed in each lane.
    hashed: [u64; LANES],
}

impl Default for Md5Lanes {
    fn default() -> Self {
        Self::new()
    }
}

impl Md5Lanes {
    /// Nothing hashed in any lane.
    pub const fn new() -> Self {
        Self {
            state: [[START[0]; LANES], [START[1]; LANES], [START[2]; LANES], [START[3]; LANES]],
            hashed: [0; LANES],
        }
    }

    /// Hashes as many bytes in every lane, a multiple of 64; a lane that is not in use takes any bytes.
    pub fn update(&mut self, data: [&[u8]; LANES]) {
        let lanes = data.map(|lane| lane.as_chunks::<CHUNK>().0);
        let chunks = lanes.iter().map(|lane| lane.len()).min().unwrap_or(0);
        debug_assert!(data.iter().all(|lane| lane.len() == chunks * CHUNK));
        let lanes = lanes.map(|lane| &lane[..chunks]);
        for i in 0..chunks {
            self.compress(&lanes.map(|lane| &lane[i]));
        }
        for hashed in &mut self.hashed {
            *hashed += (chunks * CHUNK) as u64;
        }
    }

    /// Hashes a multiple of 64 bytes in one lane, which takes less time than in all.
    pub fn update_lane(&mut self, lane: usize, data: &[u8]) {
        let mut state = self.state.map(|variable| variable[lane]);
        for chunk in data.as_chunks::<CHUNK>().0 {
            let new = rounds(state.map(|variable| [variable]), |i| [word(chunk, i)]);
            for (variable, [new]) in state.iter_mut().zip(new) {
                *variable = variable.wrapping_add(new);
            }
        }
        for (variable, new) in self.state.iter_mut().zip(state) {
            variable[lane] = new;
        }
        self.hashed[lane] += data.len() as u64;
    }

    /// The digest of a lane, whose stream ends with fewer than 64 further bytes; the lane begins anew.
    pub fn finish(&mut self, lane: usize, tail: &[u8]) -> Digest {
        let (end, chunks) = pad(tail, self.hashed[lane]);
        self.update_lane(lane, &end[..chunks * CHUNK]);
        let digest = digest(self.state.map(|variable| variable[lane]));
        self.hashed[lane] = 0;
        for (variable, start) in self.state.iter_mut().zip(START) {
            variable[lane] = start;
        }
        digest
    }

    /// The digests of all lanes, each of which ends with as many further bytes, fewer than 64.
    fn finish_all(mut self, tails: [&[u8]; LANES]) -> [Digest; LANES] {
        let mut n = 0;
        let mut lane = 0;
        let ends = tails.map(|tail| {
            let (end, chunks) = pad(tail, self.hashed[lane]);
            lane += 1;
            n = chunks;
            end
        });
        for i in 0..n {
            self.compress(&core::array::from_fn(|lane| &ends[lane].as_chunks::<CHUNK>().0[i]));
        }
        core::array::from_fn(|lane| digest(self.state.map(|variable| variable[lane])))
    }

    /// One chunk of each lane.
    fn compress(&mut self, chunks: &[&[u8; CHUNK]; LANES]) {
        let mut words = [[0; LANES]; CHUNK / 4];
        for (lane, chunk) in chunks.iter().enumerate() {
            for (i, word_of) in words.iter_mut().enumerate() {
                word_of[lane] = word(chunk, i);
            }
        }
        compress(&mut self.state, &words);
    }
}

/// Sums of equally long messages: `before`, the data, `after`; `before` and `after` have fewer than 16 bytes.
pub(super) fn equal_lengths(before: &[u8], data: [&[u8]; LANES], after: &[u8]) -> [Digest; LANES] {
    let mut lanes = Md5Lanes::new();
    let mut rest = data;
    let mut front = before;
    let head = CHUNK - before.len();
    if !before.is_empty() && data.iter().all(|lane| lane.len() >= head) {
        let first = data.map(|lane| joined(before, &lane[..head], &[]).0);
        lanes.update(first.each_ref().map(|chunk| &chunk[..CHUNK]));
        rest = data.map(|lane| &lane[head..]);
        front = &[];
    }
    let whole = if front.is_empty() { rest[0].len() / CHUNK * CHUNK } else { 0 };
    lanes.update(rest.map(|lane| &lane[..whole]));
    // What is left may be a chunk and a part of one.
    let ends = rest.map(|lane| joined(front, &lane[whole..], after));
    let full = ends[0].1 / CHUNK * CHUNK;
    lanes.update(ends.each_ref().map(|(end, _)| &end[..full]));
    lanes.finish_all(ends.each_ref().map(|(end, len)| &end[full..*len]))
}

/// Three pieces one after the other, and their length.
fn joined(a: &[u8], b: &[u8], c: &[u8]) -> ([u8; 2 * CHUNK], usize) {
    let mut out = [0; 2 * CHUNK];
    let mut len = 0;
    for piece in [a, b, c] {
        out[len..len + piece.len()].copy_from_slice(piece);
        len += piece.len();
    }
    (out, len)
}

/// The end of a message: its last bytes, a one, zeros, and its length in bits. Returns the number of chunks too.
fn pad(tail: &[u8], hashed: u64) -> ([u8; 2 * CHUNK], usize) {
    let (mut end, len) = joined(tail, &[0x80], &[]);
    let chunks = if len + 8 <= CHUNK { 1 } else { 2 };
    let bits = (hashed + tail.len() as u64).wrapping_mul(8);
    end[chunks * CHUNK - 8..chunks * CHUNK].copy_from_slice(&bits.to_le_bytes());
    (end, chunks)
}

fn digest(state: [u32; 4]) -> Digest {
    let mut bytes = [0; 16];
    for (at, variable) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *at = variable.to_le_bytes();
    }
    Digest::of(&bytes)
}

#[inline(always)]
fn word(chunk: &[u8; CHUNK], i: usize) -> u32 {
    u32::from_le_bytes([chunk[4 * i], chunk[4 * i + 1], chunk[4 * i + 2], chunk[4 * i + 3]])
}

/// The loop over lanes is outside of the 64 steps, which is the form that compilers make vectors of.
#[inline(never)]
fn compress(state: &mut [Lanes; 4], words: &[Lanes; CHUNK / 4]) {
    let [a, b, c, d] = state;
    for i in 0..HALF {
        let j = i + HALF;
        let old = [[a[i], a[j]], [b[i], b[j]], [c[i], c[j]], [d[i], d[j]]];
        let new = rounds(old, |w| [words[w][i], words[w][j]]);
        for (variable, (old, new)) in [&mut *a, b, c, d].into_iter().zip(old.into_iter().zip(new)) {
            variable[i] = old[0].wrapping_add(new[0]);
            variable[j] = old[1].wrapping_add(new[1]);
        }
    }
}

/// A loop that is unrolled before anybody looks for vectors.
macro_rules! sixteen_times {
    ($i:ident => $body:expr) => {
        sixteen_times!($i, $body; 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    };
    ($i:ident, $body:expr; $($n:literal)*) => {
        $({
            const $i: usize = $n;
            $body;
        })*
    };
}

/// The 64 steps for N lanes, step by step.
#[inline(always)]
fn rounds<const N: usize>(mut state: [[u32; N]; 4], word: impl Fn(usize) -> [u32; N]) -> [[u32; N]; 4] {
    let s = &mut state;
    sixteen_times!(I => step(s, ROTATE[0][I % 4], SINES[I], word(I), |b, c, d| d ^ b & (c ^ d)));
    sixteen_times!(I => step(s, ROTATE[1][I % 4], SINES[16 + I], word((5 * I + 1) % 16), |b, c, d| c & !d | d & b));
    sixteen_times!(I => step(s, ROTATE[2][I % 4], SINES[32 + I], word((3 * I + 5) % 16), |b, c, d| b ^ c ^ d));
    sixteen_times!(I => step(s, ROTATE[3][I % 4], SINES[48 + I], word(7 * I % 16), |b, c, d| c ^ (b | !d)));
    state
}

/// One step; what was b is c afterwards, and so on.
#[inline(always)]
fn step<const N: usize>(
    state: &mut [[u32; N]; 4],
    rotate: u32,
    sine: u32,
    word: [u32; N],
    mix: impl Fn(u32, u32, u32) -> u32,
) {
    let [a, b, c, d] = *state;
    let new = core::array::from_fn(|i| {
        let sum = a[i].wrapping_add(mix(b[i], c[i], d[i])).wrapping_add(word[i]).wrapping_add(sine);
        b[i].wrapping_add(sum.rotate_left(rotate))
    });
    *state = [d, new, b, c];
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use alloc::{string::String, vec::Vec};

    use super::*;

    fn hex(digest: &Digest) -> String {
        digest.as_bytes().iter().map(|b| alloc::format!("{b:02x}")).collect()
    }

    /// The test suite of RFC 1321.
    const RFC: [(&str, &str); 7] = [
        ("", "d41d8cd98f00b204e9800998ecf8427e"),
        ("a", "0cc175b9c0f1b6a831c399e269772661"),
        ("abc", "900150983cd24fb0d6963f7d28e17f72"),
        ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
        ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
        (
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            "d174ab98d277d9f5a5611c2c9f419d9f",
        ),
        (
            "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
            "57edf4a22be3c955ac49da2e2107b67a",
        ),
    ];

    #[test]
    fn lanes_have_the_sums_of_the_rfc() {
        for (message, expected) in RFC {
            let message = message.as_bytes();
            for (before, after) in [(0, 0), (4, 0), (0, 4), (9, 5)] {
                if before + after <= message.len() {
                    let (front, rest) = message.split_at(before);
                    let (data, back) = rest.split_at(rest.len() - after);
                    let sums = equal_lengths(front, [data; LANES], back);
                    assert_eq!(sums.each_ref().map(hex), [expected; LANES]);
                }
            }
        }
    }

    #[test]
    fn lanes_end_on_their_own_and_begin_anew() {
        let mut lanes = Md5Lanes::new();
        let digits = RFC[6].0.as_bytes();
        for (lane, (message, expected)) in RFC.iter().take(6).enumerate() {
            assert_eq!(hex(&lanes.finish(lane, message.as_bytes())), *expected);
        }
        for _ in 0..2 {
            let mut data = [&[0; 64][..]; LANES];
            data[5] = &digits[..64];
            lanes.update(data);
            assert_eq!(hex(&lanes.finish(5, &digits[64..])), RFC[6].1);
        }
        // The others went on: three times 64 zeros, from outside of this program.
        let mut zeros = Md5Lanes::new();
        zeros.update([&[0; 192]; LANES]);
        assert_eq!(hex(&zeros.finish(7, b"")), "b7dd5e0194ee0ac08a4b802cb73d867f");
        assert_eq!(hex(&zeros.finish(7, b"abc")), RFC[2].1);
        zeros.update_lane(7, &digits[..64]);
        assert_eq!(hex(&zeros.finish(7, &digits[64..])), RFC[6].1);
    }

    #[test]
    fn lanes_agree_with_one_stream() {
        use md5::Digest as _;
        let data: Vec<u8> = (0..40_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 7) as u8).collect();
        for len in (0..260).chain([700, 1023, 1024, 2900, 4500]) {
            let messages: [&[u8]; LANES] = core::array::from_fn(|lane| &data[lane * 4321..][..len]);
            let sums = equal_lengths(&data[..4], messages, &[]);
            for (sum, message) in sums.iter().zip(messages) {
                let expected = md5::Md5::new().chain_update(&data[..4]).chain_update(message).finalize();
                assert_eq!(sum.as_bytes(), &*expected, "{len}");
            }
        }
    }
}
