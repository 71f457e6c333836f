//! Why a model is not served by a task.

/// Why not, in one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unserved {
    /// The network, or what lies beside it, does not fit the task that was inferred: it is served as tensors.
    Unfit(String),
    /// A file says what cannot be or does not apply: the model is refused.
    Files(String),
}

impl From<String> for Unserved {
    fn from(why: String) -> Self {
        Self::Files(why)
    }
}

impl From<&str> for Unserved {
    fn from(why: &str) -> Self {
        Self::Files(why.to_owned())
    }
}

impl Unserved {
    #[must_use]
    pub fn unfit(why: impl Into<String>) -> Self {
        Self::Unfit(why.into())
    }

    #[must_use]
    pub fn into_reason(self) -> String {
        match self {
            Self::Unfit(why) | Self::Files(why) => why,
        }
    }
}
