mod builder;
mod calls;
mod pairing;
mod server;

use std::sync::Arc;
use std::time::Duration;

use pos_port_clock::{ManualClock, ScriptedEntropy};
use time::macros::datetime;

use crate::{ManualSleeper, Terminal, TerminalBuilder, TimeLimits, Transport};

/// A terminal whose time, waits and chance the test steers. The jitter is the lowest: polls every 3 s, first back-off 3 s.
struct Bench {
    terminal: Terminal,
    clock: Arc<ManualClock>,
    sleeper: Arc<ManualSleeper>,
}

impl Bench {
    fn at(address: &str) -> Self {
        Self::with(address, |builder| builder)
    }

    fn with(address: &str, change: impl FnOnce(TerminalBuilder) -> TerminalBuilder) -> Self {
        let clock = Arc::new(ManualClock::at(datetime!(2025-12-13 14:25:30 UTC)));
        let sleeper = Arc::new(ManualSleeper::new(clock.clone()));
        let builder = described(address)
            .clock(clock.clone())
            .entropy(Arc::new(ScriptedEntropy::default()))
            .sleeper(sleeper.clone());
        Self { terminal: change(builder).build().unwrap(), clock, sleeper }
    }

    /// The waits so far, in whole seconds; with the lowest jitter each is one, but for a millisecond.
    fn waits(&self) -> Vec<u64> {
        self.sleeper.waits().into_iter().map(|wait| (wait.as_secs_f64()).round() as u64).collect()
    }
}

fn described(address: &str) -> TerminalBuilder {
    Terminal::builder(address, "POS-8F3A2C91").app_version("1.4.2").os("Android 12").model("PAX-A920")
}

fn impatient() -> Transport {
    let limit = Duration::from_millis(100);
    Transport::new(TimeLimits { connect: limit, whole_call: limit }).unwrap()
}
