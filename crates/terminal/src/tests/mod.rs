//! Test fixture: a terminal with a manual clock, manual sleeps and scripted randomness.

mod builder;
mod calls;
mod pairing;
mod server;

use std::sync::Arc;
use std::time::Duration;

use pos_port_clock::{ManualClock, ScriptedEntropy};
use time::macros::datetime;

use crate::{ManualSleeper, Terminal, TerminalBuilder, TimeLimits, Transport};

/// A terminal whose time, sleeps and randomness the test controls. The jitter is the least: polls every 3 s, first
/// back-off 3 s.
struct Fixture {
    terminal: Terminal,
    clock: Arc<ManualClock>,
    sleeper: Arc<ManualSleeper>,
}

impl Fixture {
    fn connected_to(address: &str) -> Self {
        Self::with(address, |builder| builder)
    }

    fn with(address: &str, change: impl FnOnce(TerminalBuilder) -> TerminalBuilder) -> Self {
        let clock = Arc::new(ManualClock::at(datetime!(2025-12-13 14:25:30 UTC)));
        let sleeper = Arc::new(ManualSleeper::new(clock.clone()));
        let builder = terminal_builder(address)
            .clock(clock.clone())
            .entropy(Arc::new(ScriptedEntropy::default()))
            .sleeper(sleeper.clone());
        Self { terminal: change(builder).build().unwrap(), clock, sleeper }
    }

    /// The recorded sleeps, rounded to seconds; with the least jitter each is within a millisecond of a whole second.
    fn waits(&self) -> Vec<u64> {
        self.sleeper.waits().into_iter().map(|wait| (wait.as_secs_f64()).round() as u64).collect()
    }
}

fn terminal_builder(address: &str) -> TerminalBuilder {
    Terminal::builder(address, "POS-8F3A2C91").app_version("1.4.2").os("Android 12").model("PAX-A920")
}

fn short_timeouts() -> Transport {
    let limit = Duration::from_millis(100);
    Transport::new(TimeLimits { connect: limit, whole_call: limit }).unwrap()
}
