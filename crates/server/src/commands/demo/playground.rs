//! curl commands for experiments after the demo.

use pos_domain::shared::DeviceId;

use super::super::dev_idp::password_grant;
use super::merchant::{HOST, Merchant};
use crate::output::out;

/// Prints commands that a reader can paste.
pub(super) async fn explain(url: &str, issuer: &str, device: &DeviceId) -> anyhow::Result<()> {
    let merchant = Merchant::log_in(issuer).await?;
    let token = merchant.token();
    out!(
        r#"
The server keeps running; Ctrl-C stops it. Here is a second terminal for experiments:

TERMINAL=(-H "X-Device-Id: {device}" -H "User-Agent: Viopay-POS/1.4.2 (Android 12; PAX-A920)" -H "X-Client-Type: pos")
TOKEN={token}

curl -s -X POST {url}/pos/bootstrap "${{TERMINAL[@]}}"
curl -s -X POST {url}/pos/pairing-code "${{TERMINAL[@]}}"
curl -s {url}/pos/status "${{TERMINAL[@]}}"
curl -s -X POST {url}/session/initiate -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d '{{"host": "{HOST}"}}'
curl -s -X POST {url}/pos/claim -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d '{{"pairing_code": "THE CODE"}}'

The token is valid for an hour; another: curl -s {grant}
API documentation: {url}/docs/   Health: {url}/health/ready   Metrics: {url}/metrics"#,
        grant = password_grant(issuer),
    )?;
    Ok(())
}
