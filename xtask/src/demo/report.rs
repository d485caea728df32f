//! What a person, or a program with `--json`, gets to see.

use std::fmt;

use serde_json::json;
use shared::proto::v1::{BucketsFrame, QueryHeader};
use shared::time;
use textplots::{Chart, Plot as _, Shape};

use super::ask::Answers;
use super::services::Services;
use super::sql::Compression;

/// Everything that the demo found out.
pub(super) struct Report {
    pub(super) database: String,
    pub(super) points_sent: u64,
    pub(super) points_accepted: u64,
    pub(super) points_stored: u64,
    pub(super) points_per_second: f64,
    pub(super) minute_buckets: u64,
    pub(super) hour_buckets: u64,
    pub(super) anomalies_injected: usize,
    pub(super) answers: Answers,
    pub(super) compression: Compression,
}

impl Report {
    /// One object, for programs.
    pub(super) fn json(&self) -> serde_json::Value {
        json!({
            "database": self.database,
            "points_sent": self.points_sent,
            "points_accepted": self.points_accepted,
            "points_stored": self.points_stored,
            "points_per_second": self.points_per_second.round(),
            "minute_buckets": self.minute_buckets,
            "hour_buckets": self.hour_buckets,
            "anomalies_injected": self.anomalies_injected,
            "anomalies_found": self.answers.found.len(),
            "bytes_before_compression": self.compression.before,
            "bytes_after_compression": self.compression.after,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answers = &self.answers;
        writeln!(f, "\nOn {}", self.database)?;
        writeln!(
            f,
            "  {} points sent, {} accepted, {} stored",
            self.points_sent, self.points_accepted, self.points_stored
        )?;
        writeln!(
            f,
            "  {:.0} points per second, each acknowledged after its commit",
            self.points_per_second
        )?;
        writeln!(
            f,
            "  {} one-minute buckets, {} one-hour buckets",
            self.minute_buckets, self.hour_buckets
        )?;

        writeln!(
            f,
            "\n{} temperature, raw: {} points",
            answers.device_id,
            answers.raw.values.len()
        )?;
        chart(f, &answers.raw.timestamps_us, &answers.raw.values)?;
        buckets(f, "minutes", &answers.minutes)?;
        chart(f, &answers.minutes.1.bucket_starts_us, &answers.minutes.1.avg)?;
        buckets(f, "hours", &answers.hours)?;
        table(f, &answers.hours.1)?;

        writeln!(
            f,
            "\nweather-jfk temperature by day (real readings of June 2013, moved on by {} days)",
            answers.weather_moved_days
        )?;
        chart(f, &answers.weather.bucket_starts_us, &answers.weather.avg)?;

        writeln!(
            f,
            "\n{} faults injected, {} found in the last hour",
            self.anomalies_injected,
            answers.found.len()
        )?;
        if let Some((fault, anomaly)) = &answers.example {
            let (device_id, metric_name, value) =
                (&fault.device_id, fault.metric_name, anomaly.value);
            let (expected, score) = (anomaly.expected_value, anomaly.score);
            let at = time::display(fault.timestamp);
            writeln!(
                f,
                "  such as {device_id} {metric_name} = {value} at {at}: {expected:.1} expected, {score:.1} sigma off"
            )?;
        }
        writeln!(f, "  {} other points of these series lie beyond 3 sigma", answers.others)?;

        let Compression { before, after } = self.compression;
        let ratio = before as f64 / after as f64;
        writeln!(
            f,
            "\nOne chunk: {} KiB before compression, {} KiB after ({ratio:.1} times smaller)",
            before / 1024,
            after / 1024
        )
    }
}

fn buckets(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    (header, buckets): &(QueryHeader, BucketsFrame),
) -> fmt::Result {
    let watermark = header.watermark.as_ref().and_then(time::from_timestamp);
    let materialised = watermark.map_or("live".to_owned(), |micros| {
        format!("materialised up to {}", time::display(micros))
    });
    writeln!(f, "\nby {name}: {} buckets, {materialised}", buckets.bucket_starts_us.len())
}

fn table(f: &mut fmt::Formatter<'_>, buckets: &BucketsFrame) -> fmt::Result {
    writeln!(f, "  {:<22} {:>8} {:>8} {:>8} {:>6}", "bucket", "min", "avg", "max", "count")?;
    for (at, &start) in buckets.bucket_starts_us.iter().enumerate() {
        let (min, avg, max, count) =
            (buckets.min[at], buckets.avg[at], buckets.max[at], buckets.count[at]);
        writeln!(f, "  {:<22} {min:>8.2} {avg:>8.2} {max:>8.2} {count:>6}", time::display(start))?;
    }
    Ok(())
}

/// Values over hours.
#[allow(clippy::cast_possible_truncation)] // a terminal shows less than single precision
fn chart(f: &mut fmt::Formatter<'_>, timestamps: &[i64], values: &[f64]) -> fmt::Result {
    let (Some(&first), Some(&last)) = (timestamps.first(), timestamps.last()) else {
        return Ok(());
    };
    let hours = |micros: i64| (micros - first) as f32 / 3.6e9;
    let points: Vec<(f32, f32)> =
        timestamps.iter().zip(values).map(|(&at, &value)| (hours(at), value as f32)).collect();
    let mut chart = Chart::new(120, 32, 0.0, hours(last).max(0.1));
    let lines = Shape::Lines(&points);
    let drawn = chart.lineplot(&lines);
    drawn.axis();
    drawn.figures();
    write!(f, "{drawn}")
}

/// Where everything runs, and what to try.
pub(super) fn print_addresses(database_url: &str, services: &Services) {
    let (ingest, query) = services.addresses();
    eprintln!(
        r#"
ingest-service  {ingest}
query-service   {query}
TimescaleDB     {database_url}

Try:
  npx @bufbuild/buf curl --protocol grpc --http2-prior-knowledge \
    --data '{{"batch": {{"points": [{{"deviceId": "my-device", "metricName": "temperature", "value": 21.5}}]}}}}' \
    http://{ingest}/tidegauge.v1.IngestService/IngestBatch
  npx @bufbuild/buf curl --protocol grpc --http2-prior-knowledge --data '{{"pageSize": 5}}' \
    http://{query}/tidegauge.v1.QueryService/ListDevices
  psql {database_url} -c 'select * from iot_data_1min limit 5'

Ctrl-C ends everything."#
    );
}
