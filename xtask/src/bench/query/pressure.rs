//! Queries under pressure: from several concurrent callers, and during ingest.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::data::{Dataset, HOUR};
use super::direct::DirectClient;
use super::latencies::AnswerLatencies;
use super::paths::{QueryClient, QueryPath, QueryPaths};
use super::question::{PLACES_APART, Question};
use super::service::ServiceClient;
use crate::bench::{ingest, step};
use crate::own_database::OwnDatabase;
use crate::release::Kind;
use crate::service::Service;

/// Number of concurrent callers.
pub(super) const CALLERS: usize = 8;
/// Points per second that are ingested during the queries.
pub(super) const INGEST_RATE: f64 = 50_000.0;
/// During ingest, only one in this many rounds queries a million points.
const MILLION_EVERY: usize = 20;

/// Returns answers per second to the first question, with several callers. They share one
/// connection to the service. To the database, each caller has its own.
pub(super) async fn concurrent_callers(
    service: &Service,
    database: &OwnDatabase,
    data: Dataset,
    length: Duration,
) -> anyhow::Result<BTreeMap<QueryPath, f64>> {
    let channel = service.connect().await?;
    let mut through_service = Vec::new();
    let mut direct = Vec::new();
    for _ in 0..CALLERS {
        through_service.push(QueryClient::Service(ServiceClient::new(channel.clone())));
        direct.push(QueryClient::Direct(DirectClient::new(database.connect_to_read().await?)));
    }
    let mut per_second = BTreeMap::new();
    for (path, clients) in [(QueryPath::Service, through_service), (QueryPath::Direct, direct)] {
        let rate = answers_per_second(clients, data, length).await?;
        step(&format!("{CALLERS} callers {:<14} {rate:>9.0} answers/s", path.key()));
        per_second.insert(path, rate);
    }
    Ok(per_second)
}

async fn answers_per_second(
    clients: Vec<QueryClient>,
    data: Dataset,
    length: Duration,
) -> anyhow::Result<f64> {
    let mut callers = JoinSet::new();
    let began = Instant::now();
    for (caller, mut client) in clients.into_iter().enumerate() {
        callers.spawn(async move {
            let mut answers = 0_u32;
            while began.elapsed() < length {
                let place = caller * 1_000 + answers as usize;
                client.query(&Question::DayInMinutes.at(data, place)).await?;
                answers += 1;
            }
            anyhow::Ok(answers)
        });
    }
    let mut answers = 0;
    while let Some(counted) = callers.join_next().await {
        answers += counted??;
    }
    Ok(f64::from(answers) / began.elapsed().as_secs_f64())
}

/// Measures all questions through the service and directly, one after the other. Meanwhile,
/// ingest-service stores points of other devices in the same chunk.
pub(super) async fn during_ingest(
    paths: &mut QueryPaths,
    database: &OwnDatabase,
    data: Dataset,
    length: Duration,
) -> anyhow::Result<AnswerLatencies> {
    step(&format!("querying during ingest of {INGEST_RATE} points/s"));
    let ingest_service = Service::start(Kind::Ingest, database.url()).await?;
    let mut latencies = AnswerLatencies::new();
    let finished = Cell::new(false);
    let ingesting = async {
        ingest::ingest_at_rate(&ingest_service, data.end - HOUR, INGEST_RATE, length).await?;
        finished.set(true);
        anyhow::Ok(())
    };
    let querying = async {
        let mut round = 0;
        while !finished.get() {
            query_once(paths, data, round, &mut latencies).await?;
            round += 1;
        }
        Ok(())
    };
    tokio::try_join!(ingesting, querying)?;
    ingest_service.stop().await;
    Ok(latencies)
}

async fn query_once(
    paths: &mut QueryPaths,
    data: Dataset,
    round: usize,
    latencies: &mut AnswerLatencies,
) -> anyhow::Result<()> {
    for question in Question::ALL {
        if question == Question::MillionPoints && round % MILLION_EVERY != MILLION_EVERY / 2 {
            continue;
        }
        for (at, path) in [QueryPath::Service, QueryPath::Direct].into_iter().enumerate() {
            let elapsed = paths.query(path, &question.at(data, round + at * PLACES_APART)).await?;
            latencies.entry((question, path)).or_default().push(elapsed);
        }
    }
    Ok(())
}
