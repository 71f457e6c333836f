//! Named arrays, the one currency between tasks and sessions.

use std::ops::Range;

use half::{bf16, f16};
use ndarray::{ArrayD, Axis, CowArray, IxDyn, Slice};

/// Defines [`Tensor`] and [`DataType`] from one list, so that a type is added in one place.
macro_rules! tensor_types {
    ($($variant:ident($element:ty) = $name:literal),+ $(,)?) => {
        /// Element type of a tensor, named as the Open Inference Protocol does.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum DataType { $($variant),+ }

        impl DataType {
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The type of this name.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }

            /// Names of all types.
            pub const NAMES: &[&str] = &[$($name),+];
        }

        /// An array of any rank with one of the element types that a session takes or gives.
        /// Axis 0 is the batch axis wherever the model has one.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Tensor { $($variant(ArrayD<$element>)),+ }

        impl Tensor {
            #[must_use]
            pub fn data_type(&self) -> DataType {
                match self { $(Self::$variant(_) => DataType::$variant),+ }
            }

            #[must_use]
            pub fn shape(&self) -> &[usize] {
                match self { $(Self::$variant(array) => array.shape()),+ }
            }

            /// Zeros; of strings, empty ones.
            #[must_use]
            pub fn zeros(data_type: DataType, shape: &[usize]) -> Self {
                match data_type {
                    $(DataType::$variant => {
                        Self::$variant(ArrayD::from_elem(shape, <$element>::default()))
                    }),+
                }
            }

            /// The same elements with a last axis of length 1.
            #[must_use]
            pub fn add_last_axis(self) -> Self {
                match self {
                    $(Self::$variant(array) => {
                        let last = Axis(array.ndim());
                        Self::$variant(array.insert_axis(last))
                    }),+
                }
            }

            /// Memory of the elements, in bytes; of strings their fixed part only.
            #[must_use]
            pub fn bytes(&self) -> usize {
                match self { $(Self::$variant(array) => array.len() * size_of::<$element>()),+ }
            }

            /// Rows `start..end` along axis 0, copied.
            fn slice_rows(&self, start: usize, end: usize) -> Self {
                self.slice_axis(Axis(0), Slice::from(start..end))
            }

            /// A part along an axis, copied.
            ///
            /// # Panics
            /// If there is no such axis, or it is too short.
            #[must_use]
            pub fn slice_axis(&self, axis: Axis, part: Slice) -> Self {
                match self {
                    $(Self::$variant(array) => {
                        Self::$variant(array.slice_axis(axis, part).to_owned())
                    }),+
                }
            }

            /// The first row without its batch axis.
            fn drop_batch_axis(self) -> Self {
                match self {
                    $(Self::$variant(array) => Self::$variant(array.index_axis_move(Axis(0), 0))),+
                }
            }

            /// The same array as the only row of a batch.
            fn add_batch_axis(self) -> Self {
                match self {
                    $(Self::$variant(array) => Self::$variant(array.insert_axis(Axis(0)))),+
                }
            }

            /// Axis 1 made as long as `width` by empty elements, before or after what is there.
            fn widen(&self, width: usize, left: bool) -> Self {
                let mut shape = self.shape().to_vec();
                let Some(missing) = shape.get(1).and_then(|length| width.checked_sub(*length)) else {
                    return self.clone();
                };
                shape[1] = missing;
                match self {
                    $(Self::$variant(array) => {
                        let padding = ArrayD::<$element>::default(IxDyn(&shape));
                        let (padding, array) = (padding.view(), array.view());
                        let parts = if left { [padding, array] } else { [array, padding] };
                        // Only axis 1 differs, so they fit.
                        ndarray::concatenate(Axis(1), &parts)
                            .map_or_else(|_| self.clone(), Self::$variant)
                    }),+
                }
            }

            /// Room for so many rows more.
            fn reserve_rows(&mut self, rows: usize) -> Option<()> {
                match self { $(Self::$variant(array) => array.reserve(Axis(0), rows).ok()),+ }
            }

            /// Another's rows after its own. `None` if type or shape do not fit.
            fn append(&mut self, other: &Self) -> Option<()> {
                match (self, other) {
                    $((Self::$variant(own), Self::$variant(other)) => {
                        own.append(Axis(0), other.view()).ok()
                    })+
                    _ => None,
                }
            }

            /// One tensor from some rows of several of one type. `None` if the shapes do not fit.
            fn stack(parts: &[(&Tensor, Range<usize>)]) -> Option<Self> {
                match parts.first()?.0 {
                    $(Self::$variant(_) => {
                        let views: Option<Vec<_>> = parts
                            .iter()
                            .map(|(part, rows)| match part {
                                Self::$variant(array) if rows.end <= *array.shape().first()? => {
                                    Some(array.slice_axis(Axis(0), Slice::from(rows.clone())))
                                }
                                _ => None,
                            })
                            .collect();
                        ndarray::concatenate(Axis(0), &views?).ok().map(Self::$variant)
                    }),+
                }
            }
        }

        $(impl From<ArrayD<$element>> for Tensor {
            fn from(array: ArrayD<$element>) -> Self { Self::$variant(array) }
        })+
    };
}

tensor_types! {
    Bool(bool) = "BOOL",
    U8(u8) = "UINT8",
    U16(u16) = "UINT16",
    U32(u32) = "UINT32",
    U64(u64) = "UINT64",
    I8(i8) = "INT8",
    I16(i16) = "INT16",
    I32(i32) = "INT32",
    I64(i64) = "INT64",
    F16(f16) = "FP16",
    BF16(bf16) = "BF16",
    F32(f32) = "FP32",
    F64(f64) = "FP64",
    String(String) = "BYTES",
}

impl Tensor {
    /// The array as `f32`; `None` for a type that holds no real numbers.
    #[must_use]
    pub fn to_array(&self) -> Option<CowArray<'_, f32, IxDyn>> {
        match self {
            Self::F32(array) => Some(array.view().into()),
            Self::F64(array) => Some(array.mapv(|v| v as f32).into()),
            Self::F16(array) => Some(array.mapv(f16::to_f32).into()),
            Self::BF16(array) => Some(array.mapv(bf16::to_f32).into()),
            _ => None,
        }
    }

    /// The elements as `f32` in row-major order; `None` for a type that holds no real numbers.
    #[must_use]
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        Some(self.to_array()?.iter().copied().collect())
    }
}

/// Tensors by name, in the order in which the model declares them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tensors(pub Vec<(String, Tensor)>);

impl Tensors {
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, tensor)| tensor)
    }

    /// Number of rows: the length of axis 0 of the first tensor.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.0.first().and_then(|(_, t)| t.shape().first().copied()).unwrap_or(0)
    }

    /// Memory of the elements of all of them, in bytes; of strings their fixed part only.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(_, tensor)| tensor.bytes()).sum()
    }

    /// Rows `start..end` of every tensor, copied.
    ///
    /// # Panics
    /// If a tensor has no axis 0 or fewer than `end` rows.
    #[must_use]
    pub fn slice_rows(&self, start: usize, end: usize) -> Self {
        self.map(|tensor| tensor.slice_rows(start, end))
    }

    /// Tensors of one row without the batch axis, for models that have none.
    #[must_use]
    pub fn drop_batch_axis(self) -> Self {
        Self(self.0.into_iter().map(|(name, t)| (name, t.drop_batch_axis())).collect())
    }

    /// The reverse of [`Self::drop_batch_axis`].
    #[must_use]
    pub fn add_batch_axis(self) -> Self {
        Self(self.0.into_iter().map(|(name, t)| (name, t.add_batch_axis())).collect())
    }

    /// One set of tensors from several with the same names, along the batch axis.
    /// `None` if names, types or shapes do not fit.
    #[must_use]
    pub fn concatenate(parts: &[Self]) -> Option<Self> {
        let whole: Vec<_> = parts.iter().map(|part| (part, 0..part.rows())).collect();
        Self::stack(&whole)
    }

    /// The same of parts that are not needed any more: each is freed when it is copied.
    #[must_use]
    pub fn gather(parts: Vec<Self>) -> Option<Self> {
        let rows: usize = parts.iter().skip(1).map(Self::rows).sum();
        let mut parts = parts.into_iter();
        let mut whole = parts.next()?;
        for (_, tensor) in &mut whole.0 {
            tensor.reserve_rows(rows)?;
        }
        for part in parts {
            for (name, tensor) in &mut whole.0 {
                tensor.append(part.get(name)?)?;
            }
        }
        Some(whole)
    }

    /// The same of some rows of each.
    #[must_use]
    pub fn stack(parts: &[(&Self, Range<usize>)]) -> Option<Self> {
        let (first, _) = parts.first()?;
        let stack = |name: &String| {
            let column: Option<Vec<_>> =
                parts.iter().map(|(part, rows)| Some((part.get(name)?, rows.clone()))).collect();
            Some((name.clone(), Tensor::stack(&column?)?))
        };
        first.0.iter().map(|(name, _)| stack(name)).collect::<Option<_>>().map(Self)
    }

    /// The same parts with axis 1 of each tensor as long as the longest of its name, padded before
    /// (`left`) or after what is there, so that sequences from several runs can be joined.
    #[must_use]
    pub fn widen(parts: &[Self], left: bool) -> Vec<Self> {
        let length = |part: &Self, name: &str| part.get(name)?.shape().get(1).copied();
        let widest = |name: &str| parts.iter().filter_map(|part| length(part, name)).max();
        let widened = |(name, tensor): &(String, Tensor)| {
            (name.clone(), tensor.widen(widest(name).unwrap_or(0), left))
        };
        parts.iter().map(|part| Self(part.0.iter().map(widened).collect())).collect()
    }

    fn map(&self, f: impl Fn(&Tensor) -> Tensor) -> Self {
        Self(self.0.iter().map(|(name, tensor)| (name.clone(), f(tensor))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[f32]) -> Tensors {
        let array = ArrayD::from_shape_vec(IxDyn(&[values.len(), 1]), values.to_vec()).unwrap();
        Tensors(vec![("x".into(), array.into())])
    }

    #[test]
    fn split_rows_come_back_in_order() {
        let whole = rows(&[1.0, 2.0, 3.0]);
        let parts = [whole.slice_rows(0, 2), whole.slice_rows(2, 3)];
        assert_eq!(parts[0].rows(), 2);
        assert_eq!(Tensors::concatenate(&parts).unwrap(), whole);
        assert_eq!(Tensors::gather(parts.to_vec()).unwrap(), whole);
    }

    #[test]
    fn parts_that_do_not_fit_are_not_joined() {
        let other = Tensors(vec![("y".into(), ArrayD::<f32>::zeros(IxDyn(&[1, 1])).into())]);
        assert_eq!(Tensors::concatenate(&[rows(&[1.0]), other.clone()]), None);
        assert_eq!(Tensors::gather(vec![rows(&[1.0]), other]), None);
    }

    #[test]
    fn sequences_of_several_runs_are_joined_at_the_end_that_is_not_padded() {
        let tokens = |rows: Vec<Vec<f32>>| {
            let shape = IxDyn(&[rows.len(), rows[0].len(), 1]);
            let array = ArrayD::from_shape_vec(shape, rows.concat()).unwrap();
            Tensors(vec![("x".into(), array.into())])
        };
        let parts = [tokens(vec![vec![1.0, 2.0, 3.0]]), tokens(vec![vec![4.0]])];
        assert_eq!(Tensors::concatenate(&parts), None);
        for (left, joined) in [(false, [4.0, 0.0, 0.0]), (true, [0.0, 0.0, 4.0])] {
            let expected = tokens(vec![vec![1.0, 2.0, 3.0], joined.to_vec()]);
            assert_eq!(Tensors::concatenate(&Tensors::widen(&parts, left)), Some(expected));
        }
    }

    #[test]
    fn the_batch_axis_can_be_taken_off_and_put_back() {
        let one = rows(&[7.0]);
        assert_eq!(one.clone().drop_batch_axis().add_batch_axis(), one);
    }
}
