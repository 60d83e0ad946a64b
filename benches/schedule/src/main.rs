//! `next` beside croner and cron: nanoseconds a call, each call from the time that the last one found.
//!
//! `cargo run --release --manifest-path benches/schedule/Cargo.toml`. The figure is the least of many rounds, so that
//! what else the machine does counts little.

use std::hint::black_box;
use std::str::FromStr;
use std::time::Instant;

use chrono::{DateTime, TimeZone, Utc};
use duewheel_schedule::{Schedule, Zone};

/// 2027-01-01T00:00Z.
const START: i64 = 1_798_761_600;
const CALLS: usize = 500;
const ROUNDS: usize = 200;

fn measure(rounds: usize, mut calls: impl FnMut()) -> f64 {
    let one = |_| {
        let begin = Instant::now();
        calls();
        begin.elapsed().as_nanos() as f64 / CALLS as f64
    };
    (0..rounds).map(one).fold(f64::INFINITY, f64::min)
}

fn ours(text: &str, zone: &str) -> f64 {
    let schedule = Schedule::cron(text, Zone::named(zone).unwrap()).unwrap();
    measure(ROUNDS, || {
        let mut time = START * 1_000_000_000;
        for _ in 0..CALLS {
            time = black_box(&schedule)
                .next(time)
                .unwrap()
                .unwrap_or(START * 1_000_000_000);
        }
        black_box(time);
    })
}

fn croner(text: &str, zone: &str) -> f64 {
    let cron = croner::Cron::from_str(text).unwrap();
    let start = jiff::Timestamp::from_second(START)
        .unwrap()
        .in_tz(zone)
        .unwrap();
    measure(ROUNDS / 4, || {
        let mut time = start.clone();
        for _ in 0..CALLS {
            time = black_box(&cron).find_next_occurrence(&time, false).unwrap();
        }
        black_box(time);
    })
}

fn cron(text: &str, zone: &str) -> f64 {
    // It takes seconds first, 1 for Sunday, and no day 0.
    let schedule = cron::Schedule::from_str(&format!("0 {text}")).unwrap();
    let zone: chrono_tz::Tz = zone.parse().unwrap();
    let start: DateTime<chrono_tz::Tz> = Utc.timestamp_opt(START, 0).unwrap().with_timezone(&zone);
    measure(ROUNDS / 4, || {
        let mut time = start;
        for _ in 0..CALLS {
            time = black_box(&schedule).after(&time).next().unwrap_or(start);
        }
        black_box(time);
    })
}

fn main() {
    println!(
        "{:<22}{:<14}{:>9}{:>10}{:>10}  ns a next",
        "expression", "zone", "duewheel", "croner", "cron"
    );
    for (text, zone) in [
        ("30 2 * * mon-fri", "Europe/Paris"),
        ("*/5 * * * *", "Europe/Paris"),
        ("* * * * *", "Europe/Paris"),
        ("0 9 1 * *", "Europe/Paris"),
        ("0 0 29 2 *", "Europe/Paris"),
        ("30 2 * * mon-fri", "UTC"),
    ] {
        let (one, two, three) = (ours(text, zone), croner(text, zone), cron(text, zone));
        println!("{text:<22}{zone:<14}{one:>9.0}{two:>10.0}{three:>10.0}");
    }
    let begin = Instant::now();
    for _ in 0..10_000 {
        black_box(Schedule::cron(black_box("30 2 * * mon-fri"), Zone::utc()).unwrap());
    }
    println!(
        "reading an expression: {:.0} ns",
        begin.elapsed().as_nanos() as f64 / 10_000.0
    );
}
