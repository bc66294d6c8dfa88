//! A terminal's way to its merchant: bootstrap, pairing code, status and claim.

mod bootstrap;
mod check_status;
mod claim_device;
mod in_use;
mod issue_pairing_code;
mod terminal_info;

pub use bootstrap::{Bootstrap, BootstrapError, Bootstrapped};
pub use check_status::{CheckStatus, CheckStatusError, CheckedStatus, StatusAnswer, WaitingStatus};
pub use claim_device::{ClaimAttempt, ClaimDevice, ClaimDeviceError};
pub use issue_pairing_code::{IssuePairingCode, IssuePairingCodeError, IssuedPairingCode};
pub use terminal_info::TerminalCall;
