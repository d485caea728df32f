//! The bytes of `COPY (...) TO STDOUT (FORMAT binary)` to columns of points, and nothing else.
//!
//! The format is that of PostgreSQL's manual, "COPY", section "Binary Format". Rows are (timestamptz, float8), or
//! (int4, timestamptz, float8) where the first is the position of the series in a list, from 1.

use shared::db::POSTGRES_EPOCH;

use crate::columns::Columns;

/// Signature, flags and the length of an extension, which no server sends.
const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// The bytes are not what the statement asks for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer to COPY is not what was asked for: {0}")]
pub(crate) struct DecodeError(&'static str);

/// Takes bytes in pieces of any size and fills columns.
pub(crate) struct CopyDecoder {
    /// How many series were asked for; none where rows have no position.
    positions: Option<usize>,
    /// Most rows that were asked for.
    limit: usize,
    /// Bytes of a row that is not complete yet: fewer than a row and a header have.
    rest: Vec<u8>,
    state: State,
    columns: Columns,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Rows,
    Ended,
}

impl CopyDecoder {
    /// For rows of one series.
    pub(crate) fn of_one(limit: usize) -> Self {
        Self::new(None, limit)
    }

    /// For rows of several series, each with the position of its series, in ascending order.
    pub(crate) fn of_many(series: usize, limit: usize) -> Self {
        Self::new(Some(series), limit)
    }

    fn new(positions: Option<usize>, limit: usize) -> Self {
        Self {
            positions,
            limit,
            rest: Vec::new(),
            state: State::Header,
            columns: Columns::default(),
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// They do not belong to such an answer.
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

    /// Returns the points once the last byte is taken. Points of one timestamp are sorted by value here, not by the
    /// database: its index has the order of the timestamps only, and a page never ends between two points of one timestamp.
    ///
    /// # Errors
    /// The answer was cut off.
    pub(crate) fn finish(mut self) -> Result<Columns, DecodeError> {
        match self.state {
            State::Ended => {
                self.columns.sort_equal_timestamps();
                Ok(self.columns)
            }
            _ => Err(DecodeError("it ends too early")),
        }
    }

    /// Reads what is complete, and returns what is not.
    fn read<'b>(&mut self, mut bytes: &'b [u8]) -> Result<&'b [u8], DecodeError> {
        if self.state == State::Header {
            let Some((header, rows)) = bytes.split_first_chunk() else { return Ok(bytes) };
            if header != HEADER {
                return Err(DecodeError("it begins with another header"));
            }
            (self.state, bytes) = (State::Rows, rows);
        }
        while let Some((count, fields)) = bytes.split_first_chunk() {
            if self.state == State::Ended {
                return Err(DecodeError("it goes on after its end"));
            }
            if i16::from_be_bytes(*count) == -1 {
                (self.state, bytes) = (State::Ended, fields);
                continue;
            }
            let Some(next) = self.row(i16::from_be_bytes(*count), fields)? else { break };
            bytes = next;
        }
        Ok(bytes)
    }

    /// Reads the fields of one row and returns what follows; none where they are not complete.
    fn row<'b>(
        &mut self,
        count: i16,
        mut fields: &'b [u8],
    ) -> Result<Option<&'b [u8]>, DecodeError> {
        if count != 2 + i16::from(self.positions.is_some()) {
            return Err(DecodeError("another number of fields"));
        }
        let mut position = 0;
        if let Some(positions) = self.positions {
            let Some((number, next)) = field::<4, 8>(fields)? else { return Ok(None) };
            let number = usize::try_from(i32::from_be_bytes(number)).unwrap_or(0);
            if !(1..=positions).contains(&number) {
                return Err(DecodeError("a series that was not asked for"));
            }
            position = number - 1;
            fields = next;
        }
        let Some((timestamp, fields)) = field::<8, 12>(fields)? else { return Ok(None) };
        let Some((value, fields)) = field::<8, 12>(fields)? else { return Ok(None) };
        if self.columns.len() == self.limit {
            return Err(DecodeError("more rows than were asked for"));
        }
        let timestamp = i64::from_be_bytes(timestamp).checked_add(POSTGRES_EPOCH);
        let timestamp = timestamp.ok_or(DecodeError("an infinite time"))?;
        if !self.columns.push(position, timestamp, f64::from_be_bytes(value)) {
            return Err(DecodeError("rows out of order"));
        }
        Ok(Some(fields))
    }
}

type Field<'b, const N: usize> = ([u8; N], &'b [u8]);

/// A field of `N` bytes behind its length, `WHOLE` in all; and what follows it.
fn field<const N: usize, const WHOLE: usize>(
    bytes: &[u8],
) -> Result<Option<Field<'_, N>>, DecodeError> {
    let Some((whole, next)) = bytes.split_first_chunk::<WHOLE>() else { return Ok(None) };
    let refused = DecodeError("a field of another length");
    let Some((length, content)) = whole.split_first_chunk() else { return Err(refused) };
    match content.try_into() {
        Ok(content) if u32::from_be_bytes(*length) as usize == N => Ok(Some((content, next))),
        _ => Err(refused),
    }
}

#[cfg(test)]
mod tests;
