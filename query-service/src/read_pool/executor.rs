//! Runs statements on the pool: sqlx's, as they run on its own pool, and COPY.

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
use crate::error::too_long;

impl NamedPool {
    /// Runs one statement and reads all of its answer.
    ///
    /// # Errors
    /// The work's own, or the database did not answer in time.
    pub(crate) async fn run<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        let mut lease = self.pool.lease().await?;
        let (began, span) = (Instant::now(), telemetry::span(self.statement));
        let done = match lease.connection() {
            Ok(connection) => {
                tokio::time::timeout(self.pool.shared.longest, work(connection)).await
            }
            Err(error) => Ok(Err(error)),
        };
        let done = done.unwrap_or_else(|_| Err(too_long(self.pool.shared.longest)));
        self.pool.shared.statements.ended(self.statement, &span, began, done.as_ref().err());
        let answer = done?;
        lease.give_back();
        Ok(answer)
    }

    /// Runs a statement and decodes each row as it comes, while the database makes the next ones.
    ///
    /// # Errors
    /// Those of `run`, or a row is not what it should be.
    pub(crate) async fn decoded<T>(
        &self,
        query: Query<'_, Postgres, PgArguments>,
        decode: impl Fn(&PgRow) -> sqlx::Result<T>,
    ) -> sqlx::Result<Vec<T>> {
        let work = async |connection: &mut PgConnection| {
            let (mut rows, mut all) = (query.fetch(connection), Vec::new());
            while let Some(row) = rows.try_next().await? {
                all.push(decode(&row)?);
            }
            Ok(all)
        };
        self.run(work).await
    }

    /// Runs `COPY ... TO STDOUT` and hands over its bytes as they come, a row or so at a time.
    ///
    /// # Errors
    /// The database did not answer in time, or `take` refuses the bytes.
    pub(crate) async fn copy_out(
        &self,
        statement: &str,
        mut take: impl FnMut(&[u8]) -> sqlx::Result<()>,
    ) -> sqlx::Result<()> {
        let copy = async |connection: &mut PgConnection| {
            let mut pieces = connection.copy_out_raw(statement).await?;
            while let Some(bytes) = pieces.try_next().await? {
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
            let (began, span) = (Instant::now(), telemetry::span(statement));
            let ended = |error: Option<&sqlx::Error>| {
                pool.shared.statements.ended(statement, &span, began, error);
            };
            {
                let mut rows = lease.connection()?.fetch_many(query);
                let mut too_late = pin!(tokio::time::sleep(pool.shared.longest));
                loop {
                    let next = tokio::select! {
                        biased; // rows that are there do not look at the clock
                        next = rows.try_next() => next,
                        () = &mut too_late => Err(too_long(pool.shared.longest)),
                    };
                    let Some(row) = next.inspect_err(|error| ended(Some(error)))? else { break };
                    yield row;
                }
            }
            ended(None);
            lease.give_back();
        })
    }

    /// Reads to the end, beyond the first row: what is given back must not run on.
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
