//! Simulated terminals: they request codes and poll their status, with and without long polling.

use std::sync::Arc;
use std::time::Duration;

use pos_terminal::{CallError, DeviceStatus, PairingCodeStatus, Terminal, TimeLimits, Transport};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::disconnecting_clients::{AbandonedRequest, DISCONNECTED};
use crate::fleet::{Device, DisplayedCode, SentCall, Slot};
use crate::history::CallInfo;
use crate::model::{Call, Outcome};
use crate::replica::Replica;
use crate::scenario::ScenarioContext;

/// Longer than the server's own limit for a request (15 s), so that a server that never responds can be detected.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(22);

/// `wait` of a long poll.
const LONG_POLL: Duration = Duration::from_secs(3);

/// The connection pool of all terminals.
pub(crate) fn transport() -> anyhow::Result<Transport> {
    Ok(Transport::new(TimeLimits { connect: Duration::from_secs(5), whole_call: CALL_TIMEOUT })?)
}

/// The terminal's next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    RequestCode,
    Poll,
    /// None: the device is decommissioned, and a new one will replace it.
    Idle,
}

struct SimulatedTerminal {
    context: Arc<ScenarioContext>,
    device: Arc<Device>,
    terminals: Vec<Terminal>,
    random: StdRng,
}

/// Simulates the terminals of one slot, one after the other, until the scenario stops.
pub(crate) async fn run(
    context: Arc<ScenarioContext>,
    slot: usize,
    transport: Transport,
    seed: u64,
) -> anyhow::Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    // Spread the starts.
    pause(&mut random, 0, 2_000).await;
    while !context.is_stopping() {
        let Some(slot) = context.fleet.slots.get(slot) else { return Ok(()) };
        let device = slot.device();
        let build = |replica: &Arc<Replica>| {
            let terminal = Terminal::builder(&replica.url, &device.id).transport(transport.clone());
            terminal.app_version("1.4.2").os("Android 12").model("PAX-A920").build()
        };
        let terminals = context.replicas.iter().map(build).collect::<Result<_, _>>()?;
        let random = StdRng::seed_from_u64(random.random());
        SimulatedTerminal { context: context.clone(), device, terminals, random }.run_until_replaced(slot).await;
    }
    Ok(())
}

async fn pause(random: &mut StdRng, least: u64, most: u64) {
    tokio::time::sleep(Duration::from_millis(random.random_range(least..=most))).await;
}

impl SimulatedTerminal {
    /// Makes calls until another device replaces this one, or the scenario stops.
    async fn run_until_replaced(&mut self, slot: &Slot) {
        let (mut next, mut server) = (Next::Poll, 0);
        while !self.context.is_stopping() && Arc::ptr_eq(&slot.device(), &self.device) {
            let step = match next {
                Next::RequestCode => self.request_code(server).await,
                Next::Poll => self.poll(server).await,
                Next::Idle => Some(Next::Idle),
            };
            match step {
                Some(step) => next = step,
                // After a failure the terminal polls, at this server or another one.
                None => {
                    next = Next::Poll;
                    server = self.random.random_range(0..self.terminals.len().max(1));
                }
            }
            if self.random.random_ratio(1, 10) {
                server = self.random.random_range(0..self.terminals.len().max(1));
            }
            // About half of the rate that the default limit allows for a terminal.
            pause(&mut self.random, 1_200, 2_400).await;
        }
    }

    async fn request_code(&mut self, server: usize) -> Option<Next> {
        let (terminal, replica) = (self.terminals.get(server)?.clone(), self.context.replicas.get(server)?.clone());
        if self.device.is_unresolved() {
            return Some(Next::Poll);
        }
        let sent = self.device.begin(Call::Issue, &replica);
        if self.context.is_disconnecting() && self.random.random() {
            let headers = vec![
                ("X-Device-Id", self.device.id.as_str()),
                ("User-Agent", "Viopay-POS/1.4.2 (Android 12; PAX-A920)"),
                ("X-Client-Type", "pos"),
            ];
            let request = AbandonedRequest { method: "POST", path: "/pos/pairing-code", headers, body: "" };
            request.send(&replica, &mut self.random).await;
            self.context.history.count("pairing code", DISCONNECTED);
            self.device.mark_lost(sent, &replica);
            return Some(Next::Poll);
        }
        match terminal.request_pairing_code().await {
            Ok(code) => {
                self.context.history.count("pairing code", "200");
                let is_unique = self.context.fleet.record_code(code.symbols(), &self.device.id);
                self.device.check_response(sent, Outcome::Issued, &replica, &self.context.history);
                let displayed = DisplayedCode { call: sent.id, symbols: code.symbols().to_owned() };
                self.device.display(Some(displayed).filter(|_| is_unique));
                Some(Next::Poll)
            }
            Err(error) => self.failed("pairing code", sent, &replica, error),
        }
    }

    async fn poll(&mut self, server: usize) -> Option<Next> {
        let (terminal, replica) = (self.terminals.get(server)?.clone(), self.context.replicas.get(server)?.clone());
        let is_long = self.random.random_ratio(3, 10);
        let call = if is_long { "status, long poll" } else { "status" };
        let sent = self.device.begin(Call::Poll, &replica);
        let response = if is_long { terminal.status_within(LONG_POLL).await } else { terminal.status().await };
        let status = match response {
            Ok(status) => status,
            Err(error) => return self.failed(call, sent, &replica, error),
        };
        self.context.history.count(call, "200");
        let outcome = match (status.device_status, status.pairing_code_status) {
            (DeviceStatus::Inactive, PairingCodeStatus::None) => Outcome::Blank,
            (DeviceStatus::Inactive, PairingCodeStatus::Pending) => Outcome::Pending,
            (DeviceStatus::Inactive, PairingCodeStatus::Expired) => Outcome::Expired,
            (DeviceStatus::Claimed, PairingCodeStatus::Used) => Outcome::IsClaimed,
            (device, code) => {
                let what = format!("{}: status {} with code {}", self.device.id, device.as_str(), code.as_str());
                self.context.history.violation(what, self.device.checker().recent_calls());
                return None;
            }
        };
        if status.is_claimed != (outcome == Outcome::IsClaimed) {
            let what = format!("{}: is_claimed contradicts device_status", self.device.id);
            self.context.history.violation(what, Vec::new());
        }
        self.device.check_response(sent, outcome, &replica, &self.context.history);
        self.device.set_claimed(outcome == Outcome::IsClaimed);
        Some(match outcome {
            Outcome::Blank | Outcome::Expired => Next::RequestCode,
            // A user of the terminal requests a new code now and then.
            Outcome::Pending if self.random.random_ratio(if self.context.is_disconnecting() { 12 } else { 1 }, 25) => {
                Next::RequestCode
            }
            Outcome::IsClaimed => {
                self.device.display(None);
                Next::Poll
            }
            _ => Next::Poll,
        })
    }

    fn failed(&self, call: &str, sent: SentCall, replica: &Replica, error: CallError) -> Option<Next> {
        let info = CallInfo {
            call,
            about: &format!("{} at {}", self.device.id, replica.name),
            server: &replica.name,
            device: Some(&self.device.id),
            sent: sent.at,
            server_was_down: replica.was_down(sent.at),
        };
        let refused = self.context.history.failed(info, error);
        let outcome = match refused.as_deref().map(|error| (error.http_status, error.code.as_str())) {
            None => {
                self.device.mark_lost(sent, replica);
                return None;
            }
            Some((400, "4220")) if call == "pairing code" => Outcome::AlreadyClaimed,
            Some((404, "4004")) => Outcome::Unknown,
            Some((status, code)) => {
                let what = format!("{call} of {}: answered {status} {code}", self.device.id);
                self.context.history.violation(what, self.device.checker().recent_calls());
                self.device.mark_lost(sent, replica);
                return None;
            }
        };
        self.device.check_response(sent, outcome, replica, &self.context.history);
        Some(if outcome == Outcome::Unknown { Next::Idle } else { Next::Poll })
    }
}
