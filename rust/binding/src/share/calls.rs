//! What callers ask for: each call is answered here, or in Python.

use crate::share::desk::Desk;
use crate::share::inbox::{Reply, Task};
use crate::share::inserts::reply_when_settled;
use crate::share::shapes;
use crate::share::wire::{
    self, Before, Hello, Named, PROTOCOL, Request, Schedule, ScheduleMany, To,
};
use crate::values::payload::Handle;
use duewheel_engine::engine::{AT_ONCE, Cancelled, Moved, Pending, Refused};
use duewheel_store::Ticket;
use mio::Token;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;

/// Who is to be answered: the connection, and the number of the call.
#[derive(Clone)]
pub(super) struct Caller {
    to: Token,
    id: Option<Box<RawValue>>,
}

fn read<'a, T: Deserialize<'a>>(params: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(params.map_or("{}", RawValue::get)).ok()
}

impl Desk {
    /// Take in one line.
    pub(super) fn take_in(&mut self, to: Token, line: &[u8]) {
        let request: Request<'_> = match serde_json::from_slice(line) {
            Ok(request) => request,
            Err(error) => {
                let line = wire::failure(None, "ParseError", &error.to_string());
                return self.answer_line(to, line);
            }
        };
        let greeted = self.connections.get(&to).is_some_and(|one| one.greeted);
        if !greeted {
            return self.greet(to, &request);
        }
        self.make(to, request, line);
    }

    /// Make a call, of one who may have left since.
    fn make(&mut self, to: Token, request: Request<'_>, line: &[u8]) {
        match &*request.method {
            "schedule" => match read::<Schedule<'_>>(request.params) {
                Some(call) => self.schedule(to, request.id, line, &call),
                None => self.refuse(to, request.id, "schedule"),
            },
            "schedule_many" => match read::<ScheduleMany<'_>>(request.params) {
                Some(call) => self.schedule_many(to, request.id, line, &call),
                None => self.refuse(to, request.id, "schedule_many"),
            },
            _ => {
                // A call sees what was scheduled before it.
                self.flush_inserts();
                if !self.answer_here(to, &request) {
                    self.inbox.ask(Task::Answer(to, line.to_vec(), Vec::new()));
                }
            }
        }
    }

    /// Take in a line once more, for which something was made; or what has failed.
    pub(super) fn again(&mut self, to: Token, line: &[u8], failed: Option<String>) {
        let request: Option<Request<'_>> = serde_json::from_slice(line).ok();
        match (request, failed) {
            (Some(request), None) => self.make(to, request, line),
            (request, failed) => {
                let id = request.and_then(|request| request.id);
                let message = failed.unwrap_or_default();
                self.answer_line(to, wire::failure(id, "InvalidParams", &message));
            }
        }
    }

    fn greet(&mut self, to: Token, request: &Request<'_>) {
        let hello = read::<Hello>(request.params).filter(|_| request.method == "hello");
        let line = match hello {
            Some(Hello { protocol }) if protocol == PROTOCOL => {
                let result = format!(
                    "{{\"protocol\":{PROTOCOL},\"version\":\"{}\",\"pid\":{},\"max_data\":{}}}",
                    env!("CARGO_PKG_VERSION"),
                    std::process::id(),
                    self.shared.backing.max_data
                );
                if let Some(connection) = self.connections.get_mut(&to) {
                    connection.greeted = true;
                }
                return self.answer_line(to, wire::answer(request.id, &result));
            }
            Some(Hello { protocol }) => {
                let older = if protocol < PROTOCOL {
                    "the caller"
                } else {
                    "the owner"
                };
                let message = format!(
                    "the owner, duewheel {}, speaks protocol {PROTOCOL} and the caller {protocol}: update {older}, or \
                     have all processes of the file use one version",
                    env!("CARGO_PKG_VERSION")
                );
                wire::failure(request.id, "StorageVersionError", &message)
            }
            None => wire::failure(request.id, "InvalidRequest", "the first call must be hello"),
        };
        if let Some(connection) = self.connections.get_mut(&to) {
            connection.ends = true;
        }
        self.answer_line(to, line);
    }

    /// Answer without Python, if that is a call that needs none; `false`: it does.
    fn answer_here(&mut self, to: Token, request: &Request<'_>) -> bool {
        let id = request.id.map(ToOwned::to_owned);
        let caller = Caller { to, id };
        let engine = self.shared.engine.clone();
        match &*request.method {
            "ping" => self.answer_value(&caller, "true"),
            "count" => match engine.pending(&mut self.released) {
                Ok(count) => self.answer_value(&caller, &count.to_string()),
                Err(refused) => self.reply_refused(to, request.id, &refused, ""),
            },
            "stats" => {
                let stats = self.shared.stats(&mut self.released);
                self.answer_value(&caller, &shapes::stats_text(&stats));
            }
            "cancel" | "reschedule" | "revive" | "pause" | "resume" | "trigger" => {
                let Some(call) = read::<Named<'_>>(request.params) else {
                    self.refuse(to, request.id, &request.method);
                    return true;
                };
                if call.again {
                    return false;
                }
                return self.change(&caller, &request.method, &call);
            }
            "purge" => {
                let Some(call) = read::<Before>(request.params) else {
                    self.refuse(to, request.id, "purge");
                    return true;
                };
                let purged = engine.purge(call.before, None, &mut self.released);
                self.follow(&caller, "", purged, |_, count| count.to_string());
            }
            "backup" => {
                let Some(call) = read::<To<'_>>(request.params) else {
                    self.refuse(to, request.id, "backup");
                    return true;
                };
                self.back_up(caller, &call.path);
            }
            _ => return false,
        }
        true
    }

    fn change(&mut self, caller: &Caller, method: &str, call: &Named<'_>) -> bool {
        let engine = self.shared.engine.clone();
        let id = &*call.id;
        let released = &mut self.released;
        let word = |_: &mut Desk, found: bool| found.to_string();
        match method {
            "cancel" => {
                let made = engine.cancel(id, released);
                self.follow(caller, id, made, |desk, cancelled| {
                    match cancelled {
                        Cancelled::No => return "false".to_owned(),
                        Cancelled::Stored => {}
                        Cancelled::Here(handle) => desk.released.payloads.push(handle),
                    }
                    "true".to_owned()
                });
            }
            "reschedule" => {
                let Some(at) = call.at else {
                    self.refuse(caller.to, caller.id.as_deref(), method);
                    return true;
                };
                let made = engine.reschedule(id, at, released);
                self.follow(caller, id, made, moved);
            }
            "revive" => {
                let made = engine.revive(id, released);
                self.follow(caller, id, made, moved);
            }
            "pause" => {
                let made = engine.pause(id, released);
                self.follow(caller, id, made, word);
            }
            "resume" => {
                let made = engine.resume(id, released);
                self.follow(caller, id, made, word);
            }
            _ => {
                let made = engine.trigger(id, released);
                self.follow(caller, id, made, word);
            }
        }
        true
    }

    fn back_up(&mut self, caller: Caller, path: &str) {
        let Some(file) = self.shared.backing.file.clone() else {
            return self.refuse(caller.to, caller.id.as_deref(), "backup");
        };
        let inbox = self.inbox.clone();
        let then = move |ended: Result<(), duewheel_sqlite::Error>| {
            inbox.put(Box::new(move |desk| match ended {
                Ok(()) => desk.answer_value(&caller, "null"),
                Err(error) => {
                    let line =
                        wire::failure(caller.id.as_deref(), "StorageError", &error.to_string());
                    desk.answer_line(caller.to, line);
                }
            }));
        };
        file.backup(std::path::Path::new(path), Box::new(then));
    }

    /// Follow a call of the engine, and answer with what `say` makes of its result once it is settled.
    fn follow<T: Send + 'static>(
        &mut self,
        caller: &Caller,
        about: &str,
        made: Result<Pending<T, Handle>, Refused>,
        say: impl FnOnce(&mut Desk, T) -> String + Send + 'static,
    ) {
        match made {
            Err(refused) => self.reply_refused(caller.to, caller.id.as_deref(), &refused, about),
            Ok(Pending::Made(value, ticket)) => {
                let word = say(self, value);
                self.answer_settled(caller, &word, ticket);
            }
            Ok(Pending::Asks(ask)) => {
                let (inbox, caller, about) = (self.inbox.clone(), caller.clone(), about.to_owned());
                self.shared.engine.ask(ask, move |delivered| {
                    inbox.put(Box::new(move |desk| {
                        match delivered.take(&mut desk.released) {
                            Ok((value, ticket)) => {
                                let word = say(desk, value);
                                desk.answer_settled(&caller, &word, ticket);
                            }
                            Err(refused) => {
                                desk.reply_refused(
                                    caller.to,
                                    caller.id.as_deref(),
                                    &refused,
                                    &about,
                                );
                            }
                        }
                    }));
                });
            }
        }
    }

    fn answer_settled(&mut self, caller: &Caller, word: &str, ticket: Ticket) {
        let line = wire::answer(caller.id.as_deref(), word);
        let reply = Reply {
            to: caller.to,
            line,
            ids: Vec::new(),
        };
        let engine = self.shared.engine.clone();
        if ticket == AT_ONCE || matches!(engine.wait_settled(ticket, Duration::ZERO), Ok(true)) {
            return self.reply(reply);
        }
        reply_when_settled(&self.inbox, &engine, ticket, vec![reply]);
    }

    fn answer_value(&mut self, caller: &Caller, word: &str) {
        self.answer_line(caller.to, wire::answer(caller.id.as_deref(), word));
    }
}

/// What has come near comes with a page: dropped, it is asked for.
fn moved(_: &mut Desk, moved: Moved<Handle>) -> String {
    (!matches!(moved, Moved::No)).to_string()
}
