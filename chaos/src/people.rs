//! The merchants, and who acts for them.

use std::sync::Arc;

use pos_adapters::clock::{SystemClock, SystemEntropy};
use pos_adapters::storage::{self, DatabaseUrl};
use pos_application::{ManageDirectory, ManageMembers, ProvisionDevices};
use pos_domain::{Act, Member, MerchantId, Name, Party, Role, UserId};
use uuid::Uuid;

/// Users of each merchant. They race each other.
const EACH: usize = 2;

/// Somebody who claims terminals.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    /// The name to log in with, and the subject of the tokens.
    pub(crate) name: String,
    pub(crate) merchant: Uuid,
}

/// Everybody, merchant by merchant.
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
        let staff = |merchant| (0..EACH).map(|number| person(merchant, number)).collect();
        Self { merchants: (0..merchants).map(staff).collect() }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Person> {
        self.merchants.iter().flatten()
    }

    pub(crate) fn merchants(&self) -> &[Vec<Person>] {
        &self.merchants
    }

    /// Brings a database up to date and makes everybody known in it, by the same code as the operator's commands, with
    /// so many devices for each merchant. Answers the devices' ids, merchant by merchant.
    pub(crate) async fn settle(&self, url: DatabaseUrl, devices: usize) -> anyhow::Result<Vec<Vec<String>>> {
        let options = pos_tests::stores::options(url);
        storage::migrate(&options).await?;
        let storage = storage::open(&options).await?.storage;
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
        let directory = ManageDirectory::new(storage.directory.clone(), clock.clone(), entropy.clone());
        let members = ManageMembers::new(storage.members.clone(), clock.clone(), entropy.clone());
        let provision = ProvisionDevices::new(storage.fleet.clone(), clock, entropy);
        let reseller = directory.add_reseller(Name::parse("Chaos")?, None, Act::operator()).await?.id;
        let mut fleet = Vec::new();
        for staff in &self.merchants {
            let Some(id) = staff.first().map(|person| MerchantId(person.merchant)) else { continue };
            directory.add_merchant(Name::parse("Shop")?, Some(reseller), Some(id), Act::operator()).await?;
            for person in staff {
                let user_id = UserId::parse(&person.name)?;
                let member = Member { user_id, party: Party::Merchant(id), role: Role::Admin };
                members.add(member, Act::operator()).await?;
            }
            let ids = provision.some(devices, id, &Act::operator()).await?;
            fleet.push(ids.iter().map(ToString::to_string).collect());
        }
        Ok(fleet)
    }
}
