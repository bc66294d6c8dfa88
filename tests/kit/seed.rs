//! Seed data for a store: the resellers, merchants, members and API clients of [`crate::users`], as an operator's
//! commands would create them.

use pos_domain::shared::{MerchantId, Party, ResellerId, Role};
use pos_port_storage::Storage;

use crate::app::app;
use crate::users::{API_CLIENTS, BAKERY, CAFE, GROCER, NORTH, SOUTH, Tenant, USERS};

/// Adds all of them.
///
/// # Panics
/// If the store returns an error.
pub async fn seed_directory(storage: &Storage) {
    let app = app(storage);
    for (id, name) in [(NORTH, "North"), (SOUTH, "South")] {
        app.add_reseller(ResellerId(id), name).await;
    }
    for (id, name, reseller) in [(GROCER, "Grocer", NORTH), (CAFE, "Cafe", NORTH), (BAKERY, "Bakery", SOUTH)] {
        app.add_merchant(MerchantId(id), name, Some(ResellerId(reseller))).await;
    }
    for user in USERS {
        app.add_member(&user.sub.to_string(), party(user.tenant), role(user.role, user.tenant)).await;
    }
    for client in API_CLIENTS {
        let (party, role) = (party(client.tenant), role(client.role, client.tenant));
        app.add_client(client.client_id, &client.secret(), party, role).await;
    }
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
