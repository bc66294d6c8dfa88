//! Simulated merchant users: they claim with current, old and foreign codes, race each other, and release, decommission
//! and provision devices.

use std::sync::Arc;
use std::time::Duration;

use pos_terminal::ApiError;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::fleet::{Device, DisplayedCode, Slot};
use crate::model::{Call, Outcome, SECOND};
use crate::portal::{CallFailure, Portal, Request, Success};
use crate::replica::Replica;
use crate::scenario::ScenarioContext;
use crate::time::now;

/// How often a creation request is sent at most.
const ATTEMPTS: usize = 6;

/// The users of one merchant.
pub(crate) struct MerchantWorker {
    pub(crate) context: Arc<ScenarioContext>,
    pub(crate) merchant: usize,
    /// One portal session for each user.
    pub(crate) portals: Vec<Portal>,
}

impl MerchantWorker {
    /// Makes random calls as one user, until the scenario stops.
    pub(crate) async fn run(&self, user: usize, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        while !self.context.is_stopping() {
            // More calls while clients disconnect.
            let pause = if self.context.is_disconnecting() { 100..300 } else { 400..1_400 };
            tokio::time::sleep(Duration::from_millis(random.random_range(pause))).await;
            if self.context.is_disconnecting() && random.random_ratio(1, 8) {
                self.provision(user, &mut random).await;
            } else {
                self.step(user, &mut random).await;
            }
        }
    }

    async fn step(&self, user: usize, random: &mut StdRng) {
        let slots = &self.context.fleet.slots;
        let own: Vec<&Slot> = slots.iter().filter(|slot| slot.merchant == self.merchant).collect();
        let Some(slot) = own.get(random.random_range(0..own.len().max(1))) else { return };
        let device = slot.device();
        if device.is_unresolved() {
            return;
        }
        let dice = random.random_range(0..100);
        if let Some(code) = device.displayed_code() {
            match dice {
                0..45 => self.claim(user, &device, &code, true, random).await,
                // Two users of the merchant claim with the same code at the same time.
                45..70 => {
                    let mut other = StdRng::seed_from_u64(random.random());
                    futures_util::join!(
                        self.claim(user, &device, &code, true, random),
                        self.claim(user + 1, &device, &code, true, &mut other)
                    );
                }
                70..74 => self.decommission(user, slot, &device, random).await,
                _ => self.claim_foreign(user, random).await,
            }
        } else if device.claimed_since().is_some_and(|since| now() - since > 3 * SECOND) {
            match dice {
                0..50 => self.release(user, &device, random).await,
                50..53 => self.decommission(user, slot, &device, random).await,
                _ => self.claim_old(user, &device, random).await,
            }
        } else {
            self.claim_old(user, &device, random).await;
        }
    }

    /// Claims another merchant's terminal.
    async fn claim_foreign(&self, user: usize, random: &mut StdRng) {
        let slots = &self.context.fleet.slots;
        let Some(slot) = slots.get(random.random_range(0..slots.len().max(1))) else { return };
        let device = slot.device();
        let is_foreign = slot.merchant != self.merchant && !device.is_unresolved();
        if let Some(code) = device.displayed_code().filter(|_| is_foreign) {
            self.claim(user, &device, &code, false, random).await;
        }
    }

    /// Claims with a code that is no longer displayed.
    async fn claim_old(&self, user: usize, device: &Device, random: &mut StdRng) {
        if let Some(code) = device.earlier_code().filter(|_| random.random_ratio(1, 3)) {
            self.claim(user, device, &code, true, random).await;
        }
    }

    async fn claim(&self, user: usize, device: &Device, code: &DisplayedCode, owner: bool, random: &mut StdRng) {
        let Some((portal, replica)) = self.choose_server(user, random) else { return };
        let mut body = json!({ "pairing_code": code.symbols });
        if random.random_ratio(1, 2)
            && let Some(body) = body.as_object_mut()
        {
            body.insert("device_id".to_owned(), Value::from(device.id.as_str()));
        }
        let request = post("claim", "/pos/claim", Some(body), &device.id);
        let call = Call::Claim { code: code.call, owner };
        let judge = |error: &ApiError| match (error.http_status, error.message.as_str()) {
            (400, "Pairing code has already been used") => Some(Outcome::CodeUsed),
            (400, "Pairing code has expired") => Some(Outcome::CodeExpired),
            (403, _) => Some(Outcome::NotOwner),
            _ => None,
        };
        // A code that two devices got, one in a thousand million, identifies neither device.
        let excused = |error: &ApiError| error.http_status == 400 && self.context.fleet.is_shared(&code.symbols);
        let sent = (call, Outcome::Claimed, "claimed");
        self.change(portal, &replica, device, &request, sent, judge, excused, random).await;
    }

    async fn release(&self, user: usize, device: &Device, random: &mut StdRng) {
        let Some((portal, replica)) = self.choose_server(user, random) else { return };
        let path = format!("/merchant/devices/{}/release", device.id);
        let judge = |error: &ApiError| match (error.http_status, error.code.as_str()) {
            (400, "4220") if error.message.contains("decommissioned") => Some(Outcome::WasDecommissioned),
            (400, "4220") => Some(Outcome::NotClaimed),
            _ => None,
        };
        let sent = (Call::Release, Outcome::Released, "released");
        self.change(
            portal,
            &replica,
            device,
            &post("release", &path, None, &device.id),
            sent,
            judge,
            |_| false,
            random,
        )
        .await;
    }

    async fn decommission(&self, user: usize, slot: &Slot, device: &Arc<Device>, random: &mut StdRng) {
        let Some((portal, replica)) = self.choose_server(user, random) else { return };
        let path = format!("/merchant/devices/{}/decommission", device.id);
        let judge = |error: &ApiError| {
            ((error.http_status, error.code.as_str()) == (400, "4220")).then_some(Outcome::WasDecommissioned)
        };
        let sent = (Call::Decommission, Outcome::Decommissioned, "decommissioned");
        let request = post("decommission", &path, None, &device.id);
        let decommissioned = self.change(portal, &replica, device, &request, sent, judge, |_| false, random).await;
        if decommissioned && let Some(id) = self.provision(user, random).await {
            // If two users decommissioned the device, the first of them replaces it.
            if Arc::ptr_eq(&slot.device(), device) {
                self.context.fleet.replace(slot, id);
            }
        }
    }

    /// Sends a change of one device. True if the response says that the change, or an equal one before, took effect.
    #[expect(clippy::too_many_arguments, reason = "user, server, device, call, and how to interpret its responses")]
    async fn change(
        &self,
        portal: &Portal,
        replica: &Replica,
        device: &Device,
        request: &Request<'_>,
        (call, success, kind): (Call, Outcome, &'static str),
        judge: impl Fn(&ApiError) -> Option<Outcome>,
        excused: impl Fn(&ApiError) -> bool,
        random: &mut StdRng,
    ) -> bool {
        let sent = device.begin(call, replica);
        if self.context.is_disconnecting() && random.random() {
            if portal.send_and_disconnect(replica, request, random).await {
                device.mark_lost(sent, replica);
            } else {
                device.withdraw(sent);
            }
            return false;
        }
        match portal.call(replica, request, random).await {
            Ok(Success { trace_id, .. }) => {
                self.context.fleet.acknowledged().changes.push((device.id.clone(), kind, trace_id));
                device.check_response(sent, success, replica, &self.context.history);
                return true;
            }
            Err(CallFailure::Refused(error)) => match judge(&error) {
                Some(outcome) => {
                    device.check_response(sent, outcome, replica, &self.context.history);
                    return outcome == Outcome::WasDecommissioned;
                }
                None => {
                    if !excused(&error) {
                        let what = format!("{} of {} at {}: {error}", request.name, device.id, replica.name);
                        self.context.history.violation(what, device.checker().recent_calls());
                    }
                    device.mark_lost(sent, replica);
                }
            },
            Err(CallFailure::Lost) => device.mark_lost(sent, replica),
            Err(CallFailure::Unauthenticated) => device.withdraw(sent),
        }
        false
    }

    /// Provisions one device, with retries under one idempotency key.
    async fn provision(&self, user: usize, random: &mut StdRng) -> Option<String> {
        let key = Uuid::new_v4().to_string();
        let request = Request {
            name: "provision",
            method: Method::POST,
            path: "/merchant/devices",
            body: Some(json!({ "label": key })),
            key: Some(&key),
            device: None,
        };
        self.context.fleet.acknowledged().created.insert(key.clone(), None);
        let mut known: Option<String> = None;
        for attempt in 0..ATTEMPTS {
            let (portal, replica) = self.choose_server(user, random)?;
            // The same request is repeated at once, at this server or another one.
            if self.context.is_disconnecting()
                && portal.send_and_disconnect(&replica, &request, random).await
                && random.random()
            {
                continue;
            }
            match portal.call(&replica, &request, random).await {
                Ok(Success { body, replayed, .. }) => {
                    let id = body.get("device_id").and_then(Value::as_str).unwrap_or_default().to_owned();
                    if known.as_ref().is_some_and(|known| *known != id) || (known.is_some() && !replayed) {
                        let what = format!("provision: one key returned {known:?} and {id}, replayed: {replayed}");
                        self.context.history.violation(what, Vec::new());
                    }
                    self.context.fleet.acknowledged().created.insert(key.clone(), Some(id.clone()));
                    // Half of the successful requests are repeated once more.
                    if known.replace(id).is_some() || random.random_ratio(1, 2) {
                        break;
                    }
                }
                Err(CallFailure::Refused(error)) => {
                    self.context.history.violation(format!("provision: {error}"), Vec::new());
                    break;
                }
                Err(CallFailure::Lost | CallFailure::Unauthenticated) if self.context.is_stopping() => break,
                Err(CallFailure::Lost | CallFailure::Unauthenticated) => {
                    tokio::time::sleep(Duration::from_secs(1 + attempt as u64)).await;
                }
            }
        }
        known
    }

    /// The user's portal, and a random server.
    fn choose_server(&self, user: usize, random: &mut StdRng) -> Option<(&Portal, Arc<Replica>)> {
        let portal = self.portals.get(user % self.portals.len().max(1))?;
        let replicas = &self.context.replicas;
        Some((portal, replicas.get(random.random_range(0..replicas.len().max(1)))?.clone()))
    }
}

fn post<'a>(name: &'static str, path: &'a str, body: Option<Value>, device: &'a str) -> Request<'a> {
    Request { name, method: Method::POST, path, body, key: None, device: Some(device) }
}
