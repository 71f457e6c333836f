//! The search on a made-up machine, whose time passes only as the search spends it.

use std::num::NonZeroUsize;

use super::*;
use crate::config::{BatchSize, Layout};
use crate::tune::candidates::layouts;

const MS: Duration = Duration::from_millis(1);

/// Two cores; sessions with one thread need `run` milliseconds for a row. All of a session's rows in
/// one run take `fixed` milliseconds more. Wide runs are `speedup` times as fast.
struct MadeUp {
    run: f64,
    fixed: f64,
    speedup: f64,
    /// Every so many turns something else takes the machine.
    disturbed: Option<usize>,
    /// What the default comes to.
    default: (usize, usize),
    turns: usize,
    spent: Duration,
    /// Settings that were tried, and how long.
    tried: Vec<(Setting, Duration)>,
    broken: Option<Setting>,
}

impl Default for MadeUp {
    fn default() -> Self {
        Self {
            run: 10.0,
            fixed: 0.0,
            speedup: 1.5,
            disturbed: None,
            default: (2, 1),
            turns: 0,
            spent: Duration::ZERO,
            tried: Vec::new(),
            broken: None,
        }
    }
}

impl MadeUp {
    /// Milliseconds of a run of so many rows with so many threads.
    fn run(&self, rows: usize, threads: usize) -> f64 {
        let speedup = if threads > 1 { self.speedup } else { 1.0 };
        (self.fixed + self.run * rows as f64) / speedup
    }

    fn layout(&self, setting: &Setting) -> Layout {
        let (instances, threads) = self.default;
        let number = |key: Option<NonZeroUsize>, or| key.map_or(or, NonZeroUsize::get);
        let instances = number(setting.layout.instances, instances);
        let intra_op_threads = number(setting.layout.intra_op_threads, threads);
        Layout { instances, intra_op_threads, wide: None }
    }

    fn batch(setting: &Setting) -> usize {
        match setting.max_batch_size {
            Some(BatchSize::Rows(rows)) => rows.get(),
            Some(BatchSize::Auto) | None => 1,
        }
    }
}

impl Machine for MadeUp {
    fn lone(&mut self, threads: usize, rows: usize) -> Result<Option<Lone>, String> {
        self.spent += MS;
        Ok(Some(Lone { around: 1e-4, run: self.run(rows, threads) / 1e3 }))
    }

    fn load(&mut self, setting: &Setting) -> Result<Loaded, String> {
        if self.broken == Some(*setting) {
            return Err("out of memory".to_owned());
        }
        let layout = self.layout(setting);
        Ok(Loaded { layout, max_batch_size: Self::batch(setting), memory: Some(1 << 20) })
    }

    fn trial(&mut self, setting: &Setting, goal: Goal, load: Load) -> Result<Trial, String> {
        self.turns += 1;
        self.spent += load.length;
        self.tried.push((*setting, load.length));
        let Layout { instances, intra_op_threads, .. } = self.layout(setting);
        let rows = Self::batch(setting);
        let run = self.run(rows, intra_op_threads);
        let mut capacity = (instances * rows) as f64 / run * 1e3;
        if self.disturbed.is_some_and(|every| self.turns.is_multiple_of(every)) {
            capacity *= 0.5;
        }
        let busy = load.rate / capacity;
        let count = (load.rate * load.length.as_secs_f64()).ceil().max(1.0) as usize;
        let delay = setting.max_queue_delay.unwrap_or_default().as_secs_f64() * 1e3;
        // The first finds nobody before it.
        let (first, wait) = (run + delay, run * busy / (1.0 - busy).max(1e-3));
        let [first, other] = [first, first + wait].map(|ms| Duration::from_secs_f64(ms / 1e3));
        let mut latencies = vec![other; count];
        latencies[0] = first;
        let drain = if busy < 1.0 { Duration::ZERO } else { load.length };
        Ok(Trial::of(load, goal, latencies, 0, drain))
    }

    fn spent(&self) -> Duration {
        self.spent
    }
}

fn plan(objective: &str) -> Plan {
    let layouts = layouts(2, true);
    Plan {
        goal: Goal::Rate(objective.parse().unwrap()),
        cores: 2,
        default: Some(layouts[1]),
        layouts,
        present: Setting::default(),
        budget: 60_000 * MS,
        curves: false,
    }
}

fn search(machine: &mut MadeUp, plan: &Plan) -> Outcome {
    run(machine, plan, &mut |_| ()).unwrap()
}

fn chosen(outcome: &Outcome) -> &Entrant {
    &outcome.entrants[outcome.chosen]
}

fn explicit(instances: usize, threads: usize) -> Setting {
    let (instances, intra_op_threads) = (NonZeroUsize::new(instances), NonZeroUsize::new(threads));
    Setting { layout: Shape { instances, intra_op_threads }, ..Setting::default() }
}

#[test]
fn a_strict_objective_takes_the_wide_session_and_a_generous_one_the_narrow_ones() {
    let strict = search(&mut MadeUp::default(), &plan("p99<9ms"));
    assert_eq!(strict.verdict, Verdict::Better);
    assert_eq!(
        chosen(&strict).loaded.layout,
        Layout { instances: 1, intra_op_threads: 2, wide: None }
    );
    let generous = search(&mut MadeUp::default(), &plan("p99<500ms"));
    assert_eq!((generous.verdict, generous.chosen), (Verdict::Best, 0));
    // The rate that the made-up machine can carry, 200 a second.
    let rate = chosen(&generous).told_rate();
    assert!((180.0..=210.0).contains(&rate), "{rate}");
}

#[test]
fn batches_win_where_they_gain_and_waiting_for_them_does_not() {
    let mut machine = MadeUp { run: 1.0, fixed: 9.0, ..MadeUp::default() };
    let outcome = search(&mut machine, &plan("p99<100ms"));
    let Entrant { setting, loaded, .. } = chosen(&outcome);
    assert_eq!(outcome.verdict, Verdict::Better);
    assert!(loaded.max_batch_size >= 8, "{setting}");
    assert_eq!(setting.layout, Shape::default(), "what the default has needs no key");
    assert_eq!(setting.max_queue_delay, Some(Duration::ZERO));
    assert!(machine.tried.iter().any(|(setting, _)| setting.max_queue_delay == Some(2 * MS)));
}

#[test]
fn the_present_setting_stays_where_the_difference_is_within_the_noise() {
    // One wide session carries 2 % more.
    let nearly = || MadeUp { speedup: 2.04, ..MadeUp::default() };
    let outcome = search(&mut nearly(), &plan("p99<500ms"));
    assert_eq!(chosen(&outcome).setting, Setting::default());
    assert!(matches!(outcome.verdict, Verdict::WithinNoise | Verdict::Best));
    // The other way about as well.
    let present = explicit(1, 2);
    let outcome = search(
        &mut MadeUp { speedup: 1.98, ..MadeUp::default() },
        &Plan { present, ..plan("p99<500ms") },
    );
    assert_eq!(chosen(&outcome).setting, present);
}

#[test]
fn a_clear_difference_is_found_on_a_disturbed_machine() {
    for every in [3, 4, 5, 7] {
        let mut machine = MadeUp { disturbed: Some(every), ..MadeUp::default() };
        let present = explicit(1, 2);
        let outcome = search(&mut machine, &Plan { present, ..plan("p99<500ms") });
        let found = (outcome.verdict, chosen(&outcome).setting);
        assert_eq!(found, (Verdict::Better, Setting::default()), "every {every}");
    }
}

#[test]
fn what_is_good_gets_more_time_than_what_is_not() {
    let mut machine = MadeUp { run: 1.0, fixed: 9.0, ..MadeUp::default() };
    let outcome = search(&mut machine, &plan("p99<300ms"));
    let time = |setting: Setting| -> Duration {
        machine.tried.iter().filter(|(other, _)| *other == setting).map(|(_, time)| *time).sum()
    };
    let last = outcome.entrants.last().unwrap();
    assert!(time(chosen(&outcome).setting) > 3 * time(last.setting), "{}", last.setting);
    assert!(outcome.ruled_out > 0);
}

#[test]
fn the_budget_is_kept() {
    for seconds in [1, 3, 20, 90] {
        for curves in [false, true] {
            let mut machine = MadeUp { run: 1.0, fixed: 9.0, ..MadeUp::default() };
            let budget = 1000 * MS * seconds;
            let plan = Plan { budget, curves, ..plan("p99<100ms") };
            let outcome = search(&mut machine, &plan);
            assert!(machine.spent <= budget + budget / 10, "{seconds} s: {:?}", machine.spent);
            assert_eq!(outcome.entrants.iter().any(|e| !e.curve.is_empty()), curves);
        }
    }
}

#[test]
fn the_lowest_latency_at_a_rate_is_the_wide_sessions() {
    let goal = Goal::Latency { rate: 40.0, percentile: 99.0 };
    let outcome = search(&mut MadeUp::default(), &Plan { goal, ..plan("p99<1s") });
    assert_eq!(outcome.verdict, Verdict::Better);
    assert_eq!(chosen(&outcome).loaded.layout.instances, 1);
    let too_much = Goal::Latency { rate: 4000.0, percentile: 99.0 };
    let outcome = search(&mut MadeUp::default(), &Plan { goal: too_much, ..plan("p99<1s") });
    assert_eq!((outcome.verdict, chosen(&outcome).setting), (Verdict::None, Setting::default()));
}

#[test]
fn an_objective_that_nothing_meets_changes_nothing() {
    let outcome = search(&mut MadeUp::default(), &plan("p99<2ms"));
    assert_eq!((outcome.verdict, chosen(&outcome).setting), (Verdict::None, Setting::default()));
}

#[test]
fn a_setting_that_cannot_be_loaded_is_told_and_the_others_are_tried() {
    let broken = explicit(1, 2);
    let mut machine = MadeUp { broken: Some(broken), ..MadeUp::default() };
    let outcome = search(&mut machine, &plan("p99<500ms"));
    assert_eq!(outcome.failed, [(broken, "out of memory".to_owned())]);
    let mut machine = MadeUp { broken: Some(Setting::default()), ..MadeUp::default() };
    assert!(run(&mut machine, &plan("p99<500ms"), &mut |_| ()).is_err());
}
