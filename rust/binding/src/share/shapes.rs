//! What is told of statistics and repeats: their texts, and the objects that are made of them again.

use crate::share::wire::Retry;
use crate::values::counters::{COUNTERS, counters, numbers, with_numbers};
use duewheel_engine::engine::Stats;
use duewheel_engine::handover::lateness::Summary;
use duewheel_model::repeat::Standing;
use serde::{Deserialize, Serialize};

/// The numbers of statistics, in the order of their `repr`, and the lateness.
#[derive(Serialize, Deserialize)]
struct StatsShape([u64; COUNTERS], LatenessShape);

/// Count, sum in nanoseconds (as a text: it may be longer than a number of JSON), mean, quantiles, largest, buckets.
#[derive(Serialize, Deserialize)]
struct LatenessShape(u64, String, f64, [f64; 4], u64, Vec<(u64, u64)>);

/// The same of one target, with how many of the dead were discarded and interrupted, and how long it took.
#[derive(Serialize, Deserialize)]
struct TargetShape([u64; COUNTERS], [u64; 2], LatenessShape, LatenessShape);

impl From<&Summary> for LatenessShape {
    fn from(summary: &Summary) -> Self {
        let Summary {
            count,
            sum,
            mean,
            quantiles,
            max,
            buckets,
        } = summary.clone();
        LatenessShape(count, sum.to_string(), mean, quantiles, max, buckets)
    }
}

impl LatenessShape {
    fn summary(self) -> Option<Summary> {
        let LatenessShape(count, sum, mean, quantiles, max, buckets) = self;
        Some(Summary {
            count,
            sum: sum.parse().ok()?,
            mean,
            quantiles,
            max,
            buckets,
        })
    }
}

/// The text of what is counted of one target.
pub(crate) fn target_text(
    counts: [u64; COUNTERS],
    dead: [u64; 2],
    [lateness, runtime]: [&Summary; 2],
) -> String {
    let shape = TargetShape(counts, dead, lateness.into(), runtime.into());
    serde_json::to_string(&shape).unwrap_or_default()
}

/// What such a text says.
pub(crate) fn target_of(text: &str) -> Option<([u64; COUNTERS], [u64; 2], [Summary; 2])> {
    let TargetShape(counts, dead, lateness, runtime) = serde_json::from_str(text).ok()?;
    Some((counts, dead, [lateness.summary()?, runtime.summary()?]))
}

/// The text of statistics.
pub(crate) fn stats_text(stats: &Stats) -> String {
    let counts = counters!(numbers!(stats));
    let lateness = LatenessShape::from(&stats.lateness);
    // Numbers always have one.
    serde_json::to_string(&StatsShape(counts, lateness)).unwrap_or_default()
}

/// The statistics of a text.
pub(crate) fn stats_of(text: &str) -> Option<Stats> {
    let StatsShape(counts, lateness) = serde_json::from_str(text).ok()?;
    let lateness = lateness.summary()?;
    Some(counters!(with_numbers!(counts, Stats { lateness })))
}

/// A repeat, as it stands.
#[derive(Serialize, Deserialize)]
pub(crate) struct RepeatShape {
    pub(crate) id: String,
    pub(crate) target: String,
    pub(crate) job_due: i64,
    /// In base64.
    pub(crate) data: String,
    pub(crate) retry: Retry,
    pub(crate) due: i64,
    pub(crate) definition: String,
    pub(crate) standing: StandingShape,
    pub(crate) runs: bool,
    pub(crate) is_wanted: bool,
    pub(crate) unknown: Option<String>,
}

/// How far a repeat has come.
#[derive(Serialize, Deserialize)]
pub(crate) struct StandingShape {
    time: i64,
    last: i64,
    anchor: i64,
    offset: i64,
    occurrence: u64,
    previous: Option<i64>,
    missed: u64,
    triggered: Option<i64>,
    wanted: Option<i64>,
    fingerprint: u64,
    paused: bool,
    declared: bool,
    spent: bool,
    overdue: bool,
}

macro_rules! same_fields {
    ($from:ident, $to:ident, $($field:ident),*) => {
        impl From<$from> for $to {
            fn from(value: $from) -> Self {
                let $from { $($field),* } = value;
                $to { $($field),* }
            }
        }
        impl From<$to> for $from {
            fn from(value: $to) -> Self {
                let $to { $($field),* } = value;
                $from { $($field),* }
            }
        }
    };
}

same_fields!(
    Standing,
    StandingShape,
    time,
    last,
    anchor,
    offset,
    occurrence,
    previous,
    missed,
    triggered,
    wanted,
    fingerprint,
    paused,
    declared,
    spent,
    overdue
);
