//! Typed settings of the server, from three layers.
//!
//! `config/default.toml` (compiled into the binary) has every key with its default, which also sets its type. A file given
//! with `--config` and the environment (`POS__SECTION__KEY`) override it. All faults of all layers are reported at once, each
//! with its key, source and remedy, unknown keys included.
//!
//! To add a key, give it a default and a comment in `config/default.toml`, and a field in its section under `sections/`. A
//! test fails if one of the two is missing.

mod effective;
mod exact;
mod fault;
mod layers;
mod masking;
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
    ImportSettings, LimitSettings, LogFormat, LogSettings, MetricsSettings, PairingSettings, RetentionSettings,
    SessionSettings, ShutdownSettings, TerminalSettings,
};

use layers::Layers;
use reader::Reader;

/// Validated settings. `Debug` prints no secret.
#[derive(Debug, Clone)]
pub struct Settings {
    /// HTTP server.
    pub http: HttpSettings,
    /// Database.
    pub database: DatabaseSettings,
    /// Pairing codes.
    pub pairing: PairingSettings,
    /// Terminals: supported version and held status requests.
    pub terminal: TerminalSettings,
    /// Rate limits of terminals.
    pub limits: LimitSettings,
    /// Limit on failed claims.
    pub claim: ClaimSettings,
    /// Sessions.
    pub session: SessionSettings,
    /// API clients.
    pub client: ClientSettings,
    /// Idempotency keys.
    pub idempotency: IdempotencySettings,
    /// Device imports.
    pub import: ImportSettings,
    /// Retention and the purge of expired rows.
    pub retention: RetentionSettings,
    /// Logging.
    pub log: LogSettings,
    /// Graceful shutdown.
    pub shutdown: ShutdownSettings,
    /// Metrics.
    pub metrics: MetricsSettings,
    identity: IdentitySettings,
    effective: Effective,
}

impl Settings {
    /// Reads all layers: the defaults, `config_file`, and the variables of `env` that start with `POS__`.
    ///
    /// # Errors
    /// [`SettingsFaults`] with all faults of all layers.
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

    /// Settings of the identity provider. Checked separately, because only a server that accepts tokens needs them.
    ///
    /// # Errors
    /// [`SettingsFaults`] names the issuer or the audience if it is not set, and how to set it.
    pub fn require_identity(&self) -> Result<IdentitySettings, SettingsFaults> {
        let missing: Vec<_> = [
            ("identity.issuer", &self.identity.issuer, "the realm's URL, like https://login.example.com/realms/pos"),
            ("identity.audience", &self.identity.audience, "the audience of its tokens for this server"),
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

    /// Every key with its effective value and source; secrets are masked.
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
        let retention = RetentionSettings::read(reader, claim.as_ref(), client.as_ref());
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
                retention: retention?,
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

/// Environment variables of the process that start with `POS__`. A value that is not Unicode is converted lossily and fails
/// its validation.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| name.starts_with(layers::PREFIX))?;
        Some((name, value.to_string_lossy().into_owned()))
    })
}
