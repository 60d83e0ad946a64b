//! Combinations, the last time, and days, against walks over all instants of small ranges.

mod shared;

use duewheel_schedule::{Schedule, Zone};
use jiff::civil::date;
use proptest::prelude::*;
use shared::{SECOND, at, cron, every, shown, times};

const HOUR: i64 = 3_600 * SECOND;

#[test]
fn periods_have_a_grid_or_count_from_when_they_are_asked() {
    let grid = Schedule::every(10, Some(3), false).unwrap();
    assert_eq!(
        (grid.next(3), grid.next(-20), grid.next(12)),
        (Ok(Some(13)), Ok(Some(-17)), Ok(Some(13)))
    );
    assert_eq!(
        (grid.last(0, 22), grid.last(13, 22)),
        (Ok(Some(13)), Ok(None))
    );
    assert_eq!(every(10).next(7), Ok(Some(17)));
    let begun = every(10).anchored(3);
    assert_eq!(
        (
            begun.next(-20),
            begun.next(3),
            begun.next(12),
            begun.next(13)
        ),
        (Ok(Some(13)), Ok(Some(13)), Ok(Some(13)), Ok(Some(23)))
    );
    assert_eq!(
        (begun.last(-20, 12), begun.last(-20, 13), begun.last(13, 22)),
        (Ok(None), Ok(Some(13)), Ok(None))
    );
    assert_eq!(grid.anchored(5), grid);
    assert_eq!(
        (grid.next(i64::MAX - 10), grid.next(i64::MAX - 2)),
        (Ok(Some(i64::MAX - 4)), Ok(None))
    );
    let largest = Schedule::every(i64::MAX, Some(i64::MIN), false).unwrap();
    assert_eq!(
        (largest.next(i64::MIN), largest.next(0)),
        (Ok(Some(-1)), Ok(Some(i64::MAX - 1)))
    );
    let interval = every(10).interval().unwrap();
    assert_eq!(
        (interval.period, interval.from_end, grid.interval()),
        (10, false, None)
    );
}

#[test]
fn single_times_are_in_order_and_once() {
    let some = Schedule::times(vec![5, 1, 5, 3]).unwrap();
    assert_eq!(
        (some.next(1), some.next(3), some.next(5)),
        (Ok(Some(3)), Ok(Some(5)), Ok(None))
    );
    assert_eq!(
        (some.last(i64::MIN, 4), some.last(3, 4)),
        (Ok(Some(3)), Ok(None))
    );
    assert!(some.ends() && !every(1).ends());
}

#[test]
fn a_union_has_equal_times_once() {
    let both = cron("0 9,12 * * *", "UTC")
        .union(cron("0 12,18 * * *", "UTC"))
        .unwrap();
    let expected = [
        "2027-01-01T09:00:00Z",
        "2027-01-01T12:00:00Z",
        "2027-01-01T18:00:00Z",
    ];
    assert_eq!(times(&both, "2027-01-01T00:00:00Z", 3), expected);
}

#[test]
fn on_the_right_cron_lasts_a_minute_or_a_second() {
    let after = "2027-01-01T08:59:30Z";
    let often = Schedule::every(20 * SECOND, Some(0), false).unwrap();
    let minute = often
        .clone()
        .intersection(cron("0 9 * * *", "UTC"))
        .unwrap();
    let within = [
        "2027-01-01T09:00:00Z",
        "2027-01-01T09:00:20Z",
        "2027-01-01T09:00:40Z",
        "2027-01-02T09:00:00Z",
    ];
    assert_eq!(times(&minute, after, 4), within);
    let second = often
        .clone()
        .intersection(cron("0 0 9 * * *", "UTC"))
        .unwrap();
    assert_eq!(
        times(&second, after, 2),
        ["2027-01-01T09:00:00Z", "2027-01-02T09:00:00Z"]
    );
    let but = often.difference(cron("0 9 * * *", "UTC")).unwrap();
    assert_eq!(
        times(&but, after, 2),
        ["2027-01-01T08:59:40Z", "2027-01-01T09:01:00Z"]
    );
}

#[test]
fn a_search_through_the_night_is_short() {
    let office = cron("* 9-17 * * mon-fri", "Asia/Tokyo");
    let holiday = Schedule::days(&[date(2027, 1, 4)], Zone::named("Asia/Tokyo").unwrap()).unwrap();
    let often = every(1_000)
        .intersection(office.difference(holiday).unwrap())
        .unwrap();
    // Friday, 1 January 2027, after office hours.
    let found = often.next(at("2027-01-01T10:00:00Z")).unwrap().unwrap();
    assert_eq!(shown(found), "2027-01-05T00:00:00Z");
    assert_eq!(often.zone().unwrap().name(), Some("Asia/Tokyo"));
    let idle = every(1_000)
        .difference(cron("* 9-17 * * *", "UTC"))
        .unwrap();
    let found = idle.next(at("2027-01-01T09:00:00Z")).unwrap().unwrap();
    assert_eq!(shown(found), "2027-01-01T18:00:00Z");
}

#[test]
fn days_are_local_and_as_long_as_they_are() {
    let zone = Zone::named("America/Havana").unwrap(); // clocks go back at 01:00 to 00:00
    let days = Schedule::days(&[date(2027, 11, 7)], zone).unwrap();
    let hourly = Schedule::every(HOUR, Some(0), false)
        .unwrap()
        .intersection(days.clone())
        .unwrap();
    let all = times(&hourly, "2027-11-06T00:00:00Z", 30);
    assert_eq!(
        (all.len(), all[0].as_str(), all[24].as_str()),
        (25, "2027-11-07T04:00:00Z", "2027-11-08T04:00:00Z")
    );
    assert!(days.contains(at("2027-11-07T04:00:00Z")).unwrap());
    assert!(!days.contains(at("2027-11-08T05:00:00Z")).unwrap());
    assert!(hourly.ends());
}

#[test]
fn a_day_whose_midnight_is_skipped_begins_after_the_gap() {
    let zone = Zone::named("America/Santiago").unwrap(); // at 00:00 clocks go forward to 01:00
    let days = Schedule::days(&[date(2025, 9, 7)], zone).unwrap();
    let often = Schedule::every(SECOND, Some(0), false).unwrap();
    let first = often.intersection(days).unwrap();
    assert_eq!(
        times(&first, "2025-09-01T00:00:00Z", 1),
        ["2025-09-07T04:00:00Z"]
    );
}

#[test]
fn zones_of_any_offset() {
    let zone = Zone::fixed(5 * HOUR + 1_800 * SECOND + 250_000).unwrap();
    let noon = Schedule::cron("0 12 * * *", zone.clone()).unwrap();
    let found = noon.next(at("2027-01-01T00:00:00Z")).unwrap().unwrap();
    assert_eq!(shown(found), "2027-01-01T06:29:59.99975Z");
    assert!(noon.contains(found).unwrap() && !noon.contains(found + 1).unwrap());
    assert_eq!(
        zone.offset_at(found),
        Ok(5 * HOUR + 1_800 * SECOND + 250_000)
    );
    let day = Schedule::days(&[date(2027, 1, 2)], zone).unwrap();
    let begin = at("2027-01-01T18:29:59.99975Z");
    let first = Schedule::every(1, Some(0), false)
        .unwrap()
        .intersection(day.clone())
        .unwrap();
    assert_eq!(first.next(0), Ok(Some(begin)));
    assert!(day.contains(begin).unwrap() && !day.contains(begin - 1).unwrap());
    let west = Schedule::cron("0 12 * * *", Zone::fixed(-SECOND / 2).unwrap()).unwrap();
    assert_eq!(west.next(0).unwrap(), Some(12 * HOUR + SECOND / 2));
}

#[test]
fn the_last_time_is_found_without_a_walk() {
    let minutes = cron("* * * * *", "Europe/Paris");
    let until = at("2027-06-01T12:34:56Z");
    assert_eq!(
        minutes.last(0, until).unwrap().map(shown).unwrap(),
        "2027-06-01T12:34:00Z"
    );
    assert_eq!(minutes.last(until - SECOND, until), Ok(None));
    let yearly = cron("@yearly", "UTC");
    assert_eq!(
        yearly.last(0, until).unwrap().map(shown).unwrap(),
        "2027-01-01T00:00:00Z"
    );
    assert_eq!(yearly.last(at("2027-01-01T00:00:00Z"), until), Ok(None));
    let long = cron("@yearly", "UTC").last(i64::MIN, i64::MAX).unwrap();
    assert_eq!(long.map(shown).unwrap(), "2262-01-01T00:00:00Z");
    let office = every(SECOND)
        .intersection(cron("* 9-17 * * *", "UTC"))
        .unwrap();
    let night = at("2027-06-01T23:00:00Z");
    assert_eq!(
        office.last(0, night).unwrap().map(shown).unwrap(),
        "2027-06-01T17:59:59Z"
    );
}

#[test]
fn a_fingerprint_tells_rules_and_not_names() {
    let of = |zone: &str| cron("0 9 * * *", zone).fingerprint().unwrap();
    assert_eq!(of("Europe/Paris"), of("europe/paris"));
    assert_ne!(of("Europe/Paris"), of("Europe/London"));
    assert_eq!(
        of("UTC"),
        cron("5 5 * * *", "Etc/UTC").fingerprint().unwrap()
    );
    assert_eq!(
        every(5).fingerprint(),
        Schedule::times(vec![]).unwrap().fingerprint()
    );
    let berlin = cron("0 9 * * *", "Europe/Berlin")
        .union(cron("0 9 * * *", "UTC"))
        .unwrap();
    assert_ne!(berlin.fingerprint().unwrap(), of("Europe/Berlin"));
}

/// Small schedules around 1970, some of which meet.
fn schedule() -> impl Strategy<Value = Schedule> {
    let grid = (1..9_i64, 0..9_i64);
    let leaf = prop_oneof![
        grid.prop_map(|(period, anchor)| Schedule::every(
            period * 10 * SECOND,
            Some(anchor * 10 * SECOND),
            false
        )),
        prop::collection::vec(0..60_i64, 0..6).prop_map(|times| Schedule::times(
            times.iter().map(|time| time * 10 * SECOND).collect()
        )),
        (0..10_u32, 0..10_u32).prop_map(|(one, other)| Schedule::cron(
            &format!("{one},{other} * * * *"),
            Zone::utc()
        )),
        (1..7_u32, 0..6_u32).prop_map(|(step, second)| {
            Schedule::cron(&format!("{second}0 */{step} * * * *"), Zone::utc())
        }),
    ];
    leaf.prop_map(Result::unwrap)
        .prop_recursive(3, 12, 2, |inner| {
            (inner.clone(), inner, 0..3).prop_map(|(one, other, kind)| {
                match kind {
                    0 => one.union(other),
                    1 => one.intersection(other),
                    _ => one.difference(other),
                }
                .unwrap()
            })
        })
}

/// The definition of a schedule, word by word: whether a time is one of its own, and whether it lies in it.
fn is_in(schedule: &Schedule, time: i64, on_the_right: bool) -> bool {
    let text = schedule.definition();
    if !text.starts_with('(') {
        let lasts = match (
            on_the_right && text.starts_with("cron"),
            text.split(' ').count(),
        ) {
            (false, _) => 1,
            (true, 8) => SECOND,
            (true, _) => 60 * SECOND,
        };
        let tens = (0..lasts).step_by(10 * SECOND as usize);
        return tens
            .into_iter()
            .any(|back| schedule.contains(time - back).unwrap());
    }
    let mut found = None;
    for (operator, part) in parts(&text) {
        let part = Schedule::from_definition(part).unwrap();
        found = Some(match (found, operator) {
            (None, _) => is_in(&part, time, on_the_right),
            (Some(found), '|') => found || is_in(&part, time, on_the_right),
            (Some(found), '&') => found && is_in(&part, time, true),
            (Some(found), _) => found && !is_in(&part, time, true),
        });
    }
    found.unwrap()
}

/// The operands of a combination, each with the operator before it.
fn parts(text: &str) -> Vec<(char, &str)> {
    let (mut depth, mut begin, mut operator, mut found) = (0, 0, ' ', Vec::new());
    for (index, character) in text.char_indices() {
        match character {
            '(' if depth == 0 => (depth, begin) = (1, index + 1),
            '(' => depth += 1,
            ')' if depth == 1 => {
                found.push((operator, &text[begin..index]));
                depth = 0;
            }
            ')' => depth -= 1,
            ' ' => {}
            other if depth == 0 => operator = other,
            _ => {}
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn combinations_are_what_their_words_say(schedule in schedule()) {
        let end = 600 * SECOND;
        let all: Vec<i64> = (0..=end).step_by(10 * SECOND as usize).filter(|&time| is_in(&schedule, time, false)).collect();
        let mut time = -1;
        for &known in &all {
            prop_assert_eq!(schedule.next(time), Ok(Some(known)), "{} after {}", schedule, time);
            prop_assert!(schedule.contains(known).unwrap());
            prop_assert_eq!(schedule.last(time, known + SECOND), Ok(Some(known)));
            time = known;
        }
        prop_assert_eq!(schedule.last(-1, end), Ok(all.last().copied()));
    }

    #[test]
    fn a_definition_is_read_back(schedule in schedule()) {
        let read = Schedule::from_definition(&schedule.definition()).unwrap();
        prop_assert_eq!(&read, &schedule);
        prop_assert_eq!(read.definition(), schedule.definition());
    }
}
