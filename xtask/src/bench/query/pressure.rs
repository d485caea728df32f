//! Under pressure: several callers at once, and points that pour in.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::data::{Data, HOUR};
use super::direct::DirectClient;
use super::question::Question;
use super::rounds::{Latencies, PLACES_APART};
use super::service::ServiceClient;
use super::way::{Client, Way, Ways};
use crate::bench::{ingest, step};
use crate::own_database::OwnDatabase;
use crate::release::Kind;
use crate::service::Service;

/// Callers at the same time.
pub(super) const CALLERS: usize = 8;
/// Points a second that pour in.
pub(super) const POURED: f64 = 50_000.0;
/// While points pour in, a million points are asked for in one of so many rounds.
const MILLION_EVERY: usize = 20;

/// Answers per second to the first question: through one connection to the service, and over as many as there are callers to
/// the database.
pub(super) async fn eight_callers(
    service: &Service,
    database: &OwnDatabase,
    data: Data,
    length: Duration,
) -> anyhow::Result<BTreeMap<Way, f64>> {
    let channel = service.connect().await?;
    let (mut through_service, mut direct) = (Vec::new(), Vec::new());
    for _ in 0..CALLERS {
        through_service.push(Client::Service(ServiceClient::new(channel.clone())));
        direct.push(Client::Direct(DirectClient::new(database.connect_to_read().await?)));
    }
    let mut per_second = BTreeMap::new();
    for (way, clients) in [(Way::Service, through_service), (Way::Direct, direct)] {
        let rate = answers_per_second(clients, data, length).await?;
        step(&format!("{CALLERS} callers {:<14} {rate:>9.0} answers/s", way.key()));
        per_second.insert(way, rate);
    }
    Ok(per_second)
}

async fn answers_per_second(
    clients: Vec<Client>,
    data: Data,
    length: Duration,
) -> anyhow::Result<f64> {
    let mut callers = JoinSet::new();
    let began = Instant::now();
    for (caller, mut client) in clients.into_iter().enumerate() {
        callers.spawn(async move {
            let mut answers = 0_u32;
            while began.elapsed() < length {
                let place = caller * 1_000 + answers as usize;
                client.ask(&Question::DayInMinutes.at(data, place)).await?;
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

/// All questions through the service and directly, one after the other, while ingest-service takes points of other devices into
/// the same chunk.
pub(super) async fn while_pouring(
    ways: &mut Ways,
    database: &OwnDatabase,
    data: Data,
    length: Duration,
) -> anyhow::Result<Latencies> {
    step(&format!("asking while {POURED} points/s pour in"));
    let ingest_service = Service::start(Kind::Ingest, database.url()).await?;
    let mut latencies = Latencies::new();
    let poured = Cell::new(false);
    let pouring = async {
        ingest::pour(&ingest_service, data.end - HOUR, POURED, length).await?;
        poured.set(true);
        anyhow::Ok(())
    };
    let asking = async {
        let mut round = 0;
        while !poured.get() {
            ask_once(ways, data, round, &mut latencies).await?;
            round += 1;
        }
        Ok(())
    };
    tokio::try_join!(pouring, asking)?;
    ingest_service.stop().await;
    Ok(latencies)
}

async fn ask_once(
    ways: &mut Ways,
    data: Data,
    round: usize,
    latencies: &mut Latencies,
) -> anyhow::Result<()> {
    for question in Question::ALL {
        if question == Question::MillionPoints && round % MILLION_EVERY != MILLION_EVERY / 2 {
            continue;
        }
        for (at, way) in [Way::Service, Way::Direct].into_iter().enumerate() {
            let elapsed = ways.ask(way, &question.at(data, round + at * PLACES_APART)).await?;
            latencies.entry((question, way)).or_default().push(elapsed);
        }
    }
    Ok(())
}
