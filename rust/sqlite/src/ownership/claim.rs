//! What a store is called, what may be opened as one, and the claim of this process on it.

use crate::Error;
use crate::disk::Disk;
use crate::ownership::locks::Locks;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// What SQLite and we add to the name of a database, at most: `-journal`.
const LONGEST_SUFFIX: usize = 8;

/// The longest name that most file systems take.
const LONGEST_NAME: usize = 255;

/// The longest path that SQLite takes, with what it adds.
#[cfg(unix)]
const LONGEST_PATH: usize = 512;

/// The mode of a file beside a database, until it has the database's.
pub(crate) const PRIVATE: u32 = 0o600;

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

    /// After an opening that came to nothing: remove the database if it was made for it and has no
    /// byte.
    pub(crate) fn tidy(&self, disk: &dyn Disk) {
        if self.made
            && let Ok(Some(file)) = disk.open(&self.path, false)
            && matches!(file.head(0), Ok((0, _)))
        {
            let _ = disk.remove(&[(&self.path, &*file)]);
        }
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

pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
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

/// Open a file of ours, made with a mode if it is not there. Where a link has its name, that is
/// no file of ours.
pub(crate) fn make(file: &Path, mode: u32) -> io::Result<File> {
    let mut options = ours();
    options.create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options.open(file)
}

/// Open a file of ours that is there.
pub(crate) fn find(file: &Path) -> io::Result<File> {
    ours().open(file)
}

fn ours() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW);
    options
}

/// Give a file the owner and the mode of the database, as far as the system lets us: nobody who
/// cannot read the one is to read the other, and who can open the one opens the other.
#[cfg(unix)]
pub(crate) fn resemble(file: &File, database: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let (is, like) = (file.metadata()?, database);
    if is.nlink() > 1 {
        return Ok(()); // it has another name, which somebody else may have given it
    }
    if (is.uid(), is.gid()) != (like.uid(), like.gid())
        && fchown(file, Some(like.uid()), Some(like.gid())).is_err()
    {
        // To its group at least, of which this user may be a member.
        let _ = fchown(file, None, Some(like.gid()));
    }
    let of_group = file.metadata()?.gid() == like.gid();
    let mode = like.mode() & if of_group { 0o777 } else { 0o707 };
    if is.mode() & 0o777 != mode {
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn resemble(_: &File, _: &Metadata) -> io::Result<()> {
    Ok(()) // there it is the directory that tells
}

/// What a file is, whatever it is called.
#[cfg(unix)]
pub(crate) fn identity(file: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (file.dev(), file.ino())
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
