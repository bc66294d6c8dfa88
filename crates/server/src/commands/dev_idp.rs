//! `dev-idp` command: the development token issuer.

use std::net::SocketAddr;
use std::sync::Arc;

use pos_adapters::clock::{SystemClock, SystemEntropy};
use pos_dev_idp::{DevIdp, DevIdpError, DevIdpSettings, RunningDevIdp};
use serde_json::json;

use super::serve::stop_signals;
use crate::bind_error;
use crate::cli;
use crate::output::out;
use crate::settings::{LogFormat, LogSettings};
use crate::telemetry;

/// Demo merchant, its user and the user's password. For development only, so not secret.
pub(super) const MERCHANT: &str = "0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f";
pub(super) const USER: &str = "demo-merchant";
pub(super) const PASSWORD: &str = "demo-password";
pub(super) const CLIENT: &str = "demo-portal";
pub(super) const AUDIENCE: &str = "pos-activation";

/// Runs `dev-idp` until a stop signal.
pub(super) async fn run(how: cli::DevIdp) -> anyhow::Result<()> {
    let _log = telemetry::init(&LogSettings { format: LogFormat::Pretty, level: "info".to_owned() })?;
    let settings = how.realm.as_deref().map_or_else(demo_realm, |file| Ok(DevIdpSettings::from_file(file)?))?;
    let issuer = start(settings, how.bind).await?;
    out!("issuer: {}", issuer.issuer())?;
    out!("use it: POS__IDENTITY__ISSUER={} POS__IDENTITY__AUDIENCE={AUDIENCE} pos-server serve", issuer.issuer())?;
    if how.realm.is_none() {
        out!("a token: curl -s {}", password_grant(issuer.issuer()))?;
    }
    let (first, _) = stop_signals()?;
    first.await;
    issuer.stop().await;
    Ok(())
}

pub(super) async fn start(settings: DevIdpSettings, bind: SocketAddr) -> anyhow::Result<RunningDevIdp> {
    DevIdp::start(settings, bind, Arc::new(SystemClock), Arc::new(SystemEntropy)).await.map_err(|error| match error {
        DevIdpError::Listen(error) => anyhow::anyhow!(bind_error::explain(&bind.to_string(), "--bind", &error)),
        other => other.into(),
    })
}

/// A realm with one merchant user and a portal that may log in with a password.
pub(super) fn demo_realm() -> anyhow::Result<DevIdpSettings> {
    Ok(serde_json::from_value(json!({
        "audience": AUDIENCE,
        "access_token_lifetime": 3_600,
        "users": [{
            "username": USER, "password": PASSWORD, "sub": USER, "merchant_id": MERCHANT, "roles": ["merchant-admin"],
        }],
        "clients": [{ "client_id": CLIENT }],
    }))?)
}

/// Arguments for curl that request a token of the demo user.
pub(super) fn password_grant(issuer: &str) -> String {
    format!(
        "-d grant_type=password -d client_id={CLIENT} -d username={USER} -d password={PASSWORD} \
         {issuer}/protocol/openid-connect/token"
    )
}
