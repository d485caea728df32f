//! Kills the service as a process and checks that acknowledged batches survive.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use std::process::Stdio;
use std::time::Duration;

use e2e::{Sql, database_url, now, numbered, point, unique, wait_until_serving};
use shared::proto::v1::IngestBatchRequest;
use shared::proto::v1::ingest_service_client::IngestServiceClient;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tonic::transport::Endpoint;

#[tokio::test]
async fn acked_batches_survive_a_killed_service() {
    let mut sql = Sql::connect().await;
    let device = unique("killed");
    let began = now(); // fixed, so that a resend has the same content
    let mut acked = 0_u64;
    for round in 0..3_u64 {
        let mut service = Command::new(env!("CARGO_BIN_EXE_ingest-service"))
            .args(["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"])
            .env("DATABASE_URL", database_url())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(service.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap();
        let channel =
            Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        wait_until_serving(&channel, "tidegauge.v1.IngestService").await;
        let mut client = IngestServiceClient::new(channel);
        // Continue after the last acknowledgement: the batch in flight at the kill is sent again.
        let kill_at = acked + 20;
        while acked < kill_at {
            let batch =
                Some(numbered(&device, 1, acked + 1, vec![point(&device, began, 1.0); 100]));
            client.ingest_batch(IngestBatchRequest { batch }).await.unwrap();
            acked += 1;
        }
        let batch = Some(numbered(&device, 1, acked + 1, vec![point(&device, began, 1.0); 100]));
        let in_flight =
            tokio::spawn(async move { client.ingest_batch(IngestBatchRequest { batch }).await });
        tokio::time::sleep(Duration::from_millis(round)).await;
        service.kill().await.unwrap();
        let _ = in_flight.await.unwrap(); // sent again, whether it was acknowledged or not
        let stored = sql.count(&device).await;
        assert!(
            stored == acked * 100 || stored == (acked + 1) * 100,
            "{stored} stored, {acked} batches acknowledged"
        );
    }
}
