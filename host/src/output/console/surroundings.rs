//! What a console tells of commands, connections and charsets (`--debug`), which no session has a notice for.

use arsync_core::{error::Role, mux::MsgTag};

use super::Console;
use crate::{
    cli::{asked::StderrMode, operands::Route, words::Debug},
    output::escape::Charset,
};

impl Console {
    /// Tells the charsets in use (`--debug=iconv`).
    pub(crate) fn charset_known(&self, name: &[u8], role: Role) {
        let level = self.levels.debug(Debug::Iconv);
        if level > 0 && self.iconv.is_some() {
            self.emit(MsgTag::Info, &[format!("[{role}] charset: ").as_bytes(), name].concat());
        }
    }

    /// Tells which command connects to the other side (`--debug=cmd`).
    pub(crate) fn connecting(&self, command: &[Vec<u8>]) {
        self.words("opening connection using: ", command);
    }

    /// Tells the strings of `-s`, which go through the connection.
    pub(crate) fn protected_args(&self, strings: &[Vec<u8>]) {
        // The program's name in front and the end mark are no arguments.
        if let [_, words @ .., _] = strings {
            self.words("protected args: ", words);
        }
    }

    /// A line with the words of a command.
    fn words(&self, head: &str, words: &[Vec<u8>]) {
        if self.levels.debug(Debug::Cmd) == 0 {
            return;
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b",.+@=_/-".contains(&b);
        let shown = |word: &Vec<u8>| {
            if word.iter().all(|&b| plain(b)) {
                word.clone()
            } else {
                [b"\"", word.as_slice(), b"\""].concat()
            }
        };
        let tail = format!("  ({} args)", words.len());
        let words: Vec<_> = words.iter().map(shown).collect();
        // The log begins with the session.
        self.show(MsgTag::Info, &[head.as_bytes(), &words.join(&b' '), tail.as_bytes()].concat());
    }

    /// Shows what a daemon is told, where that was asked for.
    pub(crate) fn daemon_args(&self, words: &[Vec<u8>]) {
        self.words("sending daemon args: ", words);
    }

    /// A message of a role. The destination of a local copy speaks to the client as a server does, also in versions without
    /// warnings, and escapes what it writes to stderr by itself as a server does, which does not know the terminal.
    pub(super) fn emit_from(&self, from: Role, tag: MsgTag, text: &[u8]) {
        let from_dest = matches!(from, Role::ReceiverSide | Role::Generator | Role::Receiver);
        if !from_dest || !matches!(self.route, Route::Local { .. }) {
            return self.emit(tag, text);
        }
        let charset = match (self.output.stderr, self.charset) {
            (StderrMode::Errors, Charset::Utf8) if tag != MsgTag::Info => Charset::Ascii,
            (StderrMode::All, Charset::Utf8) => Charset::Ascii,
            (_, charset) => charset,
        };
        // What the other process writes to its own stderr does not get into the client's log.
        let framed = self.is_framed(tag);
        let tag = if framed { self.wire_tag(tag) } else { tag };
        if framed && !(tag == MsgTag::Info && self.output.quiet) {
            self.log(text);
        }
        self.show_in(charset, tag, text);
    }

    /// A server says that it is there.
    pub(super) fn server_starts(&self) {
        let (word, text) = match &self.route {
            Route::Server { sender: true, .. } => (Debug::Send, "server_sender starting".to_owned()),
            Route::Server { args, .. } => (Debug::Recv, format!("server_recv({}) starting", args.len() + 1)),
            Route::Local { dest: Some(_), .. } => (Debug::Recv, "server_recv(2) starting".to_owned()),
            _ => return,
        };
        if self.levels.debug(word) > 0 {
            self.emit(MsgTag::Info, format!("{text} pid={}", std::process::id()).as_bytes());
        }
    }

    /// Tells with whom a TCP connection is opened, then whom it reached.
    pub(crate) fn dialing(&self, host: &[u8], port: u32) {
        if self.levels.debug(Debug::Connect) > 0 {
            let tail = format!(" port {port}");
            self.emit(MsgTag::Info, &[b"opening tcp connection to ", host, tail.as_bytes()].concat());
        }
    }

    /// Tells what a remote shell is started with, piece by piece.
    pub(crate) fn command_parts(
        &self,
        rsh: &[u8],
        to: Option<(&[u8], Option<&[u8]>)>,
        path: &[u8],
        words: &[Vec<u8>],
    ) {
        if self.levels.debug(Debug::Cmd) < 2 {
            return;
        }
        let none: &[u8] = b"<NULL>";
        let (machine, user) = to.map_or((none, none), |(machine, user)| (machine, user.unwrap_or(none)));
        let rsh = if rsh.is_empty() { none } else { rsh };
        let parts: [&[u8]; 8] = [b"cmd=", rsh, b" machine=", machine, b" user=", user, b" path=", path];
        self.emit(MsgTag::Info, &parts.concat());
        let mut line = Vec::new();
        for (i, word) in words.iter().enumerate() {
            line.extend(format!("cmd[{i}]=").bytes());
            line.extend_from_slice(word);
            line.push(b' ');
        }
        self.emit(MsgTag::Info, &line);
    }
}
