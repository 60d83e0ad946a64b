//! What the engine carries for Python: two pointers a job, its data and its specification.

use crate::values::data::Data;
pub(crate) use crate::values::handle::Handle;
use crate::values::options::Spec;
use duewheel_engine::jobs::record::{Parts, Payload, Released};
use duewheel_store::Carried;
use pyo3::prelude::*;
use std::mem::ManuallyDrop;
use std::sync::Arc;

impl Payload for Handle {
    type Failure = crate::values::failure::Failure;

    #[inline]
    fn target(self) -> u32 {
        self.with_spec(|spec| spec.target)
    }

    fn parts<R>(self, look: impl FnOnce(Parts<'_>) -> R) -> R {
        self.with_spec(|spec| {
            let (carried, data) = self.data.carried();
            look(Parts {
                target: &spec.text,
                data: data.bytes(),
                options: spec.limits,
                carried,
            })
        })
    }

    #[inline]
    fn is_keyed(self) -> bool {
        let carried = self.data.carried().0;
        carried.is_some_and(|carried| carried.key.is_some())
    }

    #[inline]
    fn keep(self) -> Option<i64> {
        self.data.carried().0.and_then(|carried| carried.keep)
    }

    #[inline]
    fn at_most_once(self) -> bool {
        self.with_spec(|spec| spec.limits.at_most_once)
    }

    /// What a timer was given is let go of when it is over.
    fn is_listed_when_dead(self) -> bool {
        !self.data.is_of_timer()
    }

    /// A repeat goes on with its own; the dead has what [`Failure::keep`] was given.
    fn for_dead(self, failure: &mut Self::Failure) -> Option<Self> {
        failure.take_kept()
    }

    fn heir(failure: &mut Self::Failure) -> Option<Self> {
        failure.take_heir()
    }

    fn text(failure: &Self::Failure) -> String {
        failure.stored_text()
    }
}

/// A handle that is not the engine's: freed when it is dropped.
pub(crate) struct Fresh<'py> {
    py: Python<'py>,
    handle: Handle,
}

impl<'py> Fresh<'py> {
    #[inline]
    pub(crate) fn new(py: Python<'py>, data: impl Into<Data>, spec: Py<Spec>) -> Self {
        let handle = Handle::new(data, spec);
        Fresh { py, handle }
    }

    /// One of a job that may carry more.
    #[inline]
    pub(crate) fn carrying(
        py: Python<'py>,
        data: impl Into<Data>,
        spec: Py<Spec>,
        carried: Option<Arc<Carried>>,
    ) -> Self {
        let data = data.into();
        let data = carried.map_or(data, |carried| data.carrying(carried));
        Fresh::new(py, data, spec)
    }

    /// What the engine has given back.
    #[inline]
    pub(crate) fn back(py: Python<'py>, handle: Handle) -> Self {
        Fresh { py, handle }
    }

    /// One of the same data, for something else.
    pub(crate) fn for_another(self, spec: Py<Spec>) -> Self {
        let handle = self.handle.for_another(self.py, spec);
        Fresh {
            py: self.py,
            handle,
        }
    }

    /// Give it to a call that takes it if it succeeds, and only then.
    #[inline]
    pub(crate) fn give<R, E>(self, call: impl FnOnce(Handle) -> Result<R, E>) -> Result<R, E> {
        let result = call(self.handle);
        if result.is_ok() {
            std::mem::forget(self);
        }
        result
    }

    /// Give it to a call that takes it, or gives it back in a [`Released`].
    #[inline]
    pub(crate) fn given(self) -> Handle {
        ManuallyDrop::new(self).handle
    }
}

impl Drop for Fresh<'_> {
    #[inline]
    fn drop(&mut self) {
        self.handle.free(self.py);
    }
}

/// The handles of a bulk call, some of which the engine takes: the others are freed when it is dropped.
pub(crate) struct Batch<'py> {
    py: Python<'py>,
    handles: Vec<Handle>,
    taken: usize,
}

impl<'py> Batch<'py> {
    pub(crate) fn new(py: Python<'py>, handles: impl Iterator<Item = Fresh<'py>>) -> Self {
        let handles = handles.map(Fresh::given).collect();
        let taken = 0;
        Batch { py, handles, taken }
    }

    /// What gives the engine one after the other: never more than there are.
    pub(crate) fn giving(&mut self) -> impl FnMut() -> Handle {
        let Batch { handles, taken, .. } = self;
        move || {
            *taken += 1;
            handles[*taken - 1]
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for handle in &self.handles[self.taken..] {
            handle.free(self.py);
        }
    }
}

/// Free what the engine has given back. Never called under one of its locks: freeing an object
/// may run Python.
#[inline]
pub(crate) fn release(py: Python<'_>, released: &mut Released<Handle>) {
    for payload in released.payloads.drain(..) {
        payload.free(py);
    }
    for mut failure in released.failures.drain(..) {
        for payload in failure.take_kept().into_iter().chain(failure.take_heir()) {
            payload.free(py);
        }
    }
}

/// The same, giving up the interpreter on the way.
pub(crate) fn release_gently(py: Python<'_>, released: &mut Released<Handle>) {
    for (at, payload) in released.payloads.drain(..).enumerate() {
        payload.free(py);
        if at % 2_048 == 0 {
            py.detach(|| ());
        }
    }
    release(py, released);
}
