//! What a store should hold, in plain maps, and a source of batches that an engine could submit.

use super::jobs::{
    again, begin, bury, bury_followed, carried, done, followed, job, next as next_of, place, repeat,
};
use crate::{ClockKind, Ending, Job, Kept, Next, Op, Progress, Reason, Standing};
use duewheel_model::outcome::{Ended, Outcome, after};
use std::collections::{BTreeMap, BTreeSet};

/// Random numbers that a seed repeats.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number, of 53 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    /// One of these, if there are any.
    pub fn pick(&mut self, from: impl Iterator<Item = u64>) -> Option<u64> {
        let all: Vec<u64> = from.collect();
        let at = self.below(all.len().max(1) as u64);
        all.get(at as usize).copied()
    }
}

/// Make a job what this one is: its target, payload, options, repeat and what it carries.
pub(crate) fn edit(job: &mut Job<'static>, to: Job<'static>) {
    (job.target, job.data, job.options, job.repeat) = (to.target, to.data, to.options, to.repeat);
    job.carried = to.carried;
    job.follow = to.follow;
    if to.follow.is_some() {
        job.job_due = to.job_due;
    }
}

/// A repeat has come this far.
pub(crate) fn stand(job: &mut Job<'static>, job_due: i64, standing: Standing) {
    if let Some(repeat) = &mut job.repeat {
        (job.job_due, repeat.standing) = (job_due, standing);
    }
}

/// The next occurrence of it follows.
pub(crate) fn follow(job: &mut Job<'static>, next: &Next) {
    (job.place, job.clock) = (next.to, next.clock);
    job.progress = Progress {
        run: next.run,
        ..Progress::NEW
    };
    (job.interruptions, job.job_due, job.follow) = (0, next.job_due, None);
    stand(job, next.job_due, next.standing);
}

/// Its occurrence died with its process, and is among the dead; another run of it follows.
pub(crate) fn go_on(job: &mut Job<'static>) {
    job.progress = Progress {
        run: job.progress.run,
        ..Progress::NEW
    };
    job.interruptions = 0;
    if let Some(repeat) = &mut job.repeat {
        repeat.standing.spent = true;
    }
}

/// Its occurrence has ended, and was changed while it ran: what follows is found by whoever reads it.
pub(crate) fn spend(job: &mut Job<'static>, next: Option<&Next>) {
    job.progress = Progress {
        run: job.progress.run.saturating_add(1),
        ..Progress::NEW
    };
    job.interruptions = 0;
    if let Some(repeat) = &mut job.repeat {
        let ended = next.map(|next| &next.standing);
        repeat.standing = repeat.standing.spent_with(ended);
    }
}

/// Its process died while it ran, and it was changed meanwhile: it comes as it was changed, once.
fn come_changed(job: &mut Job<'static>) {
    if let Some(due) = job.follow.take() {
        job.place.due = due;
        go_on(job);
    }
}

/// What a store should hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// The pending ones and those that run, by sequence.
    pub jobs: BTreeMap<u64, Job<'static>>,
    /// Those that run.
    pub begun: BTreeSet<u64>,
    /// How jobs have ended, as it is kept.
    pub kept: BTreeMap<String, Kept>,
    /// The dead as they were at their last execution, and why.
    pub dead: Vec<(Job<'static>, Reason)>,
    /// The highest sequence that was ever used.
    pub seq: u64,
    /// Whether its process ends in order.
    pub leaves: bool,
    /// Whether what runs is changed now and then, to follow.
    pub changes_what_runs: bool,
}

impl Model {
    /// Of a store of one process, in which what runs is changed now and then.
    pub fn changing() -> Self {
        Model {
            changes_what_runs: true,
            ..Model::default()
        }
    }

    /// Make an operation true.
    pub fn apply(&mut self, op: &Op<'_>) {
        match op.clone() {
            Op::Insert(job) => {
                self.jobs.insert(job.place.seq, job.into_owned());
            }
            Op::Delete(seq) => {
                self.jobs.remove(&seq);
            }
            Op::Edit(to) => {
                if let Some(job) = self.jobs.get_mut(&to.place.seq) {
                    edit(job, to.into_owned());
                }
            }
            Op::Stand {
                seq,
                job_due,
                standing,
            } => {
                if let Some(job) = self.jobs.get_mut(&seq) {
                    stand(job, job_due, *standing);
                }
            }
            Op::Move { seq, to, clock } => self.shift(seq, |job| {
                (job.place, job.clock) = (to, clock);
            }),
            Op::Begin { seq, .. } => {
                self.begun.insert(seq);
            }
            Op::Release(seq) => {
                self.begun.remove(&seq);
            }
            Op::Yield(_) | Op::Inherited(_) => {}
            Op::Keep { kept, .. } => {
                self.kept.insert(kept.id.clone(), *kept);
            }
            Op::Leave => self.leaves = true,
            Op::Finish { seq, outcome } => {
                self.begun.remove(&seq);
                match outcome {
                    Ending::Done => {
                        self.jobs.remove(&seq);
                    }
                    Ending::Again {
                        to,
                        clock,
                        progress,
                    } => self.shift(seq, |job| {
                        (job.place, job.clock, job.progress) = (to, clock, progress);
                        job.follow = None;
                    }),
                    Ending::Dead { reason, next, .. } => {
                        self.bury(seq, reason);
                        match next {
                            Some(next) => self.shift(seq, |job| follow(job, &next)),
                            None => drop(self.jobs.remove(&seq)),
                        }
                    }
                    Ending::Next(next) => self.shift(seq, |job| follow(job, &next)),
                }
            }
        }
    }

    fn shift(&mut self, seq: u64, change: impl FnOnce(&mut Job<'static>)) {
        if let Some(mut job) = self.jobs.remove(&seq) {
            change(&mut job);
            self.jobs.insert(job.place.seq, job);
        }
    }

    /// It is among the dead.
    fn bury(&mut self, seq: u64, reason: Reason) {
        if let Some(job) = self.jobs.get(&seq) {
            let job = Job {
                follow: None,
                ..job.clone()
            };
            self.dead.push((job, reason));
        }
    }

    /// The process dies, and the store is opened again.
    pub fn die(&mut self, max_interruptions: u32) {
        let counts = !std::mem::take(&mut self.leaves);
        for seq in std::mem::take(&mut self.begun) {
            let Some(job) = self.jobs.get_mut(&seq) else {
                continue;
            };
            job.interruptions += u32::from(counts);
            let ended = if counts {
                Ended::Interrupted {
                    interruptions: job.interruptions,
                    limit: max_interruptions,
                }
            } else {
                Ended::Closed
            };
            let progress = job.progress.begun(77);
            match after(&job.options, progress, ended, job.place.due, || 0) {
                Outcome::Again { due, progress, .. } => {
                    assert_eq!(due, job.place.due);
                    job.progress = progress;
                    come_changed(job);
                }
                Outcome::Dead { reason, .. } => {
                    self.bury(seq, reason);
                    match self.jobs.get_mut(&seq) {
                        Some(job) if job.repeat.is_some() => {
                            job.progress.run += 1;
                            go_on(job);
                        }
                        Some(job) if job.follow.is_some() => {
                            job.progress.run += 1;
                            come_changed(job);
                        }
                        _ => drop(self.jobs.remove(&seq)),
                    }
                }
                Outcome::Done => unreachable!("it has not returned"),
            }
        }
    }

    /// What a store says when all pages are read.
    pub fn pending(&self) -> Vec<Job<'static>> {
        let mut jobs: Vec<_> = self.jobs.values().cloned().collect();
        jobs.sort_by_key(|job| job.place);
        jobs
    }

    fn fresh(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// A job that is new.
    fn comes(&mut self, random: &mut Random, due: i64) -> Job<'static> {
        let seq = self.fresh();
        let mut job = match random.below(4) {
            0 => repeat(seq, due),
            _ => job(seq, due),
        };
        job.options.at_most_once = random.below(4) == 0;
        if random.below(5) == 0 {
            job.carried = carried(seq);
        }
        let length = random.below(20) * random.below(60);
        job.data = vec![job.place.seq as u8; length as usize].into();
        job
    }

    /// What becomes of a repeat, pending or begun, beside what becomes of any job.
    fn of_repeat(&mut self, random: &mut Random, seq: u64, due: i64) -> Op<'static> {
        let job = self.jobs[&seq].clone();
        let Some(now) = &job.repeat else {
            return Op::Yield(seq);
        };
        let standing = Standing {
            missed: now.standing.missed + 1,
            paused: random.below(2) == 0,
            time: due,
            spent: false,
            ..now.standing
        };
        if random.below(2) == 0 {
            let (job_due, standing) = (due, Box::new(standing));
            return Op::Stand {
                seq,
                job_due,
                standing,
            };
        }
        let mut edited = self.comes(random, due);
        (edited.id, edited.target) = (job.id.clone(), "edited".into());
        edited.place = job.place;
        edited.repeat = job
            .repeat
            .filter(|_| random.below(4) > 0)
            .map(|mut repeat| {
                (repeat.definition.terms.count, repeat.standing) = (Some(due as u64), standing);
                repeat
            });
        Op::Edit(edited)
    }

    /// A job that runs is changed, and follows.
    fn change_what_runs(&mut self, random: &mut Random, seq: u64, due: i64) -> Op<'static> {
        let job = self.jobs[&seq].clone();
        let mut changed = self.comes(random, due);
        (changed.id, changed.target) = (job.id.clone(), "changed".into());
        (changed.place, changed.repeat) = (job.place, None);
        (changed.follow, changed.job_due) = (Some(due), due);
        Op::Edit(changed)
    }

    /// A batch that an engine could submit now, already applied here.
    pub fn batch(&mut self, random: &mut Random) -> Vec<Op<'static>> {
        let mut batch = Vec::new();
        for _ in 0..=random.below(4) {
            let waiting = self.jobs.keys().filter(|seq| !self.begun.contains(seq));
            let waiting = random.pick(waiting.copied());
            let begun = random.pick(self.begun.iter().copied());
            let any = random.pick(self.jobs.keys().copied());
            let due = random.below(50) as i64;
            // The end of one that comes again is followed, as a rule.
            let next = begun.map(|seq| &self.jobs[&seq]);
            let next = next
                .filter(|job| job.follow.is_some() || (job.repeat.is_some() && random.below(8) > 0))
                .cloned();
            let next = next.map(|job| next_of(&job, place(due, self.fresh())));
            let op = match (random.below(14), waiting, begun) {
                _ if random.below(100) == 0 => Op::Leave,
                (0, Some(seq), _) => Op::Delete(seq),
                (1, Some(seq), _) => Op::Move {
                    seq,
                    to: place(due, self.fresh()),
                    clock: ClockKind::Wall,
                },
                (2..=4, Some(seq), _) => begin(seq),
                (5, _, Some(seq)) => Op::Release(seq),
                (6..=7, _, Some(seq)) => next.map_or(done(seq), |next| followed(seq, next)),
                (8, _, Some(seq)) => {
                    let Progress { attempt, run, .. } = self.jobs[&seq].progress;
                    again(seq, place(due, self.fresh()), attempt + 1, run + 1)
                }
                (9, _, Some(seq)) => match next {
                    Some(next) => bury_followed(seq, Reason::Failed, due, next),
                    None => bury(seq, Reason::Failed, due),
                },
                (12, _, Some(seq))
                    if self.changes_what_runs && self.jobs[&seq].repeat.is_none() =>
                {
                    self.change_what_runs(random, seq, due)
                }
                (10..=11, ..) if any.is_some_and(|seq| self.jobs[&seq].repeat.is_some()) => {
                    self.of_repeat(random, any.unwrap_or(0), due)
                }
                _ => Op::Insert(self.comes(random, due)),
            };
            self.apply(&op);
            batch.push(op);
        }
        batch
    }
}
