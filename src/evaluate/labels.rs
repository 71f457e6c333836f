//! Which of a model's classes a label in the data means.

use std::collections::HashMap;

use anyhow::{Context, bail, ensure};

use crate::error::{excerpt, nearest};

/// The classes of a model, found by name or by number.
///
/// In this order: a class's name as it is; its number, from 0 on; its name but for case, `_` and `-`; one
/// of its names where these are separated by commas; the WordNet id that the name begins with.
#[derive(Debug, Clone)]
pub struct Labels {
    names: Vec<String>,
    exact: Index,
    similar: Index,
    parts: Index,
    /// What other labels mean.
    given: HashMap<String, usize>,
}

/// Classes by a key; several may have the same.
#[derive(Debug, Clone, Default)]
struct Index(HashMap<String, Found>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    One(usize),
    Several(usize, usize),
}

impl Index {
    fn add(&mut self, key: String, class: usize) {
        let found = self.0.entry(key).or_insert(Found::One(class));
        if let Found::One(first) = *found
            && first != class
        {
            *found = Found::Several(first, class);
        }
    }
}

impl Labels {
    /// Of the classes by number.
    #[must_use]
    pub fn new(names: Vec<String>) -> Self {
        let [mut exact, mut similar, mut parts] = std::array::from_fn(|_| Index::default());
        for (class, name) in names.iter().enumerate() {
            exact.add(name.clone(), class);
            similar.add(simple(name), class);
            let synonyms = name.split(',').map(simple);
            synonyms.chain(wordnet_id(name)).for_each(|key| parts.add(key, class));
        }
        Self { names, exact, similar, parts, given: HashMap::new() }
    }

    /// The names by number.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Lets `label` mean `class`, which is a name or a number.
    ///
    /// # Errors
    /// There is no such class.
    pub fn give(&mut self, label: &str, class: &str) -> anyhow::Result<()> {
        let of = self.find(class).map_err(|reason| anyhow::anyhow!("`{class}`: {reason}"))?;
        self.given.insert(label.to_owned(), of);
        Ok(())
    }

    /// Reads a file with a label and its class on each line: `LABEL=CLASS`, or with a tab or else the first
    /// space between the two.
    ///
    /// # Errors
    /// A line that is neither, or names no class.
    pub fn give_all(&mut self, text: &str) -> anyhow::Result<()> {
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let pair = ['\t', '=', ' '].iter().find_map(|by| line.split_once(*by));
            let line = || format!("line {}", index + 1);
            let (label, class) = pair.context("expected LABEL=CLASS").with_context(line)?;
            self.give(label.trim(), class.trim()).with_context(line)?;
        }
        Ok(())
    }

    /// The number of the class that a label means.
    ///
    /// # Errors
    /// Why none, or that there are several.
    pub fn find(&self, label: &str) -> Result<usize, String> {
        let label = label.trim();
        if let Some(class) = self.given.get(label) {
            return Ok(*class);
        }
        let several = |first, second| {
            Err(format!("the name of classes {first} and {second}: tell them by number"))
        };
        match self.exact.0.get(label) {
            Some(Found::One(class)) => return Ok(*class),
            Some(Found::Several(first, second)) => return several(first, second),
            None => {}
        }
        if let Ok(number) = label.parse::<usize>() {
            let classes = self.names.len();
            return match number < classes {
                true => Ok(number),
                false => Err(format!("there are {classes} classes, numbered from 0 on")),
            };
        }
        let by_id = || wordnet_id(label).and_then(|id| self.parts.0.get(&id));
        let simple = simple(label);
        let found = self.similar.0.get(&simple).or_else(|| self.parts.0.get(&simple));
        match found.or_else(by_id) {
            Some(Found::One(class)) => Ok(*class),
            Some(Found::Several(first, second)) => several(first, second),
            None => match nearest(label, self.names.iter().map(String::as_str)) {
                Some(name) => Err(format!("no class; did you mean `{}`?", excerpt(name))),
                None => Err("no class".to_owned()),
            },
        }
    }

    /// The classes in a sentence, the first of them where there are many.
    #[must_use]
    pub fn list(&self) -> String {
        const MOST: usize = 20;
        let shown = self.names.iter().take(MOST).map(|name| format!("`{}`", excerpt(name)));
        let shown = shown.collect::<Vec<_>>().join(", ");
        match self.names.len().saturating_sub(MOST) {
            0 => shown,
            more => format!("{shown} and {more} more"),
        }
    }

    /// For each class of `other` the class of the same name here.
    ///
    /// # Errors
    /// The classes are not the same ones.
    pub fn numbers_of(&self, other: &[String]) -> anyhow::Result<Vec<usize>> {
        ensure!(
            other.len() == self.names.len(),
            "it has {} classes in place of {}",
            other.len(),
            self.names.len()
        );
        if other == self.names.as_slice() {
            return Ok((0..other.len()).collect());
        }
        let mut taken = vec![false; other.len()];
        let find = |name: &String| match self.find(name) {
            Ok(class) if !std::mem::replace(&mut taken[class], true) => Ok(class),
            Ok(_) => {
                bail!("two of its classes are `{}` here", self.names[self.find(name).unwrap_or(0)])
            }
            Err(reason) => bail!("its class `{}`: {reason}", excerpt(name)),
        };
        other.iter().map(find).collect()
    }
}

/// A name without what people write in different ways.
fn simple(name: &str) -> String {
    let words = name.split(|c: char| c.is_whitespace() || matches!(c, '_' | '-'));
    let words: Vec<String> = words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
    words.join(" ")
}

/// For example `n02099601` of `n02099601 golden retriever`.
fn wordnet_id(name: &str) -> Option<String> {
    let first = name.split([' ', '_', '-', ',']).next()?;
    let digits = first.strip_prefix('n')?;
    (digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| first.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(names: &[&str]) -> Labels {
        Labels::new(names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_label_is_a_name_or_a_number_or_what_people_write_for_it() {
        let of = labels(&["tench, Tinca tinca", "golden retriever", "n02085620 Chihuahua"]);
        for (label, class) in [
            ("golden retriever", 1),
            ("Golden_Retriever", 1),
            ("2", 2),
            ("tench", 0),
            ("tinca tinca", 0),
            ("n02085620", 2),
            ("n02085620-Chihuahua", 2),
        ] {
            assert_eq!(of.find(label), Ok(class), "{label}");
        }
        assert!(of.find("3").unwrap_err().contains("there are 3 classes"));
        assert!(of.find("golden retreiver").unwrap_err().contains("`golden retriever`"));
        assert_eq!(of.find("zebra").unwrap_err(), "no class");
    }

    #[test]
    fn a_name_that_is_a_number_is_a_name_first() {
        assert_eq!(labels(&["5", "0", "1"]).find("1"), Ok(2));
    }

    #[test]
    fn a_name_of_two_classes_must_be_told_by_number() {
        let of = labels(&["crane", "heron", "crane"]);
        assert!(of.find("crane").unwrap_err().contains("classes 0 and 2"));
        assert_eq!(of.find("2"), Ok(2));
        assert!(of.find("Crane").is_err());
    }

    #[test]
    fn other_labels_are_given_a_meaning_one_by_one_or_by_a_file() {
        let mut of = labels(&["negative", "neutral", "positive"]);
        of.give("pos", "positive").unwrap();
        of.give_all("n01440764 neutral\n\n4=0\nvery bad\tnegative\n").unwrap();
        let found = ["pos", "n01440764", "4", "very bad"].map(|label| of.find(label).unwrap());
        assert_eq!(found, [2, 1, 0, 0]);
        assert!(of.give("x", "postive").unwrap_err().to_string().contains("`positive`"));
        let error = of.give_all("a=0\nnonsense\n").unwrap_err();
        assert!(format!("{error:#}").contains("line 2: expected LABEL=CLASS"), "{error:#}");
    }

    #[test]
    fn classes_of_another_model_are_matched_by_name() {
        let of = labels(&["a", "b"]);
        let other = |names: [&str; 2]| of.numbers_of(&names.map(ToOwned::to_owned));
        assert_eq!(other(["B", "a"]).unwrap(), [1, 0]);
        assert!(other(["c", "a"]).unwrap_err().to_string().contains("`c`"));
        assert!(other(["a", "A"]).unwrap_err().to_string().contains("two of its classes"));
        assert!(of.numbers_of(&[]).is_err());
    }
}
