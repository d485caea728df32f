//! Pages of listings: their limit in SQL and their tokens.

use crate::page_token;

/// Converts a count to the type of a LIMIT.
pub(super) fn sql_limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Truncates the results to the page. Returns the token of the next page, or an empty string if
/// there is none.
pub(super) fn next_token<T>(
    found: &mut Vec<T>,
    page_size: usize,
    scope: &[&str],
    name: impl Fn(&T) -> &str,
) -> String {
    if found.len() <= page_size {
        return String::new();
    }
    found.truncate(page_size);
    found.last().map_or_else(String::new, |last| page_token::encode(scope, name(last)))
}
