//! A client in front of a module: whether it may come in, as whom the module is served, and the session (spec: server
//! checks).

use std::{
    ffi::OsString,
    fs::File,
    os::{fd::OwnedFd, unix::ffi::OsStringExt},
    time::{SystemTime, UNIX_EPOCH},
};

use arsync_core::{
    exit::ExitCode,
    filter::{FilterConfig, FilterList, Syntax, Veil},
    options::RemoveSource,
    ports::PortError,
    setup::daemon::Greeting,
    version::ProtocolVersion,
};
use rustix::io::Errno;

use super::{
    access::{self, Peer},
    args::{self, Args, NoArgs},
    auth::{self, Access},
    config::{Module, Param, Values, expand},
    connection::{ADMITTED, End, Plug, Server, environment, name, patience, refused},
    dialogue::{Dialogue, Gone, linger},
    hooks::{self, Hooks, Keeper, Variables},
    impose::{self, Terms},
    place::{self, Place},
    refuse::Refusals,
    slots::{self, NoSlot},
};
use crate::{
    cli::{
        argv,
        asked::{Cli, FilterArg, Line},
        failure::Stop,
        options::{OPTIONS, OptId},
        parse::{self, World},
        resolve::{self, Resolved},
    },
    engine::{Expander, IdNames, Identity, Links, TooMany, Tree, groups_of},
    output::visitor::Visitor,
    run::{self, Visit},
    session::{Greeted, Refusal},
};

/// Seconds that a client has to read what it was told last.
const FAREWELL: u32 = 60;

/// A client that was let in.
pub(super) struct Guest<'s> {
    module: &'s Module,
    peer: Peer,
    user: Vec<u8>,
    access: Access,
    protocol: ProtocolVersion,
    place: Place,
    /// The path that the operator wrote.
    path: Vec<u8>,
    veil: Option<Veil>,
    charset: Option<run::Names>,
    temp_dir: Option<Vec<u8>>,
    keeper: Option<Keeper>,
    /// Held as long as the client is here.
    _slot: Option<File>,
}

/// Options that make a daemon of a server.
const DAEMON_ONLY: [OptId; 5] = [OptId::Daemon, OptId::Config, OptId::Dparam, OptId::Detach, OptId::NoDetach];
/// What a client is told whose arguments are those of no client.
const INVALID: &[u8] = b"rsync: invalid arguments";

/// Who knocks at a module.
pub(super) struct Knock<'a> {
    /// Where from.
    pub(super) peer: Peer,
    /// What the client said first.
    pub(super) theirs: Greeting<'a>,
    /// The version agreed on, which may be none that is spoken.
    pub(super) agreed: i32,
    /// For `early exec`.
    pub(super) early_input: Vec<u8>,
}

/// Everything up to the permission to send arguments.
pub(super) fn admit<'s>(
    server: &mut Server<'s>,
    dialogue: &mut Dialogue,
    module: &'s Module,
    knock: Knock<'_>,
) -> Result<Guest<'s>, End> {
    let values = &module.values;
    let Knock { mut peer, theirs, agreed, early_input } = knock;
    if values.is(Param::ReverseLookup) && peer.name == access::UNDETERMINED {
        name(&server.journal, &mut peer);
    }
    check_host(server, module, &peer)?;
    let slot = take_slot(server, module)?;
    let (user, access) = authenticate(server, dialogue, module, &peer, &theirs, agreed)?;
    let plan = Plan::new(server, module, &peer, &user)?;
    server.journal.switch(values);
    let keeper = run_hooks(server, values, &plan.variables, &early_input)?;
    // From here on the process has less and less.
    let place = step_in(server, values, &plan)?;
    dialogue.send(ADMITTED)?;
    let protocol = u8::try_from(agreed).ok().and_then(ProtocolVersion::new);
    let protocol = protocol.filter(|_| ProtocolVersion::PLAUSIBLE.contains(&theirs.protocol));
    let Some(protocol) = protocol else { return Err(Gone::Closed.into()) };
    Ok(Guest {
        module,
        peer,
        user,
        access,
        protocol,
        veil: plan.rules.as_ref().map(|rules| Veil::new(rules, &place.root)),
        place,
        path: plan.path,
        charset: plan.charset,
        temp_dir: plan.temp_dir,
        keeper,
        _slot: slot,
    })
}

/// What is found out while the files of the machine can still be read.
struct Plan {
    identity: Option<Identity>,
    /// The path that the operator wrote.
    path: Vec<u8>,
    /// What hooks are told.
    variables: Variables,
    /// What the module hides.
    rules: Option<FilterList>,
    charset: Option<run::Names>,
    temp_dir: Option<Vec<u8>>,
}

impl Plan {
    fn new(server: &Server<'_>, module: &Module, peer: &Peer, user: &[u8]) -> Result<Self, End> {
        let values = &module.values;
        let journal = &server.journal;
        let identity = place::identity(values).map_err(|fault| End::Refused(fault.text()))?;
        let mut variables = vec![
            ("RSYNC_MODULE_NAME".to_owned(), module.name.clone()),
            ("RSYNC_USER_NAME".to_owned(), user.to_vec()),
            ("RSYNC_HOST_NAME".to_owned(), peer.name.clone().into_bytes()),
            ("RSYNC_HOST_ADDR".to_owned(), peer.address.clone().into_bytes()),
            ("RSYNC_PID".to_owned(), std::process::id().to_string().into_bytes()),
        ];
        let text = |param| values.text(param).map(|text| expanded(text, &variables));
        let path = text(Param::Path).filter(|path| !path.is_empty());
        let path = path.ok_or_else(|| refused(&[b"no path setting."]))?;
        let temp_dir = server.cli.temp_dir.clone().or_else(|| text(Param::TempDir));
        let rules = hidden(values, &variables).map_err(|text| {
            journal.warn(text);
            refused(&[b"failed to load the filter rules of the module"])
        })?;
        let charset = values.text(Param::Charset).map(run::Names::of_module).transpose();
        let charset = charset.map(Option::flatten).map_err(|failure| {
            journal.warn(failure.text.trim_ascii_end());
            refused(&[b"the charset of the module is not known"])
        })?;
        variables.push(("RSYNC_MODULE_PATH".into(), path.clone()));
        Ok(Self { identity, path, variables, rules, charset, temp_dir })
    }
}

/// Runs what is run before the process gives anything up, and leaves a process behind for what is run later.
fn run_hooks(
    server: &Server<'_>,
    values: &Values,
    variables: &Variables,
    early_input: &[u8],
) -> Result<Option<Keeper>, End> {
    if std::env::var_os("RSYNC_NO_XFER_EXEC").is_some() {
        return Ok(None);
    }
    let journal = &server.journal;
    let hooks = Hooks {
        pre: values.text(Param::PreXferExec).map(<[u8]>::to_vec),
        post: values.text(Param::PostXferExec).map(<[u8]>::to_vec),
    };
    let keeper = if hooks.pre.is_some() || hooks.post.is_some() {
        let told = journal.clone();
        let keeper = Keeper::stay_behind(&hooks, variables, &|text| told.warn(text));
        Some(keeper.map_err(|_| refused(&[b"fork failed"]))?).filter(|_| hooks.pre.is_some())
    } else {
        None
    };
    if let Some(early) = values.text(Param::EarlyExec) {
        let mut all = variables.clone();
        all.push(hooks::request_variable(&[]));
        match hooks::run(early, &all, early_input) {
            Ok(outcome) if outcome.status == 0 => {}
            Ok(_) => return Err(refused(&[b"early exec failed"])),
            Err(why) => {
                journal.warn(hooks::text_of(&why));
                return Err(refused(&[b"early exec failed"]));
            }
        }
    }
    if let Some(converter) = values.text(Param::NameConverter)
        && let Err(why) = hooks::start_converter(converter, variables)
    {
        // Ids travel as numbers then.
        journal.warn(hooks::text_of(&why));
    }
    Ok(keeper)
}

/// Makes the module the place of this process, and its user the one of this process.
fn step_in(server: &Server<'_>, values: &Values, plan: &Plan) -> Result<Place, End> {
    let journal = &server.journal;
    let wanted = values.tri(Param::UseChroot);
    let mut place = place::place(&plan.path, wanted.unwrap_or_else(|| place::chroot_by_default(&plan.path)));
    let mut taken = place.take();
    if wanted.is_none() && matches!(taken, Err(("chroot", Errno::PERM))) && !place.confined {
        journal.warn("chroot test failed: switching \"use chroot\" from unset to false");
        place = place::place(&plan.path, false);
        taken = place.take();
    }
    taken.map_err(|(call, errno)| {
        let why = std::io::Error::from(errno).to_string();
        journal.warn([b"rsync: ", call.as_bytes(), b"(", &plan.path, b") failed: ", why.as_bytes()].concat());
        refused(&[call.as_bytes(), b" failed"])
    })?;
    if munges(values, &place) && std::fs::metadata("/rsyncd-munged").is_ok_and(|meta| meta.is_dir()) {
        journal.warn("Symlink munging is unsafe when a /rsyncd-munged directory exists.");
        return Err(refused(&[b"daemon security issue -- contact admin"]));
    }
    if let Some(identity) = &plan.identity {
        identity.assume().map_err(|(call, errno)| {
            journal.warn(format!("rsync: {call} failed: {}", std::io::Error::from(errno)));
            refused(&[call.as_bytes(), b" failed"])
        })?;
    }
    Ok(place)
}

/// A text with what is known about the connection in place of `%RSYNC_…%`.
fn expanded(text: &[u8], variables: &Variables) -> Vec<u8> {
    expand(text, &|name| {
        let known = variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        known.or_else(|| environment(name))
    })
}

fn munges(values: &Values, place: &Place) -> bool {
    values.tri(Param::MungeSymlinks).unwrap_or(place.munges)
}

fn check_host(server: &Server<'_>, module: &Module, peer: &Peer) -> Result<(), End> {
    let values = &module.values;
    let (allow, deny) = (values.text(Param::HostsAllow), values.text(Param::HostsDeny));
    let shown = peer.shown();
    if access::admits(allow, deny, peer, values.is(Param::ForwardLookup)) {
        if server.plug == Plug::Socket {
            let text = [b"rsync allowed access on module ", &module.name[..], b" from ", shown.as_bytes()];
            server.journal.say(text.concat());
        }
        return Ok(());
    }
    server.journal.say([b"rsync denied on module ", &module.name[..], b" from ", shown.as_bytes()].concat());
    Err(if values.is(Param::List) {
        refused(&[b"access denied to ", &module.name, b" from ", shown.as_bytes()])
    } else {
        // As if there were no such module.
        refused(&[b"Unknown module '", &module.name, b"'"])
    })
}

fn take_slot(server: &Server<'_>, module: &Module) -> Result<Option<File>, End> {
    let max = module.values.int(Param::MaxConnections);
    let lock = module.values.text(Param::LockFile).map(|file| expand(file, &environment)).unwrap_or_default();
    slots::take(&lock, max).map_err(|fault| match fault {
        NoSlot::Full => {
            server.journal.warn(format!("max connections ({max}) reached"));
            End::Refused(format!("max connections ({max}) reached -- try again later").into_bytes())
        }
        NoSlot::BadFile => {
            server.journal.warn([b"failed to open lock file ", &lock[..]].concat());
            refused(&[b"failed to open lock file"])
        }
    })
}

/// Who the client is; nobody where the module has no users.
fn authenticate(
    server: &Server<'_>,
    dialogue: &mut Dialogue,
    module: &Module,
    peer: &Peer,
    theirs: &Greeting<'_>,
    agreed: i32,
) -> Result<(Vec<u8>, Access), End> {
    let values = &module.values;
    let Some(rules) = values.text(Param::AuthUsers) else { return Ok((Vec::new(), Access::Module)) };
    let failed = || refused(&[b"auth failed on module ", &module.name]);
    dialogue.allow(patience(server.plug, values.int(Param::Timeout)));
    let Some(digest) = theirs.digest(agreed) else {
        let names = arsync_core::setup::daemon::AuthDigest::CANONICAL.map(|digest| digest.name()).join(" ");
        return Err(refused(&[
            b"your client does not support one of our daemon-auth checksums: ",
            names.as_bytes(),
        ]));
    };
    let minimum = values.text(Param::AuthDigest);
    if !auth::is_strong_enough(digest, minimum) {
        let wanted = String::from_utf8_lossy(minimum.unwrap_or_default()).into_owned();
        let name = digest.name();
        server.journal.warn(format!(
            "negotiated auth digest {name} is weaker than the required 'auth digest = {wanted}'"
        ));
        return Err(failed());
    }
    let mut random = [0; 32];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).map_err(|_| failed())?;
    let challenge = digest.answer(&random, peer.address.as_bytes());
    dialogue.send(format!("@RSYNCD: AUTHREQD {challenge}\n").as_bytes())?;
    let line = dialogue.line(arsync_core::setup::daemon::MAX_REQUEST)?;
    let (user, answer) = match memchr::memchr(b' ', &line) {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (&line[..], &[][..]),
    };
    let claim = auth::Claim { user, answer, challenge: challenge.as_str(), digest };
    let secrets = values.text(Param::SecretsFile).map(|file| expand(file, &environment));
    let strict = values.is(Param::StrictModes);
    match auth::judge(&claim, rules, secrets.as_deref(), strict, &groups_of_user) {
        Ok(access) => Ok((user.to_vec(), access)),
        Err(denied) => {
            let parts: [&[u8]; 7] = [
                b"auth failed on module ",
                &module.name,
                b" from ",
                &peer.shown().into_bytes(),
                b" for ",
                user,
                &format!(": {}", denied.text()).into_bytes(),
            ];
            server.journal.warn(parts.concat());
            Err(failed())
        }
    }
}

/// Names of the groups of a user of this machine.
fn groups_of_user(user: &[u8]) -> Vec<Vec<u8>> {
    let names = IdNames::default();
    let groups = names.uid(user).and_then(groups_of).map(|(_, groups)| groups).unwrap_or_default();
    groups.into_iter().filter_map(|gid| names.group(gid)).collect()
}

/// What the module hides.
fn hidden(values: &Values, variables: &Variables) -> Result<Option<FilterList>, Vec<u8>> {
    let mut list = FilterList::daemon(FilterConfig::default());
    let mut read = |path: &[u8]| {
        use std::io::Read;
        let file = auth::open_trusted(path);
        let mut text = Vec::new();
        let read = file.and_then(|file| file.take(16 << 20).read_to_end(&mut text));
        read.map(|_| text).map_err(|e| PortError(e.raw_os_error().unwrap_or(5)))
    };
    let text = |param| values.text(param).map(|text| expanded(text, variables)).filter(|t| !t.is_empty());
    let old = |include| Syntax::Old { include };
    let mut load = || {
        if let Some(rules) = text(Param::Filter) {
            list.add_words(&rules, Syntax::Full, &mut read)?;
        }
        for (from, words, include) in
            [(Param::IncludeFrom, Param::Include, true), (Param::ExcludeFrom, Param::Exclude, false)]
        {
            if let Some(file) = text(from) {
                list.add_from(&file, include, &mut read)?;
            }
            if let Some(rules) = text(words) {
                list.add_words(&rules, old(include), &mut read)?;
            }
        }
        Ok::<_, arsync_core::filter::FilterError>(())
    };
    load().map_err(|fault| fault.message())?;
    Ok((!list.is_empty()).then_some(list))
}

/// Takes the arguments of a client that was let in, and gives it its session.
pub(super) fn receive(
    server: Server<'_>,
    mut dialogue: Dialogue,
    mut guest: Guest<'_>,
    socket: Option<OwnedFd>,
) -> ExitCode {
    dialogue.allow(patience(server.plug, guest.module.values.int(Param::Timeout)));
    let end = if guest.protocol.has_varints() { 0 } else { b'\n' };
    let args = match args::read(&mut dialogue, end) {
        Ok(args) => args,
        Err(NoArgs::Gone(Gone::Closed)) => return ExitCode::START_CLIENT,
        Err(NoArgs::Gone(Gone::Late)) => {
            server.journal.warn("daemon handshake timeout -- exiting");
            return ExitCode::TIMEOUT;
        }
        Err(NoArgs::TooMany) => {
            server.journal.warn("too many daemon arguments");
            return ExitCode::PROTOCOL;
        }
    };
    let asked = args.below_module(&guest.module.name);
    let (paths, excess) = match expanded_paths(&asked) {
        Ok(paths) => (paths, None),
        Err(TooMany) => (asked, Some(vec![b"the patterns of the request match too many files".to_vec()])),
    };
    let paths = rooted(paths, &guest);
    announce(&server, &guest, &args);
    let pre = guest.keeper.take().and_then(|keeper| run_pre(keeper, &args, &paths));
    let journal = server.journal.clone();
    let request = Request { server: &server, guest: &guest, args: &args, paths: &paths };
    let (resolved, refusal) = match request.resolve(pre.or(excess)) {
        Ok(found) => found,
        Err(stop) => {
            let Stop::Fail(failure) = stop else { return ExitCode::SYNTAX };
            journal.warn(failure.text.trim_ascii_end());
            return failure.code;
        }
    };
    let (input, output, early) = dialogue.into_parts();
    let format = log_format(&server, &guest.module.values);
    let visitor = Visitor {
        log: journal.log(),
        format: format.unwrap_or_default(),
        address: guest.peer.address.clone().into_bytes(),
        host: guest.peer.name.clone().into_bytes(),
        module: guest.module.name.clone(),
        path: guest.path.clone(),
        user: guest.user.clone(),
        refused: refusal.is_some(),
    };
    let timeout = u32::try_from(guest.module.values.int(Param::Timeout)).unwrap_or(0);
    let greeted = Greeted { streams: (input, output), early, protocol: guest.protocol, timeout };
    let names = guest.charset.take().filter(|_| resolved.iconv.is_some()).map(|n| n.with_args(args.secluded));
    let visit = Visit { greeted, visitor, root: guest.place.root.clone(), veil: guest.veil.take(), refusal };
    let code = run::serve(&resolved, names, visit);
    if let Some(socket) = &socket {
        linger(socket, FAREWELL);
    }
    code
}

/// The format of the lines of items in the log.
fn log_format(server: &Server<'_>, values: &Values) -> Option<Vec<u8>> {
    let format = server.cli.log_file_format.as_deref().or_else(|| values.text(Param::LogFormat));
    values.is(Param::TransferLogging).then(|| format.unwrap_or_default().to_vec())
}

/// Paths below the module, wildcards expanded.
fn expanded_paths(asked: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, TooMany> {
    let Ok(here) = File::open(".") else { return Ok(asked.to_vec()) };
    let tree = Tree::new(here.into(), Links::Inside);
    let mut expander = Expander::new(&tree);
    let mut paths = Vec::new();
    for pattern in asked {
        paths.append(&mut expander.expand(pattern)?);
    }
    Ok(paths)
}

/// Where the module is the root its paths are absolute there, as messages and `-R` have it.
fn rooted(paths: Vec<Vec<u8>>, guest: &Guest<'_>) -> Vec<Vec<u8>> {
    if guest.place.confined {
        return paths;
    }
    let rooted = |path: Vec<u8>| if path == b"." { b"/".to_vec() } else { [b"/", &path[..]].concat() };
    paths.into_iter().map(rooted).collect()
}

/// The line in the log about what is asked for.
fn announce(server: &Server<'_>, guest: &Guest<'_>, args: &Args) {
    let verb: &[u8] = if args.options.iter().any(|word| word == b"--sender") { b"on " } else { b"to " };
    let at = if guest.user.is_empty() { Vec::new() } else { [&guest.user[..], b"@"].concat() };
    let parts = [b"rsync ", verb, &args.shown(), b" from ", &at, guest.peer.shown().as_bytes()].concat();
    server.journal.say(parts);
}

/// Has `pre-xfer exec` run; the texts for a client that it refuses.
fn run_pre(mut keeper: Keeper, args: &Args, paths: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    let mut variables = vec![hooks::request_variable(&args.paths), ("RSYNC_ARG0".into(), b"rsyncd".to_vec())];
    let words = args.options.iter().cloned().chain([b".".to_vec()]).chain(paths.iter().cloned());
    variables.extend(words.enumerate().map(|(n, word)| (format!("RSYNC_ARG{}", n + 1), word)));
    let outcome = keeper.run_pre(&variables);
    let (status, output) = outcome.map_or((-1, Vec::new()), |outcome| (outcome.status, outcome.output));
    (status != 0).then(|| {
        let output = output.trim_ascii_end();
        let colon = if output.is_empty() { "" } else { ":" };
        let first = format!("pre-xfer exec returned failure ({status}){colon}").into_bytes();
        let lines = output.split(|&b| b == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec);
        core::iter::once(first).chain(lines).collect()
    })
}

/// What a client asks for.
struct Request<'a> {
    server: &'a Server<'a>,
    guest: &'a Guest<'a>,
    args: &'a Args,
    paths: &'a [Vec<u8>],
}

impl Request<'_> {
    /// What it means, or what the client is told instead.
    /// `before`: why it is refused whatever it means.
    fn resolve(&self, before: Option<Vec<Vec<u8>>>) -> Result<(Resolved, Option<Refusal>), Stop> {
        let argv: Vec<OsString> = self.args.options.iter().cloned().map(OsString::from_vec).collect();
        let refusal = |texts: Vec<Vec<u8>>, code| Refusal { texts, code, names_awaited: self.awaits_names() };
        if let Some(texts) = before {
            return Ok((self.sketch(&argv)?, Some(refusal(texts, ExitCode::UNSUPPORTED))));
        }
        match self.understand(&argv) {
            Ok(resolved) => {
                let found = self.forbidden(&resolved).map(|(text, code)| refusal(vec![text], code));
                Ok((resolved, found))
            }
            Err(text) => {
                let texts = text.trim_ascii_end().split(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
                Ok((self.sketch(&argv)?, Some(refusal(texts, ExitCode::UNSUPPORTED))))
            }
        }
    }

    fn awaits_names(&self) -> bool {
        let options = &self.args.options;
        let named = options.iter().any(|word| word.starts_with(b"--files-from"));
        named && !options.iter().any(|word| word == b"--sender")
    }

    /// The meaning of the arguments, as the module lets it be; or why there is none.
    fn understand(&self, argv: &[OsString]) -> Result<Resolved, Vec<u8>> {
        let values = &self.guest.module.values;
        let terms = self.terms();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs().cast_signed());
        let world = World { program: "rsyncd", env: &|name| std::env::var_os(name), now };
        let text_of = |stop: Stop| match stop {
            Stop::Fail(failure) => failure.text,
            // Nobody at this end wants to read about the program.
            Stop::Print(_) | Stop::Usage(_) => INVALID.to_vec(),
        };
        let refusals = Refusals::new(
            values.text(Param::RefuseOptions).unwrap_or_default(),
            self.guest.charset.is_some(),
        );
        let given = argv::parse(OPTIONS, argv, false);
        if given.options.iter().any(|option| DAEMON_ONLY.contains(&option.id)) {
            return Err(b"rsync: Attempt to hack rsync thwarted!".to_vec());
        }
        if let Some(option) = refusals.find(&given.options) {
            return Err(refuses(&option));
        }
        let Line::Run(mut cli) = parse::parse(argv, &world).map_err(text_of)? else {
            return Err(INVALID.to_vec());
        };
        if !cli.server {
            return Err(INVALID.to_vec());
        }
        // Everything behind the dot is a path, whatever it looks like.
        cli.operands = core::iter::once(b".".to_vec())
            .chain(self.paths.iter().cloned())
            .map(OsString::from_vec)
            .collect();
        refusals.choose_deletion(&mut cli);
        if cli.iconv.as_deref().is_some_and(|spec| spec != b"-") {
            cli.iconv = values.text(Param::Charset).map(<[u8]>::to_vec);
        }
        impose::on_words(&mut cli, &terms);
        if self.names_hidden_path(&cli) || cli.copy_as.is_some() {
            return Err(b"Your options have been rejected by the server.".to_vec());
        }
        let mut resolved = resolve::resolve(*cli, &world).map_err(text_of)?;
        if let Some(option) = refusals.implied(&resolved.cli, &resolved.opts) {
            return Err(refuses(&option));
        }
        impose::on_options(&mut resolved, &terms);
        Ok(resolved)
    }

    /// An option names a directory or file that the module hides.
    fn names_hidden_path(&self, cli: &Cli) -> bool {
        let Some(veil) = &self.guest.veil else { return false };
        let root = &self.guest.place.root;
        let named = [&cli.temp_dir, &cli.backup_dir, &cli.partial_dir, &cli.files_from];
        let others = cli.alt_dest.iter().flat_map(|(_, dirs)| dirs);
        let rules = cli.filters.iter().filter_map(|filter| match filter {
            FilterArg::ExcludeFrom(file) | FilterArg::IncludeFrom(file) => Some(file),
            _ => None,
        });
        let mut all = named.into_iter().flatten().chain(others).chain(rules).map(Vec::as_slice);
        all.any(|path| veil.hides(path.strip_prefix(root.as_slice()).unwrap_or(path), true))
    }

    fn terms(&self) -> Terms<'_> {
        let Self { server, guest, .. } = self;
        let values = &guest.module.values;
        Terms {
            values,
            socket: server.plug == Plug::Socket,
            root: &guest.place.root,
            confined: guest.place.confined && !values.is(Param::InsecureLinks),
            munge: munges(values, &guest.place),
            numeric: values
                .tri(Param::NumericIds)
                .unwrap_or_else(|| guest.place.jail.is_some() && values.text(Param::NameConverter).is_none()),
            temp_dir: guest.temp_dir.as_deref(),
            bwlimit: u64::try_from(server.cli.bwlimit).unwrap_or(0),
            log_format: log_format(server, values),
        }
    }

    /// What the module does not let a client do.
    fn forbidden(&self, resolved: &Resolved) -> Option<(Vec<u8>, ExitCode)> {
        let values = &self.guest.module.values;
        let read_only = match self.guest.access {
            Access::Module => values.is(Param::ReadOnly),
            Access::ReadOnly => true,
            Access::ReadWrite => false,
        };
        let sends = resolved.cli.sender;
        let text = if !sends && read_only {
            "ERROR: module is read only".into()
        } else if sends && values.is(Param::WriteOnly) {
            "ERROR: module is write only".into()
        } else if let Some(kind) = resolved.opts.transfer.remove_source.filter(|_| sends && read_only) {
            let option = match kind {
                RemoveSource::All => "--remove-source-files",
                RemoveSource::Sent => "--remove-sent-files",
            };
            format!("ERROR: {option} cannot be used with a read-only module")
        } else {
            let dest = self.paths.first().filter(|_| !sends)?;
            let hidden = self.guest.veil.as_ref().is_some_and(|veil| veil.hides(dest, true));
            let shown = String::from_utf8_lossy(dest);
            return hidden.then(|| {
                let text = format!("ERROR: daemon has excluded destination \"{shown}\"");
                (text.into_bytes(), ExitCode::FILE_SELECT)
            });
        };
        Some((String::into_bytes(text), ExitCode::SYNTAX))
    }

    /// The part of the arguments that the handshake depends on, for a client that is only told a text.
    fn sketch(&self, argv: &[OsString]) -> Result<Resolved, Stop> {
        let given = argv::parse(OPTIONS, argv, false).options;
        let mut words = vec![OsString::from("--server")];
        for option in &given {
            let name = match option.id {
                OptId::Sender => "--sender",
                OptId::Compress => "--compress",
                OptId::Rsh => "--rsh",
                OptId::ChecksumChoice => "--checksum-choice",
                OptId::CompressChoice => "--compress-choice",
                _ => continue,
            };
            words.push(name.into());
            if !matches!(option.id, OptId::Sender | OptId::Compress) {
                words.push(option.value.clone());
            }
        }
        words.extend([".", "."].map(OsString::from));
        let world = World { program: "rsyncd", env: &|_| None, now: 0 };
        let Line::Run(mut cli) = parse::parse(&words, &world)? else { return Err(Stop::Print(Vec::new())) };
        impose::on_words(&mut cli, &self.terms());
        cli.temp_dir = None;
        resolve::resolve(*cli, &world)
    }
}

fn refuses(option: &str) -> Vec<u8> {
    format!("rsync: The server is configured to refuse {option}").into_bytes()
}
