//! Checksums and compressors that the command line and the environment name.

use arsync_core::{
    checksum::ChecksumKind, error::Role, exit::ExitCode, options::Compress, token::CompressKind,
};

use crate::cli::{
    asked::Cli,
    failure::{Failure, Stop},
    parse::World,
};

/// What is to be used, or offered in the negotiation.
pub(super) struct Algorithms {
    pub(super) checksum: ChecksumChoice,
    pub(super) compress: Compress,
    pub(super) checksum_list: Option<Box<[String]>>,
    pub(super) compress_list: Option<Box<[String]>>,
}

impl Algorithms {
    pub(super) fn new(cli: &Cli, world: &World<'_>) -> Result<Self, Stop> {
        let unknown = |kind: &str, name: &[u8]| -> Stop {
            let role = if cli.server { Role::Server } else { Role::Client };
            let text = [b"unknown ", kind.as_bytes(), b" name: ", name].concat();
            Failure::plain(text, ExitCode::UNSUPPORTED, role).into()
        };
        let checksum = match &cli.checksum_choice {
            Some(text) => checksum_choice(text).map_err(|name| unknown("checksum", &name))?,
            None => None,
        };
        Ok(Self {
            checksum,
            compress: compress(cli).map_err(|name| unknown("compress", &name))?,
            checksum_list: algorithm_list(world, "RSYNC_CHECKSUM_LIST", cli.server),
            compress_list: algorithm_list(world, "RSYNC_COMPRESS_LIST", cli.server),
        })
    }

    /// There is no checksum for data, so that no blocks can be found.
    pub(super) fn nothing_is_compared(&self) -> bool {
        matches!(self.checksum, Some((Some(ChecksumKind::None), _)))
    }
}

/// The checksums of data and of file lists; `None` in a half: negotiated.
pub(super) type ChecksumChoice = Option<(Option<ChecksumKind>, Option<ChecksumKind>)>;

/// `--checksum-choice=TRANSFER[,PRETRANSFER]`; the error is the unknown name.
fn checksum_choice(text: &[u8]) -> Result<ChecksumChoice, Vec<u8>> {
    let (transfer, list) = match memchr::memchr(b',', text) {
        Some(0) | None => (text, text),
        Some(i) => (&text[..i], &text[i + 1..]),
    };
    // The first half is not told apart from what follows it.
    let halves = (checksum_kind(transfer).map_err(|_| text.to_vec())?, checksum_kind(list)?);
    Ok((halves != (None, None)).then_some(halves))
}

/// `None`: `auto`.
fn checksum_kind(name: &[u8]) -> Result<Option<ChecksumKind>, Vec<u8>> {
    if name.eq_ignore_ascii_case(b"auto") {
        return Ok(None);
    }
    ChecksumKind::from_name(name).map(Some).ok_or_else(|| name.to_vec())
}

/// What the options of compression amount to; the error is the unknown name.
fn compress(cli: &Cli) -> Result<Compress, Vec<u8>> {
    let asked = cli.compress > 0 || cli.compress_level.is_some();
    let negotiated = match (cli.compress, asked) {
        (2.., _) => Compress::Explicit(CompressKind::Zlibx),
        (_, true) => Compress::Negotiate,
        (_, false) => Compress::Off,
    };
    let Some(name) = &cli.compress_choice else {
        return Ok(negotiated);
    };
    if name.eq_ignore_ascii_case(b"auto") {
        return Ok(negotiated);
    }
    match CompressKind::from_name(name) {
        Some(CompressKind::None) => Ok(Compress::Off),
        Some(kind) => Ok(Compress::Explicit(kind)),
        None => Err(name.clone()),
    }
}

/// `RSYNC_CHECKSUM_LIST` and its relative: the part of this side, as words. `None`: the default list.
fn algorithm_list(world: &World<'_>, name: &str, server: bool) -> Option<Box<[String]>> {
    let text = world.var(name)?;
    let text = String::from_utf8_lossy(&text);
    let part = match text.split_once('&') {
        Some((_, part)) if server => part,
        Some((part, _)) => part,
        None => &text,
    };
    let words: Vec<String> = part.split_whitespace().map(str::to_ascii_lowercase).collect();
    (!words.is_empty()).then(|| words.into_boxed_slice())
}
