//! Charsets of names, by the C library's `iconv`, so that their names and gaps are those of other programs here.

use core::ptr;
use std::ffi::CString;

use arsync_core::{
    charset::{Charset, Toward, Unconvertible},
    ports::PortError,
};

/// No room for the result.
const E2BIG: i32 = 7;
/// The charset of the wire.
const WIRE: &[u8] = b"UTF-8";
/// The result is collected in pieces of this size, bytes; every character fits.
const PIECE: usize = 512;

/// A charset and both conversions between it and UTF-8.
#[derive(Debug)]
pub(crate) struct Iconv {
    to_wire: Converter,
    from_wire: Converter,
}

impl Iconv {
    /// The charset of this name; an empty one is that of the locale. `Err`: the text that says which conversion there
    /// is none for.
    pub(crate) fn open(name: &[u8]) -> Result<Self, Vec<u8>> {
        Ok(Self { to_wire: Converter::open(WIRE, name)?, from_wire: Converter::open(name, WIRE)? })
    }
}

impl Charset for Iconv {
    fn convert(&self, toward: Toward, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Unconvertible> {
        let converter = match toward {
            Toward::Wire => &self.to_wire,
            Toward::Here => &self.from_wire,
        };
        converter.convert(bytes, out)
    }
}

/// A conversion from one charset to another.
#[derive(Debug)]
struct Converter(libc::iconv_t);

/// What a step of a conversion did: bytes used, bytes made, and why it stopped.
struct Step {
    used: usize,
    made: usize,
    stopped: Option<i32>,
}

impl Converter {
    #[allow(unsafe_code)]
    fn open(to: &[u8], from: &[u8]) -> Result<Self, Vec<u8>> {
        let failed = || [b"iconv_open(\"", to, b"\", \"", from, b"\") failed"].concat();
        let [Ok(to_name), Ok(from_name)] = [to, from].map(CString::new) else { return Err(failed()) };
        // SAFETY: both strings end in NUL and live longer than the call.
        let descriptor = unsafe { libc::iconv_open(to_name.as_ptr(), from_name.as_ptr()) };
        // The C library's mark of failure.
        if descriptor.addr() == usize::MAX { Err(failed()) } else { Ok(Self(descriptor)) }
    }

    fn convert(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Unconvertible> {
        self.reset();
        let mut at = 0;
        loop {
            let mut piece = [0; PIECE];
            let step = self.step(bytes.get(at..).unwrap_or_default(), &mut piece);
            out.extend_from_slice(piece.get(..step.made).unwrap_or_default());
            at += step.used;
            match step.stopped {
                None => return Ok(()),
                Some(E2BIG) if step.made > 0 => {}
                Some(errno) => return Err(Unconvertible { at, error: PortError(errno) }),
            }
        }
    }

    /// Back to the initial state.
    #[allow(unsafe_code)]
    fn reset(&self) {
        // SAFETY: the descriptor is open, and with null pointers the call touches nothing else.
        unsafe {
            libc::iconv(self.0, ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        }
    }

    /// Converts as much as fits.
    #[allow(unsafe_code)]
    fn step(&self, bytes: &[u8], piece: &mut [u8]) -> Step {
        let (mut from, mut left) = (bytes.as_ptr().cast_mut().cast::<libc::c_char>(), bytes.len());
        let (mut to, mut room) = (piece.as_mut_ptr().cast::<libc::c_char>(), piece.len());
        // SAFETY: the descriptor is open; both pointers stand for slices of these lengths that outlive the call, and the
        // input is only read.
        let result = unsafe { libc::iconv(self.0, &raw mut from, &raw mut left, &raw mut to, &raw mut room) };
        let failed = (result == usize::MAX).then(std::io::Error::last_os_error);
        Step {
            used: bytes.len() - left,
            made: piece.len() - room,
            stopped: failed.map(|error| error.raw_os_error().unwrap_or_default()),
        }
    }
}

impl Drop for Converter {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the descriptor is open and is not used any more.
        unsafe {
            libc::iconv_close(self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(name: &str, toward: Toward, bytes: &[u8]) -> (Vec<u8>, Option<Unconvertible>) {
        let mut out = Vec::new();
        let result = Iconv::open(name.as_bytes()).unwrap().convert(toward, bytes, &mut out);
        (out, result.err())
    }

    #[test]
    fn latin1_goes_both_ways() {
        assert_eq!(convert("ISO-8859-1", Toward::Wire, b"caf\xe9"), (b"caf\xc3\xa9".to_vec(), None));
        assert_eq!(convert("latin1", Toward::Here, b"caf\xc3\xa9"), (b"caf\xe9".to_vec(), None));
        // Where windows-1252 has a character, ISO-8859-1 has a control.
        assert_eq!(convert("ISO-8859-1", Toward::Wire, b"\x80"), (b"\xc2\x80".to_vec(), None));
    }

    #[test]
    fn a_fault_says_where_and_why() {
        let fault = |at, errno| Some(Unconvertible { at, error: PortError(errno) });
        assert_eq!(convert("ISO-8859-1", Toward::Here, "a☃b".as_bytes()), (b"a".to_vec(), fault(1, 84)));
        assert_eq!(convert("UTF-8", Toward::Wire, b"x\xff\xfe"), (b"x".to_vec(), fault(1, 84)));
        assert_eq!(convert("UTF-8", Toward::Wire, b"caf\xe9"), (b"caf".to_vec(), fault(3, 22)));
    }

    #[test]
    fn strings_longer_than_a_piece_arrive_whole() {
        let long = vec![0xe9; 3 * PIECE];
        assert_eq!(convert("latin1", Toward::Wire, &long), ("é".repeat(3 * PIECE).into_bytes(), None));
    }

    #[test]
    fn a_state_does_not_reach_the_next_string() {
        let charset = Iconv::open(b"ISO-2022-JP").unwrap();
        for _ in 0..2 {
            let mut out = Vec::new();
            charset.convert(Toward::Here, "日".as_bytes(), &mut out).unwrap();
            assert_eq!(out, b"\x1b$BF|");
        }
    }

    #[test]
    fn unknown_charsets_are_named() {
        assert_eq!(Iconv::open(b"foo").unwrap_err(), b"iconv_open(\"UTF-8\", \"foo\") failed");
        assert!(Iconv::open(b"a\0b").is_err());
    }
}
