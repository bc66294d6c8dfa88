//! Kinds of faults and their properties.

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    KillServer,
    KillEveryServer,
    RestartPostgres,
    CrashPostgres,
    KillBackends,
    FreezePostgres,
    CutNetwork,
    SlowNetwork,
    SilentNetwork,
    ExhaustPool,
    FreezeIssuer,
    RestartIssuer,
    ClockAhead,
    ClockBehind,
    SlowClients,
    FullDisk,
    DisconnectingClients,
    PausedServer,
    StalledLog,
    LockedRow,
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
        Self::CutNetwork,
        Self::SlowNetwork,
        Self::SilentNetwork,
        Self::ExhaustPool,
        Self::FreezeIssuer,
        Self::RestartIssuer,
        Self::ClockAhead,
        Self::ClockBehind,
        Self::SlowClients,
        Self::FullDisk,
        Self::DisconnectingClients,
        Self::PausedServer,
        Self::StalledLog,
        Self::LockedRow,
        Self::BulkImport,
    ];

    /// Its name in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KillServer => "SIGKILL of a server",
            Self::KillEveryServer => "SIGKILL of every server",
            Self::RestartPostgres => "PostgreSQL restarted",
            Self::CrashPostgres => "PostgreSQL crashed",
            Self::KillBackends => "PostgreSQL's backends killed",
            Self::FreezePostgres => "PostgreSQL frozen",
            Self::CutNetwork => "database network cut",
            Self::SlowNetwork => "database network slow",
            Self::SilentNetwork => "database network silent",
            Self::ExhaustPool => "pool exhausted",
            Self::FreezeIssuer => "identity provider frozen",
            Self::RestartIssuer => "identity provider restarted with new keys",
            Self::ClockAhead => "clock of one replica ahead",
            Self::ClockBehind => "clock of one replica behind",
            Self::SlowClients => "slow and half-open clients",
            Self::FullDisk => "disk full",
            Self::DisconnectingClients => "clients disconnect early",
            Self::PausedServer => "server paused",
            Self::StalledLog => "log pipe stalled",
            Self::LockedRow => "device row locked",
            Self::BulkImport => "bulk import",
        }
    }

    /// Whether the two faults may overlap: one affects the database or its network, the other does not.
    pub(crate) fn may_overlap(self, other: Self) -> bool {
        self.affects_database() && !other.affects_database() && !other.is_transparent() && other != Self::FullDisk
    }

    fn affects_database(self) -> bool {
        matches!(
            self,
            Self::RestartPostgres
                | Self::CrashPostgres
                | Self::KillBackends
                | Self::FreezePostgres
                | Self::CutNetwork
                | Self::SlowNetwork
                | Self::SilentNetwork
                | Self::ExhaustPool
        )
    }

    /// Whether it kills a server. (Restarting the issuer also kills one, but only if one may be killed.)
    pub(crate) fn kills_server(self) -> bool {
        matches!(self, Self::KillServer | Self::KillEveryServer | Self::ClockAhead | Self::ClockBehind)
    }

    /// Whether no request may fail because of it, except those that it excuses itself: requests to the paused server, and
    /// requests about the device whose row is locked.
    pub(crate) fn is_transparent(self) -> bool {
        matches!(
            self,
            Self::SlowClients
                | Self::DisconnectingClients
                | Self::PausedServer
                | Self::StalledLog
                | Self::LockedRow
                | Self::BulkImport
        )
    }
}
