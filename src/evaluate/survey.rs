//! Goes through the data before any model is asked: how many items there are, and which cannot be used.

use std::collections::HashMap;

use indexmap::IndexMap;

use super::data::{Dataset, Item, Problem};
use super::labels::Labels;
use crate::error::excerpt;

/// Problems and labels that are told one by one.
const TOLD: usize = 20;

/// What the labels are.
#[derive(Debug, Clone)]
pub enum Target {
    Classes(Box<Labels>),
    Values,
}

/// An item's label as the metrics take it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Truth {
    Class(usize),
    Value(f64),
}

impl Target {
    /// # Errors
    /// No class of the model, or no finite number.
    pub fn truth(&self, label: &str) -> Result<Truth, String> {
        match self {
            Self::Classes(labels) => labels.find(label).map(Truth::Class),
            Self::Values => match label.trim().parse::<f64>() {
                Ok(value) if value.is_finite() => Ok(Truth::Value(value)),
                _ => Err("expected a number".to_owned()),
            },
        }
    }
}

/// What the data holds.
#[derive(Debug, Default)]
pub struct Survey {
    /// Items that can be asked.
    pub items: u64,
    problems: Vec<Problem>,
    problem_count: u64,
    unknown: IndexMap<String, Unknown>,
    /// Items whose label is none, also of labels that are not in `unknown`.
    unknown_count: u64,
}

#[derive(Debug)]
struct Unknown {
    items: u64,
    first: String,
    reason: String,
}

impl Survey {
    /// # Errors
    /// The file cannot be opened.
    pub fn of(data: &Dataset, target: &Target) -> anyhow::Result<Self> {
        let mut survey = Self::default();
        let mut known: HashMap<String, bool> = HashMap::new();
        for item in data.items()? {
            match item {
                Ok(item) => survey.add(item, target, &mut known),
                Err(problem) => {
                    survey.problem_count += 1;
                    if survey.problems.len() < TOLD {
                        survey.problems.push(problem);
                    }
                }
            }
        }
        Ok(survey)
    }

    fn add(&mut self, item: Item, target: &Target, known: &mut HashMap<String, bool>) {
        const REMEMBERED: usize = 100_000;
        let Item { label, place, .. } = item;
        if known.get(&label) == Some(&true) {
            self.items += 1;
            return;
        }
        match target.truth(&label) {
            Ok(_) => {
                self.items += 1;
                if known.len() < REMEMBERED && matches!(target, Target::Classes(_)) {
                    known.insert(label, true);
                }
            }
            Err(reason) => {
                self.unknown_count += 1;
                if let Some(unknown) = self.unknown.get_mut(&label) {
                    unknown.items += 1;
                } else if self.unknown.len() < TOLD {
                    self.unknown.insert(label, Unknown { items: 1, first: place, reason });
                }
            }
        }
    }

    /// Items that cannot be asked.
    #[must_use]
    pub fn unusable(&self) -> u64 {
        self.problem_count + self.unknown_count
    }

    /// What is wrong, line by line; `None` if nothing is.
    #[must_use]
    pub fn complaint(&self, target: &Target) -> Option<String> {
        if self.unusable() == 0 {
            return None;
        }
        let mut text = String::new();
        if self.problem_count > 0 {
            let (is, are) =
                (self.problem_count, if self.problem_count == 1 { "is" } else { "are" });
            text += &format!("{is} of the data's items {are} unusable:\n");
            for Problem { place, reason } in &self.problems {
                text += &format!("  {place}: {reason}\n");
            }
            text += &more(self.problem_count - self.problems.len() as u64);
        }
        if self.unknown_count > 0 {
            let what = match target {
                Target::Classes(_) => "have a label that is none of the model's classes",
                Target::Values => "have a label that is no number",
            };
            text += &format!("{} items {what}:\n", self.unknown_count);
            let mut told = 0;
            for (label, Unknown { items, first, reason }) in &self.unknown {
                told += items;
                let label = excerpt(label);
                text += &format!("  `{label}` ({items}, first at {first}): {reason}\n");
            }
            text += &more(self.unknown_count - told);
        }
        if let Target::Classes(labels) = target
            && self.unknown_count > 0
        {
            text += &format!("The classes are {}, by name or by number from 0 on. ", labels.list());
            text += "--map LABEL=CLASS or --labels FILE says what another label means";
        } else {
            text.truncate(text.trim_end().len());
        }
        Some(text)
    }
}

fn more(count: u64) -> String {
    if count == 0 { String::new() } else { format!("  and {count} more\n") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::data::ColumnOptions;
    use crate::tasks::InputKind;

    #[test]
    fn labels_that_match_no_class_are_told_once_with_how_many_and_where() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("texts.tsv");
        let text = "text\tlabel\na\tpositiv\nb\t1\nc\tpositiv\nd\nf\t9\n";
        std::fs::write(&path, text).unwrap();
        let options = ColumnOptions::default();
        let data = Dataset::open(&path, InputKind::Text, &options, None).unwrap();
        let target =
            Target::Classes(Box::new(Labels::new(vec!["negative".into(), "positive".into()])));
        let survey = Survey::of(&data, &target).unwrap();
        assert_eq!((survey.items, survey.unusable()), (1, 4));
        let said = survey.complaint(&target).unwrap();
        for words in [
            "texts.tsv:5: 1 cells, but the first line names 2",
            "`positiv` (2, first at ",
            "texts.tsv:2): no class; did you mean `positive`?",
            "`9` (1, first at ",
            "there are 2 classes, numbered from 0 on",
            "`negative`, `positive`",
            "--map LABEL=CLASS",
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
}
