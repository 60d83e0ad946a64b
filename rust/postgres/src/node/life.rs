//! From the first connection to the last.

use crate::connection::link::Link;
use crate::connection::trouble::Trouble;
use crate::node::pauses::Pauses;
use crate::node::post::Work;
use crate::node::question::Question;
use crate::node::state::{Flight, Node};
use crate::tables::opening;
use duewheel_store::{Error, Event, Found, Grant};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

/// How long closing waits for the server.
const CLOSING: Duration = Duration::from_secs(5);

impl Node {
    /// Open the tables and tell what was found; then live until the store is closed.
    pub(crate) async fn run(mut self, opened: SyncSender<Result<Found, Error>>) {
        let first = match self.open().await {
            Ok((found, link)) => {
                // Nobody waits any more: then the store is closed by whoever gave up.
                let _ = opened.send(Ok(found));
                link
            }
            Err(error) => {
                self.post.fail(&error);
                let _ = opened.send(Err(error));
                return;
            }
        };
        drop(opened);
        let mut link = Some(first);
        let (first, most) = Pauses::RECONNECTING;
        let mut pauses = Pauses::new((first, most.min(self.settings.lease / 4)));
        let mut closing = None;
        loop {
            let lived = match link.take() {
                Some(link) => self.serve(&link).await,
                None => match self.connect().await {
                    Ok(link) => {
                        pauses.begin_anew();
                        self.serve(&link).await
                    }
                    Err(trouble) => Err(trouble),
                },
            };
            let why = match lived {
                Ok(()) => return self.post.fail(&Error::Closed),
                Err(Trouble::Refused(error)) => {
                    (self.events)(Event::Poisoned(error.clone()));
                    return self.post.fail(&error);
                }
                Err(trouble) => trouble.error().to_string(),
            };
            self.post.note_away(&why);
            self.give_up_questions();
            if self.post.is_closing() {
                let since = *closing.get_or_insert_with(Instant::now);
                if since.elapsed() > CLOSING {
                    return self.post.fail(&Error::Unavailable(why));
                }
            }
            let _ = tokio::time::timeout(pauses.take_jittered(), self.post.notify.notified()).await;
        }
    }

    pub(super) async fn open(&mut self) -> Result<(Found, Link), Error> {
        let deadline = Instant::now() + self.settings.timeout;
        let mut pauses = Pauses::new(Pauses::RECONNECTING);
        loop {
            let opened = async {
                let link = self.connect().await?;
                opening::open(&link, &self.settings).await?;
                self.join(&link).await?;
                Ok(link)
            };
            match opened.await {
                Ok(link) => {
                    let epoch = self.lease.map_or(0, |lease| lease.epoch) as u64;
                    let grant = Grant {
                        epoch,
                        // The upper bits say whose they are.
                        seqs: (epoch << 40) + 1..(epoch + 1) << 40,
                        poll: self.settings.poll,
                        lease: self.clock.clone(),
                    };
                    return Ok((
                        Found {
                            grant: Some(grant),
                            ..Found::default()
                        },
                        link,
                    ));
                }
                Err(trouble @ (Trouble::Lost(_) | Trouble::Again(_)))
                    if Instant::now() < deadline =>
                {
                    drop(trouble);
                    tokio::time::sleep(pauses.take_jittered()).await;
                }
                Err(trouble) => return Err(trouble.error()),
            }
        }
    }

    pub(super) async fn connect(&self) -> Result<Link, Trouble> {
        let events = self.events.clone();
        let heard = move |due: &str| {
            // What it does not understand is a hint all the same.
            events(Event::Available(due.parse().unwrap_or(i64::MIN)));
        };
        let patience = self.settings.lease / 4;
        let link = Link::connect(&self.config, self.tls.clone(), patience, Box::new(heard)).await?;
        if self.settings.notify {
            link.execute(&self.sql.listen).await?;
        }
        Ok(link)
    }

    /// Take messages to the server until there are no more, or the connection is lost.
    pub(super) async fn serve(&mut self, link: &Link) -> Result<(), Trouble> {
        if self.is_leaving {
            return self.leave(link).await;
        }
        self.find_out(link).await?;
        self.connected = Instant::now();
        self.post.note_back();
        loop {
            if Instant::now() >= self.next_beat {
                self.beat(link).await?;
            }
            if Instant::now() >= self.next_rescue {
                self.rescue(link).await?;
                self.next_rescue = Instant::now() + self.settings.lease / 4;
            }
            if self.recalls.is_time() {
                self.ask_back(link).await?;
            }
            // Not while a flight is to be sent again: jobs that it ends are held no longer, and are no strays.
            if self.has_strays && self.flying.is_none() && self.next.is_empty() {
                self.give_back_strays(link).await?;
            }
            if self.has_expired && self.flying.is_none() {
                self.sweep(link).await?;
            }
            if self.flying.is_none() {
                self.is_sent = false;
                self.flying = match self.next.pop_front() {
                    Some(flight) => Some(flight),
                    None => match self.post.take() {
                        Work::Batches(batches) => Some(Flight::Batches(batches)),
                        Work::Query(query, then) => {
                            Some(Flight::Question(Question::new(query, then)))
                        }
                        Work::Close => return self.leave(link).await,
                        Work::Nothing => None,
                    },
                };
            }
            if self.flying.is_some() {
                self.fly(link).await?;
                continue;
            }
            if self.has_expired {
                continue;
            }
            let next = self.next_beat.min(self.next_rescue);
            let next = self.recalls.next.map_or(next, |recall| next.min(recall));
            let wait = next.saturating_duration_since(Instant::now());
            let _ = tokio::time::timeout(wait, self.post.notify.notified()).await;
            if link.is_closed() {
                return Err(Trouble::Lost("the server has closed the connection".into()));
            }
        }
    }

    /// Answer questions that have waited for the server for too long.
    pub(super) fn give_up_questions(&mut self) {
        for (query, then) in self.post.take_questions() {
            Question::new(query, then).give_up(false);
        }
        if self.post.is_given_up() {
            self.recalls.give_up();
        }
        if self.post.is_given_up()
            && let Some(Flight::Question(_)) = &self.flying
            && let Some(Flight::Question(question)) = self.flying.take()
        {
            self.has_strays = true;
            question.give_up(std::mem::take(&mut self.is_sent));
        }
    }
}
