use super::*;

fn row(position: Option<i32>, timestamp: i64, value: f64) -> Vec<u8> {
    let mut row = (2 + i16::from(position.is_some())).to_be_bytes().to_vec();
    if let Some(position) = position {
        row.extend([4_i32.to_be_bytes(), position.to_be_bytes()].concat());
    }
    row.extend(8_i32.to_be_bytes());
    row.extend((timestamp - POSTGRES_EPOCH).to_be_bytes());
    row.extend(8_i32.to_be_bytes());
    row.extend(value.to_be_bytes());
    row
}

fn answer(rows: &[Vec<u8>]) -> Vec<u8> {
    [HEADER.to_vec(), rows.concat(), (-1_i16).to_be_bytes().to_vec()].concat()
}

fn decode(
    mut decoder: CopyDecoder,
    bytes: &[u8],
    piece: usize,
) -> Result<PointColumns, DecodeError> {
    for bytes in bytes.chunks(piece) {
        decoder.take(bytes)?;
    }
    decoder.finish()
}

#[test]
fn chunks_of_any_size_give_the_same_columns() {
    let one = answer(&[row(None, -5, 0.5), row(None, 7, f64::MIN), row(None, 7, -0.0)]);
    let many = answer(&[row(Some(1), 7, 1.0), row(Some(3), -7, 2.0), row(Some(3), 8, 3.0)]);
    for piece in 1..=many.len() {
        let columns = decode(CopyDecoder::of_one(3), &one, piece).unwrap();
        assert_eq!(
            (&columns.timestamps[..], &columns.values[..]),
            (&[-5, 7, 7][..], &[0.5, f64::MIN, -0.0][..])
        );
        let columns = decode(CopyDecoder::of_many(3, 3), &many, piece).unwrap();
        let runs: Vec<_> = columns
            .runs()
            .map(|(position, rows)| (position, columns.timestamps[rows].to_vec()))
            .collect();
        assert_eq!(runs, [(0, vec![7]), (2, vec![-7, 8])]);
    }
    assert_eq!(decode(CopyDecoder::of_one(0), &answer(&[]), 7).unwrap().len(), 0);
}

#[test]
fn an_answer_that_does_not_fit_the_statement_is_refused() {
    let rows = [row(None, 1, 1.0), row(None, 2, 2.0)];
    let whole = answer(&rows);
    for cut in 0..whole.len() {
        assert!(decode(CopyDecoder::of_one(2), &whole[..cut], 5).is_err(), "cut at {cut}");
    }
    for at in 0..HEADER.len() {
        let mut wrong = whole.clone();
        wrong[at] ^= 1;
        assert!(decode(CopyDecoder::of_one(2), &wrong, 64).is_err(), "header byte {at}");
    }
    let refused = |decoder, bytes: &[u8]| decode(decoder, bytes, 64).unwrap_err().0;
    assert_eq!(refused(CopyDecoder::of_one(1), &whole), "it has more rows than the limit");
    assert_eq!(
        refused(CopyDecoder::of_one(2), &[&whole[..], &[0, 2]].concat()),
        "data follows the end marker"
    );
    assert_eq!(
        refused(CopyDecoder::of_one(2), &answer(&[rows[1].clone(), rows[0].clone()])),
        "rows are out of order"
    );
    let null = [&2_i16.to_be_bytes()[..], &(-1_i32).to_be_bytes(), &[0; 20]].concat();
    assert_eq!(refused(CopyDecoder::of_one(2), &answer(&[null])), "a field has the wrong length");
    assert_eq!(
        refused(CopyDecoder::of_one(2), &answer(&[row(Some(1), 1, 1.0)])),
        "a row has the wrong number of fields"
    );
    for position in [0, 3, -1, i32::MAX, i32::MIN] {
        let bytes = answer(&[row(Some(position), 1, 1.0)]);
        assert_eq!(
            refused(CopyDecoder::of_many(2, 2), &bytes),
            "a row has the position of no queried series",
            "{position}"
        );
    }
    let back = answer(&[row(Some(2), 1, 1.0), row(Some(1), 1, 1.0)]);
    assert_eq!(refused(CopyDecoder::of_many(2, 2), &back), "rows are out of order");
}

#[test]
fn random_bytes_are_refused_and_nothing_worse() {
    let whole =
        answer(&(0..50).map(|at| row(Some(1 + at / 10), i64::from(at), 1.0)).collect::<Vec<_>>());
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            bytes[at] = u8::try_from(random(256)).unwrap();
        }
        let piece = 1 + random(100);
        if let Ok(columns) = decode(CopyDecoder::of_many(5, 50), &bytes, piece) {
            assert!(columns.len() <= 50);
        }
    }
}

#[test]
fn points_of_one_series_and_timestamp_come_in_the_order_of_their_values() {
    let one = answer(&[
        row(None, 1, 9.0),
        row(None, 2, 5.0),
        row(None, 2, -7.0),
        row(None, 2, 1.0),
        row(None, 3, 0.0),
    ]);
    let columns = decode(CopyDecoder::of_one(9), &one, one.len()).unwrap();
    assert_eq!(columns.values, [9.0, -7.0, 1.0, 5.0, 0.0]);
    let many = answer(&[row(Some(1), 2, 9.0), row(Some(2), 2, 5.0), row(Some(2), 2, -7.0)]);
    let columns = decode(CopyDecoder::of_many(2, 9), &many, many.len()).unwrap();
    assert_eq!(columns.values, [9.0, -7.0, 5.0], "two series with one timestamp are not mixed");
}
