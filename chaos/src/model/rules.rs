//! The product's rules, told once more and as plainly as can be: what a call makes of a device, and what it is answered.

use std::collections::BTreeMap;

use super::{CallId, Instant};

/// A call about one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    /// The terminal asks for a code.
    Issue,
    /// The terminal asks how it stands.
    Look,
    /// A merchant types a code. `owner`: the device is this merchant's.
    Claim { code: CallId, owner: bool },
    /// Its merchant takes it back.
    Release,
    /// Its merchant takes it out of use.
    Decommission,
}

/// What a call was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    /// A new code.
    Issued,
    /// No code: it is claimed.
    AlreadyClaimed,
    /// There is no such device.
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
    /// The code has expired, or another took its place.
    CodeExpired,
    /// The device is another merchant's.
    NotOwner,
    /// It is released.
    Released,
    /// It was not claimed.
    NotClaimed,
    /// It is out of use.
    Decommissioned,
    /// It was out of use.
    WasDecommissioned,
}

/// How a device stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) now: Standing,
    /// The codes it was claimed with before, the latest last.
    used: Vec<CallId>,
}

/// The current part of a [`State`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Standing {
    Inactive(Option<CallId>),
    Claimed(CallId),
    Decommissioned,
}

/// When a code ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) earliest: Instant,
    pub(super) latest: Instant,
}

/// What the clock of whoever answers may have shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) earliest: Instant,
    pub(super) latest: Instant,
}

impl State {
    pub(super) fn fresh() -> Self {
        Self { now: Standing::Inactive(None), used: Vec::new() }
    }

    fn becomes(&self, now: Standing) -> Self {
        Self { now, used: self.used.clone() }
    }

    /// As it is without a claim; its code is remembered as used.
    fn unclaimed(&self, now: Standing) -> Self {
        /// Nobody types a code that is older than so many.
        const KEPT: usize = 6;
        let mut next = self.becomes(now);
        if let Standing::Claimed(code) = self.now {
            next.used.push(code);
            if next.used.len() > KEPT {
                next.used.remove(0);
            }
        }
        next
    }

    /// Every answer that a call may get now, with what it leaves behind.
    pub(super) fn after(
        &self,
        id: CallId,
        call: Call,
        at: Moment,
        codes: &BTreeMap<CallId, Window>,
    ) -> Vec<(Outcome, Self)> {
        let same = |outcome| vec![(outcome, self.clone())];
        match (call, self.now) {
            (Call::Issue | Call::Look, Standing::Decommissioned) => same(Outcome::Unknown),
            (Call::Issue, Standing::Claimed(_)) => same(Outcome::AlreadyClaimed),
            (Call::Issue, Standing::Inactive(_)) => {
                vec![(Outcome::Issued, self.becomes(Standing::Inactive(Some(id))))]
            }
            (Call::Look, Standing::Inactive(None)) => same(Outcome::Blank),
            (Call::Look, Standing::Claimed(_)) => same(Outcome::IsClaimed),
            (Call::Look, Standing::Inactive(Some(code))) => {
                let (live, dead) = may_be(code, at, codes);
                let told = [(live, Outcome::Pending), (dead, Outcome::Expired)];
                told.into_iter().filter(|(may, _)| *may).map(|(_, told)| (told, self.clone())).collect()
            }
            (Call::Claim { code, owner }, Standing::Inactive(Some(current))) if code == current => {
                let (live, dead) = may_be(code, at, codes);
                let accepted = if owner {
                    (Outcome::Claimed, self.becomes(Standing::Claimed(code)))
                } else {
                    (Outcome::NotOwner, self.clone())
                };
                let told = [(live, accepted), (dead, (Outcome::CodeExpired, self.clone()))];
                told.into_iter().filter(|(may, _)| *may).map(|(_, told)| told).collect()
            }
            (Call::Claim { code, .. }, Standing::Claimed(current)) if code == current => same(Outcome::CodeUsed),
            (Call::Claim { code, .. }, _) if self.used.contains(&code) => same(Outcome::CodeUsed),
            (Call::Claim { .. }, _) => same(Outcome::CodeExpired),
            (Call::Release, Standing::Claimed(_)) => {
                vec![(Outcome::Released, self.unclaimed(Standing::Inactive(None)))]
            }
            (Call::Release, Standing::Inactive(_)) => same(Outcome::NotClaimed),
            (Call::Release | Call::Decommission, Standing::Decommissioned) => same(Outcome::WasDecommissioned),
            (Call::Decommission, _) => vec![(Outcome::Decommissioned, self.unclaimed(Standing::Decommissioned))],
        }
    }
}

/// Whether a code may be good at a moment, and whether it may have ended.
fn may_be(code: CallId, at: Moment, codes: &BTreeMap<CallId, Window>) -> (bool, bool) {
    codes.get(&code).map_or((true, true), |ends| (at.earliest < ends.latest, at.latest >= ends.earliest))
}
