//! Errors of the protocol and of sessions: a variant per fact, no texts made at run time.

use crate::{exit::ExitCode, mux::MsgTag};

/// A role of the protocol, as named in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Role {
    /// Owns the source files.
    Sender,
    /// The destination side before it splits into generator and receiver.
    ReceiverSide,
    /// Decides and requests.
    Generator,
    /// Takes the data.
    Receiver,
    /// The process that the user started, while options are read.
    Client,
    /// The process started by the peer, while options are read.
    Server,
}

impl Role {
    /// The name as it appears between brackets in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::ReceiverSide => "Receiver",
            Self::Generator => "generator",
            Self::Receiver => "receiver",
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

impl core::fmt::Display for Role {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a received name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum NameFault {
    /// It holds a `..` component, or starts with a slash without `-R`.
    #[error("ABORTING due to unsafe pathname from sender")]
    Unsafe,
    /// Its directory is not in the list, the only one.
    #[error("ABORTING due to invalid path from sender")]
    WrongDirectory,
    /// With incremental recursion: it is not in the directory that its list was announced for.
    #[error("ABORTING due to invalid path from sender")]
    Outside,
    /// It holds a NUL byte.
    #[error("file name with a NUL byte from sender")]
    Nul,
    /// It is empty, or nothing that was asked for.
    #[error("ERROR: rejecting unrequested file-list name")]
    Unrequested,
    /// The receiver's own filter rules exclude it.
    #[error("ERROR: rejecting excluded file-list name")]
    Excluded,
    /// The transfer root is not a directory.
    #[error("ERROR: rejecting non-directory transfer-root entry")]
    RootNotDir,
    /// Prefix and rest together are too long, or the prefix is longer than the last name.
    #[error("overflow: name lengths in file list")]
    Overflow,
}

/// The kinds of values with a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Limit {
    /// checksum count of a sum head
    SumCount,
    /// block length of a sum head
    BlockLength,
    /// zero block length with blocks
    ZeroBlockLength,
    /// digest length of a sum head
    ChecksumLength,
    /// remainder of a sum head
    Remainder,
    /// modtime_nsec
    Nanoseconds,
    /// symlink target length
    LinkTarget,
    /// file length
    FileLength,
    /// hard-link reference
    HardLink,
    /// deletion count
    Deleted,
    /// vstring
    Vstring,
    /// filter rule
    FilterRule,
    /// algorithm list
    Negotiation,
    /// text message
    Text,
    /// number of an ACL
    AclIndex,
    /// number of a default ACL
    DefaultAclIndex,
    /// number of named entries of an ACL
    AclCount,
    /// permissions in an ACL
    AclAccess,
    /// number of a set of extended attributes
    XattrIndex,
    /// number of extended attributes of an item
    XattrCount,
    /// length of the name of an extended attribute
    XattrName,
    /// length of the value of an extended attribute
    XattrValue,
    /// length of all extended attributes of an item
    XattrTotal,
    /// one allocation
    Alloc,
    /// number of entries in a file list
    Entries,
}

/// What the peer did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ProtocolError {
    /// The first word is no version.
    #[error("protocol version mismatch -- is your shell clean?\n(see the rsync manpage for an explanation)")]
    VersionMismatch {
        /// The word that came.
        got: i32,
    },
    /// A varint or varlong announces more bytes than it can have.
    #[error("Overflow in read_varint()")]
    VarintOverflow,
    /// A frame header with a code that does not exist; shown as a header byte with a sign, minus 7 (stock binary).
    #[error("unexpected tag {}", i16::from((*tag + 7).to_le_bytes()[0].cast_signed()) - 7)]
    UnknownTag {
        /// The code (header byte minus 7).
        tag: i16,
    },
    /// A message of the wrong length, or that this role cannot receive.
    #[error("invalid multi-message {}:{len}", tag.number())]
    BadMessage {
        /// The message.
        tag: MsgTag,
        /// Length of its payload, bytes.
        len: u32,
    },
    /// A text message or name longer than 5119 bytes.
    #[error("multiplexing overflow {}:{len}", tag.number())]
    MessageTooLong {
        /// The message.
        tag: MsgTag,
        /// Length of its payload, bytes.
        len: u32,
    },
    /// A value outside its range.
    #[error("{}", RangeText(*what, *got, *max))]
    OutOfRange {
        /// Which value.
        what: Limit,
        /// What came.
        got: i64,
        /// The largest legal value.
        max: i64,
    },
    /// An index outside all lists.
    #[error("File-list index {got} not in {first} - {last}")]
    BadNdx {
        /// The index.
        got: i32,
        /// First legal index.
        first: i32,
        /// Last legal index.
        last: i32,
    },
    /// An index of an entry that was dropped as a duplicate.
    #[error("refusing transfer of cleared file index {ndx}")]
    ClearedNdx {
        /// The index.
        ndx: i32,
    },
    /// Data was asked for something that is no regular file.
    #[error("received request to transfer non-regular file: {ndx}")]
    NotRegular {
        /// The index.
        ndx: i32,
    },
    /// A transfer request in the last phase.
    #[error("got transfer request in phase {phase}")]
    LatePhase {
        /// The phase.
        phase: u8,
    },
    /// Something else than DONE at the end.
    #[error("Invalid packet at end of run ({got})")]
    BadGoodbye {
        /// The index that came.
        got: i32,
    },
    /// A list announcement when none is allowed.
    #[error("Invalid file-list announcement {got}")]
    UnexpectedList {
        /// The index that came.
        got: i32,
    },
    /// A list for a directory that does not exist.
    #[error("Invalid dir index: {} (-101 - {})", -101 - i64::from(*got), -100 - i64::from(*count))]
    BadDirNdx {
        /// The directory number.
        got: i32,
        /// How many are known.
        count: u32,
    },
    /// A list for a directory that was dropped.
    #[error("rsync: refusing flist for cleared dir_ndx {0}")]
    ClearedDir(u32),
    /// A second list for one directory.
    #[error("rsync: refusing malicious duplicate flist for dir {0}")]
    DuplicateList(u32),
    /// A name that must not be used.
    #[error("{0}")]
    Name(NameFault),
    /// The name of an extended attribute does not end with its only NUL.
    #[error("Invalid xattr name received (missing trailing \\0).")]
    BadXattrName,
    /// A mode that is no file type.
    #[error("invalid file mode 0{0:o}")]
    BadMode(u32),
    /// A block number outside the basis.
    #[error("Invalid block index {got} (count={count})")]
    BadBlock {
        /// The block number.
        got: i64,
        /// Number of blocks.
        count: u32,
    },
    /// A block reference without a basis.
    #[error("got a block match with no basis file")]
    NoBasis,
    /// A token number outside its range.
    #[error("invalid token number in compressed stream")]
    BadToken,
    /// A compressed record that does not decode.
    #[error("{codec} decompression failed: {what}")]
    Inflate {
        /// The codec's name.
        codec: &'static str,
        /// What went wrong.
        what: &'static str,
    },
    /// A basis directory that was not given.
    #[error("invalid basis_dir index: {0}.")]
    BadBasisDir(u8),
    /// A fuzzy basis without `--fuzzy`.
    #[error("rsync: refusing malicious fuzzy operation")]
    UnexpectedFuzzy,
    /// No common algorithm.
    #[error("Failed to negotiate a {what} choice.")]
    NoCommonAlgorithm {
        /// `checksum` or `compress`.
        what: &'static str,
    },
    /// An algorithm name that does not exist.
    #[error("unknown {what} name")]
    UnknownAlgorithm {
        /// `checksum` or `compress`.
        what: &'static str,
    },
    /// Incremental recursion although it was not offered.
    #[error("Incompatible options specified for inc-recursive connection.")]
    UnofferedIncRecursion,
    /// An option needs a newer protocol.
    #[error("{option} requires protocol {needs} or higher (negotiated {negotiated}).")]
    OptionNeedsProtocol {
        /// The option, as it is told.
        option: &'static str,
        /// The version it needs.
        needs: u8,
        /// The version in use.
        negotiated: u8,
    },
    /// A filter rule of the peer that cannot be parsed.
    #[error("invalid filter rule from peer")]
    BadFilterRule,
    /// A filter rule that an old protocol cannot carry.
    #[error("filter rules are too modern for remote rsync.")]
    FilterTooModern,
    /// An ACL or xattr value that does not fit the table.
    #[error("{0} index out of range")]
    BadTableIndex(&'static str),
}

/// A value outside its range, as the reference tells of it where it has a text of its own (stock binary).
struct RangeText(Limit, i64, i64);

impl core::fmt::Display for RangeText {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self(what, got, max) = self;
        match what {
            Limit::SumCount => write!(f, "Invalid checksum count {got}"),
            Limit::BlockLength => write!(f, "Invalid block length {got}"),
            Limit::ZeroBlockLength => f.write_str("Invalid zero block length"),
            Limit::ChecksumLength => write!(f, "Invalid checksum length {got}"),
            Limit::Remainder => write!(f, "Invalid remainder length {got}"),
            Limit::Nanoseconds => write!(f, "wire value modtime_nsec out of range: {got} not in [0,{max}]"),
            Limit::LinkTarget => write!(f, "overflow: linkname_len={got}"),
            Limit::HardLink => write!(f, "hard-link reference out of range: {got} ({max})"),
            Limit::AclIndex => write!(f, "recv_acl_index: ACL_TYPE_ACCESS ACL index {got} > {max}"),
            Limit::DefaultAclIndex => write!(f, "recv_acl_index: ACL_TYPE_DEFAULT ACL index {got} > {max}"),
            Limit::AclCount => write!(f, "wire value ACL count out of range: {got} not in [0,{max}]"),
            Limit::AclAccess => write!(f, "recv_acl_access: value out of range: {got:x}"),
            Limit::XattrIndex => write!(f, "receive_xattr: xa index {got} out of range"),
            Limit::XattrCount => write!(f, "wire value xattr count out of range: {got} not in [0,{max}]"),
            Limit::XattrName => write!(f, "wire size xattr name_len out of range: {got} > {max}"),
            Limit::XattrValue if *got < 0 => {
                write!(f, "wire size xattr datum_len out of range: {got} > {}", i32::MAX)
            }
            Limit::XattrValue => f.write_str("xattr datum_len exceeds per-value limit"),
            Limit::Alloc => write!(f, "exceeded --max-alloc={max} setting"),
            _ => write!(f, "wire value out of range: {what:?} is {got}, limit {max}"),
        }
    }
}

impl ProtocolError {
    /// Whether the role that found it stands in brackets behind its text (stock binary).
    pub const fn names_role(&self) -> bool {
        match self {
            Self::OutOfRange { what, .. } => matches!(
                what,
                Limit::SumCount
                    | Limit::BlockLength
                    | Limit::ZeroBlockLength
                    | Limit::ChecksumLength
                    | Limit::Remainder
                    | Limit::Nanoseconds
                    | Limit::Alloc
                    | Limit::AclCount
                    | Limit::XattrCount
                    | Limit::XattrName
                    | Limit::XattrValue
            ),
            fault => matches!(
                fault,
                Self::UnknownTag { .. }
                    | Self::BadMessage { .. }
                    | Self::MessageTooLong { .. }
                    | Self::BadNdx { .. }
                    | Self::NotRegular { .. }
                    | Self::LatePhase { .. }
                    | Self::BadDirNdx { .. }
                    | Self::BadMode(_)
                    | Self::BadBlock { .. }
                    | Self::BadGoodbye { .. }
            ),
        }
    }

    /// The exit code that goes with the fault (spec: exit codes, limits).
    pub const fn exit_code(&self) -> ExitCode {
        match self {
            Self::UnknownTag { .. }
            | Self::BadMessage { .. }
            | Self::MessageTooLong { .. }
            | Self::VarintOverflow
            | Self::Inflate { .. } => ExitCode::STREAM_IO,
            Self::OutOfRange {
                what: Limit::AclIndex | Limit::DefaultAclIndex | Limit::AclAccess | Limit::XattrIndex,
                ..
            } => ExitCode::STREAM_IO,
            Self::BadXattrName => ExitCode::FILE_IO,
            Self::NoCommonAlgorithm { .. } | Self::UnknownAlgorithm { .. } => ExitCode::UNSUPPORTED,
            Self::OutOfRange { what: Limit::Negotiation, .. } => ExitCode::UNSUPPORTED,
            Self::OutOfRange {
                what: Limit::FilterRule | Limit::Alloc | Limit::Entries | Limit::LinkTarget,
                ..
            } => ExitCode::MALLOC,
            Self::Name(NameFault::Overflow) => ExitCode::MALLOC,
            Self::Name(
                NameFault::Unsafe | NameFault::Unrequested | NameFault::Excluded | NameFault::Outside,
            ) => ExitCode::UNSUPPORTED,
            Self::UnofferedIncRecursion | Self::BadFilterRule => ExitCode::SYNTAX,
            _ => ExitCode::PROTOCOL,
        }
    }
}

/// Why a session ended early. `E` is the error of the transport.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error<E> {
    /// The transport failed.
    #[error("transport: {0}")]
    Io(E),
    /// The peer closed the stream in the middle.
    #[error("connection unexpectedly closed")]
    Eof,
    /// The peer broke the protocol.
    #[error("{0}")]
    Protocol(#[from] ProtocolError),
    /// The peer asked for a common end with this code (`MSG_ERROR_EXIT`); nothing more is to be said.
    #[error("peer ends with exit code {}", .0.0)]
    PeerExit(ExitCode),
    /// This side ends with a code; the reason was already reported to the observer.
    #[error("ending with exit code {}", .0.0)]
    Exit(ExitCode),
}

impl<E> From<ExitCode> for Error<E> {
    /// An end whose reason was already reported.
    fn from(code: ExitCode) -> Self {
        Self::Exit(code)
    }
}

impl<E> Error<E> {
    /// The exit code of a session that ended with this error.
    pub const fn exit_code(&self) -> ExitCode {
        match self {
            Self::Io(_) => ExitCode::SOCKET_IO,
            Self::Eof => ExitCode::STREAM_IO,
            Self::Protocol(p) => p.exit_code(),
            Self::PeerExit(code) | Self::Exit(code) => *code,
        }
    }
}
