//! What a store is called, what may be opened as one, and the claim of this process on it.

use crate::Error;
use crate::ownership::files::{PRIVATE, beside, make};
use crate::ownership::locks::Locks;
use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// What SQLite and we add to the name of a database, at most: `-journal`.
const LONGEST_SUFFIX: usize = 8;

/// The longest name that most file systems take.
const LONGEST_NAME: usize = 255;

/// The longest path that SQLite takes, with what it adds.
#[cfg(unix)]
const LONGEST_PATH: usize = 512;

/// The mode that SQLite gives a new database.
const OF_SQLITE: u32 = 0o644;

/// A store that belongs to this process until this is dropped.
///
/// All of its files are named from one path, absolute and without links: it means the same
/// wherever the process goes, and under whatever name the store was given.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    /// The database was not there.
    made: bool,
    locks: Option<Locks>,
}

impl Claim {
    /// One that keeps nobody out, of a disk that has one user.
    pub fn unlocked(path: &Path) -> Self {
        Claim {
            path: path.to_owned(),
            made: false,
            locks: None,
        }
    }

    /// The database.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the database was made by it.
    pub(crate) fn has_made(&self) -> bool {
        self.made
    }

    /// A file beside the database.
    pub(crate) fn beside(&self, suffix: &str) -> PathBuf {
        beside(&self.path, suffix)
    }

    /// The owner and the mode of the database, which every file beside it gets as well.
    pub(crate) fn of_database(&self) -> Option<Metadata> {
        self.locks.as_ref()?.of_database()
    }
}

/// Claim the store of this name; its database is made if it is not there.
pub(crate) fn claim(given: &Path) -> Result<Claim, Error> {
    let path = resolve(given).map_err(|error| Error::from(error).denied(given))?;
    check_length(&path)?;
    let there = std::fs::metadata(&path);
    let made = there.is_err();
    match there {
        Ok(metadata) if !metadata.is_file() => return Err(Error::NotAFile(path)),
        Ok(metadata) if metadata.permissions().readonly() => return Err(Error::ReadOnly(path)),
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(Error::from(error).denied(&path));
        }
        _ => {}
    }
    let lock = beside(&path, "-lock");
    let locks = Locks::take(
        &path,
        || make(&lock, PRIVATE).map_err(|error| Error::from(error).of(&lock)),
        || make(&path, OF_SQLITE).map_err(|error| Error::from(error).denied(&path)),
    )?;
    let locks = Some(locks);
    Ok(Claim { path, made, locks })
}

/// The absolute path of a file that need not be there, all links followed: a link that leads
/// nowhere yet, too.
pub(crate) fn resolve(given: &Path) -> io::Result<PathBuf> {
    let mut path = std::path::absolute(given)?;
    for _ in 0..40 {
        #[cfg(unix)]
        match std::fs::canonicalize(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            found => return found,
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            break;
        };
        path = match std::fs::read_link(&path) {
            Ok(target) => parent.join(target),
            #[cfg(unix)]
            Err(_) => return Ok(std::fs::canonicalize(parent)?.join(name)),
            #[cfg(not(unix))] // where a canonical path is of a kind that SQLite does not take
            Err(_) => return Ok(parent.join(name)),
        };
    }
    Err(ErrorKind::NotFound.into())
}

fn check_length(path: &Path) -> Result<(), Error> {
    let too_long = |what: &str, length: usize, most: usize| {
        let shown = path.display();
        Err(Error::io(format!(
            "{shown} has {what} of {length} bytes: give one of {most} at most, to which suffixes \
             are added"
        )))
    };
    let name = path
        .file_name()
        .map_or(0, |name| name.as_encoded_bytes().len());
    if name > LONGEST_NAME - LONGEST_SUFFIX {
        return too_long("a name", name, LONGEST_NAME - LONGEST_SUFFIX);
    }
    #[cfg(unix)]
    if path.as_os_str().len() > LONGEST_PATH - LONGEST_SUFFIX {
        let most = LONGEST_PATH - LONGEST_SUFFIX;
        return too_long("a path", path.as_os_str().len(), most);
    }
    Ok(())
}
