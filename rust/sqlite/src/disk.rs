//! The files under a store, behind a trait so that tests can put a failing disk in their place.

use crate::ownership::claim::{self, Claim};
use crate::ownership::files;
use std::fs::File;
use std::io;
use std::path::Path;

/// The file of a journal.
///
/// **Concurrency**: `sync` runs beside writes; a write that began before it may be missed.
pub trait JournalFile: Send + Sync {
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
    /// How long it is, and its first bytes.
    ///
    /// # Errors
    ///
    /// As the system says.
    fn head(&self, most: u64) -> io::Result<(u64, Vec<u8>)>;
    /// Whether this path is still its name, and not that of another file.
    fn is_at(&self, path: &Path) -> bool;
    /// Give it the owner and the mode of the database, as far as the system lets us.
    fn resemble(&self, database: &Claim);
}

/// Where the files of a store are.
pub trait Disk: Send + Sync {
    /// The SQLite VFS for the same files, if not the default.
    fn vfs(&self) -> Option<&str>;
    /// Open a file beside a database; `None`: there is none, and none was to be made.
    ///
    /// # Errors
    ///
    /// As the system says.
    fn open(&self, path: &Path, create: bool) -> io::Result<Option<Box<dyn JournalFile>>>;
    /// How long a file is, and its first bytes; `None`: it is not there.
    ///
    /// # Errors
    ///
    /// As the system says.
    fn head(&self, path: &Path, most: u64) -> io::Result<Option<(u64, Vec<u8>)>>;
    /// Remove those of these names that are still the files', in order, and be sure that they
    /// are gone.
    ///
    /// # Errors
    ///
    /// As the system says.
    fn remove(&self, files: &[(&Path, &dyn JournalFile)]) -> io::Result<()>;
    /// The creation of this file is on disk.
    ///
    /// # Errors
    ///
    /// As the system says.
    fn sync_directory(&self, of: &Path) -> io::Result<()>;
    /// Claim the store of this name for this process, before anything of it is opened.
    ///
    /// # Errors
    ///
    /// A typed one: it is no file, cannot be written, or has been claimed.
    fn claim(&self, path: &Path) -> Result<Claim, crate::Error>;
}

/// The machine's.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl JournalFile for File {
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

    fn head(&self, most: u64) -> io::Result<(u64, Vec<u8>)> {
        use std::io::{Read, Seek};
        let (mut bytes, mut file) = (Vec::new(), self);
        file.rewind()?;
        file.take(most).read_to_end(&mut bytes)?;
        Ok((self.metadata()?.len(), bytes))
    }

    #[cfg(unix)]
    fn is_at(&self, path: &Path) -> bool {
        let (Ok(ours), Ok(there)) = (self.metadata(), std::fs::symlink_metadata(path)) else {
            return false;
        };
        files::identity(&ours) == files::identity(&there)
    }

    #[cfg(not(unix))]
    fn is_at(&self, _path: &Path) -> bool {
        true // while it is open there, no other file gets its name
    }

    fn resemble(&self, database: &Claim) {
        if let Some(like) = database.of_database() {
            let _ = files::resemble(self, &like);
        }
    }
}

impl Disk for RealDisk {
    #[cfg(unix)]
    fn vfs(&self) -> Option<&str> {
        // Without locks of its own: they fall when this process closes any descriptor of the
        // file, and a forked child takes the parent's for its own. The claim has them.
        Some("unix-none")
    }

    #[cfg(not(unix))]
    fn vfs(&self) -> Option<&str> {
        None
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Option<Box<dyn JournalFile>>> {
        let opened = if create {
            files::make(path, files::PRIVATE)
        } else {
            files::find(path)
        };
        match opened {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !create => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn head(&self, path: &Path, most: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
        match File::open(path) {
            Ok(file) => JournalFile::head(&file, most).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn remove(&self, files: &[(&Path, &dyn JournalFile)]) -> io::Result<()> {
        let mut gone = None;
        for &(path, file) in files {
            if !file.is_at(path) {
                continue;
            }
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => gone = Some(path),
            }
        }
        gone.map_or(Ok(()), |path| self.sync_directory(path))
    }

    #[cfg(unix)]
    fn sync_directory(&self, of: &Path) -> io::Result<()> {
        File::open(of.parent().unwrap_or(of))?.sync_all()
    }

    #[cfg(not(unix))]
    fn sync_directory(&self, _of: &Path) -> io::Result<()> {
        Ok(()) // a directory cannot be opened there, and NTFS journals it
    }

    fn claim(&self, path: &Path) -> Result<Claim, crate::Error> {
        claim::claim(path)
    }
}
