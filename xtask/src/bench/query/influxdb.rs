//! Queries InfluxDB in InfluxQL, over one connection.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use http::Method;
use prost::bytes::Bytes;
use serde::Deserialize;
use url::form_urlencoded::byte_serialize;

use super::answer::{Answer, TimedAnswer};
use super::data::METRIC;
use super::question::{PlacedQuestion, Question};
use crate::bench::http::HttpConnection;

pub(super) struct InfluxClient(HttpConnection);

#[derive(Deserialize)]
struct InfluxResponse {
    results: Vec<InfluxStatement>,
}

#[derive(Deserialize)]
struct InfluxStatement {
    #[serde(default)]
    series: Vec<InfluxSeries>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct InfluxSeries {
    #[serde(default)]
    tags: InfluxTags,
    /// Time in milliseconds, followed by the fields.
    values: Vec<Vec<Option<f64>>>,
}

#[derive(Default, Deserialize)]
struct InfluxTags {
    #[serde(default)]
    device_id: String,
}

impl InfluxClient {
    pub(super) fn new(http: HttpConnection) -> Self {
        Self(http)
    }

    pub(super) async fn query(&mut self, placed: &PlacedQuestion) -> anyhow::Result<TimedAnswer> {
        let device = &placed.device;
        let within = within(placed.start, placed.end);
        let query = match placed.question {
            Question::DayInMinutes => return self.buckets(placed, "1m").await,
            Question::MonthInHours => return self.buckets(placed, "1h").await,
            Question::Anomalies => return self.anomalies(placed).await,
            Question::Newest => {
                format!(
                    "SELECT last(value) FROM {METRIC} WHERE device_id =~ /^{device}/ \
                     GROUP BY device_id"
                )
            }
            Question::FleetAverage => {
                format!(
                    "SELECT mean(value) FROM {METRIC} WHERE device_id =~ /^{device}/ AND {within} \
                     GROUP BY time(1h)"
                )
            }
            Question::MillionPoints => {
                format!("SELECT value FROM {METRIC} WHERE device_id = '{device}' AND {within}")
            }
        };
        let (elapsed, mut series) = self.select(&query).await?;
        series.sort_by(|one, other| one.tags.device_id.cmp(&other.tags.device_id));
        Ok(TimedAnswer { elapsed, answer: answer(&series, 1)? })
    }

    async fn buckets(
        &mut self,
        placed: &PlacedQuestion,
        width: &str,
    ) -> anyhow::Result<TimedAnswer> {
        let device = &placed.device;
        let within = within(placed.start, placed.end);
        let query = format!(
            "SELECT mean(value), min(value), max(value) FROM {METRIC} \
             WHERE device_id = '{device}' AND {within} \
             GROUP BY time({width})"
        );
        let (elapsed, series) = self.select(&query).await?;
        Ok(TimedAnswer { elapsed, answer: answer(&series, 3)? })
    }

    /// Queries the baseline first, then the points outside of it.
    async fn anomalies(&mut self, placed: &PlacedQuestion) -> anyhow::Result<TimedAnswer> {
        let device = &placed.device;
        let before = within(placed.baseline_start(), placed.start);
        let query = format!(
            "SELECT mean(value), stddev(value) FROM {METRIC} \
             WHERE device_id = '{device}' AND {before}"
        );
        let (first, series) = self.select(&query).await?;
        let baseline = answer(&series, 2)?;
        let [mean, stddev] = [0, 1]
            .map(|column: usize| baseline.columns[column].first().copied().unwrap_or(f64::NAN));
        let lower = mean - 3.0 * stddev;
        let upper = mean + 3.0 * stddev;
        let within = within(placed.start, placed.end);
        let query = format!(
            "SELECT value FROM {METRIC} WHERE device_id = '{device}' AND {within} \
             AND (value < {lower} OR value > {upper})"
        );
        let (second, series) = self.select(&query).await?;
        let found = answer(&series, 1)?;
        Ok(TimedAnswer {
            elapsed: first + second,
            answer: Answer { scalars: vec![mean, stddev], ..found },
        })
    }

    async fn select(&mut self, query: &str) -> anyhow::Result<(Duration, Vec<InfluxSeries>)> {
        let query: String = byte_serialize(query.as_bytes()).collect();
        let path = format!("/query?db=bench&epoch=ms&q={query}");
        let began = Instant::now();
        let body = self.0.call(Method::GET, &path, Bytes::new()).await?;
        let response: InfluxResponse = serde_json::from_slice(&body)?;
        let elapsed = began.elapsed();
        let statement =
            response.results.into_iter().next().context("InfluxDB returned no result")?;
        match statement.error {
            Some(error) => bail!("InfluxDB: {error}"),
            None => Ok((elapsed, statement.series)),
        }
    }
}

/// Returns the condition for [start, end), which are whole milliseconds.
fn within(start: i64, end: i64) -> String {
    format!("time >= {}ms AND time < {}ms", start / 1_000, end / 1_000)
}

fn answer(series: &[InfluxSeries], columns: usize) -> anyhow::Result<Answer> {
    let mut answer = Answer { columns: vec![Vec::new(); columns], ..Answer::default() };
    for row in series.iter().flat_map(|series| &series.values) {
        let [Some(time), fields @ ..] = &row[..] else {
            bail!("InfluxDB returned a row without time")
        };
        #[allow(clippy::cast_possible_truncation)] // whole milliseconds, far below 2^53
        answer.times.push(*time as i64 * 1_000);
        for (column, field) in answer.columns.iter_mut().zip(fields) {
            column.push(field.unwrap_or(f64::NAN));
        }
    }
    Ok(answer)
}
