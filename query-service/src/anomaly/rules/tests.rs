use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn baseline(count: u64, mean: f64, stddev: f64) -> Moments {
    let variance = stddev * stddev * (count - 1) as f64 / count as f64;
    Moments::new(count, mean * count as f64, mean - stddev, mean + stddev, variance)
}

/// Generates values of several kinds: spread out, around a large number, mostly equal, few
/// distinct.
fn values() -> impl Strategy<Value = Vec<f64>> {
    let few = || (0..5).prop_map(|step| f64::from(step) / 4.0);
    prop_oneof![
        vec(-50.0..50.0, 2..200),
        vec(1e9 - 0.1..1e9 + 0.1, 2..200),
        vec(prop_oneof![8 => Just(7.5), 2 => few()], 2..200),
        vec(few(), 2..200),
        vec(prop_oneof![Just(0.1), Just(0.1 + f64::EPSILON / 8.0)], 2..200),
    ]
}

fn close(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() <= 1e-9 * expected.abs().max(1e-3),
        "{found} is not {expected}"
    );
}

/// Returns the median by definition, by sorting.
fn middle(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 }
}

#[test]
fn a_value_beyond_the_threshold_is_an_anomaly_in_its_direction() {
    let judge = Judge::z_score(&baseline(100, 20.0, 2.0), 3.0, 30);
    assert_eq!(judge.state, BaselineState::Sufficient);
    close(judge.lower, 14.0);
    close(judge.upper, 26.0);
    assert_eq!(judge.judge(25.9), None);
    let (score, direction) = judge.judge(30.0).unwrap();
    close(score, 5.0);
    assert_eq!(direction, AnomalyDirection::High);
    assert_eq!(judge.judge(12.0).unwrap().1, AnomalyDirection::Low);
}

#[test]
fn too_few_points_judge_nothing() {
    let judge = Judge::z_score(&baseline(29, 20.0, 2.0), 3.0, 30);
    assert_eq!(judge.state, BaselineState::Insufficient);
    assert_eq!(judge.judge(1e300), None);
    assert_eq!(Judge::z_score(&Moments::EMPTY, 3.0, 30).judge(0.0), None);
    assert_eq!(Judge::robust(&RobustStats::of(Vec::new()), 3.0, 30).judge(0.0), None);
}

#[test]
fn a_baseline_without_spread_has_its_only_value_as_both_bounds() {
    // 0.1 added up a hundred times is not 10. So the mean must come from the value, not the sum.
    let sum = (0..100).fold(0.0, |sum, _| sum + 0.1);
    let judges = [
        Judge::z_score(&Moments::new(100, sum, 0.1, 0.1, 1e-33), 3.0, 30),
        Judge::robust(&RobustStats::of(vec![0.1; 100]), 3.0, 30),
    ];
    for judge in judges {
        assert_eq!((judge.state, judge.lower, judge.upper), (BaselineState::NoSpread, 0.1, 0.1));
        assert_eq!(judge.judge(0.1), None);
        assert_eq!(judge.judge(0.2), Some((f64::INFINITY, AnomalyDirection::High)));
    }
}

proptest! {
    #[test]
    fn parts_in_any_division_combine_to_the_moments_of_the_whole(
        values in values(),
        cuts in vec(0..200_usize, 0..6),
    ) {
        let mut rest = values.as_slice();
        let mut combined = Moments::EMPTY;
        for cut in cuts {
            let (part, others) = rest.split_at(cut % (rest.len() + 1));
            combined = combined.combine(Moments::of(part));
            rest = others;
        }
        combined = combined.combine(Moments::of(rest));
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let stddev = (squares / (n - 1.0)).sqrt();
        let is_mean_in_range =
            |moments: &Moments| moments.min <= moments.mean && moments.mean <= moments.max;
        prop_assert!(is_mean_in_range(&combined), "{combined:?}");
        let sum = values.iter().sum();
        let whole = Moments::new(combined.count, sum, combined.min, combined.max, 0.0);
        prop_assert!(is_mean_in_range(&whole), "{whole:?}");
        prop_assert_eq!(combined.count, values.len() as u64);
        prop_assert_eq!(combined.min, values.iter().copied().fold(f64::MAX, f64::min));
        prop_assert_eq!(combined.max, values.iter().copied().fold(f64::MIN, f64::max));
        close(combined.mean, mean);
        // Summing n values is exact to n units in their last place, and a standard deviation is not
        // more exact than its mean.
        let largest = values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        let tolerance = 1e-6 * stddev + n * f64::EPSILON * largest;
        prop_assert!((combined.stddev() - stddev).abs() <= tolerance);
    }

    #[test]
    fn median_and_median_deviation_equal_those_of_sorted_values(values in values()) {
        let stats = RobustStats::of(values.clone());
        let center = middle(&values);
        let distances: Vec<f64> = values.iter().map(|value| (value - center).abs()).collect();
        prop_assert_eq!((stats.median, stats.mad), (center, middle(&distances)));
        let mean_distance = distances.iter().sum::<f64>() / distances.len() as f64;
        let expected = match stats.mad {
            0.0 => mean_distance * (std::f64::consts::PI / 2.0).sqrt(),
            mad => mad * 1.482_602_218_505_602,
        };
        close(stats.deviation, expected);
    }
}

#[test]
fn mostly_equal_values_are_judged_by_their_mean_deviation() {
    let mut values = vec![5.0; 90];
    values.extend([6.0; 10]);
    let stats = RobustStats::of(values);
    assert_eq!((stats.median, stats.mad), (5.0, 0.0));
    close(stats.deviation, 0.1 * 1.253_314_137_315_500_3);
    let judge = Judge::robust(&stats, 3.0, 30);
    assert_eq!(judge.state, BaselineState::Sufficient);
    assert!(judge.judge(5.3).is_none() && judge.judge(5.4).is_some());
}

#[test]
fn outliers_in_the_baseline_hide_an_anomaly_from_the_z_score_but_not_from_the_robust_rule() {
    let mut values: Vec<f64> = (0..100).map(|at| 20.0 + f64::from(at % 5)).collect();
    values.extend([1e6; 20]);
    assert_eq!(Judge::z_score(&Moments::of(&values), 3.0, 30).judge(100.0), None);
    let (score, direction) = Judge::robust(&RobustStats::of(values), 3.0, 30).judge(100.0).unwrap();
    assert!(score > 30.0 && direction == AnomalyDirection::High);
}

#[test]
fn scores_and_bounds_of_the_largest_values_are_not_nan() {
    let huge = f64::MAX;
    let baselines = [
        vec![huge, -huge, 0.0, 1.0],
        vec![-huge; 5],
        vec![0.0, 0.0, 0.0, 1e-320],
        vec![1.0, 2.0, 3.0, huge, huge],
    ];
    for values in baselines {
        let (half, other) = values.split_at(2);
        let combined = Moments::of(half).combine(Moments::of(other));
        let judges = [
            Judge::z_score(&Moments::of(&values), 0.1, 2),
            Judge::z_score(&combined, 0.1, 2),
            Judge::robust(&RobustStats::of(values.clone()), 0.1, 2),
        ];
        for judge in judges {
            assert!(judge.lower <= judge.upper, "{judge:?} of {values:?}");
            for value in [huge, -huge, 0.0, f64::INFINITY, f64::NEG_INFINITY] {
                assert!(
                    judge.judge(value).is_none_or(|(score, _)| score >= 0.0),
                    "{judge:?} of {values:?}: {value}"
                );
            }
        }
    }
}

#[test]
fn the_hour_of_the_week_repeats_after_a_week_also_before_1970() {
    const HOUR: i64 = 3_600_000_000;
    assert_eq!(hour_of_week(0), 0);
    assert_eq!(hour_of_week(HOUR - 1), 0);
    assert_eq!(hour_of_week(-1), 167);
    for hours in -400..400 {
        assert_eq!(hour_of_week(hours * HOUR), hour_of_week((hours + 168) * HOUR + HOUR - 1));
    }
}

#[test]
fn each_hour_of_the_week_is_judged_by_its_own_past_and_no_other() {
    const HOUR: i64 = 3_600_000_000;
    let mut hours = [Moments::EMPTY; HOURS_OF_WEEK];
    hours[5] = baseline(100, 10.0, 1.0);
    hours[6] = baseline(3, 99.0, 1.0);
    hours[7] = Moments::new(50, 250.0, 5.0, 5.0, 0.0);
    hours[100] = baseline(100, 1e6, 1.0);
    let judges = HourlyJudges::new(&hours, (5 * HOUR + 1, 9 * HOUR), 3.0, 30);
    assert_eq!(judges.judging().map(|(hour, _)| hour).collect::<Vec<_>>(), [5, 7]);
    assert_eq!(judges.of(6).unwrap().state, BaselineState::Insufficient);
    assert!(judges.of(100).is_none() && judges.of(9).is_none());
    assert_eq!((judges.state(), judges.moments.count), (BaselineState::Sufficient, 153));
    assert!(
        judges.of(5).unwrap().judge(14.0).is_some() && judges.of(7).unwrap().judge(5.0).is_none()
    );
    let state = |window| HourlyJudges::new(&hours, window, 3.0, 30).state();
    assert_eq!(state((7 * HOUR, 8 * HOUR)), BaselineState::NoSpread);
    assert_eq!(state((6 * HOUR, 7 * HOUR)), BaselineState::Insufficient);
    let all = HourlyJudges::new(&hours, (0, 400 * HOUR), 3.0, 30);
    assert_eq!(
        all.moments.count, 253,
        "an hour of the week that a long window overlaps twice counts once"
    );
}
