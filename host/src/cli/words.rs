//! The words of `--info` and `--debug` and the levels that result (spec: info, debug and verbosity).

/// Whose output an info word controls; decides what is forwarded to the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum User {
    Receiver,
    Sender,
    Both,
    Client,
    Server,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($word:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, reason = "named after what is typed or shown")]
        pub(crate) enum $name { $($word),+ }

        impl $name {
            /// All words, in the order of the tables of the reference.
            pub(crate) const ALL: &[Self] = &[$(Self::$word),+];

            /// The word as typed, in capitals.
            pub(crate) const fn text(self) -> &'static str {
                match self { $(Self::$word => $text),+ }
            }
        }
    };
}

words! {
    /// A word of `--info`.
    Info {
        Backup = "BACKUP", Copy = "COPY", Del = "DEL", Flist = "FLIST", Misc = "MISC", Mount = "MOUNT",
        Name = "NAME", Nonreg = "NONREG", Progress = "PROGRESS", Remove = "REMOVE", Skip = "SKIP",
        Stats = "STATS", Symsafe = "SYMSAFE",
    }
}

words! {
    /// A word of `--debug`.
    Debug {
        Acl = "ACL", Backup = "BACKUP", Bind = "BIND", Chdir = "CHDIR", Connect = "CONNECT", Cmd = "CMD",
        Del = "DEL", Deltasum = "DELTASUM", Dup = "DUP", Exit = "EXIT", Filter = "FILTER", Flist = "FLIST",
        Fuzzy = "FUZZY", Genr = "GENR", Hash = "HASH", Hlink = "HLINK", Iconv = "ICONV", Io = "IO",
        Nstr = "NSTR", Own = "OWN", Proto = "PROTO", Recv = "RECV", Send = "SEND", Time = "TIME",
    }
}

const INFO: usize = Info::ALL.len();
const DEBUG: usize = Debug::ALL.len();

/// Largest level; higher numbers count as this.
const MAX_LEVEL: u8 = 4;

/// What each `-v` adds, from level 0 on.
const INFO_OF_VERBOSITY: &[&[(Info, u8)]] = &[
    &[(Info::Nonreg, 1)],
    &[
        (Info::Copy, 1),
        (Info::Del, 1),
        (Info::Flist, 1),
        (Info::Misc, 1),
        (Info::Name, 1),
        (Info::Stats, 1),
        (Info::Symsafe, 1),
    ],
    &[
        (Info::Backup, 1),
        (Info::Misc, 2),
        (Info::Mount, 1),
        (Info::Name, 2),
        (Info::Remove, 1),
        (Info::Skip, 1),
    ],
];

/// What each `-v` adds, from level 2 on.
const DEBUG_OF_VERBOSITY: &[&[(Debug, u8)]] = &[
    &[
        (Debug::Bind, 1),
        (Debug::Connect, 1),
        (Debug::Cmd, 1),
        (Debug::Del, 1),
        (Debug::Deltasum, 1),
        (Debug::Dup, 1),
        (Debug::Filter, 1),
        (Debug::Flist, 1),
        (Debug::Iconv, 1),
    ],
    &[
        (Debug::Acl, 1),
        (Debug::Backup, 1),
        (Debug::Connect, 2),
        (Debug::Del, 2),
        (Debug::Deltasum, 2),
        (Debug::Exit, 1),
        (Debug::Filter, 2),
        (Debug::Flist, 2),
        (Debug::Fuzzy, 1),
        (Debug::Genr, 1),
        (Debug::Own, 1),
        (Debug::Recv, 1),
        (Debug::Send, 1),
        (Debug::Time, 1),
    ],
    &[
        (Debug::Cmd, 2),
        (Debug::Del, 3),
        (Debug::Deltasum, 3),
        (Debug::Exit, 2),
        (Debug::Flist, 3),
        (Debug::Iconv, 2),
        (Debug::Own, 2),
        (Debug::Proto, 1),
        (Debug::Time, 2),
    ],
    &[
        (Debug::Chdir, 1),
        (Debug::Deltasum, 4),
        (Debug::Flist, 4),
        (Debug::Fuzzy, 2),
        (Debug::Hash, 1),
        (Debug::Hlink, 1),
    ],
];

/// Words that the user set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Choices {
    info: [Option<u8>; INFO],
    debug: [Option<u8>; DEBUG],
}

/// Outcome of reading a list of words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ListFault {
    /// The word is none.
    Unknown(Vec<u8>),
    /// `help` was asked for.
    Help,
}

/// Reads a list `WORD[N],…` and calls `set` with the positions and levels found.
fn read_list(list: &[u8], words: &[&str], slots: &mut [Option<u8>]) -> Result<(), ListFault> {
    for item in list.split(|&b| b == b',').filter(|i| !i.is_empty()) {
        let level_from = item.iter().rposition(|b| !b.is_ascii_digit()).map_or(0, |i| i + 1);
        // What begins with a digit has no level.
        let name_len = if item.first().is_some_and(u8::is_ascii_digit) { item.len() } else { level_from };
        let (name, digits) = item.split_at(name_len);
        let level = match digits {
            [] => 1,
            _ => {
                digits.iter().fold(0u8, |n, d| (n.saturating_mul(10)).saturating_add(d - b'0')).min(MAX_LEVEL)
            }
        };
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        if is("help") {
            return Err(ListFault::Help);
        } else if is("none") {
            slots.fill(Some(0));
        } else if is("all") {
            slots.fill(Some(level));
        } else if let Some(i) = words.iter().position(|w| is(w)) {
            if let Some(slot) = slots.get_mut(i) {
                *slot = Some(level);
            }
        } else {
            return Err(ListFault::Unknown(name.to_vec()));
        }
    }
    Ok(())
}

impl Choices {
    /// Takes a list of `--info`. Words before a fault are set.
    pub(crate) fn info(&mut self, list: &[u8]) -> Result<(), ListFault> {
        let words: Vec<&str> = Info::ALL.iter().map(|w| w.text()).collect();
        read_list(list, &words, &mut self.info)
    }

    /// Takes a list of `--debug`.
    pub(crate) fn debug(&mut self, list: &[u8]) -> Result<(), ListFault> {
        let words: Vec<&str> = Debug::ALL.iter().map(|w| w.text()).collect();
        read_list(list, &words, &mut self.debug)
    }

    /// Lowers each word to the level that so many `-v` give it (a daemon's `max verbosity`).
    pub(crate) fn cap(&mut self, verbosity: u32) {
        let most = Levels::new(verbosity, &[], &Self::default());
        for (slot, most) in self.info.iter_mut().zip(most.info) {
            *slot = slot.map(|level| level.min(most));
        }
        for (slot, most) in self.debug.iter_mut().zip(most.debug) {
            *slot = slot.map(|level| level.min(most));
        }
    }

    /// The words of `--debug=` that were set. No other machine is told of them.
    pub(crate) fn debug_words(&self) -> Option<String> {
        let words = Debug::ALL.iter().zip(self.debug).filter_map(|(word, level)| Some((word, level?)));
        let items: Vec<String> = words.map(|(word, level)| format!("{}{level}", word.text())).collect();
        (!items.is_empty()).then(|| items.join(","))
    }

    /// The value of `--info=` for the other side, if something is to be said (spec: forwarding).
    pub(crate) fn forwarded(&self, remote_is_sender: bool) -> Option<String> {
        let relevant: Vec<(Info, Option<u8>)> = Info::ALL
            .iter()
            .zip(self.info)
            .filter(|(word, _)| match user_of(**word) {
                User::Both | User::Server => true,
                User::Sender => remote_is_sender,
                User::Receiver => !remote_is_sender,
                User::Client => false,
            })
            .map(|(word, level)| (*word, level))
            .collect();
        let mut common = None;
        let mut items: Vec<String> = Vec::new();
        if relevant.iter().all(|(_, level)| level.is_some()) {
            let count = |n: u8| relevant.iter().filter(|(_, level)| *level == Some(n)).count();
            common = (0..=MAX_LEVEL).max_by_key(|&n| count(n)).filter(|&n| count(n) >= 5);
            items.extend(common.map(|n| match n {
                0 => "NONE".into(),
                1 => "ALL".into(),
                n => format!("ALL{n}"),
            }));
        }
        for (word, level) in relevant {
            match level {
                Some(_) if level == common => {}
                Some(1) => items.push(word.text().into()),
                Some(n) => items.push(format!("{}{n}", word.text())),
                None => {}
            }
        }
        (!items.is_empty()).then(|| items.join(","))
    }
}

const fn user_of(word: Info) -> User {
    match word {
        Info::Backup | Info::Copy | Info::Del | Info::Nonreg | Info::Skip => User::Receiver,
        Info::Remove => User::Sender,
        Info::Misc | Info::Mount | Info::Name | Info::Symsafe => User::Both,
        Info::Stats => User::Server,
        Info::Flist | Info::Progress => User::Client,
    }
}

/// The levels in effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Levels {
    info: [u8; INFO],
    debug: [u8; DEBUG],
}

impl Levels {
    /// Levels of a number of `-v`, overridden by the user's words.
    pub(crate) fn new(verbosity: u32, extra: &[(Info, u8)], choices: &Choices) -> Self {
        let mut levels = Self::default();
        let steps = verbosity.min(5) as usize;
        for (word, level) in INFO_OF_VERBOSITY.iter().take(steps + 1).copied().flatten().chain(extra) {
            let slot = &mut levels.info[*word as usize];
            *slot = (*slot).max(*level);
        }
        for (word, level) in DEBUG_OF_VERBOSITY.iter().take(steps.saturating_sub(1)).copied().flatten() {
            levels.debug[*word as usize] = *level;
        }
        for (slot, choice) in levels.info.iter_mut().zip(choices.info) {
            *slot = choice.unwrap_or(*slot);
        }
        for (slot, choice) in levels.debug.iter_mut().zip(choices.debug) {
            *slot = choice.unwrap_or(*slot);
        }
        levels
    }

    /// Level of an info word.
    pub(crate) const fn info(&self, word: Info) -> u8 {
        self.info[word as usize]
    }

    /// Level of a debug word.
    pub(crate) const fn debug(&self, word: Debug) -> u8 {
        self.debug[word as usize]
    }
}

/// What each word of `--info` does, for `--info=help`.
const INFO_HELP: [&str; INFO] = [
    "Backups that are made",
    "Files that the receiving side copies locally",
    "Deletions on the receiving side",
    "The making and receiving of the file list (levels 1-2)",
    "Everything without a word of its own (levels 1-2)",
    "Mount points that are found or skipped",
    "1) names of updated items, 2) names of unchanged ones too",
    "Non-regular files that are skipped (on unless set to 0)",
    "1) progress of each file or 2) of the whole transfer",
    "Files that the sending side removes",
    "Files skipped because of an option (levels 1-2)",
    "Statistics at the end (levels 1-3)",
    "Symlinks that are not safe",
];

/// What each word of `--debug` does, for `--debug=help`.
const DEBUG_HELP: [&str; DEBUG] = [
    "ACLs",
    "Backups (levels 1-2)",
    "Binding of sockets",
    "Changes of the current directory",
    "Connections (levels 1-2)",
    "Commands that are run and their options (levels 1-2)",
    "Deletions (levels 1-3)",
    "Matching by checksums (levels 1-4)",
    "Names dropped as duplicates",
    "The end of processes (levels 1-3)",
    "Filters (levels 1-3)",
    "File lists (levels 1-4)",
    "Scores of similar files (levels 1-2)",
    "The generator",
    "Hash tables",
    "Hard links (levels 1-3)",
    "Conversion of characters (levels 1-2)",
    "Reading and writing (levels 1-4)",
    "Strings of the negotiation",
    "Owners and groups (levels 1-2)",
    "The protocol",
    "The receiver",
    "The sender",
    "Times that are set (levels 1-2)",
];

fn help<W: Copy>(
    option: &str,
    words: &[W],
    texts: &[&str],
    text_of: fn(W) -> &'static str,
    first: usize,
    steps: &[&[(W, u8)]],
) -> String {
    let mut out =
        String::from("OPT or OPT1 sets level 1, OPT2 level 2, and so on; OPT0 switches the word off.\n\n");
    for (word, text) in words.iter().zip(texts) {
        out += &format!("{:<10} {text}\n", text_of(*word));
    }
    out += &format!("\n{:<10} Set all words of --{option} (e.g. all4)\n", "ALL");
    out += &format!("{:<10} Set all words of --{option} to 0\n", "NONE");
    out += &format!("{:<10} Show this text\n\nWords added by each level of verbosity:\n", "HELP");
    for (i, step) in steps.iter().enumerate() {
        let mut list: Vec<String> = Vec::new();
        for (word, level) in *step {
            let digit = if *level == 1 { String::new() } else { level.to_string() };
            list.push(format!("{}{digit}", text_of(*word)));
        }
        out += &format!("{}) {}\n", i + first, list.join(","));
    }
    out
}

/// The text of `--info=help`.
pub(crate) fn info_help() -> String {
    help("info", Info::ALL, &INFO_HELP, Info::text, 0, INFO_OF_VERBOSITY)
}

/// The text of `--debug=help`.
pub(crate) fn debug_help() -> String {
    help("debug", Debug::ALL, &DEBUG_HELP, Debug::text, 2, DEBUG_OF_VERBOSITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(list: &str, remote_is_sender: bool) -> String {
        let mut choices = Choices::default();
        choices.info(list.as_bytes()).unwrap();
        choices.forwarded(remote_is_sender).unwrap_or_default()
    }

    #[test]
    fn words_for_the_other_side() {
        for (list, pull, text) in [
            ("name,copy2,del0", false, "COPY2,DEL0,NAME"),
            ("progress2", false, ""),
            ("all,name0", false, "ALL,NAME0"),
            ("all,name0", true, "ALL,NAME0"),
            ("all", false, "ALL"),
            ("all2", true, "ALL2"),
            ("all9", true, "ALL4"),
            ("none", false, "NONE"),
            ("all0,name", true, "NONE,NAME"),
            ("name,stats2,flist2", true, "NAME,STATS2"),
            ("none,name2,misc2,mount2,remove2,symsafe2", true, "ALL2,STATS0"),
            ("misc,mount,name2,remove2,stats2,symsafe", true, "MISC,MOUNT,NAME2,REMOVE2,STATS2,SYMSAFE"),
            ("name05", true, "NAME4"),
            (
                "backup2,copy2,del2,nonreg2,skip2,misc2,mount,name,symsafe,stats",
                false,
                "ALL2,MOUNT,NAME,STATS,SYMSAFE",
            ),
        ] {
            assert_eq!(forwarded(list, pull), text, "{list}");
        }
    }

    #[test]
    fn unknown_words_lose_their_digits() {
        let mut c = Choices::default();
        assert_eq!(c.info(b"name-1"), Err(ListFault::Unknown(b"name-".to_vec())));
        assert_eq!(c.info(b"4name"), Err(ListFault::Unknown(b"4name".to_vec())));
        assert_eq!(c.info(b"10M+1"), Err(ListFault::Unknown(b"10M+1".to_vec())));
        assert_eq!(c.info(b"131"), Err(ListFault::Unknown(b"131".to_vec())));
        assert_eq!(c.debug(b"foo"), Err(ListFault::Unknown(b"foo".to_vec())));
        assert_eq!(c.info(b"help"), Err(ListFault::Help));
    }

    #[test]
    fn words_of_the_user_beat_verbosity() {
        let mut c = Choices::default();
        c.info(b"name0").unwrap();
        let levels = Levels::new(2, &[(Info::Stats, 3)], &c);
        assert_eq!(levels.info(Info::Name), 0);
        assert_eq!(levels.info(Info::Misc), 2);
        assert_eq!(levels.info(Info::Stats), 3);
        assert_eq!(levels.debug(Debug::Flist), 1);
        assert_eq!(levels.debug(Debug::Del), 1);
        assert_eq!(Levels::new(0, &[], &Choices::default()).info(Info::Nonreg), 1);
        assert_eq!(Levels::new(9, &[], &Choices::default()).debug(Debug::Flist), 4);
    }
}
