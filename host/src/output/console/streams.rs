//! Where texts go: stdout, stderr, or the queue for the client.

use std::io::Write;

use arsync_core::{
    charset::{self, Toward},
    limits::MAX_TEXT,
    mux::MsgTag,
    version::ProtocolVersion,
};

use super::Console;
use crate::{
    cli::asked::StderrMode,
    ending,
    output::escape::{Charset, escape},
};

impl Console {
    /// Ends a progress line before something else is printed.
    pub(super) fn end_line(&self) {
        if self.open_line.replace(false) {
            self.write_info(b"\n");
        }
    }

    /// Writes bytes to the stream of what is no error.
    pub(super) fn write_info(&self, bytes: &[u8]) {
        let mut stdout = self.stdout.borrow_mut();
        if self.server || self.output.stderr == StderrMode::All {
            stdout.flush();
            self.to_stderr(bytes);
        } else {
            stdout.write(bytes);
        }
    }

    /// The same for progress and statistics.
    pub(super) fn write_aside(&self, bytes: &[u8]) {
        if self.server || self.output.stderr == StderrMode::All {
            self.write_info(bytes);
        } else {
            self.stdout.borrow_mut().write_aside(bytes);
        }
    }

    /// stderr is not buffered. A daemon's need not lead anywhere.
    pub(super) fn to_stderr(&self, bytes: &[u8]) {
        match self.visitor {
            None => ending::write_stderr(bytes),
            Some(_) => drop(std::io::stderr().lock().write_all(bytes)),
        }
    }

    /// Shows a text of one line without its newline, or hands it to the client.
    pub(super) fn emit(&self, tag: MsgTag, text: &[u8]) {
        self.log(text);
        self.show(tag, text);
    }

    /// As `emit`, for what has no place in the log, or a line of its own there.
    pub(super) fn show(&self, tag: MsgTag, text: &[u8]) {
        self.show_in(self.charset, tag, text);
    }

    pub(super) fn show_in(&self, charset: Charset, tag: MsgTag, text: &[u8]) {
        if tag == MsgTag::Info && self.output.quiet {
            return;
        }
        if self.server && self.is_framed(tag) {
            let mut payload = self.converted(Toward::Wire, text);
            payload.truncate(MAX_TEXT - 2);
            payload.push(b'\n');
            self.outbox.push(self.wire_tag(tag), payload);
            return;
        }
        let mut line = Vec::with_capacity(text.len() + 1);
        escape(text, charset, &mut line);
        line.push(b'\n');
        self.raw(tag, &line);
    }

    /// A text on its way; what has no counterpart stays as it is.
    pub(super) fn converted(&self, toward: Toward, text: &[u8]) -> Vec<u8> {
        let Some(iconv) = &self.iconv else { return text.to_vec() };
        let mut out = Vec::with_capacity(text.len());
        charset::convert_text(&**iconv, toward, text, &mut out, |byte, out| out.push(byte));
        out
    }

    /// Appends a text of the peer as it is shown. One that was converted is shown as it is in the charset of this side,
    /// whatever the terminal's (observed).
    pub(super) fn escape_peer(&self, text: &[u8], out: &mut Vec<u8>) {
        let Some(iconv) = &self.iconv else { return escape(text, self.charset, out) };
        let mut escaped = Vec::with_capacity(text.len());
        escape(text, Charset::Bytes, &mut escaped);
        let foreign = |byte: u8, out: &mut Vec<u8>| out.extend(format!("\\#{byte:03o}").bytes());
        charset::convert_text(&**iconv, Toward::Here, &escaped, out, foreign);
    }

    /// Shows a text of the peer.
    pub(super) fn show_peer_text(&self, tag: MsgTag, text: &[u8]) {
        if (tag == MsgTag::Info && self.output.quiet) || tag == MsgTag::Log {
            return;
        }
        let body = text.strip_suffix(b"\n").unwrap_or(text);
        // Empty lines in front are layout; a newline inside could be part of a name.
        let start = body.iter().position(|b| *b != b'\n').unwrap_or(body.len());
        let mut line = vec![b'\n'; start];
        self.escape_peer(&body[start..], &mut line);
        line.extend_from_slice(&text[body.len()..]);
        self.raw(tag, &line);
    }

    /// Writes bytes to the stream of a kind of message. There too ends the line of a list that is being made.
    pub(super) fn raw(&self, tag: MsgTag, bytes: &[u8]) {
        self.end_line();
        let list = if self.open_list.replace(false) { &b"\n"[..] } else { b"" };
        let bytes = [list, bytes].concat();
        if tag == MsgTag::Info {
            self.write_info(&bytes);
        } else {
            self.stdout.borrow_mut().flush();
            self.to_stderr(&bytes);
        }
    }

    /// A message of this kind travels through the protocol, if it comes from a server.
    pub(super) fn is_framed(&self, tag: MsgTag) -> bool {
        match (self.output.stderr, self.protocol.get()) {
            (StderrMode::All, _) => false,
            (StderrMode::Client, protocol) => protocol.is_some(),
            // Old clients expect all texts in the stream, unless they say otherwise.
            (StderrMode::Errors, Some(p)) if !self.output.stderr_given && !p.has_item_flags() => true,
            (StderrMode::Errors, protocol) => tag == MsgTag::Info && protocol.is_some(),
        }
    }

    /// Below protocol 30 there are two kinds of texts only.
    pub(super) fn wire_tag(&self, tag: MsgTag) -> MsgTag {
        match tag {
            MsgTag::Error if !self.speaks_io_messages() => MsgTag::ErrorXfer,
            MsgTag::Warning if !self.speaks_io_messages() => MsgTag::Info,
            tag => tag,
        }
    }

    pub(super) fn speaks_io_messages(&self) -> bool {
        self.protocol.get().is_none_or(ProtocolVersion::has_io_messages)
    }
}
