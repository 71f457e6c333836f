//! Which setting is best: all get short turns under load, the better half of them longer ones, and so
//! on. Within a round the settings take turns, so that a disturbance of the machine hits all alike.

use std::time::Duration;

use serde::Serialize;

use super::candidates::{self, Candidate, Curve, Lone, Setting, Shape};
use super::entrant::{Entrant, Loaded};
use super::trial::{Goal, Load, Trial};

/// What the search measures with.
pub trait Machine {
    /// A request of this many rows by itself, with one session of this many threads; `None` if the
    /// rows would not share a run.
    ///
    /// # Errors
    /// The model cannot be loaded, or gives no answer.
    fn lone(&mut self, threads: usize, rows: usize) -> Result<Option<Lone>, String>;

    /// # Errors
    /// The model cannot be loaded with this setting.
    fn load(&mut self, setting: &Setting) -> Result<Loaded, String>;

    /// # Errors
    /// As [`Self::load`], or it gives no answer.
    fn trial(&mut self, setting: &Setting, goal: Goal, load: Load) -> Result<Trial, String>;

    /// The time since the search began.
    fn spent(&self) -> Duration;
}

/// What is searched.
#[derive(Debug, Clone)]
pub struct Plan {
    pub goal: Goal,
    pub cores: usize,
    pub layouts: Vec<Shape>,
    /// What the layout without any key comes to, if one of these is the same.
    pub default: Option<Shape>,
    /// What the model's file says now.
    pub present: Setting,
    /// For everything.
    pub budget: Duration,
    /// Measures at lower rates as well, to be drawn.
    pub curves: bool,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The best first; the present setting is one of them, and the default.
    pub entrants: Vec<Entrant>,
    /// Which of them to take.
    pub chosen: usize,
    pub verdict: Verdict,
    /// Settings that single runs ruled out, or for which there was no time.
    pub ruled_out: usize,
    /// Settings that failed, and why.
    pub failed: Vec<(Setting, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Clearly better than the present setting.
    Better,
    /// The present setting is the best.
    Best,
    /// Something measured better, but not by more than the measurements swing.
    WithinNoise,
    /// No setting meets the goal.
    None,
}

/// Turns of each setting in a round, and in the last one.
const TURNS: usize = 6;
const LAST_TURNS: usize = 12;
/// Settings of the last round, beside the present one and the default.
const FINALISTS: usize = 2;
/// A turn is never shorter, nor has fewer requests at the best setting's promise.
const SHORTEST: Duration = Duration::from_millis(100);
pub const FEWEST: f64 = 20.0;
/// The part of the budget after which no further setting is loaded.
const LOADING: u32 = 3;
/// The part of the budget that the drawn curves take, and their rates over the one that is carried.
const CURVES: f64 = 0.15;
const CURVE: [f64; 7] = [0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1];
/// Turns at each of these rates, the median of which is drawn.
const CURVE_TURNS: usize = 3;

struct Search<'a> {
    machine: &'a mut dyn Machine,
    plan: &'a Plan,
    note: &'a mut dyn FnMut(&str),
    entrants: Vec<Entrant>,
    failed: Vec<(Setting, String)>,
    /// Of the next turn, so that turns have patterns of arrivals of their own.
    seed: u64,
}

/// Runs the search. `note` is told what is measured next.
///
/// # Errors
/// The present setting or the default cannot be measured.
pub fn run(
    machine: &mut dyn Machine,
    plan: &Plan,
    note: &mut dyn FnMut(&str),
) -> Result<Outcome, String> {
    let mut search =
        Search { machine, plan, note, entrants: Vec::new(), failed: Vec::new(), seed: 0 };
    let ruled_out = search.enter()?;
    search.contest()?;
    let (chosen, verdict) = search.choose();
    if plan.curves {
        search.curves()?;
    }
    let Search { entrants, failed, .. } = search;
    Ok(Outcome { entrants, chosen, verdict, ruled_out, failed })
}

impl Search<'_> {
    /// Times single runs and enters what they leave; how many they ruled out.
    fn enter(&mut self) -> Result<usize, String> {
        let Plan { goal, cores, default, present, ref layouts, budget, .. } = *self.plan;
        let mut curves: Vec<Curve> = Vec::new();
        for threads in layouts.iter().map(|layout| layout.intra_op_threads.map_or(1, usize::from)) {
            if curves.iter().all(|curve| curve.threads != threads) {
                (self.note)(&format!("single runs, {threads} threads"));
                let lone = |rows| self.machine.lone(threads, rows);
                curves.push(candidates::curve(threads, goal.limit(), lone)?);
            }
        }
        let (mut kept, mut ruled_out) =
            candidates::candidates(layouts, &curves, default, cores, goal.limit());
        kept.sort_by(|a, b| b.bound.total_cmp(&a.bound));
        let bound = kept.first().map_or(1.0, |best| best.bound);
        // Where there is no time for all, the most promising ones.
        let shortest = SHORTEST.max(Duration::from_secs_f64(FEWEST / bound)).as_secs_f64();
        let turns = budget.as_secs_f64() / 2.0 / shortest / TURNS as f64;
        let room = (turns as usize).max(2);
        ruled_out += kept.len().saturating_sub(room);
        kept.truncate(room);
        let known = [present, Setting::default()].map(|setting| Candidate { setting, bound });
        for (index, candidate) in known.into_iter().chain(kept).enumerate() {
            if self.entrants.iter().any(|other| other.setting == candidate.setting) {
                continue;
            }
            if index >= known.len() && self.machine.spent() > budget / LOADING {
                ruled_out += 1;
                continue;
            }
            (self.note)(&format!("loading {}", candidate.setting));
            match self.machine.load(&candidate.setting) {
                Err(reason) if index < known.len() => return Err(reason),
                Err(reason) => self.failed.push((candidate.setting, reason)),
                // Keys that come to what there is already.
                Ok(loaded) if index >= known.len() && self.has(&candidate.setting, &loaded) => {}
                Ok(loaded) => self.entrants.push(Entrant::new(candidate, loaded, goal)),
            }
        }
        Ok(ruled_out)
    }

    fn has(&self, setting: &Setting, loaded: &Loaded) -> bool {
        let delay = |setting: &Setting| setting.max_queue_delay.unwrap_or_default();
        self.entrants.iter().any(|other| {
            other.loaded.layout == loaded.layout
                && other.loaded.max_batch_size == loaded.max_batch_size
                && delay(&other.setting) == delay(setting)
        })
    }

    /// Round after round, until few are left. Those of the last round come first then, the best first:
    /// only they can be compared.
    fn contest(&mut self) -> Result<(), String> {
        let mut alive: Vec<usize> = (0..self.entrants.len()).collect();
        for round in 1.. {
            let rivals = alive.iter().filter(|index| !self.is_known(**index)).count();
            // After the first round the delays come in.
            let left = rounds(rivals).max(if round == 1 { 2 } else { 1 });
            // The last one has the time of two.
            let (turns, share) = if left == 1 { (LAST_TURNS, 1) } else { (TURNS, left + 1) };
            self.round(round, &alive, turns, self.time_left() / share as u32)?;
            if left == 1 || self.time_left().is_zero() {
                break;
            }
            alive = self.better_half(alive);
            if round == 1 {
                alive.extend(self.enter_delays(&alive));
            }
        }
        self.entrants.sort_by(|a, b| {
            let merit = |entrant: &Entrant| entrant.merit().median;
            b.round.cmp(&a.round).then(merit(b).total_cmp(&merit(a)))
        });
        Ok(())
    }

    fn time_left(&self) -> Duration {
        let for_curves = if self.plan.curves { CURVES } else { 0.0 };
        self.plan.budget.mul_f64(1.0 - for_curves).saturating_sub(self.machine.spent())
    }

    fn round(
        &mut self,
        round: usize,
        alive: &[usize],
        turns: usize,
        time: Duration,
    ) -> Result<(), String> {
        for index in alive {
            self.entrants[*index].begin(round);
        }
        let length = time / (turns * alive.len().max(1)) as u32;
        for turn in 0..turns {
            self.seed += 1;
            let mut order = alive.to_vec();
            // Whoever comes after a heavy one is not always the same.
            order.rotate_left(turn % alive.len().max(1));
            for index in order {
                // Everybody has a turn at least.
                if turn > 0 && self.time_left().is_zero() {
                    return Ok(());
                }
                self.turn(index, length)?;
            }
        }
        Ok(())
    }

    fn turn(&mut self, index: usize, length: Duration) -> Result<(), String> {
        let entrant = &self.entrants[index];
        let rate = entrant.rate();
        let trial = self.trial(index, rate, length)?;
        self.entrants[index].turn(trial);
        Ok(())
    }

    fn trial(&mut self, index: usize, rate: f64, length: Duration) -> Result<Trial, String> {
        let setting = self.entrants[index].setting;
        (self.note)(&format!("{setting} at {rate:.0}/s"));
        self.machine.trial(&setting, self.plan.goal, Load { rate, length, seed: self.seed })
    }

    /// The better half of them, best first, and in any case the present setting and the default.
    fn better_half(&self, mut alive: Vec<usize>) -> Vec<usize> {
        let merit = |index: &usize| self.entrants[*index].merit().median;
        alive.sort_by(|a, b| merit(b).total_cmp(&merit(a)));
        let rivals = alive.iter().filter(|index| !self.is_known(**index)).count();
        let mut room = rivals.div_ceil(2).max(FINALISTS);
        alive.retain(|index| {
            if self.is_known(*index) {
                return true;
            }
            let stays = room > 0;
            room = room.saturating_sub(1);
            stays
        });
        alive
    }

    fn is_known(&self, index: usize) -> bool {
        let setting = self.entrants[index].setting;
        setting == self.plan.present || setting == Setting::default()
    }

    /// The best setting with batches, with sessions that wait for them.
    fn enter_delays(&mut self, alive: &[usize]) -> Vec<usize> {
        let batches = |index: &&usize| self.entrants[**index].loaded.max_batch_size > 1;
        let Some(best) = alive.iter().find(batches) else { return Vec::new() };
        let best = self.entrants[*best].clone();
        let mut entered = Vec::new();
        for setting in best.setting.delayed(self.plan.goal.limit()) {
            if self.entrants.iter().any(|other| other.setting == setting) {
                continue;
            }
            match self.machine.load(&setting) {
                Err(reason) => self.failed.push((setting, reason)),
                Ok(loaded) => {
                    entered.push(self.entrants.len());
                    self.entrants.push(best.variant(setting, loaded));
                }
            }
        }
        entered
    }

    /// The entrants are in order. A change must be clear. Of those that the best is not clearly over,
    /// the default needs no keys, and who does not wait for batches answers a lone request sooner.
    fn choose(&self) -> (usize, Verdict) {
        let entrants = &self.entrants;
        let is_present = |entrant: &Entrant| entrant.setting == self.plan.present;
        let present = entrants.iter().position(is_present).unwrap_or_default();
        let merit = |index: usize| entrants[index].merit();
        if !entrants[0].meets() {
            return (present, Verdict::None);
        }
        if present == 0 {
            return (present, Verdict::Best);
        }
        if !merit(0).clearly_over(&merit(present)) {
            return (present, Verdict::WithinNoise);
        }
        let as_good = (0..entrants.len()).filter(|index| {
            entrants[*index].round == entrants[0].round
                && !merit(0).clearly_over(&merit(*index))
                && merit(*index).clearly_over(&merit(present))
        });
        let keys = |index: &usize| {
            let setting = entrants[*index].setting;
            (setting != Setting::default(), setting.max_queue_delay.unwrap_or_default())
        };
        (as_good.min_by_key(keys).unwrap_or_default(), Verdict::Better)
    }

    /// The best setting of each layout and the present one, at rates from low to too high.
    fn curves(&mut self) -> Result<(), String> {
        let mut drawn: Vec<usize> = Vec::new();
        for index in 0..self.entrants.len() {
            let layout = |index: usize| self.entrants[index].loaded.layout;
            let Entrant { setting, .. } = self.entrants[index];
            let first = drawn.iter().all(|other| layout(*other) != layout(index));
            if self.entrants[index].told_rate() > 0.0 && (first || setting == self.plan.present) {
                drawn.push(index);
            }
        }
        let time = self.plan.budget.saturating_sub(self.machine.spent());
        let length = time / (drawn.len().max(1) * CURVE.len() * CURVE_TURNS) as u32;
        for _ in 0..CURVE_TURNS {
            for part in CURVE {
                self.seed += 1;
                for index in drawn.iter().copied() {
                    let rate = self.entrants[index].told_rate() * part;
                    let trial = self.trial(index, rate, length)?;
                    self.entrants[index].curve.push(trial);
                }
            }
        }
        Ok(())
    }
}

/// How many rounds bring this many down to those of the last one.
fn rounds(rivals: usize) -> usize {
    let (mut rounds, mut left) = (1, rivals);
    while left > FINALISTS {
        left = left.div_ceil(2);
        rounds += 1;
    }
    rounds
}

#[cfg(test)]
mod tests;
