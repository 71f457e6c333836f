//! Where a network runs: the key `device`, and what is said about GPUs.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

/// What the configuration asks for. What is then used is an
/// [`crate::runtime::provider::ExecutionProvider`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum Device {
    /// The first GPU that can be used, else the CPU.
    #[default]
    Auto,
    Cpu,
    /// The GPU of this number, by the CUDA provider.
    Cuda(u16),
    /// The GPU of this number, by the TensorRT provider.
    TensorRt(u16),
}

/// How sessions on a GPU are set up.
#[derive(Debug, Clone, Default)]
pub struct GpuOptions {
    /// Most bytes of a session's arena.
    pub memory_limit: Option<usize>,
    /// Where TensorRT keeps the engines it builds; building one takes minutes.
    pub tensorrt_cache: Option<PathBuf>,
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || {
            format!(
                "expected \"auto\", \"cpu\", \"cuda\", \"cuda:N\" or \"tensorrt:N\" with N the \
                 GPU's number from 0, got {text:?}"
            )
        };
        let (name, number) = match text.split_once(':') {
            // `u16` would take a sign.
            Some((name, digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                (name, Some(digits.parse::<u16>().map_err(|_| unknown())?))
            }
            Some(_) => return Err(unknown()),
            None => (text, None),
        };
        match (name, number) {
            ("auto", None) => Ok(Self::Auto),
            ("cpu", None) => Ok(Self::Cpu),
            ("cuda", number) => Ok(Self::Cuda(number.unwrap_or(0))),
            ("tensorrt", number) => Ok(Self::TensorRt(number.unwrap_or(0))),
            _ => Err(unknown()),
        }
    }
}

impl TryFrom<String> for Device {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::TensorRt(number) => write!(f, "tensorrt:{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_devices_there_are() {
        for (text, device) in [
            ("auto", Device::Auto),
            ("cpu", Device::Cpu),
            ("cuda", Device::Cuda(0)),
            ("cuda:0", Device::Cuda(0)),
            ("cuda:12", Device::Cuda(12)),
            ("tensorrt", Device::TensorRt(0)),
            ("tensorrt:1", Device::TensorRt(1)),
        ] {
            assert_eq!(text.parse(), Ok(device), "{text}");
            assert_eq!(device.to_string().parse(), Ok(device), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_is_expected() {
        for text in [
            "",
            "gpu",
            "CUDA",
            "cuda:",
            "cuda:+1",
            "cuda:-1",
            "cuda:x",
            "cuda: 0",
            "cuda:65536",
            "cuda:0:1",
            "cpu:0",
            "auto:0",
            "tensorrt:",
            ":0",
            " cpu",
        ] {
            let error = text.parse::<Device>().unwrap_err();
            assert!(
                error.contains("\"cuda:N\"") && error.contains(&format!("{text:?}")),
                "{error}"
            );
        }
    }
}
