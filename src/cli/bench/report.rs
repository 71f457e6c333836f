//! The figures, as JSON has them. Times are milliseconds, rates are a second.

use std::time::Duration;

use serde::Serialize;

use super::measure::{Closed, Curve, Measured, Steps};
use crate::load::summary::{Summary, median, milliseconds, quartiles};
use crate::load::turn::{Turn, meet};

#[derive(Serialize)]
pub struct Report {
    #[serde(flatten)]
    pub what: What,
    pub objective: String,
    /// Loops on all cores, a single-threaded session each.
    pub by_hand: ByHand,
    /// One item after the other, with a session like the server's; medians.
    pub one_item_ms: OneItem,
    /// A path that does nothing.
    pub noop: Vec<ClosedLoop>,
    pub served: Server,
    pub others: Vec<Server>,
    /// At the most clients.
    pub efficiency: Efficiency,
    /// What one client waits for, beyond the steps by hand.
    pub added_p50_ms: f64,
    /// The highest rate that meets the objective.
    pub knee: Option<f64>,
    pub goodput: Vec<PastKnee>,
}

/// What was measured, and how.
#[derive(Serialize)]
pub struct What {
    pub model: String,
    pub task: &'static str,
    pub file: String,
    pub device: String,
    pub cores: usize,
    pub sessions: usize,
    pub threads_a_session: usize,
    pub inputs: usize,
    pub rounds: u32,
    /// Of each part, over all rounds.
    pub seconds: f64,
    pub seed: u64,
}

#[derive(Serialize)]
pub struct ByHand {
    pub session: Part,
    /// `None` where nothing is decoded.
    pub decode: Option<Part>,
    pub preprocess: Option<Part>,
    #[serde(rename = "loop")]
    pub all: Part,
    /// Of the loop.
    pub cpu_ms_an_item: f64,
}

/// One kind of turn, over all rounds.
#[derive(Serialize)]
pub struct Part {
    /// Median of the rounds.
    pub throughput: f64,
    /// First and third.
    pub quartiles: [f64; 2],
    /// Of all rounds together.
    pub latency_ms: Summary,
}

#[derive(Serialize)]
pub struct OneItem {
    pub decode: f64,
    pub preprocess: f64,
    pub session: f64,
}

#[derive(Serialize)]
pub struct Server {
    pub name: String,
    pub closed: Vec<ClosedLoop>,
    pub open: Vec<OpenLoop>,
}

/// A closed loop.
#[derive(Serialize)]
pub struct ClosedLoop {
    pub clients: usize,
    #[serde(flatten)]
    pub part: Part,
    pub failed: usize,
    pub failure: Option<String>,
    /// Of the server's processor time; `None` for a process that is not ours.
    pub cpu_ms_an_item: Option<f64>,
    /// The server's part of its and the load generator's processor time.
    pub server_share_of_cpu: Option<f64>,
}

/// An open loop.
#[derive(Serialize)]
pub struct OpenLoop {
    pub rate: f64,
    pub asked: usize,
    pub answered: usize,
    pub failed: usize,
    pub failure: Option<String>,
    pub given_up: usize,
    /// Given-up requests count with the time until then.
    pub latency_ms: Summary,
    /// How much later than it should have a request was sent.
    pub late_p99_ms: f64,
    pub meets_objective: bool,
}

#[derive(Serialize)]
pub struct Efficiency {
    pub clients: usize,
    pub served_to_session: Ratio,
    pub served_to_loop: Ratio,
}

/// Of the two turns of each round.
#[derive(Serialize)]
pub struct Ratio {
    pub median: f64,
    pub quartiles: [f64; 2],
}

/// Past the knee.
#[derive(Serialize)]
pub struct PastKnee {
    pub times_knee: f64,
    /// Answers within the objective's time, a second.
    pub goodput: f64,
    #[serde(flatten)]
    pub load: OpenLoop,
}

impl Report {
    pub fn new(what: What, measured: &Measured) -> Self {
        let Measured { objective, by_hand, alone, served, .. } = measured;
        let rate = |rate: f64, turns: &[Turn]| OpenLoop::of(rate, turns, meet(turns, objective));
        let server = |curve: &Curve| Server {
            name: curve.name.clone(),
            closed: closed(&curve.closed),
            open: curve.open.iter().map(|(of, turns)| rate(*of, turns)).collect(),
        };
        let p50 = |turns: &[Turn]| latency(turns).p50;
        let one_item_ms = OneItem {
            decode: p50(&alone.decode),
            preprocess: p50(&alone.preprocess),
            session: p50(&alone.run),
        };
        let lone = served.closed.iter().min_by_key(|(clients, _)| *clients);
        let by_hand_p50 = one_item_ms.decode + one_item_ms.preprocess + one_item_ms.session;
        let goodput = measured.past.iter().map(|(times, turn)| PastKnee {
            times_knee: *times,
            goodput: turn.within(objective.bound) as f64 / turn.time.as_secs_f64(),
            load: rate(measured.knee.unwrap_or(0.0) * times, std::slice::from_ref(turn)),
        });
        Self {
            what,
            objective: objective.to_string(),
            by_hand: ByHand::of(by_hand),
            added_p50_ms: lone.map_or(f64::NAN, |(_, turns)| p50(turns) - by_hand_p50),
            one_item_ms,
            noop: closed(&measured.noop),
            served: server(served),
            others: measured.others.iter().map(server).collect(),
            efficiency: Efficiency::of(by_hand, &served.closed),
            knee: measured.knee,
            goodput: goodput.collect(),
        }
    }

    /// The closed loop with the most clients.
    pub fn crowd(&self) -> Option<&ClosedLoop> {
        self.served.closed.iter().max_by_key(|loops| loops.clients)
    }
}

fn latency(turns: &[Turn]) -> Summary {
    let given_up = turns.iter().flat_map(|turn| &turn.given_up);
    Summary::of(turns.iter().flat_map(|turn| &turn.answered).chain(given_up).copied())
}

fn closed(loops: &Closed) -> Vec<ClosedLoop> {
    loops.iter().map(|(clients, turns)| ClosedLoop::of(*clients, turns)).collect()
}

fn failure(turns: &[Turn]) -> Option<String> {
    turns.iter().find_map(|turn| turn.failure.clone())
}

impl Part {
    fn of(turns: &[Turn]) -> Self {
        let throughputs: Vec<f64> = turns.iter().map(Turn::throughput).collect();
        let [low, throughput, high] = quartiles(&throughputs);
        Self { throughput, quartiles: [low, high], latency_ms: latency(turns) }
    }

    /// `None` for a step that takes no time.
    fn of_step(turns: &[Turn]) -> Option<Self> {
        turns.iter().all(|turn| !turn.time.is_zero()).then(|| Self::of(turns))
    }
}

impl ByHand {
    fn of(steps: &Steps) -> Self {
        Self {
            session: Part::of(&steps.run),
            decode: Part::of_step(&steps.decode),
            preprocess: Part::of_step(&steps.preprocess),
            all: Part::of(&steps.all),
            cpu_ms_an_item: {
                let spent: Duration = steps.all.iter().map(|turn| turn.own_cpu).sum();
                let items: usize = steps.all.iter().map(|turn| turn.answered.len()).sum();
                milliseconds(spent) / items as f64
            },
        }
    }
}

impl ClosedLoop {
    fn of(clients: usize, turns: &[Turn]) -> Self {
        let server: Option<Duration> = turns.iter().map(|turn| turn.server_cpu).sum();
        let own: Duration = turns.iter().map(|turn| turn.own_cpu).sum();
        let items: usize = turns.iter().map(|turn| turn.answered.len()).sum();
        Self {
            clients,
            part: Part::of(turns),
            failed: turns.iter().map(|turn| turn.failed).sum(),
            failure: failure(turns),
            cpu_ms_an_item: server
                .filter(|_| items > 0)
                .map(|server| milliseconds(server) / items as f64),
            server_share_of_cpu: server
                .filter(|server| !server.is_zero())
                .map(|server| server.as_secs_f64() / (server + own).as_secs_f64()),
        }
    }
}

impl OpenLoop {
    fn of(rate: f64, turns: &[Turn], meets_objective: bool) -> Self {
        let sum = |count: fn(&Turn) -> usize| turns.iter().map(count).sum();
        Self {
            rate,
            asked: sum(Turn::asked),
            answered: sum(|turn| turn.answered.len()),
            failed: sum(|turn| turn.failed),
            failure: failure(turns),
            given_up: sum(|turn| turn.given_up.len()),
            latency_ms: latency(turns),
            late_p99_ms: Summary::of(turns.iter().flat_map(|turn| &turn.late).copied()).p99,
            meets_objective,
        }
    }
}

impl Efficiency {
    fn of(by_hand: &Steps, served: &Closed) -> Self {
        let (clients, turns) = served
            .iter()
            .max_by_key(|(clients, _)| *clients)
            .map_or((0, [].as_slice()), |(clients, turns)| (*clients, turns.as_slice()));
        Self {
            clients,
            served_to_session: Ratio::of(turns, &by_hand.run),
            served_to_loop: Ratio::of(turns, &by_hand.all),
        }
    }
}

impl Ratio {
    fn of(turns: &[Turn], to: &[Turn]) -> Self {
        let pairs = turns.iter().zip(to);
        let ratios: Vec<f64> = pairs.map(|(one, to)| one.throughput() / to.throughput()).collect();
        let [low, _, high] = quartiles(&ratios);
        Self { median: median(&ratios), quartiles: [low, high] }
    }
}
