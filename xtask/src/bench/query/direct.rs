//! Queries the database directly, on one connection, with prepared statements whose rows go into a
//! vector.

use std::time::Instant;

use anyhow::Context as _;
use shared::db::Micros;
use sqlx::postgres::PgConnection;

use super::answer::{Answer, TimedAnswer};
use super::data::METRIC;
use super::question::{PlacedQuestion, Question};

/// Mean and standard deviation of the baseline, number of tested points, time and value of an
/// anomaly.
type AnomalyRow = (f64, f64, i64, Option<Micros>, Option<f64>);

/// A connection with the same session settings as query-service.
pub(super) struct DirectClient(PgConnection);

impl DirectClient {
    pub(super) fn new(connection: PgConnection) -> Self {
        Self(connection)
    }

    pub(super) async fn query(&mut self, placed: &PlacedQuestion) -> anyhow::Result<TimedAnswer> {
        match placed.question {
            Question::DayInMinutes => {
                self.buckets(placed, include_str!("sql/buckets_1min.sql")).await
            }
            Question::MonthInHours => {
                self.buckets(placed, include_str!("sql/buckets_1hour.sql")).await
            }
            Question::Newest => self.newest(placed).await,
            Question::FleetAverage => self.fleet_average(placed).await,
            Question::Anomalies => self.anomalies(placed).await,
            Question::MillionPoints => self.points(placed).await,
        }
    }

    async fn buckets(
        &mut self,
        placed: &PlacedQuestion,
        statement: &'static str,
    ) -> anyhow::Result<TimedAnswer> {
        let began = Instant::now();
        let rows: Vec<(Micros, f64, f64, f64)> = sqlx::query_as(statement)
            .bind(&placed.device)
            .bind(METRIC)
            .bind(Micros(placed.start))
            .bind(Micros(placed.end))
            .fetch_all(&mut self.0)
            .await?;
        let elapsed = began.elapsed();
        let column = |of: fn(&(Micros, f64, f64, f64)) -> f64| rows.iter().map(of).collect();
        let columns = vec![column(|row| row.1), column(|row| row.2), column(|row| row.3)];
        let times = rows.iter().map(|row| row.0.0).collect();
        Ok(TimedAnswer { elapsed, answer: Answer { times, columns, scalars: Vec::new() } })
    }

    async fn points(&mut self, placed: &PlacedQuestion) -> anyhow::Result<TimedAnswer> {
        let began = Instant::now();
        let rows: Vec<(Micros, f64)> = sqlx::query_as(include_str!("sql/raw.sql"))
            .bind(&placed.device)
            .bind(METRIC)
            .bind(Micros(placed.start))
            .bind(Micros(placed.end))
            .fetch_all(&mut self.0)
            .await?;
        Ok(TimedAnswer { elapsed: began.elapsed(), answer: answer(&rows) })
    }

    /// Plans the statement at each execution. PostgreSQL's generic plan would compare each row with
    /// each series id of the list.
    async fn fleet_average(&mut self, placed: &PlacedQuestion) -> anyhow::Result<TimedAnswer> {
        let began = Instant::now();
        let series_ids: Vec<i32> = sqlx::query_scalar(include_str!("sql/series_of_fleet.sql"))
            .bind(&placed.device)
            .bind(METRIC)
            .fetch_all(&mut self.0)
            .await?;
        let rows: Vec<(Micros, f64)> = sqlx::query_as(include_str!("sql/fleet_average.sql"))
            .bind(series_ids)
            .bind(Micros(placed.start))
            .bind(Micros(placed.end))
            .persistent(false)
            .fetch_all(&mut self.0)
            .await?;
        Ok(TimedAnswer { elapsed: began.elapsed(), answer: answer(&rows) })
    }

    async fn newest(&mut self, placed: &PlacedQuestion) -> anyhow::Result<TimedAnswer> {
        let devices = placed.fleet();
        let began = Instant::now();
        let rows: Vec<(Micros, f64)> = sqlx::query_as(include_str!("sql/newest.sql"))
            .bind(devices)
            .bind(METRIC)
            .fetch_all(&mut self.0)
            .await?;
        Ok(TimedAnswer { elapsed: began.elapsed(), answer: answer(&rows) })
    }

    async fn anomalies(&mut self, placed: &PlacedQuestion) -> anyhow::Result<TimedAnswer> {
        let began = Instant::now();
        let rows: Vec<AnomalyRow> = sqlx::query_as(include_str!("sql/anomalies.sql"))
            .bind(&placed.device)
            .bind(METRIC)
            .bind(Micros(placed.baseline_start()))
            .bind(Micros(placed.start))
            .bind(Micros(placed.end))
            .fetch_all(&mut self.0)
            .await?;
        let elapsed = began.elapsed();
        let (mean, stddev, ..) = rows.first().context("no baseline")?;
        let scalars = vec![*mean, *stddev];
        let found: Vec<(Micros, f64)> = rows.iter().filter_map(|row| row.3.zip(row.4)).collect();
        Ok(TimedAnswer { elapsed, answer: Answer { scalars, ..answer(&found) } })
    }
}

fn answer(rows: &[(Micros, f64)]) -> Answer {
    let times = rows.iter().map(|row| row.0.0).collect();
    Answer { times, columns: vec![rows.iter().map(|row| row.1).collect()], scalars: Vec::new() }
}
