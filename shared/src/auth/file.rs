//! The identities file: parsing and lookup.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::key::{self, KeyHash};
use super::{ClientLimits, DevicePrefixes, Identity, Scope};
use crate::tls::CertificateNames;

/// All identities of the file, indexed by their credentials.
#[derive(Debug)]
pub(super) struct Identities {
    by_key: HashMap<String, (KeyHash, Arc<Identity>)>,
    by_certificate: HashMap<String, Arc<Identity>>,
    /// Number of identities.
    pub(super) count: usize,
}

/// Reason why credentials match no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    NoKey,
    WrongKey,
    NoCertificateKnown,
    Expired,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    identity: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    scopes: Vec<Scope>,
    device_prefixes: Vec<String>,
    producer_prefix: Option<String>,
    #[serde(default)]
    keys: Vec<String>,
    #[serde(default)]
    certificates: Vec<String>,
    expires: Option<toml::value::Datetime>,
    #[serde(default)]
    limits: ClientLimits,
}

impl Identities {
    /// Parses an identities file.
    ///
    /// # Errors
    /// The file is invalid. The message names the identity and what to write instead.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let text =
            std::str::from_utf8(text).map_err(|error| format!("not valid UTF-8: {error}"))?;
        let file: File =
            toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        // An empty file may also be one that is still being written.
        if file.identity.is_empty() {
            return Err("no [[identity]] found: no client could call the service".to_owned());
        }
        let mut identities = Self {
            by_key: HashMap::new(),
            by_certificate: HashMap::new(),
            count: file.identity.len(),
        };
        let mut names = HashSet::new();
        for entry in file.identity {
            let name = entry.name.clone();
            if !names.insert(name.clone()) {
                return Err(format!("identity {name:?} is defined twice"));
            }
            identities.add(entry).map_err(|sentence| format!("identity {name:?}: {sentence}"))?;
        }
        Ok(identities)
    }

    fn add(&mut self, entry: Entry) -> Result<(), String> {
        let Entry {
            name,
            scopes,
            device_prefixes,
            producer_prefix,
            keys,
            certificates,
            expires,
            limits,
        } = entry;
        if name.is_empty() || scopes.is_empty() {
            return Err("name and scopes must not be empty".to_owned());
        }
        if device_prefixes.is_empty() {
            return Err("device_prefixes is empty; use [\"\"] to allow every device".to_owned());
        }
        let expires = expires.map(expiry).transpose()?;
        let devices = DevicePrefixes::new(device_prefixes);
        let identity =
            Arc::new(Identity { name, scopes, devices, producer_prefix, expires, limits });
        for entry in keys {
            let (id, hash) = key::parse_entry(&entry)?;
            if self.by_key.insert(id.clone(), (hash, Arc::clone(&identity))).is_some() {
                return Err(format!("keys: {id} is used twice"));
            }
        }
        for certificate in certificates {
            if !["uri:", "dns:", "cn:"].iter().any(|kind| certificate.starts_with(kind)) {
                return Err(format!(
                    "certificates: {certificate:?} must begin with uri:, dns: or cn:"
                ));
            }
            if self.by_certificate.insert(certificate.clone(), Arc::clone(&identity)).is_some() {
                return Err(format!("certificates: {certificate} is used twice"));
            }
        }
        Ok(())
    }

    /// Returns the identity of a key. Hashes the key whether or not its id exists, so that the time
    /// taken does not reveal which ids exist.
    pub(super) fn by_key(
        &self,
        presented: &str,
        now: DateTime<Utc>,
    ) -> Result<Arc<Identity>, Unknown> {
        let hash = KeyHash::of(presented.as_bytes());
        let found = key::id(presented).and_then(|id| self.by_key.get(id));
        match found {
            Some((stored, identity)) if stored.is(&hash) => unexpired(identity, now),
            _ => Err(Unknown::WrongKey),
        }
    }

    /// Returns the identity of the first certificate name that is in the file.
    pub(super) fn by_certificate(
        &self,
        names: &CertificateNames,
        now: DateTime<Utc>,
    ) -> Result<Arc<Identity>, Unknown> {
        match names.0.iter().find_map(|name| self.by_certificate.get(name)) {
            Some(identity) => unexpired(identity, now),
            None => Err(Unknown::NoCertificateKnown),
        }
    }
}

fn unexpired(identity: &Arc<Identity>, now: DateTime<Utc>) -> Result<Arc<Identity>, Unknown> {
    match identity.expires {
        Some(expires) if expires <= now => Err(Unknown::Expired),
        _ => Ok(Arc::clone(identity)),
    }
}

fn expiry(datetime: toml::value::Datetime) -> Result<DateTime<Utc>, String> {
    let parsed = DateTime::parse_from_rfc3339(&datetime.to_string());
    parsed
        .map(|time| time.to_utc())
        .map_err(|_| format!("expires is {datetime}; expected a time such as 2027-12-31T00:00:00Z"))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    fn parse(text: &str) -> Result<Identities, String> {
        Identities::parse(text.as_bytes())
    }

    const HEAD: &str =
        "[[identity]]\nname = \"a\"\nscopes = [\"ingest\"]\ndevice_prefixes = [\"x/\"]\n";

    #[test]
    fn identities_are_found_by_key_and_by_certificate_until_they_expire() {
        let key = key::generate().unwrap();
        let other = key::generate().unwrap();
        let line = key::entry(&key).unwrap();
        let text = format!(
            "{HEAD}keys = [\"{line}\"]\ncertificates = [\"cn:a\"]\nexpires = 2030-01-01T00:00:00Z\n"
        );
        let identities = parse(&text).unwrap();
        let before = expiry("2029-12-31T23:59:59Z".parse().unwrap()).unwrap();
        let after = expiry("2030-01-01T00:00:00Z".parse().unwrap()).unwrap();
        assert_eq!(identities.by_key(&key, before).unwrap().name, "a");
        assert_eq!(identities.by_key(&key, after), Err(Unknown::Expired));
        assert_eq!(identities.by_key(&other, before), Err(Unknown::WrongKey));
        let forged = format!("{}{}", &key[..21], &other[21..]);
        assert_eq!(
            identities.by_key(&forged, before),
            Err(Unknown::WrongKey),
            "a key with the id of one and the secret of another"
        );
        let names = |name: &str| CertificateNames(vec!["dns:b".to_owned(), name.to_owned()]);
        assert_eq!(identities.by_certificate(&names("cn:a"), before).unwrap().name, "a");
        assert_eq!(
            identities.by_certificate(&names("dns:a"), before),
            Err(Unknown::NoCertificateKnown)
        );
    }

    #[test]
    fn an_identity_may_have_limits_of_its_own() {
        let key = key::generate().unwrap();
        let line = key::entry(&key).unwrap();
        let limits = "[identity.limits]\npoints_per_second = 1000\nmax_calls = 3\n";
        let identities = parse(&format!("{HEAD}keys = [\"{line}\"]\n{limits}")).unwrap();
        let limits = identities.by_key(&key, Utc::now()).unwrap().limits;
        let expected = ClientLimits {
            points_per_second: NonZeroUsize::new(1_000),
            max_calls: NonZeroUsize::new(3),
            ..ClientLimits::default()
        };
        assert_eq!(limits, expected);
        let message = parse(&format!("{HEAD}[identity.limits]\nmax_calls = 0\n")).unwrap_err();
        assert!(message.contains("max_calls = 0"), "{message}");
        assert!(
            parse(&format!("{HEAD}[identity.limits]\ncalls = 1\n"))
                .unwrap_err()
                .contains("max_calls")
        );
    }

    #[test]
    fn what_is_wrong_in_the_file_is_told_with_the_identity() {
        let message = |text: &str| parse(text).unwrap_err();
        assert_eq!(message(""), "no [[identity]] found: no client could call the service");
        assert_eq!(message(&format!("{HEAD}{HEAD}")), "identity \"a\" is defined twice");
        assert!(
            message(&format!("{HEAD}keys = [\"x\"]"))
                .starts_with("identity \"a\": keys: \"x\" is not ID:HASH")
        );
        assert!(
            message(&format!("{HEAD}certificates = [\"a\"]"))
                .contains("must begin with uri:, dns: or cn:")
        );
        assert!(
            message(&format!("{HEAD}expires = 2030-01-01"))
                .contains("expected a time such as 2027-12-31T00:00:00Z")
        );
        assert!(message(&format!("{HEAD}device_prefix = \"x\"")).contains("device_prefix"));
        assert!(message(&HEAD.replace("x/\"", "x/\"]\nproducer = [\"")).contains("producer"));
        assert!(message(&HEAD.replace("[\"x/\"]", "[]")).contains("to allow every device"));
        assert!(message(&HEAD.replace("ingest", "write")).contains("ingest"));
    }
}
