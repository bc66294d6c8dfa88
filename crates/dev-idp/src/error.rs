//! Errors of the development issuer.

use std::net::SocketAddr;

use crate::keys::KeyError;
use crate::settings::SettingsError;

/// Why the issuer failed.
#[derive(Debug, thiserror::Error)]
pub enum DevIdpError {
    /// The address is not a loopback address.
    #[error("the development issuer listens on loopback only, not on {0}")]
    NotLoopback(SocketAddr),
    /// See [`SettingsError`].
    #[error("invalid settings of the development issuer")]
    Settings(#[from] SettingsError),
    /// The address is in use, or the listener failed.
    #[error("the development issuer cannot listen")]
    Listen(#[from] std::io::Error),
    /// See [`KeyError`].
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The HTTP client for logout tokens cannot be built.
    #[error("the development issuer cannot build its HTTP client")]
    Client(#[from] reqwest::Error),
    /// The task that generates keys was cancelled or panicked.
    #[error("a task of the development issuer was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}
