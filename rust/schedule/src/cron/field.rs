//! The fields of a cron expression: their bounds, names, and what an item of a list stands for.

use crate::error::Error;

/// A field: what it is called, and which numbers and names it may have.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) low: u32,
    /// Inclusive; for a day of the week 7, which is 0.
    pub(crate) high: u32,
    /// How many different values it has.
    size: u32,
    names: &'static [&'static str],
    is_day: bool,
    /// The seconds of one, if it has a fixed length.
    unit: u32,
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const fn time(name: &'static str, size: u32, unit: u32) -> Field {
    Field {
        name,
        low: 0,
        high: size - 1,
        size,
        names: &[],
        is_day: false,
        unit,
    }
}

pub(crate) const SECOND: Field = time("second", 60, 1);
pub(crate) const MINUTE: Field = time("minute", 60, 60);
pub(crate) const HOUR: Field = time("hour", 24, 3_600);
pub(crate) const DAY_OF_MONTH: Field = Field {
    name: "day of month",
    low: 1,
    high: 31,
    size: 31,
    names: &[],
    is_day: true,
    unit: 86_400,
};
pub(crate) const MONTH: Field = Field {
    name: "month",
    low: 1,
    high: 12,
    size: 12,
    names: &MONTHS,
    is_day: false,
    unit: 0,
};
pub(crate) const DAY_OF_WEEK: Field = Field {
    name: "day of week",
    low: 0,
    high: 7,
    size: 7,
    names: &WEEKDAYS,
    is_day: true,
    unit: 86_400,
};

/// The numbers of an item, and its canonical text.
pub(crate) struct Item {
    pub(crate) numbers: u64,
    pub(crate) text: String,
}

impl Field {
    /// Whether a text of this field begins with what stands for all of it.
    pub(crate) fn is_open(&self, text: &str) -> bool {
        text.starts_with('*') || (self.is_day && text.starts_with('?'))
    }

    /// An item such as `*`, `*/5`, `3`, `mon-fri` or `10-50/20`.
    pub(crate) fn item(&self, item: &str) -> Result<Item, Error> {
        self.refuse_jenkins(item)?;
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(self.step(item, range, step)?)),
            None => (item, None),
        };
        let (low, high, text) = self.range(item, range, step)?;
        let numbers = (low..=high).step_by(step.unwrap_or(1) as usize);
        let numbers = numbers.fold(0, |all, number| all | 1 << number);
        let text = step.map_or(text.clone(), |step| format!("{text}/{step}"));
        Ok(Item {
            numbers: self.folded(numbers),
            text,
        })
    }

    /// Seven is Sunday, too.
    fn folded(&self, numbers: u64) -> u64 {
        let is_week = self.size == 7;
        if is_week {
            (numbers | numbers >> 7) & 0x7f
        } else {
            numbers
        }
    }

    fn range(
        &self,
        item: &str,
        range: &str,
        step: Option<u32>,
    ) -> Result<(u32, u32, String), Error> {
        if range == "*" || (self.is_day && range == "?") {
            return Ok((self.low, self.low + self.size - 1, range.into()));
        }
        if range == "?" {
            return Err(self.error(item, "? stands for * in the day fields alone: write *"));
        }
        let Some((from, to)) = range.split_once('-') else {
            let (number, text) = self.number(item, range)?;
            if let Some(step) = step {
                let end = self.low + self.size - 1;
                let cure = format!("a step needs a range: write {text}-{end}/{step}");
                return Err(self.error(item, &cure));
            }
            return Ok((number, number, text));
        };
        let ((low, from), (mut high, to)) = (self.number(item, from)?, self.number(item, to)?);
        if high == 0 && low > 0 && to == "sun" {
            high = 7;
        }
        if low > high {
            return Err(self.backwards(item, (low, &from), (high, &to)));
        }
        Ok((low, high, format!("{from}-{to}")))
    }

    fn backwards(&self, item: &str, (low, from): (u32, &str), (_, to): (u32, &str)) -> Error {
        let end = self.low + self.size - 1;
        let shown = |number: u32, named: bool| match self.names.get((number - self.low) as usize) {
            Some(name) if named => (*name).to_owned(),
            _ => number.to_string(),
        };
        let named = from.starts_with(|first: char| first.is_ascii_alphabetic());
        let head = if low >= end {
            from.to_owned()
        } else {
            format!("{from}-{}", shown(end, named))
        };
        let first = shown(self.low, named);
        let tail = if to == first {
            first
        } else {
            format!("{first}-{to}")
        };
        self.error(item, &format!("a range goes upwards: write {head},{tail}"))
    }

    fn step(&self, item: &str, range: &str, step: &str) -> Result<u32, Error> {
        let number = digits(step).filter(|&step| step > 0);
        let Some(number) = number else {
            return Err(self.error(item, "a step is a whole number from 1 on, such as */5"));
        };
        if self.is_open(range) && number > self.size {
            let mut cure = format!("a step of {} is at most {}", self.name, self.size);
            if self.unit > 0 {
                let period = u64::from(number) * u64::from(self.unit);
                cure += &format!(": for a fixed period write Every({period})");
            }
            return Err(self.error(item, &cure));
        }
        Ok(number)
    }

    /// A number or a name, and its canonical text.
    pub(crate) fn number(&self, item: &str, text: &str) -> Result<(u32, String), Error> {
        if let Some(number) = digits(text) {
            if (self.low..=self.high).contains(&number) {
                return Ok((number, number.to_string()));
            }
            let cure = format!("it goes from {} to {}", self.low, self.high);
            return Err(self.error(item, &cure));
        }
        let is = |name: &&str| name.eq_ignore_ascii_case(text);
        if let Some(index) = self.names.iter().position(is) {
            return Ok((self.low + index as u32, self.names[index].into()));
        }
        let begins = |name: &&&str| {
            text.get(..3)
                .is_some_and(|start| name.eq_ignore_ascii_case(start))
        };
        if let Some(name) = self.names.iter().find(begins) {
            return Err(self.error(item, &format!("names have three letters: write {name}")));
        }
        let mut cure = format!("it takes numbers from {} to {}", self.low, self.high);
        if let (Some(first), Some(last)) = (self.names.first(), self.names.last()) {
            cure += &format!(", names from {first} to {last}");
        }
        Err(self.error(item, &(cure + ", and * , - /")))
    }

    fn refuse_jenkins(&self, item: &str) -> Result<(), Error> {
        let rest = item.strip_prefix(['H', 'h']);
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '('])) {
            let cure =
                "H is Jenkins' own: write a number, and spread the load with spread= of repeat";
            return Err(self.error(item, cure));
        }
        Ok(())
    }

    /// The error for an item of this field.
    pub(crate) fn error(&self, item: &str, cure: &str) -> Error {
        Error::invalid(format!("{} {item:?}: {cure}", self.name))
    }
}

/// A whole number of ASCII digits alone.
pub(crate) fn digits(text: &str) -> Option<u32> {
    let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.parse().ok()).flatten()
}
