//! Targets: their names, and the numbers that the engine knows them by.

use crate::interpreter::process;
use crate::values::payload::Handle;
use duewheel_engine::engine::Engine;
use duewheel_engine::sync::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

/// A map of names gives memory back when fewer than one in so many places are taken.
const SPARSE: usize = 32;
/// A map of names with so few places is left as it is.
const FEW: usize = 1_024;

/// So many targets that nothing speaks of keep their numbers, for what is counted of them; past that the oldest is
/// forgotten with each new one.
const RESTING: usize = 100_000;

/// A target that something speaks of: a handler, or a specification, which jobs and events have.
///
/// With the last that does it is forgotten, or it rests, if anything is counted of it: its number may stand for another when
/// that is forgotten, too.
pub(crate) struct Target {
    pub(crate) number: u32,
    pub(crate) name: Py<PyString>,
    /// The name again, for threads that are not attached to the interpreter.
    pub(crate) text: Arc<str>,
    /// Whether it is found by its name.
    is_listed: bool,
    names: Arc<Names>,
}

impl Drop for Target {
    fn drop(&mut self) {
        // In a forked child another thread of the parent's may have the lock for ever.
        if self.names.forks == process::forks() {
            let is_counted = self.names.engine.is_counted(self.number);
            self.names.known.lock().give_up(self, is_counted);
        }
    }
}

/// The targets of one scheduler, by name. Nothing of Python is made or freed under its lock.
pub(crate) struct Names {
    engine: Arc<Engine<Handle>>,
    known: Mutex<Known>,
    forks: usize,
}

#[derive(Default)]
struct Known {
    targets: HashMap<Arc<str>, Weak<Target>>,
    /// What each number stands for, or stood for last.
    names: Vec<Arc<str>>,
    /// The numbers that stand for nothing.
    free: Vec<u32>,
    /// The numbers of those that rest, and since which rest of all they do.
    resting: HashMap<Arc<str>, (u32, u64)>,
    /// All rests, the oldest first; one may be over.
    rests: VecDeque<(Arc<str>, u64)>,
    rested: u64,
}

impl Known {
    fn find(&self, name: &str) -> Option<Arc<Target>> {
        self.targets.get(name)?.upgrade()
    }

    /// A number for this name that stands for nothing, and what it ever did for, if for anything.
    fn number(&mut self, name: &Arc<str>) -> (u32, Option<Arc<str>>) {
        if let Some(number) = self.free.pop() {
            let before = std::mem::replace(&mut self.names[number as usize], name.clone());
            return (number, Some(before));
        }
        let number = self.names.len() as u32;
        self.names.push(name.clone());
        (number, None)
    }

    /// The number of a target that rests, which is over then.
    fn wake(&mut self, name: &str) -> Option<(Arc<str>, u32)> {
        let (name, (number, _)) = self.resting.remove_entry(name)?;
        Some((name, number))
    }

    /// Let a target rest; the oldest that does is forgotten where they are too many.
    fn rest(&mut self, name: &Arc<str>, number: u32) {
        self.rested += 1;
        let before = self.resting.insert(name.clone(), (number, self.rested));
        // Two threads have named it at once, and each has counted.
        self.free.extend(before.map(|(number, _)| number));
        self.rests.push_back((name.clone(), self.rested));
        if self.rests.len() > 2 * self.resting.len() + FEW {
            let resting = &self.resting;
            let rests = |(name, since): &(Arc<str>, u64)| {
                resting.get(name).is_some_and(|(_, rests)| rests == since)
            };
            self.rests.retain(rests);
        }
        while self.resting.len() > RESTING
            && let Some((name, since)) = self.rests.pop_front()
        {
            if self
                .resting
                .get(&name)
                .is_some_and(|(_, rests)| *rests == since)
                && let Some((number, _)) = self.resting.remove(&name)
            {
                self.free.push(number);
            }
        }
    }

    /// Nothing speaks of a target any more.
    fn give_up(&mut self, target: &Target, is_counted: bool) {
        // Its name may be another target's by now.
        let named = self.targets.get(&target.text);
        if named.is_some_and(|named| std::ptr::eq(named.as_ptr(), target)) {
            self.targets.remove(&target.text);
        }
        if target.is_listed && is_counted {
            self.rest(&target.text, target.number);
        } else {
            self.free.push(target.number);
        }
        let places = self.targets.capacity();
        if places > FEW && self.targets.len() < places / SPARSE {
            self.targets.shrink_to(2 * self.targets.len());
        }
    }
}

impl Names {
    /// None yet, of a scheduler with this engine.
    pub(crate) fn new(engine: Arc<Engine<Handle>>) -> Arc<Self> {
        Arc::new(Names {
            engine,
            known: Mutex::default(),
            forks: process::forks(),
        })
    }

    /// The target of this name, known or new.
    pub(crate) fn target(self: &Arc<Self>, py: Python<'_>, name: &str) -> Arc<Target> {
        let mut known = self.known.lock();
        if let Some(target) = known.find(name) {
            return target;
        }
        let rested = known.wake(name);
        drop(known);
        let target = match rested {
            Some((text, number)) => {
                self.engine.awaken(number);
                self.numbered(py, text, number, true)
            }
            None => self.unnumbered(py, name, true),
        };
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
    pub(crate) fn unlisted(self: &Arc<Self>, py: Python<'_>, name: &str) -> Arc<Target> {
        self.unnumbered(py, name, false)
    }

    fn unnumbered(self: &Arc<Self>, py: Python<'_>, name: &str, is_listed: bool) -> Arc<Target> {
        let text: Arc<str> = name.into();
        let (number, before) = self.known.lock().number(&text);
        if let Some(before) = before {
            self.engine.renumber(number, &before);
        }
        self.numbered(py, text, number, is_listed)
    }

    fn numbered(
        self: &Arc<Self>,
        py: Python<'_>,
        text: Arc<str>,
        number: u32,
        is_listed: bool,
    ) -> Arc<Target> {
        Arc::new(Target {
            number,
            name: PyString::new(py, &text).unbind(),
            text,
            is_listed,
            names: self.clone(),
        })
    }

    /// What a number stands for, or stood for last.
    pub(crate) fn name_of(&self, number: u32) -> Option<Arc<str>> {
        self.known.lock().names.get(number as usize).cloned()
    }

    /// What each number stands for; `None`: for nothing any more.
    pub(crate) fn names(&self) -> Vec<Option<Arc<str>>> {
        let known = self.known.lock();
        let mut names: Vec<_> = known.names.iter().cloned().map(Some).collect();
        for &number in &known.free {
            names[number as usize] = None;
        }
        names
    }

    /// How many targets are known, and how many numbers there are.
    pub(crate) fn counts(&self) -> (usize, u32) {
        let known = self.known.lock();
        (known.targets.len(), known.names.len() as u32)
    }
}
