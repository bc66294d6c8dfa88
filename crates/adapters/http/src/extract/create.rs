//! Extractor of a JSON body with an optional `Idempotency-Key`.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::HeaderName;
use actix_web::{FromRequest, HttpRequest};
use pos_domain::shared::{Fingerprint, IdempotencyKey};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::errors::api_error::ApiError;
use crate::errors::table::header_invalid;
use crate::extract::header::{SingleHeader, single_header};
use crate::extract::json::{json_bytes, object};

/// JSON body of a creating request, and its idempotency key if it has one.
pub(crate) struct IdempotentJson<T> {
    pub(crate) body: T,
    pub(crate) idempotency: Option<IdempotencyHeader>,
}

/// Idempotency key and fingerprint of a request.
pub(crate) struct IdempotencyHeader {
    pub(crate) key: IdempotencyKey,
    pub(crate) fingerprint: Fingerprint,
}

pub(crate) const KEY: &str = "Idempotency-Key";

impl<T: DeserializeOwned + 'static> FromRequest for IdempotentJson<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move {
            let key = key(&request)?;
            let bytes = json_bytes(&request, payload).await?;
            let body = object(&bytes)?;
            let idempotency = key.map(|key| with_fingerprint(key, &request, &bytes)).transpose()?;
            Ok(Self { body, idempotency })
        })
    }
}

/// Parses the `Idempotency-Key` header.
pub(crate) fn key(request: &HttpRequest) -> Result<Option<IdempotencyKey>, ApiError> {
    let invalid = |why: &str| Err(header_invalid(KEY, why));
    match single_header(request.headers(), &HeaderName::from_static("idempotency-key")) {
        SingleHeader::Missing if request.headers().contains_key(KEY) => invalid("must not be empty"),
        SingleHeader::Missing => Ok(None),
        SingleHeader::Repeated => invalid("must be sent once"),
        SingleHeader::NotAscii => invalid("must have 1 to 255 visible ASCII characters"),
        SingleHeader::Value(text) => IdempotencyKey::parse(text).map(Some).or_else(|why| invalid(&why.to_string())),
    }
}

/// Computes the fingerprint of method, path and body. The body is compared as JSON: white space and the order of members
/// do not matter.
fn with_fingerprint(key: IdempotencyKey, request: &HttpRequest, bytes: &[u8]) -> Result<IdempotencyHeader, ApiError> {
    let body = canonical(object::<Value>(bytes)?).to_string();
    let parts = [request.method().as_str().as_bytes(), request.path().as_bytes(), body.as_bytes()];
    Ok(IdempotencyHeader { key, fingerprint: Fingerprint::of(&parts) })
}

/// Sorts the members of every object by name: the order that `serde_json` keeps depends on its build features.
fn canonical(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.into_iter().map(|(name, field)| (name, canonical(field))).collect();
            fields.sort_by(|one, other| one.0.cmp(&other.0));
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(canonical).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn canonical_json_ignores_member_order_and_white_space() {
        let text = |json: &str| canonical(serde_json::from_str(json).unwrap()).to_string();
        let one = text(r#"{"b": {"y": 1, "x": [{"d": 0, "c": 0}]}, "a": null}"#);
        assert_eq!(one, text(r#"{"a":null,"b":{"x":[{"c":0,"d":0}],"y":1}}"#));
        assert_eq!(one, r#"{"a":null,"b":{"x":[{"c":0,"d":0}],"y":1}}"#);
        assert_ne!(one, text(r#"{"b":{"x":[{"c":0,"d":0}],"y":1}}"#));
        assert_ne!(text("[1,2]"), text("[2,1]"));
    }
}
