//! What jobs are called in the tables: a UUID of each id, so that one index of 16 bytes finds them all.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The UUID of an id, and the id itself where that does not follow from it. The same as `key_of` in SQL.
pub(crate) fn key_of(id: &str) -> (Uuid, Option<&str>) {
    if let Ok(uuid) = Uuid::try_parse(id)
        && uuid
            .as_hyphenated()
            .encode_lower(&mut Uuid::encode_buffer())
            == id
    {
        return (uuid, None);
    }
    let digest = Sha256::digest(id.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    (
        uuid::Builder::from_custom_bytes(bytes).into_uuid(),
        Some(id),
    )
}

/// The id that a row has.
pub(crate) fn id_of(key: Uuid, name: Option<String>) -> String {
    name.unwrap_or_else(|| key.as_hyphenated().to_string())
}

/// An identifier, quoted.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_id_is_its_own_key_and_a_given_one_is_hashed() {
        let generated = "01890000-0000-7000-8000-00000000000a";
        assert_eq!(
            key_of(generated),
            (Uuid::try_parse(generated).unwrap(), None)
        );
        assert_eq!(id_of(key_of(generated).0, None), generated);
        for given in [
            "j1",
            "01890000-0000-7000-8000-00000000000A",
            "018900000000700080000000000000aa",
        ] {
            let (key, name) = key_of(given);
            assert_eq!((key.get_version_num(), name), (8, Some(given)));
        }
        assert_ne!(key_of("a").0, key_of("b").0);
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
