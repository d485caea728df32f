//! Random series from the whole accepted range.

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

/// Points of one series, time and value, in the order of time and then of value.
pub(crate) type Points = Vec<(i64, f64)>;

/// What the values of a series are like.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Numbers too small to be normal.
    Denormal,
    /// 0 and numbers whose squares are too small for a double.
    TinySquares,
    /// The smallest number and zeros: no part of it is left after a division.
    Smallest,
    /// The largest numbers of either sign.
    Largest,
    /// All magnitudes there are.
    AnyMagnitude,
    /// From 1e-100 to 1e100, all positive.
    TwoHundredOrders,
    /// One value, the same in all minutes.
    Constant,
    Zero,
    /// Ordinary values, which must not suffer from their neighbours.
    Ordinary,
}

/// Devices and their kinds, all in the same minutes.
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

/// Points in [start, end): at most five a minute, some of one timestamp.
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

/// Evenly among the orders of magnitude.
fn magnitude(random: &mut StdRng, from: i32, to: i32) -> f64 {
    let order = random.random_range(from..=to);
    let digits = if order == to { 1.0 } else { random.random_range(1.0..10.0) };
    format!("{digits}e{order}").parse().unwrap()
}
