//! User and group ids: the names that travel with them, and the mapping on the receiving side
//! (spec: id lists; users and groups).
//!
//! Wire, behind the only list of a session and unless `--numeric-ids`: users (with `-o` or `-A`), then groups (with `-g`
//! or `-A`). Each: id (varint, below protocol 30 i32), length of the name (byte), name; an id of 0 ends the list, with
//! length and name behind it if the handshake says so (`CompatFlags::ID0_NAMES`).
//! Below protocol 30 an i32 with error bits (1, 2, 4: see [`crate::session::io_error`]) ends the list behind that.
//! Example, users 1 `daemon` and 0 `root`: `01 06 64 61 65 6d 6f 6e 00 04 72 6f 6f 74`.

use alloc::vec::Vec;

use hashbrown::HashMap;

/// Names that came with ids.
#[derive(Debug, Default)]
pub struct IdTable {
    names: HashMap<u32, Vec<u8>>,
}

impl IdTable {
    /// Notes the name of an id; the first one stays.
    pub fn insert(&mut self, id: u32, name: &[u8]) {
        self.names.entry(id).or_insert_with(|| name.to_vec());
    }
    /// The name that came with an id.
    pub fn name(&self, id: u32) -> Option<&[u8]> {
        self.names.get(&id).map(Vec::as_slice)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum From {
    Range(u32, u32),
    /// A wildcard pattern, or (without wildcards) a name; empty: ids without a name.
    Name(Vec<u8>),
}

/// A parsed `--usermap` or `--groupmap`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdRules(Vec<(From, u32)>);

/// Why a map list cannot be used; fatal on the receiving side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum MapFault {
    /// `No colon found in --usermap: X`
    #[error("No colon found")]
    NoColon(Vec<u8>),
    /// `No name found after colon --usermap: X:`
    #[error("No name found after colon")]
    NoName(Vec<u8>),
    /// `Invalid number in --usermap: X`
    #[error("Invalid number")]
    BadNumber(Vec<u8>),
}

impl IdRules {
    /// Parses `FROM:TO[,FROM:TO...]`. `lookup` finds the id of a name; names that do not exist are handed to
    /// `unknown` and their rule is left out.
    pub fn parse(
        list: &[u8],
        lookup: impl Fn(&[u8]) -> Option<u32>,
        mut unknown: impl FnMut(&[u8]),
    ) -> Result<Self, MapFault> {
        let mut rules = Vec::new();
        // From the last one on, as faults and unknown names are told.
        for item in list.rsplit(|&b| b == b',') {
            let Some(colon) = memchr::memchr(b':', item) else {
                return Err(MapFault::NoColon(item.to_vec()));
            };
            let (from, to) =
                (item.get(..colon).unwrap_or_default(), item.get(colon + 1..).unwrap_or_default());
            if to.is_empty() {
                return Err(MapFault::NoName(item.to_vec()));
            }
            let from = if from.first().is_some_and(u8::is_ascii_digit) {
                let mut ends = from.splitn(2, |&b| b == b'-');
                let low = ends.next().and_then(number);
                let high = ends.next().map_or(low, number);
                match (low, high) {
                    (Some(low), Some(high)) => From::Range(low, high),
                    _ => return Err(MapFault::BadNumber(item.to_vec())),
                }
            } else {
                From::Name(from.to_vec())
            };
            let to = if to.iter().all(u8::is_ascii_digit) {
                number(to)
            } else {
                lookup(to).or_else(|| {
                    unknown(to);
                    None
                })
            };
            if let Some(to) = to {
                rules.push((from, to));
            }
        }
        rules.reverse();
        Ok(Self(rules))
    }

    fn find(&self, id: u32, name: &[u8]) -> Option<u32> {
        self.0.iter().find_map(|(from, to)| {
            let hit = match from {
                From::Range(low, high) => (*low..=*high).contains(&id),
                From::Name(pattern) if memchr::memchr3(b'*', b'?', b'[', pattern).is_some() => {
                    crate::filter::wildmatch(pattern, name)
                }
                From::Name(exact) => exact == name,
            };
            hit.then_some(*to)
        })
    }
}

fn number(text: &[u8]) -> Option<u32> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// Maps the ids of the sender to those of this machine.
#[derive(Debug, Default)]
pub struct IdMap {
    rules: IdRules,
    /// Names count: not `--numeric-ids`.
    by_name: bool,
    named_zero: bool,
    known: HashMap<u32, u32>,
}

impl IdMap {
    /// A map; `by_name`: ids with a name take the id of that name here; `named_zero`: id 0 comes with its name, if it has
    /// one.
    pub fn new(rules: IdRules, by_name: bool, named_zero: bool) -> Self {
        Self { rules, by_name, named_zero, known: HashMap::new() }
    }

    /// The id on this machine. `name`: that of the id where it comes from; `lookup`: the id that a name has here. Id 0 is
    /// never mapped by its name; where names of it do not come it counts as `root` for the rules.
    pub fn map(
        &mut self,
        id: u32,
        name: impl FnOnce(u32) -> Option<Vec<u8>>,
        lookup: impl Fn(&[u8]) -> Option<u32>,
    ) -> u32 {
        if self.rules.0.is_empty() && (id == 0 || !self.by_name) {
            return id;
        }
        if let Some(&mapped) = self.known.get(&id) {
            return mapped;
        }
        let name = match self.by_name.then(|| name(id)) {
            Some(Some(name)) => name,
            Some(None) if id == 0 && !self.named_zero => b"root".to_vec(),
            _ => Vec::new(),
        };
        let mapped = self
            .rules
            .find(id, &name)
            .or_else(|| if id != 0 && !name.is_empty() { lookup(&name) } else { None })
            .unwrap_or(id);
        self.known.insert(id, mapped);
        mapped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_come_before_names() {
        let lookup = |name: &[u8]| (name == b"bin").then_some(2);
        let rules = IdRules::parse(b"10-20:7,d*:bin,:99", lookup, |_| ()).unwrap();
        let mut map = IdMap::new(rules.clone(), true, false);
        let mut table = IdTable::default();
        table.insert(1, b"daemon");
        table.insert(5, b"bin");
        let name = |id| table.name(id).map(<[u8]>::to_vec);
        assert_eq!(map.map(15, name, lookup), 7);
        assert_eq!(map.map(1, name, lookup), 2);
        assert_eq!(map.map(5, name, lookup), 2);
        assert_eq!(map.map(6, name, lookup), 99);
        assert_eq!(map.map(0, name, lookup), 0);
        let mut map = IdMap::new(rules, true, true);
        assert_eq!(map.map(0, name, lookup), 99);
    }

    #[test]
    fn faults_of_map_lists() {
        let none = |_: &[u8]| None;
        assert_eq!(IdRules::parse(b"a", none, |_| ()), Err(MapFault::NoColon(b"a".to_vec())));
        assert_eq!(IdRules::parse(b"a:", none, |_| ()), Err(MapFault::NoName(b"a:".to_vec())));
        assert_eq!(IdRules::parse(b"1x:2", none, |_| ()), Err(MapFault::BadNumber(b"1x:2".to_vec())));
        let mut unknown = 0;
        assert_eq!(IdRules::parse(b"a:nobodyhere", none, |_| unknown += 1), Ok(IdRules::default()));
        assert_eq!(unknown, 1);
        // From the last one on.
        let mut told = Vec::new();
        let fault = IdRules::parse(b"a:x,b,c:y,d", none, |name| told.push(name.to_vec()));
        assert_eq!((fault, told.len()), (Err(MapFault::NoColon(b"d".to_vec())), 0));
        let fault = IdRules::parse(b"a:x,b,c:y", none, |name| told.push(name.to_vec()));
        assert_eq!((fault, told), (Err(MapFault::NoColon(b"b".to_vec())), Vec::from([b"y".to_vec()])));
    }
}
