//! Schedules as Python sees them: values, made of what Python gives, and shown in its own types.

mod kinds;
pub(crate) mod methods;
pub(crate) mod moments;
pub(crate) mod reading;
mod showing;
pub(crate) mod value;
