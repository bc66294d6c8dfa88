//! Tables and pages of the `list` commands.

use anyhow::Context as _;
use pos_domain::shared::{MerchantId, Party, ResellerId, Scope};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::cli::{AnyParty, OneParty, Page};
use crate::output::{Lines, note};

/// Columns of a table: title, width, and the field of the JSON object.
pub(super) type Columns<'c> = &'c [(&'c str, usize, &'c str)];

/// Prints rows that are JSON objects, as JSON lines or as a table. If there may be more rows, prints a hint with the last
/// row's `key`.
pub(super) fn print(rows: &[Value], columns: Columns<'_>, page: &Page, key: &str) -> anyhow::Result<()> {
    let mut out = Lines::new();
    if !page.json {
        let titles: Vec<_> = columns.iter().map(|(title, width, _)| format!("{title:<width$}")).collect();
        out.line(titles.join(" ").trim_end())?;
    }
    for row in rows {
        if page.json {
            out.line(row)?;
        } else {
            let cell = |(_, width, field): &(&str, usize, &str)| {
                format!("{:<width$}", row.get(field).and_then(Value::as_str).unwrap_or("-"))
            };
            let cells: Vec<_> = columns.iter().map(cell).collect();
            out.line(cells.join(" ").trim_end())?;
        }
    }
    out.finish()?;
    if let Some(last) = rows.last().filter(|_| rows.len() as u64 == u64::from(page.limit)) {
        note!("there may be more: --after {}", last.get(key).and_then(Value::as_str).unwrap_or_default());
    }
    Ok(())
}

/// Parses `--after` of a list whose ids are UUIDs.
pub(super) fn after(page: &Page) -> anyhow::Result<Option<Uuid>> {
    page.after.as_deref().map(|text| text.parse().with_context(|| format!("--after {text:?}"))).transpose()
}

/// JSON fields of a party.
pub(super) fn describe(party: Party) -> Value {
    json!({
        "merchant_id": party.merchant().map(|id| id.to_string()),
        "reseller_id": party.reseller().map(|id| id.to_string()),
    })
}

/// Merges the fields of `more` into `fields`.
pub(super) fn with(mut fields: Value, more: Value) -> Value {
    if let (Some(fields), Value::Object(more)) = (fields.as_object_mut(), more) {
        fields.extend(more);
    }
    fields
}

pub(super) fn rfc3339(at: OffsetDateTime) -> anyhow::Result<String> {
    Ok(at.replace_nanosecond(0)?.format(&Rfc3339)?)
}

impl OneParty {
    pub(super) fn party(self) -> anyhow::Result<Party> {
        party(self.merchant, self.reseller).context("--merchant or --reseller is required")
    }
}

impl AnyParty {
    pub(super) fn scope(self) -> Scope {
        party(self.merchant, self.reseller).map_or(Scope::Operator, Scope::Of)
    }
}

fn party(merchant: Option<Uuid>, reseller: Option<Uuid>) -> Option<Party> {
    let merchant = merchant.map(|id| Party::Merchant(MerchantId(id)));
    merchant.or(reseller.map(|id| Party::Reseller(ResellerId(id))))
}

/// Error message for an unknown party.
pub(super) fn unknown(party: Party) -> String {
    match party {
        Party::Merchant(id) => format!(
            "there is no merchant {id}: add it with `pos-server merchant add --name NAME --id {id}`; `pos-server merchant \
             list` lists the existing ones"
        ),
        Party::Reseller(id) => {
            format!("there is no reseller {id}: `pos-server reseller list` lists the existing ones")
        }
    }
}
