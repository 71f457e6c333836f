//! Whose turn it is: work of many requests, shared out fairly.
//!
//! Weighted fair queueing. A request is a flow of pieces. One clock goes on as fast as a request would be
//! served that had its share all the time; a flow starts at the time at which it comes, and what its pieces
//! take moves its own time on. The piece goes first that ends first by that time. So a request of one small
//! piece waits for no more than its own length of every other's, however much these have, and a large
//! request gets its share while small ones keep coming.
//!
//! No locks and no threads: those are in [`super`].

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use crate::runtime::job::Priority;

/// How many times the share of a bulk request an interactive one has.
const SHARE: u64 = 8;

/// Whose work it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Of {
    /// Tells the models apart.
    pub owner: usize,
    /// Rows that come of all its pieces.
    pub rows: usize,
    pub priority: Priority,
}

/// What is done before a request that comes now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Before {
    /// Of one thread.
    pub work: Duration,
    /// Rows of the same owner that come after it.
    pub behind: usize,
}

struct Flow<T> {
    of: Of,
    /// When its next piece starts, by its own time.
    start: u64,
    /// What each takes, in nanoseconds as predicted.
    pieces: VecDeque<(u64, T)>,
    /// Of all pieces.
    left: u64,
}

impl<T> Flow<T> {
    fn end_of_next(&self) -> u64 {
        let next = self.pieces.front().map_or(0, |(cost, _)| *cost);
        self.start.saturating_add(charge(self.of.priority, next))
    }
}

/// A piece that is being done.
pub struct Taken<T> {
    pub work: T,
    pub ticket: Ticket,
}

/// What is to be told when it is done.
pub struct Ticket {
    flow: u64,
    priority: Priority,
    predicted: u64,
}

/// All that waits. Times are nanoseconds.
pub struct Schedule<T> {
    now: u64,
    /// By the time at which the next piece ends, and by the order in which they came.
    waiting: BTreeMap<(u64, u64), Flow<T>>,
    /// The first part of a flow's key, by the second.
    places: HashMap<u64, u64, ahash::RandomState>,
    /// Shares of all that wait.
    shares: u64,
    /// What is being done takes so long, as predicted.
    doing: u64,
    next: u64,
}

impl<T> Default for Schedule<T> {
    fn default() -> Self {
        Self {
            now: 0,
            waiting: BTreeMap::new(),
            places: HashMap::default(),
            shares: 0,
            doing: 0,
            next: 0,
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn share(priority: Priority) -> u64 {
    match priority {
        Priority::Interactive => SHARE,
        Priority::Bulk => 1,
    }
}

/// By how much work moves a flow's own time on.
fn charge(priority: Priority, cost: u64) -> u64 {
    cost.saturating_mul(SHARE / share(priority))
}

impl<T> Schedule<T> {
    /// A request's pieces, in the order in which they are taken, and what each takes of a thread as far as
    /// that is known. Gives the number by which it is found.
    pub fn add(&mut self, of: Of, pieces: impl IntoIterator<Item = (Duration, T)>) -> u64 {
        let pieces: VecDeque<(u64, T)> =
            pieces.into_iter().map(|(cost, work)| (nanoseconds(cost), work)).collect();
        let left = pieces.iter().fold(0_u64, |left, (cost, _)| left.saturating_add(*cost));
        let id = self.next;
        self.next += 1;
        self.insert(id, Flow { of, start: self.now, pieces, left });
        id
    }

    /// The piece whose turn it is.
    pub fn take(&mut self) -> Option<Taken<T>> {
        let ((_, id), mut flow) = self.waiting.pop_first()?;
        self.forget(id, &flow);
        let (cost, work) = flow.pieces.pop_front()?;
        flow.left -= cost;
        flow.start = flow.start.saturating_add(charge(flow.of.priority, cost));
        self.doing = self.doing.saturating_add(cost);
        let ticket = Ticket { flow: id, priority: flow.of.priority, predicted: cost };
        self.insert(id, flow);
        Some(Taken { work, ticket })
    }

    /// A piece is done, and took this long.
    pub fn done(&mut self, ticket: Ticket, took: Duration) {
        let Ticket { flow: id, priority, predicted } = ticket;
        let took = nanoseconds(took);
        self.doing = self.doing.saturating_sub(predicted);
        let place = self.places.get(&id).copied();
        let others = if place.is_some() { 0 } else { share(priority) };
        let shares = (self.shares + others).max(1);
        self.now = self.now.saturating_add(took.saturating_mul(SHARE) / shares);
        // What was not known before counts now.
        if let Some(end) = place
            && let Some(mut flow) = self.waiting.remove(&(end, id))
        {
            self.forget(id, &flow);
            flow.start = flow
                .start
                .saturating_add(charge(priority, took))
                .saturating_sub(charge(priority, predicted));
            self.insert(id, flow);
        }
    }

    /// Drops what waits of a request.
    pub fn remove(&mut self, id: u64) -> Option<Vec<T>> {
        let end = self.places.get(&id).copied()?;
        let flow = self.waiting.remove(&(end, id))?;
        self.forget(id, &flow);
        Some(flow.pieces.into_iter().map(|(_, work)| work).collect())
    }

    /// What is done before a request of this cost that comes now has its last piece's turn.
    pub fn before(&self, owner: usize, priority: Priority, cost: Duration) -> Before {
        let end = self.now.saturating_add(charge(priority, nanoseconds(cost)));
        // Half of what is being done is done already.
        let (mut work, mut behind) = (self.doing / 2, 0);
        for ((next, _), flow) in &self.waiting {
            let factor = SHARE / share(flow.of.priority);
            let turn = if *next > end { 0 } else { end.saturating_sub(flow.start) / factor };
            work = work.saturating_add(turn.min(flow.left));
            if (*next > end || flow.left > turn) && flow.of.owner == owner {
                behind += flow.of.rows;
            }
        }
        Before { work: Duration::from_nanos(work), behind }
    }

    fn insert(&mut self, id: u64, flow: Flow<T>) {
        if flow.pieces.is_empty() {
            return;
        }
        let end = flow.end_of_next();
        self.shares += share(flow.of.priority);
        self.places.insert(id, end);
        self.waiting.insert((end, id), flow);
    }

    fn forget(&mut self, id: u64, flow: &Flow<T>) {
        self.shares -= share(flow.of.priority);
        self.places.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn of(priority: Priority) -> Of {
        Of { owner: 1, rows: 1, priority }
    }

    /// One thread, on a clock of its own: pieces take as long as they say.
    #[derive(Default)]
    struct Thread {
        schedule: Schedule<(char, Duration)>,
        clock: Duration,
        /// What was done, and when it was done.
        done: Vec<(char, Duration)>,
    }

    impl Thread {
        fn add(&mut self, name: char, count: usize, cost: Duration, priority: Priority) {
            self.schedule.add(of(priority), vec![(cost, (name, cost)); count]);
        }

        /// The same, of which nobody knows what it costs.
        fn add_unknown(&mut self, name: char, count: usize, cost: Duration) {
            let piece = (Duration::ZERO, (name, cost));
            self.schedule.add(of(Priority::Interactive), vec![piece; count]);
        }

        fn step(&mut self) -> bool {
            let Some(Taken { work: (name, cost), ticket }) = self.schedule.take() else {
                return false;
            };
            self.clock += cost;
            self.schedule.done(ticket, cost);
            self.done.push((name, self.clock));
            true
        }

        fn last(&self, name: char) -> Duration {
            self.done.iter().rev().find(|(other, _)| *other == name).unwrap().1
        }

        fn count(&self, name: char) -> usize {
            self.done.iter().filter(|(other, _)| *other == name).count()
        }
    }

    #[test]
    fn a_small_request_does_not_wait_for_a_large_one() {
        let mut thread = Thread::default();
        for _ in 0..4 {
            thread.add('L', 64, MS * 100, Priority::Interactive);
        }
        thread.step();
        for _ in 0..64 {
            thread.add('s', 1, MS * 5, Priority::Interactive);
        }
        while thread.step() {}
        // The one that had begun, and what 64 small ones take; not 25 s.
        assert_eq!(thread.last('s'), MS * (100 + 64 * 5));
        assert_eq!(thread.last('L'), MS * (4 * 64 * 100 + 64 * 5));
    }

    #[test]
    fn equal_requests_go_in_the_order_in_which_they_came() {
        let mut thread = Thread::default();
        for name in 'a'..='h' {
            thread.add(name, 1, MS * 5, Priority::Interactive);
            thread.step();
            thread.add(name.to_ascii_uppercase(), 1, MS * 5, Priority::Interactive);
        }
        while thread.step() {}
        let order: String = thread.done.iter().map(|(name, _)| name).collect();
        assert_eq!(order, "aAbBcCdDeEfFgGhH");
    }

    #[test]
    fn a_large_request_has_its_share_while_small_ones_keep_coming() {
        for known in [true, false] {
            let mut thread = Thread::default();
            match known {
                true => thread.add('L', 1000, MS * 100, Priority::Interactive),
                false => thread.add_unknown('L', 1000, MS * 100),
            }
            // Nine small ones wait at any time.
            for _ in 0..9 {
                thread.add('s', 1, MS * 5, Priority::Interactive);
            }
            while thread.clock < MS * 20_000 {
                thread.step();
                if thread.done.last().unwrap().0 == 's' {
                    thread.add('s', 1, MS * 5, Priority::Interactive);
                }
            }
            let part = thread.count('L') as f64 * 0.1 / thread.clock.as_secs_f64();
            assert!((0.08..0.14).contains(&part), "{part} of the time, {known}");
        }
    }

    #[test]
    fn bulk_work_has_a_smaller_share_and_is_not_starved() {
        let mut thread = Thread::default();
        thread.add('b', 1000, MS, Priority::Bulk);
        thread.add('i', 1000, MS, Priority::Interactive);
        for _ in 0..900 {
            thread.step();
        }
        assert!((95..=105).contains(&thread.count('b')), "{}", thread.count('b'));
    }

    #[test]
    fn what_is_before_a_request_depends_on_its_own_size() {
        let mut schedule = Schedule::default();
        for _ in 0..4 {
            let large = Of { rows: 64, ..of(Priority::Interactive) };
            schedule.add(large, vec![(MS * 100, ()); 64]);
        }
        let before =
            |schedule: &Schedule<()>, cost| schedule.before(1, Priority::Interactive, cost);
        let nothing = Before { work: Duration::ZERO, behind: 4 * 64 };
        assert_eq!(before(&schedule, MS * 5), nothing, "no piece of theirs ends before");
        let as_large = before(&schedule, MS * 6400);
        assert_eq!(as_large, Before { work: MS * 4 * 6400, behind: 0 });
        for _ in 0..10 {
            schedule.add(of(Priority::Interactive), [(MS * 5, ())]);
        }
        assert_eq!(before(&schedule, MS * 5), Before { work: MS * 50, behind: 4 * 64 });
        let other = schedule.before(2, Priority::Interactive, MS * 5);
        assert_eq!(other, Before { work: MS * 50, behind: 0 }, "rows of another model");
    }

    #[test]
    fn what_was_given_up_is_gone() {
        let mut schedule = Schedule::default();
        let large = schedule.add(of(Priority::Interactive), vec![(MS, 'a'); 3]);
        let small = schedule.add(of(Priority::Interactive), [(MS, 'b')]);
        let taken = schedule.take().unwrap();
        assert_eq!(schedule.remove(large), Some(vec!['a'; 2]));
        assert_eq!(schedule.remove(large), None);
        schedule.done(taken.ticket, MS);
        assert_eq!(schedule.take().map(|taken| taken.work), Some('b'));
        assert_eq!(schedule.remove(small), None);
        assert!(schedule.take().is_none());
        assert_eq!((schedule.shares, schedule.places.len()), (0, 0));
    }
}
