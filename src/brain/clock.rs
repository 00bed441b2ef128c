//! Times of the clock as people write them: `12:23 am`, `nov 28th, 2026 2:38 am`, `dec 5 at 10am (asia/tokyo)`,
//! `2026-11-28t02:38:00z`. In lower case.

use jiff::{
    Timestamp, ToSpan, Zoned,
    civil::{Date, Time},
    tz::TimeZone,
};

/// A time that is cut to the minute may seem to be over already when it is read.
const JUST_NOW: i64 = 120;
/// How long to wait then, in seconds.
const A_MINUTE: i64 = 60;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// The time that `text` begins with, seconds since the epoch: the next such after `now`. In `zone`, where the text
/// names none.
pub(super) fn time(text: &str, now: i64, zone: &TimeZone) -> Option<i64> {
    if let Some(stamp) = stamp(text) {
        return Some(stamp);
    }
    let mut words = Words(text.trim_start());
    let date = words.date();
    let time = words.time()?;
    let zone = words.zone().unwrap_or_else(|| zone.clone());
    let here = Timestamp::from_second(now).ok()?.to_zoned(zone.clone());
    let told = match date {
        Some((month, day, year)) => {
            let date = Date::new(year.unwrap_or(here.year()), month, day).ok()?;
            let told = at(date, time, &zone)?;
            // In January, a date of December is last year's, and one of February told in December next year's.
            match year {
                None if is_over(&told, now) => at(Date::new(here.year() + 1, month, day).ok()?, time, &zone)?,
                _ => told,
            }
        }
        None => {
            let told = at(here.date(), time, &zone)?;
            if is_over(&told, now) {
                at(here.date().checked_add(1.day()).ok()?, time, &zone)?
            } else {
                told
            }
        }
    };
    let told = told.timestamp().as_second();
    let just_now = told <= now && now.saturating_sub(told) < JUST_NOW;
    Some(if just_now {
        now.checked_add(A_MINUTE)?
    } else {
        told
    })
}

fn is_over(told: &Zoned, now: i64) -> bool {
    now.saturating_sub(told.timestamp().as_second()) >= JUST_NOW
}

fn at(date: Date, time: Time, zone: &TimeZone) -> Option<Zoned> {
    date.to_datetime(time).to_zoned(zone.clone()).ok()
}

/// A timestamp of RFC 3339.
fn stamp(text: &str) -> Option<i64> {
    let end = text.find([' ', ',', ')', '"', '\n']).unwrap_or(text.len());
    let word = text[..end].trim_end_matches('.').to_ascii_uppercase();
    word.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

/// What is still to be read.
struct Words<'a>(&'a str);

impl Words<'_> {
    /// Month, day, and perhaps year.
    fn date(&mut self) -> Option<(i8, i8, Option<i16>)> {
        let month = MONTHS.iter().position(|month| self.0.starts_with(month))?;
        let rest = self.0.trim_start_matches(|c: char| c.is_ascii_lowercase());
        let (day, rest) = number(rest.trim_start_matches(['.', ' ']))?;
        let rest = ["st", "nd", "rd", "th"]
            .iter()
            .find_map(|ending| rest.strip_prefix(ending))
            .unwrap_or(rest);
        let mut rest = rest.trim_start_matches([',', ' ']);
        let mut year = None;
        if let Some((told, after)) = number(rest).filter(|(told, _)| *told >= 1000) {
            year = Some(i16::try_from(told).ok()?);
            rest = after;
        }
        let rest = rest.trim_start_matches([',', ' ']);
        self.0 = rest.strip_prefix("at ").unwrap_or(rest);
        Some((i8::try_from(month + 1).ok()?, i8::try_from(day).ok()?, year))
    }

    /// Hour, perhaps minutes, and half of the day; one of them it takes.
    fn time(&mut self) -> Option<Time> {
        let (hour, mut rest) = number(self.0)?;
        let mut minute = None;
        if let Some((told, after)) = rest.strip_prefix(':').and_then(number) {
            minute = Some(told);
            rest = after;
        }
        let half = rest.trim_start_matches(' ');
        let hour = if let Some(after) = half.strip_prefix("am") {
            rest = after;
            (1..=12).contains(&hour).then_some(hour % 12)?
        } else if let Some(after) = half.strip_prefix("pm") {
            rest = after;
            (1..=12).contains(&hour).then_some(hour % 12 + 12)?
        } else {
            minute?;
            hour
        };
        self.0 = rest;
        let minute = minute.unwrap_or(0);
        Time::new(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0).ok()
    }

    /// `(europe/berlin)` or `utc`.
    fn zone(&mut self) -> Option<TimeZone> {
        let name = self.0.trim_start_matches([' ', '(']);
        let end = name
            .find(|c: char| !c.is_ascii_alphanumeric() && !"/_+-".contains(c))
            .unwrap_or(name.len());
        let name = &name[..end];
        let known = name.contains('/') || ["utc", "gmt"].contains(&name);
        known.then(|| TimeZone::get(name).ok()).flatten()
    }
}

/// The number that `text` begins with, and the rest.
fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}
