//! Rate limiter for terminals, per device and per address; and jitter for `Retry-After`.
//!
//! Each server counts in its own memory. The limit keeps one faulty terminal from degrading the service for all others; no
//! business rule depends on it. Behind a load balancer a terminal may therefore reach the rate once per server.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use foldhash::quality::RandomState as ShardState;
use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter as GovernorLimiter};
use pos_domain::pairing::PollInterval;
use pos_domain::shared::DeviceId;
use pos_port_clock::{Clock, Entropy};

/// Sustained rate and burst. A rate of 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Sustained requests per minute.
    pub per_minute: u32,
    /// Requests at once after a pause.
    pub burst: u32,
}

/// Rate limits of terminals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// Requests for pairing codes per device.
    pub per_device: Rate,
    /// Requests per address, which many terminals may share.
    pub per_address: Rate,
}

/// Rate limiter of devices and addresses.
pub struct RateLimiter {
    limiters: Arc<KeyedLimiters>,
    /// Number of requests until the next sweep of idle counters.
    until_sweep: AtomicU64,
}

/// Counters, shared with a sweep that runs concurrently with requests.
struct KeyedLimiters {
    /// Requests for codes, per device and address. An id is not secret: requests with it from another address must not use up
    /// the terminal's limit.
    devices: Option<KeyedLimiter>,
    addresses: Option<KeyedLimiter>,
    /// Maximum number of counters at a sweep since memory was last released.
    peak: AtomicUsize,
    /// Whether a sweep is running: there is at most one.
    sweeping: AtomicBool,
}

/// The keys are 64-bit hashes seeded with a secret of the process: one million terminals take some tens of megabytes, and
/// the probability that any two of them share a counter is one in thirty million.
type Counters = GovernorLimiter<u64, DashMapStateStore<u64, ShardState>, PortClock, NoOpMiddleware<Nanos>>;

struct KeyedLimiter {
    counters: Counters,
    hasher: RandomState,
    clock: PortClock,
}

/// Minimum number of requests between two sweeps. With more counters, a sweep runs after as many requests as there are
/// counters, so that its cost per request stays constant.
const SWEEP_EVERY: u64 = 65_536;

#[derive(Clone)]
struct PortClock(Arc<dyn Clock>);

impl GovernorClock for PortClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.since_start().into()
    }
}

impl RateLimiter {
    /// Creates a limiter without counters.
    #[must_use]
    pub fn new(rates: RateLimits, clock: &Arc<dyn Clock>) -> Self {
        let limiters = KeyedLimiters {
            devices: KeyedLimiter::new(rates.per_device, clock),
            addresses: KeyedLimiter::new(rates.per_address, clock),
            peak: AtomicUsize::new(0),
            sweeping: AtomicBool::new(false),
        };
        Self { limiters: Arc::new(limiters), until_sweep: AtomicU64::new(SWEEP_EVERY) }
    }

    /// Removes the counters that have been idle long enough to be full again, and releases their memory. Sweeps after many
    /// requests remove them too, so memory is bounded without it; this releases the memory after a burst. It takes some tens
    /// of milliseconds with one million counters: do not call it on a thread that answers requests.
    pub fn evict_idle(&self) {
        self.limiters.evict_idle();
    }

    /// Starts a sweep on a thread for blocking work, unless one is running, and does not wait for it. Outside a runtime, which
    /// happens in tests only, the caller sweeps.
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

    /// Counts a request of a terminal, per address only. The device id is not secret: with a limit per id, anybody behind the
    /// same address could block the terminal.
    ///
    /// # Errors
    /// The time to wait if the address exceeds its limit.
    pub(crate) fn admit(&self, client_ip: Option<IpAddr>) -> Result<(), Duration> {
        self.sweep_if_due();
        self.admit_address(client_ip)
    }

    /// Counts a request for a new code, per device and address, and per address. The limit is stricter because a new code
    /// invalidates the displayed one.
    ///
    /// # Errors
    /// The time to wait if the device or the address exceeds its limit.
    pub(crate) fn admit_new_code(&self, device: &DeviceId, client_ip: Option<IpAddr>) -> Result<(), Duration> {
        self.sweep_if_due();
        // The device first: its rejected requests do not count against the address it shares with others.
        if let Some(devices) = &self.limiters.devices {
            devices.check(&(device.as_str(), client_ip.map(network)))?;
        }
        self.admit_address(client_ip)
    }

    fn admit_address(&self, client_ip: Option<IpAddr>) -> Result<(), Duration> {
        match (&self.limiters.addresses, client_ip.map(network)) {
            (Some(addresses), Some(network)) => addresses.check(&network),
            _ => Ok(()),
        }
    }
}

impl KeyedLimiters {
    fn all(&self) -> impl Iterator<Item = &KeyedLimiter> {
        [&self.devices, &self.addresses].into_iter().flatten()
    }

    fn len(&self) -> usize {
        self.all().map(|limiter| limiter.counters.len()).sum()
    }

    fn evict_idle(&self) {
        for limiter in self.all() {
            limiter.counters.retain_recent();
            limiter.counters.shrink_to_fit();
        }
    }

    /// Removes idle counters. Releases their memory only if fewer counters are left than a quarter of the peak: after a burst,
    /// not while as many callers return before the next sweep.
    fn sweep(&self) {
        let before = self.len();
        let peak = self.peak.fetch_max(before, Ordering::Relaxed);
        if before < peak / 4 {
            self.peak.store(before, Ordering::Relaxed);
            self.evict_idle();
        } else {
            self.all().for_each(|limiter| limiter.counters.retain_recent());
        }
        self.sweeping.store(false, Ordering::Release);
    }
}

impl KeyedLimiter {
    fn new(rate: Rate, clock: &Arc<dyn Clock>) -> Option<Self> {
        let quota = Quota::per_minute(NonZeroU32::new(rate.per_minute)?);
        let quota = quota.allow_burst(NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN));
        let clock = PortClock(Arc::clone(clock));
        let counters = GovernorLimiter::new(quota, DashMapStateStore::default(), clock.clone());
        Some(Self { counters, hasher: RandomState::new(), clock })
    }

    /// Counts a request with this key.
    ///
    /// # Errors
    /// The time to wait if the key exceeds its limit.
    fn check(&self, key: &impl Hash) -> Result<(), Duration> {
        let checked = self.counters.check_key(&self.hasher.hash_one(key));
        checked.map_err(|not_until| not_until.wait_time_from(self.clock.now()))
    }
}

/// Returns the network that an address is counted by: the /64 of an IPv6 address, which a subscriber has as a whole.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

/// Returns a random delay within the poll interval, in whole seconds.
pub(crate) fn poll_delay(interval: PollInterval, entropy: &dyn Entropy) -> u64 {
    let spread = u64::try_from(interval.spread.whole_seconds()).unwrap_or(0);
    interval.earliest.unsigned_abs().as_secs() + random_below(spread + 1, entropy)
}

/// Adds a random time of up to a quarter of the delay, or up to one second if that is more. Clients that are rejected
/// together then do not retry together.
pub(crate) fn with_jitter(after: Duration, entropy: &dyn Entropy) -> Duration {
    after + Duration::from_secs(random_below((after.as_secs() / 4).max(1) + 1, entropy))
}

fn random_below(bound: u64, entropy: &dyn Entropy) -> u64 {
    (u64::from(entropy.bits()) * bound) >> 32
}

#[cfg(test)]
mod tests;
