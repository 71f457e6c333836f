//! Asks one or two models every item, with enough in work to keep their sessions busy.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::join_all;

use super::classification::Scores;
use super::data::{self, Dataset, FeatureShape, Item};
use super::survey::{Target, Truth};
use crate::config::Limits;
use crate::error::Error;
use crate::model::{Model, Terms};
use crate::runtime::job::Priority;
use crate::tasks::{Input, InputKind, Label, Parameters, Prediction, Value};

/// A model that is asked.
pub struct Entrant {
    pub model: Arc<Model>,
    /// For each of its classes the number that it goes by here; `None` where that is the same.
    pub numbers: Option<Vec<usize>>,
}

/// What a model says of one item.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Scores(Scores),
    Value(f64),
}

/// An item and what each model says of it, or why one of them says nothing.
pub struct Asked {
    pub item: Item,
    pub truth: Truth,
    pub answers: Result<Vec<Answer>, String>,
}

/// How many items are asked in one request, and how many such requests are in work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pace {
    items: usize,
    requests: usize,
}

/// Runs of all sessions that are in work or wait. Texts are packed by length out of what waits, and what is
/// done waits for the items before it.
const ROUNDS: usize = 8;
/// Images in work, each of which may be a large file.
const IMAGES: usize = 32;
/// Rows of features that are asked at once: a run takes less than the way to it.
const ROWS: usize = 128;

impl Pace {
    fn of(model: &Model, limits: &Limits) -> Self {
        let batch = model.rows_a_run().max(1);
        let round = batch * model.instances().max(1);
        let queue = model.bounds().max_queue_size;
        // Half, since the rows that are being tokenised count as well.
        let room = (queue / 2).max(1);
        let (items, in_work) = match model.input_kind() {
            InputKind::Image => (1, (2 * round).clamp(4, IMAGES)),
            InputKind::Text => (batch.min(16).min(limits.max_texts), (ROUNDS * round).max(64)),
            InputKind::Features | InputKind::Tensors => (ROWS.min(limits.max_rows), 4 * ROWS),
        };
        let items = items.clamp(1, room);
        Self { items, requests: (in_work.min(room) / items).max(1) }
    }
}

/// Asks the entrants every usable item and hands what they say on, in the items' order, until `take` says
/// that it is enough. Returns how many items were not usable.
///
/// # Errors
/// The data cannot be opened, and those of `take`.
pub async fn run(
    entrants: &[Entrant],
    data: &Dataset,
    target: &Target,
    shape: Option<&FeatureShape>,
    limits: &Limits,
    mut take: impl FnMut(Asked) -> anyhow::Result<bool>,
) -> anyhow::Result<u64> {
    let paces = entrants.iter().map(|entrant| Pace::of(&entrant.model, limits));
    let pace = paces.min_by_key(|pace| pace.items).unwrap_or(Pace { items: 1, requests: 1 });
    let mut unusable = 0_u64;
    let mut items = data.items()?.filter_map(|item| {
        let item = item.ok();
        let item = item.and_then(|item| Some((target.truth(&item.label).ok()?, item)));
        unusable += u64::from(item.is_none());
        item
    });
    let chunks = std::iter::from_fn(|| {
        let chunk: Vec<_> = items.by_ref().take(pace.items).collect();
        (!chunk.is_empty()).then_some(chunk)
    });
    let mut answers = futures_util::stream::iter(chunks)
        .map(|chunk| ask(entrants, target, shape, chunk))
        .buffered(pace.requests);
    'all: while let Some(asked) = answers.next().await {
        for one in asked {
            if !take(one)? {
                break 'all;
            }
        }
    }
    drop(answers);
    drop(items);
    Ok(unusable)
}

async fn ask(
    entrants: &[Entrant],
    target: &Target,
    shape: Option<&FeatureShape>,
    chunk: Vec<(Truth, Item)>,
) -> Vec<Asked> {
    let mut answers: Vec<Result<Vec<Answer>, String>> = Vec::with_capacity(chunk.len());
    let items: Vec<&Item> = chunk.iter().map(|(_, item)| item).collect();
    match together(entrants, target, shape, &items).await {
        Ok(all) => answers.extend(all.into_iter().map(Ok)),
        Err(reason) if chunk.len() == 1 => answers.push(Err(reason)),
        // One bad item fails the request of all, so each is asked by itself.
        Err(_) => {
            for item in items {
                let alone = together(entrants, target, shape, &[item]).await;
                answers.push(alone.map(|mut all| all.pop().unwrap_or_default()));
            }
        }
    }
    let asked = |((truth, item), answers)| Asked { item, truth, answers };
    chunk.into_iter().zip(answers).map(asked).collect()
}

/// Every entrant's answer to each item.
async fn together(
    entrants: &[Entrant],
    target: &Target,
    shape: Option<&FeatureShape>,
    items: &[&Item],
) -> Result<Vec<Vec<Answer>>, String> {
    let input = read(items, shape).await?;
    let asked = entrants.iter().map(|entrant| predict(entrant, target, input.clone(), items.len()));
    let mut all = vec![Vec::with_capacity(entrants.len()); items.len()];
    for answers in join_all(asked).await {
        for (of_item, answer) in all.iter_mut().zip(answers?) {
            of_item.push(answer);
        }
    }
    Ok(all)
}

/// Files are read on a thread that may wait for them.
async fn read(items: &[&Item], shape: Option<&FeatureShape>) -> Result<Input, String> {
    let reads_files = items.iter().any(|item| matches!(item.payload, data::Payload::Image(_)));
    if !reads_files {
        return data::input(items, shape);
    }
    let items: Vec<Item> = items.iter().copied().cloned().collect();
    let read = tokio::task::spawn_blocking(move || {
        let items: Vec<&Item> = items.iter().collect();
        data::input(&items, None)
    });
    read.await.unwrap_or_else(|error| Err(error.to_string()))
}

async fn predict(
    Entrant { model, numbers }: &Entrant,
    target: &Target,
    input: Input,
    items: usize,
) -> Result<Vec<Answer>, String> {
    let parameters = Parameters { top_k: usize::MAX, ..Parameters::default() };
    let terms = Terms { priority: Priority::Bulk, ..Terms::default() };
    let answered = model.predict(input, parameters, terms).await;
    let predictions = answered.map_err(|error: Error| error.to_string())?.predictions;
    if predictions.len() != items {
        return Err(format!("{} answers for {items} items", predictions.len()));
    }
    predictions.into_iter().map(|one| answer(one, target, numbers.as_deref())).collect()
}

fn answer(
    prediction: Prediction,
    target: &Target,
    numbers: Option<&[usize]>,
) -> Result<Answer, String> {
    match (prediction, target) {
        (Prediction::Classes { classes, .. }, Target::Classes(labels)) => {
            let expected = labels.names().len();
            if classes.len() != expected {
                return Err(format!("scores of {} classes, expected {expected}", classes.len()));
            }
            let number = |index: usize| numbers.map_or(index, |numbers| numbers[index]);
            let mut scores = vec![0.0; expected];
            for class in &classes {
                scores[number(class.index)] = class.score.to_f32();
            }
            let best = classes.first().map_or(0, |class| number(class.index));
            Ok(Answer::Scores(Scores { best, scores }))
        }
        // Without scores, the label has all of it.
        (Prediction::Label { label: Label::One(label), .. }, Target::Classes(labels)) => {
            let index = labels.names().iter().position(|name| **name == *label);
            let best = index.ok_or_else(|| format!("`{label}` is none of the model's classes"))?;
            let mut scores = vec![0.0; labels.names().len()];
            scores[best] = 1.0;
            Ok(Answer::Scores(Scores { best, scores }))
        }
        (Prediction::Value { value: Value::One(value) }, Target::Values) => {
            Ok(Answer::Value(value.to_f64()))
        }
        (Prediction::Value { value: Value::Many(values) }, Target::Values) => {
            Err(format!("the model gives {} values, and one is compared", values.len()))
        }
        _ => Err("the model answers with something else than its task says".to_owned()),
    }
}
