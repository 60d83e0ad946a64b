//! Keys, and payloads sealed under them: AES-256-GCM-SIV (RFC 8452).
//!
//! A sealed payload is its nonce (12 bytes), the ciphertext, and the tag (16 bytes). The
//! associated data bind it to the format, the job's id and its target, so that no payload can be
//! put in the place of another's.

use crate::Error;
use aes_gcm_siv::aead::{Aead, Payload};
use aes_gcm_siv::{Aes256GcmSiv, KeyInit, Nonce};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

const NONCE: usize = 12;
const FORMAT: &[u8] = b"duewheel payload 1";
/// Of what a handler has returned: it opens in no payload's place.
const RESULT: &[u8] = b"duewheel result 1";
/// What a key is checked by: this, sealed under it.
const PROOF: &[u8] = b"duewheel key";

/// Keys by their numbers; the default one seals, each opens.
pub struct Keyring {
    keys: BTreeMap<u32, Aes256GcmSiv>,
    default: u32,
    /// Nonces are a random number of this keyring, counted up: none is used twice but by a
    /// chance of 2⁻⁹⁶, and GCM-SIV bears even that.
    base: [u8; NONCE],
    used: AtomicU64,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&u32> = self.keys.keys().collect();
        write!(f, "Keyring({keys:?}, default={})", self.default)
    }
}

impl Keyring {
    /// A keyring of these keys.
    ///
    /// # Errors
    ///
    /// [`Error::WrongKey`] when the default is not one of them, [`Error::Io`] when the system
    /// has no randomness.
    pub fn new(
        keys: impl IntoIterator<Item = (u32, [u8; 32])>,
        default: u32,
    ) -> Result<Self, Error> {
        let keys: BTreeMap<u32, Aes256GcmSiv> = keys
            .into_iter()
            .map(|(number, key)| (number, Aes256GcmSiv::new(&key.into())))
            .collect();
        if !keys.contains_key(&default) {
            return Err(Error::WrongKey(format!(
                "the default key {default} is not in the keyring"
            )));
        }
        let mut base = [0; NONCE];
        getrandom::fill(&mut base).map_err(|error| Error::Io(error.to_string()))?;
        Ok(Keyring {
            keys,
            default,
            base,
            used: AtomicU64::new(0),
        })
    }

    /// The number of the key that seals.
    pub fn default_key(&self) -> u32 {
        self.default
    }

    fn cipher(&self, key: u32) -> Result<&Aes256GcmSiv, Error> {
        self.keys
            .get(&key)
            .ok_or_else(|| Error::WrongKey(format!("the store needs the key {key}")))
    }

    fn seal_under(&self, key: u32, bytes: &[u8], bound: &[u8]) -> Result<Vec<u8>, Error> {
        let mut nonce = self.base;
        let count = self.used.fetch_add(1, Ordering::Relaxed);
        let mut low = [0; 8];
        low.copy_from_slice(&nonce[4..]);
        nonce[4..].copy_from_slice(&u64::from_le_bytes(low).wrapping_add(count).to_le_bytes());
        let payload = Payload {
            msg: bytes,
            aad: bound,
        };
        let sealed = self
            .cipher(key)?
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| Error::Io("a payload is too long to be encrypted".into()))?;
        let mut out = Vec::with_capacity(NONCE + sealed.len());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    fn open_under(&self, key: u32, sealed: &[u8], bound: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let cipher = self.cipher(key)?;
        let Some((nonce, bytes)) = sealed.split_first_chunk::<NONCE>() else {
            return Ok(None);
        };
        let payload = Payload {
            msg: bytes,
            aad: bound,
        };
        Ok(cipher.decrypt(&Nonce::from(*nonce), payload).ok())
    }

    /// Seal a payload under the default key.
    pub fn seal(&self, id: &str, target: &str, data: &[u8]) -> Result<Vec<u8>, Error> {
        self.seal_under(self.default, data, &bound(FORMAT, id, target))
    }

    /// Seal what a handler has returned under the default key.
    pub fn seal_result(&self, id: &str, target: &str, result: &[u8]) -> Result<Vec<u8>, Error> {
        self.seal_under(self.default, result, &bound(RESULT, id, target))
    }

    /// Open what a handler has returned.
    pub fn open_result(
        &self,
        key: u32,
        id: &str,
        target: &str,
        sealed: &[u8],
    ) -> Result<Vec<u8>, Error> {
        self.open_under(key, sealed, &bound(RESULT, id, target))?
            .ok_or_else(|| {
                Error::Unreadable(format!("its result is not what was sealed for {id:?}"))
            })
    }

    /// Open a payload.
    pub fn open(&self, key: u32, id: &str, target: &str, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        self.open_under(key, sealed, &bound(FORMAT, id, target))?
            .ok_or_else(|| {
                Error::Unreadable(format!("its payload is not what was sealed for {id:?}"))
            })
    }

    /// Whether these bytes are a payload that one of the keys has sealed.
    pub fn has_sealed(&self, id: &str, target: &str, bytes: &[u8]) -> bool {
        let bound = bound(FORMAT, id, target);
        self.keys
            .keys()
            .any(|&key| matches!(self.open_under(key, bytes, &bound), Ok(Some(_))))
    }

    /// What shows later that a key is the same.
    pub fn proof(&self, key: u32) -> Result<Vec<u8>, Error> {
        self.seal_under(key, PROOF, FORMAT)
    }

    /// Refuse a key that is not the one of a proof.
    pub fn check(&self, key: u32, proof: &[u8]) -> Result<(), Error> {
        match self.open_under(key, proof, FORMAT)? {
            Some(bytes) if bytes == PROOF => Ok(()),
            _ => Err(Error::WrongKey(format!(
                "the key {key} is not the one that the store was written with"
            ))),
        }
    }
}

fn bound(format: &[u8], id: &str, target: &str) -> Vec<u8> {
    let mut bound = Vec::with_capacity(format.len() + 4 + id.len() + target.len());
    bound.extend_from_slice(format);
    bound.extend_from_slice(&(id.len() as u32).to_le_bytes());
    bound.extend_from_slice(id.as_bytes());
    bound.extend_from_slice(target.as_bytes());
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_opens_only_in_its_own_place() {
        let ring = Keyring::new([(1, [1; 32]), (2, [2; 32])], 2).unwrap();
        let sealed = ring.seal("a", "mail", b"hello").unwrap();
        assert_eq!(ring.open(2, "a", "mail", &sealed), Ok(b"hello".to_vec()));
        for (key, id, target) in [(1, "a", "mail"), (2, "b", "mail"), (2, "am", "ail")] {
            assert!(matches!(
                ring.open(key, id, target, &sealed),
                Err(Error::Unreadable(_))
            ));
        }
        assert!(matches!(
            ring.open(3, "a", "mail", &sealed),
            Err(Error::WrongKey(_))
        ));
        assert!(matches!(
            ring.open(2, "a", "mail", b"short"),
            Err(Error::Unreadable(_))
        ));
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            assert!(ring.open(2, "a", "mail", &flipped).is_err());
        }
        assert_ne!(
            ring.seal("a", "mail", b"hello").unwrap(),
            sealed,
            "a nonce was used twice"
        );
    }

    #[test]
    fn a_result_opens_in_no_payloads_place() {
        let ring = Keyring::new([(1, [1; 32])], 1).unwrap();
        let (sealed, result) = (ring.seal("a", "t", b"d"), ring.seal_result("a", "t", b"r"));
        let result = result.unwrap();
        assert_eq!(ring.open_result(1, "a", "t", &result), Ok(b"r".to_vec()));
        assert!(ring.open(1, "a", "t", &result).is_err());
        assert!(ring.open_result(1, "a", "t", &sealed.unwrap()).is_err());
        assert!(ring.open_result(1, "b", "t", &result).is_err());
    }

    #[test]
    fn a_proof_knows_its_key() {
        let ring = Keyring::new([(1, [1; 32])], 1).unwrap();
        let proof = ring.proof(1).unwrap();
        assert_eq!(ring.check(1, &proof), Ok(()));
        let other = Keyring::new([(1, [9; 32])], 1).unwrap();
        assert!(matches!(other.check(1, &proof), Err(Error::WrongKey(_))));
        assert!(Keyring::new([(1, [1; 32])], 5).is_err());
    }
}
