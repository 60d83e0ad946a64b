//! What a store should hold, in plain maps, and a source of batches that an engine could submit.

use super::jobs::{again, begin, bury, done, job, place};
use crate::{ClockKind, Ending, Job, Op, Progress, Reason};
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

/// What a store should hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// The pending ones and those that run, by sequence.
    pub jobs: BTreeMap<u64, Job<'static>>,
    /// Those that run.
    pub begun: BTreeSet<u64>,
    /// The ids of the dead, and why.
    pub dead: Vec<(String, Reason)>,
    /// The highest sequence that was ever used.
    pub seq: u64,
    /// Whether its process ends in order.
    pub leaves: bool,
}

impl Model {
    /// Make an operation true.
    pub fn apply(&mut self, op: &Op<'_>) {
        match op.clone() {
            Op::Insert(job) => {
                self.jobs.insert(job.place.seq, job.into_owned());
            }
            Op::Delete(seq) => {
                self.jobs.remove(&seq);
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
            Op::Yield(_) => {}
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
                    }),
                    Ending::Dead { reason, .. } => self.bury(seq, reason),
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

    /// It ends as dead.
    pub fn bury(&mut self, seq: u64, reason: Reason) {
        if let Some(job) = self.jobs.remove(&seq) {
            self.dead.push((job.id.into_owned(), reason));
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
                }
                Outcome::Dead { reason, .. } => self.bury(seq, reason),
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

    /// A batch that an engine could submit now, already applied here.
    pub fn batch(&mut self, random: &mut Random) -> Vec<Op<'static>> {
        let mut batch = Vec::new();
        for _ in 0..=random.below(4) {
            let waiting = self.jobs.keys().filter(|seq| !self.begun.contains(seq));
            let waiting = random.pick(waiting.copied());
            let begun = random.pick(self.begun.iter().copied());
            let due = random.below(50) as i64;
            let op = match (random.below(12), waiting, begun) {
                _ if random.below(100) == 0 => Op::Leave,
                (0, Some(seq), _) => Op::Delete(seq),
                (1, Some(seq), _) => Op::Move {
                    seq,
                    to: place(due, self.fresh()),
                    clock: ClockKind::Wall,
                },
                (2..=4, Some(seq), _) => begin(seq),
                (5, _, Some(seq)) => Op::Release(seq),
                (6..=7, _, Some(seq)) => done(seq),
                (8, _, Some(seq)) => {
                    let Progress { attempt, run, .. } = self.jobs[&seq].progress;
                    again(seq, place(due, self.fresh()), attempt + 1, run + 1)
                }
                (9, _, Some(seq)) => bury(seq, Reason::Failed, due),
                _ => {
                    let mut job = job(self.fresh(), due);
                    job.options.at_most_once = random.below(4) == 0;
                    let length = random.below(20) * random.below(60);
                    job.data = vec![job.place.seq as u8; length as usize].into();
                    Op::Insert(job)
                }
            };
            self.apply(&op);
            batch.push(op);
        }
        batch
    }
}
