//! Limits of identities. Each identity has its own, whatever others at the same address do.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use std::path::Path;
use std::time::Duration;

use e2e::{KeyedIdentity, Services, Sql, batch, built_ingest_service, now, point, unique, until};
use shared::config::AccessConfig;
use shared::proto::v1::{Batch, IngestBatchRequest, IngestWithAcksRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Limit on points per second of the limited identity.
const LIMIT: usize = 100;

async fn identity(name: &str, device: &str) -> KeyedIdentity {
    let arguments = ["--device-prefix", device, "--scope", "ingest"];
    KeyedIdentity::make(&built_ingest_service(), name, &arguments).await.unwrap()
}

async fn start(identities: &Path) -> Services {
    let access = AccessConfig {
        identities_file: Some(identities.to_owned()),
        reload_interval: Duration::from_millis(20),
        insecure_listen: false,
    };
    Services::start_with(|config| config.server.access = access).await
}

fn points(device: &str, count: usize) -> Batch {
    let began = now() - 1_000_000;
    batch((began..).take(count).map(|time| point(device, time, 1.0)).collect())
}

async fn send(services: &Services, identity: &KeyedIdentity, batch: Batch) -> Result<u64, Status> {
    let request = identity.request(IngestBatchRequest { batch: Some(batch) });
    let answer = services.ingest.clone().ingest_batch(request).await?.into_inner();
    Ok(answer.result.unwrap().accepted_count)
}

/// Opens a stream, which stays open as long as the returned sender.
async fn open(
    services: &Services,
    identity: &KeyedIdentity,
) -> Result<mpsc::Sender<IngestWithAcksRequest>, Status> {
    let (batches, receiver) = mpsc::channel(1);
    services
        .ingest
        .clone()
        .ingest_with_acks(identity.request(ReceiverStream::new(receiver)))
        .await?;
    Ok(batches)
}

/// Returns the subject and the description of a quota violation.
fn violation(status: &Status) -> (String, String) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let details = status.get_error_details();
    assert!(!details.retry_info().expect("RetryInfo").retry_delay.unwrap().is_zero());
    let violation = details.quota_failure().expect("QuotaFailure").violations[0].clone();
    (violation.subject, violation.description)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_identity_has_limits_of_its_own_and_new_ones_hold_without_a_restart() {
    let device = unique("identity-limits");
    let mut sql = Sql::connect().await;
    let few = format!("{device}/few");
    let many = format!("{device}/many");
    let limited = identity("limited", &few).await;
    let other = identity("other", &many).await;
    let limits = format!("[identity.limits]\npoints_per_second = {LIMIT}\nmax_calls = 1\n");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), [&*limited.entry, &limits, &other.entry].concat()).unwrap();
    let services = start(file.path()).await;

    let far_over = 100 * LIMIT; // the debt lasts longer than the test
    assert_eq!(send(&services, &limited, points(&few, far_over)).await.unwrap(), far_over as u64);
    let refused = send(&services, &limited, points(&few, 1)).await.unwrap_err();
    let (subject, description) = violation(&refused);
    assert_eq!(subject, "identity:limited");
    assert!(
        description.contains("limit of 100 points or rows per second reached"),
        "{description}"
    );
    for _ in 0..2 {
        assert_eq!(
            send(&services, &other, points(&many, far_over)).await.unwrap(),
            far_over as u64
        );
    }

    let one = open(&services, &limited).await.unwrap();
    let (subject, description) = violation(&open(&services, &limited).await.err().unwrap());
    assert_eq!(subject, "identity:limited");
    assert!(description.contains("limit of 1 open calls reached"), "{description}");
    drop((open(&services, &other).await.unwrap(), open(&services, &other).await.unwrap(), one));

    std::fs::write(file.path(), [&*limited.entry, &other.entry].concat()).unwrap();
    until("the removed limits stop applying", async || {
        send(&services, &limited, points(&few, 1)).await.ok()
    })
    .await;
    assert_eq!(
        (sql.count(&few).await, sql.count(&many).await),
        (far_over as u64 + 1, 2 * far_over as u64)
    );
}
