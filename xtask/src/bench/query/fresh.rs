//! The six questions about points that were written just before, for the measurement of sustained
//! ingest.

use std::time::Duration;

use tonic::{Code, Status};

use super::data::{DAY, Dataset, HOUR, SECOND, Scale, fleet_prefix, machine_id};
use super::load;
use super::question::{PlacedQuestion, Question};
use super::service::ServiceClient;
use crate::bench::numbers::median;
use crate::bench::step;
use crate::own_database::OwnDatabase;
use crate::service::Service;

/// Repetitions of each question except the one for a million points.
const REPETITIONS: usize = 20;
/// Repetitions of the question for a million points.
const MILLION_REPETITIONS: usize = 3;
const MILLION: f64 = 1e6;

/// Median latency of each question in milliseconds, by its key. `None` if query-service gave up,
/// after `TIDEGAUGE_QUERY_TIMEOUT` (30 s).
pub(in crate::bench) type QuestionTimes = Vec<(&'static str, Option<f64>)>;

/// Stores a month of points of the first 1,001 devices and materialises the rollups.
pub(in crate::bench) async fn fill_history(database: &OwnDatabase, now: i64) -> anyhow::Result<()> {
    let data = Dataset::new(Scale::Once, now);
    step(&format!("storing {} points of history", data.points()));
    load::fill(database, data).await
}

/// Returns the id of a device that sends points. The first devices are those with history.
pub(in crate::bench) fn sustained_device(device: usize) -> String {
    Dataset::new(Scale::Once, 0).device_id(device)
}

/// Measures the questions about the time up to `end`, in microseconds since the Unix epoch. Before
/// it, each series received `points_per_second` for `length`.
pub(in crate::bench) async fn query_until(
    service: &Service,
    end: i64,
    points_per_second: f64,
    length: Duration,
) -> anyhow::Result<QuestionTimes> {
    let mut client = ServiceClient::new(service.connect().await?);
    let mut times = Vec::new();
    for question in Question::ALL {
        let million = question == Question::MillionPoints;
        let placed =
            place_at_end(question, end, length.as_secs_f64().min(MILLION / points_per_second));
        let repetitions = if million { MILLION_REPETITIONS } else { REPETITIONS };
        let time = warm_median(&mut client, &placed, repetitions).await?;
        step(&match time {
            Some(time) => format!("{:<24} p50 {time:>9.2} ms", question.key()),
            None => format!("{:<24} timed out", question.key()),
        });
        times.push((question.key(), time));
    }
    Ok(times)
}

/// Returns the median latency in milliseconds, without the first query; `None` after a timeout.
async fn warm_median(
    client: &mut ServiceClient,
    placed: &PlacedQuestion,
    repetitions: usize,
) -> anyhow::Result<Option<f64>> {
    let mut elapsed = Vec::new();
    for _ in 0..=repetitions {
        match client.query(placed).await {
            Ok(timed) => elapsed.push(timed.elapsed.as_secs_f64() * 1_000.0),
            Err(error) if is_timeout(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(median(&elapsed[1..])))
}

fn is_timeout(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Status>().is_some_and(|status| status.code() == Code::DeadlineExceeded)
}

/// Returns a question about the newest points. Raw points are queried for the last `raw_seconds`.
fn place_at_end(question: Question, end: i64, raw_seconds: f64) -> PlacedQuestion {
    #[allow(clippy::cast_possible_truncation)] // a few minutes
    let raw = (raw_seconds * SECOND as f64) as i64;
    let (device, length) = match question {
        Question::DayInMinutes => (machine_id(0), DAY),
        Question::MonthInHours => (machine_id(0), 30 * DAY),
        Question::Newest | Question::FleetAverage => (fleet_prefix(0), DAY),
        Question::Anomalies => (machine_id(0), HOUR),
        Question::MillionPoints => (machine_id(0), raw),
    };
    PlacedQuestion { question, device, start: end - length, end }
}
