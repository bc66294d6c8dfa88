//! Row types of the audit trail (`device_events`, `audit_events`) and column conversions, shared by both engines.

use std::collections::BTreeMap;
use std::net::IpAddr;

use diesel::Queryable;
use pos_domain::audit::{AuditEvent, Subject};
use pos_domain::device::{ChainTip, DeviceEvent, Transition};
use pos_domain::shared::{AuditContext, DeviceId, TraceId};
use pos_port_storage::audit::StoredAuditEvent;

use crate::rows::reader::{CorruptRow, NativeInstant, NativeMerchant, Reader, digest, signed};

pub(crate) fn audit_context(
    reader: &Reader,
    actor: &str,
    client_ip: Option<String>,
    trace_id: Option<String>,
) -> Result<AuditContext, CorruptRow> {
    Ok(AuditContext {
        actor: actor.parse().map_err(|unknown| reader.corrupt(unknown))?,
        client_ip: reader.maybe("client_ip", client_ip, |text| text.parse().ok())?,
        trace_id: reader.maybe("trace_id", trace_id, |text| TraceId::parse(&text))?,
    })
}

/// A row of `device_events`, in the order of its columns.
#[derive(Queryable)]
pub(crate) struct EventRow<M, T> {
    device_id: String,
    sequence: i64,
    merchant_id: M,
    at: T,
    actor: String,
    kind: String,
    client_ip: Option<String>,
    trace_id: Option<String>,
    hash: Option<Vec<u8>>,
}

impl<M: NativeMerchant, T: NativeInstant> EventRow<M, T> {
    pub(crate) fn event(self) -> Result<DeviceEvent, CorruptRow> {
        let reader = Reader { table: "device_events", row: format!("{} {}", self.device_id, self.sequence) };
        Ok(DeviceEvent {
            device_id: reader.read("device_id", DeviceId::parse(&self.device_id).ok())?,
            sequence: reader.read("sequence", u64::try_from(self.sequence).ok())?,
            merchant_id: reader.read("merchant_id", self.merchant_id.merchant())?,
            at: reader.instant("at", self.at)?,
            audit_context: audit_context(&reader, &self.actor, self.client_ip, self.trace_id)?,
            kind: self.kind.parse().map_err(|unknown| reader.corrupt(unknown))?,
            hash: reader.maybe("hash", self.hash, |bytes| digest(&bytes))?,
        })
    }
}

/// A row of `audit_events`, in the order of its columns.
#[derive(Queryable)]
pub(crate) struct AuditRow<M, T> {
    number: i64,
    at: T,
    actor: String,
    client_ip: Option<String>,
    trace_id: Option<String>,
    merchant_id: Option<M>,
    kind: String,
    subject: Option<String>,
    detail: String,
    hash: Option<Vec<u8>>,
}

impl<M: NativeMerchant, T: NativeInstant> AuditRow<M, T> {
    pub(crate) fn stored(self) -> Result<StoredAuditEvent, CorruptRow> {
        let reader = Reader { table: "audit_events", row: self.number.to_string() };
        let detail: Result<BTreeMap<String, String>, _> = serde_json::from_str(&self.detail);
        let event = AuditEvent {
            at: reader.instant("at", self.at)?,
            audit_context: audit_context(&reader, &self.actor, self.client_ip, self.trace_id)?,
            merchant_id: reader.maybe("merchant_id", self.merchant_id, |merchant| merchant.merchant())?,
            kind: self.kind.parse().map_err(|unknown| reader.corrupt(unknown))?,
            subject: reader.maybe("subject", self.subject, |subject| subject.parse().ok())?,
            detail: reader.read("detail", detail.ok())?,
        };
        let hash = reader.maybe("hash", self.hash, |bytes| digest(&bytes))?;
        Ok(StoredAuditEvent { number: reader.read("number", u64::try_from(self.number).ok())?, event, hash })
    }
}

/// The column `hash`.
pub(crate) fn digest_bytes(event: &AuditEvent) -> Vec<u8> {
    event.digest().0.to_vec()
}

/// The column of the client's address.
pub(crate) fn client_ip_text(audit_context: &AuditContext) -> Option<String> {
    audit_context.client_ip.as_ref().map(IpAddr::to_string)
}

/// The column `trace_id`.
pub(crate) fn trace_text(audit_context: &AuditContext) -> Option<String> {
    audit_context.trace_id.as_ref().map(TraceId::to_string)
}

/// The column `subject`.
pub(crate) fn subject_text(event: &AuditEvent) -> Option<String> {
    event.subject.as_ref().map(Subject::to_string)
}

/// The column `detail`: a JSON object.
pub(crate) fn detail_text(event: &AuditEvent) -> String {
    // Serialising a map of strings cannot fail.
    serde_json::to_string(&event.detail).unwrap_or_else(|_| "{}".to_owned())
}

/// The start and the last hash of a device's hash chain after a transition.
pub(crate) fn chain_columns(transition: &Transition) -> (Option<i64>, Option<Vec<u8>>) {
    let chain: Option<ChainTip> = transition.device().chain();
    (chain.map(|chain| signed(chain.start)), chain.map(|chain| chain.hash.0.to_vec()))
}
