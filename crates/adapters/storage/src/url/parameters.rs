//! Parameters of a PostgreSQL URL: validation, translation for the client library, and advice for unsupported ones.

use std::time::Duration;

use crate::url::InvalidDatabaseUrl;

/// Supported parameters, and their values if only some are supported.
const SUPPORTED: [(&str, &[&str]); 20] = [
    ("application_name", &[]),
    ("channel_binding", &["disable", "prefer", "require"]),
    ("connect_timeout", &[]),
    ("dbname", &[]),
    ("host", &[]),
    ("hostaddr", &[]),
    ("keepalives", &["0", "1"]),
    ("keepalives_count", &[]),
    ("keepalives_idle", &[]),
    ("keepalives_interval", &[]),
    ("keepalives_retries", &[]),
    ("load_balance_hosts", &["disable", "random"]),
    ("options", &[]),
    ("password", &[]),
    ("port", &[]),
    ("sslmode", &["disable", "require", "verify-full"]),
    ("sslnegotiation", &["postgres"]),
    ("target_session_attrs", &["any", "read-write"]),
    ("tcp_user_timeout", &[]),
    ("user", &[]),
];

const WRITES: &str = "the server needs a writable database: write target_session_attrs=read-write, or leave it out";
const PREFER: &str = "an attacker on the network can disable TLS, so it protects nothing: write sslmode=verify-full, \
     or sslmode=disable to connect without TLS";
const CLIENT_CERTIFICATES: &str = "client certificates are not supported: leave it out, and give the role a password";
const GSSAPI: &str = "GSSAPI is not supported: leave it out";
const VERSIONS: &str = "TLS 1.2 and 1.3 are always allowed: leave it out";
const SERVICES: &str = "service files are not supported: write the host, the port and the rest into the URL";

/// Parameters (or parameters with a value) of other PostgreSQL clients that are not supported, and what to write instead.
const ADVICE: [(&str, &str); 22] = [
    ("sslmode=prefer", PREFER),
    ("sslmode=allow", PREFER),
    ("sslmode=verify-ca", "write sslmode=verify-full, which also checks the server's name"),
    ("sslnegotiation=direct", "leave it out"),
    ("target_session_attrs=primary", "write target_session_attrs=read-write"),
    ("target_session_attrs=read-only", WRITES),
    ("target_session_attrs=standby", WRITES),
    ("target_session_attrs=prefer-standby", WRITES),
    ("sslrootcert", "write sslmode=verify-full, and name the file in the environment variable SSL_CERT_FILE"),
    ("sslcert", CLIENT_CERTIFICATES),
    ("sslkey", CLIENT_CERTIFICATES),
    ("sslpassword", CLIENT_CERTIFICATES),
    ("sslcertmode", CLIENT_CERTIFICATES),
    ("requiressl", "write sslmode=verify-full"),
    ("ssl_min_protocol_version", VERSIONS),
    ("ssl_max_protocol_version", VERSIONS),
    ("passfile", "put the whole URL into a file, and name that in database.url_file"),
    ("service", SERVICES),
    ("servicefile", SERVICES),
    ("gssencmode", GSSAPI),
    ("krbsrvname", GSSAPI),
    ("fallback_application_name", "write application_name"),
];

/// A URL with the parameters that the client library supports, and the settings that must be set separately.
pub(crate) struct TranslatedUrl {
    pub(crate) url: String,
    /// The library reads this parameter in seconds, but PostgreSQL defines it in milliseconds.
    pub(crate) tcp_user_timeout: Option<Duration>,
}

/// Validates the parameters of a `postgres://` URL and translates them for the client library.
pub(crate) fn translate(text: &str) -> Result<TranslatedUrl, InvalidDatabaseUrl> {
    // A password may contain a question mark.
    let credentials = text.find('@').map_or(0, |at| at + 1);
    let (before, after) = text.split_at(credentials);
    let Some((location, query)) = after.split_once('?') else {
        return Ok(TranslatedUrl { url: text.to_owned(), tcp_user_timeout: None });
    };
    let (mut supported, mut tcp_user_timeout) = (Vec::new(), None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let Err(advice) = check(name, value) {
            // After an unescaped @ this may be a part of the password.
            return Err(if query.contains('@') { InvalidDatabaseUrl::Postgres } else { advice });
        }
        match (name, value) {
            ("tcp_user_timeout", milliseconds) => {
                let parsed = milliseconds.parse().map_err(|_| unsupported(name, "write a number of milliseconds"))?;
                tcp_user_timeout = Some(Duration::from_millis(parsed)).filter(|timeout| !timeout.is_zero());
            }
            // TLS always verifies the certificate here; the library only supports `require`.
            ("sslmode", "verify-full") => supported.push("sslmode=require".to_owned()),
            ("keepalives_count", retries) => supported.push(format!("keepalives_retries={retries}")),
            _ => supported.push(pair.to_owned()),
        }
    }
    let needs_tls = supported.iter().any(|pair| pair == "channel_binding=require");
    if needs_tls && !supported.iter().any(|pair| pair == "sslmode=require") {
        return Err(unsupported("channel_binding=require", "it requires TLS: add sslmode=verify-full"));
    }
    let question = if supported.is_empty() { "" } else { "?" };
    Ok(TranslatedUrl { url: format!("{before}{location}{question}{}", supported.join("&")), tcp_user_timeout })
}

fn unsupported(parameter: impl Into<String>, advice: impl Into<String>) -> InvalidDatabaseUrl {
    InvalidDatabaseUrl::Parameter { parameter: parameter.into(), advice: advice.into() }
}

fn check(name: &str, value: &str) -> Result<(), InvalidDatabaseUrl> {
    let pair = format!("{name}={value}");
    if let Some((known, advice)) = ADVICE.iter().find(|(known, _)| *known == name || *known == pair) {
        return Err(unsupported(*known, *advice));
    }
    let Some((_, values)) = SUPPORTED.iter().find(|(known, _)| *known == name) else {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            return Err(InvalidDatabaseUrl::Postgres);
        }
        let names: Vec<_> = SUPPORTED.iter().map(|(known, _)| *known).collect();
        return Err(unsupported(name, format!("supported parameters are {}", names.join(", "))));
    };
    if !values.is_empty() && !values.contains(&value) {
        return Err(unsupported(name, format!("write one of {}", values.join(", "))));
    }
    if value.is_empty() && !matches!(name, "password" | "options") {
        return Err(unsupported(name, "write a value after =, or leave it out"));
    }
    // Each parameter is parsed alone, so that the error can name it. These two are translated for the library.
    let is_translated = name == "keepalives_count" || pair == "sslmode=verify-full";
    let alone: Result<tokio_postgres::Config, _> = format!("postgres://host/?{pair}").parse();
    if alone.is_err() && !is_translated {
        return Err(unsupported(name, "its value is not valid"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error for a URL with these parameters.
    fn rejection(query: &str) -> (String, String) {
        match translate(&format!("postgres://pos:s3cret@db.example/pos?{query}")).err() {
            Some(InvalidDatabaseUrl::Parameter { parameter, advice }) => (parameter, advice),
            other => panic!("{query}: {other:?}"),
        }
    }

    #[test]
    fn each_rejected_parameter_says_what_to_write() {
        for (query, parameter, write) in [
            ("sslrootcert=/etc/ca.pem", "sslrootcert", "SSL_CERT_FILE"),
            ("sslmode=verify-ca", "sslmode=verify-ca", "sslmode=verify-full"),
            ("sslmode=prefer", "sslmode=prefer", "sslmode=verify-full"),
            ("sslmode=allow", "sslmode=allow", "sslmode=verify-full"),
            ("sslmode=on", "sslmode", "disable, require, verify-full"),
            ("target_session_attrs=primary", "target_session_attrs=primary", "target_session_attrs=read-write"),
            ("target_session_attrs=read-only", "target_session_attrs=read-only", "target_session_attrs=read-write"),
            ("channel_binding=require", "channel_binding=require", "sslmode=verify-full"),
            ("sslnegotiation=direct&sslmode=require", "sslnegotiation=direct", "leave it out"),
            ("sslmode=require&colour=red", "colour", "application_name, "),
            ("connect_timeout=soon", "connect_timeout", "its value"),
            ("tcp_user_timeout=soon", "tcp_user_timeout", "its value"),
            ("sslmode", "sslmode", "disable, require, verify-full"),
            ("application_name=", "application_name", "a value"),
        ] {
            let (named, advice) = rejection(query);
            assert_eq!(named, parameter, "for {query:?}");
            assert!(advice.contains(write), "for {query:?}: {advice}");
        }
    }

    #[test]
    fn a_part_of_a_password_is_not_repeated() {
        for text in ["postgres://pos:p@ss?colour=1@db.example/pos", "postgres://pos@db.example/pos?P4ss=1"] {
            assert_eq!(translate(text).err(), Some(InvalidDatabaseUrl::Postgres), "for {text:?}");
        }
        let with_question_mark = "postgres://pos:s3?cret=1@db.example/pos";
        assert_eq!(translate(with_question_mark).unwrap().url, with_question_mark);
    }

    #[test]
    fn the_library_parses_every_supported_parameter() {
        for (name, values) in SUPPORTED {
            let value = values.first().copied().unwrap_or("5");
            let value = if name == "hostaddr" { "127.0.0.1" } else { value };
            let text = format!("postgres://pos@db.example/pos?{name}={value}");
            let url = translate(&text).unwrap().url;
            assert!(url.parse::<tokio_postgres::Config>().is_ok(), "{text}: {url}");
        }
    }

    #[test]
    fn tcp_user_timeout_is_in_milliseconds() {
        let translated = translate("postgres://pos@db.example/pos?tcp_user_timeout=1500&keepalives_count=4").unwrap();
        assert_eq!(translated.tcp_user_timeout, Some(Duration::from_millis(1500)));
        let config: tokio_postgres::Config = translated.url.parse().unwrap();
        assert_eq!(config.get_keepalives_retries(), Some(4));
    }
}
