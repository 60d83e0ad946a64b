//! The keys that a store is opened with.

use duewheel_store::Keyring;
use pyo3::prelude::*;
use std::collections::HashMap;

/// A `Keyring`, by its attributes.
#[derive(FromPyObject)]
pub(super) struct Keys {
    #[pyo3(attribute("_keys"))]
    keys: HashMap<u32, [u8; 32]>,
    #[pyo3(attribute("_default"))]
    default: u32,
}

impl Keys {
    /// The keys, where any are given.
    pub(super) fn keyring(given: Option<Self>) -> Result<Option<Keyring>, duewheel_store::Error> {
        given
            .map(|given| Keyring::new(given.keys, given.default))
            .transpose()
    }
}
