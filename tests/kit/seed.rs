//! Seed data for a store: the resellers, merchants, members and API clients of [`crate::users`], as an operator's
//! commands would create them.

use std::sync::Arc;

use pos_adapters::clock::{SystemClock, SystemEntropy};
use pos_application::tenancy::{ManageDirectory, ManageMembers};
use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_domain::shared::{ApiClientId, AuditContext, GrantId, MerchantId, Name, Party, ResellerId, Role, UserId};
use pos_domain::tenancy::{ApiClient, Member, SecretHash};
use pos_port_clock::Clock as _;
use pos_port_storage::Storage;
use uuid::Uuid;

use crate::users::{API_CLIENTS, BAKERY, CAFE, GROCER, NORTH, SOUTH, Tenant, USERS};

/// Adds all of them.
///
/// # Panics
/// If the store returns an error.
pub async fn seed_directory(storage: &Storage) {
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let now = clock.now();
    let directory = ManageDirectory::new(storage.directory.clone(), clock.clone(), entropy.clone());
    for (id, display_name) in [(NORTH, "North"), (SOUTH, "South")] {
        directory.add_reseller(name(display_name), Some(ResellerId(id)), AuditContext::operator()).await.unwrap();
    }
    for (id, display_name, reseller) in [(GROCER, "Grocer", NORTH), (CAFE, "Cafe", NORTH), (BAKERY, "Bakery", SOUTH)] {
        let (id, reseller) = (Some(MerchantId(id)), Some(ResellerId(reseller)));
        directory.add_merchant(name(display_name), reseller, id, AuditContext::operator()).await.unwrap();
    }
    let members = ManageMembers::new(storage.members.clone(), clock, entropy);
    for user in USERS {
        let user_id = UserId::parse(&user.sub.to_string()).unwrap();
        let member = Member { user_id, party: party(user.tenant), role: role(user.role, user.tenant) };
        members.add(member, AuditContext::operator()).await.unwrap();
    }
    for client in API_CLIENTS {
        let secret = SecretHash::of_secret(&client.secret());
        let (id, party) = (ApiClientId::parse(client.client_id).unwrap(), party(client.tenant));
        let event = AuditEvent::of(AuditKind::ClientAdded, Subject::Client(id.clone()), AuditContext::operator(), now);
        let (grant, role) = (GrantId(Uuid::new_v4()), role(client.role, client.tenant));
        let client = ApiClient { id, grant, party, role, created_at: now, revoked_at: None };
        storage.clients.add(&client, &secret, &event).await.unwrap();
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
    Role::named_by([word], party(tenant)).expect("a role of that party")
}
