//! The only list of execution providers.

/// What runs the network. Its name is the key of `[variants]` in `model.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutionProvider {
    Cpu,
}

impl ExecutionProvider {
    /// Names that `[variants]` may use: a model folder is written once for every machine, so a
    /// variant for a provider that this build does not have is no error.
    pub const VARIANTS: [&'static str; 2] = ["cpu", "cuda"];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
        }
    }
}
