//! The data of a job in one pointer: a `bytes`, or a copy of what was stored.
//!
//! A million jobs may wait in memory that came from a file. A copy of 100 bytes takes 112 of the
//! allocator's, a `bytes` of them 144; it is made when the job starts, or is looked at.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// What stands before the bytes of a copy.
type Length = u32;
const HEAD: usize = size_of::<Length>();
/// The bit that tells a pointer to a copy from one to an object: both are aligned.
const COPY: usize = 1;

/// A plain handle, as the payload that it is part of: freed once, and alive until then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Data(Option<NonNull<u8>>);

impl From<Option<Py<PyBytes>>> for Data {
    /// Nothing stands for `b""`.
    #[inline]
    fn from(data: Option<Py<PyBytes>>) -> Self {
        Data(data.and_then(|data| NonNull::new(data.into_ptr().cast())))
    }
}

impl Data {
    /// A copy of stored bytes.
    pub(crate) fn copied(py: Python<'_>, bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Data(None);
        }
        let Ok(length) = Length::try_from(bytes.len()) else {
            return Some(PyBytes::new(py, bytes).unbind()).into();
        };
        let layout = layout(length);
        // SAFETY: the layout is not empty; the head and the bytes are written within it, the head
        // where it is aligned.
        unsafe {
            let Some(start) = NonNull::new(alloc(layout)) else {
                handle_alloc_error(layout)
            };
            start.cast::<Length>().write(length);
            let to = start.add(HEAD).as_ptr();
            to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            Data(Some(start.add(COPY)))
        }
    }

    /// Where a copy starts, and how long it is; `None`: it is an object, or nothing.
    #[inline]
    fn copy(self) -> Option<(NonNull<u8>, Length)> {
        let tagged = self.0.filter(|at| at.addr().get() & COPY != 0)?;
        // SAFETY: only `copied` sets the bit, by adding it to where the copy starts, whose head it
        // has written.
        unsafe {
            let start = tagged.sub(COPY);
            Some((start, start.cast::<Length>().read()))
        }
    }

    /// The bytes, for as long as they are not freed: no longer than the call that they are for.
    pub(crate) fn bytes<'a>(self) -> &'a [u8] {
        // SAFETY: alive until they are freed, and never changed or moved; reading a `bytes` that
        // is referred to asks nothing of the interpreter.
        unsafe {
            match (self.copy(), self.0) {
                (Some((start, length)), _) => {
                    std::slice::from_raw_parts(start.add(HEAD).as_ptr(), length as usize)
                }
                (None, Some(object)) => {
                    let object = object.cast::<ffi::PyObject>().as_ptr();
                    let start = ffi::PyBytes_AS_STRING(object).cast::<u8>();
                    std::slice::from_raw_parts(start, ffi::Py_SIZE(object) as usize)
                }
                (None, None) => &[],
            }
        }
    }

    #[inline]
    pub(crate) fn to_python(self, py: Python<'_>) -> Option<Py<PyBytes>> {
        let at = self.0?;
        if self.copy().is_some() {
            return Some(PyBytes::new(py, self.bytes()).unbind());
        }
        // SAFETY: no copy, so that it is a reference to a `bytes`; the caller is attached.
        unsafe {
            let object = Bound::from_borrowed_ptr(py, at.cast::<ffi::PyObject>().as_ptr());
            Some(object.cast_into_unchecked().unbind())
        }
    }

    #[inline]
    pub(crate) fn free(self, _py: Python<'_>) {
        // SAFETY: called once, attached; a copy was made with this layout.
        unsafe {
            match (self.copy(), self.0) {
                (Some((start, length)), _) => dealloc(start.as_ptr(), layout(length)),
                (None, Some(object)) => ffi::Py_DECREF(object.cast().as_ptr()),
                (None, None) => {}
            }
        }
    }
}

fn layout(length: Length) -> Layout {
    let size = HEAD + length as usize;
    // No address space has room for so many but where this fits.
    Layout::from_size_align(size, HEAD).expect("a size that fits")
}
