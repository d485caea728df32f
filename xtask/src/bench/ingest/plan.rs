//! The measurements: which points are stored, and on which path.

use super::calls::IngestCall;
use super::copy::Storage;
use super::render::Form;
use super::shape::{DAY, SECOND, Shape};
use crate::bench::rival::Rival;

/// Greatest number of connections of COPY. Smaller numbers are tried too, and the fastest counts.
const MAX_COPY_CONNECTIONS: usize = 4;

/// Path on which points are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum StorePath {
    /// COPY over this number of concurrent connections.
    Copy {
        storage: Storage,
        connections: usize,
    },
    Service(IngestCall, Form),
    Seed,
    Rival(Rival),
}

impl StorePath {
    /// Returns the variants of which the fastest counts: COPY over 1 to `connections` connections.
    /// Other paths have only one variant.
    pub(super) fn variants(self) -> Vec<Self> {
        match self {
            Self::Copy { storage, connections } => {
                (1..=connections).map(|connections| Self::Copy { storage, connections }).collect()
            }
            _ => vec![self],
        }
    }
}

/// The points that a measurement stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workload {
    /// 1,000 devices, 100 points per series in a flush.
    Few,
    /// The first points of `Few`.
    Seed,
    /// 100,000 devices, one point per series in a flush.
    Single,
    /// Like `Few`, but several days old, between points that are already compressed and rolled up.
    Late,
    /// 100,000 devices, 100 points per series in a batch.
    Many,
    /// 1,000 devices, each with a producer of its own, one point per batch.
    Producers,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measurement {
    /// The key in the output, without the suffix `_pps`.
    pub(super) key: &'static str,
    pub(super) workload: Workload,
    pub(super) path: StorePath,
}

/// All measurements, in the order in which each round runs them.
pub(super) const MEASUREMENTS: [Measurement; 22] = {
    use Form::{Row, Series};
    use IngestCall::{Ingest, IngestBatch, IngestWithAcks, ManyProducers};
    use Storage::{DirectCompress, Presorted, RowStore};
    const fn measure(key: &'static str, workload: Workload, path: StorePath) -> Measurement {
        Measurement { key, workload, path }
    }
    const fn copy(storage: Storage) -> StorePath {
        StorePath::Copy { storage, connections: MAX_COPY_CONNECTIONS }
    }
    [
        measure("copy_row_store", Workload::Few, copy(RowStore)),
        measure("copy_direct_compress", Workload::Few, copy(DirectCompress)),
        measure("copy_presorted", Workload::Few, copy(Presorted)),
        measure("series", Workload::Few, StorePath::Service(IngestWithAcks, Series)),
        measure("row", Workload::Few, StorePath::Service(IngestWithAcks, Row)),
        measure("ingest", Workload::Few, StorePath::Service(Ingest, Series)),
        measure("ingest_batch", Workload::Few, StorePath::Service(IngestBatch, Series)),
        measure("influxdb", Workload::Few, StorePath::Rival(Rival::InfluxDb)),
        measure("victoriametrics", Workload::Few, StorePath::Rival(Rival::VictoriaMetrics)),
        measure("seed", Workload::Seed, StorePath::Seed),
        measure("single_copy_row_store", Workload::Single, copy(RowStore)),
        measure("single_copy_direct_compress", Workload::Single, copy(DirectCompress)),
        measure("single_series", Workload::Single, StorePath::Service(IngestWithAcks, Series)),
        measure("single_row", Workload::Single, StorePath::Service(IngestWithAcks, Row)),
        measure("late_copy_row_store", Workload::Late, copy(RowStore)),
        measure("late_copy_direct_compress", Workload::Late, copy(DirectCompress)),
        measure("late_copy_presorted", Workload::Late, copy(Presorted)),
        measure("late_series", Workload::Late, StorePath::Service(IngestWithAcks, Series)),
        measure("many_copy_direct_compress", Workload::Many, copy(DirectCompress)),
        measure("many_copy_presorted", Workload::Many, copy(Presorted)),
        measure("many_series", Workload::Many, StorePath::Service(IngestWithAcks, Series)),
        measure("producers", Workload::Producers, StorePath::Service(ManyProducers, Series)),
    ]
};

/// Number of points and rounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) rounds: usize,
    /// Devices of [`Workload::Single`] and [`Workload::Many`].
    pub(super) many_devices: usize,
    /// Devices of [`Plan::many_series`].
    many_series_devices: usize,
    few_steps: usize,
    other_steps: usize,
    /// Time of the run, in microseconds since the Unix epoch.
    now: i64,
}

impl Plan {
    /// Creates the plan of a run. The embedded database is slower and keeps everything in memory,
    /// so it gets fewer points.
    pub(super) fn new(quick: bool, embedded: bool, now: i64) -> Self {
        let (few_steps, other_steps) = match (embedded, quick) {
            (true, _) => (10, 4),
            (false, true) => (30, 10),
            (false, false) => (60, 20),
        };
        let many_devices = if embedded { 10_000 } else { 100_000 };
        let many_series_devices = if quick || embedded { 2 * many_devices } else { 1_000_000 };
        Self {
            rounds: if quick { 1 } else { 3 },
            many_devices,
            many_series_devices,
            few_steps,
            other_steps,
            now,
        }
    }

    pub(super) fn shape(&self, workload: Workload) -> Shape {
        let start = self.days_back(2);
        let few = Shape { devices: 1_000, run: 100, steps: self.few_steps, start, days: 1 };
        match workload {
            Workload::Few => few,
            Workload::Seed => Shape { run: 10, steps: 5, ..few },
            Workload::Single => {
                Shape { devices: self.many_devices, run: 1, steps: self.other_steps, ..few }
            }
            Workload::Late => {
                // Half a second off the existing points.
                let start = self.days_back(10) + SECOND / 2;
                Shape { steps: self.other_steps, start, days: 2, ..few }
            }
            Workload::Many => Shape { devices: self.many_devices, steps: 1, ..few },
            Workload::Producers => Shape { run: 1, steps: 5 * self.other_steps, ..few },
        }
    }

    /// Returns one point for each of a great number of series.
    pub(super) fn many_series(&self) -> Shape {
        let few = self.shape(Workload::Few);
        Shape { devices: self.many_series_devices, run: 1, steps: 1, ..few }
    }

    /// Returns the points that are stored before the late ones.
    pub(super) fn history(&self) -> Shape {
        let late = self.shape(Workload::Late);
        Shape { start: self.days_back(10), steps: late.days, ..late }
    }

    /// Returns points of [`Workload::Few`] that last for `seconds` at a given rate.
    pub(super) fn paced(&self, points_per_second: f64, seconds: usize) -> Shape {
        let few = self.shape(Workload::Few);
        let per_step = (few.devices * few.run) as f64;
        let wanted = points_per_second * seconds as f64 / per_step;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a few hundred at most
        Shape { steps: (wanted as usize).max(1), ..few }
    }

    /// Returns the time two hours after midnight (UTC), `days` days ago. A shape and its warm-up
    /// then stay in one chunk.
    fn days_back(&self, days: i64) -> i64 {
        self.now - self.now.rem_euclid(DAY) - days * DAY + 7_200 * SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_is_tried_over_every_number_of_connections_up_to_the_limit() {
        let copy = |connections| StorePath::Copy { storage: Storage::RowStore, connections };
        assert_eq!(copy(3).variants(), [copy(1), copy(2), copy(3)]);
        assert_eq!(StorePath::Seed.variants(), [StorePath::Seed]);
    }
}
