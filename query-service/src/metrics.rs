//! The metrics of query-service, each named once, and the row counts of response frames. The
//! metrics that both services have, such as calls and statements, are in `shared::metrics`.
//! `docs/OBSERVABILITY.md` lists all of them.

use shared::granularity::Granularity;
use shared::metrics::Spec;
use shared::proto::v1::{self, query_aggregated_response, query_range_response};

pub(crate) const POOL_MAX: Spec = Spec::new(
    "db.client.connection.max",
    "{connection}",
    "Maximum number of connections to the database (TIDEGAUGE_DATABASE_CONNECTIONS)",
);
pub(crate) const POOL_COUNT: Spec = Spec::new(
    "db.client.connection.count",
    "{connection}",
    "Connections to the database, by state: used or idle",
);
pub(crate) const POOL_WAITING: Spec = Spec::new(
    "db.client.connection.pending_requests",
    "{request}",
    "Queries waiting for a connection to the database",
);
pub(crate) const POOL_TIMEOUTS: Spec = Spec::new(
    "db.client.connection.timeouts",
    "{timeout}",
    "Queries refused because no connection to the database became free in time",
);

/// The attribute that tells `used` from `idle` connections.
pub(crate) const POOL_STATE: &str = "db.client.connection.state";

/// A message of a response stream.
pub(crate) trait StreamMessage {
    /// Returns the number of rows in the message.
    fn rows(&self) -> usize;
    /// Returns the granularity of the answer, if this message states it.
    fn granularity(&self) -> Option<Granularity> {
        None
    }
}

impl StreamMessage for v1::QueryRangeResponse {
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

impl StreamMessage for v1::QueryAggregatedResponse {
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

impl StreamMessage for v1::WatchAnomaliesResponse {
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
