//! How far a repeat has come, as bytes: in a journal, and in a column of tables.
//!
//! One form of one length, all integers little-endian, so that a row can be told to be spent
//! whatever else is in it. `docs/store.md` has the table.

use crate::Standing;

/// How many bytes it is.
pub const LENGTH: usize = 81;

const PREVIOUS: u8 = 1;
const TRIGGERED: u8 = 2;
const WANTED: u8 = 4;
const PAUSED: u8 = 8;
const DECLARED: u8 = 16;
const SPENT: u8 = 32;
const OVERDUE: u8 = 64;
const KNOWN: u8 = 127;

/// Write it.
pub fn encode(standing: &Standing) -> [u8; LENGTH] {
    let flags = [
        (standing.previous.is_some(), PREVIOUS),
        (standing.triggered.is_some(), TRIGGERED),
        (standing.wanted.is_some(), WANTED),
        (standing.paused, PAUSED),
        (standing.declared, DECLARED),
        (standing.spent, SPENT),
        (standing.overdue, OVERDUE),
    ];
    let numbers = [
        standing.time,
        standing.last,
        standing.anchor,
        standing.offset,
        standing.occurrence as i64,
        standing.missed as i64,
        standing.fingerprint as i64,
        standing.previous.unwrap_or(0),
        standing.triggered.unwrap_or(0),
        standing.wanted.unwrap_or(0),
    ];
    let mut bytes = [0; LENGTH];
    let set = flags.into_iter().filter(|(set, _)| *set);
    bytes[0] = set.map(|(_, flag)| flag).sum();
    for (at, number) in numbers.into_iter().enumerate() {
        bytes[1 + at * 8..][..8].copy_from_slice(&number.to_le_bytes());
    }
    bytes
}

/// Read what was written; `None`: it is of another form.
pub fn decode(bytes: &[u8]) -> Option<Standing> {
    let bytes: &[u8; LENGTH] = bytes.try_into().ok()?;
    let flags = bytes[0];
    let number = |at: usize| {
        let mut number = [0; 8];
        number.copy_from_slice(&bytes[1 + at * 8..][..8]);
        i64::from_le_bytes(number)
    };
    let has = |flag| flags & flag != 0;
    let optional = |at, flag| has(flag).then(|| number(at));
    let standing = Standing {
        time: number(0),
        last: number(1),
        anchor: number(2),
        offset: number(3),
        occurrence: number(4) as u64,
        missed: number(5) as u64,
        fingerprint: number(6) as u64,
        previous: optional(7, PREVIOUS),
        triggered: optional(8, TRIGGERED),
        wanted: optional(9, WANTED),
        paused: has(PAUSED),
        declared: has(DECLARED),
        spent: has(SPENT),
        overdue: has(OVERDUE),
    };
    // What is written in one way alone shows more of what was damaged.
    (flags & !KNOWN == 0 && encode(&standing) == *bytes).then_some(standing)
}

/// Note that its occurrence died with its process, whatever else it says.
pub fn spend(bytes: &mut [u8]) {
    if let Some(flags) = bytes.first_mut() {
        *flags |= SPENT;
    }
}
