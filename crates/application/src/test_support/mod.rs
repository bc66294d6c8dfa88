//! Test kit: rules, ports and an app on a store, for the tests of every crate.
//!
//! A test states the rules that it relies on: `Rules { code_ttl, ..Rules::for_tests() }`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test kit that fails must fail the test")]

mod app;
mod pairing;

use std::sync::Arc;

use pos_domain::shared::{AttemptLimit, MerchantId, ResellerId};
use pos_domain::tenancy::{ClientApp, Slug};
use pos_port_clock::{Clock, Entropy};
use pos_port_identity::NoProvider;
use pos_port_storage::Storage;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

pub use app::{TestApp, audit_events, named, new_device};
pub use pairing::{attempt, claimant, request_from, terminal_call};

use crate::audit::Retention;
use crate::fleet::{ImportLimits, NoImportFiles};
use crate::tenancy::Hosts;
use crate::{IdentityPorts, Ports, Rules};

/// The time at which the clock of a test starts.
pub const START: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);
/// The merchant whose devices the tests provision.
pub const MERCHANT: MerchantId = MerchantId(Uuid::from_u128(0x1111));
/// A merchant of another reseller, or of none.
pub const OTHER_MERCHANT: MerchantId = MerchantId(Uuid::from_u128(0x2222));
/// A second merchant of [`RESELLER`].
pub const SISTER: MerchantId = MerchantId(Uuid::from_u128(0x3333));
/// The reseller of [`MERCHANT`] and [`SISTER`], if they have one.
pub const RESELLER: ResellerId = ResellerId(Uuid::from_u128(0x7777));
/// Another reseller.
pub const OTHER_RESELLER: ResellerId = ResellerId(Uuid::from_u128(0x8888));

impl Rules {
    /// Rules for tests: three attempts a minute, keys that expire after a day, and imports without an effective limit.
    #[must_use]
    pub fn for_tests() -> Self {
        let limit = AttemptLimit { max_failures: 3, window: Duration::MINUTE };
        let slug = |text| Slug::parse(text).expect("a slug");
        Self {
            code_ttl: Duration::minutes(5),
            min_supported_version: "1.3.5".parse().expect("a version"),
            wait_recheck: std::time::Duration::from_secs(5),
            claim_limit: limit,
            client_limit: limit,
            session_lifetime: Duration::hours(10),
            hosts: Hosts::default(),
            machine_app: ClientApp { application: slug("api"), channel: slug("machine") },
            idempotency_retention: Duration::DAY,
            imports: ImportLimits {
                max_rows: 1_000_000,
                upload: Duration::HOUR,
                keep: Duration::DAY,
                max_refused_rows: 1_000_000,
                refusal_window: Duration::HOUR,
            },
            retention: Retention {
                past_codes: Duration::days(30),
                failures: Duration::days(7),
                sessions: Duration::DAY,
                events: None,
            },
            purge_batch: 100,
        }
    }
}

impl Ports {
    /// Ports for tests on a store, without an identity provider and without formats of import files.
    #[must_use]
    pub fn for_tests(storage: Storage, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let provider = Arc::new(NoProvider);
        Self {
            storage,
            identity: IdentityPorts { verifier: provider.clone(), logouts: provider.clone(), client_tokens: provider },
            import_files: Arc::new(NoImportFiles),
            clock,
            entropy,
        }
    }
}
