//! How fast terminals may call, and how they are told to.
//!
//! Every server counts for itself, in memory: a limit keeps one broken terminal from costing all others their answers,
//! and no rule of the product hangs on it. Behind a balancer a terminal may therefore get as many times the rate as
//! there are servers.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use foldhash::quality::RandomState as PlaceState;
use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use pos_domain::{DeviceId, PollWindow};
use pos_port_clock::{Clock, Entropy};

/// A rate and what may come at once. A rate of 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Calls a minute that go on for ever.
    pub per_minute: u32,
    /// Calls at once after a pause.
    pub burst: u32,
}

/// What terminals may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Requests for new pairing codes that name one device.
    pub per_device: Rate,
    /// Calls from one address, which many terminals may share.
    pub per_address: Rate,
}

/// Counts the calls of devices and addresses.
pub struct Pacing {
    limiters: Arc<Limiters>,
    /// How many more calls until those who have been quiet are forgotten.
    until_sweep: AtomicU64,
}

/// The counters, shared with a sweep that runs beside the calls.
struct Limiters {
    /// Requests for codes. By the address too: an id is no secret, and whoever asks in its name from elsewhere must not use up
    /// the terminal's own.
    devices: Option<Limiter>,
    addresses: Option<Limiter>,
    /// The most counters that a sweep has found since memory was given back.
    most: AtomicUsize,
    /// Whether a sweep is under way: there is at most one.
    sweeping: AtomicBool,
}

/// Whose calls are counted is kept as a hash of 64 bits, with a secret of this process in it: a million terminals take
/// some tens of megabytes, and the chance that any two of them share a counter is one in thirty million.
type Counters = RateLimiter<u64, DashMapStateStore<u64, PlaceState>, PortClock, NoOpMiddleware<Nanos>>;

struct Limiter {
    counters: Counters,
    hasher: RandomState,
    clock: PortClock,
}

/// The least number of calls between two sweeps. With more counters than that, there are as many calls as counters, so
/// that what a sweep costs each call stays the same.
const SWEEP_EVERY: u64 = 65_536;

#[derive(Clone)]
struct PortClock(Arc<dyn Clock>);

impl GovernorClock for PortClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.since_start().into()
    }
}

impl Pacing {
    /// Nobody has called yet.
    #[must_use]
    pub fn new(pace: Pace, clock: &Arc<dyn Clock>) -> Self {
        let limiters = Limiters {
            devices: Limiter::new(pace.per_device, clock),
            addresses: Limiter::new(pace.per_address, clock),
            most: AtomicUsize::new(0),
            sweeping: AtomicBool::new(false),
        };
        Self { limiters: Arc::new(limiters), until_sweep: AtomicU64::new(SWEEP_EVERY) }
    }

    /// Forgets those that have been quiet for so long that it makes no difference. They are forgotten after many calls as
    /// well, so memory stays bounded without it; this gives the memory of a storm back when it is over. Takes some tens of
    /// milliseconds with a million counters: not for a thread that answers requests.
    pub fn forget_the_quiet(&self) {
        self.limiters.forget_the_quiet();
    }

    /// Starts a sweep on a thread for blocking work, unless one is under way. Returns without waiting for it. Outside a
    /// runtime, which only tests are, the caller sweeps.
    fn sweep_if_due(&self) {
        if self.until_sweep.fetch_sub(1, Ordering::Relaxed) != 1 {
            return;
        }
        let counters = u64::try_from(self.limiters.len()).unwrap_or(u64::MAX);
        self.until_sweep.store(counters.max(SWEEP_EVERY), Ordering::Relaxed);
        if self.limiters.sweeping.swap(true, Ordering::AcqRel) {
            return;
        }
        let limiters = Arc::clone(&self.limiters);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || limiters.sweep())),
            Err(_) => limiters.sweep(),
        }
    }

    /// Counts a call of a terminal: by its address alone. The id that it names is no secret, so that a limit by the id would let
    /// anybody behind the same address silence the terminal.
    ///
    /// # Errors
    /// How long to wait, when there were too many from this address.
    pub(super) fn admit(&self, origin: Option<IpAddr>) -> Result<(), Duration> {
        self.sweep_if_due();
        self.admit_address(origin)
    }

    /// Counts a request for a new code, which retires the one on the terminal's screen: by the id from this address, and by the
    /// address.
    ///
    /// # Errors
    /// How long to wait, when there were too many of this device or of this address.
    pub(super) fn admit_new_code(&self, device: &DeviceId, origin: Option<IpAddr>) -> Result<(), Duration> {
        self.sweep_if_due();
        // The device first: what it is refused costs its neighbours behind the same address nothing.
        if let Some(devices) = &self.limiters.devices {
            devices.count(&(device.as_str(), origin.map(network)))?;
        }
        self.admit_address(origin)
    }

    fn admit_address(&self, origin: Option<IpAddr>) -> Result<(), Duration> {
        match (&self.limiters.addresses, origin.map(network)) {
            (Some(addresses), Some(network)) => addresses.count(&network),
            _ => Ok(()),
        }
    }
}

impl Limiters {
    fn all(&self) -> impl Iterator<Item = &Limiter> {
        [&self.devices, &self.addresses].into_iter().flatten()
    }

    fn len(&self) -> usize {
        self.all().map(|limiter| limiter.counters.len()).sum()
    }

    fn forget_the_quiet(&self) {
        for limiter in self.all() {
            limiter.counters.retain_recent();
            limiter.counters.shrink_to_fit();
        }
    }

    /// The memory of the forgotten is kept while as many call again before the next sweep; no longer once a storm is over.
    fn sweep(&self) {
        let before = self.len();
        let most = self.most.fetch_max(before, Ordering::Relaxed);
        if before < most / 4 {
            self.most.store(before, Ordering::Relaxed);
            self.forget_the_quiet();
        } else {
            self.all().for_each(|limiter| limiter.counters.retain_recent());
        }
        self.sweeping.store(false, Ordering::Release);
    }
}

impl Limiter {
    fn new(rate: Rate, clock: &Arc<dyn Clock>) -> Option<Self> {
        let quota = Quota::per_minute(NonZeroU32::new(rate.per_minute)?);
        let quota = quota.allow_burst(NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN));
        let clock = PortClock(Arc::clone(clock));
        let counters = RateLimiter::new(quota, DashMapStateStore::default(), clock.clone());
        Some(Self { counters, hasher: RandomState::new(), clock })
    }

    /// Counts a call of one caller.
    ///
    /// # Errors
    /// How long to wait, when there were too many.
    fn count(&self, whose: &impl Hash) -> Result<(), Duration> {
        let counted = self.counters.check_key(&self.hasher.hash_one(whose));
        counted.map_err(|refused| refused.wait_time_from(self.clock.now()))
    }
}

/// Whom an address stands for: of IPv6 a subscriber has a whole /64.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

/// A wait within a window, in whole seconds.
pub(super) fn within(window: PollWindow, entropy: &dyn Entropy) -> u64 {
    let spread = u64::try_from(window.spread.whole_seconds()).unwrap_or(0);
    window.earliest.unsigned_abs().as_secs() + below(spread + 1, entropy)
}

/// Those who are sent away together shall not come back together: up to a quarter, and at least a second, on top.
pub(super) fn spread_out(after: Duration, entropy: &dyn Entropy) -> Duration {
    after + Duration::from_secs(below((after.as_secs() / 4).max(1) + 1, entropy))
}

fn below(bound: u64, entropy: &dyn Entropy) -> u64 {
    (u64::from(entropy.bits()) * bound) >> 32
}

#[cfg(test)]
mod tests;
