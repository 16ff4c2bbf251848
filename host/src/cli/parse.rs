//! From an argument vector to [`Cli`]: everything that was typed, evaluated strictly from left to right.
//!
//! What acts at once (help, words of `--info`, conflicts among owner maps, sizes) is decided here, in the order
//! of the command line. What depends on the whole line is the business of `resolve`.

use std::{ffi::OsString, os::unix::ffi::OsStringExt};

use arsync_core::{
    chmod::Chmod,
    error::Role,
    exit::ExitCode,
    options::{AltDestKind, Append, RemoveSource},
};

use super::{
    argv::{self, Given},
    asked::{Cli, DaemonCli, Dirs, During, FilterArg, Line, MapSource, Recurse, StderrMode, Super},
    date,
    failure::{Failure, Stop},
    help, number,
    number::SizeRule,
    options::{DAEMON_OPTIONS, OPTIONS, OptId},
    words::{self, ListFault},
};

/// What parsing needs from the world.
#[derive(Clone, Copy)]
pub(crate) struct World<'a> {
    /// Name under which the program was started (the last component).
    pub(crate) program: &'a str,
    /// Looks an environment variable up.
    pub(crate) env: &'a dyn Fn(&str) -> Option<OsString>,
    /// Seconds since 1970, now.
    pub(crate) now: i64,
}

impl World<'_> {
    /// A variable that is set and not empty.
    pub(crate) fn var(&self, name: &str) -> Option<Vec<u8>> {
        (self.env)(name).map(OsString::into_vec).filter(|v| !v.is_empty())
    }
}

/// The maximum of `--block-size`, bytes, for current and for old protocols.
const MAX_BLOCK: u64 = 1 << 17;
const OLD_MAX_BLOCK: u64 = 1 << 29;
/// Version from which on the smaller maximum holds.
const NEW_BLOCK_PROTOCOL: i32 = 30;
/// At most this many alternate directories.
const MAX_ALT_DEST: usize = 20;

/// Parses a vector without the program's name.
pub(crate) fn parse(argv: &[OsString], world: &World<'_>) -> Result<Line, Stop> {
    let mut cli = Cli::default();
    Ok(match parse_into(&mut cli, argv, world)? {
        Some(_) => Line::Daemon,
        None => Line::Run(Box::new(cli)),
    })
}

/// The same, word by word: after an error `cli` has what was in front of it. The line of a daemon is returned.
pub(crate) fn parse_into(
    cli: &mut Cli,
    argv: &[OsString],
    world: &World<'_>,
) -> Result<Option<DaemonCli>, Stop> {
    let posix = world.var("POSIXLY_CORRECT").is_some() || world.var("POSIX_ME_HARDER").is_some();
    let parsed = argv::parse(OPTIONS, argv, posix);
    for given in parsed.options {
        if matches!(given.id, OptId::Daemon | OptId::Config | OptId::Dparam | OptId::Detach | OptId::NoDetach)
        {
            return daemon(argv, posix, cli.server, world).map(Some);
        }
        cli.apply(given, world, argv.len())?;
    }
    if let Some(fault) = parsed.fault {
        let place = if cli.server { "on remote machine: " } else { "" };
        let text =
            [place.as_bytes(), &printable(&fault.item), b": ", fault.reason.text().as_bytes()].concat();
        return Err(Failure::option(text, cli.server).into());
    }
    cli.operands = parsed.operands;
    Ok(None)
}

/// The text with every byte that is not printable ASCII as `\#ooo`.
fn printable(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for &b in text {
        if (b' '..=b'~').contains(&b) {
            out.push(b);
        } else {
            out.extend(format!("\\#{b:03o}").bytes());
        }
    }
    out
}

fn daemon(argv: &[OsString], posix: bool, server: bool, world: &World<'_>) -> Result<DaemonCli, Stop> {
    let role = if server { Role::Server } else { Role::Client };
    let fail = |text: Vec<u8>| -> Stop {
        let hint = b"\n(Type \"rsync --daemon --help\" for assistance with daemon mode.)";
        Failure::plain([&text[..], hint].concat(), ExitCode::SYNTAX, role).into()
    };
    let parsed = argv::parse(DAEMON_OPTIONS, argv, posix);
    let mut cli = DaemonCli::default();
    let mut seen = false;
    for Given { id, value } in parsed.options {
        let text = value.into_vec();
        let int = || number::c_int(&text).unwrap_or_default();
        match id {
            OptId::Daemon => seen = true,
            OptId::Server => cli.server = true,
            OptId::Config => cli.config = Some(text),
            OptId::Dparam if !text.contains(&b'=') => {
                return Err(fail([b"--dparam value is missing an '=': ", &text[..]].concat()));
            }
            OptId::Dparam => cli.dparams.push(text),
            OptId::Detach => cli.no_detach = false,
            OptId::NoDetach => cli.no_detach = true,
            OptId::Address => cli.address = Some(text),
            OptId::Port => cli.port = int(),
            OptId::DaemonBwlimit => cli.bwlimit = int(),
            OptId::Ipv4 => cli.ip_version = Some(4),
            OptId::Ipv6 => cli.ip_version = Some(6),
            OptId::LogFile => cli.log_file = Some(text),
            OptId::LogFileFormat => cli.log_file_format = Some(text),
            OptId::Sockopts => cli.sockopts = Some(text),
            OptId::Protocol => cli.protocol = Some(int()),
            OptId::TempDir => cli.temp_dir = Some(text),
            OptId::Verbose => cli.verbose += 1,
            OptId::NoVerbose => cli.verbose = 0,
            OptId::Help => return Err(Stop::Print(help::daemon_usage(world.program).into_bytes())),
            _ => return Err(fail(b"option without a meaning in daemon mode".to_vec())),
        }
    }
    if let Some(fault) = parsed.fault {
        let reason = fault.reason.text().as_bytes();
        let item = printable(&fault.item);
        return Err(fail([b"rsync: ", &item[..], b": ", reason, b" (in daemon mode)"].concat()));
    }
    if !seen {
        return Err(fail(b"Daemon option(s) used without --daemon.".to_vec()));
    }
    Ok(cli)
}

impl Cli {
    fn role(&self) -> Role {
        if self.server { Role::Server } else { Role::Client }
    }

    fn fail(&self, text: impl AsRef<[u8]>) -> Stop {
        Failure::option(text, self.server).into()
    }

    /// Files of rules are read while the options are: what holds for them stands among them.
    fn set_from0(&mut self, from0: bool) {
        self.from0 = from0;
        self.filters.push(FilterArg::From0(from0));
    }

    /// Counts a repeatable option.
    const fn count(counter: &mut u32) {
        *counter = counter.saturating_add(1);
    }

    fn apply(&mut self, given: Given, world: &World<'_>, argc: usize) -> Result<(), Stop> {
        use OptId as O;
        let id = given.id;
        let text = given.value.into_vec();
        let int = number::c_int(&text).unwrap_or_default();
        match id {
            O::Help => return Err(Stop::Print(help::usage(world.program).into_bytes())),
            O::Version => Self::count(&mut self.version),
            O::Server => {
                self.server = true;
                self.iconv = None;
            }
            O::Sender if !self.server => return Err(Stop::Usage(Role::Client)),
            O::Sender => self.sender = true,
            O::Daemon | O::Config | O::Dparam | O::Detach | O::NoDetach | O::DaemonBwlimit => {}

            O::Verbose => Self::count(&mut self.verbose),
            O::NoVerbose => self.verbose = 0,
            O::Quiet => Self::count(&mut self.quiet),
            O::Info => {
                let result = self.words.info(&text);
                self.word_list("info", result)?;
            }
            O::Debug => {
                let result = self.words.debug(&text);
                self.word_list("debug", result)?;
            }
            O::Stderr => {
                let mode = [
                    ("errors", StderrMode::Errors),
                    ("all", StderrMode::All),
                    ("client", StderrMode::Client),
                ]
                .into_iter()
                .find(|(name, _)| !text.is_empty() && name.as_bytes().starts_with(&text));
                let Some((_, mode)) = mode else {
                    let message =
                        [b"--stderr mode \"", &text[..], b"\" is not one of errors, all, or client"];
                    return Err(self.fail(message.concat()));
                };
                self.stderr = Some(mode);
            }
            O::Msgs2stderr => self.stderr = Some(StderrMode::All),
            O::NoMsgs2stderr => self.stderr = Some(StderrMode::Client),
            O::Motd => self.no_motd = false,
            O::NoMotd => self.no_motd = true,
            O::Stats => self.stats = true,
            O::HumanReadable if argc == 1 && !self.server => {
                return Err(Stop::Print(help::usage(world.program).into_bytes()));
            }
            O::HumanReadable => self.human_readable.0 = self.human_readable.0.saturating_add(1),
            O::NoHumanReadable => self.human_readable.0 = 0,
            O::Progress => self.progress = true,
            O::NoProgress => self.progress = false,
            O::PartialProgress => {
                self.partial = true;
                self.progress = true;
            }
            O::OutFormat => self.out_format = Some(text),
            O::ItemizeChanges => Self::count(&mut self.itemize),
            O::NoItemizeChanges => self.itemize = 0,
            O::LogFile => self.log_file = Some(text),
            O::LogFileFormat => self.log_file_format = Some(text),
            O::EightBit => self.eight_bit = true,
            O::NoEightBit => self.eight_bit = false,
            O::Outbuf => self.outbuf = Some(text),

            O::DryRun => self.dry_run = true,
            O::ListOnly => self.list_only = true,
            O::Archive => {
                if self.recurse == Recurse::Off {
                    self.recurse = Recurse::Archive;
                }
                self.links = true;
                self.perms = true;
                self.times = true;
                self.group = true;
                self.owner = true;
                self.devices = true;
                self.specials = true;
            }
            O::Recursive => self.recurse = Recurse::Explicit,
            O::NoRecursive => self.recurse = Recurse::Off,
            O::IncRecursive => self.no_inc_recursive = false,
            O::NoIncRecursive => self.no_inc_recursive = true,
            O::Qsort => self.qsort = true,
            O::Dirs => self.dirs = Some(Dirs::On),
            O::NoDirs => self.dirs = Some(Dirs::Off),
            O::OldDirs => self.dirs = Some(Dirs::Old),
            O::Relative => self.relative = Some(true),
            O::NoRelative => self.relative = Some(false),
            O::ImpliedDirs => self.no_implied_dirs = false,
            O::NoImpliedDirs => self.no_implied_dirs = true,
            O::OneFileSystem => Self::count(&mut self.one_file_system),
            O::NoOneFileSystem => self.one_file_system = 0,
            O::PruneEmptyDirs => self.prune_empty_dirs = true,
            O::NoPruneEmptyDirs => self.prune_empty_dirs = false,
            O::Mkpath => self.mkpath = true,
            O::NoMkpath => self.mkpath = false,

            O::Perms => self.perms = true,
            O::NoPerms => self.perms = false,
            O::Executability => self.executability = true,
            O::Acls => {
                self.acls = true;
                self.perms = true;
            }
            O::NoAcls => self.acls = false,
            O::Xattrs => Self::count(&mut self.xattrs),
            O::NoXattrs => self.xattrs = 0,
            O::Times => self.times = true,
            O::NoTimes => self.times = false,
            O::Atimes => {
                Self::count(&mut self.atimes);
                self.open_noatime |= self.atimes > 1;
            }
            O::NoAtimes => self.atimes = 0,
            O::OpenNoatime => self.open_noatime = true,
            O::NoOpenNoatime => self.open_noatime = false,
            O::Crtimes => {
                let who = if self.server { "The server" } else { "This rsync" };
                return Err(self.fail(format!("{who} does not support --crtimes (-N)")));
            }
            O::NoCrtimes => {}
            O::OmitDirTimes => self.omit_dir_times = true,
            O::NoOmitDirTimes => self.omit_dir_times = false,
            O::OmitLinkTimes => self.omit_link_times = true,
            O::NoOmitLinkTimes => self.omit_link_times = false,
            O::Super => self.super_user = Super::On,
            O::NoSuper => self.super_user = Super::Off,
            O::FakeSuper => self.super_user = Super::Fake,
            O::Owner => self.owner = true,
            O::NoOwner => self.owner = false,
            O::Group => self.group = true,
            O::NoGroup => self.group = false,
            O::DevicesSpecials => {
                self.devices = true;
                self.specials = true;
            }
            O::NoDevicesSpecials => {
                self.devices = false;
                self.specials = false;
            }
            O::Devices => self.devices = true,
            O::NoDevices => self.devices = false,
            O::Specials => self.specials = true,
            O::NoSpecials => self.specials = false,
            O::CopyDevices => self.copy_devices = true,
            O::WriteDevices => self.write_devices = true,
            O::NoWriteDevices => self.write_devices = false,
            O::DropD => self.drop_devices = true,
            O::NoDropD => self.drop_devices = false,
            O::NumericIds => self.numeric_ids = true,
            O::NoNumericIds => self.numeric_ids = false,
            O::Usermap => self.map(Account::User, &text, MapSource::Map)?,
            O::Groupmap => self.map(Account::Group, &text, MapSource::Map)?,
            O::Chown => {
                let (user, group) = match memchr::memchr(b':', &text) {
                    Some(i) => (&text[..i], &text[i + 1..]),
                    None => (&text[..], &[][..]),
                };
                if !user.is_empty() {
                    self.map(Account::User, &[b"*:", user].concat(), MapSource::Chown)?;
                }
                if !group.is_empty() {
                    self.map(Account::Group, &[b"*:", group].concat(), MapSource::Chown)?;
                }
            }
            O::Chmod => {
                if Chmod::parse(&text).is_err() {
                    let message = [b"Invalid argument passed to --chmod (", &text[..], b")"];
                    return Err(self.fail(message.concat()));
                }
                match &mut self.chmod {
                    Some(list) => {
                        list.push(b',');
                        list.extend(text);
                    }
                    None => self.chmod = Some(text),
                }
            }
            O::CopyAs => self.copy_as = Some(text),

            O::Links => self.links = true,
            O::NoLinks => self.links = false,
            O::CopyLinks => self.copy_links = true,
            O::CopyUnsafeLinks => self.copy_unsafe_links = true,
            O::SafeLinks => self.safe_links = true,
            O::InsecureLinks => self.insecure_links = true,
            O::NoInsecureLinks => self.insecure_links = false,
            O::ConfineRoot => self.confine_root = Some(text),
            O::MungeLinks => self.munge_links = true,
            O::NoMungeLinks => self.munge_links = false,
            O::CopyDirlinks => self.copy_dirlinks = true,
            O::KeepDirlinks => self.keep_dirlinks = true,
            O::HardLinks => Self::count(&mut self.hard_links),
            O::NoHardLinks => self.hard_links = 0,

            O::IgnoreTimes => self.ignore_times = true,
            O::SizeOnly => self.size_only = true,
            O::ModifyWindow => self.modify_window = Some(int),
            O::Update => self.update = true,
            O::Existing => self.existing = true,
            O::IgnoreExisting => self.ignore_existing = true,
            O::MaxSize => self.max_size = Some(self.size(&file_size("max-size"), &text)?),
            O::MinSize => self.min_size = Some(self.size(&file_size("min-size"), &text)?),
            O::MaxAlloc => self.max_alloc = Some(text),
            O::Checksum => self.checksum = true,
            O::NoChecksum => self.checksum = false,
            O::ChecksumChoice => self.checksum_choice = Some(text),
            O::ChecksumSeed => self.checksum_seed = int,
            O::BlockSize => {
                let old = self.protocol.is_some_and(|p| p < NEW_BLOCK_PROTOCOL);
                let max = Some(if old { OLD_MAX_BLOCK } else { MAX_BLOCK });
                let bytes = self.size(&SizeRule { max, ..file_size("block-size") }, &text)?;
                self.block_size = u32::try_from(bytes).unwrap_or(u32::MAX);
            }

            O::Delete => self.delete = true,
            O::DeleteBefore => self.delete_before = true,
            O::DeleteDuring => self.delete_during = Some(During::During),
            O::DeleteDelay => self.delete_during = Some(During::Delay),
            O::DeleteAfter => self.delete_after = true,
            O::DeleteExcluded => self.delete_excluded = true,
            O::DeleteMissingArgs => self.delete_missing_args = true,
            O::IgnoreMissingArgs => self.ignore_missing_args = true,
            O::RemoveSentFiles => self.remove_source = Some(RemoveSource::Sent),
            O::RemoveSourceFiles => self.remove_source = Some(RemoveSource::All),
            O::Force => self.force = true,
            O::NoForce => self.force = false,
            O::IgnoreErrors => self.ignore_errors = true,
            O::NoIgnoreErrors => self.ignore_errors = false,
            O::MaxDelete => self.max_delete = Some(int),

            O::Sparse => self.sparse = true,
            O::NoSparse => self.sparse = false,
            O::Preallocate => self.preallocate = true,
            O::Inplace => self.inplace = true,
            O::NoInplace => self.inplace = false,
            O::Append if self.server && self.append != Append::Off => self.append = Append::Verify,
            O::Append => self.append = Append::Trust,
            O::AppendVerify => self.append = Append::Verify,
            O::NoAppend => self.append = Append::Off,
            O::WholeFile => self.whole_file = Some(true),
            O::NoWholeFile => self.whole_file = Some(false),
            O::Partial => self.partial = true,
            O::NoPartial => self.partial = false,
            O::PartialDir => self.partial_dir = Some(text),
            O::DelayUpdates => self.delay_updates = true,
            O::NoDelayUpdates => self.delay_updates = false,
            O::TempDir => self.temp_dir = Some(text),
            O::Fsync => self.fsync = true,
            O::Backup => self.backup = true,
            O::NoBackup => self.backup = false,
            O::BackupDir => self.backup_dir = Some(text),
            O::Suffix => self.suffix = Some(text),
            O::Fuzzy => Self::count(&mut self.fuzzy),
            O::NoFuzzy => self.fuzzy = 0,
            O::CompareDest => self.alternate(AltDestKind::Compare, text)?,
            O::CopyDest => self.alternate(AltDestKind::Copy, text)?,
            O::LinkDest => self.alternate(AltDestKind::Link, text)?,

            O::Compress => Self::count(&mut self.compress),
            O::OldCompress => self.compress_choice = Some(b"zlib".to_vec()),
            O::NewCompress => self.compress_choice = Some(b"zlibx".to_vec()),
            O::NoCompress => {
                self.compress = 0;
                self.compress_choice = None;
            }
            O::CompressChoice => self.compress_choice = Some(text),
            O::CompressLevel => self.compress_level = Some(int),
            // The output would be the same: one thread compresses.
            O::CompressThreads => {}
            O::SkipCompress => self.skip_compress = Some(text),

            O::FilterShort => {
                Self::count(&mut self.filter_short);
                match self.filter_short {
                    1 => self.filters.push(FilterArg::Rule(b": /.rsync-filter".to_vec())),
                    2 => self.filters.push(FilterArg::Rule(b"- .rsync-filter".to_vec())),
                    _ => {}
                }
            }
            O::Filter => self.filters.push(FilterArg::Rule(text)),
            O::Exclude => self.filters.push(FilterArg::Exclude(text)),
            O::Include => self.filters.push(FilterArg::Include(text)),
            // No name is no file.
            O::ExcludeFrom | O::IncludeFrom if text.is_empty() => {}
            O::ExcludeFrom => self.filters.push(FilterArg::ExcludeFrom(text)),
            O::IncludeFrom => self.filters.push(FilterArg::IncludeFrom(text)),
            O::CvsExclude => self.cvs_exclude = true,
            O::FilesFrom => self.files_from = Some(text),
            O::From0 => self.set_from0(true),
            O::NoFrom0 => self.set_from0(false),

            O::ReadBatch => self.read_batch = Some(text),
            O::WriteBatch => (self.write_batch, self.only_write_batch) = (Some(text), None),
            O::OnlyWriteBatch => (self.write_batch, self.only_write_batch) = (None, Some(text)),

            O::OldArgs => self.old_args = Some(self.old_args.unwrap_or(0).saturating_add(1)),
            O::NoOldArgs => self.old_args = Some(0),
            O::SecludedArgs => self.secluded_args = Some(true),
            O::NoSecludedArgs => self.secluded_args = Some(false),
            O::TrustSender => self.trust_sender = true,
            O::RemoteOption => {
                if text.first() != Some(&b'-') {
                    return Err(self.fail([b"Remote option must start with a dash: ", &text[..]].concat()));
                }
                self.remote_options.push(text);
            }

            O::Timeout => self.timeout = int,
            O::NoTimeout => self.timeout = 0,
            O::Contimeout => self.contimeout = int,
            O::NoContimeout => self.contimeout = 0,
            O::Bwlimit => {
                let rule =
                    SizeRule { name: "bwlimit", unit: b'K', min: 512, max: None, zero_is_unlimited: true };
                self.bwlimit = Some(self.size(&rule, &text)?.saturating_add(512) / 1024);
            }
            O::NoBwlimit => self.bwlimit = None,
            O::StopAfter => match date::minutes(&text) {
                Some(minutes) => self.stop_at = Some(world.now.saturating_add(minutes.saturating_mul(60))),
                None => return Err(self.fail([b"invalid --stop-after value: ", &text[..]].concat())),
            },
            O::StopAt => match date::parse(&text, world.now) {
                None => return Err(self.fail([b"invalid --stop-at format: ", &text[..]].concat())),
                Some(at) if at <= world.now => {
                    return Err(self.fail([b"--stop-at time is not in the future: ", &text[..]].concat()));
                }
                at => self.stop_at = at,
            },

            O::Rsh => self.rsh = Some(text),
            O::RsyncPath => self.rsync_path = Some(text),
            // The transport decides by itself how it waits.
            O::BlockingIo | O::NoBlockingIo => {}
            O::Ipv4 => self.ip_version = Some(4),
            O::Ipv6 => self.ip_version = Some(6),
            O::Iconv => self.iconv = Some(text),
            O::NoIconv => self.iconv = Some(b"-".to_vec()),
            O::Protocol => self.protocol = Some(int),
            O::Address => self.address = Some(text),
            O::Port => self.port = int,
            O::Sockopts => self.sockopts = Some(text),
            O::PasswordFile => self.password_file = Some(text),
            O::EarlyInput => self.early_input = Some(text),
        }
        Ok(())
    }

    fn size(&self, rule: &SizeRule, text: &[u8]) -> Result<u64, Stop> {
        rule.parse(text).map_err(|fault| self.fail(rule.message(text, &fault)))
    }

    fn word_list(&self, option: &str, result: Result<(), ListFault>) -> Result<(), Stop> {
        match result {
            Ok(()) => Ok(()),
            Err(ListFault::Help) => {
                let text = if option == "info" { words::info_help() } else { words::debug_help() };
                Err(Stop::Print(text.into_bytes()))
            }
            // Words of newer clients are none of a server's business.
            Err(ListFault::Unknown(_)) if self.server => Ok(()),
            Err(ListFault::Unknown(word)) => {
                let text = [b"Unknown --", option.as_bytes(), b" item: \"", &word, b"\""].concat();
                Err(Failure::plain(text, ExitCode::SYNTAX, self.role()).into())
            }
        }
    }

    /// `--usermap`, `--groupmap` or a half of `--chown`. A server is told of the owners that are preserved by letters of
    /// their own.
    fn map(&mut self, account: Account, list: &[u8], source: MapSource) -> Result<(), Stop> {
        let (slot, name, word) = match account {
            Account::User => (&self.usermap, "usermap", "user"),
            Account::Group => (&self.groupmap, "groupmap", "group"),
        };
        match (slot, source) {
            (None, _) => {}
            (Some((_, MapSource::Map)), MapSource::Map) => {
                return Err(self.fail(format!("You can only specify --{name} once.")));
            }
            (Some((_, MapSource::Chown)), MapSource::Map) => {
                return Err(self.fail(format!("--{name} conflicts with prior --chown.")));
            }
            (Some((_, MapSource::Map)), MapSource::Chown) => {
                return Err(self.fail(format!("--chown conflicts with prior --{name}.")));
            }
            (Some((_, MapSource::Chown)), MapSource::Chown) => {
                return Err(self.fail(format!("You can only specify a {word}-affecting --chown once.")));
            }
        }
        match account {
            Account::User => {
                self.usermap = Some((list.to_vec(), source));
                self.owner |= !self.server;
            }
            Account::Group => {
                self.groupmap = Some((list.to_vec(), source));
                self.group |= !self.server;
            }
        }
        Ok(())
    }

    fn alternate(&mut self, kind: AltDestKind, dir: Vec<u8>) -> Result<(), Stop> {
        let name = alt_dest_name(kind);
        let (first, dirs) = self.alt_dest.get_or_insert_with(|| (kind, Vec::new()));
        if *first != kind {
            let text =
                format!("ERROR: the {name} option conflicts with the {} option", alt_dest_name(*first));
            return Err(self.fail(text));
        }
        if dirs.len() >= MAX_ALT_DEST {
            return Err(self.fail(format!("ERROR: at most {MAX_ALT_DEST} {name} args may be specified")));
        }
        dirs.push(dir);
        Ok(())
    }
}

/// The option of a kind of alternate directories.
pub(crate) const fn alt_dest_name(kind: AltDestKind) -> &'static str {
    match kind {
        AltDestKind::Compare => "--compare-dest",
        AltDestKind::Copy => "--copy-dest",
        AltDestKind::Link => "--link-dest",
    }
}

#[derive(Clone, Copy)]
enum Account {
    User,
    Group,
}

const fn file_size(name: &'static str) -> SizeRule {
    SizeRule { name, unit: b'B', min: 0, max: None, zero_is_unlimited: false }
}
