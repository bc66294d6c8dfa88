//! Device aggregate: state machine of a terminal and its current pairing code.
//!
//! ```text
//!                      issue_pairing_code (supersedes the code before)
//!                           ┌────┐
//!   provision ──▶ inactive ─┴────┴─ claim ──▶ claimed ── activate ──▶ activated
//!                    ▲                           │                        │
//!                    └───────── release ─────────┴────────────────────────┘
//!
//!   inactive ── transfer ──▶ inactive, at another merchant, without a code
//!   every state but decommissioned ── update ──▶ the same state
//!   every state ── decommission ──▶ decommissioned, permanently
//! ```

mod aggregate;
mod app_version;
mod details;
mod event;
mod hash_chain;
mod pairing_code;
mod record;
mod refusal;
mod retention;
mod state;
mod transitions;
mod user_agent;

pub use aggregate::{Device, TerminalInfo, Transition};
pub use app_version::{AppVersion, InvalidAppVersion};
pub use details::DeviceDetails;
pub use event::{DeviceEvent, DeviceEventKind};
pub use hash_chain::{ChainFault, ChainFinding, ChainTip, ChainVerifier};
pub use pairing_code::{CodeEnd, InvalidPairingCode, PairingCode, PastCode};
pub use record::{CorruptDevice, DeviceRecord};
pub use refusal::{
    ActivateRefusal, ClaimRefusal, DecommissionRefusal, IssueRefusal, ReleaseRefusal, TransferRefusal, UpdateRefusal,
};
pub use retention::{ChainCheckpoint, SHORTEST_EVENT_RETENTION, first_needed_event};
pub use state::{Claim, DeviceState, DeviceStatus, IssuedCode, PairingCodeStatus};
pub use user_agent::{InvalidUserAgent, UserAgent};
