//! Resellers, merchants and users of the example realm (`config/keycloak/example-people.json`).
//!
//! Keycloak imports that file, and the development issuer is configured from it here, so both have the same users. The
//! ids are repeated in this module; a test checks that they match the file.

use std::path::{Path, PathBuf};

use pos_dev_idp::DevIdpSettings;
use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_domain::shared::{AuditContext, GrantId, MerchantId, Name, Party, Role, UserId};
use pos_domain::tenancy::ClientApp;
use pos_domain::tenancy::{Member, Membership, Merchant, Session, Slug};
use pos_port_identity::Principal;
use pos_port_storage::Storage;
use pos_port_storage::tenancy::AddPartyError;
use serde_json::{Value, json};
use time::macros::datetime;
use uuid::Uuid;

use crate::server::{MERCHANT, OTHER_MERCHANT, START};

/// The audience of access tokens.
pub const AUDIENCE: &str = "pos-activation";

/// The reseller North, of the merchants [`GROCER`] and [`CAFE`].
pub const NORTH: Uuid = Uuid::from_u128(0x5e11_e400_0000_4000_8000_0000_0000_0001);
/// The reseller South, of the merchant [`BAKERY`].
pub const SOUTH: Uuid = Uuid::from_u128(0x5e11_e400_0000_4000_8000_0000_0000_0002);
/// A merchant of North.
pub const GROCER: Uuid = Uuid::from_u128(0x3e4c_4a00_0000_4000_8000_0000_0000_0001);
/// Another merchant of North.
pub const CAFE: Uuid = Uuid::from_u128(0x3e4c_4a00_0000_4000_8000_0000_0000_0002);
/// A merchant of South.
pub const BAKERY: Uuid = Uuid::from_u128(0x3e4c_4a00_0000_4000_8000_0000_0000_0003);

/// The party that a user or API client belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenant {
    /// A merchant.
    Merchant(Uuid),
    /// A reseller.
    Reseller(Uuid),
}

/// A user who can log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// The name to log in with. The password is the name and `-password`.
    pub name: &'static str,
    /// The `sub` claim of the tokens.
    pub sub: Uuid,
    /// The party that the user belongs to.
    pub tenant: Tenant,
    /// The user's only role.
    pub role: &'static str,
}

/// An API client with its own credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiClient {
    /// The client id. The secret is the client id and `-secret`.
    pub client_id: &'static str,
    /// The party that the client belongs to.
    pub tenant: Tenant,
    /// The client's only role.
    pub role: &'static str,
}

const fn user(number: u128, name: &'static str, role: &'static str, tenant: Tenant) -> User {
    User { name, sub: Uuid::from_u128(0xab5e_0000_0000_4000_8000_0000_0000_0000 + number), tenant, role }
}

/// Administrator of North.
pub const NORA: User = user(0x11, "nora", "reseller-admin", Tenant::Reseller(NORTH));
/// Operator of North.
pub const NILS: User = user(0x12, "nils", "reseller-operator", Tenant::Reseller(NORTH));
/// Viewer of North.
pub const NINA: User = user(0x13, "nina", "reseller-viewer", Tenant::Reseller(NORTH));
/// Administrator of South.
pub const SVEN: User = user(0x21, "sven", "reseller-admin", Tenant::Reseller(SOUTH));
/// Administrator of the grocer.
pub const GINA: User = user(0x31, "gina", "merchant-admin", Tenant::Merchant(GROCER));
/// Operator of the grocer.
pub const GABE: User = user(0x32, "gabe", "merchant-operator", Tenant::Merchant(GROCER));
/// Viewer of the grocer.
pub const GWEN: User = user(0x33, "gwen", "merchant-viewer", Tenant::Merchant(GROCER));
/// Administrator of the cafe.
pub const CORA: User = user(0x41, "cora", "merchant-admin", Tenant::Merchant(CAFE));
/// Administrator of the bakery.
pub const BERT: User = user(0x51, "bert", "merchant-admin", Tenant::Merchant(BAKERY));

/// All users.
pub const USERS: [User; 9] = [NORA, NILS, NINA, SVEN, GINA, GABE, GWEN, CORA, BERT];

const fn api_client(client_id: &'static str, role: &'static str, tenant: Tenant) -> ApiClient {
    ApiClient { client_id, tenant, role }
}

/// The grocer's API client.
pub const GROCER_API: ApiClient = api_client("grocer-api", "merchant-operator", Tenant::Merchant(GROCER));
/// The bakery's API client.
pub const BAKERY_API: ApiClient = api_client("bakery-api", "merchant-operator", Tenant::Merchant(BAKERY));
/// North's API client.
pub const NORTH_API: ApiClient = api_client("north-api", "reseller-operator", Tenant::Reseller(NORTH));

/// All API clients.
pub const API_CLIENTS: [ApiClient; 3] = [GROCER_API, BAKERY_API, NORTH_API];

impl User {
    /// The password.
    #[must_use]
    pub fn password(&self) -> String {
        format!("{}-password", self.name)
    }
}

impl ApiClient {
    /// The client secret.
    #[must_use]
    pub fn secret(&self) -> String {
        format!("{}-secret", self.client_id)
    }
}

impl Tenant {
    /// The token claim that carries the tenant's id, and the id.
    #[must_use]
    pub fn claim(self) -> (&'static str, Uuid) {
        match self {
            Self::Merchant(id) => ("merchant_id", id),
            Self::Reseller(id) => ("reseller_id", id),
        }
    }
}

/// A file in `config/keycloak`.
///
/// # Panics
/// If the file is not JSON.
#[must_use]
pub fn realm_file(name: &str) -> Value {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/keycloak").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The development issuer's settings for the realm and the users that Keycloak imports.
///
/// # Panics
/// If the files use something that the development issuer does not support.
#[must_use]
pub fn dev_idp_settings() -> DevIdpSettings {
    let (realm, example) = (realm_file("realm.json"), realm_file("example-people.json"));
    let users = list(&example["users"]);
    let humans = users.iter().filter(|user| user["serviceAccountClientId"].is_null());
    let clients = list(&realm["clients"]).iter().chain(list(&example["clients"])).filter(|c| c["bearerOnly"] != true);
    let settings = json!({
        "realm": realm["realm"],
        "audience": AUDIENCE,
        "access_token_lifetime": realm["accessTokenLifespan"],
        "refresh_token_lifetime": realm["ssoSessionIdleTimeout"],
        "users": humans.map(|user| json!({
            "username": user["username"], "sub": user["id"], "email": user["email"],
            "password": user["credentials"][0]["value"],
            "merchant_id": user["attributes"]["merchant_id"][0], "reseller_id": user["attributes"]["reseller_id"][0],
            "roles": roles(user),
        })).collect::<Vec<_>>(),
        "clients": clients.map(|client| {
            let account = users.iter().find(|user| user["serviceAccountClientId"] == client["clientId"]);
            let lifespan = client["attributes"]["access.token.lifespan"].as_str();
            json!({
                "client_id": client["clientId"], "secret": client["secret"],
                "redirect_uris": client["redirectUris"].as_array().cloned().unwrap_or_default(),
                "direct_access_grants": client["directAccessGrantsEnabled"],
                "backchannel_logout_uri": client["attributes"]["backchannel.logout.url"],
                "access_token_lifetime": lifespan.map(|seconds| seconds.parse::<u32>().unwrap()),
                "merchant_id": account.map(|account| &account["attributes"]["merchant_id"][0]),
                "reseller_id": account.map(|account| &account["attributes"]["reseller_id"][0]),
                "roles": account.map(roles).unwrap_or_default(),
            })
        }).collect::<Vec<_>>(),
    });
    serde_json::from_value(settings).expect("settings of the development issuer")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

/// The roles that Keycloak's mapper puts into the `roles` claim.
fn roles(user: &Value) -> Vec<Value> {
    user["clientRoles"][AUDIENCE].as_array().cloned().unwrap_or_default()
}

/// Adds [`MERCHANT`] and [`OTHER_MERCHANT`], the members of [`crate::server::merchant_tokens`] and their sessions, which
/// end later than the clock of any test. Existing rows are left unchanged.
///
/// # Panics
/// If the store returns an error.
pub async fn seed_sessions(storage: &Storage) {
    for merchant in [MERCHANT, OTHER_MERCHANT] {
        add_merchant(storage, merchant).await;
    }
    for (name, merchant) in [("ann", MERCHANT), ("bob", MERCHANT), ("eve", OTHER_MERCHANT)] {
        start_session(storage, name, merchant).await;
    }
}

/// Adds a merchant, unless it exists.
///
/// # Panics
/// If the store returns an error.
pub async fn add_merchant(storage: &Storage, id: MerchantId) {
    let merchant = Merchant { id, reseller: None, name: Name::parse("Corner Shop").unwrap(), created_at: START };
    let event = AuditEvent::of(AuditKind::MerchantAdded, Subject::Merchant(id), AuditContext::operator(), START);
    match storage.directory.add_merchant(&merchant, None, &event).await {
        Ok(()) | Err(AddPartyError::Taken) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Makes a user an administrator of a merchant and starts the session of the user's token, unless it exists.
async fn start_session(storage: &Storage, name: &str, merchant: MerchantId) {
    let user_id = UserId::parse(name).unwrap();
    let token = Principal::fixed(user_id.clone(), Some(merchant)).session;
    if storage.sessions.find_by_key(&token.key, START).await.unwrap().is_some() {
        return;
    }
    let member = Member { user_id: user_id.clone(), party: Party::Merchant(merchant), role: Role::Admin };
    let event = |kind| AuditEvent::of(kind, Subject::User(user_id.clone()), AuditContext::operator(), START);
    let membership = match storage.members.find(member.party, &user_id).await.unwrap() {
        Some(membership) => membership,
        None => {
            let new = Membership { grant: GrantId(Uuid::new_v4()), member, created_at: START };
            storage.members.put(&new, None, &event(AuditKind::MemberAdded)).await.unwrap();
            new
        }
    };
    let slug = |text: &str| Slug::parse(text).unwrap();
    let session = Session {
        key: token.key,
        grant: membership.grant,
        member: membership.member,
        reseller: None,
        client_app: ClientApp { application: slug("merchant-portal"), channel: slug("web") },
        client: None,
        token: Some(token.token),
        token_issued_at: token.issued_at,
        started_at: START,
        ends_at: datetime!(9999-01-01 00:00 UTC),
    };
    storage.sessions.start(&session, &event(AuditKind::SessionStarted)).await.unwrap();
}
