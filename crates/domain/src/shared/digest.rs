//! SHA-256 digests of events and the unambiguous encoding of what they cover.

use std::fmt;
use std::net::IpAddr;

use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use super::AuditContext;

/// SHA-256 digest of one event and of all events before it in the chain. `Display` prints 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventHash(pub [u8; 32]);

impl fmt::Display for EventHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Adds the instant in microseconds since 1970.
pub(crate) fn instant(digest: &mut Sha256, at: OffsetDateTime) {
    digest.update((at.unix_timestamp_nanos().div_euclid(1_000)).to_be_bytes());
}

pub(crate) fn digest_context(digest: &mut Sha256, audit_context: &AuditContext) {
    text(digest, audit_context.actor.to_string().as_bytes());
    match audit_context.client_ip {
        None => digest.update([0]),
        Some(IpAddr::V4(address)) => digest.update([&[4][..], &address.octets()].concat()),
        Some(IpAddr::V6(address)) => digest.update([&[6][..], &address.octets()].concat()),
    }
    maybe(digest, audit_context.trace_id.map(|id| id.bits().to_be_bytes()));
}

pub(crate) fn text(digest: &mut Sha256, bytes: &[u8]) {
    digest.update((bytes.len() as u64).to_be_bytes());
    digest.update(bytes);
}

pub(crate) fn maybe<const N: usize>(digest: &mut Sha256, bytes: Option<[u8; N]>) {
    match bytes {
        None => digest.update([0]),
        Some(bytes) => {
            digest.update([1]);
            digest.update(bytes);
        }
    }
}
