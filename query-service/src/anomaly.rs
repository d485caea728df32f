//! Detection of anomalies, for `DetectAnomalies` and `WatchAnomalies` alike.
//!
//! | module | does |
//! |---|---|
//! | `rules` | decides whether a point is an anomaly; pure arithmetic |
//! | `robust_baseline` | reads the baseline of the robust rule, which needs every value |
//! | `window_judges` | reads the baseline of one series and judges one window of it |
//! | `step_baselines` | reads the baselines of many series and judges their points step by step |
//! | `messages` | converts anomalies and baselines to messages of the contract |

pub(crate) mod messages;
mod robust_baseline;
pub(crate) mod rules;
pub(crate) mod step_baselines;
pub(crate) mod window_judges;
