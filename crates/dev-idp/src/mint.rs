//! Signer of arbitrary claims, with valid and deliberately invalid headers and algorithms.

use serde_json::{Map, Value, json};

use crate::jws;
use crate::keys::{KeyError, KeyRing};

/// How [`crate::RunningDevIdp::mint`] signs. By default as a real provider does.
#[derive(Debug, Clone, Default)]
pub struct MintOptions {
    /// The algorithm.
    pub signature: MintSignature,
    /// The key id in the header.
    pub kid: MintKid,
    /// Other header parameters. They override `alg`, `typ` and `kid`.
    pub header: Map<String, Value>,
}

/// A signature algorithm, valid or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MintSignature {
    /// RSA PKCS#1 v1.5 with SHA-256.
    #[default]
    Rs256,
    /// RSA PSS with SHA-256.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// `alg: none`, and no signature.
    None,
    /// `alg: HS256`, keyed with the PEM of the public RSA key: the algorithm confusion attack.
    Hs256WithPublicKey,
}

/// The key id in the header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum MintKid {
    /// The id of the signing key.
    #[default]
    OfTheKey,
    /// No `kid`.
    Omitted,
    /// This id.
    Named(String),
}

impl MintSignature {
    fn alg(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::None => "none",
            Self::Hs256WithPublicKey => "HS256",
        }
    }
}

/// Signs `claims` unchanged.
pub(crate) fn mint(keys: &KeyRing, claims: &Value, options: MintOptions) -> Result<String, KeyError> {
    let MintOptions { signature, kid, header: extra } = options;
    let keys = keys.current();
    let mut header = Map::from_iter([("alg".to_owned(), json!(signature.alg())), ("typ".to_owned(), json!("JWT"))]);
    match kid {
        MintKid::OfTheKey => header.insert("kid".to_owned(), keys.kid(signature).into()),
        MintKid::Named(kid) => header.insert("kid".to_owned(), kid.into()),
        MintKid::Omitted => None,
    };
    header.extend(extra);
    let input = jws::signing_input(&header, claims);
    let signature = keys.sign(signature, input.as_bytes())?;
    Ok(jws::with_signature(&input, &signature))
}
