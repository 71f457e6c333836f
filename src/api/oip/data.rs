//! The `data` of a tensor in JSON, straight into a typed buffer.

use std::borrow::Cow;

use bytes::Bytes;
use half::{bf16, f16};
use ndarray::ArrayD;

use super::infer::InputValue;
use crate::error::excerpt;
use crate::tensor::DataType;

/// Reads nested lists, or one flat list for any shape. Without a shape it is that of the nesting.
/// `json` is valid JSON already.
///
/// # Errors
/// Elements of another type, another number of them, or nesting that is not the shape's: the place
/// after the field, what was expected, and what came.
pub fn read(
    data_type: DataType,
    shape: Option<&[usize]>,
    json: &str,
) -> Result<InputValue, Mismatch> {
    macro_rules! numbers {
        ($($variant:ident: $element:ty),+) => {
            match data_type {
                $(DataType::$variant => {
                    let (shape, values) = values::<$element>(shape, json)?;
                    InputValue::Numbers(
                        ArrayD::from_shape_vec(shape, values).map_err(|e| Mismatch::of("data", e.to_string()))?.into(),
                    )
                })+
                DataType::String => {
                    let (shape, elements) = values::<Bytes>(shape, json)?;
                    InputValue::Bytes { shape, elements }
                }
            }
        };
    }
    Ok(numbers! {
        Bool: bool, U8: u8, U16: u16, U32: u32, U64: u64, I8: i8, I16: i16, I32: i32, I64: i64,
        F16: f16, BF16: bf16, F32: f32, F64: f64
    })
}

/// What does not fit.
#[derive(Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The number of the element, where it is one.
    pub element: Option<usize>,
    pub expected: String,
    pub got: String,
}

impl Mismatch {
    fn of(expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self { element: None, expected: expected.into(), got: got.into() }
    }
}

fn values<T: Element>(
    shape: Option<&[usize]>,
    json: &str,
) -> Result<(Vec<usize>, Vec<T>), Mismatch> {
    let expected = shape.map(super::binary::count).transpose();
    let expected = expected.map_err(|expected| Mismatch::of(expected, format!("{shape:?}")))?;
    // An element and its comma take two characters, so that no shape reserves more than came.
    let most = json.len() / 2 + 1;
    let mut values = Vec::with_capacity(expected.map_or(0, |count| count.min(most)));
    let nesting = scan(json, |token| {
        values.push(T::parse(token).ok_or_else(|| Mismatch {
            element: Some(values.len()),
            expected: match token {
                "null" => format!("{}, which has no missing value", T::EXPECTED),
                _ => T::EXPECTED.to_owned(),
            },
            got: excerpt(token),
        })?);
        Ok(())
    })?;
    let Some(shape) = shape else { return Ok((nesting, values)) };
    if Some(values.len()) != expected {
        let expected = format!("{} elements for the shape {shape:?}", expected.unwrap_or(0));
        return Err(Mismatch::of(expected, values.len().to_string()));
    }
    // Of an empty axis there are no lists further in.
    let nested = nesting == shape || (expected == Some(0) && shape.starts_with(&nesting));
    if nesting.len() > 1 && !nested {
        let expected = format!("a flat list, or lists nested as the shape {shape:?}");
        return Err(Mismatch::of(expected, format!("lists nested as {nesting:?}")));
    }
    Ok((shape.to_vec(), values))
}

/// Gives every element that is no list to `leaf`, and the lengths of the lists by depth.
fn scan<'a>(
    json: &'a str,
    mut leaf: impl FnMut(&'a str) -> Result<(), Mismatch>,
) -> Result<Vec<usize>, Mismatch> {
    let ragged = || Mismatch::of("lists of one length at each depth", "ragged lists");
    let bytes = json.as_bytes();
    let (mut at, mut counts) = (0, Vec::<usize>::new());
    let (mut lengths, mut leaf_depth) = (Vec::<Option<usize>>::new(), None);
    while at < bytes.len() {
        match bytes[at] {
            b' ' | b'\t' | b'\n' | b'\r' | b',' => at += 1,
            b'[' => {
                if leaf_depth.is_some_and(|depth| depth <= counts.len()) {
                    return Err(ragged());
                }
                if let Some(count) = counts.last_mut() {
                    *count += 1;
                }
                counts.push(0);
                if lengths.len() < counts.len() {
                    lengths.push(None);
                }
                at += 1;
            }
            b']' => {
                let depth = counts.len();
                let count = counts.pop().unwrap_or(0);
                if *lengths[depth - 1].get_or_insert(count) != count {
                    return Err(ragged());
                }
                at += 1;
            }
            _ => {
                let depth = counts.len();
                if *leaf_depth.get_or_insert(depth) != depth || lengths.len() > depth {
                    return Err(ragged());
                }
                if let Some(count) = counts.last_mut() {
                    *count += 1;
                }
                let end = end_of(bytes, at);
                leaf(&json[at..end])?;
                at = end;
            }
        }
    }
    Ok(lengths.into_iter().map(Option::unwrap_or_default).collect())
}

/// Where the string, object or plain word at `start` ends.
fn end_of(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth, mut in_string) = (start, 0_usize, false);
    while at < bytes.len() {
        match (in_string, bytes[at]) {
            (true, b'\\') => at += 1,
            (true, b'"') => in_string = false,
            (true, _) => {}
            (false, b'"') => in_string = true,
            (false, b'{') => depth += 1,
            (false, b'}') => depth = depth.saturating_sub(1),
            (false, b',' | b']' | b' ' | b'\t' | b'\n' | b'\r') if depth == 0 => return at,
            (false, _) => {}
        }
        at += 1;
    }
    bytes.len()
}

/// From here on FP64 does not tell a whole number from its neighbours.
const EXACT: f64 = (1_u64 << 53) as f64;

/// An element as JSON spells it. `null` is a missing value: NaN, or an empty string.
trait Element: Sized {
    const EXPECTED: &'static str;

    fn parse(token: &str) -> Option<Self>;
}

impl Element for bool {
    const EXPECTED: &'static str = "true or false, or 0 or 1";

    fn parse(token: &str) -> Option<Self> {
        match token {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => match token.parse::<f64>().ok().filter(|_| is_number(token))? {
                0.0 => Some(false),
                1.0 => Some(true),
                _ => None,
            },
        }
    }
}

impl Element for Bytes {
    const EXPECTED: &'static str = "a string";

    fn parse(token: &str) -> Option<Self> {
        if token == "null" {
            return Some(Self::new());
        }
        let text: Cow<'_, str> = serde_json::from_str(token).ok()?;
        Some(Self::from(text.into_owned()))
    }
}

macro_rules! integers {
    ($($type:ty = $name:literal),+) => {$(
        impl Element for $type {
            const EXPECTED: &'static str = concat!("a whole number that ", $name, " can hold");

            fn parse(token: &str) -> Option<Self> {
                if let Ok(number) = token.parse() {
                    return Some(number);
                }
                match token {
                    "true" => return Some(1),
                    "false" => return Some(0),
                    _ => {}
                }
                // 1.0 and 1e3 are whole too. What FP64 holds exactly is compared by going back.
                let number: f64 = token.parse().ok().filter(|_| is_number(token))?;
                let whole = number as Self;
                (whole as f64 == number && number.abs() < EXACT).then_some(whole)
            }
        }
    )+};
}

integers! {
    u8 = "UINT8", u16 = "UINT16", u32 = "UINT32", u64 = "UINT64",
    i8 = "INT8", i16 = "INT16", i32 = "INT32", i64 = "INT64"
}

macro_rules! floats {
    ($($type:ty = $name:literal),+) => {$(
        impl Element for $type {
            const EXPECTED: &'static str = concat!("a number that ", $name, " can hold");

            fn parse(token: &str) -> Option<Self> {
                match token {
                    "null" => return Some(Self::NAN),
                    "true" => return "1".parse().ok(),
                    "false" => return "0".parse().ok(),
                    _ => {}
                }
                token.parse().ok().filter(|number: &Self| is_number(token) && number.is_finite())
            }
        }
    )+};
}

floats!(f16 = "FP16", bf16 = "BF16", f32 = "FP32", f64 = "FP64");

/// Not one of the words that Rust takes for numbers (inf, nan).
fn is_number(token: &str) -> bool {
    token.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
}

#[cfg(test)]
mod tests {
    use super::super::json::Flat;
    use super::*;
    use crate::tensor::Tensor;

    fn numbers(
        data_type: DataType,
        shape: Option<&[usize]>,
        json: &str,
    ) -> Result<Tensor, Mismatch> {
        match read(data_type, shape, json)? {
            InputValue::Numbers(tensor) => Ok(tensor),
            InputValue::Bytes { .. } => unreachable!(),
        }
    }

    #[test]
    fn flat_and_nested_lists_are_the_same() {
        let flat = numbers(DataType::I64, Some(&[2, 2]), "[1, 2,3 ,-4]").unwrap();
        assert_eq!(numbers(DataType::I64, Some(&[2, 2]), "[[1,2],[3,-4]]").unwrap(), flat);
        assert_eq!(numbers(DataType::I64, None, "[[1,2.0],[3e0,-4]]").unwrap(), flat);
        assert_eq!(numbers(DataType::F32, None, "7").unwrap().shape(), &[] as &[usize]);
        assert_eq!(numbers(DataType::F32, Some(&[2, 0]), "[[],[]]").unwrap().shape(), &[2, 0]);
        let empty = numbers(DataType::F32, Some(&[2, 0, 4]), "[[],[]]").unwrap();
        assert_eq!(empty.shape(), &[2, 0, 4]);
        assert_eq!(numbers(DataType::F32, Some(&[0]), "[]").unwrap().shape(), &[0]);
    }

    #[test]
    fn integers_do_not_go_through_floats() {
        let json = format!("[{},{}]", i64::MIN, i64::MAX);
        let tensor = numbers(DataType::I64, Some(&[2]), &json).unwrap();
        assert_eq!(serde_json::to_string(&Flat(&tensor)).unwrap(), json);
        let json = format!("[{}]", u64::MAX);
        let tensor = numbers(DataType::U64, Some(&[1]), &json).unwrap();
        assert_eq!(serde_json::to_string(&Flat(&tensor)).unwrap(), json);
    }

    #[test]
    fn missing_and_truth_values_are_elements_where_the_type_has_them() {
        for data_type in [DataType::F16, DataType::BF16, DataType::F32, DataType::F64] {
            let tensor = numbers(data_type, None, "[null,true,false]").unwrap().to_f32().unwrap();
            assert!(tensor[0].is_nan() && tensor[1..] == [1.0, 0.0], "{data_type:?}: {tensor:?}");
        }
        let flags = numbers(DataType::Bool, None, "[1,0,true,false,1.0]").unwrap();
        assert_eq!(flags, ndarray::arr1(&[true, false, true, false, true]).into_dyn().into());
        let whole = numbers(DataType::I8, None, "[true,false]").unwrap();
        assert_eq!(whole, ndarray::arr1(&[1_i8, 0]).into_dyn().into());
        let InputValue::Bytes { elements, .. } =
            read(DataType::String, None, "[null,\"null\"]").unwrap()
        else {
            unreachable!()
        };
        assert_eq!(elements, [Bytes::new(), Bytes::from("null")]);
    }

    #[test]
    fn what_the_type_cannot_hold_is_told_by_its_place() {
        let got = |data_type, json| {
            let error = numbers(data_type, None, json).unwrap_err();
            (error.element, error.got)
        };
        assert_eq!(got(DataType::U8, "[1,256]"), (Some(1), "256".to_owned()));
        assert_eq!(got(DataType::I32, "[1.5]"), (Some(0), "1.5".to_owned()));
        assert_eq!(got(DataType::F32, "[0,1e39]"), (Some(1), "1e39".to_owned()));
        assert_eq!(got(DataType::Bool, "[2]"), (Some(0), "2".to_owned()));
        assert_eq!(got(DataType::Bool, "[null]"), (Some(0), "null".to_owned()));
        assert_eq!(got(DataType::I64, "[0,null]"), (Some(1), "null".to_owned()));
        assert_eq!(got(DataType::I64, "[9223372036854775808]").0, Some(0));
        // Written so, it may be another number that was rounded.
        assert_eq!(got(DataType::I64, "[9007199254740993.0]").0, Some(0));
        assert_eq!(got(DataType::F32, "[\"a,]\"]"), (Some(0), "\"a,]\"".to_owned()));
        assert_eq!(got(DataType::I64, "[{\"a\":[1,2]}]"), (Some(0), "{\"a\":[1,2]}".to_owned()));
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        for json in ["[[1,2],[3]]", "[1,[2]]", "[[1],2]", "[[[1]],[2]]"] {
            assert_eq!(
                numbers(DataType::F32, None, json).unwrap_err().got,
                "ragged lists",
                "{json}"
            );
        }
        let error = numbers(DataType::F32, Some(&[3]), "[1,2]").unwrap_err();
        assert_eq!(
            (error.expected.as_str(), error.got.as_str()),
            ("3 elements for the shape [3]", "2")
        );
        let error = numbers(DataType::F32, Some(&[4, 1]), "[[1,2],[3,4]]").unwrap_err();
        assert_eq!(error.got, "lists nested as [2, 2]");
        assert!(numbers(DataType::F32, Some(&[usize::MAX, 2]), "[1]").is_err());
    }

    #[test]
    fn strings_keep_their_escapes_and_brackets() {
        let read = read(DataType::String, Some(&[2]), r#"["a\"],[\n", "é\u00e9"]"#).unwrap();
        let InputValue::Bytes { elements, .. } = read else { unreachable!() };
        assert_eq!(elements, [Bytes::from("a\"],[\n"), Bytes::from("éé")]);
    }
}
