//! Dependency wiring: builds adapters from settings, and use cases from adapters.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use pos_adapters::clock::{SystemClock, SystemEntropy};
use pos_adapters::http::{Api, ConcurrencyLimits, Drain, Limits, Metrics, RateLimiter, TrustedProxies};
use pos_adapters::identity::oidc::{OidcClientTokens, OidcSettings, OidcVerifier};
use pos_adapters::import::DeviceFiles;
use pos_adapters::storage::{DatabaseUrl, OpenedStorage, StorageOptions};
use pos_application::audit::Retention;
use pos_application::fleet::{ImportLimits, max_file_bytes};
use pos_application::tenancy::Hosts;
use pos_application::{IdentityPorts, Ports, Rules, UseCases};
use pos_domain::shared::AttemptLimit;
use pos_domain::tenancy::{ClientApp, Slug};
use pos_port_clock::{Clock, Entropy};
use pos_port_identity::NoProvider;
use secrecy::ExposeSecret as _;

use crate::log_writer::dropped_lines;
use crate::settings::{IdentitySettings, Settings};

/// Dependencies of a server. Tests replace the clock, the storage or the verifier.
#[derive(Clone)]
pub struct Dependencies {
    /// Settings in effect.
    pub settings: Settings,
    /// Opened storage.
    pub storage: OpenedStorage,
    /// Identity provider.
    pub identity: IdentityPorts,
    /// Clock.
    pub clock: Arc<dyn Clock>,
    /// Source of randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl Dependencies {
    /// Dependencies of a real server: system clock, system randomness, storage and identity as the settings say.
    ///
    /// # Errors
    /// If the storage cannot be opened, or if the settings do not set the issuer and the audience.
    pub async fn real(settings: Settings) -> anyhow::Result<Self> {
        Self::with_clock(settings, Arc::new(SystemClock)).await
    }

    /// Like [`Self::real`] with another clock, for tests that move it.
    ///
    /// # Errors
    /// As [`Self::real`].
    pub async fn with_clock(settings: Settings, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
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
            identity: IdentityPorts { logouts: verifier.clone(), verifier, client_tokens: Arc::new(client_tokens) },
            clock,
            entropy,
        })
    }

    /// The state of the HTTP workers.
    ///
    /// # Errors
    /// When a setting cannot be used, or the metrics cannot be set up.
    pub fn api(&self, drain: Drain) -> anyhow::Result<Api> {
        let Self { settings, storage: OpenedStorage { storage, pool }, clock, entropy, .. } = self;
        Ok(Api {
            use_cases: self.use_cases()?,
            verifier: self.identity.verifier.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            rate_limiter: Arc::new(RateLimiter::new(settings.limits.rates, clock)),
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
                concurrency: ConcurrencyLimits {
                    terminals: settings.http.max_concurrent_terminal_requests,
                    portals: settings.http.max_concurrent_portal_requests,
                    imports: settings.import.max_concurrent,
                    pending_bodies: settings.http.max_pending_bodies,
                    queue_timeout: settings.http.queue_timeout,
                },
            },
            lazy_spans: settings.http.lazy_spans,
            metrics_enabled: settings.metrics.enabled,
            drain,
        })
    }

    /// Every use case.
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub fn use_cases(&self) -> anyhow::Result<UseCases> {
        let ports = Ports {
            storage: self.storage.storage.clone(),
            identity: self.identity.clone(),
            import_files: Arc::new(DeviceFiles),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
        };
        Ok(UseCases::new(&ports, &rules(&self.settings)?))
    }
}

/// Use cases of the commands.
pub struct AdminUseCases {
    /// Opened storage.
    pub storage: OpenedStorage,
    /// Every use case.
    pub use_cases: UseCases,
    /// Clock.
    pub clock: Arc<dyn Clock>,
}

impl AdminUseCases {
    /// Opens the storage that the settings name.
    ///
    /// # Errors
    /// When it cannot be opened, or a setting cannot be used.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let storage = open_storage(settings).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let provider = Arc::new(NoProvider);
        let ports = Ports {
            storage: storage.storage.clone(),
            identity: IdentityPorts { verifier: provider.clone(), logouts: provider.clone(), client_tokens: provider },
            import_files: Arc::new(DeviceFiles),
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy),
        };
        Ok(Self { use_cases: UseCases::new(&ports, &rules(settings)?), clock, storage })
    }

    /// Appends a checkpoint after a command that changed something, and returns the command's result. An event that cannot
    /// be covered now is covered by the next checkpoint.
    pub(crate) async fn append_checkpoints_after<T>(&self, done: anyhow::Result<T>) -> anyhow::Result<T> {
        if done.is_ok()
            && let Err(error) = self.use_cases.audit.append_checkpoints.run().await
        {
            tracing::debug!(error = &error as &dyn std::error::Error, "no audit checkpoint was appended");
        }
        done
    }
}

/// Storage options from the settings.
///
/// # Errors
/// If a URL cannot be parsed.
pub fn storage_options(settings: &Settings) -> anyhow::Result<StorageOptions> {
    let Settings { database: settings, terminal, .. } = settings;
    Ok(StorageOptions {
        url: settings.url.expose_secret().parse::<DatabaseUrl>().context("database.url (POS__DATABASE__URL)")?,
        max_connections: settings.max_connections as usize,
        acquire_timeout: settings.acquire_timeout,
        connect_timeout: settings.connect_timeout,
        statement_timeout: settings.statement_timeout,
        batching: settings.batching,
        max_subscriptions: terminal.max_held_status_requests,
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

/// Checks that a verifier can be built from the settings. Sends no request.
///
/// # Errors
/// If it cannot.
pub fn check_identity(settings: IdentitySettings) -> anyhow::Result<()> {
    OidcVerifier::new(oidc_settings(settings), Arc::new(SystemClock)).context("identity provider settings")?;
    Ok(())
}

/// Lifetime of an unfinished upload: longer than any request may take.
const UPLOAD_LIFETIME: time::Duration = time::Duration::hours(2);

/// The rules of the use cases, from the settings.
///
/// # Errors
/// When a setting cannot be used.
fn rules(settings: &Settings) -> anyhow::Result<Rules> {
    let machine = Slug::parse("api").context("application and channel of API clients")?;
    let keep = to_time_duration(settings.idempotency.keep)?;
    let retention = &settings.retention;
    Ok(Rules {
        code_ttl: to_time_duration(settings.pairing.code_ttl)?,
        min_supported_version: settings.terminal.min_supported_version.clone(),
        wait_recheck: settings.terminal.wait_recheck,
        claim_limit: AttemptLimit {
            max_failures: settings.claim.max_failures,
            window: to_time_duration(settings.claim.failure_window)?,
        },
        client_limit: AttemptLimit {
            max_failures: settings.client.max_failures,
            window: to_time_duration(settings.client.failure_window)?,
        },
        session_lifetime: to_time_duration(settings.session.max_lifetime)?,
        hosts: Hosts::new(settings.session.hosts.iter().cloned()),
        machine_app: ClientApp { application: machine.clone(), channel: machine },
        idempotency_retention: keep,
        imports: ImportLimits {
            max_rows: settings.import.max_rows,
            upload: UPLOAD_LIFETIME,
            keep,
            max_refused_rows: settings.import.max_refused_rows,
            refusal_window: to_time_duration(settings.import.refusal_window)?,
        },
        retention: Retention {
            past_codes: to_time_duration(retention.past_codes_keep)?,
            failures: to_time_duration(retention.failures_keep)?,
            sessions: to_time_duration(retention.sessions_keep)?,
            events: retention.events_keep.map(to_time_duration).transpose()?,
        },
        purge_batch: retention.batch,
    })
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

fn to_time_duration(duration: Duration) -> anyhow::Result<time::Duration> {
    time::Duration::try_from(duration).context("a duration in the settings")
}
