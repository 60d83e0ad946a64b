//! The examples of RFC 5545, 3.8.5.3, with the times that it gives them.

use duewheel_schedule::{Zone, rrule::RRule};
use jiff::Timestamp;
use jiff::tz::TimeZone;

const NEW_YORK: &str = "America/New_York";

/// Its first times as local clocks show them, and whether there are more.
fn shown(text: &str, start: &str, count: usize) -> (Vec<String>, bool) {
    let rule = RRule::new(text, start.parse().unwrap(), Zone::named(NEW_YORK).unwrap()).unwrap();
    let zone = TimeZone::get(NEW_YORK).unwrap();
    let mut times = Vec::new();
    let mut after = i64::MIN;
    while times.len() < count {
        let Some(time) = rule.next(after).unwrap() else {
            break;
        };
        let local = zone.to_datetime(Timestamp::from_nanosecond(time.into()).unwrap());
        times.push(local.strftime("%Y-%m-%d %H:%M").to_string());
        after = time;
    }
    (times, rule.next(after).unwrap().is_some())
}

/// Lines of a month and its days at nine, such as `1997-09 2 4 16`; `...` says that there are more.
fn holds_from(start: &str, text: &str, expected: &str) {
    let expected = expected.trim();
    let (days, more) = match expected.strip_suffix("...") {
        Some(days) => (days, true),
        None => (expected, false),
    };
    let mut times = Vec::new();
    let mut month = "";
    for word in days.split_whitespace() {
        if word.contains('-') {
            month = word;
        } else {
            times.push(format!("{month}-{word:0>2} 09:00"));
        }
    }
    assert_eq!(shown(text, start, times.len()), (times, more), "{text}");
}

fn holds(text: &str, expected: &str) {
    holds_from("1997-09-02T09:00:00", text, expected);
}

#[test]
fn daily() {
    holds("FREQ=DAILY;COUNT=10", "1997-09 2 3 4 5 6 7 8 9 10 11");
    let (times, more) = shown(
        "FREQ=DAILY;UNTIL=19971224T000000Z",
        "1997-09-02T09:00:00",
        200,
    );
    assert_eq!((times.len(), more), (113, false));
    assert_eq!(times[112], "1997-12-23 09:00");
    assert!(times.iter().all(|time| time.ends_with("09:00")));
    holds(
        "FREQ=DAILY;INTERVAL=2",
        "1997-09 2 4 6 8 10 12 14 16 18 20 22 24 26 28 30 1997-10 2 4 6 8 10 12 14 16 18 20 22 24 26 28 30 1997-11 1 ...",
    );
    holds(
        "FREQ=DAILY;INTERVAL=10;COUNT=5",
        "1997-09 2 12 22 1997-10 2 12",
    );
}

#[test]
fn every_day_in_january_for_three_years() {
    let yearly = "FREQ=YEARLY;UNTIL=20000131T140000Z;BYMONTH=1;BYDAY=SU,MO,TU,WE,TH,FR,SA";
    let daily = "RRULE:FREQ=DAILY;UNTIL=20000131T140000Z;BYMONTH=1";
    let (times, more) = shown(yearly, "1998-01-01T09:00:00", 200);
    assert_eq!((times.len(), more), (93, false));
    assert_eq!(times[31], "1999-01-01 09:00");
    assert_eq!(times[92], "2000-01-31 09:00");
    assert_eq!(shown(daily, "1998-01-01T09:00:00", 200), (times, more));
}

#[test]
fn weekly() {
    holds(
        "FREQ=WEEKLY;COUNT=10",
        "1997-09 2 9 16 23 30 1997-10 7 14 21 28 1997-11 4",
    );
    holds(
        "FREQ=WEEKLY;UNTIL=19971224T000000Z",
        "1997-09 2 9 16 23 30 1997-10 7 14 21 28 1997-11 4 11 18 25 1997-12 2 9 16 23",
    );
    holds(
        "FREQ=WEEKLY;INTERVAL=2;WKST=SU",
        "1997-09 2 16 30 1997-10 14 28 1997-11 11 25 1997-12 9 23 1998-01 6 20 1998-02 3 17 ...",
    );
    let five_weeks = "1997-09 2 4 9 11 16 18 23 25 30 1997-10 2";
    holds(
        "FREQ=WEEKLY;UNTIL=19971007T000000Z;WKST=SU;BYDAY=TU,TH",
        five_weeks,
    );
    holds("FREQ=WEEKLY;COUNT=10;WKST=SU;BYDAY=TU,TH", five_weeks);
    holds_from(
        "1997-09-01T09:00:00",
        "FREQ=WEEKLY;INTERVAL=2;UNTIL=19971224T000000Z;WKST=SU;BYDAY=MO,WE,FR",
        "1997-09 1 3 5 15 17 19 29 1997-10 1 3 13 15 17 27 29 31 1997-11 10 12 14 24 26 28 1997-12 8 10 12 22",
    );
    holds(
        "FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH",
        "1997-09 2 4 16 18 30 1997-10 2 14 16",
    );
}

#[test]
fn where_a_week_starts_matters() {
    let start = "1997-08-05T09:00:00";
    holds_from(
        start,
        "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO",
        "1997-08 5 10 19 24",
    );
    holds_from(
        start,
        "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU",
        "1997-08 5 17 19 31",
    );
}

#[test]
fn monthly_by_weekday() {
    let friday = "1997-09-05T09:00:00";
    holds_from(
        friday,
        "FREQ=MONTHLY;COUNT=10;BYDAY=1FR",
        "1997-09 5 1997-10 3 1997-11 7 1997-12 5 1998-01 2 1998-02 6 1998-03 6 1998-04 3 1998-05 1 1998-06 5",
    );
    holds_from(
        friday,
        "FREQ=MONTHLY;UNTIL=19971224T000000Z;BYDAY=1FR",
        "1997-09 5 1997-10 3 1997-11 7 1997-12 5",
    );
    holds_from(
        "1997-09-07T09:00:00",
        "FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU",
        "1997-09 7 28 1997-11 2 30 1998-01 4 25 1998-03 1 29 1998-05 3 31",
    );
    holds_from(
        "1997-09-22T09:00:00",
        "FREQ=MONTHLY;COUNT=6;BYDAY=-2MO",
        "1997-09 22 1997-10 20 1997-11 17 1997-12 22 1998-01 19 1998-02 16",
    );
    holds(
        "FREQ=MONTHLY;INTERVAL=2;BYDAY=TU",
        "1997-09 2 9 16 23 30 1997-11 4 11 18 25 1998-01 6 13 20 27 1998-03 3 10 17 24 31 ...",
    );
}

#[test]
fn monthly_by_day() {
    holds_from(
        "1997-09-28T09:00:00",
        "FREQ=MONTHLY;BYMONTHDAY=-3",
        "1997-09 28 1997-10 29 1997-11 28 1997-12 29 1998-01 29 1998-02 26 ...",
    );
    holds(
        "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=2,15",
        "1997-09 2 15 1997-10 2 15 1997-11 2 15 1997-12 2 15 1998-01 2 15",
    );
    holds_from(
        "1997-09-30T09:00:00",
        "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1",
        "1997-09 30 1997-10 1 31 1997-11 1 30 1997-12 1 31 1998-01 1 31 1998-02 1",
    );
    holds_from(
        "1997-09-10T09:00:00",
        "FREQ=MONTHLY;INTERVAL=18;COUNT=10;BYMONTHDAY=10,11,12,13,14,15",
        "1997-09 10 11 12 13 14 15 1999-03 10 11 12 13",
    );
    holds_from(
        "2007-01-15T09:00:00",
        "FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5",
        "2007-01 15 30 2007-02 15 2007-03 15 30",
    );
}

#[test]
fn yearly() {
    holds_from(
        "1997-06-10T09:00:00",
        "FREQ=YEARLY;COUNT=10;BYMONTH=6,7",
        "1997-06 10 1997-07 10 1998-06 10 1998-07 10 1999-06 10 1999-07 10 2000-06 10 2000-07 10 2001-06 10 2001-07 10",
    );
    holds_from(
        "1997-03-10T09:00:00",
        "FREQ=YEARLY;INTERVAL=2;COUNT=10;BYMONTH=1,2,3",
        "1997-03 10 1999-01 10 1999-02 10 1999-03 10 2001-01 10 2001-02 10 2001-03 10 2003-01 10 2003-02 10 2003-03 10",
    );
    holds_from(
        "1997-01-01T09:00:00",
        "FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200",
        "1997-01 1 1997-04 10 1997-07 19 2000-01 1 2000-04 9 2000-07 18 2003-01 1 2003-04 10 2003-07 19 2006-01 1",
    );
    holds_from(
        "1997-05-19T09:00:00",
        "FREQ=YEARLY;BYDAY=20MO",
        "1997-05 19 1998-05 18 1999-05 17 ...",
    );
    holds_from(
        "1997-05-12T09:00:00",
        "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
        "1997-05 12 1998-05 11 1999-05 17 ...",
    );
    holds_from(
        "1997-05-12T09:00:00",
        "FREQ=YEARLY;BYWEEKNO=20",
        "1997-05 12 1998-05 11 1999-05 17 ...",
    );
    holds_from(
        "1997-03-13T09:00:00",
        "FREQ=YEARLY;BYMONTH=3;BYDAY=TH",
        "1997-03 13 20 27 1998-03 5 12 19 26 1999-03 4 11 18 25 ...",
    );
    holds_from(
        "1997-06-05T09:00:00",
        "FREQ=YEARLY;BYDAY=TH;BYMONTH=6,7,8",
        "1997-06 5 12 19 26 1997-07 3 10 17 24 31 1997-08 7 14 21 28 1998-06 4 11 18 25 1998-07 2 9 16 23 30 \
         1998-08 6 13 20 27 1999-06 3 ...",
    );
}

#[test]
fn days_that_are_rare() {
    holds(
        "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
        "1998-02 13 1998-03 13 1998-11 13 1999-08 13 2000-10 13 ...",
    );
    holds_from(
        "1997-09-13T09:00:00",
        "FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13",
        "1997-09 13 1997-10 11 1997-11 8 1997-12 13 1998-01 10 1998-02 7 1998-03 7 1998-04 11 1998-05 9 1998-06 13 ...",
    );
    holds_from(
        "1996-11-05T09:00:00",
        "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
        "1996-11 5 2000-11 7 2004-11 2 ...",
    );
}

#[test]
fn some_of_a_period() {
    holds_from(
        "1997-09-04T09:00:00",
        "FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3",
        "1997-09 4 1997-10 7 1997-11 6",
    );
    holds_from(
        "1997-09-29T09:00:00",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2",
        "1997-09 29 1997-10 30 1997-11 27 1997-12 30 1998-01 29 1998-02 26 1998-03 30 ...",
    );
}

#[test]
fn hours_and_minutes() {
    let start = "1997-09-02T09:00:00";
    let (times, more) = shown("FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T170000Z", start, 9);
    // The RFC's own list goes on to 15:00, as if UNTIL were in local time.
    assert_eq!(times, ["1997-09-02 09:00", "1997-09-02 12:00"]);
    assert!(!more);
    let (times, more) = shown("FREQ=MINUTELY;INTERVAL=15;COUNT=6", start, 9);
    let of_day: Vec<&str> = times.iter().map(|time| &time[11..]).collect();
    assert_eq!(
        of_day,
        ["09:00", "09:15", "09:30", "09:45", "10:00", "10:15"]
    );
    assert!(!more);
    let (times, _) = shown("FREQ=MINUTELY;INTERVAL=90;COUNT=4", start, 9);
    let of_day: Vec<&str> = times.iter().map(|time| &time[11..]).collect();
    assert_eq!(of_day, ["09:00", "10:30", "12:00", "13:30"]);
    let hours = "FREQ=DAILY;BYHOUR=9,10,11,12,13,14,15,16;BYMINUTE=0,20,40";
    let minutes = "FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10,11,12,13,14,15,16";
    let (times, _) = shown(hours, start, 30);
    assert_eq!(times[23..25], ["1997-09-02 16:40", "1997-09-03 09:00"]);
    assert_eq!(shown(minutes, start, 30).0, times);
}
