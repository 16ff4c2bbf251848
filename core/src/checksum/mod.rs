//! Checksums: the algorithms, how the session seeds them, and the weak rolling sum.
//!
//! Nothing here allocates. [`Hasher`] is the plain algorithm (file-list sums of `-c`, whole-file sums);
//! [`TransferSums`] knows how block sums and whole-file sums of one session are seeded (spec: strong block
//! checksum, whole-file checksum).
//!
//! The seed is the i32 of the handshake. It goes in as its four bytes LE, unless it is 0; into the xxh algorithms as their own seed,
//! extended with its sign to 64 bits. All versions speak all algorithms; which one is used is negotiated from protocol 30 on, or chosen by the user.
//!
//! | | sums of blocks | sum of a whole file | sum in a list (`-c`) |
//! |---|---|---|---|
//! | `xxh128`, `xxh3`, `xxh64` | seeded | seed 0 | seed 0 |
//! | `md5`, `sha1` | seed, block | data | data |
//! | `md5` that is implied, from 30 on without the flag `CHKSUM_SEED_FIX` | block, seed | data | data |
//! | `md4` by name | block, seed | data | data |
//! | `md4` that is implied, below 30 | block, seed | seed (also if 0), data | data |
//! | `none` | there are none | a byte 0 | |
//!
//! Sums of blocks are cut to the length that a [`SumHead`](crate::delta::SumHead) names, the others travel whole, without a length. That of
//! a whole file covers every byte of it, in `--append` only those that were sent.

mod md5_lanes;
mod rolling;

pub use md5_lanes::{LANES, Md5Lanes};
pub use rolling::{Rolling, weak};

use core::hash::Hasher as _;

use md5::Digest as _;
use twox_hash::{XxHash3_64, XxHash3_128, XxHash64, xxhash3_64, xxhash3_128};

/// Algorithm. On the wire it is a name, in the lists of the negotiation; its digest has no mark of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ChecksumKind {
    /// `xxh128`, 16 bytes: a u128 LE.
    Xxh128,
    /// `xxh3`, 8 bytes: a u64 LE.
    Xxh3,
    /// `xxh64`, 8 bytes: a u64 LE.
    Xxh64,
    /// `md5`, 16 bytes.
    Md5,
    /// `md4`, 16 bytes.
    Md4,
    /// `sha1`, 20 bytes.
    Sha1,
    /// `none`, 1 byte, 0. Files are then sent as a whole.
    None,
}

impl ChecksumKind {
    /// All algorithms in the order of preference, as offered in the negotiation.
    pub const CANONICAL: [Self; 7] =
        [Self::Xxh128, Self::Xxh3, Self::Xxh64, Self::Md5, Self::Md4, Self::Sha1, Self::None];

    /// The name on the wire and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xxh128 => "xxh128",
            Self::Xxh3 => "xxh3",
            Self::Xxh64 => "xxh64",
            Self::Md5 => "md5",
            Self::Md4 => "md4",
            Self::Sha1 => "sha1",
            Self::None => "none",
        }
    }

    /// The algorithm of a name; upper and lower case are equal, `xxhash` is `xxh64`.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        if name.eq_ignore_ascii_case(b"xxhash") {
            return Some(Self::Xxh64);
        }
        Self::CANONICAL.into_iter().find(|kind| name.eq_ignore_ascii_case(kind.name().as_bytes()))
    }

    /// Length of a digest, bytes: 1, 8, 16 or 20.
    pub const fn digest_len(self) -> usize {
        match self {
            Self::Xxh128 | Self::Md5 | Self::Md4 => 16,
            Self::Xxh3 | Self::Xxh64 => 8,
            Self::Sha1 => 20,
            Self::None => 1,
        }
    }
}

/// Digest of up to 20 bytes, as it travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Digest {
    bytes: [u8; 20],
    len: u8,
}

impl Digest {
    /// Longest digest, bytes.
    pub const MAX_LEN: usize = 20;

    /// The bytes in wire order.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// A digest from its bytes; none if there are more than 20.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut digest = Self::zero(bytes.len());
        (bytes.len() <= Self::MAX_LEN).then(|| {
            digest.bytes[..bytes.len()].copy_from_slice(bytes);
            digest
        })
    }

    /// `len` zero bytes, at most 20.
    #[allow(clippy::cast_possible_truncation, reason = "at most 20")]
    pub fn zero(len: usize) -> Self {
        Self { bytes: [0; 20], len: len.min(Self::MAX_LEN) as u8 }
    }

    fn of(bytes: &[u8]) -> Self {
        let mut digest = Self::zero(bytes.len());
        digest.bytes[..bytes.len()].copy_from_slice(bytes);
        digest
    }
}

/// Low half first, each little-endian: the layout of `xxh128` on the wire is that of one 128-bit LE number.
fn xxh128_bytes(sum: u128) -> [u8; 16] {
    sum.to_le_bytes()
}

/// An unseeded algorithm at work.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
#[allow(clippy::large_enum_variant, reason = "boxes need an allocator")]
enum State {
    Xxh128(xxhash3_128::RawHasher<&'static [u8; xxhash3_128::DEFAULT_SECRET_LENGTH]>),
    Xxh3(xxhash3_64::RawHasher<&'static [u8; xxhash3_64::DEFAULT_SECRET_LENGTH]>),
    Xxh64(XxHash64),
    Md5(md5::Md5),
    Md4(md4::Md4),
    Sha1(sha1::Sha1),
    None,
}

impl Hasher {
    /// Starts with nothing hashed and seed 0.
    pub fn new(kind: ChecksumKind) -> Self {
        Self(match kind {
            ChecksumKind::Xxh128 => {
                State::Xxh128(xxhash3_128::RawHasher::new(xxhash3_128::SecretBuffer::default()))
            }
            ChecksumKind::Xxh3 => {
                State::Xxh3(xxhash3_64::RawHasher::new(xxhash3_64::SecretBuffer::default()))
            }
            ChecksumKind::Xxh64 => State::Xxh64(XxHash64::with_seed(0)),
            ChecksumKind::Md5 => State::Md5(md5::Md5::new()),
            ChecksumKind::Md4 => State::Md4(md4::Md4::new()),
            ChecksumKind::Sha1 => State::Sha1(sha1::Sha1::new()),
            ChecksumKind::None => State::None,
        })
    }

    /// Hashes more data.
    pub fn update(&mut self, data: &[u8]) {
        match &mut self.0 {
            State::Xxh128(h) => h.write(data),
            State::Xxh3(h) => h.write(data),
            State::Xxh64(h) => h.write(data),
            State::Md5(h) => h.update(data),
            State::Md4(h) => h.update(data),
            State::Sha1(h) => h.update(data),
            State::None => {}
        }
    }

    /// The digest in wire order; one zero byte for `none`.
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Xxh128(h) => Digest::of(&xxh128_bytes(h.finish_128())),
            State::Xxh3(h) => Digest::of(&h.finish().to_le_bytes()),
            State::Xxh64(h) => Digest::of(&h.finish().to_le_bytes()),
            State::Md5(h) => Digest::of(&h.finalize()),
            State::Md4(h) => Digest::of(&h.finalize()),
            State::Sha1(h) => Digest::of(&h.finalize()),
            State::None => Digest::zero(1),
        }
    }
}

/// Where the four bytes of the seed go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Variant {
    /// Before the block; whole-file sums are unseeded.
    Before,
    /// After the block; whole-file sums are unseeded.
    After,
    /// After the block, and before the data of a whole file even if the seed is 0.
    ImpliedMd4,
}

/// The checksums of one transfer: algorithm and seeding of block sums and whole-file sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TransferSums {
    kind: ChecksumKind,
    seed: i32,
    variant: Variant,
}

impl TransferSums {
    /// `seed` is the word that the server sent. `implied_md4`: protocol < 30 and the algorithm was neither
    /// negotiated nor chosen. `md5_seed_after`: md5 at protocol ≥ 30 was neither negotiated nor chosen and the
    /// server did not set `CF_CHKSUM_SEED_FIX`.
    pub fn new(kind: ChecksumKind, seed: i32, implied_md4: bool, md5_seed_after: bool) -> Self {
        let variant = match kind {
            ChecksumKind::Md4 if implied_md4 => Variant::ImpliedMd4,
            ChecksumKind::Md4 => Variant::After,
            ChecksumKind::Md5 if md5_seed_after => Variant::After,
            _ => Variant::Before,
        };
        Self { kind, seed, variant }
    }

    /// The algorithm.
    pub fn kind(&self) -> ChecksumKind {
        self.kind
    }

    /// Length of a whole-file sum and of an untruncated block sum, bytes.
    pub fn digest_len(&self) -> usize {
        self.kind.digest_len()
    }

    /// The strong sum of one block, seeded and in full length. `none` has no block sums: one zero byte.
    pub fn block(&self, data: &[u8]) -> Digest {
        let xxh_seed = i64::from(self.seed) as u64;
        match self.kind {
            ChecksumKind::Xxh128 => Digest::of(&xxh128_bytes(XxHash3_128::oneshot_with_seed(xxh_seed, data))),
            ChecksumKind::Xxh3 => Digest::of(&XxHash3_64::oneshot_with_seed(xxh_seed, data).to_le_bytes()),
            ChecksumKind::Xxh64 => Digest::of(&XxHash64::oneshot(xxh_seed, data).to_le_bytes()),
            ChecksumKind::Md5 => self.seeded::<md5::Md5>(data),
            ChecksumKind::Md4 => self.seeded::<md4::Md4>(data),
            ChecksumKind::Sha1 => self.seeded::<sha1::Sha1>(data),
            ChecksumKind::None => Digest::zero(1),
        }
    }

    /// The strong sums of equally long blocks, as [`Self::block`] makes them; of md5 all at once.
    pub fn blocks(&self, data: [&[u8]; LANES]) -> [Digest; LANES] {
        if !self.has_lanes() {
            return data.map(|block| self.block(block));
        }
        let seed = self.seed.to_le_bytes();
        let seed = if self.seed == 0 { &[][..] } else { &seed };
        match self.variant {
            Variant::Before => md5_lanes::equal_lengths(seed, data, &[]),
            Variant::After | Variant::ImpliedMd4 => md5_lanes::equal_lengths(&[], data, seed),
        }
    }

    /// [`Self::blocks`] takes much less time than as many calls of [`Self::block`].
    pub fn has_lanes(&self) -> bool {
        self.kind == ChecksumKind::Md5
    }

    fn seeded<D: md5::Digest>(&self, data: &[u8]) -> Digest {
        let seed = self.seed.to_le_bytes();
        let mut h = D::new();
        if self.seed != 0 && self.variant == Variant::Before {
            h.update(seed);
        }
        h.update(data);
        if self.seed != 0 && self.variant != Variant::Before {
            h.update(seed);
        }
        Digest::of(&h.finalize())
    }

    /// A hasher for the content of a whole file. Unseeded, except for the implied md4 of protocol < 30, which
    /// takes the four seed bytes first.
    pub fn file_hasher(&self) -> Hasher {
        let mut hasher = Hasher::new(self.kind);
        if self.variant == Variant::ImpliedMd4 {
            hasher.update(&self.seed.to_le_bytes());
        }
        hasher
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use alloc::{string::String, vec::Vec};

    use super::*;

    fn block_a() -> Vec<u8> {
        (0..700u32).map(|i| (7 * i + 3) as u8).collect()
    }
    fn block_b() -> Vec<u8> {
        (0..700u32).map(|i| (13 * i + 9) as u8).collect()
    }
    fn new_file() -> Vec<u8> {
        [&block_a()[..], b"HELLO", &block_b()].concat()
    }
    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| alloc::format!("{b:02x}")).collect()
    }
    fn file(sums: TransferSums) -> String {
        let mut h = sums.file_hasher();
        for piece in new_file().chunks(97) {
            h.update(piece);
        }
        hex(h.finish().as_bytes())
    }

    #[test]
    fn block_sums_are_seeded_as_observed() {
        use ChecksumKind::*;
        let table = [
            (Md5, 1, false, false, "f08c", "1876"),
            (Md5, 1, false, true, "27f3", "0fcf"),
            (Xxh128, 1, false, false, "5888", "46d8"),
            (Xxh3, 1, false, false, "5888", "46d8"),
            (Xxh64, 1, false, false, "0891", "7e3b"),
            (Sha1, 1, false, false, "4855", "2be0"),
            (Md4, 1, false, false, "bc16", "3318"),
            (Md4, 1, true, false, "bc16", "3318"),
            (Xxh64, -5, false, false, "5ba1", "0e56"),
            (Xxh128, -5, false, false, "27ce", "b293"),
            (Sha1, -5, false, false, "1068", "e3e5"),
            (Md4, -5, false, false, "530a", "c41e"),
        ];
        for (kind, seed, implied, after, a, b) in table {
            let sums = TransferSums::new(kind, seed, implied, after);
            assert_eq!(hex(&sums.block(&block_a()).as_bytes()[..2]), a, "{kind:?} {seed}");
            assert_eq!(hex(&sums.block(&block_b()).as_bytes()[..2]), b, "{kind:?} {seed}");
        }
    }

    #[test]
    fn blocks_at_once_have_the_sums_of_single_ones() {
        let data: Vec<u8> =
            (0..LANES as u32 * 1500).map(|i| (i.wrapping_mul(2_654_435_761) >> 9) as u8).collect();
        for kind in [ChecksumKind::Md5, ChecksumKind::Sha1] {
            for (seed, after) in [(0, false), (0x1234_5678, false), (0x1234_5678, true)] {
                let sums = TransferSums::new(kind, seed, false, after);
                for len in (0..140).chain([191, 192, 700, 1024, 1500]) {
                    let blocks = core::array::from_fn(|lane| &data[lane * len..][..len]);
                    assert_eq!(
                        sums.blocks(blocks),
                        blocks.map(|b| sums.block(b)),
                        "{kind:?} {seed} {after} {len}"
                    );
                }
            }
        }
    }

    #[test]
    fn whole_file_sums_are_unseeded_except_the_implied_md4() {
        let sums = |kind, implied| TransferSums::new(kind, 1, implied, false);
        assert_eq!(file(sums(ChecksumKind::Md5, false)), "a0c0f1e7b3fd8d2c067e4c26ca4e1bd7");
        assert_eq!(file(sums(ChecksumKind::Md4, true)), "510efecde70f6c2c40d9bac9a4110300");
        assert_eq!(file(sums(ChecksumKind::Md4, false))[..8], *"84dbd061");
        assert_eq!(file(sums(ChecksumKind::None, false)), "00");
    }

    #[test]
    fn streaming_and_one_shot_agree() {
        for kind in ChecksumKind::CANONICAL {
            let sums = TransferSums::new(kind, 0, false, false);
            assert_eq!(file(sums), hex(sums.block(&new_file()).as_bytes()), "{kind:?}");
            assert_eq!(sums.digest_len(), sums.block(b"").as_bytes().len());
        }
    }

    #[test]
    fn names_ignore_case_and_know_the_alias() {
        assert_eq!(ChecksumKind::from_name(b"XXHash"), Some(ChecksumKind::Xxh64));
        assert_eq!(ChecksumKind::from_name(b"Md5"), Some(ChecksumKind::Md5));
        assert_eq!(ChecksumKind::from_name(b"md6"), None);
        assert_eq!(ChecksumKind::from_name(b""), None);
    }

    #[test]
    fn digests_hold_at_most_twenty_bytes() {
        assert_eq!(Digest::from_slice(&[7; 20]).unwrap().as_bytes(), [7; 20]);
        assert_eq!(Digest::from_slice(&[7; 21]), None);
        assert_eq!(Digest::zero(3).as_bytes(), [0, 0, 0]);
    }
}
