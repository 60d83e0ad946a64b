//! The text of a schedule that a store keeps: one word for what it is, and its values.
//!
//! ```text
//! every 10000000000
//! every 10000000000 anchor 1806148800000000000
//! every 10000000000 from_end
//! cron Europe/Paris 0 9 * * mon-fri
//! times 1806148800000000000 1806148800500000000
//! days +05:30 2027-01-01 2027-12-25
//! rrule Europe/Paris 2027-01-01T09:00:00 FREQ=WEEKLY;BYDAY=MO
//! (cron Asia/Tokyo * 9-17 * * mon-fri) - (days Asia/Tokyo 2027-01-01)
//! ```
//! Words and their order stay what they are, for files outlive versions.

use super::tree::{Condition, Kind, Schedule};
use crate::error::Error;
use crate::every::Every;
use crate::zone::Zone;
use jiff::civil::Date;
use std::fmt::Display;

impl Schedule {
    /// Its text for a store, which [`Schedule::from_definition`] reads. Equal schedules have equal texts.
    pub fn definition(&self) -> String {
        match self.kind() {
            Kind::Every(Every {
                period,
                anchor,
                from_end,
                ..
            }) => {
                let anchor = anchor.map_or(String::new(), |anchor| format!(" anchor {anchor}"));
                let from_end = if *from_end { " from_end" } else { "" };
                format!("every {period}{anchor}{from_end}")
            }
            Kind::Cron(cron) => format!("cron {} {}", cron.zone().definition(), cron.text()),
            Kind::Times(times) => listed("times".into(), times.iter()),
            Kind::Days(days) => listed(format!("days {}", days.zone().definition()), days.dates()),
            Kind::RRule(rule) => {
                let (zone, start) = (rule.zone().definition(), rule.start());
                format!("rrule {zone} {start} {}", rule.text())
            }
            Kind::Union(parts) => {
                let parts: Vec<_> = parts.iter().map(Self::in_brackets).collect();
                parts.join(" | ")
            }
            Kind::Filtered(left, conditions) => {
                let mut text = left.in_brackets();
                for Condition { within, of } in conditions {
                    text += if *within { " & " } else { " - " };
                    text += &of.in_brackets();
                }
                text
            }
        }
    }

    fn in_brackets(&self) -> String {
        format!("({})", self.definition())
    }

    /// The schedule of such a text. A zone that is not known now is no error here, but when the schedule is asked.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text that is none, such as that of a newer version.
    pub fn from_definition(text: &str) -> Result<Self, Error> {
        if text.starts_with('(') {
            combined(text)
        } else {
            leaf(text)
        }
        .map_err(|error| match error {
            Error::Invalid(why) if !why.starts_with("schedule ") => {
                Error::Invalid(format!("schedule {text:?}: {why}"))
            }
            other => other,
        })
    }
}

fn listed(mut text: String, items: impl Iterator<Item = impl Display>) -> String {
    for item in items {
        text += &format!(" {item}");
    }
    text
}

fn leaf(text: &str) -> Result<Schedule, Error> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match word {
        "every" => {
            let words: Vec<&str> = rest.split(' ').collect();
            match words.as_slice() {
                [period] => Schedule::every(integer(period)?, None, false),
                [period, "from_end"] => Schedule::every(integer(period)?, None, true),
                [period, "anchor", anchor] => {
                    Schedule::every(integer(period)?, Some(integer(anchor)?), false)
                }
                _ => Err(unknown()),
            }
        }
        "cron" => {
            let (zone, text) = rest.split_once(' ').ok_or_else(unknown)?;
            Schedule::cron(text, Zone::from_definition(zone)?)
        }
        "times" => {
            let times: Result<_, _> = rest.split_ascii_whitespace().map(integer).collect();
            Schedule::times(times?)
        }
        "rrule" => {
            let mut words = rest.splitn(3, ' ');
            let mut word = || words.next().ok_or_else(unknown);
            let zone = Zone::from_definition(word()?)?;
            let start = word()?.parse().map_err(|_| unknown())?;
            Schedule::rrule(word()?, start, zone)
        }
        "days" => {
            let mut words = rest.split_ascii_whitespace();
            let zone = Zone::from_definition(words.next().ok_or_else(unknown)?)?;
            let dates: Result<Vec<Date>, Error> = words
                .map(|word| word.parse().map_err(|_| unknown()))
                .collect();
            Schedule::days(&dates?, zone)
        }
        _ => Err(unknown()),
    }
}

fn integer(text: &str) -> Result<i64, Error> {
    text.parse()
        .map_err(|_| Error::invalid(format!("{text:?} is no whole number")))
}

fn unknown() -> Error {
    Error::invalid("this version cannot read it: a newer one may have written it")
}

/// `(a) | (b)`, or `(a) & (b) - (c)`, from left to right.
fn combined(text: &str) -> Result<Schedule, Error> {
    let (first, mut rest) = bracket(text)?;
    let mut made = Schedule::from_definition(first)?;
    while let Some((operator, after)) = rest.split_at_checked(3) {
        let (other, left) = bracket(after)?;
        let other = Schedule::from_definition(other)?;
        made = match operator {
            " | " => made.union(other)?,
            " & " => made.intersection(other)?,
            " - " => made.difference(other)?,
            _ => return Err(unknown()),
        };
        rest = left;
    }
    if rest.is_empty() {
        Ok(made)
    } else {
        Err(unknown())
    }
}

/// What is in the bracket with which a text begins, and what follows it.
fn bracket(text: &str) -> Result<(&str, &str), Error> {
    if !text.starts_with('(') {
        return Err(unknown());
    }
    let mut depth = 0_u32;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Ok((&text[1..index], &text[index + 1..]));
        }
    }
    Err(unknown())
}
