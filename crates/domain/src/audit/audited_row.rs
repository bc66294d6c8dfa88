//! Comparison of ownership and authorization rows with the events of the audit trail.

use std::collections::BTreeMap;
use std::fmt;

use crate::audit::{AuditEvent, AuditKind, Subject};
use crate::shared::{ApiClientId, LocationId, MerchantId, Party, ResellerId, Role, UserId};

/// A row that decides who owns something or who may act for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedRow {
    /// Identifies the row.
    pub key: AuditedRowKey,
    /// Those of its columns that an audit event records too.
    pub facts: Facts,
}

/// Column names and values.
pub type Facts = BTreeMap<&'static str, String>;

/// Identifies a row by table and subject, and a membership also by party.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditedRowKey {
    /// The table.
    pub table: &'static str,
    subject: String,
    party: Option<String>,
}

impl AuditedRowKey {
    fn of(table: &'static str, subject: &Subject) -> Self {
        Self { table, subject: subject.to_string(), party: None }
    }

    /// Subject of this row's audit events.
    #[must_use]
    pub fn subject(&self) -> Option<Subject> {
        self.subject.parse().ok()
    }
}

impl fmt::Display for AuditedRowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, subject, party } = self;
        match party {
            Some(party) => write!(f, "{table} {subject} at {party}"),
            None => write!(f, "{table} {subject}"),
        }
    }
}

/// Text of a merchant's reseller in the audit trail: its id, or `none`.
#[must_use]
pub fn reseller_text(reseller: Option<ResellerId>) -> String {
    reseller.map_or_else(|| "none".to_owned(), |id| id.to_string())
}

impl AuditedRow {
    /// A row of `resellers`.
    #[must_use]
    pub fn reseller(id: ResellerId) -> Self {
        Self { key: AuditedRowKey::of("resellers", &Subject::Reseller(id)), facts: Facts::new() }
    }

    /// A row of `merchants`.
    #[must_use]
    pub fn merchant(id: MerchantId, reseller: Option<ResellerId>) -> Self {
        let facts = Facts::from([("reseller", reseller_text(reseller))]);
        Self { key: AuditedRowKey::of("merchants", &Subject::Merchant(id)), facts }
    }

    /// A row of `locations`.
    #[must_use]
    pub fn location(id: LocationId, merchant: MerchantId) -> Self {
        let facts = Facts::from([("merchant", merchant.to_string())]);
        Self { key: AuditedRowKey::of("locations", &Subject::Location(id)), facts }
    }

    /// A row of `memberships`.
    #[must_use]
    pub fn member(user: UserId, party: Party, role: Role) -> Self {
        let party = Some(Subject::from(party).to_string());
        let key = AuditedRowKey { party, ..AuditedRowKey::of("memberships", &Subject::User(user)) };
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
        Self { key: AuditedRowKey::of("api_clients", &Subject::Client(id)), facts }
    }
}

/// Rows that must exist according to the events so far.
#[derive(Debug, Default)]
pub struct ExpectedRows(BTreeMap<AuditedRowKey, Facts>);

/// Difference between a row and the audit trail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowMismatch {
    /// The row exists, but no event created it.
    #[error("the row exists, but no event created it")]
    NoEvent,
    /// An event created the row, but the row does not exist.
    #[error("the row is missing, but no event removed it")]
    NoRow,
    /// A column has another value.
    #[error("{column} is {is}, but the audit trail says {says}")]
    Differs {
        /// Name of the column.
        column: &'static str,
        /// Value in the row.
        is: String,
        /// Value in the last event.
        says: String,
    },
}

impl ExpectedRows {
    /// Applies the next event, in the order of their numbers.
    pub fn see(&mut self, event: &AuditEvent) {
        let Some(subject) = &event.subject else { return };
        let detail = |name: &str| event.detail.get(name).cloned();
        let at_party = || AuditedRowKey { party: detail("party"), ..AuditedRowKey::of("memberships", subject) };
        match event.kind {
            AuditKind::ResellerAdded => {
                self.0.insert(AuditedRowKey::of("resellers", subject), Facts::new());
            }
            AuditKind::MerchantAdded => {
                // Events of earlier server versions lack the reseller; then it is not compared.
                let facts = detail("reseller").map(|reseller| ("reseller", reseller)).into_iter().collect();
                self.0.insert(AuditedRowKey::of("merchants", subject), facts);
            }
            AuditKind::LocationAdded => {
                let facts = event.merchant_id.map(|merchant| ("merchant", merchant.to_string())).into_iter().collect();
                self.0.insert(AuditedRowKey::of("locations", subject), facts);
            }
            AuditKind::MemberAdded => {
                let facts = detail("role").map(|role| ("role", role)).into_iter().collect();
                self.0.insert(at_party(), facts);
            }
            AuditKind::MemberRemoved => {
                self.0.remove(&at_party());
            }
            AuditKind::ClientAdded => {
                let mut facts = Facts::from([("revoked", false.to_string())]);
                facts.extend(detail("party").map(|party| ("party", party)));
                facts.extend(detail("role").map(|role| ("role", role)));
                self.0.insert(AuditedRowKey::of("api_clients", subject), facts);
            }
            AuditKind::ClientRevoked => {
                let facts = self.0.entry(AuditedRowKey::of("api_clients", subject)).or_default();
                facts.insert("revoked", true.to_string());
            }
            AuditKind::ClaimRefused
            | AuditKind::MerchantUpdated
            | AuditKind::LocationUpdated
            | AuditKind::ClientRotated
            | AuditKind::SessionStarted
            | AuditKind::SessionEnded
            | AuditKind::SessionsLoggedOut
            | AuditKind::EventsPurged
            | AuditKind::ImportRefused => {}
        }
    }

    /// Returns the first difference between one row and the audit trail; `row` is `None` if the row does not exist.
    #[must_use]
    pub fn compare(&self, key: &AuditedRowKey, row: Option<&Facts>) -> Option<RowMismatch> {
        match (row, self.0.get(key)) {
            (None, None) => None,
            (Some(_), None) => Some(RowMismatch::NoEvent),
            (None, Some(_)) => Some(RowMismatch::NoRow),
            (Some(row), Some(expected)) => expected.iter().find_map(|(column, says)| {
                let is = row.get(column).cloned().unwrap_or_default();
                (is != *says).then(|| RowMismatch::Differs { column, is, says: says.clone() })
            }),
        }
    }

    /// Returns the keys of all rows that must exist.
    pub fn keys(&self) -> impl Iterator<Item = &AuditedRowKey> {
        self.0.keys()
    }
}
