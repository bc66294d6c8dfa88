//! What the terminals do: show codes, ask how they stand, now with patience and now without.

use std::sync::Arc;
use std::time::Duration;

use pos_terminal::{CallError, DeviceStatus, PairingCodeStatus, Terminal, TimeLimits, Transport};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::act::Stage;
use crate::fleet::{Device, Sent, Shown, Slot};
use crate::leaving::Cut;
use crate::ledger::Underway;
use crate::model::{Call, Outcome};
use crate::replica::Replica;

/// Longer than the server lets any request take (15 s), so that a server that never answers is told apart.
pub(crate) const PATIENCE: Duration = Duration::from_secs(22);

/// How long a terminal lets its status be held back.
const HOLD: Duration = Duration::from_secs(3);

/// Connections for all of them.
pub(crate) fn transport() -> anyhow::Result<Transport> {
    Ok(Transport::new(TimeLimits { connect: Duration::from_secs(5), whole_call: PATIENCE })?)
}

/// What the terminal does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    AskForCode,
    Look,
    /// It is out of use: wait for another to take its place.
    Idle,
}

struct Running {
    stage: Arc<Stage>,
    device: Arc<Device>,
    terminals: Vec<Terminal>,
    random: StdRng,
}

/// Plays the terminals of one place, one after the other, until told to stop.
pub(crate) async fn run(stage: Arc<Stage>, slot: usize, transport: Transport, seed: u64) -> anyhow::Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    // Not all at once at the start.
    pause(&mut random, 0, 2_000).await;
    while !stage.is_over() {
        let Some(place) = stage.fleet.slots.get(slot) else { return Ok(()) };
        let device = place.device();
        let build = |replica: &Arc<Replica>| {
            let terminal = Terminal::builder(&replica.url, &device.id).transport(transport.clone());
            terminal.app_version("1.4.2").os("Android 12").model("PAX-A920").build()
        };
        let terminals = stage.replicas.iter().map(build).collect::<Result<_, _>>()?;
        let random = StdRng::seed_from_u64(random.random());
        Running { stage: stage.clone(), device, terminals, random }.live(place).await;
    }
    Ok(())
}

async fn pause(random: &mut StdRng, least: u64, most: u64) {
    tokio::time::sleep(Duration::from_millis(random.random_range(least..=most))).await;
}

impl Running {
    /// Until another device stands here, or all is over.
    async fn live(&mut self, place: &Slot) {
        let (mut next, mut at) = (Next::Look, 0);
        while !self.stage.is_over() && Arc::ptr_eq(&place.device(), &self.device) {
            let step = match next {
                Next::AskForCode => self.ask_for_code(at).await,
                Next::Look => self.look(at).await,
                Next::Idle => Some(Next::Idle),
            };
            match step {
                Some(step) => next = step,
                // Whoever got no answer looks again, here or elsewhere.
                None => {
                    next = Next::Look;
                    at = self.random.random_range(0..self.terminals.len().max(1));
                }
            }
            if self.random.random_ratio(1, 10) {
                at = self.random.random_range(0..self.terminals.len().max(1));
            }
            // About half of what the shipped limit of a terminal allows.
            pause(&mut self.random, 1_200, 2_400).await;
        }
    }

    async fn ask_for_code(&mut self, at: usize) -> Option<Next> {
        let (terminal, replica) = (self.terminals.get(at)?.clone(), self.stage.replicas.get(at)?.clone());
        if self.device.is_unsettled() {
            return Some(Next::Look);
        }
        let sent = self.device.send(Call::Issue, &replica);
        if self.stage.is_leaving() && self.random.random() {
            let headers = vec![
                ("X-Device-Id", self.device.id.as_str()),
                ("User-Agent", "Viopay-POS/1.4.2 (Android 12; PAX-A920)"),
                ("X-Client-Type", "pos"),
            ];
            Cut { method: "POST", path: "/pos/pairing-code", headers, body: "" }.send(&replica, &mut self.random).await;
            self.stage.ledger.count("pairing code", "left by the caller");
            self.device.lose(sent, &replica);
            return Some(Next::Look);
        }
        match terminal.request_pairing_code().await {
            Ok(code) => {
                self.stage.ledger.count("pairing code", "200");
                let first = self.stage.fleet.given_out(code.symbols(), &self.device.id);
                self.device.hear(sent, Outcome::Issued, &replica, &self.stage.ledger);
                let shown = Shown { call: sent.id, symbols: code.symbols().to_owned() };
                self.device.show(Some(shown).filter(|_| first));
                Some(Next::Look)
            }
            Err(error) => self.failed("pairing code", sent, &replica, error),
        }
    }

    async fn look(&mut self, at: usize) -> Option<Next> {
        let (terminal, replica) = (self.terminals.get(at)?.clone(), self.stage.replicas.get(at)?.clone());
        let patient = self.random.random_ratio(3, 10);
        let call = if patient { "status, held back" } else { "status" };
        let sent = self.device.send(Call::Look, &replica);
        let answer = if patient { terminal.status_within(HOLD).await } else { terminal.status().await };
        let status = match answer {
            Ok(status) => status,
            Err(error) => return self.failed(call, sent, &replica, error),
        };
        self.stage.ledger.count(call, "200");
        let outcome = match (status.device_status, status.pairing_code_status) {
            (DeviceStatus::Inactive, PairingCodeStatus::None) => Outcome::Blank,
            (DeviceStatus::Inactive, PairingCodeStatus::Pending) => Outcome::Pending,
            (DeviceStatus::Inactive, PairingCodeStatus::Expired) => Outcome::Expired,
            (DeviceStatus::Claimed, PairingCodeStatus::Used) => Outcome::IsClaimed,
            (device, code) => {
                let what = format!("{}: status {} with code {}", self.device.id, device.as_str(), code.as_str());
                self.stage.ledger.violation(what, self.device.checker().history());
                return None;
            }
        };
        if status.is_claimed != (outcome == Outcome::IsClaimed) {
            self.stage.ledger.violation(format!("{}: is_claimed says otherwise", self.device.id), Vec::new());
        }
        self.device.hear(sent, outcome, &replica, &self.stage.ledger);
        self.device.see_claimed(outcome == Outcome::IsClaimed);
        Some(match outcome {
            Outcome::Blank | Outcome::Expired => Next::AskForCode,
            // Somebody presses the button for a new code now and then.
            Outcome::Pending if self.random.random_ratio(if self.stage.is_leaving() { 12 } else { 1 }, 25) => {
                Next::AskForCode
            }
            Outcome::IsClaimed => {
                self.device.show(None);
                Next::Look
            }
            _ => Next::Look,
        })
    }

    fn failed(&self, call: &str, sent: Sent, replica: &Replica, error: CallError) -> Option<Next> {
        let underway = Underway {
            call,
            about: &format!("{} at {}", self.device.id, replica.name),
            server: &replica.name,
            device: Some(&self.device.id),
            sent: sent.at,
            server_was_down: replica.was_down(sent.at),
        };
        let refused = self.stage.ledger.failed(underway, error);
        let outcome = match refused.as_deref().map(|error| (error.http_status, error.code.as_str())) {
            None => {
                self.device.lose(sent, replica);
                return None;
            }
            Some((400, "4220")) if call == "pairing code" => Outcome::AlreadyClaimed,
            Some((404, "4004")) => Outcome::Unknown,
            Some((status, code)) => {
                let what = format!("{call} of {}: answered {status} {code}", self.device.id);
                self.stage.ledger.violation(what, self.device.checker().history());
                self.device.lose(sent, replica);
                return None;
            }
        };
        self.device.hear(sent, outcome, replica, &self.stage.ledger);
        Some(if outcome == Outcome::Unknown { Next::Idle } else { Next::Look })
    }
}
