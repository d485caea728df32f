//! The paths of queries. Each question is sent on all of them in turn.

use std::path::Path;

use anyhow::Context as _;

use super::answer::{Answer, TimedAnswer};
use super::data::Dataset;
use super::direct::DirectClient;
use super::influxdb::InfluxClient;
use super::question::{PlacedQuestion, Question};
use super::service::ServiceClient;
use super::victoriametrics::VictoriaClient;
use crate::bench::rival::{Rival, RivalServer};
use crate::bench::step;
use crate::own_database::OwnDatabase;
use crate::service::Service;

/// Greatest relative difference between values that count as equal.
const TOLERANCE: f64 = 1e-9;
/// Number of places at which the answers of all paths are compared before they are measured.
const COMPARED_PLACES: usize = 8;

/// Path on which questions are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum QueryPath {
    Service,
    Direct,
    InfluxDb,
    VictoriaMetrics,
}

impl QueryPath {
    pub(super) const OWN: [Self; 2] = [Self::Service, Self::Direct];
    pub(super) const RIVALS: [Self; 2] = [Self::InfluxDb, Self::VictoriaMetrics];

    /// Returns the prefix of the path's keys in the output.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Direct => "sql",
            Self::InfluxDb => "influxdb",
            Self::VictoriaMetrics => "victoriametrics",
        }
    }
}

/// Client of one path.
pub(super) enum QueryClient {
    Service(ServiceClient),
    Direct(DirectClient),
    InfluxDb(InfluxClient),
    VictoriaMetrics(VictoriaClient),
}

impl QueryClient {
    /// Sends a question. Fails unless the answer has the required number of rows.
    pub(super) async fn query(&mut self, placed: &PlacedQuestion) -> anyhow::Result<TimedAnswer> {
        let timed = match self {
            Self::Service(client) => client.query(placed).await,
            Self::Direct(client) => client.query(placed).await,
            Self::InfluxDb(client) => client.query(placed).await,
            Self::VictoriaMetrics(client) => client.query(placed).await,
        }?;
        timed.answer.check_rows(placed)?;
        Ok(timed)
    }
}

/// Connections of all paths to the same points.
pub(super) struct QueryPaths {
    clients: Vec<(QueryPath, QueryClient)>,
}

impl QueryPaths {
    /// Connects to query-service and to the database.
    pub(super) async fn own(service: &Service, database: &OwnDatabase) -> anyhow::Result<Self> {
        let service = QueryClient::Service(ServiceClient::new(service.connect().await?));
        let direct = QueryClient::Direct(DirectClient::new(database.connect_to_read().await?));
        Ok(Self { clients: vec![(QueryPath::Service, service), (QueryPath::Direct, direct)] })
    }

    pub(super) async fn add(&mut self, server: &RivalServer) -> anyhow::Result<()> {
        let http = server.connect().await?;
        self.clients.push(match server.rival {
            Rival::InfluxDb => {
                (QueryPath::InfluxDb, QueryClient::InfluxDb(InfluxClient::new(http)))
            }
            Rival::VictoriaMetrics => (
                QueryPath::VictoriaMetrics,
                QueryClient::VictoriaMetrics(VictoriaClient::new(http)),
            ),
        });
        Ok(())
    }

    /// Returns all connected paths.
    pub(super) fn all(&self) -> Vec<QueryPath> {
        self.clients.iter().map(|(path, _)| *path).collect()
    }

    /// Sends a question on all paths at the same places. Fails unless all answers are equal.
    pub(super) async fn compare(
        &mut self,
        question: Question,
        data: Dataset,
    ) -> anyhow::Result<()> {
        let places = if question == Question::MillionPoints { 1 } else { COMPARED_PLACES };
        for place in 0..places {
            let placed = question.at(data, place);
            let mut first: Option<(QueryPath, Answer)> = None;
            for (path, client) in &mut self.clients {
                let timed = client
                    .query(&placed)
                    .await
                    .with_context(|| format!("{} on the path {path:?}", question.key()))?;
                let Some((other, expected)) = &first else {
                    first = Some((*path, timed.answer));
                    continue;
                };
                let equal = expected.check_equal(&timed.answer, TOLERANCE);
                equal.with_context(|| {
                    format!("{other:?} and {path:?} return different answers to {placed:?}")
                })?;
            }
        }
        Ok(())
    }

    /// Returns the latency of one path's answer in milliseconds.
    pub(super) async fn query(
        &mut self,
        path: QueryPath,
        placed: &PlacedQuestion,
    ) -> anyhow::Result<f64> {
        let (_, client) = self
            .clients
            .iter_mut()
            .find(|(other, _)| *other == path)
            .context("the path is not connected")?;
        let timed = client.query(placed).await.with_context(|| format!("{path:?}: {placed:?}"))?;
        Ok(timed.elapsed.as_secs_f64() * 1_000.0)
    }
}

/// Starts each installed rival and writes the points to it.
pub(super) async fn start_rivals(
    data: Dataset,
    scratch: &Path,
) -> anyhow::Result<Vec<RivalServer>> {
    let mut servers = Vec::new();
    for rival in Rival::ALL.into_iter().filter(|rival| rival.is_installed()) {
        step(&format!("writing the same points to {}", rival.name()));
        let server = RivalServer::start(rival, scratch).await?;
        server.post(data.lines()).await?;
        server.wait_until_visible(data.points()).await?;
        servers.push(server);
    }
    Ok(servers)
}
