//! The next times as a text, with notes on changes of clocks.

use super::tree::{Kind, Schedule};
use crate::calendar::{DAY, Month};
use crate::error::Error;
use crate::zone::{Local, Span, Zone};
use std::fmt::Write;

/// A change of clocks is told between two times that are at most this far apart: then it is why they are as they are.
const NEAR: i64 = 3 * DAY;

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

impl Schedule {
    /// Its next times after one, `count` at most, in its zone: a line each, with notes where clocks change.
    ///
    /// # Errors
    /// As for [`Schedule::next`].
    pub fn describe(&self, count: usize, after: i64) -> Result<String, Error> {
        let anchored = self.anchored(after);
        let utc = Zone::utc();
        let zone = self.zone().unwrap_or(&utc);
        let local = zone.local()?;
        let mut text = self.to_string();
        let mut before = after;
        for _ in 0..count {
            let Some(time) = anchored.next(before)? else {
                text += "\n  no more";
                break;
            };
            let (from, second) = (local.second(before), local.second(time));
            let spans = local.rules.from(second);
            let made_up = self.is_fixed() && second == spans[0].start;
            if second - from <= NEAR {
                let changes = local.rules.from(from).iter().skip(1);
                for change in changes.take_while(|change| {
                    change.start < second || (change.start == second && !made_up)
                }) {
                    write_change(&mut text, &local, change);
                }
            }
            write_time(&mut text, &local, time);
            write_note(&mut text, &local, second, made_up);
            before = time;
        }
        Ok(text)
    }

    fn is_fixed(&self) -> bool {
        match self.kind() {
            Kind::Cron(cron) => cron.is_fixed(),
            Kind::Union(parts) => parts.iter().any(Self::is_fixed),
            Kind::Filtered(left, _) => left.is_fixed(),
            _ => false,
        }
    }
}

fn write_time(text: &mut String, local: &Local, time: i64) {
    let second = local.second(time);
    let offset = local.rules.at(second).offset;
    let shown = second + offset;
    let (days, rest) = (shown.div_euclid(DAY), shown.rem_euclid(DAY));
    let (month, day) = Month::of(days);
    let weekday = WEEKDAYS[days.rem_euclid(7) as usize];
    let (year, month) = (month.year, month.month);
    let _ = write!(
        text,
        "\n  {weekday} {year:04}-{month:02}-{day:02} {}",
        Clock(rest)
    );
    let part = local.time(second).map_or(0, |begin| time - begin);
    if part != 0 {
        text.push_str(format!(".{part:09}").trim_end_matches('0'));
    }
    let (sign, offset) = (if offset < 0 { '-' } else { '+' }, offset.abs());
    let _ = write!(text, " {sign}{:02}:{:02}", offset / 3_600, offset / 60 % 60);
    if offset % 60 != 0 {
        let _ = write!(text, ":{:02}", offset % 60);
    }
}

/// What local clocks show when a span begins: before, and after.
fn around(local: &Local, span: &Span) -> Option<(i64, i64)> {
    let before = local.rules.before(span)?;
    Some((span.start + before.offset, span.local_start()))
}

fn write_change(text: &mut String, local: &Local, span: &Span) {
    if let Some((from, to)) = around(local, span) {
        let how = if to > from { "forward" } else { "back" };
        let _ = write!(
            text,
            "\n    clocks go {how} from {} to {}",
            Clock(from),
            Clock(to)
        );
    }
}

fn write_note(text: &mut String, local: &Local, second: i64, made_up: bool) {
    let spans = local.rules.from(second);
    let shown = second + spans[0].offset;
    let again = shown < spans[0].unseen;
    if again {
        let _ = write!(text, "  (the second {} of that day)", Clock(shown));
    } else if let Some(next) = spans.get(1).filter(|next| shown >= next.local_start()) {
        let first = Clock(shown);
        let end = Clock(next.unseen);
        let _ = write!(
            text,
            "  (the first {first} of that day: clocks go back at {end})"
        );
    } else if let Some((from, to)) =
        around(local, &spans[0]).filter(|(from, to)| made_up && to > from)
    {
        let (from, to) = (Clock(from), Clock(to));
        let _ = write!(
            text,
            "  (clocks go forward from {from} to {to}: what was between is run now)"
        );
    }
}

/// The time of day that local clocks show.
struct Clock(i64);

impl std::fmt::Display for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of_day = self.0.rem_euclid(DAY);
        write!(f, "{:02}:{:02}", of_day / 3_600, of_day / 60 % 60)?;
        if of_day % 60 != 0 {
            write!(f, ":{:02}", of_day % 60)?;
        }
        Ok(())
    }
}
