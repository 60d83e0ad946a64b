//! Jobs that a store keeps: what is due soon is in memory as well, the rest is *away*.
//!
//! Every place before the *frontier* that is pending is in memory. What is past it, or would be
//! one too many, stays away until a page brings it in. A page is asked for by the timer, arrives
//! by the [`Mail`] on a thread of the store, and is taken in by a worker, which alone can make
//! payloads of what was stored.

use super::{Due, Engine, Phase, Refused, State};
use crate::ids::{self, Halves};
use crate::queue::{ClockKind, Key};
use crate::record::{Done, Id, Outcome, Parts, Payload, Reason, Record, Released, Side, Started};
use crate::sleep::Sleeper;
use crate::store::{
    self, Answer, Clock as StoreClock, Error, Event, Events, Job, Op, Page, Place, Question, Store,
    Ticket, ask,
};
use crate::sync::Mutex;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

/// How many jobs one page brings at most.
const PAGE: usize = 10_000;
/// How many jobs of a bulk call go to the store in one batch.
const BATCH: usize = 4_096;
/// A place past all.
const END: Place = Place {
    due: i64::MAX,
    seq: i64::MAX as u64,
};

/// What the store's threads leave for the engine.
#[derive(Debug)]
pub struct Mail {
    sleeper: Arc<Sleeper>,
    pages: Mutex<Vec<Page>>,
    failed: Mutex<Option<Error>>,
}

impl Mail {
    /// An empty one, with the sleeper of the engine that is to read it.
    ///
    /// # Errors
    ///
    /// When the process has no descriptors left for the timer.
    pub fn new() -> std::io::Result<Arc<Self>> {
        Ok(Arc::new(Mail {
            sleeper: Arc::new(Sleeper::new()?),
            pages: Mutex::default(),
            failed: Mutex::default(),
        }))
    }

    pub(super) fn sleeper(&self) -> Arc<Sleeper> {
        self.sleeper.clone()
    }

    /// What a store calls with its events.
    pub fn events(self: &Arc<Self>) -> Events {
        let mail = self.clone();
        Box::new(move |event| {
            if let Event::Poisoned(error) = event {
                mail.fail(error);
            }
        })
    }

    fn fail(&self, error: Error) {
        self.failed.lock().get_or_insert(error);
        self.sleeper.wake();
    }
}

/// How much of the future is in memory.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// What is due within so many nanoseconds,
    pub horizon: i64,
    /// and no more than so many jobs; those that are parked do not count.
    pub resident: usize,
}

/// The engine's side of a store.
pub(super) struct Kept {
    pub(super) store: Arc<dyn Store>,
    mail: Arc<Mail>,
    window: Window,
    /// All that is pending before this place is in memory.
    frontier: Place,
    /// How many pending jobs are not in memory.
    pub(super) away: u64,
    /// The bound of the page that is under way.
    paging: Option<i64>,
    /// Calls that wait for an answer about a job that is away: no page is taken in meanwhile.
    asking: usize,
    /// Ids that were given to a job which the store is being asked to take in.
    reserved: HashSet<Arc<str>>,
    /// Jobs that changed while a page was under way, which may hold them as they were.
    changed: HashSet<String>,
    /// Generated ids whose index is not that of their job.
    pub(super) elsewhere: HashMap<Halves, Key>,
    /// Outcomes that the store has not taken yet.
    pub(super) outbox: Vec<Op<'static>>,
}

impl Kept {
    /// The page from the frontier on.
    fn page(&mut self, until: i64, count: usize) -> Question {
        self.paging = Some(until);
        let Place { due, seq } = self.frontier;
        let after = match (due, seq) {
            (i64::MIN, 0) => None,
            (due, 0) => Some(Place {
                due: due - 1,
                seq: END.seq,
            }),
            (due, seq) => Some(Place { due, seq: seq - 1 }),
        };
        Question::Page {
            after,
            until,
            limit: PAGE.min(self.window.resident.saturating_sub(count).max(1)),
        }
    }
}

/// What became of a job that was to be withdrawn or moved.
#[derive(Debug)]
pub enum Changed<T> {
    /// It is done; true on disk when the ticket is settled.
    Yes(T, Ticket),
    /// There is no such job, or it has started.
    No,
    /// It may be away: ask.
    Away,
}

const fn clock_of(kind: ClockKind) -> StoreClock {
    match kind {
        ClockKind::Wall => StoreClock::Wall,
        ClockKind::Boot => StoreClock::Boot,
    }
}

const fn kind_of(clock: StoreClock) -> ClockKind {
    match clock {
        StoreClock::Wall => ClockKind::Wall,
        StoreClock::Boot => ClockKind::Boot,
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error {
            Error::Closed => Refused::Closed,
            Error::Duplicate(_) => Refused::Duplicate,
            error => Refused::Store(error),
        }
    }
}

impl<P: Payload> Engine<P> {
    /// Whether a store keeps its jobs.
    #[inline]
    pub fn is_kept(&self) -> bool {
        self.kept
    }

    /// Put a store behind an engine that is new.
    pub fn keep_in(&mut self, store: Arc<dyn Store>, mail: Arc<Mail>, window: Window) {
        let found = store.found().clone();
        let away = found.jobs;
        self.sleeper = mail.sleeper();
        self.kept = true;
        let mut state = self.state.lock();
        state.queue.skip_sequences(found.seq.saturating_add(1));
        state.counts.scheduled = away;
        state.kept = Some(Box::new(Kept {
            store,
            mail,
            window,
            frontier: if away > 0 {
                Place {
                    due: i64::MIN,
                    seq: 0,
                }
            } else {
                END
            },
            away,
            paging: None,
            asking: 0,
            reserved: HashSet::new(),
            changed: HashSet::new(),
            elsewhere: HashMap::new(),
            outbox: Vec::new(),
        }));
    }

    fn open_kept(&self) -> Result<MutexGuard<'_, State<P>>, Refused> {
        let mut state = self.open()?;
        match state.failed() {
            Some(error) => Err(error.into()),
            None => Ok(state),
        }
    }

    /// Why the store takes nothing any more, if it does not.
    pub fn failure(&self) -> Option<Error> {
        self.kept.then(|| self.state.lock().failed()).flatten()
    }

    /// Wait until a batch is settled; `false`: the time is over.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn wait_settled(&self, ticket: Ticket, timeout: Duration) -> Result<bool, Refused> {
        let Some(store) = self.store() else {
            return Ok(true);
        };
        let deadline = Instant::now().checked_add(timeout);
        store.wait(ticket, deadline).map_err(Refused::from)
    }

    /// The store, while it is behind this engine.
    pub fn store(&self) -> Option<Arc<dyn Store>> {
        let state = self.state.lock();
        state.kept.as_ref().map(|kept| kept.store.clone())
    }

    /// Schedule one job under a generated id. It is kept when the ticket is settled.
    ///
    /// # Errors
    ///
    /// As [`schedule`](Self::schedule), and those of the store: the payload stays the caller's.
    pub fn keep(
        &self,
        due: Due,
        payload: P,
        released: &mut Released<P>,
    ) -> Result<(Halves, Ticket), Refused> {
        let mut state = self.open_kept()?;
        let boot = self.clock.boot();
        state.refresh(self, boot);
        let (clock, due) = state.resolve(due, boot)?;
        let stays = state.stays(clock, due);
        let id = state.new_id(boot, stays);
        let text = Id::Generated(id);
        let job_due = state.on_the_wall(clock, due);
        let place = state.next_place(clock, due);
        let created = boot.saturating_add(state.offset);
        let submitted = payload.parts(|parts| {
            text.with_str(|text| {
                let text = Cow::Borrowed(text);
                let job = new_job(text, parts, place, clock, job_due, created);
                state.submit_new(job, stays)
            })
        });
        let ticket = submitted.inspect_err(|_| state.not_away(stays))?;
        state.counts.scheduled += 1;
        if stays {
            state.put(id, clock, due, payload);
            self.rouse(state, clock, due);
        } else {
            state.queue.skip_sequences(place.seq + 1);
            released.payloads.push(payload);
        }
        Ok((id, ticket))
    }

    /// Schedule many jobs, in order; returns their ids.
    ///
    /// # Errors
    ///
    /// As [`keep`](Self::keep): then none is scheduled.
    pub fn keep_many(
        &self,
        due: impl Fn(i64) -> Due,
        times: &[i64],
        mut payload: impl FnMut() -> P,
        released: &mut Released<P>,
    ) -> Result<(Vec<Halves>, Ticket), Refused> {
        let boot = self.clock.boot();
        let mut state = self.open_kept()?;
        state.refresh(self, boot);
        for &time in times {
            state.resolve(due(time), boot)?;
        }
        let created = boot.saturating_add(state.offset);
        let mut ids = Vec::with_capacity(times.len());
        let mut ticket = Ticket(0);
        let mut taken: Vec<(u64, Option<Key>)> = Vec::with_capacity(times.len());
        let mut wake = false;
        for chunk in times.chunks(BATCH) {
            let before = taken.len();
            let mut ops = Vec::with_capacity(chunk.len());
            for &time in chunk {
                let (clock, due) = state.resolve(due(time), boot)?;
                let stays = state.stays(clock, due);
                let id = state.new_id(boot, stays);
                let place = state.next_place(clock, due);
                let payload = payload();
                ops.push(Op::Insert(payload.parts(|parts| {
                    let text = Id::Generated(id).with_str(str::to_owned);
                    let text = Cow::Owned(text);
                    new_job(text, parts, place, clock, place.due, created).into_owned()
                })));
                if stays {
                    taken.push((place.seq, Some(state.put(id, clock, due, payload))));
                    wake |= state.rouses(clock, due);
                } else {
                    ops.push(Op::Yield(place.seq));
                    state.queue.skip_sequences(place.seq + 1);
                    taken.push((place.seq, None));
                    released.payloads.push(payload);
                }
                ids.push(id);
            }
            match state.submit(&ops) {
                Ok(submitted) => ticket = submitted,
                Err(error) => {
                    state.take_back(&taken, before, released);
                    return Err(error.into());
                }
            }
        }
        state.counts.scheduled += times.len() as u64;
        drop(state);
        if wake {
            self.sleeper.wake();
        }
        Ok((ids, ticket))
    }

    /// Schedule one job under a given id; may wait for the store.
    ///
    /// # Errors
    ///
    /// As [`keep`](Self::keep), and [`Refused::Duplicate`].
    pub fn keep_as(
        &self,
        id: &str,
        due: Due,
        payload: P,
        released: &mut Released<P>,
    ) -> Result<Ticket, Refused> {
        self.keep_with(id, due, None, payload, released)
    }

    /// Take in a pending execution as it stands: its first due, run and attempt.
    ///
    /// # Errors
    ///
    /// As [`keep_as`](Self::keep_as).
    pub fn restore_kept(
        &self,
        id: &str,
        job_due: i64,
        due: i64,
        (run, attempt): (u32, u32),
        payload: P,
        released: &mut Released<P>,
    ) -> Result<Ticket, Refused> {
        let past = Some((job_due, run, attempt));
        self.keep_with(id, Due::At(due), past, payload, released)
    }

    fn keep_with(
        &self,
        id: &str,
        due: Due,
        past: Option<(i64, u32, u32)>,
        payload: P,
        released: &mut Released<P>,
    ) -> Result<Ticket, Refused> {
        let boot = self.clock.boot();
        let mut state = self.open_kept()?;
        state.settle(self, released);
        state.refresh(self, boot);
        let (clock, due) = state.resolve(due, boot)?;
        let text: Arc<str> = id.into();
        let reserved = |state: &State<P>| {
            let kept = state.kept.as_ref();
            kept.is_some_and(|kept| kept.reserved.contains(&text))
        };
        if state.find(id).is_some() || reserved(&state) {
            return Err(Refused::Duplicate);
        }
        let stays = state.stays(clock, due);
        let place = state.next_place(clock, due);
        let created = boot.saturating_add(state.offset);
        let (job_due, run, attempt) = past.unwrap_or((place.due, 1, 1));
        let mut job = payload.parts(|parts| {
            let id = Cow::Owned(id.to_owned());
            new_job(id, parts, place, clock, job_due, created).into_owned()
        });
        (job.run, job.attempt) = (run, attempt);
        state.queue.skip_sequences(place.seq + 1);
        let away = state.kept.as_ref().is_some_and(|kept| kept.away > 0);
        let ticket = if away {
            // Only the store knows whether a job that is away has this id.
            if let Some(kept) = &mut state.kept {
                kept.reserved.insert(text.clone());
            }
            drop(state);
            let answer = self.ask_away(Question::Insert(vec![job]));
            state = self.state.lock();
            if let Some(kept) = &mut state.kept {
                kept.reserved.remove(&text);
            }
            answer.inspect_err(|_| state.not_away(stays))?;
            let ops: &[Op<'_>] = if stays { &[] } else { &[Op::Yield(place.seq)] };
            state.submit(ops)?
        } else {
            let submitted = state.submit_new(job, stays);
            submitted.inspect_err(|_| state.not_away(stays))?
        };
        state.counts.scheduled += 1;
        if stays {
            let side = Side {
                id: Id::Given(text),
                job_due,
                first_start: None,
                attempt,
                run,
            };
            state.put_side(clock, due, place.seq, side, payload);
            self.rouse(state, clock, due);
        } else {
            released.payloads.push(payload);
        }
        Ok(ticket)
    }

    /// Withdraw a pending job that is in memory.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], and those of the store.
    pub fn cancel_kept(&self, id: &str) -> Result<Changed<P>, Refused> {
        let mut state = self.open_kept()?;
        let Some(key) = state.find(id) else {
            return Ok(state.may_be_away());
        };
        let Some(seq) = state.queue.get(key).map(|entry| entry.sequence) else {
            return Ok(Changed::No);
        };
        if !state.withdraw(self, key) {
            return Ok(Changed::No);
        }
        let ticket = match state.submit(&[Op::Delete(seq)]) {
            Ok(ticket) => ticket,
            Err(error) => {
                state.put_back(key);
                return Err(error.into());
            }
        };
        state.note_changed(id);
        let payload = state.take(key);
        state.counts.cancelled += 1;
        self.notify(&state);
        Ok(match payload {
            Some(payload) => Changed::Yes(payload, ticket),
            None => Changed::No,
        })
    }

    /// Withdraw a pending job that is away; waits for the store.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], and those of the store.
    pub fn cancel_away(&self, id: &str) -> Result<bool, Refused> {
        let answer = self.ask_away(Question::Cancel(id.to_owned()))?;
        let cancelled = answer == Answer::Changed(true);
        if cancelled {
            let mut state = self.state.lock();
            state.counts.cancelled += 1;
            state.left_away(id);
            self.notify(&state);
        }
        Ok(cancelled)
    }

    /// Move a pending job that is in memory to a due on the wall clock.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], and those of the store.
    pub fn reschedule_kept(&self, id: &str, due: i64) -> Result<Changed<()>, Refused> {
        let mut state = self.open_kept()?;
        let Some(key) = state.find(id) else {
            return Ok(match state.may_be_away() {
                Changed::<P>::Away => Changed::Away,
                _ => Changed::No,
            });
        };
        let Some(seq) = state.queue.get(key).map(|entry| entry.sequence) else {
            return Ok(Changed::No);
        };
        if !state.withdraw(self, key) {
            return Ok(Changed::No);
        }
        let to = state.next_place(ClockKind::Wall, due);
        let clock = StoreClock::Wall;
        let ticket = match state.submit(&[Op::Move { seq, to, clock }]) {
            Ok(ticket) => ticket,
            Err(error) => {
                state.put_back(key);
                return Err(error.into());
            }
        };
        state.note_changed(id);
        state.give_side(key);
        state.requeue(key, ClockKind::Wall, due);
        self.rouse(state, ClockKind::Wall, due);
        Ok(Changed::Yes((), ticket))
    }

    /// Move a pending job that is away; waits for the store. The job, if it is near now: it is to
    /// be taken in by [`load_one`](Self::load_one).
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], and those of the store.
    pub fn reschedule_away(
        &self,
        id: &str,
        due: i64,
    ) -> Result<(bool, Option<Job<'static>>), Refused> {
        let mut state = self.open_kept()?;
        let to = state.next_place(ClockKind::Wall, due);
        state.queue.skip_sequences(to.seq + 1);
        drop(state);
        let clock = StoreClock::Wall;
        let id = id.to_owned();
        let answer = self.ask_away(Question::Move {
            id: id.clone(),
            to,
            clock,
        })?;
        if answer != Answer::Changed(true) {
            return Ok((false, None));
        }
        let mut state = self.state.lock();
        state.note_changed(&id);
        if !state.is_near(to) {
            return Ok((true, None));
        }
        drop(state);
        match self.ask_away(Question::Get(id))? {
            Answer::Job(job) => Ok((true, job)),
            _ => Ok((true, None)),
        }
    }

    /// Make the newest dead job of this id due now, from attempt 1; waits for the store. The job
    /// is to be taken in by [`load_one`](Self::load_one).
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], [`Refused::Duplicate`], and those of the store.
    pub fn revive_kept(
        &self,
        id: &str,
        released: &mut Released<P>,
    ) -> Result<Option<Job<'static>>, Refused> {
        let mut state = self.open_kept()?;
        state.settle(self, released);
        let boot = self.clock.boot();
        state.refresh(self, boot);
        let to = state.next_place(ClockKind::Boot, boot);
        state.queue.skip_sequences(to.seq + 1);
        drop(state);
        let id = id.to_owned();
        let clock = StoreClock::Boot;
        match self.ask_away(Question::Revive { id, to, clock })? {
            Answer::Job(Some(job)) => {
                let mut state = self.state.lock();
                state.counts.revived += 1;
                if let Some(kept) = &mut state.kept {
                    kept.away += 1;
                }
                Ok(Some(job))
            }
            _ => Ok(None),
        }
    }

    /// Ask the store about what is not in memory, once it has all that has ended.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn ask_away(&self, question: Question) -> Result<Answer, Refused> {
        let mut state = self.open_kept()?;
        let Some(kept) = &mut state.kept else {
            return Err(Refused::Closed);
        };
        kept.asking += 1;
        let store = kept.store.clone();
        drop(state);
        let answer = ask(&*store, question);
        let mut state = self.state.lock();
        if let Some(kept) = &mut state.kept {
            kept.asking -= 1;
            if kept.asking == 0 && !kept.mail.pages.lock().is_empty() {
                self.sleeper.wake();
            }
        }
        drop(state);
        answer.map_err(Refused::from)
    }

    /// The page to ask for now, if one is wanted and none is under way.
    pub fn page_wanted(&self) -> Option<Question> {
        let now = self.clock.wall();
        self.state.lock().page_wanted(now)
    }

    /// The next page, if what is away may be due before all that is in memory.
    pub fn page_before_next(&self) -> Option<Question> {
        let mut state = self.state.lock();
        let now = self.now();
        let first = state.queue.first(now).and_then(|key| state.place(key));
        let count = state.queue.len() - state.parked;
        let kept = state.kept.as_mut()?;
        if kept.away == 0 || kept.paging.is_some() || kept.frontier == END {
            return None;
        }
        let frontier = (kept.frontier.due, kept.frontier.seq);
        if first.is_some_and(|first| first.order() < frontier) {
            return None;
        }
        Some(kept.page(i64::MAX, count))
    }

    /// How many pending jobs are away.
    pub fn away(&self) -> u64 {
        if self.kept {
            self.state.lock().away()
        } else {
            0
        }
    }

    /// Whether a job of this id is in memory, pending or running.
    pub fn holds(&self, id: &str) -> bool {
        self.state.lock().find(id).is_some()
    }

    /// Pages that have come, for a worker to take in.
    pub fn pages(&self) -> Vec<Page> {
        let state = self.state.lock();
        match &state.kept {
            Some(kept) if kept.asking == 0 => std::mem::take(&mut *kept.mail.pages.lock()),
            _ => Vec::new(),
        }
    }

    /// Take in a page, whose jobs have become payloads; `last` is where the next one goes on.
    pub fn load(
        &self,
        last: Option<Place>,
        jobs: Vec<(Job<'static>, P)>,
        released: &mut Released<P>,
    ) {
        let mut state = self.state.lock();
        let jobs = if state.phase == Phase::Closed {
            released.payloads.extend(jobs.into_iter().map(|job| job.1));
            Vec::new()
        } else {
            jobs
        };
        for (job, payload) in jobs {
            state.load(&job, payload, released);
        }
        if let Some(kept) = &mut state.kept {
            let until = kept.paging.take().unwrap_or(i64::MIN);
            kept.changed.clear();
            kept.frontier = match last {
                // More are due before the bound.
                Some(last) => Place {
                    due: last.due,
                    seq: last.seq + 1,
                },
                None => Place { due: until, seq: 0 },
            };
        }
        state.asleep = None;
        drop(state);
        self.sleeper.wake();
    }

    /// Take in one job that was away.
    pub fn load_one(&self, job: &Job<'static>, payload: P, released: &mut Released<P>) {
        let mut state = self.state.lock();
        if state.phase == Phase::Closed {
            released.payloads.push(payload);
            return;
        }
        state.load(job, payload, released);
        state.asleep = None;
        drop(state);
        self.sleeper.wake();
    }

    /// Let go of the store, once the engine is closed and nothing runs any more.
    pub(super) fn close_store(&self) {
        let state = self.state.lock();
        let ready = self.ready.lock();
        let over = state.phase == Phase::Closed && ready.running == 0 && ready.done.is_empty();
        drop(ready);
        let store = state.kept.as_ref().map(|kept| kept.store.clone());
        drop(state);
        if over && let Some(store) = store {
            // What could not be settled is as if the process had died now: nobody was told of it.
            let _ = store.close();
        }
    }

    /// Note that an execution starts, before its handler is called. At most once: it may be
    /// called when the ticket is settled.
    ///
    /// # Errors
    ///
    /// Those of the store: nothing is noted.
    pub fn begin(&self, started: &Started<P>) -> Result<Option<Ticket>, Refused> {
        let Some(store) = self.store() else {
            return Ok(None);
        };
        let at = self.clock.wall();
        let seq = started.execution.sequence;
        let ticket = store.submit(&[Op::Begin { seq, at }])?;
        let once = started
            .execution
            .payload
            .parts(|parts| parts.options.at_most_once);
        Ok(once.then_some(ticket))
    }
}

fn new_job<'a>(
    id: Cow<'a, str>,
    parts: Parts<'a>,
    place: Place,
    clock: ClockKind,
    job_due: i64,
    created: i64,
) -> Job<'a> {
    Job {
        id,
        target: Cow::Borrowed(parts.target),
        data: Cow::Borrowed(parts.data),
        place,
        clock: clock_of(clock),
        job_due,
        created,
        attempt: 1,
        run: 1,
        interruptions: 0,
        first_start: None,
        options: parts.options,
    }
}

impl<P: Payload> State<P> {
    pub(super) fn failed(&mut self) -> Option<Error> {
        self.kept
            .as_ref()
            .and_then(|kept| kept.mail.failed.lock().clone())
    }

    pub(super) fn away(&self) -> u64 {
        self.kept.as_ref().map_or(0, |kept| kept.away)
    }

    /// The place that the next job at this due takes.
    pub(super) fn next_place(&self, clock: ClockKind, due: i64) -> Place {
        Place {
            due: self.on_the_wall(clock, due),
            seq: self.queue.next_sequence(),
        }
    }

    pub(super) fn submit(&mut self, ops: &[Op<'_>]) -> Result<Ticket, Error> {
        let Some(kept) = &mut self.kept else {
            return Err(Error::Closed);
        };
        kept.store.submit(ops)
    }

    fn submit_new(&mut self, job: Job<'_>, stays: bool) -> Result<Ticket, Error> {
        let seq = job.place.seq;
        let insert = Op::Insert(job);
        if stays {
            self.submit(&[insert])
        } else {
            self.submit(&[insert, Op::Yield(seq)])
        }
    }

    /// Whether a new job at this due is kept in memory; if not, it counts as away.
    fn stays(&mut self, clock: ClockKind, due: i64) -> bool {
        let near = self.is_near(self.next_place(clock, due));
        if let Some(kept) = &mut self.kept {
            kept.away += u64::from(!near);
        }
        near
    }

    /// Whether a job that comes to this place belongs in memory; if not, the frontier is before it.
    fn is_near(&mut self, place: Place) -> bool {
        let count = self.queue.len() - self.parked;
        let now = self.offset_read.saturating_add(self.offset);
        let Some(kept) = &mut self.kept else {
            return true;
        };
        if kept.paging.is_some() {
            // It may or may not be in the page.
            return true;
        }
        if kept.away == 0 {
            kept.frontier = END;
        }
        let beyond =
            place.due > now.saturating_add(kept.window.horizon) || count >= kept.window.resident;
        if place < kept.frontier && !beyond {
            return true;
        }
        kept.frontier = kept.frontier.min(place);
        false
    }

    /// A new job was not taken in after all.
    fn not_away(&mut self, stays: bool) {
        if let Some(kept) = &mut self.kept {
            kept.away -= u64::from(!stays);
        }
    }

    fn may_be_away(&self) -> Changed<P> {
        if self.away() > 0 {
            Changed::Away
        } else {
            Changed::No
        }
    }

    /// A page that is under way may hold this job as it was.
    fn note_changed(&mut self, id: &str) {
        if let Some(kept) = &mut self.kept
            && kept.paging.is_some()
        {
            kept.changed.insert(id.to_owned());
        }
    }

    fn left_away(&mut self, id: &str) {
        self.note_changed(id);
        if let Some(kept) = &mut self.kept {
            kept.away = kept.away.saturating_sub(1);
        }
    }

    /// A job that was withdrawn from where it waited waits again.
    fn put_back(&mut self, key: Key) {
        if let Some(record) = self.queue.get_mut(key) {
            record.set_stage(crate::record::Stage::Waiting);
        }
        self.queue.put_back(key);
    }

    /// Undo the part of a bulk call that was done; the store has the first `stored` of them.
    fn take_back(
        &mut self,
        taken: &[(u64, Option<Key>)],
        stored: usize,
        released: &mut Released<P>,
    ) {
        let ops = taken[..stored].iter().map(|(seq, _)| Op::Delete(*seq));
        if let Some(kept) = &mut self.kept {
            kept.outbox.extend(ops);
            let away = taken.iter().filter(|(_, key)| key.is_none()).count();
            kept.away = kept.away.saturating_sub(away as u64);
        }
        for key in taken.iter().filter_map(|(_, key)| *key) {
            self.remove(key, released);
        }
        self.send();
    }

    /// A job ends with the engine: forgotten, unless it is pending where it is kept.
    pub(super) fn drop_one(&mut self) {
        match &mut self.kept {
            Some(kept) => kept.away += 1,
            None => self.counts.dropped += 1,
        }
    }

    /// Write down how an execution has ended, before it is settled here.
    pub(super) fn record(&mut self, engine: &Engine<P>, done: &Done<P::Failure>) {
        let Some(execution) = self.execution(done.key) else {
            return;
        };
        let failures = match done.outcome {
            Outcome::Retry(_) => 1,
            _ => 0,
        };
        let outcome = match &done.outcome {
            Outcome::Unhandled => return,
            Outcome::Succeeded => store::Outcome::Done,
            Outcome::Retry(due) | Outcome::Snooze(due) => {
                let to = self.next_place(ClockKind::Boot, *due);
                if self.phase == Phase::Closed {
                    self.queue.skip_sequences(to.seq + 1);
                }
                store::Outcome::Again {
                    to,
                    clock: StoreClock::Boot,
                    attempt: execution.attempt.saturating_add(failures),
                    run: execution.run.saturating_add(1),
                    first_start: Some(done.first_start.saturating_add(self.offset)),
                }
            }
            Outcome::Dead(reason, failure) => store::Outcome::Dead {
                reason: match reason {
                    Reason::Failed => store::Reason::Failed,
                    Reason::Discarded => store::Reason::Discarded,
                    Reason::Interrupted => store::Reason::Interrupted,
                },
                error: Cow::Owned(P::text(failure)),
                died: engine.clock.wall(),
            },
        };
        let seq = execution.sequence;
        execution.id.with_str(|id| self.note_changed(id));
        if let Some(kept) = &mut self.kept {
            kept.outbox.push(Op::Finish { seq, outcome });
        }
    }

    /// Give the store the outcomes that wait. A full disk takes them later.
    pub(super) fn send(&mut self) {
        if let Some(kept) = &mut self.kept
            && !kept.outbox.is_empty()
            && kept.store.submit(&kept.outbox).is_ok()
        {
            kept.outbox.clear();
        }
    }

    /// Take in a job of the store's, unless it is here or has changed since.
    fn load(&mut self, job: &Job<'_>, payload: P, released: &mut Released<P>) {
        let changed = |kept: &Kept| kept.changed.contains(&*job.id) && kept.paging.is_some();
        if self.kept.as_deref().is_some_and(changed) || self.find(&job.id).is_some() {
            released.payloads.push(payload);
            return;
        }
        let kind = kind_of(job.clock);
        let due = match kind {
            ClockKind::Wall => job.place.due,
            ClockKind::Boot => job.place.due.saturating_sub(self.offset),
        };
        let id = match ids::parse(&job.id) {
            Some(halves) => Id::Generated(halves),
            None => Id::Given((&*job.id).into()),
        };
        let side = Side {
            id,
            job_due: job.job_due,
            first_start: job.first_start.map(|wall| wall.saturating_sub(self.offset)),
            attempt: job.attempt,
            run: job.run,
        };
        self.put_side(kind, due, job.place.seq, side, payload);
        if let Some(kept) = &mut self.kept {
            kept.away = kept.away.saturating_sub(1);
        }
    }

    /// Insert a job that has a side, under an id that is free, with a sequence that was taken.
    fn put_side(&mut self, clock: ClockKind, due: i64, sequence: u64, side: Side, payload: P) {
        let id = side.id.clone();
        let number = self.sides.insert(side);
        let record = Record::with_side(number, payload);
        let key = self.queue.restore(clock, due, sequence, record);
        match id {
            Id::Given(id) => drop(self.given.insert(id, key)),
            Id::Generated(id) => {
                if let Some(kept) = &mut self.kept {
                    kept.elsewhere.insert(id, key);
                }
            }
        }
    }

    /// The page to ask for now: when half of the horizon is used up, or half of the room is free.
    pub(super) fn page_wanted(&mut self, now: i64) -> Option<Question> {
        let count = self.queue.len() - self.parked;
        let kept = self.kept.as_mut()?;
        let Window { horizon, resident } = kept.window;
        let until = now.saturating_add(horizon);
        let near = kept.frontier.due <= now.saturating_add(horizon / 2);
        let room = count < resident / 2 + 1 && kept.frontier.due < until;
        if kept.away == 0 || kept.paging.is_some() || count >= resident || !(near || room) {
            return None;
        }
        if kept.frontier.due >= until {
            return None;
        }
        Some(kept.page(until, count))
    }

    /// When the timer is to look for a page, on the wall clock.
    pub(super) fn next_page(&self) -> Option<i64> {
        let kept = self.kept.as_ref()?;
        let waits = kept.away > 0
            && kept.paging.is_none()
            && self.queue.len() - self.parked < kept.window.resident;
        waits.then(|| kept.frontier.due.saturating_sub(kept.window.horizon / 2))
    }

    /// Ask for the page that is wanted; it comes by mail.
    pub(super) fn turn_page(&mut self, now: i64) {
        let Some(question) = self.page_wanted(now) else {
            return;
        };
        let Some(kept) = &self.kept else { return };
        let mail = kept.mail.clone();
        kept.store.ask(
            question,
            Box::new(move |answer| match answer {
                Ok(Answer::Page(page)) => {
                    mail.pages.lock().push(page);
                    mail.sleeper.wake();
                }
                Ok(_) | Err(Error::Closed) => {}
                Err(error) => mail.fail(error),
            }),
        );
    }

    /// Whether pages have come that nobody has taken in yet.
    pub(super) fn has_pages(&self) -> bool {
        let kept = self.kept.as_ref();
        kept.is_some_and(|kept| kept.asking == 0 && !kept.mail.pages.lock().is_empty())
    }
}
