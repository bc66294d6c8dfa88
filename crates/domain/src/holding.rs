//! Comparison of the rows that decide who owns or may do something with the events of the audit trail.

use std::collections::BTreeMap;
use std::fmt;

use crate::{ApiClientId, AuditEvent, AuditKind, LocationId, MerchantId, Party, ResellerId, Role, Subject, UserId};

/// A row that decides who owns something, or who may act for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Which row.
    pub key: HoldingKey,
    /// Its columns that an event tells too.
    pub facts: Facts,
}

/// Columns and their values.
pub type Facts = BTreeMap<&'static str, String>;

/// Which row: what it is about, and for a membership where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HoldingKey {
    /// The table.
    pub table: &'static str,
    subject: String,
    party: Option<String>,
}

impl HoldingKey {
    fn of(table: &'static str, subject: &Subject) -> Self {
        Self { table, subject: subject.to_string(), party: None }
    }

    /// What the events of this row are about.
    #[must_use]
    pub fn subject(&self) -> Option<Subject> {
        self.subject.parse().ok()
    }
}

impl fmt::Display for HoldingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, subject, party } = self;
        match party {
            Some(party) => write!(f, "{table} {subject} at {party}"),
            None => write!(f, "{table} {subject}"),
        }
    }
}

/// How the reseller of a merchant is told: its id, or that there is none.
#[must_use]
pub fn reseller_text(reseller: Option<ResellerId>) -> String {
    reseller.map_or_else(|| "none".to_owned(), |id| id.to_string())
}

impl Holding {
    /// A row of `resellers`.
    #[must_use]
    pub fn reseller(id: ResellerId) -> Self {
        Self { key: HoldingKey::of("resellers", &Subject::Reseller(id)), facts: Facts::new() }
    }

    /// A row of `merchants`.
    #[must_use]
    pub fn merchant(id: MerchantId, reseller: Option<ResellerId>) -> Self {
        let facts = Facts::from([("reseller", reseller_text(reseller))]);
        Self { key: HoldingKey::of("merchants", &Subject::Merchant(id)), facts }
    }

    /// A row of `locations`.
    #[must_use]
    pub fn location(id: LocationId, merchant: MerchantId) -> Self {
        let facts = Facts::from([("merchant", merchant.to_string())]);
        Self { key: HoldingKey::of("locations", &Subject::Location(id)), facts }
    }

    /// A row of `memberships`.
    #[must_use]
    pub fn member(user: UserId, party: Party, role: Role) -> Self {
        let party = Some(Subject::from(party).to_string());
        let key = HoldingKey { party, ..HoldingKey::of("memberships", &Subject::User(user)) };
        Self { key, facts: Facts::from([("role", role.to_string())]) }
    }

    /// A row of `api_clients`.
    #[must_use]
    pub fn client(id: ApiClientId, party: Party, role: Role, revoked: bool) -> Self {
        let facts = Facts::from([
            ("party", Subject::from(party).to_string()),
            ("role", role.to_string()),
            ("revoked", revoked.to_string()),
        ]);
        Self { key: HoldingKey::of("api_clients", &Subject::Client(id)), facts }
    }
}

/// What the rows must be, as the events so far tell it.
#[derive(Debug, Default)]
pub struct HoldingsInTrail(BTreeMap<HoldingKey, Facts>);

/// How a row and the trail differ.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HoldingFault {
    /// There is a row and no event that made it.
    #[error("the row is there, and no event made it")]
    NoEvent,
    /// There is an event that made it and no row.
    #[error("the row is missing: no event removed it")]
    NoRow,
    /// A column has another value.
    #[error("{column} is {is}, and the trail says {says}")]
    Differs {
        /// Which column.
        column: &'static str,
        /// Its value.
        is: String,
        /// What the last event says.
        says: String,
    },
}

impl HoldingsInTrail {
    /// Takes in the next event, in the order of their numbers.
    pub fn see(&mut self, event: &AuditEvent) {
        let Some(subject) = &event.subject else { return };
        let told = |name: &str| event.detail.get(name).cloned();
        let at_party = || HoldingKey { party: told("party"), ..HoldingKey::of("memberships", subject) };
        match event.kind {
            AuditKind::ResellerAdded => {
                self.0.insert(HoldingKey::of("resellers", subject), Facts::new());
            }
            AuditKind::MerchantAdded => {
                // Events of servers before this one do not tell the reseller: then it is not compared.
                let facts = told("reseller").map(|reseller| ("reseller", reseller)).into_iter().collect();
                self.0.insert(HoldingKey::of("merchants", subject), facts);
            }
            AuditKind::LocationAdded => {
                let facts = event.merchant_id.map(|merchant| ("merchant", merchant.to_string())).into_iter().collect();
                self.0.insert(HoldingKey::of("locations", subject), facts);
            }
            AuditKind::MemberAdded => {
                let facts = told("role").map(|role| ("role", role)).into_iter().collect();
                self.0.insert(at_party(), facts);
            }
            AuditKind::MemberRemoved => {
                self.0.remove(&at_party());
            }
            AuditKind::ClientAdded => {
                let mut facts = Facts::from([("revoked", false.to_string())]);
                facts.extend(told("party").map(|party| ("party", party)));
                facts.extend(told("role").map(|role| ("role", role)));
                self.0.insert(HoldingKey::of("api_clients", subject), facts);
            }
            AuditKind::ClientRevoked => {
                let facts = self.0.entry(HoldingKey::of("api_clients", subject)).or_default();
                facts.insert("revoked", true.to_string());
            }
            AuditKind::ClaimRefused
            | AuditKind::MerchantAmended
            | AuditKind::LocationAmended
            | AuditKind::ClientRotated
            | AuditKind::SessionStarted
            | AuditKind::SessionEnded
            | AuditKind::SessionsLoggedOut
            | AuditKind::EventsReclaimed
            | AuditKind::ImportRefused => {}
        }
    }

    /// How one row differs from the trail; `None` stands for a row that is not there.
    #[must_use]
    pub fn compare(&self, key: &HoldingKey, row: Option<&Facts>) -> Option<HoldingFault> {
        match (row, self.0.get(key)) {
            (None, None) => None,
            (Some(_), None) => Some(HoldingFault::NoEvent),
            (None, Some(_)) => Some(HoldingFault::NoRow),
            (Some(row), Some(said)) => said.iter().find_map(|(column, says)| {
                let is = row.get(column).cloned().unwrap_or_default();
                (is != *says).then(|| HoldingFault::Differs { column, is, says: says.clone() })
            }),
        }
    }

    /// Every row that must be there.
    pub fn keys(&self) -> impl Iterator<Item = &HoldingKey> {
        self.0.keys()
    }
}
