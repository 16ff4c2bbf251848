//! The argument vector of the server (spec: the server's argument list).

use arsync_core::options::{Append, Compress, DeleteWhen, RemoveSource};
use arsync_core::{token::CompressKind, version::ProtocolVersion};

use super::{
    asked::{Dirs, StderrMode},
    operands::{Reach, Route},
    parse::alt_dest_name,
    resolve::{NameList, Resolved, without_dot_slashes},
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
    server_args_at(r, r.opts.max_protocol())
}

/// Makes the vector for a daemon, with which the version is already agreed on.
pub(crate) fn daemon_args(r: &Resolved, protocol: ProtocolVersion) -> ServerArgs {
    let mut args = server_args_at(r, protocol);
    if args.stream.is_none() {
        // An empty string would end the list: such a value goes into the word of its option.
        let mut words: Vec<Vec<u8>> = Vec::new();
        for word in args.argv {
            match words.last_mut() {
                Some(option) if word.is_empty() => option.push(b'='),
                _ => words.push(word),
            }
        }
        args.argv = words;
    }
    args
}

fn server_args_at(r: &Resolved, protocol: ProtocolVersion) -> ServerArgs {
    let new = protocol.has_capabilities();
    let (push, reach, paths) = match &r.route {
        Route::Push { to, dest, .. } => (true, to.reach, core::slice::from_ref(dest)),
        Route::Pull { from, paths, .. } => (false, from.reach, &paths[..]),
        // The other end of a local run is a process of its own only where a batch file is written.
        Route::Local { dest, .. } => (true, Reach::Shell, dest.as_slice()),
        Route::Batch { .. } | Route::Server { .. } => (true, Reach::Shell, &[][..]),
    };
    let daemon = reach.is_daemon();
    // Without a connection there is no shell between.
    let local = matches!(r.route, Route::Local { .. });
    let secluded = r.secluded_args && !local;
    let plain = secluded || local;
    let escaping = Escaping {
        values: !plain && r.old_args < 2,
        files: !plain && !daemon && r.old_args == 0,
        remote_options: !plain && r.old_args == 0,
    };
    let mut argv: Vec<Vec<u8>> = vec![b"--server".to_vec()];
    if !push {
        argv.push(b"--sender".to_vec());
    }
    let bundle = bundle(r, push, new);
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
    long_options(r, push, new, &mut rest);
    let mut rest = rest.list;
    rest.extend(r.cli.remote_options.iter().map(|option| escaped(option, escaping.remote_options)));
    if let Some(identity) = r.cli.copy_as.as_ref().filter(|_| local) {
        rest.push([b"--copy-as=", &identity[..]].concat());
    }
    if local {
        // Not for a server elsewhere, but these hold for both ends of a local run.
        let preserve = &r.opts.preserve;
        let mut both = Args { list: Vec::new(), escape: false };
        both.flag("--fake-super", preserve.fake_super);
        both.flag("--no-super", preserve.super_user == Some(false));
        both.flag("--drop-D", r.opts.select.drop_devices);
        both.flag("--insecure-links", r.cli.insecure_links);
        rest.extend(both.list);
    }
    rest.push(b".".to_vec());
    let module = paths.first().filter(|_| daemon).map(|path| module_of(path));
    for path in paths {
        let path = match module {
            Some(module) => module_arg(r, path, module),
            None => file_arg(r, path, escaping.files, !push && !daemon && !plain),
        };
        rest.push(path);
    }
    if !secluded {
        argv.extend(rest);
        return ServerArgs { argv, stream: None };
    }
    let mut stream = vec![b"rsync".to_vec()];
    stream.extend(rest.into_iter().map(|s| if s.is_empty() { b".".to_vec() } else { s }));
    stream.push(Vec::new());
    ServerArgs { argv, stream: Some(stream) }
}

/// The module in a path of a daemon.
pub(crate) fn module_of(path: &[u8]) -> &[u8] {
    path.split(|&b| b == b'/').next().unwrap_or_default()
}

/// A path of a daemon, which begins with the module. A daemon splits words where a blank and the module's name
/// with its slash stand; a blank that is meant goes as a wildcard.
fn module_arg(r: &Resolved, path: &[u8], module: &[u8]) -> Vec<u8> {
    if path == module {
        return [module, b"/"].concat();
    }
    let mut out = Vec::with_capacity(path.len());
    if path.first() == Some(&b'-') {
        out.extend(b"./");
    }
    let splits = [b" ", module, b"/"].concat();
    let mut rest = path;
    while let Some((&b, after)) = rest.split_first() {
        if r.old_args == 0 && rest.starts_with(&splits) {
            out.extend(b"[ ]");
        } else {
            out.push(b);
        }
        rest = after;
    }
    out
}

/// `-` and the letters, in the order of the reference.
fn bundle(r: &Resolved, push: bool, new: bool) -> String {
    let (cli, opts) = (&r.cli, &r.opts);
    let (select, preserve, transfer) = (&opts.select, &opts.preserve, &opts.transfer);
    let mut out = String::from("-");
    let mut put = |letter: char, times: u32| out.extend(core::iter::repeat_n(letter, times as usize));
    put('s', (r.secluded_args && !matches!(r.route, Route::Local { .. })).into());
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
    if new {
        out.push_str("e.");
        if !opts.forbids_inc_recursion(!push) {
            out.push('i');
        }
        out.push_str("LsfxCIvu");
    }
    out
}

/// `z` stands for a negotiated algorithm that `-z` asked for, and for zlib.
fn sends_z(r: &Resolved) -> bool {
    match r.opts.transfer.compress {
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

fn long_options(r: &Resolved, push: bool, new: bool, args: &mut Args) {
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
    if let Some(dir) = transfer.backup_dir.as_ref().and(cli.backup_dir.as_deref()) {
        args.pair("--backup-dir", &without_dot_slashes(dir));
    }
    let default_suffix: &[u8] = if transfer.backup_dir.is_some() { b"" } else { b"~" };
    if transfer.suffix != default_suffix {
        args.value("--suffix=", &transfer.suffix);
    }
    if let (Some(text), Some(_)) = (&cli.checksum_choice, transfer.checksum_choice) {
        args.value("--checksum-choice=", text);
    }
    match r.opts.transfer.compress {
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
            for dir in cli.alt_dest.iter().flat_map(|(_, dirs)| dirs) {
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
    args.flag("--no-implied-dirs", explicit_parents && (!push || new));
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
    if tilde_matters && path.first() == Some(&b'~') && !r.opts.trust_sender && r.old_args == 0 {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{
        asked::Line,
        parse::{self, World},
        remote_shell::{self, ShellCommand},
        resolve,
    };
    use std::ffi::OsString;

    fn resolved(args: &[&str]) -> Result<Resolved, String> {
        let argv: Vec<OsString> = ["-e", "./rsh"].iter().chain(args).map(OsString::from).collect();
        let world = World { program: "rsync", env: &|_| None, now: 0 };
        match parse::parse(&argv, &world) {
            Ok(Line::Run(cli)) => resolve::resolve(*cli, &world).map_err(|e| format!("{e:?}")),
            other => Err(format!("{other:?}")),
        }
    }

    fn vector(args: &[&str]) -> Result<String, String> {
        let resolved = resolved(args)?;
        let command = ShellCommand { rsh: &resolved.rsh, rsync_path: &resolved.rsync_path, ip_version: None };
        let machine = resolved.route.machine().ok_or("no machine")?;
        let argv = remote_shell::argv(&command, machine, server_args(&resolved).argv, resolved.route.role())
            .map_err(|e| format!("{e:?}"))?;
        Ok(argv.iter().skip(1).map(|a| format!("[{}]", String::from_utf8_lossy(a))).collect())
    }

    /// Command lines (items separated by `|`) and the vectors that the reference made of them.
    #[rustfmt::skip]
    const OBSERVED: &[(&str, &str)] = &[
        ("-a|s/|h:rem", "[h][rsync][--server][-logDtpre.iLsfxCIvu][.][rem]"),
        ("-a|h:rem|d", "[h][rsync][--server][--sender][-logDtpre.iLsfxCIvu][.][rem]"),
        ("-aHAXUU|s|h:d", "[h][rsync][--server][-lHogDtUUpAXre.iLsfxCIvu][.][d]"),
        ("-d|--delete|s|h:d", "[h][rsync][--server][-de.LsfxCIvu][--no-r][--delete][.][d]"),
        ("h:a", "[h][rsync][--server][--sender][-de.LsfxCIvu][.][a]"),
        ("-zz|h:a|d", "[h][rsync][--server][--sender][-e.LsfxCIvu][--new-compress][.][a]"),
        ("--protocol=29|-r|s|h:d", "[h][rsync][--server][-r][.][d]"),
        ("-bunlWHogDtUpAXrcCIRxxS|s|h:d", "[h][rsync][--server][-bunlWHogDtUpAXrcCIRxxSe.iLsfxCIvu][.][d]"),
        ("-z|--zc=auto|h:a|d", "[h][rsync][--server][--sender][-ze.LsfxCIvu][.][a]"),
        ("--zc=zstd|-z|h:a|d", "[h][rsync][--server][--sender][-e.LsfxCIvu][--compress-choice=zstd][.][a]"),
        ("-z|--zc=none|h:a|d", "[h][rsync][--server][--sender][-e.LsfxCIvu][--compress-choice=none][.][a]"),
        ("-zzz|h:a|d", "[h][rsync][--server][--sender][-e.LsfxCIvu][--new-compress][.][a]"),
        ("--zl=3|--no-z|h:a|d", "[h][rsync][--server][--sender][-e.LsfxCIvu][--compress-level=3][.][a]"),
        ("--zl=0|--zc=zlib|h:a|d", "[h][rsync][--server][--sender][-ze.LsfxCIvu][--compress-level=0][--old-compress][.][a]"),
        ("--new-compress|--no-z|-z|h:a|d", "[h][rsync][--server][--sender][-ze.LsfxCIvu][.][a]"),
        ("--zc=ZSTD|h:a|d", "[h][rsync][--server][--sender][-e.LsfxCIvu][--compress-choice=ZSTD][.][a]"),
        ("--zc=zlibx|-z|h:a|d", "[h][rsync][--server][--sender][-e.LsfxCIvu][--new-compress][.][a]"),
        ("-a|--files-from=/dev/null|s|h:d", "[h][rsync][--server][-logDtpRe.LsfxCIvu][.][d]"),
        ("-a|-r|--files-from=/dev/null|s|h:d", "[h][rsync][--server][-logDtprRe.iLsfxCIvu][.][d]"),
        ("-a|--files-from=/dev/null|--delete|s|h:d", "[h][rsync][--server][-ldogDtpRe.LsfxCIvu][--no-r][--delete][.][d]"),
        ("-a|--files-from=/dev/null|--delete|h:s|d", "[h][rsync][--server][--sender][-logDtpRe.LsfxCIvu][--files-from=-][--from0][.][s]"),
        ("--files-from=:x|-0|h:s|d", "[h][rsync][--server][--sender][-Re.LsfxCIvu][--files-from][x][--from0][.][s]"),
        ("--files-from=h:x|--no-R|h:s|d", "[h][rsync][--server][--sender][-e.LsfxCIvu][--files-from][x][--no-relative][.][s]"),
        ("--files-from=:x|s|h:d", "[h][rsync][--server][-Re.LsfxCIvu][--files-from][x][.][d]"),
        ("--files-from=rsync://h/x|h:s|d", "[h][rsync][--server][--sender][-Re.LsfxCIvu][--files-from][x][.][s]"),
        ("--old-dirs|h:a|d", "[h][rsync][--server][--sender][-re.iLsfxCIvu][.][a]"),
        ("--old-dirs|--no-d|h:a|d", "[h][rsync][--server][--sender][-e.LsfxCIvu][.][a]"),
        ("-d|--no-r|s|h:d", "[h][rsync][--server][-de.LsfxCIvu][.][d]"),
        ("--no-d|--delete|-r|s|h:d", "[h][rsync][--server][-re.iLsfxCIvu][--delete][.][d]"),
        ("-d|--no-d|h:a", "[h][rsync][--server][--sender][-e.LsfxCIvu][.][a]"),
        ("--delete|-d|--old-dirs|s|h:d", "[h][rsync][--server][-re.iLsfxCIvu][--delete][.][d]"),
        ("-n|--only-write-batch=x|s|h:d", "[h][rsync][--server][-ne.LsfxCIvu][.][d]"),
        ("--only-write-batch=x|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--only-write-batch=X][.][d]"),
        ("--inplace|--partial|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--inplace][.][d]"),
        ("--delay-updates|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--delay-updates][.][d]"),
        ("--delay-updates|--partial-dir=y|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--partial-dir][y][--delay-updates][.][d]"),
        ("--partial-dir=.|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--partial][.][d]"),
        ("--partial-dir=a/../b//c/|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--partial-dir][b/c][.][d]"),
        ("--partial-dir=../x|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--partial-dir][../x][.][d]"),
        ("--partial-dir=/../x|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--partial-dir][/x][.][d]"),
        ("--partial-dir=x/..|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--partial][.][d]"),
        ("--no-partial|--partial-dir=x|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--partial-dir][x][.][d]"),
        ("--backup-dir=./././x/|s|h:d", "[h][rsync][--server][-be.LsfxCIvu][--backup-dir][x/][.][d]"),
        ("--backup-dir=.//bk|s|h:d", "[h][rsync][--server][-be.LsfxCIvu][--backup-dir][/bk][.][d]"),
        ("--backup-dir=|--suffix=x|s|h:d", "[h][rsync][--server][-be.LsfxCIvu][--suffix=x][.][d]"),
        ("--suffix=~|--backup-dir=x|s|h:d", "[h][rsync][--server][-be.LsfxCIvu][--backup-dir][x][--suffix=~][.][d]"),
        ("--backup-dir=x|--suffix=|s|h:d", "[h][rsync][--server][-be.LsfxCIvu][--backup-dir][x][.][d]"),
        ("--temp-dir=|--link-dest=x/|--link-dest=|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--temp-dir][][--link-dest][x/][--link-dest][][.][d]"),
        ("--bwlimit=1.5k|--max-delete=-5|--timeout=-3|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--bwlimit=2][--max-delete=-1][.][d]"),
        ("--out-format=%%i|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--log-format=X][.][d]"),
        ("--out-format=%10i|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--log-format=%i][.][d]"),
        ("--out-format=%'o|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--log-format=%o][.][d]"),
        ("-v|--out-format=x|s|h:d", "[h][rsync][--server][-ve.LsfxCIvu][.][d]"),
        ("--progress|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--log-format=X][.][d]"),
        ("-v|--progress|s|h:d", "[h][rsync][--server][-ve.LsfxCIvu][.][d]"),
        ("--info=progress2|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][.][d]"),
        ("--info=name0|--progress|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--info=NAME0][.][d]"),
        ("--info=name2|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--log-format=X][--info=NAME2][.][d]"),
        ("-ii|--out-format=%n|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--log-format=X][.][d]"),
        ("-ii|--out-format=%i|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--log-format=%i%I][.][d]"),
        ("-i|--no-i|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][.][d]"),
        ("-q|-v|s|h:d", "[h][rsync][--server][-vqe.LsfxCIvu][.][d]"),
        ("--stderr=c|-q|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--no-msgs2stderr][.][d]"),
        ("--stderr=a|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--msgs2stderr][.][d]"),
        ("-vvvvvvvvvvvv|--debug=none|s|h:d", "[h][rsync][--server][-vvvvvvvvve.LsfxCIvu][.][d]"),
        ("--usermap=a:b|--chown=:x|s|h:d", "[h][rsync][--server][-oge.LsfxCIvu][--usermap=a:b][--groupmap=\\*:x][.][d]"),
        ("--chown=a:b|--no-o|s|h:d", "[h][rsync][--server][-ge.LsfxCIvu][--usermap=\\*:a][--groupmap=\\*:b][.][d]"),
        ("--chown=a:b:c|h:s|d", "[h][rsync][--server][--sender][-oge.LsfxCIvu][.][s]"),
        ("--max-alloc=1024m|--max-size=1.5k|--min-size=1|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--min-size=1][--max-size=1536][.][d]"),
        ("--max-alloc=2G|h:s|d", "[h][rsync][--server][--sender][-e.LsfxCIvu][--max-alloc=2G][.][s]"),
        ("--list-only|s|h:d", "[h][rsync][--server][-de.LsfxCIvu][--list-only][.][d]"),
        ("--delete-missing-args|--ignore-missing-args|h:s|d", "[h][rsync][--server][--sender][-e.LsfxCIvu][--delete-missing-args][.][s]"),
        ("--ignore-missing-args|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][.][d]"),
        ("--ignore-missing-args|h:s|d", "[h][rsync][--server][--sender][-e.LsfxCIvu][--ignore-missing-args][.][s]"),
        ("--copy-devices|-r|h:s|d", "[h][rsync][--server][--sender][-re.iLsfxCIvu][--copy-devices][.][s]"),
        ("-@-2|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][-@-2][.][d]"),
        ("-@0|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--modify-window=0][.][d]"),
        ("--checksum-seed=-5|--iconv=utf8,latin1|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--iconv=latin1][--checksum-seed=-5][.][d]"),
        ("--iconv=utf8|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--iconv=utf8][.][d]"),
        ("-s|--iconv=utf8,latin1|s|h:d", "[h][rsync][--server][-se.LsfxCIvu][--iconv=latin1]"),
        ("--skip-compress=a/b|h:s|d", "[h][rsync][--server][--sender][-e.LsfxCIvu][--skip-compress=a/b][.][s]"),
        ("--suffix=a b|-b|s|h:d", "[h][rsync][--server][-be.LsfxCIvu][--suffix=a\\ b][.][d]"),
        ("--temp-dir=a*b\\c|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--temp-dir][a\\*b\\\\c][.][d]"),
        ("-M--foo=a b*|-M-x|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--foo=a\\ b\\*][-x][.][d]"),
        ("--old-args|-M--foo=a b*|--suffix=q b*|h:a b|d", "[h][rsync][--server][--sender][-e.LsfxCIvu][--suffix=q\\ b\\*][--foo=a b*][.][a b]"),
        ("--old-args|--old-args|-M--foo=a b*|--suffix=q b*|h:a b|d", "[h][rsync][--server][--sender][-e.LsfxCIvu][--suffix=q b*][--foo=a b*][.][a b]"),
        ("h:a*b\\*c\\d|h:-x|h:~u|h:~/x|h:~|h:a!#$&;<>(){}\"'`|d", "[h][rsync][--server][--sender][-e.LsfxCIvu][.][a*b\\*c\\\\d][./-x][\\~u][~/x][\\~][a\\!\\#\\$\\&\\;\\<\\>\\(\\)\\{\\}\\\"\\'\\`]"),
        ("-R|h:~/a/b|h:~/./b|h:~|d", "[h][rsync][--server][--sender][-Re.LsfxCIvu][.][\\~/a/b][~/./b][\\~]"),
        ("s|h:~x", "[h][rsync][--server][-e.LsfxCIvu][.][~x]"),
        ("s|h:-x", "[h][rsync][--server][-e.LsfxCIvu][.][./-x]"),
        ("--trust-sender|h:~x|d", "[h][rsync][--server][--sender][-e.LsfxCIvu][.][~x]"),
        ("-W|--no-W|--append|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--append][.][d]"),
        ("--no-W|--cc=none|s|h:d", "[h][rsync][--server][-We.LsfxCIvu][--checksum-choice=none][.][d]"),
        ("--cc=auto,md5|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--checksum-choice=auto,md5][.][d]"),
        ("--cc=auto,auto|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][.][d]"),
        ("--append|--append-verify|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--append][--append][.][d]"),
        ("--append-verify|--append|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--append][.][d]"),
        ("-UU|--no-U|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--open-noatime][.][d]"),
        ("-UU|--no-open-noatime|s|h:d", "[h][rsync][--server][-UUe.LsfxCIvu][.][d]"),
        ("-A|--no-p|s|h:d", "[h][rsync][--server][-Ae.LsfxCIvu][.][d]"),
        ("--no-p|-A|s|h:d", "[h][rsync][--server][-pAe.LsfxCIvu][.][d]"),
        ("-A|--no-A|s|h:d", "[h][rsync][--server][-pe.LsfxCIvu][.][d]"),
        ("-D|--no-specials|s|h:d", "[h][rsync][--server][-De.LsfxCIvu][--no-specials][.][d]"),
        ("--specials|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--specials][.][d]"),
        ("-yyy|--link-dest=x|s|h:d", "[h][rsync][--server][-yye.LsfxCIvu][--link-dest][x][.][d]"),
        ("-yy|s|h:d", "[h][rsync][--server][-ye.LsfxCIvu][.][d]"),
        ("-O|-b|s|h:d", "[h][rsync][--server][-be.LsfxCIvu][.][d]"),
        ("-O|-b|--backup-dir=x|s|h:d", "[h][rsync][--server][-bOe.LsfxCIvu][--backup-dir][x][.][d]"),
        ("-E|-p|s|h:d", "[h][rsync][--server][-pe.LsfxCIvu][.][d]"),
        ("-E|s|h:d", "[h][rsync][--server][-Ee.LsfxCIvu][.][d]"),
        ("-HHH|-xxx|-XXX|-FFF|-CCC|s|h:d", "[h][rsync][--server][-HHXXCxxe.LsfxCIvu][.][d]"),
        ("--fake-super|--super|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--super][.][d]"),
        ("--delete|--delete-excluded|s|-r|h:d", "[h][rsync][--server][-re.iLsfxCIvu][--delete-excluded][.][d]"),
        ("--delete-before|--delete-excluded|--force|--max-delete=4|s|-r|h:d", "[h][rsync][--server][-re.iLsfxCIvu][--max-delete=4][--delete-before][--delete-excluded][--force][.][d]"),
        ("-r|--delete-after|h:s|d", "[h][rsync][--server][--sender][-re.LsfxCIvu][.][s]"),
        ("-r|--delete-after|s|h:d", "[h][rsync][--server][-re.iLsfxCIvu][--delete-after][.][d]"),
        ("-d|--delete|h:s|d", "[h][rsync][--server][--sender][-de.LsfxCIvu][.][s]"),
        ("-R|--no-implied-dirs|s|h:d", "[h][rsync][--server][-Re.LsfxCIvu][--no-implied-dirs][.][d]"),
        ("--protocol=29|-R|--no-implied-dirs|s|h:d", "[h][rsync][--server][-R][.][d]"),
        ("--protocol=29|-R|--no-implied-dirs|h:s|d", "[h][rsync][--server][--sender][-R][--no-implied-dirs][.][s]"),
        ("--write-devices|h:s|d", "[h][rsync][--server][--sender][-e.LsfxCIvu][--inplace][.][s]"),
        ("--write-devices|-S|--no-W|s|h:d", "[h][rsync][--server][-Se.LsfxCIvu][--inplace][--no-W][--write-devices][.][d]"),
        ("--inplace|-S|--no-W|h:s|d", "[h][rsync][--server][--sender][-Se.LsfxCIvu][--inplace][.][s]"),
        ("-e./vrsh|h::m|d", "[h][rsync][--server][--daemon][.]"),
        ("--no-W|-M--bar|--safe-links|-v|-K|--bwlimit=10|s|h:d", "[h][rsync][--server][-vKe.LsfxCIvu][--bwlimit=10][--safe-links][--bar][.][d]"),
        ("--no-i-r|-b|-n|--munge-links|-H|-d|h:s|d", "[h][rsync][--server][--sender][-bndHe.LsfxCIvu][.][s]"),
        ("-r|-U|--devices|-y|--old-d|-C|--exclude=z|-x|--fsync|s|h:d", "[h][rsync][--server][-yDUrCxe.iLsfxCIvu][--no-specials][--fsync][.][d]"),
        ("--timeout=9|-y|--protocol=30|--max-delete=7|--append-verify|--modify-window=3|--munge-links|--existing|--old-d|s|h:d", "[h][rsync][--server][-yre.iLsfxCIvu][--timeout=9][--max-delete=7][--modify-window=3][--existing][--append][--append][.][d]"),
        ("-o|--remove-source-files|--max-size=1m|h:s|d", "[h][rsync][--server][--sender][-oe.LsfxCIvu][--remove-source-files][.][s]"),
        ("--temp-dir=/t|--safe-links|--modify-window=3|--preallocate|--open-noatime|-v|--compare-dest=q|--mkpath|--usermap=0:1|h:s|d", "[h][rsync][--server][--sender][-voe.LsfxCIvu][--safe-links][--open-noatime][.][s]"),
        ("--stats|-i|-v|s|h:d", "[h][rsync][--server][-ve.LsfxCIvu][--log-format=%i][--stats][.][d]"),
        ("--usermap=0:1|--bwlimit=10|h:s|d", "[h][rsync][--server][--sender][-oe.LsfxCIvu][--bwlimit=10][.][s]"),
        ("-v|-M--bar|--copy-devices|-o|--devices|-A|s|h:d", "[h][rsync][--server][-voDpAe.LsfxCIvu][--no-specials][--bar][.][d]"),
        ("--exclude=z|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][.][d]"),
        ("-L|-ii|--backup-dir=bk|-y|--no-d|-B512|--devices|-O|-X|--info=all|--safe-links|--open-noatime|--info=none|h:s|d", "[h][rsync][--server][--sender][-bLDXe.LsfxCIvu][--no-specials][-B512][--backup-dir][bk][--safe-links][--info=NONE][--open-noatime][.][s]"),
        ("--exclude=z|-J|s|h:d", "[h][rsync][--server][-Je.LsfxCIvu][.][d]"),
        ("-d|-x|h:s|d", "[h][rsync][--server][--sender][-dxe.LsfxCIvu][.][s]"),
        ("--checksum-seed=3|s|h:d", "[h][rsync][--server][-e.LsfxCIvu][--checksum-seed=3][.][d]"),
        ("-K|--info=stats2,name,del2|-y|h:s|d", "[h][rsync][--server][--sender][-e.LsfxCIvu][--info=NAME,STATS2][.][s]"),
        ("--list-only|-I|--info=all|--numeric-ids|h:s|d", "[h][rsync][--server][--sender][-dIe.LsfxCIvu][--list-only][--numeric-ids][--info=ALL][.][s]"),
        ("--devices|-k|--cc=md5|--specials|-d|--delay-updates|-M--bar|--checksum-seed=3|-q|--ignore-errors|--list-only|-X|--stderr=all|h:s|d", "[h][rsync][--server][--sender][-qdkDXe.LsfxCIvu][--list-only][--msgs2stderr][--checksum-choice=md5][--checksum-seed=3][--ignore-errors][--bar][.][s]"),
        ("--mkpath|-l|-A|--cc=md5|h:s|d", "[h][rsync][--server][--sender][-lpAe.LsfxCIvu][--checksum-choice=md5][.][s]"),
        ("-n|-yy|-z|s|h:d", "[h][rsync][--server][-nyze.LsfxCIvu][.][d]"),
        ("--info=none|-o|--partial|-ii|--info=stats2,name,del2|-l|h:s|d", "[h][rsync][--server][--sender][-loe.LsfxCIvu][--info=MISC0,MOUNT0,NAME,REMOVE0,STATS2,SYMSAFE0][.][s]"),
        ("--ignore-errors|--stderr=all|-m|-r|--out-format=%n %o|--no-d|--info=none|--partial|-C|-O|--suffix=.b|-l|-b|s|h:d", "[h][rsync][--server][-blmrCe.iLsfxCIvu][--log-format=%o][--msgs2stderr][--suffix=.b][--partial][--ignore-errors][--info=NONE][.][d]"),
        ("--no-D|--protocol=30|-y|--max-delete=7|--usermap=0:1|--remove-source-files|--specials|--zc=lz4|--copy-devices|-A|--numeric-ids|--stats|--progress|s|h:d", "[h][rsync][--server][-yopAe.LsfxCIvu][--specials][--log-format=X][--compress-choice=lz4][--max-delete=7][--stats][--numeric-ids][--usermap=0:1][--remove-source-files][.][d]"),
        ("--bwlimit=10|-L|--stderr=all|-R|--partial|--suffix=.b|s|h:d", "[h][rsync][--server][-Re.LsfxCIvu][--msgs2stderr][--bwlimit=10][--suffix=.b][--partial][.][d]"),
        ("-y|--munge-links|s|h:d", "[h][rsync][--server][-ye.LsfxCIvu][.][d]"),
    ];

    #[test]
    fn vectors_as_observed() {
        for (line, expected) in OBSERVED {
            let args: Vec<&str> = line.split('|').collect();
            assert_eq!(vector(&args).as_deref(), Ok(*expected), "{line}");
        }
    }

    #[test]
    fn secluded_arguments_travel_in_the_stream() {
        let args = ["-s", "--backup-dir=b k", "--suffix=.x", "h:a b", "h:c*d", "h:-x", "d"];
        let resolved = resolved(&args).unwrap();
        let made = server_args(&resolved);
        assert_eq!(made.argv, ["--server", "--sender", "-sbe.LsfxCIvu"].map(|s| s.as_bytes().to_vec()));
        let stream = made.stream.unwrap().join(&0);
        assert_eq!(stream, b"rsync\0--backup-dir\0b k\0--suffix=.x\0.\0a b\0c*d\0./-x\0");
    }
}
