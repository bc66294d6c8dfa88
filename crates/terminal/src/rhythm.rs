//! Delay policy: the documented poll interval with jitter, and exponential back-off after failures.

use std::time::Duration;

use pos_port_clock::Entropy;

/// Range of the poll interval, uniformly distributed ("poll every 3–5 seconds").
const POLL: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(5));
/// Upper bound of the delay after one failure; each further consecutive failure doubles it.
const FIRST_BACK_OFF: Duration = Duration::from_secs(6);
/// Upper bound of the delay after any number of failures.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);
/// Upper bound for `Retry-After`: a wrong value from the server must not disable a terminal.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// Jitter added to `Retry-After`, so that terminals that were rejected together do not retry together.
const RETRY_SPREAD: Duration = Duration::from_secs(2);

/// The delay before the next poll.
pub(crate) fn poll(entropy: &dyn Entropy) -> Duration {
    between(entropy, POLL.0, POLL.1)
}

/// The delay after `failures` consecutive failures, the last of which carried `retry_after`.
pub(crate) fn after_failure(entropy: &dyn Entropy, failures: u32, retry_after: Option<Duration>) -> Duration {
    if let Some(requested) = retry_after {
        return requested.min(LONGEST_RETRY_AFTER) + between(entropy, Duration::ZERO, RETRY_SPREAD);
    }
    let doublings = failures.saturating_sub(1).min(16);
    let longest = FIRST_BACK_OFF.saturating_mul(1 << doublings).min(LONGEST_BACK_OFF);
    between(entropy, longest / 2, longest)
}

fn between(entropy: &dyn Entropy, low: Duration, high: Duration) -> Duration {
    let fraction = f64::from(entropy.bits()) / (f64::from(u32::MAX) + 1.0);
    low + high.saturating_sub(low).mul_f64(fraction)
}

#[cfg(test)]
mod tests {
    use pos_port_clock::ScriptedEntropy;

    use super::*;

    const LOWEST: u32 = 0;
    const HIGHEST: u32 = u32::MAX;

    fn secs(duration: Duration) -> u64 {
        duration.as_millis().div_ceil(1000) as u64
    }

    #[test]
    fn polls_every_three_to_five_seconds() {
        let entropy = ScriptedEntropy::new([LOWEST, 1 << 31, HIGHEST]);
        assert_eq!(poll(&entropy), Duration::from_secs(3));
        assert_eq!(poll(&entropy), Duration::from_secs(4));
        assert_eq!(poll(&entropy), Duration::from_secs(5));
    }

    #[test]
    fn back_off_doubles_with_every_failure_up_to_a_minute() {
        let range = |failures| {
            let entropy = ScriptedEntropy::new([LOWEST, HIGHEST]);
            (secs(after_failure(&entropy, failures, None)), secs(after_failure(&entropy, failures, None)))
        };
        let ranges: Vec<_> = [1, 2, 3, 4, 5, 6, u32::MAX].into_iter().map(range).collect();
        assert_eq!(ranges, [(3, 6), (6, 12), (12, 24), (24, 48), (30, 60), (30, 60), (30, 60)]);
    }

    #[test]
    fn retries_after_retry_after_with_jitter() {
        let entropy = ScriptedEntropy::new([LOWEST, HIGHEST]);
        let requested = Some(Duration::from_secs(7));
        assert_eq!(after_failure(&entropy, 1, requested), Duration::from_secs(7));
        assert_eq!(secs(after_failure(&entropy, 9, requested)), 9);
    }

    #[test]
    fn retry_after_is_limited_to_one_hour() {
        let entropy = ScriptedEntropy::new([LOWEST]);
        assert_eq!(after_failure(&entropy, 1, Some(Duration::MAX)), Duration::from_secs(3600));
    }
}
