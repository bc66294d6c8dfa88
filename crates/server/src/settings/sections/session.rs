//! `[session]` and `[client]` settings.

use std::time::Duration;

use pos_domain::tenancy::{ClientApp, Slug};

use crate::settings::reader::{Reader, Validated};

/// Session settings.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// Maximum lifetime of a session whose token can be refreshed.
    pub max_lifetime: Duration,
    /// Application and channel of each host.
    pub hosts: Vec<(String, ClientApp)>,
}

impl SessionSettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let max_lifetime = reader.seconds("session.max_lifetime_secs", 60..=2_592_000);
        let hosts = reader.texts("session.hosts", host);
        let mut seen = std::collections::BTreeSet::new();
        if let Some((twice, _)) = hosts.iter().flatten().find(|(host, _)| !seen.insert(host.clone())) {
            let problem = format!("names {twice:?} more than once");
            reader.reject("session.hosts", problem, "keep one of them".to_owned());
        }
        Some(Self { max_lifetime: max_lifetime?, hosts: hosts? })
    }
}

/// Extracts the host name from a text that may also have a scheme, user, port and path.
fn host_name(text: &str) -> Option<String> {
    let after_scheme = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = after_scheme.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?.split(':').next()?;
    let host = host.trim().trim_end_matches('.').to_ascii_lowercase();
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    let labels = host.split('.').all(|label| !label.is_empty());
    ((1..=253).contains(&host.len()) && host.bytes().all(plain) && labels).then_some(host)
}

/// Parses `host=application/channel`.
fn host(text: &str) -> Validated<(String, ClientApp)> {
    let parsed = || {
        let (written, app) = text.split_once('=')?;
        let (application, channel) = app.split_once('/')?;
        let slug = |text: &str| Slug::parse(text.trim()).ok();
        let app = ClientApp { application: slug(application)?, channel: slug(channel)? };
        Some((written.trim().to_ascii_lowercase(), host_name(written)?, app))
    };
    let (written, host, app) = parsed().ok_or_else(|| {
        let remedy = "write host=application/channel, like merchant.viopay.io=merchant-portal/web; the names after the \
                               host have lower-case letters, digits and '-'";
        (format!("contains {text:?}, which is not a host with its application and channel"), remedy.to_owned())
    })?;
    if written == host {
        return Ok((host, app));
    }
    // The name is compared with what callers send, so it has nothing around it.
    let remedy = format!("write \"{host}={}/{}\", as host=application/channel", app.application, app.channel);
    Err((format!("contains {text:?}, which has more than a host name"), remedy))
}

/// Limit on wrong client secrets.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Maximum wrong secrets per address in a window.
    pub max_failures: u32,
    /// Length of a window.
    pub failure_window: Duration,
}

impl ClientSettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let max_failures = reader.number("client.max_failures", 1..=1_000_000);
        let failure_window = reader.seconds("client.failure_window_secs", 1..=604_800);
        Some(Self { max_failures: max_failures?, failure_window: failure_window? })
    }
}
