//! Row types of claim failures, shared by both engines, and their conversion to attempt counts.

use diesel::Queryable;
use pos_domain::shared::Claimant;
use pos_domain::shared::{AttemptCounts, FailureWindow};

use crate::rows::reader::{CorruptRow, NativeInstant, Reader};

/// A row of `claim_failures`, in the order of its columns.
#[derive(Queryable)]
pub(crate) struct FailureRow<T> {
    scope: String,
    subject: String,
    window_started_at: T,
    failures: i64,
}

/// The values of `claim_failures.scope`.
pub(crate) const MERCHANT: &str = "merchant";
pub(crate) const USER: &str = "user";

/// The subject of a merchant's row.
pub(crate) fn merchant_subject(claimant: &Claimant) -> String {
    claimant.merchant_id.to_string()
}

/// Converts the rows of a claimant, at most one per scope, to its attempt counts.
pub(crate) fn attempt_counts<T: NativeInstant>(rows: Vec<FailureRow<T>>) -> Result<AttemptCounts, CorruptRow> {
    let mut attempt_counts = AttemptCounts::default();
    for row in rows {
        let reader = Reader { table: "claim_failures", row: format!("{} {}", row.scope, row.subject) };
        let window = FailureWindow {
            started_at: reader.instant("window_started_at", row.window_started_at)?,
            failures: reader.read("failures", u32::try_from(row.failures).ok())?,
        };
        match row.scope.as_str() {
            MERCHANT => attempt_counts.merchant = Some(window),
            USER => attempt_counts.user = Some(window),
            _ => return Err(reader.corrupt("scope cannot be read")),
        }
    }
    Ok(attempt_counts)
}
