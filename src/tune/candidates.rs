//! The settings that are tried, and which of them single runs rule out.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::config::{BatchSize, ModelConfig};

/// The keys of `model.toml` that are tuned; `None` is a key that is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Setting {
    pub layout: Shape,
    pub max_batch_size: Option<BatchSize>,
    pub max_queue_delay: Option<Duration>,
}

/// How a model's sessions share the cores, as far as `model.toml` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    pub instances: Option<NonZeroUsize>,
    pub intra_op_threads: Option<NonZeroUsize>,
}

/// A request by itself, all the rows of which went through one run. Times in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lone {
    /// Before and after the run: decoding, tokenising, reading the scores.
    pub around: f64,
    pub run: f64,
}

/// Runs of 1, 2, 4, … rows with this many threads, as long as they gain.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    pub threads: usize,
    /// Rows of a run, and the request.
    pub runs: Vec<(usize, Lone)>,
}

/// A setting, and what it can carry at most as far as single runs tell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    pub setting: Setting,
    /// Requests a second.
    pub bound: f64,
}

/// Largest batch that is tried.
pub const LARGEST: usize = 32;
/// A larger batch must save this part of the time a row.
const GAIN: f64 = 0.03;
/// What single runs promise less than this part of the best for is not tried. They promise too much by
/// a third or more, since sessions side by side share caches and memory.
const PROMISE: f64 = 0.5;
/// Layouts that are tried at most, beside the default.
const LAYOUTS: usize = 5;
/// How long an idle session may wait for a fuller batch.
const DELAYS: [Duration; 3] =
    [Duration::from_millis(1), Duration::from_millis(2), Duration::from_millis(5)];

impl Setting {
    /// What a model's file says now.
    #[must_use]
    pub fn of(config: &ModelConfig) -> Self {
        Self {
            layout: Shape {
                instances: config.instances,
                intra_op_threads: config.intra_op_threads,
            },
            max_batch_size: config.max_batch_size,
            max_queue_delay: config.max_queue_delay,
        }
    }

    /// Puts the keys in the place of those that are there.
    pub fn apply(&self, config: &mut ModelConfig) {
        config.instances = self.layout.instances;
        config.intra_op_threads = self.layout.intra_op_threads;
        config.max_batch_size = self.max_batch_size;
        config.max_queue_delay = self.max_queue_delay;
    }

    /// The same with sessions that wait for fuller batches. `limit` is the longest that a request may
    /// take, if there is one: a wait of more than a fifth of it is no use.
    #[must_use]
    pub fn delayed(&self, limit: Option<Duration>) -> Vec<Self> {
        let useful = DELAYS.into_iter().filter(|delay| limit.is_none_or(|l| *delay * 5 <= l));
        let delayed = useful.map(|delay| Self { max_queue_delay: Some(delay), ..*self });
        delayed.filter(|setting| setting != self).collect()
    }
}

impl Shape {
    fn new(instances: usize, threads: usize) -> Self {
        let (instances, intra_op_threads) =
            (NonZeroUsize::new(instances), NonZeroUsize::new(threads));
        Self { instances, intra_op_threads }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() {
            return f.write_str("default");
        }
        let Shape { instances, intra_op_threads } = self.layout;
        let mut said: Vec<String> = Vec::new();
        said.extend(instances.map(|n| format!("{n} sessions")));
        said.extend(intra_op_threads.map(|n| format!("{n} threads")));
        match self.max_batch_size {
            Some(BatchSize::Rows(rows)) => said.push(format!("batch {rows}")),
            Some(BatchSize::Auto) => said.push("batch auto".to_owned()),
            None => {}
        }
        said.extend(
            self.max_queue_delay.map(|d| format!("delay {}", humantime::format_duration(d))),
        );
        f.write_str(&said.join(", "))
    }
}

/// The layouts to try: one session over all cores, one a core, and those between that use every core.
/// On a GPU the sessions share it, and threads of the CPU do not matter.
#[must_use]
pub fn layouts(cores: usize, on_cpu: bool) -> Vec<Shape> {
    if !on_cpu {
        return [1, 2].map(|instances| Shape::new(instances, 0)).to_vec();
    }
    let divisors: Vec<usize> = (1..=cores).filter(|n| cores.is_multiple_of(*n)).collect();
    let last = divisors.len() - 1;
    let chosen = divisors.len().min(LAYOUTS);
    // Both ends, and the rest evenly between them.
    let picked = (0..chosen).map(|index| divisors[index * last / (chosen - 1).max(1)]);
    picked.map(|instances| Shape::new(instances, cores / instances)).collect()
}

/// The runs of a batch that doubles as long as a row gets cheaper and, if there is a limit, the run
/// alone is within it. `lone` measures; `None` where rows do not share runs.
///
/// # Errors
/// Those of `lone`.
pub fn curve(
    threads: usize,
    limit: Option<Duration>,
    mut lone: impl FnMut(usize) -> Result<Option<Lone>, String>,
) -> Result<Curve, String> {
    let mut runs: Vec<(usize, Lone)> = Vec::new();
    let mut rows = 1;
    while rows <= LARGEST {
        let Some(next) = lone(rows)? else { break };
        let per_row = |(rows, lone): &(usize, Lone)| lone.run / *rows as f64;
        let gains =
            runs.last().is_none_or(|last| per_row(&(rows, next)) < per_row(last) * (1.0 - GAIN));
        let fits = rows == 1 || limit.is_none_or(|limit| next.run <= limit.as_secs_f64());
        if !gains || !fits {
            break;
        }
        runs.push((rows, next));
        rows *= 2;
    }
    Ok(Curve { threads, runs })
}

/// Every setting that may win: the default layout and the others, each with the batches that its runs
/// gain from. Those that single runs rule out are left out; what their number is comes with the rest.
///
/// `default` is what the layout without any key comes to, if it is one of `layouts`.
#[must_use]
pub fn candidates(
    layouts: &[Shape],
    curves: &[Curve],
    default: Option<Shape>,
    cores: usize,
    limit: Option<Duration>,
) -> (Vec<Candidate>, usize) {
    let mut all = Vec::new();
    for layout in layouts {
        let threads = layout.intra_op_threads.map_or(1, NonZeroUsize::get);
        let instances = layout.instances.map_or(1, NonZeroUsize::get);
        let Some(curve) = curves.iter().find(|curve| curve.threads == threads) else { continue };
        // Naming what the default comes to would only be more keys.
        let layout = if default == Some(*layout) { Shape::default() } else { *layout };
        for (rows, lone) in &curve.runs {
            let setting = with_batch(layout, *rows, curve.runs.len() > 1);
            let row = lone.run / *rows as f64;
            let bound = bound(curve.around(), row, instances, threads, cores);
            let latency = lone.run + curve.around();
            let meets = limit.is_none_or(|limit| latency <= limit.as_secs_f64());
            all.push((Candidate { setting, bound }, meets));
        }
    }
    if all.iter().all(|(_, meets)| !meets) {
        // Single runs may have been disturbed: the turns under load have the last word.
        for (_, meets) in &mut all {
            *meets = true;
        }
    }
    let best = all.iter().filter(|(_, meets)| *meets).map(|(candidate, _)| candidate.bound);
    let best = best.fold(0.0, f64::max);
    let count = all.len();
    let kept = all.into_iter().filter(|(c, meets)| *meets && c.bound >= best * PROMISE);
    let kept: Vec<Candidate> = kept.map(|(candidate, _)| candidate).collect();
    let dropped = count - kept.len();
    (kept, dropped)
}

fn with_batch(layout: Shape, rows: usize, batches: bool) -> Setting {
    let max_batch_size = NonZeroUsize::new(rows).filter(|_| batches).map(BatchSize::Rows);
    let max_queue_delay = (rows > 1).then_some(Duration::ZERO);
    Setting { layout, max_batch_size, max_queue_delay }
}

/// Requests of one row a second that could be answered if nothing was in anything's way, from the
/// seconds that a row takes around its run and in it.
fn bound(around: f64, row: f64, instances: usize, threads: usize, cores: usize) -> f64 {
    let of_sessions = instances as f64 / row.max(1e-9);
    let of_cores = cores as f64 / (around + row * threads as f64).max(1e-9);
    of_sessions.min(of_cores)
}

impl Curve {
    /// Of a request of one row.
    fn around(&self) -> f64 {
        self.runs.first().map_or(0.0, |(_, lone)| lone.around)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn shapes(cores: usize) -> Vec<(usize, usize)> {
        let numbers = |shape: &Shape| {
            let number = |key: Option<NonZeroUsize>| key.map_or(0, NonZeroUsize::get);
            (number(shape.instances), number(shape.intra_op_threads))
        };
        layouts(cores, true).iter().map(numbers).collect()
    }

    /// `fixed` milliseconds a run and `each` a row, with one thread.
    fn line(fixed: f64, each: f64) -> impl FnMut(usize) -> Result<Option<Lone>, String> {
        move |rows| Ok(Some(Lone { around: 1e-3, run: (fixed + each * rows as f64) / 1e3 }))
    }

    fn rows(curve: &Curve) -> Vec<usize> {
        curve.runs.iter().map(|(rows, _)| *rows).collect()
    }

    #[test]
    fn layouts_use_every_core_and_are_few() {
        assert_eq!(shapes(1), [(1, 1)]);
        assert_eq!(shapes(2), [(1, 2), (2, 1)]);
        assert_eq!(shapes(8), [(1, 8), (2, 4), (4, 2), (8, 1)]);
        assert_eq!(shapes(7), [(1, 7), (7, 1)]);
        assert_eq!(shapes(48).len(), 5);
        assert!(shapes(48).contains(&(1, 48)) && shapes(48).contains(&(48, 1)));
        let gpu = layouts(8, false);
        assert_eq!(gpu.len(), 2);
        assert!(gpu.iter().all(|shape| shape.intra_op_threads.is_none()));
    }

    #[test]
    fn batches_grow_as_long_as_they_gain_and_are_within_the_limit() {
        let gains = |limit| rows(&curve(1, limit, line(10.0, 1.0)).unwrap());
        assert_eq!(gains(None), [1, 2, 4, 8, 16, 32]);
        assert_eq!(gains(Some(20 * MS)), [1, 2, 4, 8]);
        assert_eq!(rows(&curve(1, None, line(0.0, 5.0)).unwrap()), [1]);
        let one = curve(1, None, |rows| Ok((rows == 1).then_some(Lone { around: 0.0, run: 1.0 })));
        assert_eq!(rows(&one.unwrap()), [1], "rows that do not share runs");
        // Too slow by itself: told by the measurement later, not by an empty list.
        assert_eq!(rows(&curve(1, Some(MS), line(10.0, 1.0)).unwrap()), [1]);
    }

    #[test]
    fn what_cannot_win_is_left_out_and_the_default_is_not_named_twice() {
        let layouts = layouts(2, true);
        // Two threads hardly help; batches do.
        let narrow = curve(1, None, line(8.0, 2.0)).unwrap();
        let wide = curve(2, None, line(7.0, 2.0)).unwrap();
        let default = layouts[1];
        let (kept, dropped) = candidates(&layouts, &[wide, narrow], Some(default), 2, None);
        assert!(dropped > 0 && !kept.is_empty());
        let named = kept.iter().filter(|c| c.setting.layout == default).count();
        assert_eq!(named, 0, "{kept:?}");
        let lone =
            |c: &&Candidate| c.setting.max_batch_size == BatchSize::Rows(NonZeroUsize::MIN).into();
        assert_eq!(
            kept.iter().filter(lone).count(),
            0,
            "batches of one carry too little: {kept:?}"
        );
        assert!(kept.iter().any(|c| c.setting.to_string() == "batch 32, delay 0s"), "{kept:?}");
    }

    #[test]
    fn a_layout_whose_single_run_is_too_long_for_the_objective_is_left_out() {
        let layouts = layouts(2, true);
        let narrow = curve(1, None, line(0.0, 12.0)).unwrap();
        let wide = curve(2, None, line(0.0, 7.0)).unwrap();
        let (kept, _) = candidates(&layouts, &[wide, narrow], None, 2, Some(10 * MS));
        let kept: Vec<_> = kept.iter().map(|candidate| candidate.setting.layout).collect();
        assert_eq!(kept, [layouts[0]]);
    }

    #[test]
    fn a_wait_is_tried_where_the_limit_has_room_for_it() {
        let setting = Setting { max_queue_delay: Some(Duration::ZERO), ..Setting::default() };
        let delays = |limit| -> Duration {
            setting.delayed(limit).iter().filter_map(|s| s.max_queue_delay).sum()
        };
        assert_eq!(8 * MS, delays(None));
        assert_eq!(3 * MS, delays(Some(10 * MS)));
        assert_eq!(Duration::ZERO, delays(Some(4 * MS)));
    }

    #[test]
    fn a_setting_is_read_from_a_models_file_and_put_there() {
        let mut config = ModelConfig::parse("instances = 3\nmax_batch_size = \"auto\"").unwrap();
        let setting = Setting::of(&config);
        assert_eq!(setting.to_string(), "3 sessions, batch auto");
        Setting::default().apply(&mut config);
        assert_eq!(Setting::of(&config), Setting::default());
        setting.apply(&mut config);
        assert_eq!(Setting::of(&config), setting);
    }
}
