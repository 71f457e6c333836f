//! What can be wrong with an image, with an output buffer, and with a pre-processing configuration.

use super::Format;

/// Why bytes did not become pixels. Each message is one sentence that may be shown to the client: it holds nothing but
/// the client's own figures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// No bytes at all.
    #[error("expected an image, got no bytes")]
    Empty,
    /// The magic bytes belong to no accepted format.
    #[error("expected a JPEG, PNG, WebP, GIF or BMP image, got data that starts with {}", hex(.first_bytes))]
    NotAnImage {
        /// Up to the first eight bytes.
        first_bytes: Vec<u8>,
    },
    /// The header declares more pixels than the limits allow; nothing was decoded.
    #[error(
        "expected an image of at most {max_side} pixels a side and {max_pixels} pixels in total, got {width} × {height}"
    )]
    TooLarge {
        /// Declared width in pixels.
        width: u64,
        /// Declared height in pixels.
        height: u64,
        /// The limit on each side.
        max_side: u32,
        /// The limit on width × height.
        max_pixels: u64,
    },
    /// A valid file that uses a feature which is not supported.
    #[error("expected a still image in a common encoding, got a {format} file with {what}")]
    Unsupported {
        /// The file's format.
        format: Format,
        /// The feature.
        what: &'static str,
    },
    /// The file breaks its format's rules.
    #[error("expected a valid {format} file, got a corrupt one ({detail})")]
    Corrupt {
        /// The file's format.
        format: Format,
        /// What the decoder objected to.
        detail: String,
    },
    /// The file ends before its last pixel.
    #[error("expected a complete {format} file, got one that ends early")]
    Truncated {
        /// The file's format.
        format: Format,
    },
}

impl ImageError {
    /// A [`Corrupt`](Self::Corrupt) with the decoder's own words.
    pub(super) fn corrupt(format: Format, detail: impl ToString) -> Self {
        Self::Corrupt { format, detail: detail.to_string() }
    }

    /// Sorts an I/O error out of a decoder that reads from memory: only the end of the data is possible, or nonsense.
    pub(super) fn from_io(format: Format, error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            Self::Truncated { format }
        } else {
            Self::corrupt(format, error)
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// Why pixels did not become model input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransformError {
    /// The buffer does not fit the output.
    #[error("expected a buffer of {expected} elements, got {got}")]
    BufferLength {
        /// Elements that the output has.
        expected: usize,
        /// Elements that the buffer has.
        got: usize,
    },
    /// The image is so elongated that resizing it as configured would need too much memory.
    #[error(
        "expected an image that is at most 16800000 pixels after resizing, got {width} × {height}"
    )]
    TooElongated {
        /// Width after resizing, in pixels.
        width: u64,
        /// Height after resizing, in pixels.
        height: u64,
    },
}

/// Why a pre-processing configuration cannot be used. Meant for whoever starts the server.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON, or a key has the wrong type.
    #[error("not a readable pre-processing configuration: {0}")]
    Json(#[from] serde_json::Error),
    /// A key is needed and neither given nor known as a default of the processor class.
    #[error("the key `{key}` is missing, and its default for {processor} is not known")]
    Missing {
        /// The key.
        key: &'static str,
        /// The processor class.
        processor: String,
    },
    /// A key's value is not supported.
    #[error("the key `{key}` has a value that is not supported: {what}")]
    Unsupported {
        /// The key.
        key: &'static str,
        /// The value and what would be accepted.
        what: String,
    },
    /// The configuration makes images of another size than the model takes.
    #[error("the configuration makes images of {} × {} (height × width), but the model takes {} × {}", got.0, got.1, expected.0, expected.1)]
    SizeMismatch {
        /// The model's height and width in pixels.
        expected: (u32, u32),
        /// The configuration's height and width in pixels.
        got: (u32, u32),
    },
}

impl ConfigError {
    /// The key that it is about.
    #[must_use]
    pub fn key(&self) -> Option<&'static str> {
        match self {
            Self::Missing { key, .. } | Self::Unsupported { key, .. } => Some(key),
            Self::SizeMismatch { .. } => Some("size"),
            Self::Json(_) => None,
        }
    }
}
