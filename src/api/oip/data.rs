//! The `data` of a tensor in JSON, straight into a typed buffer.

use half::{bf16, f16};
use memchr::memchr_iter;
use ndarray::ArrayD;

use super::elements::Elements;
use super::infer::InputValue;
use crate::error::{Error, excerpt, told_shape};
use crate::meter::Meter;
use crate::tensor::{DataType, Tensor};

/// Axes of a tensor at most, as of one of numpy.
pub const MAX_AXES: usize = 64;
/// Elements between two looks at whether anybody waits.
const LOOK: u64 = 1024;

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
    meter: &Meter<'_>,
) -> Result<InputValue, Wrong> {
    let mut building = builder(data_type, shape, || likely(data_type, json), meter)?;
    building.feed(json)?;
    building.finish()
}

/// How many elements there are in a list: of numbers not fewer, since a comma is between any two; of
/// strings, which may hold commas, about as many.
#[must_use]
pub fn likely(data_type: DataType, json: &str) -> usize {
    let count = |byte| memchr_iter(byte, json.as_bytes()).count();
    match data_type {
        DataType::String => (count(b'"') / 2).max(1),
        _ => count(b',').min(json.len() / 2) + 1,
    }
}

/// A tensor in the making, of which the JSON may come in pieces: whole values, and brackets around them.
pub trait Building {
    /// # Errors
    /// As [`read`].
    fn feed(&mut self, json: &str) -> Result<(), Wrong>;

    /// # Errors
    /// As [`read`].
    fn finish(self: Box<Self>) -> Result<InputValue, Wrong>;
}

/// Begins a tensor of about so many elements.
///
/// # Errors
/// A shape that has more elements than can be counted.
pub fn builder<'m>(
    data_type: DataType,
    shape: Option<&[usize]>,
    likely: impl FnOnce() -> usize,
    meter: &'m Meter<'m>,
) -> Result<Box<dyn Building + 'm>, Wrong> {
    macro_rules! builders {
        ($($variant:ident: $element:ty),+) => {
            match data_type {
                $(DataType::$variant => Box::new(Builder::<$element>::new(shape, likely, meter)?),)+
            }
        };
    }
    Ok(builders! {
        Bool: bool, U8: u8, U16: u16, U32: u32, U64: u64, I8: i8, I16: i16, I32: i32, I64: i64,
        F16: f16, BF16: bf16, F32: f32, F64: f64, String: String
    })
}

struct Builder<'m, T> {
    shape: Option<Vec<usize>>,
    /// Of the shape.
    expected: Option<usize>,
    values: Vec<T>,
    /// Elements beyond those of the shape, which are counted alone.
    more: usize,
    scan: Scan,
    meter: &'m Meter<'m>,
}

impl<'m, T: Element> Builder<'m, T> {
    fn new(
        shape: Option<&[usize]>,
        likely: impl FnOnce() -> usize,
        meter: &'m Meter<'m>,
    ) -> Result<Self, Wrong> {
        let told = || told_shape(shape.unwrap_or_default());
        let expected = shape.map(super::binary::count).transpose();
        let expected = expected.map_err(|expected| Mismatch::of(expected, told()))?;
        // No shape reserves more than came.
        let most = likely().min(expected.unwrap_or(usize::MAX));
        let mut values = Vec::new();
        if most > 0 {
            meter.room(&mut values, || most)?;
        }
        let (shape, scan) = (shape.map(<[usize]>::to_vec), Scan::default());
        Ok(Self { shape, expected, values, more: 0, scan, meter })
    }
}

impl<T: Element> Building for Builder<'_, T> {
    fn feed(&mut self, json: &str) -> Result<(), Wrong> {
        let Self { expected, values, more, scan, meter, .. } = self;
        let most = expected.unwrap_or(usize::MAX);
        scan.feed(json, meter, |token| {
            if values.len() >= most {
                *more += 1;
                return Ok(());
            }
            let value = T::parse(token).ok_or_else(|| Mismatch {
                element: Some(values.len()),
                expected: match token {
                    "null" => format!("{}, which has no missing value", T::EXPECTED),
                    _ => T::EXPECTED.to_owned(),
                },
                got: excerpt(token),
            })?;
            meter.room(values, || 0)?;
            if T::HAS_HEAP {
                meter.take(token.len())?;
            }
            values.push(value);
            Ok(())
        })
    }

    fn finish(self: Box<Self>) -> Result<InputValue, Wrong> {
        let Self { shape, expected, values, more, scan, .. } = *self;
        let nesting = scan.shape();
        let Some(shape) = shape else { return T::value(nesting, values) };
        let count = values.len() + more;
        if Some(count) != expected {
            let (expected, shape) = (expected.unwrap_or(0), told_shape(&shape));
            let expected = format!("{expected} elements for the shape {shape}");
            return Err(Mismatch::of(expected, count.to_string()).into());
        }
        // Of an empty axis there are no lists further in.
        let nested = nesting == shape || (expected == Some(0) && shape.starts_with(&nesting));
        if nesting.len() > 1 && !nested {
            let expected =
                format!("a flat list, or lists nested as the shape {}", told_shape(&shape));
            let got = format!("lists nested as {}", told_shape(&nesting));
            return Err(Mismatch::of(expected, got).into());
        }
        T::value(shape, values)
    }
}

/// Why there is no tensor.
#[derive(Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It does not fit.
    Mismatch(Mismatch),
    /// The request as a whole ends.
    Ended(Error),
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
    pub fn of(expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self { element: None, expected: expected.into(), got: got.into() }
    }
}

impl From<Mismatch> for Wrong {
    fn from(mismatch: Mismatch) -> Self {
        Self::Mismatch(mismatch)
    }
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        Self::Ended(error)
    }
}

impl Wrong {
    /// As an error, of which `tell` knows the field.
    pub fn told(self, tell: impl FnOnce(Mismatch) -> Error) -> Error {
        match self {
            Self::Mismatch(mismatch) => tell(mismatch),
            Self::Ended(error) => error,
        }
    }
}

/// How lists are nested, as far as they were read.
#[derive(Default)]
struct Scan {
    /// Elements so far of the lists that are open.
    counts: Vec<usize>,
    /// Of the lists by depth, once one has ended.
    lengths: Vec<Option<usize>>,
    leaf_depth: Option<usize>,
    seen: u64,
}

impl Scan {
    /// Gives every element that is no list to `leaf`.
    fn feed<'a>(
        &mut self,
        json: &'a str,
        meter: &Meter<'_>,
        mut leaf: impl FnMut(&'a str) -> Result<(), Wrong>,
    ) -> Result<(), Wrong> {
        let ragged = || Mismatch::of("lists of one length at each depth", "ragged lists");
        let Self { counts, lengths, leaf_depth, seen } = self;
        let bytes = json.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            match bytes[at] {
                b' ' | b'\t' | b'\n' | b'\r' | b',' => {
                    at += 1;
                    continue;
                }
                b']' => {
                    let depth = counts.len();
                    let count = counts.pop().unwrap_or(0);
                    if *lengths[depth - 1].get_or_insert(count) != count {
                        return Err(ragged().into());
                    }
                    at += 1;
                    continue;
                }
                b'[' => {
                    if leaf_depth.is_some_and(|depth| depth <= counts.len()) {
                        return Err(ragged().into());
                    }
                    if counts.len() == MAX_AXES {
                        let expected = format!("lists nested at most {MAX_AXES} deep");
                        return Err(Mismatch::of(expected, "deeper ones").into());
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
                _ => {
                    let depth = counts.len();
                    if *leaf_depth.get_or_insert(depth) != depth || lengths.len() > depth {
                        return Err(ragged().into());
                    }
                    if let Some(count) = counts.last_mut() {
                        *count += 1;
                    }
                    let end = end_of(bytes, at);
                    leaf(&json[at..end])?;
                    at = end;
                }
            }
            *seen += 1;
            if seen.is_multiple_of(LOOK) {
                meter.steps(LOOK)?;
            }
        }
        Ok(())
    }

    /// The lengths of the lists by depth.
    fn shape(self) -> Vec<usize> {
        self.lengths.into_iter().map(Option::unwrap_or_default).collect()
    }
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
    /// Whether it takes memory of its own.
    const HAS_HEAP: bool = false;

    fn parse(token: &str) -> Option<Self>;

    /// Elements of this shape.
    fn value(shape: Vec<usize>, values: Vec<Self>) -> Result<InputValue, Wrong>;
}

fn numbers<T>(shape: Vec<usize>, values: Vec<T>) -> Result<InputValue, Wrong>
where
    Tensor: From<ArrayD<T>>,
{
    let array = ArrayD::from_shape_vec(shape, values);
    let array = array.map_err(|error| Mismatch::of("data", error.to_string()))?;
    Ok(InputValue::Numbers(array.into()))
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

    fn value(shape: Vec<usize>, values: Vec<Self>) -> Result<InputValue, Wrong> {
        numbers(shape, values)
    }
}

impl Element for String {
    const EXPECTED: &'static str = "a string";
    const HAS_HEAP: bool = true;

    fn parse(token: &str) -> Option<Self> {
        if token == "null" {
            return Some(Self::new());
        }
        let text = token.strip_prefix('"')?;
        match text.strip_suffix('"') {
            Some(text) if !text.contains('\\') => Some(text.to_owned()),
            _ => serde_json::from_str(token).ok(),
        }
    }

    fn value(shape: Vec<usize>, texts: Vec<Self>) -> Result<InputValue, Wrong> {
        Ok(InputValue::Bytes { shape, elements: Elements::Texts(texts) })
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

            fn value(shape: Vec<usize>, values: Vec<Self>) -> Result<InputValue, Wrong> {
                numbers(shape, values)
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

            fn value(shape: Vec<usize>, values: Vec<Self>) -> Result<InputValue, Wrong> {
                numbers(shape, values)
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

    fn value(
        data_type: DataType,
        shape: Option<&[usize]>,
        json: &str,
    ) -> Result<InputValue, Mismatch> {
        let meter = Meter::new(json.len(), &|| true);
        read(data_type, shape, json, &meter).map_err(|wrong| match wrong {
            Wrong::Mismatch(mismatch) => mismatch,
            Wrong::Ended(error) => panic!("{error}"),
        })
    }

    fn numbers(
        data_type: DataType,
        shape: Option<&[usize]>,
        json: &str,
    ) -> Result<Tensor, Mismatch> {
        match value(data_type, shape, json)? {
            InputValue::Numbers(tensor) => Ok(tensor),
            InputValue::Bytes { .. } => unreachable!(),
        }
    }

    fn strings(shape: Option<&[usize]>, json: &str) -> Vec<String> {
        match value(DataType::String, shape, json).unwrap() {
            InputValue::Bytes { elements: Elements::Texts(texts), .. } => texts,
            _ => unreachable!(),
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
        assert_eq!(strings(None, "[null,\"null\"]"), ["", "null"]);
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
        let read = strings(Some(&[2]), r#"["a\"],[\n", "é\u00e9"]"#);
        assert_eq!(read, ["a\"],[\n", "éé"]);
    }

    #[test]
    fn a_tensor_may_come_in_pieces() {
        let meter = Meter::new(0, &|| true);
        let built = |pieces: &[&str]| {
            let mut building = builder(DataType::F32, None, || 4, &meter)?;
            pieces.iter().try_for_each(|piece| building.feed(piece))?;
            building.finish()
        };
        let Ok(InputValue::Numbers(tensor)) = built(&["[", "[1,2]", "[3, 4]", "]"]) else {
            panic!()
        };
        assert_eq!(tensor, numbers(DataType::F32, None, "[[1,2],[3,4]]").unwrap());
        assert!(built(&["[", "[1,2]", "[3]", "]"]).is_err());
    }

    #[test]
    fn what_is_beyond_the_shape_is_counted_and_not_kept_and_lists_are_not_nested_for_ever() {
        let error = numbers(DataType::F64, Some(&[1]), "[1,2,\"x\",[4]]");
        assert_eq!(error.unwrap_err().got, "ragged lists");
        assert_eq!(numbers(DataType::F64, Some(&[1]), "[1,2,3]").unwrap_err().got, "3");
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        assert_eq!(numbers(DataType::F32, None, &deep).unwrap_err().got, "deeper ones");
    }
}
