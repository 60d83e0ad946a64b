//! A connection, and transactions on it: each is one flight there and back.

use crate::connection::trouble::{Trouble, described};
use crate::tables::statement::{Params, Statement};
use futures_util::future::{BoxFuture, join_all};
use std::future::poll_fn;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Client, Config, Row};
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

/// How long a statement waits for a transaction that holds what it changes.
const LOCKS: Duration = Duration::from_secs(1);

/// A lease, and what its next transaction says of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beat {
    pub(crate) epoch: i64,
    pub(crate) token: Uuid,
    /// The number of the flight.
    pub(crate) flight: i64,
    /// In seconds.
    pub(crate) lease: f64,
    pub(crate) held: usize,
    pub(crate) running: usize,
    /// The latest due of what is held by this transaction.
    pub(crate) until: i64,
}

impl Beat {
    fn params(&self) -> Params {
        let small = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        Params::default()
            .with(self.epoch, Type::INT8)
            .with(self.token, Type::UUID)
            .with(self.flight, Type::INT8)
            .with(self.lease, Type::FLOAT8)
            .with(small(self.held), Type::INT4)
            .with(small(self.running), Type::INT4)
            .with(self.until, Type::INT8)
    }
}

/// A connection to the server.
pub(crate) struct Link {
    client: Client,
    /// What passes messages on.
    passing: AbortHandle,
    tls: MakeRustlsConnect,
    /// Begins a transaction that gives up what takes too long.
    begin: String,
    patience: Duration,
}

/// Called with what other nodes say.
pub(crate) type Heard = Box<dyn Fn(&str) + Send>;

/// The server's clock, and the rows of each statement.
pub(crate) type Landed = (i64, Vec<Vec<Row>>);

impl Link {
    pub(crate) async fn connect(
        config: &Config,
        tls: MakeRustlsConnect,
        patience: Duration,
        heard: Heard,
    ) -> Result<Self, Trouble> {
        let connecting = tokio::time::timeout(patience, config.connect(tls.clone()));
        let (client, mut connection) = match connecting.await {
            Ok(connected) => connected.map_err(|error| match Trouble::from(error) {
                Trouble::Again(why) => Trouble::Lost(why),
                trouble => trouble,
            })?,
            Err(_) => {
                return Err(Trouble::Lost(format!(
                    "it has not answered within {patience:?}"
                )));
            }
        };
        // It ends with the client, or when the connection is lost, which the client says, too.
        let passing = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await
            {
                if let AsyncMessage::Notification(said) = message {
                    heard(said.payload());
                }
            }
        });
        let timeout = patience.as_millis().max(1);
        let lock = patience.min(LOCKS).as_millis().max(1);
        let begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {lock}; SET LOCAL statement_timeout = {timeout}; \
             SET LOCAL idle_in_transaction_session_timeout = {timeout}"
        );
        Ok(Link {
            client,
            passing: passing.abort_handle(),
            tls,
            begin,
            patience,
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Whatever takes so long that others may have this node's jobs counts as lost.
    async fn patiently<T>(
        &self,
        work: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        let patience = self.patience * 2;
        match tokio::time::timeout(patience, work).await {
            Ok(done) => done,
            Err(_) => {
                self.give_up();
                let why = format!("it has not answered within {patience:?}");
                Err(Trouble::Lost(why))
            }
        }
    }

    /// End the connection at both ends. By itself it would stay until all is answered: where that waits for a lock, each
    /// next one would wait beside it, until the server takes no more.
    fn give_up(&self) {
        self.passing.abort();
        let (token, tls) = (self.client.cancel_token(), self.tls.clone());
        let cancelling = tokio::time::timeout(self.patience, async move {
            // Whether there was something to cancel is all the same.
            let _ = token.cancel_query(tls).await;
        });
        tokio::spawn(cancelling);
    }

    /// One statement, which is a transaction of its own.
    pub(crate) async fn query(&self, sql: &str, params: Params) -> Result<Vec<Row>, Trouble> {
        let given = params.as_given();
        self.patiently(async { Ok(self.client.query_typed(sql, &given).await?) })
            .await
    }

    /// A statement whose one value is a number of rows.
    pub(crate) async fn count(&self, sql: &str, params: Params) -> Result<u64, Trouble> {
        let rows = self.query(sql, params).await?;
        let count = rows.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0))?;
        Ok(count.max(0) as u64)
    }

    /// One statement, which waits for no transaction that stays open.
    pub(crate) async fn query_briefly(
        &self,
        sql: &str,
        params: Params,
    ) -> Result<Vec<Row>, Trouble> {
        let statement = Statement::new(sql, params);
        let mut landed = self.patiently(self.fly(&[&statement])).await?;
        Ok(landed.pop().unwrap_or_default())
    }

    /// Statements without parameters.
    pub(crate) async fn execute(&self, sql: &str) -> Result<(), Trouble> {
        self.patiently(async { Ok(self.client.batch_execute(sql).await?) })
            .await
    }

    /// A transaction that takes effect as a whole or not at all, and says that this node lives.
    pub(crate) async fn transact(
        &self,
        beat_sql: &str,
        beat: &Beat,
        statements: &[Statement<'_>],
    ) -> Result<Landed, Trouble> {
        let beat = Statement::new(beat_sql, beat.params());
        let all: Vec<&Statement<'_>> = [&beat].into_iter().chain(statements).collect();
        let mut landed = self.patiently(self.fly(&all)).await?;
        let rows = landed.split_off(1);
        let now = landed.first().and_then(|rows| rows.first());
        let now = now.map(|row| row.try_get(0)).transpose();
        let now = now.map_err(|error| Trouble::Lost(described(&error)))?;
        Ok((now.unwrap_or_default(), rows))
    }

    /// The rows of each statement of a transaction.
    async fn fly(&self, statements: &[&Statement<'_>]) -> Result<Vec<Vec<Row>>, Trouble> {
        let client = &self.client;
        let given = statements
            .iter()
            .map(|statement| statement.params.as_given());
        let given: Vec<_> = given.collect();
        type Answer<'a> = BoxFuture<'a, Result<Vec<Row>, tokio_postgres::Error>>;
        // They are sent in this order, for each is sent when it is first polled, and none waits for another.
        let mut flight: Vec<Answer<'_>> = Vec::with_capacity(statements.len() + 2);
        flight.push(Box::pin(async {
            client.batch_execute(&self.begin).await.map(|()| Vec::new())
        }));
        for (statement, given) in statements.iter().zip(&given) {
            flight.push(Box::pin(client.query_typed(statement.sql, given)));
        }
        flight.push(Box::pin(async {
            client.batch_execute("COMMIT").await.map(|()| Vec::new())
        }));
        let mut answers = join_all(flight).await.into_iter();
        let begun = answers.next().unwrap_or_else(|| Ok(Vec::new()));
        let mut landed = Vec::with_capacity(answers.len());
        let mut failed = None;
        for answer in answers {
            match answer {
                Ok(rows) => landed.push(rows),
                // A COMMIT after a failure is no error: it rolls back.
                Err(error) if !Trouble::is_echo(&error) => {
                    failed.get_or_insert(error);
                }
                Err(_) => {}
            }
        }
        // A BEGIN that was cancelled begins nothing: then each statement has taken effect by itself, which is as good if all have.
        let alone = begun.is_err() && landed.len() == statements.len() + 1;
        match begun.err().filter(|_| !alone).or(failed) {
            Some(error) => Err(error.into()),
            None => {
                landed.pop();
                Ok(landed)
            }
        }
    }
}
