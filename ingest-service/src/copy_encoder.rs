//! Encodes points for `COPY points (timestamp, series_id, value) FROM STDIN (FORMAT binary)`.
//!
//! PostgreSQL's manual describes the format under "COPY", section "Binary Format".

use shared::db::POSTGRES_EPOCH;

/// Statement whose data this module encodes.
pub(crate) const STATEMENT: &str =
    "COPY points (\"timestamp\", series_id, value) FROM STDIN (FORMAT binary)";

/// Bytes before the first row: signature, flags, no extension.
pub(crate) const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Bytes after the last row.
pub(crate) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// Size of one encoded row in bytes: the number of fields, then each field's length and value.
pub(crate) const ROW_BYTES: usize = 2 + (4 + 8) + (4 + 4) + (4 + 8);

/// Appends the points of one series in reverse order, because the columnstore and the index order
/// them by descending time.
///
/// The columns must have equal lengths. Timestamps are microseconds since the Unix epoch, within
/// the accepted times and therefore far from overflow.
pub(crate) fn encode_reversed(
    series_id: i32,
    timestamps: &[i64],
    values: &[f64],
    out: &mut Vec<u8>,
) {
    let mut row = [0; ROW_BYTES];
    row[0..2].copy_from_slice(&3_i16.to_be_bytes());
    row[2..6].copy_from_slice(&8_i32.to_be_bytes());
    row[14..18].copy_from_slice(&4_i32.to_be_bytes());
    row[18..22].copy_from_slice(&series_id.to_be_bytes());
    row[22..26].copy_from_slice(&8_i32.to_be_bytes());
    out.reserve(timestamps.len() * ROW_BYTES);
    for (timestamp, value) in timestamps.iter().zip(values).rev() {
        row[6..14].copy_from_slice(&(timestamp - POSTGRES_EPOCH).to_be_bytes());
        row[26..34].copy_from_slice(&value.to_be_bytes());
        out.extend_from_slice(&row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_three_fields_in_network_order_and_the_last_point_comes_first() {
        let mut bytes = Vec::new();
        encode_reversed(7, &[POSTGRES_EPOCH + 1, POSTGRES_EPOCH + 2], &[1.5, -1.5], &mut bytes);
        let row = |timestamp: u8, sign: u8| {
            [
                &[0, 3, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, timestamp][..],
                &[0, 0, 0, 4, 0, 0, 0, 7],
                &[0, 0, 0, 8, sign, 0xf8, 0, 0, 0, 0, 0, 0],
            ]
            .concat()
        };
        assert_eq!(bytes, [row(2, 0xbf), row(1, 0x3f)].concat());
    }
}
