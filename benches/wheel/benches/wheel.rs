//! The due-queue beside its peers: insert, insert again, cancel, expire, hold, next due.
//!
//! All figures are for one element. `WHEEL_10M=1` adds ten million; a filter picks rows, as in
//! `cargo bench -- 'expire/uniform/1M'`; `WHEEL_CPU=1` counts time on a processor.

mod peers;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};

use peers::{Delay, Due, HashWheel, Heap, Nexus, Timers, Value};

const MS: u64 = 1_000_000;
const SPAN: u64 = 60_000 * MS;

/// Delays from 2 ms (the coarsest peer has milliseconds) up to a minute.
#[derive(Clone, Copy)]
enum Delays {
    Uniform,
    /// 30 s each, scheduled a microsecond after another.
    Fixed,
    Equal,
    /// The density falls as one over the delay.
    Zipf,
}

impl Delays {
    const ALL: [(Self, &str); 4] = [
        (Self::Uniform, "uniform"),
        (Self::Fixed, "fixed"),
        (Self::Equal, "equal"),
        (Self::Zipf, "zipf"),
    ];

    fn all(self, count: usize) -> Vec<u64> {
        let mut random = Random(7);
        let one = |n| match self {
            Self::Uniform => 2 * MS + random.next() % (SPAN - 2 * MS),
            Self::Fixed => 30_000 * MS + n as u64 * 1000,
            Self::Equal => 30_000 * MS,
            Self::Zipf => {
                let part = random.next() as f64 / u64::MAX as f64;
                (2e6 * 30_000_f64.powf(part)) as u64
            }
        };
        (0..count).map(one).collect()
    }
}

/// Wall time; with `WHEEL_CPU=1` the time on a processor, as Linux counts it (in ticks of some
/// milliseconds: for large sizes only), where others use the machine as well.
struct Watch(Instant, Option<Duration>);

impl Watch {
    fn start() -> Self {
        Self(Instant::now(), Self::on_processor())
    }

    fn elapsed(&self) -> Duration {
        match (Self::on_processor(), self.1) {
            (Some(now), Some(start)) => now - start,
            _ => self.0.elapsed(),
        }
    }

    fn on_processor() -> Option<Duration> {
        std::env::var_os("WHEEL_CPU")?;
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    }
}

// xorshift64*: the same numbers each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

fn value(n: usize) -> Value {
    [n as u64; 4]
}

fn fill<Q: Timers>(queue: &mut Q, dues: &[u64], from: u64) {
    for (n, due) in dues.iter().enumerate() {
        queue.insert_only(from + due, value(n));
    }
}

fn insert<Q: Timers>(dues: &[u64], again: bool) -> Duration {
    let mut queue = Q::new();
    queue.within(|queue| {
        let mut from = 0;
        if again {
            fill(queue, dues, 0);
            let mut out = Vec::with_capacity(dues.len());
            from = 2 * SPAN;
            queue.expire(from, &mut out);
        }
        let mut handles = Vec::with_capacity(dues.len());
        let start = Watch::start();
        for (n, due) in dues.iter().enumerate() {
            handles.push(queue.insert(from + due, value(n)));
        }
        let took = start.elapsed();
        // A handle of nexus-timer must not be dropped.
        std::mem::forget(handles);
        took
    })
}

fn cancel<Q: Timers>(dues: &[u64]) -> Duration {
    let mut queue = Q::new();
    queue.within(|queue| {
        let insert = |(n, due): (usize, &u64)| queue.insert(*due, value(n));
        let mut handles: Vec<Q::Handle> = dues.iter().enumerate().map(insert).collect();
        let mut random = Random(3);
        for n in (1..handles.len()).rev() {
            handles.swap(n, random.next() as usize % (n + 1));
        }
        let start = Watch::start();
        for handle in handles {
            queue.cancel(handle);
        }
        start.elapsed()
    })
}

fn expire<Q: Timers>(dues: &[u64]) -> Duration {
    let mut queue = Q::new();
    queue.within(|queue| {
        fill(queue, dues, 0);
        let mut out = Vec::with_capacity(dues.len());
        // Written once, so that no page of it is new.
        out.resize(dues.len(), value(1));
        out.clear();
        let start = Watch::start();
        queue.expire(2 * SPAN, &mut out);
        let took = start.elapsed();
        assert_eq!(out.len(), dues.len(), "{}", Q::NAME);
        took
    })
}

/// Move the clock on by as much as 64 of them take, and insert as many as expired; as often as
/// there are elements.
fn hold<Q: Timers>(dues: &[u64]) -> (Duration, usize) {
    let mut queue = Q::new();
    queue.within(|queue| {
        fill(queue, dues, 0);
        let step = (SPAN / 2 * 64 / dues.len() as u64).max(1);
        let mut out = Vec::with_capacity(dues.len());
        let (mut now, mut next, mut done, mut idle) = (0, 0, 0, 0);
        let start = Watch::start();
        while done < dues.len() && idle < 2 * SPAN / step {
            now += step;
            queue.expire(now, &mut out);
            idle = if out.is_empty() { idle + 1 } else { 0 };
            done += out.len();
            for value in out.drain(..) {
                queue.insert_only(now + dues[next], value);
                next = if next + 1 == dues.len() { 0 } else { next + 1 };
            }
        }
        (start.elapsed(), done.max(1))
    })
}

fn next_due<Q: Timers>(dues: &[u64]) -> (Duration, usize) {
    let mut queue = Q::new();
    queue.within(|queue| {
        fill(queue, dues, 0);
        let start = Watch::start();
        for _ in 0..10_000 {
            black_box(black_box(&mut *queue).next_due());
        }
        (start.elapsed(), 10_000)
    })
}

fn rows<Q: Timers>(criterion: &mut Criterion) {
    let mut sizes = vec![(1_000, "1k"), (100_000, "100k"), (1_000_000, "1M")];
    if std::env::var_os("WHEEL_10M").is_some() {
        sizes.push((10_000_000, "10M"));
    }
    for (delays, delays_name) in Delays::ALL {
        for &(count, size) in &sizes {
            let dues = std::cell::OnceCell::new();
            let dues = || dues.get_or_init(|| delays.all(count));
            // A size is repeated until there is something to measure.
            let mut row = |name: &str, run: &dyn Fn(&[u64]) -> (Duration, usize)| {
                let mut group = criterion.benchmark_group(format!("{name}/{delays_name}/{size}"));
                group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(1));
                group.bench_function(BenchmarkId::from_parameter(Q::NAME), |bencher| {
                    bencher.iter_custom(|iterations| {
                        // An iteration is one element: whole runs, scaled.
                        let (mut took, mut done) = (Duration::ZERO, 0);
                        let wanted = (iterations as usize).min(count);
                        while done < wanted {
                            let (time, elements) = run(dues());
                            took += time;
                            done += elements;
                        }
                        took.mul_f64(iterations as f64 / done as f64)
                    });
                });
                group.finish();
            };
            row("insert", &|dues| (insert::<Q>(dues, false), dues.len()));
            row("again", &|dues| (insert::<Q>(dues, true), dues.len()));
            row("cancel", &|dues| (cancel::<Q>(dues), dues.len()));
            row("expire", &|dues| (expire::<Q>(dues), dues.len()));
            row("hold", &|dues| hold::<Q>(dues));
            row("next_due", &|dues| next_due::<Q>(dues));
        }
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(10))
        .measurement_time(Duration::from_millis(50))
        .without_plots()
        .configure_from_args();
    rows::<Due>(&mut criterion);
    rows::<Heap>(&mut criterion);
    rows::<Delay>(&mut criterion);
    rows::<HashWheel>(&mut criterion);
    rows::<Nexus>(&mut criterion);
    criterion.final_summary();
}
