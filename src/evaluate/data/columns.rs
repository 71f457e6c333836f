//! Which column holds what.

use std::path::Path;

use anyhow::{Context, bail};
use serde_json::Value;

use super::{Cell, Payload};
use crate::error::{excerpt, one_of};
use crate::tasks::{InputKind, Number};

const LABELS: [&str; 6] = ["label", "labels", "target", "class", "category", "y"];
const TEXTS: [&str; 6] = ["text", "sentence", "review", "content", "premise", "sentence1"];
const PAIRS: [&str; 3] = ["text_pair", "hypothesis", "sentence2"];
const IMAGES: [&str; 5] = ["image", "file", "path", "file_name", "filename"];
/// Of JSON lines: all features of a row as a list.
const LIST: &str = "features";

/// The columns that somebody named; the others go by their usual names.
#[derive(Debug, Clone, Default)]
pub struct ColumnOptions {
    /// Of texts, or of paths of images.
    pub input: Option<String>,
    /// The second text of a pair.
    pub pair: Option<String>,
    pub label: Option<String>,
}

/// What a model of features takes.
#[derive(Debug, Clone, PartialEq)]
pub enum FeatureShape {
    /// A row of numbers, whose names a file of the model may tell; `None` for a number of them that the
    /// model leaves open.
    Row { names: Option<Vec<String>>, count: Option<usize> },
    /// Columns by name, some of which hold text.
    Columns(Vec<(String, bool)>),
}

/// The places of label and input in a record.
pub struct Columns {
    header: Vec<String>,
    label: usize,
    input: InputColumns,
}

enum InputColumns {
    Image(usize),
    Text {
        text: usize,
        pair: Option<usize>,
    },
    /// In the order in which the model takes them, and whether a column holds text.
    Features(Vec<(usize, bool)>),
    List(usize),
}

impl Columns {
    /// Finds the columns, and says what it assumed.
    ///
    /// # Errors
    /// A column that is not there or cannot be told.
    pub fn choose(
        kind: InputKind,
        header: &[String],
        options: &ColumnOptions,
        shape: Option<&FeatureShape>,
    ) -> anyhow::Result<(Self, Vec<String>)> {
        let mut notes = Vec::new();
        let label = match &options.label {
            Some(name) => named(header, name)?,
            None => usual(header, &LABELS).with_context(|| {
                let columns = list(header);
                format!("no column is called {}: there is {columns}; --label-column NAME says which one holds the labels", LABELS.join(", "))
            })?,
        };
        let one = |usual_names: &[&str], option: &str| match &options.input {
            Some(name) => named(header, name),
            None => {
                let mut others = (0..header.len()).filter(|index| *index != label);
                let only = others.next().filter(|_| others.next().is_none());
                usual(header, usual_names).filter(|found| *found != label).or(only).with_context(|| {
                    let columns = list(header);
                    format!("no column is called {}: there is {columns}; {option} NAME says which one it is", usual_names.join(", "))
                })
            }
        };
        let input = match kind {
            InputKind::Image => InputColumns::Image(one(&IMAGES, "--input-column")?),
            InputKind::Text => {
                let text = one(&TEXTS, "--text-column")?;
                let pair = match &options.pair {
                    Some(name) => Some(named(header, name)?),
                    None => usual(header, &PAIRS).filter(|pair| *pair != text && *pair != label),
                };
                InputColumns::Text { text, pair }
            }
            InputKind::Features => features(header, label, shape, &mut notes)?,
            InputKind::Tensors => bail!("the model has no task, so nothing says how good it is"),
        };
        Ok((Self { header: header.to_vec(), label, input }, notes))
    }

    /// The label and the input of a record, which has as many cells as the header. Paths of images are
    /// relative to `folder`.
    ///
    /// # Errors
    /// A cell that is missing or of the wrong kind.
    pub fn read(&self, cells: Vec<Value>, folder: &Path) -> Result<(String, Payload), String> {
        let label = self.text(&cells, self.label)?;
        if label.trim().is_empty() {
            return Err(format!("column `{}` is empty", self.header[self.label]));
        }
        let payload = match &self.input {
            InputColumns::Image(index) => Payload::Image(folder.join(self.text(&cells, *index)?)),
            InputColumns::Text { text, pair } => Payload::Text {
                text: self.text(&cells, *text)?,
                pair: pair.map(|pair| self.text(&cells, pair)).transpose()?,
            },
            InputColumns::Features(columns) => {
                let cell = |(index, is_text): &(usize, bool)| match is_text {
                    // A missing text is an empty one.
                    true if cells[*index].is_null() => Ok(Cell::Text(String::new())),
                    true => self.text(&cells, *index).map(Cell::Text),
                    false => self.number(&cells[*index], *index).map(Cell::Number),
                };
                Payload::Row(columns.iter().map(cell).collect::<Result<_, _>>()?)
            }
            InputColumns::List(index) => match &cells[*index] {
                Value::Array(list) => {
                    let number = |cell| self.number(cell, *index).map(Cell::Number);
                    Payload::Row(list.iter().map(number).collect::<Result<_, _>>()?)
                }
                other => return Err(self.expected(*index, "a list of numbers", other)),
            },
        };
        Ok((label, payload))
    }

    fn text(&self, cells: &[Value], index: usize) -> Result<String, String> {
        match &cells[index] {
            Value::String(text) => Ok(text.clone()),
            Value::Bool(flag) => Ok(flag.to_string()),
            // Where a whole number became a fraction on the way, as it does beside missing ones.
            Value::Number(number) => Ok(match number.as_f64().filter(|n| n.fract() == 0.0) {
                Some(whole) => format!("{whole:.0}"),
                None => number.to_string(),
            }),
            Value::Null => Err(format!("column `{}` is empty", self.header[index])),
            other => Err(self.expected(index, "a text or a number", other)),
        }
    }

    /// NaN of a missing one, which is the model's business.
    fn number(&self, cell: &Value, index: usize) -> Result<Number, String> {
        let number = match cell {
            Value::Null => Some(Number::Fraction(f64::NAN)),
            Value::Number(number) => Some(number.into()),
            Value::Bool(flag) => Some(Number::Signed((*flag).into())),
            Value::String(text) => Number::of_cell(text),
            _ => None,
        };
        let finite = |number: &Number| !matches!(number, Number::Fraction(v) if v.is_infinite());
        number.filter(finite).ok_or_else(|| self.expected(index, "a number", cell))
    }

    fn expected(&self, index: usize, expected: &str, got: &Value) -> String {
        let got = match got {
            Value::String(text) if text.trim().is_empty() => "nothing".to_owned(),
            Value::Null => "nothing".to_owned(),
            Value::String(text) => format!("`{}`", excerpt(text)),
            other => format!("`{}`", excerpt(&other.to_string())),
        };
        format!("column `{}`: expected {expected}, got {got}", self.header[index])
    }
}

/// By name where the model's names are known and in the header, else all other columns in their order.
fn features(
    header: &[String],
    label: usize,
    shape: Option<&FeatureShape>,
    notes: &mut Vec<String>,
) -> anyhow::Result<InputColumns> {
    let names: Vec<(&str, bool)> = match shape {
        Some(FeatureShape::Columns(columns)) => {
            columns.iter().map(|(name, is_text)| (name.as_str(), *is_text)).collect()
        }
        Some(FeatureShape::Row { names: Some(names), .. }) => {
            names.iter().map(|name| (name.as_str(), false)).collect()
        }
        _ => Vec::new(),
    };
    let others: Vec<usize> = (0..header.len()).filter(|index| *index != label).collect();
    let find = |name: &str| others.iter().copied().find(|index| header[*index] == name);
    let found: Vec<Option<usize>> = names.iter().map(|(name, _)| find(name)).collect();
    let missing: Vec<&str> = names
        .iter()
        .zip(&found)
        .filter(|(_, found)| found.is_none())
        .map(|((name, _), _)| *name)
        .collect();
    if !names.is_empty() && missing.is_empty() {
        let columns: Vec<(usize, bool)> = found
            .iter()
            .flatten()
            .copied()
            .zip(names.iter().map(|(_, is_text)| *is_text))
            .collect();
        let unused = others.iter().filter(|other| !found.contains(&Some(**other)));
        let unused: Vec<String> = unused.map(|index| format!("`{}`", header[*index])).collect();
        if !unused.is_empty() {
            notes.push(format!("not features of the model, so not used: {}", unused.join(", ")));
        }
        return Ok(InputColumns::Features(columns));
    }
    if let Some(list) = find(LIST)
        && others.len() == 1
    {
        return Ok(InputColumns::List(list));
    }
    if !names.is_empty() && missing.len() < names.len() {
        bail!("no column is called {}: there is {}", missing.join(", "), list(header));
    }
    let count = match shape {
        Some(FeatureShape::Row { count, .. }) => *count,
        _ => Some(names.len()),
    };
    if let Some(count) = count.filter(|count| *count != others.len()) {
        let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        let named =
            if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
        bail!(
            "the model takes {count} features{named}, and beside the label there are {} columns: {}",
            others.len(),
            list(header)
        );
    }
    let columns: Vec<String> = others.iter().map(|index| format!("`{}`", header[*index])).collect();
    notes.push(format!(
        "the features are taken in the order of the columns: {}",
        columns.join(", ")
    ));
    let is_text = |place: usize| names.get(place).is_some_and(|(_, is_text)| *is_text);
    let columns = others.iter().enumerate().map(|(place, index)| (*index, is_text(place)));
    Ok(InputColumns::Features(columns.collect()))
}

fn named(header: &[String], name: &str) -> anyhow::Result<usize> {
    header.iter().position(|column| column == name).with_context(|| {
        format!("no column `{name}`: expected {}", one_of(name, header.iter().map(String::as_str)))
    })
}

fn usual(header: &[String], names: &[&str]) -> Option<usize> {
    let find = |name: &&str| header.iter().position(|column| column.eq_ignore_ascii_case(name));
    names.iter().find_map(find)
}

fn list(header: &[String]) -> String {
    let names: Vec<String> = header.iter().map(|name| format!("`{}`", excerpt(name))).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn choose(
        kind: InputKind,
        header: &[&str],
        shape: Option<&FeatureShape>,
    ) -> anyhow::Result<(Columns, Vec<String>)> {
        let header: Vec<String> = header.iter().map(ToString::to_string).collect();
        Columns::choose(kind, &header, &ColumnOptions::default(), shape)
    }

    fn row(columns: &Columns, cells: Value) -> Result<(String, Payload), String> {
        let Value::Array(cells) = cells else { unreachable!() };
        columns.read(cells, Path::new("/data"))
    }

    fn numbers(payload: &Payload) -> Vec<f64> {
        let Payload::Row(cells) = payload else { panic!("{payload:?}") };
        let number = |cell: &Cell| match cell {
            Cell::Number(number) => *number,
            Cell::Text(text) => panic!("{text}"),
        };
        cells.iter().map(number).collect::<crate::tasks::Numbers>().values().to_vec()
    }

    #[test]
    fn texts_and_images_go_by_their_usual_names_or_are_what_is_left() {
        let (columns, _) = choose(InputKind::Text, &["id", "Label", "Review"], None).unwrap();
        let (label, payload) = row(&columns, json!(["7", 2.0, "good"])).unwrap();
        assert_eq!(
            (label.as_str(), payload),
            ("2", Payload::Text { text: "good".into(), pair: None })
        );
        let (columns, _) = choose(InputKind::Image, &["thing", "class"], None).unwrap();
        let (_, payload) = row(&columns, json!(["a/b.png", "x"])).unwrap();
        assert_eq!(payload, Payload::Image("/data/a/b.png".into()));
        let error = choose(InputKind::Text, &["a", "b", "label"], None).err().unwrap().to_string();
        assert!(error.contains("`a`, `b`, `label`") && error.contains("--text-column"), "{error}");
        let error = choose(InputKind::Text, &["text", "stars"], None).err().unwrap().to_string();
        assert!(error.contains("--label-column"), "{error}");
    }

    #[test]
    fn a_pair_of_texts_has_two_columns() {
        let header = ["premise", "hypothesis", "label"];
        let (columns, _) = choose(InputKind::Text, &header, None).unwrap();
        let (_, payload) = row(&columns, json!(["a", "b", "yes"])).unwrap();
        assert_eq!(payload, Payload::Text { text: "a".into(), pair: Some("b".into()) });
    }

    #[test]
    fn features_go_by_the_models_names_and_else_by_their_order() {
        let names = |names: &[&str]| FeatureShape::Row {
            names: Some(names.iter().map(ToString::to_string).collect()),
            count: Some(names.len()),
        };
        let shape = names(&["b", "a"]);
        let choose = |header: &[&str], shape: &FeatureShape| {
            choose(InputKind::Features, header, Some(shape))
        };
        let (columns, notes) = choose(&["a", "id", "b", "y"], &shape).unwrap();
        let (_, payload) = row(&columns, json!(["1", "x", "2", "c"])).unwrap();
        assert_eq!(numbers(&payload), [2.0, 1.0]);
        assert!(notes[0].contains("`id`"), "{notes:?}");

        let (columns, notes) = choose(&["label", "first", "second"], &shape).unwrap();
        let (_, payload) = row(&columns, json!(["c", 1.5, true])).unwrap();
        assert_eq!(numbers(&payload), [1.5, 1.0]);
        assert!(notes[0].contains("in the order"), "{notes:?}");

        let (columns, _) = choose(&["features", "label"], &shape).unwrap();
        assert_eq!(numbers(&row(&columns, json!([[3, 4], "c"])).unwrap().1), [3.0, 4.0]);
        assert!(row(&columns, json!(["3", "c"])).unwrap_err().contains("a list of numbers"));

        let error = choose(&["a", "c", "label"], &shape).err().unwrap().to_string();
        assert!(error.contains("no column is called b"), "{error}");
        let error = choose(&["c", "label"], &shape).err().unwrap().to_string();
        assert!(error.contains("takes 2 features (b, a)"), "{error}");
        let unnamed = FeatureShape::Row { names: None, count: Some(3) };
        let error = choose(&["a", "b", "label"], &unnamed).err().unwrap().to_string();
        assert!(error.contains("takes 3 features, and"), "{error}");
    }

    #[test]
    fn missing_values_are_nan_or_an_empty_text() {
        let shape = FeatureShape::Columns(vec![("age".into(), false), ("sex".into(), true)]);
        let (columns, _) =
            choose(InputKind::Features, &["age", "sex", "label"], Some(&shape)).unwrap();
        for cells in [json!(["", "", "x"]), json!(["NaN", "", "x"]), json!([null, null, "x"])] {
            let (_, payload) = row(&columns, cells).unwrap();
            let Payload::Row(cells) = payload else { panic!("{payload:?}") };
            assert!(matches!(cells[0], Cell::Number(Number::Fraction(age)) if age.is_nan()));
            assert_eq!(cells[1], Cell::Text(String::new()));
        }
    }

    #[test]
    fn a_column_of_text_keeps_what_looks_like_a_number() {
        let shape = FeatureShape::Columns(vec![("age".into(), false), ("zip".into(), true)]);
        let (columns, _) =
            choose(InputKind::Features, &["zip", "age", "label"], Some(&shape)).unwrap();
        let (_, payload) = row(&columns, json!(["01234", "39", "x"])).unwrap();
        let age = Cell::Number(Number::Signed(39));
        assert_eq!(payload, Payload::Row(vec![age, Cell::Text("01234".into())]));
        let error = row(&columns, json!(["01234", "old", "x"])).unwrap_err();
        assert_eq!(error, "column `age`: expected a number, got `old`");
    }
}
