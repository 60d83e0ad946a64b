//! What a store keeps, what Python prints, and what a person reads.

mod shared;

use duewheel_schedule::{Error, Schedule, Zone};
use jiff::civil::date;
use shared::{SECOND, at, cron, every};

fn tokyo_but_holidays() -> Schedule {
    let days = [date(2027, 5, 3), date(2027, 1, 1)];
    let holidays = Schedule::days(&days, Zone::named("Asia/Tokyo").unwrap()).unwrap();
    cron("* 9-17 * * MON-fri", "Asia/Tokyo")
        .difference(holidays)
        .unwrap()
}

/// Each with the text that a store has of it. These stay readable for ever.
fn examples() -> Vec<(Schedule, &'static str)> {
    let zone = Zone::fixed(-(3_600 + 1_800) * SECOND).unwrap();
    let odd = Zone::fixed(19_815 * SECOND + 1_000).unwrap();
    let union = every(SECOND).union(cron("@daily", "UTC")).unwrap();
    vec![
        (every(100_000_000), "every 100000000"),
        (
            Schedule::every(5, Some(-3), false).unwrap(),
            "every 5 anchor -3",
        ),
        (Schedule::every(5, None, true).unwrap(), "every 5 from_end"),
        (
            cron("0,05 9  * * FRI#2,5l", "europe/paris"),
            "cron Europe/Paris 0,5 9 * * fri#2,5L",
        ),
        (
            cron("*/2 0 0 lw,15w * ?", "UTC"),
            "cron UTC */2 0 0 LW,15W * ?",
        ),
        (Schedule::times(vec![7, -1]).unwrap(), "times -1 7"),
        (Schedule::times(vec![]).unwrap(), "times"),
        (
            Schedule::days(&[], odd).unwrap(),
            "days +05:30:15.000001000",
        ),
        (
            Schedule::days(&[date(2027, 1, 1)], zone).unwrap(),
            "days -01:30 2027-01-01",
        ),
        (
            Schedule::rrule(
                "rrule:freq=daily",
                date(2027, 1, 1).at(9, 0, 5, 0),
                Zone::named("Europe/Paris").unwrap(),
            )
            .unwrap(),
            "rrule Europe/Paris 2027-01-01T09:00:05 FREQ=DAILY",
        ),
        (
            tokyo_but_holidays(),
            "(cron Asia/Tokyo * 9-17 * * mon-fri) - (days Asia/Tokyo 2027-01-01 2027-05-03)",
        ),
        (union.clone(), "(every 1000000000) | (cron UTC @daily)"),
        (
            union
                .intersection(tokyo_but_holidays())
                .unwrap()
                .difference(every(7))
                .unwrap(),
            "((every 1000000000) | (cron UTC @daily)) & ((cron Asia/Tokyo * 9-17 * * mon-fri) - \
             (days Asia/Tokyo 2027-01-01 2027-05-03)) - (every 7)",
        ),
    ]
}

#[test]
fn definitions_are_written_and_read() {
    for (schedule, text) in examples() {
        assert_eq!(schedule.definition(), text);
        assert_eq!(Schedule::from_definition(text), Ok(schedule));
    }
}

#[test]
fn a_definition_that_is_none_is_refused() {
    for text in [
        "",
        "every",
        "every x",
        "every 5 anchor",
        "every 5 since 3",
        "every 0",
        "cron UTC",
        "cron UTC 5 * *",
        "times 1 x",
        "days",
        "days UTC 2027-02-30",
        "days +25:00",
        "days +x 2027-01-01",
        "rrule UTC 2027-01-01T09:00:00",
        "rrule UTC x FREQ=DAILY",
        "sundial 5",
        "(every 5",
        "(every 5) ^ (every 6)",
        "(every 5) | every 6",
        "(every 5) |",
        "every 5)",
        "(every 5)x",
        "(days UTC) | (every 5)",
    ] {
        match Schedule::from_definition(text) {
            Err(Error::Invalid(why)) => {
                assert!(why.starts_with(&format!("schedule {text:?}: ")), "{why}")
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn python_reads_what_is_printed() {
    let printed = |schedule: Schedule| schedule.to_string();
    assert_eq!(printed(every(10 * SECOND)), "Every(10)");
    assert_eq!(printed(every(100_000_000)), "Every(0.1)");
    assert_eq!(printed(every(1)), "Every(0.000000001)");
    assert_eq!(
        printed(every(8_000_000_000 * SECOND + 1_000)),
        "Every(datetime.timedelta(microseconds=8000000000000001))"
    );
    assert_eq!(
        printed(every(8_000_000_000 * SECOND + 1)),
        "Every(numpy.timedelta64(8000000000000000001, 'ns'))"
    );
    assert_eq!(
        printed(Schedule::every(5 * SECOND, None, true).unwrap()),
        "Every(5, from_end=True)"
    );
    let anchored = |anchor| printed(Schedule::every(5 * SECOND, Some(anchor), false).unwrap());
    let utc = "tzinfo=datetime.timezone.utc";
    assert_eq!(
        anchored(at("2027-01-02T03:04:00Z")),
        format!("Every(5, anchor=datetime.datetime(2027, 1, 2, 3, 4, {utc}))")
    );
    assert_eq!(
        anchored(at("2027-01-02T03:04:05.000006Z")),
        format!("Every(5, anchor=datetime.datetime(2027, 1, 2, 3, 4, 5, 6, {utc}))")
    );
    assert_eq!(
        anchored(at("2027-01-02T03:04:05.000000007Z")),
        "Every(5, anchor=numpy.datetime64(1798859045000000007, 'ns'))"
    );
    assert_eq!(
        anchored(1798859045700000048),
        "Every(5, anchor=1798859045.7)"
    );
    let odd = Zone::fixed(-(19_815 * SECOND + 1_000)).unwrap();
    let offset =
        "datetime.timezone(datetime.timedelta(days=-1, seconds=66584, microseconds=999999))";
    let days = Schedule::days(&[date(2027, 1, 1)], odd).unwrap();
    assert_eq!(
        printed(days),
        format!("Days([datetime.date(2027, 1, 1)], tz={offset})")
    );
    assert_eq!(printed(Schedule::times(vec![]).unwrap()), "Times([])");
}

#[test]
fn printed_operators_bind_as_pythons_do() {
    let [a, b, c] = [1, 2, 3].map(|period| every(period * SECOND));
    let [or, and, but] = [
        Schedule::union,
        Schedule::intersection,
        Schedule::difference,
    ];
    let (a_and_b, a_but_b, a_or_b) = (
        and(a.clone(), b.clone()).unwrap(),
        but(a.clone(), b.clone()).unwrap(),
        or(a.clone(), b.clone()).unwrap(),
    );
    for (schedule, text) in [
        (
            but(a_and_b.clone(), c.clone()),
            "(Every(1) & Every(2)) - Every(3)",
        ),
        (
            and(a_but_b.clone(), c.clone()),
            "Every(1) - Every(2) & Every(3)",
        ),
        (
            and(a_or_b.clone(), c.clone()),
            "(Every(1) | Every(2)) & Every(3)",
        ),
        (
            or(a_and_b.clone(), c.clone()),
            "Every(1) & Every(2) | Every(3)",
        ),
        (
            or(c.clone(), a_or_b.clone()),
            "Every(3) | Every(1) | Every(2)",
        ),
        (and(c.clone(), a_or_b), "Every(3) & (Every(1) | Every(2))"),
        (but(c.clone(), a_but_b), "Every(3) - (Every(1) - Every(2))"),
        (and(c, a_and_b), "Every(3) & (Every(1) & Every(2))"),
    ] {
        assert_eq!(schedule.unwrap().to_string(), text);
    }
}

#[test]
fn a_description_tells_of_changes_of_clocks() {
    let described =
        |text: &str, zone: &str, after: &str| cron(text, zone).describe(3, at(after)).unwrap();
    assert_eq!(
        described("30 2 * * *", "Europe/Paris", "2027-03-27T00:00:00Z"),
        "Cron('30 2 * * *', tz='Europe/Paris')
  Sat 2027-03-27 02:30 +01:00
  Sun 2027-03-28 03:00 +02:00  (clocks go forward from 02:00 to 03:00: what was between is run now)
  Mon 2027-03-29 02:30 +02:00"
    );
    assert_eq!(
        described("*/30 2 * * *", "Europe/Paris", "2027-03-27T01:30:00Z"),
        "Cron('*/30 2 * * *', tz='Europe/Paris')
    clocks go forward from 02:00 to 03:00
  Mon 2027-03-29 02:00 +02:00
  Mon 2027-03-29 02:30 +02:00
  Tue 2027-03-30 02:00 +02:00"
    );
    assert_eq!(
        described("30 2 * * *", "Europe/Paris", "2027-10-30T12:00:00Z"),
        "Cron('30 2 * * *', tz='Europe/Paris')
  Sun 2027-10-31 02:30 +02:00  (the first 02:30 of that day: clocks go back at 03:00)
    clocks go back from 03:00 to 02:00
  Mon 2027-11-01 02:30 +01:00
  Tue 2027-11-02 02:30 +01:00"
    );
    assert_eq!(
        described("30 * * * *", "Europe/Paris", "2027-10-30T23:45:00Z"),
        "Cron('30 * * * *', tz='Europe/Paris')
  Sun 2027-10-31 02:30 +02:00  (the first 02:30 of that day: clocks go back at 03:00)
    clocks go back from 03:00 to 02:00
  Sun 2027-10-31 02:30 +01:00  (the second 02:30 of that day)
  Sun 2027-10-31 03:30 +01:00"
    );
    let few = Schedule::times(vec![1_500_000_000]).unwrap();
    let text = few.describe(3, 0).unwrap();
    assert_eq!(
        text,
        "Times([1.5])\n  Thu 1970-01-01 00:00:01.5 +00:00\n  no more"
            .replace("Times([1.5])", &few.to_string())
    );
    assert_eq!(
        every(5 * SECOND).describe(1, 0).unwrap(),
        "Every(5)\n  Thu 1970-01-01 00:00:05 +00:00"
    );
}
