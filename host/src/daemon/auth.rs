//! Who may use a module: `auth users` and the file of secrets (spec: authentication).

use std::{fs::File, io::Read, os::unix::fs::MetadataExt};

use arsync_core::{filter::wildmatch, setup::daemon::AuthDigest};
use rustix::fs::OFlags;

use crate::vouched::{self, Trust};

/// Largest file of secrets that is read, bytes.
const MAX_SECRETS: u64 = 16 << 20;
/// Longest line of such a file, bytes; the rest of a longer one does not count.
const MAX_LINE: usize = 1023;

/// What a rule says about changing the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// As the module has it.
    Module,
    /// The module is read only for this user.
    ReadOnly,
    /// The module can be written by this user.
    ReadWrite,
}

/// Why a user is turned away. The client never hears which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// No rule is about the user.
    NoRule,
    /// A rule says so.
    ByRule,
    /// The name could be taken for a comment.
    BadName,
    /// There is no file of secrets.
    NoSecrets,
    /// The file of secrets is open to others.
    UnsafeSecrets,
    /// It has no word for the user.
    NoSecret,
    /// The answer is wrong.
    Mismatch,
}

impl Denied {
    /// The reason in the log.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::NoRule => "no matching rule",
            Self::ByRule => "denied by rule",
            Self::BadName => "invalid username",
            Self::NoSecrets => "no secrets file",
            Self::UnsafeSecrets => "ignoring secrets file",
            Self::NoSecret => "secret not found",
            Self::Mismatch => "password mismatch",
        }
    }
}

/// What a client said who wants to be let in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim<'a> {
    /// The name.
    pub(super) user: &'a [u8],
    /// The answer to the challenge.
    pub(super) answer: &'a [u8],
    /// The challenge.
    pub(super) challenge: &'a str,
    /// What joins them.
    pub(super) digest: AuthDigest,
}

/// Judges a claim. `groups`: names of the groups of a user of this machine.
pub(super) fn judge(
    claim: &Claim<'_>,
    rules: &[u8],
    secrets: Option<&[u8]>,
    strict: bool,
    groups: &dyn Fn(&[u8]) -> Vec<Vec<u8>>,
) -> Result<Access, Denied> {
    if claim.user.is_empty() || claim.user.starts_with(b"#") {
        return Err(Denied::BadName);
    }
    let (access, group) = matching_rule(rules, claim.user, groups).ok_or(Denied::NoRule)?;
    let access = access.ok_or(Denied::ByRule)?;
    let text = read_secrets(secrets.ok_or(Denied::NoSecrets)?, strict)?;
    let word = secret_of(&text, claim.user, group.as_deref()).ok_or(Denied::NoSecret)?;
    let expected = claim.digest.answer(word, claim.challenge.as_bytes());
    if is_equal(expected.as_bytes(), claim.answer) { Ok(access) } else { Err(Denied::Mismatch) }
}

/// Compares without telling by the time where the difference is.
fn is_equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// What the first rule about a user says (`None`: deny), and the group by which it is about him.
fn matching_rule(
    rules: &[u8],
    user: &[u8],
    groups: &dyn Fn(&[u8]) -> Vec<Vec<u8>>,
) -> Option<(Option<Access>, Option<Vec<u8>>)> {
    // A comma in front: names may hold blanks.
    let commas_only = rules.trim_ascii_start().first() == Some(&b',');
    let ends = |b: &u8| *b == b',' || (!commas_only && b.is_ascii_whitespace());
    let mut of_user = None;
    for word in rules.split(ends).map(<[u8]>::trim_ascii).filter(|word| !word.is_empty()) {
        let (name, access) = option(word);
        if let Some(pattern) = name.strip_prefix(b"@") {
            let groups = of_user.get_or_insert_with(|| groups(user));
            if let Some(group) = groups.iter().find(|group| wildmatch(pattern, group)) {
                return Some((access, Some(group.clone())));
            }
        } else if wildmatch(name, user) {
            return Some((access, None));
        }
    }
    None
}

/// A rule without its `:deny`, `:ro` or `:rw`, of which the first letters count.
fn option(word: &[u8]) -> (&[u8], Option<Access>) {
    let Some(at) = memchr::memrchr(b':', word) else { return (word, Some(Access::Module)) };
    let (name, option) = (&word[..at], word[at + 1..].to_ascii_lowercase());
    match &*option {
        [b'd', ..] => (name, None),
        [b'r', b'o', ..] => (name, Some(Access::ReadOnly)),
        [b'r', b'w', ..] => (name, Some(Access::ReadWrite)),
        _ => (word, Some(Access::Module)),
    }
}

fn read_secrets(path: &[u8], strict: bool) -> Result<Vec<u8>, Denied> {
    let file = open_trusted(path).map_err(|_| Denied::NoSecrets)?;
    let meta = file.metadata().map_err(|_| Denied::NoSecrets)?;
    let root = rustix::process::geteuid().is_root();
    if strict && (meta.mode() & 0o006 != 0 || (root && meta.uid() != 0)) {
        return Err(Denied::UnsafeSecrets);
    }
    let mut text = Vec::new();
    file.take(MAX_SECRETS).read_to_end(&mut text).map_err(|_| Denied::NoSecrets)?;
    Ok(text)
}

/// Opens a file that the operator named. What is no file, such as a pipe that nobody fills, must not hold up a client.
pub(super) fn open_trusted(path: &[u8]) -> std::io::Result<File> {
    let file = vouched::file(path, OFlags::RDONLY | OFlags::NONBLOCK, 0, Trust::Own)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(std::io::ErrorKind::InvalidInput.into()) }
}

/// The word of the first line that names the user, or the group by which he was admitted.
fn secret_of<'t>(text: &'t [u8], user: &[u8], group: Option<&[u8]>) -> Option<&'t [u8]> {
    text.split(|&b| b == b'\n').find_map(|line| {
        let line = line.get(..MAX_LINE).unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.starts_with(b"#") {
            return None;
        }
        let at = memchr::memchr(b':', line)?;
        let (name, word) = (&line[..at], &line[at + 1..]);
        let found = match name.strip_prefix(b"@") {
            Some(name) => Some(name) == group,
            None => name == user,
        };
        found.then_some(word)
    })
}

/// Whether a digest is at least as strong as the one that a module asks for; an unknown name asks for more than there
/// is.
pub(super) fn is_strong_enough(digest: AuthDigest, minimum: Option<&[u8]>) -> bool {
    let Some(minimum) = minimum else { return true };
    // The order is from strong to weak.
    let rank = |name: &str| AuthDigest::CANONICAL.iter().position(|d| d.name() == name);
    let wanted = core::str::from_utf8(minimum).ok().and_then(|name| rank(&name.trim().to_ascii_lowercase()));
    matches!((rank(digest.name()), wanted), (Some(got), Some(wanted)) if got <= wanted)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    };

    use super::*;
    use crate::fuzz;

    const CHALLENGE: &str = "MU5afzWriUqIYTCJcA0cJQ";
    /// The answer that was observed for `secret`.
    const ANSWER: &[u8] = b"xmcmnjAX/gvHC5CCqHj+sQ";

    fn groups(user: &[u8]) -> Vec<Vec<u8>> {
        if user == b"joe" { vec![b"users".to_vec(), b"staff".to_vec()] } else { Vec::new() }
    }

    fn verdict(user: &str, rules: &str, secrets: &str, mode: u32, strict: bool) -> Result<Access, Denied> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secrets");
        fs::write(&path, secrets).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let claim =
            Claim { user: user.as_bytes(), answer: ANSWER, challenge: CHALLENGE, digest: AuthDigest::Md5 };
        judge(&claim, rules.as_bytes(), Some(path.as_os_str().as_bytes()), strict, &groups)
    }

    #[test]
    fn the_first_rule_decides() {
        let of = |rules: &str| verdict("joe", rules, "joe:secret\n", 0o600, true);
        assert_eq!(of("joe"), Ok(Access::Module));
        assert_eq!(of("ann, j*:RO"), Ok(Access::ReadOnly));
        assert_eq!(of("joe:rw joe:deny"), Ok(Access::ReadWrite));
        assert_eq!(of("joe:deny joe"), Err(Denied::ByRule));
        assert_eq!(of("ann"), Err(Denied::NoRule));
        assert_eq!(of("@wheel @staff:ro"), Ok(Access::ReadOnly));
        assert_eq!(of(",ann smith,joe"), Ok(Access::Module));
        assert_eq!(verdict("ann smith", ",ann smith", "ann smith:secret", 0o600, true), Ok(Access::Module));
    }

    #[test]
    fn the_first_line_of_a_name_is_the_secret() {
        let of = |rules: &str, secrets: &str| verdict("joe", rules, secrets, 0o600, true);
        assert_eq!(of("joe", "# joe:x\nann:y\njoe:secret\njoe:z\n"), Ok(Access::Module));
        assert_eq!(of("joe", "joe:z\njoe:secret\n"), Err(Denied::Mismatch));
        assert_eq!(of("joe", "ann:secret\n"), Err(Denied::NoSecret));
        assert_eq!(of("joe", "@staff:secret\n"), Err(Denied::NoSecret));
        assert_eq!(of("@staff", "@users:x\n@staff:secret\n"), Ok(Access::Module));
        assert_eq!(of("joe", "joe:secret\r\n"), Ok(Access::Module));
    }

    #[test]
    fn files_and_names_that_are_not_trusted() {
        assert_eq!(verdict("joe", "joe", "joe:secret\n", 0o604, true), Err(Denied::UnsafeSecrets));
        assert_eq!(verdict("joe", "joe", "joe:secret\n", 0o604, false), Ok(Access::Module));
        assert_eq!(verdict("#joe", "*", "#joe:secret\n", 0o600, true), Err(Denied::BadName));
        let claim = Claim { user: b"joe", answer: ANSWER, challenge: CHALLENGE, digest: AuthDigest::Md5 };
        assert_eq!(judge(&claim, b"joe", None, true, &groups), Err(Denied::NoSecrets));
        let none = &b"/nonexistent/secrets"[..];
        assert_eq!(judge(&claim, b"joe", Some(none), true, &groups), Err(Denied::NoSecrets));
    }

    #[test]
    fn weaker_digests_than_wanted_are_refused() {
        assert!(is_strong_enough(AuthDigest::Sha256, Some(b"sha256")));
        assert!(is_strong_enough(AuthDigest::Sha512, Some(b"SHA1 ")));
        assert!(!is_strong_enough(AuthDigest::Md5, Some(b"sha256")));
        assert!(!is_strong_enough(AuthDigest::OldMd4, Some(b"md5")));
        assert!(!is_strong_enough(AuthDigest::Sha512, Some(b"whirlpool")));
        assert!(is_strong_enough(AuthDigest::OldMd4, None));
    }

    /// Rules, secrets and the name of a user, with NUL between them. A user who answers with a word is let in only if
    /// a line of the secrets ends in it.
    #[test]
    fn spoiled_secrets_let_nobody_in() {
        fuzz::run("daemon_secrets", 4_000, |data| {
            let mut parts = data.splitn(3, |&b| b == 0);
            let mut part = || parts.next().unwrap_or_default();
            let (rules, secrets, user) = (part(), part(), part());
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), secrets).unwrap();
            let claim = Claim { user, answer: ANSWER, challenge: CHALLENGE, digest: AuthDigest::Md5 };
            let path = file.path().as_os_str().as_bytes();
            if judge(&claim, rules, Some(path), true, &groups).is_ok() {
                let lines =
                    secrets.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
                assert!(lines.into_iter().any(|line| line.ends_with(b":secret")));
            }
        });
    }
}
