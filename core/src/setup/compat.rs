//! Compatibility flags and the capability letters they answer (spec: compat flags, the -e suffix).

use bitflags::bitflags;

bitflags! {
    /// Flags that a server sends behind the version exchange (protocol ≥ 30), as a varint; bits that are not here are
    /// ignored. All that follow the third answer a letter of the client ([`Capabilities`]). As recorded: `81 ff`, all of
    /// them; `81 fe`, without incremental recursion; `07`, an old server's.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct CompatFlags: u32 {
        /// Incremental recursion is in use.
        const INC_RECURSE = 1 << 0;
        /// The server can set symlink times. Nothing on the wire depends on it.
        const SYMLINK_TIMES = 1 << 1;
        /// The server can convert symlink contents: with `--iconv` targets travel in UTF-8.
        const SYMLINK_ICONV = 1 << 2;
        /// A file list may end with an error word; from protocol 31 on it always may.
        const SAFE_FLIST = 1 << 3;
        /// No xattr hard-link optimisation: items of links have a list of attributes too (without it, not from protocol 31 on).
        const AVOID_XATTR_OPTIM = 1 << 4;
        /// Block checksums of an MD5 that was not negotiated hash the seed first.
        const CHKSUM_SEED_FIX = 1 << 5;
        /// The partial-dir basis may be updated in place.
        const INPLACE_PARTIAL_DIR = 1 << 6;
        /// File-list flags and the error word behind a list are varints, and algorithm names are negotiated.
        const VARINT_FLIST_FLAGS = 1 << 7;
        /// Id lists carry names for id 0.
        const ID0_NAMES = 1 << 8;
    }
}

bitflags! {
    /// What a client says in its `-e.LETTERS` argument (protocol ≥ 30). The letters travel, not these bits.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Capabilities: u16 {
        /// `i`: incremental recursion allowed.
        const INC_RECURSE = 1 << 0;
        /// `L`: can set symlink times.
        const SYMLINK_TIMES = 1 << 1;
        /// `s`: can convert symlink contents.
        const SYMLINK_ICONV = 1 << 2;
        /// `f`: safe file lists.
        const SAFE_FLIST = 1 << 3;
        /// `x`: xattr hard-link optimisation not wanted.
        const AVOID_XATTR_OPTIM = 1 << 4;
        /// `C`: fixed seed order.
        const CHKSUM_SEED_FIX = 1 << 5;
        /// `I`: in-place partial-dir basis.
        const INPLACE_PARTIAL_DIR = 1 << 6;
        /// `v`: varint flags and negotiation.
        const VARINT_FLIST_FLAGS = 1 << 7;
        /// `u`: names of id 0.
        const ID0_NAMES = 1 << 8;
        /// `V`: obsolete form of `v` whose answer is one byte.
        const BYTE_FLAGS = 1 << 9;
    }
}

impl Capabilities {
    const LETTERS: [(u8, Self); 10] = [
        (b'i', Self::INC_RECURSE),
        (b'L', Self::SYMLINK_TIMES),
        (b's', Self::SYMLINK_ICONV),
        (b'f', Self::SAFE_FLIST),
        (b'x', Self::AVOID_XATTR_OPTIM),
        (b'C', Self::CHKSUM_SEED_FIX),
        (b'I', Self::INPLACE_PARTIAL_DIR),
        (b'v', Self::VARINT_FLIST_FLAGS),
        (b'u', Self::ID0_NAMES),
        (b'V', Self::BYTE_FLAGS),
    ];

    /// The letters in the value of `-e`, e.g. `.iLsfxCIvu` or `31.5v`. Unknown ones are ignored.
    pub fn parse(info: &[u8]) -> Self {
        let letters = info.iter().skip_while(|b| b.is_ascii_digit() || **b == b'.');
        letters.fold(Self::empty(), |all, letter| {
            all | Self::LETTERS.iter().find(|(l, _)| l == letter).map_or(Self::empty(), |&(_, flag)| flag)
        })
    }

    /// The pre-release number in the value of `-e`: (version, sub-version), e.g. (31, 5) of `31.5v`; `None` without one.
    pub fn sub_protocol(info: &[u8]) -> Option<(u32, u32)> {
        let digits = |b: &[u8]| {
            let n = b.iter().take_while(|c| c.is_ascii_digit()).count();
            let value = b
                .get(..n)?
                .iter()
                .fold(0u32, |v, d| v.saturating_mul(10).saturating_add(u32::from(d - b'0')));
            (n > 0).then_some((value, n))
        };
        let (version, n) = digits(info)?;
        let rest = info.get(n..)?.strip_prefix(b".")?;
        Some((version, digits(rest).map_or(0, |(sub, _)| sub)))
    }

    /// The flags with which a Linux server of 3.5.0's abilities answers, incremental recursion aside.
    pub fn answer(self) -> CompatFlags {
        let mut flags = CompatFlags::SYMLINK_TIMES | CompatFlags::SYMLINK_ICONV;
        for (capability, flag) in [
            (Self::SAFE_FLIST, CompatFlags::SAFE_FLIST),
            (Self::AVOID_XATTR_OPTIM, CompatFlags::AVOID_XATTR_OPTIM),
            (Self::CHKSUM_SEED_FIX, CompatFlags::CHKSUM_SEED_FIX),
            (Self::INPLACE_PARTIAL_DIR, CompatFlags::INPLACE_PARTIAL_DIR),
            (Self::VARINT_FLIST_FLAGS, CompatFlags::VARINT_FLIST_FLAGS),
            (Self::ID0_NAMES, CompatFlags::ID0_NAMES),
        ] {
            flags.set(flag, self.contains(capability));
        }
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_answers_as_observed() {
        let caps = Capabilities::parse(b".iLsfxCIvu");
        assert!(caps.contains(Capabilities::INC_RECURSE));
        assert_eq!(caps.answer().bits(), 0x1fe);
        assert_eq!(Capabilities::parse(b".iLs").answer().bits(), 6);
        assert_eq!(Capabilities::parse(b".v").answer().bits(), 0x86);
        assert_eq!(Capabilities::parse(b".fxCIvuZQ").answer().bits(), 0x1fe);
        assert_eq!(Capabilities::sub_protocol(b"31.5v"), Some((31, 5)));
        assert_eq!(Capabilities::sub_protocol(b".iLs"), None);
    }
}
