//! The section `[models]`: where the models are, and when they are loaded.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Models {
    pub path: PathBuf,
    pub control: Control,
    #[serde(with = "humantime_serde")]
    pub poll_interval: Duration,
    /// Names of the models to load at the start with [`Control::Explicit`]; `*` is all.
    pub load: Vec<String>,
    /// Bytes; 0: no bound.
    max_memory: u64,
}

/// When models are loaded and unloaded after the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Control {
    /// On SIGHUP alone.
    None,
    /// As the folder changes.
    Poll,
    /// When the admin port is told to.
    Explicit,
}

impl Control {
    /// As the configuration has it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Poll => "poll",
            Self::Explicit => "explicit",
        }
    }
}

impl Models {
    /// The same models, all of which must load at the start.
    #[must_use]
    pub fn all(self) -> Self {
        Self { control: Control::None, load: Vec::new(), ..self }
    }

    /// Most bytes of weights and working memory of all models together, if that is bounded.
    #[must_use]
    pub fn max_memory(&self) -> Option<u64> {
        Some(self.max_memory).filter(|most| *most > 0)
    }

    /// What no single key can say of itself.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.control == Control::Explicit || self.load.is_empty(),
            "configuration: models.load is for models.control = \"explicit\", which is \"{}\"",
            self.control.word()
        );
        anyhow::ensure!(
            !self.poll_interval.is_zero(),
            "configuration: models.poll_interval must be longer than 0s"
        );
        Ok(())
    }
}
