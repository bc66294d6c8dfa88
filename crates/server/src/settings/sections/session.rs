use std::time::Duration;

use pos_domain::{Place, Slug};

use crate::settings::reader::{Reader, Verdict};

/// Initiated sessions.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// How long one lasts at most whose token can be refreshed.
    pub max_lifetime: Duration,
    /// Which application, over which channel, is served under which host.
    pub hosts: Vec<(String, Place)>,
}

impl SessionSettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let max_lifetime = reader.seconds("session.max_lifetime_secs", 60..=2_592_000);
        let hosts = reader.texts("session.hosts", host);
        let mut seen = std::collections::BTreeSet::new();
        if let Some((twice, _)) = hosts.iter().flatten().find(|(host, _)| !seen.insert(host.clone())) {
            let problem = format!("names {twice:?} more than once");
            reader.refuse("session.hosts", problem, "keep the one line that is meant".to_owned());
        }
        Some(Self { max_lifetime: max_lifetime?, hosts: hosts? })
    }
}

/// The host name in what somebody wrote for one: without scheme, user, port and path. None when there is none.
fn host_name(text: &str) -> Option<String> {
    let after_scheme = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = after_scheme.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?.split(':').next()?;
    let host = host.trim().trim_end_matches('.').to_ascii_lowercase();
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    let labels = host.split('.').all(|label| !label.is_empty());
    ((1..=253).contains(&host.len()) && host.bytes().all(plain) && labels).then_some(host)
}

/// `host=application/channel`.
fn host(text: &str) -> Verdict<(String, Place)> {
    let read = || {
        let (written, place) = text.split_once('=')?;
        let (application, channel) = place.split_once('/')?;
        let slug = |text: &str| Slug::parse(text.trim()).ok();
        let place = Place { application: slug(application)?, channel: slug(channel)? };
        Some((written.trim().to_ascii_lowercase(), host_name(written)?, place))
    };
    let (written, host, place) = read().ok_or_else(|| {
        let remedy = "write host=application/channel, like merchant.viopay.io=merchant-portal/web; the names after the \
                      host have lower-case letters, digits and '-'";
        (format!("holds {text:?}, which names no host, application and channel"), remedy.to_owned())
    })?;
    if written == host {
        return Ok((host, place));
    }
    // What callers send is compared with it: a name, without anything around it.
    let remedy = format!("write \"{host}={}/{}\", as host=application/channel", place.application, place.channel);
    Err((format!("holds {text:?}, which names more than a host"), remedy))
}

/// API clients.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// How many wrong secrets from one address are told in a window.
    pub max_failures: u32,
    /// How long a window is.
    pub failure_window: Duration,
}

impl ClientSettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let max_failures = reader.number("client.max_failures", 1..=1_000_000);
        let failure_window = reader.seconds("client.failure_window_secs", 1..=604_800);
        Some(Self { max_failures: max_failures?, failure_window: failure_window? })
    }
}
