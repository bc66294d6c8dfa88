//! TLS to PostgreSQL, with certificates that are always verified.

use std::sync::{Arc, OnceLock};

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Why TLS cannot be spoken.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum TlsError {
    #[error("no certificate authority is known: install ca-certificates, or name a file in SSL_CERT_FILE")]
    NoAuthorities,
    #[error("TLS cannot be set up")]
    Setup(#[from] rustls::Error),
}

/// A connector that accepts a server whose certificate is for the host of the URL and signed by an authority that the
/// machine trusts. `SSL_CERT_FILE` names the authorities instead, for a private one. Read once.
pub(super) fn verified() -> Result<MakeRustlsConnect, TlsError> {
    static CONNECTOR: OnceLock<Result<MakeRustlsConnect, TlsError>> = OnceLock::new();
    CONNECTOR.get_or_init(load).clone()
}

fn load() -> Result<MakeRustlsConnect, TlsError> {
    let mut authorities = RootCertStore::empty();
    authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if authorities.is_empty() {
        return Err(TlsError::NoAuthorities);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authorities)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
