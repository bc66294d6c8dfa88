//! Validation of a logout token's claims (OpenID Connect Back-Channel Logout 1.0, section 2.6). Pure: the time is an argument.

use pos_port_identity::LogoutNotice;
use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};

use crate::oidc::claims::{instant, session_key, subject, text};
use crate::oidc::rejection::Rejection;

/// The event of a logout token (section 2.4).
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The rules for a logout token's payload.
#[derive(Debug, Clone)]
pub(super) struct LogoutRules {
    /// `iss` must be exactly this.
    pub(super) issuer: String,
    /// One of these must be in `aud`.
    pub(super) audiences: Vec<String>,
    /// Maximum clock difference between the provider and this server.
    pub(super) leeway: Duration,
}

impl LogoutRules {
    /// Validates claims at `now`.
    pub(super) fn check(&self, claims: &Map<String, Value>, now: OffsetDateTime) -> Result<LogoutNotice, Rejection> {
        if text(claims, "iss", "issuer malformed")? != Some(&self.issuer) {
            return Err(Rejection("another issuer"));
        }
        // Keycloak marks the kind of a token; other providers do not.
        if text(claims, "typ", "token type malformed")?.is_some_and(|typ| typ != "Logout") {
            return Err(Rejection("not a logout token"));
        }
        self.check_audience(claims)?;
        let expires_at = instant(claims, "exp")?.ok_or(Rejection("no expiry"))?;
        if now >= expires_at.saturating_add(self.leeway) {
            return Err(Rejection("expired"));
        }
        let issued_at = instant(claims, "iat")?.ok_or(Rejection("no issue time"))?;
        if now < issued_at.saturating_sub(self.leeway) {
            return Err(Rejection("not valid yet"));
        }
        let event = claims.get("events").and_then(|events| events.get(LOGOUT_EVENT));
        if !event.is_some_and(Value::is_object) {
            return Err(Rejection("not a logout token"));
        }
        // The specification forbids a nonce, so that an ID token is never accepted as a logout token.
        if claims.contains_key("nonce") {
            return Err(Rejection("a logout token must not have a nonce"));
        }
        let (session, user_id) = (session_key(claims)?, subject(claims)?);
        if session.is_none() && user_id.is_none() {
            return Err(Rejection("neither session nor subject"));
        }
        Ok(LogoutNotice { session, user_id, issued_at })
    }

    fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), Rejection> {
        let ours = |audience: &str| self.audiences.iter().any(|known| known == audience);
        let named = match claims.get("aud") {
            Some(Value::String(audience)) => ours(audience),
            Some(Value::Array(audiences)) => audiences.iter().filter_map(Value::as_str).any(ours),
            Some(_) | None => false,
        };
        if named { Ok(()) } else { Err(Rejection("another audience")) }
    }
}

#[cfg(test)]
mod tests {
    use pos_domain::shared::UserId;
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);

    fn rules() -> LogoutRules {
        let audiences = vec!["portal".to_owned(), "pos-activation".to_owned()];
        LogoutRules { issuer: "https://idp.example".into(), audiences, leeway: Duration::seconds(30) }
    }

    fn check(changes: Value) -> Result<LogoutNotice, &'static str> {
        let now = NOW.unix_timestamp();
        let mut claims = json!({
            "iss": "https://idp.example", "aud": "portal", "iat": now, "exp": now + 120, "jti": "1", "typ": "Logout",
            "sub": "user-1", "sid": "session-1", "events": { LOGOUT_EVENT: {} },
        });
        for (name, value) in changes.as_object().into_iter().flatten() {
            match value {
                Value::Null => drop(claims.as_object_mut().expect("an object").remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        rules().check(claims.as_object().expect("an object"), NOW).map_err(|Rejection(reason)| reason)
    }

    #[test]
    fn a_notice_names_a_session_a_user_or_both() {
        let user = UserId::parse("user-1").ok();
        let both = check(json!({})).expect("good");
        assert!(both.session.is_some() && both.user_id == user && both.issued_at == NOW);
        let session = check(json!({"sub": null})).expect("good");
        assert_eq!((session.session, session.user_id), (both.session, None));
        let of_user = check(json!({"sid": null})).expect("good");
        assert_eq!((of_user.session, of_user.user_id), (None, user));
    }

    #[test]
    fn what_the_specification_allows_is_accepted() {
        let now = NOW.unix_timestamp();
        for changes in [
            json!({"typ": null, "jti": null}),
            json!({"aud": ["other", "pos-activation"]}),
            json!({"exp": now - 29, "iat": now - 600}),
            json!({"iat": now + 30}),
            json!({"events": {LOGOUT_EVENT: {}, "other": 1}}),
        ] {
            assert!(check(changes.clone()).is_ok(), "{changes}");
        }
    }

    #[test]
    fn a_token_that_breaks_one_rule_is_rejected() {
        let now = NOW.unix_timestamp();
        for (changes, reason) in [
            (json!({"iss": null}), "another issuer"),
            (json!({"iss": "https://idp.example/"}), "another issuer"),
            (json!({"typ": "ID"}), "not a logout token"),
            (json!({"typ": "Bearer"}), "not a logout token"),
            (json!({"aud": null}), "another audience"),
            (json!({"aud": "elsewhere"}), "another audience"),
            (json!({"aud": [7]}), "another audience"),
            (json!({"exp": null}), "no expiry"),
            (json!({"exp": now - 30}), "expired"),
            (json!({"exp": "soon"}), "a time is malformed"),
            (json!({"iat": null}), "no issue time"),
            (json!({"iat": now + 31}), "not valid yet"),
            (json!({"events": null}), "not a logout token"),
            (json!({"events": {}}), "not a logout token"),
            (json!({"events": {LOGOUT_EVENT: true}}), "not a logout token"),
            (json!({"events": [LOGOUT_EVENT]}), "not a logout token"),
            (json!({"nonce": "n"}), "a logout token must not have a nonce"),
            (json!({"sub": null, "sid": null}), "neither session nor subject"),
            (json!({"sid": ""}), "session id malformed"),
            (json!({"sid": 7}), "session id malformed"),
            (json!({"sub": ""}), "subject malformed"),
        ] {
            assert_eq!(check(changes.clone()), Err(reason), "{changes}");
        }
    }
}
