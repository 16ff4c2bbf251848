//! Who shows what, where: the observer of a session.
//!
//! A client prints: results on stdout, trouble on stderr. A server has no user: it hands its texts to the queue of
//! messages for the client, or, over a remote shell, writes trouble to its own stderr (spec: message codes).

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use arsync_core::{
    charset::{self, Toward},
    checksum::ChecksumKind,
    error::{ProtocolError, Role},
    exit::ExitCode,
    flist::entry::{EntryRef, FileKind},
    item::ItemFlags,
    mux::MsgTag,
    options::{FilesFrom, SessionOptions},
    ports::{FileProgress, ItemEvent, Notice, Observer, Severity, Step},
    session::Outbox,
    setup::{Agreed, Side},
    version::ProtocolVersion,
};

use super::{
    clib,
    escape::Charset,
    exit_line::exit_line,
    format::{self, View},
    list::{self, ListView},
    log_file::{self, LogFile},
    message::{self, Roots, Wording},
    progress::Progress,
    stdout::Stdout,
    steps,
    summary::{SummaryView, summary},
    visitor::Visitor,
};
use crate::{
    cli::{
        operands::Route,
        resolve::{Output, Resolved},
        words::{Debug, Info, Levels},
    },
    engine::absolute,
    session::{Ended, Handshaken, Speak, wire},
    vouched::{self, Trust},
};

mod counting;
mod streams;
mod surroundings;

/// The observer.
pub(crate) struct Console {
    options: SessionOptions,
    output: Output,
    levels: Levels,
    itemize: u32,
    route: Route,
    server: bool,
    charset: Charset,
    roots: Rc<RefCell<Roots>>,
    outbox: Rc<Outbox>,
    stdout: RefCell<Stdout>,
    progress: RefCell<Option<Progress>>,
    /// A progress line stands there without a newline.
    open_line: Cell<bool>,
    /// The line about the file list waits for its end.
    open_list: Cell<bool>,
    /// When the making of the list began, in milliseconds since the start.
    list_since: Cell<u64>,
    /// How long it took, where it was made here.
    list_ms: Cell<u64>,
    protocol: Cell<Option<ProtocolVersion>>,
    incremental: Cell<bool>,
    /// The checksum that `%C` shows.
    shown_sum: Cell<ChecksumKind>,
    /// What `%f` leaves out of absolute paths.
    here: Vec<u8>,
    started: Instant,
    started_at: u64,
    /// The peer said with which code this ends.
    told_to_end: Cell<bool>,
    /// The reason of the end was told when it was found.
    told_reason: Cell<bool>,
    /// Who said the last error: the one that the exit line of a fatal error names.
    complained: Cell<Option<Role>>,
    mark: &'static str,
    log: Option<Rc<LogFile>>,
    /// Format of the lines of items in the log; empty: there are none.
    log_format: Vec<u8>,
    /// A daemon's client.
    visitor: Option<Visitor>,
    /// Steps are shown.
    steps: bool,
    /// Texts travel in UTF-8 and come from this (`--iconv`).
    iconv: Option<Rc<dyn charset::Charset>>,
}

impl Console {
    /// The observer of a run.
    pub(crate) fn new(
        resolved: &Resolved,
        roots: Rc<RefCell<Roots>>,
        outbox: Rc<Outbox>,
        iconv: Option<Rc<dyn charset::Charset>>,
        visitor: Option<Visitor>,
    ) -> Self {
        let output = resolved.output.clone();
        let server = matches!(resolved.route, Route::Server { .. });
        // What a server writes to its own stderr is meant for a terminal that it does not know.
        let utf8 = clib::is_utf8() && !server;
        let charset = match (output.eight_bit, utf8) {
            (true, _) => Charset::Bytes,
            (_, true) => Charset::Utf8,
            _ => Charset::Ascii,
        };
        let level = resolved.levels.info(Info::Progress);
        let progress =
            (level > 0 && !server && !output.quiet).then(|| Progress::new(level > 1, output.human));
        let mark = match (&resolved.only_write_batch, resolved.opts.dry_run) {
            (Some(_), _) => " (BATCH ONLY)",
            (None, true) => " (DRY RUN)",
            (None, false) => "",
        };
        let here =
            std::env::current_dir().map(|d| d.into_os_string().into_encoded_bytes()).unwrap_or_default();
        let mut no_log = None;
        let own_log = resolved.log.as_ref().and_then(|(path, _)| {
            let trust = Trust::of(resolved.opts.select.insecure_links);
            LogFile::open(path, trust).map(Rc::new).map_err(|error| no_log = Some((path, error))).ok()
        });
        let own_format = resolved.log.as_ref().map(|(_, format)| format.clone()).unwrap_or_default();
        let (log, log_format) = match &visitor {
            Some(visitor) => (Some(visitor.log.clone()), visitor.format.clone()),
            None => (own_log, own_format),
        };
        let console = Self {
            options: resolved.opts.clone(),
            levels: resolved.levels.clone(),
            itemize: resolved.cli.itemize,
            route: resolved.route.clone(),
            server,
            charset,
            roots,
            outbox,
            stdout: RefCell::new(Stdout::new(output.outbuf)),
            progress: RefCell::new(progress),
            open_line: Cell::new(false),
            open_list: Cell::new(false),
            list_since: Cell::new(0),
            list_ms: Cell::new(0),
            protocol: Cell::new(None),
            incremental: Cell::new(false),
            shown_sum: Cell::new(ChecksumKind::None),
            here,
            started: Instant::now(),
            started_at: now(),
            told_to_end: Cell::new(false),
            told_reason: Cell::new(false),
            complained: Cell::new(None),
            mark,
            log,
            log_format,
            visitor,
            steps: steps::followed(&resolved.levels),
            iconv,
            output,
        };
        if let Some((path, error)) = no_log {
            let role = if server { Role::Server } else { Role::Client };
            let (text, note) = log_file::unusable(role, path, &error);
            console.emit(MsgTag::Error, &text);
            console.emit(MsgTag::Info, note);
        }
        if console.levels.debug(Debug::Iconv) > 1 && !server && !console.output.eight_bit {
            console.emit(MsgTag::Info, &[b"msg checking charset: ", &clib::codeset()[..]].concat());
        }
        for text in &resolved.warnings {
            console.emit(MsgTag::Error, text.as_bytes());
        }
        console
    }

    /// Takes the outcome of the handshake.
    pub(crate) fn agreement_known(&self, agreed: &Agreed) {
        self.protocol.set(Some(agreed.protocol));
        self.incremental.set(agreed.inc_recurse());
        // The checksum that a file of the list has is shown where there is one, and else that of its data.
        self.shown_sum.set(if self.options.select.checksum { agreed.list_sum } else { agreed.transfer_sum });
        if self.visitor.as_ref().is_some_and(|visitor| visitor.refused) {
            return;
        }
        let sends = self.route.role() == Role::Sender;
        self.server_starts();
        self.log(if sends { b"building file list" } else { b"receiving file list" });
    }

    /// Tells that an option was made that of a batch file.
    pub(crate) fn changed_option(&self, text: &str) {
        if self.levels.info(Info::Misc) > 0 {
            self.emit(MsgTag::Info, text.as_bytes());
        }
    }

    /// Shows the end of a run: statistics, the reason of a failure, and the exit line.
    pub(crate) fn finish(&self, ended: Option<&Ended>, code: ExitCode, role: Role) {
        // A daemon's client has heard it.
        let is_told = self.visitor.is_some() && self.told_to_end.get() || self.told_reason.get();
        if let Some(ended) = ended {
            if ended.reason.is_none() {
                self.log_closing(ended, code);
            }
            if let Some(reason) = ended.reason.as_ref().filter(|_| !is_told) {
                for line in reason.replace("[ROLE]", &format!("[{role}]")).split('\n') {
                    self.emit(MsgTag::Error, line.as_bytes());
                }
            } else if !self.server && ended.complete {
                self.closing_lines(ended);
            }
        }
        self.end_line();
        self.stdout.borrow_mut().flush();
        if vouched::take_refusal() {
            self.to_stderr(message::REFUSED_LINK);
        }
        let role = match self.complained.get() {
            Some(complained) if !is_complete(code) => complained,
            _ => role,
        };
        // What was left out is told by the client alone.
        let exits = self.levels.debug(Debug::Exit);
        let tell_exit = |level: u8, what: &str| {
            if exits >= level {
                let text = format!(
                    "[{role}] _exit_cleanup(code={}, file=main.rs, line={}): {what}",
                    code.0,
                    line!()
                );
                self.emit(MsgTag::Info, text.as_bytes());
            }
        };
        tell_exit(2, "entered");
        let left_out = matches!(code, ExitCode::PARTIAL | ExitCode::VANISHED | ExitCode::DEL_LIMIT);
        let told_elsewhere = self.told_to_end.get() || (self.server && left_out);
        if !told_elsewhere {
            let line = exit_line(code, role);
            // All went well: there is nothing to say.
            if !line.is_empty() {
                self.log(&line);
            }
            // Old clients expect it in the stream, which is gone.
            let lost = self.server && code == ExitCode::STREAM_IO && self.is_framed(MsgTag::Error);
            if !lost {
                self.to_stderr(&line);
            }
        }
        tell_exit(1, &format!("about to call exit({})", code.0));
        self.stdout.borrow_mut().flush();
    }

    fn log(&self, text: &[u8]) {
        let now = i64::try_from(now()).unwrap_or(i64::MAX);
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        // Newlines in front, and empty lines, are layout.
        let text = match &self.visitor {
            Some(_) => text,
            None => text.trim_ascii_start(),
        };
        if let Some(log) = &self.log
            && !text.is_empty()
        {
            log.line(now, text);
        }
    }

    /// The last lines of the log: the statistics that the user sees, or one line with their essence, which a sender that
    /// left something out logs in any case.
    fn log_closing(&self, ended: &Ended, code: ExitCode) {
        let sends = self.route.role() == Role::Sender;
        if self.log.is_none() || !is_complete(code) {
            return;
        }
        let stats = &ended.stats;
        let shown = !self.server && self.levels.info(Info::Stats) > 0;
        if shown {
            for line in summary(stats, &self.summary_view(ended)).lines() {
                self.log(line.as_bytes());
            }
        }
        if (code == ExitCode::OK && !shown) || (code != ExitCode::OK && sends) {
            let (sent, received) = (stats.written, stats.read);
            let size = stats.total_size;
            self.log(format!("sent {sent} bytes  received {received} bytes  total size {size}").as_bytes());
        }
    }

    fn summary_view(&self, ended: &Ended) -> SummaryView {
        SummaryView {
            human: self.output.human,
            level: self.levels.info(Info::Stats),
            protocol: ended.protocol,
            seconds: now().saturating_sub(self.started_at),
            mark: self.mark,
            from_batch: self.options.read_batch,
            list_ms: self.list_ms.get(),
        }
    }

    fn closing_lines(&self, ended: &Ended) {
        let last = self.progress.borrow_mut().as_mut().and_then(|p| p.finish(&ended.stats, self.elapsed()));
        if let Some(text) = last
            && !clib::in_background()
        {
            self.open_line.set(false);
            self.write_aside(text.as_bytes());
        }
        let view = self.summary_view(ended);
        if !self.output.quiet {
            self.end_line();
            if self.open_list.replace(false) {
                self.write_info(b"\n");
            }
            self.write_aside(summary(&ended.stats, &view).as_bytes());
        }
    }

    /// Milliseconds since the start.
    fn elapsed(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The format of item lines.
    fn format(&self) -> Option<&[u8]> {
        self.output.format.as_deref()
    }

    fn wording<'a>(&'a self, roots: &'a Roots) -> Wording<'a> {
        let transfer = &self.options.transfer;
        Wording {
            roots,
            levels: &self.levels,
            itemizes: self.options.report.itemize && self.shows_items_here(),
            shows_items: self.options.report.itemize || self.options.report.names,
            backup_dir: transfer.backup_dir.as_deref(),
            suffix: &transfer.suffix,
            temp_dir: transfer.temp_dir.as_deref(),
            from_batch: self.options.read_batch,
        }
    }

    /// The destination as typed.
    fn destination(&self) -> &[u8] {
        match &self.route {
            Route::Local { dest, .. } | Route::Pull { dest, .. } => dest.as_deref().unwrap_or_default(),
            Route::Batch { dest } => dest.as_deref().unwrap_or_default(),
            Route::Server { args, .. } => args.first().map_or(b"", Vec::as_slice),
            Route::Push { .. } => b"",
        }
    }

    /// A directory of the sender as typed, with a name below it.
    fn typed_path(&self, base: u32, name: &[u8]) -> Vec<u8> {
        match self.typed_dir(base) {
            dir if dir.is_empty() => name.to_vec(),
            dir => [&dir[..], b"/", name].concat(),
        }
    }

    /// Items come to this side: before protocol 29 only a pulling client sees them, its own.
    fn shows_items_here(&self) -> bool {
        matches!(self.route, Route::Pull { .. } | Route::Batch { .. })
            || self.protocol.get().is_none_or(ProtocolVersion::has_item_flags)
    }

    /// `%f` shows paths as typed, relative where no source was absolute, or below a daemon's module.
    fn typed_base(&self, event: &ItemEvent<'_>) -> Vec<u8> {
        if self.route.role() != Role::Sender {
            return self.roots.borrow().dest_in_module().unwrap_or_default();
        }
        event.entry.map_or_else(Vec::new, |entry| self.typed_dir(entry.entry.base))
    }

    fn typed_dir(&self, base: u32) -> Vec<u8> {
        let roots = self.roots.borrow();
        let bases = roots.bases.borrow();
        let base = bases.get(base as usize).cloned().unwrap_or_default();
        let sources = match &self.route {
            Route::Local { sources, .. } | Route::Push { sources, .. } => &sources[..],
            Route::Server { args, .. } if self.visitor.is_none() => &args[..],
            _ => &[],
        };
        let listed = self.options.select.files_from != FilesFrom::None;
        if !listed && sources.iter().any(|s| s.first() == Some(&b'/') && absolute(s).starts_with(&base)) {
            return base;
        }
        // Names of a list are relative to the directory that was named beside it.
        let list_dir = sources.first().filter(|_| listed).map(|dir| absolute(dir));
        let here = list_dir.as_deref().unwrap_or(&self.here);
        match base.strip_prefix(here.strip_suffix(b"/").unwrap_or(here)) {
            Some([]) => Vec::new(),
            Some([b'/', below @ ..]) => below.to_vec(),
            _ => base,
        }
    }

    /// The client shows an item.
    fn is_worth_a_line(&self, event: &ItemEvent<'_>) -> bool {
        let report = &self.options.report;
        let all = report.itemize && (self.itemize > 1 || self.levels.info(Info::Name) > 1);
        let linked = event.link.is_some_and(|l| !l.is_empty());
        // Without `%i`, attributes that change are worth a line for directories only (observed).
        let shown = report.itemize
            || event.flags.intersects(ItemFlags::TRANSFER | ItemFlags::LOCAL_CHANGE)
            || event.kind == FileKind::Dir;
        all || linked || (event.flags.is_significant() && shown)
    }

    /// The line of an item in the log. A dry run leaves out what would have been data or a deletion.
    fn log_item(&self, event: &ItemEvent<'_>) {
        if self.log_format.is_empty() {
            return;
        }
        let deleted = event.flags.contains(ItemFlags::DELETED);
        let dry = self.options.asks_for_nothing();
        if dry && (self.server || deleted || event.flags.contains(ItemFlags::TRANSFER)) {
            return;
        }
        let format = match deleted {
            true if !format::uses(&self.log_format, b"io") => b"deleting %n",
            _ => &self.log_format[..],
        };
        // A server's log without `%i` has transfers and deletions alone.
        let itemized = format::uses(&self.log_format, b"i") && event.flags.is_significant();
        let logged = itemized || event.flags.contains(ItemFlags::TRANSFER);
        let worth = if self.server { logged } else { self.is_worth_a_line(event) };
        if deleted || worth {
            self.log(&self.item_line(format, event));
        }
    }

    fn item_line(&self, format: &[u8], event: &ItemEvent<'_>) -> Vec<u8> {
        let base = self.typed_base(event);
        let preserve = &self.options.preserve;
        let chosen = self.options.transfer.checksum_choice.and_then(|(transfer, _)| transfer);
        let modern = self.protocol.get().is_none_or(ProtocolVersion::has_varints);
        let kind = self.shown_sum.get();
        let sender = self.route.role() == Role::Sender;
        let daemon = self.visitor.as_ref().map(Visitor::view);
        let view = View {
            sender,
            remote: !matches!(self.route, Route::Local { .. }),
            times: preserve.times,
            // A sender cannot know before protocol 30 whether the other side sets them.
            symlink_times: self
                .protocol
                .get()
                .is_none_or(|protocol| protocol.has_varints() || (!sender && protocol.has_item_flags())),
            owner: preserve.owner,
            group: preserve.group,
            links: preserve.links,
            digest_len: kind.digest_len(),
            // Not the one that protocols before 30 have unasked (stock binary).
            shows_sum: kind != ChecksumKind::None && (modern || chosen.is_some()),
            xxh: matches!(kind, ChecksumKind::Xxh128 | ChecksumKind::Xxh3 | ChecksumKind::Xxh64),
            pid: std::process::id(),
            now: i64::try_from(now()).unwrap_or(i64::MAX),
            base: &base,
            rooted: sender,
            daemon: daemon.as_ref(),
        };
        format::expand(format, event, &view)
    }
}

impl Observer for Console {
    fn notice(&self, from: Role, notice: &Notice<'_>) {
        let severity = notice.severity();
        if matches!(severity, Severity::Error | Severity::TransferError) {
            self.complained.set(Some(from));
        }
        match notice {
            Notice::ListStart | Notice::ListCount(_) | Notice::ListDone(_) => {
                return self.list_line(from, notice);
            }
            Notice::DeletionScan { before, here } => {
                // Each directory is counted for itself, but where progress is shown all of them are one.
                let together = self.progress.borrow().is_some();
                return self.scan_line(Some(if together { *before..before + here } else { 0..*here }));
            }
            Notice::DeletionScanned => return self.scan_line(None),
            Notice::RefusedName { .. } => self.told_reason.set(true),
            _ => {}
        }
        let text = message::text(from, notice, &self.wording(&self.roots.borrow()));
        let tag = match severity {
            Severity::Info => MsgTag::Info,
            Severity::Warning => MsgTag::Warning,
            Severity::Error => MsgTag::Error,
            Severity::TransferError => MsgTag::ErrorXfer,
        };
        if let Some(text) = text {
            self.emit_from(from, tag, &text);
        }
    }

    fn follows_steps(&self) -> bool {
        self.steps
    }

    fn explains_existing(&self) -> bool {
        self.levels.info(Info::Skip) > 1
    }

    fn step(&self, from: Role, step: &Step<'_>) {
        if !self.steps {
            return;
        }
        let lines = {
            let roots = self.roots.borrow();
            let typed = |base, name: &[u8]| self.typed_path(base, name);
            steps::lines(from, step, &self.wording(&roots), self.destination(), &typed)
        };
        for line in lines {
            self.emit(MsgTag::Info, &line);
        }
    }

    fn peer_text(&self, tag: MsgTag, text: &[u8]) {
        let tag = match tag {
            MsgTag::Client => MsgTag::Info,
            MsgTag::ErrorUtf8 | MsgTag::ErrorSocket => MsgTag::Error,
            tag => tag,
        };
        if !self.server {
            self.log(&self.converted(Toward::Here, text));
        }
        self.show_peer_text(tag, text);
    }

    fn item(&self, event: &ItemEvent<'_>) {
        self.log_item(event);
        let deleted = event.flags.contains(ItemFlags::DELETED);
        // Old protocols have no message for deletions: the client gets the line (and asked for `%i` alone).
        let for_client =
            deleted && self.protocol.get().is_some_and(|protocol| !protocol.has_deleted_message());
        if (self.server && !for_client) || self.output.quiet {
            return;
        }
        let report = &self.options.report;
        if deleted {
            let line = match self.format() {
                Some(format) if report.itemize || report.operation => self.item_line(format, event),
                None if self.levels.info(Info::Del) == 0 => return,
                _ => self.item_line(b"deleting %n", event),
            };
            return self.show(MsgTag::Info, &line);
        }
        let Some(format) = self.format() else { return };
        if self.is_worth_a_line(event) {
            let line = self.item_line(format, event);
            self.show(MsgTag::Info, &line);
        }
    }

    fn listed(&self, entry: &EntryRef<'_>) {
        let local = matches!(self.route, Route::Local { .. });
        // A quiet destination says nothing to a local client, nor a quiet server to its own.
        if self.output.quiet && (local || self.server) {
            return;
        }
        let preserve = &self.options.preserve;
        let view = ListView { human: self.output.human, links: preserve.links, atimes: preserve.atimes > 0 };
        let line = list::line(entry, entry.rel_name().bytes(), view);
        if !self.server {
            self.log(&line);
        }
        if self.iconv.is_some() && local {
            // Both ends of a listing are the reference's two processes: the line is a text of the peer.
            let line = [&self.converted(Toward::Wire, &line)[..], b"\n"].concat();
            return self.show_peer_text(MsgTag::Info, &line);
        }
        self.show(MsgTag::Info, &line);
    }

    fn progress(&self, progress: &FileProgress<'_>) {
        let mut state = self.progress.borrow_mut();
        let Some(state) = state.as_mut() else { return };
        // A line that comes when the file is complete comes too late to name it.
        let early = self.options.report.after_transfer && self.options.report.names && state.begins_file();
        let Some(text) = state.update(progress, self.elapsed()) else { return };
        if early {
            self.show(MsgTag::Info, progress.name);
        }
        if clib::in_background() {
            return;
        }
        self.open_line.set(!text.ends_with('\n'));
        self.write_aside(text.as_bytes());
        self.stdout.borrow_mut().flush();
    }

    fn ending(&self, code: ExitCode, fault: Option<&ProtocolError>) {
        // Over a socket there is no other way for the last lines; elsewhere `finish` writes them to stderr.
        if self.visitor.is_some() && self.is_framed(MsgTag::Error) {
            let role = self.complained.get().unwrap_or_else(|| self.route.role());
            if let Some(fault) = fault.filter(|_| !self.told_reason.get()) {
                self.emit(MsgTag::Error, wire::fault_text(fault, role).as_bytes());
            }
            let line = exit_line(code, role);
            self.emit(MsgTag::Error, line.strip_suffix(b"\n").unwrap_or(&line));
            self.told_to_end.set(true);
        }
    }

    fn peer_exit(&self, _code: ExitCode) {
        self.told_to_end.set(true);
    }
}

impl Speak for Console {
    fn say(&self, tag: MsgTag, role: Role, text: &[u8]) {
        if matches!(tag, MsgTag::Error | MsgTag::ErrorXfer) {
            self.complained.set(Some(role));
        }
        self.emit_from(role, tag, text);
    }

    fn handshake(&self, side: Side, fact: &Handshaken<'_>) {
        for line in steps::handshake(side, fact, &self.levels, self.options.transfer.compress_level) {
            self.emit(MsgTag::Info, line.as_bytes());
        }
    }
}

/// Codes of runs that came to their end.
fn is_complete(code: ExitCode) -> bool {
    matches!(code, ExitCode::OK | ExitCode::PARTIAL | ExitCode::VANISHED | ExitCode::DEL_LIMIT)
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
