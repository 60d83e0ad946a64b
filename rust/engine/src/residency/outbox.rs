//! Outcomes that the store has not taken yet.

use duewheel_store::Op;

/// How many outcomes go to the store in one batch: their texts are long.
const MOST_IN_A_BATCH: usize = 1_024;

/// Operations in the order in which they are to be submitted.
///
/// What speaks of the same jobs must not overtake them: a new job would meet the id of one that is
/// over, and a cancelled one come again with its retry.
#[derive(Debug, Default)]
pub(crate) struct Outbox(Vec<Op<'static>>);

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn push(&mut self, op: Op<'static>) {
        self.0.push(op);
    }

    pub(crate) fn extend(&mut self, ops: impl Iterator<Item = Op<'static>>) {
        self.0.extend(ops);
    }

    /// What is to be submitted next; empty when all is. What is kept of an end and that end, a death and what it leaves
    /// behind, are not parted.
    pub(crate) fn next_batch(&self) -> &[Op<'static>] {
        let mut most = self.0.len().min(MOST_IN_A_BATCH);
        most += usize::from(matches!(self.0[..most].last(), Some(Op::Keep { .. })));
        let (batch, rest) = self.0.split_at(most);
        let heirs = rest.iter().take_while(|op| matches!(op, Op::Insert(_)));
        &self.0[..batch.len() + heirs.count()]
    }

    /// The store has taken so many.
    pub(crate) fn remove(&mut self, count: usize) {
        self.0.drain(..count);
    }

    /// The jobs that are over, which the store still takes for pending.
    pub(crate) fn ended(&self) -> impl Iterator<Item = u64> {
        self.0.iter().filter_map(|op| match op {
            Op::Finish { seq, .. } | Op::Delete(seq) => Some(*seq),
            _ => None,
        })
    }

    /// Drop the outcomes of jobs that are no longer this node's.
    pub(crate) fn drop_outcomes(&mut self, lost: impl Fn(u64) -> bool) {
        self.0.retain(
            |op| !matches!(op, Op::Finish { seq, .. } | Op::Keep { seq, .. } if lost(*seq)),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duewheel_store::{Ending, Kept};

    #[test]
    fn what_is_kept_of_an_end_is_not_parted_from_it() {
        let mut outbox = Outbox::default();
        let done = |seq| Op::Finish {
            seq,
            outcome: Ending::Done,
        };
        let keep = |seq| Op::Keep {
            seq,
            kept: Box::new(Kept::cancelled("a", "t", 0, 1)),
        };
        (1..MOST_IN_A_BATCH as u64).for_each(|seq| outbox.push(done(seq)));
        let last = MOST_IN_A_BATCH as u64;
        outbox.extend([keep(last), done(last), done(0)].into_iter());
        let batch = outbox.next_batch();
        assert_eq!(batch.len(), MOST_IN_A_BATCH + 1);
        assert_eq!(batch.last(), Some(&done(last)));
        outbox.drop_outcomes(|seq| seq >= last);
        assert!(
            outbox
                .0
                .iter()
                .all(|op| matches!(op, Op::Finish { seq, .. } if *seq < last))
        );
    }
}
