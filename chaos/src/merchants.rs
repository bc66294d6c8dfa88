//! What the merchants do: type codes, race each other, type old and foreign codes, take terminals back, out of use, and
//! make new ones known.

use std::sync::Arc;
use std::time::Duration;

use pos_terminal::ApiError;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::act::Stage;
use crate::fleet::{Device, Shown, Slot};
use crate::model::{Call, Outcome, SECOND};
use crate::portal::{Answer, NoAnswer, Portal, Request};
use crate::replica::Replica;
use crate::time::now;

/// How often a creating call is sent before it is given up.
const ATTEMPTS: usize = 6;

/// One merchant's people, at work until told to stop.
pub(crate) struct Shop {
    pub(crate) stage: Arc<Stage>,
    pub(crate) merchant: usize,
    pub(crate) staff: Vec<Portal>,
}

impl Shop {
    /// What one of the staff does all day.
    pub(crate) async fn work(&self, who: usize, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        while !self.stage.is_over() {
            // While callers leave there are more of them.
            let pause = if self.stage.is_leaving() { 100..300 } else { 400..1_400 };
            tokio::time::sleep(Duration::from_millis(random.random_range(pause))).await;
            if self.stage.is_leaving() && random.random_ratio(1, 8) {
                self.provision(who, &mut random).await;
            } else {
                self.act(who, &mut random).await;
            }
        }
    }

    async fn act(&self, who: usize, random: &mut StdRng) {
        let slots = &self.stage.fleet.slots;
        let own: Vec<&Slot> = slots.iter().filter(|slot| slot.merchant == self.merchant).collect();
        let Some(slot) = own.get(random.random_range(0..own.len().max(1))) else { return };
        let device = slot.device();
        if device.is_unsettled() {
            return;
        }
        let dice = random.random_range(0..100);
        if let Some(code) = device.shown() {
            match dice {
                0..45 => self.claim(who, &device, &code, true, random).await,
                // Two of the shop type the same code at the same time.
                45..70 => {
                    let mut other = StdRng::seed_from_u64(random.random());
                    futures_util::join!(
                        self.claim(who, &device, &code, true, random),
                        self.claim(who + 1, &device, &code, true, &mut other)
                    );
                }
                70..74 => self.decommission(who, slot, &device, random).await,
                _ => self.claim_another(who, random).await,
            }
        } else if device.claimed_since().is_some_and(|since| now() - since > 3 * SECOND) {
            match dice {
                0..50 => self.release(who, &device, random).await,
                50..53 => self.decommission(who, slot, &device, random).await,
                _ => self.claim_old(who, &device, random).await,
            }
        } else {
            self.claim_old(who, &device, random).await;
        }
    }

    /// Somebody else's terminal.
    async fn claim_another(&self, who: usize, random: &mut StdRng) {
        let slots = &self.stage.fleet.slots;
        let Some(slot) = slots.get(random.random_range(0..slots.len().max(1))) else { return };
        let device = slot.device();
        if let Some(code) = device.shown().filter(|_| slot.merchant != self.merchant && !device.is_unsettled()) {
            self.claim(who, &device, &code, false, random).await;
        }
    }

    /// A code that is on no screen any more.
    async fn claim_old(&self, who: usize, device: &Device, random: &mut StdRng) {
        if let Some(code) = device.shown_before().filter(|_| random.random_ratio(1, 3)) {
            self.claim(who, device, &code, true, random).await;
        }
    }

    async fn claim(&self, who: usize, device: &Device, code: &Shown, owner: bool, random: &mut StdRng) {
        let Some((portal, replica)) = self.at_work(who, random) else { return };
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
        // The one code in a thousand million that two devices got is nobody's proof.
        let excused = |error: &ApiError| error.http_status == 400 && self.stage.fleet.is_shared(&code.symbols);
        let sent = (call, Outcome::Claimed, "claimed");
        self.change(portal, &replica, device, &request, sent, judge, excused, random).await;
    }

    async fn release(&self, who: usize, device: &Device, random: &mut StdRng) {
        let Some((portal, replica)) = self.at_work(who, random) else { return };
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

    async fn decommission(&self, who: usize, slot: &Slot, device: &Arc<Device>, random: &mut StdRng) {
        let Some((portal, replica)) = self.at_work(who, random) else { return };
        let path = format!("/merchant/devices/{}/decommission", device.id);
        let judge = |error: &ApiError| {
            ((error.http_status, error.code.as_str()) == (400, "4220")).then_some(Outcome::WasDecommissioned)
        };
        let sent = (Call::Decommission, Outcome::Decommissioned, "decommissioned");
        let request = post("decommission", &path, None, &device.id);
        let gone = self.change(portal, &replica, device, &request, sent, judge, |_| false, random).await;
        if gone && let Some(id) = self.provision(who, random).await {
            // Two of the staff may have taken it out of use: the first replaces it.
            if Arc::ptr_eq(&slot.device(), device) {
                self.stage.fleet.replace(slot, id);
            }
        }
    }

    /// A change of one device; true when it is known to be so now.
    #[expect(clippy::too_many_arguments, reason = "who, where, what, and how its answers are to be understood")]
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
        let sent = device.send(call, replica);
        if self.stage.is_leaving() && random.random() {
            if portal.leave(replica, request, random).await {
                device.lose(sent, replica);
            } else {
                device.withdraw(sent);
            }
            return false;
        }
        match portal.call(replica, request, random).await {
            Ok(Answer { trace_id, .. }) => {
                self.stage.fleet.promises().changes.push((device.id.clone(), kind, trace_id));
                device.hear(sent, success, replica, &self.stage.ledger);
                return true;
            }
            Err(NoAnswer::Refused(error)) => match judge(&error) {
                Some(outcome) => {
                    device.hear(sent, outcome, replica, &self.stage.ledger);
                    return outcome == Outcome::WasDecommissioned;
                }
                None => {
                    if !excused(&error) {
                        let what = format!("{} of {} at {}: {error}", request.name, device.id, replica.name);
                        self.stage.ledger.violation(what, device.checker().history());
                    }
                    device.lose(sent, replica);
                }
            },
            Err(NoAnswer::Lost) => device.lose(sent, replica),
            Err(NoAnswer::KeptOut) => device.withdraw(sent),
        }
        false
    }

    /// Makes a device known, once, however often it takes.
    async fn provision(&self, who: usize, random: &mut StdRng) -> Option<String> {
        let key = Uuid::new_v4().to_string();
        let request = Request {
            name: "provision",
            method: Method::POST,
            path: "/merchant/devices",
            body: Some(json!({ "label": key })),
            key: Some(&key),
            device: None,
        };
        self.stage.fleet.promises().created.insert(key.clone(), None);
        let mut known: Option<String> = None;
        for attempt in 0..ATTEMPTS {
            let (portal, replica) = self.at_work(who, random)?;
            // The same call comes again at once, here or at another server.
            if self.stage.is_leaving() && portal.leave(&replica, &request, random).await && random.random() {
                continue;
            }
            match portal.call(&replica, &request, random).await {
                Ok(Answer { body, replayed, .. }) => {
                    let id = body.get("device_id").and_then(Value::as_str).unwrap_or_default().to_owned();
                    if known.as_ref().is_some_and(|known| *known != id) || (known.is_some() && !replayed) {
                        let what = format!("provision: one key gave {known:?} and {id}, replayed: {replayed}");
                        self.stage.ledger.violation(what, Vec::new());
                    }
                    self.stage.fleet.promises().created.insert(key.clone(), Some(id.clone()));
                    // Half of those who have their answer ask once more.
                    if known.replace(id).is_some() || random.random_ratio(1, 2) {
                        break;
                    }
                }
                Err(NoAnswer::Refused(error)) => {
                    self.stage.ledger.violation(format!("provision: {error}"), Vec::new());
                    break;
                }
                Err(NoAnswer::Lost | NoAnswer::KeptOut) if self.stage.is_over() => break,
                Err(NoAnswer::Lost | NoAnswer::KeptOut) => {
                    tokio::time::sleep(Duration::from_secs(1 + attempt as u64)).await;
                }
            }
        }
        known
    }

    fn at_work(&self, who: usize, random: &mut StdRng) -> Option<(&Portal, Arc<Replica>)> {
        let portal = self.staff.get(who % self.staff.len().max(1))?;
        let replicas = &self.stage.replicas;
        Some((portal, replicas.get(random.random_range(0..replicas.len().max(1)))?.clone()))
    }
}

fn post<'a>(name: &'static str, path: &'a str, body: Option<Value>, device: &'a str) -> Request<'a> {
    Request { name, method: Method::POST, path, body, key: None, device: Some(device) }
}
