//! How fast the codecs of core are, next to the simplest loop over the same bytes.
//!
//! `cargo bench -p arsync-core --features test-util,zlib,zstd,lz4 --bench codec`; one core, best of several rounds.

use core::convert::Infallible;
use std::{hint::black_box, time::Instant};

use arsync_core::{
    checksum::ChecksumKind,
    flist::{
        Format,
        decode::Decoder,
        encode::{Encoder, IdNames},
        entry::{FileList, NewEntry},
    },
    io::{NoMessages, WireReader, WireWriter},
    options::SessionOptions,
    rt::block_on_ready,
    setup::{Agreed, CompatFlags},
    token::{Token, TokenDecoder},
    version::ProtocolVersion,
    wire::varint::{decode_varint, encode_varint},
};

const ROUNDS: u32 = 7;
const ENTRIES: usize = 1_000_000;

struct NoNames;

impl IdNames for NoNames {
    fn user(&self, _: u32) -> Option<Vec<u8>> {
        None
    }
    fn group(&self, _: u32) -> Option<Vec<u8>> {
        None
    }
}

/// The shortest of several rounds, in seconds.
fn best(mut round: impl FnMut()) -> f64 {
    let time = |round: &mut dyn FnMut()| {
        let start = Instant::now();
        round();
        start.elapsed().as_secs_f64()
    };
    (0..ROUNDS).map(|_| time(&mut round)).fold(f64::INFINITY, f64::min)
}

/// What the loop costs that only adds the bytes up.
fn plain_loop(bytes: &[u8]) -> f64 {
    best(|| {
        black_box(black_box(bytes).iter().fold(0u64, |sum, &b| sum.wrapping_mul(31).wrapping_add(b.into())));
    })
}

fn row(what: &str, seconds: f64, units: usize, unit: &str, bytes: &[u8]) -> f64 {
    let rate = units as f64 / seconds / 1e6;
    let simple = plain_loop(bytes);
    println!(
        "| {what} | {rate:.1} million {unit}/s | {:.0} MB/s | {:.2} |",
        bytes.len() as f64 / seconds / 1e6,
        seconds / simple
    );
    rate
}

fn agreed() -> Agreed {
    Agreed {
        protocol: ProtocolVersion::MAX,
        flags: CompatFlags::VARINT_FLIST_FLAGS | CompatFlags::SAFE_FLIST,
        transfer_sum: ChecksumKind::Xxh128,
        list_sum: ChecksumKind::Xxh128,
        implied_sum: false,
        compress: None,
        seed: 1,
    }
}

/// Directories of a hundred files, as `-a` sends them.
fn tree() -> FileList {
    let mut list = FileList::new();
    for i in 0..ENTRIES {
        let name = format!("home/user/projects/dir{:05}/file_{:03}.txt", i / 100, i % 100);
        list.push(&NewEntry {
            name: name.as_bytes(),
            size: (i * 37 % 100_000) as u64,
            mtime: 1_700_000_000 + (i / 3) as i64,
            nsec: i as u32 % 1_000_000_000,
            mode: 0o100_644,
            uid: 1000,
            gid: 1000,
            ..NewEntry::default()
        });
    }
    list
}

fn main() {
    let mut options = SessionOptions::default();
    let p = &mut options.preserve;
    (p.links, p.times, p.perms, p.owner, p.group, p.devices, p.specials) =
        (true, true, true, true, true, true, true);
    let format = Format::new(&options, &agreed());

    println!("| codec | rate | bytes | time, the simplest loop over the bytes being 1 |\n|---|---|---|---|");
    let list = tree();
    let encode = || {
        let mut out = Vec::with_capacity(48 << 20);
        let mut encoder = Encoder::new(format);
        for i in 0..list.len() {
            encoder.entry(list.get(i).expect("an entry"), i as i32, 0, &NoNames, &mut out);
        }
        out
    };
    let mut bytes = encode();
    row("file list, encode", best(|| drop(black_box(encode()))), ENTRIES, "entries", &bytes);
    bytes.extend_from_slice(&[0, 0]);
    let decode = || {
        let mut reader = WireReader::new(bytes.as_slice(), NoMessages);
        let mut decoder = Decoder::new(format, true);
        let (list, _) = block_on_ready(decoder.list(&mut reader, 0)).expect("a list");
        assert_eq!(list.len(), ENTRIES);
        list
    };
    let rate = row("file list, decode", best(|| drop(black_box(decode()))), ENTRIES, "entries", &bytes);

    let mut framed = Vec::new();
    let mut writer = WireWriter::new(&mut framed, vec![0; 64 << 10]);
    writer.start_framing();
    block_on_ready(async { writer.bytes(&bytes).await.and(writer.flush().await) }).expect("memory takes it");
    let demux = best(|| {
        let mut reader = WireReader::new(framed.as_slice(), NoMessages);
        reader.start_framing();
        block_on_ready(reader.drain()).expect("frames");
    });
    row("frames, taken off", demux, framed.len() >> 16, "frames of 64 KiB", &framed);

    let mut numbers = Vec::new();
    for i in 0..4_000_000u32 {
        numbers
            .extend_from_slice(encode_varint((i.wrapping_mul(2_654_435_761) >> (i % 32)) as i32).as_slice());
    }
    let varints = best(|| {
        let mut rest = numbers.as_slice();
        let mut sum = 0i32;
        while let Ok(Some((value, used))) = decode_varint(rest) {
            sum = sum.wrapping_add(value);
            rest = &rest[used..];
        }
        black_box(sum);
    });
    row("varints, decode", varints, 4_000_000, "numbers", &numbers);
    let async_varints = best(|| {
        let mut reader = WireReader::new(numbers.as_slice(), NoMessages);
        let sum = block_on_ready(async {
            let mut sum = 0i32;
            for _ in 0..4_000_000 {
                sum = sum.wrapping_add(reader.varint().await?);
            }
            Ok::<_, arsync_core::error::Error<Infallible>>(sum)
        });
        black_box(sum.expect("numbers"));
    });
    row("varints, through a reader", async_varints, 4_000_000, "numbers", &numbers);

    let mut stream = Vec::new();
    for i in 0..200_000i32 {
        stream.extend_from_slice(&300i32.to_le_bytes());
        stream.extend_from_slice(&[i as u8; 300]);
        stream.extend_from_slice(&(-1 - i % 1000).to_le_bytes());
    }
    stream.extend_from_slice(&[0; 4]);
    let tokens = best(|| {
        let mut decoder = TokenDecoder::new(None, None, ProtocolVersion::MAX).expect("no compressor");
        decoder.start_file(1000);
        let (mut rest, mut literals) = (stream.as_slice(), 0);
        loop {
            let (used, token) = decoder.decode(rest).expect("tokens");
            match token {
                Token::End | Token::NeedInput => break,
                Token::Literal(data) => literals += data.len(),
                Token::Blocks { .. } => {}
            }
            rest = &rest[used..];
        }
        assert_eq!(literals, 200_000 * 300);
    });
    row("tokens, plain", tokens, 400_000, "tokens", &stream);

    // The bar of the project; a slow machine is told by its name, not by a failure.
    if rate < 3.0 {
        println!("file list, decode: below 3 million entries per second");
    }
}
