//! Loss of power at every moment: the images that a crash could leave are opened and compared.
//!
//! `DUEWHEEL_IMAGES` is how many with `"commit"` (20,000 in the full form), and half as many with
//! `"relaxed"`.

mod kit;

use duewheel_sqlite::testing::{Change, Image, SimDisk, Survivors, image};
use duewheel_sqlite::{Durability, LocalStore, LogLimits, Settings, no_events};
use duewheel_store::Store;
use kit::model::{Model, Random};
use kit::{all, dead};
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MAX_INTERRUPTIONS: u32 = 3;

fn images() -> u64 {
    let told = std::env::var("DUEWHEEL_IMAGES").ok();
    told.and_then(|told| told.parse().ok()).unwrap_or(3000)
}

fn settings(disk: &SimDisk, durability: Durability) -> Settings {
    Settings {
        durability,
        max_interruptions: MAX_INTERRUPTIONS,
        disk: Arc::new(disk.clone()),
        limits: LogLimits {
            checkpoint_pages: 8,
            journal_bytes: 20_000,
            ..LogLimits::default()
        },
        ..Settings::default()
    }
}

fn open(disk: &SimDisk, durability: Durability) -> Result<LocalStore, duewheel_sqlite::Error> {
    let settings = settings(disk, durability);
    LocalStore::open(&disk.path("jobs.db"), settings, no_events())
}

/// One life of a store: the disk afterwards, and the state after each batch.
struct Life {
    disk: SimDisk,
    start: Image,
    /// What it was found as, then the state after each batch.
    states: Vec<Model>,
}

const SUBMITTED: u64 = 1 << 32;

/// Note `SUBMITTED + n` before the batch n is submitted, `n` when it is acknowledged.
fn live(
    start: Image,
    mut model: Model,
    random: &mut Random,
    batches: u64,
    durability: Durability,
) -> Life {
    let disk = SimDisk::new(start.clone());
    let store = open(&disk, durability).expect("it opens");
    let mut states = vec![model.clone()];
    let mut acknowledged = 0;
    for number in 1..=batches {
        let batch = model.batch(random);
        states.push(model.clone());
        disk.note(SUBMITTED + number);
        let ticket = store.submit(&batch).expect("taken");
        match random.below(8) {
            0..3 => {
                assert_eq!(store.wait(ticket, None), Ok(true));
                acknowledged = number;
                disk.note(acknowledged);
            }
            3 => {
                kit::to_tables(&store);
            }
            _ => {}
        }
    }
    let _ = acknowledged;
    if random.below(2) == 0 {
        store.close().expect("closed");
        disk.note(batches);
        if model.begun.is_empty() {
            assert_eq!(disk.files().len(), 1, "one file is left");
        }
    }
    drop(store);
    Life {
        disk,
        start,
        states,
    }
}

/// Open an image and compare it with the states that it may hold.
fn check(files: &Image, states: &[Model], what: &str) -> Model {
    let disk = SimDisk::new(files.clone());
    let store = open(&disk, Durability::Commit).unwrap_or_else(|error| panic!("{what}: {error}"));
    let jobs = all(&store);
    let mut died: Vec<_> = dead(&store)
        .into_iter()
        .map(|dead| (dead.job, dead.reason))
        .collect();
    died.sort_by_key(|(job, _)| (job.place, job.progress.run));
    let found = states.iter().find_map(|state| {
        let mut state = state.clone();
        state.die(MAX_INTERRUPTIONS);
        state
            .dead
            .sort_by_key(|(job, _)| (job.place, job.progress.run));
        (state.pending() == jobs && state.dead == died).then_some(state)
    });
    let Some(mut found) = found else {
        panic!(
            "{what}: {} jobs and {} dead are no state between what was acknowledged and what was \
             submitted: {:?}",
            jobs.len(),
            died.len(),
            states
                .iter()
                .map(|state| (state.jobs.len(), state.dead.len()))
                .collect::<Vec<_>>()
        );
    };
    assert_eq!(store.found().jobs, jobs.len() as u64, "{what}");
    let submitted = states.iter().map(|state| state.seq).max();
    assert!(
        store.found().seq <= submitted.unwrap_or(0),
        "{what}: a sequence was made up"
    );
    let highest = jobs.iter().map(|job| job.place.seq).max();
    assert!(
        highest.unwrap_or(0) <= store.found().seq,
        "{what}: a sequence may be used twice"
    );
    drop(store);
    let connection = rusqlite::Connection::open_with_flags_and_vfs(
        disk.path("jobs.db"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE,
        "duewheel-sim",
    )
    .unwrap();
    connection
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE")
        .unwrap();
    let sound: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok", "{what}");
    found.seq = found.seq.max(states[states.len() - 1].seq);
    found
}

/// The states that a crash after these changes may leave.
fn allowed<'a>(states: &'a [Model], changes: &[Change], relaxed: bool) -> &'a [Model] {
    let (mut acknowledged, mut submitted) = (0, 0);
    for change in changes {
        match change {
            Change::Note(number) if *number > SUBMITTED => submitted = number - SUBMITTED,
            Change::Note(number) => acknowledged = *number,
            _ => {}
        }
    }
    let from = if relaxed { 0 } else { acknowledged };
    &states[from as usize..=submitted as usize]
}

/// How many images were opened, and how many of them held jobs.
#[derive(Default)]
struct Opened {
    images: u64,
    with_jobs: u64,
    jobs: u64,
}

impl Opened {
    /// Every image was opened and compared when this is reached; most must have had something to lose.
    fn report(&self, what: &str) {
        let Opened {
            images,
            with_jobs,
            jobs,
        } = self;
        println!("{what}: {images} images, 0 unopenable, 0 lost; {with_jobs} held {jobs} jobs");
        assert!(*with_jobs > images / 2);
    }
}

fn crashes(seed: u64, images: u64, durability: Durability, opened: &mut Opened) {
    let relaxed = durability == Durability::Relaxed;
    let mut random = Random::new(seed);
    let mut left = images;
    let (mut start, mut model) = (Image::new(), Model::changing());
    let mut life = 0;
    while left > 0 {
        life += 1;
        let batches = 20 + random.below(40);
        let lived = live(start, model, &mut random, batches, durability);
        let changes = lived.disk.changes();
        let mut last = None;
        for _ in 0..left.min(60) {
            left -= 1;
            // Before the first batch is the opening, and it may crash as well.
            let at = 1 + random.below(changes.len() as u64) as usize;
            let happened = &changes[..at];
            let mut draw = random.clone();
            random.draw();
            let mut source = || draw.draw();
            let survivors = match random.below(8) {
                0 => Survivors::Synced,
                1 => Survivors::All,
                _ => Survivors::Random(&mut source),
            };
            // A process that dies takes nothing with it that it wrote: then nothing is excused.
            let excused = relaxed && !matches!(survivors, Survivors::All);
            let files = image(&lived.start, happened, survivors);
            let states = allowed(&lived.states, happened, excused);
            let what = format!(
                "seed {seed}, life {life}, {at} of {} changes",
                changes.len()
            );
            let found = check(&files, states, &what);
            opened.images += 1;
            opened.with_jobs += u64::from(!found.jobs.is_empty());
            opened.jobs += found.jobs.len() as u64;
            last = Some((files, found));
        }
        // The next life goes on from a crash, so that recovery is what crashes next.
        match last {
            Some(crashed) if life % 4 != 0 => (start, model) = crashed,
            _ => (start, model) = (Image::new(), Model::changing()),
        }
    }
}

#[test]
fn a_loss_of_power_takes_nothing_that_was_acknowledged() {
    let mut opened = Opened::default();
    for seed in 1..=4 {
        crashes(seed, images() / 4, Durability::Commit, &mut opened);
    }
    opened.report("commit");
}

#[test]
fn relaxed_a_loss_of_power_takes_only_the_end() {
    let mut opened = Opened::default();
    for seed in 11..=12 {
        crashes(seed, images() / 4, Durability::Relaxed, &mut opened);
    }
    opened.report("relaxed");
}

#[test]
fn a_kill_between_threads_takes_nothing_that_was_acknowledged() {
    let mut longest = 0;
    for durability in [Durability::Commit, Durability::Relaxed] {
        let disk = SimDisk::new(Image::new());
        disk.forget_changes();
        let store = open(&disk, durability).expect("it opens");
        let (seq, ended) = (AtomicU64::new(0), AtomicBool::new(false));
        let acknowledged = Mutex::new(BTreeSet::new());
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut stay = VecDeque::new();
                    while !ended.load(Ordering::Relaxed) {
                        let mut seq = seq.fetch_add(1, Ordering::Relaxed) + 1;
                        std::thread::sleep(Duration::from_micros(20));
                        kit::insert(&store, [kit::job(seq, 1)]);
                        if seq % 16 == 0 {
                            acknowledged.lock().unwrap().insert(seq);
                            stay.push_back(seq);
                            // Few stay, and not for long, so that images are small.
                            if stay.len() <= 64 {
                                continue;
                            }
                            seq = stay.pop_front().expect("there are 65");
                            acknowledged.lock().unwrap().remove(&seq);
                        }
                        kit::put(&store, &[kit::begin(seq), kit::done(seq)]);
                    }
                });
            }
            for _ in 0..images() / 30 {
                // The journal begins a new lap, with batches on their way.
                kit::to_tables(&store);
                let before = acknowledged.lock().unwrap().clone();
                let files = disk.files();
                let stayed = acknowledged.lock().unwrap().clone();
                longest = longest.max(files["jobs.db-ops"].len());
                let copy = open(&SimDisk::new(files), durability).expect("it opens");
                let found: BTreeSet<u64> = kit::seqs(&copy).into_iter().collect();
                // What has ended since may be gone from the image, too.
                let still = stayed.intersection(&before);
                let lost: Vec<&u64> = still.filter(|seq| !found.contains(seq)).collect();
                assert!(lost.is_empty(), "{lost:?} are lost");
            }
            ended.store(true, Ordering::Relaxed);
        });
        let found: BTreeSet<u64> = kit::seqs(&store).into_iter().collect();
        assert_eq!(found, acknowledged.into_inner().unwrap());
    }
    // Laps were forced: there is never a moment without a batch on its way.
    assert!(longest < 4 << 20, "the journal had {longest} bytes");
}
