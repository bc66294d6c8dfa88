//! JWS compact serialization (RFC 7515, section 7.1).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// The encoded header and payload, as input for the signature.
pub(crate) fn signing_input(header: &Map<String, Value>, claims: &Value) -> String {
    let header = serde_json::to_vec(header).unwrap_or_default();
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// The complete token.
pub(crate) fn with_signature(signing_input: &str, signature: &[u8]) -> String {
    format!("{signing_input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A parsed token.
pub(crate) struct ParsedToken<'t> {
    pub(crate) signed: &'t str,
    pub(crate) header: Value,
    pub(crate) claims: Map<String, Value>,
    pub(crate) signature: Vec<u8>,
}

/// Parses a token; `None` if it is malformed. Verifies nothing.
pub(crate) fn parse(token: &str) -> Option<ParsedToken<'_>> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let decode = |part| URL_SAFE_NO_PAD.decode(part).ok();
    Some(ParsedToken {
        signed,
        header: serde_json::from_slice(&decode(header)?).ok()?,
        claims: serde_json::from_slice(&decode(claims)?).ok()?,
        signature: decode(signature)?,
    })
}
