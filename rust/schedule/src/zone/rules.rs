//! The offsets of a zone from 1677 to 2262, as a table of spans of one offset each.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What the local clocks of a zone show, for all times of 64-bit nanoseconds.
///
/// All times are whole seconds: of UTC, or of what local clocks show, counted as if that were UTC.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The first second of each span; the first span begins before all times.
    starts: Vec<i64>,
    spans: Vec<Span>,
    fingerprint: u64,
}

/// A time without a change of clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: i64,
    /// Its first second that is of the next span.
    pub(crate) end: i64,
    /// Local minus UTC.
    pub(crate) offset: i64,
    /// The first local time that clocks had not reached before this span. After a gap that is where the gap begins,
    /// and after a fold where it ends.
    pub(crate) unseen: i64,
}

impl Span {
    /// The local time at which the span begins.
    pub(crate) fn local_start(&self) -> i64 {
        self.start + self.offset
    }
}

/// Beyond all times, and far enough from the ends of integers that an offset can be added.
const FIRST: i64 = i64::MIN / 1_000_000_000 - 10_000_000;
const LAST: i64 = i64::MAX / 1_000_000_000 + 10_000_000;

/// What a fingerprint is of: 1970 and 2100. Before, zones of equal rules today are told differently.
const FINGERPRINTED: std::ops::Range<i64> = 0..4_102_444_800;

impl Rules {
    pub(crate) fn fixed(offset: i64) -> Self {
        Self::new(&[(FIRST, offset)])
    }

    pub(crate) fn of(zone: &TimeZone) -> Self {
        let first = Timestamp::from_second(FIRST).unwrap_or(Timestamp::MIN);
        let mut changes = vec![(FIRST, i64::from(zone.to_offset(first).seconds()))];
        for change in zone.following(first) {
            let second = change.timestamp().as_second();
            if second >= LAST {
                break;
            }
            let offset = i64::from(change.offset().seconds());
            if changes.last().is_none_or(|&(_, before)| before != offset) {
                changes.push((second, offset));
            }
        }
        Self::new(&changes)
    }

    fn new(changes: &[(i64, i64)]) -> Self {
        let mut unseen = FIRST + changes[0].1;
        let mut spans = Vec::with_capacity(changes.len());
        for (index, &(start, offset)) in changes.iter().enumerate() {
            let end = changes.get(index + 1).map_or(LAST, |next| next.0);
            spans.push(Span {
                start,
                end,
                offset,
                unseen,
            });
            unseen = unseen.max(end + offset);
        }
        let starts = spans.iter().map(|span| span.start).collect();
        let fingerprint = fingerprint(&spans);
        Self {
            starts,
            spans,
            fingerprint,
        }
    }

    /// The span of a second, and all after it.
    #[inline]
    pub(crate) fn from(&self, second: i64) -> &[Span] {
        let after = self.starts.partition_point(|&start| start <= second);
        &self.spans[after.max(1) - 1..]
    }

    /// The span of a second.
    pub(crate) fn at(&self, second: i64) -> Span {
        self.from(second)[0]
    }

    /// The span before one, if there is one.
    pub(crate) fn before(&self, span: &Span) -> Option<Span> {
        let index = self.starts.partition_point(|&start| start < span.start);
        index.checked_sub(1).map(|index| self.spans[index])
    }

    /// A number that differs where the rules differ, the same on every machine.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

fn fingerprint(spans: &[Span]) -> u64 {
    let mut hash = Fnv::default();
    for span in spans
        .iter()
        .filter(|span| span.end > FINGERPRINTED.start && span.start < FINGERPRINTED.end)
    {
        hash.add(span.start.max(FINGERPRINTED.start));
        hash.add(span.offset);
    }
    hash.0
}

/// FNV-1a by Fowler, Noll and Vo, 64 bits: a hash that stays as it is, unlike that of the standard library.
pub(crate) struct Fnv(pub(crate) u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    pub(crate) fn add(&mut self, value: i64) {
        for byte in value.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
