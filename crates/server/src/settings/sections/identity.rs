//! `[identity]` settings.

use std::time::Duration;

use url::{Host, Url};

use crate::settings::exact::{claim, exact};
use crate::settings::reader::{Reader, Validated};

/// Settings of the identity provider and of token validation.
#[derive(Debug, Clone)]
pub struct IdentitySettings {
    /// Issuer, exactly as in a token's `iss`.
    pub issuer: String,
    /// Value that a token must contain in `aud` or `azp`.
    pub audience: String,
    /// Claim with the merchant id.
    pub merchant_claim: String,
    /// Claim with the reseller id.
    pub reseller_claim: String,
    /// Claim with the roles; empty if roles are not read from tokens.
    pub roles_claim: String,
    /// Client ids whose logout tokens are accepted, in addition to the audience.
    pub logout_clients: Vec<String>,
    /// Allowed clock skew.
    pub leeway: Duration,
    /// Timeout of one request to the realm.
    pub http_timeout: Duration,
    /// Cool-down between key requests that an unknown key or a failure causes.
    pub refresh_cooldown: Duration,
    /// Maximum age of the realm's keys.
    pub keys_max_age: Duration,
    /// Capacity of the cache of verified tokens; 0 disables it.
    pub token_cache_capacity: usize,
    /// Whether the issuer may be a plain `http://` URL.
    pub allow_insecure_issuer: bool,
}

impl IdentitySettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let allow_insecure_issuer = reader.flag("identity.allow_insecure_issuer");
        let issuer = reader.text("identity.issuer", |text| issuer(text, allow_insecure_issuer == Some(true)));
        let audience = reader.text("identity.audience", |text| or_empty(text, |text| exact(text, "pos-activation")));
        let merchant_claim = reader.text("identity.merchant_claim", |text| claim(text, "merchant_id"));
        let reseller_claim = reader.text("identity.reseller_claim", |text| claim(text, "reseller_id"));
        let roles_claim = reader.text("identity.roles_claim", |text| or_empty(text, |text| claim(text, "roles")));
        let logout_clients = reader.texts("identity.logout_clients", |text| exact(text, "portal"));
        let leeway = reader.seconds("identity.leeway_secs", 0..=60);
        let http_timeout = reader.millis("identity.http_timeout_ms", 1..=60_000);
        let refresh_cooldown = reader.seconds("identity.refresh_cooldown_secs", 0..=3600);
        let keys_max_age = reader.seconds("identity.keys_max_age_secs", 1..=86_400);
        let token_cache_capacity = reader.number("identity.token_cache_capacity", 0..=10_000_000);
        Some(Self {
            issuer: issuer?,
            audience: audience?,
            merchant_claim: merchant_claim?,
            reseller_claim: reseller_claim?,
            roles_claim: roles_claim?,
            logout_clients: logout_clients?,
            leeway: leeway?,
            http_timeout: http_timeout?,
            refresh_cooldown: refresh_cooldown?,
            keys_max_age: keys_max_age?,
            token_cache_capacity: token_cache_capacity?,
            allow_insecure_issuer: allow_insecure_issuer?,
        })
    }
}

/// Accepts an empty text, which means not set, or what `check` accepts.
fn or_empty(text: &str, check: impl FnOnce(&str) -> Validated<String>) -> Validated<String> {
    if text.is_empty() { Ok(String::new()) } else { check(text) }
}

/// Suffix of discovery document URLs, which are often copied by mistake.
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// The issuer to suggest for a URL that no token can have as its issuer.
fn suggested_issuer(url: &Url) -> String {
    let mut url = url.clone();
    // Fails only for URLs without a host, which are rejected before.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let path = url.path().strip_suffix(DISCOVERY).unwrap_or(url.path()).to_owned();
    // Compared as text: a URL without a path keeps the form without a slash.
    format!("{}{}", url.origin().ascii_serialization(), if path == "/" { "" } else { &path })
}

/// Validates an issuer identifier (OpenID Connect Discovery 1.0, section 2): empty, or https without query and fragment, or
/// http on loopback. It is stored unchanged, because `iss` is compared byte for byte.
fn issuer(text: &str, insecure_allowed: bool) -> Validated<String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let trimmed = text.trim();
    if let Some(url) = Url::parse(trimmed).ok().filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host())
    {
        let remedy = || format!("write {:?}", suggested_issuer(&url));
        if !url.username().is_empty() || url.password().is_some() {
            return Err(("contains a user name or a password, which no issuer has".to_owned(), remedy()));
        }
        if trimmed.trim_end_matches('/').ends_with(DISCOVERY) {
            return Err(("is the URL of the discovery document, not the issuer's".to_owned(), remedy()));
        }
        if trimmed != text {
            return Err((format!("is {text:?}, with surrounding whitespace"), format!("write {trimmed:?}")));
        }
        let host = url.host_str().unwrap_or_default();
        if !text.starts_with(url.scheme()) || !text.contains(host) {
            return Err((format!("is {text:?}, which is not in normal form"), remedy()));
        }
    }
    let is_valid = |url: &Url| url.has_host() && url.query().is_none() && url.fragment().is_none();
    let url = Url::parse(text).ok().filter(is_valid);
    match url.as_ref().map(Url::scheme) {
        Some("https") => Ok(text.to_owned()),
        Some("http") if insecure_allowed || url.as_ref().is_some_and(is_loopback) => Ok(text.to_owned()),
        Some("http") => {
            let remedy = "use its https:// URL, or, for development only, set identity.allow_insecure_issuer = true";
            Err(("is not secure: with http anyone on the network path can forge tokens".to_owned(), remedy.to_owned()))
        }
        Some(_) | None => {
            let remedy = "write the realm's URL, like https://login.example.com/realms/pos";
            Err(("is not an https:// URL without query and fragment".to_owned(), remedy.to_owned()))
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
