//! What schedules are made of, read from Python's values, with errors that name the value.

use super::value::Schedule;
use crate::errors::schedule_failed;
use crate::interpreter::call;
use crate::interpreter::names::names;
use crate::values::convert::{self, Array};
use duewheel_schedule::civil::{Date, DateTime};
use duewheel_schedule::{Schedule as Inner, Zone};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{
    PyByteArray, PyBytes, PyDate, PyDateAccess, PyDateTime, PyString, PyTimeAccess, PyTzInfoAccess,
};

/// A schedule, or what stands for one: a number of seconds or a `timedelta` for `Every`, a `str` for `Cron`, which
/// alone takes `tz`.
pub(crate) fn read_schedule(
    value: &Bound<'_, PyAny>,
    tz: Option<&Bound<'_, PyAny>>,
) -> PyResult<Inner> {
    if value.is_instance_of::<PyString>() {
        return cron(value, tz);
    }
    if let Some(tz) = tz {
        return Err(PyValueError::new_err(format!(
            "tz={tz:?} is for a schedule that is given as a str, and {value:?} is none: give tz= to Cron(...) or Days(...)"
        )));
    }
    match operand(value)? {
        Some(schedule) => Ok(schedule),
        None => Err(PyTypeError::new_err(format!(
            "schedule must be seconds, a timedelta, a cron text, or made of Every, Cron, Times, Days and RRule, not {value:?}"
        ))),
    }
}

/// A schedule, or what stands for one without more ado; `None`: neither.
pub(crate) fn operand(value: &Bound<'_, PyAny>) -> PyResult<Option<Inner>> {
    if let Ok(schedule) = value.cast::<Schedule>() {
        return Ok(Some(schedule.get().inner().clone()));
    }
    if value.is_instance_of::<PyString>() {
        return cron(value, None).map(Some);
    }
    let is_period = &names(value.py())?.is_period;
    if call::python(value.py(), is_period, (value,))?.is_truthy()? {
        return every(value, None, false).map(Some);
    }
    Ok(None)
}

pub(crate) fn every(
    period: &Bound<'_, PyAny>,
    anchor: Option<&Bound<'_, PyAny>>,
    from_end: bool,
) -> PyResult<Inner> {
    let period_ns = &names(period.py())?.period_ns;
    let period = call::python(period.py(), period_ns, (period,))?.extract()?;
    let anchor = convert::bound(anchor, "anchor")?;
    Inner::every(period, anchor, from_end).map_err(|error| schedule_failed(&error))
}

pub(crate) fn cron(text: &Bound<'_, PyAny>, tz: Option<&Bound<'_, PyAny>>) -> PyResult<Inner> {
    let fields = text.cast::<PyString>().map_err(|_| {
        PyTypeError::new_err(format!(
            "text must be a str such as '0 9 * * mon-fri', not {text:?}"
        ))
    })?;
    // A lone surrogate is in no expression: the error shows what stands for it.
    let fields = fields.to_string_lossy();
    Inner::cron(&fields, zone(tz)?).map_err(|error| schedule_failed(&error))
}

pub(crate) fn rrule(
    text: &Bound<'_, PyAny>,
    start: &Bound<'_, PyAny>,
    tz: &Bound<'_, PyAny>,
) -> PyResult<Inner> {
    let rule = text.cast::<PyString>().map_err(|_| {
        PyTypeError::new_err(format!(
            "text must be a str such as 'FREQ=WEEKLY;BYDAY=MO', not {text:?}"
        ))
    })?;
    let zone = zone(Some(tz))?;
    let Ok(date) = start.cast::<PyDateTime>() else {
        return Err(PyTypeError::new_err(format!(
            "start must be a datetime in local time, not {start:?}"
        )));
    };
    let start = if date.get_tzinfo().is_some() {
        let start = convert::wall_time(start, "start")?;
        zone.to_local(start)
            .map_err(|error| schedule_failed(&error))?
    } else {
        local_time(date)
    };
    let rule = rule.to_string_lossy();
    Inner::rrule(&rule, start, zone).map_err(|error| schedule_failed(&error))
}

fn local_time(date: &Bound<'_, PyDateTime>) -> DateTime {
    let day = day(date.as_any().cast().expect("a datetime is a date"));
    let (hour, minute, second) = (date.get_hour(), date.get_minute(), date.get_second());
    let rest = date.get_microsecond() as i32 * 1_000;
    day.at(hour as i8, minute as i8, second as i8, rest)
}

/// A zone: an IANA name, a `ZoneInfo` with a key or a fixed `timezone`; UTC where none is given.
pub(crate) fn zone(tz: Option<&Bound<'_, PyAny>>) -> PyResult<Zone> {
    let Some(tz) = tz else {
        return Ok(Zone::utc());
    };
    let zone = match tz.cast::<PyString>() {
        Ok(name) => Zone::named(&name.to_string_lossy()),
        Err(_) => {
            let name_or_offset = &names(tz.py())?.name_or_offset;
            let found = call::python(tz.py(), name_or_offset, (tz,))?;
            match found.cast::<PyString>() {
                Ok(name) => Zone::named(&name.to_string_lossy()),
                Err(_) => Zone::fixed(found.extract()?),
            }
        }
    };
    zone.map_err(|error| schedule_failed(&error))
}

/// The items of an iterable that is no text.
fn items<'py>(
    values: &Bound<'py, PyAny>,
    what: &str,
    of: &str,
) -> PyResult<impl Iterator<Item = PyResult<Bound<'py, PyAny>>>> {
    let is_text = values.is_instance_of::<PyString>()
        || values.is_instance_of::<PyBytes>()
        || values.is_instance_of::<PyByteArray>();
    let items = if is_text {
        None
    } else {
        values.try_iter().ok()
    };
    items.ok_or_else(|| {
        PyTypeError::new_err(format!(
            "{what} must be an iterable of {of}, not {values:?}"
        ))
    })
}

pub(crate) fn times(whens: &Bound<'_, PyAny>) -> PyResult<Inner> {
    let one = |when: PyResult<Bound<'_, PyAny>>| convert::wall_time(&when?, "when");
    let of = "aware datetimes or unix seconds";
    let times = match convert::array(whens, "M", "whens")? {
        Some(Array::Times(times)) => times,
        Some(Array::Numbers(numbers)) => items(&numbers, "whens", of)?
            .map(one)
            .collect::<PyResult<_>>()?,
        None => items(whens, "whens", of)?
            .map(one)
            .collect::<PyResult<_>>()?,
    };
    Inner::times(times).map_err(|error| schedule_failed(&error))
}

pub(crate) fn days(dates: &Bound<'_, PyAny>, tz: Option<&Bound<'_, PyAny>>) -> PyResult<Inner> {
    let items = items(dates, "dates", "datetime.date")?;
    let dates = items.map(|day| date(&day?)).collect::<PyResult<Vec<_>>>()?;
    Inner::days(&dates, zone(tz)?).map_err(|error| schedule_failed(&error))
}

fn date(value: &Bound<'_, PyAny>) -> PyResult<Date> {
    if value.is_instance_of::<PyDateTime>() {
        return Err(PyTypeError::new_err(format!(
            "a day must be a datetime.date, and {value:?} is a moment: give its .date()"
        )));
    }
    let Ok(date) = value.cast::<PyDate>() else {
        return Err(PyTypeError::new_err(format!(
            "a day must be a datetime.date, not {value:?}"
        )));
    };
    Ok(day(date))
}

fn day(date: &Bound<'_, PyDate>) -> Date {
    Date::constant(
        date.get_year() as i16,
        date.get_month() as i8,
        date.get_day() as i8,
    )
}
