//! Settings of the OpenID Connect adapter.

use std::net::IpAddr;
use std::time::Duration;

use openidconnect::IssuerUrl;
use openidconnect::url::{Host, Url};

/// How tokens are verified.
#[derive(Debug, Clone)]
pub struct OidcSettings {
    /// The issuer's URL, exactly as in `iss` and in the discovery document. `https`, or `http` on a loopback host.
    pub issuer: String,
    /// The required audience of a token: an entry of `aud`, or `azp`.
    pub audience: String,
    /// The claim with the merchant id, a UUID: a claim name, or a path of names separated by dots
    /// (`organization.merchant_id`). A claim whose name equals the whole text takes precedence.
    pub merchant_claim: String,
    /// The claim with the reseller id, likewise.
    pub reseller_claim: String,
    /// The claim with the caller's roles, likewise: an array of strings, or one string separated by spaces. Empty if
    /// tokens have no roles.
    pub roles_claim: String,
    /// Clients whose logout tokens are accepted, in addition to the audience: those for which this server's back-channel
    /// logout URL is configured at the provider.
    pub logout_clients: Vec<String>,
    /// Maximum clock difference between the provider and this server, for `exp`, `nbf` and `iat`.
    pub leeway: Duration,
    /// Timeout for fetching the keys, and thus for a caller that waits for them.
    pub http_timeout: Duration,
    /// Minimum time between two fetches of the keys, successful or not.
    pub refresh_cooldown: Duration,
    /// Maximum age of the keys before they are fetched again in the background.
    pub keys_max_age: Duration,
    /// Maximum number of cached verified tokens; 0 disables the cache.
    pub token_cache_capacity: usize,
    /// Allows an `http` issuer on any host: for a private network of containers on one machine. Never use it in production,
    /// where an attacker on the network could replace the keys.
    pub allow_insecure_issuer: bool,
}

impl OidcSettings {
    /// The default settings for an issuer and an audience: claims `merchant_id`, `reseller_id` and `roles`, leeway 30 s,
    /// fetches of at most 3 s with a cool-down of 10 s, keys fetched again after 600 s, 10 000 cached tokens, no insecure
    /// issuer.
    #[must_use]
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            merchant_claim: "merchant_id".to_owned(),
            reseller_claim: "reseller_id".to_owned(),
            roles_claim: "roles".to_owned(),
            logout_clients: Vec::new(),
            leeway: Duration::from_secs(30),
            http_timeout: Duration::from_secs(3),
            refresh_cooldown: Duration::from_secs(10),
            keys_max_age: Duration::from_secs(600),
            token_cache_capacity: 10_000,
            allow_insecure_issuer: false,
        }
    }
}

/// Why settings are invalid.
#[derive(Debug, thiserror::Error)]
pub enum OidcSetupError {
    /// The issuer is not a URL with a host.
    #[error("the issuer must be an http or https URL with a host and without a user name or a password")]
    Issuer,
    /// The issuer's keys would be fetched without TLS.
    #[error("the issuer must use https, unless its host is loopback or allow_insecure_issuer is set")]
    InsecureIssuer,
    /// An empty audience would match every token, or none.
    #[error("the audience must not be empty")]
    Audience,
    /// The path contains an empty name.
    #[error("the merchant claim must be a claim name, or names separated by dots")]
    MerchantClaim,
    /// Likewise.
    #[error("the reseller claim must be a claim name, or names separated by dots")]
    ResellerClaim,
    /// Likewise.
    #[error("the roles claim must be a claim name, or names separated by dots, or empty")]
    RolesClaim,
    /// A timeout is zero.
    #[error("the HTTP timeout and the keys' maximum age must not be zero")]
    ZeroDuration,
    /// The HTTP client could not be created, for example because the system has no random source.
    #[error("the HTTP client could not be created")]
    HttpClient(#[source] openidconnect::reqwest::Error),
}

impl OidcSettings {
    /// Validates the settings without I/O, and returns the issuer's URL.
    pub(super) fn validate(&self) -> Result<IssuerUrl, OidcSetupError> {
        let url = Url::parse(&self.issuer).map_err(|_| OidcSetupError::Issuer)?;
        match url.scheme() {
            "https" | "http" if url.host().is_some() => {}
            _ => return Err(OidcSetupError::Issuer),
        }
        if has_user(&url) {
            return Err(OidcSetupError::Issuer);
        }
        if !may_fetch(&url, plain_http(&url, self.allow_insecure_issuer)) {
            return Err(OidcSetupError::InsecureIssuer);
        }
        if self.audience.is_empty() {
            return Err(OidcSetupError::Audience);
        }
        if self.merchant_claim.split('.').any(str::is_empty) {
            return Err(OidcSetupError::MerchantClaim);
        }
        if self.reseller_claim.split('.').any(str::is_empty) {
            return Err(OidcSetupError::ResellerClaim);
        }
        if !self.roles_claim.is_empty() && self.roles_claim.split('.').any(str::is_empty) {
            return Err(OidcSetupError::RolesClaim);
        }
        if self.http_timeout.is_zero() || self.keys_max_age.is_zero() {
            return Err(OidcSetupError::ZeroDuration);
        }
        IssuerUrl::new(self.issuer.clone()).map_err(|_| OidcSetupError::Issuer)
    }
}

/// Hosts from which an issuer's documents may be fetched without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlainHttp {
    Nowhere,
    Loopback,
    Anywhere,
}

/// Returns the hosts for an issuer. An issuer with TLS requires TLS for its keys.
pub(super) fn plain_http(issuer: &Url, allow_insecure: bool) -> PlainHttp {
    match (issuer.scheme(), allow_insecure) {
        ("http", true) => PlainHttp::Anywhere,
        ("http", false) => PlainHttp::Loopback,
        _ => PlainHttp::Nowhere,
    }
}

/// Whether a document may be fetched from `url`.
pub(super) fn may_fetch(url: &Url, plain: PlainHttp) -> bool {
    match url.scheme() {
        _ if has_user(url) => false,
        "https" => true,
        "http" => plain == PlainHttp::Anywhere || (plain == PlainHttp::Loopback && is_loopback(url)),
        _ => false,
    }
}

/// Whether a URL contains a user name or a password, which would appear in the log.
fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_needs_tls_unless_it_is_loopback_or_allowed() {
        for (issuer, strict, lax) in [
            ("https://idp.example/realms/pos", true, true),
            ("http://127.0.0.1:8080/realms/pos", true, true),
            ("http://[::1]/realms/pos", true, true),
            ("http://localhost/realms/pos", true, true),
            ("http://keycloak:8080/realms/pos", false, true),
            ("http://localhost.example/realms/pos", false, true),
            ("http://10.0.0.1/", false, true),
            ("https://u:p@idp.example/realms/pos", false, false),
            ("https://u@idp.example/realms/pos", false, false),
            ("file:///etc/keys", false, false),
            ("not a url", false, false),
        ] {
            let ok = |allow_insecure_issuer| {
                OidcSettings { allow_insecure_issuer, ..OidcSettings::new(issuer, "a") }.validate().is_ok()
            };
            assert_eq!((ok(false), ok(true)), (strict, lax), "{issuer}");
        }
    }

    #[test]
    fn the_keys_of_an_https_issuer_require_https() {
        let issuer = Url::parse("https://idp.example/").expect("a URL");
        let keys = Url::parse("http://127.0.0.1/certs").expect("a URL");
        assert!(!may_fetch(&keys, plain_http(&issuer, true)));
    }

    #[test]
    fn every_invalid_setting_has_its_own_error() {
        let good = || OidcSettings::new("https://idp.example", "a");
        assert!(matches!(OidcSettings { audience: String::new(), ..good() }.validate(), Err(OidcSetupError::Audience)));
        for path in ["", ".", "a.", "a..b"] {
            let settings = OidcSettings { merchant_claim: path.into(), ..good() };
            assert!(matches!(settings.validate(), Err(OidcSetupError::MerchantClaim)), "{path}");
            let settings = OidcSettings { reseller_claim: path.into(), ..good() };
            assert!(matches!(settings.validate(), Err(OidcSetupError::ResellerClaim)), "{path}");
            let settings = OidcSettings { roles_claim: path.into(), ..good() };
            assert_eq!(settings.validate().is_ok(), path.is_empty(), "{path}");
        }
        assert!(matches!(
            OidcSettings { http_timeout: Duration::ZERO, ..good() }.validate(),
            Err(OidcSetupError::ZeroDuration)
        ));
    }
}
