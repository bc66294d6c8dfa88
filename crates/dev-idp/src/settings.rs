//! Settings of the realm: users, clients and token lifetimes, with their validation.

use std::collections::BTreeSet;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;
use uuid::Uuid;

/// Settings of the issuer: one realm with its users and clients.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DevIdpSettings {
    /// The realm's name, part of every URL.
    pub realm: String,
    /// The audience of access tokens (`aud`).
    pub audience: String,
    /// Lifetime of access and ID tokens, in seconds.
    pub access_token_lifetime: u32,
    /// Lifetime of a refresh token, and so of an unused session, in seconds.
    pub refresh_token_lifetime: u32,
    /// The users who can log in.
    pub users: Vec<DevUser>,
    /// The clients that can request tokens.
    pub clients: Vec<DevClient>,
}

impl Default for DevIdpSettings {
    /// Realm `viopay`, audience `pos-activation`, tokens for 5 minutes, sessions for 30, no users or clients.
    fn default() -> Self {
        Self {
            realm: "viopay".to_owned(),
            audience: "pos-activation".to_owned(),
            access_token_lifetime: 300,
            refresh_token_lifetime: 1_800,
            users: Vec::new(),
            clients: Vec::new(),
        }
    }
}

/// A user.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevUser {
    /// The log-in name, and `preferred_username`.
    pub username: String,
    /// The password.
    pub password: SecretString,
    /// The subject of the user's tokens (`sub`).
    pub sub: String,
    /// The merchant the user acts for.
    #[serde(default)]
    pub merchant_id: Option<Uuid>,
    /// The reseller the user acts for, or the merchant's.
    #[serde(default)]
    pub reseller_id: Option<Uuid>,
    /// The user's roles, such as `merchant-admin`; without roles the claim is omitted.
    #[serde(default)]
    pub roles: Vec<String>,
    /// The user's email address.
    #[serde(default)]
    pub email: Option<String>,
    /// Extra claims of the user's access and ID tokens.
    #[serde(default)]
    pub claims: Map<String, Value>,
}

/// A client. With a secret it is confidential, without one it is public.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevClient {
    /// The client id, and `azp` of its tokens: letters, digits, `.`, `_` and `-`.
    pub client_id: String,
    /// The client secret.
    #[serde(default)]
    pub secret: Option<SecretString>,
    /// Allowed redirect URIs of log-in and log-out. Compared as exact strings.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// Address for logout tokens (OpenID Connect Back-Channel Logout 1.0); without it none are sent.
    #[serde(default)]
    pub backchannel_logout_uri: Option<String>,
    /// The merchant its service account acts for.
    #[serde(default)]
    pub merchant_id: Option<Uuid>,
    /// The reseller its service account acts for, or the merchant's.
    #[serde(default)]
    pub reseller_id: Option<Uuid>,
    /// Its service account's roles, such as `merchant-operator`; without roles the claim is omitted.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Extra claims of its service account's tokens.
    #[serde(default)]
    pub claims: Map<String, Value>,
    /// Lifetime of its access and ID tokens, in seconds. Default: the realm's.
    #[serde(default)]
    pub access_token_lifetime: Option<u32>,
    /// Whether it may use the grant `password`. Default: true.
    #[serde(default = "default_true")]
    pub direct_access_grants: bool,
}

fn default_true() -> bool {
    true
}

/// Invalid settings. The message names the entry, never a password.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A realm name or a client id is not safe in a URL.
    #[error("{0:?} must consist of letters, digits, '.', '_' and '-'")]
    Name(String),
    /// A user or a client is defined twice.
    #[error("{0:?} is defined twice")]
    Twice(String),
    /// A required text is empty.
    #[error("{0} must not be empty")]
    Empty(&'static str),
    /// A lifetime is zero.
    #[error("token lifetimes must not be zero")]
    Lifetime,
    /// An address of a client is not an absolute URL, or has a fragment.
    #[error("{0:?} must be an absolute URL without a fragment")]
    Address(String),
    /// An extra claim is one that the issuer sets itself.
    #[error("claim {0:?} is set by the issuer itself")]
    ReservedClaim(String),
    /// The file cannot be read.
    #[error("the settings file cannot be read")]
    Read(#[source] std::io::Error),
    /// The file is not valid TOML, or does not match the schema.
    #[error("the settings file is malformed")]
    Toml(#[source] Box<toml::de::Error>),
    /// The file is not valid JSON, or does not match the schema.
    #[error("the settings file is malformed")]
    Json(#[source] serde_json::Error),
}

const RESERVED: [&str; 20] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "auth_time",
    "jti",
    "typ",
    "azp",
    "sid",
    "acr",
    "nonce",
    "scope",
    "preferred_username",
    "email",
    "client_id",
    "merchant_id",
    "reseller_id",
    "roles",
];

impl DevIdpSettings {
    /// Reads and validates a settings file: JSON if its name ends in `.json`, otherwise TOML.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn from_file(path: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path).map_err(SettingsError::Read)?;
        let json = path.extension().is_some_and(|extension| extension == "json");
        let settings: Self = if json {
            serde_json::from_str(&text).map_err(SettingsError::Json)?
        } else {
            toml::from_str(&text).map_err(|error| SettingsError::Toml(Box::new(error)))?
        };
        settings.validate()?;
        Ok(settings)
    }

    /// Validates the settings.
    ///
    /// # Errors
    /// [`SettingsError`] for the first invalid entry.
    pub fn validate(&self) -> Result<(), SettingsError> {
        name(&self.realm)?;
        not_empty("the audience", &self.audience)?;
        if self.access_token_lifetime == 0 || self.refresh_token_lifetime == 0 {
            return Err(SettingsError::Lifetime);
        }
        let mut seen = BTreeSet::new();
        for user in &self.users {
            not_empty("a user's name", &user.username)?;
            not_empty("a user's subject", &user.sub)?;
            not_empty("a user's password", user.password.expose_secret())?;
            once(&mut seen, &user.username)?;
            not_reserved(&user.claims)?;
        }
        seen.clear();
        for client in &self.clients {
            name(&client.client_id)?;
            once(&mut seen, &client.client_id)?;
            not_reserved(&client.claims)?;
            if client.access_token_lifetime == Some(0) {
                return Err(SettingsError::Lifetime);
            }
            if let Some(secret) = &client.secret {
                not_empty("a client's secret", secret.expose_secret())?;
            }
            client.redirect_uris.iter().chain(&client.backchannel_logout_uri).try_for_each(|uri| address(uri))?;
        }
        Ok(())
    }

    pub(crate) fn client(&self, client_id: &str) -> Option<&DevClient> {
        self.clients.iter().find(|client| client.client_id == client_id)
    }

    /// Lifetime of access and ID tokens for a client, in seconds.
    pub(crate) fn access_token_lifetime(&self, client_id: &str) -> u32 {
        self.client(client_id).and_then(|client| client.access_token_lifetime).unwrap_or(self.access_token_lifetime)
    }

    pub(crate) fn user(&self, username: &str, password: &str) -> Option<&DevUser> {
        self.users.iter().find(|user| user.username == username && user.password.expose_secret() == password)
    }
}

fn name(text: &str) -> Result<(), SettingsError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !text.is_empty() && text.chars().all(plain) { Ok(()) } else { Err(SettingsError::Name(text.to_owned())) }
}

fn not_empty(what: &'static str, text: &str) -> Result<(), SettingsError> {
    if text.is_empty() { Err(SettingsError::Empty(what)) } else { Ok(()) }
}

fn once<'s>(seen: &mut BTreeSet<&'s str>, name: &'s str) -> Result<(), SettingsError> {
    if seen.insert(name) { Ok(()) } else { Err(SettingsError::Twice(name.to_owned())) }
}

fn not_reserved(claims: &Map<String, Value>) -> Result<(), SettingsError> {
    match claims.keys().find(|name| RESERVED.contains(&name.as_str())) {
        Some(name) => Err(SettingsError::ReservedClaim(name.clone())),
        None => Ok(()),
    }
}

fn address(text: &str) -> Result<(), SettingsError> {
    match Url::parse(text) {
        Ok(url) if url.fragment().is_none() => Ok(()),
        Ok(_) | Err(_) => Err(SettingsError::Address(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = r#"
        realm = "viopay"
        [[users]]
        username = "mia"
        password = "correct horse"
        sub = "0c7b3f5e-0000-4000-8000-000000000001"
        merchant_id = "0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f"
        claims = { given_name = "Mia", realm_access = { roles = ["merchant"] } }
        [[clients]]
        client_id = "portal"
        redirect_uris = ["http://localhost:3000/callback"]
        backchannel_logout_uri = "http://localhost:8080/session/backchannel-logout"
        [[clients]]
        client_id = "machine"
        secret = "battery staple"
    "#;

    fn read(text: &str) -> Result<DevIdpSettings, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn parses_a_file_and_hides_secrets_from_debug() {
        let settings = read(VALID).expect("well formed");
        settings.validate().expect("valid");
        assert_eq!((settings.users.len(), settings.clients.len(), settings.access_token_lifetime), (1, 2, 300));
        let shown = format!("{settings:?}");
        assert!(!shown.contains("correct horse") && !shown.contains("battery staple"), "{shown}");
    }

    #[test]
    fn each_invalid_entry_is_named_in_the_error() {
        for (from, to, expected) in [
            ("realm = \"viopay\"", "realm = \"a/b\"", "must consist of"),
            ("realm = \"viopay\"", "audience = \"\"", "the audience must not be empty"),
            ("realm = \"viopay\"", "access_token_lifetime = 0", "must not be zero"),
            ("client_id = \"portal\"", "client_id = \"portal\"\naccess_token_lifetime = 0", "must not be zero"),
            ("\"machine\"", "\"portal\"", "defined twice"),
            ("\"machine\"", "\"<b>\"", "must consist of"),
            ("\"battery staple\"", "\"\"", "secret must not be empty"),
            ("\"correct horse\"", "\"\"", "password must not be empty"),
            ("given_name", "sub", "set by the issuer"),
            ("/callback", "/callback#here", "without a fragment"),
            ("http://localhost:3000/callback", "/callback", "absolute URL"),
            ("http://localhost:8080/session", "/session", "absolute URL"),
            ("/backchannel-logout", "/backchannel-logout#here", "without a fragment"),
        ] {
            let settings = read(&VALID.replace(from, to)).expect("well formed");
            let error = settings.validate().expect_err(to).to_string();
            assert!(error.contains(expected), "{to}: {error}");
        }
        assert!(read(&VALID.replace("secret", "secert")).is_err(), "an unknown key is rejected");
    }
}
