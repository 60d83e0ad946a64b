//! Generated ids: UUIDv7, unguessable, and found again without a hash map.
//!
//! | bits | what |
//! | --- | --- |
//! | 48 | unix milliseconds when the job was scheduled |
//! | 4 | version 7 |
//! | 12 | random |
//! | 2 | variant |
//! | 30 | random |
//! | 32 | the index of the job in the slab, xored with a keyed hash of the 42 random bits |
//!
//! The random bits are those of a generator for cryptography, seeded by the operating system: who
//! knows some ids cannot guess another. The hash only keeps the index from being read off an id;
//! a fast one does. Undoing the xor gives a hint where the job may be; the id is right only if
//! all 128 bits are those kept there.

use crate::jobs::digits;
use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng};
use std::borrow::Cow;

/// The two halves of a UUID, most significant first.
pub type Halves = [u64; 2];

/// Ids of many jobs.
pub trait IdList {
    /// How many there are.
    fn count(&self) -> usize;
    /// One of them, read already; `None`: it is in another form than a generated one, or was not read.
    fn generated(&self, at: usize) -> Option<Halves>;
    /// Its text.
    fn text(&self, at: usize) -> Cow<'_, str>;
}

/// Makes ids and finds the index in them.
#[derive(Debug)]
pub struct IdSource {
    random: StdRng,
    keys: [u64; 2],
}

/// The index in the id of a job that is not in memory: no slab is so large.
pub const NOWHERE: u32 = u32::MAX;

const RANDOM_BITS: u64 = (1 << 42) - 1;

impl IdSource {
    /// A source with a secret of its own.
    ///
    /// # Errors
    ///
    /// When the operating system has no randomness to give.
    pub fn new() -> std::io::Result<Self> {
        let mut random = StdRng::try_from_rng(&mut SysRng).map_err(std::io::Error::other)?;
        let keys = [random.next_u64(), random.next_u64() | 1];
        Ok(IdSource { random, keys })
    }

    // Two rounds of multiplying and folding, as hashes of integers end; secret by its keys.
    #[inline]
    fn mask(&self, random: u64) -> u32 {
        let mixed = (random ^ self.keys[0]).wrapping_mul(self.keys[1]);
        ((mixed ^ mixed >> 32).wrapping_mul(self.keys[1]) >> 32) as u32
    }

    /// A new id for the job at `index`, scheduled at `wall` nanoseconds.
    #[inline]
    pub fn make(&mut self, wall: i64, index: u32) -> Halves {
        let random = self.random.next_u64() & RANDOM_BITS;
        let masked = index ^ self.mask(random);
        let milliseconds = (wall / 1_000_000) as u64 & ((1 << 48) - 1);
        let high = milliseconds << 16 | 0x7000 | random >> 30;
        let low = 0x8000_0000_0000_0000 | (random & ((1 << 30) - 1)) << 32 | u64::from(masked);
        [high, low]
    }

    /// Where the job with this id would be, if it came from here.
    #[inline]
    pub fn index(&self, id: Halves) -> u32 {
        let random = (id[0] & 0xfff) << 30 | (id[1] >> 32) & ((1 << 30) - 1);
        id[1] as u32 ^ self.mask(random)
    }
}

/// Where the hyphens are.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// Eight bytes of two parts of four.
#[inline]
fn join(first: &[u8; 4], second: &[u8; 4]) -> [u8; 8] {
    let wide = u64::from(u32::from_le_bytes(*second)) << 32 | u64::from(u32::from_le_bytes(*first));
    wide.to_le_bytes()
}

/// Write an id in its canonical form: 36 lower-case characters.
#[inline]
pub fn format(id: Halves, out: &mut [u8; 36]) {
    let [a, b, c, d] = digits::write(id);
    for at in HYPHENS {
        out[at] = b'-';
    }
    out[..8].copy_from_slice(&a);
    out[9..13].copy_from_slice(&b[..4]);
    out[14..18].copy_from_slice(&b[4..]);
    out[19..23].copy_from_slice(&c[..4]);
    out[24..28].copy_from_slice(&c[4..]);
    out[28..].copy_from_slice(&d);
}

/// Read an id in its canonical form; any other spelling is another id.
#[inline]
pub fn parse(text: &str) -> Option<Halves> {
    let text: &[u8; 36] = text.as_bytes().try_into().ok()?;
    let four = |at: usize| [text[at], text[at + 1], text[at + 2], text[at + 3]];
    let eight = |first, second| join(&four(first), &four(second));
    let wrong = HYPHENS.map(|at| text[at] ^ b'-');
    let id = digits::read(&[eight(0, 4), eight(9, 14), eight(19, 24), eight(28, 32)]);
    id.filter(|_| wrong == [0; 4])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_finds_its_index_and_is_a_uuid_7() {
        let mut ids = IdSource::new().unwrap();
        for index in [0, 1, 77, u32::MAX] {
            let id = ids.make(1_800_000_000_123_456_789, index);
            assert_eq!(ids.index(id), index);
            let mut text = [0; 36];
            format(id, &mut text);
            let text = std::str::from_utf8(&text).unwrap();
            assert_eq!(parse(text), Some(id));
            let uuid = uuid::Uuid::parse_str(text).unwrap();
            assert_eq!(uuid.get_version_num(), 7);
            assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
            assert_eq!(id[0] >> 16, 1_800_000_000_123);
            assert_eq!(parse(&text.to_uppercase().replace('7', "A")), None);
        }
    }

    fn of_uuid(text: &str) -> Option<Halves> {
        if text.len() != 36 || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let (high, low) = uuid::Uuid::parse_str(text).ok()?.as_u64_pair();
        Some([high, low])
    }

    proptest! {
        #[test]
        fn an_id_is_written_and_read_as_the_crate_of_uuids_does(high: u64, low: u64) {
            let mut text = [0; 36];
            format([high, low], &mut text);
            let text = std::str::from_utf8(&text).unwrap();
            prop_assert_eq!(text, uuid::Uuid::from_u64_pair(high, low).to_string());
            prop_assert_eq!(parse(text), Some([high, low]));
        }

        #[test]
        fn what_is_no_id_is_refused_as_the_crate_of_uuids_does(text in "[0-9a-f-]{35,37}|\\PC{36}") {
            prop_assert_eq!(parse(&text), of_uuid(&text));
        }
    }

    /// Each byte at each place, alone.
    #[test]
    fn one_wrong_byte_makes_it_another_id() {
        let right = "01890000-abcd-7fff-8901-23456789abcd";
        assert_eq!(parse(right), of_uuid(right));
        assert!(parse(right).is_some());
        for at in 0..36 {
            for byte in 0..=0x7f {
                let mut text = right.as_bytes().to_vec();
                text[at] = byte;
                let text = String::from_utf8(text).unwrap();
                assert_eq!(parse(&text), of_uuid(&text), "{text:?}");
            }
            // Two bytes with a high bit in place of two.
            let mut text = right.to_owned();
            if at < 35 {
                text.replace_range(at..at + 2, "\u{b0}");
                assert_eq!(parse(&text), None, "{text:?}");
            }
        }
        assert_eq!(parse(&right[1..]), None);
        assert_eq!(parse(&format!("{right}0")), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn ids_of_one_index_differ() {
        let mut ids = IdSource::new().unwrap();
        let made: std::collections::HashSet<Halves> = (0..10_000).map(|_| ids.make(0, 5)).collect();
        assert_eq!(made.len(), 10_000);
    }
}
