//! The times of cron expressions where clocks change, as the contract has them, and on days that are counted.

mod shared;

use shared::{at, cron, times};

#[track_caller]
fn check(text: &str, zone: &str, after: &str, expected: &[&str]) {
    assert_eq!(times(&cron(text, zone), after, expected.len()), expected);
}

#[test]
fn clocks_go_forward() {
    let after = "2027-03-27T12:00:00Z";
    let paris = "Europe/Paris";
    check(
        "30 2 * * *",
        paris,
        after,
        &["2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"],
    );
    let three_in_one = [
        "2027-03-28T01:00:00Z",
        "2027-03-28T01:30:00Z",
        "2027-03-29T00:00:00Z",
    ];
    check("0,30 2,3 * * *", paris, after, &three_in_one);
    check("*/30 2 * * *", paris, after, &["2027-03-29T00:00:00Z"]);
}

#[test]
fn clocks_go_back() {
    let paris = "Europe/Paris";
    let once = ["2027-10-31T00:30:00Z", "2027-11-01T01:30:00Z"];
    check("30 2 * * *", paris, "2027-10-30T12:00:00Z", &once);
    let both = [
        "2027-10-31T00:30:00Z",
        "2027-10-31T01:30:00Z",
        "2027-10-31T02:30:00Z",
    ];
    check("30 * * * *", paris, "2027-10-30T23:45:00Z", &both);
    let first_pass = [
        "2027-10-30T23:00:00Z",
        "2027-10-31T00:00:00Z",
        "2027-10-31T02:00:00Z",
    ];
    check("0 1-3 * * *", paris, "2027-10-30T12:00:00Z", &first_pass);
}

#[test]
fn gaps_at_midnight_of_a_day_and_of_half_an_hour() {
    let santiago = ["2025-09-07T04:00:00Z", "2025-09-08T03:00:00Z"];
    check(
        "0 0 * * *",
        "America/Santiago",
        "2025-09-06T12:00:00Z",
        &santiago,
    );
    let apia = [
        "2011-12-29T12:30:00Z",
        "2011-12-30T10:00:00Z",
        "2011-12-30T12:30:00Z",
    ];
    check("30 2 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", &apia);
    let lord_howe = ["2027-10-02T15:30:00Z", "2027-10-03T15:15:00Z"];
    check(
        "15 2 * * *",
        "Australia/Lord_Howe",
        "2027-10-02T12:00:00Z",
        &lord_howe,
    );
}

#[test]
fn a_search_from_within_the_second_pass_finds_what_is_after_it() {
    let paris = "Europe/Paris";
    check(
        "30 2 * * *",
        paris,
        "2027-10-31T01:10:00Z",
        &["2027-11-01T01:30:00Z"],
    );
    check(
        "30 2 * * *",
        paris,
        "2027-10-31T01:30:00Z",
        &["2027-11-01T01:30:00Z"],
    );
    check(
        "30 * * * *",
        paris,
        "2027-10-31T01:30:00Z",
        &["2027-10-31T02:30:00Z"],
    );
}

#[test]
fn the_end_of_a_gap_is_found_before_it_and_not_after() {
    let paris = cron("30 2 * * *", "Europe/Paris");
    let end = at("2027-03-28T01:00:00Z");
    assert_eq!(paris.next(end - 1), Ok(Some(end)));
    assert!(paris.contains(end).unwrap());
    assert_eq!(paris.next(end), Ok(Some(at("2027-03-29T00:30:00Z"))));
}

#[test]
fn days_that_are_counted() {
    let after = "2027-01-01T00:00:00Z";
    let utc = "UTC";
    check(
        "0 0 L * *",
        utc,
        after,
        &["2027-01-31T00:00:00Z", "2027-02-28T00:00:00Z"],
    );
    check(
        "0 0 LW * *",
        utc,
        after,
        &["2027-01-29T00:00:00Z", "2027-02-26T00:00:00Z"],
    );
    // 15 May 2027 is a Saturday, 15 August a Sunday.
    check(
        "0 0 15W 5,8 *",
        utc,
        after,
        &["2027-05-14T00:00:00Z", "2027-08-16T00:00:00Z"],
    );
    // 1 May 2027 is a Saturday: not in April. 31 January a Sunday: not in February. February has no 30.
    check("0 0 1W 5 *", utc, after, &["2027-05-03T00:00:00Z"]);
    check(
        "0 0 31W 1,2 *",
        utc,
        after,
        &["2027-01-29T00:00:00Z", "2028-01-31T00:00:00Z"],
    );
    check(
        "0 0 * * 5L",
        utc,
        after,
        &["2027-01-29T00:00:00Z", "2027-02-26T00:00:00Z"],
    );
    check("0 0 * * friL", utc, after, &["2027-01-29T00:00:00Z"]);
    check(
        "0 0 * * fri#2",
        utc,
        after,
        &["2027-01-08T00:00:00Z", "2027-02-12T00:00:00Z"],
    );
    check(
        "0 0 * * 0#5,7#1",
        utc,
        after,
        &["2027-01-03T00:00:00Z", "2027-01-31T00:00:00Z"],
    );
    check(
        "0 0 29 2 *",
        utc,
        after,
        &["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"],
    );
}

#[test]
fn both_fields_of_days_match_if_one_begins_with_a_star_else_either() {
    let after = "2027-03-01T12:00:00Z";
    let utc = "UTC";
    check(
        "0 0 */2 * mon",
        utc,
        after,
        &["2027-03-15T00:00:00Z", "2027-03-29T00:00:00Z"],
    );
    check(
        "0 0 13 * fri",
        utc,
        after,
        &[
            "2027-03-05T00:00:00Z",
            "2027-03-12T00:00:00Z",
            "2027-03-13T00:00:00Z",
        ],
    );
    check(
        "0 0 13 * ?",
        utc,
        after,
        &["2027-03-13T00:00:00Z", "2027-04-13T00:00:00Z"],
    );
    check(
        "0 0 ? * fri",
        utc,
        after,
        &["2027-03-05T00:00:00Z", "2027-03-12T00:00:00Z"],
    );
}

#[test]
fn fields_names_and_short_forms() {
    let after = "2027-01-01T12:00:00Z";
    let utc = "UTC";
    check(
        "*/20 * * * * *",
        utc,
        after,
        &["2027-01-01T12:00:20Z", "2027-01-01T12:00:40Z"],
    );
    check("5 4 3 2 feb *", utc, after, &["2027-02-02T03:04:05Z"]);
    check(
        " 10-50/20\t9  * * MON-fri ",
        utc,
        after,
        &["2027-01-04T09:10:00Z", "2027-01-04T09:30:00Z"],
    );
    check(
        "0 0 * * sat-sun",
        utc,
        after,
        &[
            "2027-01-02T00:00:00Z",
            "2027-01-03T00:00:00Z",
            "2027-01-09T00:00:00Z",
        ],
    );
    check("0 0 * * 7", utc, after, &["2027-01-03T00:00:00Z"]);
    for (short, long) in [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * sun"),
        ("@Daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
    ] {
        assert_eq!(
            times(&cron(short, utc), after, 3),
            times(&cron(long, utc), after, 3)
        );
    }
}

#[test]
fn the_search_ends_in_2262() {
    check(
        "0 0 1 1 *",
        "Europe/Paris",
        "2261-12-31T12:00:00Z",
        &["2261-12-31T23:00:00Z"],
    );
    assert_eq!(
        cron("0 0 1 1 *", "Europe/Paris").next(at("2262-01-01T00:00:00Z")),
        Ok(None)
    );
    assert_eq!(cron("* * * * * *", "UTC").next(i64::MAX), Ok(None));
    assert!(
        cron("* * * * * *", "America/Los_Angeles")
            .next(i64::MIN)
            .unwrap()
            .is_some()
    );
}

#[test]
fn the_last_time_may_be_the_moment_itself() {
    let times = duewheel_schedule::Schedule::times(vec![10, 20, 30]).unwrap();
    let every = duewheel_schedule::Schedule::every(10, Some(0), false).unwrap();
    let both = times.clone().union(every.clone()).unwrap();
    for schedule in [times, every, both] {
        let last = |after, until| schedule.last(after, until).unwrap();
        assert_eq!(last(10, 30), Some(30));
        assert_eq!(last(10, 29), Some(20));
        assert_eq!(last(20, 29), None);
        assert_eq!(last(30, 30), None);
    }
}
