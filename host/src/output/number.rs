//! Numbers as the user wants them (spec: numbers).

/// A number at a level of `--human-readable`: 0 digits, 1 grouped digits, 2 units of 1000, 3 units of 1024.
pub(crate) fn human(n: i64, level: u8) -> String {
    let unit: f64 = match level {
        0 => return n.to_string(),
        1 => return grouped(n),
        2 => 1000.0,
        _ => 1024.0,
    };
    let mut value = n as f64;
    if value.abs() < unit {
        return grouped(n);
    }
    let mut letter = ' ';
    for c in "KMGTP".chars() {
        if value.abs() < unit {
            break;
        }
        value /= unit;
        letter = c;
    }
    format!("{value:.2}{letter}")
}

/// Digits in groups of three.
fn grouped(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3 + 1);
    if n < 0 {
        out.push('-');
    }
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// As [`human`], for counters.
pub(crate) fn human_u64(n: u64, level: u8) -> String {
    human(i64::try_from(n).unwrap_or(i64::MAX), level)
}

/// A number with two decimals, such as a rate.
pub(crate) fn human_decimal(value: f64, level: u8) -> String {
    let whole = value as i64;
    if level >= 2 && value >= if level == 2 { 1000.0 } else { 1024.0 } {
        return human(whole, level);
    }
    let text = format!("{value:.2}");
    let (int, decimals) = text.split_at(text.len() - 3);
    let int: i64 = int.parse().unwrap_or(whole);
    format!("{}{decimals}", human(int, level.min(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_as_observed() {
        for (n, level, text) in [
            (586_928, 0, "586928"),
            (586_928, 1, "586,928"),
            (586_928, 2, "586.93K"),
            (586_928, 3, "573.17K"),
            (999, 2, "999"),
            (1000, 2, "1.00K"),
            (1000, 3, "1,000"),
            (1023, 3, "1,023"),
            (1024, 3, "1.00K"),
            (99_999, 2, "100.00K"),
            (999_999, 2, "1000.00K"),
            (1_048_575, 3, "1024.00K"),
            (999_999_999, 2, "1000.00M"),
            (1_073_741_824, 2, "1.07G"),
            (1_500_000_000_000, 1, "1,500,000,000,000"),
            (1_500_000_000_000, 3, "1.36T"),
        ] {
            assert_eq!(human(n, level), text);
        }
    }

    #[test]
    fn rates() {
        assert_eq!(human_decimal(2_470_560.0, 1), "2,470,560.00");
        assert_eq!(human_decimal(118.0, 1), "118.00");
        assert_eq!(human_decimal(2_470_560.0, 0), "2470560.00");
        assert_eq!(human_decimal(2_470_560.0, 2), "2.47M");
    }
}
