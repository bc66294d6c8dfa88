//! Kinds of faults.

use crate::faults::Ground;

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    KillServer,
    KillEveryServer,
    RestartPostgres,
    CrashPostgres,
    KillBackends,
    FreezePostgres,
    CutLine,
    SlowLine,
    SilentLine,
    ExhaustPool,
    FreezeIssuer,
    RestartIssuer,
    ClockAhead,
    ClockBehind,
    SlowClients,
    FullDisk,
    LeavingCallers,
    PausedServer,
    StalledLog,
    HeldRow,
    BulkImport,
}

impl Fault {
    pub(crate) const ALL: [Self; 21] = [
        Self::KillServer,
        Self::KillEveryServer,
        Self::RestartPostgres,
        Self::CrashPostgres,
        Self::KillBackends,
        Self::FreezePostgres,
        Self::CutLine,
        Self::SlowLine,
        Self::SilentLine,
        Self::ExhaustPool,
        Self::FreezeIssuer,
        Self::RestartIssuer,
        Self::ClockAhead,
        Self::ClockBehind,
        Self::SlowClients,
        Self::FullDisk,
        Self::LeavingCallers,
        Self::PausedServer,
        Self::StalledLog,
        Self::HeldRow,
        Self::BulkImport,
    ];

    /// As the report calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KillServer => "SIGKILL of a server",
            Self::KillEveryServer => "SIGKILL of every server",
            Self::RestartPostgres => "PostgreSQL restarted",
            Self::CrashPostgres => "PostgreSQL crashed",
            Self::KillBackends => "PostgreSQL's backends killed",
            Self::FreezePostgres => "PostgreSQL frozen",
            Self::CutLine => "line to the database cut",
            Self::SlowLine => "line to the database slow",
            Self::SilentLine => "line to the database silent",
            Self::ExhaustPool => "pool exhausted",
            Self::FreezeIssuer => "identity provider frozen",
            Self::RestartIssuer => "identity provider restarted with new keys",
            Self::ClockAhead => "clock of one replica ahead",
            Self::ClockBehind => "clock of one replica behind",
            Self::SlowClients => "slow and half-open clients",
            Self::FullDisk => "disk full",
            Self::LeavingCallers => "callers leave in the middle",
            Self::PausedServer => "a server paused",
            Self::StalledLog => "a server's log not read",
            Self::HeldRow => "a device's row held",
            Self::BulkImport => "bulk import",
        }
    }

    pub(crate) fn is_possible(self, on: &Ground) -> bool {
        match self {
            Self::KillServer
            | Self::SlowClients
            | Self::LeavingCallers
            | Self::PausedServer
            | Self::StalledLog
            | Self::BulkImport => true,
            Self::KillEveryServer | Self::FreezeIssuer | Self::RestartIssuer => on.postgres.is_some(),
            Self::RestartPostgres
            | Self::CrashPostgres
            | Self::KillBackends
            | Self::FreezePostgres
            | Self::ExhaustPool
            | Self::HeldRow => on.postgres.is_some(),
            Self::CutLine | Self::SlowLine | Self::SilentLine => on.proxy.is_some(),
            Self::ClockAhead | Self::ClockBehind => on.can_skew && on.postgres.is_some(),
            Self::FullDisk => on.disk.is_some(),
        }
    }

    /// Whether the two faults may run at once: one of the database or its network, the other of its clients.
    pub(crate) fn goes_with(self, other: Self) -> bool {
        self.is_of_database() && !other.is_of_database() && !other.is_harmless() && other != Self::FullDisk
    }

    pub(crate) fn is_of_database(self) -> bool {
        matches!(
            self,
            Self::RestartPostgres
                | Self::CrashPostgres
                | Self::KillBackends
                | Self::FreezePostgres
                | Self::CutLine
                | Self::SlowLine
                | Self::SilentLine
                | Self::ExhaustPool
        )
    }

    /// Whether a server dies of it. (With the issuer one is started anew, if one may be.)
    pub(crate) fn kills(self) -> bool {
        matches!(self, Self::KillServer | Self::KillEveryServer | Self::ClockAhead | Self::ClockBehind)
    }

    /// Whether no request may fail because of it, except those it excuses itself: to the server that is paused, or about
    /// the device whose row is held.
    pub(crate) fn is_harmless(self) -> bool {
        matches!(
            self,
            Self::SlowClients
                | Self::LeavingCallers
                | Self::PausedServer
                | Self::StalledLog
                | Self::HeldRow
                | Self::BulkImport
        )
    }
}
