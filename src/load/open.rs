//! An open loop: requests come when they come, whatever the server does.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::client::{Connection, Failure};
use super::cpu::Meter;
use super::lock;
use super::target::Target;
use super::turn::Turn;

/// Connections at once. Further requests wait in this process, and their waiting counts.
const CONNECTIONS: usize = 500;
/// The part of a turn that comes before its time, so that queues are as long as the rate makes them.
const RAMP: f64 = 0.25;

/// How the requests of a turn come.
#[derive(Debug, Clone, Copy)]
pub struct Arrivals {
    /// Requests a second, on average.
    pub rate: f64,
    /// In which requests count.
    pub time: Duration,
    /// For answers that are still missing at its end.
    pub patience: Duration,
}

/// Poisson arrivals: moments from 0 to `time`, with independent gaps of 1 / `rate` on average.
#[must_use]
pub fn poisson(rate: f64, time: Duration, random: &mut fastrand::Rng) -> Vec<Duration> {
    let (mut at, mut moments) = (0.0, Vec::new());
    loop {
        // Of 0 to 1, without 0.
        at -= (1.0 - random.f64()).ln() / rate;
        if at >= time.as_secs_f64() {
            return moments;
        }
        moments.push(Duration::from_secs_f64(at));
    }
}

struct Answer {
    sent: Instant,
    ended: Instant,
    outcome: Result<(), Failure>,
}

struct Shared {
    target: Arc<Target>,
    idle: Mutex<Vec<Connection>>,
    places: Semaphore,
    /// One for each request.
    answers: Mutex<Vec<Option<Answer>>>,
}

/// One turn. Latencies are from the moment at which a request should have been sent.
pub async fn turn(target: &Arc<Target>, arrivals: Arrivals, random: &mut fastrand::Rng) -> Turn {
    let Arrivals { rate, time, patience } = arrivals;
    let ramp = time.mul_f64(RAMP);
    let moments = poisson(rate, ramp + time, random);
    let shared = Arc::new(Shared {
        target: target.clone(),
        idle: Mutex::default(),
        places: Semaphore::new(CONNECTIONS),
        answers: Mutex::new(moments.iter().map(|_| None).collect()),
    });
    let begin = Instant::now();
    let (start, end) = (begin + ramp, begin + ramp + time);
    let mut due = alarm(moments.iter().map(|moment| begin + *moment).collect());
    let mut meter = None;
    let mut running = JoinSet::new();
    while let Some(index) = due.recv().await {
        if meter.is_none() && begin + moments[index] >= start {
            meter = Some(Meter::start(target.process));
        }
        running.spawn(ask(shared.clone(), index));
        // What has ended is forgotten.
        while running.try_join_next().is_some() {}
    }
    tokio::time::sleep_until(end.into()).await;
    let (server_cpu, own_cpu) = meter.map_or((None, Duration::ZERO), Meter::stop);
    let rest = async { while running.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(patience, rest).await;
    let given_up = Instant::now();
    running.shutdown().await;

    let mut turn = Turn { time, server_cpu, own_cpu, ..Turn::default() };
    let answers = std::mem::take(&mut *lock(&shared.answers));
    let due = moments.iter().map(|moment| begin + *moment);
    for (due, answer) in due.zip(answers).filter(|(due, _)| *due >= start) {
        let Some(answer) = answer else {
            turn.given_up.push(given_up - due);
            continue;
        };
        turn.late.push(answer.sent.saturating_duration_since(due));
        match answer.outcome {
            Ok(()) => turn.answered.push(answer.ended - due),
            Err(failure) => {
                turn.failed += 1;
                turn.failure = Some(failure);
            }
        }
    }
    turn
}

/// Tells each number when its moment has come. On a thread of its own, since the async timer counts
/// in milliseconds.
fn alarm(moments: Vec<Instant>) -> mpsc::UnboundedReceiver<usize> {
    let (sender, receiver) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for (index, moment) in moments.into_iter().enumerate() {
            thread::sleep(moment.saturating_duration_since(Instant::now()));
            if sender.send(index).is_err() {
                return;
            }
        }
    });
    receiver
}

async fn ask(shared: Arc<Shared>, index: usize) {
    let Ok(_place) = shared.places.acquire().await else { return };
    let idle = lock(&shared.idle).pop();
    let connection = match idle.filter(Connection::is_open) {
        Some(connection) => Ok(connection),
        None => Connection::open(&shared.target).await,
    };
    let sent = Instant::now();
    let outcome = match connection {
        Ok(mut connection) => {
            let outcome = connection.ask(&shared.target).await;
            lock(&shared.idle).push(connection);
            outcome
        }
        Err(error) => Err(format!("{error:#}")),
    };
    lock(&shared.answers)[index] = Some(Answer { sent, ended: Instant::now(), outcome });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_have_the_mean_and_the_spread_of_poissons() {
        let mut random = fastrand::Rng::with_seed(7);
        let moments = poisson(100.0, Duration::from_secs(1000), &mut random);
        let mean = moments.len() as f64 / 1000.0;
        assert!((mean - 100.0).abs() < 2.0, "{mean}");
        // Of counts a second, the variance is the mean.
        let mut counts = vec![0.0_f64; 1000];
        for moment in &moments {
            counts[moment.as_secs() as usize] += 1.0;
        }
        let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / 1000.0;
        assert!((variance / mean - 1.0).abs() < 0.2, "{variance}");
        assert!(moments.is_sorted());
    }

    #[test]
    fn the_same_seed_gives_the_same_arrivals() {
        let moments =
            |seed| poisson(50.0, Duration::from_secs(2), &mut fastrand::Rng::with_seed(seed));
        assert_eq!(moments(1), moments(1));
        assert_ne!(moments(1), moments(2));
    }
}
