//! The form of a batch in the journal: its operations one after another, all integers
//! little-endian. `docs/store.md` has the table.

use duewheel_store::{
    Carried, ClockKind, Ending, Job, Kept, Next, Op, Over, Place, Progress, Reason, Recurring,
    RetryOptions, Standing, standing,
};
use std::borrow::Cow;
use std::sync::Arc;

const INSERT: u8 = 1;
const DELETE: u8 = 2;
const MOVE: u8 = 3;
const BEGIN: u8 = 4;
const RELEASE: u8 = 5;
const DONE: u8 = 6;
const AGAIN: u8 = 7;
const DEAD: u8 = 8;
const LEAVE: u8 = 9;
const EDIT: u8 = 10;
const STAND: u8 = 11;
const NEXT: u8 = 12;
const DEAD_NEXT: u8 = 13;
const KEEP: u8 = 14;
const INHERITED: u8 = 15;

const BOOT: u8 = 1;
const ONCE: u8 = 2;
const RETRY_LIMIT: u8 = 4;
const AGE_LIMIT: u8 = 8;
const FIRST_START: u8 = 16;
const SEALED: u8 = 32;
const REPEAT: u8 = 64;
const MORE: u8 = 128;

/// Of what few jobs have more.
const CARRIED: u8 = 1;
const FOLLOW: u8 = 2;

/// Write one operation. The data of an insertion or an edit, and a result, are written as given, under `key` if they are
/// sealed.
pub(crate) fn encode(op: &Op<'_>, data: &[u8], key: Option<u32>, out: &mut Vec<u8>) {
    match op {
        Op::Insert(job) => {
            out.push(INSERT);
            write_job(job, data, key, out);
        }
        Op::Edit(job) => {
            out.push(EDIT);
            write_job(job, data, key, out);
        }
        Op::Stand {
            seq,
            job_due,
            standing,
        } => {
            tagged(out, STAND, *seq);
            out.extend_from_slice(&job_due.to_le_bytes());
            out.extend_from_slice(&standing::encode(standing));
        }
        Op::Delete(seq) => tagged(out, DELETE, *seq),
        Op::Move { seq, to, clock } => {
            tagged(out, MOVE, *seq);
            out.push(*clock as u8);
            place(*to, out);
        }
        Op::Begin { seq, at } => {
            tagged(out, BEGIN, *seq);
            out.extend_from_slice(&at.to_le_bytes());
        }
        Op::Release(seq) => tagged(out, RELEASE, *seq),
        Op::Yield(_) => {} // nobody else could have it
        Op::Keep { seq, kept } => write_kept(*seq, kept, (data, key), out),
        Op::Inherited(number) => tagged(out, INHERITED, *number),
        Op::Leave => out.push(LEAVE),
        Op::Finish { seq, outcome } => write_ending(*seq, outcome, out),
    }
}

/// Apart, for few jobs keep how they end.
#[cold]
fn write_kept(seq: u64, kept: &Kept, (result, key): (&[u8], Option<u32>), out: &mut Vec<u8>) {
    tagged(out, KEEP, seq);
    out.push(kept.over.number() | flag(key.is_some(), SEALED));
    out.extend_from_slice(&kept.ended.to_le_bytes());
    out.extend_from_slice(&kept.until.to_le_bytes());
    optional(key.map(u32::to_le_bytes), out);
    bytes(kept.id.as_bytes(), out);
    bytes(kept.target.as_bytes(), out);
    bytes(result, out);
    bytes(kept.error.as_bytes(), out);
}

#[inline]
fn write_ending(seq: u64, outcome: &Ending<'_>, out: &mut Vec<u8>) {
    match outcome {
        Ending::Done => tagged(out, DONE, seq),
        Ending::Again {
            to,
            clock,
            progress,
        } => {
            tagged(out, AGAIN, seq);
            out.push(*clock as u8 | flag(progress.first_start.is_some(), FIRST_START));
            place(*to, out);
            out.extend_from_slice(&progress.attempt.to_le_bytes());
            out.extend_from_slice(&progress.run.to_le_bytes());
            optional(progress.first_start.map(i64::to_le_bytes), out);
        }
        Ending::Dead {
            reason,
            error,
            died,
            next,
        } => {
            tagged(out, if next.is_some() { DEAD_NEXT } else { DEAD }, seq);
            out.push(*reason as u8);
            out.extend_from_slice(&died.to_le_bytes());
            bytes(error.as_bytes(), out);
            if let Some(next) = next {
                write_next(next, out);
            }
        }
        Ending::Next(next) => {
            tagged(out, NEXT, seq);
            write_next(next, out);
        }
    }
}

fn write_next(next: &Next, out: &mut Vec<u8>) {
    out.push(next.clock as u8);
    place(next.to, out);
    out.extend_from_slice(&next.job_due.to_le_bytes());
    out.extend_from_slice(&next.run.to_le_bytes());
    out.extend_from_slice(&standing::encode(&next.standing));
}

fn write_job(job: &Job<'_>, data: &[u8], key: Option<u32>, out: &mut Vec<u8>) {
    let options = &job.options;
    out.push(
        job.clock as u8
            | flag(options.at_most_once, ONCE)
            | flag(options.retry_limit.is_some(), RETRY_LIMIT)
            | flag(options.age_limit.is_some(), AGE_LIMIT)
            | flag(job.progress.first_start.is_some(), FIRST_START)
            | flag(key.is_some(), SEALED)
            | flag(job.repeat.is_some(), REPEAT)
            | flag(job.carried.is_some() || job.follow.is_some(), MORE),
    );
    // One copy of the numbers that every job has: this runs under the lock of the journal.
    let mut fixed = [0; 60];
    fixed[0..8].copy_from_slice(&job.place.seq.to_le_bytes());
    fixed[8..16].copy_from_slice(&job.place.due.to_le_bytes());
    fixed[16..24].copy_from_slice(&job.job_due.to_le_bytes());
    fixed[24..32].copy_from_slice(&job.created.to_le_bytes());
    fixed[32..36].copy_from_slice(&job.progress.attempt.to_le_bytes());
    fixed[36..40].copy_from_slice(&job.progress.run.to_le_bytes());
    fixed[40..44].copy_from_slice(&job.interruptions.to_le_bytes());
    fixed[44..52].copy_from_slice(&options.min_backoff.to_le_bytes());
    fixed[52..60].copy_from_slice(&options.max_backoff.to_le_bytes());
    out.extend_from_slice(&fixed);
    optional(options.retry_limit.map(u32::to_le_bytes), out);
    optional(options.age_limit.map(i64::to_le_bytes), out);
    optional(job.progress.first_start.map(i64::to_le_bytes), out);
    optional(key.map(u32::to_le_bytes), out);
    bytes(job.id.as_bytes(), out);
    bytes(job.target.as_bytes(), out);
    bytes(data, out);
    if let Some(repeat) = &job.repeat {
        write_repeat(repeat, out);
    }
    if job.carried.is_some() || job.follow.is_some() {
        write_more(job, out);
    }
}

/// Apart, for few jobs have one, and all others pass by here.
#[cold]
fn write_repeat(repeat: &Recurring, out: &mut Vec<u8>) {
    bytes(repeat.definition.to_string().as_bytes(), out);
    out.extend_from_slice(&standing::encode(&repeat.standing));
}

/// Apart, likewise.
#[cold]
fn write_more(job: &Job<'_>, out: &mut Vec<u8>) {
    out.push(flag(job.carried.is_some(), CARRIED) | flag(job.follow.is_some(), FOLLOW));
    if let Some(carried) = &job.carried {
        bytes(&carried.encode(), out);
    }
    optional(job.follow.map(i64::to_le_bytes), out);
}

fn flag(set: bool, flag: u8) -> u8 {
    if set { flag } else { 0 }
}

fn tagged(out: &mut Vec<u8>, tag: u8, seq: u64) {
    out.push(tag);
    out.extend_from_slice(&seq.to_le_bytes());
}

fn place(place: Place, out: &mut Vec<u8>) {
    out.extend_from_slice(&place.due.to_le_bytes());
    out.extend_from_slice(&place.seq.to_le_bytes());
}

fn optional<const N: usize>(value: Option<[u8; N]>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        out.extend_from_slice(&value);
    }
}

fn bytes(value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    out.extend_from_slice(value);
}

/// Reads the operations of a batch, each with the key that its data are sealed under.
///
/// Ends with `Some(Err(()))` where the bytes are no operation: a batch is written whole and
/// checked by a sum, so then it is of another format.
pub(crate) struct Reader<'a>(&'a [u8]);

pub(crate) type Entry<'a> = (Op<'a>, Option<u32>);

impl<'a> Reader<'a> {
    pub(crate) fn new(batch: &'a [u8]) -> Self {
        Reader(batch)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()? as usize;
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    fn text(&mut self) -> Option<Cow<'a, str>> {
        std::str::from_utf8(self.bytes()?).ok().map(Cow::Borrowed)
    }

    fn place(&mut self) -> Option<Place> {
        let due = self.i64()?;
        let seq = self.u64()?;
        Some(Place { due, seq })
    }

    fn entry(&mut self) -> Option<Entry<'a>> {
        let tag = self.byte()?;
        match tag {
            INSERT => return self.job().map(|(job, key)| (Op::Insert(job), key)),
            EDIT => return self.job().map(|(job, key)| (Op::Edit(job), key)),
            LEAVE => return Some((Op::Leave, None)),
            _ => {}
        }
        let seq = self.u64()?;
        if tag == KEEP {
            let (kept, key) = self.kept()?;
            let kept = Box::new(kept);
            return Some((Op::Keep { seq, kept }, key));
        }
        let op = match tag {
            DELETE => Op::Delete(seq),
            MOVE => {
                let clock = clock(self.byte()?);
                let to = self.place()?;
                Op::Move { seq, to, clock }
            }
            BEGIN => Op::Begin {
                seq,
                at: self.i64()?,
            },
            RELEASE => Op::Release(seq),
            INHERITED => Op::Inherited(seq),
            STAND => Op::Stand {
                seq,
                job_due: self.i64()?,
                standing: Box::new(self.standing()?),
            },
            DONE | AGAIN | DEAD | NEXT | DEAD_NEXT => Op::Finish {
                seq,
                outcome: self.outcome(tag)?,
            },
            _ => return None,
        };
        Some((op, None))
    }

    fn kept(&mut self) -> Option<(Kept, Option<u32>)> {
        let flags = self.byte()?;
        let over = Over::of_number(i64::from(flags & !SEALED))?;
        let (ended, until) = (self.i64()?, self.i64()?);
        let key = match flags & SEALED {
            0 => None,
            _ => Some(self.u32()?),
        };
        let kept = Kept {
            id: self.text()?.into_owned(),
            target: self.text()?.into_owned(),
            over,
            result: self.bytes()?.to_vec(),
            error: self.text()?.into_owned(),
            ended,
            until,
        };
        Some((kept, key))
    }

    fn outcome(&mut self, tag: u8) -> Option<Ending<'a>> {
        Some(match tag {
            DONE => Ending::Done,
            AGAIN => {
                let flags = self.byte()?;
                Ending::Again {
                    clock: clock(flags),
                    to: self.place()?,
                    progress: Progress {
                        attempt: self.u32()?,
                        run: self.u32()?,
                        first_start: match flags & FIRST_START {
                            0 => None,
                            _ => Some(self.i64()?),
                        },
                    },
                }
            }
            NEXT => Ending::Next(self.next_occurrence()?),
            _ => Ending::Dead {
                reason: reason(i64::from(self.byte()?))?,
                died: self.i64()?,
                error: self.text()?,
                next: match tag {
                    DEAD_NEXT => Some(self.next_occurrence()?),
                    _ => None,
                },
            },
        })
    }

    fn standing(&mut self) -> Option<Standing> {
        let bytes: [u8; standing::LENGTH] = self.array()?;
        standing::decode(&bytes)
    }

    fn next_occurrence(&mut self) -> Option<Box<Next>> {
        Some(Box::new(Next {
            clock: clock(self.byte()?),
            to: self.place()?,
            job_due: self.i64()?,
            run: self.u32()?,
            standing: self.standing()?,
        }))
    }

    fn repeat(&mut self) -> Option<Box<Recurring>> {
        Some(Box::new(Recurring {
            definition: self.text()?.parse().ok()?,
            standing: self.standing()?,
        }))
    }

    fn more(&mut self, job: &mut Job<'a>) -> Option<()> {
        let flags = self.byte()?;
        if flags & CARRIED != 0 {
            job.carried = Some(Arc::new(Carried::decode(self.bytes()?)?));
        }
        if flags & FOLLOW != 0 {
            job.follow = Some(self.i64()?);
        }
        Some(())
    }

    fn job(&mut self) -> Option<(Job<'a>, Option<u32>)> {
        let flags = self.byte()?;
        let has = |flag| flags & flag != 0;
        let seq = self.u64()?;
        let place = Place {
            due: self.i64()?,
            seq,
        };
        let mut job = Job {
            id: Cow::Borrowed(""),
            target: Cow::Borrowed(""),
            data: Cow::Borrowed(&[]),
            place,
            clock: clock(flags),
            job_due: self.i64()?,
            created: self.i64()?,
            progress: Progress {
                attempt: self.u32()?,
                run: self.u32()?,
                first_start: None,
            },
            interruptions: self.u32()?,
            options: RetryOptions {
                min_backoff: self.i64()?,
                max_backoff: self.i64()?,
                retry_limit: None,
                age_limit: None,
                at_most_once: has(ONCE),
            },
            repeat: None,
            carried: None,
            follow: None,
        };
        if has(RETRY_LIMIT) {
            job.options.retry_limit = Some(self.u32()?);
        }
        if has(AGE_LIMIT) {
            job.options.age_limit = Some(self.i64()?);
        }
        if has(FIRST_START) {
            job.progress.first_start = Some(self.i64()?);
        }
        let key = if has(SEALED) { Some(self.u32()?) } else { None };
        job.id = self.text()?;
        job.target = self.text()?;
        job.data = Cow::Borrowed(self.bytes()?);
        if has(REPEAT) {
            job.repeat = Some(self.repeat()?);
        }
        if has(MORE) {
            self.more(&mut job)?;
        }
        Some((job, key))
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Entry<'a>, ()>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let entry = self.entry();
        if entry.is_none() {
            self.0 = &[];
        }
        Some(entry.ok_or(()))
    }
}

fn clock(flags: u8) -> ClockKind {
    if flags & BOOT == 0 {
        ClockKind::Wall
    } else {
        ClockKind::Boot
    }
}

pub(crate) fn reason(number: i64) -> Option<Reason> {
    [Reason::Failed, Reason::Discarded, Reason::Interrupted]
        .into_iter()
        .find(|&reason| reason as i64 == number)
}
