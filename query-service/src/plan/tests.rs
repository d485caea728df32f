use jiff::tz::{TimeZone, TimeZoneDatabase};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::Config;
use proptest::{option, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::validate::{AggregatedQuery, GapFill};

const MINUTE: i64 = 60_000_000;
/// 2026-03-01T00:00:00Z.
const MARCH: i64 = 1_772_323_200_000_000;

fn query(start: i64, end: i64) -> AggregatedQuery {
    AggregatedQuery {
        selectors: vec![],
        start,
        end,
        granularity: None,
        max_points: None,
        bucket_width: None,
        time_zone: None,
        statistics: vec![],
        gap_fill: GapFill::None,
        combine_devices: false,
        raw_only: None,
    }
}

fn zone(name: &str) -> Option<TimeZone> {
    Some(TimeZoneDatabase::bundled().get(name).unwrap())
}

fn zones() -> impl Strategy<Value = Option<TimeZone>> {
    prop_oneof![
        Just(None),
        Just(zone("Europe/Berlin")),
        Just(zone("Asia/Kolkata")),
        Just(zone("America/Sao_Paulo"))
    ]
}

fn queries() -> impl Strategy<Value = AggregatedQuery> {
    let length = prop_oneof![1..180 * MINUTE, 1..40 * DAY, 1..3_000 * DAY];
    let width = prop_oneof![1_i64..200, Just(360), Just(1_440), Just(7 * 1_440)]
        .prop_map(|minutes| minutes * MINUTE);
    let most = prop_oneof![2_u32..20, 20_u32..3_000, Just(1_000_000_u32)];
    (-9_000 * DAY..9_000 * DAY, length, option::of(most), option::weighted(0.3, width), zones())
        .prop_map(|(offset, length, max_points, bucket_width, time_zone)| AggregatedQuery {
            max_points: max_points.filter(|_| bucket_width.is_none()),
            bucket_width,
            time_zone,
            ..query(MARCH + offset, MARCH + offset + length)
        })
}

/// Generates the time from which each granularity is kept, as an offset, or `None` for all of it.
fn kept() -> impl Strategy<Value = [Option<i64>; 4]> {
    let from = || option::of(-3_000 * DAY..3_000 * DAY);
    [from(), from(), from(), from()]
}

fn retention_around(query: &AggregatedQuery, offsets: [Option<i64>; 4]) -> Retention {
    let length = query.end - query.start;
    let [points, minutes, hours, days] =
        offsets.map(|offset| offset.map(|offset| query.start + offset % (2 * length + DAY)));
    Retention { points, minutes, hours, days }
}

#[test]
fn points_cover_exactly_the_requested_interval() {
    let plan = points(59_999_999, 60_000_001);
    assert_eq!((plan.start, plan.end, plan.bucket_count()), (59_999_999, 60_000_001, 0));
}

proptest! {
    #![proptest_config(Config { cases: 5_000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn segments_cover_the_interval_in_whole_buckets_without_gap_or_overlap(
        query in queries(),
        offsets in kept(),
    ) {
        let plan = choose(&query, &retention_around(&query, offsets)).unwrap();
        let first = &plan.segments[0];
        let last = &plan.segments[plan.segments.len() - 1];
        prop_assert_eq!((plan.start, plan.end), (first.start, last.end));
        prop_assert!(plan.start <= query.start && plan.end >= query.end);
        let first_end = first.grid.step(first.start, 1);
        prop_assert!(first_end > query.start, "the first bucket overlaps the interval");
        prop_assert!(last.grid.floor(last.end - 1) < query.end, "and so does the last bucket");
        for segment in &plan.segments {
            prop_assert!(segment.start < segment.end);
            prop_assert_eq!(segment.grid.floor(segment.start), segment.start, "begins on an edge");
            prop_assert_eq!(segment.grid.ceil(segment.end), segment.end, "ends on an edge");
            let unit = segment.source.bucket_micros().unwrap();
            prop_assert!(segment.grid.consists_of(unit), "consists of whole buckets of the source");
        }
        for pair in plan.segments.windows(2) {
            prop_assert_eq!(pair[0].end, pair[1].start);
            prop_assert!(pair[0].source > pair[1].source, "the older part is coarser");
        }
    }

    #[test]
    fn automatic_buckets_are_the_finest_that_fit(query in queries(), offsets in kept()) {
        let query = AggregatedQuery { bucket_width: None, ..query };
        let plan = choose(&query, &retention_around(&query, offsets)).unwrap();
        let most = u64::from(query.max_points.unwrap_or(1_000));
        prop_assert!(plan.bucket_count() <= most, "{} buckets", plan.bucket_count());
        let whole = choose(&query, &Retention::default()).unwrap();
        prop_assert_eq!(whole.segments.len(), 1);
        let width = whole.segments[0].grid.width().unwrap();
        let finer = [MINUTE, 60 * MINUTE, DAY].into_iter().filter(|&finer| finer < width).max();
        let finer = finer.map(|finer| if width > DAY { width - DAY } else { finer });
        if let Some(finer) = finer.filter(|&finer| finer < DAY || query.time_zone.is_none()) {
            let grid = Grid::Equal(finer);
            let count = grid.count(grid.floor(query.start), grid.ceil(query.end));
            prop_assert!(count > most, "buckets of {finer} µs fit as well");
        }
    }

    #[test]
    fn every_part_is_read_from_a_granularity_that_is_still_kept(
        query in queries(),
        offsets in kept(),
    ) {
        let retention = retention_around(&query, offsets);
        let plan = choose(&query, &retention).unwrap();
        if !matches!(plan.segments[0].grid, Grid::Equal(_)) {
            return Ok(()); // local days consist of hours, and no coarser rollup can replace those
        }
        for segment in plan.segments.iter().skip(1) {
            let from = retention.kept_from(segment.source);
            prop_assert!(from <= segment.start, "{:?} is dropped there", segment.source);
        }
        let oldest = &plan.segments[0];
        let reaches_back = |source| retention.kept_from(source) <= oldest.start;
        let coarser = Granularity::ROLLUPS.into_iter().filter(|&source| source > oldest.source);
        prop_assert!(
            reaches_back(oldest.source) || !coarser.into_iter().any(reaches_back),
            "a coarser rollup has the whole interval"
        );
        let is_explained = plan.explanation.contains("kept");
        let is_complete = plan.segments.len() == 1 && reaches_back(oldest.source);
        prop_assert!(is_explained || is_complete, "{}", plan.explanation);
        let is_divided = plan.segments.len() > 1;
        prop_assert!(!is_divided || plan.reason == GranularityReason::Retention);
    }
}

proptest! {
    #![proptest_config(Config { cases: 200, failure_persistence: None, ..Config::default() })]

    #[test]
    fn any_interval_of_the_calendar_has_a_plan_or_a_reason(
        start in -62_135_596_800_i64..253_402_300_000,
        seconds in 1_i64..400_000_000_000,
        zone in zones(),
        most in option::of(2_u32..1_000_000),
        width in option::of(1_i64..36_500 * 1_440),
        raw in any::<bool>(),
    ) {
        let end = (start + seconds).min(253_402_300_799);
        let query = AggregatedQuery {
            time_zone: zone,
            max_points: most.filter(|_| width.is_none()),
            bucket_width: width.map(|minutes| minutes * MINUTE),
            raw_only: raw.then_some("RATE"),
            ..query(start * 1_000_000, end * 1_000_000)
        };
        if let Ok(plan) = choose(&query, &Retention::default()) {
            prop_assert!(plan.start <= query.start && query.end <= plan.end);
        }
    }
}

#[test]
fn tiered_retention_gives_a_tiered_answer() {
    let end = MARCH + 300 * DAY;
    let retention = Retention {
        points: None,
        minutes: Some(end - 2 * DAY - 7),
        hours: Some(end - 30 * DAY + 7),
        days: None,
    };
    let query = AggregatedQuery { max_points: Some(1_000_000), ..query(MARCH, end) };
    let plan = choose(&query, &retention).unwrap();
    let parts: Vec<(Granularity, i64)> =
        plan.segments.iter().map(|segment| (segment.source, (end - segment.start) / DAY)).collect();
    assert_eq!(parts, [(Granularity::Day, 300), (Granularity::Hour, 29), (Granularity::Minute, 2)]);
    assert_eq!(plan.reason, GranularityReason::Retention);
    assert_eq!(plan.bucket_count(), 271 + 27 * 24 + 2 * 1_440);
}

#[test]
fn a_statistic_that_needs_points_is_refused_if_they_are_dropped() {
    let retention = Retention { points: Some(MARCH + 7), ..Retention::default() };
    let rate = |start| AggregatedQuery { raw_only: Some("RATE"), ..query(start, MARCH + DAY) };
    let description = choose(&rate(MARCH), &retention).unwrap_err().to_string();
    assert!(
        description.contains(
            "RATE is computed from points, which are kept from 2026-03-01T00:00:00.000007Z on"
        ),
        "{description}"
    );
    let plan = choose(&rate(MARCH + 60 * MINUTE), &retention).unwrap();
    assert_eq!((plan.granularity(), plan.reason), (Granularity::Raw, GranularityReason::Statistic));
    assert_eq!(plan.segments[0].grid, Grid::Equal(60 * MINUTE));
}

#[test]
fn days_of_a_zone_are_computed_from_hours_or_minutes_with_a_reason() {
    let days = |time_zone| AggregatedQuery {
        granularity: Some(Granularity::Day),
        time_zone,
        ..query(MARCH, MARCH + DAY)
    };
    let planned = |time_zone| {
        choose(&days(time_zone), &Retention::default())
            .map(|plan| (plan.granularity(), plan.reason))
    };
    assert_eq!(planned(None).unwrap(), (Granularity::Day, GranularityReason::Requested));
    assert_eq!(
        planned(zone("Europe/Berlin")).unwrap(),
        (Granularity::Hour, GranularityReason::TimeZone)
    );
    assert_eq!(
        planned(zone("Asia/Kolkata")).unwrap(),
        (Granularity::Minute, GranularityReason::TimeZone)
    );
    let old = AggregatedQuery {
        start: -5_000_000_000_000_000,
        end: -4_999_000_000_000_000,
        ..days(zone("Europe/Amsterdam"))
    };
    assert!(
        choose(&old, &Retention::default())
            .unwrap_err()
            .to_string()
            .contains("before standard time")
    );
}

#[test]
fn a_width_that_does_not_fit_the_granularity_is_refused_with_one_that_does() {
    let refused = |granularity, minutes: i64, time_zone| {
        let bucket_width = Some(minutes * MINUTE);
        let query =
            AggregatedQuery { granularity, bucket_width, time_zone, ..query(MARCH, MARCH + DAY) };
        choose(&query, &Retention::default()).unwrap_err().to_string()
    };
    assert!(
        refused(Some(Granularity::Hour), 90, None)
            .contains("use a multiple of 3600 s, or granularity AUTO")
    );
    assert!(refused(Some(Granularity::Hour), 1_440, zone("Asia/Kolkata")).contains("points_1hour"));
    let many = AggregatedQuery {
        bucket_width: Some(MINUTE),
        max_points: Some(9),
        ..query(MARCH, MARCH + DAY)
    };
    let description = choose(&many, &Retention::default()).unwrap_err().to_string();
    assert!(
        description
            .starts_with("bucket_width: gives 1440 buckets, more than max_points, which is 9"),
        "{description}"
    );
}
