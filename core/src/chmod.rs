//! The `--chmod` grammar (spec: chmod grammar): changes of the twelve permission bits.
//!
//! `LIST = item {"," item}`; `item = ["D"|"F"] {u|g|o|a} op perms | ["D"|"F"] OCTAL`; `op = "+" | "-" | "="`;
//! `perms = {r|w|x|X|s|t}` or one of `u|g|o`.

use alloc::vec::Vec;

const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;
const STICKY: u32 = 0o1000;
/// All that may be changed.
const PERMS: u32 = 0o7777;

/// Parsed list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chmod {
    items: Vec<Item>,
}

/// The text is no list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("invalid --chmod list")]
pub struct BadChmod;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    All,
    Directories,
    Others,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Item {
    target: Target,
    change: Change,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// All twelve bits.
    Octal(u32),
    Symbolic {
        /// The named classes, 1 per class: u 0o100, g 0o010, o 0o001; 0: none was named.
        classes: u32,
        op: u8,
        /// rwx of one class.
        bits: u32,
        /// `X` was among the bits.
        x_if_any: bool,
        /// `s` and `t`.
        special: u32,
        /// Take the rwx of the class at this shift instead.
        copy: Option<u32>,
    },
}

impl Chmod {
    /// Reads a list.
    pub fn parse(text: &[u8]) -> Result<Self, BadChmod> {
        let items = text.split(|&b| b == b',').map(item).collect::<Result<_, _>>()?;
        Ok(Self { items })
    }

    /// The list of a further `--chmod`, applied after this one.
    pub fn append(&mut self, other: Self) {
        self.items.extend(other.items);
    }

    /// The permissions that an entry gets; other bits of `mode` stay. Symlinks are not to be given to this. `umask` is
    /// that of the process; it masks changes without a class.
    pub fn apply(&self, mode: u32, is_dir: bool, umask: u32) -> u32 {
        let any_x = mode & 0o111 != 0;
        let mut perms = mode & PERMS;
        for item in &self.items {
            let fits = match item.target {
                Target::All => true,
                Target::Directories => is_dir,
                Target::Others => !is_dir,
            };
            if fits {
                perms = apply(item.change, perms, is_dir || any_x, umask);
            }
        }
        mode & !PERMS | perms
    }
}

fn apply(change: Change, perms: u32, wants_x: bool, umask: u32) -> u32 {
    let (classes, op, bits, x_if_any, special, copy) = match change {
        Change::Octal(value) => return value,
        Change::Symbolic { classes, op, bits, x_if_any, special, copy } => {
            (classes, op, bits, x_if_any, special, copy)
        }
    };
    let own = match copy {
        Some(shift) => perms >> shift & 7,
        None => bits | u32::from(x_if_any && wants_x),
    };
    // Without a class the bits go to all of them, as far as the umask lets them.
    let all = if classes == 0 { 0o111 } else { classes };
    let mask = if classes == 0 { !umask } else { !0 };
    let wanted = (all * own) & mask | special;
    match op {
        b'+' => perms | wanted,
        b'-' => perms & !wanted,
        _ => {
            let mut cleared = all * 7;
            if copy.is_some() {
                cleared |= set_ids(all) | if all & 0o001 != 0 { STICKY } else { 0 };
            } else if special != 0 {
                cleared |= set_ids(classes);
            }
            perms & !cleared | wanted
        }
    }
}

/// The set-id bits of the named classes.
fn set_ids(classes: u32) -> u32 {
    (if classes & 0o100 != 0 { SETUID } else { 0 }) | if classes & 0o010 != 0 { SETGID } else { 0 }
}

fn item(text: &[u8]) -> Result<Item, BadChmod> {
    let (mut target, mut classes, mut at) = (Target::All, 0, 0);
    let op = loop {
        let wanted = match text.get(at).ok_or(BadChmod)? {
            b'D' => Target::Directories,
            b'F' => Target::Others,
            b'u' => {
                classes |= 0o100;
                target
            }
            b'g' => {
                classes |= 0o010;
                target
            }
            b'o' => {
                classes |= 0o001;
                target
            }
            b'a' => {
                classes |= 0o111;
                target
            }
            b'0'..=b'7' if classes == 0 => {
                return Ok(Item { target, change: Change::Octal(octal(&text[at..])?) });
            }
            &op @ (b'+' | b'-' | b'=') => break op,
            _ => return Err(BadChmod),
        };
        if target != Target::All && wanted != target {
            return Err(BadChmod);
        }
        target = wanted;
        at += 1;
    };
    let perms = &text[at + 1..];
    let (mut bits, mut x_if_any, mut special, mut copy) = (0, false, 0, None);
    match perms {
        b"u" => copy = Some(6),
        b"g" => copy = Some(3),
        b"o" => copy = Some(0),
        _ => {
            for perm in perms {
                match perm {
                    b'r' => bits |= 4,
                    b'w' => bits |= 2,
                    b'x' => bits |= 1,
                    b'X' => x_if_any = true,
                    // Without `u` and `g`, as if `u` were named.
                    b's' if set_ids(classes) == 0 => special |= SETUID,
                    b's' => special |= set_ids(classes),
                    b't' => special |= STICKY,
                    _ => return Err(BadChmod),
                }
            }
        }
    }
    Ok(Item { target, change: Change::Symbolic { classes, op, bits, x_if_any, special, copy } })
}

fn octal(text: &[u8]) -> Result<u32, BadChmod> {
    text.iter().try_fold(0, |value, digit| match digit {
        b'0'..=b'7' => Some(value * 8 + u32::from(digit - b'0')).filter(|&v| v <= PERMS).ok_or(BadChmod),
        _ => Err(BadChmod),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn file(list: &str, before: u32, after: u32) {
        let got = Chmod::parse(list.as_bytes()).unwrap().apply(0o100_000 | before, false, 0o022);
        assert_eq!(got, 0o100_000 | after, "{list} on {before:o} gives {got:o}");
    }
    #[track_caller]
    fn dir(list: &str, before: u32, after: u32) {
        let got = Chmod::parse(list.as_bytes()).unwrap().apply(0o040_000 | before, true, 0o022);
        assert_eq!(got, 0o040_000 | after, "{list} on {before:o} gives {got:o}");
    }

    #[test]
    fn changes_are_those_observed() {
        file("+x", 0o640, 0o751);
        file("=rw", 0o640, 0o644);
        file("+s", 0o640, 0o4640);
        file("o+s", 0o640, 0o4640);
        file("a+s", 0o640, 0o6640);
        file("u=x", 0o4755, 0o4155);
        file("u=xt", 0o4755, 0o1155);
        file("u=t", 0o7755, 0o3055);
        file("u=g", 0o4755, 0o0555);
        file("o=u", 0o7755, 0o6757);
        file("g=u", 0o640, 0o660);
        file("u+", 0o640, 0o640);
        file("a=", 0o640, 0);
        file("a-r", 0o755, 0o311);
        file("644", 0o4755, 0o644);
        file("4711,go-x", 0o644, 0o4700);
        for (list, before, after) in [
            ("a=t", 0o7755, 0o1000),
            ("=t", 0o7755, 0o7000),
            ("=s", 0o7755, 0o7000),
            ("=u", 0o7755, 0o755),
            ("go=u", 0o7755, 0o4777),
            ("o=t", 0o7755, 0o7750),
            ("ug=t", 0o7755, 0o1005),
            ("o=s", 0o7755, 0o7750),
            ("g=s", 0o7755, 0o7705),
            ("u=u", 0o7755, 0o3755),
            ("g=o", 0o6755, 0o4755),
            ("-s", 0o7755, 0o3755),
            ("-u", 0o6755, 0o6000),
            ("+u", 0o640, 0o644),
            ("+w", 0o400, 0o600),
            ("=X", 0o755, 0o111),
            ("DD+x", 0o640, 0o640),
            ("uu+x", 0o640, 0o740),
        ] {
            file(list, before, after);
        }
    }

    #[test]
    fn letters_in_front_choose_directories_or_others() {
        file("D755,F644", 0o600, 0o644);
        dir("D755,F644", 0o600, 0o755);
        file("uD+x", 0o600, 0o600);
        dir("ugD+x", 0o600, 0o710);
    }

    #[test]
    fn capital_x_looks_at_the_mode_before_the_first_item() {
        file("a+X", 0o644, 0o644);
        file("a+X", 0o744, 0o755);
        file("a-x,a+X", 0o744, 0o755);
        file("u+x,a+X", 0o644, 0o744);
        dir("a+X", 0o644, 0o755);
    }

    #[test]
    fn items_of_further_options_come_later() {
        let mut list = Chmod::parse(b"a=r").unwrap();
        list.append(Chmod::parse(b"u+w").unwrap());
        assert_eq!(list.apply(0o777, false, 0), 0o644);
        assert_eq!(Chmod::default().apply(0o100_640, false, 0o022), 0o100_640);
    }

    #[test]
    fn bad_lists_are_refused() {
        for bad in [
            "",
            ",",
            "u+x,",
            ",u+x",
            "u",
            "D",
            "DF+x",
            "FD644",
            "u644",
            "8",
            "648",
            "10000",
            "z+x",
            "u+z",
            "u=gr",
            "u=gg",
            "g=rwu",
            "u+x+w",
            "77777777777777777777",
        ] {
            assert_eq!(Chmod::parse(bad.as_bytes()), Err(BadChmod), "{bad}");
        }
        assert!(Chmod::parse(b"0000644").is_ok());
    }
}
