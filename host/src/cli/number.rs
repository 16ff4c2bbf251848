//! Numbers of the command line: integers in C notation, and sizes with units.

use super::argv::Reason;

/// An integer as C's `strtol` with base 0 reads it (`0x10`, `010`, a sign, leading blanks); empty is 0.
/// All of the text must be used, and the value must fit 32 bits.
pub(crate) fn c_int(text: &[u8]) -> Result<i32, Reason> {
    if text.is_empty() {
        return Ok(0);
    }
    let start = text.iter().position(|c| !c.is_ascii_whitespace() && *c != 0x0b).unwrap_or(text.len());
    let (negative, digits) = match text.get(start..).unwrap_or_default() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (base, digits) = match digits {
        [b'0', b'x' | b'X', rest @ ..] if rest.first().is_some_and(u8::is_ascii_hexdigit) => (16, rest),
        [b'0', ..] => (8, digits),
        _ => (10, digits),
    };
    if digits.is_empty() {
        return Err(Reason::BadNumber);
    }
    let mut value: i64 = 0;
    let mut overflow = false;
    for &c in digits {
        let digit = char::from(c).to_digit(base).ok_or(Reason::BadNumber)?;
        value = value * i64::from(base) + i64::from(digit);
        if value > 1 << 40 {
            overflow = true;
            value = 0;
        }
    }
    let value = if negative { -value } else { value };
    match i32::try_from(value) {
        Ok(n) if !overflow => Ok(n),
        _ => Err(Reason::Overflow),
    }
}

/// Why a size is refused; the texts follow `--NAME=X `.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SizeFault {
    /// `is invalid`
    Invalid,
    /// `is too small (min: MIN or 0 for unlimited)`
    TooSmall,
    /// `is too large`, with ` (max: MAX)` if the range has an end.
    TooLarge,
}

/// Range and unit of a size option.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SizeRule {
    /// Name of the option, without dashes.
    pub(crate) name: &'static str,
    /// Unit of a number without one.
    pub(crate) unit: u8,
    /// Smallest value, bytes.
    pub(crate) min: u64,
    /// Largest value, bytes; `None`: 2^63-1.
    pub(crate) max: Option<u64>,
    /// 0 is allowed although `min` is larger.
    pub(crate) zero_is_unlimited: bool,
}

impl SizeRule {
    /// Bytes of a size `[digits][.[digits]][unit][+1|-1]`.
    pub(crate) fn parse(&self, text: &[u8]) -> Result<u64, SizeFault> {
        let bytes = size(text, self.unit)?;
        if bytes < self.min && !(bytes == 0 && self.zero_is_unlimited) {
            return Err(SizeFault::TooSmall);
        }
        if bytes > self.max.unwrap_or(i64::MAX as u64) {
            return Err(SizeFault::TooLarge);
        }
        Ok(bytes)
    }

    /// The message of a fault.
    pub(crate) fn message(&self, text: &[u8], fault: &SizeFault) -> Vec<u8> {
        let mut out = format!("--{}=", self.name).into_bytes();
        out.extend(text);
        match fault {
            SizeFault::Invalid => out.extend(b" is invalid"),
            SizeFault::TooSmall => {
                let unlimited = if self.zero_is_unlimited { " or 0 for unlimited" } else { "" };
                out.extend(format!(" is too small (min: {}{unlimited})", binary(self.min)).bytes());
            }
            SizeFault::TooLarge => {
                out.extend(b" is too large");
                if let Some(max) = self.max {
                    out.extend(format!(" (max: {})", binary(max)).bytes());
                }
            }
        }
        out
    }
}

/// A limit in units of 1024, as messages show it.
fn binary(bytes: u64) -> String {
    crate::output::number::human(i64::try_from(bytes).unwrap_or(i64::MAX), 3)
}

fn size(text: &[u8], default_unit: u8) -> Result<u64, SizeFault> {
    match text {
        [b'+', ..] => return Err(SizeFault::Invalid),
        // What is less than zero counts as more than any number, whatever comes behind it.
        [b'-', number @ ..] => {
            let mut digits = number.iter().take_while(|c| c.is_ascii_digit() || **c == b'.');
            let negative = digits.any(|c| (b'1'..=b'9').contains(c));
            return Err(if negative { SizeFault::TooLarge } else { SizeFault::Invalid });
        }
        _ => {}
    }
    let whole_len = text.iter().take_while(|c| c.is_ascii_digit()).count();
    let (whole, mut rest) = text.split_at(whole_len);
    let mut fraction: &[u8] = b"";
    if let [b'.', after @ ..] = rest {
        let len = after.iter().take_while(|c| c.is_ascii_digit()).count();
        (fraction, rest) = after.split_at(len);
    }
    let (letter, after) = match rest {
        [] | [b'+' | b'-', ..] => (default_unit, rest),
        [c, after @ ..] => (*c, after),
    };
    let power = match letter.to_ascii_uppercase() {
        b'B' => 0,
        b'K' => 1,
        b'M' => 2,
        b'G' => 3,
        b'T' => 4,
        b'P' => 5,
        _ => return Err(SizeFault::Invalid),
    };
    let typed = rest.len() != after.len();
    let (base, after): (u128, _) = match after {
        [b'b' | b'B', tail @ ..] if typed => (1000, tail),
        [b'i' | b'I', b'b' | b'B', tail @ ..] if typed => (1024, tail),
        _ => (1024, after),
    };
    let adjust: i128 = match after {
        [] => 0,
        b"+1" => 1,
        b"-1" => -1,
        _ => return Err(SizeFault::Invalid),
    };
    let factor = base.pow(power);
    let mut value: u128 = 0;
    for c in whole {
        value = value.saturating_mul(10).saturating_add(u128::from(c - b'0'));
        if value > 1 << 64 {
            return Err(SizeFault::TooLarge);
        }
    }
    value = value.saturating_mul(factor);
    // The decimal places contribute the truncated part of their share.
    let mut numerator: u128 = 0;
    let mut denominator: u128 = 1;
    for c in fraction.iter().take(18) {
        numerator = numerator * 10 + u128::from(c - b'0');
        denominator *= 10;
    }
    value += numerator * factor / denominator;
    // The reference computes with 53 bits: what rounds to 2^63 is beyond the range.
    if value > i64::MAX as u128 - 512 {
        return Err(SizeFault::TooLarge);
    }
    let value = i128::try_from(value).unwrap_or(i128::MAX).saturating_add(adjust);
    u64::try_from(value).map_err(|_| SizeFault::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: SizeRule =
        SizeRule { name: "max-size", unit: b'B', min: 0, max: None, zero_is_unlimited: false };

    #[test]
    fn integers_are_in_c_notation() {
        for (text, value) in [
            ("", Ok(0)),
            ("0x10", Ok(16)),
            ("010", Ok(8)),
            (" 5", Ok(5)),
            ("+5", Ok(5)),
            ("-0x5", Ok(-5)),
            ("-2147483648", Ok(i32::MIN)),
            ("0", Ok(0)),
            ("08", Err(Reason::BadNumber)),
            ("5 ", Err(Reason::BadNumber)),
            ("--", Err(Reason::BadNumber)),
            ("0x", Err(Reason::BadNumber)),
            ("2147483648", Err(Reason::Overflow)),
            ("99999999999999999999999", Err(Reason::Overflow)),
        ] {
            assert_eq!(c_int(text.as_bytes()), value, "{text}");
        }
    }

    #[test]
    fn sizes_have_units_and_an_offset() {
        for (text, value) in [
            ("1.5k", Ok(1536)),
            (".5k", Ok(512)),
            ("1kb-1", Ok(999)),
            ("1k+1", Ok(1025)),
            ("", Ok(0)),
            ("1KiB", Ok(1024)),
            ("2g", Ok(2 << 30)),
            ("7b", Ok(7)),
            ("1x", Err(SizeFault::Invalid)),
            ("1k+2", Err(SizeFault::Invalid)),
            ("0x10", Err(SizeFault::Invalid)),
            ("-1", Err(SizeFault::TooLarge)),
            ("9999999999999P", Err(SizeFault::TooLarge)),
        ] {
            assert_eq!(BYTES.parse(text.as_bytes()), value, "{text}");
        }
    }

    #[test]
    fn limits_are_shown_in_units_of_1024() {
        let bw = SizeRule { name: "bwlimit", unit: b'K', min: 512, max: None, zero_is_unlimited: true };
        assert_eq!(bw.parse(b"1.5"), Ok(1536));
        assert_eq!(bw.parse(b"0"), Ok(0));
        let fault = bw.parse(b"511b").unwrap_err();
        assert_eq!(bw.message(b"511b", &fault), b"--bwlimit=511b is too small (min: 512 or 0 for unlimited)");
        let block =
            SizeRule { name: "block-size", unit: b'B', min: 0, max: Some(131_072), zero_is_unlimited: false };
        let fault = block.parse(b"131073").unwrap_err();
        assert_eq!(block.message(b"131073", &fault), b"--block-size=131073 is too large (max: 128.00K)");
        let alloc =
            SizeRule { name: "max-alloc", unit: b'B', min: 1 << 20, max: None, zero_is_unlimited: true };
        let fault = alloc.parse(b"1k").unwrap_err();
        assert_eq!(
            alloc.message(b"1k", &fault),
            b"--max-alloc=1k is too small (min: 1.00M or 0 for unlimited)"
        );
    }
}
