//! What is counted and held of each target, for who asks: put together of what the state, the lanes and a store know.

use super::{Engine, Phase, State};
use crate::handover::starts::Starts;
use crate::jobs::record::{Done, Payload, Released};
use crate::tally::Counts;
use duewheel_store::{Answer, Error, Query};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, mpsc};

/// What is counted of one target.
#[derive(Clone, Debug, Default)]
pub struct TargetCounts {
    /// Jobs waiting, parked, or handed over and not started.
    pub pending: u64,
    /// Those of them that are parked.
    pub parked: u64,
    /// Jobs whose handler runs.
    pub running: u64,
    /// Executions started.
    pub started: u64,
    /// What only grows.
    pub counts: Counts,
    /// How late they started, and how long they took.
    pub starts: Starts,
    /// Whether it has a handler.
    pub is_handled: bool,
    present: i64,
}

impl TargetCounts {
    /// What has started of it, and what else was counted.
    fn note(&mut self, starts: Starts, counts: Counts) {
        self.running = starts.started.saturating_sub(starts.ended);
        self.started = starts.started.saturating_sub(counts.unstarted);
        self.starts = starts;
        self.counts = counts;
    }

    /// Count what another has counted, too.
    pub fn add(&mut self, other: &TargetCounts) {
        self.counts.add(&other.counts);
        self.starts.add(&other.starts);
        self.parked += other.parked;
        self.running += other.running;
        self.started += other.started;
        self.present += other.present;
        self.pending = self.present.max(0) as u64;
        self.is_handled |= other.is_handled;
    }

    /// Whether there is nothing to tell of it.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        let held = self.present == 0 && self.parked == 0 && self.running == 0;
        !self.is_handled && held && self.started == 0 && self.counts == Counts::default()
    }
}

/// What is counted of all targets.
#[derive(Debug, Default)]
pub struct CountedTargets {
    /// By number.
    pub numbered: Vec<(u32, TargetCounts)>,
    /// By name, to be [added](TargetCounts::add) to those of the same.
    pub named: Vec<(Box<str>, TargetCounts)>,
    /// Those that were forgotten, together.
    pub forgotten: TargetCounts,
}

impl<P: Payload> Engine<P> {
    /// Whether anything is counted of a target; also where that cannot be told at once.
    pub fn is_counted(&self, target: u32) -> bool {
        let Some(state) = self.state.try_lock() else {
            return true;
        };
        // What has started and is not counted yet speaks of its target itself.
        let tally = &state.tally;
        tally.of(target) != Counts::default() || tally.starts.of(target).is_some()
    }

    /// What is counted of each target; allowed after closing.
    ///
    /// # Errors
    ///
    /// Those of the store, which is asked for what it had at its opening when this is called first.
    pub fn count_targets(
        &self,
        name_of: &dyn Fn(u32) -> Option<Arc<str>>,
        released: &mut Released<P>,
    ) -> Result<CountedTargets, Error> {
        self.count_stored(name_of)?;
        let mut state = self.state.lock();
        state.settle(self, released);
        let here = state.is_shared().then(|| state.count_here());
        let mut found = CountedTargets {
            numbered: Vec::new(),
            named: state.count_named(here.is_none()),
            forgotten: TargetCounts::default(),
        };
        for number in 0..state.last_number() as u32 {
            let here = here.as_ref().map(|here| here.get(&number).copied());
            let target = state.count_target(number, here.map(Option::unwrap_or_default));
            if !target.is_nothing() {
                found.numbered.push((number, target));
            }
        }
        let tally = &state.tally;
        let forgotten = (tally.starts.forgotten().clone(), *tally.forgotten());
        found.forgotten.note(forgotten.0, forgotten.1);
        Ok(found)
    }

    /// Whether it is known that there is no job of a target, in memory or in a store of this process alone; once targets
    /// have been [counted](Self::count_targets) it is known of all.
    pub fn has_none_of(&self, number: Option<u32>, name: &str) -> bool {
        let state = self.state.lock();
        let tally = &state.tally;
        if state.is_shared() || (state.residency.is_some() && !tally.knows_stored()) {
            return false;
        }
        let numbered = number.map_or(0, |number| tally.of(number).present());
        numbered + tally.of_name(name).present() <= 0
    }

    /// Learn how many jobs of each target a store had when it was opened.
    ///
    /// The store answers as of now: what has come and gone since is taken off.
    fn count_stored(&self, name_of: &dyn Fn(u32) -> Option<Arc<str>>) -> Result<(), Error> {
        let mut state = self.state.lock();
        let is_known = state.tally.knows_stored() || state.is_shared();
        let store = state.backing.as_ref().map(|backing| backing.store.clone());
        let Some(store) = store.filter(|_| !is_known && state.phase != Phase::Closed) else {
            return Ok(());
        };
        state.catch_up()?;
        let (send, receive) = mpsc::sync_channel(1);
        // Under the lock, so that nothing changes between what is asked and what is taken off.
        store.ask(
            Query::Targets,
            Box::new(move |answer| _ = send.send(answer)),
        );
        let numbered = state.tally.numbered().enumerate();
        let numbered: Vec<_> = numbered
            .map(|(number, counts)| (number as u32, counts.present()))
            .filter(|(_, present)| *present != 0)
            .collect();
        let named = state.tally.named();
        let mut since: HashMap<Box<str>, i64> = named
            .chain([("", state.tally.forgotten())])
            .map(|(name, counts)| (Box::from(name), counts.present()))
            .collect();
        drop(state);
        let answer = receive.recv().map_err(|_| Error::Closed)??;
        let Answer::Targets(stored) = answer else {
            return Ok(());
        };
        for (number, present) in numbered {
            let name = name_of(number);
            let name = name.map_or_else(Box::default, |name| Box::from(&*name));
            *since.entry(name).or_default() += present;
        }
        for (name, count) in stored {
            *since.entry(name.into()).or_default() -= count as i64;
        }
        self.state.lock().tally.note_stored(since);
        Ok(())
    }
}

impl<P: Payload> State<P> {
    /// How many jobs of each target are in memory, begun or not: in a shared store others come and go.
    fn count_here(&self) -> HashMap<u32, i64> {
        let mut here = HashMap::new();
        let waiting = self.jobs.queue.iter().map(|(_, entry)| entry.value.payload);
        for payload in waiting.chain(self.evicted.payloads()) {
            *here.entry(payload.target()).or_default() += 1;
        }
        here
    }

    /// One past the highest number that anything is counted of.
    fn last_number(&self) -> usize {
        let counted = self.tally.numbered().len().max(self.tally.starts.len());
        counted.max(self.targets.len())
    }

    /// What is counted of a target; `here`: how many of its jobs are in memory, where others come and go.
    fn count_target(&self, number: u32, here: Option<i64>) -> TargetCounts {
        let mut target = TargetCounts::default();
        let starts = self.tally.starts.of(number).cloned().unwrap_or_default();
        target.note(starts, self.tally.of(number));
        let present = here.unwrap_or_else(|| target.counts.present());
        target.present = present - target.running as i64;
        target.pending = target.present.max(0) as u64;
        target.parked = self.targets.parked_of(number);
        target.is_handled = self.targets.lane_of(number).is_some();
        target
    }

    /// What is counted of targets by their names.
    fn count_named(&self, counts_pending: bool) -> Vec<(Box<str>, TargetCounts)> {
        let mut found: BTreeMap<Box<str>, TargetCounts> = BTreeMap::new();
        for (name, counts) in self.tally.named() {
            let present = if counts_pending { counts.present() } else { 0 };
            let target = TargetCounts {
                counts: *counts,
                present,
                pending: present.max(0) as u64,
                ..TargetCounts::default()
            };
            found.insert(name.into(), target);
        }
        let parked = self
            .residency
            .as_ref()
            .map(|residency| residency.left.parked_by_target());
        for (name, parked) in parked.into_iter().flatten() {
            found.entry(name.into()).or_default().parked += parked;
        }
        found.into_iter().collect()
    }

    /// Compare what is counted of each target with what is counted in all, and with what is in memory.
    pub(super) fn check_tally(&self) -> Result<(), String> {
        self.tally.check(self.residency.is_none())?;
        if self.residency.is_some() {
            return Ok(());
        }
        let here = self.count_here();
        for (number, counts) in self.tally.numbered().enumerate() {
            let held = here.get(&(number as u32)).copied().unwrap_or(0);
            if counts.present() != held {
                let present = counts.present();
                return Err(format!(
                    "{held} jobs of target {number} are here, {present} are counted"
                ));
            }
        }
        Ok(())
    }

    /// The end of an execution, unless it is stale: then it is dropped.
    pub(super) fn discard(
        &mut self,
        done: Done<P::Failure>,
        released: &mut Released<P>,
    ) -> Option<Done<P::Failure>> {
        let (target, starts) = (done.target, done.outcome.is_some());
        let kept = self.evicted.discard(done, released);
        if kept.is_none() && !starts {
            self.tally.note(target, |counts| counts.unstarted += 1);
        }
        kept
    }
}
