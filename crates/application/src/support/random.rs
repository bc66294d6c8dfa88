//! Random identifiers and secrets.

use pos_port_clock::Entropy;
use uuid::Uuid;

/// Returns a random UUID (version 4).
pub(crate) fn uuid(entropy: &dyn Entropy) -> Uuid {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// Returns `N` random bytes as lower-case hex.
pub(crate) fn hex<const N: usize>(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
