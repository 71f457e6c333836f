//! Feature rows to classes or values.

use std::sync::Arc;

use ndarray::{ArrayD, IxDyn};

use super::head::Head;
use super::hugging_face::HfConfig;
use super::note::SHAPES;
use super::{
    Cells, Column, FeatureColumn, Features, Input, InputKind, Material, Note, Parameters,
    Prediction, Stages, Task, varied,
};
use crate::error::{Error, excerpt, nearest, one_of};
use crate::rows::Rows;
use crate::signature::{BatchAxis, Signature, TensorSpec};
use crate::tensor::{DataType, Tensor, Tensors};

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

/// Numbers that are converted in a few microseconds.
const FEW_CELLS: usize = 256;

struct Tabular {
    layout: Layout,
    head: Head,
    batch_axis: BatchAxis,
}

/// How features lie in the model's inputs.
enum Layout {
    /// One input `[N,F]` (or `[F]`, without a batch axis) holds the whole row.
    Row {
        input: String,
        data_type: DataType,
        /// `None` where the model leaves the number of features open.
        columns: Option<usize>,
        /// Names of the columns, if a file gives them.
        names: Option<Vec<String>>,
    },
    /// Each input, `[N,1]` or `[N]`, is one named column.
    Columns(Vec<TensorSpec>),
}

/// Whether the inputs look like features.
pub fn fits(signature: &Signature) -> bool {
    Layout::build(signature, None).is_ok()
}

/// # Errors
/// What is missing for a model of features.
pub fn build(material: Material<'_>, hf: &HfConfig) -> Result<Box<dyn Task>, String> {
    let Material { signature, config, .. } = material;
    let layout = Layout::build(signature, config.feature_names.clone())?;
    let batch_axis = match signature.inputs.as_slice() {
        [only] if only.shape.len() == 1 => BatchAxis::None,
        [first, ..] => BatchAxis::of(first),
        [] => BatchAxis::Dynamic,
    };
    let must_classify = config.task.as_deref() == Some("tabular-classification");
    let head = Head::build(material, hf, must_classify)?;
    Ok(Box::new(Tabular { layout, head, batch_axis }))
}

impl Layout {
    fn build(signature: &Signature, names: Option<Vec<String>>) -> Result<Self, String> {
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
                let data_type = only.data_type().unwrap_or(DataType::F32);
                Ok(Self::Row { input: only.name.clone(), data_type, columns, names })
            }
            columns if !columns.is_empty() && columns.iter().all(column) => {
                Ok(Self::Columns(columns.to_vec()))
            }
            inputs => Err(format!(
                "features are one input [N,F] of numbers, or several of [N,1]; this model has {}",
                Signature::list(inputs)
            )),
        }
    }

    fn names(&self) -> Option<Vec<&str>> {
        match self {
            Self::Row { names, .. } => {
                names.as_ref().map(|names| names.iter().map(String::as_str).collect())
            }
            Self::Columns(specs) => Some(specs.iter().map(|spec| spec.name.as_str()).collect()),
        }
    }

    /// Empty where the model leaves their number open.
    fn columns(&self) -> Vec<FeatureColumn> {
        match self {
            Self::Row { data_type, columns, names, .. } => {
                let named = names.iter().flatten().cloned().map(Some);
                let unnamed = columns.unwrap_or(0).saturating_sub(named.clone().count());
                let names = named.chain(std::iter::repeat_n(None, unnamed));
                names.map(|name| FeatureColumn { name, data_type: *data_type }).collect()
            }
            Self::Columns(specs) => specs
                .iter()
                .map(|spec| FeatureColumn {
                    name: Some(spec.name.clone()),
                    data_type: spec.data_type().unwrap_or(DataType::F32),
                })
                .collect(),
        }
    }

    fn encode(&self, Features { field, cells }: &Features) -> Result<Tensors, Error> {
        match (self, cells) {
            (Self::Row { input, data_type, columns, names }, Cells::Rows { .. }) => {
                let Cells::Rows { values, columns: got, rows } = cells else { unreachable!() };
                if columns.is_some_and(|wanted| wanted != *got) {
                    let expected = self.expected_row(columns.unwrap_or(0));
                    return Err(Error::invalid(field, expected, format!("{got} numbers")));
                }
                let place = |index: usize| match names {
                    _ if *got == 0 => field.clone(),
                    _ => format!("{field}[{}][{}]", index / got, index % got),
                };
                let tensor = numbers(values, &[*rows, *got], *data_type, place)?;
                Ok(Tensors(vec![(input.clone(), tensor)]))
            }
            (Self::Columns(specs), Cells::Rows { values, columns: got, rows }) => {
                if specs.iter().any(|spec| spec.data_type() == Some(DataType::String)) {
                    return Err(Error::invalid(
                        field,
                        "columns by name, since some hold text: {\"features\": {\"NAME\": [..]}}",
                        "rows of numbers",
                    ));
                }
                if specs.len() != *got {
                    let expected = self.expected_row(specs.len());
                    return Err(Error::invalid(field, expected, format!("{got} numbers")));
                }
                let column = |(index, spec): (usize, &TensorSpec)| {
                    let column: Vec<f64> =
                        values.iter().skip(index).step_by(*got).copied().collect();
                    debug_assert_eq!(column.len(), *rows);
                    let place = |row: usize| format!("{field}[{row}][{index}]");
                    Ok((spec.name.clone(), column_tensor(spec, &Column::Numbers(column), place)?))
                };
                specs.iter().enumerate().map(column).collect::<Result<_, _>>().map(Tensors)
            }
            (_, Cells::Columns { columns, rows }) => self.encode_named(field, columns, *rows),
        }
    }

    fn expected_row(&self, columns: usize) -> String {
        match self.names() {
            Some(names) => format!("{columns} numbers a row ({})", names.join(", ")),
            None => format!("{columns} numbers a row"),
        }
    }

    fn encode_named(
        &self,
        field: &str,
        columns: &[(String, Column)],
        rows: usize,
    ) -> Result<Tensors, Error> {
        let Some(names) = self.names() else {
            return Err(Error::invalid(
                field,
                "rows of numbers, since no file of this model names its features",
                "named features",
            ));
        };
        for (name, _) in columns {
            if !names.contains(&name.as_str()) {
                let known = one_of(name, names.iter().copied());
                let mut error =
                    Error::invalid(field, known, format!("the name `{}`", excerpt(name)));
                if let Some(near) = nearest(name, names.iter().copied()) {
                    error.expected = Some(format!("`{near}`"));
                }
                return Err(error);
            }
        }
        let find = |name: &str| {
            columns.iter().find(|(given, _)| given == name).map(|(_, column)| column).ok_or_else(
                || Error::invalid(field, format!("a column `{name}`"), "no column of that name"),
            )
        };
        let place = |name: &str, row: usize| format!("{field}.{name}[{row}]");
        match self {
            Self::Columns(specs) => specs
                .iter()
                .map(|spec| {
                    let column = find(&spec.name)?;
                    let tensor = column_tensor(spec, column, |row| place(&spec.name, row))?;
                    Ok((spec.name.clone(), tensor))
                })
                .collect::<Result<_, _>>()
                .map(Tensors),
            Self::Row { input, data_type, .. } => {
                let mut values = vec![0.0; rows * names.len()];
                for (index, name) in names.iter().enumerate() {
                    let Column::Numbers(column) = find(name)? else {
                        return Err(Error::invalid(place(name, 0), "a number", "text"));
                    };
                    for (row, value) in column.iter().enumerate() {
                        values[row * names.len() + index] = *value;
                    }
                }
                let at = |index: usize| place(names[index % names.len()], index / names.len());
                let tensor = numbers(&values, &[rows, names.len()], *data_type, at)?;
                Ok(Tensors(vec![(input.clone(), tensor)]))
            }
        }
    }
}

/// A column as the tensor that its input takes. `place` gives the field of a row.
fn column_tensor(
    spec: &TensorSpec,
    column: &Column,
    place: impl Fn(usize) -> String,
) -> Result<Tensor, Error> {
    let wants_text = spec.data_type() == Some(DataType::String);
    match column {
        Column::Numbers(values) if !wants_text => {
            let shape = column_shape(spec, values.len());
            numbers(values, &shape, spec.data_type().unwrap_or(DataType::F32), place)
        }
        Column::Strings(values) if wants_text => {
            if let Some(row) = values.iter().position(|text| text.contains('\0')) {
                return Err(Error::invalid(place(row), "text without NUL", "a NUL character"));
            }
            let shape = IxDyn(&column_shape(spec, values.len()));
            let array = ArrayD::from_shape_vec(shape, values.clone()).map_err(Error::internal)?;
            Ok(Tensor::String(array))
        }
        Column::Numbers(_) => Err(Error::invalid(place(0), "text", "a number")),
        Column::Strings(values) => {
            let got = values.first().map_or_else(String::new, |text| excerpt(text));
            Err(Error::invalid(place(0), "a number", format!("the text \"{got}\"")))
        }
    }
}

fn column_shape(spec: &TensorSpec, rows: usize) -> Vec<usize> {
    if spec.shape.len() == 1 { vec![rows] } else { vec![rows, 1] }
}

/// `values` in the model's element type; one that the type cannot hold is the client's error.
fn numbers(
    values: &[f64],
    shape: &[usize],
    data_type: DataType,
    place: impl Fn(usize) -> String,
) -> Result<Tensor, Error> {
    let bad = |index: usize, expected: &str| {
        Error::invalid(place(index), expected, format!("{:?}", values[index]))
    };
    macro_rules! integers {
        ($($variant:ident: $element:ty),+) => {
            match data_type {
                $(DataType::$variant => {
                    let mut out = Vec::with_capacity(values.len());
                    for (index, value) in values.iter().enumerate() {
                        let (whole, back) =
                            (*value as $element, (*value as $element) as f64);
                        if back != *value {
                            let name = data_type.name();
                            return Err(bad(index, &format!("a whole number ({name})")));
                        }
                        out.push(whole);
                    }
                    return into_tensor(out, shape);
                })+
                _ => {}
            }
        };
    }
    integers!(I8: i8, I16: i16, I32: i32, I64: i64, U8: u8, U16: u16, U32: u32, U64: u64);
    match data_type {
        DataType::Bool => match values.iter().position(|v| *v != 0.0 && *v != 1.0) {
            Some(index) => Err(bad(index, "0 or 1")),
            None => into_tensor(values.iter().map(|v| *v != 0.0).collect(), shape),
        },
        DataType::F64 => match values.iter().position(|v| !v.is_finite()) {
            Some(index) => Err(bad(index, "a finite number")),
            None => into_tensor(values.to_vec(), shape),
        },
        DataType::F16 => {
            let out: Vec<half::f16> = values.iter().map(|v| half::f16::from_f64(*v)).collect();
            match out.iter().position(|v| !v.is_finite()) {
                Some(index) => Err(bad(index, "a number within the range of FP16")),
                None => into_tensor(out, shape),
            }
        }
        _ => {
            let out: Vec<f32> = values.iter().map(|v| *v as f32).collect();
            match out.iter().position(|v| !v.is_finite()) {
                Some(index) => Err(bad(index, "a finite number (FP32)")),
                None => into_tensor(out, shape),
            }
        }
    }
}

fn into_tensor<T>(values: Vec<T>, shape: &[usize]) -> Result<Tensor, Error>
where
    Tensor: From<ArrayD<T>>,
{
    ArrayD::from_shape_vec(IxDyn(shape), values).map(Into::into).map_err(Error::internal)
}

impl Task for Tabular {
    fn name(&self) -> &'static str {
        if self.head.classifies() { "tabular-classification" } else { "tabular-regression" }
    }

    fn input_kind(&self) -> InputKind {
        InputKind::Features
    }

    fn outputs(&self) -> Vec<String> {
        self.head.outputs()
    }

    fn labels(&self) -> &[Arc<str>] {
        self.head.labels()
    }

    fn columns(&self) -> Vec<FeatureColumn> {
        self.layout.columns()
    }

    fn is_multi_label(&self) -> bool {
        self.head.is_multi_label()
    }

    fn batch_axis(&self) -> BatchAxis {
        self.batch_axis
    }

    fn is_small(&self, input: &Input) -> bool {
        let Input::Features(Features { cells, .. }) = input else { return false };
        cells.len() <= FEW_CELLS
    }

    fn encode(&self, input: &Input, _: &Parameters, _: &Stages) -> Result<Rows, Error> {
        match input {
            Input::Features(features) => self.layout.encode(features).map(Rows::alike),
            _ => Err(Error::internal("a tabular task was given another kind of input")),
        }
    }

    fn decode(&self, outputs: &Tensors, parameters: &Parameters) -> Result<Vec<Prediction>, Error> {
        self.head.decode(outputs, parameters)
    }

    fn sample(&self, count: usize) -> Input {
        let cells = match &self.layout {
            Layout::Row { columns, .. } => {
                let columns = columns.unwrap_or(1);
                Cells::Rows { values: vec![1.0; columns * count], columns, rows: count }
            }
            Layout::Columns(specs) => {
                let column = |spec: &TensorSpec| match spec.data_type() {
                    Some(DataType::String) => Column::Strings(vec![String::new(); count]),
                    _ => Column::Numbers(vec![1.0; count]),
                };
                let columns = specs.iter().map(|spec| (spec.name.clone(), column(spec))).collect();
                Cells::Columns { columns, rows: count }
            }
        };
        Input::Features(Features { field: "features".into(), cells })
    }

    fn varied(&self, count: usize) -> Input {
        let cells = match &self.layout {
            Layout::Row { columns, data_type, .. } => {
                let columns = columns.unwrap_or(1);
                let cell = |cell: usize| varied::number(*data_type, cell / columns, cell % columns);
                let values = (0..count * columns).map(cell).collect();
                Cells::Rows { values, columns, rows: count }
            }
            Layout::Columns(specs) => {
                let column = |(index, spec): (usize, &TensorSpec)| {
                    let column = match spec.data_type() {
                        // A made-up category may be refused.
                        Some(DataType::String) => Column::Strings(vec![String::new(); count]),
                        data_type => {
                            let data_type = data_type.unwrap_or(DataType::F32);
                            let cell = |row| varied::number(data_type, row, index);
                            Column::Numbers((0..count).map(cell).collect())
                        }
                    };
                    (spec.name.clone(), column)
                };
                let columns = specs.iter().enumerate().map(column).collect();
                Cells::Columns { columns, rows: count }
            }
        };
        Input::Features(Features { field: "features".into(), cells })
    }

    fn calibrate(&mut self, runs: &[Tensors]) -> Result<(), String> {
        self.head.calibrate(runs)
    }

    fn notes(&self) -> Vec<Note> {
        let mut notes = vec![match &self.layout {
            Layout::Row { names: Some(names), .. } => {
                Note::new("columns", names.join(", "), "model.toml (feature_names)")
            }
            Layout::Row { columns: Some(columns), .. } => {
                Note::new("columns", format!("{columns}, without names"), SHAPES)
            }
            Layout::Row { .. } => Note::new("columns", "any number, without names", SHAPES),
            Layout::Columns(specs) => {
                let names: Vec<_> = specs.iter().map(|spec| spec.name.as_str()).collect();
                Note::new("columns", names.join(", "), SHAPES)
            }
        }];
        notes.extend(self.head.notes());
        notes
    }

    fn assumptions(&self) -> Vec<String> {
        self.head.assumptions().to_vec()
    }
}
