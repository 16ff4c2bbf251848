//! From the argument vector to the exit code.

use std::{
    cell::RefCell,
    ffi::{OsStr, OsString},
    io::{ErrorKind, Read, Write},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
    rc::Rc,
    time::{SystemTime, UNIX_EPOCH},
};

use arsync_core::{
    batch::StreamFlags, charset::Toward, checksum::ChecksumKind, error::Role, exit::ExitCode,
    options::Compress, session::Outbox, token::CompressKind,
};

use crate::{
    cli::{
        self, Command,
        aliases::{self, Alias},
        asked::{Dirs, FilterArg, Recurse},
        failure::{Failure, Heard, Refused, Stop},
        help,
        operands::Route,
        options::OPTIONS,
        parse::World,
        resolve::Resolved,
    },
    daemon, ending,
    engine::{Identity, NoIdentity, TooMany, absolute, expand_anywhere},
    output::{
        console::Console,
        exit_line::exit_line,
        log_file::{self, LogFile},
        message::Roots,
        strerror,
    },
    session::{
        self, Refusal,
        batch::{self, Recording, Replayed},
        filters, interrupt,
    },
    vouched::Trust,
};

mod charsets;
mod reach;
mod routes;
mod visit;

pub(crate) use charsets::Names;
pub(crate) use visit::{Visit, serve};

/// Longest argument vector that comes through stdin (`-s`), bytes.
const MAX_STREAM_ARGS: u64 = 4 << 20;

/// Runs the program with its argument vector (name first) and returns its exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    interrupt::prefer_errors();
    let mut args = args.into_iter();
    let name = args.next().unwrap_or_default();
    let shown = name.clone();
    let program = Path::new(&shown).file_name().map(|n| n.to_string_lossy().into_owned());
    let program = program.as_deref().unwrap_or("arsync");
    let argv: Vec<OsString> = args.collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs().cast_signed());
    let world = World { program, env: &|name| std::env::var_os(name), now };
    let known = aliases();
    let meant = if known.is_empty() || !aliases::apply_to(&argv) {
        argv.clone()
    } else {
        aliases::expand(OPTIONS, &known, &argv)
    };
    let command = match cli::command(&meant, &world) {
        Ok(Command::Secluded(iconv)) => {
            let strings = stream_args(iconv.as_deref()).map_err(Refused::from);
            strings
                .and_then(|strings| cli::secluded(&argv, strings, &world))
                .and_then(|command| Ok(without_wildcards(command)?))
        }
        other => other,
    };
    let code = match command.and_then(|command| Ok(standing_somewhere(command)?)) {
        Ok(Command::Session(resolved)) => {
            let words = core::iter::once(name).chain(argv).map(OsString::into_vec).collect::<Vec<_>>();
            let heard = Heard { all: true, ..Heard::of(&resolved.cli) };
            prepared(*resolved, &words).unwrap_or_else(|stop| stopped(&Refused { stop, heard }, program, now))
        }
        Ok(Command::Daemon(cli)) => daemon::run(&cli, &shown),
        Ok(Command::Secluded(_)) => ExitCode::UNSUPPORTED,
        Err(refused) => stopped(&refused, program, now),
    };
    code.0
}

/// Nothing is begun in a directory that is not there any more.
fn standing_somewhere(command: Command) -> Result<Command, Stop> {
    match std::env::current_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let reason = strerror::suffix(error.raw_os_error().unwrap_or_default());
            let text = format!("rsync: [{role}] getcwd(){reason}", role = Role::ReceiverSide);
            Err(Failure::plain(text, ExitCode::FILE_SELECT, Role::ReceiverSide).into())
        }
        _ => Ok(command),
    }
}

/// The aliases of this machine and of the user.
fn aliases() -> Vec<Alias> {
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".popt"));
    let files = core::iter::once(Path::new("/etc/popt").to_owned()).chain(home);
    files.filter_map(|path| std::fs::read(path).ok()).flat_map(|text| aliases::parse(&text)).collect()
}

/// The further arguments of a server: strings ended with NUL, up to an empty one. `iconv`: how they are converted.
fn stream_args(iconv: Option<&[u8]>) -> Result<Vec<Vec<u8>>, Stop> {
    let names = iconv.map(Names::of_secluded).transpose()?.flatten();
    let mut strings = Vec::new();
    let mut current = Vec::new();
    // One byte at a time: what follows belongs to the protocol.
    let mut stdin = std::fs::File::from(rustix::io::dup(rustix::stdio::stdin()).map_err(|_| closed())?);
    let mut byte = [0u8];
    for _ in 0..MAX_STREAM_ARGS {
        stdin.read_exact(&mut byte).map_err(|_| closed())?;
        if byte[0] != 0 {
            current.push(byte[0]);
        } else if current.is_empty() {
            return Ok(match names {
                Some(names) => names.args(Toward::Here, strings),
                None => strings,
            });
        } else {
            strings.push(core::mem::take(&mut current));
        }
    }
    Err(closed())
}

/// No shell has expanded what comes through the stream.
fn without_wildcards(mut command: Command) -> Result<Command, Stop> {
    if let Command::Session(resolved) = &mut command
        && let Route::Server { args, .. } = &mut resolved.route
    {
        *args = expand_anywhere(core::mem::take(args)).map_err(|TooMany| {
            let text = "the patterns of the request match too many files";
            Failure::plain(text, ExitCode::SYNTAX, Role::Server)
        })?;
    }
    Ok(command)
}

fn closed() -> Stop {
    Failure::plain("rsync: connection unexpectedly closed", ExitCode::STREAM_IO, Role::Server).into()
}

/// Prints what parsing ended with.
fn stopped(refused: &Refused, program: &str, now: i64) -> ExitCode {
    let Refused { stop, heard } = refused;
    // Rules are read as they come, and in front of the word that ended it.
    if let Some((text, code)) = filters::fault(&heard.rules, heard.insecure_links) {
        let stop = Stop::Fail(Failure::plain(text, code, Role::Client));
        let heard = Heard { rules: Vec::new(), all: false, ..heard.clone() };
        return stopped(&Refused { stop, heard }, program, now);
    }
    let usage;
    let (text, role) = match stop {
        Stop::Print(text) if heard.server => {
            ending::write_stderr(text);
            return stop.exit_code();
        }
        Stop::Print(text) => {
            let _ = std::io::stdout().lock().write_all(text);
            return stop.exit_code();
        }
        Stop::Usage(role) => {
            usage = help::usage(program).into_bytes();
            (&usage, *role)
        }
        Stop::Fail(failure) => (&failure.text, failure.role),
    };
    let exit_line = exit_line(stop.exit_code(), role);
    let log = heard.log.as_ref().and_then(|path| {
        let opened = LogFile::open(path, Trust::Own);
        if let Err(error) = &opened
            && heard.all
        {
            let speaker = if role == Role::Server { Role::Server } else { Role::Client };
            let (text, note) = log_file::unusable(speaker, path, error);
            ending::write_stderr(&[&text[..], b"\n"].concat());
            if !heard.quiet {
                let _ = std::io::stdout().lock().write_all(&[note, b"\n"].concat());
            }
        }
        opened.ok()
    });
    ending::write_stderr(text);
    ending::write_stderr(&exit_line);
    if let Some(log) = log {
        for line in text.trim_ascii_end().split(|&b| b == b'\n') {
            log.line(now, line);
        }
        if role == Role::Sender {
            log.line(now, b"sent 0 bytes  received 0 bytes  total size 0");
        }
        log.line(now, exit_line.trim_ascii_end());
    }
    stop.exit_code()
}

/// Opens batch files, then runs. `words`: the argument vector, the program's name first.
fn prepared(mut resolved: Resolved, words: &[Vec<u8>]) -> Result<ExitCode, Stop> {
    let file = match &resolved.read_batch {
        Some(name) => Some(batch::open(name, Trust::of(resolved.opts.select.insecure_links))?),
        None => None,
    };
    if let Route::Batch { dest: Err(stop) } = &resolved.route {
        return Err(stop.clone());
    }
    let names = Names::of(&resolved)?;
    let iconv = names.is_some();
    let batch = if let Some(file) = file {
        let raised = raised(&resolved);
        Batch::Read(batch::begin(file, &mut resolved.opts, iconv, raised)?)
    } else if let Some(name) = resolved.batch_to_write() {
        batch_refuses(&resolved)?;
        rules_stand(&resolved)?;
        Batch::Write(Recording::create(name, &resolved.opts, iconv)?)
    } else {
        Batch::None
    };
    if resolved.is_local_pair() && resolved.batch_to_write().is_none() {
        // Without a batch file the two processes are a local run nevertheless.
        resolved.opts.transfer.whole_file.get_or_insert(true);
    }
    let identity = identity(&resolved)?;
    let refusal = enter_start(&resolved);
    Ok(run_session(&resolved, Prepared { batch, names, identity, refusal, visit: None }, words))
}

/// Takes a server to the directory that its first word names, or says why there is no session. The paths of `-R` do
/// not begin there.
fn enter_start(resolved: &Resolved) -> Option<Refusal> {
    let Route::Server { sender, start, .. } = &resolved.route else { return None };
    if start == b"." || *sender && resolved.opts.select.relative {
        return None;
    }
    let error = std::env::set_current_dir(OsStr::from_bytes(start)).err()?;
    let intro = format!("rsync: [{}] change_dir#{} \"", resolved.route.role(), if *sender { 3 } else { 4 });
    let outro = format!("\" failed{}", strerror::suffix(error.raw_os_error().unwrap_or_default()));
    let text = [intro.as_bytes(), &absolute(start), outro.as_bytes()].concat();
    Some(Refusal { texts: vec![text], code: ExitCode::FILE_SELECT, names_awaited: false })
}

/// The identity of `--copy-as`. Where another program is started first, it is taken later.
fn identity(resolved: &Resolved) -> Result<Option<Identity>, Failure> {
    let Some(text) = &resolved.cli.copy_as else { return Ok(None) };
    let role = resolved.route.role();
    let identity = Identity::parse(text).map_err(|fault| {
        let text = match fault {
            NoIdentity::User(name) => [b"Invalid copy-as user: ", name].concat(),
            NoIdentity::Group(name) => [b"Invalid copy-as group: ", name].concat(),
            NoIdentity::Entry => format!("rsync: [{role}] getpwuid failed: Success (0)").into_bytes(),
        };
        Failure::plain(text, ExitCode::SYNTAX, role)
    })?;
    if resolved.route.machine().is_some() || resolved.is_local_pair() {
        return Ok(Some(identity));
    }
    session::assume(&identity, role).map_err(|text| Failure::plain(text, ExitCode::SYNTAX, role))?;
    Ok(None)
}

/// Options that the reference counts, where they were given with more than their first level.
fn raised(resolved: &Resolved) -> StreamFlags {
    let (cli, opts) = (&resolved.cli, &resolved.opts);
    let mut raised = StreamFlags::empty();
    raised.set(StreamFlags::RECURSE, cli.recurse == Recurse::Explicit && cli.dirs != Some(Dirs::Old));
    raised.set(StreamFlags::DIRS, cli.dirs == Some(Dirs::On) && !opts.select.recursive);
    raised.set(StreamFlags::HARD_LINKS, opts.preserve.hard_links > 1);
    raised.set(StreamFlags::XATTRS, opts.preserve.xattrs > 1);
    raised
}

/// A fault of the rules is told before a batch file is made anew. Standard input can be read only once.
fn rules_stand(resolved: &Resolved) -> Result<(), Failure> {
    let reads_stdin = |arg: &FilterArg| match arg {
        FilterArg::ExcludeFrom(file) | FilterArg::IncludeFrom(file) => file == b"-",
        FilterArg::Rule(rule) => rule.ends_with(b"-"),
        _ => false,
    };
    if resolved.filters.iter().any(reads_stdin) {
        return Ok(());
    }
    let fault = filters::fault(&resolved.filters, resolved.opts.select.insecure_links);
    fault.map_or(Ok(()), |(text, code)| Err(Failure::plain(text, code, Role::Client)))
}

/// A local run with a batch has no choice of algorithms: the process at the other end would refuse it.
fn batch_refuses(resolved: &Resolved) -> Result<(), Failure> {
    if !matches!(resolved.route, Route::Local { .. }) {
        return Ok(());
    }
    let allowed =
        if resolved.opts.max_protocol().has_varints() { ChecksumKind::Md5 } else { ChecksumKind::Md4 };
    let transfer = &resolved.opts.transfer;
    let sums = transfer.checksum_choice.into_iter().flat_map(|(transfer, list)| [transfer, list]);
    let (what, name) = if sums.flatten().any(|sum| sum != allowed) {
        ("checksum", resolved.cli.checksum_choice.as_deref())
    } else if matches!(transfer.compress, Compress::Explicit(kind) if kind != CompressKind::Zlib) {
        ("compress", resolved.cli.compress_choice.as_deref())
    } else {
        return Ok(());
    };
    let name = name.unwrap_or(b"zlibx");
    let text = [b"Your --", what.as_bytes(), b"-choice value (", name, b") was refused by the server."];
    Err(Failure::plain(text.concat(), ExitCode::UNSUPPORTED, Role::ReceiverSide))
}

/// The batch file of a run.
enum Batch {
    None,
    Read(Replayed),
    Write(Recording),
}

/// What was opened before the session.
struct Prepared {
    batch: Batch,
    names: Option<Names>,
    identity: Option<Identity>,
    refusal: Option<Refusal>,
    visit: Option<Visit>,
}

/// Runs a transfer or a listing and shows how it ended.
fn run_session(resolved: &Resolved, prepared: Prepared, words: &[Vec<u8>]) -> ExitCode {
    let role = resolved.route.role();
    let mut here = Roots::here();
    here.module = prepared.visit.as_ref().map(Visit::place);
    let roots = Rc::new(RefCell::new(here));
    let outbox = Rc::new(Outbox::new());
    let console = {
        let charset = prepared.names.as_ref().map(|names| names.charset.clone());
        let visitor = prepared.visit.as_ref().map(|visit| visit.visitor.clone());
        Console::new(resolved, roots.clone(), outbox.clone(), charset, visitor)
    };
    // Only who waits for a peer hears of it there; a local copy drops what is not complete.
    let receives =
        role != Role::Sender && matches!(resolved.route, Route::Pull { .. } | Route::Server { .. });
    ending::takes_role(role);
    interrupt::watch(receives && resolved.opts.transfer.partial, resolved.cli.server);
    if let Some(at) = resolved.cli.stop_at
        && let Err(error) = interrupt::stop_at(at)
    {
        ending::write_stderr(format!("rsync: cannot watch the clock: {error}\n").as_bytes());
        console.finish(None, ExitCode::IPC, role);
        return ExitCode::IPC;
    }
    let ended = routes::start(resolved, &console, &roots, &outbox, prepared, words);
    interrupt::end_if_interrupted();
    let ended = match ended {
        Ok(ended) => ended,
        Err(code) => {
            console.finish(None, code, ending::role());
            return code;
        }
    };
    let code = ended.code;
    // Who reads notices first that the connection is gone.
    let last = if ended.reason.is_some() { ending::reading_role() } else { ending::role() };
    console.finish(Some(&ended), code, last);
    code
}
