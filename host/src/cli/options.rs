//! The table of every option: the one place that knows spellings, letters and which of them take a value.
//!
//! The clap command, the splitting of bundles, the server's reading of its arguments and the refusal of options
//! by a daemon are all derived from it. What an option *means* is not known here.

use clap::{Arg, ArgAction, Command, builder::OsStringValueParser};

/// What an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    /// Nothing.
    None,
    /// Any bytes.
    Text,
    /// A number in C notation that fits 32 bits.
    Int,
}

/// One spelling of an option.
#[derive(Debug)]
pub(crate) struct OptSpec {
    /// Name without dashes; empty if there is only a letter.
    pub(crate) long: &'static str,
    /// Letter.
    pub(crate) short: Option<char>,
    /// What it takes.
    pub(crate) value: Value,
    /// What it does; several spellings may do the same.
    pub(crate) id: OptId,
    /// Wildcards of a daemon's `refuse options` do not touch it.
    pub(crate) exact_only: bool,
}

const fn spec(long: &'static str, short: Option<char>, value: Value, id: OptId) -> OptSpec {
    OptSpec { long, short, value, id, exact_only: false }
}

const fn flag(long: &'static str, short: Option<char>, id: OptId) -> OptSpec {
    spec(long, short, Value::None, id)
}

const fn text(long: &'static str, short: Option<char>, id: OptId) -> OptSpec {
    spec(long, short, Value::Text, id)
}

const fn int(long: &'static str, short: Option<char>, id: OptId) -> OptSpec {
    spec(long, short, Value::Int, id)
}

const fn exact(spec: OptSpec) -> OptSpec {
    OptSpec { exact_only: true, ..spec }
}

/// What an option does. Named after its first spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named after what is typed or shown")]
pub(crate) enum OptId {
    Help,
    Version,
    Verbose,
    NoVerbose,
    Info,
    Debug,
    Stderr,
    Msgs2stderr,
    NoMsgs2stderr,
    Quiet,
    Motd,
    NoMotd,
    Stats,
    HumanReadable,
    NoHumanReadable,
    DryRun,
    Archive,
    Recursive,
    NoRecursive,
    IncRecursive,
    NoIncRecursive,
    Dirs,
    NoDirs,
    OldDirs,
    Perms,
    NoPerms,
    Executability,
    Acls,
    NoAcls,
    Xattrs,
    NoXattrs,
    Times,
    NoTimes,
    Atimes,
    NoAtimes,
    OpenNoatime,
    NoOpenNoatime,
    Crtimes,
    NoCrtimes,
    OmitDirTimes,
    NoOmitDirTimes,
    OmitLinkTimes,
    NoOmitLinkTimes,
    ModifyWindow,
    Super,
    NoSuper,
    FakeSuper,
    Owner,
    NoOwner,
    Group,
    NoGroup,
    DevicesSpecials,
    NoDevicesSpecials,
    Devices,
    NoDevices,
    CopyDevices,
    WriteDevices,
    NoWriteDevices,
    Specials,
    NoSpecials,
    DropD,
    NoDropD,
    ConfineRoot,
    Links,
    NoLinks,
    CopyLinks,
    CopyUnsafeLinks,
    SafeLinks,
    InsecureLinks,
    NoInsecureLinks,
    MungeLinks,
    NoMungeLinks,
    CopyDirlinks,
    KeepDirlinks,
    HardLinks,
    NoHardLinks,
    Relative,
    NoRelative,
    ImpliedDirs,
    NoImpliedDirs,
    Chmod,
    IgnoreTimes,
    SizeOnly,
    OneFileSystem,
    NoOneFileSystem,
    Update,
    Existing,
    IgnoreExisting,
    MaxSize,
    MinSize,
    MaxAlloc,
    Sparse,
    NoSparse,
    Preallocate,
    Inplace,
    NoInplace,
    Append,
    AppendVerify,
    NoAppend,
    DeleteDuring,
    Delete,
    DeleteBefore,
    DeleteDelay,
    DeleteAfter,
    DeleteExcluded,
    DeleteMissingArgs,
    IgnoreMissingArgs,
    RemoveSentFiles,
    RemoveSourceFiles,
    Force,
    NoForce,
    IgnoreErrors,
    NoIgnoreErrors,
    MaxDelete,
    FilterShort,
    Filter,
    Exclude,
    Include,
    ExcludeFrom,
    IncludeFrom,
    CvsExclude,
    WholeFile,
    NoWholeFile,
    Checksum,
    NoChecksum,
    ChecksumChoice,
    BlockSize,
    CompareDest,
    CopyDest,
    LinkDest,
    Fuzzy,
    NoFuzzy,
    Compress,
    OldCompress,
    NewCompress,
    NoCompress,
    CompressChoice,
    SkipCompress,
    CompressLevel,
    CompressThreads,
    PartialProgress,
    Progress,
    NoProgress,
    Partial,
    NoPartial,
    PartialDir,
    DelayUpdates,
    NoDelayUpdates,
    PruneEmptyDirs,
    NoPruneEmptyDirs,
    LogFile,
    LogFileFormat,
    OutFormat,
    ItemizeChanges,
    NoItemizeChanges,
    Bwlimit,
    NoBwlimit,
    Backup,
    NoBackup,
    BackupDir,
    Suffix,
    ListOnly,
    ReadBatch,
    WriteBatch,
    OnlyWriteBatch,
    FilesFrom,
    From0,
    NoFrom0,
    OldArgs,
    NoOldArgs,
    SecludedArgs,
    NoSecludedArgs,
    TrustSender,
    NumericIds,
    NoNumericIds,
    Usermap,
    Groupmap,
    Chown,
    Timeout,
    NoTimeout,
    Contimeout,
    NoContimeout,
    Fsync,
    StopAfter,
    StopAt,
    Rsh,
    RsyncPath,
    TempDir,
    Iconv,
    NoIconv,
    Ipv4,
    Ipv6,
    EightBit,
    NoEightBit,
    Mkpath,
    NoMkpath,
    Qsort,
    CopyAs,
    Address,
    Port,
    Sockopts,
    PasswordFile,
    EarlyInput,
    BlockingIo,
    NoBlockingIo,
    Outbuf,
    RemoteOption,
    Protocol,
    ChecksumSeed,
    Server,
    Sender,
    Config,
    Daemon,
    Dparam,
    Detach,
    NoDetach,
    DaemonBwlimit,
}

use OptId::*;

/// Every option outside of daemon mode.
#[rustfmt::skip]
pub(crate) const OPTIONS: &[OptSpec] = &[
    flag("help", None, Help),
    flag("version", Some('V'), Version),
    flag("verbose", Some('v'), Verbose),
    flag("no-verbose", None, NoVerbose),
    flag("no-v", None, NoVerbose),
    text("info", None, Info),
    text("debug", None, Debug),
    text("stderr", None, Stderr),
    flag("msgs2stderr", None, Msgs2stderr),
    flag("no-msgs2stderr", None, NoMsgs2stderr),
    flag("quiet", Some('q'), Quiet),
    flag("motd", None, Motd),
    flag("no-motd", None, NoMotd),
    flag("stats", None, Stats),
    flag("human-readable", Some('h'), HumanReadable),
    flag("no-human-readable", None, NoHumanReadable),
    flag("no-h", None, NoHumanReadable),
    exact(flag("dry-run", Some('n'), DryRun)),
    flag("archive", Some('a'), Archive),
    flag("recursive", Some('r'), Recursive),
    flag("no-recursive", None, NoRecursive),
    flag("no-r", None, NoRecursive),
    flag("inc-recursive", None, IncRecursive),
    flag("i-r", None, IncRecursive),
    flag("no-inc-recursive", None, NoIncRecursive),
    flag("no-i-r", None, NoIncRecursive),
    flag("dirs", Some('d'), Dirs),
    flag("no-dirs", None, NoDirs),
    flag("no-d", None, NoDirs),
    flag("old-dirs", None, OldDirs),
    flag("old-d", None, OldDirs),
    flag("perms", Some('p'), Perms),
    flag("no-perms", None, NoPerms),
    flag("no-p", None, NoPerms),
    flag("executability", Some('E'), Executability),
    flag("acls", Some('A'), Acls),
    flag("no-acls", None, NoAcls),
    flag("no-A", None, NoAcls),
    flag("xattrs", Some('X'), Xattrs),
    flag("no-xattrs", None, NoXattrs),
    flag("no-X", None, NoXattrs),
    flag("times", Some('t'), Times),
    flag("no-times", None, NoTimes),
    flag("no-t", None, NoTimes),
    flag("atimes", Some('U'), Atimes),
    flag("no-atimes", None, NoAtimes),
    flag("no-U", None, NoAtimes),
    flag("open-noatime", None, OpenNoatime),
    flag("no-open-noatime", None, NoOpenNoatime),
    flag("crtimes", Some('N'), Crtimes),
    flag("no-crtimes", None, NoCrtimes),
    flag("no-N", None, NoCrtimes),
    flag("omit-dir-times", Some('O'), OmitDirTimes),
    flag("no-omit-dir-times", None, NoOmitDirTimes),
    flag("no-O", None, NoOmitDirTimes),
    flag("omit-link-times", Some('J'), OmitLinkTimes),
    flag("no-omit-link-times", None, NoOmitLinkTimes),
    flag("no-J", None, NoOmitLinkTimes),
    int("modify-window", Some('@'), ModifyWindow),
    flag("super", None, Super),
    flag("no-super", None, NoSuper),
    flag("fake-super", None, FakeSuper),
    flag("owner", Some('o'), Owner),
    flag("no-owner", None, NoOwner),
    flag("no-o", None, NoOwner),
    flag("group", Some('g'), Group),
    flag("no-group", None, NoGroup),
    flag("no-g", None, NoGroup),
    flag("", Some('D'), DevicesSpecials),
    flag("no-D", None, NoDevicesSpecials),
    flag("devices", None, Devices),
    flag("no-devices", None, NoDevices),
    exact(flag("copy-devices", None, CopyDevices)),
    exact(flag("write-devices", None, WriteDevices)),
    flag("no-write-devices", None, NoWriteDevices),
    flag("specials", None, Specials),
    flag("no-specials", None, NoSpecials),
    flag("drop-D", None, DropD),
    flag("no-drop-D", None, NoDropD),
    text("confine-root", None, ConfineRoot),
    flag("links", Some('l'), Links),
    flag("no-links", None, NoLinks),
    flag("no-l", None, NoLinks),
    flag("copy-links", Some('L'), CopyLinks),
    flag("copy-unsafe-links", None, CopyUnsafeLinks),
    flag("safe-links", None, SafeLinks),
    flag("insecure-links", None, InsecureLinks),
    flag("no-insecure-links", None, NoInsecureLinks),
    flag("munge-links", None, MungeLinks),
    flag("no-munge-links", None, NoMungeLinks),
    flag("copy-dirlinks", Some('k'), CopyDirlinks),
    flag("keep-dirlinks", Some('K'), KeepDirlinks),
    flag("hard-links", Some('H'), HardLinks),
    flag("no-hard-links", None, NoHardLinks),
    flag("no-H", None, NoHardLinks),
    flag("relative", Some('R'), Relative),
    flag("no-relative", None, NoRelative),
    flag("no-R", None, NoRelative),
    flag("implied-dirs", None, ImpliedDirs),
    flag("i-d", None, ImpliedDirs),
    flag("no-implied-dirs", None, NoImpliedDirs),
    flag("no-i-d", None, NoImpliedDirs),
    text("chmod", None, Chmod),
    flag("ignore-times", Some('I'), IgnoreTimes),
    flag("size-only", None, SizeOnly),
    flag("one-file-system", Some('x'), OneFileSystem),
    flag("no-one-file-system", None, NoOneFileSystem),
    flag("no-x", None, NoOneFileSystem),
    flag("update", Some('u'), Update),
    flag("existing", None, Existing),
    flag("ignore-non-existing", None, Existing),
    flag("ignore-existing", None, IgnoreExisting),
    text("max-size", None, MaxSize),
    text("min-size", None, MinSize),
    text("max-alloc", None, MaxAlloc),
    flag("sparse", Some('S'), Sparse),
    flag("no-sparse", None, NoSparse),
    flag("no-S", None, NoSparse),
    flag("preallocate", None, Preallocate),
    flag("inplace", None, Inplace),
    flag("no-inplace", None, NoInplace),
    flag("append", None, Append),
    flag("append-verify", None, AppendVerify),
    flag("no-append", None, NoAppend),
    flag("del", None, DeleteDuring),
    flag("delete", None, Delete),
    flag("delete-before", None, DeleteBefore),
    flag("delete-during", None, DeleteDuring),
    flag("delete-delay", None, DeleteDelay),
    flag("delete-after", None, DeleteAfter),
    flag("delete-excluded", None, DeleteExcluded),
    flag("delete-missing-args", None, DeleteMissingArgs),
    flag("ignore-missing-args", None, IgnoreMissingArgs),
    flag("remove-sent-files", None, RemoveSentFiles),
    flag("remove-source-files", None, RemoveSourceFiles),
    flag("force", None, Force),
    flag("no-force", None, NoForce),
    flag("ignore-errors", None, IgnoreErrors),
    flag("no-ignore-errors", None, NoIgnoreErrors),
    int("max-delete", None, MaxDelete),
    flag("", Some('F'), FilterShort),
    text("filter", Some('f'), Filter),
    text("exclude", None, Exclude),
    text("include", None, Include),
    text("exclude-from", None, ExcludeFrom),
    text("include-from", None, IncludeFrom),
    flag("cvs-exclude", Some('C'), CvsExclude),
    flag("whole-file", Some('W'), WholeFile),
    flag("no-whole-file", None, NoWholeFile),
    flag("no-W", None, NoWholeFile),
    flag("checksum", Some('c'), Checksum),
    flag("no-checksum", None, NoChecksum),
    flag("no-c", None, NoChecksum),
    text("checksum-choice", None, ChecksumChoice),
    text("cc", None, ChecksumChoice),
    text("block-size", Some('B'), BlockSize),
    text("compare-dest", None, CompareDest),
    text("copy-dest", None, CopyDest),
    text("link-dest", None, LinkDest),
    flag("fuzzy", Some('y'), Fuzzy),
    flag("no-fuzzy", None, NoFuzzy),
    flag("no-y", None, NoFuzzy),
    flag("compress", Some('z'), Compress),
    flag("old-compress", None, OldCompress),
    flag("new-compress", None, NewCompress),
    flag("no-compress", None, NoCompress),
    flag("no-z", None, NoCompress),
    text("compress-choice", None, CompressChoice),
    text("zc", None, CompressChoice),
    text("skip-compress", None, SkipCompress),
    int("compress-level", None, CompressLevel),
    int("zl", None, CompressLevel),
    int("compress-threads", None, CompressThreads),
    int("zt", None, CompressThreads),
    flag("", Some('P'), PartialProgress),
    flag("progress", None, Progress),
    flag("no-progress", None, NoProgress),
    flag("partial", None, Partial),
    flag("no-partial", None, NoPartial),
    text("partial-dir", None, PartialDir),
    flag("delay-updates", None, DelayUpdates),
    flag("no-delay-updates", None, NoDelayUpdates),
    flag("prune-empty-dirs", Some('m'), PruneEmptyDirs),
    flag("no-prune-empty-dirs", None, NoPruneEmptyDirs),
    flag("no-m", None, NoPruneEmptyDirs),
    text("log-file", None, LogFile),
    text("log-file-format", None, LogFileFormat),
    text("out-format", None, OutFormat),
    exact(text("log-format", None, OutFormat)),
    flag("itemize-changes", Some('i'), ItemizeChanges),
    flag("no-itemize-changes", None, NoItemizeChanges),
    flag("no-i", None, NoItemizeChanges),
    text("bwlimit", None, Bwlimit),
    flag("no-bwlimit", None, NoBwlimit),
    flag("backup", Some('b'), Backup),
    flag("no-backup", None, NoBackup),
    text("backup-dir", None, BackupDir),
    text("suffix", None, Suffix),
    flag("list-only", None, ListOnly),
    text("read-batch", None, ReadBatch),
    text("write-batch", None, WriteBatch),
    text("only-write-batch", None, OnlyWriteBatch),
    text("files-from", None, FilesFrom),
    exact(flag("from0", Some('0'), From0)),
    flag("no-from0", None, NoFrom0),
    flag("old-args", None, OldArgs),
    flag("no-old-args", None, NoOldArgs),
    exact(flag("secluded-args", Some('s'), SecludedArgs)),
    exact(flag("protect-args", None, SecludedArgs)),
    flag("no-secluded-args", None, NoSecludedArgs),
    flag("no-protect-args", None, NoSecludedArgs),
    flag("no-s", None, NoSecludedArgs),
    flag("trust-sender", None, TrustSender),
    flag("numeric-ids", None, NumericIds),
    flag("no-numeric-ids", None, NoNumericIds),
    text("usermap", None, Usermap),
    text("groupmap", None, Groupmap),
    text("chown", None, Chown),
    int("timeout", None, Timeout),
    flag("no-timeout", None, NoTimeout),
    int("contimeout", None, Contimeout),
    flag("no-contimeout", None, NoContimeout),
    flag("fsync", None, Fsync),
    text("stop-after", None, StopAfter),
    text("time-limit", None, StopAfter),
    text("stop-at", None, StopAt),
    exact(text("rsh", Some('e'), Rsh)),
    text("rsync-path", None, RsyncPath),
    text("temp-dir", Some('T'), TempDir),
    exact(text("iconv", None, Iconv)),
    exact(flag("no-iconv", None, NoIconv)),
    flag("ipv4", Some('4'), Ipv4),
    flag("ipv6", Some('6'), Ipv6),
    flag("8-bit-output", Some('8'), EightBit),
    flag("no-8-bit-output", None, NoEightBit),
    flag("no-8", None, NoEightBit),
    flag("mkpath", None, Mkpath),
    flag("no-mkpath", None, NoMkpath),
    flag("qsort", None, Qsort),
    text("copy-as", None, CopyAs),
    text("address", None, Address),
    int("port", None, Port),
    text("sockopts", None, Sockopts),
    text("password-file", None, PasswordFile),
    text("early-input", None, EarlyInput),
    flag("blocking-io", None, BlockingIo),
    flag("no-blocking-io", None, NoBlockingIo),
    text("outbuf", None, Outbuf),
    text("remote-option", Some('M'), RemoteOption),
    int("protocol", None, Protocol),
    exact(int("checksum-seed", None, ChecksumSeed)),
    exact(flag("server", None, Server)),
    exact(flag("sender", None, Sender)),
    text("config", None, Config),
    flag("daemon", None, Daemon),
    text("dparam", None, Dparam),
    flag("detach", None, Detach),
    flag("no-detach", None, NoDetach),
];

/// The options of daemon mode, where `-M` and `-h` mean something else.
#[rustfmt::skip]
pub(crate) const DAEMON_OPTIONS: &[OptSpec] = &[
    text("address", None, Address),
    int("bwlimit", None, DaemonBwlimit),
    text("config", None, Config),
    flag("daemon", None, Daemon),
    text("dparam", Some('M'), Dparam),
    flag("ipv4", Some('4'), Ipv4),
    flag("ipv6", Some('6'), Ipv6),
    flag("detach", None, Detach),
    flag("no-detach", None, NoDetach),
    text("log-file", None, LogFile),
    text("log-file-format", None, LogFileFormat),
    int("port", None, Port),
    text("sockopts", None, Sockopts),
    int("protocol", None, Protocol),
    flag("server", None, Server),
    text("temp-dir", Some('T'), TempDir),
    flag("verbose", Some('v'), Verbose),
    flag("no-verbose", None, NoVerbose),
    flag("no-v", None, NoVerbose),
    flag("help", Some('h'), Help),
];

/// Id of the operands in the clap command.
pub(crate) const OPERANDS: &str = "operands";

/// Name of an option in the clap command: its first spelling, whatever spelling was typed.
pub(crate) fn arg_name(table: &'static [OptSpec], id: OptId) -> &'static str {
    match id {
        DevicesSpecials => "-D",
        FilterShort => "-F",
        PartialProgress => "-P",
        _ => table.iter().find(|s| s.id == id).map_or("", |s| s.long),
    }
}

/// The clap command of a table. Each occurrence of an option is kept with its position, so that the order
/// among different options can be had back.
pub(crate) fn command(table: &'static [OptSpec]) -> Command {
    let mut args: Vec<(OptId, Arg)> = Vec::new();
    for spec in table {
        if let Some((_, arg)) = args.iter_mut().find(|(id, _)| *id == spec.id) {
            *arg = core::mem::take(arg).alias(spec.long);
            continue;
        }
        let mut arg = Arg::new(arg_name(table, spec.id))
            .action(ArgAction::Append)
            .value_parser(OsStringValueParser::new());
        arg = match spec.value {
            Value::None => arg.num_args(0).default_missing_value(""),
            Value::Text | Value::Int => arg.num_args(1).allow_hyphen_values(true),
        };
        if !spec.long.is_empty() {
            arg = arg.long(spec.long);
        }
        if let Some(c) = spec.short {
            arg = arg.short(c);
        }
        args.push((spec.id, arg));
    }
    Command::new("arsync")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .infer_long_args(false)
        .args(args.into_iter().map(|(_, arg)| arg))
        .arg(
            Arg::new(OPERANDS)
                .num_args(0..)
                .action(ArgAction::Append)
                .value_parser(OsStringValueParser::new()),
        )
}

/// The spelling `--name`.
pub(crate) fn by_name(table: &'static [OptSpec], name: &[u8]) -> Option<&'static OptSpec> {
    table.iter().find(|s| !s.long.is_empty() && s.long.as_bytes() == name)
}

/// The spelling `-x`.
pub(crate) fn by_letter(table: &'static [OptSpec], letter: u8) -> Option<&'static OptSpec> {
    table.iter().find(|s| s.short == Some(char::from(letter)))
}

/// All ids of a table, each once.
pub(crate) fn ids(table: &'static [OptSpec]) -> impl Iterator<Item = OptId> {
    table
        .iter()
        .enumerate()
        .filter(move |(i, s)| table.iter().position(|t| t.id == s.id) == Some(*i))
        .map(|(_, s)| s.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_unique() {
        for table in [OPTIONS, DAEMON_OPTIONS] {
            for (i, a) in table.iter().enumerate() {
                for b in table.iter().skip(i + 1) {
                    assert!(a.long.is_empty() || a.long != b.long, "{}", a.long);
                    assert!(a.short.is_none() || a.short != b.short, "{:?}", a.short);
                }
            }
        }
        assert_eq!(OPTIONS.len(), 258);
        assert_eq!(DAEMON_OPTIONS.len(), 20);
    }

    #[test]
    fn clap_accepts_both_tables() {
        command(OPTIONS).debug_assert();
        command(DAEMON_OPTIONS).debug_assert();
    }
}
