//! One file, many processes on one machine: its owner serves a socket, others call by it.
//!
//! The thread of the [`server`] never needs the interpreter. What Python has to do, a few threads of Python do, which
//! [`work`](server::ShareServer) gives them: references to specifications ahead of the jobs that need them, freeing what
//! the engine gives back, and the calls that are answered in Python.

#[cfg(unix)]
mod calls;
#[cfg(unix)]
mod connection;
#[cfg(unix)]
mod desk;
#[cfg(unix)]
mod forks;
#[cfg(unix)]
mod inbox;
#[cfg(unix)]
mod inserts;
pub(crate) mod requests;
#[cfg(unix)]
pub(crate) mod server;
pub(crate) mod shapes;
#[cfg(unix)]
mod specs;
pub(crate) mod wire;

use pyo3::prelude::*;

/// Add what Python sees of it to the extension module.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<requests::ShareRequests>()?;
    module.add_function(wrap_pyfunction!(requests::hello_line, module)?)?;
    module.add_function(wrap_pyfunction!(requests::retry_options, module)?)?;
    module.add_function(wrap_pyfunction!(requests::retry_text, module)?)?;
    #[cfg(unix)]
    module.add_class::<server::ShareServer>()?;
    Ok(())
}
