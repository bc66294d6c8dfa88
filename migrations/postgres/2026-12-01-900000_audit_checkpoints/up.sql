-- Digests of administrative events, and checkpoints that seal them in batches after their commit.
--
--    audit_events         12   13   14 │ 15   16 │ 17        each has the digest of its own row
--    audit_checkpoints         1 ──────▶ 2                   each hash is of its seals and of the hash before it
--    audit_seals          12 ▶ 1, 13 ▶ 1, 14 ▶ 1, 15 ▶ 2 …
--
-- Servers of the version before go on writing events, without digests. Nothing is computed here. Rows that decide who may
-- act for whom and that no event made get one, so that `audit verify` finds an event for each from now on.

ALTER TABLE audit_events
    ADD COLUMN hash bytea,
    ADD CONSTRAINT audit_events_hash_form CHECK (octet_length(hash) = 32) NOT VALID;
COMMENT ON COLUMN audit_events.hash IS 'SHA-256 of this event, without its number; none from a server older than digests.';

CREATE TABLE audit_checkpoints (
    sequence bigint      PRIMARY KEY,
    through  bigint      NOT NULL,
    events   bigint      NOT NULL,
    at       timestamptz NOT NULL,
    hash     bytea       NOT NULL,

    CONSTRAINT audit_checkpoints_counts CHECK (sequence >= 0 AND through >= 0 AND events >= 0),
    CONSTRAINT audit_checkpoints_hash_form CHECK (octet_length(hash) = 32)
);

COMMENT ON TABLE audit_checkpoints IS 'The hash chain over batches of administrative events.';
COMMENT ON COLUMN audit_checkpoints.sequence IS '0, 1, 2 … without a gap.';
COMMENT ON COLUMN audit_checkpoints.through IS 'The highest number that is sealed so far; of checkpoint 0, the last event older than digests.';
COMMENT ON COLUMN audit_checkpoints.events IS 'How many events it seals.';
COMMENT ON COLUMN audit_checkpoints.at IS 'When they were sealed, by the server''s clock.';
COMMENT ON COLUMN audit_checkpoints.hash IS 'SHA-256 of its seals and of the checkpoint before it.';

CREATE TABLE audit_seals (
    number     bigint      PRIMARY KEY,
    checkpoint bigint      NOT NULL REFERENCES audit_checkpoints,
    at         timestamptz NOT NULL,
    hash       bytea       NOT NULL,

    CONSTRAINT audit_seals_hash_form CHECK (octet_length(hash) = 32)
);

COMMENT ON TABLE audit_seals IS 'Which administrative event is in which checkpoint. It stays when the event is removed after its retention.';
COMMENT ON COLUMN audit_seals.number IS 'The event''s number.';
COMMENT ON COLUMN audit_seals.checkpoint IS 'The checkpoint.';
COMMENT ON COLUMN audit_seals.at IS 'When the event happened.';
COMMENT ON COLUMN audit_seals.hash IS 'The event''s digest when it was sealed.';

CREATE INDEX audit_seals_of_checkpoint ON audit_seals (checkpoint, number);

INSERT INTO audit_events (at, actor, kind, subject, detail)
SELECT now(), 'operator', 'reseller_added', 'reseller:' || reseller_id, '{"recorded": "upgrade"}' FROM resellers
WHERE NOT EXISTS (SELECT FROM audit_events
    WHERE kind = 'reseller_added' AND subject = 'reseller:' || reseller_id)
ORDER BY reseller_id;

INSERT INTO audit_events (at, actor, merchant_id, kind, subject, detail)
SELECT now(), 'operator', merchant_id, 'merchant_added', 'merchant:' || merchant_id,
    jsonb_build_object('recorded', 'upgrade', 'reseller', coalesce(reseller_id::text, 'none'))::text
FROM merchants ORDER BY merchant_id;

INSERT INTO audit_events (at, actor, merchant_id, kind, subject, detail)
SELECT now(), 'operator', merchant_id, 'location_added', 'location:' || location_id, '{"recorded": "upgrade"}' FROM locations
WHERE NOT EXISTS (SELECT FROM audit_events
    WHERE kind = 'location_added' AND subject = 'location:' || location_id)
ORDER BY location_id;

WITH grants AS (
    SELECT user_id, merchant_id, role,
        coalesce('merchant:' || merchant_id, 'reseller:' || reseller_id) AS party
    FROM memberships
)
INSERT INTO audit_events (at, actor, merchant_id, kind, subject, detail)
SELECT now(), 'operator', merchant_id, 'member_added', 'user:' || user_id,
    jsonb_build_object('recorded', 'upgrade', 'party', party, 'role', role)::text
FROM grants
WHERE NOT EXISTS (SELECT FROM audit_events WHERE kind = 'member_added' AND subject = 'user:' || user_id
    AND detail::jsonb ->> 'party' = party)
ORDER BY user_id, party;

WITH grants AS (
    SELECT client_id, merchant_id, role,
        coalesce('merchant:' || merchant_id, 'reseller:' || reseller_id) AS party
    FROM api_clients
)
INSERT INTO audit_events (at, actor, merchant_id, kind, subject, detail)
SELECT now(), 'operator', merchant_id, 'client_added', 'client:' || client_id,
    jsonb_build_object('recorded', 'upgrade', 'party', party, 'role', role)::text
FROM grants
WHERE NOT EXISTS (SELECT FROM audit_events WHERE kind = 'client_added' AND subject = 'client:' || client_id)
ORDER BY client_id;

INSERT INTO audit_events (at, actor, merchant_id, kind, subject, detail)
SELECT revoked_at, 'operator', merchant_id, 'client_revoked', 'client:' || client_id,
    jsonb_build_object('recorded', 'upgrade', 'party', coalesce('merchant:' || merchant_id, 'reseller:' || reseller_id))::text
FROM api_clients
WHERE revoked_at IS NOT NULL AND NOT EXISTS (SELECT FROM audit_events
    WHERE kind = 'client_revoked' AND subject = 'client:' || client_id)
ORDER BY client_id;

INSERT INTO audit_checkpoints (sequence, through, events, at, hash)
SELECT 0, coalesce(max(number), 0), 0, now(), decode(repeat('00', 32), 'hex') FROM audit_events;
