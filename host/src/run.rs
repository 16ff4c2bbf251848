//! From the argument vector to the exit code.

use std::{
    cell::{Cell, RefCell},
    ffi::{OsStr, OsString},
    io::{Read, Write},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
    rc::Rc,
    time::{SystemTime, UNIX_EPOCH},
};

use arsync_core::{
    batch::StreamFlags,
    charset::Toward,
    checksum::ChecksumKind,
    error::Role,
    exit::ExitCode,
    filter::{FilterConfig, FilterList},
    mux::MsgTag,
    options::{Compress, FilesFrom},
    session::{Outbox, Rules, SourceArgs},
    token::CompressKind,
    version::ProtocolVersion,
};

use crate::{
    cli::{
        self, Command,
        aliases::{self, Alias},
        asked::{Dirs, Recurse},
        batch_script::{self, Script},
        failure::{Failure, Stop},
        help,
        operands::Route,
        options::OPTIONS,
        parse::World,
        resolve::{NameList, Resolved},
        server_args::{daemon_args, module_of, server_args},
    },
    daemon,
    engine::{Confinement, Identity, NoIdentity, absolute},
    output::{console::Console, exit_line::exit_line, log_file::LogFile, message::Roots, strerror},
    session::{
        self, ClientRole, ClientRun, Ended, Link, LocalRun, Opening, OtherEnd, Refusal, ReplayRun,
        ServerRole, ServerRun, Speak, TWIN_LETTERS,
        batch::{self, Recording, Replayed},
        filters::{self, Ruler},
        interrupt, names, run_client, run_local, run_replay, run_server,
    },
    vouched::Trust,
};

mod charsets;
mod reach;
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
            stream_args(iconv.as_deref()).and_then(|strings| cli::secluded(&argv, strings, &world))
        }
        other => other,
    };
    let code = match command {
        Ok(Command::Session(resolved)) => {
            let words = core::iter::once(name).chain(argv).map(OsString::into_vec).collect::<Vec<_>>();
            let log = resolved.log.as_ref().map(|(path, _)| path.clone());
            prepared(*resolved, &words)
                .unwrap_or_else(|failure| stopped(&Stop::from(failure).logged(log.as_ref()), program, now))
        }
        Ok(Command::Daemon(cli)) => daemon::run(&cli, &shown),
        Ok(Command::Secluded(_)) => ExitCode::UNSUPPORTED,
        Err(stop) => stopped(&stop, program, now),
    };
    code.0
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

fn closed() -> Stop {
    Failure::plain("rsync: connection unexpectedly closed", ExitCode::STREAM_IO, Role::Server).into()
}

/// Prints what parsing ended with.
fn stopped(stop: &Stop, program: &str, now: i64) -> ExitCode {
    let mut stderr = std::io::stderr().lock();
    match stop {
        Stop::Print(text) => {
            let _ = std::io::stdout().lock().write_all(text);
        }
        Stop::Usage(role) => {
            let _ = stderr.write_all(help::usage(program).as_bytes());
            let _ = stderr.write_all(&exit_line(ExitCode::SYNTAX, *role));
        }
        Stop::Fail(failure) => {
            let exit_line = exit_line(failure.code, failure.role);
            let log = failure.log.as_ref().and_then(|path| LogFile::open(path, Trust::Own).ok());
            let _ = stderr.write_all(&failure.text);
            let _ = stderr.write_all(&exit_line);
            if let Some(log) = log {
                log.line(now, failure.text.trim_ascii_end());
                if failure.role == Role::Sender {
                    log.line(now, b"sent 0 bytes  received 0 bytes  total size 0");
                }
                log.line(now, exit_line.trim_ascii_end());
            }
        }
    }
    stop.exit_code()
}

/// Opens batch files, then runs. `words`: the argument vector, the program's name first.
fn prepared(mut resolved: Resolved, words: &[Vec<u8>]) -> Result<ExitCode, Failure> {
    let mut batch = Batch::None;
    let names = Names::of(&resolved)?;
    let iconv = names.is_some();
    if let Some(name) = &resolved.read_batch {
        let raised = raised(&resolved);
        match batch::open(name, &mut resolved.opts, iconv, raised) {
            Ok(replayed) => batch = Batch::Read(replayed),
            // Rules that cannot be used come before a batch file that cannot.
            Err(failure) => return bad_rules(&resolved).ok_or(failure),
        }
    } else if let Some(name) = resolved.batch_to_write() {
        batch_refuses(&resolved)?;
        batch = Batch::Write(Recording::create(name, &resolved.opts, iconv)?);
    }
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

/// Reports rules that cannot be used, if there are any.
fn bad_rules(resolved: &Resolved) -> Option<ExitCode> {
    let (roots, outbox) = (Rc::new(RefCell::new(Roots::here())), Rc::new(Outbox::new()));
    let console = Console::new(resolved, roots, outbox, None, None);
    let config = filters::config(&resolved.opts, resolved.from0, true);
    let ruler = Ruler::client(&resolved.opts.select);
    let code = filters::build(&resolved.filters, config, true, &ruler, &console).err()?;
    console.finish(None, code, Role::Client);
    Some(code)
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

/// A local run with a batch has no choice of algorithms: the process at the other end would refuse it.
fn batch_refuses(resolved: &Resolved) -> Result<(), Failure> {
    if !matches!(resolved.route, Route::Local { .. }) {
        return Ok(());
    }
    let modern = resolved.opts.protocol.is_none_or(|p| p >= 30);
    let allowed = if modern { ChecksumKind::Md5 } else { ChecksumKind::Md4 };
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
    interrupt::watch(role, receives && resolved.opts.transfer.partial);
    if let Some(at) = resolved.cli.stop_at
        && let Err(error) = interrupt::stop_at(at, role)
    {
        let _ = writeln!(std::io::stderr(), "rsync: cannot watch the clock: {error}");
        console.finish(None, ExitCode::IPC, role);
        return ExitCode::IPC;
    }
    let ended = start(resolved, &console, &roots, &outbox, prepared, words);
    interrupt::end_if_interrupted(role);
    let ended = match ended {
        Ok(ended) => ended,
        Err(code) => {
            console.finish(None, code, role);
            return code;
        }
    };
    let code = ended.code;
    console.finish(Some(&ended), code, role);
    code
}

fn start(
    resolved: &Resolved,
    console: &Console,
    roots: &RefCell<Roots>,
    outbox: &Rc<Outbox>,
    prepared: Prepared,
    words: &[Vec<u8>],
) -> Result<Ended, ExitCode> {
    let Prepared { batch, names, identity, refusal, visit } = prepared;
    let options = &resolved.opts;
    let conversion = names.as_ref().map(Names::conversion);
    let charset_known = || {
        if let Some(names) = &names {
            console.charset_known(&names.name, names.role);
        }
    };
    let config = || filters::config(options, resolved.from0, true);
    let modern = options.protocol.is_none_or(|p| p >= 30);
    let ruler = Ruler::client(&options.select);
    let own_rules = |pulls| filters::build(&resolved.filters, config(), pulls || modern, &ruler, console);
    let shows = options.report.itemize || options.report.names;
    let protocol_known = |protocol, incremental| console.protocol_known(protocol, incremental);
    let recording = match &batch {
        Batch::Write(recording) => Some(recording),
        Batch::None | Batch::Read(_) => None,
    };
    match &resolved.route {
        Route::Local { sources, dest } if !resolved.is_local_pair() => {
            charset_known();
            let path = dest.as_deref().unwrap_or_default();
            console.command_parts(b"", None, path, &[b".".to_vec(), path.to_vec()]);
            let mut list = own_rules(false)?;
            // Not built anew: rules may have come from stdin.
            let mut dest_list = list.clone();
            if options.select.cvs_exclude {
                for list in [&mut list, &mut dest_list] {
                    list.add_cvs(true, true, false).map_err(|fault| fault.exit_code())?;
                }
            }
            Ok(run_local(LocalRun {
                options,
                args: source_args(resolved, sources, console)?,
                dest: dest.clone(),
                filters: list,
                dest_filters: dest_list,
                observer: console,
                roots,
                shows,
                bwlimit: resolved.cli.bwlimit.unwrap_or(0),
                conversion,
                protocol_known: &protocol_known,
            }))
        }
        Route::Local { .. } | Route::Push { .. } | Route::Pull { .. } => {
            let rules = own_rules(matches!(resolved.route, Route::Pull { .. }))?;
            let mut args = server_args(resolved);
            let other = match resolved.route.machine() {
                Some(_) => OtherEnd::Stranger,
                None => OtherEnd::Twin,
            };
            if other == OtherEnd::Twin {
                // The reference forks here: its other half knows more than a server is told.
                if options.preserve.acls && !options.preserve.perms {
                    // Behind the letters, of which `A` would bring permissions.
                    args.argv.insert(2, b"--no-perms".to_vec());
                }
                if options.report.names && resolved.cli.verbose == 0 {
                    args.argv.insert(1, b"--info=NAME".to_vec());
                }
                if !modern {
                    args.argv.insert(1, [b"-e", TWIN_LETTERS].concat());
                }
                if !options.push_sends_filters(ProtocolVersion::MAX) {
                    // What they protect stays in a directory that would have to make way.
                    let texts = rules.script_rules(ProtocolVersion::MAX).unwrap_or_default();
                    let words = texts.iter().map(|text| [b"--filter=", &text[..]].concat());
                    args.argv.splice(1..1, words);
                }
            }
            if let (None, Some(format)) = (resolved.route.machine(), &resolved.output.format)
                && let Some(protocol) = resolved.opts.protocol.and_then(ProtocolVersion::new)
                && !protocol.has_deleted_message()
                && let Some(form) = args.argv.iter_mut().find(|arg| arg.starts_with(b"--log-format="))
            {
                // It knows the client's format, too, and makes the lines of deletions with it.
                *form = [b"--log-format=", &format[..]].concat();
            }
            let to_wire = |strings| match &names {
                Some(names) => names.args(Toward::Wire, strings),
                None => strings,
            };
            let daemon_args = |protocol| {
                let args = daemon_args(resolved, protocol);
                console.daemon_args(&args.argv);
                if let Some(strings) = &args.stream {
                    console.protected_args(strings);
                }
                (args.argv, args.stream.map(to_wire))
            };
            let (link, daemon) = match resolved.route.machine() {
                Some(to) => reach::reach(resolved, to, args.argv, &daemon_args, console)?,
                // What a batch file records is what two processes say to each other.
                None => (Link::Program([vec![b"/proc/self/exe".to_vec()], args.argv].concat()), None),
            };
            let stream_args = args.stream.filter(|_| daemon.is_none());
            if let Link::Program(command) | Link::DaemonShell(command, _) = &link
                && let Some(to) = resolved.route.machine()
            {
                let path = reach::first_path(resolved);
                console.command_parts(&resolved.rsh, Some((&to.host, to.user.as_deref())), path, command);
                console.connecting(command);
            }
            charset_known();
            if let Some(strings) = &stream_args {
                console.protected_args(strings);
            }
            let role = match &resolved.route {
                Route::Push { sources, .. } | Route::Local { sources, .. } => {
                    ClientRole::Push(source_args(resolved, sources, console)?)
                }
                Route::Pull { dest, .. } => {
                    let names = match options.select.files_from {
                        FilesFrom::Send => Some(local_names(resolved, true, console)?),
                        _ => None,
                    };
                    ClientRole::Pull(dest.clone(), names)
                }
                _ => return Err(ExitCode::UNSUPPORTED),
            };
            let script = match recording {
                Some(_) => Some(BatchScript::new(resolved, &rules, words, console)?),
                None => None,
            };
            let protocol_known = |protocol, incremental| {
                protocol_known(protocol, incremental);
                if let (Some(recording), Some(script)) = (recording, &script) {
                    recording.write_script(&script.text(protocol));
                }
            };
            let mut ended = run_client(ClientRun {
                options,
                link,
                other,
                daemon,
                stream_args: stream_args.map(to_wire),
                requested: requested(resolved, &role),
                role,
                rules: Rules::Own(rules),
                recording,
                identity,
                observer: console,
                roots,
                bwlimit: resolved.cli.bwlimit.unwrap_or(0),
                outbox: outbox.clone(),
                shows,
                timeout: Rc::new(Cell::new(options.timeout)),
                conversion,
                protocol_known: &protocol_known,
            })?;
            if let Some(Err(reason)) = recording.map(Recording::finish)
                && ended.reason.is_none()
            {
                (ended.code, ended.reason) = (ExitCode::FILE_IO, Some(reason));
            }
            Ok(ended)
        }
        Route::Server { sender, args, .. } => {
            charset_known();
            let root = visit.as_ref().map(|visit| visit.root.clone());
            let (opening, veil) = visit.map_or((Opening::Stdio, None), Visit::into_parts);
            let ruler = Ruler::server(&options.select, root.map(|root| (root, veil.clone())));
            let config = FilterConfig { veil, ..config() };
            let rules = match refusal {
                None => filters::build(&resolved.filters, config, modern, &ruler, console)?,
                Some(_) => FilterList::new(config),
            };
            Ok(run_server(ServerRun {
                options,
                opening,
                role: if let Some(refusal) = refusal {
                    ServerRole::Refuser(refusal)
                } else if *sender {
                    ServerRole::Sender(source_args(resolved, args, console)?)
                } else {
                    let names = match options.select.files_from {
                        FilesFrom::Send => Some(local_names(resolved, true, console)?),
                        _ => None,
                    };
                    ServerRole::Receiver(args.first().cloned(), names)
                },
                client_info: resolved.client_info.clone(),
                rules: Rules::FromPeer(rules),
                observer: console,
                roots,
                bwlimit: resolved.cli.bwlimit.unwrap_or(0),
                outbox: outbox.clone(),
                shows,
                conversion,
                protocol_known: &protocol_known,
            }))
        }
        Route::Batch { dest } => {
            let Batch::Read(batch) = batch else { return Err(ExitCode::FILE_IO) };
            for text in &batch.changes {
                console.changed_option(text);
            }
            charset_known();
            console.protocol_known(batch.agreed.protocol, batch.agreed.inc_recurse());
            Ok(run_replay(ReplayRun {
                options,
                batch,
                dest: dest.clone(),
                rules: Rules::Own(own_rules(true)?),
                observer: console,
                roots,
                shows,
                conversion,
            }))
        }
    }
}

/// What the script of a batch file is made from.
struct BatchScript<'a> {
    resolved: &'a Resolved,
    words: &'a [Vec<u8>],
    /// The rules in the forms of new and of old versions.
    rules: [Vec<Vec<u8>>; 2],
}

impl<'a> BatchScript<'a> {
    fn new(
        resolved: &'a Resolved,
        list: &FilterList,
        words: &'a [Vec<u8>],
        console: &Console,
    ) -> Result<Self, ExitCode> {
        // What an old version cannot carry ends the session before a script is written.
        let old = ProtocolVersion::MIN;
        let rules = [ProtocolVersion::MAX, old].map(|p| list.script_rules(p).unwrap_or_default());
        if !resolved.from0 && rules.iter().flatten().any(|rule| rule.contains(&b'\n')) {
            let text = b"cannot write a filter rule containing a newline to the batch replay script";
            console.say(MsgTag::Error, resolved.route.role(), text);
            return Err(ExitCode::SYNTAX);
        }
        Ok(Self { resolved, words, rules })
    }

    fn text(&self, protocol: ProtocolVersion) -> Vec<u8> {
        let modern = protocol.has_filter_modifiers();
        let [new, old] = &self.rules;
        batch_script::text(&Script {
            argv: self.words,
            operands: &self.resolved.operands,
            batch: self.resolved.batch_to_write().unwrap_or_default(),
            dest: match &self.resolved.route {
                Route::Push { dest, .. } => dest,
                Route::Local { dest, .. } | Route::Pull { dest, .. } => dest.as_deref().unwrap_or_default(),
                Route::Batch { .. } | Route::Server { .. } => b"",
            },
            rules: if modern { new } else { old },
            from0: self.resolved.from0,
            modern,
        })
    }
}

/// What the sender of this process is asked for.
fn source_args(resolved: &Resolved, args: &[Vec<u8>], console: &Console) -> Result<SourceArgs, ExitCode> {
    let names = match resolved.opts.select.files_from {
        FilesFrom::None => return Ok(SourceArgs { names: asked_names(resolved, args), base: None }),
        FilesFrom::Local => local_names(resolved, false, console)?,
        FilesFrom::Wire | FilesFrom::Send => Vec::new(),
    };
    let base = args.first().cloned().unwrap_or_else(|| b".".to_vec());
    Ok(SourceArgs { names, base: Some(base) })
}

/// The names of a sender. A server that is given none lists the directory that it starts from.
fn asked_names(resolved: &Resolved, args: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let select = &resolved.opts.select;
    if args.is_empty() && resolved.cli.server && (select.recursive || select.dirs) {
        return vec![b".".to_vec()];
    }
    args.to_vec()
}

fn local_names(resolved: &Resolved, for_peer: bool, console: &Console) -> Result<Vec<Vec<u8>>, ExitCode> {
    // A user's own list may be anywhere; one that a server is asked to read may not.
    if let (true, NameList::File(file)) = (resolved.cli.server, &resolved.files_from)
        && let Err(error) = Confinement::of(&resolved.opts.select).admits(file)
    {
        let name = resolved.cli.files_from.as_deref().unwrap_or_default();
        let reason = strerror::of(&error.into());
        let text = [b"rsync: failed to open files-from file ", name, b": ", reason.as_bytes()].concat();
        console.say(MsgTag::Error, Role::Server, &text);
        return Err(ExitCode::SYNTAX);
    }
    names::read(&resolved.files_from, resolved.from0, for_peer, resolved.route.role(), console)
}

/// What follows the module in a path of a daemon; the module itself is the directory that it names.
fn below_module(path: &[u8]) -> Vec<u8> {
    let rest = path.get(module_of(path).len() + 1..).unwrap_or_default();
    if rest.is_empty() { b"./".to_vec() } else { rest.to_vec() }
}

/// What the other side may send to this client: the paths it was given, or the names of the list it is sent.
fn requested(resolved: &Resolved, role: &ClientRole) -> Vec<Vec<u8>> {
    match (role, &resolved.route, resolved.opts.select.files_from) {
        _ if resolved.old_args > 0 => Vec::new(),
        (ClientRole::Pull(_, Some(names)), ..) => names.clone(),
        (_, Route::Pull { paths, from, .. }, FilesFrom::None) if from.reach.is_daemon() => {
            paths.iter().map(|path| below_module(path)).collect()
        }
        (_, Route::Pull { paths, .. }, FilesFrom::None) => paths.clone(),
        _ => Vec::new(),
    }
}
