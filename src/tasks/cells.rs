//! Rows of features as they came, before a model has said which type each column has.
//!
//! `numbers.rs`: numbers to the last digit. `read.rs`, `named.rs`: the forms that JSON has for rows.

mod named;
mod numbers;
mod read;

use std::ops::Range;

pub use numbers::{Number, Numbers};
pub use read::CellsSeed;

use crate::meter::Meter;

/// What becomes of a column of some name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The model takes it.
    Taken,
    /// The model does without it, and the operator wants it passed over.
    PassedOver,
    /// The model does not know it.
    Unknown,
}

/// Within which bounds a client's input is read. What a model does not take is not kept, so that no body
/// holds more than its model's columns and its limits' items.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    pub meter: &'a Meter<'a>,
    /// Items at most: one more ends the reading.
    pub most: usize,
    /// What becomes of a column of this name.
    pub takes: &'a dyn Fn(&str) -> Taken,
}

impl<'a> Reading<'a> {
    /// For the operator's own files: whatever is in them.
    #[must_use]
    pub fn unbounded(meter: &'a Meter<'a>) -> Self {
        Self { meter, most: usize::MAX, takes: &|_| Taken::Taken }
    }
}

/// Rows, and the field that they came in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Features {
    pub field: String,
    pub cells: Cells,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Cells {
    /// `rows × columns` numbers in row-major order.
    Rows { values: Numbers, columns: usize, rows: usize },
    /// Columns by name, all of one length. `records`: they came as an object for each row, by which
    /// a cell is then told.
    Columns { columns: Vec<(String, Column)>, rows: usize, records: bool },
}

/// The cells of one name. A missing value has a place in every kind, so that a column in which all
/// are missing may be of any.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Column {
    Numbers(Numbers),
    /// `None` is a missing value.
    Texts(Vec<Option<String>>),
    /// Cells of CSV, of which only the model says whether they are numbers.
    Written(Vec<String>),
    /// The first of the records without this name; what the others have is not kept.
    Lacking(usize),
}

impl Cells {
    /// One row of numbers.
    #[must_use]
    pub fn row(values: Numbers) -> Self {
        Self::Rows { columns: values.len(), values, rows: 1 }
    }

    /// Rows × columns.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Rows { values, .. } => values.len(),
            Self::Columns { columns, rows, .. } => columns.len().saturating_mul(*rows),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Self::Rows { rows, .. } | Self::Columns { rows, .. } => *rows,
        }
    }

    /// Whether the rows of both are of one form, so that they may stand in one request without either
    /// being read otherwise than alone.
    #[must_use]
    pub fn goes_with(&self, more: &Self) -> bool {
        match (self, more) {
            (Self::Rows { columns, .. }, Self::Rows { columns: more, .. }) => columns == more,
            (
                Self::Columns { columns, records, .. },
                Self::Columns { columns: more, records: as_records, .. },
            ) => {
                let alike = |((name, column), (other, more)): (&(_, Column), &(_, Column))| {
                    name == other && column.goes_with(more)
                };
                records == as_records
                    && columns.len() == more.len()
                    && columns.iter().zip(more).all(alike)
            }
            _ => false,
        }
    }

    /// Appends rows that go with these; others are left out.
    pub fn append(&mut self, more: Self) {
        match (self, more) {
            (Self::Rows { values, rows, .. }, Self::Rows { values: more, rows: further, .. }) => {
                values.append(more);
                *rows += further;
            }
            (
                Self::Columns { columns, rows, .. },
                Self::Columns { columns: more, rows: further, .. },
            ) => {
                for ((_, column), (_, more)) in columns.iter_mut().zip(more) {
                    column.append(more);
                }
                *rows += further;
            }
            _ => {}
        }
    }

    /// A copy of some rows.
    ///
    /// # Panics
    /// If there are not so many.
    #[must_use]
    pub fn part(&self, rows: Range<usize>) -> Self {
        match self {
            Self::Rows { values, columns, .. } => Self::Rows {
                values: values.part(rows.start * columns..rows.end * columns),
                columns: *columns,
                rows: rows.len(),
            },
            Self::Columns { columns, records, .. } => Self::Columns {
                columns: columns
                    .iter()
                    .map(|(name, column)| (name.clone(), column.part(rows.clone())))
                    .collect(),
                rows: rows.len(),
                records: *records,
            },
        }
    }

    /// The same rows so many times.
    #[must_use]
    pub fn repeated(&self, times: usize) -> Self {
        let mut all = self.part(0..0);
        for _ in 0..times {
            all.append(self.clone());
        }
        all
    }
}

impl Column {
    /// Whether no cell has a value. Records that lack the name have no cells.
    fn is_missing(&self) -> bool {
        match self {
            Self::Numbers(numbers) => numbers.are_missing(),
            Self::Texts(texts) => texts.iter().all(Option::is_none),
            Self::Written(_) | Self::Lacking(_) => false,
        }
    }

    fn goes_with(&self, more: &Self) -> bool {
        match (self, more) {
            (Self::Numbers(_), Self::Numbers(_))
            | (Self::Texts(_), Self::Texts(_))
            | (Self::Written(_), Self::Written(_)) => true,
            (Self::Numbers(_), Self::Texts(_)) | (Self::Texts(_), Self::Numbers(_)) => {
                self.is_missing() || more.is_missing()
            }
            _ => false,
        }
    }

    fn append(&mut self, more: Self) {
        match (&mut *self, more) {
            (Self::Numbers(all), Self::Numbers(more)) => all.append(more),
            (Self::Texts(all), Self::Texts(more)) => all.extend(more),
            (Self::Written(all), Self::Written(more)) => all.extend(more),
            // One of the two holds missing values alone.
            (Self::Numbers(all), Self::Texts(more)) if all.are_missing() => {
                let mut texts = vec![None; all.len()];
                texts.extend(more);
                *self = Self::Texts(texts);
            }
            (Self::Numbers(all), Self::Texts(more)) => more.iter().for_each(|_| all.push_missing()),
            (Self::Texts(all), Self::Numbers(more)) => all.resize(all.len() + more.len(), None),
            _ => {}
        }
    }

    fn part(&self, rows: Range<usize>) -> Self {
        match self {
            Self::Numbers(all) => Self::Numbers(all.part(rows)),
            Self::Texts(all) => Self::Texts(all[rows].to_vec()),
            Self::Written(all) => Self::Written(all[rows].to_vec()),
            Self::Lacking(row) => Self::Lacking(row.saturating_sub(rows.start)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(column: Column, rows: usize) -> Cells {
        Cells::Columns { columns: vec![("a".to_owned(), column)], rows, records: false }
    }

    #[test]
    fn missing_values_go_with_columns_of_any_kind_and_stay_what_they_were() {
        let missing = column(Column::Numbers(vec![f64::NAN].into()), 1);
        let text = column(Column::Texts(vec![Some("x".to_owned())]), 1);
        let number = column(Column::Numbers(vec![1.0].into()), 1);
        for other in [&text, &number] {
            for (first, second) in [(&missing, other), (other, &missing)] {
                assert!(first.goes_with(second));
                let mut both = first.clone();
                both.append(second.clone());
                assert_eq!(both.rows(), 2);
                let place = usize::from(first == other);
                let one = both.part(place..place + 1);
                let Cells::Columns { columns, .. } = one else { unreachable!() };
                assert!(columns[0].1.is_missing(), "{both:?}");
                assert_eq!(&both.part(1 - place..2 - place), other);
            }
        }
        assert!(!text.goes_with(&number));
    }

    #[test]
    fn rows_are_repeated_and_parted() {
        let rows = Cells::Rows { values: vec![1.0, 2.0].into(), columns: 2, rows: 1 };
        let thrice = rows.repeated(3);
        assert_eq!((thrice.len(), thrice.rows()), (6, 3));
        assert_eq!(thrice.part(1..2), rows);
    }
}
