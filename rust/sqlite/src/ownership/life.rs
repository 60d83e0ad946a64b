//! What a database says of its own use: whether a life of its store is under way, and which.
//!
//! It is a row of one size in a table of its own, so that a change of it is a change of a few
//! bytes in one sector: the database file alone, without SQLite's log, says the former or the
//! latter, also where a checkpoint was cut off.

use crate::Error;
use crate::database::schema::{APPLICATION, VERSION};
use crate::disk::{Disk, JournalFile};
use crate::journal::file::Head;
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};

/// The first version of the schema that has it.
pub(crate) const FIRST: u32 = 2;

/// The row in `life`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Life {
    /// It is under way: the journal and SQLite's log belong to the database.
    pub(crate) open: bool,
    /// Of its journal; 0: there has been none.
    pub(crate) salt: u32,
    /// SQLite's log.
    pub(crate) log: Wal,
}

impl Life {
    fn read(bytes: &[u8]) -> Option<Self> {
        let field = |at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
        let open = match field(0)? {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(Life {
            open,
            salt: field(4)?,
            log: Wal {
                id: field(8)?,
                generation: field(12)?,
            },
        })
    }

    /// Whether the tables may lack what this journal has: where it was closed, they have all.
    pub(crate) fn has(self, journal: &[u8]) -> bool {
        self.open && matches!(Head::of(journal), Head::Named { salt, .. } if salt == self.salt)
    }

    pub(crate) fn get(connection: &Connection) -> Result<Self, Error> {
        let bytes: Vec<u8> = connection
            .prepare_cached("SELECT state FROM life")?
            .query_row([], |row| row.get(0))?;
        Life::read(&bytes).ok_or_else(|| Error::corrupt("its table life has no form"))
    }

    pub(crate) fn set(self, connection: &Connection) -> Result<(), Error> {
        let fields = [
            u32::from(self.open),
            self.salt,
            self.log.id,
            self.log.generation,
        ];
        let bytes = fields.map(u32::to_be_bytes).concat();
        connection
            .prepare_cached("UPDATE life SET state = ?1")?
            .execute([bytes])?;
        Ok(())
    }
}

/// What the file of a database says alone, without SQLite's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alone {
    Absent,
    Empty,
    /// Too little to be a database.
    Scrap,
    /// Of another version or application, damaged, or cut off before it was first in use.
    Unknown,
    Known(Life),
}

impl Alone {
    pub(crate) fn look(path: &Path, disk: &dyn Disk) -> Result<Self, Error> {
        let Some((length, head)) = disk.head(path, 100)? else {
            return Ok(Alone::Absent);
        };
        let field = |at: usize| Some(u32::from_be_bytes(*head.get(at..)?.first_chunk()?));
        let known = field(60).is_some_and(|version| (FIRST..=VERSION).contains(&version))
            && field(68) == Some(APPLICATION as u32);
        Ok(match length {
            0 => Alone::Empty,
            // The smallest page that SQLite knows.
            1..512 => Alone::Scrap,
            _ if known => match read_alone(path, disk) {
                Ok(life) => Alone::Known(life),
                Err(_) => Alone::Unknown,
            },
            _ => Alone::Unknown,
        })
    }
}

/// The row as it is in the file, whatever SQLite's log has.
fn read_alone(path: &Path, disk: &dyn Disk) -> Result<Life, Error> {
    let uri = format!("file:{}?immutable=1", escaped(path));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match disk.vfs() {
        Some(vfs) => Connection::open_with_flags_and_vfs(uri, flags, vfs)?,
        None => Connection::open_with_flags(uri, flags)?,
    };
    // A checkpoint that was cut off leaves a file that is shorter than its head says; without this
    // SQLite refuses to read it.
    connection.execute_batch("PRAGMA writable_schema = ON; PRAGMA mmap_size = 0;")?;
    Life::get(&connection)
}

/// A path as it is written in a URI.
fn escaped(path: &Path) -> String {
    let mut written = String::new();
    if cfg!(windows) {
        written.push_str("///"); // before the letter of a drive
    }
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'\\' if cfg!(windows) => written.push('/'),
            b'/' | b'.' | b'-' | b'_' => written.push(char::from(byte)),
            b':' if cfg!(windows) => written.push(':'),
            byte if byte.is_ascii_alphanumeric() => written.push(char::from(byte)),
            byte => written.push_str(&format!("%{byte:02x}")),
        }
    }
    written
}

/// Which log of SQLite's it is, and how far: what its head says, and what the database was made
/// whole with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wal {
    /// The same as long as the file lives, and drawn at random when it is made.
    pub(crate) id: u32,
    /// How often it has been begun anew. A checkpoint takes all of one generation to the database.
    pub(crate) generation: u32,
}

/// What is found where SQLite's log would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    /// It is not there, or has no byte.
    Missing,
    /// It has no head of SQLite's.
    Foreign,
    There(Wal),
}

/// The bytes of its head.
const HEAD: u64 = 32;

impl Log {
    pub(crate) fn look(path: &Path, disk: &dyn Disk) -> Result<Self, Error> {
        let head = disk.head(path, HEAD)?;
        Ok(head.map_or(Log::Missing, |head| Log::of(&head)))
    }

    fn of((length, head): &(u64, Vec<u8>)) -> Self {
        let field = |at: usize| Some(u32::from_be_bytes(*head.get(at..)?.first_chunk()?));
        match (field(0), field(12), field(16), field(28)) {
            _ if *length == 0 => Log::Missing,
            // The salt grows by one with each generation, which is counted from zero.
            (Some(0x377f_0682 | 0x377f_0683), Some(generation), Some(salt), Some(_)) => {
                Log::There(Wal {
                    id: salt.wrapping_sub(generation),
                    generation,
                })
            }
            _ => Log::Foreign,
        }
    }

    /// Its head; where there is none, SQLite will write one.
    pub(crate) fn or_none(self) -> Wal {
        match self {
            Log::There(wal) => wal,
            Log::Missing | Log::Foreign => Wal::default(),
        }
    }
}

impl Wal {
    /// Whether a database that says `self` is made whole by the log `found`: a checkpoint has taken
    /// that generation to it, or the one before.
    pub(crate) fn goes_on_in(self, found: Wal) -> bool {
        let later = found.generation.wrapping_sub(self.generation);
        found.id == self.id && later <= 1
    }

    /// The generation that comes after a checkpoint.
    pub(crate) fn next(self) -> Wal {
        let generation = self.generation.wrapping_add(1);
        Wal { generation, ..self }
    }
}

/// SQLite's log of a database in use: open, so that no other file of its name is taken for it.
pub(crate) struct OpenLog {
    pub(crate) path: PathBuf,
    pub(crate) file: Box<dyn JournalFile>,
}

impl OpenLog {
    pub(crate) fn look(&self) -> Result<Log, Error> {
        Ok(Log::of(&self.file.head(HEAD)?))
    }

    /// The head of the log that the last transaction was written to.
    pub(crate) fn head(&self) -> Result<Wal, Error> {
        match self.look()? {
            Log::There(wal) => Ok(wal),
            Log::Missing | Log::Foreign => {
                Err(Error::io(format!("{} has no head", self.path.display())))
            }
        }
    }
}

/// The number by which one life of a store differs from another; not zero, which stands for none.
pub(crate) fn salt() -> Result<u32, Error> {
    let drawn = getrandom::u32().map_err(|error| Error::io(error.to_string()))?;
    Ok(drawn.max(1))
}

/// See that a life that was just written down names the log that it was written in: that
/// transaction may have begun it anew.
pub(crate) fn confirm(
    connection: &Connection,
    place: &OpenLog,
    life: &mut Life,
) -> Result<(), Error> {
    loop {
        let head = place.head()?;
        if std::mem::replace(&mut life.log, head) == head {
            return Ok(());
        }
        life.set(connection)?;
    }
}
