//! Configuration of ingest-service, one small struct per concern.
//!
//! Variables: `TIDEGAUGE_BATCH_MAX_POINTS`, `TIDEGAUGE_OLDEST_ACCEPTED`, `TIDEGAUGE_LATEST_ACCEPTED`,
//! `TIDEGAUGE_FLUSH_MAX_POINTS`, `TIDEGAUGE_FLUSH_MAX_DELAY`, `TIDEGAUGE_DIRECT_COMPRESS`, `TIDEGAUGE_WRITE_TIMEOUT`,
//! `TIDEGAUGE_WRITERS`, `TIDEGAUGE_QUEUE_MAX_POINTS`, `TIDEGAUGE_SERIES_CACHE`, `TIDEGAUGE_STREAM_MAX_AGE`, `TIDEGAUGE_MIGRATE`, and those of `shared::config`.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::{Args, ValueEnum};
use shared::config::{DatabaseConfig, ServerConfig};

/// Everything that `run` needs.
#[derive(Args, Clone, Debug)]
pub struct IngestConfig {
    /// Which database.
    #[command(flatten)]
    pub database: DatabaseConfig,
    /// How calls are served.
    #[command(flatten)]
    pub server: ServerConfig,
    /// What is accepted.
    #[command(flatten)]
    pub limits: Limits,
    /// How points are written.
    #[command(flatten)]
    pub flush: FlushConfig,
    /// Age at which an IngestWithAcks stream is ended, so that load spreads over instances
    #[arg(long, env = "TIDEGAUGE_STREAM_MAX_AGE", default_value = "1h", value_parser = humantime::parse_duration)]
    pub stream_max_age: Duration,
    /// Bring the schema in at start (for development; in production run the subcommand `migrate` first)
    #[arg(long, env = "TIDEGAUGE_MIGRATE")]
    pub migrate: bool,
}

/// What is accepted in a batch.
#[derive(Args, Clone, Debug)]
pub struct Limits {
    /// Most points in one batch
    #[arg(long, env = "TIDEGAUGE_BATCH_MAX_POINTS", default_value = "100000", value_name = "POINTS")]
    pub batch_max_points: NonZeroUsize,
    /// How far back a timestamp may lie
    #[arg(long, env = "TIDEGAUGE_OLDEST_ACCEPTED", default_value = "30days", value_parser = humantime::parse_duration)]
    pub oldest_accepted: Duration,
    /// How far ahead of the service's clock a timestamp may lie
    #[arg(long, env = "TIDEGAUGE_LATEST_ACCEPTED", default_value = "10m", value_parser = humantime::parse_duration)]
    pub latest_accepted: Duration,
}

/// How points are written.
#[derive(Args, Clone, Debug)]
pub struct FlushConfig {
    /// Most points that one transaction writes
    #[arg(long, env = "TIDEGAUGE_FLUSH_MAX_POINTS", default_value = "100000", value_name = "POINTS")]
    pub flush_max_points: NonZeroUsize,
    /// Longest span of arrivals that one transaction writes
    #[arg(long, env = "TIDEGAUGE_FLUSH_MAX_DELAY", default_value = "1s", value_parser = humantime::parse_duration)]
    pub flush_max_delay: Duration,
    /// Whether large flushes are compressed as they are written, where the server can (TimescaleDB 2.24 or later)
    #[arg(long, env = "TIDEGAUGE_DIRECT_COMPRESS", value_enum, default_value_t = DirectCompress::Auto)]
    pub direct_compress: DirectCompress,
    /// How long the database may take to write before the same is tried again on a new connection
    #[arg(long, env = "TIDEGAUGE_WRITE_TIMEOUT", default_value = "2m", value_parser = humantime::parse_duration)]
    pub write_timeout: Duration,
    /// Connections that write at the same time
    #[arg(long, env = "TIDEGAUGE_WRITERS", default_value = "2")]
    pub writers: NonZeroUsize,
    /// Most points taken in but not yet committed; senders wait beyond it
    #[arg(long, env = "TIDEGAUGE_QUEUE_MAX_POINTS", default_value = "500000", value_name = "POINTS")]
    pub queue_max_points: NonZeroUsize,
    /// Most series whose number is kept in memory
    #[arg(long, env = "TIDEGAUGE_SERIES_CACHE", default_value = "1000000", value_name = "SERIES")]
    pub series_cache: NonZeroUsize,
}

/// When a flush is compressed as it is written.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectCompress {
    /// Where a flush has enough points, in all and a series.
    Auto,
    /// Never: the columnstore policy does it later.
    Never,
    /// Whatever the flush.
    Always,
}

impl IngestConfig {
    /// Checks what one value alone cannot tell.
    ///
    /// # Errors
    /// Says which variables contradict each other.
    pub fn check(&self) -> Result<(), String> {
        let (batch, queue) = (self.limits.batch_max_points, self.flush.queue_max_points);
        if batch > queue {
            return Err(format!(
                "TIDEGAUGE_QUEUE_MAX_POINTS is {queue}: it must hold at least one batch \
                 (TIDEGAUGE_BATCH_MAX_POINTS is {batch})"
            ));
        }
        if u32::try_from(queue.get()).is_err() {
            return Err(format!("TIDEGAUGE_QUEUE_MAX_POINTS is {queue}: at most {} is accepted", u32::MAX));
        }
        Ok(())
    }
}
