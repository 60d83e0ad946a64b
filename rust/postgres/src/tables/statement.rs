//! A statement with its parameters.

use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

/// Parameters of a statement, with their types: so that the server need not be asked for them.
#[derive(Default)]
pub(crate) struct Params(Vec<(Box<dyn ToSql + Sync + Send>, Type)>);

impl Params {
    pub(crate) fn with(mut self, value: impl ToSql + Sync + Send + 'static, of: Type) -> Self {
        self.0.push((Box::new(value), of));
        self
    }

    pub(crate) fn longs(self, values: impl Iterator<Item = i64>) -> Self {
        self.with(values.collect::<Vec<_>>(), Type::INT8_ARRAY)
    }

    pub(crate) fn maybe_longs(self, values: impl Iterator<Item = Option<i64>>) -> Self {
        self.with(values.collect::<Vec<_>>(), Type::INT8_ARRAY)
    }

    pub(crate) fn ids(self, values: impl Iterator<Item = Uuid>) -> Self {
        self.with(values.collect::<Vec<_>>(), Type::UUID_ARRAY)
    }

    pub(crate) fn as_given(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        let given = self.0.iter();
        given
            .map(|(value, of)| (&**value as &(dyn ToSql + Sync), of.clone()))
            .collect()
    }
}

/// One statement, and what is to be made of its rows.
pub(crate) struct Statement<'a> {
    pub(crate) sql: &'a str,
    pub(crate) params: Params,
    /// The jobs that it marks as started: those that it does not return are no longer this node's.
    pub(crate) marks: Vec<u64>,
    /// Whether it ends jobs: it returns a row where something follows that was changed while it ran.
    pub(crate) ends: bool,
}

impl<'a> Statement<'a> {
    /// One that marks nothing.
    pub(crate) fn new(sql: &'a str, params: Params) -> Self {
        Statement {
            sql,
            params,
            marks: Vec::new(),
            ends: false,
        }
    }
}
