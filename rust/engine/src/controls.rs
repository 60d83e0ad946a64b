//! Controls of targets: how many of one run at once, how often one starts, and which comes first.
//!
//! - What of a *limited* target is due and may not start is *held*: in a list of its own, in the order of its
//!   [`Rank`], and in no lane's backlog. So it costs other targets nothing, however much it is.
//! - A target is *open* while the first job that it holds may start. The open targets of a lane stand in the order
//!   of that job's rank, so that what may start of all of them comes in one order.
//! - What is handed over of a limited target has a [`Permit`], which comes back once: when the execution is settled, or
//!   is taken back without a start.
//! - Of what is held over a file the last may be on disk alone: what is in memory starts while it ranks before the first
//!   that may be there.
//! - A rate is decided by starts as they happen: of a rated target one execution at a time waits for its start, and only
//!   then the next may be allowed. So what waits for a worker does not start in a bunch later.

mod on_disk;
mod paged;

use crate::due::queue::Key;
use crate::handover::lanes::{Lane, LaneBacklog, Lanes, Rank};
use crate::jobs::permit::Permit;
pub(crate) use on_disk::Refill;
use on_disk::{OnDisk, list};
use std::collections::BTreeSet;

/// What a handler is registered with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Controls {
    /// How many of the target run at once.
    pub concurrency: Option<usize>,
    /// Whether that is over all nodes that share a store.
    pub is_over_nodes: bool,
    /// How often it starts.
    pub rate: Option<Rate>,
    /// How many nanoseconds earlier than its due it stands in the order of what is due.
    pub priority: i64,
}

impl Controls {
    /// How many of the target all nodes together hold at most.
    pub(crate) fn over_nodes(&self) -> Option<usize> {
        self.concurrency.filter(|_| self.is_over_nodes)
    }

    fn is_limit(&self) -> bool {
        self.concurrency.is_some() || self.rate.is_some()
    }
}

/// A rate, by the generic cell rate algorithm (ITU-T I.371), on the boot clock.
///
/// Each start moves the *theoretical arrival time* of the next one on by an interval; a start is allowed while that lies
/// no further ahead than the tolerance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds between starts in the long run.
    pub interval: i64,
    /// How many nanoseconds earlier than that one may start: the interval, for each start of a burst but the first.
    pub tolerance: i64,
}

impl Rate {
    /// When a start is allowed.
    fn allowed(self, arrival: i64) -> i64 {
        arrival.saturating_sub(self.tolerance)
    }

    /// The next arrival time, after a start.
    fn after_start(self, arrival: i64, now: i64) -> i64 {
        arrival.max(now).saturating_add(self.interval)
    }
}

/// Where the first job that a target holds stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// There is none, or it waits for the end or the start of another.
    Shut,
    /// It may start.
    Open(Rank),
    /// It may start then, on the boot clock.
    Opens(i64),
}

/// One target that is, or was, limited.
#[derive(Debug)]
struct Limited {
    controls: Controls,
    lane: Lane,
    /// How many permits are out.
    permits: usize,
    /// What was handed over and has not started, where there is a rate.
    unstarted: Option<Key>,
    /// The theoretical arrival time of the next start.
    arrival: i64,
    held: LaneBacklog,
    /// What is held on disk alone, if any is.
    on_disk: Option<OnDisk>,
    standing: Standing,
}

impl Limited {
    /// Whether one more may be handed over, and when.
    fn standing_of(&self, rank: Rank, now: i64) -> Standing {
        let is_full = |limit| self.permits >= limit;
        let is_behind = |on_disk: &OnDisk| rank >= on_disk.from;
        if self.controls.concurrency.is_some_and(is_full)
            || self.unstarted.is_some()
            || self.on_disk.as_ref().is_some_and(is_behind)
        {
            return Standing::Shut;
        }
        let allowed = self.controls.rate.map(|rate| rate.allowed(self.arrival));
        match allowed.filter(|&allowed| allowed > now) {
            Some(allowed) => Standing::Opens(allowed),
            None => Standing::Open(rank),
        }
    }

    fn permit(&mut self, number: u32, key: Key) -> Permit {
        self.permits += 1;
        let is_rated = self.controls.rate.is_some();
        self.unstarted = is_rated.then_some(key);
        Permit::of(number, is_rated)
    }
}

/// Why the first job that a target holds does not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// So many of the target run, or are about to.
    Concurrency(usize),
    /// The rate of the target: until then, on the boot clock; or until another of it has started.
    Rate(Option<i64>),
    /// Another job of its target and key.
    Key,
    /// Nothing: its turn comes.
    Nothing,
}

/// Why due jobs are on disk alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftBy {
    /// Their target has no handler.
    NoHandler,
    /// It may start no more of them now.
    Limit(HeldBy),
}

/// The controls of all targets, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct TargetControls {
    /// Those that were ever limited, until they are forgotten: permits may be out.
    limited: Vec<Option<Box<Limited>>>,
    /// The head starts of those that have one, limited or not.
    priorities: Vec<i64>,
    /// How many targets with a handler are controlled.
    active: usize,
    /// How many of them have a head start, by lane.
    prior: Lanes<usize>,
    open: Lanes<BTreeSet<(Rank, u32)>>,
    opening: BTreeSet<(i64, u32)>,
    /// How many jobs are held in memory.
    held: usize,
    /// The targets that hold jobs in memory.
    holding: BTreeSet<u32>,
    /// Those that hold more on disk, and few in memory.
    short: BTreeSet<u32>,
    /// How many stay in memory of each whose jobs are paged out.
    kept: usize,
    /// The target that had a page last.
    refilled: u32,
}

impl TargetControls {
    /// Whether any target with a handler is controlled.
    #[inline]
    pub(crate) fn are_active(&self) -> bool {
        self.active > 0
    }

    /// Whether what is due for a lane comes in another order than that of its due.
    pub(crate) fn are_prior(&self, lane: Lane) -> bool {
        self.prior[lane] > 0
    }

    /// How many jobs are held.
    pub(crate) fn held_count(&self) -> usize {
        self.held
    }

    fn limited(&self, number: u32) -> Option<&Limited> {
        self.limited.get(number as usize)?.as_deref()
    }

    fn limited_mut(&mut self, number: u32) -> Option<&mut Limited> {
        self.limited.get_mut(number as usize)?.as_deref_mut()
    }

    /// What a target is controlled by.
    fn controls(&self, number: u32) -> Controls {
        let limits = self.limited(number).map(|limited| limited.controls);
        Controls {
            priority: self.priority(number),
            ..limits.unwrap_or_default()
        }
    }

    /// The head start of a target.
    pub(crate) fn priority(&self, number: u32) -> i64 {
        self.priorities.get(number as usize).copied().unwrap_or(0)
    }

    /// Whether what is due for a target goes to a list of its own.
    pub(crate) fn is_limited(&self, number: u32) -> bool {
        self.limited(number)
            .is_some_and(|limited| limited.controls.is_limit())
    }

    /// Whether these are other controls than a target has.
    pub(crate) fn differ(&self, number: u32, lane: Option<Lane>, controls: Controls) -> bool {
        let lane_differs = self
            .limited(number)
            .is_some_and(|limited| limited.controls.is_limit() && Some(limited.lane) != lane);
        lane_differs || self.controls(number) != controls
    }

    /// Control a target, whose handler was in the lane `from` and is in `lane` now; nothing of it is held.
    pub(crate) fn set(
        &mut self,
        number: u32,
        (from, lane): (Option<Lane>, Option<Lane>),
        controls: Controls,
    ) {
        let at = number as usize;
        let old = self.controls(number);
        self.active -= usize::from(old != Controls::default());
        self.active += usize::from(controls != Controls::default());
        if let (Some(from), true) = (from, old.priority != 0) {
            self.prior[from] -= 1;
        }
        if let (Some(lane), true) = (lane, controls.priority != 0) {
            self.prior[lane] += 1;
        }
        if old.priority != controls.priority {
            self.priorities.resize(self.priorities.len().max(at + 1), 0);
            self.priorities[at] = controls.priority;
        }
        let limits = Controls {
            priority: 0,
            ..controls
        };
        if let Some(limited) = self.limited_mut(number) {
            limited.controls = limits;
            limited.lane = lane.unwrap_or(limited.lane);
        } else if limits.is_limit()
            && let Some(lane) = lane
        {
            self.limited
                .resize_with(self.limited.len().max(at + 1), || None);
            self.limited[at] = Some(Box::new(Limited {
                controls: limits,
                lane,
                permits: 0,
                unstarted: None,
                arrival: i64::MIN,
                held: LaneBacklog::default(),
                on_disk: None,
                standing: Standing::Shut,
            }));
        }
    }

    /// Forget a target: nothing speaks of it any more.
    pub(crate) fn forget(&mut self, number: u32, lane: Option<Lane>) {
        self.set(number, (lane, None), Controls::default());
        self.holding.remove(&number);
        self.short.remove(&number);
        if let Some(limited) = self.limited.get_mut(number as usize) {
            *limited = None;
        }
    }

    /// A permit for a job that is due, where none of its target is held and one more may be handed over now.
    pub(crate) fn permit_at_once(&mut self, number: u32, key: Key, now: i64) -> Option<Permit> {
        let limited = self.limited_mut(number)?;
        let may = limited.held.is_empty()
            && limited.on_disk.is_none()
            && matches!(limited.standing_of(Rank::FIRST, now), Standing::Open(_));
        may.then(|| limited.permit(number, key))
    }

    /// Hold a job that is due.
    pub(crate) fn hold(&mut self, number: u32, rank: Rank, key: Key) {
        if let Some(limited) = self.limited_mut(number) {
            limited.held.push(rank, key);
            self.held += 1;
        }
    }

    /// Count a job out that was held and has left by another way.
    pub(crate) fn note_left(&mut self, number: u32, waits: impl Fn(Rank, Key) -> bool) {
        if let Some(limited) = self.limited_mut(number) {
            limited.held.note_left(waits);
            self.held -= 1;
        }
    }

    /// Take a permit back; `key` had it.
    pub(crate) fn give_back(&mut self, permit: Permit, key: Key) {
        if let Some(limited) = permit.target().and_then(|number| self.limited_mut(number)) {
            limited.permits -= 1;
            limited.unstarted.take_if(|unstarted| *unstarted == key);
        }
    }

    /// A rated execution starts now.
    pub(crate) fn note_start(&mut self, permit: Permit, key: Key, now: i64) {
        if let Some(limited) = permit.target().and_then(|number| self.limited_mut(number)) {
            limited.unstarted.take_if(|unstarted| *unstarted == key);
            if let Some(rate) = limited.controls.rate {
                limited.arrival = rate.after_start(limited.arrival, now);
            }
        }
    }

    /// See where the first job that a target holds stands by now; when it may start, where that is not yet.
    pub(crate) fn see(
        &mut self,
        number: u32,
        now: i64,
        waits: impl Fn(Rank, Key) -> bool,
    ) -> Option<i64> {
        let limited = self.limited.get_mut(number as usize)?.as_deref_mut()?;
        let first = limited.held.first(waits);
        let is_short = limited.is_short(first.map(|first| first.0), self.kept);
        list(&mut self.holding, number, first.is_some());
        list(&mut self.short, number, is_short);
        let standing = first.map_or(Standing::Shut, |first| limited.standing_of(first.0, now));
        let before = std::mem::replace(&mut limited.standing, standing);
        if standing != before {
            let lane = limited.lane;
            match before {
                Standing::Open(rank) => _ = self.open[lane].remove(&(rank, number)),
                Standing::Opens(at) => _ = self.opening.remove(&(at, number)),
                Standing::Shut => {}
            }
            match standing {
                Standing::Open(rank) => _ = self.open[lane].insert((rank, number)),
                Standing::Opens(at) => _ = self.opening.insert((at, number)),
                Standing::Shut => {}
            }
        }
        match standing {
            Standing::Opens(at) => Some(at),
            _ => None,
        }
    }

    /// A target that opens by this time.
    pub(crate) fn opens_by(&self, now: i64) -> Option<u32> {
        let &(at, number) = self.opening.first()?;
        (at <= now).then_some(number)
    }

    /// The first time at which a target opens.
    pub(crate) fn next_opening(&self) -> Option<i64> {
        self.opening.first().map(|opening| opening.0)
    }

    /// The targets that open at that time, with it.
    pub(crate) fn next_openings(&self) -> Vec<(i64, u32)> {
        let first = self.next_opening();
        let openings = self.opening.iter();
        openings
            .copied()
            .take_while(|opening| Some(opening.0) == first)
            .collect()
    }

    /// Whether a target of a lane is open.
    #[inline]
    pub(crate) fn has_open(&self, lane: Lane) -> bool {
        !self.open[lane].is_empty()
    }

    /// The best rank of a job that may start, and its target.
    pub(crate) fn first_open(&self, lane: Lane) -> Option<(Rank, u32)> {
        self.open[lane].first().copied()
    }

    /// Take the first job that a target holds, and that may start; its target is to be [seen](Self::see).
    pub(crate) fn take(
        &mut self,
        number: u32,
        waits: impl Fn(Rank, Key) -> bool,
    ) -> Option<(Key, Permit)> {
        let limited = self.limited.get_mut(number as usize)?.as_deref_mut()?;
        let key = limited.held.pop(waits)?;
        self.held -= 1;
        Some((key, limited.permit(number, key)))
    }

    /// Take all that is held, by target; each is to be [seen](Self::see).
    pub(crate) fn take_held(&mut self) -> Vec<(u32, LaneBacklog)> {
        self.held = 0;
        let limited = self.limited.iter_mut().enumerate();
        let held = limited.filter_map(|(number, limited)| {
            Some((number as u32, std::mem::take(&mut limited.as_mut()?.held)))
        });
        held.collect()
    }

    /// The first job that a target holds.
    pub(crate) fn first_held(
        &mut self,
        number: u32,
        waits: impl Fn(Rank, Key) -> bool,
    ) -> Option<(Rank, Key)> {
        self.limited_mut(number)?.held.first(waits)
    }

    /// Why a target starts nothing now.
    pub(crate) fn held_by(&self, number: u32, now: i64) -> HeldBy {
        let Some(limited) = self.limited(number) else {
            return HeldBy::Nothing;
        };
        match limited.controls.concurrency {
            Some(limit) if limited.permits >= limit => return HeldBy::Concurrency(limit),
            _ => {}
        }
        if limited.unstarted.is_some() {
            return HeldBy::Rate(None);
        }
        let allowed = limited
            .controls
            .rate
            .map(|rate| rate.allowed(limited.arrival));
        let allowed = allowed.filter(|&allowed| allowed > now);
        allowed.map_or(HeldBy::Nothing, |allowed| HeldBy::Rate(Some(allowed)))
    }

    /// Forget all that is held.
    pub(crate) fn drop_held(&mut self) {
        for limited in self.limited.iter_mut().flatten() {
            limited.held = LaneBacklog::default();
            limited.on_disk = None;
            limited.standing = Standing::Shut;
        }
        self.held = 0;
        self.holding = BTreeSet::new();
        self.short = BTreeSet::new();
        self.open = Lanes::default();
        self.opening = BTreeSet::new();
    }

    /// Report the first broken invariant; so many permits of a target are known to be out, and `unknown` may be of any.
    pub(crate) fn check(&self, known: impl Fn(u32) -> usize, unknown: usize) -> Result<(), String> {
        let counted: usize = (self.limited.iter().flatten())
            .map(|one| one.held.len())
            .sum();
        if counted != self.held {
            return Err(format!("{counted} jobs are held, {} are noted", self.held));
        }
        for (number, limited) in self.limited.iter().enumerate() {
            let Some(limited) = limited else { continue };
            let out = known(number as u32);
            if !(out..=out + unknown).contains(&limited.permits) {
                return Err(format!(
                    "{out} permits of target {number} are out, {} are noted",
                    limited.permits
                ));
            }
            let listed = match limited.standing {
                Standing::Open(rank) => self.open[limited.lane].contains(&(rank, number as u32)),
                Standing::Opens(at) => self.opening.contains(&(at, number as u32)),
                Standing::Shut => true,
            };
            let holds = self.holding.contains(&(number as u32));
            if !listed || holds == limited.held.is_empty() {
                return Err(format!("target {number} is not where it stands"));
            }
        }
        Ok(())
    }
}
