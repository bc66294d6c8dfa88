//! SQL statements of the tenancy repositories: each is one atomic write in one round trip, cached as a prepared statement.

pub(crate) mod members;
pub(crate) mod parties;
pub(crate) mod sessions;

/// The CTE `tokens_ended`, followed by a comma: revokes the tokens that started the sessions of the CTE `ended`. For a
/// session without a token key it revokes all tokens issued up to the session's token.
macro_rules! end_tokens {
    () => {
        "tokens_ended AS (
        INSERT INTO revoked_tokens AS known (session_key, token_key, issued_at, expires_at)
        SELECT session_key, coalesce(token_key, ''),
            CASE WHEN token_key IS NULL THEN token_issued_at + interval '1 microsecond' ELSE token_issued_at END, ends_at
        FROM ended
        ON CONFLICT (session_key, token_key) DO UPDATE SET
            issued_at = greatest(known.issued_at, excluded.issued_at),
            expires_at = greatest(known.expires_at, excluded.expires_at)
    ), "
    };
}

pub(crate) use end_tokens;
