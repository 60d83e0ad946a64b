//! What a call has come to: it is made, or the store is asked first. A thread waits for it here, and looks for
//! signals; a coroutine awaits it ([`super::waiting`]).

use crate::errors::refused;
use crate::shared::{SLICE, Shared, receive, releasing};
use crate::values::payload::Handle;
use duewheel_engine::engine::{self, AT_ONCE, Refused};
use duewheel_engine::sync::Mutex;
use duewheel_store::{Answer, Query, Ticket};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// What a call has come to.
#[must_use]
pub(crate) enum Pending<R> {
    /// It is made, and durable when the ticket is settled.
    Made(R, Ticket),
    /// The store is asked first; dropped unasked, it would hold pages for good.
    Asks(Ask<R>),
}

/// Goes on with a call when the store has answered. Dropped, it leaves to the engine what is to be freed.
pub(crate) type Next<R> = Box<dyn FnOnce(Python<'_>, &Arc<Shared>) -> PyResult<Pending<R>> + Send>;

type Deliver<R> = Box<dyn FnOnce(Next<R>) + Send>;

pub(crate) struct Ask<R>(Box<dyn FnOnce(Deliver<R>) + Send>);

impl<R: 'static> Ask<R> {
    /// Ask; `deliver` is called once, on a thread of the store's as a rule.
    pub(crate) fn start(self, deliver: impl FnOnce(Next<R>) + Send + 'static) {
        (self.0)(Box::new(deliver));
    }
}

/// What the store has answered to questions that were asked at once.
struct Answers<R, F> {
    nexts: Vec<Next<R>>,
    finish: Option<F>,
}

impl<R: 'static> Ask<R> {
    /// Ask all of these at once; `then` goes on with the call when the last is answered.
    pub(crate) fn all<T: 'static>(
        asks: Vec<Self>,
        then: impl FnOnce(Vec<Next<R>>) -> Next<T> + Send + 'static,
    ) -> Ask<T> {
        Ask(Box::new(move |deliver: Deliver<T>| {
            let count = asks.len();
            let answers = Arc::new(Mutex::new(Answers {
                nexts: Vec::with_capacity(count),
                finish: Some(|nexts| deliver(then(nexts))),
            }));
            for ask in asks {
                let answers = answers.clone();
                ask.start(move |next| {
                    let mut answers = answers.lock();
                    answers.nexts.push(next);
                    if answers.nexts.len() < count {
                        return;
                    }
                    let nexts = std::mem::take(&mut answers.nexts);
                    let finish = answers.finish.take();
                    drop(answers);
                    if let Some(finish) = finish {
                        finish(nexts);
                    }
                });
            }
        }))
    }
}

impl<R: for<'py> IntoPyObject<'py> + 'static> Pending<R> {
    pub(crate) fn into_object(self, py: Python<'_>) -> PyResult<Pending<Py<PyAny>>> {
        Ok(match self {
            Pending::Made(value, ticket) => Pending::Made(value.into_py_any(py)?, ticket),
            Pending::Asks(ask) => Pending::Asks(Ask(Box::new(|deliver| {
                ask.start(|next| {
                    deliver(Box::new(|py, shared| next(py, shared)?.into_object(py)));
                });
            }))),
        })
    }
}

impl Shared {
    /// Follow a call of the engine about this id: `then` goes on with what it has come to, attached.
    #[inline(always)]
    pub(crate) fn follow<T: Send + 'static, R: 'static>(
        self: &Arc<Self>,
        py: Python<'_>,
        id: &str,
        pending: Result<engine::Pending<T, Handle>, Refused>,
        then: impl FnOnce(Python<'_>, &Arc<Shared>, T, Ticket) -> PyResult<Pending<R>> + Send + 'static,
    ) -> PyResult<Pending<R>> {
        match pending {
            Ok(engine::Pending::Made(value, ticket)) => then(py, self, value, ticket),
            Ok(engine::Pending::Asks(ask)) => Ok(self.follow_ask(id, ask, then)),
            Err(error) => Err(refused(py, error, id)),
        }
    }

    #[inline(never)] // out of the way of the calls in memory
    fn follow_ask<T: Send + 'static, R: 'static>(
        &self,
        id: &str,
        ask: engine::Ask<T, Handle>,
        then: impl FnOnce(Python<'_>, &Arc<Shared>, T, Ticket) -> PyResult<Pending<R>> + Send + 'static,
    ) -> Pending<R> {
        let (engine, id) = (self.engine.clone(), id.to_owned());
        Pending::Asks(Ask(Box::new(move |deliver: Deliver<R>| {
            engine.ask(ask, move |delivered| {
                deliver(Box::new(move |py, shared| {
                    let made = releasing(py, |released| delivered.take(released));
                    let (value, ticket) = made.map_err(|error| refused(py, error, &id))?;
                    then(py, shared, value, ticket)
                }));
            });
        })))
    }

    /// Wait for a call until it is durable.
    #[inline]
    pub(crate) fn finish<R: 'static>(
        self: &Arc<Self>,
        py: Python<'_>,
        pending: Pending<R>,
    ) -> PyResult<R> {
        match pending {
            Pending::Made(value, AT_ONCE) => Ok(value),
            pending => self.wait_for(py, pending),
        }
    }

    #[inline(never)] // out of the way of the calls in memory
    fn wait_for<R: 'static>(
        self: &Arc<Self>,
        py: Python<'_>,
        mut pending: Pending<R>,
    ) -> PyResult<R> {
        loop {
            let ask = match pending {
                Pending::Made(value, ticket) => {
                    self.wait_settled(py, ticket)?;
                    return Ok(value);
                }
                Pending::Asks(ask) => ask,
            };
            // After a Ctrl-C nobody listens any more; the call is made all the same.
            let start = |send: SyncSender<_>| ask.start(move |next| drop(send.send(next)));
            let next = receive(py, start, || Ok(()))?;
            pending = next(py, self)?;
        }
    }

    /// The ticket that is still to be waited for; [`AT_ONCE`]: none.
    pub(crate) fn unsettled(&self, py: Python<'_>, ticket: Ticket) -> PyResult<Ticket> {
        // With the system it is settled already, and back-pressure alone is waited for.
        if ticket != AT_ONCE && !self.backing.settles_later {
            let settled = self.engine.wait_settled(ticket, Duration::ZERO);
            if settled.map_err(|error| refused(py, error, ""))? {
                return Ok(AT_ONCE);
            }
        }
        Ok(ticket)
    }

    /// Wait until the store has settled a batch and has room for more.
    pub(crate) fn wait_settled(&self, py: Python<'_>, ticket: Ticket) -> PyResult<()> {
        let ticket = self.unsettled(py, ticket)?;
        // It takes a sync, which this thread may have to do itself: not under the interpreter's lock.
        let wait = || self.engine.wait_settled(ticket, SLICE);
        while ticket != AT_ONCE && !py.detach(wait).map_err(|error| refused(py, error, ""))? {
            py.check_signals()?;
        }
        Ok(())
    }

    /// Wait for what the engine asks the store.
    pub(crate) fn answer<T: Send + 'static>(
        &self,
        py: Python<'_>,
        pending: Result<engine::Pending<T, Handle>, Refused>,
    ) -> PyResult<T> {
        let ask = match pending.map_err(|error| refused(py, error, ""))? {
            engine::Pending::Made(value, _) => return Ok(value),
            engine::Pending::Asks(ask) => ask,
        };
        let start = |send: SyncSender<_>| {
            let deliver = move |delivered| drop(send.send(delivered));
            self.engine.ask(ask, deliver);
        };
        let delivered = receive(py, start, || Ok(()))?;
        let made = releasing(py, |released| delivered.take(released));
        made.map(|(value, _)| value)
            .map_err(|error| refused(py, error, ""))
    }

    /// Ask the store and wait for the answer.
    pub(crate) fn ask(&self, py: Python<'_>, question: Query) -> PyResult<Answer> {
        self.answer(py, self.engine.query(question))
    }
}
