//! Local time, by the rules of the C library (`TZ`). The only place that calls it.

use core::mem::MaybeUninit;

/// A moment as clocks of this place show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Local {
    /// Year, such as 2026.
    pub(crate) year: i64,
    /// Month, 1..=12.
    pub(crate) month: i32,
    /// Day of the month, 1..=31.
    pub(crate) day: i32,
    /// Hour, 0..=23.
    pub(crate) hour: i32,
    /// Minute, 0..=59.
    pub(crate) minute: i32,
    /// Second, 0..=60.
    pub(crate) second: i32,
}

impl Local {
    /// From seconds since 1970. Years beyond the range of the C library show as 1970.
    #[allow(unsafe_code)]
    pub(crate) fn at(seconds: i64) -> Self {
        let mut tm = MaybeUninit::<libc::tm>::zeroed();
        // SAFETY: both pointers are to live values of the types that the function wants; it only writes `tm`,
        // for which all-zero bytes are a valid value.
        let tm = unsafe {
            libc::localtime_r(&raw const seconds, tm.as_mut_ptr());
            tm.assume_init()
        };
        if tm.tm_mday == 0 {
            return Self { year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 0 };
        }
        Self {
            year: i64::from(tm.tm_year) + 1900,
            month: tm.tm_mon + 1,
            day: tm.tm_mday,
            hour: tm.tm_hour,
            minute: tm.tm_min,
            second: tm.tm_sec,
        }
    }

    /// As lines for the system's log begin: `Nov  8 21:16:21`.
    pub(crate) fn in_mail(&self) -> String {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let month = usize::try_from(self.month - 1).ok().and_then(|m| MONTHS.get(m)).unwrap_or(&"Jan");
        format!("{month} {:>2} {:02}:{:02}:{:02}", self.day, self.hour, self.minute, self.second)
    }

    /// Seconds since 1970; values outside of their ranges carry over (30 February is 1 or 2 March).
    #[allow(unsafe_code)]
    pub(crate) fn seconds(&self) -> Option<i64> {
        // SAFETY: `tm` is plain data, for which all-zero bytes are a valid value.
        let mut tm: libc::tm = unsafe { MaybeUninit::zeroed().assume_init() };
        tm.tm_year = i32::try_from(self.year - 1900).ok()?;
        tm.tm_mon = self.month - 1;
        tm.tm_mday = self.day;
        tm.tm_hour = self.hour;
        tm.tm_min = self.minute;
        tm.tm_sec = self.second;
        tm.tm_isdst = -1;
        // SAFETY: the pointer is to a live, initialised value.
        let seconds = unsafe { libc::mktime(&raw mut tm) };
        (seconds != -1 || tm.tm_mday != 0).then_some(seconds)
    }

    /// `2026/11/04 02:45:42`, with `separator` in place of the blank.
    pub(crate) fn show(&self, separator: char) -> String {
        let Self { year, month, day, hour, minute, second } = self;
        format!("{year:04}/{month:02}/{day:02}{separator}{hour:02}:{minute:02}:{second:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for seconds in [0, 1_700_000_000, 951_782_400] {
            assert_eq!(Local::at(seconds).seconds(), Some(seconds));
        }
    }

    #[test]
    fn days_carry_over() {
        let late = Local { year: 2027, month: 2, day: 30, hour: 0, minute: 0, second: 0 };
        let at = Local::at(late.seconds().unwrap());
        assert_eq!((at.month, at.day), (3, 2));
        assert_eq!(at.show('-'), "2027/03/02-00:00:00");
    }
}
