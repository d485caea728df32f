//! What is measured: shapes of points, and ways of storing them.

use super::calls::Call;
use super::copy::Storage;
use super::render::Form;
use super::shape::{DAY, SECOND, Shape};
use crate::bench::rival::Rival;

/// A way of storing points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Way {
    Copy(Storage),
    Service(Call, Form),
    Seed,
    Rival(Rival),
}

/// Which points are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// 1,000 devices, 100 points a series in a flush.
    Few,
    /// The first of the same points.
    Seed,
    /// 100,000 devices, one point a series in a flush.
    Single,
    /// Like `Few`, days back, between points that are compressed and rolled up.
    Late,
    /// 100,000 devices, 100 points a series in a batch.
    Many,
    /// 1,000 producers, each with a device of its own, one point a batch.
    Producers,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measurement {
    /// Its key in the output, without `_pps`.
    pub(super) key: &'static str,
    pub(super) kind: Kind,
    pub(super) way: Way,
}

/// In the order in which a round goes through them.
pub(super) const MEASUREMENTS: [Measurement; 22] = {
    use Call::{Ingest, IngestBatch, IngestWithAcks, OfManyProducers};
    use Form::{Row, Series};
    use Storage::{DirectCompress, Presorted, RowStore};
    const fn of(key: &'static str, kind: Kind, way: Way) -> Measurement {
        Measurement { key, kind, way }
    }
    [
        of("copy_row_store", Kind::Few, Way::Copy(RowStore)),
        of("copy_direct_compress", Kind::Few, Way::Copy(DirectCompress)),
        of("copy_presorted", Kind::Few, Way::Copy(Presorted)),
        of("series", Kind::Few, Way::Service(IngestWithAcks, Series)),
        of("row", Kind::Few, Way::Service(IngestWithAcks, Row)),
        of("ingest", Kind::Few, Way::Service(Ingest, Series)),
        of("ingest_batch", Kind::Few, Way::Service(IngestBatch, Series)),
        of("influxdb", Kind::Few, Way::Rival(Rival::InfluxDb)),
        of("victoriametrics", Kind::Few, Way::Rival(Rival::VictoriaMetrics)),
        of("seed", Kind::Seed, Way::Seed),
        of("single_copy_row_store", Kind::Single, Way::Copy(RowStore)),
        of("single_copy_direct_compress", Kind::Single, Way::Copy(DirectCompress)),
        of("single_series", Kind::Single, Way::Service(IngestWithAcks, Series)),
        of("single_row", Kind::Single, Way::Service(IngestWithAcks, Row)),
        of("late_copy_row_store", Kind::Late, Way::Copy(RowStore)),
        of("late_copy_direct_compress", Kind::Late, Way::Copy(DirectCompress)),
        of("late_copy_presorted", Kind::Late, Way::Copy(Presorted)),
        of("late_series", Kind::Late, Way::Service(IngestWithAcks, Series)),
        of("many_copy_direct_compress", Kind::Many, Way::Copy(DirectCompress)),
        of("many_copy_presorted", Kind::Many, Way::Copy(Presorted)),
        of("many_series", Kind::Many, Way::Service(IngestWithAcks, Series)),
        of("producers", Kind::Producers, Way::Service(OfManyProducers, Series)),
    ]
};

/// How many points, how often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) rounds: usize,
    /// Devices of `Kind::Single` and `Kind::Many`.
    pub(super) many_devices: usize,
    /// Series that are all new to a service at once.
    pub(super) most_devices: usize,
    few_steps: usize,
    other_steps: usize,
    /// Microseconds since the Unix epoch.
    now: i64,
}

impl Plan {
    /// The embedded database is slower and keeps everything in memory: it gets fewer points.
    pub(super) fn new(quick: bool, embedded: bool, now: i64) -> Self {
        let (few_steps, other_steps) = match (embedded, quick) {
            (true, _) => (10, 4),
            (false, true) => (30, 10),
            (false, false) => (60, 20),
        };
        let many_devices = if embedded { 10_000 } else { 100_000 };
        let most_devices = if quick || embedded { 2 * many_devices } else { 1_000_000 };
        Self {
            rounds: if quick { 1 } else { 3 },
            many_devices,
            most_devices,
            few_steps,
            other_steps,
            now,
        }
    }

    pub(super) fn shape(&self, kind: Kind) -> Shape {
        let start = self.days_back(2);
        let few = Shape { devices: 1_000, run: 100, steps: self.few_steps, start, days: 1 };
        match kind {
            Kind::Few => few,
            Kind::Seed => Shape { run: 10, steps: 5, ..few },
            Kind::Single => {
                Shape { devices: self.many_devices, run: 1, steps: self.other_steps, ..few }
            }
            Kind::Late => {
                // Between the seconds of what is there.
                let start = self.days_back(10) + SECOND / 2;
                Shape { steps: self.other_steps, start, days: 2, ..few }
            }
            Kind::Many => Shape { devices: self.many_devices, steps: 1, ..few },
            Kind::Producers => Shape { run: 1, steps: 5 * self.other_steps, ..few },
        }
    }

    /// What late points land between.
    pub(super) fn history(&self) -> Shape {
        let late = self.shape(Kind::Late);
        Shape { start: self.days_back(10), steps: late.days, ..late }
    }

    /// The points of `Kind::Few`, for as many seconds at a rate of so many points a second.
    pub(super) fn paced(&self, points_per_second: f64, seconds: usize) -> Shape {
        let few = self.shape(Kind::Few);
        let per_step = (few.devices * few.run) as f64;
        let wanted = points_per_second * seconds as f64 / per_step;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a few hundred at most
        Shape { steps: (wanted as usize).max(1), ..few }
    }

    /// Two hours into a day, so that a shape with its warm-up stays in one chunk.
    fn days_back(&self, days: i64) -> i64 {
        self.now - self.now.rem_euclid(DAY) - days * DAY + 7_200 * SECOND
    }
}
