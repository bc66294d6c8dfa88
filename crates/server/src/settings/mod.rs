//! What the server is told: typed settings from three layers.
//!
//! `config/default.toml` (within the binary) names every key with its default, and thereby its type; a file given with
//! `--config` and the environment (`POS__SECTION__KEY`) override it. Nothing is applied silently: every fault of every
//! layer is reported at once, each with its key, where it came from and how to mend it, unknown keys included.
//!
//! To add a key: give it a default and a comment in `config/default.toml`, and a field in its section under
//! `sections/`. A test fails when one of the two is missing.

mod effective;
mod exact;
mod fault;
mod layers;
mod reader;
mod sections;
mod suggest;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use effective::{Effective, EffectiveSetting};
pub use fault::{SettingsFault, SettingsFaults, Source};
pub use sections::{
    ClaimSettings, ClientSettings, DatabaseSettings, HttpSettings, IdempotencySettings, IdentitySettings,
    ImportSettings, LimitSettings, LogFormat, LogSettings, MetricsSettings, PairingSettings, ReclaimSettings,
    SessionSettings, ShutdownSettings, TerminalSettings,
};

use layers::Layers;
use reader::Reader;

/// Everything the server is told, checked. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The door.
    pub http: HttpSettings,
    /// The store.
    pub database: DatabaseSettings,
    /// Pairing codes.
    pub pairing: PairingSettings,
    /// What terminals are told.
    pub terminal: TerminalSettings,
    /// How fast terminals may call.
    pub limits: LimitSettings,
    /// The bound on failed claims.
    pub claim: ClaimSettings,
    /// Initiated sessions.
    pub session: SessionSettings,
    /// API clients.
    pub client: ClientSettings,
    /// Creating calls that are sent more than once.
    pub idempotency: IdempotencySettings,
    /// Files of devices.
    pub import: ImportSettings,
    /// The room of what nobody needs any more.
    pub reclaim: ReclaimSettings,
    /// The log.
    pub log: LogSettings,
    /// The end of the process.
    pub shutdown: ShutdownSettings,
    /// Metrics.
    pub metrics: MetricsSettings,
    identity: IdentitySettings,
    effective: Effective,
}

impl Settings {
    /// Reads all layers: the defaults, `config_file`, and those variables of `env` that start with `POS__`.
    ///
    /// # Errors
    /// [`SettingsFaults`] with every fault of every layer.
    pub fn load(
        config_file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingsFaults> {
        let mut layers = Layers::defaults();
        if let Some(path) = config_file {
            layers.add_file(path);
        }
        layers.add_variables(env);
        let (entries, faults) = layers.finish();
        Self::read(&mut Reader::new(&entries, faults))
    }

    /// Where merchants' tokens come from. A command of its own, as only a server that lets merchants in needs it.
    ///
    /// # Errors
    /// [`SettingsFaults`] names each of the issuer and the audience that is not set, and how to set it.
    pub fn require_identity(&self) -> Result<IdentitySettings, SettingsFaults> {
        let missing: Vec<_> = [
            (
                "identity.issuer",
                &self.identity.issuer,
                "the realm's address, like https://login.example.com/realms/pos",
            ),
            ("identity.audience", &self.identity.audience, "the audience its tokens carry for this server"),
        ]
        .into_iter()
        .filter(|(_, value, _)| value.is_empty())
        .map(|(key, _, meaning)| SettingsFault {
            key: key.to_owned(),
            source: self.effective.source_of(key),
            problem: "is not set".to_owned(),
            remedy: format!("set {} (or {key} in the --config file) to {meaning}", layers::variable_of(key)),
        })
        .collect();
        if missing.is_empty() { Ok(self.identity.clone()) } else { Err(SettingsFaults(missing)) }
    }

    /// Every key with its value in force and where it came from; secrets masked.
    #[must_use]
    pub fn effective(&self) -> &Effective {
        &self.effective
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, SettingsFaults> {
        let http = HttpSettings::read(reader);
        let database = DatabaseSettings::read(reader);
        let identity = IdentitySettings::read(reader);
        let pairing = PairingSettings::read(reader);
        let terminal = TerminalSettings::read(reader);
        let limits = LimitSettings::read(reader);
        let claim = ClaimSettings::read(reader);
        let session = SessionSettings::read(reader);
        let client = ClientSettings::read(reader);
        let idempotency = IdempotencySettings::read(reader);
        let import = ImportSettings::read(reader);
        let reclaim = ReclaimSettings::read(reader, claim.as_ref(), client.as_ref());
        let log = LogSettings::read(reader);
        let shutdown = ShutdownSettings::read(reader);
        let metrics = MetricsSettings::read(reader);
        let effective = reader.effective();
        let all = || {
            Some(Self {
                http: http?,
                database: database?,
                pairing: pairing?,
                terminal: terminal?,
                limits: limits?,
                claim: claim?,
                session: session?,
                client: client?,
                idempotency: idempotency?,
                import: import?,
                reclaim: reclaim?,
                log: log?,
                shutdown: shutdown?,
                metrics: metrics?,
                identity: identity?,
                effective,
            })
        };
        let faults = reader.faults();
        all().filter(|_| faults.is_empty()).ok_or(SettingsFaults(faults))
    }
}

/// The process's own variables that start with `POS__`. A value that is no Unicode is taken as near as it comes, and
/// fails where it is checked.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| name.starts_with(layers::PREFIX))?;
        Some((name, value.to_string_lossy().into_owned()))
    })
}
