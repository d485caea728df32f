//! Every statement of query-service has a name in the metrics.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use std::fs;

use e2e::{KeyedIdentity, Services, built_ingest_service, get, now, series, unique};
use shared::proto::v1::{Batch, IngestBatchRequest, ListMetricsRequest};

#[tokio::test]
async fn metrics_of_some_devices_are_listed_by_a_statement_with_a_name() {
    let prefix = unique("named");
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--device-prefix", &prefix, "--scope", "ingest", "--scope", "query"];
    let identity = KeyedIdentity::make(&built_ingest_service(), "some", &arguments).await.unwrap();
    let identities = folder.path().join("identities.toml");
    fs::write(&identities, &identity.entry).unwrap();
    let services = Services::start_with_both(
        |config| config.server.access.identities_file = Some(identities.clone()),
        |config| config.server.access.identities_file = Some(identities.clone()),
    )
    .await;
    let columns = vec![series(&prefix, vec![now()], vec![1.0])];
    let request =
        IngestBatchRequest { batch: Some(Batch { series: columns, ..Default::default() }) };
    services.ingest.clone().ingest_batch(identity.request(request)).await.unwrap();
    let request = identity.request(ListMetricsRequest::default());
    let listed = services.query.clone().list_metrics(request).await.unwrap().into_inner();
    assert_eq!(listed.metrics.len(), 1);
    let (_, metrics) = get(&services.query_http, "/metrics").await.unwrap();
    assert!(metrics.contains("db_query_summary=\"metrics_of_devices\""), "{metrics}");
    assert!(
        metrics.contains("db_query_summary=\"backend_pid\""),
        "connecting should query the backend's process id"
    );
    assert!(!metrics.contains("db_query_summary=\"other\""), "{metrics}");
}
