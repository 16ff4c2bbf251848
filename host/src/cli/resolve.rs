//! From what was typed to what is meant: cross checks, implied options, environment, routes.
//!
//! The checks are made in the order of the reference, so that the first complaint is the same one.

use std::{fs::File, os::unix::ffi::OsStringExt};

use arsync_core::{
    error::Role,
    exit::ExitCode,
    options::{FilesFrom, SessionOptions},
    version::ProtocolVersion,
};

use super::{
    asked::{Cli, Dirs, FilterArg, OutBuf, Recurse, StderrMode, Super},
    failure::{Failure, Stop},
    help,
    number::SizeRule,
    operands::{self, Operand, Route, RouteOptions},
    parse::World,
    words::{Info, Levels},
};
use crate::{
    output::{format, strerror},
    vouched::{self, Trust},
};

mod algorithms;
mod fields;
mod kept;

use algorithms::Algorithms;
pub(super) use kept::without_dot_slashes;
use kept::{Backups, backups, batch_files, partials};

/// What a run is to do.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// What was typed; the server's argument vector is made from it.
    pub(crate) cli: Cli,
    /// What the session is asked to do.
    pub(crate) opts: SessionOptions,
    /// From where to where.
    pub(crate) route: Route,
    /// Levels of `--info` and `--debug`.
    pub(crate) levels: Levels,
    /// Log and the format of its items, where one is kept.
    pub(crate) log: Option<(Vec<u8>, Vec<u8>)>,
    /// How output looks.
    pub(crate) output: Output,
    /// What adds filter rules, in order, the implied ones included.
    pub(crate) filters: Vec<FilterArg>,
    /// Where the names to transfer are read.
    pub(crate) files_from: NameList,
    /// Lists of names and rules end with NUL instead of newline.
    pub(crate) from0: bool,
    /// Level of `--old-args`, the environment included.
    pub(crate) old_args: u32,
    /// `-s`, the environment included.
    pub(crate) secluded_args: bool,
    /// Command text of the remote shell.
    pub(crate) rsh: Vec<u8>,
    /// Program to run on the other side.
    pub(crate) rsync_path: Vec<u8>,
    /// Charsets of names: the text of `--iconv`; `None`: off.
    pub(crate) iconv: Option<Vec<u8>>,
    /// Text of `--max-alloc`, the environment included, where it is not the default.
    pub(crate) max_alloc_text: Option<Vec<u8>>,
    /// Name of a batch file to write beside the transfer.
    pub(crate) write_batch: Option<Vec<u8>>,
    /// Name of a batch file to write instead of changing the destination.
    pub(crate) only_write_batch: Option<Vec<u8>>,
    /// Name of a batch file to read instead of having a sender.
    pub(crate) read_batch: Option<Vec<u8>>,
    /// The operands as typed.
    pub(crate) operands: Vec<Vec<u8>>,
    /// Server: letters that the client gave with `-e`.
    pub(crate) client_info: Option<Vec<u8>>,
    /// Texts to show before anything else (a server ignores some options, and says so).
    pub(crate) warnings: Vec<&'static str>,
}

impl Resolved {
    /// Name of the batch file that the run writes.
    pub(crate) fn batch_to_write(&self) -> Option<&[u8]> {
        self.write_batch.as_deref().or(self.only_write_batch.as_deref()).filter(|_| !self.cli.server)
    }

    /// Both ends are on this machine, but in two processes: what a batch file records is what two processes say to
    /// each other, where names are converted each side has names of its own, and with `-M` options of its own.
    pub(crate) fn is_local_pair(&self) -> bool {
        matches!(&self.route, Route::Local { dest: Some(_), .. })
            && (self.batch_to_write().is_some()
                || self.iconv.is_some()
                || !self.cli.remote_options.is_empty())
    }
}

/// Where the list of `--files-from` is.
#[derive(Debug, Default)]
pub(crate) enum NameList {
    /// There is none.
    #[default]
    None,
    /// This process's stdin (on a server: it comes through the protocol).
    Stdin,
    /// A file of this machine, opened.
    File(File),
    /// A file of the other side.
    Remote(Vec<u8>),
}

/// How output looks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Output {
    /// Format of the lines of items; `None`: no such lines.
    pub(crate) format: Option<Vec<u8>>,
    /// Level of number formats, 0..=3.
    pub(crate) human: u8,
    /// Where messages of the other side travel.
    pub(crate) stderr: StderrMode,
    /// `--stderr` or a relative was given.
    pub(crate) stderr_given: bool,
    /// Buffering of stdout.
    pub(crate) outbuf: Option<OutBuf>,
    /// Bytes above 127 are shown as they are.
    pub(crate) eight_bit: bool,
    /// `-q`: only errors and warnings.
    pub(crate) quiet: bool,
}

/// Default of `--log-file-format`.
const LOG_FORMAT: &[u8] = b"%i %n%L";
/// Default of `--max-alloc`, bytes.
const MAX_ALLOC: u64 = 1 << 30;
/// From this length on a temporary directory leaves no room for names.
const MAX_TEMP_DIR: usize = 4086;
const MAX_ALLOC_RULE: SizeRule =
    SizeRule { name: "max-alloc", unit: b'B', min: 1 << 20, max: None, zero_is_unlimited: true };

/// The version asked for can be negotiated: with a peer, or, where both ends are this program, with itself.
fn check_protocol(wanted: Option<i32>, local: bool) -> Result<(), Stop> {
    let Some(wanted) = wanted else { return Ok(()) };
    let text = if !ProtocolVersion::PLAUSIBLE.contains(&wanted) {
        "protocol version mismatch -- is your shell clean?\n(see the rsync manpage for an explanation)"
            .to_owned()
    } else if local && wanted > i32::from(ProtocolVersion::MAX.number()) {
        format!("--protocol must be no more than {} on the Client.", ProtocolVersion::MAX.number())
    } else {
        return Ok(());
    };
    Err(Failure::plain(text, ExitCode::PROTOCOL, Role::Sender).into())
}

/// An option, or several together, that the command line must not have.
fn refused(cli: &Cli, text: impl AsRef<[u8]>) -> Stop {
    Failure::option(text, cli.server).into()
}

/// Makes sense of a command line.
pub(crate) fn resolve(mut cli: Cli, world: &World<'_>) -> Result<Resolved, Stop> {
    let role = if cli.server { Role::Server } else { Role::Client };
    if cli.version > 0 {
        let json = cli.version > 1 && !cli.server;
        let text = if json { help::version_json(world.program) } else { help::version(world.program) };
        return Err(Stop::Print(text.into_bytes()));
    }
    let max_alloc_text = cli.max_alloc.clone().or_else(|| world.var("RSYNC_MAX_ALLOC"));
    let max_alloc = match &max_alloc_text {
        Some(text) => {
            MAX_ALLOC_RULE.parse(text).map_err(|fault| refused(&cli, MAX_ALLOC_RULE.message(text, &fault)))?
        }
        None => MAX_ALLOC,
    };
    let (old_args, secluded_args) = argument_protection(&cli, world);
    if old_args > 0 && secluded_args {
        return Err(refused(&cli, "--secluded-args conflicts with --old-args."));
    }
    let algorithms = Algorithms::new(&cli, world)?;
    if algorithms.nothing_is_compared() {
        cli.whole_file = Some(true);
    }
    let outbuf = outbuf(&cli)?;
    if cli.xattrs > 1 && cli.super_user == Super::Fake {
        return Err(refused(&cli, "--fake-super conflicts with -XX"));
    }
    let (batch, warnings) = batch_files(&cli)?;
    if cli.temp_dir.as_ref().is_some_and(|dir| dir.len() >= MAX_TEMP_DIR) {
        return Err(refused(&cli, "the --temp-dir path is WAY too long."));
    }
    let walk = Walk::new(&cli, batch.read.is_some())?;
    check_confinement(&cli)?;
    let backup = backups(&cli)?;
    let partial = partials(&cli, world)?;
    if cli.files_from.is_some() && !cli.server && cli.operands.len() != 2 {
        return Err(Stop::Usage(Role::Client));
    }
    let files_from = name_list(&cli, role)?;
    if cli.server && !cli.sender && matches!(files_from, NameList::Stdin) {
        // What comes in there is the session itself.
        let text = "rsync: a receiving server has no list of names on its standard input";
        return Err(Failure::plain(text, ExitCode::PROTOCOL, role).into());
    }
    let operands: Vec<Vec<u8>> = cli.operands.drain(..).map(OsStringExt::into_vec).collect();
    let route = find_route(&cli, &operands, batch.read.is_some(), old_args > 0)?;

    let levels = Levels::new(cli.verbose, &implied_words(&cli), &cli.words);
    let output = output(&cli, &levels, outbuf);
    let filters = rules(&cli, walk.deleting, &backup, partial.dir.as_deref());
    let log_file = cli.log_file.clone().filter(|path| !path.is_empty());
    let log_format = log_file.as_ref().map(|_| match &cli.log_file_format {
        Some(format) => format.clone(),
        None => LOG_FORMAT.to_vec(),
    });
    let receives =
        matches!(route, Route::Pull { .. } | Route::Batch { .. } | Route::Server { sender: false, .. });
    let local = matches!(route, Route::Local { .. });
    let opts = SessionOptions {
        protocol: cli.protocol.map(|p| u8::try_from(p.max(0)).unwrap_or(u8::MAX)),
        checksum_seed: cli.checksum_seed,
        preserve: fields::preserve(&cli, &backup),
        select: fields::select(&cli, &walk, whose_list(&cli, &files_from, receives)),
        delete: fields::delete(&cli, &walk),
        report: fields::report(&cli, &levels, output.format.as_deref(), log_format.as_deref()),
        transfer: fields::transfer(&cli, backup, partial, algorithms),
        no_inc_recursive: cli.no_inc_recursive || cli.qsort,
        dry_run: cli.dry_run || batch.only_write.is_some(),
        list_only: walk.list_only,
        timeout: u32::try_from(cli.timeout).unwrap_or(0),
        max_alloc,
        trust_sender: cli.trust_sender || local || cli.server || batch.read.is_some(),
        read_batch: batch.read.is_some(),
        batch_only: batch.only_write.is_some(),
    };
    Ok(Resolved {
        opts,
        route,
        levels,
        log: log_file.zip(log_format),
        output,
        filters,
        files_from,
        from0: cli.from0,
        old_args,
        secluded_args,
        client_info: cli.rsh.clone().filter(|_| cli.server),
        rsh: cli.rsh.clone().or_else(|| world.var("RSYNC_RSH")).unwrap_or_else(|| b"ssh".to_vec()),
        rsync_path: cli.rsync_path.clone().unwrap_or_else(|| b"rsync".to_vec()),
        iconv: charsets(&cli, world),
        max_alloc_text: max_alloc_text.filter(|_| max_alloc != MAX_ALLOC),
        write_batch: batch.write,
        only_write_batch: batch.only_write,
        read_batch: batch.read,
        operands,
        warnings,
        cli,
    })
}

/// How far the walk through the source goes, and whether extra files are deleted at the destination.
struct Walk {
    recursive: bool,
    dirs: bool,
    list_only: bool,
    deleting: bool,
}

impl Walk {
    /// `replays`: a batch file is read, which has one operand.
    fn new(cli: &Cli, replays: bool) -> Result<Self, Stop> {
        let timings = [cli.delete_before, cli.delete_during.is_some(), cli.delete_after];
        let timings = timings.iter().filter(|on| **on).count();
        if timings > 1 {
            return Err(refused(cli, "You may not combine multiple --delete-WHEN options."));
        }
        let list_only = cli.list_only || (!cli.server && !replays && cli.operands.len() <= 1);
        let recursive = match (cli.recurse, cli.dirs) {
            (_, Some(Dirs::Old)) | (Recurse::Explicit, _) => true,
            (Recurse::Archive, _) => cli.files_from.is_none(),
            (Recurse::Off, _) => false,
        };
        let dirs = match cli.dirs {
            Some(Dirs::On | Dirs::Old) => true,
            Some(Dirs::Off) => recursive,
            None => recursive || list_only || cli.files_from.is_some(),
        };
        let deleting = cli.delete || cli.delete_excluded || timings > 0;
        if deleting && !dirs {
            return Err(refused(cli, "--delete does not work without --recursive (-r) or --dirs (-d)."));
        }
        Ok(Self { recursive, dirs, list_only, deleting })
    }
}

fn check_confinement(cli: &Cli) -> Result<(), Stop> {
    let Some(root) = &cli.confine_root else { return Ok(()) };
    if root.first() != Some(&b'/') {
        return Err(refused(cli, "--confine-root must be an absolute path"));
    }
    if cli.insecure_links {
        return Err(refused(cli, "--insecure-links cannot be combined with --confine-root"));
    }
    Ok(())
}

/// From where to where. `replays`: a batch file takes the place of the source.
fn find_route(cli: &Cli, operands: &[Vec<u8>], replays: bool, old_args: bool) -> Result<Route, Stop> {
    if cli.server {
        let role = if cli.sender { Role::Sender } else { Role::ReceiverSide };
        let (start, args) = operands.split_first().ok_or(Stop::Usage(role))?;
        return Ok(Route::Server { sender: cli.sender, start: start.clone(), args: args.to_vec() });
    }
    let options = RouteOptions {
        read_batch: replays,
        shell_given: cli.rsh.is_some(),
        old_args,
        files_from: cli.files_from.as_deref(),
    };
    let route = operands::route(operands, &options)?;
    let role = route.role();
    check_protocol(cli.protocol, matches!(route, Route::Local { .. }))?;
    check_daemon_options(cli, &route, role)?;
    if let Some(machine) = route.machine() {
        operands::check_host(machine, role)?;
    }
    Ok(route)
}

/// Who reads the list of `--files-from`.
fn whose_list(cli: &Cli, list: &NameList, receives: bool) -> FilesFrom {
    match (list, receives) {
        (NameList::None, _) => FilesFrom::None,
        (NameList::Stdin | NameList::File(_), true) => FilesFrom::Send,
        (NameList::Stdin, false) if cli.server => FilesFrom::Wire,
        (NameList::Remote(_), false) => FilesFrom::Wire,
        _ => FilesFrom::Local,
    }
}

/// The text of `--iconv`, by default that of the environment; `None`: nothing is converted.
fn charsets(cli: &Cli, world: &World<'_>) -> Option<Vec<u8>> {
    let spec = match (&cli.iconv, cli.server) {
        (Some(text), _) => Some(text.clone()),
        (None, false) => world.var("RSYNC_ICONV").filter(|text| !text.is_empty()),
        (None, true) => None,
    };
    spec.filter(|text| text != b"-")
}

fn output(cli: &Cli, levels: &Levels, outbuf: Option<OutBuf>) -> Output {
    let implied_format = match (cli.itemize, levels.info(Info::Name)) {
        (0, 0) => None,
        (0, _) => Some(b"%n%L".to_vec()),
        _ => Some(b"%i %n%L".to_vec()),
    };
    Output {
        format: cli.out_format.clone().or(implied_format),
        human: cli.human_readable.0.min(3),
        stderr: cli.stderr.unwrap_or_default(),
        stderr_given: cli.stderr.is_some(),
        outbuf,
        eight_bit: cli.eight_bit,
        quiet: cli.quiet > 0,
    }
}

/// How standard output is buffered. A server does not mind a word that is none.
fn outbuf(cli: &Cli) -> Result<Option<OutBuf>, Stop> {
    let Some(text) = &cli.outbuf else { return Ok(None) };
    match text.first().map(u8::to_ascii_uppercase) {
        Some(b'N' | b'U') => Ok(Some(OutBuf::None)),
        Some(b'L') => Ok(Some(OutBuf::Line)),
        Some(b'B' | b'F') => Ok(Some(OutBuf::Block)),
        _ if cli.server => Ok(None),
        _ => Err(refused(cli, "Invalid --outbuf setting -- specify N, L, or B.")),
    }
}

/// Words of `--info` that other options bring along.
fn implied_words(cli: &Cli) -> Vec<(Info, u8)> {
    let mut extra = Vec::new();
    if cli.stats {
        extra.push((Info::Stats, if cli.verbose > 1 { 3 } else { 2 }));
    }
    if cli.progress && !cli.server {
        extra.extend([(Info::Flist, 2), (Info::Progress, 1)]);
        // Where no line of a file's own comes before its data.
        let named = cli.out_format.as_ref().map_or(cli.itemize > 0, |format| !format::uses(format, b"bcC"));
        if !named {
            extra.push((Info::Name, 1));
        }
    }
    extra
}

/// The rules of the command line, and those that other options stand for.
fn rules(cli: &Cli, deleting: bool, backup: &Backups, partial_dir: Option<&[u8]>) -> Vec<FilterArg> {
    let mut filters = cli.filters.clone();
    if !cli.server {
        if cli.dirs == Some(Dirs::Old) {
            filters.push(FilterArg::Rule(b"- /*/*".to_vec()));
        }
        if backup.on && deleting && !cli.delete_excluded && backup.dir.is_none() {
            filters.push(FilterArg::Rule([b"P *", &backup.suffix[..]].concat()));
        }
        if let Some(dir) = partial_dir.filter(|dir| !dir.starts_with(b"/")) {
            filters.push(FilterArg::PartialDir(dir.to_vec()));
        }
    }
    if cli.cvs_exclude {
        filters.push(FilterArg::CvsExclude);
    }
    filters
}

/// Levels of `--old-args` and `-s`, with the environment where the command line says nothing.
fn argument_protection(cli: &Cli, world: &World<'_>) -> (u32, bool) {
    if cli.server {
        return (cli.old_args.unwrap_or(0), cli.secluded_args == Some(true));
    }
    let mut old_args = cli.old_args;
    let mut secluded = cli.secluded_args;
    if old_args.is_none()
        && secluded != Some(true)
        && let Some(text) = world.var("RSYNC_OLD_ARGS")
    {
        old_args = Some(u32::try_from(atoi(&text)).unwrap_or(0));
        secluded = Some(false);
    }
    if secluded.is_none()
        && old_args.unwrap_or(0) == 0
        && let Some(text) = world.var("RSYNC_PROTECT_ARGS")
    {
        secluded = Some(atoi(&text) != 0);
    }
    (old_args.unwrap_or(0), secluded == Some(true))
}

/// C's `atoi`: leading blanks, a sign, digits; 0 for anything else.
fn atoi(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        rest => (1, rest),
    };
    let number = digits
        .iter()
        .take_while(|c| c.is_ascii_digit())
        .fold(0i64, |n, c| (n * 10 + i64::from(c - b'0')).min(i64::from(i32::MAX)));
    sign * number
}

/// The charset of this side in the text of `--iconv`; `None`: no conversion is wanted.
pub(crate) fn own_charset(spec: &[u8], server: bool) -> Option<&[u8]> {
    let (local, remote) = match memchr::memchr(b',', spec) {
        Some(comma) => (&spec[..comma], &spec[comma + 1..]),
        None => (spec, spec),
    };
    (spec != b"-").then_some(if server { remote } else { local })
}

fn name_list(cli: &Cli, role: Role) -> Result<NameList, Stop> {
    let Some(text) = &cli.files_from else {
        return Ok(NameList::None);
    };
    if text == b"-" {
        return Ok(NameList::Stdin);
    }
    if !cli.server
        && let Operand::Remote(spec) = Operand::parse(text)
    {
        return Ok(NameList::Remote(spec.path));
    }
    match vouched::read(text, Trust::of(cli.insecure_links)) {
        Ok(file) => Ok(NameList::File(file)),
        Err(e) => {
            let reason = strerror::of(&e);
            let line = [b"failed to open files-from file ", &text[..], b": ", reason.as_bytes()].concat();
            Err(Failure { role, ..Failure::option(line, cli.server) }.into())
        }
    }
}

/// Options that only make sense with a daemon.
fn check_daemon_options(cli: &Cli, route: &Route, role: Role) -> Result<(), Stop> {
    let reach = route.machine().map(|m| m.reach);
    if cli.password_file.is_some() && !reach.is_some_and(operands::Reach::is_daemon) {
        let text = "The --password-file option may only be used when accessing an rsync daemon.";
        return Err(Failure::plain(text, ExitCode::SYNTAX, role).into());
    }
    if cli.contimeout != 0 && !matches!(reach, Some(operands::Reach::Daemon(_))) {
        let text = "The --contimeout option may only be used when connecting to an rsync daemon.";
        return Err(Failure::plain(text, ExitCode::SYNTAX, role).into());
    }
    Ok(())
}
