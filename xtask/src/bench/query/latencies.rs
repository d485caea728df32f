//! Latencies of the answers, by question and path.

use std::collections::BTreeMap;

use super::paths::QueryPath;
use super::question::Question;

/// Milliseconds of each answer, in the order of the queries.
pub(super) type AnswerLatencies = BTreeMap<(Question, QueryPath), Vec<f64>>;
