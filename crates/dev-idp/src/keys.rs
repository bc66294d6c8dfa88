//! Signing keys of the realm: generation, rotation, signature, verification, and the published key set.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use p256::ecdsa::signature::Signer as _;
use pos_port_clock::Entropy;
use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePublicKey, LineEnding};
use rsa::signature::{RandomizedSigner as _, SignatureEncoding as _, Signer as _, Verifier as _};
use rsa::traits::PublicKeyParts;
use serde_json::{Map, Value, json};
use sha2::{Sha256, Sha512};

use crate::entropy::{EntropyRng, random_text};
use crate::jws;
use crate::mint::MintSignature;

const RSA_BITS: usize = 2048;

/// A cryptographic operation failed.
#[derive(Debug, thiserror::Error)]
#[error("cryptographic operation failed: {0}")]
pub struct KeyError(&'static str);

/// The current keys, and the old keys that stay published for the tokens they signed.
pub(crate) struct KeyRing {
    current: SigningKeys,
    old: Vec<SigningKeys>,
}

/// One RSA key and one P-256 key. The RSA key is published once for each of its algorithms, because Keycloak publishes
/// keys per algorithm.
pub(crate) struct SigningKeys {
    id: String,
    rsa: RsaPrivateKey,
    ec: p256::ecdsa::SigningKey,
    entropy: Arc<dyn Entropy>,
}

impl KeyRing {
    pub(crate) fn new(current: SigningKeys) -> Self {
        Self { current, old: Vec::new() }
    }

    pub(crate) fn current(&self) -> &SigningKeys {
        &self.current
    }

    /// Makes `next` the current keys. The old keys stay published, unless `drop_old`.
    pub(crate) fn rotate(&mut self, next: SigningKeys, drop_old: bool) {
        let before = std::mem::replace(&mut self.current, next);
        self.old.push(before);
        if drop_old {
            self.old.clear();
        }
    }

    /// The published key set (RFC 7517, section 5).
    pub(crate) fn jwks(&self) -> Value {
        let keys: Vec<_> = std::iter::once(&self.current).chain(&self.old).flat_map(SigningKeys::jwks).collect();
        json!({ "keys": keys })
    }

    /// Returns the claims of a token that one of these keys signed with RS256; `None` for every other token.
    pub(crate) fn verify(&self, token: &str) -> Option<Map<String, Value>> {
        let parts = jws::parse(token)?;
        if parts.header.get("alg") != Some(&json!("RS256")) {
            return None;
        }
        let signature = rsa::pkcs1v15::Signature::try_from(parts.signature.as_slice()).ok()?;
        let mut keys = std::iter::once(&self.current).chain(&self.old);
        let signed_by = |keys: &SigningKeys| {
            let key = rsa::pkcs1v15::VerifyingKey::<Sha256>::new(keys.rsa.to_public_key());
            key.verify(parts.signed.as_bytes(), &signature).is_ok()
        };
        keys.any(signed_by).then_some(parts.claims)
    }
}

impl SigningKeys {
    /// Generates new keys. Takes most of a second: do not call it on an async thread.
    pub(crate) fn generate(entropy: Arc<dyn Entropy>) -> Result<Self, KeyError> {
        let mut rng = EntropyRng(entropy.clone());
        let rsa = RsaPrivateKey::new(&mut rng, RSA_BITS).map_err(|_| KeyError("RSA key generation"))?;
        let ec = ec_key(&*entropy)?;
        Ok(Self { id: random_text::<16>(&*entropy), rsa, ec, entropy })
    }

    /// The key id that is published for an algorithm.
    pub(crate) fn kid(&self, signature: MintSignature) -> String {
        match signature {
            MintSignature::Rs256 | MintSignature::Hs256WithPublicKey | MintSignature::None => self.id.clone(),
            MintSignature::Ps256 => format!("{}-ps", self.id),
            MintSignature::Es256 => format!("{}-es", self.id),
        }
    }

    pub(crate) fn sign(&self, signature: MintSignature, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match signature {
            MintSignature::None => Ok(Vec::new()),
            MintSignature::Rs256 => {
                let key = rsa::pkcs1v15::SigningKey::<Sha256>::new(self.rsa.clone());
                let signature = key.try_sign(message).map_err(|_| KeyError("RSA signature"))?;
                Ok(signature.to_vec())
            }
            MintSignature::Ps256 => {
                let key = rsa::pss::SigningKey::<Sha256>::new(self.rsa.clone());
                let mut rng = EntropyRng(self.entropy.clone());
                let signature = key.try_sign_with_rng(&mut rng, message).map_err(|_| KeyError("RSA signature"))?;
                Ok(signature.to_vec())
            }
            MintSignature::Es256 => {
                let signature: p256::ecdsa::Signature =
                    self.ec.try_sign(message).map_err(|_| KeyError("ECDSA signature"))?;
                Ok(signature.to_bytes().to_vec())
            }
            MintSignature::Hs256WithPublicKey => {
                let pem = self.rsa.to_public_key().to_public_key_pem(LineEnding::LF);
                let pem = pem.map_err(|_| KeyError("public key encoding"))?;
                let mut mac = Hmac::<Sha256>::new_from_slice(pem.as_bytes()).map_err(|_| KeyError("HMAC key"))?;
                mac.update(message);
                Ok(mac.finalize().into_bytes().to_vec())
            }
        }
    }

    fn jwks(&self) -> Vec<Value> {
        let (n, e) =
            (URL_SAFE_NO_PAD.encode(self.rsa.n().to_bytes_be()), URL_SAFE_NO_PAD.encode(self.rsa.e().to_bytes_be()));
        let rsa = |signature, alg: &str| json!({"kty": "RSA", "use": "sig", "alg": alg, "kid": self.kid(signature), "n": n, "e": e});
        let point = self.ec.verifying_key().to_sec1_point(false);
        let half = |half: Option<&[u8]>| URL_SAFE_NO_PAD.encode(half.unwrap_or_default());
        vec![
            rsa(MintSignature::Rs256, "RS256"),
            rsa(MintSignature::Ps256, "PS256"),
            json!({
                "kty": "EC", "use": "sig", "alg": "ES256", "kid": self.kid(MintSignature::Es256), "crv": "P-256",
                "x": half(point.x().map(|x| x.as_slice())), "y": half(point.y().map(|y| y.as_slice())),
            }),
        ]
    }
}

/// Generates a P-256 key from 32 uniform bytes. Nearly all values are valid: the curve's order is just below 2^256.
fn ec_key(entropy: &dyn Entropy) -> Result<p256::ecdsa::SigningKey, KeyError> {
    let candidates = std::iter::repeat_with(|| {
        let mut bytes = [0; 32];
        entropy.fill(&mut bytes);
        p256::ecdsa::SigningKey::from_slice(&bytes).ok()
    });
    candidates.take(100).flatten().next().ok_or(KeyError("ECDSA key generation"))
}

/// The key of refresh tokens, which only the realm itself reads: HS512, as in Keycloak.
pub(crate) struct RefreshKey([u8; 64]);

impl RefreshKey {
    pub(crate) fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 64];
        entropy.fill(&mut bytes);
        Self(bytes)
    }

    pub(crate) fn sign_claims(&self, claims: &Value) -> Result<String, KeyError> {
        let header = Map::from_iter([("alg".to_owned(), json!("HS512")), ("typ".to_owned(), json!("JWT"))]);
        let input = jws::signing_input(&header, claims);
        let tag = self.mac(&input)?.finalize().into_bytes();
        Ok(jws::with_signature(&input, &tag))
    }

    pub(crate) fn verify(&self, token: &str) -> Option<Map<String, Value>> {
        let parts = jws::parse(token)?;
        self.mac(parts.signed).ok()?.verify_slice(&parts.signature).ok()?;
        Some(parts.claims)
    }

    fn mac(&self, message: &str) -> Result<Hmac<Sha512>, KeyError> {
        let mut mac = Hmac::<Sha512>::new_from_slice(&self.0).map_err(|_| KeyError("HMAC key"))?;
        mac.update(message.as_bytes());
        Ok(mac)
    }
}
