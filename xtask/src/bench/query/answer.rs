//! Answers in a common form, in which they are compared after the clock has stopped.

use std::time::Duration;

use anyhow::ensure;

use super::question::PlacedQuestion;

/// An answer, and the time until it was decoded in memory.
pub(super) struct TimedAnswer {
    pub(super) elapsed: Duration,
    pub(super) answer: Answer,
}

/// Rows of an answer, stored as columns.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Answer {
    /// Microseconds since the Unix epoch. Empty if the path does not return times.
    pub(super) times: Vec<i64>,
    /// Columns, each with one value per row.
    pub(super) columns: Vec<Vec<f64>>,
    /// Values that belong to no row: mean and standard deviation of a baseline.
    pub(super) scalars: Vec<f64>,
}

impl Answer {
    pub(super) fn rows(&self) -> usize {
        self.columns.first().map_or(0, Vec::len)
    }

    /// Fails unless the answer has the number of rows that the question requires.
    pub(super) fn check_rows(&self, placed: &PlacedQuestion) -> anyhow::Result<()> {
        let wanted = placed.question.rows().unwrap_or(self.rows());
        ensure!(self.rows() == wanted, "{} rows instead of {wanted}: {placed:?}", self.rows());
        Ok(())
    }

    /// Fails unless two answers are equal, except for rounding.
    pub(super) fn check_equal(&self, other: &Self, tolerance: f64) -> anyhow::Result<()> {
        ensure!(
            self.rows() == other.rows(),
            "one answer has {} rows, the other {}",
            self.rows(),
            other.rows()
        );
        if !self.times.is_empty() && !other.times.is_empty() {
            ensure!(self.times == other.times, "the times differ");
        }
        ensure!(self.columns.len() == other.columns.len(), "the numbers of columns differ");
        let columns =
            self.columns.iter().zip(&other.columns).chain([(&self.scalars, &other.scalars)]);
        for (these, others) in columns {
            ensure!(
                these.len() == others.len(),
                "one column has {} values, the other {}",
                these.len(),
                others.len()
            );
            for (this, other) in these.iter().zip(others) {
                let near = (this - other).abs() <= tolerance * this.abs().max(other.abs()).max(1.0);
                ensure!(near, "{this} differs from {other}");
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
    fn answers_that_differ_are_found() {
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
