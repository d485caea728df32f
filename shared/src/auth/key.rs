//! API keys and their hashes.
//!
//! A key is `tgk_ID_SECRET`. The public id has 64 random bits; it is used for lookup and appears in
//! logs. The secret has 256 random bits. Only the SHA-256 hash of the whole key is stored. A slow
//! hash, as used for passwords, would cost time on every call without adding security: 256 random
//! bits cannot be guessed at any rate of attempts.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rand::TryRng as _;
use rand::rngs::SysRng;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Prefix of every key, by which people and secret scanners recognise one.
const KEY_PREFIX: &str = "tgk_";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// The stored hash of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyHash([u8; 32]);

impl KeyHash {
    /// Hashes a key as sent by a client.
    pub(super) fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// Compares two hashes in constant time.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// Generates a key from the system's source of randomness.
pub(super) fn generate() -> Result<String, String> {
    let mut random = [0; ID_BYTES + SECRET_BYTES];
    SysRng
        .try_fill_bytes(&mut random)
        .map_err(|error| format!("cannot read random bytes from the system: {error}"))?;
    let (id, secret) = random.split_at(ID_BYTES);
    Ok(format!("{KEY_PREFIX}{}_{}", hex(id), BASE64_URL_SAFE_NO_PAD.encode(secret)))
}

/// Returns the public id of a key, or `None` if the text is not a well-formed key.
pub(super) fn id(key: &str) -> Option<&str> {
    let (id, secret) = key.strip_prefix(KEY_PREFIX)?.split_once('_')?;
    let valid = unhex::<ID_BYTES>(id).is_some() && secret.len() == SECRET_BYTES.div_ceil(3) * 4 - 1;
    valid.then_some(id)
}

/// Returns the entry of a key for the identities file: `ID:HASH`.
pub(super) fn entry(key: &str) -> Option<String> {
    Some(format!("{}:{}", id(key)?, hex(&KeyHash::of(key.as_bytes()).0)))
}

/// Parses an entry of the form `ID:HASH`.
pub(super) fn parse_entry(entry: &str) -> Result<(String, KeyHash), String> {
    let parsed = entry.split_once(':').and_then(|(id, hash)| {
        unhex::<ID_BYTES>(id)?;
        Some((id.to_owned(), KeyHash(unhex(hash)?)))
    });
    parsed.ok_or_else(|| {
        if entry.starts_with(KEY_PREFIX) {
            return "keys: contains a key instead of its hash. Run the subcommand `keys new`: the \
                    exposed key must be replaced"
                .to_owned();
        }
        format!("keys: {entry:?} is not ID:HASH, as printed by `keys new` and `keys hash`")
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let digits = text.as_bytes();
    if digits.len() != 2 * N
        || !digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_again_by_its_id_and_known_by_its_hash() {
        let key = generate().unwrap();
        let other = generate().unwrap();
        assert_ne!(key, other);
        let (found, hash) = parse_entry(&entry(&key).unwrap()).unwrap();
        assert_eq!(id(&key), Some(found.as_str()));
        assert!(hash.is(&KeyHash::of(key.as_bytes())));
        assert!(!hash.is(&KeyHash::of(other.as_bytes())));
        assert!(!entry(&key).unwrap().contains(&key[4 + 17..]), "the entry contains the secret");
    }

    #[test]
    fn what_is_no_key_or_no_hash_is_refused() {
        let key = generate().unwrap();
        for wrong in ["", "tgk_", "tgk__", "secret", &key[..key.len() - 1], &key[1..]] {
            assert_eq!(id(wrong), None, "{wrong}");
        }
        assert!(parse_entry(&key).unwrap_err().contains("exposed key must be replaced"));
        for wrong in ["", ":", "0123456789abcdef:00", "é:é"] {
            assert!(parse_entry(wrong).unwrap_err().contains("is not ID:HASH"), "{wrong}");
        }
    }
}
