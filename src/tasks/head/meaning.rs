//! What comes out of a network, by its files and its graph.

use super::super::graph::{Ending, Graph};
use super::super::hugging_face::{Activation, HfConfig};
use super::super::note::{ASSUMED, GRAPH, SHAPES, WARM_UP};
use super::outputs::Outputs;
use super::scale::Scale;
use super::{FLOATS, Material};
use crate::config::Scores;

/// What comes out of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Values,
    Classes(Scale),
    /// Classes if runs give probabilities, else values.
    Open,
}

/// What comes out, and what says so: `model.toml`, `config.json`, the graph, and only then a guess.
pub(super) fn meaning(
    Material { config, graph, .. }: Material<'_>,
    hf: &HfConfig,
    outputs: &Outputs,
    ending: Ending,
    is_class: bool,
    names_classes: bool,
) -> (Meaning, &'static str) {
    let width = outputs.width().filter(|_| !outputs.is_map());
    let classes = |scale| Meaning::Classes(scale);
    let is_probability = Scale::of(ending).is_probability();
    let is_classical = graph.is_none_or(Graph::is_classical);
    let of_files =
        hf.is_classifier() || names_classes || config.task.is_some() || outputs.label.is_some();
    // One number a row is a class's only if something says that there are classes.
    let one = width == Some(1) && outputs.label.is_none();
    let problem = |problem: &str| match problem {
        "regression" => Some(Meaning::Values),
        // Nothing is squashed twice.
        "multi_label_classification" if is_probability => Some(classes(Scale::ProbabilityOfEach)),
        "multi_label_classification" => Some(classes(Scale::LogitsOfEach)),
        _ => None,
    };
    match config.scores {
        Some(Scores::Values) => return (Meaning::Values, "model.toml (scores)"),
        Some(Scores::Probabilities) => {
            let scale = match Scale::of(ending) {
                Scale::ProbabilityOfEach => Scale::ProbabilityOfEach,
                _ if one => Scale::ProbabilityOfEach,
                _ => Scale::Probabilities,
            };
            return (classes(scale), "model.toml (scores)");
        }
        Some(Scores::Logits) => {
            let each = one || config.problem_type.as_deref() == Some("multi_label_classification");
            let scale = if each { Scale::LogitsOfEach } else { Scale::Logits };
            return (classes(scale), "model.toml (scores)");
        }
        None => {}
    }
    if let Some(meaning) = config.problem_type.as_deref().and_then(problem) {
        return (meaning, "model.toml (problem_type)");
    }
    if let Some(meaning) = hf.problem_type.as_deref().and_then(problem) {
        return (meaning, "config.json (problem_type)");
    }
    // Of several labels sentence-transformers always writes Identity; transformers' pipeline takes softmax.
    let says = |activation: &Activation| is_class && (one || *activation != Activation::Identity);
    if let Some(activation) = hf.activation().filter(says) {
        let scale = match activation {
            _ if is_probability => Scale::of(ending),
            Activation::Identity => return (Meaning::Values, "config.json (activation_fn)"),
            Activation::Sigmoid => Scale::LogitsOfEach,
            Activation::Softmax => Scale::Logits,
        };
        return (classes(scale), "config.json (activation_fn)");
    }
    if outputs.scores.is_empty() {
        return (classes(Scale::Scores), SHAPES);
    }
    if !is_class || (one && !of_files && !is_probability) {
        return match Scale::of(ending) {
            Scale::Probabilities if !one => (classes(Scale::Probabilities), GRAPH),
            Scale::ProbabilityOfEach if !one => (classes(Scale::ProbabilityOfEach), GRAPH),
            Scale::LogProbabilities if !one => (classes(Scale::LogProbabilities), GRAPH),
            _ if one || outputs.scores[0].shape.len() == 1 => (Meaning::Values, SHAPES),
            // Whole numbers are no probabilities.
            _ if outputs.scores[0].data_type().is_some_and(|it| !FLOATS.contains(&it)) => {
                (Meaning::Values, SHAPES)
            }
            _ => (Meaning::Open, WARM_UP),
        };
    }
    match Scale::of(ending) {
        // A softmax over one score would be 1 whatever the input.
        Scale::Logits | Scale::Open if one && hf.is_classifier() => {
            (classes(Scale::LogitsOfEach), "config.json (one label)")
        }
        Scale::Logits | Scale::Open if one => (classes(Scale::LogitsOfEach), SHAPES),
        // Hugging Face's classifiers give logits, always.
        Scale::Logits | Scale::Open if hf.is_classifier() => {
            (classes(Scale::Logits), "config.json (architectures)")
        }
        // Beside a label, as classical models give them, numbers are no logits.
        Scale::Logits if outputs.label.is_some() && is_classical => {
            (classes(Scale::Margins), GRAPH)
        }
        Scale::Logits => (classes(Scale::Logits), ASSUMED),
        Scale::Open => (classes(Scale::Open), WARM_UP),
        scale => (classes(scale), GRAPH),
    }
}
