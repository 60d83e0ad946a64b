//! Months of the Gregorian calendar by days since 1970.

/// The seconds of a day of local time.
pub(crate) const DAY: i64 = 86_400;

/// The year, the month and the day, both from 1, of a number of days since 1970-01-01.
#[must_use]
pub fn date_of(days: i64) -> (i64, u32, u32) {
    let (month, day) = Month::of(days);
    (month.year, month.month, day)
}

/// A month: where it begins, and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Month {
    pub(crate) year: i64,
    /// From 1.
    pub(crate) month: u32,
    /// Days from 1970-01-01 to its first.
    pub(crate) first: i64,
    /// How many days it has.
    pub(crate) length: u32,
}

impl Month {
    /// The month and the day in it, from 1, of a number of days since 1970-01-01.
    ///
    /// `civil_from_days` of Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March,
    /// so that a leap day is their last.
    pub(crate) fn of(days: i64) -> (Self, u32) {
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * from_march + 2) / 5 + 1) as u32;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        } as u32;
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let first = days - i64::from(day) + 1;
        (
            Self {
                year,
                month,
                first,
                length: length(year, month),
            },
            day,
        )
    }

    /// The month after this.
    pub(crate) fn next(self) -> Self {
        let (year, month) = if self.month == 12 {
            (self.year + 1, 1)
        } else {
            (self.year, self.month + 1)
        };
        Self {
            year,
            month,
            first: self.first + i64::from(self.length),
            length: length(year, month),
        }
    }

    /// The day of the week of its first; 0 is Sunday.
    pub(crate) fn first_weekday(self) -> u32 {
        (self.first + 4).rem_euclid(7) as u32
    }
}

fn length(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn months_are_those_of_another_calendar() {
        let mut at = date(1600, 1, 1);
        let mut days = -135_140;
        let (mut walked, _) = Month::of(days);
        while at.year() < 2300 {
            let (month, day) = Month::of(days);
            let found = (month.year, month.month, day);
            let is = (i64::from(at.year()), at.month() as u32, at.day() as u32);
            assert_eq!(found, is);
            if day == 1 && month != walked {
                walked = walked.next();
            }
            assert_eq!(walked, month);
            assert_eq!(month.length, at.days_in_month() as u32);
            let weekday = at.first_of_month().weekday().to_sunday_zero_offset();
            assert_eq!(month.first_weekday(), weekday as u32);
            at = at.tomorrow().unwrap();
            days += 1;
        }
    }
}
