//! Error codes of the API: HTTP status and code of each kind of error.

use actix_web::http::StatusCode;

/// Kind of error: a row of the contract's table (section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorCode {
    Invalid,
    CodeNotFound,
    StateForbids,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    TooLarge,
    UnsupportedMediaType,
    TooManyAttempts,
    Internal,
    Unavailable,
}

impl ErrorCode {
    /// Status and code. Status 400 has three codes, and code 4004 two statuses.
    const fn row(self) -> (StatusCode, &'static str) {
        match self {
            Self::Invalid => (StatusCode::BAD_REQUEST, "4000"),
            Self::CodeNotFound => (StatusCode::BAD_REQUEST, "4004"),
            Self::StateForbids => (StatusCode::BAD_REQUEST, "4220"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "4001"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "4003"),
            Self::NotFound => (StatusCode::NOT_FOUND, "4004"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "4005"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "4013"),
            Self::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "4015"),
            Self::TooManyAttempts => (StatusCode::TOO_MANY_REQUESTS, "4290"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "5000"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "5003"),
        }
    }

    pub(crate) const fn status(self) -> StatusCode {
        self.row().0
    }

    pub(crate) const fn code(self) -> &'static str {
        self.row().1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::ErrorCode::{self, *};

    const ALL: [ErrorCode; 12] = [
        Invalid,
        CodeNotFound,
        StateForbids,
        Unauthorized,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        TooLarge,
        UnsupportedMediaType,
        TooManyAttempts,
        Internal,
        Unavailable,
    ];

    /// The table of errors in the README: a row has one status and code, or several of each in the same order.
    #[test]
    fn the_readme_lists_every_status_with_its_code() {
        let readme = include_str!("../../../../../README.md");
        let rows = readme.lines().filter_map(|line| {
            let mut columns = line.strip_prefix("| ")?.split(" | ");
            let statuses: Vec<u16> = columns.next()?.split(", ").map(str::parse).collect::<Result<_, _>>().ok()?;
            Some((statuses, columns.next()?.split(", ").collect::<Vec<_>>()))
        });
        let listed: BTreeSet<(u16, &str)> =
            rows.flat_map(|(statuses, codes)| statuses.into_iter().zip(codes)).collect();
        let actual: BTreeSet<(u16, &str)> = ALL.iter().map(|code| (code.status().as_u16(), code.code())).collect();
        assert_eq!(listed, actual);
    }
}
