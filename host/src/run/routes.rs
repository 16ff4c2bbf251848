//! What each route runs: a local copy, a client, a server, or the replay of a batch file.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use arsync_core::{
    charset::{Conversion, Toward},
    error::Role,
    exit::ExitCode,
    filter::{CvsRules, FilterConfig, FilterList},
    mux::MsgTag,
    options::{FilesFrom, SessionOptions},
    session::{Outbox, Rules, SourceArgs},
    version::ProtocolVersion,
};

use super::{Batch, Names, Prepared, Visit, reach};
use crate::{
    cli::{
        batch_script::{self, Script},
        operands::Route,
        resolve::{NameList, Resolved},
        server_args::{ServerArgs, daemon_args, module_of, server_args},
    },
    engine::{Confinement, Identity},
    output::{console::Console, message::Roots, strerror},
    session::{
        ClientRole, ClientRun, Ended, Link, LocalRun, Opening, OtherEnd, Refusal, ReplayRun, ServerRole,
        ServerRun, Speak, TWIN_LETTERS,
        batch::{Recording, Replayed},
        filters::{self, Ruler},
        names, run_client, run_local, run_replay, run_server,
    },
};

/// Runs the session of a route. `words`: the argument vector, the program's name first.
pub(super) fn start(
    resolved: &Resolved,
    console: &Console,
    roots: &RefCell<Roots>,
    outbox: &Rc<Outbox>,
    prepared: Prepared,
    words: &[Vec<u8>],
) -> Result<Ended, ExitCode> {
    let Prepared { batch, names, identity, refusal, visit } = prepared;
    let start = Start { resolved, options: &resolved.opts, console, roots, outbox, names };
    match &resolved.route {
        Route::Local { sources, dest } if !resolved.is_local_pair() => start.local(sources, dest.as_deref()),
        Route::Local { .. } | Route::Push { .. } | Route::Pull { .. } => {
            let recording = match &batch {
                Batch::Write(recording) => Some(recording),
                Batch::None | Batch::Read(_) => None,
            };
            start.client(recording, identity, words)
        }
        Route::Server { sender, args, .. } => start.server(*sender, args, refusal, visit),
        Route::Batch { dest } => {
            let (Batch::Read(batch), Ok(dest)) = (batch, dest) else { return Err(ExitCode::FILE_IO) };
            start.replay(batch, dest)
        }
    }
}

/// A session that can begin.
struct Start<'a> {
    resolved: &'a Resolved,
    options: &'a SessionOptions,
    console: &'a Console,
    roots: &'a RefCell<Roots>,
    outbox: &'a Rc<Outbox>,
    /// The charset of this side's names.
    names: Option<Names>,
}

impl Start<'_> {
    /// Both ends in this process.
    fn local(self, sources: &[Vec<u8>], dest: Option<&[u8]>) -> Result<Ended, ExitCode> {
        self.tell_charset();
        let path = dest.unwrap_or_default();
        self.console.command_parts(b"", None, path, &[b".".to_vec(), path.to_vec()]);
        let mut list = self.own_rules(false)?;
        // Not built anew: rules may have come from stdin.
        let mut dest_list = list.clone();
        if self.options.select.cvs_exclude {
            for list in [&mut list, &mut dest_list] {
                list.add_cvs(CvsRules::All).map_err(|fault| fault.exit_code())?;
            }
        }
        Ok(run_local(LocalRun {
            options: self.options,
            args: source_args(self.resolved, sources, self.console)?,
            dest: dest.map(<[u8]>::to_vec),
            filters: list,
            dest_filters: dest_list,
            observer: self.console,
            roots: self.roots,
            shows: self.shows(),
            bwlimit: self.bwlimit(),
            conversion: self.conversion(),
            agreement_known: &|agreed| self.console.agreement_known(agreed),
        }))
    }

    /// One end of two, the other one behind a shell, at a daemon, or in a second process of this program.
    fn client(
        self,
        recording: Option<&Recording>,
        identity: Option<Identity>,
        words: &[Vec<u8>],
    ) -> Result<Ended, ExitCode> {
        let Self { resolved, console, .. } = self;
        let rules = self.own_rules(matches!(resolved.route, Route::Pull { .. }))?;
        let machine = resolved.route.machine();
        let mut args = server_args(resolved);
        let other = if machine.is_some() { OtherEnd::Stranger } else { OtherEnd::Twin };
        if other == OtherEnd::Twin {
            self.tell_twin(&rules, &mut args);
        }
        let to_wire = |strings| match &self.names {
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
        let (link, daemon) = match machine {
            Some(to) => reach::reach(resolved, to, args.argv, &daemon_args, console)?,
            // What a batch file records is what two processes say to each other.
            None => (Link::Program([vec![b"/proc/self/exe".to_vec()], args.argv].concat()), None),
        };
        let stream_args = args.stream.filter(|_| daemon.is_none());
        if let Link::Program(command) | Link::DaemonShell(command, _) = &link
            && let Some(to) = machine
        {
            let path = reach::first_path(resolved);
            console.command_parts(&resolved.rsh, Some((&to.host, to.user.as_deref())), path, command);
            console.connecting(command);
        }
        self.tell_charset();
        if let Some(strings) = &stream_args {
            console.protected_args(strings);
        }
        let role = self.client_role()?;
        let script = match recording {
            Some(_) => Some(BatchScript::new(resolved, &rules, words, console)?),
            None => None,
        };
        let mut ended = run_client(ClientRun {
            options: self.options,
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
            roots: self.roots,
            bwlimit: self.bwlimit(),
            outbox: self.outbox.clone(),
            shows: self.shows(),
            timeout: Rc::new(Cell::new(self.options.timeout)),
            conversion: self.conversion(),
            agreement_known: &|agreed| {
                console.agreement_known(agreed);
                if let (Some(recording), Some(script)) = (recording, &script) {
                    recording.write_script(&script.text(agreed.protocol));
                }
            },
        })?;
        if let Some(Err(reason)) = recording.map(Recording::finish)
            && ended.reason.is_none()
        {
            (ended.code, ended.reason) = (ExitCode::FILE_IO, Some(reason));
        }
        Ok(ended)
    }

    /// What a second process of this program is told besides. The reference forks here: its other half knows more than
    /// a server is told.
    fn tell_twin(&self, rules: &FilterList, args: &mut ServerArgs) {
        let (resolved, options) = (self.resolved, self.options);
        if options.preserve.acls && !options.preserve.perms {
            // Behind the letters, of which `A` would bring permissions.
            args.argv.insert(2, b"--no-perms".to_vec());
        }
        if options.report.names && resolved.cli.verbose == 0 {
            args.argv.insert(1, b"--info=NAME".to_vec());
        }
        if let Some(words) = resolved.cli.words.debug_words() {
            args.argv.insert(1, [b"--debug=", words.as_bytes()].concat());
        }
        if !options.max_protocol().has_capabilities() {
            args.argv.insert(1, [b"-e", TWIN_LETTERS].concat());
        }
        if !options.push_sends_filters(ProtocolVersion::MAX) {
            // What they protect stays in a directory that would have to make way.
            let texts = rules.script_rules(ProtocolVersion::MAX).unwrap_or_default();
            let words = texts.iter().map(|text| [b"--filter=", &text[..]].concat());
            args.argv.splice(1..1, words);
        }
        if let Some(format) = &resolved.output.format
            && !options.max_protocol().has_deleted_message()
            && let Some(form) = args.argv.iter_mut().find(|arg| arg.starts_with(b"--log-format="))
        {
            // It makes the lines of deletions with the client's own format.
            *form = [b"--log-format=", &format[..]].concat();
        }
    }

    fn client_role(&self) -> Result<ClientRole, ExitCode> {
        match &self.resolved.route {
            Route::Push { sources, .. } | Route::Local { sources, .. } => {
                Ok(ClientRole::Push(source_args(self.resolved, sources, self.console)?))
            }
            Route::Pull { dest, .. } => Ok(ClientRole::Pull(dest.clone(), self.names_to_send()?)),
            Route::Server { .. } | Route::Batch { .. } => Err(ExitCode::UNSUPPORTED),
        }
    }

    /// What a client started, or a daemon's process once its client is in a module (`visit`).
    fn server(
        self,
        sender: bool,
        args: &[Vec<u8>],
        refusal: Option<Refusal>,
        visit: Option<Visit>,
    ) -> Result<Ended, ExitCode> {
        let Self { resolved, console, options, .. } = self;
        self.tell_charset();
        let root = visit.as_ref().map(|visit| visit.root.clone());
        let (opening, veil) = visit.map_or((Opening::Stdio, None), Visit::into_parts);
        let ruler = Ruler::server(&options.select, root.map(|root| (root, veil.clone())));
        let config = FilterConfig { veil, ..self.filter_config() };
        let rules = match refusal {
            None => filters::build(
                &resolved.filters,
                config,
                options.max_protocol().has_perishable(),
                &ruler,
                console,
            )?,
            Some(_) => FilterList::new(config),
        };
        let role = if let Some(refusal) = refusal {
            ServerRole::Refuser(refusal)
        } else if sender {
            ServerRole::Sender(source_args(resolved, args, console)?)
        } else {
            ServerRole::Receiver(args.first().cloned(), self.names_to_send()?)
        };
        Ok(run_server(ServerRun {
            options,
            opening,
            role,
            client_info: resolved.client_info.clone(),
            rules: Rules::FromPeer(rules),
            observer: console,
            roots: self.roots,
            bwlimit: self.bwlimit(),
            outbox: self.outbox.clone(),
            shows: self.shows(),
            conversion: self.conversion(),
            agreement_known: &|agreed| console.agreement_known(agreed),
        }))
    }

    /// The receiving side, with a batch file in the place of a sender.
    fn replay(self, batch: Replayed, dest: &[u8]) -> Result<Ended, ExitCode> {
        for text in &batch.changes {
            self.console.changed_option(text);
        }
        self.tell_charset();
        self.console.agreement_known(&batch.agreed);
        Ok(run_replay(ReplayRun {
            options: self.options,
            batch,
            dest: dest.to_vec(),
            rules: Rules::Own(self.own_rules(true)?),
            observer: self.console,
            roots: self.roots,
            shows: self.shows(),
            conversion: self.conversion(),
        }))
    }

    fn tell_charset(&self) {
        if let Some(names) = &self.names {
            self.console.charset_known(&names.name, names.role);
        }
    }

    /// The names of a list that lies here and that the peer wants to know.
    fn names_to_send(&self) -> Result<Option<Vec<Vec<u8>>>, ExitCode> {
        match self.options.select.files_from {
            FilesFrom::Send => local_names(self.resolved, true, self.console).map(Some),
            _ => Ok(None),
        }
    }

    /// The rules of this process's command line. `pulls`: they are those of a receiving side.
    fn own_rules(&self, pulls: bool) -> Result<FilterList, ExitCode> {
        let ruler = Ruler::client(&self.options.select);
        let perishable = pulls || self.options.max_protocol().has_perishable();
        filters::build(&self.resolved.filters, self.filter_config(), perishable, &ruler, self.console)
    }

    fn filter_config(&self) -> FilterConfig {
        filters::config(self.options, self.resolved.from0, true)
    }

    /// Items or names are shown.
    const fn shows(&self) -> bool {
        self.options.report.itemize || self.options.report.names
    }

    fn bwlimit(&self) -> u64 {
        self.resolved.cli.bwlimit.unwrap_or(0)
    }

    fn conversion(&self) -> Option<Conversion> {
        self.names.as_ref().map(Names::conversion)
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
        // It could end the text of the rules, and the rest of it be commands.
        if rules.iter().flatten().any(|rule| rule.contains(&b'\n')) {
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
