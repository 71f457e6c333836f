//! A number of an answer.

use serde::{Serialize, Serializer};

/// A number that is written with the digits of its own type: a score of 0.1 in FP32 is no 0.10000000149.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar {
    F32(f32),
    F64(f64),
    I64(i64),
}

impl Scalar {
    #[must_use]
    pub fn to_f64(self) -> f64 {
        match self {
            Self::F32(number) => number.into(),
            Self::F64(number) => number,
            Self::I64(number) => number as f64,
        }
    }

    #[must_use]
    pub fn to_f32(self) -> f32 {
        match self {
            Self::F32(number) => number,
            other => other.to_f64() as f32,
        }
    }
}

impl From<f32> for Scalar {
    fn from(number: f32) -> Self {
        Self::F32(number)
    }
}

impl Serialize for Scalar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::F32(number) => serializer.serialize_f32(*number),
            Self::F64(number) => serializer.serialize_f64(*number),
            Self::I64(number) => serializer.serialize_i64(*number),
        }
    }
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::F32(number) => number.fmt(f),
            Self::F64(number) => number.fmt(f),
            Self::I64(number) => number.fmt(f),
        }
    }
}
