use std::time::Duration;

use url::{Host, Url};

use crate::settings::exact::{claim, exact};
use crate::settings::reader::{Reader, Verdict};

/// Where merchants' tokens come from, and how they are checked.
#[derive(Debug, Clone)]
pub struct IdentitySettings {
    /// The realm, exactly as in a token's `iss`.
    pub issuer: String,
    /// What a token must name in `aud` or `azp`.
    pub audience: String,
    /// The claim that holds the merchant's id.
    pub merchant_claim: String,
    /// The claim that holds the reseller's id.
    pub reseller_claim: String,
    /// The claim that lists the roles; empty when they are not looked for.
    pub roles_claim: String,
    /// Whose logout tokens are accepted, beside the audience's.
    pub logout_clients: Vec<String>,
    /// How far the realm's clock may be off.
    pub leeway: Duration,
    /// For one request to the realm.
    pub http_timeout: Duration,
    /// Between two requests for keys that an unknown key or a failure causes.
    pub refresh_cooldown: Duration,
    /// How old the realm's keys may be.
    pub keys_max_age: Duration,
    /// How many verified tokens are remembered; 0 for none.
    pub token_cache_capacity: usize,
    /// Whether the issuer may be a plain `http://` address.
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

/// Empty, which is not set, or what `check` accepts.
fn or_empty(text: &str, check: impl FnOnce(&str) -> Verdict<String>) -> Verdict<String> {
    if text.is_empty() { Ok(String::new()) } else { check(text) }
}

/// The end of the address of a discovery document, which people copy.
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// The issuer to write in place of one that its tokens cannot name letter for letter; none where there is nothing to mend.
fn mended(url: &Url) -> String {
    let mut url = url.clone();
    // Fails for addresses that have no host, which are refused before.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let path = url.path().strip_suffix(DISCOVERY).unwrap_or(url.path()).to_owned();
    // Compared as text, so an address of no path keeps the form without a slash.
    format!("{}{}", url.origin().ascii_serialization(), if path == "/" { "" } else { &path })
}

/// Empty, or an issuer identifier (OpenID Connect Discovery 1.0, section 2): https, without query and fragment, or http
/// where nobody is on the way. It is kept letter for letter, because `iss` is compared so.
fn issuer(text: &str, insecure_allowed: bool) -> Verdict<String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let trimmed = text.trim();
    if let Some(url) = Url::parse(trimmed).ok().filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host())
    {
        let remedy = || format!("write {:?}", mended(&url));
        if !url.username().is_empty() || url.password().is_some() {
            return Err(("holds a user name or a password, which no token's issuer has".to_owned(), remedy()));
        }
        if trimmed.trim_end_matches('/').ends_with(DISCOVERY) {
            return Err(("is the address of the discovery document, not the issuer's".to_owned(), remedy()));
        }
        if trimmed != text {
            return Err((format!("is {text:?}, with blanks around it"), format!("write {trimmed:?}")));
        }
        let host = url.host_str().unwrap_or_default();
        if !text.starts_with(url.scheme()) || !text.contains(host) {
            return Err((format!("is {text:?}, not as addresses are written"), remedy()));
        }
    }
    let fits = |url: &Url| url.has_host() && url.query().is_none() && url.fragment().is_none();
    let url = Url::parse(text).ok().filter(fits);
    match url.as_ref().map(Url::scheme) {
        Some("https") => Ok(text.to_owned()),
        Some("http") if insecure_allowed || url.as_ref().is_some_and(is_loopback) => Ok(text.to_owned()),
        Some("http") => {
            let remedy =
                "use its https:// address, or, for development only, set identity.allow_insecure_issuer = true";
            Err(("is not secure: http lets anyone on the way forge tokens".to_owned(), remedy.to_owned()))
        }
        Some(_) | None => {
            let remedy = "write the realm's address, like https://login.example.com/realms/pos";
            Err(("is not an https:// address without query and fragment".to_owned(), remedy.to_owned()))
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
