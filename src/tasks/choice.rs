//! Which task a model is for: by its files, else by what its network takes and gives.

use super::graph::{Ending, Graph};
use super::head::class_names;
use super::hugging_face::HfConfig;
use super::unserved::Unserved;
use super::{
    FLOATS_AND_BYTES, Material, feature_extraction, looks, sentence_transformers, tabular,
};
use crate::signature::{Kind, Signature, TensorSpec};
use crate::tensor::DataType;

/// Encoders may keep the name that they were pre-trained under.
const PRE_TRAINED: [&str; 2] = ["ForMaskedLM", "ForPreTraining"];

/// # Errors
/// Why it is none, in a sentence; or a file that cannot be read.
pub fn choose(material: Material<'_>, hf: &HfConfig) -> Result<&'static str, Unserved> {
    let Material { signature, graph, files, .. } = material;
    let takes_text = signature.input("input_ids").is_some();
    let takes_images = signature.inputs.iter().any(|spec| spec.is(4, &FLOATS_AND_BYTES));
    if takes_text && !takes_images && sentence_transformers::pools(files)? {
        return Ok("feature-extraction");
    }
    let metadata = graph.and_then(|graph| graph.metadata.get("task"));
    if metadata.is_some_and(|task| task == "classify") {
        return Ok("image-classification");
    }
    let looks_like = looks::like(signature, graph, hf);
    if let Some(task) = of_architecture(material, hf, looks_like.is_some()) {
        return Ok(task);
    }
    match looks_like {
        Some(looks) => Err(Unserved::Unfit(format!("{looks}, for which there is no task here"))),
        None => of_shapes(material, hf),
    }
}

/// The task that the architecture's name ends in, if the network is one for it.
fn of_architecture(
    Material { signature, .. }: Material<'_>,
    hf: &HfConfig,
    looks_like_another: bool,
) -> Option<&'static str> {
    let name = hf.architectures.as_ref().and_then(|names| names.first())?;
    let takes = |input: &str| signature.input(input).is_some();
    let takes_images = matches!(signature.inputs.as_slice(), [one] if one.is(4, &FLOATS_AND_BYTES));
    let gives_scores = signature.outputs.iter().any(|spec| !looks::is_embedding(&spec.name));
    let is_text = takes("input_ids") && !takes("pixel_values") && !takes("past_key_values.0.key");
    if is_text && feature_extraction::pools(signature) {
        return Some("feature-extraction");
    }
    let gives_vectors = is_text && feature_extraction::fits(signature);
    match name.as_str() {
        name if name.contains("ForImageClassification") && takes_images && gives_scores => {
            Some("image-classification")
        }
        name if name.ends_with("ForSequenceClassification")
            && gives_scores
            && !looks_like_another =>
        {
            Some("text-classification")
        }
        name if name.ends_with("ForTokenClassification") && gives_scores && !looks_like_another => {
            Some("token-classification")
        }
        name if gives_vectors
            && (!name.contains("For") && !name.contains("LMHead")
                || name.contains("Classification")
                || PRE_TRAINED.iter().any(|end| name.ends_with(end))) =>
        {
            Some("feature-extraction")
        }
        // An encoder that pools by itself, and calls its only output what it likes.
        name if is_text && is_encoder(name) && only_vector(signature) => Some("feature-extraction"),
        _ => None,
    }
}

fn is_encoder(name: &str) -> bool {
    !name.contains("For") && (name.ends_with("Model") || name.ends_with("WithProjection"))
}

/// All that comes out is one vector a row, and no scores.
fn only_vector(signature: &Signature) -> bool {
    matches!(signature.outputs.as_slice(), [one] if one.is(2, &super::head::FLOATS)
        && !one.name.contains("logits"))
}

fn of_shapes(material: Material<'_>, hf: &HfConfig) -> Result<&'static str, Unserved> {
    let Material { signature, graph, .. } = material;
    let inputs = &signature.inputs;
    match inputs.as_slice() {
        [only] if only.is(4, &FLOATS_AND_BYTES) => of_images(material, hf),
        [only] if only.is(2, &[DataType::String]) && matches!(only.shape[1], Some(2..)) => {
            Err(Unserved::Unfit(format!(
                "its columns of text come in one input, {only}; for rows of features they are exported as \
                 an input [N,1] each"
            )))
        }
        [only] if (1..=2).any(|rank| only.is(rank, &[DataType::String])) => {
            if tells_classes(material, hf)?
                || is_value(signature)
                || is_probability(signature, graph)
            {
                return Ok("text-classification");
            }
            Err(Unserved::unfit(
                "it takes texts and gives vectors, without a label or names of classes",
            ))
        }
        _ if feature_extraction::fits(signature) || feature_extraction::pools(signature) => {
            Ok("feature-extraction")
        }
        _ if signature.input("input_ids").is_some() => {
            if embeds(signature)
                && !tells_classes(material, hf)?
                && !is_probability(signature, graph)
            {
                return Ok("feature-extraction");
            }
            match signature.outputs.iter().any(is_vector) {
                true => Ok("text-classification"),
                false => Err(Unserved::Unfit(format!(
                    "it takes tokens, and gives neither scores nor vectors of texts: {}",
                    Signature::list(&signature.outputs)
                ))),
            }
        }
        _ if tabular::fits(signature) => Ok("tabular"),
        _ => Err(Unserved::Unfit(format!(
            "its inputs are neither images ([N,3,H,W] or [N,H,W,3]) nor text (`input_ids` with a \
             tokenizer.json, or strings [N,1]) nor features ([N,F], or several columns [N,1]) but {}",
            if inputs.is_empty() { "none".to_owned() } else { Signature::list(inputs) }
        ))),
    }
}

fn of_images(material: Material<'_>, hf: &HfConfig) -> Result<&'static str, Unserved> {
    let Material { signature, graph, .. } = material;
    let scores: Vec<_> = signature
        .outputs
        .iter()
        .filter(|spec| is_vector(spec) && !looks::is_embedding(&spec.name))
        .collect();
    let is_timm_encoder = hf.pretrained_cfg.is_some() && hf.num_classes == Some(0);
    let Some(first) = scores.first().filter(|_| !is_timm_encoder) else {
        return Err(Unserved::Unfit(format!(
            "{}: {}",
            looks::of_image_outputs(&signature.outputs),
            Signature::list(&signature.outputs)
        )));
    };
    let is_scaled = graph.is_some_and(|graph| graph.ending(&first.name) == Ending::Normalized);
    if tells_classes(material, hf)? || is_probability(signature, graph) {
        return Ok("image-classification");
    }
    if is_scaled || embeds(signature) {
        return Err(Unserved::Unfit(format!(
            "it looks like a model that turns images into vectors ({first}, and no names of classes); if \
             these are classes: task = \"image-classification\""
        )));
    }
    Ok("image-classification")
}

/// A vector a row, as long as embeddings are.
fn embeds(signature: &Signature) -> bool {
    let width = |spec: &TensorSpec| spec.shape.get(1).copied().flatten();
    matches!(signature.outputs.as_slice(), [one] if is_vector(one)
        && !one.name.contains("logits")
        && width(one).is_some_and(looks::is_embedding_width))
}

/// One value a row.
fn is_value(signature: &Signature) -> bool {
    matches!(signature.outputs.as_slice(), [one] if one.shape.get(1).is_none_or(|axis| *axis == Some(1)))
}

fn is_probability(signature: &Signature, graph: Option<&Graph>) -> bool {
    use Ending::{EachProbability, LogProbabilities, Probabilities};
    let Some(graph) = graph else { return false };
    let endings = signature.outputs.iter().map(|spec| graph.ending(&spec.name));
    endings.into_iter().any(|it| matches!(it, Probabilities | LogProbabilities | EachProbability))
}

/// Whether something names classes or gives labels.
fn tells_classes(material: Material<'_>, hf: &HfConfig) -> Result<bool, Unserved> {
    let is_label = |spec: &TensorSpec| {
        let labels = [DataType::I64, DataType::I32, DataType::String];
        (1..=2).any(|rank| spec.is(rank, &labels)) || spec.kind == Kind::ClassMap
    };
    let outputs = &material.signature.outputs;
    Ok(outputs.iter().any(is_label)
        || material.config.scores.is_some()
        || material.config.output.is_some()
        || class_names(material, hf, material.graph)?.is_some())
}

/// One vector of numbers a row.
fn is_vector(spec: &TensorSpec) -> bool {
    spec.data_type().is_some_and(|data_type| super::head::FLOATS.contains(&data_type))
        && spec.shape.iter().skip(2).all(|axis| *axis == Some(1))
}
