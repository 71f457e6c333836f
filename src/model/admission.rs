//! Whether a request is taken on, decided before any work is spent on it.
//!
//! What counts as waiting is the queue of the sessions and what is decoded or tokenised before it: under
//! overload this is most of it. Since decoding goes by turns ([`crate::runtime::compute`]), a request waits
//! for as much of every other as it has itself: what it costs is told by its headers, item by item. How
//! long it may wait is [`Pressure`]'s to say, and longer for a client that asks little ([`Clients`]), which
//! others would refuse else. Bulk work waits as long as there is room.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::Terms;
use super::clients::Clients;
use super::pressure::{Load, Pressure};
use crate::error::{Error, ErrorKind};
use crate::runtime::compute::Compute;
use crate::runtime::compute::schedule::{Before, Of};
use crate::runtime::cost::{Average, PieceCost, Usual};
use crate::runtime::job::{Order, Priority};
use crate::runtime::patience::Due;
use crate::runtime::pool::{Ahead, SessionPool};
use crate::tasks::{Kind, Piece};

/// Usual requests that may wait beside a full round of the sessions while there is too much.
const SPARE: f64 = 4.0;
/// The least that may wait then, so that sessions do not run dry.
const LEAST: Duration = Duration::from_millis(5);

/// How many times as long as others a modest client's request may wait, as predicted when it comes; and how
/// long until it is begun, since it is one of few.
const MODEST_WAIT: u32 = 2;
const MODEST_PATIENCE: u32 = 4;

/// What of reading counts as before a request: less than this, since what takes longer lets it pass.
const READING: Duration = Duration::from_millis(1);

pub struct Admission {
    compute: Arc<Compute>,
    pressure: Pressure,
    /// Rows that are being decoded or tokenised.
    encoding: AtomicUsize,
    piece_cost: PieceCost,
    /// Seconds of a thread that a usual request's decoding takes, and for which it keeps everything busy; its
    /// rows.
    usual_encode: Usual,
    usual: Usual,
    usual_rows: Usual,
    /// Waits over what was predicted of them.
    correction: Average,
    clients: Clients,
}

/// What a request asks for.
#[derive(Debug, Clone)]
pub struct Asking {
    pub rows: usize,
    pub order: Order,
    pub client: Option<u64>,
    /// Tokens of all its rows, where they are known already.
    pub units: Option<usize>,
    /// What each of its pieces takes of a thread; none where that is too little to count.
    pub costs: Vec<Duration>,
}

impl Asking {
    /// The same, whose rows have so many tokens in all.
    #[must_use]
    pub fn of_units(self, units: usize) -> Self {
        Self { units: Some(units), ..self }
    }

    fn encode(&self) -> Duration {
        self.costs.iter().sum()
    }
}

/// What is before a request, and all rows that wait.
#[derive(Clone, Copy)]
struct Waits {
    ahead: Ahead,
    all: usize,
}

/// A request's rows until they are in the queue.
pub struct Admitted {
    rows: usize,
    begun: Begun,
}

/// A request that was taken on.
#[derive(Clone)]
pub struct Begun {
    admission: Arc<Admission>,
    since: Instant,
    order: Order,
    /// Seconds for which it keeps everything busy, and for which it waits as predicted.
    seconds: f64,
    wait: f64,
    /// More is before it than is never too much.
    is_bounded: bool,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.begun.admission.encoding.fetch_sub(self.rows, Ordering::Relaxed);
    }
}

impl Admitted {
    /// Whose work its decoding is.
    pub fn of(&self) -> Of {
        let Begun { admission, order, .. } = &self.begun;
        Of { owner: admission.owner(), rows: self.rows, priority: order.priority }
    }

    /// How long it may wait; bulk work, and what is next anyway, as long as they have to.
    pub fn due(&self) -> Option<Due> {
        let Begun { admission, since, is_bounded, order, .. } = &self.begun;
        let patience = || admission.pressure.patience().clone();
        let times = if order.modest { MODEST_PATIENCE } else { 1 };
        is_bounded.then(|| Due { since: *since, times, patience: patience() })
    }

    /// Its rows are in the queue.
    pub fn queued(self) -> Begun {
        self.begun.clone()
    }
}

impl Begun {
    /// It is answered; its run began at this moment, and before that `own` was its own decoding.
    pub fn answered(&self, run: Instant, own: Duration) {
        let Self { admission, since, order, seconds, wait, .. } = self;
        if order.priority == Priority::Bulk {
            return;
        }
        admission.pressure.done(*seconds);
        if *wait >= LEAST.as_secs_f64() {
            let waited = run.duration_since(*since).saturating_sub(own);
            admission.correction.add((waited.as_secs_f64() / wait).clamp(0.5, 4.0));
        }
    }
}

impl Admission {
    #[must_use]
    pub fn new(objective: Duration, compute: Arc<Compute>) -> Self {
        Self {
            compute,
            pressure: Pressure::new(objective, Instant::now()),
            encoding: AtomicUsize::new(0),
            piece_cost: PieceCost::new(Kind::COUNT),
            usual_encode: Usual::default(),
            usual: Usual::default(),
            usual_rows: Usual::default(),
            correction: Average::new(1.0),
            clients: Clients::new(Instant::now()),
        }
    }

    /// What a request of these pieces asks for.
    #[must_use]
    pub fn asking(&self, rows: usize, terms: Terms, pieces: &[Piece]) -> Asking {
        let cost = |piece: &Piece| self.piece_cost.predict(piece.kind as usize, piece.estimate);
        let (order, client) = (self.order(terms, Instant::now()), terms.client);
        Asking { rows, order, client, units: None, costs: pieces.iter().map(cost).collect() }
    }

    /// Takes a request on, or says at once that it is too much.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`], with the time after which to try again.
    pub fn admit(self: &Arc<Self>, pool: &SessionPool, asking: &Asking) -> Result<Admitted, Error> {
        let Asking { rows, order, .. } = *asking;
        let seconds = self.seconds(pool, asking);
        if order.priority == Priority::Interactive {
            self.usual_encode.add(asking.encode().as_secs_f64());
            self.usual.add(seconds);
            self.usual_rows.add(rows as f64);
        }
        let now = Instant::now();
        let (wait, is_bounded) = self.taken_on(pool, asking, (seconds, now), None)?;
        self.encoding.fetch_add(rows, Ordering::Relaxed);
        let begun = Begun { admission: self.clone(), since: now, order, seconds, wait, is_bounded };
        self.came(asking, seconds, now);
        Ok(Admitted { rows, begun })
    }

    fn order(&self, Terms { priority, client, .. }: Terms, now: Instant) -> Order {
        Order { priority, modest: self.clients.is_modest(client, now) }
    }

    /// A request came, whatever becomes of it.
    fn came(&self, asking: &Asking, seconds: f64, now: Instant) {
        if asking.order.priority == Priority::Interactive {
            self.pressure.came(seconds);
            self.clients.asks(asking.client, seconds, now);
        }
    }

    /// Whether a usual request would be taken on now.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub fn check(&self, pool: &SessionPool, terms: Terms) -> Result<(), Error> {
        let encode = self.usual_encode.get();
        let costs = if encode > 0.0 { vec![Duration::from_secs_f64(encode)] } else { Vec::new() };
        let now = Instant::now();
        let (order, client) = (self.order(terms, now), terms.client);
        // A modest client's request is not like those of the others.
        let rows = if order.modest { 1 } else { (self.usual_rows.get() as usize).max(1) };
        let asking = Asking { rows, order, client, units: None, costs };
        let reading =
            self.compute.before(0, order.priority, READING).work / self.side_by_side(usize::MAX);
        self.taken_on(pool, &asking, (self.usual.get(), now), Some(reading)).map(|_| ())
    }

    /// The seconds for which it waits, before they are corrected, and whether its wait is bounded. What is
    /// refused is counted here, since that is its end. `unread`: how long it waits before it is even read; it may
    /// be smaller than a usual one then.
    fn taken_on(
        &self,
        pool: &SessionPool,
        asking: &Asking,
        (seconds, now): (f64, Instant),
        unread: Option<Duration>,
    ) -> Result<(f64, bool), Error> {
        let Asking { rows, order, .. } = *asking;
        let (rows, reading) = unread.map_or((rows, Duration::ZERO), |reading| (1, reading));
        pool.has_room(self.encoding() + rows, order)
            .inspect_err(|_| self.came(asking, seconds, now))?;
        let waits = || {
            let mut waits = self.waits(pool, asking);
            waits.ahead.wait += reading;
            waits
        };
        let first = waits();
        let mut ahead = first.ahead;
        if order.priority == Priority::Bulk {
            return Ok((0.0, false));
        }
        let limit = self.pressure.limit(self.load(pool, first), now);
        let limit = if order.modest { limit * MODEST_WAIT } else { limit };
        // What one batch for each session takes is never too much.
        let is_bounded = |ahead: Ahead| ahead.rows >= pool.rows_a_round() || reading > LEAST;
        let is_too_much = |ahead: Ahead| is_bounded(ahead) && ahead.wait > limit;
        if is_too_much(ahead) {
            // Callers that have left must not keep others out.
            pool.forget_closed();
            ahead = waits().ahead;
        }
        let wait = ahead.wait;
        if !is_too_much(ahead) {
            return Ok((wait.as_secs_f64() / self.correction.get(), is_bounded(ahead)));
        }
        self.came(asking, seconds, now);
        let detail = format!(
            "about {} ms of work wait for this model already; try again later",
            wait.as_millis()
        );
        Err(Error::new(ErrorKind::Overloaded, detail).because("overload").retry_after(wait))
    }

    /// Whether a request that comes now can be answered by then.
    ///
    /// # Errors
    /// [`ErrorKind::DeadlineExceeded`].
    pub fn can_meet(
        &self,
        pool: &SessionPool,
        asking: &Asking,
        deadline: Instant,
    ) -> Result<(), Error> {
        let ahead = self.waits(pool, asking).ahead;
        let own = asking.encode() / self.side_by_side(asking.costs.len());
        let run = asking.units.map_or(ahead.run, |units| pool.time_of(asking.rows, units));
        let needed = ahead.wait + run.max(ahead.run) + own;
        if Instant::now() + needed <= deadline {
            return Ok(());
        }
        let detail = format!(
            "the deadline cannot be met: the answer would take about {} ms, of which {} ms are \
             work before this request",
            needed.as_millis(),
            ahead.wait.as_millis()
        );
        Err(Error::new(ErrorKind::DeadlineExceeded, detail))
    }

    /// Predicted time of what waits, over the objective.
    pub fn saturation(&self, pool: &SessionPool) -> f64 {
        // Bulk work counts: more replicas would do it sooner.
        let costs = vec![Duration::MAX / 64];
        let order = Order { priority: Priority::Bulk, ..Order::default() };
        let all = Asking { rows: 0, order, client: None, units: None, costs };
        let wait = self.waits(pool, &all).ahead.wait;
        wait.as_secs_f64() / self.pressure.objective().as_secs_f64().max(1e-3)
    }

    /// Learns what a piece took of a thread.
    pub fn encoded(&self, piece: &Piece, took: Duration) {
        self.piece_cost.observe(piece.kind as usize, piece.estimate, took);
    }

    /// How many of so many pieces are decoded at once.
    pub fn side_by_side(&self, pieces: usize) -> u32 {
        u32::try_from(pieces.clamp(1, self.compute.threads())).unwrap_or(1)
    }

    fn owner(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn encoding(&self) -> usize {
        self.encoding.load(Ordering::Relaxed)
    }

    fn load(&self, pool: &SessionPool, Waits { ahead, all }: Waits) -> Load {
        let a_row = a_row(pool) + self.usual_encode.get() / self.compute.threads() as f64;
        let least =
            (pool.rows_a_round() as f64 * a_row + SPARE * self.usual.get()) * self.correction.get();
        Load { rows: all, wait: ahead.wait, least: seconds(least).max(LEAST) }
    }

    /// Seconds for which a request keeps everything busy.
    fn seconds(&self, pool: &SessionPool, asking: &Asking) -> f64 {
        let encode = asking.encode().as_secs_f64() / self.compute.threads() as f64;
        let run = || asking.rows as f64 * a_row(pool);
        asking.units.map_or_else(run, |units| pool.time_of(asking.rows, units).as_secs_f64())
            + encode
    }

    fn waits(&self, pool: &SessionPool, asking: &Asking) -> Waits {
        let Asking { rows, order, costs, .. } = asking;
        let encoding = self.encoding();
        let (before, coming) = match costs.as_slice() {
            // It goes to the queue at once.
            [] => (Before::default(), 0),
            _ => {
                let before = self.compute.before(self.owner(), order.priority, asking.encode());
                (before, encoding.saturating_sub(before.behind))
            }
        };
        let ahead = pool.ahead(*order, *rows, coming);
        let threads = self.side_by_side(usize::MAX);
        let wait = (ahead.wait + before.work / threads).as_secs_f64() * self.correction.get();
        let all = ahead.all + encoding;
        Waits { ahead: Ahead { wait: seconds(wait), ..ahead }, all }
    }
}

/// Seconds that a row of a full round keeps all sessions busy for.
fn a_row(pool: &SessionPool) -> f64 {
    let rows = pool.rows_a_round();
    pool.time_of_usual(rows).as_secs_f64() / rows as f64
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(all(test, not(feature = "model-check")))]
mod tests;
