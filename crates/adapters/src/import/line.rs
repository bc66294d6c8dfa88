use pos_application::ImportTotals;
use pos_port_storage::RowResult;
use serde::Serialize;

/// What became of one row, as a line of JSON.
#[derive(Debug, Serialize)]
pub struct RowLine {
    row: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<String>,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// What all rows came to, as the last line of JSON. A report without it is cut short.
#[derive(Debug, Serialize)]
pub struct TotalsLine {
    rows: u64,
    provisioned: u64,
    refused: u64,
}

/// The line of a row.
#[must_use]
pub fn row_line(result: &RowResult) -> RowLine {
    let refusal = result.outcome.as_ref().err();
    RowLine {
        row: result.number,
        device_id: result.device_id.as_ref().map(ToString::to_string),
        result: if refusal.is_none() { "provisioned" } else { "refused" },
        reason: refusal.map(pos_domain::RowRefusal::word),
        message: refusal.map(ToString::to_string),
    }
}

/// The line of the totals.
#[must_use]
pub fn totals_line(totals: ImportTotals) -> TotalsLine {
    let ImportTotals { rows, provisioned, refused } = totals;
    TotalsLine { rows, provisioned, refused }
}
