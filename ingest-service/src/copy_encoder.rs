//! Rows to the bytes of `COPY points (timestamp, series_id, value) FROM STDIN (FORMAT binary)`, and nothing else.
//!
//! The format is that of PostgreSQL's manual, "COPY", section "Binary Format".

use shared::db::POSTGRES_EPOCH;

/// One row of `points`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) series_id: i32,
    /// Microseconds since the Unix epoch.
    pub(crate) timestamp: i64,
    pub(crate) value: f64,
}

/// The statement whose data this module encodes.
pub(crate) const STATEMENT: &str = "COPY points (\"timestamp\", series_id, value) FROM STDIN (FORMAT binary)";

/// Goes before the first row: signature, flags, no extension.
pub(crate) const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Goes after the last row.
pub(crate) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// Bytes of one encoded row: the number of fields, then each field's length and value.
pub(crate) const ROW_BYTES: usize = 2 + (4 + 8) + (4 + 4) + (4 + 8);

/// Appends rows. Timestamps are within the accepted times, far from the ends of the type.
pub(crate) fn encode(rows: &[Row], out: &mut Vec<u8>) {
    out.reserve(rows.len() * ROW_BYTES);
    for row in rows {
        out.extend_from_slice(&encode_row(row));
    }
}

fn encode_row(row: &Row) -> [u8; ROW_BYTES] {
    let mut bytes = [0; ROW_BYTES];
    bytes[0..2].copy_from_slice(&3_i16.to_be_bytes());
    bytes[2..6].copy_from_slice(&8_i32.to_be_bytes());
    bytes[6..14].copy_from_slice(&(row.timestamp - POSTGRES_EPOCH).to_be_bytes());
    bytes[14..18].copy_from_slice(&4_i32.to_be_bytes());
    bytes[18..22].copy_from_slice(&row.series_id.to_be_bytes());
    bytes[22..26].copy_from_slice(&8_i32.to_be_bytes());
    bytes[26..34].copy_from_slice(&row.value.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_three_fields_in_network_order() {
        let mut bytes = Vec::new();
        encode(&[Row { series_id: 7, timestamp: POSTGRES_EPOCH + 1, value: 1.5 }], &mut bytes);
        let expected = [
            &[0, 3, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1][..],
            &[0, 0, 0, 4, 0, 0, 0, 7],
            &[0, 0, 0, 8, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        assert_eq!(bytes, expected);
    }
}
