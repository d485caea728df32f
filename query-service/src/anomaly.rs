//! Detection of anomalies, for `DetectAnomalies` and `WatchAnomalies` alike.
//!
//! | module | does |
//! |---|---|
//! | `rules` | decides whether a point is an anomaly; pure arithmetic |

pub(crate) mod rules;
