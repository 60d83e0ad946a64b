//! `nodes`: who shares the store.

use crate::calls::pending::Pending;
use crate::calls::scheduler::SchedulerCore;
use crate::errors::{error, refused};
use duewheel_engine::engine::Refused;
use duewheel_store::{Answer, Query};
use pyo3::prelude::*;

/// The fields of a `duewheel.postgres.Node`, in its order.
type Fields = (String, String, i32, String, i64, i64, i32, i32);

/// Return the nodes that share a scheduler's store and live, each as the fields of a `Node`.
#[pyfunction]
pub(crate) fn live_nodes(scheduler: &Bound<'_, SchedulerCore>) -> PyResult<Vec<Fields>> {
    let py = scheduler.py();
    let shared = scheduler.get().shared(py)?;
    let engine = &shared.engine;
    if engine.is_closed() {
        return Err(refused(py, Refused::Closed, ""));
    }
    if !engine.is_shared() {
        let message = "nodes() is for jobs in a PostgreSQL database, and this scheduler keeps its jobs in memory or in \
                       a file, which are of one process: give it a PostgresStorage";
        return Err(error(py, |names| &names.state_error, message));
    }
    let asked = shared.follow(
        py,
        "",
        engine.query(Query::Nodes),
        |_, _, answer, ticket| {
            let Answer::Nodes(nodes) = answer else {
                return Ok(Pending::Made(Vec::new(), ticket));
            };
            let fields = nodes.into_iter().map(|node| {
                let times = (node.started, node.seen);
                (
                    node.name,
                    node.host,
                    node.pid,
                    node.version,
                    times.0,
                    times.1,
                    node.held,
                    node.running,
                )
            });
            Ok(Pending::Made(fields.collect(), ticket))
        },
    );
    shared.finish(py, asked?)
}
