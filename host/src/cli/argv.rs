//! Splitting of an argument vector into options and operands.
//!
//! clap does the parsing; this file first brings the vector into a form that means the same to clap as it means
//! to rsync: one word per option (`--name`, `--name=VALUE` or `-X`), then `--`, then the operands. Bundles, the
//! `=` that may follow a letter, integers in C notation and the wording of errors are handled here.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
};

use super::{
    number,
    options::{self, OPERANDS, OptId, OptSpec, Value},
};

/// Why an item of the vector cannot be an option. The texts are those of `rsync: ITEM: REASON`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// No such name or letter.
    Unknown,
    /// The vector ends where a value must stand.
    MissingArgument,
    /// `--verbose=1`
    NoArgument,
    /// Not a number.
    BadNumber,
    /// Does not fit 32 bits.
    Overflow,
}

impl Reason {
    /// The text.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Unknown => "unknown option",
            Self::MissingArgument => "missing argument",
            Self::NoArgument => "option does not take an argument",
            Self::BadNumber => "invalid numeric value",
            Self::Overflow => "number too large or too small",
        }
    }
}

/// The item at which splitting stopped, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The item as typed.
    pub(crate) item: Vec<u8>,
    /// What is wrong with it.
    pub(crate) reason: Reason,
}

/// An option as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    /// Which.
    pub(crate) id: OptId,
    /// Its value; empty for switches.
    pub(crate) value: OsString,
}

/// A parsed vector: what stands before the first fault, and the fault.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    /// The options, in order.
    pub(crate) options: Vec<Given>,
    /// The operands, in order.
    pub(crate) operands: Vec<OsString>,
    /// The first fault. The options before it count all the same, since some of them act at once.
    pub(crate) fault: Option<Fault>,
}

/// Parses a vector (without the program's name) by a table. `posix`: the first operand ends the options.
pub(crate) fn parse(table: &'static [OptSpec], argv: &[OsString], posix: bool) -> Parsed {
    let mut words = Words { table, out: Vec::new(), operands: Vec::new() };
    let fault = words.split(argv, posix).err();
    let Words { out, operands, .. } = words;
    let known = operands.len();
    let line = out.into_iter().chain([OsString::from("--")]).chain(operands);
    let (options, operands) = match options::command(table).try_get_matches_from(line) {
        Ok(matches) => in_order(table, &matches),
        // The words were made from the table that the command was made from.
        Err(e) => {
            let item = e.to_string().into_bytes();
            return Parsed { fault: Some(Fault { item, reason: Reason::Unknown }), ..Parsed::default() };
        }
    };
    debug_assert_eq!(operands.len(), known);
    Parsed { options, operands, fault }
}

/// Brings the options that clap collected by name back into the order of the command line.
fn in_order(table: &'static [OptSpec], matches: &clap::ArgMatches) -> (Vec<Given>, Vec<OsString>) {
    let mut found: Vec<(usize, Given)> = Vec::new();
    for id in options::ids(table) {
        let name = options::arg_name(table, id);
        let (Some(indices), Some(values)) = (matches.indices_of(name), matches.get_many::<OsString>(name))
        else {
            continue;
        };
        found.extend(indices.zip(values).map(|(at, value)| (at, Given { id, value: value.clone() })));
    }
    found.sort_by_key(|(at, _)| *at);
    let operands = matches.get_many::<OsString>(OPERANDS).map(|v| v.cloned().collect()).unwrap_or_default();
    (found.into_iter().map(|(_, given)| given).collect(), operands)
}

/// The vector on its way to clap.
struct Words {
    table: &'static [OptSpec],
    out: Vec<OsString>,
    operands: Vec<OsString>,
}

impl Words {
    fn split(&mut self, argv: &[OsString], posix: bool) -> Result<(), Fault> {
        let mut rest = argv.iter();
        while let Some(item) = rest.next() {
            let bytes = item.as_bytes();
            match bytes {
                b"--" => {
                    self.operands.extend(rest.by_ref().cloned());
                }
                [b'-', b'-', name @ ..] => self.long(item, name, &mut rest)?,
                [b'-', letters @ ..] if !letters.is_empty() => self.bundle(item, letters, &mut rest)?,
                _ => {
                    self.operands.push(item.clone());
                    if posix {
                        self.operands.extend(rest.by_ref().cloned());
                    }
                }
            }
        }
        Ok(())
    }

    fn long<'a>(
        &mut self,
        item: &OsStr,
        text: &[u8],
        rest: &mut impl Iterator<Item = &'a OsString>,
    ) -> Result<(), Fault> {
        let (name, attached) = match memchr::memchr(b'=', text) {
            Some(i) => (&text[..i], Some(&text[i + 1..])),
            None => (text, None),
        };
        let spec = options::by_name(self.table, name).ok_or_else(|| fault(item, Reason::Unknown))?;
        match (spec.value, attached) {
            (Value::None, None) => self.push(spec, None),
            (Value::None, Some(_)) => return Err(fault(item, Reason::NoArgument)),
            (_, Some(value)) => self.valued(spec, item, value)?,
            (_, None) => self.separate(spec, item, rest)?,
        }
        Ok(())
    }

    fn bundle<'a>(
        &mut self,
        item: &OsStr,
        letters: &[u8],
        rest: &mut impl Iterator<Item = &'a OsString>,
    ) -> Result<(), Fault> {
        for (i, &letter) in letters.iter().enumerate() {
            let spec = options::by_letter(self.table, letter).ok_or_else(|| fault(item, Reason::Unknown))?;
            let after = letters.get(i + 1..).unwrap_or_default();
            match spec.value {
                Value::None if after.first() == Some(&b'=') => return Err(fault(item, Reason::NoArgument)),
                Value::None => self.push(spec, None),
                _ if after.is_empty() => return self.separate(spec, item, rest),
                _ => return self.valued(spec, item, after.strip_prefix(b"=").unwrap_or(after)),
            }
        }
        Ok(())
    }

    /// The value is the next item, whatever it looks like.
    fn separate<'a>(
        &mut self,
        spec: &'static OptSpec,
        item: &OsStr,
        rest: &mut impl Iterator<Item = &'a OsString>,
    ) -> Result<(), Fault> {
        let value = rest.next().ok_or_else(|| fault(item, Reason::MissingArgument))?;
        self.valued(spec, value, value.as_bytes())
    }

    fn valued(&mut self, spec: &'static OptSpec, item: &OsStr, value: &[u8]) -> Result<(), Fault> {
        if spec.value == Value::Int {
            number::c_int(value).map_err(|reason| fault(item, reason))?;
        }
        self.push(spec, Some(value));
        Ok(())
    }

    fn push(&mut self, spec: &'static OptSpec, value: Option<&[u8]>) {
        let mut word = Vec::new();
        match spec.short {
            Some(c) if spec.long.is_empty() => word.extend([b'-', c as u8]),
            _ => {
                word.extend(b"--");
                word.extend(spec.long.as_bytes());
            }
        }
        if let Some(value) = value {
            word.push(b'=');
            word.extend(value);
        }
        self.out.push(OsString::from_vec(word));
    }
}

fn fault(item: &OsStr, reason: Reason) -> Fault {
    Fault { item: item.as_bytes().to_vec(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::options::{DAEMON_OPTIONS, OPTIONS};

    fn os(argv: &[&str]) -> Vec<OsString> {
        argv.iter().map(OsString::from).collect()
    }

    fn shown(argv: &[&str]) -> String {
        let parsed = parse(OPTIONS, &os(argv), false);
        let mut text: Vec<String> = parsed
            .options
            .iter()
            .map(|g| match g.value.is_empty() {
                true => format!("{:?}", g.id),
                false => format!("{:?}={}", g.id, g.value.to_string_lossy()),
            })
            .collect();
        text.extend(parsed.operands.iter().map(|o| format!("<{}>", o.to_string_lossy())));
        if let Some(f) = parsed.fault {
            text.push(format!("!{}: {}", String::from_utf8_lossy(&f.item), f.reason.text()));
        }
        text.join(" ")
    }

    #[test]
    fn the_forms_of_options() {
        assert_eq!(shown(&["-ave", "ssh", "a", "-n"]), "Archive Verbose Rsh=ssh DryRun <a>");
        assert_eq!(shown(&["-avessh"]), "Archive Verbose Rsh=ssh");
        assert_eq!(shown(&["-vB=700", "-B", "8", "-B="]), "Verbose BlockSize=700 BlockSize=8 BlockSize");
        assert_eq!(shown(&["-@", "-1", "--exclude", "-x"]), "ModifyWindow=-1 Exclude=-x");
        assert_eq!(
            shown(&["-D", "--no-D", "-P", "-FF"]),
            "DevicesSpecials NoDevicesSpecials PartialProgress FilterShort FilterShort"
        );
        assert_eq!(shown(&["-r", "--", "-x", "--"]), "Recursive <-x> <-->");
        assert_eq!(shown(&["-", "-r"]), "Recursive <->");
        assert_eq!(
            shown(&["-vlogDtpre.iLsfxCIvu", "."]),
            "Verbose Links Owner Group DevicesSpecials Times Perms Recursive Rsh=.iLsfxCIvu <.>"
        );
        assert_eq!(shown(&["--cc=md5", "--checksum-choice", "md4"]), "ChecksumChoice=md5 ChecksumChoice=md4");
    }

    #[test]
    fn order_among_options_is_kept() {
        assert_eq!(
            shown(&["--exclude=a", "-f", "+ b", "--include", "c", "--exclude", "d", "-v", "--no-v", "-v"]),
            "Exclude=a Filter=+ b Include=c Exclude=d Verbose NoVerbose Verbose"
        );
    }

    #[test]
    fn faults_name_the_item_as_typed() {
        for (argv, text) in [
            (&["-vQ"][..], "Verbose !-vQ: unknown option"),
            (&["--verb"], "!--verb: unknown option"),
            (&["-avf"], "Archive Verbose !-avf: missing argument"),
            (&["--exclude"], "!--exclude: missing argument"),
            (&["--verbose=1"], "!--verbose=1: option does not take an argument"),
            (&["-v=1"], "!-v=1: option does not take an argument"),
            (&["--timeout=9x"], "!--timeout=9x: invalid numeric value"),
            (&["--timeout", "9x"], "!9x: invalid numeric value"),
            (&["-v@9x"], "Verbose !-v@9x: invalid numeric value"),
            (&["--timeout=08"], "!--timeout=08: invalid numeric value"),
            (&["--timeout=2147483648"], "!--timeout=2147483648: number too large or too small"),
            (&["-=x"], "!-=x: unknown option"),
            (&["--=x"], "!--=x: unknown option"),
            (&["-v-"], "Verbose !-v-: unknown option"),
            (&["--no-a"], "!--no-a: unknown option"),
        ] {
            assert_eq!(shown(argv), text);
        }
    }

    #[test]
    fn values_may_be_any_bytes() {
        let argv =
            [OsString::from_vec(b"--exclude=\xff=\xfe".to_vec()), OsString::from_vec(b"\xfd".to_vec())];
        let parsed = parse(OPTIONS, &argv, false);
        assert_eq!(
            parsed.options,
            [Given { id: OptId::Exclude, value: OsString::from_vec(b"\xff=\xfe".to_vec()) }]
        );
        assert_eq!(parsed.operands, [OsString::from_vec(b"\xfd".to_vec())]);
    }

    #[test]
    fn posix_mode_stops_at_the_first_operand() {
        let parsed = parse(OPTIONS, &os(&["-r", "a", "-n"]), true);
        assert_eq!(parsed.options.len(), 1);
        assert_eq!(parsed.operands, os(&["a", "-n"]));
    }

    #[test]
    fn daemon_mode_has_its_own_letters() {
        let parsed = parse(DAEMON_OPTIONS, &os(&["--daemon", "-M", "port=1", "-h"]), false);
        let ids: Vec<OptId> = parsed.options.iter().map(|g| g.id).collect();
        assert_eq!(ids, [OptId::Daemon, OptId::Dparam, OptId::Help]);
    }
}
