//! Files of ours: how they are called, opened, and given the database's owner and mode.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// The mode of a file beside a database, until it has the database's.
pub(crate) const PRIVATE: u32 = 0o600;

/// The path of a file beside a database.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
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
