//! Specification of the product's rules: the state transition and the response of each call about a device.

use std::collections::BTreeMap;

use super::{CallId, Instant};

/// A call about one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    /// The terminal requests a code.
    Issue,
    /// The terminal polls its status.
    Poll,
    /// A merchant claims with a code. `owner`: the device belongs to this merchant.
    Claim { code: CallId, owner: bool },
    /// Its merchant releases the device.
    Release,
    /// Its merchant decommissions the device.
    Decommission,
}

/// The response to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    /// A new code.
    Issued,
    /// No code, because the device is claimed.
    AlreadyClaimed,
    /// The device is unknown.
    Unknown,
    /// `inactive`, `none`.
    Blank,
    /// `inactive`, `pending`.
    Pending,
    /// `inactive`, `expired`.
    Expired,
    /// `claimed`, `used`.
    IsClaimed,
    /// The claim succeeded.
    Claimed,
    /// The code was used.
    CodeUsed,
    /// The code has expired, or was superseded.
    CodeExpired,
    /// The device belongs to another merchant.
    NotOwner,
    /// The release succeeded.
    Released,
    /// The device was not claimed.
    NotClaimed,
    /// The decommissioning succeeded.
    Decommissioned,
    /// The device was already decommissioned.
    WasDecommissioned,
}

/// The state of a device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) status: Status,
    /// The codes of earlier claims, the latest last.
    used: Vec<CallId>,
}

/// The status of a device, with its current code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Status {
    Inactive(Option<CallId>),
    Claimed(CallId),
    Decommissioned,
}

/// The range in which a code expires.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExpiryRange {
    pub(super) earliest: Instant,
    pub(super) latest: Instant,
}

/// The range of the server's clock while it processed a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClockRange {
    pub(super) earliest: Instant,
    pub(super) latest: Instant,
}

impl State {
    pub(super) fn initial() -> Self {
        Self { status: Status::Inactive(None), used: Vec::new() }
    }

    fn with_status(&self, status: Status) -> Self {
        Self { status, used: self.used.clone() }
    }

    /// The state after the end of a claim, if there is one; its code becomes a used code.
    fn unclaimed(&self, status: Status) -> Self {
        /// The simulated merchants never type an older code.
        const MAX_USED: usize = 6;
        let mut next = self.with_status(status);
        if let Status::Claimed(code) = self.status {
            next.used.push(code);
            if next.used.len() > MAX_USED {
                next.used.remove(0);
            }
        }
        next
    }

    /// Every possible response to a call, with the state that follows.
    pub(super) fn transitions(
        &self,
        id: CallId,
        call: Call,
        clock: ClockRange,
        codes: &BTreeMap<CallId, ExpiryRange>,
    ) -> Vec<(Outcome, Self)> {
        let same = |outcome| vec![(outcome, self.clone())];
        match (call, self.status) {
            (Call::Issue | Call::Poll, Status::Decommissioned) => same(Outcome::Unknown),
            (Call::Issue, Status::Claimed(_)) => same(Outcome::AlreadyClaimed),
            (Call::Issue, Status::Inactive(_)) => {
                vec![(Outcome::Issued, self.with_status(Status::Inactive(Some(id))))]
            }
            (Call::Poll, Status::Inactive(None)) => same(Outcome::Blank),
            (Call::Poll, Status::Claimed(_)) => same(Outcome::IsClaimed),
            (Call::Poll, Status::Inactive(Some(code))) => {
                let (valid, expired) = may_be_valid_or_expired(code, clock, codes);
                let outcomes = [(valid, Outcome::Pending), (expired, Outcome::Expired)];
                outcomes.into_iter().filter(|(may, _)| *may).map(|(_, outcome)| (outcome, self.clone())).collect()
            }
            (Call::Claim { code, owner }, Status::Inactive(Some(current))) if code == current => {
                let (valid, expired) = may_be_valid_or_expired(code, clock, codes);
                let accepted = if owner {
                    (Outcome::Claimed, self.with_status(Status::Claimed(code)))
                } else {
                    (Outcome::NotOwner, self.clone())
                };
                let outcomes = [(valid, accepted), (expired, (Outcome::CodeExpired, self.clone()))];
                outcomes.into_iter().filter(|(may, _)| *may).map(|(_, outcome)| outcome).collect()
            }
            (Call::Claim { code, .. }, Status::Claimed(current)) if code == current => same(Outcome::CodeUsed),
            (Call::Claim { code, .. }, _) if self.used.contains(&code) => same(Outcome::CodeUsed),
            (Call::Claim { .. }, _) => same(Outcome::CodeExpired),
            (Call::Release, Status::Claimed(_)) => {
                vec![(Outcome::Released, self.unclaimed(Status::Inactive(None)))]
            }
            (Call::Release, Status::Inactive(_)) => same(Outcome::NotClaimed),
            (Call::Release | Call::Decommission, Status::Decommissioned) => same(Outcome::WasDecommissioned),
            (Call::Decommission, _) => vec![(Outcome::Decommissioned, self.unclaimed(Status::Decommissioned))],
        }
    }
}

/// Whether a code may be valid, and whether it may be expired, by the server's clock.
fn may_be_valid_or_expired(code: CallId, clock: ClockRange, codes: &BTreeMap<CallId, ExpiryRange>) -> (bool, bool) {
    let ranges = |expiry: &ExpiryRange| (clock.earliest < expiry.latest, clock.latest >= expiry.earliest);
    codes.get(&code).map_or((true, true), ranges)
}
