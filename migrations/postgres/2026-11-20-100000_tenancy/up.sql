-- Who belongs to whom, who may act for whom, and the sessions in which they do.
--
--    resellers ◀─── merchants            devices name merchants, and may do so before the merchant has a row
--        ▲              ▲
--        └──────┬───────┘
--      memberships, api_clients          each row is one grant: who, for which merchant or reseller, as what
--               ▲
--            sessions                    stand on a grant, by its id
--
-- A session is found only while its grant is there, unchanged and not revoked, and nobody logged it out: whoever looks
-- asks for all of it, so a row of `sessions` that is left over by a race is no session. Nothing has to be swept.
-- Instants have whole microseconds.

CREATE TABLE resellers (
    reseller_id uuid        PRIMARY KEY,
    name        text        NOT NULL,
    created_at  timestamptz NOT NULL,

    CONSTRAINT resellers_name_form CHECK (length(name) BETWEEN 1 AND 200 AND name !~ '[\u0001-\u001F\u007F-\u009F]')
);

COMMENT ON TABLE resellers IS 'Those who bring merchants and manage their terminals.';
COMMENT ON COLUMN resellers.reseller_id IS 'Its id.';
COMMENT ON COLUMN resellers.name IS 'What people call it.';
COMMENT ON COLUMN resellers.created_at IS 'When it was made known.';

CREATE TABLE merchants (
    merchant_id uuid        PRIMARY KEY,
    reseller_id uuid        REFERENCES resellers,
    name        text        NOT NULL,
    created_at  timestamptz NOT NULL,

    CONSTRAINT merchants_name_form CHECK (length(name) BETWEEN 1 AND 200 AND name !~ '[\u0001-\u001F\u007F-\u009F]')
);

COMMENT ON TABLE merchants IS 'Those who take payments with terminals.';
COMMENT ON COLUMN merchants.merchant_id IS 'Its id, the one that devices and tokens name.';
COMMENT ON COLUMN merchants.reseller_id IS 'The reseller that brought it, if one did.';
COMMENT ON COLUMN merchants.name IS 'What people call it.';
COMMENT ON COLUMN merchants.created_at IS 'When it was made known.';

-- One reseller's merchants, page by page.
CREATE INDEX merchants_of_reseller ON merchants (reseller_id, merchant_id);

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

COMMENT ON TABLE memberships IS 'Which user acts for which merchant or reseller, and as what.';
COMMENT ON COLUMN memberships.grant_id IS 'This granting; another role is another grant.';
COMMENT ON COLUMN memberships.user_id IS 'The identity provider''s subject.';
COMMENT ON COLUMN memberships.merchant_id IS 'The merchant; this or the reseller.';
COMMENT ON COLUMN memberships.reseller_id IS 'The reseller; this or the merchant.';
COMMENT ON COLUMN memberships.role IS 'viewer, operator or admin.';
COMMENT ON COLUMN memberships.created_at IS 'When it was given.';

-- A user has one membership at each party.
CREATE UNIQUE INDEX memberships_once
    ON memberships (user_id, (coalesce(merchant_id, reseller_id)), (merchant_id IS NULL));
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

    CONSTRAINT api_clients_grant_once UNIQUE (grant_id),
    CONSTRAINT api_clients_id_form CHECK (client_id ~ '^[A-Za-z0-9._-]{1,64}$'),
    CONSTRAINT api_clients_one_party CHECK (num_nonnulls(merchant_id, reseller_id) = 1),
    CONSTRAINT api_clients_role_word CHECK (role IN ('viewer', 'operator', 'admin')),
    CONSTRAINT api_clients_secret_is_hashed CHECK (secret_hash LIKE '$argon2id$%' AND length(secret_hash) <= 512)
);

COMMENT ON TABLE api_clients IS 'Machines that act for a merchant or a reseller with a secret of their own.';
COMMENT ON COLUMN api_clients.client_id IS 'Its name, the same at the identity provider.';
COMMENT ON COLUMN api_clients.grant_id IS 'The grant of its present secret; another secret is another grant.';
COMMENT ON COLUMN api_clients.merchant_id IS 'The merchant; this or the reseller.';
COMMENT ON COLUMN api_clients.reseller_id IS 'The reseller; this or the merchant.';
COMMENT ON COLUMN api_clients.role IS 'viewer, operator or admin.';
COMMENT ON COLUMN api_clients.secret_hash IS 'Argon2id over its secret, as a PHC string. The secret is kept nowhere.';
COMMENT ON COLUMN api_clients.created_at IS 'When it was made.';
COMMENT ON COLUMN api_clients.revoked_at IS 'When it was revoked, for good.';

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
) WITH (fillfactor = 80);

COMMENT ON TABLE sessions IS 'What each initiated session of a bearer token was resolved to.';
COMMENT ON COLUMN sessions.session_key IS 'SHA-256 over what the token says of its session; never a token.';
COMMENT ON COLUMN sessions.grant_id IS 'The membership or the API client''s secret it stands on.';
COMMENT ON COLUMN sessions.user_id IS 'Who acts: the identity provider''s subject.';
COMMENT ON COLUMN sessions.merchant_id IS 'The merchant that is acted for; this or the reseller.';
COMMENT ON COLUMN sessions.reseller_id IS 'The reseller that is acted for; this or the merchant.';
COMMENT ON COLUMN sessions.role IS 'viewer, operator or admin; the grant''s or one below it.';
COMMENT ON COLUMN sessions.application IS 'Where the caller came in, for example merchant-portal.';
COMMENT ON COLUMN sessions.channel IS 'Over which channel, for example web.';
COMMENT ON COLUMN sessions.client_id IS 'The API client, when it is a machine''s.';
COMMENT ON COLUMN sessions.token_issued_at IS 'When the initiating token was issued, by the provider''s clock.';
COMMENT ON COLUMN sessions.started_at IS 'When it was initiated, the last time.';
COMMENT ON COLUMN sessions.ends_at IS 'The first instant at which it is over by itself.';

-- What a new session of a user takes along that is over.
CREATE INDEX sessions_of_user ON sessions (user_id, ends_at);
CREATE INDEX sessions_of_grant ON sessions (grant_id);

CREATE TABLE logouts (
    kind         text             NOT NULL,
    subject      text COLLATE "C" NOT NULL,
    issued_until timestamptz,
    keep_until   timestamptz      NOT NULL,

    PRIMARY KEY (kind, subject),
    CONSTRAINT logouts_kind_word CHECK (kind IN ('session', 'user')),
    CONSTRAINT logouts_subject_form CHECK (octet_length(subject) BETWEEN 1 AND 255),
    CONSTRAINT logouts_users_instant CHECK ((kind = 'user') = (issued_until IS NOT NULL))
);

COMMENT ON TABLE logouts IS 'What the identity provider ended, for as long as a token of it could still hold.';
COMMENT ON COLUMN logouts.kind IS 'session (its tokens, whenever issued) or user (all tokens issued up to an instant).';
COMMENT ON COLUMN logouts.subject IS 'The session''s key, or the user''s subject.';
COMMENT ON COLUMN logouts.issued_until IS 'For a user: tokens issued up to this instant are out.';
COMMENT ON COLUMN logouts.keep_until IS 'From when on it may be forgotten.';

CREATE INDEX logouts_to_forget ON logouts (keep_until);

CREATE TABLE client_failures (
    subject           text COLLATE "C" PRIMARY KEY,
    window_started_at timestamptz NOT NULL,
    failures          bigint      NOT NULL,

    CONSTRAINT client_failures_subject_form CHECK (octet_length(subject) BETWEEN 1 AND 255),
    CONSTRAINT client_failures_counts CHECK (failures BETWEEN 1 AND 4294967295)
) WITH (fillfactor = 70);

COMMENT ON TABLE client_failures IS 'Wrong client secrets in the current window, counted by all replicas together.';
COMMENT ON COLUMN client_failures.subject IS 'A client''s id, or one of a fixed number of places for ids that nobody has.';
COMMENT ON COLUMN client_failures.window_started_at IS 'When the first failure of the window happened.';
COMMENT ON COLUMN client_failures.failures IS 'How many there were since.';
