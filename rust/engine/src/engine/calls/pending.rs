//! What a call has come to, and who carries it on.

use crate::engine::{Engine, Refused, State};
use crate::jobs::record::{Payload, Released};
use crate::residency::Waiter;
use duewheel_store::{Answer, Job, Query, Ticket};
use std::fmt;
use std::sync::Arc;

/// The ticket of what is settled from the start.
pub const AT_ONCE: Ticket = Ticket(0);

/// What a call has come to.
#[must_use]
pub enum Pending<T, P: Payload> {
    /// It is made, and durable when the ticket is settled.
    Made(T, Ticket),
    /// The store is to be asked first, by [`Engine::ask`], whoever waits for the answer: else pages are
    /// held for good.
    Asks(Ask<T, P>),
}

type Then<T, P> = Box<
    dyn FnOnce(
            &Arc<Engine<P>>,
            Result<Answer, Refused>,
            &mut Released<P>,
        ) -> Result<Pending<T, P>, Refused>
        + Send,
>;

/// A question, and what becomes of the call with the answer.
pub struct Ask<T, P: Payload> {
    wanted: Wanted,
    then: Then<T, P>,
}

enum Wanted {
    Answer(Query),
    /// That no other call asks about this id.
    Turn(Arc<str>),
}

impl<T: fmt::Debug, P: Payload> fmt::Debug for Pending<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pending::Made(value, ticket) => write!(f, "Made({value:?}, {ticket:?})"),
            Pending::Asks(_) => f.write_str("Asks"),
        }
    }
}

impl<P: Payload> fmt::Debug for Coming<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Coming({:?})", self.job)
    }
}

impl<T: 'static, P: Payload> Pending<T, P> {
    /// The same call with another result.
    pub fn map<R>(self, change: impl FnOnce(T) -> R + Send + 'static) -> Pending<R, P> {
        match self {
            Pending::Made(value, ticket) => Pending::Made(change(value), ticket),
            Pending::Asks(Ask { wanted, then }) => Pending::Asks(Ask {
                wanted,
                then: Box::new(|engine, answer, released| {
                    then(engine, answer, released).map(|pending| pending.map(change))
                }),
            }),
        }
    }

    pub(in crate::engine) fn ask(
        question: Query,
        then: impl FnOnce(
            &Arc<Engine<P>>,
            Result<Answer, Refused>,
            &mut Released<P>,
        ) -> Result<Self, Refused>
        + Send
        + 'static,
    ) -> Self {
        let wanted = Wanted::Answer(question);
        let then = Box::new(then);
        Pending::Asks(Ask { wanted, then })
    }

    /// Another node holds this job: have it asked, then make this call again.
    pub(super) fn recall(
        id: &Arc<str>,
        call: impl FnOnce(&Engine<P>, &str, &mut Released<P>) -> Result<Self, Refused> + Send + 'static,
    ) -> Self {
        let (question, id) = (Query::Recall(id.as_ref().to_owned()), id.clone());
        Self::ask(question, move |engine, answer, released| {
            answer?;
            call(engine, &id, released)
        })
    }

    /// Another call asks about this id: make this one when it is over.
    pub(super) fn after_others(
        id: &str,
        call: impl FnOnce(&Engine<P>, &str, &mut Released<P>) -> Result<Self, Refused> + Send + 'static,
    ) -> Self {
        let id: Arc<str> = id.into();
        let wanted = Wanted::Turn(id.clone());
        let then: Then<T, P> = Box::new(move |engine, _, released| call(engine, &id, released));
        Pending::Asks(Ask { wanted, then })
    }
}

/// What has come of a question, for whoever waits. Dropped, it leaves to the engine what is to be freed.
pub struct Delivered<T, P: Payload> {
    engine: Arc<Engine<P>>,
    result: Option<Result<(T, Ticket), Refused>>,
    released: Released<P>,
}

impl<T, P: Payload> Delivered<T, P> {
    /// The result of the call, and the ticket to wait for.
    ///
    /// # Errors
    ///
    /// Those of the call.
    pub fn take(mut self, released: &mut Released<P>) -> Result<(T, Ticket), Refused> {
        released.append(&mut self.released);
        self.result.take().unwrap_or(Err(Refused::Closed))
    }
}

impl<T, P: Payload> Drop for Delivered<T, P> {
    fn drop(&mut self) {
        if self.result.is_some() {
            let mut state = self.engine.state.lock();
            state.evicted.give_back(&mut self.released);
        }
    }
}

/// A job that has come near and is to be taken into memory. Dropped, it comes with a page.
pub struct Coming<P: Payload> {
    engine: Arc<Engine<P>>,
    job: Option<Box<Job<'static>>>,
}

impl<P: Payload> Coming<P> {
    pub(super) fn new(engine: &Arc<Engine<P>>, job: Job<'static>) -> Self {
        let (engine, job) = (engine.clone(), Some(Box::new(job)));
        Coming { engine, job }
    }

    /// The job; make a payload of it, for [`take_in`](Self::take_in).
    pub fn job(&self) -> Option<&Job<'static>> {
        self.job.as_deref()
    }

    /// Take it in, if nothing has changed it since.
    pub fn take_in(mut self, payload: P, released: &mut Released<P>) {
        if let Some(job) = self.job.take() {
            self.engine.load_one(&job, payload, released);
        }
    }
}

impl<P: Payload> Drop for Coming<P> {
    fn drop(&mut self) {
        if let Some(job) = self.job.take() {
            self.engine.load_none(job.place);
        }
    }
}

impl<P: Payload> Engine<P> {
    /// Carry on a call that asks the store; `then` is called once, on a thread of the store's as a rule,
    /// so it must be short.
    pub fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        ask: Ask<T, P>,
        then: impl FnOnce(Delivered<T, P>) + Send + 'static,
    ) {
        self.carry_on(ask, Released::default(), then);
    }

    fn carry_on<T: Send + 'static>(
        self: &Arc<Self>,
        ask: Ask<T, P>,
        mut released: Released<P>,
        then: impl FnOnce(Delivered<T, P>) + Send + 'static,
    ) {
        let (engine, go_on) = (self.clone(), ask.then);
        let answered = move |answer| {
            let result = match go_on(&engine, answer, &mut released) {
                Ok(Pending::Asks(next)) => return engine.carry_on(next, released, then),
                Ok(Pending::Made(value, ticket)) => Ok((value, ticket)),
                Err(refused) => Err(refused),
            };
            let result = Some(result);
            then(Delivered {
                engine,
                result,
                released,
            });
        };
        match ask.wanted {
            Wanted::Turn(id) => self.take_turn(&id, Box::new(move || answered(Ok(Answer::Done)))),
            Wanted::Answer(question) => match self.store() {
                Some(store) => store.ask(
                    question,
                    Box::new(move |answer| answered(answer.map_err(Refused::from))),
                ),
                None => answered(Err(Refused::Closed)),
            },
        }
    }

    /// Ask what only the store knows, once it has all that was submitted.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], and those of the store.
    pub fn query(&self, question: Query) -> Result<Pending<Answer, P>, Refused> {
        let mut state = self.open_to_change()?;
        if let Some(residency) = &mut state.residency {
            residency.arrivals.hold_pages();
        }
        Ok(Pending::ask(question, |engine, answer, _| {
            engine.state.lock().free_pages(engine);
            answer.map(|answer| Pending::Made(answer, AT_ONCE))
        }))
    }

    /// Change the state by the answer about an id, before a page is taken in that may be older and before
    /// another call asks about the id.
    pub(super) fn apply_answer<R>(&self, id: &str, change: impl FnOnce(&mut State<P>) -> R) -> R {
        let mut state = self.state.lock();
        let result = change(&mut state);
        state.free_pages(self);
        drop(state);
        self.end_turn(id);
        result
    }
}

impl<P: Payload> Engine<P> {
    /// Call `waiter` when no other call asks about this id.
    fn take_turn(&self, id: &Arc<str>, waiter: Waiter) {
        let mut state = self.state.lock();
        match &mut state.residency {
            Some(residency) => residency.turns.wait(id, waiter),
            None => return drop(waiter),
        }
        drop(state);
        self.call_waiters(id);
    }

    fn end_turn(&self, id: &str) {
        if let Some(residency) = &mut self.state.lock().residency {
            residency.turns.end(id);
        }
        self.call_waiters(id);
    }

    /// Call those who wait to ask about an id, until one of them asks.
    fn call_waiters(&self, id: &str) {
        loop {
            let mut state = self.state.lock();
            let residency = state.residency.as_mut();
            let next = residency.and_then(|residency| residency.turns.next(id));
            drop(state);
            match next {
                Some(call) => call(),
                None => return,
            }
        }
    }
}

impl<P: Payload> State<P> {
    /// Whether another call asks about this id.
    pub(in crate::engine) fn is_asked_about(&self, id: &str) -> bool {
        let residency = self.residency.as_ref();
        residency.is_some_and(|residency| residency.turns.is_taken(id))
    }

    /// A call asks about this id: until the answer is applied no page is taken in, and no other call asks about it.
    pub(super) fn begin_asking(&mut self, id: &str) -> Arc<str> {
        let id: Arc<str> = id.into();
        if let Some(residency) = &mut self.residency {
            residency.arrivals.hold_pages();
            residency.turns.begin(id.clone());
        }
        id
    }
}
