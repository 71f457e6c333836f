//! What an evaluation found, for machines, and for what is shown to people.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::bars::Verdict;
use super::calibration::{Bin, Calibration};
use super::classification::Classification;
use super::confusion::ClassMetrics;
use super::data::Problem;
use super::mcnemar::McNemar;
use super::metrics::{self, Metrics};
use super::survey::Truth;
use super::tally::{self, Counts, Said, Shown, Tally, short};

/// Pairs of label and prediction that a report holds, the commonest.
const PAIRS: usize = 10_000;

/// Everything that was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub model: Asked,
    pub data: String,
    /// Items that were answered; all metrics are over them.
    pub items: u64,
    /// Items that could not be used and were left out, as `--skip-bad` asks for.
    pub skipped: u64,
    /// Items that failed when they were asked, the first of which are in `problems`.
    pub failed: u64,
    pub problems: Vec<Problem>,
    pub seconds: f64,
    pub items_per_second: f64,
    #[serde(flatten)]
    pub figures: Figures,
    /// The most confident wrong predictions; of a regression those that are farthest off.
    pub mistakes: Vec<Mistake>,
    pub against: Option<Against>,
    pub bars: Vec<Verdict>,
}

/// A model as it was asked.
#[derive(Debug, Clone, Serialize)]
pub struct Asked {
    pub name: String,
    pub version: u64,
    /// The network's file in the model's folder.
    pub file: String,
    pub device: String,
    pub task: String,
}

/// The figures of one model.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// By name; `null` where one does not exist for these scores.
    pub metrics: Metrics,
    /// Wilson's 95 % interval; of a classifier.
    pub accuracy_interval: Option<[f64; 2]>,
    /// The classes that occur among labels or predictions.
    pub classes: Vec<Class>,
    /// Pairs of label and prediction that occur, the right ones among them; the commonest first.
    pub confusion: Vec<Pair>,
    /// By the probability of the prediction; empty where the scores are no probabilities.
    pub calibration: Vec<Bin>,
    /// A random sample of values and predictions, of a regression.
    pub sample: Vec<[f64; 2]>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Class {
    pub label: String,
    #[serde(flatten)]
    pub metrics: ClassMetrics,
}

#[derive(Debug, Clone, Serialize)]
pub struct Pair {
    pub label: String,
    pub prediction: String,
    pub items: u64,
    #[serde(skip)]
    pub numbers: [usize; 2],
}

#[derive(Debug, Clone, Serialize)]
pub struct Mistake {
    #[serde(flatten)]
    pub item: Item,
    pub label: Word,
    pub prediction: Word,
    /// Of the prediction.
    pub score: Option<f64>,
    /// Of the label's class.
    pub label_score: Option<f64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Item {
    /// The image's path, or the table's path and line.
    pub input: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
    #[serde(skip)]
    pub image: Option<PathBuf>,
}

/// A class's name or a value.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Word {
    Class(String),
    Value(f64),
}

/// Another model beside the first.
#[derive(Debug, Clone, Serialize)]
pub struct Against {
    pub model: Asked,
    #[serde(flatten)]
    pub figures: Figures,
    /// Items of which both say the same.
    pub agree: u64,
    /// Items of which they do not, the first of which are in `differences`.
    pub differ: u64,
    pub mean_difference: f64,
    pub largest_difference: f64,
    /// Of classifiers.
    pub mcnemar: Option<McNemar>,
    /// The items of which they say different things, the largest difference first.
    pub differences: Vec<Difference>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Difference {
    #[serde(flatten)]
    pub item: Item,
    pub label: Word,
    pub prediction: Word,
    pub score: Option<f64>,
    pub other_prediction: Word,
    pub other_score: Option<f64>,
}

/// What a tally does not know of itself.
pub struct Circumstances {
    pub model: Asked,
    pub other: Option<Asked>,
    pub data: String,
    /// Names of the classes by number.
    pub names: Vec<String>,
    pub skipped: u64,
    pub took: Duration,
}

impl Report {
    #[must_use]
    pub fn new(tally: Tally, of: Circumstances) -> Self {
        let Circumstances { model, other, data, names, skipped, took } = of;
        let words = Words { names: &names };
        let seconds = took.as_secs_f64();
        let mut figures = words.figures(&tally.first);
        let both = tally.both;
        let against = other.zip(tally.other).map(|(model, counts)| {
            let mean = both.difference_sum / tally.items.max(1) as f64;
            let share = both.agree as f64 / tally.items.max(1) as f64;
            metrics::add_comparison(&mut figures.metrics, share, mean, both.difference_most);
            let classifies = matches!(counts, Counts::Classes(_));
            let mcnemar =
                classifies.then(|| McNemar::test(both.only_first_right, both.only_other_right));
            Against {
                model,
                figures: words.figures(&counts),
                agree: both.agree,
                differ: tally.items - both.agree,
                mean_difference: mean,
                largest_difference: both.difference_most,
                mcnemar,
                differences: words.differences(tally.differences.into_items()),
            }
        });
        Self {
            model,
            data,
            items: tally.items,
            skipped,
            failed: tally.failed,
            problems: tally.problems,
            seconds,
            items_per_second: tally.items as f64 / seconds.max(1e-9),
            mistakes: words.mistakes(tally.mistakes.into_items()),
            figures,
            against,
            bars: Vec::new(),
        }
    }

    /// Whether the model tells classes.
    #[must_use]
    pub fn classifies(&self) -> bool {
        self.figures.metrics.contains_key("accuracy")
    }

    /// Whether every bar is met.
    #[must_use]
    pub fn clears_all(&self) -> bool {
        self.bars.iter().all(|bar| bar.met)
    }
}

/// Turns numbers of classes into their names.
struct Words<'a> {
    names: &'a [String],
}

impl Words<'_> {
    fn name(&self, class: usize) -> String {
        self.names.get(class).cloned().unwrap_or_else(|| class.to_string())
    }

    fn figures(&self, counts: &Counts) -> Figures {
        match counts {
            Counts::Classes(counts) => self.classification(counts),
            Counts::Values(counts) => Figures {
                metrics: metrics::regression(&counts.metrics()),
                accuracy_interval: None,
                classes: Vec::new(),
                confusion: Vec::new(),
                calibration: Vec::new(),
                sample: counts.sample().to_vec(),
            },
        }
    }

    fn classification(&self, counts: &Classification) -> Figures {
        let of = counts.metrics();
        let confusion = counts.confusion();
        let class = |metrics: ClassMetrics| Class { label: self.name(metrics.index), metrics };
        let mut pairs: Vec<_> = confusion.pairs().collect();
        pairs.sort_by_key(|(.., items)| std::cmp::Reverse(*items));
        pairs.truncate(PAIRS);
        let pair = |(label, predicted, items)| Pair {
            label: self.name(label),
            prediction: self.name(predicted),
            items,
            numbers: [label, predicted],
        };
        Figures {
            metrics: metrics::classification(&of),
            accuracy_interval: of.accuracy_interval,
            classes: confusion.classes().into_iter().map(class).collect(),
            confusion: pairs.into_iter().map(pair).collect(),
            calibration: counts.calibration().map(Calibration::bins).unwrap_or_default(),
            sample: Vec::new(),
        }
    }

    fn mistakes(&self, mistakes: Vec<tally::Mistake>) -> Vec<Mistake> {
        let told = |tally::Mistake { item, truth, said, label_score }| {
            let (prediction, score) = self.said(said);
            Mistake { item: shown(item), label: self.truth(truth), prediction, score, label_score }
        };
        mistakes.into_iter().map(told).collect()
    }

    fn differences(&self, differences: Vec<tally::Difference>) -> Vec<Difference> {
        let told = |tally::Difference { item, truth, first, other }| {
            let ((prediction, score), (other_prediction, other_score)) =
                (self.said(first), self.said(other));
            let (item, label) = (shown(item), self.truth(truth));
            Difference { item, label, prediction, score, other_prediction, other_score }
        };
        differences.into_iter().map(told).collect()
    }

    fn truth(&self, truth: Truth) -> Word {
        match truth {
            Truth::Class(class) => Word::Class(self.name(class)),
            Truth::Value(value) => Word::Value(value),
        }
    }

    fn said(&self, said: Said) -> (Word, Option<f64>) {
        match said {
            Said::Class { class, score } => (Word::Class(self.name(class)), Some(score)),
            Said::Value(value) => (Word::Value(value), None),
        }
    }
}

fn shown(Shown { place, excerpt, image }: Shown) -> Item {
    Item { input: place, excerpt, image }
}

impl std::fmt::Display for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Class(name) => f.write_str(name),
            Self::Value(value) => f.write_str(&short(*value)),
        }
    }
}

impl Asked {
    /// What tells two models apart in a table's header, shortly.
    #[must_use]
    pub fn names_beside(&self, other: &Self) -> [String; 2] {
        let both = |of: fn(&Self) -> String| [of(self), of(other)];
        let shorter = [
            both(|model| model.name.clone()),
            both(|model| format!("{}@{}", model.name, model.version)),
            both(|model| model.file.clone()),
        ];
        let tells_apart = |[own, other]: &[String; 2]| own != other;
        let whole = both(|model| format!("{}@{}/{}", model.name, model.version, model.file));
        shorter.into_iter().find(tells_apart).unwrap_or(whole)
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}, {} on {})", self.name, self.task, self.file, self.device)
    }
}
