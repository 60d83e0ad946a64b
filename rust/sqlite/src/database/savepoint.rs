//! Steps within a transaction that are done whole or not at all, and take nothing else with them.

use crate::Error;
use rusqlite::Connection;

/// Do one step. The inner error is that step's own: the transaction is as if it had not begun. The
/// outer one is the store's: the transaction cannot go on.
pub(crate) fn within<T>(
    connection: &Connection,
    step: impl FnOnce() -> Result<T, Error>,
) -> Result<Result<T, Error>, Error> {
    let run = |statement| connection.prepare_cached(statement)?.execute([]);
    run("SAVEPOINT step")?;
    let done = step();
    match &done {
        Ok(_) => {}
        // Some failures make SQLite roll all of it back.
        Err(error) if error.is_of_one() && !connection.is_autocommit() => {
            run("ROLLBACK TO step")?;
        }
        Err(error) => return Err(error.clone()),
    }
    run("RELEASE step")?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreError;

    #[test]
    fn a_step_that_fails_by_itself_leaves_the_others() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY); BEGIN IMMEDIATE;")
            .unwrap();
        let insert = |n: i64, error: Option<StoreError>| {
            within(&connection, || {
                connection.execute("INSERT INTO t VALUES (?1)", [n])?;
                error.map_or(Ok(n), |error| Err(error.into()))
            })
        };
        let refused = StoreError::Duplicate("7".into());
        assert_eq!(insert(1, None), Ok(Ok(1)));
        assert_eq!(insert(2, Some(refused.clone())), Ok(Err(refused.into())));
        let taken = insert(1, None);
        assert!(matches!(
            taken,
            Ok(Err(Error::Store(StoreError::Unreadable(_))))
        ));
        assert_eq!(
            insert(3, Some(StoreError::Full)),
            Err(StoreError::Full.into())
        );
        connection.execute_batch("COMMIT").unwrap();
        let sum: i64 = connection
            .query_row("SELECT sum(n) FROM t", [], |row| row.get(0))
            .unwrap();
        assert_eq!(sum, 1 + 3, "who fails with the store rolls all of it back");
    }
}
