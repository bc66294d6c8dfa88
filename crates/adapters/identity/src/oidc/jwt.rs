//! Parser for the compact JWS serialization of a token (RFC 7515, section 7.1).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::JsonWebKey;
use openidconnect::core::CoreJsonWebKey;
use serde_json::{Map, Value};

use crate::oidc::algorithm::Algorithm;
use crate::oidc::rejection::Rejection;
use crate::oidc::strict_json;

/// Maximum length of a token, in bytes.
pub(super) const MAX_TOKEN_LEN: usize = 16 * 1024;

/// A parsed token. Nothing in it is verified.
pub(super) struct Jwt<'t> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    pub(super) payload: Map<String, Value>,
    /// Whether the header has the specific media type of this kind of token.
    pub(super) marked: bool,
    signed: &'t str,
    signature: Vec<u8>,
}

impl<'t> Jwt<'t> {
    /// Parses an access token. The header is validated before the other parts are decoded.
    pub(super) fn parse(token: &'t str) -> Result<Self, Rejection> {
        Self::parse_typed(token, &ACCESS_TOKEN)
    }

    /// Parses a logout token likewise (OpenID Connect Back-Channel Logout 1.0, section 2.4).
    pub(super) fn parse_logout(token: &'t str) -> Result<Self, Rejection> {
        Self::parse_typed(token, &LOGOUT_TOKEN)
    }

    fn parse_typed(token: &'t str, media: &Media) -> Result<Self, Rejection> {
        if token.len() > MAX_TOKEN_LEN {
            return Err(Rejection("too long"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Rejection("not a compact JWS"))?;
        let (header, payload) = signed.split_once('.').ok_or(Rejection("not a compact JWS"))?;
        if payload.contains('.') {
            return Err(Rejection("not a compact JWS"));
        }
        let header = strict_json::object(&decode(header)?).ok_or(Rejection("header is not a JSON object"))?;
        let algorithm = match header.get("alg") {
            Some(Value::String(name)) => Algorithm::parse(name)?,
            Some(_) | None => return Err(Rejection("no algorithm")),
        };
        if header.contains_key("crit") {
            return Err(Rejection("critical header parameters"));
        }
        let marked = media.check(header.get("typ"))?;
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.clone()),
            Some(_) => return Err(Rejection("key id is not a string")),
        };
        let payload = strict_json::object(&decode(payload)?).ok_or(Rejection("payload is not a JSON object"))?;
        let signature = decode(signature)?;
        if signature.is_empty() {
            return Err(Rejection("unsigned"));
        }
        Ok(Self { algorithm, key_id, payload, marked, signed, signature })
    }

    /// Checks the signature.
    pub(super) fn verify_signature(&self, key: &CoreJsonWebKey) -> Result<(), Rejection> {
        key.verify_signature(&self.algorithm.core(), self.signed.as_bytes(), &self.signature)
            .map_err(|_| Rejection("signature does not match"))
    }
}

fn decode(part: &str) -> Result<Vec<u8>, Rejection> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Rejection("not base64url"))
}

/// The media types that a token's header may have, if it has one (RFC 7515, section 4.1.9).
struct Media {
    /// The generic type and the specific type of this kind.
    types: [&'static str; 2],
    other: Rejection,
}

/// RFC 9068, section 4.
const ACCESS_TOKEN: Media = Media { types: ["jwt", "at+jwt"], other: Rejection("not of an access token's media type") };

const LOGOUT_TOKEN: Media =
    Media { types: ["jwt", "logout+jwt"], other: Rejection("not of a logout token's media type") };

impl Media {
    /// Returns whether the header has the specific media type.
    fn check(&self, typ: Option<&Value>) -> Result<bool, Rejection> {
        let Some(typ) = typ else { return Ok(false) };
        let typ = typ.as_str().unwrap_or_default().to_ascii_lowercase();
        let named = typ.strip_prefix("application/").unwrap_or(&typ);
        let [any, own] = self.types;
        if named == own || named == any { Ok(named == own) } else { Err(self.other) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, payload: &str) -> String {
        format!(
            "{}.{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(payload),
            URL_SAFE_NO_PAD.encode("s")
        )
    }

    fn refusal(token: &str) -> Option<&'static str> {
        Jwt::parse(token).err().map(|Rejection(reason)| reason)
    }

    #[test]
    fn parses_algorithm_key_id_and_payload() {
        let token = token(r#"{"alg":"PS384","kid":"k1","typ":"Application/AT+jwt","jku":"https://x"}"#, r#"{"a":1}"#);
        let jwt = Jwt::parse(&token).map_err(|Rejection(reason)| reason).expect("well formed");
        assert_eq!(
            (jwt.algorithm, jwt.key_id.as_deref(), jwt.payload.get("a")),
            (Algorithm::Ps384, Some("k1"), Some(&1.into()))
        );
        assert_eq!(jwt.signature, b"s");
    }

    #[test]
    fn accepts_exactly_the_supported_algorithms() {
        for (name, algorithm) in
            ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384"].into_iter().zip(Algorithm::ALL)
        {
            let token = token(&format!(r#"{{"alg":"{name}"}}"#), "{}");
            assert_eq!(Jwt::parse(&token).map(|jwt| jwt.algorithm).ok(), Some(algorithm), "{name}");
        }
        for (name, reason) in [
            ("none", "unsigned"),
            ("None", "unsigned"),
            ("nOnE", "unsigned"),
            ("HS256", "symmetric algorithm"),
            ("HS384", "symmetric algorithm"),
            ("HS512", "symmetric algorithm"),
            ("rs256", "algorithm not accepted"),
            ("ES512", "algorithm not accepted"),
            ("EdDSA", "algorithm not accepted"),
            ("RSA-OAEP", "algorithm not accepted"),
            ("", "algorithm not accepted"),
        ] {
            assert_eq!(refusal(&token(&format!(r#"{{"alg":"{name}"}}"#), "{}")), Some(reason), "{name}");
        }
    }

    #[test]
    fn rejects_every_malformed_token_with_its_reason() {
        let good = token(r#"{"alg":"RS256"}"#, "{}");
        let (signed, _) = good.rsplit_once('.').expect("three parts");
        for (token, reason) in [
            (String::new(), "not a compact JWS"),
            ("abc".into(), "not a compact JWS"),
            ("a.b".into(), "not a compact JWS"),
            (format!("{good}.x"), "not a compact JWS"),
            (format!("{good}.x.y"), "not a compact JWS"),
            ("..".into(), "header is not a JSON object"),
            (format!("{signed}."), "unsigned"),
            (format!("{signed}.c2ln="), "not base64url"),
            (format!("{signed}.c2l+"), "not base64url"),
            (format!("{signed}.c2k "), "not base64url"),
            (format!("{signed}.c2"), "not base64url"),
            (format!(" {good}"), "not base64url"),
            (token("[]", "{}"), "header is not a JSON object"),
            (token(r#"{"alg":"RS256","alg":"RS256"}"#, "{}"), "header is not a JSON object"),
            (token("{}", "{}"), "no algorithm"),
            (token(r#"{"alg":null}"#, "{}"), "no algorithm"),
            (token(r#"{"alg":["RS256"]}"#, "{}"), "no algorithm"),
            (token(r#"{"alg":"RS256","crit":["exp"]}"#, "{}"), "critical header parameters"),
            (token(r#"{"alg":"RS256","crit":[]}"#, "{}"), "critical header parameters"),
            (token(r#"{"alg":"RS256","typ":"dpop+jwt"}"#, "{}"), "not of an access token's media type"),
            (token(r#"{"alg":"RS256","typ":"text/jwt"}"#, "{}"), "not of an access token's media type"),
            (token(r#"{"alg":"RS256","typ":1}"#, "{}"), "not of an access token's media type"),
            (token(r#"{"alg":"RS256","kid":7}"#, "{}"), "key id is not a string"),
            (token(r#"{"alg":"RS256"}"#, "no"), "payload is not a JSON object"),
            (token(r#"{"alg":"RS256"}"#, r#"{"sub":"a","sub":"b"}"#), "payload is not a JSON object"),
            ("a".repeat(MAX_TOKEN_LEN + 1), "too long"),
        ] {
            assert_eq!(refusal(&token), Some(reason), "{token}");
        }
    }
}
