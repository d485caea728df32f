//! Page tokens: the position at which a listing continues, bound to the query that returned them.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::error::QueryError;

/// Separates the parts of a token. Ids contain no control characters.
const SEPARATOR: char = '\0';

/// Returns the token that continues a listing after `last`. `scope` is the method and its
/// filters.
pub(crate) fn encode(scope: &[&str], last: &str) -> String {
    let parts: Vec<&str> = scope.iter().copied().chain([last]).collect();
    BASE64_URL_SAFE_NO_PAD.encode(parts.join(&SEPARATOR.to_string()))
}

/// Returns the name after which the token continues. An empty token gives an empty name: the first
/// page.
pub(crate) fn decode(scope: &[&str], token: &str) -> Result<String, QueryError> {
    if token.is_empty() {
        return Ok(String::new());
    }
    let refused = |description: &str| QueryError::invalid("page_token", description);
    let foreign =
        || refused("was not issued by this service: use the next_page_token of an answer");
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| foreign())?;
    let text = String::from_utf8(bytes).map_err(|_| foreign())?;
    let parts: Vec<&str> = text.split(SEPARATOR).collect();
    match parts.split_last() {
        Some((last, found)) if found == scope => Ok((*last).to_owned()),
        _ => Err(refused(
            "belongs to another query: repeat the request that returned it, with the same filters",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_continues_its_own_query_and_no_other() {
        let token = encode(&["ListDevices", "gate"], "gate-7");
        assert_eq!(decode(&["ListDevices", "gate"], &token).unwrap(), "gate-7");
        assert_eq!(decode(&["ListDevices", "gate"], "").unwrap(), "");
        for scope in [&["ListDevices", ""][..], &["ListMetrics", "gate"], &["ListDevices"]] {
            assert!(
                decode(scope, &token).unwrap_err().to_string().contains("belongs to another query")
            );
        }
        for token in ["!", "AA", "/w"] {
            assert!(decode(&["ListDevices", "gate"], token).is_err());
        }
    }
}
