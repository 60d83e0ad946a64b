//! Where the handlers of a scheduler run: on which threads, and on which event loop.

use crate::run::inside::{self, Places};
use crate::run::tasks::Tasks;
use duewheel_engine::sync::Mutex;
use std::ffi::c_ulong;
use std::sync::{Arc, Weak};

/// Where handlers run.
#[derive(Default)]
pub(crate) struct Whereabouts {
    pub(crate) threads: Places,
    /// Those that wait, on an event loop, with its thread.
    on_loop: Mutex<Option<(Weak<Tasks>, c_ulong)>>,
}

impl Whereabouts {
    /// These are the tasks of the event loop, which is on the calling thread, or is to be.
    pub(crate) fn set_loop(&self, tasks: &Arc<Tasks>) {
        *self.on_loop.lock() = Some((Arc::downgrade(tasks), inside::this_thread()));
    }

    /// The event loop is on the calling thread.
    pub(crate) fn enter_loop(&self) {
        if let Some((_, thread)) = &mut *self.on_loop.lock() {
            *thread = inside::this_thread();
        }
    }

    /// Those that wait, on an event loop, and its thread.
    pub(crate) fn tasks(&self) -> Option<(Arc<Tasks>, c_ulong)> {
        let on_loop = self.on_loop.lock();
        let (tasks, thread) = on_loop.as_ref()?;
        Some((tasks.upgrade()?, *thread))
    }
}
