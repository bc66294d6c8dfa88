//! The simulated merchants and their users, and their provisioning in the database.

use pos_adapters::storage::{self, DatabaseUrl};
use pos_domain::shared::{AuditContext, MerchantId, Name, Party, Role, UserId};
use pos_domain::tenancy::Member;
use uuid::Uuid;

/// Users of each merchant. They race each other.
const EACH: usize = 2;

/// A user of a merchant.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    /// The log-in name, and the subject of the tokens.
    pub(crate) name: String,
    pub(crate) merchant: Uuid,
}

/// All users, by merchant.
#[derive(Debug)]
pub(crate) struct People {
    merchants: Vec<Vec<Person>>,
}

impl Person {
    pub(crate) fn password(&self) -> String {
        format!("{}-password", self.name)
    }
}

impl People {
    pub(crate) fn new(merchants: usize) -> Self {
        let person = |merchant: usize, number: usize| Person {
            name: format!("chaos-{merchant}-{number}"),
            merchant: Uuid::from_u128(0xc4a0_0000_0000_4000_8000_0000_0000_0000 + merchant as u128),
        };
        let users = |merchant| (0..EACH).map(|number| person(merchant, number)).collect();
        Self { merchants: (0..merchants).map(users).collect() }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Person> {
        self.merchants.iter().flatten()
    }

    pub(crate) fn merchants(&self) -> &[Vec<Person>] {
        &self.merchants
    }

    /// Migrates a database, and registers all users and `devices` devices for each merchant, with the code of the
    /// operator's commands. Returns the device ids by merchant.
    pub(crate) async fn provision(&self, url: DatabaseUrl, devices: usize) -> anyhow::Result<Vec<Vec<String>>> {
        let options = pos_tests::stores::options(url);
        storage::migrate(&options).await?;
        let storage = storage::open(&options).await?.storage;
        let app = pos_tests::app::app(&storage);
        let directory = &app.tenancy.directory;
        let reseller = directory.add_reseller(Name::parse("Chaos")?, None, AuditContext::operator()).await?.id;
        let mut fleet = Vec::new();
        for users in &self.merchants {
            let Some(id) = users.first().map(|person| MerchantId(person.merchant)) else { continue };
            directory.add_merchant(Name::parse("Shop")?, Some(reseller), Some(id), AuditContext::operator()).await?;
            for person in users {
                let user_id = UserId::parse(&person.name)?;
                let member = Member { user_id, party: Party::Merchant(id), role: Role::Admin };
                app.tenancy.members.add(member, AuditContext::operator()).await?;
            }
            let ids = app.fleet.provision.some(devices, id, &AuditContext::operator()).await?;
            fleet.push(ids.iter().map(ToString::to_string).collect());
        }
        Ok(fleet)
    }
}
