//! The argument vector of the server (spec: the server's argument list).

use arsync_core::options::{Append, Compress, DeleteWhen};
use arsync_core::token::CompressKind;

use super::{
    operands::{Reach, Route},
    parse::{Dirs, RemoveSource, StderrMode, alt_dest_name},
    resolve::{NameList, Resolved},
};
use crate::output::format;

/// What the server is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServerArgs {
    /// What stands on its command line, escaped for a shell where one comes between.
    pub(crate) argv: Vec<Vec<u8>>,
    /// With `-s`: the strings that go through the connection before anything else, each to be ended with NUL;
    /// the last one is empty.
    pub(crate) stream: Option<Vec<Vec<u8>>>,
}

/// First protocol with capability letters.
const CAPABILITY_PROTOCOL: u8 = 30;

/// How values are made safe for the shell on the other side.
#[derive(Debug, Clone, Copy)]
struct Escaping {
    /// Values of options.
    values: bool,
    /// File arguments.
    files: bool,
    /// `-M` items.
    remote_options: bool,
}

/// Makes the vector for a push or a pull; other routes have no server.
pub(crate) fn server_args(r: &Resolved) -> ServerArgs {
    let (push, reach, paths) = match &r.route {
        Route::Push { to, dest, .. } => (true, to.reach, core::slice::from_ref(dest)),
        Route::Pull { from, paths, .. } => (false, from.reach, &paths[..]),
        Route::Local { .. } | Route::Batch { .. } | Route::Server { .. } => (true, Reach::Shell, &[][..]),
    };
    let daemon = reach.is_daemon();
    let plain = r.secluded_args;
    let escaping = Escaping {
        values: !plain && r.old_args < 2,
        files: !plain && !daemon && r.old_args == 0,
        remote_options: !plain && r.old_args == 0,
    };
    let mut argv: Vec<Vec<u8>> = vec![b"--server".to_vec()];
    if !push {
        argv.push(b"--sender".to_vec());
    }
    let bundle = bundle(r, push);
    if bundle.len() > 1 {
        argv.push(bundle.into_bytes());
    }
    if let Some(spec) = &r.iconv {
        let (local, remote) = match memchr::memchr(b',', spec) {
            Some(i) => (&spec[..i], &spec[i + 1..]),
            None => (&spec[..], &spec[..]),
        };
        let charset = if daemon { local } else { remote };
        argv.push(escaped(&[b"--iconv=", charset].concat(), escaping.values));
    }
    let mut rest = Args { list: Vec::new(), escape: escaping.values };
    long_options(r, push, &mut rest);
    let mut rest = rest.list;
    rest.extend(r.cli.remote_options.iter().map(|option| escaped(option, escaping.remote_options)));
    rest.push(b".".to_vec());
    for path in paths {
        let path = file_arg(r, path, escaping.files, !push && !daemon && !plain);
        rest.push(path);
    }
    if !r.secluded_args {
        argv.extend(rest);
        return ServerArgs { argv, stream: None };
    }
    let mut stream = vec![b"rsync".to_vec()];
    stream.extend(rest.into_iter().map(|s| if s.is_empty() { b".".to_vec() } else { s }));
    stream.push(Vec::new());
    ServerArgs { argv, stream: Some(stream) }
}

/// `-` and the letters, in the order of the reference.
fn bundle(r: &Resolved, push: bool) -> String {
    let (cli, opts) = (&r.cli, &r.opts);
    let (select, preserve, transfer) = (&opts.select, &opts.preserve, &opts.transfer);
    let mut out = String::from("-");
    let mut put = |letter: char, times: u32| out.extend(core::iter::repeat_n(letter, times as usize));
    put('s', r.secluded_args.into());
    put('v', cli.verbose.min(9));
    put('q', (r.output.quiet && r.output.stderr != StderrMode::Client).into());
    put('b', transfer.backup.into());
    put('u', select.update.into());
    put('n', cli.dry_run.into());
    put('l', preserve.links.into());
    let implied_dirs = select.dirs && (opts.list_only || (opts.deleting() && push));
    let dirs = match cli.dirs {
        Some(Dirs::Off) => false,
        Some(Dirs::On) => true,
        Some(Dirs::Old) | None => implied_dirs,
    };
    put('d', (dirs && !select.recursive).into());
    if push {
        put('K', select.keep_dirlinks.into());
        put('m', select.prune_empty_dirs.into());
        let implied_omit = transfer.backup && transfer.backup_dir.is_none();
        put('O', (cli.omit_dir_times && !implied_omit).into());
        put('J', preserve.omit_link_times.into());
        let alternates = !transfer.alt_dests.is_empty();
        put('y', u32::from(transfer.fuzzy).min(if alternates { 2 } else { 1 }));
    } else {
        put('L', select.copy_links.into());
        put('k', select.copy_dirlinks.into());
    }
    put('W', (transfer.whole_file == Some(true)).into());
    put('H', preserve.hard_links.into());
    put('o', preserve.owner.into());
    put('g', preserve.group.into());
    put('D', preserve.devices.into());
    put('t', preserve.times.into());
    put('U', preserve.atimes.into());
    put('p', preserve.perms.into());
    put('E', (preserve.executability && !preserve.perms && push).into());
    put('A', preserve.acls.into());
    put('X', preserve.xattrs.into());
    put('r', select.recursive.into());
    put('c', select.checksum.into());
    put('C', select.cvs_exclude.into());
    put('I', select.ignore_times.into());
    put('R', select.relative.into());
    put('x', select.one_file_system.into());
    put('S', transfer.sparse.into());
    put('z', sends_z(r).into());
    if new_protocol(r) {
        out.push_str("e.");
        if !opts.forbids_inc_recursion(!push) {
            out.push('i');
        }
        out.push_str("LsfxCIvu");
    }
    out
}

fn new_protocol(r: &Resolved) -> bool {
    r.opts.protocol.is_none_or(|p| p >= CAPABILITY_PROTOCOL)
}

/// `z` stands for a negotiated algorithm that `-z` asked for, and for zlib.
fn sends_z(r: &Resolved) -> bool {
    match r.compress_asked {
        Compress::Negotiate => r.cli.compress > 0,
        Compress::Explicit(CompressKind::Zlib) => true,
        _ => false,
    }
}

struct Args {
    list: Vec<Vec<u8>>,
    escape: bool,
}

impl Args {
    fn flag(&mut self, name: &str, on: bool) {
        if on {
            self.list.push(name.as_bytes().to_vec());
        }
    }

    /// `NAME=VALUE` in one word; `name` holds the `=`.
    fn value(&mut self, name: &str, value: &[u8]) {
        self.list.push(escaped(&[name.as_bytes(), value].concat(), self.escape));
    }

    fn number(&mut self, name: &str, value: impl ToString) {
        self.value(name, value.to_string().as_bytes());
    }

    /// The value in a word of its own.
    fn pair(&mut self, name: &str, value: &[u8]) {
        self.list.push(name.as_bytes().to_vec());
        self.list.push(escaped(value, self.escape));
    }
}

#[allow(clippy::too_many_lines)] // the order is the point
fn long_options(r: &Resolved, push: bool, args: &mut Args) {
    let (cli, opts) = (&r.cli, &r.opts);
    let (select, preserve, transfer, delete) = (&opts.select, &opts.preserve, &opts.transfer, &opts.delete);
    args.flag("--list-only", cli.list_only);
    args.flag("--no-r", push && select.dirs && !select.recursive && opts.deleting());
    if let Some(level) = cli.compress_level {
        args.number("--compress-level=", level);
    }
    args.flag("--no-specials", preserve.devices && !preserve.specials);
    args.flag("--specials", !preserve.devices && preserve.specials);
    if push && let Some(text) = &r.output.format {
        let form = if format::uses(text, b"i") {
            Some(if cli.itemize > 1 { "%i%I" } else { "%i" })
        } else if format::uses(text, b"o") {
            Some("%o")
        } else {
            (cli.verbose == 0).then_some("X")
        };
        if let Some(form) = form {
            args.list.push([b"--log-format=", form.as_bytes()].concat());
        }
    }
    args.flag("--msgs2stderr", r.output.stderr == StderrMode::All);
    args.flag("--no-msgs2stderr", r.output.stderr == StderrMode::Client);
    if cli.block_size > 0 {
        args.number("-B", cli.block_size);
    }
    if opts.timeout > 0 {
        args.number("--timeout=", opts.timeout);
    }
    if let Some(kib) = cli.bwlimit.filter(|kib| *kib > 0) {
        args.number("--bwlimit=", kib);
    }
    if let Some(dir) = &transfer.backup_dir {
        args.pair("--backup-dir", dir);
    }
    let default_suffix: &[u8] = if transfer.backup_dir.is_some() { b"" } else { b"~" };
    if transfer.suffix != default_suffix {
        args.value("--suffix=", &transfer.suffix);
    }
    if let (Some(text), Some(_)) = (&cli.checksum_choice, transfer.checksum_choice) {
        args.value("--checksum-choice=", text);
    }
    match r.compress_asked {
        Compress::Explicit(CompressKind::Zlibx) => args.flag("--new-compress", true),
        Compress::Explicit(CompressKind::Zlib) => args.flag("--old-compress", true),
        Compress::Negotiate => {}
        Compress::Off | Compress::Explicit(_) => {
            if let Some(name) = cli.compress_choice.as_ref().filter(|n| !n.eq_ignore_ascii_case(b"auto")) {
                args.value("--compress-choice=", name);
            }
        }
    }
    if push {
        match cli.max_delete {
            Some(n) if n > 0 => args.number("--max-delete=", n),
            Some(_) => args.number("--max-delete=", -1),
            None => {}
        }
        if let Some(size) = cli.min_size {
            args.number("--min-size=", size);
        }
        if let Some(size) = cli.max_size {
            args.number("--max-size=", size);
        }
        match delete.when {
            Some(DeleteWhen::Before) => args.flag("--delete-before", true),
            Some(DeleteWhen::Delay) => args.flag("--delete-delay", true),
            Some(DeleteWhen::During) => args.flag("--delete-during", true),
            Some(DeleteWhen::After) => args.flag("--delete-after", true),
            Some(DeleteWhen::Default) => args.flag("--delete", !delete.excluded),
            None => {}
        }
        args.flag("--delete-excluded", delete.excluded);
        args.flag("--force", delete.force);
        args.flag("--only-write-batch=X", r.only_write_batch.is_some());
        args.flag("--super", preserve.super_user == Some(true));
        args.flag("--size-only", select.size_only);
        args.flag("--stats", cli.stats);
    } else if let Some(list) = &cli.skip_compress {
        args.value("--skip-compress=", list);
    }
    if let Some(text) = &r.max_alloc_text {
        args.value("--max-alloc=", text);
    }
    args.flag("--delete-missing-args", delete.missing_args);
    args.flag("--ignore-missing-args", !push && select.ignore_missing_args);
    if push {
        match cli.modify_window {
            Some(n) if n < 0 => args.number("-@", n),
            Some(n) => args.number("--modify-window=", n),
            None => {}
        }
    }
    if opts.checksum_seed != 0 {
        args.number("--checksum-seed=", opts.checksum_seed);
    }
    if push {
        let implied = transfer.delay_updates && cli.partial_dir.is_none();
        match &transfer.partial_dir {
            Some(dir) if !implied => args.pair("--partial-dir", dir),
            _ => args.flag("--partial", transfer.partial && !transfer.delay_updates),
        }
        args.flag("--delay-updates", transfer.delay_updates);
    }
    args.flag("--ignore-errors", delete.ignore_errors);
    args.flag("--copy-unsafe-links", select.copy_unsafe_links);
    args.flag("--safe-links", select.safe_links);
    args.flag("--numeric-ids", preserve.numeric_ids);
    // `--qsort` is not said: it only forbids incremental recursion, which the missing `i` does already.
    if push {
        if let Some(list) = &preserve.usermap {
            args.value("--usermap=", list);
        }
        if let Some(list) = &preserve.groupmap {
            args.value("--groupmap=", list);
        }
        args.flag("--ignore-existing", select.ignore_existing);
        args.flag("--existing", select.existing);
        if let Some(dir) = &transfer.temp_dir {
            args.pair("--temp-dir", dir);
        }
        args.flag("--fsync", transfer.fsync);
        if let Some(kind) = transfer.alt_dest_kind {
            for dir in &transfer.alt_dests {
                args.pair(alt_dest_name(kind), dir);
            }
        }
    }
    if let Some(words) = cli.words.forwarded(!push) {
        args.value("--info=", words.as_bytes());
    }
    match transfer.append {
        Append::Off => {
            args.flag("--inplace", transfer.inplace);
            let blocks = transfer.inplace && transfer.sparse && cli.whole_file == Some(false);
            args.flag("--no-W", push && blocks);
        }
        Append::Trust => args.flag("--append", true),
        Append::Verify => {
            args.flag("--append", true);
            args.flag("--append", true);
        }
    }
    let list_told = match &r.files_from {
        NameList::Remote(path) => {
            args.pair("--files-from", path);
            args.flag("--from0", r.from0);
            true
        }
        NameList::Stdin | NameList::File(_) if !push => {
            args.flag("--files-from=-", true);
            args.flag("--from0", true);
            true
        }
        _ => false,
    };
    args.flag("--no-relative", list_told && !select.relative);
    let explicit_parents = select.relative && !select.implied_dirs;
    args.flag("--no-implied-dirs", explicit_parents && (!push || new_protocol(r)));
    args.flag("--write-devices", push && select.write_devices);
    match cli.remove_source {
        Some(RemoveSource::All) => args.flag("--remove-source-files", true),
        Some(RemoveSource::Sent) => args.flag("--remove-sent-files", true),
        None => {}
    }
    args.flag("--copy-devices", !push && select.copy_devices);
    args.flag("--preallocate", push && transfer.preallocate);
    args.flag("--open-noatime", preserve.open_noatime && preserve.atimes < 2);
    args.flag("--mkpath", push && select.mkpath);
}

/// Characters that a shell would act upon.
const SPECIAL: &[u8] = b"!#$&;|<>(){}\"'` \t\n\r\\";
/// Wildcards of the shell.
const WILD: &[u8] = b"*?[]";

/// A value of an option.
fn escaped(text: &[u8], escape: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for &b in text {
        if escape && (SPECIAL.contains(&b) || WILD.contains(&b)) {
            out.push(b'\\');
        }
        out.push(b);
    }
    out
}

/// A path. Wildcards stay active; a backslash before one of them is the user's.
fn file_arg(r: &Resolved, path: &[u8], escape: bool, tilde_matters: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    if path.first() == Some(&b'-') {
        out.extend(b"./");
    }
    if tilde_matters && path.first() == Some(&b'~') && !r.opts.trust_sender {
        let rooted = r.opts.select.relative && !path.windows(3).any(|w| w == b"/./");
        if rooted || !path.contains(&b'/') {
            out.push(b'\\');
        }
    }
    for (i, &b) in path.iter().enumerate() {
        let before_wildcard = b == b'\\' && path.get(i + 1).is_some_and(|next| WILD.contains(next));
        if escape && SPECIAL.contains(&b) && !before_wildcard {
            out.push(b'\\');
        }
        out.push(b);
    }
    out
}
