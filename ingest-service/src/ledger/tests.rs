use super::*;

fn number(producer_id: &str, epoch: i64, sequence: i64) -> Numbering {
    Numbering {
        producer_id: producer_id.to_owned(),
        epoch,
        sequence,
        content_hash: sequence.cast_unsigned(),
    }
}

fn result(sequence: i64) -> BatchResult {
    BatchResult { sequence: sequence.cast_unsigned(), accepted_count: 7, ..Default::default() }
}

fn decided(ledger: &mut Ledger, epoch: i64, sequence: i64) -> Decision {
    ledger.decide(&number("p", epoch, sequence), || result(sequence))
}

fn applied(sequence: i64) -> Decision {
    Decision::Apply(Box::new(result(sequence)))
}

fn duplicate(sequence: i64) -> Decision {
    Decision::Duplicate(Box::new(BatchResult { is_duplicate: true, ..result(sequence) }))
}

fn at(epoch: i64, last_sequence: i64) -> Ledger {
    Ledger::new(ProducerPositions::from([(
        "p".to_owned(),
        ProducerPosition { epoch, last_sequence },
    )]))
}

#[test]
fn each_sequence_is_applied_once_and_in_order() {
    let mut ledger = Ledger::default();
    assert_eq!(decided(&mut ledger, 0, 2), Decision::Gap { expected: 1, current: None });
    assert_eq!(decided(&mut ledger, 0, 1), applied(1));
    assert_eq!(decided(&mut ledger, 0, 1), duplicate(1), "a resend within one flush");
    assert_eq!(decided(&mut ledger, 0, 2), applied(2));
    assert_eq!(decided(&mut ledger, 0, 4), Decision::Gap { expected: 3, current: Some(0) });
    assert_eq!(ledger.positions["p"], ProducerPosition { epoch: 0, last_sequence: 2 });
}

#[test]
fn a_higher_epoch_begins_at_one_and_fences_the_lower() {
    let mut ledger = at(3, 9);
    assert_eq!(decided(&mut ledger, 4, 2), Decision::Gap { expected: 1, current: Some(3) });
    assert_eq!(ledger.positions["p"].epoch, 3, "a batch that is not applied changes no epoch");
    assert_eq!(decided(&mut ledger, 4, 1), applied(1));
    assert_eq!(decided(&mut ledger, 3, 10), Decision::Fenced { current: 4 });
}

#[test]
fn a_resend_gets_the_first_answer_and_other_content_is_refused() {
    let mut ledger = at(0, 3);
    let batch = |sequence| RememberedBatch {
        content_hash: sequence,
        result: result(sequence.cast_signed()),
    };
    ledger.remember("p", vec![batch(2), batch(3)]);
    assert_eq!(decided(&mut ledger, 0, 2), duplicate(2));
    let other = Numbering { content_hash: 99, ..number("p", 0, 3) };
    let refused = ledger.decide(&other, || unreachable!("the batch is not applied"));
    assert_eq!(refused, Decision::Reused { expected: 4, current: 0 });
    assert_eq!(decided(&mut ledger, 0, 1), Decision::TooOld { expected: 4, current: 0 });
    assert_eq!(ledger.moved().next(), None);
}

#[test]
fn nothing_of_a_fenced_epoch_is_remembered() {
    let mut ledger = at(0, 1);
    ledger.remember("p", vec![RememberedBatch { content_hash: 1, result: result(1) }]);
    assert_eq!(decided(&mut ledger, 0, 2), applied(2));
    assert_eq!(
        decided(&mut ledger, 1, 1),
        applied(1),
        "the same sequence and content, but another epoch"
    );
    let (_, position, entries) = ledger.moved().next().unwrap();
    assert_eq!(position, ProducerPosition { epoch: 1, last_sequence: 1 });
    assert_eq!(decode(entries).unwrap().len(), 1, "the entry of the fenced epoch is gone");
}

#[test]
fn only_resends_within_the_current_epoch_are_looked_up() {
    let ledger = at(2, 10);
    let flush = [
        number("p", 2, 11),
        number("p", 2, 9),
        number("p", 2, 4),
        number("p", 1, 3),
        number("q", 2, 1),
    ];
    let wanted = Wanted { producer_id: "p".to_owned(), epoch: 2, first_sequence: 4 };
    assert_eq!(ledger.wanted(flush.iter()), [wanted]);
}

#[test]
fn a_writer_finds_out_whether_its_flush_was_committed() {
    let mut ledger = at(0, 4);
    assert_eq!(ledger.decide_own(&number("p", 0, 4)), OwnDecision::CommittedBefore);
    assert_eq!(ledger.decide_own(&number("p", 0, 6)), OwnDecision::Forgotten);
    assert_eq!(ledger.decide_own(&number("p", 0, 5)), OwnDecision::Write);
    assert_eq!(
        ledger.moved().next(),
        Some(("p", ProducerPosition { epoch: 0, last_sequence: 5 }, &[][..]))
    );
}

#[test]
fn batches_in_order_are_a_step_of_each_producer() {
    let in_order = [number("p", 3, 5), number("q", 0, 2), number("p", 3, 6)];
    fn unremembered(numberings: &[Numbering]) -> Option<LedgerSteps<'_>> {
        steps(numberings.iter().map(|numbering| (numbering, None)))
    }
    let step = |epoch, before, after| LedgerStep { epoch, before, after, entries: Vec::new() };
    assert_eq!(
        unremembered(&in_order),
        Some(LedgerSteps::from([("p", step(3, 4, 6)), ("q", step(0, 1, 2))]))
    );
    for (last, why) in [
        (number("p", 3, 6), "a sequence occurs twice"),
        (number("p", 3, 8), "a sequence is missing"),
        (number("p", 4, 7), "the epoch changes"),
        (number("r", 3, 1), "the batch is the first of an epoch"),
    ] {
        assert_eq!(unremembered(&[&in_order[..], &[last]].concat()), None, "{why}");
    }
    let first = result(5);
    let remembered = steps([(&in_order[0], Some(&first))].into_iter()).unwrap();
    assert_eq!(decode(&remembered["p"].entries).unwrap()[0].result, first);
}
