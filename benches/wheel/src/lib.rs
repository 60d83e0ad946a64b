//! Nothing but benches: see `benches/wheel.rs`.
