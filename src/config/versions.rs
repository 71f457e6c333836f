//! `[versions]` of `model.toml`: which versions of a model are served, and which one answers.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use serde::Deserialize;

/// The label of the version that answers when a request names none.
pub const STABLE: &str = "stable";

/// Which versions are served. What labels, split and shadow name is served beside the policy's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Versions {
    pub policy: Policy,
    /// Names of versions, which clients may ask for in the place of a number.
    pub labels: BTreeMap<String, u64>,
    /// Versions that share the requests which name none, by weight.
    pub split: BTreeMap<u64, u32>,
    /// A version that is given a copy of those requests, and whose answers go to nobody.
    pub shadow: Option<u64>,
}

/// Which of the versions on disk are served.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    All,
    /// So many of the highest.
    Latest(NonZeroUsize),
    Specific(BTreeSet<u64>),
}

impl Default for Policy {
    fn default() -> Self {
        Self::Latest(NonZeroUsize::MIN)
    }
}

/// As TOML has them: its keys are strings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default)]
    policy: Policy,
    #[serde(default)]
    labels: BTreeMap<String, u64>,
    #[serde(default)]
    split: BTreeMap<String, u32>,
    shadow: Option<u64>,
}

impl TryFrom<Keys> for Versions {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let Keys { policy, labels, split, shadow } = keys;
        for label in labels.keys() {
            let is_name = (1..=64).contains(&label.len())
                && label.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
            if !is_name || label.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(format!(
                    "versions.labels: `{label}`: expected 1 to 64 of the characters A-Z a-z 0-9 \
                     . _ -, and no number"
                ));
            }
        }
        let number = |key: &str| {
            let version = key.parse().ok().filter(|version: &u64| version.to_string() == key);
            version.ok_or_else(|| format!("versions.split: `{key}`: expected a version's number"))
        };
        let split = split.iter().map(|(key, weight)| Ok((number(key)?, *weight)));
        let split: BTreeMap<u64, u32> = split.collect::<Result<_, String>>()?;
        if !split.is_empty() && split.values().all(|weight| *weight == 0) {
            return Err("versions.split: expected a weight above 0".to_owned());
        }
        if let Some(version) = shadow
            && (split.contains_key(&version) || labels.get(STABLE) == Some(&version))
        {
            return Err(format!(
                "versions.shadow = {version} answers already, by versions.split or the label \
                 {STABLE}"
            ));
        }
        Ok(Self { policy, labels, split, shadow })
    }
}

impl Versions {
    /// The versions to serve, of those that are on disk.
    #[must_use]
    pub fn choose(&self, on_disk: impl DoubleEndedIterator<Item = u64> + Clone) -> BTreeSet<u64> {
        // The shadow must not become the latest: somebody else has to answer.
        let live = on_disk.clone().filter(|version| self.shadow != Some(*version));
        let mut chosen: BTreeSet<u64> = match &self.policy {
            Policy::All => live.collect(),
            Policy::Latest(count) => live.rev().take(count.get()).collect(),
            Policy::Specific(_) => BTreeSet::new(),
        };
        let named: BTreeSet<u64> = self.named().map(|(_, version)| version).collect();
        chosen.extend(on_disk.filter(|version| named.contains(version)));
        chosen
    }

    /// Whether requests without a version go to this one, if all that are chosen serve.
    #[must_use]
    pub fn answers_by_default(&self, version: u64, chosen: &BTreeSet<u64>) -> bool {
        if !self.split.is_empty() {
            return self.split.get(&version).is_some_and(|weight| *weight > 0);
        }
        let highest = || chosen.iter().rfind(|version| self.shadow != Some(**version));
        self.labels.get(STABLE).or_else(highest) == Some(&version)
    }

    /// Every version that is named, with the key that does it.
    pub fn named(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        let specific = match &self.policy {
            Policy::Specific(versions) => Some(versions),
            _ => None,
        };
        let specific = specific.into_iter().flatten().map(|v| ("policy".to_owned(), *v));
        let labels = self.labels.iter().map(|(label, v)| (format!("labels.{label}"), *v));
        let split = self.split.keys().map(|v| (format!("split.{v}"), *v));
        let shadow = self.shadow.iter().map(|v| ("shadow".to_owned(), *v));
        specific.chain(labels).chain(split).chain(shadow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelConfig;

    fn parse(text: &str) -> Result<Versions, String> {
        ModelConfig::parse(&format!("[versions]\n{text}")).map(|config| config.versions)
    }

    fn chosen(text: &str) -> Vec<u64> {
        parse(text).unwrap().choose([1, 2, 3, 10].into_iter()).into_iter().collect()
    }

    #[test]
    fn each_policy_chooses_its_versions_and_what_is_named_is_served_beside_them() {
        assert_eq!(chosen(""), [10]);
        assert_eq!(chosen("policy = \"all\""), [1, 2, 3, 10]);
        assert_eq!(chosen("policy = { latest = 2 }"), [3, 10]);
        assert_eq!(chosen("policy = { specific = [1, 3, 7] }"), [1, 3]);
        assert_eq!(chosen("labels = { stable = 1, canary = 10 }"), [1, 10]);
        assert_eq!(chosen("split = { 1 = 90, 2 = 10 }"), [1, 2, 10]);
        assert_eq!(chosen("shadow = 10"), [3, 10], "the shadow is not the latest");
    }

    #[test]
    fn keys_that_mean_nothing_are_refused() {
        for (text, said) in [
            ("policy = \"newest\"", "newest"),
            ("policy = { latest = 0 }", "nonzero"),
            ("labels = { 1 = 2 }", "no number"),
            ("labels = { \"a/b\" = 2 }", "a/b"),
            ("split = { one = 2 }", "a version's number"),
            ("split = { 1 = 0 }", "above 0"),
            ("split = { 1 = 1, 2 = 1 }\nshadow = 2", "versions.shadow = 2"),
            ("polcy = \"all\"", "polcy"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
