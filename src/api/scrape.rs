//! Writes the metrics as Prometheus' text, for the admin port and for the playground.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::App;
use super::error::ApiError;
use super::health::Health;
use super::resource::Resource;
use crate::error::Error;

/// How old a text may be that [`Scrape::shared`] answers with.
const FRESH: Duration = Duration::from_millis(250);

/// What writes the metrics of one process.
pub struct Scrape {
    app: App,
    health: Arc<Health>,
    gathering: Mutex<()>,
    last: tokio::sync::Mutex<Option<(Instant, Bytes)>>,
}

impl Scrape {
    #[must_use]
    pub fn new(app: App, health: Arc<Health>) -> Arc<Self> {
        let (gathering, last) = (Mutex::default(), tokio::sync::Mutex::default());
        Arc::new(Self { app, health, gathering, last })
    }

    /// As they are now.
    ///
    /// # Errors
    /// Those of [`crate::metrics::Metrics::text`].
    pub async fn now(self: &Arc<Self>) -> Result<Bytes, Error> {
        let this = self.clone();
        // Gathering sums up a few hundred numbers, and for a GPU asks the driver.
        let text = tokio::task::spawn_blocking(move || this.gather()).await;
        let text = text.map_err(Error::internal)?.map_err(Error::internal)?;
        Ok(text.into())
    }

    /// As they were at most a quarter of a second ago: however many ask, one gathers.
    ///
    /// # Errors
    /// As [`Self::now`].
    pub async fn shared(self: &Arc<Self>) -> Result<Bytes, Error> {
        let mut last = self.last.lock().await;
        if let Some((when, text)) = &*last
            && when.elapsed() < FRESH
        {
            return Ok(text.clone());
        }
        let text = self.now().await?;
        *last = Some((Instant::now(), text.clone()));
        Ok(text)
    }

    fn gather(&self) -> prometheus::Result<Vec<u8>> {
        // Two collectors at once must not count the same lines twice.
        let _one = self.gathering.lock().unwrap_or_else(PoisonError::into_inner);
        let metrics = &self.app.metrics;
        metrics.draining.set(self.health.draining().into());
        metrics.log_has_dropped(self.app.telemetry.dropped.count());
        for (gauge, what) in [
            (&metrics.open_requests, Resource::Requests),
            (&metrics.requests_in_work, Resource::Places),
            (&metrics.body_bytes, Resource::Bodies),
            (&metrics.unread_answer_bytes, Resource::Answers),
        ] {
            gauge.set(self.app.bounds.used(what) as i64);
        }
        if let Ok(repository) = self.app.repository() {
            repository.report(metrics);
        }
        metrics.text()
    }
}

/// The text as an answer.
///
/// # Errors
/// Those of gathering it.
pub fn answer(text: Result<Bytes, Error>) -> Result<Response, ApiError> {
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, content_type)], text?).into_response())
}
