//! Zones by name or of a fixed offset, and their rules as they are now.

mod rules;

pub(crate) use rules::{Fnv, Rules, Span};

use crate::error::Error;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{self, TimeZone};
use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::{Duration, Instant};

const SECOND: i64 = 1_000_000_000;

/// How long rules are used before the database of zones is asked again, which looks at the files every five minutes.
const FRESH: Duration = Duration::from_secs(5);

/// A time zone: an IANA name, or a fixed offset from UTC. A clone is cheap.
///
/// The rules of a name are those of the system's database (`/usr/share/zoneinfo`, or `TZDIR`), or of the one that came
/// with the program where there is none. Changed files are found within five minutes and some seconds; where one has
/// gone, its rules stay what they were.
#[derive(Clone)]
pub struct Zone(Arc<Inner>);

struct Inner {
    place: Place,
    now: RwLock<Option<Known>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Named(Box<str>),
    /// Nanoseconds east of UTC.
    Fixed(i64),
}

struct Known {
    /// `None`: for ever.
    until: Option<Instant>,
    rules: Arc<Rules>,
}

impl Zone {
    /// The zone of an IANA name, in any case.
    ///
    /// # Errors
    /// [`Error::UnknownZone`] if there is none.
    pub fn named(name: &str) -> Result<Self, Error> {
        if name.eq_ignore_ascii_case("UTC") {
            return Ok(Self::utc());
        }
        let found = look_up(name)?;
        let name = found.iana_name().unwrap_or(name);
        static SHARED: OnceLock<Mutex<HashMap<Box<str>, Zone>>> = OnceLock::new();
        // A lock that was held when the process was forked stays held in the child: nothing waits for one here.
        let Ok(mut shared) = SHARED.get_or_init(Mutex::default).try_lock() else {
            return Ok(Self::assumed(name));
        };
        if let Some(zone) = shared.get(name) {
            return Ok(zone.clone());
        }
        let zone = Self::assumed(name);
        shared.insert(name.into(), zone.clone());
        Ok(zone)
    }

    /// The zone of a name that need not be known now.
    pub(crate) fn assumed(name: &str) -> Self {
        Self(Arc::new(Inner {
            place: Place::Named(name.into()),
            now: RwLock::new(None),
        }))
    }

    /// A fixed offset from UTC, in nanoseconds east of it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a day or more.
    pub fn fixed(offset_ns: i64) -> Result<Self, Error> {
        if offset_ns.unsigned_abs() >= 86_400 * SECOND as u64 {
            return Err(Error::invalid(format!(
                "tz must be less than a day from UTC, not {offset_ns} ns"
            )));
        }
        let rules = Arc::new(Rules::fixed(offset_ns.div_euclid(SECOND)));
        Ok(Self(Arc::new(Inner {
            place: Place::Fixed(offset_ns),
            now: RwLock::new(Some(Known { until: None, rules })),
        })))
    }

    /// UTC.
    pub fn utc() -> Self {
        static UTC: OnceLock<Zone> = OnceLock::new();
        UTC.get_or_init(|| Self::fixed(0).expect("no offset is less than a day"))
            .clone()
    }

    /// Its IANA name, `"UTC"` for an offset of 0, or `None` for other fixed offsets.
    pub fn name(&self) -> Option<&str> {
        match &self.0.place {
            Place::Named(name) => Some(name),
            Place::Fixed(0) => Some("UTC"),
            Place::Fixed(_) => None,
        }
    }

    /// The offset in nanoseconds, if it is fixed.
    pub fn fixed_offset(&self) -> Option<i64> {
        match self.0.place {
            Place::Named(_) => None,
            Place::Fixed(offset) => Some(offset),
        }
    }

    /// Local minus UTC at a time, in nanoseconds.
    ///
    /// # Errors
    /// [`Error::UnknownZone`] if it is not known now.
    pub fn offset_at(&self, time: i64) -> Result<i64, Error> {
        let local = self.local()?;
        Ok(local.rules.at(local.second(time)).offset * SECOND + local.rest)
    }

    /// What local clocks show at a time.
    ///
    /// # Errors
    /// [`Error::UnknownZone`] if it is not known now.
    pub fn to_local(&self, time: i64) -> Result<DateTime, Error> {
        let local = i128::from(time) + i128::from(self.offset_at(time)?);
        let shown = Timestamp::from_nanosecond(local).expect("jiff's times are more");
        Ok(tz::Offset::UTC.to_datetime(shown))
    }

    /// The zone as jiff has it; the offset without its part of a second.
    ///
    /// # Errors
    /// [`Error::UnknownZone`] if it is not known now.
    pub fn time_zone(&self) -> Result<TimeZone, Error> {
        match &self.0.place {
            Place::Named(name) => look_up(name),
            Place::Fixed(offset) => {
                let seconds = offset.div_euclid(SECOND) as i32;
                let offset = tz::Offset::from_seconds(seconds);
                Ok(TimeZone::fixed(offset.expect("it is less than a day")))
            }
        }
    }

    /// What local clocks show, by the rules as they are now.
    pub(crate) fn local(&self) -> Result<Local, Error> {
        let rest = match self.0.place {
            Place::Named(_) => 0,
            Place::Fixed(offset) => offset.rem_euclid(SECOND),
        };
        Ok(Local {
            rules: self.rules()?,
            rest,
        })
    }

    fn rules(&self) -> Result<Arc<Rules>, Error> {
        // As for the shared zones, no lock is waited for: while another thread writes, what is right is looked up.
        let mut old = None;
        if let Ok(now) = self.0.now.try_read()
            && let Some(known) = &*now
        {
            if known.until.is_none_or(|until| Instant::now() < until) {
                return Ok(known.rules.clone());
            }
            old = Some(known.rules.clone());
        }
        let rules = match (self.time_zone(), old) {
            (Ok(zone), old) => {
                let rules = Arc::new(Rules::of(&zone));
                old.filter(|old| *old == rules).unwrap_or(rules)
            }
            // While an update of the zones replaces its file there is none: what has times must not end by that.
            (Err(_), Some(old)) => old,
            (Err(error), None) => return Err(error),
        };
        if let Ok(mut now) = self.0.now.try_write() {
            let until = Some(Instant::now() + FRESH);
            *now = Some(Known {
                until,
                rules: rules.clone(),
            });
        }
        Ok(rules)
    }
}

fn look_up(name: &str) -> Result<TimeZone, Error> {
    let found = tz::db().get(name).ok().filter(|zone| !zone.is_unknown());
    found.ok_or_else(|| Error::UnknownZone(name.into()))
}

/// A zone's rules, and how times become whole seconds of them.
pub(crate) struct Local {
    pub(crate) rules: Arc<Rules>,
    /// The part of a second of a fixed offset: all times are moved by it, and then the offset is whole.
    rest: i64,
}

impl Local {
    /// The second that a time is in.
    #[inline]
    pub(crate) fn second(&self, time: i64) -> i64 {
        if self.rest == 0 {
            time.div_euclid(SECOND)
        } else {
            (i128::from(time) + i128::from(self.rest)).div_euclid(SECOND.into()) as i64
        }
    }

    /// The time at which a second begins, if that is one of 64-bit nanoseconds.
    #[inline]
    pub(crate) fn time(&self, second: i64) -> Option<i64> {
        if self.rest == 0 {
            second.checked_mul(SECOND)
        } else {
            let time = i128::from(second) * i128::from(SECOND) - i128::from(self.rest);
            i64::try_from(time).ok()
        }
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.place == other.0.place
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.place.hash(state);
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.definition())
    }
}

impl Zone {
    /// A text without blanks: the name, or an offset such as `+05:30`.
    pub(crate) fn definition(&self) -> String {
        let offset = match &self.0.place {
            Place::Named(name) => return name.to_string(),
            Place::Fixed(0) => return "UTC".into(),
            Place::Fixed(offset) => *offset,
        };
        let sign = if offset < 0 { '-' } else { '+' };
        let (seconds, rest) = (offset.abs() / SECOND, offset.abs() % SECOND);
        let mut text = format!("{sign}{:02}:{:02}", seconds / 3_600, seconds / 60 % 60);
        if seconds % 60 != 0 || rest != 0 {
            text += &format!(":{:02}", seconds % 60);
        }
        if rest != 0 {
            text += &format!(".{rest:09}");
        }
        text
    }

    /// The zone of such a text; a name need not be known.
    pub(crate) fn from_definition(text: &str) -> Result<Self, Error> {
        let sign = match text.as_bytes().first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ if text == "UTC" => return Ok(Self::utc()),
            _ => return Ok(Self::assumed(text)),
        };
        let wrong = || Error::invalid(format!("{text:?} is no offset such as +05:30"));
        let (whole, rest) = text[1..].split_once('.').unwrap_or((&text[1..], "0"));
        let mut parts = whole.split(':').map(|part| part.parse::<i64>().ok());
        let mut part = || parts.next().unwrap_or(Some(0)).ok_or_else(wrong);
        let seconds = part()? * 3_600 + part()? * 60 + part()?;
        let rest = rest.parse::<i64>().map_err(|_| wrong())?;
        Self::fixed(sign * (seconds * SECOND + rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_that_is_gone_keeps_its_last_rules() {
        let zone = Zone::assumed("Mars/Olympus");
        assert!(zone.offset_at(0).is_err());
        *zone.0.now.write().unwrap() = Some(Known {
            until: Some(Instant::now()),
            rules: Arc::new(Rules::fixed(3_600)),
        });
        assert_eq!(zone.offset_at(0), Ok(3_600 * SECOND));
    }
}
