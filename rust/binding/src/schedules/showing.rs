//! Times of schedules as Python's datetimes.

use crate::interpreter::call;
use crate::interpreter::names::names;
use duewheel_schedule::{Zone, date_of};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDateTime, PyDelta, PyTzInfo};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Python's object of the zone that times are shown in: found once, since to find it takes as long as the time.
pub(crate) struct ShownIn(PyOnceLock<Py<PyTzInfo>>);

impl ShownIn {
    pub(crate) fn new() -> Self {
        ShownIn(PyOnceLock::new())
    }

    fn zone<'py>(&self, py: Python<'py>, zone: &Zone, time: i64) -> PyResult<Bound<'py, PyTzInfo>> {
        if let Some(found) = self.0.get(py) {
            return Ok(found.bind(py).clone());
        }
        let offset = || {
            let offset = zone.offset_at(time).unwrap_or_default();
            let (seconds, rest) = (offset.div_euclid(SECOND), offset.rem_euclid(SECOND));
            PyTzInfo::fixed_offset(
                py,
                PyDelta::new(py, 0, seconds as i32, (rest / 1_000) as i32, true)?,
            )
        };
        let found = match zone.name() {
            None => offset()?,
            Some(name) => {
                let found = call::python(py, &names(py)?.zone_info, (name,))?;
                if found.is_none() {
                    // Python has no zones here, and the extension has brought its own: its offset is right, of this time.
                    return offset();
                }
                found.cast_into()?
            }
        };
        Ok(self.0.get_or_init(py, || found.unbind()).bind(py).clone())
    }
}

/// A time in a zone, rounded up to microseconds: asked for what comes after it, a schedule does not name it again.
pub(crate) fn datetime<'py>(
    py: Python<'py>,
    time: i64,
    zone: Option<&Zone>,
    shown_in: &ShownIn,
) -> PyResult<Bound<'py, PyAny>> {
    let zone = zone.filter(|zone| zone.fixed_offset() != Some(0));
    let shown_in = match zone {
        None => PyTzInfo::utc(py)?.to_owned(),
        Some(zone) => shown_in.zone(py, zone, time)?,
    };
    let micros = time.div_euclid(1_000) + i64::from(time.rem_euclid(1_000) != 0);
    let (year, month, day) = date_of(micros.div_euclid(DAY / 1_000));
    let rest = micros.rem_euclid(DAY / 1_000);
    let (seconds, rest) = (rest / 1_000_000, rest % 1_000_000);
    let moment = PyDateTime::new(
        py,
        year as i32,
        month as u8,
        day as u8,
        (seconds / 3_600) as u8,
        (seconds / 60 % 60) as u8,
        (seconds % 60) as u8,
        rest as u32,
        Some(&shown_in),
    )?;
    match zone {
        None => Ok(moment.into_any()),
        // What it takes is UTC, said to be in the zone.
        Some(_) => shown_in.call_method1(intern!(py, "fromutc"), (moment,)),
    }
}
