//! Repeats, as the server has them: looked at, amended, declared.

use crate::connection::link::Link;
use crate::connection::trouble::Trouble;
use crate::node::state::Node;
use crate::tables::names::{id_of, key_of};
use crate::tables::rows::{self, edition, sealed};
use crate::tables::statement::Params;
use duewheel_store::{Answer, Event, Job, StoredRepeat};
use std::collections::HashSet;
use tokio_postgres::types::Type;
use uuid::Uuid;

impl Node {
    pub(super) async fn look_at_repeat(&self, link: &Link, id: &str) -> Result<Answer, Trouble> {
        let params = Params::default().with(key_of(id).0, Type::UUID);
        let rows = link.query(&self.sql.repeat, params).await?;
        let Some(row) = rows.first() else {
            return Ok(Answer::Repeat(None));
        };
        let job = rows::job(row, 0, self.settings.keys.as_ref());
        let job = job.map_err(|unreadable| Trouble::Refused(unreadable.why))?;
        let version: i64 = row.try_get(rows::WIDTH)?;
        Ok(Answer::Repeat(Some(Box::new(StoredRepeat {
            job,
            version: version as u64,
            begun: row.try_get(rows::WIDTH + 1)?,
            is_wanted: row.try_get(rows::WIDTH + 2)?,
        }))))
    }

    pub(super) async fn repeat_ids(&self, link: &Link) -> Result<Answer, Trouble> {
        let rows = link.query(&self.sql.repeat_ids, Params::default()).await?;
        let mut ids = Vec::with_capacity(rows.len());
        for row in rows {
            ids.push(id_of(row.try_get(0)?, row.try_get(1)?));
        }
        Ok(Answer::Ids(ids))
    }

    pub(super) async fn amend(
        &mut self,
        link: &Link,
        known: &mut Option<i64>,
        was: &StoredRepeat,
        to: Option<&Job<'static>>,
    ) -> Result<Answer, Trouble> {
        let (key, version) = (key_of(&was.job.id).0, was.version as i64);
        let changed = match to {
            None => {
                let end = |epoch| {
                    let params = Params::default().with(key, Type::UUID);
                    params.with(epoch, Type::INT8).with(version, Type::INT8)
                };
                self.count_changed(link, known, |sql| &sql.end, end, i64::MIN)
                    .await?
            }
            Some(to) => {
                self.know_targets(link, vec![to.target.to_string()]).await?;
                let data = sealed(to, self.settings.keys.as_ref()).map_err(Trouble::Refused)?;
                let row = self.given().row(to.clone(), data);
                let amend = |epoch| {
                    edition(key, &row)
                        .with(epoch, Type::INT8)
                        .with(version, Type::INT8)
                        .with(row.job.place.due, Type::INT8)
                        .with(row.job.place.seq as i64, Type::INT8)
                        .with(row.job.job_due, Type::INT8)
                };
                self.count_changed(link, known, |sql| &sql.amend, amend, i64::MIN)
                    .await?
            }
        };
        if changed > 0
            && let Some(to) = to
        {
            self.looks.note_let_go(to.place.due);
        }
        Ok(self.note_amended(was, changed))
    }

    /// A repeat was amended; what has begun is still held by who runs it.
    fn note_amended(&mut self, was: &StoredRepeat, changed: i64) -> Answer {
        if changed > 0 && !was.begun {
            self.held.forget(key_of(&was.job.id).0);
        }
        Answer::Changed(changed > 0)
    }

    pub(super) async fn declare(
        &mut self,
        link: &Link,
        id: &str,
        said: &str,
    ) -> Result<Answer, Trouble> {
        let key = key_of(id).0;
        self.declared.insert(key, (id.to_owned(), said.to_owned()));
        self.declare_all(link, vec![key]).await?;
        Ok(Answer::Done)
    }

    /// Have the server know what this node declares under the lease that it has.
    pub(super) async fn declare_all(&self, link: &Link, ids: Vec<Uuid>) -> Result<(), Trouble> {
        let Some(lease) = self.lease.filter(|_| !ids.is_empty()) else {
            return Ok(());
        };
        let said = ids.iter().map(|id| self.declared.get(id));
        let said = said.map(|found| found.map(|(_, said)| said.clone()));
        let said: Vec<Option<String>> = said.collect();
        let params = Params::default()
            .with(lease.epoch, Type::INT8)
            .ids(ids.into_iter())
            .with(said, Type::TEXT_ARRAY);
        link.query(&self.sql.declare, params).await?;
        Ok(())
    }

    /// Say which of the repeats that this node declares another declares otherwise, once for as long as that is so.
    pub(super) async fn look_for_contested(&mut self, link: &Link) -> Result<(), Trouble> {
        if self.declared.is_empty() {
            return Ok(());
        }
        let params = Params::default().with(self.epoch() as i64, Type::INT8);
        let mut found = HashSet::new();
        for row in link.query(&self.sql.contested, params).await? {
            let key: Uuid = row.try_get(0)?;
            found.insert(key);
            let is_news = !self.contested.contains(&key);
            if let Some((id, _)) = self.declared.get(&key).filter(|_| is_news) {
                (self.events)(Event::Contested(id.clone(), row.try_get(1)?));
            }
        }
        self.contested = found;
        Ok(())
    }
}
