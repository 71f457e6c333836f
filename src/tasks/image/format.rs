//! The image formats that are accepted, told apart by their first bytes.

use std::fmt;

/// An image format that [`decode`](super::decode()) reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Baseline, extended and progressive JPEG.
    Jpeg,
    /// PNG; of an APNG the default image.
    Png,
    /// WebP, lossy and lossless, the first frame.
    WebP,
    /// GIF, the first frame.
    Gif,
    /// Windows bitmap.
    Bmp,
}

/// Endings of files that people take for images, in small letters: those that are read, and then others, which
/// are refused by name rather than passed over.
pub const ENDINGS: [&str; 20] = [
    "jpg", "jpeg", "jfif", "jpe", "jif", "pjpeg", "pjp", "png", "apng", "webp", "gif", "bmp",
    "dib", "heic", "heif", "avif", "tif", "tiff", "jp2", "jxl",
];

impl Format {
    /// Every format, in the order in which error messages name them.
    pub const ALL: [Self; 5] = [Self::Jpeg, Self::Png, Self::WebP, Self::Gif, Self::Bmp];

    /// Tells the format from the magic bytes at the start of `bytes`, whatever a client said about them.
    #[must_use]
    pub fn sniff(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::WebP),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [b'B', b'M', ..] => Some(Self::Bmp),
            _ => None,
        }
    }

    /// The registered media type, as in a `Content-Type` header.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::WebP => "image/webp",
            Self::Gif => "image/gif",
            Self::Bmp => "image/bmp",
        }
    }

    /// The name that people use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
