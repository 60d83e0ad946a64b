//! Times of schedules as Python's datetimes.

use crate::interpreter::call;
use crate::interpreter::names::names;
use duewheel_schedule::Zone;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDateTime, PyDelta, PyTzInfo};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// A time in a zone, rounded up to microseconds: asked for what comes after it, a schedule does not name it again.
pub(crate) fn datetime<'py>(
    py: Python<'py>,
    time: i64,
    zone: Option<&Zone>,
) -> PyResult<Bound<'py, PyAny>> {
    static EPOCH: PyOnceLock<Py<PyDateTime>> = PyOnceLock::new();
    let epoch = EPOCH.get_or_try_init(py, || {
        let utc = PyTzInfo::utc(py)?;
        PyDateTime::new(py, 1970, 1, 1, 0, 0, 0, 0, Some(&utc)).map(Bound::unbind)
    })?;
    let up = i64::from(time.rem_euclid(1_000) != 0);
    let (days, rest) = (time.div_euclid(DAY), time.rem_euclid(DAY));
    let (seconds, rest) = (rest / SECOND, rest % SECOND / 1_000 + up);
    let since = PyDelta::new(py, days as i32, seconds as i32, rest as i32, true)?;
    let moment = epoch.bind(py).as_any().add(since)?;
    let Some(zone) = zone.filter(|zone| zone.fixed_offset() != Some(0)) else {
        return Ok(moment);
    };
    let offset = zone.offset_at(time).unwrap_or_default() / 1_000;
    call::python(py, &names(py)?.in_zone, (moment, zone.name(), offset))
}
