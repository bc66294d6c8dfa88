//! The sections of the settings: their fields, units and ranges. `config/default.toml` explains each key to whoever
//! sets it.

mod database;
mod http;
mod identity;
mod limits;
mod reclaim;
mod rules;
mod running;
mod session;

pub use database::DatabaseSettings;
pub use http::HttpSettings;
pub use identity::IdentitySettings;
pub use limits::LimitSettings;
pub use reclaim::ReclaimSettings;
pub use rules::{ClaimSettings, IdempotencySettings, ImportSettings, PairingSettings, TerminalSettings};
pub use running::{LogFormat, LogSettings, MetricsSettings, ShutdownSettings};
pub use session::{ClientSettings, SessionSettings};
