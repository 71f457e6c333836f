//! `grpc.health.v1.Health`: the server's readiness and each model's, for probes and load balancers.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::stream;

use super::call::{self, Call, Service};
use super::proto::health::health_check_response::ServingStatus;
use super::proto::health::{HealthCheckRequest, HealthCheckResponse};
use super::{INFERENCE, stream as streams, wire};
use crate::api::error::ApiError;
use crate::error::{Error, ErrorKind, excerpt};

/// How often a status that is watched is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// # Errors
/// [`ErrorKind::UnknownModel`].
pub async fn check(
    call: Arc<Call>,
    question: HealthCheckRequest,
) -> Result<HealthCheckResponse, Error> {
    match status(&call, &question.service) {
        ServingStatus::ServiceUnknown => Err(Error::field(
            ErrorKind::UnknownModel,
            "service",
            format!("nothing, `{INFERENCE}` or a model's name"),
            format!("`{}`", excerpt(&question.service)),
        )),
        status => Ok(HealthCheckResponse { status: status.into() }),
    }
}

/// The status now and at every change, until the server stops.
pub async fn watch(State(service): State<Service>, request: Request) -> Result<Response, ApiError> {
    let (call, messages) = call::begin(service, request)?;
    let question: HealthCheckRequest =
        call::decode(messages.at_most(call::MAX_PLAIN).only().await?.bytes)?;
    let watching = call.clone();
    let statuses = stream::unfold(None, move |told| {
        let (call, service) = (watching.clone(), question.service.clone());
        async move {
            let mut stopped = false;
            loop {
                let now = status(&call, &service);
                if Some(now) != told {
                    let answer = wire::frame(&HealthCheckResponse { status: now.into() });
                    return Some((answer, Some(now)));
                }
                if stopped {
                    return Some((Err(streams::stopping()), told));
                }
                tokio::select! {
                    () = call.stopped() => stopped = true,
                    () = tokio::time::sleep(INTERVAL) => {}
                }
            }
        }
    });
    Ok(streams::respond(call, statuses))
}

fn status(call: &Call, service: &str) -> ServingStatus {
    let serving = |serves| if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
    if service.is_empty() || service == INFERENCE {
        return serving(call.health.readiness().ready);
    }
    match call.app.repository() {
        // Which models there are is not known yet.
        Err(_) => ServingStatus::NotServing,
        Ok(repository) => match repository.index().iter().any(|entry| entry.name == service) {
            false => ServingStatus::ServiceUnknown,
            true => {
                let serves = repository.names().iter().any(|name| name == service);
                serving(serves && !call.health.draining())
            }
        },
    }
}
