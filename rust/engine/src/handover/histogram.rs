//! A histogram as fine as [`Lateness`](super::lateness::Lateness), for each of many targets: the first values as they are, then only
//! the octaves that have any.

use crate::handover::lateness::{BUCKETS, FINE_BITS, Summary, bucket};

/// So many values are kept as they are.
const FIRST: usize = 32;
/// How many buckets an octave has.
const FINE: usize = 1 << FINE_BITS;

/// How many octaves there are, and some more: a power of two.
const OCTAVES: usize = BUCKETS.div_ceil(FINE).next_power_of_two();

/// The buckets of each octave that has any.
type Octaves = [Option<Box<[u64; FINE]>>; OCTAVES];

/// Values, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    octaves: Option<Box<Octaves>>,
    sum: u128,
    max: u64,
    first: Vec<u64>,
}

impl Histogram {
    /// Count a value.
    pub fn record(&mut self, value: u64) {
        self.record_all([value].into_iter(), |_| ());
    }

    /// Count values, each of whose buckets is told; their sum, and the largest.
    #[inline(always)]
    pub(super) fn record_all(
        &mut self,
        mut values: impl Iterator<Item = u64>,
        mut tell: impl FnMut(usize),
    ) -> (u128, u64) {
        let (mut sum, mut max) = (0, 0);
        let mut seen = |value: u64| {
            sum += u128::from(value);
            max = value.max(max);
            let bucket = bucket(value);
            tell(bucket);
            bucket
        };
        loop {
            let first = match self.octaves.as_deref_mut() {
                Some(octaves) => values.by_ref().find_map(|value| {
                    let bucket = seen(value);
                    let octave = &mut octaves[(bucket >> FINE_BITS) % OCTAVES];
                    let Some(octave) = octave else {
                        return Some((bucket, value));
                    };
                    octave[bucket & (FINE - 1)] += 1;
                    None
                }),
                None => values.next().map(|value| (seen(value), value)),
            };
            let Some((bucket, value)) = first else { break };
            self.count_one(bucket, value);
        }
        self.sum += sum;
        self.max = self.max.max(max);
        (sum, max)
    }

    /// Count the first value of an octave, or one of the first of all.
    #[cold]
    #[inline(never)]
    fn count_one(&mut self, at: usize, value: u64) {
        if self.octaves.is_none() && self.first.len() < FIRST {
            return self.first.push(value);
        }
        for value in std::mem::take(&mut self.first) {
            self.count_in(bucket(value), 1);
        }
        self.count_in(at, 1);
    }

    fn count_in(&mut self, bucket: usize, count: u64) {
        let octaves = self
            .octaves
            .get_or_insert_with(|| Box::new([const { None }; OCTAVES]));
        let octave = octaves[bucket >> FINE_BITS].get_or_insert_with(|| Box::new([0; FINE]));
        octave[bucket & (FINE - 1)] += count;
    }

    /// How many were counted in each bucket that has any, in order.
    fn buckets(&self) -> Vec<(usize, u64)> {
        let mut first = self.first.clone();
        first.sort_unstable();
        let first = first.into_iter().map(|value| (bucket(value), 1));
        let octaves = self.octaves.iter().flat_map(|octaves| octaves.iter());
        let octaves = octaves.enumerate();
        let octaves = octaves.filter_map(|(at, octave)| Some((at, octave.as_ref()?)));
        let buckets = octaves.flat_map(|(at, octave)| {
            let counted = octave.iter().enumerate();
            counted.map(move |(fine, &counted)| ((at << FINE_BITS) + fine, counted))
        });
        let some = first.chain(buckets).filter(|(_, counted)| *counted > 0);
        some.fold(
            Vec::new(),
            |mut buckets: Vec<(usize, u64)>, (at, counted)| {
                match buckets.last_mut() {
                    Some(last) if last.0 == at => last.1 += counted,
                    _ => buckets.push((at, counted)),
                }
                buckets
            },
        )
    }

    fn is_empty(&self) -> bool {
        self.octaves.is_none() && self.first.is_empty()
    }

    /// Count what another has counted, too.
    pub fn add(&mut self, other: &Histogram) {
        if other.is_empty() {
            return;
        }
        if self.is_empty() {
            self.clone_from(other);
            return;
        }
        for value in std::mem::take(&mut self.first) {
            self.count_in(bucket(value), 1);
        }
        for (bucket, counted) in other.buckets() {
            self.count_in(bucket, counted);
        }
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    /// Summarise what was counted.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let buckets = self.buckets();
        let count = buckets.iter().map(|bucket| bucket.1).sum();
        Summary::of((count, self.sum, self.max), buckets.into_iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handover::lateness::Lateness;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_says_what_the_other_says_however_its_parts_are_added(
            parts in prop::collection::vec(prop::collection::vec(0_u64..=u64::MAX / 4, 0..80), 1..5),
            shift in 0_u32..60,
        ) {
            let (mut whole, mut sum) = (Lateness::default(), Histogram::default());
            let mut one = Histogram::default();
            for part in parts {
                let mut histogram = Histogram::default();
                for value in part {
                    whole.record(value >> shift);
                    one.record(value >> shift);
                    histogram.record(value >> shift);
                }
                sum.add(&histogram);
            }
            prop_assert_eq!(sum.summary(), whole.summary());
            prop_assert_eq!(one.summary(), whole.summary());
        }
    }
}
