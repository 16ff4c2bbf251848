//! The text of rules that a client sends to its server (spec: wire exchange).

use alloc::vec::Vec;

use super::{
    list::FilterList,
    load::{DirMerge, Item},
    rule::{FilterSide, Rule, Sides},
};
use crate::{error::ProtocolError, version::ProtocolVersion};

impl FilterList {
    /// The rules that the server needs, in order, each without its length. `client` is the client's own side.
    ///
    /// Each rule is sent as i32 LE length, below 5120, and text without NUL; a length of 0 ends the list. From
    /// protocol 29 on the text is a prefix with modifiers, a space and the pattern (`- *.o`, `:n- .rules`); before, the
    /// bare pattern of an exclusion, or `+ ` and that of an inclusion.
    /// Example, `- *.o` and the end: `05 00 00 00 2d 20 2a 2e 6f 00 00 00 00`. Fails with
    /// [`ProtocolError::FilterTooModern`] if the protocol cannot carry a rule, which counts even if the list is not
    /// sent. The rules of the option `-C` are added before (a push) or after this (a pull).
    pub fn wire_rules(
        &self,
        protocol: ProtocolVersion,
        client: FilterSide,
    ) -> Result<Vec<Vec<u8>>, ProtocolError> {
        // The server of a pull expands `-C` in its own environment.
        let cvs_as_one = client == FilterSide::Receiver && protocol.has_filter_modifiers();
        let local = |sides: Sides| match client {
            FilterSide::Sender => sides == Sides::Sender,
            FilterSide::Receiver => sides == Sides::Receiver,
        };
        self.texts(protocol, client, cvs_as_one, local)
    }

    /// All rules of a client, for the script of a batch file. Those of the option `-C` are not among them.
    pub fn script_rules(&self, protocol: ProtocolVersion) -> Result<Vec<Vec<u8>>, ProtocolError> {
        self.texts(protocol, FilterSide::Sender, false, |_| false)
    }

    fn texts(
        &self,
        protocol: ProtocolVersion,
        client: FilterSide,
        cvs_as_one: bool,
        local: impl Fn(Sides) -> bool,
    ) -> Result<Vec<Vec<u8>>, ProtocolError> {
        let mut out = Vec::new();
        for item in &self.items {
            match item {
                Item::Rule(rule) if !(local(rule.sides) || rule.cvs && cvs_as_one) => {
                    out.push(self.rule_text(rule, false, protocol, client)?);
                }
                Item::Cvs(rule) if !local(rule.sides) && cvs_as_one => {
                    out.push(self.rule_text(rule, true, protocol, client)?);
                }
                Item::DirMerge(_, merge) if !local(merge.sides) => {
                    if !protocol.has_filter_modifiers() {
                        return Err(ProtocolError::FilterTooModern);
                    }
                    out.push(merge_text(merge, protocol, client)?);
                }
                Item::Rule(_) | Item::Cvs(_) | Item::DirMerge(..) => {}
            }
        }
        Ok(out)
    }

    fn rule_text(
        &self,
        rule: &Rule,
        cvs: bool,
        protocol: ProtocolVersion,
        client: FilterSide,
    ) -> Result<Vec<u8>, ProtocolError> {
        let pattern = &rule.pattern;
        let mut out = Vec::new();
        if protocol.has_filter_modifiers() {
            out.push(if rule.include { b'+' } else { b'-' });
            let modifiers = [(rule.abs_modifier, b'/'), (rule.negate, b'!'), (cvs, b'C'), (rule.xattr, b'x')];
            out.extend(modifiers.iter().filter(|(on, _)| *on).map(|(_, c)| c));
            let sides = if rule.quiet_side { Sides::Unsaid } else { rule.sides };
            sides_and_perishable(sides, rule.perishable, protocol, client, &mut out)?;
            out.push(b' ');
        } else {
            let receiver = matches!(rule.sides, Sides::Receiver | Sides::Both);
            let own = client == FilterSide::Sender
                && (rule.perishable || receiver && self.shared.config.delete_excluded);
            if rule.abs_modifier || rule.negate || rule.xattr || own {
                return Err(ProtocolError::FilterTooModern);
            }
            if rule.include {
                out.extend_from_slice(b"+ ");
            } else if matches!(&*pattern.text, [b'+' | b'-', b' ', ..] | b"!") {
                out.extend_from_slice(b"- ");
            }
        }
        out.extend_from_slice(&pattern.text);
        if pattern.directory {
            out.push(b'/');
        }
        Ok(out)
    }
}

fn merge_text(
    merge: &DirMerge,
    protocol: ProtocolVersion,
    client: FilterSide,
) -> Result<Vec<u8>, ProtocolError> {
    let mut out = Vec::from(*b":");
    let modifiers = [
        (merge.absolute, b'/'),
        (merge.cvs, b'C'),
        (merge.no_inherit && !merge.cvs, b'n'),
        (merge.words && !merge.cvs, b'w'),
        (merge.bare == Some(false) && !merge.cvs, b'-'),
        (merge.bare == Some(true) && !merge.cvs, b'+'),
        (merge.xattr, b'x'),
    ];
    out.extend(modifiers.iter().filter(|(on, _)| *on).map(|(_, c)| c));
    let sides = if merge.quiet_side { Sides::Unsaid } else { merge.sides };
    sides_and_perishable(sides, merge.perishable, protocol, client, &mut out)?;
    out.push(b' ');
    out.extend_from_slice(&merge.name);
    Ok(out)
}

fn sides_and_perishable(
    sides: Sides,
    perishable: bool,
    protocol: ProtocolVersion,
    client: FilterSide,
    out: &mut Vec<u8>,
) -> Result<(), ProtocolError> {
    if matches!(sides, Sides::Sender | Sides::Both) {
        out.push(b's');
    }
    if matches!(sides, Sides::Receiver | Sides::Both) {
        out.push(b'r');
    }
    if perishable {
        match (protocol.has_perishable(), client) {
            (true, _) => out.push(b'p'),
            (false, FilterSide::Receiver) => {}
            (false, FilterSide::Sender) => return Err(ProtocolError::FilterTooModern),
        }
    }
    Ok(())
}
