//! Cells to the element type that a model's input has.

use std::borrow::Cow;

use ndarray::{ArrayD, IxDyn};

use crate::error::{Error, excerpt};
use crate::signature::TensorSpec;
use crate::tasks::{Column, Number, Numbers};
use crate::tensor::{DataType, Tensor};

/// FP64 tells whole numbers below from their neighbours.
const EXACT: f64 = (1_u64 << 53) as f64;

/// The rows in which a column has no value; of texts, those that are empty as well.
pub fn missing_rows(column: &Column, is_text: bool) -> Vec<usize> {
    fn rows<T>(cells: &[T], is_missing: impl Fn(&T) -> bool) -> Vec<usize> {
        (0..cells.len()).filter(|row| is_missing(&cells[*row])).collect()
    }
    match column {
        Column::Numbers(numbers) if !numbers.have_missing() => Vec::new(),
        Column::Numbers(numbers) => rows(numbers.values(), |value| value.is_nan()),
        Column::Texts(texts) => rows(texts, |text| text.as_ref().is_none_or(String::is_empty)),
        Column::Written(cells) if is_text => rows(cells, String::is_empty),
        Column::Written(cells) => rows(
            cells,
            |cell| matches!(Number::of_cell(cell), Some(Number::Fraction(value)) if value.is_nan()),
        ),
        Column::Lacking(_) => Vec::new(),
    }
}

/// A cell as the client wrote it.
pub fn told(column: &Column, row: usize) -> String {
    match column {
        Column::Numbers(numbers) => numbers.told(row),
        Column::Texts(texts) => match &texts[row] {
            Some(text) => format!("the text \"{}\"", excerpt(text)),
            None => "null".to_owned(),
        },
        Column::Written(cells) if cells[row].trim().is_empty() => "an empty cell".to_owned(),
        Column::Written(cells) => format!("`{}`", excerpt(&cells[row])),
        Column::Lacking(_) => "nothing".to_owned(),
    }
}

/// What a cell of this type may be.
fn expected(data_type: DataType) -> String {
    match data_type {
        DataType::Bool => "true or false, or 0 or 1 (BOOL)".to_owned(),
        DataType::F64 | DataType::F32 | DataType::F16 => "a number".to_owned(),
        whole => format!("a whole number ({})", whole.name()),
    }
}

/// A column that is to be numbers of this type. `place` gives the field of a row.
///
/// # Errors
/// Text.
pub fn numbers(
    column: &Column,
    data_type: DataType,
    place: impl Fn(usize) -> String,
) -> Result<Cow<'_, Numbers>, Error> {
    let refuse = |row| Error::invalid(place(row), expected(data_type), told(column, row));
    match column {
        Column::Numbers(numbers) => Ok(Cow::Borrowed(numbers)),
        Column::Texts(texts) => match texts.iter().position(Option::is_some) {
            Some(row) => Err(refuse(row)),
            None => Ok(Cow::Owned(vec![f64::NAN; texts.len()].into())),
        },
        Column::Written(cells) => {
            let read =
                |(row, cell): (usize, &String)| Number::of_cell(cell).ok_or_else(|| refuse(row));
            cells.iter().enumerate().map(read).collect::<Result<_, _>>().map(Cow::Owned)
        }
        Column::Lacking(row) => Err(refuse(*row)),
    }
}

/// A column as the tensor that its input takes. `place` gives the field of a row.
///
/// # Errors
/// A cell that the input's type cannot hold.
pub fn column_tensor(
    spec: &TensorSpec,
    column: &Column,
    place: impl Fn(usize) -> String,
) -> Result<Tensor, Error> {
    let data_type = spec.data_type().unwrap_or(DataType::F32);
    if data_type == DataType::String {
        let texts = texts(column, place)?;
        return into_tensor(column_shape(spec, texts.len()), texts);
    }
    let numbers = numbers(column, data_type, &place)?;
    let at = |row| (place(row), told(column, row));
    numbers_tensor(&numbers, &column_shape(spec, numbers.len()), data_type, at)
}

/// A missing value is an empty text.
fn texts(column: &Column, place: impl Fn(usize) -> String) -> Result<Vec<String>, Error> {
    let texts: Vec<String> = match column {
        Column::Texts(texts) => texts.iter().map(|text| text.clone().unwrap_or_default()).collect(),
        Column::Written(cells) => cells.clone(),
        Column::Numbers(numbers) => {
            if let Some(row) = numbers.values().iter().position(|value| !value.is_nan()) {
                let got = format!("the number {}", numbers.told(row));
                return Err(Error::invalid(place(row), "text", got));
            }
            vec![String::new(); numbers.len()]
        }
        Column::Lacking(row) => return Err(Error::invalid(place(*row), "text", "nothing")),
    };
    match texts.iter().position(|text| text.contains('\0')) {
        Some(row) => Err(Error::invalid(place(row), "text without NUL", "a NUL character")),
        None => Ok(texts),
    }
}

fn column_shape(spec: &TensorSpec, rows: usize) -> Vec<usize> {
    if spec.shape.len() == 1 { vec![rows] } else { vec![rows, 1] }
}

/// `numbers` in the model's element type. `at` gives the field of a place, and what came there.
///
/// # Errors
/// A number that the type cannot hold, and a missing value where the type has none.
pub fn numbers_tensor(
    numbers: &Numbers,
    shape: &[usize],
    data_type: DataType,
    at: impl Fn(usize) -> (String, String),
) -> Result<Tensor, Error> {
    let values = numbers.values();
    let bad = |index: usize, expected: String| {
        let (field, got) = at(index);
        Error::invalid(field, expected, got)
    };
    // Neither a whole number nor a truth value has a missing one.
    let no_such = |index: usize| {
        let expected = expected(data_type);
        match values[index] {
            value if value.is_nan() => {
                bad(index, format!("{expected}, which has no missing value"))
            }
            value if value.fract() == 0.0 && value.abs() >= EXACT => {
                bad(index, format!("{expected}, in its range and written in digits alone"))
            }
            _ => bad(index, expected),
        }
    };
    macro_rules! integers {
        ($($variant:ident: $element:ty),+) => {
            match data_type {
                $(DataType::$variant => {
                    let mut out = Vec::with_capacity(values.len());
                    for (index, value) in values.iter().enumerate() {
                        let near = *value as $element;
                        if near as f64 == *value && value.abs() < EXACT {
                            out.push(near);
                            continue;
                        }
                        let whole = numbers.whole(index).and_then(|v| <$element>::try_from(v).ok());
                        out.push(whole.ok_or_else(|| no_such(index))?);
                    }
                    return into_tensor(shape.to_vec(), out);
                })+
                _ => {}
            }
        };
    }
    integers!(I8: i8, I16: i16, I32: i32, I64: i64, U8: u8, U16: u16, U32: u32, U64: u64);
    match data_type {
        DataType::Bool => match values.iter().position(|v| *v != 0.0 && *v != 1.0) {
            Some(index) => Err(no_such(index)),
            None => into_tensor(shape.to_vec(), values.iter().map(|v| *v != 0.0).collect()),
        },
        DataType::F64 => match values.iter().position(|v| v.is_infinite()) {
            Some(index) => Err(bad(index, "a finite number".to_owned())),
            None => into_tensor(shape.to_vec(), values.to_vec()),
        },
        DataType::F16 => {
            let out: Vec<half::f16> = values.iter().map(|v| half::f16::from_f64(*v)).collect();
            match out.iter().position(|v| v.is_infinite()) {
                Some(index) => Err(bad(index, "a number within the range of FP16".to_owned())),
                None => into_tensor(shape.to_vec(), out),
            }
        }
        _ => {
            let out: Vec<f32> = values.iter().map(|v| *v as f32).collect();
            match out.iter().position(|v| v.is_infinite()) {
                Some(index) => Err(bad(index, "a finite number (FP32)".to_owned())),
                None => into_tensor(shape.to_vec(), out),
            }
        }
    }
}

fn into_tensor<T>(shape: Vec<usize>, values: Vec<T>) -> Result<Tensor, Error>
where
    Tensor: From<ArrayD<T>>,
{
    ArrayD::from_shape_vec(IxDyn(&shape), values).map(Into::into).map_err(Error::internal)
}
