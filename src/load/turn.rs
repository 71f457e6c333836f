//! What one turn of load brought.

use std::time::Duration;

use super::objective::Objective;

/// Answers that ended within the turn's time, and how.
#[derive(Debug, Clone, Default)]
pub struct Turn {
    pub time: Duration,
    /// From the moment at which a request was sent, or should have been, to the end of its answer.
    pub answered: Vec<Duration>,
    /// Open loop alone: requests that were given up, with the time until then.
    pub given_up: Vec<Duration>,
    /// Other statuses than 200, and connections that broke.
    pub failed: usize,
    /// One of the failures, in words.
    pub failure: Option<String>,
    /// Open loop alone: how much later than it should have a request was sent.
    pub late: Vec<Duration>,
    /// Of the server, if its process is known.
    pub server_cpu: Option<Duration>,
    /// Of this process.
    pub own_cpu: Duration,
}

impl Turn {
    /// Requests that came into the turn's time.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.answered.len() + self.given_up.len() + self.failed
    }

    /// Answers within this time.
    #[must_use]
    pub fn within(&self, bound: Duration) -> usize {
        self.answered.iter().filter(|took| **took < bound).count()
    }

    /// Answers a second.
    #[must_use]
    pub fn throughput(&self) -> f64 {
        self.answered.len() as f64 / self.time.as_secs_f64()
    }
}

/// Whether these turns together meet the objective. A request that failed or was given up took too long.
#[must_use]
pub fn meet<'a>(turns: impl IntoIterator<Item = &'a Turn>, objective: &Objective) -> bool {
    let (mut within, mut asked) = (0, 0);
    for turn in turns {
        within += turn.within(objective.bound);
        asked += turn.asked();
    }
    asked > 0 && within as f64 * 100.0 >= asked as f64 * objective.percentile
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_or_was_given_up_took_too_long() {
        let objective = Objective { percentile: 90.0, bound: Duration::from_millis(10) };
        let mut turn = Turn { answered: vec![Duration::from_millis(1); 9], ..Turn::default() };
        assert!(meet([&turn], &objective));
        turn.failed = 1;
        assert!(meet([&turn], &objective));
        turn.given_up.push(Duration::from_millis(1));
        assert!(!meet([&turn], &objective));
        assert!(!meet([&Turn::default()], &objective));
    }
}
