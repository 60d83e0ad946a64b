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
