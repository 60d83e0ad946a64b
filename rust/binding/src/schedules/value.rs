//! The classes of schedules: one base, and one for each way to make one.

use super::showing::ShownIn;
use duewheel_schedule::{Form, Schedule as Inner};
use pyo3::PyClass;
use pyo3::prelude::*;

/// A set of times, which is asked for the next one: a frozen value, equal to others of the same times said alike.
///
/// Made as `Every`, `Cron`, `Times`, `Days` or `RRule`, and combined. `a | b` has the times of both. In `a & b` and
/// `a - b` *the left gives the times, the right says when*: those of `a` that lie in (not in) `b`, where a cron time of
/// five fields lasts a minute, of six fields a second, and `Days` last whole days. A number or a `timedelta` stands
/// for `Every`, a `str` for `Cron` in UTC.
///
/// **Time**: asked for are aware datetimes or unix seconds; what is shown is in the first zone that it names, or in
/// UTC, rounded up to microseconds. The search ends in 2262.
/// **Raises** `ValueError` where its zone is no longer known, and for parts that never meet.
///
/// >>> from duewheel import Cron, Every
/// >>> office = Cron("* 9-17 * * mon-fri", tz="Asia/Tokyo")
/// >>> print((Every(600) & office).describe(2, after=1_798_934_400))
/// Every(600) & Cron('* 9-17 * * mon-fri', tz='Asia/Tokyo')
///   Mon 2027-01-04 09:00 +09:00
///   Mon 2027-01-04 09:10 +09:00
#[pyclass(frozen, subclass, module = "duewheel")]
pub(crate) struct Schedule {
    inner: Inner,
    shown_in: ShownIn,
}

impl Schedule {
    pub(crate) fn new(inner: Inner) -> Self {
        Self {
            inner,
            shown_in: ShownIn::new(),
        }
    }

    /// What makes an object of a class with this base.
    pub(crate) fn of<C>(inner: Inner, class: C) -> PyClassInitializer<C>
    where
        C: PyClass<BaseType = Self>,
    {
        PyClassInitializer::from(Self::new(inner)).add_subclass(class)
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    pub(super) fn shown_in(&self) -> &ShownIn {
        &self.shown_in
    }
}

/// The times `anchor + k * period`, for all whole numbers *k*.
///
/// Without an anchor it counts from the moment at which it is scheduled: the first time is one period later.
/// `from_end=True`: one period after the end of the last occurrence, and the first one period after it is scheduled;
/// with `start=` of the repeat none is before that, and no period counts from it.
///
/// **Time**: `period` is seconds or a `timedelta`, rounded to the nearest nanosecond; `anchor` is an aware datetime or
/// unix seconds. Alone and without an anchor it keeps to the boot clock, else to the wall clock.
/// **Raises** `ValueError` for a period that rounds to 0, and for `from_end` with an anchor or in a combination.
///
/// >>> from duewheel import Every
/// >>> Every(0.5, anchor=0).next(after=10.2)
/// datetime.datetime(1970, 1, 1, 0, 0, 10, 500000, tzinfo=datetime.timezone.utc)
#[pyclass(frozen, extends = Schedule, module = "duewheel")]
pub(crate) struct Every;

/// The times of a cron expression in a zone.
///
/// Five fields (minute, hour, day of month, month, day of week), or six with seconds *first*: `*`, lists, ranges and
/// steps, names in any case, 0 and 7 for Sunday, `?` for `*` in the fields of days, `L`, `LW` and `15W` for days of the
/// month, `5L` and `fri#2` for days of the week; `@yearly @annually @monthly @weekly @daily @midnight @hourly`. If a
/// field of days begins with `*` both must match, else either.
///
/// **Time**: where clocks change, an expression of which neither second, minute nor hour begins with `*` is run once
/// for each time that it names: at the end of a gap that holds it, and at the first of two. Others match what clocks
/// show: nothing in a gap, both of two.
/// **Raises** `ValueError`, which names the cure: for what is no expression, never comes, or no zone.
///
/// >>> from duewheel import Cron
/// >>> Cron("30 2 * * mon-fri", tz="Europe/Paris").next(after=1_798_934_400)
/// datetime.datetime(2027, 1, 4, 2, 30, tzinfo=zoneinfo.ZoneInfo(key='Europe/Paris'))
#[pyclass(frozen, extends = Schedule, module = "duewheel")]
pub(crate) struct Cron;

/// These times: any iterable of aware datetimes or unix seconds, equal ones once.
///
/// **Order**: any; they are sorted.
/// **Raises** as `Scheduler.at` for what is no time.
///
/// >>> from duewheel import Times
/// >>> [when.second for when in Times([30, 10, 30]).between(0)]
/// [10, 30]
#[pyclass(frozen, extends = Schedule, module = "duewheel")]
pub(crate) struct Times;

/// Whole days of a zone, which say when and give no times: the right operand of `&` and `-`.
///
/// `dates`: any iterable of `datetime.date`. `when in days` is whether a time is in one of them.
///
/// **Raises** `ValueError` where times are asked of it, or it is the left operand.
///
/// >>> from datetime import date
/// >>> from duewheel import Cron, Days
/// >>> print((Cron("0 9 * * *") - Days([date(2027, 1, 2)])).describe(2, after=1_798_794_000))
/// Cron('0 9 * * *', tz='UTC') - Days([datetime.date(2027, 1, 2)], tz='UTC')
///   Sun 2027-01-03 09:00 +00:00
///   Mon 2027-01-04 09:00 +00:00
#[pyclass(frozen, extends = Schedule, module = "duewheel")]
pub(crate) struct Days;

/// The times of a recurrence rule of RFC 5545 in a zone, from a local time on.
///
/// `text` is what stands after `RRULE:`. `start` has no times of its own: a time that the rule does not name is not in
/// it. A naive datetime is local time of `tz`; an aware one is converted.
///
/// **Time**: where clocks change, as the RFC has it: a time in a gap is read with the offset before the gap (02:30 is
/// run at 03:30), one that comes twice is the first.
/// **Raises** `ValueError` for what is no rule, has no time, or no zone.
///
/// >>> from datetime import datetime
/// >>> from duewheel import RRule
/// >>> payday = RRule("FREQ=MONTHLY;BYDAY=-1FR", datetime(2027, 1, 1, 9), tz="Europe/Paris")
/// >>> [str(when.date()) for when in payday.between(1_798_934_400, 1_804_000_000)]
/// ['2027-01-29', '2027-02-26']
#[pyclass(frozen, extends = Schedule, module = "duewheel")]
pub(crate) struct RRule;

/// A schedule as an object of its class.
pub(crate) fn show_schedule(py: Python<'_>, inner: Inner) -> PyResult<Py<PyAny>> {
    let form = inner.form();
    Ok(match form {
        Form::Every => Py::new(py, Schedule::of(inner, Every))?.into_any(),
        Form::Cron => Py::new(py, Schedule::of(inner, Cron))?.into_any(),
        Form::Times => Py::new(py, Schedule::of(inner, Times))?.into_any(),
        Form::Days => Py::new(py, Schedule::of(inner, Days))?.into_any(),
        Form::RRule => Py::new(py, Schedule::of(inner, RRule))?.into_any(),
        Form::Combined => Py::new(py, Schedule::new(inner))?.into_any(),
    })
}
