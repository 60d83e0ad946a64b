//! Targets: their names, and the numbers that the engine knows them by.

use crate::interpreter::process;
use duewheel_engine::sync::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// A map of names gives memory back when fewer than one in so many places are taken.
const SPARSE: usize = 32;
/// A map of names with so few places is left as it is.
const FEW: usize = 1_024;

/// A target that something speaks of: a handler, or a specification, which jobs and events have.
///
/// It is forgotten with the last that does: its number may stand for another then.
pub(crate) struct Target {
    pub(crate) number: u32,
    pub(crate) name: Py<PyString>,
    /// The name again, for threads that are not attached to the interpreter.
    pub(crate) text: Arc<str>,
    names: Arc<Names>,
}

impl Drop for Target {
    fn drop(&mut self) {
        // In a forked child another thread of the parent's may have the lock for ever.
        if self.names.forks == process::forks() {
            self.names.known.lock().give_up(self);
        }
    }
}

/// The targets of one scheduler, by name. Nothing of Python is made or freed under its lock.
pub(crate) struct Names {
    known: Mutex<Known>,
    forks: usize,
}

impl Default for Names {
    fn default() -> Self {
        Names {
            known: Mutex::default(),
            forks: process::forks(),
        }
    }
}

#[derive(Default)]
struct Known {
    targets: HashMap<Arc<str>, Weak<Target>>,
    /// How many numbers there are, and which of them stand for nothing.
    numbers: u32,
    free: Vec<u32>,
}

impl Known {
    fn find(&self, name: &str) -> Option<Arc<Target>> {
        self.targets.get(name)?.upgrade()
    }

    /// A number that stands for nothing, and whether it ever did for something.
    fn number(&mut self) -> (u32, bool) {
        if let Some(number) = self.free.pop() {
            return (number, true);
        }
        let number = self.numbers;
        self.numbers += 1;
        (number, false)
    }

    /// Nothing speaks of a target any more.
    fn give_up(&mut self, target: &Target) {
        self.free.push(target.number);
        // Its name may be another target's by now.
        let named = self.targets.get(&target.text);
        if named.is_some_and(|named| std::ptr::eq(named.as_ptr(), target)) {
            self.targets.remove(&target.text);
        }
        let places = self.targets.capacity();
        if places > FEW && self.targets.len() < places / SPARSE {
            self.targets.shrink_to(2 * self.targets.len());
        }
    }
}

impl Names {
    /// The target of this name, known or new; `renumber` is called with a number that stood for another before.
    pub(crate) fn target(
        self: &Arc<Self>,
        py: Python<'_>,
        name: &str,
        renumber: impl FnOnce(u32),
    ) -> Arc<Target> {
        let known = self.known.lock();
        if let Some(target) = known.find(name) {
            return target;
        }
        drop(known);
        let target = self.unlisted(py, name, renumber);
        let mut known = self.known.lock();
        if let Some(faster) = known.find(name) {
            // Of two threads one was faster; the number that is not needed is given up.
            drop(known);
            return faster;
        }
        let entry = Arc::downgrade(&target);
        known.targets.insert(target.text.clone(), entry);
        target
    }

    /// The number of the target of this name, if it is known.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        let target = self.known.lock().find(name);
        // Let go of under no lock, for it may be the last that speaks of it.
        target.map(|target| target.number)
    }

    /// A new target that is not found by its name.
    pub(crate) fn unlisted(
        self: &Arc<Self>,
        py: Python<'_>,
        name: &str,
        renumber: impl FnOnce(u32),
    ) -> Arc<Target> {
        let (number, used) = self.known.lock().number();
        if used {
            renumber(number);
        }
        Arc::new(Target {
            number,
            name: PyString::new(py, name).unbind(),
            text: name.into(),
            names: self.clone(),
        })
    }

    /// How many targets are known, and how many numbers there are.
    pub(crate) fn counts(&self) -> (usize, u32) {
        let known = self.known.lock();
        (known.targets.len(), known.numbers)
    }
}
