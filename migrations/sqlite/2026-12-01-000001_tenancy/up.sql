-- Resellers, merchants and locations, grants of access, and sessions.
--
--    resellers <---- merchants <---- locations
--        ^               ^
--        +-------+-------+
--                |
--      memberships, api_clients          one row is one grant: user or client, merchant or reseller, role
--                ^
--                | grant_id
--            sessions
--
-- State machine of a session:
--
--                           initiate again
--                              +-----+
--                              |     |
--                              |     v
--    initiate -------------->  active  --+-- ends_at is reached ----------------> expired
--                                        |
--                                        +-- its user ends it ------------------> ended: row deleted, token in revoked_tokens
--                                        |
--                                        +-- the identity provider logs it out -> logged out: row deleted, row in logouts
--                                        |
--                                        +-- its grant is replaced or revoked --> invalid
--
-- Each look-up checks expiry, grant, logouts and revoked tokens. A row of an expired or invalid session is therefore
-- harmless until the purge deletes it.
--
-- State machine of an API client: active -- revoke --> revoked, final. A new secret is a new grant.
--
-- Instants are microseconds since 1970-01-01T00:00:00Z, so that they compare as numbers. Ids of resellers, merchants,
-- locations and grants are hyphenated lower-case UUIDs.

-- Businesses that bring merchants and manage their devices.
CREATE TABLE resellers (
    -- Id of the reseller.
    reseller_id TEXT    NOT NULL PRIMARY KEY,
    -- Display name: 1 to 200 characters, no control characters.
    name        TEXT    NOT NULL,
    -- When it was created, by the server's clock.
    created_at  INTEGER NOT NULL,

    CONSTRAINT resellers_id_form CHECK (
        length(CAST(reseller_id AS BLOB)) = 36
        AND reseller_id GLOB '????????-????-????-????-????????????'
        AND replace(reseller_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(reseller_id, '-', '')) = 32
    ),
    CONSTRAINT resellers_name_form CHECK (
        length(name) BETWEEN 1 AND 200
        AND name NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'
        AND instr(name, char(0)) = 0
    )
) STRICT, WITHOUT ROWID;

-- Businesses that take payments with devices.
CREATE TABLE merchants (
    -- Id of the merchant, as in devices and in access tokens.
    merchant_id TEXT    NOT NULL PRIMARY KEY,
    -- Reseller that manages it; null if none does.
    reseller_id TEXT    REFERENCES resellers,
    -- Display name: 1 to 200 characters, no control characters.
    name        TEXT    NOT NULL,
    -- When it was created, by the server's clock.
    created_at  INTEGER NOT NULL,

    CONSTRAINT merchants_id_form CHECK (
        length(CAST(merchant_id AS BLOB)) = 36
        AND merchant_id GLOB '????????-????-????-????-????????????'
        AND replace(merchant_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(merchant_id, '-', '')) = 32
    ),
    CONSTRAINT merchants_name_form CHECK (
        length(name) BETWEEN 1 AND 200
        AND name NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'
        AND instr(name, char(0)) = 0
    )
) STRICT, WITHOUT ROWID;

-- Pages of one reseller's merchants.
CREATE INDEX merchants_of_reseller ON merchants (reseller_id, merchant_id);

-- Sites of a merchant where its devices are.
CREATE TABLE locations (
    -- Id of the location.
    location_id TEXT    NOT NULL PRIMARY KEY,
    -- Merchant that it belongs to. It never changes.
    merchant_id TEXT    NOT NULL REFERENCES merchants,
    -- Display name: 1 to 200 characters, no control characters.
    name        TEXT    NOT NULL,
    -- When it was created, by the server's clock.
    created_at  INTEGER NOT NULL,

    -- Target of the foreign key of devices. Also pages of one merchant's locations.
    CONSTRAINT locations_of_merchant UNIQUE (merchant_id, location_id),
    CONSTRAINT locations_id_form CHECK (
        length(CAST(location_id AS BLOB)) = 36
        AND location_id GLOB '????????-????-????-????-????????????'
        AND replace(location_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(location_id, '-', '')) = 32
    ),
    CONSTRAINT locations_name_form CHECK (
        length(name) BETWEEN 1 AND 200
        AND name NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'
        AND instr(name, char(0)) = 0
    )
) STRICT, WITHOUT ROWID;

-- Roles of users at merchants and resellers.
CREATE TABLE memberships (
    -- Id of the grant. A new role is a new grant, which ends the sessions of the previous one.
    grant_id    TEXT    NOT NULL PRIMARY KEY,
    -- User: the subject at the identity provider.
    user_id     TEXT    NOT NULL,
    -- Merchant that the user acts for; null if it is a reseller.
    merchant_id TEXT    REFERENCES merchants,
    -- Reseller that the user acts for; null if it is a merchant.
    reseller_id TEXT    REFERENCES resellers,
    -- viewer, operator or admin.
    role        TEXT    NOT NULL,
    -- When it was granted, by the server's clock.
    created_at  INTEGER NOT NULL,

    CONSTRAINT memberships_grant_form CHECK (
        length(CAST(grant_id AS BLOB)) = 36
        AND grant_id GLOB '????????-????-????-????-????????????'
        AND replace(grant_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(grant_id, '-', '')) = 32
    ),
    CONSTRAINT memberships_user_form CHECK (
        length(CAST(user_id AS BLOB)) BETWEEN 1 AND 255
        AND user_id NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'
        AND instr(user_id, char(0)) = 0
    ),
    CONSTRAINT memberships_merchant_form CHECK (
        length(CAST(merchant_id AS BLOB)) = 36
        AND merchant_id GLOB '????????-????-????-????-????????????'
        AND replace(merchant_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(merchant_id, '-', '')) = 32
    ),
    CONSTRAINT memberships_reseller_form CHECK (
        length(CAST(reseller_id AS BLOB)) = 36
        AND reseller_id GLOB '????????-????-????-????-????????????'
        AND replace(reseller_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(reseller_id, '-', '')) = 32
    ),
    CONSTRAINT memberships_one_party CHECK ((merchant_id IS NULL) <> (reseller_id IS NULL)),
    CONSTRAINT memberships_role_word CHECK (role IN ('viewer', 'operator', 'admin'))
) STRICT, WITHOUT ROWID;

-- A user has at most one membership at each merchant or reseller.
CREATE UNIQUE INDEX memberships_user_and_party
    ON memberships (user_id, coalesce(merchant_id, reseller_id), merchant_id IS NULL);
-- Pages of one merchant's or one reseller's members.
CREATE INDEX memberships_of_merchant ON memberships (merchant_id, grant_id) WHERE merchant_id IS NOT NULL;
CREATE INDEX memberships_of_reseller ON memberships (reseller_id, grant_id) WHERE reseller_id IS NOT NULL;

-- Machines that act for a merchant or a reseller with their own secret.
CREATE TABLE api_clients (
    -- Id of the client, the same as at the identity provider.
    client_id   TEXT    NOT NULL PRIMARY KEY,
    -- Id of the grant. A new secret is a new grant, which ends the sessions of the previous one.
    grant_id    TEXT    NOT NULL,
    -- Merchant that the client acts for; null if it is a reseller.
    merchant_id TEXT    REFERENCES merchants,
    -- Reseller that the client acts for; null if it is a merchant.
    reseller_id TEXT    REFERENCES resellers,
    -- viewer, operator or admin.
    role        TEXT    NOT NULL,
    -- $sha256$ and the SHA-256 of its secret in hex. The secret, 256 random bits, is not stored.
    secret_hash TEXT    NOT NULL,
    -- When it was created, by the server's clock.
    created_at  INTEGER NOT NULL,
    -- When it was revoked; null while it is active.
    revoked_at  INTEGER,

    CONSTRAINT api_clients_grant_unique UNIQUE (grant_id),
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
    CONSTRAINT api_clients_secret_hash_form CHECK (
        secret_hash GLOB '$sha256$*' AND length(secret_hash) = 72 AND substr(secret_hash, 9) NOT GLOB '*[^0-9a-f]*'
    )
) STRICT, WITHOUT ROWID;

-- Wrong client secrets in the current window.
CREATE TABLE client_failures (
    -- Bucket: one of a fixed number, chosen by a hash of the client IP.
    subject           TEXT    NOT NULL PRIMARY KEY,
    -- When the first failure of the window happened.
    window_started_at INTEGER NOT NULL,
    -- Number of failures in the window.
    failures          INTEGER NOT NULL,

    CONSTRAINT client_failures_subject_form CHECK (length(CAST(subject AS BLOB)) BETWEEN 1 AND 255),
    CONSTRAINT client_failures_counts CHECK (failures BETWEEN 1 AND 4294967295)
) STRICT, WITHOUT ROWID;

-- Expired windows, oldest first.
CREATE INDEX client_failures_purge ON client_failures (window_started_at);

-- Sessions of access tokens, resolved to user, merchant or reseller, and role.
CREATE TABLE sessions (
    -- SHA-256 over the session claims of the token. The token is not stored.
    session_key     TEXT    NOT NULL PRIMARY KEY,
    -- Grant of the membership or of the API client that the session is based on.
    grant_id        TEXT    NOT NULL,
    -- User who acts: the subject at the identity provider.
    user_id         TEXT    NOT NULL,
    -- Merchant that the user acts for; null if it is a reseller.
    merchant_id     TEXT    REFERENCES merchants,
    -- Reseller that the user acts for; null if it is a merchant.
    reseller_id     TEXT    REFERENCES resellers,
    -- viewer, operator or admin: the role of the grant or a lower one.
    role            TEXT    NOT NULL,
    -- Application that the user signed in to, for example merchant-portal.
    application     TEXT    NOT NULL,
    -- Channel used to sign in, for example web.
    channel         TEXT    NOT NULL,
    -- API client; null for a session of a person.
    client_id       TEXT    REFERENCES api_clients,
    -- SHA-256 over the id or the claims of the token that initiated it; null if unknown.
    token_key       TEXT,
    -- When that token was issued, by the identity provider's clock.
    token_issued_at INTEGER NOT NULL,
    -- When it was last initiated, by the server's clock.
    started_at      INTEGER NOT NULL,
    -- First instant at which it has expired.
    ends_at         INTEGER NOT NULL,

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

-- Sessions of a user, for a logout of the user.
CREATE INDEX sessions_of_user ON sessions (user_id, ends_at);
-- Sessions of a grant that is replaced or revoked.
CREATE INDEX sessions_of_grant ON sessions (grant_id);
-- Expired sessions, oldest first.
CREATE INDEX sessions_purge ON sessions (ends_at);

-- Logouts that the identity provider sent, until every token they affect has expired.
CREATE TABLE logouts (
    -- session or user: whether it logs out one session or all sessions of a user.
    kind         TEXT    NOT NULL,
    -- Session key or user.
    subject      TEXT    NOT NULL,
    -- Tokens issued up to this instant are logged out; null: all tokens of the session.
    issued_until INTEGER,
    -- First instant at which the row can be deleted.
    expires_at   INTEGER NOT NULL,

    PRIMARY KEY (kind, subject),
    CONSTRAINT logouts_kind_word CHECK (kind IN ('session', 'user')),
    CONSTRAINT logouts_subject_form CHECK (length(CAST(subject AS BLOB)) BETWEEN 1 AND 255),
    CONSTRAINT logouts_user_issued_until CHECK (kind <> 'user' OR issued_until IS NOT NULL)
) STRICT, WITHOUT ROWID;

CREATE INDEX logouts_expires_at ON logouts (expires_at);

-- Tokens whose session was ended. Until they expire they neither start nor resolve a session.
CREATE TABLE revoked_tokens (
    -- Session of the token. Its tokens issued before issued_at are revoked too.
    session_key TEXT    NOT NULL,
    -- SHA-256 over the id or the claims of the token; empty if the session did not record it.
    token_key   TEXT    NOT NULL,
    -- When the token was issued, by the identity provider's clock.
    issued_at   INTEGER NOT NULL,
    -- First instant at which the row can be deleted.
    expires_at  INTEGER NOT NULL,

    PRIMARY KEY (session_key, token_key),
    CONSTRAINT revoked_tokens_session_form CHECK (length(session_key) = 64 AND session_key NOT GLOB '*[^0-9a-f]*'),
    CONSTRAINT revoked_tokens_token_form CHECK (length(token_key) IN (0, 64) AND token_key NOT GLOB '*[^0-9a-f]*')
) STRICT, WITHOUT ROWID;

CREATE INDEX revoked_tokens_expires_at ON revoked_tokens (expires_at);
