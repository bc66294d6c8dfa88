-- Logouts of a session end all of its tokens again. Clients whose secret is kept as a digest are refused until they are
-- rotated: their hash becomes one that no secret has.
UPDATE api_clients SET secret_hash = '$argon2id$' WHERE secret_hash LIKE '$sha256$%';
ALTER TABLE api_clients DROP CONSTRAINT api_clients_secret_is_hashed;
ALTER TABLE api_clients ADD CONSTRAINT api_clients_secret_is_hashed
    CHECK (secret_hash LIKE '$argon2id$%' AND length(secret_hash) <= 512) NOT VALID;
COMMENT ON COLUMN api_clients.secret_hash IS 'Argon2id over its secret, as a PHC string. The secret is kept nowhere.';

UPDATE logouts SET issued_until = NULL WHERE kind = 'session';
ALTER TABLE logouts DROP CONSTRAINT logouts_users_instant;
ALTER TABLE logouts ADD CONSTRAINT logouts_users_instant CHECK ((kind = 'user') = (issued_until IS NOT NULL)) NOT VALID;
COMMENT ON COLUMN logouts.kind IS 'session (its tokens, whenever issued) or user (all tokens issued up to an instant).';
COMMENT ON COLUMN logouts.issued_until IS 'For a user: tokens issued up to this instant are out.';

ALTER TABLE sessions DROP COLUMN token_key;
DROP TABLE ended_tokens;
