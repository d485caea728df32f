//! Queries VictoriaMetrics in MetricsQL, over one connection.
//!
//! Its windows exclude their start and include their end: (t - width, t]. The time t is therefore
//! the last millisecond of a bucket.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use http::Method;
use prost::bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::form_urlencoded::byte_serialize;

use super::answer::{Answer, TimedAnswer};
use super::data::{METRIC, SECOND};
use super::question::{PlacedQuestion, Question};
use crate::bench::http::HttpConnection;

pub(super) struct VictoriaClient(HttpConnection);

#[derive(Deserialize)]
struct VictoriaResponse {
    data: VictoriaData,
}

#[derive(Deserialize)]
struct VictoriaData {
    result: Vec<VictoriaSeries>,
}

#[derive(Deserialize)]
struct VictoriaSeries {
    metric: VictoriaLabels,
    /// Seconds and value as text, in the answer to a range query.
    #[serde(default)]
    values: Vec<(f64, String)>,
    /// Seconds and value as text, in the answer to an instant query.
    value: Option<(f64, String)>,
}

#[derive(Default, Deserialize)]
struct VictoriaLabels {
    #[serde(default)]
    device_id: String,
    #[serde(default)]
    rollup: String,
    #[serde(default)]
    statistic: String,
}

/// One line of an export.
#[derive(Deserialize)]
struct ExportedSeries {
    values: Vec<f64>,
    /// Milliseconds since the Unix epoch.
    timestamps: Vec<i64>,
}

impl VictoriaClient {
    pub(super) fn new(http: HttpConnection) -> Self {
        Self(http)
    }

    pub(super) async fn query(&mut self, placed: &PlacedQuestion) -> anyhow::Result<TimedAnswer> {
        match placed.question {
            Question::DayInMinutes => self.buckets(placed, "1m").await,
            Question::MonthInHours => self.buckets(placed, "1h").await,
            Question::Newest => self.newest(placed).await,
            Question::FleetAverage => self.fleet_average(placed).await,
            Question::Anomalies => self.anomalies(placed).await,
            Question::MillionPoints => {
                let (elapsed, points) = self.export(placed).await?;
                Ok(TimedAnswer { elapsed, answer: answer(points) })
            }
        }
    }

    async fn buckets(
        &mut self,
        placed: &PlacedQuestion,
        width: &str,
    ) -> anyhow::Result<TimedAnswer> {
        let (elapsed, series) =
            self.range(&format!("rollup({}[{width}])", one(placed)), placed).await?;
        let of = |rollup: &str| {
            let series = series.iter().find(|series| series.metric.rollup == rollup);
            series.map(numbers).with_context(|| format!("VictoriaMetrics returned no {rollup}"))
        };
        let columns = vec![of("avg")??, of("min")??, of("max")??];
        Ok(TimedAnswer { elapsed, answer: Answer { columns, ..Answer::default() } })
    }

    async fn fleet_average(&mut self, placed: &PlacedQuestion) -> anyhow::Result<TimedAnswer> {
        let (elapsed, series) =
            self.range(&format!("avg(avg_over_time({}[1h]))", fleet(placed)), placed).await?;
        let averages = numbers(series.first().context("VictoriaMetrics returned no average")?)?;
        Ok(TimedAnswer { elapsed, answer: Answer { columns: vec![averages], ..Answer::default() } })
    }

    async fn newest(&mut self, placed: &PlacedQuestion) -> anyhow::Result<TimedAnswer> {
        let query = format!("last_over_time({}[1d])", fleet(placed));
        let (elapsed, mut series) = self.instant(&query, placed.end).await?;
        series.sort_by(|one, other| one.metric.device_id.cmp(&other.metric.device_id));
        let values = series.iter().map(number).collect::<anyhow::Result<_>>()?;
        Ok(TimedAnswer { elapsed, answer: Answer { columns: vec![values], ..Answer::default() } })
    }

    /// Queries the baseline first, then the points of the window, which are filtered here.
    /// VictoriaMetrics returns the population's standard deviation, which is converted to the
    /// sample's.
    async fn anomalies(&mut self, placed: &PlacedQuestion) -> anyhow::Result<TimedAnswer> {
        let series = one(placed);
        let statistic =
            |name| format!("label_set({name}_over_time({series}[1d]), \"statistic\", \"{name}\")");
        let query =
            format!("union({}, {}, {})", statistic("avg"), statistic("stddev"), statistic("count"));
        let (first, series) = self.instant(&query, placed.start).await?;
        let of = |name: &str| {
            let series = series.iter().find(|series| series.metric.statistic == name);
            number(series.with_context(|| format!("VictoriaMetrics returned no {name}"))?)
        };
        let mean = of("avg")?;
        let deviation = of("stddev")?;
        let count = of("count")?;
        let (second, mut points) = self.export(placed).await?;
        let began = Instant::now();
        let stddev = deviation * (count / (count - 1.0)).sqrt();
        points.retain(|(_, value)| (value - mean).abs() > 3.0 * stddev);
        let elapsed = first + second + began.elapsed();
        Ok(TimedAnswer {
            elapsed,
            answer: Answer { scalars: vec![mean, stddev], ..answer(points) },
        })
    }

    /// Runs a range query without the cache, which would answer from earlier results and shift the
    /// interval to match them.
    async fn range(
        &mut self,
        query: &str,
        placed: &PlacedQuestion,
    ) -> anyhow::Result<(Duration, Vec<VictoriaSeries>)> {
        let width = placed.question.bucket().context("the question has no buckets")?;
        let query = encoded(query);
        let start = before(placed.start + width);
        let end = before(placed.end);
        let step = width / SECOND;
        let path = format!(
            "/api/v1/query_range?nocache=1&query={query}&start={start}&end={end}&step={step}"
        );
        let (elapsed, response): (_, VictoriaResponse) = self.get(&path).await?;
        Ok((elapsed, response.data.result))
    }

    async fn instant(
        &mut self,
        query: &str,
        end: i64,
    ) -> anyhow::Result<(Duration, Vec<VictoriaSeries>)> {
        let path = format!("/api/v1/query?nocache=1&query={}&time={}", encoded(query), before(end));
        let (elapsed, response): (_, VictoriaResponse) = self.get(&path).await?;
        Ok((elapsed, response.data.result))
    }

    async fn export(
        &mut self,
        placed: &PlacedQuestion,
    ) -> anyhow::Result<(Duration, Vec<(i64, f64)>)> {
        let series = encoded(&one(placed));
        let start = seconds(placed.start);
        let end = before(placed.end);
        let path = format!("/api/v1/export?match[]={series}&start={start}&end={end}");
        let began = Instant::now();
        let body = self.0.call(Method::GET, &path, Bytes::new()).await?;
        let mut points = Vec::new();
        for line in serde_json::Deserializer::from_slice(&body).into_iter::<ExportedSeries>() {
            let line = line?;
            points.extend(line.timestamps.into_iter().map(|time| time * 1_000).zip(line.values));
        }
        Ok((began.elapsed(), points))
    }

    async fn get<T: DeserializeOwned>(&mut self, path: &str) -> anyhow::Result<(Duration, T)> {
        let began = Instant::now();
        let body = self.0.call(Method::GET, path, Bytes::new()).await?;
        let answer = serde_json::from_slice(&body)?;
        Ok((began.elapsed(), answer))
    }
}

/// Returns the selector of one device. The metric's name consists of line protocol's measurement
/// and field.
fn one(placed: &PlacedQuestion) -> String {
    format!("{METRIC}_value{{device_id=\"{}\"}}", placed.device)
}

fn fleet(placed: &PlacedQuestion) -> String {
    format!("{METRIC}_value{{device_id=~\"{}.*\"}}", placed.device)
}

fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

fn seconds(micros: i64) -> String {
    let millis = micros / 1_000;
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}

/// Formats the last millisecond before a time.
fn before(micros: i64) -> String {
    seconds(micros - 1_000)
}

fn numbers(series: &VictoriaSeries) -> anyhow::Result<Vec<f64>> {
    series.values.iter().map(|(_, value)| Ok(value.parse()?)).collect()
}

fn number(series: &VictoriaSeries) -> anyhow::Result<f64> {
    let (_, value) =
        series.value.as_ref().context("VictoriaMetrics returned a series without value")?;
    Ok(value.parse()?)
}

fn answer(points: Vec<(i64, f64)>) -> Answer {
    let (times, values) = points.into_iter().unzip();
    Answer { times, columns: vec![values], scalars: Vec::new() }
}
