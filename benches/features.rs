//! Feature rows: what the server adds to the raw session for one client, and how many requests one
//! core of server answers.
//!
//! The server is the real binary as a process of its own, pinned to core 0; the clients are on core 1.
//! Everything takes turns in one run. `cargo bench --bench features`

mod support;

use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ndarray::ArrayD;
use onnxd::runtime::cancel::Cancel;
use onnxd::runtime::session::{OnnxSession, Session};
use onnxd::tensor::Tensors;

use support::clients::{Clients, Requests};
use support::crowd::Crowd;
use support::process::{Server, own_cpu_seconds, pin};
use support::{Bench, Client, quartiles, root, row};

/// Turns of each load.
const TURNS: usize = 5;
const TURN: Duration = Duration::from_millis(800);
/// Rounds of one client, and requests in each.
const ROUNDS: usize = 20;
const REQUESTS: usize = 200;
/// Different rows. A prime, so that clients never ask in step.
const ROWS: usize = 1009;

/// Different feature rows, near the first flower of the data set.
fn rows() -> Vec<[f32; 4]> {
    let row = |number: usize| {
        let step = number as f32 / 1000.0;
        [5.1 + step, 3.5 - step, 1.4 + step, 0.2 + step]
    };
    (0..ROWS).map(row).collect()
}

fn post(row: &[f32; 4]) -> Vec<u8> {
    let body = format!("{{\"features\":{row:?}}}");
    support::request("application/json", body.as_bytes())
}

/// The server with the model iris alone, on this core or on all.
fn start(core: Option<usize>) -> Server {
    let models = tempfile::tempdir().unwrap();
    symlink(root().join("models/iris"), models.path().join("iris")).unwrap();
    let mut program = Command::new("taskset");
    // This process is on one core, which a child would inherit.
    let cores = core.map_or("0-1023".to_owned(), |core| core.to_string());
    program.args(["-c", &cores, env!("CARGO_BIN_EXE_onnxd")]);
    let server = Server::onnxd(program, models);
    server.answered(&post(&rows()[0]));
    server
}

/// Clients that each begin elsewhere in the list of requests and go on through it.
fn clients(server: &Server, count: usize, requests: &Arc<Vec<Vec<u8>>>) -> Crowd {
    let (address, requests) = (server.address, requests.clone());
    Crowd::start(1, move || {
        let client = |number: usize| {
            let requests: Arc<Vec<Vec<u8>>> = requests.clone();
            let mut next = number * requests.len() / count;
            let request = move || {
                next += 1;
                requests[next % requests.len()].clone()
            };
            Box::new(request) as Requests
        };
        Clients::connect(address, (0..count).map(client).collect())
    })
}

/// Microseconds of one row through the session in this process.
fn raw(session: &mut OnnxSession, rows: &[[f32; 4]]) -> Vec<f64> {
    let (input, output) = {
        let signature = session.signature();
        (signature.inputs[0].name.clone(), [signature.outputs[1].name.clone()])
    };
    let run = |row: &[f32; 4]| {
        let array = ArrayD::from_shape_vec(vec![1, 4], row.to_vec()).unwrap();
        let tensors = Tensors(vec![(input.clone(), array.into())]);
        let start = Instant::now();
        std::hint::black_box(session.run(&tensors, &output, &Cancel::new(1)).unwrap());
        microseconds(start)
    };
    rows.iter().map(run).collect()
}

/// Microseconds of one request after the other.
fn served(client: &mut Client, requests: &[Vec<u8>]) -> Vec<f64> {
    let ask = |request: &Vec<u8>| {
        let start = Instant::now();
        assert_eq!(client.ask(request), 200);
        microseconds(start)
    };
    requests.iter().map(ask).collect()
}

fn microseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e6
}

/// One client: raw session, the server on one core, and the server on all.
fn latency(pinned: &Server, free: &Server, requests: &[Vec<u8>], live: &[Vec<u8>]) {
    let bench = Bench::load(&support::runtime(), "iris", |_| {});
    let (mut session, rows) = (bench.session(1), rows());
    let mut clients = [pinned, free].map(|server| Client::connect(server.address));
    let [mut by_hand, mut nothing, mut on_one, mut on_all] = [const { Vec::new() }; 4];
    let live = vec![live[0].clone(); REQUESTS];
    for round in 0..=ROUNDS {
        let turn = round * REQUESTS % (ROWS - REQUESTS)..;
        let (rows, requests) = (&rows[turn.clone()][..REQUESTS], &requests[turn][..REQUESTS]);
        let [one, all] = &mut clients;
        let times = (
            raw(&mut session, rows),
            served(one, &live),
            served(one, requests),
            served(all, requests),
        );
        // The first round warms up.
        if round > 0 {
            by_hand.extend(times.0);
            nothing.extend(times.1);
            on_one.extend(times.2);
            on_all.extend(times.3);
        }
    }
    println!("\n| one client, µs | median | quartiles |\n|---|---|---|");
    row("session run", &by_hand, 1);
    row("`GET /v2/health/live` on one core", &nothing, 1);
    row("served by one core", &on_one, 1);
    row("served by all cores", &on_all, 1);
    let median = |times: &[f64]| quartiles(times)[1];
    let added = |served: &[f64]| median(served) - median(&by_hand);
    println!("\nadded p50: {:.1} µs on one core, {:.1} µs on all", added(&on_one), added(&on_all));
}

/// Figures of one load, a turn each.
#[derive(Default)]
struct Load {
    per_second: Vec<f64>,
    /// Microseconds of the server's processor for a request.
    server: Vec<f64>,
    /// The same of the clients.
    clients: Vec<f64>,
    /// Median latency in milliseconds.
    p50: Vec<f64>,
}

impl Load {
    fn turn(&mut self, server: &Server, clients: &Crowd) {
        let turn = clients.turn(TURN, || [server.cpu_seconds(), own_cpu_seconds()]);
        self.per_second.push(turn.throughput);
        self.server.push(turn.spent[0] * 1e6);
        self.clients.push(turn.spent[1] * 1e6);
        self.p50.push(turn.percentile(0.5));
    }

    fn row(&self, name: &str) {
        let [low, median, high] = quartiles(&self.per_second);
        let [server, clients, p50] =
            [&self.server, &self.clients, &self.p50].map(|v| quartiles(v)[1]);
        let of_server = 1e6 / server;
        println!(
            "| {name} | {median:.0} | {low:.0} to {high:.0} | {server:.1} | {of_server:.0} | \
             {clients:.1} | {p50:.2} |"
        );
    }
}

fn main() {
    // This process is the load generator.
    pin(1);
    let requests: Vec<Vec<u8>> = rows().iter().map(post).collect();
    let live = vec![b"GET /v2/health/live HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec()];
    let (pinned, free) = (start(Some(0)), start(None));
    // `-- NAME` runs one load alone, for a profiler.
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if only.is_none() {
        latency(&pinned, &free, &requests, &live);
    }

    let same = Arc::new(requests[..1].to_vec());
    let (requests, live) = (Arc::new(requests), Arc::new(live));
    let mut loads = [
        ("1 client", 1, &requests),
        ("16 clients", 16, &requests),
        ("64 clients", 64, &requests),
        ("64 clients, all the same row", 64, &same),
        ("1 client, `GET /v2/health/live`", 1, &live),
        ("64 clients, `GET /v2/health/live`", 64, &live),
    ]
    .into_iter()
    .filter(|(name, ..)| only.as_ref().is_none_or(|only| only == name))
    .map(|(name, count, requests)| (name, clients(&pinned, count, requests), Load::default()))
    .collect::<Vec<_>>();
    for _ in 0..TURNS {
        for (_, clients, load) in &mut loads {
            load.turn(&pinned, clients);
        }
    }
    println!(
        "\n| server on one core | requests/s | quartiles | server µs/request | \
         requests/s of server CPU | clients µs/request | p50 ms |\n|---|---|---|---|---|---|---|"
    );
    for (name, _, load) in &loads {
        load.row(name);
    }
}
