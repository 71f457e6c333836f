//! What a model looks like that no task here serves, in a few words.

use super::graph::Graph;
use super::hugging_face::HfConfig;
use crate::signature::{Signature, TensorSpec};

/// The end of an architecture's name in Hugging Face's transformers, and what such a model does.
const ARCHITECTURES: [(&str, &str); 40] = [
    ("ForObjectDetection", "detects objects"),
    ("ForZeroShotObjectDetection", "detects objects"),
    ("ForKeypointDetection", "finds key points in images"),
    ("ForKeypointMatching", "matches key points of images"),
    ("ForPoseEstimation", "finds poses in images"),
    ("ForSemanticSegmentation", "segments images"),
    ("ForInstanceSegmentation", "segments images"),
    ("ForUniversalSegmentation", "segments images"),
    ("ForImageSegmentation", "segments images"),
    ("ForPanopticSegmentation", "segments images"),
    ("ForMaskGeneration", "segments images"),
    ("ForDepthEstimation", "estimates depth"),
    ("ForImageMatting", "cuts objects out of images"),
    ("ForSuperResolution", "enlarges images"),
    ("ForImageSuperResolution", "enlarges images"),
    ("ForImageToImage", "makes images of images"),
    ("ForMaskedImageModeling", "restores parts of images"),
    ("ForVideoClassification", "takes video"),
    ("ForZeroShotImageClassification", "compares images with texts"),
    ("ForVisualQuestionAnswering", "answers questions about images"),
    ("ForDocumentQuestionAnswering", "answers questions about documents"),
    ("ForTableQuestionAnswering", "answers questions about tables"),
    ("ForQuestionAnswering", "finds answers in texts"),
    ("ForMaskedLM", "fills in masked words of texts"),
    ("ForPreTraining", "fills in masked words of texts"),
    ("ForNextSentencePrediction", "tells which text follows another"),
    ("ForMultipleChoice", "chooses one of several texts"),
    ("ForCausalLM", "generates text"),
    ("LMHeadModel", "generates text"),
    ("DoubleHeadsModel", "generates text"),
    ("ForSpeechSeq2Seq", "writes down speech from audio"),
    ("ForConditionalGeneration", "generates text from what it is given"),
    ("EncoderDecoderModel", "generates text from what it is given"),
    ("ForCTC", "writes down speech from audio"),
    ("ForAudioClassification", "takes audio"),
    ("ForAudioFrameClassification", "takes audio"),
    ("ForXVector", "takes audio"),
    ("ForTextToWaveform", "speaks"),
    ("ForTextToSpeech", "speaks"),
    ("ForPrediction", "forecasts time series"),
];

/// Of an architecture.
#[must_use]
pub fn of_architecture(name: &str) -> Option<&'static str> {
    ARCHITECTURES.into_iter().find(|(end, _)| name.ends_with(end)).map(|(_, does)| does)
}

/// Of a network's inputs and outputs, its metadata and its files; `None` if it may have a task.
#[must_use]
pub fn like(signature: &Signature, graph: Option<&Graph>, hf: &HfConfig) -> Option<String> {
    let metadata = graph.and_then(|graph| graph.metadata.get("task")).map(String::as_str);
    if let Some(task @ ("detect" | "segment" | "pose" | "obb" | "semantic" | "depth")) = metadata {
        let does = match task {
            "segment" | "semantic" => "segments images",
            "pose" => "finds poses in images",
            "obb" => "detects oriented objects",
            "depth" => "estimates depth",
            _ => "detects objects",
        };
        return Some(format!("it {does} (task = {task} in the network's metadata)"));
    }
    let architecture = hf.architectures.iter().flatten().next();
    let said = |does: &str| match architecture {
        Some(name) => Some(format!("it {does} (config.json: {name})")),
        None => Some(format!("it looks like a model that {does}")),
    };
    let (inputs, outputs) = (&signature.inputs, &signature.outputs);
    let any = |specs: &[TensorSpec], is: &dyn Fn(&str) -> bool| {
        specs.iter().any(|spec| is(&spec.name.to_lowercase()))
    };
    let takes = |names: &[&str]| any(inputs, &|name| names.contains(&name));
    let gives = |names: &[&str]| any(outputs, &|name| names.contains(&name));
    let named = |part: &str| any(inputs, &|name| name.contains(part));
    let speaks = || {
        architecture.and_then(|name| of_architecture(name)).filter(|does| does.contains("speech"))
    };
    if takes(&[
        "input_values",
        "input_features",
        "audio_values",
        "waveform",
        "audio",
        "audio_signal",
        "sr",
        "sample_rate",
        "speech",
    ]) {
        return said(speaks().unwrap_or("takes audio"));
    }
    if named("past_key_values") || named("past_key") || gives(&["present.0.key"]) {
        return said("generates text");
    }
    if takes(&["decoder_input_ids", "encoder_hidden_states", "encoder_outputs"]) {
        return said("generates text from what it is given");
    }
    if takes(&["pixel_values", "image", "images"]) && takes(&["input_ids", "text", "texts"]) {
        return said("compares images with texts");
    }
    if gives(&["start_logits"]) && gives(&["end_logits"]) {
        return said("finds answers in texts");
    }
    let boxes =
        ["pred_boxes", "boxes", "dets", "detection_boxes", "bboxes", "num_dets", "num_detections"];
    if gives(&boxes) {
        return said("detects objects");
    }
    // The architecture's own task is served, or what its network gives says more than its name.
    let architecture = architecture?;
    let does = of_architecture(architecture)?;
    Some(format!("it {does} (config.json: {architecture})"))
}

/// Of a network that takes images and gives no vector of scores.
#[must_use]
pub fn of_image_outputs(outputs: &[TensorSpec]) -> &'static str {
    let is_vector = |spec: &TensorSpec| spec.shape.len() == 2 || is_embedding(&spec.name);
    if outputs.iter().any(is_vector) {
        return "it turns images into vectors";
    }
    match outputs.iter().map(|spec| spec.shape.len()).max() {
        Some(4..) => "it looks like a model that makes images or masks of images",
        Some(3) => "it looks like a model that detects objects, or reads text in images",
        _ => "no output holds one vector of scores for an image",
    }
}

/// Whether an output's name says that it is an embedding.
#[must_use]
pub fn is_embedding(name: &str) -> bool {
    let name = name.to_lowercase();
    name.contains("embed")
        || [
            "last_hidden_state",
            "pooler_output",
            "hidden_states",
            "feature_vector",
            "pooled_output",
        ]
        .contains(&name.as_str())
}

/// Lengths that vectors have rather than lists of classes.
#[must_use]
pub fn is_embedding_width(width: usize) -> bool {
    matches!(
        width,
        128 | 192 | 256 | 384 | 512 | 640 | 768 | 1024 | 1280 | 1536 | 2048 | 2560 | 3072 | 4096
    )
}

/// The whole sentence for a model that is served as tensors.
#[must_use]
pub fn told(why: &str) -> String {
    format!(
        "{why}, so it is served as tensors through /v2 alone, and not by /predict; task = \"tensors\" in \
         model.toml says that this is meant"
    )
}
