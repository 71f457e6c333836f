//! OTLP over HTTP: spans as protobuf, posted to a collector.

use std::fmt;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use prost::Message;

/// Longest time for one message, from the connection to the answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends batches, one at a time, on the thread that calls it. What the collector does not take is
/// not sent again.
pub struct Exporter {
    endpoint: Uri,
    client: Client<HttpConnector, Full<Bytes>>,
    /// Its own, since the calling thread has none and the server's may be stopping.
    runtime: tokio::runtime::Runtime,
    resource: ResourceAttributesWithSchema,
}

impl Exporter {
    /// # Errors
    /// `endpoint` is no URL of `http`.
    pub fn new(endpoint: &str) -> anyhow::Result<Self> {
        let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        let endpoint: Uri = url.parse().with_context(|| format!("trace.otlp_endpoint: {url}"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = Client::builder(TokioExecutor::new())
            // A kept connection would not be looked after between two messages.
            .pool_max_idle_per_host(0)
            .build_http();
        Ok(Self { endpoint, client, runtime, resource: ResourceAttributesWithSchema::default() })
    }

    fn post(&self, spans: Vec<SpanData>) -> Result<StatusCode, String> {
        let resource_spans = group_spans_by_resource_and_scope(spans, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let request = Request::post(self.endpoint.clone())
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        self.runtime.block_on(async {
            match tokio::time::timeout(TIMEOUT, self.client.request(request)).await {
                Ok(Ok(response)) => Ok(response.status()),
                Ok(Err(error)) => Err(format!("{:#}", anyhow::Error::new(error))),
                Err(_) => Err(format!("no answer within {TIMEOUT:?}")),
            }
        })
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        match self.post(batch) {
            Ok(status) if status.is_success() => Ok(()),
            Ok(status) => Err(format!("the collector answered {status}")),
            Err(reason) => Err(reason),
        }
        .map_err(|reason| OTelSdkError::InternalFailure(format!("{}: {reason}", self.endpoint)))
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}
