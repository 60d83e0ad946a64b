//! The server: one thread that takes in lines and answers them, and the threads of Python that help it.

use crate::calls::scheduler::SchedulerCore;
use crate::share::connection::Connection;
use crate::share::desk::Desk;
use crate::share::forks::Noted;
use crate::share::inbox::{Inbox, Reply, Task};
use crate::share::specs::SpecsAhead;
use crate::share::wire;
use crate::shared::Shared;
use crate::values::payload::release;
use duewheel_engine::sync::Mutex;
use mio::event::Event;
use mio::net::{UnixListener, UnixStream};
use mio::{Events, Interest, Poll, Token, Waker};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);

/// How long a server that is stopped answers what it has taken in, and how often it looks whether that is all.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
const LAST_LOOKS: Duration = Duration::from_millis(2);

/// How much is read at once.
const SCRATCH: usize = 1 << 16;

/// How many payloads wait to be freed before Python is asked to.
const FREED_AT_ONCE: usize = 1_024;

/// What the thread of a server has.
struct Server {
    poll: Poll,
    listener: Noted<UnixListener>,
    next: usize,
    scratch: Box<[u8]>,
    uid: u32,
    desk: Desk,
}

/// Bind a socket that only this user may use; one that is there is of an owner that is gone.
fn bind(path: &Path) -> io::Result<Noted<UnixListener>> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => return Err(ErrorKind::AlreadyExists.into()),
        Ok(_) => std::fs::remove_file(path)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = Noted::make(|| UnixListener::bind(path))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

impl Server {
    fn run(mut self) {
        let mut events = Events::with_capacity(256);
        let mut stops: Option<Instant> = None;
        loop {
            let timeout = stops.map(|_| LAST_LOOKS);
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => break, // callers are cut off, and another process can serve them
                Ok(()) => {}
            }
            for step in self.desk.inbox.take() {
                step(&mut self.desk);
            }
            for event in &events {
                match event.token() {
                    _ if stops.is_some() => {}
                    LISTENER => self.accept(),
                    WAKER => {}
                    _ => self.turn(event),
                }
            }
            self.desk.flush_inserts();
            self.desk.send_all();
            self.watch_for_room();
            if self.desk.inbox.is_stopped() {
                // What was taken in is answered: else it would be asked for again, of the next owner.
                let until = *stops.get_or_insert_with(|| Instant::now() + LAST_ANSWERS);
                if !self.desk.shared.engine.owes_answers() || Instant::now() > until {
                    break;
                }
            }
            if self.desk.released.payloads.len() >= FREED_AT_ONCE {
                self.desk.free();
            }
        }
        self.desk.free();
    }

    /// Be told when there is room again for what is to be sent. Not from the start: each answer that is read makes room.
    fn watch_for_room(&mut self) {
        for token in std::mem::take(&mut self.desk.crowded) {
            if let Some(connection) = self.desk.connections.get_mut(&token) {
                let interest = Interest::READABLE | Interest::WRITABLE;
                let registry = self.poll.registry();
                // Without it the rest is sent with the next answer.
                let _ = registry.reregister(connection.stream(), token, interest);
            }
        }
    }

    fn accept(&mut self) {
        loop {
            let listener = &self.listener;
            let accepted = Noted::make(|| listener.accept().map(|(stream, _)| stream));
            let Ok(stream) = accepted else {
                return; // there is none, or no descriptor for it: it waits
            };
            self.next += 1;
            let token = Token(self.next);
            let peer = peer_uid(&stream);
            let mut connection = Connection::new(stream);
            let registry = self.poll.registry();
            if registry
                .register(connection.stream(), token, Interest::READABLE)
                .is_err()
            {
                continue;
            }
            if peer != Some(self.uid) {
                let line = wire::failure(
                    None,
                    "StorageError",
                    "the file is another user's: its owner serves processes of its own user alone",
                );
                connection.put(line);
                connection.ends = true;
                self.desk.to_send.push(token);
            }
            self.desk.connections.insert(token, connection);
        }
    }

    /// Take in what has come on a connection.
    fn turn(&mut self, event: &Event) {
        let token = event.token();
        if event.is_writable() {
            self.desk.to_send.push(token);
        }
        if !(event.is_readable() || event.is_read_closed()) {
            return;
        }
        let Some(connection) = self
            .desk
            .connections
            .get_mut(&token)
            .filter(|one| !one.ends)
        else {
            return;
        };
        let read = connection.read(&mut self.scratch, event.is_read_closed());
        let Ok((lines, open)) = read else {
            return self.desk.leave(token);
        };
        for line in lines.split(|&byte| byte == b'\n') {
            if !line.is_empty() {
                self.desk.take_in(token, line);
            }
        }
        if !open {
            // What it has asked for is made all the same.
            self.desk.leave(token);
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn peer_uid(stream: &UnixStream) -> Option<u32> {
    let mut found = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the socket is open, and the option writes such a structure, of which the size is given.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &raw mut size,
        )
    };
    (result == 0).then_some(found.uid)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn peer_uid(stream: &UnixStream) -> Option<u32> {
    let (mut uid, mut gid) = (0, 0);
    // SAFETY: the socket is open, and both numbers are written.
    let result = unsafe { libc::getpeereid(stream.as_raw_fd(), &raw mut uid, &raw mut gid) };
    (result == 0).then_some(uid)
}

fn own_uid() -> u32 {
    // SAFETY: it always succeeds.
    unsafe { libc::geteuid() }
}

/// The socket of an owner, and those who answer there.
#[pyclass(frozen, module = "duewheel._core")]
pub(crate) struct ShareServer {
    shared: Arc<Shared>,
    inbox: Arc<Inbox<Desk>>,
    specs: Arc<SpecsAhead>,
    path: PathBuf,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[pymethods]
impl ShareServer {
    /// Serve a scheduler at a socket of this path.
    #[new]
    fn new(py: Python<'_>, scheduler: &Bound<'_, SchedulerCore>, path: PathBuf) -> PyResult<Self> {
        let shared = scheduler.get().shared(py)?.clone();
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let mut listener = bind(&path)?;
        (poll.registry()).register(&mut *listener, LISTENER, Interest::READABLE)?;
        let inbox = Arc::new(Inbox::new(waker));
        let specs = Arc::<SpecsAhead>::default();
        let server = Server {
            poll,
            listener,
            next: WAKER.0,
            scratch: vec![0; SCRATCH].into(),
            uid: own_uid(),
            desk: Desk::new(shared.clone(), inbox.clone(), specs.clone()),
        };
        let thread = std::thread::Builder::new().name("duewheel-share".to_owned());
        let thread = thread.spawn(move || server.run())?;
        Ok(ShareServer {
            shared,
            inbox,
            specs,
            path,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Do what needs Python until the server is stopped: `answer` makes an answer of a line.
    fn work(&self, py: Python<'_>, answer: &Bound<'_, PyAny>) -> PyResult<()> {
        while let Some(task) = py.detach(|| self.inbox.next_task()) {
            match task {
                Task::Free(mut released) => release(py, &mut released),
                Task::Specs(wanted, line) => {
                    let made = self.specs.make(py, &self.shared, &wanted);
                    if let Some((to, line)) = line {
                        let failed = made.err().map(|error| error.to_string());
                        (self.inbox).put(Box::new(move |desk| desk.again(to, &line, failed)));
                    }
                }
                Task::Answer(to, line, ids) => {
                    let answered = answer.call1((PyBytes::new(py, &line),))?;
                    let line = answered.extract::<Vec<u8>>()?;
                    let reply = Reply { to, line, ids };
                    self.inbox.put(Box::new(move |desk| desk.reply(reply)));
                }
            }
        }
        Ok(())
    }

    /// Serve no more: callers are cut off.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.inbox.stop();
        let thread = self.thread.lock().take();
        let Some(thread) = thread else {
            return Ok(());
        };
        let ended = py.detach(|| thread.join());
        let _ = std::fs::remove_file(&self.path); // as long as the file is owned nobody else has one there
        // What it left is freed here, for its helpers may have gone.
        while let Some(task) = self.inbox.next_task() {
            if let Task::Free(mut released) = task {
                release(py, &mut released);
            }
        }
        self.specs.clear(py);
        ended.map_err(|_| PyOSError::new_err("the thread of the server has panicked"))
    }
}
