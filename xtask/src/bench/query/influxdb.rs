//! Asks InfluxDB in its own language, over one connection.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use http::Method;
use prost::bytes::Bytes;
use serde::Deserialize;
use url::form_urlencoded::byte_serialize;

use super::answer::{Answer, Timed};
use super::data::METRIC;
use super::question::{Asked, Question};
use crate::bench::http::Http;

pub(super) struct InfluxClient(Http);

#[derive(Deserialize)]
struct Response {
    results: Vec<Statement>,
}

#[derive(Deserialize)]
struct Statement {
    #[serde(default)]
    series: Vec<Series>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    tags: Tags,
    /// Time in milliseconds, then the fields.
    values: Vec<Vec<Option<f64>>>,
}

#[derive(Default, Deserialize)]
struct Tags {
    #[serde(default)]
    device_id: String,
}

impl InfluxClient {
    pub(super) fn new(http: Http) -> Self {
        Self(http)
    }

    pub(super) async fn ask(&mut self, asked: &Asked) -> anyhow::Result<Timed> {
        let (device, within) = (&asked.device, within(asked.start, asked.end));
        let query = match asked.question {
            Question::DayInMinutes => return self.buckets(asked, "1m").await,
            Question::MonthInHours => return self.buckets(asked, "1h").await,
            Question::Anomalies => return self.anomalies(asked).await,
            Question::Newest => {
                format!(
                    "SELECT last(value) FROM {METRIC} WHERE device_id =~ /^{device}/ GROUP BY device_id"
                )
            }
            Question::FleetAverage => {
                format!(
                    "SELECT mean(value) FROM {METRIC} WHERE device_id =~ /^{device}/ AND {within} GROUP BY time(1h)"
                )
            }
            Question::MillionPoints => {
                format!("SELECT value FROM {METRIC} WHERE device_id = '{device}' AND {within}")
            }
        };
        let (elapsed, mut series) = self.select(&query).await?;
        series.sort_by(|one, other| one.tags.device_id.cmp(&other.tags.device_id));
        Ok(Timed { elapsed, answer: answer(&series, 1)? })
    }

    async fn buckets(&mut self, asked: &Asked, width: &str) -> anyhow::Result<Timed> {
        let (device, within) = (&asked.device, within(asked.start, asked.end));
        let query = format!(
            "SELECT mean(value), min(value), max(value) FROM {METRIC} WHERE device_id = '{device}' AND {within} \
             GROUP BY time({width})"
        );
        let (elapsed, series) = self.select(&query).await?;
        Ok(Timed { elapsed, answer: answer(&series, 3)? })
    }

    /// First the baseline, then what lies outside of it.
    async fn anomalies(&mut self, asked: &Asked) -> anyhow::Result<Timed> {
        let device = &asked.device;
        let before = within(asked.baseline_start(), asked.start);
        let query = format!(
            "SELECT mean(value), stddev(value) FROM {METRIC} WHERE device_id = '{device}' AND {before}"
        );
        let (first, series) = self.select(&query).await?;
        let baseline = answer(&series, 2)?;
        let [mean, stddev] = [0, 1]
            .map(|column: usize| baseline.columns[column].first().copied().unwrap_or(f64::NAN));
        let (lower, upper) = (mean - 3.0 * stddev, mean + 3.0 * stddev);
        let within = within(asked.start, asked.end);
        let query = format!(
            "SELECT value FROM {METRIC} WHERE device_id = '{device}' AND {within} \
             AND (value < {lower} OR value > {upper})"
        );
        let (second, series) = self.select(&query).await?;
        let found = answer(&series, 1)?;
        Ok(Timed {
            elapsed: first + second,
            answer: Answer { scalars: vec![mean, stddev], ..found },
        })
    }

    async fn select(&mut self, query: &str) -> anyhow::Result<(Duration, Vec<Series>)> {
        let query: String = byte_serialize(query.as_bytes()).collect();
        let path = format!("/query?db=bench&epoch=ms&q={query}");
        let began = Instant::now();
        let body = self.0.call(Method::GET, &path, Bytes::new()).await?;
        let response: Response = serde_json::from_slice(&body)?;
        let elapsed = began.elapsed();
        let statement = response.results.into_iter().next().context("InfluxDB gave no result")?;
        match statement.error {
            Some(error) => bail!("InfluxDB: {error}"),
            None => Ok((elapsed, statement.series)),
        }
    }
}

/// Times are whole milliseconds.
fn within(start: i64, end: i64) -> String {
    format!("time >= {}ms AND time < {}ms", start / 1_000, end / 1_000)
}

fn answer(series: &[Series], columns: usize) -> anyhow::Result<Answer> {
    let mut answer = Answer { columns: vec![Vec::new(); columns], ..Answer::default() };
    for row in series.iter().flat_map(|series| &series.values) {
        let [Some(time), fields @ ..] = &row[..] else { bail!("InfluxDB gave a row without time") };
        #[allow(clippy::cast_possible_truncation)] // whole milliseconds of this century
        answer.times.push(*time as i64 * 1_000);
        for (column, field) in answer.columns.iter_mut().zip(fields) {
            column.push(field.unwrap_or(f64::NAN));
        }
    }
    Ok(answer)
}
