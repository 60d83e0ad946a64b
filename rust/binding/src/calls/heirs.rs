//! What deaths leave behind that were found when the file was opened, once a handler says whether they leave anything.

use crate::errors::refused;
use crate::log;
use crate::shared::{Shared, releasing};
use crate::values::payload::Fresh;
use duewheel_store::DeadPage;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// How many are scheduled at once.
const PAGE: usize = 256;

/// A handler was registered for this target, whose deaths leave behind a job of the target `dead`, if that is given: let those
/// do so that an earlier life has left interrupted.
pub(super) fn settle_owed(
    shared: &Shared,
    py: Python<'_>,
    target: &str,
    dead: Option<&str>,
) -> PyResult<()> {
    if !shared.backing.owed.lock().remove(target) {
        return Ok(());
    }
    let settled = settle_pages(shared, py, target, dead);
    if settled.is_err() {
        shared.backing.owed.lock().insert(target.to_owned());
    }
    settled
}

fn settle_pages(shared: &Shared, py: Python<'_>, target: &str, dead: Option<&str>) -> PyResult<()> {
    let mut after = 0;
    loop {
        let page = shared.answer(py, shared.engine.owed(target, (after, PAGE)))?;
        let last = page.last;
        let heirs = heirs(shared, py, page, dead)?;
        let given = |(number, heir): (u64, Option<Fresh<'_>>)| (number, heir.map(Fresh::given));
        let owed = heirs.into_iter().map(given).collect();
        let engine = &shared.engine;
        releasing(py, |released| py.detach(|| engine.inherit(owed, released)))
            .map_err(|error| refused(py, error, ""))?;
        let Some(last) = last else {
            return Ok(());
        };
        after = last;
    }
}

/// What each of these leaves behind. What cannot be read leaves nothing yet: it may be read in another life.
fn heirs<'py>(
    shared: &Shared,
    py: Python<'py>,
    page: DeadPage,
    dead: Option<&str>,
) -> PyResult<Vec<(u64, Option<Fresh<'py>>)>> {
    let Some(dead) = dead else {
        let numbers = page.jobs.iter().map(|dead| dead.number);
        let unreadable = page.unreadable.iter().map(|dead| dead.place.seq);
        return Ok(numbers
            .chain(unreadable)
            .map(|number| (number, None))
            .collect());
    };
    let spec = shared.specs.plain(PyString::new(py, dead).as_any())?;
    for dead in page.unreadable {
        log::unreadable_dead(py, dead.place.seq, &dead.why.to_string());
    }
    let mut heirs = Vec::with_capacity(page.jobs.len());
    for dead in page.jobs {
        match shared.handle(py, &dead.job) {
            Ok(died) => {
                heirs.push((dead.number, Some(died.for_another(spec.clone_ref(py)))));
            }
            Err(error) => log::unreadable_dead(py, dead.number, &error.to_string()),
        }
    }
    Ok(heirs)
}
