//! What an operator's commands would have made known: the resellers, merchants, members and API clients of
//! [`crate::people`], in a store.

use std::sync::Arc;
use std::time::Duration;

use pos_adapters::clock::{SystemClock, SystemEntropy};
use pos_adapters::identity::Argon2Hasher;
use pos_application::{ManageDirectory, ManageMembers};
use pos_domain::{
    Act, ApiClient, ApiClientId, AuditEvent, AuditKind, GrantId, Member, MerchantId, Name, Party, ResellerId, Role,
    SecretHash, Subject, UserId,
};
use pos_port_clock::Clock as _;
use pos_port_identity::SecretHasher as _;
use pos_port_storage::Storage;
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::people::{API_CLIENTS, BAKERY, CAFE, GROCER, NORTH, PEOPLE, SOUTH, Tenant};

/// Makes everybody known.
///
/// # Panics
/// When the store refuses.
pub async fn populate(storage: &Storage) {
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let now = clock.now();
    let directory = ManageDirectory::new(storage.directory.clone(), clock.clone(), entropy.clone());
    for (id, called) in [(NORTH, "North"), (SOUTH, "South")] {
        directory.add_reseller(name(called), Some(ResellerId(id)), Act::operator()).await.unwrap();
    }
    for (id, called, of) in [(GROCER, "Grocer", NORTH), (CAFE, "Cafe", NORTH), (BAKERY, "Bakery", SOUTH)] {
        let (id, of) = (Some(MerchantId(id)), Some(ResellerId(of)));
        directory.add_merchant(name(called), of, id, Act::operator()).await.unwrap();
    }
    let members = ManageMembers::new(storage.members.clone(), clock, entropy);
    for person in PEOPLE {
        let user_id = UserId::parse(&person.sub.to_string()).unwrap();
        let member = Member { user_id, party: party(person.tenant), role: role(person.role, person.tenant) };
        members.add(member, Act::operator()).await.unwrap();
    }
    for (client, secret) in API_CLIENTS.iter().zip(hashes().await) {
        let (id, party) = (ApiClientId::parse(client.client_id).unwrap(), party(client.tenant));
        let told = AuditEvent::of(AuditKind::ClientAdded, Subject::Client(id.clone()), Act::operator(), now);
        let (grant, role) = (GrantId(Uuid::new_v4()), role(client.role, client.tenant));
        let client = ApiClient { id, grant, party, role, created_at: now, revoked_at: None };
        storage.clients.add(&client, secret, &told).await.unwrap();
    }
}

/// The hashes of the clients' secrets. Made once: they are slow on purpose.
async fn hashes() -> &'static [SecretHash] {
    static HASHES: OnceCell<Vec<SecretHash>> = OnceCell::const_new();
    let make = || async {
        let hasher = Argon2Hasher::new(1, Duration::from_secs(30), Arc::new(SystemEntropy)).unwrap();
        let mut hashes = Vec::new();
        for client in API_CLIENTS {
            hashes.push(hasher.hash(&client.secret().into()).await.unwrap());
        }
        hashes
    };
    HASHES.get_or_init(make).await
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn party(tenant: Tenant) -> Party {
    match tenant {
        Tenant::Merchant(id) => Party::Merchant(MerchantId(id)),
        Tenant::Reseller(id) => Party::Reseller(ResellerId(id)),
    }
}

fn role(word: &str, tenant: Tenant) -> Role {
    Role::named_by([word], party(tenant)).expect("a role at that party")
}
