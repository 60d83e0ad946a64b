//! One face for the due-queue and its peers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use duewheel_engine::due::queue::{ClockKind, DueQueue, Key, Now};
use hierarchical_hash_wheel_timer::wheels::cancellable::{
    CancellableTimerEntry, QuadWheelWithOverflow,
};
use hierarchical_hash_wheel_timer::wheels::{Skip, TimerEntryWithDelay};
use tokio_util::time::{DelayQueue, delay_queue};

/// As large as what the engine keeps in an entry.
pub type Value = [u64; 4];

/// A set of timers, its clock at 0 when new; all times are nanoseconds since.
pub trait Timers {
    const NAME: &'static str;
    type Handle;
    fn new() -> Self;
    fn insert(&mut self, due: u64, value: Value) -> Self::Handle;
    fn cancel(&mut self, handle: Self::Handle);
    /// Move the clock; expire what is due, in the order and the coarseness that it has.
    fn expire(&mut self, now: u64, out: &mut Vec<Value>);
    fn next_due(&mut self) -> Option<u64>;
    /// Insert what is never to be cancelled.
    fn insert_only(&mut self, due: u64, value: Value) {
        self.insert(due, value);
    }
    /// Run `f` in whatever surroundings the timers need.
    fn within<R>(&mut self, f: impl FnOnce(&mut Self) -> R) -> R {
        f(self)
    }
}

/// Ours.
pub struct Due(DueQueue<Value>);

impl Timers for Due {
    const NAME: &'static str = "duewheel";
    type Handle = Key;

    fn new() -> Self {
        Self(DueQueue::new(Now { wall: 0, boot: 0 }))
    }

    fn insert(&mut self, due: u64, value: Value) -> Key {
        self.0.insert(ClockKind::Boot, due as i64, value)
    }

    fn cancel(&mut self, handle: Key) {
        black_box(self.0.remove(handle));
    }

    fn expire(&mut self, now: u64, out: &mut Vec<Value>) {
        // As the engine does: at most 64 at once, each removed when it has run.
        let now = Now { wall: now as i64, boot: now as i64 };
        let mut keys = Vec::with_capacity(64);
        loop {
            let progress = self.0.expire(now, 64, |key, _| keys.push(key));
            out.extend(keys.drain(..).filter_map(|key| self.0.remove(key)));
            if !progress.more {
                return;
            }
        }
    }

    fn next_due(&mut self) -> Option<u64> {
        self.0.next_due().1.map(|due| due as u64)
    }
}

/// A heap of (due, sequence) beside the values; cancelled ones are skipped when they are popped.
pub struct Heap {
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    values: Vec<Option<(u64, Value)>>,
    free: Vec<u32>,
    sequence: u64,
}

impl Timers for Heap {
    const NAME: &'static str = "BinaryHeap";
    type Handle = (u32, u64);

    fn new() -> Self {
        Self { heap: BinaryHeap::new(), values: Vec::new(), free: Vec::new(), sequence: 0 }
    }

    fn insert(&mut self, due: u64, value: Value) -> (u32, u64) {
        self.sequence += 1;
        let stored = Some((self.sequence, value));
        let index = if let Some(index) = self.free.pop() {
            self.values[index as usize] = stored;
            index
        } else {
            self.values.push(stored);
            self.values.len() as u32 - 1
        };
        self.heap.push(Reverse((due, self.sequence, index)));
        (index, self.sequence)
    }

    fn cancel(&mut self, (index, sequence): (u32, u64)) {
        let slot = &mut self.values[index as usize];
        if slot.is_some_and(|(found, _)| found == sequence) {
            black_box(slot.take());
            self.free.push(index);
        }
    }

    fn expire(&mut self, now: u64, out: &mut Vec<Value>) {
        while let Some(&Reverse((due, sequence, index))) = self.heap.peek()
            && due <= now
        {
            self.heap.pop();
            let slot = &mut self.values[index as usize];
            if let Some((found, value)) = *slot
                && found == sequence
            {
                *slot = None;
                self.free.push(index);
                out.push(value);
            }
        }
    }

    fn next_due(&mut self) -> Option<u64> {
        self.heap.peek().map(|first| first.0.0)
    }
}

/// tokio-util: milliseconds; on a paused clock, which `expire` moves.
pub struct Delay {
    runtime: tokio::runtime::Runtime,
    queue: DelayQueue<Value>,
    start: tokio::time::Instant,
    now: u64,
}

impl Timers for Delay {
    const NAME: &'static str = "DelayQueue";
    type Handle = delay_queue::Key;

    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let (queue, start) =
            runtime.block_on(async { (DelayQueue::new(), tokio::time::Instant::now()) });
        Self { runtime, queue, start, now: 0 }
    }

    fn insert(&mut self, due: u64, value: Value) -> delay_queue::Key {
        self.queue.insert_at(value, self.start + Duration::from_nanos(due))
    }

    fn cancel(&mut self, handle: delay_queue::Key) {
        black_box(self.queue.remove(&handle));
    }

    fn expire(&mut self, now: u64, out: &mut Vec<Value>) {
        let step = Duration::from_nanos(now - self.now);
        self.now = now;
        let queue = &mut self.queue;
        self.runtime.block_on(tokio::task::unconstrained(async {
            tokio::time::advance(step).await;
            std::future::poll_fn(|context| {
                while let std::task::Poll::Ready(Some(expired)) = queue.poll_expired(context) {
                    out.push(expired.into_inner());
                }
                std::task::Poll::Ready(())
            })
            .await;
        }));
    }

    fn next_due(&mut self) -> Option<u64> {
        let key = self.queue.peek()?;
        Some((self.queue.deadline(&key) - self.start).as_nanos() as u64)
    }

    // Inserts ask for the clock of the runtime.
    fn within<R>(&mut self, f: impl FnOnce(&mut Self) -> R) -> R {
        let handle = self.runtime.handle().clone();
        let _entered = handle.enter();
        f(self)
    }
}

/// What the hashed wheel keeps, behind an `Rc`.
#[derive(Debug)]
pub struct Hashed {
    id: u64,
    delay: Duration,
    value: Value,
}

impl TimerEntryWithDelay for Hashed {
    fn delay(&self) -> Duration {
        self.delay
    }
}

impl CancellableTimerEntry for Hashed {
    type Id = u64;

    fn id(&self) -> &u64 {
        &self.id
    }
}

/// `hierarchical_hash_wheel_timer`: milliseconds; found by id in a hash map.
pub struct HashWheel {
    wheel: QuadWheelWithOverflow<Hashed>,
    next: u64,
    ticks: u64,
}

impl Timers for HashWheel {
    const NAME: &'static str = "hash_wheel";
    type Handle = u64;

    fn new() -> Self {
        Self { wheel: QuadWheelWithOverflow::new(), next: 0, ticks: 0 }
    }

    fn insert(&mut self, due: u64, value: Value) -> u64 {
        self.next += 1;
        let delay = Duration::from_nanos(due.saturating_sub(self.ticks * 1_000_000)).max(TICK);
        self.wheel.insert(Hashed { id: self.next, delay, value }).expect("a delay that it takes");
        self.next
    }

    fn cancel(&mut self, handle: u64) {
        let _ = black_box(self.wheel.cancel(&handle));
    }

    fn expire(&mut self, now: u64, out: &mut Vec<Value>) {
        let end = now / 1_000_000;
        while self.ticks < end {
            let left = (end - self.ticks) as u32;
            match self.wheel.can_skip() {
                Skip::Empty => {
                    self.wheel.skip(left);
                    self.ticks = end;
                }
                Skip::Millis(ms) => {
                    self.wheel.skip(ms.min(left));
                    self.ticks += u64::from(ms.min(left));
                }
                Skip::None => {
                    out.extend(self.wheel.tick().into_iter().map(|entry| entry.value));
                    self.ticks += 1;
                }
            }
        }
    }

    fn next_due(&mut self) -> Option<u64> {
        match self.wheel.can_skip() {
            Skip::Empty => None,
            Skip::Millis(ms) => Some((self.ticks + u64::from(ms)) * 1_000_000),
            Skip::None => Some((self.ticks + 1) * 1_000_000),
        }
    }
}

const TICK: Duration = Duration::from_millis(1);

/// nexus-timer: milliseconds by default.
pub struct Nexus {
    wheel: nexus_timer::Wheel<Value>,
    start: Instant,
}

impl Timers for Nexus {
    const NAME: &'static str = "nexus-timer";
    type Handle = nexus_timer::TimerHandle<Value>;

    fn new() -> Self {
        let start = Instant::now();
        Self { wheel: nexus_timer::Wheel::unbounded(4096, start), start }
    }

    fn insert(&mut self, due: u64, value: Value) -> Self::Handle {
        self.wheel.schedule(self.start + Duration::from_nanos(due), value)
    }

    fn insert_only(&mut self, due: u64, value: Value) {
        self.wheel.schedule_forget(self.start + Duration::from_nanos(due), value);
    }

    fn cancel(&mut self, handle: Self::Handle) {
        black_box(self.wheel.cancel(handle));
    }

    fn expire(&mut self, now: u64, out: &mut Vec<Value>) {
        self.wheel.poll_and_rebalance(self.start + Duration::from_nanos(now), out);
    }

    fn next_due(&mut self) -> Option<u64> {
        self.wheel.next_deadline().map(|due| (due - self.start).as_nanos() as u64)
    }
}
