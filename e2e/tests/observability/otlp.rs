//! Metrics over OTLP: sent while a service runs, and once more when it ends.

use e2e::{batch, now, point, unique, until};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, number_data_point};
use shared::proto::v1::ingest_service_client::IngestServiceClient;
use shared::proto::v1::query_service_client::QueryServiceClient;
use shared::proto::v1::{GetStorageStatsRequest, IngestBatchRequest};

use crate::collector::Collector;
use crate::process::ServiceProcess;
use crate::until_status;

#[tokio::test(flavor = "multi_thread")]
async fn metrics_arrive_at_a_collector_while_a_service_works_and_the_last_when_it_ends() {
    let collector = Collector::start().await;
    let endpoint = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", collector.url());
    // One service exports ten times a second, the other only when it ends.
    let query =
        ServiceProcess::start("query-service", &[endpoint, ("OTEL_METRIC_EXPORT_INTERVAL", "100")])
            .await;
    let ingest = ServiceProcess::start(
        "ingest-service",
        &[endpoint, ("OTEL_METRIC_EXPORT_INTERVAL", "3600000")],
    )
    .await;
    for service in [&query, &ingest] {
        until_status(&service.http, "/readyz", 200).await;
    }
    let mut asked = QueryServiceClient::connect(format!("http://{}", query.address)).await.unwrap();
    asked.get_storage_stats(GetStorageStatsRequest::default()).await.unwrap();
    until("the call is exported", async || {
        let calls = newest(&collector, "query-service", "rpc.server.call.duration")?;
        let Some(Data::Histogram(calls)) = &calls.data else {
            panic!("{calls:?} is not a histogram")
        };
        calls.data_points.iter().any(|calls| calls.count == 1).then_some(())
    })
    .await;

    let device = unique("told");
    let points = vec![
        point(&device, now(), 1.0),
        point(&device, now() - 1, 2.0),
        point(&device, now() - 2, 3.0),
    ];
    let mut sender =
        IngestServiceClient::connect(format!("http://{}", ingest.address)).await.unwrap();
    sender.ingest_batch(IngestBatchRequest { batch: Some(batch(points)) }).await.unwrap();
    assert!(
        newest(&collector, "ingest-service", "tidegauge.points.accepted").is_none(),
        "metrics were exported before the end"
    );
    ingest.end().await;
    let accepted = newest(&collector, "ingest-service", "tidegauge.points.accepted")
        .expect("no metrics were exported at the end");
    assert_eq!(accepted.unit, "{point}");
    let Some(Data::Sum(sum)) = &accepted.data else { panic!("{accepted:?} is not a sum") };
    assert!(sum.is_monotonic);
    let values: Vec<_> = sum.data_points.iter().filter_map(|point| point.value).collect();
    assert_eq!(values, [number_data_point::Value::AsInt(3)]);
}

fn newest(collector: &Collector, service: &str, name: &str) -> Option<Metric> {
    let mut metrics = collector.metrics().into_iter().rev();
    metrics
        .find(|(of, metric)| of.contains(service) && metric.name == name)
        .map(|(_, metric)| metric)
}
