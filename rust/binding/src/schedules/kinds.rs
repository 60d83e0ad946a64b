//! How schedules are made.

use super::reading;
use super::value::{Cron, Days, Every, RRule, Schedule, Times};
use crate::values::convert::as_given;
use pyo3::prelude::*;

#[pymethods]
impl Every {
    #[new]
    #[pyo3(signature = (period, *, anchor=None, from_end=false))]
    fn new(
        period: &Bound<'_, PyAny>,
        anchor: Option<&Bound<'_, PyAny>>,
        from_end: bool,
    ) -> PyResult<PyClassInitializer<Self>> {
        let inner = reading::every(period, anchor, from_end)?;
        Ok(Schedule::of(inner, Self))
    }
}

#[pymethods]
impl Cron {
    #[new]
    #[pyo3(signature = (text, tz=None), text_signature = "(text, tz='UTC')")]
    fn new(
        text: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = as_given)] tz: Option<Bound<'_, PyAny>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let inner = reading::cron(text, tz.as_ref())?;
        Ok(Schedule::of(inner, Self))
    }
}

#[pymethods]
impl Times {
    #[new]
    fn new(whens: &Bound<'_, PyAny>) -> PyResult<PyClassInitializer<Self>> {
        Ok(Schedule::of(reading::times(whens)?, Self))
    }
}

#[pymethods]
impl Days {
    #[new]
    #[pyo3(signature = (dates, tz=None), text_signature = "(dates, tz='UTC')")]
    fn new(
        dates: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = as_given)] tz: Option<Bound<'_, PyAny>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let inner = reading::days(dates, tz.as_ref())?;
        Ok(Schedule::of(inner, Self))
    }
}

#[pymethods]
impl RRule {
    #[new]
    fn new(
        text: &Bound<'_, PyAny>,
        start: &Bound<'_, PyAny>,
        tz: &Bound<'_, PyAny>,
    ) -> PyResult<PyClassInitializer<Self>> {
        Ok(Schedule::of(reading::rrule(text, start, tz)?, Self))
    }
}
