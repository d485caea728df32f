use super::*;

fn request(admission: &Admission, client: &str, points: usize) -> oneshot::Receiver<Permit> {
    admission.request(client.into(), points, false).1
}

#[test]
fn permits_go_to_the_client_that_holds_least_and_some_are_left_to_others() {
    let admission = Admission::new(100);
    let mut greedy: Vec<_> = (0..20).map(|_| request(&admission, "greedy", 10)).collect();
    let mut held: Vec<Permit> =
        greedy.iter_mut().filter_map(|permit| permit.try_recv().ok()).collect();
    assert_eq!(held.len(), 7, "three quarters of 100");
    let mut modest = [request(&admission, "modest", 20), request(&admission, "modest", 20)];
    let first = modest[0].try_recv().unwrap();
    assert!(modest[1].try_recv().is_err(), "110 points exceed the capacity");
    held.pop();
    assert!(modest[1].try_recv().is_ok(), "it precedes older requests of the greedy client");
    drop((first, held));
    assert!(greedy[8].try_recv().is_ok());
}

#[test]
fn the_batches_of_one_client_keep_their_order_and_a_large_one_is_not_passed_by() {
    let admission = Admission::new(100);
    let mut first = request(&admission, "a", 60);
    let mut large = request(&admission, "b", 90);
    let mut small = request(&admission, "b", 1);
    let mut other = request(&admission, "c", 30);
    let held = first.try_recv().unwrap();
    assert!(large.try_recv().is_err() && small.try_recv().is_err() && other.try_recv().is_err());
    drop(held);
    let large = large.try_recv().unwrap();
    assert!(small.try_recv().is_err(), "91 points exceed three quarters");
    assert!(other.try_recv().is_err(), "30 more do not fit");
    drop(large);
    assert!(small.try_recv().is_ok() && other.try_recv().is_ok());
}

#[test]
fn the_permit_of_a_cancelled_request_is_not_lost() {
    let admission = Admission::new(100);
    let mut first = request(&admission, "a", 100);
    drop(request(&admission, "b", 100));
    let mut last = request(&admission, "c", 100);
    drop(first.try_recv().unwrap());
    drop(last.try_recv().unwrap());
    assert_eq!(admission.free(), 100);
    drop(request(&admission, "gone", 100));
    assert_eq!(admission.free(), 100);
    assert!(admission.0.state().clients.is_empty());
}

#[test]
fn unary_batches_take_turns_with_streaming_ones() {
    let admission = Admission::new(100);
    let mut first = request(&admission, "a", 75);
    let mut streaming: Vec<_> = (0..3).map(|_| request(&admission, "a", 25)).collect();
    let mut unary: Vec<_> = (0..4).map(|_| admission.request("a".into(), 25, true).1).collect();
    drop(unary.remove(0));
    drop(first.try_recv().unwrap());
    let held: Vec<Permit> = unary[..2]
        .iter_mut()
        .chain(&mut streaming[..1])
        .map(|permit| permit.try_recv().unwrap())
        .collect();
    assert!(unary[2].try_recv().is_err() && streaming[1].try_recv().is_err());
    drop(held);
    assert!(unary[2].try_recv().is_ok() && streaming[1].try_recv().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_no_longer_than_its_timeout_less_the_time_of_the_last_one() {
    const TIMEOUT: Option<Duration> = Some(Duration::from_millis(250));
    let admission = Admission::new(100);
    let held = admission.acquire("a".into(), 75, None).await.unwrap();
    let began = tokio::time::Instant::now();
    assert!(admission.acquire("a".into(), 75, TIMEOUT).await.is_none());
    assert_eq!(began.elapsed().as_millis(), 250);
    admission.0.state().clients.get_mut("a").unwrap().last_hold_time = Duration::from_millis(200);
    let began = tokio::time::Instant::now();
    let late = async {
        tokio::time::sleep(Duration::from_millis(51)).await;
        drop(held);
    };
    assert!(tokio::join!(admission.acquire("a".into(), 75, TIMEOUT), late).0.is_none());
    assert_eq!(began.elapsed().as_millis(), 250, "a refusal takes the whole timeout");
    assert!(
        admission.acquire("a".into(), 75, TIMEOUT).await.is_some(),
        "an idle client has no forecast"
    );
}
