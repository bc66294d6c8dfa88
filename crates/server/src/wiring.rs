//! From settings to adapters, and from adapters to use cases.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use pos_adapters::clock::{SystemClock, SystemEntropy};
use pos_adapters::http::{Api, Drain, FleetUseCases, Limits, Metrics, Pacing, Places, SessionUseCases, TrustedProxies};
use pos_adapters::identity::oidc::{OidcClientTokens, OidcSettings, OidcVerifier};
use pos_adapters::import::max_file_bytes;
use pos_adapters::storage::{DatabaseUrl, OpenedStorage, StorageOptions};
use pos_application::{
    AmendDevice, Answers, Bootstrap, CheckStatus, ClaimDevice, ClientStores, CloseSession, CurrentSession,
    DecommissionDevice, ExportAudit, Hosts, ImportDevices, ImportLimits, ImportStores, InitiateSession,
    IssuePairingCode, ManageClients, ManageDirectory, ManageLocations, ManageMembers, ManageMerchants, MoveDevice,
    ProvisionDevices, Reclaim, ReleaseDevice, Retention, SealAudit, StartClientSession, VerifyAudit, VerifyTrail,
    ViewDevices,
};
use pos_domain::{ClaimLimit, Place, Slug};
use pos_port_clock::{Clock, Entropy};
use pos_port_identity::{ClientTokens, LogoutVerifier, TokenVerifier};
use pos_port_storage::Storage;
use secrecy::ExposeSecret as _;

use crate::log_writer::dropped_lines;
use crate::settings::{IdentitySettings, Settings};

/// What a server is made of. Tests put their own clock, store or verifier here.
#[derive(Clone)]
pub struct Parts {
    /// The settings in force.
    pub settings: Settings,
    /// The opened store.
    pub storage: OpenedStorage,
    /// Who a bearer token speaks for.
    pub verifier: Arc<dyn TokenVerifier>,
    /// What a logout token ends.
    pub logouts: Arc<dyn LogoutVerifier>,
    /// Where machines' tokens come from.
    pub client_tokens: Arc<dyn ClientTokens>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
}

impl Parts {
    /// The parts of a real server: the system's clock and randomness, storage and identity as the settings say.
    ///
    /// # Errors
    /// When the store cannot be opened, or the settings do not say whose tokens to trust.
    pub async fn real(settings: Settings) -> anyhow::Result<Self> {
        Self::by_clock(settings, Arc::new(SystemClock)).await
    }

    /// The same by another clock, for a test that must move it.
    ///
    /// # Errors
    /// As [`Parts::real`].
    pub async fn by_clock(settings: Settings, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let storage = open_storage(&settings).await?;
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let oidc = oidc_settings(settings.require_identity()?);
        let client_tokens = OidcClientTokens::new(&oidc, clock.clone()).context("identity provider settings")?;
        let verifier = OidcVerifier::new(oidc, clock.clone()).context("identity provider settings")?;
        let verifier = Arc::new(verifier);
        tokio::spawn({
            let verifier = verifier.clone();
            async move { verifier.warm_up().await }
        });
        Ok(Self {
            settings,
            storage,
            logouts: verifier.clone(),
            verifier,
            client_tokens: Arc::new(client_tokens),
            clock,
            entropy,
        })
    }

    /// The handlers' view of it all.
    ///
    /// # Errors
    /// When the metrics cannot be set up.
    pub fn api(&self, drain: Drain) -> anyhow::Result<Api> {
        let Self { settings, storage: OpenedStorage { storage, pool }, verifier, clock, entropy, .. } = self;
        let devices = &storage.devices;
        let limit =
            ClaimLimit { max_failures: settings.claim.max_failures, window: whole(settings.claim.failure_window)? };
        let ttl = whole(settings.pairing.code_ttl)?;
        let oldest = settings.terminal.min_supported_version.clone();
        Ok(Api {
            bootstrap: Bootstrap::new(devices.clone(), clock.clone(), oldest),
            issue_pairing_code: IssuePairingCode::new(devices.clone(), clock.clone(), entropy.clone(), ttl),
            check_status: CheckStatus::new(
                devices.clone(),
                storage.changes.clone(),
                clock.clone(),
                settings.terminal.wait_recheck,
            ),
            claim_device: ClaimDevice::new(devices.clone(), storage.failures.clone(), clock.clone(), limit),
            sessions: self.sessions()?,
            fleet: self.fleet()?,
            import: import(settings, storage, clock.clone(), entropy.clone())?,
            verifier: verifier.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            pacing: Arc::new(Pacing::new(settings.limits.pace, clock)),
            trusted_proxies: TrustedProxies(settings.http.trusted_proxies.clone()),
            storage: storage.health.clone(),
            pool: pool.clone(),
            metrics: Metrics::new()
                .and_then(|metrics| metrics.with_dropped_log_lines(dropped_lines))
                .context("metrics")?,
            limits: Limits {
                max_body_bytes: settings.http.max_body_bytes,
                max_upload_bytes: max_file_bytes(settings.import.max_rows),
                max_header_bytes: settings.http.max_header_bytes,
                request_timeout: settings.http.request_timeout,
                max_wait: settings.terminal.max_wait,
                import_timeout: settings.import.timeout,
                import_stall_timeout: settings.import.stall_timeout,
                places: Places {
                    terminals: settings.http.max_terminal_calls,
                    portals: settings.http.max_portal_calls,
                    imports: settings.import.max_at_once,
                    pending_bodies: settings.http.max_pending_bodies,
                    patience: settings.http.max_place_wait,
                },
            },
            lazy_spans: settings.http.lazy_spans,
            metrics_enabled: settings.metrics.enabled,
            drain,
        })
    }

    /// What the server's schedule goes round with.
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub(crate) fn reclaim(&self) -> anyhow::Result<Reclaim> {
        reclaim(&self.settings, &self.storage.storage, self.clock.clone())
    }

    /// What seals the audit trail.
    pub(crate) fn seal(&self) -> SealAudit {
        SealAudit::new(self.storage.storage.trail.clone(), self.clock.clone())
    }

    fn fleet(&self) -> anyhow::Result<FleetUseCases> {
        let Self { settings, storage: OpenedStorage { storage, .. }, clock, entropy, .. } = self;
        let (fleet, directory) = (&storage.fleet, &storage.directory);
        let keep = whole(settings.idempotency.keep)?;
        Ok(FleetUseCases {
            answers: Answers::new(storage.answers.clone(), keep),
            provision: ProvisionDevices::new(fleet.clone(), clock.clone(), entropy.clone()),
            view: ViewDevices::new(fleet.clone(), storage.events.clone()),
            amend: AmendDevice::new(fleet.clone(), clock.clone()),
            release: ReleaseDevice::new(fleet.clone(), clock.clone()),
            decommission: DecommissionDevice::new(fleet.clone(), clock.clone()),
            relocate: MoveDevice::new(fleet.clone(), directory.clone(), clock.clone()),
            locations: ManageLocations::new(storage.locations.clone(), clock.clone(), entropy.clone()),
            merchants: ManageMerchants::new(directory.clone(), clock.clone(), entropy.clone()),
        })
    }

    fn sessions(&self) -> anyhow::Result<SessionUseCases> {
        let Self { settings, storage: OpenedStorage { storage, .. }, verifier, clock, .. } = self;
        let (directory, sessions) = (&storage.directory, &storage.sessions);
        let lifetime = whole(settings.session.max_lifetime)?;
        let hosts = Hosts::new(settings.session.hosts.iter().cloned());
        let limit =
            ClaimLimit { max_failures: settings.client.max_failures, window: whole(settings.client.failure_window)? };
        let stores = ClientStores {
            clients: storage.clients.clone(),
            failures: storage.client_failures.clone(),
            directory: directory.clone(),
            sessions: sessions.clone(),
        };
        let machines = Slug::parse("api").context("where machines come in")?;
        let place = Place { application: machines.clone(), channel: machines };
        Ok(SessionUseCases {
            initiate: InitiateSession::new(
                directory.clone(),
                storage.members.clone(),
                sessions.clone(),
                clock.clone(),
                hosts,
                lifetime,
            ),
            client: StartClientSession::new(
                stores,
                self.client_tokens.clone(),
                verifier.clone(),
                clock.clone(),
                place,
                limit,
                lifetime,
            ),
            current: CurrentSession::new(sessions.clone(), clock.clone()),
            close: CloseSession::new(sessions.clone(), self.logouts.clone(), clock.clone(), lifetime),
        })
    }
}

/// What the commands work with.
pub struct Back {
    /// The store.
    pub storage: OpenedStorage,
    /// `device add`.
    pub provision: ProvisionDevices,
    /// `device import`.
    pub import: ImportDevices,
    /// `device edit`.
    pub amend: AmendDevice,
    /// `device release`.
    pub release: ReleaseDevice,
    /// `device decommission`.
    pub decommission: DecommissionDevice,
    /// `device move`.
    pub relocate: MoveDevice,
    /// `location …`.
    pub locations: ManageLocations,
    /// `merchant rename`.
    pub merchants: ManageMerchants,
    /// `reclaim`.
    pub reclaim: Reclaim,
    /// `audit verify`: the events of devices.
    pub verify: VerifyAudit,
    /// `audit verify`: the administrative events, and the rows they are about.
    pub verify_trail: VerifyTrail,
    /// What an administrative command does last.
    pub seal: SealAudit,
    /// `audit export`.
    pub export: ExportAudit,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// `reseller add`, `merchant add`.
    pub directory: ManageDirectory,
    /// `member …`.
    pub members: ManageMembers,
    /// `client …`.
    pub clients: ManageClients,
}

impl Back {
    /// Opens the store that the settings name.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let storage = open_storage(settings).await?;
        let fleet = storage.storage.fleet.clone();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let (directory, members) = (storage.storage.directory.clone(), storage.storage.members.clone());
        let clients = storage.storage.clients.clone();
        Ok(Self {
            import: import(settings, &storage.storage, clock.clone(), entropy.clone())?,
            provision: ProvisionDevices::new(fleet.clone(), clock.clone(), entropy.clone()),
            amend: AmendDevice::new(fleet.clone(), clock.clone()),
            release: ReleaseDevice::new(fleet.clone(), clock.clone()),
            decommission: DecommissionDevice::new(fleet.clone(), clock.clone()),
            relocate: MoveDevice::new(fleet.clone(), directory.clone(), clock.clone()),
            locations: ManageLocations::new(storage.storage.locations.clone(), clock.clone(), entropy.clone()),
            merchants: ManageMerchants::new(directory.clone(), clock.clone(), entropy.clone()),
            verify: VerifyAudit::new(fleet, storage.storage.events.clone()).with_clock(clock.clone()),
            verify_trail: VerifyTrail::new(storage.storage.trail.clone(), clock.clone()),
            seal: SealAudit::new(storage.storage.trail.clone(), clock.clone()),
            reclaim: reclaim(settings, &storage.storage, clock.clone())?,
            export: ExportAudit::new(storage.storage.events.clone()),
            directory: ManageDirectory::new(directory, clock.clone(), entropy.clone()),
            members: ManageMembers::new(members, clock.clone(), entropy.clone()),
            clients: ManageClients::new(clients, clock.clone(), entropy),
            clock,
            storage,
        })
    }

    /// Seals the event of a command that did something, and passes its result on. What cannot be sealed now is sealed by
    /// the next that does.
    pub(crate) async fn seal_after<T>(&self, done: anyhow::Result<T>) -> anyhow::Result<T> {
        if done.is_ok()
            && let Err(error) = self.seal.run().await
        {
            tracing::debug!(error = &error as &dyn std::error::Error, "audit events were not sealed");
        }
        done
    }
}

/// How to reach the store.
///
/// # Errors
/// When the URL is none.
pub fn storage_options(settings: &Settings) -> anyhow::Result<StorageOptions> {
    let Settings { database: settings, terminal, .. } = settings;
    Ok(StorageOptions {
        url: settings.url.expose_secret().parse::<DatabaseUrl>().context("database.url (POS__DATABASE__URL)")?,
        max_connections: settings.max_connections as usize,
        acquire_timeout: settings.acquire_timeout,
        connect_timeout: settings.connect_timeout,
        statement_timeout: settings.statement_timeout,
        gather: settings.gather,
        max_watches: terminal.max_waiting,
        pooler: settings.pooler,
        direct_url: settings
            .direct_url
            .as_ref()
            .map(|url| url.expose_secret().parse::<DatabaseUrl>())
            .transpose()
            .context("database.direct_url (POS__DATABASE__DIRECT_URL)")?,
    })
}

async fn open_storage(settings: &Settings) -> anyhow::Result<OpenedStorage> {
    Ok(pos_adapters::storage::open(&storage_options(settings)?).await?)
}

/// Whether tokens can be verified under these settings. Goes nowhere.
///
/// # Errors
/// When they cannot.
pub fn check_identity(settings: IdentitySettings) -> anyhow::Result<()> {
    OidcVerifier::new(oidc_settings(settings), Arc::new(SystemClock)).context("identity provider settings")?;
    Ok(())
}

/// How long an upload that nobody finished is kept: longer than any call may take.
const UPLOAD: time::Duration = time::Duration::hours(2);

fn import(
    settings: &Settings,
    storage: &Storage,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> anyhow::Result<ImportDevices> {
    let stores = ImportStores {
        staging: storage.staging.clone(),
        imports: storage.imports.clone(),
        directory: storage.directory.clone(),
        locations: storage.locations.clone(),
        trail: storage.trail.clone(),
    };
    let keep = whole(settings.idempotency.keep)?;
    let limits = ImportLimits {
        max_rows: settings.import.max_rows,
        upload: UPLOAD,
        keep,
        max_refused_rows: settings.import.max_refused_rows,
        refusal_window: whole(settings.import.refusal_window)?,
    };
    Ok(ImportDevices::new(stores, clock, entropy, limits))
}

fn reclaim(settings: &Settings, storage: &Storage, clock: Arc<dyn Clock>) -> anyhow::Result<Reclaim> {
    let of = &settings.reclaim;
    let retention = Retention {
        ended_codes: whole(of.ended_codes_keep)?,
        failures: whole(of.failures_keep)?,
        sessions: whole(of.sessions_keep)?,
        events: of.events_keep.map(whole).transpose()?,
    };
    Ok(Reclaim::new(storage.reclaiming.clone(), clock, retention, of.batch))
}

fn oidc_settings(settings: IdentitySettings) -> OidcSettings {
    OidcSettings {
        issuer: settings.issuer,
        audience: settings.audience,
        merchant_claim: settings.merchant_claim,
        reseller_claim: settings.reseller_claim,
        roles_claim: settings.roles_claim,
        logout_clients: settings.logout_clients,
        leeway: settings.leeway,
        http_timeout: settings.http_timeout,
        refresh_cooldown: settings.refresh_cooldown,
        keys_max_age: settings.keys_max_age,
        token_cache_capacity: settings.token_cache_capacity,
        allow_insecure_issuer: settings.allow_insecure_issuer,
    }
}

fn whole(duration: Duration) -> anyhow::Result<time::Duration> {
    time::Duration::try_from(duration).context("a duration in the settings")
}
