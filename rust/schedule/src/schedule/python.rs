//! A schedule as an expression of Python, which makes an equal one.
//!
//! It needs the names of `duewheel`, and `datetime` as a module; `numpy` only for times that no other type of Python's
//! has exactly.

use super::tree::{Condition, Kind, Schedule};
use crate::every::Every;
use crate::zone::Zone;
use jiff::civil::DateTime;
use jiff::{Timestamp, tz::Offset};
use std::fmt::{self, Display, Formatter, Write};

const SECOND: i64 = 1_000_000_000;

impl Display for Schedule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.kind() {
            Kind::Every(every) => write_every(f, every),
            Kind::Cron(cron) => {
                write!(f, "Cron('{}', tz={})", cron.text(), Shown(cron.zone()))
            }
            Kind::Times(times) => {
                f.write_str("Times([")?;
                write_list(f, times.iter().map(|&time| Shown(time)))?;
                f.write_str("])")
            }
            Kind::Days(days) => {
                f.write_str("Days([")?;
                write_list(f, days.dates().map(Shown))?;
                write!(f, "], tz={})", Shown(days.zone()))
            }
            Kind::RRule(rule) => {
                let (text, zone) = (rule.text(), Shown(rule.zone()));
                write!(f, "RRule('{text}', {}, tz={zone})", Shown(rule.start()))
            }
            Kind::Union(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    let operator = if index > 0 { " | " } else { "" };
                    write!(f, "{operator}{part}")?;
                }
                Ok(())
            }
            Kind::Filtered(left, conditions) => write_filtered(f, left, conditions),
        }
    }
}

/// Of Python's operators `-` binds closer than `&`, and that closer than `|`.
fn write_filtered(f: &mut Formatter<'_>, left: &Schedule, conditions: &[Condition]) -> fmt::Result {
    let is_leaf = |one: &Schedule| !matches!(one.kind(), Kind::Union(_) | Kind::Filtered(..));
    let in_brackets = |one: &Schedule| {
        if is_leaf(one) {
            one.to_string()
        } else {
            format!("({one})")
        }
    };
    let mut text = in_brackets(left);
    let mut before = None;
    for Condition { within, of } in conditions {
        if !within && before == Some(true) {
            text = format!("({text})");
        }
        text += if *within { " & " } else { " - " };
        text += &in_brackets(of);
        before = Some(*within);
    }
    f.write_str(&text)
}

fn write_list(f: &mut Formatter<'_>, items: impl Iterator<Item = impl Display>) -> fmt::Result {
    for (index, item) in items.enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        write!(f, "{comma}{item}")?;
    }
    Ok(())
}

fn write_every(f: &mut Formatter<'_>, every: &Every) -> fmt::Result {
    write!(f, "Every({}", Period(every.period))?;
    if let Some(anchor) = every.anchor {
        write!(f, ", anchor={}", Shown(anchor))?;
    }
    if every.from_end {
        f.write_str(", from_end=True")?;
    }
    f.write_char(')')
}

/// Nanoseconds that are read to the nearest.
struct Period(i64);

impl Display for Period {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let seconds = self.0 as f64 / SECOND as f64;
        if self.0 % SECOND == 0 {
            write!(f, "{}", self.0 / SECOND)
        } else if exact(seconds).round_ties_even() == self.0 {
            write!(f, "{seconds}")
        } else if self.0 % 1_000 == 0 {
            write!(f, "datetime.timedelta(microseconds={})", self.0 / 1_000)
        } else {
            write!(f, "numpy.timedelta64({}, 'ns')", self.0)
        }
    }
}

/// The nanoseconds of a float's binary value, in halves, as far as they are needed to round it.
struct Exact {
    whole: i128,
    /// What is beyond, compared to a half.
    rest: std::cmp::Ordering,
    is_whole: bool,
}

/// The product of a float, not negative in its magnitude, and 10⁹, without an error of its own.
fn exact(seconds: f64) -> Exact {
    let bits = seconds.to_bits();
    let mantissa = i128::from(bits & ((1 << 52) - 1) | 1 << 52);
    let mantissa = if seconds < 0.0 { -mantissa } else { mantissa } * i128::from(SECOND);
    // A normal number: nanoseconds below 2⁻⁹⁹⁰ s are none that is kept.
    let shift = 1_075 - (bits >> 52 & 0x7ff) as i32;
    if !(0..=120).contains(&shift) {
        let whole = if shift > 120 {
            0
        } else {
            mantissa.checked_shl(shift.unsigned_abs()).unwrap_or(0)
        };
        return Exact {
            whole,
            rest: std::cmp::Ordering::Less,
            is_whole: shift <= 120,
        };
    }
    let whole = mantissa >> shift;
    let rest = mantissa - (whole << shift);
    let half = if shift == 0 { 1 } else { 1_i128 << (shift - 1) };
    Exact {
        whole,
        rest: rest.cmp(&half),
        is_whole: rest == 0,
    }
}

impl Exact {
    fn round_ties_even(&self) -> i64 {
        let up = match self.rest {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => self.whole & 1,
            std::cmp::Ordering::Greater => 1,
        };
        (self.whole + up) as i64
    }

    fn ceil(&self) -> i64 {
        (self.whole + i128::from(!self.is_whole)) as i64
    }
}

/// A value as it is written in Python.
struct Shown<T>(T);

impl Display for Shown<&Zone> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.0.name() {
            return write!(f, "'{name}'");
        }
        let offset = self.0.fixed_offset().unwrap_or_default() / 1_000;
        let (day, sub) = (86_400_000_000, 1_000_000);
        let (days, rest) = (offset.div_euclid(day), offset.rem_euclid(day));
        f.write_str("datetime.timezone(datetime.timedelta(")?;
        let parts = [
            ("days", days),
            ("seconds", rest / sub),
            ("microseconds", rest % sub),
        ];
        let parts = parts.iter().filter(|(_, count)| *count != 0);
        write_list(f, parts.map(|(name, count)| format!("{name}={count}")))?;
        f.write_str("))")
    }
}

impl Display for Shown<jiff::civil::Date> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let date = self.0;
        write!(
            f,
            "datetime.date({}, {}, {})",
            date.year(),
            date.month(),
            date.day()
        )
    }
}

impl Display for Shown<DateTime> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("datetime.datetime(")?;
        write_fields(f, self.0)?;
        f.write_char(')')
    }
}

/// The arguments of a `datetime`, as Python writes them: without seconds and microseconds that are 0.
fn write_fields(f: &mut Formatter<'_>, at: DateTime) -> fmt::Result {
    let fields = [
        i64::from(at.year()),
        at.month().into(),
        at.day().into(),
        at.hour().into(),
        at.minute().into(),
        at.second().into(),
        (at.subsec_nanosecond() / 1_000).into(),
    ];
    let shown = if fields[6] != 0 {
        7
    } else {
        5 + usize::from(fields[5] != 0)
    };
    write_list(f, fields[..shown].iter())
}

impl Display for Shown<i64> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let seconds = self.0 as f64 / SECOND as f64;
        if self.0 % 1_000 != 0 {
            if exact(seconds).ceil() == self.0 {
                return write!(f, "{seconds}");
            }
            return write!(f, "numpy.datetime64({}, 'ns')", self.0);
        }
        let timestamp = Timestamp::from_nanosecond(self.0.into()).expect("jiff's times are more");
        let at = Offset::UTC.to_datetime(timestamp);
        f.write_str("datetime.datetime(")?;
        write_fields(f, at)?;
        f.write_str(", tzinfo=datetime.timezone.utc)")
    }
}
