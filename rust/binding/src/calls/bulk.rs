//! The bulk calls: many times read at once, scheduled all or none.

use crate::calls::adding::carried_by;
use crate::calls::pending::Pending;
use crate::calls::schedule::warn_if_ancient;
use crate::errors::refused;
use crate::shared::{Shared, releasing};
use crate::values::carried::Rare;
use crate::values::convert::{self, Array};
use crate::values::ids::Ids;
use crate::values::payload::{Batch, Fresh, Handle};
use duewheel_engine::engine::{Due, Refused};
use duewheel_engine::jobs::ids::Halves;
use duewheel_engine::jobs::record::Released;
use duewheel_model::time::ceil_ns;
use duewheel_store::Ticket;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyString};
use std::sync::Arc;

/// After so many times a call on a thread of its own gives up the interpreter.
const GIVE_UP_EVERY: usize = 2_048;

/// Whether a buffer of this format has its bytes the other way round.
fn is_foreign(order: u8) -> bool {
    match order {
        b'>' | b'!' => cfg!(target_endian = "little"),
        b'<' => cfg!(target_endian = "big"),
        _ => false,
    }
}

/// What the times of a bulk call are.
#[derive(Clone, Copy)]
pub(crate) enum Times {
    Whens,
    Delays,
}

impl Times {
    pub(crate) fn new(are_delays: bool) -> Self {
        if are_delays {
            Times::Delays
        } else {
            Times::Whens
        }
    }

    /// What the argument is called.
    fn name(self) -> &'static str {
        match self {
            Times::Whens => "whens",
            Times::Delays => "delays",
        }
    }

    /// The call that they are of.
    fn call(self) -> &'static str {
        match self {
            Times::Whens => "Scheduler.at_many",
            Times::Delays => "Scheduler.in_many",
        }
    }

    fn one(self, value: &Bound<'_, PyAny>) -> PyResult<i64> {
        match self {
            Times::Whens => convert::wall_time(value, "when"),
            Times::Delays => convert::delay(value, "delay"),
        }
    }

    #[inline]
    fn float(self, py: Python<'_>, seconds: f64) -> PyResult<i64> {
        match ceil_ns(seconds) {
            Ok(ns) if seconds >= 0.0 || matches!(self, Times::Whens) => Ok(ns),
            // The slow way says what is wrong with it.
            _ => self.one(PyFloat::new(py, seconds).as_any()),
        }
    }

    /// The nanoseconds of many times; a buffer of float64 or of NumPy's dates is read without
    /// making Python objects.
    pub(crate) fn read(self, values: &Bound<'_, PyAny>, in_thread: bool) -> PyResult<Vec<i64>> {
        let py = values.py();
        if let Ok(buffer) = PyBuffer::<f64>::get(values)
            && buffer.dimensions() == 1
        {
            // Collected in place: a float and its nanoseconds take the same room.
            let floats = buffer.to_vec(py)?.into_iter();
            let order = buffer.format().to_bytes().first().copied();
            if order.is_some_and(is_foreign) {
                let swapped = floats.map(|float| f64::from_bits(float.to_bits().swap_bytes()));
                return swapped.map(|seconds| self.float(py, seconds)).collect();
            }
            return floats.map(|seconds| self.float(py, seconds)).collect();
        }
        let refuse = || {
            PyTypeError::new_err(format!(
                "{} must be a sequence of times, not {values:?}",
                self.name()
            ))
        };
        if values.is_instance_of::<PyString>() || values.is_instance_of::<PyBytes>() {
            return Err(refuse());
        }
        let kind = match self {
            Times::Whens => "M",
            Times::Delays => "m",
        };
        let items = match convert::array(values, kind, self.name())? {
            Some(Array::Times(times)) => return Ok(times),
            Some(Array::Numbers(list)) => list.try_iter()?,
            None => values.try_iter().map_err(|_| refuse())?,
        };
        let read = |(at, item): (usize, PyResult<Bound<'_, PyAny>>)| {
            if in_thread && at % GIVE_UP_EVERY == 0 {
                py.detach(|| ());
            }
            self.one(&item?)
        };
        items.enumerate().map(read).collect()
    }
}

/// Schedule jobs of one target at many times: all of them or none; `in_thread`, a thread of its own makes the call.
pub(crate) fn schedule(
    shared: &Arc<Shared>,
    (kind, times): (Times, &Bound<'_, PyAny>),
    target: &Bound<'_, PyAny>,
    datas: Option<&Bound<'_, PyAny>>,
    options: Option<&Bound<'_, PyAny>>,
    keywords: Option<&Bound<'_, PyDict>>,
    in_thread: bool,
) -> PyResult<Pending<Ids>> {
    let times = &kind.read(times, in_thread)?;
    let py = target.py();
    let rare = keywords.map(|keywords| Rare::read(keywords, kind.call()));
    let rare = rare.transpose()?.unwrap_or_default();
    let spec = if options.is_none() && rare.fields.is_none() {
        shared.specs.plain(target)?
    } else {
        let fields = rare.fields.unwrap_or_default();
        shared.specs.special(target, options, &fields)?
    };
    let carried = carried_by(shared, py, &spec, rare.carried)?;
    let datas = datas
        .map(|datas| read_datas(datas, times.len()))
        .transpose()?;
    for data in datas.iter().flatten() {
        shared.check_data(py, data.as_ref())?;
    }
    let mut datas = datas.into_iter().flatten();
    let fresh = || {
        let (data, spec) = (datas.next().flatten(), spec.clone_ref(py));
        Fresh::carrying(py, data, spec, carried.clone())
    };
    let made = releasing(py, |released| {
        if in_thread || shared.backing.writes {
            take_in_detached(shared, py, (kind, times), fresh, released)
        } else {
            let mut fresh = fresh;
            take_in(shared, (kind, times), || fresh().given(), released)
        }
    });
    // Closed on the way: what was taken in was freed by closing.
    let (ids, ticket) = made.map_err(|error| refused(py, error, ""))?;
    if let (Times::Whens, Some(&earliest)) = (kind, times.iter().min()) {
        warn_if_ancient(shared, py, Due::At(earliest));
    }
    Ok(Pending::Made(Ids::new(ids), ticket))
}

type TakenIn = Result<(Vec<Halves>, Ticket), Refused>;

fn take_in(
    shared: &Shared,
    (kind, times): (Times, &[i64]),
    payload: impl FnMut() -> Handle,
    released: &mut Released<Handle>,
) -> TakenIn {
    match kind {
        Times::Whens => (shared.engine).schedule_many(Due::At, times, payload, released),
        Times::Delays => (shared.engine).schedule_many(Due::In, times, payload, released),
    }
}

/// Take them in without the interpreter: the payloads are made before.
fn take_in_detached<'py>(
    shared: &Shared,
    py: Python<'py>,
    (kind, times): (Times, &[i64]),
    mut fresh: impl FnMut() -> Fresh<'py>,
    released: &mut Released<Handle>,
) -> TakenIn {
    let mut batch = Batch::new(py, times.iter().map(|_| fresh()));
    let payload = batch.giving();
    py.detach(|| take_in(shared, (kind, times), payload, released))
}

/// The data of each job of a bulk call.
pub(crate) fn read_datas(
    datas: &Bound<'_, PyAny>,
    length: usize,
) -> PyResult<Vec<Option<Py<PyBytes>>>> {
    let bytes_like = datas.is_instance_of::<PyBytes>() || datas.is_instance_of::<PyString>();
    if bytes_like || datas.try_iter().is_err() {
        return Err(PyTypeError::new_err(format!(
            "datas must be a sequence of bytes-like objects, one a job, not {datas:?}"
        )));
    }
    let datas = datas
        .try_iter()?
        .map(|item| convert::data(&item?))
        .collect::<PyResult<Vec<_>>>()?;
    if datas.len() != length {
        return Err(PyValueError::new_err(format!(
            "datas must be as many as the dues: {} for {length}",
            datas.len()
        )));
    }
    Ok(datas)
}
