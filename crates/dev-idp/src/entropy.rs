//! Adapters from the entropy port to random text, UUIDs and the `rsa` crate's generator.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pos_port_clock::Entropy;
use rsa::rand_core::{self, CryptoRng, RngCore};
use uuid::Uuid;

/// The entropy port as a random number generator of the `rsa` crate.
pub(crate) struct EntropyRng(pub(crate) Arc<dyn Entropy>);

impl RngCore for EntropyRng {
    fn next_u32(&mut self) -> u32 {
        self.0.bits()
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.0.fill(bytes);
        Ok(())
    }
}

// The port promises bytes from a cryptographic source.
impl CryptoRng for EntropyRng {}

/// `N` random bytes as base64url.
pub(crate) fn random_text<const N: usize>(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn random_uuid(entropy: &dyn Entropy) -> Uuid {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}
