//! Configuration of ingest-service, one struct per concern. Settings of both services are in
//! `shared::config`.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::{Args, ValueEnum};
use shared::config::{DatabaseConfig, ServerConfig, count, duration};

/// Everything that `run` needs.
#[derive(Args, Clone, Debug)]
pub struct IngestConfig {
    /// Database connection.
    #[command(flatten)]
    pub database: DatabaseConfig,
    /// gRPC server.
    #[command(flatten)]
    pub server: ServerConfig,
    /// Limits of accepted batches.
    #[command(flatten)]
    pub limits: Limits,
    /// Limits on new series.
    #[command(flatten)]
    pub series: SeriesConfig,
    /// Writing of points.
    #[command(flatten)]
    pub flush: FlushConfig,
    /// Migrate the schema at startup (for development; in production run the subcommand `migrate`
    /// first)
    #[arg(long, env = "TIDEGAUGE_MIGRATE", help_heading = "Service")]
    pub migrate: bool,
}

/// Limits of accepted batches.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Accepted points")]
pub struct Limits {
    /// Maximum number of points in one batch
    #[arg(
        long,
        env = "TIDEGAUGE_BATCH_MAX_POINTS",
        default_value = "100000",
        value_name = "POINTS",
        value_parser = count
    )]
    pub batch_max_points: NonZeroUsize,
    /// Maximum age of a timestamp, relative to the service's clock
    #[arg(
        long,
        env = "TIDEGAUGE_OLDEST_ACCEPTED",
        default_value = "30days",
        value_name = "DURATION",
        value_parser = duration
    )]
    pub oldest_accepted: Duration,
    /// Maximum time by which a timestamp may be ahead of the service's clock
    #[arg(
        long,
        env = "TIDEGAUGE_LATEST_ACCEPTED",
        default_value = "10m",
        value_name = "DURATION",
        value_parser = duration
    )]
    pub latest_accepted: Duration,
}

/// Limits on the series that a client creates.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits of one client")]
pub struct SeriesConfig {
    /// Maximum number of series that one client creates per minute, also as a single burst; beyond
    /// it a unary call is refused and a stream waits
    #[arg(
        long,
        env = "TIDEGAUGE_NEW_SERIES_PER_MINUTE",
        default_value = "100000",
        value_name = "SERIES",
        value_parser = count
    )]
    pub new_series_per_minute: NonZeroUsize,
}

/// Settings of the queue and of the writers.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Writing")]
pub struct FlushConfig {
    /// Maximum number of points written in one transaction
    #[arg(
        long,
        env = "TIDEGAUGE_FLUSH_MAX_POINTS",
        default_value = "100000",
        value_name = "POINTS",
        value_parser = count
    )]
    pub flush_max_points: NonZeroUsize,
    /// Maximum time between the arrivals of a client's first and last batch in one transaction
    #[arg(
        long,
        env = "TIDEGAUGE_FLUSH_MAX_DELAY",
        default_value = "1s",
        value_name = "DURATION",
        value_parser = duration
    )]
    pub flush_max_delay: Duration,
    /// Whether large flushes are written compressed, if the server supports it (TimescaleDB 2.24 or
    /// later)
    #[arg(
        long,
        env = "TIDEGAUGE_DIRECT_COMPRESS",
        value_enum,
        default_value_t = DirectCompress::Auto
    )]
    pub direct_compress: DirectCompress,
    /// Timeout of one write attempt, after which the flush is retried on a new connection
    #[arg(
        long,
        env = "TIDEGAUGE_WRITE_TIMEOUT",
        default_value = "2m",
        value_name = "DURATION",
        value_parser = duration
    )]
    pub write_timeout: Duration,
    /// Number of connections that write in parallel, in addition to the one for small clients
    #[arg(
        long,
        env = "TIDEGAUGE_WRITERS",
        default_value = "2",
        value_name = "NUMBER",
        value_parser = count
    )]
    pub writers: NonZeroUsize,
    /// Maximum number of points accepted but not yet committed; beyond it streams wait, and unary
    /// calls are refused after a short wait
    #[arg(
        long,
        env = "TIDEGAUGE_QUEUE_MAX_POINTS",
        default_value = "400000",
        value_name = "POINTS",
        value_parser = count
    )]
    pub queue_max_points: NonZeroUsize,
    /// Maximum number of series whose ids are cached in memory
    #[arg(
        long,
        env = "TIDEGAUGE_SERIES_CACHE",
        default_value = "1000000",
        value_name = "SERIES",
        value_parser = count
    )]
    pub series_cache: NonZeroUsize,
}

/// Choice of the flushes that are written compressed.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectCompress {
    /// Flushes with enough points, both in total and per series.
    Auto,
    /// No flush: the columnstore policy compresses the points later.
    Never,
    /// Every flush.
    Always,
}

impl IngestConfig {
    /// Checks the settings that depend on each other.
    ///
    /// # Errors
    /// Names the variables that contradict each other.
    pub fn check(&self) -> Result<(), String> {
        let batch = self.limits.batch_max_points;
        let queue = self.flush.queue_max_points;
        if batch > queue {
            return Err(format!(
                "TIDEGAUGE_QUEUE_MAX_POINTS is {queue}: it must be at least \
                 TIDEGAUGE_BATCH_MAX_POINTS, which is {batch}"
            ));
        }
        if u32::try_from(queue.get()).is_err() {
            return Err(format!(
                "TIDEGAUGE_QUEUE_MAX_POINTS is {queue}: the limit is {}",
                u32::MAX
            ));
        }
        Ok(())
    }
}
