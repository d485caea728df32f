//! API keys and their hashes.
//!
//! A key is `tgk_ID_SECRET`: a public id of 64 random bits, under which it is looked up and named in logs, and a secret of 256.
//! SHA-256 of the whole key is what is stored. A slow hash, as passwords need, would add nothing: nobody guesses 256 random
//! bits, however many tries a second they have, but every call would pay for it.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rand::TryRng as _;
use rand::rngs::SysRng;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// So that people and scanners for secrets know one when they see it.
const MARK: &str = "tgk_";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// What is stored of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyHash([u8; 32]);

impl KeyHash {
    /// Of a key as a client sends it.
    pub(super) fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// Takes the same time wherever the two differ.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// A new key, from the system's source of randomness.
pub(super) fn generate() -> Result<String, String> {
    let mut random = [0; ID_BYTES + SECRET_BYTES];
    SysRng
        .try_fill_bytes(&mut random)
        .map_err(|error| format!("the system has no randomness: {error}"))?;
    let (id, secret) = random.split_at(ID_BYTES);
    Ok(format!("{MARK}{}_{}", hex(id), BASE64_URL_SAFE_NO_PAD.encode(secret)))
}

/// The public part of what may be a key.
pub(super) fn id(key: &str) -> Option<&str> {
    let (id, secret) = key.strip_prefix(MARK)?.split_once('_')?;
    let valid = unhex::<ID_BYTES>(id).is_some() && secret.len() == SECRET_BYTES.div_ceil(3) * 4 - 1;
    valid.then_some(id)
}

/// The line of a key in the file of identities: `ID:HASH`.
pub(super) fn entry(key: &str) -> Option<String> {
    Some(format!("{}:{}", id(key)?, hex(&KeyHash::of(key.as_bytes()).0)))
}

/// Such a line.
pub(super) fn parse_entry(entry: &str) -> Result<(String, KeyHash), String> {
    let parsed = entry.split_once(':').and_then(|(id, hash)| {
        unhex::<ID_BYTES>(id)?;
        Some((id.to_owned(), KeyHash(unhex(hash)?)))
    });
    parsed.ok_or_else(|| {
        if entry.starts_with(MARK) {
            return "keys: holds a key itself; it must be its hash (subcommand `keys hash`), and the key is known now: \
                    make a new one"
                .to_owned();
        }
        format!("keys: {entry:?} is not ID:HASH, as the subcommands `keys new` and `keys hash` print it")
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
        let (key, other) = (generate().unwrap(), generate().unwrap());
        assert_ne!(key, other);
        let (found, hash) = parse_entry(&entry(&key).unwrap()).unwrap();
        assert_eq!(id(&key), Some(found.as_str()));
        assert!(hash.is(&KeyHash::of(key.as_bytes())));
        assert!(!hash.is(&KeyHash::of(other.as_bytes())));
        assert!(!entry(&key).unwrap().contains(&key[4 + 17..]), "the secret is not in it");
    }

    #[test]
    fn what_is_no_key_or_no_hash_is_refused() {
        let key = generate().unwrap();
        for wrong in ["", "tgk_", "tgk__", "secret", &key[..key.len() - 1], &key[1..]] {
            assert_eq!(id(wrong), None, "{wrong}");
        }
        assert!(parse_entry(&key).unwrap_err().contains("make a new one"));
        for wrong in ["", ":", "0123456789abcdef:00", "é:é"] {
            assert!(parse_entry(wrong).unwrap_err().contains("is not ID:HASH"), "{wrong}");
        }
    }
}
