//! What no schedule is made of, and what the error says.

mod shared;

use duewheel_schedule::{Error, Schedule, Zone};
use shared::{SECOND, cron, every};

/// The text of the error for an expression.
#[track_caller]
fn refused(text: &str) -> String {
    match Schedule::cron(text, Zone::utc()) {
        Err(Error::Invalid(why)) => {
            assert!(why.starts_with(&format!("cron {text:?}: ")), "{why}");
            why
        }
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn an_expression_that_is_refused_names_the_cure() {
    for (text, cure) in [
        ("5/15 * * * *", "write 5-59/15"),
        ("* 3/2 * * *", "write 3-23/2"),
        ("* * mon/2 * *", "day of month \"mon/2\""),
        ("* * * feb/2 *", "write feb-12/2"),
        ("* * * * mon/2", "write mon-6/2"),
        ("* * * * fri-mon", "write fri-sat,sun-mon"),
        ("* * * * 5-0", "write 5-6,0"),
        ("* * * * sat-mon", "write sat,sun-mon"),
        ("* * * nov-feb *", "write nov-dec,jan-feb"),
        ("* 22-2 * * *", "write 22-23,0-2"),
        ("@reboot", "in_(0, ...)"),
        ("@every 5m", "Every(300)"),
        (
            "@fortnightly",
            "@yearly @annually @monthly @weekly @daily @midnight @hourly",
        ),
        ("H * * * *", "spread="),
        ("H/15 * * * *", "spread="),
        ("* H(0-7) * * *", "spread="),
        ("0 0 30 2 *", "it never comes"),
        ("0 0 31 4,6,9,11 *", "it never comes"),
        ("0 0 30W 2 *", "it never comes"),
        ("60 * * * *", "minute \"60\": it goes from 0 to 59"),
        ("* 24 * * *", "hour \"24\""),
        ("* * 0 * *", "it goes from 1 to 31"),
        ("* * 32 * *", "day of month \"32\""),
        ("* * * 13 *", "it goes from 1 to 12"),
        ("* * * * 8", "it goes from 0 to 7"),
        ("99 * * * * *", "second \"99\""),
        ("*/0 * * * *", "a step is a whole number from 1 on"),
        ("*/x * * * *", "a step is a whole number from 1 on"),
        ("*/90 * * * *", "Every(5400)"),
        ("* */25 * * *", "Every(90000)"),
        ("* * * */13 *", "at most 12"),
        ("? * * * *", "write *"),
        ("+5 * * * *", "numbers from 0 to 59"),
        ("٥ * * * *", "numbers from 0 to 59"),
        ("5, * * * *", "minute \"\""),
        ("*-5 * * * *", "numbers from 0 to 59"),
        ("* * * * monday", "write mon"),
        ("* * * january *", "write jan"),
        ("* * * * xyz", "names from sun to sat"),
        ("* * L-3 * *", "L alone"),
        ("* * 1-5W * *", "such as 15W"),
        ("* * W * *", "such as 15W"),
        ("* * 32W * *", "it goes from 1 to 31"),
        ("* * * * L", "such as friL"),
        ("* * * * fri#6", "1 to 5"),
        ("* * * * fri#", "1 to 5"),
        ("* * * * #1", "names from sun to sat"),
        ("* * * * 9L", "it goes from 0 to 7"),
        ("* * * L *", "numbers from 1 to 12"),
        ("* * * *", "it has 4 fields"),
        ("", "it has 0 fields"),
        ("* * * * * * *", "start= and end="),
    ] {
        let why = refused(text);
        assert!(why.contains(cure), "{text}: {why}");
    }
}

#[test]
fn a_cure_of_a_range_is_an_expression() {
    for text in [
        "* * * * fri-sat,sun-mon",
        "* * * * 5-6,0",
        "* * * * mon-6/2",
        "* * * feb-12/2 *",
    ] {
        assert!(Schedule::cron(text, Zone::utc()).is_ok(), "{text}");
    }
}

#[test]
fn periods_and_zones() {
    for period in [0, -1, i64::MIN] {
        assert!(matches!(
            Schedule::every(period, None, false),
            Err(Error::Invalid(_))
        ));
    }
    assert!(matches!(
        Schedule::every(1, Some(0), true),
        Err(Error::Invalid(_))
    ));
    for name in [
        "Mars/Olympus",
        "",
        "Europe/",
        "../etc/passwd",
        "Etc/Unknown",
    ] {
        assert_eq!(Zone::named(name), Err(Error::UnknownZone(name.into())));
    }
    let day = 86_400_000_000_000;
    for offset in [day, -day, i64::MIN, i64::MAX] {
        assert!(matches!(Zone::fixed(offset), Err(Error::Invalid(_))));
    }
    assert!(Zone::fixed(day - 1).is_ok());
}

#[test]
fn days_give_no_times_and_ends_of_occurrences_do_not_combine() {
    let days = Schedule::days(&[], Zone::utc()).unwrap();
    let office = cron("* 9-17 * * *", "UTC");
    let from_end = Schedule::every(1, None, true).unwrap();
    let refused = |made: Result<Schedule, Error>| matches!(made, Err(Error::Invalid(_)));
    assert!(refused(days.clone().union(office.clone())));
    assert!(refused(office.clone().union(days.clone())));
    assert!(refused(days.clone().intersection(office.clone())));
    assert!(refused(days.clone().difference(office.clone())));
    assert!(matches!(days.next(0), Err(Error::Invalid(_))));
    assert!(matches!(days.last(0, 1), Err(Error::Invalid(_))));
    assert!(refused(from_end.clone().union(office.clone())));
    assert!(refused(from_end.clone().difference(days.clone())));
    assert!(refused(office.intersection(from_end)));
    assert!(matches!(every(5).contains(5), Err(Error::Invalid(_))));
}

#[test]
fn parts_that_never_meet_end_the_search() {
    let even = Schedule::every(2 * SECOND, Some(0), false).unwrap();
    let odd = Schedule::every(2 * SECOND, Some(SECOND), false).unwrap();
    let never = even.intersection(odd).unwrap();
    assert!(matches!(never.next(0), Err(Error::Endless(why)) if why.contains("never meet")));
    assert_eq!(never.last(0, 1_000 * SECOND), Ok(None));
    let hourly = cron("0 * * * *", "UTC");
    assert_eq!(
        never.clone().union(hourly.clone()).unwrap().next(0),
        hourly.next(0)
    );
    assert_eq!(hourly.clone().union(never).unwrap().next(0), hourly.next(0));
}

#[test]
fn combinations_are_only_so_deep() {
    let mut deep = cron("0 9 * * *", "UTC");
    let mut made = 0;
    let error = loop {
        match cron("* * * * *", "UTC").difference(deep) {
            Ok(deeper) => (deep, made) = (deeper, made + 1),
            Err(error) => break error,
        }
    };
    assert!(made > 50 && error.to_string().contains("64 deep"));
    let many = (0..5_000).try_fold(every(1), |all, period| all.union(every(period + 1)));
    assert!(many.unwrap().next(0).is_ok());
}

#[test]
fn a_zone_that_is_not_known_is_an_error_when_it_is_asked_for() {
    let held = Schedule::from_definition("cron Mars/Olympus 0 9 * * *").unwrap();
    let unknown = Error::UnknownZone("Mars/Olympus".into());
    assert_eq!(held.next(0), Err(unknown.clone()));
    assert_eq!(held.contains(0), Err(unknown.clone()));
    assert_eq!(held.fingerprint(), Err(unknown));
    assert_eq!(held.definition(), "cron Mars/Olympus 0 9 * * *");
}
