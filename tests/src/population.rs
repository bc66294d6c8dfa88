//! What an operator's commands would have made known: the resellers, merchants, members and API clients of
//! [`crate::people`], in a store.

use std::sync::Arc;

use pos_adapters::clock::{SystemClock, SystemEntropy};
use pos_application::{ManageDirectory, ManageMembers};
use pos_domain::{
    Act, ApiClient, ApiClientId, AuditEvent, AuditKind, GrantId, Member, MerchantId, Name, Party, ResellerId, Role,
    SecretHash, Subject, UserId,
};
use pos_port_clock::Clock as _;
use pos_port_storage::Storage;
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
    for client in API_CLIENTS {
        let secret = SecretHash::of_secret(&client.secret());
        let (id, party) = (ApiClientId::parse(client.client_id).unwrap(), party(client.tenant));
        let told = AuditEvent::of(AuditKind::ClientAdded, Subject::Client(id.clone()), Act::operator(), now);
        let (grant, role) = (GrantId(Uuid::new_v4()), role(client.role, client.tenant));
        let client = ApiClient { id, grant, party, role, created_at: now, revoked_at: None };
        storage.clients.add(&client, &secret, &told).await.unwrap();
    }
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
