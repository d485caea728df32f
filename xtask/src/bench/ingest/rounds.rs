//! Runs all measurements of the plan, round after round. Each starts with an empty table and ends
//! with a check of the stored points.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use e2e::Memory;
use shared::granularity::Granularity;

use super::calls::{self, IngestCall};
use super::copy::{self, Storage};
use super::figures::IngestFigures;
use super::latency;
use super::many_series;
use super::plan::{MEASUREMENTS, Measurement, Plan, StorePath, Workload};
use super::render::Form;
use super::rival;
use super::seed;
use super::shape::{DAY, SECOND, Shape};
use crate::bench::step;
use crate::bench::table::PointsTable;
use crate::own_database::OwnDatabase;
use crate::service::Service;

/// Connections that store the history of late points.
const HISTORY_CONNECTIONS: usize = 2;

/// Everything that the measurements need.
pub(super) struct IngestBench<'a> {
    pub(super) plan: Plan,
    pub(super) database: &'a OwnDatabase,
    pub(super) table: PointsTable<'a>,
    pub(super) service: Service,
    pub(super) series_ids: Vec<i32>,
    pub(super) python: PathBuf,
    pub(super) scratch: &'a Path,
    /// Interval between two points under light load.
    pub(super) light_pause: Duration,
    /// Length of the light load.
    pub(super) light_length: Duration,
}

impl IngestBench<'_> {
    pub(super) async fn measure(&self) -> anyhow::Result<IngestFigures> {
        let mut figures = IngestFigures::default();
        for round in 1..=self.plan.rounds {
            for measurement in MEASUREMENTS.iter().filter(|measurement| self.can_run(measurement)) {
                let ledger = self.table.ledger_bytes().await?;
                let rate = self.measure_one(measurement).await.with_context(|| measurement.key)?;
                if measurement.workload == Workload::Producers {
                    let shape = self.plan.shape(Workload::Producers);
                    // The ledger remembers all batches, each of one point.
                    let batches = shape.points() + shape.warm_up().points();
                    figures.ledger_bytes_per_batch =
                        Some((self.table.ledger_bytes().await? - ledger) / batches as f64);
                }
                step(&format!("round {round}: {:<28} {rate:>12.0} points/s", measurement.key));
                figures.rates.entry(measurement.key).or_default().push(rate);
                if measurement.key == "series" {
                    figures.bytes_per_point.push(self.bytes_per_point().await?);
                }
            }
        }
        step("measuring acknowledgement latency under light load and at half of the full load");
        self.measure_latencies(&mut figures).await?;
        step("refreshing the rollups with late points");
        figures.late_in_rollups = self.refresh_late_points().await?;
        figures.peak_mib = self.service.memory().and_then(Memory::peak_mib);
        step("measuring a great many series: new ones, then existing ones with an empty cache");
        figures.many_series =
            Some(many_series::measure(self.database, &self.plan.many_series()).await?);
        Ok(figures)
    }

    fn can_run(&self, measurement: &Measurement) -> bool {
        match measurement.path {
            StorePath::Copy { storage: Storage::DirectCompress | Storage::Presorted, .. } => {
                self.table.compresses_directly()
            }
            StorePath::Rival(rival) => rival.is_installed(),
            _ => true,
        }
    }

    /// Returns points per second of the fastest variant of the measurement's path.
    async fn measure_one(&self, measurement: &Measurement) -> anyhow::Result<f64> {
        let shape = self.plan.shape(measurement.workload);
        let mut shortest = Duration::MAX;
        for path in measurement.path.variants() {
            let elapsed = match path {
                StorePath::Rival(rival) => rival::write(rival, &shape, self.scratch).await?,
                _ => self.store_and_count(measurement.workload, path, &shape).await?,
            };
            shortest = shortest.min(elapsed);
        }
        Ok(shape.points() as f64 / shortest.as_secs_f64())
    }

    /// Stores a shape in an emptied table and checks that no point is missing. Returns the time
    /// that it took.
    async fn store_and_count(
        &self,
        workload: Workload,
        path: StorePath,
        shape: &Shape,
    ) -> anyhow::Result<Duration> {
        let before = self.prepare(workload).await?;
        self.store(path, &shape.warm_up()).await?;
        self.table.settle().await?;
        let elapsed = self.store(path, shape).await?;
        let expected = before + (shape.warm_up().points() + shape.points()) as u64;
        let found = self.table.count_points().await?;
        ensure!(found == expected, "{expected} points were acknowledged, but {found} are stored");
        Ok(elapsed)
    }

    async fn store(&self, path: StorePath, shape: &Shape) -> anyhow::Result<Duration> {
        match path {
            StorePath::Copy { storage, connections } => {
                copy::write(self.database, shape, &self.series_ids, storage, connections).await
            }
            StorePath::Service(call, form) => calls::send(&self.service, call, shape, form).await,
            StorePath::Seed => {
                seed::write(&self.python, self.database.url(), shape, self.scratch).await
            }
            StorePath::Rival(rival) => rival::write(rival, shape, self.scratch).await,
        }
    }

    /// Empties the table. For late points, stores, compresses and materialises their history.
    /// Returns the number of points in the table.
    async fn prepare(&self, workload: Workload) -> anyhow::Result<u64> {
        self.table.empty().await?;
        if workload != Workload::Late {
            return Ok(0);
        }
        let history = self.plan.history();
        copy::write(
            self.database,
            &history,
            &self.series_ids,
            Storage::RowStore,
            HISTORY_CONNECTIONS,
        )
        .await?;
        let days = i64::try_from(history.days)?;
        let span = days * DAY;
        self.table.refresh(history.start - span, history.start + span).await?;
        self.table.compress().await?;
        self.table.settle().await?;
        Ok(history.points() as u64)
    }

    /// Returns the seconds that the policies take until all rollups contain late points.
    ///
    /// Before the refresh, the rollups must not contain them, because their range is already
    /// materialised. This measurement runs last, because it materialises everything else as well.
    async fn refresh_late_points(&self) -> anyhow::Result<f64> {
        self.prepare(Workload::Late).await?;
        let shape = self.plan.shape(Workload::Late);
        let path = StorePath::Service(IngestCall::IngestWithAcks, Form::Series);
        self.store(path, &shape).await?;
        let stored = self.table.count_points().await?;
        for rollup in Granularity::ROLLUPS {
            let counted = self.table.count_in_rollup(rollup).await?;
            ensure!(
                counted < stored,
                "{} contains late points before its refresh",
                rollup.relation()
            );
        }
        let began = Instant::now();
        self.table.run_refresh_policies().await?;
        let elapsed = began.elapsed();
        for rollup in Granularity::ROLLUPS {
            let counted = self.table.count_in_rollup(rollup).await?;
            ensure!(
                counted == stored,
                "{} contains {counted} of {stored} points after its refresh",
                rollup.relation()
            );
        }
        Ok(elapsed.as_secs_f64())
    }

    /// Compresses the points of the last measurement. Returns their bytes per point.
    async fn bytes_per_point(&self) -> anyhow::Result<f64> {
        self.table.compress().await?;
        let points = self.table.count_points().await?;
        Ok(self.table.bytes().await? as f64 / points as f64)
    }

    async fn measure_latencies(&self, figures: &mut IngestFigures) -> anyhow::Result<()> {
        self.table.empty().await?;
        let few = self.plan.shape(Workload::Few);
        calls::send(&self.service, IngestCall::IngestWithAcks, &few.warm_up(), Form::Series)
            .await?;
        let pause_ms = self.light_pause.as_millis().max(1);
        let steps = usize::try_from(self.light_length.as_millis() / pause_ms)?;
        // Starts half an hour before the other points. The warm-up has created that chunk, but has
        // no points there.
        let light = Shape { steps, start: few.start - 1_800 * SECOND, ..few };
        figures.light = latency::light(&self.service, &light, self.light_pause).await?;
        if let Some(rate) = figures.rate("series") {
            let half = self.plan.paced(rate / 2.0, if self.plan.rounds == 1 { 3 } else { 10 });
            figures.half_load = latency::at_rate(&self.service, &half, rate / 2.0).await?;
        }
        Ok(())
    }
}
