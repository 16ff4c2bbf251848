//! `--stop-after` and `--stop-at` (spec: numbers).

use crate::output::time::Local;

/// Minutes of `--stop-after`: leading digits, more than 0; what follows is ignored.
pub(crate) fn minutes(text: &[u8]) -> Option<i64> {
    let start = text.iter().position(|c| *c != b' ')?;
    let text = text.get(start..)?;
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let minutes = text
        .iter()
        .take_while(|c| c.is_ascii_digit())
        .fold(0i64, |n, c| n.saturating_mul(10).saturating_add(i64::from(c - b'0')).min(i64::from(i32::MAX)));
    (minutes > 0).then_some(minutes)
}

/// The moment that `text` names, as seen from `now`; both in seconds since 1970. `None`: not a date.
///
/// Missing parts of the date take the next moment in the future that fits.
pub(crate) fn parse(text: &[u8], now: i64) -> Option<i64> {
    let today = Local::at(now);
    if let [b':', minute @ ..] = text {
        let minute = number(minute).filter(|m| *m < 60)?;
        let mut at = Local { minute, second: 0, ..today };
        if at.seconds()? <= now {
            at.hour += 1;
        }
        return at.seconds();
    }
    let (date, time) = match memchr::memchr2(b'T', b't', text) {
        Some(i) => (&text[..i], Some(&text[i + 1..])),
        None if text.contains(&b':') => (&text[..0], Some(text)),
        None => (text, None),
    };
    let (hour, minute) = match time {
        None => (0, 0),
        Some([]) if !date.is_empty() => (0, 0),
        Some(time) => {
            let colon = memchr::memchr(b':', time)?;
            let hour = number(&time[..colon]).filter(|h| *h < 24)?;
            (hour, number(&time[colon + 1..]).filter(|m| *m < 60)?)
        }
    };
    let at = |year, month, day| Local { year, month, day, hour, minute, second: 0 };
    let mut parts: Vec<i32> = Vec::new();
    if !date.is_empty() {
        for part in date.split(|c| b"-/".contains(c)) {
            parts.push(number(part)?);
        }
    }
    let month_ok = |m: i32| (1..=12).contains(&m);
    let day_ok = |d: i32| (1..=31).contains(&d);
    match parts[..] {
        [] => {
            time?;
            let first = at(today.year, today.month, today.day).seconds()?;
            if first > now { Some(first) } else { at(today.year, today.month, today.day + 1).seconds() }
        }
        [day] if day_ok(day) => (0..=12).find_map(|later| {
            let index = today.month - 1 + later;
            let (year, month) = (today.year + i64::from(index / 12), index % 12 + 1);
            (day <= days(year, month)).then(|| at(year, month, day).seconds())?.filter(|t| *t > now)
        }),
        [month, day] if month_ok(month) && day_ok(day) => (0..=8).find_map(|later| {
            let year = today.year + later;
            let leap_day = month == 2 && day == 29;
            (!leap_day || days(year, 2) == 29).then(|| at(year, month, day).seconds())?.filter(|t| *t > now)
        }),
        [year, month, day] if month_ok(month) && day_ok(day) => {
            let mut year = i64::from(year);
            if year < 100 {
                year += today.year / 100 * 100;
                if year < today.year {
                    year += 100;
                }
            }
            at(year, month, day).seconds()
        }
        _ => None,
    }
}

/// Digits only, at most what fits.
fn number(text: &[u8]) -> Option<i32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// Days of a month.
const fn days(year: i64, month: i32) -> i32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> i64 {
        Local { year: 2026, month: 11, day: 24, hour: 15, minute: 32, second: 4 }.seconds().unwrap()
    }

    fn shown(text: &str) -> String {
        parse(text.as_bytes(), now()).map_or_else(|| "-".into(), |t| Local::at(t).show(' '))
    }

    #[test]
    fn accepted_forms() {
        for (text, moment) in [
            ("23:59", "2026/11/24 23:59:00"),
            ("T1:2", "2026/11/25 01:02:00"),
            ("2027-01-01", "2027/01/01 00:00:00"),
            ("27-1-1", "2027/01/01 00:00:00"),
            ("2027/1/1T5:06", "2027/01/01 05:06:00"),
            (":59", "2026/11/24 15:59:00"),
            (":5", "2026/11/24 16:05:00"),
            ("31", "2026/12/31 00:00:00"),
            ("24", "2026/12/24 00:00:00"),
            ("12-31", "2026/12/31 00:00:00"),
            ("9-1", "2027/09/01 00:00:00"),
            ("2-29", "2028/02/29 00:00:00"),
            ("2027-01-01T", "2027/01/01 00:00:00"),
            ("2027-2-30", "2027/03/02 00:00:00"),
            ("00-1-1", "2100/01/01 00:00:00"),
            ("2026-11-24T01:00", "2026/11/24 01:00:00"),
        ] {
            assert_eq!(shown(text), moment, "{text}");
        }
    }

    #[test]
    fn refused_forms() {
        for text in [
            "T12",
            "2027-01-01T1",
            "25:00",
            "24:00",
            "1:60",
            "1:2:3",
            "13-1",
            "32",
            "0",
            "2027-0-1",
            "T",
            "",
            ":",
            ":60",
            "5:",
            "2027-01-01-01",
            "2027-01-01x",
            " 5",
            "2027--1",
            "2027-01-01T:5",
        ] {
            assert_eq!(shown(text), "-", "{text}");
        }
    }

    #[test]
    fn minutes_are_leading_digits() {
        assert_eq!(minutes(b"5x"), Some(5));
        assert_eq!(minutes(b" 5"), Some(5));
        assert_eq!(minutes(b"005"), Some(5));
        for bad in ["x", "0", "-1", "", "0x10"] {
            assert_eq!(minutes(bad.as_bytes()), None, "{bad}");
        }
    }
}
