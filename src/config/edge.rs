//! The sections `[server]`, `[admin]` and `[tls]`: what listens, and what a connection may do.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// The data port.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub listen: SocketAddr,
    /// Whether `GET /` is a page to try the models on.
    pub playground: bool,
    /// Bytes.
    pub max_body_size: usize,
    /// Bytes of all bodies in work.
    pub max_bodies_size: usize,
    pub max_concurrent_requests: NonZeroUsize,
    pub max_open_requests: NonZeroUsize,
    pub max_connections: NonZeroUsize,
    /// Of what clients share, 0 to 1: what one of them may hold once half of it is taken.
    pub max_peer_share: f64,
    /// Bytes of answers of all connections that are made and not sent.
    pub max_answers_size: usize,
    /// The same of one connection, beside one answer of any size.
    pub max_unread_size: usize,
    /// Bytes of a request's line and headers.
    pub max_header_size: usize,
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub body_timeout: Duration,
    /// Bytes a second; 0: no floor.
    pub min_body_rate: u64,
    /// Over how long `min_body_rate` is measured.
    #[serde(with = "humantime_serde")]
    pub body_rate_window: Duration,
    #[serde(with = "humantime_serde")]
    pub first_byte_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub header_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub keep_alive_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub drain_delay: Duration,
    #[serde(with = "humantime_serde")]
    pub grace_period: Duration,
    /// Of one run of a session.
    #[serde(with = "humantime_serde")]
    pub stuck_timeout: Duration,
    api_keys_file: PathBuf,
    pub cors_allowed_origins: Vec<String>,
    /// Whether probes of the data port are answered without a key.
    pub public_health: bool,
    /// Bytes; 0: answers are not compressed.
    pub compression_min_size: u64,
    /// Whether the API is described at `/openapi.json` and `/docs`.
    pub openapi: bool,
    /// How often keys and certificates are looked at.
    #[serde(with = "humantime_serde")]
    pub reload_interval: Duration,
}

/// The admin port.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// `None`: there is no admin port.
    #[serde(deserialize_with = "address_or_empty")]
    pub listen: Option<SocketAddr>,
}

/// TLS of the data port.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
}

impl Server {
    /// The file of the API keys, if there is one.
    #[must_use]
    pub fn api_keys_file(&self) -> Option<&Path> {
        named(&self.api_keys_file)
    }

    /// What no single key can say of itself.
    ///
    /// # Errors
    /// Keys that contradict each other; the message names both.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let Self { drain_delay, request_timeout, grace_period, .. } = self;
        // A request that comes at the end of the delay must have its time.
        anyhow::ensure!(
            drain_delay.saturating_add(*request_timeout) <= *grace_period,
            "configuration: server.drain_delay = {drain_delay:?} and server.request_timeout = \
             {request_timeout:?} together are more than server.grace_period = {grace_period:?}"
        );
        anyhow::ensure!(
            self.max_body_size <= self.max_bodies_size,
            "configuration: server.max_body_size = {} is more than server.max_bodies_size = {}",
            self.max_body_size,
            self.max_bodies_size
        );
        anyhow::ensure!(
            self.max_peer_share > 0.0 && self.max_peer_share <= 1.0,
            "configuration: server.max_peer_share = {} is not above 0 and at most 1",
            self.max_peer_share
        );
        anyhow::ensure!(
            (1..=1 << 30).contains(&self.max_unread_size),
            "configuration: server.max_unread_size = {} is not within 1 and 1073741824",
            self.max_unread_size
        );
        anyhow::ensure!(
            self.max_open_requests >= self.max_concurrent_requests,
            "configuration: server.max_open_requests = {} is less than \
             server.max_concurrent_requests = {}",
            self.max_open_requests,
            self.max_concurrent_requests
        );
        anyhow::ensure!(
            self.stuck_timeout > *request_timeout,
            "configuration: server.stuck_timeout = {:?} is not more than server.request_timeout = \
             {request_timeout:?}",
            self.stuck_timeout
        );
        let any_origin = self.cors_allowed_origins.iter().any(|origin| origin == "*");
        anyhow::ensure!(
            !any_origin || self.api_keys_file().is_none(),
            "configuration: server.cors_allowed_origins = [\"*\"] lets every page use the keys of \
             server.api_keys_file; name the origins"
        );
        anyhow::ensure!(
            !any_origin || self.cors_allowed_origins.len() == 1,
            "configuration: server.cors_allowed_origins: \"*\" stands alone or not at all"
        );
        for origin in &self.cors_allowed_origins {
            anyhow::ensure!(
                origin == "*" || is_origin(origin),
                "configuration: server.cors_allowed_origins: expected scheme://host or \
                 scheme://host:port, got \"{origin}\""
            );
        }
        Ok(())
    }
}

impl Tls {
    /// The certificate's and the key's file, if there are any.
    ///
    /// # Errors
    /// One of them is missing.
    pub fn files(&self) -> anyhow::Result<Option<[&Path; 2]>> {
        match (named(&self.certificate), named(&self.key)) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some([certificate, key])),
            _ => anyhow::bail!(
                "configuration: tls.certificate and tls.key go together; one of them is empty"
            ),
        }
    }
}

/// As a browser sends it: no path, no upper case, nothing that a header cannot hold.
fn is_origin(text: &str) -> bool {
    let is_host = |host: &str| {
        !host.is_empty()
            && host
                .chars()
                .all(|c| matches!(c, 'a'..='z' | '0'..='9' | '.' | '-' | '_' | ':' | '[' | ']'))
    };
    text.split_once("://").is_some_and(|(scheme, host)| is_host(scheme) && is_host(host))
}

fn named(path: &Path) -> Option<&Path> {
    Some(path).filter(|path| !path.as_os_str().is_empty())
}

fn address_or_empty<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || D::Error::custom(format!("expected ADDRESS:PORT or nothing, got \"{text}\""));
    text.parse().map(Some).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use crate::config::{Flags, ServerConfig};

    fn load(text: &str) -> Result<ServerConfig, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("onnxd.toml");
        std::fs::write(&file, text).unwrap();
        let loaded = ServerConfig::load(Some(&file), &Flags::default());
        loaded.map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn an_empty_address_is_no_admin_port() {
        assert!(load("").unwrap().admin.listen.unwrap().ip().is_loopback());
        assert_eq!(load("[admin]\nlisten = \"\"\n").unwrap().admin.listen, None);
        let said = load("[admin]\nlisten = \"9090\"\n").unwrap_err();
        assert!(said.contains("admin.listen") && said.contains("ADDRESS:PORT"), "{said}");
    }

    #[test]
    fn a_drain_that_cannot_end_in_time_is_refused_by_both_names() {
        let said = load("[server]\ndrain_delay = \"5s\"\n").unwrap_err();
        assert!(said.contains("drain_delay") && said.contains("grace_period"), "{said}");
        load("[server]\ndrain_delay = \"5s\"\ngrace_period = \"40s\"\n").unwrap();
    }

    #[test]
    fn any_origin_and_keys_do_not_go_together() {
        load("[server]\ncors_allowed_origins = [\"*\"]\n").unwrap();
        let both = "[server]\ncors_allowed_origins = [\"*\"]\napi_keys_file = \"keys\"\n";
        assert!(load(both).unwrap_err().contains("api_keys_file"));
        let path = "[server]\ncors_allowed_origins = [\"https://example.com/app\"]\n";
        assert!(load(path).unwrap_err().contains("example.com/app"));
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let said = load("[tls]\ncertificate = \"cert.pem\"\n").unwrap_err();
        assert!(said.contains("tls.key"), "{said}");
    }
}
