//! gzip and zstd in both directions, on both services.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use e2e::{Services, Sql, batch, now, point, selector, series, unique};
use shared::proto::v1::{
    Batch, IngestBatchRequest, IngestRequest, IngestWithAcksRequest, QueryRangeRequest,
};
use tonic::Response;
use tonic::codec::CompressionEncoding;

/// Number of points in each batch. They compress well.
const POINTS: u16 = 20_000;

fn encoding<T>(answer: &Response<T>) -> Option<&str> {
    answer.metadata().get("grpc-encoding").map(|encoding| encoding.to_str().unwrap())
}

fn column(device: &str, began: i64) -> Batch {
    let times = (0..POINTS).map(|index| began + i64::from(index)).collect();
    Batch {
        series: vec![series(device, times, vec![20.5; usize::from(POINTS)])],
        ..Default::default()
    }
}

async fn everything_is_compressed(with: CompressionEncoding, name: &str) {
    let services = Services::start().await;
    let device = unique("compressed");
    let began = now() - 3_600_000_000;
    let mut ingest = services.ingest.clone().send_compressed(with).accept_compressed(with);
    let at = |index: i64| Some(column(&device, began + index * i64::from(POINTS)));

    let answer = ingest.ingest_batch(IngestBatchRequest { batch: at(0) }).await.unwrap();
    assert_eq!(encoding(&answer), Some(name));
    assert_eq!(answer.into_inner().result.unwrap().accepted_count, u64::from(POINTS));

    let answer = ingest.ingest(tokio_stream::iter([IngestRequest { batch: at(1) }])).await.unwrap();
    assert_eq!(encoding(&answer), Some(name));
    assert_eq!(answer.into_inner().accepted_count, u64::from(POINTS));

    let requests = tokio_stream::iter([2, 3].map(at).map(|batch| IngestWithAcksRequest { batch }));
    let answer = ingest.ingest_with_acks(requests).await.unwrap();
    assert_eq!(encoding(&answer), Some(name));
    let mut acks = answer.into_inner();
    for _ in 0..2 {
        assert_eq!(
            acks.message().await.unwrap().unwrap().result.unwrap().accepted_count,
            u64::from(POINTS)
        );
    }
    assert!(acks.message().await.unwrap().is_none());
    assert_eq!(Sql::connect().await.count(&device).await, 4 * u64::from(POINTS));

    let mut query = services.query.clone().send_compressed(with).accept_compressed(with);
    let start = e2e::at(began);
    let end = e2e::at(began + 4 * i64::from(POINTS));
    let request =
        QueryRangeRequest { selectors: vec![selector(&device)], start, end, max_points: 0 };
    let answer = query.query_range(request).await.unwrap();
    assert_eq!(encoding(&answer), Some(name));
    let mut frames = answer.into_inner();
    let mut rows = 0;
    while let Some(frame) = frames.message().await.unwrap() {
        if let Some(shared::proto::v1::query_range_response::Frame::Points(points)) = frame.frame {
            rows += points.values.len();
        }
    }
    assert_eq!(rows, 4 * usize::from(POINTS));
}

#[tokio::test]
async fn gzip_is_taken_and_answered_with() {
    everything_is_compressed(CompressionEncoding::Gzip, "gzip").await;
}

#[tokio::test]
async fn zstd_is_taken_and_answered_with() {
    everything_is_compressed(CompressionEncoding::Zstd, "zstd").await;
}

#[tokio::test]
async fn a_client_that_only_says_that_it_takes_gzip_is_answered_plainly() {
    let services = Services::start().await;
    let mut ingest = services.ingest.clone().accept_compressed(CompressionEncoding::Gzip);
    let batch = Some(batch(vec![point(&unique("plain"), now(), 1.0)]));
    let answer = ingest.ingest_batch(IngestBatchRequest { batch }).await.unwrap();
    assert_eq!(encoding(&answer), None);
}
