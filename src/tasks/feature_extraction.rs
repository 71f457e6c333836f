//! A text to a vector.

use std::ops::Range;
use std::sync::Arc;

use super::head::{FLOATS, output_named};
use super::note::{ASSUMED, SHAPES};
use super::pooling::{MASK, TokenPooling, normalize};
use super::sentence_transformers::SentenceTransformer;
use super::text::{self, TextEncoder};
use super::{
    Input, InputKind, Material, Note, Parameters, Part, Piece, Prediction, Reduction, Stages, Task,
    Unserved, varied,
};
use crate::config::Pooling;
use crate::error::Error;
use crate::rows::Rows;
use crate::signature::{BatchAxis, Signature, TensorSpec};
use crate::tensor::Tensors;

/// Outputs `[N,H]`: as Optimum exports a model of sentence-transformers, the text tower of a model of
/// images and texts, and what other exporters write.
const OF_TEXTS: [&str; 8] = [
    "sentence_embedding",
    "sentence_embeddings",
    "text_embeds",
    "text_embeddings",
    "text_embedding",
    "embeddings",
    "embedding",
    "pooled_output",
];
/// Outputs `[N,tokens,H]`.
const OF_TOKENS: [&str; 2] = ["last_hidden_state", "token_embeddings"];

struct FeatureExtraction {
    encoder: TextEncoder,
    output: String,
    /// `None` if the network gives one vector a text.
    pooling: Option<Arc<TokenPooling>>,
    /// Before a vector is cut.
    normalize: bool,
    /// Only so many of its first numbers are kept.
    dimensions: Option<usize>,
    /// And after it.
    normalize_cut: bool,
    batch_axis: BatchAxis,
    max_bytes: usize,
    notes: Vec<Note>,
    assumptions: Vec<String>,
}

/// Whether the names say that vectors of tokens or texts come out, and no scores.
pub fn fits(signature: &Signature) -> bool {
    let scores = signature.outputs.iter().any(|spec| spec.name == "logits");
    signature.input("input_ids").is_some() && vectors(signature).is_some() && !scores
}

/// Whether the network gives one vector a text by itself.
pub fn pools(signature: &Signature) -> bool {
    let is_pooled =
        |spec: &TensorSpec| OF_TEXTS.contains(&spec.name.as_str()) && spec.is(2, &FLOATS);
    signature.input("input_ids").is_some() && signature.outputs.iter().any(is_pooled)
}

fn vectors(signature: &Signature) -> Option<&TensorSpec> {
    let called = |name: &str, rank| {
        signature.outputs.iter().find(|spec| spec.name == name && spec.is(rank, &FLOATS))
    };
    let of_texts = OF_TEXTS.iter().find_map(|name| called(name, 2));
    of_texts.or_else(|| OF_TOKENS.iter().find_map(|name| called(name, 3)))
}

/// # Errors
/// What is missing for a model of embeddings.
pub fn build(material: Material<'_>) -> Result<Box<dyn Task>, Unserved> {
    let Material { signature, files, config, limits, .. } = material;
    let first = signature.inputs.first().ok_or("the model has no inputs")?;
    let found = SentenceTransformer::read(files)?;
    let encoder = TextEncoder::build(material, &found)?;
    let output = choose_output(signature, config.output.as_deref())?;
    let mut assumptions = Vec::new();
    let of_output = if config.output.is_some() { "model.toml" } else { SHAPES };
    let mut notes = vec![Note::new("output", output.name.clone(), of_output)];
    let pooling = if output.shape.len() == 3 {
        if let Some(module) = &found.unserved {
            return Err(Unserved::Unfit(format!(
                "modules.json: a module {module} is not served; export the network with its \
                 modules, so that it gives `{}` [N,H]",
                OF_TEXTS[0]
            )));
        }
        if signature.input(MASK).is_none() {
            return Err(Unserved::Unfit(format!(
                "the network takes no `{MASK}`, by which tokens are told from padding"
            )));
        }
        let modes = match (config.pooling, found.pooling.clone()) {
            (Some(mode), _) => {
                notes.push(pooling_note(&[mode], "model.toml"));
                vec![mode]
            }
            (None, Some(modes)) => {
                notes.push(pooling_note(&modes, "modules.json"));
                modes
            }
            (None, None) => {
                assumptions.push(format!(
                    "a text's vector is the mean of its tokens' in `{}`, since no file says how: \
                     pooling = \"mean\" (or \"cls\", \"max\", \"mean_sqrt_len\", \
                     \"weightedmean\", \"lasttoken\")",
                    output.name
                ));
                if config.normalize.is_none() {
                    assumptions.push(
                        "embeddings are not scaled to length 1; if they should be: \
                         normalize = true"
                            .to_owned(),
                    );
                }
                notes.push(pooling_note(&[Pooling::Mean], ASSUMED));
                vec![Pooling::Mean]
            }
        };
        let pooling = TokenPooling::new(&output.name, modes);
        Some(Arc::new(match (found.skips_prompt, &found.preparation.prompt) {
            (true, Some(prompt)) => pooling.without_first(encoder.prompt_length(prompt)?),
            _ => pooling,
        }))
    } else if config.pooling.is_some() {
        return Err(format!("pooling: output {output} holds one vector a text already").into());
    } else {
        if found.skips_prompt {
            return Err(Unserved::unfit(
                "1_Pooling/config.json: include_prompt = false beside a default prompt is not served of \
                 a network that pools by itself",
            ));
        }
        notes.push(Note::new("pooling", "none: the network gives a vector a text", SHAPES));
        None
    };
    // A network that gives a text's embedding has all the modules within.
    let by_itself = OF_TEXTS[..2].contains(&output.name.as_str());
    let normalizes = config.normalize.unwrap_or(found.normalize && !by_itself);
    let scaled = if normalizes { "to length 1" } else { "none" };
    notes.push(Note::new(
        "scaling",
        scaled,
        match config.normalize {
            Some(_) => "model.toml",
            None if by_itself => SHAPES,
            None if found.normalize => "modules.json",
            None => ASSUMED,
        },
    ));
    notes.extend(found.notes());
    Ok(Box::new(FeatureExtraction {
        encoder,
        output: output.name.clone(),
        pooling,
        normalize: normalizes,
        dimensions: found.dimensions,
        // As `encode(.., normalize_embeddings=True)` does.
        normalize_cut: config.normalize == Some(true),
        notes,
        batch_axis: BatchAxis::of(first),
        max_bytes: limits.max_text_bytes,
        assumptions,
    }))
}

fn pooling_note(modes: &[Pooling], from: &str) -> Note {
    let modes: Vec<_> = modes.iter().map(|mode| format!("{mode:?}").to_lowercase()).collect();
    Note::new("pooling", modes.join(", "), from)
}

/// By its name, else the only one of its rank.
fn choose_output<'a>(
    signature: &'a Signature,
    named: Option<&str>,
) -> Result<&'a TensorSpec, Unserved> {
    let of_rank = |rank: usize| {
        let mut fitting = signature.outputs.iter().filter(move |spec| spec.is(rank, &FLOATS));
        fitting.next().filter(|_| fitting.next().is_none())
    };
    let found = match named {
        Some(name) => Some(output_named(signature, name)?),
        None => vectors(signature).or_else(|| of_rank(3)).or_else(|| of_rank(2)),
    };
    found.filter(|spec| (2..=3).any(|rank| spec.is(rank, &FLOATS))).ok_or_else(|| {
        Unserved::Unfit(format!(
            "cannot tell which output holds the vectors, [N,tokens,H] or [N,H]: {}. Name it in \
             model.toml: output = \"…\"",
            Signature::list(&signature.outputs)
        ))
    })
}

impl FeatureExtraction {
    fn reduced(&self) -> &str {
        self.pooling.as_ref().map_or(&self.output, |pooling| pooling.reduced())
    }

    /// All vectors in row-major order, and how long one is.
    fn vectors(&self, outputs: &Tensors) -> Result<(Vec<f32>, usize), Error> {
        let bad = |got: String| Error::internal(format!("output `{}` {got}", self.output));
        let tensor = outputs.get(self.reduced()).ok_or_else(|| bad("is missing".to_owned()))?;
        let values = tensor.to_f32().ok_or_else(|| bad("holds no numbers".to_owned()))?;
        match tensor.shape() {
            [rows, width] if *rows > 0 && *width > 0 => Ok((values, *width)),
            shape => Err(bad(format!("has the shape {shape:?}, not one vector a text"))),
        }
    }
}

impl Task for FeatureExtraction {
    fn name(&self) -> &'static str {
        "feature-extraction"
    }

    fn input_kind(&self) -> InputKind {
        InputKind::Text
    }

    fn outputs(&self) -> Vec<String> {
        vec![self.reduced().to_owned()]
    }

    fn most_tokens(&self) -> Option<usize> {
        self.encoder.room()
    }

    fn batch_axis(&self) -> BatchAxis {
        self.batch_axis
    }

    fn is_small(&self, input: &Input) -> bool {
        text::is_small(input)
    }

    fn encode(&self, input: &Input, parameters: &Parameters, _: &Stages) -> Result<Rows, Error> {
        let texts = text::texts(input, self.max_bytes)?;
        texts.iter().try_for_each(text::refuse_pair)?;
        self.encoder.encode(texts, parameters)
    }

    fn pieces(&self, input: &Input) -> Vec<Piece> {
        text::pieces(input)
    }

    fn encode_piece(
        &self,
        input: &Input,
        items: Range<usize>,
        parameters: &Parameters,
        _: &Stages,
    ) -> Result<Part, Error> {
        let texts = text::of_piece(text::texts(input, self.max_bytes)?, items)?;
        texts.iter().try_for_each(text::refuse_pair)?;
        self.encoder.encode_piece(texts, parameters)
    }

    fn join(&self, _: &Input, parts: Vec<Part>) -> Result<Rows, Error> {
        self.encoder.join(parts)
    }

    fn decode(&self, outputs: &Tensors, _: &Parameters) -> Result<Vec<Prediction>, Error> {
        let (values, width) = self.vectors(outputs)?;
        if let Some(bad) = values.iter().find(|value| !value.is_finite()) {
            return Err(Error::internal(format!("output `{}` holds {bad}", self.output)));
        }
        let embedding = |vector: &[f32]| {
            let mut embedding = vector.to_vec();
            if self.normalize {
                normalize(&mut embedding);
            }
            if let Some(dimensions) = self.dimensions.filter(|most| *most < width) {
                embedding.truncate(dimensions);
                if self.normalize_cut {
                    normalize(&mut embedding);
                }
            }
            Prediction::Embedding { embedding }
        };
        Ok(values.chunks_exact(width).map(embedding).collect())
    }

    fn sample(&self, count: usize) -> Input {
        text::sample(count)
    }

    fn varied(&self, count: usize) -> Input {
        varied::texts(count, &self.encoder)
    }

    fn calibrate(&mut self, runs: &[Tensors]) -> Result<(), Unserved> {
        let check = |run| self.vectors(run).map(|_| ());
        runs.iter().try_for_each(check).map_err(|error| Unserved::Unfit(error.to_string()))
    }

    fn reduction(&self) -> Option<Arc<dyn Reduction>> {
        self.pooling.clone().map(|pooling| pooling as Arc<dyn Reduction>)
    }

    fn notes(&self) -> Vec<Note> {
        [self.encoder.notes(), self.notes.clone()].concat()
    }

    fn assumptions(&self) -> Vec<String> {
        [self.encoder.assumptions(), self.assumptions.clone()].concat()
    }
}
