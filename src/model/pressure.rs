//! Whether a model is asked for more than it can do, and how long a request may wait meanwhile.
//!
//! * A burst ends by itself: it may wait [`BURST`] objectives.
//! * Where the queue has stood, so that for longer than an objective no request found the model idle, one
//!   objective. That is a closed loop of many clients as well, who all are served.
//! * Where more comes than is done, in two windows one after the other, only what keeps the sessions busy:
//!   those who are taken on are served as soon as ever, and the others are told at once. What came before
//!   that was known and has not begun is refused too, since it would only make everybody late.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::runtime::patience::Patience;

/// How many objectives a burst may wait, as predicted when it comes.
const BURST: u32 = 3;
/// How many objectives anything may wait, whatever was predicted.
const LONGEST: u32 = 4;
/// The shortest time over which what comes is held against what is done.
const WINDOW: Duration = Duration::from_millis(100);
/// How many times what is done must come to be too much, and to be no longer.
const TOO_MUCH: f64 = 1.5;
const NO_MORE: f64 = 1.2;

pub struct Pressure {
    objective: Duration,
    patience: Arc<Patience>,
    /// Nanoseconds of work that came and that were done in the window that goes on.
    came: AtomicU64,
    done: AtomicU64,
    state: Mutex<State>,
}

/// What is before a request, as predicted, and the least that may wait for all sessions to stay busy.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// All that waits, also what comes after it.
    pub rows: usize,
    pub wait: Duration,
    pub least: Duration,
}

struct State {
    /// When a request last came and found that nothing waits.
    idle: Instant,
    /// The window that goes on.
    began: Instant,
    /// The longest wait in it.
    wait: Duration,
    /// More came than was done in the window before.
    rising: bool,
    /// It did for longer.
    is_over: bool,
}

impl State {
    fn new(now: Instant) -> Self {
        Self { idle: now, began: now, wait: Duration::ZERO, rising: false, is_over: false }
    }
}

impl Pressure {
    #[must_use]
    pub fn new(objective: Duration, now: Instant) -> Self {
        let patience = Arc::new(Patience::new(objective * LONGEST, now));
        let [came, done] = [0, 0].map(AtomicU64::new);
        Self { objective, patience, came, done, state: Mutex::new(State::new(now)) }
    }

    #[must_use]
    pub fn objective(&self) -> Duration {
        self.objective
    }

    /// No request has found the model idle since then.
    #[cfg(test)]
    pub fn stands_since(&self, since: Instant) {
        self.state().idle = since;
    }

    #[must_use]
    pub fn patience(&self) -> &Arc<Patience> {
        &self.patience
    }

    /// The longest wait at which a request that comes now is taken on.
    pub fn limit(&self, load: Load, now: Instant) -> Duration {
        let mut state = self.state();
        if load.rows == 0 {
            *state = State::new(now);
            self.window();
        }
        state.wait = state.wait.max(load.wait);
        self.turn(&mut state, load, now);
        if state.is_over {
            load.least.min(self.objective)
        } else if now.duration_since(state.idle) > self.objective {
            self.objective
        } else {
            self.objective * BURST
        }
    }

    /// So many seconds of work came, whether they were taken on or not.
    pub fn came(&self, seconds: f64) {
        self.came.fetch_add((seconds * 1e9) as u64, Ordering::Relaxed);
    }

    /// So many seconds of work were done.
    pub fn done(&self, seconds: f64) {
        self.done.fetch_add((seconds * 1e9) as u64, Ordering::Relaxed);
    }

    /// What came and was done in the window that ends now.
    fn window(&self) -> [f64; 2] {
        [&self.came, &self.done].map(|sum| sum.swap(0, Ordering::Relaxed) as f64)
    }

    /// Begins the next window when it is time.
    fn turn(&self, state: &mut State, load: Load, now: Instant) {
        let window = WINDOW.max(load.least);
        let length = now.duration_since(state.began);
        if length < window {
            return;
        }
        // In a window that nobody ended for long, nothing came.
        let goes_on = length < window * 2;
        let [came, done] = self.window();
        let exceeds = |times: f64| goes_on && came > done * times;
        let is_over = match state.is_over {
            true => exceeds(NO_MORE),
            false => exceeds(TOO_MUCH) && state.rising && state.wait > self.objective / 2,
        };
        state.rising = exceeds(TOO_MUCH);
        state.is_over = is_over;
        (state.began, state.wait) = (now, Duration::ZERO);
        if is_over {
            // Twice what is predicted: predictions are a little off, and a late refusal is a poor one.
            self.patience.tighten(load.least.min(self.objective) * 2, now + window * 3);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Some sessions that take a fixed time for a request, in the order of arrival, on a clock of their own.
    struct Simulation {
        pressure: Pressure,
        start: Instant,
        service: f64,
        free: Vec<f64>,
        /// When each that waits came.
        waiting: VecDeque<f64>,
        /// When those who were answered since this was last looked at were.
        ends: VecDeque<f64>,
        /// Seconds that each who was answered waited, and that the refused did.
        served: Vec<f64>,
        refused: Vec<f64>,
    }

    impl Simulation {
        fn new(sessions: usize, service: f64) -> Self {
            let start = Instant::now();
            Self {
                pressure: Pressure::new(Duration::from_secs(2), start),
                start,
                service,
                free: vec![0.0; sessions],
                waiting: VecDeque::new(),
                ends: VecDeque::new(),
                served: Vec::new(),
                refused: Vec::new(),
            }
        }

        fn at(&self, time: f64) -> Instant {
            self.start + Duration::from_secs_f64(time)
        }

        fn capacity(&self) -> f64 {
            self.free.len() as f64 / self.service
        }

        /// What is done up to this moment.
        fn advance(&mut self, to: f64) {
            while let Some(came) = self.waiting.front().copied() {
                let first = self.free.iter_mut().min_by(|a, b| a.total_cmp(b)).unwrap();
                let begins = first.max(came);
                if begins > to {
                    break;
                }
                self.waiting.pop_front();
                let now = self.start + Duration::from_secs_f64(begins);
                if begins - came > self.pressure.patience().bound(now).as_secs_f64() {
                    self.refused.push(begins - came);
                    continue;
                }
                *first = begins + self.service;
                self.served.push(*first - came);
                self.ends.push_back(*first);
                self.pressure.done(1.0 / self.capacity());
            }
        }

        /// A request; whether it is taken on.
        fn ask(&mut self, now: f64) -> bool {
            self.advance(now);
            let a_row = 1.0 / self.capacity();
            let rows = self.waiting.len();
            let seconds = Duration::from_secs_f64;
            let least = seconds((self.free.len() + 8) as f64 * a_row);
            let load = Load { rows, wait: seconds(rows as f64 * a_row), least };
            let limit = self.pressure.limit(load, self.at(now));
            self.pressure.came(a_row);
            if rows >= self.free.len() && load.wait > limit {
                self.refused.push(0.0);
                return false;
            }
            self.waiting.push_back(now);
            true
        }

        /// Poisson arrivals from one moment to another, at so many times the capacity.
        fn open(&mut self, times: f64, from: f64, to: f64) {
            let mut random = fastrand::Rng::with_seed(7);
            let mut now = from;
            while now < to {
                self.ask(now);
                now -= (1.0 - random.f64()).ln() / (times * self.capacity());
            }
            self.advance(to);
        }
    }

    /// In milliseconds.
    fn p99(times: &mut [f64]) -> f64 {
        times.sort_by(f64::total_cmp);
        times[(times.len() * 99 / 100).min(times.len() - 1)] * 1e3
    }

    #[test]
    fn far_over_capacity_those_taken_on_wait_hardly_longer_than_below_it() {
        for (sessions, service) in [(1, 0.005), (2, 0.01), (2, 0.1), (4, 0.005)] {
            let mut calm = Simulation::new(sessions, service);
            calm.open(0.8, 0.0, 100.0);
            assert!(calm.refused.is_empty(), "{sessions} {service}: {}", calm.refused.len());
            let quiet = p99(&mut calm.served);
            for times in [3.0, 10.0] {
                let mut flood = Simulation::new(sessions, service);
                flood.open(0.8, 0.0, 5.0);
                let (served, refused) = (flood.served.len(), flood.refused.len());
                flood.open(times, 5.0, 65.0);
                let what = format!("{sessions} sessions, {service} s, {times} times");
                let most = flood.served[served..].iter().copied().fold(0.0, f64::max);
                assert!(most < 8.0, "{what}: {most} s");
                let goodput = (flood.served.len() - served) as f64 / 60.0 / flood.capacity();
                assert!(goodput > 0.98, "{what}: {goodput} of the capacity");
                let accepted = p99(&mut flood.served[served..]);
                assert!(accepted <= quiet * 2.0, "{what}: {accepted} ms after {quiet} ms");
                let told = p99(&mut flood.refused[refused..]);
                assert!(told < 10.0, "{what}: refused after {told} ms");
                // It is over at once.
                let refused = flood.refused.len();
                flood.open(0.8, 65.0, 80.0);
                assert!(flood.refused.len() - refused < 20, "{what}: {}", flood.refused.len());
            }
        }
    }

    #[test]
    fn clients_that_ask_again_when_they_are_answered_are_all_served() {
        let mut closed = Simulation::new(2, 0.006);
        // 1.5 s of work that always waits.
        closed.ends = (0..500).map(|_| 0.0).collect();
        while let Some(now) = closed.ends.pop_front().filter(|now| *now < 20.0) {
            assert!(closed.ask(now), "at {now} s");
        }
        assert!(closed.refused.is_empty() && closed.served.len() > 6000);
    }

    #[test]
    fn a_burst_is_served_and_so_is_what_comes_after_it() {
        let mut burst = Simulation::new(2, 0.01);
        for place in 0..150 {
            assert!(burst.ask(f64::from(place) * 1e-3));
        }
        burst.open(0.5, 0.2, 10.0);
        assert!(burst.refused.is_empty(), "{}", burst.refused.len());
    }

    #[test]
    fn a_queue_that_stands_may_be_an_objective_long_and_a_burst_longer() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let pressure = Pressure::new(second, start);
        let load = |rows| Load { rows, wait: second, least: second / 10 };
        assert_eq!(pressure.limit(load(1), start), second * BURST);
        assert_eq!(pressure.limit(load(1), start + second * 2), second);
        assert_eq!(pressure.limit(load(0), start + second * 3), second * BURST, "idle");
        assert_eq!(pressure.patience().bound(start), second * LONGEST);
    }
}
