//! What few jobs carry beside their data, and the form in which stores keep it.

use std::collections::BTreeMap;

/// Texts by name.
pub type Headers = BTreeMap<String, String>;

/// What few jobs carry beside their data. It never changes but by an edit of the job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Texts for whoever looks at the job: traces, tenants, ids of requests. They are never sealed.
    pub headers: Headers,
    /// Jobs of one target and key run one after another.
    pub key: Option<String>,
    /// For how long how it has ended is kept, in nanoseconds from its end; its id stays taken as long.
    pub keep: Option<i64>,
}

const HEADER: u8 = 1;
const KEEP: u8 = 2;
const KEY: u8 = 3;

impl Carried {
    /// How many bytes names and texts of headers may have in all.
    pub const MOST_BYTES: usize = 4 * 1024;

    /// Itself, if it says anything.
    #[must_use]
    pub fn if_any(self) -> Option<Self> {
        (self != Carried::default()).then_some(self)
    }

    /// How many bytes the headers have in all.
    #[must_use]
    pub fn bytes_of(headers: &Headers) -> usize {
        let lengths = headers.iter().map(|(name, text)| name.len() + text.len());
        lengths.sum()
    }

    /// As bytes: field after field, each a tag, and texts with their length (u32, little-endian) before them; `keep` as an i64.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, text) in &self.headers {
            out.push(HEADER);
            write_text(name, &mut out);
            write_text(text, &mut out);
        }
        if let Some(key) = &self.key {
            out.push(KEY);
            write_text(key, &mut out);
        }
        if let Some(keep) = self.keep {
            out.push(KEEP);
            out.extend_from_slice(&keep.to_le_bytes());
        }
        out
    }

    /// What was encoded; `None`: these bytes are nothing that this version knows.
    #[must_use]
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut carried = Carried::default();
        while let Some((tag, rest)) = bytes.split_first() {
            bytes = rest;
            match *tag {
                HEADER => {
                    let name = read_text(&mut bytes)?;
                    let text = read_text(&mut bytes)?;
                    carried.headers.insert(name, text);
                }
                KEY => carried.key = Some(read_text(&mut bytes)?),
                KEEP => {
                    let (keep, rest) = bytes.split_first_chunk()?;
                    carried.keep = Some(i64::from_le_bytes(*keep));
                    bytes = rest;
                }
                _ => return None,
            }
        }
        Some(carried)
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn read_text(bytes: &mut &[u8]) -> Option<String> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_and_nothing_shorter(
            headers in prop::collection::btree_map(".{0,20}", ".{0,20}", 0..5),
            key in prop::option::of(".{0,20}"),
            keep in prop::option::of(any::<i64>()),
        ) {
            let carried = Carried { headers, key, keep };
            let bytes = carried.encode();
            prop_assert_eq!(Carried::decode(&bytes), Some(carried.clone()));
            for end in 0..bytes.len() {
                prop_assert_ne!(Carried::decode(&bytes[..end]), Some(carried.clone()));
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(0u8..4, 0..40)) {
            if let Some(carried) = Carried::decode(&bytes) {
                prop_assert_eq!(Carried::decode(&carried.encode()), Some(carried));
            }
        }
    }
}
