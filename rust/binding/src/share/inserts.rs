//! The jobs that callers schedule: those of all of them in one batch, which is written and synced once.

use crate::share::desk::{Call, Desk, Inserts};
use crate::share::inbox::{Inbox, Reply, Task};
use crate::share::specs::{Found, handle};
use crate::share::wire::{self, Retry, Schedule, ScheduleMany};
use crate::values::convert;
use crate::values::payload::Handle;
use duewheel_engine::engine::{AT_ONCE, Due, GivenJob, Refused};
use duewheel_engine::jobs::ids;
use mio::Token;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;

/// How many jobs are taken in at once, unless one call has more.
const BATCH: usize = 4_096;

impl Desk {
    /// Take in a call that schedules one job.
    pub(super) fn schedule(
        &mut self,
        to: Token,
        id: Option<&RawValue>,
        line: &[u8],
        call: &Schedule<'_>,
    ) {
        if call.again || call.given || call.keywords.is_some() {
            return self.have_answered(to, line, vec![Arc::from(&*call.id)]);
        }
        let due = due_of(call.at, call.after);
        let data = wire::bytes_of(&call.data);
        let (Some(due), Some(data), true) = (due, data, is_name(&call.id) && is_name(&call.target))
        else {
            return self.refuse(to, id, "schedule");
        };
        if data.len() > self.shared.backing.max_data {
            return self.too_large(to, id, data.len());
        }
        let Some(mut specs) = self.specs_for((to, line), (&call.target, call.retry), 1) else {
            return;
        };
        let payload = specs.pop().and_then(|spec| handle(&data, spec));
        let Some(payload) = payload else {
            return self.refuse(to, id, "schedule");
        };
        self.inserts.jobs.push(GivenJob {
            id: Arc::from(&*call.id),
            due,
            payload,
        });
        self.add_call(to, id, 1);
    }

    /// Take in a call that schedules many.
    pub(super) fn schedule_many(
        &mut self,
        to: Token,
        id: Option<&RawValue>,
        line: &[u8],
        call: &ScheduleMany<'_>,
    ) {
        let Some((ids, dues, datas)) = read_many(call) else {
            return self.refuse(to, id, "schedule_many");
        };
        if call.again || call.keywords.is_some() {
            return self.have_answered(to, line, ids);
        }
        let most = self.shared.backing.max_data;
        if let Some(data) = datas.iter().find(|data| data.len() > most) {
            return self.too_large(to, id, data.len());
        }
        let count = dues.len();
        let Some(specs) = self.specs_for((to, line), (&call.target, call.retry), count) else {
            return;
        };
        let jobs = dues.into_iter().zip(ids).zip(specs).enumerate();
        let jobs = jobs.filter_map(|(at, ((due, id), spec))| {
            let payload = handle(datas.get(at).map_or(&[][..], Vec::as_slice), spec)?;
            Some(GivenJob { id, due, payload })
        });
        self.inserts.jobs.extend(jobs);
        self.add_call(to, id, count);
    }

    /// Have Python answer a call that schedules these jobs: only there other calls about an id are waited for.
    fn have_answered(&mut self, to: Token, line: &[u8], ids: Vec<Arc<str>>) {
        self.shared.engine.await_answer(&ids);
        self.inbox.ask(Task::Answer(to, line.to_vec(), ids));
    }

    fn add_call(&mut self, to: Token, id: Option<&RawValue>, count: usize) {
        let id = id.map(ToOwned::to_owned);
        self.inserts.calls.push(Call { to, id, count });
        if self.inserts.jobs.len() >= BATCH {
            self.flush_inserts();
        }
    }

    /// References for so many jobs of a specification; `None`: they are made first, and the line is taken again then.
    fn specs_for(
        &mut self,
        (to, line): (Token, &[u8]),
        (target, retry): (&str, Retry),
        count: usize,
    ) -> Option<Vec<pyo3::Py<crate::values::options::Spec>>> {
        match self.specs.take(target, retry, count) {
            Found::Here(specs, more) => {
                if let Some(more) = more {
                    self.inbox.ask(Task::Specs(more, None));
                }
                Some(specs)
            }
            Found::Missing(wanted) => {
                let line = Some((to, line.to_vec()));
                self.inbox.ask(Task::Specs(wanted, line));
                None
            }
        }
    }

    /// Schedule what has come together, in one batch.
    pub(super) fn flush_inserts(&mut self) {
        if self.inserts.calls.is_empty() {
            return;
        }
        let Inserts { jobs, calls } = std::mem::take(&mut self.inserts);
        let counts: Vec<usize> = calls.iter().map(|call| call.count).collect();
        let ids: Vec<Arc<str>> = jobs.iter().map(|job| job.id.clone()).collect();
        let engine = self.shared.engine.clone();
        let made = engine.schedule_given(jobs, &counts, &mut self.released);
        let (results, ticket) = match made {
            Ok(made) => made,
            Err(refused) => {
                for call in &calls {
                    self.reply_refused(call.to, call.id.as_deref(), &refused, "");
                }
                return;
            }
        };
        let mut ids = ids.into_iter();
        let mut replies = Vec::with_capacity(calls.len());
        for (call, result) in calls.iter().zip(results) {
            let ids: Vec<_> = ids.by_ref().take(call.count).collect();
            match result {
                Ok(()) => replies.push(Reply {
                    to: call.to,
                    line: wire::answer(call.id.as_deref(), "true"),
                    ids,
                }),
                Err(refused) => {
                    let id = ids.first().map_or("", |id| &**id);
                    self.reply_refused(call.to, call.id.as_deref(), &refused, id);
                }
            }
        }
        if ticket == AT_ONCE || matches!(engine.wait_settled(ticket, Duration::ZERO), Ok(true)) {
            replies.into_iter().for_each(|reply| self.reply(reply));
        } else {
            reply_when_settled(&self.inbox, &engine, ticket, replies);
        }
        // What waits for the tables is bounded: callers wait here, as threads of the owner do.
        while !self.inbox.is_stopped()
            && matches!(
                engine.wait_settled(AT_ONCE, Duration::from_millis(50)),
                Ok(false)
            )
        {}
    }
}

/// Reply when a batch is settled, from the thread that has settled it.
pub(super) fn reply_when_settled(
    inbox: &Arc<Inbox<Desk>>,
    engine: &duewheel_engine::engine::Engine<Handle>,
    ticket: duewheel_store::Ticket,
    replies: Vec<Reply>,
) {
    let inbox = inbox.clone();
    engine.when_settled(
        ticket,
        Box::new(move |settled| {
            inbox.put(Box::new(move |desk| {
                for mut reply in replies {
                    if let Err(error) = &settled {
                        reply.line = desk.failed_line(&reply.line, &Refused::from(error.clone()));
                    }
                    desk.reply(reply);
                }
            }));
        }),
    );
}

fn is_name(text: &str) -> bool {
    convert::is_name(text)
}

fn due_of(at: Option<i64>, after: Option<i64>) -> Option<Due> {
    match (at, after) {
        (Some(at), None) => Some(Due::At(at)),
        (None, Some(after @ 0..)) => Some(Due::In(after)),
        _ => None,
    }
}

type Many = (Vec<Arc<str>>, Vec<Due>, Vec<Vec<u8>>);

fn read_many(call: &ScheduleMany<'_>) -> Option<Many> {
    let (times, at) = match (&call.at, &call.after) {
        (Some(times), None) => (times, true),
        (None, Some(times)) => (times, false),
        _ => return None,
    };
    let dues = times.iter().map(|&time| {
        let (wall, after) = if at {
            (Some(time), None)
        } else {
            (None, Some(time))
        };
        due_of(wall, after)
    });
    let dues: Vec<Due> = dues.collect::<Option<_>>()?;
    let packed = wire::bytes_of(&call.ids)?;
    let datas = call.datas.iter().flatten();
    let datas: Vec<Vec<u8>> = datas
        .map(|text| wire::bytes_of(text))
        .collect::<Option<_>>()?;
    let sound = packed.len() == dues.len() * 16
        && (call.datas.is_none() || datas.len() == dues.len())
        && is_name(&call.target);
    sound.then(|| (packed.chunks_exact(16).map(id_of).collect(), dues, datas))
}

fn id_of(packed: &[u8]) -> Arc<str> {
    let half = |from: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&packed[from..from + 8]);
        u64::from_be_bytes(bytes)
    };
    let mut text = [0; 36];
    ids::format([half(0), half(8)], &mut text);
    Arc::from(std::str::from_utf8(&text).unwrap_or_default())
}
