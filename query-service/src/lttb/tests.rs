use super::*;

fn downsample(points: &[(i64, f64)], max_points: usize) -> Vec<(i64, f64)> {
    let mut downsampler = Downsampler::new(points.len(), max_points);
    let mut chosen = Vec::new();
    let mut gather =
        |columns: PointColumns| chosen.extend(columns.timestamps.into_iter().zip(columns.values));
    for &(timestamp, value) in points {
        downsampler.take(timestamp, value);
        if downsampler.chosen_len() > 7 {
            gather(downsampler.take_chosen());
        }
    }
    gather(downsampler.finish());
    chosen
}

/// Downsamples as in the thesis: by index, bucket by bucket, with the whole series in memory.
fn textbook(points: &[(i64, f64)], max_points: usize) -> Vec<(i64, f64)> {
    let count = points.len();
    if max_points >= count {
        return points.to_vec();
    }
    let bound = |bucket: usize| bucket * (count - 2) / (max_points - 2) + 1;
    let mut kept = points[0];
    let mut chosen = vec![kept];
    for bucket in 0..max_points - 2 {
        let next = &points[bound(bucket + 1)..bound(bucket + 2).min(count)];
        let mean_time =
            next.iter().map(|point| (point.0 - kept.0) as f64).sum::<f64>() / next.len() as f64;
        let mean_value = next.iter().map(|point| point.1).sum::<f64>() / next.len() as f64;
        let area = |point: &(i64, f64)| {
            (mean_time * (point.1 - kept.1) - (point.0 - kept.0) as f64 * (mean_value - kept.1))
                .abs()
        };
        let bucket = &points[bound(bucket)..bound(bucket + 1)];
        let mut best = bucket[0];
        for point in bucket {
            if area(point) > area(&best) {
                best = *point;
            }
        }
        chosen.push(best);
        kept = best;
    }
    chosen.push(points[count - 1]);
    chosen
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// Generates a series with gaps, repeated timestamps, plateaus and jumps.
    fn series(&mut self, count: usize) -> Vec<(i64, f64)> {
        let mut timestamp = 1_700_000_000_000_000;
        let mut value = 20.0;
        (0..count)
            .map(|_| {
                timestamp += match self.below(10) {
                    0 => 0,
                    1 => 3_600_000_000,
                    _ => self.below(2_000_000) as i64,
                };
                value +=
                    if self.below(3) == 0 { 0.0 } else { self.below(2_001) as f64 / 1_000.0 - 1.0 };
                (timestamp, if self.below(50) == 0 { value * 100.0 } else { value })
            })
            .collect()
    }
}

#[test]
fn two_buckets_at_a_time_keep_the_same_points_as_the_textbook() {
    let mut random = Random(7);
    for _ in 0..2_000 {
        let count = usize::try_from(random.below(400)).unwrap();
        let max_points = 3 + usize::try_from(random.below(60)).unwrap();
        let points = random.series(count);
        let chosen = downsample(&points, max_points);
        assert_eq!(chosen, textbook(&points, max_points), "{count} points to {max_points}");
        assert_eq!(chosen.len(), count.min(max_points), "exactly as many as requested");
        assert_eq!(
            (chosen.first(), chosen.last()),
            (points.first(), points.last()),
            "the first and the last point are kept"
        );
        let mut rest = points.iter();
        assert!(
            chosen.iter().all(|kept| rest.any(|point| point == kept)),
            "the kept points are a subset, in order"
        );
    }
}

#[test]
fn a_spike_survives_wherever_it_is() {
    for at in 1..9_999_usize {
        if at % 37 != 0 {
            continue;
        }
        let mut points: Vec<(i64, f64)> =
            (0..10_000).map(|at| (at * 1_000_000, (at as f64 / 300.0).sin())).collect();
        points[at].1 = -50.0;
        assert!(downsample(&points, 100).contains(&points[at]), "spike at {at}");
    }
}

#[test]
fn nan_values_do_not_change_the_number_of_points() {
    let points: Vec<(i64, f64)> = (0..1_000).map(|at| (at, f64::NAN)).collect();
    let chosen = downsample(&points, 10);
    assert_eq!((chosen.len(), chosen[0].0, chosen[9].0), (10, 0, 999));
}

#[test]
fn points_beyond_the_expected_count_do_not_add_to_the_kept_points() {
    let points = Random(3).series(1_000);
    let mut downsampler = Downsampler::new(500, 50);
    points.iter().for_each(|&(timestamp, value)| downsampler.take(timestamp, value));
    let chosen = downsampler.finish();
    assert_eq!((chosen.len(), chosen.timestamps[49]), (50, points[999].0));
}
