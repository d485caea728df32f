//! Measures everything of the plan, round after round, each time on an emptied table, and checks what is stored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use e2e::Memory;
use shared::granularity::Granularity;

use super::calls::{self, Call};
use super::copy::{self, Storage};
use super::latency::{self, Latencies};
use super::plan::{Kind, MEASUREMENTS, Measurement, Plan, Way};
use super::render::Form;
use super::rival;
use super::seed;
use super::series::ManySeries;
use super::shape::{DAY, SECOND, Shape};
use crate::bench::numbers::median;
use crate::bench::step;
use crate::bench::table::Table;
use crate::own_database::OwnDatabase;
use crate::service::Service;

/// Connections that store what late points land between.
const HISTORY_CONNECTIONS: usize = 2;

/// Everything that was found out.
#[derive(Default)]
pub(super) struct Figures {
    /// Points per second of each round, by the key of the measurement.
    pub(super) rates: BTreeMap<&'static str, Vec<f64>>,
    /// Bytes per point after compression, of each round.
    pub(super) bytes_per_point: Vec<f64>,
    /// Bytes on disk that the ledger takes for each batch that it remembers.
    pub(super) ledger_bytes_per_batch: Option<f64>,
    /// Seconds until late points are in all rollups.
    pub(super) late_in_rollups: f64,
    pub(super) light: Latencies,
    pub(super) half_load: Latencies,
    pub(super) peak_mib: Option<f64>,
    pub(super) many_series: Option<ManySeries>,
}

impl Figures {
    /// The median of the rounds; `None` for what was not measured.
    pub(super) fn rate(&self, key: &str) -> Option<f64> {
        self.rates.get(key).map(|rates| median(rates))
    }
}

/// What measurements need.
pub(super) struct Bench<'a> {
    pub(super) plan: Plan,
    pub(super) database: &'a OwnDatabase,
    pub(super) table: Table<'a>,
    pub(super) service: Service,
    pub(super) series_ids: Vec<i32>,
    pub(super) python: PathBuf,
    pub(super) scratch: &'a Path,
    /// Time between two points under light load, and how long that goes on.
    pub(super) light: (Duration, Duration),
}

impl Bench<'_> {
    pub(super) async fn measure(&self) -> anyhow::Result<Figures> {
        let mut figures = Figures::default();
        for round in 1..=self.plan.rounds {
            for measurement in MEASUREMENTS.iter().filter(|measurement| self.can_run(measurement)) {
                let ledger = self.table.ledger_bytes().await?;
                let rate = self.measure_one(measurement).await.with_context(|| measurement.key)?;
                if measurement.kind == Kind::Producers {
                    let shape = self.plan.shape(Kind::Producers);
                    let batches = shape.points() + shape.warm_up().points(); // all of them are remembered
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
        step("waiting for acknowledgements, under light load and at half of the full load");
        self.measure_latencies(&mut figures).await?;
        step("bringing late points into the rollups");
        figures.late_in_rollups = self.bring_late_into_rollups().await?;
        figures.peak_mib = self.service.memory().and_then(Memory::peak_mib);
        step("a great many series: new ones, and a service that has just started");
        figures.many_series = Some(self.measure_many_series().await?);
        Ok(figures)
    }

    fn can_run(&self, measurement: &Measurement) -> bool {
        match measurement.way {
            Way::Copy(Storage::DirectCompress | Storage::Presorted) => {
                self.table.compresses_directly()
            }
            Way::Rival(rival) => rival.is_installed(),
            _ => true,
        }
    }

    /// Returns points per second; for the limit, with the number of connections that suits it best.
    async fn measure_one(&self, measurement: &Measurement) -> anyhow::Result<f64> {
        let shape = self.plan.shape(measurement.kind);
        let mut shortest = Duration::MAX;
        match measurement.way {
            Way::Rival(rival) => shortest = rival::write(rival, &shape, self.scratch).await?,
            Way::Copy(_) => {
                for connections in copy::CONNECTIONS {
                    shortest =
                        shortest.min(self.store_and_count(measurement, &shape, connections).await?);
                }
            }
            _ => shortest = self.store_and_count(measurement, &shape, 0).await?,
        }
        Ok(shape.points() as f64 / shortest.as_secs_f64())
    }

    /// Stores a shape in an emptied table, and checks that nothing is missing. Returns how long it took.
    async fn store_and_count(
        &self,
        measurement: &Measurement,
        shape: &Shape,
        connections: usize,
    ) -> anyhow::Result<Duration> {
        let before = self.prepare(measurement.kind).await?;
        self.store(measurement.way, &shape.warm_up(), connections).await?;
        self.table.settle().await?;
        let elapsed = self.store(measurement.way, shape, connections).await?;
        let wanted = before + (shape.warm_up().points() + shape.points()) as u64;
        let found = self.table.count_points().await?;
        ensure!(found == wanted, "{wanted} points were acknowledged, {found} are stored");
        Ok(elapsed)
    }

    /// `connections` counts for COPY only: the other ways have their own.
    async fn store(&self, way: Way, shape: &Shape, connections: usize) -> anyhow::Result<Duration> {
        match way {
            Way::Copy(storage) => {
                copy::write(self.database, shape, &self.series_ids, storage, connections).await
            }
            Way::Service(call, form) => calls::send(&self.service, call, shape, form).await,
            Way::Seed => seed::write(&self.python, self.database.url(), shape, self.scratch).await,
            Way::Rival(rival) => rival::write(rival, shape, self.scratch).await,
        }
    }

    /// Empties the table; for late points, puts compressed and rolled up ones there. Says how many it holds.
    async fn prepare(&self, kind: Kind) -> anyhow::Result<u64> {
        self.table.empty().await?;
        if kind != Kind::Late {
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

    /// Seconds that the policies take until all rollups count late points. Before, they do not: the points lie where the rollups
    /// had been materialised. This comes last, for it materialises all else as well.
    async fn bring_late_into_rollups(&self) -> anyhow::Result<f64> {
        self.prepare(Kind::Late).await?;
        let shape = self.plan.shape(Kind::Late);
        self.store(Way::Service(Call::IngestWithAcks, Form::Series), &shape, 0).await?;
        let stored = self.table.count_points().await?;
        for rollup in Granularity::ROLLUPS {
            let counted = self.table.count_in_rollup(rollup).await?;
            ensure!(
                counted < stored,
                "{} counts late points before it is refreshed",
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
                "{} counts {counted} of {stored} points after its refresh",
                rollup.relation()
            );
        }
        Ok(elapsed.as_secs_f64())
    }

    /// Of what the last measurement stored.
    async fn bytes_per_point(&self) -> anyhow::Result<f64> {
        self.table.compress().await?;
        let points = self.table.count_points().await?;
        Ok(self.table.bytes().await? as f64 / points as f64)
    }

    async fn measure_latencies(&self, figures: &mut Figures) -> anyhow::Result<()> {
        self.table.empty().await?;
        let few = self.plan.shape(Kind::Few);
        calls::send(&self.service, Call::IngestWithAcks, &few.warm_up(), Form::Series).await?;
        let (pause, length) = self.light;
        let steps = usize::try_from(length.as_millis() / pause.as_millis().max(1))?;
        // Half an hour before the others: in the chunk that the warm-up made, between none of its points.
        let light = Shape { steps, start: few.start - 1_800 * SECOND, ..few };
        figures.light = latency::light(&self.service, &light, pause).await?;
        if let Some(rate) = figures.rate("series") {
            let half = self.plan.paced(rate / 2.0, if self.plan.rounds == 1 { 3 } else { 10 });
            figures.half_load = latency::at_rate(&self.service, &half, rate / 2.0).await?;
        }
        Ok(())
    }
}
