//! Payloads as they are stored: sealed where a store has keys, as they are where it has none.

use crate::{Error, Job, Kept, Keyring, Op};

/// What a batch inserts, edits and keeps, as it is to be stored.
#[derive(Debug)]
pub struct SealedBatch<'a> {
    batch: &'a [Op<'a>],
    key: Option<u32>,
    /// The payloads of its insertions and edits, and the results that it keeps, in order; none without keys.
    sealed: Vec<Vec<u8>>,
}

impl<'a> SealedBatch<'a> {
    /// Seal the payloads of a batch under the default key.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when one is too long to be encrypted.
    pub fn new(batch: &'a [Op<'a>], keys: Option<&Keyring>) -> Result<Self, Error> {
        let mut sealed = Vec::new();
        if let Some(keys) = keys {
            for op in batch {
                match op {
                    Op::Insert(job) | Op::Edit(job) => sealed.push(keys.seal_job(job)?),
                    Op::Keep { kept, .. } => sealed.push(keys.seal_kept(kept)?),
                    _ => {}
                }
            }
        }
        Ok(SealedBatch {
            batch,
            key: keys.map(Keyring::default_key),
            sealed,
        })
    }

    /// Each operation, with the payload to be stored and the key that it is sealed under: that of an
    /// insertion or an edit, or a result that is kept; others have none.
    pub fn ops(&self) -> impl Iterator<Item = (&'a Op<'a>, &[u8], Option<u32>)> {
        let mut sealed = self.sealed.iter();
        self.batch.iter().map(move |op| match op {
            Op::Insert(job) | Op::Edit(job) => {
                let data = sealed.next().map_or(&*job.data, |sealed| &**sealed);
                (op, data, self.key)
            }
            Op::Keep { kept, .. } => {
                let result = sealed.next().map_or(&*kept.result, |sealed| &**sealed);
                (op, result, self.key)
            }
            other => (other, &[][..], None),
        })
    }

    /// Whether it has payloads: an insertion or an edit.
    pub fn inserts(&self) -> bool {
        self.batch
            .iter()
            .any(|op| matches!(op, Op::Insert(_) | Op::Edit(_)))
    }
}

/// Open a payload that is stored under a key, or under none.
///
/// # Errors
///
/// [`Error::WrongKey`] when its key is missing, [`Error::Unreadable`] when it is another's, or is sealed
/// and says no key: the number of its key was damaged, and what is sealed is nobody's payload.
pub fn open_payload(
    keys: Option<&Keyring>,
    key: Option<u32>,
    (id, target): (&str, &str),
    data: &[u8],
) -> Result<Vec<u8>, Error> {
    match (key, keys) {
        (None, Some(keys)) if keys.has_sealed(id, target, data) => Err(Error::Unreadable(format!(
            "its payload is sealed for {id:?}, and no key is named"
        ))),
        (None, _) => Ok(data.to_vec()),
        (Some(key), Some(keys)) => keys.open(key, id, target, data),
        (Some(key), None) => Err(Error::WrongKey(format!("the store needs the key {key}"))),
    }
}

/// Open a result that is kept under a key, or under none.
///
/// # Errors
///
/// [`Error::WrongKey`] when its key is missing, [`Error::Unreadable`] when it is another's.
pub fn open_result(
    keys: Option<&Keyring>,
    key: Option<u32>,
    (id, target): (&str, &str),
    result: &[u8],
) -> Result<Vec<u8>, Error> {
    match (key, keys) {
        (None, _) => Ok(result.to_vec()),
        (Some(key), Some(keys)) => keys.open_result(key, id, target, result),
        (Some(key), None) => Err(Error::WrongKey(format!("the store needs the key {key}"))),
    }
}

/// Refuse keys that lack one that a store was written with, or have another under its number.
///
/// # Errors
///
/// [`Error::WrongKey`].
pub fn check_key(keys: Option<&Keyring>, key: u32, proof: &[u8]) -> Result<(), Error> {
    match keys {
        Some(keys) => keys.check(key, proof),
        None => Err(Error::WrongKey(format!(
            "the store is encrypted, and needs the key {key}"
        ))),
    }
}

impl Keyring {
    /// Seal the payload of a job under the default key.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when it is too long to be encrypted.
    pub fn seal_job(&self, job: &Job<'_>) -> Result<Vec<u8>, Error> {
        self.seal(&job.id, &job.target, &job.data)
    }

    /// Seal the result of a job that is kept under the default key.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when it is too long to be encrypted.
    pub fn seal_kept(&self, kept: &Kept) -> Result<Vec<u8>, Error> {
        self.seal_result(&kept.id, &kept.target, &kept.result)
    }
}
