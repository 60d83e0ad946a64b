//! How the timer thread sleeps: until a time on either clock, or until it is woken.

/// The earliest dues to sleep for, in nanoseconds of each clock; `None`: nothing on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Until {
    /// On the wall clock, whose steps end the sleep too.
    pub wall: Option<i64>,
    /// On the boot clock.
    pub boot: Option<i64>,
}

pub use imp::Sleeper;

#[cfg(target_os = "linux")]
mod imp {
    use super::Until;
    use crate::sync::Mutex;
    use duewheel_model::time::SECOND;
    use rustix::event::{EventfdFlags, epoll, eventfd};
    use rustix::fd::{AsRawFd, OwnedFd, RawFd};
    use rustix::io;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    /// An epoll over two timerfds and an eventfd.
    ///
    /// Unlike a futex it sees the wall clock stepping and the machine having been suspended.
    #[derive(Debug)]
    pub struct Sleeper {
        /// Whoever uses them keeps them open meanwhile: their numbers are given to others at once.
        open: Mutex<Option<Arc<Descriptors>>>,
        /// Whether the timers of the wall and the boot clock are armed; one thread at a time arms them.
        armed: [AtomicBool; 2],
    }

    #[derive(Debug)]
    struct Descriptors {
        poll: OwnedFd,
        wall: OwnedFd,
        boot: OwnedFd,
        woken: OwnedFd,
    }

    const DISARMED: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };

    fn at(due: Option<i64>) -> Itimerspec {
        let it_value = match due {
            None => DISARMED,
            // Zero would disarm it, and before the epoch means now as well.
            Some(due) if due <= 0 => Timespec {
                tv_sec: 0,
                tv_nsec: 1,
            },
            Some(due) => Timespec {
                tv_sec: due / SECOND,
                tv_nsec: due % SECOND,
            },
        };
        Itimerspec {
            it_interval: DISARMED,
            it_value,
        }
    }

    impl Sleeper {
        /// Open the descriptors.
        ///
        /// # Errors
        ///
        /// When the process has no descriptors left.
        pub fn new() -> std::io::Result<Self> {
            let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
            let open = Descriptors {
                poll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
                wall: timerfd_create(TimerfdClockId::Realtime, flags)?,
                boot: timerfd_create(TimerfdClockId::Boottime, flags)?,
                woken: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            };
            for fd in [&open.wall, &open.boot, &open.woken] {
                // Edge-triggered: arming a timer again resets it, so nothing needs to be read.
                let events = epoll::EventFlags::IN | epoll::EventFlags::ET;
                epoll::add(&open.poll, fd, epoll::EventData::new_u64(0), events)?;
            }
            Ok(Sleeper {
                open: Mutex::new(Some(Arc::new(open))),
                armed: Default::default(),
            })
        }

        fn open(&self) -> Option<Arc<Descriptors>> {
            self.open.lock().clone()
        }

        /// Close the descriptors; from then on a sleep ends at once. One that is under way keeps
        /// them until it is woken.
        pub fn close(&self) {
            let closed = self.open.lock().take();
            drop(closed);
        }

        /// Sleep until a due, a step of the wall clock, or [`wake`](Self::wake).
        pub fn sleep(&self, until: Until) {
            self.arm(until);
            self.take(None);
        }

        /// The descriptor that is readable when a sleep would end, until that is [taken](Self::take).
        pub(crate) fn descriptor(&self) -> Option<RawFd> {
            self.open().map(|open| open.poll.as_raw_fd())
        }

        /// Set what the next sleep, or the descriptor, waits for.
        pub(crate) fn arm(&self, until: Until) {
            let Some(open) = self.open() else { return };
            let wall = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
            // Arming can fail for times past the kernel's range alone; those are never reached.
            // A timer that was off and stays off is left alone: a system call a sleep is saved.
            if until.wall.is_some() || self.armed[0].swap(false, Relaxed) {
                self.armed[0].store(until.wall.is_some(), Relaxed);
                let _ = timerfd_settime(&open.wall, wall, &at(until.wall));
            }
            if until.boot.is_some() || self.armed[1].swap(false, Relaxed) {
                self.armed[1].store(until.boot.is_some(), Relaxed);
                let _ = timerfd_settime(&open.boot, TimerfdTimerFlags::ABSTIME, &at(until.boot));
            }
        }

        /// Take what has ended a sleep; wait for it, unless there is a limit of time.
        pub(crate) fn take(&self, limit: Option<&Timespec>) {
            let Some(open) = self.open() else { return };
            let mut events = [epoll::Event {
                flags: epoll::EventFlags::empty(),
                data: epoll::EventData::new_u64(0),
            }; 3];
            while epoll::wait(&open.poll, &mut events, limit) == Err(io::Errno::INTR) {}
        }

        /// Whether the descriptor is readable.
        #[cfg(test)]
        pub(crate) fn would_end(&self) -> bool {
            use rustix::event::{PollFd, PollFlags, poll};
            let open = self.open().unwrap();
            let mut fds = [PollFd::new(&open.poll, PollFlags::IN)];
            poll(&mut fds, Some(&Timespec::default())) == Ok(1)
        }

        /// Whether the next sleep would end at once; it would not after this.
        #[cfg(test)]
        pub(crate) fn take_woken(&self) -> bool {
            self.open()
                .is_some_and(|open| io::read(&open.woken, &mut [0; 8]).is_ok())
        }

        /// End the present or the next sleep.
        pub fn wake(&self) {
            if let Some(open) = self.open() {
                // It fails only when the counter is full: then it is readable all the same.
                let _ = io::write(&open.woken, &1u64.to_ne_bytes());
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use super::Until;
    use crate::clock::{Clock, SystemClock};
    use crate::sync::{Condvar, Mutex};

    use std::time::{Duration, Instant};

    /// A condition variable. Steps of the wall clock are seen within a second while a job waits
    /// for that clock.
    #[derive(Debug, Default)]
    pub struct Sleeper {
        woken: Mutex<bool>,
        changed: Condvar,
    }

    impl Sleeper {
        /// Make one; never fails here.
        pub fn new() -> std::io::Result<Self> {
            Ok(Self::default())
        }

        /// Sleep until a due, a step of the wall clock, or [`wake`](Self::wake).
        pub fn sleep(&self, until: Until) {
            let clock = SystemClock;
            let left =
                |due: i64, now: i64| Duration::from_nanos(due.saturating_sub(now).max(0) as u64);
            let wall = until
                .wall
                .map(|due| left(due, clock.wall()).min(Duration::from_secs(1)));
            let boot = until.boot.map(|due| left(due, clock.boot()));
            let mut woken = self.woken.lock();
            if !*woken {
                match wall.into_iter().chain(boot).min() {
                    Some(left) => woken = self.changed.wait_until(woken, Instant::now() + left).0,
                    None => woken = self.changed.wait(woken),
                }
            }
            *woken = false;
        }

        /// There are no descriptors here.
        pub fn close(&self) {}

        /// End the present or the next sleep.
        pub fn wake(&self) {
            *self.woken.lock() = true;
            self.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};

    #[test]
    fn a_sleep_ends_at_its_due_and_not_before() {
        let sleeper = Sleeper::new().unwrap();
        let clock = SystemClock;
        let boot = clock.boot() + 3_000_000;
        sleeper.sleep(Until {
            wall: None,
            boot: Some(boot),
        });
        assert!(clock.boot() >= boot);
        let wall = clock.wall() + 3_000_000;
        sleeper.sleep(Until {
            wall: Some(wall),
            boot: Some(clock.boot() + 60_000_000_000),
        });
        assert!(clock.wall() >= wall);
    }

    #[test]
    fn one_that_is_closed_while_it_sleeps_ends_when_it_is_woken() {
        let sleeper = Sleeper::new().unwrap();
        std::thread::scope(|scope| {
            let sleeps = scope.spawn(|| sleeper.sleep(Until::default()));
            // A second sleep of that thread could begin before the closing, and nothing would end it.
            sleeper.wake();
            sleeper.close();
            sleeps.join().unwrap();
        });
        sleeper.sleep(Until::default());
        sleeper.wake();
        sleeper.close();
    }

    #[test]
    fn a_wake_before_the_sleep_ends_it() {
        let sleeper = Sleeper::new().unwrap();
        sleeper.wake();
        sleeper.sleep(Until::default());
    }
}
