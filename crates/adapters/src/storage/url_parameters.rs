//! Parameters of a PostgreSQL URL: those that are supported, and what to write in place of the others.

use std::time::Duration;

use super::url::InvalidDatabaseUrl;

/// Supported parameters and, where there is a list, their values.
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

const WRITES: &str = "the server writes: write target_session_attrs=read-write, or leave it out";
const PREFER: &str = "whoever is between the two can talk it out of TLS, so it protects nothing: write sslmode=verify-full, \
     or sslmode=disable where no TLS is wanted";
const CLIENT_CERTIFICATES: &str = "client certificates are not supported: leave it out, and give the role a password";
const GSSAPI: &str = "GSSAPI is not supported: leave it out";
const VERSIONS: &str = "the versions are TLS 1.2 and 1.3 always: leave it out";
const SERVICES: &str = "service files are not read: write the host, the port and the rest into the URL";

/// What other PostgreSQL clients understand, by name or by name and value, and what to write here.
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

/// A URL as the client library understands it, and what that library is to be told beside it.
pub(super) struct Understood {
    pub(super) url: String,
    /// The library takes this parameter for seconds. It is in milliseconds.
    pub(super) tcp_user_timeout: Option<Duration>,
}

/// Checks the parameters of a `postgres://` URL.
pub(super) fn understood(text: &str) -> Result<Understood, InvalidDatabaseUrl> {
    // A password may hold a question mark.
    let credentials = text.find('@').map_or(0, |at| at + 1);
    let (before, after) = text.split_at(credentials);
    let Some((place, query)) = after.split_once('?') else {
        return Ok(Understood { url: text.to_owned(), tcp_user_timeout: None });
    };
    let (mut kept, mut tcp_user_timeout) = (Vec::new(), None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let Err(advice) = check(name, value) {
            // After a stray @ this may be a piece of the password.
            return Err(if query.contains('@') { InvalidDatabaseUrl::Postgres } else { advice });
        }
        match (name, value) {
            ("tcp_user_timeout", milliseconds) => {
                let parsed = milliseconds.parse().map_err(|_| wrong(name, "write a number of milliseconds"))?;
                tcp_user_timeout = Some(Duration::from_millis(parsed)).filter(|timeout| !timeout.is_zero());
            }
            // TLS always verifies here; the library knows the shorter word only.
            ("sslmode", "verify-full") => kept.push("sslmode=require".to_owned()),
            ("keepalives_count", retries) => kept.push(format!("keepalives_retries={retries}")),
            _ => kept.push(pair.to_owned()),
        }
    }
    let needs_tls = kept.iter().any(|pair| pair == "channel_binding=require");
    if needs_tls && !kept.iter().any(|pair| pair == "sslmode=require") {
        return Err(wrong("channel_binding=require", "it takes TLS: add sslmode=verify-full"));
    }
    let question = if kept.is_empty() { "" } else { "?" };
    Ok(Understood { url: format!("{before}{place}{question}{}", kept.join("&")), tcp_user_timeout })
}

fn wrong(parameter: impl Into<String>, advice: impl Into<String>) -> InvalidDatabaseUrl {
    InvalidDatabaseUrl::Parameter { parameter: parameter.into(), advice: advice.into() }
}

fn check(name: &str, value: &str) -> Result<(), InvalidDatabaseUrl> {
    let pair = format!("{name}={value}");
    if let Some((known, advice)) = ADVICE.iter().find(|(known, _)| *known == name || *known == pair) {
        return Err(wrong(*known, *advice));
    }
    let Some((_, values)) = SUPPORTED.iter().find(|(known, _)| *known == name) else {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            return Err(InvalidDatabaseUrl::Postgres);
        }
        let names: Vec<_> = SUPPORTED.iter().map(|(known, _)| *known).collect();
        return Err(wrong(name, format!("the parameters are {}", names.join(", "))));
    };
    if !values.is_empty() && !values.contains(&value) {
        return Err(wrong(name, format!("write one of {}", values.join(", "))));
    }
    if value.is_empty() && !matches!(name, "password" | "options") {
        return Err(wrong(name, "write a value after =, or leave it out"));
    }
    // Alone, so that what is wrong has a name. These two the library knows by other words.
    let is_translated = name == "keepalives_count" || pair == "sslmode=verify-full";
    let alone: Result<tokio_postgres::Config, _> = format!("postgres://host/?{pair}").parse();
    if alone.is_err() && !is_translated {
        return Err(wrong(name, "its value is not understood"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the URL with these parameters is refused for.
    fn refused(query: &str) -> (String, String) {
        match understood(&format!("postgres://pos:s3cret@db.example/pos?{query}")).err() {
            Some(InvalidDatabaseUrl::Parameter { parameter, advice }) => (parameter, advice),
            other => panic!("{query}: {other:?}"),
        }
    }

    #[test]
    fn what_is_refused_says_what_to_write() {
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
            let (named, advice) = refused(query);
            assert_eq!(named, parameter, "for {query:?}");
            assert!(advice.contains(write), "for {query:?}: {advice}");
        }
    }

    #[test]
    fn a_piece_of_a_password_is_not_repeated() {
        for text in ["postgres://pos:p@ss?colour=1@db.example/pos", "postgres://pos@db.example/pos?P4ss=1"] {
            assert_eq!(understood(text).err(), Some(InvalidDatabaseUrl::Postgres), "for {text:?}");
        }
        let with_question_mark = "postgres://pos:s3?cret=1@db.example/pos";
        assert_eq!(understood(with_question_mark).unwrap().url, with_question_mark);
    }

    #[test]
    fn every_supported_parameter_is_understood_by_the_library() {
        for (name, values) in SUPPORTED {
            let value = values.first().copied().unwrap_or("5");
            let value = if name == "hostaddr" { "127.0.0.1" } else { value };
            let text = format!("postgres://pos@db.example/pos?{name}={value}");
            let url = understood(&text).unwrap().url;
            assert!(url.parse::<tokio_postgres::Config>().is_ok(), "{text}: {url}");
        }
    }

    #[test]
    fn a_timeout_is_in_the_unit_that_postgresql_has() {
        let understood = understood("postgres://pos@db.example/pos?tcp_user_timeout=1500&keepalives_count=4").unwrap();
        assert_eq!(understood.tcp_user_timeout, Some(Duration::from_millis(1500)));
        let config: tokio_postgres::Config = understood.url.parse().unwrap();
        assert_eq!(config.get_keepalives_retries(), Some(4));
    }
}
