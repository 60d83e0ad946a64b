//! A store that many nodes share: which jobs are this node's, and under which sequence.
//!
//! - **A job has another sequence in the store than in the queue**: it comes again under the same one.
//! - A job is in memory while it is claimed for this node, and everything that is claimed has come with a
//!   page. So a page's epoch says of all that it brought whether it is still this node's.
//! - The store says what it takes back before it settles or answers anything that comes after. So an
//!   at-most-once job whose mark is settled may start exactly if it is still held once all revocations
//!   that had come by then are applied.
//! - What runs when it is taken back goes on, and is *stale*: its place is free at once, for the same job may
//!   come again, and its outcome is dropped.

use crate::due::queue::Key;
use crate::jobs::record::{Done, Payload, Released};
use duewheel_model::outcome::Outcome;
use duewheel_store::{Error, Grant, LeaseClock, Limited, Query};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::time::Duration;

/// How many sequences are left at least: more than one call takes.
const SPARE_SEQS: u64 = 1 << 24;

/// What a shared store wants to be known beside the rest.
#[derive(Debug)]
pub(crate) struct Lease {
    /// The sequences that jobs in memory have in the store. Those in the queue are others: a job
    /// comes again under the same one, and other nodes give them too.
    store_seqs: HashMap<Key, u64>,
    /// The sequences that this node has not given, of those that the store has granted.
    granted: Range<u64>,
    /// The newest epoch that was lost.
    lost: u64,
    /// After how long a page is asked for anew: other nodes may have released something.
    interval: i64,
    /// The wall time at which a page is wanted.
    poll: i64,
    /// No page is asked for, for want of room.
    waits_for_room: bool,
    /// A page was taken from the inbox and is not taken in yet.
    is_page_taken: bool,
    /// What of that page was revoked since.
    revoked: HashSet<u64>,
    /// The targets that have handlers here, by name: their numbers, and how many of each all nodes together hold. No others are claimed.
    handled: BTreeMap<Box<str>, (u32, Option<usize>)>,
    /// The targets that are paused on all nodes.
    paused: HashSet<Box<str>>,
    /// Until when what is held may start.
    clock: LeaseClock,
}

impl Lease {
    pub(crate) fn new(grant: Grant) -> Self {
        Lease {
            store_seqs: HashMap::new(),
            granted: grant.seqs,
            lost: 0,
            interval: i64::try_from(grant.poll.as_nanos()).unwrap_or(i64::MAX),
            poll: i64::MIN,
            waits_for_room: false,
            is_page_taken: false,
            revoked: HashSet::new(),
            handled: BTreeMap::new(),
            paused: HashSet::new(),
            clock: grant.lease,
        }
    }

    /// How often others are looked for.
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_nanos(self.interval.max(0) as u64)
    }

    /// Whether this node may start what it holds.
    pub(crate) fn may_start(&self) -> bool {
        self.clock.holds()
    }

    /// Say that a target has a handler here, and how many of it all nodes together hold at most.
    pub(crate) fn set_handled(&mut self, number: u32, target: &str, most: Option<usize>) {
        self.handled.insert(target.into(), (number, most));
        self.poll_now();
    }

    /// Say which targets are paused; the numbers of those that have handlers here: of what is paused now, and of what goes on.
    pub(crate) fn set_paused(&mut self, targets: Vec<String>) -> (HashSet<u32>, HashSet<u32>) {
        let paused = targets.into_iter().map(Into::into).collect();
        let before = std::mem::replace(&mut self.paused, paused);
        let numbers = |names: &HashSet<Box<str>>| {
            let found = names.iter().filter_map(|name| self.handled.get(name));
            found.map(|(number, _)| *number).collect::<HashSet<u32>>()
        };
        let now = numbers(&self.paused);
        let go_on = numbers(&before).difference(&now).copied().collect();
        (now, go_on)
    }

    /// Whether a target is paused, as far as is known here.
    pub(crate) fn is_paused(&self, target: &str) -> bool {
        self.paused.contains(target)
    }

    /// Say that a target has no handler here.
    pub(crate) fn set_unhandled(&mut self, target: &str) {
        self.handled.remove(target);
    }

    /// The targets that have handlers here.
    pub(crate) fn targets(&self) -> Vec<String> {
        let names = self.handled.keys();
        names.map(|target| target.to_string()).collect()
    }

    /// The claim of what is due by then.
    pub(crate) fn claim(&self, now: i64, until: i64, limit: usize) -> Query {
        let (mut targets, mut most) = (Vec::new(), Vec::new());
        for (target, (_, held)) in &self.handled {
            match held {
                None => targets.push(target.to_string()),
                Some(held) => most.push((target.to_string(), *held)),
            }
        }
        Query::Claim {
            targets,
            limited: Limited {
                most,
                // The next look is as far away.
                until: now.saturating_add(self.interval).min(until),
            },
            until,
            limit,
        }
    }

    /// What a job in memory is called in the store.
    pub(crate) fn store_seq(&self, key: Key) -> Option<u64> {
        self.store_seqs.get(&key).copied()
    }

    pub(crate) fn set_store_seq(&mut self, key: Key, seq: u64) {
        self.store_seqs.insert(key, seq);
    }

    pub(crate) fn forget_store_seq(&mut self, key: Key) {
        self.store_seqs.remove(&key);
    }

    /// The jobs in memory that are called so in the store.
    pub(crate) fn keys_of(&self, seqs: impl Fn(u64) -> bool) -> HashSet<Key> {
        let named = self.store_seqs.iter().filter(|(_, seq)| seqs(**seq));
        named.map(|(key, _)| *key).collect()
    }

    /// The sequence that this node gives next.
    pub(crate) fn next_seq(&self) -> u64 {
        self.granted.start
    }

    /// A sequence was given to a job.
    pub(crate) fn reserve_seq(&mut self, seq: u64) {
        self.granted.start = self.granted.start.max(seq + 1);
    }

    /// Why nothing new can be given, if the granted sequences are used up.
    pub(crate) fn refusal(&self) -> Option<Error> {
        let is_used_up = self.granted.end.saturating_sub(self.granted.start) < SPARE_SEQS;
        is_used_up.then(|| {
            let why =
                "this node has used up the sequences that the store has granted it: open it again";
            Error::Io(why.to_owned())
        })
    }

    /// Whether it is time to ask for a page.
    pub(crate) fn is_time(&self, now: i64) -> bool {
        if self.handled.is_empty() {
            return false;
        }
        // Far ahead only if the wall clock was set back.
        now >= self.poll || self.poll.saturating_sub(now) > self.interval
    }

    /// Ask for a page as soon as there is room.
    pub(crate) fn poll_now(&mut self) {
        self.poll = i64::MIN;
    }

    /// When the timer is to ask for a page; it looks for room instead where there is none.
    pub(crate) fn plan_poll(&mut self, is_full: bool) -> Option<i64> {
        self.waits_for_room = is_full;
        (!is_full && !self.handled.is_empty()).then_some(self.poll)
    }

    /// Whether the timer waits for room to ask for a page.
    pub(crate) fn waits_for_room(&self) -> bool {
        self.waits_for_room
    }

    /// A page is on its way.
    pub(crate) fn begin_page(&mut self, now: i64) {
        self.poll = now.saturating_add(self.interval);
    }

    /// A page was taken from the inbox.
    pub(crate) fn take_page(&mut self) {
        self.is_page_taken = true;
    }

    /// Whether a job of a page that was taken is still this node's.
    pub(crate) fn holds(&self, epoch: u64, seq: u64) -> bool {
        epoch > self.lost && !self.revoked.contains(&seq)
    }

    /// A page was taken in; where more is to be had, it is asked for at once.
    pub(crate) fn end_page(&mut self, more: bool) {
        self.is_page_taken = false;
        self.revoked.clear();
        if more {
            self.poll_now();
        }
    }

    /// Note what the store has taken back: everything of an epoch, or single jobs.
    pub(crate) fn revoke(&mut self, lost: Option<u64>, seqs: &HashSet<u64>) {
        self.lost = self.lost.max(lost.unwrap_or(0));
        if self.is_page_taken {
            self.revoked.extend(seqs);
        }
        self.poll_now();
    }
}

/// What was taken back by the store and is not given back to the owner yet.
pub(crate) struct Evicted<P: Payload> {
    /// Stale executions, by the keys that they had.
    started: HashMap<Key, P>,
    released: Released<P>,
}

impl<P: Payload> Default for Evicted<P> {
    fn default() -> Self {
        Evicted {
            started: HashMap::new(),
            released: Released::default(),
        }
    }
}

impl<P: Payload> Evicted<P> {
    /// Evict a job; `runs`: its execution has started, and is stale from now on.
    pub(crate) fn insert(&mut self, key: Key, payload: P, runs: bool) {
        if runs {
            self.started.insert(key, payload);
        } else {
            self.released.payloads.push(payload);
        }
    }

    /// The payloads of executions that are stale and have not ended.
    pub(crate) fn payloads(&self) -> impl Iterator<Item = P> {
        self.started.values().copied()
    }

    /// How many executions are stale and have not ended.
    pub(crate) fn running(&self) -> usize {
        self.started.len()
    }

    pub(crate) fn release(&mut self, released: &mut Released<P>) {
        released.append(&mut self.released);
    }

    /// Keep what a thread without an interpreter has to free, until the next that has one settles.
    pub(crate) fn give_back(&mut self, released: &mut Released<P>) {
        self.released.append(released);
    }

    /// The end of an execution, unless it is stale: then it is dropped.
    pub(crate) fn discard(
        &mut self,
        done: Done<P::Failure>,
        released: &mut Released<P>,
    ) -> Option<Done<P::Failure>> {
        let Some(payload) = self.started.remove(&done.key) else {
            return Some(done);
        };
        released.payloads.push(payload);
        if let Some(Outcome::Dead { failure, .. }) = done.outcome {
            released.failures.push(failure);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::key;

    const SECOND: i64 = duewheel_model::time::SECOND;

    fn lease(seqs: Range<u64>) -> Lease {
        let poll = std::time::Duration::from_secs(1);
        let epoch = 1;
        let lease = LeaseClock::default();
        let mut lease = Lease::new(Grant {
            epoch,
            seqs,
            poll,
            lease,
        });
        lease.set_handled(0, "t", None);
        lease
    }

    #[test]
    fn a_page_that_was_taken_loses_what_is_revoked_until_it_is_taken_in() {
        let mut lease = lease(1..u64::MAX);
        let revoked = HashSet::from([7]);
        lease.revoke(None, &revoked);
        assert!(
            lease.holds(1, 7),
            "the inbox has taken it out of pages that wait"
        );
        lease.take_page();
        lease.revoke(None, &revoked);
        assert!(!lease.holds(1, 7) && lease.holds(1, 8));
        lease.end_page(false);
        assert!(lease.holds(1, 7));
        lease.revoke(Some(1), &HashSet::new());
        assert!(!lease.holds(1, 8) && lease.holds(2, 8));
    }

    #[test]
    fn a_page_is_asked_for_each_interval_and_at_once_where_more_is_to_be_had() {
        let mut lease = lease(1..u64::MAX);
        assert!(lease.is_time(0));
        lease.begin_page(0);
        assert!(!lease.is_time(SECOND - 1) && lease.is_time(SECOND));
        assert!(lease.is_time(-SECOND), "the wall clock was set back");
        assert_eq!(lease.plan_poll(false), Some(SECOND));
        assert_eq!(
            (lease.plan_poll(true), lease.waits_for_room()),
            (None, true)
        );
        lease.end_page(true);
        assert!(lease.is_time(0));
    }

    #[test]
    fn jobs_are_found_by_their_sequence_in_the_store() {
        let mut lease = lease(5..u64::MAX);
        for (index, seq) in [(0, 70), (1, 71), (2, 72)] {
            lease.set_store_seq(key(index), seq);
        }
        lease.forget_store_seq(key(1));
        assert_eq!(lease.keys_of(|seq| seq >= 71), HashSet::from([key(2)]));
        assert_eq!(
            (lease.store_seq(key(0)), lease.store_seq(key(1))),
            (Some(70), None)
        );
        lease.reserve_seq(9);
        lease.reserve_seq(3);
        assert_eq!(lease.next_seq(), 10);
        assert!(lease.refusal().is_none());
        lease.reserve_seq(u64::MAX - SPARE_SEQS);
        assert!(lease.refusal().is_some());
    }
}
