//! What a node knows and holds.

use crate::node::held::Held;
use crate::node::looks::Looks;
use crate::node::post::{Batch, Post};
use crate::node::question::Question;
use crate::node::recalls::Recalls;
use crate::node::steps::{Given, Resolved};
use crate::settings::Settings;
use crate::tables::sql::Sql;
use duewheel_store::{Events, LeaseClock};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;
use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

/// How often a question is tried that another transaction is in the way of.
pub(super) const TRIES: u32 = 2;

/// What is under way to the server.
pub(super) enum Flight {
    /// As they were submitted.
    Batches(Vec<Batch>),
    Resolved(Vec<Resolved>),
    /// Those that have taken effect; which of their marks have found their jobs is not known.
    Landed(Vec<Resolved>),
    Question(Question),
}

/// The lease of this node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub(super) epoch: i64,
    /// What its transactions say; a new one with each connection.
    pub(super) token: Uuid,
    /// The one that comes next: known before it is there, so that a reply that is lost changes nothing.
    pub(super) next: Uuid,
}

impl Lease {
    pub(super) fn new(epoch: i64, token: Uuid) -> Self {
        Lease {
            epoch,
            token,
            next: Uuid::new_v4(),
        }
    }
}

pub(crate) struct Node {
    pub(super) post: Arc<Post>,
    pub(super) settings: Arc<Settings>,
    pub(super) sql: Arc<Sql>,
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
    pub(super) events: Arc<Events>,
    pub(super) clock: LeaseClock,
    pub(super) lease: Option<Lease>,
    /// The token of the next lease that is taken.
    pub(super) joining: Uuid,
    /// This node has begun to give everything back.
    pub(super) is_leaving: bool,
    pub(super) held: Held,
    pub(super) targets: HashMap<String, i32>,
    /// The repeats that this node declares: their ids, and what it says of them.
    pub(super) declared: HashMap<Uuid, (String, String)>,
    /// Those of them that another node declares otherwise, as was said.
    pub(super) contested: HashSet<Uuid>,
    /// The numbers of the targets that are paused, as far as this node has heard.
    pub(super) paused: Vec<i32>,
    /// The number of the last flight.
    pub(super) flights: i64,
    /// What is under way, or was when the connection was lost.
    pub(super) flying: Option<Flight>,
    /// Whether `flying` was sent, and may have taken effect.
    pub(super) is_sent: bool,
    /// What is to fly next, before what is in the post.
    pub(super) next: VecDeque<Flight>,
    /// Jobs may be claimed that this node does not know of: a reply that had them was lost.
    pub(super) has_strays: bool,
    /// There may be more ends that are kept no longer than the last sweep has forgotten.
    pub(super) has_expired: bool,
    pub(super) next_beat: Instant,
    /// When to look after the others next: each flight renews the lease, so that a busy node has no beats.
    pub(super) next_rescue: Instant,
    /// Since when this connection is there.
    pub(super) connected: Instant,
    pub(super) looks: Looks,
    /// Targets that are handled here are limited over all nodes: what ends may let another job start.
    pub(super) is_limited: bool,
    /// Whether the last claim began with those.
    pub(super) limited_come_first: bool,
    pub(super) recalls: Recalls,
    /// How far the server's clock is ahead of this machine's, where that is too much.
    pub(super) ahead: i64,
    /// What was last said of that.
    pub(super) said_ahead: i64,
}

impl Node {
    pub(crate) fn new(
        (post, settings, sql): (Arc<Post>, Arc<Settings>, Arc<Sql>),
        (config, tls): (Config, MakeRustlsConnect),
        events: Events,
    ) -> Self {
        Node {
            looks: Looks::new(settings.window),
            is_limited: false,
            limited_come_first: false,
            recalls: Recalls::default(),
            post,
            settings,
            sql,
            config,
            tls,
            events: Arc::new(events),
            clock: LeaseClock::default(),
            lease: None,
            joining: Uuid::new_v4(),
            is_leaving: false,
            held: Held::default(),
            targets: HashMap::new(),
            declared: HashMap::new(),
            contested: HashSet::new(),
            paused: Vec::new(),
            flights: 0,
            flying: None,
            is_sent: false,
            next: VecDeque::new(),
            has_strays: false,
            has_expired: false,
            next_beat: Instant::now(),
            next_rescue: Instant::now(),
            connected: Instant::now(),
            ahead: 0,
            said_ahead: 0,
        }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.lease.map_or(0, |lease| lease.epoch as u64)
    }

    pub(super) fn given(&self) -> Given<'_> {
        Given {
            targets: &self.targets,
            ahead: self.ahead,
        }
    }

    pub(super) fn note_strays(&mut self) {
        self.has_strays = true;
    }
}
