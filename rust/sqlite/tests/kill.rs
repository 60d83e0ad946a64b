//! The process dies, over and over: what it had acknowledged is there, what must not start twice
//! has not.
//!
//! The child is this test itself, told by an environment variable what to do. `DUEWHEEL_KILLS` is
//! how often it is killed (2,000 in the full form).

mod kit;

use duewheel_sqlite::Durability;
use duewheel_store::{Op, Reason, Store};
use kit::{Dir, all, begin, dead, done, job, once, open, page};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const CHILD: &str = "DUEWHEEL_CHILD";

fn spawn(what: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(CHILD, format!("{what} {}", path.display()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// A line that is there when it was written, whatever happens next: one write, appended.
struct Lines(std::fs::File);

impl Lines {
    fn open(path: &Path) -> Self {
        let file = OpenOptions::new().append(true).create(true).open(path);
        Lines(file.unwrap())
    }

    fn say(&self, word: &str, seq: u64) {
        (&self.0)
            .write_all(format!("{word} {seq}\n").as_bytes())
            .unwrap();
    }
}

fn read(path: &Path) -> Vec<(String, u64)> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = |line: &str| {
        let (word, seq) = line.split_once(' ')?;
        Some((word.to_owned(), seq.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// Not a test: what the child does.
#[test]
fn child() {
    let Ok(told) = std::env::var(CHILD) else {
        return;
    };
    let (what, path) = told.split_once(' ').unwrap();
    let path = Path::new(path);
    match what {
        "poison" => poison(path),
        "commit" => work(path, Durability::Commit),
        _ => work(path, Durability::Relaxed),
    }
}

/// Threads schedule; one starts and ends what is due, as an engine would.
fn work(path: &Path, durability: Durability) {
    let store = open(path, durability);
    let lines = Lines::open(&path.with_extension("log"));
    let seq = AtomicU64::new(store.found().seq);
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (store, lines, seq) = (&store, &lines, &seq);
            scope.spawn(move || {
                loop {
                    let seq = seq.fetch_add(1, Ordering::Relaxed) + 1;
                    let one = if (seq + thread) % 3 == 0 {
                        once(seq, 1)
                    } else {
                        job(seq, 1)
                    };
                    lines.say("submit", seq);
                    kit::put(store, &[Op::Insert(one)]);
                    lines.say("acknowledged", seq);
                    std::thread::sleep(Duration::from_micros(seq % 7 * 100));
                }
            });
        }
        let (store, lines) = (&store, &lines);
        scope.spawn(move || {
            loop {
                for job in page(store, None, i64::MAX, 16).jobs {
                    let seq = job.place.seq;
                    if job.options.at_most_once {
                        kit::put(store, &[begin(seq)]);
                        lines.say("once", seq);
                    } else {
                        store.submit(&[begin(seq)]).unwrap();
                        lines.say("start", seq);
                    }
                    kit::put(store, &[done(seq)]);
                    lines.say("done", seq);
                }
            }
        });
    });
}

fn killed(what: &str, durability: Durability) {
    let told = std::env::var("DUEWHEEL_KILLS").ok();
    let kills: u64 = told.and_then(|told| told.parse().ok()).unwrap_or(24);
    let dir = Dir::new();
    let path = dir.file("jobs.db");
    let mut random = kit::model::Random::new(kills);
    for _ in 0..kills {
        let mut child = spawn(what, &path);
        std::thread::sleep(Duration::from_millis(20 + random.below(150)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let store = open(&path, durability);
    let mut words: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (word, seq) in read(&path.with_extension("log")) {
        words.entry(word).or_default().push(seq);
    }
    let mut all_of = |word: &str| words.remove(word).unwrap_or_default();
    let set = |seqs: Vec<u64>| seqs.into_iter().collect::<BTreeSet<u64>>();
    let once = all_of("once");
    let starts = all_of("start");
    let (submitted, acknowledged) = (set(all_of("submit")), set(all_of("acknowledged")));
    let done = set(all_of("done"));
    let pending: BTreeSet<u64> = all(&store).iter().map(|job| job.place.seq).collect();
    let dead = dead(&store);
    let died: BTreeSet<u64> = dead.iter().map(|dead| dead.job.place.seq).collect();
    assert!(acknowledged.len() as u64 > kills, "{}", acknowledged.len());
    for seq in &acknowledged {
        // An end that was not acknowledged may have been recorded: it was started, then.
        let ended = done.contains(seq) || starts.contains(seq) || once.contains(seq);
        assert!(
            pending.contains(seq) || died.contains(seq) || ended,
            "{seq} is lost"
        );
    }
    for seq in &done {
        assert!(!pending.contains(seq), "{seq} is over and pending");
        assert!(!died.contains(seq), "{seq} is over and dead");
    }
    assert!(pending.is_subset(&submitted) && died.is_subset(&submitted));
    let unique = set(once.clone());
    assert_eq!(unique.len(), once.len(), "started twice");
    for seq in &unique {
        assert!(
            !pending.contains(seq),
            "{seq} was started and may start again"
        );
    }
    let twice = starts.len() - set(starts.clone()).len();
    // One job is in flight at a time.
    assert!(
        twice as u64 <= kills,
        "{twice} extra starts in {kills} kills"
    );
    let interrupted = dead
        .iter()
        .filter(|dead| !starts.contains(&dead.job.place.seq));
    assert!(interrupted.count() as u64 <= kills);
    println!(
        "{what}: {kills} kills, {} acknowledged, {} done, {} interrupted, {twice} started again",
        acknowledged.len(),
        done.len(),
        died.len(),
    );
}

#[test]
fn a_kill_takes_nothing_that_was_acknowledged() {
    killed("commit", Durability::Commit);
}

#[test]
fn relaxed_a_kill_takes_nothing_either() {
    killed("relaxed", Durability::Relaxed);
}

/// Start the job that kills its process, if it is still there.
fn poison(path: &Path) {
    let store = open(path, Durability::Commit);
    let lines = Lines::open(&path.with_extension("log"));
    for job in page(&store, None, i64::MAX, 10).jobs {
        let seq = job.place.seq;
        store.submit(&[begin(seq)]).unwrap();
        lines.say("start", seq);
        if seq == 1 {
            std::process::abort();
        }
        kit::put(&store, &[done(seq)]);
    }
    store.close().unwrap();
}

#[test]
fn a_poison_job_ends_after_as_many_deaths_as_are_allowed() {
    let dir = Dir::new();
    let path = dir.file("jobs.db");
    let store = open(&path, Durability::Commit);
    kit::insert(&store, (1..=5).map(|seq| job(seq, 1)));
    store.close().unwrap();
    let mut deaths = 0;
    while !spawn("poison", &path).wait().unwrap().success() {
        deaths += 1;
        assert!(deaths <= 3);
    }
    assert_eq!(deaths, 3);
    let store = open(&path, Durability::Commit);
    assert_eq!(dead(&store)[0].reason, Reason::Interrupted);
    assert_eq!(store.found().jobs, 0);
    let starts = read(&path.with_extension("log"));
    let of = |seq| starts.iter().filter(|(_, other)| *other == seq).count();
    assert_eq!((of(1), of(2), of(5)), (3, 1, 1));
}

#[test]
fn the_lock_of_another_process_is_told_by_its_number() {
    let dir = Dir::new();
    let path = dir.file("jobs.db");
    let mut child = spawn("commit", &path);
    let refused = loop {
        std::thread::sleep(Duration::from_millis(50));
        if path.with_extension("log").exists() {
            break kit::refused(&path, kit::settings(Durability::Commit));
        }
    };
    let pid = cfg!(unix).then(|| child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(refused, duewheel_sqlite::Error::Locked { pid });
    open(&path, Durability::Commit);
}
