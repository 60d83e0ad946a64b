//! The journal: one file beside the database to which every batch is appended before anything
//! else happens to it, and from which the database is brought up to date when it is opened.
//!
//! ```text
//! 0      "duewheel ops 2\n\0", salt u32, salt of the life before u32, zeros up to 4096
//! 4096   record, record, …        then zeros, or records of an earlier lap
//!
//! record  length of the batch u32 │ sum u32 │ number u64 │ synced u64 │ batch (see codec)
//! ```
//!
//! Records are numbered without gaps. `synced` says up to which number all were on disk when this
//! one was written: if one of them is missing later, the file was damaged, and that is no end of a
//! journal like another. The sum is a CRC-32 of the rest of the record that begins at a salt, which the
//! database holds as well and every opening renews. When all records are in the database, the next is written over the first: space that has been written once is written
//! again and synced faster than fresh space. So the journal ends where the next number or the
//! sum is missing, and what an earlier lap or an earlier life left behind it is never taken for
//! a record.

use crate::disk::JournalFile;
use crate::{Error, StoreError};

const MAGIC: &[u8; 16] = b"duewheel ops 2\n\0";
/// Of the first version, which does not say whose it is.
const MAGIC_1: &[u8; 16] = b"duewheel ops 1\n\0";
/// Where records begin: a torn write of the first cannot reach the magic.
const START: u64 = 4096;
/// Bytes of a record before its batch.
const HEAD: usize = 24;
/// The file grows by this, in zeros: so that space is known to be there, and a sync that
/// follows has no new length to write.
const STEP: u64 = 256 << 10;
/// Space that only ends of jobs may take, so that they are recorded on a full disk, too.
const RESERVE: u64 = 64 << 10;
/// The length to which it is cut after a burst.
const KEPT: u64 = 16 << 20;

/// Whose a journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// It was made, and not begun before a crash.
    Blank,
    /// The head does not say: the format is the first.
    First,
    Named {
        salt: u32,
        /// Of the life that it was begun after.
        before: u32,
        /// There is a record in it.
        used: bool,
    },
    /// It is no journal.
    Foreign,
}

impl Head {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let field = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        match (bytes.starts_with(MAGIC), field(16), field(20)) {
            (true, Some(salt), Some(before)) => Head::Named {
                salt,
                before,
                used: record(bytes.get(START as usize..).unwrap_or_default(), salt).is_some(),
            },
            _ if bytes.starts_with(MAGIC_1) => Head::First,
            _ if bytes.iter().all(|&byte| byte == 0) => Head::Blank,
            _ => Head::Foreign,
        }
    }
}

/// The end of a journal, for appending.
pub(crate) struct Journal {
    salt: u32,
    end: u64,
    written: u64,
    /// The number of the last record.
    pub(crate) number: u64,
    /// The records that no drain has taken yet, as they are in the file.
    pub(crate) pending: Vec<u8>,
}

impl Journal {
    /// A journal without records, in a file that may hold those of the life before.
    pub(crate) fn begin(
        file: &dyn JournalFile,
        salt: u32,
        before: u32,
        number: u64,
    ) -> Result<Self, Error> {
        let mut head = vec![0; START as usize];
        head[..16].copy_from_slice(MAGIC);
        head[16..20].copy_from_slice(&salt.to_le_bytes());
        head[20..24].copy_from_slice(&before.to_le_bytes());
        file.write_at(&head, 0)?;
        let mut journal = Journal {
            salt,
            end: START,
            written: START,
            number,
            pending: Vec::new(),
        };
        file.set_len(START)?;
        journal.grow(file, START)?;
        file.sync()?;
        Ok(journal)
    }

    /// Append one batch. `reserved` may take the space that is kept for the ends of jobs; all up to
    /// the record `synced` are on disk.
    #[inline]
    pub(crate) fn append(
        &mut self,
        file: &dyn JournalFile,
        reserved: bool,
        synced: u64,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<u64, Error> {
        let from = self.pending.len();
        let written = self.write(file, reserved, synced, encode);
        if written.is_err() {
            // A record that was written in part does not have its sum; the next goes over it.
            self.pending.truncate(from);
        }
        written
    }

    fn write(
        &mut self,
        file: &dyn JournalFile,
        reserved: bool,
        synced: u64,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<u64, Error> {
        let from = self.pending.len();
        self.pending.extend_from_slice(&[0; HEAD]);
        encode(&mut self.pending);
        let record = &mut self.pending[from..];
        let length = u32::try_from(record.len() - HEAD).map_err(|_| {
            StoreError::TooLarge("a batch is over 4 GiB: schedule fewer at once".into())
        })?;
        let number = self.number + 1;
        record[0..4].copy_from_slice(&length.to_le_bytes());
        record[8..16].copy_from_slice(&number.to_le_bytes());
        record[16..24].copy_from_slice(&synced.to_le_bytes());
        let sum = sum(self.salt, record);
        record[4..8].copy_from_slice(&sum.to_le_bytes());
        let end = self.end + record.len() as u64;
        if end + RESERVE > self.written {
            let grown = self.grow(file, end);
            if grown.is_err() && !(reserved && end <= self.written) {
                return grown.map(|()| 0);
            }
        }
        file.write_at(&self.pending[from..], self.end)?;
        self.end = end;
        self.number = number;
        Ok(number)
    }

    fn grow(&mut self, file: &dyn JournalFile, end: u64) -> Result<(), Error> {
        const ZEROS: &[u8] = &[0; 64 << 10];
        let length = (end + RESERVE).next_multiple_of(STEP);
        while self.written < length {
            let part = (length - self.written).min(ZEROS.len() as u64);
            file.write_at(&ZEROS[..part as usize], self.written)?;
            self.written += part;
        }
        Ok(())
    }

    /// Where its last record ends.
    pub(crate) fn length(&self) -> u64 {
        self.end
    }

    /// Begin a new lap. All records must be in the database, durably.
    pub(crate) fn lap(&mut self, file: &dyn JournalFile) -> Result<(), Error> {
        debug_assert!(self.pending.is_empty());
        self.end = START;
        if self.written > KEPT {
            file.set_len(KEPT)?;
            self.written = KEPT;
        }
        Ok(())
    }
}

#[inline]
fn sum(salt: u32, record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(&record[..4]);
    hasher.update(&record[8..]);
    hasher.finalize()
}

/// The records of a journal's last lap that come after the record `applied`, as one slice, and
/// the number of the last.
pub(crate) fn replay(bytes: &[u8], salt: u32, applied: u64) -> Result<(&[u8], u64), Error> {
    if bytes.iter().all(|&byte| byte == 0) {
        return Ok((&[], applied)); // made, and not begun before a crash
    }
    if !bytes.starts_with(MAGIC) && !bytes.starts_with(MAGIC_1) {
        return Err(Error::corrupt("its journal is none"));
    }
    let mut last = None;
    let mut at = START as usize;
    let mut from = None;
    while let Some((number, length)) = record(bytes.get(at..).unwrap_or_default(), salt) {
        match last {
            None if number > applied + 1 => {
                return Err(Error::corrupt("its journal is of a later state"));
            }
            Some(last) if number != last + 1 => break,
            _ => {}
        }
        if number == applied + 1 {
            from = Some(at);
        }
        last = Some(number);
        at += length;
    }
    let end = last.unwrap_or(0).max(applied);
    if let Some(lost) = lost(&bytes[at.min(bytes.len())..], salt, end) {
        return Err(Error::corrupt(format!(
            "its journal lacks the batch {lost}, which was on disk"
        )));
    }
    match (from, last) {
        (Some(from), Some(last)) => Ok((&bytes[from..at], last)),
        _ => Ok((&[], applied)),
    }
}

/// A batch after the record `end` that a later record knows to have been on disk.
fn lost(bytes: &[u8], salt: u32, end: u64) -> Option<u64> {
    // Where the records end, nobody knows where a later one begins: look everywhere, and into the
    // sum only where the number could be one.
    let field = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    (0..bytes.len().saturating_sub(HEAD)).find_map(|at| {
        let (number, synced) = (field(at + 8)?, field(at + 16)?);
        let later = synced > end && number > synced && number - end < 1 << 32;
        (later && record(&bytes[at..], salt).is_some()).then_some(end + 1)
    })
}

/// The number and the whole length of the record at the beginning of `bytes`, if it is one.
fn record(bytes: &[u8], salt: u32) -> Option<(u64, usize)> {
    let length = HEAD + u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    let record = bytes.get(..length)?;
    let kept = u32::from_le_bytes(*record[4..].first_chunk()?);
    let number = u64::from_le_bytes(*record[8..].first_chunk()?);
    (number > 0 && sum(salt, record) == kept).then_some((number, length))
}

/// The batches in a run of records that are known to be whole.
pub(crate) fn batches(mut records: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = u32::from_le_bytes(*records.first_chunk()?) as usize;
        let (record, rest) = records.split_at_checked(HEAD + length)?;
        records = rest;
        Some(&record[HEAD..])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, RealDisk};

    fn read(file: &dyn JournalFile, salt: u32, applied: u64) -> Result<(Vec<Vec<u8>>, u64), Error> {
        let bytes = file.read_all().unwrap();
        let (records, last) = replay(&bytes, salt, applied)?;
        Ok((batches(records).map(<[u8]>::to_vec).collect(), last))
    }

    fn with_file(name: &str, test: impl FnOnce(&dyn JournalFile)) {
        let path = std::env::temp_dir().join(format!("duewheel-{}-{name}", std::process::id()));
        let file = RealDisk.open(&path, true).unwrap().unwrap();
        test(&*file);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_is_appended_is_replayed_after_what_is_applied() {
        with_file("append", |file| {
            let mut journal = Journal::begin(file, 7, 0, 10).unwrap();
            for byte in 1..=3 {
                let number = journal
                    .append(file, false, 0, |out| out.extend([byte; 100]))
                    .unwrap();
                assert_eq!(number, 10 + u64::from(byte));
            }
            assert_eq!(
                read(file, 7, 10),
                Ok((vec![vec![1; 100], vec![2; 100], vec![3; 100]], 13))
            );
            assert_eq!(
                read(file, 7, 11),
                Ok((vec![vec![2; 100], vec![3; 100]], 13))
            );
            assert_eq!(read(file, 7, 13), Ok((vec![], 13)));
            assert_eq!(read(file, 8, 10), Ok((vec![], 10)), "another life's salt");
            assert!(
                matches!(read(file, 7, 9), Err(Error::Store(StoreError::Corrupt(_)))),
                "a record is missing"
            );
        });
    }

    #[test]
    fn a_new_lap_ends_where_the_old_one_goes_on() {
        with_file("lap", |file| {
            let mut journal = Journal::begin(file, 7, 0, 0).unwrap();
            for byte in 0..9 {
                journal
                    .append(file, false, 0, |out| out.extend([byte; 100]))
                    .unwrap();
            }
            journal.pending.clear();
            journal.lap(file).unwrap();
            journal
                .append(file, false, 0, |out| out.extend([77; 100]))
                .unwrap();
            assert_eq!(read(file, 7, 9), Ok((vec![vec![77; 100]], 10)));
        });
    }

    #[test]
    fn a_damaged_record_that_was_synced_is_no_end() {
        with_file("damaged", |file| {
            let mut journal = Journal::begin(file, 7, 0, 0).unwrap();
            for byte in 1..=4 {
                // Each was synced before the next but one was written.
                let synced = u64::from(byte).saturating_sub(2);
                journal
                    .append(file, false, synced, |out| out.extend([byte; 50]))
                    .unwrap();
            }
            let length = (HEAD + 50) as u64;
            for (damaged, kept) in [(1, None), (2, None), (3, Some(2)), (4, Some(3))] {
                let at = START + length * damaged - 1;
                file.write_at(&[99], at).unwrap();
                let found = read(file, 7, 0).ok().map(|(_, last)| last);
                assert_eq!(found, kept, "the record {damaged}");
                file.write_at(&[damaged as u8], at).unwrap();
            }
            assert_eq!(read(file, 7, 2).unwrap().1, 4);
        });
    }

    #[test]
    fn a_gap_in_the_numbers_ends_it() {
        with_file("gap", |file| {
            let mut journal = Journal::begin(file, 7, 0, 0).unwrap();
            for number in [1, 2, 5, 6] {
                journal.number = number - 1;
                journal
                    .append(file, false, 0, |out| out.extend([1; 50]))
                    .unwrap();
            }
            assert_eq!(read(file, 7, 0).unwrap().1, 2);
        });
    }

    #[test]
    fn a_torn_record_ends_it() {
        with_file("torn", |file| {
            let mut journal = Journal::begin(file, 7, 0, 0).unwrap();
            journal
                .append(file, false, 0, |out| out.extend([1; 50]))
                .unwrap();
            let torn = START + HEAD as u64 + 50;
            journal
                .append(file, false, 0, |out| out.extend([2; 5000]))
                .unwrap();
            file.write_at(&[0], torn + HEAD as u64 + 4000).unwrap();
            assert_eq!(read(file, 7, 0), Ok((vec![vec![1; 50]], 1)));
        });
    }
}
