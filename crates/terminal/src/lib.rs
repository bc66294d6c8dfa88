//! Async client for the terminal side of the activation API.
//!
//! A [`Terminal`] connects one device to one server. It makes the three documented calls: [`Terminal::bootstrap`],
//! [`Terminal::request_pairing_code`] and [`Terminal::status`]. [`Terminal::pair`] combines them into the documented
//! pairing loop: it requests a code, passes it to the display, polls every 3 to 5 seconds, requests a new code when the
//! current one expires, honours `Retry-After`, backs off while the network or the server is unavailable, and returns
//! when a merchant has claimed the device.
//!
//! ```no_run
//! use pos_terminal::Terminal;
//!
//! # async fn activate() -> Result<(), Box<dyn std::error::Error>> {
//! let terminal = Terminal::builder("https://api.viopay.io", "POS-8F3A2C91")
//!     .app_version("1.4.2")
//!     .os("Android 12")
//!     .model("PAX-A920")
//!     .build()?;
//!
//! let hello = terminal.bootstrap().await?;
//! if !terminal.is_supported(&hello) {
//!     return Err(format!("update the app to {} first", hello.min_supported_version).into());
//! }
//!
//! let claimed = terminal.pair(|code| println!("Type this code in the portal: {}", code.symbols())).await?;
//! println!("the device is {}", claimed.device_status.as_str());
//! # Ok(())
//! # }
//! ```
//!
//! To observe each step (a status line on the screen, a deadline, cancellation), call [`Pairing::next`] in a loop.
//!
//! Time, sleeping and randomness are injected through [`pos_port_clock::Clock`], [`Sleeper`] and
//! [`pos_port_clock::Entropy`], so a test can run hours of polling in milliseconds: see [`ManualSleeper`].

mod answer;
mod builder;
mod call;
mod error;
mod pairing;
mod retry_after;
mod rhythm;
mod sleeper;
mod system;
mod terminal;
mod trace;
mod transport;
mod wire_log;

#[cfg(test)]
mod tests;

pub use answer::{Bootstrap, ShownCode, Status};
pub use builder::{InvalidTerminal, TerminalBuilder};
pub use error::{ApiError, CallError, PairError};
pub use pairing::{Pairing, PairingStep};
pub use pos_domain::device::{AppVersion, DeviceStatus, PairingCodeStatus};
pub use pos_domain::shared::DeviceId;
pub use sleeper::{ManualSleeper, Sleeper, TokioSleeper};
pub use terminal::Terminal;
pub use transport::{TimeLimits, Transport, TransportUnavailable};
pub use wire_log::{Sent, WireLog};
