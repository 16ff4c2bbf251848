//! What the peer asks for: the argument vector of `rsync --server`.

use heapless::Vec;

use super::{Bound, PATH_MAX};
use crate::{checksum::ChecksumKind, setup::Capabilities};

/// Longest argument that is looked at, bytes.
pub(super) const ARG_MAX: usize = 256;

/// Long options that change nothing here: they are the other side's, or about speed and looks.
const IGNORED: [&[u8]; 28] = [
    b"--bwlimit",
    b"--compress-level",
    b"--fsync",
    b"--groupmap",
    b"--ignore-errors",
    b"--info",
    b"--log-format",
    b"--max-alloc",
    b"--mkpath",
    b"--modify-window",
    b"--msgs2stderr",
    b"--no-W",
    b"--no-implied-dirs",
    b"--no-msgs2stderr",
    b"--no-r",
    b"--no-relative",
    b"--open-noatime",
    b"--partial",
    b"--preallocate",
    b"--qsort",
    b"--safe-links",
    b"--copy-unsafe-links",
    b"--server",
    b"--skip-compress",
    b"--stats",
    b"--super",
    b"--timeout",
    b"--usermap",
];

/// Why an argument vector cannot be served.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CommandFault {
    /// An option that a tiny peer does not know; its beginning.
    Option(Vec<u8, 32>),
    /// An argument or path is longer than what is provided for.
    Full(Bound),
    /// It writes to a module that is only read.
    ReadOnly,
    /// It is no `rsync --server` at all.
    NotServer,
}

/// The parsed argument vector.
///
/// Feed it the arguments behind the program name, one by one.
#[derive(Debug, Clone)]
pub struct Command {
    /// This side sends.
    pub sender: bool,
    /// Letters of `-e`.
    pub capabilities: Capabilities,
    /// The seed that the client wants; 0: any.
    pub seed: i32,
    /// `--checksum-choice`
    pub checksum: Option<(Option<ChecksumKind>, Option<ChecksumKind>)>,
    /// `-z`: names of compressors are to be negotiated.
    pub compress: bool,
    /// The first paths behind the `.`, each ended by a NUL.
    pub paths: Vec<u8, PATH_MAX>,
    /// Another argument vector follows on the stream (`-s`).
    pub secluded: bool,
    pub(super) server: bool,
    pub(super) links: bool,
    pub(super) owner: bool,
    pub(super) group: bool,
    pub(super) devices: bool,
    pub(super) specials: bool,
    pub(super) times: bool,
    pub(super) perms: bool,
    pub(super) atimes: bool,
    pub(super) hard_links: bool,
    pub(super) recursive: bool,
    pub(super) dirs: bool,
    pub(super) checksums: bool,
    pub(super) ignore_times: bool,
    pub(super) size_only: bool,
    pub(super) update: bool,
    pub(super) whole_file: bool,
    pub(super) dry_run: bool,
    pub(super) numeric_ids: bool,
    pub(super) in_place: bool,
    pub(super) existing: bool,
    pub(super) ignore_existing: bool,
    pub(super) omit_dir_times: bool,
    operands: bool,
    dot_seen: bool,
    /// The next argument is the value of an option that is not used.
    skip: bool,
    fault: Option<CommandFault>,
}

impl Command {
    /// Nothing asked for yet.
    pub const fn new() -> Self {
        Self {
            sender: false,
            capabilities: Capabilities::empty(),
            seed: 0,
            checksum: None,
            compress: false,
            paths: Vec::new(),
            secluded: false,
            server: false,
            links: false,
            owner: false,
            group: false,
            devices: false,
            specials: false,
            times: false,
            perms: false,
            atimes: false,
            hard_links: false,
            recursive: false,
            dirs: false,
            checksums: false,
            ignore_times: false,
            size_only: false,
            update: false,
            whole_file: false,
            dry_run: false,
            numeric_ids: false,
            in_place: false,
            existing: false,
            ignore_existing: false,
            omit_dir_times: false,
            operands: false,
            dot_seen: false,
            skip: false,
            fault: None,
        }
    }

    /// The command of a list of arguments.
    pub fn parse<'a>(args: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut command = Self::new();
        for arg in args {
            command.push(arg);
        }
        command
    }

    /// The next argument. Faults are remembered, since the peer is told of them when it can listen.
    pub fn push(&mut self, arg: &[u8]) {
        if core::mem::take(&mut self.skip) {
            return;
        }
        if self.operands || !arg.starts_with(b"-") {
            self.operand(arg);
        } else if arg.starts_with(b"--") {
            self.long(arg);
        } else {
            self.short(arg.get(1..).unwrap_or_default());
        }
    }

    /// What stands in the way of serving this command.
    pub fn fault(&self) -> Option<CommandFault> {
        if self.server { self.fault.clone() } else { Some(CommandFault::NotServer) }
    }

    /// The paths, without leading slashes.
    pub fn paths(&self) -> impl Iterator<Item = &[u8]> {
        let paths = self.paths.strip_suffix(b"\0").unwrap_or_default();
        let any = !self.paths.is_empty();
        paths.split(|&b| b == 0).filter(move |_| any).map(|path| {
            let slashes = path.iter().take_while(|&&b| b == b'/').count();
            path.get(slashes..).unwrap_or_default()
        })
    }

    /// The paths of a list that another one takes the place of (`-s` to a daemon) are none.
    pub(super) fn forget_paths(&mut self) {
        self.paths.clear();
        (self.operands, self.dot_seen) = (false, false);
    }

    /// Paths of a daemon begin with the name of the module; behind this they lie below its root.
    pub(super) fn strip_module(&mut self, module: &[u8]) {
        let all = core::mem::take(&mut self.paths);
        for path in all.split_inclusive(|&b| b == 0) {
            // What is left is never longer than what was there.
            let _ = self.paths.extend_from_slice(path.strip_prefix(module).unwrap_or(path));
        }
    }

    pub(super) fn forbid_writing(&mut self) {
        self.fault.get_or_insert(CommandFault::ReadOnly);
    }

    fn refuse(&mut self, option: &[u8]) {
        let mut text = Vec::new();
        let _ = text.extend_from_slice(option.get(..option.len().min(32)).unwrap_or_default());
        self.fault.get_or_insert(CommandFault::Option(text));
    }

    pub(super) fn full(&mut self, bound: Bound) {
        self.fault.get_or_insert(CommandFault::Full(bound));
    }

    fn operand(&mut self, arg: &[u8]) {
        self.operands = true;
        if !self.dot_seen {
            self.dot_seen = true;
            return;
        }
        if self
            .paths
            .extend_from_slice(arg)
            .and_then(|()| self.paths.push(0).map_err(|_| Default::default()))
            .is_err()
        {
            self.full(Bound::Path);
        }
    }

    fn short(&mut self, letters: &[u8]) {
        for (i, &letter) in letters.iter().enumerate() {
            let rest = letters.get(i + 1..).unwrap_or_default();
            match letter {
                b'e' => {
                    self.capabilities = Capabilities::parse(rest);
                    return;
                }
                // The value follows at once: a block size and a time window, which are the generator's own.
                b'B' | b'@' => return,
                b's' => self.secluded = true,
                b'l' => self.links = true,
                b'o' => self.owner = true,
                b'g' => self.group = true,
                b'D' => (self.devices, self.specials) = (true, true),
                b't' => self.times = true,
                b'p' => self.perms = true,
                b'U' => self.atimes = true,
                b'H' => self.hard_links = true,
                b'r' => self.recursive = true,
                b'd' => self.dirs = true,
                b'c' => self.checksums = true,
                b'I' => self.ignore_times = true,
                b'u' => self.update = true,
                b'W' => self.whole_file = true,
                b'n' => self.dry_run = true,
                b'O' => self.omit_dir_times = true,
                b'z' => self.compress = true,
                // Verbosity, links to directories, sparse files, one file system: nothing of it exists here.
                b'v' | b'q' | b'L' | b'k' | b'K' | b'J' | b'y' | b'E' | b'x' | b'S' => {}
                other => self.refuse(&[b'-', other]),
            }
        }
    }

    fn long(&mut self, arg: &[u8]) {
        let (name, value) = match arg.iter().position(|&b| b == b'=') {
            Some(i) => (arg.get(..i).unwrap_or_default(), arg.get(i + 1..)),
            None => (arg, None),
        };
        match name {
            b"--server" => self.server = true,
            b"--sender" => self.sender = true,
            b"--specials" => self.specials = true,
            b"--no-specials" => self.specials = false,
            b"--size-only" => self.size_only = true,
            b"--numeric-ids" => self.numeric_ids = true,
            b"--inplace" => self.in_place = true,
            b"--existing" => self.existing = true,
            b"--ignore-existing" => self.ignore_existing = true,
            b"--list-only" => self.dirs = true,
            b"--partial-dir" | b"--temp-dir" => self.skip = value.is_none(),
            b"--checksum-seed" => match value.and_then(number) {
                Some(seed) => self.seed = seed,
                None => self.refuse(arg),
            },
            b"--checksum-choice" => match value.and_then(checksums) {
                Some(choice) => self.checksum = Some(choice),
                None => self.refuse(arg),
            },
            b"--compress-choice" | b"--old-compress" | b"--new-compress" => {
                // Nothing is negotiated then.
                self.compress = false;
                if value != Some(b"none") {
                    self.refuse(arg);
                }
            }
            _ if IGNORED.contains(&name) => {}
            _ => self.refuse(arg),
        }
    }
}

impl Default for Command {
    fn default() -> Self {
        Self::new()
    }
}

fn number(text: &[u8]) -> Option<i32> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// `A` or `A,B`; `auto` is the default of the protocol.
#[allow(clippy::type_complexity, reason = "a pair of choices")]
fn checksums(text: &[u8]) -> Option<(Option<ChecksumKind>, Option<ChecksumKind>)> {
    let one = |name: &[u8]| {
        if name == b"auto" { Some(None) } else { ChecksumKind::from_name(name).map(Some) }
    };
    let (first, second) = match text.iter().position(|&b| b == b',') {
        Some(i) => (text.get(..i)?, text.get(i + 1..)?),
        None => (text, text),
    };
    Some((one(first)?, one(second)?))
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;

    fn command(args: &[&str]) -> Command {
        Command::parse(args.iter().map(|a| a.as_bytes()))
    }

    #[test]
    fn a_pull_as_observed() {
        let c = command(&["--server", "--sender", "-logDtpre.iLsfxCIvu", ".", "/log/", "/etc//x"]);
        assert_eq!(c.fault(), None);
        assert!(c.sender && c.recursive && c.links && c.owner && c.group && c.devices && c.times && c.perms);
        assert!(!c.hard_links && c.capabilities.contains(Capabilities::VARINT_FLIST_FLAGS));
        assert_eq!(c.paths().collect::<alloc::vec::Vec<_>>(), [&b"log/"[..], b"etc//x"]);
        assert_eq!(command(&["--server", "-e.", "."]).paths().count(), 0);
    }

    #[test]
    fn what_cannot_be_done_is_named() {
        let fault = |args: &[&str]| command(args).fault();
        assert_eq!(fault(&["-a", "src", "dst"]), Some(CommandFault::NotServer));
        for option in ["--delete-during", "--append", "--files-from=-", "--backup-dir", "--nonsense"] {
            let name = Vec::from_slice(option.as_bytes()).unwrap();
            assert_eq!(
                fault(&["--server", "-re.", option, ".", "x"]),
                Some(CommandFault::Option(name)),
                "{option}"
            );
        }
        for letter in ["A", "X", "R", "b", "m", "C", "N"] {
            let args = ["--server", &alloc::format!("-{letter}re."), ".", "x"];
            assert!(matches!(fault(&args), Some(CommandFault::Option(_))), "{letter}");
        }
        let long = "x".repeat(PATH_MAX);
        assert_eq!(fault(&["--server", "-re.", ".", &long]), Some(CommandFault::Full(Bound::Path)));
    }

    #[test]
    fn values_are_taken() {
        let c = command(&[
            "--server",
            "-te.LsC",
            "--checksum-seed=-5",
            "--checksum-choice=md5,auto",
            "--partial-dir",
            ".",
            ".",
        ]);
        assert_eq!((c.fault(), c.seed), (None, -5));
        assert_eq!(c.checksum, Some((Some(ChecksumKind::Md5), None)));
        assert!(matches!(
            command(&["--server", "--checksum-choice=foo", "."]).fault(),
            Some(CommandFault::Option(_))
        ));
    }
}
