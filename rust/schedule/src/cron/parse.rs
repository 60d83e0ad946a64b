//! A cron expression from its text.

use super::expression::{Days, Expression};
use super::field::{DAY_OF_MONTH, DAY_OF_WEEK, Field, HOUR, Item, MINUTE, MONTH, SECOND, digits};
use crate::error::Error;

const MACROS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// Read an expression; an error names the text, what is wrong in it, and the cure.
pub(crate) fn parse(text: &str) -> Result<Expression, Error> {
    read(text).map_err(|error| Error::invalid(format!("cron {text:?}: {error}")))
}

fn read(text: &str) -> Result<Expression, Error> {
    let trimmed = text.trim();
    if trimmed.starts_with('@') {
        let fields = of_macro(trimmed)?;
        let expression = read(fields)?;
        return Ok(Expression {
            text: trimmed.to_ascii_lowercase().into(),
            ..expression
        });
    }
    let fields: Vec<&str> = trimmed.split_ascii_whitespace().collect();
    let (second, rest) = match fields.as_slice() {
        rest @ [_, _, _, _, _] => (None, rest),
        [second, rest @ ..] if rest.len() == 5 => (Some(*second), rest),
        _ => return Err(wrong_count(fields.len())),
    };
    let mut texts = Vec::with_capacity(6);
    let mut numbers = |field: &Field, text: &str| -> Result<u64, Error> {
        let (numbers, text) = list(field, text)?;
        texts.push(text);
        Ok(numbers)
    };
    let seconds = second.map_or(Ok(1), |second| numbers(&SECOND, second))?;
    let minutes = numbers(&MINUTE, rest[0])?;
    let hours = numbers(&HOUR, rest[1])? as u32;
    let mut days = Days::default();
    texts.push(days_of_month(rest[2], &mut days)?);
    let (months, month) = list(&MONTH, rest[3])?;
    texts.push(month);
    texts.push(days_of_week(rest[4], &mut days)?);
    days.both = DAY_OF_MONTH.is_open(rest[2]) || DAY_OF_WEEK.is_open(rest[4]);
    let is_open = |field: &Field, text: &str| field.is_open(text);
    let expression = Expression {
        text: texts.join(" ").into(),
        seconds,
        minutes,
        hours,
        months: months as u32,
        days,
        has_seconds: second.is_some(),
        is_fixed: !(second.is_some_and(|second| is_open(&SECOND, second))
            || is_open(&MINUTE, rest[0])
            || is_open(&HOUR, rest[1])),
    };
    if !expression.has_a_day() {
        return Err(Error::invalid(
            "it never comes: no month that it names has such a day. The last day of a month is L",
        ));
    }
    Ok(expression)
}

fn of_macro(text: &str) -> Result<&'static str, Error> {
    if let Some((_, fields)) = MACROS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text))
    {
        return Ok(fields);
    }
    let cure = if text.eq_ignore_ascii_case("@reboot") {
        "@reboot is no time: schedule the job where the program starts, with in_(0, ...)".to_owned()
    } else if text.to_ascii_lowercase().starts_with("@every") {
        "a fixed period is Every(seconds), such as Every(300)".to_owned()
    } else {
        format!("it is none of {}", MACROS.map(|(name, _)| name).join(" "))
    };
    Err(Error::invalid(cure))
}

fn wrong_count(count: usize) -> Error {
    let mut error = format!(
        "it has {count} fields, and takes 5 (minute, hour, day of month, month, day of week), or 6 with seconds first"
    );
    if count == 7 {
        error += ". A year is no field: give start= and end=";
    }
    Error::invalid(error)
}

/// The numbers of a list, and its canonical text.
fn list(field: &Field, text: &str) -> Result<(u64, String), Error> {
    let mut numbers = 0;
    let mut texts = Vec::new();
    for item in text.split(',') {
        let Item {
            numbers: of_item,
            text,
        } = field.item(item)?;
        numbers |= of_item;
        texts.push(text);
    }
    Ok((numbers, texts.join(",")))
}

fn days_of_month(text: &str, days: &mut Days) -> Result<String, Error> {
    let field = &DAY_OF_MONTH;
    let mut texts = Vec::new();
    for item in text.split(',') {
        let upper = item.to_ascii_uppercase();
        match upper.as_str() {
            "L" => days.last = true,
            "LW" => days.last_weekday = true,
            _ if upper.starts_with("L-") => {
                let cure = "days are counted from the end by L alone, the last day, or LW, the last of Monday to Friday";
                return Err(field.error(item, cure));
            }
            _ => match upper.strip_suffix('W') {
                Some(day) if digits(day).is_some() => {
                    let (day, text) = field.number(item, day)?;
                    days.nearest_weekday |= 1 << day;
                    texts.push(text + "W");
                    continue;
                }
                Some(_) => {
                    let cure =
                        "W follows one day, such as 15W: the weekday that is nearest to the 15th";
                    return Err(field.error(item, cure));
                }
                None => {
                    let Item { numbers, text } = field.item(item)?;
                    days.of_month |= numbers as u32;
                    texts.push(text);
                    continue;
                }
            },
        }
        texts.push(upper);
    }
    Ok(texts.join(","))
}

fn days_of_week(text: &str, days: &mut Days) -> Result<String, Error> {
    let field = &DAY_OF_WEEK;
    let mut texts = Vec::new();
    for item in text.split(',') {
        if let Some((day, week)) = item.split_once('#') {
            let (day, text) = field.number(item, day)?;
            let Some(week) = digits(week).filter(|week| (1..=5).contains(week)) else {
                return Err(field.error(
                    item,
                    "# is followed by 1 to 5, such as fri#2: the second Friday",
                ));
            };
            days.nth_of_week[week as usize - 1] |= 1 << (day % 7);
            texts.push(format!("{text}#{week}"));
        } else if item.eq_ignore_ascii_case("L") {
            let cure = "L follows a day, such as friL or 5L: the last Friday of the month. Saturday is sat";
            return Err(field.error(item, cure));
        } else if let Some(day) = item.strip_suffix(['L', 'l']) {
            let (day, text) = field.number(item, day)?;
            days.last_of_week |= 1 << (day % 7);
            texts.push(text + "L");
        } else {
            let Item { numbers, text } = field.item(item)?;
            days.of_week |= numbers as u32;
            texts.push(text);
        }
    }
    Ok(texts.join(","))
}
