-- Administrative audit trail with its checkpoints, and checkpoints of the devices' hash chains.
--
--    audit_events                12   13   14 | 15   16 | 17      each has the hash of its own row
--    audit_checkpoints                1 ------> 2                 each hash covers its entries and the previous hash
--    audit_checkpoint_entries    12: 1, 13: 1, 14: 1, 15: 2, 16: 2
--
--    device_events               1 -- 2 -- 3 | 4 -- 5 -- 6        the hash of 4 covers the hash of 3
--    chain_checkpoints           through = 3, hash = hash of 3    events 1 to 3 were purged
--
-- State machine of an audit event:
--
--    written, with its hash ---- append a checkpoint ----> covered by an entry ---- purge ----> deleted, the entry stays
--
-- Checkpoints are appended after the commit of the events: a hash chain over the events themselves would make each
-- transaction wait for the previous one. chain_checkpoints refers to no row of devices, so that an insert locks none.

CREATE TABLE audit_events (
    number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL,
    actor       text        NOT NULL,
    client_ip   text,
    trace_id    text,
    merchant_id uuid,
    kind        text        NOT NULL,
    subject     text COLLATE "C",
    detail      text        NOT NULL DEFAULT '{}',
    hash        bytea,

    CONSTRAINT audit_events_actor_word
        CHECK (actor IN ('terminal', 'operator', 'identity_provider')
            OR (actor ~ '^user:' AND octet_length(actor) BETWEEN 6 AND 260 AND actor !~ '[\u0001-\u001F\u007F-\u009F]')),
    CONSTRAINT audit_events_client_ip_form CHECK (client_ip ~ '^[0-9a-f:.]{2,45}$'),
    CONSTRAINT audit_events_trace_form CHECK (trace_id ~ '^[0-9a-f]{32}$' AND trace_id ~ '[^0]'),
    CONSTRAINT audit_events_kind_form CHECK (kind ~ '^[a-z_]{1,64}$'),
    CONSTRAINT audit_events_subject_form CHECK (subject ~ '^[a-z_]+:.' AND octet_length(subject) <= 320),
    CONSTRAINT audit_events_detail_form CHECK (jsonb_typeof(detail::jsonb) = 'object'),
    CONSTRAINT audit_events_hash_form CHECK (octet_length(hash) = 32)
);

COMMENT ON TABLE audit_events IS
    'Audit events that are not device events: refused claims and administrative changes, without codes, tokens or secrets.';
COMMENT ON COLUMN audit_events.number IS 'Ascending number that orders events of one instant. It can have gaps.';
COMMENT ON COLUMN audit_events.at IS 'When it happened, by the server''s clock.';
COMMENT ON COLUMN audit_events.actor IS 'Author: terminal, operator, identity_provider, or user: and the subject.';
COMMENT ON COLUMN audit_events.client_ip IS 'IP address of the caller; null for the command line.';
COMMENT ON COLUMN audit_events.trace_id IS 'Trace id of the request; null for the command line.';
COMMENT ON COLUMN audit_events.merchant_id IS 'Merchant that it concerns; null if it concerns none.';
COMMENT ON COLUMN audit_events.kind IS 'Kind of event, for example claim_refused.';
COMMENT ON COLUMN audit_events.subject IS 'Subject: its type, a colon and its id, for example device:POS-8F3A2C91.';
COMMENT ON COLUMN audit_events.detail IS 'Details: a JSON object of strings.';
COMMENT ON COLUMN audit_events.hash IS 'SHA-256 of this event without its number; null for an event without a hash.';

-- Export of the events by time.
CREATE INDEX audit_events_by_time ON audit_events (at, number);
-- Events of one device, merchant or other subject.
CREATE INDEX audit_events_of_subject ON audit_events (subject, at, number);

CREATE TABLE audit_checkpoints (
    sequence bigint      PRIMARY KEY,
    through  bigint      NOT NULL,
    events   bigint      NOT NULL,
    at       timestamptz NOT NULL,
    hash     bytea       NOT NULL,

    CONSTRAINT audit_checkpoints_counts CHECK (sequence >= 0 AND through >= 0 AND events >= 0),
    CONSTRAINT audit_checkpoints_hash_form CHECK (octet_length(hash) = 32)
);

COMMENT ON TABLE audit_checkpoints IS 'Hash chain over batches of audit events.';
COMMENT ON COLUMN audit_checkpoints.sequence IS '0, 1, 2 and so on, without gaps.';
COMMENT ON COLUMN audit_checkpoints.through IS
    'Highest event number covered so far; 0 in checkpoint 0.';
COMMENT ON COLUMN audit_checkpoints.events IS 'Number of events in the checkpoint.';
COMMENT ON COLUMN audit_checkpoints.at IS 'When it was appended, by the server''s clock.';
COMMENT ON COLUMN audit_checkpoints.hash IS 'SHA-256 over its entries and the previous checkpoint.';

CREATE TABLE audit_checkpoint_entries (
    number     bigint      PRIMARY KEY,
    checkpoint bigint      NOT NULL REFERENCES audit_checkpoints,
    at         timestamptz NOT NULL,
    hash       bytea       NOT NULL,

    CONSTRAINT audit_checkpoint_entries_hash_form CHECK (octet_length(hash) = 32)
);

COMMENT ON TABLE audit_checkpoint_entries IS
    'Events of the audit checkpoints. An entry stays when its event is purged.';
COMMENT ON COLUMN audit_checkpoint_entries.number IS 'Number of the audit event.';
COMMENT ON COLUMN audit_checkpoint_entries.checkpoint IS 'Checkpoint that covers it.';
COMMENT ON COLUMN audit_checkpoint_entries.at IS 'When the event happened.';
COMMENT ON COLUMN audit_checkpoint_entries.hash IS 'Hash of the event when the checkpoint was appended.';

-- Entries of one checkpoint, in the order in which its hash covers them.
CREATE INDEX audit_checkpoint_entries_of_checkpoint ON audit_checkpoint_entries (checkpoint, number);

CREATE TABLE chain_checkpoints (
    device_id text COLLATE "C" PRIMARY KEY,
    through   bigint NOT NULL,
    hash      bytea,

    CONSTRAINT chain_checkpoints_through_positive CHECK (through >= 1),
    CONSTRAINT chain_checkpoints_hash_form CHECK (octet_length(hash) = 32)
);

COMMENT ON TABLE chain_checkpoints IS
    'Last purged event of each device, from which verification of its hash chain continues.';
COMMENT ON COLUMN chain_checkpoints.device_id IS 'Device of the events.';
COMMENT ON COLUMN chain_checkpoints.through IS 'Sequence of the last purged event. All earlier events were purged too.';
COMMENT ON COLUMN chain_checkpoints.hash IS
    'Last hash among the purged events; null if they were outside the hash chain.';

-- Checkpoint 0, which covers no event: the start of the hash chain.
INSERT INTO audit_checkpoints (sequence, through, events, at, hash)
VALUES (0, 0, 0, now(), decode(repeat('00', 32), 'hex'));
