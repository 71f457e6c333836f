//! The files that lie beside a model.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Finds a model's files: in the version's folder first, then in the model's.
#[derive(Debug, Clone)]
pub struct ModelFiles {
    folders: Vec<PathBuf>,
}

impl ModelFiles {
    #[must_use]
    pub fn new(version: &Path, model: &Path) -> Self {
        let mut folders = vec![version.to_owned()];
        if version != model {
            folders.push(model.to_owned());
        }
        Self { folders }
    }

    /// The file of this name, if there is one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        self.folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file())
    }

    /// # Errors
    /// The file is there but cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<String>, String> {
        self.find(name)
            .map(|path| std::fs::read_to_string(path).map_err(|e| format!("{name}: {e}")))
            .transpose()
    }

    /// # Errors
    /// The file is there but cannot be read, or is not the JSON that it should be.
    pub fn json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, String> {
        self.read(name)?
            .map(|text| serde_json::from_str(&text).map_err(|e| format!("{name}: {e}")))
            .transpose()
    }

    /// Lines of `labels.txt`, one class each in the order of the model's outputs.
    ///
    /// # Errors
    /// The file is there but cannot be read.
    pub fn labels(&self) -> Result<Option<Vec<String>>, String> {
        let text = self.read("labels.txt")?;
        Ok(text.map(|text| text.trim_end().lines().map(|line| line.trim().to_owned()).collect()))
    }
}
