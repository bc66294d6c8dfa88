use serde_json::{Map, Value, json};

use crate::jws;
use crate::keys::{KeyFault, KeyRing};

/// How [`crate::RunningDevIdp::mint`] signs: what a real provider would do, by default.
#[derive(Debug, Clone, Default)]
pub struct MintOptions {
    /// The algorithm.
    pub signature: MintSignature,
    /// The key id in the header.
    pub kid: MintKid,
    /// Other header parameters. They go over the ones that are set anyway (`alg`, `typ`, `kid`).
    pub header: Map<String, Value>,
}

/// An algorithm to sign with, good or bad.
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
    /// `alg: HS256`, keyed with the PEM of the public RSA key: the classic forgery.
    Hs256WithPublicKey,
}

/// Which key id to put in the header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum MintKid {
    /// That of the key that signs.
    #[default]
    OfTheKey,
    /// None.
    Omitted,
    /// This one.
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

/// Signs `claims` exactly as they are.
pub(crate) fn mint(keys: &KeyRing, claims: &Value, options: MintOptions) -> Result<String, KeyFault> {
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
