//! Who has a database open: this process, or which other.

use crate::Error;
use crate::disk::Claim;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What is open in this process.
///
/// Locks of a process hold for its files, not for its descriptors: closing any descriptor of a
/// file gives up all locks on it. So an own store must be recognised without opening its file.
static OPEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

pub(crate) fn claim(path: &Path) -> Result<Claim, Error> {
    let in_place = |error: std::io::Error| match Error::from(error) {
        Error::ReadOnly(_) => Error::ReadOnly(path.to_owned()),
        other => other,
    };
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => return Err(Error::NotAFile(path.to_owned())),
        Ok(metadata) if metadata.permissions().readonly() => {
            return Err(Error::ReadOnly(path.to_owned()));
        }
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(in_place(error)),
        _ => {}
    }
    let name = path
        .file_name()
        .ok_or_else(|| Error::NotAFile(path.to_owned()))?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // A link is followed where there is something to follow it to.
    let canonical = std::fs::canonicalize(path)
        .or_else(|_| std::fs::canonicalize(parent).map(|parent| parent.join(name)))
        .map_err(in_place)?;
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if !open.insert(canonical.clone()) {
        let pid = Some(std::process::id());
        return Err(Error::Locked { pid });
    }
    drop(open);
    let claim = Claim(Some(canonical));
    // It is not open here, so there is no lock to be lost by opening it for a moment.
    let mut options = std::fs::OpenOptions::new();
    match options.read(true).write(true).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(in_place(error)),
        _ => Ok(claim),
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
            open.remove(&path);
        }
    }
}

/// The process that holds SQLite's lock on this file; not called on a file of this process.
#[cfg(unix)]
pub(crate) fn holder(path: &Path) -> Option<u32> {
    let file = std::fs::File::open(path).ok()?;
    // The bytes that SQLite locks: pending, reserved and 510 shared ones, from 2³⁰ on.
    let lock = rustix::process::Flock {
        start: 1 << 30,
        length: 512,
        ..rustix::process::Flock::from(rustix::process::FlockType::WriteLock)
    };
    let found = rustix::process::fcntl_getlk(&file, &lock).ok()??;
    found
        .pid
        .and_then(|pid| u32::try_from(pid.as_raw_pid()).ok())
}

#[cfg(not(unix))]
pub(crate) fn holder(_path: &Path) -> Option<u32> {
    None
}
