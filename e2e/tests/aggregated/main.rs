//! `QueryAggregated`: every answer equals brute force over the raw points, whatever the request.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

mod brute;
mod check;
mod limits;
mod random;
mod stage;
mod tiers;

use brute::DAY;
use check::check;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use shared::time;
use stage::{BEGIN, filled, micros, request};

/// Number of random requests.
const CASES: usize = 400;

#[tokio::test]
async fn every_answer_equals_brute_force_over_the_raw_points() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut stage = filled(&mut random).await;
    let mut rows = 0;
    let (header, _) = stage.ask(&request("fleet-gaps", BEGIN, BEGIN + 5 * DAY)).await.unwrap();
    let watermark = micros(header.watermark.as_ref());
    assert!(
        (BEGIN + DAY..BEGIN + 3 * DAY).contains(&watermark),
        "the watermark {} is not inside the interval",
        time::display(watermark)
    );
    for case in 0..CASES {
        let request = random::request(&mut random, BEGIN, BEGIN + 5 * DAY);
        let what = format!("seed {seed}, case {case}: {request:?}");
        let (header, answers) =
            stage.ask(&request).await.unwrap_or_else(|status| panic!("{what}: {status}"));
        rows += check(&mut stage, &request, &header, &answers, &what).await;
    }
    println!("{CASES} cases, {rows} buckets, each equal to brute force");
    assert!(rows > CASES, "the answers have too few buckets");
}
