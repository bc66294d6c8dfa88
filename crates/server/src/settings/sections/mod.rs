//! Sections of the settings: fields, units and ranges. `config/default.toml` explains each key to operators.

mod database;
mod http;
mod identity;
mod limits;
mod retention;
mod rules;
mod running;
mod session;

pub use database::DatabaseSettings;
pub use http::HttpSettings;
pub use identity::IdentitySettings;
pub use limits::LimitSettings;
pub use retention::RetentionSettings;
pub use rules::{ClaimSettings, IdempotencySettings, ImportSettings, PairingSettings, TerminalSettings};
pub use running::{LogFormat, LogSettings, MetricsSettings, ShutdownSettings};
pub use session::{ClientSettings, SessionSettings};
