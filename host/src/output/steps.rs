//! The texts of steps (`--debug`): which word and level they belong to, and how the reference words them.

use arsync_core::{
    error::Role,
    ports::{DeleteWhy, Step},
    setup::Side,
};

use super::message::Wording;
use crate::{
    cli::words::{Debug, Levels},
    session::Handshaken,
};

/// The word and the level that show a step.
const fn level_of(from: Role, step: &Step<'_>) -> (Debug, u8) {
    match step {
        Step::MakeFile { .. }
        | Step::ListMade
        | Step::ReceivingList(_)
        | Step::ReceivedName(_)
        | Step::ReceivedNames(_) => (Debug::Flist, 2),
        Step::ListSent | Step::ListsEnd => (Debug::Flist, 3),
        Step::Entering { .. } => (Debug::Filter, 2),
        Step::WorksIn { .. } => (Debug::Chdir, 1),
        Step::IdMapped { .. } => (Debug::Own, 2),
        Step::OwnerSet { .. } => (Debug::Own, 1),
        Step::Destination { .. } => (Debug::Recv, 1),
        Step::Starts { .. } | Step::Phase(_) | Step::Ends | Step::Item { .. } => (role_word(from), 1),
        Step::Sent { .. } => (Debug::Send, 1),
        Step::MakingNode { .. } => (Debug::Genr, 1),
        Step::TouchUp { .. } => (Debug::Time, 2),
        Step::DeleteIn(_) | Step::DeleteItem { .. } => (Debug::Del, 2),
        Step::DeleteContents { .. } => (Debug::Del, 3),
        Step::FuzzyBasis { .. } => (Debug::Fuzzy, 1),
        Step::LinkWaits { .. } => (Debug::Hlink, 2),
        Step::Mapped { .. } if matches!(from, Role::Generator) => (Debug::Deltasum, 3),
        Step::Sums(_) if matches!(from, Role::Sender) => (Debug::Deltasum, 3),
        Step::Data { .. } | Step::Block { .. } => (Debug::Deltasum, 3),
        Step::Mapped { .. }
        | Step::Sums(_)
        | Step::SendingSums(_)
        | Step::Matching { .. }
        | Step::Searching { .. }
        | Step::Match { .. }
        | Step::Searched
        | Step::SendingSum { .. }
        | Step::GotSum => (Debug::Deltasum, 2),
        // Those of a newer core are for those who ask for everything.
        _ => (Debug::Fuzzy, 2),
    }
}

const fn role_word(from: Role) -> Debug {
    match from {
        Role::Sender => Debug::Send,
        Role::Generator => Debug::Genr,
        _ => Debug::Recv,
    }
}

/// True if some word is set that shows steps.
pub(crate) fn followed(levels: &Levels) -> bool {
    let words = [
        Debug::Chdir,
        Debug::Del,
        Debug::Deltasum,
        Debug::Filter,
        Debug::Flist,
        Debug::Fuzzy,
        Debug::Genr,
        Debug::Hlink,
        Debug::Own,
        Debug::Recv,
        Debug::Send,
        Debug::Time,
    ];
    words.into_iter().any(|word| levels.debug(word) > 0)
}

/// A path of the sender as its messages about files have it: as typed.
pub(crate) type Typed<'a> = &'a dyn Fn(u32, &[u8]) -> Vec<u8>;

/// The lines of a step, without newlines. None: it is not wanted.
pub(crate) fn lines(
    from: Role,
    step: &Step<'_>,
    w: &Wording<'_>,
    dest: &[u8],
    typed: Typed<'_>,
) -> Vec<Vec<u8>> {
    let (word, level) = level_of(from, step);
    if w.levels.debug(word) < level {
        return Vec::new();
    }
    let text = delta(from, step, typed).or_else(|| role(from, step, typed));
    let text = text.or_else(|| item(from, step, w, dest));
    // Those of a newer core have no words yet.
    let text = text.unwrap_or_else(|| format!("{step:?}").into_bytes());
    match step {
        // The reference has two lines for these facts, and none of them holds a name.
        Step::ReceivedNames(_) | Step::Searching { .. } | Step::SendingSum { .. } => {
            text.split(|&b| b == b'\n').map(<[u8]>::to_vec).collect()
        }
        _ => vec![text],
    }
}

/// The lines about a handshake. `level`: of the compression, where it was given.
pub(crate) fn handshake(
    side: Side,
    fact: &Handshaken<'_>,
    levels: &Levels,
    level: Option<i32>,
) -> Vec<String> {
    let (this, peer) = match side {
        Side::Client => ("Client", "Server"),
        Side::Server => ("Server", "Client"),
    };
    let here = if side == Side::Client { "client" } else { "server" };
    match *fact {
        Handshaken::Versions { remote, negotiated } if levels.debug(Debug::Proto) > 0 => {
            vec![format!("({this}) Protocol versions: remote={remote}, negotiated={}", negotiated.number())]
        }
        Handshaken::Names { what, own, theirs, chosen } if levels.debug(Debug::Nstr) > 0 => {
            let mut lines = Vec::new();
            if levels.debug(Debug::Nstr) > 1
                && let Some(theirs) = theirs
            {
                for (who, names) in [(this, own), (peer, theirs)] {
                    let names = String::from_utf8_lossy(names);
                    lines.push(format!("{who} {what} list (on {here}): {names}"));
                }
            }
            let verb = if theirs.is_some() { "negotiated " } else { "" };
            let level = match (what, level, chosen) {
                ("checksum", ..) => String::new(),
                (_, Some(level), _) => format!(" (level {level})"),
                (_, None, "zstd") => " (level 3)".into(),
                (_, None, "lz4" | "none") => " (level 0)".into(),
                (_, None, _) => " (level 6)".into(),
            };
            lines.push(format!("{this} {verb}{what}: {chosen}{level}"));
            lines
        }
        Handshaken::Reached { host, address } if levels.debug(Debug::Connect) > 1 => {
            vec![format!("Connected to {host} ({address})")]
        }
        Handshaken::Transport(kind) if levels.debug(Debug::Io) > 0 => {
            vec![format!("({this}) reads and writes through {kind}")]
        }
        _ => Vec::new(),
    }
}

/// What is told of names, directories, ids. `None`: it is no such step.
fn item(from: Role, step: &Step<'_>, w: &Wording<'_>, dest: &[u8]) -> Option<Vec<u8>> {
    let around =
        |before: &str, name: &[u8], after: &str| [before.as_bytes(), name, after.as_bytes()].concat();
    Some(match *step {
        Step::MakeFile { name, inside } => {
            around(&format!("[{from}] make_file("), name, if inside { ",*,2)" } else { ",*,0)" })
        }
        Step::ListMade => b"send_file_list done".to_vec(),
        Step::ListSent => b"file list sent".to_vec(),
        Step::ListsEnd => format!("[{from}] flist_eof=1").into_bytes(),
        Step::ReceivingList(dir) => format!("[{from}] receiving flist for dir {dir}").into_bytes(),
        Step::ReceivedName(name) => around("recv_file_name(", name, ")"),
        Step::ReceivedNames(count) => format!("received {count} names\nrecv_file_list done").into_bytes(),
        Step::Entering { dir, base } => {
            let path = w.roots.path(base, dir);
            let path = path.strip_suffix(b"/.").unwrap_or(&path);
            around(&format!("[{from}] pushing local filters for "), path, "/")
        }
        Step::WorksIn { base } => {
            let path = w.roots.path(base, b".");
            let path = path.strip_suffix(b"/.").unwrap_or(&path);
            around(&format!("[{from}] change_dir("), path, ")")
        }
        Step::IdMapped { group, id, name, to } => {
            let kind = if group { "gid" } else { "uid" };
            around(&format!("{kind} {id}("), name.unwrap_or_default(), &format!(") maps to {to}"))
        }
        Step::OwnerSet { group, name, from, to } => {
            let kind = if group { "gid" } else { "uid" };
            around(&format!("set {kind} of "), name, &format!(" from {from} to {to}"))
        }
        Step::Destination { count } => around(&format!("get_local_name count={count} "), dest, ""),
        Step::MakingNode { name, mode, rdev: (major, minor) } => {
            around("mknod(", name, &format!(", 0{mode:o}, [{major},{minor}])"))
        }
        Step::TouchUp { name, number } => around("touch_up_dirs: ", name, &format!(" ({number})")),
        Step::DeleteIn(name) => around("delete_in_dir(", name, ")"),
        Step::DeleteItem { name, mode, why } => {
            around("delete_item(", name, &format!(") mode={mode:o} flags={}", flags(why, false)))
        }
        Step::DeleteContents { name, why } => {
            around("delete_dir_contents(", name, &format!(") flags={}", flags(why, true)))
        }
        Step::FuzzyAlike(name) => around("fuzzy size/modtime match for ", name, ""),
        Step::FuzzyDistance { name, distance } => {
            let tail = format!(" = {}.{:05}", distance >> 16, distance & 0xffff);
            around("fuzzy distance for ", name, &tail)
        }
        Step::FuzzyBasis { name, basis } => [b"fuzzy basis selected for ", name, b": ", basis].concat(),
        Step::LinkWaits { ndx, name, group } => {
            around(&format!("hlink for {ndx} ("), name, &format!(",{group}): waiting for -1"))
        }
        _ => return None,
    })
}

/// The number that the reference shows for the reason of a removal.
const fn flags(why: DeleteWhy, contents: bool) -> u8 {
    match why {
        DeleteWhy::Extraneous => 2,
        DeleteWhy::Inside if contents => 6,
        DeleteWhy::Inside => 4,
        DeleteWhy::InTheWay { of, with_contents } => {
            let what = match of.as_bytes() {
                b"regular file" => 8,
                b"directory" => 16,
                b"symlink" => 32,
                b"device file" => 64,
                _ => 128,
            };
            what + if with_contents { 2 } else { 0 }
        }
    }
}

/// What is told of a role's way through the items, likewise.
fn role(from: Role, step: &Step<'_>, typed: Typed<'_>) -> Option<Vec<u8>> {
    let (verb, done) = match from {
        Role::Sender => ("send_files", "send files finished"),
        Role::Generator => ("generate_files", "generate_files finished"),
        _ => ("recv_files", "recv_files finished"),
    };
    Some(match (from, *step) {
        (Role::Sender, Step::Starts { .. }) => b"send_files starting".to_vec(),
        (Role::Generator, Step::Starts { .. }) => {
            format!("generator starting pid={}", std::process::id()).into_bytes()
        }
        (_, Step::Starts { count }) => format!("recv_files({count}) starting").into_bytes(),
        (_, Step::Phase(phase)) => format!("{verb} phase={phase}").into_bytes(),
        (_, Step::Ends) => done.as_bytes().to_vec(),
        (Role::Sender, Step::Item { name, base, ndx }) => {
            [format!("send_files({ndx}, ").as_bytes(), &typed(base, name), b")"].concat()
        }
        (Role::Generator, Step::Item { name, ndx, .. }) => {
            [b"recv_generator(", name, format!(",{ndx})").as_bytes()].concat()
        }
        (_, Step::Item { name, .. }) => [b"recv_files(", name, b")"].concat(),
        (_, Step::Sent { name, base }) => [b"sender finished ", &typed(base, name)[..]].concat(),
        _ => return None,
    })
}

/// What is told of the data of a file, likewise.
fn delta(from: Role, step: &Step<'_>, typed: Typed<'_>) -> Option<Vec<u8>> {
    let text = match *step {
        Step::Mapped { name, base, size } => {
            let path = if from == Role::Sender { typed(base, name) } else { name.to_vec() };
            let verb = match from {
                Role::Sender => "send_files mapped ",
                Role::Generator => "gen mapped ",
                _ => "recv mapped ",
            };
            return Some([verb.as_bytes(), &path, format!(" of size {size}").as_bytes()].concat());
        }
        Step::Matching { name, base } => {
            return Some([b"calling match_sums ", &typed(base, name)[..]].concat());
        }
        Step::SendingSums(ndx) => format!("generating and sending sums for {ndx}"),
        Step::Sums(head) if from == Role::Sender => {
            format!("count={} n={} rem={}", head.count, head.block_len, head.remainder)
        }
        Step::Sums(head) => format!(
            "count={} rem={} blength={} s2length={} flength={}",
            head.count,
            head.remainder,
            head.block_len,
            head.s2length,
            head.basis_len()
        ),
        Step::Searching { block_len, len } => {
            format!("built hash table\nhash search b={block_len} len={len}")
        }
        Step::Match { at, block, len, literal } => {
            format!("match at {at} last_match={} j={block} len={len} n={literal}", at - literal)
        }
        Step::Searched => "done hash search".into(),
        Step::SendingSum { false_alarms, hash_hits, matches } => {
            format!("sending file_sum\nfalse_alarms={false_alarms} hash_hits={hash_hits} matches={matches}")
        }
        Step::Data { len, at } => format!("data recv {len} at {at}"),
        Step::Block { block, len, from, at } => {
            format!("chunk[{block}] of size {len} at {from} offset={at}")
        }
        Step::GotSum => "got file_sum".into(),
        _ => return None,
    };
    Some(text.into_bytes())
}
