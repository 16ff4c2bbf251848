//! The texts of `--help` and `--version`.

use arsync_core::{
    checksum::ChecksumKind, setup::daemon::AuthDigest, token::CompressKind, version::ProtocolVersion,
};

/// Version of the reference that the command line and the output follow.
pub(crate) const COMPATIBLE_VERSION: &str = "3.5.0";

const COPYRIGHT: &str = "(C) 2026 by the arsync authors.";
const URL: &str = "https://example.invalid/arsync";
const LICENSE: &str = "MIT OR Apache-2.0";
const CAVEAT: &str = "arsync comes with ABSOLUTELY NO WARRANTY";

/// Names of algorithms, the client's preference first.
struct Algorithms {
    checksums: Vec<&'static str>,
    compressors: Vec<&'static str>,
    auth_digests: Vec<&'static str>,
}

impl Algorithms {
    fn known() -> Self {
        Self {
            checksums: ChecksumKind::CANONICAL.map(ChecksumKind::name).into(),
            compressors: CompressKind::CANONICAL.iter().map(|kind| kind.name()).collect(),
            auth_digests: AuthDigest::CANONICAL.map(AuthDigest::name).into(),
        }
    }
}

/// The lines of options: syntax and what it does.
const LINES: &[(&str, &str)] = &[
    ("--verbose, -v", "tell more; may be repeated"),
    ("--info=FLAGS", "choose what is told, word by word"),
    ("--debug=FLAGS", "choose what is told about the works inside"),
    ("--stderr=e|a|c", "where remote messages go (default: errors)"),
    ("--quiet, -q", "tell errors only"),
    ("--no-motd", "hide the daemon's message of the day"),
    ("--checksum, -c", "compare contents by checksum, not by time and size"),
    ("--archive, -a", "same as -rlptgoD (leaves out -A,-X,-U,-N,-H)"),
    ("--no-OPTION", "undo an OPTION that is implied (e.g. --no-D)"),
    ("--recursive, -r", "descend into directories"),
    ("--inc-recursive, --i-r", "allow recursion in steps"),
    ("--no-inc-recursive", "read the whole tree before the first transfer"),
    ("--no-i-r", "same as --no-inc-recursive"),
    ("--relative, -R", "keep the source path as it was typed"),
    ("--no-implied-dirs", "with --relative leave parent directories alone"),
    ("--backup, -b", "keep what is replaced or deleted"),
    ("--backup-dir=DIR", "keep it below DIR"),
    ("--suffix=SUFFIX", "ending of backups (default ~ w/o --backup-dir)"),
    ("--update, -u", "leave files alone that are newer on the receiver"),
    ("--inplace", "write into destination files directly"),
    ("--append", "only append to shorter files"),
    ("--append-verify", "same, and verify the old part as well"),
    ("--dirs, -d", "transfer directories without their contents"),
    ("--old-dirs", "same, for servers that do not know --dirs"),
    ("--old-d", "same as --old-dirs"),
    ("--mkpath", "make missing directories of the destination path"),
    ("--links, -l", "copy symlinks as symlinks"),
    ("--copy-links, -L", "copy what symlinks point to"),
    ("--copy-unsafe-links", "do so where they point out of the tree"),
    ("--safe-links", "ignore symlinks that point out of the tree"),
    ("--insecure-links", "follow symlinks of others in paths given here"),
    ("--confine-root=DIR", "refuse paths given here that lead out of DIR"),
    ("--munge-links", "store symlinks in a form that cannot be followed"),
    ("--copy-dirlinks, -k", "take a symlink to a directory for the directory"),
    ("--keep-dirlinks, -K", "do the same on the receiver"),
    ("--hard-links, -H", "keep hard links among the files"),
    ("--perms, -p", "keep permissions"),
    ("--executability, -E", "keep whether a file can be executed"),
    ("--chmod=CHMOD", "edit permissions on the way"),
    ("--acls, -A", "keep ACLs (implies --perms)"),
    ("--xattrs, -X", "keep extended attributes"),
    ("--owner, -o", "keep the owner (needs root)"),
    ("--group, -g", "keep the group"),
    ("--devices", "keep devices (needs root)"),
    ("--copy-devices", "copy the contents of devices"),
    ("--write-devices", "write into devices (implies --inplace)"),
    ("--specials", "keep fifos and sockets"),
    ("--drop-D", "never create devices, fifos, sockets"),
    ("-D", "same as --devices --specials"),
    ("--times, -t", "keep modification times"),
    ("--atimes, -U", "keep access times"),
    ("--open-noatime", "read files without changing their access times"),
    ("--crtimes, -N", "keep creation times"),
    ("--omit-dir-times, -O", "leave out directories from --times"),
    ("--omit-link-times, -J", "leave out symlinks from --times"),
    ("--super", "let the receiver try what needs root"),
    ("--fake-super", "store what needs root in extended attributes"),
    ("--sparse, -S", "write runs of zeros as holes"),
    ("--preallocate", "reserve space before writing"),
    ("--dry-run, -n", "only show what would be done"),
    ("--whole-file, -W", "send whole files, without looking for differences"),
    ("--no-whole-file, --no-W", "always look for differences"),
    ("--checksum-choice=STR", "choose the checksums (also --cc)"),
    ("--one-file-system, -x", "stay on the file system of each source"),
    ("--block-size=SIZE, -B", "set the size of compared blocks"),
    ("--rsh=COMMAND, -e", "remote shell to use"),
    ("--rsync-path=PROGRAM", "program to run on the other side"),
    ("--existing", "create nothing that is missing on the receiver"),
    ("--ignore-non-existing", "same as --existing"),
    ("--ignore-existing", "update nothing that is there already"),
    ("--remove-source-files", "delete source files that arrived"),
    ("--del", "same as --delete-during"),
    ("--delete", "delete what the sender does not have"),
    ("--delete-before", "delete before the transfer"),
    ("--delete-during", "delete directory by directory"),
    ("--delete-delay", "find what to delete during, delete after"),
    ("--delete-after", "delete after the transfer"),
    ("--delete-excluded", "delete what filters exclude, too"),
    ("--ignore-missing-args", "missing source arguments are no error"),
    ("--delete-missing-args", "delete missing source arguments on the receiver"),
    ("--ignore-errors", "delete in spite of I/O errors"),
    ("--force", "delete directories that a file is to replace"),
    ("--max-delete=NUM", "delete at most NUM items"),
    ("--max-size=SIZE", "leave out files larger than SIZE"),
    ("--min-size=SIZE", "leave out files smaller than SIZE"),
    ("--max-alloc=SIZE", "limit of a single allocation of memory"),
    ("--partial", "keep files that arrived in part"),
    ("--partial-dir=DIR", "keep them in DIR"),
    ("--delay-updates", "put all files in place at the end"),
    ("--prune-empty-dirs, -m", "leave out directories without files"),
    ("--numeric-ids", "do not map owners and groups by name"),
    ("--usermap=STRING", "map owners"),
    ("--groupmap=STRING", "map groups"),
    ("--chown=USER:GROUP", "give everything to USER and GROUP"),
    ("--timeout=SECONDS", "give up after SECONDS without traffic"),
    ("--contimeout=SECONDS", "give up connecting to a daemon after SECONDS"),
    ("--ignore-times, -I", "do not skip files of equal time and size"),
    ("--size-only", "skip files of equal size"),
    ("--modify-window=NUM, -@", "tolerance when times are compared"),
    ("--temp-dir=DIR, -T", "make temporary files in DIR"),
    ("--fuzzy, -y", "use a similar file where there is none to update"),
    ("--compare-dest=DIR", "leave out files that DIR has already"),
    ("--copy-dest=DIR", "copy files that DIR has already from there"),
    ("--link-dest=DIR", "link files that DIR has already to those"),
    ("--compress, -z", "compress data on the way"),
    ("--compress-choice=STR", "choose the compressor (also --zc)"),
    ("--compress-level=NUM", "set its level (also --zl)"),
    ("--compress-threads=NUM", "set its number of threads (also --zt)"),
    ("--skip-compress=LIST", "do not compress files with these suffixes"),
    ("--cvs-exclude, -C", "leave out what version control makes"),
    ("--filter=RULE, -f", "add a filter rule"),
    ("-F", "same as --filter='dir-merge /.rsync-filter'"),
    ("", "repeated: --filter='- .rsync-filter'"),
    ("--exclude=PATTERN", "leave out what matches PATTERN"),
    ("--exclude-from=FILE", "read such patterns from FILE"),
    ("--include=PATTERN", "take what matches PATTERN"),
    ("--include-from=FILE", "read such patterns from FILE"),
    ("--files-from=FILE", "read the names to transfer from FILE"),
    ("--from0, -0", "lists of names and patterns end with NUL"),
    ("--old-args", "do not protect arguments from the remote shell"),
    ("--secluded-args, -s", "send arguments inside the protocol"),
    ("--trust-sender", "do not check the sender's file list"),
    ("--copy-as=USER[:GROUP]", "copy as USER and GROUP"),
    ("--address=ADDRESS", "local address of connections to daemons"),
    ("--port=PORT", "port of daemons"),
    ("--sockopts=OPTIONS", "options of sockets"),
    ("--blocking-io", "use blocking I/O for the remote shell"),
    ("--outbuf=N|L|B", "buffer output not, by lines, by blocks"),
    ("--stats", "show statistics at the end"),
    ("--8-bit-output, -8", "show bytes above 127 as they are"),
    ("--human-readable, -h", "show numbers with units"),
    ("--progress", "show progress"),
    ("-P", "same as --partial --progress"),
    ("--itemize-changes, -i", "show what changes, item by item"),
    ("--remote-option=OPT, -M", "give OPT to the other side only"),
    ("--out-format=FORMAT", "show items in FORMAT"),
    ("--log-file=FILE", "write a log to FILE"),
    ("--log-file-format=FMT", "write items in FMT there"),
    ("--password-file=FILE", "read the password for a daemon from FILE"),
    ("--early-input=FILE", "send FILE to the daemon's early program"),
    ("--list-only", "list the files"),
    ("--bwlimit=RATE", "limit the bandwidth"),
    ("--stop-after=MINS", "stop after MINS minutes"),
    ("--stop-at=y-m-dTh:m", "stop at that time"),
    ("--fsync", "flush every written file to disk"),
    ("--write-batch=FILE", "record the update in FILE"),
    ("--only-write-batch=FILE", "same, without changing the destination"),
    ("--read-batch=FILE", "carry out the update recorded in FILE"),
    ("--protocol=NUM", "speak an older protocol"),
    ("--iconv=CONVERT_SPEC", "convert names between charsets"),
    ("--checksum-seed=NUM", "set the seed of checksums"),
    ("--ipv4, -4", "use IPv4"),
    ("--ipv6, -6", "use IPv6"),
    ("--version, -V", "show version and abilities"),
    ("--help, -h (*)", "show this text (* -h only when alone)"),
];

const DAEMON_LINES: &[(&str, &str)] = &[
    ("--daemon", "serve modules"),
    ("--address=ADDRESS", "address to listen on"),
    ("--bwlimit=RATE", "limit the bandwidth"),
    ("--config=FILE", "configuration file"),
    ("--dparam=OVERRIDE, -M", "override a global parameter"),
    ("--no-detach", "stay in the foreground"),
    ("--port=PORT", "port to listen on"),
    ("--log-file=FILE", "override the parameter \"log file\""),
    ("--log-file-format=FMT", "override the parameter \"log format\""),
    ("--sockopts=OPTIONS", "options of sockets"),
    ("--verbose, -v", "tell more"),
    ("--ipv4, -4", "use IPv4"),
    ("--ipv6, -6", "use IPv6"),
    ("--help, -h", "show this text (with --daemon)"),
];

fn lines(list: &[(&str, &str)]) -> String {
    list.iter().map(|(syntax, text)| format!("{syntax:<24} {text}\n")).collect()
}

/// Name and version as the program presents itself: as the reference where it stands in for it.
fn identity(program: &str) -> (&str, &str) {
    match program {
        "rsync" => ("rsync", COMPATIBLE_VERSION),
        _ => ("arsync", env!("CARGO_PKG_VERSION")),
    }
}

/// Something that this build can or cannot do.
struct Ability {
    name: &'static str,
    key: &'static str,
    has: bool,
}

fn abilities() -> Vec<Ability> {
    [
        ("socketpairs", "socketpairs", true),
        ("symlinks", "symlinks", true),
        ("symtimes", "symtimes", true),
        ("hardlinks", "hardlinks", true),
        ("hardlink-specials", "hardlink_specials", true),
        ("hardlink-symlinks", "hardlink_symlinks", true),
        ("IPv6", "IPv6", true),
        ("atimes", "atimes", true),
        ("batchfiles", "batchfiles", true),
        ("inplace", "inplace", true),
        ("append", "append", true),
        ("ACLs", "ACLs", true),
        ("ACL-at", "ACL_at", true),
        ("xattrs", "xattrs", true),
        ("secluded-args", "secluded_args", true),
        ("iconv", "iconv", true),
        ("prealloc", "prealloc", true),
        ("stop-at", "stop_at", true),
        ("crtimes", "crtimes", false),
    ]
    .map(|(name, key, has)| Ability { name, key, has })
    .into()
}

/// Items of a list, indented by 4 and wrapped before column 79.
fn wrapped(items: &[String], separator: &str) -> String {
    let mut out = String::new();
    let mut line = String::from("   ");
    for (i, item) in items.iter().enumerate() {
        let item = if i + 1 < items.len() { format!("{item}{separator}") } else { item.clone() };
        if line.len() + 1 + item.len() >= 79 {
            out += &line;
            out.push('\n');
            line = String::from("   ");
        }
        line.push(' ');
        line += &item;
    }
    out + &line + "\n"
}

/// The text of `--version`.
pub(crate) fn version(program: &str) -> String {
    let (name, number) = identity(program);
    let mut items: Vec<String> =
        ["64-bit files", "64-bit inums", "64-bit timestamps", "64-bit long ints"].map(String::from).into();
    for ability in abilities() {
        items.push(match (ability.has, ability.name) {
            (true, "secluded-args") => "optional secluded-args".into(),
            (true, name) => name.into(),
            (false, name) => format!("no {name}"),
        });
    }
    let optimizations = ["SIMD-roll", "no asm-roll", "no openssl-crypto", "no asm-MD5"].map(String::from);
    let known = Algorithms::known();
    // The one with another name.
    let checksums = known.checksums.join(" ").replace("xxh64", "xxh64 (xxhash)");
    format!(
        "{name}  version {number}  protocol version {protocol}\n\
         Copyright {COPYRIGHT}\n\
         Web site: {URL}\n\
         Capabilities:\n{capabilities}\
         Optimizations:\n{optimizations}\
         Checksum list:\n    {checksums}\n\
         Compress list:\n    {compressors}\n\
         Daemon auth list:\n    {digests}\n\
         \n\
         arsync comes with ABSOLUTELY NO WARRANTY.  This is free software under the\n\
         terms of the MIT licence or of the Apache licence, version 2.0, whichever\n\
         you choose.\n",
        protocol = ProtocolVersion::MAX.number(),
        capabilities = wrapped(&items, ","),
        optimizations = wrapped(&optimizations, ","),
        compressors = known.compressors.join(" "),
        digests = known.auth_digests.join(" "),
    )
}

/// The text of `-VV`.
pub(crate) fn version_json(program: &str) -> String {
    let (name, number) = identity(program);
    let mut facts: Vec<String> =
        ["file_bits", "inum_bits", "timestamp_bits", "long_int_bits"].map(|k| format!("\"{k}\": 64")).into();
    for ability in abilities() {
        facts.push(match ability.key {
            "secluded_args" => "\"secluded_args\": \"optional\"".into(),
            key => format!("\"{key}\": {}", ability.has),
        });
    }
    let optimizations =
        [("SIMD_roll", true), ("asm_roll", false), ("openssl_crypto", false), ("asm_MD5", false)]
            .map(|(key, has)| format!("\"{key}\": {has}"));
    let known = Algorithms::known();
    let list = |names: &[&str]| {
        let quoted: Vec<String> = names.iter().map(|n| format!("\"{n}\"")).collect();
        wrapped(&quoted, ",")
    };
    format!(
        "{{\n  \"program\": \"{name}\",\n  \"version\": \"{number}\",\n  \"protocol\": \"{protocol}.0\",\n  \
         \"copyright\": \"{COPYRIGHT}\",\n  \"url\": \"{URL}\",\n  \
         \"capabilities\": {{\n{capabilities}  }},\n  \
         \"optimizations\": {{\n{optimizations}  }},\n  \
         \"checksum_list\": [\n{checksums}  ],\n  \
         \"compress_list\": [\n{compressors}  ],\n  \
         \"daemon_auth_list\": [\n{digests}  ],\n  \
         \"license\": \"{LICENSE}\",\n  \"caveat\": \"{CAVEAT}\"\n}}\n",
        protocol = ProtocolVersion::MAX.number(),
        capabilities = wrapped(&facts, ","),
        optimizations = wrapped(&optimizations, ","),
        checksums = list(&known.checksums),
        compressors = list(&known.compressors),
        digests = list(&known.auth_digests),
    )
}

/// The text of `--help`.
pub(crate) fn usage(program: &str) -> String {
    let (name, _) = identity(program);
    format!(
        "{version}\n\
         {name} copies files and trees, on one machine or between two, and sends only\n\
         what differs.\n\
         \n\
         Usage: {name} [OPTION]... SRC [SRC]... DEST\n  \
         or   {name} [OPTION]... SRC [SRC]... [USER@]HOST:DEST\n  \
         or   {name} [OPTION]... SRC [SRC]... [USER@]HOST::DEST\n  \
         or   {name} [OPTION]... SRC [SRC]... rsync://[USER@]HOST[:PORT]/DEST\n  \
         or   {name} [OPTION]... [USER@]HOST:SRC [DEST]\n  \
         or   {name} [OPTION]... [USER@]HOST::SRC [DEST]\n  \
         or   {name} [OPTION]... rsync://[USER@]HOST[:PORT]/SRC [DEST]\n\
         ':' goes through a remote shell. '::' and 'rsync://' go to a daemon; SRC or DEST\n\
         then begins with the name of a module.\n\
         \n\
         Options\n{lines}\n\
         Use \"{name} --daemon --help\" to see the options of daemon mode.\n\
         See {URL} for more.\n",
        version = version(program),
        lines = lines(LINES),
    )
}

/// The text of `--daemon --help`.
pub(crate) fn daemon_usage(program: &str) -> String {
    let (name, _) = identity(program);
    format!(
        "{version}\n\
         Usage: {name} --daemon [OPTION]...\n{lines}\n\
         Without the wish to run a daemon, leave out the options above that only it has.\n\
         See {URL} for more.\n",
        version = version(program),
        lines = lines(DAEMON_LINES),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::options::{OPTIONS, by_name};

    #[test]
    fn every_option_of_the_help_exists() {
        for (syntax, _) in LINES.iter().filter(|(s, _)| *s != "--no-OPTION") {
            for word in syntax.split(", ").filter_map(|w| w.strip_prefix("--")) {
                let name = word.split(['=', ' ', '[']).next().unwrap();
                assert!(by_name(OPTIONS, name.as_bytes()).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn version_has_the_shape_that_scripts_parse() {
        let text = version("rsync");
        assert!(text.starts_with("rsync  version 3.5.0  protocol version 32\nCopyright (C) "));
        assert!(text.contains(
            "\nCapabilities:\n    64-bit files, 64-bit inums, 64-bit timestamps, 64-bit long ints,\n"
        ));
        assert!(text.contains("optional secluded-args"));
        assert!(text.contains("\nChecksum list:\n    xxh128 xxh3 xxh64 (xxhash) md5 md4 sha1 none\n"));
        assert!(text.lines().all(|line| line.len() < 80));
        assert!(version("arsync").starts_with("arsync  version 0.1.0  protocol version 32\n"));
    }

    #[test]
    fn json_has_its_keys() {
        let text = version_json("rsync");
        assert!(text.starts_with(
            "{\n  \"program\": \"rsync\",\n  \"version\": \"3.5.0\",\n  \"protocol\": \"32.0\",\n"
        ));
        assert!(
            text.contains(
                "\"compress_list\": [\n    \"zstd\", \"lz4\", \"zlibx\", \"zlib\", \"none\"\n  ],\n"
            )
        );
        assert!(text.ends_with("\"\n}\n"));
    }
}
