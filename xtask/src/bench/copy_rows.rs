//! Encoder of rows of `points` for `COPY ... (FORMAT binary)`. PostgreSQL's manual describes the
//! format on the page of COPY, under "Binary Format".

use prost::bytes::Bytes;
use shared::db::POSTGRES_EPOCH;

/// Statement that takes the rows.
pub(super) const STATEMENT: &str =
    "COPY points (\"timestamp\", series_id, value) FROM STDIN (FORMAT binary)";
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Bytes of one encoded row.
const ROW_BYTES: usize = 34;

/// Buffer of encoded rows, with the header of the format.
pub(super) struct CopyRows(Vec<u8>);

impl CopyRows {
    /// Creates a buffer with capacity for `rows` rows.
    pub(super) fn new(rows: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEADER.len() + ROW_BYTES * rows + 2);
        bytes.extend_from_slice(HEADER);
        Self(bytes)
    }

    /// Appends a point. `time` is in microseconds since the Unix epoch.
    pub(super) fn push(&mut self, time: i64, series_id: i32, value: f64) {
        self.0.extend_from_slice(&3_i16.to_be_bytes());
        self.0.extend_from_slice(&8_i32.to_be_bytes());
        self.0.extend_from_slice(&(time - POSTGRES_EPOCH).to_be_bytes());
        self.0.extend_from_slice(&4_i32.to_be_bytes());
        self.0.extend_from_slice(&series_id.to_be_bytes());
        self.0.extend_from_slice(&8_i32.to_be_bytes());
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    /// Removes and returns the buffered bytes if there are at least `bytes` of them. More rows may
    /// follow.
    pub(super) fn take_piece(&mut self, bytes: usize) -> Option<Vec<u8>> {
        (self.0.len() >= bytes)
            .then(|| std::mem::replace(&mut self.0, Vec::with_capacity(bytes + ROW_BYTES)))
    }

    /// Returns the remaining bytes, with the trailer of the format.
    pub(super) fn finish(mut self) -> Bytes {
        self.0.extend_from_slice(&(-1_i16).to_be_bytes());
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_encoded_as_the_manual_specifies() {
        let mut rows = CopyRows::new(2);
        rows.push(POSTGRES_EPOCH, 7, 1.0);
        rows.push(POSTGRES_EPOCH, 9, 2.0);
        let bytes = rows.finish();
        assert_eq!(bytes.len(), 19 + 2 * ROW_BYTES + 2);
        assert_eq!(bytes[19..37], [0, 3, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4]);
        assert_eq!(bytes[37..41], [0, 0, 0, 7]);
    }

    #[test]
    fn pieces_make_the_same_bytes() {
        let mut whole = CopyRows::new(0);
        let mut piecewise = CopyRows::new(0);
        let mut pieces = Vec::new();
        for time in 0..10 {
            whole.push(time, 1, 0.5);
            piecewise.push(time, 1, 0.5);
            pieces.extend(piecewise.take_piece(100).unwrap_or_default());
        }
        pieces.extend(piecewise.finish());
        assert_eq!(pieces, whole.finish());
    }
}
