//! The calls about repeats, in a store that nodes share: each looks at the row, decides, and amends it if nothing has changed it
//! meanwhile; else it looks again.

use super::repeat::NewRepeat;
use super::{AT_ONCE, Pending};
use crate::due::queue::ClockKind;
use crate::engine::repeats::{Edited, StoredView};
use crate::engine::{Engine, Refused, State};
use crate::jobs::record::{Payload, Released};
use duewheel_store::{Answer, Error, Job, Query, StoredOutcome, StoredRepeat};
use std::sync::Arc;

/// What is to be done about a repeat.
enum Decision {
    /// Nothing: what the call says.
    Made(bool),
    /// It is new.
    Insert(Box<Job<'static>>),
    /// It is to be this, or over.
    Amend(Option<Box<Job<'static>>>),
}

type Decide<P> =
    dyn FnMut(&Engine<P>, Option<(&StoredRepeat, &StoredView)>) -> Result<Decision, Refused> + Send;

/// A call about one repeat.
struct Call<P: Payload> {
    id: Arc<str>,
    decide: Box<Decide<P>>,
    /// What it was given, and does not keep.
    payload: Option<P>,
    /// What this node declares, if it does.
    declares: Option<String>,
}

/// What is done with a repeat of an id.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Pause,
    Resume,
    Trigger,
}

impl<P: Payload> Engine<P> {
    /// Schedule a repeat of this id, or edit the one that there is.
    pub(super) fn repeat_shared(&self, id: Arc<str>, new: NewRepeat<P>) -> Pending<(), P> {
        let payload = new.payload;
        let declares = new.declared.then(|| said(&new));
        let decide = move |engine: &Engine<P>, found: Option<(&StoredRepeat, &StoredView)>| {
            let (wall, boot) = (engine.clock.wall(), engine.clock.boot());
            let fresh = new.standing(ClockKind::Wall, wall, boot);
            let Some((was, view)) = found else {
                let mut state = engine.open_to_change()?;
                let (taken, _) = state.new_repeat(&new, fresh?, ClockKind::Wall, boot);
                state.reserve_seq(taken.place.seq);
                return Ok(Decision::Insert(Box::new(
                    taken.with_job(|job| job.into_owned()),
                )));
            };
            payload.parts(|parts| {
                if view.is_as(was, &new.plan, new.declared, parts) {
                    return Ok(Decision::Made(true));
                }
                let edit = Edited {
                    plan: new.plan.clone(),
                    declared: new.declared,
                    offset: new.offset(&was.job.id),
                    fresh,
                };
                let seq = engine.open_to_change()?.give_seq();
                let edited = view.edited(was, edit, parts, seq)?;
                Ok(Decision::Amend(Some(Box::new(edited))))
            })
        };
        let call = Call {
            id,
            decide: Box::new(decide),
            payload: Some(payload),
            declares,
        };
        call.look().map(drop)
    }

    /// What the tables get of a new repeat that a caller brings in by a transaction of its own.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], [`Refused::Never`] when it has no time, [`Refused::Schedule`].
    pub fn repeat_for_tables(&self, new: &NewRepeat<P>) -> Result<Job<'static>, Refused> {
        let (wall, boot) = (self.clock.wall(), self.clock.boot());
        let fresh = new.standing(ClockKind::Wall, wall, boot)?;
        let (taken, _) = self
            .open_to_change()?
            .new_repeat(new, fresh, ClockKind::Wall, boot);
        Ok(taken.with_job(|job| job.into_owned()))
    }

    /// Pause, resume or trigger a repeat; `false`: there is none of this id.
    pub(super) fn change_shared(
        &self,
        id: &str,
        change: Change,
    ) -> Result<Pending<bool, P>, Refused> {
        drop(self.open_to_change()?);
        let decide = move |engine: &Engine<P>, found: Option<(&StoredRepeat, &StoredView)>| {
            let Some((was, view)) = found else {
                return Ok(Decision::Made(false));
            };
            let seq = engine.open_to_change()?.give_seq();
            let now = (engine.clock.wall(), seq);
            Ok(match change {
                Change::Resume if !view.standing.paused => Decision::Made(true),
                Change::Resume => Decision::Amend(view.resumed(was, now).map(Box::new)),
                Change::Pause => changed(view.paused(was, seq)),
                Change::Trigger => changed(view.triggered(was, now)),
            })
        };
        Ok(Call {
            id: id.into(),
            decide: Box::new(decide),
            payload: None,
            declares: None,
        }
        .look())
    }
}

/// What of a declaration another version of the code may say otherwise. Not its data: they may be encrypted.
fn said<P: Payload>(new: &NewRepeat<P>) -> String {
    new.payload.parts(|parts| {
        let (target, definition) = (parts.target, new.plan.definition());
        let options = parts.options;
        format!(
            "{target:?} {definition}; retry_limit={:?} age_limit={:?} backoff={}..{} once={}",
            options.retry_limit,
            options.age_limit,
            options.min_backoff,
            options.max_backoff,
            options.at_most_once
        )
    })
}

/// What is to be done, unless the repeat is so already.
fn changed(to: Option<Job<'static>>) -> Decision {
    match to {
        Some(to) => Decision::Amend(Some(Box::new(to))),
        None => Decision::Made(true),
    }
}

impl<P: Payload> Call<P> {
    /// Look how the repeat stands, and go on.
    fn look(self) -> Pending<bool, P> {
        Pending::ask(
            Query::Repeat(self.id.to_string()),
            move |engine, answer, released| {
                let mut call = self;
                if answer == Err(Refused::Store(Error::InDoubt)) {
                    return Ok(call.look());
                }
                match call.decide(engine, answer) {
                    Ok((Decision::Made(found), _)) => Ok(call.declare(found, released)),
                    Ok((Decision::Insert(job), _)) => Ok(call.insert(*job)),
                    Ok((Decision::Amend(to), Some(was))) => Ok(call.amend(was, to)),
                    Ok((Decision::Amend(_), None)) => Err(call.refuse(Refused::Lost, released)),
                    Err(refused) => Err(call.refuse(refused, released)),
                }
            },
        )
    }

    fn decide(
        &mut self,
        engine: &Engine<P>,
        answer: Result<Answer, Refused>,
    ) -> Result<(Decision, Option<Box<StoredRepeat>>), Refused> {
        let Answer::Repeat(Some(was)) = answer? else {
            return Ok(((self.decide)(engine, None)?, None));
        };
        let decision = match StoredView::of(&was)? {
            Some(view) => (self.decide)(engine, Some((&was, &view)))?,
            // A job that comes once has this id.
            None if self.payload.is_some() => return Err(Refused::Duplicate),
            None => Decision::Made(false),
        };
        Ok((decision, Some(was)))
    }

    fn refuse(self, refused: Refused, released: &mut Released<P>) -> Refused {
        released.payloads.extend(self.payload);
        refused
    }

    fn insert(self, job: Job<'static>) -> Pending<bool, P> {
        let (place, target) = (job.place, job.target.clone());
        let insert = Query::Insert(vec![job]);
        Pending::ask(insert, move |engine, answer, released| {
            let mut state = engine.state.lock();
            let call = self;
            match answer {
                Ok(_) => {
                    state
                        .tally
                        .note_named(&target, |counts| counts.scheduled += 1);
                    if let Some(residency) = &mut state.residency {
                        residency.frontier.paged_out += 1;
                    }
                    let yielded = state.let_go_of(&call.id, place.seq);
                    drop(state);
                    match yielded {
                        Ok(()) => Ok(call.declare(true, released)),
                        Err(error) => Err(call.refuse(error, released)),
                    }
                }
                Err(Refused::Duplicate) => {
                    drop(state);
                    Ok(call.ask_whether_kept(engine))
                }
                Err(Refused::Store(Error::InDoubt)) => {
                    state.yield_if_in_doubt(&Refused::Store(Error::InDoubt), &call.id, place.seq);
                    Ok(call.look())
                }
                Err(refused) => Err(call.refuse(refused, released)),
            }
        })
    }

    /// The id is taken: by how a job has ended, or another call, here or elsewhere, was faster.
    fn ask_whether_kept(self, engine: &Engine<P>) -> Pending<bool, P> {
        let (id, now) = (self.id.to_string(), engine.clock.wall());
        Pending::ask(
            Query::Outcome { id, now },
            move |_, answer, released| match answer {
                Ok(Answer::Outcome(StoredOutcome::Kept(_))) => {
                    Err(self.refuse(Refused::Duplicate, released))
                }
                Ok(_) | Err(Refused::Store(Error::InDoubt)) => Ok(self.look()),
                Err(refused) => Err(self.refuse(refused, released)),
            },
        )
    }

    fn amend(self, was: Box<StoredRepeat>, to: Option<Box<Job<'static>>>) -> Pending<bool, P> {
        let (begun, is_over, seq) = (was.begun, to.is_none(), was.job.place.seq);
        let target = was.job.target.to_string();
        let new_seq = to.as_ref().map_or(seq, |to| to.place.seq);
        Pending::ask(Query::Amend { was, to }, move |engine, answer, released| {
            let call = self;
            match answer {
                Ok(Answer::Changed(true)) if begun => Ok(call.declare(true, released)),
                Ok(Answer::Changed(true)) => {
                    let mut state = engine.state.lock();
                    state.forget_amended(engine, (&call.id, seq), released);
                    if is_over {
                        state.note_over(&target);
                    }
                    let yielded = state.let_go_of(&call.id, new_seq);
                    drop(state);
                    match yielded {
                        Ok(()) => Ok(call.declare(true, released)),
                        Err(error) => Err(call.refuse(error, released)),
                    }
                }
                Ok(_) | Err(Refused::Store(Error::InDoubt)) => Ok(call.look()),
                Err(refused) => Err(call.refuse(refused, released)),
            }
        })
    }

    /// Have the store know that this node declares it, if it does; then the call is made.
    fn declare(self, found: bool, released: &mut Released<P>) -> Pending<bool, P> {
        let Some(said) = self.declares.clone() else {
            released.payloads.extend(self.payload);
            return Pending::Made(found, AT_ONCE);
        };
        let id = self.id.to_string();
        let declare = Query::Declare { id, said };
        Pending::ask(declare, move |engine, answer, released| match answer {
            Ok(_) => {
                released.payloads.extend(self.payload);
                engine.state.lock().poll_now();
                Ok(Pending::Made(found, AT_ONCE))
            }
            Err(Refused::Store(Error::InDoubt)) => Ok(self.declare(found, released)),
            Err(refused) => Err(self.refuse(refused, released)),
        })
    }
}

impl<P: Payload> State<P> {
    /// A sequence for a place that the store is to know.
    fn give_seq(&mut self) -> u64 {
        let seq = self.next_given();
        self.reserve_seq(seq);
        seq
    }

    /// Whoever claims it gets the job that this call has stored; soon, if that is near.
    fn let_go_of(&mut self, id: &str, seq: u64) -> Result<(), Refused> {
        self.poll_now();
        Ok(self.yield_one(id, seq).map(drop)?)
    }

    /// The store has another one in the place of a repeat that waited: the one that is here, under the old sequence, is gone.
    fn forget_amended(
        &mut self,
        engine: &Engine<P>,
        (id, seq): (&str, u64),
        released: &mut Released<P>,
    ) {
        if let Some(key) = self.jobs.find(id)
            && self.store_seq(key, 0) == seq
            && self.withdraw(engine, key)
        {
            self.drop_one(key);
            self.remove(key, released);
        }
        engine.notify(self);
    }

    /// A repeat that was not in memory is over.
    fn note_over(&mut self, target: &str) {
        self.tally
            .note_named(target, |counts| counts.cancelled += 1);
        if let Some(residency) = &mut self.residency {
            residency.frontier.paged_out -= 1;
        }
    }
}
