//! Prefixes of device ids, which limit what an identity may write or read.

/// A set of device id prefixes in byte order, none of them a prefix of another. The empty prefix
/// allows every device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevicePrefixes(Vec<String>);

impl DevicePrefixes {
    /// Returns the set that allows every device.
    #[must_use]
    pub fn all() -> Self {
        Self(vec![String::new()])
    }

    /// Builds the set and removes prefixes that others already cover.
    #[must_use]
    pub fn new(mut prefixes: Vec<String>) -> Self {
        prefixes.sort_unstable();
        prefixes.dedup_by(|next, kept| next.starts_with(kept.as_str()));
        Self(prefixes)
    }

    /// Returns whether every device is allowed.
    #[must_use]
    pub fn are_all(&self) -> bool {
        self.0.first().is_some_and(String::is_empty)
    }

    /// Returns whether a device is allowed or, for a prefix, every device whose id begins with it.
    #[must_use]
    pub fn allow(&self, id_or_prefix: &str) -> bool {
        self.0.iter().any(|prefix| id_or_prefix.starts_with(prefix.as_str()))
    }

    /// Returns the prefixes that cover the allowed devices whose ids begin with `prefix`. They are
    /// in byte order, and none is a prefix of another.
    #[must_use]
    pub fn within(&self, prefix: &str) -> Vec<String> {
        if self.allow(prefix) {
            return vec![prefix.to_owned()];
        }
        self.0.iter().filter(|own| own.starts_with(prefix)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(prefixes: &[&str]) -> DevicePrefixes {
        DevicePrefixes::new(prefixes.iter().map(|&prefix| prefix.to_owned()).collect())
    }

    #[test]
    fn a_prefix_within_another_adds_nothing() {
        assert_eq!(
            prefixes(&["b", "a/1", "a/", "a/2", "ab"]),
            DevicePrefixes(vec!["a/".into(), "ab".into(), "b".into()])
        );
        assert_eq!(prefixes(&["a", ""]), DevicePrefixes::all());
        assert!(
            prefixes(&["a", ""]).are_all()
                && !prefixes(&["a"]).are_all()
                && !prefixes(&[]).are_all()
        );
    }

    #[test]
    fn what_was_asked_for_is_narrowed_to_what_is_allowed() {
        let own = prefixes(&["plant-a/", "plant-b/2"]);
        assert!(
            own.allow("plant-a/7")
                && own.allow("plant-a/")
                && !own.allow("plant-")
                && !own.allow("plant-b/1")
        );
        assert_eq!(own.within("plant-a/7"), ["plant-a/7"]);
        assert_eq!(own.within(""), ["plant-a/", "plant-b/2"]);
        assert_eq!(own.within("plant-b"), ["plant-b/2"]);
        assert!(own.within("x").is_empty());
        assert_eq!(DevicePrefixes::all().within("x"), ["x"]);
    }
}
