//! The tables: made, brought up to date, and checked.

use crate::connection::link::Link;
use crate::connection::trouble::Trouble;
use crate::settings::Settings;
use crate::tables::names::quoted;
use crate::tables::sql::Sql;
use crate::tables::statement::Params;
use duewheel_store::{Error, Keyring, check_key};
use tokio_postgres::types::Type;

/// The version of the tables that this library makes.
const VERSION: i64 = 5;
/// What makes the tables of each version of those of the version before.
const STEPS: [&str; VERSION as usize] = [
    include_str!("schema.sql"),
    include_str!("version_2.sql"),
    include_str!("version_3.sql"),
    include_str!("version_4.sql"),
    include_str!("version_5.sql"),
];

/// What makes the tables, or brings them up to date: for who may not let the library do so.
pub fn sql(schema: &str) -> String {
    let quoted = quoted(schema);
    let literal = quoted.replace('\'', "''");
    let mut all = format!("CREATE SCHEMA IF NOT EXISTS {quoted};\n");
    for (before, step) in STEPS.iter().enumerate() {
        let body = step
            .replace("{s}", &quoted)
            .replace("{n}", &schema.replace('\'', "''"))
            .replace("{l}", &literal);
        let is_wanted = match before {
            0 => format!("to_regclass('{literal}.meta') IS NULL"),
            _ => format!("(SELECT value FROM {quoted}.meta WHERE name = 'schema') = {before}"),
        };
        all += &format!(
            "DO $make$ BEGIN IF {is_wanted} THEN EXECUTE $all$\n{body}$all$; END IF; END $make$;\n"
        );
    }
    all
}

fn version_error(schema: &str, why: &str) -> Trouble {
    let cure = "run what duewheel.postgres.sql() returns as a role that may";
    Trouble::Refused(Error::Version(format!(
        "the tables in the schema {schema:?} {why}: {cure}"
    )))
}

/// Make the tables where there are none, and check that this library knows them.
pub(crate) async fn open(link: &Link, settings: &Settings) -> Result<(), Trouble> {
    let schema = &settings.schema;
    let before = found(link, schema).await?;
    if before.is_none_or(|(version, _)| version < VERSION) && (settings.migrate || before.is_none())
    {
        if !settings.migrate {
            return Err(version_error(schema, "are not there"));
        }
        let lock = format!("duewheel:{schema}").replace('\'', "''");
        let made = link
            .execute(&format!(
                "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('{lock}', 0)); {} COMMIT",
                sql(schema),
            ))
            .await;
        if let Err(trouble) = made {
            link.execute("ROLLBACK").await?;
            return Err(match trouble {
                Trouble::Refused(error) => {
                    version_error(schema, &format!("cannot be made ({error})"))
                }
                trouble => trouble,
            });
        }
    }
    match found(link, schema).await? {
        Some((version, oldest)) if version < VERSION || oldest > VERSION => Err(version_error(
            schema,
            &format!("are of version {version}, and this library knows version {VERSION}"),
        )),
        Some(_) => {
            if settings.notify {
                // Then what is scheduled by SQL is told, too.
                let notifies = Sql::new(schema).notifies;
                link.query(&notifies, Params::default()).await?;
            }
            check_keys(link, schema, settings.keys.as_ref()).await
        }
        None => Err(version_error(schema, "are not there")),
    }
}

/// The version of the tables, and the oldest that a library may know to work with them.
async fn found(link: &Link, schema: &str) -> Result<Option<(i64, i64)>, Trouble> {
    let named = format!("{}.meta", quoted(schema));
    let is_there = link
        .query(
            "SELECT to_regclass($1) IS NOT NULL",
            Params::default().with(named, Type::TEXT),
        )
        .await?;
    if !is_there
        .first()
        .is_some_and(|row| row.try_get(0).unwrap_or(false))
    {
        return Ok(None);
    }
    let meta = format!(
        "SELECT (SELECT value FROM {s}.meta WHERE name = 'schema'), (SELECT value FROM {s}.meta WHERE name = 'oldest_client')",
        s = quoted(schema)
    );
    let rows = link.query(&meta, Params::default()).await?;
    let number = |at: usize| {
        rows.first()
            .and_then(|row| row.try_get::<_, Option<i64>>(at).ok().flatten())
    };
    Ok(Some((
        number(0).unwrap_or(0),
        number(1).unwrap_or(i64::MAX),
    )))
}

async fn check_keys(link: &Link, schema: &str, keys: Option<&Keyring>) -> Result<(), Trouble> {
    let schema = quoted(schema);
    let rows = link
        .query(
            &format!("SELECT key, proof FROM {schema}.keys"),
            Params::default(),
        )
        .await?;
    for row in rows {
        let key: i64 = row.try_get(0)?;
        let proof: &[u8] = row.try_get(1)?;
        let key = u32::try_from(key).unwrap_or(u32::MAX);
        check_key(keys, key, proof).map_err(Trouble::Refused)?;
    }
    if let Some(keys) = keys {
        let key = keys.default_key();
        let proof = keys.proof(key).map_err(Trouble::Refused)?;
        let insert = format!("INSERT INTO {schema}.keys VALUES ($1, $2) ON CONFLICT DO NOTHING");
        link.query(
            &insert,
            Params::default()
                .with(i64::from(key), Type::INT8)
                .with(proof, Type::BYTEA),
        )
        .await?;
    }
    Ok(())
}
