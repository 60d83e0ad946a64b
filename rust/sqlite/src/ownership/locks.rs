//! The locks on the stores that this process has open, and what becomes of them in a fork.
//!
//! Each store has a lock file of its own, locked whole: such a lock belongs to the open
//! description. So it holds whatever this process does with its files, keeps out a second opening
//! in this process as well, and is gone as soon as the process is. It would also live on in a
//! forked child, which has the same description: there the descriptors are closed at once, which
//! leaves the parent's lock as it is.
//!
//! The database itself is locked as well, where SQLite locks it, for programs that know nothing of
//! the lock file: `sqlite3`, a version that had none, and whoever comes by another name.

use crate::Error;
use crate::ownership::files::{identity, resemble};
use std::fs::{File, Metadata, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is open in this process. Held for as long as it takes to open and lock a store's files,
/// so that no fork copies a descriptor that is not in here.
static OPEN: Mutex<Vec<Open>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct Open {
    number: u64,
    database: PathBuf,
    files: [File; 2],
}

/// The locks on a store, until it is dropped. The descriptors are in the list, where a fork finds
/// them.
#[derive(Debug)]
pub(crate) struct Locks(u64);

fn open() -> MutexGuard<'static, Vec<Open>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Locks {
    /// Lock a store: `lock` and `database` open the two files.
    pub(crate) fn take(
        path: &Path,
        lock: impl FnOnce() -> Result<File, Error>,
        database: impl FnOnce() -> Result<File, Error>,
    ) -> Result<Self, Error> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        #[cfg(unix)]
        fork::watch();
        let mut open = open();
        let lock = lock()?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(locked(&open, path, &lock, holder(&lock))),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        say_who(&lock);
        let database = database()?;
        if open.iter().any(|open| same(&open.files[1], &database)) {
            return Err(Error::OpenHere);
        }
        #[cfg(unix)]
        if let Some(pid) = sqlite::lock(&database)? {
            return Err(locked(&open, path, &database, pid));
        }
        if let Ok(like) = database.metadata() {
            let _ = resemble(&lock, &like); // as far as the system lets us
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        open.push(Open {
            number,
            database: path.to_owned(),
            files: [lock, database],
        });
        Ok(Locks(number))
    }

    /// What the database's owner and mode are; `None` in a fork.
    pub(crate) fn of_database(&self) -> Option<Metadata> {
        let open = open();
        let ours = open.iter().find(|open| open.number == self.0)?;
        ours.files[1].metadata().ok()
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        let mut open = open();
        if let Some(at) = open.iter().position(|open| open.number == self.0) {
            let [lock, database] = open.swap_remove(at).files;
            let _ = lock.set_len(0);
            // Closing them would do, were there no child that was forked this very moment.
            #[cfg(unix)]
            sqlite::unlock(&database);
            let _ = lock.unlock();
            drop(database);
        }
    }
}

/// Why a file is not to be had.
fn locked(open: &[Open], path: &Path, file: &File, pid: Option<u32>) -> Error {
    let here = open
        .iter()
        .any(|open| open.database == path || open.files.iter().any(|one| same(one, file)));
    if here {
        Error::OpenHere
    } else {
        Error::Locked { pid }
    }
}

/// Write the number of this process into the lock file, for who comes later. It is for a message
/// only, so it matters little if it cannot be written.
fn say_who(mut lock: &File) {
    use std::io::{Seek, Write};
    let pid = format!("{}\n", std::process::id());
    if lock.rewind().is_ok() && lock.write_all(pid.as_bytes()).is_ok() {
        let _ = lock.set_len(pid.len() as u64);
    }
}

/// Who holds the lock file, as far as it says so. Windows lets nobody read what is locked.
fn holder(lock: &File) -> Option<u32> {
    use std::io::Read;
    let mut text = String::new();
    lock.take(20).read_to_string(&mut text).ok()?;
    text.trim_end().parse().ok()
}

/// Whether two descriptors are of one file. Where the system does not say, names alone are compared.
#[cfg(unix)]
fn same(one: &File, other: &File) -> bool {
    let of = |file: &File| file.metadata().ok().map(|file| identity(&file));
    of(one).is_some_and(|one| Some(one) == of(other))
}

#[cfg(not(unix))]
fn same(_: &File, _: &File) -> bool {
    false
}

/// SQLite's own locks, which it leaves to us: its default on Unix belongs to the process, and
/// falls when that closes any descriptor of the file.
#[cfg(unix)]
#[allow(unsafe_code)]
mod sqlite {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;

    /// Locks of the open description, where the system has them.
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    const LOCK: [(libc::c_int, libc::c_int); 2] = [
        (libc::F_OFD_SETLK, libc::F_OFD_GETLK),
        (libc::F_SETLK, libc::F_GETLK), // some sandboxes know no others
    ];
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    const LOCK: [(libc::c_int, libc::c_int); 1] = [(libc::F_SETLK, libc::F_GETLK)];

    /// Lock a database as a writer of SQLite does; `Some`: another has done so, a process that may
    /// be known.
    pub(super) fn lock(file: &File) -> io::Result<Option<Option<u32>>> {
        let mut last = io::Error::from(io::ErrorKind::Unsupported);
        for (set, get) in LOCK {
            let error = match ask(file, set, libc::F_WRLCK) {
                Ok(_) => return Ok(None),
                Err(error) => error,
            };
            match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EACCES) => {
                    let found = ask(file, get, libc::F_WRLCK).ok();
                    let pid = found.and_then(|found| u32::try_from(found.l_pid).ok());
                    return Ok(Some(pid.filter(|&pid| pid > 0)));
                }
                _ => last = error,
            }
        }
        Err(last)
    }

    pub(super) fn unlock(file: &File) {
        for (set, _) in LOCK {
            let _ = ask(file, set, libc::F_UNLCK);
        }
    }

    fn ask(file: &File, command: libc::c_int, kind: libc::c_int) -> io::Result<libc::flock> {
        // SAFETY: it is made of integers.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        lock.l_type = kind as _;
        lock.l_whence = libc::SEEK_SET as _;
        // Pending, reserved and 510 shared ones.
        lock.l_start = 1 << 30;
        lock.l_len = 512;
        // SAFETY: the descriptor is open, and the command takes such a structure.
        match unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(lock),
        }
    }
}

/// What is done around every fork, also one that Python knows nothing of.
#[cfg(unix)]
#[allow(unsafe_code)]
mod fork {
    use super::Open;
    use rusqlite::ffi;
    use std::cell::RefCell;
    use std::ffi::c_int;
    use std::sync::{MutexGuard, Once};

    /// The process-wide mutexes of SQLite, in the order in which it takes one within another. A
    /// child that copied one while another thread had it could never use SQLite.
    const OF_SQLITE: [c_int; 6] = [
        ffi::SQLITE_MUTEX_STATIC_MAIN,
        ffi::SQLITE_MUTEX_STATIC_VFS1,
        ffi::SQLITE_MUTEX_STATIC_PRNG,
        ffi::SQLITE_MUTEX_STATIC_LRU,
        ffi::SQLITE_MUTEX_STATIC_PMEM,
        ffi::SQLITE_MUTEX_STATIC_MEM,
    ];

    thread_local! {
        /// From before the fork until after it.
        static HELD: RefCell<Option<MutexGuard<'static, Vec<Open>>>> = const { RefCell::new(None) };
    }

    pub(super) fn watch() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // SAFETY: the handlers are of this library, which is never unloaded, and take what
            // they take from the thread that forks. Without memory for them there is no opening.
            let watched = unsafe {
                ffi::sqlite3_initialize();
                libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child))
            };
            assert_eq!(watched, 0, "there is no memory to watch forks with");
        });
    }

    extern "C" fn before() {
        let open = super::open();
        let _ = HELD.try_with(|held| held.replace(Some(open)));
        for number in OF_SQLITE {
            // SAFETY: such a mutex is there for ever.
            unsafe { ffi::sqlite3_mutex_enter(ffi::sqlite3_mutex_alloc(number)) };
        }
    }

    extern "C" fn in_parent() {
        drop(after());
    }

    extern "C" fn in_child() {
        if let Some(mut open) = after() {
            open.clear();
        }
    }

    fn after() -> Option<MutexGuard<'static, Vec<Open>>> {
        for number in OF_SQLITE.into_iter().rev() {
            // SAFETY: this thread has entered it before the fork.
            unsafe { ffi::sqlite3_mutex_leave(ffi::sqlite3_mutex_alloc(number)) };
        }
        HELD.try_with(|held| held.take()).ok().flatten()
    }
}
