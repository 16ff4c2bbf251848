//! One direction of a recording, and the lines that are printed of it.

use std::fmt::Write as _;

use arsync_core::{
    error::Error,
    io::{NoMessages, WireReader},
    mux::{Header, MsgTag},
};

use crate::Outcome;

/// What a line is about; each has its colour.
#[derive(Clone, Copy)]
pub enum Kind {
    Frame,
    Message,
    Setup,
    List,
    Index,
    Data,
    Fault,
}

impl Kind {
    pub const fn colour(self) -> &'static str {
        match self {
            Self::Frame => "\x1b[2m",
            Self::Message => "\x1b[33m",
            Self::Setup => "\x1b[36m",
            Self::List => "\x1b[32m",
            Self::Index => "\x1b[1m",
            Self::Data => "\x1b[35m",
            Self::Fault => "\x1b[31m",
        }
    }
}

/// One line: where its bytes begin and end, and what they say.
pub struct Line {
    pub start: usize,
    pub end: usize,
    pub kind: Kind,
    pub text: String,
}

/// Bytes as text: printable ASCII as it is, the rest as escapes.
pub fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

pub struct Direction<'a> {
    pub raw: &'a [u8],
    /// Messages are printed from the frames themselves: it has only to step over them.
    pub reader: WireReader<&'a [u8], NoMessages>,
    /// Bytes in front of the reader's first.
    pub skipped: usize,
    /// Where the next frame begins that was not printed yet; `None`: the stream is not framed.
    pub next_frame: Option<usize>,
    pub lines: Vec<Line>,
}

impl<'a> Direction<'a> {
    pub fn new(raw: &'a [u8], skipped: usize) -> Self {
        let reader = WireReader::new(&raw[skipped..], NoMessages);
        Self { raw, reader, skipped, next_frame: None, lines: Vec::new() }
    }

    pub fn position(&self) -> usize {
        self.skipped + self.reader.count() as usize
    }

    pub fn start_framing(&mut self) {
        self.reader.start_framing();
        self.next_frame = Some(self.position());
    }

    pub fn stop_framing(&mut self) {
        self.reader.stop_framing();
        self.next_frame = None;
    }

    /// Prints a value that began at `start` and was read to here, behind the frames that it lies in.
    pub fn say(&mut self, start: usize, kind: Kind, text: impl Into<String>) {
        let end = self.position();
        self.say_frames(end);
        self.lines.push(Line { start, end, kind, text: text.into() });
    }

    /// Prints the frames that begin before `end`.
    pub fn say_frames(&mut self, end: usize) {
        while let Some(start) = self.next_frame.filter(|at| *at < end) {
            let Some(&[a, b, c, d]) = self.raw.get(start..start + 4) else { return };
            let Ok(header) = Header::decode([a, b, c, d]) else { return };
            let from = start + 4;
            let to = (from + header.len as usize).min(self.raw.len());
            self.next_frame = Some(to);
            let (kind, text) = frame_text(header, &self.raw[from..to]);
            self.lines.push(Line { start, end: to.min(end), kind, text });
        }
    }

    /// Nothing but messages is left.
    pub async fn at_end(&mut self) -> Outcome<bool> {
        let end = match self.reader.fill().await {
            Ok(_) => return Ok(false),
            Err(e) => e,
        };
        if end != Error::Eof || self.position() != self.raw.len() {
            return Err(end.into());
        }
        self.say_frames(self.raw.len());
        Ok(true)
    }
}

pub fn frame_text(header: Header, payload: &[u8]) -> (Kind, String) {
    let Header { tag, len } = header;
    if tag == MsgTag::Data {
        return (Kind::Frame, format!("frame Data, {len} bytes"));
    }
    let value = match (tag, payload) {
        (MsgTag::Deleted, name) => format!("{:?}", shown(name)),
        (tag, text) if tag.is_text() => format!("{:?}", shown(text)),
        (_, &[a, b, c, d]) => i32::from_le_bytes([a, b, c, d]).to_string(),
        (_, other) => hex(other),
    };
    (Kind::Message, format!("frame {tag:?}, {len} bytes: {value}"))
}
