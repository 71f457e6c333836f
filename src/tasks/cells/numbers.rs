//! Numbers as FP64, and beside them the few whole numbers that FP64 does not hold to the last digit.

use std::hash::{Hash, Hasher};
use std::ops::Range;

use crate::error::Error;
use crate::meter::Meter;

/// From here on FP64 no longer tells a whole number from its neighbours.
const EXACT: u64 = 1 << 53;
/// Numbers for which too much room is not worth a copy.
const MUCH: usize = 1024;
/// What pandas and R write into an empty cell, beside NaN in any case.
const MISSING: [&str; 7] = ["", "NA", "<NA>", "N/A", "null", "NULL", "None"];

/// A number as it was written: in digits alone, or as a fraction. NaN is a missing value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    Signed(i64),
    Unsigned(u64),
    Fraction(f64),
}

/// A column or rows of numbers. NaN is a missing value.
///
/// A type for each cell would cost every row of floats; instead those whole numbers that FP64 may
/// have rounded are kept once more as they were.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
    values: Vec<f64>,
    /// By place, rising, without their signs, which the values have.
    exact: Vec<(usize, u64)>,
}

impl Number {
    /// As FP64, rounded to the nearest.
    #[must_use]
    pub fn value(self) -> f64 {
        match self {
            Self::Signed(whole) => whole as f64,
            Self::Unsigned(whole) => whole as f64,
            Self::Fraction(value) => value,
        }
    }

    /// A cell of CSV: a number, a truth value, or what stands for a missing value: an empty cell,
    /// `NaN`, `NA`, `<NA>`, `N/A`, `null`, `NULL` or `None`. `None` of any other text.
    #[must_use]
    pub fn of_cell(cell: &str) -> Option<Self> {
        let cell = cell.trim();
        if is_missing(cell) {
            return Some(Self::Fraction(f64::NAN));
        }
        // -0 has a sign as a fraction alone.
        if let Ok(whole) = cell.parse()
            && (whole != 0 || !cell.starts_with('-'))
        {
            return Some(Self::Signed(whole));
        }
        if let Ok(whole) = cell.parse() {
            return Some(Self::Unsigned(whole));
        }
        match cell {
            "true" | "True" | "TRUE" => Some(Self::Signed(1)),
            "false" | "False" | "FALSE" => Some(Self::Signed(0)),
            _ => cell.parse().ok().map(Self::Fraction),
        }
    }
}

/// Whether a cell of CSV stands for a missing number.
fn is_missing(cell: &str) -> bool {
    MISSING.contains(&cell) || cell.eq_ignore_ascii_case("nan")
}

impl From<&serde_json::Number> for Number {
    fn from(number: &serde_json::Number) -> Self {
        match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Self::Signed(whole),
            (None, Some(whole)) => Self::Unsigned(whole),
            (None, None) => Self::Fraction(number.as_f64().unwrap_or(f64::NAN)),
        }
    }
}

impl Numbers {
    #[inline]
    pub fn push(&mut self, number: Number) {
        match number {
            Number::Fraction(value) => self.values.push(value),
            Number::Signed(whole) => {
                if whole.unsigned_abs() >= EXACT {
                    self.keep(whole.unsigned_abs());
                }
                self.values.push(whole as f64);
            }
            Number::Unsigned(whole) => {
                if whole >= EXACT {
                    self.keep(whole);
                }
                self.values.push(whole as f64);
            }
        }
    }

    /// Keeps the digits of the number that is pushed next.
    #[cold]
    fn keep(&mut self, whole: u64) {
        self.exact.push((self.values.len(), whole));
    }

    /// Makes room for one more, as [`Meter::room`].
    ///
    /// # Errors
    /// As [`Meter::room`].
    #[inline]
    pub fn room(
        &mut self,
        meter: &Meter<'_>,
        expected: impl FnOnce() -> usize,
    ) -> Result<(), Error> {
        meter.room(&mut self.values, expected)
    }

    /// Makes room for all that come, unless that is done.
    ///
    /// # Errors
    /// As [`Meter::room`].
    #[inline]
    pub fn room_for_all(
        &mut self,
        meter: &Meter<'_>,
        expected: impl FnOnce() -> usize,
    ) -> Result<(), Error> {
        if self.values.capacity() > 0 { Ok(()) } else { self.room(meter, expected) }
    }

    /// Frees what room was made for and did not come, if that is much.
    pub fn shrink(&mut self, meter: &Meter<'_>) {
        let before = self.values.capacity();
        if before - self.values.len() > MUCH {
            self.values.shrink_to_fit();
            meter.give_back((before - self.values.capacity()) * size_of::<f64>());
        }
    }

    pub fn push_missing(&mut self) {
        self.values.push(f64::NAN);
    }

    /// As FP64, each rounded to the nearest.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The whole number at this place to the last digit. `None` for a fraction, and for one beyond
    /// 2^53 that was not written in digits alone, which FP64 may have rounded.
    #[must_use]
    pub fn whole(&self, place: usize) -> Option<i128> {
        let value = self.values[place];
        if value.abs() < EXACT as f64 {
            return (value.fract() == 0.0).then_some(value as i128);
        }
        let found = self.exact.binary_search_by_key(&place, |(at, _)| *at).ok()?;
        let whole = i128::from(self.exact[found].1);
        Some(if value < 0.0 { -whole } else { whole })
    }

    /// Whether at least one value is missing.
    #[must_use]
    pub fn have_missing(&self) -> bool {
        // Without an early end, so that it is vectorised.
        self.values.chunks(256).any(|some| some.iter().fold(false, |any, v| any | v.is_nan()))
    }

    /// Whether all values are missing.
    #[must_use]
    pub fn are_missing(&self) -> bool {
        self.values.iter().all(|value| value.is_nan())
    }

    /// The number at this place as a client would write it.
    #[must_use]
    pub fn told(&self, place: usize) -> String {
        let value = self.values[place];
        match self.whole(place) {
            Some(whole) => whole.to_string(),
            None if value.is_nan() => "null".to_owned(),
            None => format!("{value:?}"),
        }
    }

    pub fn append(&mut self, more: Self) {
        let before = self.values.len();
        self.exact.extend(more.exact.into_iter().map(|(place, whole)| (before + place, whole)));
        self.values.extend(more.values);
    }

    /// A copy of some of them.
    ///
    /// # Panics
    /// If there are not so many.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        let before = |end: usize| self.exact.partition_point(|(place, _)| *place < end);
        let exact = self.exact[before(range.start)..before(range.end)].iter();
        Self {
            exact: exact.map(|(place, whole)| (place - range.start, *whole)).collect(),
            values: self.values[range].to_vec(),
        }
    }

    /// Rows of so many numbers as columns, one after the other.
    pub fn columns(&self, width: usize) -> impl Iterator<Item = Self> + '_ {
        let mut exact = vec![Vec::new(); width];
        for (place, whole) in &self.exact {
            exact[place % width].push((place / width, *whole));
        }
        exact.into_iter().enumerate().map(move |(index, exact)| Self {
            values: self.values.iter().skip(index).step_by(width).copied().collect(),
            exact,
        })
    }

    /// The reverse of [`Self::columns`], of columns that all have `rows` numbers.
    #[must_use]
    pub fn of_columns(columns: &[&Self], rows: usize) -> Self {
        let width = columns.len();
        let mut all = Self { values: vec![0.0; rows * width], exact: Vec::new() };
        for (index, column) in columns.iter().enumerate() {
            for (row, value) in column.values.iter().enumerate() {
                all.values[row * width + index] = *value;
            }
            all.exact.extend(column.exact.iter().map(|(row, whole)| (row * width + index, *whole)));
        }
        all.exact.sort_unstable();
        all
    }
}

impl From<Vec<f64>> for Numbers {
    fn from(values: Vec<f64>) -> Self {
        Self { values, exact: Vec::new() }
    }
}

impl FromIterator<Number> for Numbers {
    fn from_iter<I: IntoIterator<Item = Number>>(numbers: I) -> Self {
        let mut all = Self::default();
        numbers.into_iter().for_each(|number| all.push(number));
        all
    }
}

/// By their bits: a missing value equals a missing one, and 0 is not -0, which a network may answer
/// otherwise.
impl PartialEq for Numbers {
    fn eq(&self, other: &Self) -> bool {
        self.values.len() == other.values.len()
            && self.values.iter().zip(&other.values).all(|(a, b)| a.to_bits() == b.to_bits())
            && self.exact == other.exact
    }
}

impl Eq for Numbers {}

impl Hash for Numbers {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.values.len().hash(state);
        for value in &self.values {
            value.to_bits().hash(state);
        }
        self.exact.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(cells: &[&str]) -> Numbers {
        cells.iter().map(|cell| Number::of_cell(cell).unwrap()).collect()
    }

    #[test]
    fn whole_numbers_are_kept_to_the_last_digit() {
        let written = ["9007199254740993", "18446744073709551615", "-9223372036854775808", "7.0"];
        let all = numbers(&written);
        let whole: Vec<_> = (0..4).map(|place| all.whole(place).unwrap()).collect();
        assert_eq!(whole, [9_007_199_254_740_993, u64::MAX.into(), i64::MIN.into(), 7]);
        assert_eq!(all.told(0), written[0]);
        // Rounded before it could be looked at.
        assert_eq!(numbers(&["9007199254740993.0"]).whole(0), None);
        assert_eq!(numbers(&["0.5"]).whole(0), None);
        assert_eq!(numbers(&["-0"]).whole(0), Some(0));
    }

    #[test]
    fn parts_and_columns_keep_the_digits() {
        let mut all = numbers(&["1", "9007199254740993"]);
        all.append(numbers(&["9007199254740995", "4"]));
        assert_eq!(all.part(1..3), numbers(&["9007199254740993", "9007199254740995"]));
        let columns: Vec<_> = all.columns(2).collect();
        assert_eq!(columns[0], numbers(&["1", "9007199254740995"]));
        assert_eq!(columns[1], numbers(&["9007199254740993", "4"]));
        assert_eq!(Numbers::of_columns(&columns.iter().collect::<Vec<_>>(), 2), all);
        assert_ne!(numbers(&["9007199254740993"]), numbers(&["9007199254740992"]));
    }

    #[test]
    fn cells_of_csv_are_numbers_truth_values_or_missing() {
        for missing in ["", " ", "NaN", "nan", "NA", "<NA>", "null", "None"] {
            assert!(numbers(&[missing]).are_missing(), "{missing}");
        }
        assert_eq!(numbers(&["True", "false"]).values(), [1.0, 0.0]);
        assert_eq!(numbers(&["1e3"]).whole(0), Some(1000));
        assert_eq!(Number::of_cell("male"), None);
        assert_eq!(numbers(&[""]), numbers(&["NaN"]));
    }
}
