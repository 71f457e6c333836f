//! Spans: one a request, and one below it for each stage.

use std::borrow::Cow;
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, TraceId, Tracer as _,
    TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider,
};

use super::otlp::Exporter;
use crate::config::Trace;

/// Spans that may wait for the collector; one more is dropped.
const WAITING: usize = 4096;
/// Spans in one message to it.
const BATCH: usize = 512;
/// Longest time that a span waits for others.
const DELAY: Duration = Duration::from_secs(2);
/// How long the last spans are waited for at the end.
const FLUSH: Duration = Duration::from_secs(1);

/// The export of spans. Dropping it sends what waits.
pub struct Tracing {
    provider: SdkTracerProvider,
}

/// Makes the requests' spans.
#[derive(Debug, Clone)]
pub struct Tracer(SdkTracer);

/// The span of one request in work.
#[derive(Debug, Clone)]
pub struct RequestSpan {
    tracer: SdkTracer,
    context: Context,
    /// One moment by both clocks: stages are measured by the one that never leaps.
    began: (SystemTime, Instant),
}

impl Tracing {
    /// `None` without an endpoint.
    ///
    /// # Errors
    /// An endpoint that is no URL, or an operating system that gives no thread.
    pub fn start(config: &Trace) -> anyhow::Result<Option<Self>> {
        if config.otlp_endpoint.is_empty() {
            return Ok(None);
        }
        let exporter = Exporter::new(&config.otlp_endpoint)?;
        // Everything that the environment could say otherwise is said here.
        let batch = BatchConfigBuilder::default()
            .with_max_queue_size(WAITING)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(DELAY)
            .build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batch).build();
        let resource = Resource::builder_empty()
            .with_service_name("onnxd")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let ratio = Sampler::TraceIdRatioBased(config.sample_ratio);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_sampler(Sampler::ParentBased(Box::new(ratio)))
            .with_resource(resource)
            .build();
        Ok(Some(Self { provider }))
    }

    #[must_use]
    pub fn tracer(&self) -> Tracer {
        Tracer(self.provider.tracer("onnxd"))
    }

    /// Sends what waits now. Blocks.
    ///
    /// # Errors
    /// The collector did not take it.
    pub fn flush(&self) -> anyhow::Result<()> {
        Ok(self.provider.force_flush()?)
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH) {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

impl Tracer {
    /// Begins a request's span, below the caller's if there is one.
    #[must_use]
    pub fn request(
        &self,
        name: impl Into<Cow<'static, str>>,
        caller: Option<SpanContext>,
        attributes: Vec<KeyValue>,
    ) -> RequestSpan {
        let began = (SystemTime::now(), Instant::now());
        let parent = match caller {
            Some(caller) => Context::new().with_remote_span_context(caller),
            None => Context::new(),
        };
        let span = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Server)
            .with_start_time(began.0)
            .with_attributes(attributes);
        let span = self.0.build_with_context(span, &parent);
        RequestSpan { tracer: self.0.clone(), context: parent.with_span(span), began }
    }
}

impl RequestSpan {
    #[must_use]
    pub fn trace_id(&self) -> TraceId {
        self.context.span().span_context().trace_id()
    }

    pub fn set(&self, attribute: KeyValue) {
        self.context.span().set_attribute(attribute);
    }

    /// A part of the request's work, told when it is over.
    pub fn stage(&self, name: &'static str, start: Instant, duration: Duration) {
        let start = self.wall(start);
        let span = SpanBuilder::from_name(name).with_start_time(start);
        let mut span = self.tracer.build_with_context(span, &self.context);
        span.end_with_timestamp(start + duration);
    }

    /// Ends the span: with `error`, the kind of failure, if the server is to blame.
    pub fn end(&self, error: Option<&'static str>) {
        let span = self.context.span();
        if let Some(error) = error {
            span.set_status(Status::error(error));
        }
        span.end_with_timestamp(self.wall(Instant::now()));
    }

    fn wall(&self, instant: Instant) -> SystemTime {
        let (wall, began) = self.began;
        // A run that another request began may lie before this one.
        match instant.checked_duration_since(began) {
            Some(after) => wall + after,
            None => wall - began.duration_since(instant),
        }
    }
}
