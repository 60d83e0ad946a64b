//! The calls of a process that does not own the file, as lines for who does.

use crate::calls::bulk::{Times, read_datas};
use crate::calls::repeat_defined;
use crate::log;
use crate::share::wire::{self, Retry};
use crate::values::convert;
use crate::values::ids::{self, Ids};
use crate::values::options::{Fields, JobOptions};
use crate::values::specs;
use duewheel_engine::jobs::ids::{Halves, IdSource};
use duewheel_engine::sync::Mutex;
use duewheel_model::time::SECOND;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

const YEAR: i64 = 365 * 86_400 * SECOND;

/// Writes calls, with the ids that it makes for them.
#[pyclass(frozen, module = "duewheel._core")]
pub(crate) struct ShareRequests {
    /// The caller's own options.
    base: Fields,
    plain: String,
    ids: Mutex<(IdSource, u32)>,
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as i64)
}

fn retry(fields: &Fields) -> PyResult<String> {
    let (_, limits) = fields.resolve()?;
    serde_json::to_string(&Retry::from(&limits))
        .map_err(|error| PyValueError::new_err(error.to_string()))
}

impl ShareRequests {
    fn new_ids(&self, count: usize) -> Vec<Halves> {
        let now = now();
        let mut ids = self.ids.lock();
        let (source, index) = &mut *ids;
        let mut make = || {
            // Where those of the owner say where the job is, these count: no two of a process are the same.
            *index = index.wrapping_add(1);
            source.make(now, *index)
        };
        (0..count).map(|_| make()).collect()
    }

    /// The options of a job, as they are written.
    fn retry(
        &self,
        options: Option<&Bound<'_, PyAny>>,
        keywords: Option<&Bound<'_, PyDict>>,
        call: &str,
    ) -> PyResult<String> {
        let keywords = keywords.filter(|keywords| !keywords.is_empty());
        if options.is_none() && keywords.is_none() {
            return Ok(self.plain.clone());
        }
        let given = keywords.map(|keywords| Fields::read(keywords, call));
        let below = options.map(specs::fields_of).transpose()?;
        let given = given.transpose()?.unwrap_or_default();
        let call = given.over(&below.unwrap_or_default());
        call.check()?;
        retry(&call.over(&self.base))
    }
}

fn begin(method: &str) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{method}\",\"params\":{{")
}

#[pymethods]
impl ShareRequests {
    #[new]
    fn new(options: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let base = specs::base(options)?;
        let mut source = IdSource::new()?;
        let first = source.make(0, 0)[1] as u32;
        Ok(ShareRequests {
            base,
            plain: retry(&base)?,
            ids: Mutex::new((source, first)),
        })
    }

    /// Return the id of a job, and the call that schedules it.
    #[pyo3(signature = (is_delay, time, target, data, id, options, keywords))]
    #[allow(clippy::too_many_arguments)] // they are those of `at`
    fn schedule<'py>(
        &self,
        is_delay: bool,
        time: &Bound<'py, PyAny>,
        target: &Bound<'py, PyAny>,
        data: &Bound<'py, PyAny>,
        id: Option<&Bound<'py, PyAny>>,
        options: Option<&Bound<'py, PyAny>>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<(Bound<'py, PyString>, Bound<'py, PyBytes>)> {
        let py = target.py();
        let (word, call, ns) = if is_delay {
            ("in", "Scheduler.in_", convert::delay(time, "delay")?)
        } else {
            ("at", "Scheduler.at", convert::wall_time(time, "when")?)
        };
        let name = wire::quoted(convert::name(target, "target")?);
        let retry = self.retry(options, keywords, call)?;
        let data = convert::data(data)?;
        let mut line = begin("schedule");
        let id = match id {
            Some(id) => {
                let text = convert::name(id, "id")?;
                let _ = write!(line, "\"id\":{},\"given\":true", wire::quoted(text));
                PyString::new(py, text)
            }
            None => {
                let made = ids::text(py, self.new_ids(1)[0]);
                let _ = write!(line, "\"id\":\"{}\"", made.to_str()?);
                made
            }
        };
        let _ = write!(
            line,
            ",\"target\":{name},\"{word}\":{ns},\"retry\":{retry},\"data\":\""
        );
        if let Some(data) = data {
            wire::text_of(data.as_bytes(py), &mut line);
        }
        line.push_str("\"}}\n");
        check_length(&line)?;
        if !is_delay && ns < now() - YEAR {
            log::ancient(py, ns);
        }
        Ok((id, PyBytes::new(py, line.as_bytes())))
    }

    /// Return the ids of many jobs, and the call that schedules them.
    #[pyo3(signature = (are_delays, times, target, datas, options, keywords))]
    fn schedule_many<'py>(
        &self,
        are_delays: bool,
        times: &Bound<'py, PyAny>,
        target: &Bound<'py, PyAny>,
        datas: Option<&Bound<'py, PyAny>>,
        options: Option<&Bound<'py, PyAny>>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<(Ids, Bound<'py, PyBytes>)> {
        let py = target.py();
        let (word, call) = if are_delays {
            ("in", "Scheduler.in_many")
        } else {
            ("at", "Scheduler.at_many")
        };
        let times = Times::new(are_delays).read(times, false)?;
        let name = wire::quoted(convert::name(target, "target")?);
        let retry = self.retry(options, keywords, call)?;
        let datas = datas.map(|datas| read_datas(datas, times.len()));
        let datas = datas.transpose()?;
        let ids = self.new_ids(times.len());
        let mut line = begin("schedule_many");
        let packed: Vec<u8> = ids
            .iter()
            .flatten()
            .flat_map(|half| half.to_be_bytes())
            .collect();
        line.push_str("\"ids\":\"");
        wire::text_of(&packed, &mut line);
        let _ = write!(line, "\",\"target\":{name},\"retry\":{retry},\"{word}\":[");
        for (at, ns) in times.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let _ = write!(line, "{comma}{ns}");
        }
        line.push(']');
        for (at, data) in datas.iter().flatten().enumerate() {
            line.push_str(if at == 0 { ",\"datas\":[\"" } else { "\",\"" });
            if let Some(data) = data {
                wire::text_of(data.as_bytes(py), &mut line);
            }
        }
        line.push_str(match &datas {
            Some(datas) if !datas.is_empty() => "\"]}}\n",
            _ => "}}\n",
        });
        check_length(&line)?;
        if let Some(&earliest) = times.iter().min()
            && !are_delays
            && earliest < now() - YEAR
        {
            log::ancient(py, earliest);
        }
        Ok((Ids::new(ids), PyBytes::new(py, line.as_bytes())))
    }

    /// Return the id of a repeat, and the call that schedules it.
    #[pyo3(signature = (schedule, target, data, keywords))]
    fn repeat<'py>(
        &self,
        schedule: &Bound<'py, PyAny>,
        target: &Bound<'py, PyAny>,
        data: &Bound<'py, PyAny>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<(Bound<'py, PyString>, Bound<'py, PyBytes>)> {
        let py = target.py();
        let given = repeat_defined::defined(schedule, keywords)?;
        let name = wire::quoted(convert::name(target, "target")?);
        let below = given.options.as_ref().map(specs::fields_of).transpose()?;
        let call = given
            .fields
            .unwrap_or_default()
            .over(&below.unwrap_or_default());
        call.check()?;
        let retry = retry(&call.over(&self.base))?;
        let id = match &given.id {
            Some(id) => PyString::new(py, convert::name(id, "id")?),
            None => ids::text(py, self.new_ids(1)[0]),
        };
        let (definition, text) = (wire::quoted(&given.definition), wire::quoted(id.to_str()?));
        let mut line = begin("repeat");
        let _ = write!(
            line,
            "\"id\":{text},\"target\":{name},\"retry\":{retry},\"definition\":{definition},\"data\":\""
        );
        if let Some(data) = convert::data(data)? {
            wire::text_of(data.as_bytes(py), &mut line);
        }
        line.push('"');
        if let Some(carried) = given.carried.if_any() {
            line.push_str(",\"keywords\":");
            line.push_str(&wire::carried(&carried));
        }
        line.push_str("}}\n");
        check_length(&line)?;
        Ok((id, PyBytes::new(py, line.as_bytes())))
    }
}

/// Return the options of a job as they are written.
#[pyfunction]
pub(crate) fn retry_text(options: &Bound<'_, JobOptions>) -> PyResult<String> {
    retry(&options.get().fields)
}

/// Return options that were written.
#[pyfunction]
pub(crate) fn retry_options(py: Python<'_>, retry: &str) -> PyResult<Py<JobOptions>> {
    let read: Option<Retry> = serde_json::from_str(retry).ok();
    let limits = read.and_then(Retry::options);
    let limits = limits
        .ok_or_else(|| PyTypeError::new_err(format!("these are no options of a job: {retry}")))?;
    let fields = Fields::of(&limits);
    Py::new(py, JobOptions { fields })
}

/// Return the first line of a caller that speaks this protocol.
#[pyfunction]
pub(crate) fn hello_line(protocol: u32) -> Vec<u8> {
    let (version, pid) = (env!("CARGO_PKG_VERSION"), std::process::id());
    let line = begin("hello");
    format!("{line}\"protocol\":{protocol},\"version\":\"{version}\",\"pid\":{pid}}}}}\n")
        .into_bytes()
}

fn check_length(line: &str) -> PyResult<()> {
    if line.len() > wire::LONGEST_LINE {
        return Err(PyValueError::new_err(format!(
            "one call takes at most {} bytes to the owner of the file, not {}: make several of it",
            wire::LONGEST_LINE,
            line.len()
        )));
    }
    Ok(())
}
