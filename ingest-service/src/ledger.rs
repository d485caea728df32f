//! Which batches of a flush move the ledger on, and to where. Pure: knows neither SQL nor rows.

use std::collections::BTreeMap;

use crate::validate::Numbering;

/// How far a producer's batches are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) epoch: i64,
    pub(crate) last_sequence: i64,
}

impl Position {
    /// Of a producer that the ledger does not know: lower than any epoch that a client can send.
    pub(crate) const UNKNOWN: Self = Self { epoch: -1, last_sequence: 0 };
}

/// What is to happen with one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is the next one: write it.
    Apply,
    /// It has been applied before.
    Duplicate,
    /// Batches before it are missing; `expected` would be next.
    Gap { expected: i64 },
    /// A newer epoch has taken over.
    Fenced { current: i64 },
}

/// The positions of a flush's producers, in the order in which their rows are locked.
pub(crate) type Positions = BTreeMap<String, Position>;

/// Decides about one batch and moves its producer's position on where it is to be applied.
pub(crate) fn decide(positions: &mut Positions, numbering: &Numbering) -> Decision {
    let position = positions.entry(numbering.producer_id.clone()).or_insert(Position::UNKNOWN);
    if numbering.epoch < position.epoch {
        return Decision::Fenced { current: position.epoch };
    }
    let last_sequence = if numbering.epoch > position.epoch { 0 } else { position.last_sequence };
    if numbering.sequence <= last_sequence {
        return Decision::Duplicate;
    }
    if numbering.sequence > last_sequence + 1 {
        return Decision::Gap { expected: last_sequence + 1 };
    }
    *position = Position { epoch: numbering.epoch, last_sequence: numbering.sequence };
    Decision::Apply
}

/// How a flush moves a producer on within an epoch: from the last sequence that is applied before it to its own last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) epoch: i64,
    pub(crate) before: i64,
    pub(crate) after: i64,
}

/// The steps of a flush's producers, in the order in which their rows are locked.
pub(crate) type Steps<'n> = BTreeMap<&'n str, Step>;

/// The steps if each batch is the next one of its producer. None where that cannot be, or where a producer begins an epoch and
/// may be new to the ledger.
pub(crate) fn steps<'n>(numberings: impl Iterator<Item = &'n Numbering>) -> Option<Steps<'n>> {
    let mut steps = Steps::new();
    for Numbering { producer_id, epoch, sequence } in numberings {
        let (epoch, sequence) = (*epoch, *sequence);
        let step = steps.entry(producer_id).or_insert(Step { epoch, before: sequence - 1, after: sequence - 1 });
        if step.before == 0 || epoch != step.epoch || sequence != step.after + 1 {
            return None;
        }
        step.after = sequence;
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(positions: &mut Positions, epoch: i64, sequence: i64) -> Decision {
        decide(positions, &Numbering { producer_id: "p".to_owned(), epoch, sequence })
    }

    #[test]
    fn each_sequence_is_applied_once_and_in_order() {
        let mut positions = Positions::new();
        assert_eq!(decided(&mut positions, 0, 2), Decision::Gap { expected: 1 });
        assert_eq!(decided(&mut positions, 0, 1), Decision::Apply);
        assert_eq!(decided(&mut positions, 0, 1), Decision::Duplicate);
        assert_eq!(decided(&mut positions, 0, 2), Decision::Apply);
        assert_eq!(decided(&mut positions, 0, 4), Decision::Gap { expected: 3 });
        assert_eq!(positions["p"], Position { epoch: 0, last_sequence: 2 });
    }

    #[test]
    fn a_higher_epoch_begins_at_one_and_fences_the_lower() {
        let mut positions = Positions::from([("p".to_owned(), Position { epoch: 3, last_sequence: 9 })]);
        assert_eq!(decided(&mut positions, 4, 2), Decision::Gap { expected: 1 });
        assert_eq!(positions["p"].epoch, 3, "a batch that is not applied takes nothing over");
        assert_eq!(decided(&mut positions, 4, 1), Decision::Apply);
        assert_eq!(decided(&mut positions, 3, 10), Decision::Fenced { current: 4 });
    }

    #[test]
    fn batches_in_order_are_a_step_of_each_producer() {
        let number =
            |producer_id: &str, epoch, sequence| Numbering { producer_id: producer_id.to_owned(), epoch, sequence };
        let in_order = [number("p", 3, 5), number("q", 0, 2), number("p", 3, 6)];
        let (p, q) = (Step { epoch: 3, before: 4, after: 6 }, Step { epoch: 0, before: 1, after: 2 });
        assert_eq!(steps(in_order.iter()), Some(Steps::from([("p", p), ("q", q)])));
        for (last, why) in [
            (number("p", 3, 6), "the same one twice"),
            (number("p", 3, 8), "one is missing"),
            (number("p", 4, 7), "another epoch"),
            (number("r", 3, 1), "the first of an epoch"),
        ] {
            assert_eq!(steps(in_order.iter().chain([&last])), None, "{why}");
        }
    }
}
