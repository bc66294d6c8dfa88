//! The terminal's side of activation, as an async client.
//!
//! A [`Terminal`] knows one server and one device. Its three calls are the documented ones: [`Terminal::bootstrap`],
//! [`Terminal::request_pairing_code`] and [`Terminal::status`]. [`Terminal::pair`] strings them together the way a
//! terminal should: it asks for a code, hands it to the screen, polls every 3 to 5 seconds, shows a new code when the
//! old one has expired, waits as long as the server asks it to, backs off while the network or the server is away, and
//! returns when a merchant has claimed the device.
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
//! To follow every step (a status line on the screen, a deadline, a way to stop), drive [`Pairing`] by hand.
//!
//! Time, waiting and chance come in through [`pos_port_clock::Clock`], [`Sleeper`] and [`pos_port_clock::Entropy`], so
//! a test of anything built on this crate can run hours of polling in a moment: see [`ManualSleeper`].

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
pub use pos_domain::{AppVersion, DeviceId, DeviceStatus, PairingCodeStatus};
pub use sleeper::{ManualSleeper, Sleeper, TokioSleeper};
pub use terminal::Terminal;
pub use transport::{TimeLimits, Transport, TransportUnavailable};
pub use wire_log::{Sent, WireLog};
