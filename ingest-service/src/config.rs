//! Configuration of ingest-service, one small struct per concern; what both services take is in `shared::config`.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::{Args, ValueEnum};
use shared::config::{DatabaseConfig, ServerConfig, count, duration};

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
    /// How many series a client may create.
    #[command(flatten)]
    pub series: SeriesConfig,
    /// How points are written.
    #[command(flatten)]
    pub flush: FlushConfig,
    /// Bring the schema in at start (for development; in production run the subcommand `migrate` first)
    #[arg(long, env = "TIDEGAUGE_MIGRATE", help_heading = "Service")]
    pub migrate: bool,
}

/// What is accepted in a batch.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "What is accepted")]
pub struct Limits {
    /// Most points in one batch
    #[arg(long, env = "TIDEGAUGE_BATCH_MAX_POINTS", default_value = "100000", value_name = "POINTS", value_parser = count)]
    pub batch_max_points: NonZeroUsize,
    /// How far back a timestamp may lie
    #[arg(long, env = "TIDEGAUGE_OLDEST_ACCEPTED", default_value = "30days", value_name = "DURATION", value_parser = duration)]
    pub oldest_accepted: Duration,
    /// How far ahead of the service's clock a timestamp may lie
    #[arg(long, env = "TIDEGAUGE_LATEST_ACCEPTED", default_value = "10m", value_name = "DURATION", value_parser = duration)]
    pub latest_accepted: Duration,
}

/// How many series a client may create.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits of one client")]
pub struct SeriesConfig {
    /// Most series that one client creates in a minute, a minute's worth at once; a unary call beyond it is refused, a stream
    /// is held back
    #[arg(long, env = "TIDEGAUGE_NEW_SERIES_PER_MINUTE", default_value = "100000", value_name = "SERIES", value_parser = count)]
    pub new_series_per_minute: NonZeroUsize,
}

/// How points are written.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Writing")]
pub struct FlushConfig {
    /// Most points that one transaction writes
    #[arg(long, env = "TIDEGAUGE_FLUSH_MAX_POINTS", default_value = "100000", value_name = "POINTS", value_parser = count)]
    pub flush_max_points: NonZeroUsize,
    /// Longest span of arrivals that one transaction writes
    #[arg(long, env = "TIDEGAUGE_FLUSH_MAX_DELAY", default_value = "1s", value_name = "DURATION", value_parser = duration)]
    pub flush_max_delay: Duration,
    /// Whether large flushes are compressed as they are written, where the server can (TimescaleDB 2.24 or later)
    #[arg(long, env = "TIDEGAUGE_DIRECT_COMPRESS", value_enum, default_value_t = DirectCompress::Auto)]
    pub direct_compress: DirectCompress,
    /// How long the database may take to write before the same is tried again on a new connection
    #[arg(long, env = "TIDEGAUGE_WRITE_TIMEOUT", default_value = "2m", value_name = "DURATION", value_parser = duration)]
    pub write_timeout: Duration,
    /// Connections that write at the same time, beside one for clients that send little
    #[arg(long, env = "TIDEGAUGE_WRITERS", default_value = "2", value_name = "NUMBER", value_parser = count)]
    pub writers: NonZeroUsize,
    /// Most points taken in but not yet committed; senders wait beyond it
    #[arg(long, env = "TIDEGAUGE_QUEUE_MAX_POINTS", default_value = "400000", value_name = "POINTS", value_parser = count)]
    pub queue_max_points: NonZeroUsize,
    /// Most series whose number is kept in memory
    #[arg(long, env = "TIDEGAUGE_SERIES_CACHE", default_value = "1000000", value_name = "SERIES", value_parser = count)]
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
            return Err(format!(
                "TIDEGAUGE_QUEUE_MAX_POINTS is {queue}: at most {} is accepted",
                u32::MAX
            ));
        }
        Ok(())
    }
}
