//! From a vector for each token to one for each text.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, Ix2, Ix3};

use super::Reduction;
use crate::config::Pooling;
use crate::error::Error;
use crate::tensor::{Tensor, Tensors};

/// The input that tells tokens from padding.
pub const MASK: &str = "attention_mask";

/// Pools an output `[N,tokens,H]` to `[N, H × modes]`. Padding does not count, so that a text's vector
/// does not depend on its neighbours in the batch.
pub struct TokenPooling {
    output: String,
    reduced: String,
    /// Their results stand one behind the other.
    modes: Vec<Pooling>,
    /// Tokens at the beginning of a text that do not count.
    skipped: usize,
}

impl TokenPooling {
    pub fn new(output: &str, modes: Vec<Pooling>) -> Self {
        let reduced = format!("{output}.pooled");
        Self { output: output.to_owned(), reduced, modes, skipped: 0 }
    }

    /// Leaves out tokens at the beginning of every text: a prompt.
    #[must_use]
    pub fn without_first(mut self, tokens: usize) -> Self {
        self.skipped = tokens;
        self
    }
}

impl Reduction for TokenPooling {
    fn output(&self) -> &str {
        &self.output
    }

    fn reduced(&self) -> &str {
        &self.reduced
    }

    fn reduce(&self, inputs: &Tensors, output: &Tensor) -> Result<Tensor, Error> {
        let misfit = || {
            let shape = output.shape();
            Error::internal(format!("output `{}` {shape:?} does not fit `{MASK}`", self.output))
        };
        let vectors = output.to_array().ok_or_else(misfit)?;
        let vectors = vectors.into_dimensionality::<Ix3>().map_err(|_| misfit())?;
        let mask = inputs.get(MASK).and_then(attended).ok_or_else(misfit)?;
        let (rows, tokens, width) = vectors.dim();
        if mask.dim() != (rows, tokens) {
            return Err(misfit());
        }
        let mut pooled = Array2::zeros((rows, width * self.modes.len()));
        for ((vectors, mask), mut row) in
            vectors.outer_iter().zip(mask.outer_iter()).zip(pooled.outer_iter_mut())
        {
            for (mode, mut part) in self.modes.iter().zip(row.axis_chunks_iter_mut(Axis(0), width))
            {
                part.assign(&pool(*mode, vectors, mask, self.skipped));
            }
        }
        Ok(pooled.into_dyn().into())
    }
}

/// `[rows, tokens]`, true for a token and false for padding.
fn attended(mask: &Tensor) -> Option<Array2<bool>> {
    let mask = match mask {
        Tensor::I64(mask) => mask.mapv(|entry| entry != 0),
        Tensor::I32(mask) => mask.mapv(|entry| entry != 0),
        _ => return None,
    };
    mask.into_dimensionality::<Ix2>().ok()
}

/// One text's tokens `[tokens,H]` to one vector `[H]`; all zeros if it has none.
fn pool(
    mode: Pooling,
    vectors: ArrayView2<'_, f32>,
    mask: ArrayView1<'_, bool>,
    skipped: usize,
) -> Array1<f32> {
    let tokens = || {
        let all = vectors.outer_iter().zip(mask).filter(|(_, is_token)| **is_token).map(|(v, _)| v);
        all.skip(skipped)
    };
    let zeros = || Array1::zeros(vectors.ncols());
    let count = tokens().count().max(1) as f32;
    let sum = || tokens().fold(zeros(), |sum, vector| sum + vector);
    match mode {
        Pooling::Cls => tokens().next().map_or_else(zeros, |first| first.to_owned()),
        Pooling::LastToken => tokens().last().map_or_else(zeros, |last| last.to_owned()),
        Pooling::Max => {
            // Not `f32::max`, which would hide a NaN.
            let larger = |a: &mut f32, b: &f32| *a = if *b > *a || b.is_nan() { *b } else { *a };
            let mut rest = tokens();
            let first = rest.next().map_or_else(zeros, |first| first.to_owned());
            rest.fold(first, |mut largest, vector| {
                largest.zip_mut_with(&vector, larger);
                largest
            })
        }
        Pooling::Mean => sum() / count,
        Pooling::MeanSqrtLen => sum() / count.sqrt(),
        Pooling::WeightedMean => {
            let weighted = tokens().enumerate().fold(zeros(), |mut sum, (index, vector)| {
                sum.scaled_add((index + 1) as f32, &vector);
                sum
            });
            weighted / (count * (count + 1.0) / 2.0)
        }
    }
}

/// Scales to length 1; a vector of zeros stays one.
pub fn normalize(vector: &mut [f32]) {
    let length = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-12);
    for component in vector {
        *component = (f64::from(*component) / length) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{arr2, arr3};

    /// The pooled vector of two tokens beside padding on either side.
    fn pooled(modes: &[Pooling], left: bool) -> Vec<f32> {
        let (tokens, padding) = ([[1.0_f32, 8.0], [4.0, -2.0]], [99.0, 99.0]);
        let (vectors, mask) = match left {
            true => ([padding, tokens[0], tokens[1]], [0_i64, 1, 1]),
            false => ([tokens[0], tokens[1], padding], [1, 1, 0]),
        };
        let inputs = Tensors(vec![(MASK.into(), arr2(&[mask]).into_dyn().into())]);
        let pooling = TokenPooling::new("x", modes.to_vec());
        pooling.reduce(&inputs, &arr3(&[vectors]).into_dyn().into()).unwrap().to_f32().unwrap()
    }

    #[test]
    fn padding_on_either_side_does_not_count() {
        let root = 2.0_f32.sqrt();
        for (mode, expected) in [
            (Pooling::Cls, [1.0, 8.0]),
            (Pooling::LastToken, [4.0, -2.0]),
            (Pooling::Max, [4.0, 8.0]),
            (Pooling::Mean, [2.5, 3.0]),
            (Pooling::MeanSqrtLen, [5.0 / root, 6.0 / root]),
            (Pooling::WeightedMean, [3.0, 4.0 / 3.0]),
        ] {
            for left in [false, true] {
                assert_eq!(pooled(&[mode], left), expected, "{mode:?}, {left}");
            }
        }
        assert_eq!(pooled(&[Pooling::Cls, Pooling::Mean], false), [1.0, 8.0, 2.5, 3.0]);
    }

    #[test]
    fn a_prompt_can_be_left_out() {
        let vectors = arr3(&[[[9.0_f32], [1.0], [5.0], [7.0]]]).into_dyn().into();
        let mask = arr2(&[[0_i64, 1, 1, 1]]).into_dyn().into();
        let inputs = Tensors(vec![(MASK.into(), mask)]);
        for (mode, expected) in [(Pooling::Mean, 6.0), (Pooling::Cls, 5.0)] {
            let pooling = TokenPooling::new("x", vec![mode]).without_first(1);
            assert_eq!(pooling.reduce(&inputs, &vectors).unwrap().to_f32(), Some(vec![expected]));
        }
    }

    #[test]
    fn zeros_cannot_be_scaled_and_stay_zeros() {
        let (mut zeros, mut other) = ([0.0; 3], [3.0, 4.0]);
        normalize(&mut zeros);
        normalize(&mut other);
        assert_eq!((zeros, other), ([0.0; 3], [0.6, 0.8]));
    }
}
