//! Every metric: its name, unit, labels and help, in one place. Served by `api/admin.rs`.
//!
//! Values of labels come from closed sets: names of loaded models, routes of ours, words of enums.
//! Nothing that a client sends becomes a label, so that no client can add a series.

mod model;
mod series;

use std::sync::Arc;
use std::time::Duration;

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

pub use model::{Agreement, ModelMetrics};
use series::Series;

/// Seconds, 0.5 ms to 10 s.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const ROWS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];
const TOKENS: [f64; 12] =
    [8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0];
const EFFICIENCY: [f64; 8] = [0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0];
const SCORES: [f64; 10] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

/// In the place of a model's name where a request reached no model.
pub const NONE: &str = "(none)";

/// The metrics of one process.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_duration: HistogramVec,
    pub http_responses: IntCounterVec,
    pub refusals: IntCounterVec,
    /// Lines of streams, by how they ended.
    bulk_lines: IntCounterVec,
    /// Lines that were read and not answered yet.
    pub bulk_lines_in_work: IntGauge,
    stages: HistogramVec,
    batch_size: HistogramVec,
    batch_tokens: HistogramVec,
    padding_efficiency: HistogramVec,
    queue_depth: IntGaugeVec,
    queue_bytes: IntGaugeVec,
    in_flight: IntGaugeVec,
    sessions: IntGaugeVec,
    intra_op_threads: IntGaugeVec,
    saturation: GaugeVec,
    cancellations: IntCounterVec,
    coalesced: IntCounterVec,
    batch_splits: IntCounterVec,
    wide_runs: IntCounterVec,
    panics: IntCounterVec,
    pub model_loads: IntCounterVec,
    model_load_seconds: GaugeVec,
    pub models: IntGaugeVec,
    pub model_parked: IntCounterVec,
    pub model_resumed: IntCounterVec,
    model_ready: IntGaugeVec,
    memory: IntGaugeVec,
    model_info: IntGaugeVec,
    device_info: IntGaugeVec,
    pub device_memory: IntGaugeVec,
    predictions: IntCounterVec,
    prediction_score: HistogramVec,
    pub draining: IntGauge,
    pub connections: IntGauge,
    pub connections_closed: IntCounterVec,
    pub accept_errors: IntCounter,
    pub open_requests: IntGauge,
    pub requests_in_work: IntGauge,
    pub body_bytes: IntGauge,
    pub unread_answer_bytes: IntGauge,
    log_dropped: IntCounter,
    pub cores: IntGauge,
    pub compute_threads: IntGauge,
    build_info: IntGaugeVec,
    shadow: IntCounterVec,
    series: Arc<Series>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    /// The client's fault: 4xx.
    Invalid,
    Overloaded,
    Unavailable,
    Deadline,
    /// The client left.
    Cancelled,
    Error,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Invalid => "invalid",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::Deadline => "deadline",
            Self::Cancelled => "cancelled",
            Self::Error => "error",
        }
    }
}

/// What a request was for: `[model, version, task, protocol]`.
pub type Served<'a> = [&'a str; 4];

const MODEL: [&str; 2] = ["model", "version"];

/// Registers what is made here. Names are constants, so a clash is a defect that every test meets.
struct Maker(Registry, Arc<Series>);

impl Maker {
    fn register<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        made.and_then(|metric| self.0.register(Box::new(metric.clone())).map(|()| metric))
            .unwrap_or_else(|error| unreachable!("a metric's definition: {error}"))
    }

    /// A metric with labels.
    fn family<T: MetricVecBuilder + 'static>(
        &self,
        made: prometheus::Result<MetricVec<T>>,
    ) -> MetricVec<T> {
        let family = self.register(made);
        self.1.note(&family);
        family
    }

    fn counter(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.family(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.family(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn float(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.family(GaugeVec::new(Opts::new(name, help), labels))
    }

    fn single(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help))
    }

    fn histogram(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.family(HistogramVec::new(options, labels))
    }
}

impl Default for Metrics {
    #[expect(clippy::too_many_lines, reason = "a list")]
    fn default() -> Self {
        let make = Maker(Registry::new(), Arc::default());
        #[cfg(target_os = "linux")]
        {
            let process = prometheus::process_collector::ProcessCollector::for_self();
            // Without /proc the process tells nothing of itself; the rest is served.
            let _ = make.0.register(Box::new(process));
        }
        let metrics = Self {
            requests: make.counter(
                "onnxd_requests_total",
                "Requests for predictions, by how they ended.",
                &["model", "version", "task", "protocol", "outcome"],
            ),
            request_duration: make.histogram(
                "onnxd_request_duration_seconds",
                "From the request's head to its answer, of requests that were answered with a \
                 prediction.",
                &["model", "version", "task", "protocol"],
                &SECONDS,
            ),
            http_responses: make.counter(
                "onnxd_http_responses_total",
                "Answers on the data port, by route and status.",
                &["route", "code"],
            ),
            refusals: make.counter(
                "onnxd_refusals_total",
                "Requests that were not answered with a prediction, by reason.",
                &["reason"],
            ),
            bulk_lines: make.counter(
                "onnxd_bulk_lines_total",
                "Lines of NDJSON streams, by how they ended.",
                &["outcome"],
            ),
            bulk_lines_in_work: make.single(
                "onnxd_bulk_lines_in_work",
                "Lines of NDJSON streams that were read and whose answers were not taken yet.",
            ),
            stages: make.histogram(
                "onnxd_stage_duration_seconds",
                "Time of one request in each stage; decode, preprocess and postprocess are \
                 processor time of its items together.",
                &["model", "version", "stage"],
                &SECONDS,
            ),
            batch_size: make.histogram(
                "onnxd_batch_size",
                "Rows in a run of a session.",
                &MODEL,
                &ROWS,
            ),
            batch_tokens: make.histogram(
                "onnxd_batch_tokens",
                "Tokens in a run of a session, padding included; models of text only.",
                &MODEL,
                &TOKENS,
            ),
            padding_efficiency: make.histogram(
                "onnxd_padding_efficiency",
                "The part of a run's tokens that is not padding; models of text only.",
                &MODEL,
                &EFFICIENCY,
            ),
            queue_depth: make.gauge("onnxd_queue_depth", "Rows that wait for a session.", &MODEL),
            queue_bytes: make.gauge(
                "onnxd_queue_bytes",
                "Memory of the rows that wait for a session.",
                &MODEL,
            ),
            in_flight: make.gauge("onnxd_in_flight", "Requests in work.", &MODEL),
            sessions: make.gauge("onnxd_sessions", "Runs that there can be at once.", &MODEL),
            intra_op_threads: make.gauge(
                "onnxd_intra_op_threads",
                "Threads inside a run of a session.",
                &MODEL,
            ),
            saturation: make.float(
                "onnxd_saturation",
                "Predicted time of the work that waits, over runtime.queue_objective: 0 is idle, \
                 above 1 is more than should wait. The signal to scale on.",
                &MODEL,
            ),
            cancellations: make.counter(
                "onnxd_cancellations_total",
                "Pieces of requests whose caller left, by where they were: queue (never run) or \
                 run.",
                &["model", "version", "stage"],
            ),
            coalesced: make.counter(
                "onnxd_coalesced_total",
                "Requests that shared the run of an identical one in flight.",
                &MODEL,
            ),
            batch_splits: make.counter(
                "onnxd_batch_splits_total",
                "Batches that failed and were halved to find the row that did it.",
                &MODEL,
            ),
            wide_runs: make.counter(
                "onnxd_wide_runs_total",
                "Runs over all cores, of requests that were alone in the process.",
                &MODEL,
            ),
            panics: make.counter(
                "onnxd_panics_total",
                "Panics that were caught, by whose thread: compute, session or handler.",
                &["stage"],
            ),
            model_loads: make.counter(
                "onnxd_model_loads_total",
                "Loads of a model.",
                &["model", "outcome"],
            ),
            model_load_seconds: make.float(
                "onnxd_model_load_seconds",
                "Time that the load took, warm-up included.",
                &MODEL,
            ),
            models: make.gauge(
                "onnxd_models",
                "Versions that serve: loaded, or parked, which is unloaded to make room for others.",
                &["state"],
            ),
            model_parked: make.counter(
                "onnxd_model_parked_total",
                "Times that a model was unloaded to make room for others: models.max_memory.",
                &["model"],
            ),
            model_resumed: make.counter(
                "onnxd_model_resumed_total",
                "Times that such a model was loaded again for a request.",
                &["model"],
            ),
            model_ready: make.gauge(
                "onnxd_model_ready",
                "1 if the model is loaded, or will be for the next request.",
                &MODEL,
            ),
            memory: make.gauge(
                "onnxd_model_memory_bytes",
                "Memory of a model: its weights, once for all sessions, and working memory, which sessions \
                 keep for their next runs.",
                &["model", "version", "kind"],
            ),
            model_info: make.gauge(
                "onnxd_model_info",
                "1; the labels tell the model's task and file.",
                &["model", "version", "task", "file"],
            ),
            device_info: make.gauge(
                "onnxd_device_info",
                "1; the labels tell which device was asked for and which runs.",
                &["model", "version", "asked", "runs"],
            ),
            device_memory: make.gauge(
                "onnxd_device_memory_bytes",
                "Memory of a GPU that runs a model, of all processes together.",
                &["device", "kind"],
            ),
            predictions: make.counter(
                "onnxd_predictions_total",
                "Items by the class that was predicted: the first 1000 classes by name, the others \
                 as (other).",
                &["model", "version", "label"],
            ),
            prediction_score: make.histogram(
                "onnxd_prediction_score",
                "Score of the predicted class.",
                &MODEL,
                &SCORES,
            ),
            draining: make.single("onnxd_draining", "1 from the signal to stop on."),
            connections: make.single("onnxd_connections", "Connections to the data port."),
            connections_closed: make.counter(
                "onnxd_connections_closed_total",
                "Connections to the data port that ended, by why.",
                &["reason"],
            ),
            accept_errors: make.register(IntCounter::new(
                "onnxd_accept_errors_total",
                "Failures to accept a connection, for example for want of file descriptors.",
            )),
            open_requests: make.single(
                "onnxd_open_requests",
                "Requests and streams of the data port, whatever they wait for.",
            ),
            requests_in_work: make.single(
                "onnxd_requests_in_work",
                "Requests of the data port whose bodies have come: places of \
                 server.max_concurrent_requests.",
            ),
            body_bytes: make.single(
                "onnxd_body_bytes",
                "Bytes of bodies that have come, until the work on them ends: \
                 server.max_bodies_size.",
            ),
            unread_answer_bytes: make.single(
                "onnxd_unread_answer_bytes",
                "Bytes of answers that are made and not sent: server.max_answers_size.",
            ),
            log_dropped: make.register(IntCounter::new(
                "onnxd_log_dropped_total",
                "Lines of the log that were dropped, since writing must not stop serving.",
            )),
            cores: make.single(
                "onnxd_cores",
                "Processor cores that this process may use: affinity and the cgroup's quota count.",
            ),
            compute_threads: make
                .single("onnxd_compute_threads", "Threads that decode, tokenise and post-process."),
            build_info: make.gauge(
                "onnxd_build_info",
                "1; the labels tell the versions.",
                &["version", "onnxruntime"],
            ),
            shadow: make.counter(
                "onnxd_shadow_total",
                "Requests that a shadow version was given a copy of, by how its answer compares: \
                 agrees, differs, failed or dropped.",
                &["model", "version", "outcome"],
            ),
            registry: make.0,
            series: make.1,
        };
        // What may never happen is told as zero from the start.
        for stage in ["handler", "compute", "session"] {
            metrics.panics.with_label_values(&[stage]);
        }
        metrics
    }
}

impl Metrics {
    /// Adds a collector of another module's counts.
    ///
    /// # Errors
    /// Its names are taken or not valid.
    pub fn register(&self, collector: Box<dyn Collector>) -> prometheus::Result<()> {
        self.registry.register(collector)
    }

    pub fn built_with(&self, onnxruntime: &str) {
        let labels = [env!("CARGO_PKG_VERSION"), onnxruntime];
        self.build_info.with_label_values(&labels).set(1);
    }

    /// What a loaded model is, and where it runs; in the place of what it was before.
    pub fn describe(&self, [model, version]: [&str; 2], task: &str, file: &str, device: [&str; 2]) {
        series::forget(&self.model_info, model, version);
        series::forget(&self.device_info, model, version);
        self.model_info.with_label_values(&[model, version, task, file]).set(1);
        let [asked, runs] = device;
        self.device_info.with_label_values(&[model, version, asked, runs]).set(1);
    }

    /// Counts a request for predictions that has ended; its time, if it has one that tells something,
    /// only where it was answered with one.
    pub fn request(
        &self,
        [model, version, task, protocol]: Served<'_>,
        outcome: Outcome,
        time: Option<Duration>,
    ) {
        let labels = [model, version, task, protocol, outcome.word()];
        self.requests.with_label_values(&labels).inc();
        if let (Outcome::Ok, Some(time)) = (outcome, time) {
            let duration = self.request_duration.with_label_values(&labels[..4]);
            duration.observe(time.as_secs_f64());
        }
    }

    /// Counts lines of a stream that ended alike.
    pub fn bulk_lines(&self, outcome: Outcome, lines: u64) {
        self.bulk_lines.with_label_values(&[outcome.word()]).inc_by(lines);
    }

    /// Counts on to the log's own count. For one caller at a time.
    pub fn log_has_dropped(&self, lines: u64) {
        self.log_dropped.inc_by(lines.saturating_sub(self.log_dropped.get()));
    }

    /// Counts every panic of the process from now on, by the thread that it happened on, before the
    /// hook that is set already.
    pub fn count_panics(self: &Arc<Self>) {
        let (metrics, before) = (self.clone(), std::panic::take_hook());
        std::panic::set_hook(Box::new(move |panic| {
            let thread = std::thread::current();
            let stage = match thread.name().unwrap_or_default() {
                name if name.starts_with("compute-") => "compute",
                name if name.starts_with("session-") => "session",
                _ => "handler",
            };
            metrics.panics.with_label_values(&[stage]).inc();
            before(panic);
        }));
    }

    /// All of it as Prometheus' text format.
    ///
    /// # Errors
    /// A collector gave something that the format cannot say.
    pub fn text(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}
