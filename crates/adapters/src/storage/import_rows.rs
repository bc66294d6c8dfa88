//! Rows of imports as both engines keep them, and the way back into the domain.

use std::collections::{HashMap, HashSet};

use diesel::Queryable;
use pos_domain::{
    Act, DeviceDetails, DeviceId, Fingerprint, ImportId, ImportMode, ImportedDevice, LocationId, MerchantId, Party,
    ResellerId, RowRefusal, Scope, Transition,
};
use pos_port_storage::{Import, ImportRef, ImportState, RowResult, RowVerdict, StorageError, UndecidedRow};
use time::OffsetDateTime;
use uuid::Uuid;

use super::audit_rows::act;
use super::failure::Failure;
use super::rows::{CorruptRow, NativeMerchant, Reader, signed};
use super::tenancy_rows::{shown, uuid};

/// The states of an import.
pub(super) const UPLOADING: &str = "uploading";
pub(super) const SEALED: &str = "sealed";
pub(super) const APPLIED: &str = "applied";
pub(super) const REFUSED: &str = "refused";
pub(super) const FORGOTTEN: &str = "forgotten";

/// The outcome of a row that is a device now.
pub(super) const PROVISIONED: &str = "provisioned";

/// How many devices one statement, or one step of a long transaction, creates.
pub(super) const PAGE: usize = 1_000;

/// An owner as both engines keep it.
pub(super) fn owner_text(owner: Scope) -> String {
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

/// What is read of a row of `imports`.
#[derive(Queryable)]
pub(super) struct ImportRow<M> {
    import_id: M,
    owner: String,
    mode: String,
    actor: String,
    origin: Option<String>,
    trace_id: Option<String>,
    fingerprint: Option<Vec<u8>>,
    row_count: Option<i64>,
    state: String,
    refused_row: Option<i64>,
}

/// The columns of an [`ImportRow`].
macro_rules! import_columns {
    () => {{
        use super::schema::imports::dsl;
        (
            dsl::import_id,
            dsl::owner,
            dsl::mode,
            dsl::actor,
            dsl::origin,
            dsl::trace_id,
            dsl::fingerprint,
            dsl::row_count,
            dsl::state,
            dsl::refused_row,
        )
    }};
}

pub(super) use import_columns;

impl<M: NativeMerchant> ImportRow<M> {
    pub(super) fn import(self) -> Result<Import, CorruptRow> {
        let reader = Reader { table: "imports", row: shown(&self.import_id) };
        let number = |column, value: Option<i64>| reader.maybe(column, value, |value| u64::try_from(value).ok());
        let act: Act = act(&reader, &self.actor, self.origin, self.trace_id)?;
        let refused_row = number("refused_row", self.refused_row)?;
        let state = match (self.state.as_str(), refused_row) {
            (SEALED, None) => ImportState::Sealed,
            (APPLIED, None) => ImportState::Applied,
            (REFUSED, Some(row)) => ImportState::Refused { row },
            _ => return Err(reader.corrupt("state cannot be read")),
        };
        let fingerprint = self.fingerprint.and_then(|bytes| bytes.try_into().ok()).map(Fingerprint);
        let id = ImportId(reader.read("import_id", uuid(&self.import_id))?);
        Ok(Import {
            import: ImportRef { id, owner: reader.read("owner", owner(&self.owner))? },
            mode: reader.read("mode", self.mode.parse().ok())?,
            act,
            fingerprint: reader.read("fingerprint", fingerprint)?,
            rows: reader.read("row_count", number("row_count", self.row_count)?)?,
            state,
        })
    }
}

/// A row of `import_rows`, in the order of its columns.
#[derive(Queryable)]
pub(super) struct RowRow<M> {
    import_id: M,
    pub(super) row_number: i64,
    pub(super) device_id: Option<String>,
    merchant_id: Option<M>,
    label: Option<String>,
    location_id: Option<M>,
    outcome: Option<String>,
    detail: Option<String>,
}

impl<M: NativeMerchant> RowRow<M> {
    fn reader(&self) -> Reader {
        Reader { table: "import_rows", row: format!("{} {}", shown(&self.import_id), self.row_number) }
    }

    pub(super) fn device(self) -> Result<ImportedDevice, CorruptRow> {
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

    /// What became of it, in an import of this state.
    pub(super) fn result(self, state: ImportState) -> Result<RowResult, CorruptRow> {
        let reader = self.reader();
        let outcome = match (self.outcome.as_deref(), state) {
            (Some(PROVISIONED), _) | (None, ImportState::Applied) => Ok(()),
            (None, ImportState::Refused { row }) => Err(RowRefusal::NotImported { because_of: row }),
            (None, ImportState::Sealed) => return Err(reader.corrupt("nothing was decided about it")),
            (Some(word), _) => Err(reader.read("outcome", RowRefusal::of(word, self.detail.as_deref()))?),
        };
        let device_id = reader.maybe("device_id", self.device_id, |id| DeviceId::parse(&id).ok())?;
        Ok(RowResult { number: reader.read("row_number", u64::try_from(self.row_number).ok())?, device_id, outcome })
    }
}

/// Undecided rows, with what else there is of their devices: the first row of each, and which are taken.
pub(super) fn undecided<M: NativeMerchant>(
    rows: Vec<RowRow<M>>,
    first: Vec<(Option<String>, Option<i64>)>,
    taken: Vec<String>,
) -> Result<Vec<UndecidedRow>, CorruptRow> {
    let first: HashMap<_, _> = first.into_iter().collect();
    let taken: HashSet<_> = taken.into_iter().collect();
    let row = |row: RowRow<M>| {
        let (number, id) = (row.row_number, row.device_id.clone());
        let earlier = first.get(&id).copied().flatten().filter(|first| *first < number);
        let reader = row.reader();
        Ok(UndecidedRow {
            number: reader.read("row_number", u64::try_from(number).ok())?,
            earlier: reader.maybe("row_number", earlier, |earlier| u64::try_from(earlier).ok())?,
            taken: id.is_some_and(|id| taken.contains(&id)),
            device: row.device()?,
        })
    };
    rows.into_iter().map(row).collect()
}

/// Why an import cannot end that has so many rows, about so many of which something was decided.
pub(super) fn incomplete(import: &Import, rows: i64, decided: i64) -> Option<StorageError> {
    if rows != signed(import.rows) {
        return Some(StorageError::Fault(format!("import {} has lost rows", import.import.id).into()));
    }
    (import.mode == ImportMode::BestEffort && decided != rows)
        .then(|| StorageError::Unavailable("rows of the import are undecided".into()))
}

/// Rows that are to become devices, each with its transition.
pub(super) type NewRows = Vec<(i64, Transition)>;

/// Rows that are refused.
pub(super) type RefusedRows = Vec<(i64, RowRefusal)>;

/// The verdicts over rows that are still open, parted.
pub(super) fn parted(verdicts: &[RowVerdict], open: &HashSet<i64>) -> Result<(NewRows, RefusedRows), Failure> {
    let (mut new, mut refused) = (Vec::new(), Vec::new());
    for RowVerdict { number, verdict } in verdicts {
        let number = signed(*number);
        if !open.contains(&number) {
            continue;
        }
        match verdict {
            Ok(device) if device.expected_version() != 0 => {
                return Err(Failure::fault(format!("device {} is not new", device.device().id())));
            }
            Ok(device) => new.push((number, device.clone())),
            Err(refusal) => refused.push((number, refusal.clone())),
        }
    }
    Ok((new, refused))
}

/// The devices of a page of rows, by the act of their import.
pub(super) fn provisioned<M: NativeMerchant>(
    page: Vec<RowRow<M>>,
    act: &Act,
    now: OffsetDateTime,
) -> Result<NewRows, CorruptRow> {
    let row = |row: RowRow<M>| Ok((row.row_number, row.device()?.provision(act.clone(), now)));
    page.into_iter().map(row).collect()
}

/// Parts devices from those whose id an earlier row of the same call has.
pub(super) fn once_each(new: NewRows) -> (NewRows, RefusedRows) {
    let mut seen = HashSet::new();
    let (first, again): (NewRows, NewRows) =
        new.into_iter().partition(|(_, new)| seen.insert(new.device().id().clone()));
    (first, again.into_iter().map(|(number, _)| (number, RowRefusal::Taken)).collect())
}

/// Parts devices whose id was free from those whose id was taken.
pub(super) fn taken(new: NewRows, free: &HashSet<String>) -> (Vec<i64>, RefusedRows) {
    let (mut created, mut refused) = (Vec::new(), Vec::new());
    for (number, transition) in new {
        if free.contains(transition.device().id().as_str()) {
            created.push(number);
        } else {
            refused.push((number, RowRefusal::Taken));
        }
    }
    (created, refused)
}

/// The merchant and the location that a device is to have.
pub(super) fn place(new: &Transition) -> (Uuid, Option<Uuid>) {
    (new.device().merchant_id().0, new.device().details().location_id.map(|location| location.0))
}

/// Parts devices that have their place from those that have none: places that are not seen or not there are given with
/// whether the merchant is seen.
pub(super) fn placed(new: NewRows, wrong: &HashMap<(Uuid, Option<Uuid>), bool>) -> (NewRows, RefusedRows) {
    let (mut right, mut refused) = (Vec::new(), Vec::new());
    for (number, transition) in new {
        match wrong.get(&place(&transition)) {
            None => right.push((number, transition)),
            Some(true) => refused.push((number, RowRefusal::UnknownLocation)),
            Some(false) => refused.push((number, RowRefusal::UnknownMerchant)),
        }
    }
    (right, refused)
}
