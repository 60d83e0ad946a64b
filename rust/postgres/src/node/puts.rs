//! Jobs that take the place of what has their id, or follow it.

use crate::connection::link::Link;
use crate::connection::trouble::Trouble;
use crate::node::state::Node;
use crate::tables::rows::{overwriting, sealed};
use crate::tables::statement::Statement;
use duewheel_store::{Answer, Error, Event, Job};
use tokio_postgres::Row;

/// What `put_v1` says of a job that is new, that another node holds, of a repeat, and of one that runs.
const NEW: i64 = 0;
const HELD: i64 = 3;
const REPEATS: i64 = 4;
const RUNS: i64 = 5;

impl Node {
    /// Take a job in, or make what has its id this one.
    pub(super) async fn put_over(
        &mut self,
        link: &Link,
        known: &mut Option<i64>,
        job: &Job<'static>,
        (replaces, runs): (bool, bool),
    ) -> Result<Answer, Trouble> {
        self.know_targets(link, vec![job.target.to_string()])
            .await?;
        let data = sealed(job, self.settings.keys.as_ref()).map_err(Trouble::Refused)?;
        let row = self.given().row(job.clone(), data);
        let put = |epoch| overwriting(&row, epoch, (replaces, runs));
        let said = self.count_changed(link, known, |sql| &sql.put, put, i64::MIN);
        let said = said.await.map_err(|trouble| match trouble {
            // How a job has ended that had the id is kept.
            Trouble::Taken(_) => Trouble::Refused(Error::Duplicate(job.id.clone().into_owned())),
            trouble => trouble,
        });
        match said? {
            HELD => return Ok(Answer::Held),
            REPEATS => {
                let id = job.id.clone().into_owned();
                return Err(Trouble::Refused(Error::Duplicate(id)));
            }
            RUNS => return Ok(Answer::Changed(true)),
            NEW => self.looks.note_let_go(row.job.place.due),
            _ => {
                // Nobody has it now, at a due that only its row knows.
                self.held.forget(row.id);
                self.looks.start_over();
                return Ok(Answer::Changed(true));
            }
        }
        Ok(Answer::Changed(false))
    }

    /// What was changed while it ran here has ended: what follows may be due.
    pub(super) fn note_followed(&mut self, made: &[Statement<'_>], rows: &[Vec<Row>]) {
        let mut answered = made.iter().zip(rows);
        if answered.any(|(statement, rows)| statement.ends && !rows.is_empty()) {
            self.looks.start_over();
            (self.events)(Event::Available(i64::MIN));
        }
    }
}
