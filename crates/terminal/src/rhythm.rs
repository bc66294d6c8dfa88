//! How long to wait: the documented rhythm of polling, and the delays when something is wrong.

use std::time::Duration;

use pos_port_clock::Entropy;

/// Between two polls, chosen evenly ("poll every 3–5 seconds").
const POLL: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(5));
/// The longest first wait after a fault; each further one in a row doubles it.
const FIRST_BACK_OFF: Duration = Duration::from_secs(6);
/// The longest wait after any number of faults.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);
/// The longest the server can send a terminal away with `Retry-After`: a slip of the pen there must not brick it.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// Added to `Retry-After`, so that all the terminals that were sent away together do not come back together.
const RETRY_SPREAD: Duration = Duration::from_secs(2);

/// The wait before the next poll.
pub(crate) fn poll(entropy: &dyn Entropy) -> Duration {
    between(entropy, POLL.0, POLL.1)
}

/// The wait after `faults` faults in a row, the last of which said `retry_after`.
pub(crate) fn after_fault(entropy: &dyn Entropy, faults: u32, retry_after: Option<Duration>) -> Duration {
    if let Some(asked) = retry_after {
        return asked.min(LONGEST_RETRY_AFTER) + between(entropy, Duration::ZERO, RETRY_SPREAD);
    }
    let doublings = faults.saturating_sub(1).min(16);
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
        let draw = ScriptedEntropy::new([LOWEST, 1 << 31, HIGHEST]);
        assert_eq!(poll(&draw), Duration::from_secs(3));
        assert_eq!(poll(&draw), Duration::from_secs(4));
        assert_eq!(poll(&draw), Duration::from_secs(5));
    }

    #[test]
    fn backs_off_further_with_every_fault_up_to_a_minute() {
        let range = |faults| {
            let draw = ScriptedEntropy::new([LOWEST, HIGHEST]);
            (secs(after_fault(&draw, faults, None)), secs(after_fault(&draw, faults, None)))
        };
        let ranges: Vec<_> = [1, 2, 3, 4, 5, 6, u32::MAX].into_iter().map(range).collect();
        assert_eq!(ranges, [(3, 6), (6, 12), (12, 24), (24, 48), (30, 60), (30, 60), (30, 60)]);
    }

    #[test]
    fn never_comes_back_before_retry_after_and_not_with_the_herd() {
        let draw = ScriptedEntropy::new([LOWEST, HIGHEST]);
        let asked = Some(Duration::from_secs(7));
        assert_eq!(after_fault(&draw, 1, asked), Duration::from_secs(7));
        assert_eq!(secs(after_fault(&draw, 9, asked)), 9);
    }

    #[test]
    fn an_absurd_retry_after_is_cut_to_an_hour() {
        let draw = ScriptedEntropy::new([LOWEST]);
        assert_eq!(after_fault(&draw, 1, Some(Duration::MAX)), Duration::from_secs(3600));
    }
}
