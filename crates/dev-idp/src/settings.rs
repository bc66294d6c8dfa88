use std::collections::BTreeSet;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;
use uuid::Uuid;

/// What the issuer knows: one realm, its users and its clients.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DevIdpSettings {
    /// The realm's name, as it stands in every address.
    pub realm: String,
    /// What access tokens are for (`aud`).
    pub audience: String,
    /// How long access and ID tokens hold, in seconds.
    pub access_token_lifetime: u32,
    /// How long a session can be refreshed after its last use, in seconds.
    pub refresh_token_lifetime: u32,
    /// Who can log in.
    pub users: Vec<DevUser>,
    /// Which applications can ask for tokens.
    pub clients: Vec<DevClient>,
}

impl Default for DevIdpSettings {
    /// Realm `viopay`, audience `pos-activation`, tokens for 5 minutes, sessions for 30, nobody who could log in.
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

/// A person.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevUser {
    /// The name to log in with, and `preferred_username`.
    pub username: String,
    /// The password to log in with.
    pub password: SecretString,
    /// The subject of the user's tokens.
    pub sub: String,
    /// The merchant the user acts for.
    #[serde(default)]
    pub merchant_id: Option<Uuid>,
    /// The reseller the user acts for, or the merchant's.
    #[serde(default)]
    pub reseller_id: Option<Uuid>,
    /// The user's roles, such as `merchant-admin`; no claim when there are none.
    #[serde(default)]
    pub roles: Vec<String>,
    /// The user's address.
    #[serde(default)]
    pub email: Option<String>,
    /// Other claims of the user's access and ID tokens, as they are.
    #[serde(default)]
    pub claims: Map<String, Value>,
}

/// An application. With a secret it is a confidential client, without one a public client.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevClient {
    /// Its name, and `azp` of its tokens: letters, digits, `.`, `_` and `-`.
    pub client_id: String,
    /// What it proves itself with.
    #[serde(default)]
    pub secret: Option<SecretString>,
    /// Where a log-in or a log-out may lead back to. Compared letter for letter.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// Where it is told that somebody logged out (OpenID Connect Back-Channel Logout 1.0); nobody is told when left out.
    #[serde(default)]
    pub backchannel_logout_uri: Option<String>,
    /// The merchant its service account acts for.
    #[serde(default)]
    pub merchant_id: Option<Uuid>,
    /// The reseller its service account acts for, or the merchant's.
    #[serde(default)]
    pub reseller_id: Option<Uuid>,
    /// Its service account's roles, such as `merchant-operator`; no claim when there are none.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Other claims of its service account's tokens, as they are.
    #[serde(default)]
    pub claims: Map<String, Value>,
    /// How long access and ID tokens that it gets hold, in seconds; as everybody's when left out.
    #[serde(default)]
    pub access_token_lifetime: Option<u32>,
    /// Whether it may take a user's password itself (grant `password`); true when left out.
    #[serde(default = "yes")]
    pub direct_access_grants: bool,
}

fn yes() -> bool {
    true
}

/// Settings the issuer cannot run with. The text names the entry, never a password.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A realm or a client id that cannot stand in an address as it is.
    #[error("{0:?} must consist of letters, digits, '.', '_' and '-'")]
    Name(String),
    /// A user or a client that is there twice.
    #[error("{0:?} is defined twice")]
    Twice(String),
    /// A text that must not be empty is.
    #[error("{0} must not be empty")]
    Empty(&'static str),
    /// A time that must not be zero is.
    #[error("token lifetimes must not be zero")]
    Lifetime,
    /// An address of a client's that is no absolute URL, or has a fragment.
    #[error("{0:?} must be an absolute URL without a fragment")]
    Address(String),
    /// An extra claim that the issuer sets itself.
    #[error("claim {0:?} is set by the issuer itself")]
    ReservedClaim(String),
    /// The file cannot be read.
    #[error("the settings file cannot be read")]
    Read(#[source] std::io::Error),
    /// The file is no TOML, or not of this form.
    #[error("the settings file cannot be understood")]
    Toml(#[source] Box<toml::de::Error>),
    /// The file is no JSON, or not of this form.
    #[error("the settings file cannot be understood")]
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
    /// Reads and validates a settings file: JSON if its name ends in `.json`, TOML otherwise.
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

    /// Checks the settings.
    ///
    /// # Errors
    /// [`SettingsError`], for the first thing that is wrong.
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

    /// How long access and ID tokens for a client hold, in seconds.
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

    const GOOD: &str = r#"
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
    fn reads_a_file_and_hides_its_secrets() {
        let settings = read(GOOD).expect("well formed");
        settings.validate().expect("valid");
        assert_eq!((settings.users.len(), settings.clients.len(), settings.access_token_lifetime), (1, 2, 300));
        let shown = format!("{settings:?}");
        assert!(!shown.contains("correct horse") && !shown.contains("battery staple"), "{shown}");
    }

    #[test]
    fn names_the_first_thing_that_is_wrong() {
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
            let settings = read(&GOOD.replace(from, to)).expect("well formed");
            let error = settings.validate().expect_err(to).to_string();
            assert!(error.contains(expected), "{to}: {error}");
        }
        assert!(read(&GOOD.replace("secret", "secert")).is_err(), "a misspelt key is no key");
    }
}
