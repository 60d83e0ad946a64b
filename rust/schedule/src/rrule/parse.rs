//! The text of a rule.

use super::days::{Days, Nth, new_year};
use super::parts::{Frequency, Parts, Until};
use crate::error::Error;
use jiff::civil::{Date, DateTime, Time};

const FREQUENCIES: [(&str, Frequency); 7] = [
    ("YEARLY", Frequency::Yearly),
    ("MONTHLY", Frequency::Monthly),
    ("WEEKLY", Frequency::Weekly),
    ("DAILY", Frequency::Daily),
    ("HOURLY", Frequency::Hourly),
    ("MINUTELY", Frequency::Minutely),
    ("SECONDLY", Frequency::Secondly),
];

const NAMES: &str = "FREQ INTERVAL COUNT UNTIL BYSECOND BYMINUTE BYHOUR BYDAY BYMONTHDAY BYYEARDAY BYWEEKNO BYMONTH \
                     BYSETPOS WKST";

const WEEKDAYS: [&str; 7] = ["SU", "MO", "TU", "WE", "TH", "FR", "SA"];

/// Whole seconds from 1970 to a local time, as if it were UTC.
pub(super) fn seconds(at: DateTime) -> i64 {
    let days = new_year(at.year().into()) + i64::from(at.date().day_of_year()) - 1;
    let (hour, minute) = (i64::from(at.hour()), i64::from(at.minute()));
    days * 86_400 + hour * 3_600 + minute * 60 + i64::from(at.second())
}

/// The rule alone, in upper case.
pub(super) fn normalised(text: &str) -> Result<String, Error> {
    let upper = text.trim().to_ascii_uppercase();
    let rule = upper.strip_prefix("RRULE:").unwrap_or(&upper);
    let cure = if rule.contains("RRULE:") {
        "it takes one rule: write RRule(…) | RRule(…) for several"
    } else if rule.contains("EXDATE") || rule.contains("EXRULE") {
        "it takes the rule alone: write RRule(…) - Times([…]) for EXDATE"
    } else if rule.contains("RDATE") {
        "it takes the rule alone: write RRule(…) | Times([…]) for RDATE"
    } else if rule.contains("DTSTART") {
        "it takes the rule alone: give DTSTART as start= and tz="
    } else if rule.contains(['\r', '\n']) {
        "it takes one line: leave the others out, and join the parts of a folded one"
    } else if rule.is_empty() {
        "it is empty: write such as FREQ=WEEKLY;BYDAY=MO"
    } else {
        return Ok(rule.to_owned());
    };
    Err(Error::invalid(format!("RRULE {text:?}: {cure}")))
}

/// A part such as `BYDAY=MO,TU`, in upper case.
#[derive(Clone, Copy)]
struct Part<'text> {
    name: &'text str,
    value: &'text str,
}

impl<'text> Part<'text> {
    fn error(&self, cure: impl std::fmt::Display) -> Error {
        Error::invalid(format!("{} {:?}: {cure}", self.name, self.value))
    }

    /// The error for one item of a list.
    fn item_error(&self, item: &str, cure: impl std::fmt::Display) -> Error {
        Error::invalid(format!("{} {item:?}: {cure}", self.name))
    }

    fn items(&self) -> impl Iterator<Item = &'text str> {
        self.value.split(',')
    }

    /// A number from 1 on.
    fn positive(&self) -> Result<i64, Error> {
        let number = digits(self.value).filter(|&number| number > 0);
        number.ok_or_else(|| self.error("it is a whole number from 1 on, and below 2^63"))
    }

    /// Numbers from `low` to `high` as bits.
    fn set(&self, low: i64, high: i64) -> Result<u64, Error> {
        let mut set = 0;
        for item in self.items() {
            let number = digits(item).filter(|number| (low..=high).contains(number));
            let number = number.ok_or_else(|| {
                self.item_error(item, format_args!("it takes numbers from {low} to {high}"))
            })?;
            set |= 1 << number;
        }
        Ok(set)
    }

    /// A number from 1 to `high`, or from -1 to -`high`.
    fn signed(&self, item: &str, text: &str, high: i32) -> Result<i32, Error> {
        let (sign, rest) = match text.as_bytes().first() {
            Some(b'-') => (-1, &text[1..]),
            Some(b'+') => (1, &text[1..]),
            _ => (1, text),
        };
        let number = digits(rest).filter(|number| (1..=high.into()).contains(number));
        let number = number.ok_or_else(|| {
            let cure = format_args!("numbers go from 1 to {high}, or from -1 to -{high} backwards");
            self.item_error(item, cure)
        })?;
        Ok(sign * number as i32)
    }

    fn signed_list(&self, high: i32) -> Result<Box<[i32]>, Error> {
        self.items()
            .map(|item| self.signed(item, item, high))
            .collect()
    }

    fn weekday(&self, item: &str, name: &str) -> Result<u32, Error> {
        let index = WEEKDAYS.iter().position(|&weekday| weekday == name);
        index.map(|index| index as u32).ok_or_else(|| {
            let cure = format_args!("weekdays are {}", WEEKDAYS.join(" "));
            self.item_error(item, cure)
        })
    }

    /// Weekdays as bits, and those with a number.
    fn weekdays(&self) -> Result<(u32, Box<[Nth]>), Error> {
        let mut all = 0;
        let mut nth = Vec::new();
        for item in self.items() {
            let (number, name) = item
                .split_at_checked(item.len().saturating_sub(2))
                .unwrap_or(("", item));
            let weekday = self.weekday(item, name)?;
            if number.is_empty() {
                all |= 1 << weekday;
            } else {
                nth.push((self.signed(item, number, 53)?, weekday));
            }
        }
        Ok((all, nth.into()))
    }

    fn until(&self) -> Result<Until, Error> {
        let wrong = || {
            self.error("it is a date such as 20271231, or with a time: 20271231T235959 in local time, and with Z in UTC")
        };
        let (text, is_utc) = match self.value.strip_suffix('Z') {
            Some(text) => (text, true),
            None => (self.value, false),
        };
        let (date, time) = match text.split_once('T') {
            Some((date, time)) => (date, Some(time)),
            None if is_utc => return Err(wrong()),
            None => (text, None),
        };
        let date = fields(date, [4, 2, 2])
            .and_then(|[year, month, day]| Date::new(year, month as i8, day as i8).ok());
        let time = time.map_or(Some(Time::new(23, 59, 59, 0).ok()), |time| {
            fields(time, [2, 2, 2]).map(|[hour, minute, second]| {
                // A leap second is the one before.
                let second = if second == 60 { 59 } else { second };
                Time::new(hour as i8, minute as i8, second as i8, 0).ok()
            })
        });
        let (Some(date), Some(Some(time))) = (date, time) else {
            return Err(wrong());
        };
        let until = seconds(date.to_datetime(time));
        Ok(if is_utc {
            Until::Utc(until)
        } else {
            Until::Local(until)
        })
    }
}

/// A whole number of ASCII digits alone.
fn digits(text: &str) -> Option<i64> {
    let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.parse().ok()).flatten()
}

/// Numbers of so many digits each.
fn fields(text: &str, lengths: [usize; 3]) -> Option<[i16; 3]> {
    let mut rest = text;
    let mut found = [0; 3];
    for (field, length) in found.iter_mut().zip(lengths) {
        let (number, after) = rest.split_at_checked(length)?;
        *field = digits(number)? as i16;
        rest = after;
    }
    rest.is_empty().then_some(found)
}

/// The parts of a normalised text.
pub(super) fn parse(text: &str) -> Result<Parts, Error> {
    let mut listed: Vec<Part<'_>> = Vec::new();
    for part in text.split(';') {
        let Some((name, value)) = part.split_once('=') else {
            return Err(Error::invalid(format!(
                "RRULE part {part:?}: write a name and a value, such as BYDAY=MO"
            )));
        };
        let part = Part { name, value };
        if listed.iter().any(|other| other.name == name) {
            return Err(part.error("a part comes once: join their values with commas"));
        }
        listed.push(part);
    }
    let Some(frequency) = listed.iter().find(|part| part.name == "FREQ") else {
        return Err(Error::invalid(format!(
            "RRULE {text:?}: FREQ is missing: add such as FREQ=DAILY"
        )));
    };
    let known = FREQUENCIES.iter().find(|known| known.0 == frequency.value);
    let Some(&(_, frequency)) = known else {
        let names = FREQUENCIES.map(|known| known.0).join(" ");
        return Err(frequency.error(format_args!("it is one of {names}")));
    };
    let mut parts = Parts {
        frequency,
        interval: 1,
        count: None,
        until: None,
        seconds: 0,
        minutes: 0,
        hours: 0,
        days: Days {
            week_start: 1,
            ..Days::default()
        },
        positions: Box::default(),
    };
    for part in &listed {
        take(&mut parts, part)?;
    }
    refuse_together(&parts, &listed)?;
    Ok(parts)
}

fn take(parts: &mut Parts, part: &Part<'_>) -> Result<(), Error> {
    let days = &mut parts.days;
    match part.name {
        "FREQ" => {}
        "INTERVAL" => {
            parts.interval = part.positive()?;
            if parts.interval > i64::from(u32::MAX) {
                return Err(part.error("it is at most 4294967295: no later time is before 2262"));
            }
        }
        "COUNT" => parts.count = Some(part.positive()?),
        "UNTIL" => parts.until = Some(part.until()?),
        "BYSECOND" => {
            let set = part.set(0, 60)?;
            // A leap second is the one before.
            parts.seconds = (set | set >> 60 << 59) & ((1 << 60) - 1);
        }
        "BYMINUTE" => parts.minutes = part.set(0, 59)?,
        "BYHOUR" => parts.hours = part.set(0, 23)? as u32,
        "BYDAY" => (days.of_week, days.nth) = part.weekdays()?,
        "BYMONTHDAY" => {
            for day in part.signed_list(31)? {
                let set = if day > 0 {
                    &mut days.of_month
                } else {
                    &mut days.of_month_back
                };
                *set |= 1 << day.unsigned_abs();
            }
        }
        "BYYEARDAY" => days.of_year = part.signed_list(366)?,
        "BYWEEKNO" => days.weeks = part.signed_list(53)?,
        "BYMONTH" => days.months = part.set(1, 12)? as u32,
        "BYSETPOS" => parts.positions = part.signed_list(366)?,
        "WKST" => days.week_start = part.weekday(part.value, part.value)?,
        "BYEASTER" => {
            return Err(part.error("it is not of RFC 5545: write the dates as Times([…])"));
        }
        "RSCALE" | "SKIP" => {
            return Err(part.error("rules are of RFC 5545 and its calendar: leave it out"));
        }
        _ => return Err(part.error(format_args!("there is no such part: they are {NAMES}"))),
    }
    Ok(())
}

/// Refuse what the RFC does (3.3.10), because it has no meaning.
fn refuse_together(parts: &Parts, listed: &[Part<'_>]) -> Result<(), Error> {
    use Frequency::{Daily, Monthly, Weekly, Yearly};
    let frequency = parts.frequency;
    let is_coarse = [Yearly, Monthly].contains(&frequency);
    let days = &parts.days;
    let by_weeks = !days.weeks.is_empty();
    for part in listed {
        let cure = match part.name {
            "COUNT" if parts.until.is_some() => "it is given with UNTIL: leave one of them out",
            "BYWEEKNO" if frequency != Yearly => "it is for FREQ=YEARLY alone",
            "BYYEARDAY" if [Daily, Weekly, Monthly].contains(&frequency) => {
                "it is not for FREQ=DAILY, WEEKLY or MONTHLY: write FREQ=YEARLY"
            }
            "BYMONTHDAY" if frequency == Weekly => {
                "it is not for FREQ=WEEKLY: write FREQ=MONTHLY or DAILY"
            }
            "BYDAY" if !days.nth.is_empty() && !is_coarse => {
                "a weekday has a number with FREQ=MONTHLY and YEARLY alone: write it without"
            }
            "BYDAY" if !days.nth.is_empty() && by_weeks => {
                "a weekday of BYWEEKNO has no number: write it without"
            }
            "BYDAY"
                if days.nth.iter().any(|nth| nth.0.abs() > 5)
                    && (frequency == Monthly || days.months != 0) =>
            {
                "a month has at most five of a weekday"
            }
            "BYSETPOS" if !listed.iter().any(|other| is_by(other.name)) => {
                "it needs another BY… part, whose times it chooses from"
            }
            _ => continue,
        };
        return Err(part.error(cure));
    }
    Ok(())
}

fn is_by(name: &str) -> bool {
    name.starts_with("BY") && name != "BYSETPOS"
}
