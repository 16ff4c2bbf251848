//! The negative vectors: bytes with one fault each, and the exit code that they must end with.

use core::convert::Infallible;
use std::{collections::BTreeMap, fs, path::Path};

use arsync_core::{
    delta::SumHead,
    error::Error,
    flist::{Format, decode::Decoder},
    io::{WireReader, WireWriter},
    options::SessionOptions,
    rt::block_on_ready,
    session::goodbye::ItemHeader,
    setup::{Agreed, Capabilities, CompatFlags, Handshake, Side, exchange},
    token::{CompressKind, Token, TokenDecoder},
    version::ProtocolVersion,
};

use crate::decode::{Log, Pieces};

type Verdict = Result<(), Error<Infallible>>;

fn list(protocol: ProtocolVersion, bytes: &[u8], piece: usize) -> Verdict {
    let mut options = SessionOptions::default();
    (options.preserve.links, options.preserve.hard_links) = (true, 1);
    let flags = if protocol.has_varints() { CompatFlags::VARINT_FLIST_FLAGS } else { CompatFlags::empty() };
    let format = Format::new(&options, &Agreed::implied(protocol, flags, 1));
    let mut r = WireReader::new(Pieces::new(bytes, piece), Log::default());
    block_on_ready(Decoder::new(format, true).list(&mut r, 0)).map(drop)
}

fn handshake(bytes: &[u8], piece: usize) -> Verdict {
    let offer = Handshake::new(Side::Client, ProtocolVersion::MAX, Capabilities::VARINT_FLIST_FLAGS);
    let mut out = Vec::new();
    let mut writer = WireWriter::new(&mut out, [0u8; 256]);
    let mut r = WireReader::new(Pieces::new(bytes, piece), Log::default());
    block_on_ready(exchange(&mut r, &mut writer, &offer)).map(drop)
}

/// Reads one file's tokens; more input is asked for where the bytes end.
fn tokens(kind: Option<CompressKind>, protocol: ProtocolVersion, bytes: &[u8], piece: usize) -> Verdict {
    let mut decoder = TokenDecoder::new(kind, None, protocol)?;
    decoder.start_file(3);
    let mut rest = bytes;
    loop {
        let (used, token) = decoder.decode(&rest[..rest.len().min(piece)])?;
        let more = matches!(token, Token::NeedInput);
        if matches!(token, Token::End) {
            return Ok(());
        }
        rest = &rest[used..];
        if more && rest.is_empty() {
            return Err(Error::Eof);
        }
    }
}

fn read(decoder: &str, protocol: ProtocolVersion, bytes: &[u8], piece: usize) -> Verdict {
    let mut r = WireReader::new(Pieces::new(bytes, piece), Log::default());
    match decoder {
        "handshake" => handshake(bytes, piece),
        "frames" => {
            r.start_framing();
            block_on_ready(r.u8()).map(drop)
        }
        "list" => list(protocol, bytes, piece),
        "item" => block_on_ready(ItemHeader::read(&mut r, protocol)).map(drop),
        "sum-head" => {
            SumHead::decode(bytes.try_into().expect("16 bytes"), protocol, 16)?;
            Ok(())
        }
        "tokens" => tokens(None, protocol, bytes, piece),
        "tokens-zlib" => tokens(Some(CompressKind::Zlib), protocol, bytes, piece),
        other => panic!("no decoder {other}"),
    }
}

#[test]
fn each_vector_is_refused_with_its_code() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/negative");
    let mut files: Vec<_> = fs::read_dir(dir).expect("vectors").map(|f| f.expect("file").path()).collect();
    files.sort();
    assert_eq!(files.len(), 39);
    for file in files {
        let text = fs::read_to_string(&file).expect("text");
        let (head, hex) = text.split_once("\n\n").expect("an empty line");
        let keys: BTreeMap<&str, &str> = head.lines().filter_map(|l| l.split_once(": ")).collect();
        let byte = |b: &str| u8::from_str_radix(b, 16).expect("hex");
        let bytes: Vec<u8> = hex.split_whitespace().map(byte).collect();
        let protocol = keys["protocol"].parse().ok().and_then(ProtocolVersion::new).expect("a version");
        for piece in [1, 3, usize::MAX] {
            let fault = read(keys["decoder"], protocol, &bytes, piece);
            let fault = fault.expect_err(&format!("{} is taken", file.display()));
            let code = keys["exit"].parse::<u8>().expect("a code");
            assert_eq!(fault.exit_code().0, code, "{}: {fault:?}", file.display());
            if let Some(error) = keys.get("error") {
                assert!(fault.to_string().contains(error), "{}: {fault}", file.display());
            }
        }
    }
}
