//! Rows of the audit trail as both engines keep them: `device_events` and `audit_events`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use diesel::Queryable;
use pos_domain::{Act, AuditEvent, ChainHead, DeviceEvent, DeviceId, Subject, TraceId, Transition};
use pos_port_storage::KeptAuditEvent;

use super::rows::{CorruptRow, NativeInstant, NativeMerchant, Reader, digest};

pub(super) fn act(
    reader: &Reader,
    actor: &str,
    origin: Option<String>,
    trace_id: Option<String>,
) -> Result<Act, CorruptRow> {
    Ok(Act {
        actor: actor.parse().map_err(|unknown| reader.corrupt(unknown))?,
        origin: reader.maybe("origin", origin, |text| text.parse().ok())?,
        trace_id: reader.maybe("trace_id", trace_id, |text| TraceId::parse(&text))?,
    })
}

/// A row of `device_events`, in the order of its columns.
#[derive(Queryable)]
pub(super) struct EventRow<M, T> {
    device_id: String,
    sequence: i64,
    merchant_id: M,
    at: T,
    actor: String,
    kind: String,
    origin: Option<String>,
    trace_id: Option<String>,
    hash: Option<Vec<u8>>,
}

impl<M: NativeMerchant, T: NativeInstant> EventRow<M, T> {
    pub(super) fn event(self) -> Result<DeviceEvent, CorruptRow> {
        let reader = Reader { table: "device_events", row: format!("{} {}", self.device_id, self.sequence) };
        Ok(DeviceEvent {
            device_id: reader.read("device_id", DeviceId::parse(&self.device_id).ok())?,
            sequence: reader.read("sequence", u64::try_from(self.sequence).ok())?,
            merchant_id: reader.read("merchant_id", self.merchant_id.merchant())?,
            at: reader.instant("at", self.at)?,
            act: act(&reader, &self.actor, self.origin, self.trace_id)?,
            kind: self.kind.parse().map_err(|unknown| reader.corrupt(unknown))?,
            hash: reader.maybe("hash", self.hash, |bytes| digest(&bytes))?,
        })
    }
}

/// A row of `audit_events`, in the order of its columns.
#[derive(Queryable)]
pub(super) struct AuditRow<M, T> {
    number: i64,
    at: T,
    actor: String,
    origin: Option<String>,
    trace_id: Option<String>,
    merchant_id: Option<M>,
    kind: String,
    subject: Option<String>,
    detail: String,
    hash: Option<Vec<u8>>,
}

impl<M: NativeMerchant, T: NativeInstant> AuditRow<M, T> {
    pub(super) fn kept(self) -> Result<KeptAuditEvent, CorruptRow> {
        let reader = Reader { table: "audit_events", row: self.number.to_string() };
        let detail: Result<BTreeMap<String, String>, _> = serde_json::from_str(&self.detail);
        let event = AuditEvent {
            at: reader.instant("at", self.at)?,
            act: act(&reader, &self.actor, self.origin, self.trace_id)?,
            merchant_id: reader.maybe("merchant_id", self.merchant_id, |merchant| merchant.merchant())?,
            kind: self.kind.parse().map_err(|unknown| reader.corrupt(unknown))?,
            subject: reader.maybe("subject", self.subject, |subject| subject.parse().ok())?,
            detail: reader.read("detail", detail.ok())?,
        };
        let hash = reader.maybe("hash", self.hash, |bytes| digest(&bytes))?;
        Ok(KeptAuditEvent { number: reader.read("number", u64::try_from(self.number).ok())?, event, hash })
    }
}

/// Its digest, as both engines keep it.
pub(super) fn digest_bytes(event: &AuditEvent) -> Vec<u8> {
    event.digest().0.to_vec()
}

/// From where, as both engines keep it.
pub(super) fn origin_text(act: &Act) -> Option<String> {
    act.origin.as_ref().map(IpAddr::to_string)
}

/// By which call, as both engines keep it.
pub(super) fn trace_text(act: &Act) -> Option<String> {
    act.trace_id.as_ref().map(TraceId::to_string)
}

/// To what, as both engines keep it.
pub(super) fn subject_text(event: &AuditEvent) -> Option<String> {
    event.subject.as_ref().map(Subject::to_string)
}

/// What else there is to say, as both engines keep it.
pub(super) fn detail_text(event: &AuditEvent) -> String {
    // A map of texts cannot fail to be written.
    serde_json::to_string(&event.detail).unwrap_or_else(|_| "{}".to_owned())
}

/// The start and the end of a device's chain after a transition.
pub(super) fn chain_columns(transition: &Transition) -> (Option<i64>, Option<Vec<u8>>) {
    let chain: Option<ChainHead> = transition.device().chain();
    (chain.map(|chain| super::rows::signed(chain.start)), chain.map(|chain| chain.hash.0.to_vec()))
}
