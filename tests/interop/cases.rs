//! The option sets of the matrix.

use std::ops::RangeInclusive;

/// Where a case makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// With every connection.
    Everywhere,
    /// Only over a connection: it is about the wire.
    Wire,
}

/// One option set, and what it is applied to.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) options: &'static [&'static str],
    /// Source arguments below the directory of the trees.
    pub(crate) sources: &'static [&'static str],
    /// The destination holds an older state; otherwise it does not exist.
    pub(crate) onto: bool,
    /// Versions that know it.
    pub(crate) protocols: RangeInclusive<u8>,
    pub(crate) scope: Scope,
    /// Run with every protocol version; other cases with the newest only and with the oldest.
    pub(crate) every: bool,
}

const TREE: &[&str] = &["src/"];

const fn case(options: &'static [&'static str], onto: bool, every: bool) -> Case {
    Case { options, sources: TREE, onto, protocols: 27..=32, scope: Scope::Everywhere, every }
}

/// Into a destination that does not exist.
const fn fresh(options: &'static [&'static str]) -> Case {
    case(options, false, false)
}

/// Onto an older state.
const fn onto(options: &'static [&'static str]) -> Case {
    case(options, true, false)
}

const fn every(case: Case) -> Case {
    Case { every: true, ..case }
}

const fn wire(case: Case) -> Case {
    Case { scope: Scope::Wire, ..case }
}

const fn from(first: u8, case: Case) -> Case {
    Case { protocols: first..=32, ..case }
}

const fn of(sources: &'static [&'static str], case: Case) -> Case {
    Case { sources, ..case }
}

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = vec![
        // Attributes.
        every(fresh(&["-a"])),
        every(onto(&["-a"])),
        every(fresh(&["-aH"])),
        every(onto(&["-aH"])),
        fresh(&["-rlt"]),
        every(onto(&["-rlt"])),
        fresh(&["-r"]),
        fresh(&["-rlptD"]),
        fresh(&["-rlE"]),
        onto(&["-rlpgo"]),
        onto(&["-aO"]),
        onto(&["-aJ"]),
        every(fresh(&["-a", "--numeric-ids"])),
        fresh(&["-a", "--no-specials"]),
        fresh(&["-a", "--no-devices"]),
        fresh(&["-a", "--chown=1:2"]),
        fresh(&["-a", "--usermap=0:5,*:9", "--groupmap=0-200:4"]),
        fresh(&["-a", "--chmod=Dg+s,ug+w,Fo-w,+X"]),
        onto(&["-rlt", "--chmod=D2750,F640"]),
        // What is transferred.
        every(onto(&["-ac"])),
        onto(&["-rlc"]),
        every(onto(&["-aI", "--no-whole-file"])),
        onto(&["-aI", "-W"]),
        onto(&["-a", "--size-only"]),
        onto(&["-a", "--modify-window=1"]),
        onto(&["-a", "--modify-window=-1"]),
        every(onto(&["-au"])),
        onto(&["-a", "--existing"]),
        // Stock rsync writes through a symlink that stands in place of a directory; arsync does not.
        onto(&["-a", "--ignore-existing", "--exclude=/state/was-dirlink"]),
        onto(&["-a", "--existing", "--ignore-existing", "--delete", "--exclude=/state/was-*"]),
        fresh(&["-a", "--max-size=4096"]),
        fresh(&["-a", "--min-size=700", "--max-size=100K"]),
        // Deletion.
        every(onto(&["-a", "--delete"])),
        every(onto(&["-a", "--delete-before"])),
        every(onto(&["-a", "--delete-during"])),
        every(onto(&["-a", "--delete-delay"])),
        every(onto(&["-a", "--delete-after"])),
        onto(&["-a", "--delete-excluded", "--exclude=*.o"]),
        onto(&["-a", "--delete", "--exclude=*.o"]),
        onto(&["-a", "--delete", "--max-delete=2"]),
        onto(&["-a", "--delete", "--force"]),
        onto(&["-a", "--force"]),
        onto(&["-a", "--delete", "-b"]),
        onto(&["-a", "--delete", "-n"]),
        // How data is written.
        every(onto(&["-a", "--inplace", "--no-whole-file"])),
        onto(&["-aI", "--inplace", "--no-whole-file", "-S"]),
        every(fresh(&["-aS"])),
        onto(&["-aIS", "--no-whole-file"]),
        every(onto(&["-a", "--append"])),
        onto(&["-a", "--append-verify"]),
        onto(&["-a", "--append-verify", "--no-i"]),
        every(onto(&["-a", "--partial"])),
        onto(&["-a", "--partial-dir=.partial", "--no-whole-file"]),
        onto(&["-a", "--temp-dir=/tmp"]),
        fresh(&["-a", "--preallocate"]),
        fresh(&["-a", "--fsync", "--max-size=1000"]),
        every(onto(&["-ab"])),
        onto(&["-ab", "--suffix=.old", "--no-whole-file"]),
        onto(&["-ab", "--backup-dir=../bak", "--delete"]),
        onto(&["-aI", "--no-whole-file", "--block-size=512"]),
        onto(&["-aI", "--no-whole-file", "--block-size=131072"]),
        // Symlinks and directories.
        fresh(&["-rLt", "--exclude=/links", "--exclude=/special", "--exclude=/hard*/fifo"]),
        fresh(&["-a", "--safe-links"]),
        fresh(&[
            "-a",
            "--copy-unsafe-links",
            "--exclude=/links/outside",
            "--exclude=/links/raw",
            "--exclude=/links/absolute",
        ]),
        fresh(&["-ak", "--exclude=/links/directory/*"]),
        onto(&["-aK"]),
        onto(&["-dlptgoD"]),
        fresh(&["-am", "--include=*/", "--include=*.h", "--exclude=*"]),
        fresh(&["-ax"]),
        // Filters.
        onto(&["-a", "--exclude=*.o", "--include=keep*", "--exclude=/text/", "--delete"]),
        onto(&["-aF", "--delete"]),
        from(29, onto(&["-aFF", "--delete"])),
        onto(&["-aC", "--delete"]),
        from(29, onto(&["-a", "--filter=H *.o", "--filter=P extra*", "--delete"])),
        fresh(&["-a", "--filter=merge ../rules"]),
        fresh(&["-a", "--exclude-from=rules"]),
        fresh(&["-a", "--include=/deep/***", "--include=/text/", "--include=/text/prose*", "--exclude=*"]),
        // Names.
        every(of(&["src/./deep/level0", "src/./text/prose"], fresh(&["-aR"]))),
        from(30, of(&["src/./deep/level0/level1/file"], fresh(&["-aR", "--no-implied-dirs"]))),
        of(&["src/./deep", "src/./text/", "src/./state/same"], onto(&["-aR", "--delete"])),
        every(of(&["src/text", "src/names/", "src/sizes/0000700"], fresh(&["-a"]))),
        of(&["src/text/prose"], fresh(&["-a"])),
        of(&["src/state/edited"], onto(&["-a", "--no-whole-file"])),
        of(&["src"], fresh(&["-a"])),
        of(&["src/text/", "src/text/"], fresh(&["-a"])),
        of(&["src/names/-dash", "src/names/with space"], fresh(&["-a"])),
        of(&["src/nothing", "src/text"], fresh(&["-a"])),
        of(&["src/text/prose"], fresh(&["-a", "--mkpath"])),
        // The wire.
        every(wire(onto(&["-az"]))),
        wire(onto(&["-az", "--no-whole-file", "-I"])),
        wire(onto(&["-az", "--compress-level=9"])),
        wire(onto(&["-azz"])),
        wire(onto(&["-az", "--skip-compress=gz/h"])),
        wire(onto(&["-as"])),
        wire(onto(&["-a", "--no-inc-recursive"])),
        wire(onto(&["-a", "--no-inc-recursive", "--delete"])),
        every(wire(onto(&["-a", "--checksum-seed=1234", "--no-whole-file"]))),
        from(30, onto(&["-aI", "--checksum-choice=none"])),
        wire(fresh(&["-a", "--stats"])),
        wire(onto(&["-a", "--timeout=60"])),
    ];
    for choice in [
        "--compress-choice=zlib",
        "--compress-choice=zlibx",
        "--compress-choice=lz4",
        "--compress-choice=zstd",
        "--compress-choice=none",
    ] {
        let options: &'static [&'static str] = Box::leak(Box::new(["-azI", "--no-whole-file", choice]));
        cases.push(wire(from(30, onto(options))));
    }
    for choice in ["md4", "md5", "sha1", "xxh64", "xxh3", "xxh128", "md5,xxh64", "auto"] {
        let choice: &'static str = Box::leak(format!("--checksum-choice={choice}").into_boxed_str());
        let options: &'static [&'static str] = Box::leak(Box::new(["-ac", "--no-whole-file", choice]));
        cases.push(from(30, onto(options)));
    }
    cases
}
