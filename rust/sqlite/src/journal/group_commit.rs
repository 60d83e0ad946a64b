//! What all threads share: the end of the journal, and who waits for what.
//!
//! A batch is appended by the thread that submits it, with one write to the page cache: from then
//! on it survives the process. Where it has to survive the machine as well, the first thread that
//! waits syncs the journal for all batches that are in it (group commit); those who come while it
//! does wait for the next sync, and are woken one by one. What nobody waits for is synced by a thread of the store shortly
//! after.

use crate::disk::JournalFile;
use crate::journal::file::Journal;
use crate::journal::state::State;
use crate::request::Request;
use duewheel_store::{Error, Settled};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of batches at which they are taken to the tables.
const BATCH: usize = 1 << 20;
/// How long a batch waits for the tables at most: what ends in that time never reaches them.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long a batch that nobody waits for stays unsynced: so long, or twice that.
const UNSYNCED: Duration = Duration::from_millis(2);
/// How often the syncing thread looks for one, before it has to be woken: a wake would make jobs
/// late, whose starts are such batches.
const LOOKS: u32 = 50;

/// When a batch is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When it is on disk: it survives loss of power.
    Commit,
    /// When it is with the operating system: it survives the death of the process.
    Relaxed,
}

pub(crate) struct GroupCommit {
    state: Mutex<State>,
    durability: Durability,
    /// There is room.
    room: Condvar,
    /// There is work for the thread of the tables.
    work: Condvar,
    /// There is something to sync, or to call back.
    unsynced: Condvar,
}

/// Why the thread of the tables woke up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    ToWork,
    ToClose,
    Poisoned,
}

impl GroupCommit {
    pub(crate) fn new(
        journal: Journal,
        file: Box<dyn JournalFile>,
        durability: Durability,
        most_waiting: usize,
    ) -> Self {
        GroupCommit {
            state: Mutex::new(State::new(journal, file, most_waiting)),
            durability,
            room: Condvar::new(),
            work: Condvar::new(),
            unsynced: Condvar::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Give back the journal's file: all that it has is in the tables.
    pub(crate) fn take_file(&self) -> Option<Arc<dyn JournalFile>> {
        self.lock().file.take()
    }

    /// Append one batch; its number.
    #[inline]
    pub(crate) fn append(
        &self,
        inserts: bool,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<u64, Error> {
        let mut state = self.lock();
        if let Some(refusal) = state.refusal() {
            return Err(refusal);
        }
        if inserts && state.is_over_full() {
            return Err(Error::Full); // else memory would fill while the disk is full
        }
        let before = state.journal.pending.len();
        let synced = match self.durability {
            Durability::Commit => state.settled,
            // Settled, and not on disk.
            Durability::Relaxed => 0,
        };
        let number = match state.append(!inserts, synced, encode) {
            Ok(number) => number,
            Err(Error::Full) => return Err(Error::Full),
            // Nothing was written.
            Err(error @ Error::TooLarge(_)) => return Err(error),
            Err(error) => {
                self.poison(&mut state, &error);
                return Err(error);
            }
        };
        let wake_drainer = if before == 0 {
            state.since = Some(Instant::now());
            std::mem::take(&mut state.drainer_sleeps)
        } else {
            before < BATCH && state.journal.pending.len() >= BATCH
        };
        let wake_syncer = match self.durability {
            Durability::Relaxed => {
                state.settled = number;
                false
            }
            Durability::Commit => std::mem::take(&mut state.syncer_sleeps),
        };
        drop(state);
        if wake_drainer {
            self.work.notify_one();
        }
        if wake_syncer {
            self.unsynced.notify_one();
        }
        Ok(number)
    }

    /// Wait until a batch is settled and the backlog is bearable.
    pub(crate) fn wait(&self, number: u64, deadline: Option<Instant>) -> Result<bool, Error> {
        let mut state = self.lock();
        // None was given a later number: nothing would ever settle it.
        let number = number.min(state.journal.number);
        // Whether this thread has been woken, or has synced: then it wakes the next.
        let mut passes = false;
        let result = loop {
            if state.settled >= number {
                break Ok(true);
            }
            if let Some(error) = &state.poison {
                break Err(error.clone());
            }
            if !state.syncing && !state.waiters.are_passing(state.settled) {
                state = self.sync(state);
                passes = true;
                continue;
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break Ok(false);
            }
            state.waiters.enlist(number);
            drop(state);
            match left {
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
            state = self.lock();
            passes |= state.waiters.leave();
        };
        let crowded = state.is_crowded();
        if passes {
            self.pass(state);
        } else {
            drop(state);
        }
        if crowded && result == Ok(true) {
            return Ok(self.wait_for_room(deadline));
        }
        result
    }

    /// Unlock, and wake the next waiter.
    pub(crate) fn pass(&self, mut state: MutexGuard<'_, State>) {
        let (settled, syncing) = (state.settled, state.syncing);
        let next = state.waiters.pass(settled, syncing);
        drop(state);
        if let Some(next) = next {
            next.unpark();
        }
    }

    #[cold]
    fn wait_for_room(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.lock();
        while state.is_crowded() {
            let Some(deadline) = deadline else {
                let waited = self.room.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.room.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Sync all that is in the journal now.
    fn sync<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.syncing = true;
        let upto = state.journal.number;
        let file = state.file.clone();
        drop(state);
        // Without it all is on disk in the tables.
        let synced = file.map_or(Ok(()), |file| file.sync());
        let mut state = self.lock();
        state.syncing = false;
        match synced {
            // Poisoned meanwhile: then this sync may not have seen what failed.
            Ok(()) if state.poison.is_none() => self.settle(&mut state, upto),
            Ok(()) => {}
            Err(error) => self.poison(&mut state, &Error::Io(error.to_string())),
        }
        if state.syncer_waits {
            self.unsynced.notify_one();
        }
        state
    }

    /// All batches up to this one are settled.
    pub(crate) fn settle(&self, state: &mut State, upto: u64) {
        state.settled = state.settled.max(upto);
        if state
            .callbacks
            .iter()
            .any(|(number, _)| *number <= state.settled)
        {
            self.unsynced.notify_one();
        }
    }

    /// Call back when a batch is settled.
    pub(crate) fn when(&self, number: u64, then: Settled) {
        let mut state = self.lock();
        if state.settled >= number {
            drop(state);
            return then(Ok(()));
        }
        if let Some(error) = state.refusal() {
            drop(state);
            return then(Err(error));
        }
        state.callbacks.push((number, then));
        drop(state);
        self.unsynced.notify_one();
    }

    /// Ask the thread of the tables.
    pub(crate) fn ask(&self, request: Request) {
        let mut state = self.lock();
        if let Some(error) = state.refusal() {
            drop(state);
            return request.refuse(error);
        }
        state.requests.push_back(request);
        state.drainer_sleeps = false;
        drop(state);
        self.work.notify_one();
    }

    /// Refuse everything from now on.
    pub(crate) fn poison(&self, state: &mut State, error: &Error) {
        if state.poison.is_none() {
            let error = match error {
                Error::Poisoned(_) => error.clone(),
                other => Error::Poisoned(other.to_string()),
            };
            state.poison = Some(error);
        }
        state.waiters.wake_all();
        self.room.notify_all();
        self.work.notify_all();
        self.unsynced.notify_all();
    }

    pub(crate) fn poisoned(&self) -> Option<Error> {
        self.lock().poison.clone()
    }

    /// Accept nothing more; `false`: that was so already.
    pub(crate) fn close(&self) -> bool {
        let mut state = self.lock();
        let first = !std::mem::replace(&mut state.closing, true);
        self.work.notify_all();
        self.unsynced.notify_all();
        self.room.notify_all();
        first
    }

    /// The tables hold all batches up to this one, durably; to be [passed on](Self::pass).
    pub(crate) fn drained(&self, number: u64) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        state.draining = 0;
        state.disk_full = false;
        self.settle(&mut state, number);
        self.room.notify_all();
        state
    }

    /// For the thread of the tables: sleep until there is work. With `more`, it has something
    /// to go on with; with `retry`, the disk was full and is to be tried again in a while.
    pub(crate) fn await_work(&self, more: bool, retry: bool) -> Woken {
        let mut state = self.lock();
        let retry_at = retry.then(|| Instant::now() + PATIENCE);
        loop {
            if state.poison.is_some() {
                return Woken::Poisoned;
            }
            if state.closing {
                return Woken::ToClose;
            }
            let urgent = !state.requests.is_empty() || state.journal.pending.len() >= BATCH;
            let due = match retry_at {
                Some(at) => Some(at),
                None if more || urgent => return Woken::ToWork,
                None => state.since.map(|since| since + PATIENCE),
            };
            let Some(due) = due else {
                state.drainer_sleeps = true;
                state = self
                    .work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                state.drainer_sleeps = false;
                continue;
            };
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Woken::ToWork;
            }
            state = self
                .work
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Take the batches that wait for the tables, after those that were taken before and are not
    /// there yet; the number of the last. And what is asked: at the same moment, for all batches
    /// that were submitted before a query are to be in the tables when it is answered.
    pub(crate) fn take(&self, into: &mut Vec<u8>, most: usize) -> (u64, Vec<Request>) {
        let mut state = self.lock();
        if into.is_empty() {
            std::mem::swap(&mut state.journal.pending, into);
        } else {
            into.append(&mut state.journal.pending);
        }
        state.draining = into.len();
        state.since = None;
        let asked = most.min(state.requests.len());
        (
            state.journal.number,
            state.requests.drain(..asked).collect(),
        )
    }

    /// The life of the syncing thread: sync what nobody waits for, call back who asked for it.
    pub(crate) fn sync_for_others(&self) {
        let mut state = self.lock();
        let mut looked = LOOKS;
        loop {
            let calls = state.take_called();
            if !calls.is_empty() {
                drop(state);
                for (then, result) in calls {
                    then(result);
                }
                state = self.lock();
                continue;
            }
            if state.poison.is_some() {
                return;
            }
            let dirty = state.settled < state.journal.number;
            if state.closing && !dirty {
                return;
            }
            let hurry = !state.callbacks.is_empty() || state.closing;
            state = if dirty {
                looked = if hurry { looked } else { 0 };
                self.sync_dirty(state, hurry)
            } else if looked < LOOKS {
                looked += 1;
                self.look_later(state)
            } else {
                state.syncer_sleeps = true;
                let mut state = self.sleep(state);
                state.syncer_sleeps = false;
                state
            };
        }
    }

    /// Sync batches that nobody waits for: at once for who is to be called back, or at the end.
    fn sync_dirty<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        hurry: bool,
    ) -> MutexGuard<'a, State> {
        if hurry && state.syncing {
            // Another thread syncs, for this thread too.
            state.syncer_waits = true;
            state = self.sleep(state);
            state.syncer_waits = false;
            return state;
        }
        if !hurry {
            let before = state.settled;
            state = self.look_later(state);
            // Unless nobody has synced for a while, somebody waits.
            if state.settled != before || !state.callbacks.is_empty() || state.syncing {
                return state;
            }
        }
        state = self.sync(state);
        self.pass(state);
        self.lock()
    }

    fn sleep<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let woken = self.unsynced.wait(state);
        woken.unwrap_or_else(PoisonError::into_inner)
    }

    fn look_later<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let woken = self.unsynced.wait_timeout(state, UNSYNCED);
        woken.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, RealDisk};

    #[test]
    fn a_number_that_nobody_was_given_is_settled_with_the_last() {
        let path = std::env::temp_dir().join(format!("duewheel-{}-number", std::process::id()));
        let file = RealDisk.open(&path, true).unwrap().unwrap();
        let journal = Journal::begin(&*file, 7, 3, 0).unwrap();
        let log = GroupCommit::new(journal, file, Durability::Commit, 1 << 20);
        let number = log.append(true, |out| out.push(1)).unwrap();
        assert_eq!(log.wait(number + 5, None), Ok(true));
        assert_eq!(log.lock().settled, number);
        std::fs::remove_file(path).unwrap();
    }
}
