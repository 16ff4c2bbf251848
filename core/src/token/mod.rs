//! The token stream: literal data and block references of one file after the other (spec: token stream).
//!
//! [`TokenEncoder`] appends to a buffer, [`TokenDecoder`] takes the stream in pieces of any size. Both keep the
//! compressor of the session and must not be made anew for each file.
//!
//! Behind the end of each file comes its whole-file sum ([`crate::checksum`]), as many bytes as the digest has. Form and codes are the same in
//! all versions, but for the history of `zlib`: of a block of more than 65535 bytes, below protocol 31 every piece that enters it is
//! one from the start of the block.
//!
//! Without a compressor, and with `zlib` or `zlibx` at level 0, each token is an i32 LE: *n* > 0: *n* bytes of literal data follow (at most 32 KiB are
//! sent, any length is taken); *n* < 0: block `-n - 1`; 0: the end of the file. With one:
//!
//! | first byte | what follows | |
//! |---|---|---|
//! | `00` | | end of the file |
//! | `20` | i32 LE | this block |
//! | `21` | i32 LE, u16 LE *k* | this block and the *k* behind it |
//! | `40` to `7f` | 1 byte, then data | compressed literal data; 14 bits of length, high bits first |
//! | `80` to `bf` | | the last block of the file's last record (at first 0) plus the low 6 bits |
//! | `c0` to `ff` | u16 LE *k* | the same, and the *k* blocks behind it |
//!
//! A block that the basis does not have is [`BadBlock`](crate::error::ProtocolError::BadBlock); with a compressor, a number that is none, another
//! first byte and a *k* of 0 are [`BadToken`](crate::error::ProtocolError::BadToken); an empty record, one that does not decompress
//! and one that is not flushed are [`Inflate`](crate::error::ProtocolError::Inflate).
//!
//! | | the data of all records together | matched blocks | at a new file |
//! |---|---|---|---|
//! | `zlib` | raw deflate, flushed before each block; the last four bytes of a flush, `00 00 ff ff`, are not sent | enter the history | starts anew |
//! | `zlibx` | as `zlib` | do not | starts anew |
//! | `zstd` | one frame for the session, never ended, flushed before each block | do not | goes on |
//! | `lz4` | a block of its own in each record, of at most 32 KiB of data | do not | |
//!
#![cfg_attr(
    feature = "alloc",
    doc = r#"
```
use arsync_core::{token::{Token, TokenDecoder, TokenEncoder}, version::ProtocolVersion};

let mut encoder = TokenEncoder::new(None, None, ProtocolVersion::MAX)?;
let mut bytes = Vec::new();
encoder.start_file();
encoder.literal(b"new", &mut bytes);
encoder.block(1, b"the block", &mut bytes);
encoder.end(&mut bytes);
assert_eq!(bytes, [3, 0, 0, 0, b'n', b'e', b'w', 0xfe, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

let mut decoder = TokenDecoder::new(None, None, ProtocolVersion::MAX)?;
decoder.start_file(2); // the basis has two blocks
let (used, token) = decoder.decode(&bytes)?;
assert_eq!(token, Token::Literal(b"new"));
let (_, token) = decoder.decode(&bytes[used..])?;
assert_eq!(token, Token::Blocks { first: 1, count: 1 });
# Ok::<(), arsync_core::error::ProtocolError>(())
```
"#
)]

#[cfg(feature = "alloc")]
mod decode;
#[cfg(feature = "alloc")]
mod encode;
#[cfg(feature = "zlib")]
mod history;

#[cfg(feature = "alloc")]
pub use decode::{Token, TokenDecoder};
#[cfg(feature = "alloc")]
pub use encode::TokenEncoder;

/// Ends the data of a file.
#[cfg(feature = "alloc")]
const END_FLAG: u8 = 0;
/// An i32 LE block number follows.
#[cfg(feature = "alloc")]
const TOKEN_LONG: u8 = 0x20;
/// An i32 LE block number and a u16 LE count of further blocks follow.
#[cfg(feature = "alloc")]
const TOKENRUN_LONG: u8 = 0x21;
/// The low 6 bits and the next byte are the length of the compressed bytes that follow.
#[cfg(feature = "alloc")]
const DEFLATED_DATA: u8 = 0x40;
/// The low 6 bits are added to the last block number.
#[cfg(feature = "alloc")]
const TOKEN_REL: u8 = 0x80;
/// As [`TOKEN_REL`], and a u16 LE count of further blocks follows.
#[cfg(feature = "alloc")]
const TOKENRUN_REL: u8 = 0xc0;
/// The end of each sync flush of deflate, which is not sent.
#[cfg(feature = "zlib")]
const SYNC_TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Compressor. On the wire it is a name, in the lists of the negotiation; without one (below protocol 30, or an old peer) it is
/// `zlib`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CompressKind {
    /// `zstd`
    Zstd,
    /// `lz4`
    Lz4,
    /// `zlibx`
    Zlibx,
    /// `zlib`
    Zlib,
    /// `none`
    None,
}

impl CompressKind {
    /// The compressors of this build in the order of preference, as offered in the negotiation.
    pub const CANONICAL: &'static [Self] = &[
        #[cfg(feature = "zstd")]
        Self::Zstd,
        #[cfg(feature = "lz4")]
        Self::Lz4,
        #[cfg(feature = "zlib")]
        Self::Zlibx,
        #[cfg(feature = "zlib")]
        Self::Zlib,
        Self::None,
    ];

    /// The name on the wire and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
            Self::Zlibx => "zlibx",
            Self::Zlib => "zlib",
            Self::None => "none",
        }
    }

    /// The compressor of a name, if this build has it; upper and lower case are equal.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::CANONICAL.iter().copied().find(|kind| name.eq_ignore_ascii_case(kind.name().as_bytes()))
    }

    /// True if the stream has the form without compression: level 0 switches `zlib` and `zlibx` off.
    #[cfg(feature = "alloc")]
    fn is_plain(self, level: Option<i32>) -> bool {
        match self {
            Self::None => true,
            Self::Zlib | Self::Zlibx => level == Some(0),
            Self::Zstd | Self::Lz4 => false,
        }
    }
}

#[cfg(all(test, feature = "zlib", feature = "zstd", feature = "lz4"))]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::{error::ProtocolError, version::ProtocolVersion};

    const KINDS: [Option<CompressKind>; 6] = [
        None,
        Some(CompressKind::None),
        Some(CompressKind::Zlib),
        Some(CompressKind::Zlibx),
        Some(CompressKind::Zstd),
        Some(CompressKind::Lz4),
    ];

    /// What happens to a file, in order.
    #[derive(Debug, Clone)]
    enum Item {
        Literal(Vec<u8>),
        Block(u32),
    }

    fn basis(block_len: usize, blocks: u32) -> Vec<Vec<u8>> {
        let mut x = 1u32;
        (0..blocks)
            .map(|_| {
                (0..block_len)
                    .map(|_| {
                        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        (x >> 24) as u8
                    })
                    .collect()
            })
            .collect()
    }

    fn encode(encoder: &mut TokenEncoder, file: &[Item], blocks: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        encoder.start_file();
        for item in file {
            match item {
                Item::Literal(data) => encoder.literal(data, &mut out),
                Item::Block(n) => encoder.block(*n, &blocks[*n as usize], &mut out),
            }
        }
        encoder.end(&mut out);
        out
    }

    fn decode(
        decoder: &mut TokenDecoder,
        stream: &[u8],
        blocks: &[Vec<u8>],
        chunk: usize,
    ) -> Result<Vec<u8>, ProtocolError> {
        let mut out = Vec::new();
        decoder.start_file(blocks.len() as u32);
        let mut chunks = stream.chunks(chunk);
        let mut input = chunks.next().unwrap_or_default();
        loop {
            let (used, token) = decoder.decode(input)?;
            let mut matched = None;
            match token {
                Token::Literal(data) => {
                    assert!(!data.is_empty());
                    out.extend_from_slice(data);
                }
                Token::Blocks { first, count } => matched = Some(first..first + count),
                Token::NeedInput => {
                    assert_eq!(used, input.len());
                    input = chunks.next().expect("the stream has an end");
                    continue;
                }
                Token::End => {
                    assert_eq!((used, chunks.next()), (input.len(), None));
                    return Ok(out);
                }
            }
            input = &input[used..];
            for n in matched.into_iter().flatten() {
                out.extend_from_slice(&blocks[n as usize]);
                decoder.matched(&blocks[n as usize]);
            }
        }
    }

    fn expected(file: &[Item], blocks: &[Vec<u8>]) -> Vec<u8> {
        file.iter()
            .flat_map(|item| match item {
                Item::Literal(data) => data.clone(),
                Item::Block(n) => blocks[*n as usize].clone(),
            })
            .collect()
    }

    fn round_trip(files: &[Vec<Item>], blocks: &[Vec<u8>], chunk: usize, version: ProtocolVersion) {
        for kind in KINDS {
            for level in [None, Some(0), Some(1), Some(9)] {
                let mut encoder = TokenEncoder::new(kind, level, version).unwrap();
                let mut decoder = TokenDecoder::new(kind, level, version).unwrap();
                for file in files {
                    let stream = encode(&mut encoder, file, blocks);
                    let got = decode(&mut decoder, &stream, blocks, chunk).unwrap();
                    assert!(got == expected(file, blocks), "{kind:?} level {level:?} chunk {chunk}");
                }
            }
        }
    }

    #[test]
    fn every_codec_carries_every_kind_of_file() {
        let blocks = basis(700, 8);
        let text: Vec<u8> = b"All good people are equal; ".iter().copied().cycle().take(150_000).collect();
        let noise = basis(100_000, 1).remove(0);
        let copy = blocks[2][100..600].to_vec();
        let files = [
            std::vec![],
            std::vec![Item::Literal(text.clone()), Item::Block(0), Item::Block(1), Item::Literal(copy)],
            std::vec![Item::Block(7), Item::Block(7), Item::Literal(noise), Item::Block(0)],
            std::vec![Item::Literal(text), Item::Literal(b"tail".to_vec())],
            std::vec![Item::Literal(b"tail".to_vec())],
        ];
        for chunk in [1, 13, 70_000] {
            round_trip(&files, &blocks, chunk, ProtocolVersion::MAX);
        }
    }

    #[test]
    fn history_of_big_blocks_depends_on_the_protocol() {
        let blocks = basis(100_000, 2);
        let at = |from: usize| Item::Literal(blocks[0][from..from + 5000].to_vec());
        for number in [27, 30, 31] {
            let version = ProtocolVersion::new(number).unwrap();
            let files = [std::vec![Item::Block(0), at(20_000), at(70_000), Item::Block(1), at(95_000)]];
            round_trip(&files, &blocks, 1000, version);
            let size = |from| {
                let mut encoder = TokenEncoder::new(Some(CompressKind::Zlib), None, version).unwrap();
                encode(&mut encoder, &[Item::Block(0), at(from)], &blocks).len()
            };
            assert_eq!(size(70_000) < 100, number >= 31);
            assert_eq!(size(20_000) < 100, number < 31);
        }
    }

    #[test]
    fn records_are_never_empty_and_never_too_long() {
        let blocks = basis(10, 1);
        let noise = basis(200_000, 1).remove(0);
        for kind in &KINDS[2..] {
            let mut encoder = TokenEncoder::new(*kind, None, ProtocolVersion::MAX).unwrap();
            for len in [1, 16_370, 16_383, 16_384, 32_768, 200_000] {
                let file = [Item::Literal(noise[..len].to_vec()), Item::Literal(std::vec![]), Item::Block(0)];
                let stream = encode(&mut encoder, &file, &blocks);
                let mut at = 0;
                while stream[at] & 0xc0 == 0x40 {
                    let size = usize::from(stream[at] & 0x3f) << 8 | usize::from(stream[at + 1]);
                    assert!(size > 0);
                    at += 2 + size;
                }
                assert_eq!(stream[at..], [0x80, 0]);
            }
        }
    }

    #[test]
    fn token_forms_are_those_observed() {
        let blocks = basis(1, 200);
        let order = [100, 10].into_iter().chain(150..170).chain([199, 199, 0]);
        let file: Vec<Item> = order.map(Item::Block).collect();
        let mut encoder = TokenEncoder::new(Some(CompressKind::Zlibx), None, ProtocolVersion::MAX).unwrap();
        let stream = encode(&mut encoder, &file, &blocks);
        assert_eq!(
            stream,
            [
                0x20, 100, 0, 0, 0, 0x20, 10, 0, 0, 0, 0x21, 0x96, 0, 0, 0, 0x13, 0, 0x9e, 0x80, 0x20, 0, 0,
                0, 0, 0
            ]
        );
    }

    #[test]
    fn the_plain_form_is_that_of_the_worked_example() {
        let blocks = basis(700, 2);
        let mut encoder = TokenEncoder::new(None, None, ProtocolVersion::MAX).unwrap();
        let file = [Item::Block(0), Item::Literal(b"HELLO".to_vec()), Item::Block(1)];
        assert_eq!(
            encode(&mut encoder, &file, &blocks),
            *b"\xff\xff\xff\xff\x05\0\0\0HELLO\xfe\xff\xff\xff\0\0\0\0"
        );
        let long = [Item::Literal(std::vec![7; 32_769])];
        let stream = encode(&mut encoder, &long, &blocks);
        assert_eq!(stream[..4], [0, 0x80, 0, 0]);
        assert_eq!(stream[4 + 32_768..], [1, 0, 0, 0, 7, 0, 0, 0, 0]);
    }

    #[test]
    fn observed_streams_decode() {
        let blocks = basis(700, 8);
        let tail = |at: &str| [at.as_bytes(), &blocks[5], &blocks[7], b"tail"].concat();
        let run = [&blocks[0][..], &blocks[1], &blocks[2]].concat();
        let zlib =
            b"\xc0\x02\x00\x40\x07\x4a\x4c\x4a\x46\x46\x00\x00\x83\x82\x40\x06\x2a\x49\xcc\xcc\x01\x00\x00";
        let lz4 = b"\xc0\x02\x00\x40\x0c\x33abc\x03\x00\x50bcabc\x83\x82\x40\x05\x40tail\x00";
        for (kind, stream) in
            [(CompressKind::Zlib, &zlib[..]), (CompressKind::Zlibx, zlib), (CompressKind::Lz4, lz4)]
        {
            for chunk in [1, 100] {
                let mut decoder = TokenDecoder::new(Some(kind), None, ProtocolVersion::MAX).unwrap();
                let got = decode(&mut decoder, stream, &blocks, chunk).unwrap();
                assert!(got == [&run[..], &tail("abcabcabcabcabc")].concat(), "{kind:?} {chunk}");
            }
        }
    }

    fn failure(kind: Option<CompressKind>, stream: &[u8]) -> ProtocolError {
        let blocks = basis(4, 8);
        let mut decoder = TokenDecoder::new(kind, None, ProtocolVersion::MAX).unwrap();
        decode(&mut decoder, stream, &blocks, 1).unwrap_err()
    }

    #[test]
    fn hostile_streams_are_refused() {
        let z = Some(CompressKind::Zlibx);
        assert_eq!(failure(None, b"\xf7\xff\xff\xff"), ProtocolError::BadBlock { got: 8, count: 8 });
        assert_eq!(failure(None, b"\0\0\0\x80"), ProtocolError::BadBlock { got: 0x7fff_ffff, count: 8 });
        for bad in [
            &b"\x88"[..],    // block 8 of 8
            b"\x87\x81",     // 7 + 1
            b"\xc7\x01\x00", // 7 and one more
        ] {
            assert_eq!(failure(z, bad), ProtocolError::BadBlock { got: 8, count: 8 }, "{bad:x?}");
        }
        for bad in [
            &b"\xc0\x00\x00"[..],          // an empty run
            b"\x20\xff\xff\xff\xff",       // negative
            b"\x20\xff\xff\xff\x7f",       // the largest number
            b"\x21\xff\xff\xff\x7f\x01\0", // past it
            b"\x22\0\0\0\0",               // no such flag
        ] {
            assert_eq!(failure(z, bad), ProtocolError::BadToken, "{bad:x?}");
        }
        let inflate = |kind, stream| matches!(failure(kind, stream), ProtocolError::Inflate { .. });
        assert!(inflate(z, b"\x40\x00"));
        assert!(inflate(z, b"\x40\x01\xff\x80"));
        assert!(inflate(z, b"\x40\x02\x03\x00\x80")); // a final block
        assert!(inflate(z, b"\x40\x04\x4b\x4c\x4a\x06\x80")); // not flushed
        assert!(inflate(Some(CompressKind::Lz4), b"\x40\x00"));
        assert!(inflate(Some(CompressKind::Lz4), b"\x40\x01\x10"));
        assert!(inflate(Some(CompressKind::Zstd), b"\x40\x08\0\0\0\0\0\0\0\0"));
    }

    #[test]
    fn levels_are_clamped_and_unknown_kinds_have_no_name() {
        let blocks = basis(1, 1);
        let file = [Item::Literal(b"aaaaaaaaaaaaaaaa".to_vec())];
        for level in [i32::MIN, -1, 100, i32::MAX] {
            round_trip(core::slice::from_ref(&file.to_vec()), &blocks, 5, ProtocolVersion::MAX);
            for kind in KINDS {
                let mut encoder = TokenEncoder::new(kind, Some(level), ProtocolVersion::MAX).unwrap();
                assert_eq!(encoder.is_plain(), matches!(kind, None | Some(CompressKind::None)));
                encode(&mut encoder, &file, &blocks);
            }
        }
        assert_eq!(CompressKind::from_name(b"ZSTD"), Some(CompressKind::Zstd));
        assert_eq!(CompressKind::from_name(b"bzip2"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_mix_and_any_chunking_round_trips(
            shape in prop::collection::vec((0u32..8, 0usize..3000, any::<bool>()), 0..40),
            chunk in 1usize..400,
        ) {
            let blocks = basis(500, 8);
            let pool = basis(4000, 1).remove(0);
            let file: Vec<Item> = shape
                .iter()
                .map(|&(n, len, literal)| if literal { Item::Literal(pool[n as usize * 100..][..len].to_vec()) } else { Item::Block(n) })
                .collect();
            round_trip(&[file.clone(), file], &blocks, chunk, ProtocolVersion::MAX);
        }
    }
}
