//! The metrics of query-service, each named once, and what frames tell of themselves. What both services have, calls and
//! statements among it, is in `shared::metrics`; `docs/OBSERVABILITY.md` lists all.

use shared::granularity::Granularity;
use shared::metrics::Spec;
use shared::proto::v1::{self, query_aggregated_response, query_range_response};

pub(crate) const POOL_MAX: Spec =
    Spec::new("db.client.connection.max", "{connection}", "TIDEGAUGE_DATABASE_CONNECTIONS");
pub(crate) const POOL_COUNT: Spec = Spec::new(
    "db.client.connection.count",
    "{connection}",
    "Connections to the database, by whether they are in use",
);
pub(crate) const POOL_WAITING: Spec = Spec::new(
    "db.client.connection.pending_requests",
    "{request}",
    "Queries that wait for a connection",
);
pub(crate) const POOL_TIMEOUTS: Spec = Spec::new(
    "db.client.connection.timeouts",
    "{timeout}",
    "Queries refused because no connection was free in time",
);

/// `used` or `idle`.
pub(crate) const POOL_STATE: &str = "db.client.connection.state";

/// What is sent on a stream.
pub(crate) trait Rows {
    /// How many rows it carries.
    fn rows(&self) -> usize;
    /// At which granularity the answer is, where this says so.
    fn granularity(&self) -> Option<Granularity> {
        None
    }
}

impl Rows for v1::QueryRangeResponse {
    fn rows(&self) -> usize {
        match &self.frame {
            Some(query_range_response::Frame::Points(points)) => points.timestamps_us.len(),
            _ => 0,
        }
    }

    fn granularity(&self) -> Option<Granularity> {
        match &self.frame {
            Some(query_range_response::Frame::Header(header)) => known(header.granularity()),
            _ => None,
        }
    }
}

impl Rows for v1::QueryAggregatedResponse {
    fn rows(&self) -> usize {
        match &self.frame {
            Some(query_aggregated_response::Frame::Buckets(buckets)) => {
                buckets.bucket_starts_us.len()
            }
            _ => 0,
        }
    }

    fn granularity(&self) -> Option<Granularity> {
        match &self.frame {
            Some(query_aggregated_response::Frame::Header(header)) => known(header.granularity()),
            _ => None,
        }
    }
}

impl Rows for v1::WatchAnomaliesResponse {
    fn rows(&self) -> usize {
        self.anomalies.len()
    }
}

fn known(granularity: v1::Granularity) -> Option<Granularity> {
    match granularity {
        v1::Granularity::Raw => Some(Granularity::Raw),
        v1::Granularity::Minute => Some(Granularity::Minute),
        v1::Granularity::Hour => Some(Granularity::Hour),
        v1::Granularity::Day => Some(Granularity::Day),
        _ => None,
    }
}
