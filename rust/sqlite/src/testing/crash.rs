//! The files that a crash could leave.
//!
//! What was synced is there. Of what was not, anything may be: a write may be there, or not, or
//! some of its sectors; writes to one file may be there out of order.

use super::disk::Change;
use std::collections::BTreeMap;

/// The files after a crash.
pub type Image = BTreeMap<String, Vec<u8>>;

/// What survives of that which was not synced.
pub enum Survivors<'a> {
    /// Nothing.
    Synced,
    /// Everything.
    All,
    /// What the source of random numbers says.
    Random(&'a mut dyn FnMut() -> u64),
}

const SECTOR: usize = 512;

#[derive(Default)]
struct File {
    /// Its name is on disk.
    named: bool,
    removed: bool,
    durable: Vec<u8>,
    loose: Vec<Change>,
}

impl Survivors<'_> {
    /// Whether something that is no write survives.
    fn keep(&mut self) -> bool {
        match self {
            Survivors::Synced => false,
            Survivors::All => true,
            Survivors::Random(random) => random() % 2 == 0,
        }
    }

    fn write(&mut self, file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
        let mut put = |from: usize, to: usize| {
            file.resize(file.len().max(offset + to), 0);
            file[offset + from..offset + to].copy_from_slice(&bytes[from..to]);
        };
        match self {
            Survivors::Synced => {}
            Survivors::All => put(0, bytes.len()),
            Survivors::Random(random) => {
                let fate = random() % 4;
                if fate == 1 {
                    put(0, bytes.len());
                } else if fate > 1 {
                    let mut from = 0;
                    while from < bytes.len() {
                        // Sectors lie in the file, not in the write.
                        let sector = SECTOR - (offset + from) % SECTOR;
                        let to = bytes.len().min(from + sector);
                        if random() % 2 == 0 {
                            put(from, to);
                        }
                        from = to;
                    }
                }
            }
        }
    }
}

/// The files after a crash that followed these changes.
pub fn image(start: &Image, changes: &[Change], mut survivors: Survivors<'_>) -> Image {
    let mut files: BTreeMap<&str, File> = BTreeMap::new();
    for (name, bytes) in start {
        let file = files.entry(name).or_default();
        file.named = true;
        file.durable.clone_from(bytes);
    }
    for change in changes {
        match change {
            Change::Create(name) => {
                let file = files.entry(name).or_default();
                if file.removed {
                    // Its old self is gone for good: the same directory entry is written anew.
                    *file = File::default();
                }
            }
            Change::Remove(name, durably) => {
                let file = files.entry(name).or_default();
                file.removed = true;
                if *durably {
                    *file = File::default();
                    file.removed = true;
                }
            }
            Change::Write(name, ..) | Change::Length(name, _) => {
                let file = files.entry(name).or_default();
                file.loose.push(change.clone());
            }
            Change::Sync(name) => {
                let file = files.entry(name).or_default();
                for change in std::mem::take(&mut file.loose) {
                    apply(&mut file.durable, &change, &mut Survivors::All);
                }
                // SQLite syncs the directory with the first sync of a log that it made.
                if !file.named && (name.ends_with("-wal") || name.ends_with("-journal")) {
                    sync_names(&mut files);
                }
            }
            Change::SyncNames => sync_names(&mut files),
            Change::Note(_) => {}
        }
    }
    let mut image = Image::new();
    for (name, mut file) in files {
        for change in std::mem::take(&mut file.loose) {
            apply(&mut file.durable, &change, &mut survivors);
        }
        let there = if file.removed {
            file.named && !survivors.keep()
        } else {
            file.named || survivors.keep()
        };
        if there {
            image.insert(name.to_owned(), file.durable);
        }
    }
    image
}

/// The directory is on disk as it is.
fn sync_names(files: &mut BTreeMap<&str, File>) {
    for file in files.values_mut() {
        if file.removed {
            *file = File::default();
            file.removed = true;
        } else {
            file.named = true;
        }
    }
}

fn apply(file: &mut Vec<u8>, change: &Change, survivors: &mut Survivors<'_>) {
    match change {
        Change::Write(_, offset, bytes) => survivors.write(file, *offset as usize, bytes),
        Change::Length(_, length) if survivors.keep() => file.resize(*length as usize, 0),
        _ => {}
    }
}
