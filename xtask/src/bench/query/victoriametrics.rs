//! Asks VictoriaMetrics in its own language, over one connection.
//!
//! Its windows are open at the start and closed at the end, (t - width, t], so t is the last millisecond of a bucket.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use http::Method;
use prost::bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::form_urlencoded::byte_serialize;

use super::answer::{Answer, Timed};
use super::data::{METRIC, SECOND};
use super::question::{Asked, Question};
use crate::bench::http::Http;

pub(super) struct VictoriaClient(Http);

#[derive(Deserialize)]
struct Response {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    metric: Labels,
    /// Of a range: seconds and value, as text.
    #[serde(default)]
    values: Vec<(f64, String)>,
    /// Of an instant.
    value: Option<(f64, String)>,
}

#[derive(Default, Deserialize)]
struct Labels {
    #[serde(default)]
    device_id: String,
    #[serde(default)]
    rollup: String,
    #[serde(default)]
    statistic: String,
}

/// A line of an export.
#[derive(Deserialize)]
struct Exported {
    values: Vec<f64>,
    /// In milliseconds.
    timestamps: Vec<i64>,
}

impl VictoriaClient {
    pub(super) fn new(http: Http) -> Self {
        Self(http)
    }

    pub(super) async fn ask(&mut self, asked: &Asked) -> anyhow::Result<Timed> {
        match asked.question {
            Question::DayInMinutes => self.buckets(asked, "1m").await,
            Question::MonthInHours => self.buckets(asked, "1h").await,
            Question::Newest => self.newest(asked).await,
            Question::FleetAverage => self.fleet_average(asked).await,
            Question::Anomalies => self.anomalies(asked).await,
            Question::MillionPoints => {
                let (elapsed, points) = self.export(asked).await?;
                Ok(Timed { elapsed, answer: answer(points) })
            }
        }
    }

    async fn buckets(&mut self, asked: &Asked, width: &str) -> anyhow::Result<Timed> {
        let (elapsed, series) =
            self.range(&format!("rollup({}[{width}])", one(asked)), asked).await?;
        let of = |rollup: &str| {
            let series = series.iter().find(|series| series.metric.rollup == rollup);
            series.map(numbers).with_context(|| format!("VictoriaMetrics gave no {rollup}"))
        };
        let columns = vec![of("avg")??, of("min")??, of("max")??];
        Ok(Timed { elapsed, answer: Answer { columns, ..Answer::default() } })
    }

    async fn fleet_average(&mut self, asked: &Asked) -> anyhow::Result<Timed> {
        let (elapsed, series) =
            self.range(&format!("avg(avg_over_time({}[1h]))", fleet(asked)), asked).await?;
        let averages = numbers(series.first().context("VictoriaMetrics gave no average")?)?;
        Ok(Timed { elapsed, answer: Answer { columns: vec![averages], ..Answer::default() } })
    }

    async fn newest(&mut self, asked: &Asked) -> anyhow::Result<Timed> {
        let query = format!("last_over_time({}[1d])", fleet(asked));
        let (elapsed, mut series) = self.instant(&query, asked.end).await?;
        series.sort_by(|one, other| one.metric.device_id.cmp(&other.metric.device_id));
        let values = series.iter().map(number).collect::<anyhow::Result<_>>()?;
        Ok(Timed { elapsed, answer: Answer { columns: vec![values], ..Answer::default() } })
    }

    /// First the baseline, then the window's points, judged here. The deviation is the population's.
    async fn anomalies(&mut self, asked: &Asked) -> anyhow::Result<Timed> {
        let series = one(asked);
        let statistic =
            |name| format!("label_set({name}_over_time({series}[1d]), \"statistic\", \"{name}\")");
        let query =
            format!("union({}, {}, {})", statistic("avg"), statistic("stddev"), statistic("count"));
        let (first, series) = self.instant(&query, asked.start).await?;
        let of = |name: &str| {
            let series = series.iter().find(|series| series.metric.statistic == name);
            number(series.with_context(|| format!("VictoriaMetrics gave no {name}"))?)
        };
        let (mean, deviation, count) = (of("avg")?, of("stddev")?, of("count")?);
        let (second, mut points) = self.export(asked).await?;
        let began = Instant::now();
        let stddev = deviation * (count / (count - 1.0)).sqrt();
        points.retain(|(_, value)| (value - mean).abs() > 3.0 * stddev);
        let elapsed = first + second + began.elapsed();
        Ok(Timed { elapsed, answer: Answer { scalars: vec![mean, stddev], ..answer(points) } })
    }

    /// Without cache: it would answer from what it computed before, and move the interval to suit that.
    async fn range(
        &mut self,
        query: &str,
        asked: &Asked,
    ) -> anyhow::Result<(Duration, Vec<Series>)> {
        let width = asked.question.bucket().context("a question without buckets")?;
        let (query, start, end) = (encoded(query), before(asked.start + width), before(asked.end));
        let step = width / SECOND;
        let path = format!(
            "/api/v1/query_range?nocache=1&query={query}&start={start}&end={end}&step={step}"
        );
        let (elapsed, response): (_, Response) = self.get(&path).await?;
        Ok((elapsed, response.data.result))
    }

    async fn instant(&mut self, query: &str, end: i64) -> anyhow::Result<(Duration, Vec<Series>)> {
        let path = format!("/api/v1/query?nocache=1&query={}&time={}", encoded(query), before(end));
        let (elapsed, response): (_, Response) = self.get(&path).await?;
        Ok((elapsed, response.data.result))
    }

    async fn export(&mut self, asked: &Asked) -> anyhow::Result<(Duration, Vec<(i64, f64)>)> {
        let (series, start, end) = (encoded(&one(asked)), seconds(asked.start), before(asked.end));
        let path = format!("/api/v1/export?match[]={series}&start={start}&end={end}");
        let began = Instant::now();
        let body = self.0.call(Method::GET, &path, Bytes::new()).await?;
        let mut points = Vec::new();
        for line in serde_json::Deserializer::from_slice(&body).into_iter::<Exported>() {
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

/// Line protocol's measurement and field make the name.
fn one(asked: &Asked) -> String {
    format!("{METRIC}_value{{device_id=\"{}\"}}", asked.device)
}

fn fleet(asked: &Asked) -> String {
    format!("{METRIC}_value{{device_id=~\"{}.*\"}}", asked.device)
}

fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

fn seconds(micros: i64) -> String {
    let millis = micros / 1_000;
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}

/// The last millisecond before a time.
fn before(micros: i64) -> String {
    seconds(micros - 1_000)
}

fn numbers(series: &Series) -> anyhow::Result<Vec<f64>> {
    series.values.iter().map(|(_, value)| Ok(value.parse()?)).collect()
}

fn number(series: &Series) -> anyhow::Result<f64> {
    let (_, value) =
        series.value.as_ref().context("VictoriaMetrics gave a series without value")?;
    Ok(value.parse()?)
}

fn answer(points: Vec<(i64, f64)>) -> Answer {
    let (times, values) = points.into_iter().unzip();
    Answer { times, columns: vec![values], scalars: Vec::new() }
}
