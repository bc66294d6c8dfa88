//! TLS connector for PostgreSQL, which always verifies the server's certificate.

use std::sync::{Arc, OnceLock};

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Why no TLS connector could be created.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("no certificate authority is configured: install ca-certificates, or set SSL_CERT_FILE to a file")]
    NoAuthorities,
    #[error("TLS cannot be set up")]
    Setup(#[from] rustls::Error),
}

/// Returns a connector that accepts a certificate for the host of the URL, signed by an authority that the machine trusts or,
/// for a private authority, by one in the file `SSL_CERT_FILE`. The authorities are read once.
pub(crate) fn verified() -> Result<MakeRustlsConnect, TlsError> {
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
