//! Strings in the charset of this side and in that of the wire, which is UTF-8 (`--iconv`).
//!
//! Names of entries, targets of symlinks, names of `--files-from` lists and texts for the user are converted; names of
//! users, groups and extended attributes, filter rules and the names beside items are not. How a charset is converted
//! is the host's business ([`Charset`]); what becomes of a string that cannot be converted is decided here.

use alloc::{rc::Rc, vec::Vec};

use crate::{limits::MAX_PATH, ports::PortError};

/// Which way a string is converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Toward {
    /// From the charset of this side to UTF-8.
    Wire,
    /// From UTF-8 to the charset of this side.
    Here,
}

/// Where a conversion stopped, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unconvertible {
    /// Bytes in front of the first one that has no counterpart, or belongs to no character.
    pub at: usize,
    /// EILSEQ, or EINVAL for a character that is cut off by the end.
    pub error: PortError,
}

/// The charset of this side.
pub trait Charset: core::fmt::Debug {
    /// Appends the converted string. On failure what could be converted in front of the fault was appended.
    /// Each call starts in the initial state of the charset.
    fn convert(&self, toward: Toward, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Unconvertible>;
}

/// Converts a text that is shown rather than used: bytes without counterpart go through `foreign`.
pub fn convert_text(
    charset: &dyn Charset,
    toward: Toward,
    text: &[u8],
    out: &mut Vec<u8>,
    mut foreign: impl FnMut(u8, &mut Vec<u8>),
) {
    let mut rest = text;
    while let Err(Unconvertible { at, .. }) = charset.convert(toward, rest, out) {
        let Some((&byte, after)) = rest.get(at..).and_then(<[u8]>::split_first) else { return };
        foreign(byte, out);
        rest = after;
    }
}

/// A converted string is longer than a path may be (E2BIG).
const TOO_LONG: PortError = PortError(7);

/// What a session converts, and how.
#[derive(Debug, Clone)]
pub struct Conversion {
    charset: Rc<dyn Charset>,
    /// Targets of symlinks are converted: the other end can do that too.
    pub links: bool,
    /// Names of `--files-from` lists are converted on their way: with `-s` alone.
    pub name_lists: bool,
}

impl Conversion {
    /// Conversion of names and texts, and of what else is said.
    pub const fn new(charset: Rc<dyn Charset>, links: bool, name_lists: bool) -> Self {
        Self { charset, links, name_lists }
    }

    /// The same, with targets of symlinks converted or not.
    #[must_use]
    pub fn with_links(self, links: bool) -> Self {
        Self { links, ..self }
    }

    /// Appends the name of an entry as it travels. Its directory and its last component are converted apart, so that
    /// the slash between them is one whatever the charset.
    pub fn name_to_wire(&self, name: &[u8], out: &mut Vec<u8>) -> Result<(), PortError> {
        let base = match memchr::memrchr(b'/', name) {
            Some(slash) => {
                self.convert(Toward::Wire, name.get(..slash).unwrap_or_default(), out)?;
                out.push(b'/');
                name.get(slash + 1..).unwrap_or_default()
            }
            None => name,
        };
        self.convert(Toward::Wire, base, out)
    }

    /// Appends the name of an entry as it is here.
    pub fn name_from_wire(&self, name: &[u8], out: &mut Vec<u8>) -> Result<(), PortError> {
        self.convert(Toward::Here, name, out)
    }

    /// Appends the target of a symlink as it travels.
    pub fn link_to_wire(&self, target: &[u8], out: &mut Vec<u8>) -> Result<(), PortError> {
        self.link(Toward::Wire, target, out)
    }

    /// Appends the target of a symlink as it is here.
    pub fn link_from_wire(&self, target: &[u8], out: &mut Vec<u8>) -> Result<(), PortError> {
        self.link(Toward::Here, target, out)
    }

    /// Converts a text; bytes without counterpart stay as they are.
    pub fn text(&self, toward: Toward, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        convert_text(&*self.charset, toward, text, &mut out, |byte, out| out.push(byte));
        out
    }

    fn link(&self, toward: Toward, target: &[u8], out: &mut Vec<u8>) -> Result<(), PortError> {
        if self.links {
            return self.convert(toward, target, out);
        }
        out.extend_from_slice(target);
        Ok(())
    }

    fn convert(&self, toward: Toward, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), PortError> {
        let before = out.len();
        self.charset.convert(toward, bytes, out).map_err(|fault| fault.error)?;
        if out.len() - before < MAX_PATH { Ok(()) } else { Err(TOO_LONG) }
    }
}

/// Charsets for tests, without the C library.
#[cfg(any(test, feature = "test-util"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TestCharset {
    /// ISO-8859-1
    Latin1,
    /// UTF-8: strings that are none are refused.
    Utf8,
}

#[cfg(any(test, feature = "test-util"))]
impl Charset for TestCharset {
    fn convert(&self, toward: Toward, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Unconvertible> {
        if (*self, toward) == (Self::Latin1, Toward::Wire) {
            for &byte in bytes {
                out.extend_from_slice(char::from(byte).encode_utf8(&mut [0; 4]).as_bytes());
            }
            return Ok(());
        }
        let fault = |at| Unconvertible { at, error: PortError(84) };
        let mut at = 0;
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                match self {
                    Self::Latin1 => out.push(u8::try_from(u32::from(c)).map_err(|_| fault(at))?),
                    Self::Utf8 => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                }
                at += c.len_utf8();
            }
            if !chunk.invalid().is_empty() {
                return Err(fault(at));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn latin1(links: bool) -> Conversion {
        Conversion::new(Rc::new(TestCharset::Latin1), links, false)
    }

    #[test]
    fn names_travel_in_utf8() {
        let conversion = latin1(true);
        let mut out = Vec::new();
        conversion.name_to_wire(b"d\xe9j\xe0/caf\xe9", &mut out).unwrap();
        assert_eq!(out, b"d\xc3\xa9j\xc3\xa0/caf\xc3\xa9");
        let mut back = Vec::new();
        conversion.name_from_wire(&out, &mut back).unwrap();
        assert_eq!(back, b"d\xe9j\xe0/caf\xe9");
        assert_eq!(conversion.name_from_wire("☃".as_bytes(), &mut back), Err(PortError(84)));
    }

    #[test]
    fn a_name_that_grows_beyond_a_path_cannot_travel() {
        let mut out = Vec::new();
        assert_eq!(latin1(true).name_to_wire(&[0xe9; 2048], &mut out), Err(PortError(7)));
        out.clear();
        assert_eq!(latin1(true).name_to_wire(&[0xe9; 2047], &mut out), Ok(()));
    }

    #[test]
    fn targets_of_symlinks_are_left_alone_where_the_other_end_cannot_convert_them() {
        for (links, wire) in [(true, &b"lien\xc3\xa9"[..]), (false, b"lien\xe9")] {
            let mut out = Vec::new();
            latin1(links).link_to_wire(b"lien\xe9", &mut out).unwrap();
            assert_eq!(out, wire);
        }
    }

    #[test]
    fn foreign_bytes_of_texts_stay() {
        let text = latin1(true).text(Toward::Here, "a☃é".as_bytes());
        assert_eq!(text, b"a\xe2\x98\x83\xe9");
        let mut shown = Vec::new();
        convert_text(&TestCharset::Latin1, Toward::Here, b"x\xff\xc3\xa9", &mut shown, |b, out| {
            out.extend_from_slice(if b == 0xff { b"<ff>" } else { b"?" });
        });
        assert_eq!(shown, b"x<ff>\xe9");
    }
}
