//! What an engine asks, because only the store can know or decide it, and the answers.

use crate::Error;
use duewheel_model::job::{ClockKind, Job, Place};
use duewheel_model::kept::Kept;
use duewheel_model::outcome::Reason;

/// Targets of which all nodes together hold only so many jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limited {
    /// How many at most, by target.
    pub most: Vec<(String, usize)>,
    /// Only what is due before that is claimed of them: what waits for its due would take a place from what is due.
    pub until: i64,
}

/// What only the store can know or decide.
#[derive(Debug)]
pub enum Query {
    /// What is due next: jobs that have not begun, after `after` and due before `until`, at most
    /// `limit`, in order. Of a shared store that is whichever node's, and stays so.
    Page {
        /// Those of this target alone.
        target: Option<String>,
        /// The last place of the page before.
        after: Option<Place>,
        /// A time of the wall clock.
        until: i64,
        /// How many at most.
        limit: usize,
    },
    /// The repeats that have not begun, in the order of their sequences: an engine of a store that is not shared keeps
    /// all of them in memory, and there no other page has any. Of a shared store they come with claims.
    Repeats {
        /// The last sequence of the page before.
        after: Option<u64>,
        /// How many at most.
        limit: usize,
    },
    /// What is due next and no node's, for this node: jobs of these targets that are due before `until`, at most
    /// `limit`, the first by due. A store of one process has nothing to claim, and is not asked.
    Claim {
        /// The targets that have handlers here, but for those that are limited.
        targets: Vec<String>,
        /// The others.
        limited: Limited,
        /// A time of the wall clock.
        until: i64,
        /// How many at most.
        limit: usize,
    },
    /// The job of this id, pending or begun.
    Get(String),
    /// The job of this id, if it has not begun.
    Pending(String),
    /// How many jobs have not begun.
    Count,
    /// How many jobs of each target are stored, begun or not.
    Targets,
    /// The target of the job of this id, pending or begun, and its sequence: also of one that cannot be read as a whole.
    TargetOf(String),
    /// How many jobs of these targets are stored, begun or not; in a shared store without repeats that wait and have no end.
    Unfinished(Vec<String>),
    /// Pause a target, or let it go on: whether that is news. In a store that nodes share it is so for all of them.
    SetPaused {
        /// Its name.
        target: String,
        /// Whether it is paused from now on.
        paused: bool,
    },
    /// The targets that are paused.
    PausedTargets,
    /// Take these in, all or none, unless one of their ids is taken: by a job, or by an outcome that is kept when it is created.
    Insert(Vec<Job<'static>>),
    /// Cancel a job that is not in memory.
    Cancel {
        /// Its id.
        id: String,
        /// When, on the wall clock: how it has ended may be kept.
        at: i64,
    },
    /// How the job of this id has ended, or stands.
    Outcome {
        /// Its id.
        id: String,
        /// Now, on the wall clock: what is kept until then is forgotten.
        now: i64,
    },
    /// Have the node that holds this job give it back to this one, which asked to cancel or to move it. Answered when
    /// that is worth another try: it was given back, or has begun, or is over, or its node was lost. A store of one
    /// process is not asked.
    Recall(String),
    /// Take this job in, or make what has its id this one, in a store that nodes share; who claims it gets it. A store of one
    /// process is not asked: there the engine changes what it holds.
    ///
    /// What has not begun becomes this job in its place. What has begun is followed by it, once that has ended in whatever
    /// way, or at its retry.
    Put {
        /// What is to be there. Its progress is that of a new job.
        job: Box<Job<'static>>,
        /// What has not begun goes to the place of `job`, and begins anew with the run that comes; `false`: its due, attempt
        /// and age stay.
        replaces: bool,
        /// What has the id runs on this node, whatever the store knows by now.
        runs: bool,
    },
    /// Move a job that is not in memory.
    Move {
        /// Its id.
        id: String,
        /// Where to.
        to: Place,
        /// The clock of the new due.
        clock: ClockKind,
    },
    /// The dead, newest first.
    Dead {
        /// Which of them.
        which: WhichDead,
        /// Those older than this [`DeadJob::number`].
        before: Option<u64>,
        /// How many at most.
        limit: usize,
    },
    /// Make the newest dead job of this id pending: attempt 1, a new age, `run` going on. What is kept of a death of this id
    /// is forgotten; the id is taken by another end that is kept at the new due, which is now.
    Revive {
        /// Its id.
        id: String,
        /// Its new place.
        to: Place,
        /// The clock of the new due.
        clock: ClockKind,
    },
    /// Forget the dead, or some of them.
    Purge {
        /// Those that died before this time of the wall clock alone.
        before: Option<i64>,
        /// Those of these ids alone.
        ids: Option<Vec<String>>,
    },
    /// Forget what bounds leave out of the dead, of a store of one process; not those that something is [owed](Query::Owed) of.
    TrimDead {
        /// Those that died before this time of the wall clock.
        before: Option<i64>,
        /// All but so many, the newest.
        most: Option<u64>,
    },
    /// The dead of a target, oldest first, that were buried when the store was opened, when nobody could say what they leave
    /// behind: each until [`Op::Inherited`](crate::Op::Inherited). A store that nodes share is not asked.
    Owed {
        /// The target.
        target: String,
        /// Those newer than this [`DeadJob::number`].
        after: u64,
        /// How many at most.
        limit: usize,
    },
    /// The targets of which there are such dead. A store that nodes share is not asked.
    OwedTargets,
    /// The nodes that share the store and live. A store of one process has none, and is not asked.
    Nodes,
    /// How the job of this id stands, pending or begun, whichever node's. A store of one process is not asked this and what
    /// follows: there the engine has all repeats in memory.
    Repeat(String),
    /// The ids of all repeats, whichever node's, in the order of their dues.
    RepeatIds,
    /// Make a repeat what `to` is, if nothing has changed it since it was found. `None`: it is over.
    ///
    /// One that has not begun is no node's from then on, in the place of `to`. One that has stays in its place with who runs
    /// it; when it ends, it is [spent](duewheel_model::repeat::Standing::spent_with), whatever its end brings as next.
    Amend {
        /// What was found.
        was: Box<StoredRepeat>,
        /// What it is to be.
        to: Option<Box<Job<'static>>>,
    },
    /// This node declares a repeat from now on, and may claim it.
    Declare {
        /// Its id.
        id: String,
        /// What it declares, as a text that others compare with theirs.
        said: String,
    },
}

/// A job as a shared store has it, to be amended if it is a repeat.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRepeat {
    /// The job.
    pub job: Job<'static>,
    /// Of what is stored: another one with each change.
    pub version: u64,
    /// Whether it has begun, on whichever node.
    pub begun: bool,
    /// Whether a node that lives declares it, or none need.
    pub is_wanted: bool,
}

/// How a job has ended, as far as a store knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredOutcome {
    /// This is kept.
    Kept(Box<Kept>),
    /// It is not over; whether how it ends is kept.
    Pending(bool),
    /// There is no such job, and nothing is kept of one.
    Unknown,
}

/// Which of the dead are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WhichDead {
    /// Those of this id alone.
    pub id: Option<String>,
    /// Those of this target alone.
    pub target: Option<String>,
    /// Those that died before this time of the wall clock alone.
    pub died_before: Option<i64>,
}

impl WhichDead {
    /// Whether one is among them as far as its id goes: `is_it` compares.
    #[must_use]
    pub fn has_id(&self, is_it: impl FnOnce(&str) -> bool) -> bool {
        self.id.as_deref().is_none_or(is_it)
    }

    /// Whether one of this target that died then is among them, its id aside.
    #[must_use]
    pub fn has(&self, target: &str, died: i64) -> bool {
        self.target.as_deref().is_none_or(|wanted| wanted == target)
            && self.died_before.is_none_or(|before| died < before)
    }
}

/// The answer to a [`Query`].
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To `Page`, `Claim` and `Repeats`.
    Page(Page),
    /// To `Get` and `Pending`, and to `Revive`: the job as it is pending now.
    Job(Option<Job<'static>>),
    /// To `SetPaused`: whether it is news. To `Cancel`, `Move`, `Amend` and `Put`: whether there was such a job; a repeat that has begun is cancelled, too: it ends with
    /// what runs.
    Changed(bool),
    /// To `Cancel` of a store of one process: it is cancelled, and that is kept.
    Kept,
    /// To `Cancel`, in a store that nodes share: there was such a job, of this target.
    Cancelled(String),
    /// To `Cancel`, `Move` and `Put`: another node holds it, and may not have started it; [`Query::Recall`] asks it.
    Held,
    /// To `Dead` and `Owed`.
    Dead(DeadPage),
    /// To `Purge` and `TrimDead`, how many were forgotten, and to `Count` and `Unfinished`.
    Count(u64),
    /// To `Targets`.
    Targets(Vec<(String, u64)>),
    /// To `TargetOf`.
    TargetOf(Option<(String, u64)>),
    /// To `Insert`, `Declare` and `Recall`: it is done.
    Done,
    /// To `Nodes`.
    Nodes(Vec<LiveNode>),
    /// To `Repeat`.
    Repeat(Option<Box<StoredRepeat>>),
    /// To `Outcome`.
    Outcome(StoredOutcome),
    /// To `RepeatIds`, `PausedTargets` and `OwedTargets`.
    Ids(Vec<String>),
}

impl Answer {
    /// Whether it says that something was changed.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        matches!(
            self,
            Answer::Changed(true) | Answer::Kept | Answer::Cancelled(_)
        )
    }
}

/// A node that shares a store, as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveNode {
    /// What it is called.
    pub name: String,
    /// The machine it runs on.
    pub host: String,
    /// Its process.
    pub pid: i32,
    /// The version of this library that it has.
    pub version: String,
    /// When it began, in nanoseconds since 1970 by the store's clock.
    pub started: i64,
    /// When it last gave a sign of life, likewise.
    pub seen: i64,
    /// How many jobs it held then.
    pub held: i32,
    /// How many of them ran.
    pub running: i32,
}

/// A part of the near future.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The jobs, in the order of their places.
    pub jobs: Vec<Job<'static>>,
    /// Jobs among them that cannot be read: they stay stored, and keep no other waiting.
    pub unreadable: Vec<Unreadable>,
    /// The last place in it, after which the next page goes on.
    pub last: Option<Place>,
    /// Whether more are due before the bound.
    pub more: bool,
    /// The lease that they were claimed under; 0 in a store of one process.
    pub epoch: u64,
}

/// A stored job that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Where it is; of a dead one, `seq` is its number.
    pub place: Place,
    /// Its id, if that can be read.
    pub id: Option<String>,
    /// What is wrong with it.
    pub why: Error,
}

/// A part of the dead.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeadPage {
    /// Those that can be read, newest first.
    pub jobs: Vec<DeadJob>,
    /// Those among them that cannot.
    pub unreadable: Vec<Unreadable>,
    /// The number of the last, before which the next part goes on (of what is owed: after which); `None`: there is no more.
    pub last: Option<u64>,
}

/// A job that ended as dead.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadJob {
    /// Grows with each death.
    pub number: u64,
    /// The job as it was at its last execution.
    pub job: Job<'static>,
    /// Why it is dead.
    pub reason: Reason,
    /// What is kept of its failure.
    pub error: String,
    /// When it died, on the wall clock.
    pub died: i64,
}
