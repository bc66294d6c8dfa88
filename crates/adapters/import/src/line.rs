//! Lines of the import report (JSON Lines).

use pos_application::fleet::ImportTotals;
use pos_port_storage::fleet::RowResult;
use serde::Serialize;

/// The result of one row, as a line of JSON.
#[derive(Debug, Serialize)]
struct RowLine {
    row: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<String>,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// The totals, as the last line of JSON. A report without this line is incomplete.
#[derive(Debug, Serialize)]
struct TotalsLine {
    rows: u64,
    provisioned: u64,
    refused: u64,
}

/// Returns the report line of a row.
pub(crate) fn row_line(result: &RowResult) -> String {
    let refusal = result.outcome.as_ref().err();
    to_json(&RowLine {
        row: result.number,
        device_id: result.device_id.as_ref().map(ToString::to_string),
        result: if refusal.is_none() { "provisioned" } else { "refused" },
        reason: refusal.map(pos_domain::fleet::RowRefusal::word),
        message: refusal.map(ToString::to_string),
    })
}

/// Returns the report line of the totals.
pub(crate) fn totals_line(totals: ImportTotals) -> String {
    let ImportTotals { rows, provisioned, refused } = totals;
    to_json(&TotalsLine { rows, provisioned, refused })
}

fn to_json(line: &impl Serialize) -> String {
    // Serializing strings and numbers cannot fail.
    serde_json::to_string(line).unwrap_or_default()
}
