//! The threads that sleep until a batch is settled, each woken by another.
//!
//! A sync settles the batches of many threads. Woken all at once they would fight for the locks
//! that each of them needs next, and sleep again: so they are woken as a chain. Who has synced,
//! or has been woken, wakes the next before it does anything else. The last of the chain calls
//! somebody to sync what has come meanwhile: until then those who arrive only join, since who is
//! awake now will soon have a batch for the same sync.
//!
//! So whenever the lock is free, nobody is left behind:
//! - while somebody sleeps whose batch is settled, somebody is up who will [`pass`](Waiters::pass);
//! - while somebody sleeps whose batch is not, the same, or somebody syncs or is called to.

use std::collections::VecDeque;
use std::thread::{self, Thread, ThreadId};

#[derive(Default)]
pub(crate) struct Waiters {
    asleep: VecDeque<(u64, Thread)>,
    /// The thread that was woken to sync and has not come yet.
    called: Option<ThreadId>,
}

impl Waiters {
    /// This thread waits for a batch; it parks now.
    pub(crate) fn enlist(&mut self, number: u64) {
        self.asleep.push_back((number, thread::current()));
    }

    /// This thread no longer parks. `true`: it was woken, and has to wake the next.
    pub(crate) fn leave(&mut self) -> bool {
        let me = thread::current().id();
        self.called.take_if(|called| *called == me);
        let listed = self.asleep.iter().position(|(_, thread)| thread.id() == me);
        listed.map(|at| self.asleep.remove(at)).is_none()
    }

    /// Whether a chain is under way.
    pub(crate) fn are_passing(&self, settled: u64) -> bool {
        self.asleep.iter().any(|(number, _)| *number <= settled)
    }

    /// Whom to wake next: one whose batch is settled, or else one to sync, if nobody does.
    pub(crate) fn pass(&mut self, settled: u64, syncing: bool) -> Option<Thread> {
        let passed = self
            .asleep
            .iter()
            .position(|(number, _)| *number <= settled);
        if let Some(at) = passed {
            return self.asleep.remove(at).map(|(_, thread)| thread);
        }
        if syncing || self.called.is_some() {
            return None;
        }
        let (_, leader) = self.asleep.pop_front()?;
        self.called = Some(leader.id());
        Some(leader)
    }

    /// Wake all: there will be no more syncs.
    pub(crate) fn wake_all(&mut self) {
        self.called = None;
        for (_, thread) in self.asleep.drain(..) {
            thread.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, RealDisk};
    use crate::journal::file::Journal;
    use crate::journal::group_commit::{Durability, GroupCommit};
    use std::sync::{Arc, Mutex, mpsc};
    use std::time::{Duration, Instant};

    /// A thread that waits for a batch, and says when it is up again, and whether it was woken.
    fn waits(waiters: &Arc<Mutex<Waiters>>, number: u64, up: &mpsc::Sender<(u64, bool)>) -> Thread {
        let (waiters, up) = (waiters.clone(), up.clone());
        let (enlisted, is_enlisted) = mpsc::channel();
        let handle = thread::spawn(move || {
            waiters.lock().unwrap().enlist(number);
            enlisted.send(()).unwrap();
            thread::park();
            let woken = waiters.lock().unwrap().leave();
            up.send((number, woken)).unwrap();
        });
        is_enlisted.recv().unwrap();
        handle.thread().clone()
    }

    #[test]
    fn settled_threads_are_woken_one_by_one_and_then_a_leader() {
        let waiters = Arc::new(Mutex::new(Waiters::default()));
        let (up, is_up) = mpsc::channel();
        for number in [3, 1, 4, 2] {
            waits(&waiters, number, &up);
        }
        let pass = |settled, syncing| {
            let next = waiters.lock().unwrap().pass(settled, syncing)?;
            next.unpark();
            Some(is_up.recv().unwrap())
        };
        assert_eq!(pass(2, false), Some((1, true)));
        assert!(waiters.lock().unwrap().are_passing(2));
        assert_eq!(pass(2, true), Some((2, true)), "beside a sync, too");
        assert!(!waiters.lock().unwrap().are_passing(2));
        assert_eq!(pass(2, true), None, "somebody syncs");
        assert_eq!(pass(2, false), Some((3, true)), "to sync");
        // It has come and gone, so another may be called.
        assert_eq!(pass(2, false), Some((4, true)));
        assert_eq!(pass(2, false), None);
    }

    #[test]
    fn one_leader_is_called_at_a_time() {
        let waiters = Arc::new(Mutex::new(Waiters::default()));
        let (up, is_up) = mpsc::channel();
        waits(&waiters, 5, &up);
        waits(&waiters, 6, &up);
        let leader = waiters.lock().unwrap().pass(4, false).unwrap();
        assert!(waiters.lock().unwrap().pass(4, false).is_none());
        leader.unpark();
        assert_eq!(is_up.recv(), Ok((5, true)));
        let leader = waiters.lock().unwrap().pass(4, false).unwrap();
        leader.unpark();
        assert_eq!(is_up.recv(), Ok((6, true)));
    }

    #[test]
    fn who_gives_up_has_nothing_to_pass_on() {
        let waiters = Arc::new(Mutex::new(Waiters::default()));
        let (up, is_up) = mpsc::channel();
        waits(&waiters, 1, &up).unpark(); // as if its time were over
        assert_eq!(is_up.recv(), Ok((1, false)));
        assert!(waiters.lock().unwrap().pass(9, false).is_none());
        waits(&waiters, 2, &up);
        waits(&waiters, 3, &up);
        waiters.lock().unwrap().wake_all();
        let mut all = [is_up.recv().unwrap(), is_up.recv().unwrap()];
        all.sort_unstable();
        assert_eq!(all, [(2, true), (3, true)]);
    }

    /// Threads commit side by side, half of them in impatient waits, and no thread of a store
    /// comes to help: a waiter who is left behind sleeps for ever once the others have ended.
    #[test]
    fn every_waiter_is_woken_also_among_those_who_give_up() {
        const THREADS: u64 = 12;
        const EACH: u64 = 200;
        let path = std::env::temp_dir().join(format!("duewheel-{}-waiters", std::process::id()));
        let file = RealDisk.open(&path, true).unwrap().unwrap();
        let journal = Journal::begin(&*file, 7, 0, 0).unwrap();
        let log = Arc::new(GroupCommit::new(journal, file, Durability::Commit, 1 << 20));
        let (done, is_done) = mpsc::channel();
        for thread in 0..THREADS {
            let (log, done) = (log.clone(), done.clone());
            thread::spawn(move || {
                for call in 0..EACH {
                    let number = log.append(true, |out| out.push(1)).unwrap();
                    let mut patience = (thread % 2 == 0).then_some(call % 200);
                    loop {
                        let until = patience.map(|us| Instant::now() + Duration::from_micros(us));
                        if log.wait(number, until).unwrap() {
                            break;
                        }
                        patience = patience.filter(|us| us % 3 > 0);
                    }
                }
                done.send(()).unwrap();
            });
        }
        for _ in 0..THREADS {
            let ended = is_done.recv_timeout(Duration::from_secs(30));
            ended.expect("a waiter was left behind");
        }
        assert_eq!(log.wait(THREADS * EACH, Some(Instant::now())), Ok(true));
        std::fs::remove_file(path).unwrap();
    }
}
