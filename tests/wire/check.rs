//! Compares what was decoded with the trees before and after the run.

use std::collections::{BTreeMap, BTreeSet};

use arsync_core::{
    charset::{Conversion, Toward},
    checksum::{Hasher, TransferSums, weak},
    flist::entry::{EntryFlags, EntryRef, FileKind},
    item::BasisType,
    mux::MsgTag,
    options::{Append, FilesFrom, SessionOptions},
    rt::block_on_ready,
};

use crate::{
    command::Command,
    corpus::{Case, Node, Tree, strings},
    decode::{Context, Fault, Files, Replies, Request, Requests, ensure, handshake, replies, requests},
    greeting::prelude,
};

/// How a case ended.
#[derive(Debug)]
pub enum Outcome {
    Decoded(Summary),
    /// Core has no decoder for it; the kind and why.
    NotCovered(&'static str),
}

/// What was compared, for the totals.
#[derive(Debug, Default, Clone, Copy)]
pub struct Summary {
    pub lists: usize,
    pub entries: usize,
    /// Entries that were found in the source tree.
    pub known: usize,
    pub transfers: usize,
    /// Contents that were found in a tree.
    pub contents: usize,
    /// The run failed and its streams end early.
    pub cut: usize,
}

/// Decodes a case, lent in pieces of at most `piece` bytes, and compares everything.
pub fn check(case: &Case, piece: usize) -> Result<Outcome, Fault> {
    if case.is_daemon() && prelude(case)?.is_none() {
        return Ok(Outcome::NotCovered("lines of a daemon only, which were compared"));
    }
    let failed = !matches!(case.json["client_exit"].as_i64(), Some(0 | 23 | 24 | 25));
    match decode(case, piece) {
        Err(Fault::Wire(_)) if failed => Ok(Outcome::Decoded(Summary { cut: 1, ..Summary::default() })),
        other => other.map(Outcome::Decoded),
    }
}

/// Decodes a case and compares everything; no mercy for runs that failed.
pub fn decode(case: &Case, piece: usize) -> Result<Summary, Fault> {
    let command = Command::of(case);
    let (agreed, mut c2s, mut s2c) = handshake(case, &command, piece)?;
    let cx = Context { case, command: &command, agreed };
    let (from_sender, from_receiver) =
        if case.is_pull() { (&mut s2c, &mut c2s) } else { (&mut c2s, &mut s2c) };
    let mut asked = Requests::default();
    block_on_ready(requests(&cx, from_receiver, &mut asked))?;
    let mut world = World::new(case, agreed.sums(), &command.options)?;
    let mut sent = Replies::default();
    block_on_ready(replies(&cx, from_sender, &mut asked, &mut world, &mut sent))?;

    check_requests(&cx, &asked, &sent, from_sender.messages())?;
    check_names(case, &asked)?;
    let (entries, known) = check_lists(&cx, &world, &sent)?;
    check_stats(&cx, &sent)?;
    check_deletions(&cx, &world, &asked, from_receiver.messages())?;
    ensure!(sent.broken.is_empty() || case.kind == "vanished", "checksums of {:?} stay wrong", sent.broken);
    world.check_result(&cx)?;
    Ok(Summary {
        lists: sent.same_lists,
        entries,
        known,
        transfers: sent.transfers,
        contents: world.contents,
        cut: 0,
    })
}

/// The files of both sides.
pub struct World {
    source: Option<Tree>,
    before: Option<Tree>,
    after: Option<Tree>,
    /// Directories, relative to the working directory, that names of the list lie below.
    bases: Vec<Vec<u8>>,
    dest: Vec<u8>,
    sums: TransferSums,
    append: Append,
    /// Charsets of the sending and of the receiving side, where names are converted.
    charsets: Option<[Conversion; 2]>,
    /// Contents made in this session by name, good and bad ones.
    made: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
    contents: usize,
}

fn join(base: &[u8], name: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    for part in [base, name] {
        for component in part.split(|&b| b == b'/').filter(|c| !c.is_empty() && *c != b".") {
            if !out.is_empty() {
                out.push(b'/');
            }
            out.extend_from_slice(component);
        }
    }
    out
}

/// The path inside of a tree that lies in the working directory as `root`.
fn inside(path: &[u8], root: &[u8]) -> Option<Vec<u8>> {
    let rest = path.strip_prefix(root)?;
    match rest.first() {
        None => Some(b".".to_vec()),
        Some(b'/') => Some(rest[1..].to_vec()),
        Some(_) => None,
    }
}

/// Source arguments and destination of a command line, host names taken off.
fn arguments(case: &Case) -> (Vec<String>, Option<String>) {
    let words = case.words("client_argv");
    let mut places = Vec::new();
    let mut skip = false;
    for word in words.iter().skip(1) {
        if skip {
            skip = false;
        } else if word == "-e" {
            skip = true;
        } else if !word.starts_with('-') {
            places
                .push(word.strip_prefix("h:").or_else(|| word.strip_prefix(':')).unwrap_or(word).to_owned());
        }
    }
    let listing = words.iter().any(|w| w == "--list-only");
    let dest = if listing || places.len() < 2 { None } else { places.pop() };
    // The module of a daemon that receives is the destination.
    let dest = dest.map(|dest| match dest.split_once("/mod/") {
        Some((_, below)) if dest.starts_with("rsync://") => format!("dst/{below}"),
        _ => dest,
    });
    (places, dest)
}

impl World {
    pub fn new(case: &Case, sums: TransferSums, options: &SessionOptions) -> Result<Self, Fault> {
        let (sources, dest) = arguments(case);
        let mut bases = Vec::new();
        for source in &sources {
            let base = if options.select.relative || options.select.files_from != FilesFrom::None {
                match source.split_once("/./") {
                    Some((base, _)) => base,
                    None if options.select.files_from == FilesFrom::None => "",
                    None => source.as_str(),
                }
            } else {
                source.rsplit_once('/').map_or("", |(base, _)| base)
            };
            // A list of names that is read by a pushing client leaves no trace in the server's arguments.
            if case.words("client_argv").iter().any(|w| w.starts_with("--files-from")) {
                bases.push(join(source.as_bytes(), b""));
            }
            bases.push(join(base.as_bytes(), b""));
        }
        let one_file = case.kind == "onefile";
        let dest = dest.unwrap_or_default();
        let dest = if one_file { String::new() } else { dest };
        Ok(Self {
            source: case.tree("source"),
            before: case.tree("dest_before"),
            after: case.tree("dest_after"),
            bases,
            dest: join(dest.as_bytes(), b""),
            sums,
            append: options.transfer.append,
            charsets: Command::of(case).names,
            made: BTreeMap::new(),
            contents: 0,
        })
    }

    /// The files of the source that a name may stand for: one for each argument that has it.
    fn source_nodes(&self, name: &[u8]) -> impl Iterator<Item = (&Tree, &Node)> {
        let paths = self.bases.iter().filter_map(|base| inside(&join(base, name), b"src"));
        let paths: Vec<_> = paths.collect();
        let tree = self.source.as_ref();
        paths.into_iter().filter_map(move |path| tree.and_then(|t| t.nodes.get(&path).map(|node| (t, node))))
    }

    /// A name may stand for something above the source tree.
    fn outside(&self, name: &[u8]) -> bool {
        self.bases.iter().any(|base| inside(&join(base, name), b"src").is_none())
    }

    /// A name of the sending side as it is at the destination.
    fn name_at_dest(&self, name: &[u8]) -> Vec<u8> {
        match &self.charsets {
            Some([sender, receiver]) => receiver.text(Toward::Here, &sender.text(Toward::Wire, name)),
            None => name.to_vec(),
        }
    }

    fn dest_node<'t>(&self, tree: &'t Option<Tree>, name: &[u8]) -> Option<(&'t Tree, &'t Node)> {
        let tree = tree.as_ref()?;
        let name = &self.name_at_dest(name);
        let path = inside(&join(&self.dest, name), b"dst")?;
        tree.nodes.get(&path).map(|node| (tree, node))
    }

    /// Whether a content has the sums of a request.
    fn has_sums(&self, content: &[u8], request: &Request) -> bool {
        let Some(sums) = &request.sums else { return false };
        let head = &sums.head;
        content.len() as u64 == head.basis_len()
            && sums.blocks.as_ref().is_none_or(|blocks| {
                blocks.iter().zip(0..).all(|((rolling, strong), i)| {
                    let (at, len) = head.block_range(i);
                    let block = &content[at as usize..][..len as usize];
                    weak(block) == *rolling && self.sums.block(block).as_bytes()[..strong.len()] == strong[..]
                })
            })
    }

    /// What was transferred lies at the destination.
    fn check_result(&self, cx: &Context<'_>) -> Result<(), Fault> {
        let options = &cx.command.options;
        if options.dry_run || cx.command.only_write_batch || cx.case.json["client_exit"] != 0 {
            return Ok(());
        }
        for (name, contents) in &self.made {
            let Some((tree, node)) = self.dest_node(&self.after, name) else { continue };
            let (Some(there), Some(made)) = (tree.content(node), contents.last()) else { continue };
            ensure!(there == made, "{} at the destination is another file", name.escape_ascii());
        }
        Ok(())
    }
}

impl Files for World {
    fn basis(&mut self, name: &[u8], request: &Request) -> Result<Vec<u8>, Fault> {
        let Some(sums) = request.sums.as_ref().filter(|s| s.head.count > 0) else { return Ok(Vec::new()) };
        let mut candidates: Vec<&[u8]> = Vec::new();
        if request.header.basis == BasisType::Name {
            candidates.extend(self.made.get(name).into_iter().flatten().rev().map(Vec::as_slice));
            if let Some((tree, node)) = self.dest_node(&self.before, name) {
                candidates.extend(tree.content(node));
            }
        }
        let own = candidates.len();
        for tree in [&self.before, &self.source, &self.after].into_iter().flatten() {
            candidates.extend(tree.contents());
        }
        let found = candidates.iter().position(|c| self.has_sums(c, request));
        let Some(found) = found else {
            return Err(Fault::Check(format!(
                "no file has the sums {:?} for {}",
                sums.head,
                name.escape_ascii()
            )));
        };
        ensure!(
            own == 0 || found < own || self.dest_node(&self.before, name).is_none(),
            "the sums for {} are not of the file there",
            name.escape_ascii()
        );
        Ok(candidates[found].to_vec())
    }

    fn file(&mut self, name: &[u8], content: Vec<u8>, kept: usize, sum: &[u8]) -> Result<bool, Fault> {
        let mut hasher = self.sums.file_hasher();
        let kept = if self.append == Append::Trust { kept } else { 0 };
        hasher.update(&content[kept..]);
        let right = hasher.finish().as_bytes() == sum;
        if right {
            let sources: Vec<_> =
                self.source_nodes(name).filter_map(|(tree, node)| tree.content(node)).collect();
            if !sources.is_empty() {
                ensure!(
                    sources.contains(&&content[..]),
                    "{} is not the file of the source",
                    name.escape_ascii()
                );
                self.contents += 1;
            }
        }
        self.made.entry(name.to_vec()).or_default().push(content);
        Ok(right)
    }
}

/// Counts of marks; each request was answered or refused.
fn check_requests(
    cx: &Context<'_>,
    asked: &Requests,
    sent: &Replies,
    messages: &[(MsgTag, Vec<u8>)],
) -> Result<(), Fault> {
    let p = cx.agreed.protocol;
    let empty = cx.case.is_pull() && sent.lists.iter().all(|(l, _)| l.is_empty());
    let marks = if empty {
        0
    } else {
        sent.lists.len() + 2 + usize::from(p.has_item_flags()) + usize::from(p.has_extended_goodbye())
    };
    ensure!(asked.dones == marks, "{} marks instead of {marks}", asked.dones);
    let refused: Vec<i32> = messages
        .iter()
        .filter(|(tag, _)| *tag == MsgTag::NoSend)
        .filter_map(|(_, m)| m.first_chunk().map(|b| i32::from_le_bytes(*b)))
        .collect();
    for request in asked.items.iter().filter(|r| !r.answered) {
        let silent = !p.has_varints() && matches!(cx.case.json["client_exit"].as_i64(), Some(23 | 24));
        ensure!(silent || refused.contains(&request.ndx), "{request:?} was not answered");
    }
    Ok(())
}

/// The names of `--files-from` are lines of a list of the case.
fn check_names(case: &Case, asked: &Requests) -> Result<(), Fault> {
    let Some(lists) = case.json["files"].as_object() else {
        ensure!(asked.names.is_empty(), "names without a list");
        return Ok(());
    };
    let lines: BTreeSet<Vec<u8>> = lists
        .values()
        .flat_map(|list| strings(&serde_json::json!([list])))
        .flat_map(|list| {
            let bytes: Vec<u8> = list.chars().map(|c| c as u8).collect();
            bytes.split(|b| matches!(b, 0 | b'\n' | b'\r')).map(<[u8]>::to_vec).collect::<Vec<_>>()
        })
        .collect();
    for name in &asked.names {
        ensure!(lines.contains(name), "{} is in no list", name.escape_ascii());
    }
    Ok(())
}

fn check_lists(cx: &Context<'_>, world: &World, sent: &Replies) -> Result<(usize, usize), Fault> {
    let mut known = 0;
    let mut seen = BTreeSet::new();
    let mut links = BTreeMap::new();
    for (list, _) in &sent.lists {
        for i in 0..list.len() {
            let entry = list.get(i).expect("an entry");
            seen.insert(entry.name().to_vec());
            let mut fault = "not in the source".to_owned();
            let found = world
                .source_nodes(entry.name())
                .find(|(tree, node)| check_entry(cx, tree, node, entry).map_err(|what| fault = what).is_ok());
            let Some((_, node)) = found else {
                let may = world.source.is_none()
                    || entry.entry.kind() == FileKind::Missing
                    || cx.case.kind == "links-copy"
                    || world.outside(entry.name());
                ensure!(may, "{}: {fault}", entry.name().escape_ascii());
                continue;
            };
            if entry.entry.flags.contains(EntryFlags::HLINKED) {
                if let Some(link) = node.link {
                    let group = *links.entry(link).or_insert(entry.extra().link_group);
                    ensure!(
                        group == entry.extra().link_group,
                        "{} is in another group",
                        entry.name().escape_ascii()
                    );
                }
            } else if cx.command.options.preserve.hard_links > 0 && !entry.entry.is_dir() {
                ensure!(node.link.is_none(), "{} has links", entry.name().escape_ascii());
            }
            known += 1;
        }
    }
    let groups: BTreeSet<u32> = links.values().copied().collect();
    ensure!(groups.len() == links.len(), "groups of links were joined");
    let words = cx.case.words("client_argv");
    let filtered = words.iter().any(|w| {
        ["--exclude", "--include", "--filter", "-F", "-aF", "-C", "-aC", "--files-from"]
            .iter()
            .any(|o| w.starts_with(o))
    });
    let whole = arguments(cx.case).0 == ["src/"] && cx.command.options.select.recursive && !filtered;
    if let Some(source) = world.source.as_ref().filter(|_| whole && cx.case.json["client_exit"] == 0) {
        let missing: Vec<_> = source.nodes.keys().filter(|path| !seen.contains(*path)).collect();
        ensure!(missing.is_empty() || cx.case.kind == "links-copy", "{missing:?} were not sent");
    }
    Ok((sent.lists.iter().map(|(l, _)| l.len()).sum(), known))
}

/// One entry against the file that it describes.
fn check_entry(cx: &Context<'_>, tree: &Tree, node: &Node, e: EntryRef<'_>) -> Result<(), String> {
    let protocol = cx.agreed.protocol;
    let p = &cx.command.options.preserve;
    let entry = e.entry;
    let words = cx.case.words("client_argv");
    let given = |option: &str| words.iter().any(|w| w.starts_with(option));
    let differ = |what: &str, got: &dyn std::fmt::Debug, want: &dyn std::fmt::Debug| {
        Err(format!("{what} is {got:?}, not {want:?}"))
    };
    if entry.mode >> 12 != node.mode >> 12 {
        let followed = node.mode >> 12 == 0o12
            && (cx.command.options.select.copy_links
                || given("--copy-unsafe")
                || given("-aL")
                || given("-k"));
        return if followed { Ok(()) } else { differ("type", &entry.kind(), &node.mode) };
    }
    let chmod = !cx.case.is_pull() && given("--chmod") && !entry.is_symlink();
    if entry.mode != node.mode && !chmod {
        return differ("mode", &entry.mode, &node.mode);
    }
    let mtime = if protocol.has_varints() { node.mtime } else { i64::from(node.mtime as u32) };
    if entry.mtime != mtime {
        return differ("mtime", &entry.mtime, &mtime);
    }
    let nsec = if protocol.has_nanoseconds() { node.nsec } else { 0 };
    if entry.nsec != nsec {
        return differ("nanoseconds", &entry.nsec, &nsec);
    }
    if p.owner && entry.uid != node.uid {
        return differ("uid", &entry.uid, &node.uid);
    }
    if p.group && entry.gid != node.gid {
        return differ("gid", &entry.gid, &node.gid);
    }
    // Making the tree's description touched the links.
    if p.atimes > 0 && entry.is_regular() && node.atime.is_some_and(|a| a != e.extra().atime) {
        return differ("atime", &e.extra().atime, &node.atime);
    }
    match entry.kind() {
        FileKind::Regular if Some(entry.size) != node.size => return differ("size", &entry.size, &node.size),
        FileKind::Symlink if p.links && !given("--munge") && e.link_target() != node.target => {
            return differ("target", &e.link_target(), &node.target);
        }
        FileKind::Symlink if entry.size != node.target.len() as u64 => {
            return differ("size", &entry.size, &node.target.len());
        }
        FileKind::Char | FileKind::Block if p.devices => {
            let want = if protocol.has_extended_flags() {
                node.rdev
            } else {
                (node.rdev.0 & 0xfff, node.rdev.1 & 0xf_ffff)
            };
            if e.extra().rdev != want {
                return differ("device", &e.extra().rdev, &want);
            }
        }
        _ => {}
    }
    if let Some(content) = tree.content(node).filter(|_| cx.command.options.select.checksum) {
        let mut hasher = Hasher::new(cx.agreed.list_sum);
        hasher.update(content);
        let sum = hasher.finish();
        if e.checksum() != sum.as_bytes() {
            return differ("checksum", &e.checksum(), &sum.as_bytes());
        }
    }
    Ok(())
}

/// The total size is that of the listed files and symlinks.
fn check_stats(cx: &Context<'_>, sent: &Replies) -> Result<(), Fault> {
    let Some(stats) = &sent.stats else { return Ok(()) };
    let entries = sent.lists.iter().flat_map(|(l, _)| &l.entries);
    let total: u64 =
        entries.filter(|e| matches!(e.kind(), FileKind::Regular | FileKind::Symlink)).map(|e| e.size).sum();
    ensure!(stats.total_size == total, "total size {} of {total}", stats.total_size);
    ensure!(stats.written <= cx.case.c2s.len() as u64, "{} bytes written", stats.written);
    ensure!(stats.read <= cx.case.s2c.len() as u64, "{} bytes read", stats.read);
    Ok(())
}

/// Names in messages of deletion were there and are gone; the counts are those of the trees.
fn check_deletions(
    cx: &Context<'_>,
    world: &World,
    asked: &Requests,
    messages: &[(MsgTag, Vec<u8>)],
) -> Result<(), Fault> {
    let (Some(before), Some(after)) = (&world.before, &world.after) else { return Ok(()) };
    let dry = cx.command.options.dry_run;
    for (_, name) in messages.iter().filter(|(tag, _)| *tag == MsgTag::Deleted) {
        let (name, dir) = name.strip_suffix(b"\0").map_or((name.as_slice(), false), |n| (n, true));
        let name = &match &world.charsets {
            Some([sender, _]) => sender.text(Toward::Here, name),
            None => name.to_vec(),
        };
        let there = world.dest_node(&world.before, name).map(|(_, node)| node.mode >> 12 == 0o4);
        ensure!(there == Some(dir), "{} was not there to be deleted", name.escape_ascii());
        let kept =
            world.dest_node(&world.after, name).is_some_and(|(_, node)| (node.mode >> 12 == 0o4) == dir);
        ensure!(dry || !kept, "{} is still there", name.escape_ascii());
    }
    let Some(counts) = asked.deleted else { return Ok(()) };
    if dry || cx.command.only_write_batch || cx.case.json["client_exit"] == 23 {
        return Ok(());
    }
    let backup = cx.case.words("client_argv").iter().any(|w| w == "-b" || w.starts_with("--backup"));
    if !backup {
        // What something of another type replaced is not counted.
        let gone = before.nodes.keys().filter(|path| !after.nodes.contains_key(*path)).count() as u64;
        ensure!(counts.total() == gone, "{counts:?} for {gone} deletions");
    }
    Ok(())
}
