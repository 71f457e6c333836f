//! What is told about the work: `[log]` and `[trace]`.

use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// As `RUST_LOG`, which comes over it.
    pub filter: String,
    pub format: LogFormat,
    /// One line an answered request.
    pub access: bool,
    /// Most lines of failed requests of one kind; 0: no bound.
    pub failures_per_second: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    Text,
    Json,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// Base URL of a collector; empty for none.
    pub otlp_endpoint: String,
    /// Part of the requests without a parent that is traced, 0 to 1.
    pub sample_ratio: f64,
}

impl Trace {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let Self { otlp_endpoint: endpoint, sample_ratio: ratio } = self;
        anyhow::ensure!(
            endpoint.is_empty() || endpoint.starts_with("http://"),
            "configuration: trace.otlp_endpoint = {endpoint:?} is no http:// URL"
        );
        anyhow::ensure!(
            (0.0..=1.0).contains(ratio),
            "configuration: trace.sample_ratio = {ratio} is not within 0 and 1"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_endpoints_and_ratios_are_refused_by_key() {
        let check = |endpoint: &str, sample_ratio| {
            let trace = Trace { otlp_endpoint: endpoint.to_owned(), sample_ratio };
            trace.check().map_err(|error| error.to_string())
        };
        assert_eq!(check("", 1.0), Ok(()));
        assert_eq!(check("http://collector:4318", 0.0), Ok(()));
        assert!(check("https://collector:4318", 1.0).unwrap_err().contains("otlp_endpoint"));
        assert!(check("collector:4318", 1.0).unwrap_err().contains("otlp_endpoint"));
        assert!(check("", 1.5).unwrap_err().contains("sample_ratio"));
        assert!(check("", f64::NAN).unwrap_err().contains("sample_ratio"));
    }
}
