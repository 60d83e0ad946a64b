//! How jobs have ended, as long as that is kept.

use crate::connection::link::Link;
use crate::connection::trouble::Trouble;
use crate::node::state::Node;
use crate::node::steps::Step;
use crate::tables::names::key_of;
use crate::tables::statement::Params;
use duewheel_store::{
    Answer, Carried, Error, Kept, Keyring, Over, Reason, StoredOutcome, open_result,
};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// How many that are kept no longer are forgotten at once: what waits for the server waits for no more than that.
const SWEPT_AT_ONCE: i64 = 1_000;

/// What was returned, as it is stored, and the key that it is sealed under; it is taken out of `kept`.
pub(crate) fn taken_result(
    kept: &mut Kept,
    keys: Option<&Keyring>,
) -> Result<(Vec<u8>, Option<u32>), Error> {
    let sealed = keys.map(|keys| Ok::<_, Error>((keys.seal_kept(kept)?, keys.default_key())));
    let sealed = sealed.transpose()?;
    let result = std::mem::take(&mut kept.result);
    Ok(sealed.map_or((result, None), |(sealed, key)| (sealed, Some(key))))
}

/// What is written of ends, after the ids of their jobs.
pub(super) fn keep(steps: &[&Step], params: Params, epoch: i64) -> Params {
    let all = steps.iter().filter_map(|step| match step {
        Step::Keep { kept, data, .. } => Some((&**kept, data)),
        _ => None,
    });
    let states = all
        .clone()
        .map(|(kept, _)| i16::from(kept.over.number()))
        .collect::<Vec<_>>();
    let results = all
        .clone()
        .map(|(_, (result, _))| result.clone())
        .collect::<Vec<_>>();
    let errors = all
        .clone()
        .map(|(kept, _)| kept.error.replace('\0', "\u{fffd}"))
        .collect::<Vec<_>>();
    params
        .with(states, Type::INT2_ARRAY)
        .with(results, Type::BYTEA_ARRAY)
        .maybe_longs(all.clone().map(|(_, (_, key))| key.map(i64::from)))
        .with(errors, Type::TEXT_ARRAY)
        .longs(all.clone().map(|(kept, _)| kept.ended))
        .longs(all.map(|(kept, _)| kept.until))
        .with(epoch, Type::INT8)
}

impl Node {
    /// How the job of this id has ended, or stands.
    pub(super) async fn outcome(&self, link: &Link, id: &str, now: i64) -> Result<Answer, Trouble> {
        let params = Params::default()
            .with(key_of(id).0, Type::UUID)
            .with(now.saturating_add(self.ahead), Type::INT8);
        let rows = link.query(&self.sql.outcome, params).await?;
        let found = match rows.first() {
            None => StoredOutcome::Unknown,
            Some(row) if row.try_get(0)? => StoredOutcome::Pending(keeps(row)?),
            Some(row) => match row.try_get(2)? {
                None => StoredOutcome::Unknown,
                Some(target) => {
                    let kept = read(row, (id, target), self.settings.keys.as_ref())?;
                    StoredOutcome::Kept(Box::new(kept))
                }
            },
        };
        Ok(Answer::Outcome(found))
    }

    /// Forget some of what is kept no longer; whether there may be more.
    pub(super) async fn sweep(&mut self, link: &Link) -> Result<(), Trouble> {
        let most = Params::default().with(SWEPT_AT_ONCE, Type::INT8);
        let swept = match link.count(&self.sql.sweep, most).await {
            Ok(swept) => swept as i64,
            // Somebody has the table: another time.
            Err(Trouble::Again(_)) => 0,
            Err(trouble) => return Err(trouble),
        };
        self.has_expired = swept == SWEPT_AT_ONCE;
        Ok(())
    }
}

/// Whether a job that is not over will keep its end.
fn keeps(row: &Row) -> Result<bool, Trouble> {
    let Some(bytes) = row.try_get::<_, Option<&[u8]>>(1)? else {
        return Ok(false);
    };
    let carried = Carried::decode(bytes).ok_or_else(|| {
        Trouble::Refused(Error::Unreadable(
            "carried must be what a job carries beside its data, not these bytes".into(),
        ))
    })?;
    Ok(carried.keep.is_some())
}

fn read(row: &Row, (id, target): (&str, &str), keys: Option<&Keyring>) -> Result<Kept, Trouble> {
    let (state, key): (i16, Option<i64>) = (row.try_get(3)?, row.try_get(5)?);
    let key = key.map(|key| u32::try_from(key).unwrap_or(u32::MAX));
    let result = open_result(keys, key, (id, target), row.try_get(4)?).map_err(Trouble::Refused)?;
    let over = Over::of_number(state.into()).ok_or_else(|| {
        Trouble::Refused(Error::Unreadable(format!(
            "state must be how a job has ended, 0 to {}, not {state}",
            Over::Dead(Reason::Interrupted).number()
        )))
    })?;
    Ok(Kept {
        id: id.to_owned(),
        target: target.to_owned(),
        over,
        result,
        error: row.try_get(6)?,
        ended: row.try_get(7)?,
        until: row.try_get(8)?,
    })
}
