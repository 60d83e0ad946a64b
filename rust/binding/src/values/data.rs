//! The data of a job in one pointer: a `bytes`, a copy of what was stored, or what a timer was given; where a job carries
//! more, a box of both.
//!
//! A million jobs may wait in memory that came from a file. A copy of 100 bytes takes 112 of the
//! allocator's, a `bytes` of them 144; it is made when the job starts, or is looked at.

use duewheel_store::Carried;
use pyo3::PyTraverseError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;

/// What stands before the bytes of a copy.
type Length = u32;
const HEAD: usize = size_of::<Length>();

/// The bits that tell what a pointer points to, for all that it may is aligned to four: none for a `bytes`.
const TAGS: usize = 3;
/// A copy, or what carries more than data.
const COPY: usize = 1;
/// Any object, for the handler of a target.
const OBJECT: usize = 2;
/// What a timer calls: the callable, or a tuple, which is none, of the callable and its data.
const CALL: usize = 3;

/// What stands in place of the length where more is carried than data.
const CARRIES: Length = Length::MAX;

/// The data of one of the few jobs that carry more.
#[repr(C)]
struct Carrying {
    head: Length,
    data: Data,
    carried: Arc<Carried>,
}

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
    /// Any object.
    #[inline]
    pub(crate) fn object(object: Bound<'_, PyAny>) -> Self {
        Self::tagged(object, OBJECT)
    }

    /// A callable, and the data of the event that it is called with.
    #[inline]
    pub(crate) fn call(
        callable: Bound<'_, PyAny>,
        data: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let call = match data {
            None => callable,
            Some(data) => PyTuple::new(data.py(), [callable, data])?.into_any(),
        };
        Ok(Self::tagged(call, CALL))
    }

    #[inline]
    fn tagged(object: Bound<'_, PyAny>, tag: usize) -> Self {
        let object = NonNull::new(object.into_ptr().cast::<u8>());
        Data(object.map(|object| object.map_addr(|address| address | tag)))
    }

    #[inline]
    fn tag(self) -> usize {
        self.0.map_or(0, |at| at.addr().get() & TAGS)
    }

    /// The object that a timer was given, or its call.
    #[inline]
    fn of_timer(self) -> Option<NonNull<ffi::PyObject>> {
        let at = self.0.filter(|_| self.tag() & OBJECT != 0)?;
        // SAFETY: the tag was added to the address of an object.
        Some(unsafe { at.sub(self.tag()) }.cast())
    }

    /// Whether it is a timer's: an object, not bytes.
    #[inline]
    pub(crate) fn is_of_timer(self) -> bool {
        self.tag() & OBJECT != 0
    }

    /// What a timer calls, in place of a target's handler.
    #[inline]
    pub(crate) fn callable(self, py: Python<'_>) -> Option<Py<PyAny>> {
        let call = self.of_timer().filter(|_| self.tag() == CALL)?;
        // SAFETY: a reference to an object, alive as long as this; the caller is attached.
        let call = unsafe { Bound::from_borrowed_ptr(py, call.as_ptr()) };
        if let Ok(parts) = call.cast_exact::<PyTuple>() {
            return Some(parts.get_item(0).ok()?.unbind());
        }
        Some(call.unbind())
    }

    /// Visit what a timer refers to.
    pub(crate) fn traverse(self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(object) = self.of_timer() else {
            return Ok(());
        };
        // SAFETY: a reference to an object; `ManuallyDrop` leaves it as it is.
        let object = ManuallyDrop::new(unsafe {
            std::mem::transmute::<NonNull<ffi::PyObject>, Py<PyAny>>(object)
        });
        visit.call(&*object)
    }

    /// A copy of stored bytes.
    pub(crate) fn copied(py: Python<'_>, bytes: &[u8]) -> Self {
        Self::plain(bytes).unwrap_or_else(|| Some(PyBytes::new(py, bytes).unbind()).into())
    }

    /// A copy of bytes, made without the interpreter; `None`: they are too long for one.
    pub(crate) fn plain(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Data(None));
        }
        let length = Length::try_from(bytes.len()).ok();
        let length = length.filter(|length| *length != CARRIES)?;
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
            Some(Data(Some(start.add(COPY))))
        }
    }

    /// The same data, of a job that carries this as well.
    pub(crate) fn carrying(self, carried: Arc<Carried>) -> Self {
        let carrying = Box::new(Carrying {
            head: CARRIES,
            data: self,
            carried,
        });
        let start = NonNull::from(Box::leak(carrying)).cast::<u8>();
        Data(Some(start.map_addr(|address| address | COPY)))
    }

    /// Where a copy starts, and its head; `None`: it is an object, or nothing.
    #[inline]
    fn head(self) -> Option<(NonNull<u8>, Length)> {
        let tagged = self.0.filter(|_| self.tag() == COPY)?;
        // SAFETY: only `copied` and `carrying` set the tag, by adding it to where it starts, whose head they have
        // written.
        unsafe {
            let start = tagged.sub(COPY);
            Some((start, start.cast::<Length>().read()))
        }
    }

    /// Where a copy starts, and how long it is; `None`: it is an object, or nothing.
    #[inline]
    fn copy(self) -> Option<(NonNull<u8>, Length)> {
        self.head().filter(|(_, length)| *length != CARRIES)
    }

    #[inline]
    fn carrier(self) -> Option<NonNull<Carrying>> {
        let (start, _) = self.head().filter(|(_, length)| *length == CARRIES)?;
        Some(start.cast())
    }

    /// What the job carries beside its data, for as long as that is not freed, and the data alone.
    #[inline]
    pub(crate) fn carried<'a>(self) -> (Option<&'a Arc<Carried>>, Data) {
        match self.carrier() {
            // SAFETY: only `carrying` makes such a head; it is never changed, and alive until it is freed.
            Some(carrier) => unsafe {
                let carrier = carrier.as_ref();
                (Some(&carrier.carried), carrier.data)
            },
            None => (None, self),
        }
    }

    /// The bytes, for as long as they are not freed: no longer than the call that they are for. A timer has none.
    pub(crate) fn bytes<'a>(self) -> &'a [u8] {
        self.carried().1.plain_bytes()
    }

    fn plain_bytes<'a>(self) -> &'a [u8] {
        if self.is_of_timer() {
            return &[];
        }
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

    /// The data as an object; nothing stands for `b""`.
    #[inline]
    pub(crate) fn to_python(self, py: Python<'_>) -> Option<Py<PyAny>> {
        let at = self.0?;
        match self.tag() {
            0 => {
                // SAFETY: a reference to a `bytes`; the caller is attached.
                let object = unsafe { Bound::from_borrowed_ptr(py, at.cast().as_ptr()) };
                Some(object.unbind())
            }
            COPY => match self.carried() {
                (Some(_), data) => data.to_python(py),
                (None, data) => Some(PyBytes::new(py, data.plain_bytes()).into_any().unbind()),
            },
            _ => Some(self.data_of_timer(py)),
        }
    }

    #[inline(never)] // out of the way of bytes
    fn data_of_timer(self, py: Python<'_>) -> Py<PyAny> {
        let Some(object) = self.of_timer() else {
            return py.None();
        };
        // SAFETY: a reference to an object; the caller is attached.
        let object = unsafe { Bound::from_borrowed_ptr(py, object.as_ptr()) };
        if self.tag() == OBJECT {
            return object.unbind();
        }
        let parts = object.cast_exact::<PyTuple>().ok();
        let data = parts.and_then(|parts| parts.get_item(1).ok());
        data.map_or_else(|| py.None(), Bound::unbind)
    }

    /// Another one of the same.
    pub(crate) fn again(self, py: Python<'_>) -> Self {
        if let (Some(carried), data) = self.carried() {
            return data.again(py).carrying(carried.clone());
        }
        match (self.copy(), self.0) {
            (Some(_), _) => Data::copied(py, self.bytes()),
            (None, Some(object)) => {
                // SAFETY: a reference to an object; the caller is attached.
                unsafe { ffi::Py_INCREF(object.sub(self.tag()).cast().as_ptr()) };
                self
            }
            (None, None) => self,
        }
    }

    #[inline]
    pub(crate) fn free(self, py: Python<'_>) {
        if let Some(carrier) = self.carrier() {
            // SAFETY: `carrying` has leaked it, and it is freed once.
            let carrier = unsafe { Box::from_raw(carrier.as_ptr()) };
            return carrier.data.free_plain(py);
        }
        self.free_plain(py);
    }

    #[inline]
    fn free_plain(self, _py: Python<'_>) {
        // SAFETY: called once, attached; a copy was made with this layout, and all else is a reference.
        unsafe {
            match (self.copy(), self.0) {
                (Some((start, length)), _) => dealloc(start.as_ptr(), layout(length)),
                (None, Some(object)) => {
                    ffi::Py_DECREF(object.sub(self.tag()).cast().as_ptr());
                }
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
