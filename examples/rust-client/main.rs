//! Sends a numbered batch twice, as after a lost answer, and prints both acknowledgements:
//! `cargo run --example rust-client -- http://127.0.0.1:50051`.

#![allow(clippy::print_stdout)] // A command-line tool prints its results.

use contract::ingest_service_client::IngestServiceClient;
use contract::{Batch, GetProducerRequest, IngestBatchRequest, Point, Producer};
use tonic::Code;

/// The messages and the client that `build.rs` generates from `proto/`.
#[allow(dead_code, missing_docs, unreachable_pub, clippy::all)] // generated
mod contract {
    tonic::include_proto!("tidegauge.v1");
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or("http://127.0.0.1:50051".to_owned());
    let mut service = IngestServiceClient::connect(url).await?;

    // This client keeps nothing on disk, so each run is a new epoch of the producer.
    let producer_id = "rust-client".to_owned();
    let request = GetProducerRequest { producer_id: producer_id.clone() };
    let epoch = match service.get_producer(request).await {
        Ok(producer) => producer.into_inner().epoch + 1,
        Err(status) if status.code() == Code::NotFound => 1,
        Err(status) => return Err(status.into()),
    };
    let point = Point {
        device_id: "rust-1".to_owned(),
        metric_name: "temperature".to_owned(),
        value: Some(21.5),
        timestamp: Some(std::time::SystemTime::now().into()),
    };
    let batch = Batch {
        producer: Some(Producer { producer_id, epoch }),
        sequence: 1,
        points: vec![point],
        ..Batch::default()
    };
    for _ in 0..2 {
        let request = IngestBatchRequest { batch: Some(batch.clone()) };
        let result = service.ingest_batch(request).await?.into_inner().result.unwrap_or_default();
        println!(
            "epoch {epoch}, sequence {}: {} accepted, {} rejected, duplicate: {}",
            result.sequence, result.accepted_count, result.rejected_count, result.is_duplicate
        );
    }
    Ok(())
}
