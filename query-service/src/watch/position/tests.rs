use super::*;
use crate::store::Point;

const NOW: i64 = 1_795_413_426_000_000;

fn point(series_id: i32, timestamp: i64, value: f64) -> WatchedPoint {
    WatchedPoint { point: Point { timestamp, value }, series_id }
}

#[test]
fn each_point_is_reported_once_even_among_others_of_its_timestamp() {
    let mut position = WatchPosition::new(NOW);
    assert!(position.mark_reported(&point(1, NOW, 5.0)));
    assert!(!position.mark_reported(&point(1, NOW, 5.0)));
    assert!(
        position.mark_reported(&point(1, NOW, 6.0)) && position.mark_reported(&point(2, NOW, 5.0))
    );
    assert!(position.mark_reported(&point(1, NOW - MAX_LATENESS, 5.0)), "a late point");
    assert!(
        !position.mark_reported(&point(1, NOW - MAX_LATENESS - 1, 5.0)),
        "a point that is too late"
    );
}

#[test]
fn a_token_decodes_to_its_position_for_its_own_request_only() {
    let mut position = WatchPosition::new(NOW);
    for at in 0..50 {
        position.mark_reported(&point(at, NOW + i64::from(at % 7), 5.0));
    }
    let token = position.token(77);
    assert_eq!(WatchPosition::of_token(&token, 77, NOW + 1).unwrap(), position);
    let refused = |token: &str, fingerprint, now| {
        WatchPosition::of_token(token, fingerprint, now).unwrap_err().to_string()
    };
    assert!(refused(&token, 78, NOW).contains("another subscription"));
    assert!(refused(&token, 77, NOW + MAX_MISSED + 1).contains("24 hours"));
    for broken in ["!", "AA", "", &token[..token.len() - 4], &format!("{token}AAAA")] {
        assert!(refused(broken, 77, NOW).contains("was not issued by this service"), "{broken}");
    }
}

#[test]
fn points_before_the_floor_are_forgotten_and_not_reported_again() {
    let mut position = WatchPosition::new(NOW);
    assert!(
        position.mark_reported(&point(1, NOW, 5.0))
            && position.mark_reported(&point(1, NOW + 1, 5.0))
    );
    position.advance(NOW + 1);
    assert_eq!(position.reported.len(), 1);
    assert!(
        !position.mark_reported(&point(1, NOW, 5.0))
            && !position.mark_reported(&point(1, NOW + 1, 5.0))
    );
    position.advance(NOW - 1);
    assert_eq!(position.floor(), NOW + 1, "the floor is never lowered");
}

#[test]
fn a_flood_takes_bounded_memory_and_is_reported_once() {
    let mut position = WatchPosition::new(NOW);
    let flood = || (0..3 * MAX_REPORTED as i64).map(|at| point(1, NOW + at / 2, at as f64));
    assert!(flood().all(|point| position.mark_reported(&point)));
    assert!(position.reported.len() <= MAX_REPORTED);
    assert!(!flood().any(|point| position.mark_reported(&point)));
    let resumed = WatchPosition::of_token(&position.token(1), 1, NOW + 3_600_000_000).unwrap();
    assert_eq!(
        resumed.floor, position.floor,
        "nothing is lost, but the oldest may be reported again"
    );
    assert!(
        resumed.reported.is_subset(&position.reported)
            && resumed.reported.last() == position.reported.last()
    );
}
