use proptest::collection::vec;
use proptest::prelude::any;
use proptest::proptest;
use proptest::sample::{Index, select};
use proptest::test_runner::Config;

use super::{NOW, as_sent, check, seeds};

/// Applies edits to a message, each with its position, the number of bytes removed, and the bytes
/// inserted.
fn edited(mut message: Vec<u8>, edits: Vec<(Index, usize, Vec<u8>)>) -> Vec<u8> {
    for (at, length, replacement) in edits {
        let at = at.index(message.len() + 1);
        let end = (at + length).min(message.len());
        message.splice(at..end, replacement);
    }
    message
}

#[test]
fn the_seeds_hold_accepted_and_rejected_points_in_both_forms() {
    use prost::Message as _;
    let sent: Vec<_> = seeds()
        .iter()
        .flat_map(|seed| {
            check(seed);
            as_sent(&shared::proto::v1::IngestRequest::decode(&**seed).unwrap().batch.unwrap())
        })
        .collect();
    let accepted = |(.., timestamp, value): &&super::Sent| {
        *timestamp == Some(NOW) && f64::from_bits(*value) == 1.0
    };
    assert!(sent.len() > 20 && sent.iter().filter(accepted).count() > 2);
}

proptest! {
    #![proptest_config(Config { cases: 5_000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn each_point_of_a_damaged_message_is_rejected_or_encoded_as_it_was_sent(
        seed in select(seeds()),
        edits in vec((any::<Index>(), 0..9_usize, vec(any::<u8>(), 0..9)), 0..6),
    ) {
        check(&edited(seed, edits));
    }

    #[test]
    fn no_bytes_make_validation_panic(bytes in vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }
}
