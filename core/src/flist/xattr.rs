//! Sets of extended attributes of file-list entries: the values, the table of a session, and their wire form
//! (spec: extended attributes).
//!
//! Wire, protocol ≥ 30, the last field of an entry: a varint *n*: set number *n* - 1 of the table, or with *n* = 0 a
//! new set: a varint count (at most 65536), then for each attribute, sorted by name,
//!
//! | field | form |
//! |---|---|
//! | length of the name, its NUL included; length of the value | varints, 1 to 4096 and 0 to 128 MiB |
//! | name | bytes, the last one NUL and no other |
//! | value | the bytes, if they are at most 32; else the MD5 of the value, 16 bytes, unseeded whatever the session's checksum |
//!
//! All names and values of a file together have at most 512 MiB. A number outside of the table, and what is too long or too
//! many, are [`OutOfRange`](crate::error::ProtocolError::OutOfRange), a name without its NUL
//! [`BadXattrName`](crate::error::ProtocolError::BadXattrName).
//!
//! A long value that the destination lacks is asked for behind the header of the item, if its flags have
//! [`REPORT_XATTR`](crate::item::ItemFlags::REPORT_XATTR) and it is no dry run: by the numbers of the attributes
//! (from 1 on, each as a varint, the difference from the one before), ended by a byte 0; the sender echoes that and puts length
//! (varint) and value behind each number. From protocol 31 on and without `CompatFlags::AVOID_XATTR_OPTIM`, an item with both
//! `LOCAL_CHANGE` and `XNAME_FOLLOWS` has neither list.
//!
//! ```
//! use arsync_core::flist::xattr::{encode_request, encode_value};
//!
//! let mut request = Vec::new();
//! encode_request(&[2, 5], &mut request);
//! assert_eq!(request, [2, 3, 0]);
//! let mut answer = Vec::new();
//! encode_value(2, 0, b"abc", &mut answer);
//! assert_eq!(answer, [2, 3, b'a', b'b', b'c']);
//! ```

use alloc::{boxed::Box, vec::Vec};

use embedded_io_async::BufRead;
use hashbrown::HashMap;

use super::{decode::Decoder, encode::Encoder};
use crate::{
    checksum::{ChecksumKind, Hasher},
    error::{Error, Limit, ProtocolError},
    io::{MessageSink, WireReader},
    limits::{MAX_XATTR_NAME, MAX_XATTR_SET, MAX_XATTR_VALUE, MAX_XATTRS},
    version::ProtocolVersion,
    wire::varint,
};

/// Values up to this length travel in the list, longer ones as a digest.
pub const MAX_PLAIN: usize = 32;

/// Digest of a whole value.
pub type ValueDigest = [u8; 16];

/// How the values of a session are digested: MD5; below protocol 30, where they travel in recordings only, MD4 behind
/// the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueSums {
    seed: Option<i32>,
}

impl ValueSums {
    /// For this version and seed; without a seed (0) there is none to put in front.
    pub fn new(protocol: ProtocolVersion, seed: i32) -> Self {
        Self { seed: (!protocol.has_varints()).then_some(seed) }
    }

    /// The digest of a value.
    pub fn digest(self, value: &[u8]) -> ValueDigest {
        let mut hasher = Hasher::new(if self.seed.is_some() { ChecksumKind::Md4 } else { ChecksumKind::Md5 });
        if let Some(seed) = self.seed.filter(|seed| *seed != 0) {
            hasher.update(&seed.to_le_bytes());
        }
        hasher.update(value);
        hasher.finish().as_bytes().first_chunk().copied().unwrap_or_default()
    }
}

/// A value as the list has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Value {
    /// The value itself.
    Plain(Vec<u8>),
    /// A value longer than [`MAX_PLAIN`] that must be asked for.
    Digest {
        /// Its length, bytes.
        len: u32,
        /// Its digest.
        sum: ValueDigest,
    },
}

impl Value {
    /// The form in which a value travels.
    pub fn of(value: Vec<u8>, sums: ValueSums) -> Self {
        match u32::try_from(value.len()) {
            Ok(len) if value.len() > MAX_PLAIN => Self::Digest { len, sum: sums.digest(&value) },
            _ => Self::Plain(value),
        }
    }
}

/// One attribute. Its number on the wire is its place in the set plus one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Xattr {
    /// The name, without the terminating NUL of the wire form.
    pub name: Vec<u8>,
    /// The value.
    pub value: Value,
}

/// The attributes of a file, sorted by name at the sender.
pub type Set = Vec<Xattr>;

/// The sets that a session knows, by number.
#[derive(Debug, Default)]
pub struct Table {
    sets: Vec<Set>,
    /// Sender: numbers by wire form.
    numbers: HashMap<Box<[u8]>, u32>,
    /// Sender: number on the wire plus one of each set; 0: not sent yet.
    sent: Vec<u32>,
    sent_count: u32,
    /// Sender: attributes whose value was sent, as set and place.
    answered: hashbrown::HashSet<(u32, u32)>,
    scratch: Vec<u8>,
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "sets and values are as long as what was received or read, below 2^31"
)]
impl Table {
    /// The number plus one of a set, which is added if it is new.
    pub fn intern(&mut self, set: Set) -> u32 {
        let mut wire = core::mem::take(&mut self.scratch);
        wire.clear();
        encode_literal(&set, &mut wire);
        let number = match self.numbers.get(wire.as_slice()) {
            Some(&number) => number,
            None => {
                let number = self.push(set);
                self.numbers.insert(wire.as_slice().into(), number);
                number
            }
        };
        self.scratch = wire;
        number
    }

    fn push(&mut self, set: Set) -> u32 {
        self.sets.push(set);
        self.sets.len() as u32
    }

    /// Number of sets.
    pub fn len(&self) -> usize {
        self.sets.len()
    }

    /// No sets yet.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// The set with this number plus one.
    pub fn get(&self, number: u32) -> Option<&Set> {
        self.sets.get((number as usize).checked_sub(1)?)
    }

    /// Checks the request of attribute `item` of a set: it must exist, be a digest, and be asked for once.
    /// Returns its name.
    pub fn answer(&mut self, number: u32, item: u32) -> Result<&[u8], ProtocolError> {
        let bad = ProtocolError::BadTableIndex("xattr request");
        let set = self.sets.get((number as usize).wrapping_sub(1)).ok_or(bad)?;
        let xattr = set.get((item as usize).wrapping_sub(1)).ok_or(bad)?;
        if matches!(xattr.value, Value::Plain(_)) || !self.answered.insert((number, item)) {
            return Err(bad);
        }
        Ok(&xattr.name)
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "sets and values are as long as what was received or read, below 2^31"
)]
fn encode_literal(set: &Set, out: &mut Vec<u8>) {
    let put = |out: &mut Vec<u8>, v: usize| out.extend_from_slice(varint::encode_varint(v as i32).as_slice());
    put(out, set.len());
    for xattr in set {
        put(out, xattr.name.len() + 1);
        let (len, bytes) = match &xattr.value {
            Value::Plain(value) => (value.len(), value.as_slice()),
            Value::Digest { len, sum } => (*len as usize, &sum[..]),
        };
        put(out, len);
        out.extend_from_slice(&xattr.name);
        out.push(0);
        out.extend_from_slice(bytes);
    }
}

impl Encoder {
    /// Appends one record. `number`: number plus one in the table; 0: the empty set.
    pub(super) fn xattrs(&mut self, number: u32, out: &mut Vec<u8>) {
        let mut table = self.tables.xattrs.borrow_mut();
        let number = if number == 0 { table.intern(Set::new()) } else { number };
        let at = (number as usize).saturating_sub(1);
        if table.sent.len() <= at {
            table.sent.resize(at + 1, 0);
        }
        let known = table.sent.get(at).copied().unwrap_or(0);
        if known != 0 {
            out.extend_from_slice(varint::encode_varint(known as i32).as_slice());
            return;
        }
        table.sent_count += 1;
        let next = table.sent_count;
        if let Some(slot) = table.sent.get_mut(at) {
            *slot = next;
        }
        out.push(0);
        if let Some(set) = table.get(number) {
            encode_literal(set, out);
        }
    }
}

fn bounded(what: Limit, got: i32, max: u32) -> Result<u32, ProtocolError> {
    u32::try_from(got).ok().filter(|n| *n <= max).ok_or(ProtocolError::OutOfRange {
        what,
        got: i64::from(got),
        max: i64::from(max),
    })
}

impl Decoder {
    /// Reads one record; returns the number plus one in the table.
    pub(super) async fn xattrs<R: BufRead, S: MessageSink>(
        &mut self,
        r: &mut WireReader<R, S>,
    ) -> Result<u32, Error<R::Error>> {
        let n = r.varint().await?;
        if n != 0 {
            #[allow(clippy::cast_possible_truncation, reason = "tables end below 2^31")]
            let count = self.tables.xattrs.borrow().len() as u32;
            return Ok(bounded(Limit::XattrIndex, n, count)?);
        }
        let count = bounded(Limit::XattrCount, r.varint().await?, MAX_XATTRS)?;
        let mut set = Set::new();
        let mut total = 0u64;
        for _ in 0..count {
            let name_len = bounded(Limit::XattrName, r.varint().await?, MAX_XATTR_NAME)?;
            let len = bounded(Limit::XattrValue, r.varint().await?, MAX_XATTR_VALUE)?;
            total += u64::from(name_len) + u64::from(len);
            if total > MAX_XATTR_SET {
                return Err(ProtocolError::OutOfRange {
                    what: Limit::XattrTotal,
                    got: i64::try_from(total).unwrap_or(i64::MAX),
                    max: MAX_XATTR_SET as i64,
                }
                .into());
            }
            let mut name = Vec::new();
            r.append(name_len as usize, &mut name).await?;
            if name.pop() != Some(0) || name.contains(&0) {
                return Err(ProtocolError::BadXattrName.into());
            }
            let value = if len as usize > MAX_PLAIN {
                let mut sum = ValueDigest::default();
                r.exact(&mut sum).await?;
                Value::Digest { len, sum }
            } else {
                let mut value = Vec::new();
                r.append(len as usize, &mut value).await?;
                Value::Plain(value)
            };
            set.push(Xattr { name, value });
        }
        Ok(self.tables.xattrs.borrow_mut().push(set))
    }
}

/// Reads the numbers of a request: each is sent as its distance from the one before, 0 ends it.
pub async fn read_request<R: BufRead, S: MessageSink>(
    r: &mut WireReader<R, S>,
) -> Result<Vec<u32>, Error<R::Error>> {
    let mut numbers = Vec::new();
    let mut last = 0u32;
    while let Some(number) = next_number(r, last).await? {
        last = number;
        numbers.push(number);
        bounded(Limit::XattrCount, i32::try_from(numbers.len()).unwrap_or(i32::MAX), MAX_XATTRS)?;
    }
    Ok(numbers)
}

async fn next_number<R: BufRead, S: MessageSink>(
    r: &mut WireReader<R, S>,
    last: u32,
) -> Result<Option<u32>, Error<R::Error>> {
    let distance = r.varint().await?;
    if distance == 0 {
        return Ok(None);
    }
    let number = i64::from(last) + i64::from(distance);
    let number = u32::try_from(number).map_err(|_| ProtocolError::BadTableIndex("xattr request"))?;
    Ok(Some(number))
}

/// Reads the next value of a reply into `value` and returns its number; `last`: the number before.
pub async fn read_value<R: BufRead, S: MessageSink>(
    r: &mut WireReader<R, S>,
    last: u32,
    value: &mut Vec<u8>,
) -> Result<Option<u32>, Error<R::Error>> {
    let Some(number) = next_number(r, last).await? else { return Ok(None) };
    let len = bounded(Limit::XattrValue, r.varint().await?, MAX_XATTR_VALUE)?;
    value.clear();
    r.append(len as usize, value).await?;
    Ok(Some(number))
}

/// Appends a request.
pub fn encode_request(numbers: &[u32], out: &mut Vec<u8>) {
    let mut last = 0;
    for &number in numbers {
        out.extend_from_slice(varint::encode_varint(number.wrapping_sub(last) as i32).as_slice());
        last = number;
    }
    out.push(0);
}

/// Appends one value of a reply; the 0 behind the last one is the caller's.
#[allow(
    clippy::cast_possible_truncation,
    reason = "sets and values are as long as what was received or read, below 2^31"
)]
pub fn encode_value(number: u32, last: u32, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(varint::encode_varint(number.wrapping_sub(last) as i32).as_slice());
    out.extend_from_slice(varint::encode_varint(value.len() as i32).as_slice());
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODERN: ValueSums = ValueSums { seed: None };

    #[test]
    fn a_literal_as_observed() {
        let sum =
            [0x5b, 0x3a, 0x2a, 0x93, 0xe7, 0x4c, 0x8b, 0x48, 0x2e, 0x20, 0x69, 0x9b, 0xbd, 0xfc, 0xbb, 0x91];
        let set = Vec::from([
            Xattr { name: b"trusted.t".to_vec(), value: Value::of(b"tt".to_vec(), MODERN) },
            Xattr { name: b"user.long".to_vec(), value: Value::Digest { len: 40, sum } },
            Xattr { name: b"user.short".to_vec(), value: Value::of(b"abc".to_vec(), MODERN) },
        ]);
        let mut out = Vec::new();
        encode_literal(&set, &mut out);
        let want =
            [&b"\x03\x0a\x02trusted.t\0tt\x0a\x28user.long\0"[..], &sum, b"\x0b\x03user.short\0abc"].concat();
        assert_eq!(out, want);
    }

    #[test]
    fn values_beyond_32_bytes_are_digests() {
        assert_eq!(Value::of([1; 32].to_vec(), MODERN), Value::Plain([1; 32].to_vec()));
        let sum =
            [0xb4, 0xf1, 0x3c, 0xb0, 0x81, 0xe4, 0x12, 0xf4, 0x4e, 0x99, 0x74, 0x2c, 0xb1, 0x28, 0xa1, 0xa5];
        assert_eq!(Value::of([b'a'; 33].to_vec(), MODERN), Value::Digest { len: 33, sum });
        // As recorded by the reference with protocol 29 and seed 5.
        let value = [&[b'0'; 49][..], b"7"].concat();
        let sum = ValueSums { seed: Some(5) }.digest(&value);
        assert_eq!(sum[..8], [0x24, 0x41, 0xc9, 0x01, 0x30, 0x22, 0xb9, 0xd3]);
    }

    #[test]
    fn requests_and_replies_as_observed() {
        let mut out = Vec::new();
        encode_request(&[2], &mut out);
        encode_request(&[], &mut out);
        assert_eq!(out, [2, 0, 0]);
        out.clear();
        encode_value(2, 0, &[7; 40], &mut out);
        assert_eq!(out[..3], [2, 0x28, 7]);
        assert_eq!(out.len(), 42);
    }

    #[test]
    fn a_request_must_name_a_digest_once() {
        let mut table = Table::default();
        let number = table.intern(Vec::from([
            Xattr { name: b"user.a".to_vec(), value: Value::of(b"x".to_vec(), MODERN) },
            Xattr { name: b"user.b".to_vec(), value: Value::of([0; 33].to_vec(), MODERN) },
        ]));
        assert_eq!(table.answer(number, 2), Ok(&b"user.b"[..]));
        assert!(table.answer(number, 2).is_err());
        for (set, item) in [(number, 1), (number, 0), (number, 3), (0, 2), (9, 1)] {
            assert!(table.answer(set, item).is_err(), "{set} {item}");
        }
    }

    #[test]
    fn equal_sets_share_a_number() {
        let mut table = Table::default();
        let set =
            |v: &[u8]| Vec::from([Xattr { name: b"user.a".to_vec(), value: Value::of(v.to_vec(), MODERN) }]);
        assert_eq!([table.intern(set(b"1")), table.intern(set(b"2")), table.intern(set(b"1"))], [1, 2, 1]);
    }
}
