//! The resampling filters, with the numbers and names that configurations use.

use std::f64::consts::PI;

/// How neighbouring pixels are weighed; the numbers are Pillow's resampling codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Filter {
    /// 0: the one nearest pixel.
    Nearest,
    /// 1: a windowed sinc over six pixels.
    Lanczos,
    /// 2: a triangle over two pixels.
    #[default]
    Bilinear,
    /// 3: a cubic with a = −0.5 over four pixels.
    Bicubic,
    /// 4: a mean.
    Box,
    /// 5: a windowed sinc over two pixels.
    Hamming,
}

impl Filter {
    /// The filter of a Pillow resampling code.
    #[must_use]
    pub fn from_pillow_code(code: i64) -> Option<Self> {
        [Self::Nearest, Self::Lanczos, Self::Bilinear, Self::Bicubic, Self::Box, Self::Hamming]
            .get(usize::try_from(code).ok()?)
            .copied()
    }

    /// The filter of a name such as `bicubic`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "nearest" => Self::Nearest,
            "lanczos" => Self::Lanczos,
            "bilinear" => Self::Bilinear,
            "bicubic" => Self::Bicubic,
            "box" => Self::Box,
            "hamming" => Self::Hamming,
            _ => return None,
        })
    }

    /// Half the width of the filter, in pixels.
    pub(super) const fn support(self) -> f64 {
        match self {
            Self::Nearest => 0.0,
            Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// The weight of a pixel at distance `x`.
    pub(super) fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let distance = x.abs();
        match self {
            Self::Nearest => 0.0,
            Self::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            Self::Bilinear => (1.0 - distance).max(0.0),
            Self::Bicubic if distance < 1.0 => {
                ((A + 2.0) * distance - (A + 3.0)) * distance * distance + 1.0
            }
            Self::Bicubic if distance < 2.0 => {
                (((distance - 5.0) * distance + 8.0) * distance - 4.0) * A
            }
            Self::Hamming if distance < 1.0 => {
                sinc(distance) * (f64::from(0.54f32) + f64::from(0.46f32) * (distance * PI).cos())
            }
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Self::Bicubic | Self::Hamming | Self::Lanczos => 0.0,
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) }
}
