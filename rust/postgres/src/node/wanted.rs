//! Asking other nodes for what they hold, and hearing what they ask for.

use crate::connection::link::Link;
use crate::connection::trouble::Trouble;
use crate::node::state::Node;
use crate::tables::statement::Params;
use duewheel_store::{Answer, Error, Event};
use std::collections::HashMap;
use std::time::Instant;
use tokio_postgres::types::Type;
use uuid::Uuid;

impl Node {
    /// Ask for what others hold, and answer where there is nothing more to ask for.
    pub(super) async fn ask_back(&mut self, link: &Link) -> Result<(), Trouble> {
        let Some(lease) = self.lease else {
            return Ok(());
        };
        let keys = self.recalls.asked.iter().map(|recall| recall.key);
        let params = Params::default().ids(keys).with(lease.epoch, Type::INT8);
        let rows = match link.query(&self.sql.recall, params).await {
            Ok(rows) => rows,
            Err(Trouble::Again(_)) => {
                self.recalls.plan();
                return Ok(());
            }
            Err(trouble) => return Err(trouble),
        };
        let mut waiting: HashMap<Uuid, (Option<i64>, i64)> = HashMap::new();
        for row in &rows {
            waiting.insert(row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?));
        }
        let (mut answered, mut asked) = (Vec::new(), Vec::new());
        for recall in self.recalls.asked.drain(..) {
            let answer = match waiting.get(&recall.key) {
                Some((Some(owner), seq)) if *owner == lease.epoch => {
                    if !self.held.has(recall.key) {
                        self.held.insert(seq.max(&0).unsigned_abs(), recall.key);
                    }
                    Ok(Answer::Done)
                }
                Some((Some(_), _)) if Instant::now() < recall.until => {
                    asked.push(recall);
                    continue;
                }
                Some((Some(owner), _)) => {
                    self.recalls.has_given_up = true;
                    Err(Error::Unavailable(format!(
                        "the node that holds the job (its lease is number {owner}) has not answered in time, and nothing was changed"
                    )))
                }
                Some((None, _)) | None => Ok(Answer::Done),
            };
            answered.push((recall, answer));
        }
        self.recalls.asked = asked;
        self.recalls.plan();
        let keys = answered.iter().map(|(recall, _)| recall.key);
        let params = Params::default().ids(keys).with(lease.epoch, Type::INT8);
        if !answered.is_empty() {
            // What is left is deleted when this node is no more.
            let _ = link.query(&self.sql.recalled, params).await;
        }
        for (recall, answer) in answered {
            recall.answer(answer);
        }
        Ok(())
    }

    /// Others ask for these.
    pub(super) fn note_wanted(&self, keys: Vec<Uuid>) {
        let seqs: Vec<u64> = keys
            .into_iter()
            .filter_map(|key| self.held.seq(key))
            .collect();
        if !seqs.is_empty() {
            (self.events)(Event::Wanted(seqs));
        }
    }
}
