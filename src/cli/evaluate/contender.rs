//! A model as the command line names it, loaded.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Error, anyhow, bail, ensure};

use crate::config::ModelConfig;
use crate::evaluate::data::FeatureShape;
use crate::evaluate::report::Asked;
use crate::model::load::Loader;
use crate::model::repository::{locate, locate_version};
use crate::model::{Model, Terms};
use crate::runtime::provider::ExecutionProvider;
use crate::tasks::{FeatureColumn, InputKind, Parameters, Prediction};
use crate::tensor::DataType;

/// `NAME`, with `@VERSION` and `/FILE` where it is not the newest version or not the file that the device
/// would take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    model: String,
    version: Option<u64>,
    file: Option<String>,
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rest, file) = match text.split_once('/') {
            Some((rest, file)) => (rest, Some(file.to_owned())),
            None => (text, None),
        };
        let (model, version) = match rest.split_once('@') {
            Some((model, version)) => {
                let number = version.parse();
                (model, Some(number.map_err(|_| format!("`{version}` is no version's number"))?))
            }
            None => (rest, None),
        };
        if model.is_empty() || file.as_deref() == Some("") {
            return Err("expected NAME, NAME@VERSION, NAME/FILE or NAME@VERSION/FILE".to_owned());
        }
        Ok(Self { model: model.to_owned(), version, file })
    }
}

/// A loaded model.
pub struct Contender {
    pub model: Arc<Model>,
}

impl Contender {
    /// # Errors
    /// There is no such model, version or file, or it cannot be loaded.
    pub fn load(name: &Name, models: &Path, loader: &Loader) -> anyhow::Result<Self> {
        let location = match name.version {
            Some(version) => locate_version(models, &name.model, version)?,
            None => locate(models, &name.model)?,
        };
        let folder = location.version_folder.display();
        if let Some(file) = &name.file {
            let found = location.files().find(file);
            ensure!(found.is_some(), "{} ({folder}): no file `{file}`", name.model);
        }
        let take_file = |config: &mut ModelConfig| {
            if let Some(file) = &name.file {
                let all = ExecutionProvider::VARIANTS.iter();
                config.variants = all.map(|key| ((*key).to_owned(), file.into())).collect();
            }
        };
        let loaded = loader.load_with(&location, take_file);
        let model = loaded.map_err(|reason| anyhow!("{} ({folder}): {reason}", name.model))?;
        model.widen().map_err(Error::msg)?;
        Ok(Self { model: Arc::new(model) })
    }

    /// # Errors
    /// Its answers have no label to be compared with.
    pub fn check(&self) -> anyhow::Result<()> {
        let Model { name, .. } = &*self.model;
        let task = self.model.task();
        match task {
            "image-classification" | "text-classification" | "tabular-classification"
                if self.model.is_multi_label() =>
            {
                bail!("{name} gives several labels to an input; evaluate compares one")
            }
            "image-classification"
            | "text-classification"
            | "tabular-classification"
            | "text-regression"
            | "tabular-regression" => Ok(()),
            _ => bail!("{name} ({task}): evaluate is for classifiers and regressions"),
        }
    }

    #[must_use]
    pub fn classifies(&self) -> bool {
        self.model.task().ends_with("-classification")
    }

    /// The names of the classes by number: of the model's files, else of an answer.
    ///
    /// # Errors
    /// Neither tells them.
    pub async fn class_names(&self) -> anyhow::Result<Vec<String>> {
        let labels = self.model.labels();
        if !labels.is_empty() {
            return Ok(labels.iter().map(ToString::to_string).collect());
        }
        let parameters = Parameters { top_k: usize::MAX, ..Parameters::default() };
        let answered = self.model.predict(self.model.sample(), parameters, Terms::default()).await;
        let answered = answered.map_err(|error| anyhow!("{error}"));
        let mut predictions =
            answered.context("no file names the model's classes, and a first answer")?.predictions;
        let Some(Prediction::Classes { mut classes, .. }) = predictions.pop() else {
            bail!("{} does not tell classes", self.model.name);
        };
        classes.sort_by_key(|class| class.index);
        Ok(classes.into_iter().map(|class| class.label.to_string()).collect())
    }

    /// What a model of features takes; `None` of other models.
    #[must_use]
    pub fn feature_shape(&self) -> Option<FeatureShape> {
        if self.model.input_kind() != InputKind::Features {
            return None;
        }
        let columns = self.model.columns();
        let is_text = |column: &FeatureColumn| column.data_type == DataType::String;
        let names: Option<Vec<String>> = columns.iter().map(|column| column.name.clone()).collect();
        let names = names.filter(|names| !names.is_empty());
        let count = Some(columns.len()).filter(|count| *count > 0);
        Some(match names {
            Some(names) if columns.iter().any(is_text) => {
                FeatureShape::Columns(names.into_iter().zip(columns.iter().map(is_text)).collect())
            }
            names => FeatureShape::Row { names, count },
        })
    }

    #[must_use]
    pub fn told(&self) -> Asked {
        let Model { name, version, file, provider, .. } = &*self.model;
        Asked {
            name: name.clone(),
            version: *version,
            file: file.clone(),
            device: provider.to_string(),
            task: self.model.task().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_named_with_its_version_and_file() {
        let name = |model: &str, version, file: Option<&str>| {
            Ok(Name { model: model.into(), version, file: file.map(Into::into) })
        };
        assert_eq!("iris".parse(), name("iris", None, None));
        assert_eq!("iris@2".parse(), name("iris", Some(2), None));
        assert_eq!("iris/onnx/model.onnx".parse(), name("iris", None, Some("onnx/model.onnx")));
        assert_eq!("iris@2/a@b.onnx".parse(), name("iris", Some(2), Some("a@b.onnx")));
        for bad in ["", "iris/", "@2", "iris@new"] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }
}
