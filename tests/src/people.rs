//! The resellers, merchants and people of the example realm (`config/keycloak/example-people.json`).
//!
//! Keycloak imports that file, and the development issuer is set up from the same one here, so that the two cannot know
//! different people. The ids stand in the file and in this module; a test holds them together.

use std::path::{Path, PathBuf};

use pos_dev_idp::DevIdpSettings;
use pos_domain::{
    Act, AuditEvent, AuditKind, GrantId, Member, Membership, Merchant, MerchantId, Name, Party, Place, Role, Session,
    Slug, Subject, UserId,
};
use pos_port_identity::Principal;
use pos_port_storage::{AddPartyError, Storage};
use serde_json::{Value, json};
use time::macros::datetime;
use uuid::Uuid;

use crate::server::{MERCHANT, OTHER_MERCHANT, START};

/// What tokens must be for.
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

/// For whom somebody acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenant {
    /// A merchant.
    Merchant(Uuid),
    /// A reseller.
    Reseller(Uuid),
}

/// Somebody who can log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Person {
    /// The name to log in with. The password is the name and `-password`.
    pub name: &'static str,
    /// The subject of their tokens.
    pub sub: Uuid,
    /// For whom they act.
    pub tenant: Tenant,
    /// Their one role.
    pub role: &'static str,
}

/// A machine with credentials of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiClient {
    /// Its name. The secret is the name and `-secret`.
    pub client_id: &'static str,
    /// For whom it acts.
    pub tenant: Tenant,
    /// Its one role.
    pub role: &'static str,
}

const fn person(number: u128, name: &'static str, role: &'static str, tenant: Tenant) -> Person {
    Person { name, sub: Uuid::from_u128(0xab5e_0000_0000_4000_8000_0000_0000_0000 + number), tenant, role }
}

/// Administers North.
pub const NORA: Person = person(0x11, "nora", "reseller-admin", Tenant::Reseller(NORTH));
/// Works for North.
pub const NILS: Person = person(0x12, "nils", "reseller-operator", Tenant::Reseller(NORTH));
/// Looks on at North.
pub const NINA: Person = person(0x13, "nina", "reseller-viewer", Tenant::Reseller(NORTH));
/// Administers South.
pub const SVEN: Person = person(0x21, "sven", "reseller-admin", Tenant::Reseller(SOUTH));
/// Administers the grocer.
pub const GINA: Person = person(0x31, "gina", "merchant-admin", Tenant::Merchant(GROCER));
/// Works for the grocer.
pub const GABE: Person = person(0x32, "gabe", "merchant-operator", Tenant::Merchant(GROCER));
/// Looks on at the grocer.
pub const GWEN: Person = person(0x33, "gwen", "merchant-viewer", Tenant::Merchant(GROCER));
/// Administers the cafe.
pub const CORA: Person = person(0x41, "cora", "merchant-admin", Tenant::Merchant(CAFE));
/// Administers the bakery.
pub const BERT: Person = person(0x51, "bert", "merchant-admin", Tenant::Merchant(BAKERY));

/// Everybody.
pub const PEOPLE: [Person; 9] = [NORA, NILS, NINA, SVEN, GINA, GABE, GWEN, CORA, BERT];

const fn api_client(client_id: &'static str, role: &'static str, tenant: Tenant) -> ApiClient {
    ApiClient { client_id, tenant, role }
}

/// The grocer's machine.
pub const GROCER_API: ApiClient = api_client("grocer-api", "merchant-operator", Tenant::Merchant(GROCER));
/// The bakery's machine.
pub const BAKERY_API: ApiClient = api_client("bakery-api", "merchant-operator", Tenant::Merchant(BAKERY));
/// North's machine.
pub const NORTH_API: ApiClient = api_client("north-api", "reseller-operator", Tenant::Reseller(NORTH));

/// Every machine.
pub const API_CLIENTS: [ApiClient; 3] = [GROCER_API, BAKERY_API, NORTH_API];

impl Person {
    /// What they log in with.
    #[must_use]
    pub fn password(&self) -> String {
        format!("{}-password", self.name)
    }
}

impl ApiClient {
    /// What it proves itself with.
    #[must_use]
    pub fn secret(&self) -> String {
        format!("{}-secret", self.client_id)
    }
}

impl Tenant {
    /// The claim that names it, and the id there.
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
/// When it is not JSON.
#[must_use]
pub fn realm_file(name: &str) -> Value {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/keycloak").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The development issuer's settings for the realm and the people that Keycloak imports.
///
/// # Panics
/// When the files say something that the development issuer cannot do.
#[must_use]
pub fn dev_idp_settings() -> DevIdpSettings {
    let (realm, people) = (realm_file("realm.json"), realm_file("example-people.json"));
    let users = list(&people["users"]);
    let persons = users.iter().filter(|user| user["serviceAccountClientId"].is_null());
    let clients = list(&realm["clients"]).iter().chain(list(&people["clients"])).filter(|c| c["bearerOnly"] != true);
    let settings = json!({
        "realm": realm["realm"],
        "audience": AUDIENCE,
        "access_token_lifetime": realm["accessTokenLifespan"],
        "refresh_token_lifetime": realm["ssoSessionIdleTimeout"],
        "users": persons.map(|user| json!({
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

/// The roles that Keycloak's mapper makes a claim of.
fn roles(user: &Value) -> Vec<Value> {
    user["clientRoles"][AUDIENCE].as_array().cloned().unwrap_or_default()
}

/// Adds [`MERCHANT`] and [`OTHER_MERCHANT`], the members whose tokens [`crate::server::merchant_tokens`] knows, and
/// their sessions, which outlast any clock of a test. Whatever is there already is left as it is.
///
/// # Panics
/// When the store refuses.
pub async fn sign_in(storage: &Storage) {
    for merchant in [MERCHANT, OTHER_MERCHANT] {
        add_merchant(storage, merchant).await;
    }
    for (name, merchant) in [("ann", MERCHANT), ("bob", MERCHANT), ("eve", OTHER_MERCHANT)] {
        start_session(storage, name, merchant).await;
    }
}

/// Adds a merchant, unless it is there.
///
/// # Panics
/// When the store refuses.
pub async fn add_merchant(storage: &Storage, id: MerchantId) {
    let merchant = Merchant { id, reseller: None, name: Name::parse("Corner Shop").unwrap(), created_at: START };
    let event = AuditEvent::of(AuditKind::MerchantAdded, Subject::Merchant(id), Act::operator(), START);
    match storage.directory.add_merchant(&merchant, None, &event).await {
        Ok(()) | Err(AddPartyError::Taken) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Makes a user an administrator of a merchant and starts the session of the user's token, unless there is one.
async fn start_session(storage: &Storage, name: &str, merchant: MerchantId) {
    let user_id = UserId::parse(name).unwrap();
    let token = Principal::fixed(user_id.clone(), Some(merchant)).session;
    if storage.sessions.find_by_key(&token.key, START).await.unwrap().is_some() {
        return;
    }
    let member = Member { user_id: user_id.clone(), party: Party::Merchant(merchant), role: Role::Admin };
    let event = |kind| AuditEvent::of(kind, Subject::User(user_id.clone()), Act::operator(), START);
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
        place: Place { application: slug("merchant-portal"), channel: slug("web") },
        client: None,
        token: Some(token.token),
        token_issued_at: token.issued_at,
        started_at: START,
        ends_at: datetime!(9999-01-01 00:00 UTC),
    };
    storage.sessions.start(&session, &event(AuditKind::SessionStarted)).await.unwrap();
}
