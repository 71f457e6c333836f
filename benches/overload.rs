//! Three and ten times more than the server can do, in an open loop, under the default configuration: how
//! long those wait who are taken on, how soon the others are told, and how much of the capacity is left. The
//! network is a double that takes 5 ms of no processor, so that the client on the same machine does not
//! bound it.
//! `cargo bench --bench overload`

mod support;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ndarray::ArrayD;
use onnxd::api::App;
use onnxd::config::{Flags, Layout, ServerConfig};
use onnxd::error::Error;
use onnxd::metrics::Metrics;
use onnxd::model::repository::ModelRepository;
use onnxd::model::{Model, Parts};
use onnxd::rows::Rows;
use onnxd::runtime::cancel::Cancel;
use onnxd::runtime::compute::Compute;
use onnxd::runtime::cost::{Cost, Sample};
use onnxd::runtime::pool::{SessionPool, Setup};
use onnxd::runtime::provider::ExecutionProvider;
use onnxd::runtime::queue::Bounds;
use onnxd::runtime::session::Session;
use onnxd::signature::{BatchAxis, Batching, Signature};
use onnxd::tasks::{Input, InputKind, Parameters, Prediction, Stages, Task, Text, Value};
use onnxd::telemetry::Handle;
use onnxd::tensor::Tensors;
use tokio::sync::mpsc;

const RUN: Duration = Duration::from_millis(5);

struct Slow;

impl Session for Slow {
    fn run(&self, inputs: &Tensors, _: &[String], _: &Cancel) -> Result<Tensors, Error> {
        thread::sleep(RUN);
        Ok(inputs.clone())
    }
}

/// A text's length, by way of the network.
struct Length;

impl Task for Length {
    fn name(&self) -> &'static str {
        "text-regression"
    }

    fn input_kind(&self) -> InputKind {
        InputKind::Text
    }

    fn outputs(&self) -> Vec<String> {
        vec!["x".to_owned()]
    }

    fn batch_axis(&self) -> BatchAxis {
        BatchAxis::Dynamic
    }

    fn encode(&self, input: &Input, _: &Parameters, _: &Stages) -> Result<Rows, Error> {
        let Input::Texts(texts) = input else { return Err(Error::internal("no text")) };
        let lengths: Vec<f32> = texts.iter().map(|text| text.text.len() as f32).collect();
        let x = ArrayD::from_shape_vec(vec![texts.len(), 1], lengths).map_err(Error::internal)?;
        Ok(Rows::alike(Tensors(vec![("x".into(), x.into())])))
    }

    fn decode(&self, outputs: &Tensors, _: &Parameters) -> Result<Vec<Prediction>, Error> {
        let lengths = outputs.get("x").and_then(onnxd::tensor::Tensor::to_f32).unwrap_or_default();
        let value = |x: f32| Prediction::Value { value: Value::One(x.into()) };
        Ok(lengths.into_iter().map(value).collect())
    }

    fn sample(&self, count: usize) -> Input {
        let text = Text { field: "text".into(), text: "a".into(), pair: None };
        Input::Texts(vec![text; count])
    }

    fn varied(&self, count: usize) -> Input {
        self.sample(count)
    }

    fn calibrate(&mut self, _: &[Tensors]) -> Result<(), onnxd::tasks::Unserved> {
        Ok(())
    }

    fn assumptions(&self) -> Vec<String> {
        Vec::new()
    }
}

fn app() -> App {
    let config = ServerConfig::load(None, &Flags::default()).unwrap();
    let metrics = Arc::new(Metrics::default());
    let model_metrics = Arc::new(metrics.model("slow", "1", &[]));
    let bounds = Bounds {
        max_queue_size: 1024,
        max_queue_bytes: 1 << 28,
        max_batch_size: 1,
        max_batch_tokens: 16_384,
        min_efficiency: 0.9,
        max_queue_delay: Duration::ZERO,
    };
    let setup = Setup {
        name: "slow".to_owned(),
        axis: BatchAxis::Dynamic,
        bounds,
        cost: Cost::fit(&[Sample { rows: 1, units: 1, time: RUN }]),
        metrics: model_metrics.clone(),
    };
    let compute = Arc::new(Compute::new(2).unwrap());
    let model = Model::new(Parts {
        name: "slow".to_owned(),
        version: 1,
        file: String::new(),
        provider: ExecutionProvider::Cpu,
        signature: Signature { inputs: Vec::new(), outputs: Vec::new() },
        default: false,
        examples: Vec::new(),
        weights_bytes: 0,
        task: Box::new(Length),
        pool: SessionPool::start(vec![Arc::new(Slow)], setup).unwrap(),
        compute: compute.clone(),
        queue_objective: config.runtime.queue_objective,
        limits: config.limits,
        metrics: model_metrics,
        layout: Layout { instances: 1, intra_op_threads: 1, wide: None },
        crowd: Arc::default(),
        open: Arc::new(|_| Err("one session is enough".to_owned())),
        axis: BatchAxis::Dynamic,
        batching: Batching::Together,
        because: None,
    });
    let app = App::new(&config, compute, metrics, Handle::default());
    app.set_repository(Arc::new(ModelRepository::of([model])));
    app
}

/// One request: when it should have been sent, since the phase began, and how it ended.
struct Ended {
    sent: Duration,
    took: Duration,
    status: u16,
}

struct Load {
    client: reqwest::Client,
    url: String,
}

impl Load {
    /// `index` makes every request another, so that none share a run.
    fn ask(&self, index: usize) -> impl Future<Output = u16> + Send + 'static {
        let request = self.client.post(&self.url).header("content-type", "text/plain");
        let request = request.body(format!("request number {index}")).send();
        async move {
            let response = request.await.unwrap();
            let status = response.status().as_u16();
            response.bytes().await.unwrap();
            status
        }
    }

    /// Answers a second of callers who ask again as soon as they are answered.
    async fn closed(self: &Arc<Self>, callers: usize, time: Duration) -> f64 {
        let start = Instant::now();
        let tasks: Vec<_> = (0..callers)
            .map(|caller| {
                let load = self.clone();
                tokio::spawn(async move {
                    let mut answered = 0;
                    while start.elapsed() < time {
                        let index = caller * 1_000_000 + answered;
                        answered += usize::from(load.ask(index).await == 200);
                    }
                    answered
                })
            })
            .collect();
        let mut answered = 0;
        for task in tasks {
            answered += task.await.unwrap();
        }
        answered as f64 / start.elapsed().as_secs_f64()
    }

    /// Poisson arrivals at this rate a second, whatever the server does. Times are from the moment at
    /// which a request should have been sent.
    async fn open(self: &Arc<Self>, rate: f64, time: Duration) -> Vec<Ended> {
        let (done, mut ended) = mpsc::unbounded_channel();
        let start = Instant::now();
        let mut at = 0.0_f64;
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        let mut index = 0;
        while at < time.as_secs_f64() {
            let due = start + Duration::from_secs_f64(at);
            tokio::time::sleep_until(due.into()).await;
            let (ask, done) = (self.ask(index), done.clone());
            tokio::spawn(async move {
                let status = ask.await;
                let _ = done.send(Ended { sent: due - start, took: due.elapsed(), status });
            });
            // xorshift64: good enough for gaps.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let uniform = ((random >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
            at -= uniform.ln() / rate;
            index += 1;
        }
        drop(done);
        let mut all = Vec::with_capacity(index);
        while let Some(one) = ended.recv().await {
            all.push(one);
        }
        all
    }
}

/// Percentile of the requests with this status, in milliseconds.
fn percentile(ended: &[Ended], status: u16, percent: usize) -> f64 {
    let with = ended.iter().filter(|one| one.status == status);
    let mut times: Vec<f64> = with.map(|one| one.took.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    times.get((times.len() * percent / 100).min(times.len().max(1) - 1)).copied().unwrap_or(0.0)
}

fn count(ended: &[Ended], status: u16) -> usize {
    ended.iter().filter(|one| one.status == status).count()
}

fn row(name: &str, ended: &[Ended], seconds: f64) {
    let (ok, refused) = (count(ended, 200), count(ended, 429));
    println!(
        "| {name} | {:.0} | {:.1} | {:.1} | {:.1} | {:.2} | {} |",
        ended.len() as f64 / seconds,
        ok as f64 / seconds,
        percentile(ended, 200, 50),
        percentile(ended, 200, 99),
        percentile(ended, 429, 99),
        ended.len() - ok - refused,
    );
}

fn main() {
    // A quick look: `cargo bench --bench overload -- 6` has a tenth of the minute.
    let seconds = std::env::args().find_map(|argument| argument.parse().ok());
    let seconds: u64 = seconds.unwrap_or(60);
    let address = support::serve(app());
    let tokio = tokio::runtime::Runtime::new().unwrap();
    let load = Arc::new(Load {
        client: reqwest::Client::new(),
        url: format!("http://{address}/predict/slow"),
    });
    tokio.block_on(async {
        let capacity = load.closed(8, Duration::from_secs(5)).await;
        println!("capacity, 8 callers in a closed loop: {capacity:.1} a second\n");
        println!("| load | sent/s | answered/s | p50 ms | p99 ms | refusals p99 ms | other |");
        println!("|---|---|---|---|---|---|---|");
        let time = Duration::from_secs(seconds);
        let calm = load.open(capacity * 0.8, time).await;
        row("0.8 × capacity", &calm, time.as_secs_f64());
        let crowd = load.open(capacity * 3.0, time).await;
        row("3 × capacity", &crowd, time.as_secs_f64());
        let flood = load.open(capacity * 10.0, time).await;
        row("10 × capacity", &flood, time.as_secs_f64());
        let after = load.open(capacity * 0.8, time / 3).await;
        row("0.8 × capacity, right after", &after, time.as_secs_f64() / 3.0);

        let p99 = percentile(&calm, 200, 99);
        for (times, ended) in [(3, &crowd), (10, &flood)] {
            let ratio = percentile(ended, 200, 99) / p99;
            println!("\naccepted p99, {times} × / 0.8 ×: {ratio:.2}");
        }
        let goodput = count(&flood, 200) as f64 / time.as_secs_f64();
        println!("goodput at 10 × / capacity: {:.3}", goodput / capacity);
        let slow = |one: &&Ended| one.status != 200 || one.took.as_secs_f64() * 1e3 > p99;
        let early = after.iter().filter(|one| one.sent < Duration::from_secs(2));
        let recovered = early.filter(slow).map(|one| one.sent).max().unwrap_or_default();
        println!(
            "last refused or slower than the calm p99, in the first 2 s after: at {} ms",
            recovered.as_millis()
        );
    });
}
