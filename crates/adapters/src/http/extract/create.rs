use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::HeaderName;
use actix_web::{FromRequest, HttpRequest};
use pos_domain::{Fingerprint, IdempotencyKey};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::header::{Sole, sole};
use super::json::{json_bytes, object};
use crate::http::api_error::ApiError;

/// A creating call: its JSON body, and the caller's name for it, if it has one.
pub(in crate::http) struct Creating<T> {
    pub(in crate::http) body: T,
    pub(in crate::http) name: Option<CallName>,
}

/// What a call with an `Idempotency-Key` is called, and what it asks for.
pub(in crate::http) struct CallName {
    pub(in crate::http) key: IdempotencyKey,
    pub(in crate::http) fingerprint: Fingerprint,
}

const KEY: &str = "Idempotency-Key";

impl<T: DeserializeOwned + 'static> FromRequest for Creating<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move {
            let key = key(&request)?;
            let bytes = json_bytes(&request, payload).await?;
            let body = object(&bytes)?;
            let name = key.map(|key| named(key, &request, &bytes)).transpose()?;
            Ok(Self { body, name })
        })
    }
}

/// The caller's name for a creating call, if it has one.
pub(in crate::http) fn key(request: &HttpRequest) -> Result<Option<IdempotencyKey>, ApiError> {
    let invalid = |why: &str| {
        Err(ApiError::invalid(format!("{KEY} header is invalid")).details(json!({ "message": format!("{KEY} {why}") })))
    };
    match sole(request.headers(), &HeaderName::from_static("idempotency-key")) {
        Sole::Missing if request.headers().contains_key(KEY) => invalid("must not be empty"),
        Sole::Missing => Ok(None),
        Sole::Repeated => invalid("must be sent once"),
        Sole::NotAscii => invalid("must have 1 to 255 visible ASCII characters"),
        Sole::Value(text) => IdempotencyKey::parse(text).map(Some).or_else(|why| invalid(&why.to_string())),
    }
}

/// Two calls ask for the same when method, path and body are the same, the body as JSON: white space and the order of
/// its members do not matter.
fn named(key: IdempotencyKey, request: &HttpRequest, bytes: &[u8]) -> Result<CallName, ApiError> {
    let body = canonical(object::<Value>(bytes)?).to_string();
    let parts = [request.method().as_str().as_bytes(), request.path().as_bytes(), body.as_bytes()];
    Ok(CallName { key, fingerprint: Fingerprint::of(&parts) })
}

/// With the members of every object in the order of their names, whatever order this build of `serde_json` keeps.
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
    fn the_order_of_members_and_white_space_do_not_matter() {
        let text = |json: &str| canonical(serde_json::from_str(json).unwrap()).to_string();
        let one = text(r#"{"b": {"y": 1, "x": [{"d": 0, "c": 0}]}, "a": null}"#);
        assert_eq!(one, text(r#"{"a":null,"b":{"x":[{"c":0,"d":0}],"y":1}}"#));
        assert_eq!(one, r#"{"a":null,"b":{"x":[{"c":0,"d":0}],"y":1}}"#);
        assert_ne!(one, text(r#"{"b":{"x":[{"c":0,"d":0}],"y":1}}"#));
        assert_ne!(text("[1,2]"), text("[2,1]"));
    }
}
