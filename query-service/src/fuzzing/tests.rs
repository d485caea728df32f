use proptest::collection::vec;
use proptest::prelude::any;
use proptest::proptest;
use proptest::sample::{Index, select};
use proptest::test_runner::Config;

use super::{check, range, seeds};

/// Applies edits to an input. Each replaces a number of bytes at an index by other bytes.
fn edited(mut input: Vec<u8>, edits: Vec<(Index, usize, Vec<u8>)>) -> Vec<u8> {
    for (at, length, replacement) in edits {
        let at = at.index(input.len() + 1);
        let end = (at + length).min(input.len());
        input.splice(at..end, replacement);
    }
    input
}

#[test]
fn the_seeds_are_valid_requests_of_every_method() {
    let seeds = seeds();
    assert!((0..7).all(|call| seeds.iter().any(|seed| seed[0] == call)));
    seeds.iter().for_each(|seed| check(seed));
    super::decoded(&seeds[0][super::PREFIX..], range).unwrap();
}

proptest! {
    #![proptest_config(Config { cases: 5_000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn any_request_is_refused_with_a_reason_or_planned_within_the_limits(
        seed in select(seeds()),
        edits in vec((any::<Index>(), 0..9_usize, vec(any::<u8>(), 0..9)), 0..6),
    ) {
        check(&edited(seed, edits));
    }
}
