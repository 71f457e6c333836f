//! A closed loop: each client asks again as soon as it is answered.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::client::{Connection, Failure};
use super::cpu::Meter;
use super::lock;
use super::target::Target;
use super::turn::Turn;

/// For the first answer of all clients.
const PATIENCE: Duration = Duration::from_mins(1);
/// Before a client whose connection broke connects again.
const PAUSE: Duration = Duration::from_millis(10);

struct Answer {
    began: Instant,
    ended: Instant,
    outcome: Result<(), Failure>,
}

#[derive(Default)]
struct Shared {
    counting: AtomicBool,
    answers: Mutex<Vec<Answer>>,
}

/// One turn. The time begins when every client has had one answer, and the clients go on until it
/// ends, so that the load is the same all along. What is in flight then is dropped with its connection.
///
/// # Errors
/// A client that cannot connect, or has no answer for a minute.
pub async fn turn(target: &Arc<Target>, clients: usize, time: Duration) -> anyhow::Result<Turn> {
    let shared = Arc::new(Shared::default());
    let (first, mut firsts) = mpsc::unbounded_channel();
    let mut running = JoinSet::new();
    for _ in 0..clients {
        running.spawn(client(target.clone(), shared.clone(), first.clone()));
    }
    drop(first);
    let all_answered = async {
        for _ in 0..clients {
            firsts.recv().await.context("a client ended")??;
        }
        anyhow::Ok(())
    };
    match tokio::time::timeout(PATIENCE, all_answered).await {
        Ok(answered) => answered?,
        Err(_) => bail!("{}: no answer within {PATIENCE:?}", target.address),
    }
    let meter = Meter::start(target.process);
    let start = Instant::now();
    shared.counting.store(true, Ordering::Relaxed);
    tokio::time::sleep(time).await;
    let end = Instant::now();
    let (server_cpu, own_cpu) = meter.stop();
    running.shutdown().await;
    let mut turn = Turn { time: end - start, server_cpu, own_cpu, ..Turn::default() };
    let answers = std::mem::take(&mut *lock(&shared.answers));
    for answer in answers.into_iter().filter(|answer| (start..end).contains(&answer.ended)) {
        match answer.outcome {
            Ok(()) => turn.answered.push(answer.ended - answer.began),
            Err(failure) => {
                turn.failed += 1;
                turn.failure = Some(failure);
            }
        }
    }
    Ok(turn)
}

/// One client; tells once that it is in the loop.
async fn client(
    target: Arc<Target>,
    shared: Arc<Shared>,
    first: mpsc::UnboundedSender<anyhow::Result<()>>,
) {
    let mut connection = match Connection::open(&target).await {
        Ok(connection) => connection,
        Err(error) => {
            let _ = first.send(Err(error));
            return;
        }
    };
    let mut first = Some(first);
    loop {
        let began = Instant::now();
        let outcome = connection.ask(&target).await;
        let ended = Instant::now();
        if shared.counting.load(Ordering::Relaxed) {
            lock(&shared.answers).push(Answer { began, ended, outcome });
        }
        if let Some(first) = first.take() {
            let _ = first.send(Ok(()));
        }
        while !connection.is_open() {
            tokio::time::sleep(PAUSE).await;
            if let Ok(other) = Connection::open(&target).await {
                connection = other;
            }
        }
    }
}

/// Asks once.
///
/// # Errors
/// No connection, or any status but 200, in words.
pub async fn once(target: &Target) -> anyhow::Result<()> {
    let mut connection = Connection::open(target).await?;
    connection.ask(target).await.map_err(anyhow::Error::msg)
}
