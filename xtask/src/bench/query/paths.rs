//! The ways of asking, side by side: each question goes to all of them in turn.

use std::path::Path;

use anyhow::Context as _;

use super::answer::{Answer, Timed};
use super::data::Data;
use super::direct::DirectClient;
use super::influxdb::InfluxClient;
use super::question::{Asked, Question};
use super::service::ServiceClient;
use super::victoriametrics::VictoriaClient;
use crate::bench::rival::{Rival, RivalServer};
use crate::bench::step;
use crate::own_database::OwnDatabase;
use crate::service::Service;

/// How far answers may be apart, relative to the larger one.
const TOLERANCE: f64 = 1e-9;
/// Places where all ways must say the same before they are measured.
const COMPARED_PLACES: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    Service,
    Direct,
    InfluxDb,
    VictoriaMetrics,
}

impl Way {
    pub(super) const OWN: [Self; 2] = [Self::Service, Self::Direct];
    pub(super) const RIVALS: [Self; 2] = [Self::InfluxDb, Self::VictoriaMetrics];

    /// What its keys in the output begin with.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Direct => "sql",
            Self::InfluxDb => "influxdb",
            Self::VictoriaMetrics => "victoriametrics",
        }
    }
}

/// Something that can be asked.
pub(super) enum Client {
    Service(ServiceClient),
    Direct(DirectClient),
    InfluxDb(InfluxClient),
    VictoriaMetrics(VictoriaClient),
}

impl Client {
    /// The answer has as many rows as it must have.
    pub(super) async fn ask(&mut self, asked: &Asked) -> anyhow::Result<Timed> {
        let timed = match self {
            Self::Service(client) => client.ask(asked).await,
            Self::Direct(client) => client.ask(asked).await,
            Self::InfluxDb(client) => client.ask(asked).await,
            Self::VictoriaMetrics(client) => client.ask(asked).await,
        }?;
        timed.answer.check_rows(asked)?;
        Ok(timed)
    }
}

/// A connection of each way to the same points.
pub(super) struct Ways {
    clients: Vec<(Way, Client)>,
}

impl Ways {
    /// query-service and the database.
    pub(super) async fn own(service: &Service, database: &OwnDatabase) -> anyhow::Result<Self> {
        let service = Client::Service(ServiceClient::new(service.connect().await?));
        let direct = Client::Direct(DirectClient::new(database.connect_to_read().await?));
        Ok(Self { clients: vec![(Way::Service, service), (Way::Direct, direct)] })
    }

    pub(super) async fn add(&mut self, server: &RivalServer) -> anyhow::Result<()> {
        let http = server.connect().await?;
        self.clients.push(match server.rival {
            Rival::InfluxDb => (Way::InfluxDb, Client::InfluxDb(InfluxClient::new(http))),
            Rival::VictoriaMetrics => {
                (Way::VictoriaMetrics, Client::VictoriaMetrics(VictoriaClient::new(http)))
            }
        });
        Ok(())
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Way> {
        self.clients.iter().map(|(way, _)| *way).collect()
    }

    /// Asks all at the same places and compares what they say.
    pub(super) async fn compare(&mut self, question: Question, data: Data) -> anyhow::Result<()> {
        let places = if question == Question::MillionPoints { 1 } else { COMPARED_PLACES };
        for place in 0..places {
            let asked = question.at(data, place);
            let mut first: Option<(Way, Answer)> = None;
            for (way, client) in &mut self.clients {
                let timed = client
                    .ask(&asked)
                    .await
                    .with_context(|| format!("{} by {way:?}", question.key()))?;
                let Some((other, expected)) = &first else {
                    first = Some((*way, timed.answer));
                    continue;
                };
                let equal = expected.check_equal(&timed.answer, TOLERANCE);
                equal.with_context(|| {
                    format!("{other:?} and {way:?} do not say the same of {asked:?}")
                })?;
            }
        }
        Ok(())
    }

    /// Milliseconds of one way's answer.
    pub(super) async fn ask(&mut self, way: Way, asked: &Asked) -> anyhow::Result<f64> {
        let (_, client) =
            self.clients.iter_mut().find(|(other, _)| *other == way).context("no such way")?;
        let timed = client.ask(asked).await.with_context(|| format!("{way:?}: {asked:?}"))?;
        Ok(timed.elapsed.as_secs_f64() * 1_000.0)
    }
}

/// Starts every rival that is installed, and gives it the points.
pub(super) async fn start_rivals(data: Data, scratch: &Path) -> anyhow::Result<Vec<RivalServer>> {
    let mut servers = Vec::new();
    for rival in Rival::ALL.into_iter().filter(|rival| rival.is_installed()) {
        step(&format!("the same points into {}", rival.name()));
        let server = RivalServer::start(rival, scratch).await?;
        server.post(data.lines()).await?;
        server.wait_until_visible(data.points()).await?;
        servers.push(server);
    }
    Ok(servers)
}
