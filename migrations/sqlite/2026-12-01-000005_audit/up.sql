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
-- transaction wait for the previous one. Instants are microseconds since 1970-01-01T00:00:00Z.

-- Audit events that are not device events: refused claims and administrative changes, without codes, tokens or
-- secrets.
CREATE TABLE audit_events (
    -- Ascending number that orders events of one instant. It can have gaps.
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    -- When it happened, by the server's clock.
    at          INTEGER NOT NULL,
    -- Author: terminal, operator, identity_provider, or user: and the subject.
    actor       TEXT    NOT NULL,
    -- IP address of the caller; null for the command line.
    client_ip   TEXT,
    -- Trace id of the request; null for the command line.
    trace_id    TEXT,
    -- Merchant that it concerns; null if it concerns none.
    merchant_id TEXT,
    -- Kind of event, for example claim_refused.
    kind        TEXT    NOT NULL,
    -- Subject: its type, a colon and its id, for example device:POS-8F3A2C91.
    subject     TEXT,
    -- Details: a JSON object of strings.
    detail      TEXT    NOT NULL DEFAULT '{}',
    -- SHA-256 of this event without its number; null for an event without a hash.
    hash        BLOB,

    CONSTRAINT audit_events_actor_word CHECK (
        actor IN ('terminal', 'operator', 'identity_provider')
        OR (actor GLOB 'user:*' AND length(CAST(actor AS BLOB)) BETWEEN 6 AND 260
            AND actor NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'
            AND instr(actor, char(0)) = 0)
    ),
    CONSTRAINT audit_events_client_ip_form
        CHECK (length(client_ip) BETWEEN 2 AND 45 AND client_ip NOT GLOB '*[^0-9a-f:.]*'),
    CONSTRAINT audit_events_trace_form
        CHECK (length(trace_id) = 32 AND trace_id NOT GLOB '*[^0-9a-f]*' AND trace_id GLOB '*[^0]*'),
    CONSTRAINT audit_events_merchant_form CHECK (
        length(CAST(merchant_id AS BLOB)) = 36
        AND merchant_id GLOB '????????-????-????-????-????????????'
        AND replace(merchant_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(merchant_id, '-', '')) = 32
    ),
    CONSTRAINT audit_events_kind_form CHECK (length(kind) BETWEEN 1 AND 64 AND kind NOT GLOB '*[^a-z_]*'),
    CONSTRAINT audit_events_subject_form CHECK (
        subject GLOB '[a-z_]*:?*' AND substr(subject, 1, instr(subject, ':') - 1) NOT GLOB '*[^a-z_]*'
        AND length(CAST(subject AS BLOB)) <= 320
    ),
    CONSTRAINT audit_events_detail_form CHECK (json_valid(detail) AND json_type(detail) = 'object'),
    CONSTRAINT audit_events_hash_form CHECK (length(hash) = 32)
) STRICT;

-- Export of the events by time.
CREATE INDEX audit_events_by_time ON audit_events (at, number);
-- Events of one device, merchant or other subject.
CREATE INDEX audit_events_of_subject ON audit_events (subject, at, number);

-- Hash chain over batches of audit events.
CREATE TABLE audit_checkpoints (
    -- 0, 1, 2 and so on, without gaps.
    sequence INTEGER PRIMARY KEY,
    -- Highest event number covered so far; 0 in checkpoint 0.
    through  INTEGER NOT NULL,
    -- Number of events in the checkpoint.
    events   INTEGER NOT NULL,
    -- When it was appended, by the server's clock.
    at       INTEGER NOT NULL,
    -- SHA-256 over its entries and the previous checkpoint.
    hash     BLOB    NOT NULL,

    CONSTRAINT audit_checkpoints_counts CHECK (sequence >= 0 AND through >= 0 AND events >= 0),
    CONSTRAINT audit_checkpoints_hash_form CHECK (length(hash) = 32)
) STRICT;

-- Events of the audit checkpoints. An entry stays when its event is purged.
CREATE TABLE audit_checkpoint_entries (
    -- Number of the audit event.
    number     INTEGER PRIMARY KEY,
    -- Checkpoint that covers it.
    checkpoint INTEGER NOT NULL REFERENCES audit_checkpoints (sequence),
    -- When the event happened.
    at         INTEGER NOT NULL,
    -- Hash of the event when the checkpoint was appended.
    hash       BLOB    NOT NULL,

    CONSTRAINT audit_checkpoint_entries_hash_form CHECK (length(hash) = 32)
) STRICT;

-- Entries of one checkpoint, in the order in which its hash covers them.
CREATE INDEX audit_checkpoint_entries_of_checkpoint ON audit_checkpoint_entries (checkpoint, number);

-- Last purged event of each device, from which verification of its hash chain continues.
CREATE TABLE chain_checkpoints (
    -- Device of the events.
    device_id TEXT    NOT NULL PRIMARY KEY,
    -- Sequence of the last purged event. All earlier events were purged too.
    through   INTEGER NOT NULL,
    -- Last hash among the purged events; null if they were outside the hash chain.
    hash      BLOB,

    CONSTRAINT chain_checkpoints_through_positive CHECK (through >= 1),
    CONSTRAINT chain_checkpoints_hash_form CHECK (length(hash) = 32)
) STRICT, WITHOUT ROWID;

-- Checkpoint 0, which covers no event: the start of the hash chain.
INSERT INTO audit_checkpoints (sequence, through, events, at, hash)
VALUES (0, 0, 0, CAST(strftime('%s', 'now') AS INTEGER) * 1000000, zeroblob(32));
