-- Tokens whose session was ended, logouts of a session up to an instant, and SHA-256 digests of client secrets.
--
-- A token that is listed in `ended_tokens` starts no session and finds none, until it has expired; a later token of the
-- same session of the identity provider does. A logout of a session ends the tokens that were issued up to it, as one of
-- a user does; a row without an instant, which a server of the version before writes, ends all of the session's.
--
-- Servers of the version before go on: they do not read `ended_tokens`, and leave `token_key` empty. They cannot check a
-- secret that was made or rotated by a newer one (500 there), and a newer one cannot check an Argon2 hash: rotate each
-- client once all servers are new. Both count in `client_failures`: they for each client, a newer one for each address.

CREATE TABLE ended_tokens (
    session_key text COLLATE "C" NOT NULL,
    token_key   text COLLATE "C" NOT NULL,
    issued_at   timestamptz      NOT NULL,
    keep_until  timestamptz      NOT NULL,

    PRIMARY KEY (session_key, token_key),
    CONSTRAINT ended_tokens_session_form CHECK (session_key ~ '^[0-9a-f]{64}$'),
    CONSTRAINT ended_tokens_token_form CHECK (token_key ~ '^([0-9a-f]{64})?$')
);

COMMENT ON TABLE ended_tokens IS 'Tokens whose session was ended, by their hashes, for as long as one could still hold.';
COMMENT ON COLUMN ended_tokens.session_key IS 'The session''s key. Tokens of it that were issued before issued_at are out as well.';
COMMENT ON COLUMN ended_tokens.token_key IS 'SHA-256 over the token''s id or claims; empty where a session did not record its token.';
COMMENT ON COLUMN ended_tokens.issued_at IS 'When the token was issued, by the provider''s clock.';
COMMENT ON COLUMN ended_tokens.keep_until IS 'From when on it may be forgotten.';

CREATE INDEX ended_tokens_to_forget ON ended_tokens (keep_until);

ALTER TABLE sessions ADD COLUMN token_key text COLLATE "C";
COMMENT ON COLUMN sessions.token_key IS 'SHA-256 over the id or the claims of the token that started it.';

-- Both are wider than the ones they replace, so the rows that are there fulfil them.
ALTER TABLE logouts DROP CONSTRAINT logouts_users_instant;
ALTER TABLE logouts ADD CONSTRAINT logouts_users_instant CHECK (kind <> 'user' OR issued_until IS NOT NULL) NOT VALID;
COMMENT ON COLUMN logouts.kind IS 'session or user: the tokens of it that were issued up to an instant.';
COMMENT ON COLUMN logouts.issued_until IS 'Tokens issued up to this instant are out; none, for a session: all of its tokens.';

ALTER TABLE api_clients DROP CONSTRAINT api_clients_secret_is_hashed;
ALTER TABLE api_clients ADD CONSTRAINT api_clients_secret_is_hashed
    CHECK ((secret_hash LIKE '$argon2id$%' AND length(secret_hash) <= 512) OR secret_hash ~ '^[$]sha256[$][0-9a-f]{64}$') NOT VALID;
COMMENT ON COLUMN api_clients.secret_hash IS '$sha256$ and the digest of its secret, in hex. The secret, 256 random bits, is kept nowhere.';

COMMENT ON TABLE client_failures IS 'Wrong client secrets in the current window, counted by all replicas together.';
COMMENT ON COLUMN client_failures.subject IS 'One of a fixed number of counters for addresses; a client''s id from a server of the version before.';
