//! What a command line asks for, option by option, before anything is made of it.

use std::ffi::OsString;

use arsync_core::options::{AltDestKind, Append, RemoveSource};

use super::words::Choices;

/// `-r`, or the weaker recursion of `-a` that `--files-from` cancels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Recurse {
    /// Not at all.
    #[default]
    Off,
    /// By `-a`.
    Archive,
    /// By `-r`.
    Explicit,
}

/// One switch: the last of `-d`, `--old-dirs`, `--no-dirs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dirs {
    /// `-d`
    On,
    /// `--old-dirs`
    Old,
    /// `--no-dirs`
    Off,
}

/// One switch: the last of `--super`, `--no-super`, `--fake-super`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Super {
    /// By uid.
    #[default]
    Auto,
    /// `--super`
    On,
    /// `--no-super`
    Off,
    /// `--fake-super`
    Fake,
}

/// `--stderr`: where messages of the other side travel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum StderrMode {
    /// Errors go to the other side's own stderr.
    #[default]
    Errors,
    /// Everything goes to stderr.
    All,
    /// Everything travels inside the protocol.
    Client,
}

/// `--outbuf`: buffering of stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutBuf {
    /// None.
    None,
    /// By lines.
    Line,
    /// By blocks.
    Block,
}

/// Something that adds filter rules, in the order of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FilterArg {
    /// `-f RULE`
    Rule(Vec<u8>),
    /// `--exclude PATTERN`, with old-style prefixes
    Exclude(Vec<u8>),
    /// `--include PATTERN`, with old-style prefixes
    Include(Vec<u8>),
    /// `--exclude-from FILE`; `-`: stdin
    ExcludeFrom(Vec<u8>),
    /// `--include-from FILE`; `-`: stdin
    IncludeFrom(Vec<u8>),
    /// `-0` and `--no-0`: how the files of the rules behind it are read.
    From0(bool),
    /// `-C`: the rules that stand for it come last.
    CvsExclude,
    /// Exclusion of a relative `--partial-dir`; perishable on a pull and with protocol ≥ 30.
    PartialDir(Vec<u8>),
}

/// The options of this run as typed. Field names are those of the options.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "named after what is typed or shown")]
pub(crate) struct Cli {
    pub(crate) server: bool,
    pub(crate) sender: bool,
    pub(crate) version: u32,

    pub(crate) verbose: u32,
    pub(crate) quiet: u32,
    pub(crate) words: Choices,
    pub(crate) stderr: Option<StderrMode>,
    pub(crate) no_motd: bool,
    pub(crate) stats: bool,
    pub(crate) human_readable: HumanReadable,
    pub(crate) progress: bool,
    pub(crate) out_format: Option<Vec<u8>>,
    pub(crate) itemize: u32,
    pub(crate) log_file: Option<Vec<u8>>,
    pub(crate) log_file_format: Option<Vec<u8>>,
    pub(crate) eight_bit: bool,
    pub(crate) outbuf: Option<Vec<u8>>,

    pub(crate) dry_run: bool,
    pub(crate) list_only: bool,
    pub(crate) recurse: Recurse,
    pub(crate) no_inc_recursive: bool,
    pub(crate) qsort: bool,
    pub(crate) dirs: Option<Dirs>,
    pub(crate) relative: Option<bool>,
    pub(crate) no_implied_dirs: bool,
    pub(crate) one_file_system: u32,
    pub(crate) prune_empty_dirs: bool,
    pub(crate) mkpath: bool,

    pub(crate) perms: bool,
    pub(crate) executability: bool,
    pub(crate) acls: bool,
    pub(crate) xattrs: u32,
    pub(crate) times: bool,
    pub(crate) atimes: u32,
    pub(crate) open_noatime: bool,
    pub(crate) omit_dir_times: bool,
    pub(crate) omit_link_times: bool,
    pub(crate) super_user: Super,
    pub(crate) owner: bool,
    pub(crate) group: bool,
    pub(crate) devices: bool,
    pub(crate) specials: bool,
    pub(crate) copy_devices: bool,
    pub(crate) write_devices: bool,
    pub(crate) drop_devices: bool,
    pub(crate) numeric_ids: bool,
    pub(crate) usermap: Option<(Vec<u8>, MapSource)>,
    pub(crate) groupmap: Option<(Vec<u8>, MapSource)>,
    pub(crate) chmod: Option<Vec<u8>>,
    pub(crate) copy_as: Option<Vec<u8>>,

    pub(crate) links: bool,
    pub(crate) copy_links: bool,
    pub(crate) copy_unsafe_links: bool,
    pub(crate) safe_links: bool,
    pub(crate) insecure_links: bool,
    pub(crate) confine_root: Option<Vec<u8>>,
    pub(crate) munge_links: bool,
    pub(crate) copy_dirlinks: bool,
    pub(crate) keep_dirlinks: bool,
    pub(crate) hard_links: u32,

    pub(crate) ignore_times: bool,
    pub(crate) size_only: bool,
    pub(crate) modify_window: Option<i32>,
    pub(crate) update: bool,
    pub(crate) existing: bool,
    pub(crate) ignore_existing: bool,
    pub(crate) max_size: Option<u64>,
    pub(crate) min_size: Option<u64>,
    pub(crate) max_alloc: Option<Vec<u8>>,
    pub(crate) checksum: bool,
    pub(crate) checksum_choice: Option<Vec<u8>>,
    pub(crate) checksum_seed: i32,
    pub(crate) block_size: u32,

    pub(crate) delete: bool,
    pub(crate) delete_before: bool,
    pub(crate) delete_during: Option<During>,
    pub(crate) delete_after: bool,
    pub(crate) delete_excluded: bool,
    pub(crate) delete_missing_args: bool,
    pub(crate) ignore_missing_args: bool,
    pub(crate) remove_source: Option<RemoveSource>,
    pub(crate) force: bool,
    pub(crate) ignore_errors: bool,
    pub(crate) max_delete: Option<i32>,

    pub(crate) sparse: bool,
    pub(crate) preallocate: bool,
    pub(crate) inplace: bool,
    pub(crate) append: Append,
    pub(crate) whole_file: Option<bool>,
    pub(crate) partial: bool,
    pub(crate) partial_dir: Option<Vec<u8>>,
    pub(crate) delay_updates: bool,
    pub(crate) temp_dir: Option<Vec<u8>>,
    pub(crate) fsync: bool,
    pub(crate) backup: bool,
    pub(crate) backup_dir: Option<Vec<u8>>,
    pub(crate) suffix: Option<Vec<u8>>,
    pub(crate) fuzzy: u32,
    pub(crate) alt_dest: Option<(AltDestKind, Vec<Vec<u8>>)>,

    pub(crate) compress: u32,
    pub(crate) compress_choice: Option<Vec<u8>>,
    pub(crate) compress_level: Option<i32>,
    pub(crate) skip_compress: Option<Vec<u8>>,

    pub(crate) filters: Vec<FilterArg>,
    pub(crate) filter_short: u32,
    pub(crate) cvs_exclude: bool,
    pub(crate) files_from: Option<Vec<u8>>,
    pub(crate) from0: bool,

    pub(crate) read_batch: Option<Vec<u8>>,
    pub(crate) write_batch: Option<Vec<u8>>,
    pub(crate) only_write_batch: Option<Vec<u8>>,

    pub(crate) old_args: Option<u32>,
    pub(crate) secluded_args: Option<bool>,
    pub(crate) trust_sender: bool,
    pub(crate) remote_options: Vec<Vec<u8>>,

    pub(crate) timeout: i32,
    pub(crate) contimeout: i32,
    pub(crate) bwlimit: Option<u64>,
    pub(crate) stop_at: Option<i64>,

    pub(crate) rsh: Option<Vec<u8>>,
    pub(crate) rsync_path: Option<Vec<u8>>,
    pub(crate) ip_version: Option<u8>,
    pub(crate) iconv: Option<Vec<u8>>,
    pub(crate) protocol: Option<i32>,
    pub(crate) address: Option<Vec<u8>>,
    pub(crate) port: i32,
    pub(crate) sockopts: Option<Vec<u8>>,
    pub(crate) password_file: Option<Vec<u8>>,
    pub(crate) early_input: Option<Vec<u8>>,

    pub(crate) operands: Vec<OsString>,
}

impl Cli {
    /// Data goes into the files that stand, not into new ones that take their places.
    pub(crate) fn writes_in_place(&self) -> bool {
        self.inplace || self.append != Append::Off || self.write_devices
    }
}

/// Level of `--human-readable`: 1 unless something was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HumanReadable(pub(crate) u8);

impl Default for HumanReadable {
    fn default() -> Self {
        Self(1)
    }
}

/// `--delete-during` or `--delete-delay`, whichever came last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum During {
    /// `--delete-during`
    During,
    /// `--delete-delay`
    Delay,
}

/// Which option gave an owner map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MapSource {
    /// `--usermap`, `--groupmap`
    Map,
    /// `--chown`
    Chown,
}

/// Options of `--daemon`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "named after what is typed or shown")]
pub(crate) struct DaemonCli {
    pub(crate) server: bool,
    pub(crate) config: Option<Vec<u8>>,
    pub(crate) dparams: Vec<Vec<u8>>,
    pub(crate) no_detach: bool,
    pub(crate) address: Option<Vec<u8>>,
    pub(crate) port: i32,
    pub(crate) bwlimit: i32,
    pub(crate) ip_version: Option<u8>,
    pub(crate) log_file: Option<Vec<u8>>,
    pub(crate) log_file_format: Option<Vec<u8>>,
    pub(crate) sockopts: Option<Vec<u8>>,
    pub(crate) protocol: Option<i32>,
    pub(crate) temp_dir: Option<Vec<u8>>,
    pub(crate) verbose: u32,
}

/// A parsed vector.
#[derive(Debug)]
pub(crate) enum Line {
    /// A client or a server.
    Run(Box<Cli>),
    /// `--daemon`.
    Daemon,
}
