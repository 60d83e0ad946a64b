//! The calls that are made most, given what they are given most: past the reading of their keywords, and past what
//! only a store needs. They took as long as what the call is for.
//!
//! Each looks whether it is such a call before it changes anything. Where it is not, `None` leaves it to the method as
//! PyO3 has made it, which also says what is wrong. PyO3 does not know here that the thread is attached: a `Py` that is
//! dropped, as in an error, is freed at the next call that it knows of.

use crate::calls::scheduler::SchedulerCore;
use crate::calls::timer;
use crate::shared::Shared;
use crate::values::convert;
use crate::values::ids;
use crate::values::payload::Fresh;
use duewheel_engine::engine::Due;
use duewheel_model::time::{SECOND, ceil_ns};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFloat, PyString};
use std::sync::Arc;

/// What a call returns to CPython: a new reference.
pub(super) type Returned = *mut ffi::PyObject;

/// The object, an instance of [`SchedulerCore`], and the arguments, which have no names.
pub(super) type Given<'a, 'py> = (&'a Bound<'py, PyAny>, &'a [Bound<'py, PyAny>]);

/// What its scheduler was opened with, where all jobs are in memory.
#[inline]
fn in_memory<'a>(object: &'a Bound<'_, PyAny>) -> Option<&'a Arc<Shared>> {
    // SAFETY: CPython has checked the object of a method; a frozen class is never borrowed mutably.
    let core = unsafe { object.cast_unchecked::<SchedulerCore>() };
    let shared = core.get().opened()?;
    (shared.is_plain && !shared.is_forked()).then_some(shared)
}

/// Nanoseconds of a float that is not negative.
#[inline]
fn seconds(value: &Bound<'_, PyAny>) -> Option<i64> {
    let seconds = value.cast_exact::<PyFloat>().ok()?.value();
    ceil_ns(seconds).ok().filter(|_| seconds >= 0.0)
}

#[inline]
fn schedule(object: &Bound<'_, PyAny>, due: Due, given: &[Bound<'_, PyAny>]) -> Option<Returned> {
    let py = object.py();
    let shared = in_memory(object)?;
    let (target, data) = match given {
        [target] => (target, None),
        [target, data] => {
            let data = data.cast_exact::<PyBytes>().ok()?;
            (target, (!data.as_bytes().is_empty()).then_some(data))
        }
        _ => return None,
    };
    let spec = shared.specs.known(target)?;
    let fresh = Fresh::new(py, data.map(|data| data.clone().unbind()), spec);
    let made = fresh.give(|handle| shared.engine.schedule_here(due, handle));
    Some(ids::text(py, made.ok()?.id).into_ptr())
}

/// `in_`: after seconds.
#[inline]
pub(super) fn in_((object, given): Given<'_, '_>) -> Option<Returned> {
    let (delay, given) = given.split_first()?;
    schedule(object, Due::In(seconds(delay)?), given)
}

/// `at`: at unix seconds that are not long ago.
#[inline]
pub(super) fn at((object, given): Given<'_, '_>) -> Option<Returned> {
    const YEAR: i64 = 365 * 86_400 * SECOND;
    let (when, given) = given.split_first()?;
    let when = seconds(when)?;
    let recent = in_memory(object)?
        .engine
        .clock()
        .wall()
        .saturating_sub(YEAR);
    if when < recent {
        return None;
    }
    schedule(object, Due::At(when), given)
}

/// `timer`, with or without data.
#[inline]
pub(super) fn timer((object, given): Given<'_, '_>) -> Option<Returned> {
    let (delay, target, data) = match given {
        [delay, target] => (delay, target, None),
        [delay, target, data] => (
            delay,
            target,
            Some(data.clone()).filter(|data| !data.is_none()),
        ),
        _ => return None,
    };
    seconds(delay)?;
    in_memory(object)?;
    // SAFETY: as above.
    let core = unsafe { object.cast_unchecked::<SchedulerCore>() };
    let owner = core.get().timer_owner(object.py()).ok()?;
    let fields = [const { None }; 5];
    let timer = timer::start(object, owner, delay, target, data, &fields).ok()?;
    Some(Bound::new(object.py(), timer).ok()?.into_ptr())
}

/// `cancel` of one id.
#[inline]
pub(super) fn cancel((object, given): Given<'_, '_>) -> Option<Returned> {
    let [id] = given else { return None };
    let shared = in_memory(object)?;
    let id = id.cast_exact::<PyString>().ok()?.to_str().ok()?;
    let id = convert::is_name(id).then_some(id)?;
    // What has started may be a repeat, which ends then: the whole call knows.
    let cancelled = shared.engine.cancel_here(id).ok()??;
    drop(Fresh::back(object.py(), cancelled));
    let is_cancelled = true.into_pyobject(object.py()).ok()?;
    Some(is_cancelled.to_owned().into_ptr())
}
