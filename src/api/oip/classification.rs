//! The classification extension: the best classes of an output as strings.

use std::sync::Arc;

use ndarray::{ArrayD, IxDyn};

use crate::error::Error;
use crate::tensor::Tensor;

/// The `count` largest values of each row, largest first, as `value:index[:label]`: `BYTES [N, count]`
/// for `[N, …]`, and `[count]` for a single axis. Names stand where there is one for each class.
///
/// # Errors
/// An output of strings or truth values, or a scalar.
pub fn of(name: &str, output: &Tensor, count: usize, labels: &[Arc<str>]) -> Result<Tensor, Error> {
    let refuse = || {
        let got = format!("{} {:?}", output.data_type().name(), output.shape());
        Error::invalid(name, "an output of numbers for `classification`", got)
    };
    let values = numbers(output).ok_or_else(refuse)?;
    let shape = output.shape();
    let (rows, width) = match shape {
        [] => return Err(refuse()),
        [width] => (1, *width),
        [rows, rest @ ..] => (*rows, rest.iter().product()),
    };
    let count = count.min(width);
    let named = labels.len() == width;
    let mut lines = Vec::with_capacity(rows * count);
    for row in values.chunks_exact(width.max(1)).take(rows) {
        let mut order: Vec<usize> = (0..width).collect();
        order.sort_by(|a, b| row[*b].total_cmp(&row[*a]).then(a.cmp(b)));
        lines.extend(order.into_iter().take(count).map(|class| {
            let label = if named { format!(":{}", labels[class]) } else { String::new() };
            format!("{:.6}:{class}{label}", row[class])
        }));
    }
    let shape = if shape.len() == 1 { vec![count] } else { vec![rows, count] };
    ArrayD::from_shape_vec(IxDyn(&shape), lines).map(Tensor::String).map_err(Error::internal)
}

/// Numbers of any type as FP64; integers over 2^53 are rounded.
fn numbers(tensor: &Tensor) -> Option<Vec<f64>> {
    macro_rules! widen {
        ($($variant:ident),+) => {
            match tensor {
                $(Tensor::$variant(array) => Some(array.iter().map(|v| *v as f64).collect()),)+
                Tensor::F16(array) => Some(array.iter().map(|v| v.to_f64()).collect()),
                Tensor::BF16(array) => Some(array.iter().map(|v| v.to_f64()).collect()),
                Tensor::Bool(_) | Tensor::String(_) => None,
            }
        };
    }
    widen!(U8, U16, U32, U64, I8, I16, I32, I64, F32, F64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_come_first_with_their_names_where_all_have_one() {
        let scores =
            ArrayD::from_shape_vec(IxDyn(&[2, 3]), vec![0.1_f32, 0.7, 0.2, 1.5, 1.5, -2.0]);
        let scores = scores.unwrap().into();
        let strings = |labels: &[Arc<str>]| match of("x", &scores, 2, labels).unwrap() {
            Tensor::String(array) => array.into_raw_vec_and_offset().0,
            _ => unreachable!(),
        };
        let bare = ["0.700000:1", "0.200000:2", "1.500000:0", "1.500000:1"];
        assert_eq!(strings(&[]), bare);
        let labels: Vec<Arc<str>> = vec!["a".into(), "b".into(), "c".into()];
        assert_eq!(strings(&labels)[0], "0.700000:1:b");
    }
}
