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
-- Instants have microsecond precision. Ids of type text are COLLATE "C", so that they sort by their bytes, as the code
-- pages through them.

CREATE TABLE resellers (
    reseller_id uuid        PRIMARY KEY,
    name        text        NOT NULL,
    created_at  timestamptz NOT NULL,

    CONSTRAINT resellers_name_form CHECK (length(name) BETWEEN 1 AND 200 AND name !~ '[\u0001-\u001F\u007F-\u009F]')
);

COMMENT ON TABLE resellers IS 'Businesses that bring merchants and manage their devices.';
COMMENT ON COLUMN resellers.reseller_id IS 'Id of the reseller.';
COMMENT ON COLUMN resellers.name IS 'Display name: 1 to 200 characters, no control characters.';
COMMENT ON COLUMN resellers.created_at IS 'When it was created, by the server''s clock.';

CREATE TABLE merchants (
    merchant_id uuid        PRIMARY KEY,
    reseller_id uuid        REFERENCES resellers,
    name        text        NOT NULL,
    created_at  timestamptz NOT NULL,

    CONSTRAINT merchants_name_form CHECK (length(name) BETWEEN 1 AND 200 AND name !~ '[\u0001-\u001F\u007F-\u009F]')
);

COMMENT ON TABLE merchants IS 'Businesses that take payments with devices.';
COMMENT ON COLUMN merchants.merchant_id IS 'Id of the merchant, as in devices and in access tokens.';
COMMENT ON COLUMN merchants.reseller_id IS 'Reseller that manages it; null if none does.';
COMMENT ON COLUMN merchants.name IS 'Display name: 1 to 200 characters, no control characters.';
COMMENT ON COLUMN merchants.created_at IS 'When it was created, by the server''s clock.';

-- Pages of one reseller's merchants.
CREATE INDEX merchants_of_reseller ON merchants (reseller_id, merchant_id);

CREATE TABLE locations (
    location_id uuid        PRIMARY KEY,
    merchant_id uuid        NOT NULL REFERENCES merchants,
    name        text        NOT NULL,
    created_at  timestamptz NOT NULL,

    -- Target of the foreign key of devices. Also pages of one merchant's locations.
    CONSTRAINT locations_of_merchant UNIQUE (merchant_id, location_id),
    CONSTRAINT locations_name_form CHECK (length(name) BETWEEN 1 AND 200 AND name !~ '[\u0001-\u001F\u007F-\u009F]')
);

COMMENT ON TABLE locations IS 'Sites of a merchant where its devices are.';
COMMENT ON COLUMN locations.location_id IS 'Id of the location.';
COMMENT ON COLUMN locations.merchant_id IS 'Merchant that it belongs to. It never changes.';
COMMENT ON COLUMN locations.name IS 'Display name: 1 to 200 characters, no control characters.';
COMMENT ON COLUMN locations.created_at IS 'When it was created, by the server''s clock.';

CREATE TABLE memberships (
    grant_id    uuid             PRIMARY KEY,
    user_id     text COLLATE "C" NOT NULL,
    merchant_id uuid             REFERENCES merchants,
    reseller_id uuid             REFERENCES resellers,
    role        text             NOT NULL,
    created_at  timestamptz      NOT NULL,

    CONSTRAINT memberships_user_form
        CHECK (octet_length(user_id) BETWEEN 1 AND 255 AND user_id !~ '[\u0001-\u001F\u007F-\u009F]'),
    CONSTRAINT memberships_one_party CHECK (num_nonnulls(merchant_id, reseller_id) = 1),
    CONSTRAINT memberships_role_word CHECK (role IN ('viewer', 'operator', 'admin'))
);

COMMENT ON TABLE memberships IS 'Roles of users at merchants and resellers.';
COMMENT ON COLUMN memberships.grant_id IS
    'Id of the grant. A new role is a new grant, which ends the sessions of the previous one.';
COMMENT ON COLUMN memberships.user_id IS 'User: the subject at the identity provider.';
COMMENT ON COLUMN memberships.merchant_id IS 'Merchant that the user acts for; null if it is a reseller.';
COMMENT ON COLUMN memberships.reseller_id IS 'Reseller that the user acts for; null if it is a merchant.';
COMMENT ON COLUMN memberships.role IS 'viewer, operator or admin.';
COMMENT ON COLUMN memberships.created_at IS 'When it was granted, by the server''s clock.';

-- A user has at most one membership at each merchant or reseller.
CREATE UNIQUE INDEX memberships_user_and_party
    ON memberships (user_id, (coalesce(merchant_id, reseller_id)), (merchant_id IS NULL));
-- Pages of one merchant's or one reseller's members.
CREATE INDEX memberships_of_merchant ON memberships (merchant_id, grant_id) WHERE merchant_id IS NOT NULL;
CREATE INDEX memberships_of_reseller ON memberships (reseller_id, grant_id) WHERE reseller_id IS NOT NULL;

CREATE TABLE api_clients (
    client_id   text COLLATE "C" PRIMARY KEY,
    grant_id    uuid             NOT NULL,
    merchant_id uuid             REFERENCES merchants,
    reseller_id uuid             REFERENCES resellers,
    role        text             NOT NULL,
    secret_hash text             NOT NULL,
    created_at  timestamptz      NOT NULL,
    revoked_at  timestamptz,

    CONSTRAINT api_clients_grant_unique UNIQUE (grant_id),
    CONSTRAINT api_clients_id_form CHECK (client_id ~ '^[A-Za-z0-9._-]{1,64}$'),
    CONSTRAINT api_clients_one_party CHECK (num_nonnulls(merchant_id, reseller_id) = 1),
    CONSTRAINT api_clients_role_word CHECK (role IN ('viewer', 'operator', 'admin')),
    CONSTRAINT api_clients_secret_hash_form CHECK (secret_hash ~ '^[$]sha256[$][0-9a-f]{64}$')
);

COMMENT ON TABLE api_clients IS 'Machines that act for a merchant or a reseller with their own secret.';
COMMENT ON COLUMN api_clients.client_id IS 'Id of the client, the same as at the identity provider.';
COMMENT ON COLUMN api_clients.grant_id IS
    'Id of the grant. A new secret is a new grant, which ends the sessions of the previous one.';
COMMENT ON COLUMN api_clients.merchant_id IS 'Merchant that the client acts for; null if it is a reseller.';
COMMENT ON COLUMN api_clients.reseller_id IS 'Reseller that the client acts for; null if it is a merchant.';
COMMENT ON COLUMN api_clients.role IS 'viewer, operator or admin.';
COMMENT ON COLUMN api_clients.secret_hash IS
    '$sha256$ and the SHA-256 of its secret in hex. The secret, 256 random bits, is not stored.';
COMMENT ON COLUMN api_clients.created_at IS 'When it was created, by the server''s clock.';
COMMENT ON COLUMN api_clients.revoked_at IS 'When it was revoked; null while it is active.';

CREATE TABLE client_failures (
    subject           text COLLATE "C" PRIMARY KEY,
    window_started_at timestamptz NOT NULL,
    failures          bigint      NOT NULL,

    CONSTRAINT client_failures_subject_form CHECK (octet_length(subject) BETWEEN 1 AND 255),
    CONSTRAINT client_failures_counts CHECK (failures BETWEEN 1 AND 4294967295)
) WITH (fillfactor = 70); -- free space on each page for updates of the counters

COMMENT ON TABLE client_failures IS 'Wrong client secrets in the current window, counted across all replicas.';
COMMENT ON COLUMN client_failures.subject IS 'Bucket: one of a fixed number, chosen by a hash of the client IP.';
COMMENT ON COLUMN client_failures.window_started_at IS 'When the first failure of the window happened.';
COMMENT ON COLUMN client_failures.failures IS 'Number of failures in the window.';

-- Expired windows, oldest first.
CREATE INDEX client_failures_purge ON client_failures (window_started_at);

CREATE TABLE sessions (
    session_key     text COLLATE "C" PRIMARY KEY,
    grant_id        uuid             NOT NULL,
    user_id         text COLLATE "C" NOT NULL,
    merchant_id     uuid             REFERENCES merchants,
    reseller_id     uuid             REFERENCES resellers,
    role            text             NOT NULL,
    application     text             NOT NULL,
    channel         text             NOT NULL,
    client_id       text COLLATE "C" REFERENCES api_clients,
    token_key       text COLLATE "C",
    token_issued_at timestamptz      NOT NULL,
    started_at      timestamptz      NOT NULL,
    ends_at         timestamptz      NOT NULL,

    CONSTRAINT sessions_key_form CHECK (session_key ~ '^[0-9a-f]{64}$'),
    CONSTRAINT sessions_user_form
        CHECK (octet_length(user_id) BETWEEN 1 AND 255 AND user_id !~ '[\u0001-\u001F\u007F-\u009F]'),
    CONSTRAINT sessions_one_party CHECK (num_nonnulls(merchant_id, reseller_id) = 1),
    CONSTRAINT sessions_role_word CHECK (role IN ('viewer', 'operator', 'admin')),
    CONSTRAINT sessions_application_form CHECK (application ~ '^[a-z0-9-]{1,64}$'),
    CONSTRAINT sessions_channel_form CHECK (channel ~ '^[a-z0-9-]{1,64}$')
) WITH (fillfactor = 80); -- free space on each page for sessions that are initiated again

COMMENT ON TABLE sessions IS 'Sessions of access tokens, resolved to user, merchant or reseller, and role.';
COMMENT ON COLUMN sessions.session_key IS 'SHA-256 over the session claims of the token. The token is not stored.';
COMMENT ON COLUMN sessions.grant_id IS 'Grant of the membership or of the API client that the session is based on.';
COMMENT ON COLUMN sessions.user_id IS 'User who acts: the subject at the identity provider.';
COMMENT ON COLUMN sessions.merchant_id IS 'Merchant that the user acts for; null if it is a reseller.';
COMMENT ON COLUMN sessions.reseller_id IS 'Reseller that the user acts for; null if it is a merchant.';
COMMENT ON COLUMN sessions.role IS 'viewer, operator or admin: the role of the grant or a lower one.';
COMMENT ON COLUMN sessions.application IS 'Application that the user signed in to, for example merchant-portal.';
COMMENT ON COLUMN sessions.channel IS 'Channel used to sign in, for example web.';
COMMENT ON COLUMN sessions.client_id IS 'API client; null for a session of a person.';
COMMENT ON COLUMN sessions.token_key IS
    'SHA-256 over the id or the claims of the token that initiated it; null if unknown.';
COMMENT ON COLUMN sessions.token_issued_at IS 'When that token was issued, by the identity provider''s clock.';
COMMENT ON COLUMN sessions.started_at IS 'When it was last initiated, by the server''s clock.';
COMMENT ON COLUMN sessions.ends_at IS 'First instant at which it has expired.';

-- Sessions of a user, for a logout of the user.
CREATE INDEX sessions_of_user ON sessions (user_id, ends_at);
-- Sessions of a grant that is replaced or revoked.
CREATE INDEX sessions_of_grant ON sessions (grant_id);
-- Expired sessions, oldest first.
CREATE INDEX sessions_purge ON sessions (ends_at);

CREATE TABLE logouts (
    kind         text             NOT NULL,
    subject      text COLLATE "C" NOT NULL,
    issued_until timestamptz,
    expires_at   timestamptz      NOT NULL,

    PRIMARY KEY (kind, subject),
    CONSTRAINT logouts_kind_word CHECK (kind IN ('session', 'user')),
    CONSTRAINT logouts_subject_form CHECK (octet_length(subject) BETWEEN 1 AND 255),
    CONSTRAINT logouts_user_issued_until CHECK (kind <> 'user' OR issued_until IS NOT NULL)
);

COMMENT ON TABLE logouts IS 'Logouts that the identity provider sent, until every token they affect has expired.';
COMMENT ON COLUMN logouts.kind IS 'session or user: whether it logs out one session or all sessions of a user.';
COMMENT ON COLUMN logouts.subject IS 'Session key or user.';
COMMENT ON COLUMN logouts.issued_until IS
    'Tokens issued up to this instant are logged out; null: all tokens of the session.';
COMMENT ON COLUMN logouts.expires_at IS 'First instant at which the row can be deleted.';

CREATE INDEX logouts_expires_at ON logouts (expires_at);

CREATE TABLE revoked_tokens (
    session_key text COLLATE "C" NOT NULL,
    token_key   text COLLATE "C" NOT NULL,
    issued_at   timestamptz      NOT NULL,
    expires_at  timestamptz      NOT NULL,

    PRIMARY KEY (session_key, token_key),
    CONSTRAINT revoked_tokens_session_form CHECK (session_key ~ '^[0-9a-f]{64}$'),
    CONSTRAINT revoked_tokens_token_form CHECK (token_key ~ '^([0-9a-f]{64})?$')
);

COMMENT ON TABLE revoked_tokens IS
    'Tokens whose session was ended. Until they expire they neither start nor resolve a session.';
COMMENT ON COLUMN revoked_tokens.session_key IS
    'Session of the token. Its tokens issued before issued_at are revoked too.';
COMMENT ON COLUMN revoked_tokens.token_key IS
    'SHA-256 over the id or the claims of the token; empty if the session did not record it.';
COMMENT ON COLUMN revoked_tokens.issued_at IS 'When the token was issued, by the identity provider''s clock.';
COMMENT ON COLUMN revoked_tokens.expires_at IS 'First instant at which the row can be deleted.';

CREATE INDEX revoked_tokens_expires_at ON revoked_tokens (expires_at);
