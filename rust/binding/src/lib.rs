//! The extension module `duewheel._core`: conversions, the interpreter's lock, dispatch.
//!
//! Everything that decides when a job runs is in `duewheel-engine`. Here a call from Python becomes
//! integers and plain handles on the way in, and handlers are called on the way out.

mod calls;
mod clock;
mod errors;
mod interpreter;
mod log;
mod run;
mod schedules;
mod share;
mod shared;
mod stores;
mod values;

use calls::{awaited, deads, events, keywords, nodes, scheduler, timer, transaction, waiting};
use interpreter::{gil, names};
use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;
use run::{alive, condition, event_loop, first_step, inside, spares, task};
use schedules::{methods, moments, value};
use values::{dead, event, ids, job, options, outcome, repeat, stats};

/// Refuse to be imported in a subinterpreter: threads of Rust that attach to Python enter the main interpreter, with
/// its modules, and objects of Python in statics belong to one interpreter.
fn refuse_subinterpreter(_py: Python<'_>) -> PyResult<()> {
    // SAFETY: this thread is attached, and the main interpreter outlives all others.
    if unsafe { ffi::PyInterpreterState_Get() == ffi::PyInterpreterState_Main() } {
        return Ok(());
    }
    Err(PyImportError::new_err(
        "duewheel runs in the main interpreter of a process alone, and this is a subinterpreter: \
         import it in the main one (mod_wsgi: WSGIApplicationGroup %{GLOBAL})",
    ))
}

#[pymodule(gil_used = false)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let (version, text) = duewheel_sqlite::sqlite_version();
    if version < duewheel_sqlite::SQLITE_AT_LEAST {
        let least = duewheel_sqlite::SQLITE_AT_LEAST;
        return Err(PyImportError::new_err(format!(
            "duewheel needs SQLite {least} or later, and was built with {text}"
        )));
    }
    refuse_subinterpreter(module.py())?;
    gil::prepare(module.py())?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("DEBUG", cfg!(debug_assertions))?;
    module.add_class::<dead::DeadEvent>()?;
    module.add_class::<outcome::Outcome>()?;
    module.add_class::<awaited::AwaitedCalls>()?;
    module.add_class::<waiting::PendingCall>()?;
    module.add_class::<event::Event>()?;
    module.add_class::<job::Job>()?;
    module.add_class::<ids::Ids>()?;
    pyo3::types::PySequence::register::<ids::Ids>(module.py())?;
    module.add_class::<options::JobOptions>()?;
    module.add_class::<events::Events>()?;
    module.add_class::<deads::DeadEvents>()?;
    module.add_class::<clock::ManualTime>()?;
    module.add_class::<repeat::Repeat>()?;
    module.add_class::<scheduler::SchedulerCore>()?;
    keywords::explain(&module.py().get_type::<scheduler::SchedulerCore>())?;
    share::add_to(module)?;
    module.add_class::<value::Schedule>()?;
    module.add_class::<value::Every>()?;
    module.add_class::<value::Cron>()?;
    module.add_class::<value::Times>()?;
    module.add_class::<value::Days>()?;
    module.add_class::<value::RRule>()?;
    module.add_class::<moments::Moments>()?;
    module.add_function(wrap_pyfunction!(methods::defined_schedule, module)?)?;
    module.add_class::<stats::Lateness>()?;
    module.add_class::<stats::Stats>()?;
    module.add_class::<stats::TargetStats>()?;
    module.add_class::<timer::Timer>()?;
    module.add_function(wrap_pyfunction!(stores::postgres::postgres_sql, module)?)?;
    module.add_function(wrap_pyfunction!(nodes::live_nodes, module)?)?;
    module.add_function(wrap_pyfunction!(transaction::duplicate_job, module)?)?;
    module.add_function(wrap_pyfunction!(transaction::transaction_cancels, module)?)?;
    module.add_function(wrap_pyfunction!(transaction::transaction_terms, module)?)?;
    module.add_function(wrap_pyfunction!(transaction::transaction_repeats, module)?)?;
    module.add_function(wrap_pyfunction!(awaited::check_bounds, module)?)?;
    module.add_function(wrap_pyfunction!(awaited::timeout_s, module)?)?;
    module.add_function(wrap_pyfunction!(names::find_names, module)?)?;
    add_what_runs(module)
}

/// Add what runs handlers.
fn add_what_runs(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<condition::Condition>()?;
    module.add_class::<event_loop::Waker>()?;
    module.add_class::<event_loop::EventLoop>()?;
    module.add_class::<task::TaskCoroutine>()?;
    module.add_class::<spares::Spares>()?;
    module.add_function(wrap_pyfunction!(inside::current_event, module)?)?;
    module.add_function(wrap_pyfunction!(inside::outer_handlers, module)?)?;
    module.add_function(wrap_pyfunction!(inside::run_inside, module)?)?;
    module.add_function(wrap_pyfunction!(alive::after_fork_in_child, module)?)?;
    module.add_function(wrap_pyfunction!(alive::at_exit, module)?)?;
    module.add_function(wrap_pyfunction!(first_step::touch, module)?)?;
    Ok(())
}
