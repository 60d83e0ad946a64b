//! The sockets of this process's servers, which a forked child gives up at once: a connection ends for who is at the
//! other end when the last copy of it is closed, and so a caller would not hear of the end of the owner.

use std::cell::RefCell;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

static OPEN: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

thread_local! {
    /// From before a fork until after it.
    static HELD: RefCell<Option<MutexGuard<'static, Vec<RawFd>>>> = const { RefCell::new(None) };
}

fn open() -> MutexGuard<'static, Vec<RawFd>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A socket that no forked child keeps.
pub(super) struct Noted<S: AsRawFd>(Option<S>);

impl<S: AsRawFd> Noted<S> {
    /// Make a socket and note it, so that no fork copies one that is not noted.
    pub(super) fn make(make: impl FnOnce() -> io::Result<S>) -> io::Result<Self> {
        watch();
        let mut open = open();
        let made = make()?;
        open.push(made.as_raw_fd());
        Ok(Noted(Some(made)))
    }
}

impl<S: AsRawFd> Deref for Noted<S> {
    type Target = S;

    fn deref(&self) -> &S {
        self.0.as_ref().expect("a socket, until it is dropped")
    }
}

impl<S: AsRawFd> DerefMut for Noted<S> {
    fn deref_mut(&mut self) -> &mut S {
        self.0.as_mut().expect("a socket, until it is dropped")
    }
}

impl<S: AsRawFd> Drop for Noted<S> {
    fn drop(&mut self) {
        let descriptor = self.as_raw_fd();
        let mut open = open();
        open.retain(|&known| known != descriptor);
        self.0 = None; // closed under the lock: no fork comes between
    }
}

fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handlers are of this library, which is never unloaded, and take what they take from the thread
        // that forks.
        let watched =
            unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
        assert_eq!(watched, 0, "there is no memory to watch forks with");
    });
}

extern "C" fn before() {
    let open = open();
    let _ = HELD.try_with(|held| held.replace(Some(open)));
}

extern "C" fn in_parent() {
    let _ = HELD.try_with(RefCell::take);
}

extern "C" fn in_child() {
    let held = HELD.try_with(RefCell::take).ok().flatten();
    let Some(mut open) = held else {
        return;
    };
    for descriptor in open.drain(..) {
        // SAFETY: it is open in the parent, and so here; the thread that has it is not here.
        unsafe { libc::close(descriptor) };
    }
}
