//! How rows of features lie in a model's inputs.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::convert::{self, column_tensor, missing_rows, numbers_tensor};
use super::missing::Missing;
use crate::config::ExtraColumns;
use crate::error::{Error, excerpt, nearest, one_of};
use crate::rows::Rows;
use crate::signature::{Signature, TensorSpec};
use crate::tasks::{Cells, Column, FeatureColumn, Features, Numbers, Taken};
use crate::tensor::{DataType, Tensors};

const NUMBERS: [DataType; 12] = [
    DataType::F32,
    DataType::F64,
    DataType::F16,
    DataType::I8,
    DataType::I16,
    DataType::I32,
    DataType::I64,
    DataType::U8,
    DataType::U16,
    DataType::U32,
    DataType::U64,
    DataType::Bool,
];

pub enum Layout {
    /// One input `[N,F]` (or `[F]`, without a batch axis) holds the whole row.
    Row {
        input: String,
        data_type: DataType,
        /// `None` where the model leaves the number of features open.
        columns: Option<usize>,
        /// Names of the columns, if a file gives them.
        names: Option<Names>,
    },
    /// Each input, `[N,1]` or `[N]`, is one named column.
    Columns { specs: Vec<TensorSpec>, names: Names },
}

/// Names of the columns in the model's order.
pub struct Names {
    pub list: Vec<String>,
    places: HashMap<String, usize>,
    extra: ExtraColumns,
}

impl Names {
    fn new(list: Vec<String>, extra: ExtraColumns) -> Self {
        let places: HashMap<_, _> = list.iter().cloned().zip(0..).collect();
        Self { list, places, extra }
    }

    /// The given columns in the model's order.
    fn in_order<'a>(
        &self,
        field: &str,
        given: &'a [(String, Column)],
    ) -> Result<Vec<&'a Column>, Error> {
        let mut found: Vec<Option<&Column>> = vec![None; self.list.len()];
        for (name, column) in given {
            match self.places.get(name) {
                Some(place) if found[*place].is_some() => {
                    let got = format!("`{}` twice", excerpt(name));
                    return Err(Error::invalid(field, "each name once", got));
                }
                Some(place) => found[*place] = Some(column),
                None if self.extra == ExtraColumns::Ignore => {}
                None => return Err(self.unknown(field, name)),
            }
        }
        let known = self.list.iter().zip(found);
        let column = |(name, column): (&String, Option<&'a Column>)| match column {
            None => {
                let (expected, got) = (format!("a column `{name}`"), "no column of that name");
                Err(Error::invalid(field, expected, got))
            }
            Some(Column::Lacking(row)) => {
                let (expected, got) = (format!("a value for `{name}`"), "a record without one");
                Err(Error::invalid(format!("{field}[{row}]"), expected, got))
            }
            Some(column) => Ok(column),
        };
        known.map(column).collect()
    }

    fn unknown(&self, field: &str, name: &str) -> Error {
        let names = || self.list.iter().map(String::as_str);
        let known = one_of(name, names().collect::<Vec<_>>());
        let mut error = Error::invalid(field, known, format!("the name `{}`", excerpt(name)));
        if let Some(near) = nearest(name, names()) {
            error.expected = Some(format!("`{near}`"));
        }
        error
    }
}

impl Layout {
    /// # Errors
    /// Inputs that are no features; names that are not as many as the features.
    pub fn build(
        signature: &Signature,
        names: Option<Vec<String>>,
        extra: ExtraColumns,
    ) -> Result<Self, String> {
        let column = |spec: &TensorSpec| {
            let one_a_row = spec.shape.get(1).is_none_or(|axis| *axis == Some(1));
            spec.is(1, &NUMBERS)
                || spec.is(1, &[DataType::String])
                || (one_a_row && (spec.is(2, &NUMBERS) || spec.is(2, &[DataType::String])))
        };
        match signature.inputs.as_slice() {
            // A vector of known length is a row without a batch axis.
            [only] if only.is(2, &NUMBERS) || (only.is(1, &NUMBERS) && only.shape[0].is_some()) => {
                let columns = only.shape.last().copied().flatten();
                if let (Some(names), Some(columns)) = (&names, columns)
                    && names.len() != columns
                {
                    return Err(format!(
                        "feature_names has {} names, but the model takes {columns} features",
                        names.len()
                    ));
                }
                let twice = |names: &Vec<String>| {
                    let mut seen = HashSet::new();
                    names.iter().find(|name| !seen.insert(*name)).cloned()
                };
                if let Some(name) = names.as_ref().and_then(twice) {
                    return Err(format!("feature_names has `{name}` twice"));
                }
                let data_type = only.data_type().unwrap_or(DataType::F32);
                let names = names.map(|names| Names::new(names, extra));
                Ok(Self::Row { input: only.name.clone(), data_type, columns, names })
            }
            columns if !columns.is_empty() && columns.iter().all(column) => {
                let names = columns.iter().map(|spec| spec.name.clone()).collect();
                Ok(Self::Columns { specs: columns.to_vec(), names: Names::new(names, extra) })
            }
            inputs => Err(format!(
                "features are one input [N,F] of numbers, or several of [N,1]; this model has {}",
                Signature::list(inputs)
            )),
        }
    }

    fn names(&self) -> Option<&Names> {
        match self {
            Self::Row { names, .. } => names.as_ref(),
            Self::Columns { names, .. } => Some(names),
        }
    }

    /// What becomes of a column of this name.
    pub fn takes(&self, name: &str) -> Taken {
        match self.names() {
            Some(names) if names.places.contains_key(name) => Taken::Taken,
            Some(Names { extra: ExtraColumns::Ignore, .. }) => Taken::PassedOver,
            _ => Taken::Unknown,
        }
    }

    fn is_text(&self, column: usize) -> bool {
        match self {
            Self::Row { .. } => false,
            Self::Columns { specs, .. } => specs[column].data_type() == Some(DataType::String),
        }
    }

    /// Empty where the model leaves their number open.
    pub fn columns(&self) -> Vec<FeatureColumn> {
        match self {
            Self::Row { data_type, columns, names, .. } => {
                let named = names.iter().flat_map(|names| names.list.iter().cloned()).map(Some);
                let unnamed = columns.unwrap_or(0).saturating_sub(named.clone().count());
                let names = named.chain(std::iter::repeat_n(None, unnamed));
                names.map(|name| FeatureColumn { name, data_type: *data_type }).collect()
            }
            Self::Columns { specs, .. } => specs
                .iter()
                .map(|spec| FeatureColumn {
                    name: Some(spec.name.clone()),
                    data_type: spec.data_type().unwrap_or(DataType::F32),
                })
                .collect(),
        }
    }

    /// The rows as the model takes them, and which of them lack a value.
    ///
    /// # Errors
    /// Columns that are not the model's, and cells that their type cannot hold, by name.
    pub fn encode(&self, features: &Features) -> Result<Rows, Error> {
        match &features.cells {
            Cells::Rows { values, columns, rows } => {
                self.encode_rows(&features.field, values, *columns, *rows)
            }
            Cells::Columns { columns, rows, records } => {
                self.encode_named(&features.field, columns, *rows, *records)
            }
        }
    }

    fn encode_rows(
        &self,
        field: &str,
        values: &Numbers,
        width: usize,
        rows: usize,
    ) -> Result<Rows, Error> {
        let place = |row: usize, column: usize| match width {
            0 => field.to_owned(),
            _ => format!("{field}[{row}][{column}]"),
        };
        let columns = match self {
            Self::Row { columns, .. } => *columns,
            Self::Columns { specs, .. } => Some(specs.len()),
        };
        if let Self::Columns { specs, .. } = self
            && specs.iter().any(|spec| spec.data_type() == Some(DataType::String))
        {
            return Err(Error::invalid(
                field,
                "records or columns by name, since some hold text: {\"features\": [{\"NAME\": ..}]} \
                 or {\"features\": {\"NAME\": [..]}}",
                "rows of numbers",
            ));
        }
        if let Some(columns) = columns.filter(|columns| *columns != width) {
            let expected = self.expected_row(columns);
            return Err(Error::invalid(field, expected, format!("{width} numbers")));
        }
        let tensors = match self {
            Self::Row { input, data_type, .. } => {
                let at = |index: usize| (place(index / width, index % width), values.told(index));
                vec![(input.clone(), numbers_tensor(values, &[rows, width], *data_type, at)?)]
            }
            Self::Columns { specs, .. } => specs
                .iter()
                .zip(values.columns(width))
                .enumerate()
                .map(|(index, (spec, column))| {
                    let place = |row: usize| place(row, index);
                    let tensor = column_tensor(spec, &Column::Numbers(column), place)?;
                    Ok((spec.name.clone(), tensor))
                })
                .collect::<Result<_, Error>>()?,
        };
        let mut all = Rows::alike(Tensors(tensors));
        if values.have_missing() {
            let cells = values.values().chunks_exact(width.max(1));
            let first = |row: &[f64]| row.iter().position(|value| value.is_nan());
            let missing = cells.map(first).enumerate();
            all.aside = Missing::aside(missing.map(|(row, at)| at.map(|at| place(row, at))));
        }
        Ok(all)
    }

    fn expected_row(&self, columns: usize) -> String {
        match self.names() {
            Some(names) => format!("{columns} numbers a row ({})", names.list.join(", ")),
            None => format!("{columns} numbers a row"),
        }
    }

    fn encode_named(
        &self,
        field: &str,
        columns: &[(String, Column)],
        rows: usize,
        records: bool,
    ) -> Result<Rows, Error> {
        let Some(names) = self.names() else {
            return Err(Error::invalid(
                field,
                "rows of numbers, since no file of this model names its features (feature_names \
                 in model.toml would)",
                "named features",
            ));
        };
        let columns = names.in_order(field, columns)?;
        let place = |index: usize, row: usize| match (&names.list[index], records) {
            (name, true) => format!("{field}[{row}].{name}"),
            (name, false) => format!("{field}.{name}[{row}]"),
        };
        let tensors = match self {
            Self::Columns { specs, .. } => specs
                .iter()
                .zip(&columns)
                .enumerate()
                .map(|(index, (spec, column))| {
                    let tensor = column_tensor(spec, column, |row| place(index, row))?;
                    Ok((spec.name.clone(), tensor))
                })
                .collect::<Result<_, Error>>()?,
            Self::Row { input, data_type, .. } => {
                let numbers = columns.iter().enumerate().map(|(index, column)| {
                    convert::numbers(column, *data_type, |row| place(index, row))
                });
                let numbers: Vec<Cow<'_, Numbers>> = numbers.collect::<Result<_, Error>>()?;
                let numbers: Vec<&Numbers> = numbers.iter().map(AsRef::as_ref).collect();
                let width = numbers.len();
                let at = |index: usize| {
                    let (column, row) = (index % width, index / width);
                    let got = convert::told(columns[column], row);
                    (place(column, row), got)
                };
                let values = Numbers::of_columns(&numbers, rows);
                let tensor = numbers_tensor(&values, &[rows, width], *data_type, at)?;
                vec![(input.clone(), tensor)]
            }
        };
        let mut all = Rows::alike(Tensors(tensors));
        let mut missing: Vec<Option<usize>> = Vec::new();
        for (index, column) in columns.iter().enumerate() {
            for row in missing_rows(column, self.is_text(index)) {
                missing.resize(rows, None);
                missing[row].get_or_insert(index);
            }
        }
        if !missing.is_empty() {
            let named = missing.into_iter().enumerate();
            all.aside = Missing::aside(named.map(|(row, at)| at.map(|at| place(at, row))));
        }
        Ok(all)
    }
}
