//! TLS of the data port: rustls with the ring provider, and certificates that are read again when
//! they change.

use std::sync::Arc;

use anyhow::Context;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, version};

use crate::config::Tls;
use crate::reload::Reloading;

/// What the handshakes use.
pub type Certificate = Reloading<TlsAcceptor>;

/// `None` if no certificate is configured.
///
/// # Errors
/// The files cannot be read, hold no PEM, or do not belong together.
pub fn load(config: &Tls) -> anyhow::Result<Option<Arc<Certificate>>> {
    let Some(files) = config.files()? else { return Ok(None) };
    Ok(Some(Arc::new(Reloading::new(&files, acceptor)?)))
}

fn acceptor(contents: &[Vec<u8>]) -> anyhow::Result<TlsAcceptor> {
    let [certificate, key] = contents else { anyhow::bail!("a certificate and a key") };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .context("certificate")?;
    anyhow::ensure!(!chain.is_empty(), "no certificate in PEM");
    let key = PrivateKeyDer::from_pem_slice(key).context("key")?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
