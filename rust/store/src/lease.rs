//! Until when a node of a shared store may start what it holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The end of a node's lease on the clock of this machine that no step moves and that counts suspends: written by the
/// store whenever the lease is renewed, and read by the engine before each start. So a process that was stopped and
/// goes on starts nothing before it knows whether others have its jobs.
#[derive(Clone, Debug)]
pub struct LeaseClock(Arc<AtomicI64>);

impl Default for LeaseClock {
    /// One that never ends.
    fn default() -> Self {
        LeaseClock(Arc::new(AtomicI64::new(i64::MAX)))
    }
}

impl PartialEq for LeaseClock {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for LeaseClock {}

impl LeaseClock {
    /// Whether the lease holds now.
    #[inline]
    pub fn holds(&self) -> bool {
        let end = self.0.load(Ordering::Acquire);
        end == i64::MAX || Self::now() < end
    }

    /// The lease ends so many nanoseconds after `since`, a reading of [`now`](Self::now).
    pub fn renew(&self, since: i64, length: i64) {
        self.0
            .store(since.saturating_add(length), Ordering::Release);
    }

    /// The lease is over.
    pub fn end(&self) {
        self.0.store(i64::MIN, Ordering::Release);
    }

    /// Nanoseconds of that clock.
    #[cfg(target_os = "linux")]
    pub fn now() -> i64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        now.tv_sec * 1_000_000_000 + now.tv_nsec
    }

    /// Nanoseconds of that clock.
    #[cfg(not(target_os = "linux"))]
    pub fn now() -> i64 {
        // The best that the standard library has: it may stand still while the machine sleeps.
        static ORIGIN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        let origin = ORIGIN.get_or_init(std::time::Instant::now);
        origin.elapsed().as_nanos() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_until_its_end_and_again_once_it_is_renewed() {
        let lease = LeaseClock::default();
        assert!(lease.holds());
        lease.end();
        assert!(!lease.clone().holds());
        lease.renew(LeaseClock::now(), 60_000_000_000);
        assert!(lease.clone().holds());
        lease.renew(LeaseClock::now() - 2, 1);
        assert!(!lease.holds());
    }
}
