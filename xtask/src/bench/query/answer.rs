//! Answers in one form, to be compared once the clock has stopped.

use std::time::Duration;

use anyhow::ensure;

use super::question::Asked;

/// What a way of asking said, and how long that took until it lay decoded in memory.
pub(super) struct Timed {
    pub(super) elapsed: Duration,
    pub(super) answer: Answer,
}

/// Rows of an answer in columns.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Answer {
    /// Microseconds since the Unix epoch; empty where the way does not say them.
    pub(super) times: Vec<i64>,
    /// Columns of as many values as there are rows.
    pub(super) columns: Vec<Vec<f64>>,
    /// What belongs to no row: mean and standard deviation of a baseline.
    pub(super) scalars: Vec<f64>,
}

impl Answer {
    pub(super) fn rows(&self) -> usize {
        self.columns.first().map_or(0, Vec::len)
    }

    /// Whether it has as many rows as the question must have.
    pub(super) fn check_rows(&self, asked: &Asked) -> anyhow::Result<()> {
        let wanted = asked.question.rows().unwrap_or(self.rows());
        ensure!(self.rows() == wanted, "{} rows in place of {wanted}: {asked:?}", self.rows());
        Ok(())
    }

    /// Whether two ways say the same, but for the last digits.
    pub(super) fn check_equal(&self, other: &Self, tolerance: f64) -> anyhow::Result<()> {
        ensure!(self.rows() == other.rows(), "{} rows and {} rows", self.rows(), other.rows());
        if !self.times.is_empty() && !other.times.is_empty() {
            ensure!(self.times == other.times, "the times differ");
        }
        ensure!(self.columns.len() == other.columns.len(), "the columns differ");
        let columns =
            self.columns.iter().zip(&other.columns).chain([(&self.scalars, &other.scalars)]);
        for (these, others) in columns {
            ensure!(
                these.len() == others.len(),
                "{} values and {} values",
                these.len(),
                others.len()
            );
            for (this, other) in these.iter().zip(others) {
                let near = (this - other).abs() <= tolerance * this.abs().max(other.abs()).max(1.0);
                ensure!(near, "{this} and {other}");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(values: &[f64]) -> Answer {
        Answer { times: vec![1, 2], columns: vec![values.to_vec()], scalars: vec![] }
    }

    #[test]
    fn what_differs_is_found() {
        let one = answer(&[1.0, 2.0]);
        assert!(one.check_equal(&answer(&[1.0, 2.0 + 1e-12]), 1e-9).is_ok());
        assert!(one.check_equal(&answer(&[1.0, 2.1]), 1e-9).is_err());
        assert!(one.check_equal(&answer(&[1.0, f64::NAN]), 1e-9).is_err());
        assert!(one.check_equal(&answer(&[1.0]), 1e-9).is_err());
        assert!(
            one.check_equal(&Answer { times: vec![1, 3], ..answer(&[1.0, 2.0]) }, 1e-9).is_err()
        );
        assert!(one.check_equal(&Answer { times: vec![], ..answer(&[1.0, 2.0]) }, 1e-9).is_ok());
    }
}
