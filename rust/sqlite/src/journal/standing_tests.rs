//! Standings of any kind, and that their form on disk reads back.

use duewheel_store::Standing;
use duewheel_store::standing::{LENGTH, decode, encode, spend};
use proptest::prelude::*;

prop_compose! {
    pub(crate) fn any_standing()(
        times in any::<(i64, i64, i64, i64)>(), counts in any::<(u64, u64, u64)>(),
        moments in any::<(Option<i64>, Option<i64>, Option<i64>)>(),
        flags in any::<(bool, bool, bool, bool)>(),
    ) -> Standing {
        Standing {
            time: times.0, last: times.1, anchor: times.2, offset: times.3,
            occurrence: counts.0, missed: counts.1, fingerprint: counts.2,
            previous: moments.0, triggered: moments.1, wanted: moments.2,
            paused: flags.0, declared: flags.1, spent: flags.2, overdue: flags.3,
        }
    }
}

proptest! {
    #[test]
    fn it_is_read_as_it_was_written_and_can_be_spent(standing in any_standing()) {
        let mut bytes = encode(&standing);
        prop_assert_eq!(decode(&bytes), Some(standing));
        spend(&mut bytes);
        prop_assert_eq!(decode(&bytes), Some(Standing { spent: true, ..standing }));
    }

    #[test]
    fn bytes_of_another_form_are_none(standing in any_standing(), length in 0..2 * LENGTH) {
        let mut bytes = encode(&standing).to_vec();
        bytes.resize(length, 0);
        prop_assert_eq!(decode(&bytes).is_some(), length == LENGTH);
        let mut bytes = encode(&standing);
        bytes[0] |= 128;
        prop_assert_eq!(decode(&bytes), None);
    }
}

#[test]
fn what_is_not_said_to_be_there_is_zero() {
    let mut bytes = encode(&Standing::new(5));
    bytes[60] = 1;
    assert_eq!(decode(&bytes), None);
    spend(&mut []);
}
