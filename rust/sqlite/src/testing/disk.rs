//! A disk in memory that remembers every change and sync, and fails when a test says so.

use crate::Error;
use crate::disk::{Disk, JournalFile};
use crate::ownership::claim::Claim;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What happened to a disk, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Bytes were written.
    Write(String, u64, Vec<u8>),
    /// A file was cut or extended.
    Length(String, u64),
    /// A file was made.
    Create(String),
    /// A file was removed; whether durably.
    Remove(String, bool),
    /// All that was written to a file so far is on disk.
    Sync(String),
    /// The names of all files are on disk.
    SyncNames,
    /// Nothing; the test wants to know when.
    Note(u64),
}

/// When a disk fails. All count down and then stay at zero.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Syncs that succeed before one fails.
    pub syncs: Option<u64>,
    /// Writes that succeed before one fails.
    pub writes: Option<u64>,
    /// Bytes that all files may have together.
    pub space: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) files: BTreeMap<String, Vec<u8>>,
    changes: Vec<Change>,
    /// Changes are not kept.
    forgets: bool,
    faults: Faults,
}

#[derive(Debug)]
pub(super) struct Inner(Mutex<State>);

/// A disk in memory. Its files are reached by SQLite, too, through a VFS.
#[derive(Clone, Debug)]
pub struct SimDisk {
    inner: Arc<Inner>,
    number: u64,
}

static DISKS: Mutex<BTreeMap<u64, Weak<Inner>>> = Mutex::new(BTreeMap::new());

impl SimDisk {
    /// A disk with these files.
    pub fn new(files: BTreeMap<String, Vec<u8>>) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        super::vfs::register();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let state = State {
            files,
            ..State::default()
        };
        let inner = Arc::new(Inner(Mutex::new(state)));
        let mut disks = DISKS.lock().unwrap_or_else(PoisonError::into_inner);
        disks.insert(number, Arc::downgrade(&inner));
        disks.retain(|_, disk| disk.strong_count() > 0);
        SimDisk { inner, number }
    }

    /// The path of a file on this disk.
    pub fn path(&self, name: &str) -> std::path::PathBuf {
        format!("/sim/{}/{name}", self.number).into()
    }

    /// Keep the files and forget how they came to be: for long tests.
    pub fn forget_changes(&self) {
        let mut state = self.inner.lock();
        state.forgets = true;
        state.changes = Vec::new();
    }

    /// All that has happened so far.
    pub fn changes(&self) -> Vec<Change> {
        self.inner.lock().changes.clone()
    }

    /// Say something in the list of changes.
    pub fn note(&self, number: u64) {
        self.inner.lock().log(Change::Note(number));
    }

    /// Fail from now on.
    pub fn fail(&self, faults: Faults) {
        self.inner.lock().faults = faults;
    }

    /// The files as they are.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.inner.lock().files.clone()
    }
}

/// The disk and the name in a path, as SQLite gives it.
pub(super) fn resolve(path: &str) -> Option<(Arc<Inner>, String)> {
    let (number, name) = path.strip_prefix("/sim/")?.split_once('/')?;
    let disks = DISKS.lock().unwrap_or_else(PoisonError::into_inner);
    let disk = disks.get(&number.parse().ok()?)?.upgrade()?;
    Some((disk, name.to_owned()))
}

fn counted(left: &mut Option<u64>) -> bool {
    match left {
        None => true,
        Some(0) => false,
        Some(left) => {
            *left -= 1;
            true
        }
    }
}

impl State {
    fn log(&mut self, change: Change) {
        if !self.forgets {
            self.changes.push(change);
        }
    }
}

impl Inner {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn create(&self, name: &str) {
        let mut state = self.lock();
        if !state.files.contains_key(name) {
            state.files.insert(name.to_owned(), Vec::new());
            state.log(Change::Create(name.to_owned()));
        }
    }

    pub(super) fn remove(&self, name: &str, durably: bool) -> bool {
        let mut state = self.lock();
        let was = state.files.remove(name).is_some();
        if was {
            let change = Change::Remove(name.to_owned(), durably);
            state.log(change);
        }
        was
    }

    pub(super) fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        if !counted(&mut state.faults.writes) {
            return Err(io::ErrorKind::Other.into());
        }
        let end = offset as usize + bytes.len();
        let length = state.files.get(name).map_or(0, Vec::len);
        if let Some(space) = state.faults.space {
            let used: usize = state.files.values().map(Vec::len).sum();
            // What is there already can be written over, as on most file systems.
            if end > length && used + (end - length) > space as usize {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        let file = state.files.entry(name.to_owned()).or_default();
        file.resize(length.max(end), 0);
        file[offset as usize..end].copy_from_slice(bytes);
        let change = Change::Write(name.to_owned(), offset, bytes.to_vec());
        state.log(change);
        Ok(())
    }

    pub(super) fn length(&self, name: &str, length: u64) {
        let mut state = self.lock();
        if let Some(file) = state.files.get_mut(name) {
            file.resize(length as usize, 0);
            state.log(Change::Length(name.to_owned(), length));
        }
    }

    pub(super) fn sync(&self, change: Change) -> io::Result<()> {
        let mut state = self.lock();
        if !counted(&mut state.faults.syncs) {
            return Err(io::ErrorKind::Other.into());
        }
        state.log(change);
        Ok(())
    }
}

struct SimLog {
    disk: Arc<Inner>,
    name: String,
}

impl JournalFile for SimLog {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.write(&self.name, offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.sync(Change::Sync(self.name.clone()))
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.disk.length(&self.name, length);
        Ok(())
    }

    fn read_all(&self) -> io::Result<Vec<u8>> {
        Ok(self
            .disk
            .lock()
            .files
            .get(&self.name)
            .cloned()
            .unwrap_or_default())
    }

    fn head(&self, most: u64) -> io::Result<(u64, Vec<u8>)> {
        let bytes = self.read_all()?;
        let head = &bytes[..bytes.len().min(most as usize)];
        Ok((bytes.len() as u64, head.to_vec()))
    }

    fn is_at(&self, _path: &Path) -> bool {
        true
    }

    fn resemble(&self, _database: &Claim) {}
}

fn here(path: &Path) -> io::Result<(Arc<Inner>, String)> {
    path.to_str()
        .and_then(resolve)
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

impl Disk for SimDisk {
    fn vfs(&self) -> Option<&str> {
        Some(super::vfs::NAME)
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Option<Box<dyn JournalFile>>> {
        let (disk, name) = here(path)?;
        if create {
            disk.create(&name);
        } else if !disk.lock().files.contains_key(&name) {
            return Ok(None);
        }
        Ok(Some(Box::new(SimLog { disk, name })))
    }

    fn head(&self, path: &Path, most: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
        let file = self.open(path, false)?;
        file.map(|file| file.head(most)).transpose()
    }

    fn remove(&self, files: &[(&Path, &dyn JournalFile)]) -> io::Result<()> {
        for (number, (path, _)) in files.iter().enumerate() {
            let (disk, name) = here(path)?;
            disk.remove(&name, number + 1 == files.len());
        }
        Ok(())
    }

    fn sync_directory(&self, of: &Path) -> io::Result<()> {
        let (disk, _) = here(of)?;
        disk.sync(Change::SyncNames)
    }

    fn claim(&self, path: &Path) -> Result<Claim, Error> {
        Ok(Claim::unlocked(path))
    }
}
