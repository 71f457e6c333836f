//! Whether a row's answer depends on the rows beside it: a few rows that differ are asked by themselves
//! and together, before the model serves.
//!
//! Most networks answer alike to within rounding, which costs a few short runs. Only where answers differ
//! is it found out by what: by padding, so that rows of one length may still share runs, or by the others'
//! values or number, so that each runs by itself. A run of the same shape with copies of the row in the
//! others' place rounds as the run with the others does, so what differs between these two is no rounding.

mod arithmetic;
mod gap;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::rows::{Part, Rows, stack};
use crate::runtime::cancel::Cancel;
use crate::runtime::cost::Sample;
use crate::runtime::run;
use crate::runtime::session::Session;
use crate::signature::{BatchAxis, Batching};
use crate::tasks::Task;
use crate::tensor::Tensors;
use arithmetic::Arithmetic;
use gap::{Gap, Scale};

/// Rows that are asked of a network that is quick, and on a GPU, where the warm-up's second shape has as
/// many; and of others.
const ROWS: usize = 4;
const FEW: usize = 2;
/// Time of a row by itself from which few are enough.
const ENOUGH: Duration = Duration::from_millis(2);
/// A first run that takes longer is the only one of a row by itself.
pub const SLOW: Duration = Duration::from_millis(30);
const REFUSED: &str =
    "made-up inputs are refused, so that rows could not be tried beside each other";

/// What was found.
pub struct Found {
    pub axis: BatchAxis,
    pub batching: Batching,
    /// Why rows do not share runs as the network's inputs say that they may, for people.
    pub because: Option<String>,
    /// The outputs for some rows, each by itself.
    pub runs: Vec<Tensors>,
    /// What runs took, of rows that are all of one shape.
    pub samples: Vec<Sample>,
}

/// What is tried, and on what.
pub struct Subject<'a> {
    pub session: &'a dyn Session,
    pub task: &'a dyn Task,
    pub network: &'a Path,
    /// Most rows of a run that are configured.
    pub most: usize,
    pub on_gpu: bool,
}

/// What runs rows.
struct Network<'a> {
    session: &'a dyn Session,
    outputs: Vec<String>,
    axis: BatchAxis,
}

/// Rows, and what was answered to them.
struct Trial<'a> {
    network: Network<'a>,
    /// Each of one row.
    rows: Vec<Rows>,
    /// The answers to each by itself, as far as it was asked.
    alone: Vec<Option<Tensors>>,
    samples: Vec<Sample>,
}

/// Asks the network.
///
/// # Errors
/// The first row cannot be made, or its run fails.
pub fn find(subject: Subject<'_>) -> Result<Found, Error> {
    let Subject { session, task, network, most, on_gpu } = subject;
    let axis = task.batch_axis();
    let room = run::max_batch_size(axis, most).min(most);
    let rows = task.varied_rows(FEW)?;
    let (outputs, samples) = (task.outputs(), Vec::new());
    if rows.is_opaque() {
        let run = run::whole(session, &rows.tensors, &outputs, &Cancel::new(1))?;
        return Ok(Found {
            axis,
            batching: Batching::Alone,
            because: None,
            runs: vec![run],
            samples,
        });
    }
    let rows = each(&rows, 0);
    let alone = vec![None; rows.len()];
    let mut trial = Trial { network: Network { session, outputs, axis }, rows, alone, samples };
    let (first, start) = (trial.ask_first(on_gpu)?, Instant::now());
    if first <= SLOW || on_gpu {
        trial.ask_rest();
        if room > FEW && (start.elapsed() < ENOUGH || on_gpu) {
            trial.rows.extend(each(&task.varied_rows(ROWS.min(room))?, FEW));
            trial.ask_rest();
        }
    }
    let has_no_axis = trial.network.axis == BatchAxis::InputsOnly;
    if room < 2 || has_no_axis {
        let because =
            has_no_axis.then(|| "the first axis of an output is not that of rows".to_owned());
        return Ok(trial.found(Batching::Alone, because));
    }
    let arithmetic = Arithmetic::of(network);
    if let Some(operator) = arithmetic.of_whole_run {
        let because = format!("{operator} takes its scale from all rows of a run");
        return Ok(trial.found(Batching::Alone, Some(because)));
    }
    // Of a slow network's second row nothing is known: it goes before the first, where most of what rows
    // could do to another is done.
    if first <= SLOW || on_gpu {
        trial.forget_failed();
    }
    if trial.rows.len() < 2 {
        return Ok(trial.found(Batching::Together, Some(REFUSED.to_owned())));
    }
    let coarse = arithmetic.is_coarse || on_gpu;
    let (batching, because) = trial.judge(coarse);
    Ok(trial.found(batching, because))
}

impl Found {
    /// The sentence for people, whole.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        let so = match self.batching {
            Batching::Together => "rows share runs all the same",
            Batching::OwnLength => "rows share runs only with others of as many tokens",
            Batching::Alone => "each row runs by itself",
        };
        self.because.as_ref().map(|because| format!("{because}: {so}"))
    }
}

impl Network<'_> {
    fn run(&mut self, rows: &[&Rows]) -> Result<Tensors, Error> {
        let parts: Vec<Part<'_>> = rows.iter().map(|rows| (*rows, 0..1)).collect();
        let batch = stack(&parts).ok_or_else(|| Error::internal("rows differ in shape"))?;
        run::run(self.session, &batch, &self.outputs, self.axis, &Cancel::new(1))
    }
}

impl Trial<'_> {
    /// Asks the first row by itself, and tells how long it took.
    fn ask_first(&mut self, on_gpu: bool) -> Result<Duration, Error> {
        let start = Instant::now();
        let first = self.network.run(&[&self.rows[0]]);
        let first = match first {
            Err(error) if self.network.axis == BatchAxis::Dynamic => self.without_axis(error)?,
            first => first?,
        };
        let took = start.elapsed();
        self.alone[0] = Some(first);
        if took > SLOW && !on_gpu {
            self.sample(1, took);
        }
        Ok(took)
    }

    /// Asks the rows that were not asked yet by themselves, and tells whether none failed: a number that
    /// we made up may be one that the network refuses.
    fn ask_rest(&mut self) -> bool {
        self.alone.resize(self.rows.len(), None);
        for row in 0..self.rows.len() {
            if self.alone[row].is_none() {
                let start = Instant::now();
                self.alone[row] = self.network.run(&[&self.rows[row]]).ok();
                self.sample(1, start.elapsed());
            }
        }
        self.alone.iter().all(Option::is_some)
    }

    /// The answer of a network whose outputs have no axis of rows: of one shape whatever the row.
    fn without_axis(&mut self, error: Error) -> Result<Tensors, Error> {
        self.network.axis = BatchAxis::InputsOnly;
        let mut shapes = |row: usize| {
            let answer = self.network.run(&[self.rows.get(row)?]).ok()?;
            let shapes: Vec<_> = answer.0.iter().map(|(_, t)| t.shape().to_vec()).collect();
            Some((answer, shapes))
        };
        match (shapes(0), shapes(1)) {
            (Some((first, one)), Some((_, other))) if one == other => Ok(first),
            _ => Err(error),
        }
    }

    fn forget_failed(&mut self) {
        let (rows, alone) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.alone));
        let (rows, alone) =
            rows.into_iter().zip(alone).filter(|(_, alone)| alone.is_some()).unzip();
        (self.rows, self.alone) = (rows, alone);
    }

    fn judge(&mut self, coarse: bool) -> (Batching, Option<String>) {
        // The first row in their midst: some networks look back only, or ahead only.
        let order: Vec<usize> = [1, 0].into_iter().chain(2..self.rows.len()).collect();
        let rows: Vec<Rows> = order.iter().map(|row| self.rows[*row].clone()).collect();
        let start = Instant::now();
        let together = self.network.run(&rows.iter().collect::<Vec<_>>());
        let took = start.elapsed();
        let padded = match &together {
            Ok(answers) => {
                self.sample(rows.len(), took);
                let gap = self.gap(answers, &order);
                if gap.is_rounding() {
                    self.learn(answers, &order);
                    return (Batching::Together, None);
                }
                Ok(gap)
            }
            Err(_) if !self.ask_rest() => {
                return (Batching::Together, Some(REFUSED.to_owned()));
            }
            Err(error) => Err(told(rows.len(), error)),
        };
        if self.is_random() {
            let because = "the network answers one row differently from run to run, so that what \
                           others do to it could not be tried";
            return (Batching::Together, Some(because.to_owned()));
        }
        let length = self.rows[0].length(0);
        let is_mixed = rows.iter().any(|row| row.length(0) != length);
        let (beside, rows) = match is_mixed {
            false => (padded.clone(), rows),
            true => {
                // Rows at least as long as the first, cut to its length.
                let fits = |row: &&Rows| row.length(0) >= length;
                let rows = rows.iter().filter(fits).filter_map(|row| row.only(0, length));
                let rows: Vec<Rows> = rows.collect();
                (self.beside(&rows), rows)
            }
        };
        let beside = match beside {
            Ok(gap) if gap.is_rounding() => Ok(()),
            Ok(gap) if coarse && gap.is_jump() && self.copies_agree(&rows) => Ok(()),
            Ok(gap) => Err(format!("a row's answer changes with the rows beside it ({gap})")),
            Err(because) => Err(because),
        };
        match (beside, padded) {
            (Err(because), _) => (Batching::Alone, Some(because)),
            (Ok(()), Ok(gap)) if coarse && gap.is_jump() => (Batching::Together, None),
            (Ok(()), Ok(gap)) => {
                let because = format!("a row's answer changes when it is padded ({gap})");
                (Batching::OwnLength, Some(because))
            }
            (Ok(()), Err(because)) => (Batching::OwnLength, Some(because)),
        }
    }

    /// How far the first row's answer is from its own by itself, among rows of its length.
    fn beside(&mut self, rows: &[Rows]) -> Result<Gap, String> {
        let at = self.place(rows);
        if rows.len() < 2 {
            return Err("rows of one length could not be tried".to_owned());
        }
        let answers = self.network.run(&rows.iter().collect::<Vec<_>>());
        let answers = answers.map_err(|error| told(rows.len(), &error))?;
        let order: Vec<usize> =
            (0..rows.len()).map(|n| if n == at { 0 } else { usize::MAX }).collect();
        Ok(self.gap(&answers, &order))
    }

    /// Whether copies of the first row in the place of its neighbours give exactly what these give.
    fn copies_agree(&mut self, rows: &[Rows]) -> bool {
        let at = self.place(rows);
        let with = self.network.run(&rows.iter().collect::<Vec<_>>());
        let copies = self.network.run(&vec![&self.rows[0]; rows.len()]);
        let (Ok(with), Ok(copies)) = (with, copies) else { return false };
        let [with, copies] = [with, copies].map(|answers| answers.slice_rows(at, at + 1));
        let scale = Scale::of([&with, &copies]);
        Gap::between(&copies, &with, false, &scale).is_rounding()
    }

    /// Where the first row is among these.
    fn place(&self, rows: &[Rows]) -> usize {
        rows.iter().position(|row| row.tensors == self.rows[0].tensors).unwrap_or(0)
    }

    /// Whether the first row is answered otherwise when it is asked again.
    fn is_random(&mut self) -> bool {
        let Some(before) = &self.alone[0] else { return false };
        self.network.run(&[&self.rows[0]]).is_ok_and(|again| {
            let scale = Scale::of(self.alone.iter().flatten());
            !Gap::between(before, &again, false, &scale).is_rounding()
        })
    }

    /// The largest difference of a row's answer among others from its own by itself. `order` tells the
    /// rows of `answers`.
    fn gap(&self, answers: &Tensors, order: &[usize]) -> Gap {
        let left = self.rows[0].lengths.as_ref().is_some_and(|lengths| lengths.left);
        let scale = Scale::of(self.alone.iter().flatten().chain([answers]));
        let gaps = order.iter().enumerate().filter_map(|(place, row)| {
            let alone = self.alone.get(*row)?.as_ref()?;
            Some(Gap::between(alone, &answers.slice_rows(place, place + 1), left, &scale))
        });
        gaps.reduce(Gap::larger).unwrap_or_default()
    }

    /// What rows share runs says of those that were not asked by themselves.
    fn learn(&mut self, answers: &Tensors, order: &[usize]) {
        for (place, row) in order.iter().enumerate() {
            self.alone[*row].get_or_insert_with(|| answers.slice_rows(place, place + 1));
        }
    }

    /// Keeps what a run took, if it says something of others.
    fn sample(&mut self, rows: usize, time: Duration) {
        if self.rows[0].lengths.is_none() {
            self.samples.push(Sample { rows, units: rows, time });
        }
    }

    fn found(self, batching: Batching, because: Option<String>) -> Found {
        let Self { network: Network { axis, .. }, alone, samples, .. } = self;
        Found { axis, batching, because, runs: alone.into_iter().flatten().collect(), samples }
    }
}

/// The rows from this one on by themselves.
fn each(rows: &Rows, from: usize) -> Vec<Rows> {
    (from..rows.count()).filter_map(|row| rows.only(row, usize::MAX)).collect()
}

fn told(rows: usize, error: &Error) -> String {
    let cause = error.cause.clone().unwrap_or_else(|| error.to_string());
    let line = cause.lines().next().unwrap_or_default();
    format!("a run of {rows} rows fails ({})", crate::error::excerpt(line))
}
