//! Reads the ledger outside of flushes: the position of a producer, and the answer to a batch that
//! was applied but would be refused today.

use std::sync::Arc;
use std::time::Duration;

use shared::config::DatabaseConfig;
use shared::db::{self, Micros};
use shared::proto::v1::{BatchResult, GetProducerResponse};
use shared::time;
use sqlx::postgres::PgConnection;
use tokio::sync::Mutex;

use crate::error::BatchError;
use crate::ledger::{self, Decision, Ledger, ProducerPosition, ProducerPositions};
use crate::numbering::Numbering;
use crate::writer;

/// Timeout of a read, which takes two indexed rows.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reader of the ledger. Serves one request after the other on one connection, which it opens on
/// demand. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LedgerReader {
    database: DatabaseConfig,
    connection: Arc<Mutex<Option<PgConnection>>>,
}

impl LedgerReader {
    pub(crate) fn new(database: DatabaseConfig) -> Self {
        Self { database, connection: Arc::default() }
    }

    /// Returns the position of a producer, or `None` if the ledger does not hold it. Must run in a
    /// task that is not dropped.
    ///
    /// # Errors
    /// Fails with UNAVAILABLE if the database does not answer.
    pub(crate) async fn producer(
        &self,
        producer_id: &str,
    ) -> Result<Option<GetProducerResponse>, BatchError> {
        self.read(async |connection| read_producer(connection, producer_id).await).await
    }

    /// Returns the answer to the first sending of a numbered batch, marked as a duplicate, if the
    /// ledger remembers it. Must run in a task that is not dropped.
    ///
    /// # Errors
    /// Fails with UNAVAILABLE if the database does not answer.
    pub(crate) async fn first_answer(
        &self,
        numbering: &Numbering,
    ) -> Result<Option<BatchResult>, BatchError> {
        self.read(async |connection| read_first_answer(connection, numbering).await).await
    }

    async fn read<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> Result<T, BatchError> {
        let mut kept = self.connection.lock().await;
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => db::connect(&self.database, "tidegauge ledger").await.map_err(unavailable)?,
        };
        let found = db::within(TIMEOUT, work(&mut connection)).await.map_err(unavailable)?;
        *kept = Some(connection); // only after success
        Ok(found)
    }
}

async fn read_producer(
    connection: &mut PgConnection,
    producer_id: &str,
) -> sqlx::Result<Option<GetProducerResponse>> {
    type ProducerRow = (i64, i64, Micros, Vec<u8>, Option<Vec<u8>>);
    let row: Option<ProducerRow> = sqlx::query_as(include_str!("sql/ledger_producer.sql"))
        .bind(producer_id)
        .fetch_optional(connection)
        .await?;
    let Some((epoch, last_sequence, last_batch_at, recent, oldest_page)) = row else {
        return Ok(None);
    };
    let oldest = oldest_page.filter(|page| !page.is_empty()).unwrap_or(recent);
    let remembered = ledger::decode(&oldest).map_err(sqlx::Error::Protocol)?;
    let last_sequence = last_sequence.unsigned_abs();
    Ok(Some(GetProducerResponse {
        epoch: epoch.unsigned_abs(),
        last_sequence,
        last_batch_at: Some(time::to_timestamp(last_batch_at.0)),
        oldest_remembered_sequence: remembered
            .iter()
            .map(|it| it.result.sequence)
            .min()
            .unwrap_or(last_sequence + 1),
    }))
}

async fn read_first_answer(
    connection: &mut PgConnection,
    numbering: &Numbering,
) -> sqlx::Result<Option<BatchResult>> {
    let position = ProducerPosition { epoch: numbering.epoch, last_sequence: numbering.sequence };
    let mut ledger =
        Ledger::new(ProducerPositions::from([(numbering.producer_id.clone(), position)]));
    let wanted = ledger.wanted([numbering].into_iter());
    writer::read_remembered(connection, &wanted, &mut ledger).await?;
    Ok(match ledger.decide(numbering, BatchResult::default) {
        Decision::Duplicate(answer) => Some(*answer),
        _ => None,
    })
}

fn unavailable(error: sqlx::Error) -> BatchError {
    tracing::warn!(%error, "cannot read the ledger");
    BatchError::Unavailable(
        "the service cannot read its ledger: the database does not answer".to_owned(),
    )
}
