//! What the parts of the engine do together, with its inside in sight.

#[cfg(target_os = "linux")]
mod controls;
#[cfg(target_os = "linux")]
mod lanes;
mod marks;
mod timer_wakes;
