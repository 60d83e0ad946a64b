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

use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng};

/// The two halves of a UUID, most significant first.
pub type Halves = [u64; 2];

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

/// Write an id in its canonical form: 36 lower-case characters.
#[inline]
pub fn format(id: Halves, out: &mut [u8; 36]) {
    uuid::Uuid::from_u64_pair(id[0], id[1])
        .hyphenated()
        .encode_lower(out);
}

/// Read an id in its canonical form; any other spelling is another id.
#[inline]
pub fn parse(text: &str) -> Option<Halves> {
    let bytes = text.as_bytes();
    if bytes.len() != 36 || bytes.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let (high, low) = uuid::Uuid::try_parse_ascii(bytes).ok()?.as_u64_pair();
    Some([high, low])
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn ids_of_one_index_differ() {
        let mut ids = IdSource::new().unwrap();
        let made: std::collections::HashSet<Halves> = (0..10_000).map(|_| ids.make(0, 5)).collect();
        assert_eq!(made.len(), 10_000);
    }
}
