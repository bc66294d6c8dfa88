//! Row types of imports, shared by both engines, and the splitting of rows into created and refused ones.

use std::collections::{HashMap, HashSet};

use diesel::Queryable;
use pos_domain::device::{DeviceDetails, Transition};
use pos_domain::fleet::{ImportId, ImportMode, ImportedDevice, RowRefusal};
use pos_domain::shared::{AuditContext, DeviceId, Fingerprint, LocationId, MerchantId, Party, ResellerId, Scope};
use pos_port_storage::fleet::{Import, ImportRef, ImportState, PendingRow, RowDecision, RowResult};
use pos_port_storage::shared::StorageError;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::engine_error::EngineError;
use crate::rows::audit::audit_context;
use crate::rows::reader::{CorruptRow, NativeMerchant, Reader, signed};
use crate::rows::reader::{id_text, uuid};

/// The values of `imports.state`.
pub(crate) const UPLOADING: &str = "uploading";
pub(crate) const UPLOADED: &str = "uploaded";
pub(crate) const APPLIED: &str = "applied";
pub(crate) const REFUSED: &str = "refused";
pub(crate) const DISCARDED: &str = "discarded";

/// The outcome of a row whose device was created.
pub(crate) const PROVISIONED: &str = "provisioned";

/// How many devices one statement creates in a long transaction.
pub(crate) const PAGE: usize = 1_000;

/// The column `owner`.
pub(crate) fn owner_text(owner: Scope) -> String {
    match owner {
        Scope::Operator => "operator".to_owned(),
        Scope::Of(Party::Merchant(id)) => format!("merchant:{id}"),
        Scope::Of(Party::Reseller(id)) => format!("reseller:{id}"),
    }
}

fn owner(text: &str) -> Option<Scope> {
    match text.split_once(':') {
        None => (text == "operator").then_some(Scope::Operator),
        Some(("merchant", id)) => Some(Scope::Of(Party::Merchant(MerchantId(Uuid::try_parse(id).ok()?)))),
        Some(("reseller", id)) => Some(Scope::Of(Party::Reseller(ResellerId(Uuid::try_parse(id).ok()?)))),
        Some(_) => None,
    }
}

/// The columns that are read of `imports`, in the order of `import_columns`.
#[derive(Queryable)]
pub(crate) struct ImportRow<M> {
    import_id: M,
    owner: String,
    mode: String,
    actor: String,
    client_ip: Option<String>,
    trace_id: Option<String>,
    fingerprint: Option<Vec<u8>>,
    row_count: Option<i64>,
    state: String,
    refused_row: Option<i64>,
}

/// The columns of an [`ImportRow`].
macro_rules! import_columns {
    () => {{
        use schema::imports::dsl;
        (
            dsl::import_id,
            dsl::owner,
            dsl::mode,
            dsl::actor,
            dsl::client_ip,
            dsl::trace_id,
            dsl::fingerprint,
            dsl::row_count,
            dsl::state,
            dsl::refused_row,
        )
    }};
}

pub(crate) use import_columns;

impl<M: NativeMerchant> ImportRow<M> {
    pub(crate) fn import(self) -> Result<Import, CorruptRow> {
        let reader = Reader { table: "imports", row: id_text(&self.import_id) };
        let number = |column, value: Option<i64>| reader.maybe(column, value, |value| u64::try_from(value).ok());
        let audit_context: AuditContext = audit_context(&reader, &self.actor, self.client_ip, self.trace_id)?;
        let refused_row = number("refused_row", self.refused_row)?;
        let state = match (self.state.as_str(), refused_row) {
            (UPLOADED, None) => ImportState::Uploaded,
            (APPLIED, None) => ImportState::Applied,
            (REFUSED, Some(row)) => ImportState::Refused { row },
            _ => return Err(reader.corrupt("state cannot be read")),
        };
        let fingerprint = self.fingerprint.and_then(|bytes| bytes.try_into().ok()).map(Fingerprint);
        let id = ImportId(reader.read("import_id", uuid(&self.import_id))?);
        Ok(Import {
            import: ImportRef { id, owner: reader.read("owner", owner(&self.owner))? },
            mode: reader.read("mode", self.mode.parse().ok())?,
            audit_context,
            fingerprint: reader.read("fingerprint", fingerprint)?,
            rows: reader.read("row_count", number("row_count", self.row_count)?)?,
            state,
        })
    }
}

/// A row of `import_rows`, in the order of its columns.
#[derive(Queryable)]
pub(crate) struct ImportRowRecord<M> {
    import_id: M,
    pub(crate) row_number: i64,
    pub(crate) device_id: Option<String>,
    merchant_id: Option<M>,
    label: Option<String>,
    location_id: Option<M>,
    outcome: Option<String>,
    detail: Option<String>,
}

impl<M: NativeMerchant> ImportRowRecord<M> {
    fn reader(&self) -> Reader {
        Reader { table: "import_rows", row: format!("{} {}", id_text(&self.import_id), self.row_number) }
    }

    pub(crate) fn device(self) -> Result<ImportedDevice, CorruptRow> {
        let reader = self.reader();
        let id = self.device_id.and_then(|id| DeviceId::parse_new(&id).ok());
        Ok(ImportedDevice {
            id: reader.read("device_id", id)?,
            merchant_id: reader.read("merchant_id", self.merchant_id.and_then(|id| id.merchant()))?,
            details: DeviceDetails {
                label: self.label.map(|label| reader.name("label", &label)).transpose()?,
                location_id: reader.maybe("location_id", self.location_id, |id| uuid(&id).map(LocationId))?,
            },
        })
    }

    /// The result of the row, in an import of this state.
    pub(crate) fn result(self, state: ImportState) -> Result<RowResult, CorruptRow> {
        let reader = self.reader();
        let outcome = match (self.outcome.as_deref(), state) {
            (Some(PROVISIONED), _) | (None, ImportState::Applied) => Ok(()),
            (None, ImportState::Refused { row }) => Err(RowRefusal::NotImported { because_of: row }),
            (None, ImportState::Uploaded) => return Err(reader.corrupt("the row is pending")),
            (Some(word), _) => Err(reader.read("outcome", RowRefusal::of(word, self.detail.as_deref()))?),
        };
        let device_id = reader.maybe("device_id", self.device_id, |id| DeviceId::parse(&id).ok())?;
        Ok(RowResult { number: reader.read("row_number", u64::try_from(self.row_number).ok())?, device_id, outcome })
    }
}

/// Converts pending rows. `first` has the first row of each device id, `taken` the ids of existing devices.
pub(crate) fn to_pending_rows<M: NativeMerchant>(
    rows: Vec<ImportRowRecord<M>>,
    first: Vec<(Option<String>, Option<i64>)>,
    taken: Vec<String>,
) -> Result<Vec<PendingRow>, CorruptRow> {
    let first: HashMap<_, _> = first.into_iter().collect();
    let taken: HashSet<_> = taken.into_iter().collect();
    let row = |row: ImportRowRecord<M>| {
        let (number, id) = (row.row_number, row.device_id.clone());
        let earlier = first.get(&id).copied().flatten().filter(|first| *first < number);
        let reader = row.reader();
        Ok(PendingRow {
            number: reader.read("row_number", u64::try_from(number).ok())?,
            earlier: reader.maybe("row_number", earlier, |earlier| u64::try_from(earlier).ok())?,
            taken: id.is_some_and(|id| taken.contains(&id)),
            device: row.device()?,
        })
    };
    rows.into_iter().map(row).collect()
}

/// Why an import with these row counts cannot be completed. `None` if it can.
pub(crate) fn check_row_counts(import: &Import, rows: i64, decided: i64) -> Option<StorageError> {
    if rows != signed(import.rows) {
        return Some(StorageError::Fault(format!("rows of import {} are missing", import.import.id).into()));
    }
    (import.mode == ImportMode::BestEffort && decided != rows)
        .then(|| StorageError::Unavailable("rows of the import are pending".into()))
}

/// Rows that become devices, each with its number and transition.
pub(crate) type NewRows = Vec<(i64, Transition)>;

/// Refused rows, each with its number and reason.
pub(crate) type RefusedRows = Vec<(i64, RowRefusal)>;

/// Splits the decisions about pending rows into new devices and refusals. Decisions about other rows are ignored.
pub(crate) fn split_decisions(
    decisions: &[RowDecision],
    pending: &HashSet<i64>,
) -> Result<(NewRows, RefusedRows), EngineError> {
    let (mut new, mut refused) = (Vec::new(), Vec::new());
    for RowDecision { number, decision } in decisions {
        let number = signed(*number);
        if !pending.contains(&number) {
            continue;
        }
        match decision {
            Ok(device) if device.expected_version() != 0 => {
                return Err(EngineError::fault(format!("device {} is not new", device.device().id())));
            }
            Ok(device) => new.push((number, device.clone())),
            Err(refusal) => refused.push((number, refusal.clone())),
        }
    }
    Ok((new, refused))
}

/// Converts a page of rows to new devices, with the audit context of their import.
pub(crate) fn provision_rows<M: NativeMerchant>(
    page: Vec<ImportRowRecord<M>>,
    audit_context: &AuditContext,
    now: OffsetDateTime,
) -> Result<NewRows, CorruptRow> {
    let row = |row: ImportRowRecord<M>| Ok((row.row_number, row.device()?.provision(audit_context.clone(), now)));
    page.into_iter().map(row).collect()
}

/// Refuses rows whose device id an earlier row of the same call has.
pub(crate) fn split_repeated(new: NewRows) -> (NewRows, RefusedRows) {
    let mut seen = HashSet::new();
    let (first, repeated): (NewRows, NewRows) =
        new.into_iter().partition(|(_, new)| seen.insert(new.device().id().clone()));
    (first, repeated.into_iter().map(|(number, _)| (number, RowRefusal::Taken)).collect())
}

/// Refuses rows whose device was not added because its id is taken. Returns the numbers of the other rows first.
pub(crate) fn split_taken(new: NewRows, added: &HashSet<String>) -> (Vec<i64>, RefusedRows) {
    let (mut created, mut refused) = (Vec::new(), Vec::new());
    for (number, transition) in new {
        if added.contains(transition.device().id().as_str()) {
            created.push(number);
        } else {
            refused.push((number, RowRefusal::Taken));
        }
    }
    (created, refused)
}

/// The merchant and the location of a new device.
pub(crate) fn merchant_and_location(new: &Transition) -> (Uuid, Option<Uuid>) {
    (new.device().merchant_id().0, new.device().details().location_id.map(|location| location.0))
}

/// Refuses rows with an unknown merchant or location. The value in `unknown` says whether the merchant is known.
pub(crate) fn split_by_location(new: NewRows, unknown: &HashMap<(Uuid, Option<Uuid>), bool>) -> (NewRows, RefusedRows) {
    let (mut known, mut refused) = (Vec::new(), Vec::new());
    for (number, transition) in new {
        match unknown.get(&merchant_and_location(&transition)) {
            None => known.push((number, transition)),
            Some(true) => refused.push((number, RowRefusal::UnknownLocation)),
            Some(false) => refused.push((number, RowRefusal::UnknownMerchant)),
        }
    }
    (known, refused)
}
