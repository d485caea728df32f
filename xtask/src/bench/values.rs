//! Values of simulated devices.

use std::f64::consts::TAU;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::StandardNormal;

const DAY: i64 = 86_400_000_000;

/// Returns a noisy value with three decimals, like that of a sensor. It depends only on the device
/// and the time in microseconds, so it can be computed again at any time.
pub(super) fn value(device: usize, time: i64) -> f64 {
    let own = 15.0 + (device % 100) as f64 / 10.0;
    let swing = 3.0 * (TAU * time as f64 / DAY as f64).sin();
    let noise: f64 = SmallRng::seed_from_u64(((device as u64) << 44) ^ time.unsigned_abs())
        .sample(StandardNormal);
    ((own + swing + 0.25 * noise) * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_the_same_every_time() {
        assert_eq!(value(3, DAY), value(3, DAY));
        assert_ne!(value(3, DAY), value(4, DAY));
        assert_ne!(value(3, DAY), value(3, DAY + 1));
    }
}
