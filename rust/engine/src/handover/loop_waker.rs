//! What wakes an event loop: a descriptor that becomes readable, so that no interpreter is needed. On Linux it
//! becomes so by itself, too, when something is due.

use crate::sleep::Until;
use crate::sync::{Condvar, Mutex};

/// Wakes one event loop, from any thread.
///
/// Where the loop or the system has no descriptors to watch, a thread waits for it instead.
#[derive(Debug, Default)]
pub struct LoopWaker {
    descriptor: Option<imp::Descriptor>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    woken: bool,
    removed: bool,
}

impl LoopWaker {
    /// One with a descriptor, where the system has one that loops can watch.
    ///
    /// # Errors
    ///
    /// When the process has no descriptors left.
    pub fn new() -> std::io::Result<Self> {
        Ok(LoopWaker {
            descriptor: imp::Descriptor::new()?,
            ..LoopWaker::default()
        })
    }

    /// One that a thread waits for.
    #[must_use]
    pub fn without_descriptor() -> Self {
        LoopWaker::default()
    }

    /// The descriptor that is readable from a wake to the next [`clear`](Self::clear).
    #[must_use]
    pub fn descriptor(&self) -> Option<i32> {
        self.descriptor.as_ref()?.number()
    }

    /// Wake the loop.
    pub fn wake(&self) {
        match &self.descriptor {
            Some(descriptor) => descriptor.wake(),
            None => {
                self.state.lock().woken = true;
                self.changed.notify_all();
            }
        }
    }

    /// Wake the loop at these times, until they are set anew; `false`: it cannot.
    pub(crate) fn set_alarm(&self, until: Until) -> bool {
        self.descriptor
            .as_ref()
            .is_some_and(|descriptor| descriptor.set_alarm(until))
    }

    /// The loop has come.
    pub fn clear(&self) {
        if let Some(descriptor) = &self.descriptor {
            descriptor.clear();
        }
    }

    /// Wait for a wake; `false`: there will be none. For one without a descriptor.
    pub fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while !state.woken && !state.removed {
            state = self.changed.wait(state);
        }
        state.woken = false;
        !state.removed
    }

    /// Whether the loop was woken since this was taken last. For one without a descriptor.
    #[cfg(test)]
    pub(crate) fn take_rung(&self) -> bool {
        std::mem::take(&mut self.state.lock().woken)
    }

    /// Wait until the loop is woken. For one with a descriptor.
    #[cfg(all(test, target_os = "linux"))]
    pub(crate) fn await_alarm(&self) {
        self.descriptor.as_ref().unwrap().0.await_descriptor();
    }

    /// End the wait of the thread, and close the descriptor, which nothing may watch any more.
    pub fn remove(&self) {
        if let Some(descriptor) = &self.descriptor {
            descriptor.close();
        }
        self.state.lock().removed = true;
        self.changed.notify_all();
    }
}

#[cfg(target_os = "linux")]
mod imp {
    use crate::sleep::{Sleeper, Until};

    #[derive(Debug)]
    pub(super) struct Descriptor(pub(super) Sleeper);

    impl Descriptor {
        // On other systems there may be none.
        #[allow(clippy::unnecessary_wraps)]
        pub(super) fn new() -> std::io::Result<Option<Self>> {
            Ok(Some(Descriptor(Sleeper::new()?)))
        }

        pub(super) fn number(&self) -> Option<i32> {
            self.0.descriptor()
        }

        pub(super) fn close(&self) {
            self.0.close();
        }

        pub(super) fn wake(&self) {
            self.0.wake();
        }

        pub(super) fn set_alarm(&self, until: Until) -> bool {
            self.0.arm(until);
            true
        }

        pub(super) fn clear(&self) {
            self.0.clear();
        }
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
mod imp {
    use crate::sleep::Until;
    use crate::sync::Mutex;
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    /// The ends of a socket, to read and to write, until they are closed; neither call on them waits.
    #[derive(Debug)]
    pub(super) struct Descriptor(Mutex<Option<(UnixStream, UnixStream)>>);

    impl Descriptor {
        pub(super) fn new() -> std::io::Result<Option<Self>> {
            let (reader, writer) = UnixStream::pair()?;
            reader.set_nonblocking(true)?;
            writer.set_nonblocking(true)?;
            Ok(Some(Descriptor(Mutex::new(Some((reader, writer))))))
        }

        pub(super) fn number(&self) -> Option<i32> {
            let ends = self.0.lock();
            ends.as_ref().map(|(reader, _)| reader.as_raw_fd())
        }

        pub(super) fn close(&self) {
            let closed = self.0.lock().take();
            drop(closed);
        }

        pub(super) fn wake(&self) {
            if let Some((_, writer)) = &mut *self.0.lock() {
                // It fails only when it is full: then it is readable all the same.
                let _ = writer.write(&[1]);
            }
        }

        #[allow(clippy::unused_self)] // on Linux it can
        pub(super) fn set_alarm(&self, _until: Until) -> bool {
            false
        }

        pub(super) fn clear(&self) {
            if let Some((reader, _)) = &mut *self.0.lock() {
                // It fails only when nothing was written.
                let _ = reader.read(&mut [0; 4096]);
            }
        }
    }
}

#[cfg(not(unix))]
mod imp {
    use crate::sleep::Until;

    #[derive(Debug)]
    pub(super) enum Descriptor {}

    impl Descriptor {
        #[allow(clippy::unnecessary_wraps)] // on other systems it can fail
        pub(super) fn new() -> std::io::Result<Option<Self>> {
            Ok(None)
        }

        pub(super) fn number(&self) -> Option<i32> {
            match *self {}
        }

        pub(super) fn close(&self) {
            match *self {}
        }

        pub(super) fn wake(&self) {
            match *self {}
        }

        pub(super) fn set_alarm(&self, _until: Until) -> bool {
            match *self {}
        }

        pub(super) fn clear(&self) {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_ring_before_the_wait_is_heard_and_removal_ends_it() {
        let loop_waker = Arc::new(LoopWaker::without_descriptor());
        loop_waker.wake();
        assert!(loop_waker.wait());
        let waiting = loop_waker.clone();
        let thread = std::thread::spawn(move || waiting.wait());
        loop_waker.remove();
        assert!(!thread.join().unwrap());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_descriptor_is_readable_from_the_ring_until_it_is_cleared() {
        let loop_waker = LoopWaker::new().unwrap();
        let readable = || loop_waker.descriptor.as_ref().unwrap().0.would_end();
        assert!(!readable());
        loop_waker.wake();
        loop_waker.wake();
        assert!(readable());
        loop_waker.clear();
        assert!(!readable());
        let alarm = |boot| {
            let wall = None;
            assert!(loop_waker.set_alarm(Until { wall, boot }));
        };
        alarm(Some(1));
        assert!(readable());
        loop_waker.clear();
        assert!(!readable());
        alarm(Some(i64::MAX));
        assert!(!readable());
        alarm(None);
        assert!(!readable());
    }
}
