//! Runs statements on the pool: queries through sqlx's `Executor`, and COPY.

use std::pin::pin;
use std::time::Instant;

use async_stream::try_stream;
use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use shared::telemetry;
use sqlx::postgres::{
    PgArguments, PgConnection, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres,
};
use sqlx::query::Query;
use sqlx::{Describe, Either, Execute, Executor, SqlStr};

use super::NamedPool;
use crate::error::timed_out;

impl NamedPool {
    /// Runs `work`, which executes one statement and reads its whole answer.
    ///
    /// # Errors
    /// Returns the error of `work`, or a timeout if it takes longer than the pool allows.
    pub(crate) async fn run<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        let mut lease = self.pool.lease().await?;
        let began = Instant::now();
        let span = telemetry::span(self.statement);
        let done = match lease.connection() {
            Ok(connection) => {
                tokio::time::timeout(self.pool.state.query_timeout, work(connection)).await
            }
            Err(error) => Ok(Err(error)),
        };
        let done = done.unwrap_or_else(|_| Err(timed_out(self.pool.state.query_timeout)));
        self.pool.state.statements.ended(self.statement, &span, began, done.as_ref().err());
        let answer = done?;
        lease.give_back();
        Ok(answer)
    }

    /// Runs a statement and decodes each row as it arrives, while the database produces the next
    /// ones.
    ///
    /// # Errors
    /// Returns the errors of [`run`](Self::run), or that of `decode`.
    pub(crate) async fn decoded<T>(
        &self,
        query: Query<'_, Postgres, PgArguments>,
        decode: impl Fn(&PgRow) -> sqlx::Result<T>,
    ) -> sqlx::Result<Vec<T>> {
        let work = async |connection: &mut PgConnection| {
            let mut rows = query.fetch(connection);
            let mut all = Vec::new();
            while let Some(row) = rows.try_next().await? {
                all.push(decode(&row)?);
            }
            Ok(all)
        };
        self.run(work).await
    }

    /// Runs `COPY ... TO STDOUT` and passes its bytes to `take` as they arrive, about one row at a
    /// time.
    ///
    /// # Errors
    /// Returns the errors of [`run`](Self::run), or that of `take`.
    pub(crate) async fn copy_out(
        &self,
        statement: &str,
        mut take: impl FnMut(&[u8]) -> sqlx::Result<()>,
    ) -> sqlx::Result<()> {
        let copy = async |connection: &mut PgConnection| {
            let mut chunks = connection.copy_out_raw(statement).await?;
            while let Some(bytes) = chunks.try_next().await? {
                take(&bytes)?;
            }
            Ok(())
        };
        self.run(copy).await
    }
}

impl<'p> Executor<'p> for &NamedPool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let NamedPool { pool, statement } = self.clone();
        Box::pin(try_stream! {
            let mut lease = pool.lease().await?;
            let began = Instant::now();
            let span = telemetry::span(statement);
            let ended = |error: Option<&sqlx::Error>| {
                pool.state.statements.ended(statement, &span, began, error);
            };
            {
                let mut rows = lease.connection()?.fetch_many(query);
                let mut too_late = pin!(tokio::time::sleep(pool.state.query_timeout));
                loop {
                    let next = tokio::select! {
                        biased; // checks the timer only if no row is ready
                        next = rows.try_next() => next,
                        () = &mut too_late => Err(timed_out(pool.state.query_timeout)),
                    };
                    let Some(row) = next.inspect_err(|error| ended(Some(error)))? else { break };
                    yield row;
                }
            }
            ended(None);
            lease.give_back();
        })
    }

    /// Reads past the first row to the end: a connection that is given back must not have a
    /// statement running.
    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let mut rows = self.fetch(query);
        Box::pin(async move {
            let first = rows.try_next().await?;
            while rows.try_next().await?.is_some() {}
            Ok(first)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'p: 'e,
    {
        let pool = self.pool.clone();
        Box::pin(async move {
            let mut lease = pool.lease().await?;
            let statement = lease.connection()?.prepare_with(sql, parameters).await?;
            lease.give_back();
            Ok(statement)
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'p: 'e,
    {
        let pool = self.pool.clone();
        Box::pin(async move {
            let mut lease = pool.lease().await?;
            let description = lease.connection()?.describe(sql).await?;
            lease.give_back();
            Ok(description)
        })
    }
}
