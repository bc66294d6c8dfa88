-- The whole audit trail: from where and by which call, a chain over the events of each device, and a table for what is
-- no change of a device.
--
--    device_events    1 ──▶ 2 ──▶ 3 ──▶ 4      each hash is of its own row and of the hash before it
--    devices          chain_start = 1, chain_head = the hash of event 4
--
-- Nothing is computed here: what was written before has no hash, and neither has what a server of the version before
-- writes while the replicas are replaced. A device's chain starts with the first event that a newer server writes.

ALTER TABLE devices
    ADD COLUMN chain_start bigint,
    ADD COLUMN chain_head  bytea,
    ADD CONSTRAINT devices_chain_whole CHECK (num_nulls(chain_start, chain_head) IN (0, 2)),
    ADD CONSTRAINT devices_chain_form CHECK (chain_start BETWEEN 1 AND version AND octet_length(chain_head) = 32);

COMMENT ON COLUMN devices.chain_start IS 'The sequence of the first event in its chain; none before there is one.';
COMMENT ON COLUMN devices.chain_head IS 'The hash of the last event in its chain, so that a chain cut short is seen.';

ALTER TABLE device_events
    ADD COLUMN origin   text,
    ADD COLUMN trace_id text,
    ADD COLUMN hash     bytea,
    ADD CONSTRAINT device_events_origin_form CHECK (origin ~ '^[0-9a-f:.]{2,45}$'),
    ADD CONSTRAINT device_events_trace_form CHECK (trace_id ~ '^[0-9a-f]{32}$' AND trace_id ~ '[^0]'),
    ADD CONSTRAINT device_events_hash_form CHECK (octet_length(hash) = 32);

COMMENT ON COLUMN device_events.origin IS 'From which IP address; none from the command line.';
COMMENT ON COLUMN device_events.trace_id IS 'By which call, as in the log and in X-Trace-Id; none from the command line.';
COMMENT ON COLUMN device_events.hash IS 'SHA-256 of this event and of the hash before it; none outside the chain.';

-- The export reads all devices' events in the order of time, page by page.
CREATE INDEX device_events_by_time ON device_events (at, device_id, sequence);

CREATE TABLE audit_events (
    number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL,
    actor       text        NOT NULL,
    origin      text,
    trace_id    text,
    merchant_id uuid,
    kind        text        NOT NULL,
    subject     text COLLATE "C",
    detail      text        NOT NULL DEFAULT '{}',

    CONSTRAINT audit_events_actor_word
        CHECK (actor IN ('terminal', 'operator')
            OR (actor ~ '^user:' AND octet_length(actor) BETWEEN 6 AND 260 AND actor !~ '[\u0001-\u001F\u007F-\u009F]')),
    CONSTRAINT audit_events_origin_form CHECK (origin ~ '^[0-9a-f:.]{2,45}$'),
    CONSTRAINT audit_events_trace_form CHECK (trace_id ~ '^[0-9a-f]{32}$' AND trace_id ~ '[^0]'),
    CONSTRAINT audit_events_kind_form CHECK (kind ~ '^[a-z_]{1,64}$'),
    CONSTRAINT audit_events_subject_form CHECK (subject ~ '^[a-z_]+:.' AND octet_length(subject) <= 320),
    CONSTRAINT audit_events_detail_form CHECK (jsonb_typeof(detail::jsonb) = 'object')
);

COMMENT ON TABLE audit_events IS 'What is on record beside the changes of terminals: refused claims, administrative acts. Never a code, a token or a secret.';
COMMENT ON COLUMN audit_events.number IS 'Counts up; orders what happened at one instant. Gaps mean nothing.';
COMMENT ON COLUMN audit_events.at IS 'When, by the server''s clock.';
COMMENT ON COLUMN audit_events.actor IS 'Who: terminal, operator, or user: and the subject.';
COMMENT ON COLUMN audit_events.origin IS 'From which IP address; none from the command line.';
COMMENT ON COLUMN audit_events.trace_id IS 'By which call; none from the command line.';
COMMENT ON COLUMN audit_events.merchant_id IS 'In whose affairs, when it was a merchant''s.';
COMMENT ON COLUMN audit_events.kind IS 'What: claim_refused, and whatever is added later.';
COMMENT ON COLUMN audit_events.subject IS 'To what: its sort, a colon, its id, like device:POS-8F3A2C91.';
COMMENT ON COLUMN audit_events.detail IS 'What else there is to say: a JSON object of texts.';

CREATE INDEX audit_events_by_time ON audit_events (at, number);
-- What is on record about one terminal or merchant.
CREATE INDEX audit_events_of_subject ON audit_events (subject, at, number);
