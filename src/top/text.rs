//! Numbers as they stand in cells.

/// A rate to three digits or so, in powers of 1000: `0`, `0.4`, `950`, `1.23k`, `14.8M`.
pub fn rate(value: f64) -> String {
    const UNITS: [&str; 6] = ["", "k", "M", "G", "T", "P"];
    let (mut value, mut unit) = (value, 0);
    // What would be rounded up to 1000 has the larger unit.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1000.0, unit + 1);
    }
    let unit = UNITS[unit];
    match value {
        _ if unit.is_empty() && (value == 0.0 || value >= 9.95) => format!("{value:.0}"),
        _ if unit.is_empty() => format!("{value:.1}"),
        ..9.995 => format!("{value:.2}{unit}"),
        ..99.95 => format!("{value:.1}{unit}"),
        _ => format!("{value:.0}{unit}"),
    }
}

/// A part of one in per cent.
pub fn share(part: f64) -> String {
    format!("{:.1}%", part * 100.0)
}

/// A time of the day in UTC: `2026-11-21 08:25`.
pub fn date(unix_ns: u64) -> String {
    let minutes = unix_ns / 60_000_000_000;
    // Days since 1970-03-01 of a calendar in which years begin with March: leap days are at their ends.
    let days = minutes / 1440 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", minutes / 60 % 24, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_short() {
        let texts =
            [0.0, 0.04, 0.4, 9.94, 9.96, 999.4, 999.6, 1_234.0, 99_960.0, 14.8e6, 9.999e9, 1e30].map(rate);
        let expected = [
            "0",
            "0.0",
            "0.4",
            "9.9",
            "10",
            "999",
            "1.00k",
            "1.23k",
            "100k",
            "14.8M",
            "10.0G",
            "1000000000000000P",
        ];
        assert_eq!(texts, expected);
        assert_eq!(share(0.1234), "12.3%");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |seconds: u64| date(seconds * 1_000_000_000);
        assert_eq!(
            [0, 951_782_400, 1_700_000_000].map(at),
            ["1970-01-01 00:00", "2000-02-29 00:00", "2023-11-14 22:13"]
        );
        assert_eq!(at(1_735_689_599), "2024-12-31 23:59");
        assert!(date(u64::MAX).starts_with("2554-"));
    }
}
