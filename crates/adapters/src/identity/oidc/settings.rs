use std::net::IpAddr;
use std::time::Duration;

use openidconnect::IssuerUrl;
use openidconnect::url::{Host, Url};

/// How tokens are verified.
#[derive(Debug, Clone)]
pub struct OidcSettings {
    /// The issuer's URL, exactly as it stands in `iss` and in the discovery document. `https`, or `http` on a
    /// loopback host.
    pub issuer: String,
    /// What a token must be for: an entry of `aud`, or `azp`.
    pub audience: String,
    /// The claim that names the merchant, a UUID: a claim's name, or a path of names joined by dots
    /// (`organization.merchant_id`). A claim whose whole name is the text goes first.
    pub merchant_claim: String,
    /// The claim that names the reseller, likewise.
    pub reseller_claim: String,
    /// The claim that lists the caller's roles, likewise: an array of texts, or one text with spaces between. Empty
    /// when roles are not looked for in tokens.
    pub roles_claim: String,
    /// The clients whose logout tokens are accepted, beside the audience: those at which the provider has our address
    /// for them.
    pub logout_clients: Vec<String>,
    /// How far the provider's clock and ours may be apart, for `exp`, `nbf` and `iat`.
    pub leeway: Duration,
    /// How long one fetch of the keys may take altogether, and so how long a caller waits for it at most.
    pub http_timeout: Duration,
    /// How long after a fetch of the keys, good or bad, the next one may start.
    pub refresh_cooldown: Duration,
    /// How old the keys may grow before they are fetched anew, in the background.
    pub keys_max_age: Duration,
    /// How many verified tokens are remembered; 0 for none.
    pub token_cache_capacity: usize,
    /// Allows an `http` issuer on any host: for a private network of containers on one machine, never in production,
    /// where whoever sits on the wire could hand us keys.
    pub allow_insecure_issuer: bool,
}

impl OidcSettings {
    /// The default settings for an issuer and an audience: claims `merchant_id`, `reseller_id` and `roles`, leeway 30 s,
    /// fetches of at most 3 s with a cool-down of 10 s, keys fetched anew after 600 s, 10 000 tokens remembered, no
    /// insecure issuer.
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

/// Settings that no verifier can be made of.
#[derive(Debug, thiserror::Error)]
pub enum OidcSetupError {
    /// The issuer is no URL with a host.
    #[error("the issuer must be an http or https URL with a host and without a user name or a password")]
    Issuer,
    /// The issuer's keys would travel unprotected.
    #[error("the issuer must use https, unless its host is loopback or allow_insecure_issuer is set")]
    InsecureIssuer,
    /// Every token, or none, would be for us.
    #[error("the audience must not be empty")]
    Audience,
    /// The path has an empty name in it.
    #[error("the merchant claim must be a claim's name, or names joined by dots")]
    MerchantClaim,
    /// Likewise.
    #[error("the reseller claim must be a claim's name, or names joined by dots")]
    ResellerClaim,
    /// Likewise.
    #[error("the roles claim must be a claim's name, or names joined by dots, or empty")]
    RolesClaim,
    /// A time limit of nothing.
    #[error("the HTTP timeout and the keys' maximum age must not be zero")]
    ZeroDuration,
    /// The HTTP client could not be made, for example because the system has no random source.
    #[error("the HTTP client could not be made")]
    HttpClient(#[source] openidconnect::reqwest::Error),
}

impl OidcSettings {
    /// Checks everything that can be checked without I/O, and answers the issuer's URL.
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

/// Where an issuer's documents may come from without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlainHttp {
    Nowhere,
    Loopback,
    Anywhere,
}

/// What an issuer allows: one that uses TLS itself allows nothing less for its keys.
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

/// Whether an address holds a user name or a password, which would stand in the log with it.
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
    fn an_https_issuer_cannot_send_us_to_plain_http() {
        let issuer = Url::parse("https://idp.example/").expect("a URL");
        let keys = Url::parse("http://127.0.0.1/certs").expect("a URL");
        assert!(!may_fetch(&keys, plain_http(&issuer, true)));
    }

    #[test]
    fn every_unusable_setting_is_named() {
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
