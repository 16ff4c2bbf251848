//! Bytes to literals and block references (receiver side).

#![allow(
    clippy::cast_possible_truncation,
    reason = "counts are compared with what is left, or with the number of blocks, before"
)]

use alloc::vec::Vec;

use super::{CompressKind, DEFLATED_DATA, END_FLAG, TOKEN_LONG, TOKEN_REL, TOKENRUN_LONG};
#[cfg(feature = "zlib")]
use super::{SYNC_TAIL, history::History};
use crate::{error::ProtocolError, version::ProtocolVersion};

/// What comes next in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Token<'a> {
    /// All input was taken and more is needed.
    NeedInput,
    /// Bytes of the file, never empty; where they are cut means nothing.
    Literal(&'a [u8]),
    /// `count` consecutive blocks of the basis, at least 1, all inside it.
    Blocks {
        /// The first block.
        first: u32,
        /// How many.
        count: u32,
    },
    /// The file is complete; its whole-file checksum follows in the stream.
    End,
}

/// Reads the token streams of a session, one file after the other.
pub struct TokenDecoder {
    codec: Codec,
    blocks: u32,
    /// Last block number of this file, 0 at its start.
    previous: i64,
    state: State,
    /// The beginning of a record that is cut by the end of the input.
    head: [u8; 7],
    head_len: usize,
    /// One compressed record.
    record: Vec<u8>,
    /// Decompressed data.
    output: Vec<u8>,
}

#[derive(Clone, Copy)]
enum State {
    Head,
    /// So many bytes of a plain literal are still to come.
    Literal(u32),
    /// So many bytes of a record are still to come.
    Record(usize),
    /// The record is complete; decompression is at this byte of it.
    Inflate(usize),
}

#[allow(clippy::large_enum_variant, reason = "one per session")]
enum Codec {
    Plain,
    #[cfg(feature = "zlib")]
    Zlib {
        inflate: zlib_rs::Inflate,
        /// Data came since the last sync flush, whose tail must be made up.
        unflushed: bool,
        /// Only `zlib`, not `zlibx`.
        history: Option<History>,
    },
    #[cfg(feature = "zstd")]
    Zstd(zstd_safe::DCtx<'static>),
    #[cfg(feature = "lz4")]
    Lz4,
}

/// The tail of a sync flush and an empty stored block.
#[cfg(feature = "zlib")]
const TAIL_AND_BLOCK: [u8; 9] = {
    let [a, b, c, d] = SYNC_TAIL;
    [a, b, c, d, 0, a, b, c, d]
};

/// What was found, with ranges instead of slices.
enum Found {
    NeedInput,
    /// So many bytes of the input in front of its consumed end.
    Plain(usize),
    /// So many bytes of the output buffer.
    Inflated(usize),
    Blocks(u32, u32),
    End,
}

impl TokenDecoder {
    /// `level` is that of the sender: at 0, `zlib` and `zlibx` are off. Fails if this build lacks the compressor.
    pub fn new(
        kind: Option<CompressKind>,
        level: Option<i32>,
        version: ProtocolVersion,
    ) -> Result<Self, ProtocolError> {
        let kind = kind.unwrap_or(CompressKind::None);
        let (codec, output) = match kind {
            _ if kind.is_plain(level) => (Codec::Plain, 0),
            #[cfg(feature = "zlib")]
            CompressKind::Zlib | CompressKind::Zlibx => {
                let history =
                    (kind == CompressKind::Zlib).then(|| History::new(version.zlib_history_advances()));
                let inflate = zlib_rs::Inflate::new(false, 15);
                (Codec::Zlib { inflate, unflushed: false, history }, 32 << 10)
            }
            #[cfg(feature = "zstd")]
            CompressKind::Zstd => (Codec::Zstd(zstd_safe::DCtx::create()), zstd_safe::DCtx::out_size()),
            // What a block of 32768 bytes can become, which is more than any sender puts in one.
            #[cfg(feature = "lz4")]
            CompressKind::Lz4 => (Codec::Lz4, 32_768 + 32_768 / 255 + 16),
            #[allow(unreachable_patterns, reason = "reached without the features")]
            _ => return Err(ProtocolError::UnknownAlgorithm { what: "compress" }),
        };
        let _ = version;
        Ok(Self {
            codec,
            blocks: 0,
            previous: 0,
            state: State::Head,
            head: [0; 7],
            head_len: 0,
            record: Vec::new(),
            output: alloc::vec![0; output],
        })
    }

    /// Begins the next file, whose basis has `block_count` blocks.
    pub fn start_file(&mut self, block_count: u32) {
        self.blocks = block_count;
        self.previous = 0;
        self.state = State::Head;
        self.head_len = 0;
        #[cfg(feature = "zlib")]
        if let Codec::Zlib { inflate, unflushed, history } = &mut self.codec {
            inflate.reset(false);
            *unflushed = false;
            if let Some(history) = history {
                history.clear();
            }
        }
    }

    /// Gives the next token and how many bytes of `input` it used. To be called until [`Token::NeedInput`], which
    /// uses all of it, or [`Token::End`]; a token may come although no input is left. Behind an error the decoder is of no more
    /// use: see [`crate::token`] for which there are.
    pub fn decode<'a>(&'a mut self, input: &'a [u8]) -> Result<(usize, Token<'a>), ProtocolError> {
        let mut used = 0;
        let found = loop {
            if let Some(found) = self.step(input, &mut used)? {
                break found;
            }
        };
        let token = match found {
            Found::NeedInput => Token::NeedInput,
            Found::Plain(len) => Token::Literal(&input[used - len..used]),
            Found::Inflated(len) => Token::Literal(&self.output[..len]),
            Found::Blocks(first, count) => Token::Blocks { first, count },
            Found::End => Token::End,
        };
        Ok((used, token))
    }

    /// Tells the content of a block that was referred to: one call for each block, with all of it, before the next
    /// [`Self::decode`]. Needed if [`Self::wants_matched`].
    pub fn matched(&mut self, block: &[u8]) {
        #[cfg(feature = "zlib")]
        if let Codec::Zlib { history: Some(history), .. } = &mut self.codec {
            history.push(block);
        }
        let _ = block;
    }

    /// True if [`Self::matched`] has an effect (`zlib` only).
    pub fn wants_matched(&self) -> bool {
        #[cfg(feature = "zlib")]
        if let Codec::Zlib { history: Some(_), .. } = &self.codec {
            return true;
        }
        false
    }

    fn step(&mut self, input: &[u8], used: &mut usize) -> Result<Option<Found>, ProtocolError> {
        let rest = &input[*used..];
        match self.state {
            State::Literal(left) => {
                let len = rest.len().min(left as usize);
                if len == 0 {
                    return Ok(Some(Found::NeedInput));
                }
                *used += len;
                let left = left - len as u32;
                self.state = if left == 0 { State::Head } else { State::Literal(left) };
                Ok(Some(Found::Plain(len)))
            }
            State::Record(left) => {
                let len = rest.len().min(left);
                if len == 0 {
                    return Ok(Some(Found::NeedInput));
                }
                *used += len;
                self.record.extend_from_slice(&rest[..len]);
                self.state = if len == left { State::Inflate(0) } else { State::Record(left - len) };
                Ok(None)
            }
            State::Inflate(at) => {
                let (at, produced, done) = self.inflate(at)?;
                self.state = if done { State::Head } else { State::Inflate(at) };
                Ok((produced != 0).then_some(Found::Inflated(produced)))
            }
            State::Head => {
                let mut needed = 1;
                loop {
                    if self.head_len >= needed {
                        let full = self.head_size();
                        if self.head_len == full {
                            break;
                        }
                        needed = full;
                    }
                    let rest = &input[*used..];
                    let len = rest.len().min(needed - self.head_len);
                    if len == 0 {
                        return Ok(Some(Found::NeedInput));
                    }
                    self.head[self.head_len..][..len].copy_from_slice(&rest[..len]);
                    self.head_len += len;
                    *used += len;
                }
                self.head_len = 0;
                if matches!(self.codec, Codec::Plain) {
                    return self.plain_token(input, used);
                }
                self.compressed_token()
            }
        }
    }

    /// Length of the head that starts with the first byte in `head`.
    fn head_size(&self) -> usize {
        if matches!(self.codec, Codec::Plain) {
            return 4;
        }
        match self.head[0] {
            0xc0..=0xff => 3,
            TOKEN_REL..=0xbf => 1,
            DEFLATED_DATA..=0x7f => 2,
            TOKENRUN_LONG => 7,
            TOKEN_LONG => 5,
            _ => 1,
        }
    }

    fn plain_token(&mut self, input: &[u8], used: &mut usize) -> Result<Option<Found>, ProtocolError> {
        let word = |b: &[u8]| i32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        let n = word(&self.head);
        if n == 0 {
            return Ok(Some(Found::End));
        }
        if n > 0 {
            self.state = State::Literal(n as u32);
            return Ok(None);
        }
        let first = !n as u32;
        if first >= self.blocks {
            return Err(ProtocolError::BadBlock { got: first.into(), count: self.blocks });
        }
        // Consecutive blocks that are at hand become one token.
        let mut count = 1;
        while first + count < self.blocks
            && input[*used..].len() >= 4
            && word(&input[*used..]) == !((first + count) as i32)
        {
            *used += 4;
            count += 1;
        }
        Ok(Some(Found::Blocks(first, count)))
    }

    fn compressed_token(&mut self) -> Result<Option<Found>, ProtocolError> {
        let [flag, ..] = self.head;
        if flag & 0xc0 == DEFLATED_DATA {
            let len = usize::from(flag & 0x3f) << 8 | usize::from(self.head[1]);
            if len == 0 {
                return Err(self.broken("empty record"));
            }
            self.record.clear();
            self.state = State::Record(len);
            self.start_record()?;
            return Ok(None);
        }
        self.end_records()?;
        let (first, run) = match flag {
            END_FLAG => return Ok(Some(Found::End)),
            TOKEN_REL..=0xff => {
                let run = (flag & 0x40 != 0).then(|| u16::from_le_bytes([self.head[1], self.head[2]]));
                (self.previous + i64::from(flag & 0x3f), run)
            }
            TOKEN_LONG | TOKENRUN_LONG => {
                let [_, a, b, c, d, e, f] = self.head;
                let run = (flag == TOKENRUN_LONG).then(|| u16::from_le_bytes([e, f]));
                (i32::from_le_bytes([a, b, c, d]).into(), run)
            }
            _ => return Err(ProtocolError::BadToken),
        };
        if run == Some(0) {
            return Err(ProtocolError::BadToken);
        }
        let further = run.unwrap_or(0);
        let last = first + i64::from(further);
        if first < 0 || last >= 0x7fff_ffff {
            return Err(ProtocolError::BadToken);
        }
        let blocks = i64::from(self.blocks);
        if last >= blocks {
            return Err(ProtocolError::BadBlock { got: first.max(blocks), count: self.blocks });
        }
        self.previous = last;
        Ok(Some(Found::Blocks(first as u32, u32::from(further) + 1)))
    }

    fn broken(&self, what: &'static str) -> ProtocolError {
        let codec = match self.codec {
            Codec::Plain => "none",
            #[cfg(feature = "zlib")]
            Codec::Zlib { .. } => "zlib",
            #[cfg(feature = "zstd")]
            Codec::Zstd(_) => "zstd",
            #[cfg(feature = "lz4")]
            Codec::Lz4 => "lz4",
        };
        ProtocolError::Inflate { codec, what }
    }

    /// Before compressed data: matched blocks enter the window.
    fn start_record(&mut self) -> Result<(), ProtocolError> {
        #[cfg(feature = "zlib")]
        if let Codec::Zlib { inflate, unflushed, history } = &mut self.codec {
            *unflushed = true;
            let mut result = Ok(0);
            if let Some(history) = history {
                history.take(|data| result = inflate.set_dictionary(data));
            }
            if result.is_err() {
                return Err(self.broken("window update failed"));
            }
        }
        Ok(())
    }

    /// Before anything else: the tail of the sync flush, which was not sent, must give no data. An empty stored
    /// block behind it shows that the decompressor is between two blocks.
    fn end_records(&mut self) -> Result<(), ProtocolError> {
        #[cfg(feature = "zlib")]
        if let Codec::Zlib { inflate, unflushed, .. } = &mut self.codec
            && core::mem::take(unflushed)
        {
            let (before_in, before_out) = (inflate.total_in(), inflate.total_out());
            let mut output = [0; 1];
            let result = inflate.decompress(&TAIL_AND_BLOCK, &mut output, zlib_rs::InflateFlush::SyncFlush);
            let in_sync = inflate.total_in() - before_in == TAIL_AND_BLOCK.len() as u64
                && inflate.total_out() == before_out;
            if !matches!(result, Ok(zlib_rs::Status::Ok)) || !in_sync {
                return Err(self.broken("decompressor lost sync!"));
            }
        }
        Ok(())
    }

    /// Decompresses the record from byte `at` on. Returns where it came to, how many bytes are in the output and
    /// whether the record is used up.
    fn inflate(&mut self, at: usize) -> Result<(usize, usize, bool), ProtocolError> {
        #[cfg(any(feature = "zlib", feature = "zstd", feature = "lz4"))]
        let input = &self.record[at..];
        match &mut self.codec {
            Codec::Plain => Ok((at, 0, true)),
            #[cfg(feature = "zlib")]
            Codec::Zlib { inflate, .. } => {
                let (before_in, before_out) = (inflate.total_in(), inflate.total_out());
                let result = inflate.decompress(input, &mut self.output, zlib_rs::InflateFlush::NoFlush);
                let consumed = (inflate.total_in() - before_in) as usize;
                let produced = (inflate.total_out() - before_out) as usize;
                match result {
                    Ok(zlib_rs::Status::Ok | zlib_rs::Status::BufError) => {}
                    Ok(zlib_rs::Status::StreamEnd) => return Err(self.broken("unexpected end of stream")),
                    Err(e) => return Err(self.broken(e.as_str())),
                }
                // Output that does not fill the buffer means that the input is used up.
                let done = produced < self.output.len();
                if done && consumed < input.len() {
                    return Err(self.broken("no progress"));
                }
                Ok((at + consumed, produced, done))
            }
            #[cfg(feature = "zstd")]
            Codec::Zstd(context) => {
                let mut from = zstd_safe::InBuffer::around(input);
                let mut to = zstd_safe::OutBuffer::around(&mut self.output[..]);
                let result = context.decompress_stream(&mut to, &mut from);
                let (consumed, produced) = (from.pos(), to.pos());
                if let Err(code) = result {
                    return Err(self.broken(zstd_safe::get_error_name(code)));
                }
                let full = produced == self.output.len();
                if !full && consumed == 0 && produced == 0 && !input.is_empty() {
                    return Err(self.broken("no progress"));
                }
                Ok((at + consumed, produced, !full && consumed == input.len()))
            }
            #[cfg(feature = "lz4")]
            Codec::Lz4 => match lz4_flex::block::decompress_into(input, &mut self.output) {
                Ok(produced) => Ok((self.record.len(), produced, true)),
                Err(_) => Err(self.broken("corrupt block")),
            },
        }
    }
}
