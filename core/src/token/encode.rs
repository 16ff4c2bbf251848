//! Literals and block references to bytes (sender side).

#![allow(
    clippy::cast_possible_truncation,
    reason = "pieces and records are cut to what their length fields hold"
)]
#![cfg_attr(
    not(any(feature = "zlib", feature = "zstd", feature = "lz4")),
    allow(unused_imports, unused_variables, clippy::ptr_arg, reason = "only the plain form is left")
)]

use alloc::vec::Vec;

use super::{CompressKind, DEFLATED_DATA, END_FLAG, TOKEN_LONG, TOKEN_REL, TOKENRUN_LONG, TOKENRUN_REL};
#[cfg(feature = "zlib")]
use super::{SYNC_TAIL, history::History};
#[cfg(any(feature = "zlib", feature = "zstd", feature = "lz4"))]
use crate::limits::MAX_COMPRESSED_RECORD;
use crate::{error::ProtocolError, limits::LITERAL_PIECE, version::ProtocolVersion};

/// Most blocks in one record: the count after the first has 16 bits.
const MAX_RUN: u32 = 65_536;

/// Writes the token streams of a session, one file after the other.
pub struct TokenEncoder {
    codec: Codec,
    /// First and last block of a run that is not written yet.
    run: Option<(u32, u32)>,
    /// Last block of the last record of this file.
    previous: u32,
    /// Literal data was compressed since the last flush.
    dirty: bool,
}

#[allow(clippy::large_enum_variant, reason = "one per session")]
enum Codec {
    Plain,
    #[cfg(feature = "zlib")]
    Zlib {
        deflate: zlib_rs::Deflate,
        /// Compressed and not yet in a record.
        pending: Vec<u8>,
        /// Only `zlib`, not `zlibx`.
        history: Option<History>,
    },
    #[cfg(feature = "zstd")]
    Zstd {
        context: zstd_safe::CCtx<'static>,
        record: OpenRecord,
    },
    #[cfg(feature = "lz4")]
    Lz4 {
        /// Literal data that does not fill a record yet.
        input: Vec<u8>,
        output: Vec<u8>,
    },
}

impl TokenEncoder {
    /// `level` is clamped to what the compressor knows; 0 switches `zlib` and `zlibx` off and is the default level
    /// of `zstd`. Fails if this build lacks the compressor.
    pub fn new(
        kind: Option<CompressKind>,
        level: Option<i32>,
        version: ProtocolVersion,
    ) -> Result<Self, ProtocolError> {
        let kind = kind.unwrap_or(CompressKind::None);
        let codec = match kind {
            _ if kind.is_plain(level) => Codec::Plain,
            #[cfg(feature = "zlib")]
            CompressKind::Zlib | CompressKind::Zlibx => Codec::Zlib {
                deflate: zlib_rs::Deflate::new(level.map_or(6, |l| l.clamp(1, 9)), false, 15),
                pending: Vec::new(),
                history: (kind == CompressKind::Zlib).then(|| History::new(version.zlib_history_advances())),
            },
            #[cfg(feature = "zstd")]
            CompressKind::Zstd => {
                let mut context = zstd_safe::CCtx::create();
                let level = level.unwrap_or(3).clamp(zstd_safe::min_c_level(), zstd_safe::max_c_level());
                context
                    .set_parameter(zstd_safe::CParameter::CompressionLevel(level))
                    .expect("the level is in the range of the library");
                Codec::Zstd { context, record: OpenRecord::default() }
            }
            #[cfg(feature = "lz4")]
            CompressKind::Lz4 => Codec::Lz4 { input: Vec::new(), output: Vec::new() },
            #[allow(unreachable_patterns, reason = "reached without the features")]
            _ => return Err(ProtocolError::UnknownAlgorithm { what: "compress" }),
        };
        let _ = version;
        Ok(Self { codec, run: None, previous: 0, dirty: false })
    }

    /// The same, with `zlib` and `zlibx` at the level that compresses nothing. The form stays theirs; other compressors
    /// know no such level.
    #[must_use]
    pub fn storing(self) -> Self {
        let codec = match self.codec {
            #[cfg(feature = "zlib")]
            Codec::Zlib { pending, history, .. } => {
                Codec::Zlib { deflate: zlib_rs::Deflate::new(0, false, 15), pending, history }
            }
            other => other,
        };
        Self { codec, ..self }
    }

    /// True for the form without compression. A caller that has literal data in a buffer of its own may then
    /// write the i32 LE length (at most 32768) and the data itself instead of calling [`Self::literal`].
    pub fn is_plain(&self) -> bool {
        matches!(self.codec, Codec::Plain)
    }

    /// Begins the next file.
    pub fn start_file(&mut self) {
        self.run = None;
        self.previous = 0;
        self.dirty = false;
        match &mut self.codec {
            Codec::Plain => {}
            #[cfg(feature = "zlib")]
            Codec::Zlib { deflate, pending, history } => {
                deflate.reset();
                pending.clear();
                if let Some(history) = history {
                    history.clear();
                }
            }
            #[cfg(feature = "zstd")]
            Codec::Zstd { .. } => {}
            #[cfg(feature = "lz4")]
            Codec::Lz4 { input, .. } => input.clear(),
        }
    }

    /// Data that is in no block. It may stay inside until the next [`Self::block`] or [`Self::end`].
    pub fn literal(&mut self, data: &[u8], out: &mut Vec<u8>) {
        if data.is_empty() {
            return;
        }
        self.write_run(out);
        self.dirty = true;
        match &mut self.codec {
            Codec::Plain => {
                for piece in data.chunks(LITERAL_PIECE) {
                    out.extend_from_slice(&(piece.len() as i32).to_le_bytes());
                    out.extend_from_slice(piece);
                }
            }
            #[cfg(feature = "zlib")]
            Codec::Zlib { deflate, pending, history } => {
                if let Some(history) = history {
                    history.take(|data| {
                        deflate.set_dictionary(data).expect("nothing is pending after a flush");
                    });
                }
                compress_zlib(deflate, data, zlib_rs::DeflateFlush::NoFlush, pending);
                // The tail of a flush may fall on the end of a record, so that much stays back.
                write_full_records(pending, SYNC_TAIL.len(), out);
            }
            #[cfg(feature = "zstd")]
            Codec::Zstd { context, record } => {
                use zstd_safe::zstd_sys::ZSTD_EndDirective::ZSTD_e_continue;
                record.compress(context, data, ZSTD_e_continue, out);
            }
            #[cfg(feature = "lz4")]
            Codec::Lz4 { input, output } => {
                let mut data = data;
                if !input.is_empty() {
                    let (head, rest) = data.split_at(data.len().min(MAX_COMPRESSED_RECORD - input.len()));
                    input.extend_from_slice(head);
                    data = rest;
                    if input.len() == MAX_COMPRESSED_RECORD {
                        write_lz4(input, output, out);
                        input.clear();
                    }
                }
                let mut pieces = data.chunks_exact(MAX_COMPRESSED_RECORD);
                for piece in &mut pieces {
                    write_lz4(piece, output, out);
                }
                input.extend_from_slice(pieces.remainder());
            }
        }
    }

    /// A reference to block `n`. `data` is its whole content, which only `zlib` looks at.
    pub fn block(&mut self, n: u32, data: &[u8], out: &mut Vec<u8>) {
        if self.is_plain() {
            out.extend_from_slice(&(!(n as i32)).to_le_bytes());
            return;
        }
        self.flush(out);
        match &mut self.run {
            Some((first, last)) if last.checked_add(1) == Some(n) && n - *first < MAX_RUN => *last = n,
            _ => {
                self.write_run(out);
                self.run = Some((n, n));
            }
        }
        #[cfg(feature = "zlib")]
        if let Codec::Zlib { history: Some(history), .. } = &mut self.codec {
            history.push(data);
        }
        let _ = data;
    }

    /// Ends the data of the file; its whole-file checksum follows in the stream.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        if self.is_plain() {
            out.extend_from_slice(&[0; 4]);
            return;
        }
        self.flush(out);
        self.write_run(out);
        out.push(END_FLAG);
    }

    /// Writes what the compressor holds, so that the peer can decode all literals so far.
    fn flush(&mut self, out: &mut Vec<u8>) {
        if !core::mem::take(&mut self.dirty) {
            return;
        }
        match &mut self.codec {
            Codec::Plain => {}
            #[cfg(feature = "zlib")]
            Codec::Zlib { deflate, pending, .. } => {
                compress_zlib(deflate, &[], zlib_rs::DeflateFlush::SyncFlush, pending);
                debug_assert!(pending.ends_with(&SYNC_TAIL));
                pending.truncate(pending.len() - SYNC_TAIL.len());
                write_records(pending, out);
                pending.clear();
            }
            #[cfg(feature = "zstd")]
            Codec::Zstd { context, record } => {
                use zstd_safe::zstd_sys::ZSTD_EndDirective::ZSTD_e_flush;
                record.compress(context, &[], ZSTD_e_flush, out);
                record.write(out);
            }
            #[cfg(feature = "lz4")]
            Codec::Lz4 { input, output } => {
                write_lz4(input, output, out);
                input.clear();
            }
        }
    }

    fn write_run(&mut self, out: &mut Vec<u8>) {
        let Some((first, last)) = self.run.take() else { return };
        let further = last - first;
        let has_run = further != 0;
        match first.checked_sub(self.previous) {
            Some(step @ 0..=63) => out.push(if has_run { TOKENRUN_REL } else { TOKEN_REL } | step as u8),
            _ => {
                out.push(if has_run { TOKENRUN_LONG } else { TOKEN_LONG });
                out.extend_from_slice(&first.to_le_bytes());
            }
        }
        if has_run {
            out.extend_from_slice(&(further as u16).to_le_bytes());
        }
        self.previous = last;
    }
}

#[cfg(any(feature = "zlib", feature = "zstd", feature = "lz4"))]
fn write_record(record: &[u8], out: &mut Vec<u8>) {
    out.push(DEFLATED_DATA | (record.len() >> 8) as u8);
    out.push(record.len() as u8);
    out.extend_from_slice(record);
}

/// Writes all of `data`, which may be empty: an empty record would be an error for the peer.
#[cfg(feature = "zlib")]
fn write_records(data: &[u8], out: &mut Vec<u8>) {
    for record in data.chunks(MAX_COMPRESSED_RECORD) {
        write_record(record, out);
    }
}

/// Takes records of full length from the front and leaves at least `keep` bytes.
#[cfg(feature = "zlib")]
fn write_full_records(pending: &mut Vec<u8>, keep: usize, out: &mut Vec<u8>) {
    let full = pending.len().saturating_sub(keep) / MAX_COMPRESSED_RECORD * MAX_COMPRESSED_RECORD;
    write_records(&pending[..full], out);
    pending.drain(..full);
}

/// Appends the output of the compressor until it has nothing more to say.
#[cfg(feature = "zlib")]
fn compress_zlib(
    deflate: &mut zlib_rs::Deflate,
    mut input: &[u8],
    flush: zlib_rs::DeflateFlush,
    pending: &mut Vec<u8>,
) {
    const ROOM: usize = 8 << 10;
    loop {
        let start = pending.len();
        let (consumed, produced) = (deflate.total_in(), deflate.total_out());
        pending.resize(start + ROOM, 0);
        deflate
            .compress(input, &mut pending[start..], flush)
            .expect("the stream is set up and never finished");
        let (consumed, produced) = (deflate.total_in() - consumed, deflate.total_out() - produced);
        pending.truncate(start + produced as usize);
        input = &input[consumed as usize..];
        if input.is_empty() && (produced as usize) < ROOM {
            return;
        }
    }
}

/// The record that a compressor fills, which is written when it is full: what goes through here once for each byte that
/// is sent is not cleared before and not moved after.
#[cfg(feature = "zstd")]
struct OpenRecord {
    bytes: Vec<u8>,
    filled: usize,
}

#[cfg(feature = "zstd")]
impl Default for OpenRecord {
    fn default() -> Self {
        Self { bytes: alloc::vec![0; MAX_COMPRESSED_RECORD], filled: 0 }
    }
}

#[cfg(feature = "zstd")]
impl OpenRecord {
    /// Takes the output of the compressor until it has nothing more to say.
    fn compress(
        &mut self,
        context: &mut zstd_safe::CCtx<'static>,
        input: &[u8],
        operation: zstd_safe::zstd_sys::ZSTD_EndDirective,
        out: &mut Vec<u8>,
    ) {
        let mut input = zstd_safe::InBuffer::around(input);
        loop {
            let mut output = zstd_safe::OutBuffer::around_pos(&mut self.bytes[..], self.filled);
            let left = context
                .compress_stream2(&mut output, &mut input, operation)
                .expect("the compressor fails for lack of memory only");
            self.filled = output.pos();
            let flushed = match operation {
                zstd_safe::zstd_sys::ZSTD_EndDirective::ZSTD_e_continue => true,
                _ => left == 0,
            };
            if self.filled == self.bytes.len() {
                self.write(out);
            } else if input.pos() == input.src.len() && flushed {
                return;
            }
        }
    }

    /// Writes what it holds; an empty record would be an error for the peer.
    fn write(&mut self, out: &mut Vec<u8>) {
        if self.filled > 0 {
            write_record(&self.bytes[..self.filled], out);
            self.filled = 0;
        }
    }
}

/// Compresses at most one record's worth of data; halves that do not shrink are records of their own.
#[cfg(feature = "lz4")]
fn write_lz4(mut data: &[u8], scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    use lz4_flex::block::{compress_into, get_maximum_output_size};
    scratch.resize(get_maximum_output_size(MAX_COMPRESSED_RECORD), 0);
    while !data.is_empty() {
        let mut take = data.len();
        loop {
            let len = compress_into(&data[..take], scratch).expect("the buffer has the maximum size");
            if len <= MAX_COMPRESSED_RECORD {
                write_record(&scratch[..len], out);
                break;
            }
            take /= 2;
        }
        data = &data[take..];
    }
}
