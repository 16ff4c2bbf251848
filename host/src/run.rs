//! From the argument vector to the exit code.

use std::{
    cell::{Cell, RefCell},
    ffi::OsString,
    io::{Read, Write},
    path::Path,
    rc::Rc,
    time::{SystemTime, UNIX_EPOCH},
};

use arsync_core::{
    error::Role,
    exit::ExitCode,
    session::{Outbox, Rules, SourceArgs},
};

use crate::{
    cli::{
        self, Command,
        failure::Stop,
        help,
        operands::Route,
        parse::World,
        remote_shell::{self, ShellCommand},
        resolve::Resolved,
        server_args::server_args,
    },
    output::{console::Console, exit_line::exit_line, message::Roots},
    session::{
        ClientRole, ClientRun, Ended, LocalRun, ServerRun, filters, interrupt, run_client, run_local,
        run_server,
    },
};

/// Longest argument vector that comes through stdin (`-s`), bytes.
const MAX_STREAM_ARGS: u64 = 4 << 20;

/// Runs the program with its argument vector (name first) and returns its exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let mut args = args.into_iter();
    let name = args.next().unwrap_or_default();
    let program = Path::new(&name).file_name().map(|n| n.to_string_lossy().into_owned());
    let program = program.as_deref().unwrap_or("arsync");
    let argv: Vec<OsString> = args.collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs().cast_signed());
    let world = World { program, env: &|name| std::env::var_os(name), now };
    let command = match cli::command(&argv, &world) {
        Ok(Command::Secluded) => stream_args().and_then(|strings| cli::secluded(&argv, strings, &world)),
        other => other,
    };
    let code = match command {
        Ok(Command::Session(resolved)) => run_session(*resolved),
        Ok(Command::Secluded | Command::Daemon(_)) => ExitCode::UNSUPPORTED,
        Err(stop) => stopped(&stop, program),
    };
    code.0
}

/// The further arguments of a server: strings ended with NUL, up to an empty one.
fn stream_args() -> Result<Vec<Vec<u8>>, Stop> {
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
            return Ok(strings);
        } else {
            strings.push(core::mem::take(&mut current));
        }
    }
    Err(closed())
}

fn closed() -> Stop {
    cli::failure::Failure::plain("rsync: connection unexpectedly closed", ExitCode::STREAM_IO, Role::Server)
        .into()
}

/// Prints what parsing ended with.
fn stopped(stop: &Stop, program: &str) -> ExitCode {
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
            let _ = stderr.write_all(&failure.text);
            let _ = stderr.write_all(&exit_line(failure.code, failure.role));
        }
    }
    stop.exit_code()
}

/// Runs a transfer or a listing and shows how it ended.
fn run_session(resolved: Resolved) -> ExitCode {
    let role = resolved.route.role();
    let roots = Rc::new(RefCell::new(Roots::here()));
    let outbox = Rc::new(Outbox::new());
    let console = Console::new(&resolved, roots.clone(), outbox.clone());
    interrupt::watch(role);
    let ended = match start(&resolved, &console, &roots, &outbox) {
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
) -> Result<Ended, ExitCode> {
    let options = &resolved.opts;
    let config = || filters::config(options, resolved.from0, true);
    let modern = options.protocol.is_none_or(|p| p >= 30);
    let own_rules = |pulls| filters::build(&resolved.filters, config(), pulls, modern, console);
    let shows = options.report.itemize || options.report.names;
    let protocol_known = |protocol, incremental| console.protocol_known(protocol, incremental);
    match &resolved.route {
        Route::Local { sources, dest } => {
            let mut list = own_rules(false)?;
            let mut dest_list = own_rules(false)?;
            if options.select.cvs_exclude {
                for list in [&mut list, &mut dest_list] {
                    list.add_cvs(true, true, false).map_err(|fault| fault.exit_code())?;
                }
            }
            Ok(run_local(LocalRun {
                options,
                args: SourceArgs { names: sources.clone(), base: None },
                dest: dest.clone(),
                filters: list,
                dest_filters: dest_list,
                observer: console,
                roots,
                shows,
                protocol_known: &protocol_known,
            }))
        }
        Route::Push { to, .. } | Route::Pull { from: to, .. } => {
            let args = server_args(resolved);
            let command = ShellCommand {
                rsh: &resolved.rsh,
                rsync_path: &resolved.rsync_path,
                ip_version: resolved.cli.ip_version,
            };
            let command =
                remote_shell::argv(&command, to, args.argv, resolved.route.role()).map_err(|f| {
                    let _ = std::io::stderr().lock().write_all(&f.text);
                    f.code
                })?;
            let (role, pulls) = match &resolved.route {
                Route::Push { sources, .. } => {
                    (ClientRole::Push(SourceArgs { names: sources.clone(), base: None }), false)
                }
                Route::Pull { dest, .. } => (ClientRole::Pull(dest.clone(), None), true),
                _ => return Err(ExitCode::UNSUPPORTED),
            };
            Ok(run_client(ClientRun {
                options,
                command,
                stream_args: args.stream,
                role,
                rules: Rules::Own(own_rules(pulls)?),
                observer: console,
                roots,
                outbox: outbox.clone(),
                shows,
                timeout: Rc::new(Cell::new(options.timeout)),
                protocol_known: &protocol_known,
            }))
        }
        Route::Server { sender, args } => Ok(run_server(ServerRun {
            options,
            sender: *sender,
            args: args.clone(),
            client_info: resolved.client_info.clone(),
            rules: Rules::FromPeer(config()),
            observer: console,
            roots,
            outbox: outbox.clone(),
            shows,
            protocol_known: &protocol_known,
        })),
        Route::Batch { .. } => Err(ExitCode::UNSUPPORTED),
    }
}
