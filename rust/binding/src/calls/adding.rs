//! What plugins add to what a job carries, where it is scheduled.

use crate::shared::Shared;
use crate::values::options::Spec;
use duewheel_store::Carried;
use pyo3::prelude::*;
use std::sync::Arc;

/// What a job carries, as the engine has it: with the headers that plugins add where it is scheduled.
#[inline]
pub(crate) fn carried_by(
    shared: &Shared,
    py: Python<'_>,
    spec: &Py<Spec>,
    carried: Carried,
) -> PyResult<Option<Arc<Carried>>> {
    if shared.hooks.are_scheduling() {
        return with_added(shared, py, spec, carried);
    }
    Ok(carried.if_any().map(Arc::new))
}

/// Refuse to keep how a job ends where that is not kept.
#[inline]
pub(crate) fn check_keep(shared: &Shared, py: Python<'_>, carried: &Carried) -> PyResult<()> {
    if carried.keep.is_some() && shared.engine.is_shared() {
        let message = "keep= is for jobs in memory or in a file, and this scheduler keeps its jobs in PostgreSQL: leave it out";
        return Err(error(py, |names| &names.state_error, message));
    }
    Ok(())
}

#[cold]
fn with_added(
    shared: &Shared,
    py: Python<'_>,
    spec: &Py<Spec>,
    mut carried: Carried,
) -> PyResult<Option<Arc<Carried>>> {
    let target = spec.get().name.clone_ref(py);
    if let Some(added) = shared
        .hooks
        .scheduling(py, target, carried.headers.clone())?
    {
        carried.headers = added.extract(py)?;
    }
    Ok(carried.if_any().map(Arc::new))
}
