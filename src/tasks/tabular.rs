//! Feature rows to classes or values.
//!
//! `layout.rs`: how they lie in the model's inputs. `convert.rs`: cells to element types.
//! `missing.rs`: rows that lack a value.

mod convert;
mod layout;
mod missing;

use std::sync::Arc;
use std::time::Duration;

use super::head::Head;
use super::hugging_face::HfConfig;
use super::note::SHAPES;
use super::{
    Cells, Column, FeatureColumn, Features, Input, InputKind, Kind, Material, Note, Parameters,
    Piece, Prediction, Stages, Taken, Task, Unserved, varied,
};
use crate::config::ExtraColumns;
use crate::error::{Error, ErrorKind};
use crate::rows::Rows;
use crate::signature::{BatchAxis, Signature, TensorSpec};
use crate::tensor::{DataType, Tensors};
use layout::Layout;
use missing::Missing;

/// Numbers that are converted in a few microseconds.
const FEW_CELLS: usize = 256;
/// What a cell takes of a thread, about.
const A_CELL: Duration = Duration::from_nanos(20);

struct Tabular {
    layout: Layout,
    head: Head,
    batch_axis: BatchAxis,
}

/// Whether the inputs look like features.
pub fn fits(signature: &Signature) -> bool {
    Layout::build(signature, None, ExtraColumns::Refuse).is_ok()
}

/// # Errors
/// What is missing for a model of features.
pub fn build(material: Material<'_>, hf: &HfConfig) -> Result<Box<dyn Task>, Unserved> {
    let Material { signature, config, .. } = material;
    let layout = Layout::build(signature, config.feature_names.clone(), config.extra_columns)?;
    let batch_axis = match signature.inputs.as_slice() {
        [only] if only.shape.len() == 1 => BatchAxis::None,
        [first, ..] => BatchAxis::of(first),
        [] => BatchAxis::Dynamic,
    };
    let must_classify = config.task.as_deref() == Some("tabular-classification");
    let head = Head::build(material, hf, must_classify)?;
    Ok(Box::new(Tabular { layout, head, batch_axis }))
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

    fn takes(&self, name: &str) -> Taken {
        self.layout.takes(name)
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
            Input::Features(features) => self.layout.encode(features),
            _ => Err(Error::internal("a tabular task was given another kind of input")),
        }
    }

    fn pieces(&self, input: &Input) -> Vec<Piece> {
        let Input::Features(Features { cells, .. }) = input else { return Vec::new() };
        let estimate = A_CELL * u32::try_from(cells.len()).unwrap_or(u32::MAX);
        vec![Piece { items: 0..input.len(), kind: Kind::Other, estimate }]
    }

    fn decode(&self, outputs: &Tensors, parameters: &Parameters) -> Result<Vec<Prediction>, Error> {
        let answers = self.head.decode(outputs, parameters);
        let Some(missing) = Missing::of(outputs) else { return answers };
        answers.map_err(|error| {
            // Which row it is about: a row that lacks nothing fails as it always did.
            let fails = |row: &usize| {
                self.head.decode(&outputs.slice_rows(*row, row + 1), parameters).is_err()
            };
            let first =
                (0..outputs.rows()).find(fails).filter(|_| error.kind == ErrorKind::Internal);
            first.and_then(|row| missing.blame(row)).unwrap_or(error)
        })
    }

    fn sample(&self, count: usize) -> Input {
        let cells = match &self.layout {
            Layout::Row { columns, .. } => {
                let columns = columns.unwrap_or(1);
                Cells::Rows { values: vec![1.0; columns * count].into(), columns, rows: count }
            }
            Layout::Columns { specs, .. } => {
                let column = |spec: &TensorSpec| match spec.data_type() {
                    Some(DataType::String) => Column::Texts(vec![Some(String::new()); count]),
                    _ => Column::Numbers(vec![1.0; count].into()),
                };
                let columns = specs.iter().map(|spec| (spec.name.clone(), column(spec))).collect();
                Cells::Columns { columns, rows: count, records: false }
            }
        };
        Input::Features(Features { field: "features".into(), cells })
    }

    fn varied(&self, count: usize) -> Input {
        let cells = match &self.layout {
            Layout::Row { columns, data_type, .. } => {
                let columns = columns.unwrap_or(1);
                let cell = |cell: usize| varied::number(*data_type, cell / columns, cell % columns);
                let values: Vec<f64> = (0..count * columns).map(cell).collect();
                Cells::Rows { values: values.into(), columns, rows: count }
            }
            Layout::Columns { specs, .. } => {
                let column = |(index, spec): (usize, &TensorSpec)| {
                    let column = match spec.data_type() {
                        // A made-up category may be refused.
                        Some(DataType::String) => Column::Texts(vec![Some(String::new()); count]),
                        data_type => {
                            let data_type = data_type.unwrap_or(DataType::F32);
                            let cell = |row| varied::number(data_type, row, index);
                            Column::Numbers((0..count).map(cell).collect::<Vec<f64>>().into())
                        }
                    };
                    (spec.name.clone(), column)
                };
                let columns = specs.iter().enumerate().map(column).collect();
                Cells::Columns { columns, rows: count, records: false }
            }
        };
        Input::Features(Features { field: "features".into(), cells })
    }

    fn calibrate(&mut self, runs: &[Tensors]) -> Result<(), Unserved> {
        self.head.calibrate(runs)
    }

    fn notes(&self) -> Vec<Note> {
        let mut notes = vec![match &self.layout {
            Layout::Row { names: Some(names), .. } => {
                Note::new("columns", names.list.join(", "), "model.toml (feature_names)")
            }
            Layout::Row { columns: Some(columns), .. } => {
                Note::new("columns", format!("{columns}, without names"), SHAPES)
            }
            Layout::Row { .. } => Note::new("columns", "any number, without names", SHAPES),
            Layout::Columns { names, .. } => Note::new("columns", names.list.join(", "), SHAPES),
        }];
        notes.extend(self.head.notes());
        notes
    }

    fn assumptions(&self) -> Vec<String> {
        self.head.assumptions().to_vec()
    }
}
