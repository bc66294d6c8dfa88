//! Use cases of the examples: fixed rules, a manual clock, and no identity provider.

use std::error::Error;
use std::sync::Arc;

use pos_application::audit::Retention;
use pos_application::fleet::{ImportLimits, NoImportFiles};
use pos_application::tenancy::Hosts;
use pos_application::{IdentityPorts, Ports, Rules, UseCases};
use pos_domain::shared::AttemptLimit;
use pos_domain::tenancy::{ClientApp, Slug};
use pos_port_clock::{ManualClock, ScriptedEntropy};
use pos_port_identity::NoProvider;
use pos_port_storage::Storage;
use time::Duration;
use time::macros::datetime;

/// Builds every use case on `storage`, as the server does with its own ports and settings.
pub(crate) fn use_cases(storage: Storage) -> Result<UseCases, Box<dyn Error>> {
    let provider = Arc::new(NoProvider);
    let ports = Ports {
        storage,
        identity: IdentityPorts { verifier: provider.clone(), logouts: provider.clone(), client_tokens: provider },
        clock: Arc::new(ManualClock::at(datetime!(2026-01-02 03:04:05 UTC))),
        entropy: Arc::new(ScriptedEntropy::default()),
        import_files: Arc::new(NoImportFiles),
    };
    Ok(UseCases::new(&ports, &rules()?))
}

fn rules() -> Result<Rules, Box<dyn Error>> {
    let limit = AttemptLimit { max_failures: 3, window: Duration::minutes(15) };
    let day = Duration::DAY;
    Ok(Rules {
        code_ttl: Duration::minutes(5),
        min_supported_version: "1.0.0".parse()?,
        wait_recheck: std::time::Duration::from_secs(5),
        claim_limit: limit,
        client_limit: limit,
        session_lifetime: Duration::hours(8),
        hosts: Hosts::default(),
        machine_app: ClientApp { application: Slug::parse("api")?, channel: Slug::parse("machine")? },
        idempotency_retention: day,
        imports: ImportLimits { max_rows: 100, upload: day, keep: day, max_refused_rows: 100, refusal_window: day },
        retention: Retention { past_codes: day, failures: day, sessions: day, events: None },
        purge_batch: 100,
    })
}
