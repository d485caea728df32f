//! Asks the database directly, on one connection: prepared statements, rows into a vector.

use std::time::Instant;

use anyhow::Context as _;
use shared::db::Micros;
use sqlx::postgres::PgConnection;

use super::answer::{Answer, Timed};
use super::data::METRIC;
use super::question::{Asked, Question};

/// Mean and deviation of the baseline, points tested, time and value of one that stands out.
type AnomalyRow = (f64, f64, i64, Option<Micros>, Option<f64>);

/// A connection with the settings that query-service has.
pub(super) struct DirectClient(PgConnection);

impl DirectClient {
    pub(super) fn new(connection: PgConnection) -> Self {
        Self(connection)
    }

    pub(super) async fn ask(&mut self, asked: &Asked) -> anyhow::Result<Timed> {
        match asked.question {
            Question::DayInMinutes => {
                self.buckets(asked, include_str!("sql/buckets_1min.sql")).await
            }
            Question::MonthInHours => {
                self.buckets(asked, include_str!("sql/buckets_1hour.sql")).await
            }
            Question::Newest => self.newest(asked).await,
            Question::FleetAverage => self.fleet_average(asked).await,
            Question::Anomalies => self.anomalies(asked).await,
            Question::MillionPoints => self.points(asked).await,
        }
    }

    async fn buckets(&mut self, asked: &Asked, statement: &'static str) -> anyhow::Result<Timed> {
        let began = Instant::now();
        let rows: Vec<(Micros, f64, f64, f64)> = sqlx::query_as(statement)
            .bind(&asked.device)
            .bind(METRIC)
            .bind(Micros(asked.start))
            .bind(Micros(asked.end))
            .fetch_all(&mut self.0)
            .await?;
        let elapsed = began.elapsed();
        let column = |of: fn(&(Micros, f64, f64, f64)) -> f64| rows.iter().map(of).collect();
        let columns = vec![column(|row| row.1), column(|row| row.2), column(|row| row.3)];
        let times = rows.iter().map(|row| row.0.0).collect();
        Ok(Timed { elapsed, answer: Answer { times, columns, scalars: Vec::new() } })
    }

    async fn points(&mut self, asked: &Asked) -> anyhow::Result<Timed> {
        let began = Instant::now();
        let rows: Vec<(Micros, f64)> = sqlx::query_as(include_str!("sql/raw.sql"))
            .bind(&asked.device)
            .bind(METRIC)
            .bind(Micros(asked.start))
            .bind(Micros(asked.end))
            .fetch_all(&mut self.0)
            .await?;
        Ok(Timed { elapsed: began.elapsed(), answer: answer(&rows) })
    }

    /// Planned anew each time: the plan that PostgreSQL keeps for any list compares each row with each number of the list.
    async fn fleet_average(&mut self, asked: &Asked) -> anyhow::Result<Timed> {
        let began = Instant::now();
        let series_ids: Vec<i32> = sqlx::query_scalar(include_str!("sql/series_of_fleet.sql"))
            .bind(&asked.device)
            .bind(METRIC)
            .fetch_all(&mut self.0)
            .await?;
        let rows: Vec<(Micros, f64)> = sqlx::query_as(include_str!("sql/fleet_average.sql"))
            .bind(series_ids)
            .bind(Micros(asked.start))
            .bind(Micros(asked.end))
            .persistent(false)
            .fetch_all(&mut self.0)
            .await?;
        Ok(Timed { elapsed: began.elapsed(), answer: answer(&rows) })
    }

    async fn newest(&mut self, asked: &Asked) -> anyhow::Result<Timed> {
        let devices = asked.fleet();
        let began = Instant::now();
        let rows: Vec<(Micros, f64)> = sqlx::query_as(include_str!("sql/newest.sql"))
            .bind(devices)
            .bind(METRIC)
            .fetch_all(&mut self.0)
            .await?;
        Ok(Timed { elapsed: began.elapsed(), answer: answer(&rows) })
    }

    async fn anomalies(&mut self, asked: &Asked) -> anyhow::Result<Timed> {
        let began = Instant::now();
        let rows: Vec<AnomalyRow> = sqlx::query_as(include_str!("sql/anomalies.sql"))
            .bind(&asked.device)
            .bind(METRIC)
            .bind(Micros(asked.baseline_start()))
            .bind(Micros(asked.start))
            .bind(Micros(asked.end))
            .fetch_all(&mut self.0)
            .await?;
        let elapsed = began.elapsed();
        let (mean, stddev, ..) = rows.first().context("no baseline")?;
        let scalars = vec![*mean, *stddev];
        let found: Vec<(Micros, f64)> = rows.iter().filter_map(|row| row.3.zip(row.4)).collect();
        Ok(Timed { elapsed, answer: Answer { scalars, ..answer(&found) } })
    }
}

fn answer(rows: &[(Micros, f64)]) -> Answer {
    let times = rows.iter().map(|row| row.0.0).collect();
    Answer { times, columns: vec![rows.iter().map(|row| row.1).collect()], scalars: Vec::new() }
}
