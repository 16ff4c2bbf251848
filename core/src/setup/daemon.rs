//! The lines before a session with a daemon: greeting, answers, authentication (spec: daemon protocol).
//!
//! | from | line | then |
//! |---|---|---|
//! | both | `@RSYNCD: 32.0 sha512 sha256 sha1 md5 md4`: [`Greeting`]; below 32 the names may be missing, below 30 the `.0` too | neither waits for the other |
//! | daemon | text for the user | any number of lines |
//! | client | `#early_input=LEN`, and LEN bytes, 1 to 5120 | only with `--early-input` |
//! | client | a module, or an empty line or `#list`: [`Request`] | |
//! | daemon | lines of [`list_line`], then `@RSYNCD: EXIT` | the end of a list |
//! | daemon | `@RSYNCD: AUTHREQD CHALLENGE` | if the module wants a user |
//! | client | `USER ANSWER`: [`AuthDigest::answer`] | |
//! | daemon | `@RSYNCD: OK`, or a refusal that begins with `@ERROR` | [`Answer`]; a refusal is the last line |
//! | client | the words of the server's command line, each ended by NUL (below protocol 30 by a newline), and an empty one | |
//!
//! Lines end in a newline; a carriage return before it is not part of them, NUL is not legal. What follows is
//! [`after_version`](super::after_version): there are no version words.
//!
//! Nothing here allocates or does I/O: lines come in as bytes and go out as bytes.

use core::fmt::Write as _;

use crate::version::ProtocolVersion;

/// What every line of control begins with.
pub const CONTROL: &[u8] = b"@RSYNCD: ";
/// Longest line that a client takes, bytes without the newline.
pub const MAX_LINE: usize = 5119;
/// Longest line that a server takes, bytes without the newline.
pub const MAX_REQUEST: usize = 1023;
/// Largest early input, bytes.
const MAX_EARLY_INPUT: usize = 5120;
/// The arguments may come.
pub const OK: &[u8] = b"@RSYNCD: OK\n";
/// All was said.
pub const EXIT: &[u8] = b"@RSYNCD: EXIT\n";
/// Longest base64 text of a digest.
const MAX_TEXT: usize = 86;

/// A digest of the authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum AuthDigest {
    /// `sha512`
    Sha512,
    /// `sha256`
    Sha256,
    /// `sha1`
    Sha1,
    /// `md5`
    Md5,
    /// `md4`
    Md4,
    /// The form of md4 before protocol 30, when no names are exchanged: four zero bytes go first.
    OldMd4,
}

/// A digest as text: base64 without padding.
pub type DigestText = heapless::String<MAX_TEXT>;

impl AuthDigest {
    /// The digests with a name, strongest first.
    pub const CANONICAL: [Self; 5] = [Self::Sha512, Self::Sha256, Self::Sha1, Self::Md5, Self::Md4];

    /// The name in a greeting.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha512 => "sha512",
            Self::Sha256 => "sha256",
            Self::Sha1 => "sha1",
            Self::Md5 => "md5",
            Self::Md4 | Self::OldMd4 => "md4",
        }
    }

    /// The answer to a challenge: password and challenge, the latter as the text that was received. 22 (`md5`, `md4`), 27 (`sha1`),
    /// 43 (`sha256`) or 86 letters.
    ///
    /// ```
    /// use arsync_core::setup::daemon::AuthDigest;
    ///
    /// let answer = AuthDigest::Md5.answer(b"secret", b"MU5afzWriUqIYTCJcA0cJQ");
    /// assert_eq!(answer, "xmcmnjAX/gvHC5CCqHj+sQ");
    /// ```
    pub fn answer(self, password: &[u8], challenge: &[u8]) -> DigestText {
        fn of<D: md5::Digest>(first: &[u8], password: &[u8], challenge: &[u8]) -> DigestText {
            let mut hash = D::new();
            hash.update(first);
            hash.update(password);
            hash.update(challenge);
            // Every digest fits.
            base64(&hash.finalize()).take(MAX_TEXT).collect()
        }
        match self {
            Self::Sha512 => of::<sha2::Sha512>(b"", password, challenge),
            Self::Sha256 => of::<sha2::Sha256>(b"", password, challenge),
            Self::Sha1 => of::<sha1::Sha1>(b"", password, challenge),
            Self::Md5 => of::<md5::Md5>(b"", password, challenge),
            Self::Md4 => of::<md4::Md4>(b"", password, challenge),
            Self::OldMd4 => of::<md4::Md4>(&[0; 4], password, challenge),
        }
    }
}

/// The letters of base64, without padding.
pub fn base64(bytes: &[u8]) -> impl Iterator<Item = char> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes.chunks(3).flat_map(|group| {
        let word = group.iter().enumerate().fold(0u32, |w, (i, &b)| w | u32::from(b) << (16 - 8 * i));
        (0..=group.len()).map(move |i| char::from(LETTERS[(word >> (18 - 6 * i)) as usize & 63]))
    })
}

/// The first line of either side: `@RSYNCD: VERSION.SUB DIGESTS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Greeting<'a> {
    /// Highest version that the peer speaks, as it was written; no range is checked.
    pub protocol: i32,
    /// Its pre-release number; 0 in a release, and below 30 where it may be missing.
    pub sub: i32,
    /// Names of its digests, separated by blanks; may be missing up to version 31.
    pub digests: Option<&'a [u8]>,
}

/// Why a greeting cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum BadGreeting {
    /// It is none.
    NotOne,
    /// The pre-release number is missing, with a version of 30 and more.
    NoSubprotocol,
    /// The names of digests are missing, with a version of 32 and more.
    NoDigests,
}

impl<'a> Greeting<'a> {
    /// Parses a line without its newline. Blanks before the number, and a sign, are taken as the reference
    /// takes them.
    ///
    /// ```
    /// use arsync_core::{setup::daemon::Greeting, version::ProtocolVersion};
    ///
    /// // What rsync 3.5.0 begins with.
    /// let line = b"@RSYNCD: 32.0 sha512 sha256 sha1 md5 md4";
    /// let greeting = Greeting::parse(line).expect("a greeting");
    /// assert_eq!(greeting.agree(ProtocolVersion::MAX), 32);
    /// ```
    pub fn parse(line: &'a [u8]) -> Result<Self, BadGreeting> {
        let rest = line.strip_prefix(b"@RSYNCD:").ok_or(BadGreeting::NotOne)?;
        let (protocol, rest) = number(rest.trim_ascii_start()).ok_or(BadGreeting::NotOne)?;
        let sub = rest.strip_prefix(b".").and_then(number);
        let (sub, rest) = match sub {
            Some((sub, rest)) => (sub, rest),
            None if protocol < 30 => (0, rest),
            None => return Err(BadGreeting::NoSubprotocol),
        };
        let digests = memchr::memchr(b' ', rest).and_then(|at| rest.get(at + 1..));
        if digests.is_none() && protocol > 31 {
            return Err(BadGreeting::NoDigests);
        }
        Ok(Self { protocol, sub, digests })
    }

    /// The version that both speak. A pre-release speaks its number with nobody but itself.
    ///
    /// The number may be one that this crate does not speak: the session's set-up refuses it.
    pub fn agree(&self, own: ProtocolVersion) -> i32 {
        let own = i32::from(own.number());
        if self.protocol < own {
            self.protocol - i32::from(self.sub != 0)
        } else if self.protocol == own && self.sub != 0 {
            own - 1
        } else {
            own
        }
    }

    /// The digest of the authentication: the first of ours that the peer named too. None: nothing in common.
    pub fn digest(&self, agreed: i32) -> Option<AuthDigest> {
        let Some(theirs) = self.digests else {
            return Some(if agreed < 30 { AuthDigest::OldMd4 } else { AuthDigest::Md5 });
        };
        let named = |name: &str| {
            theirs.split(u8::is_ascii_whitespace).any(|word| word.eq_ignore_ascii_case(name.as_bytes()))
        };
        AuthDigest::CANONICAL.into_iter().find(|digest| named(digest.name()))
    }
}

/// The own greeting, with its newline.
pub fn greeting(own: ProtocolVersion) -> heapless::String<64> {
    let mut line = heapless::String::new();
    let _ = write!(line, "@RSYNCD: {}.0", own.number());
    for digest in AuthDigest::CANONICAL {
        let _ = write!(line, " {}", digest.name());
    }
    let _ = line.push('\n');
    line
}

/// The line with which a client says what it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Request<'a> {
    /// The names of the modules.
    List,
    /// So many bytes for a script of the server follow, and then the request.
    EarlyInput(usize),
    /// The module of this name; it is compared byte by byte.
    Module(&'a [u8]),
    /// A command that nobody knows: the whole line.
    Unknown(&'a [u8]),
    /// A length of early input that is not allowed.
    BadEarlyInput,
}

impl<'a> Request<'a> {
    /// Tells what a line, without its newline, is.
    pub fn parse(line: &'a [u8]) -> Self {
        if let Some(len) = line.strip_prefix(b"#early_input=") {
            let len = number(len).and_then(|(len, _)| usize::try_from(len).ok());
            return len
                .filter(|len| (1..=MAX_EARLY_INPUT).contains(len))
                .map_or(Self::BadEarlyInput, Self::EarlyInput);
        }
        match line {
            b"" | b"#list" => Self::List,
            [b'#', ..] => Self::Unknown(line),
            name => Self::Module(name),
        }
    }
}

/// Writes the line of a list for one module.
pub fn list_line(out: &mut impl core::fmt::Write, name: &str, comment: &str) -> core::fmt::Result {
    writeln!(out, "{name:<15}\t{comment}")
}

/// A line with which a daemon answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Answer<'a> {
    /// The user must prove who it is: the challenge.
    AuthRequired(&'a [u8]),
    /// The arguments are awaited.
    Ok,
    /// Nothing follows (a list of modules has been sent).
    Exit,
    /// A refusal: the whole line.
    Error(&'a [u8]),
    /// Text for the user.
    Text(&'a [u8]),
}

impl<'a> Answer<'a> {
    /// Tells what a line, without its newline, is.
    pub fn parse(line: &'a [u8]) -> Self {
        if line.starts_with(b"@ERROR") {
            return Self::Error(line);
        }
        match line.strip_prefix(CONTROL) {
            Some(b"OK") => Self::Ok,
            Some(b"EXIT") => Self::Exit,
            Some(rest) => match rest.strip_prefix(b"AUTHREQD ") {
                Some(challenge) => Self::AuthRequired(challenge),
                None => Self::Text(line),
            },
            None => Self::Text(line),
        }
    }
}

/// A decimal number with an optional sign, and what follows it. Too large ones saturate.
fn number(text: &[u8]) -> Option<(i32, &[u8])> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let len = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, rest) = digits.split_at(len);
    let value = digits.iter().fold(0i32, |v, d| v.saturating_mul(10).saturating_add(i32::from(d - b'0')));
    (len > 0).then_some((if negative { -value } else { value }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_as_observed() {
        for (digest, challenge, answer) in [
            (AuthDigest::Md5, "MU5afzWriUqIYTCJcA0cJQ", "xmcmnjAX/gvHC5CCqHj+sQ"),
            (AuthDigest::Sha1, "iyBmcRAZCKMcHpil6I9nQPa0KfA", "6O+1J0x7qv+ZTXV1LjpEJgBiMJ0"),
            (AuthDigest::Md4, "Oy+hkMwe1Dh0aHPwE9fjGA", "Z7P77hejahxsG/07en/5lg"),
            (AuthDigest::OldMd4, "DZHemAD+YD0mw4ojw1oSgA", "i+ENU19d5eVyESBZgv5AxQ"),
            (
                AuthDigest::Sha256,
                "woFz4bHb1owVmybrwC+rP/X5xznLq6+vbfUmM4OHOSo",
                "PzDUE6yIHmOkPzuvAivP0wmaH+TkfCYQ2q3IhH4RcZg",
            ),
        ] {
            assert_eq!(digest.answer(b"secret", challenge.as_bytes()), answer, "{digest:?}");
        }
        assert_eq!(AuthDigest::Sha512.answer(b"", b"").len(), 86);
    }

    #[test]
    fn greetings_are_read_as_leniently_as_observed() {
        let parse = |line: &'static str| Greeting::parse(line.as_bytes());
        assert_eq!(
            parse("@RSYNCD: 32.0 sha512 sha256 sha1 md5 md4"),
            Ok(Greeting { protocol: 32, sub: 0, digests: Some(b"sha512 sha256 sha1 md5 md4") })
        );
        assert_eq!(parse("@RSYNCD: 31.5"), Ok(Greeting { protocol: 31, sub: 5, digests: None }));
        assert_eq!(parse("@RSYNCD:29"), Ok(Greeting { protocol: 29, sub: 0, digests: None }));
        assert_eq!(parse("@RSYNCD:  +31.0"), Ok(Greeting { protocol: 31, sub: 0, digests: None }));
        assert_eq!(parse("@RSYNCD: 30"), Err(BadGreeting::NoSubprotocol));
        assert_eq!(parse("@RSYNCD: 32.0"), Err(BadGreeting::NoDigests));
        assert_eq!(parse("@RSYNCD: OK"), Err(BadGreeting::NotOne));
        assert_eq!(parse("HTTP/1.1 400 Bad Request"), Err(BadGreeting::NotOne));
        assert_eq!(parse(""), Err(BadGreeting::NotOne));
    }

    #[test]
    fn versions_and_digests_are_agreed_on() {
        let of = |line: &'static str, own| {
            let greeting = Greeting::parse(line.as_bytes()).unwrap();
            let agreed = greeting.agree(ProtocolVersion::new(own).unwrap());
            (agreed, greeting.digest(agreed))
        };
        assert_eq!(of("@RSYNCD: 32.0 md5 SHA256 x", 32), (32, Some(AuthDigest::Sha256)));
        assert_eq!(of("@RSYNCD: 31.2 md4", 32), (30, Some(AuthDigest::Md4)));
        assert_eq!(of("@RSYNCD: 32.1 md4", 32), (31, Some(AuthDigest::Md4)));
        assert_eq!(of("@RSYNCD: 40.0 none", 29), (29, None));
        assert_eq!(of("@RSYNCD: 31.0", 32), (31, Some(AuthDigest::Md5)));
        assert_eq!(of("@RSYNCD: 29", 32), (29, Some(AuthDigest::OldMd4)));
        assert_eq!(of("@RSYNCD: 31.0", 29), (29, Some(AuthDigest::OldMd4)));
    }

    #[test]
    fn the_own_greeting_is_that_of_the_reference() {
        assert_eq!(greeting(ProtocolVersion::MAX), "@RSYNCD: 32.0 sha512 sha256 sha1 md5 md4\n");
        assert_eq!(greeting(ProtocolVersion::new(29).unwrap()), "@RSYNCD: 29.0 sha512 sha256 sha1 md5 md4\n");
    }

    #[test]
    fn requests_are_told_apart() {
        assert_eq!(Request::parse(b""), Request::List);
        assert_eq!(Request::parse(b"#list"), Request::List);
        assert_eq!(Request::parse(b"#early_input=5120"), Request::EarlyInput(5120));
        assert_eq!(Request::parse(b"#early_input=5121"), Request::BadEarlyInput);
        assert_eq!(Request::parse(b"#early_input=0"), Request::BadEarlyInput);
        assert_eq!(Request::parse(b"#early_input=-1"), Request::BadEarlyInput);
        assert_eq!(Request::parse(b"#lists"), Request::Unknown(b"#lists"));
        assert_eq!(Request::parse(b" mem"), Request::Module(b" mem"));
    }

    #[test]
    fn a_module_is_listed_as_observed() {
        let mut line = std::string::String::new();
        list_line(&mut line, "m1", "first").unwrap();
        list_line(&mut line, "a_name_of_17_bytes", "").unwrap();
        assert_eq!(line, "m1             \tfirst\na_name_of_17_bytes\t\n");
    }

    #[test]
    fn lines_of_a_daemon_are_told_apart() {
        assert_eq!(Answer::parse(b"@RSYNCD: OK"), Answer::Ok);
        assert_eq!(Answer::parse(b"@RSYNCD: EXIT"), Answer::Exit);
        assert_eq!(Answer::parse(b"@RSYNCD: AUTHREQD abc"), Answer::AuthRequired(b"abc"));
        assert_eq!(Answer::parse(b"@RSYNCD: OK then"), Answer::Text(b"@RSYNCD: OK then"));
        assert_eq!(Answer::parse(b"@ERROR: no"), Answer::Error(b"@ERROR: no"));
        assert_eq!(Answer::parse(b""), Answer::Text(b""));
    }
}
