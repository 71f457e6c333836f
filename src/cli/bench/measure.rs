//! The run: rounds in which every part takes a short turn, so that the machine's changes of speed meet
//! all of them; then the search for the knee, and what is beyond it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use indicatif::ProgressBar;

use super::hands::{Hands, Loop};
use super::inputs::Item;
use crate::load::knee::Search;
use crate::load::objective::Objective;
use crate::load::open::Arrivals;
use crate::load::summary::Summary;
use crate::load::target::Target;
use crate::load::turn::{Turn, meet};
use crate::load::{closed, open};

/// Rates of the open loop by default, as parts of what the largest closed loop carries.
const PARTS: [f64; 6] = [0.2, 0.4, 0.6, 0.8, 0.9, 1.0];
/// Rates past the knee, as multiples of it; the knee itself is measured beside them.
const PAST: [f64; 3] = [1.0, 1.5, 2.0];
/// Rates tried between the last that meets the objective and the first that does not.
const TRIES: usize = 4;
/// Turns in which a rate must meet the objective, since a queue may be short by luck.
const REPEATS: usize = 2;
/// Before a turn, so that what the one before has left is done.
const PAUSE: Duration = Duration::from_millis(30);
/// For answers that are missing at the end of an open loop's turn, if the objective is shorter.
const PATIENCE: Duration = Duration::from_millis(500);

/// What is measured, and for how long.
pub struct Plan {
    /// Of the closed loops.
    pub clients: Vec<usize>,
    /// Of the open loops; none: by what the server carries.
    pub rates: Vec<f64>,
    /// `None`: by the latency of one client.
    pub objective: Option<Objective>,
    /// Of each part, over all rounds.
    pub time: Duration,
    pub rounds: u32,
    pub seed: u64,
}

/// A server and what it is asked.
pub struct Subject {
    pub name: String,
    pub target: Arc<Target>,
}

/// All turns of everything.
pub struct Measured {
    pub objective: Objective,
    /// On all cores at once.
    pub by_hand: Steps,
    /// One item after the other, on one thread.
    pub alone: Steps,
    pub noop: Closed,
    pub served: Curve,
    pub others: Vec<Curve>,
    pub knee: Option<f64>,
    /// By multiples of the knee.
    pub past: Vec<(f64, Turn)>,
}

#[derive(Default)]
pub struct Steps {
    pub decode: Vec<Turn>,
    pub preprocess: Vec<Turn>,
    pub run: Vec<Turn>,
    pub all: Vec<Turn>,
}

/// Turns by clients.
pub type Closed = Vec<(usize, Vec<Turn>)>;

/// Turns of one server.
pub struct Curve {
    pub name: String,
    pub closed: Closed,
    /// By rates.
    pub open: Vec<(f64, Vec<Turn>)>,
}

/// Everything that takes turns.
pub struct Bench {
    pub plan: Plan,
    pub items: Vec<Item>,
    pub crowd: Hands,
    pub alone: Hands,
    pub noop: Arc<Target>,
    pub served: Subject,
    pub others: Vec<Subject>,
    pub progress: ProgressBar,
}

impl Bench {
    /// # Errors
    /// A server that does not answer, or an item that the model does not take.
    pub async fn measure(mut self) -> anyhow::Result<Measured> {
        let turn = self.plan.time / self.plan.rounds;
        let most = self.plan.clients.iter().copied().max().unwrap_or(1);
        self.progress.set_message("warming up");
        // What is not warm yet, and what the server carries.
        let mut capacity = 0.0_f64;
        for subject in self.subjects() {
            let warm = closed::turn(&subject.target, most, turn).await;
            let warm = warm.with_context(|| subject.name.clone())?;
            if subject.name == self.served.name {
                capacity = warm.throughput();
            }
        }
        let lone = closed::turn(&self.served.target, 1, turn).await?;
        let objective = self.plan.objective.unwrap_or_else(|| default_objective(&lone));
        let patience = objective.bound.max(PATIENCE);
        let rates = match self.plan.rates.as_slice() {
            [] => PARTS.map(|part| round(capacity * part)).to_vec(),
            rates => rates.to_vec(),
        };
        let parts = 5 + 1 + (1 + self.others.len()) * (self.plan.clients.len() + rates.len());
        let rounds = u64::from(self.plan.rounds);
        self.progress
            .set_length(rounds * parts as u64 + (TRIES * REPEATS + PAST.len()) as u64 * rounds);

        let mut random = fastrand::Rng::with_seed(self.plan.seed);
        let (mut by_hand, mut alone) = (Steps::default(), Steps::default());
        let mut noop: Closed = [1, most].map(|clients| (clients, Vec::new())).into();
        let mut curves: Vec<Curve> = self.subjects().map(|s| self.curve(s, &rates)).collect();
        for _ in 0..self.plan.rounds {
            self.hands(&mut by_hand, &mut alone, turn).await?;
            for (clients, turns) in &mut noop {
                self.step("nothing, over HTTP").await;
                turns.push(closed::turn(&self.noop, *clients, turn).await?);
            }
            for index in 0..self.plan.clients.len() {
                for (curve, subject) in curves.iter_mut().zip(self.subjects()) {
                    let (clients, turns) = &mut curve.closed[index];
                    self.step(&format!("{}, {clients} clients", subject.name)).await;
                    let answers = closed::turn(&subject.target, *clients, turn).await;
                    turns.push(answers.with_context(|| subject.name.clone())?);
                }
            }
            for (index, rate) in rates.iter().copied().enumerate() {
                for (curve, subject) in curves.iter_mut().zip(self.subjects()) {
                    self.step(&format!("{}, {rate} a second", subject.name)).await;
                    let arrivals = Arrivals { rate, time: turn, patience };
                    let answers = open::turn(&subject.target, arrivals, &mut random).await;
                    curve.open[index].1.push(answers);
                }
            }
        }
        let mut served = curves.remove(0);
        let open = |rate| Arrivals { rate, time: self.plan.time, patience };
        let tried = served.open.iter().map(|(rate, turns)| (*rate, meet(turns, &objective)));
        // More than the server carries at best.
        let mut search = Search::between(&tried.collect::<Vec<_>>(), capacity * 1.25);
        for _ in 0..TRIES {
            let Some(rate) = search.candidate().map(round) else { break };
            let mut turns = Vec::new();
            while turns.len() < REPEATS && (turns.is_empty() || meet(&turns, &objective)) {
                self.progress.inc(rounds - 1);
                self.step(&format!("the knee: {rate} a second")).await;
                turns.push(open::turn(&self.served.target, open(rate), &mut random).await);
            }
            search.tell(rate, meet(&turns, &objective));
            served.open.push((rate, turns));
        }
        served.open.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let knee = search.knee();
        let mut past = Vec::new();
        for (times, knee) in PAST.iter().copied().zip(knee.into_iter().cycle()) {
            self.progress.inc(rounds - 1);
            self.step(&format!("{times} times the knee")).await;
            let arrivals = open(knee * times);
            past.push((times, open::turn(&self.served.target, arrivals, &mut random).await));
        }
        self.progress.finish_and_clear();
        Ok(Measured { objective, by_hand, alone, noop, served, others: curves, knee, past })
    }

    fn subjects(&self) -> impl Iterator<Item = &Subject> {
        std::iter::once(&self.served).chain(&self.others)
    }

    fn curve(&self, subject: &Subject, rates: &[f64]) -> Curve {
        Curve {
            name: subject.name.clone(),
            closed: self.plan.clients.iter().map(|clients| (*clients, Vec::new())).collect(),
            open: rates.iter().map(|rate| (*rate, Vec::new())).collect(),
        }
    }

    /// A turn of each loop by hand.
    async fn hands(
        &mut self,
        crowd: &mut Steps,
        alone: &mut Steps,
        time: Duration,
    ) -> anyhow::Result<()> {
        self.step("the session alone").await;
        crowd.run.push(self.crowd.turn(&self.items, Loop::Run, time)?.run);
        self.step("decoding and pre-processing").await;
        let encoded = self.crowd.turn(&self.items, Loop::Encode, time)?;
        crowd.decode.push(encoded.decode);
        crowd.preprocess.push(encoded.preprocess);
        self.step("all of it by hand").await;
        crowd.all.push(self.crowd.turn(&self.items, Loop::All, time)?.all);
        self.step("one item by hand").await;
        let steps = self.alone.turn(&self.items, Loop::All, time)?;
        alone.decode.push(steps.decode);
        alone.preprocess.push(steps.preprocess);
        alone.run.push(steps.run);
        alone.all.push(steps.all);
        Ok(())
    }

    /// Begins the next turn. A signal is noticed here at the latest.
    async fn step(&self, what: &str) {
        self.progress.inc(1);
        self.progress.set_message(what.to_owned());
        tokio::time::sleep(PAUSE).await;
    }
}

/// Ten times what one client waits, rounded up to 1, 2 or 5 times a power of ten; 10 ms at least, since
/// a shared machine may stop a process for some.
fn default_objective(lone: &Turn) -> Objective {
    let wanted = (Summary::of(lone.answered.iter().copied()).p50 * 10.0).max(10.0);
    let power = 10_f64.powf(wanted.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let bound = steps.into_iter().find(|step| *step >= wanted).unwrap_or(wanted);
    let bound = Duration::from_secs_f64(bound / 1e3);
    Objective { percentile: 99.0, bound }
}

/// To three digits, as rates are told.
fn round(rate: f64) -> f64 {
    let unit = 10_f64.powf(rate.max(0.001).log10().floor() - 2.0);
    ((rate / unit).round() * unit * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_objectives_are_round() {
        assert_eq!([309.71, 0.123_456, 41_237.0].map(round), [310.0, 0.123, 41_200.0]);
        let lone =
            |ms| Turn { answered: vec![Duration::from_secs_f64(ms / 1e3)], ..Turn::default() };
        let bounds = [0.1, 6.4, 23.0].map(|ms| default_objective(&lone(ms)).to_string());
        assert_eq!(bounds, ["p99<10ms", "p99<100ms", "p99<500ms"]);
    }
}
