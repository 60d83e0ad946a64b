//! The files under a store, behind a trait so that tests can put a failing disk in their place.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// The file of a journal.
///
/// **Concurrency**: `sync` runs beside writes; a write that began before it may be missed.
pub trait LogFile: Send + Sync {
    /// Write all of it at an offset.
    ///
    /// # Errors
    ///
    /// As the system says; a part may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// All that was written is on disk.
    ///
    /// # Errors
    ///
    /// As the system says. Then nobody knows what is on disk, and another call may lie.
    fn sync(&self) -> io::Result<()>;
    /// Cut or extend it.
    ///
    /// # Errors
    ///
    /// As the system says.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// All of it.
    ///
    /// # Errors
    ///
    /// As the system says.
    fn read_all(&self) -> io::Result<Vec<u8>>;
}

/// Where the files of a store are.
pub trait Disk: Send + Sync {
    /// The SQLite VFS for the same files, if not the default.
    fn vfs(&self) -> Option<&str>;
    /// Open a journal; `None`: there is none, and none was to be made.
    ///
    /// # Errors
    ///
    /// As the system says.
    fn open(&self, path: &Path, create: bool) -> io::Result<Option<Box<dyn LogFile>>>;
    /// How long a file is, and its first bytes; `None`: it is not there.
    ///
    /// # Errors
    ///
    /// As the system says.
    fn head(&self, path: &Path, most: u64) -> io::Result<Option<(u64, Vec<u8>)>>;
    /// Remove a file, and be sure that it is gone.
    ///
    /// # Errors
    ///
    /// As the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The creation of this file is on disk.
    ///
    /// # Errors
    ///
    /// As the system says.
    fn sync_directory(&self, of: &Path) -> io::Result<()>;
    /// Refuse what is no file, cannot be written, or is open in this process already; SQLite
    /// itself would say so later and less clearly.
    ///
    /// # Errors
    ///
    /// A typed one.
    fn claim(&self, path: &Path) -> Result<Claim, crate::Error>;
    /// Which other process holds the lock on a database.
    fn holder(&self, path: &Path) -> Option<u32>;
}

/// A path that is open in this process; another opening is refused until it is dropped.
#[derive(Debug)]
pub struct Claim(pub(crate) Option<PathBuf>);

/// The machine's.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl LogFile for File {
    #[cfg(unix)]
    #[inline]
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self, bytes, offset)
    }

    #[cfg(windows)]
    fn write_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match std::os::windows::fs::FileExt::seek_write(self, bytes, offset)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => {
                    bytes = &bytes[written..];
                    offset += written as u64;
                }
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        File::set_len(self, length)
    }

    fn read_all(&self) -> io::Result<Vec<u8>> {
        use std::io::{Read, Seek};
        let (mut bytes, mut file) = (Vec::new(), self);
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Disk for RealDisk {
    fn vfs(&self) -> Option<&str> {
        None
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Option<Box<dyn LogFile>>> {
        let mut options = OpenOptions::new();
        match options.read(true).write(true).create(create).open(path) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !create => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn head(&self, path: &Path, most: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
        use std::io::Read;
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let (length, mut bytes) = (file.metadata()?.len(), Vec::new());
        file.take(most).read_to_end(&mut bytes)?;
        Ok(Some((length, bytes)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.sync_directory(path),
        }
    }

    #[cfg(unix)]
    fn sync_directory(&self, of: &Path) -> io::Result<()> {
        let parent = match of.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        File::open(parent)?.sync_all()
    }

    #[cfg(not(unix))]
    fn sync_directory(&self, _of: &Path) -> io::Result<()> {
        Ok(()) // a directory cannot be opened there, and NTFS journals it
    }

    fn claim(&self, path: &Path) -> Result<Claim, crate::Error> {
        crate::claim::claim(path)
    }

    fn holder(&self, path: &Path) -> Option<u32> {
        crate::claim::holder(path)
    }
}
