//! W3C Trace Context, level 1: the `traceparent` header that correlates a request with the server's log.

use pos_port_clock::Entropy;

/// A new `traceparent` and its trace id.
pub(crate) struct Trace {
    /// 32 lower-case hex digits.
    pub(crate) id: String,
    /// The header's value: version 00, sampled.
    pub(crate) parent: String,
}

impl Trace {
    pub(crate) fn fresh(entropy: &dyn Entropy) -> Self {
        let id = format!("{:032x}", non_zero::<16>(entropy, u128::from_be_bytes));
        let parent = format!("00-{id}-{:016x}-01", non_zero::<8>(entropy, |bytes| u64::from_be_bytes(bytes).into()));
        Self { id, parent }
    }
}

/// A random number, at least 1: an all-zero id is invalid (Trace Context, section 3.2.2.3).
fn non_zero<const N: usize>(entropy: &dyn Entropy, number: impl Fn([u8; N]) -> u128) -> u128 {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    number(bytes).max(1)
}

#[cfg(test)]
mod tests {
    use pos_port_clock::ScriptedEntropy;

    use super::*;

    #[test]
    fn ids_are_never_all_zero() {
        let trace = Trace::fresh(&ScriptedEntropy::new([0; 6]));
        assert_eq!(trace.id, format!("{:032x}", 1));
        assert_eq!(trace.parent, format!("00-{:032x}-{:016x}-01", 1, 1));
    }
}
