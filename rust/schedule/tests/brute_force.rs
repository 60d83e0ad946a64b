//! Cron against a walk over all minutes of local clocks, or seconds, where they change.
//!
//! `DUEWHEEL_EXPRESSIONS` says how many expressions; the full figure is 120000.

mod shared;

use jiff::civil::{self, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::select;
use shared::{SECOND, cron, shown};

const ZONES: [&str; 15] = [
    "Europe/Paris",
    "America/New_York",
    "America/Los_Angeles",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/Havana",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Antarctica/Troll",
];

/// An item of a field: from, to, step, and whether it is written with a star.
#[derive(Clone, Debug)]
struct Item {
    from: i8,
    to: i8,
    step: i8,
    star: bool,
}

impl Item {
    fn text(&self) -> String {
        let step = if self.step > 1 {
            format!("/{}", self.step)
        } else {
            String::new()
        };
        match (self.star, self.from == self.to) {
            (true, _) => format!("*{step}"),
            (false, true) => self.from.to_string(),
            (false, false) => format!("{}-{}{step}", self.from, self.to),
        }
    }

    fn has(&self, value: i8) -> bool {
        (self.from..=self.to).contains(&value) && (value - self.from) % self.step == 0
    }
}

#[derive(Clone, Debug)]
struct Field(Vec<Item>);

impl Field {
    fn text(&self) -> String {
        self.0.iter().map(Item::text).collect::<Vec<_>>().join(",")
    }

    fn has(&self, value: i8) -> bool {
        self.0.iter().any(|item| item.has(value))
    }

    fn is_star(&self) -> bool {
        self.0[0].star
    }
}

fn item(low: i8, high: i8) -> impl Strategy<Value = Item> {
    let step = prop_oneof![3 => Just(1), 2 => 1..=(high - low).min(20)];
    (low..=high, low..=high, step, 0..10).prop_map(move |(one, other, step, kind)| match kind {
        0..3 => Item {
            from: low,
            to: high,
            step,
            star: true,
        },
        3..7 => Item {
            from: one,
            to: one,
            step: 1,
            star: false,
        },
        _ => Item {
            from: one.min(other),
            to: one.max(other),
            step,
            star: false,
        },
    })
}

fn field(low: i8, high: i8) -> impl Strategy<Value = Field> {
    prop::collection::vec(item(low, high), 1..3).prop_map(Field)
}

/// Those in which clocks change.
fn early_hours() -> impl Strategy<Value = Field> {
    field(0, 4).prop_map(|Field(mut items)| {
        items.iter_mut().for_each(|item| item.star = false);
        Field(items)
    })
}

fn mostly_open(low: i8, high: i8) -> impl Strategy<Value = Field> {
    let open = Field(vec![Item {
        from: low,
        to: high,
        step: 1,
        star: true,
    }]);
    prop_oneof![3 => Just(open), 1 => field(low, high)]
}

#[derive(Clone, Debug)]
struct Expression {
    second: Option<Field>,
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
}

fn expression() -> impl Strategy<Value = Expression> {
    let second = prop_oneof![4 => Just(None), 1 => field(0, 59).prop_map(Some)];
    let time = (
        second,
        field(0, 59),
        prop_oneof![field(0, 23), early_hours()],
    );
    let days = (mostly_open(1, 31), mostly_open(1, 12), mostly_open(0, 6));
    (time, days).prop_map(
        |((second, minute, hour), (day, month, weekday))| Expression {
            second,
            minute,
            hour,
            day,
            month,
            weekday,
        },
    )
}

impl Expression {
    fn text(&self) -> String {
        let fields = [
            &self.minute,
            &self.hour,
            &self.day,
            &self.month,
            &self.weekday,
        ];
        let fields = self.second.iter().chain(fields);
        fields.map(Field::text).collect::<Vec<_>>().join(" ")
    }

    fn is_fixed(&self) -> bool {
        let star = self.second.as_ref().is_some_and(Field::is_star);
        !(star || self.minute.is_star() || self.hour.is_star())
    }

    fn has(&self, local: DateTime) -> bool {
        let day = self.day.has(local.day());
        let weekday = self
            .weekday
            .has(local.date().weekday().to_sunday_zero_offset());
        let both = self.day.is_star() || self.weekday.is_star();
        let second = self
            .second
            .as_ref()
            .map_or(local.second() == 0, |field| field.has(local.second()));
        second
            && self.minute.has(local.minute())
            && self.hour.has(local.hour())
            && self.month.has(local.month())
            && if both { day && weekday } else { day || weekday }
    }

    fn step(&self) -> SignedDuration {
        SignedDuration::from_secs(if self.second.is_some() { 1 } else { 60 })
    }

    /// How far the walk goes.
    fn window(&self) -> SignedDuration {
        SignedDuration::from_hours(if self.second.is_some() { 3 } else { 60 })
    }

    /// The times after one and within the window, by the words of the rule.
    fn times(&self, zone: &TimeZone, after: Timestamp) -> Vec<i64> {
        let end = after + self.window();
        let mut times = Vec::new();
        if self.is_fixed() {
            // A day of local time may be missing altogether.
            let mut local = zone.to_datetime(after) - SignedDuration::from_hours(26);
            local = local.with().second(0).subsec_nanosecond(0).build().unwrap();
            let last = zone.to_datetime(end) + SignedDuration::from_hours(26);
            while local < last {
                if self.has(local) {
                    times.push(run_of(zone, local));
                }
                local += self.step();
            }
        } else {
            let second = after.as_second();
            let mut time = Timestamp::from_second(second - second.rem_euclid(60)).unwrap();
            while time <= end {
                if self.has(zone.to_datetime(time)) {
                    times.push(time);
                }
                time += self.step();
            }
        }
        times.sort();
        times.dedup();
        let times = times.iter().filter(|&&time| time > after && time <= end);
        times.map(|time| time.as_second() * SECOND).collect()
    }
}

/// When a local time of a fixed expression is run.
fn run_of(zone: &TimeZone, local: DateTime) -> Timestamp {
    let ambiguous = zone.to_ambiguous_timestamp(local);
    match ambiguous.offset() {
        AmbiguousOffset::Gap { after, .. } => {
            let earlier = after.to_timestamp(local).unwrap();
            zone.following(earlier).next().unwrap().timestamp()
        }
        _ => ambiguous.compatible().unwrap(),
    }
}

/// A moment near a change of clocks, if the zone has one then.
fn moment() -> impl Strategy<Value = (&'static str, Timestamp)> {
    (
        select(&ZONES[..]),
        1960..2100_i16,
        0..365_i64,
        -1_500..300_i64,
        0..60_i64,
    )
        .prop_map(|(name, year, day, minutes, seconds)| {
            let zone = TimeZone::get(name).unwrap();
            let start = civil::date(year, 1, 1).to_datetime(civil::Time::midnight());
            let start =
                TimeZone::UTC.to_timestamp(start).unwrap() + SignedDuration::from_hours(24 * day);
            let mut changes = zone.following(start);
            let near = changes.find(|change| change.timestamp().as_second() % 60 == 0);
            let near = near.map_or(start, |change| change.timestamp());
            (
                name,
                near + SignedDuration::from_secs(minutes * 60 + seconds),
            )
        })
}

fn expressions() -> u32 {
    let given = std::env::var("DUEWHEEL_EXPRESSIONS").ok();
    given.map_or(400, |count| count.parse().expect("a number of expressions"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: expressions(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn times_are_those_of_a_walk_over_local_clocks(one in expression(), (name, after) in moment()) {
        let Ok(schedule) = std::panic::catch_unwind(|| cron(&one.text(), name)) else {
            // It never comes, such as the 31st of February.
            prop_assert!(!one.day.is_star() || !one.weekday.is_star());
            return Ok(());
        };
        let zone = TimeZone::get(name).unwrap();
        let expected = one.times(&zone, after);
        let after = i64::try_from(after.as_nanosecond()).unwrap();
        let mut time = after;
        for &known in expected.iter().take(40) {
            let found = schedule.next(time).unwrap();
            prop_assert_eq!(found.map(shown), Some(shown(known)), "{} after {}", schedule, shown(time));
            prop_assert!(schedule.contains(known).unwrap());
            prop_assert_eq!(schedule.last(time, known), Ok(Some(known)));
            time = known;
        }
        if expected.len() <= 40 {
            let end = after + i64::try_from(one.window().as_nanos()).unwrap();
            prop_assert!(schedule.next(time).unwrap().is_none_or(|next| next > end));
            prop_assert_eq!(schedule.last(after, end), Ok(expected.last().copied()));
        }
    }
}
