//! Targets that are paused on all nodes: the tables keep them, and each node hears of them at its looks.

use crate::connection::link::Link;
use crate::connection::trouble::Trouble;
use crate::node::state::Node;
use crate::tables::statement::Params;
use duewheel_store::{Answer, Event};
use tokio_postgres::types::Type;

impl Node {
    /// Pause a target, or let it go on, and tell the engine of it.
    pub(super) async fn set_paused(
        &mut self,
        link: &Link,
        known: &mut Option<i64>,
        target: &str,
        paused: bool,
    ) -> Result<Answer, Trouble> {
        let set = |epoch| {
            let params = Params::default().with(epoch, Type::INT8);
            let params = params.with(target.to_owned(), Type::TEXT);
            params.with(paused, Type::BOOL)
        };
        let changed = self.count_changed(link, known, |sql| &sql.set_paused, set, i64::MIN);
        let is_news = changed.await? > 0;
        self.look_at_paused(link).await?;
        Ok(Answer::Changed(is_news))
    }

    pub(super) async fn paused_targets(&self, link: &Link) -> Result<Answer, Trouble> {
        let (_, names) = self.read_paused(link).await?;
        Ok(Answer::Ids(names))
    }

    /// These targets are paused; the engine is told where that is news.
    pub(super) async fn note_paused(
        &mut self,
        link: &Link,
        found: Vec<i32>,
    ) -> Result<(), Trouble> {
        if found == self.paused {
            return Ok(());
        }
        self.look_at_paused(link).await
    }

    async fn look_at_paused(&mut self, link: &Link) -> Result<(), Trouble> {
        let (numbers, names) = self.read_paused(link).await?;
        let before = std::mem::replace(&mut self.paused, numbers);
        (self.events)(Event::Paused(names));
        if before.iter().any(|target| !self.paused.contains(target)) {
            // What goes on may have been due for long.
            self.looks.start_over();
            (self.events)(Event::Available(i64::MIN));
        }
        Ok(())
    }

    async fn read_paused(&self, link: &Link) -> Result<(Vec<i32>, Vec<String>), Trouble> {
        let rows = link.query(&self.sql.paused, Params::default()).await?;
        let (mut numbers, mut names) = (Vec::new(), Vec::new());
        for row in rows {
            numbers.push(row.try_get(0)?);
            names.push(row.try_get(1)?);
        }
        Ok((numbers, names))
    }
}
