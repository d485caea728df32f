//! Reads raw points through COPY, which is the fastest way to read many of them.

use std::fmt::{self, Display, Formatter};

use shared::time;

use crate::columns::PointColumns;
use crate::copy_decoder::{CopyDecoder, DecodeError};
use crate::read_pool::ReadPool;

/// A number that is formatted into the text of a statement, because COPY takes no bind parameters.
/// Nothing but numbers is ever formatted into a statement.
enum CopyParameter<'a> {
    Ids(&'a [i32]),
    /// Microseconds since the Unix epoch, within the years that the contract allows.
    Time(i64),
    Rows(usize),
}

impl Display for CopyParameter<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ids(ids) => ids.iter().enumerate().try_for_each(|(at, id)| {
                let comma = if at == 0 { "" } else { "," };
                write!(f, "{comma}{id}")
            }),
            Self::Time(micros) => write!(f, "'{}'", time::display(*micros)),
            Self::Rows(rows) => write!(f, "{rows}"),
        }
    }
}

/// Replaces `$1`, `$2` and so on in the text of a statement by the numbers.
fn statement(text: &'static str, parameters: &[CopyParameter<'_>]) -> String {
    let mut rest = text.split('$');
    let mut statement = rest.next().unwrap_or_default().to_owned();
    for part in rest {
        let digits =
            part.len() - part.trim_start_matches(|first: char| first.is_ascii_digit()).len();
        let parameter = part[..digits]
            .parse()
            .ok()
            .and_then(|number: usize| parameters.get(number.checked_sub(1)?));
        if let Some(parameter) = parameter {
            statement.push_str(&parameter.to_string());
        }
        statement.push_str(&part[digits..]);
    }
    statement
}

/// Returns the points of one series in [start, end), earliest first, at most `limit`.
pub(crate) async fn of_one(
    pool: &ReadPool,
    series_id: i32,
    (start, end): (i64, i64),
    limit: usize,
) -> sqlx::Result<PointColumns> {
    let parameters = [
        CopyParameter::Ids(&[series_id]),
        CopyParameter::Time(start),
        CopyParameter::Time(end),
        CopyParameter::Rows(limit),
    ];
    let statement = statement(include_str!("sql/copy_points.sql"), &parameters);
    read(pool, &statement, CopyDecoder::of_one(limit)).await
}

/// Returns the points of several series in [start, end), series by series, earliest first. `limit`
/// applies to all series together.
pub(crate) async fn of_many(
    pool: &ReadPool,
    series_ids: &[i32],
    (start, end): (i64, i64),
    limit: usize,
) -> sqlx::Result<PointColumns> {
    let parameters = [
        CopyParameter::Ids(series_ids),
        CopyParameter::Time(start),
        CopyParameter::Time(end),
        CopyParameter::Rows(limit),
    ];
    let statement = statement(include_str!("sql/copy_points_of_many.sql"), &parameters);
    read(pool, &statement, CopyDecoder::of_many(series_ids.len(), limit)).await
}

async fn read(
    pool: &ReadPool,
    statement: &str,
    mut decoder: CopyDecoder,
) -> sqlx::Result<PointColumns> {
    let refused = |error: DecodeError| sqlx::Error::Decode(error.into());
    pool.named("copy_points")
        .copy_out(statement, |bytes| decoder.take(bytes).map_err(refused))
        .await?;
    decoder.finish().map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_replace_their_placeholders() {
        let parameters =
            [CopyParameter::Ids(&[7, -8]), CopyParameter::Time(1_000_001), CopyParameter::Rows(10)];
        let text = statement("a $1 b $2, $3$3 $1", &parameters);
        assert_eq!(text, "a 7,-8 b '1970-01-01T00:00:01.000001Z', 1010 7,-8");
    }

    #[test]
    fn every_placeholder_of_a_statement_is_replaced() {
        let parameters = [
            CopyParameter::Ids(&[1]),
            CopyParameter::Time(i64::MIN),
            CopyParameter::Time(0),
            CopyParameter::Rows(1),
        ];
        for text in
            [include_str!("sql/copy_points.sql"), include_str!("sql/copy_points_of_many.sql")]
        {
            assert!(!statement(text, &parameters).contains('$'));
        }
    }
}
