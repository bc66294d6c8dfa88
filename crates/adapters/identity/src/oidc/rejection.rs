//! Reason of a rejected token.

use pos_port_identity::VerifyError;

/// Why a token is invalid: a fixed text for the log, which never contains a part of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rejection(pub(super) &'static str);

impl From<Rejection> for VerifyError {
    fn from(Rejection(reason): Rejection) -> Self {
        Self::Rejected(reason)
    }
}
