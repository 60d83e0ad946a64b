//! How one sleeps until what is due next: until a time on either clock, or until one is woken.

/// The earliest dues to sleep for, in nanoseconds of each clock; `None`: nothing on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Until {
    /// On the wall clock, whose steps end the sleep too.
    pub wall: Option<i64>,
    /// On the boot clock.
    pub boot: Option<i64>,
}

/// Who sleeps until what is due next.
///
/// Where both do, the worker is woken, and where no worker does, the timer's thread; rarely both. Whoever
/// wakes up does what is to be done, so it is right whoever that is; the worker is faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// A worker that has nothing else to do.
    Worker,
    /// The timer's thread.
    Timer,
}

impl Seat {
    /// All of them, in the order in which they are woken.
    const ALL: [Seat; 2] = [Seat::Worker, Seat::Timer];
}

pub use imp::Sleeper;

#[cfg(target_os = "linux")]
mod imp {
    use super::{Seat, Until};
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

    /// An epoll over two timerfds and an eventfd, for each seat one.
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
        /// In the order in which they are woken.
        seats: Vec<SeatDescriptors>,
        wall: OwnedFd,
        boot: OwnedFd,
        woken: OwnedFd,
    }

    #[derive(Debug)]
    struct SeatDescriptors {
        poll: OwnedFd,
        /// Wakes this seat and no other.
        called: OwnedFd,
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
        /// One with a seat alone, whose descriptor can be watched.
        ///
        /// # Errors
        ///
        /// When the process has no descriptors left.
        pub(crate) fn new() -> std::io::Result<Self> {
            Self::with_seats(1)
        }

        /// One with every [`Seat`].
        ///
        /// # Errors
        ///
        /// When the process has no descriptors left.
        pub fn shared() -> std::io::Result<Self> {
            Self::with_seats(Seat::ALL.len())
        }

        fn with_seats(count: usize) -> std::io::Result<Self> {
            let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
            let event_fd = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
            let mut open = Descriptors {
                seats: Vec::with_capacity(count),
                wall: timerfd_create(TimerfdClockId::Realtime, flags)?,
                boot: timerfd_create(TimerfdClockId::Boottime, flags)?,
                woken: event_fd()?,
            };
            for _ in 0..count {
                let seat = SeatDescriptors {
                    poll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
                    called: event_fd()?,
                };
                for fd in [&open.wall, &open.boot, &open.woken, &seat.called] {
                    // Edge-triggered: arming a timer again resets it, so nothing needs to be read. Exclusive: what
                    // becomes readable wakes the first seat where somebody sleeps, in this order.
                    let mut events = epoll::EventFlags::IN | epoll::EventFlags::ET;
                    events.set(epoll::EventFlags::EXCLUSIVE, count > 1);
                    epoll::add(&seat.poll, fd, epoll::EventData::new_u64(0), events)?;
                }
                open.seats.push(seat);
            }
            Ok(Sleeper {
                open: Mutex::new(Some(Arc::new(open))),
                armed: Default::default(),
            })
        }

        fn open(&self) -> Option<Arc<Descriptors>> {
            self.open.lock().clone()
        }

        /// Close the descriptors; from then on a sleep ends at once, and so do those that are under way.
        pub fn close(&self) {
            let closed = self.open.lock().take();
            for seat in closed.iter().flat_map(|closed| &closed.seats) {
                write_to(&seat.called);
            }
        }

        /// Whether a worker may sleep here, beside the timer's thread.
        #[allow(clippy::unused_self)] // on other systems there is no seat for it
        pub(crate) fn seats_workers(&self) -> bool {
            true
        }

        /// Sleep until a due for which it was [armed](Self::arm), a step of the wall clock, [`wake`](Self::wake), or
        /// [`call`](Self::call) of this seat.
        ///
        /// What has become readable while nobody slept at a seat is told there at the next sleep as well: it may
        /// end for nothing, and never misses anything.
        pub fn sleep(&self, seat: Seat) {
            self.take(seat as usize, None);
        }

        /// The descriptor that is readable when a sleep would end, until that is [taken](Self::clear).
        pub(crate) fn descriptor(&self) -> Option<RawFd> {
            self.open().map(|open| open.seats[0].poll.as_raw_fd())
        }

        /// Set what sleeps, and the descriptor, wait for.
        pub fn arm(&self, until: Until) {
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

        /// Take what makes the descriptor readable.
        pub(crate) fn clear(&self) {
            self.take(0, Some(&Timespec::default()));
        }

        fn take(&self, seat: usize, limit: Option<&Timespec>) {
            let Some(open) = self.open() else { return };
            let mut events = [epoll::Event {
                flags: epoll::EventFlags::empty(),
                data: epoll::EventData::new_u64(0),
            }; 4];
            let poll = &open.seats[seat].poll;
            while epoll::wait(poll, &mut events, limit) == Err(io::Errno::INTR) {}
        }

        /// Wait until the descriptor is readable, and take what makes it so.
        #[cfg(test)]
        pub(crate) fn await_descriptor(&self) {
            self.take(0, None);
        }

        /// Whether the descriptor is readable.
        #[cfg(test)]
        pub(crate) fn would_end(&self) -> bool {
            use rustix::event::{PollFd, PollFlags, poll};
            let open = self.open().unwrap();
            let mut fds = [PollFd::new(&open.seats[0].poll, PollFlags::IN)];
            poll(&mut fds, Some(&Timespec::default())) == Ok(1)
        }

        /// Whether the next sleep would end at once; it would not after this.
        #[cfg(test)]
        pub(crate) fn take_woken(&self) -> bool {
            self.open()
                .is_some_and(|open| io::read(&open.woken, &mut [0; 8]).is_ok())
        }

        /// End the present or the next sleep, at one seat.
        pub fn wake(&self) {
            if let Some(open) = self.open() {
                write_to(&open.woken);
            }
        }

        /// End the present or the next sleep at this seat.
        pub(crate) fn call(&self, seat: Seat) {
            if let Some(open) = self.open() {
                write_to(&open.seats[seat as usize].called);
            }
        }
    }

    fn write_to(event_fd: &OwnedFd) {
        // It fails only when the counter is full: then it is readable all the same.
        let _ = io::write(event_fd, &1u64.to_ne_bytes());
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use super::{Seat, Until};
    use crate::clock::{Clock, SystemClock};
    use crate::sync::{Condvar, Mutex};

    use std::time::{Duration, Instant};

    /// A condition variable, on which the timer's thread alone sleeps. Steps of the wall clock are seen within a
    /// second while a job waits for that clock.
    #[derive(Debug, Default)]
    pub struct Sleeper {
        state: Mutex<State>,
        changed: Condvar,
    }

    #[derive(Debug, Default)]
    struct State {
        until: Until,
        woken: bool,
        closed: bool,
    }

    impl Sleeper {
        /// Make one; never fails here.
        pub fn shared() -> std::io::Result<Self> {
            Ok(Self::default())
        }

        /// Whether a worker may sleep here, beside the timer's thread.
        pub(crate) fn seats_workers(&self) -> bool {
            false
        }

        /// Set what the next sleep waits for.
        pub fn arm(&self, until: Until) {
            self.state.lock().until = until;
        }

        /// Sleep until a due for which it was [armed](Self::arm), a step of the wall clock, or [`wake`](Self::wake).
        pub fn sleep(&self, _seat: Seat) {
            let clock = SystemClock;
            let left =
                |due: i64, now: i64| Duration::from_nanos(due.saturating_sub(now).max(0) as u64);
            let mut state = self.state.lock();
            let wall = state.until.wall;
            let wall = wall.map(|due| left(due, clock.wall()).min(Duration::from_secs(1)));
            let boot = state.until.boot.map(|due| left(due, clock.boot()));
            if !state.woken && !state.closed {
                match wall.into_iter().chain(boot).min() {
                    Some(left) => state = self.changed.wait_until(state, Instant::now() + left).0,
                    None => state = self.changed.wait(state),
                }
            }
            state.woken = false;
        }

        /// From now on a sleep ends at once, and so does the one that is under way.
        pub fn close(&self) {
            self.state.lock().closed = true;
            self.changed.notify_all();
        }

        /// End the present or the next sleep.
        pub fn wake(&self) {
            self.state.lock().woken = true;
            self.changed.notify_one();
        }

        /// No worker sleeps here.
        pub(crate) fn call(&self, _seat: Seat) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};

    const SEATS: [Seat; 2] = [Seat::Worker, Seat::Timer];

    #[test]
    fn a_sleep_ends_at_its_due_and_not_before() {
        let sleeper = Sleeper::shared().unwrap();
        let clock = SystemClock;
        for seat in SEATS {
            let boot = clock.boot() + 3_000_000;
            sleeper.arm(Until {
                wall: None,
                boot: Some(boot),
            });
            sleeper.sleep(seat);
            // What was told to the other seat is told to this one first.
            while clock.boot() < boot {
                sleeper.sleep(seat);
            }
            let wall = clock.wall() + 3_000_000;
            sleeper.arm(Until {
                wall: Some(wall),
                boot: Some(clock.boot() + 60_000_000_000),
            });
            sleeper.sleep(seat);
            assert!(clock.wall() >= wall);
        }
    }

    #[test]
    fn one_that_is_closed_while_it_sleeps_ends_at_every_seat() {
        let sleeper = Sleeper::shared().unwrap();
        std::thread::scope(|scope| {
            let sleeps = SEATS.map(|seat| {
                scope.spawn({
                    let sleeper = &sleeper;
                    move || sleeper.sleep(seat)
                })
            });
            sleeper.close();
            for sleeping in sleeps {
                sleeping.join().unwrap();
            }
        });
        sleeper.sleep(Seat::Timer);
        sleeper.wake();
        sleeper.close();
    }

    #[test]
    fn a_wake_before_the_sleep_ends_it() {
        let sleeper = Sleeper::shared().unwrap();
        for seat in SEATS {
            sleeper.wake();
            sleeper.sleep(seat);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_for_one_sleeper_wakes_the_worker_if_one_sleeps_and_else_the_timer() {
        use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
        use std::time::Duration;

        let sleeper = Sleeper::shared().unwrap();
        let woken = SEATS.map(|_| AtomicUsize::new(0));
        let counts = || [woken[0].load(SeqCst), woken[1].load(SeqCst)];
        let (sleeper, woken) = (&sleeper, &woken);
        let sleep = |seat| {
            move || {
                sleeper.sleep(seat);
                woken[seat as usize].fetch_add(1, SeqCst);
            }
        };
        let settle = || std::thread::sleep(Duration::from_millis(50));
        std::thread::scope(|scope| {
            let mut timer = scope.spawn(sleep(Seat::Timer));
            for turn in 0..3 {
                let worker = scope.spawn(sleep(Seat::Worker));
                settle();
                sleeper.wake();
                worker.join().unwrap();
                settle();
                assert_eq!(counts(), [turn + 1, turn], "the worker slept");
                sleeper.arm(Until {
                    wall: None,
                    boot: Some(SystemClock.boot() + 1_000_000),
                });
                timer.join().unwrap();
                assert_eq!(counts(), [turn + 1, turn + 1], "no worker slept");
                // Taken back, so that the worker's next sleep is not told of it.
                sleeper.arm(Until::default());
                timer = scope.spawn(sleep(Seat::Timer));
            }
            sleeper.call(Seat::Timer);
            timer.join().unwrap();
        });
    }
}
