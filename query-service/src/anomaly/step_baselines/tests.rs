use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Returns the rows of series 1 in the minute rollup: series id, minute, moments.
fn minutes(points: &[(i64, f64)]) -> Vec<(i32, i64, Moments)> {
    let mut minutes: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for (minute, value) in points {
        minutes.entry(minute * MINUTE).or_default().push(*value);
    }
    minutes.into_iter().map(|(minute, values)| (1, minute, Moments::of(&values))).collect()
}

proptest! {
    #[test]
    fn the_baseline_before_each_minute_contains_exactly_its_points(
        points in vec((0..400_i64, -10.0..10.0), 0..300),
        length in 1..200_i64,
        first in 200..300_i64,
        steps in 0..70_i64,
    ) {
        let length = length * MINUTE;
        let last = (first + steps) * MINUTE;
        let first = first * MINUTE;
        let ranges = BaselineRanges::new(length, first, last);
        let rows = minutes(&points);
        let within = |(start, end): (i64, i64)| {
            rows.iter().filter(move |row| (start..end).contains(&row.1)).copied()
        };
        let middle = ranges
            .middle
            .into_iter()
            .flat_map(within)
            .fold(Moments::EMPTY, |all, row| all.combine(row.2));
        let middle = if middle.count == 0 { HashMap::new() } else { HashMap::from([(1, middle)]) };
        let ends = ranges.ends.into_iter().flat_map(within).collect();
        let sliding = SlidingBaselines { length, middle, ends };
        for minute in (first..=last).step_by(60_000_000) {
            let baseline = minute - length..minute;
            let inside = points.iter().filter(|(at, _)| baseline.contains(&(at * MINUTE)));
            let expected = Moments::of(&inside.map(|(_, value)| *value).collect::<Vec<_>>());
            let found = sliding.before(minute).get(&1).copied().unwrap_or(Moments::EMPTY);
            let exact = |moments: &Moments| (moments.count, moments.min, moments.max);
            prop_assert_eq!(exact(&found), exact(&expected));
            if expected.count > 1 {
                prop_assert!((found.mean - expected.mean).abs() < 1e-9);
                prop_assert!((found.stddev() - expected.stddev()).abs() < 1e-9);
            }
        }
    }
}

fn judged(values: &[f64]) -> JudgedBaseline {
    let moments = Moments::of(values);
    JudgedBaseline { judge: Judge::z_score(&moments, 3.0, 2), moments, median: None }
}

#[test]
fn a_value_within_the_narrowest_bounds_is_no_anomaly_in_any_step() {
    let query = WatchQuery {
        selectors: Vec::new(),
        method: AnomalyMethod::ZScore,
        baseline: MINUTE,
        threshold: 3.0,
        min_baseline_count: 2,
        resume_token: String::new(),
    };
    let mut baselines = StepBaselines::new(Relations::default(), query);
    baselines.steps.insert(0, HashMap::from([(1, judged(&[1.0, 2.0, 3.0])), (2, judged(&[]))]));
    baselines.steps.insert(MINUTE, HashMap::from([(1, judged(&[2.0, 3.0, 4.0]))]));
    let [bounds] = baselines.narrowest(&[1, 2], 5, MINUTE + 5)[..] else {
        panic!("no step judges series 2")
    };
    assert_eq!((bounds.series_id, bounds.lower, bounds.upper), (1, 0.0, 5.0));
    assert_eq!(baselines.of(1, MINUTE - 1).unwrap().0, 0);
    assert_eq!(baselines.of(1, 9 * MINUTE).unwrap().0, MINUTE, "a future time uses the last step");
    baselines.forget_before(MINUTE + 5);
    assert!(baselines.of(1, MINUTE - 1).is_none());
}
