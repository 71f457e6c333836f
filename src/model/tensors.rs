//! The way past the task: the network's own inputs in, its own outputs out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Model, Terms, Timings};
use crate::error::{Error, ErrorKind, excerpt, one_of, told_shape};
use crate::rows::Rows;
use crate::runtime::session::INVALID_ARGUMENT;
use crate::signature::{BatchAxis, Signature, TensorSpec};
use crate::tasks::{Input, Parameters, Stages};
use crate::tensor::{Tensor, Tensors};

/// Outputs by name, and where the time went.
pub struct Inferred {
    pub tensors: Tensors,
    pub timings: Timings,
}

impl Model {
    /// Runs the network on these inputs, which may be in any order, and gives the outputs of these
    /// names in theirs; all of them if none is named. Rows share runs with other requests' where the
    /// model's first axis is known to be the batch's. Dropping the future abandons them.
    ///
    /// # Errors
    /// Names, types or shapes that are not the model's; what the network itself refuses; a full
    /// queue; a deadline that cannot be met; a failed run.
    pub async fn infer(
        &self,
        inputs: Tensors,
        outputs: &[String],
        terms: Terms,
    ) -> Result<Inferred, Error> {
        let inputs = self.taken(inputs)?;
        let outputs = self.outputs(outputs)?;
        let tokens = self.tokens_of(&inputs);
        let rows = rows(&self.signature, self.engine.axis, inputs, &outputs).of_tokens(tokens);
        let count = rows.count();
        self.check_rows(count)?;
        let _in_flight = self.in_flight();
        let began = Instant::now();
        let engine = &self.engine;
        let asking = engine.admission.asking(count, terms, &[]).of_units(count * tokens);
        if let Some(deadline) = terms.deadline {
            engine.admission.can_meet(&engine.pool, &asking, deadline)?;
        }
        let admitted = engine.admission.admit(&engine.pool, &asking)?;
        let waiting = engine.pool.enqueue(rows, &outputs, asking.order, admitted.due())?;
        let begun = admitted.queued();
        let ran = waiting.outputs().await.map_err(|error| blame(error, &self.name))?;
        begun.answered(began + ran.queued, Duration::ZERO);
        let timings = Timings::of_run(began, &ran);
        self.metrics.queue.observe(timings.queue.as_secs_f64());
        self.metrics.infer.observe(timings.infer.as_secs_f64());
        self.count(count, &timings);
        Ok(Inferred { tensors: ran.tensors, timings })
    }

    /// The inputs in the order in which the network declares them. For a compute thread, as long as they
    /// may be refused: millions of strings are not freed in a moment.
    ///
    /// # Errors
    /// Names, types or shapes that are not the model's; more rows than one request may have.
    pub fn taken(&self, inputs: Tensors) -> Result<Tensors, Error> {
        let inputs = in_order(&self.signature, inputs)?;
        if let Some(most) = self.engine.task.most_tokens() {
            check_tokens(&inputs, most)?;
        }
        if are_rows(&self.signature, self.engine.axis, &inputs) && !self.may_be_one() {
            self.check_rows(inputs.rows())?;
        }
        Ok(inputs)
    }

    /// Tokens of each of these rows; 1 where the model's rows are not of tokens.
    fn tokens_of(&self, inputs: &Tensors) -> usize {
        let tokens = |(_, tensor): &(String, Tensor)| tensor.shape().get(1).copied();
        let longest = inputs.0.iter().filter_map(tokens).max();
        longest.filter(|_| self.engine.task.most_tokens().is_some()).unwrap_or(1).max(1)
    }

    /// Whether an output without a row for each of the inputs' makes them one piece.
    fn may_be_one(&self) -> bool {
        self.signature.outputs.iter().any(|spec| spec.shape.first() != Some(&None))
    }

    fn check_rows(&self, count: usize) -> Result<(), Error> {
        if count <= self.limits.max_rows {
            return Ok(());
        }
        let expected = format!("at most {} rows in one request", self.limits.max_rows);
        Err(Error::too_large("inputs", expected, count.to_string()))
    }

    /// What the network takes for this input, as the model's task makes it.
    ///
    /// # Errors
    /// Input that the model cannot take.
    pub fn network_inputs_of(&self, input: &Input) -> Result<Tensors, Error> {
        self.check(input)?;
        let task = &self.engine.task;
        let rows = task.encode(input, &Parameters::default(), &Stages::default())?;
        // Of several rows for a network without a batch axis the shape tells that it takes one.
        Ok(if rows.count() == 1 { self.network_inputs(&rows) } else { rows.tensors })
    }

    /// Most rows of several requests' tensors in one run; 0 if they do not share runs.
    #[must_use]
    pub fn max_batch_size(&self) -> usize {
        let Signature { inputs, outputs } = &self.signature;
        let open = self.engine.axis == BatchAxis::Dynamic
            && !inputs.is_empty()
            && inputs.iter().chain(outputs).all(|spec| spec.shape.first() == Some(&None));
        if open { self.engine.pool.max_batch_size() } else { 0 }
    }

    /// Checks the names of the outputs that are asked for; none stand for all.
    fn outputs(&self, asked: &[String]) -> Result<Arc<[String]>, Error> {
        let known = || {
            let tensors = self.signature.outputs.iter().filter(|spec| spec.data_type().is_some());
            tensors.map(|spec| spec.name.as_str())
        };
        let names: Vec<&str> = if asked.is_empty() { Vec::new() } else { known().collect() };
        let (places, mut taken) = (Places::of(&names), vec![false; names.len()]);
        for (index, name) in asked.iter().enumerate() {
            let field = || format!("outputs[{index}].name");
            let Some(place) = places.find(name) else {
                let expected = one_of(name, known());
                return Err(Error::invalid(field(), expected, format!("`{}`", excerpt(name))));
            };
            if std::mem::replace(&mut taken[place], true) {
                let got = format!("`{}` again", excerpt(name));
                return Err(Error::invalid(field(), "each output once", got));
            }
        }
        Ok(match asked {
            [] => known().map(str::to_owned).collect(),
            some => some.into(),
        })
    }
}

/// Where names are in a list, of which some models have thousands.
enum Places<'a> {
    Few(&'a [&'a str]),
    Many(HashMap<&'a str, usize>),
}

impl<'a> Places<'a> {
    fn of(names: &'a [&'a str]) -> Self {
        const FEW: usize = 8;
        match names.len() {
            ..=FEW => Self::Few(names),
            _ => Self::Many(names.iter().copied().zip(0..).collect()),
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        match self {
            Self::Few(names) => names.iter().position(|known| *known == name),
            Self::Many(places) => places.get(name).copied(),
        }
    }
}

/// The inputs in the order in which the model declares them.
fn in_order(signature: &Signature, inputs: Tensors) -> Result<Tensors, Error> {
    let names: Vec<&str> = signature.inputs.iter().map(|spec| spec.name.as_str()).collect();
    let places = Places::of(&names);
    let mut ordered: Vec<Option<(String, Tensor)>> = vec![None; signature.inputs.len()];
    let mut several = None;
    for (index, (name, tensor)) in inputs.0.into_iter().enumerate() {
        let Some(place) = places.find(&name) else {
            let expected = one_of(&name, names.iter().copied());
            let got = format!("`{}`", excerpt(&name));
            return Err(Error::invalid(format!("inputs[{index}].name"), expected, got));
        };
        check(&signature.inputs[place], &tensor)?;
        if ordered[place].replace((name, tensor)).is_some() {
            several.get_or_insert(place);
        }
    }
    if let Some(place) = several {
        let name = &signature.inputs[place].name;
        return Err(Error::invalid(name, "one input of that name", "several"));
    }
    let given = signature.inputs.iter().zip(ordered).map(|(spec, input)| {
        input.ok_or_else(|| Error::invalid(&spec.name, spec.to_string(), "no such input"))
    });
    given.collect::<Result<_, _>>().map(Tensors)
}

/// # Errors
/// Rows of more tokens than the model has room for.
fn check_tokens(inputs: &Tensors, most: usize) -> Result<(), Error> {
    let tokens = |tensor: &Tensor| tensor.shape().get(1).copied().unwrap_or(0);
    match inputs.0.iter().find(|(_, tensor)| tokens(tensor) > most) {
        None => Ok(()),
        Some((name, tensor)) => {
            let got = format!("{} {}", tensor.data_type().name(), told_shape(tensor.shape()));
            Err(Error::invalid(name, format!("at most {most} tokens a row"), got))
        }
    }
}

/// Type and shape against what the model declares; -1 stands for an axis of any length.
fn check(spec: &TensorSpec, tensor: &Tensor) -> Result<(), Error> {
    let (shape, declared) = (tensor.shape(), &spec.shape);
    let fits = |(axis, declared): (&usize, &Option<usize>)| declared.is_none_or(|d| d == *axis);
    // A shape that the model does not declare at all looks like a scalar's.
    let shape_fits = declared.is_empty()
        || (shape.len() == declared.len() && shape.iter().zip(declared).all(fits));
    if spec.data_type() == Some(tensor.data_type()) && shape_fits {
        return Ok(());
    }
    let got = format!("{} {}", tensor.data_type().name(), told_shape(shape));
    Err(Error::invalid(&spec.name, spec.to_string(), got))
}

/// As rows where every first axis is the batch's and of one length, else as one piece.
fn rows(signature: &Signature, axis: BatchAxis, inputs: Tensors, outputs: &[String]) -> Rows {
    let names: Vec<&str> = outputs.iter().map(String::as_str).collect();
    let asked = Places::of(&names);
    let mut of_outputs = signature.outputs.iter().filter(|spec| asked.find(&spec.name).is_some());
    match are_rows(signature, axis, &inputs) && of_outputs.all(is_open) {
        true => Rows::alike(inputs),
        false => Rows::opaque(inputs),
    }
}

/// Whether every input's first axis is the batch's, and of one length.
fn are_rows(signature: &Signature, axis: BatchAxis, inputs: &Tensors) -> bool {
    let count = inputs.rows();
    axis == BatchAxis::Dynamic
        && count > 0
        && inputs.0.iter().all(|(_, tensor)| tensor.shape().first() == Some(&count))
        && signature.inputs.iter().all(is_open)
}

fn is_open(spec: &TensorSpec) -> bool {
    spec.shape.first() == Some(&None)
}

/// A run that fails over its inputs is the client's, who gave them as the network takes them.
fn blame(error: Error, model: &str) -> Error {
    match (error.reason(), &error.cause) {
        (INVALID_ARGUMENT, Some(cause)) => {
            let said: String = cause.chars().take(200).collect();
            let detail = format!("model `{model}` cannot be run on these inputs: {said}");
            Error::new(ErrorKind::InvalidInput, detail)
        }
        _ => error,
    }
}
