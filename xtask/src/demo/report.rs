//! Formats the demo's results as text for people, or with `--json` for programs.

use std::fmt;

use serde_json::json;
use shared::proto::v1::{BucketsFrame, QueryHeader};
use shared::time;

use super::chart;
use super::queries::QueryResults;
use super::services::Services;
use super::sql::Compression;

/// Unit of the temperatures.
const CELSIUS: &str = "°C";

/// Everything that the demo measured and queried.
pub(super) struct Report {
    pub(super) database: String,
    pub(super) points_sent: u64,
    pub(super) points_accepted: u64,
    pub(super) points_stored: u64,
    pub(super) points_per_second: f64,
    pub(super) minute_buckets: u64,
    pub(super) hour_buckets: u64,
    pub(super) anomalies_injected: usize,
    pub(super) results: QueryResults,
    pub(super) compression: Compression,
}

impl Report {
    /// Returns one JSON object.
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
            "anomalies_found": self.results.found.len(),
            "bytes_before_compression": self.compression.before,
            "bytes_after_compression": self.compression.after,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
        self.write_temperatures(f)?;
        self.write_anomalies(f)?;

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

impl Report {
    fn write_temperatures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let results = &self.results;
        let count = results.raw.values.len();
        writeln!(f, "\n{} temperature, raw: {count} points", results.device_id)?;
        f.write_str(&chart::draw(&results.raw.timestamps_us, &results.raw.values, CELSIUS))?;

        let (header, minutes) = &results.minutes;
        write_buckets_title(f, "one-minute", header, minutes)?;
        f.write_str(&chart::draw(&minutes.bucket_starts_us, &minutes.avg, CELSIUS))?;

        let (header, hours) = &results.hours;
        write_buckets_title(f, "one-hour", header, hours)?;
        write_table(f, hours)?;

        writeln!(
            f,
            "\nweather-jfk temperature, daily averages (readings of June 2013, {} days later)",
            results.weather_moved_days
        )?;
        f.write_str(&chart::draw(&results.weather.bucket_starts_us, &results.weather.avg, CELSIUS))
    }

    fn write_anomalies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let results = &self.results;
        writeln!(
            f,
            "\n{} faults injected, {} found in the last hour",
            self.anomalies_injected,
            results.found.len()
        )?;
        if let Some((fault, anomaly)) = &results.example {
            writeln!(
                f,
                "  such as {} {} = {} at {}: expected {:.1}, off by {:.1} standard deviations",
                fault.device_id,
                fault.metric_name,
                anomaly.value,
                time::display(fault.timestamp),
                anomaly.expected_value,
                anomaly.score
            )?;
        }
        writeln!(
            f,
            "  {} other points of these series are off by more than 3 standard deviations",
            results.other_anomalies
        )
    }
}

/// Writes how many buckets there are, and up to what time they were computed in advance.
fn write_buckets_title(
    f: &mut fmt::Formatter<'_>,
    width: &str,
    header: &QueryHeader,
    buckets: &BucketsFrame,
) -> fmt::Result {
    let watermark = header.watermark.as_ref().and_then(time::from_timestamp);
    let materialised = watermark.map_or("all computed live".to_owned(), |micros| {
        format!("materialised up to {}", time::display(micros))
    });
    let count = buckets.bucket_starts_us.len();
    writeln!(f, "\n{width} averages: {count} buckets, {materialised}")
}

/// Writes one line per bucket.
fn write_table(f: &mut fmt::Formatter<'_>, buckets: &BucketsFrame) -> fmt::Result {
    writeln!(
        f,
        "  {:<22} {:>8} {:>8} {:>8} {:>6}",
        "bucket (UTC)", "min °C", "avg °C", "max °C", "points"
    )?;
    for (at, &start) in buckets.bucket_starts_us.iter().enumerate() {
        let min = buckets.min[at];
        let avg = buckets.avg[at];
        let max = buckets.max[at];
        let count = buckets.count[at];
        writeln!(f, "  {:<22} {min:>8.2} {avg:>8.2} {max:>8.2} {count:>6}", time::display(start))?;
    }
    Ok(())
}

/// Prints the addresses of everything that runs, and commands to try.
pub(super) fn print_addresses(database_url: &str, services: &Services) {
    let (ingest, query) = services.addresses();
    eprintln!(
        r#"
ingest-service  {ingest}
query-service   {query}
TimescaleDB     {database_url}

Try:
  npx @bufbuild/buf curl --protocol grpc --http2-prior-knowledge \
    --data '{{"batch": {{"points": [
      {{"deviceId": "my-device", "metricName": "temperature", "value": 21.5}}]}}}}' \
    http://{ingest}/tidegauge.v1.IngestService/IngestBatch
  npx @bufbuild/buf curl --protocol grpc --http2-prior-knowledge --data '{{"pageSize": 5}}' \
    http://{query}/tidegauge.v1.QueryService/ListDevices
  psql {database_url} -c 'select * from iot_data_1min limit 5'

Ctrl-C stops everything."#
    );
}
