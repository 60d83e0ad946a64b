//! The desk of the server: who is connected, what comes together, what is to be answered.

use crate::errors;
use crate::share::connection::Connection;
use crate::share::inbox::{Inbox, Reply, Task};
use crate::share::specs::SpecsAhead;
use crate::share::wire;
use crate::shared::Shared;
use crate::values::payload::Handle;
use duewheel_engine::engine::{GivenJob, Refused};
use duewheel_engine::jobs::record::Released;
use mio::Token;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::Arc;

/// What is to be scheduled with the next batch.
#[derive(Default)]
pub(super) struct Inserts {
    pub(super) jobs: Vec<GivenJob<Handle>>,
    pub(super) calls: Vec<Call>,
}

/// Who has asked, and for how many.
pub(super) struct Call {
    pub(super) to: Token,
    pub(super) id: Option<Box<RawValue>>,
    pub(super) count: usize,
}

/// What the thread of a server works on.
pub(super) struct Desk {
    pub(super) connections: HashMap<Token, Connection>,
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: Arc<Inbox<Desk>>,
    pub(super) specs: Arc<SpecsAhead>,
    pub(super) inserts: Inserts,
    pub(super) released: Released<Handle>,
    /// Who has something to be sent.
    pub(super) to_send: Vec<Token>,
    /// Who has more to be sent than there is room for: the server is to be told of room.
    pub(super) crowded: Vec<Token>,
    /// Jobs whose calls have been answered in this turn.
    answered: Vec<Arc<str>>,
}

impl Desk {
    pub(super) fn new(
        shared: Arc<Shared>,
        inbox: Arc<Inbox<Desk>>,
        specs: Arc<SpecsAhead>,
    ) -> Self {
        Desk {
            connections: HashMap::new(),
            shared,
            inbox,
            specs,
            inserts: Inserts::default(),
            released: Released::default(),
            to_send: Vec::new(),
            crowded: Vec::new(),
            answered: Vec::new(),
        }
    }

    /// Have Python free what the engine has given back.
    pub(super) fn free(&mut self) {
        let released = std::mem::take(&mut self.released);
        self.inbox.ask(Task::Free(released));
    }

    /// Forget a connection; who has gone repeats nothing.
    pub(super) fn leave(&mut self, token: Token) {
        if let Some(mut connection) = self.connections.remove(&token) {
            self.answered.append(&mut connection.ids);
        }
    }

    /// Answer a call with the next sending.
    pub(super) fn reply(&mut self, mut reply: Reply) {
        match self.connections.get_mut(&reply.to) {
            Some(connection) => {
                connection.ids.append(&mut reply.ids);
                if connection.put(reply.line) {
                    self.to_send.push(reply.to);
                }
            }
            None => self.answered.append(&mut reply.ids),
        }
    }

    /// Send what is to be sent.
    pub(super) fn send_all(&mut self) {
        for token in std::mem::take(&mut self.to_send) {
            let Some(connection) = self.connections.get_mut(&token) else {
                continue;
            };
            match connection.send() {
                // From here on the answer reaches the caller, whatever becomes of this process.
                Ok(true) => {
                    self.answered.append(&mut connection.ids);
                    if connection.ends {
                        self.leave(token);
                    }
                }
                Ok(false) => self.crowded.push(token),
                Err(_) => self.leave(token),
            }
        }
        if !self.answered.is_empty() {
            let answered = std::mem::take(&mut self.answered);
            (self.shared.engine).answered(&answered, &mut self.released);
        }
    }

    pub(super) fn answer_line(&mut self, to: Token, line: Vec<u8>) {
        let ids = Vec::new();
        self.reply(Reply { to, line, ids });
    }

    /// Answer that the arguments of a call are none.
    pub(super) fn refuse(&mut self, to: Token, id: Option<&RawValue>, method: &str) {
        let message = format!("these are no arguments of {method}");
        self.answer_line(to, wire::failure(id, "InvalidParams", &message));
    }

    pub(super) fn too_large(&mut self, to: Token, id: Option<&RawValue>, length: usize) {
        let most = self.shared.backing.max_data;
        let message =
            format!("data must have at most {most} bytes (LocalStorage's max_data), not {length}");
        self.answer_line(to, wire::failure(id, "PayloadTooLargeError", &message));
    }

    pub(super) fn reply_refused(
        &mut self,
        to: Token,
        id: Option<&RawValue>,
        refused: &Refused,
        about: &str,
    ) {
        let (kind, message) = errors::kind_and_message(refused, about);
        self.answer_line(to, wire::failure(id, kind, &message));
    }

    /// The line of a call that was to be answered with another.
    pub(super) fn failed_line(&self, line: &[u8], refused: &Refused) -> Vec<u8> {
        #[derive(Deserialize)]
        struct Answer<'a> {
            #[serde(borrow)]
            id: Option<&'a RawValue>,
        }
        let answer: Option<Answer<'_>> = serde_json::from_slice(line).ok();
        let (kind, message) = errors::kind_and_message(refused, "");
        wire::failure(answer.and_then(|answer| answer.id), kind, &message)
    }
}
