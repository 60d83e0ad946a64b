//! Replies that are lost and transactions that arrive late: every call is answered, and every batch settled, as if
//! neither had happened.

mod proxy;
mod server;

use duewheel_postgres::{PostgresStore, Settings};
use duewheel_store::testing::drive::{cancel_of, claim, dead, get, insert, put, put_yielded};
use duewheel_store::testing::jobs::{begin, bury, done, job, once, place};
use duewheel_store::{
    Answer, ClockKind, Error, Event, Events, Limited, Op, Query, Reason, Store, ask,
};
use proxy::{Fault, Proxy};
use server::{join_as, new_schema, no_events, settings, url};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const TARGET: &[&str] = &["email.welcome"];

type Said = Arc<Mutex<Vec<Event>>>;

/// What a store calls with its events, which are noted.
fn told(said: &Said) -> Events {
    let said = said.clone();
    Box::new(move |event| said.lock().unwrap().push(event))
}

/// A node behind a proxy, what it was told, and another that reaches the server directly.
struct Nodes {
    proxy: Proxy,
    far: PostgresStore,
    said: Said,
    near: PostgresStore,
    schema: String,
}

impl Nodes {
    /// `None`: there is no server.
    fn new() -> Option<Self> {
        let Some(url) = url() else {
            eprintln!("left out: there is no server; say DUEWHEEL_TEST_PG=postgresql://…");
            return None;
        };
        let proxy = Proxy::new(&url);
        let schema = new_schema();
        let said = Said::default();
        let near = join_as(settings(&schema), no_events());
        let behind = Settings {
            url: proxy.url.clone(),
            lease: Duration::from_secs(8),
            ..settings(&schema)
        };
        let far = join_as(behind, told(&said));
        Some(Nodes {
            proxy,
            far,
            said,
            near,
            schema,
        })
    }

    fn said(&self) -> Vec<Event> {
        std::mem::take(&mut *self.said.lock().unwrap())
    }

    /// A call of the far node in the course of which this happens.
    fn asked(&self, text: &'static str, fault: Fault, query: Query) -> Result<Answer, Error> {
        self.proxy.arm(text, fault);
        let answer = ask(&self.far, query);
        assert!(self.proxy.has_fired(), "{text} was not said");
        answer
    }
}

fn id(seq: u64) -> String {
    job(seq, 0).id.into_owned()
}

/// What a node is asked for while it looks for work.
fn wanted(node: &PostgresStore, said: &Said) -> Vec<u64> {
    for _ in 0..500 {
        claim(node, &["another"], 100, 10);
        for event in said.lock().unwrap().drain(..) {
            if let Event::Wanted(seqs) = event {
                return seqs;
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it is asked for nothing");
}

/// Ask for a job that another node holds; the answer comes by the channel.
fn recall(node: &PostgresStore, seq: u64) -> Receiver<Result<Answer, Error>> {
    let (send, answer) = channel();
    let cancelled = ask(node, cancel_of(id(seq)));
    assert_eq!(cancelled, Ok(Answer::Held));
    let then = move |answer| drop(send.send(answer));
    node.ask(Query::Recall(id(seq)), Box::new(then));
    answer
}

fn cancels(node: &PostgresStore, seq: u64) -> bool {
    ask(node, cancel_of(id(seq))).unwrap().has_changed()
}

#[test]
fn a_mark_that_found_no_job_is_said_to_be_lost_though_its_reply_was() {
    let Some(nodes) = Nodes::new() else { return };
    put_yielded(&nodes.near, &[once(1, 10), once(2, 11)]);
    assert_eq!(claim(&nodes.far, TARGET, 100, 10).jobs.len(), 2);
    assert!(cancels(&nodes.near, 1));
    nodes.proxy.arm("SET begun = x.at", Fault::Mute);
    put(&nodes.far, &[begin(1), begin(2)]);
    assert!(nodes.proxy.has_fired());
    assert_eq!(nodes.said(), [Event::Revoked(vec![1])]);
    let cancelled = ask(&nodes.near, cancel_of(id(2)));
    assert_eq!(cancelled, Ok(Answer::Changed(false)), "it is marked");
}

#[test]
fn a_batch_whose_reply_was_lost_takes_effect_once() {
    let Some(nodes) = Nodes::new() else { return };
    put_yielded(&nodes.near, &[job(1, 10)]);
    claim(&nodes.far, TARGET, 100, 10);
    nodes.proxy.arm("INSERT INTO", Fault::Mute);
    put(&nodes.far, &[begin(1), bury(1, Reason::Failed, 20)]);
    assert!(nodes.proxy.has_fired());
    assert_eq!(dead(&nodes.near).len(), 1);
    nodes.proxy.arm("INSERT INTO", Fault::Mute);
    insert(&nodes.far, [job(2, 10)]);
    assert!(nodes.proxy.has_fired());
    assert!(get(&nodes.near, &id(2)).is_some());
    assert_eq!(nodes.said(), []);
}

#[test]
fn what_a_call_changed_is_known_though_its_reply_was_lost() {
    let Some(nodes) = Nodes::new() else { return };
    let (to, clock) = (place(50, 9), ClockKind::Wall);
    let inserts = || Query::Insert(vec![job(1, 10)]);
    let is_there = |seq| get(&nodes.near, &id(seq)).map(|job| job.place);
    assert_eq!(
        nodes.asked("free_v1", Fault::Mute, inserts()),
        Ok(Answer::Done)
    );
    assert_eq!(
        ask(&nodes.far, inserts()),
        Err(Error::Duplicate(id(1))),
        "it is there"
    );
    let moves = |seq| Query::Move {
        id: id(seq),
        to,
        clock,
    };
    for (seq, is_changed) in [(1, true), (7, false)] {
        assert_eq!(
            nodes.asked("SET answer = ", Fault::Mute, moves(seq)),
            Ok(Answer::Changed(is_changed))
        );
    }
    assert_eq!(is_there(1), Some(to));
    for is_changed in [true, false] {
        let cancel = cancel_of(id(1));
        let answer = nodes.asked("SET answer = ", Fault::Mute, cancel);
        assert_eq!(answer.unwrap().has_changed(), is_changed);
    }
    insert(&nodes.far, [job(1, 10), job(2, 11)]);
    put(
        &nodes.far,
        &[bury(1, Reason::Failed, 20), bury(2, Reason::Failed, 21)],
    );
    for text in ["SET answer = ", "WHERE j.id = $1"] {
        let revive = Query::Revive {
            id: id(1),
            to,
            clock,
        };
        match nodes.asked(text, Fault::Mute, revive) {
            Ok(Answer::Job(Some(job))) => assert_eq!(job.place, to),
            other => panic!("{other:?}"),
        }
        put(&nodes.far, &[bury(9, Reason::Failed, 22)]);
    }
    let revive = Query::Revive {
        id: id(7),
        to,
        clock,
    };
    assert_eq!(
        nodes.asked("SET answer = ", Fault::Mute, revive),
        Ok(Answer::Job(None))
    );
    assert_eq!(
        nodes.asked(
            "SET answer = ",
            Fault::Mute,
            Query::Purge {
                before: None,
                ids: None
            }
        ),
        Ok(Answer::Count(2))
    );
}

#[test]
fn what_was_claimed_by_a_reply_that_was_lost_is_given_back() {
    let Some(nodes) = Nodes::new() else { return };
    put_yielded(&nodes.near, &[job(1, 10)]);
    let claims = Query::Claim {
        targets: vec![TARGET[0].to_owned()],
        limited: Limited::default(),
        until: 100,
        limit: 10,
    };
    let page = nodes.asked("SET owner = $6", Fault::Mute, claims);
    assert_eq!(page, Err(Error::InDoubt));
    // What is asked next is answered after that.
    get(&nodes.far, &id(1));
    assert_eq!(claim(&nodes.near, TARGET, 100, 10).jobs.len(), 1);
}

#[test]
fn what_an_id_becomes_is_known_though_the_reply_was_lost() {
    let Some(nodes) = Nodes::new() else { return };
    let over = |due, runs| Query::Put {
        job: Box::new(job(1, due)),
        replaces: true,
        runs,
    };
    let asked = |query| nodes.asked("put_v1", Fault::Mute, query);
    assert_eq!(asked(over(10, false)), Ok(Answer::Changed(false)));
    assert_eq!(asked(over(20, false)), Ok(Answer::Changed(true)));
    assert_eq!(claim(&nodes.near, TARGET, 100, 10).jobs[0].place.due, 20);
    assert_eq!(asked(over(30, false)), Ok(Answer::Held));
    put(&nodes.near, &[begin(1)]);
    assert_eq!(asked(over(30, false)), Ok(Answer::Changed(true)));
    put(&nodes.near, &[done(1)]);
    let follows = claim(&nodes.far, TARGET, 100, 10).jobs.remove(0);
    assert_eq!((follows.place.due, follows.progress.run), (30, 2));
    // The end whose reply is lost is followed once, too.
    put(&nodes.far, &[begin(follows.place.seq)]);
    assert_eq!(asked(over(40, true)), Ok(Answer::Changed(true)));
    nodes.proxy.arm("DELETE FROM", Fault::Mute);
    put(&nodes.far, &[done(follows.place.seq)]);
    assert!(nodes.proxy.has_fired());
    assert_eq!(claim(&nodes.far, TARGET, 100, 10).jobs[0].place.due, 40);
}

#[test]
fn a_pause_is_known_though_its_reply_was_lost() {
    let Some(nodes) = Nodes::new() else { return };
    let target = TARGET[0].to_owned();
    let set = |paused| {
        let target = target.clone();
        nodes.asked("pause_v1", Fault::Mute, Query::SetPaused { target, paused })
    };
    put_yielded(&nodes.near, &[job(1, 10)]);
    assert_eq!(set(true), Ok(Answer::Changed(true)));
    assert_eq!(claim(&nodes.far, TARGET, 100, 10).jobs, []);
    assert_eq!(set(false), Ok(Answer::Changed(true)));
    assert_eq!(claim(&nodes.far, TARGET, 100, 10).jobs.len(), 1);
    let paused = |names: &[String]| Event::Paused(names.to_vec());
    let said = nodes.said();
    assert_eq!(
        said,
        [
            paused(std::slice::from_ref(&target)),
            paused(&[]),
            Event::Available(i64::MIN)
        ]
    );
}

#[test]
fn a_transaction_that_arrives_late_does_nothing() {
    let Some(nodes) = Nodes::new() else { return };
    // From its first statement on, or from the last: then it holds the row of the node until it arrives.
    for text in ["SET LOCAL", "cancel_v2"] {
        put_yielded(&nodes.near, &[job(1, 10)]);
        let cancel = cancel_of(id(1));
        assert!(
            nodes
                .asked(text, Fault::Late, cancel)
                .unwrap()
                .has_changed()
        );
        put_yielded(&nodes.near, &[job(1, 10)]);
        nodes.proxy.deliver_late();
        assert!(get(&nodes.near, &id(1)).is_some(), "{text}");
        assert!(cancels(&nodes.near, 1));
    }
}

#[test]
fn a_begin_that_was_cancelled_makes_no_answer_wrong() {
    let Some(nodes) = Nodes::new() else { return };
    put_yielded(&nodes.near, &[job(1, 10), job(2, 11)]);
    let cancel = cancel_of(id(1));
    let cancelled = nodes.asked("cancel_v2", Fault::Unbegun, cancel);
    assert!(cancelled.unwrap().has_changed());
    let claims = Query::Claim {
        targets: vec![TARGET[0].to_owned()],
        limited: Limited::default(),
        until: 100,
        limit: 10,
    };
    match nodes.asked("SET owner = $6", Fault::Unbegun, claims) {
        Ok(Answer::Page(page)) => assert_eq!(page.jobs.len(), 1, "it has it, and knows"),
        other => panic!("{other:?}"),
    }
    nodes.proxy.arm("INSERT INTO", Fault::Unbegun);
    insert(&nodes.far, [job(3, 12)]);
    assert!(nodes.proxy.has_fired());
    assert!(get(&nodes.near, &id(3)).is_some());
}

#[test]
fn a_commit_that_was_cancelled_is_made_again() {
    let Some(nodes) = Nodes::new() else { return };
    nodes.proxy.arm("INSERT INTO", Fault::Uncommitted);
    insert(&nodes.far, [job(1, 10)]);
    assert!(nodes.proxy.has_fired());
    assert!(get(&nodes.near, &id(1)).is_some());
    assert_eq!(nodes.said(), []);
}

#[test]
fn a_node_that_closes_gives_back_at_once_though_a_reply_was_lost() {
    let Some(nodes) = Nodes::new() else { return };
    put_yielded(&nodes.near, &[job(1, 10)]);
    assert_eq!(claim(&nodes.far, TARGET, 100, 10).jobs.len(), 1);
    nodes
        .proxy
        .arm("SET lease_until = '-infinity'", Fault::Mute);
    put(&nodes.far, &[Op::Leave]);
    nodes.far.close().unwrap();
    assert!(nodes.proxy.has_fired());
    assert_eq!(claim(&nodes.near, TARGET, 100, 10).jobs.len(), 1);
    match ask(&nodes.near, Query::Nodes) {
        Ok(Answer::Nodes(live)) => assert_eq!(live.len(), 1),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_job_that_another_node_holds_is_asked_back() {
    let Some(nodes) = Nodes::new() else { return };
    put_yielded(&nodes.near, &[job(1, 10), job(2, 20)]);
    assert_eq!(claim(&nodes.far, TARGET, 100, 10).jobs.len(), 2);
    let answer = recall(&nodes.near, 1);
    assert_eq!(wanted(&nodes.far, &nodes.said), [1]);
    put(&nodes.far, &[Op::Yield(1), Op::Yield(2)]);
    assert_eq!(answer.recv().unwrap(), Ok(Answer::Done));
    let page = claim(&nodes.far, TARGET, 100, 10);
    assert_eq!(
        page.jobs[0].place.seq, 2,
        "the other is that node's that asked"
    );
    assert!(cancels(&nodes.near, 1));
    // One that starts is not given back.
    let answer = recall(&nodes.near, 2);
    assert_eq!(wanted(&nodes.far, &nodes.said), [2]);
    put(&nodes.far, &[begin(2)]);
    assert_eq!(answer.recv().unwrap(), Ok(Answer::Done));
    let cancelled = ask(&nodes.near, cancel_of(id(2)));
    assert_eq!(cancelled, Ok(Answer::Changed(false)));
}

#[test]
fn what_is_given_back_to_a_node_that_has_ended_is_nobodys() {
    let Some(nodes) = Nodes::new() else { return };
    put_yielded(&nodes.near, &[job(1, 10)]);
    assert_eq!(claim(&nodes.far, TARGET, 100, 10).jobs.len(), 1);
    let answer = recall(&nodes.near, 1);
    assert_eq!(wanted(&nodes.far, &nodes.said), [1]);
    nodes.near.close().unwrap();
    assert_eq!(answer.recv().unwrap(), Err(Error::Closed));
    put(&nodes.far, &[Op::Yield(1)]);
    assert_eq!(claim(&nodes.far, TARGET, 100, 10).jobs.len(), 1);
}

#[test]
fn a_node_that_does_not_answer_is_waited_for_as_long_as_a_call_waits() {
    let Some(nodes) = Nodes::new() else { return };
    put_yielded(&nodes.near, &[job(1, 10)]);
    assert_eq!(claim(&nodes.far, TARGET, 100, 10).jobs.len(), 1);
    let asks = Settings {
        timeout: Duration::from_millis(100),
        lease: Duration::from_secs(1),
        ..settings(&nodes.schema)
    };
    let asks = join_as(asks, no_events());
    let answer = recall(&asks, 1).recv().unwrap();
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    assert!(get(&asks, &id(1)).is_some());
    // What comes later goes on to whoever claims it.
    put(&nodes.far, &[Op::Yield(1)]);
    assert_eq!(claim(&nodes.near, TARGET, 100, 10).jobs.len(), 1);
}

const HOUR: i64 = 3_600_000_000_000;

fn now() -> i64 {
    (Settings::default().wall)()
}

#[test]
fn a_node_whose_clock_is_an_hour_off_starts_nothing_early() {
    let Some(_) = url() else {
        eprintln!("left out: there is no server; say DUEWHEEL_TEST_PG=postgresql://…");
        return;
    };
    let clocks: [fn() -> i64; 2] = [|| now() + HOUR, || now() - HOUR];
    for wall in clocks {
        let schema = new_schema();
        let right = join_as(settings(&schema), no_events());
        let wrong = Settings {
            wall,
            ..settings(&schema)
        };
        let said = Said::default();
        let wrong = join_as(wrong, told(&said));
        let (second, ahead) = (HOUR / 3600, wall() - now());
        let near = |is: i64, must: i64| (is - must).abs() < second;
        let due = now();
        put_yielded(
            &right,
            &[job(1, due + 5 * second), job(2, due + 30 * second)],
        );
        // It looks ten seconds ahead of what it takes for now.
        let page = claim(&wrong, TARGET, wall() + 10 * second, 10);
        let dues: Vec<i64> = page.jobs.iter().map(|job| job.place.due).collect();
        assert_eq!(dues.len(), 1, "{dues:?}");
        assert!(
            near(dues[0], due + 5 * second + ahead),
            "five seconds ahead by its clock"
        );
        // What it counts from now on its own clock is as far ahead on the others'.
        put_yielded(&wrong, &[job(3, wall() + 7 * second)]);
        let found = get(&right, &id(3)).unwrap().place.due;
        assert!(near(found, now() + 7 * second));
        // What it is given as a time of the wall clock is that time.
        let mut given = job(4, due + 8 * second);
        given.clock = ClockKind::Wall;
        put_yielded(&wrong, &[given]);
        assert_eq!(get(&right, &id(4)).unwrap().place.due, due + 8 * second);
        // It is said once, though each beat shows it.
        let said = said.lock().unwrap();
        let is_so =
            |event: &&Event| matches!(event, Event::ClockApart(apart) if near(*apart, -ahead));
        assert_eq!(said.iter().filter(is_so).count(), 1, "{said:?}");
    }
}

#[test]
fn a_node_that_reaches_no_server_starts_nothing_past_its_lease_and_others_have_its_jobs() {
    let Some(nodes) = Nodes::new() else { return };
    let short = || Settings {
        lease: Duration::from_secs(1),
        ..settings(&nodes.schema)
    };
    let behind = Settings {
        url: nodes.proxy.url.clone(),
        ..short()
    };
    let (other, lost) = (join_as(short(), no_events()), join_as(behind, no_events()));
    put_yielded(&other, &[job(1, 10), job(2, 20), once(3, 30), once(4, 40)]);
    assert_eq!(claim(&lost, TARGET, 100, 10).jobs.len(), 4);
    put(&lost, &[begin(1), begin(3)]);
    nodes.proxy.cut_off();
    let lease = &lost.found().grant.as_ref().unwrap().lease;
    assert!(lease.holds());
    let mut claimed = Vec::new();
    for _ in 0..1_000 {
        let held = lease.holds();
        claimed.extend(claim(&other, TARGET, 100, 10).jobs);
        assert!(!held || claimed.is_empty(), "it may start what others have");
        if claimed.len() == 3 {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let runs = claimed
        .iter()
        .map(|job| (job.place.seq, job.progress.run, job.interruptions));
    let mut runs: Vec<_> = runs.collect();
    runs.sort_unstable();
    assert_eq!(runs, [(1, 2, 1), (2, 1, 0), (4, 1, 0)]);
    let dead = dead(&other);
    assert_eq!(
        (dead.len(), dead[0].job.place.seq, dead[0].reason),
        (1, 3, Reason::Interrupted)
    );
}
