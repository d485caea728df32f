//! Decodes the bytes of `COPY (...) TO STDOUT (FORMAT binary)` into columns of points.
//!
//! The format is described in PostgreSQL's manual under "COPY", section "Binary Format". Rows are
//! (timestamptz, float8), or (int4, timestamptz, float8), in which the first field is the position
//! of the series in a list, counted from 1.

use shared::db::POSTGRES_EPOCH;

use crate::columns::PointColumns;

/// The signature, the flags, and a header extension of length 0: no server sends an extension.
const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// An error about bytes that do not answer the statement.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unexpected answer to COPY: {0}")]
pub(crate) struct DecodeError(&'static str);

/// A decoder that takes bytes in chunks of any size and fills columns.
pub(crate) struct CopyDecoder {
    /// The number of series queried. `None` if rows have no position.
    positions: Option<usize>,
    /// The LIMIT of the statement, in rows.
    limit: usize,
    /// The bytes of an incomplete header or row.
    rest: Vec<u8>,
    state: DecoderState,
    columns: PointColumns,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum DecoderState {
    Header,
    Rows,
    Ended,
}

impl CopyDecoder {
    /// Returns a decoder for rows of one series.
    pub(crate) fn of_one(limit: usize) -> Self {
        Self::new(None, limit)
    }

    /// Returns a decoder for rows of several series. Each row has the position of its series, and
    /// positions ascend.
    pub(crate) fn of_many(series: usize, limit: usize) -> Self {
        Self::new(Some(series), limit)
    }

    fn new(positions: Option<usize>, limit: usize) -> Self {
        Self {
            positions,
            limit,
            rest: Vec::new(),
            state: DecoderState::Header,
            columns: PointColumns::default(),
        }
    }

    /// Decodes the next bytes.
    ///
    /// # Errors
    /// Returns an error if the bytes do not answer the statement.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            let left = self.read(bytes)?;
            self.rest.extend_from_slice(left);
        } else {
            let mut all = std::mem::take(&mut self.rest);
            all.extend_from_slice(bytes);
            let left = self.read(&all)?.len();
            all.drain(..all.len() - left);
            self.rest = all;
        }
        Ok(())
    }

    /// Returns the points after the last byte. Sorts points of the same timestamp by value. The
    /// database does not: its index is ordered by timestamp only. Sorting within a page is enough,
    /// because a page never ends between two points of the same timestamp.
    ///
    /// # Errors
    /// Returns an error if the answer is truncated.
    pub(crate) fn finish(mut self) -> Result<PointColumns, DecodeError> {
        match self.state {
            DecoderState::Ended => {
                self.columns.sort_equal_timestamps();
                Ok(self.columns)
            }
            _ => Err(DecodeError("it is truncated")),
        }
    }

    /// Reads the header and all complete rows. Returns the bytes that are left.
    fn read<'b>(&mut self, mut bytes: &'b [u8]) -> Result<&'b [u8], DecodeError> {
        if self.state == DecoderState::Header {
            let Some((header, rows)) = bytes.split_first_chunk() else { return Ok(bytes) };
            if header != HEADER {
                return Err(DecodeError("the header is wrong"));
            }
            self.state = DecoderState::Rows;
            bytes = rows;
        }
        while let Some((count, fields)) = bytes.split_first_chunk() {
            if self.state == DecoderState::Ended {
                return Err(DecodeError("data follows the end marker"));
            }
            if i16::from_be_bytes(*count) == -1 {
                self.state = DecoderState::Ended;
                bytes = fields;
                continue;
            }
            let Some(next) = self.row(i16::from_be_bytes(*count), fields)? else { break };
            bytes = next;
        }
        Ok(bytes)
    }

    /// Reads the fields of one row and returns the bytes after it. Returns `None` if the row is
    /// incomplete.
    fn row<'b>(
        &mut self,
        count: i16,
        mut fields: &'b [u8],
    ) -> Result<Option<&'b [u8]>, DecodeError> {
        if count != 2 + i16::from(self.positions.is_some()) {
            return Err(DecodeError("a row has the wrong number of fields"));
        }
        let mut position = 0;
        if let Some(positions) = self.positions {
            let Some((number, next)) = field::<4, 8>(fields)? else { return Ok(None) };
            let number = usize::try_from(i32::from_be_bytes(number)).unwrap_or(0);
            if !(1..=positions).contains(&number) {
                return Err(DecodeError("a row has the position of no queried series"));
            }
            position = number - 1;
            fields = next;
        }
        let Some((timestamp, fields)) = field::<8, 12>(fields)? else { return Ok(None) };
        let Some((value, fields)) = field::<8, 12>(fields)? else { return Ok(None) };
        if self.columns.len() == self.limit {
            return Err(DecodeError("it has more rows than the limit"));
        }
        let timestamp = i64::from_be_bytes(timestamp).checked_add(POSTGRES_EPOCH);
        let timestamp = timestamp.ok_or(DecodeError("a timestamp is infinite"))?;
        if !self.columns.push(position, timestamp, f64::from_be_bytes(value)) {
            return Err(DecodeError("rows are out of order"));
        }
        Ok(Some(fields))
    }
}

type CopyField<'b, const N: usize> = ([u8; N], &'b [u8]);

/// Splits off a field of `N` bytes, preceded by its length: `WHOLE` bytes together. Returns `None`
/// if the field is incomplete.
fn field<const N: usize, const WHOLE: usize>(
    bytes: &[u8],
) -> Result<Option<CopyField<'_, N>>, DecodeError> {
    let Some((whole, next)) = bytes.split_first_chunk::<WHOLE>() else { return Ok(None) };
    let refused = DecodeError("a field has the wrong length");
    let Some((length, content)) = whole.split_first_chunk() else { return Err(refused) };
    match content.try_into() {
        Ok(content) if u32::from_be_bytes(*length) as usize == N => Ok(Some((content, next))),
        _ => Err(refused),
    }
}

#[cfg(test)]
mod tests;
