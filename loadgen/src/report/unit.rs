//! Figures as text: times, counts, bytes, rates.
//!
//! The idea: three significant digits and the unit next to the number, so that a table can be
//! read without a legend. A time picks its unit by its size.

/// A time as text: `0 ns`, `38.0 µs`, `11.2 ms`, `1.40 s`, `12.5 s`, `3m 20s`.
pub(crate) fn time(ns: u64) -> String {
    const MINUTE_NS: u64 = 60_000_000_000;
    let value = ns as f64;
    match ns {
        0..1_000 => format!("{ns} ns"),
        // The bounds are where rounding to three digits would show 1000 of the smaller unit.
        1_000..999_500 => format!("{} µs", digits(value / 1e3)),
        999_500..999_500_000 => format!("{} ms", digits(value / 1e6)),
        999_500_000..200_000_000_000 => format!("{} s", digits(value / 1e9)),
        _ => format!("{}m {:02}s", ns / MINUTE_NS, ns % MINUTE_NS / 1_000_000_000),
    }
}

/// A number with three significant digits: `0.0384`, `4.91`, `38.4`, `384`, `12,600`.
pub(crate) fn digits(value: f64) -> String {
    let size = value.abs();
    if size >= 999.5 {
        return count_signed(value.round());
    }
    let decimals = match size {
        s if s >= 99.95 => 0,
        s if s >= 9.995 => 1,
        s if s >= 0.9995 || s == 0.0 => 2,
        s if s >= 0.09995 => 3,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

/// A whole number in groups of three: `1,234,567`.
pub(crate) fn count(value: u64) -> String {
    let plain = value.to_string();
    let mut grouped = String::with_capacity(plain.len() + plain.len() / 3);
    for (i, digit) in plain.chars().enumerate() {
        if i > 0 && (plain.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count that may be unknown: `1,234` or `unknown`.
pub(crate) fn count_or_unknown(value: Option<u64>) -> String {
    value.map_or_else(|| "unknown".to_owned(), count)
}

/// A large number in short: `20`, `999`, `19.8 k`, `4.99 M`, `1.23 G`.
pub(crate) fn short(value: f64) -> String {
    scaled(value, 1_000.0, &["", " k", " M", " G"])
}

/// Bytes as text, in powers of 1024: `128 B`, `2.90 KiB`, `1.20 GiB`.
pub(crate) fn bytes(value: f64) -> String {
    scaled(value, 1_024.0, &[" B", " KiB", " MiB", " GiB", " TiB"])
}

/// A value with the largest unit that leaves something before the point. Whole numbers have no
/// digits after it: they were planned or counted, not measured.
fn scaled(value: f64, base: f64, units: &[&str]) -> String {
    let (mut value, mut unit) = (value, 0);
    while value.abs() >= base * 0.9995 && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    let number = if value.fract() == 0.0 { count_signed(value) } else { digits(value) };
    number + units[unit]
}

fn count_signed(value: f64) -> String {
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{}", count(value.abs() as u64))
}

/// A planned length, without digits that were never there: `30 s`, `1.5 s`, `500 ms`, `5m 00s`.
pub(crate) fn length(ns: u64) -> String {
    let text = time(ns);
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

/// A share of 1 as per cent: `0.41` is `41.0 %`.
pub(crate) fn percent(share: f64) -> String {
    format!("{} %", digits(share * 100.0))
}

/// A wall-clock time in UTC: `2026-11-21 09:06:35 UTC`.
pub(crate) fn utc(unix_ns: u64) -> String {
    let seconds = unix_ns / 1_000_000_000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute) = (second / 3_600, second % 3_600 / 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{:02} UTC", second % 60)
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
///
/// Years are counted from March, so that the leap day is the last day of its year and months
/// have lengths that follow one linear rule.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_TO_0000_03_01: u64 = 719_468;
    const DAYS_PER_400_YEARS: u64 = 146_097;
    let shifted = days + DAYS_TO_0000_03_01;
    let (era, day_of_era) = (shifted / DAYS_PER_400_YEARS, shifted % DAYS_PER_400_YEARS);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_three_digits_and_its_own_unit() {
        let cases = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (38_000, "38.0 µs"),
            (999_499, "999 µs"),
            (999_500, "1.00 ms"),
            (11_234_567, "11.2 ms"),
            (99_960_000, "100 ms"),
            (1_400_000_000, "1.40 s"),
            (12_600_000_000, "12.6 s"),
            (200_000_000_000, "3m 20s"),
            (3_600_000_000_000, "60m 00s"),
        ];
        for (ns, text) in cases {
            assert_eq!(time(ns), text);
        }
    }

    #[test]
    fn counts_are_grouped_and_shortened() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(300_000_000), "300,000,000");
        assert_eq!(short(4_990_000.0), "4.99 M");
        assert_eq!(short(19_800.0), "19.8 k");
        assert_eq!(short(20.0), "20");
        assert_eq!(short(20_500.0), "20.5 k");
        assert_eq!(short(-3_000.0), "-3 k");
        assert_eq!(short(0.0), "0");
        assert_eq!(bytes(128.0), "128 B");
        assert_eq!(bytes(2_970.0), "2.90 KiB");
        assert_eq!(bytes(0.0), "0 B");
        assert_eq!(length(30_000_000_000), "30 s");
        assert_eq!(length(1_500_000_000), "1.5 s");
        assert_eq!(length(100_000_000), "100 ms");
        assert_eq!(length(0), "0 ns");
        assert_eq!(percent(0.41), "41.0 %");
        assert_eq!(digits(-1_234.4), "-1,234");
        assert_eq!(digits(0.0384), "0.0384");
    }

    #[test]
    fn days_become_dates_across_leap_years() {
        let cases = [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (1_795_251_995, "2026-11-21 09:06:35 UTC"),
        ];
        for (seconds, text) in cases {
            assert_eq!(utc(seconds * 1_000_000_000), text);
        }
    }
}
