//! Prints a recorded session frame by frame: both directions, in the order in which they were seen, with the names
//! and values that the bytes stand for; in colour on a terminal.
//!
//! ```text
//! cargo run -p arsync-core --example decode_capture --features zlib,zstd,lz4 -- tests/vectors/delta-push-p32
//! ```
//!
//! The folder holds `c2s.bin` and `s2c.bin`, every byte of each direction, and `case.json` with the words of the
//! server's command line (`server_argv`), since the bytes mean nothing without them. A conversation is decoded with
//! the parts that the roles are made of: handshake, list decoder, item headers, block sums, tokens, statistics.

#[path = "decode_capture/command.rs"]
mod command;
#[path = "decode_capture/direction.rs"]
mod direction;

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    error::Error as StdError,
    fmt::Write as _,
    fs,
    io::{IsTerminal, Write as _},
    path::Path,
    process::ExitCode,
};

use arsync_core::{
    delta::SumHead,
    error::Error,
    flist::{
        Format,
        decode::Decoder,
        entry::{EntryRef, FileKind},
        order, xattr,
    },
    io::WireWriter,
    item::{BasisType, ItemFlags},
    limits::MAX_TEXT,
    options::{Append, FilesFrom},
    rt::block_on_ready,
    session::{
        goodbye::{ItemHeader, read_del_stats, read_stats},
        lists::{Lists, Numbering},
    },
    setup::{Agreed, CompatFlags, Handshake, Side, exchange},
    stats::{Counts, Stats},
    token::{Token, TokenDecoder},
    version::ProtocolVersion,
    wire::ndx::{NDX_DEL_STATS, NDX_DONE, NDX_FLIST_EOF, NDX_FLIST_OFFSET, NdxState},
};
use command::{Command, secluded_words};
use direction::{Direction, Kind, Line, hex, shown};
use serde_json::Value;

type Outcome<T = ()> = Result<T, Box<dyn StdError>>;

// --- the conversation ---------------------------------------------------------------------------------------------

struct Session {
    command: Command,
    agreed: Agreed,
    /// Names by index, from the file lists.
    names: BTreeMap<i32, String>,
}

/// The version word at the start of a direction.
fn version(d: &Direction<'_>) -> Outcome<ProtocolVersion> {
    let word = d.raw.get(d.skipped..d.skipped + 4).ok_or("the stream ends inside the version")?;
    let number = i32::from_le_bytes(word.try_into()?);
    Ok(ProtocolVersion::agree(ProtocolVersion::MAX, number)?)
}

fn read_handshake(d: &mut Direction<'_>, handshake: &Handshake) -> Result<Agreed, Error<Infallible>> {
    let mut answer = Vec::new();
    let mut writer = WireWriter::new(&mut answer, [0; 1024]);
    block_on_ready(exchange(&mut d.reader, &mut writer, handshake))
}

/// Reads both handshakes, each as the other side does. The client's words decide between algorithms, so that the
/// result is what the server makes of them.
fn handshake(command: &Command, c2s: &mut Direction<'_>, s2c: &mut Direction<'_>) -> Outcome<Agreed> {
    let (client, server) = (version(c2s)?, version(s2c)?);
    let side = |side, max| {
        let mut h = Handshake::new(side, max, command.capabilities);
        h.checksum = command.options.transfer.checksum_choice;
        h.compress = command.compress;
        h
    };
    let heard = read_handshake(s2c, &side(Side::Client, client))?;
    let mut as_server = side(Side::Server, server);
    as_server.allow_inc_recurse = heard.inc_recurse();
    as_server.seed = heard.seed;
    let agreed = read_handshake(c2s, &as_server)?;
    c2s.say(c2s.skipped, Kind::Setup, format!("client: version {}", client.number()));
    let mut text = format!("server: version {}, seed {}", server.number(), heard.seed);
    if agreed.protocol.has_varints() {
        let _ = write!(text, ", flags {}", flag_names(heard.flags.iter_names()));
    }
    s2c.say(0, Kind::Setup, text);
    let text = format!(
        "agreed: protocol {}, checksum {}, list checksum {}, compression {}, lists {}",
        agreed.protocol.number(),
        agreed.transfer_sum.name(),
        agreed.list_sum.name(),
        agreed.compress.map_or("none", |c| c.name()),
        if agreed.inc_recurse() { "incremental" } else { "one" },
    );
    s2c.say(s2c.position(), Kind::Setup, text);
    s2c.start_framing();
    if agreed.protocol.has_varints() || (command.pull && command.options.transfer.remove_source.is_some()) {
        c2s.start_framing();
    }
    Ok(agreed)
}

fn flag_names<T>(names: impl Iterator<Item = (&'static str, T)>) -> String {
    let names: Vec<&str> = names.map(|(name, _)| name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join("|") }
}

async fn rules(d: &mut Direction<'_>) -> Outcome {
    loop {
        let start = d.position();
        let len = usize::try_from(d.reader.i32().await?)?;
        if len == 0 {
            d.say(start, Kind::List, "end of filter rules");
            return Ok(());
        }
        if len >= MAX_TEXT {
            return Err("a filter rule is too long".into());
        }
        let mut rule = Vec::new();
        d.reader.append(len, &mut rule).await?;
        d.say(start, Kind::List, format!("filter rule {:?}", shown(&rule)));
    }
}

/// The names of `--files-from`.
async fn wanted_names(d: &mut Direction<'_>, protocol: ProtocolVersion) -> Outcome {
    let pause = d.next_frame.is_some() && !protocol.has_framed_files_from();
    if pause {
        d.stop_framing();
    }
    loop {
        let start = d.position();
        let mut name = Vec::new();
        loop {
            match d.reader.u8().await? {
                0 => break,
                b => name.push(b),
            }
        }
        if name.is_empty() {
            d.say(start, Kind::List, "end of names");
            break;
        }
        d.say(start, Kind::List, format!("wanted name {:?}", shown(&name)));
    }
    if pause {
        d.start_framing();
    }
    Ok(())
}

impl Session {
    fn item_text(&self, ndx: i32, header: &ItemHeader) -> String {
        let name = self.names.get(&ndx).map_or("?", String::as_str);
        let mut text = format!("index {ndx} \"{name}\"");
        if self.agreed.protocol.has_item_flags() {
            let _ = write!(text, ": {}", flag_names(header.flags.iter_names()));
        }
        if header.basis != BasisType::Name {
            let _ = write!(text, ", basis {:?}", header.basis);
        }
        if let Some(name) = &header.xname {
            let _ = write!(text, ", name {:?}", shown(name));
        }
        text
    }

    /// A list of attributes stands behind this header.
    fn has_xattrs(&self, header: &ItemHeader) -> bool {
        let left_out = self.agreed.protocol.omits_xattrs_of_links()
            && !self.agreed.flags.contains(CompatFlags::AVOID_XATTR_OPTIM)
            && header.flags.contains(ItemFlags::XNAME_FOLLOWS | ItemFlags::LOCAL_CHANGE);
        let options = &self.command.options;
        options.preserve.xattrs > 0
            && header.flags.contains(ItemFlags::REPORT_XATTR)
            && !options.dry_run
            && !left_out
    }

    async fn head(&self, d: &mut Direction<'_>) -> Outcome<SumHead> {
        let start = d.position();
        let mut bytes = [0; 16];
        d.reader.exact(&mut bytes).await?;
        let head = SumHead::decode(&bytes, self.agreed.protocol, self.agreed.transfer_sum.digest_len())?;
        let text = format!(
            "  sum head: {} blocks of {} bytes, strong sums of {}, last block {}",
            head.count, head.block_len, head.s2length, head.remainder
        );
        d.say(start, Kind::Data, text);
        Ok(head)
    }

    /// What the receiving side says: rules and names, then requests with block sums.
    async fn requests(&self, d: &mut Direction<'_>) -> Outcome {
        let options = &self.command.options;
        let from = options.select.files_from;
        if self.command.pull {
            rules(d).await?;
        }
        if from != FilesFrom::None && (from == FilesFrom::Wire) == self.command.pull {
            wanted_names(d, self.agreed.protocol).await?;
        }
        let mut state = NdxState::new(self.agreed.protocol);
        let mut asked = BTreeSet::new();
        while !d.at_end().await? {
            let start = d.position();
            match d.reader.ndx(&mut state).await? {
                NDX_DONE => d.say(start, Kind::Index, "DONE"),
                NDX_DEL_STATS => del_stats(d, start).await?,
                ndx if ndx < 0 => return Err(format!("{ndx} is no request").into()),
                ndx => {
                    let header = ItemHeader::read(&mut d.reader, self.agreed.protocol).await?;
                    d.say(start, Kind::Index, self.item_text(ndx, &header));
                    if self.has_xattrs(&header) {
                        let start = d.position();
                        let numbers = xattr::read_request(&mut d.reader).await?;
                        d.say(start, Kind::Data, format!("  attributes wanted: {numbers:?}"));
                    }
                    if header.flags.contains(ItemFlags::TRANSFER) && !options.dry_run {
                        let head = self.head(d).await?;
                        // With --append only a repeated request has sums.
                        if options.transfer.append == Append::Off || asked.contains(&ndx) {
                            block_sums(d, &head).await?;
                        }
                        asked.insert(ndx);
                    }
                }
            }
        }
        Ok(())
    }

    /// What the sender says: lists, replies with file data, goodbye.
    async fn replies(&mut self, d: &mut Direction<'_>) -> Outcome {
        let (protocol, pull) = (self.agreed.protocol, self.command.pull);
        if !pull && self.command.options.push_sends_filters(protocol) {
            rules(d).await?;
        }
        let options = &self.command.options;
        let mut decoder = Decoder::new(Format::new(options, &self.agreed), options.select.recursive);
        let mut tokens = TokenDecoder::new(self.agreed.compress, options.transfer.compress_level, protocol)?;
        let incremental = self.agreed.inc_recurse();
        let converted = self.command.iconv;
        let numbering = if converted { Numbering::Transmitted } else { Numbering::Sorted };
        let mut lists = Lists::new(incremental, numbering);
        if incremental {
            // An index of its own for the root that the first list is of.
            self.names.insert(lists.next_start() - 1, ".".to_owned());
        }
        if self.list(d, &mut decoder, &mut lists, None).await? == 0 && pull {
            d.at_end().await?;
            return Ok(());
        }
        let mut state = NdxState::new(protocol);
        let phases = if protocol.has_item_flags() { 3 } else { 2 };
        let mut phase = 0;
        while phase < phases {
            let start = d.position();
            match d.reader.ndx(&mut state).await? {
                NDX_DONE => {
                    let freed = incremental && !lists.is_empty();
                    if incremental {
                        lists.free_oldest();
                    }
                    if !incremental || lists.is_empty() {
                        phase += 1;
                    }
                    let text = if freed {
                        "DONE: a list is finished".into()
                    } else {
                        format!("DONE: phase {phase}")
                    };
                    d.say(start, Kind::Index, text);
                }
                NDX_FLIST_EOF => d.say(start, Kind::List, "no further list"),
                NDX_DEL_STATS => del_stats(d, start).await?,
                ndx if ndx <= NDX_FLIST_OFFSET => {
                    let dir = lists.announce(ndx)?;
                    let name = lists.dir(dir).map(|r| shown(r.entry().name())).unwrap_or_default();
                    d.say(start, Kind::List, format!("list of directory {dir} \"{name}\""));
                    self.names.insert(lists.next_start() - 1, name);
                    self.list(d, &mut decoder, &mut lists, Some(dir)).await?;
                }
                ndx if ndx < 0 => return Err(format!("{ndx} is no index").into()),
                ndx => self.reply(d, start, ndx, &mut tokens).await?,
            }
        }
        if pull {
            let start = d.position();
            let mut stats = Stats::default();
            read_stats(&mut d.reader, protocol, &mut stats).await?;
            let text = format!(
                "statistics: sender read {}, wrote {}, size of all files {}",
                stats.written, stats.read, stats.total_size
            );
            d.say(start, Kind::Setup, text);
        }
        while !d.at_end().await? {
            let start = d.position();
            match d.reader.ndx(&mut state).await? {
                NDX_DEL_STATS => del_stats(d, start).await?,
                NDX_DONE => d.say(start, Kind::Index, "DONE: goodbye"),
                ndx => return Err(format!("{ndx} instead of a goodbye").into()),
            }
        }
        Ok(())
    }

    /// Reads one list; says how many entries it has.
    async fn list(
        &mut self,
        d: &mut Direction<'_>,
        decoder: &mut Decoder,
        lists: &mut Lists,
        dir: Option<u32>,
    ) -> Outcome<usize> {
        let (start, first) = (d.position(), lists.next_start());
        let (mut list, mut errors) = decoder.list(&mut d.reader, first).await?;
        decoder.id_lists(&mut d.reader).await?;
        if !self.agreed.protocol.has_varints() {
            errors |= d.reader.i32().await?.cast_unsigned();
        }
        let len = list.len();
        d.say(
            start,
            Kind::List,
            format!("file list: {len} entries from index {first} on, error bits {errors}"),
        );
        // An index counts in the sorted list.
        order::sort(&mut list, self.agreed.protocol);
        for (i, ndx) in (0..len).zip(first..) {
            let Some(entry) = list.get(i) else { break };
            self.names.insert(ndx, shown(entry.name()));
            d.say(start, Kind::List, format!("  [{ndx}] {}", entry_text(entry)));
        }
        lists.push(list, dir);
        Ok(len)
    }

    async fn reply(
        &self,
        d: &mut Direction<'_>,
        start: usize,
        ndx: i32,
        tokens: &mut TokenDecoder,
    ) -> Outcome {
        let header = ItemHeader::read(&mut d.reader, self.agreed.protocol).await?;
        d.say(start, Kind::Index, self.item_text(ndx, &header));
        if self.has_xattrs(&header) {
            let (mut start, mut last, mut value) = (d.position(), 0, Vec::new());
            while let Some(number) = xattr::read_value(&mut d.reader, last, &mut value).await? {
                d.say(start, Kind::Data, format!("  attribute {number}: {} bytes", value.len()));
                (start, last) = (d.position(), number);
            }
        }
        let options = &self.command.options;
        let data = header.flags.contains(ItemFlags::TRANSFER) && !options.dry_run;
        if !data || self.command.only_write_batch {
            return Ok(());
        }
        let head = self.head(d).await?;
        tokens.start_file(head.count);
        let (mut from, mut literal) = (d.position(), 0);
        loop {
            let input = d.reader.fill().await?;
            let (used, token) = tokens.decode(input)?;
            let text = match token {
                Token::NeedInput => None,
                Token::Literal(data) => {
                    literal += data.len();
                    None
                }
                Token::Blocks { first, count: 1 } => Some(format!("  block {first}")),
                Token::Blocks { first, count } => Some(format!("  blocks {first} to {}", first + count - 1)),
                Token::End => Some("  end of data".to_owned()),
            };
            let end = matches!(token, Token::End);
            let stuck = matches!(token, Token::Blocks { .. }) && tokens.wants_matched();
            d.reader.consume(used);
            let Some(text) = text else { continue };
            if literal > 0 {
                d.say(from, Kind::Data, format!("  literal data, {literal} bytes"));
            }
            d.say(from, Kind::Data, text);
            (from, literal) = (d.position(), 0);
            if stuck {
                return Err(
                    "what follows is compressed with blocks of the basis, which was not recorded".into()
                );
            }
            if end {
                break;
            }
        }
        let mut sum = vec![0; self.agreed.sums().digest_len()];
        d.reader.exact(&mut sum).await?;
        d.say(from, Kind::Data, format!("  checksum of the file {}", hex(&sum)));
        Ok(())
    }
}

async fn block_sums(d: &mut Direction<'_>, head: &SumHead) -> Outcome {
    for block in 0..head.count {
        let start = d.position();
        let weak = d.reader.i32().await?;
        let mut strong = Vec::new();
        d.reader.append(head.s2length as usize, &mut strong).await?;
        d.say(start, Kind::Data, format!("  block {block}: weak {weak:08x}, strong {}", hex(&strong)));
    }
    Ok(())
}

async fn del_stats(d: &mut Direction<'_>, start: usize) -> Outcome {
    let Counts { files, dirs, symlinks, devices, specials } = read_del_stats(&mut d.reader).await?;
    let text = format!(
        "deleted: {files} files, {dirs} directories, {symlinks} symlinks, {devices} devices, {specials} specials"
    );
    d.say(start, Kind::Index, text);
    Ok(())
}

fn entry_text(entry: EntryRef<'_>) -> String {
    let e = entry.entry;
    let mut text = format!(
        "{:?} {:04o} {}:{} {} bytes, mtime {} \"{}\"",
        e.kind(),
        e.mode & 0o7777,
        e.uid,
        e.gid,
        e.size,
        e.mtime,
        shown(entry.name())
    );
    if e.kind() == FileKind::Symlink {
        let _ = write!(text, " -> \"{}\"", shown(entry.link_target()));
    }
    if !entry.checksum().is_empty() {
        let _ = write!(text, " sum {}", hex(entry.checksum()));
    }
    text
}

// --- the program --------------------------------------------------------------------------------------------------

fn strings(v: &Value) -> Vec<String> {
    v.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Prints both directions, in turns if they were recorded.
fn print(turns: &Value, c2s: &[Line], s2c: &[Line]) -> std::io::Result<()> {
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut out = std::io::stdout().lock();
    let mut streams = [('>', c2s, 0usize), ('<', s2c, 0usize)];
    let seen = turns
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|t| Some((usize::from(t.get(0)?.as_str()? == "s2c"), t.get(1)?.as_u64()? as usize)));
    for (stream, bytes) in seen.chain([(0, usize::MAX), (1, usize::MAX)]) {
        let (arrow, lines, end) = &mut streams[stream];
        *end = end.saturating_add(bytes);
        let now = lines.iter().take_while(|line| line.end <= *end).count();
        let (print, later) = lines.split_at(now);
        *lines = later;
        for Line { start, kind, text, .. } in print {
            let (on, off) = if colours { (kind.colour(), "\x1b[0m") } else { ("", "") };
            writeln!(out, "{on}{arrow} {start:06x} {text}{off}")?;
        }
    }
    Ok(())
}

fn decode(dir: &Path) -> Outcome<bool> {
    let case: Value = serde_json::from_slice(&fs::read(dir.join("case.json"))?)?;
    if case["transport"].as_str().is_some_and(|t| t != "rsh") {
        return Err("the lines in front of a daemon's conversation are not decoded here".into());
    }
    let (c2s, s2c) = (fs::read(dir.join("c2s.bin"))?, fs::read(dir.join("s2c.bin"))?);
    let mut words = strings(&case["server_argv"]);
    let mut skipped = 0;
    let letters = words.iter().find(|w| w.starts_with('-') && !w.starts_with("--"));
    if letters.and_then(|w| w.split('e').next()).is_some_and(|w| w.contains('s')) {
        let (len, more) = secluded_words(&c2s).ok_or("the stream ends inside the arguments")?;
        skipped = len;
        words.extend(more.into_iter().skip(1));
    }
    let command = Command::of(&words);
    let (mut c2s, mut s2c) = (Direction::new(&c2s, skipped), Direction::new(&s2c, 0));
    let agreed = handshake(&command, &mut c2s, &mut s2c)?;
    let pull = command.pull;
    let mut session = Session { command, agreed, names: BTreeMap::new() };
    let (sender, receiver) = if pull { (&mut s2c, &mut c2s) } else { (&mut c2s, &mut s2c) };
    // The lists first: they give the names for the requests.
    let replies = block_on_ready(session.replies(sender));
    let requests = block_on_ready(session.requests(receiver));
    let mut complete = true;
    for (direction, result) in [(sender, replies), (receiver, requests)] {
        if let Err(e) = result {
            complete = false;
            direction.say_frames(direction.raw.len());
            direction.say(direction.position(), Kind::Fault, format!("not decoded from here on: {e}"));
        }
    }
    print(&case["turns"], &c2s.lines, &s2c.lines)?;
    Ok(complete)
}

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1) else {
        eprintln!("usage: decode_capture FOLDER (with c2s.bin, s2c.bin and case.json)");
        return ExitCode::from(1);
    };
    match decode(Path::new(&dir)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(12),
        Err(e) => {
            eprintln!("decode_capture: {}: {e}", Path::new(&dir).display());
            ExitCode::from(1)
        }
    }
}
