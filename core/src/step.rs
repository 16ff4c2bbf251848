//! What a session does, step by step, for whoever looks for a fault: facts without which nobody would miss anything.
//! They cost a comparison each where nobody listens; the host puts those into words that were asked for (`--debug`).

use crate::delta::SumHead;

/// Something that a role did. The text that the reference has for it stands behind; where roles have different ones
/// for the same fact, who says it decides.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Step<'a> {
    /// `[ROLE] make_file(NAME,*,LEVEL)`: a name that the file system has was looked at.
    MakeFile {
        /// The name.
        name: &'a [u8],
        /// It was found in a directory, so that all rules apply to it.
        inside: bool,
    },
    /// `send_file_list done`
    ListMade,
    /// `file list sent`
    ListSent,
    /// `[ROLE] flist_eof=1`: no further list will come.
    ListsEnd,
    /// `[ROLE] receiving flist for dir N`
    ReceivingList(u32),
    /// `recv_file_name(NAME)`
    ReceivedName(&'a [u8]),
    /// `received N names` and `recv_file_list done`
    ReceivedNames(usize),
    /// `[ROLE] pushing local filters for DIR/`: a directory is entered whose rules may be its own.
    Entering {
        /// The directory.
        dir: &'a [u8],
        /// At the sender: the directory that it is below.
        base: Option<u32>,
    },
    /// `[ROLE] change_dir(DIR)`: what names are relative to from here on.
    WorksIn {
        /// At the sender: the number of the directory.
        base: Option<u32>,
    },
    /// `uid ID(NAME) maps to TO`
    IdMapped {
        /// A group.
        group: bool,
        /// At the sender.
        id: u32,
        /// The name there, if it is known.
        name: Option<&'a [u8]>,
        /// Here.
        to: u32,
    },
    /// `set uid of NAME from ID to ID`
    OwnerSet {
        /// The group.
        group: bool,
        /// The item.
        name: &'a [u8],
        /// Before.
        from: u32,
        /// Now.
        to: u32,
    },
    /// `get_local_name count=N DEST`: the destination is looked at.
    Destination {
        /// Entries of the first list.
        count: usize,
    },
    /// `generator starting`, `send_files starting`, `recv_files(N) starting`
    Starts {
        /// Entries of the first list.
        count: usize,
    },
    /// `generate_files phase=N`, `send_files phase=N`, `recv_files phase=N`
    Phase(u8),
    /// `generate_files finished`, `send files finished`, `recv_files finished`
    Ends,
    /// `recv_generator(NAME,NDX)`, `send_files(NDX, PATH)`, `recv_files(NAME)`: an item is taken on.
    Item {
        /// Its name.
        name: &'a [u8],
        /// At the sender: the directory that it is below.
        base: u32,
        /// Its number.
        ndx: i32,
    },
    /// `sender finished PATH`
    Sent {
        /// The file.
        name: &'a [u8],
        /// The directory that it is below.
        base: u32,
    },
    /// `mknod(NAME, MODE, [MAJOR,MINOR])`
    MakingNode {
        /// The item.
        name: &'a [u8],
        /// Type and permissions.
        mode: u32,
        /// Major and minor.
        rdev: (u32, u32),
    },
    /// `touch_up_dirs: NAME (N)`: the time or the mode of a directory is set for good.
    TouchUp {
        /// The directory.
        name: &'a [u8],
        /// Its number among the directories, or in the one list that there is.
        number: i32,
    },
    /// `delete_in_dir(NAME)`
    DeleteIn(&'a [u8]),
    /// `delete_item(NAME) mode=MODE flags=F`
    DeleteItem {
        /// What is removed.
        name: &'a [u8],
        /// Type and permissions.
        mode: u32,
        /// Why it goes.
        why: DeleteWhy,
    },
    /// `delete_dir_contents(NAME) flags=F`
    DeleteContents {
        /// The directory.
        name: &'a [u8],
        /// Why it goes.
        why: DeleteWhy,
    },
    /// `fuzzy size/modtime match for NAME`
    FuzzyAlike(&'a [u8]),
    /// `fuzzy distance for NAME = D`
    FuzzyDistance {
        /// The candidate.
        name: &'a [u8],
        /// In units of 1/65536.
        distance: u32,
    },
    /// `fuzzy basis selected for NAME: BASIS`
    FuzzyBasis {
        /// The missing file.
        name: &'a [u8],
        /// The file that it is made from.
        basis: &'a [u8],
    },
    /// `hlink for NDX (NAME,GROUP): waiting for -1`
    LinkWaits {
        /// Number of the item.
        ndx: i32,
        /// Its name.
        name: &'a [u8],
        /// The number of its group.
        group: u32,
    },
    /// `generating and sending sums for NDX`
    SendingSums(i32),
    /// `count=N rem=N blength=N s2length=N flength=N` at the generator, `count=N n=N rem=N` at the sender
    Sums(SumHead),
    /// `gen mapped NAME of size N`, `send_files mapped PATH of size N`, `recv mapped NAME of size N`
    Mapped {
        /// The file.
        name: &'a [u8],
        /// At the sender: the directory that it is below.
        base: u32,
        /// Its size, bytes.
        size: u64,
    },
    /// `calling match_sums PATH`
    Matching {
        /// The file.
        name: &'a [u8],
        /// The directory that it is below.
        base: u32,
    },
    /// `built hash table` and `hash search b=N len=N`
    Searching {
        /// Length of a block.
        block_len: u32,
        /// Length of the file.
        len: u64,
    },
    /// `match at OFFSET last_match=OFFSET j=BLOCK len=N n=N`
    Match {
        /// Where.
        at: u64,
        /// Number of the block.
        block: u32,
        /// Its length.
        len: u32,
        /// Literal bytes in front of it.
        literal: u64,
    },
    /// `done hash search`
    Searched,
    /// `sending file_sum` and `false_alarms=N hash_hits=N matches=N`
    SendingSum {
        /// Blocks of equal weak sums that were not the same.
        false_alarms: u64,
        /// Found in the table.
        hash_hits: u64,
        /// Blocks that match.
        matches: u64,
    },
    /// `data recv N at OFFSET`
    Data {
        /// Bytes.
        len: usize,
        /// Where they go.
        at: u64,
    },
    /// `chunk[N] of size N at OFFSET offset=OFFSET`
    Block {
        /// Its number.
        block: u32,
        /// Its length.
        len: u32,
        /// Where it is in the basis.
        from: u64,
        /// Where it goes.
        at: u64,
    },
    /// `got file_sum`
    GotSum,
}

/// Why something is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum DeleteWhy {
    /// The sender does not have it.
    Extraneous,
    /// It is in a directory that is removed.
    Inside,
    /// It is in the way of something else.
    InTheWay {
        /// `regular file`, `directory`, `symlink`, `device file`, `special file`
        of: &'static str,
        /// A directory may be removed with what is in it.
        with_contents: bool,
    },
}
