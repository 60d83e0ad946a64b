//! The futures of coroutines that wait for a condition of the scheduler, or for the store.

use crate::calls::waiting::PendingCall;
use crate::errors::store_failed;
use crate::run::condition::Condition;
use crate::run::ending::Ending;
use crate::values::payload::Handle;
use duewheel_engine::engine::Engine;
use duewheel_engine::handover::loop_waker::LoopWaker;
use duewheel_engine::sync::Mutex;
use duewheel_store::{Error, Ticket};
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

/// A future that is done when a job ends.
struct EndWait {
    number: u64,
    future: Py<PyAny>,
    _ending: Ending,
}

/// Has the engine report what changes a condition, as long as it is there.
struct Watch(Arc<Engine<Handle>>);

impl Watch {
    fn new(engine: &Arc<Engine<Handle>>) -> Self {
        engine.watch(true);
        Watch(engine.clone())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.watch(false);
    }
}

/// A future that is done when a condition holds.
struct ConditionWait {
    condition: Condition,
    future: Py<PyAny>,
    _watch: Watch,
}

#[derive(Default)]
struct Inner {
    conditions: Vec<ConditionWait>,
    /// The futures that are done when a batch is settled, by number.
    batches: HashMap<u64, Py<PyAny>>,
    ends: Vec<EndWait>,
    /// Calls that wait for an answer of the store, and the futures of what they come to, by number.
    calls: HashMap<u64, (Py<PendingCall>, Py<PyAny>)>,
    /// The last number.
    number: u64,
}

/// Batches that are settled, by the number of the future; the store's threads report them.
type Settled = Arc<Mutex<Vec<(u64, Result<(), Error>)>>>;

/// The futures of one event loop. Nothing of Python is freed under its locks.
pub(crate) struct Waits {
    engine: Arc<Engine<Handle>>,
    inner: Mutex<Inner>,
    settled: Settled,
    /// Calls that are answered, by number; the store's threads report them.
    answered: Arc<Mutex<Vec<u64>>>,
    /// Jobs that have ended, by the number of the wait; the engine reports them, under its lock.
    ended: Arc<Mutex<Vec<u64>>>,
}

impl Waits {
    pub(crate) fn new(engine: Arc<Engine<Handle>>) -> Self {
        Waits {
            engine,
            inner: Mutex::default(),
            settled: Arc::default(),
            answered: Arc::default(),
            ended: Arc::default(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        let inner = self.inner.lock();
        inner.conditions.is_empty()
            && inner.batches.is_empty()
            && inner.calls.is_empty()
            && inner.ends.is_empty()
    }

    /// Have a future done when a condition holds; `false`: it holds now, and the future is not needed.
    pub(crate) fn add(&self, condition: Condition, future: Py<PyAny>) -> bool {
        // Watched before it is looked at: no change between the two is missed.
        let watch = Watch::new(&self.engine);
        if condition.holds(&self.engine) {
            return false;
        }
        self.inner.lock().conditions.push(ConditionWait {
            condition,
            future,
            _watch: watch,
        });
        true
    }

    /// Forget a future of a condition.
    pub(crate) fn remove(&self, future: &Bound<'_, PyAny>) {
        let mut inner = self.inner.lock();
        let found = inner
            .conditions
            .iter()
            .position(|wait| wait.future.is(future));
        let forgotten = found.map(|found| inner.conditions.swap_remove(found));
        drop(inner);
        drop(forgotten);
    }

    /// Forget all futures of conditions, and the calls that wait for an answer.
    pub(crate) fn clear(&self) {
        let mut inner = self.inner.lock();
        let conditions = std::mem::take(&mut inner.conditions);
        let calls = std::mem::take(&mut inner.calls);
        let ends = std::mem::take(&mut inner.ends);
        drop(inner);
        drop((conditions, calls, ends));
    }

    /// Have a future done when a batch is settled: the store wakes the loop then.
    pub(crate) fn add_batch(
        &self,
        py: Python<'_>,
        ticket: Ticket,
        future: Py<PyAny>,
        waker: Arc<LoopWaker>,
    ) {
        let mut inner = self.inner.lock();
        inner.number += 1;
        let number = inner.number;
        inner.batches.insert(number, future);
        drop(inner);
        let settled = self.settled.clone();
        let then = move |result| {
            settled.lock().push((number, result));
            waker.wake();
        };
        py.detach(|| self.engine.when_settled(ticket, Box::new(then)));
    }

    /// Have a future done when a call comes to something: the store wakes the loop then.
    pub(crate) fn add_call(&self, call: Py<PendingCall>, future: Py<PyAny>, waker: Arc<LoopWaker>) {
        let asked = call.get().answer();
        let mut inner = self.inner.lock();
        inner.number += 1;
        let number = inner.number;
        inner.calls.insert(number, (call, future));
        drop(inner);
        let answered = self.answered.clone();
        asked.when_delivered(move || {
            answered.lock().push(number);
            waker.wake();
        });
    }

    /// Have a future done when the job of this id ends.
    pub(crate) fn add_end(&self, id: &str, future: Py<PyAny>, waker: Arc<LoopWaker>) {
        let mut inner = self.inner.lock();
        inner.number += 1;
        let number = inner.number;
        drop(inner);
        let ended = self.ended.clone();
        let _ending = Ending::new(&self.engine, id, move || {
            ended.lock().push(number);
            waker.wake();
        });
        self.inner.lock().ends.push(EndWait {
            number,
            future,
            _ending,
        });
    }

    /// Forget a future of an end.
    pub(crate) fn remove_end(&self, future: &Bound<'_, PyAny>) {
        let mut inner = self.inner.lock();
        let found = inner.ends.iter().position(|wait| wait.future.is(future));
        let forgotten = found.map(|found| inner.ends.swap_remove(found));
        drop(inner);
        drop(forgotten);
    }

    /// End the futures of jobs that have ended.
    fn resolve_ends(&self, py: Python<'_>) -> PyResult<()> {
        let ended = std::mem::take(&mut *self.ended.lock());
        for number in ended {
            let mut inner = self.inner.lock();
            let found = inner.ends.iter().position(|wait| wait.number == number);
            let wait = found.map(|found| inner.ends.swap_remove(found));
            drop(inner);
            if let Some(wait) = wait {
                resolve(py, &wait.future, Ok(true))?;
            }
        }
        Ok(())
    }

    /// End the futures whose conditions hold, or never will, and those whose batches are settled.
    pub(crate) fn resolve(&self, py: Python<'_>) -> PyResult<()> {
        self.resolve_ends(py)?;
        let waits = std::mem::take(&mut self.inner.lock().conditions);
        for wait in waits {
            let result = if wait.condition.holds(&self.engine) {
                Ok(true)
            } else if let Some(failure) = self.engine.failure() {
                Err(store_failed(py, &failure, None))
            } else {
                self.inner.lock().conditions.push(wait);
                continue;
            };
            resolve(py, &wait.future, result)?;
        }
        let settled = std::mem::take(&mut *self.settled.lock());
        for (number, result) in settled {
            let future = self.inner.lock().batches.remove(&number);
            if let Some(future) = future {
                let result = result.map_err(|error| store_failed(py, &error, None));
                resolve(py, &future, result.map(|()| true))?;
            }
        }
        let answered = std::mem::take(&mut *self.answered.lock());
        for number in answered {
            let asked = self.inner.lock().calls.remove(&number);
            if let Some((call, future)) = asked {
                // Also where the coroutine was cancelled meanwhile: the call is made.
                resolve(py, &future, call.get().go_on(py))?;
            }
        }
        Ok(())
    }

    /// Visit the futures; tried only, for the collector must not wait.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(inner) = self.inner.try_lock() {
            let conditions = inner.conditions.iter().map(|wait| &wait.future);
            let ends = inner.ends.iter().map(|wait| &wait.future);
            for future in conditions.chain(ends).chain(inner.batches.values()) {
                visit.call(future)?;
            }
            for (call, future) in inner.calls.values() {
                visit.call(call)?;
                visit.call(future)?;
            }
        }
        Ok(())
    }
}

/// End a future, if it has not ended.
fn resolve<'py, R: IntoPyObject<'py>>(
    py: Python<'py>,
    future: &Py<PyAny>,
    result: PyResult<R>,
) -> PyResult<()> {
    if future.call_method0(py, "done")?.is_truthy(py)? {
        return Ok(());
    }
    match result {
        Ok(value) => future.call_method1(py, "set_result", (value,)),
        Err(error) => future.call_method1(py, "set_exception", (error,)),
    }
    .map(drop)
}
