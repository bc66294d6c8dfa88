-- Tokens whose session was ended, logouts of a session up to an instant, and SHA-256 digests of client secrets.
--
-- A token that is listed in `ended_tokens` starts no session and finds none, until it has expired; a later token of the
-- same session of the identity provider does. A logout of a session ends the tokens that were issued up to it, as one of
-- a user does; a row without an instant, from before, ends all of the session's.
--
-- Argon2 hashes of client secrets from before cannot be checked any more: rotate those clients. From now on
-- `client_failures` counts for each address, in a fixed number of counters.

-- Tokens whose session was ended, by their hashes, for as long as one could still hold.
CREATE TABLE ended_tokens (
    -- The session's key. Tokens of it that were issued before issued_at are out as well.
    session_key TEXT    NOT NULL,
    -- SHA-256 over the token's id or claims; empty where a session did not record its token.
    token_key   TEXT    NOT NULL,
    -- When the token was issued, by the provider's clock.
    issued_at   INTEGER NOT NULL,
    -- From when on it may be forgotten.
    keep_until  INTEGER NOT NULL,

    PRIMARY KEY (session_key, token_key),
    CONSTRAINT ended_tokens_session_form CHECK (length(session_key) = 64 AND session_key NOT GLOB '*[^0-9a-f]*'),
    CONSTRAINT ended_tokens_token_form CHECK (length(token_key) IN (0, 64) AND token_key NOT GLOB '*[^0-9a-f]*')
) STRICT, WITHOUT ROWID;

CREATE INDEX ended_tokens_to_forget ON ended_tokens (keep_until);

-- What the identity provider ended, for as long as a token of it could still hold.
CREATE TABLE next_logouts (
    -- session or user: the tokens of it that were issued up to an instant.
    kind         TEXT    NOT NULL,
    -- The session's key, or the user's subject.
    subject      TEXT    NOT NULL,
    -- Tokens issued up to this instant are out; none, for a session: all of its tokens.
    issued_until INTEGER,
    -- From when on it may be forgotten.
    keep_until   INTEGER NOT NULL,

    PRIMARY KEY (kind, subject),
    CONSTRAINT logouts_kind_word CHECK (kind IN ('session', 'user')),
    CONSTRAINT logouts_subject_form CHECK (length(CAST(subject AS BLOB)) BETWEEN 1 AND 255),
    CONSTRAINT logouts_users_instant CHECK (kind <> 'user' OR issued_until IS NOT NULL)
) STRICT, WITHOUT ROWID;

INSERT INTO next_logouts (kind, subject, issued_until, keep_until)
SELECT kind, subject, issued_until, keep_until FROM logouts;
DROP TABLE logouts;
ALTER TABLE next_logouts RENAME TO logouts;
CREATE INDEX logouts_to_forget ON logouts (keep_until);

-- Machines that act for a merchant or a reseller with a secret of their own.
CREATE TABLE next_api_clients (
    -- Its name, the same at the identity provider.
    client_id   TEXT    NOT NULL PRIMARY KEY,
    -- The grant of its present secret; another secret is another grant.
    grant_id    TEXT    NOT NULL,
    -- The merchant; this or the reseller.
    merchant_id TEXT    REFERENCES merchants,
    -- The reseller; this or the merchant.
    reseller_id TEXT    REFERENCES resellers,
    -- viewer, operator or admin.
    role        TEXT    NOT NULL,
    -- $sha256$ and the digest of its secret, in hex. The secret, 256 random bits, is kept nowhere.
    secret_hash TEXT    NOT NULL,
    -- When it was made.
    created_at  INTEGER NOT NULL,
    -- When it was revoked, for good.
    revoked_at  INTEGER,

    CONSTRAINT api_clients_grant_once UNIQUE (grant_id),
    CONSTRAINT api_clients_id_form CHECK (length(client_id) BETWEEN 1 AND 64 AND client_id NOT GLOB '*[^A-Za-z0-9._-]*'),
    CONSTRAINT api_clients_grant_form CHECK (
        length(CAST(grant_id AS BLOB)) = 36
        AND grant_id GLOB '????????-????-????-????-????????????'
        AND replace(grant_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(grant_id, '-', '')) = 32
    ),
    CONSTRAINT api_clients_merchant_form CHECK (
        length(CAST(merchant_id AS BLOB)) = 36
        AND merchant_id GLOB '????????-????-????-????-????????????'
        AND replace(merchant_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(merchant_id, '-', '')) = 32
    ),
    CONSTRAINT api_clients_reseller_form CHECK (
        length(CAST(reseller_id AS BLOB)) = 36
        AND reseller_id GLOB '????????-????-????-????-????????????'
        AND replace(reseller_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(reseller_id, '-', '')) = 32
    ),
    CONSTRAINT api_clients_one_party CHECK ((merchant_id IS NULL) <> (reseller_id IS NULL)),
    CONSTRAINT api_clients_role_word CHECK (role IN ('viewer', 'operator', 'admin')),
    CONSTRAINT api_clients_secret_is_hashed CHECK (
        (secret_hash GLOB '$argon2id$*' AND length(secret_hash) <= 512)
        OR (secret_hash GLOB '$sha256$*' AND length(secret_hash) = 72 AND substr(secret_hash, 9) NOT GLOB '*[^0-9a-f]*')
    )
) STRICT, WITHOUT ROWID;

-- What each initiated session of a bearer token was resolved to.
CREATE TABLE next_sessions (
    -- SHA-256 over what the token says of its session; never a token.
    session_key     TEXT    NOT NULL PRIMARY KEY,
    -- The membership or the API client's secret it stands on.
    grant_id        TEXT    NOT NULL,
    -- Who acts: the identity provider's subject.
    user_id         TEXT    NOT NULL,
    -- The merchant that is acted for; this or the reseller.
    merchant_id     TEXT    REFERENCES merchants,
    -- The reseller that is acted for; this or the merchant.
    reseller_id     TEXT    REFERENCES resellers,
    -- viewer, operator or admin; the grant's or one below it.
    role            TEXT    NOT NULL,
    -- Where the caller came in, for example merchant-portal.
    application     TEXT    NOT NULL,
    -- Over which channel, for example web.
    channel         TEXT    NOT NULL,
    -- The API client, when it is a machine's.
    client_id       TEXT    REFERENCES next_api_clients,
    -- When the initiating token was issued, by the provider's clock.
    token_issued_at INTEGER NOT NULL,
    -- When it was initiated, the last time.
    started_at      INTEGER NOT NULL,
    -- The first instant at which it is over by itself.
    ends_at         INTEGER NOT NULL,
    -- SHA-256 over the id or the claims of the token that started it.
    token_key       TEXT,

    CONSTRAINT sessions_key_form CHECK (length(session_key) = 64 AND session_key NOT GLOB '*[^0-9a-f]*'),
    CONSTRAINT sessions_grant_form CHECK (
        length(CAST(grant_id AS BLOB)) = 36
        AND grant_id GLOB '????????-????-????-????-????????????'
        AND replace(grant_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(grant_id, '-', '')) = 32
    ),
    CONSTRAINT sessions_user_form CHECK (
        length(CAST(user_id AS BLOB)) BETWEEN 1 AND 255
        AND user_id NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'
        AND instr(user_id, char(0)) = 0
    ),
    CONSTRAINT sessions_merchant_form CHECK (
        length(CAST(merchant_id AS BLOB)) = 36
        AND merchant_id GLOB '????????-????-????-????-????????????'
        AND replace(merchant_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(merchant_id, '-', '')) = 32
    ),
    CONSTRAINT sessions_reseller_form CHECK (
        length(CAST(reseller_id AS BLOB)) = 36
        AND reseller_id GLOB '????????-????-????-????-????????????'
        AND replace(reseller_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(reseller_id, '-', '')) = 32
    ),
    CONSTRAINT sessions_one_party CHECK ((merchant_id IS NULL) <> (reseller_id IS NULL)),
    CONSTRAINT sessions_role_word CHECK (role IN ('viewer', 'operator', 'admin')),
    CONSTRAINT sessions_application_form CHECK (length(application) BETWEEN 1 AND 64 AND application NOT GLOB '*[^a-z0-9-]*'),
    CONSTRAINT sessions_channel_form CHECK (length(channel) BETWEEN 1 AND 64 AND channel NOT GLOB '*[^a-z0-9-]*')
) STRICT, WITHOUT ROWID;

INSERT INTO next_api_clients (client_id, grant_id, merchant_id, reseller_id, role, secret_hash, created_at, revoked_at)
SELECT client_id, grant_id, merchant_id, reseller_id, role, secret_hash, created_at, revoked_at FROM api_clients;
INSERT INTO next_sessions (session_key, grant_id, user_id, merchant_id, reseller_id, role, application, channel, client_id, token_issued_at, started_at, ends_at)
SELECT session_key, grant_id, user_id, merchant_id, reseller_id, role, application, channel, client_id, token_issued_at, started_at, ends_at FROM sessions;
DROP TABLE sessions;
DROP TABLE api_clients;
ALTER TABLE next_api_clients RENAME TO api_clients;
ALTER TABLE next_sessions RENAME TO sessions;
CREATE INDEX sessions_of_user ON sessions (user_id, ends_at);
CREATE INDEX sessions_of_grant ON sessions (grant_id);
CREATE INDEX sessions_to_reclaim ON sessions (ends_at);
