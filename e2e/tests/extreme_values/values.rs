//! Random series from the whole accepted range.

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

/// Points of one series as time and value, ordered by time and then by value.
pub(crate) type Points = Vec<(i64, f64)>;

/// The character of a series' values.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Subnormal numbers.
    Denormal,
    /// 0 and numbers whose squares underflow.
    TinySquares,
    /// The smallest positive number and zeros. Any division yields zero.
    Smallest,
    /// The largest numbers of either sign.
    Largest,
    /// All magnitudes.
    AnyMagnitude,
    /// Positive numbers from 1e-100 to 1e100.
    TwoHundredOrders,
    /// One value for all points.
    Constant,
    Zero,
    /// Ordinary values, which other series must not affect.
    Ordinary,
}

/// Devices and their kinds. All have points in the same minutes.
pub(crate) const KINDS: [(&str, Kind); 10] = [
    ("denormal", Kind::Denormal),
    ("tiny", Kind::TinySquares),
    ("smallest", Kind::Smallest),
    ("largest", Kind::Largest),
    ("any-a", Kind::AnyMagnitude),
    ("any-b", Kind::AnyMagnitude),
    ("orders", Kind::TwoHundredOrders),
    ("constant", Kind::Constant),
    ("zero", Kind::Zero),
    ("ordinary", Kind::Ordinary),
];

/// Returns points in `[start, end)`: a few per minute, some with the same timestamp.
pub(crate) fn points(random: &mut StdRng, kind: Kind, start: i64, end: i64) -> Points {
    let constant = value(random, Kind::AnyMagnitude);
    let mut points = Points::new();
    let mut time = start;
    while time < end {
        let value = if matches!(kind, Kind::Constant) { constant } else { value(random, kind) };
        points.push((time, value));
        time +=
            if random.random_bool(0.05) { 0 } else { random.random_range(1_000_000..40_000_000) };
    }
    points.sort_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)));
    points
}

fn value(random: &mut StdRng, kind: Kind) -> f64 {
    let sign = if random.random_bool(0.5) { -1.0 } else { 1.0 };
    match kind {
        Kind::Denormal => sign * f64::from_bits(random.random_range(1..1_u64 << 52)),
        Kind::TinySquares => *[0.0, 3e-162, -1e-163, 1.5e-154, 1e-170].choose(random).unwrap(),
        Kind::Smallest => *[5e-324, 0.0, 0.0].choose(random).unwrap(),
        Kind::Largest => sign * *[1e100, 9.9e99, 1e99].choose(random).unwrap(),
        Kind::AnyMagnitude => sign * magnitude(random, -323, 100),
        Kind::TwoHundredOrders => magnitude(random, -100, 100),
        Kind::Zero | Kind::Constant => 0.0,
        Kind::Ordinary => random.random_range(15.0..25.0),
    }
}

/// Returns a number with a uniformly distributed order of magnitude.
fn magnitude(random: &mut StdRng, from: i32, to: i32) -> f64 {
    let order = random.random_range(from..=to);
    let digits = if order == to { 1.0 } else { random.random_range(1.0..10.0) };
    format!("{digits}e{order}").parse().unwrap()
}
