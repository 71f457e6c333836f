//! Images in folders that are named as their classes.

use std::path::Path;

use walkdir::WalkDir;

use super::{Item, Payload, Problem};
use crate::tasks::image::ENDINGS;

/// The images below `root`; the label is the name of the first folder on the way. Only one folder's
/// names are in memory at a time.
pub fn items(root: &Path) -> impl Iterator<Item = Result<Item, Problem>> + Send + use<> {
    let root = root.to_owned();
    let walk = WalkDir::new(&root).follow_links(true).sort_by_file_name().into_iter();
    let is_hidden = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".");
    let walk = walk.filter_entry(move |entry| entry.depth() == 0 || !is_hidden(entry.file_name()));
    walk.filter_map(move |entry| match entry {
        Ok(entry) if entry.file_type().is_file() && is_image(entry.path()) => {
            Some(item(&root, entry.path()))
        }
        Ok(_) => None,
        Err(error) => {
            let place = error.path().unwrap_or(&root).display().to_string();
            Some(Err(Problem { place, reason: error.to_string() }))
        }
    })
}

fn item(root: &Path, path: &Path) -> Result<Item, Problem> {
    let place = path.display().to_string();
    let mut below = path.strip_prefix(root).unwrap_or(path).components();
    let first = below.next().map(|part| part.as_os_str().to_string_lossy().into_owned());
    match (first, below.next()) {
        (Some(label), Some(_)) => {
            Ok(Item { place, label, payload: Payload::Image(path.to_owned()) })
        }
        _ => Err(Problem { place, reason: "it is in no folder of a class".to_owned() }),
    }
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|e| ENDINGS.contains(&e.to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_folder_is_the_label_and_other_files_are_left_alone() {
        let root = tempfile::tempdir().unwrap();
        for file in ["cat/b.JPEG", "cat/more/a.png", "dog/x.webp", "dog/notes.txt", ".git/y.png"] {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        std::fs::write(root.path().join("loose.png"), "").unwrap();
        let found: Vec<_> = items(root.path()).collect();
        let labels: Vec<_> =
            found.iter().filter_map(|item| item.as_ref().ok()).map(|item| &item.label).collect();
        assert_eq!(labels, ["cat", "cat", "dog"]);
        let problems: Vec<_> = found.iter().filter_map(|item| item.as_ref().err()).collect();
        assert!(problems[0].place.ends_with("loose.png") && problems.len() == 1, "{problems:?}");
    }
}
