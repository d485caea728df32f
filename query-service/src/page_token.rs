//! Page tokens: where a listing goes on, bound to the question that it belongs to.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::error::QueryError;

/// Ids hold no control characters, so this keeps the parts apart.
const SEPARATOR: char = '\0';

/// The token that continues the question after `last`. `question` is the call and its filters.
pub(crate) fn encode(question: &[&str], last: &str) -> String {
    let parts: Vec<&str> = question.iter().copied().chain([last]).collect();
    BASE64_URL_SAFE_NO_PAD.encode(parts.join(&SEPARATOR.to_string()))
}

/// What the token continues after; empty for the first page.
pub(crate) fn decode(question: &[&str], token: &str) -> Result<String, QueryError> {
    if token.is_empty() {
        return Ok(String::new());
    }
    let refused = |sentence: &str| QueryError::invalid("page_token", sentence);
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(token)
        .map_err(|_| refused("is not a token of this service"))?;
    let text = String::from_utf8(bytes).map_err(|_| refused("is not a token of this service"))?;
    let parts: Vec<&str> = text.split(SEPARATOR).collect();
    match parts.split_last() {
        Some((last, asked)) if asked == question => Ok((*last).to_owned()),
        _ => Err(refused(
            "belongs to another query: repeat the request that returned it, with the same filters",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_continues_its_own_question_and_no_other() {
        let token = encode(&["ListDevices", "gate"], "gate-7");
        assert_eq!(decode(&["ListDevices", "gate"], &token).unwrap(), "gate-7");
        assert_eq!(decode(&["ListDevices", "gate"], "").unwrap(), "");
        for question in [&["ListDevices", ""][..], &["ListMetrics", "gate"], &["ListDevices"]] {
            assert!(
                decode(question, &token)
                    .unwrap_err()
                    .to_string()
                    .contains("belongs to another query")
            );
        }
        for token in ["!", "AA", "/w"] {
            assert!(decode(&["ListDevices", "gate"], token).is_err());
        }
    }
}
