//! Batches resent after kills to instances with other limits, and senders that reuse their numbers.

use anyhow::{Context as _, ensure};
use shared::proto::v1::{Batch, BatchResult};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::client::Stream;
use super::content::Content;
use super::journal::Journal;
use super::load::content;
use super::{Finding, Setting};
use crate::{IngestProcess, now, point};

/// Number of batches that a sender sends before the service is killed.
const BATCHES: u64 = 20;
const BATCH_POINTS: u64 = 200;
/// Limits of the second instance. If it saw a batch first, it would store points that the first
/// instance rejects.
const LATER_ACCEPTED: [(&str, &str); 1] = [("TIDEGAUGE_LATEST_ACCEPTED", "2h")];

/// Sends batches with some rejected points, kills the service, and resends all to an instance that
/// would accept these points. Every answer must repeat the first one.
pub(super) async fn answered_alike(setting: &Setting) -> anyhow::Result<Finding> {
    let mut finding = Finding::default();
    for _ in 0..setting.rounds {
        let journal = Journal::new();
        let content = content(true, BATCH_POINTS);
        let service = setting.start_service().await?;
        let mut stream = Stream::open_when_served(service.url()).await?;
        let mut sent: Vec<(Batch, BatchResult)> = Vec::new();
        for number in 1..=BATCHES {
            let batch = with_refused_points(&content, number);
            journal.sent(&content, number);
            let result = stream.exchange(batch.clone()).await?;
            ensure!(
                result.accepted_count == content.points(number) && result.rejected_count == 2,
                "{result:?}"
            );
            journal.acknowledged(&content, number);
            sent.push((batch, result));
        }
        service.kill().await?;
        let service = IngestProcess::start_configured(
            &setting.ingest_service,
            &setting.database_url,
            &LATER_ACCEPTED,
        )
        .await?;
        let mut stream = Stream::open_when_served(service.url()).await?;
        for (batch, first) in sent {
            let again = stream.exchange(batch).await?;
            ensure!(
                again == BatchResult { is_duplicate: true, ..first.clone() },
                "resend answered {again:?}, first answer {first:?}"
            );
        }
        finding.add_round(Finding::compare(&setting.database_url, journal, 1).await?);
    }
    Ok(finding)
}

/// Builds a batch with two more points that are rejected: one is NaN, one is too far in the future.
fn with_refused_points(content: &Content, number: u64) -> Batch {
    let refused = [
        point(&content.device_id, now(), f64::NAN),
        point(&content.device_id, now() + 3_600_000_000, 1.0),
    ];
    Batch { points: refused.to_vec(), ..content.batch(number) }
}

/// Numbers new data from 1 in the same epoch, as a sender that lost its position would. All of it
/// is rejected. The sender then continues in the next epoch.
pub(super) async fn reuse_refused(setting: &Setting) -> anyhow::Result<Finding> {
    let service = setting.start_service().await?;
    let mut finding = Finding::default();
    for _ in 0..setting.rounds {
        let journal = Journal::new();
        let before = content(true, BATCH_POINTS);
        let mut stream = Stream::open_when_served(service.url()).await?;
        for number in 1..=BATCHES {
            journal.sent(&before, number);
            stream.exchange(before.batch(number)).await?;
            journal.acknowledged(&before, number);
        }
        // New data of the same producer goes to a device of its own, to tell the two apart.
        let after = content(true, BATCH_POINTS);
        let numbered_by = |number: u64, epoch: Option<u64>| {
            let mut batch = after.batch(number);
            batch.producer = before.batch(number).producer;
            batch
                .producer
                .iter_mut()
                .for_each(|producer| producer.epoch = epoch.unwrap_or(producer.epoch));
            batch
        };
        for number in 1..=BATCHES {
            let mut stream = Stream::open_when_served(service.url()).await?;
            let answer = stream.exchange(numbered_by(number, None)).await;
            let error = answer
                .err()
                .context("different content under an applied sequence was acknowledged")?;
            let status =
                error.downcast_ref::<Status>().context("the error is not a gRPC status")?;
            let reason = status.get_details_error_info().map(|info| info.reason);
            let refused = status.code() == Code::FailedPrecondition
                && reason.as_deref() == Some("SEQUENCE_REUSED");
            ensure!(refused, "{status:?}");
        }
        let mut stream = Stream::open_when_served(service.url()).await?;
        let next_epoch = before.batch(1).producer.map(|producer| producer.epoch + 1);
        for number in 1..=BATCHES {
            journal.sent(&after, number);
            stream.exchange(numbered_by(number, next_epoch)).await?;
            journal.acknowledged(&after, number);
        }
        finding.add_round(Finding::compare(&setting.database_url, journal, 1).await?);
    }
    Ok(finding)
}
