//! Whose file it is: locks, names, what belongs together.

pub(crate) mod claim;
pub(crate) mod files;
pub(crate) mod identity;
pub(crate) mod life;
pub(crate) mod locks;
